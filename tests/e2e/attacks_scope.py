"""The attack list, of who is let in and may hold a part only: rows out of its scope by their keys, writes to them, masked columns, another device's view."""
import os
import time

import harness
import wire
from attackers import TLS_ENDS, Attack, World

from client import frames  # noqa: E402

OFFICE = os.path.join(harness.ROOT, "tests/schemas/office")
NORTH, SOUTH, SOUTH_VISIT = b"north-1", b"south-1", b"visit-s1"
# What must never reach the attacker: content of the south, its children, and the masked column of its own rows.
CANARIES = (b"CANARY-SOUTH", b"CANARY-VISIT", b"CANARY-MASK")
SCOPE = 58


class Office(World):
    evil_options = ("--profile", "rep", "--user", "'north'")

    def __init__(self):
        super().__init__(schema=OFFICE)
        x = lambda key: "x'" + key.hex() + "'"
        self.srv.sql(f"INSERT INTO client(id, region, name, secret) VALUES({x(NORTH)}, 'north', 'Nora', 'CANARY-MASK-north'),"
                     f" ({x(SOUTH)}, 'south', 'CANARY-SOUTH', 'CANARY-MASK-south');"
                     f"INSERT INTO visit(id, client_id, note) VALUES({x(SOUTH_VISIT)}, {x(SOUTH)}, 'CANARY-VISIT'), (x'6e31', {x(NORTH)}, 'seen');")


class Scope(Attack):
    served = "INSERT INTO client(id, region, name) VALUES(x'{key}', 'south', 'CANARY-SOUTH')"
    served_query = "SELECT count(*) FROM client WHERE id = x'{key}'"
    numbers = 0

    @classmethod
    def make_world(cls):
        return Office()

    def setUp(self):
        super().setUp()
        self.heard = b""

    def hear(self, link):
        """The next message of a connection, and the check that nothing in it is another's."""
        data = frames.unpack(link.receive_bytes())
        self.heard += data
        for canary in CANARIES:
            self.assertNotIn(canary, data, "this device was sent what it may not hold")
        return wire.decode(data)[0]

    def hear_type(self, link, *wanted):
        while True:
            message = self.hear(link)
            if message[0] in (*wanted, wire.ERROR):
                return message

    def everything(self, *hello_tail, cursor=0):
        """All that the server sends to who asks for everything."""
        link = self.connect(greet=False)
        hello = self.srv.hello(last_number=2**42)
        hello[4] = cursor
        link.send(*hello, *hello_tail)
        welcome = self.hear_type(link, wire.WELCOME)
        self.assertEqual(welcome[0], wire.WELCOME, welcome)
        link.send(wire.PULL, 0, 16, 0)
        at = 0
        while at < welcome[4]:
            message = self.hear_type(link, wire.SNAPSHOT, wire.PAGE)
            self.assertNotEqual(message[0], wire.ERROR, message)
            if message[0] == wire.PAGE or message[4]:
                at = message[2]
            link.send(wire.PULL, 0, 1, 0)
        self.assertIn(b"Nora", self.heard, "not even its own rows")
        return link

    def push(self, *delta, link=None):
        """One transaction of the attacker's: its result."""
        link = link or self.connected()
        Scope.numbers += 1
        link.send(wire.PUSH, 1, [[2**41 + Scope.numbers, os.urandom(8), int(time.time() * 1000) << 16, link.head,
                                  self.srv.epoch(), None, None, 0, True, list(delta)]])
        answer = self.hear_type(link, wire.RESULTS)
        self.assertEqual(answer[0], wire.RESULTS, answer)
        return answer[1][0]

    def connected(self):
        link = self.connect(greet=False)
        link.send(*self.srv.hello(last_number=2**42), [], 0)
        welcome = self.hear_type(link, wire.WELCOME)
        self.assertEqual(welcome[0], wire.WELCOME)
        link.epoch, link.head = welcome[2], welcome[4]
        return link

    def row(self, op, table, key, **values):
        tbl, columns = self.column_ids(table)
        names = sorted(values, key=columns.get)
        return [tbl, op, 1, [columns[n] << 2 for n in names], [key, *(values[n] for n in names)]]

    def refused(self, delta, *codes):
        result = self.push(delta)
        self.assertIn(result[1], codes or (SCOPE,), result)
        self.logged("event=refused", "device=evil", "reason=E_")
        return result

    def test_scope_row_of_another_bucket_is_never_sent(self):
        link = self.everything([], 0)
        # Nor afterwards: what others do there is not told either.
        self.srv.sql(f"UPDATE client SET phone = 'CANARY-SOUTH' WHERE id = x'{SOUTH.hex()}'; UPDATE client SET phone = '1' WHERE id = x'{NORTH.hex()}'")
        self.assertEqual(self.hear_type(link, wire.PAGE)[0], wire.PAGE)
        self.before = self.digest()

    def test_scope_update_and_delete_of_a_row_out_of_scope_by_key_refused(self):
        self.refused(self.row(1, "client", SOUTH, name="mine"))
        self.refused(self.row(2, "client", SOUTH))
        self.refused(self.row(2, "visit", SOUTH_VISIT))
        self.logged("event=refused", "device=evil", "reason=E_SCOPE")

    def test_scope_row_out_of_scope_cannot_be_pulled_into_it(self):
        self.refused(self.row(1, "client", SOUTH, region="north"))
        self.refused(self.row(1, "visit", SOUTH_VISIT, client_id=NORTH))
        self.logged("event=refused", "device=evil", "reason=E_SCOPE")

    def test_scope_insert_over_a_key_out_of_scope_tells_nothing_of_the_row(self):
        # As refused as where there is no row; and the words hold no value of it.
        there = self.refused(self.row(0, "client", SOUTH, name="mine"), SCOPE, 44)
        nowhere = self.refused(self.row(0, "client", b"nowhere", name="mine"))
        self.assertEqual(there[1], nowhere[1], "the code tells whether a row is there")

    def test_scope_insert_below_a_row_out_of_scope_refused(self):
        self.refused(self.row(0, "visit", b"intruder", client_id=SOUTH, note="x"), SCOPE, 49)

    def test_scope_write_without_the_right_refused(self):
        self.refused(self.row(1, "client", NORTH, region="south"))
        self.refused(self.row(2, "client", NORTH))
        self.refused(self.row(0, "client", b"new", region="north", name="x"))
        self.logged("event=refused", "device=evil", "reason=E_SCOPE")

    def test_scope_masked_column_neither_sent_nor_written(self):
        self.everything([], 0)
        self.refused(self.row(1, "client", NORTH, secret="mine"))
        self.logged("event=refused", "device=evil", "reason=E_SCOPE")
        self.assertEqual(self.srv.one("SELECT secret FROM client WHERE id = ?", NORTH), "CANARY-MASK-north")

    def test_scope_view_of_another_device_gives_nothing(self):
        """Whatever view a hello claims to hold, what is sent is the device's own."""
        here = self.connected()
        for view in (0, 1, 2, 3, 2**40):
            self.everything([], view)
            hello = self.srv.hello(last_number=2**42)
            hello[3], hello[4] = here.epoch, here.head
            link = self.connect(greet=False)
            link.send(*hello, [], view)
            try:
                if self.hear_type(link, wire.WELCOME)[0] == wire.WELCOME:
                    link.send(wire.PULL, here.head, 8, 0)
                    link.socket.settimeout(0.5)
                    for _ in range(8):
                        self.hear(link)
            except (TimeoutError, *TLS_ENDS):
                pass

    def test_scope_device_that_knows_no_views_refused(self):
        """A hello without a view says that it can only hold everything."""
        self.closed_with("E_VERSION", wire.encode(self.srv.hello(last_number=2**42)), greet=False)

    def test_scope_refusals_carry_nothing_of_the_row_that_they_protect(self):
        self.refused(self.row(1, "client", SOUTH, name="mine"))
        # All refusals again, as they are told to who connects.
        link = self.connected()
        while self.hear(link)[0] != wire.RESULTS:
            pass


if __name__ == "__main__":
    harness.main()
