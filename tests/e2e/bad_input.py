"""Bad input: what a broken or hostile device sends, files that are none of ours, schema directories with a mistake. Each is told in words."""
import os
import shutil
import ssl
import struct

import harness
import wire

CODES = {"E_MALFORMED": 70, "E_ORDER": 71, "E_LIMIT": 72, "E_UTF8": 74, "E_NOT_DETERMINISTIC": 75, "E_VERSION": 25, "E_SCHEMA": 26}


class BadMessages(harness.Case):
    """Each message is sent by an enrolled device: the server names the error, closes, logs the device, and serves the others."""

    def setUp(self):
        super().setUp()
        self.srv = self.server()
        self.good = self.device("good", self.srv)
        self.good.sync()
        self.evil = self.device("evil", self.srv)
        self.evil.sync()
        self.watching = self.good.start("sync", "--watch")

    def connect(self, greet=True):
        link = wire.Wire(self.srv.sync_port, self.evil.identity)
        if greet:
            link.send(*self.srv.hello())
            link.receive_type(wire.WELCOME)
        return link

    def reads_until_closed(self, link):
        """The code of the error message before the end, None if there was none."""
        code = None
        try:
            while True:
                message = link.receive()
                if message[0] == wire.ERROR:
                    code = message[1]
        except (wire.Closed, ssl.SSLError, OSError):
            pass
        link.close()
        return code

    def refused(self, name, data, greet=True):
        link = self.connect(greet)
        logged = len(self.srv.read_log())
        try:
            link.send_bytes(data)
        except (ssl.SSLError, OSError):
            pass
        self.assertEqual(self.reads_until_closed(link), CODES[name], f"{data[:40].hex()}")
        # Its name; or, when it was refused before that was looked up, the beginning of its key's fingerprint.
        names = ("device=evil", f"device={self.evil.one('SELECT device FROM satchel_state')[:16]}")
        harness.wait_until(lambda: any(name in self.srv.read_log()[logged:] for name in names), "a line that names the device")
        self.assertIn(name, self.srv.read_log()[logged:])

    def tearDown(self):
        # Whatever was sent: the server lives, and the other device was not disturbed.
        self.assertIsNone(self.watching.poll(), self.good.errors())
        self.good.sql("INSERT INTO contact(id, given) VALUES(x'77', 'undisturbed')")
        harness.wait_until(lambda: self.srv.one("SELECT count(*) FROM contact WHERE id = x'77'") == 1, "the good device's commit")
        self.evil.sync()
        self.assert_same(self.srv, self.evil)

    def test_malformed_bytes_named_logged_closed(self):
        for data in (b"\x00", b"\xff", b"\x80", b"not cbor at all", b"\x9f\x01\xff", b"\x83\x04\x01", bytes(100), b"\x8f" + b"\x01" * 3):
            self.refused("E_MALFORMED", data)
        # The first message: half a hello.
        whole = wire.encode(self.srv.hello())
        for data in (whole[:-1], whole + b"\x00", whole[:9]):
            self.refused("E_MALFORMED", data, greet=False)

    def test_deep_nesting_and_huge_counts_named_memory_bounded(self):
        before = self.memory()
        self.refused("E_MALFORMED", b"\x83\x04\x01" + b"\x81" * 100000)
        self.refused("E_LIMIT", b"\x83\x04\x01\x9b" + b"\x7f" + b"\xff" * 7)
        self.refused("E_MALFORMED", b"\x83\x04\x01\x5b" + b"\x7f" + b"\xff" * 7)
        # A compressed frame that says it unpacks to four gigabytes, and one that is cut.
        self.refused("E_LIMIT", wire.ZSTD + b"\xe0" + struct.pack("<Q", 2**32) + b"\x00" * 20)
        self.refused("E_MALFORMED", wire.ZSTD + b"\x20\x05")
        self.assertLess(self.memory() - before, 200 << 20)

    def memory(self):
        with open(f"/proc/{self.srv.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_oversized_frame_named_closed(self):
        self.refused("E_LIMIT", b"\x83\x04\x01" + bytes(2 << 20))

    def test_out_of_order_messages_named(self):
        pull = wire.encode([wire.PULL, 0, 1, 0])
        self.refused("E_ORDER", pull, greet=False)
        self.refused("E_ORDER", wire.encode(self.srv.hello()))
        self.refused("E_ORDER", wire.encode([wire.FORKED, 2, 1]))
        self.refused("E_ORDER", wire.encode([wire.PUSH, 9, []]))

    def test_wrong_version_and_foreign_schema_named(self):
        self.refused("E_VERSION", wire.encode(wire.hello(version=99)), greet=False)
        self.refused("E_SCHEMA", wire.encode(wire.hello(schema_epoch=1, schema_hash=b"\x01" * 8)), greet=False)
        self.refused("E_SCHEMA", wire.encode(wire.hello(schema_epoch=4000)), greet=False)

    def test_not_deterministic_and_broken_text_named(self):
        self.refused("E_NOT_DETERMINISTIC", b"\x83\x04\x18\x01\x80")
        self.refused("E_UTF8", wire.encode([wire.ERROR, 7, 0, wire.Raw(b"\x62\xc3\x28")]))

    def test_text_frame_closed(self):
        link = self.connect()
        link.send_frame(1, b"hello")
        self.reads_until_closed(link)

    def test_noise_before_tls_and_inside_it_does_not_disturb(self):
        for _ in range(20):
            plain = harness.socket.create_connection(("127.0.0.1", self.srv.sync_port), 10)
            plain.sendall(self.random.randbytes(300))
            plain.close()
            link = self.connect(greet=bool(self.random.randrange(2)))
            try:
                link.socket.sendall(self.random.randbytes(self.random.randrange(1, 3000)))
            except (ssl.SSLError, OSError):
                pass
            link.close()


class BadTransactions(harness.Case):
    """A well-formed push whose content cannot be taken: that transaction is refused and parked, the rest flows."""

    def test_unknown_table_and_column_wrong_type_key_missing_refused_rest_flows(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        epoch = server.epoch()
        table, tags = (server.one("SELECT id FROM satchel_table WHERE name = ?", name) for name in ("contact", "contact_tag"))
        column = dict(server.read("SELECT name, id FROM satchel_column WHERE tbl_id = ?", table))
        put = lambda key, **values: [[table, 0, len(key), [column[n] << 2 for n in values], [*key, *values.values()]]]
        deltas = {
            1: (put([b"\x01"], given="first"), 0),
            2: ([[9999, 0, 1, [8], [b"\x02", "x"]]], 40),
            3: ([[table, 0, 1, [999 << 2], [b"\x03", "x"]]], 41),
            4: (put([b"\x04"], birth_year="not a number"), 42),
            5: ([[tags, 0, 1, [], [b"\x01"]]], 43),
            6: (put([b"\x06"], given="last"), 0),
        }
        link = wire.Wire(server.sync_port, phone.identity)
        link.send(*server.hello())
        link.receive_type(wire.WELCOME)
        stamp = int(harness.time.time() * 1000) << 16
        transactions, before = [], 0
        for number, (delta, _) in deltas.items():
            transactions.append([number - before, os.urandom(8), stamp if not before else 1, 0, epoch, None, None, 0, True, delta])
            before = number
        link.send(wire.PUSH, 1, transactions)
        answer = link.receive_type(wire.RESULTS)
        self.assertEqual(answer[0], wire.RESULTS, answer)
        link.close()
        self.assertEqual({r[0]: r[1] for r in answer[1]}, {n: code for n, (_, code) in deltas.items()})
        self.assertEqual(server.read("SELECT given FROM contact ORDER BY id"), [("first",), ("last",)])
        self.assertEqual(len(server.ctl("rejected")), 4)
        self.assert_sound(server)


class BadFiles(harness.Case):
    """Files that the program cannot use: told in words, and left as they were."""
    sound = False  # in the end too

    def told(self, device, name, *command, **options):
        done = device.run(*(command or ("status",)), expect=1, **options)
        self.assertIn(name, done.stderr)
        self.assertGreater(len(done.stderr), len(name) + 20, "an error without words")
        return done.stderr

    def enrolled(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("".join(f"INSERT INTO contact(id, given) VALUES(x'{i:04x}', 'Ada {i}');" for i in range(300)))
        phone.sync()
        return server, phone

    def test_no_such_file_told(self):
        self.told(self.device("none"), "E_NOT_FOUND")

    def test_not_a_database_told_and_left_alone(self):
        phone = self.device("phone")
        with open(phone.path, "wb") as f:
            f.write(b"This is a letter, and no database. " * 100)
        self.told(phone, "E_NOT_A_DATABASE")
        self.told(phone, "E_NOT_A_DATABASE", "enroll", "-", stdin="code\n")
        with open(phone.path, "rb") as f:
            self.assertTrue(f.read().startswith(b"This is a letter"))

    def test_foreign_database_told_and_left_alone(self):
        for pragma in ("", "PRAGMA application_id = 7;"):
            phone = self.device("phone")
            db = harness.sqlite3.connect(phone.path)
            db.executescript(pragma + "CREATE TABLE IF NOT EXISTS recipe(id INTEGER PRIMARY KEY, text); INSERT INTO recipe(text) VALUES('soup')")
            db.close()
            self.told(phone, "E_FOREIGN_FILE")
            self.assertEqual(phone.read("SELECT text FROM recipe LIMIT 1"), [("soup",)])
            self.assertEqual(phone.read("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'satchel%'"), [(0,)])

    def test_newer_format_told(self):
        _, phone = self.enrolled()
        db = harness.sqlite3.connect(phone.path)
        with db:
            db.execute("UPDATE satchel_state SET format = 999")
        db.close()
        self.told(phone, "E_NEWER_FILE")

    def test_damaged_file_told(self):
        server, phone = self.enrolled()
        phone.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        size = os.path.getsize(phone.path)
        with open(phone.path, "r+b") as f:
            for page in range(1, size // 4096):
                f.seek(page * 4096)
                f.write(self.random.randbytes(200))
        self.told(phone, "E_CORRUPT")
        self.told(phone, "E_CORRUPT", "sync")
        self.assert_sound(server)

    def test_read_only_file_told(self):
        _, phone = self.enrolled()
        options = {}
        if os.geteuid() == 0:
            # Root writes anything: somebody else tries.
            os.chmod(self.dir, 0o755)
            options = {"user": "nobody", "extra_groups": []}
        os.chmod(phone.path, 0o444)
        self.told(phone, "E_READONLY", **options)

    def test_dropped_trigger_found_at_open_and_repair_told(self):
        _, phone = self.enrolled()
        db = harness.sqlite3.connect(phone.path)
        name = db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'contact' LIMIT 1").fetchone()[0]
        with db:
            db.execute(f'DROP TRIGGER "{name}"')
        db.close()
        self.told(phone, "E_UNFLUSHED")

    def test_plain_connection_cannot_write_unseen(self):
        _, phone = self.enrolled()
        db = harness.sqlite3.connect(phone.path)
        # A table with checks lacks the function that they ask, one without lacks the table by which writes are seen.
        for table, column, missing in (("contact", "given", "satchel_local"), ("purchase", "receipt_no", "satchel_tap")):
            with self.assertRaisesRegex(harness.sqlite3.OperationalError, missing):
                db.execute(f"UPDATE {table} SET {column} = 'unseen'")
        db.close()


class BadServerFiles(harness.Case):
    """What satcheld is started on: a schema directory with a mistake, a data directory of somebody else."""

    def fails(self, *words, data="server", schema=None, options=()):
        done = harness.Server(self, self.path(data), schema).start(*options, expect_failure=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("ready", done.stdout)

    def schema(self, **files):
        place = self.path("schema")
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(place)
        for name, text in files.items():
            with open(os.path.join(place, name.replace("__", ".")), "w", encoding="utf-8") as f:
                f.write(text)
        return place

    GOOD = "CREATE TABLE a(id BLOB PRIMARY KEY, x TEXT);\nINSERT INTO satchel_table(name) VALUES('a');\n"

    def test_mistake_in_schema_names_file_and_line_and_nothing_is_half_done(self):
        for text, line, words in (
            ("\n\nCREATE TABEL b(id BLOB PRIMARY KEY);\n", 3, "TABEL"),
            ("\nCREATE TABLE b(x TEXT);\nINSERT INTO satchel_table(name) VALUES('b');\n", 2, "no primary key"),
            ("CREATE TABLE b(id TEXT PRIMARY KEY COLLATE NOCASE);\nINSERT INTO satchel_table(name) VALUES('b');\n", 1, "ollation"),
            ("CREATE TABLE b(id BLOB PRIMARY KEY, n INT);\nINSERT INTO satchel_table(name) VALUES('b');\n"
             "INSERT INTO satchel_rule VALUES('b', 'n', 'magic');\n", 3, "magic"),
            ("UPDATE a SET x = 1;\n", 1, ""),
        ):
            place = self.schema(a__="", **{"001_a__sql": self.GOOD, "002_b__sql": text})
            shutil.rmtree(self.path("server"), ignore_errors=True)
            self.fails(f"002_b.sql:{line}", words, schema=place)
            # The first one stands; with the mistake put right the same directory goes on.
            with open(os.path.join(place, "002_b.sql"), "w", encoding="utf-8") as f:
                f.write("CREATE TABLE b(id BLOB PRIMARY KEY);\nINSERT INTO satchel_table(name) VALUES('b');\n")
            server = self.server(schema=place)
            self.assertEqual(server.read("SELECT name FROM satchel_table ORDER BY name"), [("a",), ("b",)])
            server.stop()

    def test_mistake_in_data_names_file_and_line(self):
        place = self.schema(**{"001_a__sql": self.GOOD, "001_a__data__sql": "INSERT INTO a(id, x) VALUES(x'01', 'one');\nINSERT INTO a(id, y) VALUES(x'02', 'two');\n"})
        self.fails("001_a.data.sql:2:", schema=place)

    def test_migration_changed_after_it_ran_refused(self):
        place = self.schema(**{"001_a__sql": self.GOOD})
        self.server(schema=place).stop()
        with open(os.path.join(place, "001_a.sql"), "a", encoding="utf-8") as f:
            f.write("-- a comment is a change too\n")
        self.fails("001_a.sql", "changed after it had run", schema=place)

    def test_empty_or_missing_schema_directory_told(self):
        self.fails("holds no migration", schema=self.schema())
        self.fails("schema", schema=self.path("nowhere"))

    def test_foreign_data_directory_told_and_left_alone(self):
        os.mkdir(self.path("letters"))
        with open(self.path("letters/dear.txt"), "w", encoding="utf-8") as f:
            f.write("Dear Ada")
        os.chmod(self.path("letters"), 0o700)
        self.fails("no Satchel data", data="letters")
        self.assertEqual(os.listdir(self.path("letters")), ["dear.txt"])

    def test_damaged_store_told(self):
        server = self.server()
        server.stop()
        with open(server.store, "r+b") as f:
            f.write(b"no database any more")
        self.fails("store.db")

    def test_port_in_use_told(self):
        server = self.server()
        self.fails("in use", data="second", options=("--sync-port", str(server.sync_port)))


if __name__ == "__main__":
    harness.main()
