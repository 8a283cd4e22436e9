"""What the attacks share: one server with a device that behaves and one that does not, and what has to hold after each attack.

An attack is a test whose name says it. It is refused with its code; nothing of the store's content has changed, and the store is sound; a line of the log
says who and why; the device that behaves is connected all the time, and is served afterwards."""
import http.client
import os
import re
import socket
import ssl
import sys

import harness
import wire

sys.path.insert(0, os.path.join(harness.ROOT, "tests/second"))
from client import frames  # noqa: E402
from client.codes import NUMBERS, name_of  # noqa: E402

LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (error|warn|info|debug) ")
# Of every hello: above what any attack pushes, so that none is taken for a copied file.
LAST_NUMBER = 2**42
TLS_ENDS = (ssl.SSLError, wire.Closed, OSError)


class World(harness.Case):
    """Server and devices that the attacks of one class share."""
    evil_options = ()  # of satchelctl device add

    def __init__(self, schema=None, options=()):
        super().__init__("end_all")
        self.result = harness.unittest.TestResult()
        self.setUp()
        self.srv = self.server(schema=schema, options=options)
        self.good = self.device("good", self.srv)
        self.good.sync()
        self.evil = self.device("evil").enroll(self.srv, options=self.evil_options)
        self.evil.sync()
        self.watching = self.good.start("sync", "--watch")


class Attack(harness.unittest.TestCase):
    """`world` is made by make_world once for the class."""
    maxDiff = 2000
    options = ()
    # What the device that behaves does afterwards, and how the server shows it.
    served = "INSERT INTO contact(id, given) VALUES(x'{key}', 'served')"
    served_query = "SELECT count(*) FROM contact WHERE id = x'{key}'"

    @classmethod
    def make_world(cls):
        return World(options=cls.options)

    @classmethod
    def setUpClass(cls):
        cls.world = cls.make_world()
        cls.addClassCleanup(cls.world.doCleanups)
        cls.srv, cls.good, cls.evil = cls.world.srv, cls.world.good, cls.world.evil

    def run(self, result=None):
        self.result = result
        return super().run(result)

    def setUp(self):
        self.began = len(self.srv.read_log())
        self.before = self.digest()

    def tearDown(self):
        if any(test is self for test, _ in self.result.failures + self.result.errors):
            sys.stderr.write(f"--- the log of {self.id()}\n{self.srv.read_log()[self.began:][-1500:]}\n")
        self.assertIsNone(self.srv.process.poll(), "the server is gone")
        self.assertIsNone(self.world.watching.poll(), self.good.errors())
        self.assertEqual(self.digest(), self.before, "the attack changed the store")
        self.assertEqual(self.srv.ctl("verify")["problems"], 0)
        harness.check_output("satcheld", self.srv.read_log())
        for line in self.srv.read_log()[self.began:].splitlines():
            self.assertRegex(line, LINE, "something from outside made a line of the log")
        self.serves_others()

    def digest(self):
        done = harness.subprocess.run([harness.program("satchelctl"), "--data", self.srv.data, "digest"], capture_output=True, text=True, check=True)
        return done.stdout

    def serves_others(self):
        """A commit of the device that behaves goes up."""
        key = os.urandom(8).hex()
        self.good.sql(self.served.format(key=key))
        harness.wait_until(lambda: self.srv.one(self.served_query.format(key=key)), "the commit of the device that behaves")

    def logged(self, *patterns, since=None):
        """Waits until the log of this attack, or since that length of the log, has a line that matches all the patterns."""
        def find():
            lines = self.srv.read_log()[self.began if since is None else since:].splitlines()
            return next((line for line in lines if all(re.search(p, line) for p in patterns)), None)
        return harness.wait_until(find, f"a line of the log with {patterns}")

    # ---- the sync port ----

    def connect(self, device=None, greet=True, **options):
        link = wire.Wire(self.srv.sync_port, (device or self.evil).identity, **options)
        self.addCleanup(link.close)
        if greet:
            link.send(*self.srv.hello(last_number=LAST_NUMBER))
            answer = link.receive_type(wire.WELCOME)
            self.assertEqual(answer[0], wire.WELCOME, answer)
            link.receive_type(wire.LOSSES)  # the end of what it is told
        return link

    def receive(self, link):
        """The next message, unpacked."""
        data = link.receive_bytes()
        return wire.decode(frames.unpack(data))[0]

    def end_of(self, link):
        """The name of the error message before the end, None if there was none."""
        code = None
        try:
            while True:
                message = link.receive()
                if message[0] == wire.ERROR:
                    code = name_of(message[1])
        except TLS_ENDS:
            return code

    def results_of(self, link, *deltas, numbers=None, base=0):
        """Pushes a transaction for each delta; {number: result} where a result is (name of the code, words) or None for accepted."""
        numbers = numbers or range(1, len(deltas) + 1)
        stamp, transactions, before = int(harness.time.time() * 1000) << 16, [], 0
        for number, delta in zip(numbers, deltas):
            transactions.append([number - before, os.urandom(8), 1 if before else stamp, 0 if before else base, self.srv.epoch(), None, None, 0, True, delta])
            before = number
        link.send(wire.PUSH, link.incarnation, transactions)
        answer = link.receive_type(wire.RESULTS)
        self.assertEqual(answer[0], wire.RESULTS, answer)
        return {r[0]: r for r in answer[1]}

    def closed_with(self, name, data, greet=True, device=None):
        """Sends bytes as a message: the server names the error, closes, and logs the device."""
        link = self.connect(device, greet)
        try:
            link.send_bytes(data)
        except TLS_ENDS:
            pass
        self.assertEqual(self.end_of(link), name, f"{data[:40].hex()}")
        self.logged(f"reason={name}", r"device=(evil|[0-9a-f]{16})", "event=closed")

    def no_way_in(self, *log, **options):
        """Nobody gets through TLS and the upgrade with these options of a connection."""
        with self.assertRaises(TLS_ENDS):
            link = wire.Wire(self.srv.sync_port, options.pop("identity", None), **options)
            link.send(*self.srv.hello())
            raise AssertionError(f"was let in: {link.receive()}")
        if log:
            self.logged(*log)

    # ---- the HTTPS port ----

    def https(self, context=None, source=None):
        if not context:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = http.client.HTTPSConnection("127.0.0.1", self.srv.https_port, timeout=harness.PATIENCE_S, context=context,
                                           source_address=(source, 0) if source else None)
        self.addCleanup(link.close)
        return link

    def raw_https(self, request):
        """What the server answers to these bytes, until it closes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        answer = b""
        with context.wrap_socket(socket.create_connection(("127.0.0.1", self.srv.https_port), harness.PATIENCE_S)) as link:
            try:
                link.sendall(request)
                while data := link.recv(65536):
                    answer += data
            except TLS_ENDS:
                pass
        return answer

    def column_ids(self, table):
        tbl = self.srv.one("SELECT id FROM satchel_table WHERE name = ?", table)
        return tbl, dict(self.srv.read("SELECT name, id FROM satchel_column WHERE tbl_id = ?", tbl))


__all__ = ["Attack", "World", "NUMBERS", "name_of", "TLS_ENDS"]
