"""Capabilities of section 1C: pipelines and deals, quotes, and the figures about them. What reports say is worked out a second time, from the rows alone (reports.py)."""
import json
import time

import harness
from capabilities import Automation, Data, Merge, Text, View, capability
from crm_cli import crm
from office import ANN, BOB, DAY_MS, EVE, STORE, TOM, ask, day_of, same, sync
from reports import Books, agree, forecast_of, priority_of, shown

NOW = int(time.time() * 1000)
NEW_BUSINESS = "x'018bcfe568007000800000000000a001'"
PROSPECTING, QUALIFIED, DEMO, PROPOSAL, NEGOTIATION, WON, LOST = (f"x'018bcfe568007000800000000000b10{n}'" for n in range(1, 8))
DUE, CONTACTED, OFFERED, RENEWED = (f"x'018bcfe568007000800000000000b20{n}'" for n in range(1, 5))


def tablet(office):
    """Ann's second device."""
    if "tablet" not in vars(office):
        vars(office)["tablet"] = office.device("tablet").enroll(office.hq, options=["--profile", "rep", "--user", ANN])
    vars(office)["tablet"].sync()
    return vars(office)["tablet"]


def deal(office, name, stage=PROSPECTING, owner=ANN, **columns):
    """One that the office makes."""
    key = office.new()
    values = {"id": key, "name": f"'{name}'", "stage_id": stage, "owner_id": owner, "created_at": NOW - DAY_MS, **columns}
    office.hq.sql(f"INSERT INTO deal({', '.join(values)}) VALUES({', '.join(map(str, values.values()))})")
    return key


def stage_of(side, key):
    return side.one(f"SELECT s.name FROM deal d JOIN stage s ON s.id = d.stage_id WHERE d.id = {key}")


def log_of(side, key):
    return side.read(f"SELECT l.step, s.name, l.at FROM deal_stage_log l JOIN stage s ON s.id = l.to_stage WHERE l.deal_id = {key} ORDER BY l.step")


def tasks_of(side, key):
    return side.read(f"SELECT title FROM task WHERE parent_row = {key} ORDER BY title")


def templates(office, *stages):
    return office.hq.read(f"SELECT title FROM task_template WHERE stage_id IN ({', '.join(stages)}) ORDER BY title")


def by_ann(device, *words, **options):
    """The program crm in Ann's hands."""
    return crm("--db", device.path, "--user", "Ann Rep", *words, **options)


def blob(literal):
    return bytes.fromhex(literal[2:-1])


# ---- pipelines and deals ----


@capability("C29", "Pipelines", View("pipeline_by_stage"), View("deal_value"), View("deal_without_rate"), Text("scope.sql", ",\n  ('deal', 'work', 'coalesce(owner_id, created_by)')"),
            Data("DELETE FROM currency_rate WHERE currency = 'GBP'"))
def pipelines(office):
    for n, (owner, stage, cents, currency) in enumerate(((ANN, PROSPECTING, 100050, "'EUR'"), (ANN, DUE, 77777, "'GBP'"), (ANN, OFFERED, 33333, "'USD'"),
                                                         (BOB, DUE, 99900, "'EUR'"), (EVE, QUALIFIED, 12345, "'CHF'"), (ANN, PROSPECTING, "NULL", "NULL"))):
        deal(office, f"Board {n}", stage, owner, amount_cents=cents, currency=currency)
    own, unknown = deal(office, "Moves", DUE, amount_cents=500, currency="'EUR'"), deal(office, "Of no worth yet", DUE, amount_cents=4200, currency="'XTS'")
    office.hq.sql("".join(f"INSERT INTO currency_rate(currency, since, micro) VALUES('{currency}', {NOW + 365 * DAY_MS}, 9000000);" for currency in ("GBP", "XTS")))
    board = "SELECT pipeline_id, stage_id, pos, deals, cents, weighted_cents FROM pipeline_by_stage ORDER BY pipeline_id, pos, stage_id"
    ann = office.ann
    ann.sync()
    ann.sql(f"UPDATE deal SET stage_id = {CONTACTED} WHERE id = {own}")
    offline = ask(ann, board)
    ann.sync()
    books = Books(office.hq, NOW)

    def expected(owner):
        stages = sorted(books.stages.values(), key=lambda s: (s["pipeline_id"], s["pos"], s["id"]))
        deals = [[d for d in books.of(owner=owner) if d["stage_id"] == s["id"]] for s in stages]
        return [(shown(s["pipeline_id"]), shown(s["id"]), s["pos"], len(there), sum(d["cents"] for d in there), sum(d["weighted"] for d in there)) for s, there in zip(stages, deals)]

    same(ask(ann, board), expected(blob(ANN)), "board on Ann's device")
    same(offline, ask(ann, board), "the board before the sync")
    same(ask(office.hq, board), expected(None), "board on the server")
    same(ask(ann, "SELECT cents FROM pipeline_by_stage WHERE stage = 'Due'"), [(90999,)], "cents of 777.77 GBP")
    for side in (office.hq, ann):
        same(agree(side, NOW, ["deal_without_rate"])["deal_without_rate"], [(unknown, "XTS", 4200)], "deals without a rate")
    office.hq.sql(f"DELETE FROM currency_rate WHERE since > 0; UPDATE deal SET amount_cents = NULL WHERE id = {unknown}")
    assert len(books.of(owner=blob(ANN))) < len(books.deals)
    return (f"2 pipelines, 4 currencies: Ann's board of {sum(r[3] for r in offline)} deals is what she may see of the server's {len(books.deals)}, offline already; "
            "rates of next year do not count")


@capability("C30", "Deals", Merge("deal", "amount_cents"), Merge("deal", "currency"), Merge("deal", "owner_id"), Text("scope.sql", "('rep', 'deal', 'insert,update', NULL, 0),"))
def deals(office):
    key, ann, other = deal(office, "Fields", amount_cents=100000, currency="'EUR'"), office.ann, tablet(office)
    sync(ann, other)
    ann.sql(f"UPDATE deal SET amount_cents = 200000, currency = 'USD' WHERE id = {key}")
    other.sql(f"UPDATE deal SET close_date = {NOW + 30 * DAY_MS}, probability = 15 WHERE id = {key}")
    sync(ann, other)
    now = f"SELECT amount_cents, currency, close_date, probability, quote(owner_id) FROM deal WHERE id = {key}"
    for side in (office.hq, ann, other):
        same(side.read(now), [(200000, "USD", NOW + 30 * DAY_MS, 15, ANN.upper())], f"both edits on {getattr(side, 'name', 'the server')}")
    ann.sql(f"UPDATE deal SET amount_cents = 300000, currency = 'CHF' WHERE id = {key}")
    other.sql(f"UPDATE deal SET currency = 'GBP' WHERE id = {key}")
    sync(other, ann, other)
    same(ann.read(now)[0][:2], (200000, "GBP"), "money is one writer's")
    ann.sql(f"UPDATE deal SET amount_cents = 400000, currency = 'NOK' WHERE id = {key}")
    sync(ann, other)
    other.sql(f"UPDATE deal SET amount_cents = 500000 WHERE id = {key}")
    ann.sql(f"UPDATE deal SET currency = 'SEK' WHERE id = {key}")
    sync(other, ann, other)
    same(other.read(now)[0][:2], (400000, "SEK"), "money is one writer's, the other way round")
    same(office.refusal(ann, f"UPDATE deal SET owner_id = {BOB} WHERE id = {key}")[0], "E_SERVER_OWNED", "why a rep gives no deal away")
    return "amount on one device, day and chance on another, offline: both kept on 3 sides; amount and currency are never of two writers"


@capability("C31", "Stages of one's own", Merge("deal", "stage_id"), Text("scope.sql", "('stage', 'office'), ", "('stage', 'server'), "), View("deal_stage_task"))
def own_stages(office):
    ann, after, trial = office.ann, office.new(), office.new()
    won, kept = deal(office, "Bought", WON), deal(office, "Tries")
    office.hq.sql(f"INSERT INTO stage(id, pipeline_id, name, pos, probability, kind) VALUES({after}, {NEW_BUSINESS}, 'Post-purchase nurturing', 8, 100, 'won'),"
                  f" ({trial}, {NEW_BUSINESS}, 'Trial', 9, 30, 'open');"
                  f"INSERT INTO stage_move(from_stage, to_stage) VALUES({WON}, {after}), ({PROSPECTING}, {trial});"
                  f"INSERT INTO task_template(id, cause, stage_id, title) VALUES({office.new()}, 'stage', {after}, 'Ask what else they need');")
    ann.sync()
    by_ann(ann, "deal", "move", won[2:-1], "Post-purchase nurturing")
    office.hq.sql(f"DELETE FROM stage_move WHERE to_stage = {trial}; DELETE FROM stage WHERE id = {trial};")
    name, text = office.refusal(ann, f"UPDATE deal SET stage_id = {trial} WHERE id = {kept}")
    same((name, "stage_id" in text), ("E_GUARD", True), f"refusal ({text})")
    same((stage_of(ann, kept), stage_of(office.hq, kept)), ("Prospecting", "Prospecting"), "the deal that was to move to the removed stage")
    same((stage_of(office.hq, won), stage_of(ann, won)), ("Post-purchase nurturing",) * 2, "the deal in the new stage")
    assert ("Ask what else they need",) in tasks_of(office.hq, won), tasks_of(office.hq, won)
    same(ann.one(f"SELECT count(*) FROM stage WHERE id = {trial}"), 0, "removed stage on the device")
    return f"a stage made live takes a deal moved offline, with its task; a move to one that was removed meanwhile is refused ({name}), and the device shows the deal where it was"


# ---- what happens by itself ----


@capability("C32", "Moves by events", Automation("stage-by-interaction"), Automation("stage-by-quote"), Automation("stage-log"), Automation("stage-log-lost"), Automation("stage-first"),
            Automation("stage-tasks-lost"), View("deal_event_move"),
            Text("009_deals.sql", "INSERT INTO satchel_table(name, key) VALUES('deal_stage_log', 'natural')", "INSERT INTO satchel_table(name) VALUES('deal_stage_log')"),
            Data("UPDATE stage_move SET on_event = NULL"))
def moves_by_events(office):
    account, contact = office.new(), office.new()
    office.hq.sql(f"INSERT INTO account(id, name, owner_id) VALUES({account}, 'Demo Ltd', {ANN}); INSERT INTO contact(id, account_id, family) VALUES({contact}, {account}, 'Demoed')")
    both, plain, seen, sold, lost = (deal(office, f"Event {n}", stage, account_id=account) for n, stage in enumerate((QUALIFIED, QUALIFIED, QUALIFIED, NEGOTIATION, PROPOSAL)))
    same(log_of(office.hq, both), [(0, "Qualified", NOW - DAY_MS)], "the log of a new deal")
    ann, other, tom, quote = office.ann, tablet(office), office.tom, office.new()
    sync(ann, other)
    days = [day_of(NOW - n * DAY_MS) + " 12:00" for n in (0, 3, 2)]
    for device, when in ((ann, days[1]), (other, days[2])):
        by_ann(device, "visit", "log", contact[2:-1], "--channel", "phone", "--deal", both[2:-1], "--kind", "demo_booked", "--at", when)
        same(stage_of(device, both), "Demo", f"offline on {device.name}")
    ann.sql(f"UPDATE deal SET stage_id = {DEMO} WHERE id = {plain}")
    ann.sql(f"INSERT INTO quote(id, deal_id, created_by) VALUES({quote}, {sold}, {ANN})")
    ann.sql(f"UPDATE quote SET status = 'sent' WHERE id = {quote}")
    ann.sql(f"UPDATE quote SET status = 'accepted' WHERE id = {quote}")
    for device, stage in ((ann, "Won"), (other, "Negotiation"), (other, "Proposal")):
        by_ann(device, "deal", "move", lost[2:-1], stage)
    heard = NOW - 5 * DAY_MS
    tom.sql(f"INSERT INTO interaction(id, deal_id, channel, at, by_user, kind) VALUES({office.new()}, {seen}, 'email', {heard}, {TOM}, 'demo_booked')")
    before = int(time.time() * 1000)
    sync(ann, other, tom)
    sync(ann, other)
    for side in (office.hq, ann, other):
        same([(step, name) for step, name, _ in log_of(side, both)], [(0, "Qualified"), (1, "Demo")], "the log of two bookings")
        same([stage_of(side, k) for k in (both, plain, seen, sold, lost)], ["Demo", "Demo", "Demo", "Won", "Won"], "stages")
        same([name for _, name, _ in log_of(side, lost)], ["Proposal", "Won"], "the log where two moves were lost to another")
    same(day_of(log_of(office.hq, both)[1][2]), days[1][:10], "the day in the log")
    same([name for _, name, _ in log_of(office.hq, plain)], ["Qualified", "Demo"], "the log of a plain move")
    assert log_of(office.hq, plain)[1][2] <= before, "the plain move is logged at the time of the sync"
    same(log_of(office.hq, seen), [(0, "Qualified", NOW - DAY_MS), (1, "Demo", heard)], "the log of what the agent heard")
    same([name for _, name, _ in log_of(office.hq, sold)], ["Negotiation", "Won"], "the log of the accepted quote")
    same(office.hq.one(f"SELECT count(*) FROM interaction WHERE deal_id = {both}"), 2, "interactions")
    same(tasks_of(office.hq, lost), templates(office, PROPOSAL, WON), "tasks where two moves were lost to another")
    same(tasks_of(office.hq, both), templates(office, QUALIFIED, DEMO), "tasks")
    same([d.one("SELECT count(*) FROM satchel_rejected") for d in (ann, other, tom)], [0, 0, 0], "refusals")
    return "a demo booked offline on 2 devices, logged by both and the server: 1 row, 1 set of tasks; one that an agent heard of, a quote, a plain move: 1 row each, by event time"


@capability("C33", "Tasks of a stage", Automation("stage-tasks"), View("deal_stage_task"), Text("009_deals.sql", "INSERT INTO satchel_table(name, key) VALUES('task', 'natural');"),
            Data("UPDATE task_template SET active = 0 WHERE cause = 'stage'"))
def tasks_of_a_stage(office):
    key, bare = deal(office, "Entered"), deal(office, "Entered by another app")
    ann, other = office.ann, tablet(office)
    sync(ann, other)
    for device in (ann, other):
        by_ann(device, "deal", "move", key[2:-1], "Qualified")
        device.sql(f"UPDATE deal SET stage_id = {QUALIFIED} WHERE id = {bare}")
    wanted = templates(office, PROSPECTING, QUALIFIED)
    same(tasks_of(other, key), wanted, "tasks offline")
    by_ann(ann, "task", "done", ann.one(f"SELECT hex(id) FROM task WHERE parent_row = {key} AND title LIKE 'Call and%'"))
    sync(ann, other)
    for side in (office.hq, ann, other):
        same([tasks_of(side, k) for k in (key, bare)], [wanted, wanted], "tasks")
        same(side.one(f"SELECT count(*) FROM task WHERE parent_row = {key} AND done_at IS NOT NULL"), 1, "what was done on one device")
    same([name for _, name, _ in log_of(office.hq, key)], ["Prospecting", "Qualified"], "log")
    same([d.one("SELECT count(*) FROM satchel_rejected") for d in (ann, other)], [0, 0], "refusals")
    return f"2 devices entered a stage offline, each with its tasks: one set of {len(wanted)} on 3 sides, what was done on one stays done; the server makes them for an app that does not"


@capability("C34", "Priority", Automation("deal-priority"), Automation("deal-priority-people"), Automation("deal-priority-left"), Automation("deal-priority-title"),
            Automation("deal-priority-company"), Automation("deal-priority-rate"), Automation("deal-priority-rate-gone"), Automation("deal-priority-rates"),
            Automation("deal-priority-stage"), View("deal_priority"), View("deal_priority_reason"), View("deal_ranking"), Merge("deal", "priority"))
def priority(office):
    hq, ann = office.hq, office.ann
    big, small, people = office.new(), office.new(), [office.new() for _ in range(3)]
    hq.sql(f"INSERT INTO account(id, name, owner_id, employees) VALUES({big}, 'Big', {ANN}, 900), ({small}, 'Small', {ANN}, 9);"
           + "".join(f"INSERT INTO contact(id, account_id, family, job_title) VALUES({p}, {small}, 'P', '{t}');" for p, t in zip(people, ("CFO", "Clerk", "Managing Director"))))
    made = {}
    for cents in (4000, 900000, 7000000, 90000000):
        for account in (big, small):
            for person in (None, *people):
                for _ in range(2 if cents > 5000 else 1):
                    made[deal(office, "Ranked", PROPOSAL, account_id=account, amount_cents=cents, currency="'EUR'", close_date=NOW + cents)] = (account, person)
    hq.sql("".join(f"INSERT INTO deal_contact(deal_id, contact_id) VALUES({k}, {p});" for k, (_, p) in made.items() if p))
    hq.sql(f"UPDATE contact SET job_title = 'Chief Clerk' WHERE id = {people[1]}; UPDATE account SET revenue_cents = 2000000000 WHERE id = {small};"
           f"DELETE FROM deal_contact WHERE contact_id = {people[2]}")
    ann.sync()
    books, titles = Books(hq, NOW), {people[0]: ["CFO"], people[1]: ["Chief Clerk"]}
    expected = {blob(k): priority_of(books.deals[blob(k)], True, titles.get(p, [])) for k, (_, p) in made.items()}
    for side in (hq, ann):
        same(dict(side.read("SELECT id, priority FROM deal WHERE name = 'Ranked'")), expected, "priorities")
        reasons = ask(side, "SELECT r.deal_id AS id, sum(r.points) AS points FROM deal_priority_reason r JOIN deal d ON d.id = r.deal_id WHERE d.name = 'Ranked' GROUP BY r.deal_id")
        same({blob(k): points for k, points in reasons}, expected, "sums of the reasons")
    stored = dict(hq.read("SELECT id, coalesce(priority, 0) FROM deal"))
    ranked = sorted(books.of("open", blob(ANN)), key=lambda d: (-stored[d["id"]], -d["weighted"], d["close_date"] is None, d["close_date"] or 0, d["id"]))
    for side in (hq, ann):
        query = f"SELECT deal_id FROM deal_ranking WHERE owner_id = {ANN} ORDER BY place"
        same([k for k, in ask(side, query)], [shown(d["id"]) for d in ranked], "ranking")
    # What money is worth, and what a stage promises, changes as well; a rate of next year does not count yet.
    soon = int(time.time() * 1000) + 3000
    pounds, pending = deal(office, "Ranked", PROPOSAL, amount_cents=4200000, currency="'GBP'"), deal(office, "Ranked", DUE, amount_cents=4000000, currency="'USD'")
    hq.sql(f"INSERT INTO currency_rate(currency, since, micro) VALUES('GBP', {NOW}, 10000000), ('USD', {soon}, 9200000), ('GBP', {NOW + 365 * DAY_MS}, 1);"
           f"UPDATE stage SET probability = probability + 10 WHERE id = {DUE}")

    def as_worked_out(names, keys):
        report = dict(agree(hq, int(time.time() * 1000), names)["deal_priority"])
        same(dict(ask(hq, f"SELECT id, priority FROM deal WHERE id IN ({', '.join(keys)})")), {k: report[k] for k in keys}, "priorities by another rate and chance")

    try:
        as_worked_out(("deal_value", "deal_priority"), (pounds,))
        harness.wait_until(lambda: time.time() * 1000 > soon, "the rate to begin")
        hq.ctl("automation", "run", "deal-priority-rates")
        as_worked_out(("deal_value", "deal_priority"), (pounds, pending))
    finally:
        hq.sql(f"DELETE FROM currency_rate WHERE since > 0; UPDATE stage SET probability = probability - 10 WHERE id = {DUE}")
    as_worked_out(("deal_priority",), (pounds, pending))
    name, _ = office.refusal(ann, f"UPDATE deal SET priority = 99 WHERE id = {next(iter(made))}")
    return f"{len(made)} deals of {len(set(expected.values()))} priorities, each the sum of its reasons; {len(ranked)} ranked alike on server, device and by hand, equal ones too; own priority refused ({name})"


@capability("C35", "Follow-up of idle deals", Automation("deal-follow-up"), View("deal_activity"), View("idle_deals"), Data("UPDATE stage SET idle_days = NULL"),
            Data("DELETE FROM task_template WHERE cause = 'overdue'"))
def idle_deals(office):
    hq, ann = office.hq, office.ann
    idle, busy, late = (deal(office, f"Idle {n}", QUALIFIED, created_at=NOW - 20 * DAY_MS, **more) for n, more in enumerate(({}, {}, {"close_date": NOW - 3 * DAY_MS})))
    past = deal(office, "Idle 3", QUALIFIED, close_date=NOW - 3 * DAY_MS)
    ann.sync()
    ann.sql(f"INSERT INTO interaction(id, deal_id, channel, at, by_user) VALUES({office.new()}, {busy}, 'phone', {NOW - DAY_MS}, {ANN})")

    def run():
        ann.sync()
        for _ in range(2):
            hq.ctl("automation", "run", "deal-follow-up")
        ann.sync()
        return [hq.one("SELECT count(*) FROM task t JOIN task_template m ON m.id = t.template_id WHERE m.cause IN ('idle', 'overdue') AND t.done_at IS NULL"
                       f" AND t.assignee_id = {ANN} AND t.parent_row = {k}") for k in (idle, busy, late, past)]

    same(run(), [1, 0, 1, 1], "open follow-ups")
    listed = [n for n, in ask(ann, "SELECT name FROM idle_deals WHERE name LIKE 'Idle%' ORDER BY name")]
    same(listed, ["Idle 0", "Idle 2"], "idle deals on the device")
    follow = ann.one(f"SELECT id FROM task WHERE parent_row = {idle}").hex()
    by_ann(ann, "task", "done", follow)
    same(run(), [0, 0, 1, 1], "open follow-ups after one was done")
    hq.sql(f"UPDATE task SET done_at = {NOW - 15 * DAY_MS} WHERE id = x'{follow}'")
    same(run(), [1, 0, 1, 1], "open follow-ups when it is idle again")
    same(ann.one(f"SELECT count(*) FROM task WHERE parent_row = {idle}"), 2, "tasks of it in all")
    return "3 deals idle or past their day: one open follow-up each however often the timer runs, none for one that was called; done, it comes again only when the deal is idle again"


@capability("C36", "Quotes", Automation("quote-number"), Merge("quote", "number"), Merge("quote", "provisional"), Merge("quote", "status"),
            Text("009_deals.sql", "CREATE UNIQUE INDEX quote_number", "CREATE INDEX quote_number"),
            *(Text("009_deals.sql", f"'{code}'", f"'{code}_2'") for code in ("QUOTE_QTY", "QUOTE_CURRENCY", "QUOTE_STATUS")))
def quotes(office):
    hq, ann, other = office.hq, office.ann, tablet(office)
    key, made = deal(office, "Quoted", PROPOSAL), {}
    sync(ann, other)
    for device in (ann, other):
        for n in range(3):
            quote = office.new()
            made[quote] = f"{device.name}-{n}"
            device.sql(f"BEGIN; INSERT INTO quote(id, deal_id, provisional, created_by, created_at) VALUES({quote}, {key}, '{made[quote]}', {ANN}, {NOW});"
                       f"INSERT INTO quote_line(id, quote_id, qty, unit_cents) VALUES({office.new()}, {quote}, 3, 1250); COMMIT;")
    sync(ann, other)
    first = next(iter(made))
    other.sql(f"UPDATE quote SET provisional = 'rewritten' WHERE id = {first}")
    sync(other, ann)
    for side in (hq, ann, other):
        numbers = dict(side.read(f"SELECT provisional, number FROM quote WHERE deal_id = {key}"))
        same(sorted(numbers), sorted(made.values()), "provisional numbers")
        assert len(set(numbers.values())) == len(made) and all(n and n.startswith(f"Q-{day_of(NOW)[:4]}-") for n in numbers.values()), numbers
    for table, change, code in (("quote_line", "qty = 0", "QUOTE_QTY"), ("quote_line", "qty = 1.5", "QUOTE_QTY"), ("quote", "currency = 'eur'", "QUOTE_CURRENCY")):
        said = ann.sql(f"UPDATE {table} SET {change} WHERE {'quote_id' if table == 'quote_line' else 'id'} = {first}", expect=1).stderr
        assert f"{code}: " in said, said
    said = ann.sql(f"INSERT INTO quote(id, deal_id, status) VALUES({office.new()}, {key}, 'silly')", expect=1).stderr
    assert "QUOTE_STATUS: " in said, said
    name, _ = office.refusal(ann, f"UPDATE quote SET number = 'Q-1' WHERE id = {first}")
    skipped, _ = office.refusal(ann, f"UPDATE quote SET status = 'accepted' WHERE id = {first}")
    try:
        hq.sql(f"UPDATE quote SET number = '{numbers[made[first]]}' WHERE id = {list(made)[1]}")
    except AssertionError as taken:
        same("UNIQUE" in str(taken) or "E_" in str(taken), True, f"refusal of a second one with the number ({taken})")
    else:
        raise AssertionError("two quotes have one number")
    return f"{len(made)} made offline on 2 devices: {len(made)} different numbers from the server, found by the provisional ones too; a device's own number ({name}) and a skipped state ({skipped}) are refused"


def qualified_lead(office, device, name, *words):
    """Key of one of Ann's, made and qualified on the device, with a sync between the steps."""
    made = crm("--db", device.path, "--user", "Ann Rep", "--json", "lead", "add", "--given", "Lena", "--family", name, *words)
    key = f"x'{json.loads(made)['id']}'"
    device.sync()
    office.hq.sql(f"UPDATE lead SET owner_id = {ANN} WHERE id = {key}")
    device.sync()
    for status in ("working", "qualified"):
        by_ann(device, "lead", "status", key[2:-1], status)
        device.sync()
    return key


def converted(side, key):
    """What became of a lead, as the server says."""
    return side.read("SELECT l.status, a.name, c.family, d.name, d.account_id = a.id AND c.account_id = a.id AND x.contact_id = c.id,"
                     " (SELECT count(*) FROM contact_point p WHERE p.contact_id = c.id), quote(d.owner_id) FROM lead l JOIN account a ON a.id = l.account_id"
                     f" JOIN contact c ON c.id = l.contact_id JOIN deal d ON d.id = l.deal_id JOIN deal_contact x ON x.deal_id = d.id WHERE l.id = {key}")


@capability("C37", "Sales from lead to won", Automation("lead-converted"), View("lead_conversion"), Automation("stage-by-quote"), Merge("lead", "status"),
            Text("scope.sql", "('rep', 'quote', 'insert,update', NULL, 0),"))
def lead_to_won(office):
    hq, ann, other, quote = office.hq, office.ann, tablet(office), office.new()
    lead = qualified_lead(office, ann, "Winner", "--company", "Lena Works", "--email", "lena@works.example", "--phone", "030 111")
    other.sync()
    for device in (ann, other):
        by_ann(device, "lead", "convert", lead[2:-1], "--amount", "1200.50")
    key = ask(ann, f"SELECT deal_id FROM lead_conversion WHERE lead_id = {lead}")[0][0]
    by_ann(ann, "deal", "move", key[2:-1], "Qualified")
    by_ann(ann, "visit", "log", "lena@works.example", "--deal", key[2:-1], "--kind", "demo_booked")
    same(stage_of(ann, key), "Demo", "the deal before anything was synced")
    ann.sync()
    other.sync()
    same(other.read("SELECT name FROM satchel_rejected"), [("E_KEY_TAKEN",)], "the second conversion")
    other.run("rejected", "discard", other.one("SELECT n FROM satchel_rejected"))
    for stage in ("Proposal", "Negotiation"):
        by_ann(ann, "deal", "move", key[2:-1], stage)
        ann.sql(f"INSERT INTO quote(id, deal_id, provisional, created_by) VALUES({quote}, {key}, 'P', {ANN})" if stage == "Proposal" else
                f"UPDATE quote SET status = 'sent' WHERE id = {quote}")
    ann.sync()
    ann.sql(f"UPDATE quote SET status = 'accepted' WHERE id = {quote}")
    sync(ann, other)
    for side in (hq, ann, other):
        same(converted(side, lead), [("converted", "Lena Works", "Winner", "Lena Works", 1, 2, ANN.upper())], "what became of the lead")
        same(stage_of(side, key), "Won", "the deal")
    same([name for _, name, _ in log_of(hq, key)], ["Prospecting", "Qualified", "Demo", "Proposal", "Negotiation", "Won"], "its way")
    same(hq.read(f"SELECT amount_cents, currency FROM deal WHERE id = {key}"), [(120050, "EUR")], "amount")
    bare = office.new()
    hq.sql(f"INSERT INTO lead(id, given, family, company, email, owner_id, status) VALUES({bare}, 'Lena', 'Second', 'Other Works', 'l@o.example', {ANN}, 'qualified')")
    ann.sync()
    ann.sql(f"UPDATE lead SET status = 'converted' WHERE id = {bare}")
    ann.sync()
    same(converted(ann, bare), [("converted", "Other Works", "Second", "Other Works", 1, 1, ANN.upper())], "a lead that an app only calls converted")
    joins = qualified_lead(office, ann, "Third", "--company", "Works, too")
    by_ann(ann, "lead", "convert", joins[2:-1], "--company", "Other Works")
    ann.sync()
    same(converted(hq, joins), [("converted", "Other Works", "Third", "Works, too", 1, 0, ANN.upper())], "a lead of a company that was there")
    same(hq.one("SELECT count(*) FROM account WHERE name = 'Works, too'"), 0, "companies made though there was one")
    new = crm("--db", ann.path, "--user", "Ann Rep", "--json", "lead", "add", "--family", "Too early")
    said = by_ann(ann, "lead", "convert", json.loads(new)["id"], expect=1)
    assert "only a qualified one is converted" in said, said
    name, _ = office.refusal(ann, f"UPDATE lead SET status = 'converted' WHERE family = 'Too early'")
    return f"lead, conversion, 5 moves and a quote on a device that is offline between them: a won deal with its company and contact; a second conversion (E_KEY_TAKEN) and one too early ({name}) are refused"


@capability("C38", "Fixed ways", Merge("deal", "stage_id"), Text("009_deals.sql", "s.exit_fields IS NOT NULL", "1 = 0"), View("deal_missing"),
            Data(f"DELETE FROM stage_move WHERE to_stage = {PROPOSAL}"))
def fixed_ways(office):
    hq, ann, other = office.hq, office.ann, tablet(office)
    skips, wants, heard = deal(office, "Skips", QUALIFIED), deal(office, "Wants", DEMO), deal(office, "Hears", QUALIFIED)
    sync(ann, other)
    skipped, text = office.refusal(ann, f"UPDATE deal SET stage_id = {WON} WHERE id = {skips}")
    assert skipped == "E_GUARD" and "stage_id" in text, text
    hq.sql(f"""UPDATE stage SET exit_fields = '["amount_cents","next_step"]' WHERE id = {DEMO}; UPDATE stage SET exit_fields = '["close_date"]' WHERE id = {QUALIFIED}""")
    try:
        sync(ann, other)
        said = by_ann(ann, "deal", "move", wants[2:-1], "Proposal", expect=1)
        assert "wants filled in before a deal leaves it: close_date, amount_cents, next_step" in said, said
        done = ann.sql(f"UPDATE deal SET stage_id = {PROPOSAL} WHERE id = {wants}", expect=None)
        assert done.returncode and "DEAL_EXIT" in done.stderr, done.stderr
        # The tablet's own stages are from before: the server is who says no.
        hq.sql(f"UPDATE stage SET exit_fields = NULL WHERE id = {DEMO}")
        other.sync()
        hq.sql(f"""UPDATE stage SET exit_fields = '["amount_cents","next_step"]' WHERE id = {DEMO}""")
        name, text = office.refusal(other, f"UPDATE deal SET stage_id = {PROPOSAL}, close_date = 1 WHERE id = {wants}")
        same((name, "DEAL_EXIT" in text, stage_of(other, wants)), ("E_CHECK", True, "Demo"), f"the server's refusal ({text})")
        other.sql(f"INSERT INTO interaction(id, deal_id, channel, at, by_user, kind) VALUES({office.new()}, {heard}, 'phone', {NOW}, {ANN}, 'demo_booked')")
        other.sync()
        same(stage_of(hq, heard), "Qualified", "the stage after an event, while a field is missing")
        ann.sync()
        by_ann(ann, "deal", "move", wants[2:-1], "Proposal", "--amount", "10", "--next-step", "sign", "--close", "2027-01-31")
        ann.sql(f"UPDATE deal SET stage_id = {LOST} WHERE id = {heard}")
        ann.sync()
        same((stage_of(hq, wants), stage_of(hq, heard)), ("Proposal", "Lost"), "stages in the end")
    finally:
        hq.sql("UPDATE stage SET exit_fields = NULL WHERE exit_fields IS NOT NULL")
    return f"a skipped stage is refused ({skipped}); what a stage wants filled is asked for on the device (DEAL_EXIT) and by the server ({name}: DEAL_EXIT), events wait for it, filled it goes on"


# ---- reports ----


@capability("C39", "Cross-selling", Automation("cross-sell"), Automation("cross-sell-done"), Automation("cross-sell-due"), Automation("cross-sell-card"),
            View("cross_sell"), Text("011_views.sql", "OR p0.card_id IN", "OR p0.id IN"), Text("011_views.sql", "coalesce(p1.contact_id,", "coalesce(p1.contact_id, p1.id,"),
            Text("scope.sql", "('suggestion', 'contact', 'contact_id', NULL, 'keep', 'customers,territory'),", "('suggestion', 'contact', 'contact_id', NULL, 'keep', 'store'),"),
            Text("011_views.sql", "k.contact_id = c0.id AND p4.card_id = k.id", "1 = 0 AND p4.card_id = k.id"))
def cross_selling(office):
    hq, ann, kim = office.hq, office.ann, office.kim
    account, card, people, products = office.new(), office.new(), [office.new() for _ in range(5)], [office.new() for _ in range(6)]
    hq.sql(f"INSERT INTO account(id, name, owner_id) VALUES({account}, 'Buyers', {ANN});"
           + "".join(f"INSERT INTO contact(id, account_id, family, home_store_id) VALUES({p}, {account}, 'Buyer', {STORE});" for p in people)
           + "".join(f"INSERT INTO product(id, sku, name, price_cents) VALUES({p}, 'X-{p[-5:-1]}', 'Product', 100);" for p in products)
           + f"INSERT INTO loyalty_card(id, program_id, code, contact_id) SELECT {card}, id, 'X-1', {people[0]} FROM loyalty_program LIMIT 1")
    a, b, c, d, e, f = products

    def buys(side, who, *what, by="contact_id", at=NOW):
        sold = office.new()
        side.sql(f"BEGIN; INSERT INTO purchase(id, channel, store_id, receipt_no, {by}, total_cents, at) VALUES({sold}, 'pos', {STORE}, '{sold[-5:-1]}', {who}, 100, {at});"
                 + "".join(f"INSERT INTO purchase_line(id, purchase_id, product_id, qty, unit_cents) VALUES({office.new()}, {sold}, {p}, 1, 100);" for p in what) + "COMMIT;")

    for who, what in zip(people, ((a,), (a, b, c), (a, b, d), (a, d, e), (e, f))):
        buys(hq, who, *what)
    buys(hq, card, d, by="card_id")
    hq.ctl("automation", "run", "cross-sell")
    sync(ann, kim)
    for side in (hq, ann):
        same(side.read(f"SELECT product_id, because_id, buyers FROM suggestion WHERE contact_id = {people[0]} ORDER BY buyers DESC, product_id"),
             [(blob(b), blob(a), 2), (blob(c), blob(a), 1), (blob(e), blob(a), 1)], "what the first one might want")
    bought = {(who, what) for who, what in hq.read("SELECT coalesce(p.contact_id, c.contact_id), l.product_id FROM purchase p JOIN purchase_line l ON l.purchase_id = p.id"
                                                   " LEFT JOIN loyalty_card c ON c.id = p.card_id")}
    suggested = hq.read("SELECT contact_id, product_id FROM suggestion")
    same([s for s in suggested if s in bought], [], "suggestions of what somebody has")
    kim.sync()
    buys(kim, card, b, by="card_id")
    kim.sync()
    ann.sync()
    same(ann.read(f"SELECT product_id FROM suggestion WHERE contact_id = {people[0]} ORDER BY 1"), sorted([(blob(c),), (blob(e),)]), "what is left after he bought one with his card")
    # One who is known by his card alone, at a till that was not heard of for days; and one whose card was not anybody's when he bought.
    by_card, late, past = office.new(), office.new(), office.new()
    hq.sql("".join(f"INSERT INTO contact(id, account_id, family, home_store_id) VALUES({who}, {account}, 'Buyer', {STORE});"
                   f"INSERT INTO loyalty_card(id, program_id, code, contact_id) SELECT {who}, id, 'X-{who[-5:-1]}', {owner} FROM loyalty_program LIMIT 1;"
                   for who, owner in ((by_card, by_card), (late, "NULL"), (past, past))))
    kim.sync()
    for who in (by_card, late):
        buys(kim, who, e, by="card_id", at=NOW - 3 * DAY_MS)
    buys(kim, past, e, b, by="card_id", at=NOW - 91 * DAY_MS)
    kim.sync()
    hq.sql(f"UPDATE loyalty_card SET contact_id = {late} WHERE id = {late}")
    hq.ctl("automation", "run", "cross-sell")
    same(hq.one("SELECT count(*) FROM suggestion_due"), 0, "whose turn it is still")
    ann.sync()
    for side in (hq, ann):
        same([side.read(f"SELECT product_id, buyers FROM suggestion WHERE contact_id = {who} ORDER BY buyers DESC, product_id") for who in (by_card, late)],
             [[(blob(p), 1) for p in (a, b, d)]] * 2, "what who bought by card might want")
    same(hq.one(f"SELECT count(*) FROM suggestion WHERE contact_id = {past}"), 0, "suggestions after a purchase of long ago")
    return (f"{len(suggested)} suggestions, none of what somebody bought by name or by card; the best three by how many bought both; one that is bought goes, on the rep's device too; "
            "for who bought by card alone, and was heard of days later")


def some_history(office, name):
    """Deals of three reps, in the stages and months of a year, some of them decided; those of Ann in part made on her device."""
    stages = (PROSPECTING, QUALIFIED, DEMO, PROPOSAL, NEGOTIATION, WON, LOST, DUE, RENEWED)
    for n in range(36):
        deal(office, f"{name} {n}", stages[n % 9], (ANN, BOB, EVE)[n % 3 - n // 9 % 3], amount_cents=n * 123457 if n % 7 else "NULL", currency=("'EUR'", "'USD'", "'CZK'", "'XTS'", "NULL")[n % 5],
             probability=n if n % 4 == 1 else "NULL", close_date=NOW + (n * 11 - 90) * DAY_MS if n % 6 else "NULL", created_at=NOW - n * 9 * DAY_MS)
    ann = office.ann
    ann.sync()
    own = office.new()
    ann.sql(f"INSERT INTO deal(id, name, stage_id, amount_cents, currency, close_date, created_by, created_at)"
            f" VALUES({own}, '{name} own', {PROPOSAL}, 98765, 'GBP', {NOW + 40 * DAY_MS}, {ANN}, {NOW})")
    ann.sync()
    office.hq.sql(f"UPDATE deal SET stage_id = {LOST} WHERE name IN ('{name} 4', '{name} 22'); UPDATE deal SET stage_id = {WON} WHERE name IN ('{name} 3', '{name} 13', '{name} 12')")
    ann.sync()
    return own


@capability("C40", "Forecast", View("forecast_weighted"), View("forecast_history"), View("stage_win_rate"), View("forecast"), Automation("forecast-keep"))
def forecast(office):
    hq, ann = office.hq, office.ann
    some_history(office, "Forecast")
    hq.ctl("automation", "run", "forecast-keep")
    ann.sync()
    expected = {k: v for k, v in forecast_of(Books(hq, NOW)).items() if None not in k}
    at = hq.one("SELECT max(at) FROM forecast_snapshot")
    kept = "SELECT month, owner_id, deals, open_cents, weighted_cents, history_cents FROM forecast_snapshot WHERE at = "
    same({(r[0], r[1]): r[2:] for r in hq.read(kept + str(at))}, expected, "the snapshot")
    same({(m, blob(o)): tuple(r) for m, o, *r in ask(hq, "SELECT month, owner_id, deals, open_cents, weighted_cents, history_cents FROM forecast")}, expected, "the view on the server")
    own = {k: v for k, v in expected.items() if k[1] == blob(ANN)}
    same({(r[0], r[1]): r[2:] for r in ann.read(kept + str(at))}, own, "the snapshot on Ann's device")
    weighted = ask(ann, "SELECT month, weighted_cents FROM forecast_weighted WHERE month IS NOT NULL")
    same(dict(weighted), {k[0]: v[2] for k, v in own.items()}, "weighted on Ann's device")
    total = [sum(v[n] for v in expected.values()) for n in range(4)]
    differ = sum(v[2] != v[3] for v in expected.values())
    return (f"{total[0]} open deals of {len({k[1] for k in expected})} reps in {len({k[0] for k in expected})} months: weighted {total[2] / 100:.2f} and from history {total[3] / 100:.2f} EUR, "
            f"to the cent as worked out from the rows, in the snapshot too ({differ} of {len(expected)} differ between the two)")


@capability("C41", "Figures of reps", View("rep_metrics"), View("goal_progress"), Text("scope.sql", "('forecast_snapshot', 'work', 'owner_id')", "('forecast_snapshot', 'office', NULL)"),
            Text("scope.sql", "('goal', 'work', 'owner_id')", "('goal', 'office', NULL)"), Text("scope.sql", "('deal', 'work', 'coalesce(owner_id, created_by)')", "('deal', 'office', NULL)"))
def figures_of_reps(office):
    hq, ann, mia = office.hq, office.ann, office.mia
    some_history(office, "Figures")
    hq.sql("".join(f"INSERT INTO goal(id, owner_id, month, kind, target) VALUES({office.new()}, {who}, '{day_of(NOW - 90 * DAY_MS)[:7]}', '{kind}', 5);"
                   for who in (ANN, BOB, EVE) for kind in ("won_cents", "won_deals")))
    hq.ctl("automation", "run", "forecast-keep")
    sync(ann, mia)
    names = ("rep_metrics", "goal_progress")
    whole = agree(hq, NOW, names)
    for side, reps in ((hq, (ANN, BOB, EVE)), (mia, (ANN, BOB)), (ann, (ANN,))):
        name, got = getattr(side, "name", "the server"), agree(side, NOW, names)
        for report, owner in zip(names, (0, 1)):
            same(sorted({row[owner] for row in got[report]}), sorted(reps), f"who is in {report} on {name}")
            same(got[report], [row for row in whole[report] if row[owner] in reps], f"{report} on {name}")
        same({f"x'{o.hex()}'" for o, in side.read("SELECT owner_id FROM forecast_snapshot")} <= set(reps), True, f"whose forecasts are on {name}")
    return "figures and goals of 3 reps as worked out from the rows; their manager's device has those of his team, and a rep's device not one of another's"


@capability("C42", "Closing rate", View("closing_rate"), View("deal_decided"), Automation("stage-log"))
def closing_rate(office):
    hq, ann = office.hq, office.ann
    some_history(office, "Closing")
    key = deal(office, "Closing late", NEGOTIATION, close_date=NOW + 400 * DAY_MS)
    ann.sync()
    ann.sql(f"UPDATE deal SET stage_id = {LOST} WHERE id = {key}")
    ann.sync()

    whole, own = (agree(side, NOW, ["closing_rate"])["closing_rate"] for side in (hq, ann))
    same(own, [row for row in whole if row[1] == ANN], "Ann's rate")
    assert any(lost and month == day_of(NOW)[:7] for month, _, _, lost, _ in whole)
    won, lost = (sum(row[n] for row in whole) for n in (2, 3))
    return f"{won} won and {lost} lost by month and rep, as counted from the rows on the server and on Ann's device; decided when the deal moved, not when it was to close"


@capability("C43", "Speed by seniority", View("stage_velocity"), View("stage_stay"), Automation("stage-by-interaction"), Text("automation.sql", "SELECT m.log_id, m.deal_id, m.step, m.from_stage, m.to_stage, n.at,",
            "SELECT m.log_id, m.deal_id, m.step, m.from_stage, m.to_stage, satchel_now(),"))
def speed_by_seniority(office):
    hq, tom = office.hq, office.tom
    plan = (("Chief of Speed", 2), ("Chief of Speed", 4), ("Clerk of Speed", 9), ("Clerk of Speed", 12), ("Clerk of Speed", 15))
    tom.sync()
    for title, days in plan:
        contact, key = office.new(), deal(office, "Speed", QUALIFIED, created_at=NOW - 20 * DAY_MS)
        hq.sql(f"INSERT INTO contact(id, family, job_title, owner_id) VALUES({contact}, 'S', '{title}', {ANN}); INSERT INTO deal_contact(deal_id, contact_id) VALUES({key}, {contact})")
        # Heard of offline, days ago; the server hears it now.
        tom.sql(f"INSERT INTO interaction(id, deal_id, channel, at, by_user, kind) VALUES({office.new()}, {key}, 'phone', {NOW - (20 - days) * DAY_MS}, {TOM}, 'demo_booked')")
    tom.sync()
    said = agree(hq, NOW, ["stage_velocity"])["stage_velocity"]
    days = {title: mean / DAY_MS for stage, title, _, mean in said if stage == QUALIFIED and title in ("Chief of Speed", "Clerk of Speed")}
    same(days, {"Chief of Speed": 3, "Clerk of Speed": 12}, "mean days in Qualified")
    return f"by event time, though all was synced now: {days['Chief of Speed']:.0f} days with a chief, {days['Clerk of Speed']:.0f} with a clerk; {len(said)} rows as worked out from the log"
