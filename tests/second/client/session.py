"""The conversation satchel.v1 over one WebSocket: hello, welcome, migrations, results, then pushes and pulls until everything is in step."""
import asyncio
import time

import websockets

from . import codec, frames
from .codes import NUMBERS, Failure, name_of
from .enrol import tls
from .store import PENDING

SUBPROTOCOL = "satchel.v1"
SOFTWARE = "second/1"
CREDIT = 4
PUSH_BYTES, PUSH_TXNS, WINDOW_BYTES = 256 << 10, 1024, 2 << 20


class Session:
    """One connection of a device. A test may override what is done with a message: each has a method on_TYPE."""

    def __init__(self, store, directory, subprotocol=SUBPROTOCOL, also=(), patience_s=60):
        self.store, self.directory, self.subprotocol, self.also, self.patience_s = store, directory, subprotocol, also, patience_s
        self.schema_epoch = self.head = None
        self.is_open = False
        self.is_copy = False
        self.awaits_view = False
        self.sent = 0            # all transactions up to this number were pushed on this connection
        self.flight = []         # of each push without an answer: (bytes, last number)
        self.frames = {"plain": 0, "zstd": 0}

    async def run(self):
        """Returns when everything is in step. Failure: what the server says, or what is wrong with it."""
        try:
            async with self.connect() as self.socket:
                if self.socket.subprotocol != self.subprotocol:
                    raise Failure("E_VERSION", f"the server does not speak {self.subprotocol}")
                await self.converse()
        except websockets.InvalidStatusCode as e:
            theirs = e.headers.get("Sec-WebSocket-Protocol")
            raise Failure("E_VERSION" if theirs else "E_NETWORK", f"the server speaks {theirs}" if theirs else str(e)) from None

    def connect(self):
        return websockets.connect(f"wss://{self.store.state('host')}:{self.store.state('port')}/sync", ssl=tls(self.directory), compression=None,
                                  subprotocols=[*self.also, self.subprotocol], max_size=frames.FRAME_BYTES, open_timeout=self.patience_s)

    async def converse(self):
        await self.say_hello()
        while not self.in_step():
            await self.receive()
            if self.is_open:
                await self.push()
        await self.say("pull", cursor=self.store.state("cursor"), credit=0, loss_cursor=self.store.state("loss_cursor"))

    def in_step(self):
        s = self.store
        return self.is_open and s.state("placed") and s.state("cursor") >= self.head and not self.flight and not s.count(PENDING) and not self.awaits_view

    async def say(self, message_type, **content):
        await self.send(codec.encode({"type": message_type, **content}))

    async def send(self, message):
        try:
            await self.socket.send(frames.pack(message))
        except websockets.ConnectionClosed:
            pass  # why, the server has said before it closed: receive() finds it

    async def receive(self):
        try:
            frame = await asyncio.wait_for(self.socket.recv(), self.patience_s)
        except websockets.ConnectionClosed as e:
            raise Failure("E_CLOSED", str(e)) from None
        except asyncio.TimeoutError:
            raise Failure("E_TIMEOUT", "the server said nothing") from None
        self.frames["zstd" if frame[:4] == frames.MAGIC else "plain"] += 1
        try:
            message = codec.decode(frames.unpack(frame))
            handler = getattr(self, "on_" + message["type"], None)
            if not handler:
                raise Failure("E_ORDER", f"a server does not send {message['type']}")
        except Failure as e:
            await self.say("error", code=NUMBERS[e.code], retry_after_ms=0, text=e.text[:100])
            raise
        await handler(message)

    # ---- the beginning ----

    async def say_hello(self):
        s = self.store
        self.is_open, self.sent, self.flight = False, 0, []
        await self.say("hello", version=1, incarnation=0 if self.is_copy else s.state("incarnation"), epoch=s.state("epoch") if s.state("placed") else None, cursor=s.state("cursor"),
                       schema_epoch=s.schema.epoch, schema_hash=s.schema.hash(),
                       last_number=s.state("last_number"), settled_number=s.state("settled_number"),
                       loss_cursor=s.state("loss_cursor"), now_ms=int(time.time() * 1000), pending=s.count(PENDING),
                       snapshot=s.state("snapshot"), snapshot_page=s.state("snapshot_page"), software=SOFTWARE, past=[],
                       view=s.state("view"))

    async def on_welcome(self, m):
        if self.store.is_other_copy(m["known_number"], m["known_id"]):
            raise OtherCopy()
        if m["schema_epoch"] < self.store.schema.epoch:
            raise Failure("E_SCHEMA", "the server's schema is older than this device's")
        self.store.take_welcome(m)
        self.head, self.schema_epoch, self.awaits_view = m["head"], m["schema_epoch"], "view" in m
        await self.pull_if_ready()

    async def on_forked(self, m):
        self.store.fork(m["incarnation"])
        self.is_copy = False
        await self.say_hello()

    async def on_schema(self, m):
        self.store.migrate(m["epoch"], m["name"], m["sql"])
        await self.pull_if_ready()

    async def pull_if_ready(self):
        """Pulls begin when the device stands at the server's schema epoch."""
        if self.store.schema.epoch == self.schema_epoch:
            await self.pull(CREDIT)

    async def pull(self, credit):
        await self.say("pull", cursor=self.store.state("cursor"), credit=credit, loss_cursor=self.store.state("loss_cursor"))

    # ---- up ----

    async def push(self):
        """Sends what waits and was not sent on this connection, as far as the window is open."""
        batch, size = [], 0
        for t in [t for t in self.store.waiting() if t["number"] > self.sent]:
            n = len(codec.encode({"type": "push", "incarnation": 1, "transactions": [{**t, "part": 0, "last": True}]}))
            if batch and (size + n > PUSH_BYTES or len(batch) == PUSH_TXNS):
                if not await self.send_batch(batch):
                    return
                batch, size = [], 0
            batch.append(t)
            size += n
        if batch:
            await self.send_batch(batch)

    async def send_batch(self, batch):
        data = codec.encode({"type": "push", "incarnation": self.store.state("incarnation"), "transactions": batch})
        while sum(n for n, _ in self.flight) + len(data) > WINDOW_BYTES and self.flight:
            await self.receive()
            if not self.is_open:
                return False
        self.sent = max(self.sent, batch[-1]["number"])
        self.flight.append((len(data), batch[-1]["number"] if any(t["last"] for t in batch) else 0))
        await self.send(data)
        return True

    async def on_results(self, m):
        results = m["results"]
        if not results and self.flight:
            self.flight.pop(0)  # the answer to a push of parts alone
        highest = max((r["number"] for r in results), default=0)
        self.flight = [(n, last) for n, last in self.flight if last == 0 or last > highest]
        self.store.take_results(results)
        self.head = max([self.head, *(r["seq"] for r in results)])

    # ---- down ----

    async def on_page(self, m):
        if m["from"] != self.store.state("cursor"):
            raise Failure("E_ORDER", f"a page from {m['from']}")
        rows, overlay = [row for commit in m["commits"] for row in commit["delta"]], self.store.overlay
        if m["more"] or m["part"]:
            with self.store.transaction():
                overlay.stage(m["part"], rows)
        if not m["more"]:
            overlay.take_page(overlay.staged() if m["part"] else rows, m["to"], m["high_stamp"], m.get("view"))
            self.awaits_view &= "view" not in m
        await self.pull(1)

    async def on_snapshot(self, m):
        s = self.store
        with s.transaction():
            if m["page"] == 0:
                s.db.execute("DELETE FROM stage")
                s.set_state(placed=0)
            elif m["id"] != s.state("snapshot") or m["page"] != s.state("snapshot_page"):
                raise Failure("E_ORDER", "another page of a snapshot than the next")
            s.overlay.stage(m["page"], [row for r in m["ranges"] for row in r["delta"]])
            s.set_state(snapshot=m["id"], snapshot_page=m["page"] + 1)
        if m["last"]:
            s.overlay.take_snapshot(m["seq"], m["high_stamp"], m.get("view", 0))
            self.awaits_view = False
        await self.pull(1)

    async def on_losses(self, m):
        self.store.take_losses(m["losses"])
        if m["losses"]:
            return
        self.is_open = True  # all is told that there was to tell: what has no result now is sent
        for number in self.store.discarded():
            await self.say("resolve", number=number, action=1)

    async def on_error(self, m):
        raise Failure(name_of(m["code"]), m["text"], m["retry_after_ms"])


class OtherCopy(Exception):
    """The server knows another transaction under a number of this file: it was copied, or put back (N3)."""
