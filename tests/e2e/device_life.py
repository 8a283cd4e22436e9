"""What an admin does with a device: pause and resume, rename, a new snapshot, removal. Nothing that was not sent is lost by any of it."""
import sqlite3

import harness


def damage(path, statement):
    """Changes rows behind the library's back: its triggers are taken away and put back as they were."""
    db = sqlite3.connect(path, isolation_level=None)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    db.execute("BEGIN")
    for name, _ in triggers:
        db.execute(f'DROP TRIGGER "{name}"')
    db.execute(statement)
    for _, sql in triggers:
        db.execute(sql)
    db.execute("COMMIT")
    db.close()


class DeviceLife(harness.Case):
    def begin(self, rows=3):
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        phone.sync()
        phone.sql("".join(f"INSERT INTO contact(id, given) VALUES(x'{i:02x}', 'n{i}');" for i in range(1, rows + 1)))
        self.sync_all(phone, other)
        return server, phone, other

    def show(self, server, name):
        return server.ctl("device", "show", name)

    def wait_for_snapshot(self, server):
        """That the phone has it is written down when its connection has ended."""
        harness.wait_until(lambda: not self.show(server, "phone")["resnapshot"], "the note that the phone has the snapshot")

    def events(self, server):
        return [r[0] for r in server.read("SELECT kind FROM satchel_event ORDER BY id")]

    def test_paused_device_works_on_and_syncs_after_resume_nothing_lost(self):
        server, phone, other = self.begin()
        watching = phone.start("sync", "--watch")
        harness.wait_until(lambda: "in_step" in watching.stdout.readline(), "the device to be in step")
        self.assertTrue(server.ctl("device", "pause", "phone")["changed"])
        line = harness.wait_until(lambda: (lambda l: l if "paused" in l else "")(watching.stdout.readline()), "the device to hear of it")
        self.assertTrue(line.startswith("offline"), line)
        watching.terminate()
        watching.wait()
        watching.stdout.close()
        phone.sql("UPDATE contact SET given = 'offline' WHERE id = x'01'; INSERT INTO contact(id, given) VALUES(x'0a', 'new');")
        other.sql("UPDATE contact SET job_title = 'meanwhile' WHERE id = x'01'")
        other.sync()
        phone.sync_in_vain("paused")
        self.assertEqual(phone.status()["last_error"], "E_PAUSED")
        self.assertEqual(server.one("SELECT given FROM contact WHERE id = x'01'"), "n1")
        self.assertEqual(self.show(server, "phone")["state"], "paused")
        # It is still a device of this name; its certificate may even be renewed meanwhile.
        self.assertIn("E_KEY_TAKEN", server.ctl("device", "add", "--profile", "full", "phone", expect=1))
        server.ctl("device", "resume", "phone")
        self.sync_all(phone, other)
        self.assertEqual(server.read("SELECT given, job_title FROM contact WHERE id = x'01'"), [("offline", "meanwhile")])
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 4)
        self.assert_same(server, phone, other)
        self.assertEqual(self.events(server), ["paused", "resumed"])

    def test_moves_that_make_no_sense_are_refused_with_words(self):
        server, _, _ = self.begin()
        self.assertIn("E_NOT_FOUND", server.ctl("device", "pause", "nobody", expect=1))
        self.assertFalse(server.ctl("device", "resume", "phone")["changed"])
        self.assertEqual(server.ctl("device", "revoke", "phone")["was"], "active")
        self.assertIn("only a paused device", server.ctl("device", "resume", "phone", expect=1))
        self.assertIn("only an active device", server.ctl("device", "pause", "phone", expect=1))
        self.assertFalse(server.ctl("device", "revoke", "phone")["changed"])
        server.ctl("device", "wipe", "phone")
        self.assertIn("to be wiped", server.ctl("device", "revoke", "phone", expect=1))

    def test_renamed_device_syncs_on_and_the_old_name_is_free(self):
        server, phone, other = self.begin()
        phone.sql("UPDATE contact SET given = 'x' WHERE id = x'01'")
        server.ctl("device", "rename", "phone", "Ann's phone")
        phone.sync()
        self.assertEqual(self.show(server, "Ann's phone")["pending"], 0)
        self.assertIn("E_KEY_TAKEN", server.ctl("device", "rename", "other", "Ann's phone", expect=1))
        again = self.device("again")
        again.run("enroll", "-", stdin=server.code("phone") + "\n")
        again.sync()
        self.assertEqual([d["name"] for d in server.ctl("device", "list")], ["Ann's phone", "other", "phone"])
        other.sync()
        self.assert_same(server, phone, other)
        self.assertIn("renamed", self.events(server))

    def test_revoked_device_whose_name_was_given_again_is_known_by_its_key(self):
        server, phone, _ = self.begin()
        key = self.show(server, "phone")["fingerprint"]
        server.ctl("device", "revoke", "phone")
        again = self.device("again")
        again.run("enroll", "-", stdin=server.code("phone") + "\n")
        server.ctl("device", "wipe", key)
        self.assertEqual(self.show(server, "phone")["state"], "active")
        again.sync()
        self.assertIn("E_WIPED", phone.sync(expect=1).stderr)
        self.assertEqual(self.show(server, key)["state"], "wiped")

    def test_removed_device_is_gone_from_the_lists_its_name_is_free_and_its_key_is_refused(self):
        server, phone, other = self.begin()
        other.sql("UPDATE contact SET given = 'theirs' WHERE id = x'01'")
        phone.sql("UPDATE contact SET given = 'mine' WHERE id = x'01'")
        self.sync_all(phone, other)
        lost = server.ctl("conflicts")
        phone.sql("UPDATE contact SET given = 'never sent' WHERE id = x'02'")
        self.assertIn("revoke or wipe it first", server.ctl("device", "remove", "phone", expect=1))
        server.ctl("device", "revoke", "phone")
        code = server.code("phone")
        gone = server.ctl("device", "remove", "phone")
        self.assertEqual((gone["was"], gone["changed"], gone["grants"], gone["codes"]), ("revoked", True, 0, 1))
        self.assertEqual([d["name"] for d in server.ctl("device", "list")], ["other"])
        self.assertIn("E_NOT_FOUND", server.ctl("device", "show", "phone", expect=1))
        self.assertIn("E_NOT_FOUND", server.ctl("device", "remove", "phone", expect=1))
        # What it wrote is told as its, and who has its key stays out, over a restart as well.
        self.assertEqual(server.ctl("conflicts"), lost)
        self.assertEqual({c["lost_device"] for c in lost} | {c["kept_device"] for c in lost}, {"phone", "other"})
        self.assertIn("removed", self.events(server))
        self.assertIn("E_REVOKED", phone.sync(expect=1).stderr)
        server.stop()
        server.start()
        self.assertIn("E_REVOKED", phone.sync(expect=1).stderr)
        self.assertEqual(phone.one("SELECT given FROM contact WHERE id = x'02'"), "never sent")
        # The code that was out for its name is worth nothing, a new one makes another device.
        again = self.device("again")
        self.assertIn("E_ENROL_CODE", again.run("enroll", "-", stdin=code + "\n", expect=1).stderr)
        again.run("enroll", "-", stdin=server.code("phone") + "\n")
        self.sync_all(again, other)
        self.assertEqual([(d["name"], d["state"]) for d in server.ctl("device", "list")], [("other", "active"), ("phone", "active")])
        self.assert_same(server, again, other)
        self.assert_sound(server, again, other)

    def test_wiped_device_is_removed_once_it_has_said_so_and_one_with_open_refusals_once_they_are_settled(self):
        server, phone, other = self.begin()
        server.ctl("device", "wipe", "phone")
        self.assertIn("has said that it is wiped", server.ctl("device", "remove", "phone", expect=1))
        self.assertIn("E_WIPED", phone.sync(expect=1).stderr)
        self.assertEqual(server.ctl("device", "remove", "phone")["was"], "wiped")
        other.sql("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'0a', x'ff', 'email', 'a@example.org')")
        other.sync()
        server.ctl("device", "revoke", "other")
        self.assertIn("retry or discard them first", server.ctl("device", "remove", "other", expect=1))
        server.ctl("rejected", "discard", "other", server.ctl("rejected")[0]["number"])
        server.ctl("device", "remove", "other")
        self.assertEqual(server.ctl("device", "list"), [])
        self.assertEqual([r["device"] for r in server.ctl("rejected", "--all")], ["other"])
        server.ctl("verify")

    def test_connected_device_that_is_to_sync_now_comes_again_and_one_that_is_away_later(self):
        server = self.server()
        phone = self.device("phone", server)
        server.ctl("device", "sync", "phone")
        watching = phone.start("sync", "--watch")
        synced = harness.wait_until(lambda: phone.status()["last_sync_ms"], "the phone to sync")
        server.ctl("device", "sync", "phone")
        harness.wait_until(lambda: phone.status()["last_sync_ms"] > synced, "the phone to come again")
        server.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        harness.wait_until(lambda: phone.one("SELECT count(*) FROM contact") == 1, "the news on the phone")
        watching.terminate()
        watching.wait(harness.PATIENCE_S)
        server.ctl("device", "pause", "phone")
        self.assertIn("phone is paused: only an active device syncs", server.ctl("device", "sync", "phone", expect=1))

    def test_resnapshot_replaces_what_the_device_holds_and_keeps_what_it_has_not_sent(self):
        server, phone, other = self.begin(rows=200)
        damage(phone.path, "UPDATE contact SET given = 'rot' WHERE id = x'05'")
        damage(phone.path, "DELETE FROM contact WHERE id = x'06'")
        phone.sql("UPDATE contact SET job_title = 'pending' WHERE id = x'05'; DELETE FROM contact WHERE id = x'07';"
                  "INSERT INTO contact(id, given) VALUES(x'ff', 'mine');")
        phone.sync()
        self.assertNotEqual(server.content()["contact"], phone.content()["contact"])
        phone.sql("UPDATE contact SET job_title = 'pending 2' WHERE id = x'05'; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'08';")
        server.ctl("device", "resnapshot", "phone")
        self.assertTrue(self.show(server, "phone")["resnapshot"])
        phone.sync()
        self.wait_for_snapshot(server)
        self.assertEqual(server.read("SELECT given, job_title FROM contact WHERE id = x'05'"), [("n5", "pending 2")])
        self.assertEqual(server.one("SELECT visit_count FROM contact WHERE id = x'08'"), 1)
        self.sync_all(other, phone)
        self.assert_same(server, phone, other)
        # Once: the next contact goes on with pages.
        phone.sync()
        self.assertEqual(phone.one("SELECT snapshot FROM satchel_state"), 0)
        self.assertEqual(server.one("SELECT resnapshot FROM satchel_device WHERE name = 'phone'"), 0)

    def test_resnapshot_is_ordered_until_the_device_has_it(self):
        server = self.server()
        proxy = self.proxy(server)
        phone = self.device("phone", server, proxy)
        phone.sync()
        phone.sql("".join(f"INSERT INTO contact(id, given) VALUES(x'{i:04x}', hex(randomblob(400)));" for i in range(600)))
        phone.sync()
        damage(phone.path, "DELETE FROM contact WHERE id > x'0010'")
        phone.sql("UPDATE contact SET job_title = 'pending' WHERE id = x'0001'")
        server.ctl("device", "resnapshot", "phone")
        cut = proxy.down_bytes
        for limit in (3000, 100000, 200000):
            cuts = proxy.cuts
            proxy.cut_after(limit)
            syncing = phone.start("sync")
            harness.wait_until(lambda: proxy.cuts > cuts or syncing.poll() is not None, "a connection that broke")
            syncing.terminate()
            syncing.wait(harness.PATIENCE_S)
        self.assertGreater(proxy.down_bytes, cut)
        self.assertGreater(proxy.cuts, 1)
        proxy.heal()
        phone.sync()
        self.wait_for_snapshot(server)
        self.assert_same(server, phone)


if __name__ == "__main__":
    harness.main()
