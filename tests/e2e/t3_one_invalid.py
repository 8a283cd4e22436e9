"""T3: one invalid transaction among a thousand: 999 commit, one refusal is seen on both sides."""
import harness


class T3OneInvalid(harness.Case):
    def thousand(self, invalid):
        """A thousand transactions; number 500 is the invalid one."""
        return "".join(invalid if i == 500 else
                       f"INSERT INTO contact(id, given) VALUES(x'{i:08x}', 'Number {i}');" for i in range(1, 1001))

    def check(self, server, phone, tablet, code):
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
        return here[0][0]

    def test_T3_foreign_key_among_1000_999_commit_one_refusal_on_both_sides(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql(self.thousand("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b');"))
        phone.sync()
        number = self.check(server, phone, tablet, "E_FOREIGN_KEY")
        self.assertEqual(phone.one("SELECT count(*) FROM contact_point"), 0, "the refused row is still shown")
        # Settled by the device, and gone from both lists.
        phone.run("rejected", "discard", number)
        phone.sync()
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 0)
        harness.wait_until(lambda: server.ctl("rejected") == [], "the server to know of it")
        self.assert_sound(server, phone, tablet)

    def test_T3_check_among_1000_retried_as_it_was_refused_again_and_discarded_by_the_admin(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql("PRAGMA ignore_check_constraints = 1;" + self.thousand("INSERT INTO contact(id, given, birth_year) VALUES(x'99', 'Old', 1);"))
        phone.sync()
        number = self.check(server, phone, tablet, "E_CHECK")
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
        phone.sql("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b');"
                  "INSERT INTO contact(id, given) VALUES(x'01', 'Ada');"
                  "UPDATE contact_point SET value = 'c@d' WHERE id = x'99';"
                  "UPDATE contact SET given = 'Augusta' WHERE id = x'01';")
        phone.sync()
        self.assertEqual(phone.read("SELECT n, name, depends FROM satchel_rejected ORDER BY n"), [(1, "E_FOREIGN_KEY", 0), (3, "E_DEPENDS", 1)])
        self.assertEqual(server.read("SELECT given FROM contact"), [("Augusta",)])
        self.assert_same(server, phone)

    def test_T3_foreign_key_put_right_and_retried_commits(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql(self.thousand("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b');"))
        phone.sync()
        number = self.check(server, phone, tablet, "E_FOREIGN_KEY")
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
