"""An encrypted device and a real server: SATCHEL_KEYED is a program satchel over an SQLite that encrypts, SATCHEL_BIN has the others, without."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import harness  # noqa: E402

MARK = "Wilhelmina-Throckmorton"  # a customer's name, to be found nowhere
MANY = 30000  # rows of one transaction: more than its record keeps in its buffer
HELLO = """#include <satchel.h>
int main(int argc, char **argv) {
    satchel *s;
    satchel_options o = {sizeof o};
    o.key = "secret";
    o.key_bytes = 6;
    int failed = argc != 2 || satchel_open(argv[1], &o, &s) || sqlite3_exec(satchel_db(s), "CREATE TABLE mine(a)", 0, 0, 0);
    satchel_close(s);
    return failed;
}
"""


class Keyed(harness.Device):
    def __init__(self, case, name, key=None):
        super().__init__(case, name, case.path(name + ".db"))
        self.key = key or case.path(name + ".key")
        if not key:
            with open(os.open(self.key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as f:
                f.write(os.urandom(32))
        case.devices.append(self)

    def command(self, *arguments):
        return [os.environ["SATCHEL_KEYED"], "--db", self.path, *(["--key-file", self.key] if self.key else []), *map(str, arguments)]


def holds(path, *secrets):
    with open(path, "rb") as f:
        content = f.read()
    return [s for s in secrets if s in content]


def open_files(process):
    """What a process has open, files without a name among them, but for memory."""
    folder = f"/proc/{process.pid}/fd"
    for fd in os.listdir(folder):
        path = os.path.join(folder, fd)
        if os.path.isfile(path) and not os.readlink(path).startswith("/memfd:"):
            yield path


class AtRest(harness.Case):
    def assert_nothing_in_the_clear(self, device, process=None):
        with open(device.key, "rb") as f:
            secrets = (MARK.encode(), MARK.encode("utf-16-le"), b"CREATE TABLE", b"satchel_outbox", f.read())
        paths = [device.path + end for end in ("", "-wal", "-shm", "-journal") if os.path.exists(device.path + end)]
        paths += [os.path.join(self.dir, "tmp", name) for name in os.listdir(self.path("tmp"))]
        paths += list(open_files(process)) if process else []
        self.assertEqual([(p, found) for p in paths if (found := holds(p, *secrets))], [])
        return paths

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("tmp"))
        self.environment = dict(os.environ, TMPDIR=self.path("tmp"), SQLITE_TMPDIR=self.path("tmp"))

    def shell(self, device, *statements):
        """A process that has run these and waits for more. What it prints lies in its buffer; an error it says at once."""
        process = subprocess.Popen(device.command("sql", "--keep-going", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=self.environment)
        self.processes.append(process)
        for pipe in (process.stdin, process.stderr):
            self.addCleanup(pipe.close)
        process.stdin.write("".join(s + ";\n" for s in statements) + "SELECT all_done;\n")
        process.stdin.flush()
        self.assertIn("all_done", process.stderr.readline())
        return process

    def test_encrypted_device_syncs_and_nothing_of_it_lies_in_the_clear(self):
        server = self.server()
        till, office = Keyed(self, "till"), self.device("office", server)
        till.enroll(server)
        till.sync()
        till.sql(f"INSERT INTO contact(id, given, visit_count) VALUES(x'01', '{MARK}', 1)")
        self.sync_all(till, office, rounds=1)
        office.sql("UPDATE contact SET visit_count = visit_count + 10; INSERT INTO contact(id, given) VALUES(x'02', 'Bea')")
        till.sql("UPDATE contact SET visit_count = visit_count + 100 WHERE id = x'01'")
        self.sync_all(till, office)
        self.assertEqual(server.one("SELECT given || visit_count FROM contact WHERE id = x'01'"), MARK + "111")
        self.assertEqual(till.run("digest").stdout, office.run("digest").stdout)
        # The same check sees it where it does lie in the clear.
        self.assertEqual(holds(office.path, MARK.encode()), [MARK.encode()])

        rows = f"WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < {MANY})"
        app = self.shell(till, f"{rows} INSERT INTO contact(id, given, family) SELECT uuid7(), '{MARK}', printf('%0100d', n) FROM i WHERE n <= 50",
                         "BEGIN", f"{rows} INSERT INTO contact(id, given, family) SELECT uuid7(), '{MARK}', printf('%0100d', n) FROM i",
                         "SAVEPOINT a", "UPDATE contact SET family = family || '!'",
                         "CREATE TEMP TABLE sorted AS SELECT given, family FROM contact ORDER BY family DESC")
        looked = self.assert_nothing_in_the_clear(till, app)
        self.assertIn(till.path + "-wal", looked)
        app.kill()
        app.wait()
        self.assert_nothing_in_the_clear(till)
        till.sync()
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 52)
        till.sql("VACUUM")
        self.assert_nothing_in_the_clear(till)

    def test_processes_with_the_key_share_the_file_and_others_are_told_why_not(self):
        server = self.server()
        till = Keyed(self, "till")
        till.enroll(server)
        till.sync()
        watch = till.start("sync", "--watch")
        app = self.shell(till, "INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        till.sql("INSERT INTO contact(id, given) VALUES(x'02', 'Bea')")
        harness.wait_until(lambda: server.one("SELECT count(*) FROM contact") == 2, "what two processes wrote")

        stranger = Keyed(self, "stranger")
        for key, words in ((stranger.key, "the key that was given does not open it"), (None, "it is encrypted, and no key was given")):
            other = Keyed(self, "till", key=till.key)
            other.key = key
            self.devices.remove(other)
            said = other.run("sql", "SELECT * FROM contact", expect=1)
            self.assertIn(words + " (E_KEY)", said.stderr)
            self.assertEqual(said.stdout, "")
        plain = harness.Device(self, "till", till.path)
        self.assertIn("no key was given (E_KEY)", plain.run("status", expect=1).stderr)
        app.stdin.write("INSERT INTO contact(id, given) VALUES(x'03', 'Cyd');\n")
        app.stdin.flush()
        harness.wait_until(lambda: server.one("SELECT count(*) FROM contact") == 3, "what the third wrote")
        self.assertIsNone(watch.poll())

    def test_encrypted_device_is_wiped(self):
        server = self.server()
        till = Keyed(self, "till")
        till.enroll(server)
        till.sync()
        server.ctl("device", "wipe", till.status()["device"])
        self.assertIn("E_WIPED", till.run("sync", expect=1).stderr)
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith("till.db")], [])

    def test_program_over_the_installed_library_has_the_sqlite_that_encrypts(self):
        def run(*command):
            done = subprocess.run(command, capture_output=True, text=True, check=False,
                                  env=dict(os.environ, PKG_CONFIG_PATH=self.path("lib/pkgconfig"), LD_LIBRARY_PATH=self.path("lib")))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return done.stdout

        for component in ("library", "dev"):
            run("cmake", "--install", os.environ["SATCHEL_BUILD"], "--prefix", self.dir, "--component", component)
        with open(self.path("hello.c"), "w", encoding="utf-8") as f:
            f.write(HELLO)
        sanitize = os.environ.get("SATCHEL_SANITIZE")
        run("cc", self.path("hello.c"), "-o", self.path("hello"), *([f"-fsanitize={sanitize}"] if sanitize else []),
            *run("pkg-config", "--cflags", "--libs", "satchel").split())
        run(self.path("hello"), self.path("hello.db"))
        self.assertEqual(holds(self.path("hello.db"), b"SQLite format", b"CREATE TABLE"), [])

    def test_key_is_refused_where_sqlite_cannot_encrypt_and_where_others_can_read_it(self):
        server = self.server()
        till = Keyed(self, "till")
        command = [harness.program("satchel"), "--db", self.path("new.db"), "--key-file", till.key, "enroll", "-"]
        done = subprocess.run(command, input=server.code("new") + "\n", capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("this program's SQLite cannot encrypt", done.stderr)
        self.assertFalse(os.path.exists(self.path("new.db")))
        os.chmod(till.key, 0o640)
        self.assertIn("others than its owner can read it", till.run("status", expect=1).stderr)
        with open(till.key, "wb"):
            os.chmod(till.key, 0o600)
        self.assertIn("it is empty", till.run("status", expect=1).stderr)
        with open(till.key, "wb") as f:
            f.write(bytes(4097))
        self.assertIn("longer than a key may be", till.run("status", expect=1).stderr)
        self.devices.clear()


if __name__ == "__main__":
    harness.main()
