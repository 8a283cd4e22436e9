"""T16: quotes and tickets that eight devices make offline get final numbers from the server, each its own, and stay known by the provisional ones."""
import itertools

import harness

DEVICES, EACH = 8, 12
DEAL, STAGE = "x'de'", "x'018bcfe568007000800000000000b104'"


class T16Quote(harness.Case):
    def setUp(self):
        super().setUp()
        self.office = self.server()
        self.office.sql(f"INSERT INTO deal(id, name, stage_id) VALUES({DEAL}, 'Fifty engines', {STAGE})")
        self.staff = [self.device(f"d{n}", self.office) for n in range(DEVICES)]
        for device in self.staff:
            device.sync()
        self.keys = itertools.count(1)

    def make(self, device, rounds=EACH):
        """Quotes with a line each, and tickets, each in a transaction of its own or all three in one."""
        text = ""
        for n in range(rounds):
            quote, line, ticket = (f"x'{next(self.keys):08x}'" for _ in range(3))
            sql = (f"INSERT INTO quote(id, deal_id, provisional) VALUES({quote}, {DEAL}, '{device.name}-{n}');"
                   f"INSERT INTO quote_line(id, quote_id, qty, unit_cents) VALUES({line}, {quote}, {n + 1}, 250);"
                   f"INSERT INTO ticket(id, subject) VALUES({ticket}, '{device.name}-{n}');")
            text += f"BEGIN;{sql}COMMIT;" if n % 2 else sql
        device.sql(text)

    def numbers(self, side):
        """{provisional: number} of quotes, {subject: number} of tickets."""
        return dict(side.read("SELECT provisional, number FROM quote")), dict(side.read("SELECT subject, number FROM ticket"))

    def assert_numbered(self, sides, rounds=EACH):
        names = sorted(f"{device.name}-{n}" for device in self.staff for n in range(rounds))
        expected = self.numbers(self.office)
        for side in sides:
            self.assertEqual(self.numbers(side), expected)
        for numbered, form in zip(expected, (r"^Q-\d{4}-\d{6}$", r"^T-\d{4}-\d{6}$")):
            self.assertEqual(sorted(numbered), names)
            for number in numbered.values():
                self.assertRegex(number, form)
            counted = sorted(int(number[-6:]) for number in numbered.values())
            self.assertEqual(counted, list(range(1, len(names) + 1)), "two have one number, or one is left out")
        for key, in self.office.read("SELECT id FROM quote"):
            self.assertEqual(self.office.one("SELECT sum(qty * unit_cents) > 0 FROM quote_line WHERE quote_id = ?", key), 1)

    def test_T16_eight_devices_at_once_each_quote_and_ticket_has_its_own_final_number(self):
        for device in self.staff:
            self.make(device)
            self.assertEqual(set(self.numbers(device)[0].values()), {None}, "a device gives no final number")
        for process in [device.start("sync") for device in self.staff]:
            self.assertEqual(process.wait(harness.PATIENCE_S), 0)
        self.sync_all(*self.staff, rounds=1)
        self.assert_numbered(self.staff)
        # What was printed before is how a customer asks for it: it stays, whatever a device writes later.
        self.staff[0].sql("UPDATE quote SET provisional = 'another' WHERE provisional = 'd3-5'")
        self.sync_all(*self.staff[:2])
        self.assert_numbered(self.staff[:2])
        self.assert_same(self.office, *self.staff)

    def test_T16_server_killed_and_replies_lost_no_number_is_given_twice(self):
        for device in self.staff:
            self.make(device, rounds=5)
        for _ in range(4):
            syncing = [device.start("sync", "--timeout", harness.PATIENCE_S) for device in self.staff]
            harness.wait_until(lambda before=self.office.one("SELECT count(number) FROM quote"), running=syncing:
                               self.office.one("SELECT count(number) FROM quote") > before or all(p.poll() is not None for p in running), "more numbers", pause_s=0)
            self.office.kill()
            self.office.start()
            for process in syncing:
                self.assertEqual(process.wait(harness.PATIENCE_S), 0)
        self.sync_all(*self.staff, rounds=2)
        self.assert_numbered(self.staff, rounds=5)
        self.assert_same(self.office, *self.staff)

    def test_T16_number_that_a_device_writes_itself_is_refused_and_its_quote_stays(self):
        phone = self.staff[0]
        self.make(phone, rounds=1)
        phone.sync()
        phone.sql("UPDATE quote SET number = 'Q-1999-000001' WHERE provisional = 'd0-0'")
        phone.sync()
        self.assertEqual(phone.read("SELECT name FROM satchel_rejected"), [("E_SERVER_OWNED",)])
        self.assertEqual(self.numbers(phone), self.numbers(self.office))
        self.assertRegex(self.numbers(phone)[0]["d0-0"], r"^Q-\d{4}-000001$")
        phone.run("rejected", "discard", phone.one("SELECT n FROM satchel_rejected"))


if __name__ == "__main__":
    harness.main()
