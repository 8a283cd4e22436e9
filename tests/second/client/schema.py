"""The schema: migrations as the server sends them, and the ids that tables and columns get from them."""
import hashlib
import re
import sqlite3

from .codes import Failure

REGISTRY = """
CREATE TABLE satchel_table(name TEXT PRIMARY KEY ON CONFLICT IGNORE, mode TEXT NOT NULL DEFAULT 'rows', wins TEXT NOT NULL DEFAULT 'update', key TEXT NOT NULL DEFAULT 'unique');
CREATE TABLE satchel_rule(tbl TEXT NOT NULL, col TEXT NOT NULL, rule TEXT NOT NULL, PRIMARY KEY(tbl, col));
CREATE TABLE satchel_check(tbl TEXT NOT NULL, col TEXT, check_sql TEXT NOT NULL, code TEXT NOT NULL, words TEXT NOT NULL, on_change INTEGER);
CREATE TABLE second_table(id INTEGER PRIMARY KEY, name TEXT, wins TEXT NOT NULL);
CREATE TABLE second_column(tbl INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT, PRIMARY KEY(tbl, id));
CREATE TABLE second_migration(epoch INTEGER PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL);
"""
UNIQUE_INDEX = re.compile(r"\A((?:\s|--[^\n]*\n|/\*.*?\*/)*CREATE\s+)UNIQUE(\s+INDEX)", re.I | re.S)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


class Column:
    def __init__(self, column_id, name, rule, default):
        self.id, self.name, self.rule, self.default = column_id, name, rule, default


class Table:
    """`columns` by ascending id, which is table order; `key` in the order of the primary key."""

    def __init__(self, table_id, name, wins, columns, key_names):
        self.id, self.name, self.wins, self.columns = table_id, name, wins, columns
        self.key = [next(c for c in columns if c.name == k) for k in key_names]
        self.fields = [c for c in columns if c not in self.key]
        self.by_id = {c.id: c for c in columns}
        self.by_name = {c.name: c for c in columns}

    def group(self, column):
        """What is written with the column: itself, or its whole group."""
        return [c for c in self.fields if c.rule == column.rule] if column.rule.startswith("group:") else [column]


def statements(sql):
    """A migration's statements. A trigger's body has semicolons of its own, which sqlite3 knows."""
    start = 0
    for at in (m.end() for m in re.finditer(";", sql)):
        if sqlite3.complete_statement(sql[start:at]):
            yield sql[start:at]
            start = at
    if sql[start:].strip():
        yield sql[start:]


class Schema:
    def __init__(self, db):
        self.db = db
        self.load()

    def load(self):
        self.epoch = self.db.execute("SELECT coalesce(max(epoch), 0) FROM second_migration").fetchone()[0]
        self.tables, self.former = {}, set()
        for table_id, name, wins in self.db.execute("SELECT id, name, wins FROM second_table").fetchall():
            if name is None:
                self.former.add(table_id)
            else:
                self.tables[table_id] = self.load_table(table_id, name, wins)
        self.by_name = {t.name: t for t in self.tables.values()}

    def load_table(self, table_id, name, wins):
        rules = dict(self.db.execute("SELECT col, rule FROM satchel_rule WHERE tbl = ?", (name,)))
        shape = {c[1]: c for c in self.shape(name)}
        columns = [Column(i, n, rules.get(n, "lww"), self.default(shape[n][4])) for i, n in self.db.execute(
            "SELECT id, name FROM second_column WHERE tbl = ? AND name IS NOT NULL ORDER BY id", (table_id,)).fetchall()]
        return Table(table_id, name, wins, columns, [n for n, c in sorted(shape.items(), key=lambda item: item[1][5]) if c[5]])

    def shape(self, name):
        """Columns in table order, without generated ones."""
        return [c for c in self.db.execute(f"PRAGMA table_xinfo({quoted(name)})") if c[6] == 0]

    def default(self, expression):
        return None if expression is None else self.db.execute(f"SELECT {expression}").fetchone()[0]

    def hash(self):
        """Over every migration's text, each followed by a zero byte; before the first it is the hash of nothing."""
        texts = self.db.execute("SELECT sql FROM second_migration ORDER BY epoch")
        return hashlib.sha256(b"".join(sql.encode() + b"\0" for sql, in texts)).digest()[:8]

    # ---- a migration, inside the caller's transaction ----

    def migrate(self, epoch, name, sql):
        if epoch != self.epoch + 1:
            raise Failure("E_SCHEMA", f"migration {epoch} does not follow {self.epoch}")
        for statement in statements(sql):
            before = self.table_names()
            # A device cannot know whether a value is taken elsewhere: only the server enforces UNIQUE.
            self.db.execute(UNIQUE_INDEX.sub(r"\1\2", statement))
            self.follow_tables(before, self.table_names())
            self.follow_columns()
        self.db.execute("INSERT INTO second_migration VALUES(?, ?, ?)", (epoch, name, sql))
        self.load()

    def table_names(self):
        return {r[0] for r in self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    def follow_tables(self, before, after):
        """One gone and one new in a single statement is a rename, which keeps the id; a table that was declared gets the next one."""
        gone, new = before - after, after - before
        for old in gone:
            name = new.pop() if new else None
            self.db.execute("UPDATE second_table SET name = ? WHERE name = ?", (name, old))
            if name:
                self.db.execute("UPDATE satchel_table SET name = ? WHERE name = ?", (name, old))
                self.db.execute("UPDATE satchel_rule SET tbl = ? WHERE tbl = ?", (name, old))
            else:
                self.db.execute("DELETE FROM satchel_table WHERE name = ?", (old,))
                self.db.execute("DELETE FROM satchel_rule WHERE tbl = ?", (old,))
        self.db.execute("INSERT INTO second_table(name, wins) SELECT name, wins FROM satchel_table t"
                        " WHERE NOT EXISTS(SELECT 1 FROM second_table s WHERE s.name = t.name) ORDER BY t.rowid")

    def follow_columns(self):
        """Compares each synced table with what is known of it: as many columns and one other name is a rename."""
        for table_id, table in self.db.execute("SELECT id, name FROM second_table WHERE name IS NOT NULL").fetchall():
            known = self.db.execute("SELECT id, name FROM second_column WHERE tbl = ? AND name IS NOT NULL ORDER BY id", (table_id,)).fetchall()
            names = [c[1] for c in self.shape(table)]
            if len(known) == len(names):
                for (column_id, old), name in zip(known, names):
                    if old != name:
                        self.name_column(table_id, column_id, name)
                        self.db.execute("UPDATE satchel_rule SET col = ? WHERE tbl = ? AND col = ?", (name, table, old))
                continue
            for column_id, old in known:
                if old not in names:
                    self.name_column(table_id, column_id, None)
                    self.db.execute("DELETE FROM satchel_rule WHERE tbl = ? AND col = ?", (table, old))
            for name in names:
                if name not in [n for _, n in known]:
                    self.db.execute("INSERT INTO second_column SELECT ?1, coalesce(max(id), 0) + 1, ?2 FROM second_column WHERE tbl = ?1", (table_id, name))

    def name_column(self, table_id, column_id, name):
        self.db.execute("UPDATE second_column SET name = ? WHERE tbl = ? AND id = ?", (name, table_id, column_id))
