"""Every piece of tests/bench/run once, on a few rows, in the build at hand: all measurements run, what they compare holds the same rows on both sides, and
every key is in the JSON and in the README's table. The figures themselves mean nothing here and are not looked at."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import figures


def run(*arguments):
    return subprocess.run([os.path.join(HERE, "run"), *arguments], capture_output=True, text=True, timeout=300)


class Run(unittest.TestCase):
    def test_a_small_run_gives_every_key(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "results.json")
            done = run("--small", "--repetitions", "1", "--build", os.environ["SATCHEL_BUILD"], "--json", path)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(path, encoding="utf-8") as f:
                results = json.load(f)
            table = run("--table", path).stdout
        self.assertEqual(sorted(results), sorted([*figures.BY_KEY, "conditions"]))
        for figure in figures.FIGURES:
            self.assertEqual(results[figure.key]["repetitions"], 1)
            self.assertEqual("met" in results[figure.key], figure.target is not None)
            self.assertIn(f"`{figure.key}`", table)

    def test_each_report_that_is_checked_is_measured(self):
        sys.path += [os.path.join(HERE, "../crm"), os.path.join(HERE, "../e2e")]
        import reports
        self.assertEqual(sorted(figures.REPORTS), sorted(reports.REPORTS))

    def test_a_key_that_is_none_is_wrong_usage(self):
        done = run("--only", "speed")
        self.assertEqual(done.returncode, 2)
        self.assertIn("speed", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
