"""T3: one invalid transaction among a thousand: 999 commit, one refusal is seen on both sides."""
import json

import harness

NO_PARENT = "INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b');"


class T3OneInvalid(harness.Case):
    def refused_among_1000(self, invalid, code):
        """A thousand transactions, of which number 500 is invalid and refused."""
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql("".join(invalid if i == 500 else f"INSERT INTO contact(id, given) VALUES(x'{i:08x}', 'Number {i}');" for i in range(1, 1001)))
        phone.sync()
        self.assertEqual(server.one("SELECT count(*) FROM contact WHERE given LIKE 'Number %'"), 999)
        self.assertEqual(phone.one("SELECT count(*) FROM contact WHERE given LIKE 'Number %'"), 999)
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_outbox WHERE state = 0"), 0)
        there = server.ctl("rejected")
        self.assertEqual([(r["device"], r["code"], r["state"]) for r in there], [("phone", code, "open")])
        here = phone.read("SELECT n, name, text FROM satchel_rejected")
        self.assertEqual([(n, name) for n, name, _ in here], [(there[0]["number"], code)])
        self.assertTrue(here[0][2], "a refusal without words")
        self.sync_all(tablet)
        self.assert_same(server, phone, tablet)
        return server, phone, tablet, here[0][0]

    def test_T3_foreign_key_among_1000_999_commit_one_refusal_on_both_sides(self):
        server, phone, tablet, number = self.refused_among_1000(NO_PARENT, "E_FOREIGN_KEY")
        self.assertEqual(phone.one("SELECT count(*) FROM contact_point"), 0, "the refused row is still shown")
        # Settled by the device, and gone from both lists.
        phone.run("rejected", "discard", number)
        phone.sync()
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 0)
        harness.wait_until(lambda: server.ctl("rejected") == [], "the server to know of it")
        self.assert_sound(server, phone, tablet)

    def test_T3_check_among_1000_retried_as_it_was_refused_again_and_discarded_by_the_admin(self):
        server, phone, tablet, number = self.refused_among_1000(
            "PRAGMA ignore_check_constraints = 1; INSERT INTO contact(id, given, birth_year) VALUES(x'99', 'Old', 1);", "E_CHECK")
        # Nothing was put right: the device's own CHECK stands before it now.
        self.assertIn("E_CHECK", phone.run("rejected", "retry", number, expect=1).stderr)
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 1)
        # The admin is first this time.
        server.ctl("rejected", "discard", "phone", number)
        self.assertEqual(server.ctl("rejected"), [])
        self.assertEqual([r["state"] for r in server.ctl("rejected", "--all")], ["discarded"])
        self.assert_sound(server, phone, tablet)

    def test_T3_N6_what_depends_on_the_invalid_one_is_parked_with_it_the_rest_flows(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        phone.sql(NO_PARENT +
                  "INSERT INTO contact(id, given) VALUES(x'01', 'Ada');"
                  "UPDATE contact_point SET value = 'c@d' WHERE id = x'99';"
                  "UPDATE contact SET given = 'Augusta' WHERE id = x'01';")
        phone.sync()
        self.assertEqual(phone.read("SELECT n, name, depends FROM satchel_rejected ORDER BY n"), [(1, "E_FOREIGN_KEY", 0), (3, "E_DEPENDS", 1)])
        self.assertEqual(server.read("SELECT given FROM contact"), [("Augusta",)])
        self.assert_same(server, phone)

    def refused_old(self):
        """A contact whose year of birth no CHECK lets pass, refused; beside it one of the same transaction that is well."""
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql("PRAGMA ignore_check_constraints = 1; BEGIN; INSERT INTO contact(id, given, birth_year) VALUES(x'99', 'Old', 1);"
                  "INSERT INTO contact(id, given) VALUES(x'98', 'Well'); COMMIT;")
        phone.sync()
        here, there = phone.read("SELECT n, name FROM satchel_rejected"), server.ctl("rejected")
        self.assertEqual([name for _, name in here], ["E_CHECK"])
        self.assertEqual([(r["number"], r["code"]) for r in there], [(here[0][0], "E_CHECK")])
        return server, phone, tablet, here[0][0]

    def test_T3_refusal_is_shown_with_rule_and_the_server_s_row_on_both_sides(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given, birth_year) VALUES(x'99', 'Ada', 1915)")
        self.sync_all(phone, tablet)
        tablet.sql("UPDATE contact SET birth_year = 1916 WHERE id = x'99'")
        phone.sql("PRAGMA ignore_check_constraints = 1; UPDATE contact SET birth_year = 1 WHERE id = x'99'")
        self.sync_all(tablet, phone)
        number = phone.one("SELECT n FROM satchel_rejected")
        # An edit that is not sent yet is not the server's.
        phone.sql("UPDATE contact SET birth_year = 1950 WHERE id = x'99'")
        here = json.loads(phone.run("rejected", "show", number, "--json").stdout)
        there = server.ctl("rejected", "show", "phone", number)
        for o in (here, there):
            self.assertEqual((o["code"], o["rule"]), ("E_CHECK", "check"))
            change, = o["changes"]
            self.assertEqual((change["op"], change["table"], change["key"]), ("update", "contact", {"id": {"base64": "mQ=="}}))
            self.assertEqual(change["wanted"], {"birth_year": 1})
            self.assertEqual((change["server"]["birth_year"], change["server"]["given"]), (1916, "Ada"))
        self.assertEqual(here["changes"][0]["was"], {"birth_year": 1915})
        self.assertEqual(here["text"], there["message"])
        self.assertIn("birth_year\t1915\t1\t1916\n", phone.run("rejected", "show", number).stdout)
        phone.run("rejected", "discard", number)
        phone.run("rejected", "show", number, expect=1)

    def test_T3_refusal_edited_on_the_device_is_one_transaction_and_commits(self):
        server, phone, tablet, number = self.refused_old()
        # What fails in the middle changes nothing.
        phone.run("rejected", "edit", number, "UPDATE contact SET birth_year = 1970 WHERE id = x'99'; UPDATE nothing SET x = 1", expect=1)
        phone.run("rejected", "edit", number, "UPDATE contact SET birth_year = 2 WHERE id = x'99'", expect=1)
        self.assertEqual(phone.read("SELECT n FROM satchel_rejected"), [(number,)])
        self.assertEqual(phone.one("SELECT count(*) FROM contact"), 0)
        before = phone.one("SELECT max(n) FROM satchel_outbox")
        phone.run("rejected", "edit", number, "UPDATE contact SET birth_year = 1970 WHERE id = x'99'")
        self.assertEqual(phone.read("SELECT resolves FROM satchel_outbox WHERE n > ?", before), [(number,)])
        self.sync_all(phone, tablet)
        self.assertEqual(server.read("SELECT given, birth_year FROM contact ORDER BY id"), [("Well", None), ("Old", 1970)])
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 0)
        self.assertEqual([r["state"] for r in server.ctl("rejected", "--all")], ["retried"])
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_T3_refusal_edited_by_the_admin_commits_and_can_be_retried_by_nobody(self):
        server, phone, tablet, number = self.refused_old()
        edit = {"table": "contact", "key": {"id": {"base64": "mQ=="}}, "values": {"birth_year": 1970, "family": "Brown"}}
        edits = self.path("edits.json")

        def write(value):
            with open(edits, "w", encoding="utf-8") as f:
                json.dump(value, f)

        # As it is, it is refused again, and nothing of it stays.
        with self.assertRaisesRegex(AssertionError, "E_CHECK"):
            server.ctl("rejected", "retry", "phone", number)
        for wrong, code in ((dict(edit, table="nothing"), "E_MISUSE"), (dict(edit, values={"birth_year": "x"}), "E_TYPE"),
                            (dict(edit, key={"id": {"base64": "AAAA"}}), "E_MISUSE"), (dict(edit, values={"nothing": 1}), "E_UNKNOWN_COLUMN"), ([7], "E_MISUSE"), (7, "not JSON")):
            write(wrong)
            with self.assertRaisesRegex(AssertionError, code):
                server.ctl("rejected", "edit", "phone", number, edits)
        self.assertEqual([r["state"] for r in server.ctl("rejected")], ["open"])
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 0)
        write([edit])
        server.ctl("rejected", "edit", "phone", number, edits)
        self.assertEqual(server.ctl("rejected"), [])
        with self.assertRaisesRegex(AssertionError, "E_RESOLVED"):
            server.ctl("rejected", "retry", "phone", number)
        self.sync_all(phone, tablet)
        self.assertEqual(phone.read("SELECT given, family, birth_year FROM contact ORDER BY id"), [("Well", None, None), ("Old", "Brown", 1970)])
        # The device is second, and has heard of it.
        harness.wait_until(lambda: phone.sync() and not phone.read("SELECT n FROM satchel_rejected"), "the device to hear of it")
        self.assertIn("E_RESOLVED", phone.run("rejected", "edit", number, "UPDATE contact SET birth_year = 1980 WHERE id = x'99'", expect=1).stderr)
        self.sync_all(phone, tablet)
        self.assertEqual(server.one("SELECT birth_year FROM contact WHERE given = 'Old'"), 1970)
        harness.wait_until(lambda: server.ctl("rejected") == [], "the server to know of it")
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_T3_foreign_key_put_right_and_retried_commits(self):
        server, phone, tablet, number = self.refused_among_1000(NO_PARENT, "E_FOREIGN_KEY")
        tablet.sql("INSERT INTO contact(id, given) VALUES(x'dead', 'Found')")
        self.sync_all(tablet, phone)
        phone.run("rejected", "retry", number)
        self.sync_all(phone, tablet)
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 0)
        self.assertEqual(server.one("SELECT value FROM contact_point"), "a@b")
        harness.wait_until(lambda: server.ctl("rejected") == [], "the server to know of it")
        self.assert_same(server, phone, tablet)


if __name__ == "__main__":
    harness.main()
