#!/usr/bin/env python3
"""Writes the vectors of this folder, or with --check compares them with what it would write.

It encodes from satchel.cddl by itself and shares no code with the C codec, so that the two check each other.
Needs nothing but Python's standard library."""
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = 2**63 - 1


# ---- deterministic CBOR, and the hand-made bytes of the invalid vectors ----

class Raw(bytes):
    """Bytes that are an encoded item (or a damaged one) already."""


def head(major, n):
    for limit, code, form in ((24, None, None), (2**8, 24, ">B"), (2**16, 25, ">H"), (2**32, 26, ">I"), (2**64, 27, ">Q")):
        if n < limit:
            return bytes([major << 5 | n]) if code is None else bytes([major << 5 | code]) + struct.pack(form, n)
    raise ValueError(n)


def real(x):
    for code, form in ((0xf9, ">e"), (0xfa, ">f")):
        try:
            packed = struct.pack(form, x)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == x:
            return bytes([code]) + packed
    return b"\xfb" + struct.pack(">d", x)


def enc(x):
    if isinstance(x, Raw):
        return bytes(x)
    if x is None:
        return b"\xf6"
    if isinstance(x, bool):
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return head(0, x) if x >= 0 else head(1, -1 - x)
    if isinstance(x, float):
        return real(x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        data = x.encode()
        return head(3, len(data)) + data
    return head(4, len(x)) + b"".join(enc(i) for i in x)


# ---- values, keys, deltas in the form of the JSON files ----

def from_json(v):
    if isinstance(v, dict):
        return float(v["real"]) if "real" in v else bytes.fromhex(v["blob"])
    return v


def key_bytes(key):
    """A key as bytes (protocol/README.md): type byte, then 8 bytes big-endian or varint length and bytes."""
    out = b""
    for v in map(from_json, key):
        if isinstance(v, int):
            out += b"\x01" + struct.pack(">q", v)
        elif isinstance(v, float):
            out += b"\x02" + struct.pack(">d", v)
        else:
            data = v.encode() if isinstance(v, str) else v
            assert len(data) < 2**14
            size = bytes([len(data)]) if len(data) < 128 else bytes([len(data) >> 7 | 128, len(data) & 127])
            out += (b"\x03" if isinstance(v, str) else b"\x04") + size + data
    return out


OPS = {"put": 0, "update": 1, "delete": 2, "leave": 3}


def colspec(c):
    return c["id"] * 4 + (0 if "set" in c else 1 if "add" in c else 2)


def delta(rows):
    groups = []
    for row in rows:
        shape = [row["table"], OPS[row["op"]], len(row["key"]), [colspec(c) for c in row["columns"]]]
        if not groups or groups[-1][:4] != shape:
            groups.append(shape + [[]])
        items = groups[-1][4]
        items += map(from_json, row["key"])
        for c in row["columns"]:
            items += [from_json(c[k]) for k in ("set", "add", "seen", "new") if k in c]
    return groups


# ---- messages ----

TYPES = {name: i + 1 for i, name in enumerate(
    "hello welcome schema push results pull page snapshot losses forked resolve error sums repair".split())}
CODES = {"OK": 0, "E_OVERLOAD": 6, "E_REVOKED": 20, "E_SCHEMA": 26, "E_UNKNOWN_TABLE": 40, "E_CHECK": 47, "E_PAUSED": 9, "E_WIPED": 30, "E_SCOPE": 58, "E_GUARD": 50, "E_DEPENDS": 53,
         "E_ORDER": 71, "E_LIMIT": 72}


def hexed(s):
    return None if s is None else bytes.fromhex(s)


def unseen_row(u):
    return [u["table"], key_bytes(u["key"]), [n for c in u["columns"] for n in (c["id"], c["base"])]]


def push_fields(m):
    txns, number, stamp, base = [], 0, 0, 0
    for t in m["transactions"]:
        txns.append([t["number"] - number, hexed(t["id"]), t["stamp"] - stamp, t["base"] - base, t["schema_epoch"],
                     t["resolves"], t["effective"], t["part"], t["last"], delta(t["delta"])]
                    + ([[unseen_row(u) for u in t["unseen"]]] if "unseen" in t else []))
        number, stamp, base = t["number"], t["stamp"], t["base"]
    return [m["incarnation"], txns]


def view(m):
    return [m["view"]] if "view" in m else []


def waiting(m):
    return [[x for t in m["waiting"] for x in (t["table"], t["changes"])]] if "waiting" in m else []


def storage(m):
    return [[m["storage"]["held"], m["storage"]["room"]]] if "storage" in m else []


def fields(m):
    kind = m["type"]
    if kind == "hello":
        return [m["version"], m["incarnation"], hexed(m["epoch"]), m["cursor"], m["schema_epoch"], hexed(m["schema_hash"]),
                m["last_number"], m["settled_number"], m["loss_cursor"], m["now_ms"], m["pending"], m["snapshot"], m["snapshot_page"],
                m["software"]] + ([[x for e in m["past"] for x in (hexed(e["epoch"]), e["seq"])]] if "past" in m else []) + view(m) + waiting(m) + storage(m)
    if kind == "welcome":
        return [m["version"], hexed(m["epoch"]), m["epoch_start"], m["head"], m["schema_epoch"], m["known_number"], hexed(m["known_id"]), m["now_ms"],
                m["backup_seq"], m["snapshot"]] + view(m)
    if kind == "schema":
        return [m["epoch"], m["name"], m["sql"]]
    if kind == "push":
        return push_fields(m)
    if kind == "results":
        return [[[r["number"], CODES[r["rc"]], r["seq"], r["effective"], r["depends"], r["table"], key_bytes(r["key"]), r["text"]]
                 for r in m["results"]]]
    if kind == "pull":
        return [m["cursor"], m["credit"], m["loss_cursor"]]
    if kind == "page":
        return [m["from"], m["to"], m["high_stamp"], m["part"], m["more"], *view(m),
                [[c["seq"], c["author"], c["stamp"], delta(c["delta"])] for c in m["commits"]]]
    bound = lambda k: None if k is None else [from_json(v) for v in k]
    if kind == "sums":
        return [m["cursor"], m["view"], [[r["table"], bound(r["from"]), bound(r["to"]), r["rows"], hexed(r["digest"])] for r in m["ranges"]]]
    if kind == "repair":
        return [m["seq"], m["compared"], m["cut"], [[r["table"], bound(r["from"]), bound(r["to"]), delta(r["delta"])] for r in m["ranges"]]]
    if kind == "snapshot":
        return [m["id"], m["seq"], m["page"], m["last"], m["total_rows"], m["high_stamp"], *view(m),
                [[r["table"], bound(r["from"]), bound(r["to"]), delta(r["delta"])] for r in m["ranges"]]]
    if kind == "losses":
        return [[[x["id"], x["seq"], x["number"], x["table"], x["column"], x["rule"], key_bytes(x["key"]), from_json(x["kept"]),
                  from_json(x["lost"]), x["kept_stamp"], x["lost_stamp"], x["kept_author"]] for x in m["losses"]]]
    if kind == "forked":
        return [m["incarnation"], m["from_number"]]
    if kind == "resolve":
        return [m["number"], m["action"]]
    return [CODES[m["rc"]], m["retry_after_ms"], m["text"]]


def message(m):
    return enc([TYPES[m["type"]]] + fields(m))


# ---- what the vectors hold ----

EPOCH = "00a1b2c3d4e5f607"
HASH = "1f2e3d4c5b6a7988"
STAMP = 1767225600000 << 16  # 2026-01-01
ID = [{"blob": "018f6b1c00007000800000000000000%d" % i} for i in range(10)]


def hello(**kw):
    return {"type": "hello", "version": 1, "incarnation": 1, "epoch": EPOCH, "cursor": 4711, "schema_epoch": 3, "schema_hash": HASH,
            "last_number": 90, "settled_number": 88, "loss_cursor": 7, "now_ms": 1767225600123, "pending": 2, "snapshot": None,
            "snapshot_page": 0, "software": "satchel/0.1.0", **kw}


def welcome(**kw):
    return {"type": "welcome", "version": 1, "epoch": EPOCH, "epoch_start": 0, "head": 5000, "schema_epoch": 3, "known_number": 89,
            "known_id": "1122334455667789", "now_ms": 1767225600200, "backup_seq": 4000, "snapshot": False, **kw}


def row(op, table, key, *columns):
    return {"table": table, "op": op, "key": key, "columns": list(columns)}


def sets(*pairs):
    return [{"id": i, "set": v} for i, v in pairs]


def txn(number, rows, **kw):
    return {"number": number, "id": "%016x" % (0x1122334455667700 + number), "stamp": STAMP + number, "base": 4711, "schema_epoch": 3,
            "resolves": None, "effective": None, "part": 0, "last": True, "delta": rows, **kw}


def push(*txns, **kw):
    return {"type": "push", "incarnation": 1, "transactions": list(txns), **kw}


def accepted(number, seq, **kw):
    return {"number": number, "rc": "OK", "seq": seq, "effective": STAMP + number, "depends": 0, "table": 0, "key": [], "text": "", **kw}


def refused(number, rc, **kw):
    return accepted(number, 0, rc=rc, **{"effective": 0, **kw})


def commit(seq, rows, **kw):
    return {"seq": seq, "author": 12, "stamp": STAMP + seq, "delta": rows, **kw}


def page(*commits, **kw):
    return {"type": "page", "from": 4711, "to": 5000, "high_stamp": STAMP + 5000, "part": 0, "more": False, "commits": list(commits), **kw}


def snapshot(*ranges, **kw):
    return {"type": "snapshot", "id": 77, "seq": 5000, "page": 0, "last": False, "total_rows": 50000, "high_stamp": STAMP + 5000,
            "ranges": list(ranges), **kw}


def extent(table, start, end, rows):
    return {"table": table, "from": start, "to": end, "delta": rows}


def sums(*ranges, **kw):
    return {"type": "sums", "cursor": 5000, "view": 12, "ranges": list(ranges), **kw}


def summed(table, start, end, rows):
    return {"table": table, "from": start, "to": end, "rows": rows, "digest": "%064x" % rows}


def repair(*ranges, **kw):
    return {"type": "repair", "seq": 5000, "compared": 3, "cut": False, "ranges": list(ranges), **kw}


def loss(number, **kw):
    return {"id": number, "seq": 4990 + number, "number": 80 + number, "table": 2, "column": 5, "rule": 0, "key": [ID[1]], "kept": "Meier",
            "lost": "Mayer", "kept_stamp": STAMP + 9, "lost_stamp": STAMP + 8, "kept_author": 12, **kw}


INSERT = row("put", 2, [ID[1]], *sets((2, "Ada"), (3, None), (4, 36), (5, {"real": "1.5"})))
COUNT = row("update", 3, [ID[2]], {"id": 4, "add": -25})
MOVE = row("update", 4, [ID[3]], {"id": 2, "set": "x"}, {"id": 6, "seen": "open", "new": "won"})

VALID = {
    "hello": [
        ("a new device", hello(epoch=None, cursor=0, schema_epoch=0, schema_hash="0" * 16, last_number=0, settled_number=0, loss_cursor=0,
                               pending=0)),
        ("a device that comes back", hello()),
        ("a copy that asks for an incarnation", hello(incarnation=0)),
        ("in the middle of a snapshot", hello(epoch=None, cursor=0, snapshot=77, snapshot_page=12)),
        ("every number at its top", hello(incarnation=2**32 - 1, cursor=TOP, schema_epoch=2**32 - 1, last_number=TOP, settled_number=TOP,
                                          loss_cursor=TOP, now_ms=TOP, pending=TOP, snapshot=TOP, snapshot_page=2**32 - 1)),
        ("software that does not name itself", hello(software="")),
        ("an epoch before this one", hello(past=[{"epoch": "0123456789abcdef", "seq": 4500}])),
        ("as many epochs as are told", hello(past=[{"epoch": "%016x" % (i + 1), "seq": 5000 - i} for i in range(16)])),
        ("a device that holds a part", hello(past=[], view=12)),
        ("a device that holds everything, or nothing yet", hello(past=[], view=0)),
        ("a part, and an epoch before this one", hello(past=[{"epoch": "0123456789abcdef", "seq": 4500}], view=TOP)),
        ("what waits by table", hello(past=[], view=0, waiting=[{"table": 2, "changes": 3}, {"table": 7, "changes": 1}])),
        ("what waits, every number at its top", hello(past=[], view=12, waiting=[{"table": 2**32 - 1, "changes": TOP}])),
        ("what waits in as many tables as are told", hello(past=[], view=0, waiting=[{"table": i + 1, "changes": i + 1} for i in range(1024)])),
        ("what its files take", hello(past=[], view=0, waiting=[], storage={"held": 12_500_000, "room": 4_000_000_000})),
        ("what waits, and a disk that is full", hello(past=[], view=12, waiting=[{"table": 2, "changes": 3}], storage={"held": TOP, "room": TOP})),
    ],
    "welcome": [
        ("the cursor is good", welcome()),
        ("a snapshot follows", welcome(snapshot=True, known_number=0, known_id=None)),
        ("another view", welcome(view=12)),
        ("everything from now on", welcome(view=0)),
        ("a server restored from a backup", welcome(epoch="ffffffffffffffff", epoch_start=4500, head=4500)),
    ],
    "schema": [
        ("one migration", {"type": "schema", "epoch": 1, "name": "001_contacts.sql",
                           "sql": "CREATE TABLE contact(id BLOB PRIMARY KEY, name TEXT);\nINSERT INTO satchel_table(name) VALUES('contact');\n"}),
        ("not only ASCII", {"type": "schema", "epoch": 2, "name": "002_größe.sql", "sql": "-- naïve, 日本, \U0001f9f3\n"}),
    ],
    "push": [
        ("nothing", push()),
        ("one insert", push(txn(1, [INSERT]))),
        ("two rows of one shape make one group",
         push(txn(1, [INSERT, row("put", 2, [ID[4]], *sets((2, "Bob"), (3, ""), (4, 0), (5, {"blob": ""})))]))),
        ("a row of another shape between them keeps three groups", push(txn(1, [INSERT, COUNT, INSERT]))),
        ("a counter's difference", push(txn(7, [COUNT]))),
        ("a guarded move", push(txn(8, [MOVE]))),
        ("a deletion with a composite key", push(txn(9, [row("delete", 9, ["AB", 12, {"real": "0.5"}])]))),
        ("a table of key columns alone", push(txn(9, [row("put", 10, [1, 2])]))),
        ("numbers with a gap, a stamp and a base that step back",
         push(txn(5, [COUNT], stamp=STAMP + 100, base=900), txn(8, [COUNT], stamp=STAMP + 90, base=800), txn(9, [COUNT], stamp=0, base=0))),
        ("a retry of a refused transaction", push(txn(10, [INSERT], resolves=4))),
        ("given again after a restore", push(txn(11, [INSERT], effective=STAMP + 11, base=4500))),
        ("three parts of one transaction, then another",
         push(txn(12, [INSERT], last=False), txn(12, [COUNT], part=1, last=False), txn(12, [], part=2), txn(13, [COUNT]))),
        ("begins with a later part", push(txn(12, [COUNT], part=7), txn(13, [COUNT], last=False))),
        ("what its own edits hid from its author",
         push(txn(14, [MOVE, COUNT, row("put", 9, ["AB", 12, {"real": "0.5"}], *sets((4, 1)))], unseen=[
             {"table": 4, "key": [ID[3]], "columns": [{"id": 2, "base": 4700}, {"id": 6, "base": 0}]},
             {"table": 9, "key": ["AB", 12, {"real": "0.5"}], "columns": [{"id": 0, "base": 4650}]}]), txn(15, [COUNT]))),
        ("numbers at their top", push(txn(TOP, [COUNT], id="f" * 16, stamp=TOP, base=TOP, schema_epoch=2**32 - 1), incarnation=2**32 - 1)),
    ],
    "results": [
        ("none", {"type": "results", "results": []}),
        ("two accepted", {"type": "results", "results": [accepted(1, 4712), accepted(2, 4713)]}),
        ("refused for a row", {"type": "results", "results": [
            refused(3, "E_CHECK", table=2, key=[ID[1]], text="CHECK constraint failed: amount >= 0")]}),
        ("refused for a composite key", {"type": "results", "results": [
            refused(3, "E_GUARD", table=9, key=["ä", -12, {"real": "-0.5"}, {"blob": "00"}], text="won → open")]}),
        ("depends on another", {"type": "results", "results": [refused(4, "E_DEPENDS", depends=3)]}),
        ("refused for what this device may not write", {"type": "results", "results": [
            refused(6, "E_SCOPE", table=2, key=[ID[1]], text="a rep may not change the column \"limit\"")]}),
        ("refused for no row", {"type": "results", "results": [refused(5, "E_UNKNOWN_TABLE", text="no table 99")]}),
    ],
    "pull": [
        ("four pages more", {"type": "pull", "cursor": 4711, "credit": 4, "loss_cursor": 7}),
        ("only the cursor", {"type": "pull", "cursor": 5000, "credit": 0, "loss_cursor": 8}),
        ("the most credit", {"type": "pull", "cursor": 0, "credit": 16, "loss_cursor": 0}),
    ],
    "page": [
        ("nothing that concerns the device", page()),
        ("two commits", page(commit(4712, [INSERT]), commit(5000, [row("update", 2, [ID[1]], *sets((3, 1))), row("delete", 3, [ID[2]])],
                                                            author=0))),
        ("one commit in two buckets", page(commit(4800, [INSERT]), commit(4800, [row("put", 2, [ID[5]], *sets((2, "Eve")))]))),
        ("a row that leaves", page(commit(4900, [row("leave", 2, [ID[1]])]))),
        ("the first part of a large commit", page(commit(4712, [INSERT]), more=True)),
        ("its last part", page(commit(4712, [COUNT | {"columns": sets((4, 75))}]), part=1)),
        ("another view", page(commit(5000, [INSERT, row("leave", 2, [ID[3]])], author=0, stamp=STAMP), view=12)),
        ("another view, in parts", page(commit(5000, [INSERT]), more=True, view=TOP)),
        ("another view of the same rows", page(view=13)),
    ],
    "sums": [
        ("a table in two ranges", sums(summed(2, None, [ID[1]], 256), summed(2, [ID[1]], None, 0))),
        ("of everything", sums(summed(9, ["a", 1], ["b", 2], 1), view=0)),
        ("of nothing", sums(cursor=0, view=0)),
        ("bounds", sums(summed(2**32 - 1, None, None, TOP), cursor=TOP, view=TOP)),
    ],
    "repair": [
        ("nothing differs", repair()),
        ("nothing was compared", repair(compared=0)),
        ("one range", repair(extent(2, [ID[1]], None, [row("put", 2, [ID[4]], *sets((2, "Bob")))]))),
        ("a range without rows", repair(extent(2, None, [ID[1]], []))),
        ("cut", repair(extent(2, None, [ID[9]], [INSERT]), compared=64, cut=True)),
    ],
    "snapshot": [
        ("a whole table", snapshot(extent(2, None, None, [INSERT]), last=True)),
        ("the end of one table and the start of the next",
         snapshot(extent(2, [ID[1]], None, [row("put", 2, [ID[4]], *sets((2, "Bob")))]), extent(3, None, [ID[9]], []), page=1)),
        ("the middle of a table with a composite key",
         snapshot(extent(9, ["a", 1], ["b", 2], [row("put", 9, ["a", 2], *sets((3, {"blob": "ff"})))]), page=2)),
        ("an empty store", snapshot(seq=0, total_rows=0, high_stamp=0, last=True)),
        ("of a view", snapshot(extent(2, None, None, [INSERT]), last=True, view=12)),
    ],
    "losses": [
        ("none", {"type": "losses", "losses": []}),
        ("a field and a row", {"type": "losses", "losses": [loss(8), loss(9, column=0, kept=None, lost=None, rule=3)]}),
        ("numbers", {"type": "losses", "losses": [loss(1, kept={"real": "2.5"}, lost={"blob": "00ff"}, key=["AB", 1])]}),
    ],
    "forked": [("goes on as 2", {"type": "forked", "incarnation": 2, "from_number": 88})],
    "resolve": [("discarded", {"type": "resolve", "number": 3, "action": 1})],
    "error": [
        ("come back later", {"type": "error", "rc": "E_OVERLOAD", "retry_after_ms": 30000, "text": "over budget"}),
        ("revoked", {"type": "error", "rc": "E_REVOKED", "retry_after_ms": 0, "text": ""}),
        ("paused", {"type": "error", "rc": "E_PAUSED", "retry_after_ms": 300000, "text": "stocktaking"}),
        ("to be erased", {"type": "error", "rc": "E_WIPED", "retry_after_ms": 0, "text": "lost on 21 November"}),
    ],
}

VALUES = [(str(i), i) for i in (0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53, TOP, -1, -24, -25, -256, -257, -65536, -65537,
                                -2**32, -2**32 - 1, -2**63)]
VALUES += [("real " + x, {"real": "%.17g" % float(x)}) for x in (
    "0", "-0", "1", "-1", "1.5", "65504", "65505", "65536", "0.1", "5.9604644775390625e-08", "6.0975551605224609e-05",
    "6.103515625e-05", "2.9802322387695312e-08", "100000", "3.4028234663852886e+38", "3.4028235677973366e+38", "1.401298464324817e-45",
    "4.9406564584124654e-324", "1.7976931348623157e+308", "-4.0999999999999996", "16777217", "inf", "-inf")]
VALUES += [("empty text", ""), ("text of 23", "x" * 23), ("text of 24", "x" * 24), ("text of 256", "é" * 128), ("text with a zero byte", "a\0b"),
           ("every length of UTF-8", "a\u00e9\u20ac\U0001f9f3"), ("the last code point", "\U0010ffff"), ("empty blob", {"blob": ""}),
           ("blob of 24", {"blob": "ab" * 24}), ("null", None)]

INVALID_VALUES = [
    ("nothing", "", "E_MALFORMED"),
    ("1 in two bytes", "1801", "E_NOT_DETERMINISTIC"),
    ("255 in three bytes", "1900ff", "E_NOT_DETERMINISTIC"),
    ("65535 in five bytes", "1a0000ffff", "E_NOT_DETERMINISTIC"),
    ("2^32-1 in nine bytes", "1b00000000ffffffff", "E_NOT_DETERMINISTIC"),
    ("-1 in two bytes", "3800", "E_NOT_DETERMINISTIC"),
    ("2^63", "1b8000000000000000", "E_MALFORMED"),
    ("-2^63-1", "3b8000000000000000", "E_MALFORMED"),
    ("an integer cut off", "1901", "E_MALFORMED"),
    ("a reserved length", "1c", "E_MALFORMED"),
    ("a blob's length in two bytes", "580100", "E_NOT_DETERMINISTIC"),
    ("a blob cut off", "4200", "E_MALFORMED"),
    ("a blob of 2^64-1 bytes", "5bffffffffffffffff", "E_MALFORMED"),
    ("a text of 2^63 bytes", "7b8000000000000000", "E_MALFORMED"),
    ("an indefinite blob", "5f4100ff", "E_NOT_DETERMINISTIC"),
    ("an indefinite text", "7f6161ff", "E_NOT_DETERMINISTIC"),
    ("a lone continuation byte", "6180", "E_UTF8"),
    ("an overlong slash", "62c0af", "E_UTF8"),
    ("an overlong code point of three bytes", "63e08080", "E_UTF8"),
    ("a surrogate", "63eda080", "E_UTF8"),
    ("a code point above 10ffff", "64f4908080", "E_UTF8"),
    ("a character cut off", "62e282", "E_UTF8"),
    ("1.0 as single", "fa3f800000", "E_NOT_DETERMINISTIC"),
    ("1.0 as double", "fb3ff0000000000000", "E_NOT_DETERMINISTIC"),
    ("100000.0 as double", "fb40f86a0000000000", "E_NOT_DETERMINISTIC"),
    ("the smallest half as single", "fa33800000", "E_NOT_DETERMINISTIC"),
    ("infinity as single", "fa7f800000", "E_NOT_DETERMINISTIC"),
    ("infinity as double", "fb7ff0000000000000", "E_NOT_DETERMINISTIC"),
    ("NaN", "f97e00", "E_MALFORMED"),
    ("NaN as single", "fa7fc00000", "E_MALFORMED"),
    ("NaN as double", "fb7ff8000000000000", "E_MALFORMED"),
    ("undefined", "f7", "E_MALFORMED"),
    ("a boolean is no value of SQLite", "f5", "E_MALFORMED"),
    ("a simple value", "f0", "E_MALFORMED"),
    ("a tag", "c000", "E_MALFORMED"),
    ("a map", "a0", "E_MALFORMED"),
    ("an array is no value of SQLite", "80", "E_MALFORMED"),
    ("a lone break", "ff", "E_MALFORMED"),
    ("two items", "0000", "E_MALFORMED"),
]


def with_delta(groups):
    """A push of one transaction around a delta that may be wrong."""
    t = [1, bytes(8), 0, 0, 1, None, None, 0, True, groups]
    return enc([4, 1, [t]])


HIDDEN = [1, b"\x03\x01a", [2, 5]]  # column 2 of a row, seen up to 5


def with_unseen(*rows):
    """A push of one transaction whose author had not seen all."""
    return enc([4, 1, [[1, bytes(8), 0, 0, 1, None, None, 0, True, [], list(rows)]]])


def altered(m, at, item):
    """The message with one of its fields (0 is the type) put otherwise."""
    whole = [TYPES[m["type"]]] + fields(m)
    whole[at] = item
    return enc(whole)


def txns_altered(*changes):
    """A push of copies of one transaction, each with some of its ten fields put otherwise."""
    txns = []
    for change in changes:
        t = [1, bytes(8), 0, 0, 1, None, None, 0, True, []]
        for at, item in change.items():
            t[at] = item
        txns.append(t)
    return enc([4, 1, txns])


def one_result(**kw):
    r = {"number": 1, "rc": 0, "seq": 1, "effective": 1, "depends": 0, "table": 0, "key": b"", "text": "", **kw}
    return enc([5, [list(r.values())]])


def one_loss(*more, **kw):
    x = {"id": 1, "seq": 1, "number": 1, "table": 1, "column": 1, "rule": 0, "key": b"\x03\x01a", "kept": 1, "lost": 2, "kept_stamp": 1,
         "lost_stamp": 1, "kept_author": 1, **kw}
    return enc([9, [list(x.values())] + list(more)])


G = [1, 0, 1, [8], [1, 2]]  # table 1, put, one key column, column 2 set; one row

INVALID = [
    ("nothing", b"", "E_MALFORMED"),
    ("no array", enc(1), "E_MALFORMED"),
    ("an empty array", enc([]), "E_MALFORMED"),
    ("type 0", enc([0]), "E_MALFORMED"),
    ("type 15", enc([15]), "E_MALFORMED"),
    ("a past of no epochs", enc([1] + fields(hello()) + [[]]), "E_MALFORMED"),
    ("half a past epoch", enc([1] + fields(hello()) + [[bytes(8)]]), "E_MALFORMED"),
    ("17 past epochs", enc([1] + fields(hello()) + [[x for i in range(17) for x in (bytes([i] * 8), 1)]]), "E_LIMIT"),
    ("a view without a past", enc([1] + fields(hello()) + [12]), "E_MALFORMED"),
    ("half a past epoch before a view", enc([1] + fields(hello()) + [[bytes(8)], 12]), "E_MALFORMED"),
    ("a view of 2^63", enc([1] + fields(hello(past=[], view=2**63))), "E_LIMIT"),
    ("a hello with something after its view", enc([1] + fields(hello(past=[], view=12)) + [0]), "E_MALFORMED"),
    ("a hello with something after what waits", enc([1] + fields(hello(past=[], view=12)) + [[2, 3], 0]), "E_MALFORMED"),
    ("a hello with something after its storage", enc([1] + fields(hello(past=[], view=12, waiting=[])) + [[1, 2], 0]), "E_MALFORMED"),
    ("storage where what waits belongs", enc([1] + fields(hello(past=[], view=12)) + [[0, 2]]), "E_MALFORMED"),
    ("files that take nothing", enc([1] + fields(hello(past=[], view=12, waiting=[])) + [[0, 2]]), "E_MALFORMED"),
    ("files that take more than there is", enc([1] + fields(hello(past=[], view=12, waiting=[])) + [[3, 2]]), "E_MALFORMED"),
    ("storage of one number", enc([1] + fields(hello(past=[], view=12, waiting=[])) + [[3]]), "E_MALFORMED"),
    ("storage of three numbers", enc([1] + fields(hello(past=[], view=12, waiting=[])) + [[3, 4, 5]]), "E_MALFORMED"),
    ("room of 2^63", enc([1] + fields(hello(past=[], view=12, waiting=[])) + [[3, 2**63]]), "E_LIMIT"),
    ("nothing that waits", enc([1] + fields(hello(past=[], view=12)) + [[]]), "E_MALFORMED"),
    ("a table that waits without its changes", enc([1] + fields(hello(past=[], view=12)) + [[2, 3, 4]]), "E_MALFORMED"),
    ("no changes that wait", enc([1] + fields(hello(past=[], view=12)) + [[2, 0]]), "E_MALFORMED"),
    ("changes that wait in table 0", enc([1] + fields(hello(past=[], view=12)) + [[0, 3]]), "E_MALFORMED"),
    ("a table that waits twice", enc([1] + fields(hello(past=[], view=12)) + [[2, 3, 2, 3]]), "E_MALFORMED"),
    ("tables that wait and do not ascend", enc([1] + fields(hello(past=[], view=12)) + [[2, 3, 1, 3]]), "E_MALFORMED"),
    ("1,025 tables that wait", enc([1] + fields(hello(past=[], view=12)) + [[x for i in range(1025) for x in (i + 1, 1)]]), "E_LIMIT"),
    ("2^63 changes that wait", enc([1] + fields(hello(past=[], view=12)) + [[2, 2**63]]), "E_LIMIT"),
    ("the type is a text", enc(["hello"]), "E_MALFORMED"),
    ("an indefinite array", b"\x9f" + enc(11) + enc(3) + enc(1) + b"\xff", "E_NOT_DETERMINISTIC"),
    ("a byte behind the message", message({"type": "resolve", "number": 3, "action": 1}) + b"\0", "E_MALFORMED"),
    ("a field too many", enc([11, 3, 1, 0]), "E_MALFORMED"),
    ("a field too few", enc([11, 3]), "E_MALFORMED"),
    ("an array that counts more than it holds", Raw(b"\x83") + enc(11) + enc(3), "E_MALFORMED"),
    ("an array of 2^64-1 items", Raw(b"\x9b" + b"\xff" * 8) + enc(11), "E_MALFORMED"),
    ("the array's count in two bytes", Raw(b"\x98\x03") + enc(11) + enc(3) + enc(1), "E_NOT_DETERMINISTIC"),
    ("a number not in its shortest form", enc([11, Raw(b"\x18\x03"), 1]), "E_NOT_DETERMINISTIC"),
    ("a number of 2^63", enc([11, 2**63, 1]), "E_LIMIT"),
    ("a negative number", enc([11, -1, 1]), "E_MALFORMED"),
    ("an unknown action", enc([11, 3, 2]), "E_MALFORMED"),
    ("an action of 2^32+1", enc([11, 3, 2**32 + 1]), "E_LIMIT"),
    ("hello of version 2", altered(hello(), 1, 2), "E_VERSION"),
    ("hello of version 2 with other fields", enc([1, 2, "what a later version may add"]), "E_VERSION"),
    ("welcome of version 0", altered(welcome(), 1, 0), "E_VERSION"),
    ("an epoch of 7 bytes", altered(hello(), 3, bytes(7)), "E_MALFORMED"),
    ("an epoch of 9 bytes", altered(hello(), 3, bytes(9)), "E_MALFORMED"),
    ("an epoch that is a text", altered(hello(), 3, "12345678"), "E_MALFORMED"),
    ("a schema epoch of 2^32", altered(hello(), 5, 2**32), "E_LIMIT"),
    ("a snapshot of 0 that is not null", altered(hello(), 12, 0), "E_NOT_DETERMINISTIC"),
    ("software of 129 bytes", altered(hello(), 14, "x" * 129), "E_LIMIT"),
    ("software that is no UTF-8", altered(hello(), 14, Raw(b"\x61\xff")), "E_UTF8"),
    ("a welcome to view 2^63", enc([2] + fields(welcome(view=2**63))), "E_LIMIT"),
    ("a welcome with something after its view", enc([2] + fields(welcome(view=12)) + [0]), "E_MALFORMED"),
    ("a flag that is a number", altered(welcome(), 10, 1), "E_MALFORMED"),
    ("a known id of 7 bytes", altered(welcome(), 7, bytes(7)), "E_MALFORMED"),
    ("a migration's name of 129 bytes", enc([3, 1, "x" * 129, ""]), "E_LIMIT"),
    ("credit of 17", enc([6, 0, 17, 0]), "E_LIMIT"),
    ("1,025 transactions", enc([4, 1, Raw(head(4, 1025))]), "E_LIMIT"),
    ("a transaction of nine fields", enc([4, 1, [[1, bytes(8), 0, 0, 1, None, None, 0, True]]]), "E_MALFORMED"),
    ("a transaction of twelve fields", enc([4, 1, [[1, bytes(8), 0, 0, 1, None, None, 0, True, [], [HIDDEN], 0]]]), "E_MALFORMED"),
    ("nothing unseen", with_unseen(), "E_MALFORMED"),
    ("a row unseen that has two fields", with_unseen(HIDDEN[:2]), "E_MALFORMED"),
    ("a row unseen of table 0", with_unseen([0] + HIDDEN[1:]), "E_MALFORMED"),
    ("a row unseen without a key", with_unseen([1, b"", [2, 5]]), "E_MALFORMED"),
    ("a row unseen without columns", with_unseen(HIDDEN[:2] + [[]]), "E_MALFORMED"),
    ("a column unseen without a base", with_unseen(HIDDEN[:2] + [[2, 5, 3]]), "E_MALFORMED"),
    ("a column unseen twice", with_unseen(HIDDEN[:2] + [[2, 5, 2, 6]]), "E_MALFORMED"),
    ("columns unseen that descend", with_unseen(HIDDEN[:2] + [[3, 5, 2, 6]]), "E_MALFORMED"),
    ("a column unseen up to below 0", with_unseen(HIDDEN[:2] + [[2, -1]]), "E_MALFORMED"),
    ("a column unseen of 2^32", with_unseen(HIDDEN[:2] + [[2**32, 5]]), "E_LIMIT"),
    ("a column unseen up to 2^63", with_unseen(HIDDEN[:2] + [[2, 2**63]]), "E_LIMIT"),
    ("514 columns unseen", with_unseen(HIDDEN[:2] + [[n for i in range(514) for n in (i, 5)]]), "E_LIMIT"),
    ("transaction number 0", txns_altered({0: 0}), "E_MALFORMED"),
    ("a transaction id of 7 bytes", txns_altered({1: bytes(7)}), "E_MALFORMED"),
    ("a stamp below 0", txns_altered({2: -1}), "E_MALFORMED"),
    ("a stamp above 2^63-1", txns_altered({2: TOP}, {2: 1}), "E_MALFORMED"),
    ("a base below 0", txns_altered({3: 5}, {3: -6}), "E_MALFORMED"),
    ("a number above 2^63-1", txns_altered({0: TOP}, {}), "E_LIMIT"),
    ("resolves 0 that is not null", txns_altered({5: 0}), "E_NOT_DETERMINISTIC"),
    ("effective 0 that is not null", txns_altered({6: 0}), "E_NOT_DETERMINISTIC"),
    ("the same number twice", txns_altered({}, {0: 0}), "E_MALFORMED"),
    ("a part is missing", txns_altered({8: False}, {0: 0, 7: 2}), "E_MALFORMED"),
    ("a part after the last", txns_altered({}, {0: 0, 7: 1}), "E_MALFORMED"),
    ("a transaction before the last part of another", txns_altered({8: False}, {}), "E_MALFORMED"),
    ("a second transaction that begins with part 1", txns_altered({}, {7: 1}), "E_MALFORMED"),
    ("parts under two ids", txns_altered({8: False}, {0: 0, 1: b"\1" * 8, 7: 1}), "E_MALFORMED"),
    ("parts under two stamps", txns_altered({8: False}, {0: 0, 2: 1, 7: 1}), "E_MALFORMED"),
    ("parts under two bases", txns_altered({8: False}, {0: 0, 3: 1, 7: 1}), "E_MALFORMED"),
    ("a delta that is null", with_delta(None), "E_MALFORMED"),
    ("a group of four fields", with_delta([[1, 0, 1, []]]), "E_MALFORMED"),
    ("table 0", with_delta([[0, 0, 1, [8], [1, 2]]]), "E_MALFORMED"),
    ("table 2^32", with_delta([[2**32, 0, 1, [8], [1, 2]]]), "E_LIMIT"),
    ("operation 4", with_delta([[1, 4, 1, [], [1]]]), "E_MALFORMED"),
    ("no key columns", with_delta([[1, 0, 0, [8], [1]]]), "E_MALFORMED"),
    ("17 key columns", with_delta([[1, 2, 17, [], [1] * 17]]), "E_LIMIT"),
    ("column 0", with_delta([[1, 0, 1, [0], [1, 2]]]), "E_MALFORMED"),
    ("a column twice", with_delta([[1, 1, 1, [8, 8], [1, 2, 3]]]), "E_MALFORMED"),
    ("a column twice, in two kinds", with_delta([[1, 1, 1, [8, 9], [1, 2, 3]]]), "E_MALFORMED"),
    ("columns that descend", with_delta([[1, 0, 1, [12, 8], [1, 2, 3]]]), "E_MALFORMED"),
    ("513 columns", with_delta([[1, 0, 1, [4 * i + 4 for i in range(513)], [0] * 514]]), "E_LIMIT"),
    ("kind 3", with_delta([[1, 1, 1, [11], [1, 2]]]), "E_MALFORMED"),
    ("an insert that adds", with_delta([[1, 0, 1, [9], [1, 2]]]), "E_MALFORMED"),
    ("an insert that moves", with_delta([[1, 0, 1, [10], [1, 2, 3]]]), "E_MALFORMED"),
    ("a deletion with columns", with_delta([[1, 2, 1, [8], [1, 2]]]), "E_MALFORMED"),
    ("a leave with columns", with_delta([[1, 3, 1, [8], [1, 2]]]), "E_MALFORMED"),
    ("a group without rows", with_delta([[1, 0, 1, [8], []]]), "E_MALFORMED"),
    ("half a row", with_delta([[1, 0, 1, [8], [1, 2, 3]]]), "E_MALFORMED"),
    ("a move without what was seen", with_delta([[1, 1, 1, [10], [1, 2]]]), "E_MALFORMED"),
    ("NULL in a key", with_delta([[1, 0, 1, [8], [None, 2]]]), "E_MALFORMED"),
    ("two neighbouring groups that are one", with_delta([G, G]), "E_NOT_DETERMINISTIC"),
    ("a value that is true", with_delta([[1, 0, 1, [8], [1, True]]]), "E_MALFORMED"),
    ("a value that is an array", with_delta([[1, 0, 1, [8], [1, []]]]), "E_MALFORMED"),
    ("a value of 2^63", with_delta([[1, 0, 1, [8], [1, 2**63]]]), "E_MALFORMED"),
    ("a value that is NaN", with_delta([[1, 0, 1, [8], [1, Raw(b"\xf9\x7e\x00")]]]), "E_MALFORMED"),
    ("a value that is no UTF-8", with_delta([[1, 0, 1, [8], [1, Raw(b"\x61\xff")]]]), "E_UTF8"),
    ("a real not in its shortest form", with_delta([[1, 0, 1, [8], [1, Raw(b"\xfa\x3f\x80\0\0")]]]), "E_NOT_DETERMINISTIC"),
    ("1,025 results", enc([5, Raw(head(4, 1025))]), "E_LIMIT"),
    ("a result for number 0", one_result(number=0), "E_MALFORMED"),
    ("a result with a code that refuses nothing", one_result(rc=3, seq=0, effective=0), "E_MALFORMED"),
    ("a result with an unknown code", one_result(rc=69, seq=0, effective=0), "E_MALFORMED"),
    ("accepted without a seq", one_result(seq=0), "E_MALFORMED"),
    ("accepted without a stamp", one_result(effective=0), "E_MALFORMED"),
    ("accepted with words", one_result(text="but"), "E_MALFORMED"),
    ("refused at a seq", one_result(rc=47, effective=0), "E_MALFORMED"),
    ("refused with a key of no table", one_result(rc=47, seq=0, effective=0, key=b"\x03\x01a"), "E_MALFORMED"),
    ("refused with a damaged key", one_result(rc=47, seq=0, effective=0, table=1, key=b"\x03\x02a"), "E_MALFORMED"),
    ("refused with NULL in a key", one_result(rc=47, seq=0, effective=0, table=1, key=b"\x05"), "E_MALFORMED"),
    ("refused with 17 key values", one_result(rc=47, seq=0, effective=0, table=1, key=b"\x03\x01a" * 17), "E_MALFORMED"),
    ("refused with a key of 4,097 bytes", one_result(rc=47, seq=0, effective=0, table=1, key=b"\x03\x9f\x7e" + b"a" * 4094), "E_LIMIT"),
    ("refused in 513 bytes of words", one_result(rc=47, seq=0, effective=0, text="x" * 513), "E_LIMIT"),
    ("a page that goes back", altered(page(), 1, 5001), "E_MALFORMED"),
    ("a commit at seq 0", enc([7, 0, 1, 0, 0, False, [[0, 0, 0, []]]]), "E_MALFORMED"),
    ("commits that descend", enc([7, 0, 9, 0, 0, False, [[2, 0, 0, []], [1, 0, 0, []]]]), "E_MALFORMED"),
    ("an author of 2^32", enc([7, 0, 9, 0, 0, False, [[2, 2**32, 0, []]]]), "E_LIMIT"),
    ("a page of view 0", enc([7] + fields(page(view=0))), "E_NOT_DETERMINISTIC"),
    ("a page of view 2^63", enc([7] + fields(page(view=2**63))), "E_LIMIT"),
    ("a page of a view that is null", enc([7] + fields(page(view=None))), "E_MALFORMED"),
    ("a page with something after its commits", enc([7] + fields(page(view=12)) + [0]), "E_MALFORMED"),
    ("a snapshot of view 0", enc([8] + fields(snapshot(view=0))), "E_NOT_DETERMINISTIC"),
    ("a snapshot of a view below 0", enc([8] + fields(snapshot(view=-1))), "E_MALFORMED"),
    ("a snapshot with something after its ranges", enc([8] + fields(snapshot(view=12)) + [0]), "E_MALFORMED"),
    ("snapshot 0", altered(snapshot(), 1, 0), "E_MALFORMED"),
    ("sums of 65 ranges", altered(sums(), 3, [[1, None, None, 0, bytes(32)]] * 65), "E_LIMIT"),
    ("sums of table 0", altered(sums(), 3, [[0, None, None, 0, bytes(32)]]), "E_MALFORMED"),
    ("sums with a digest of 31 bytes", altered(sums(), 3, [[1, None, None, 0, bytes(31)]]), "E_MALFORMED"),
    ("sums between keys of two lengths", altered(sums(), 3, [[1, [1], [1, 2], 0, bytes(32)]]), "E_MALFORMED"),
    ("sums without a view", enc([13, 5000, []]), "E_MALFORMED"),
    ("a repair of more ranges than were compared", enc([14, 5000, 0, False, [[1, None, None, []]]]), "E_MALFORMED"),
    ("a repair that is cut and has no range", altered(repair(), 3, True), "E_MALFORMED"),
    ("a repair that compared 65 ranges", altered(repair(), 2, 65), "E_LIMIT"),
    ("a repair with rows of another table", altered(repair(), 4, [[2, None, None, [G]]]), "E_MALFORMED"),
    ("a range of table 0", altered(snapshot(), 7, [[0, None, None, []]]), "E_MALFORMED"),
    ("a range from an empty key", altered(snapshot(), 7, [[1, [], None, []]]), "E_MALFORMED"),
    ("a range from NULL", altered(snapshot(), 7, [[1, [None], None, []]]), "E_MALFORMED"),
    ("a range between keys of two lengths", altered(snapshot(), 7, [[1, [1], [1, 2], []]]), "E_MALFORMED"),
    ("a range with rows of another table", altered(snapshot(), 7, [[2, None, None, [G]]]), "E_MALFORMED"),
    ("a range with a deletion", altered(snapshot(), 7, [[1, None, None, [[1, 2, 1, [], [1]]]]]), "E_MALFORMED"),
    ("a range with rows of another key", altered(snapshot(), 7, [[1, [1, 1], None, [G]]]), "E_MALFORMED"),
    ("257 losses", enc([9, Raw(head(4, 257))]), "E_LIMIT"),
    ("loss 0", one_loss(id=0), "E_MALFORMED"),
    ("losses that do not ascend", one_loss([1, 1, 1, 1, 1, 0, b"\x03\x01a", 1, 2, 1, 1, 1]), "E_MALFORMED"),
    ("a loss without a table", one_loss(table=0), "E_MALFORMED"),
    ("a loss without a key", one_loss(key=b""), "E_MALFORMED"),
    ("rule 256", one_loss(rule=256), "E_LIMIT"),
    ("error 0", enc([12, 0, 0, ""]), "E_MALFORMED"),
    ("error 32,768", enc([12, 32768, 0, ""]), "E_LIMIT"),
]


def zstd(content, blocks, size=None, flags=0x20):
    """A zstd frame by hand (RFC 8878): single segment, content size in one byte, blocks as given."""
    size = bytes([len(content)]) if size is None else size
    return b"\x28\xb5\x2f\xfd" + bytes([flags]) + size + blocks


def block(data, last=1):
    return struct.pack("<I", len(data) << 3 | last)[:3] + data


RESOLVE = message({"type": "resolve", "number": 3, "action": 1})
SPACES = message({"type": "schema", "epoch": 1, "name": "x", "sql": " " * 200})
RUN = SPACES.index(b" ")

FRAMES = [
    ("a message as it is", RESOLVE, RESOLVE),
    ("one raw block", zstd(RESOLVE, block(RESOLVE)), RESOLVE),
    ("a raw block and a run", zstd(SPACES, block(SPACES[:RUN], 0) + struct.pack("<I", 200 << 3 | 1 << 1 | 1)[:3] + b" "), SPACES),
    ("nothing", b"", "E_MALFORMED"),
    ("a content size over the limit", zstd(b"", b"", size=struct.pack("<I", (4 << 20) + 1), flags=0xa0), "E_LIMIT"),
    ("a content size of 2^63", zstd(b"", b"", size=struct.pack("<Q", 2**63), flags=0xe0), "E_LIMIT"),
    ("no content size", zstd(RESOLVE, block(RESOLVE), size=b"\0", flags=0), "E_MALFORMED"),
    ("content of no bytes", zstd(b"", block(b"")), "E_MALFORMED"),
    ("less content than announced", zstd(RESOLVE, block(RESOLVE[:-1])), "E_MALFORMED"),
    ("more content than announced", zstd(RESOLVE, block(RESOLVE + b"\0")), "E_MALFORMED"),
    ("a byte behind the frame", zstd(RESOLVE, block(RESOLVE)) + b"\0", "E_MALFORMED"),
    ("a second frame", zstd(RESOLVE, block(RESOLVE)) * 2, "E_MALFORMED"),
    ("a skippable frame behind it", zstd(RESOLVE, block(RESOLVE)) + b"\x50\x2a\x4d\x18\0\0\0\0", "E_MALFORMED"),
    ("a frame cut off", zstd(RESOLVE, block(RESOLVE))[:-1], "E_MALFORMED"),
    ("only the magic", b"\x28\xb5\x2f\xfd", "E_MALFORMED"),
    ("a dictionary", b"\x28\xb5\x2f\xfd\x21\x01" + bytes([len(RESOLVE)]) + block(RESOLVE), "E_MALFORMED"),
]


# ---- files ----

def files():
    for kind, vectors in VALID.items():
        yield kind, "message", [{"name": n, "hex": message(m).hex(), "message": m} for n, m in vectors]
    yield "invalid", "message", [{"name": n, "hex": b.hex(), "error": e} for n, b, e in INVALID]
    yield "values", "value", [{"name": n, "hex": enc(from_json(v)).hex(), "value": v} for n, v in VALUES]
    yield "values_invalid", "value", [{"name": n, "hex": h, "error": e} for n, h, e in INVALID_VALUES]
    yield "frames", "frame", [{"name": n, "hex": f.hex(), **({"error": m} if isinstance(m, str) else {"unpacked": m.hex()})}
                              for n, f, m in FRAMES]


def text(of, vectors):
    lines = ",\n".join(" {" + ",\n  ".join("%s: %s" % (json.dumps(k), json.dumps(v, ensure_ascii=False)) for k, v in x.items()) + "}"
                       for x in vectors)
    return '{"of": "%s", "vectors": [\n%s\n]}\n' % (of, lines)


def main(check):
    stale = []
    for name, of, vectors in files():
        path = os.path.join(HERE, name + ".json")
        want = text(of, vectors)
        if not check:
            with open(path, "w", encoding="utf-8") as f:
                f.write(want)
        elif not os.path.exists(path) or open(path, encoding="utf-8").read() != want:
            stale.append(name + ".json")
    if stale:
        print("not what make_vectors.py writes: " + ", ".join(stale))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
