"""Running the server: settings from a file, SIGHUP, SIGTERM, certificates of the operator's, what systemd is told, what the log says."""
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import harness
import wire


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def https(port, ca=None):
    """A connection to the HTTPS port; without `ca` it takes whatever is shown."""
    context = ssl.create_default_context(cafile=ca)
    if not ca:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)


def shown(port):
    """The certificate that a new connection is shown."""
    plain = socket.create_connection(("127.0.0.1", port), 60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the sync port asks for a certificate after its own is seen
    try:
        with context.wrap_socket(plain) as s:
            return s.getpeercert(True)
    except ssl.SSLError:
        # Refused for want of a certificate; openssl s_client tells what was shown before that.
        text = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False).stdout
        return ssl.PEM_cert_to_DER_cert(re.search(r"-----BEGIN.*?END CERTIFICATE-----", text, re.DOTALL).group(0))


class Operation(harness.Case):
    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def satcheld(self, *options, expect):
        done = subprocess.run([harness.program("satcheld"), *options], capture_output=True, text=True, timeout=harness.PATIENCE_S, check=False)
        harness.check_output("satcheld", done.stderr)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stdout + done.stderr

    def hang_up(self, server, *words):
        """SIGHUP; waits for a line with all these words."""
        before = len(server.read_log())
        server.process.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: any(all(w in line for w in words) for line in server.read_log()[before:].splitlines()), f"a line with {words}")


class Settings(Operation):
    def test_settings_of_a_file_are_in_force_and_flags_override_them(self):
        conf = self.write("satcheld.conf", f"# ours\ndata = {self.path('server')}\nsync-port = 0\nhttps-port = 0\nhost = crm.example.test\nlog-format = json\n")
        text = self.satcheld("--config", conf, "--print-config", "--readers", "3", expect=0)
        for line in (f"data = {self.path('server')}", "host = crm.example.test", "readers = 3", "log-format = json", "history-days = 30"):
            self.assertIn(line + "\n", text)
        self.assertEqual(self.satcheld("--config", conf, "--check", expect=0), "")
        self.assertFalse(os.path.exists(self.path("server")), "--check made something")
        server = self.server(options=["--config", conf, "--log-level", "debug"])
        self.assertIn("crm.example.test", openssl("x509", "-in", os.path.join(server.data, "server.crt"), "-noout", "-ext", "subjectAltName"))
        self.assertEqual(self.satcheld("--config", conf, "--check", expect=0), "", "that it runs is no fault")
        for line in server.read_log().splitlines():
            json.loads(line)

    def test_settings_that_will_not_do_are_told_with_file_and_line(self):
        conf = self.write("bad.conf", f"data = {self.path('server')}\n\nsync-prot = 0\n")
        for options in ((), ("--check",)):
            self.assertIn(f"{conf}:3: there is no setting \"sync-prot\"", self.satcheld("--config", conf, *options, expect=1))
        self.assertFalse(os.path.exists(self.path("server")))
        self.assertIn("cannot be read", self.satcheld("--config", self.path("none.conf"), expect=1))
        self.assertIn("--sync-port takes a number", self.satcheld("--data", self.path("server"), "--sync-port", "x", expect=2))
        os.mkdir(self.path("foreign"))
        self.write("foreign/file", "")
        self.assertIn("holds no Satchel data", self.satcheld("--data", self.path("foreign"), "--check", expect=1))
        self.assertIn("--schema", self.satcheld("--data", self.path("server"), "--schema", self.path("nowhere"), "--check", expect=1))

    def test_settings_read_again_at_SIGHUP_change_the_log_and_name_what_needs_a_restart(self):
        conf = self.write("satcheld.conf", "log-level = info\n")
        server = self.server(options=["--config", conf])
        self.write("satcheld.conf", "log-level = debug\nlog-format = json\nhistory-days = 7\nreaders = 4\n")
        self.hang_up(server, '"event":"config"', "need a restart: history-days, readers")
        self.assertTrue(json.loads(server.read_log().splitlines()[-1]))
        self.write("satcheld.conf", "log-level = loud\n")
        self.hang_up(server, '"event":"config"', "stay as they were", ":1: log-level takes one of")
        server.ctl("status")
        harness.wait_until(lambda: '"level":"debug","event":"admin"' in server.read_log(), "the level to be what it was")


class Certificates(Operation):
    def test_certificate_replaced_at_SIGHUP_new_connections_see_it_old_ones_go_on(self):
        server = self.server()
        phone, tablet = self.device("phone", server), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        code = server.code("late")
        watching = phone.start("sync", "--watch")
        old = https(server.https_port)
        old.request("GET", "/healthz")
        self.assertEqual(old.getresponse().read() and old.sock is not None, True)
        before, kept = shown(server.https_port), old.sock
        self.assertEqual(shown(server.sync_port), before)
        # Without it, a new one of the same key is made: what also happens before it ends.
        os.unlink(os.path.join(server.data, "server.crt"))
        self.hang_up(server, "certificates were read again")
        after = shown(server.https_port)
        self.assertNotEqual(after, before)
        self.assertEqual(shown(server.sync_port), after)
        old.request("GET", "/healthz")
        self.assertEqual(old.getresponse().status, 200)
        self.assertIs(old.sock, kept, "the old connection was cut")
        self.assertEqual(old.sock.getpeercert(True), before)
        old.close()
        # One that ends soon is made again from the same key as well; the daily look does the same.
        def ours(name):
            return os.path.join(server.data, name)

        openssl("req", "-new", "-key", ours("server.key"), "-subj", "/CN=localhost", "-out", self.path("soon.csr"))
        openssl("x509", "-req", "-in", self.path("soon.csr"), "-CA", ours("ca.crt"), "-CAkey", ours("ca.key"), "-CAserial", self.path("serial"),
                "-CAcreateserial", "-days", "20", "-out", ours("server.crt"))
        self.hang_up(server, "made the server's certificate")
        self.assertNotIn(shown(server.sync_port), (before, after))
        openssl("x509", "-in", ours("server.crt"), "-noout", "-checkend", str(300 * 86400))
        # The device that is connected goes on, one that comes knows the server, and a code that was given out is good.
        tablet.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        tablet.sync()
        harness.wait_until(lambda: phone.one("SELECT count(*) FROM contact") == 1, "the change to come")
        self.assertIsNone(watching.poll(), phone.errors())
        self.device("late").run("enroll", "-", "--name", "late", stdin=code + "\n")

    def test_certificate_that_will_not_do_is_refused_in_words_and_the_old_one_stays(self):
        server = self.server()
        phone = self.device("phone", server)
        path, key = os.path.join(server.data, "server.crt"), os.path.join(server.data, "server.key")
        with open(path, encoding="utf-8") as f:
            good = f.read()
        before = shown(server.sync_port)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("x.key"), "-out", self.path("x.crt"),
                "-days", "90", "-subj", "/CN=x")
        openssl("req", "-x509", "-key", key, "-out", self.path("self.crt"), "-days", "90", "-subj", "/CN=localhost")
        with open(self.path("x.crt"), encoding="utf-8") as f:
            other = f.read()
        with open(self.path("self.crt"), encoding="utf-8") as f:
            foreign = f.read()
        for text, words in (("garbage", "not a certificate"), (other, "another key"), (foreign, "authority did not sign")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            self.hang_up(server, "stay as they were", words, "reason=E_CERTIFICATE")
            self.assertEqual(shown(server.sync_port), before)
            self.assertEqual(shown(server.https_port), before)
            phone.sync()
        with open(path, "w", encoding="utf-8") as f:
            f.write(good)
        self.hang_up(server, "certificates were read again")

    def operators(self, name, *newkey):
        """A leaf for 127.0.0.1 under an intermediate under a root, as a public authority would give it."""
        if not os.path.exists(self.path("root.crt")):
            openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("root.key"), "-out", self.path("root.crt"), "-days", "9",
                    "-subj", "/CN=root")
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("mid.key"), "-out", self.path("mid.csr"), "-subj", "/CN=mid")
            openssl("x509", "-req", "-in", self.path("mid.csr"), "-CA", self.path("root.crt"), "-CAkey", self.path("root.key"), "-CAcreateserial", "-days",
                    "8", "-extfile", self.write("mid.ext", "basicConstraints=CA:TRUE"), "-out", self.path("mid.crt"))
        key = self.path(name + ".key")
        openssl("req", "-new", *newkey, *(() if "-key" in newkey else ("-nodes", "-keyout", key)), "-out", self.path("leaf.csr"), "-subj", "/CN=leaf")
        openssl("x509", "-req", "-in", self.path("leaf.csr"), "-CA", self.path("mid.crt"), "-CAkey", self.path("mid.key"), "-CAcreateserial", "-days", "7",
                "-extfile", self.write("leaf.ext", "subjectAltName=IP:127.0.0.1,DNS:localhost"), "-out", self.path("leaf.crt"))
        chain = ""
        for part in ("leaf.crt", "mid.crt"):
            with open(self.path(part), encoding="utf-8") as f:
                chain += f.read()
        return self.write(name + ".crt", chain), key

    def test_certificate_of_the_operator_is_what_browsers_know_and_codes_pin(self):
        cert, key = self.operators("own", "-newkey", "rsa:2048")
        server = self.server(options=["--https-cert", cert, "--https-key", key])
        self.assertIn("ends at", server.read_log(), "nobody was reminded of its end")
        browser = https(server.https_port, ca=self.path("root.crt"))
        browser.request("GET", "/readyz")
        self.assertEqual(browser.getresponse().status, 200)
        browser.close()
        self.assertNotEqual(shown(server.https_port), shown(server.sync_port))
        phone = self.device("phone", server)
        phone.sync()
        # The same key in a new certificate: a code from before is good.
        code, before = server.code("tablet"), shown(server.https_port)
        self.operators("own", "-key", key)
        self.hang_up(server, "certificates were read again")
        self.assertNotEqual(shown(server.https_port), before)
        self.device("tablet").run("enroll", "-", "--name", "tablet", stdin=code + "\n")
        # Another key: what was given out before does not fit any more, which the log says, and new codes do.
        code = server.code("till")
        self.operators("own", "-newkey", "rsa:2048")
        self.hang_up(server, "shows another key")
        till = self.device("till")
        self.assertIn("E_PIN", till.run("enroll", "-", "--name", "till", stdin=code + "\n", expect=1).stderr)
        till.enroll(server)
        # Another kind of key would stand beside the old one.
        before = shown(server.https_port)
        self.operators("own", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        self.hang_up(server, "stay as they were", "another kind")
        self.assertEqual(shown(server.https_port), before)
        server.stop()
        server.start()
        self.assertNotEqual(shown(server.https_port), before)
        self.sync_all(phone, till)


class Ending(Operation):
    def test_SIGTERM_amid_a_push_what_was_acknowledged_is_kept_and_nothing_is_done_twice(self):
        server = self.server()
        proxy = self.proxy(server)
        phone, tablet = self.device("phone", server, proxy), self.device("tablet", server)
        self.sync_all(phone, tablet, rounds=1)
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada');\n" +
                  "".join(f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'{i:08x}', 'contact', x'01', hex(randomblob(1000)));\n"
                          for i in range(800)))
        proxy.delay_s = 0.1  # for five seconds or more
        pushing = phone.start("sync", "--watch")
        harness.wait_until(lambda: server.one("SELECT count(*) FROM note") > 0, "the push to begin")
        server.stop()
        proxy.delay_s = 0
        there = server.one("SELECT count(*) FROM note")
        self.assertLess(there, 800, "the push was over before the signal")
        self.assertIsNone(pushing.poll(), phone.errors())
        server.start()
        harness.wait_until(lambda: server.one("SELECT count(*) FROM note") == 800, "the rest")
        pushing.terminate()
        self.assertIn(pushing.wait(harness.PATIENCE_S), (0, -signal.SIGTERM))
        self.sync_all(phone, tablet)
        self.assert_same(server, phone, tablet)
        self.assert_sound(server, phone, tablet)

    def test_SIGTERM_tells_a_device_and_lets_a_request_end(self):
        server = self.server(options=["--drain-seconds", "60"])
        phone = self.device("phone", server)
        phone.sync()
        link = wire.Wire(server.sync_port, phone.identity)
        link.send(*server.hello())
        link.receive_type(wire.WELCOME)
        body = json.dumps({"secret": "AAAAAAAAAAAAAAAAAAAAAA", "csr": "none"})
        request = https(server.https_port)
        request.putrequest("POST", "/v1/enroll")
        request.putheader("Content-Length", str(len(body)))
        request.endheaders(body[:10].encode())
        # What came later on another connection is answered, so this has begun.
        other = https(server.https_port)
        other.request("GET", "/healthz")
        answer = other.getresponse()
        self.assertEqual((answer.status, bool(answer.read())), (200, True))
        server.process.send_signal(signal.SIGTERM)
        with self.assertRaises(wire.Closed) as closed:
            while True:
                link.receive()
        self.assertEqual(closed.exception.code, 1001, "a device was not told that the server goes away")
        link.close()
        time.sleep(0.5)  # a server that did not wait for the request would be gone by now
        other.request("GET", "/readyz")
        self.assertEqual(other.getresponse().status, 503, "it is ready for more")
        other.close()
        request.send(body[10:].encode())
        self.assertGreaterEqual(request.getresponse().status, 400)
        request.close()
        server.stop()
        self.assertRegex(server.read_log(), "warn /readyz was answered with 503: .*E_CLOSED.* event=http-error peer=127.0.0.1")

    def test_SIGTERM_does_not_wait_for_a_client_that_never_ends(self):
        server = self.server(options=["--drain-seconds", "1"])
        request = https(server.https_port)
        request.putrequest("POST", "/v1/enroll")
        request.putheader("Content-Length", "100")
        request.endheaders(b"{")
        server.stop()
        request.close()

    def test_systemd_is_told_of_start_reload_and_end(self):
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(self.path("notify"))
        told.settimeout(harness.PATIENCE_S)
        server = self.server(prefix=["env", "NOTIFY_SOCKET=" + self.path("notify")])
        self.assertEqual(told.recv(100), b"READY=1")
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual([told.recv(100), told.recv(100)], [b"RELOADING=1", b"READY=1"])
        server.stop()
        self.assertEqual(told.recv(100), b"STOPPING=1")
        told.close()


class Log(Operation):
    def test_log_as_json_has_one_line_with_fields_for_what_an_operator_asks_about(self):
        server = self.server(options=["--log-format", "json"])
        phone = self.device("phone", server)
        ahead = self.device("ahead", server)
        ahead.prefix = harness.with_clock("+1d")
        self.sync_all(phone, ahead, rounds=1)
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada');")
        phone.sql("INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'99', x'dead', 'email', 'a@b');")
        ahead.sql("INSERT INTO contact(id, given) VALUES(x'02', 'Bob');")
        self.sync_all(phone, ahead, rounds=1)
        number = server.ctl("rejected")[0]["number"]
        code = server.code("thief")
        thief = self.device("thief")
        thief.run("enroll", "-", "--name", "thief", stdin=code + "\n")
        self.device("second").run("enroll", "-", "--name", "second", stdin=code + "\n", expect=1)
        server.ctl("device", "revoke", "thief")
        server.ctl("device", "revoke", "nobody", expect=1)
        thief.run("sync", expect=1)
        lines = [json.loads(line) for line in server.read_log().splitlines()]

        def one(event, **fields):
            """The line of this event that has these fields."""
            found = [l for l in lines if l.get("event") == event and all(l.get(k) == v for k, v in fields.items())]
            self.assertEqual(len(found), 1, f"{event} {fields}: {found}")
            return found[0]

        self.assertTrue(one("refused", device="phone", txn=number, reason="E_FOREIGN_KEY")["text"])
        self.assertGreater(one("clamped", device="ahead")["txn"], 0)
        self.assertEqual(one("enrolled", device="thief")["peer"], "127.0.0.1")
        self.assertEqual(one("enrol-refused", reason="E_ENROL_USED")["peer"], "127.0.0.1")
        self.assertEqual(one("admin", text="device.revoke", device="thief")["level"], "info")
        one("admin", device="nobody", reason="E_NOT_FOUND", level="warn")
        one("closed", device="thief", reason="E_REVOKED")
        text = server.read_log()
        self.assertNotIn(code, text)
        self.assertFalse([l for l in lines if not {"time", "level", "text"} <= l.keys()])


if __name__ == "__main__":
    harness.main()
