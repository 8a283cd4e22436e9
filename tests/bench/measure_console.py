"""What it costs to look at many devices: the calls of the console's overview and of its list of devices beside /healthz, and the server's CPU for them. Most of the
devices are connected, the others have been away for days. One server for all repetitions: to enrol takes minutes."""
import http.client
import json
import os
import sqlite3
import ssl
import statistics
import subprocess
import time
from contextlib import closing

import measure
from measure_crm import cpu_seconds

DAY_MS = 86400000
CALLS = {
    "overview": "/v1/admin/overview",
    "devices": "/v1/admin/devices?limit=50&sort=name",
    "silent": "/v1/admin/devices?limit=50&sort=last_seen_ms&filter.health=silent",
}


class Console:
    def __init__(self, bench):
        self.bench = bench
        self.load = None

    def __enter__(self):
        sizes = self.bench.sizes
        self.world = measure.World(self.bench, 0, self.bench.schema())
        try:
            # The file that the others are copied from is a device, too.
            self.idle(sizes.console_devices - 1).communicate(timeout=measure.PATIENCE_S)
            self.let_days_go_by(sizes.console_devices - sizes.console_offline)
            self.load = self.idle(sizes.console_devices - sizes.console_offline, "--stay", "1000000")
            if not self.load.stdout.readline():
                raise AssertionError("satchel-load could not connect the devices")
            self.sign_in()
            self.look()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        if self.load:
            self.load.kill()
            self.load.communicate()
        self.world.__exit__(*error)

    def idle(self, devices, *more):
        return subprocess.Popen([os.path.join(self.bench.build, "tools/satchel-load"), "--data", self.world.server.data, "idle", "--devices", str(devices),
                                 "--work", self.world.path("devices"), "--keep", "--json", *more], stdout=subprocess.PIPE, text=True)

    def let_days_go_by(self, online):
        """For all but the first ones, in the store's own notes."""
        server, now = self.world.server, int(time.time() * 1000)
        server.stop()
        with closing(sqlite3.connect(server.store)) as db, db:
            away = [r[0] for r in db.execute("SELECT id FROM satchel_device WHERE name LIKE 'load-%' ORDER BY name LIMIT -1 OFFSET ?", (online,))]
            db.executemany("UPDATE satchel_device SET last_seen_ms = ?, pending = ? WHERE id = ?", [(now - 2 * DAY_MS - i * 60000, i % 4, id) for i, id in enumerate(away)])
        server.start()

    def sign_in(self):
        server = self.world.server
        self.connection = http.client.HTTPSConnection("127.0.0.1", server.https_port, timeout=measure.PATIENCE_S, context=ssl._create_unverified_context())
        with open(os.path.join(server.data, "admin-password"), encoding="utf-8") as f:
            person = json.dumps({"name": "admin", "password": f.read().strip()})
        self.connection.request("POST", "/v1/login", person, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        answer.read()
        self.headers = {"Cookie": answer.getheader("Set-Cookie").split(";")[0]}

    def ask(self, path):
        """Seconds, and the answer."""
        began = time.monotonic()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        seconds = time.monotonic() - began
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status}: {text[:500]}")
        return seconds, text

    def look(self):
        """The answers are of these devices."""
        sizes = self.bench.sizes
        told = {name: json.loads(self.ask(path)[1]) for name, path in CALLS.items()}
        got = (told["overview"]["devices"]["active"], told["overview"]["devices"]["silent"], told["devices"]["total"], told["silent"]["total"])
        if got != (sizes.console_devices, sizes.console_offline, sizes.console_devices, sizes.console_offline):
            raise AssertionError(f"active, silent, listed, listed as silent: {got}")

    def cpu_ms(self, path):
        calls, before = self.bench.sizes.console_calls, cpu_seconds(self.world.server)
        for _ in range(calls):
            self.ask(path)
        return (cpu_seconds(self.world.server) - before) * 1000 / calls

    def __call__(self, bench, repetition):
        times = {name: [] for name in ("healthz", *CALLS)}
        for _ in range(bench.sizes.console_calls):
            for name in times:
                times[name].append(self.ask(CALLS.get(name, "/healthz"))[0])
        healthz = statistics.median(times["healthz"])
        samples = {"console_healthz_ms": healthz * 1000}
        for name, path in CALLS.items():
            samples[f"console_{name}_ratio"] = statistics.median(times[name]) / healthz
            samples[f"console_{name}_cpu_ms"] = self.cpu_ms(path)
        return samples
