"""A day of a company: a rep at a fair with a phone and a tablet, her colleague, an agent and their manager work without a network, at the times of that day; some edits
collide, one transaction is refused, a sync and the server are killed. In the evening all that happened has happened once, nothing is lost unseen, and each report is the same
on the server, on every device and as worked out from the rows, to the cent."""
import base64
import calendar
import collections
import json
import os
import sys
import time

import harness

os.environ["TZ"] = "UTC"  # the clocks below are given in local time
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../crm"))  # after this directory: both have an automation.py
import office
import reports
from crm_cli import crm
from office import ANN, BOB, DAY_MS, EVE, MIA, NORTH, TOM, key
from sales import DEMO, LOST, NEGOTIATION, PROPOSAL, PROSPECTING, QUALIFIED, WON, log_of, stage_of

DAY = "2026-11-03"
KESSLER, LINDGREN, HAFEN = (key(0xacc0 + n) for n in range(3))
ZOE, ADA, HAL = (key(0xc0a0 + n) for n in range(3))
FLEET, SERVICE, MIXERS, OVEN, CRANE, PRESS = (key(0xdea0 + n) for n in range(6))
FRIDA, GERO = key(0x1ead0), key(0x1ead1)
LIGHT, BILL, CATALOGUE, TEA, QUOTE = key(0x71c0), key(0x71c1), key(0x7a50), key(0x2070), key(0x9073)
PEOPLE = {"phone": ("Ann Rep", "rep", ANN), "tablet": ("Ann Rep", "rep", ANN), "bob": ("Bob Rep", "rep", BOB), "tom": ("Tom Agent", "agent", TOM), "mia": ("Mia Manager", "manager", MIA)}
MASKED = {"tom": ("account", "deal"), "mia": ("consent_event",)}  # tables of which they get some columns only


def ms(clock, day=DAY):
    return calendar.timegm((*map(int, day.split("-")), *map(int, clock.split(":")), 0)) * 1000


def at(clock):
    return harness.with_clock(f"@{DAY} {clock}:00")


def clock_of(when):
    """Time of the day; of another day with its date."""
    if when is None:
        return None
    text = time.strftime("%m-%d %H:%M", time.gmtime(when // 1000))
    return text[6:] if text.startswith(DAY[5:]) else text


def history():
    """Deals of the months before, some decided, in all kinds of money; one of a kind that has no rate."""
    rows = []
    for n in range(24):
        began = ms("12:00", "2026-01-15") + n * 8 * DAY_MS
        stage = (PROSPECTING, QUALIFIED, WON, DEMO, LOST, PROPOSAL, WON, NEGOTIATION)[n % 8]
        currency = ("'EUR'", "'USD'", "'CZK'", "'XTS'", "NULL")[n % 5]
        close = began + 90 * DAY_MS if n % 6 else "NULL"
        rows.append(f"({key(0x4150 + n)}, 'Before {n}', {stage}, {(ANN, BOB, EVE)[n % 3]}, {n * 123457 if n % 7 else 'NULL'}, {currency}, {n if n % 4 == 1 else 'NULL'}, {close}, {began})")
    return "INSERT INTO deal(id, name, stage_id, owner_id, amount_cents, currency, probability, close_date, created_at) VALUES" + ", ".join(rows)


MORNING = f"""{office.PEOPLE}
UPDATE user_account SET team_id = {NORTH} WHERE id = {TOM};
INSERT INTO account(id, name, owner_id, territory_id, employees, revenue_cents, industry) VALUES({KESSLER}, 'Kessler AG', {ANN}, {NORTH}, 90, 250000000, 'machines'),
  ({LINDGREN}, 'Lindgren & Co', {ANN}, NULL, 300, NULL, 'food'), ({HAFEN}, 'Hafen GmbH', {BOB}, NULL, NULL, 2000000000, 'ports');
INSERT INTO contact(id, account_id, given, family, job_title) VALUES({ZOE}, {KESSLER}, 'Zoe', 'Kessler', 'CTO'), ({ADA}, {LINDGREN}, 'Ada', 'Lind', 'Clerk'),
  ({HAL}, {HAFEN}, 'Hal', 'Moor', 'Managing Director');
INSERT INTO contact_point(id, contact_id, kind, value, is_primary) VALUES({key(1)}, {ZOE}, 'email', 'Zoe@Kessler.example', 1), ({key(2)}, {HAL}, 'phone', '+49 171 555 1299', 1);
INSERT INTO deal(id, name, account_id, stage_id, amount_cents, currency, owner_id, close_date, created_at) VALUES
  ({FLEET}, 'Kessler fleet', {KESSLER}, {QUALIFIED}, 4800000, 'EUR', {ANN}, {ms('00:00', '2026-12-15')}, {ms('09:00', '2026-10-20')}),
  ({SERVICE}, 'Kessler service', {KESSLER}, {DEMO}, 1234567, 'USD', {ANN}, {ms('00:00', '2026-12-20')}, {ms('09:00', '2026-10-30')}),
  ({MIXERS}, 'Lindgren mixers', {LINDGREN}, {NEGOTIATION}, 999999, 'GBP', {ANN}, {ms('00:00', '2026-11-20')}, {ms('09:00', '2026-09-01')}),
  ({OVEN}, 'Lindgren oven', {LINDGREN}, {DEMO}, 750050, 'EUR', {ANN}, NULL, {ms('09:00', '2026-10-01')}),
  ({CRANE}, 'Hafen crane', {HAFEN}, {PROPOSAL}, 3333333, 'CHF', {BOB}, {ms('00:00', '2026-11-30')}, {ms('09:00', '2026-10-10')}),
  ({PRESS}, 'Kessler press', {KESSLER}, {DEMO}, 200000, 'EUR', {ANN}, NULL, {ms('09:00', '2026-10-05')});
INSERT INTO deal_contact(deal_id, contact_id, added_at) VALUES({FLEET}, {ZOE}, 1), ({SERVICE}, {ZOE}, 1), ({MIXERS}, {ADA}, 1), ({OVEN}, {ADA}, 1), ({CRANE}, {HAL}, 1);
INSERT INTO lead(id, given, family, company, email, source, region_code, status, owner_id, created_by, created_at) VALUES
  ({FRIDA}, 'Frida', 'Falk', 'Falk Works', 'frida@falk.example', 'web', 'N', 'qualified', {ANN}, {ANN}, {ms('09:00', '2026-11-01')}),
  ({GERO}, 'Gero', 'Grau', 'Grau Glas', NULL, 'referral', 'N', 'working', {ANN}, {ANN}, {ms('09:00', '2026-11-01')});
INSERT INTO ticket(id, subject, assignee_id, contact_id, opened_at) VALUES({LIGHT}, 'No light', NULL, NULL, {ms('07:00')}), ({BILL}, 'Wrong bill', {TOM}, {HAL}, {ms('16:00', '2026-11-02')});
INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row) VALUES({CATALOGUE}, 'Send the catalogue', {ms('17:00')}, {ANN}, 'account', {KESSLER});
INSERT INTO note(id, parent_kind, parent_row, body, by_user, at) VALUES({TEA}, 'contact', {ZOE}, 'Likes tea', {ANN}, {ms('09:00', '2026-11-01')});
{history()};
"""


class DayInTheLife(harness.Case):
    schema = office.SCHEMA

    # ---- hands ----

    def sync(self, clock, *names):
        for name in names:
            self.devices_by_name[name].prefix = at(clock)
            self.devices_by_name[name].sync()

    def does(self, clock, name, *words, **options):
        """The program crm at that time. The row's id, as a literal."""
        environment = dict(w.split("=", 1) for w in at(clock)[1:])
        said = crm("--db", self.devices_by_name[name].path, "--user", PEOPLE[name][0], "--json", *(w[2:-1] if w.startswith("x'") else w for w in words), environment=environment, **options)
        return f"x'{json.loads(said)['id']}'"

    def sql(self, clock, name, text):
        """What crm has no verb for."""
        self.devices_by_name[name].prefix = at(clock)
        self.devices_by_name[name].sql(text)

    def demo_task(self, name):
        """Of the two that the booked demo brought, the first."""
        return self.devices_by_name[name].one(f"SELECT quote(id) FROM task WHERE parent_row = {FLEET} AND title LIKE 'Prepare the demo%'").lower()

    def run_timers(self):
        for timer in ("ticket-escalate", "deal-follow-up"):
            self.hq.ctl("automation", "run", timer)

    def note_work(self, *names):
        """What the devices are about to send, for the evening."""
        for name in names:
            for line in self.devices_by_name[name].run("export", "--pending").stdout.splitlines():
                self.work.append((name, json.loads(line)))

    def sync_without_answer(self, clock, name, sign):
        """A sync whose answers get lost from some point on, running; the server has taken in what `sign` asks for. And the proxy between."""
        device, proxy = self.devices_by_name[name], self.proxy(self.hq)
        device.prefix = at(clock)
        device.route(proxy.port)
        proxy.swallow_after(20000)
        process = device.start("sync", "--timeout", harness.PATIENCE_S)
        harness.wait_until(lambda: self.hq.one(sign), f"what {name} sends", pause_s=0.005)
        return process, proxy

    # ---- the day ----

    def begin(self):
        self.hq = self.server(schema=self.schema, prefix=at("07:00"))
        self.hq.sql(MORNING)
        self.devices_by_name = {}
        for name, (_, profile, who) in PEOPLE.items():
            device = self.devices_by_name[name] = self.device(name, prefix=at("07:10"))
            device.enroll(self.hq, options=["--profile", profile, "--user", who])
        self.sync("07:20", *PEOPLE)
        self.hq.stop()
        self.work = []

    def morning(self):
        """Nobody has a network: there is not even a server."""
        d = self.does
        self.broken = d("08:15", "tom", "ticket", "add", "It arrived broken", "--email", "zoe@kessler.example", "--kind", "complaint")
        self.sql("08:30", "mia", "".join(f"INSERT INTO goal(id, owner_id, month, kind, target) VALUES(uuid7(), {who}, '{DAY[:7]}', '{kind}', {target});"
                                         for who, kind, target in ((ANN, "won_cents", 2000000), (BOB, "won_deals", 1), (ANN, "interactions", 5))))
        d("08:35", "tom", "ticket", "reply", self.broken, "Sorry; another is on its way")
        self.fair = [d("08:40", "phone", "lead", "add", "--given", "Ines", "--family", "Adler", "--company", "Adler Bau", "--title", "CEO", "--email", "ines@adler.example",
                       "--phone", "030 1112", "--source", "fair", "--region", "N", "--size", "300")]
        d("08:50", "tom", "ticket", "reply", LIGHT, "Press the button")
        self.fair.append(d("08:55", "phone", "lead", "add", "--given", "Jon", "--family", "Brandt", "--title", "Buyer", "--source", "fair", "--region", "N", "--size", "12"))
        self.fair.append(d("09:10", "phone", "lead", "add", "--given", "Kai", "--family", "Cole", "--title", "Student", "--source", "fair", "--region", "S"))
        d("09:25", "tom", "ticket", "reply", LIGHT, "He sounds young", "--internal")
        self.fair.append(d("09:30", "phone", "lead", "add", "--given", "Lea", "--family", "Dorn", "--company", "Dorn & Sohn", "--title", "Managing Director", "--source", "referral",
                           "--region", "N"))
        d("09:35", "phone", "lead", "status", self.fair[1], "working")
        self.sql("09:40", "mia", f"UPDATE account SET industry = 'robots' WHERE id = {KESSLER}")
        d("09:45", "phone", "visit", "log", "Zoe Kessler", "--subject", "At the fair", "--deal", "Kessler fleet")
        self.sql("09:50", "tom", f"INSERT INTO ticket_event(id, ticket_id, kind, body, at, by_user) VALUES(uuid7(), {BILL}, 'reply', 'It was', {ms('09:50')}, {TOM})")  # and no more
        d("10:00", "tom", "ticket", "state", BILL, "resolved")
        self.booked = {}
        self.booked["phone"] = d("10:10", "phone", "visit", "log", "Zoe Kessler", "--channel", "phone", "--kind", "demo_booked", "--deal", "Kessler fleet")
        self.sql("10:20", "mia", f"UPDATE note SET body = 'Likes tea; call before ten' WHERE id = {TEA}")
        self.booked["tablet"] = d("10:30", "tablet", "visit", "log", "Zoe Kessler", "--channel", "email", "--kind", "demo_booked", "--deal", "Kessler fleet")
        self.sql("10:30", "tom", f"INSERT INTO feedback(id, ticket_id, score, at, by_user) VALUES(uuid7(), {BILL}, 4, {ms('10:30')}, {TOM})")
        d("10:45", "phone", "deal", "move", "Kessler service", "Proposal", "--next-step", "send the offer")
        d("10:48", "phone", "deal", "move", "Kessler press", "Lost", "--lost-reason", "bought elsewhere")
        self.sql("10:50", "mia", f"UPDATE task SET title = 'Send catalogue and prices', due_at = {ms('12:00')} WHERE id = {CATALOGUE}")
        self.sql("11:00", "tom", f"UPDATE ticket SET priority = 2 WHERE id = {LIGHT}")
        self.sql("11:05", "phone", "INSERT INTO objection(id, parent_kind, parent_row, kind, words, at, by_user) "
                                   f"VALUES(uuid7(), 'deal', {SERVICE}, 'price', 'Too dear', {ms('11:05')}, {ANN})")
        d("11:15", "tablet", "deal", "move", "Kessler service", "Lost", "--lost-reason", "no budget")
        d("11:17", "tablet", "deal", "move", "Kessler press", "Proposal")
        d("11:18", "tablet", "deal", "move", "Kessler press", "Negotiation")
        self.sql("11:20", "phone", f"UPDATE account SET industry = 'automation', website = 'https://kessler.example' WHERE id = {KESSLER}")
        d("11:30", "tablet", "task", "done", self.demo_task("tablet"))
        self.sql("11:35", "phone", f"UPDATE task SET title = 'Send the new catalogue' WHERE id = {CATALOGUE}; UPDATE note SET body = 'Likes tea, and chess' WHERE id = {TEA}")
        d("11:50", "phone", "deal", "move", "Lindgren oven", "Demo", "--amount", "8100.75", "--next-step", "visit the bakery")
        d("11:55", "phone", "lead", "status", GERO, "qualified")
        self.asked = [d("11:57", "mia", "deal", "assign", OVEN, "Bob Rep", "--why", "he knows bakers"),
                      d("11:58", "mia", "lead", "assign", "Gero", "bob@corp.example"), d("11:59", "mia", "deal", "assign", PRESS, "Bob Rep")]

    def noon(self):
        """The manager and Bob come by the office: what she may not write is settled there, and a deal and a lead, on which Ann has unsent edits, go from Ann
        to Bob as she asked without a network; another deal, which the office had given to her by then, does not."""
        self.hq.prefix = at("12:05")
        self.hq.start()
        mia = self.devices_by_name["mia"]
        self.hq.sql(f"UPDATE deal SET owner_id = {MIA} WHERE id = {PRESS}")
        self.note_work("mia")
        self.run_timers()  # before anybody has synced: the agent has answered, and nobody has heard of it
        self.sync("12:06", "mia")
        refused = mia.read("SELECT n, name, tbl, text FROM satchel_rejected")
        self.assertEqual([r[1:3] for r in refused], [("E_SCOPE", "account")], refused)
        self.assertEqual(refused[0][3], "profile manager may not change rows of account")
        for words in ("E_SCOPE", "robots", "machines"):
            self.assertIn(words, mia.run("rejected", "show", refused[0][0]).stdout)
        self.hq.sql(f"UPDATE account SET industry = 'robots', employees = 120 WHERE id = {KESSLER}; UPDATE ticket SET priority = 4 WHERE id = {LIGHT};"
                    f"UPDATE deal SET owner_id = {ANN} WHERE id = {PRESS}")
        mia.run("rejected", "discard", refused[0][0])
        self.sync("12:15", "mia", "bob")
        self.assertEqual((self.hq.ctl("rejected"), [r["state"] for r in self.hq.ctl("rejected", "--all")]), ([], ["discarded"]))
        self.assertEqual(stage_of(self.devices_by_name["bob"], OVEN), "Demo")
        answers = {f"x'{r['id']}'": (r["state"], r["words"]) for r in map(json.loads, crm("--db", mia.path, "--json", "request", "list").splitlines())}
        self.assertEqual([answers[key] for key in self.asked],
                         [("done", None), ("done", None), ("refused", "Mia Manager has it by now: ask again if it is to go on")])
        self.hq.stop()

    def afternoon(self):
        d = self.does
        self.sql("13:05", "phone", f"BEGIN; INSERT INTO quote(id, deal_id, provisional, currency, created_by, created_at) VALUES({QUOTE}, {MIXERS}, 'P-7', 'GBP', {ANN}, {ms('13:05')});"
                                   f"INSERT INTO quote_line(id, quote_id, qty, unit_cents) VALUES(uuid7(), {QUOTE}, 3, 333333); COMMIT;")
        self.sql("13:10", "phone", f"UPDATE quote SET status = 'sent' WHERE id = {QUOTE}")
        self.sql("13:20", "mia", "INSERT INTO appointment(id, title, starts_at, ends_at, owner_id) "
                                 f"VALUES(uuid7(), 'Review', {ms('10:30', '2026-11-05')}, {ms('11:30', '2026-11-05')}, {ANN})")
        d("13:30", "tom", "ticket", "add", "Who are you?", "--phone", "+49 30 999")
        self.sql("14:00", "phone", f"UPDATE quote SET status = 'accepted' WHERE id = {QUOTE}")
        d("14:10", "bob", "deal", "move", "Lindgren oven", "Proposal")
        d("14:20", "phone", "task", "done", self.demo_task("phone"))
        d("14:25", "tablet", "contact", "edit", "Zoe Kessler", "--title", "CEO")
        d("14:30", "phone", "contact", "edit", "Zoe Kessler", "--title", "Chief Technical Officer", "--tag", "fair", "--phone", "0171 5551234")
        d("14:40", "bob", "visit", "log", "Hal Moor", "--deal", "Hafen crane")
        self.falk = d("15:00", "phone", "lead", "convert", "Frida", "--amount", "12000.25", "--close", "2026-11-30")
        d("15:10", "bob", "deal", "move", "Hafen crane", "Negotiation")
        d("15:20", "phone", "deal", "move", "Falk Works", "Qualified")
        self.sql("15:40", "phone", "INSERT INTO appointment(id, title, starts_at, ends_at, owner_id, deal_id) "
                                   f"VALUES(uuid7(), 'Demo', {ms('10:00', '2026-11-05')}, {ms('11:00', '2026-11-05')}, {ANN}, {FLEET})")
        d("16:00", "bob", "deal", "move", "Hafen crane", "Won")
        self.sql("16:30", "phone", f"UPDATE account SET employees = 150 WHERE id = {KESSLER}")
        d("16:45", "tom", "ticket", "reply", LIGHT, "-", stdin=self.random.randbytes(20000).hex())  # which no compression makes less
        self.sql("17:00", "phone", f"INSERT INTO note(id, parent_kind, parent_row, body, by_user, at) VALUES({key(0x2071)}, 'contact', {ZOE}, '{self.random.randbytes(20000).hex()}', "
                                   f"{ANN}, {ms('17:00')})")
        d("17:05", "tom", "ticket", "state", LIGHT, "resolved")

    def evening(self):
        """All sync. The phone's first sync is killed before it hears an answer, and the server while the agent's runs."""
        phone, tom = self.devices_by_name["phone"], self.devices_by_name["tom"]
        self.note_work(*PEOPLE)
        self.hq.prefix = at("18:00")
        self.hq.start()
        self.run_timers()
        process, proxy = self.sync_without_answer("18:01", "phone", f"SELECT count(*) FROM note WHERE id = {key(0x2071)}")
        process.kill()
        process.wait()
        proxy.break_links()
        phone.route(self.hq.sync_port)
        self.assertTrue(phone.status()["pending"], "the answer came through")
        process, proxy = self.sync_without_answer("18:03", "tom", "SELECT count(*) FROM ticket_event WHERE length(body) = 40000")
        self.assertIsNone(process.poll())
        self.hq.kill()
        proxy.break_links()
        proxy.heal()
        self.hq.prefix = at("18:10")
        self.hq.start()
        self.assertEqual(process.wait(harness.PATIENCE_S), 0, tom.errors())
        tom.route(self.hq.sync_port)
        self.sync("18:11", "phone", "tablet", "bob", "mia", "tom")
        self.run_timers()
        self.hq.ctl("automation", "run", "forecast-keep")
        clock = 12
        while True:  # until nothing more happens
            head = self.hq.one("SELECT seq FROM satchel_server")
            self.sync(f"18:{clock}", *PEOPLE)
            if self.hq.one("SELECT seq FROM satchel_server") == head:
                break
            clock += 1
            self.assertLess(clock, 20, "it does not come to rest")

    # ---- what has become of it ----

    def rows(self, query):
        """As the server has them, blobs as literals."""
        return [tuple(map(reports.shown, row)) for row in self.hq.read(query)]

    def assert_events_happened_once(self):
        names = "coalesce(given, '') || ' ' || coalesce(family, '')"
        self.assertEqual(self.rows(f"SELECT {names}, source, status, owner_id IS NOT NULL FROM lead ORDER BY family"),
                         [("Ines Adler", "fair", "new", 1), ("Jon Brandt", "fair", "working", 1), ("Kai Cole", "fair", "new", 1), ("Lea Dorn", "referral", "new", 1),
                          ("Frida Falk", "web", "converted", 1), ("Gero Grau", "referral", "qualified", 1)])
        self.assertEqual(self.rows(f"SELECT owner_id FROM lead WHERE id IN ({GERO}, {self.fair[2]}) ORDER BY family"), [(EVE,), (BOB,)])
        self.assertEqual([(clock_of(when), *row) for when, *row in self.rows("SELECT at, channel, kind, deal_id, by_user FROM interaction ORDER BY at")],
                         [("09:45", "meeting", None, FLEET, ANN), ("10:10", "phone", "demo_booked", FLEET, ANN), ("10:30", "email", "demo_booked", FLEET, ANN),
                          ("14:40", "meeting", None, CRANE, BOB)])
        self.assertEqual(self.rows("SELECT visit_count, last_contact_at FROM contact WHERE visit_count > 0 ORDER BY id"), self.rows(
            "SELECT count(*), max(at) FROM interaction WHERE channel = 'meeting' GROUP BY contact_id ORDER BY contact_id"))
        self.assertEqual(len(self.rows("SELECT id FROM objection")) + len(self.rows("SELECT id FROM feedback")) + len(self.rows("SELECT id FROM appointment")), 1 + 1 + 2)
        self.assertEqual(self.rows("SELECT tentative FROM appointment ORDER BY tentative"), [(0,), (1,)])
        self.assertEqual(sorted(b for b, in self.rows("SELECT substr(body, 1, 30) FROM note WHERE length(body) < 100")), ["Likes tea, and chess", "Likes tea; call before ten"])
        self.assertEqual(self.rows("SELECT a.name, c.family, d.amount_cents, d.currency FROM lead l JOIN account a ON a.id = l.account_id JOIN contact c ON c.id = l.contact_id "
                                   f"JOIN deal d ON d.id = l.deal_id WHERE l.id = {FRIDA} AND d.id = {self.falk}"), [("Falk Works", "Falk", 1200025, "EUR")])
        self.assertEqual(self.rows(f"SELECT amount_cents, next_step, owner_id FROM deal WHERE id = {OVEN}"), [(810075, "visit the bakery", BOB)])
        self.assertEqual(self.rows("SELECT entity_row, from_user, to_user, by_user, state FROM reassignment ORDER BY at"),
                         [(OVEN, ANN, BOB, MIA, "done"), (GERO, ANN, BOB, MIA, "done"), (PRESS, ANN, BOB, MIA, "refused")])
        for name in ("phone", "tablet"):  # what was given to Bob has left
            self.assertEqual(self.devices_by_name[name].read(f"SELECT id FROM deal WHERE id = {OVEN} UNION ALL SELECT id FROM lead WHERE id = {GERO}"), [], name)
        self.assertEqual(self.rows("SELECT name, words FROM satchel_automation_run WHERE rc <> 0"), [])

    def assert_deals_moved_once(self):
        ways = {FLEET: [("10-20 09:00", "Qualified"), ("10:10", "Demo")], SERVICE: [("10-30 09:00", "Demo"), ("10:45", "Proposal"), ("11:15", "Lost")],
                MIXERS: [("09-01 09:00", "Negotiation"), ("14:00", "Won")], OVEN: [("10-01 09:00", "Demo"), ("14:10", "Proposal")],
                CRANE: [("10-10 09:00", "Proposal"), ("15:10", "Negotiation"), ("16:00", "Won")], PRESS: [("10-05 09:00", "Demo"), ("10:48", "Lost")], self.falk: [("15:00", "Prospecting"), ("15:20", "Qualified")]}
        for deal, way in ways.items():
            log = log_of(self.hq, deal)
            self.assertEqual([step for step, _, _ in log], list(range(len(way))))
            self.assertEqual([(clock_of(when), stage) for _, stage, when in log], way)
            self.assertEqual(stage_of(self.hq, deal), way[-1][1])
        moved = collections.Counter((deal, template) for deal, template, step in self.rows(
            "SELECT l.deal_id, t.id, l.step FROM deal_stage_log l JOIN task_template t ON t.stage_id = l.to_stage JOIN deal d ON d.id = l.deal_id "
            f"WHERE l.step > 0 OR d.created_at > {ms('07:00') - 7 * DAY_MS}"))
        self.assertEqual(collections.Counter(self.rows("SELECT k.parent_row, k.template_id FROM task k JOIN task_template t ON t.id = k.template_id WHERE t.cause = 'stage'")), moved)
        self.assertEqual(set(moved.values()), {1})
        followed = self.rows("SELECT k.parent_row FROM task k JOIN task_template t ON t.id = k.template_id WHERE t.cause IN ('idle', 'overdue') AND k.done_at IS NULL")
        self.assertEqual(len(followed), len(set(followed)))
        self.assertEqual(self.rows(f"SELECT number, provisional, status FROM quote WHERE id = {QUOTE}"), [(f"Q-{DAY[:4]}-000001", "P-7", "accepted")])

    def assert_leads_are_looked_after(self):
        report = reports.Report(self.hq, ms("20:00"))
        self.assertEqual(self.rows("SELECT lead_id, rule_id, points FROM score_reason ORDER BY 1, 2"), reports.in_order(report.lead_score_match()[1]))
        self.assertEqual(self.rows("SELECT id, score FROM lead ORDER BY 1"), reports.in_order(report.lead_score_estimate()[1]))
        calls = self.rows("SELECT k.parent_row, k.assignee_id FROM task k JOIN task_template t ON t.id = k.template_id WHERE t.cause = 'assigned' ORDER BY 1")
        self.assertEqual(calls, self.rows(f"SELECT id, owner_id FROM lead WHERE id <> {FRIDA} ORDER BY 1"))  # she was Ann's from the start
        self.assertEqual(self.rows("SELECT lead_id FROM lead_handoff ORDER BY 1"), [(FRIDA,), (GERO,)])
        self.assertEqual(self.rows("SELECT id, priority FROM deal WHERE stage_id IN (SELECT id FROM stage WHERE kind = 'open') ORDER BY 1"),
                         reports.in_order(report.deal_priority()[1]))
        kept = self.rows("SELECT month, owner_id, deals, open_cents, weighted_cents, history_cents FROM forecast_snapshot WHERE at = (SELECT max(at) FROM forecast_snapshot)")
        self.assertEqual(reports.in_order(kept), reports.in_order(report.forecast()[1]))

    def assert_tickets_were_answered(self):
        tickets = self.rows("SELECT subject, number, state, contact_id, first_response_at, (SELECT min(e.at) FROM ticket_event e WHERE e.ticket_id = t.id AND e.kind = 'reply' "
                            "AND e.internal = 0), resolved_at, csat, level FROM ticket t ORDER BY subject")
        self.assertEqual(sorted(t[1] for t in tickets), [f"T-{DAY[:4]}-{n:06d}" for n in range(1, 5)])
        self.assertEqual([(t[0], *t[2:4], *map(clock_of, t[4:7]), *t[7:]) for t in tickets],
                         [("It arrived broken", "open", ZOE, "08:35", "08:35", None, None, 1), ("No light", "resolved", None, "08:50", "08:50", "17:05", None, 2),
                          ("Who are you?", "open", None, None, None, None, None, 2), ("Wrong bill", "resolved", HAL, "09:50", "09:50", "10:00", 4, 3)])
        self.assertEqual([(*row, clock_of(when)) for *row, when in self.rows("SELECT t.subject, e.kind, e.internal, e.at FROM ticket_event e JOIN ticket t ON t.id = e.ticket_id ORDER BY 1, e.at")],
                         [("It arrived broken", "opened", 0, "08:15"), ("It arrived broken", "reply", 0, "08:35"),
                          ("No light", "reply", 0, "08:50"), ("No light", "escalated", 1, "09:00"), ("No light", "comment", 1, "09:25"), ("No light", "reply", 0, "16:45"),
                          ("No light", "resolved", 0, "17:05"), ("Who are you?", "opened", 0, "13:30"), ("Who are you?", "escalated", 1, "15:30"),
                          ("Wrong bill", "escalated", 1, "11-02 18:00"), ("Wrong bill", "reply", 0, "09:50"), ("Wrong bill", "resolved", 0, "10:00"), ("Wrong bill", "escalated", 1, "16:00")])

    def assert_losses_are_listed(self):
        """Each value that lost, with the one that was kept, and whose they were; and with whom it lost, his own."""
        def plain(literal):
            booked = {v: f"the booking on the {k}" for k, v in self.booked.items()}
            return booked.get(literal) or (clock_of(int(literal)) if literal.isdigit() and len(literal) > 10 else literal)

        log = self.hq.ctl("conflicts")
        self.assertEqual(sorted((c["table"], c["column"], c["rule"], plain(c["kept"]), c["kept_device"], plain(c["lost"]), c["lost_device"]) for c in log), sorted([
            ("account", "industry", "lww", "'robots'", "server", "'automation'", "phone"), ("account", "employees", "lww", "150", "phone", "120", "server"),
            ("task", "title", "lww", "'Send the new catalogue'", "phone", "'Send catalogue and prices'", "mia"),
            ("note", "body", "keep", "'Likes tea, and chess'", "phone", "'Likes tea; call before ten'", "mia"),
            ("contact", "job_title", "lww", "'Chief Technical Officer'", "phone", "'CEO'", "tablet"), ("ticket", "priority", "lww", "4", "server", "2", "tom"),
            ("deal", "stage_id", "guard", LOST, "tablet", PROPOSAL, "phone"), ("deal_stage_log", "to_stage", "first", PROPOSAL, "phone", LOST, "tablet"),
            ("deal", "stage_id", "guard", LOST, "phone", PROPOSAL, "tablet"), ("deal", "stage_id", "guard", LOST, "phone", NEGOTIATION, "tablet"),
            ("deal_stage_log", "to_stage", "first", LOST, "phone", PROPOSAL, "tablet"), ("deal_stage_log", "at", "first", "10:48", "phone", "11:17", "tablet"),
            ("deal_stage_log", "at", "first", "10:45", "phone", "11:15", "tablet"), ("deal_stage_log", "at", "first", "10:10", "phone", "10:30", "tablet"),
            ("deal_stage_log", "cause", "first", "the booking on the phone", "phone", "the booking on the tablet", "tablet"),
            ("task", "due_at", "group", "11-05 10:30", "tablet", "11-05 10:10", "phone"), ("task", "due_at", "group", "11-10 10:30", "tablet", "11-10 10:10", "phone"),
            ("task", "done_at", "min", "11:30", "tablet", "14:20", "phone")]))
        for name, device in self.devices_by_name.items():
            self.assertEqual(sorted(device.read("SELECT tbl, col, lower(quote(kept)), lower(quote(lost)) FROM satchel_conflicts")),
                             sorted((c["table"], c["column"], c["kept"].lower(), c["lost"].lower()) for c in log if c["lost_device"] == name), name)

    def assert_nothing_is_lost(self):
        """What each device wrote last, value by value, is there or is in the list of what lost."""
        def value(v):
            return "x'" + base64.b64decode(v["base64"]).hex() + "'" if isinstance(v, dict) else v

        def literal(v):
            return v if isinstance(v, str) and v.startswith("x'") else "'" + v.replace("'", "''") + "'" if isinstance(v, str) else str(v)

        there, written, gone = {}, {}, []
        for table in {change["table"] for _, change in self.work}:
            with_names = self.hq.read(f"SELECT name, pk FROM pragma_table_info('{table}')")
            for row in self.rows(f"SELECT * FROM {table}"):
                of = dict(zip((n for n, _ in with_names), row))
                there[table, frozenset((n, of[n]) for n, pk in with_names if pk)] = of
        for name, change in self.work:
            row = change["table"], frozenset((k, value(v)) for k, v in change["key"].items())
            if row not in there:
                gone.append((name, row[0], value(change["values"].get("to_stage") or change["values"].get("title"))))
                continue
            written.update({(name, row, column): value(v) for column, v in change["values"].items() if v is not None})
        lost = {(c["lost_device"], c["table"], c["key"].lower(), c["column"], c["lost"].lower()) for c in self.hq.ctl("conflicts")}
        missing = [(name, row[0], column, v, there[row][column]) for (name, row, column), v in written.items()
                   if there[row][column] != v and (name, row[0], ", ".join(k for _, k in row[1]), column, literal(v).lower()) not in lost]
        # Of the deal that was lost to the phone: what was to be done, and a step, in stages in which it has not been.
        self.assertEqual(sorted(gone), [("tablet", "deal_stage_log", NEGOTIATION)] + [("tablet", "task", title) for title in (
            "Call about the quote", "Settle terms and who signs", "Write and send the quote")])
        # Both are what a new row has by default; a ticket that waited went up, and of two appointments the one that came later is tentative.
        self.assertEqual(sorted(missing), [("mia", "appointment", "tentative", 0, 1), ("tom", "ticket", "level", 1, 2)])
        self.assertGreater(len(written), 200)

    def assert_devices_hold_the_servers_rows(self):
        whole = self.hq.content()
        for name, device in self.devices_by_name.items():
            status = device.status()
            self.assertEqual((status["pending"], status["refused"], status["cursor"]), (0, 0, self.hq.one("SELECT seq FROM satchel_server")), name)
            for table, rows in device.content().items():
                if table not in MASKED.get(name, ()):
                    self.assertEqual(set(rows) - set(whole[table]), set(), f"{table} on {name}")
            self.assertIn(" 0 repaired", device.run("verify", "--server").stdout)

    def assert_reports_agree(self):
        """The server's, each device's, and those worked out from the rows; and of the day's figures those that can be told beforehand."""
        whole = reports.agree(self.hq, ms("20:00"))
        owner = {"deal_value": 1, "forecast_weighted": 1, "closing_rate": 1, "goal_progress": 1, "rep_metrics": 0}  # where it stands
        for name, device in self.devices_by_name.items():
            device.prefix = at("20:00")
            got = reports.agree(device, ms("20:00"))
            whose = {"mia": {ANN, BOB}, "tom": set()}.get(name, {PEOPLE[name][2]})
            self.assertEqual({r: got[r] for r in owner}, {r: [row for row in whole[r] if row[column] in whose] for r, column in owner.items()}, name)
            if name == "tom":  # who has all that are nobody's as well
                self.assertEqual(got["tickets_figures"], whole["tickets_figures"], name)
        self.assertEqual(sorted(g[1:2] + g[3:] for g in whole["goal_progress"]),
                         [(ANN, "interactions", 5, 3), (ANN, "won_cents", 2000000, 1169999), (BOB, "won_deals", 1, 1)])  # 9999.99 GBP are 11699.99 EUR
        worth = {row[0]: row[4:] for row in whole["deal_value"]}
        self.assertEqual([worth[k] for k in (FLEET, OVEN, CRANE, self.falk)], [(4800000, 1920000), (810075, 486045), (3500000, 3500000), (1200025, 300006)])
        self.assertEqual(whole["leads_by_source"][0][:4], ("fair", 3, 0, 0))
        # Means in half minutes: an app's clock goes on while it works.
        figures = {kind: tuple(v and round(v / 30000) if n in (2, 6) else v for n, v in enumerate(rest)) for _, kind, *rest in whole["tickets_figures"]}
        self.assertEqual(figures, {"complaint": (1, 1, 40, 1, 0, 0, None, 0, None), "question": (3, 2, 1180, 1, 2, 6666, 1685, 1, 400)})

    def test_a_day_in_the_life(self):
        self.begin()
        self.morning()
        self.noon()
        self.afternoon()
        self.evening()
        self.assert_events_happened_once()
        self.assert_deals_moved_once()
        self.assert_leads_are_looked_after()
        self.assert_tickets_were_answered()
        self.assert_losses_are_listed()
        self.assert_nothing_is_lost()
        self.assert_devices_hold_the_servers_rows()
        self.assert_reports_agree()


if __name__ == "__main__":
    harness.main()
