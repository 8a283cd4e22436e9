"""What rows must satisfy: the device and the server give the same answer, whoever writes, and a device that does not look meets the server's check."""
import os
import subprocess
import time

import harness
import wire

SCHEMA = """
CREATE TABLE form(kind TEXT PRIMARY KEY, least INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('form', 'server', 'natural');
CREATE TABLE point(id TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT, note TEXT);
INSERT INTO satchel_table(name) VALUES('point');
INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES
  ('point', 'value', 'kind <> ''email'' OR value LIKE ''_%@_%''', 'EMAIL_FORM', 'no address'),
  ('point', 'value', 'NOT EXISTS(SELECT 1 FROM form f WHERE f.kind = point.kind AND length(value) < f.least)', 'TOO_SHORT', 'too short');
"""
RULES = """
INSERT INTO automation(name, tbl, event, condition, actions) VALUES
('blunder', 'point', 'insert', 'new.note = ''blunder''', 'INSERT INTO point(id, kind, value) SELECT new.id || ''+'', ''email'', ''nowhere'' FROM new');
"""
LATER = "INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES('point', 'note', 'note <> ''x''', 'NOTE_X', 'not x');\n"
EMAIL, SHORT = "EMAIL_FORM: no address", "TOO_SHORT: too short"
E_CHECK = 47


class Checks(harness.Case):
    def write(self, name, text):
        with open(os.path.join(self.path("schema"), name), "w", encoding="ascii") as f:
            f.write(text)

    def begin(self, *devices):
        os.mkdir(self.path("schema"))
        self.write("001_a.sql", SCHEMA)
        self.write("001_a.data.sql", "INSERT INTO form(kind, least) VALUES('phone', 3);")
        self.write("automation.sql", RULES)
        server = self.server(schema=self.path("schema"))
        devices = [self.device(name, server) for name in devices]
        self.sync_all(*devices)
        return server, *devices

    def refused_here(self, device, sql, words):
        """The program says the words and the code, and nothing is left of the statement."""
        before = device.content()
        self.assertIn(f"{words} (E_CHECK)", device.run("sql", "-", stdin=sql, expect=1).stderr)
        self.assertEqual(device.content(), before)

    def refused_there(self, device, words):
        device.sync()
        self.assertEqual(device.read("SELECT code, name, text, tbl FROM satchel_rejected"), [(-E_CHECK, "E_CHECK", words, "point")])
        device.run("rejected", "discard", device.one("SELECT n FROM satchel_rejected"))
        device.sync()

    def push(self, server, device, number, key, kind, value):
        """An insert by a client that looks at nothing; the server's result."""
        table, columns = server.one("SELECT id FROM satchel_table WHERE name = 'point'"), dict(server.read("SELECT c.name, c.id FROM satchel_column c"
                                    " JOIN satchel_table t ON t.id = c.tbl_id WHERE t.name = 'point'"))
        delta = [[table, 0, 1, [columns[c] << 2 for c in ("kind", "value", "note")], [key, kind, value, None]]]
        link = wire.Wire(server.sync_port, device.identity)
        self.addCleanup(link.close)
        link.send(*server.hello(last_number=number))
        self.assertEqual(link.receive_type(wire.WELCOME)[0], wire.WELCOME)
        link.send(wire.PUSH, 1, [[number, os.urandom(8), int(time.time() * 1000) << 16, 1, server.epoch(), None, None, 0, True, delta]])
        while True:
            answer = link.receive_type(wire.RESULTS)
            self.assertEqual(answer[0], wire.RESULTS, answer)
            for result in answer[1]:
                if result[0] == number:
                    return result

    def test_one_row_is_refused_alike_by_device_and_server_whoever_writes_it(self):
        server, phone, tablet = self.begin("phone", "tablet")
        rows = (("1", "email", "nowhere", EMAIL), ("2", "phone", "12", SHORT))
        for i, (key, kind, value, words) in enumerate(rows):
            insert = f"INSERT INTO point(id, kind, value) VALUES('{key}', '{kind}', '{value}');"
            self.refused_here(phone, insert, words)
            self.refused_here(phone, f"BEGIN; INSERT INTO point(id, kind) VALUES('9', 'x'); {insert} COMMIT;", words)
            # A client without the check.
            _, code, seq, *_, text = self.push(server, tablet, 100 + i, key, kind, value)
            self.assertEqual((code, seq, text), (E_CHECK, 0, words))
            # A device whose check was taken out of its file.
            phone.sql(f"DROP TRIGGER satchel_check_insert_{words.split(':')[0]}; {insert}")
            self.refused_there(phone, words)
            self.assertEqual(phone.one("SELECT count(*) FROM point"), 0)
            # The server's own author.
            done = subprocess.run([harness.program("satchelctl"), "--data", server.data, "sql", "-"], input=insert, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stderr)
        _, code, *_ = self.push(server, tablet, 102, "3", "email", "a@b")
        self.assertEqual(code, 0)
        # An automation: its cause stands, and its history has the words.
        phone.sql("INSERT INTO point(id, kind, note) VALUES('4', 'x', 'blunder')")
        phone.sync()
        self.assertEqual(server.read("SELECT name, rc, words FROM satchel_automation_run"), [("blunder", -E_CHECK, EMAIL)])
        self.assertEqual(server.read("SELECT id FROM point ORDER BY id"), [("3",), ("4",)])
        self.assert_same(server, phone)
        self.assert_sound(server, phone)

    def test_what_two_devices_come_to_together_is_refused_and_put_right_by_an_edit(self):
        server, phone, tablet = self.begin("phone", "tablet")
        phone.sql("INSERT INTO point(id, kind, value) VALUES('1', 'phone', '0123')")
        self.sync_all(phone, tablet)
        tablet.sql("UPDATE point SET kind = 'fax', value = '77'")
        phone.sql("UPDATE point SET kind = 'email', value = 'a@b'")
        tablet.sql("UPDATE point SET value = '78'")
        tablet.sync()
        phone.sql("UPDATE point SET note = 'n'")
        phone.sync()
        self.sync_all(tablet, phone)
        # Field by field: the e-mail's kind would stand beside the fax's later number.
        self.assertEqual(phone.read("SELECT name, text FROM satchel_rejected"), [("E_CHECK", EMAIL)])
        self.assertEqual(server.read("SELECT kind, value, note FROM point"), [("fax", "78", "n")])
        number = phone.one("SELECT n FROM satchel_rejected")
        phone.run("rejected", "edit", number, "UPDATE point SET value = 'c@d' WHERE id = '1'")
        self.sync_all(phone, tablet)
        self.assertEqual(server.read("SELECT kind, value FROM point"), [("email", "c@d")])
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 0)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_check_of_a_later_migration_holds_from_there_on_and_a_wrong_one_stops_the_server(self):
        server, phone = self.begin("phone")
        phone.sql("INSERT INTO point(id, kind, note) VALUES('1', 'x', 'x')")
        phone.sync()
        phone.sql("INSERT INTO point(id, kind, note) VALUES('2', 'x', 'x'); UPDATE point SET value = 'v' WHERE id = '1'")
        server.stop()
        self.write("002_b.sql", "\n" + LATER.replace("note <> ", "nota <> "))
        done = subprocess.run([harness.program("satcheld"), "--data", server.data, "--schema", self.path("schema")], capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("002_b.sql:2: check NOTE_X of point: no such column: nota", done.stdout + done.stderr + server.read_log())
        self.assertEqual((server.epoch(), server.one("SELECT count(*) FROM satchel_check")), (1, 2))
        self.write("002_b.sql", LATER)
        server.start()
        phone.sync()
        self.assertEqual(phone.read("SELECT name, text FROM satchel_rejected"), [("E_CHECK", "NOTE_X: not x")])
        # What was there stays and can be changed elsewhere; what an app may ask is in satchel_check.
        self.assertEqual(server.read("SELECT id, value, note FROM point"), [("1", "v", "x")])
        phone.sql("UPDATE point SET kind = 'y' WHERE id = '1'")
        self.refused_here(phone, "UPDATE point SET id = '3' WHERE id = '1';", "NOTE_X: not x")
        self.assertEqual(phone.read("SELECT tbl, col FROM satchel_check WHERE code = 'NOTE_X'"), [("point", "note")])
        phone.run("rejected", "discard", phone.one("SELECT n FROM satchel_rejected"))
        self.sync_all(phone)
        self.assert_same(server, phone)
        self.assert_sound(server, phone)

    def test_crm_fields_of_ones_own_are_checked_by_their_definition_offline(self):
        server = self.server()
        server.sql("INSERT INTO custom_field_def(id, entity, name, type, options, required) VALUES"
                   " (x'f1', 'account', 'since', 'date', NULL, 1), (x'f2', 'account', 'staff', 'integer', NULL, 0), (x'f3', 'account', 'vip', 'flag', NULL, 0),"
                   " (x'f4', 'account', 'size', 'option', '[\"small\", \"large\"]', 0)")
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO account(id, name) VALUES(x'a1', 'Corp')")
        put = "INSERT INTO custom_value(entity_row, field_id, entity, value) VALUES(x'a1', x'{}', 'account', {}) ON CONFLICT DO UPDATE SET value = excluded.value;"
        for field, good, bad in (("f1", "'2026-02-28'", "'2026-02-30'"), ("f2", "'-12'", "'12 people'"), ("f3", "'1'", "'yes'"), ("f4", "'large'", "'medium'")):
            phone.sql(put.format(field, good))
            self.refused_here(phone, put.format(field, bad), "CUSTOM_TYPE: the value is not of the kind that its field is: an integer, a date as 2026-12-31,"
                              " 0 or 1, or one of its options")
        self.refused_here(phone, put.format("f1", "NULL"), "CUSTOM_REQUIRED: this field may not be left empty")
        phone.sql(put.format("f2", "NULL") + put.format("ff", "'of a field that is not known here'"))
        phone.sql("DROP TRIGGER satchel_check_update_CUSTOM_TYPE; UPDATE custom_value SET value = 'tiny' WHERE field_id = x'f4'")
        phone.sync()
        self.assertEqual([(name, text.split(":")[0]) for name, text in phone.read("SELECT name, text FROM satchel_rejected")], [("E_CHECK", "CUSTOM_TYPE")])
        self.assertEqual(server.read("SELECT hex(field_id), value FROM custom_value ORDER BY 1"),
                         [("F1", "2026-02-28"), ("F2", None), ("F3", "1"), ("F4", "large"), ("FF", "of a field that is not known here")])


if __name__ == "__main__":
    harness.main()
