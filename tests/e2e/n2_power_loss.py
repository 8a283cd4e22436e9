"""N2: loss of power. What was written and not synced is gone; what was sent, acknowledged or answered is not, so nobody is taken for a copy, and nothing
is lost that another has seen."""
import os
import shutil
import subprocess
import time

import harness

ROUNDS = 15


def lose_power(path):
    """The database file as it was on the disk; to be called when its program is dead. Tells whether its log had more than that."""
    before = log_of(path)
    if not os.path.exists(path + ".durable") and not os.path.exists(path + "-wal.durable"):
        raise AssertionError("nothing was ever synced, or the preloaded fsync does not work")
    for end in ("", "-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
        if os.path.exists(path + end + ".durable"):
            shutil.copy(path + end + ".durable", path + end)
    return log_of(path) != before


def log_of(path):
    try:
        with open(path + "-wal", "rb") as log:
            return log.read()
    except FileNotFoundError:
        return b""


class N2PowerLoss(harness.Case):
    def setUp(self):
        super().setUp()
        self.watched = harness.preloaded("LD_PRELOAD=" + os.environ["SATCHEL_POWER"])

    def work(self, i):
        return "".join(f"BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
                       f"INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', 'phone {i} {k}'); COMMIT;\n" for k in range(6))

    @staticmethod
    def end(process):
        process.kill()
        process.wait()

    def begin(self, server, phone, other):
        other.sync()
        other.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        self.sync_all(other, phone)

    def finish(self, server, phone, other):
        self.sync_all(phone, other)
        tags = server.one("SELECT count(*) FROM contact_tag")
        self.assertEqual(server.one("SELECT visit_count FROM contact"), tags, "a transaction was done twice, or by half")
        self.assert_same(server, phone, other)
        self.assert_sound(server, phone, other)
        for device in (phone, other):
            self.assertEqual(server.ctl("device", "show", device.name)["incarnations"], 1, f"{device.name} was taken for a copy")
        return tags

    def test_N2_device_loses_power_what_it_had_sent_is_still_its_own(self):
        server = self.server()
        phone, other = self.device("phone", server, prefix=self.watched), self.device("other", server)
        self.begin(server, phone, other)
        losses = 0
        for i in range(ROUNDS):
            # The app stays open, and does not wait for the disk: its commits are for the sync to bring there.
            with subprocess.Popen(phone.command("sql", "-"), stdin=subprocess.PIPE, text=True) as app:
                syncing = phone.start("sync", "--watch")
                app.stdin.write("PRAGMA synchronous=NORMAL;\n" + self.work(i))
                app.stdin.flush()
                time.sleep(self.random.uniform(0, 0.5))
                if i % 3 == 1:
                    # On a slow machine nothing would be sent in any of these times.
                    harness.wait_until(lambda: server.read("SELECT 1 FROM contact_tag WHERE tag LIKE ?", f"phone {i} %"), "something of it to be sent")
                if i % 3 == 0:
                    # A quick disk may have it all by now; what is written when nothing syncs any more is lost for certain.
                    self.end(syncing)
                    app.stdin.write(self.work(f"{i} late"))
                    app.stdin.flush()
                    harness.wait_until(lambda: phone.read("SELECT 1 FROM contact_tag WHERE tag = ?", f"phone {i} late 5"), "the app")
                for process in (app, syncing):
                    self.end(process)
            losses += lose_power(phone.path)
        self.assertGreater(losses, 0, "the preloaded fsync saves what was not synced")
        self.assertGreater(self.finish(server, phone, other), 0, "nothing was ever sent")

    def test_N2_server_loses_power_what_it_had_answered_is_still_there(self):
        server = self.server(prefix=self.watched)
        phone, other = self.device("phone", server), self.device("other", server)
        self.begin(server, phone, other)
        for i in range(ROUNDS):
            phone.sql(self.work(i))
            process = phone.start("sync", "--timeout", harness.PATIENCE_S)
            time.sleep(self.random.uniform(0, 0.25))
            server.kill()
            lose_power(server.store)
            server.start()
            self.assertEqual(process.wait(harness.PATIENCE_S), 0, phone.errors())
        self.assertEqual(self.finish(server, phone, other), 6 * ROUNDS)


if __name__ == "__main__":
    harness.main()
