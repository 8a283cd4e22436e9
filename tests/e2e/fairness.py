"""Fairness: a device that floods, stalls, or comes again and again is limited, the log says who, and the others go on.

satchel-load fair has the devices that behave, and one that does not; its figures are printed, alone and beside, and none of them is asserted: what has to
hold is that the abuser was bounded, that the others lost nothing, and that all hold what the server holds (satchel-load compares)."""
import json
import os
import re
import ssl
import subprocess
import time
import urllib.request

import harness
import wire

# The abuser gives way to the devices that behave: on a busy machine it needs longer to come to where it is limited.
SECONDS, DEVICES = (2, 8, 20), 4
# So low that a test of some seconds reaches them; the defaults leave an honest device alone for weeks.
DEVICE_KIB, CONNECTS = 12, 40
LIMITS = ("--device-kib", str(DEVICE_KIB), "--device-connects", str(CONNECTS))
BURST_S, FRAME_BYTES = 64, 4096  # of server/front_share.c, server/budget.h
ABUSERS = {kind: f"device=load-[0-9a-f]+-{DEVICES + i:05d}" for i, kind in enumerate(("flood", "huge", "reconnect", "crowd", "snapshot"))}


class Fairness(harness.Case):
    def limited(self, server, *patterns):
        lines = [line for line in server.read_log().splitlines() if "event=limited" in line]
        self.assertTrue([line for line in lines if all(re.search(p, line) for p in patterns)], f"{patterns}: {lines}")

    def fair(self, server, seconds):
        """{whom the devices worked beside: figures}."""
        command = [harness.program("satchel-load"), "--data", server.data, "fair", "--devices", str(DEVICES), "--seconds", str(seconds), "--rounds", "1",
                   "--pace", "150", "--json", "--patience", str(harness.PATIENCE_S)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=harness.PATIENCE_S + 12 * seconds)
        harness.check_output("satchel-load", done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        times = {t["beside"]: t for t in map(json.loads, done.stdout.splitlines())}
        for name, t in times.items():
            print("fair: beside %-9s accepted p50 %.1f ms, p99 %.1f (x%.1f of control); seen p50 %.1f ms, p99 %.1f (x%.1f)" % (
                name, t["accepted_p50_ms"], t["accepted_p99_ms"], t["accepted_p99_ratio"], t["visible_p50_ms"], t["visible_p99_ms"],
                t["visible_p99_ratio"]), flush=True)
        return times

    def is_telling(self, server, times):
        """Whether each abuser came to where it is limited, and no time of work was one in which nobody had a processor."""
        flooded = re.search("sends more than it may.*" + ABUSERS["flood"], server.read_log())
        return flooded and all(times[kind]["refused"] for kind in ("reconnect", "crowd", "snapshot")) and \
            min(t["transactions"] for t in times.values()) > times["nobody"]["transactions"] / 2

    def test_fairness_device_that_floods_or_comes_again_and_again_is_limited_others_go_on(self):
        server = self.server(options=LIMITS)
        for seconds in SECONDS:
            began = time.monotonic()
            times = self.fair(server, seconds)
            took = time.monotonic() - began
            if self.is_telling(server, times):
                break
        for name, t in times.items():
            self.assertEqual(t["errors"], 0, name)
            self.assertGreater(t["transactions"], times["nobody"]["transactions"] / 2, name)
        # Read slower: a burst was taken, and what the rate gave since then.
        taken = server.one("SELECT max(last_number) FROM satchel_author") - 2**40
        self.assertGreater(taken, 10)
        self.assertLess(taken, (BURST_S + took) * DEVICE_KIB * 1024 / FRAME_BYTES + 200)
        self.limited(server, "sends more than it may", ABUSERS["flood"])
        # Sent away: a burst came in, and what the rate gave.
        for kind in ("reconnect", "snapshot"):
            self.assertGreater(times[kind]["refused"], 0)
            self.assertLess(times[kind]["opened"], CONNECTS * (1 + took / 60) + 5)
        self.limited(server, "connects too often")
        self.assertGreater(times["crowd"]["refused"], 0)
        self.limited(server, "too many connections open")
        metrics = self.metrics(server)
        self.assertRegex(metrics, r'(?m)^satchel_limited_total\{whom="devices"\} [1-9]')
        named = re.findall(r'(?m)^satchel_device_limited\{key="[0-9a-f]{16}"\} ([0-9]+)$', metrics)
        self.assertTrue(3 <= len(named) <= 10, metrics)

    def metrics(self, server):
        context = ssl.create_default_context(cafile=os.path.join(server.data, "ca.crt"))
        context.check_hostname = False
        with urllib.request.urlopen(f"https://127.0.0.1:{server.https_port}/metrics", context=context, timeout=60) as answer:
            return answer.read().decode()

    def test_fairness_device_that_asks_by_http_has_its_connections_counted(self):
        """Connections that ask and stay open are as many as its others at most."""
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        answered, open_links = 0, []
        for _ in range(24):
            plain = harness.socket.create_connection(("127.0.0.1", server.sync_port), 10)
            link = wire.tls_context(phone.identity, None, None).wrap_socket(plain, server_hostname="127.0.0.1")
            self.addCleanup(link.close)
            open_links.append(link)
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                answered += link.recv(16).startswith(b"HTTP/1.1")
            except OSError:
                pass
        self.assertTrue(0 < answered < 20, answered)
        self.limited(server, "too many connections open")
        other.sync()
        for link in open_links:
            link.close()
        harness.wait_until(lambda: phone.run("sync", expect=None).returncode == 0, "the device's place")

    def test_fairness_device_that_never_reads_holds_up_nobody(self):
        """It asks for everything and for every page, pushes, and takes nothing of what is sent."""
        server = self.server(options=LIMITS)
        good, deaf = self.device("good", server), self.device("deaf", server)
        company = subprocess.run([harness.program("satchel-company"), "--contacts", "800"], capture_output=True, text=True, check=True)
        server.sql(company.stdout)
        before = self.memory(server)
        links = []
        for _ in range(8):
            link = wire.Wire(server.sync_port, deaf.identity)
            self.addCleanup(link.close)
            link.socket.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF, 4096)
            link.send(*server.hello(last_number=2**42))
            link.send_frame(9, b"")
            links.append(link)
        time.sleep(0.5)
        for link in links:
            try:
                link.send(wire.PULL, 0, 16, 0)
            except OSError:
                pass  # an older connection of its own
        good.sync()
        good.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        good.sync()
        self.assertEqual(server.one("SELECT count(*) FROM contact WHERE given = 'Ada'"), 1)
        # At most two queues of LIMIT_CONN_QUEUE_BYTES.
        self.assertLess(self.memory(server) - before, 200 << 20)

    def memory(self, server):
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_fairness_address_without_certificate_is_hung_up_on_devices_come_in(self):
        server = self.server(options=("--address-connects", "120"))
        phone = self.device("phone", server)
        for _ in range(300):
            harness.socket.create_connection(("127.0.0.1", server.sync_port), 10, source_address=("127.0.0.7", 0)).close()
        harness.wait_until(lambda: "event=limited" in server.read_log(), "a line about the address")
        self.limited(server, "peer=127.0.0.7", "an address is hung up on")
        phone.sync()
        other = harness.socket.create_connection(("127.0.0.1", server.sync_port), 10, source_address=("127.0.0.8", 0))
        other.settimeout(1)
        with self.assertRaises(TimeoutError):
            other.recv(1)
        other.close()

    def test_fairness_device_of_the_library_keeps_to_what_it_is_told(self):
        """Sent away for too many connections, it comes back by itself when it was told to and not before, and its work arrives."""
        server = self.server(options=("--device-connects", "4"))
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        while True:
            link = wire.Wire(server.sync_port, phone.identity)
            link.close()
            if link.status == 429:
                break
        self.limited(server, "connects too often", "device=")
        watching = phone.start("sync", "--watch", "--json")
        codes = []
        for line in watching.stdout:
            event = json.loads(line)
            if event.get("state") == "offline":
                codes.append(event["code"])
            if event.get("state") == "in_step":
                break
        self.assertIsNone(watching.poll(), phone.errors())
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 1)
        # A quarter of a minute a connection: its own pauses would have brought it there several times.
        self.assertEqual(codes, ["E_OVERLOAD"])


if __name__ == "__main__":
    harness.main()
