"""Capabilities of section 1B: leads, from the first word to the hand-off."""
import collections
import os
import random

import harness
from capabilities import Automation, Data, Merge, Text, View, capability, later
from crm_cli import crm
from customers import NOW
from office import ANN, BOB, DAY_MS, EVE, KIM, LEO, MIA, NORTH, OTHER_STORE, SOUTH, STORE, TOM, UMA, ask, same, sync
from reports import agree, meets


def lead(office, columns="", values="", owner=ANN, status="working"):
    """A lead that is somebody's already."""
    key = office.new()
    office.hq.sql(f"INSERT INTO lead(id, family, status, owner_id, created_by{columns}) VALUES({key}, 'Led', '{status}', {owner}, {owner}{values})")
    return key


@capability("C18", "Leads from many sources", Text("scope.sql", "('rep', 'lead', 'insert,update', NULL, 0),"),
            Text("scope.sql", "('lead', 'work', 'coalesce(owner_id, created_by)'),", "('lead', 'work', 'owner_id'),"))
def many_sources(office):
    ann, hq = office.ann, office.hq
    ann.sync()
    for n in range(5):
        crm("--db", ann.path, "--user", "Ann Rep", "lead", "add", "--given", f"G{n}", "--family", "Fair", "--company", f"C{n}", "--email", f"g{n}@fair.example", "--source",
            "fair", "--region", "W")
    ann.sql("".join(f"INSERT INTO lead(id, given, family, company, source, region_code, created_by) VALUES({office.new()}, 'G{n}', 'Fair', 'C{n}', 'fair', 'W', "
        f"{ANN});" for n in range(5, 200))
            # Random, so that it does not shrink and the proxy can tell when most of it has passed.
            + f"INSERT INTO lead(id, family, company, created_by) VALUES({office.new()}, 'Badge', '{os.urandom(20000).hex()}', {ANN})")
    same(ann.status()["pending"], 201, "transactions that wait")
    proxy = office.proxy(hq)
    ann.route(proxy.port)
    proxy.swallow_after(20000)
    process = ann.start("sync")
    harness.wait_until(lambda: hq.one("SELECT count(*) FROM lead WHERE family = 'Badge'"), "most has come in", pause_s=0.005)
    proxy.break_links()
    proxy.heal()
    same(process.wait(harness.PATIENCE_S), 0, ann.errors())
    ann.route(hq.sync_port)
    path = office.path("bought.csv")
    bought = [office.new()[2:-1] for _ in range(3)]
    with open(path, "w", encoding="utf-8") as f:
        f.write("id,family,company,source,region_code\n" + "".join(f"{k},Bought,List {k[-2:]},purchased,W\n" for k in bought))
    for _ in range(2):
        hq.ctl("import", "lead", path)
    for side in (hq, ann):
        same(side.read("SELECT count(*), count(DISTINCT id), count(DISTINCT given) FROM lead WHERE family = 'Fair' AND source = 'fair'"), [(200, 200, 200)], "leads of the fair")
    same(hq.read("SELECT count(*), count(DISTINCT company) FROM lead WHERE family = 'Bought' AND source = 'purchased'"), [(3, 3)], "leads of a list that was taken in twice")
    return "200 leads added offline at a fair, 5 with `crm lead add`, and sent again as the answer was lost: 200, and no copy; a list of 3 taken in twice: 3"


later("leads", "C19", "Web forms", "integrations: the address that forms are sent to")


@capability("C20", "Qualifying", Merge("lead", "status"), Data("DELETE FROM lead_status_move WHERE from_status = 'working' AND to_status = 'qualified'"),
            Text("scope.sql", "('lead_status_move', 'office')", "('lead_status_move', 'server')"))
def qualifying(office):
    ann, hq = office.ann, office.hq
    agreed, contested = lead(office), lead(office)
    ann.sync()
    moves = ann.read("SELECT to_status FROM lead_status_move WHERE from_status = 'working' ORDER BY 1")
    same(moves, [("disqualified",), ("nurturing",), ("qualified",)], "what Ann may do with a lead that she works on")
    ann.sql(f"UPDATE lead SET status = 'qualified' WHERE id = {agreed}; UPDATE lead SET status = 'qualified' WHERE id = {contested}")
    hq.sql(f"UPDATE lead SET status = 'disqualified' WHERE id = {contested}")
    sync(ann)
    ann.sync()
    for side in (hq, ann):
        same(side.read(f"SELECT status FROM lead WHERE id IN ({agreed}, {contested}) ORDER BY id"), [("qualified",), ("disqualified",)], "status")
    lost = [c for c in hq.ctl("conflicts") if c["table"] == "lead" and contested[2:-1] in str(c.get("key", "")).lower()]
    assert len(lost) == 1 and "qualified" in str(lost[0]), lost
    assert "qualified" in ann.run("conflicts").stdout, ann.run("conflicts").stdout
    fresh = lead(office, status="new")
    ann.sync()
    name, _ = office.refusal(ann, f"UPDATE lead SET status = 'qualified' WHERE id = {fresh}")
    same(name, "E_GUARD", "a step left out")
    return f"qualified offline what the office had ruled out: it stays ruled out, and the loss is listed on both sides; from new to qualified in one step is refused ({name})"


@capability("C21", "Score of 1 to 100", Automation("lead-score"), Automation("lead-score-all"), Automation("lead-score-gone"), View("lead_score_match"), View("lead_score_estimate"), View("lead_score_reasons"),
            Merge("lead", "score"), Text("scope.sql", "('score_reason', 'lead', 'lead_id')", "('score_reason', 'lead', 'rule_id')"))
def scoring(office):
    ann, hq = office.ann, office.hq
    ann.sync()
    chance, people = random.Random(21), []
    for _ in range(60):
        title, source = chance.choice(("CEO", "Chief Émperor", "Student", "Buyer", "Diréctor of Sales", "Head of IT")), chance.choice(("referral", "purchased", "WEB", "fair"))
        size, mail = chance.choice((3, 50, 249, 1000, "NULL")), chance.choice(("'a@b.example'", "NULL"))
        people.append(f"INSERT INTO lead(id, family, job_title, source, company_size, email, region_code, created_by) VALUES({{}}, 'Scored', '{title}', '{source}', {size}, "
            f"{mail}, 'W', {ANN});")
    ann.sql("BEGIN;" + "".join(p.format(office.new()) for p in people * 2) + "COMMIT")
    columns = ("id", "job_title", "source", "company_size", "email", "phone", "status", "region_code", "company", "score")

    def check():
        rules = hq.read("SELECT id, field, op, value, points FROM score_rule WHERE active = 1")
        given = collections.defaultdict(set)
        for key, rule, points in hq.read("SELECT lead_id, rule_id, points FROM score_reason"):
            given[key].add((rule, points))
        seen = {}
        for row in (dict(zip(columns, r)) for r in hq.read(f"SELECT {', '.join(columns)} FROM lead WHERE family = 'Scored'")):
            reasons = {(rule, points) for rule, field, op, value, points in rules if meets(row, field, op, value)}
            same(given[row["id"]], reasons, f"reasons of {row}")
            same(row["score"], min(100, max(1, sum(points for _, points in reasons))), f"score of {row}")
            same(seen.setdefault(tuple(row[c] for c in columns[1:-1]), row["score"]), row["score"], "scores of equals")
        return [s for s, in hq.read("SELECT score FROM lead WHERE family = 'Scored' ORDER BY id")]

    # Offline: an estimate by the same rules, not a score.
    same(ann.read("SELECT count(score) FROM lead WHERE family = 'Scored'"), [(0,)], "scores before the server has said them")
    estimates = [s for s, in ask(ann, "SELECT e.score FROM lead_score_estimate e JOIN lead l ON l.id = e.lead_id WHERE l.family = 'Scored' ORDER BY l.id")]
    ann.sync()
    ann.sync()
    first = check()
    same(estimates, first, "the device's estimates and the server's scores")
    hq.sql(f"INSERT INTO score_rule(id, field, op, value, points, words) VALUES({office.new()}, 'job_title', 'like', '%emperor%', 90, 'rules');"
           "UPDATE score_rule SET active = 0 WHERE field = 'size' AND op = 'below'; UPDATE score_rule SET points = -40 WHERE value = 'purchased'")
    second = check()
    assert min(second) == 1 and max(second) == 100 and sum(a != b for a, b in zip(first, second)) > 10, second
    ann.sync()
    same(ask(ann, "SELECT count(*), count(DISTINCT lead_id) FROM lead_score_reasons WHERE lead_id IN (SELECT id FROM lead WHERE family = 'Scored')"),
         hq.read("SELECT count(*), count(DISTINCT lead_id) FROM score_reason WHERE lead_id IN (SELECT id FROM lead WHERE family = 'Scored')"), "reasons on the device")
    assert ask(ann, "SELECT count(*) FROM lead_score_reasons")[0][0] > len(second)
    name, _ = office.refusal(ann, "UPDATE lead SET score = 77 WHERE id = (SELECT id FROM lead WHERE family = 'Scored' LIMIT 1)")
    hq.sql("UPDATE score_rule SET active = 1 WHERE field = 'size' AND op = 'below'; UPDATE score_rule SET points = -10 WHERE value = 'purchased'; "
        "DELETE FROM score_rule WHERE words = 'rules'")
    same(check(), first, "scores when the rules are again what they were")
    return (f"{len(second)} leads: scores and reasons as computed by hand, before and after 3 rules changed and one was taken away, equal ones equal, all of 1 to 100; "
            f"offline an estimate; a device's own score is refused ({name})")


@capability("C22", "Assignment by title and region", Automation("lead-assign"), Automation("lead-assign-later"), Automation("lead-task"), View("lead_candidate"), Merge("lead", "owner_id"),
            Data("DELETE FROM assign_rule"), Text("scope.sql", "('note', 'lead', 'parent_row', 'parent_kind = ''lead''', NULL),",
                "('note', 'lead', 'parent_row', 'parent_kind = ''lead''', 'territory'),"))
def assignment(office):
    ann, eve, hq = office.ann, office.eve, office.hq
    rule = office.new()
    hq.sql(f"INSERT INTO assign_rule(id, prio, title_like, region_code, to_user) VALUES({rule}, 5, 'c_o', 'N', {ANN}), ({office.new()}, 7, '%buyer%', 'N', {BOB});")
    key, note = office.new(), office.new()
    eve.sql(f"INSERT INTO lead(id, family, job_title, region_code, created_by) VALUES({key}, 'Moved', 'Clerk', 'S', {EVE})")
    sync(ann, eve)
    eve.sync()
    same(eve.read(f"SELECT owner_id = {EVE} FROM lead WHERE id = {key}"), [(1,)], "Eve's: she works in the region")
    tasks = f"SELECT count(*), min(hex(assignee_id)) FROM task WHERE parent_row = {key} AND done_at IS NULL AND template_id IS NOT NULL"
    same(eve.read(tasks), [(1, EVE[2:-1].upper())], "her task")
    # She goes on without a network, while the office hears that it is a CFO, and of the North.
    eve.sql(f"UPDATE lead SET phone = '0171 5551234' WHERE id = {key}; INSERT INTO note(id, parent_kind, parent_row, body) VALUES({note}, 'lead', {key}, 'wants a demo')")
    hq.sql(f"UPDATE lead SET job_title = 'CFO', region_code = 'N', owner_id = NULL WHERE id = {key}")
    ann.sync()
    same(ann.read(f"SELECT job_title, phone FROM lead WHERE id = {key}"), [("CFO", None)], "on Ann's device at her next sync")
    assert eve.one(f"SELECT count(*) FROM lead WHERE id = {key}") == 1, "it left before the edits were sent"
    sync(eve, ann)
    eve.sync()
    ann.sync()
    same(ann.read(f"SELECT l.phone, n.body, l.owner_id = {ANN} FROM lead l JOIN note n ON n.parent_row = l.id WHERE l.id = {key}"), [("0171 5551234", "wants a demo", 1)],
        "what Eve wrote")
    for table, column in (("lead", "id"), ("note", "parent_row"), ("task", "parent_row"), ("score_reason", "lead_id")):
        same(eve.one(f"SELECT count(*) FROM {table} WHERE {column} = {key}"), 0, f"{table} on Eve's device")
    same(eve.read("SELECT count(*) FROM satchel_rejected"), [(0,)], "refusals")
    same(hq.read(tasks), [(1, ANN[2:-1].upper())], "the task went along")
    # By title in another way; and who has least.
    buyers = [office.new() for _ in range(6)]
    hq.sql("".join(f"INSERT INTO lead(id, family, job_title, region_code) VALUES({k}, 'Shared', '{'Chief Buyer' if n < 2 else 'Clerk'}', 'N');" for n, k in enumerate(buyers)))
    owners = hq.read(f"SELECT hex(owner_id) FROM lead WHERE id IN ({', '.join(buyers)}) ORDER BY id")
    same(owners[:2], [(BOB[2:-1].upper(),)] * 2, "buyers are Bob's")
    loads = dict(hq.read("SELECT hex(owner_id), count(*) FROM lead WHERE status IN ('new', 'working', 'nurturing', 'qualified') AND owner_id IS NOT NULL GROUP BY 1"))
    for owner, in reversed(owners[2:]):
        north = {w[2:-1].upper(): loads.get(w[2:-1].upper(), 0) for w in (ANN, BOB)}
        loads[owner] -= 1
        least = {w: n - (w == owner) for w, n in north.items()}
        same(least[owner], min(least.values()), "who of the North had fewest")
    # Of a region in which nobody works, until somebody does: fairly, and in the end all.
    nobodys = [office.new() for _ in range(4)]
    hq.sql("".join(f"INSERT INTO lead(id, family, job_title, region_code) VALUES({k}, 'Later', 'Clerk', 'Q');" for k in nobodys))
    whose = f"SELECT quote(owner_id), count(*) FROM lead WHERE id IN ({', '.join(nobodys)}) GROUP BY 1 ORDER BY 1"
    hq.ctl("automation", "run", "lead-assign-later")
    same(hq.read(whose), [("NULL", 4)], "leads of a region where nobody works")
    place = office.new()
    hq.sql(f"INSERT INTO territory(id, name, region_code) VALUES({place}, 'Q', 'Q'); INSERT INTO user_territory(user_id, territory_id) VALUES({BOB}, {place}), ({EVE}, {place})")
    hq.ctl("automation", "run", "lead-assign-later")
    same(hq.read(whose), [(BOB.upper(), 2), (EVE.upper(), 2)], "leads when two have begun to work there")
    same(hq.one(f"SELECT count(*) FROM task WHERE parent_row IN ({', '.join(nobodys)})"), 4, "tasks of theirs")
    name, _ = office.refusal(ann, f"UPDATE lead SET owner_id = {EVE} WHERE id = {key}")
    hq.sql(f"DELETE FROM assign_rule WHERE prio < 10; DELETE FROM user_territory WHERE territory_id = {place}; DELETE FROM territory WHERE id = {place}")
    return (f"a CFO of the North went from Eve's device to Ann's with note, task and the edits that Eve had not sent; buyers to Bob; others to who had fewest; those of a region "
            f"where nobody worked to two in turn who came later; nobody gives leads away ({name})")


WHOSE = {"account": "owner_id", "contact": "owner_id", "lead": "owner_id", "deal": "owner_id", "ticket": "assignee_id"}
HANGS = {"account": ("account WHERE id", "contact WHERE account_id"), "contact": ("contact WHERE id",), "lead": ("lead WHERE id", "task WHERE parent_row"),
         "deal": ("deal WHERE id", "note WHERE parent_row", "quote WHERE deal_id", "deal_stage_log WHERE deal_id"),
         "ticket": ("ticket WHERE id", "ticket_event WHERE ticket_id")}


class Given:
    """What Mia, who leads North, gives away: while this is looked at she leads South and the desk as well, and is of no team herself."""

    def __init__(self, office):
        self.office, self.desk = office, office.new()
        self.devices = {MIA: office.mia, ANN: office.ann, BOB: office.bob, EVE: office.eve, TOM: office.tom, UMA: office.uma}
        self.company, self.person, self.alone, self.bargain, self.call, self.made, self.hers = (office.new() for _ in range(7))
        self.lead = lead(office)
        deal = "INSERT INTO deal(id, name, stage_id, owner_id) SELECT {}, 'Given', min(id), {} FROM stage;".format
        note = "INSERT INTO note(id, parent_kind, parent_row, body) VALUES({}, '{}', {}, 'N');".format
        office.hq.sql(f"UPDATE team SET manager_id = {MIA} WHERE id = {SOUTH}; INSERT INTO team(id, name, manager_id) VALUES({self.desk}, 'Desk', {MIA});"
                      f"UPDATE user_account SET team_id = CASE id WHEN {MIA} THEN NULL ELSE {self.desk} END WHERE id IN ({MIA}, {TOM}, {UMA});"
                      f"INSERT INTO account(id, name, owner_id) VALUES({self.company}, 'Whole & Co', {BOB});"
                      f"INSERT INTO contact(id, account_id, given, owner_id) VALUES({self.person}, {self.company}, 'Goes along', NULL),"
                      f"({self.alone}, NULL, 'Alone', {ANN});"
                      + deal(self.bargain, ANN) + deal(self.hers, MIA) + note(office.new(), "contact", self.person) + note(office.new(), "deal", self.bargain) +
                      f"INSERT INTO quote(id, deal_id) VALUES({office.new()}, {self.bargain});"
                      f"INSERT INTO ticket(id, subject, assignee_id) VALUES({self.call}, 'Call', {TOM});"
                      f"INSERT INTO ticket_event(id, ticket_id, kind, at) VALUES({office.new()}, {self.call}, 'opened', 1);"
                      "INSERT INTO task(id, title, assignee_id, parent_kind, parent_row, template_id) "
                      f"SELECT {office.new()}, 'Call', {ANN}, 'lead', {self.lead}, min(id) FROM task_template WHERE cause = 'assigned'")
        self.sync()
        office.ann.sql(f"INSERT INTO deal(id, name, stage_id, created_by) SELECT {self.made}, 'Made', min(id), {ANN} FROM stage")
        sync(office.ann, office.mia)

    def sync(self):
        sync(*self.devices.values())

    def whose(self):
        return [self.office.hq.read(f"SELECT id, {column} FROM {entity} ORDER BY id") for entity, column in WHOSE.items()]

    def end(self):
        self.office.hq.sql(f"UPDATE user_account SET active = 1, team_id = CASE id WHEN {MIA} THEN {NORTH} END WHERE id IN ({MIA}, {TOM}, {UMA});"
                           f"DELETE FROM team WHERE id = {self.desk}")
        self.sync()


def request(office, entity, row, whose, to, by=MIA, more=("", "")):
    """(key, SQL) of what an app writes that asks for a row to be given to somebody else; `more`: another column, and its value."""
    key = office.new()
    return key, (f"INSERT INTO reassignment(id, entity, entity_row, from_user, to_user, by_user, at{more[0]}) "
                 f"VALUES({key}, '{entity}', {row}, {whose}, {to}, {by}, {NOW}{more[1]})")


def given_whole(office, given):
    """Mia asks, and Ann goes on working, all without a network. How many rows that were."""
    ann, mia, hq, asked = office.ann, office.mia, office.hq, {}
    rows = [("deal", given.bargain, ANN, BOB), ("deal", given.made, ANN, EVE), ("deal", given.hers, MIA, EVE), ("account", given.company, BOB, EVE),
            ("contact", given.alone, ANN, EVE), ("lead", given.lead, ANN, BOB), ("ticket", given.call, TOM, UMA)]
    for row in [*rows, rows[0]]:  # that one twice
        key, sql = request(office, *row)
        mia.sql(sql)
        asked[key] = row
    ann.sql(f"UPDATE deal SET next_step = 'unsent' WHERE id = {given.bargain};"
            f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES({office.new()}, 'deal', {given.bargain}, 'unsent')")
    given.sync()
    given.sync()
    for side in (hq, mia):
        same(ask(side, f"SELECT id, state, words FROM reassignment WHERE id IN ({', '.join(asked)}) ORDER BY id"),
             [(key, "done", None) for key in sorted(asked)], f"what came of it, on {getattr(side, 'name', 'the server')}")
    for entity, row, whose, to in rows:
        for what in HANGS[entity]:
            count = f"SELECT count(*) FROM {what} = {row}"
            same(given.devices[to].one(count), hq.one(count), f"{what} on the device of who got the {entity}")
            same(given.devices[whose].one(count), hq.one(count) if whose == MIA else 0, f"{what} on the device of who had the {entity}")
    same(office.bob.read(f"SELECT d.next_step, count(*) FROM deal d JOIN note n ON n.parent_row = d.id WHERE d.id = {given.bargain}"), [("unsent", 2)],
         "what Ann wrote")
    same(office.eve.one(f"SELECT count(*) FROM note WHERE parent_row = {given.person}"), 1, "what is known of who works there")
    same([device.one("SELECT count(*) FROM reassignment") for who, device in given.devices.items() if who != MIA], [0] * 5, "requests on others' devices")
    return len(rows)


def refused_with_reason(office, given):
    """South has no manager any more, and Uma has left. How many requests were refused."""
    mia, hq, nobodys = office.mia, office.hq, office.new()
    hq.sql(f"UPDATE team SET manager_id = NULL WHERE id = {SOUTH}; UPDATE user_account SET active = 0 WHERE id = {UMA};"
           f"UPDATE deal SET owner_id = {MIA} WHERE id = {given.hers};"
           f"UPDATE lead SET owner_id = {ANN} WHERE id = {given.lead}; UPDATE account SET owner_id = {BOB} WHERE id = {given.company};"
           f"INSERT INTO ticket(id, subject, assignee_id) VALUES({nobodys}, 'Nobody has it', NULL)")
    before, refused = given.whose(), {}
    # One who leads nobody, though the device is a manager's.
    boss = office.device("boss").enroll(hq, options=["--profile", "manager", "--user", EVE])
    boss.sync()
    for device, entity, row, whose, to, by, words in (
            (mia, "deal", given.bargain, BOB, EVE, MIA, "no rep of your teams"), (mia, "account", given.company, BOB, EVE, MIA, "no rep of your teams"),
            (mia, "lead", given.lead, ANN, TOM, MIA, "no rep of your teams"), (mia, "ticket", given.call, UMA, BOB, MIA, "no agent of your teams"),
            (mia, "ticket", given.call, UMA, UMA, MIA, "no agent of your teams"), (mia, "deal", given.made, EVE, BOB, MIA, "nobody's of your teams"),
            (mia, "contact", given.alone, EVE, BOB, MIA, "nobody's of your teams"), (mia, "ticket", nobodys, TOM, TOM, MIA, "nobody's of your teams"),
            (mia, "deal", office.new(), ANN, BOB, MIA, "nobody's of your teams"), (mia, "contact", given.person, BOB, ANN, MIA, "give the company"),
            (mia, "deal", given.hers, ANN, BOB, MIA, "Mia Manager has it by now"), (mia, "deal", given.bargain, BOB, ANN, ANN, "a device that is another's"),
            (boss, "deal", given.made, EVE, EVE, EVE, "only who leads a team")):
        key, sql = request(office, entity, row, whose, to, by)
        device.sql(sql)
        refused[key] = (device, words)
    sync(mia, boss, mia)
    for key, (device, words) in refused.items():
        (state, said), = device.read(f"SELECT state, words FROM reassignment WHERE id = {key}")
        same((state, words in (said or "")), ("refused", True), f"{words}: {said}")
    # She has left herself before the server hears of it.
    late, sql = request(office, "deal", given.bargain, BOB, ANN)
    mia.sql(sql)
    hq.sql(f"UPDATE user_account SET active = 0 WHERE id = {MIA}")
    mia.sync()
    same(hq.read(f"SELECT state FROM reassignment WHERE id = {late}"), [("refused",)], "asked by who is active no more")
    same(given.whose(), before, "whose is what")
    return len(refused) + 1


# What the answer goes by, and something else in its place.
ANSWER = [("x.holder_id NOT IN (x.from_user, x.to_user)", "x.holder_id <> x.from_user"), ("x.holder_id NOT IN (x.from_user, x.to_user)", "1 = 0"),
          ("m.id = x.by_user AND m.active = 1", "m.id IS NOT NULL"), ("m.id = x.by_user AND m.active = 1", "m.id = x.by_user"),
          ("(h.id = x.by_user OR t.manager_id = x.by_user)", "t.manager_id = x.by_user"), ("(h.id = x.by_user OR t.manager_id = x.by_user)", "1 = 1"),
          ("u.active = 1 AND t.manager_id = x.by_user", "u.active = 1"), ("u.active = 1 AND t.manager_id = x.by_user", "t.manager_id = x.by_user"),
          ("CASE x.entity WHEN 'ticket' THEN 'agent' ELSE 'rep' END)", "u.role)"), ("AND c.account_id IS NOT NULL)", "AND 1 = 0)"),
          ("'ERASED_REASSIGNMENT'", "'ERASED_REASSIGNMENT_2'")]


@capability("C22", "Given to another by a manager", Automation("reassign"), Automation("lead-task"), View("reassignment_answer"),
            Merge("reassignment", "state"), Merge("reassignment", "words"), Text("scope.sql", "  ('manager', 'reassignment', 'insert', NULL, 0),\n"),
            Text("scope.sql", "('reassignment', 'work', 'by_user')", "('reassignment', 'office', NULL)"),
            Text("scope.sql", "('manager', 'reassignment', 'insert',", "('manager', 'reassignment', 'insert,update',"),
            Text("automation.sql", "e.author <> 0 AND e.user IS DISTINCT FROM n.by_user", "1 = 0"),
            *(Text("automation.sql", f"r.entity = ''{entity}'' AND r.state = ''done''", f"r.entity = ''{entity}''{instead}")
              for entity in WHOSE for instead in ("", " AND 1 = 0")),
            *(Text("012_reassignment.sql", *words) for words in ANSWER))
def given_by_manager(office):
    given = Given(office)
    rows, refused = given_whole(office, given), refused_with_reason(office, given)
    given.end()
    mia, late = office.mia, ("deal", given.bargain, BOB, ANN)
    names = [office.refusal(device, sql)[0] for device, sql in (
        (office.ann, request(office, *late, ANN)[1]), (mia, f"UPDATE reassignment SET why = 'other' WHERE entity_row = {given.call}"),
        (mia, request(office, *late, more=(", state", ", 'done'"))[1]), (mia, request(office, *late, more=(", words", ", 'w'"))[1]))]
    same(names, ["E_SCOPE", "E_SCOPE", "E_SERVER_OWNED", "E_SERVER_OWNED"], "a rep, another reason afterwards, an answer of one's own")
    office.hq.sql(f"INSERT INTO erasure(contact_id, at) VALUES({given.alone}, {NOW})")
    mia.sync()
    said = mia.sql(request(office, "contact", given.alone, EVE, BOB, more=(", why", ", 'She wants it'"))[1], expect=1).stderr
    assert "ERASED_REASSIGNMENT: " in said, said
    same(office.hq.read("SELECT name, words FROM satchel_automation_run WHERE rc <> 0 AND name = 'reassign'"), [], "failures")
    return (f"asked offline, {rows} rows of 5 kinds went whole from one of hers to another, unsent edits and all, though one was asked for twice; "
            f"{refused} requests refused, each with its reason on the device that asked; a rep may not ask ({names[0]}), nobody answers himself ({names[2]})")


@capability("C23", "Nurturing", Automation("nurture-begin"), Automation("nurture-step"), Automation("nurture-end"), Merge("sequence_enrolment", "step_pos"),
            Data("DELETE FROM sequence_step WHERE pos = 2"), Text("scope.sql", "('sequence_enrolment', 'lead', 'lead_id')", "('sequence_enrolment', 'lead', 'sequence_id')"))
def nurturing(office):
    ann, hq = office.ann, office.hq
    key = lead(office, ", source", ", 'fair'")
    ann.sync()
    ann.sql(f"UPDATE lead SET status = 'nurturing' WHERE id = {key}")
    ann.sync()
    ann.sync()
    same(ann.read(f"SELECT q.name, e.step_pos, e.ended_at FROM sequence_enrolment e JOIN sequence q ON q.id = e.sequence_id WHERE e.lead_id = {key}"),
        [("After the fair", 0, None)], "enrolment")
    # Ann has no network from here, and six days pass.
    begun = NOW - 6 * DAY_MS
    steps = f"SELECT title, due_at, hex(assignee_id) FROM task WHERE parent_row = {key} AND template_id IN (SELECT id FROM sequence_step) ORDER BY due_at"
    hq.sql(f"UPDATE sequence_enrolment SET started_at = {begun} WHERE lead_id = {key}")
    for _ in range(3):
        hq.ctl("automation", "run", "nurture-step")
    due = [("Thank for the visit and send what was asked for", begun + DAY_MS, ANN[2:-1].upper()), ("Call and offer a demo", begun + 5 * DAY_MS, ANN[2:-1].upper())]
    same(hq.read(steps), due, "steps that were due")
    ann.sync()
    same(ann.read(steps), due, "on the device when it is back")
    ann.sql(f"UPDATE task SET done_at = {NOW} WHERE parent_row = {key} AND due_at = {begun + DAY_MS}; UPDATE lead SET status = 'working' WHERE id = {key}")
    ann.sync()
    hq.sql(f"UPDATE sequence_enrolment SET started_at = {NOW - 30 * DAY_MS} WHERE lead_id = {key}")
    hq.ctl("automation", "run", "nurture-step")
    same(len(hq.read(steps)), 2, "steps of a lead that is nurtured no more")
    ann.sql(f"UPDATE lead SET status = 'nurturing' WHERE id = {key}")
    ann.sync()
    for _ in range(2):
        hq.ctl("automation", "run", "nurture-step")
    same([t for t, *_ in hq.read(steps)], ["Invite to the next fair", *(t for t, *_ in due)], "it goes on where it was")
    ann.sync()
    name, _ = office.refusal(ann, f"UPDATE sequence_enrolment SET step_pos = 0 WHERE lead_id = {key}")
    return (f"2 steps due while the rep was offline, the timer run 3 times: 2 tasks, at their own times; ended and begun again: the third, once; "
            f"a device cannot turn it back ({name})")


@capability("C24", "Hand-off", Automation("lead-handoff"), Merge("lead", "handed_at"),
            Text("scope.sql", "('lead_handoff', 'lead', 'lead_id')", "('lead_handoff', 'lead', 'from_user')"),
            Data("DELETE FROM task_template WHERE cause = 'handed'"))
def hand_off(office):
    ann, bob, mia, hq = office.ann, office.bob, office.mia, office.hq
    rule, key = office.new(), office.new()
    hq.sql(f"INSERT INTO assign_rule(id, prio, title_like, to_user) VALUES({rule}, 1, 'handed', {ANN})")
    sync(ann, bob, mia)
    bob.sql(f"INSERT INTO lead(id, family, job_title, status, created_by) VALUES({key}, 'Hand', 'Handed', 'working', {BOB})")
    sync(bob, ann)
    ann.sync()
    ann.sql(f"UPDATE lead SET status = 'qualified' WHERE id = {key}")
    sync(ann, mia)
    at = hq.one(f"SELECT handed_at FROM lead WHERE id = {key}")
    for status in ("nurturing", "working", "qualified"):
        ann.sync()
        ann.sql(f"UPDATE lead SET status = '{status}' WHERE id = {key}")
    ann.sql(f"UPDATE lead SET handed_at = 5 WHERE id = {key}")
    sync(ann, mia)
    sync(ann)
    for side in (hq, ann, mia):
        same(side.read(f"SELECT hex(h.from_user), hex(h.to_user), h.at, l.handed_at FROM lead_handoff h JOIN lead l ON l.id = h.lead_id WHERE l.id = {key}"),
             [(BOB[2:-1].upper(), ANN[2:-1].upper(), at, at)], "the hand-off")
    same(hq.read(f"SELECT count(*) FROM task t JOIN task_template x ON x.id = t.template_id AND x.cause = 'handed' WHERE t.parent_row = {key} AND t.assignee_id = {ANN}"), [(1,)],
        "tasks of it")
    name, _ = office.refusal(ann, f"UPDATE lead_handoff SET to_user = {BOB} WHERE lead_id = {key}")
    hq.sql(f"DELETE FROM assign_rule WHERE id = {rule}")
    return f"qualified twice: one hand-off, from Bob who made it to Ann who got it, with one task, at the first time; seen by their manager; not to be changed ({name})"


@capability("C25", "First source", Merge("lead", "source"), View("leads_by_source"))
def first_source(office):
    ann, bob, hq = office.ann, office.bob, office.hq
    known, unknown = lead(office, ", source", ", 'fair'"), lead(office)
    for n, (source, status) in enumerate((("web", "converted"), ("web", "new"), ("referral", "qualified"))):
        lead(office, ", source", f", '{source}'", owner=(ANN, BOB)[n % 2], status=status)
    sync(ann, bob)
    ann.sql(f"UPDATE lead SET source = 'web' WHERE id = {known}; UPDATE lead SET source = 'referral' WHERE id = {unknown}; UPDATE lead SET source = 'web' WHERE id = {unknown}")
    sync(ann)
    hq.sql(f"UPDATE lead SET source = 'campaign' WHERE id IN ({known}, {unknown})")
    ann.sync()
    for side in (hq, ann):
        same(side.read(f"SELECT source FROM lead WHERE id IN ({known}, {unknown}) ORDER BY id"), [("fair",), ("referral",)], "the first source")
        report = agree(side, NOW, ["leads_by_source"])["leads_by_source"]
    return (f"edits by a device and by the office left the first source as it was, one given later was taken once; "
            f"{len(report)} sources in the report of a device and the server's, as counted by hand")


@capability("C26", "Referrals", Automation("referral-first"), Merge("referral", "state"),
            Text("007_customer_detail.sql", "CREATE UNIQUE INDEX referral_counts_once ", "CREATE INDEX referral_counts_once "),
            Text("scope.sql", "('till', 'referral', 'insert', NULL, 1),"))
def referrals(office):
    kim, leo, hq = office.kim, office.leo, office.hq
    one, two, friend = office.new(), office.new(), office.new()
    hq.sql(f"INSERT INTO contact(id, family, home_store_id) VALUES({one}, 'One', {STORE}), ({two}, 'Two', {OTHER_STORE}), ({friend}, 'Friend', {STORE})")
    sync(kim, leo)
    claim = "INSERT INTO referral(id, referrer, referee, at, by_user) VALUES({}, {}, {}, {}, {});"
    leo.sql(claim.format(office.new(), two, friend, NOW - 1000, LEO))
    kim.sql(claim.format(office.new(), one, friend, NOW, KIM) + claim.format(office.new(), one, one, NOW, KIM))
    sync(kim, leo)  # Kim's came first, though it was said later
    sync(kim, leo)
    for side, expected in ((hq, [(one, friend, "counts"), (one, one, "self"), (two, friend, "late")]), (kim, [(one, friend, "counts"), (one, one, "self"), (two, friend, "late")]),
                           (leo, [(two, friend, "late")])):
        same(sorted(ask(side, f"SELECT referrer, referee, state FROM referral WHERE referrer IN ({one}, {two})")), sorted(expected), "claims")
    try:
        hq.sql(f"UPDATE referral SET state = 'counts' WHERE referrer = {two} AND referee = {friend}")
        raise LookupError("two claims count")
    except AssertionError as error:
        assert "E_UNIQUE" in str(error), error
    name, _ = office.refusal(kim, claim.replace("by_user", "state").format(office.new(), one, office.new(), NOW, "'counts'"))
    return (f"two stores claimed one customer while offline: the claim that came first counts, the other is kept as late, oneself does not count; "
            f"the office cannot have two, a till says nothing of it ({name})")


@capability("C27", "Research", Merge("note", "body"), Text("scope.sql", "('note', 'account', 'parent_row', 'parent_kind = ''account''', NULL),",
            "('note', 'account', 'parent_row', 'parent_kind = ''account''', 'territory'),"),
            Text("scope.sql", "('rep', 'note', 'insert,update,delete', NULL, 0),"))
def research(office):
    ann, bob, hq = office.ann, office.bob, office.hq
    account, shared = office.new(), office.new()
    hq.sql(f"INSERT INTO account(id, name, owner_id) VALUES({account}, 'Searched', {ANN}); "
        f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES({shared}, 'account', {account}, 'founded 1998')")
    sync(ann, bob)
    for device, who, say in ((ann, ANN, "sells pumps"), (bob, BOB, "sells valves")):
        device.sql(f"INSERT INTO note(id, parent_kind, parent_row, body, by_user) VALUES({office.new()}, 'account', {account}, '{say}', {who});"
                   f"UPDATE note SET body = body || ', {say}' WHERE id = {shared}; UPDATE account SET {'website' if device is ann else 'industry'} = '{say}' WHERE id = {account}")
    sync(ann, bob)
    sync(bob, ann)
    texts = ["founded 1998, sells pumps", "founded 1998, sells valves", "sells pumps", "sells valves"]
    for side in (hq, ann, bob):
        same([t for t, in side.read(f"SELECT body FROM note WHERE parent_row = {account} ORDER BY body")], texts, "notes")
        same(side.read(f"SELECT count(*) FROM note WHERE copy_of = {shared}"), [(1,)], "copies of the note that both wrote")
        same(side.read(f"SELECT website, industry FROM account WHERE id = {account}"), [("sells pumps", "sells valves")], "fields of the company")
    return "two people's notes on one company, and both texts of the one note that both edited offline, are on 3 sides; fields that each filled in stand side by side"


@capability("C28", "Objections", View("objections_report"), Text("008_leads.sql", "INSERT INTO satchel_table(name, mode) VALUES('objection', 'append');",
            "INSERT INTO satchel_table(name) VALUES('objection');"),
            Text("scope.sql", "('rep', 'objection', 'insert', NULL, 1),"))
def objections(office):
    ann, bob, hq = office.ann, office.bob, office.hq
    leads = {ann: [lead(office) for _ in range(3)], bob: [lead(office, owner=BOB)]}
    stage = dict(hq.read("SELECT min(name), quote(id) FROM stage WHERE pipeline_id = (SELECT id FROM pipeline WHERE name = 'New business') AND kind <> 'open' GROUP BY id"))
    deals = {name: office.new() for name in ("Won", "Lost")}
    hq.sql("".join(f"INSERT INTO deal(id, name, stage_id, owner_id) VALUES({d}, 'D', {stage[name]}, {ANN});" for name, d in deals.items()))
    sync(ann, bob)
    for device, who in ((ann, ANN), (bob, BOB)):
        about = [("lead", k) for k in leads[device]] * 2 + ([("deal", d) for d in deals.values()] if device is ann else [])
        device.sql("".join(f"INSERT INTO objection(id, parent_kind, parent_row, kind, words, at, by_user) VALUES({office.new()}, '{kind}', {row}, "
            f"'{('budget', 'price', 'timing')[n % 3]}', 'no', {NOW}, {who});"
                           for n, (kind, row) in enumerate(about)))
    sync(ann, bob)
    sizes = {}
    for side in (hq, ann, bob):
        sizes[side] = sum(said for _, said, *_ in agree(side, NOW, ["objections_report"])["objections_report"])
    assert sizes[hq] >= 10 and sizes[ann] >= 8 and sizes[bob] >= 2, sizes
    name, _ = office.refusal(ann, f"UPDATE objection SET kind = 'other' WHERE parent_row = {deals['Won']}")
    same(name, "E_APPEND_ONLY", "why what was said stays")
    return (f"{sizes[hq]} objections of two reps noted offline: the report by kind, leads, deals, won and lost equals the rows on the server and on each device; "
            f"none is changed afterwards ({name})")
