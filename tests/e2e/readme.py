"""The program in README.md is compiled against the installed library, and does what the text beside it says."""
import glob
import os
import re
import subprocess

import harness


class Readme(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = self.path("installed")
        subprocess.run(["cmake", "--install", os.environ["SATCHEL_BUILD"], "--prefix", self.prefix], check=True, capture_output=True)
        library = glob.glob(self.prefix + "/lib/**/pkgconfig", recursive=True)[0]
        self.environment = {**os.environ, "PKG_CONFIG_PATH": library, "LD_LIBRARY_PATH": os.path.dirname(library)}

    def flags(self, *what):
        """Of the installed pkg-config file, whose prefix is where the library will lie in the end."""
        command = ["pkg-config", f"--define-variable=prefix={self.prefix}", *what, "satchel"]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self.environment).stdout.split()

    def program(self):
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as f:
            blocks = re.findall(r"```c\n(.*?)```", f.read(), re.S)
        self.assertEqual(len(blocks), 1, "the README has one C program")
        return blocks[0]

    def test_readme_program_compiles_and_syncs(self):
        source, program = self.path("hello.c"), self.path("hello")
        with open(source, "w", encoding="utf-8") as f:
            f.write(self.program())
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *os.environ.get("SATCHEL_CFLAGS", "").split(), source, "-o", program,
                        *self.flags("--cflags", "--libs")], check=True)
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        other.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 1)")
        self.sync_all(other, phone)
        done = subprocess.run([program, phone.path], capture_output=True, text=True, timeout=harness.PATIENCE_S, env=self.environment, check=False)
        harness.check_output("the README's program", done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(server.one("SELECT visit_count FROM contact"), 2)

    def test_readme_installed_header_compiles_alone_in_c_and_cpp(self):
        for compiler, language, standard in (("cc", "c", "c11"), ("c++", "c++", "c++17")):
            subprocess.run([compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", *self.flags("--cflags"),
                            "-x", language, "-"], input="#include <satchel.h>\n", text=True, check=True)

    def test_readme_names_files_that_exist(self):
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as f:
            named = re.findall(r"`((?:protocol|replica|server|tools|tests)/[\w./-]*)`", f.read())
        self.assertTrue(named)
        self.assertEqual([name for name in named if not os.path.exists(os.path.join(harness.ROOT, name))], [])


if __name__ == "__main__":
    harness.main()
