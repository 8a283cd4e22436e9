"""The program crm: a rep's and an agent's day offline, found and shown as the sync leaves it, and what crm says when something is not so."""
import json
import os
import re
import shutil
import sqlite3
import subprocess

import harness
from harness import check_output

TEAM, OTHER_TEAM = "x'01'", "x'02'"
STAGE = "x'018bcfe568007000800000000000b1%02d'"


def key(n):
    return f"x'{n:032x}'"


ANN, BOB, EVE, TOM = key(0xa1), key(0xb0b), key(0xe7e), key(0x70)
ACME, DEAL, TICKET, TASK = key(0xacce << 112), key(0xdea1 << 112), key(0x71c7 << 112), key(0x7a5c << 112)
OFFICE = f"""
INSERT INTO team(id, name) VALUES({TEAM}, 'North'), ({OTHER_TEAM}, 'South');
INSERT INTO user_account(id, name, email, role, team_id) VALUES({ANN}, 'Ann Rep', 'ann@corp.example', 'rep', {TEAM}),
  ({BOB}, 'Bob Rep', 'bob@corp.example', 'rep', {TEAM}), ({EVE}, 'Eve Rep', 'eve@corp.example', 'rep', {OTHER_TEAM}),
  ({TOM}, 'Tom Agent', 'tom@corp.example', 'agent', NULL);
INSERT INTO account(id, name, owner_id) VALUES({ACME}, 'Acme', {ANN});
INSERT INTO deal(id, name, account_id, stage_id, amount_cents, currency, owner_id) VALUES({DEAL}, 'Fifty engines', {ACME}, {STAGE % 1}, 500000, 'EUR', {ANN});
INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row) VALUES({TASK}, 'Send the catalogue', 1700000000000, {ANN}, 'deal', {DEAL});
INSERT INTO product(id, sku, name, price_cents) VALUES({key(0x51)}, 'E-1', 'Compact engine', 99000), ({key(0x52)}, 'E-2', 'Big engine', 250000);
INSERT INTO ticket(id, number, subject, assignee_id, opened_at) VALUES({TICKET}, 'T-17', 'It does not start', {TOM}, 1700000000000);
"""


# What standard error may have of a verb that is done.
BESIDE = re.compile(r"(crm: there is nothing of that here\n|crm: the server refused \d+ of this device's changes: .*\n)*")


def crm(*arguments, expect=0, stdin=None, environment=None):
    """Standard output, or standard error of what is to fail."""
    clean = {k: v for k, v in os.environ.items() if k not in ("CRM_USER", "CRM_DB")}
    done = subprocess.run([harness.program("crm"), *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=harness.PATIENCE_S, check=False,
                          env={**clean, "TZ": "UTC", **(environment or {})})
    check_output("crm", done.stderr)
    if done.returncode != expect or not (expect or BESIDE.fullmatch(done.stderr)):
        raise AssertionError(f"crm {arguments}: status {done.returncode} instead of {expect}: {done.stdout}{done.stderr}")
    return done.stderr if expect else done.stdout


class CrmCli(harness.Case):
    def setUp(self):
        super().setUp()
        self.office = self.server()
        self.office.sql(OFFICE)
        self.ann = self.of("ann", "rep", ANN)

    def of(self, name, profile, user):
        device = self.device(name).enroll(self.office, options=["--profile", profile, "--user", user])
        device.sync()
        return device

    def crm(self, device, *arguments, user=None, **options):
        return crm("--db", device.path, *(["--user", user] if user else []), *arguments, **options)

    def rows(self, device, *arguments, **options):
        return [json.loads(line) for line in self.crm(device, "--json", *arguments, **options).splitlines()]

    def names(self, device, text):
        return sorted(r["name"] for r in self.rows(device, "search", text))

    def catalogue(self, device, *arguments, **options):
        """Ann's one task among those that a rule may have made."""
        return [r for r in self.rows(device, "task", *arguments, **options) if r["title"] == "Send the catalogue"]

    def assert_says(self, device, wanted, *arguments, **options):
        """One line of words, with each of these in it."""
        said = self.crm(device, *arguments, **{"expect": 1, **options})
        for words in wanted:
            self.assertIn(words, said)

    # ---- a day ----

    def test_work_offline_of_a_rep_and_an_agent_is_on_the_server_after_a_sync(self):
        ann, tom = self.ann, self.of("tom", "agent", TOM)
        self.office.stop()
        made = self.rows(ann, "contact", "add", "--given", "Zoë", "--family", "Müller", "--new-company", "Späth & Söhne", "--email", "zoe@spaeth.example",
                         "--phone", "+49 171 555-1234", "--title", "CTO", "--tag", "fair", user="ann@corp.example")[0]["id"]
        self.crm(ann, "contact", "edit", "zoe@spaeth.example", "--status", "lead", "--untag", "fair", "--tag", "vip?", user="Ann Rep")
        self.assertIn("added: Ada Byron", self.crm(ann, "lead", "add", "--given", "Ada", "--family", "Byron", "--company", "Engines", "--size", "12", user="Ann Rep"))
        self.assertIn("moved to Qualified", self.crm(ann, "deal", "move", "Fifty", "qualified", "--amount", "6000.5", "--close", "2027-01-31", user="Ann Rep"))
        self.crm(ann, "visit", "log", "0171 5551234", "--subject", "the fair", "--at", "2026-11-02 09:30", "--deal", "Fifty", user="Ann Rep")
        self.crm(ann, "task", "done", "7a5c", environment={"CRM_USER": ANN[2:-1]})
        self.crm(tom, "ticket", "reply", "T-17", "-", user="Tom Agent", stdin="Have you\ntried the key?\n")
        self.crm(tom, "ticket", "reply", "t-17", "not too bright", "--internal", user="Tom Agent")
        self.crm(tom, "ticket", "state", "71c7", "resolved", user="Tom Agent")
        self.assertEqual(ann.status()["pending"], 6)  # one transaction a verb, and none of the index
        self.office.start()
        self.sync_all(ann, tom)
        read = self.office.one
        contact = bytes.fromhex(made)
        self.assertEqual(self.office.read("SELECT given, family, job_title, c.status, hex(c.created_by), visit_count, last_contact_at, a.name FROM contact c "
                                          "JOIN account a ON a.id = c.account_id WHERE c.id = ?", contact),
                         [("Zoë", "Müller", "CTO", "lead", ANN[2:-1].upper(), 1, 1793611800000, "Späth & Söhne")])
        self.assertEqual(self.office.read("SELECT tag FROM contact_tag WHERE contact_id = ?", contact), [("vip?",)])
        self.assertEqual(self.office.read("SELECT kind, value, is_primary FROM contact_point WHERE contact_id = ? ORDER BY 1", contact),
                         [("email", "zoe@spaeth.example", 1), ("phone", "+49 171 555-1234", 1)])
        self.assertEqual(self.office.read("SELECT hex(deal_id), channel, at, subject, hex(by_user) FROM interaction WHERE contact_id = ?", contact),
                         [(DEAL[2:-1].upper(), "meeting", 1793611800000, "the fair", ANN[2:-1].upper())])
        self.assertEqual(self.office.read("SELECT company, company_size, status, hex(created_by) FROM lead WHERE family = 'Byron'"),
                         [("Engines", 12, "new", ANN[2:-1].upper())])
        self.assertEqual(self.office.read("SELECT s.name, amount_cents, currency, close_date FROM deal JOIN stage s ON s.id = stage_id WHERE deal.name = 'Fifty engines'"),
                         [("Qualified", 600050, "EUR", 1801353600000)])
        self.assertEqual(self.office.read("SELECT done_at > 1700000000000, hex(done_by) FROM task WHERE title = 'Send the catalogue'"), [(1, ANN[2:-1].upper())])
        self.assertEqual(self.office.read("SELECT kind, body, internal, hex(by_user) FROM ticket_event WHERE by_user IS NOT NULL ORDER BY at, id"),
                         [("reply", "Have you\ntried the key?", 0, TOM[2:-1].upper()), ("comment", "not too bright", 1, TOM[2:-1].upper()),
                          ("resolved", None, 0, TOM[2:-1].upper())])
        self.assertEqual(read("SELECT state || (first_response_at <= resolved_at) FROM ticket WHERE number = 'T-17'"), "resolved1")
        for device in (ann, tom):
            self.assertEqual(device.one("SELECT count(*) FROM satchel_rejected"), 0)
            device.run("verify", "--server")

    def test_lists_and_cards_show_what_is_there(self):
        ann = self.ann
        self.crm(ann, "contact", "add", "--given", "Zoë", "--family", "Müller", "--company", "acme", "--phone", "+49 171 5551234", user="Ann Rep")
        table = self.crm(ann, "deal", "list").splitlines()
        self.assertEqual(table[0].split(), ["id", "name", "company", "stage", "amount", "currency", "probability", "close", "owner", "next", "step"])
        self.assertRegex(table[1], r"^dea10000  Fifty engines  Acme +Prospecting  5000\.00  EUR +10 +Ann Rep +$")
        self.assertEqual(self.rows(ann, "deal", "list")[0]["amount_cents"], 500000)
        self.assertEqual(self.crm(ann, "deal", "list", "--stage", "won"), "")
        card = self.crm(ann, "deal", "show", "dea1")
        self.assertRegex(card, r"(?s)stage +Prospecting\n.*may move to\nname\nQualified\nLost\n")
        shown = self.rows(ann, "contact", "show", "Zoë Müller")[0]
        self.assertEqual([shown["company"], shown["account_id"], shown["reach"][0]["value"], shown["deals"][0]["name"]],
                         ["Acme", ACME[2:-1], "+49 171 5551234", "Fifty engines"])
        self.assertIn("company         Acme\n", self.crm(ann, "contact", "show", "zoe muller"))
        self.assertEqual([r["state"] for r in self.catalogue(ann, "due")], ["overdue"])
        self.assertEqual(len(self.catalogue(ann, "list", "--mine", user="Ann Rep")), 1)
        self.assertEqual(self.catalogue(ann, "list", "--mine", user="Bob Rep"), [])
        self.crm(ann, "task", "done", "Send the catalogue", user="Ann Rep")
        self.assertIn("done already", self.crm(ann, "task", "done", "Send the catalogue", user="Ann Rep"))
        self.assertEqual([r["id"] for r in map(json.loads, crm("--json", "deal", "list", environment={"CRM_DB": ann.path}).splitlines())], [DEAL[2:-1]])
        self.assertEqual([len(self.catalogue(ann, "list")), len(self.catalogue(ann, "list", "--all"))], [0, 1])
        self.crm(ann, "lead", "add", "--company", "Engines", user="Ann Rep")
        self.assertEqual([r["company"] for r in self.rows(ann, "lead", "list")], ["Engines"])
        self.assertEqual(self.rows(ann, "lead", "list", "--status", "working"), [])

    def test_cards_of_contacts_deals_and_tickets_show_the_fields_of_the_office(self):
        contact, tom = key(0xc0 << 120), self.of("tom", "agent", TOM)
        fields = [("contact", contact, "allergy"), ("deal", DEAL, "budget line"), ("ticket", TICKET, "serial number"), ("account", ACME, "kind")]
        self.office.sql(f"INSERT INTO contact(id, given, account_id) VALUES({contact}, 'Olga', {ACME});" + "".join(
            f"INSERT INTO custom_field_def(id, entity, name, type) VALUES({key(n)}, '{entity}', '{name}', 'text');"
            f"INSERT INTO custom_value(entity_row, field_id, entity, value) VALUES({row}, {key(n)}, '{entity}', 'v{n}');"
            for n, (entity, row, name) in enumerate(fields)))
        self.sync_all(self.ann, tom)
        for device, noun, which, shown in ((self.ann, "contact", "Olga", [["contact", "allergy", "v0"], ["account", "kind", "v3"]]),
                                           (self.ann, "deal", "dea1", [["deal", "budget line", "v1"]]),
                                           (tom, "ticket", "T-17", [["ticket", "serial number", "v2"]])):
            self.assertEqual([list(f.values()) for f in self.rows(device, noun, "show", which)[0]["fields"]], shown)
        self.assertIn("\nfields\nwhose   field          value\nticket  serial number  v2\n", self.crm(tom, "ticket", "show", "T-17"))

    def test_text_of_others_does_not_command_the_terminal(self):
        self.office.sql("INSERT INTO contact(id, given, family, account_id) VALUES(x'%s', 'Mal' || char(27) || '[2J', 'O' || char(10) || 'ry', %s);" % ("c0" * 16, ACME))
        self.ann.sync()
        found = self.crm(self.ann, "search", "mal")
        self.assertIn("Mal?[2J O ry", found)
        self.assertEqual(found.count("\n"), 2)
        self.office.sql("INSERT INTO contact(id, given, account_id) VALUES(x'%s', 'Mal' || char(27) || '[2J', %s);" % ("c1" * 16, ACME))
        self.ann.sync()
        self.assert_says(self.ann, ["several are meant by mal", "Mal?[2J"], "contact", "show", "mal")

    # ---- tickets ----

    def test_ticket_that_nobody_has_numbered_yet_is_named_by_id_and_subject(self):
        tom = self.of("tom", "agent", TOM)
        self.crm(tom, "ticket", "add", "Broken pipe", user="Tom Agent")
        said = self.crm(tom, "ticket", "add", "Broken printer", user="Tom Agent")
        self.assertRegex(said, r"^ticket [0-9a-f]{8,} opened: Broken printer; the server numbers it at the next sync\n$")
        for name in (said.split()[1], "BROKEN PRINTER", "printer"):
            self.assertEqual(self.rows(tom, "ticket", "show", name)[0]["subject"], "Broken printer", name)
        self.assert_says(tom, ["several are meant by broken", "Broken pipe", "Broken printer"], "ticket", "show", "broken")
        self.crm(tom, "ticket", "reply", "printer", "Is it on?", user="Tom Agent")
        self.sync_all(tom)
        number = self.rows(tom, "ticket", "show", "printer")[0]["number"]
        self.assertIn(number + " Broken printer", self.crm(tom, "ticket", "state", number, "pending", user="Tom Agent"))

    # ---- what is given to somebody else ----

    def test_manager_gives_offline_what_is_her_peoples_and_hears_what_came_of_it(self):
        mia, lead, alone = key(0x31a), key(0x1ead << 112), key(0xa10e << 112)
        self.office.sql(f"INSERT INTO user_account(id, name, role) VALUES({mia}, 'Mia Manager', 'manager'), ({key(0x71b)}, 'Tim Agent', 'agent');"
                        f"UPDATE team SET manager_id = {mia} WHERE id = {TEAM}; UPDATE user_account SET team_id = {TEAM} WHERE role = 'agent';"
                        f"INSERT INTO lead(id, family, company, owner_id) VALUES({lead}, 'Byron', 'Engines', {ANN});"
                        f"INSERT INTO contact(id, given, owner_id) VALUES({alone}, 'Olga', {ANN}), ({key(0xc2)}, 'Otto', {EVE});"
                        f"INSERT INTO contact(id, given, account_id) VALUES({key(0xc1)}, 'Zoe', {ACME});")
        manager, bob = self.of("mia", "manager", mia), self.of("bob", "rep", BOB)
        self.ann.sync()
        self.office.stop()
        given = self.rows(manager, "deal", "assign", "Fifty", "Bob Rep", "--why", "Ann is away", user="Mia Manager")[0]
        self.assertEqual(given["said"], "Fifty engines to Bob Rep: asked; at the next sync the server does it, or says in 'crm request list' why not")
        for noun, what, whom in (("company", "Acme", "bob@corp.example"), ("lead", "Byron", "Bob Rep"), ("contact", "Olga", "Bob Rep"),
                                 ("ticket", "T-17", "Tim Agent")):
            self.crm(manager, noun, "assign", what, whom, user="Mia Manager")
        self.assertIn("Fifty engines is with Ann Rep already", self.crm(manager, "deal", "assign", "dea1", "Ann Rep", user="Mia Manager"))
        self.assertEqual(manager.status()["pending"], 5)
        for words, device, who, asked in (
                ("give the company", manager, "Mia Manager", ["contact", "assign", "Zoe", "Bob Rep"]),
                ("no rep of your teams", manager, "Mia Manager", ["deal", "assign", "dea1", "Eve Rep"]),
                ("no rep of your teams", manager, "Mia Manager", ["lead", "assign", "Byron", "Tim Agent"]),
                ("no agent of your teams", manager, "Mia Manager", ["ticket", "assign", "T-17", "Bob Rep"]),
                ("only who leads a team", self.ann, "Ann Rep", ["deal", "assign", "dea1", "Bob Rep"]),
                ("there is no user Nobody here", manager, "Mia Manager", ["deal", "assign", "dea1", "Nobody"])):
            self.assert_says(device, [words], *asked, user=who)
        self.assertEqual([(r["kind"], r["what"], r["state"]) for r in self.rows(manager, "request", "list")][::-1],
                         [("deal", "Fifty engines", "asked"), ("company", "Acme", "asked"), ("lead", "Byron", "asked"), ("contact", "Olga", "asked"),
                          ("ticket", "T-17 It does not start", "asked")])
        self.office.start()
        self.office.sql(f"UPDATE lead SET owner_id = {mia} WHERE id = {lead}")  # and nobody has told her
        self.sync_all(manager, self.ann, bob)
        asked = {r["kind"]: r for r in self.rows(manager, "request", "list")}
        self.assertEqual({kind: r["state"] for kind, r in asked.items()},
                         {"deal": "done", "company": "done", "contact": "done", "ticket": "done", "lead": "refused"})
        self.assertEqual(asked["lead"]["words"], "Mia Manager has it by now: ask again if it is to go on")
        self.assertEqual([asked["deal"][c] for c in ("id", "row_id", "from", "to", "why", "by")],
                         [given["id"], DEAL[2:-1], "Ann Rep", "Bob Rep", "Ann is away", "Mia Manager"])
        self.assertEqual(self.crm(manager, "request", "list").splitlines()[0].split(),
                         ["id", "asked", "kind", "what", "from", "to", "state", "words", "why", "by"])
        self.assertEqual([len(self.rows(manager, "request", "list", *more, user="Mia Manager")) for more in (["--mine"], ["--limit", 2])], [5, 2])
        self.assertEqual(self.office.read(f"SELECT quote(owner_id) FROM deal WHERE id = {DEAL} UNION ALL SELECT quote(owner_id) FROM account WHERE id = {ACME} "
                                          f"UNION ALL SELECT quote(owner_id) FROM contact WHERE id = {alone}"), [(BOB.upper(),)] * 3)
        self.assertEqual([[len(self.rows(device, "deal", "list")), self.names(device, "byron")] for device in (bob, self.ann, manager)],
                         [[1, []], [0, []], [1, ["Byron"]]])

    # ---- quotes ----

    def test_T16_quotes_made_offline_get_final_numbers_and_keep_the_provisional_ones(self):
        ann, tablet = self.ann, self.of("tablet", "rep", ANN)
        self.office.stop()
        made = [self.rows(device, "quote", "add", "dea1", user="Ann Rep")[0]["said"].split()[1] for device in (ann, ann, tablet)]
        self.assertEqual(len(set(made)), 3, made)
        self.assertEqual(made, [f"~{device.status()['device'][:6].upper()}-{n}" for device, n in ((ann, 1), (ann, 2), (tablet, 1))])
        self.assertEqual([r["number"] for r in self.rows(ann, "quote", "list")], [None, None])
        self.assertIn("2 x Compact engine at 900.50; in all 1801.00 EUR", self.crm(ann, "quote", "line", made[0], "e-1", "--qty", 2, "--price", "900.5", user="Ann Rep"))
        self.assertIn("in all 4301.00 EUR", self.crm(ann, "quote", "line", made[0], "big", user="Ann Rep"))
        self.assertIn("3 x Compact engine at 900.50; in all 5201.50 EUR", self.crm(ann, "quote", "line", made[0], "Compact engine", "--qty", 3, user="Ann Rep"))
        self.assertIn("no Big engine; in all 2701.50 EUR", self.crm(ann, "quote", "line", made[0], "E-2", "--qty", 0, user="Ann Rep"))
        self.crm(ann, "quote", "send", made[0], "--valid", "2027-01-31", user="Ann Rep")
        self.office.start()
        self.sync_all(ann, tablet)
        shown = [{r["provisional"]: (r["number"], r["status"], r["total_cents"]) for r in self.rows(device, "quote", "list")} for device in (ann, tablet)]
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(sorted(shown[0]), sorted(made))
        self.assertEqual(sorted(int(number[-6:]) for number, _, _ in shown[0].values()), [1, 2, 3])
        self.assertEqual(shown[0][made[0]][1:], ("sent", 270150))
        number = shown[0][made[0]][0]
        table = self.crm(tablet, "quote", "list").splitlines()
        self.assertEqual(table[0].split(), ["id", "number", "provisional", "status", "deal", "company", "total", "currency", "valid", "until", "created"])
        self.assertIn(" ".join([number, made[0], "sent Fifty engines Acme 2701.50 EUR 2027-01-31"]), [" ".join(line.split()[1:-2]) for line in table])
        card = self.rows(tablet, "quote", "show", number)[0]
        self.assertEqual([card["provisional"], card["by"], card["lines"]],
                         [made[0], "Ann Rep", [{"qty": 3, "sku": "E-1", "product": "Compact engine", "unit_cents": 90050, "total_cents": 270150}]])
        self.assertEqual([r["status"] for r in card["may_become"]], ["accepted", "draft", "expired", "rejected", "withdrawn"])
        self.assertEqual(len(self.rows(tablet, "deal", "show", "dea1")[0]["quotes"]), 3)
        # What has left the device is counted on.
        self.office.sql(f"UPDATE account SET owner_id = {EVE} WHERE id = {ACME}; UPDATE deal SET owner_id = {EVE} WHERE id = {DEAL}")
        self.sync_all(ann)
        self.assertEqual(ann.one("SELECT count(*) FROM quote"), 0)
        ann.sql(f"INSERT INTO deal(id, name, stage_id, owner_id, created_by) VALUES({key(0xdd)}, 'Another', {STAGE % 1}, NULL, {ANN});")
        self.assertIn(made[0][:-1] + "3 added", self.crm(ann, "quote", "add", "Another", user="Ann Rep"))

    def test_quote_that_is_accepted_moves_its_deal_once(self):
        ann = self.ann
        self.office.sql(f"UPDATE deal SET stage_id = {STAGE % 5} WHERE id = {DEAL}")
        ann.sync()
        self.crm(ann, "quote", "add", "dea1", user="Ann Rep")
        self.crm(ann, "quote", "line", "Fifty engines", "E-1", user="Ann Rep")
        self.crm(ann, "quote", "send", "Fifty engines", user="Ann Rep")
        said = self.crm(ann, "quote", "accept", "Fifty engines", user="Ann Rep")
        self.assertRegex(said, r"^quote ~\w{6}-1 is accepted; deal Fifty engines moved to Won\n$")
        self.assertIn("accepted already", self.crm(ann, "quote", "accept", "Fifty engines", user="Ann Rep"))
        ann.sync()
        for side in (self.office, ann):
            self.assertEqual(side.read(f"SELECT s.name, (SELECT count(*) FROM deal_stage_log WHERE deal_id = d.id AND to_stage = s.id) FROM deal d JOIN stage s ON s.id = d.stage_id "
                                       f"WHERE d.id = {DEAL}"), [("Won", 1)])
        another = self.rows(ann, "quote", "add", "dea1", user="Ann Rep")[0]["id"]
        self.crm(ann, "quote", "line", another, "E-1", user="Ann Rep")
        self.crm(ann, "quote", "status", another, "sent", user="Ann Rep")
        self.assertIn("deal Fifty engines stays in Won", self.crm(ann, "quote", "accept", another, user="Ann Rep"))

    # ---- the search index ----

    def test_search_finds_what_came_by_sync_and_not_what_is_gone(self):
        ann, bob, eve = self.ann, self.of("bob", "rep", BOB), self.of("eve", "rep", EVE)
        self.assertEqual(self.names(ann, "acme"), ["Acme"])  # the index is made now; all else comes by triggers
        self.assertEqual(self.names(bob, "muller"), [])
        self.crm(ann, "contact", "add", "--given", "Zoë", "--family", "Müller", "--company", "Acme", "--email", "Zoe.M@acme.example", "--phone",
                 "+49 (171) 555-1234", user="Ann Rep")
        self.sync_all(ann, bob, eve)
        for text in ("muller", "MÜLL zo", "zoe.m@acme", "555-1234", "0171 5551234", "+491715551234", "acme zoë"):
            self.assertIn("Zoë Müller", self.names(bob, text), text)
        for text in ("mull xyz", "1715551", "555 123"):
            self.assertEqual(self.names(bob, text), [], text)
        self.assertEqual(self.names(eve, "muller"), [])  # of another team
        # A company's new name is found, and the old one is not.
        self.office.sql(f"UPDATE account SET name = 'Apex' WHERE id = {ACME}")
        self.sync_all(bob)
        self.assertEqual(self.names(bob, "apex"), ["Apex", "Zoë Müller"])
        self.assertEqual([n for n in self.names(bob, "acme") if n == "Acme"], [])
        # A phone number alone changes.
        ann.sql("UPDATE contact_point SET value = '030 777 8888' WHERE kind = 'phone';")
        self.sync_all(ann, bob)
        self.assertEqual([self.names(bob, "7778888"), self.names(bob, "5551234")], [["Zoë Müller"], []])
        # Deleted by somebody else; and given to another team, so that it leaves one device and enters another.
        self.crm(ann, "contact", "add", "--given", "Cleo", "--email", "cleo@acme.example", user="Ann Rep")
        self.sync_all(ann, bob)
        self.assertEqual(self.names(bob, "cleo"), ["Cleo"])
        ann.sql("DELETE FROM contact_point WHERE value = 'cleo@acme.example'; DELETE FROM contact WHERE given = 'Cleo';")
        self.office.sql(f"UPDATE account SET owner_id = {EVE} WHERE id = {ACME}")
        self.sync_all(ann, bob, eve)
        self.assertEqual(bob.one("SELECT count(*) FROM crm_search WHERE name LIKE 'Zo%' OR name = 'Cleo'"), 0)  # before anybody looks: what has left is nowhere
        self.assertEqual([self.names(d, "cleo") for d in (ann, bob, eve)], [[], [], []])
        self.assertEqual([self.names(d, "muller") for d in (ann, bob, eve)], [[], [], ["Zoë Müller"]])
        for device in (bob, eve):
            self.assertEqual(device.one("SELECT count(*) FROM crm_search"), device.one("SELECT count(*) FROM crm_doc"))
            device.run("verify")

    def test_phone_number_is_found_by_its_last_digits_as_typed_or_else_without_the_zeros_before_it(self):
        for name, phone in (("Ada", "555 0000"), ("Bea", "555 9234"), ("Cleo", "+49 171 5551234"), ("Dora", "0170 5551111"), ("Emma", "+44 170 5551111")):
            self.crm(self.ann, "contact", "add", "--given", name, "--phone", phone, user="Ann Rep")
        self.crm(self.ann, "lead", "add", "--given", "Fay", "--phone", "0171/5551234", user="Ann Rep")
        for text, found in (("0000", ["Ada"]), ("50000", ["Ada"]), ("00000", []), ("9234", ["Bea"]), ("0234", []), ("09234", ["Bea"]),
                            ("0049 171 5551234", ["Cleo"]), ("0170 5551111", ["Dora"]), ("170 5551111", ["Dora", "Emma"]), ("0171 5551234", ["Fay"]), ("171 5551234", ["Cleo", "Fay"])):
            self.assertEqual(self.names(self.ann, text), found, text)
        for text, found in (("0000", "Ada"), ("0171 5551234", "Cleo")):  # of that kind
            self.assertEqual([r["name"] for r in self.rows(self.ann, "contact", "find", text)], [found])
            self.assertEqual(self.rows(self.ann, "contact", "show", text)[0]["name"], found)

    def test_index_stands_from_call_to_call_and_reading_needs_no_write_lock(self):
        self.crm(self.ann, "contact", "add", "--given", "Olga", user="Ann Rep")
        self.assertEqual(self.names(self.ann, "olga"), ["Olga"])
        schema = self.ann.one("PRAGMA schema_version")
        writer = sqlite3.connect(self.ann.path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        try:
            self.assertEqual(len(self.catalogue(self.ann, "due")), 1)
            self.assertEqual(self.names(self.ann, "olga"), ["Olga"])
            self.assertEqual(self.rows(self.ann, "contact", "show", "olga")[0]["name"], "Olga")
            self.assert_says(self.ann, ["cannot write now"], "task", "done", "7a5c", user="Ann Rep")
            writer.execute("ROLLBACK")
            self.crm(self.ann, "contact", "edit", "olga", "--family", "Orlow", user="Ann Rep")
            writer.execute("BEGIN IMMEDIATE")
            self.assertEqual(len(self.catalogue(self.ann, "due")), 1)  # the index has something to take in, but this verb does not read it
            self.assert_says(self.ann, ["cannot make the search index"], "search", "orlow")
        finally:
            writer.close()
        self.assertEqual(self.names(self.ann, "orlow"), ["Olga Orlow"])
        self.assertEqual(self.ann.one("PRAGMA schema_version"), schema)

    def test_index_is_made_anew_when_its_triggers_are_gone(self):
        self.names(self.ann, "acme")
        self.ann.sql("DROP TRIGGER crm_stale_contact_INSERT;")
        self.ann.sql("INSERT INTO contact(id, given) VALUES(uuid7(), 'Unseen');")
        self.assertEqual(self.names(self.ann, "unseen"), ["Unseen"])
        self.ann.sql("DELETE FROM contact;")

    def test_migration_of_an_indexed_table_reaches_the_device(self):
        schema = self.path("schema")
        shutil.copytree(os.path.join(harness.ROOT, "server/crm"), schema)
        self.assertEqual(self.names(self.ann, "acme"), ["Acme"])
        number = max(int(name[:3]) for name in os.listdir(schema) if name[:3].isdigit()) + 1
        with open(os.path.join(schema, f"{number:03}_later.sql"), "w", encoding="utf-8") as f:
            f.write("ALTER TABLE contact ADD COLUMN nickname TEXT; ALTER TABLE lead ADD COLUMN fax TEXT; ALTER TABLE lead DROP COLUMN campaign_id;")
        self.office.stop()
        self.office.start("--schema", schema)
        self.office.sql(f"INSERT INTO contact(id, given, nickname, account_id) VALUES({key(0xc1)}, 'Olga', 'Ola', {ACME});")
        self.ann.sync()
        self.assertEqual(self.ann.status()["schema_epoch"], self.office.epoch())
        self.assertEqual(self.names(self.ann, "olga"), ["Olga"])

    # ---- what it says when something is not so ----

    def test_errors_say_what_to_do(self):
        ann = self.ann
        for name in ("Ann", "Anna"):
            self.crm(ann, "contact", "add", "--given", name, "--family", "Lee", user="Ann Rep")
        self.crm(ann, "contact", "add", "--given", "Mary", "--family", "Ann Lee", user="Ann Rep")
        self.assert_says(ann, ["there is no contact nobody here", "crm contact find"], "contact", "show", "nobody")
        self.assert_says(ann, ["several are meant by Lee", "Anna Lee", "Mary Ann Lee"], "contact", "show", "Lee")
        self.assertEqual(self.rows(ann, "contact", "show", "ann lee")[0]["name"], "Ann Lee")  # what is exactly so is meant
        ids = [r["id"] for r in self.rows(ann, "contact", "find", "lee")]
        common = os.path.commonprefix(ids)
        self.assert_says(ann, ["several are meant by " + common], "contact", "show", common)
        for shown in [line.split()[1] for line in self.crm(ann, "contact", "find", "lee").splitlines()[1:]]:
            self.crm(ann, "contact", "show", shown)
        self.assert_says(ann, ["no stage Nirvana in the pipeline New business", "Prospecting, Qualified, Demo, Proposal, Negotiation, Won, Lost"],
                         "deal", "move", "dea1", "Nirvana", user="Ann Rep")
        self.assert_says(ann, ["cannot move from Prospecting to Won", "allowed: Qualified, Lost"], "deal", "move", "dea1", "Won", user="Ann Rep")
        self.assert_says(ann, ["status cannot go from prospect to vip", "allowed: customer, inactive, lead"], "contact", "edit", "Ann Lee", "--status", "vip",
                         "--given", "Undone", user="Ann Rep")
        self.assertEqual(ann.one("SELECT count(*) FROM contact WHERE given = 'Undone'"), 0)  # all of a verb or nothing
        self.assert_says(ann, ["who are you?", "CRM_USER", "Ann Rep, Bob Rep"], "contact", "add", "--given", "X")
        self.assert_says(ann, ["there is no user mallory here"], "contact", "add", "--given", "X", user="mallory")
        self.assert_says(ann, ["there is no company Nowhere here", "--new-company"], "contact", "add", "--given", "X", "--company", "Nowhere", user="Ann Rep")
        self.assert_says(ann, ["needs --given or --family"], "contact", "add", user="Ann Rep")
        self.assert_says(ann, ["--amount takes an amount", "1,5"], "deal", "move", "dea1", "Qualified", "--amount", "1,5", user="Ann Rep")
        self.assert_says(ann, ["--close takes a date", "soon"], "deal", "move", "dea1", "Qualified", "--close", "soon", user="Ann Rep")
        self.assert_says(ann, ["--size takes a number"], "lead", "add", "--given", "X", "--size", "big", user="Ann Rep")
        self.assert_says(ann, ["--channel cannot be pigeon", "allowed: meeting, phone"], "visit", "log", "Ann Lee", "--channel", "pigeon", user="Ann Rep")
        self.assert_says(ann, ["what is to be changed?"], "contact", "edit", "Ann Lee", user="Ann Rep", expect=2)
        self.assert_says(ann, ["a number of days, not soon"], "task", "due", "soon", expect=2)
        self.assert_says(ann, ["--at takes a date", "2026-02-31"], "visit", "log", "Ann Lee", "--at", "2026-02-31", user="Ann Rep")
        self.assert_says(ann, ["--at 2036-02-01 is still to come"], "visit", "log", "Ann Lee", "--at", "2036-02-01", user="Ann Rep")
        self.assertIn("Ann Lee; deal Fifty engines stays in Prospecting", self.crm(ann, "visit", "log", "Ann Lee", "--deal", "dea1", "--kind", "demo_boked", user="Ann Rep"))
        self.assert_says(ann, ["needs --given or --family"], "contact", "edit", "Ann Lee", "--given", "", "--family", "", user="Ann Rep")
        self.assert_says(ann, ["--company or --new-company, not both"], "contact", "edit", "Ann Lee", "--company", "Acme", "--new-company", "X", user="Ann Rep")
        self.assert_says(ann, ["nothing is given with --tag"], "contact", "edit", "Ann Lee", "--tag", "", user="Ann Rep", expect=2)
        self.assert_says(ann, ["quotes around"], "contact", "show", "Ann", "Lee", expect=2)
        self.assert_says(ann, ["--stage cannot be Nirvana", "Prospecting, Qualified"], "deal", "list", "--stage", "Nirvana")
        for noun, known in (("lead", "converted"), ("ticket", "pending"), ("quote", "draft")):
            self.assert_says(ann, ["--status cannot be nope", known], noun, "list", "--status", "nope")
        self.assert_says(ann, ["there is no deal nope"], "quote", "add", "nope", user="Ann Rep")
        self.assert_says(ann, ["due takes a number of days"], "task", "due", "", expect=2)
        for currency in ("euro", "eur", "ÄÖÜ"):
            for verb in (["quote", "add", "dea1"], ["deal", "move", "dea1", "Qualified"]):
                said = self.crm(ann, *verb, "--currency", currency, user="Ann Rep", expect=1)
                self.assertEqual(said, f"crm: --currency takes three capital letters, such as EUR, not {currency}\n")
        self.crm(ann, "quote", "add", "dea1", user="Ann Rep")
        self.assert_says(ann, ["no lines yet", "crm quote line"], "quote", "send", "Fifty engines", user="Ann Rep")
        self.assert_says(ann, ["cannot go from draft to accepted", "allowed: sent, withdrawn"], "quote", "accept", "Fifty engines", user="Ann Rep")
        self.assert_says(ann, ["several are meant by engine", "E-1 Compact engine"], "quote", "line", "Fifty engines", "engine", user="Ann Rep")
        self.assert_says(ann, ["there is no product nope"], "quote", "line", "Fifty engines", "nope", user="Ann Rep")
        self.assert_says(ann, ["--qty takes a number"], "quote", "line", "Fifty engines", "E-1", "--qty", "few", user="Ann Rep")
        self.assert_says(ann, ["--qty takes a number"], "quote", "line", "Fifty engines", "E-1", "--qty", "4006381333931", user="Ann Rep")
        self.crm(ann, "quote", "status", "Fifty engines", "withdrawn", user="Ann Rep")
        self.assert_says(ann, ["the quote is withdrawn", "only a draft"], "quote", "line", "Fifty engines", "E-1", user="Ann Rep")
        tom = self.of("tom", "agent", TOM)
        self.assert_says(tom, ["a ticket needs a subject"], "ticket", "add", "", user="Tom Agent")
        self.assert_says(tom, ["state cannot go from open to reopened", "allowed: closed, pending, resolved"], "ticket", "state", "T-17", "reopened", user="Tom Agent")
        self.assert_says(tom, ["the reply is empty"], "ticket", "reply", "T-17", "", user="Tom Agent")
        self.assert_says(tom, ["there is no ticket T-99 here"], "ticket", "show", "T-99")

    def test_a_stage_that_wants_fields_filled_keeps_the_deal_until_they_are(self):
        self.office.sql(f"""UPDATE stage SET exit_fields = '["next_step","close_date"]' WHERE id = {STAGE % 1}""")
        self.ann.sync()
        move = ["deal", "move", "dea1", "Qualified"]
        self.assert_says(self.ann, ["Prospecting wants filled in", "next_step, close_date", "crm deal move --help"], *move, user="Ann Rep")
        self.assert_says(self.ann, ["wants filled in before a deal leaves it: close_date;"], *move, "--next-step", "call", user="Ann Rep")
        self.crm(self.ann, *move, "--next-step", "call", "--close", "2027-01-31", user="Ann Rep")

    def test_what_the_server_refused_is_said(self):
        self.crm(self.ann, "task", "done", "7a5c", user="Ann Rep")
        self.ann.sql(f"INSERT INTO ticket(id, subject) VALUES({key(0x99)}, 'a rep may not');")
        self.ann.sync(expect=None)
        done = subprocess.run([harness.program("crm"), "--db", self.ann.path, "task", "list"], capture_output=True, text=True, check=True)
        self.assertIn("refused 1 of this device's changes", done.stderr)
        self.ann.run("rejected", "discard", self.ann.one("SELECT n FROM satchel_rejected"))

    def test_a_file_that_is_no_device_or_is_empty_or_holds_something_else(self):
        nowhere = self.device("nowhere")
        self.assert_says(nowhere, ["satchel --db", "enroll CODE"], "task", "list")
        self.assertFalse(os.path.exists(nowhere.path))
        fresh = self.device("fresh")
        fresh.run("enroll", "-", "--name", "fresh", stdin=self.office.code("fresh") + "\n")
        self.assert_says(fresh, ["holds nothing yet", "sync"], "task", "list")
        music = self.device("music", self.server("music-server", harness.MUSIC))
        music.sync()
        self.assert_says(music, ["other tables than the CRM's"], "task", "list")


class CrmUsage(harness.Case):
    def test_help_and_wrong_usage(self):
        verbs = ["contact find", "contact show", "contact add", "contact edit", "contact assign", "company assign", "lead add", "lead list",
                 "lead status", "lead convert", "lead assign", "deal list", "deal show", "deal move", "deal assign", "visit log", "task list", "task due",
                 "task done", "ticket list", "ticket show", "ticket add", "ticket reply", "ticket state", "ticket assign", "request list", "quote list",
                 "quote show", "quote add", "quote line", "quote send", "quote accept", "quote status", "article find", "article show", "search"]
        overview = crm("--help")
        for verb in verbs:
            self.assertIn("\n  " + verb + " ", overview)
            self.assertIn("usage: crm --db FILE " + verb, crm(*verb.split(), "--help"))
        self.assertIn("--lost-reason TEXT", crm("deal", "move", "--help"))
        self.assertNotIn("contact", crm("task", "--help").split("Everywhere")[0])
        self.assertRegex(crm("--version"), r"^crm [0-9.]+\n$")
        for wrong in ([], ["dance"], ["contact", "dance"], ["contact", "find"], ["contact", "find", "a", "b"], ["task", "list", "--amount", "3"], ["--what"],
                      ["task", "list", "--all", "--all"], ["task", "list", "--limit", "0"]):
            self.assertIn("crm: " if wrong != ["--what"] else "crm", crm("--db", self.path("no.db"), *wrong, expect=2), wrong)
        self.assertIn("--db FILE is missing", crm("task", "list", expect=2))


if __name__ == "__main__":
    harness.main()
