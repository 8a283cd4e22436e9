"""Checksums: a wrong value on a device or in the store, which no program of ours wrote, is found, told, and healed; and nothing but its range is sent."""
import json
import sqlite3

import harness

CONTACTS = 1000


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
        log = self.srv.read_log()
        self.assertIn("error the store: table contact, row x'00000000000000000000000000000014': family does not hold what the log says; "
                      "it was put right from the log event=checksum", log)
        self.assertIn("row x'00000000000000000000000000000015': is missing", log)
        self.assertNotIn("device=phone event=checksum", log)
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


if __name__ == "__main__":
    harness.main()
