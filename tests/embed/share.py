"""C8: several threads, handles and processes of one app on one file. share.c writes; what replica/README.md says of each is looked at here."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import harness  # noqa: E402

TRANSACTIONS = 5 * 40  # of one process: its threads times their rows


class Share(harness.Case):
    def test_C8_threads_handles_and_processes_write_while_one_syncs(self):
        """Who syncs is killed in the middle; one of the others goes on with it, and every edit arrives once."""
        server = self.server()
        till, office = self.device("till", server), self.device("office", server)
        till.sync()
        till.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 0)")
        self.sync_all(till, office, rounds=1)
        syncing = till.start("sync", "--watch")
        harness.wait_until(lambda: server.ctl("status")["since_start"]["sessions"] == 1, "the connection of the one that syncs")
        apps = [subprocess.Popen([os.environ["SATCHEL_SHARE"], till.path, name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                for name in ("a", "b")]
        office.sql("UPDATE contact SET visit_count = visit_count + 1000 WHERE id = x'01'")
        office.sync()
        harness.wait_until(lambda: server.one("SELECT count(*) FROM contact_tag") > 0, "the first rows")
        syncing.kill()
        for app in apps:
            errors = app.communicate(timeout=harness.PATIENCE_S)[1]
            harness.check_output("share", errors)
            self.assertEqual(app.returncode, 0, errors)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 1000 + 2 * TRANSACTIONS)
        self.assertEqual(server.one("SELECT count(*) FROM contact_tag"), 2 * TRANSACTIONS)
        self.sync_all(till, office)
        self.assert_same(server, till, office)
        self.assert_sound(server, till, office)


if __name__ == "__main__":
    harness.main()
