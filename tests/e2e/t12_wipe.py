"""T12: a lost phone. It is revoked and wiped while it is offline: nothing that it had not sent is taken, and its next contact erases it; killed at any
instant of that, it goes on where it was, and never opens again."""
import os
import signal
import sqlite3

import harness

KILL_AT = os.environ.get("SATCHEL_KILL_AT_SO")


class T12Wipe(harness.Case):
    def begin(self, **options):
        """A server with these options, and a phone that has two rows, one of them not sent."""
        server = self.server(**options)
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'02', 'secret')")
        return server, phone

    def state(self, server, name="phone"):
        return server.ctl("device", "show", name)["state"]

    def left(self, device):
        """What lies in the directory of a device's file, of what the library made."""
        name = os.path.basename(device.path)
        return sorted(n for n in os.listdir(self.dir) if n.startswith(name) and not n.endswith(".err"))

    def assert_wiped(self, server, device):
        self.assertEqual(self.left(device), [])
        self.assertEqual(self.state(server), "wiped")
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 1)

    def test_T12_revoked_and_wiped_while_offline_its_push_is_refused_and_the_next_contact_erases(self):
        server, phone = self.begin()
        server.ctl("device", "revoke", "phone")
        self.assertIn("E_REVOKED", phone.sync(expect=1).stderr)
        self.assertEqual(phone.one("SELECT count(*) FROM contact"), 2)
        server.ctl("device", "wipe", "phone")
        self.assertEqual(self.state(server), "to be wiped")
        done = phone.sync(expect=1)
        self.assertIn("E_WIPED", done.stderr)
        self.assert_wiped(server, phone)
        kinds = [r[0] for r in server.read("SELECT kind FROM satchel_event WHERE device = 1 ORDER BY id")]
        self.assertEqual(kinds, ["revoked", "wipe", "wiped"])
        # What it was is no device any more, and its name is free.
        self.assertIn("E_NOT_FOUND", phone.sync(expect=1).stderr)
        phone.enroll(server)
        phone.sync()
        self.assertEqual(phone.one("SELECT count(*) FROM contact"), 1)

    def test_T12_connected_device_is_wiped_at_once_and_other_connections_find_no_table(self):
        server, phone = self.begin()
        phone.sync()
        server.sql("DELETE FROM contact WHERE id = x'02';")
        phone.sql("CREATE TABLE mine(x)")
        reader = harness.open_file(phone.path)
        writer = sqlite3.connect(phone.path, isolation_level=None)
        for db in (reader, writer):
            self.assertTrue(db.execute("SELECT count(*) FROM contact").fetchone()[0])
        watching = phone.start("sync", "--watch", "--json")
        harness.wait_until(lambda: "in_step" in watching.stdout.readline(), "the device to be in step")
        server.ctl("device", "wipe", "phone")
        self.assertEqual(watching.wait(harness.PATIENCE_S), 1)
        watching.stdout.close()
        self.assertIn("E_WIPED", phone.errors())
        self.assert_wiped(server, phone)
        for statement, db in (("SELECT * FROM contact", reader), ("SELECT * FROM satchel_status", reader), ("INSERT INTO mine VALUES(1)", writer)):
            with self.assertRaisesRegex(sqlite3.OperationalError, "no such table"):
                db.execute(statement)
        reader.close()
        writer.close()
        self.assertEqual(self.left(phone), [])

    def killed_at(self, device, n):
        """Whether `satchel sync` was killed before its Nth change of files in a wipe; else it went to the end."""
        device.prefix = harness.preloaded(f"SATCHEL_KILL_AT={n}", "LD_PRELOAD=" + KILL_AT)
        done = device.run("sync", expect=None)
        device.prefix = []
        self.assertIn(done.returncode, (1, -signal.SIGKILL), done.stderr)
        if done.returncode == 1:
            self.assertIn("E_WIPED", done.stderr)
        return done.returncode != 1

    def take_up(self, server, device, is_marked):
        """As a user would, who knows of nothing: looks at the device, and syncs it."""
        if is_marked:
            done = device.run("sql", "SELECT * FROM contact", expect=1)
            self.assertIn("E_WIPED", done.stderr)
            self.assertNotIn("Ada", done.stdout)
        if self.left(device):
            self.assertIn("E_WIPED", device.sync(expect=1).stderr)
        self.assert_wiped(server, device)

    def test_T12_killed_before_each_change_of_files_it_goes_on_and_never_opens_again(self):
        # A wipe writes each page of the schema: a small one has every kind of step, and few of them many times.
        schema = self.path("schema")
        os.mkdir(schema)
        with open(os.path.join(schema, "001_contact.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE contact(id BLOB PRIMARY KEY, given TEXT);\nINSERT INTO satchel_table(name) VALUES('contact');\n")
        # All the copies are one device, which connects more often than one may.
        server, phone = self.begin(schema=schema, options=("--device-connects", "0"))
        marked = n = 0
        while True:
            n += 1
            copy = phone.copy(f"copy{n}")
            server.ctl("device", "wipe", "phone")
            if not self.killed_at(copy, n):
                break
            is_marked = os.path.exists(copy.path + "-wipe")
            marked += is_marked
            self.take_up(server, copy, is_marked)
        self.assert_wiped(server, copy)
        self.assertGreater(marked, 10)

    def test_T12_process_that_is_killed_another_that_has_the_file_open_goes_on(self):
        server, phone = self.begin()
        phone.prefix = harness.preloaded("SATCHEL_KILL_AT=6", "LD_PRELOAD=" + KILL_AT)
        first = phone.start("sync", "--watch")
        harness.wait_until(lambda: "in_step" in first.stdout.readline(), "the device to be in step")
        phone.prefix = []
        server.sql("DELETE FROM contact WHERE id = x'02';")
        second = phone.start("sync", "--watch")
        harness.wait_until(lambda: "waiting" in second.stdout.readline(), "the file to be open twice")
        # It looks when the first is dead: while that lives the wipe is the first's, and others leave it to it.
        second.send_signal(signal.SIGSTOP)
        server.ctl("device", "wipe", "phone")
        self.assertEqual(first.wait(harness.PATIENCE_S), -signal.SIGKILL)
        second.send_signal(signal.SIGCONT)
        self.assertEqual(second.wait(harness.PATIENCE_S), 1)
        for process in (first, second):
            process.stdout.close()
        self.assertIn("E_WIPED", phone.errors())
        self.assert_wiped(server, phone)

    def test_T12_disk_too_full_for_the_marker_the_data_go_all_the_same(self):
        server, phone = self.begin()
        server.ctl("device", "wipe", "phone")
        phone.prefix = harness.preloaded("SATCHEL_NO_MARKER=1", "LD_PRELOAD=" + KILL_AT)
        self.assertIn("E_WIPED", phone.sync(expect=1).stderr)
        self.assert_wiped(server, phone)

    def test_T12_server_that_cannot_be_told_is_told_later_while_the_marker_lies_there(self):
        server, phone = self.begin()
        proxy = self.proxy(server)
        phone.route(proxy.port)
        proxy.delay_s = 0.1
        server.ctl("device", "wipe", "phone")
        syncing = phone.start("sync")
        harness.wait_until(lambda: proxy.connections, "the device to connect")
        proxy.is_cut = True  # this connection stays, and no other is made
        self.assertEqual(syncing.wait(harness.PATIENCE_S), 1)
        syncing.stdout.close()
        for command in ("status", "sync"):
            self.assertIn("E_WIPED", phone.run(command, expect=1).stderr)
            self.assertEqual(self.left(phone), ["phone.db-satchel", "phone.db-wipe"])
        self.assertEqual(self.state(server), "to be wiped")
        proxy.heal()
        self.assertIn("E_WIPED", phone.run("status", expect=1).stderr)
        self.assert_wiped(server, phone)

    def test_T12_device_that_connects_too_often_is_wiped_and_says_so_when_it_may_come_back(self):
        server, phone = self.begin(options=("--device-connects", "12"))
        phone.sql("DELETE FROM contact WHERE id = x'02'")
        while "connects too often" not in server.read_log():
            phone.run("sync", "--timeout", "1", expect=None)
        server.ctl("device", "wipe", "phone")
        self.assertIn("E_WIPED", phone.sync(expect=1).stderr)
        self.assertNotIn("phone.db", self.left(phone))
        harness.wait_until(lambda: "E_NOT_FOUND" in phone.sync(expect=1).stderr, "the server to be told", pause_s=1)
        self.assert_wiped(server, phone)


if __name__ == "__main__":
    harness.main()
