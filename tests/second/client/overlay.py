"""What the app sees is confirmed value plus overlay (N4): pages and snapshots change what is confirmed, and pending changes are done again on it.

The confirmed value of a row is the row itself, unless pending changes stand on it: then `base` keeps it, with `present` 0 for a row that does not exist
(and what it last was), or LEFT for one that this device held and does not any more (and nothing of it), and `unseen` says which columns of it a pending change hides, and up to where the app had seen them (M16; column 0: whether the row
is there). `outbox_row` says which transactions stand on which rows."""
from functools import lru_cache

import cbor2

from . import delta
from .codes import Failure
from .values import get_key, put_key, same

PENDING, ACCEPTED, CONFIRMED = range(3)
LEFT = 2


class Overlay:
    def __init__(self, store):
        self.store, self.db = store, store.db

    # ---- pending changes come and go ----

    def keep(self, table, key, row):
        """Before a pending change: notes what is confirmed, if nothing stands on the row yet."""
        self.db.execute("INSERT OR IGNORE INTO base(tbl, key, present, row) VALUES(?, ?, ?, ?)", (table.id, put_key(key), row is not None, cbor2.dumps(row or {})))

    def add(self, number, rows):
        self.db.executemany("INSERT OR IGNORE INTO outbox_row VALUES(?, ?, ?)", [(number, r.table, put_key(r.key)) for r in rows])

    def remove(self, numbers):
        """These transactions stand on nothing any more: their rows are shown without them."""
        for number in numbers:
            touched = self.db.execute("SELECT tbl, key FROM outbox_row WHERE n = ?", (number,)).fetchall()
            self.db.execute("DELETE FROM outbox_row WHERE n = ?", (number,))
            for table_id, key in touched:
                self.show(table_id, key)

    def confirm(self, cursor):
        """The cursor has passed what was accepted up to it: it is in the confirmed values now."""
        numbers = [n for n, in self.db.execute("SELECT n FROM outbox WHERE state = ? AND seq <= ?", (ACCEPTED, cursor)).fetchall()]
        self.remove(numbers)
        self.db.executemany("UPDATE outbox SET state = ? WHERE n = ?", [(CONFIRMED, n) for n in numbers])

    def show(self, table_id, key):
        """Makes the row what it is to be seen as; forgets its base if nothing stands on it any more."""
        table, found = self.store.schema.tables.get(table_id), self.base(table_id, key)
        if not found:
            return
        present, last = found
        row, is_alone = dict(last) if present == 1 else None, True
        for change in self.changes_of(table_id, key):
            row, is_alone = redo(table, row, last, change), False
        if table:
            self.store.write_row(table, get_key(key), row)
        if is_alone:
            self.db.execute("DELETE FROM base WHERE tbl = ? AND key = ?", (table_id, key))
        elif table and present != LEFT:
            self.look(table, key, last if present else None, row)

    def look(self, table, key, confirmed, shown, moved=(), seen=0):
        """What is hidden is what is shown otherwise than it is confirmed, from the first page that moved it; a counter hides nothing."""
        unseen = self.unseen(table.id, key)
        for c in moved:
            unseen.setdefault(c, seen)

        def is_hidden(c):
            if not c or confirmed is None or shown is None:
                return (confirmed is None) != (shown is None)
            return c in table.by_id and table.by_id[c].rule != "counter" and not same(confirmed.get(c), shown.get(c))
        unseen = {c: upto for c, upto in unseen.items() if is_hidden(c)}
        self.db.execute("UPDATE base SET unseen = ? WHERE tbl = ? AND key = ?", (cbor2.dumps(unseen) if unseen else None, table.id, key))

    def unseen(self, table_id, key):
        found = self.db.execute("SELECT unseen FROM base WHERE tbl = ? AND key = ? AND unseen IS NOT NULL", (table_id, key)).fetchone()
        return cbor2.loads(found[0]) if found else {}

    def rewind(self, epoch_start):
        """N7: since when something is hidden is told in the numbers of the server that was put back, too."""
        for table_id, key in self.db.execute("SELECT tbl, key FROM base WHERE unseen IS NOT NULL").fetchall():
            unseen = {c: min(upto, epoch_start) for c, upto in self.unseen(table_id, key).items()}
            self.db.execute("UPDATE base SET unseen = ? WHERE tbl = ? AND key = ?", (cbor2.dumps(unseen), table_id, key))

    def unseen_of(self, rows):
        """What the author of these changes had not seen, row by row in their order."""
        out = {}
        for r in rows:
            if columns := self.unseen(r.table, put_key(r.key)):
                out[r.table, put_key(r.key)] = {"table": r.table, "key": r.key, "columns": columns}
        return list(out.values())

    def base(self, table_id, key):
        found = self.db.execute("SELECT present, row FROM base WHERE tbl = ? AND key = ?", (table_id, key)).fetchone()
        return found and (found[0], cbor2.loads(found[1]))

    def changes_of(self, table_id, key):
        for data, in self.db.execute("SELECT delta FROM outbox_row JOIN outbox USING(n) WHERE tbl = ? AND key = ? ORDER BY n", (table_id, key)).fetchall():
            yield from by_row(data).get((table_id, key), ())

    # ---- confirmed values change ----

    def take(self, row):
        """One row change from the server."""
        table, key = self.store.schema.tables.get(row.table), put_key(row.key)
        if not table:
            if row.table in self.store.schema.former:
                return
            raise Failure("E_UNKNOWN_TABLE", f"a page names table {row.table}")
        if row.op == "leave":
            self.store.forget_kept(table, key)
        found = self.base(row.table, key)
        if not found:
            self.store.write_row(table, row.key, changed(table, self.store.read_row(table, row.key), row))
            return
        present, last = found
        if row.op == "leave":
            if last:
                self.note_left(row.table, key, self.store.state("cursor"))
            self.show(row.table, key)
            return
        after = changed(table, last if present == 1 else None, row)
        self.db.execute("UPDATE base SET present = ?, row = ? WHERE tbl = ? AND key = ?", (
            after is not None, cbor2.dumps(last if after is None else after), row.table, key))
        seen = self.unseen(row.table, key)[0] if present == LEFT else self.store.state("cursor")
        moved = [0] if row.op == "delete" or not present else [c.id for c in known(table, row)]
        self.show(row.table, key)
        if found := self.base(row.table, key):
            self.look(table, key, found[1] if found[0] else None, self.store.read_row(table, row.key), moved, seen)

    def note_left(self, table_id, key, seen):
        """Nothing is kept of the row, and nobody will tell what happens to it: all of it (0) is unseen since the cursor before."""
        self.db.execute("UPDATE base SET present = ?, row = ?, unseen = ? WHERE tbl = ? AND key = ?", (
            LEFT, cbor2.dumps({}), cbor2.dumps({0: seen} | self.unseen(table_id, key)), table_id, key))

    def take_page(self, rows, cursor, high_stamp, view=None):
        """What a page or the staged parts of one commit say, the cursor, and what the cursor passes, in one transaction."""
        with self.store.transaction():
            for row in rows:
                self.take(row)
            self.db.execute("DELETE FROM stage")
            self.store.set_state(cursor=cursor, **({"view": view} if view else {}))
            self.store.raise_stamp(high_stamp)
            self.confirm(cursor)

    def stage(self, place, rows):
        self.db.execute("INSERT OR REPLACE INTO stage VALUES(?, ?)", (place, delta.pack(rows)))

    def staged(self):
        for place, in self.db.execute("SELECT n FROM stage ORDER BY n").fetchall():
            yield from delta.unpack(self.db.execute("SELECT rows FROM stage WHERE n = ?", (place,)).fetchone()[0])

    def take_snapshot(self, seq, high_stamp, view):
        """The staged pages of a snapshot become the confirmed rows, all at once. (A device that cannot spare the room twice applies each page's
        ranges by themselves, and takes care not to show what a range holds already a second time.)"""
        with self.store.transaction():
            lossy = self.store.rows_with_losses() if view else set()
            for table in self.store.schema.tables.values():
                self.db.execute('DELETE FROM "%s"' % table.name.replace('"', '""'))
            for row in self.staged():
                table = self.store.schema.tables[row.table]
                self.store.write_row(table, row.key, changed(table, None, row))
            self.db.execute("DELETE FROM stage")
            hidden = {(t, k): cbor2.loads(u) for t, k, u in self.db.execute("SELECT tbl, key, unseen FROM base WHERE unseen IS NOT NULL")}
            held = [(t, k) for t, k, row in self.db.execute("SELECT tbl, key, row FROM base") if cbor2.loads(row)] if view else ()
            seen = self.store.state("cursor")
            self.db.execute("DELETE FROM base")
            self.db.execute("DELETE FROM outbox_row")
            self.db.execute("UPDATE outbox SET state = ? WHERE state = ? AND seq <= ?", (CONFIRMED, ACCEPTED, seq))
            self.store.set_state(placed=1, cursor=seq, view=view, snapshot=None, snapshot_page=0)
            self.store.raise_stamp(high_stamp)
            self.build(hidden, seen)
            for name, key in lossy - self.store.rows_with_losses():
                self.store.forget_kept(self.store.schema.by_name[name], key)
            for table_id, key in held:
                found = self.base(table_id, key)
                if found and not found[0]:
                    self.note_left(table_id, key, seen)

    def build(self, hidden, seen):
        """The overlay of everything that is pending, over confirmed rows alone. What it hides was seen as before, or up to the cursor before."""
        touched = set()
        for number, data in self.db.execute("SELECT n, delta FROM outbox WHERE state IN (?, ?) ORDER BY n", (PENDING, ACCEPTED)).fetchall():
            for row in delta.unpack(data):
                table = self.store.schema.tables.get(row.table)
                if table:
                    self.keep(table, row.key, self.store.read_row(table, row.key))
                    self.add(number, [row])
                    touched.add((row.table, put_key(row.key)))
        for table_id, key in touched:
            table = self.store.schema.tables[table_id]
            self.db.execute("UPDATE base SET unseen = ? WHERE tbl = ? AND key = ?", (
                cbor2.dumps({c: seen for c in (0, *table.by_id)} | hidden.get((table_id, key), {})), table_id, key))
            self.show(table_id, key)


@lru_cache(16)
def by_row(data):
    """{(table, key): [changes]} of a transaction."""
    out = {}
    for row in delta.unpack(data):
        out.setdefault((row.table, put_key(row.key)), []).append(row)
    return out


def known(table, row):
    """The columns of a change that still are; a dropped one is passed over."""
    return [c for c in row.columns if c.id in table.by_id]


def changed(table, confirmed, row):
    """A confirmed row after a change from the server: it tells whole rows, new values, or the end."""
    if row.op in ("delete", "leave"):
        return None
    if row.op == "update" and confirmed is None:
        raise Failure("E_ROW_MISSING", f"a page updates a row of {table.name} that is not here")
    before = confirmed if row.op == "update" else {c.id: c.default for c in table.fields}
    return {**before, **{c.id: v for c, v in zip(table.key, row.key)}, **{c.id: c.value for c in known(table, row)}}


def redo(table, row, last, change):
    """A pending change done again on what is confirmed (protocol/README.md, "A device's view of a row")."""
    if not table or change.op == "delete":
        return None
    if change.op == "update" and row is None:
        # Where updates win the server will revive a row that was deleted meanwhile; a row that never was stays away.
        if table.wins != "update" or not last:
            return None
        row = dict(last)
    out = dict(row or {c.id: c.default for c in table.fields})
    out.update({c.id: v for c, v in zip(table.key, change.key)})
    for c in known(table, change):
        out[c.id] = (out.get(c.id) or 0) + c.value if c.kind == "add" else c.value
    return out
