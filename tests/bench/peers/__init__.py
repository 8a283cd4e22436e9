"""Other libraries at the same work, beside plain SQLite in the same run: a session object per transaction, sqlite-sync, PouchDB.

The last two come from npm, into the build directory. sqlite-sync runs in one process with no network, so that its figure is the most that it could be; PouchDB
over HTTP on loopback without TLS."""
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import time

import measure

HERE = os.path.dirname(os.path.abspath(__file__))
EXTENSION = "node_modules/@sqliteai/sqlite-sync-linux-x86_64/cloudsync.so"


def install(bench):
    if not shutil.which("npm"):
        raise AssertionError("--peers needs node and npm (Debian: nodejs npm)")
    folder = os.path.join(bench.build, "peers")
    os.makedirs(folder, exist_ok=True)
    for name in ("package.json", "pouch.cjs"):
        shutil.copy(os.path.join(HERE, name), folder)
    subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    return folder


def entry(peer, what, values, how):
    return {"peer": peer, "what": what, "value": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3),
            "repetitions": len(values), "how": how}


def local(bench, peer, subject, repetitions):
    samples = [measure.local(bench, i, subject) for i in range(repetitions)]
    return [entry(peer, "local inserts ÷ plain SQLite", [s["local_insert_ratio"] for s in samples], "transactions of 100; WAL, NORMAL"),
            entry(peer, "local one-column updates ÷ plain SQLite", [s["local_update_ratio"] for s in samples], "transactions of 10; WAL, NORMAL")]


def open_cloudsync(path, extension):
    db = sqlite3.connect(path, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(extension)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


def cloudsync_first_sync(bench, extension, plain, schema):
    """Seconds to carry all rows into an empty file: the payload's encoding and its application, in one process."""
    paths = [os.path.join(bench.dir, name) for name in ("cloudsync-a.db", "cloudsync-b.db")]
    for path in paths:
        for end in ("", "-wal", "-shm"):
            if os.path.exists(path + end):
                os.unlink(path + end)
    a, b = (open_cloudsync(path, extension) for path in paths)
    for db in (a, b):
        db.execute(schema)
        db.execute("SELECT cloudsync_init('contact')")
    a.execute("ATTACH ? AS plain", (plain,))
    a.execute("INSERT INTO main.contact SELECT * FROM plain.contact")
    a.execute("DETACH plain")
    began = time.monotonic()
    payload = a.execute("SELECT cloudsync_payload_encode(tbl,pk,col_name,col_value,col_version,db_version,site_id,cl,seq)"
                        " FROM cloudsync_changes WHERE site_id=cloudsync_siteid()").fetchone()[0]
    b.execute("BEGIN IMMEDIATE")
    b.execute("SELECT cloudsync_payload_apply(?)", (payload,)).fetchone()
    b.execute("COMMIT")
    seconds = time.monotonic() - began
    for db in (a, b):
        db.execute("SELECT cloudsync_terminate()")
        db.close()
    measure.equal(*(bench.step("digest", path)["digest"] for path in (plain, paths[1])))
    return seconds


def pouch_first_sync(bench, folder, plain, repetitions):
    path = os.path.join(bench.dir, "rows.jsonl")
    db = sqlite3.connect(plain)
    db.row_factory = sqlite3.Row
    with open(path, "w", encoding="utf-8") as f:
        for row in db.execute("SELECT id AS _id, name, email, phone, company, city, status, score, notes, updated FROM contact ORDER BY id"):
            f.write(json.dumps(dict(row)) + "\n")
    db.close()
    done = subprocess.run(["node", "pouch.cjs", path, bench.dir, str(repetitions)], cwd=folder, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise AssertionError(f"PouchDB: {done.stderr[-2000:]}")
    return json.loads(done.stdout)["seconds"]


def run(bench, repetitions):
    folder = install(bench)
    extension = os.path.join(folder, EXTENSION)
    plain, copy = os.path.join(bench.dir, "peer-plain.db"), os.path.join(bench.dir, "peer-copy.db")
    bench.step("plain-insert", plain, "--rows", bench.sizes.rows)
    with open(os.path.join(bench.schema(), "001_contact.sql"), encoding="utf-8") as f:
        schema = f.read().split(";")[0]
    entries = local(bench, "session object per transaction", "session", repetitions)
    entries += local(bench, "sqlite-sync 1.1.4", extension, repetitions)
    copying = [bench.step("plain-copy", plain, copy, "--full")["seconds"] for _ in range(repetitions)]
    beside = statistics.median(copying)
    cloudsync = [cloudsync_first_sync(bench, extension, plain, schema) / beside for _ in range(repetitions)]
    entries.append(entry("sqlite-sync 1.1.4", "first sync ÷ copying the rows", cloudsync, "in one process, no network"))
    pouch = [s / beside for s in pouch_first_sync(bench, folder, plain, repetitions)]
    entries.append(entry("PouchDB 9.0.0", "first sync ÷ copying the rows", pouch, "HTTP without TLS on loopback, express-pouchdb 4.2.0"))
    return entries
