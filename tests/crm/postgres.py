"""One line for each view and each automation of server/crm: PostgreSQL takes its SQL as it stands, and answers as SQLite does.

usage: postgres.py [SCHEMA]

A sample company is made on a server without rules, and all its rows go into a PostgreSQL of the test's own. What is translated for it are the types of
columns, and the BLOB literals that tables have by default; `new`, `old` and `event` are put before a rule's SQL as the server does it
(server/automation_compile.c), with their types. The texts of views, conditions and actions stay. Rules fire for the rows of their tables: each alone, which
is taken back, and then one after the other. After each all tables are compared; views are, before and after. What gives or does nothing on either side has
not been tried, and fails. Exit status: 0 all is alike, 1 not, 77 there is no PostgreSQL."""
import collections
import contextlib
import functools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
import harness
import office
from postgres_sample import NOW, SAMPLE
from postgres_sides import PROGRAMS, Refused, Sqlite, as_json, literal, postgres

TYPES = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea", "REAL": "double precision"}
FIRINGS = 60  # rows of its table that a rule is fired for
EVENT = {"seq": 7, "at_ms": NOW, "stamp_ms": NOW - 3600000, "author": 1, "user": bytes.fromhex(office.ANN[2:-1]), "device": "tab-7"}
TIMER = {**EVENT, "seq": 0, "author": 0, "user": None, "device": None}
EVENT_TYPES = {"seq": "INTEGER", "at_ms": "INTEGER", "stamp_ms": "INTEGER", "author": "INTEGER", "user": "BLOB", "device": "TEXT"}
CALLS = [("fold", words) for words in ("Straße ÇA", "ΣΊΣΥΦΟΣ Œuvre", "ﬁn Ⅷ", "İstanbul Ångström", "", None)] + [
    ("satchel_id", b"\1" * 16, "deal"), ("satchel_id", b"\2", 0), ("satchel_id", b"\2", b"", -5), ("satchel_id", "ä", None), ("day_of", None)] + [
    (f, ms) for f in ("day_of", "month_of") for ms in (0, -1, 951782399999, 951782400000, NOW)]


def calls(for_postgres):
    """A query for each of CALLS."""
    for f, *values in CALLS:
        value = f"{f}({', '.join(literal(v, for_postgres) for v in values)})"
        yield "SELECT " + (value if f != "satchel_id" else f"encode({value}, 'hex')" if for_postgres else f"lower(hex({value}))") + " AS v"


class Pair:
    """The same rows in both."""

    def __init__(self, sqlite, other):
        self.sqlite, self.postgres = sqlite, other
        made = sqlite.db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
        synced = {name for name, in sqlite.db.execute("SELECT name FROM satchel_table")}
        self.views = {name: sql for kind, name, _, sql in made if kind == "view" and not name.startswith("satchel_")}
        self.columns, self.keys = {}, {}
        for table in (name for kind, name, _, _ in made if kind == "table" and name in synced):
            columns = [c for c in sqlite.db.execute(f"PRAGMA table_info({table})") if not c[1].startswith("satchel_")]
            self.columns[table] = {c[1]: c[2] for c in columns}
            self.keys[table] = [c[1] for c in columns if c[5]]
        self.tables = [f"SELECT {', '.join(columns)} FROM {table}" for table, columns in self.columns.items()]
        other.execute("\n".join(self.translated(sql) + ";" for kind, _, table, sql in made
                                if table in synced and (kind == "table" or kind == "index" and "UNIQUE" in sql)))
        self.fill()

    @staticmethod
    def translated(sql):
        sql = re.sub(r"\b(INTEGER|TEXT|BLOB|REAL)\b", lambda m: TYPES[m[0]], re.sub(r"\bWITHOUT ROWID\b", "", sql))
        return re.sub(r"\bx'([0-9a-f]*)'", r"'\\x\1'", sql)

    def fill(self):
        """PostgreSQL gets the rows that SQLite has."""
        sql = ["SET session_replication_role = replica; BEGIN; TRUNCATE " + ", ".join(self.columns) + ";"]
        for (table, columns), query in zip(self.columns.items(), self.tables):
            rows = [f"({', '.join(literal(v, True) for v in row)})" for row in self.sqlite.db.execute(query)]
            sql += [f"INSERT INTO {table}({', '.join(columns)}) VALUES {', '.join(rows)};"] if rows else []
        self.postgres.execute("\n".join(sql) + "COMMIT;")

    def ask(self, queries, statements=lambda for_postgres: (), keep=False):
        """What SQLite says, if PostgreSQL says the same. `queries` and `statements` are told for which of them they are."""
        said = [side.ask(list(queries(other)), statements(other), keep) for side, other in ((self.sqlite, False), (self.postgres, True))]
        for query, here, there in zip(queries(False), *said):
            if here != there:
                here, there = collections.Counter(here), collections.Counter(there)
                raise Refused(f"{query.split(' FROM ')[-1]}: only SQLite says {', '.join(list((here - there).elements())[:2])}; "
                              f"only PostgreSQL {', '.join(list((there - here).elements())[:2])}"[:1000])
        return said[0]

    def make_view(self, name):
        """A sum that is not cast is numeric there, and what is divided by it is no whole number."""
        self.postgres.execute(self.views[name] + ";")
        for line in self.postgres.execute(f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{name}'").splitlines():
            if line.split("|")[1] not in ("bigint", "integer", "text", "bytea"):
                raise Refused(f"PostgreSQL: {name}.{line.replace('|', ' is ')}")

    # ---- automations ----

    def with_rows(self, rule, new, old, for_postgres):
        """What the server puts before a rule's SQL."""
        def table(name, row, types):
            values = (f"CAST({literal(v, True)} AS {TYPES[types[c]]})" if for_postgres else literal(v, False) for c, v in row.items())
            return f"{name}({', '.join(json.dumps(c) for c in row)}) AS (SELECT {', '.join(values)})"

        rows = [table(name, row, self.columns[rule["tbl"]]) for name, row in (("new", new), ("old", old)) if row]
        return "WITH " + ", ".join([*rows, table("event", EVENT if rule["tbl"] else TIMER, EVENT_TYPES)])

    def causes(self, rule):
        """(new, old) of each firing. A row that was changed was the one before it, under its own key; of those that are put every other one is new."""
        table, event = rule["tbl"], rule["event"]
        if not table:
            return [(None, None)]
        names, key = list(self.columns[table]), self.keys[table]
        rows = [dict(zip(names, row)) for row in self.sqlite.db.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {', '.join(key)} LIMIT {FIRINGS}")]
        if event in ("insert", "delete"):
            return [(row, None) if event == "insert" else (None, row) for row in rows]
        olds = [{c: row[c] if c in key else before[c] for c in names} for row, before in zip(rows, rows[-1:] + rows)]
        return [(row, dict.fromkeys(names) if event == "put" and i % 2 == 0 else old) for i, (row, old) in enumerate(zip(rows, olds))]

    def fire(self, rule, keep):
        """How often it fired, and how many rows that wrote."""
        causes = self.causes(rule)
        if rule["condition"]:
            fired = self.ask(lambda other: [f"{self.with_rows(rule, new, old, other)} SELECT 1 AS fired FROM {'new, ' if new else ''}{'old, ' if old else ''}"
                                            f"event WHERE ({rule['condition']}\n)" for new, old in causes])
            causes = [cause for cause, rows in zip(causes, fired) if rows]
        actions = split(rule["actions"])
        before = self.sqlite.ask(self.tables)
        after = self.ask(lambda _: self.tables,
                         lambda other: [f"{self.with_rows(rule, new, old, other)} {action}" for new, old in causes for action in actions], keep)
        changes = ((collections.Counter(x), collections.Counter(y)) for x, y in zip(before, after))
        return len(causes), sum(max((x - y).total(), (y - x).total()) for x, y in changes)


def split(actions):
    statements = [""]
    for part in actions.split(";"):
        statements[-1] += part + ";"
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [s[:-1] for s in statements if s.strip("; \n")]


def rules_of(schema):
    """The rows of automation.sql, in order."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db, open(os.path.join(schema, "automation.sql"), encoding="utf-8") as text:
        db.row_factory = sqlite3.Row
        db.executescript("CREATE TABLE automation(name, tbl, event, columns, condition, every, actions, overwrites, about);" + text.read())
        return db.execute("SELECT * FROM automation ORDER BY rowid").fetchall()


def make_company(schema, directory):
    """The rows of a server without rules, and what the engine's own functions say on a device."""
    without, made = os.path.join(directory, "crm"), []
    shutil.copytree(schema, without, ignore=shutil.ignore_patterns("automation.sql"))

    def work(hq):
        size = ["--contacts", "40", "--territories", "2", "--stores", "2", "--cards", "25", "--entries", "60"]
        hq.hq.sql(subprocess.run([harness.program("satchel-company"), *size], capture_output=True, text=True, check=True).stdout)
        hq.hq.sql(SAMPLE)
        device = hq.device("functions").enroll(hq.hq, options=["--profile", "full"])
        said = device.run("sql", "--json", "-", stdin=";\n".join(calls(False)) + ";").stdout.splitlines()
        made.extend((Sqlite(hq.hq.store), [[as_json("v", json.loads(line).values())] for line in said]))

    check.run_office(work, without)
    return made


def compare(pair, rules, engine):
    """{(kind, name): what came of each attempt, numbers or Refused}"""
    done = collections.defaultdict(list)

    def attempt(kind, name, ask, *arguments):
        try:
            done[kind, name].append(ask(*arguments))
        except Refused as refusal:
            done[kind, name].append(refusal)
            pair.fill()  # lest all that follow fail by it

    def functions():
        if pair.ask(calls) != engine:
            raise Refused("the library says something else")
        return len(engine)

    def rows_of(name):
        return len(pair.ask(lambda _: [f"SELECT * FROM {name}"])[0])

    attempt("functions", "fold, satchel_id, day_of, month_of", functions)
    for name in pair.views:
        attempt("view", name, lambda view: pair.make_view(view) or rows_of(view), name)
    for keep in (False, True):
        for rule in rules:
            attempt("rule", rule["name"], functools.partial(pair.fire, keep=keep), rule)
    for name in pair.views:
        attempt("view", name, rows_of, name)
    return done


def told(kind, outcomes):
    """(outcome, words)"""
    for refusal in (o for o in outcomes if isinstance(o, Refused)):
        return "FAIL", str(refusal)
    if kind == "rule":
        (alone, wrote), (later, wrote_later) = outcomes
        return "pass" if wrote or wrote_later else "EMPTY", f"fired {alone} times alone: {wrote} rows; {later} after the others: {wrote_later} rows"
    words = f"{outcomes[0]} rows before the rules, {outcomes[1]} after" if kind == "view" else f"{outcomes[0]} values, as the library's"
    return "pass" if any(outcomes) else "EMPTY", words


def main():
    if not PROGRAMS:
        print("postgres.py: there is no PostgreSQL server here; tools/install-deps test installs one")
        sys.exit(harness.SKIPPED)
    schema = sys.argv[1] if len(sys.argv) > 1 else office.SCHEMA
    with tempfile.TemporaryDirectory(prefix="satchel-crm-") as directory, postgres() as other:
        sqlite, engine = make_company(schema, directory)
        done = compare(Pair(sqlite, other), rules_of(schema), engine)
    passed = collections.Counter()
    for (kind, name), outcomes in done.items():
        outcome, words = told(kind, outcomes)
        passed[kind] += outcome == "pass"
        print(f"{kind:<10}{name:<36}{outcome:<7}{words}{'; it wants rows in postgres_sample.py' if outcome == 'EMPTY' else ''}")
    of = collections.Counter(kind for kind, _ in done)
    print(f"{passed['view']} of {of['view']} views and {passed['rule']} of {of['rule']} automations are alike on SQLite and PostgreSQL")
    sys.exit(0 if passed == of and of["view"] and of["rule"] else 1)


if __name__ == "__main__":
    main()
