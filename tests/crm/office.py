"""A small company for the checks of capabilities: its server with server/crm, its people, and the devices that they carry."""
import contextlib
import itertools
import json
import os
import sys
import time
import unicodedata

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))  # after this directory: both have an automation.py
import harness

SCHEMA = os.path.join(harness.ROOT, "server/crm")
DAY_MS = 86400000


def key(n):
    return f"x'{n:032x}'"


NORTH, SOUTH = key(0x7e01), key(0x7e02)  # teams, and territories with regions N and S of the same keys
ANN, BOB, EVE = key(0xa001), key(0xa002), key(0xa003)  # reps: Ann and Bob of the team North, Eve of South
MIA = key(0xa004)  # manager of the team North
TOM, UMA = key(0xa005), key(0xa006)  # agents
KIM, LEO = key(0xa007), key(0xa008)  # cashiers, each at the store of the same place
STORE, OTHER_STORE = key(0x5701), key(0x5702)

PEOPLE = f"""
INSERT INTO team(id, name, manager_id) VALUES({NORTH}, 'North', {MIA}), ({SOUTH}, 'South', NULL);
INSERT INTO territory(id, name, region_code) VALUES({NORTH}, 'North', 'N'), ({SOUTH}, 'South', 'S');
INSERT INTO store(id, name, region_code) VALUES({STORE}, 'High Street', 'N'), ({OTHER_STORE}, 'Harbour', 'S');
INSERT INTO user_account(id, name, email, role, team_id, store_id) VALUES
  ({ANN}, 'Ann Rep', 'ann@corp.example', 'rep', {NORTH}, NULL), ({BOB}, 'Bob Rep', 'bob@corp.example', 'rep', {NORTH}, NULL),
  ({EVE}, 'Eve Rep', 'eve@corp.example', 'rep', {SOUTH}, NULL), ({MIA}, 'Mia Manager', 'mia@corp.example', 'manager', {NORTH}, NULL),
  ({TOM}, 'Tom Agent', 'tom@corp.example', 'agent', NULL, NULL), ({UMA}, 'Uma Agent', 'uma@corp.example', 'agent', NULL, NULL),
  ({KIM}, 'Kim Cashier', 'kim@corp.example', 'cashier', NULL, {STORE}), ({LEO}, 'Leo Cashier', 'leo@corp.example', 'cashier', NULL, {OTHER_STORE});
INSERT INTO user_territory(user_id, territory_id) VALUES({ANN}, {NORTH}), ({BOB}, {NORTH}), ({EVE}, {SOUTH});
"""
CARRIERS = {"ann": ("rep", ANN), "bob": ("rep", BOB), "eve": ("rep", EVE), "mia": ("manager", MIA), "tom": ("agent", TOM), "uma": ("agent", UMA),
            "kim": ("till", STORE), "leo": ("till", OTHER_STORE)}


def folded(text):
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in decomposed if not unicodedata.category(c).startswith("M"))


def day_of(ms):
    return time.strftime("%Y-%m-%d", time.gmtime(ms // 1000))


def same(got, expected, what):
    if got != expected:
        if isinstance(got, list) and isinstance(expected, list):
            got, expected = [x for x in got if x not in expected][:3] or got[:3], [x for x in expected if x not in got][:3] or expected[:3]
        raise AssertionError(f"{what}: {got} instead of {expected}"[:1500])


def sync(*devices):
    """So that each has what the others sent."""
    for device in devices + devices[:-1]:
        device.sync()


FUNCTIONS = {"fold": lambda text: None if text is None else folded(str(text)), "day_of": lambda ms: None if ms is None else day_of(ms),
             "month_of": lambda ms: None if ms is None else day_of(ms)[:7]}


def ask(side, query):
    """What a view gives, on the server or on a device, with SQL functions of the engine's names: a list of tuples, blobs as literals. On a device it is the
    library that says it; on the server, where no program prints rows, functions made here."""
    if isinstance(side, harness.Device):
        return [tuple(json.loads(line).values()) for line in side.run("sql", "--json", "-", stdin=query + "\n;").stdout.splitlines()]
    with contextlib.closing(harness.open_file(side.store)) as db:
        for name, function in FUNCTIONS.items():
            db.create_function(name, 1, function, deterministic=True)
        db.create_function("satchel_now", 0, lambda: int(time.time() * 1000))
        return [tuple(f"x'{v.hex()}'" if isinstance(v, bytes) else v for v in row) for row in db.execute(query)]


class Office(harness.Case):
    """Runs `work(office)` in a company with the rules in `schema`. A device is there from when it is named: `office.ann` is Ann's, enrolled and synced."""

    def __init__(self, work, schema=SCHEMA):
        super().__init__()
        self.work, self.schema = work, schema
        self.numbers = itertools.count(0x100000)

    def runTest(self):
        self.hq = self.server(schema=self.schema)
        self.hq.sql(PEOPLE)
        self.work(self)

    def __getattr__(self, name):
        if name not in CARRIERS:
            raise AttributeError(name)
        profile, who = CARRIERS[name]
        device = self.device(name).enroll(self.hq, options=["--profile", profile, "--store" if profile == "till" else "--user", who])
        device.sync()
        setattr(self, name, device)
        return device

    def new(self):
        """A key that nothing has yet, as an SQL literal."""
        return key(next(self.numbers))

    def refusal(self, device, sql):
        """(name, text) of the server's refusal of what `sql` does on the device. The check has one at a time: it is discarded at once, on both sides."""
        device.sql(sql)
        device.sync()
        refused = device.read("SELECT n, name, text FROM satchel_rejected")
        self.assertEqual(len(refused), 1, f"refused {len(refused)} times: {sql}")
        device.run("rejected", "discard", refused[0][0])
        device.sync()
        return refused[0][1:]
