"""N7: a server that was put back from an older copy of its data is given again what its devices had sent since."""
import os
import shutil

import harness


class N7RestoredServer(harness.Case):
    def backup(self, server):
        server.stop()
        shutil.copytree(server.data, self.path("backup"))
        server.start()

    def restore(self, server, *options):
        server.stop()
        shutil.rmtree(server.data)
        shutil.copytree(self.path("backup"), server.data)
        return server.start(*options) if options else server

    def begin(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given, job_title, visit_count) VALUES(x'01', 'Ada', 'none', 0)")
        self.sync_all(phone, tablet)
        self.backup(server)
        return server, phone, tablet

    def test_N7_restored_server_is_given_accepted_work_again_once(self):
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET visit_count = visit_count + 1, job_title = 'phone' WHERE id = x'01'")
        self.sync_all(phone, tablet)
        tablet.sql("UPDATE contact SET visit_count = visit_count + 2, job_title = 'tablet' WHERE id = x'01'")
        tablet.sql("INSERT INTO contact(id, given) VALUES(x'02', 'Bob')")
        self.sync_all(tablet, phone)
        phone.sql("UPDATE contact SET visit_count = visit_count + 4 WHERE id = x'01'")
        expected = phone.content()
        self.restore(server, "--restored")
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 0, "the backup was not restored")
        # In the other order than the first time: the stamps decide as they did.
        self.sync_all(tablet, phone, rounds=3)
        self.assertEqual(server.one("SELECT visit_count FROM contact WHERE id = x'01'"), 7)
        self.assertEqual(server.content(), expected)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_N7_restored_without_saying_so_devices_are_told_plainly(self):
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET visit_count = 1 WHERE id = x'01'")
        phone.sync()
        self.restore(server)
        server.start()
        done = phone.run("sync", expect=1)
        self.assertIn("--restored", done.stdout + done.stderr)
        self.assertIn("--restored", server.read_log())
        server.stop()
        server.start("--restored")
        self.sync_all(phone, tablet)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 1)
        self.assert_same(server, phone, tablet)

    def test_N7_restored_without_saying_so_and_gone_on_with(self):
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET job_title = 'phone' WHERE id = x'01'")
        phone.sql("UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01'")
        phone.sync()
        self.restore(server)
        server.start()
        # Its commits have the numbers of those that were lost: nobody can tell by them.
        for n in range(4):
            tablet.sql(f"UPDATE contact SET visit_count = visit_count + {10 ** (n + 1)} WHERE id = x'01'")
        tablet.sync()
        phone.sync()
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 11110)
        server.stop()
        server.start("--restored")
        self.sync_all(phone, tablet, rounds=3)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 11111)
        self.assertEqual(server.one("SELECT job_title FROM contact"), "phone")
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_N7_second_server_on_one_data_directory_is_refused(self):
        server = self.server()
        again = harness.Server(self, server.data).start(expect_failure=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn("another server", again.stderr)
        self.assertTrue(os.path.exists(server.store))


if __name__ == "__main__":
    harness.main()
