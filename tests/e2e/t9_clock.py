"""T9: a device whose clock is a day ahead or behind cannot win for ever, and the server says so."""
import harness


class T9Clock(harness.Case):
    def pair(self, shift):
        """A device with a right clock and one whose wall clock is off."""
        server = self.server()
        right = self.device("right", server)
        wrong = self.device("wrong", prefix=harness.with_clock(shift))
        right.sync()
        right.sql("INSERT INTO contact(id, given, job_title) VALUES(x'01', 'Ada', 'none')")
        right.sync()
        # Enrolled with the right time: what is tested is a clock that goes wrong later.
        harness.Device(self, "wrong", wrong.path).enroll(server).sync()
        return server, right, wrong

    def test_T9_clock_a_day_ahead_does_not_win_for_ever(self):
        server, right, wrong = self.pair("+1d")
        wrong.sql("UPDATE contact SET job_title = 'from tomorrow' WHERE id = x'01'")
        wrong.sync()
        right.sync()
        right.sql("UPDATE contact SET job_title = 'today' WHERE id = x'01'")
        self.sync_all(right, wrong)
        self.assertEqual(server.one("SELECT job_title FROM contact"), "today")
        self.assert_same(server, right, wrong)
        shown = server.ctl("device", "show", "wrong")
        self.assertGreater(shown["clamped"], 0)
        self.assertAlmostEqual(shown["clock_offset_ms"], 86400_000, delta=60_000)
        self.assertAlmostEqual(wrong.status()["clock_offset_ms"], -86400_000, delta=60_000)
        self.assertIn("clock", server.read_log())

    def test_T9_clock_a_day_behind_still_wins_over_what_it_saw(self):
        server, right, wrong = self.pair("-1d")
        right.sql("UPDATE contact SET job_title = 'seen' WHERE id = x'01'")
        self.sync_all(right, wrong)
        wrong.sql("UPDATE contact SET job_title = 'knowingly' WHERE id = x'01'")
        self.sync_all(wrong, right)
        self.assertEqual(server.one("SELECT job_title FROM contact"), "knowingly")
        self.assertEqual(server.ctl("conflicts"), [])
        self.assert_same(server, right, wrong)


if __name__ == "__main__":
    harness.main()
