"""N2: loss of power. What was written and not synced is gone; what was sent, acknowledged or answered is not, so nobody is taken for a copy, and nothing
is lost that another has seen."""
import os
import shutil
import subprocess
import time

import harness

ROUNDS = 15


def lose_power(path):
    """The database file as it was on the disk; to be called when its program is dead. Tells how many bytes of its log were lost."""
    before = os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0
    if not os.path.exists(path + ".durable") and not os.path.exists(path + "-wal.durable"):
        raise AssertionError("nothing was ever synced, or the preloaded fsync does not work")
    for end in ("", "-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
        if os.path.exists(path + end + ".durable"):
            shutil.copy(path + end + ".durable", path + end)
    return before - (os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0)


class N2PowerLoss(harness.Case):
    def setUp(self):
        super().setUp()
        self.watched = harness.preloaded("LD_PRELOAD=" + os.environ["SATCHEL_POWER"])

    def work(self, i):
        return "".join(f"BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
                       f"INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', 'phone {i} {k}'); COMMIT;\n" for k in range(6))

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
        lost = i = 0
        # A quick disk may have brought everything home each time: then there are more rounds, until some power was lost in the middle.
        while i < ROUNDS or (not lost and i < 6 * ROUNDS):
            i += 1
            # The app stays open, and does not wait for the disk: its commits are for the sync to bring there.
            with subprocess.Popen(phone.command("sql", "-"), stdin=subprocess.PIPE, text=True) as app:
                syncing = phone.start("sync", "--watch")
                app.stdin.write(self.work(i))
                app.stdin.flush()
                time.sleep(self.random.uniform(0, 0.5))
                for process in (app, syncing):
                    process.kill()
                    process.wait()
            lost += lose_power(phone.path) > 0
        self.assertGreater(lost, 0, "the device synced whatever it wrote at once: no power was lost")
        self.assertGreater(self.finish(server, phone, other), 0, "nothing was ever sent")

    def test_N2_server_loses_power_what_it_had_answered_is_still_there(self):
        server = self.server(prefix=self.watched)
        phone, other = self.device("phone", server), self.device("other", server)
        self.begin(server, phone, other)
        for i in range(ROUNDS):
            phone.sql(self.work(i))
            process = phone.start("sync")
            time.sleep(self.random.uniform(0, 0.25))
            server.kill()
            lose_power(server.store)
            server.start()
            self.assertEqual(process.wait(harness.PATIENCE_S), 0, phone.errors())
        self.assertEqual(self.finish(server, phone, other), 6 * ROUNDS)


if __name__ == "__main__":
    harness.main()
