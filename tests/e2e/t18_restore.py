"""T18: a backup of a running server, work, the backup put back, and the devices come: nothing that the server had acknowledged to a device is lost."""
import collections
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess

import harness
from console_api import admin

CONTACTS = 24
MIGRATION = "ALTER TABLE contact ADD COLUMN nickname TEXT DEFAULT 'none';\n"


def contact(i):
    return f"x'{i:08x}'"


class Ledger:
    """What devices have committed, and what must be so in the end whatever happened to the server."""

    def __init__(self, random):
        self.random = random
        self.visits = collections.Counter()
        self.titles, self.nicknames = {}, {}
        self.rows = {}  # of table note: id -> device
        self.gone, self.refused = set(), collections.Counter()
        self.n = 1000

    def edit(self, device, owned, everybody):
        """One transaction of a device. Titles are written by the contact's owner alone, so that the last one must be there."""
        what = self.random.choice(["visit", "visit", "title", "region", "note", "note", "delete", "refused", "nickname"])
        self.n += 1
        own = self.random.choice(owned)
        if what == "visit":
            i, k = self.random.choice(everybody), self.random.randrange(1, 9)
            self.visits[i] += k
            return f"UPDATE contact SET visit_count = visit_count + {k} WHERE id = {contact(i)};"
        if what == "title":
            self.titles[own] = f"title {self.n}"
            return f"UPDATE contact SET job_title = 'title {self.n}' WHERE id = {contact(own)};"
        if what == "region":
            return f"UPDATE contact SET region_code = '{device.name} {self.n}' WHERE id = {contact(self.random.choice(everybody))};"
        if what == "nickname" and device.one("SELECT schema_epoch FROM satchel_status") > self.epoch:
            self.nicknames[own] = f"nick {self.n}"
            return f"UPDATE contact SET nickname = 'nick {self.n}' WHERE id = {contact(own)};"
        if what == "refused":
            self.refused[device.name] += 1
            return f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES({contact(self.n)}, x'dead', 'phone', '112');"
        mine = [i for i, who in self.rows.items() if who == device.name]
        if what == "delete" and mine:
            i = self.random.choice(mine)
            del self.rows[i]
            self.gone.add(i)
            return f"DELETE FROM note WHERE id = {contact(i)};"
        self.rows[self.n] = device.name
        return f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES({contact(self.n)}, 'contact', {contact(own)}, 'note {self.n}');"


class T18Restore(harness.Case):
    def company(self):
        schema = self.path("schema")
        shutil.copytree(os.path.join(harness.ROOT, "server/crm"), schema)
        server = self.server(schema=schema)
        devices = [self.device(name, server) for name in ("phone", "tablet", "till")]
        devices[0].sync()
        devices[0].sql("BEGIN;" + "".join(f"INSERT INTO contact(id, given) VALUES({contact(i)}, 'Number {i}');" for i in range(CONTACTS)) + "COMMIT;")
        self.sync_all(*devices)
        self.ledger = Ledger(self.random)
        self.ledger.epoch = server.epoch()
        return server, devices

    def work(self, devices, rounds, sync=True):
        for _ in range(rounds):
            d = self.random.randrange(len(devices))
            device = devices[d]
            owned = [i for i in range(CONTACTS) if i % len(devices) == d]
            device.sql("".join(self.ledger.edit(device, owned, range(CONTACTS)) for _ in range(self.random.randrange(1, 6))))
            if sync and self.random.random() < 0.7:
                device.sync()

    def restore(self, server, backup, name="restored", *options):
        """Another directory, another server; the devices find it where the old one was."""
        if server.process:
            server.stop()
        new = harness.Server(self, self.path(name), server.schema)
        new.sync_port, new.https_port = server.sync_port, server.https_port
        told = new.ctl("restore", backup, *options)
        self.servers.append(new)
        return new.start(), told

    def check(self, server, devices):
        ledger = self.ledger
        self.sync_all(*devices, rounds=3)
        visits = dict(server.read("SELECT id, visit_count FROM contact"))
        for i in range(CONTACTS):
            self.assertEqual(visits[bytes.fromhex(f"{i:08x}")], ledger.visits[i], f"visits of contact {i}")
        for i, title in ledger.titles.items():
            self.assertEqual(server.one(f"SELECT job_title FROM contact WHERE id = {contact(i)}"), title)
        for i, nickname in ledger.nicknames.items():
            self.assertEqual(server.one(f"SELECT nickname FROM contact WHERE id = {contact(i)}"), nickname)
        there = {int(r[0], 16) for r in server.read("SELECT hex(id) FROM note")}
        self.assertEqual(there, set(ledger.rows), "rows that were made, and those that were deleted")
        for device in devices:
            self.assertEqual(device.one("SELECT count(*) FROM satchel_rejected"), ledger.refused[device.name])
            self.assertEqual(device.status()["pending"], 0)
        self.assert_same(server, *devices)
        self.assert_sound(server, *devices)

    def test_T18_restored_company_has_everything_that_was_acknowledged(self):
        server, devices = self.company()
        self.work(devices, 6)
        self.sync_all(*devices, rounds=1)
        backup = self.path("backup")
        made = server.ctl("backup", backup)
        seq = server.one("SELECT seq FROM satchel_server")
        self.assertEqual(made["seq"], seq)
        self.work(devices, 10)
        # A migration that the backup has not: those who come get it, the last one stays away.
        server.stop()
        with open(os.path.join(server.schema, f"{self.ledger.epoch + 1:03d}_nickname.sql"), "w", encoding="utf-8") as f:
            f.write(MIGRATION)
        server.start()
        self.sync_all(*devices[:2], rounds=1)
        self.work(devices, 10)
        self.sync_all(*devices[:2], rounds=1)
        self.work(devices, 8, sync=False)
        accepted = server.one("SELECT count(*) FROM satchel_result WHERE rc = 0 AND seq > ?", seq)
        self.assertGreater(accepted, 10)
        before = server.one("SELECT hex(epoch) FROM satchel_epoch")
        restored, told = self.restore(server, backup)
        self.assertEqual(told["seq"], seq)
        self.assertFalse(os.path.exists(os.path.join(restored.data, "restored")), "the mark is still there")
        epochs = restored.read("SELECT hex(epoch), start_seq FROM satchel_epoch ORDER BY n")
        self.assertEqual([e[0] for e in epochs][0], before)
        self.assertEqual(len(epochs), 2)
        self.assertEqual(epochs[1][1], seq)
        self.check(restored, devices)
        # And it goes on from there.
        self.work(devices, 4)
        self.check(restored, devices)
        restored.stop()
        restored.start()
        self.assertEqual(len(restored.read("SELECT 1 FROM satchel_epoch")), 2, "an epoch began without a restore")

    def test_T18_backup_in_the_middle_of_a_push_is_of_one_commit(self):
        server, devices = self.company()
        phone = devices[0]
        phone.sql("".join(f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES({contact(10000 + i)}, 'contact', {contact(1)}, hex(randomblob(300)));"
                          for i in range(1500)))
        pushing = phone.start("sync", "--timeout", harness.PATIENCE_S)
        harness.wait_until(lambda: server.one("SELECT count(*) FROM note") > 100, "the push to begin")
        made = server.ctl("backup", self.path("backup"))
        self.assertEqual(pushing.wait(harness.PATIENCE_S), 0, phone.errors())
        self.ledger.rows = {10000 + i: "phone" for i in range(1500)}
        restored, _ = self.restore(server, self.path("backup"))
        self.assertEqual(restored.ctl("verify")["problems"], 0)
        self.assertEqual(restored.one("SELECT start_seq FROM satchel_epoch ORDER BY n DESC"), made["seq"])
        self.check(restored, devices)

    def test_T18_device_enrolled_since_the_backup_comes_again_with_its_work(self):
        server, devices = self.company()
        server.ctl("backup", self.path("backup"))
        newcomer = self.device("newcomer", server)
        newcomer.sync()
        newcomer.sql("UPDATE contact SET visit_count = visit_count + 3 WHERE id = x'00000001'")
        newcomer.sync()
        newcomer.sql("UPDATE contact SET visit_count = visit_count + 4 WHERE id = x'00000001'")
        restored, _ = self.restore(server, self.path("backup"))
        self.assertIn("not accepted", newcomer.run("sync", expect=1).stderr)
        newcomer.enroll(restored)
        self.ledger.visits[1] = 7
        self.check(restored, [*devices, newcomer])

    def test_T18_start_cut_off_after_its_epoch_began_does_not_begin_another(self):
        server, _ = self.company()
        server.ctl("backup", self.path("backup"))
        server.stop()
        new = harness.Server(self, self.path("restored"), server.schema)
        new.ctl("restore", self.path("backup"))
        with open(os.path.join(new.data, "restored"), encoding="utf-8") as f:
            mark = f.read()
        self.servers.append(new.start())
        new.kill()
        with open(os.path.join(new.data, "restored"), "w", encoding="utf-8") as f:
            f.write(mark)
        new.start()
        self.assertEqual(new.read("SELECT lower(hex(epoch)) FROM satchel_epoch ORDER BY n")[1:], [(mark,)])

    def test_T18_backup_is_private_whole_and_replaced_only_when_told(self):
        server, _ = self.company()
        backup = self.path("backup")
        server.ctl("backup", backup)
        self.assertEqual(stat.S_IMODE(os.stat(backup).st_mode), 0o700)
        names = sorted(os.listdir(backup))
        self.assertEqual(names, ["ca.crt", "ca.key", "manifest.json", "server.crt", "server.hosts", "server.key", "store.db"])
        for name in names:
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(backup, name)).st_mode), 0o600)
        self.assertIn("--replace", server.ctl("backup", backup, expect=1))
        server.sql("UPDATE contact SET job_title = 'later';")
        first = json.load(open(os.path.join(backup, "manifest.json"), encoding="utf-8"))
        os.mkdir(backup + ".part")  # as a server that was killed leaves it
        open(os.path.join(backup + ".part", "store.db"), "wb").close()
        server.ctl("backup", "--replace", backup)
        second = json.load(open(os.path.join(backup, "manifest.json"), encoding="utf-8"))
        self.assertGreater(second["seq"], first["seq"])
        self.assertFalse(os.path.exists(backup + ".part"))
        server.ctl("backup", "--verify", backup)
        # What is no backup stays, and what cannot be written is told.
        self.assertIn("not a backup", server.ctl("backup", "--replace", self.dir, expect=1))
        self.assertIn("No such file", server.ctl("backup", self.path("nowhere/backup"), expect=1))
        self.assertIn("Not a directory", server.ctl("backup", os.path.join(server.store, "backup"), expect=1))
        with open(os.path.join(backup, "store.db"), "r+b") as f:
            f.seek(5000)
            byte = f.read(1)
            f.seek(5000)
            f.write(bytes([byte[0] ^ 1]))
        self.assertIn("store.db: is not as it was", server.ctl("backup", "--verify", backup, expect=1))
        server.stop()
        new = harness.Server(self, self.path("restored"))
        self.assertIn("use another backup", new.ctl("restore", backup, expect=1))
        self.assertEqual([n for n in os.listdir(self.dir) if n.startswith("restored")], [])

    def test_T18_drill_restores_a_backup_beside_itself_and_keeps_what_came_out(self):
        server, devices = self.company()
        api = admin(server)
        self.assertIn("no backup yet", server.ctl("backup", "drill", expect=1))
        self.assertIsNone(api.call("consoleBackups")["drill"])
        first, second = self.path("first"), self.path("second")
        server.ctl("backup", first)
        self.work(devices, 4)
        server.ctl("backup", second)
        before = sorted(os.listdir(self.dir))
        os.mkdir(second + ".drill")  # as a server that was killed leaves it
        open(os.path.join(second + ".drill", "store.db"), "wb").close()

        def drill(*named, expect=0, words=""):
            said = server.ctl("backup", "drill", *named, expect=expect)
            self.assertEqual(sorted(os.listdir(self.dir)), before)
            told = api.call("consoleBackups")["drill"]
            self.assertEqual(told["whole"], not expect)
            self.assertIn(words, told["words"])
            return json.loads(said) if expect else said

        newest = drill(words="whole: " + second)
        with open(os.path.join(second, "manifest.json"), encoding="utf-8") as f:
            manifest = json.load(f)
        self.assertEqual((newest["target"], newest["whole"], newest["wrong"], newest["seq"]), (second, True, None, manifest["seq"]))
        self.assertEqual(newest["rows"], sum(int(line.split()[1]) for line in server.ctl("digest")["digest"].splitlines()))
        self.assertLess(drill(first, words="whole: " + first)["seq"], newest["seq"])
        # A name that is none says nothing of a backup; nor is another backup in its way harmed.
        self.assertIn("No such file", server.ctl("backup", "drill", self.path("third"), expect=1))
        os.rename(first, second + ".drill")
        self.assertIn("is a backup, and in the way", server.ctl("backup", "drill", expect=1))
        os.rename(second + ".drill", first)
        self.assertEqual(api.call("consoleBackups")["drill"]["words"].split(",")[0], "whole: " + first)
        # The sums are right, but the store is not what its log says.
        store = os.path.join(first, "store.db")
        with sqlite3.connect(store) as db:
            db.execute("PRAGMA journal_mode=DELETE")
            db.execute("DELETE FROM satchel_log WHERE id = (SELECT max(id) FROM satchel_log)")
        db.close()
        with open(os.path.join(first, "manifest.json"), encoding="utf-8") as f:
            manifest = json.load(f)
        with open(store, "rb") as f:
            content = f.read()
        next(f for f in manifest["files"] if f["name"] == "store.db").update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        with open(os.path.join(first, "manifest.json"), "w", encoding="utf-8") as f:
            json.dump(manifest, f)
        self.assertTrue(drill(first, expect=1, words="not whole: " + first)["wrong"])
        # A byte is another; the whole of it is gone.
        with open(os.path.join(second, "store.db"), "r+b") as f:
            f.seek(5000)
            byte = f.read(1)
            f.seek(5000)
            f.write(bytes([byte[0] ^ 1]))
        self.assertEqual(drill(expect=1, words="not whole: " + second)["wrong"], "store.db: is not as it was when the backup was made")
        shutil.rmtree(second)
        before.remove("second")
        self.assertIn("cannot open the backup", drill(expect=1, words="not whole: " + second)["wrong"])
        self.assertEqual([e["kind"] for e in api.items("consoleEvents", filter__kind="drill")], ["drill"] * 5)
        self.assertIn("restore drill: not whole", server.read_log())

    def test_T18_restore_refuses_what_runs_or_is_full_and_keeps_it_aside_when_told(self):
        server, devices = self.company()
        backup = self.path("backup")
        server.ctl("backup", backup)
        self.assertIn("a server runs", server.ctl("restore", backup, expect=1))
        self.assertIn("a server runs", server.ctl("restore", "--force", backup, expect=1))
        devices[0].sql("UPDATE contact SET visit_count = visit_count + 5 WHERE id = x'00000002'")
        devices[0].sync()
        self.ledger.visits[2] = 5
        server.stop()
        self.assertIn("not empty", server.ctl("restore", backup, expect=1))
        self.assertIn("not a backup", harness.Server(self, self.path("other")).ctl("restore", devices[0].identity, expect=1))
        told = server.ctl("restore", "--force", backup)
        self.assertEqual(harness.Server(self, told["kept_aside"]).one("SELECT max(visit_count) FROM contact"), 5)
        self.assertEqual(server.one("SELECT max(visit_count) FROM contact"), 0)
        server.start()
        self.check(server, devices)

    def test_N7_device_keeps_what_was_accepted_until_a_backup_has_it(self):
        server, devices = self.company()
        phone = devices[0]

        def kept():
            return phone.one("SELECT count(*) FROM satchel_outbox")
        phone.sql("".join("UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'00000003';" for _ in range(5)))
        self.sync_all(*devices)
        self.assertGreaterEqual(kept(), 5)
        server.ctl("backup", self.path("backup"))
        phone.sql("UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'00000003'")
        self.sync_all(*devices)
        self.assertEqual(kept(), 1, "what the backup has is still kept, or what it has not is gone")
        self.assertEqual(server.ctl("status")["position"]["backup_seq"], server.one("SELECT backup_seq FROM satchel_server"))
        self.ledger.visits[3] = 6
        restored, _ = self.restore(server, self.path("backup"))
        self.check(restored, devices)

    def test_N7_devices_of_a_server_without_backups_keep_the_history_alone(self):
        server, devices = self.company()
        phone = devices[0]
        phone.sql("UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'00000003'")
        self.sync_all(*devices)
        server.stop()
        server.prefix = harness.with_clock("+31d")
        server.start()
        # Its upkeep looks at once; a device learns at its next visit.
        harness.wait_until(lambda: phone.sync() and phone.one("SELECT count(*) FROM satchel_outbox") == 0, "the outbox to be emptied", pause_s=1)
        phone.run("verify")


if __name__ == "__main__":
    harness.main()
