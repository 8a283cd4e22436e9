"""T17: a device that was in a drawer for a month: the log was not kept for it. It sends what it has, gets a snapshot, and nothing is lost."""
import harness


class T17Horizon(harness.Case):
    def a_month_later(self, server, *devices):
        """31 days on, with the log pruned as far as the others allow."""
        later = harness.with_clock("+31d")
        server.stop()
        server.prefix = later
        server.options = ["--history-days", "1", "--horizon-days", "30"]
        server.start()
        for device in devices:
            device.prefix = later

    def prune(self, server, device):
        """Upkeep is the first thing that a server does when somebody comes."""
        device.sync()
        server.stop()
        server.start()
        device.sync()
        harness.wait_until(lambda: server.one("SELECT floor FROM satchel_server") > self.stood, "the log to be pruned")

    def test_T17_device_away_for_31_days_sends_first_and_gets_a_snapshot(self):
        server = self.server()
        away, here = self.device("away", server), self.device("here", server)
        here.sync()
        here.sql("INSERT INTO contact(id, given, family, job_title, region_code) VALUES(x'01', 'Ada', 'Lovelace', 'none', 'N'),"
                 "(x'02', 'Charles', 'Babbage', 'none', 'N'), (x'03', 'Mary', 'Somerville', 'none', 'N');"
                 "INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', 'press')")
        self.sync_all(here, away)
        self.stood = away.status()["cursor"]
        away.sql("UPDATE contact SET job_title = 'analyst', visit_count = visit_count + 2 WHERE id = x'01';"
                 "UPDATE contact SET region_code = 'S' WHERE id = x'02';"
                 "UPDATE contact SET job_title = 'author' WHERE id = x'03';"
                 "INSERT INTO contact(id, given) VALUES(x'04', 'Augusta');"
                 "INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'05', 'contact', x'04', 'met at the fair')")
        here.sql("UPDATE contact SET visit_count = visit_count + 1, family = 'King' WHERE id = x'01';"
                 "UPDATE contact SET region_code = 'W' WHERE id = x'02'; DELETE FROM contact WHERE id = x'03';"
                 "DELETE FROM contact_tag; INSERT INTO contact(id, given) VALUES(x'06', 'Sophie')")
        here.sync()
        self.a_month_later(server, here, away)
        self.prune(server, here)
        self.assertIn("fenced", [kind for kind, in server.read("SELECT kind FROM satchel_event JOIN satchel_device d ON d.id = device WHERE d.name = 'away'")])
        away.sync()
        # By its stamps of a month ago: what it alone wrote stands, what somebody wrote since stays, and nothing of it is lost in silence.
        self.assertEqual(server.read("SELECT family, job_title, visit_count FROM contact WHERE id = x'01'"), [("King", "analyst", 3)])
        self.assertEqual(server.one("SELECT region_code FROM contact WHERE id = x'02'"), "W")
        self.assertEqual(server.one("SELECT body FROM note WHERE id = x'05'"), "met at the fair")
        lost = [(c["column"], c["lost"]) for c in server.ctl("conflicts") if c["lost_device"] == "away"]
        self.assertIn(("region_code", "'S'"), lost)
        # Of a deletion that the server has forgotten it can only say that the row is gone.
        self.assertIn(("job_title", "'author'"), lost)
        self.assertEqual(server.one("SELECT count(*) FROM contact WHERE id = x'03'"), 0)
        self.assertEqual(away.status()["pending"], 0)
        self.sync_all(here, away)
        self.assert_same(server, here, away)
        self.assert_sound(server, here, away)
        self.assertEqual(server.ctl("device", "show", "away")["incarnations"], 1, "it was taken for a copy")

    def test_T17_answer_lost_before_the_month_is_given_again_and_counts_once(self):
        server = self.server()
        proxy = self.proxy(server)
        away, here = self.device("away", server, proxy), self.device("here", server)
        here.sync()
        here.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        self.sync_all(here, away)
        self.stood = away.status()["cursor"]
        text = self.random.randbytes(20000).hex()  # does not compress: the push is what passes the limit, and hello is not
        away.sql(f"BEGIN; UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01';"
                 f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'02', 'contact', x'01', '{text}'); COMMIT")
        proxy.swallow_after(20000)
        process = away.start("sync")
        harness.wait_until(lambda: server.one("SELECT count(*) FROM note") == 1, "the push to be committed")
        process.kill()
        process.wait()
        proxy.break_links()
        proxy.heal()
        self.a_month_later(server, here, away)
        here.sql("UPDATE contact SET job_title = 'later' WHERE id = x'01'")
        self.prune(server, here)
        away.sync()
        self.assertEqual(server.read("SELECT visit_count, job_title FROM contact"), [(1, "later")])
        self.assertEqual(server.ctl("device", "show", "away")["incarnations"], 1, "it was taken for a copy")
        self.sync_all(here, away)
        self.assert_same(server, here, away)


if __name__ == "__main__":
    harness.main()
