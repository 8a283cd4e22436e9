"""T21: an event that moves a deal is booked on two devices offline: the deal moves once, with one row in its log and one set of tasks, whoever saw it first."""
import json

import harness
from crm_cli import crm

STAGE = "x'018bcfe568007000800000000000b1%02d'"
QUALIFIED, DEMO = STAGE % 2, STAGE % 3
ANN, TEAM, ACME, ZOE = (f"x'{n:032x}'" for n in (0xa1, 0x7e, 0xacce << 112, 0x20e << 112))
OFFICE = f"""
INSERT INTO team(id, name) VALUES({TEAM}, 'North');
INSERT INTO user_account(id, name, email, role, team_id) VALUES({ANN}, 'Ann Rep', 'ann@corp.example', 'rep', {TEAM});
INSERT INTO account(id, name, owner_id) VALUES({ACME}, 'Acme', {ANN});
INSERT INTO contact(id, given, account_id) VALUES({ZOE}, 'Zoe', {ACME});
"""
BEGAN = 1793611800000  # 2026-11-02 09:30


class T21StageTrigger(harness.Case):
    def setUp(self):
        super().setUp()
        self.office = self.server()
        self.office.sql(OFFICE)
        self.phone, self.tablet = (self.of_ann(name) for name in ("phone", "tablet"))
        self.deals = 0

    def of_ann(self, name):
        device = self.device(name).enroll(self.office, options=["--profile", "rep", "--user", ANN])
        device.sync()
        return device

    def crm(self, device, *words):
        return [json.loads(line) for line in crm("--db", device.path, "--user", "Ann Rep", "--json", *words).splitlines()]

    def deal(self):
        """A qualified deal that lacks nothing, on all sides. Its key, and its name."""
        self.deals += 1
        key, name = f"x'{0xdea1 << 112 | self.deals:032x}'", f"Deal {self.deals}"
        self.office.sql(f"INSERT INTO deal(id, name, account_id, stage_id, amount_cents, currency, probability, close_date, next_step, owner_id, created_at)"
                        f" VALUES({key}, '{name}', {ACME}, {QUALIFIED}, 500000, 'EUR', 50, {BEGAN + 86400000 * 60}, 'a demo', {ANN}, {BEGAN});")
        self.sync_all(self.phone, self.tablet)
        return key, name

    def book(self, device, name, at):
        """By the program, which moves the deal on the device at once."""
        self.crm(device, "visit", "log", "Zoe", "--channel", "phone", "--kind", "demo_booked", "--deal", name, "--at", at)
        self.assertEqual([d["stage"] for d in self.crm(device, "deal", "list") if d["name"] == name], ["Demo"])

    def book_by_sql(self, device, deal, at):
        """By an app that leaves it to the server."""
        device.sql(f"INSERT INTO interaction(id, contact_id, deal_id, channel, at, by_user, kind) VALUES(uuid7(), {ZOE}, {deal}, 'email', {at}, {ANN}, 'demo_booked')")

    def arrivals(self, side, deal):
        return side.read(f"SELECT step, from_stage = {QUALIFIED}, to_stage = {DEMO}, at, cause FROM deal_stage_log WHERE deal_id = {deal} ORDER BY step")

    def tasks(self, side, deal):
        return side.read("SELECT k.title, k.done_at IS NOT NULL FROM task k JOIN task_template t ON t.id = k.template_id "
                         f"WHERE k.parent_row = {deal} AND t.stage_id = {DEMO} ORDER BY t.pos")

    def assert_moved_once(self, deal, at, done=0):
        """`at`: of the booking that the server heard of first."""
        booked = self.office.one(f"SELECT id FROM interaction WHERE deal_id = {deal} AND at = {at}")
        for side in (self.office, self.phone, self.tablet):
            self.assertEqual(self.arrivals(side, deal), [(0, None, 0, BEGAN, None), (1, 1, 1, at, booked)])
            self.assertEqual(self.tasks(side, deal), [("Prepare the demo with the customer's own case", done), ("Send a summary after the demo", 0)])
            self.assertEqual(side.one(f"SELECT stage_id = {DEMO} FROM deal WHERE id = {deal}"), 1)
            self.assertEqual(side.one(f"SELECT count(*) FROM interaction WHERE deal_id = {deal} AND kind = 'demo_booked'"), 2)
        self.assertEqual(self.office.ctl("rejected"), [])

    def test_T21_booked_on_two_devices_offline_moves_once_whichever_syncs_first(self):
        for first, second in ((self.phone, self.tablet), (self.tablet, self.phone)):
            with self.subTest(first=first.name):
                deal, name = self.deal()
                self.book(self.phone, name, "2026-11-03 10:00")
                self.book(self.tablet, name, "2026-11-03 11:00")
                self.assertEqual([len(self.tasks(device, deal)) for device in (first, second)], [2, 2])
                task = self.crm(self.tablet, "task", "list")
                made = next(t for t in task if t["title"].startswith("Prepare") and t["whom"] == name)
                self.crm(self.tablet, "task", "done", made["id"])
                self.sync_all(first, second)
                self.assert_moved_once(deal, 1793700000000 if first is self.phone else 1793703600000, done=1)

    def test_T21_app_that_leaves_the_move_to_the_server_beside_one_that_does_or_does_not(self):
        for first, second, both in ((self.phone, self.tablet, False), (self.tablet, self.phone, False), (self.phone, self.tablet, True)):
            with self.subTest(first=first.name, both=both):
                deal, name = self.deal()
                self.book_by_sql(self.phone, deal, 1793700000000)
                if both:
                    self.book_by_sql(self.tablet, deal, 1793703600000)
                else:
                    self.book(self.tablet, name, "2026-11-03 11:00")
                self.sync_all(first, second)
                self.assert_moved_once(deal, 1793700000000 if first is self.phone else 1793703600000)

    def test_T21_moved_by_hand_on_one_device_and_booked_on_the_other_moves_once(self):
        for first, second in ((self.phone, self.tablet), (self.tablet, self.phone)):
            with self.subTest(first=first.name):
                deal, name = self.deal()
                self.crm(self.phone, "deal", "move", name, "Demo")
                self.book(self.tablet, name, "2026-11-03 11:00")
                self.sync_all(first, second)
                for side in (self.office, self.phone, self.tablet):
                    self.assertEqual([r[:3] for r in self.arrivals(side, deal)], [(0, None, 0), (1, 1, 1)])
                    self.assertEqual(len(self.tasks(side, deal)), 2)
                self.assertEqual(self.office.ctl("rejected"), [])

    def test_T21_server_killed_after_the_first_booking_moves_once(self):
        deal, name = self.deal()
        self.book(self.phone, name, "2026-11-03 10:00")
        self.book(self.tablet, name, "2026-11-03 11:00")
        process = self.phone.start("sync", "--timeout", harness.PATIENCE_S)
        harness.wait_until(lambda: self.office.one(f"SELECT count(*) FROM interaction WHERE deal_id = {deal}") or process.poll() is not None, "the first booking", pause_s=0)
        self.office.kill()
        self.office.start()
        self.assertEqual(process.wait(harness.PATIENCE_S), 0, self.phone.errors())
        self.sync_all(self.phone, self.tablet)
        self.assert_moved_once(deal, 1793700000000)


if __name__ == "__main__":
    harness.main()
