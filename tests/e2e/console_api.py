"""What admins see over HTTPS: every answer held against the description, and that it is so: lists, histories, refusals, explanations, figures that outlive a restart."""
import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.parse

import checksums
import company
import harness
import wire
from api_client import MET, Answer, Api
from company import literal
from console_client import DESCRIPTION, Browser, first_password

READS = {name: path for name, (method, path, _) in DESCRIPTION.operations.items() if method == "get" and path.startswith("/v1/admin/")}
# What has to be there besides, so that an operation has something to answer.
GIVEN = {"consoleExplain": {"device": "phone", "table": "contact", "key": "x'01'"}, "consoleHistory": {"table": "contact", "key": "x'01'"},
         "consoleRows": {"table": "contact"}, "consoleRow": {"table": "contact", "key": "x'01'"}, "consoleReport": {"view": "search_text"},
         "consoleHolds": {"profile": "full"}}


class Admin(Api):
    """An admin's program; arguments in a path by their names there, filter__COLUMN for filter.COLUMN."""

    def call(self, operation, expect=200, **arguments):
        path = READS[operation]
        for name in re.findall(r"\{(\w+)\}", path):
            path = path.replace("{" + name + "}", urllib.parse.quote(str(arguments.pop(name)), safe=""))
        query = urllib.parse.urlencode({k.replace("__", "."): v for k, v in arguments.items()})
        status, headers, text = self.raw("GET", path + ("?" + query if query else ""))
        if status != expect:
            raise AssertionError(f"{operation} {arguments}: {status} instead of {expect}: {text[:1000]!r}")
        body = json.loads(text) if "json" in headers["content-type"] else text.decode()
        DESCRIPTION.check(operation, status, headers, body)
        return Answer(status, headers, body)

    def items(self, operation, **arguments):
        """Every item, by pages."""
        items, after = [], {}
        while True:
            page = self.call(operation, **arguments, **after)
            items += page["items"]
            if page["next"] is None:
                if page["total"] is not None:
                    assert page["total"] == len(items), (page["total"], len(items))
                return items
            after = {"after": page["next"]}

    def id_of(self, device):
        return {d["name"]: d["id"] for d in self.items("consoleDevices")}[device]

    def csv(self, operation, **arguments):
        return list(csv.DictReader(io.StringIO(self.call(operation, format="csv", **arguments).body, newline="")))


def admin(server, rights="console:admin", name=None):
    return Admin(server, server.ctl("token", "add", name or "token of " + rights, "--rights", rights)["token"])


class ConsoleCase(harness.Case):
    def begin(self):
        """Two devices that edited the same field apart from each other, and one whose transaction was refused."""
        server = self.server()
        self.phone, self.tablet = self.device("phone", server), self.device("tablet", server)
        self.phone.sync()
        self.phone.sql("INSERT INTO contact(id, given, family, job_title) VALUES(x'01', 'Ada', 'Byron', 'Buyer')")
        self.sync_all(self.phone, self.tablet)
        self.phone.sql("UPDATE contact SET job_title = 'From the phone' WHERE id = x'01'")
        time.sleep(0.01)
        self.tablet.sql("UPDATE contact SET job_title = 'From the tablet' WHERE id = x'01'")
        self.sync_all(self.tablet, self.phone)
        return server

    def refuse(self, server):
        """A transaction that its device takes and the server refuses."""
        self.tablet.sql("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'0a', x'ff', 'email', 'a@example.org')")
        self.tablet.sync()
        self.assertEqual(server.one("SELECT count(*) FROM satchel_refused WHERE state='open'"), 1)


class Describes(ConsoleCase):
    def test_every_read_answers_as_described(self):
        server = self.begin()
        self.refuse(server)
        server.ctl("backup", self.path("backup"))
        viewer, nobody, reader, wrong = admin(server), Admin(server, None), admin(server, "read"), Admin(server, "satchel_" + "x" * 43)
        device = viewer.id_of("tablet")
        ids = {"consoleConflict": {"id": viewer.items("consoleConflicts")[0]["id"]}, "consoleRefusal": {"id": viewer.items("consoleRefusals")[0]["id"]}}
        for name, path in READS.items():
            given = {**({"id": device} if "devices/{id}" in path else {}), **GIVEN.get(name, {}), **ids.get(name, {})}
            viewer.call(name, **given)
            nobody.call(name, 401, **given)
            reader.call(name, 403, **given)
            viewer.call(name, 400, **given, bla=1)
            if "404" in DESCRIPTION.operations[name][2]["responses"]:
                named = next((n for n in ("view", "profile") if n in given), "table")
                missing = {**given, **({"id": 999999} if "id" in given else {named: "nobody"})}
                viewer.call(name, 404, **missing)
        for _ in range(40):
            if wrong.raw("GET", "/v1/admin/overview")[0] == 429:
                break
        for name, path in READS.items():
            wrong.call(name, 429, **{"id": 1, **GIVEN.get(name, {})} if "{id}" in path else GIVEN.get(name, {}))

    def test_roles_decide_who_reads_what(self):
        server = self.begin()
        viewer, manager = admin(server, "console:viewer"), admin(server, "console:manager")
        admins_only = {name for name in READS if "Role: admin." in DESCRIPTION.operations[name][2]["description"]}
        self.assertEqual(admins_only, {"consoleUsers", "consoleTokens", "consoleEnrolments", "consoleAudit"})
        for name in READS:
            if "{" in READS[name] or name in GIVEN:
                continue
            for who in (viewer, manager):
                who.call(name, 403 if name in admins_only else 200)

    def test_wrong_requests_are_told_what_to_do(self):
        api = admin(self.begin())
        for arguments, words in (({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"sort": "nobody"}, "nobody"), ({"filter__nobody": 1}, "nobody"),
                                 ({"filter__id": "x"}, "number"), ({"filter__online": "maybe"}, "true or false"), ({"after": "AAAA"}, "after"), ({"format": "xml"}, "format"),
                                 ({"sort": "name\" --"}, "no column"), ({"filter__id OR 1=1 --": "1"}, "no column")):
            self.assertIn(words, api.call("consoleDevices", 400, **arguments)["detail"])
        api.call("consoleDevices", 400, **{f"filter__{c}": 1 for c in ("id", "name", "user", "store", "profile", "state", "health", "online", "pending")})
        self.assertEqual(api.raw("GET", "/v1/admin/devices?limit=1&limit=2")[0], 400)
        for key in ("(SELECT 1)", "1,2", "randomblob(9)", "x'01' --", "'", "x'0", "''"):
            api.call("consoleRow", 404, table="contact", key=key)
        api.call("consoleSamples", 400, name="nobody")
        api.call("consoleSamples", 400, from_ms=2, to_ms=1)
        api.call("consoleChanges", 400, key="x'01'")
        api.call("consoleHistory", 404, table="contact", key="x'01'", column="nobody")
        self.assertEqual(api.raw("GET", "/v1/admin/nobody")[0], 404)
        self.assertEqual(api.raw("POST", "/v1/admin/devices")[0], 405)


class Sees(ConsoleCase):
    def test_devices_are_listed_sorted_filtered_and_exported(self):
        server = self.begin()
        api = admin(server)
        for n in range(7):
            server.ctl("device", "add", f"later-{n}", "--profile", "full")
        self.assertEqual([e["state"] for e in api.items("consoleEnrolments", filter__state="open")], ["open"] * 7)
        for limit in (1, 2, 3):
            self.assertEqual([d["name"] for d in api.items("consoleDevices", limit=limit)], ["phone", "tablet"])
            self.assertEqual([d["name"] for d in api.items("consoleDevices", limit=limit, sort="-name")], ["tablet", "phone"])
        self.assertEqual([d["name"] for d in api.items("consoleDevices", q="TAB")], ["tablet"])
        self.assertEqual(api.items("consoleDevices", filter__state="revoked"), [])
        server.ctl("device", "revoke", "tablet")
        revoked = api.items("consoleDevices", filter__state="revoked")[0]
        self.assertEqual((revoked["name"], revoked["health"]), ("tablet", "off"))
        phone = api.items("consoleDevices", filter__name="phone")[0]
        self.assertEqual((phone["health"], phone["lag_seq"], phone["lag_ms"], phone["pending"], phone["online"]), ("current", 0, 0, 0, False))
        self.assertEqual(phone["conflicts_7d"], 1)
        self.assertEqual([row["name"] for row in api.csv("consoleDevices")], ["phone", "tablet"])
        self.assertEqual(api.csv("consoleDevices", filter__name="phone")[0]["fingerprint"], phone["fingerprint"])
        overview = api.call("consoleOverview")
        self.assertEqual((overview["devices"]["active"], overview["devices"]["current"], overview["devices"]["revoked"]), (1, 1, 1))
        self.assertEqual(overview["conflicts"], {"day": 1, "open": 1})

    def test_connection_is_seen_while_it_is_open_and_when_it_has_ended(self):
        server = self.begin()
        api = admin(server)
        id = api.id_of("phone")
        watching = self.phone.start("sync", "--watch")
        now = harness.wait_until(lambda: api.call("consoleDevice", id=id)["connection"], "the connection")
        self.assertEqual((now["ended_ms"], now["peer"]), (None, "127.0.0.1"))
        self.assertTrue(api.call("consoleDevice", id=id)["device"]["online"])
        self.assertEqual(api.call("consoleOverview")["devices"]["online"], 1)
        self.assertEqual(api.items("consoleDeviceSyncs", id=id)[0]["ended_ms"], None)
        self.phone.sql("UPDATE contact SET family = 'King' WHERE id = x'01'")
        harness.wait_until(lambda: server.one("SELECT family FROM contact") == "King", "the change")
        watching.terminate()
        watching.wait()
        ended = harness.wait_until(lambda: [s for s in api.items("consoleDeviceSyncs", id=id) if s["begun_ms"] == now["begun_ms"] and s["ended_ms"]],
                                   "the end of the connection")[0]
        self.assertEqual(ended["pushed"], 1)
        self.assertGreaterEqual(ended["ms"], 1)
        self.assertGreater(ended["received_bytes"], 100)
        self.assertGreaterEqual(ended["ended_ms"], ended["current_ms"])
        self.assertFalse(api.call("consoleDevice", id=id)["device"]["online"])
        everybody = harness.wait_until(lambda: [s for s in api.items("consoleSyncs") if s["device"] == "tablet"], "the others")
        self.assertEqual(sum(s["pushed"] for s in everybody), 1)

    def test_connections_keep_clock_software_and_schema_and_versions_are_since_when(self):
        server = self.begin()
        api = admin(server)
        id, epoch = api.id_of("phone"), server.epoch()
        self.phone.prefix = harness.with_clock("+20m")
        self.phone.sync()
        self.phone.prefix = []
        server.stop()
        with contextlib.closing(sqlite3.connect(server.store)) as db, db:  # One that was kept before this was.
            db.execute("UPDATE satchel_sync SET clock_offset_ms = NULL, schema_epoch = NULL, software = NULL WHERE id = (SELECT min(id) FROM satchel_sync WHERE device = ?)", [id])
        server.schema = shutil.copytree(os.path.join(harness.ROOT, "server/crm"), self.path("schema"))
        with open(self.path(f"schema/{epoch + 1:03}_more.sql"), "w", encoding="utf-8") as f:
            f.write("ALTER TABLE contact ADD COLUMN more TEXT;\n")
        server.start()
        api.connection = None
        for _ in range(2):  # It says its schema before it is given the new one.
            self.phone.sync()
        harness.wait_until(lambda: [s for s in api.items("consoleDeviceSyncs", id=id) if s["schema_epoch"] == epoch + 1], "what it said then")
        ours = api.items("consoleDevices", filter__name="phone")[0]["software"]
        link = wire.Wire(server.sync_port, self.phone.identity)
        link.send(*server.hello(last_number=server.one("SELECT max(last_number) FROM satchel_author"))[:-1], "acme/2 satchel/0.1.0 (Plan 9; mips)")
        link.receive_type(wire.WELCOME)
        detail = api.call("consoleDevice", id=id)
        self.assertEqual((detail["connection"]["software"], detail["connection"]["schema_epoch"]), ("acme/2 satchel/0.1.0", epoch + 1))
        self.assertLess(abs(detail["connection"]["clock_offset_ms"]), 60000)
        self.assertEqual([(v["software"], v["schema_epoch"]) for v in detail["versions"]], [("acme/2 satchel/0.1.0", epoch + 1), (ours, epoch + 1), (ours, epoch)])
        self.assertEqual(detail["versions"][0]["since_ms"], detail["connection"]["begun_ms"])
        link.close()
        harness.wait_until(lambda: not api.call("consoleDevice", id=id)["connection"], "the end of the connection")
        kept = harness.wait_until(lambda: [s for s in [api.items("consoleDeviceSyncs", id=id)] if s[0]["software"] == "acme/2 satchel/0.1.0"], "its note")[0]
        told = [s for s in kept if s["schema_epoch"] is not None]
        self.assertEqual([(s["software"], s["clock_offset_ms"]) for s in kept if s not in told], [(None, None)])
        self.assertEqual(api.call("consoleDevice", id=id)["versions"], detail["versions"])
        for v in detail["versions"]:
            self.assertEqual(v["since_ms"], min(s["begun_ms"] for s in told if (s["software"], s["schema_epoch"]) == (v["software"], v["schema_epoch"])))
        off = api.items("consoleDeviceSyncs", id=id, filter__clock_offset_ms="600000..")
        self.assertEqual([(s["software"], s["schema_epoch"]) for s in off], [(ours, epoch)])
        self.assertLess(abs(off[0]["clock_offset_ms"] - 1200000), 60000)
        self.assertEqual(api.items("consoleDeviceSyncs", id=id, sort="-clock_offset_ms", limit=2)[0], off[0])
        self.assertEqual([s["device"] for s in api.items("consoleSyncs", filter__software="acme/2 satchel/0.1.0")], ["phone"])
        self.assertEqual(len(api.items("consoleDeviceSyncs", id=id, filter__schema_epoch=epoch + 1)), len([s for s in told if s["schema_epoch"] == epoch + 1]))
        self.assertEqual([(s["clock_offset_ms"], s["software"], s["schema_epoch"]) for s in api.csv("consoleDeviceSyncs", id=id)],
                         [tuple("" if s[c] is None else str(s[c]) for c in ("clock_offset_ms", "software", "schema_epoch")) for s in kept])

    def test_comparison_is_ordered_and_what_came_out_is_seen(self):
        server = self.begin()
        api = admin(server)
        id = api.id_of("phone")
        before = api.call("consoleDevice", id=id)
        self.assertEqual((before["device"]["compared_ms"], before["device"]["compared_rows"], before["compared_found"]), (None, None, []))
        checksums.plant(self.phone.path, "UPDATE contact SET family = 'rot'")
        server.ctl("device", "verify", "phone")
        self.assertEqual([d["name"] for d in api.items("consoleDevices") if d["verify_ms"]], ["phone"])
        self.phone.sync()
        # What came out is noted after the device was answered.
        after = harness.wait_until(lambda: (d := api.call("consoleDevice", id=id))["device"]["verify_ms"] is None and d, "the note of it")
        self.assertEqual((after["device"]["compared_differed"], after["device"]["compared_passed"]), (1, 0))
        self.assertEqual([f["table"] for f in after["compared_found"]], ["contact"])
        self.assertEqual([d["name"] for d in api.items("consoleDevices", sort="-compared_ms")][0], "phone")
        self.assertEqual([e["kind"] for e in api.items("consoleEvents", filter__device_id=id) if e["kind"].startswith("verif")], ["verified", "verify"])

    def test_what_waits_on_a_device_is_seen_by_table_as_it_told(self):
        server = self.begin()
        api = admin(server)
        id = api.id_of("phone")
        seen = api.call("consoleDevice", id=id)
        self.assertEqual(seen["pending_tables"], [])
        # A migration that it cannot run, for a table of its own, comes between its hello and what it would send.
        schema = self.path("schema")
        shutil.copytree(os.path.join(harness.ROOT, "server/crm"), schema)
        with open(os.path.join(schema, f"{server.epoch() + 1:03}_mine.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE mine(id INTEGER PRIMARY KEY); INSERT INTO satchel_table(name) VALUES('mine');")
        self.phone.sql("CREATE TABLE mine(x); BEGIN; UPDATE contact SET family = 'King' WHERE id = x'01'; INSERT INTO contact(id, given) VALUES(x'02', 'Bob');"
                       "COMMIT; INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'0b', x'02', 'email', 'bob@example.org');"
                       "UPDATE contact SET job_title = 'Seller' WHERE id = x'02'")
        server.stop()
        server.start("--schema", schema)
        self.phone.sync(expect=1)
        told = harness.wait_until(lambda: (d := api.call("consoleDevice", id=id))["device"]["pending"] and d, "the hello")
        self.assertEqual(told["device"]["pending"], 3)
        self.assertEqual(told["pending_tables"], [{"table": "contact", "changes": 3}, {"table": "contact_point", "changes": 1}])
        self.assertTrue(seen["pending_told_ms"] < told["pending_told_ms"] <= told["device"]["last_seen_ms"])
        shown = server.ctl("device", "show", "phone")
        self.assertEqual((shown["pending_tables"], shown["pending_told_ms"]), (told["pending_tables"], told["pending_told_ms"]))
        show = [harness.program("satchelctl"), "--data", server.data, "device", "show", "phone"]
        plain = lambda: subprocess.run(show, capture_output=True, text=True, check=True).stdout
        self.assertRegex(plain(), r"WAITING IN +CHANGES\ncontact +3\ncontact_point +1\n")
        device = told["device"]
        self.assertEqual((device["held_bytes"], device["room_bytes"]), (shown["held_bytes"], shown["room_bytes"]))
        self.assertTrue(os.path.getsize(self.phone.path) / 2 < device["held_bytes"] < device["room_bytes"])
        self.assertAlmostEqual(device["storage_percent"], 100 * device["held_bytes"] / device["room_bytes"], delta=0.1)
        with contextlib.closing(sqlite3.connect(server.store)) as db, db:
            db.execute("UPDATE satchel_device SET waiting = NULL")
        self.assertIsNone(api.call("consoleDevice", id=id)["pending_tables"])
        self.assertIn("did not tell in which tables", plain())
        self.phone.sql("DROP TABLE mine")
        self.phone.sync()
        self.assertEqual(api.call("consoleDevice", id=id)["pending_tables"], [])

    def test_new_key_is_ordered_and_seen_as_waiting_until_it_is_here(self):
        server = self.begin()
        api, browser = admin(server), Browser(server)
        browser.login("admin", first_password(server))
        phone = api.items("consoleDevices", filter__name="phone")[0]
        browser.command("device.rotate_key", name="phone")
        self.assertEqual([d["name"] for d in api.items("consoleDevices", filter__rotate_key_ms="1..")], ["phone"])
        self.assertIsNotNone(api.call("consoleDevice", id=phone["id"])["device"]["rotate_key_ms"])
        self.assertEqual([(a["actor"], a["code"]) for a in api.items("consoleAudit", filter__action="device.rotate_key")], [("user:admin", None)])
        self.phone.sync()
        after = api.call("consoleDevice", id=phone["id"])["device"]
        self.assertIsNone(after["rotate_key_ms"])
        self.assertNotEqual(after["fingerprint"], phone["fingerprint"])
        self.assertEqual([e["kind"] for e in api.items("consoleEvents", filter__device_id=phone["id"])][:2], ["rekeyed", "rotate-key"])

    def test_history_says_who_when_and_what_decided(self):
        server = self.begin()
        api = admin(server)
        server.sql("UPDATE contact SET family = 'King' WHERE id = x'01'")
        field = api.call("consoleHistory", table="contact", key="x'01'", column="job_title")
        now = field["fields"][0]
        self.assertEqual((len(field["fields"]), now["value"], now["device"], now["rule"], field["label"]), (1, "From the tablet", "tablet", "lww", "Ada King"))
        self.assertEqual([(i["device"], i["op"], i["values"]) for i in field["items"]],
                         [("phone", "none", {}), ("tablet", "update", {"job_title": "From the tablet"}), ("phone", "insert", {"job_title": "Buyer"})])
        lost = field["items"][0]
        self.assertEqual([(c["rule"], c["kept"], c["kept_device"], c["lost"], c["lost_device"]) for c in lost["conflicts"]],
                         [("lww", "'From the tablet'", "tablet", "'From the phone'", "phone")])
        for item in field["items"]:
            self.assertLessEqual(item["made_ms"], item["at_ms"])
        self.assertTrue(field["complete"])
        row = api.call("consoleHistory", table="contact", key="x'01'")
        self.assertEqual((row["items"][0]["device"], row["items"][0]["values"]), ("server", {"family": "King"}))
        first = api.call("consoleHistory", table="contact", key="x'01'", limit=1)
        rest = api.call("consoleHistory", table="contact", key="x'01'", after=first["next"])
        self.assertEqual(first["items"] + rest["items"], row["items"])
        self.assertEqual((first["total"], api.call("consoleHistory", table="contact", key="x'01'", sort="seq")["items"]), (len(row["items"]), row["items"][::-1]))
        phones = api.call("consoleHistory", table="contact", key="x'01'", filter__device="phone", counts="op")
        self.assertEqual(([i["op"] for i in phones["items"]], phones["counts"]), (["none", "insert"], [{"value": "insert", "count": 1}, {"value": "none", "count": 1}]))
        self.assertEqual([i["device"] for i in api.items("consoleHistory", table="contact", key="x'01'", q="from the tablet", limit=1)], ["phone", "tablet"])
        lines = api.csv("consoleHistory", table="contact", key="x'01'", column="job_title")
        self.assertEqual([(line["device"], line["op"], json.loads(line["values"])) for line in lines], [(i["device"], i["op"], i["values"]) for i in field["items"]])
        self.assertEqual(json.loads(lines[0]["conflicts"]), lost["conflicts"])
        api.call("consoleHistory", 400, table="contact", key="x'01'", sort="nobody")
        server.sql("DELETE FROM contact WHERE id = x'01'")
        gone = api.call("consoleHistory", table="contact", key="x'01'")
        self.assertEqual((gone["exists"], gone["fields"], gone["items"][0]["op"]), (False, [], "delete"))
        self.assertEqual(api.call("consoleRow", table="contact", key="x'01'")["deleted"]["device"], "server")

    def test_conflict_has_kept_lost_base_and_what_is_there_now(self):
        server = self.begin()
        api = admin(server)
        listed = api.items("consoleConflicts", q="from the phone")
        self.assertEqual([(c["label"], c["kept_device"], c["lost_device"], c["state"]) for c in listed], [("Ada Byron", "tablet", "phone", "open")])
        server.sql("UPDATE contact SET job_title = 'Director' WHERE id = x'01'")
        one = api.call("consoleConflict", id=listed[0]["id"])
        self.assertEqual((one["current"], one["current_device"], one["base"], one["base_known"]), ("'Director'", "server", "'Buyer'", True))
        self.assertEqual((one["conflict"], one["values"]["given"]), (listed[0], "Ada"))
        server.sql("DELETE FROM contact WHERE id = x'01'")
        one = api.call("consoleConflict", id=listed[0]["id"])
        self.assertEqual((one["current"], one["values"], one["conflict"]["label"]), (None, None, None))

    def test_refusal_is_shown_beside_the_rows_that_are_there(self):
        server = self.begin()
        api = admin(server)
        self.refuse(server)
        listed = api.items("consoleRefusals", filter__state="open")
        self.assertEqual([(r["device"], r["code"], r["table"]) for r in listed], [("tablet", "E_FOREIGN_KEY", "contact_point")])
        one = api.call("consoleRefusal", id=listed[0]["id"])
        self.assertEqual((one["refusal"], one["more"]), (listed[0], False))
        self.assertEqual([(c["op"], c["wanted"]["value"], c["server"]) for c in one["changes"]], [("insert", "a@example.org", None)])
        self.assertEqual({d["name"]: d["refusals_open"] for d in api.items("consoleDevices")}, {"phone": 0, "tablet": 1})
        server.ctl("rejected", "discard", "tablet", str(listed[0]["number"]))
        self.assertEqual([r["state"] for r in api.items("consoleRefusals")], ["discarded"])
        self.assertEqual(api.call("consoleOverview")["refusals"]["open"], 0)

    def test_another_transaction_than_the_one_shown_is_not_touched(self):
        server = self.begin()
        self.refuse(server)
        server.ctl("device", "revoke", "tablet")
        wanted = {x: f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'{x}', x'ff', 'email', '{x}@example.org')" for x in ("0b", "0c", "0d")}
        again = harness.Device(self, "tablet", self.path("again.db")).enroll(server)
        again.sync()
        again.sql("UPDATE contact SET job_title = 'From the new one' WHERE id = x'01'")
        again.sql(wanted["0b"])
        again.sync()
        api, browser = admin(server), Browser(server)
        browser.login("admin", first_password(server))

        def named(r):
            return {"device": r["device"], "number": r["number"], "id": r["id"]}
        old, new = api.items("consoleRefusals", sort="at_ms")
        self.assertEqual((old["device"], old["number"], old["device_id"] < new["device_id"]), (new["device"], new["number"], True))
        self.assertNotEqual(old["id"], new["id"])

        def check(command, of, status, words, **more):
            before = (server.content(), api.items("consoleRefusals"))
            problem = browser.command(command, status, **{**named(of), **more})
            self.assertIn(words, problem["detail"])
            self.assertEqual((server.content(), api.items("consoleRefusals")), before)
        for command in ("rejected.discard", "rejected.retry"):
            check(command, new, 422, "with this number", id=new["id"] + "9")
            check(command, new, 422, "with this number", id=7)
            check(command, new, 404, f"no transaction {new['number']} of a device phone", device="phone")
            check(command, new, 404, f"no transaction {new['number']} of a device tablet", id=f"99-{new['number']}")
        # What is meant is settled and nothing else, whichever device has the name now.
        browser.command("rejected.discard", **named(old))
        self.assertEqual([r["state"] for r in api.items("consoleRefusals", sort="at_ms")], ["discarded", "open"])
        check("rejected.discard", old, 409, "somebody has settled")
        browser.command("rejected.discard", **named(new))
        # Copies of one file, each with one of this number: in any order, and each hears of its own alone.
        again.sync()
        copy = again.copy("copy")
        for device, x in ((again, "0c"), (copy, "0d")):
            device.sql(wanted[x])
            device.sync()
        both = api.items("consoleRefusals", filter__state="open")
        self.assertEqual((len(both), both[0]["number"]), (2, both[1]["number"]))
        for i, still in ((0, both[1:]), (1, [])):
            browser.command("rejected.discard", **named(both[i]))
            self.assertEqual([r["id"] for r in api.items("consoleRefusals", filter__state="open")], [r["id"] for r in still])
            again.sync()
            copy.sync()
            self.assertEqual(sorted(len(d.read("SELECT n FROM satchel_rejected")) for d in (again, copy)), [0, len(still)])

    def test_removed_device_is_listed_no_more_and_history_names_it(self):
        server = self.begin()
        self.refuse(server)
        api = admin(server)
        device = api.id_of("tablet")
        before = api.items("consoleConflicts")
        server.ctl("rejected", "discard", "tablet", server.ctl("rejected")[0]["number"])
        server.ctl("device", "revoke", "tablet")
        server.ctl("device", "remove", "tablet")
        self.assertEqual([d["name"] for d in api.items("consoleDevices")], ["phone"])
        counted = api.call("consoleOverview")["devices"]
        self.assertEqual((counted["active"], counted["revoked"]), (1, 0))
        for operation in ("consoleDevice", "consoleDeviceRows", "consoleDeviceSyncs"):
            api.call(operation, 404, id=device)
        # History names it, and leads nowhere.
        without = [{k: None if c[k] == device else v for k, v in c.items() if k.endswith("_device_id")} for c in before]
        after = api.items("consoleConflicts")
        self.assertEqual([{k: c[k] for k in w} for c, w in zip(after, without)], without)
        self.assertEqual([(c["kept_device"], c["lost_device"]) for c in after], [(c["kept_device"], c["lost_device"]) for c in before])
        self.assertEqual([(r["device"], r["device_id"]) for r in api.items("consoleRefusals")], [("tablet", None)])
        self.assertIn(("tablet", None, "removed"), [(e["device"], e["device_id"], e["kind"]) for e in api.items("consoleEvents")])
        self.assertEqual({(c["device"], c["device_id"]) for c in api.items("consoleChanges", device="tablet")}, {("tablet", None)})
        self.assertEqual({f["column"]: (f["device"], f["device_id"]) for f in api.call("consoleRow", table="contact", key="x'01'")["fields"]}["job_title"], ("tablet", None))
        self.assertEqual({(h["device"], h["device_id"]) for h in api.items("consoleHistory", table="contact", key="x'01'")}, {("phone", api.id_of("phone")), ("tablet", None)})
        self.assertEqual([a["action"] for a in api.items("consoleAudit", filter__action="device.remove")], ["device.remove"])

    def test_silence_is_of_the_device_that_the_alert_is_of_although_another_has_its_name(self):
        server = self.begin()
        api = admin(server)
        server.ctl("device", "wipe", "tablet")
        self.device("tablet2").run("enroll", "-", "--name", "tablet", stdin=server.code("tablet") + "\n")
        server.ctl("alert", "set", "wipe-waiting", "--threshold", 0)

        def opened():
            server.ctl("alert", "on", "wipe-waiting")
            return api.items("consoleAlerts", filter__rule="wipe-waiting")
        alert, = harness.wait_until(opened, "the wipe is waited for", pause_s=0.3)
        old = api.items("consoleDevices", filter__state="to be wiped")[0]
        self.assertEqual([alert[k] for k in ("subject", "device_id", "fingerprint")], ["tablet", old["id"], old["fingerprint"]])

        def silence(device):
            server.ctl("alert", "silence", "wipe-waiting", "--for", "1h", "--device", device)
            return [(s["device_id"], s["fingerprint"] == old["fingerprint"]) for s in api.items("consoleSilences")], api.items("consoleAlerts")[0]["silenced"]
        self.assertEqual(silence("tablet"), ([(api.items("consoleDevices", filter__state="active", q="tablet")[0]["id"], False)], False))
        server.ctl("alert", "unsilence", "wipe-waiting", "--device", "tablet")
        self.assertEqual(silence(old["fingerprint"]), ([(old["id"], True)], True))
        server.ctl("alert", "unsilence", "wipe-waiting", "--device", old["fingerprint"])
        self.assertEqual(api.items("consoleSilences"), [])
        self.assertIn("no device named nobody", server.ctl("alert", "silence", "wipe-waiting", "--for", "1h", "--device", "nobody", expect=1))

    def test_refusals_are_counted_by_code_over_all_pages(self):
        server = self.begin()
        api = admin(server)
        self.refuse(server)
        self.tablet.sql("UPDATE contact SET merged_into = x'ee' WHERE id = x'01'")
        for n in (1, 2):
            self.phone.sql(f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'0b{n:02}', x'ff', 'email', 'b@example.org')")
        self.sync_all(self.tablet, self.phone)
        codes = [{"value": "E_FOREIGN_KEY", "count": 3}, {"value": "E_SERVER_OWNED", "count": 1}]
        self.assertEqual([api.call("consoleRefusals", counts="code", limit=1)[of] for of in ("counts", "total")], [codes, 4])
        chosen = api.call("consoleRefusals", counts="code", filter__code="E_SERVER_OWNED")
        self.assertEqual((chosen["counts"], chosen["total"], chosen["items"][0]["rule"]), (codes, 1, "server"))
        self.assertEqual(api.call("consoleRefusals", counts="code", filter__device="phone")["counts"], [{"value": "E_FOREIGN_KEY", "count": 2}])
        self.assertNotIn("counts", api.call("consoleRefusals").body)
        api.call("consoleRefusals", 400, counts="nobody")

    def test_feed_is_newest_first_by_row_by_device_and_for_following(self):
        server = self.begin()
        api = admin(server)
        everything = api.items("consoleChanges", limit=50)
        self.assertEqual([c["id"] for c in everything], [c["id"] for c in api.items("consoleChanges", limit=7)])
        seqs = [c["seq"] for c in everything]
        self.assertEqual(seqs, sorted(seqs, reverse=True))
        row = api.items("consoleChanges", table="contact", key="x'01'")
        self.assertEqual([(c["device"], c["op"], c["columns"]) for c in row][:1], [("tablet", "update", "job_title")])
        self.assertEqual({c["device"] for c in api.items("consoleChanges", device="phone")}, {"phone"})
        self.assertEqual({c["device"] for c in api.items("consoleChanges", device="server", limit=1000)}, {"server"})
        server.sql("UPDATE contact SET family = 'King' WHERE id = x'01'")
        self.assertEqual([(c["device"], c["values"], c["made_ms"] is not None) for c in api.items("consoleChanges", since=seqs[0])], [("server", {"family": "King"}, True)])
        lines = api.csv("consoleChanges", table="contact", key="x'01'")
        self.assertEqual([(line["device"], json.loads(line["values"])) for line in lines][0], ("server", {"family": "King"}))
        # Which transaction of its device's, and what else a line of text has of it.
        told = api.items("consoleChanges", table="contact", key="x'01'")
        self.assertEqual([(c["device"], c["txn"]) for c in told], [("server", None), ("tablet", 1), ("phone", 1)])
        for line, c in zip(lines, told):
            self.assertEqual({k: line[k] for k in ("seq", "lag_ms", "user", "txn", "op")}, {k: "" if c[k] is None else str(c[k]) for k in ("seq", "lag_ms", "user", "txn", "op")})

    def test_feed_as_text_is_whole_however_long_or_is_refused(self):
        server = self.begin()
        api = admin(server)
        row = {"table": "contact", "key": "x'01'"}
        of_row = api.csv("consoleChanges", **row)
        self.assertEqual(len(of_row), 2)
        server.sql("INSERT INTO account(id, name) VALUES(x'ff', 't')")
        server.sql("UPDATE account SET name = 'u' WHERE id = x'ff'")
        seq = server.one("SELECT seq FROM satchel_server")
        server.sql(f"UPDATE contact SET job_title = '{'n' * 60000}' WHERE id = x'01'")
        self.assertEqual(len(of_row) + 1, len(api.csv("consoleChanges", **row)))

        def copy(n, seq):
            """The commit's only entry n times more."""
            server.stop()
            with contextlib.closing(sqlite3.connect(server.path)) as db, db:
                names = [c[1] for c in db.execute("PRAGMA table_info(satchel_log)") if c[1] != "id"]
                db.execute("WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM c WHERE n < ?)"
                           f" INSERT INTO satchel_log(id, {','.join(names)}) SELECT id + n, {','.join('l.' + x for x in names)} FROM satchel_log l, c WHERE id = ?", (n, seq << 24))
            server.start()
            api.connection = None
        # More entries than a page looks at, and more changes than a file once had.
        copy(205000, seq)
        self.assertEqual(len(api.csv("consoleChanges", **row)), len(of_row) + 1)
        self.assertEqual(len(api.csv("consoleChanges", table="account", since=seq - 1)), 205001)
        copy(900, seq + 1)
        self.assertIn("over 48 MiB as text; ask for", api.call("consoleChanges", 400, format="csv", **row)["detail"])

    def test_rows_are_browsed_with_who_wrote_them(self):
        server = self.begin()
        api = admin(server)
        server.sql("BEGIN;" + "".join(f"INSERT INTO contact(id, given, family, visit_count) VALUES(x'{n:04x}', 'G{n % 3}', 'F{n}', {n});" for n in range(256, 300)) + "COMMIT;")
        rows = api.items("consoleRows", table="contact", limit=10)
        self.assertEqual(len(rows), 45)
        self.assertEqual((rows[0]["key"], rows[0]["label"], rows[0]["device"]), ("x'01'", "Ada Byron", "tablet"))
        self.assertEqual([r["values"]["visit_count"] for r in api.items("consoleRows", table="contact", limit=10, sort="-visit_count")], list(range(299, 255, -1)) + [0])
        self.assertEqual(len(api.items("consoleRows", table="contact", filter__given="G1")), 15)
        self.assertEqual([r["key"] for r in api.items("consoleRows", table="contact", filter__id="x'0100'")], ["x'0100'"])
        self.assertEqual([r["key"] for r in api.items("consoleRows", table="contact", filter__visit_count=257)], ["x'0101'"])
        one = api.call("consoleRow", table="contact", key="x'01'")
        self.assertEqual({f["column"]: f["device"] for f in one["fields"]}["job_title"], "tablet")
        self.assertEqual({f["column"]: f["device"] for f in one["fields"]}["family"], "phone")
        self.assertEqual((one["devices"], one["conflicts"], one["deleted"]), (2, 1, None))
        self.assertEqual(one["holders"], [{"id": api.id_of(name), "name": name} for name in ("phone", "tablet")])
        self.assertEqual({t["name"]: t["rows"] for t in api.items("consoleTables")}["contact"], 45)
        self.assertEqual(len(api.csv("consoleRows", table="contact", filter__given="G1")), 15)

    def test_names_of_who_holds_a_row_are_some_and_their_number_is_all(self):
        server = self.begin()
        api = admin(server)
        server.stop()
        with contextlib.closing(sqlite3.connect(server.path)) as db, db:
            db.execute("WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM c WHERE n < 60) INSERT INTO satchel_device(name, fingerprint, state, enrolled_ms)"
                       " SELECT printf('other-%02d', n), randomblob(32), 1, 1 FROM c")
        server.start()
        api.connection = None
        one = api.call("consoleRow", table="contact", key="x'01'")
        self.assertEqual((one["devices"], [h["name"] for h in one["holders"]]), (62, [f"other-{n:02}" for n in range(1, 51)]))

    def test_least_version_of_devices_is_told_as_it_is_now(self):
        server = self.server()
        api = admin(server)
        self.assertIsNone(api.call("consoleSchema")["min_version"])
        server.stop()
        settings = self.path("satcheld.conf")
        for least in ("0.1.0", "0.0.9"):
            with open(settings, "w", encoding="utf-8") as f:
                f.write(f"min-version = {least}\n")
            if server.process:
                server.process.send_signal(signal.SIGHUP)
            else:
                server.start("--config", settings)
                api.connection = None
            harness.wait_until(lambda least=least: api.call("consoleSchema")["min_version"] == least, "the version")

    def test_failed_automations_are_a_list_of_their_own(self):
        server = self.begin()
        api = admin(server)
        with open(self.path("automation.sql"), "w", encoding="utf-8") as f:
            f.write("INSERT INTO automation(name, tbl, event, actions) VALUES('bad', 'contact', 'insert', 'INSERT INTO contact(id) SELECT id FROM new'),"
                    "('good', 'contact', 'insert', 'UPDATE contact SET job_title = ''Guest'' WHERE id = (SELECT id FROM new)');")
        server.ctl("automation", "publish", self.path("automation.sql"))
        self.phone.sql("INSERT INTO contact(id, given) VALUES(x'02', 'Bea'); INSERT INTO contact(id, given) VALUES(x'03', 'Cid')")
        self.phone.sync()
        failed = api.call("consoleAutomationRuns", filter__failed=1, counts="name")
        self.assertEqual(failed["counts"], [{"value": "bad", "count": 2}])
        self.assertEqual([(r["name"], r["code"], r["label"], r["failed"], r["wrote"]) for r in failed["items"]], [("bad", "E_KEY_TAKEN", "Cid", True, 0), ("bad", "E_KEY_TAKEN", "Bea", True, 0)])
        self.assertTrue(all(r["words"] for r in failed["items"]))
        self.assertEqual({r["name"] for r in api.items("consoleAutomationRuns", filter__failed=0)} & {"good", "bad"}, {"good"})
        # What is run again fails again, and that stands in its place.
        cid, bea = failed["items"]
        browser = Browser(server)
        browser.login("admin", first_password(server))
        again = browser.command("automation.replay", id=cid["id"])
        self.assertTrue(again["failed"])
        self.assertEqual(browser.command("automation.replay", 409, id=cid["id"])["code"], "E_RESOLVED")
        self.assertEqual([(r["id"], r["replays"], r["replayed_by"]) for r in api.items("consoleAutomationRuns", filter__failed=1)], [(again["id"], cid["id"], None), (bea["id"], None, None)])
        old = api.call("consoleAutomationRuns", filter__id=cid["id"])["items"][0]
        self.assertEqual((old["failed"], old["code"], old["replayed_by"]), (False, "E_KEY_TAKEN", again["id"]))
        self.assertEqual(api.call("consoleOverview")["automations"]["failed_day"], 2)
        self.assertEqual({a["name"]: a["failed"] for a in api.items("consoleAutomations")}["bad"], 2)
        # What is dismissed is as little among it.
        self.assertEqual(browser.command("automation.dismiss", ids=[bea["id"]])["dismissed"], 1)
        self.assertEqual([r["id"] for r in api.items("consoleAutomationRuns", filter__failed=1)], [again["id"]])
        gone = api.items("consoleAutomationRuns", filter__id=bea["id"])[0]
        self.assertEqual((gone["failed"], gone["replayed_by"], gone["settled_ms"] is not None), (False, None, True))
        self.assertEqual(browser.command("automation.dismiss", 409, ids=[again["id"], bea["id"]])["code"], "E_RESOLVED")
        self.assertEqual(api.call("consoleOverview")["automations"]["failed_day"], 1)
        self.assertEqual({a["name"]: a["failed"] for a in api.items("consoleAutomations")}["bad"], 1)

    def test_what_was_put_in_force_is_listed_and_exported(self):
        server = self.begin()
        api = admin(server)
        server.ctl("backup", self.path("one"))
        server.ctl("backup", self.path("two"))
        migrations = api.items("consoleMigrations", limit=4)
        self.assertEqual([(m["epoch"], m["devices"]) for m in migrations][:2], [(len(migrations), 2), (len(migrations) - 1, 0)])
        self.assertEqual(api.items("consoleMigrations", filter__devices="1.."), migrations[:1])
        software = api.items("consoleSoftware")
        self.assertEqual([s["devices"] for s in software], [2])
        self.assertEqual([d["software"] for d in api.items("consoleDevices")], 2 * [software[0]["software"]])
        backups = api.items("consoleBackups", limit=1)
        self.assertEqual([b["name"] for b in backups], [self.path("two"), self.path("one")])
        self.assertEqual(api.call("consoleBackups", q="one")["items"], backups[1:])
        self.assertEqual([row["name"] for row in api.csv("consoleBackups", sort="at_ms")], [self.path("one"), self.path("two")])
        self.assertEqual([e["epoch"] for e in api.items("consoleEpochs")], [api.call("consoleBackups")["epoch"]])
        for list_of in ("consoleMigrations", "consoleSoftware", "consoleEpochs", "consoleScopeVersions"):
            self.assertEqual(len(api.csv(list_of)), api.call(list_of)["total"])

    def test_what_a_device_runs_on_is_a_column_like_the_others(self):
        server = self.begin()
        api, its = admin(server), os.uname()
        here = f"{its.sysname} {re.match('[0-9]+[.][0-9]+', its.release).group()}; {its.machine}"
        self.assertRegex(server.one("SELECT software FROM satchel_device WHERE name = 'phone'"), rf"^satchel/[0-9.]+ \({here}\)$")
        phone = server.ctl("device", "show", "phone")
        self.assertRegex(phone["software"], "^satchel/[0-9.]+$")
        self.assertEqual(phone["platform"], here)
        # A library of before this was told.
        server.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(server.data, "store.db"))) as db, db:
            db.execute("UPDATE satchel_device SET software = 'acme/2 satchel/0.1.0' WHERE name = 'tablet'")
        server.start()
        self.assertEqual([(d["name"], d["platform"]) for d in api.items("consoleDevices", sort="-platform")], [("phone", here), ("tablet", None)])
        self.assertEqual([d["name"] for d in api.items("consoleDevices", filter__platform=here)], ["phone"])
        self.assertEqual([d["name"] for d in api.items("consoleDevices", q=its.machine.upper())], ["phone"])
        self.assertEqual([(d["software"], d["platform"]) for d in api.csv("consoleDevices")], [(phone["software"], here), ("acme/2 satchel/0.1.0", "")])
        self.assertEqual({s["software"] for s in api.items("consoleSoftware")}, {phone["software"], "acme/2 satchel/0.1.0"})

    def test_reports_tell_how_partial_they_are(self):
        server = self.begin()
        api = admin(server)
        reports = {r["name"]: r for r in api.items("consoleReports", limit=1000)}
        self.assertIn("what somebody is looked for by", reports["search_text"]["about"].lower())
        for name in reports:
            api.call("consoleReport", view=name)
        self.phone.sql("UPDATE contact SET family = 'Kong' WHERE id = x'01'")
        found = api.call("consoleReport", view="search_text", filter__what="name", q="ada")
        self.assertEqual([(r["text"], r["kind"]) for r in found["items"]], [("ada byron", "contact")])
        self.assertEqual((found["devices_waiting"], found["changes_waiting"]), (0, 0))
        pages = [api.call("consoleReport", view="pipeline_by_stage", limit=2, sort="pos")]
        while pages[-1]["next"]:
            pages.append(api.call("consoleReport", view="pipeline_by_stage", limit=2, sort="pos", after=pages[-1]["next"]))
        self.assertEqual(sum(len(p["items"]) for p in pages), pages[0]["total"])
        self.assertEqual(len(api.csv("consoleReport", view="pipeline_by_stage")), pages[0]["total"])
        for view in ("sqlite_schema", "satchel_device", "contact", "nobody"):
            api.call("consoleReport", 404, view=view)


class Remembers(ConsoleCase):
    def test_figures_and_connections_outlive_a_restart(self):
        server = self.begin()
        api = admin(server)
        server.stop()
        server.start()
        api.connection = None

        def sums():
            samples = api.call("consoleSamples", name="pushed,conflicts,connections,store_bytes")
            self.assertEqual({s["name"] for s in samples.body["series"]}, {"pushed", "conflicts", "connections", "store_bytes"})
            for series in samples.body["series"]:
                self.assertEqual(len(series["values"]), len(samples["times_ms"]))
            return {s["name"]: sum(v or 0 for v in s["values"]) * (samples["step_ms"] / 60000 if s["name"] != "store_bytes" else 1) for s in samples.body["series"]}
        was = sums()
        self.assertEqual((was["pushed"], was["conflicts"]), (3, 1))
        self.assertGreaterEqual(was["connections"], 6)
        self.assertGreater(was["store_bytes"], 100000)
        self.assertEqual(sum(s["pushed"] for s in api.items("consoleSyncs")), 3)
        server.stop()
        server.start()
        api.connection = None
        self.assertEqual(sums()["pushed"], 3)


class Explains(company.Company):
    contacts = 60

    def test_what_a_device_is_to_hold_and_why(self):
        server = self.begin()
        ann, bob, rep, _ = self.two_reps()
        api = admin(server)
        id = api.id_of("ann")
        held = api.call("consoleDeviceRows", id=id)
        self.assertEqual({t["table"]: t["rows"] for t in held["items"] if t["table"] in ("account", "contact", "deal")},
                         {t: ann.one(f"SELECT count(*) FROM {t}") for t in ("account", "contact", "deal")})
        self.assertEqual(held["rows"], sum(t["rows"] for t in held["items"]))
        rows = api.items("consoleDeviceRows", id=id, table="account", limit=7)
        self.assertEqual({r["key"] for r in rows}, {literal(r[0]) for r in ann.read("SELECT id FROM account")})
        detail = api.call("consoleDevice", id=id)
        self.assertEqual(detail["device"]["user"], literal(rep))
        self.assertTrue(detail["buckets"])
        account = self.account_of(rep)
        here = api.call("consoleExplain", device="ann", table="account", key=literal(account))
        self.assertTrue(here["held"])
        self.assertTrue(set(here["shared"]) <= set(here["buckets"]) & set(here["device_buckets"]))
        self.assertTrue(here["because"])
        there = api.call("consoleExplain", device="bob", table="account", key=literal(account))
        self.assertEqual((there["held"], there["shared"]), (False, []))
        api.call("consoleExplain", 404, device="ann", table="account", key="x'ff'")
        api.call("consoleExplain", 400, device="ann", table="account")
        scope = api.call("consoleScope")
        profiles = {p["name"]: p for p in scope["profiles"]}
        self.assertTrue(profiles["rep"]["writes"])
        self.assertIn("scope_profile", scope["text"])
        row = api.call("consoleRow", table="account", key=literal(account))
        self.assertEqual((row["devices"], [h["name"] for h in row["holders"]]), (1, ["ann"]))
        for name in ("till", "rep"):
            self.assertIn(name, profiles)

    def test_profiles_tell_about_how_much_their_devices_hold_and_who_has_not_heard_of_the_rules(self):
        server = self.begin()
        self.two_reps()
        api = admin(server)
        every = self.device("every", server)
        every.sync()
        held = {d["name"]: api.call("consoleDeviceRows", id=d["id"]).body for d in api.items("consoleDevices")}
        profiles = {p["name"]: p for p in api.items("consoleProfiles", limit=2)}
        rep, full = profiles["rep"], profiles["full"]
        rows = [held[name]["rows"] for name in ("ann", "bob")]
        self.assertEqual((rep["devices"], rep["asked"], rep["rows"], rep["rows_most"], rep["unsettled"]), (2, 2, sum(rows) // 2, max(rows), 0))
        self.assertEqual((full["devices"], full["rows"], full["horizon_days"]), (1, held["every"]["rows"], None))
        self.assertEqual(full["rows"], sum(t["rows"] for t in api.items("consoleTables")))
        self.assertEqual((profiles["till"]["devices"], profiles["till"]["asked"], profiles["till"]["rows"]), (0, 0, None))
        contact = next(t for t in held["every"]["items"] if t["table"] == "contact")
        self.assertGreater(contact["bytes"], 20 * contact["rows"])
        self.assertTrue(rep["bytes"] <= rep["bytes_most"] < full["bytes"] and abs(held["every"]["bytes"] - full["bytes"]) < 1000)
        ann = api.items("consoleDevices", filter__name="ann")[0]
        self.assertAlmostEqual(ann["days_left"], rep["horizon_days"], delta=0.2)
        self.assertEqual((api.items("consoleDevices", filter__days_left="..1"), ann["unsettled"]), ([], False))
        version = api.items("consoleScopeVersions")[0]
        with open(self.path("scope.sql"), "w", encoding="utf-8") as f:
            f.write(api.call("consoleScope")["text"] + "\n")
        server.ctl("scope", "publish", self.path("scope.sql"))
        self.assertEqual([(v["version"], v["name"]) for v in api.items("consoleScopeVersions")], [(version["version"] + 1, "scope.sql"), (version["version"], version["name"])])
        self.assertEqual([d["name"] for d in api.items("consoleDevices", filter__unsettled="true")], ["ann", "bob"])
        self.assertEqual({p["name"]: p["unsettled"] for p in api.items("consoleProfiles") if p["devices"]}, {"rep": 2, "full": 0})
        self.assertEqual((api.call("consoleScope")["unsettled"], len(api.csv("consoleProfiles"))), (2, len(profiles)))


    def test_users_are_listed_with_their_devices_and_what_they_are_to_hold_with_a_device_or_without(self):
        server = self.begin()
        _, _, rep, other = self.two_reps()
        self.of_profile("ann-2", "rep", rep)
        self.of_profile("till-1", "till", store=self.stores[0])
        cara = next(r for r in self.reps if r not in (rep, other))
        server.ctl("device", "add", "cara-phone", "--profile", "rep", "--user", literal(cara))
        gone = self.of_profile("gone", "rep", other)
        server.ctl("device", "revoke", gone.name)
        api = admin(server)
        users = api.items("consoleDeviceUsers", limit=2)
        told = {(u["user"], u["store"], u["profile"]): (u["devices"], u["codes"]) for u in users}
        shop = literal(self.stores[0])
        self.assertEqual(told, {(literal(rep), None, "rep"): (2, 0), (literal(other), None, "rep"): (1, 0), (literal(cara), None, "rep"): (0, 1),
                                (None, shop, "till"): (1, 0)})
        names = {u["user"]: (u["user_table"], u["user_label"]) for u in users if u["user"]}
        self.assertEqual(names, {literal(r): ("user_account", server.one("SELECT name FROM user_account WHERE id = ?", r)) for r in (rep, other, cara)})
        till = api.call("consoleDeviceUsers", filter__profile="till")["items"][0]
        self.assertEqual((till["user_label"], till["store_table"]), (None, "store"))
        self.assertEqual(till["store_label"], server.one("SELECT name FROM store WHERE id = ?", self.stores[0]))
        self.assertEqual([u["user"] for u in api.items("consoleDeviceUsers", q=names[literal(cara)][1])], [literal(cara)])
        self.assertEqual((len(api.csv("consoleDeviceUsers")), api.items("consoleDeviceUsers", filter__user=literal(cara))[0]["last_seen_ms"]), (4, None))
        idle = api.call("consoleReport", view="idle_deals", limit=1000)["items"]
        self.assertTrue(idle)
        # What is told for a user is what his devices are to hold; and of whom there is no device it is what the first one then is to.
        for name, who in {"ann": {"user": literal(rep), "profile": "rep"}, "till-1": {"store": shop, "profile": "till"}}.items():
            self.assertEqual(api.call("consoleHolds", **who)["items"], api.call("consoleDeviceRows", id=api.id_of(name))["items"])
        first = {p: api.call("consoleHolds", user=literal(cara), profile=p) for p in ("rep", "manager")}
        for profile in first:
            self.of_profile("cara-" + profile, profile, cara)
            self.assertEqual(first[profile]["items"], api.call("consoleDeviceRows", id=api.id_of("cara-" + profile))["items"])
        self.assertNotEqual(first["rep"]["rows"], first["manager"]["rows"])
        self.assertEqual(api.call("consoleHolds", profile="full")["rows"], sum(t["rows"] for t in api.items("consoleTables")))
        nobody = api.call("consoleHolds", user="x'ff'", profile="rep")
        self.assertTrue(0 < nobody["rows"] < first["rep"]["rows"])
        self.assertIn("which profile", api.call("consoleHolds", 400, user=literal(cara))["detail"])
        self.assertIn("SQL", api.call("consoleHolds", 400, user="cara", profile="rep")["detail"])
        self.assertEqual(api.call("consoleReport", view="idle_deals", limit=1000)["items"], idle)  # satchel_now() is the console's again


    def test_user_has_no_more_devices_and_codes_than_the_setting_says_and_is_told_for_how_long_they_are_silent(self):
        settings = self.path("satcheld.conf")

        def allow(server, most):
            with open(settings, "w", encoding="utf-8") as f:
                f.write(f"devices-per-user = {most}\n")
            server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda: {u["limit"] for u in api.items("consoleDeviceUsers") if u["user"]} == {most or None}, "the setting")

        with open(settings, "w", encoding="utf-8") as f:
            f.write("devices-per-user = 2\n")
        server = self.begin(["--config", settings])
        rep, other, shop = literal(self.reps[0]), literal(self.reps[1]), literal(self.stores[0])
        self.of_profile("ann", "rep", self.reps[0])
        self.of_profile("till-1", "till", store=self.stores[0])
        api = admin(server)
        add = ("device", "add", "ann-2", "--profile", "manager", "--user", rep)
        server.ctl(*add)
        server.ctl(*add)  # the newer code takes the older one's place
        told = {(u["user"], u["profile"]): (u["of_user"], u["limit"], u["silent_days"]) for u in api.items("consoleDeviceUsers")}
        self.assertEqual(told, {(rep, "rep"): (2, 2, 0.0), (rep, "manager"): (2, 2, 0.0), (None, "till"): (None, None, 0.0)})
        for refused in (("device", "add", "ann-3", "--profile", "rep", "--user", rep), ("device", "set", "till-1", "--user", rep)):
            words = server.ctl(*refused, expect=1)
            self.assertIn(f"the user {rep} has 1 device and 1 open enrolment code, and may have 2 in all: revoke a device of his", words)
            self.assertIn("devices-per-user", words)
        self.assertEqual([e["name"] for e in api.items("consoleEnrolments", filter__state="open")], ["ann-2"])
        self.assertIsNone(api.items("consoleDevices", filter__name="till-1")[0]["user"])
        # Whose it is already it stays, as who is nobody's may have as many as there are; and a user may have what was revoked again.
        server.ctl("device", "set", "ann", "--user", rep, "--profile", "manager")
        for name in ("till-2", "till-3", "till-4"):
            server.ctl("device", "add", name, "--profile", "till", "--store", shop)
        server.ctl("device", "revoke", "ann")
        server.ctl("device", "add", "ann-3", "--profile", "rep", "--user", rep)
        server.ctl("device", "add", "bob", "--profile", "rep", "--user", other)
        allow(server, 1)
        self.assertIn("2 open enrolment codes, and may have 1", server.ctl("device", "add", "ann-4", "--profile", "rep", "--user", rep, expect=1))
        allow(server, 0)
        server.ctl("device", "add", "ann-4", "--profile", "rep", "--user", rep)
        # Three days later.
        server.stop()
        with sqlite3.connect(server.store) as db:
            db.execute("UPDATE satchel_device SET last_seen_ms = last_seen_ms - 259200000, state = 1 WHERE name = 'ann'")
        server.start()
        api.connection = None
        silent = {u["profile"]: (u["devices"], u["codes"], u["silent"], u["silent_days"]) for u in api.items("consoleDeviceUsers", filter__user=rep)}
        self.assertEqual(silent, {"manager": (1, 1, 1, 3.0), "rep": (0, 2, 0, 3.0)})
        self.assertEqual({u["user"] for u in api.items("consoleDeviceUsers", filter__silent_days="2..")}, {rep})


class ZEverything(harness.Case):
    """Last by name: what the other tests have met is all that there is."""

    def test_every_documented_status_was_met(self):
        if not MET:
            self.skipTest("the other tests have not run")
        self.assertEqual(sorted(DESCRIPTION.documented("console") - MET), [])


if __name__ == "__main__":
    harness.main()
