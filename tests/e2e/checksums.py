"""Checksums: a wrong value on a device or in the store, which no program of ours wrote, is found, told, and healed; and nothing but its range is sent."""
import json
import os
import sqlite3
import subprocess

import harness

CONTACTS = 1000

# Keys and columns of every kind, whose values two programs could take for different ones; half of the columns are masked from one device.
SHAPES = """
CREATE TABLE loose(c TEXT, a, b REAL, real_default REAL DEFAULT 0, text_default TEXT DEFAULT 5, number NUMERIC DEFAULT '7', any_default DEFAULT 1.5,
  made DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY(c, a)) WITHOUT ROWID;
CREATE TABLE numeric_key(n NUMERIC PRIMARY KEY, v);
CREATE TABLE real_key(r REAL PRIMARY KEY, v INTEGER, long INTEGER AS (v * 2) STORED);
INSERT INTO satchel_table(name) VALUES('loose'), ('numeric_key'), ('real_key');
"""
LATER = """
ALTER TABLE loose ADD COLUMN later REAL DEFAULT 3;
ALTER TABLE numeric_key ADD COLUMN later TEXT DEFAULT 4;
ALTER TABLE real_key DROP COLUMN long;
"""
RULES = """
INSERT INTO scope_bucket(tbl, name, value) VALUES('loose', 'all', NULL), ('numeric_key', 'all', NULL), ('real_key', 'all', NULL);
INSERT INTO scope_profile(name, buckets) VALUES('full', 'SELECT ''all'', NULL'), ('part', 'SELECT ''all'', NULL');
INSERT INTO scope_mask(profile, tbl, columns) VALUES('part', 'loose', 'real_default,text_default,number,any_default,made');
INSERT INTO scope_write(profile, tbl, ops) VALUES('full', 'loose', 'insert,update,delete'), ('full', 'numeric_key', 'insert,update,delete'), ('full', 'real_key', 'insert,update,delete');
"""
# NAME: of each author its own, in a key.
ROWS = """
INSERT INTO loose(a, b, c) VALUES(1, 1, NAME), (1.5, 2, NAME), ('1', -0.0, NAME), (x'31', 1e300, NAME), ('', NULL, NAME), (x'', 9007199254740993, NAME), (-5, 0.1, NAME), ('é', 3, NAME);
INSERT INTO loose(a, c, real_default, text_default, number, any_default) VALUES(9, NAME, 1, 1, 1.0, 1), (10, NAME, '2', 2.5, '3e2', '1'), (11, NAME, NULL, NULL, NULL, NULL),
  (12, NAME, -0.0, 'words', 1e18, x'02'), (13, NAME, 1e400, '', 9223372036854775807, -1e-320);
"""
KEYS = """
INSERT INTO numeric_key(n, v) VALUES(1, 1), (1.5, 1.0), ('2.0', '2'), (-7.25, x'00'), (0, NULL), (9223372036854775807, 1), (-9223372036854775808, 2), (1e18, 3), (1e19, 4), (-1e-300, 5);
INSERT INTO real_key(r, v) VALUES(1, 1), ('2', '2'), (2.5, 3), (-0.0, 4), (1e308, 5), (-1e308, 6), (9007199254740993, 7);
"""


def plant(path, *statements):
    """Writes past everything of ours: without the triggers that capture, and without the library."""
    db = sqlite3.connect(path, timeout=10)
    with db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            db.execute(statement)
        for _, sql in triggers:
            db.execute(sql)
    db.close()


def key(i):
    return f"x'{i:032x}'"


class Checksums(harness.Case):
    def setUp(self):
        super().setUp()
        self.srv = self.server()
        self.srv.sql("BEGIN;" + "".join(f"INSERT INTO contact(id, given, family) VALUES({key(i)}, 'given {i}', 'family {i}');\n" for i in range(CONTACTS)) + "COMMIT;")
        self.phone = self.device("phone", self.srv)
        self.phone.sync()

    def compare(self, device):
        return device.run("verify", "--server").stdout

    def assert_alert(self):
        # What was counted is put down within the minute, or at the end; and it is looked at once a minute, or when a rule is switched.
        self.srv.stop()
        self.srv.start()
        self.srv.ctl("alert", "on", "rows-differ")
        self.assertIn(("rows-differ", "critical", "open"), [(a["rule"], a["severity"], a["state"]) for a in self.srv.ctl("alert", "list")["alerts"]])

    def test_device_wrong_missing_extra_healed_told_and_logged(self):
        self.assertIn(": 0 repaired", self.compare(self.phone))
        self.assertNotIn("event=checksum", self.srv.read_log())
        plant(self.phone.path, f"UPDATE contact SET given = 'somebody else' WHERE id = {key(700)}", f"DELETE FROM contact WHERE id = {key(300)}",
              f"UPDATE contact SET id = {key(5000)} WHERE id = {key(999)}")
        told = self.compare(self.phone)
        self.assertIn("rows of contact were not what the server has, and were repaired", told)
        self.assertIn(": 4 repaired", told)
        self.assert_same(self.srv, self.phone)
        self.assertEqual(self.phone.one(f"SELECT given FROM contact WHERE id = {key(700)}"), "given 700")
        log = self.srv.read_log()
        self.assertIn("table contact", log)
        self.assertIn("event=checksum device=phone", log)
        # Three ranges: not the rows of others.
        self.assertEqual(log.count("event=checksum"), 3)
        self.assertIn(": 0 repaired", self.compare(self.phone))
        # What the app writes then is sent as ever.
        self.phone.sql(f"UPDATE contact SET given = 'new' WHERE id = {key(700)}")
        self.phone.sync()
        self.assertEqual(self.srv.one(f"SELECT given FROM contact WHERE id = {key(700)}"), "new")
        self.assert_alert()

    def show(self):
        return self.srv.ctl("device", "show", "phone")

    def test_comparison_ordered_of_a_connected_device_heals_it_at_once_and_is_seen(self):
        self.assertIsNone(self.show()["compared_ms"])
        plant(self.phone.path, f"UPDATE contact SET given = 'somebody else' WHERE id = {key(700)}")
        watching = self.phone.start("sync", "--watch")
        harness.wait_until(lambda: self.srv.ctl("status")["since_start"]["sessions"], "the phone to connect")
        self.assertIsNone(self.show()["verify_ms"])
        self.srv.ctl("device", "verify", "phone")
        self.assertIsNotNone(self.show()["verify_ms"] or self.show()["compared_ms"])
        shown = harness.wait_until(lambda: self.show() if self.show()["compared_ms"] else None, "the comparison")
        watching.terminate()
        watching.wait(harness.PATIENCE_S)
        self.assertIsNone(shown["verify_ms"])
        self.assertEqual((shown["compared_rows"] >= CONTACTS, shown["compared_differed"], shown["compared_passed"]), (True, 1, 0))
        found, = shown["compared_found"]
        self.assertEqual(found["table"], "contact")
        self.assertIn("up to x'", found["keys"])
        self.assertEqual(found["device_rows"], found["store_rows"])
        self.assertEqual(self.phone.one(f"SELECT given FROM contact WHERE id = {key(700)}"), "given 700")
        self.assert_same(self.srv, self.phone)
        words = subprocess.run([harness.program("satchelctl"), "--data", self.srv.data, "device", "show", "phone"], capture_output=True, text=True, check=True).stdout
        self.assertRegex(words, r"ranges that differed +1\n")
        self.assertRegex(words, r"(?s)DIFFERED IN +KEYS.*\ncontact +")
        self.assertEqual(self.srv.one("SELECT count(*) FROM satchel_event WHERE kind IN ('verify', 'verified')"), 2)

    def test_comparison_ordered_while_the_device_is_away_waits_for_it_and_a_restart(self):
        plant(self.phone.path, f"DELETE FROM contact WHERE id = {key(300)}")
        self.phone.sync()
        self.assertEqual(self.phone.one("SELECT count(*) FROM contact"), CONTACTS - 1)
        self.srv.ctl("device", "verify", "phone")
        self.srv.stop()
        self.srv.start()
        self.assertIsNotNone(self.show()["verify_ms"])
        self.assertIsNone(self.show()["compared_ms"])
        self.phone.sync()
        self.assertEqual(self.phone.one("SELECT count(*) FROM contact"), CONTACTS)
        shown = self.show()
        self.assertIsNone(shown["verify_ms"])
        self.assertEqual(shown["compared_differed"], 1)
        self.assert_same(self.srv, self.phone)
        # It was done once; another finds nothing.
        log = self.srv.read_log().count("event=checksum")
        self.assertIn(": 0 repaired", self.compare(self.phone))
        again = self.show()
        self.assertGreater(again["compared_ms"], shown["compared_ms"])
        self.assertEqual((again["compared_differed"], again["compared_found"]), (0, []))
        self.assertEqual(self.srv.read_log().count("event=checksum"), log)

    def test_unsent_edit_kept_while_row_is_healed(self):
        plant(self.phone.path, f"UPDATE contact SET family = 'wrong' WHERE id = {key(10)}")
        self.phone.sql(f"UPDATE contact SET job_title = 'mine' WHERE id = {key(10)}")
        self.assertIn(": 1 repaired", self.compare(self.phone))
        self.assertEqual(self.phone.read(f"SELECT job_title, family FROM contact WHERE id = {key(10)}"), [("mine", "family 10")])
        self.assert_same(self.srv, self.phone)

    def test_store_wrong_found_by_a_device_and_healed_from_the_log(self):
        plant(self.srv.store, f"UPDATE contact SET family = 'nobody' WHERE id = {key(20)}", f"DELETE FROM contact WHERE id = {key(21)}")
        told = self.compare(self.phone)
        self.assertIn(": 0 repaired", told)
        self.assertEqual(self.srv.one(f"SELECT family FROM contact WHERE id = {key(20)}"), "family 20")
        # It is logged once it is done, and a device may be answered at once.
        missing = "row x'00000000000000000000000000000015': is missing"
        log = harness.wait_until(lambda: missing in (log := self.srv.read_log()) and log, "the lines of the log")
        self.assertIn("error the store: table contact, row x'00000000000000000000000000000014': family does not hold what the log says; "
                      "it was put right from the log event=checksum", log)
        self.assertNotIn("device=phone event=checksum", log)
        self.assert_alert()
        self.assert_same(self.srv, self.phone)
        self.assert_sound(self.srv, self.phone)
        # The rows are what they were to those who write them.
        self.phone.sql(f"UPDATE contact SET given = 'later' WHERE id IN ({key(20)}, {key(21)})")
        self.phone.sync()
        self.assertEqual(self.srv.one("SELECT count(*) FROM contact WHERE given = 'later'"), 2)
        self.assert_sound(self.srv, self.phone)

    def test_store_wrong_found_by_verify_and_put_right_when_asked(self):
        self.srv.sql(f"DELETE FROM contact WHERE id = {key(33)}; UPDATE contact SET job_title = 'first' WHERE id = {key(31)}")
        row = self.srv.read(f"SELECT * FROM contact WHERE id = {key(32)}")
        plant(self.srv.store, f"UPDATE contact SET job_title = 'second' WHERE id = {key(31)}", f"DELETE FROM contact WHERE id = {key(32)}")
        found = self.srv.ctl("verify", expect=1)
        self.assertIn("a row's job_title does not hold what commit", found)
        self.assertIn("is neither there nor deleted", found)
        self.assertEqual(self.srv.one(f"SELECT job_title FROM contact WHERE id = {key(31)}"), "second")
        repaired = json.loads(self.srv.ctl("verify", "--repair", expect=1))
        self.assertEqual(repaired["repaired"], 2)
        self.assertIn("job_title does not hold what the log says; it was put right from the log", repaired["repair"])
        self.assertEqual(self.srv.one(f"SELECT job_title FROM contact WHERE id = {key(31)}"), "first")
        self.assertEqual(self.srv.read(f"SELECT * FROM contact WHERE id = {key(32)}"), row)
        self.assertEqual(self.srv.ctl("verify", "--repair")["problems"], 0)
        self.phone.sync()
        self.assertIn(": 0 repaired", self.compare(self.phone))
        self.assert_same(self.srv, self.phone)


class Values(harness.Case):
    def compared_equal(self, server, *devices):
        for device in devices:
            device.sync()
            self.assertIn(": 0 repaired", device.run("verify", "--server").stdout)
        self.assertNotIn("event=checksum", server.read_log())

    def test_every_kind_of_key_and_value_counts_as_the_same_on_both_sides(self):
        schema = self.path("schema")
        os.mkdir(schema)
        for name, text in (("001_shapes.sql", SHAPES), ("scope.sql", RULES)):
            with open(os.path.join(schema, name), "w", encoding="utf-8") as f:
                f.write(text)
        server = self.server(schema=schema)
        phone, part = self.device("phone", server), self.device("part")
        part.enroll(server, options=["--profile", "part"])
        phone.sync()
        part.sync()
        phone.sql(ROWS.replace("NAME", "'x'") + KEYS)
        self.compared_equal(server, phone, part)
        server.sql(ROWS.replace("NAME", "7"))
        self.compared_equal(server, phone, part)
        self.assertEqual(phone.one("SELECT count(*) FROM loose"), 26)
        self.assertEqual(part.one("SELECT count(*) FROM loose WHERE real_default = 0 AND text_default = '5' AND made IS NULL"), 26)
        phone.sql("UPDATE loose SET b = b + 1, any_default = any_default || 'x'; UPDATE numeric_key SET v = -v; DELETE FROM real_key WHERE v = 3; UPDATE real_key SET r = r + 9 WHERE v = 1")
        self.compared_equal(server, phone, part)
        server.stop()
        with open(os.path.join(schema, "002_later.sql"), "w", encoding="utf-8") as f:
            f.write(LATER)
        server.start()
        self.compared_equal(server, phone, part)
        phone.sql("UPDATE loose SET later = 1 WHERE a = 1; INSERT INTO loose(a, c) VALUES(77, 'new'); UPDATE numeric_key SET later = 1 WHERE n > 1")
        self.compared_equal(server, phone, part)
        self.assert_same(server, phone)
        self.assertEqual(server.ctl("verify", "--repair")["problems"], 0)


if __name__ == "__main__":
    harness.main()
