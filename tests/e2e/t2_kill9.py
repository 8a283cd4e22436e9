"""T2: SIGKILL of the server and of devices at many instants of push and apply: nothing is lost, nothing is done twice."""
import time

import harness

WORK = ("BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
        "INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', '%s'); COMMIT;")


class T2Kill9(harness.Case):
    rounds = 25

    def work(self, device, tags, n):
        """n transactions, each of which adds 1 and puts a tag of its own: what a lost or a doubled one would betray."""
        new = [f"{device.name}-{len(tags) + i}" for i in range(n)]
        device.sql("".join(WORK % tag for tag in new))
        tags.extend(new)

    def begin(self):
        server = self.server()
        a, b = self.device("a", server), self.device("b", server)
        a.sync()
        a.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        self.sync_all(a, b)
        return server, a, b

    def finish(self, server, a, b, tags):
        self.sync_all(a, b)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), len(tags))
        self.assertEqual(sorted(r[0] for r in server.read("SELECT tag FROM contact_tag")), sorted(tags))
        self.assert_same(server, a, b)
        self.assert_sound(server, a, b)

    def test_T2_server_killed_during_push_and_apply_no_loss_no_double(self):
        server, a, b = self.begin()
        tags_a, tags_b = [], []
        for _ in range(self.rounds):
            self.work(a, tags_a, 8)
            self.work(b, tags_b, 8)
            syncing = [a.start("sync"), b.start("sync")]
            time.sleep(self.random.uniform(0, 0.35))
            server.kill()
            server.start()
            for process in syncing:
                self.assertEqual(process.wait(harness.PATIENCE_S), 0, a.errors() + b.errors())
        self.finish(server, a, b, tags_a + tags_b)

    def test_T2_device_killed_during_push_and_apply_no_loss_no_double(self):
        server, a, b = self.begin()
        tags_a, tags_b = [], []
        for _ in range(self.rounds):
            self.work(a, tags_a, 8)
            self.work(b, tags_b, 8)
            syncing = [a.start("sync"), b.start("sync")]
            for process in syncing:
                time.sleep(self.random.uniform(0, 0.2))
                process.kill()
                process.wait()
        self.finish(server, a, b, tags_a + tags_b)

    def test_T2_both_killed_no_loss_no_double(self):
        server, a, b = self.begin()
        tags_a, tags_b = [], []
        for i in range(self.rounds):
            self.work(a, tags_a, 8)
            self.work(b, tags_b, 8)
            syncing = [a.start("sync"), b.start("sync")]
            time.sleep(self.random.uniform(0, 0.3))
            syncing[i % 2].kill()
            server.kill()
            syncing[1 - i % 2].kill()
            server.start()
            for process in syncing:
                process.wait()
        self.finish(server, a, b, tags_a + tags_b)


if __name__ == "__main__":
    harness.main()
