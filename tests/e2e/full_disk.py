"""A full disk: told in words, nothing half done, and all goes on when there is room again."""
import json
import os
import re
import ssl
import subprocess
import urllib.error
import urllib.request

import harness

VISITS = "".join("INSERT INTO interaction(id, contact_id, channel, at, body) VALUES(uuid7(), x'01', 'phone', 0, hex(randomblob(20000)));\n" for _ in range(100))


class FullDisk(harness.Case):
    sound = False  # looked at in each test: in the end the disk is gone before the servers

    def setUp(self):
        """A file system of a few megabytes, where this machine lets one be made."""
        super().setUp()
        self.place = self.path("small")
        os.mkdir(self.place)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", self.place], capture_output=True, check=False).returncode:
            self.skipTest("a file system cannot be mounted here (needs root)")
        # Before the directory goes; what a server still has open lives on until it ends.
        self.addCleanup(subprocess.run, ["umount", "-l", self.place], check=True)

    def make_room(self, size="60m"):
        subprocess.run(["mount", "-o", "remount,size=" + size, self.place], check=True)

    def small_server(self, *options):
        server = harness.Server(self, os.path.join(self.place, "server"), options=options)
        server.log = self.path("server.log")
        self.servers.append(server.start())
        return server

    def fetch(self, server, path):
        """Status and body of what the HTTPS port answers."""
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{server.https_port}{path}", timeout=harness.PATIENCE_S,
                                        context=ssl._create_unverified_context()) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()

    def small_device(self, name, server):
        return harness.Device(self, name, os.path.join(self.place, name + ".db")).enroll(server)

    def test_full_disk_under_the_app_statement_fails_in_words_nothing_half_done(self):
        server = self.server()
        phone = self.small_device("phone", server)
        phone.sync()
        self.assertIn("full", phone.sql(VISITS, expect=1).stderr)
        kept = phone.one("SELECT count(*) FROM interaction")
        self.assertGreater(kept, 0)
        self.make_room()
        phone.sync()
        self.assertEqual(server.one("SELECT count(*) FROM interaction"), kept)
        self.assert_same(server, phone)
        self.assert_sound(server, phone)

    def test_full_disk_under_the_sync_is_told_and_goes_on_with_room(self):
        server = self.server()
        phone, other = self.small_device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        other.sql(VISITS)
        other.sync()
        phone.sync_in_vain("full")
        self.make_room()
        phone.sync()
        self.assert_same(server, phone, other)
        self.assert_sound(server, phone)

    def test_full_disk_under_the_server_devices_come_back_and_nothing_is_lost(self):
        server = self.small_server("--disk-reserve-mib", "0")  # else it may be seen in time
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql(VISITS)
        phone.sync_in_vain("come back")
        self.assertIn("cannot be written", server.read_log())
        self.assertIsNone(server.process.poll(), "the server gave up")
        self.make_room()
        self.sync_all(phone, tablet)
        self.assertEqual(server.one("SELECT count(*) FROM interaction"), 100)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_full_disk_before_it_is_full_changes_wait_and_pages_are_served(self):
        self.make_room("40m")  # of which a tenth is the reserve
        server = self.small_server()
        phone, tablet, late = (self.device(name, server) for name in ("phone", "tablet", "late"))
        self.sync_all(phone, tablet, late, rounds=1)
        phone.sql(VISITS)
        phone.sync()
        self.assertEqual(self.fetch(server, "/readyz"), (200, "ready\n"))
        with open(os.path.join(self.place, "filler"), "wb") as f:
            room = os.statvfs(self.place)
            f.write(bytes(room.f_bavail * room.f_frsize - (3 << 20)))
        harness.wait_until(lambda: not server.ctl("status")["since_start"]["writable"], "the server to see that the disk is almost full")
        status, body = self.fetch(server, "/readyz")
        self.assertEqual((status, json.loads(body)["code"]), (503, "E_FULL"))
        self.assertIn("almost full", body)
        metrics = self.fetch(server, "/metrics")[1]
        self.assertRegex(metrics, r"(?m)^satchel_writable 0$")
        free, reserve = (int(re.search(rf"(?m)^satchel_disk_{what}_bytes (\d+)$", metrics).group(1)) for what in ("free", "reserve"))
        self.assertLess(free, reserve)
        # Who only reads is served; who has something to send is served and told to come back.
        tablet.sync()
        self.assert_same(server, tablet)
        late.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Late')")
        late.sync_in_vain("come back later")
        self.assertEqual(late.one("SELECT count(*) FROM interaction"), 100, "what there was to receive was not received")
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 0)
        # The admin is let in; bulk is not.
        self.assertTrue(server.code("another"))
        done = subprocess.run([harness.program("satchelctl"), "--data", server.data, "sql", "-"], input="INSERT INTO contact(id) VALUES(x'02');",
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("E_FULL", done.stderr)
        self.assertIn("E_FULL", server.ctl("backup", os.path.join(self.place, "backup"), expect=1))
        self.assertEqual(sorted(os.listdir(self.place)), ["filler", "server"])
        os.unlink(os.path.join(self.place, "filler"))
        harness.wait_until(lambda: self.fetch(server, "/readyz")[0] == 200, "the server to take changes again")
        self.sync_all(phone, tablet, late)
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 1)
        self.assert_same(server, phone, tablet, late)
        self.assert_sound(server, phone, tablet, late)
        log = server.read_log()
        self.assertEqual((log.count("the disk is almost full,"), log.count("there is room on the disk again")), (1, 1))


if __name__ == "__main__":
    harness.main()
