"""N3: a device's file that was copied or put back from an older copy goes on as a new incarnation; nothing is lost or counted twice."""
import shutil

import harness


class N3CopiedFile(harness.Case):
    def begin(self):
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 0)")
        self.sync_all(phone, other)
        return server, phone, other

    def visit(self, device, tag):
        device.sql(f"BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
                   f"INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', '{tag}'); COMMIT")

    def finish(self, server, tags, *devices):
        self.sync_all(*devices)
        self.assertEqual(sorted(r[0] for r in server.read("SELECT tag FROM contact_tag")), sorted(tags))
        self.assertEqual(server.one("SELECT visit_count FROM contact"), len(tags))
        self.assert_same(server, *devices)
        self.assert_sound(server, *devices)
        self.assertGreater(server.ctl("device", "show", "phone")["incarnations"], 1)
        self.assertIn("restored or cloned", server.read_log())

    def test_N3_copy_and_original_both_go_on_nothing_lost_or_doubled(self):
        server, phone, other = self.begin()
        self.visit(phone, "before the copy")
        clone = phone.copy("clone")
        self.visit(phone, "phone 1")
        self.visit(clone, "clone 1")
        self.visit(clone, "clone 2")
        self.sync_all(phone, clone)
        self.visit(phone, "phone 2")
        self.visit(clone, "clone 3")
        # What the copy carried from before it was made has the original's number and id: it counts once.
        self.finish(server, ["before the copy", "phone 1", "phone 2", "clone 1", "clone 2", "clone 3"], phone, clone, other)

    def test_N3_copy_whose_own_push_never_arrived_takes_no_result_of_the_original(self):
        """The copy has noted that its numbers may have been sent; the original's transactions of these numbers are what the server knows."""
        server, phone, other = self.begin()
        clone = phone.copy("clone")
        self.visit(phone, "phone 1")
        self.visit(clone, "clone 1")
        clone.set_state("sent_number = (SELECT max(n) FROM satchel_outbox)")
        phone.sync()
        self.finish(server, ["phone 1", "clone 1"], clone, phone, other)

    def test_N3_file_put_back_without_its_key_and_enrolled_as_another_device_doubles_nothing(self):
        """As a telephone's backup brings it to the next one, whose key store is empty."""
        server, phone, other = self.begin()
        phone.sync()
        self.visit(phone, "in the backup")
        phone.sql("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b')")
        backup = phone.copy("backup")
        phone.sync()
        shutil.rmtree(backup.identity)
        backup.name = "next"
        self.visit(backup, "after it")
        backup.enroll(server)
        self.visit(phone, "meanwhile")
        self.sync_all(phone, backup, other)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 3)
        self.assertEqual((phone.status()["refused"], backup.status()["refused"], len(server.ctl("rejected"))), (1, 1, 2))
        backup.run("rejected", "discard", backup.one("SELECT n FROM satchel_rejected"))
        self.sync_all(phone, backup, other)
        self.assert_same(server, phone, backup, other)
        self.assert_sound(server, phone, backup, other)

    def test_N3_older_file_put_back_goes_on_nothing_lost_or_doubled(self):
        server, phone, other = self.begin()
        self.visit(phone, "known")
        phone.sync()
        backup = phone.copy("backup")
        self.visit(phone, "after the backup 1")
        self.visit(phone, "after the backup 2")
        phone.sync()
        self.visit(backup, "on the restored file")
        self.finish(server, ["known", "after the backup 1", "after the backup 2", "on the restored file"], backup, other)

    def test_N3_older_file_put_back_without_new_work_comes_up_to_date(self):
        server, phone, other = self.begin()
        backup = phone.copy("backup")
        self.visit(phone, "sent by the original")
        phone.sync()
        self.finish(server, ["sent by the original"], backup, other)


if __name__ == "__main__":
    harness.main()
