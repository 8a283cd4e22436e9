"""T2: SIGKILL of the server and of devices at many instants of push and apply: nothing is lost, nothing is done twice."""
import time

import harness

WORK = ("BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
        "INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', '%s'); COMMIT;")


class T2Kill9(harness.Case):
    def work(self, device, tags, n):
        """n transactions, each of which adds 1 and puts a tag of its own: what a lost or a doubled one would betray."""
        new = [f"{device.name}-{len(tags) + i}" for i in range(n)]
        device.sql("".join(WORK % tag for tag in new))
        tags.extend(new)

    def rounds(self):
        """In each both devices have new transactions and begin to sync; after all, nothing is lost and nothing doubled."""
        server = self.server()
        a, b = self.device("a", server), self.device("b", server)
        a.sync()
        a.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        self.sync_all(a, b)
        tags_a, tags_b = [], []
        for _ in range(25):
            self.work(a, tags_a, 8)
            self.work(b, tags_b, 8)
            yield server, *((device, device.start("sync", "--timeout", harness.PATIENCE_S)) for device in (a, b))
        self.sync_all(a, b)
        tags = tags_a + tags_b
        self.assertEqual(server.one("SELECT visit_count FROM contact"), len(tags))
        self.assertEqual(sorted(r[0] for r in server.read("SELECT tag FROM contact_tag")), sorted(tags))
        self.assert_same(server, a, b)
        self.assert_sound(server, a, b)

    def test_T2_server_killed_during_push_and_apply_no_loss_no_double(self):
        for server, *syncing in self.rounds():
            time.sleep(self.random.uniform(0, 0.35))
            server.kill()
            server.start()
            for device, process in syncing:
                self.assertEqual(process.wait(harness.PATIENCE_S), 0, device.errors())

    def test_T2_device_killed_during_push_and_apply_no_loss_no_double(self):
        for _, *syncing in self.rounds():
            for _, process in syncing:
                time.sleep(self.random.uniform(0, 0.2))
                process.kill()
                process.wait()

    def test_T2_both_killed_no_loss_no_double(self):
        for i, (server, *syncing) in enumerate(self.rounds()):
            processes = [process for _, process in syncing]
            time.sleep(self.random.uniform(0, 0.3))
            processes[i % 2].kill()
            server.kill()
            processes[1 - i % 2].kill()
            server.start()
            for process in processes:
                process.wait()


if __name__ == "__main__":
    harness.main()
