"""What a fixture holds: a server's data directory and its devices' files as a version of Satchel left them, and what must come of them.

    state.tar.xz    server/ (killed, not stopped), schema/, ann.db, ann.db-satchel/ ...
    expected.json   when it was taken, and what the version that wrote it made of its own state
    vectors/        protocol/vectors of that version

settle() brings such a state up with the programs at hand and tells what became of it; make_fixtures does so with the programs that wrote
the state, the test with those of today, and both must come to the same."""
import datetime
import hashlib
import json
import os
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import harness  # noqa: E402

FIXTURES = os.environ.get("SATCHEL_FIXTURES") or os.path.join(HERE, "fixtures")
# In the order in which they come back. ann and bob have full outboxes, eve the half of a snapshot, gus everything.
DEVICES = ("ann", "bob", "eve", "gus")


def pack(directory, path):
    def keep(member):
        base = os.path.basename(member.name)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return None if base in ("lock", "control.sock") or base.endswith((".log", ".err", "-shm")) else member
    with tarfile.open(path, "w:xz", preset=9) as tar:
        for name in sorted(os.listdir(directory)):
            tar.add(os.path.join(directory, name), name, filter=keep)


def unpack(path, directory):
    with tarfile.open(path) as tar:
        tar.extractall(directory)


def versions():
    return sorted(os.listdir(FIXTURES))


def load(version):
    with open(os.path.join(FIXTURES, version, "expected.json"), encoding="utf-8") as f:
        return json.load(f)


def clock(taken):
    """An hour after the state was taken, for every program: certificates, the enrolment code and the horizon are as they were then."""
    at = datetime.datetime.fromisoformat(taken) + datetime.timedelta(hours=1)
    return ["env", "TZ=UTC", *harness.with_clock(at.strftime("@%Y-%m-%d %H:%M:%S"))]


class State:
    """An unpacked state with its server running, and every device's connections led to it."""

    def __init__(self, case, directory, taken, start=True):
        self.case, self.directory, self.prefix = case, directory, clock(taken)
        self.server = harness.Server(case, os.path.join(directory, "server"), os.path.join(directory, "schema"), prefix=self.prefix)
        case.servers.append(self.server)
        if start:
            self.server.start()
        self.devices = [self.device(name) for name in DEVICES]
        if start:
            for device in self.devices:
                device.route(self.server.sync_port)

    def device(self, name):
        return harness.Device(self.case, name, os.path.join(self.directory, name + ".db"), self.prefix)

    def settle(self):
        self.case.sync_all(*self.devices, rounds=2)
        self.case.assert_same(self.server, *self.devices)
        self.case.assert_sound(self.server, *self.devices)
        return observe(self.server, self.devices)


def short(literal):
    return literal if len(literal) <= 40 else f"{len(literal)} characters, sha256 {hashlib.sha256(literal.encode()).hexdigest()[:16]}"


def observe(server, devices):
    """Everything that a user or an admin could find out, in JSON."""
    return {
        "content": {table: [", ".join(map(short, row)) for row in rows] for table, rows in server.content().items()},
        "rejected": sorted("{device} {number} {code} {state}".format_map(r) for r in server.ctl("rejected", "--all")),
        "devices": {d.name: {
            # For how long a discard is kept that the server has heard of is each version's own affair.
            "outbox": dict(d.read("SELECT state, count(*) FROM satchel_outbox WHERE state<4 GROUP BY state ORDER BY state")),
            "last_number": d.one("SELECT coalesce(max(n), 0) FROM satchel_outbox"),
            "rejected": [f"{n} {name}" for n, name in d.read("SELECT n, name FROM satchel_rejected ORDER BY n")],
            "conflicts": sorted(", ".join(map(short, r)) for r in d.read(
                "SELECT n || '', tbl, key, col, rule, quote(kept), quote(lost) FROM satchel_conflicts")),
        } for d in devices},
    }
