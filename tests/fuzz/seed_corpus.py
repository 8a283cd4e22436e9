#!/usr/bin/env python3
"""seed_corpus.py VECTORS OUT: writes the fuzzers' first inputs into OUT/message (every vector) and OUT/changeset."""
import json
import os
import struct
import sys


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def seed_messages(vectors, folder):
    for file in sorted(os.listdir(vectors)):
        if not file.endswith(".json"):
            continue
        with open(os.path.join(vectors, file), encoding="utf-8") as f:
            for i, vector in enumerate(json.load(f)["vectors"]):
                write(folder, "%s-%d" % (file[:-5], i), bytes.fromhex(vector["hex"]))


def seed_changesets(folder):
    integer = lambda i: b"\x01" + struct.pack(">q", i)
    real = lambda r: b"\x02" + struct.pack(">d", r)
    text = lambda s: b"\x03" + bytes([len(s)]) + s
    blob = lambda s: b"\x04" + bytes([len(s)]) + s
    null, absent = b"\x05", b"\x00"
    insert, update, delete = b"\x12\x00", b"\x17\x00", b"\x09\x00"
    table = b"T\x03\x01\x00\x00contact\x00"
    composite = b"T\x02\x02\x01line\x00"
    changes = [
        table + insert + integer(7) + text(b"Ada") + null,
        table + update + integer(7) + absent + real(1.5) + absent + absent + real(2.5),
        table + delete + integer(7) + text(b"Ada") + null + composite + insert + blob(b"\x00\xff") + text(b""),
    ]
    for i, change in enumerate(changes):
        write(folder, "changeset-%d" % i, b"\x00" + change)
    write(folder, "values", b"\x01" + integer(-1) + real(-0.0) + text(b"x" * 100) + blob(b"") + null + absent)
    base = struct.pack(">Q", 1767225600000 << 16)
    write(folder, "clock", b"\x02" + base + b"\x05\x90\x4e")
    write(folder, "clock-overrides", b"\x02" + base + b"\x05\x90\x4e" + b"\x02\x06\x05\x02" + b"\x09\x05\x00\xa0\x01")


def main(vectors, out):
    for name in ("message", "changeset"):
        os.makedirs(os.path.join(out, name), exist_ok=True)
    seed_messages(vectors, os.path.join(out, "message"))
    seed_changesets(os.path.join(out, "changeset"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
