"""Values of SQLite: int, float, str, bytes, None. INTEGER 1 and REAL 1.0 are different values, which Python's == does not know."""
import hashlib
import struct

from .codes import Failure

INTEGER, REAL, TEXT, BLOB, NULL = 1, 2, 3, 4, 5


def same(a, b):
    return type(a) is type(b) and a == b


def put_length(n):
    """Big-endian base 128, the top bit set in all but the last byte."""
    out = [n & 0x7F]
    while n := n >> 7:
        out.append(n & 0x7F | 0x80)
    return bytes(reversed(out))


def put_value(v):
    """One value as a byte string: what keys, and digests, are made of."""
    if v is None:
        return bytes([NULL])
    if isinstance(v, int):
        return struct.pack(">Bq", INTEGER, v)
    if isinstance(v, float):
        return struct.pack(">Bd", REAL, v)
    kind, data = (TEXT, v.encode()) if isinstance(v, str) else (BLOB, v)
    return bytes([kind]) + put_length(len(data)) + data


def put_key(values):
    return b"".join(map(put_value, values))


def get_length(data, at):
    n = 0
    for i in range(9):
        if at >= len(data) or (i == 0 and data[at] == 0x80):
            break
        n = n << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            return n, at
    raise Failure("E_MALFORMED", "a length in a key")


def get_key(data):
    """The values of a key; checks that they are all of it, and none of them NULL."""
    values, at = [], 0
    while at < len(data):
        kind, at = data[at], at + 1
        if kind in (INTEGER, REAL) and at + 8 <= len(data):
            values.append(struct.unpack_from(">q" if kind == INTEGER else ">d", data, at)[0])
            at += 8
        elif kind in (TEXT, BLOB):
            n, at = get_length(data, at)
            part, at = data[at:at + n], at + n
            if len(part) != n:
                raise Failure("E_MALFORMED", "a key is cut off")
            try:
                values.append(part.decode() if kind == TEXT else part)
            except UnicodeDecodeError:
                raise Failure("E_UTF8", "a key") from None
        else:
            raise Failure("E_MALFORMED", "a type in a key")
    if len(values) > 16:
        raise Failure("E_MALFORMED", "too many values in a key")
    return values


def digest(rows):
    """(count, hexadecimal) of rows in key order, each a sequence of its values by ascending column id."""
    chain, count = bytes(32), 0
    for row in rows:
        chain = hashlib.sha256(chain + b"".join(map(put_value, row))).digest()
        count += 1
    return count, chain.hex()


def next_stamp(last, now_ms):
    """A hybrid logical clock: above everything seen, and not before the wall clock."""
    return max(last + 1, min(now_ms, (1 << 46) - 1) << 16)
