"""The HTTP API for other systems: every operation and every status that its description has, and that nothing is written twice or lost."""
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time

import harness
import jsonschema
from api_client import MET, Api, Description, change

SOURCE = os.path.join(harness.ROOT, "server/api/openapi.json")
EVERY_READ = (("listTables", {}), ("listRows", {"table": "artist"}), ("readRow", {"table": "artist", "key": "1"}), ("listChanges", {}))


class ApiCase(harness.Case):
    def token(self, server, name, rights="read,write,server"):
        return server.ctl("token", "add", name, "--rights", rights)["token"]

    def program(self, server, name="shop", rights="read,write,server"):
        api = Api(server, self.token(server, name, rights))
        status, _, text = api.raw("GET", "/v1/openapi.json")
        self.assertEqual(status, 200)
        api.description = Description(json.loads(text))
        return api

    def begin(self, *options, **more):
        server = self.server(schema=harness.MUSIC, options=options, **more)
        return server, self.program(server)


class Describes(ApiCase):
    def schemas(self, part, found):
        if isinstance(part, dict):
            if "schema" in part:
                found.append(part["schema"])
            for value in part.values():
                self.schemas(value, found)
        elif isinstance(part, list):
            for value in part:
                self.schemas(value, found)
        return found

    def test_document_is_the_source_and_holds_together(self):
        _, api = self.begin()
        served = api.call("describe", 200).body
        with open(SOURCE, encoding="utf-8") as f:
            self.assertEqual(served, json.load(f))
        description = Description(served)
        self.assertRegex(served["openapi"], r"^3\.1\.")
        names = [o["operationId"] for item in served["paths"].values() for o in item.values()]
        self.assertEqual(len(names), len(set(names)))
        for schema in self.schemas(served["paths"], []) + list(served["components"]["schemas"].values()):
            jsonschema.Draft202012Validator.check_schema(schema)
        self.each_reference(description, served)
        for path, item in served["paths"].items():
            for operation in item.values():
                parameters = [description.follow(p) for p in operation.get("parameters", [])]
                self.assertEqual({p["name"] for p in parameters if p["in"] == "path"}, set(part[1:-1] for part in path.split("/") if part.startswith("{")))
                self.assertIn("default", operation["responses"])
                self.assertTrue(operation["summary"])

    def each_reference(self, description, part):
        if isinstance(part, dict):
            if "$ref" in part:
                description.resolver.resolve(part["$ref"])
            for value in part.values():
                self.each_reference(description, value)
        elif isinstance(part, list):
            for value in part:
                self.each_reference(description, value)


class Reads(ApiCase):
    def test_pages_hold_every_row_in_key_order_as_of_one_seq_each(self):
        server, api = self.begin()
        server.sql("BEGIN;" + "".join(f"INSERT INTO artist(artist_no, name, country) VALUES({n}, 'A{n}', '{'PT' if n % 3 else 'BR'}');"
                                       for n in range(1, 251)) + "COMMIT;")
        rows, first = api.rows("artist", limit=100)
        self.assertEqual([r["key"]["artist_no"] for r in rows], list(range(1, 251)))
        self.assertEqual(first["seq"], server.one("SELECT seq FROM satchel_server"))
        some, _ = api.rows("artist", limit=10, where__country="BR")
        self.assertEqual([r["key"]["artist_no"] for r in some], list(range(3, 251, 3)))
        self.assertEqual(len(api.call("listRows", 200, table="artist", where__country="BR", where__name="A3")["rows"]), 1)
        self.assertEqual(len(api.rows("artist", where__chart_position="")[0]), 250)

    def test_keys_of_every_kind_are_found(self):
        server, api = self.begin()
        api.write(change("playlist", "insert", {"owner": "Zé/~ +", "name": "a,b"}, public=True),
                  change("playlist", "insert", {"owner": "", "name": "'; DROP TABLE artist; --"}),
                  change("artist", "insert", {"artist_no": -9223372036854775808}, name="Ünï\u0000\U0001f600", fans=9223372036854775807),
                  change("review", "insert", {"id": {"base64": "AAECAwQFBgcICQoLDA0ODw=="}}, isrc="x", stars=5))
        row = api.call("readRow", 200, table="playlist", key="Zé~1~0 +/a,b")["row"]
        self.assertEqual(row, {"key": {"owner": "Zé/~ +", "name": "a,b"}, "values": {"public": 1}})
        row = api.call("readRow", 200, table="artist", key="-9223372036854775808")["row"]
        self.assertEqual((row["values"]["name"], row["values"]["fans"]), ("Ünï\u0000\U0001f600", 9223372036854775807))
        for key in ("x'000102030405060708090a0b0c0d0e0f'", "00010203-0405-0607-0809-0a0b0c0d0e0f", "AAECAwQFBgcICQoLDA0ODw=="):
            self.assertEqual(api.call("readRow", 200, table="review", key=key)["row"]["values"]["stars"], 5)
        self.assertEqual(len(api.rows("playlist", limit=1)[0]), 2)
        self.assertEqual(len(api.call("listRows", 200, table="playlist", where__owner="")["rows"]), 1)

    def test_values_come_back_as_they_were_sent(self):
        _, api = self.begin()
        for n, value in enumerate((0, -1, 2**63 - 1, 0.1, 1e300, 5e-324, 3.0, "", "x" * 70000, "\u0001\"\\", {"base64": ""}, {"base64": "/+8="}, None,
                                   {"real": "Infinity"}, {"real": "-Infinity"})):
            api.write(change("artist", "upsert", {"artist_no": 1}, name="x"), change("album", "upsert", {"title": "t", "artist_no": 1}),
                      change("track", "insert", {"isrc": str(n)}, artist_no=1, album_title="t", title="t", seconds=1, extra=value))
            got = api.call("readRow", 200, table="track", key=n)["row"]["values"]["extra"]
            self.assertEqual((type(got), got), (type(value), value))

    def test_wrong_reads_are_told_what_to_do(self):
        _, api = self.begin()
        for arguments, words in (({"limit": 0}, "limit"), ({"limit": "many"}, "limit"), ({"limit": 1001}, "limit"), ({"after": "AAAA"}, "after"),
                                 ({"after": "%%"}, "after"), ({"bla": 1}, "bla"), ({"where__nothing": 1}, "nothing"), ({"where__fans": "x"}, "fans"),
                                 ({"where__satchel_clock": "x"}, "satchel_clock"), ({"where__name\" OR 1=1 --": "x"}, "no column")):
            self.assertIn(words, api.call("listRows", 400, table="artist", **arguments)["detail"])
        api.call("listRows", 400, table="artist", **{f"where__{c}": 1 for c in ("artist_no", "name", "sort_name", "country", "bio", "fans", "chart_position",
                                                                                "artist_no ", "x")})
        self.assertEqual(api.raw("GET", "/v1/tables/artist/rows?limit=1&limit=2")[0], 400)
        api.call("listTables", 400, x=1)
        for table in ("nobody", "satchel_token", "sqlite_master", "setting", 'artist" --', "artist_search", "Artist"):
            api.call("listRows", 404, table=table)
            api.call("readRow", 404, table=table, key="1")
        api.call("readRow", 404, table="artist", key="1")
        api.call("readRow", 400, table="artist", key="one")
        self.assertIn("2 columns", api.call("readRow", 400, table="playlist", key="one")["detail"])

    def test_head_options_and_other_methods(self):
        _, api = self.begin()
        status, headers, text = api.raw("HEAD", "/v1/tables")
        self.assertEqual((status, text), (200, b""))
        self.assertGreater(int(headers["content-length"]), 1000)
        status, headers, _ = api.raw("OPTIONS", "/v1/transactions")
        self.assertEqual((status, headers["allow"]), (200, "POST, OPTIONS"))
        for method, path, allow in (("DELETE", "/v1/tables/artist/rows/1", "GET, HEAD, OPTIONS"), ("POST", "/v1/changes", "GET, HEAD, OPTIONS"),
                                    ("GET", "/v1/transactions", "POST, OPTIONS"), ("PUT", "/healthz", "GET, HEAD, OPTIONS")):
            status, headers, text = api.raw(method, path)
            self.assertEqual((status, headers["allow"], json.loads(text)["code"]), (405, allow, "E_MISUSE"))
        self.assertEqual(api.raw("GET", "/v1/nothing")[0], 404)
        self.assertEqual(api.raw("GET", "/v1/tables//rows")[0], 404)


class Writes(ApiCase):
    def test_changes_of_every_kind_reach_the_devices_under_the_same_rules(self):
        server, api = self.begin()
        phone = self.device("phone", server)
        done = api.write(change("artist", "insert", {"artist_no": 1}, name="Ana", fans=10, chart_position=3),
                         change("artist", "upsert", {"artist_no": 2}, name="Bea", fans={"add": 4}))
        self.assertEqual((done["conflicts"], done["epoch"]), ([], api.call("listTables", 200)["epoch"]))
        api.write(change("artist", "update", {"artist_no": 1}, fans={"add": -3}), change("artist", "upsert", {"artist_no": 2}, fans={"add": 4}))
        api.write(change("artist", "delete", {"artist_no": 2}), change("invoice", "insert", {"number": 7}, customer="c", total=1.5))
        api.write(change("invoice", "update", {"number": 7}, state={"from": "draft", "to": "sent"}, total={"add": 1}))
        self.assertEqual(server.read("SELECT artist_no, fans, chart_position FROM artist"), [(1, 7, 3)])
        self.assertEqual(server.read("SELECT state, total FROM invoice"), [("sent", 2.5)])
        phone.sync()
        self.assert_same(server, phone)
        self.assert_sound(server, phone)
        self.assertNotIn("shop", [d["name"] for d in server.ctl("device", "list")])
        server.ctl("device", "show", "shop", expect=1)
        self.assertEqual(server.ctl("status")["store"]["devices"], 1)

    def test_refusals_tell_code_rule_and_row_and_leave_nothing(self):
        server, api = self.begin()
        api.write(change("invoice", "insert", {"number": 1}, customer="c", stamp="s"), change("artist", "insert", {"artist_no": 1}, name="A"))
        before = server.content()
        line = {"isrc": "i", "copies": 0, "price": 1}
        keyed = {"owner": "o", "name": "n", "isrc": "i"}
        for status, code, rule, bad in (
                (422, "E_CHECK", "check", change("invoice_line", "insert", {"number": 1, "line": 1}, **line)),
                (422, "E_NOT_NULL", "not null", change("invoice_line", "insert", {"number": 1, "line": 1}, copies=1, price=1)),
                (409, "E_FOREIGN_KEY", "foreign key", change("playlist_entry", "insert", keyed)),
                (409, "E_GUARD", "guard", change("invoice", "update", {"number": 1}, state="paid")),
                (409, "E_KEY_TAKEN", "key", change("invoice", "insert", {"number": 1}, customer="d")),
                (409, "E_UNIQUE", "unique", change("invoice", "insert", {"number": 2}, customer="d", stamp="s")),
                (409, "E_ROW_MISSING", None, change("invoice", "update", {"number": 9}, total=1)),
                (422, "E_TYPE", None, change("invoice", "update", {"number": 1}, customer=5)),
                (422, "E_TYPE", None, change("invoice", "update", {"number": 1}, customer={"add": 5})),
                (422, "E_TYPE", None, change("invoice", "insert", {"number": 3}, customer="x", total={"add": 5})),
                (422, "E_TYPE", None, change("invoice", "update", {"number": 1}, total=[1])),
                (422, "E_TYPE", None, change("review", "insert", {"id": {"base64": "%"}}, isrc="i")),
                (422, "E_KEY_MISSING", None, change("playlist", "insert", {"owner": "o"})),
                (422, "E_KEY_MISSING", None, change("playlist", "insert", {"owner": "o", "name": None})),
                (422, "E_UNKNOWN_COLUMN", None, change("invoice", "update", {"number": 1}, **{'total" = 1; --': 1})),
                (422, "E_UNKNOWN_COLUMN", None, change("invoice", "update", {"number": 1}, satchel_clock=None)),
                (422, "E_UNKNOWN_COLUMN", None, change("invoice", "update", {"number": 1}, number=2)),
                (422, "E_UNKNOWN_TABLE", None, change("satchel_token", "delete", {"id": 1})),
                (422, "E_TOO_LARGE", None, change("artist", "update", {"artist_no": 1}, bio="x" * 800000))):
            problem = api.write(change("genre", "insert", {"name": "Polka"}), bad, expect=status).body
            self.assertEqual((problem["code"], problem.get("rule")), (code, rule), problem)
            self.assertEqual(problem.get("table"), None if code == "E_UNKNOWN_TABLE" else bad["table"], problem)
            if rule and code != "E_FOREIGN_KEY":
                self.assertEqual(problem["key"], bad["key"])
            if not rule and code != "E_ROW_MISSING":
                self.assertEqual(problem["change"], 1, problem)
        self.assertEqual(server.content(), before)
        self.assertEqual(server.ctl("rejected"), [], "a program is told at once; nobody has to settle it")
        self.assert_sound(server)

    def test_requests_that_make_no_sense_are_told_so(self):
        _, api = self.begin()
        good = change("genre", "insert", {"name": "Polka"})

        def post(body, expect, key="k"):
            return api.call("write", expect, body, {"Idempotency-Key": key} if key else {}).body

        for body in (b"", b"{", b"[]", b"\xff\xfe", b'{"changes": [{"table": "genre", "table": "x"}]}', b'{"base": 99999999999999999999}', b'"\\ud800"',
                     b"[" * 100000):
            self.assertEqual(post(body, 400)["code"], "E_MALFORMED")
        self.assertIn("Idempotency-Key", post({"changes": [good]}, 400, key=None)["detail"])
        post({"changes": [good]}, 400, key="x" * 129)
        post({"changes": [good]}, 400, key="a key")
        for body in ({}, {"changes": []}, {"changes": {}}, {"changes": [1]}, {"changes": [{}]}, {"changes": [{**good, "op": "put"}]}, {"changes": [good], "x": 1},
                     {"changes": [{**good, "x": 1}]}, {"changes": [good], "base": -1}, {"changes": [good], "base": "1"}, {"changes": [good], "epoch": "x"},
                     {"changes": [good, good]}, {"changes": [change("genre", "update", {"name": "Jazz"})]}, {"transactions": []}, {"transactions": [{}] * 101},
                     {"transactions": [], "changes": []}, {"changes": [good] * 10001},
                     {"changes": [{"table": "genre", "op": "delete", "key": {"name": "Jazz"}, "values": {}}]}):
            post(body, 422)
        problem = post({"changes": [change("artist", "update", {"artist_no": 1}, name="x")], "base": 1}, 422)
        self.assertEqual((problem["column"], "group" in problem["detail"]), ("sort_name", True))
        for size in (2 * 1024 * 1024 + 1, 10 * 1024 * 1024):
            self.assertEqual(post(b" " * size, 413)["code"], "E_LIMIT")
        self.assertIn("ahead", post({"changes": [good], "base": 10**9}, 409)["detail"])
        self.assertEqual(post({"changes": [good], "epoch": "0" * 16}, 409)["code"], "E_ORDER")
        api.call("write", 400, None, {"Idempotency-Key": "k"})
        self.assertEqual(len(api.rows("genre")[0]), 4)

    def test_several_transactions_are_each_their_own(self):
        server, api = self.begin()
        good = [{"key": f"n{n}", "changes": [change("artist", "insert", {"artist_no": n}, name=f"A{n}")]} for n in range(100)]
        groups = server.one("SELECT seq FROM satchel_server")
        results = api.call("write", 200, {"transactions": good})["results"]
        self.assertEqual([(r["key"], r["status"], r["accepted"]["seq"]) for r in results], [(f"n{n}", 200, groups + 1 + n) for n in range(100)])
        mixed = [good[0], {"key": "bad", "changes": [change("artist", "update", {"artist_no": 1000}, name="x")]},
                 {"changes": good[1]["changes"]}, {**good[2], "key": "n1"}, {"key": "new", "changes": [change("artist", "delete", {"artist_no": 5})]}]
        results = api.call("write", 200, {"transactions": mixed})["results"]
        self.assertEqual([(r["status"], r["replayed"]) for r in results], [(200, True), (409, False), (400, False), (422, False), (200, False)])
        self.assertEqual(server.one("SELECT count(*) FROM artist"), 99)
        again = api.write(*good[3]["changes"], key="n3")
        self.assertEqual(again.headers["idempotent-replayed"], "true", "alone or among others, it is the same transaction")

    def test_a_large_body_goes_through(self):
        server, api = self.begin()
        api.write(*[change("artist", "insert", {"artist_no": n}, name="N" * 200, bio="b" * 200) for n in range(3000)])
        self.assertEqual(server.one("SELECT count(*) FROM artist"), 3000)
        api.write(change("artist", "update", {"artist_no": 1}, bio="é" * 384 * 1024))
        self.assertEqual(len(api.call("readRow", 200, table="artist", key=1)["row"]["values"]["bio"]), 384 * 1024)
        changes, _, _ = api.follow()
        self.assertEqual(len([c for c in changes if c["table"] == "artist"]), 3001)

    def test_a_store_that_cannot_be_written_is_told_and_comes_back(self):
        server, api = self.begin(prefix=("env", "--ignore-signal=XFSZ"))
        api.write(change("artist", "insert", {"artist_no": 1}, name="A"))
        limit = max(os.path.getsize(os.path.join(server.data, f)) for f in os.listdir(server.data) if os.path.isfile(os.path.join(server.data, f)))
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        big = change("artist", "update", {"artist_no": 1}, bio="x" * 700000)
        problem = api.write(big, key="big", expect=503)
        self.assertIn("same", problem["detail"])
        self.assertEqual(api.call("readRow", 200, table="artist", key=1)["row"]["values"]["bio"], None)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertNotIn("idempotent-replayed", api.write(big, key="big").headers)
        self.assert_sound(server)


class Once(ApiCase):
    def test_repeat_has_one_effect_and_the_same_answer(self):
        server, api = self.begin()
        api.write(change("artist", "insert", {"artist_no": 1}, name="A"))
        more = change("artist", "update", {"artist_no": 1}, fans={"add": 1})
        first = api.write(more, key="once")
        for _ in range(3):
            again = api.write(more, key="once")
            self.assertEqual((again.body, again.headers["idempotent-replayed"]), (first.body, "true"))
        self.assertIn("its own", api.write(change("artist", "update", {"artist_no": 1}, fans={"add": 2}), key="once", expect=422)["detail"])
        other = Api(server, self.token(server, "erp"), api.description)
        other.write(more, key="once")
        self.assertEqual(server.one("SELECT fans FROM artist"), 2, "another program's keys are its own")
        refused = change("artist", "update", {"artist_no": 2}, name="B")
        api.write(refused, key="early", expect=409)
        api.write(change("artist", "insert", {"artist_no": 2}, name="A"))
        api.write(refused, key="early")
        self.assertEqual(server.one("SELECT name FROM artist WHERE artist_no = 2"), "B", "what was refused may be sent again")

    def test_repeat_after_a_kill_between_commit_and_answer_has_one_effect(self):
        server, api = self.begin()
        api.write(change("artist", "insert", {"artist_no": 1}, name="A"))
        for n in range(5):
            before = server.one("SELECT seq FROM satchel_server")
            more, key = change("artist", "update", {"artist_no": 1}, fans={"add": 1}), f"kill-{n}"
            ended = []
            api.connect()
            writer = threading.Thread(target=lambda: ended.append(self.try_write(api, more, key)))
            writer.start()
            harness.wait_until(lambda: server.one("SELECT seq FROM satchel_server") > before or ended, "a commit", pause_s=0)
            server.kill()
            writer.join()
            server.start()
            api.connect()
            self.assertEqual(api.write(more, key=key).headers.get("idempotent-replayed"), "true", "the commit was there")
            self.assertEqual(server.one("SELECT fans FROM artist"), n + 1)
        self.assert_sound(server)

    def try_write(self, api, more, key):
        try:
            return api.connection.request("POST", "/v1/transactions", json.dumps({"changes": [more]}),
                                          {"Authorization": "Bearer " + api.token, "Idempotency-Key": key}) or api.connection.getresponse().status
        except OSError:
            return 0

    def test_many_writers_at_once_lose_nothing(self):
        server, api = self.begin()
        api.write(change("artist", "insert", {"artist_no": 1}, name="A"))
        token, problems = self.token(server, "many"), []

        def work(number):
            mine = Api(server, token, api.description)
            try:
                for n in range(16):
                    mine.write(change("artist", "update", {"artist_no": 1}, fans={"add": 1}), key=f"{n // 2 if number % 2 else n}-{number}")
            except Exception as e:  # pylint: disable=broad-except
                problems.append(e)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertEqual(server.one("SELECT fans FROM artist"), 3 * 16 + 3 * 8)


class Conflicts(ApiCase):
    def begin_with_phone(self):
        server, api = self.begin()
        phone = self.device("phone", server)
        api.write(change("artist", "insert", {"artist_no": 1}, name="A", country="PT"))
        phone.sync()
        return server, api, phone

    def test_device_and_program_write_one_field_and_the_log_names_both(self):
        server, api, phone = self.begin_with_phone()
        base = api.call("readRow", 200, table="artist", key=1)
        phone.sql("UPDATE artist SET country = 'BR' WHERE artist_no = 1")
        phone.sync()
        done = api.write(change("artist", "update", {"artist_no": 1}, country="AO"), base=base["seq"], epoch=base["epoch"])
        self.assertEqual(done["conflicts"], [{"rule": "lww", "table": "artist", "key": {"artist_no": 1}, "column": "country", "kept": "AO", "lost": "BR",
                                              "kept_author": "shop", "lost_author": "phone"}])
        logged = server.ctl("conflicts")
        self.assertEqual([(c["kept_device"], c["lost_device"], c["kept"], c["lost"]) for c in logged], [("shop", "phone", "'AO'", "'BR'")])
        phone.sync()
        self.assertEqual(phone.one("SELECT country FROM artist"), "AO")
        self.assert_same(server, phone)

    def test_M14_upsert_of_a_row_that_was_deleted_since_its_base_revives_it_as_an_update_does(self):
        server, api, phone = self.begin_with_phone()
        api.write(change("artist", "update", {"artist_no": 1}, fans={"add": 3}))
        base = api.call("readRow", 200, table="artist", key=1)
        phone.sync()
        phone.sql("DELETE FROM artist WHERE artist_no = 1")
        phone.sync()
        done = api.write(change("artist", "upsert", {"artist_no": 1}, name="B", sort_name=None, fans={"add": 4}), base=base["seq"], epoch=base["epoch"])
        self.assertEqual(server.read("SELECT name, country, fans FROM artist"), [("B", "PT", 7)])
        self.assertEqual([(c["rule"], c["kept_author"], c["lost_author"]) for c in done["conflicts"]], [("lww", "shop", "phone")])
        phone.sync()
        self.assert_same(server, phone)
        # Who knows that it is deleted makes it anew.
        phone.sql("DELETE FROM artist WHERE artist_no = 1")
        phone.sync()
        api.write(change("artist", "upsert", {"artist_no": 1}, name="C", fans={"add": 4}))
        self.assertEqual(server.read("SELECT name, country, fans FROM artist"), [("C", None, 4)])

    def test_without_base_the_program_knows_what_it_overwrites(self):
        server, api, phone = self.begin_with_phone()
        phone.sql("UPDATE artist SET country = 'BR' WHERE artist_no = 1")
        phone.sync()
        self.assertEqual(api.write(change("artist", "update", {"artist_no": 1}, country="AO"))["conflicts"], [])
        self.assertEqual(server.ctl("conflicts"), [])
        # The device wrote before it knew, and later: its value is kept, and the program's is the one that lost.
        phone.sql("UPDATE artist SET country = 'MZ' WHERE artist_no = 1")
        phone.sync()
        self.assertEqual([(c["kept_device"], c["lost_device"]) for c in server.ctl("conflicts")], [("phone", "shop")])
        self.assert_sound(server, phone)

    def test_only_a_token_with_the_right_writes_what_is_the_servers(self):
        server, api = self.begin()
        plain = Api(server, self.token(server, "plain", "read,write"), api.description)
        self.assertEqual(plain.write(change("genre", "insert", {"name": "Polka"}), expect=422)["code"], "E_SERVER_OWNED")
        api.write(change("artist", "insert", {"artist_no": 1}, name="A", chart_position=1))
        self.assertEqual(plain.write(change("artist", "update", {"artist_no": 1}, chart_position=2), expect=422)["rule"], "server")
        api.write(change("invoice", "insert", {"number": 1}, customer="c"),
                  change("invoice_line", "insert", {"number": 1, "line": 1}, isrc="i", copies=1, price=1))
        self.assertEqual(api.write(change("invoice_line", "delete", {"number": 1, "line": 1}), expect=422)["code"], "E_APPEND_ONLY")


class Feed(ApiCase):
    def test_a_consumer_that_restarts_sees_each_change_once(self):
        server, api = self.begin()
        phone = self.device("phone", server)
        phone.sync()
        _, since, epoch = api.follow()
        seen = []
        for n in range(1, 13):
            if n % 3 == 0:
                phone.sql(f"INSERT INTO artist(artist_no, name) VALUES({n}, 'P')")
                phone.sync()
            else:
                api.write(change("artist", "insert", {"artist_no": n}, name="S"), change("playlist", "insert", {"owner": "o", "name": str(n)}))
            if n % 4 == 0:
                server.kill() if n == 8 else server.stop()
                server.start()
                fresh = Api(server, api.token, api.description)
                changes, since, epoch = fresh.follow(since, epoch, limit=1)
                seen += changes
        artists = [(c["key"]["artist_no"], c["author"], c["op"]) for c in seen if c["table"] == "artist"]
        self.assertEqual(artists, [(n, "phone" if n % 3 == 0 else "shop", "insert") for n in range(1, 13)])
        self.assertEqual([c["seq"] for c in seen], sorted(c["seq"] for c in seen))
        api.write(change("artist", "update", {"artist_no": 1}, country="PT"), change("artist", "delete", {"artist_no": 2}))
        server.sql("UPDATE artist SET bio = 'b' WHERE artist_no = 3")
        changes, _, _ = api.follow(since, epoch)
        self.assertEqual([(c["op"], c["key"], c["values"], c["author"]) for c in changes],
                         [("update", {"artist_no": 1}, {"country": "PT"}, "shop"), ("delete", {"artist_no": 2}, {}, "shop"),
                          ("update", {"artist_no": 3}, {"bio": "b"}, "server")])

    def test_transactions_are_not_torn_and_large_ones_go_on(self):
        server, api = self.begin()
        _, since, epoch = api.follow()
        for n in range(5):
            api.write(*[change("playlist", "insert", {"owner": str(n), "name": str(k)}) for k in range(7)])
        page = api.call("listChanges", 200, since=since, epoch=epoch, limit=10)
        self.assertEqual((len(page["changes"]), page["more"], page["next"]), (14, True, since + 2))
        server.sql("BEGIN;" + "".join(f"INSERT INTO artist(artist_no, name, bio) VALUES({n}, '{'x' * 20}', '{'y' * 800}');" for n in range(2500)) + "COMMIT;")
        api.write(change("genre", "insert", {"name": "Polka"}))
        pages, rest, at = [], {}, since
        while True:
            page = api.call("listChanges", 200, since=at, epoch=epoch, **rest)
            pages.append(page)
            at, rest = page["next"], {"continue": page["continue"]} if "continue" in page.body else {}
            if not page["more"]:
                break
        self.assertTrue(any("continue" in p.body for p in pages))
        changes = [c for p in pages for c in p["changes"]]
        self.assertEqual([c["key"]["artist_no"] for c in changes if c["table"] == "artist"], list(range(2500)))
        self.assertEqual((len(changes), changes[-1]["key"]), (35 + 2500 + 1, {"name": "Polka"}))
        for bad in ("x", "1", "5-0", "0-1", "999999999999999-1"):
            api.call("listChanges", 400, since=since, epoch=epoch, **{"continue": bad})

    def test_a_wait_ends_with_the_first_change(self):
        server, api = self.begin()
        _, since, epoch = api.follow()
        self.assertEqual(api.call("listChanges", 200, since=since, epoch=epoch, wait=1)["changes"], [])
        got = []
        waiters = [Api(server, api.token, api.description) for _ in range(5)]
        threads = [threading.Thread(target=lambda w=w: got.append(w.call("listChanges", 200, since=since, epoch=epoch, wait=60)["changes"])) for w in waiters]
        for thread in threads:
            thread.start()
        gone = Api(server, api.token, api.description)
        gone.connect()
        gone.connection.request("GET", f"/v1/changes?since={since}&epoch={epoch}&wait=60", headers={"Authorization": "Bearer " + api.token})
        gone.connection.close()
        time.sleep(0.5)
        api.write(change("genre", "insert", {"name": "Polka"}))
        for thread in threads:
            thread.join()
        self.assertEqual([[c["key"] for c in changes] for changes in got], [[{"name": "Polka"}]] * 5)

    def test_the_end_of_the_server_ends_a_wait(self):
        server, api = self.begin()
        _, since, epoch = api.follow()
        got = []
        other = Api(server, self.token(server, "waiter", "read"), api.description)
        waiter = threading.Thread(target=lambda: got.append(other.call("listChanges", 200, since=since, epoch=epoch, wait=60)))
        waiter.start()
        harness.wait_until(lambda: [t for t in server.ctl("token", "list") if t["name"] == "waiter" and t["used_ms"]], "the request to come")
        server.stop()
        waiter.join()
        self.assertEqual(got[0]["changes"], [])

    def test_what_the_log_cannot_tell_is_gone(self):
        server, api = self.begin()
        api.write(change("genre", "insert", {"name": "Polka"}))
        changes, since, epoch = api.follow()
        self.assertTrue(changes)
        self.assertIn("epoch", api.call("listChanges", 400, since=since)["detail"])
        for arguments in ({"since": "x"}, {"limit": 0}, {"wait": 61}, {"limit": 10001}):
            api.call("listChanges", 400, **arguments)
        self.assertIn("ahead", api.call("listChanges", 410, since=since + 1, epoch=epoch)["detail"])
        server.stop()
        shutil.copytree(server.data, self.path("backup"))
        server.start()
        api.write(change("genre", "insert", {"name": "Ska"}), key="lost")
        _, later, _ = api.follow(since, epoch)
        server.stop()
        shutil.rmtree(server.data)
        shutil.copytree(self.path("backup"), server.data)
        server.start("--restored")
        self.assertIn("read the tables again", api.call("listChanges", 410, since=later, epoch=epoch)["detail"])
        api.call("listChanges", 410, since=since, epoch=epoch)
        _, first = api.rows("genre")
        self.assertNotEqual(first["epoch"], epoch)
        self.assertEqual(api.follow(first["seq"], first["epoch"])[0], [])
        self.assertEqual(api.write(change("genre", "insert", {"name": "Ska"}), key="lost").headers.get("idempotent-replayed"), None, "the write was lost with its key")


class Tokens(ApiCase):
    def test_rights_are_kept_to(self):
        server, api = self.begin()
        reader = Api(server, self.token(server, "reader", "read"), api.description)
        writer = Api(server, self.token(server, "writer", "write"), api.description)
        reader.call("listTables", 200)
        reader.write(change("genre", "insert", {"name": "x"}), expect=403)
        writer.write(change("artist", "insert", {"artist_no": 1}, name="A"))
        for operation, arguments in EVERY_READ:
            writer.call(operation, 403, **arguments)
        listed = server.ctl("token", "list")
        self.assertEqual([(t["name"], t["rights"], t["state"]) for t in listed],
                         [("reader", "read", "active"), ("shop", "read,write,server", "active"), ("writer", "write", "active")])
        self.assertNotIn("satchel_", json.dumps(listed))
        harness.wait_until(lambda: all(t["used_ms"] for t in server.ctl("token", "list") if t["name"] != "shop"), "the note of their use")
        server.ctl("token", "add", "reader", expect=1)
        server.ctl("token", "add", "x", "--rights", "all", expect=1)
        server.ctl("token", "add", "", expect=1)
        server.ctl("token", "revoke", "nobody", expect=1)

    def test_revoked_tokens_are_worth_nothing_now_and_after_a_restart(self):
        server, api = self.begin()
        api.write(change("artist", "insert", {"artist_no": 1}, name="A"))
        server.ctl("token", "revoke", "shop")
        answer = api.call("listTables", 401)
        self.assertIn("invalid_token", answer.headers["www-authenticate"])
        again = self.token(server, "shop")
        self.assertNotEqual(again, api.token)
        server.stop()
        server.start()
        api.connect()
        api.call("listTables", 401)
        Api(server, again, api.description).call("listTables", 200)
        self.assertEqual([t["state"] for t in server.ctl("token", "list")], ["active", "revoked"])
        with open(server.store, "rb") as f:
            stored = f.read()
        for secret in (api.token, again):
            self.assertNotIn(secret.encode(), stored)
            self.assertNotIn(secret, server.read_log())
        self.assert_sound(server)

    def test_who_has_no_token_is_told_and_who_guesses_has_to_wait(self):
        server, api = self.begin()
        operations = [*EVERY_READ, ("write", {"body": {}})]
        nobody = Api(server, None, api.description)
        for operation, arguments in operations:
            self.assertTrue(nobody.call(operation, 401, **arguments).headers["www-authenticate"].startswith("Bearer realm="))
        for wrong in ("x", "satchel_", "satchel_" + "A" * 43, api.token[:-1], api.token + "x", "satchel_" + "x" * 700, "\u00e9"):
            Api(server, wrong, api.description).call("listTables", 401)
        nobody.call("listTables", 401, headers={"Authorization": "Basic " + api.token})
        wrong = Api(server, "satchel_" + "B" * 43, api.description)
        harness.wait_until(lambda: wrong.raw("GET", "/v1/tables")[0] == 429, "the bound of wrong tries")
        for operation, arguments in operations:
            self.assertGreater(int(wrong.call(operation, 429, **arguments).headers["retry-after"]), 0)
        api.call("listTables", 200)
        self.assertNotEqual(nobody.raw("GET", "/v1/openapi.json")[0], 429)

    def test_metrics_count_answers(self):
        _, api = self.begin()
        api.write(change("genre", "insert", {"name": "x"}))
        api.write(change("invoice", "delete", {"number": 1}), expect=409)
        text = api.raw("GET", "/metrics")[2].decode()
        for line in ('satchel_api_requests_total{status="409"} 1', 'satchel_api_transactions_total{result="accepted"} 1',
                     'satchel_api_transactions_total{result="refused"} 1'):
            self.assertIn(line, text)


class Readme(ApiCase):
    def test_readme_examples_do_what_they_say(self):
        with open(os.path.join(harness.ROOT, "server/README.md"), encoding="utf-8") as f:
            blocks = re.findall(r"```sh\n(.*?)```", f.read().split("## HTTP API")[1], re.S)
        self.assertEqual(len(blocks), 3)
        server = self.server("satchel-data")
        environment = {**os.environ, "PATH": os.path.abspath(harness.BIN) + ":" + os.environ["PATH"]}

        def run(block):
            done = subprocess.run(["sh", "-e"], input=block.replace("8443", str(server.https_port)).replace("curl ", "curl -sS --fail-with-body "), cwd=self.dir,
                                  env=environment, capture_output=True, text=True, timeout=harness.PATIENCE_S, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return json.loads(done.stdout)

        self.assertEqual(run(blocks[0])["rows"], [])
        self.assertEqual(os.stat(self.path("web-shop.header")).st_mode & 0o077, 0)
        first = run(blocks[1])
        self.assertEqual(run(blocks[1]), first)
        self.assertEqual(server.read("SELECT given, family, visit_count FROM contact"), [("Ada", "Lovelace", 1)])
        self.assertEqual([c["author"] for c in run(blocks[2])["changes"] if c["table"] == "contact"], ["web-shop"])


class ZEverything(harness.Case):
    """Last by name: what the other tests have met is all that there is."""

    def test_every_documented_status_was_met(self):
        with open(SOURCE, encoding="utf-8") as f:
            documented = Description(json.load(f)).documented()
        if not MET:
            self.skipTest("the other tests have not run")
        self.assertEqual(sorted(documented - MET), [])


if __name__ == "__main__":
    harness.main()
