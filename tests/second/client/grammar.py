"""CBOR by cbor2, and what to ask of an item: checks that give it back or raise the Failure that protocol/satchel.cddl names.

That bytes are in deterministic encoding is seen by encoding again, as the contract says: what a receiver accepts, it could have written."""
import io
import math

import cbor2
from cbor2.encoder import CBOREncoder

from .codes import Failure

VALUE_BYTES = 786432


def dump(item):
    """Not by cbor2.dumps: the compiled encoder of cbor2 5.4.6 does not know that 65504.0 fits half precision, the one in Python does."""
    out = io.BytesIO()
    CBOREncoder(out, canonical=True).encode(item)
    return out.getvalue()


def parse(data):
    """One CBOR item that is all of `data`."""
    stream = io.BytesIO(data)
    try:
        item = cbor2.CBORDecoder(stream).decode()
    except UnicodeDecodeError as e:
        raise Failure("E_UTF8", str(e)) from None
    except cbor2.CBORDecodeError as e:
        raise Failure("E_UTF8" if isinstance(e.__cause__, UnicodeDecodeError) else "E_MALFORMED", str(e)) from None
    except (MemoryError, OverflowError, RecursionError):
        raise malformed("counts more than it can hold") from None
    if stream.read(1):
        raise malformed("something stands behind the message")
    return item


def malformed(text):
    return Failure("E_MALFORMED", text)


def number(low, high=(1 << 63) - 1, below="E_MALFORMED", above="E_LIMIT"):
    def check(x):
        if type(x) is not int or x < 0 <= low:
            raise malformed("not a number where one belongs")
        if x < low or x > high:
            raise Failure(below if x < low else above, f"{x} is out of bounds")
        return x
    return check


def sized(kind, low, high, over="E_LIMIT"):
    def check(x):
        if type(x) is not kind:
            raise malformed(f"not a {kind.__name__}")
        n = len(x.encode()) if kind is str else len(x)
        if n < low or n > high:
            raise Failure(over if n > high else "E_MALFORMED", f"{n} bytes")
        return x
    return check


def fixed(n):
    return sized(bytes, n, n, over="E_MALFORMED")


def optional(check):
    return lambda x: None if x is None else check(x)


def is_bool(x):
    if type(x) is not bool:
        raise malformed("neither true nor false")
    return x


def is_list(x, low=0, high=None):
    if type(x) is not list or len(x) < low:
        raise malformed("not an array, or an empty one")
    if high is not None and len(x) > high:
        raise Failure("E_LIMIT", f"{len(x)} items")
    return x


def is_value(x, allow_null=True):
    if x is None and allow_null:
        return x
    if type(x) is int and -1 << 63 <= x < 1 << 63 or type(x) is float and not math.isnan(x):
        return x
    if type(x) in (str, bytes):
        return sized(type(x), 0, VALUE_BYTES)(x)
    raise malformed("no value of SQLite")


def key_value(x):
    return is_value(x, allow_null=False)


class Grammar:
    """An array of named fields. Each check takes what the array holds and gives what the dict does; unpack() is its inverse. Of the `optional` ones as many
    are there as the array has more than the others, the first named first."""

    def __init__(self, *fields, optional=()):
        self.fields = [(name, check, *(rest or (lambda x: x,))) for name, check, *rest in fields]
        self.optional = optional

    def read(self, items):
        absent = len(self.fields) - len(is_list(items))
        if not 0 <= absent <= len(self.optional):
            raise malformed("another number of fields")
        without = self.optional[len(self.optional) - absent:]
        return {name: check(item) for (name, check, _), item in zip([f for f in self.fields if f[0] not in without], items)}

    def write(self, content):
        items = [write(content[name]) for name, _, write in self.fields if name in content]
        self.read(items)
        return items


def many(grammar, high):
    return (lambda x: [grammar.read(i) for i in is_list(x, 0, high)], lambda x: [grammar.write(i) for i in x])


u63, positive, u32, id32 = number(0), number(1), number(0, (1 << 32) - 1), number(1, (1 << 32) - 1)
diff = number(-1 << 63, above="E_MALFORMED")


def decode_value(data):
    v = is_value(parse(data))
    if encode_value(v) != data:
        raise Failure("E_NOT_DETERMINISTIC", "not in deterministic encoding")
    return v


def encode_value(v):
    return dump(is_value(v))
