"""Messages: from bytes to dicts and back, by the grammar of protocol/satchel.cddl.

A message is {"type": name, ...} with the fields' names of the grammar, `_` for `-`; a delta is a list of Row. What must hold of a message is
asked of it in both directions: nothing leaves that would not be let in."""
from . import values
from .codes import Failure
from .delta import read_delta, write_delta
from .grammar import (Grammar, diff, dump, fixed, id32, is_bool, is_list, is_value, key_value, malformed, many, number, optional, parse, positive,
                      sized, u32, u63)

MESSAGE_BYTES = 4 << 20


def read_key(x):
    return values.get_key(sized(bytes, 0, 4096)(x))


# ---- the rules that stand beside the grammar ----

def read_unseen(rows):
    return [unseen_row.read(row) for row in is_list(rows, 1)]


def read_hidden(items):
    """{column: base} of (column, base) one after another."""
    if not is_list(items, 2) or len(items) % 2:
        raise malformed("columns and bases do not go in pairs")
    if len(items) > 2 * 513:
        raise Failure("E_LIMIT", "too many columns")
    columns = [u32(c) for c in items[::2]]
    if any(b <= a for a, b in zip(columns, columns[1:])):
        raise malformed("columns do not ascend")
    return dict(zip(columns, map(u63, items[1::2])))


def read_push(transactions):
    out, before = [], {"number": 0, "stamp": 0, "base": 0, "last": True, "part": 0, "id": None}
    for items in is_list(transactions, 0, 1024):
        t = {"unseen": [], **transaction.read(is_list(items)[:10]), **({"unseen": read_unseen(items[10])} if len(items) == 11 else {})}
        if len(items) > 11:
            raise malformed("another number of fields")
        goes_on = t["number"] == 0
        for field in ("number", "stamp", "base"):
            t[field] = number(0, above="E_LIMIT" if field == "number" else "E_MALFORMED")(before[field] + t[field])
        same = all(t[f] == before[f] for f in ("id", "stamp", "base"))
        if goes_on and (before["last"] or not same or t["part"] != before["part"] + 1):
            raise malformed("a part that does not follow the one before")
        if not goes_on and out and (not before["last"] or t["part"]):
            raise malformed("a transaction that does not begin where the one before ends")
        out.append(t)
        before = t
    return out


def write_push(transactions):
    out, before = [], {"number": 0, "stamp": 0, "base": 0}
    for t in transactions:
        unseen = [unseen_row.write(row) for row in t.get("unseen", ())]
        out.append(transaction.write({**t, **{f: t[f] - before[f] for f in before}}) + ([unseen] if unseen else []))
        before = {f: t[f] for f in before}
    return out


def read_result(items):
    r = result.read(items)
    if r["code"] == 0:
        number(1)(r["seq"]), number(1)(r["effective"])
        ok = not (r["depends"] or r["table"] or r["key"] or r["text"])
    else:
        ok = 40 <= r["code"] <= 58 and not r["seq"] and not r["effective"] and bool(r["table"]) >= bool(r["key"])
    if not ok:
        raise malformed("a result that contradicts itself")
    return r


def read_range(items):
    r = snapshot_range.read(items)
    widths = {len(key) for key in (r["from"], r["to"]) if key is not None} | {len(row.key) for row in r["delta"]}
    if len(widths) > 1 or any(row.table != r["table"] for row in r["delta"]):
        raise malformed("a range of another table or key")
    return r


def read_sum(items):
    r = sum_range.read(items)
    if len({len(key) for key in (r["from"], r["to"]) if key is not None}) > 1:
        raise malformed("a range between keys of two lengths")
    return r


def ascending(field, strictly):
    def check(entries):
        for a, b in zip(entries, entries[1:]):
            if b[field] < a[field] + strictly:
                raise malformed(f"{field} does not ascend")
        return entries
    return check


def read_past(x):
    if len(is_list(x, 0, 32)) % 2:
        raise malformed("half an epoch")
    return [{"epoch": fixed(8)(epoch), "seq": u63(seq)} for epoch, seq in zip(x[::2], x[1::2])]


def read_waiting(x):
    if len(is_list(x, 0, 2048)) % 2:
        raise malformed("half a table")
    return ascending("table", 1)([{"table": id32(table), "changes": positive(changes)} for table, changes in zip(x[::2], x[1::2])])


def read_storage(x):
    held, room = map(positive, is_list(x, 2)[:2])
    if len(x) > 2 or room < held:
        raise malformed("less room than is taken")
    return {"held": held, "room": room}


def no_zero(x):
    if type(x) is int and x == 0:
        raise Failure("E_NOT_DETERMINISTIC", "0 for null")
    return x if x is None else u63(x)


def named_view(x):
    if type(x) is int and x == 0:
        raise Failure("E_NOT_DETERMINISTIC", "a view of 0 is left out")
    return u63(x)


words = sized(str, 0, 512)
transaction = Grammar(
    ("number", u63), ("id", fixed(8)), ("stamp", diff), ("base", diff), ("schema_epoch", u32), ("resolves", no_zero), ("effective", no_zero),
    ("part", u32), ("last", is_bool), ("delta", lambda x: read_delta(x, (0, 1, 2)), write_delta))
unseen_row = Grammar(
    ("table", id32), ("key", lambda x: read_key(fixed_or_more(x)), values.put_key),
    ("columns", read_hidden, lambda x: [n for pair in sorted(x.items()) for n in pair]))
result = Grammar(
    ("number", positive), ("code", number(0, 32767)), ("seq", u63), ("effective", u63), ("depends", u63), ("table", u32),
    ("key", read_key, values.put_key), ("text", words))
commit = Grammar(("seq", positive), ("author", u32), ("stamp", u63), ("delta", read_delta, write_delta))
bound = optional(lambda x: [key_value(v) for v in is_list(x, 1, 16)])
snapshot_range = Grammar(("table", id32), ("from", bound), ("to", bound), ("delta", lambda x: read_delta(x, (0,)), write_delta))
sum_range = Grammar(("table", id32), ("from", bound), ("to", bound), ("rows", u63), ("digest", fixed(32)))
loss = Grammar(
    ("id", positive), ("seq", u63), ("number", u63), ("table", id32), ("column", u32), ("rule", number(0, 255)),
    ("key", lambda x: read_key(fixed_or_more(x)), values.put_key), ("kept", is_value), ("lost", is_value), ("kept_stamp", u63), ("lost_stamp", u63),
    ("kept_author", u32))


def fixed_or_more(x):
    return sized(bytes, 1, 4096)(x)


def action(x):
    return x if u32(x) == 1 else number(1, 1, above="E_MALFORMED")(x)


def version(x):
    if type(x) is int and x != 1:
        raise Failure("E_VERSION", f"the other side speaks version {x}")
    return u32(x)


losses_of, commits_of = many(loss, 256), many(commit, None)
MESSAGES = {1: ("hello", Grammar(
    ("version", version), ("incarnation", u32), ("epoch", optional(fixed(8))), ("cursor", u63), ("schema_epoch", u32), ("schema_hash", fixed(8)),
    ("last_number", u63), ("settled_number", u63), ("loss_cursor", u63), ("now_ms", u63), ("pending", u63), ("snapshot", no_zero),
    ("snapshot_page", u32), ("software", sized(str, 0, 128)), ("past", read_past, lambda x: [v for e in x for v in (e["epoch"], e["seq"])]),
    ("view", u63), ("waiting", read_waiting, lambda x: [v for t in x for v in (t["table"], t["changes"])]),
    ("storage", read_storage, lambda x: [x["held"], x["room"]]), optional=("past", "view", "waiting", "storage"))),
    2: ("welcome", Grammar(
        ("version", version), ("epoch", fixed(8)), ("epoch_start", u63), ("head", u63), ("schema_epoch", u32), ("known_number", u63),
        ("known_id", optional(fixed(8))), ("now_ms", u63), ("backup_seq", u63), ("snapshot", is_bool), ("view", u63), optional=("view",))),
    3: ("schema", Grammar(("epoch", u32), ("name", sized(str, 0, 128)), ("sql", sized(str, 0, 524288)))),
    4: ("push", Grammar(("incarnation", u32), ("transactions", read_push, write_push))),
    5: ("results", Grammar(("results", lambda x: [read_result(i) for i in is_list(x, 0, 1024)], lambda x: [result.write(i) for i in x]))),
    6: ("pull", Grammar(("cursor", u63), ("credit", number(0, 16)), ("loss_cursor", u63))),
    7: ("page", Grammar(
        ("from", u63), ("to", u63), ("high_stamp", u63), ("part", u32), ("more", is_bool), ("view", named_view),
        ("commits", lambda x: ascending("seq", 0)(commits_of[0](x)), commits_of[1]), optional=("view",))),
    8: ("snapshot", Grammar(
        ("id", positive), ("seq", u63), ("page", u32), ("last", is_bool), ("total_rows", u63), ("high_stamp", u63), ("view", named_view),
        ("ranges", lambda x: [read_range(i) for i in is_list(x)], lambda x: [snapshot_range.write(i) for i in x]), optional=("view",))),
    9: ("losses", Grammar(("losses", lambda x: ascending("id", 1)(losses_of[0](x)), losses_of[1]))),
    10: ("forked", Grammar(("incarnation", u32), ("from_number", u63))),
    11: ("resolve", Grammar(("number", u63), ("action", action))),
    12: ("error", Grammar(("code", number(1, 32767)), ("retry_after_ms", u63), ("text", words))),
    13: ("sums", Grammar(("cursor", u63), ("view", u63), ("ranges", lambda x: [read_sum(i) for i in is_list(x, 0, 64)], lambda x: [sum_range.write(i) for i in x]))),
    14: ("repair", Grammar(
        ("seq", u63), ("compared", number(0, 64)), ("cut", is_bool),
        ("ranges", lambda x: [read_range(i) for i in is_list(x, 0, 64)], lambda x: [snapshot_range.write(i) for i in x])))}
TYPES = {name: number for number, (name, _) in MESSAGES.items()}


def decode(data):
    if len(data) > MESSAGE_BYTES:
        raise Failure("E_LIMIT", "a message is too long")
    items = is_list(parse(data), 1)
    name, grammar = MESSAGES.get(items[0] if type(items[0]) is int else 0, (None, None))
    if not name:
        raise malformed("no type of message")
    if name in ("hello", "welcome") and len(items) > 1:
        version(items[1])
    content = grammar.read(items[1:])
    if name == "repair" and (len(content["ranges"]) > content["compared"] or (content["cut"] and not content["ranges"])):
        raise malformed("a repair of what was not compared")
    if name == "page" and content["from"] > content["to"]:
        raise malformed("a page that goes back")
    if name == "hello" and (content.get("past") == [] and "view" not in content or content.get("waiting") == [] and "storage" not in content):
        raise malformed("an end of nothing")
    if dump(items) != data:
        raise Failure("E_NOT_DETERMINISTIC", "not in deterministic encoding")
    return {"type": name, **content}


def encode(message):
    return dump([TYPES[message["type"]], *MESSAGES[TYPES[message["type"]]][1].write(message)])


