"""Who comes in to the console, and what they may do there: passwords, sessions, other sites' requests, roles, tokens, and the audit log."""
import glob
import json
import os
import pty
import re
import select
import sqlite3
import stat
import subprocess
import time

import harness
from api_client import MET
from console_client import DESCRIPTION, Browser, first_password

PASSWORD = "ten green bottles"
WRONG = "nine green bottles"


def ctl(server, *arguments, stdin=""):
    """satchelctl with something on its standard input."""
    return subprocess.run([harness.program("satchelctl"), "--data", server.data, "--json", *arguments], input=stdin, capture_output=True, text=True,
                          timeout=harness.PATIENCE_S, check=True)


def read_store(server):
    """The bytes of its files."""
    out = b""
    for path in glob.glob(server.data + "/store.db*"):
        with open(path, "rb") as f:
            out += f.read()
    return out


class AccessCase(harness.Case):
    def begin(self):
        return self.server(schema=harness.MUSIC)

    def user(self, server, name, role, password=PASSWORD):
        ctl(server, "user", "add", name, "--role", role, stdin=password + "\n")

    def audit(self, server, **match):
        """Entries of the audit log, oldest first, that have these members."""
        entries = server.ctl("audit", "list", "--limit", "10000")
        return [e for e in reversed(entries) if all(e[k] == v for k, v in match.items())]


class Commands(AccessCase):
    def test_every_command_that_a_person_may_run_is_described_with_its_role(self):
        found = {}
        for path in glob.glob(os.path.join(harness.ROOT, "server/control_*.c")):
            with open(path, encoding="utf-8") as f:
                found.update(re.findall(r'^    \{"([a-z_.]+)",.*? PEOPLE_(VIEWER|MANAGER|ADMIN), (?:true|false)\},$', f.read(), re.M))
        described = DESCRIPTION.document["components"]["schemas"]["Commands"]["properties"]
        self.assertEqual({name: role.lower() for name, role in found.items()}, {name: body["x-role"] for name, body in described.items()})


class First(AccessCase):
    def test_first_password_is_in_a_file_of_the_owner_until_it_is_another(self):
        server = self.begin()
        path = server.data + "/admin-password"
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        password = first_password(server)
        self.assertIn("admin-password", server.read_log())
        self.assertNotIn(password, server.read_log())
        server.stop()
        server.start()
        self.assertEqual(first_password(server), password)
        self.assertEqual(Browser(server).login("admin", password)["role"], "admin")
        ctl(server, "user", "passwd", "admin", stdin=PASSWORD + "\n")
        self.assertFalse(os.path.exists(path))
        server.stop()
        server.start()
        self.assertFalse(os.path.exists(path))
        self.assertEqual([u["name"] for u in server.ctl("user", "list")], ["admin"])

    def test_first_password_is_shown_on_a_terminal_and_in_no_file(self):
        ours, theirs = pty.openpty()
        data = self.path("server")
        process = subprocess.Popen([harness.program("satcheld"), "--data", data, "--sync-port", "0", "--https-port", "0", "--schema", harness.MUSIC],
                                   stdout=subprocess.PIPE, stderr=theirs, text=True)
        self.processes.append(process)
        shown = ""

        def read():
            nonlocal shown
            while select.select([ours], [], [], 0)[0]:
                shown += os.read(ours, 4096).decode()
            return "info ready" in shown

        harness.wait_until(read, "the server")
        self.assertRegex(shown, r"\n    [a-z2-9]{4}(-[a-z2-9]{4}){6}\r?\n")
        self.assertFalse(os.path.exists(data + "/admin-password"))
        process.terminate()
        self.assertEqual(process.wait(harness.PATIENCE_S), 0)
        os.close(ours)
        os.close(theirs)


class Headers(AccessCase):
    POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
              "base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
    ALL = {"x-content-type-options": "nosniff", "x-frame-options": "deny", "referrer-policy": "no-referrer"}

    def test_page_may_load_and_ask_its_own_server_alone_and_stands_in_no_frame(self):
        browser = Browser(self.begin())
        for path in ("/", "/console/", "/console/app.js", "/console/style.css", "/console/icon.svg"):
            headers = browser.get(path).headers
            wanted = {"content-security-policy": self.POLICY, "cache-control": "no-cache", **self.ALL}
            self.assertEqual({k: headers.get(k) for k in wanted}, wanted, path)
        # No script and no style stands in the page itself, which the policy would have to let in.
        self.assertNotRegex(browser.get("/").text, r"<style|style=|<script(?! type=\"module\" src=)|\bon[a-z]+=")

    def test_every_other_answer_is_kept_nowhere_and_is_no_page(self):
        browser = Browser(self.begin())
        browser.login("admin", first_password(browser.server))
        for path, status in (("/console/nothing", 404), ("/v1/session", 200), ("/v1/admin/overview", 200), ("/v1/admin/devices?format=csv", 200), ("/v1/admin/nothing", 404), ("/metrics", 200)):
            headers = browser.get(path, status).headers
            self.assertEqual({k: headers.get(k) for k in ("cache-control", *self.ALL)}, {"cache-control": "no-store", **self.ALL}, path)
            self.assertRegex(headers["content-security-policy"], r"^default-src 'none'; .*frame-ancestors 'none'")
            self.assertNotIn("unsafe", headers["content-security-policy"])


class Sessions(AccessCase):
    def test_session_is_a_strict_cookie_that_ends_by_silence_by_age_and_by_logout(self):
        server = self.begin()
        password = first_password(server)
        browser = Browser(server)
        browser.get("/v1/session", expect=401)
        answer = browser.login("admin", password)
        self.assertEqual({k: answer[k] for k in ("name", "role")}, {"name": "admin", "role": "admin"})
        self.assertAlmostEqual(answer["expires_ms"] / 1000 - time.time(), 12 * 3600, delta=harness.PATIENCE_S)
        self.assertRegex(answer.headers["set-cookie"], r"^__Host-satchel=[\w-]{43}; Path=/; Secure; HttpOnly; SameSite=Strict$")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(browser.get("/v1/session").body, answer.body)
        secret = browser.cookie.split("=")[1]
        # The store could tell nobody the secret, and a session is kept over a restart.
        for shift, expect in (("+50m", 200), ("+105m", 200), ("+170m", 401)):
            server.stop()
            server.prefix = harness.with_clock(shift)
            server.start()
            browser.get("/v1/session", expect=expect)
        self.assertNotIn(secret.encode(), read_store(server))
        server.stop()
        server.prefix = []
        server.start()
        browser.login("admin", password)
        # As old as it may be, though it was used all the time.
        server.stop()
        with sqlite3.connect(server.store) as db:
            db.execute("UPDATE satchel_login SET seen_ms = seen_ms + 13 * 3600 * 1000")
        db.close()
        server.prefix = harness.with_clock("+13h")
        server.start()
        browser.get("/v1/session", expect=401)
        server.stop()
        server.prefix = []
        server.start()
        browser.login("admin", password)
        other = Browser(server)
        other.cookie, other.csrf = browser.cookie, browser.csrf
        left = browser.post("/v1/logout")
        self.assertIn("Max-Age=0", left.headers["set-cookie"])
        other.get("/v1/session", expect=401)
        self.assertEqual([e["action"] for e in self.audit(server, actor="user:admin")], ["login", "login", "login", "logout"])

    def test_cookie_that_was_set_before_login_is_not_the_session_after(self):
        server = self.begin()
        browser = Browser(server)
        fixed = "__Host-satchel=" + "A" * 43
        browser.cookie = fixed
        browser.login("admin", first_password(server))
        self.assertNotEqual(browser.cookie, fixed)
        first = browser.cookie
        attacker = Browser(server)
        attacker.cookie = fixed
        attacker.get("/v1/session", expect=401)
        browser.login("admin", first_password(server))
        self.assertNotEqual(browser.cookie, first)
        # Two of the name: what another site has put before it counts for nothing.
        attacker.cookie = fixed + "; " + browser.cookie
        attacker.get("/v1/session", expect=401)

    def test_request_of_another_site_is_refused_and_noted(self):
        server = self.begin()
        browser = Browser(server)
        password = first_password(server)
        for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": None, "Origin": "https://evil.example"}):
            browser.login("admin", password, expect=403, **headers)
        browser.login("admin", password, expect=415, Content_Type="text/plain")
        browser.login("admin", password)
        server.code("till")
        attacks = [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"},
                   {"Sec_Fetch_Site": None, "Origin": "https://evil.example"}, {"Sec_Fetch_Site": None, "Origin": "null"},
                   {"X_CSRF_Token": None}, {"X_CSRF_Token": "A" * 43}, {"X_CSRF_Token": browser.csrf + "A"}, {"X_CSRF_Token": "A" * 500}]
        for headers in attacks:
            answer = browser.post("/v1/admin/commands/token.add", {"name": "evil"}, expect=403, **headers)
            self.assertEqual((answer.headers["content-type"], answer["code"]), ("application/problem+json", "E_ROLE"))
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", None):
            browser.post("/v1/admin/commands/token.add", b'{"name":"evil"}', expect=415, Content_Type=kind)
        # A form that a page of another site submits has neither header; and a logout is no joke either.
        browser.send("POST", "/v1/admin/commands/token.add", b"name=evil", {"Cookie": browser.cookie, "Content-Type": "text/plain"}, 415)
        browser.post("/v1/logout", expect=403, X_CSRF_Token=None)
        browser.post("/v1/logout", expect=415, Content_Type=None)
        browser.get("/v1/session?of=admin", expect=400)
        browser.post("/v1/admin/commands/status", b"[1]", expect=400)
        self.assertEqual(server.ctl("token", "list"), [])
        refused = self.audit(server, action="token.add", actor="user:admin", code="E_ROLE")
        self.assertEqual(len(refused), len(attacks) + 5)
        self.assertEqual(refused[0]["peer"], "127.0.0.1")
        # And the same by the page itself.
        browser.command("token.add", name="good")
        self.assertEqual(len(self.audit(server, action="token.add", actor="user:admin", code="OK")), 1)
        for headers in ({"Origin": None}, {"Sec_Fetch_Site": None}, {"Content_Type": "application/json; charset=utf-8"}):
            browser.post("/v1/admin/commands/status", {}, **headers)


class LockOut(AccessCase):
    def test_fifth_wrong_password_locks_a_name_whether_it_is_known_or_not(self):
        server = self.begin()
        told = {}
        for name, address in (("nobody", "127.0.0.2"), ("admin", "127.0.0.1")):  # whom the rest is about last: he is locked for a minute
            browser = Browser(server, address)
            answers = [browser.login(name, WRONG, expect=401) for _ in range(5)] + [browser.login(name, WRONG, expect=429)]
            self.assertTrue(1 <= int(answers[-1].headers["retry-after"]) <= 61)
            told[name] = [a.text for a in answers]
        self.assertEqual(told["admin"], told["nobody"])
        # From elsewhere too, with the right password, and after a restart.
        other, password = Browser(server, "127.0.0.3"), first_password(server)
        other.login("admin", password, expect=429)
        server.stop()
        server.start()
        other.login("admin", password, expect=429)
        self.assertEqual(server.ctl("user", "list")[0]["state"], "waits")
        server.ctl("user", "unlock", "admin")
        other.login("admin", password)
        self.assertEqual(len(self.audit(server, action="login", code="E_AUTH", actor="user:admin", peer="127.0.0.1")), 5)
        self.assertEqual(len(self.audit(server, action="login", code="E_AUTH", actor="user:?", peer="127.0.0.2")), 5)

    def test_address_of_many_wrong_passwords_waits(self):
        server = self.begin()
        browser = Browser(server, "127.0.0.9")
        for _ in range(10):
            browser.send("GET", "/v1/tables", headers={"Authorization": "Bearer satchel_wrong"}, expect=401)
        browser.login("admin", first_password(server), expect=429)
        browser.get("/v1/session", expect=429)
        browser.post("/v1/logout", expect=429)
        browser.command("status", expect=429)
        browser = Browser(server, "127.0.0.10")
        browser.post("/v1/login", {"name": "admin"}, expect=400)
        browser.post("/v1/logout", expect=401)
        browser.command("status", expect=401)
        Browser(server).login("admin", first_password(server))


class Roles(AccessCase):
    def test_roles_tokens_and_both_doors_stand_in_the_audit_log(self):
        server = self.begin()
        self.user(server, "vera", "viewer")
        self.user(server, "max", "manager")
        vera, admin = Browser(server), Browser(server)
        vera.login("vera", PASSWORD)
        admin.login("admin", first_password(server))
        server.ctl("device", "add", "till-01", "--profile", "full")

        # A viewer sees, and does nothing.
        self.assertIn("position", vera.command("status").body)
        for command, request in (("device.add", {"name": "till-02"}), ("sql", {"text": "DELETE FROM artist"}), ("rejected.discard", {}),
                                 ("user.role", {"name": "vera", "role": "admin"}), ("backup", {"target": self.path("stolen")}), ("token.list", {}),
                                 ("export", {"all": True})):
            self.assertEqual(vera.command(command, expect=403, **request)["code"], "E_ROLE")
            self.assertEqual(self.audit(server, actor="user:vera", action=command)[0]["code"], "E_ROLE")
        self.assertFalse(os.path.exists(self.path("stolen")))
        vera.command("no.such.thing", expect=404)
        vera.post("/v1/transactions", {"changes": []}, expect=403)

        # An admin does what the socket's owner does, by the same commands; a role counts at once.
        self.assertTrue(admin.command("device.add", name="till-02", profile="full")["enrolment_code"])
        self.assertEqual(admin.command("device.pause", expect=404, name="till-09")["code"], "E_NOT_FOUND")
        self.assertIn("plain name", admin.command("backup", expect=422, target=self.path("stolen"))["detail"])
        self.assertFalse(os.path.exists(self.path("stolen")))
        made = admin.command("backup", target="monday")
        self.assertEqual(made["target"], os.path.join(server.data, "backups/monday"))
        self.assertTrue(os.path.exists(os.path.join(made["target"], "manifest.json")))
        admin.command("user.role", name="vera", role="manager")
        self.assertEqual(vera.get("/v1/session")["role"], "manager")
        self.assertEqual(vera.command("rejected.discard", expect=404, device="till-01", number=1)["code"], "E_NOT_FOUND")
        self.assertTrue(admin.command("token.add", name="twice")["token"])
        admin.command("token.add", expect=409, name="twice")
        admin.command("user.lock", name="vera")
        vera.get("/v1/session", expect=401)
        self.assertEqual(admin.command("user.remove", expect=422, name="admin")["code"], "E_MISUSE")

        # A program: without a console scope nothing, with one as a person of that role, and without csrf.
        plain, viewer, scoped = (server.ctl("token", "add", name, "--rights", rights)["token"]
                                 for name, rights in (("erp", "read,write"), ("board", "console:viewer"), ("ops", "read,console:admin")))
        program = Browser(server)

        def ask(token, command, expect, **request):
            return program.send("POST", "/v1/admin/commands/" + command, request, {"Authorization": "Bearer " + token}, expect)

        ask(plain, "status", 403)
        ask(plain, "device.pause", 403, name="till-01")
        ask(viewer, "status", 200)
        ask(viewer, "device.add", 403, name="till-03")
        ask(scoped, "device.add", 200, name="till-03", profile="full")
        ask("satchel_" + "A" * 43, "status", 401)
        program.send("GET", "/v1/tables", headers={"Authorization": "Bearer " + viewer}, expect=403)
        program.send("GET", "/v1/session", headers={"Authorization": "Bearer " + scoped}, expect=403)

        entries = self.audit(server)
        self.assertIn(("shell:root" if os.geteuid() == 0 else None, "socket", "device.add", "OK"),
                      [(e["actor"] if os.geteuid() == 0 else None, e["peer"], e["action"], e["code"]) for e in entries])
        self.assertEqual([(e["actor"], e["code"], e["subject"]["name"]) for e in entries if e["action"] == "device.add"][1:],
                         [("user:vera", "E_ROLE", "till-02"), ("user:admin", "OK", "till-02"), ("token:board", "E_ROLE", "till-03"),
                          ("token:ops", "OK", "till-03")])
        self.assertEqual([e["action"] for e in entries if e["actor"] == "token:erp"], ["status", "device.pause"])
        self.assertEqual(len(self.audit(server, action="backup", actor="user:admin", code="OK")), 1)
        self.assertFalse([e for e in entries if e["action"] in ("device.list", "audit.list", "user.list")])
        self.assertEqual(server.ctl("audit", "verify")["wrong"], None)

    def test_own_transactions_are_noted_before_and_failed_ones_again(self):
        server = self.begin()
        browser = Browser(server)
        browser.login("admin", first_password(server))
        browser.command("sql", text="INSERT INTO artist(artist_no, name, country) VALUES(1, 'A', 'PT')")
        browser.command("sql", expect=422, text="INSERT INTO artist(artist_no, name, country) VALUES(2, 'B', 'PT'); INSERT INTO nothing VALUES(1)")
        self.assertEqual(server.one("SELECT count(*) FROM artist"), 2)
        self.assertEqual([e["code"] for e in self.audit(server, action="sql")][:2], ["OK", "OK"])
        self.assertEqual(len(self.audit(server, action="sql")), 3)
        for text in ("INSERT INTO artist(artist_no, name) SELECT 9, hash FROM satchel_user", "DELETE FROM satchel_audit", "DELETE FROM satchel_login"):
            browser.command("sql", expect=422, text=text)
        long = browser.command("sql", text="-- " + "x" * 5000 + "\nDELETE FROM artist WHERE artist_no = 2")
        self.assertEqual(long["transactions"], 1)
        self.assertEqual(self.audit(server, action="sql")[-1]["subject"]["text"]["bytes"], 5000 + len("-- \nDELETE FROM artist WHERE artist_no = 2"))


class Secrets(AccessCase):
    def test_password_is_in_no_log_no_audit_no_argument_and_no_file(self):
        server = self.begin()
        process = subprocess.Popen([harness.program("satchelctl"), "--data", server.data, "user", "add", "ann", "--role", "manager"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdin.write(PASSWORD + "\n")
        process.stdin.flush()
        with open(f"/proc/{process.pid}/cmdline", "rb") as f, open(f"/proc/{process.pid}/environ", "rb") as e:
            self.assertNotIn(PASSWORD.encode(), f.read() + e.read())
        out, err = process.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(process.returncode, 0, err)
        self.assertNotIn(PASSWORD, out + err)
        random = json.loads(ctl(server, "user", "add", "bob", "--random").stdout)["password"]
        browser = Browser(server)
        browser.login("ann", PASSWORD)
        browser.login("ann", WRONG, expect=401)
        browser.login(WRONG, PASSWORD, expect=401)  # the one in the place of the other
        token = server.ctl("token", "add", "erp")["token"]
        code = server.code("till")
        server.ctl("user", "add", "eve", "--role", "king", expect=1)
        done = subprocess.run([harness.program("satchelctl"), "--data", server.data, "user", "passwd", "ann"], input="short\n", capture_output=True, text=True,
                              timeout=harness.PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("10 to 256 bytes", done.stderr)
        secrets = [PASSWORD, WRONG, random, token, code, browser.cookie.split("=")[1], first_password(server)]
        everywhere = server.read_log() + json.dumps(self.audit(server))
        files = read_store(server)
        for secret in secrets:
            self.assertNotIn(secret, everywhere)
            self.assertNotIn(secret.encode(), files)
        self.assertRegex(server.one("SELECT hash FROM satchel_user WHERE name='ann'"), r"^\$argon2id\$v=19\$m=262144,t=3,p=1\$")


class Audit(AccessCase):
    def tampered(self, server, sql, words):
        server.stop()
        with sqlite3.connect(server.store) as db:
            db.executescript("CREATE TABLE kept AS SELECT * FROM satchel_audit;" + sql)
        db.close()
        server.start()
        told = subprocess.run([harness.program("satchelctl"), "--data", server.data, "audit", "verify"], capture_output=True, text=True,
                              timeout=harness.PATIENCE_S, check=False)
        self.assertEqual(told.returncode, 1, told.stdout)
        self.assertIn(words, told.stderr)
        self.assertIn("the audit log is not whole", server.read_log())
        server.stop()
        with sqlite3.connect(server.store) as db:
            db.executescript("DELETE FROM satchel_audit; INSERT INTO satchel_audit SELECT * FROM kept; DROP TABLE kept;")
        db.close()
        server.start()
        self.assertEqual(server.ctl("audit", "verify")["wrong"], None)

    def test_verify_names_the_first_row_that_was_changed_or_taken_away(self):
        server = self.begin()
        for name in ("a", "b", "c"):
            server.ctl("device", "add", name, "--profile", "full")
        head = server.ctl("audit", "verify")
        self.assertEqual((head["rows"], head["head"]), (4, 4))
        noted = f"{head['head']}:{head['hash']}"
        self.assertEqual(server.ctl("audit", "verify", "--head", noted)["wrong"], None)
        self.tampered(server, "UPDATE satchel_audit SET subject=replace(subject, '\"b\"', '\"x\"')", "row 3 is not what was written")
        self.tampered(server, "DELETE FROM satchel_audit WHERE id=2", "row 2 is missing")
        self.tampered(server, "DELETE FROM satchel_audit WHERE id=4", "row 4 is missing")
        server.stop()
        with sqlite3.connect(server.store) as db:
            db.executescript("DELETE FROM satchel_audit; DELETE FROM sqlite_sequence WHERE name='satchel_audit'")
        db.close()
        server.start()
        server.ctl("device", "add", "d", "--profile", "full")
        self.assertEqual(server.ctl("audit", "verify")["wrong"], None)
        server.ctl("audit", "verify", "--head", noted, expect=1)


class ZEverything(harness.Case):
    """Last by name: what the other tests have met is all that there is."""

    def test_every_documented_status_was_met(self):
        if not MET:
            self.skipTest("the other tests have not run")
        self.assertEqual(sorted(DESCRIPTION.documented("people") - MET), [])


if __name__ == "__main__":
    harness.main()
