"""Deltas: rows and what happens to them, grouped on the wire by table, operation and columns."""
from collections import namedtuple
from itertools import groupby

from .codes import Failure
from .grammar import dump, id32, is_list, is_value, key_value, malformed, number, parse, u32

# op: "put", "update", "delete", "leave". columns: of Column; `seen` is of kind "move" alone.
Row = namedtuple("Row", "table op key columns")
Column = namedtuple("Column", "id kind value seen", defaults=(None,))
OPS = ("put", "update", "delete", "leave")
KINDS = ("set", "add", "move")


def read_group(group, ops):
    table, op, nkey, specs, items = is_list(group) if len(is_list(group)) == 5 else is_list(None)
    if id32(table) and number(0, 3, above="E_MALFORMED")(op) not in ops:
        raise malformed(f"{OPS[op]} does not belong here")
    number(1, 16)(nkey)
    for i, spec in enumerate(is_list(specs, 0, 512)):
        u32(spec)
        if spec < 4 or spec % 4 == 3 or (spec % 4 and op != 1) or op > 1 or (i and spec // 4 <= specs[i - 1] // 4):
            raise malformed("a column that does not belong here")
    width = nkey + sum(2 if s % 4 == 2 else 1 for s in specs)
    if not is_list(items) or len(items) % width:
        raise malformed("items do not divide into rows")
    for at in range(0, len(items), width):
        key, rest, columns = [key_value(v) for v in items[at:at + nkey]], iter(items[at + nkey:at + width]), []
        for spec in specs:
            seen = is_value(next(rest)) if spec % 4 == 2 else None
            columns.append(Column(spec // 4, KINDS[spec % 4], is_value(next(rest)), seen))
        yield Row(table, OPS[op], key, columns)


def read_delta(groups, ops=(0, 1, 2, 3)):
    rows, before = [], None
    for group in is_list(groups):
        rows += read_group(group, ops)
        if group[:4] == before:
            raise Failure("E_NOT_DETERMINISTIC", "two groups of one kind")
        before = group[:4]
    return rows


def write_delta(rows):
    def head(row):
        return [row.table, OPS.index(row.op), len(row.key), [c.id * 4 + KINDS.index(c.kind) for c in row.columns]]

    def items(row):
        return row.key + [v for c in row.columns for v in ((c.seen, c.value) if c.kind == "move" else (c.value,))]
    return [[*shape, [v for row in group for v in items(row)]] for shape, group in groupby(rows, head)]


def pack(rows):
    return dump(write_delta(rows))


def unpack(data):
    return read_delta(parse(data))
