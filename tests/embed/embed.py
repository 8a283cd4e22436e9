"""The README's program is built in an empty folder by each way of embedding the replica, as C and as C++, and syncs a file with a server: over the
installed tree by pkg-config and by CMake, with the shared and with the static library, and over the amalgamation."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import harness  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# The installed library is as this build made it, with its sanitizers; the amalgamation is compiled here, without.
SANITIZE = os.environ.get("SATCHEL_CFLAGS", "").split()
LANGUAGES = (("cc", "c"), ("c++", "cc"))
CMAKE = """cmake_minimum_required(VERSION 3.25)
project(hello LANGUAGES C CXX)
find_package(Satchel REQUIRED)
foreach(language c cc)
  add_executable(hello-${language} hello.${language})
  target_link_libraries(hello-${language} PRIVATE Satchel::satchel)
  add_executable(hello-${language}-static hello.${language})
  target_link_libraries(hello-${language}-static PRIVATE Satchel::satchel_static)
endforeach()
"""


def readme():
    with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as f:
        return f.read()


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def declared():
    """Every function of the public headers."""
    names = set()
    for header in ("replica/satchel.h", "protocol/satchel_rc.h"):
        with open(os.path.join(harness.ROOT, header), encoding="utf-8") as f:
            names |= set(re.findall(r"^SATCHEL_API [^(]*[ *](satchel_[a-z0-9_]*)\(", f.read(), re.M))
    return names


class Embed(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.installed = tempfile.mkdtemp(prefix="satchel-installed-")
        cls.addClassCleanup(shutil.rmtree, cls.installed)
        cls.prefix = os.path.join(cls.installed, "shared")
        run("cmake", "--install", os.environ["SATCHEL_BUILD"], "--prefix", cls.prefix)
        # The same tree elsewhere, with the static library alone.
        cls.static = os.path.join(cls.installed, "static")
        shutil.copytree(cls.prefix, cls.static, symlinks=True)
        for library in glob.glob(cls.static + "/lib/**/libsatchel.so*", recursive=True):
            os.unlink(library)

    def setUp(self):
        super().setUp()
        self.folder = self.path("empty")
        os.mkdir(self.folder)
        blocks = re.findall(r"```c\n(.*?)```", readme(), re.S)
        self.assertEqual(len(blocks), 1, "the README has one C program")
        for _, ending in LANGUAGES:
            with open(os.path.join(self.folder, "hello." + ending), "w", encoding="utf-8") as f:
                f.write(blocks[0])
        self.visits = 0

    def begin(self):
        """A phone with one customer, of a server."""
        self.srv = self.server()
        self.phone = self.device("phone", self.srv)
        self.phone.sync()
        self.phone.sql("INSERT INTO contact(id, given, visit_count) VALUES(x'01', 'Ada', 0)")

    def library_folder(self, prefix):
        return glob.glob(prefix + "/lib/**/libsatchel.a", recursive=True)[0].rsplit("/", 1)[0]

    def flags(self, prefix, *what):
        environment = {**os.environ, "PKG_CONFIG_PATH": self.library_folder(prefix) + "/pkgconfig"}
        return run("pkg-config", "--cflags", "--libs", *what, "satchel", env=environment).split()

    def build(self, compiler, ending, *flags):
        run(compiler, *WARNINGS, "hello." + ending, "-o", "hello", *flags, cwd=self.folder)
        return os.path.join(self.folder, "hello")

    def check_linked(self, program, shared):
        needed = run("readelf", "-d", program)
        self.assertEqual("libsatchel.so" in needed, shared, needed)

    def check_runs(self, program):
        """The program counts a visit of every customer, and says when the server has it."""
        environment = {**os.environ, "LD_LIBRARY_PATH": self.library_folder(self.prefix)}
        done = subprocess.run([program, self.phone.path], capture_output=True, text=True, timeout=harness.PATIENCE_S, env=environment, check=False)
        harness.check_output("the README's program", done.stderr)
        self.assertEqual((done.returncode, done.stdout), (0, "in step\n"), done.stderr)
        self.visits += 1
        self.assertEqual(self.srv.one("SELECT visit_count FROM contact"), self.visits)

    def check_exports(self, path, *options):
        listed = run("nm", "--defined-only", *options, path).splitlines()
        self.assertEqual({line.split()[2] for line in listed if len(line.split()) == 3}, declared())

    def test_embed_by_pkg_config(self):
        self.begin()
        for compiler, ending in LANGUAGES:
            program = self.build(compiler, ending, *SANITIZE, *self.flags(self.prefix))
            self.check_linked(program, shared=True)
            self.check_runs(program)
            program = self.build(compiler, ending, *SANITIZE, *self.flags(self.static, "--static"))
            self.check_linked(program, shared=False)
            self.check_runs(program)

    def test_embed_by_cmake_package(self):
        self.begin()
        with open(os.path.join(self.folder, "CMakeLists.txt"), "w", encoding="utf-8") as f:
            f.write(CMAKE)
        flags = " ".join(WARNINGS + SANITIZE)
        run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_FLAGS={flags}",
            f"-DCMAKE_CXX_FLAGS={flags}", cwd=self.folder)
        run("cmake", "--build", "build", cwd=self.folder)
        for _, ending in LANGUAGES:
            for linked in ("", "-static"):
                program = os.path.join(self.folder, "build", f"hello-{ending}{linked}")
                self.check_linked(program, shared=not linked)
                self.check_runs(program)

    def test_embed_by_amalgamation(self):
        self.begin()
        run(os.path.join(harness.ROOT, "tools/amalgamate"), self.folder)
        with open(os.path.join(self.folder, "satchel.c"), encoding="utf-8") as f:
            libraries = re.search(r"satchel\.o ((?:-l\w+ ?)+)", f.read()).group(1).split()
        for compiler in ("gcc", "clang"):
            run(compiler, "-std=c11", "-O1", *WARNINGS, "-c", "satchel.c", cwd=self.folder)
            self.check_exports(os.path.join(self.folder, "satchel.o"), "-g")
            for linker, ending in LANGUAGES:
                program = self.build(linker, ending, "-I.", "satchel.o", *libraries)
                self.check_linked(program, shared=False)
                self.check_runs(program)

    def test_embed_libraries_export_what_the_headers_declare(self):
        folder = self.library_folder(self.prefix)
        self.check_exports(folder + "/libsatchel.so", "-D")
        self.check_exports(folder + "/libsatchel.a", "-g")

    def test_embed_header_compiles_alone_in_c_and_cpp(self):
        for compiler, language, standard in (("cc", "c", "c11"), ("c++", "c++", "c++17")):
            run(compiler, f"-std={standard}", *WARNINGS, "-Wpedantic", "-fsyntax-only", *self.flags(self.prefix), "-x", language, "-",
                input="#include <satchel.h>\n")

    def test_readme_names_files_that_exist(self):
        named = re.findall(r"`((?:protocol|replica|server|tools|tests)/[\w./-]*)`", readme())
        self.assertTrue(named)
        self.assertEqual([name for name in named if not os.path.exists(os.path.join(harness.ROOT, name))], [])


if __name__ == "__main__":
    harness.main()
