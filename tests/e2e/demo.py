"""tools/demo on a small company, with the programs of this build."""
import os
import subprocess

import harness

DEMO = os.path.join(harness.ROOT, "tools/demo")


class Demo(harness.Case):
    def run_demo(self, *arguments, programs=harness.BIN):
        """Everything that it makes lies in the case's directory."""
        return subprocess.run([DEMO, "--bin", programs, *arguments], capture_output=True, text=True, timeout=3 * harness.PATIENCE_S,
                              env={**os.environ, "TMPDIR": self.dir}, check=False)

    def test_demo_converges_and_leaves_nothing_behind(self):
        done = self.run_demo("--contacts", "500", "--drill")
        harness.check_output("demo", done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout.splitlines()[-1],
                         r"^demo: converged; [1-9][0-9]+ rows compared on each of 4 sides, 1 conflicts recorded, 0 lost$")
        self.assertRegex(done.stdout.splitlines()[-2], r"^demo: restored; 400 transactions acknowledged since the backup, 100 unsent, 0 lost$")
        self.assertEqual(os.listdir(self.dir), [])

    def test_demo_with_a_program_that_fails_says_so_and_exits_non_zero(self):
        programs = self.path("programs")
        os.mkdir(programs)
        for name in os.listdir(harness.BIN):
            os.symlink(os.path.join(os.path.abspath(harness.BIN), name), os.path.join(programs, name))
        os.unlink(os.path.join(programs, "satchel"))
        os.symlink("/bin/false", os.path.join(programs, "satchel"))
        done = self.run_demo("--contacts", "20", programs=programs)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("demo: FAILED:", done.stderr)
        self.assertNotIn("converged", done.stdout)
        self.assertEqual(os.listdir(self.dir), ["programs"])

    def test_demo_wrong_usage_is_2(self):
        for arguments in (["--contacts", "none"], ["--what"]):
            self.assertEqual(self.run_demo(*arguments).returncode, 2)


if __name__ == "__main__":
    harness.main()
