"""T3, N6: a refusal is settled once, whoever is first and whatever is tried after; the other side hears of it."""
import json
import threading

import harness


class T3Settled(harness.Case):
    """A visit is counted in a transaction that also gives a task to a person that is not there. Once that one is, it may be made again: by somebody, once."""

    def refused(self, proxied=False):
        server = self.server()
        proxy = self.proxy(server) if proxied else None
        phone, tablet = self.device("phone", server, proxy), self.device("tablet", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada'); INSERT INTO task(id, title) VALUES(x'02', 'Call')")
        self.sync_all(phone, tablet)
        phone.sql("BEGIN; UPDATE contact SET visit_count = visit_count + 5 WHERE id = x'01';"
                  "UPDATE task SET assignee_id = x'dead' WHERE id = x'02'; COMMIT;")
        phone.sync()
        number = phone.one("SELECT n FROM satchel_rejected")
        self.assertEqual([(r["number"], r["code"]) for r in server.ctl("rejected")], [(number, "E_FOREIGN_KEY")])
        return server, proxy, phone, tablet, number

    def put_right(self, server):
        server.sql("INSERT INTO user_account(id, name, role) VALUES(x'dead', 'Found', 'rep')")

    def hear(self, phone):
        """One sync is enough: a device is in step once it has been told all."""
        phone.sync()
        self.assertEqual(phone.read("SELECT n FROM satchel_rejected"), [])

    def check(self, server, phone, tablet, visits=5):
        """Counted once, and nobody is left with anything to settle."""
        self.sync_all(phone, tablet)
        self.assertEqual(server.one("SELECT visit_count FROM contact WHERE id = x'01'"), visits)
        harness.wait_until(lambda: server.ctl("rejected") == [], "the server to have nothing that is open")
        self.hear(phone)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def event(self, watching, wanted):
        """The next event that is wanted; one that does not come ends the device."""
        late = threading.Timer(harness.PATIENCE_S, watching.kill)
        late.start()
        event = next((e for e in map(json.loads, watching.stdout) if wanted(e)), None)
        late.cancel()
        self.assertIsNotNone(event, "it was never told")
        return event

    def retry_there(self, server, number):
        """The admin tries; whether it is taken the number of visits tells."""
        try:
            server.ctl("rejected", "retry", "phone", number)
        except AssertionError as e:
            self.assertIn("E_RESOLVED", str(e))

    def test_T3_N6_retried_by_the_admin_ends_on_the_device(self):
        server, _, phone, tablet, number = self.refused()
        self.put_right(server)
        server.ctl("rejected", "retry", "phone", number)
        self.hear(phone)
        self.assertIn("E_RESOLVED", phone.run("rejected", "retry", number, expect=1).stderr)
        self.check(server, phone, tablet)
        self.assertEqual([r["state"] for r in server.ctl("rejected", "--all")], ["retried"])

    def test_T3_N6_discarded_by_the_admin_ends_on_a_device_that_is_connected(self):
        server, _, phone, tablet, number = self.refused()
        watching = phone.start("sync", "--watch", "--json")
        self.event(watching, lambda e: e.get("state") == "in_step")
        server.ctl("rejected", "discard", "phone", number)
        told = self.event(watching, lambda e: e["event"] == "settled")
        self.assertEqual((told["number"], told["code"], told["text"]), (number, "E_RESOLVED", "an admin has discarded it"))
        self.assertEqual(phone.read("SELECT n FROM satchel_rejected"), [])
        watching.terminate()
        watching.communicate()
        self.check(server, phone, tablet, visits=0)
        self.assertEqual([r["state"] for r in server.ctl("rejected", "--all")], ["discarded"])

    def test_T3_N6_told_again_until_the_device_has_it(self):
        server, proxy, phone, tablet, number = self.refused(proxied=True)
        self.put_right(server)
        server.ctl("rejected", "retry", "phone", number)
        # What is lost on its way is told by the next connection, and after a kill of the server.
        for down_bytes in (2500, 3500, 4500):
            proxy.cut_after(down_bytes)
            phone.run("sync", "--timeout", 1, expect=None)
        server.kill()
        server.start()
        proxy.heal()
        phone.route(proxy.port)
        proxy.target_port = server.sync_port
        self.check(server, phone, tablet)

    def test_T3_N6_retried_on_both_sides_counts_once_however_often_it_is_tried(self):
        server, _, phone, tablet, number = self.refused()
        self.put_right(server)
        # The device has not heard of the admin when its user settles it.
        phone.run("rejected", "retry", number)
        server.ctl("rejected", "retry", "phone", number)
        phone.sync()
        again, name = phone.read("SELECT n, name FROM satchel_rejected")[0]
        self.assertEqual(name, "E_RESOLVED")
        # To nobody is that one something to be retried in its turn.
        self.retry_there(server, again)
        phone.run("rejected", "retry", again, expect=None)
        phone.sync()
        self.assertEqual(server.one("SELECT visit_count FROM contact WHERE id = x'01'"), 5, "counted twice")
        self.assertEqual(server.ctl("rejected"), [])
        for command in (["retry", again], ["edit", again, "UPDATE contact SET given = 'x'"]):
            self.assertIn("E_RESOLVED", phone.run("rejected", *command, expect=1).stderr)
        phone.run("rejected", "discard", again)
        self.check(server, phone, tablet)

    def test_T3_N6_discarded_as_a_retry_that_was_never_sent_is_not_open_any_more(self):
        server, _, phone, tablet, number = self.refused()
        phone.run("rejected", "retry", number)
        phone.run("rejected", "discard", phone.one("SELECT n FROM satchel_outbox WHERE resolves = ?", number))
        self.put_right(server)
        self.check(server, phone, tablet, visits=0)
        self.assertEqual([r["state"] for r in server.ctl("rejected", "--all")], ["discarded"])

    def test_T3_N6_retried_in_vain_the_first_refusal_is_not_open_any_more(self):
        server, _, phone, tablet, number = self.refused()
        # Nothing that was wrong is put right: it is refused again, as another transaction.
        phone.run("rejected", "edit", number, "UPDATE contact SET given = 'Augusta' WHERE id = x'01'")
        phone.sync()
        again = phone.one("SELECT n FROM satchel_rejected")
        self.put_right(server)
        phone.sync()
        phone.run("rejected", "retry", again)
        phone.sync()
        self.retry_there(server, number)
        self.assertEqual(server.one("SELECT visit_count FROM contact WHERE id = x'01'"), 5, "counted twice")
        self.assertEqual([r["state"] for r in server.ctl("rejected", "--all")], ["retried", "retried"])
        self.check(server, phone, tablet)

    def test_T3_N6_discarded_in_great_number_they_are_told_and_what_was_made_since_follows(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        # More than a session's queue holds (QUEUE_SLOTS).
        phone.sql("".join(f"INSERT INTO task(id, title, assignee_id) VALUES(x'{i:04x}', 'Call', x'dead');" for i in range(40)))
        phone.sync()
        numbers = [n for n, in phone.read("SELECT n FROM satchel_rejected")]
        self.assertEqual(len(numbers), 40)
        for number in numbers:
            phone.run("rejected", "discard", number)
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        phone.sync()
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 1)
        harness.wait_until(lambda: server.ctl("rejected") == [], "the server to have nothing that is open")
        self.sync_all(phone, tablet)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)


if __name__ == "__main__":
    harness.main()
