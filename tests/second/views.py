"""The second client with pages, leaves and snapshots of views (protocol/README.md, "Scope"), given by hand: every message goes through the codec."""
import asyncio
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from client import codec  # noqa: E402
from client.codes import Failure  # noqa: E402
from client.delta import Column, Row  # noqa: E402
from client.session import Session  # noqa: E402
from client.store import Store  # noqa: E402

SCHEMA = ("CREATE TABLE deal(id INTEGER PRIMARY KEY, name TEXT, amount INTEGER, stage TEXT DEFAULT 'new');"
          "INSERT INTO satchel_table(name) VALUES('deal');")
NAME, AMOUNT, STAGE = 2, 3, 4


class Hand(Session):
    """A session without a line: what it says is kept."""

    def __init__(self, store):
        super().__init__(store, None)
        self.said, self.head = [], 0

    async def say(self, message_type, **content):
        self.said.append(codec.decode(codec.encode({"type": message_type, **content})))

    def hello(self):
        asyncio.run(self.say_hello())
        return self.said.pop()

    def give(self, **message):
        message = codec.decode(codec.encode(message))
        asyncio.run(getattr(self, "on_" + message["type"])(message))


def put(key, **columns):
    ids = {"name": NAME, "amount": AMOUNT, "stage": STAGE}
    return Row(1, "put", [key], [Column(ids[n], "set", v) for n, v in columns.items()])


class Views(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.open()
        self.store.migrate(1, "1.sql", SCHEMA)
        self.store.set_state(epoch=b"EPOCHone", placed=1)
        self.page(10, put(1, name="Ann", amount=5, stage="won"), put(2, name="Ben", amount=7, stage="won"))

    def open(self):
        self.store = Store(os.path.join(self.dir.name, "second.db"))
        self.addCleanup(self.store.db.close)
        self.hand = Hand(self.store)

    def page(self, to, *rows, part=0, more=False, **view):
        self.hand.give(type="page", **{"from": self.store.state("cursor")}, to=to, high_stamp=0, part=part, more=more,
                       commits=[{"seq": to, "author": 0, "stamp": 1, "delta": list(rows)}] if rows else [], **view)

    def leave(self, to, key):
        self.page(to, Row(1, "leave", [key], []))

    def snapshot(self, page, last, *rows, **view):
        self.hand.give(type="snapshot", id=7, seq=50, page=page, last=last, total_rows=9, high_stamp=0,
                       ranges=[{"table": 1, "from": None, "to": None, "delta": list(rows)}], **view)

    def lose(self, *keys):
        self.hand.give(type="losses", losses=[
            {"id": i + 1, "seq": 12, "number": 0, "table": 1, "column": NAME, "rule": 0, "key": [key], "kept": "secret", "lost": "word",
             "kept_stamp": 1, "lost_stamp": 1, "kept_author": 1} for i, key in enumerate(keys)])

    def shown(self):
        return self.store.db.execute("SELECT id, name, amount, stage FROM deal ORDER BY id").fetchall()

    def sent(self):
        return [(t["number"], t["base"], t["unseen"][0]["columns"] if t["unseen"] else {}) for t in self.store.waiting()]

    def test_S4_hello_tells_the_view_as_of_the_cursor(self):
        self.assertEqual(self.hand.hello()["view"], 0)
        self.page(11, more=True, view=3)
        self.assertEqual(self.hand.hello()["view"], 0)
        self.page(11, part=1, view=3)
        self.assertEqual(self.hand.hello()["view"], 3)
        self.page(12)
        self.open()
        self.assertEqual(self.hand.hello()["view"], 3)
        self.snapshot(0, False, view=4)
        hello = self.hand.hello()
        self.assertEqual((hello["view"], hello["epoch"], hello["cursor"], hello["snapshot"]), (3, None, 12, 7))
        self.snapshot(1, True, view=4)
        hello = self.hand.hello()
        self.assertEqual((hello["view"], hello["epoch"], hello["cursor"]), (4, b"EPOCHone", 50))
        self.snapshot(0, True)
        self.assertEqual(self.hand.hello()["view"], 0)

    def test_S3_edit_of_a_row_that_left_is_sent_with_its_base_and_shows_again_when_it_enters(self):
        self.store.write(("update", "deal", (1,), {"amount": 6}))
        self.leave(15, 1)
        self.assertEqual(self.shown(), [(2, "Ben", 7, "won")])
        self.open()
        self.assertEqual(self.sent(), [(1, 10, {})])
        self.page(20, put(1, name="Anna", amount=9, stage="won"))
        self.assertEqual(self.shown()[0], (1, "Anna", 6, "won"))
        self.store.write(("update", "deal", (1,), {"amount": 8}))
        self.assertEqual(self.sent(), [(1, 10, {}), (2, 20, {AMOUNT: 10})])

    def test_M16_insert_over_a_row_that_is_away_does_not_know_it(self):
        self.store.write(("update", "deal", (1,), {"amount": 6}))
        self.leave(15, 1)
        self.store.write(("insert", "deal", {"id": 1, "name": "mine"}))
        self.assertEqual(self.shown()[0], (1, "mine", None, "new"))
        self.hand.give(type="results", results=[{"number": 1, "code": 58, "seq": 0, "effective": 0, "depends": 0, "table": 0, "key": [], "text": ""}])
        self.store.write(("update", "deal", (1,), {"amount": 8}))
        self.assertEqual(self.sent(), [(2, 15, {0: 10}), (3, 15, {0: 10})])

    def test_S5_of_a_row_that_left_nothing_is_kept(self):
        self.page(11, put(1, name="secret", amount=5, stage="won"))
        self.store.write(("update", "deal", (1,), {"amount": 6}))
        self.page(12, put(1, name="another secret", amount=5, stage="won"))
        self.lose(1, 2)
        self.leave(15, 1)
        self.assertEqual(self.store.db.execute("SELECT id, lost FROM loss WHERE kept IS NULL").fetchall(), [(1, "word")])
        self.store.db.execute("DELETE FROM loss WHERE kept IS NOT NULL")
        self.assertNotIn("secret", "".join(self.store.db.iterdump()))

    def test_S1_put_is_a_whole_row(self):
        self.store.write(("update", "deal", (1,), {"name": "mine"}))
        self.page(11, put(1, name="Anna"), put(2, name="Bert"))
        self.assertEqual(self.shown(), [(1, "mine", None, "new"), (2, "Bert", None, "new")])

    def test_S5_snapshot_of_a_view_takes_rows_away_as_a_leave_does(self):
        self.store.write(("update", "deal", (1,), {"amount": 6}))
        self.lose(1, 2)
        self.snapshot(0, True, put(2, name="Ben", amount=7), view=3)
        self.assertEqual(self.shown(), [(2, "Ben", 7, "new")])
        self.assertNotIn("Ann", "".join(self.store.db.iterdump()))
        self.assertEqual(self.store.db.execute("SELECT id FROM loss WHERE kept IS NULL").fetchall(), [(1,)])
        self.page(51, put(1, name="Anna", amount=9))
        self.assertEqual(self.shown()[0], (1, "Anna", 6, "new"))
        self.store.write(("update", "deal", (1,), {"amount": 8}))
        self.assertEqual(self.sent(), [(1, 10, {}), (2, 51, {AMOUNT: 10})])

    def test_codec_view_has_one_form(self):
        for message in ({"type": "hello", **self.hand.hello(), "view": 1 << 63},
                        {"type": "page", "from": 1, "to": 2, "high_stamp": 0, "part": 0, "more": False, "view": 0, "commits": []}):
            with self.assertRaises(Failure):
                codec.encode(message)


if __name__ == "__main__":
    unittest.main()
