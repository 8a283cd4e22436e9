"""T9: a device whose clock is a day ahead or behind cannot win for ever, and the server says so."""
import os
import shutil
import unittest

import harness

FAKETIME = shutil.which("faketime")


@unittest.skipUnless(FAKETIME, "needs Debian's package faketime (tools/install-deps test)")
class T9Clock(harness.Case):
    def pair(self, shift):
        """A device with a right clock and one whose wall clock is off."""
        os.environ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        # faketime preloads its library before the sanitizer's.
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        server = self.server()
        right = self.device("right", server)
        wrong = self.device("wrong", prefix=[FAKETIME, "-f", shift])
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
