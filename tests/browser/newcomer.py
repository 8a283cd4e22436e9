"""What tools/demo --keep prints is enough: with its address, name and password a newcomer signs in, finds the conflict that the demo made and restores the lost
value; with its commands he sees that on the tablet, and ends it all."""
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import harness  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
DEMO = os.path.join(harness.ROOT, "tools/demo")


class Newcomer(harness.Case):
    def keep(self):
        """Runs the demo and reads what it prints, as a person would."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as out:  # Not a pipe: the server that stays would hold it open.
            done = subprocess.run([DEMO, "--keep", "--contacts", "500", "--bin", harness.BIN], stdout=out, stderr=subprocess.STDOUT,
                                  timeout=3 * harness.PATIENCE_S, env={**os.environ, "TMPDIR": self.dir}, check=False)
            out.seek(0)
            self.printed = out.read()
        harness.check_output("demo", self.printed)
        self.assertEqual(done.returncode, 0, self.printed)
        self.addCleanup(self.end_demo)

    def end_demo(self):
        if any(name.startswith("satchel-demo") for name in os.listdir(self.dir)):
            self.follow(self.line(r"To end it: +(.*)"))

    def line(self, pattern):
        found = re.search("^ *" + pattern + "$", self.printed, re.MULTILINE)
        self.assertTrue(found, f"{pattern} is not in {self.printed}")
        return found.group(1)

    def follow(self, command):
        """A line of it, typed into a shell."""
        return subprocess.run(["bash", "-c", self.line(r"(PATH=.*)") + "\n" + command], check=True, capture_output=True, text=True, timeout=harness.PATIENCE_S).stdout

    def test_newcomer_with_what_the_demo_printed_restores_the_lost_value_and_sees_it_arrive(self):
        if not os.path.exists(CHROMIUM):
            self.skipTest("there is no Chromium: tools/install-deps test")
        self.keep()
        sync, look = self.line(r"(satchel --db \S*tablet.db sync)"), self.line(r"(satchel --db \S*tablet.db sql .*)")
        self.assertIn("Said to the tablet", self.follow(look))
        world = {"url": self.line(r"The console: (\S+?)/"), "name": self.line(r"Name: (\S+) .*"), "password": self.line(r".*Password: (\S+)"),
                 "shots": os.environ.get("SATCHEL_SHOTS") or self.dir, "chromium": CHROMIUM, "packages": os.environ["SATCHEL_BROWSER_PACKAGES"]}
        with open(self.path("world.json"), "w", encoding="utf-8") as f:
            json.dump(world, f)
        done = subprocess.run([os.environ.get("SATCHEL_NODE", "node"), os.path.join(HERE, "newcomer.mjs"), self.path("world.json")], timeout=300, check=False)
        self.assertEqual(done.returncode, 0, "see above")
        self.follow(sync)
        self.assertIn("Said to the phone", self.follow(look))
        self.end_demo()
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith("satchel-demo")], [])


if __name__ == "__main__":
    harness.main()
