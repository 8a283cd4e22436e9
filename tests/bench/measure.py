"""The measurements: real processes over real TLS on loopback, ours and plain SQLite by turns. Each yields one repetition's samples, {key: number}.

Whatever a measurement compares must hold the same rows at its end: a figure of a wrong result is none."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, nullcontext

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import figures

PATIENCE_S = int(os.environ.get("SATCHEL_PATIENCE_S", 900))


class Sizes:
    """How much work. The small ones are for a test that all of it runs; their figures mean nothing."""

    def __init__(self, small):
        self.small = small
        self.rows = 400 if small else 50000
        self.edits = 100 if small else 10000
        self.scale_rows = (400, 1200) if small else (10000, 1000000)
        self.scale_edits = 20 if small else 100
        self.scale_repeat = 2 if small else 25
        self.year = ["--days", "3", "--updates", "2000", "--churn", "200", "--rows", "50"] if small else []
        self.idle_devices = 10 if small else 2000
        self.fanout_devices, self.fanout_commits = (10, 4) if small else (500, 40)
        self.live_commits = 10 if small else 500
        self.scope_contacts, self.scope_pushes = (100, 20) if small else (10000, 2000)
        self.crm_contacts, self.crm_pushes = (400, 20) if small else (50000, 1000)


def equal(*digests):
    if len(set(digests)) != 1:
        raise AssertionError(f"the ends hold different rows: {digests}")


class Bench:
    """Programs of one build, and a directory on its disk for what they write."""

    def __init__(self, build, sizes):
        self.build, self.sizes = build, sizes
        os.environ["SATCHEL_BIN"] = os.path.join(build, "tools")
        import harness
        self.harness = harness
        self.dir = tempfile.mkdtemp(prefix="bench-", dir=build)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def program(self, name):
        return os.path.join(self.build, "tests/bench", name)

    def run(self, *command):
        """A program's JSON."""
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))}: status {done.returncode}: {done.stderr[-3000:]}")
        return json.loads(done.stdout)

    def step(self, command, *arguments):
        return self.run(self.program("bench_device"), command, *arguments)

    def schema(self):
        path = os.path.join(self.dir, "schema")
        if not os.path.isdir(path):
            os.mkdir(path)
            text = subprocess.run([self.program("bench_device"), "schema"], capture_output=True, text=True, check=True).stdout
            with open(os.path.join(path, "001_contact.sql"), "w", encoding="utf-8") as f:
                f.write(text)
        return path


class World:
    """A fresh server (of the CRM, unless a schema is named), its devices, and plain files beside them."""

    def __init__(self, bench, rows, schema=None):
        self.bench, self.rows = bench, rows
        self.dir = tempfile.mkdtemp(dir=bench.dir)
        self.server = bench.harness.Server(None, self.path("server"), schema).start()
        self.rounds = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.server.process:
            self.server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def device(self, name):
        return self.bench.harness.Device(None, name, self.path(name + ".db")).enroll(self.server)

    def filled(self, batch=100):
        """A device whose rows wait to be sent."""
        a = self.device("a")
        self.bench.step("sync", a.path)
        self.bench.step("insert", a.path, "--rows", self.rows, "--batch", batch)
        return a

    def digest(self):
        return self.bench.step("digest", self.server.store)["digest"]

    def next_round(self, n=1):
        """The number of a round of edits that no other has had; n rounds from there."""
        first, self.rounds = self.rounds, self.rounds + n
        return first

    def forget_snapshot(self):
        """As after a restart of a server that nobody has asked for a snapshot since."""
        self.server.stop()
        for name in os.listdir(self.server.data):
            if name.startswith("snapshot.db"):
                os.unlink(os.path.join(self.server.data, name))
        self.server.start()


def by_turns(repetition, ours, plain):
    """Results of both; which goes first changes from one repetition to the next."""
    if repetition % 2:
        p = plain()
        return ours(), p
    o = ours()
    return o, plain()


def file_bytes(path):
    return sum(os.path.getsize(path + end) for end in ("", "-wal") if os.path.exists(path + end))


# ---- local writes ----

def local(bench, repetition, subject="captured"):
    done = bench.run(bench.program("write_cost"), "--repetitions", 1, "--rows", bench.sizes.rows, "--folder", bench.dir, "--subject", subject)
    return {"local_insert_ratio": done["insert"]["ratio"][0], "local_update_ratio": done["update"]["ratio"][0]}


def checks(bench, repetition):
    done = local(bench, repetition, "checked")
    return {key.replace("local", "check"): value for key, value in done.items()}


# ---- between devices and a server ----

def push(bench, world, repetition, samples):
    a = world.filled()
    plain = world.path("plain.db")
    ours, beside = by_turns(repetition, lambda: bench.step("push", a.path),
                            lambda: bench.step("plain-insert", plain, "--rows", world.rows, "--batch", 100, "--full"))
    equal(ours["digest"], beside["digest"], world.digest())
    samples["push_ratio"] = ours["seconds"] / beside["seconds"]
    return a, plain


def first_sync(bench, world, repetition, samples, plain):
    def once(name, device):
        copy = world.path(name + "-plain.db")
        ours, beside = by_turns(repetition, lambda: bench.step("sync", device.path, "--idle"), lambda: bench.step("plain-copy", plain, copy, "--full"))
        equal(ours["digest"], beside["digest"])
        return ours, ours["seconds"] / beside["seconds"], file_bytes(device.path) / file_bytes(copy)

    cold, b = world.device("cold"), world.device("b")
    world.forget_snapshot()
    samples["first_sync_cold_ratio"] = once("cold", cold)[1]
    ours, samples["first_sync_ratio"], samples["file_ratio"] = once("b", b)
    samples["replica_kib"], samples["replica_peak_kib"] = ours["kib"], ours["peak_kib"]
    return b


def delta(bench, world, repetition, samples, a, b, plain):
    edits = ["--rows", world.rows, "--edits", bench.sizes.edits, "--batch", bench.sizes.edits // 10]

    def once(*how):
        number = ["--round", world.next_round()]
        ours, beside = by_turns(repetition, lambda: bench.step("delta", a.path, b.path, *edits, *number, *how),
                                lambda: bench.step("plain-update", plain, "--full", *edits, *number))
        equal(ours["a"], ours["b"], beside["digest"], world.digest())
        return ours["seconds"][0] / beside["seconds"]

    samples["delta_ratio"] = once("--live")
    samples["delta_offline_ratio"] = once()
    # What lies between is too slow to be timed through: only its counts matter.
    up, down = bench.harness.Proxy(world.server.sync_port), bench.harness.Proxy(world.server.sync_port)
    a.route(up.port)
    b.route(down.port)
    once()
    samples["up_bytes"] = up.up_bytes / bench.sizes.edits
    samples["down_bytes"] = down.down_bytes / bench.sizes.edits
    for proxy, device in ((up, a), (down, b)):
        proxy.close()
        device.route(world.server.sync_port)


def sync(bench, repetition):
    samples = {}
    with World(bench, bench.sizes.rows, bench.schema()) as world:
        a, plain = push(bench, world, repetition, samples)
        b = first_sync(bench, world, repetition, samples, plain)
        delta(bench, world, repetition, samples, a, b, plain)
    return samples


# ---- does it grow with the rows? ----

class Scale:
    """Two servers, of few and of many rows, that stay for all repetitions: to fill the large one takes a minute."""

    def __init__(self, bench):
        self.bench, self.worlds, self.open = bench, [], ExitStack()

    def __enter__(self):
        with ExitStack() as opening:
            for rows in self.bench.sizes.scale_rows:
                world = opening.enter_context(World(self.bench, rows, self.bench.schema()))
                self.worlds.append(world)
                world.a, world.b = world.filled(1000), world.device("b")
                equal(self.bench.step("push", world.a.path)["digest"], self.bench.step("sync", world.b.path)["digest"])
            self.open = opening.pop_all()
        return self

    def __exit__(self, *error):
        self.open.close()

    def seconds(self, world):
        sizes = self.bench.sizes
        done = self.bench.step("delta", world.a.path, world.b.path, "--live", "--rows", world.rows, "--edits", sizes.scale_edits, "--batch",
                               sizes.scale_edits, "--repeat", sizes.scale_repeat, "--round", world.next_round(sizes.scale_repeat))
        equal(done["a"], done["b"])
        return sorted(done["seconds"])[sizes.scale_repeat // 2]

    def __call__(self, bench, repetition):
        few, many = self.worlds
        large, small = by_turns(repetition, lambda: self.seconds(many), lambda: self.seconds(few))
        return {"scale_ratio": large / small}


# ---- many devices: satchel-load's own figures ----

def load(command, arguments):
    def measure(bench, repetition):
        with World(bench, 0) as world:
            return bench.run(os.path.join(bench.build, "tools/satchel-load"), "--data", world.server.data, *arguments(bench.sizes), "--json", command)
    return lambda bench: nullcontext(measure)


# ---- parts of a company ----

def scope(bench, repetition):
    import measure_scope
    return measure_scope.cost(bench, repetition)


# ---- the CRM on its company ----

def crm(bench):
    import measure_crm
    return measure_crm.Crm(bench)


# ---- once a run ----

def year(bench, repetition):
    return bench.run(bench.program("bench_year"), "--folder", bench.dir, *bench.sizes.year)


def text(bench, repetition):
    library = os.path.realpath(os.path.join(bench.build, "replica/libsatchel.so"))
    sizes = subprocess.run(["size", library], capture_output=True, text=True, check=True).stdout.splitlines()
    stripped = os.path.join(bench.dir, "stripped.so")
    subprocess.run(["strip", "-o", stripped, library], check=True)
    return {"replica_text_kib": int(sizes[1].split()[0]) / 1024, "replica_file_kib": os.path.getsize(stripped) / 1024}


# ---- the measurements by name: what runs for a key ----

class Measurement:
    """`make` gives, as a context, what is called once a repetition; `once`: its result does not vary."""

    def __init__(self, name, keys, make, once=False):
        self.name, self.keys, self.make, self.once = name, keys, make, once


MEASUREMENTS = [
    Measurement("local writes", ["local_insert_ratio", "local_update_ratio"], lambda bench: nullcontext(local)),
    Measurement("push, first sync, delta",
                ["push_ratio", "first_sync_ratio", "first_sync_cold_ratio", "file_ratio", "replica_kib", "replica_peak_kib", "delta_ratio",
                 "delta_offline_ratio", "up_bytes", "down_bytes"], lambda bench: nullcontext(sync)),
    Measurement("scale", ["scale_ratio"], Scale),
    Measurement("live", ["live_p50_ms", "live_p99_ms", "live_p50_ratio", "live_p99_ratio"],
                load("live", lambda sizes: ["--commits", sizes.live_commits])),
    Measurement("idle devices", ["idle_kib"], load("idle", lambda sizes: ["--devices", sizes.idle_devices]), once=True),
    Measurement("fan-out", ["fanout_ratio"], load("fanout", lambda sizes: ["--devices", sizes.fanout_devices, "--commits", sizes.fanout_commits]), once=True),
    Measurement("scope", ["scope_load_ratio", "scope_first_sync_ratio", "scope_push_ratio"], lambda bench: nullcontext(scope)),
    Measurement("checks", ["check_insert_ratio", "check_update_ratio"], lambda bench: nullcontext(checks)),
    Measurement("the CRM", ["automation_ratio", "automation_cpu_ratio", "automation_rows", "automation_none_ratio", "automation_none_cpu_ratio", "rep_first_sync_ratio", "rep_first_sync_cold_ratio", "report_slowest_ms",
                            *(figures.report(view).key for view in figures.REPORTS)], crm),
    Measurement("a year", ["year_ratio", "year_fresh_ratio", "year_history_ratio"], lambda bench: nullcontext(year), once=True),
    Measurement("text", ["replica_text_kib", "replica_file_kib"], lambda bench: nullcontext(text), once=True),
]
