"""What earlier versions left is brought up by this one: every folder of fixtures/ (state.py says what is in one)."""
import json
import os
import subprocess

import state
from state import harness


def layout(path):
    """Satchel's own tables, views and indexes with their columns, and the mark of the format."""
    db = harness.open_file(path)
    names = [r[0] for r in db.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'satchel\\_%' ESCAPE '\\' "
                                      " AND type <> 'trigger' AND coalesce(sql, '') NOT LIKE 'CREATE VIRTUAL%' ORDER BY name")]
    out = {name: sorted(c[1:] for c in db.execute(f"PRAGMA table_info({name})")) for name in names}
    out["format"] = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return out


class Fixtures(harness.Case):
    def every(self, check):
        self.assertTrue(state.versions())
        for version in state.versions():
            with self.subTest(version=version):
                check(version, state.load(version))

    def unpacked(self, version, name):
        directory = self.path(f"{version}-{name}")
        state.unpack(os.path.join(state.FIXTURES, version, "state.tar.xz"), directory)
        return directory

    def assert_as_before(self, expected, got):
        """What is there now is what the version that wrote it would have made of it: nothing lost, nothing doubled."""
        for part in ("content", "devices"):
            for name, there in expected[part].items():
                self.assertEqual(there, got[part][name], f"{part} {name}")
        self.assertEqual(expected["rejected"], got["rejected"])

    def test_upgrade_store_and_full_outboxes_come_to_what_their_own_version_made_of_them(self):
        def check(version, expected):
            found = state.State(self, self.unpacked(version, "all"), expected["taken"])
            for device in found.devices:
                device.run("verify")
            self.assert_as_before(expected, json.loads(json.dumps(found.settle())))
            self.goes_on(found)
            found.server.stop()
        self.every(check)

    def goes_on(self, found):
        """Under a further migration, with a new device, and after a restart: an upgraded store is a store like any."""
        found.server.stop()
        with open(os.path.join(found.directory, "schema", "003_more.sql"), "w", encoding="utf-8") as f:
            f.write("ALTER TABLE artist ADD COLUMN website TEXT NOT NULL DEFAULT 'none';\n")
        found.server.start()
        new = found.device("new")
        new.enroll(found.server)
        ann = found.devices[0]
        ann.sync()
        ann.sql("UPDATE artist SET website = 'https://one.example', fans = fans + 1 WHERE artist_no = 1")
        self.sync_all(ann, *found.devices, new)
        self.assert_same(found.server, *found.devices, new)
        self.assert_sound(found.server, *found.devices, new)
        fresh = self.server(f"fresh-{len(self.servers)}", schema=found.server.schema)
        self.assertEqual(layout(found.server.store), layout(fresh.store), "an upgraded store is laid out otherwise than a new one")
        self.assertEqual(layout(ann.path), layout(new.path), "an upgraded file is laid out otherwise than a new one")
        fresh.stop()

    def test_upgrade_device_works_on_offline_before_it_meets_the_server(self):
        def check(version, expected):
            directory = self.unpacked(version, "offline")
            found = state.State(self, directory, expected["taken"], start=False)
            ann, bob = found.devices[:2]
            before = {d.name: d.read("SELECT n, id, stamp, base, epoch, state, resolves FROM satchel_outbox ORDER BY n") for d in found.devices}
            self.assertGreater(len([r for r in before["ann"] if r[5] == 0]), 300)
            for device in found.devices:
                device.run("status")
                device.run("verify")
                self.assertEqual(device.read("SELECT n, id, stamp, base, epoch, state, resolves FROM satchel_outbox ORDER BY n"), before[device.name])
            ann.sql("UPDATE artist SET fans = fans + 5000 WHERE artist_no = 2")
            bob.sql("INSERT INTO invoice(number, customer) VALUES(77, 'by the new version')")
            found.server.start()
            for device in found.devices:
                device.route(found.server.sync_port)
            got = found.settle()
            fans = found.server.one("SELECT fans FROM artist WHERE artist_no = 2")
            self.assertIn(f", {fans - 5000}, ", next(r for r in expected["content"]["artist"] if r.startswith("2, ")))
            self.assertEqual(len(got["content"]["invoice"]), len(expected["content"]["invoice"]) + 1)
            for table in set(expected["content"]) - {"artist", "invoice"}:
                self.assertEqual(got["content"][table], expected["content"][table], table)
            found.server.stop()
        self.every(check)

    def test_upgrade_server_first_and_devices_one_by_one(self):
        """The old store is up for a while, with its enrolled devices coming one after another and leaving again."""
        def check(version, expected):
            found = state.State(self, self.unpacked(version, "one-by-one"), expected["taken"])
            for device in found.devices:
                device.sync()
                found.server.kill()
                found.server.start()
            self.assert_as_before(expected, json.loads(json.dumps(found.settle())))
            found.server.stop()
        self.every(check)

    def test_upgrade_fixture_of_this_version_can_be_made(self):
        """So that a release need only run make_fixtures."""
        place = self.path("fixtures")
        done = subprocess.run([os.path.join(state.HERE, "make_fixtures")], env={**os.environ, "SATCHEL_FIXTURES": place}, capture_output=True, text=True,
                              timeout=4 * harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        made, = os.listdir(place)
        self.assertEqual(sorted(os.listdir(os.path.join(place, made))), ["expected.json", "state.tar.xz", "vectors"])

    def test_upgrade_wire_messages_of_every_version_are_read_and_written_as_they_were(self):
        program = os.environ.get("SATCHEL_UPGRADE_VECTORS")
        if not program:
            self.skipTest("SATCHEL_UPGRADE_VECTORS is not set")

        def check(version, expected):
            vectors = os.path.join(state.FIXTURES, version, "vectors")
            self.assertGreater(len(os.listdir(vectors)), 10)
            done = subprocess.run([program], env={**os.environ, "SATCHEL_VECTORS": vectors}, capture_output=True, text=True, timeout=harness.PATIENCE_S)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.every(check)


if __name__ == "__main__":
    harness.main()
