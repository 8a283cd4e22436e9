"""Rows in and out: CSV and JSON Lines, exported, imported again, mended, killed in the middle, and on to the devices."""
import csv
import io
import json
import os
import signal
import subprocess

import harness

SCHEMA = """
CREATE TABLE kind(code TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
INSERT INTO satchel_table(name, key) VALUES('kind', 'natural');
CREATE TABLE customer(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL CHECK(length(name) < 40),
  age INTEGER CHECK(age <> -1),
  weight REAL,
  exact NUMERIC,
  photo BLOB,
  loose,
  kind TEXT REFERENCES kind(code),
  boss_id BLOB REFERENCES customer(id),
  visits INTEGER NOT NULL DEFAULT 0,
  since TEXT,
  seen INTEGER
);
INSERT INTO satchel_table(name) VALUES('customer');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('customer', 'visits', 'counter'),
  ('customer', 'since', 'first'),
  ('customer', 'seen', 'max');
CREATE TABLE sale(
  id BLOB PRIMARY KEY,
  customer_id BLOB NOT NULL REFERENCES customer(id),
  amount REAL
);
INSERT INTO satchel_table(name) VALUES('sale');
"""

ODD = [
    ("plain", 1, 1.5, 10, b"\x00\xff", 7),
    ('He said "no", twice', -2**63, 1e-300, 2.5, b"", "7"),
    ("two\nlines\r\nand a third", 2**63 - 1, 0.1, -3, b"\x01" * 50, 7.25),
    ("Ünïcödé 漢字 🎉", 0, -0.0, None, None, b"7"),
    (" blanks ", None, float("inf"), 2**53 + 1, b"x'00'", "it's"),
    ("", None, 5.0, 1e15, None, None),
    ("NULL", None, None, None, None, ""),
    ("a,b;c\td", 12, 123456789.123456789, 0.25, b"\xfe\xfe", "x'00'"),
]


def literal(v):
    if v is None:
        return "NULL"
    if isinstance(v, bytes):
        return "x'" + v.hex() + "'"
    if v == float("inf"):
        return "9e999"
    return "'" + v.replace("'", "''") + "'" if isinstance(v, str) else repr(v)


class ImportExport(harness.Case):
    def schema(self):
        folder = self.path("schema")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "001_shop.sql"), "w", encoding="utf-8") as f:
            f.write(SCHEMA)
        return folder

    def file(self, name, text):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def ctl(self, server, *arguments, expect=0, stdin=None):
        """The status, the answer as JSON (None: there is none), and what was told."""
        command = [harness.program("satchelctl"), "--data", server.data, "--json", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, input=stdin, timeout=harness.PATIENCE_S)
        told = done.stderr.decode(errors="replace")
        harness.check_output("satchelctl", told)
        self.assertEqual(done.returncode, expect, f"{arguments}: {done.stdout[-500:]}{told[-2000:]}")
        return (json.loads(done.stdout) if done.stdout.startswith(b"{") else done.stdout), told

    def counts(self, answer):
        return tuple(answer[k] for k in ("inserted", "updated", "unchanged", "failed"))

    def digest(self, server):
        return server.ctl("digest")["digest"]

    def seq(self, server):
        return server.ctl("status")["position"]["seq"]

    def test_company_exported_then_imported_is_the_same(self):
        first = self.server("first")
        first.stop_timers()
        company = subprocess.run([harness.program("satchel-company"), "--contacts", "200", "--cards", "60", "--entries", "300"],
                                 capture_output=True, check=True, text=True)
        first.sql(company.stdout)
        for form in ("csv", "jsonl"):
            with self.subTest(form):
                second = self.server("second-" + form)
                second.stop_timers()
                done, _ = self.ctl(first, "export", "--all", self.path("out-" + form), "--format", form)
                self.assertEqual(done["seq"], self.seq(first))
                for table in done["tables"]:
                    answer, _ = self.ctl(second, "import", table["table"], table["file"])
                    # Some rows are there already: reference data, and what automations make of others; the file's values take the place of theirs.
                    self.assertEqual((answer["failed"], answer["inserted"] + answer["updated"] + answer["unchanged"]), (0, table["rows"]), table)
                self.assertEqual(self.digest(first), self.digest(second))
                seq = self.seq(second)
                for table in sorted(done["tables"], key=lambda t: -t["rows"])[:6]:
                    answer, _ = self.ctl(second, "import", table["table"], table["file"])
                    self.assertEqual(answer["unchanged"], table["rows"])
                self.assertEqual(self.seq(second), seq, "a file that says nothing new made a commit")
                self.assert_sound(second)

    def test_odd_values_survive_both_formats_and_reach_the_device(self):
        first = self.server("first", self.schema())
        first.sql("INSERT INTO kind(code, name) VALUES('a', NULL), ('', 'empty');")
        for i, row in enumerate(ODD):
            first.sql(f"INSERT INTO customer(id, name, age, weight, exact, photo, loose) VALUES(x'{i:032x}', {', '.join(map(literal, row))});")
        device = self.device("till", first)
        device.sync()
        for form in ("csv", "jsonl"):
            with self.subTest(form):
                second = self.server("second-" + form, self.schema())
                far = self.device("far-" + form, second)
                far.sync()
                for table in ("kind", "customer"):
                    path = self.path(f"{table}.{form}")
                    done, _ = self.ctl(first, "export", table, path)
                    device.run("export", table, path + ".device", "--format", form)
                    with open(path, "rb") as a, open(path + ".device", "rb") as b:
                        self.assertEqual(a.read(), b.read(), "the device exports otherwise than the server")
                    answer, _ = self.ctl(second, "import", table, path)
                    self.assertEqual(self.counts(answer), (done["tables"][0]["rows"], 0, 0, 0))
                self.assertEqual(self.digest(first), self.digest(second))
                far.sync()
                self.assert_same(second, far)

    def test_bad_rows_are_told_and_the_rest_goes_in(self):
        server = self.server(schema=self.schema())
        server.sql("INSERT INTO kind(code, name) VALUES('a', 'A');")
        lines, bad = ["id,name,age,kind,photo"], {}
        for i in range(2000):
            row = [f"x'{i:032x}'", f"customer {i}", str(i % 90), "a", ""]
            what = i % 100 // 20 if i % 20 == 7 and i < 400 else None
            if what is not None:
                bad[i + 2] = ["E_TYPE", "E_CHECK", "E_FOREIGN_KEY", "E_NOT_NULL", "E_TYPE"][what]
                row[[2, 2, 3, 1, 4][what]] = ["ten", "-1", "nowhere", "", "%%%"][what]
            lines.append(",".join(row))
        path, errors = self.file("rows.csv", "\r\n".join(lines) + "\r\n"), self.path("errors.csv")
        dry, _ = self.ctl(server, "import", "customer", path, "--dry-run", expect=1)
        self.assertEqual((self.counts(dry), self.seq(server)), ((1980, 0, 0, 20), 1), "a dry run did something")
        answer, told = self.ctl(server, "import", "customer", path, "--errors", errors, "--batch", 300, expect=1)
        self.assertEqual(self.counts(answer), (1980, 0, 0, 20))
        self.assertEqual({e["line"]: e["code"] for e in answer["errors"]}, bad)
        self.assertIn("rows.csv:9: age: this is not a whole number", told)
        self.assertEqual({e["column"] for e in answer["errors"] if e["code"] in ("E_TYPE", "E_NOT_NULL", "E_FOREIGN_KEY")},
                         {"age", "photo", "name", "kind"})
        with open(errors, encoding="utf-8", newline="") as f:
            table = list(csv.reader(f))
        self.assertEqual((len(table), table[0]), (21, ["satchel_error", "id", "name", "age", "kind", "photo"]))
        mended = io.StringIO()
        out = csv.writer(mended)
        for row in table:
            out.writerow(row if row[0] == "satchel_error" else row[:2] + ["mended", "1", "a", ""])
        answer, _ = self.ctl(server, "import", "customer", "-", stdin=mended.getvalue().encode())
        self.assertEqual(self.counts(answer), (20, 0, 0, 0))
        self.assertEqual(server.one("SELECT count(*) FROM customer"), 2000)
        self.assert_sound(server)

    def test_broken_lines_are_told_and_the_rest_goes_in(self):
        server = self.server(schema=self.schema())
        rows = b"\xef\xbb\xbfid;name;age\n" \
               b"x'01';good;1\n" \
               b"x'02';\"a \"stray\" mark\";1\n" \
               b"x'03';too;many;fields\n" \
               b"\n" \
               b"x'04';b\xffd;1\n" \
               b"x'05';\"good\n too\";2\n" \
               b"x'06';good;3"
        answer, _ = self.ctl(server, "import", "customer", self.file("rows.csv", rows), "--separator", ";", "--errors", self.path("e.csv"), expect=1)
        self.assertEqual((self.counts(answer), [(e["line"], e["code"]) for e in answer["errors"]]),
                         ((3, 0, 0, 3), [(3, "E_MALFORMED"), (4, "E_MALFORMED"), (6, "E_UTF8")]))
        rows = b'{"id":{"base64":"AQ=="},"name":"other"}\n{"id":{"base64":"AQ=="}, "nane":"x"}\nnothing\n' \
               b'{"id":{"base64":"Bw=="},"name":"b\xff"}\n{"name":"no key"}\n{"id":{"base64":"CA=="},"name":"' + b"x" * 50 + b'"}\n'
        answer, _ = self.ctl(server, "import", "customer", self.file("rows.jsonl", rows), "--errors", self.path("e.jsonl"), expect=1)
        self.assertEqual([(e["line"], e["code"], e["column"]) for e in answer["errors"]],
                         [(3, "E_MALFORMED", None), (4, "E_UTF8", None), (2, "E_UNKNOWN_COLUMN", "nane"), (5, "E_KEY_MISSING", "id"), (6, "E_CHECK", None)])
        self.assertEqual(answer["updated"], 1)
        with open(self.path("e.jsonl"), encoding="utf-8") as f:
            kept = [json.loads(line) for line in f]
        self.assertEqual((len(kept), kept[0]["satchel_text"], kept[2]["nane"]), (5, "nothing", "x"))

    def test_M14_row_that_is_refused_over_a_deleted_one_leaves_what_was_deleted(self):
        server = self.server(schema=self.schema())
        server.sql("INSERT INTO customer(id, name, visits) VALUES(x'01', 'Ada', 3)")
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql("DELETE FROM customer WHERE id = x'01'")
        tablet.sql("UPDATE customer SET age = 36 WHERE id = x'01'")  # as of before
        phone.sync()
        answer, _ = self.ctl(server, "import", "customer", self.file("rows.csv", "id,name,age\nx'01',Bad,-1\nx'02',Ben,1\n"), expect=1)
        self.assertEqual(([e["code"] for e in answer["errors"]], answer["inserted"]), (["E_CHECK"], 1))
        tablet.sync()
        self.assertEqual(server.read("SELECT name, age, visits FROM customer WHERE id = x'01'"), [("Ada", 36, 3)])
        self.assertEqual(tablet.one("SELECT count(*) FROM satchel_rejected"), 0)
        self.sync_all(phone, tablet)
        self.assert_same(server, phone, tablet)

    def test_source_keys_find_the_same_rows_again(self):
        server = self.server(schema=self.schema())
        customers = "no,name,boss,since,seen,visits\nC2,Ann,,2001,10,5\nC1,Bob,C2,2002,20,\n"
        options = ["--source", "shop", "--key", "no", "--map", "boss=boss_id", "--ref", "boss_id=shop:customer"]
        answer, _ = self.ctl(server, "import", "customer", self.file("c.csv", customers), *options)
        self.assertEqual(self.counts(answer), (2, 0, 0, 0))
        sales = '{"order": 1, "of": "C1", "amount": 2.5}\n{"order": 2, "of": "C9", "amount": 1}\n'
        to_sale = ["--source", "shop", "--key", "order", "--map", "of=customer_id", "--ref", "customer_id=shop:customer"]
        answer, told = self.ctl(server, "import", "sale", self.file("s.jsonl", sales), *to_sale, expect=1)
        self.assertEqual((self.counts(answer), answer["errors"][0]["column"]), ((1, 0, 0, 1), "customer_id"))
        self.assertIn("shop has given no row of customer with the key C9", told)
        rows = server.read("SELECT c.name, b.name, s.amount, c.visits FROM sale s JOIN customer c ON c.id=customer_id JOIN customer b ON b.id=c.boss_id")
        self.assertEqual(rows, [("Bob", "Ann", 2.5, 0)])
        seq = self.seq(server)
        answer, _ = self.ctl(server, "import", "customer", self.path("c.csv"), *options)
        self.assertEqual((self.counts(answer), self.seq(server)), ((0, 0, 2, 0), seq))
        # A counter becomes what the file says; first and max keep what their rules keep, and that is no conflict.
        changed = customers.replace("Ann,,2001,10,5", "Anna,,1999,9,8")
        answer, _ = self.ctl(server, "import", "customer", self.file("c.csv", changed), *options)
        self.assertEqual((self.counts(answer), answer["kept"]), ((0, 1, 1, 0), 2))
        self.assertEqual(server.read("SELECT name, since, seen, visits FROM customer WHERE name='Anna'"), [("Anna", "2001", 10, 8)])
        self.assertEqual(server.ctl("conflicts"), [])
        self.assertEqual(server.one("SELECT count(*) FROM customer"), 2)
        self.assert_sound(server)

    def test_children_before_their_parents_find_them_in_the_second_pass(self):
        server = self.server(schema=self.schema())
        rows = "".join("x'%08x',customer %d,%s\n" % (i, i, "x'%08x'" % (i // 4) if i > 3 else "") for i in range(1000, 0, -1))
        rows += "x'ff',lost,x'fe'\n"
        answer, told = self.ctl(server, "import", "customer", self.file("c.csv", "id,name,boss_id\n" + rows), "--batch", 300, expect=1)
        self.assertIn("c.csv:1002: boss_id: customer has no row with this key", told)
        self.assertEqual(answer["failed"], 1)
        self.assertEqual(answer["inserted"], 1000)

    def test_killed_in_the_middle_and_run_again_makes_nothing_twice(self):
        server = self.server(schema=self.schema())
        device = self.device("till", server)
        n = 6000
        head, rows = "no,name,loose\n", [f"{i},customer {i},{'z' * 100}\n" for i in range(n)]
        options = ["--batch", "100", "--source", "shop", "--key", "no"]
        count = lambda: server.one("SELECT count(*) FROM customer")
        for i, victim in enumerate(("satchelctl", "satcheld")):
            before = count()
            process = subprocess.Popen([harness.program("satchelctl"), "--data", server.data, "import", "customer", "-", *options],
                                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, pipesize=1 << 20)
            # Not half of them, and no end: it waits for more, and cannot be over before it is killed, however late that comes.
            process.stdin.write(head + "".join(rows[2950 * i:2950 * (i + 1)]))
            process.stdin.flush()
            harness.wait_until(lambda: count() > before + 300 or process.poll() is not None, "the import to be under way", pause_s=0.002)
            if victim == "satchelctl":
                process.send_signal(signal.SIGKILL)
            else:
                server.kill()
            process.stdin.close()
            status = process.wait(harness.PATIENCE_S)
            self.assertNotEqual(status, 0, "the import ended before it was killed")
            if victim == "satcheld":
                server.start()
            self.assertTrue(before < count() < n)
        answer, _ = self.ctl(server, "import", "customer", self.file("rows.csv", head + "".join(rows)), *options)
        self.assertEqual((answer["inserted"] + answer["unchanged"], answer["failed"]), (n, 0))
        self.assertGreater(answer["unchanged"], 600)
        self.assertEqual(server.read("SELECT count(*), count(DISTINCT name) FROM customer"), [(n, n)])
        self.assertEqual(server.one("SELECT count(*) FROM satchel_source"), n)
        self.assert_sound(server)
        device.sync()
        self.assert_same(server, device)

    def test_device_exports_its_unsent_edits(self):
        server = self.server(schema=self.schema())
        server.sql("INSERT INTO customer(id, name) VALUES(x'01', 'Ann'), (x'02', 'Bob');")
        device = self.device("till", server)
        device.sync()
        device.sql("UPDATE customer SET name = 'Anna', visits = visits + 1 WHERE id = x'01'; DELETE FROM customer WHERE id = x'02';"
                   "INSERT INTO customer(id, name) VALUES(x'03', 'Cy');")
        lines = device.run("export", "customer").stdout.splitlines()
        self.assertEqual([line.split(",")[:2] for line in lines], [["id", "name"], ["AQ==", "Anna"], ["Aw==", "Cy"]])
        pending = [json.loads(line) for line in device.run("export", "--pending").stdout.splitlines()]
        self.assertEqual([(p["op"], p["table"], p["key"]["id"]["base64"], p["values"].get("name")) for p in pending],
                         [("update", "customer", "AQ==", "Anna"), ("delete", "customer", "Ag==", None), ("insert", "customer", "Aw==", "Cy")])
        self.assertEqual([p["transaction"] for p in pending], [1, 2, 3])
        device.sync()
        self.assertEqual(device.run("export", "--pending").stdout, "")
        device.run("export", "--pending", "customer", expect=2)
        device.run("export", "nothing", expect=1)

    def test_requests_that_will_not_do_are_told_before_a_row_is_taken(self):
        server = self.server(schema=self.schema())
        path = self.file("c.csv", "id,nane\nx'01',Ann\n")
        for arguments, words in [
            (["customer", path], "the table has no column nane"),
            (["nothing", path], "there is no synced table nothing"),
            (["customer", path, "--map", "nane=name,id="], "it has no column id"),
            (["customer", path, "--map", "nane=name", "--source", "s", "--key", "other"], "no column for the source's key: other"),
            (["sale", path, "--map", "nane=", "--ref", "customer_id=s:nothing"], "there is no synced table nothing"),
        ]:
            with self.subTest(words):
                _, told = self.ctl(server, "import", *arguments, expect=1)
                self.assertIn(words, told)
        self.ctl(server, "import", "customer", path, "--errors", path, expect=1)
        self.assertTrue(os.path.getsize(path), "the file itself was taken for the failures")
        self.ctl(server, "import", "customer", path, "--key", "id", expect=2)
        self.ctl(server, "import", "customer", path, "--batch", "0", expect=2)
        self.assertEqual(self.seq(server), 0)
        _, told = self.ctl(server, "export", "customer", "--where", "nane=x", expect=1)
        self.assertIn("customer has no column nane", told)

    def test_export_is_as_of_one_commit_and_ends_with_its_reader(self):
        server = self.server(schema=self.schema())
        rows = "id,name,loose\n" + "".join(f"x'{i:08x}',customer {i},{'z' * 200}\n" for i in range(5000))
        self.ctl(server, "import", "customer", self.file("c.csv", rows))
        command = [harness.program("satchelctl"), "--data", server.data, "export", "customer"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        head = process.stdout.read(1000)  # it waits for us, with most rows to come
        server.sql("UPDATE customer SET name = 'changed'; DELETE FROM customer WHERE id > x'00000100';")
        text = head + process.stdout.read()
        process.stdout.close()
        self.assertEqual((process.wait(harness.PATIENCE_S), text.count(b"\r\n"), text.count(b"changed")), (0, 5001, 0))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.read(100)
        process.kill()
        process.wait()
        process.stdout.close()
        answer, _ = self.ctl(server, "export", "customer", self.path("few.jsonl"), "--where", "id=x'00000007'")
        self.assertEqual(answer["tables"][0]["rows"], 1)


if __name__ == "__main__":
    harness.main()
