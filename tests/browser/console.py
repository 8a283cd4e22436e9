"""The console in a browser, against a server with the sample company and 200 devices: most of them simulated, of which 60 have been away for days and 5 are far
behind, and one says hostile things of itself; and ten real ones, with four refusals, a conflict, two clocks that are wrong and one that is revoked.

console.mjs does the looking and the clicking; its screenshots lie in SATCHEL_SHOTS (a temporary directory, unless told)."""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import alerts  # noqa: E402
import company  # noqa: E402
import harness  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
DAY_MS = 86400000
SIMULATED = int(os.environ.get("SATCHEL_BROWSER_DEVICES", 189))
SILENT, BEHIND = min(60, SIMULATED // 3), 5
# What a busy server notes, more or less, each minute.
FIGURES = {"connections": 12, "pushed": 20, "rows_in": 60, "commits": 25, "pulled": 40, "bytes_in": 40000, "bytes_out": 900000, "conflicts": 1, "automation_runs": 30, "online": 130,
           "pending": 90, "writer_queue": 3, "reader_queue": 2, "lag_p50_ms": 900, "lag_p95_ms": 40000, "lag_p99_ms": 90000, "sync_p50_ms": 120, "sync_p95_ms": 480, "sync_p99_ms": 700}
MALFORMED = -70  # of satchel_rc.h
# In a text of every kind that comes from a device or is shown of one.
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Console(company.Company):
    def hook(self):
        """Options of a server that tells its alerts to a webhook, which verifies that they are its."""
        receiver = alerts.Receiver()
        self.addCleanup(receiver.close)
        with open(os.open(self.path("hook.key"), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
            f.write(alerts.SECRET + "\n")
        return ["--alert-webhook", f"http://127.0.0.1:{receiver.port}/", "--alert-webhook-secret-file", self.path("hook.key")]

    def simulate(self):
        """Devices that were here: enrolled, in step, gone."""
        done = subprocess.run([harness.program("satchel-load"), "idle", "--data", self.hq.data, "--devices", str(SIMULATED)], capture_output=True,
                              text=True, timeout=harness.PATIENCE_S * 3, check=False)
        harness.check_output("satchel-load", done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def let_days_go_by(self):
        """For some of the simulated, by the store's own notes: nobody waits for days. That they are revoked, as satchel-load leaves them, is undone too."""
        self.hq.stop()
        db = sqlite3.connect(self.hq.store)
        now = int(time.time() * 1000)
        chosen = random.Random(7)
        with db:
            db.execute("UPDATE satchel_device SET state = 1 WHERE name LIKE 'load-%'")
            ids = [r[0] for r in db.execute("SELECT id FROM satchel_device WHERE name LIKE 'load-%' ORDER BY id")]
            db.execute("UPDATE satchel_log SET at_ms = at_ms - 10800000")
            seq = db.execute("SELECT max(acked_seq) FROM satchel_device").fetchone()[0]
            for i in ids[:SILENT]:
                ago = chosen.randrange(2 * DAY_MS, 12 * DAY_MS)
                db.execute("UPDATE satchel_device SET last_seen_ms = ?1, told_ms = ?1, pending = ?2, waiting = ?3 WHERE id = ?4",
                           (now - ago, chosen.randrange(4), json.dumps([{"table": "contact", "changes": 1200}, {"table": "visit", "changes": 1}]), i))
            db.execute("UPDATE satchel_device SET held_bytes = 900000000, room_bytes = 1000000000 WHERE id = ?", (ids[0],))
            for i in ids[SILENT:SILENT + BEHIND]:
                db.execute("UPDATE satchel_device SET last_seen_ms = ?, acked_seq = ? WHERE id = ?", (now - 5 * 3600000, max(1, seq // 3), i))
            db.execute("UPDATE satchel_device SET software = ? WHERE id = ?", (f"{HOSTILE} (Linux; {HOSTILE})", ids[-1]))
            db.execute("UPDATE satchel_sync SET end_rc = ?, end_text = ?, software = ? WHERE device = ?", (MALFORMED, "the device closed: " + HOSTILE, HOSTILE, ids[-1]))
            minutes = range(now // 60000 - 180, now // 60000 - 1)
            db.executemany("INSERT OR IGNORE INTO satchel_sample(name, minute, value) VALUES(?,?,?)",
                           [(name, m, chosen.randrange(level // 2, level * 3 // 2 + 1)) for name, level in FIGURES.items() for m in minutes])
        db.close()
        self.hq.start()

    def people(self):
        """Real devices. Phone and tablet edit one field at the same time; the till is refused twice, and one with a hostile name once. The desk is an agent's, the others hold everything."""
        names = ["phone", "tablet", "till", "van", "lost", "drawer", HOSTILE[:100]]
        every = {name: self.device(f"d{i}") for i, name in enumerate(names)}
        for name, device in every.items():
            device.run("enroll", "-", "--name", name, stdin=self.hq.code(name) + "\n")
            device.sync()
        every["desk"] = self.of_profile("desk", "agent", self.reps[0])
        for i, shift in enumerate(("+20m", "-45m")):
            wrong = self.device(f"clock{i}", prefix=harness.with_clock(shift))
            wrong.run("enroll", "-", "--name", f"clock {shift}", stdin=self.hq.code(f"clock {shift}") + "\n")
            wrong.sync()
        return every

    def failing(self):
        """The company's automations, and two that always fail."""
        with open(os.path.join(harness.ROOT, "server/crm/automation.sql"), encoding="utf-8") as f:
            rules = f.read()
        with open(self.path("automation.sql"), "w", encoding="utf-8") as f:
            f.write(rules + "\nINSERT INTO automation(name, tbl, event, actions, about) VALUES('thank-you', 'feedback', 'insert', 'INSERT INTO feedback(id) SELECT id FROM new', 'fails'), "
                    "('tag-twice', 'contact_tag', 'insert', 'INSERT INTO contact_tag(contact_id, tag) SELECT contact_id, tag FROM new', 'fails');\n")
        self.hq.ctl("automation", "publish", self.path("automation.sql"))

    def trouble(self, devices):
        ids = [r[0].hex() for r in self.hq.read("SELECT id FROM contact WHERE merged_into IS NULL AND erased = 0 ORDER BY id LIMIT 8")]
        phone, tablet, till, strange = devices["phone"], devices["tablet"], devices["till"], devices[HOSTILE[:100]]
        phone.sql(f"UPDATE contact SET job_title = 'Said to the phone' WHERE id = x'{ids[0]}'")
        time.sleep(0.05)
        tablet.sql(f"UPDATE contact SET job_title = 'Said to the tablet' WHERE id = x'{ids[0]}'")
        strange.sql(f"UPDATE contact SET job_title = {quoted(HOSTILE)}, family = {quoted(HOSTILE)} WHERE id = x'{ids[1]}'")
        time.sleep(0.05)
        phone.sql(f"UPDATE contact SET job_title = 'Plain' WHERE id = x'{ids[1]}'")
        for row, text in (("de30", "555-0100"), ("de31", "555-0101")):
            till.sql(f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'{row}', x'deadbeef', 'phone', '{text}')")
        strange.sql(f"BEGIN; UPDATE contact SET given = {quoted(HOSTILE)} WHERE id = x'{ids[2]}'; "
                    "INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'de32', x'deadbeef', 'phone', '555-0102'); COMMIT")
        strange.sql(f"INSERT INTO contact_tag(contact_id, tag) VALUES(x'{ids[1]}', {quoted(HOSTILE)})")
        tablet.sql(f"UPDATE contact SET merged_into = x'{ids[4]}' WHERE id = x'{ids[3]}'")
        phone.sql("INSERT INTO feedback(id, ticket_id, kind, score, at) SELECT uuid7(), id, 'csat', 4, resolved_at FROM ticket WHERE resolved_at IS NOT NULL AND assignee_id IS NOT NULL LIMIT 3")
        for device in (phone, tablet, strange, till, phone, tablet, strange):
            device.sync()
        self.hq.ctl("device", "revoke", "lost")
        return ids

    def test_console_every_view_and_action_in_a_browser(self):
        packages = os.environ["SATCHEL_BROWSER_PACKAGES"]
        if not os.path.exists(CHROMIUM):
            self.skipTest("there is no Chromium: tools/install-deps test")
        self.contacts = 150
        self.begin(self.hook())
        devices = self.people()
        self.simulate()
        self.let_days_go_by()
        self.failing()
        ids = self.trouble(devices)
        shots = os.environ.get("SATCHEL_SHOTS") or tempfile.mkdtemp(prefix="satchel-shots-")
        with open(os.path.join(self.hq.data, "admin-password"), encoding="utf-8") as f:
            password = f.read().strip()
        world = {
            "url": f"https://127.0.0.1:{self.hq.https_port}", "password": password, "bin": os.path.abspath(harness.BIN), "data": self.hq.data, "dir": self.dir, "shots": shots,
            "chromium": CHROMIUM, "packages": packages, "devices": {name: d.path for name, d in devices.items()}, "contacts": ids, "hostile": HOSTILE,
            "silent": SILENT, "behind": BEHIND, "store": self.hq.one("SELECT hex(id) FROM store ORDER BY id LIMIT 1"), "rep": self.reps[0].hex(),
        }
        with open(self.path("world.json"), "w", encoding="utf-8") as f:
            json.dump(world, f)
        done = subprocess.run([os.environ.get("SATCHEL_NODE", "node"), os.path.join(HERE, "console.mjs"), self.path("world.json")], timeout=1500, check=False)
        print(f"screenshots: {shots}", flush=True)
        self.assertEqual(done.returncode, 0, "see above")
        if "SATCHEL_SHOTS" not in os.environ:
            shutil.rmtree(shots)

    def assert_all_sound(self):
        """Without the devices: some were wiped and revoked on the way."""
        self.assertEqual(self.hq.ctl("verify")["problems"], 0)


if __name__ == "__main__":
    harness.main()
