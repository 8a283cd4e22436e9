"""What the CRM costs on its sample company: reports beside counts, a rep's first sync beside a copy of his rows, and what is pushed with the rules of automation.sql on
and off. One server for all repetitions: to fill it takes a minute."""
import glob
import os
import sqlite3
import subprocess
import time
from collections import namedtuple
from contextlib import closing

import figures
import measure

# What the sample company lacks and reports are of: the way that each deal has come, quotes, objections, appointments, goals, what customers said, and a currency
# without a rate. Ids follow from the rows that they hang on; appointments and goals are in the company's last months.
MORE = """
BEGIN;
INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user)
  SELECT satchel_id(d.id, n.pos - 1), d.id, n.pos - 1,
         (SELECT p.id FROM stage p WHERE p.pipeline_id = n.pipeline_id AND p.kind = 'open' AND p.pos < n.pos ORDER BY p.pos DESC LIMIT 1), n.id,
         d.created_at + (n.pos - 1) * (3 + length(d.next_step) % 9) * 86400000, d.owner_id
    FROM deal d JOIN stage s ON s.id = d.stage_id JOIN stage n ON n.pipeline_id = s.pipeline_id AND n.pos <= s.pos AND (n.kind = 'open' OR n.id = s.id);
COMMIT;
BEGIN;
INSERT INTO quote(id, deal_id, status, currency, created_by, created_at)
  SELECT satchel_id(id, 'quote'), id, 'sent', 'EUR', owner_id, created_at + 10 * 86400000 FROM deal WHERE amount_cents / 1000 % 3 = 0;
INSERT INTO quote_line(id, quote_id, product_id, qty, unit_cents)
  SELECT satchel_id(q.id, p.id), q.id, p.id, 2, p.price_cents FROM quote q CROSS JOIN (SELECT id, price_cents FROM product ORDER BY id LIMIT 2) p;
INSERT INTO objection(id, parent_kind, parent_row, kind, at, by_user)
  SELECT satchel_id(id, 'objection'), 'deal', id, CASE probability % 3 WHEN 0 THEN 'price' WHEN 1 THEN 'timing' ELSE 'need' END, created_at, owner_id FROM deal
    WHERE amount_cents / 1000 % 5 = 0
  UNION ALL SELECT satchel_id(id, 'objection'), 'lead', id, 'budget', created_at, owner_id FROM lead WHERE company_size % 5 = 0;
COMMIT;
BEGIN;
INSERT INTO appointment(id, title, starts_at, ends_at, owner_id)
  WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 249)
  SELECT satchel_id(u.id, 'appointment', n.n), 'Visit', 1780300800000 + n.n * 3600000, 1780300800000 + n.n * 3600000 + CASE n.n % 10 WHEN 0 THEN 5400000 ELSE 2700000 END, u.id
    FROM user_account u CROSS JOIN n WHERE u.role = 'rep';
INSERT INTO goal(id, owner_id, month, kind, target)
  WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 6)
  SELECT satchel_id(u.id, k.kind, n.n), u.id, '2026-0' || n.n, k.kind, 10
    FROM user_account u CROSS JOIN n CROSS JOIN (SELECT 'won_cents' AS kind UNION ALL SELECT 'won_deals' UNION ALL SELECT 'interactions') k WHERE u.role = 'rep';
COMMIT;
BEGIN;
UPDATE deal SET currency = 'XAF' WHERE id = (SELECT max(id) FROM deal);
UPDATE ticket SET csat = 1 + length(subject) % 5 WHERE resolved_at IS NOT NULL;
INSERT INTO feedback(id, contact_id, ticket_id, kind, score, at)
  SELECT satchel_id(id, 'feedback'), contact_id, id, 'csat', csat, resolved_at FROM ticket WHERE csat IS NOT NULL;
COMMIT;
"""

# What a rep does, a transaction each: a lead, a person with two ways to be reached, an address, a deal, and that deal's next step. {p} is another for each push.
DAY = [
    "INSERT INTO lead(id, given, family, company, job_title, region_code, company_size, email, phone, source, created_by, created_at) "
    "VALUES(x'a1{p}{n:06x}', 'Ada', 'Of {n}', 'Works {n}', 'Director of things', {region}, 300, 'ada{n}@fair.example', '+351 {n:07}', 'fair', {rep}, {now});",
    "INSERT INTO contact(id, account_id, given, family, created_by, created_at) VALUES(x'a2{p}{n:06x}', {account}, 'Bo', 'Of {n}', {rep}, {now});"
    "INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'a3{p}{n:06x}', x'a2{p}{n:06x}', 'phone', '+351 (0) {n:07}'), "
    "(x'a4{p}{n:06x}', x'a2{p}{n:06x}', 'email', 'Bo{n}@Works.example');",
    "INSERT INTO address(id, owner_kind, owner_row, street, city, zip, country) VALUES(x'a5{p}{n:06x}', 'account', {account}, '{n} High Street', 'Porto', '4000-{n:03}', 'PT');",
    "INSERT INTO deal(id, name, account_id, stage_id, amount_cents, currency, probability, close_date, next_step, created_by, created_at) "
    "VALUES(x'a6{p}{n:06x}', 'Deal {n}', {account}, x'018bcfe568007000800000000000b101', 1250000, 'EUR', 10, {now}, 'call', {rep}, {now});",
    "UPDATE deal SET stage_id = x'018bcfe568007000800000000000b102', probability = 25 WHERE id = x'a6{p}{before:06x}';",
]
# And a table that no rule watches.
NOTE = ["INSERT INTO note(id, parent_kind, parent_row, body, by_user, at) VALUES(x'a7{p}{n:06x}', 'account', {account}, 'Looked in for the {n}th time', {rep}, {now});"]


def literal(key):
    return f"x'{key.hex()}'"


class Crm:
    """The company in a server whose rules are off, and one rep: him with most companies. Timers stay off, as they run when they like."""

    def __init__(self, bench):
        self.bench = bench
        self.prefix = 0

    def __enter__(self):
        self.world = measure.World(self.bench, 0)
        try:
            self.rules = [r["name"] for r in self.world.server.ctl("automation", "list")]
            self.switch(False)
            self.rules = [r["name"] for r in self.world.server.ctl("automation", "list") if not r.get("every")]
            self.fill()
            self.rep = self.world.server.one("SELECT owner_id FROM account GROUP BY owner_id ORDER BY count(*) DESC, 1 LIMIT 1")
            self.account = self.world.server.one("SELECT id FROM account WHERE owner_id = ? ORDER BY id LIMIT 1", self.rep)
            self.region = self.world.server.one("SELECT region_code FROM territory t JOIN user_territory u ON u.territory_id = t.id WHERE u.user_id = ?", self.rep)
            self.writer = self.device("writer")
            self.bench.step("sync", self.writer.path, "--other")
        except BaseException:
            self.world.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self.world.__exit__(*error)

    def fill(self):
        load = [os.path.join(self.bench.build, "tools/satchelctl"), "--data", self.world.server.data, "sql", "-"]
        company = subprocess.Popen([os.path.join(self.bench.build, "tools/satchel-company"), "--contacts", str(self.bench.sizes.crm_contacts)], stdout=subprocess.PIPE)
        with company.stdout as rows:
            subprocess.run(load, stdin=rows, stdout=subprocess.DEVNULL, check=True, timeout=measure.PATIENCE_S)
        if company.wait():
            raise AssertionError("satchel-company failed")
        subprocess.run(load, input=MORE, text=True, stdout=subprocess.DEVNULL, check=True, timeout=measure.PATIENCE_S)

    def switch(self, on):
        for name in self.rules:
            self.world.server.ctl("automation", "on" if on else "off", name)

    def device(self, name):
        path = self.world.path(name + ".db")
        return self.bench.harness.Device(None, name, path).enroll(self.world.server, options=["--profile", "rep", "--user", literal(self.rep)])

    def __call__(self, bench, repetition):
        return {**reports(bench, self.world.server.store), **first_sync(self, repetition), **automation(self, repetition)}


# ---- reports ----

def reports(bench, store):
    done = bench.run(bench.program("bench_reports"), store, *figures.REPORTS)
    samples = {f"report_{view}_ratio": r["seconds"] / r["count_seconds"] for view, r in done.items()}
    samples["report_slowest_ms"] = max(r["seconds"] for r in done.values()) * 1000
    return samples


# ---- a rep's first sync ----

def copy(device, path):
    """Seconds in which SQLite puts the device's rows into a new file of the same tables and indexes, in one transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        db.execute("ATTACH ? AS device", (device.path,))
        tables = [r[0] for r in db.execute("SELECT DISTINCT name FROM device.satchel_table")]
        made = db.execute("SELECT sql, tbl_name FROM device.sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type = 'index'").fetchall()
        for sql, table in made:
            if table in tables:
                db.execute(sql)
        began = time.monotonic()
        db.execute("BEGIN IMMEDIATE")
        for table in tables:
            db.execute(f'INSERT INTO main."{table}" SELECT * FROM device."{table}"')
        db.execute("COMMIT")
        return time.monotonic() - began


def assert_of_the_server(device, store):
    """What a rep's device holds is what the server has: no column is hidden from him."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        db.execute("ATTACH ? AS device", (device.path,))
        for (table,) in db.execute("SELECT DISTINCT name FROM device.satchel_table").fetchall():
            columns = [(r[1], r[5]) for r in db.execute(f'PRAGMA device.table_info("{table}")')]
            same = " AND ".join(f's."{name}" {"=" if key else "IS"} d."{name}"' for name, key in columns)
            other = db.execute(f'SELECT count(*) FROM device."{table}" d WHERE NOT EXISTS (SELECT 1 FROM main."{table}" s WHERE {same})').fetchone()[0]
            if other:
                raise AssertionError(f"{table}: {other} rows on the rep's device are not the server's")


def first_sync(crm, repetition):
    """The view's snapshot is yet to be made for the first device, and there for the second."""
    samples, held = {}, []
    crm.world.forget_snapshot()
    for key in ("rep_first_sync_cold_ratio", "rep_first_sync_ratio"):
        device = crm.device(f"{key}-{repetition}")
        ours = crm.bench.step("sync", device.path, "--other")["seconds"]
        samples[key] = ours / copy(device, device.path + "-plain")
        held.append(device.content())
    if held[0] != held[1]:
        raise AssertionError("two devices of one rep hold different rows")
    assert_of_the_server(device, crm.world.server.store)
    return samples


# ---- rules ----

# `seconds` until the last result, `cpu` of the server until the device was in step again, rows that rules `wrote`.
Push = namedtuple("Push", "seconds cpu wrote")


def push(crm, on, transactions):
    """The server takes in what the rep did offline."""
    crm.switch(on)
    crm.prefix += 1
    words = {"p": f"{crm.prefix:04x}", "rep": literal(crm.rep), "account": literal(crm.account), "region": f"'{crm.region}'", "now": int(time.time() * 1000)}
    crm.writer.sql("".join("BEGIN;" + transactions[n % len(transactions)].format(n=n, before=n - 1, **words) + "COMMIT;" for n in range(crm.bench.sizes.crm_pushes)))
    wrote, cpu = rows_of_rules(crm), cpu_seconds(crm.world.server)
    done = crm.bench.step("push", crm.writer.path, "--other")
    if done["refused"]:
        raise AssertionError(f"{done['refused']} transactions were refused")
    return Push(done["seconds"], cpu_seconds(crm.world.server) - cpu, rows_of_rules(crm) - wrote)


def cpu_seconds(server):
    """What all threads of the server have used so far."""
    total = 0
    for path in glob.glob(f"/proc/{server.process.pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def rows_of_rules(crm):
    failed = crm.world.server.read("SELECT name, words FROM satchel_automation_run WHERE rc <> 0 LIMIT 1")
    if failed:
        raise AssertionError(f"rule {failed[0][0]} failed: {failed[0][1]}")
    return crm.world.server.one("SELECT coalesce(sum(wrote), 0) FROM satchel_automation_run")


def automation(crm, repetition):
    on, off = measure.by_turns(repetition, lambda: push(crm, True, DAY), lambda: push(crm, False, DAY))
    note_on, note_off = measure.by_turns(repetition, lambda: push(crm, True, NOTE), lambda: push(crm, False, NOTE))
    if not on.wrote or off.wrote or note_on.wrote:
        raise AssertionError(f"rules wrote {on.wrote} rows when they were on, {off.wrote} when they were off, and {note_on.wrote} for notes")
    return {"automation_ratio": on.seconds / off.seconds, "automation_cpu_ratio": on.cpu / off.cpu, "automation_rows": on.wrote / crm.bench.sizes.crm_pushes,
            "automation_none_ratio": note_on.seconds / note_off.seconds, "automation_none_cpu_ratio": note_on.cpu / note_off.cpu}
