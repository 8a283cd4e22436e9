"""Alerts: what is opened is told by mail and webhook once, its end too, over restarts, kills, servers that are down, hang, refuse or are somebody else."""
import contextlib
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import logging
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

import harness

logging.getLogger("mail.log").setLevel(logging.CRITICAL)
SECRET = "a key that nobody guesses"
PASSWORD = "correct horse"


class MailServer:
    """A mail server of ours; what it took is in `mails`, as email messages."""

    def __init__(self, port=0, **options):
        self.mails, self.refuse, self.tls = [], None, []
        self.port = port or reserved_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=harness.PATIENCE_S, **options)
        self.controller.start()

    async def handle_DATA(self, _server, session, envelope):
        if self.refuse:
            return self.refuse
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        message.recipients, message.sender = envelope.rcpt_tos, envelope.mail_from
        self.tls.append(session.ssl is not None)
        self.mails.append(message)
        return "250 taken"

    def subjects(self):
        return [m["Subject"] for m in self.mails]

    def close(self):
        controller, self.controller = self.controller, None
        if controller:
            controller.stop()


class Receiver:
    """What a webhook is sent to. Verifies signatures as a receiver would; `answers` are given in turn, then 200."""

    def __init__(self):
        self.bodies, self.wrong, self.answers, self.requests, self.before = [], [], [], 0, None
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests += 1
                if receiver.before:
                    receiver.before(body)
                status = receiver.answers.pop(0) if receiver.answers else 200
                if not receiver.is_signed(self.headers.get("X-Satchel-Signature", ""), body):
                    receiver.wrong.append(body)
                    status = 403
                if status == 200:
                    receiver.bodies.append(json.loads(body))
                try:
                    self.send_response(status)
                    if status // 100 == 3:
                        self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def is_signed(header, body):
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header)
        if not found or abs(time.time() - int(found[1])) > 300:
            return False
        expected = hmac.new(SECRET.encode(), found[1].encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, found[2])

    def events(self):
        return [(e["rule"], e["device"], e["event"]) for b in self.bodies for e in b["events"]]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


RESERVED = []


def reserved_port():
    """One that nobody else is given as long as this process lives, whether a server listens on it or not: it is bound, and who listens may share it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    RESERVED.append(s)
    return s.getsockname()[1]


class Alerts(harness.Case):
    def secret(self, name, text):
        path = self.path(name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as f:
            f.write(text + "\n")
        return path

    def mail_server(self, **options):
        m = MailServer(**options)
        self.addCleanup(m.close)
        return m

    def receiver(self):
        r = Receiver()
        self.addCleanup(r.close)
        return r

    def mail_options(self, port, scheme="smtp"):
        return ["--smtp-url", f"{scheme}://127.0.0.1:{port}", "--smtp-from", "satchel@example.com", "--alert-mail",
                "ann@example.com, bob@example.com"]

    def hook_options(self, receiver, path="/hook"):
        return ["--alert-webhook", f"http://127.0.0.1:{receiver.port}{path}", "--alert-webhook-secret-file", self.secret("hook.key", SECRET)]

    def start(self, *options, start=True):
        """A server of which only one rule is on, and it is quick."""
        server = self.server(schema=harness.MUSIC, options=options, start=start)
        if start:
            self.set_up(server)
        return server

    def set_up(self, server):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(server.data, "control.sock"))
            f = s.makefile("rw", encoding="utf-8")
            for rule in server.ctl("alert", "rules"):
                f.write(json.dumps({"command": "alert.rule.off", "name": rule["name"]}) + "\n")
                f.flush()
                self.assertTrue(json.loads(f.readline())["ok"])

    def look(self, server):
        """Has the server look at once, and not within the minute."""
        server.ctl("alert", "on", "device-silent")

    def silent(self, server, seconds=1):
        """Whoever is not heard of for so long is silent."""
        server.ctl("alert", "set", "device-silent", "--threshold", seconds)

    def wait_for_state(self, server, device, state):
        """Looks until the device's newest alert is in this state."""
        def find():
            self.look(server)
            found = [a for a in server.ctl("alert", "list", "--all")["alerts"] if a["device"] == device]
            return found and found[0]["state"] == state
        harness.wait_until(find, f"the alert of {device} is {state}", pause_s=0.3)

    def recover(self, server, device):
        """The device comes, and what counts as silence takes long from now on."""
        device.sync()
        self.silent(server, 3600)
        self.look(server)
        self.wait_for_state(server, device.name, "closed")

    def settled(self, server):
        """Everything that is to be told was told."""
        def none_waits():
            return all(n["waiting"] == 0 for n in server.ctl("alert", "list")["notices"])
        harness.wait_until(none_waits, "everything is told")

    def way(self, server, name):
        return [n for n in server.ctl("alert", "list")["notices"] if n["way"] == name][0]

    def test_silent_device_is_told_once_its_end_too_and_a_restart_tells_nothing_twice(self):
        mail, hook = self.mail_server(), self.receiver()
        server = self.start(*self.mail_options(mail.port), *self.hook_options(hook))
        a = self.device("tàblet-a", server)
        a.sync()
        self.silent(server)
        self.wait_for_state(server, "tàblet-a", "open")
        harness.wait_until(lambda: mail.mails and hook.bodies, "both are told")
        message, event = mail.mails[0], hook.bodies[0]["events"][0]
        self.assertEqual(message["Subject"], "[Satchel 127.0.0.1] warning alert: device-silent")
        self.assertEqual((message.sender, message.recipients), ("satchel@example.com", ["ann@example.com", "bob@example.com"]))
        self.assertIn("OPEN  warning: tàblet-a has not been heard of (", message.get_content())
        self.assertEqual((event["rule"], event["device"], event["event"], event["subject"], event["closed_ms"]),
                         ("device-silent", "tàblet-a", "opened", "device", None))
        for _ in range(3):
            self.look(server)
        server.stop()
        server.start()
        self.look(server)
        self.recover(server, a)
        harness.wait_until(lambda: len(mail.mails) > 1 and len(hook.bodies) > 1, "both are told that it is over")
        self.settled(server)
        self.assertEqual(mail.subjects()[1], "[Satchel 127.0.0.1] warning is over: device-silent")
        self.assertIn("over since", mail.mails[1].get_content())
        server.stop()
        server.start()
        self.look(server)
        self.settled(server)
        self.assertEqual(len(mail.mails), 2)
        self.assertEqual(hook.events(), [("device-silent", "tàblet-a", "opened"), ("device-silent", "tàblet-a", "closed")])
        self.assertNotEqual(hook.bodies[0]["id"], hook.bodies[1]["id"])
        self.assertEqual(hook.wrong, [])
        self.assertEqual(server.ctl("alert", "list")["alerts"], [])

    def test_upkeep_looks_by_itself_once_a_minute(self):
        """On a clock that runs a hundred times as fast."""
        hook = self.receiver()
        hook.is_signed = lambda *_: True # of another time
        server = self.start(*self.hook_options(hook))
        self.device("a", server).sync()
        self.silent(server, 900)
        self.look(server)
        self.assertEqual(server.ctl("alert", "list")["alerts"], [])
        server.stop()
        server.prefix = harness.with_clock("+0 x100")
        server.start()
        harness.wait_until(lambda: hook.events() == [("device-silent", "a", "opened")], "it is told")
        server.stop()
        server.prefix = []
        server.start()

    def test_silence_keeps_it_from_being_told_and_what_lasts_is_told_after_it(self):
        mail, hook = self.mail_server(), self.receiver()
        server = self.start(*self.mail_options(mail.port), *self.hook_options(hook))
        a, b = self.device("a", server), self.device("b", server)
        self.sync_all(a, b)
        server.ctl("alert", "silence", "device-silent", "--for", "1h", "--device", "a")
        self.silent(server)
        self.wait_for_state(server, "b", "open")
        self.wait_for_state(server, "a", "open")
        harness.wait_until(lambda: mail.mails and hook.bodies, "the other is told")
        self.settled(server)
        self.assertEqual(hook.events(), [("device-silent", "b", "opened")])
        listed = server.ctl("alert", "list")
        self.assertEqual([(s["rule"], s["device"], s["by"]) for s in listed["silences"]], [("device-silent", "a", "shell:root")])
        self.assertEqual([bool(x["silent_until_ms"]) for x in listed["alerts"] if x["device"] == "a"], [True])
        server.ctl("alert", "unsilence", "device-silent", "--device", "a")
        harness.wait_until(lambda: len(hook.events()) == 2 and len(mail.mails) == 2, "what lasts is told")
        # Silenced as a whole: neither the end of the one nor the beginning of another is told; the end when the silence is over.
        server.ctl("alert", "silence", "device-silent", "--for", "1h")
        self.recover(server, a)
        self.settled(server)
        self.assertEqual(len(hook.events()), 2)
        server.ctl("alert", "unsilence", "device-silent")
        harness.wait_until(lambda: ("device-silent", "a", "closed") in hook.events(), "the end is told")
        self.assertIn("there is no rule", server.ctl("alert", "silence", "none", "--for", "1h", expect=1))
        self.assertIn("not silenced", server.ctl("alert", "unsilence", "device-silent", expect=1))

    def test_mail_server_that_is_down_is_tried_again_and_blocks_nothing(self):
        mail, hook = self.mail_server(), self.receiver()
        mail.close()
        server = self.start(*self.mail_options(mail.port), *self.hook_options(hook))
        a = self.device("a", server)
        a.sync()
        self.silent(server)
        self.wait_for_state(server, "a", "open")
        harness.wait_until(lambda: hook.events() == [("device-silent", "a", "opened")], "the webhook is told nevertheless")
        harness.wait_until(lambda: self.way(server, "mail")["state"] == "failing", "the admin sees that mail fails")
        state = self.way(server, "mail")
        self.assertEqual(state["waiting"], 1)
        self.assertRegex(state["words"], "the mail server: .*(refused|connect)")
        harness.wait_until(lambda: "event=notice" in server.read_log(), "a line of the log")
        self.assertEqual(self.metric(server, 'satchel_notices_failing{way="mail"}'), 1)
        # The alert of its own.
        server.ctl("alert", "set", "notice-failing", "--threshold", 1)
        server.ctl("alert", "on", "notice-failing")
        time.sleep(1.1)
        harness.wait_until(lambda: self.look(server) or ("notice-failing", None, "opened") in hook.events(), "and that mail fails, too", pause_s=0.3)
        server.ctl("alert", "off", "notice-failing")
        server.stop()
        server.start()
        mail = MailServer(port=mail.port)
        self.addCleanup(mail.close)
        harness.wait_until(lambda: mail.mails, "it is told when the server is there again")
        self.settled(server)
        self.assertEqual(sum("device-silent, alert" in m.get_content() for m in mail.mails), 1)
        self.assertEqual(self.way(server, "mail")["state"], "ok")

    def metric(self, server, name):
        context = ssl.create_default_context(cafile=os.path.join(server.data, "ca.crt"))
        with urllib.request.urlopen(f"https://localhost:{server.https_port}/metrics", context=context, timeout=harness.PATIENCE_S) as answer:
            text = answer.read().decode()
        return float(re.search("^" + re.escape(name) + r" (\S+)$", text, re.M)[1])

    def test_what_a_server_refuses_for_now_is_tried_again_and_told_once(self):
        mail, hook = self.mail_server(), self.receiver()
        mail.refuse, hook.answers, seen = "451 later", [500, 302], threading.Event()
        hook.before = lambda _: hook.requests < 3 or seen.wait(harness.PATIENCE_S)
        server = self.start(*self.mail_options(mail.port), *self.hook_options(hook))
        self.device("a", server).sync()
        self.silent(server)
        self.wait_for_state(server, "a", "open")
        harness.wait_until(lambda: self.way(server, "webhook")["failures"] == 2, "the webhook failed twice")
        self.assertEqual(self.way(server, "webhook")["words"], "the webhook's receiver answered 302; redirects are not followed")
        self.assertRegex(self.way(server, "mail")["words"], "451")
        mail.refuse = None
        seen.set()
        harness.wait_until(lambda: mail.mails and hook.bodies, "both are told")
        self.settled(server)
        self.assertEqual((len(mail.mails), len(hook.bodies), hook.requests), (1, 1, 3))

    def test_server_killed_before_it_wrote_down_that_it_told_tells_again_under_the_same_id(self):
        mail, hook = self.mail_server(), self.receiver()
        server = self.start(*self.mail_options(mail.port), *self.hook_options(hook))
        self.device("a", server).sync()
        seen = []

        def kill(body):
            seen.append(json.loads(body)["id"])
            hook.before = None
            server.process.kill()

        hook.before = kill
        def look():
            try:
                self.look(server)
            except AssertionError:
                pass # killed meanwhile
            return seen

        self.silent(server)
        harness.wait_until(look, "it is told", pause_s=0.3)
        server.kill()
        harness.wait_until(lambda: hook.bodies, "the receiver to be through with it")
        hook.bodies.clear()
        server.start()
        harness.wait_until(lambda: hook.bodies, "it is told again")
        self.settled(server)
        self.assertEqual([b["id"] for b in hook.bodies], seen)
        self.assertEqual(len({m["Message-ID"] for m in mail.mails}), 1)

    def test_mail_server_that_hangs_holds_up_neither_sync_nor_the_end(self):
        with socket.create_server(("127.0.0.1", 0)) as hanging:
            server = self.start(*self.mail_options(hanging.getsockname()[1]))
            a = self.device("a", server)
            a.sync()
            self.silent(server)
            self.wait_for_state(server, "a", "open")
            hanging.settimeout(harness.PATIENCE_S)
            with hanging.accept()[0]:
                a.sync()
                began = time.monotonic()
                server.stop()
                self.assertLess(time.monotonic() - began, 40)
        server.start()

    def certificate(self, name):
        key, cert = self.path(name + ".key"), self.path(name + ".crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "2", "-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return cert, context

    def test_password_goes_over_starttls_alone_and_to_nobody_else(self):
        def check(_server, _session, _envelope, _mechanism, data):
            right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"satchel", PASSWORD.encode())
            return AuthResult(success=right, handled=False)

        cert, context = self.certificate("mail")
        mail = self.mail_server(tls_context=context, require_starttls=True, auth_required=True, auth_require_tls=True, authenticator=check)
        word = self.secret("mail.password", PASSWORD)
        options = [*self.mail_options(mail.port), "--smtp-user", "satchel", "--smtp-password-file", word]
        server = self.start(*options, "--alert-ca", cert)
        self.assertEqual([n["state"] for n in server.ctl("alert", "test")], ["sent", "off"])
        self.assertEqual((mail.subjects(), mail.tls), (["[Satchel 127.0.0.1] test"], [True]))
        # A wrong password, an authority that is not the server's, and a server without TLS.
        self.secret("mail.password", "wrong")
        other, _ = self.certificate("other")
        plain = self.mail_server()
        for change, words in (([], "535"), (["--alert-ca", other], "certificate"),
                              (["--smtp-url", f"smtp://127.0.0.1:{plain.port}"], "(TLS|SSL)")):
            server.stop()
            server.start(*change)
            done = server.ctl("alert", "test", expect=1)
            self.assertRegex(done, '"failed"')
            self.assertRegex(done, words)
        self.assertEqual((len(mail.mails), plain.mails), (1, []))
        self.assertNotIn(PASSWORD, server.read_log())

    def test_webhook_and_mail_settings_that_will_not_do_are_refused_in_words(self):
        readable = self.secret("readable", SECRET)
        os.chmod(readable, 0o644)
        mail = ["--smtp-from", "satchel@example.com", "--alert-mail", "ann@example.com"]
        good = self.secret("key", SECRET)
        for options, words in (
                (["--smtp-url", "smtp://127.0.0.1:25"], "go together"),
                (["--smtp-url", "http://127.0.0.1:25", *mail], "smtp-url"),
                (["--smtp-url", "smtp://127.0.0.1:25", *mail, "--smtp-user", "x"], "go together"),
                (["--smtp-url", "smtp://127.0.0.1:25", *mail, "--smtp-from", "a@b\r\nBcc: c@d"], "one address"),
                (["--alert-webhook", "http://example.com/"], "go together"),
                (["--alert-webhook", "http://example.com/", "--alert-webhook-secret-file", good], "https://"),
                (["--alert-webhook", "https://example.com/", "--alert-webhook-secret-file", readable], "others may read it"),
                (["--alert-webhook", "https://example.com/", "--alert-webhook-secret-file", self.path("none")], "cannot be read")):
            server = self.server("refused", schema=harness.MUSIC, options=options, start=False)
            done = server.start(expect_failure=True)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(words, done.stderr)
        server = self.start()
        self.assertIn("nobody is told", server.ctl("alert", "test", expect=1))

    def test_many_at_once_are_few_notices_and_each_is_told_once(self):
        mail, hook = self.mail_server(), self.receiver()
        server = self.start(*self.mail_options(mail.port), *self.hook_options(hook))
        server.stop()
        now = int(time.time() * 1000)
        with contextlib.closing(sqlite3.connect(server.store)) as db, db:
            db.executemany("INSERT INTO satchel_device(name, fingerprint, state, enrolled_ms) VALUES(?, ?, 1, ?)",
                           [(f"d{i}", os.urandom(32), now - 10**8) for i in range(450)])
        server.start()
        self.silent(server)
        harness.wait_until(lambda: self.look(server) or len(hook.events()) >= 450, "all are told", pause_s=0.3)
        self.settled(server)
        self.assertEqual(sorted(hook.events()), sorted([("device-silent", f"d{i}", "opened") for i in range(450)]))
        self.assertEqual((len(hook.bodies), len(mail.mails)), (3, 3))
        self.assertIn("200 alerts, 0 over", mail.subjects()[0])

    def test_admin_acknowledges_lists_and_sets_rules(self):
        server = self.start()
        self.device("a", server).sync()
        self.silent(server)
        self.wait_for_state(server, "a", "open")
        alert = server.ctl("alert", "list")["alerts"][0]
        server.ctl("alert", "ack", alert["id"])
        listed = server.ctl("alert", "list")["alerts"][0]
        self.assertEqual((listed["state"], listed["acked_by"]), ("acked", "shell:root"))
        self.assertIn("no open alert 99", server.ctl("alert", "ack", 99, expect=1))
        self.assertIn("no metric", server.ctl("alert", "set", "mine", "--metric", "x", "--op", ">", "--threshold", 1, expect=1))
        rule = server.ctl("alert", "set", "mine", "--metric", "device.pending", "--aggregation", "held", "--window", "2h", "--op", ">=",
                          "--threshold", 10, "--severity", "critical", "--about", "has a long queue")["rule"]
        self.assertEqual((rule["window_s"], rule["threshold"], rule["active"]), (7200, 10, True))
        self.assertEqual(server.ctl("alert", "set", "mine", "--threshold", "1d")["rule"]["threshold"], 86400)
        self.assertIn("mine", [r["name"] for r in server.ctl("alert", "rules")])
        shown = subprocess.run([harness.program("satchelctl"), "--data", server.data, "alert", "list"], capture_output=True, text=True, check=True).stdout
        self.assertRegex(shown, r"warning +acked +device-silent")
        audited = [e[0] for e in server.read("SELECT action FROM satchel_audit WHERE action LIKE 'alert.%'")]
        self.assertIn("alert.ack", audited)
        self.assertIn("alert.rule.set", audited)
        self.assertNotIn("alert.list", audited)

    def test_burst_of_wrong_tokens_opens_an_alert(self):
        server = self.start()
        server.ctl("alert", "set", "auth-burst", "--threshold", 3)
        context = ssl.create_default_context(cafile=os.path.join(server.data, "ca.crt"))
        for _ in range(5):
            request = urllib.request.Request(f"https://localhost:{server.https_port}/v1/tables", headers={"Authorization": "Bearer satchel_wrong"})
            try:
                urllib.request.urlopen(request, context=context, timeout=harness.PATIENCE_S)
            except urllib.error.HTTPError as e:
                self.assertEqual(e.code, 401)
        self.assertEqual(self.metric(server, "satchel_auth_failures_total"), 5)
        server.ctl("alert", "on", "auth-burst")
        harness.wait_until(lambda: server.ctl("alert", "list")["alerts"], "it is open")
        self.assertIn("(5)", server.ctl("alert", "list")["alerts"][0]["words"])

    def test_grafana_dashboard_asks_for_metrics_that_are_there(self):
        server = self.start()
        context = ssl.create_default_context(cafile=os.path.join(server.data, "ca.crt"))
        with urllib.request.urlopen(f"https://localhost:{server.https_port}/metrics", context=context, timeout=harness.PATIENCE_S) as answer:
            given = set(re.findall(r"^# TYPE (\S+)", answer.read().decode(), re.M))
        with open(os.path.join(harness.ROOT, "tools/grafana/satchel.json"), encoding="utf-8") as f:
            board = json.load(f)
        self.assertEqual((board["title"], board["uid"]), ("Satchel", "satchel"))
        ids, asked = set(), set()
        for panel in board["panels"]:
            self.assertNotIn(panel["id"], ids)
            ids.add(panel["id"])
            self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24)
            if panel["type"] == "row":
                continue
            self.assertTrue(panel["targets"], panel["title"])
            for target in panel["targets"]:
                names = set(re.findall(r"\b(?:satchel|process)_[a-z0-9_]+", target["expr"]))
                self.assertTrue(names, target["expr"])
                self.assertEqual(names - given, set(), panel["title"])
                asked |= names
        self.assertGreater(len(asked), 25)


if __name__ == "__main__":
    harness.main()
