"""Scope: reps, a till, a manager and an agent each hold exactly what their profile says, and rows come and go as what they hang on moves.

What a profile says is written here a second time, by hand, as one query a table over the server's rows: nothing of server/crm/scope.sql is read. `SATCHEL_SCOPE_CONTACTS`
names another size of company (default 200; tests/run scope prints what each device holds)."""
import json
import os
import threading
import time

import company
import harness
from company import DAY_MS, literal
from harness import wait_until

CONTACTS = int(os.environ.get("SATCHEL_SCOPE_CONTACTS", 200))
TRACES = 1000
WHOLE = "1"
NOTHING = "0"

# What all profiles get, and what those get that are no till.
ALL = dict.fromkeys(["store", "product", "loyalty_program", "contact_status_move", "contact_lifecycle_move",
                     "custom_field_def", "currency_rate", "product_price", "erasure"], WHOLE)
OFFICE = dict.fromkeys(["team", "territory", "user_account", "user_territory", "pipeline", "stage", "stage_move", "lead_status_move",
                        "ticket_state_move", "score_rule", "assign_rule", "sequence", "sequence_step", "task_template", "quote_status_move",
                        "sla_policy", "escalation_rule"], WHOLE) | {"kb_article": "published = 1"}

# The rows of people: {crew} are the users whose customers these are, {self} those whose own work it is, {places} the territories.
CUSTOMERS = {
    "account": "coalesce(owner_id, created_by) IN ({crew}) OR territory_id IN ({places})",
    "contact": "account_id IN (SELECT id FROM account WHERE {account}) OR (account_id IS NULL AND coalesce(owner_id, created_by) IN ({crew}))",
    "contact_point": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "contact_pref": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "contact_tag": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "consent_event": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "address": "(owner_kind = 'account' AND owner_row IN (SELECT id FROM account WHERE {account})) OR owner_kind = 'store' OR "
               "(owner_kind = 'contact' AND owner_row IN (SELECT id FROM contact WHERE {contact}))",
    "lead": "coalesce(owner_id, created_by) IN ({self})",
    "deal": "coalesce(owner_id, created_by) IN ({self})",
    "reassignment": "by_user IN ({self})",
    "deal_contact": "deal_id IN (SELECT id FROM deal WHERE {deal})",
    "deal_stage_log": "deal_id IN (SELECT id FROM deal WHERE {deal})",
    "score_reason": "lead_id IN (SELECT id FROM lead WHERE {lead})",
    "lead_handoff": "lead_id IN (SELECT id FROM lead WHERE {lead})",
    "sequence_enrolment": "lead_id IN (SELECT id FROM lead WHERE {lead})",
    "interaction": "at >= {year} AND (contact_id IN (SELECT id FROM contact WHERE {contact}) OR deal_id IN (SELECT id FROM deal WHERE {deal}) OR "
                   "(contact_id IS NULL AND account_id IN (SELECT id FROM account WHERE {account})) OR "
                   "ticket_id IN (SELECT id FROM ticket WHERE assignee_id IN ({self})))",
    "note": "(parent_kind = 'account' AND parent_row IN (SELECT id FROM account WHERE {account})) OR "
            "(parent_kind = 'contact' AND parent_row IN (SELECT id FROM contact WHERE {contact})) OR "
            "(parent_kind = 'deal' AND parent_row IN (SELECT id FROM deal WHERE {deal})) OR "
            "(parent_kind = 'lead' AND parent_row IN (SELECT id FROM lead WHERE {lead})) OR "
            "(parent_kind = 'ticket' AND parent_row IN (SELECT id FROM ticket WHERE assignee_id IN ({self})))",
    "task": "assignee_id IN ({self}) OR (assignee_id IS NULL AND ("
            "(parent_kind = 'deal' AND parent_row IN (SELECT id FROM deal WHERE {deal})) OR "
            "(parent_kind = 'contact' AND parent_row IN (SELECT id FROM contact WHERE {contact})) OR "
            "(parent_kind = 'account' AND parent_row IN (SELECT id FROM account WHERE {account}))))",
    "ticket": "assignee_id IN ({self}) OR (state <> 'closed' AND contact_id IN (SELECT id FROM contact WHERE {contact}))",
    "ticket_event": "ticket_id IN (SELECT id FROM ticket WHERE assignee_id IN ({self}))",
    "purchase": "at >= {two_years} AND (contact_id IN (SELECT id FROM contact WHERE {contact}) OR "
                "(contact_id IS NULL AND card_id IN (SELECT id FROM loyalty_card WHERE contact_id IN (SELECT id FROM contact WHERE {contact}))))",
    "purchase_line": "purchase_id IN (SELECT id FROM purchase WHERE {purchase})",
    "loyalty_card": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "loyalty_entry": "card_id IN (SELECT id FROM loyalty_card WHERE {loyalty_card})",
}

TILL = {
    "user_account": "store_id = {store}",
    "contact": "home_store_id = {store} OR (account_id IS NULL AND owner_id IS NULL AND home_store_id IS NULL AND "
               "created_by IN (SELECT id FROM user_account WHERE store_id = {store}))",
    "contact_point": "contact_id IN (SELECT id FROM contact WHERE {contact}) AND (kind = 'phone' OR "
                     "contact_id IN (SELECT id FROM contact WHERE home_store_id IS NULL))",
    "contact_pref": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "consent_event": "contact_id IN (SELECT id FROM contact WHERE {contact})",
    "address": "owner_kind = 'store'",
    "purchase": "store_id = {store} AND at >= {month}",
    "purchase_line": "purchase_id IN (SELECT id FROM purchase WHERE {purchase})",
    "loyalty_card": WHOLE,
    "loyalty_entry": "card_id IN (SELECT id FROM loyalty_card WHERE contact_id IN (SELECT id FROM contact WHERE {contact})) OR "
                     "(purchase_id <> x'' AND purchase_id IN (SELECT id FROM purchase WHERE {purchase}))",
}

AGENT = {
    "address": "owner_kind = 'store'",
    "ticket": "assignee_id = {me} OR (assignee_id IS NULL AND state <> 'closed')",
    "ticket_event": "ticket_id IN (SELECT id FROM ticket WHERE {ticket})",
    "interaction": "at >= {year} AND ticket_id IN (SELECT id FROM ticket WHERE {ticket})",
    "note": "parent_kind = 'ticket' AND parent_row IN (SELECT id FROM ticket WHERE {ticket})",
    "task": "assignee_id = {me} OR (assignee_id IS NULL AND parent_kind = 'ticket' AND parent_row IN (SELECT id FROM ticket WHERE {ticket}))",
}

# What a masked column shows on the device: its default.
MASKED = {
    "till": {("contact", "job_title"): "NULL", ("contact", "tenure_since"): "NULL", ("contact", "lifecycle"): "'awareness'",
             ("consent_event", "evidence"): "NULL", ("user_account", "email"): "NULL"},
    "manager": {("consent_event", "evidence"): "NULL"},
    "agent": {("account", "revenue_cents"): "NULL", ("deal", "amount_cents"): "NULL", ("deal", "currency"): "NULL",
              ("deal", "probability"): "NULL", ("deal", "next_step"): "NULL"},
    "rep": {},
}


class Scope(company.Company):
    contacts = CONTACTS

    def begin(self):
        """Not over midnight: what is within a window is another then."""
        left_s = 86400 - time.time() % 86400
        if left_s < 180:
            time.sleep(left_s + 1)
        return super().begin()

    # ---- what a device is to hold ----

    def facts(self, profile, user, store):
        day = company.midnight()
        f = {"year": day - 365 * DAY_MS, "two_years": day - 730 * DAY_MS, "month": day - 30 * DAY_MS}
        if user:
            f["me"] = f["self"] = literal(user)
            f["crew"] = f"SELECT id FROM user_account WHERE team_id = {literal(self.team[user])}"
            f["places"] = f"SELECT territory_id FROM user_territory WHERE user_id = {f['me']}"
        if profile == "manager":
            f["crew"] = f["self"] = f"SELECT id FROM user_account WHERE id = {f['me']} OR team_id IN (SELECT id FROM team WHERE manager_id = {f['me']})"
            f["places"] = f"SELECT territory_id FROM user_territory WHERE user_id IN ({f['crew']})"
        if store:
            f["store"] = literal(store)
        return f

    def expected(self, profile, user=None, store=None):
        """{table: condition} over the server's rows."""
        own = {"rep": {**OFFICE, **CUSTOMERS}, "manager": {**OFFICE, **CUSTOMERS}, "till": TILL, "agent": {**OFFICE, **AGENT}}[profile]
        facts, rules, before = self.facts(profile, user, store), {**ALL, **own}, None
        while rules != before:
            before = rules
            rules = {t: self.fill(c, {**{k: f"({v})" for k, v in before.items()}, **facts}) for t, c in before.items()}
        return rules

    def fill(self, text, names):
        for name, value in names.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def assert_holds(self, device, profile, user=None, store=None, more=None):
        """Value by value; returns {table: rows}. `more`: conditions of rows that it has besides."""
        rules, counts, got = self.expected(profile, user, store), {}, device.content()
        for table in sorted(got):
            condition = rules.get(table, NOTHING) + (f" OR {more[table]}" if more and table in more else "")
            columns = [r[1] for r in device.read(f'PRAGMA table_info("{table}")')]
            keys = [r[1] for r in sorted((r for r in device.read(f'PRAGMA table_info("{table}")') if r[5]), key=lambda r: r[5])]
            shown = ["quote(%s)" % (MASKED[profile].get((table, c)) or f'"{c}"') for c in columns]
            want = self.hq.read(f'SELECT {", ".join(shown)} FROM "{table}" WHERE {condition} ORDER BY {", ".join(keys)}')
            if want != got[table]:
                here, there = set(got[table]), set(want)
                self.fail(f"{device.name}: {table}: {len(here - there)} rows too many, as {sorted(here - there)[:2]}; "
                          f"{len(there - here)} missing, as {sorted(there - here)[:2]}")
            counts[table] = len(want)
        return counts

    def assert_no_trace(self, device, profile, user=None, store=None):
        """Of the rows that it is not to have neither key nor text stands in any of its file's bytes, be it a table of the library's or a page that is free."""
        rules, raw, known, strange = self.expected(profile, user, store), b"", set(), set()
        for end in ("", "-wal"):
            if os.path.exists(device.path + end):
                with open(device.path + end, "rb") as f:
                    raw += f.read()
        for table in device.content():
            held = rules.get(table, NOTHING)
            columns = [r[1] for r in device.read(f'PRAGMA table_info("{table}")')]
            for column in columns:
                masked = (table, column) in MASKED[profile]
                for value, has in self.hq.read(f'SELECT DISTINCT "{column}", ({held}) IS TRUE FROM "{table}"'):
                    data = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""
                    if len(data) >= 12:
                        (known if has and not masked else strange).add(data)
        strange = sorted(strange - known)
        # Of a large company some: to look for each takes its time.
        looked_for = self.random.sample(strange, min(len(strange), TRACES))
        found = [v for v in looked_for if v in raw and not any(v in k for k in known)]
        self.assertEqual(found[:3], [], f"{device.name}: {len(found)} values that it must not have stand in its file")
        self.assertGreater(len(strange), 100)

    def enrich(self):
        """What the sample company has not, because it is as old as it is: rows on both sides of each window, and people in between."""
        day, ann = company.midnight(), self.reps[0]
        store, other = literal(self.stores[0]), literal(self.stores[1])
        account = literal(self.account_of(ann))
        rows = [
            f"INSERT INTO contact(id, account_id, given, home_store_id) VALUES(x'c1', {account}, 'Of the company', {other})",
            f"INSERT INTO contact(id, given, family, job_title, home_store_id, lifecycle) VALUES(x'c2', 'Member', 'Alone', 'Baker of fine bread', {store}, 'retention')",
            f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'c3', x'c2', 'email', 'member.alone@mail.example'), (x'c4', x'c2', 'phone', '+351 999')",
            f"INSERT INTO loyalty_card(id, program_id, code, contact_id, issued_store) SELECT x'c5', id, '4000000000000', x'c2', {store} FROM loyalty_program",
            f"INSERT INTO ticket(id, contact_id, subject, state) VALUES(x'd1', x'c1', 'Nobody has this one yet', 'open'), (x'd2', x'c1', 'Nobody had it', 'closed')",
            f"INSERT INTO ticket_event(id, ticket_id, kind, at, body) VALUES(x'd3', x'd1', 'opened', {day}, 'What was said about it')",
            "INSERT INTO reassignment(id, entity, entity_row, from_user, to_user, by_user, at, state) "
            "SELECT satchel_id(id), 'deal', id, id, id, manager_id, 1, 'done' FROM team",
            f"INSERT INTO task(id, title, parent_kind, parent_row) VALUES(x'e1', 'Nobody does it', 'contact', x'c1'), (x'e2', 'Nor this one', 'ticket', x'd1')",
        ]
        for i, (at, table) in enumerate([(day - 365 * DAY_MS, "in"), (day - 365 * DAY_MS - 1, "out")]):
            rows.append(f"INSERT INTO interaction(id, contact_id, channel, at, subject) VALUES(x'a{i}', x'c1', 'phone', {at}, 'Just {table} the year')")
        for i, at in enumerate([day - 30 * DAY_MS, day - 30 * DAY_MS - 1, day - 730 * DAY_MS - 1]):
            rows += [f"INSERT INTO purchase(id, channel, store_id, contact_id, card_id, total_cents, at, receipt_no) VALUES(x'b{i}', 'pos', {store}, x'c1', x'c5', 100, {at}, 'w{i}')",
                     f"INSERT INTO purchase_line(id, purchase_id, qty, unit_cents) VALUES(x'b{i}0{i}', x'b{i}', 1, 100)",
                     f"INSERT INTO loyalty_entry(id, card_id, kind, points, purchase_id, at) VALUES(x'b{i}1{i}', x'c5', 'earn', 1, x'b{i}', {at})"]
        self.hq.sql(";\n".join(rows) + ";")

    def test_scope_each_profile_holds_exactly_what_it_says(self):
        self.begin()
        self.enrich()
        manager = self.hq.one("SELECT manager_id FROM team WHERE id = ?", self.team[self.reps[0]])
        agent = self.hq.one("SELECT assignee_id FROM ticket WHERE assignee_id IS NOT NULL LIMIT 1")
        ann, bob, ann_id, bob_id = self.two_reps()
        devices = [(ann, "rep", ann_id, None), (bob, "rep", bob_id, None),
                   (self.of_profile("till", "till", store=self.stores[0]), "till", None, self.stores[0]),
                   (self.of_profile("manager", "manager", manager), "manager", manager, None),
                   (self.of_profile("agent", "agent", agent), "agent", agent, None)]
        everything = {t: len(rows) for t, rows in self.hq.content().items()}
        held = {"server": everything}
        for device, profile, user, store in devices:
            held[device.name] = self.assert_holds(device, profile, user, store)
            self.assert_no_trace(device, profile, user, store)
        self.tell(held, [d for d, _, _, _ in devices])
        for name in ("account", "deal", "contact", "interaction", "purchase", "ticket", "lead", "task", "note"):
            self.assertGreater(held["ann"][name], 0, f"no {name} to see")
            self.assertLess(held["ann"][name], everything[name], f"every {name} is there")
        self.assertEqual([0 < held[name]["reassignment"] < everything["reassignment"] for name in ("manager", "ann", "agent")], [True, False, False])

    def tell(self, held, devices):
        """Rows and bytes of each, as a table."""
        names = list(held)
        print("| rows of | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
        for table in sorted(held["server"]):
            print(f"| {table} | " + " | ".join(str(held[n].get(table, 0) or "") for n in names) + " |")
        print("| together | " + " | ".join(str(sum(held[n].values())) for n in names) + " |")
        print("| KiB of the file | " + " | ".join(["", *(str(os.path.getsize(d.path) // 1024) for d in devices)]) + " |", flush=True)

    # ---- moves ----

    def test_scope_account_with_200_children_moves_in_one_sync_with_what_was_unsent(self):
        self.begin()
        ann, bob, ann_id, bob_id = self.two_reps()
        key, me = "x'ac'", literal(ann_id)
        self.hq.sql(f"BEGIN; INSERT INTO account(id, name, owner_id, territory_id) VALUES({key}, 'Large & Sons', {me}, {literal(self.territory[ann_id])});" +
                    "".join(f"INSERT INTO contact(id, account_id, given) VALUES(x'cc{i:02x}', {key}, 'Person {i}');"
                            f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'cd{i:02x}', x'cc{i:02x}', 'phone', '+351 {i}');"
                            f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'ce{i:02x}', 'contact', x'cc{i:02x}', 'About {i}');"
                            f"INSERT INTO contact_tag(contact_id, tag) VALUES(x'cc{i:02x}', 'moved');" for i in range(50)) + "COMMIT;")
        children = ("SELECT (SELECT count(*) FROM contact WHERE account_id = x'ac') + (SELECT count(*) FROM contact_point WHERE hex(id) LIKE 'CD__') + "
                    "(SELECT count(*) FROM note WHERE hex(id) LIKE 'CE__') + (SELECT count(*) FROM contact_tag WHERE tag = 'moved')")
        ann.sync()
        bob.sync()
        self.assertEqual((ann.one(children), bob.one(children)), (200, 0))
        ann.sql("UPDATE contact SET given = 'Renamed offline' WHERE id = x'cc00'; UPDATE note SET body = 'Written offline' WHERE id = x'ce01';"
                "INSERT INTO contact_tag(contact_id, tag) VALUES(x'cc02', 'met');"
                f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'cf', 'contact', x'cc03', 'New'); UPDATE account SET website = 'w' WHERE id = {key}")
        self.give("account", b"\xac", bob_id)
        bob.sync()
        self.assertEqual(bob.one(children), 200, "it did not come whole")
        self.assertEqual(ann.one(children), 200)
        ann.sync()
        self.assertEqual(ann.one(children), 0, "it did not leave whole")
        self.assertEqual(ann.read("SELECT 1 FROM account WHERE id = x'ac' UNION ALL SELECT 1 FROM note WHERE id = x'cf' UNION ALL SELECT 1 FROM contact_tag WHERE tag = 'met'"), [])
        self.assertEqual(self.hq.ctl("rejected"), [])
        bob.sync()
        self.assertEqual(bob.read("SELECT given FROM contact WHERE id = x'cc00' UNION ALL SELECT body FROM note WHERE id IN (x'ce01', x'cf') "
                                  "UNION ALL SELECT tag FROM contact_tag WHERE contact_id = x'cc02' AND tag = 'met' UNION ALL SELECT website FROM account WHERE id = x'ac'"),
                         [("Renamed offline",), ("Written offline",), ("New",), ("met",), ("w",)])
        self.assert_holds(ann, "rep", ann_id)
        self.assert_holds(bob, "rep", bob_id)

    def test_scope_who_joins_a_team_gets_the_old_rows_and_loses_those_of_the_other(self):
        self.begin()
        ann, bob, ann_id, bob_id = self.two_reps()
        before = self.assert_holds(ann, "rep", ann_id)
        ann.sql(f"UPDATE account SET website = 'unsent' WHERE id = {literal(self.account_of(ann_id))}")
        self.hq.sql(f"UPDATE user_account SET team_id = {literal(self.team[bob_id])} WHERE id = {literal(ann_id)}")
        self.team[ann_id] = self.team[bob_id]
        ann.sync()
        ann.sync()
        after = self.assert_holds(ann, "rep", ann_id)
        self.assertNotEqual(before["contact"], after["contact"])
        self.assertEqual(self.hq.one("SELECT website FROM account WHERE id = ?", self.account_of(ann_id)), "unsent")
        bob.sync()
        self.assert_holds(bob, "rep", bob_id)
        # Who is with the company no more keeps nobody's rows.
        self.hq.sql(f"UPDATE user_account SET active = 0 WHERE id = {literal(ann_id)}")
        ann.sync()
        self.assertEqual(ann.one("SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM contact) + (SELECT count(*) FROM deal)"), 0)

    def test_scope_row_in_two_buckets_never_blinks(self):
        self.begin()
        ann, _, ann_id, bob_id = self.two_reps()
        mate = next(r for r in self.reps if r != ann_id and self.team[r] == self.team[ann_id])
        account = self.hq.one("SELECT id FROM account WHERE owner_id = ? AND id IN (SELECT account_id FROM contact) LIMIT 1", ann_id)
        key, here, there = literal(account), literal(self.territory[ann_id]), literal(self.territory[bob_id])
        children = self.hq.one("SELECT count(*) FROM contact WHERE account_id = ?", account)
        ann.sql("SELECT 1")
        ann.start("sync", "--watch", "--json")
        blinks, seen, stop = [], set(), threading.Event()

        def watch():
            db = harness.open_file(ann.path)
            while not stop.is_set():
                rows = db.execute("SELECT (SELECT count(*) FROM account WHERE id = ?1), (SELECT count(*) FROM contact WHERE account_id = ?1), "
                                  "(SELECT website FROM account WHERE id = ?1)", (account,)).fetchone()
                seen.add(rows[2])
                if rows[:2] != (1, children):
                    blinks.append(rows)
                time.sleep(0.001)
            db.close()
        watching = threading.Thread(target=watch)
        watching.start()
        try:
            # Mine, a mate's, my territory's alone, and back: some bucket always holds it.
            steps = [(mate, here), (bob_id, here), (ann_id, there), (mate, there), (ann_id, here)]
            for i in range(15):
                owner, place = steps[i % len(steps)]
                self.hq.sql(f"UPDATE account SET owner_id = {literal(owner)}, territory_id = {place}, website = 'step {i}' WHERE id = {key}")
                wait_until(lambda: f"step {i}" in seen, f"step {i} on the device")
        finally:
            stop.set()
            watching.join()
        self.assertEqual(blinks[:3], [], f"it was away {len(blinks)} times")

    # ---- grants ----

    GRANTED = {
        "account": "id = {g}", "contact": "account_id = {g}",
        "contact_point": "contact_id IN (SELECT id FROM contact WHERE account_id = {g})",
        "contact_pref": "contact_id IN (SELECT id FROM contact WHERE account_id = {g})",
        "contact_tag": "contact_id IN (SELECT id FROM contact WHERE account_id = {g})",
        "consent_event": "contact_id IN (SELECT id FROM contact WHERE account_id = {g})",
        "address": "owner_row = {g} OR owner_row IN (SELECT id FROM contact WHERE account_id = {g})",
        "deal": "account_id = {g}", "deal_contact": "deal_id IN (SELECT id FROM deal WHERE account_id = {g})",
        "deal_stage_log": "deal_id IN (SELECT id FROM deal WHERE account_id = {g})",
        "interaction": "(at >= {year} AND contact_id IN (SELECT id FROM contact WHERE account_id = {g}))",
        "note": "parent_row IN (SELECT id FROM contact WHERE account_id = {g} UNION SELECT id FROM deal WHERE account_id = {g})",
        "ticket": "(state <> 'closed' AND contact_id IN (SELECT id FROM contact WHERE account_id = {g}))",
        "ticket_event": "ticket_id IN (SELECT id FROM ticket WHERE state <> 'closed' AND contact_id IN (SELECT id FROM contact WHERE account_id = {g}))",
        "purchase": "(at >= {two_years} AND contact_id IN (SELECT id FROM contact WHERE account_id = {g}))",
        "purchase_line": "purchase_id IN (SELECT id FROM purchase WHERE at >= {two_years} AND contact_id IN (SELECT id FROM contact WHERE account_id = {g}))",
        "loyalty_card": "contact_id IN (SELECT id FROM contact WHERE account_id = {g})",
        "loyalty_entry": "card_id IN (SELECT id FROM loyalty_card WHERE contact_id IN (SELECT id FROM contact WHERE account_id = {g}))",
    }

    def test_scope_account_taken_along_comes_and_ends(self):
        self.begin()
        ann, bob, ann_id, bob_id = self.two_reps()
        account = self.hq.one("SELECT account_id FROM deal JOIN account ON account.id = account_id WHERE account.owner_id = ? "
                              "AND account_id IN (SELECT account_id FROM contact) LIMIT 1", bob_id)
        more = {t: self.fill(c, {"g": literal(account), **self.facts("rep", ann_id, None)}) for t, c in self.GRANTED.items()}
        given = self.hq.ctl("scope", "grant", "--device", "ann", "--table", "account", "--key", literal(account), "--until", "1h", "--reason", "the fair")
        listed = self.hq.ctl("scope", "grants")
        self.assertEqual([(g["id"], g["device"], g["table"], g["key"].lower(), g["reason"]) for g in listed],
                         [(given["id"], "ann", "account", literal(account), "the fair")])
        ann.sync()
        self.assert_holds(ann, "rep", ann_id, more=more)
        self.assertGreater(ann.one("SELECT count(*) FROM deal WHERE account_id = ?", account), 0, "its deals did not come along")
        # What is given may be worked on.
        ann.sql(f"UPDATE account SET website = 'https://from-the-fair.example' WHERE id = {literal(account)}")
        self.hq.ctl("scope", "revoke", given["id"])
        self.assertEqual(self.hq.ctl("scope", "grants"), [])
        ann.sync()
        self.assertEqual(self.hq.one("SELECT website FROM account WHERE id = ?", account), "https://from-the-fair.example")
        self.assert_holds(ann, "rep", ann_id)
        # And one that ends by itself: it is looked for once a minute, and at a start, which is a minute later.
        until = time.gmtime(time.time() + 50)
        self.hq.ctl("scope", "grant", "--device", "ann", "--table", "account", "--key", literal(account), "--until",
                    time.strftime("%Y-%m-%dT%H:%M:%SZ", until), "--reason", "a moment")
        ann.sync()
        self.assertTrue(self.has(ann, "account", account))
        self.assertEqual(len(self.hq.ctl("scope", "grants")), 1)
        self.hq.stop()
        self.hq.prefix = harness.with_clock("+60s")
        self.hq.start()
        wait_until(lambda: self.hq.ctl("scope", "grants") == [], "the end of the grant")
        ann.sync()
        self.assert_holds(ann, "rep", ann_id)
        self.assertIn("there is no such grant", self.hq.ctl("scope", "revoke", 99, expect=1))
        self.assertIn("E_NOT_FOUND", self.hq.ctl("scope", "grant", "--device", "nobody", "--table", "account", "--key", literal(account), "--until", "1h",
                                                 "--reason", "r", expect=1))

    # ---- the admin's rules ----

    def rules(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_scope_dry_run_tells_what_publish_does(self):
        self.begin()
        ann, bob, ann_id, bob_id = self.two_reps()
        text = self.hq.ctl("scope", "show")["text"]
        # A team that shares its companies no more.
        changed = text.replace("mate.id <> me.id", "0")
        self.assertNotEqual(text, changed)
        changed = changed.replace("'account', 'territory', 'territory_id'", "'account', 'territory', 'nullif(1, 1)'")
        path = self.rules("changed.sql", changed)
        seq = self.hq.ctl("status")["position"]["seq"]
        told = self.hq.ctl("scope", "dry-run", path)
        self.assertEqual(self.hq.ctl("status")["position"]["seq"], seq, "trying the rules changed something")
        self.assertEqual(self.hq.ctl("scope", "show")["text"], text)
        self.assertEqual([n for n in os.listdir(self.hq.data) if "trial" in n], [], "the copy was left behind")
        before = {d.name: d.content() for d in (ann, bob)}
        self.hq.ctl("scope", "publish", path)
        self.assertEqual(self.hq.ctl("scope", "show")["text"], changed)
        for device in (ann, bob):
            device.sync()
            after = device.content()
            entry = next(d for d in told["devices"] if d["device"] == device.name)
            gets = {t: len(set(after[t]) - set(before[device.name][t])) for t in after}
            loses = {t: len(set(before[device.name][t]) - set(after[t])) for t in after}
            self.assertEqual(entry["user"], literal(ann_id if device is ann else bob_id))
            self.assertEqual(entry["gets"], {t: n for t, n in gets.items() if n})
            self.assertEqual(entry["loses"], {t: n for t, n in loses.items() if n})
            self.assertTrue(loses["account"] and loses["contact"])
            self.assertEqual({r[0] for r in device.read("SELECT DISTINCT owner_id FROM account")}, {ann_id if device is ann else bob_id})
        # And back again.
        self.hq.ctl("scope", "publish", self.rules("again.sql", text))
        for device in (ann, bob):
            device.sync()
            self.assertEqual(device.content(), before[device.name])

    def test_scope_explain_says_why_a_row_is_there_or_not(self):
        self.begin()
        ann, bob, ann_id, bob_id = self.two_reps()
        till = self.of_profile("till", "till", store=self.stores[0])
        contact = self.hq.one("SELECT c.id FROM contact c JOIN account a ON a.id = account_id WHERE a.owner_id = ? AND home_store_id = ? LIMIT 1",
                              ann_id, self.stores[0])

        def explain(device, table, key):
            return self.hq.ctl("scope", "explain", "--device", device.name, "--table", table, "--key", literal(key))

        there = explain(ann, "contact", contact)
        self.assertTrue(there["held"])
        self.assertIn("customers", json.dumps(there))
        self.assertIn("account", json.dumps(there), "the parent is not named")
        self.assertFalse(explain(bob, "contact", contact)["held"])
        masked = explain(till, "contact", contact)
        self.assertTrue(masked["held"])
        self.assertIn("job_title", json.dumps(masked))
        self.assertIn("E_NOT_FOUND", self.hq.ctl("scope", "explain", "--device", "ann", "--table", "contact", "--key", "x'77'", expect=1))
        self.assertIn("E_NOT_FOUND", self.hq.ctl("scope", "explain", "--device", "ann", "--table", "nothing", "--key", "x'77'", expect=1))
        self.assertIn("--key is missing", self.hq.ctl("scope", "explain", "--device", "ann", "--table", "contact", expect=2))

    def test_scope_bad_rule_refused_with_its_place_and_nothing_changes(self):
        server = self.hq = self.server()
        text = server.ctl("scope", "show")["text"]
        lines = text.count("\n")
        for what, words in [("INSERT INTO scope_bucket(tbl, name) VALUES('nothing', 'all');", "nothing"),
                            ("INSERT INTO scope_bucket(tbl, name, value) VALUES('contact', 'x', 'no_such_column');", "no_such_column"),
                            ("INSERT INTO scope_bucket(tbl, name, value) VALUES('contact', 'x', '(SELECT id FROM account)');", ""),
                            ("INSERT INTO scope_parent(tbl, parent, columns, buckets) VALUES('task', 'deal', 'parent_row', 'nowhere');", "nowhere"),
                            ("INSERT INTO scope_mask(profile, tbl, columns) VALUES('rep', 'contact', 'given');", "group"),
                            ("INSERT INTO scope_mask(profile, tbl, columns) VALUES('nobody', 'contact', 'source');", "nobody"),
                            ("DROP TABLE scope_bucket;", ""), ("INSERT INTO scope_mask VALUES(", "")]:
            for command in ("publish", "dry-run"):
                said = server.ctl("scope", command, self.rules("bad.sql", text + "\n\n" + what + "\n"), expect=1)
                self.assertIn(f"bad.sql:{lines + 3}:", said)
                self.assertIn(words, said)
                self.assertIn("E_RULE", said)
        self.assertIn("circle", server.ctl("scope", "publish", self.rules(
            "bad.sql", text + "INSERT INTO scope_parent(tbl, parent, columns) VALUES('account', 'contact', 'owner_id');"), expect=1))
        self.assertIn("note", server.ctl("scope", "publish", self.rules("bad.sql", text.replace("('note',", "('task',")), expect=1))
        self.assertEqual(server.ctl("scope", "show")["text"], text)
        self.assertIn("No such file", server.ctl("scope", "publish", self.path("none.sql"), expect=1))

    # ---- what may be written ----

    def test_scope_writes_beyond_ones_rights_refused_queue_flows(self):
        self.begin()
        self.enrich()
        ann, bob, ann_id, bob_id = self.two_reps()
        till = self.of_profile("till", "till", store=self.stores[0])
        theirs = literal(self.account_of(bob_id))
        # A key from elsewhere; a table that is not for reps; a contact in somebody else's company.
        ann.sql(f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'f0', 'account', {theirs}, 'Where I do not belong');"
                "INSERT INTO loyalty_card(id, program_id, code) SELECT x'f1', id, '4999' FROM loyalty_program;"
                f"INSERT INTO contact(id, account_id, given) VALUES(x'f2', {theirs}, 'Spy');"
                f"DELETE FROM account WHERE id = {literal(self.account_of(ann_id))};"
                f"INSERT INTO lead(id, company, created_by) VALUES(x'f3', 'Mine', {literal(ann_id)})")
        till.sql("UPDATE contact SET given = 'Renamed at the till' WHERE id = x'c2'; UPDATE contact SET job_title = 'Guessed' WHERE id = x'c2';"
                 "UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'c2';"
                 "INSERT INTO deal(id, name, stage_id) VALUES(x'f4', 'A deal at the till', x'018bcfe568007000800000000000b101')")
        ann.sync()
        till.sync()
        self.assertEqual([(r["device"], r["table"], r["code"]) for r in sorted(self.hq.ctl("rejected"), key=lambda r: (r["device"], r["number"]))],
                         [("ann", t, "E_SCOPE") for t in ("note", "loyalty_card", "contact", "account")] +
                         [("till", "contact", "E_SCOPE"), ("till", "contact", "E_SCOPE"), ("till", "deal", "E_SCOPE")])
        self.assertTrue(all(r["message"] for r in self.hq.ctl("rejected")), "a refusal without words")
        self.assertEqual(self.hq.one("SELECT count(*) FROM lead WHERE id = x'f3'"), 1, "the queue was blocked")
        self.assertEqual(self.hq.read("SELECT given, job_title, visit_count FROM contact WHERE id = x'c2'"), [("Member", "Baker of fine bread", 1)])
        self.assert_holds(ann, "rep", ann_id)
        self.assert_holds(till, "till", store=self.stores[0])

    def test_scope_till_enrols_and_sells_and_keeps_what_is_its_stores(self):
        self.begin()
        till = self.of_profile("till", "till", store=self.stores[0])
        cashier = literal(till.one("SELECT id FROM user_account LIMIT 1"))
        store, day = literal(self.stores[0]), company.midnight()
        till.sql(f"INSERT INTO contact(id, given, family, created_by) VALUES(x'f0', 'New', 'Member', {cashier});"
                 "INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'f1', x'f0', 'email', 'new.member@mail.example');"
                 "INSERT INTO loyalty_card(id, program_id, code, contact_id, issued_store) "
                 f"SELECT x'f2', id, '4111111111111', x'f0', {store} FROM loyalty_program;"
                 "INSERT INTO purchase(id, channel, store_id, card_id, contact_id, total_cents, at, receipt_no) "
                 f"VALUES(x'f3', 'pos', {store}, x'f2', x'f0', 500, {day}, 'r1'), (x'f4', 'pos', {store}, x'f2', x'f0', 500, {day - 40 * DAY_MS}, 'r0');"
                 f"INSERT INTO loyalty_entry(id, card_id, kind, points, purchase_id, at) VALUES(x'f5', x'f2', 'earn', 5, x'f3', {day});"
                 f"INSERT INTO interaction(id, contact_id, channel, at) VALUES(x'f6', x'f0', 'pos', {day})")
        till.sync()
        till.sync()
        self.assertEqual(self.hq.ctl("rejected"), [])
        self.assertEqual(self.hq.one("SELECT count(*) FROM purchase WHERE id IN (x'f3', x'f4')"), 2, "a receipt that came late does not stand")
        self.assertEqual(self.hq.one("SELECT count(*) FROM interaction WHERE id = x'f6'"), 1)
        self.assert_holds(till, "till", store=self.stores[0])
        self.assertTrue(self.has(till, "contact_point", b"\xf1"))
        self.hq.sql(f"UPDATE contact SET home_store_id = {store} WHERE id = x'f0'")
        till.sync()
        self.assert_holds(till, "till", store=self.stores[0])
        self.assertFalse(self.has(till, "contact_point", b"\xf1"), "the address stayed with the till")
        self.assertTrue(self.has(till, "contact", b"\xf0"))


if __name__ == "__main__":
    harness.main()
