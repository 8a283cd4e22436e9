"""Real processes for the end-to-end tests: servers, devices, a network that can be cut, and what to compare.

A test is a Case. It asks for servers, devices and proxies, which lie in a directory of its own and end with it. Every process that ends by
itself is looked at: a sanitizer's report, or an exit status that the test did not expect, fails the test. Python's standard library alone."""
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import wire

BIN = os.environ.get("SATCHEL_BIN", "build/tools")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MUSIC = os.path.join(ROOT, "tests/schemas/music")
# A sanitizer build on a busy machine is slow; nothing waits this long unless something is wrong.
PATIENCE_S = int(os.environ.get("SATCHEL_PATIENCE_S", 120))
SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error):?.*")


def program(name):
    return os.path.join(BIN, name)


def preloaded(*command):
    """What stands before a program that runs with a library of its own preloaded, before the sanitizer's."""
    return ["env", "ASAN_OPTIONS=" + os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0", *command]


def with_clock(shift):
    """What stands before a program whose wall clock is off by so much, as in "+1d". Not the program faketime: it would stay between us and the other."""
    library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not library:
        raise AssertionError("needs Debian's package faketime: tools/install-deps test")
    return preloaded("FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME=" + shift, "LD_PRELOAD=" + library[0])


def wait_until(condition, what, timeout_s=PATIENCE_S, pause_s=0.02):
    """Returns the first true value of condition()."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}")
        time.sleep(pause_s)


def check_output(name, text):
    found = SANITIZER.search(text)
    if found:
        raise AssertionError(f"{name}: {found.group(0)}\n{text[-6000:]}")


def open_file(path):
    """A plain connection that only reads: what anybody sees without the library."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    db.isolation_level = None
    return db


def content(path):
    """{table: [rows]} of the synced tables, every value as an SQL literal, in key order."""
    with contextlib.closing(open_file(path)) as db:
        db.execute("BEGIN")
        tables = [r[0] for r in db.execute("SELECT DISTINCT name FROM satchel_table ORDER BY name")]
        out = {}
        for table in tables:
            columns = list(db.execute(f'PRAGMA table_info("{table}")'))
            names = [c[1] for c in columns if c[1] not in ("satchel_clock", "satchel_set")]
            key = [c[1] for c in sorted((c for c in columns if c[5]), key=lambda c: c[5])]
            if names:
                out[table] = list(db.execute("SELECT %s FROM \"%s\" ORDER BY %s" % (
                    ",".join(f'quote("{n}")' for n in names), table, ",".join(f'"{n}"' for n in key))))
        return out


class File:
    """What a server's store and a device's database, at `path`, tell who looks into them."""

    def read(self, query, *values):
        with contextlib.closing(open_file(self.path)) as db:
            return db.execute(query, values).fetchall()

    def one(self, query, *values):
        return self.read(query, *values)[0][0]

    def content(self):
        return content(self.path)


class Server(File):
    """satcheld on a data directory. Ports are picked at the first start and kept over restarts."""

    def __init__(self, case, data, schema=None, options=(), prefix=()):
        self.case, self.data, self.schema, self.options, self.prefix = case, data, schema, list(options), list(prefix)
        self.log = data + ".log"
        self.path = self.store = os.path.join(data, "store.db")
        self.process = None
        self.sync_port = self.https_port = 0

    def start(self, *options, expect_failure=False):
        command = [*self.prefix, program("satcheld"), "--data", self.data, "--sync-port", str(self.sync_port), "--https-port", str(self.https_port)]
        if self.schema:
            command += ["--schema", self.schema]
        command += self.options + list(options)
        if expect_failure:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
            check_output("satcheld", done.stderr)
            return done
        end = time.monotonic() + PATIENCE_S
        while True:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            ready = select.select([self.process.stdout], [], [], PATIENCE_S)[0]
            line = self.process.stdout.readline() if ready else ""
            if line.startswith("satcheld: ready"):
                break
            status = self.process.wait(10) if ready else None
            # A port that was ours a moment ago may serve as the near end of somebody's connection now.
            if not re.search("in use|ERROR on binding", self.read_log()[-1000:]) or time.monotonic() > end:
                raise AssertionError(f"satcheld did not start (status {status}): {self.read_log()[-3000:]}")
            self.process.stdout.close()
            time.sleep(0.2)
        with open(os.path.join(self.data, "ports.json"), encoding="utf-8") as f:
            ports = json.load(f)
        self.sync_port, self.https_port = ports["sync_port"], ports["https_port"]
        return self

    def read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def end(self, signal_number, expected):
        process, self.process = self.process, None
        process.send_signal(signal_number)
        status = process.wait(PATIENCE_S)
        process.stdout.close()
        check_output("satcheld", self.read_log())
        if status != expected:
            raise AssertionError(f"satcheld ended with {status} instead of {expected}: {self.read_log()[-3000:]}")

    def stop(self):
        self.end(signal.SIGTERM, 0)

    def kill(self):
        self.end(signal.SIGKILL, -signal.SIGKILL)

    def ctl(self, *arguments, expect=0):
        """satchelctl with --json, as a Python value."""
        done = subprocess.run([program("satchelctl"), "--data", self.data, "--json", *map(str, arguments)], capture_output=True, text=True,
                              timeout=PATIENCE_S)
        check_output("satchelctl", done.stderr)
        if done.returncode != expect:
            raise AssertionError(f"satchelctl {arguments}: status {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout) if expect == 0 else done.stdout + done.stderr

    def stop_timers(self):
        """Nothing happens by the clock: what devices hold is compared at leisure."""
        for rule in self.ctl("automation", "list"):
            if rule.get("every"):
                self.ctl("automation", "off", rule["name"])

    def sql(self, text):
        """Runs SQL as the server's own author."""
        done = subprocess.run([program("satchelctl"), "--data", self.data, "sql", "-"], input=text, capture_output=True, text=True,
                              timeout=PATIENCE_S)
        check_output("satchelctl", done.stderr)
        if done.returncode:
            raise AssertionError(f"satchelctl sql: {done.stdout}{done.stderr}")

    def code(self, name, *options):
        """Of a device that holds everything, unless options say otherwise."""
        return self.ctl("device", "add", name, *(options or ("--profile", "full")))["enrolment_code"]

    def epoch(self):
        """Number of the newest migration."""
        return self.one("SELECT max(epoch) FROM satchel_migration")

    def hello(self, **fields):
        """A raw client's first message: a device that has run every migration and holds no rows."""
        sql = b"".join(bytes(r[0], "utf-8") + b"\0" for r in self.read("SELECT sql FROM satchel_migration ORDER BY epoch"))
        return wire.hello(schema_epoch=self.epoch(), schema_hash=hashlib.sha256(sql).digest()[:8], now_ms=int(time.time() * 1000), **fields)


MADE_S = 200  # what has waited longer, a slow start included, would catch up with its timers, and open no alerts for a while (ALERT_GAP_MS)


def copy_made(schema, data):
    """A data directory as a first start of this build leaves it, made once for many tests: under sanitizers making one takes seconds. For the
    schemas of this repository; False if there is none to copy."""
    source = os.path.join(ROOT, schema or "server/crm")
    if not os.path.realpath(source).startswith(ROOT) or not os.access(BIN, os.W_OK):
        return False
    made = os.path.join(os.path.abspath(BIN), "made", os.path.relpath(source, ROOT).replace(os.sep, "-"))
    os.makedirs(os.path.dirname(made), exist_ok=True)
    with open(made + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        since = max(os.path.getmtime(p) for p in (program("satcheld"), source, *glob.glob(source + "/**", recursive=True)))
        if not os.path.exists(made + ".log") or os.path.getmtime(made + ".log") < max(since, time.time() - MADE_S):
            shutil.rmtree(made, ignore_errors=True)
            if os.path.exists(made + ".log"):
                os.unlink(made + ".log")
            Server(None, made, schema).start().stop()
        shutil.copytree(made, data)
        shutil.copy(made + ".log", data + ".log")
    return True


class Device(File):
    """A database file and the program satchel on it."""

    def __init__(self, case, name, path, prefix=()):
        self.case, self.name, self.path, self.prefix = case, name, path, list(prefix)

    @property
    def identity(self):
        return self.path + "-satchel"

    def command(self, *arguments):
        return [*self.prefix, program("satchel"), "--db", self.path, *map(str, arguments)]

    def run(self, *arguments, expect=0, stdin=None, timeout_s=PATIENCE_S, **popen):
        done = subprocess.run(self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=timeout_s, **popen)
        check_output("satchel", done.stderr)
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"{self.name}: satchel {arguments}: status {done.returncode} instead of {expect}: {done.stdout}{done.stderr}")
        return done

    def start(self, *arguments):
        """In the background; the case ends it."""
        errors = open(self.path + ".err", "ab")
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True)
        errors.close()
        self.case.processes.append(process)
        return process

    def errors(self):
        with open(self.path + ".err", encoding="utf-8", errors="replace") as f:
            return f.read()

    def enroll(self, server, proxy=None, options=()):
        """`options`: of satchelctl device add."""
        self.run("enroll", "-", "--name", self.name, stdin=server.code(self.name, *options) + "\n")
        if proxy:
            self.route(proxy.port)
        return self

    def set_state(self, assignment):
        """Changes the file's own notes, for what cannot be brought about from outside."""
        db = sqlite3.connect(self.path)
        with db:
            db.execute("UPDATE satchel_state SET " + assignment)
        db.close()

    def route(self, port):
        """Sends the device's connections elsewhere: as if its network lay between."""
        self.set_state(f"port = {port}")

    def sync(self, **options):
        return self.run("sync", **options)

    def sync_in_vain(self, *words):
        """A sync that gives up, having been told so: what it says. One that gave up before it was told, on a slow machine, is made with more patience."""
        for timeout_s in (3, 15, 60):
            said = self.run("sync", "--timeout", timeout_s, expect=1).stderr
            if all(w in said for w in words):
                return said
        raise AssertionError(f"{self.name}: satchel sync does not say {words}: {said}")

    def sql(self, text, **options):
        return self.run("sql", "-", stdin=text, **options)

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def copy(self, name):
        """File and identity as they are, under another name; for a moment when nobody writes."""
        path = os.path.join(os.path.dirname(self.path), name + ".db")
        for end in ("", "-wal", "-shm"):
            if os.path.exists(self.path + end):
                shutil.copy(self.path + end, path + end)
            elif os.path.exists(path + end):
                os.unlink(path + end)
        if os.path.isdir(self.identity) and not os.path.isdir(path + "-satchel"):
            shutil.copytree(self.identity, path + "-satchel")
        return Device(self.case, self.name, path)


class Proxy:
    """A TCP link of ours between device and server, on the wire of which faults are made.

    cut()/heal(): no connection at all. cut_after(n): every connection ends when the server has sent n bytes on it. swallow_after(n): when a device
    has sent n bytes on a connection, nothing that the server says reaches it any more. delay_s: each piece of data waits so long."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.live = {}
        self.is_cut = False
        self.down_limit = self.up_limit = None
        self.delay_s = 0
        self.connections = self.cuts = 0
        self.up_bytes = self.down_bytes = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                refused = self.is_cut
                self.connections += 1
            try:
                far = None if refused else socket.create_connection(("127.0.0.1", self.target_port), 10)
            except OSError:
                far = None
            if not far:
                near.close()
                continue
            far.settimeout(None)  # a server that says nothing for a while is no broken link
            link = {"near": near, "far": far, "up": 0, "down": 0}
            with self.lock:
                self.live[id(link)] = link
            threading.Thread(target=self.pump, args=(link, "up", near, far), daemon=True).start()
            threading.Thread(target=self.pump, args=(link, "down", far, near), daemon=True).start()

    def pump(self, link, way, source, sink):
        try:
            while True:
                data = source.recv(16384)
                if not data:
                    break
                if self.delay_s:
                    time.sleep(self.delay_s)
                with self.lock:
                    link[way] += len(data)
                    if way == "up":
                        self.up_bytes += len(data)
                    else:
                        self.down_bytes += len(data)
                    over = self.down_limit is not None and link["down"] > self.down_limit
                    swallow = way == "down" and self.up_limit is not None and link["up"] > self.up_limit
                if over:
                    with self.lock:
                        self.cuts += 1
                    break
                if not swallow:
                    sink.sendall(data)
        except OSError:
            pass
        self.close_link(link)

    def close_link(self, link):
        for end in (link["near"], link["far"]):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        with self.lock:
            self.live.pop(id(link), None)

    def break_links(self):
        with self.lock:
            live = list(self.live.values())
        for link in live:
            self.close_link(link)

    def cut(self):
        with self.lock:
            self.is_cut = True
        self.break_links()

    def heal(self):
        with self.lock:
            self.is_cut = False
            self.down_limit = self.up_limit = None

    def cut_after(self, down_bytes):
        with self.lock:
            self.down_limit = down_bytes

    def swallow_after(self, up_bytes):
        with self.lock:
            self.up_limit = up_bytes

    def close(self):
        self.cut()
        self.listener.close()


class Case(unittest.TestCase):
    maxDiff = 4000
    # Whatever a test did, its stores and files are sound in the end; False in a test that damages them itself.
    sound = True

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="satchel-")
        self.processes, self.servers, self.proxies, self.devices = [], [], [], []
        self.addCleanup(self.end_all)
        # Printed when a test fails, and taken from the environment to run it again.
        self.seed = int(os.environ.get("SATCHEL_SEED") or random.SystemRandom().randrange(2**32))
        self.random = random.Random(self.seed)

    def run(self, result=None):
        self.result = result
        return super().run(result)

    def end_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        for proxy in self.proxies:
            proxy.close()
        try:
            if self.sound and not self.has_failed():
                self.assert_all_sound()
            for server in self.servers:
                if server.process:
                    server.stop()
        finally:
            for server in self.servers:
                if server.process:
                    server.kill()
            if sys.exc_info()[0] or self.has_failed():
                self.explain()
            shutil.rmtree(self.dir, ignore_errors=True)

    def has_failed(self):
        return any(test is self for test, _ in self.result.failures + self.result.errors + self.result.skipped)

    def assert_all_sound(self):
        for server in self.servers:
            if server.process and server.process.poll() is None:
                self.assertEqual(server.ctl("verify"), {"ok": True, "problems": 0, "report": ""})
        for device in self.devices:
            if os.path.exists(device.path) and os.path.exists(device.identity):
                device.run("verify")

    def explain(self):
        sys.stderr.write(f"{self.id()}: SATCHEL_SEED={self.seed} runs it with the same random numbers\n")
        for server in self.servers:
            sys.stderr.write(f"--- the end of {server.log}\n{server.read_log()[-3000:]}\n")

    def path(self, name):
        return os.path.join(self.dir, name)

    def server(self, name="server", schema=None, options=(), prefix=(), start=True):
        s = Server(self, self.path(name), schema, options, prefix)
        # The first one alone: two of a copy would be of one authority.
        if start and not self.servers and not prefix and not options:
            copy_made(schema, s.data)
        self.servers.append(s)
        return s.start() if start else s

    def proxy(self, server):
        p = Proxy(server.sync_port)
        self.proxies.append(p)
        return p

    def device(self, name, server=None, proxy=None, prefix=()):
        d = Device(self, name, self.path(name + ".db"), prefix)
        self.devices.append(d)
        return d.enroll(server, proxy) if server else d

    def assert_same(self, server, *devices):
        """Every synced row of the server and of each device, value by value."""
        expected = server.content()
        for device in devices:
            got = device.content()
            self.assertEqual(sorted(expected), sorted(got), f"{device.name}: other tables")
            for table, rows in expected.items():
                if rows != got[table]:
                    here, there = set(got[table]), set(rows)
                    self.fail(f"{device.name}: {table} differs; only on the device: {sorted(here - there)[:3]}; "
                              f"only on the server: {sorted(there - here)[:3]}")

    def assert_sound(self, server, *devices):
        self.assertEqual(server.ctl("verify")["problems"], 0)
        for device in devices:
            device.run("verify")

    def sync_all(self, *devices, rounds=2):
        for _ in range(rounds):
            for device in devices:
                device.sync()


SKIPPED = 77  # what ctest shows as skipped


def main():
    result = unittest.main(verbosity=2, exit=False).result
    sys.exit(1 if not result.wasSuccessful() else SKIPPED if result.skipped else 0)
