"""A full disk: told in words, nothing half done, and all goes on when there is room again."""
import os
import subprocess

import harness

NOTES = "".join("INSERT INTO note(id, parent_kind, parent_row, body) VALUES(uuid7(), 'contact', x'01', hex(randomblob(20000)));\n" for _ in range(100))


class FullDisk(harness.Case):
    def setUp(self):
        """A file system of a few megabytes, where this machine lets one be made."""
        super().setUp()
        self.place = self.path("small")
        os.mkdir(self.place)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", self.place], capture_output=True, check=False).returncode:
            self.skipTest("a file system cannot be mounted here (needs root)")
        # Before the directory goes; what a server still has open lives on until it ends.
        self.addCleanup(subprocess.run, ["umount", "-l", self.place], check=True)

    def make_room(self):
        subprocess.run(["mount", "-o", "remount,size=60m", self.place], check=True)

    def small_device(self, name, server):
        return harness.Device(self, name, os.path.join(self.place, name + ".db")).enroll(server)

    def test_full_disk_under_the_app_statement_fails_in_words_nothing_half_done(self):
        server = self.server()
        phone = self.small_device("phone", server)
        phone.sync()
        self.assertIn("full", phone.sql(NOTES, expect=1).stderr)
        kept = phone.one("SELECT count(*) FROM note")
        self.assertGreater(kept, 0)
        self.make_room()
        phone.sync()
        self.assertEqual(server.one("SELECT count(*) FROM note"), kept)
        self.assert_same(server, phone)
        self.assert_sound(server, phone)

    def test_full_disk_under_the_sync_is_told_and_goes_on_with_room(self):
        server = self.server()
        phone, other = self.small_device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        other.sql(NOTES)
        other.sync()
        self.assertIn("full", phone.run("sync", "--timeout", 3, expect=1).stderr)
        self.make_room()
        phone.sync()
        self.assert_same(server, phone, other)
        self.assert_sound(server, phone)

    def test_full_disk_under_the_server_devices_come_back_and_nothing_is_lost(self):
        server = harness.Server(self, os.path.join(self.place, "server"))
        server.log = self.path("server.log")
        self.servers.append(server.start())
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql(NOTES)
        told = phone.run("sync", "--timeout", 3, expect=1).stderr
        self.assertIn("come back", told)
        self.assertIn("cannot be written", server.read_log())
        self.assertIsNone(server.process.poll(), "the server gave up")
        self.make_room()
        self.sync_all(phone, tablet)
        self.assertEqual(server.one("SELECT count(*) FROM note"), 100)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)


if __name__ == "__main__":
    harness.main()
