"""T11: a parent is deleted on the server while a device, offline, makes a child of it: the child is parked, or the parent comes back, or the child is taken
in without, as the rule of the table says (server/crm/scope.sql); what was made after it flows in every case."""
import company
from company import literal


class T11ParentGone(company.Company):
    def begin_with(self, sql):
        """A rep who holds what the SQL makes; {me} is the rep's id."""
        self.begin()
        self.rep = self.reps[0]
        self.hq.sql(sql.format(me=literal(self.rep)))
        self.ann = self.of_profile("ann", "rep", self.rep)
        return self.ann

    def after(self, ann, gone, made):
        """`gone` happens at the office while the device makes `made` and something else."""
        self.hq.sql(gone)
        ann.sql(made + f"INSERT INTO lead(id, company, created_by) VALUES(x'1f', 'Made after it', {literal(self.rep)})")
        ann.sync()
        self.assertEqual(self.hq.one("SELECT count(*) FROM lead WHERE id = x'1f'"), 1, "the queue was blocked")
        self.assertEqual(ann.one("SELECT count(*) FROM satchel_outbox WHERE state = 0"), 0)

    CONTACT = "INSERT INTO contact(id, given, owner_id) VALUES(x'01', 'Ada', {me})"

    def test_T11_child_of_a_deleted_contact_parked_queue_flows(self):
        ann = self.begin_with(self.CONTACT)
        self.after(ann, "DELETE FROM contact WHERE id = x'01'",
                   "INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'02', x'01', 'phone', '+351 1');")
        self.assertEqual([(r["code"], r["table"]) for r in self.hq.ctl("rejected")], [("E_FOREIGN_KEY", "contact_point")])
        self.assertEqual([name for (name,) in ann.read("SELECT name FROM satchel_rejected")], ["E_FOREIGN_KEY"])
        self.assertEqual(ann.one("SELECT count(*) FROM contact_point WHERE id = x'02'"), 0)
        self.assertEqual(self.hq.one("SELECT count(*) FROM contact WHERE id = x'01'"), 0)
        # Made again by whoever knows better, the child comes in by a retry.
        self.hq.sql(self.CONTACT.format(me=literal(self.rep)))
        ann.sync()
        ann.run("rejected", "retry", ann.one("SELECT n FROM satchel_rejected"))
        ann.sync()
        self.assertEqual(self.hq.one("SELECT value FROM contact_point WHERE id = x'02'"), "+351 1")

    def test_T11_child_of_a_deleted_account_revives_it_and_the_deletion_is_told(self):
        ann = self.begin_with("INSERT INTO account(id, name, owner_id) VALUES(x'01', 'Back & Sons', {me})")
        self.after(ann, "DELETE FROM account WHERE id = x'01'",
                   f"INSERT INTO contact(id, account_id, given, created_by) VALUES(x'02', x'01', 'Ada', {literal(self.rep)});")
        self.assertEqual(self.hq.ctl("rejected"), [])
        self.assertEqual(self.hq.read("SELECT name, owner_id FROM account WHERE id = x'01'"), [("Back & Sons", self.rep)])
        ann.sync()
        self.assertEqual(ann.read("SELECT a.name, c.given FROM contact c JOIN account a ON a.id = account_id WHERE c.id = x'02'"), [("Back & Sons", "Ada")])
        self.assertIn(("account", "x'01'"), [(c["table"], c["key"]) for c in self.hq.ctl("conflicts")], "a deletion was undone in silence")

    def test_T11_evidence_about_a_deleted_contact_is_kept_on_the_server(self):
        ann = self.begin_with(self.CONTACT)
        self.after(ann, "DELETE FROM contact WHERE id = x'01'",
                   "INSERT INTO interaction(id, contact_id, channel, at, subject) VALUES(x'02', x'01', 'phone', "
                   f"{company.midnight()}, 'She called');")
        self.assertEqual(self.hq.ctl("rejected"), [])
        self.assertEqual(self.hq.one("SELECT subject FROM interaction WHERE id = x'02'"), "She called")
        ann.sync()
        self.assertEqual(ann.one("SELECT count(*) FROM interaction WHERE id = x'02'"), 0, "it lies in no bucket, and is on the device")


if __name__ == "__main__":
    company.harness.main()
