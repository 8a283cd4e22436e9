"""What the reports have to say, worked out from the rows that a side holds, and from no view: the same on the server, on each device and by hand, to the cent."""
import collections
import contextlib
import json

import harness
from office import DAY_MS, FUNCTIONS, day_of, folded
from service import figures


def shown(value):
    """As the programs print it."""
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value


def in_order(rows):
    return sorted((tuple(map(shown, row)) for row in rows), key=repr)


def grouped(rows, key):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def month_of(ms):
    return None if ms is None else day_of(ms)[:7]


def raw(side, table, columns):
    """The rows of a table, as dictionaries."""
    return [dict(zip(columns.split(), row)) for row in side.read(f"SELECT {', '.join(columns.split())} FROM {table}")]


# ---- what deals are worth, a second time ----


class Books:
    """All deals of one side with their worth in EUR at a time, from the rows of the tables."""

    def __init__(self, side, now_ms):
        self.stages = {s["id"]: s for s in raw(side, "stage", "id name pipeline_id kind probability pos")}
        rates = {}
        for rate in sorted(raw(side, "currency_rate", "currency since micro"), key=lambda r: r["since"]):
            if rate["since"] <= now_ms:
                rates[rate["currency"]] = rate["micro"]
        self.deals = {}
        for d in raw(side, "deal", "id stage_id amount_cents currency probability close_date owner_id created_by created_at account_id"):
            stage = self.stages[d["stage_id"]]
            micro = 10**6 if d["currency"] is None else rates.get(d["currency"], 0)
            chance = stage["probability"] if d["probability"] is None else d["probability"]
            cents = ((d["amount_cents"] or 0) * micro + 500000) // 10**6
            self.deals[d["id"]] = {**d, "stage": stage, "kind": stage["kind"], "owner": d["owner_id"] or d["created_by"], "cents": cents, "chance": chance,
                                   "weighted": (cents * chance + 50) // 100, "month": None if d["close_date"] is None else day_of(d["close_date"])[:7]}
        self.log = collections.defaultdict(list)
        for row in raw(side, "deal_stage_log", "deal_id step from_stage to_stage at"):
            self.log[row["deal_id"]].append(row)
        for rows in self.log.values():
            rows.sort(key=lambda r: (r["at"], r["step"]))

    def of(self, kind=None, owner=None):
        return [d for d in self.deals.values() if kind in (None, d["kind"]) and owner in (None, d["owner"])]

    def decided_at(self, d):
        return max([r["at"] for r in self.log[d["id"]] if r["to_stage"] == d["stage_id"]] or [d["close_date"] or d["created_at"]])


def forecast_of(books):
    """{(month, owner): (deals, open, weighted, history)}, by what became of the deals that were in the same stage before."""
    was_in, out = collections.defaultdict(set), {}
    for key, rows in books.log.items():
        for row in rows:
            if key in books.deals and books.deals[key]["kind"] != "open":
                was_in[row["to_stage"]].add(key)
    for d in books.of("open"):
        past = was_in[d["stage_id"]]
        won = sum(books.deals[k]["kind"] == "won" for k in past)
        expected = (d["cents"] * won + len(past) // 2) // len(past) if past else (d["cents"] * d["stage"]["probability"] + 50) // 100
        before = out.get((d["month"], d["owner"]), (0, 0, 0, 0))
        out[d["month"], d["owner"]] = tuple(x + y for x, y in zip(before, (1, d["cents"], d["weighted"], expected)))
    return out


def priority_of(d, big, titles):
    worth = next((points for cents, points in ((10**7, 40), (2500000, 30), (500000, 20), (1, 10)) if d["weighted"] >= cents), 0)
    decides = any("chief" in t or "director" in t or len(t) == 3 and t[0] + t[2] == "co" for t in (t.lower() for t in titles))
    return worth + d["chance"] // 5 + 20 * big + 20 * decides


# ---- rules of leads, a second time ----


def like(text, pattern):
    """LIKE, of folded texts."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[i:], pattern[1:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


def meets(row, field, op, value):
    said = row["company_size" if field == "size" else field]
    if op == "filled":
        return said not in (None, "")
    if said is None:
        return False
    if op in ("at_least", "below"):
        return (said >= int(value)) == (op == "at_least")
    return folded(said) == folded(value) if op == "is" else like(folded(said), folded(value))


# ---- the reports ----


class Report:
    """The rows of one side, and a method for each report: the columns that its view is asked for, then the rows. `now_ms`: when it is asked."""

    def __init__(self, side, now_ms):
        self.side, self.now_ms, self.books = side, now_ms, Books(side, now_ms)
        self.tasks = raw(side, "task", "id assignee_id due_at remind_at done_at parent_kind parent_row")
        self.interactions = raw(side, "interaction", "id contact_id deal_id ticket_id at by_user direction")
        self.contacts = {c["id"]: c for c in raw(side, "contact", "id account_id job_title")}
        self.accounts = {a["id"]: a for a in raw(side, "account", "id revenue_cents employees")}
        self.people = {u["id"]: u for u in raw(side, "user_account", "id name team_id")}
        self.tickets = [{**t, "opened": t["opened_at"], "answered": t["first_response_at"], "resolved": t["resolved_at"], "due": t["sla_due_at"], "month": month_of(t["opened_at"])}
                        for t in raw(side, "ticket", "id contact_id kind state assignee_id opened_at first_response_at resolved_at sla_due_at csat")]
        self.leads = raw(side, "lead", "id job_title source company_size email phone status region_code company score")
        self.takes_part = collections.defaultdict(list)
        for row in sorted(raw(side, "deal_contact", "deal_id added_at contact_id"), key=lambda r: (r["added_at"], r["contact_id"])):
            if row["contact_id"] in self.contacts:
                self.takes_part[row["deal_id"]].append(row["contact_id"])

    # ---- deals ----

    def deal_value(self):
        return "deal_id, owner_id, kind, chance, base_cents, weighted_cents", [
            (d["id"], d["owner"], d["kind"], d["chance"], d["cents"], d["weighted"]) for d in self.books.of()]

    def pipeline_by_stage(self):
        there = grouped(self.books.of(), lambda d: d["stage_id"])
        return "pipeline_id, stage_id, pos, deals, cents, weighted_cents", [
            (s["pipeline_id"], s["id"], s["pos"], len(there[s["id"]]), sum(d["cents"] for d in there[s["id"]]), sum(d["weighted"] for d in there[s["id"]]))
            for s in self.books.stages.values()]

    def forecast_weighted(self):
        return "month, owner_id, deals, open_cents, weighted_cents", [(*k, *v[:3]) for k, v in forecast_of(self.books).items()]

    def forecast_history(self):
        return "month, owner_id, deals, history_cents", [(*k, v[0], v[3]) for k, v in forecast_of(self.books).items()]

    def forecast(self):
        return "month, owner_id, deals, open_cents, weighted_cents, history_cents", [(*k, *v) for k, v in forecast_of(self.books).items() if None not in k]

    def stage_win_rate(self):
        was_in = collections.defaultdict(set)
        for key, rows in self.books.log.items():
            if key in self.books.deals and self.books.deals[key]["kind"] != "open":
                for row in rows:
                    was_in[row["to_stage"]].add(key)
        won = {stage: sum(self.books.deals[k]["kind"] == "won" for k in keys) for stage, keys in was_in.items()}
        return "stage_id, decided, won, rate_bp", [(stage, len(keys), won[stage], won[stage] * 10000 // len(keys)) for stage, keys in was_in.items()]

    def closing_rate(self):
        decided = grouped(self.books.of("won") + self.books.of("lost"), lambda d: (month_of(self.books.decided_at(d)), d["owner"]))
        won = {k: sum(d["kind"] == "won" for d in deals) for k, deals in decided.items()}
        return "month, owner_id, won, lost, rate_bp", [(*k, won[k], len(deals) - won[k], won[k] * 10000 // len(deals)) for k, deals in decided.items()]

    def rep_metrics(self):
        def of(who):
            deals = {kind: self.books.of(kind, who) for kind in ("open", "won", "lost")}
            decided = len(deals["won"]) + len(deals["lost"])
            own = [t["done_at"] is not None for t in self.tasks if t["assignee_id"] == who]
            return (who, self.people[who]["name"], len(deals["open"]), sum(d["cents"] for d in deals["open"]), len(deals["won"]), sum(d["cents"] for d in deals["won"]),
                    len(deals["lost"]), len(deals["won"]) * 10000 // decided if decided else None, sum(own), len(own) - sum(own))

        return "owner_id, name, open_deals, open_cents, won_deals, won_cents, lost_deals, rate_bp, tasks_done, tasks_open", [
            of(who) for who in {d["owner"] for d in self.books.of()} - {None}]

    def goal_progress(self):
        def reached(g):
            if g["kind"] == "interactions":
                return sum(i["by_user"] == g["owner_id"] and month_of(i["at"]) == g["month"] for i in self.interactions)
            won = [d["cents"] for d in self.books.of("won", g["owner_id"]) if month_of(self.books.decided_at(d)) == g["month"]]
            return sum(won) if g["kind"] == "won_cents" else len(won)

        return "goal_id, owner_id, month, kind, target, reached", [(*g.values(), reached(g)) for g in raw(self.side, "goal", "id owner_id month kind target")]

    def stays(self):
        return [(key, one["to_stage"], one["at"], after["at"] - one["at"]) for key, rows in self.books.log.items() for one, after in zip(rows, rows[1:])]

    def stage_stay(self):
        return "deal_id, stage_id, arrived_at, ms", self.stays()

    def stage_velocity(self):
        def title(deal):
            return next((self.contacts[c]["job_title"] for c in self.takes_part[deal]), None)

        groups = grouped(self.stays(), lambda s: (s[1], title(s[0])))
        return "stage_id, job_title, stays, mean_ms", [(*k, len(stays), sum(s[3] for s in stays) // len(stays)) for k, stays in groups.items()]

    def deal_activity(self):
        happened = collections.defaultdict(list)
        for key, rows in self.books.log.items():
            happened[key] += [r["at"] for r in rows]
        for row in self.interactions:
            happened[row["deal_id"]].append(row["at"])
        for row in raw(self.side, "note", "parent_kind parent_row at"):
            happened[row["parent_row"] if row["parent_kind"] == "deal" else None].append(row["at"])
        for row in raw(self.side, "quote", "deal_id created_at"):
            happened[row["deal_id"]].append(row["created_at"])
        for row in self.tasks:
            happened[row["parent_row"] if row["parent_kind"] == "deal" else None].append(row["done_at"])
        idle = {s["id"]: s["idle_days"] for s in raw(self.side, "stage", "id idle_days")}
        rows = []
        for d in self.books.of("open"):
            last = max((at for at in (d["created_at"], *happened[d["id"]]) if at is not None), default=None)
            rows.append((d["id"], d["owner"], last, None if None in (last, idle[d["stage_id"]]) else last + idle[d["stage_id"]] * DAY_MS))
        return "deal_id, owner_id, last_at, idle_at", rows

    def idle_deals(self):
        return "deal_id, last_at, days", [(key, last, (self.now_ms - last) // DAY_MS) for key, _, last, idle in self.deal_activity()[1] if idle is not None and idle <= self.now_ms]

    def deal_priority(self):
        def of(d):
            company = self.accounts.get(d["account_id"], {})
            big = (company.get("revenue_cents") or 0) >= 10**9 or (company.get("employees") or 0) >= 250
            return priority_of(d, big, [t for t in (self.contacts[c]["job_title"] for c in self.takes_part[d["id"]]) if t])

        return "deal_id, priority", [(d["id"], of(d)) for d in self.books.of("open")]

    def deal_ranking(self):
        stored = dict(self.side.read("SELECT id, coalesce(priority, 0) FROM deal"))
        rows = []
        for who, deals in grouped(self.books.of("open"), lambda d: d["owner"]).items():
            deals.sort(key=lambda d: (-stored[d["id"]], -d["weighted"], d["close_date"] is None, d["close_date"] or 0, d["id"]))
            rows += [(who, place, d["id"]) for place, d in enumerate(deals, 1)]
        return "owner_id, place, deal_id", rows

    def deal_without_rate(self):
        known = {currency for currency, in self.side.read(f"SELECT currency FROM currency_rate WHERE since <= {self.now_ms}")}
        return "deal_id, currency, amount_cents", [(d["id"], d["currency"], d["amount_cents"]) for d in self.books.of()
                                                   if d["amount_cents"] is not None and d["currency"] is not None and d["currency"] not in known]

    # ---- leads ----

    def lead_score_match(self):
        rules = raw(self.side, "score_rule", "id field op value points active")
        return "lead_id, rule_id, points", [(lead["id"], r["id"], r["points"]) for lead in self.leads for r in rules if r["active"] and meets(lead, r["field"], r["op"], r["value"])]

    def lead_score_estimate(self):
        points = collections.Counter()
        for lead, _, n in self.lead_score_match()[1]:
            points[lead] += n
        return "lead_id, score", [(lead["id"], min(100, max(1, points[lead["id"]]))) for lead in self.leads]

    def leads_by_source(self):
        return "source, leads, qualified, converted, points, scored", [
            (source, len(of), sum(x["status"] in ("qualified", "converted") for x in of), sum(x["status"] == "converted" for x in of), sum(x["score"] or 0 for x in of),
             sum(x["score"] is not None for x in of)) for source, of in grouped(self.leads, lambda x: x["source"] or "unknown").items()]

    def objections_report(self):
        rows = []
        for kind, said in grouped(raw(self.side, "objection", "kind parent_kind parent_row"), lambda o: o["kind"]).items():
            about = {parent: {o["parent_row"] for o in said if o["parent_kind"] == parent} for parent in ("lead", "deal")}
            ended = [self.books.deals[k]["kind"] for k in about["deal"] if k in self.books.deals]
            rows.append((kind, len(said), len(about["lead"]), len(about["deal"]), ended.count("won"), ended.count("lost")))
        return "kind, said, leads, deals, deals_won, deals_lost", rows

    # ---- service ----

    def tickets_figures(self):
        return ("month, kind, opened, responded, first_response_ms, responded_in_time, resolved, resolution_rate_bp, resolution_ms, csat_n, csat_hundredths",
                [(*k, *figures(tickets)) for k, tickets in grouped(self.tickets, lambda t: (t["month"], t["kind"])).items()])

    def csat_by_team(self):
        said = grouped([t for t in self.tickets if t["csat"] is not None], lambda t: (t["month"], self.people.get(t["assignee_id"], {}).get("team_id")))
        return "month, team_id, csat_n, points, csat_hundredths", [
            (*k, len(tickets), sum(t["csat"] for t in tickets), sum(t["csat"] for t in tickets) * 100 // len(tickets)) for k, tickets in said.items()]

    def contact_inquiry(self):
        whose = {t["id"]: t["contact_id"] for t in self.tickets}
        rows = [(t["contact_id"], t["id"], t["opened_at"], t["id"]) for t in self.tickets if t["contact_id"]]
        rows += [(whose[i["ticket_id"]], i["ticket_id"], i["at"], i["id"]) for i in self.interactions if whose.get(i["ticket_id"])]
        rows += [(i["contact_id"], None, i["at"], i["id"]) for i in self.interactions if i["contact_id"] and not i["ticket_id"] and i["direction"] == "in"]
        return "contact_id, ticket_id, at, row_id", rows

    # ---- customers, tasks, appointments ----

    def contact_360(self):
        def of(table, columns, kind, condition="1 = 1"):
            return [(whose, at, kind, key) for whose, at, key in self.side.read(f"SELECT {columns} FROM {table} WHERE {condition}") if whose is not None]

        card = dict(self.side.read("SELECT id, contact_id FROM loyalty_card"))
        whose = {t["id"]: t["contact_id"] for t in self.tickets}
        rows = of("interaction", "contact_id, at, id", "interaction") + of("note", "parent_row, at, id", "note", "parent_kind = 'contact'")
        rows += of("purchase", "contact_id, at, id", "purchase") + of("ticket", "contact_id, opened_at, id", "ticket") + of("consent_event", "contact_id, at, id", "consent")
        rows += of("feedback", "contact_id, at, id", "feedback") + of("referral", "referrer, at, id", "referral") + of("referral", "referee, at, id", "referral")
        rows += of("task", "parent_row, coalesce(done_at, due_at), id", "task", "parent_kind = 'contact'")
        rows += [(card.get(c), at, kind, key) for c, at, kind, key in of("purchase", "card_id, at, id", "purchase", "contact_id IS NULL") + of("loyalty_entry", "card_id, at, id", "points")]
        rows += [(whose.get(t), at, kind, key) for t, at, kind, key in of("ticket_event", "ticket_id, at, id", "ticket_event")]
        about = of("deal", "id, created_at, id", "deal") + of("deal_stage_log", "deal_id, at, id", "stage", "from_stage IS NOT NULL") + of("quote", "deal_id, created_at, id", "quote")
        takes_part = grouped(self.side.read("SELECT deal_id, contact_id FROM deal_contact"), lambda r: r[0])
        rows += [(contact, at, kind, key) for deal, at, kind, key in about if deal in self.books.deals or kind == "quote" for _, contact in takes_part[deal]]
        meets_whom = grouped(self.side.read("SELECT appointment_id, contact_id FROM appointment_attendee"), lambda r: r[0])
        rows += [(contact, at, kind, key) for one, at, kind, key in of("appointment", "id, starts_at, id", "appointment") for _, contact in meets_whom[one]]
        return "contact_id, at, kind, row_id", [row for row in rows if row[0] is not None]

    def accounts_by_revenue(self):
        steps = (5 * 10**9, 10**9, 10**8, 0)
        rows = []
        for step, of in grouped(self.accounts.values(), lambda a: None if a["revenue_cents"] is None else next(s for s in steps if a["revenue_cents"] >= s)).items():
            keys = {a["id"] for a in of}
            rows.append((step, len(of), sum(a["employees"] or 0 for a in of), sum(c["account_id"] in keys for c in self.contacts.values()),
                         None if step is None else sum(a["revenue_cents"] for a in of)))
        return "from_cents, accounts, employees, contacts, revenue_cents", rows

    def due_tasks(self):
        tonight = (self.now_ms // DAY_MS + 1) * DAY_MS

        def before(at, limit):
            return at is not None and at < limit

        return "task_id, late, rings", [(t["id"], int(before(t["due_at"], self.now_ms)), int(before(t["remind_at"], self.now_ms))) for t in self.tasks
                                        if t["done_at"] is None and (before(t["due_at"], tonight) or before(t["remind_at"], tonight))]

    def appointment_conflict(self):
        live = [a for a in raw(self.side, "appointment", "id owner_id starts_at ends_at cancelled") if not a["cancelled"]]
        return "one_id, other_id, from_at, to_at", [
            (a["id"], b["id"], max(a["starts_at"], b["starts_at"]), min(a["ends_at"], b["ends_at"])) for a in live for b in live
            if a["id"] < b["id"] and a["owner_id"] == b["owner_id"] and a["starts_at"] < b["ends_at"] and b["starts_at"] < a["ends_at"]]


REPORTS = [name for name in vars(Report) if not name.startswith("_") and name != "stays"]


def said(side, columns, now_ms):
    """{view: rows} by the views of a side, asked for the columns given. A device is asked through the library, in one go."""
    queries = {name: f"SELECT {words} FROM {name}" for name, words in columns.items()}
    if isinstance(side, harness.Device):
        rows, name = {}, None
        for line in side.run("sql", "--json", "-", stdin="".join(f"SELECT '{n}' AS report;\n{q};\n" for n, q in queries.items())).stdout.splitlines():
            row = json.loads(line)
            if list(row) == ["report"]:
                name = row["report"]
                rows[name] = []
            else:
                rows[name].append(tuple(row.values()))
        return rows
    with contextlib.closing(harness.open_file(side.store)) as db:
        for function, of in FUNCTIONS.items():
            db.create_function(function, 1, of, deterministic=True)
        db.create_function("satchel_now", 0, lambda: now_ms)
        return {n: db.execute(q).fetchall() for n, q in queries.items()}


def agree(side, now_ms, names=tuple(REPORTS)):
    """Asks a side for reports, and works each out a second time. {view: rows}, or an AssertionError that names the view."""
    report = Report(side, now_ms)
    by_hand = {name: getattr(report, name)() for name in names}
    by_view = said(side, {name: columns for name, (columns, _) in by_hand.items()}, now_ms)
    for name, (columns, rows) in by_hand.items():
        got, expected = in_order(by_view[name]), in_order(rows)
        if got != expected:
            raise AssertionError(f"{name} on {getattr(side, 'name', 'the server')}, {columns}: only the view says {[r for r in got if r not in expected][:3]}, "
                                 f"only the rows say {[r for r in expected if r not in got][:3]}, {len(got)} and {len(expected)} rows")
    return {name: in_order(rows) for name, (_, rows) in by_hand.items()}
