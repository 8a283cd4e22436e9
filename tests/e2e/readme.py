"""The program in README.md is compiled against the built shared library, and does what the text beside it says."""
import os
import re
import subprocess

import harness


class Readme(harness.Case):
    def program(self):
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as f:
            blocks = re.findall(r"```c\n(.*?)```", f.read(), re.S)
        self.assertEqual(len(blocks), 1, "the README has one C program")
        return blocks[0]

    def test_readme_program_compiles_and_syncs(self):
        source, program = self.path("hello.c"), self.path("hello")
        with open(source, "w", encoding="utf-8") as f:
            f.write(self.program())
        flags = os.environ.get("SATCHEL_CFLAGS", "").split()
        library = os.environ["SATCHEL_LIBRARY"]
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *flags, "-I", os.path.join(harness.ROOT, "replica"),
                        "-I", os.path.join(harness.ROOT, "protocol"), source, "-o", program, library, "-Wl,-rpath," + os.path.dirname(library),
                        "-lsqlite3"], check=True)
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        other.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 1)")
        self.sync_all(other, phone)
        done = subprocess.run([program, phone.path], capture_output=True, text=True, timeout=harness.PATIENCE_S, check=False)
        harness.check_output("the README's program", done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 2)


if __name__ == "__main__":
    harness.main()
