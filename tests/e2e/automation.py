"""Automations: what follows from a change is there exactly once, whenever the server is killed; a failing rule hurts nobody; an admin sees, tries and switches."""
import contextlib
import json
import os
import sqlite3
import time

import harness

SCHEMA = """
CREATE TABLE item(id TEXT PRIMARY KEY, n INTEGER DEFAULT 0, l TEXT);
INSERT INTO satchel_table(name) VALUES('item');
CREATE TABLE line(id BLOB PRIMARY KEY, item TEXT, n INTEGER, who TEXT);
INSERT INTO satchel_table(name) VALUES('line');
CREATE TABLE tally(id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0);
INSERT INTO satchel_table(name) VALUES('tally');
INSERT INTO satchel_rule(tbl, col, rule) VALUES('tally', 'n', 'counter');
"""
# The id of a line is another each time: a rule that fired twice would leave two.
RULES = """
INSERT INTO automation(name, tbl, event, condition, actions) VALUES
('line', 'item', 'put', 'new.n > 0', 'INSERT INTO line(id, item, n, who) SELECT uuid7(), new.id, new.n, event.device FROM new, event'),
('tally', 'line', 'insert', NULL, 'UPDATE tally SET n = n + 1 WHERE id = 1'),
('bad', 'item', 'put', NULL, 'INSERT INTO item(id) SELECT id FROM new');
INSERT INTO automation(name, every, actions) VALUES('daily', '1d', 'INSERT INTO tally(id, n) VALUES(2, 1) ON CONFLICT(id) DO UPDATE SET n = n + 1');
"""


class Automation(harness.Case):
    def begin(self):
        schema = self.path("schema")
        os.mkdir(schema)
        for name, text in (("001_a.sql", SCHEMA), ("001_a.data.sql", "INSERT INTO tally(id) VALUES(1);"), ("automation.sql", RULES)):
            with open(os.path.join(schema, name), "w", encoding="ascii") as f:
                f.write(text)
        server = self.server(schema=schema)
        return server, self.device("a", server), self.device("b", server)

    def test_server_killed_at_random_instants_each_change_has_its_effect_once(self):
        server, a, b = self.begin()
        self.sync_all(a, b)
        items = 0
        for _ in range(12):
            for device in (a, b):
                device.sql("".join(f"INSERT INTO item(id, n) VALUES('{device.name}{items + i}', 1);" for i in range(10)))
            items += 10
            syncing = [device.start("sync", "--timeout", harness.PATIENCE_S) for device in (a, b)]
            time.sleep(self.random.uniform(0, 0.35))
            server.kill()
            server.start()
            for process in syncing:
                self.assertEqual(process.wait(harness.PATIENCE_S), 0, a.errors() + b.errors())
        self.sync_all(a, b)
        self.assertEqual(server.one("SELECT count(*) FROM item"), 2 * items)
        self.assertEqual(server.read("SELECT item FROM line GROUP BY item HAVING count(*) <> 1"), [])
        self.assertEqual(server.one("SELECT count(*) FROM line"), 2 * items)
        self.assertEqual(server.one("SELECT n FROM tally"), 2 * items)
        self.assertEqual(server.one("SELECT count(*) FROM line WHERE substr(item, 1, 1) <> who"), 0)
        self.assertEqual(server.one("SELECT count(*) FROM satchel_automation_run WHERE name = 'bad' AND rc <> 0"), 2 * items)
        self.assert_same(server, a, b)
        self.assert_sound(server, a, b)

    def test_admin_lists_tries_switches_and_reads_the_history(self):
        server, a, _ = self.begin()
        a.sync()
        a.sql("INSERT INTO item(id, n) VALUES('x', 0)")
        a.sync()
        self.assertEqual(server.ctl("automation", "history", "bad")[0]["rc"], "E_KEY_TAKEN")
        self.assertIn("its condition does not hold", server.ctl("automation", "try", "line", "--table", "item", "--key", "'x'")["report"])
        server.ctl("automation", "off", "line")
        a.sql("UPDATE item SET n = 5 WHERE id = 'x'")
        a.sync()
        tried = server.ctl("automation", "try", "line", "--table", "item", "--key", "'x'")["report"]
        self.assertIn("insert line(", tried)
        self.assertIn("update tally(1) n=1", tried)
        self.assertEqual(server.one("SELECT count(*) FROM line"), 0)
        server.ctl("automation", "on", "line")
        a.sql("UPDATE item SET n = 6 WHERE id = 'x'")
        a.sync()
        self.assertEqual(server.one("SELECT n FROM line"), 6)
        self.sync_all(a)
        self.assertEqual(a.one("SELECT n FROM tally"), 1)
        self.assertIn("automation bad has failed", server.read_log())

    def test_what_failed_is_run_again_once_and_reaches_the_devices(self):
        server, a, b = self.begin()
        self.sync_all(a, b)
        with open(self.path("automation.sql"), "w", encoding="ascii") as f:
            f.write(RULES.replace("INSERT INTO item(id) SELECT id FROM new", "INSERT INTO tally(id, n) SELECT n, length(l) FROM new"))
        server.ctl("automation", "publish", self.path("automation.sql"))
        a.sql("INSERT INTO item(id, n, l) VALUES('x', 1, 'one')")
        a.sync()
        failed = server.ctl("automation", "history", "bad")[0]
        self.assertEqual((failed["rc"], failed["replayed_by"]), ("E_KEY_TAKEN", None))
        line = server.ctl("automation", "history", "line")[0]
        self.assertIn("has not failed", server.ctl("automation", "replay", str(line["id"]), expect=1))
        server.ctl("automation", "off", "bad")
        server.sql("UPDATE item SET n = 7, l = 'seven' WHERE id = 'x'")
        self.assertIn("switch it on", server.ctl("automation", "replay", str(failed["id"]), expect=1))
        server.ctl("automation", "on", "bad")
        before = server.one("SELECT seq FROM satchel_server")
        done = server.ctl("automation", "replay", str(failed["id"]))
        self.assertEqual((done["failed"], done["wrote"]), (False, 1))
        self.assertEqual(server.one("SELECT seq FROM satchel_server"), before + 1)
        again = server.ctl("automation", "replay", str(failed["id"]), expect=1)
        self.assertIn(f"entry {done['id']} says what came of it", again)
        entries = {e["id"]: e for e in server.ctl("automation", "history", "bad")}
        self.assertEqual((entries[failed["id"]]["replayed_by"], entries[failed["id"]]["replayed_ms"]), (done["id"], entries[done["id"]]["at_ms"]))
        self.assertEqual((entries[done["id"]]["replays"], entries[done["id"]]["seq"], entries[done["id"]]["rc"]), (failed["id"], failed["seq"], None))
        self.assertEqual({r["name"]: r["failed"] for r in server.ctl("automation", "list")}["bad"], 0)
        self.sync_all(a, b)
        self.assertEqual([device.one("SELECT n FROM tally WHERE id = 7") for device in (a, b)], [5, 5])
        self.assert_same(server, a, b)
        self.assert_sound(server, a, b)

    def test_what_failed_and_is_dismissed_is_no_more_among_what_failed(self):
        server, a, _ = self.begin()
        a.sync()
        a.sql("".join(f"INSERT INTO item(id, n, l) VALUES('{x}', {n}, '{x}');" for n, x in enumerate("xyz")))
        a.sync()

        def failed():
            return [e["id"] for e in server.ctl("automation", "history", "bad") if e["rc"] and not e["settled_ms"]]
        first, second, third = failed()
        before = server.content()
        # All of them or none.
        self.assertIn("has no entry 999", server.ctl("automation", "dismiss", str(first), "999", expect=1))
        self.assertEqual(failed(), [first, second, third])
        server.ctl("automation", "dismiss", str(first), str(third))
        self.assertEqual(failed(), [second])
        self.assertEqual({r["name"]: r["failed"] for r in server.ctl("automation", "list")}["bad"], 1)
        for again in ("dismiss", "replay"):
            self.assertIn(f"entry {third} is settled", server.ctl("automation", again, str(third), expect=1))
        self.assertEqual(server.content(), before)
        audited = server.read("SELECT rc = 0, subject FROM satchel_audit WHERE action = 'automation.dismiss' ORDER BY id")
        self.assertEqual([(done, json.loads(subject)["ids"]) for done, subject in audited][:2], [(0, [first, 999]), (1, [first, third])])

    def test_timer_that_was_due_while_the_server_stood_still_runs_once(self):
        server, a, _ = self.begin()
        server.stop()
        with contextlib.closing(sqlite3.connect(server.store)) as db, db:
            db.execute("UPDATE satchel_automation SET last_ms = last_ms - 10 * 86400000 WHERE name = 'daily'")
        server.start()
        harness.wait_until(lambda: server.one("SELECT count(*) FROM tally WHERE id = 2 AND n = 1") == 1, "the timer has run")
        server.stop()
        server.start()
        a.sync()
        self.assertEqual(a.one("SELECT n FROM tally WHERE id = 2"), 1)

    def test_rules_that_do_not_fit_any_more_are_told_and_can_be_replaced(self):
        server, a, _ = self.begin()
        a.sync()
        server.stop()
        with contextlib.closing(sqlite3.connect(server.store)) as db, db:
            db.execute("UPDATE satchel_automation_text SET text = replace(text, 'new.n > 0', 'new.m > 0')")
        server.start()
        self.assertIn("the automations in force do not fit", server.read_log())
        self.assertIn("no such column: new.m", server.read_log())
        server.ctl("automation", "publish", self.path("schema/automation.sql"))
        a.sql("INSERT INTO item(id, n) VALUES('x', 1)")
        a.sync()
        self.assertEqual(server.one("SELECT n FROM line"), 1)


if __name__ == "__main__":
    harness.main()
