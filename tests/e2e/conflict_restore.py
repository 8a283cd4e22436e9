"""What lost to a concurrent write, put back by an admin or accepted as it is: over the console's API, and what devices see of it."""
import time

import harness
from console_client import Browser, first_password

ADA, BOB = "x'a0a0'", "x'b0b0'"


class ConflictRestore(harness.Case):
    def setUp(self):
        super().setUp()
        self.hq = self.server()
        self.phone, self.tablet = self.device("phone", self.hq), self.device("tablet", self.hq)
        self.phone.sync()
        self.phone.sql(f"INSERT INTO contact(id, given, job_title) VALUES({ADA}, 'Ada', 'Before'), ({BOB}, 'Bob', 'Before')")
        self.sync_all(self.phone, self.tablet)
        self.admin = Browser(self.hq)
        self.admin.login("admin", first_password(self.hq))

    def quarrel(self, row):
        """Both write one field, the tablet last. The conflict's id."""
        self.phone.sql(f"UPDATE contact SET job_title = 'Phone' WHERE id = {row}")
        time.sleep(0.05)
        self.tablet.sql(f"UPDATE contact SET job_title = 'Tablet' WHERE id = {row}")
        self.sync_all(self.phone, self.tablet)
        return self.hq.ctl("conflicts")[0]["id"]

    def title(self, device, row=ADA):
        return device.one(f"SELECT job_title FROM contact WHERE id = {row}")

    def state(self, number):
        return self.admin.get(f"/v1/admin/conflicts/{number}")["conflict"]["state"]

    def test_restored_value_reaches_every_device_and_is_restored_once(self):
        number = self.quarrel(ADA)
        self.assertEqual((self.title(self.phone), self.state(number)), ("Tablet", "open"))
        answer = self.admin.command("conflict.restore", id=number)
        self.assertGreater(answer["seq"], 0)
        self.sync_all(self.phone, self.tablet, rounds=1)
        self.assertEqual((self.title(self.phone), self.title(self.tablet), self.state(number)), ("Phone", "Phone", "restored"))
        self.assert_same(self.hq, self.phone, self.tablet)
        self.admin.command("conflict.restore", 404, id=number)
        self.admin.command("conflict.accept", 404, ids=[number])
        self.admin.command("conflict.restore", 404, id=number + 1000)

    def test_restore_into_a_row_that_is_gone_is_refused_and_leaves_it_open(self):
        number = self.quarrel(BOB)
        self.phone.sql(f"DELETE FROM contact WHERE id = {BOB}")
        self.phone.sync()
        self.assertIn("not there any more", self.admin.command("conflict.restore", 422, id=number)["detail"])
        self.assertEqual(self.state(number), "open")
        self.assertEqual(self.hq.one("SELECT count(*) FROM contact"), 1)

    def quarrel_about_name(self, phone, tablet):
        """As quarrel, about columns that are one group. The conflicts' ids by column."""
        self.phone.sql(f"UPDATE contact SET {phone} WHERE id = {ADA}")
        time.sleep(0.05)
        self.tablet.sql(f"UPDATE contact SET {tablet} WHERE id = {ADA}")
        self.sync_all(self.phone, self.tablet)
        return {c["column"]: c["id"] for c in self.hq.ctl("conflicts")}

    def name(self, device):
        return device.read(f"SELECT given, family FROM contact WHERE id = {ADA}")

    def test_M2_restored_value_of_a_group_brings_back_what_was_written_with_it(self):
        ids = self.quarrel_about_name("given = 'Augusta', family = 'Byron'", "given = 'Eve', family = 'Moneypenny'")
        self.assertEqual(set(ids), {"given", "family"})
        self.hq.ctl("conflict", "restore", str(ids["given"]))
        self.sync_all(self.phone, self.tablet, rounds=1)
        self.assertEqual(self.name(self.phone), [("Augusta", "Byron")])
        self.assertEqual((self.state(ids["given"]), self.state(ids["family"])), ("restored", "restored"))
        self.assert_same(self.hq, self.phone, self.tablet)

    def test_M2_restore_of_half_a_group_is_refused_once_the_other_half_is_not_known(self):
        """Both kept the family name that was there: no entry tells of it."""
        self.phone.sql(f"UPDATE contact SET family = 'Byron' WHERE id = {ADA}")
        self.sync_all(self.phone, self.tablet)
        ids = self.quarrel_about_name("given = 'Augusta'", "given = 'Anne'")
        self.assertEqual(set(ids), {"given"})
        self.tablet.sql(f"UPDATE contact SET given = 'Eve', family = 'Moneypenny' WHERE id = {ADA}")
        self.sync_all(self.phone, self.tablet)
        self.assertIn("its group was written again since", self.hq.ctl("conflict", "restore", str(ids["given"]), expect=1))
        self.assertEqual((self.state(ids["given"]), self.name(self.tablet)), ("open", [("Eve", "Moneypenny")]))
        self.tablet.sql(f"DELETE FROM contact WHERE id = {ADA}")
        self.tablet.sync()
        self.assertIn("not there any more", self.hq.ctl("conflict", "restore", str(ids["given"]), expect=1))

    def test_M2_restore_of_half_a_group_is_made_while_the_other_half_stands(self):
        self.phone.sql(f"UPDATE contact SET family = 'Byron' WHERE id = {ADA}")
        self.sync_all(self.phone, self.tablet)
        ids = self.quarrel_about_name("given = 'Augusta'", "given = 'Anne'")
        self.hq.ctl("conflict", "restore", str(ids["given"]))
        self.sync_all(self.phone, self.tablet, rounds=1)
        self.assertEqual(self.name(self.tablet), [("Augusta", "Byron")])

    def test_accept_changes_no_data_and_takes_all_or_none(self):
        one, other = self.quarrel(ADA), self.quarrel(BOB)
        seq = self.hq.ctl("status")["position"]["seq"]
        self.admin.command("conflict.accept", 404, ids=[one, other, other + 1000])
        self.assertEqual((self.state(one), self.state(other)), ("open", "open"))
        self.assertEqual(self.admin.command("conflict.accept", ids=[one, other])["accepted"], 2)
        self.assertEqual((self.state(one), self.state(other)), ("accepted", "accepted"))
        self.assertEqual(self.hq.ctl("status")["position"]["seq"], seq)
        self.admin.command("conflict.accept", 422, ids=[])
        actions = [a["action"] for a in self.admin.get("/v1/admin/audit?filter.action=conflict.accept")["items"]]
        self.assertEqual(len(actions), 3)

    def test_satchelctl_lists_shows_accepts_and_restores(self):
        one, other = self.quarrel(ADA), self.quarrel(BOB)
        self.assertEqual([(c["id"], c["state"]) for c in self.hq.ctl("conflict", "list")], [(other, "open"), (one, "open")])
        shown = self.hq.ctl("conflict", "show", str(one))
        self.assertEqual((shown["conflict"]["lost"], shown["conflict"]["kept"], shown["now"]), ("'Phone'", "'Tablet'", "'Tablet'"))
        self.hq.ctl("conflict", "accept", str(other))
        self.assertEqual([c["id"] for c in self.hq.ctl("conflict", "list", "--open")], [one])
        self.assertGreater(self.hq.ctl("conflict", "restore", str(one))["seq"], 0)
        self.assertEqual(self.hq.ctl("conflict", "list", "--open"), [])
        shown = self.hq.ctl("conflict", "show", str(one))
        self.assertEqual((shown["conflict"]["state"], shown["now"]), ("restored", "'Phone'"))
        self.assertGreater(shown["conflict"]["resolved_ms"], 0)
        self.sync_all(self.phone, self.tablet, rounds=1)
        self.assertEqual((self.title(self.phone), self.title(self.tablet, BOB)), ("Phone", "Tablet"))
        for words in (["restore", str(one)], ["accept", str(other)], ["show", "999"]):
            self.assertIn("there is no conflict", self.hq.ctl("conflict", *words, expect=1))
        for words in (["show", "one"], ["restore", "-1"], ["accept", str(one), "x"]):
            self.hq.ctl("conflict", *words, expect=2)


if __name__ == "__main__":
    harness.main()
