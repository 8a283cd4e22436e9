"""T1: the same push again and again, with the reply lost each time, has one effect."""
import os
import time

import harness
import wire
from harness import wait_until


class T1Resend(harness.Case):
    def test_T1_device_loses_every_reply_ten_times_one_effect(self):
        """Ten transactions, each pushed over a connection whose replies vanish from the push on."""
        server = self.server()
        proxy = self.proxy(server)
        phone = self.device("phone", server, proxy)
        other = self.device("other", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 0)")
        phone.sync()
        for i in range(10):
            # Random bytes do not compress, so the push is what passes the limit, and hello is not.
            text = self.random.randbytes(20000).hex()
            phone.sql(f"BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
                      f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'{i:04x}', 'contact', x'01', '{text}'); COMMIT")
            before = server.one("SELECT seq FROM satchel_server")
            proxy.swallow_after(20000)
            process = phone.start("sync")
            wait_until(lambda: server.one("SELECT seq FROM satchel_server") > before, "the push to be committed")
            self.assertEqual(phone.one("SELECT count(*) FROM satchel_outbox WHERE state = 0"), 1, "the result came through")
            proxy.break_links()
            proxy.heal()
            self.assertEqual(process.wait(harness.PATIENCE_S), 0, phone.errors())
        other.sync()
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 10)
        self.assertEqual(server.one("SELECT count(*) FROM note"), 10)
        self.assert_same(server, phone, other)
        self.assert_sound(server, phone, other)

    def test_T1_N3_same_message_sent_ten_times_one_effect(self):
        """The same bytes, on one connection and on new ones, each time after the reply was thrown away."""
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 3)")
        phone.sync()
        table, column = server.read("SELECT t.id, c.id FROM satchel_table t JOIN satchel_column c ON c.tbl_id = t.id"
                                    " WHERE t.name = 'contact' AND c.name = 'visit_count'")[0]
        add = [wire.PUSH, 1, [[100, os.urandom(8), int(time.time() * 1000) << 16, 1, server.epoch(), None, None, 0, True,
                               [[table, 1, 1, [column << 2 | 1], [b"\x01", 5]]]]]]
        seqs = set()
        for i in range(10):
            link = wire.Wire(server.sync_port, phone.identity)
            link.send(*server.hello(last_number=100))
            link.receive_type(wire.WELCOME)
            for _ in range(1 + i % 2):
                link.send(*add)
                if i % 3:
                    answer = link.receive_type(wire.RESULTS)
                    while 100 not in [r[0] for r in answer[1]]:
                        answer = link.receive_type(wire.RESULTS)
                    seqs |= {r[2] for r in answer[1] if r[0] == 100}
            link.close()
        wait_until(lambda: server.one("SELECT visit_count FROM contact") >= 8, "the counter")
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 8)
        self.assertEqual(len(seqs), 1, "a repeated transaction was answered with another seq")
        self.assert_sound(server)


if __name__ == "__main__":
    harness.main()
