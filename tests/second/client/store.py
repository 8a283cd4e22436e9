"""The device's file: an ordinary SQLite database with the synced tables, the outbox, and what a device has to keep (protocol/README.md).

Every function that writes is one transaction; the file is synchronous=FULL, so what is committed is on the disk before it is told to anyone (N2)."""
import os
import sqlite3
import time
from contextlib import contextmanager

import cbor2

from . import delta, schema
from .codes import CODES
from .overlay import Overlay
from .values import digest, get_key, next_stamp, put_key, same

PENDING, ACCEPTED, CONFIRMED, REFUSED, DISCARDED = range(5)
PART_BYTES = 256 << 10
TABLES = """
CREATE TABLE second_state(id INTEGER PRIMARY KEY CHECK(id = 1), epoch BLOB, cursor INTEGER NOT NULL DEFAULT 0, view INTEGER NOT NULL DEFAULT 0, incarnation INTEGER NOT NULL DEFAULT 1,
  last_number INTEGER NOT NULL DEFAULT 0, settled_number INTEGER NOT NULL DEFAULT 0, stamp INTEGER NOT NULL DEFAULT 0, loss_cursor INTEGER NOT NULL DEFAULT 0,
  placed INTEGER NOT NULL DEFAULT 0, snapshot INTEGER, snapshot_page INTEGER NOT NULL DEFAULT 0, host TEXT, port INTEGER, device TEXT);
INSERT INTO second_state(id) VALUES(1);
CREATE TABLE outbox(n INTEGER PRIMARY KEY, id BLOB NOT NULL, stamp INTEGER NOT NULL, base INTEGER NOT NULL, schema_epoch INTEGER NOT NULL,
  delta BLOB NOT NULL, unseen BLOB, state INTEGER NOT NULL DEFAULT 0, resolves INTEGER, seq INTEGER, effective INTEGER, code INTEGER, message TEXT);
CREATE INDEX outbox_state ON outbox(state);
CREATE TABLE outbox_row(n INTEGER NOT NULL, tbl INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY(tbl, key, n)) WITHOUT ROWID;
CREATE TABLE base(tbl INTEGER NOT NULL, key BLOB NOT NULL, present INTEGER NOT NULL, row BLOB NOT NULL, unseen BLOB, PRIMARY KEY(tbl, key)) WITHOUT ROWID;
CREATE TABLE stage(n INTEGER PRIMARY KEY, rows BLOB NOT NULL);
CREATE TABLE loss(id INTEGER PRIMARY KEY, seq INTEGER, number INTEGER, tbl TEXT, col TEXT, key BLOB, kept, lost, rule INTEGER);
"""


class Store:
    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        # The server has checked what comes from it, and what is shown may combine values that no constraint foresaw.
        self.db.execute("PRAGMA foreign_keys = OFF")
        self.db.execute("PRAGMA ignore_check_constraints = ON")
        # What a trigger does to synced tables comes along with the rows, or is the work of the app that calls write().
        self.db.create_function("satchel_local", 0, lambda: 0)
        if not self.db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'second_state'").fetchone():
            self.db.executescript("BEGIN;" + TABLES + schema.REGISTRY + "COMMIT;")
        self.schema = schema.Schema(self.db)
        self.overlay = Overlay(self)

    @contextmanager
    def transaction(self):
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            self.schema.load()
            raise
        self.db.execute("COMMIT")

    def state(self, name):
        return self.db.execute(f"SELECT {name} FROM second_state").fetchone()[0]

    def set_state(self, **fields):
        self.db.execute("UPDATE second_state SET " + ", ".join(f"{n} = :{n}" for n in fields), fields)

    def raise_stamp(self, stamp):
        """The clock passes every stamp that it receives."""
        self.db.execute("UPDATE second_state SET stamp = max(stamp, ?)", (stamp,))

    # ---- rows ----

    def read_row(self, table, key):
        """{column: value} by ids, or None."""
        columns = ", ".join(schema.quoted(c.name) for c in table.columns)
        where = " AND ".join(schema.quoted(c.name) + " = ?" for c in table.key)
        row = self.db.execute(f"SELECT {columns} FROM {schema.quoted(table.name)} WHERE {where}", key).fetchone()
        return row and {c.id: v for c, v in zip(table.columns, row)}

    def write_row(self, table, key, row):
        """Makes the row be this, or not be."""
        name = schema.quoted(table.name)
        if row is None:
            where = " AND ".join(schema.quoted(c.name) + " = ?" for c in table.key)
            self.db.execute(f"DELETE FROM {name} WHERE {where}", key)
            return
        keys, fields = ([schema.quoted(c.name) for c in columns] for columns in (table.key, table.fields))
        change = f"DO UPDATE SET {', '.join(f'{f} = excluded.{f}' for f in fields)}" if fields else "DO NOTHING"
        self.db.execute(f"INSERT INTO {name}({', '.join(keys + fields)}) VALUES({', '.join('?' * len(table.columns))})"
                        f" ON CONFLICT({', '.join(keys)}) {change}", [*key, *(row.get(c.id, c.default) for c in table.fields)])

    def rows(self, table):
        columns = ", ".join(schema.quoted(c.name) for c in table.columns)
        order = ", ".join(schema.quoted(c.name) for c in table.key)
        return self.db.execute(f"SELECT {columns} FROM {schema.quoted(table.name)} ORDER BY {order}")

    def digest(self):
        """Lines "table rows sha256", as satchelctl digest prints them."""
        return ["%s %d %s" % (t.name, *digest(self.rows(t))) for t in sorted(self.schema.tables.values(), key=lambda t: t.name.encode())]

    # ---- what the app writes ----

    def write(self, *changes, resolves=None):
        """One transaction of ("insert", table, {column: value}), ("update", table, key, {column: value}) and ("delete", table, key). Returns its number."""
        with self.transaction():
            rows = [row for change in changes for row in self.change(*change)]
            if not rows:
                return None
            number = self.state("last_number") + 1
            stamp = next_stamp(self.state("stamp"), int(time.time() * 1000))
            self.set_state(last_number=number, stamp=stamp)
            unseen = self.overlay.unseen_of(rows)
            line = self.db.execute("SELECT substr(id, 1, 4) FROM outbox WHERE n = ?", (resolves,)).fetchone() if resolves else (b"",)
            self.db.execute("INSERT INTO outbox(n, id, stamp, base, schema_epoch, delta, unseen, resolves) VALUES(?, ?, ?, ?, ?, ?, ?, ?)", (
                number, line[0] + os.urandom(8 - len(line[0])), stamp, self.state("cursor"), self.schema.epoch, delta.pack(rows), cbor2.dumps(unseen), resolves))
            self.overlay.add(number, rows)
            return number

    def change(self, what, name, *rest):
        """Does one change and yields what became different, as rows to push."""
        table = self.schema.by_name[name]
        values = {table.by_name[n].id: v for n, v in rest[-1].items()} if what != "delete" else {}
        key = [values[c.id] for c in table.key] if what == "insert" else list(rest[0])
        before = self.read_row(table, key)
        if (before is None) != (what == "insert"):
            raise ValueError(f"{what} {name} {key}: there is {'no' if before is None else 'already a'} such row")
        self.write_row(table, key, None if what == "delete" else {**(before or {}), **values})
        after = self.read_row(table, key)
        if what == "insert":
            row = delta.Row(table.id, "put", [after[c.id] for c in table.key], [delta.Column(c.id, "set", after[c.id]) for c in table.fields])
        elif what == "delete":
            row = delta.Row(table.id, "delete", key, [])
        else:
            row = delta.Row(table.id, "update", key, self.differences(table, before, after))
        if row.columns or what != "update":
            self.overlay.keep(table, row.key, before)
            yield row

    def differences(self, table, before, after):
        """The touched columns, groups whole: a counter as what was added, a guarded column as a move."""
        touched = {c.id: c for d in table.fields if not same(before[d.id], after[d.id]) for c in table.group(d)}
        out = []
        for column_id, c in sorted(touched.items()):
            old, new = before[column_id], after[column_id]
            if c.rule == "counter" and isinstance(new, (int, float)) and isinstance(old, (int, float, type(None))):
                out.append(delta.Column(column_id, "add", new - (old or 0)))
            elif c.rule.startswith("guard:"):
                out.append(delta.Column(column_id, "move", new, old))
            else:
                out.append(delta.Column(column_id, "set", new))
        return out

    # ---- what becomes of it ----

    def waiting(self):
        """Transactions without a result, in order, as the dicts of a push; a large one in parts."""
        for n, txn_id, stamp, base, epoch, data, unseen, resolves, effective in self.db.execute(
                "SELECT n, id, stamp, base, schema_epoch, delta, unseen, resolves, effective FROM outbox WHERE state = 0 ORDER BY n").fetchall():
            parts, unseen = list(cut(delta.unpack(data))), cbor2.loads(unseen)
            for i, rows in enumerate(parts):
                keys = [(r.table, r.key) for r in rows] if unseen else ()
                yield {"number": n, "id": txn_id, "stamp": stamp, "base": base, "schema_epoch": epoch, "resolves": resolves,
                       "effective": effective, "part": i, "last": i == len(parts) - 1, "delta": rows,
                       "unseen": [u for u in unseen if (u["table"], u["key"]) in keys]}

    def count(self, state):
        return self.db.execute("SELECT count(*) FROM outbox WHERE state = ?", (state,)).fetchone()[0]

    def take_results(self, results):
        """A result says only what became of the transaction; it is not for a result to change what is confirmed (N4)."""
        with self.transaction():
            for r in results:
                if CODES.get(r["code"]) == "E_RESOLVED":
                    # An admin has settled it. It was this one that came too late if it is refused for that.
                    self.db.execute("UPDATE outbox SET state = ? WHERE n = ? AND state = ? AND code <> ?", (DISCARDED, r["number"], REFUSED, r["code"]))
                if not self.db.execute("SELECT 1 FROM outbox WHERE n = ? AND state = 0", (r["number"],)).fetchone():
                    continue
                if r["code"]:
                    self.db.execute("UPDATE outbox SET state = ?, code = ?, message = ? WHERE n = ?", (REFUSED, r["code"], r["text"], r["number"]))
                    self.overlay.remove([r["number"]])
                else:
                    self.db.execute("UPDATE outbox SET state = ?, seq = ?, effective = ? WHERE n = ?", (ACCEPTED, r["seq"], r["effective"], r["number"]))
                    self.raise_stamp(r["effective"])
            self.settle()

    def settle(self):
        waiting = self.db.execute("SELECT min(n) FROM outbox WHERE state = 0").fetchone()[0]
        self.set_state(settled_number=waiting - 1 if waiting else self.state("last_number"))

    def refused(self):
        return self.db.execute("SELECT n, code, message FROM outbox WHERE state = ? ORDER BY n", (REFUSED,)).fetchall()

    def discard(self, number):
        """A refusal is given up; the server is told at every contact, as nothing answers it."""
        with self.transaction():
            self.db.execute("UPDATE outbox SET state = ? WHERE n = ? AND state = ?", (DISCARDED, number, REFUSED))

    def discarded(self):
        return [n for n, in self.db.execute("SELECT n FROM outbox WHERE state = ?", (DISCARDED,)).fetchall()]

    def take_losses(self, losses):
        with self.transaction():
            for e in losses:
                table = self.schema.tables.get(e["table"])
                column = table and table.by_id.get(e["column"])
                self.db.execute("INSERT OR IGNORE INTO loss VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", (
                    e["id"], e["seq"], e["number"], table and table.name, column and column.name, put_key(e["key"]), e["kept"], e["lost"], e["rule"]))
                self.set_state(loss_cursor=e["id"])

    def forget_kept(self, table, key):
        """Of a row that left nothing stays but what this device wrote."""
        self.db.execute("UPDATE loss SET kept = NULL WHERE tbl = ? AND key = ?", (table.name, key))

    def rows_with_losses(self):
        """The rows that are here and have lost something, as (table, key)."""
        found = self.db.execute("SELECT DISTINCT tbl, key FROM loss").fetchall()
        return {(name, key) for name, key in found if name in self.schema.by_name and self.read_row(self.schema.by_name[name], get_key(key))}

    # ---- forks, migrations, other pasts ----

    def fork(self, incarnation):
        """N3: everything that waits goes on under the new incarnation, with its numbers and ids."""
        with self.transaction():
            self.set_state(incarnation=incarnation)

    def is_other_copy(self, known_number, known_id):
        """N3: what the server knows under a number of ours is not ours."""
        if known_id is None:
            return False
        ours = self.db.execute("SELECT id FROM outbox WHERE n = ?", (known_number,)).fetchone()
        return ours[0] != known_id if ours else known_number > self.state("settled_number")

    def migrate(self, epoch, name, sql):
        with self.transaction():
            self.schema.migrate(epoch, name, sql)

    def rewind(self, epoch_start):
        """N7: what the server accepted after its backup waits again; bases and losses of that past are cut. The snapshot that follows shows all anew."""
        self.db.execute("UPDATE outbox SET state = ?, seq = NULL WHERE state IN (?, ?) AND seq > ?", (PENDING, ACCEPTED, CONFIRMED, epoch_start))
        self.db.execute("UPDATE outbox SET base = min(base, ?) WHERE state = ?", (epoch_start, PENDING))
        self.overlay.rewind(epoch_start)
        self.db.execute("DELETE FROM loss WHERE seq > ?", (epoch_start,))
        self.set_state(loss_cursor=self.db.execute("SELECT coalesce(max(id), 0) FROM loss").fetchone()[0])
        self.settle()

    def take_welcome(self, m):
        with self.transaction():
            if self.state("epoch") not in (None, m["epoch"]):
                self.rewind(m["epoch_start"])
            self.set_state(epoch=m["epoch"], placed=not m["snapshot"])
            # N7: what the server's backup holds need not be given again.
            self.db.execute("DELETE FROM outbox WHERE state = ? AND seq <= ?", (CONFIRMED, m["backup_seq"]))


def cut(rows):
    """Parts of a transaction, each with some rows and at most a part's bytes, or one row."""
    part, size = [], 0
    for row in rows:
        n = len(delta.pack([row]))
        if part and size + n > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += n
    yield part
