"""T15: a lead, or a company, goes to somebody else while the one who had it holds unsent edits: the edits land, the rows leave."""
import company
from company import literal


class T15Reassign(company.Company):
    def test_T15_lead_reassigned_with_unsent_edits_they_land_and_the_row_leaves(self):
        self.begin()
        ann, bob, ann_id, bob_id = self.two_reps()
        lead = b"\x0b"
        self.hq.sql(f"INSERT INTO lead(id, company, status, owner_id) VALUES(x'0b', 'Working & Sons', 'working', {literal(ann_id)})")
        ann.sync()
        key = literal(lead)
        ann.sql(f"UPDATE lead SET company = 'Named by Ann', status = 'qualified' WHERE id = {key};"
                f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'0a', 'lead', {key}, 'Written before she knew');"
                f"UPDATE note SET body = 'Written twice' WHERE id = x'0a'")
        self.give("lead", lead, bob_id)
        bob.sync()
        self.assertTrue(self.has(bob, "lead", lead), "the new one's device lacks it")
        self.assertTrue(self.has(ann, "lead", lead), "it left before the edits were sent")
        ann.sync()
        self.assertEqual(self.hq.read("SELECT company, status, owner_id FROM lead WHERE id = ?", lead), [("Named by Ann", "qualified", bob_id)])
        self.assertEqual(self.hq.one("SELECT body FROM note WHERE id = x'0a'"), "Written twice")
        self.assertEqual(self.hq.ctl("rejected"), [])
        self.assertEqual(ann.one("SELECT count(*) FROM lead WHERE id = ?", lead), 0, "it is still there")
        self.assertEqual(ann.one("SELECT count(*) FROM note WHERE id = x'0a'"), 0, "what hung on it is still there")
        bob.sync()
        self.assertEqual(bob.read("SELECT company, status FROM lead WHERE id = ?", lead), [("Named by Ann", "qualified")])
        self.assertEqual(bob.one("SELECT body FROM note WHERE id = x'0a'"), "Written twice")
        self.assert_sound(self.hq, ann, bob)

    def test_T15_what_has_left_is_not_to_be_had_back_by_its_key(self):
        self.begin()
        ann, _, ann_id, bob_id = self.two_reps()
        account = self.account_of(ann_id)
        name = self.hq.one("SELECT name FROM account WHERE id = ?", account)
        self.give("account", account, bob_id)
        ann.sync()
        self.assertFalse(self.has(ann, "account", account))
        ann.sql(f"INSERT INTO account(id, name, created_by) VALUES({literal(account)}, 'Mine again', {literal(ann_id)});"
                f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'0c', 'account', {literal(account)}, 'From outside')")
        ann.sync()
        self.assertEqual([r["number"] for r in self.hq.ctl("rejected")], [1, 2])
        self.assertEqual(self.hq.one("SELECT name FROM account WHERE id = ?", account), name)
        self.assertEqual(self.hq.one("SELECT count(*) FROM note WHERE id = x'0c'"), 0)
        self.assertFalse(self.has(ann, "account", account))
        self.assertFalse(self.has(ann, "note", b"\x0c"))


if __name__ == "__main__":
    company.harness.main()
