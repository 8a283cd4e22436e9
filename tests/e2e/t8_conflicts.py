"""T8: edits of different fields are both kept; of the same field one wins, and what lost is recorded on the server and on its device."""
import time

import harness


class T8Conflicts(harness.Case):
    def begin(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given, family, job_title, region_code, visit_count) VALUES(x'01', 'Ada', 'Byron', 'Buyer', 'N', 10)")
        self.sync_all(phone, tablet)
        return server, phone, tablet

    def test_T8_different_fields_offline_both_kept_no_conflict(self):
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET job_title = 'Director' WHERE id = x'01'")
        tablet.sql("UPDATE contact SET region_code = 'S' WHERE id = x'01'")
        self.sync_all(phone, tablet)
        self.assertEqual(phone.read("SELECT job_title, region_code FROM contact"), [("Director", "S")])
        self.assertEqual(server.ctl("conflicts"), [])
        self.assert_same(server, phone, tablet)

    def same_field(self, first, second):
        """Phone edits before tablet; `first` pushes before `second`."""
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET job_title = 'From the phone' WHERE id = x'01'")
        time.sleep(0.01)
        tablet.sql("UPDATE contact SET job_title = 'From the tablet' WHERE id = x'01'")
        devices = {"phone": phone, "tablet": tablet}
        self.sync_all(devices[first], devices[second])
        self.assert_same(server, phone, tablet)
        self.assertEqual(server.one("SELECT job_title FROM contact"), "From the tablet", "the later edit did not win")
        log = server.ctl("conflicts")
        self.assertEqual([(c["table"], c["column"], c["rule"], c["kept"], c["kept_device"], c["lost"], c["lost_device"]) for c in log],
                         [("contact", "job_title", "lww", "'From the tablet'", "tablet", "'From the phone'", "phone")])
        self.assertEqual(phone.read("SELECT tbl, col, rule, kept, lost FROM satchel_conflicts"),
                         [("contact", "job_title", "lww", "From the tablet", "From the phone")])
        self.assertEqual(tablet.read("SELECT count(*) FROM satchel_conflicts"), [(0,)])
        self.assert_sound(server, phone, tablet)

    def test_T8_same_field_later_edit_pushed_last_wins_conflict_on_server_and_loser(self):
        self.same_field("phone", "tablet")

    def test_T8_same_field_later_edit_pushed_first_wins_conflict_on_server_and_loser(self):
        self.same_field("tablet", "phone")

    def test_T8_group_is_one_writers_counter_adds(self):
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET given = 'Augusta', visit_count = visit_count + 2 WHERE id = x'01'")
        time.sleep(0.01)
        tablet.sql("UPDATE contact SET family = 'King', visit_count = visit_count + 1 WHERE id = x'01'")
        self.sync_all(phone, tablet)
        self.assertEqual(server.read("SELECT given, family, visit_count FROM contact"), [("Ada", "King", 13)])
        self.assertEqual(sorted(c["column"] for c in server.ctl("conflicts")), ["family", "given"])
        self.assert_same(server, phone, tablet)

    def test_T8_known_overwrite_is_no_conflict(self):
        server, phone, tablet = self.begin()
        phone.sql("UPDATE contact SET job_title = 'one' WHERE id = x'01'")
        self.sync_all(phone, tablet)
        tablet.sql("UPDATE contact SET job_title = 'two' WHERE id = x'01'")
        self.sync_all(tablet, phone)
        self.assertEqual(phone.one("SELECT job_title FROM contact"), "two")
        self.assertEqual(server.ctl("conflicts"), [])


if __name__ == "__main__":
    harness.main()
