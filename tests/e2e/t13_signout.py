"""T13: signing out with changes that were not sent: refused, exported, or given up; and nothing of the device is left."""
import json
import os
import shutil
import stat
import subprocess

import harness


class T13SignOut(harness.Case):
    def phone_with_work(self, server):
        """Two transactions that were not sent, and one that was refused."""
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b');")
        phone.sync()
        self.assertEqual(phone.status()["refused"], 1)
        phone.sql("INSERT INTO contact(id, given, family) VALUES(x'01', 'Ada', 'Byron'); UPDATE contact SET given = 'Augusta' WHERE id = x'01';")
        return phone

    def assert_gone(self, phone):
        left = [n for n in os.listdir(self.dir) if n.startswith("phone.db") and not n.endswith(".err")]
        self.assertEqual(left, [])

    def assert_there(self, phone):
        self.assertEqual((phone.status()["pending"], phone.status()["refused"]), (2, 1))
        self.assertTrue(os.path.exists(os.path.join(phone.identity, "key.pem")))

    def test_T13_sign_out_with_unsent_changes_is_refused_and_does_nothing(self):
        server = self.server()
        phone = self.phone_with_work(server)
        done = phone.run("sign-out", expect=1)
        self.assertIn("E_UNSENT", done.stderr)
        self.assertIn("2 transactions that were not sent, and 1 refused", done.stderr)
        self.assertIn("--export", done.stderr)
        self.assertIn("--discard", done.stderr)
        self.assert_there(phone)
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "active")
        # Nothing was done: it goes on, and once all is settled it may go.
        phone.sync()
        phone.run("rejected", "discard", phone.one("SELECT n FROM satchel_rejected"))
        phone.sync()
        phone.run("sign-out")
        self.assert_gone(phone)
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "revoked")
        self.assertEqual(server.one("SELECT text FROM satchel_event WHERE kind = 'signed-out'"), "signed out by its user")
        self.assertEqual(server.one("SELECT given FROM contact"), "Augusta")
        # The name may be given again.
        self.device("phone", server).sync()

    def test_T13_sign_out_exports_what_was_not_sent_first(self):
        server = self.server()
        phone = self.phone_with_work(server)
        saved = self.path("unsent.jsonl")
        old = os.umask(0)
        try:
            phone.run("sign-out", "--export", saved)
        finally:
            os.umask(old)
        self.assert_gone(phone)
        self.assertEqual(stat.S_IMODE(os.stat(saved).st_mode), 0o600)
        with open(saved, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        self.assertEqual([(c["table"], c["op"], c.get("refused")) for c in lines],
                         [("contact_point", "insert", "E_FOREIGN_KEY"), ("contact", "insert", None), ("contact", "update", None)])
        self.assertEqual(lines[1]["values"]["family"], "Byron")
        self.assertEqual(lines[2]["values"]["given"], "Augusta")

    def test_T13_sign_out_that_cannot_export_does_nothing(self):
        server = self.server()
        phone = self.phone_with_work(server)
        saved = self.path("precious")
        with open(saved, "w", encoding="utf-8") as f:
            f.write("something else")
        self.assertIn("File exists", phone.run("sign-out", "--export", saved, expect=1).stderr)
        with open(saved, encoding="utf-8") as f:
            self.assertEqual(f.read(), "something else")
        if os.path.exists("/dev/full"):
            os.symlink("/dev/full", self.path("full"))
            self.assertEqual(phone.run("sign-out", "--export", self.path("full"), expect=1).returncode, 1)
        self.assert_there(phone)

    def test_T13_sign_out_that_discards_has_to_say_so(self):
        server = self.server()
        phone = self.phone_with_work(server)
        phone.run("sign-out", "--discard")
        self.assert_gone(phone)
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 0)
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "revoked")

    def test_T13_sign_out_without_a_network_leaves_nothing_here(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        server.stop()
        phone.run("sign-out")
        self.assert_gone(phone)
        server.start()
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "active")

    def test_T13_sign_out_killed_in_the_middle_is_ended_by_the_next_opening(self):
        """The marker is what it lays first, and all that it needs (replica/wipe.h)."""
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        with open(phone.path + "-wipe", "w", encoding="ascii") as f:
            f.write("0 \n")
        phone.run("status", expect=1)
        self.assert_gone(phone)

    def test_T13_sign_out_that_cannot_begin_to_erase_has_not_left_the_server(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        os.mkdir(phone.path + "-wipe.new")  # where the marker is made
        phone.run("sign-out", expect=1)
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "active")
        phone.sql("INSERT INTO contact(id, given, family) VALUES(x'01', 'Ada', 'Byron')")
        phone.sync()
        self.assertEqual(server.one("SELECT given FROM contact"), "Ada")
        os.rmdir(phone.path + "-wipe.new")
        phone.run("sign-out")
        self.assert_gone(phone)
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "revoked")

    def test_T13_sign_out_by_another_name_of_the_file_erases_the_file(self):
        """A link to it: SQLite's files lie beside the file itself, and so does the marker."""
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        os.symlink(phone.path, self.path("link.db"))
        link = ["--db", "link.db", "--identity", os.path.basename(phone.identity)]
        subprocess.run([os.path.abspath(harness.program("satchel")), *link, "sign-out"], cwd=self.dir, check=True, timeout=harness.PATIENCE_S)
        self.assert_gone(phone)
        self.assertFalse(os.path.exists(self.path("link.db-wipe")))

    def test_T13_copy_under_the_markers_name_is_no_order_to_erase(self):
        phone = self.device("phone")
        phone.run("enroll", "nonsense", expect=1)
        shutil.copy(phone.path, phone.path + "-wipe")
        phone.run("status")
        self.assertTrue(os.path.exists(phone.path + "-wipe"))

    def test_T13_sign_out_of_a_file_that_was_never_enrolled_erases_it(self):
        phone = self.device("phone")
        phone.run("enroll", "nonsense", expect=1)
        self.assertTrue(os.path.exists(phone.path))
        phone.run("sign-out")
        self.assert_gone(phone)

    def test_T13_sign_out_while_another_process_syncs_is_refused(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        watching = phone.start("sync", "--watch")
        harness.wait_until(lambda: "in_step" in watching.stdout.readline(), "the other process to sync")
        self.assertIn("E_BUSY", phone.run("sign-out", expect=1).stderr)
        watching.terminate()
        watching.wait(harness.PATIENCE_S)
        phone.run("sign-out")
        self.assert_gone(phone)


if __name__ == "__main__":
    harness.main()
