"""A device's credentials: enrolled by a camera, renewed by themselves, changed, expired; the authority replaced under devices that come and go; and who may
read what lies on the disk."""
import hashlib
import json
import os
import re
import signal
import stat
import subprocess

import harness
import wire

KILL_AT = os.environ.get("SATCHEL_KILL_AT_SO")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


class Credentials(harness.Case):
    def ctl(self, server, *arguments):
        """satchelctl as a person sees it, on the server's clock."""
        done = subprocess.run([*server.prefix, harness.program("satchelctl"), "--data", server.data, *arguments], capture_output=True, text=True,
                              timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def file(self, device, name):
        with open(os.path.join(device.identity, name), encoding="ascii") as f:
            return f.read()

    def openssl(self, device, *arguments, name="cert.pem"):
        return subprocess.run(["openssl", "x509", "-in", os.path.join(device.identity, name), "-noout", *arguments], check=True,
                              capture_output=True, text=True).stdout.strip()

    def serial(self, device):
        return self.openssl(device, "-serial")

    def issuer(self, device):
        return self.openssl(device, "-issuer").split("=")[-1].strip()

    def csr(self, device, key="key.pem"):
        return subprocess.run(["openssl", "req", "-new", "-key", os.path.join(device.identity, key), "-subj", "/CN=phone"], check=True,
                              capture_output=True, text=True).stdout

    def post(self, port, path, body, device=None):
        """The answer's body, and its status behind it; 000 if there is none."""
        chain = ["--cert", f"{device.identity}/cert.pem", "--key", f"{device.identity}/key.pem"] if device else []
        return subprocess.run(["curl", "--silent", "--insecure", *chain, "--write-out", "%{http_code}", "--data", body,
                               f"https://127.0.0.1:{port}{path}"], capture_output=True, text=True).stdout

    def renew(self, server, device, csr):
        return self.post(server.sync_port, "/v1/renew", json.dumps({"csr": csr}), device)

    def later(self, server, days, *devices):
        """The server is started again and everybody's clock stands so many days ahead of today."""
        server.stop()
        server.prefix = harness.with_clock(f"+{days}d")
        for device in devices:
            device.prefix = server.prefix
        server.start()

    # ---- QR ----

    def scan(self, picture):
        done = subprocess.run(["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", picture], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def photograph(self, drawn):
        """The lines of half blocks as a camera would see them: a grey picture, PGM."""
        lines = [re.sub(r"\033\[[0-9;]*m", "", line) for line in drawn.splitlines() if "\033[38;5;16;48;5;231m" in line]
        rows = []
        for line in lines:
            rows.append([c in "\u2580\u2588" for c in line])
            rows.append([c in "\u2584\u2588" for c in line])
        self.assertEqual({len(r) for r in rows}, {len(rows[0])}, "not a rectangle")
        self.assertFalse(any(rows[0] + rows[1] + rows[2] + rows[3]), "no quiet zone")
        path, scale = self.path("screen.pgm"), 6
        with open(path, "wb") as f:
            f.write(b"P5 %d %d 255\n" % (len(rows[0]) * scale, len(rows) * scale))
            for row in rows:
                f.write(b"".join(bytes([0 if dark else 255]) * scale for dark in row) * scale)
        return path

    def test_enrol_by_the_qr_code_of_the_terminal_and_of_the_drawing(self):
        server = self.server()
        svg = self.path("code.svg")
        done = self.ctl(server, "device", "add", "--profile", "full", "phone", "--qr", "--qr-svg", svg)
        code = done.stdout.strip()
        self.assertTrue(code.startswith("satchel1."))
        self.assertEqual(self.scan(self.photograph(done.stderr)), code)
        self.assertEqual(mode(svg), 0o600)
        subprocess.run(["rsvg-convert", svg, "-o", self.path("code.png")], check=True)
        read = self.scan(self.path("code.png"))
        phone = self.device("phone")
        phone.run("enroll", "-", "--name", "phone", stdin=read + "\n")
        phone.sync()
        # What is there is not written over.
        again = subprocess.run([harness.program("satchelctl"), "--data", server.data, "device", "add", "--profile", "full", "other", "--qr-svg", svg], capture_output=True,
                               text=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn("File exists", again.stderr)

    # ---- renewal ----

    def test_certificate_renews_itself_in_its_last_third_and_not_before(self):
        server = self.server(options=["--certificate-days", "90"])
        phone = self.device("phone", server)
        phone.sync()
        first, key = self.serial(phone), self.file(phone, "key.pem")
        self.later(server, 50, phone)
        phone.sync()
        self.assertEqual(self.serial(phone), first, "renewed too early")
        self.later(server, 65, phone)
        phone.sync()
        second = self.serial(phone)
        self.assertNotEqual(second, first)
        self.assertEqual(self.file(phone, "key.pem"), key)
        self.assertIn("renewed", server.read_log())
        # Past the end of the first one, and in the middle of the second one.
        self.later(server, 100, phone)
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        phone.sync()
        self.assertEqual(self.serial(phone), second)
        self.assertEqual(server.one("SELECT count(*) FROM satchel_device"), 1)
        self.assertEqual(server.one("SELECT given FROM contact"), "Ada")

    def test_connected_device_renews_without_anybody_asking(self):
        server = self.server(options=["--certificate-days", "90"])
        phone = self.device("phone", server)
        phone.sync()
        first = self.serial(phone)
        self.later(server, 65, phone)
        watching = phone.start("sync", "--watch")
        harness.wait_until(lambda: self.serial(phone) != first, "another certificate")
        server.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada');")
        harness.wait_until(lambda: phone.one("SELECT count(*) FROM contact") == 1, "the page after it")
        watching.terminate()
        watching.wait(harness.PATIENCE_S)

    def test_device_that_never_comes_in_step_renews_all_the_same(self):
        """Its link breaks whenever more comes than a handshake and a certificate need, and there is more."""
        server = self.server(options=["--certificate-days", "90"])
        proxy = self.proxy(server)
        phone = self.device("phone", server, proxy)
        phone.sync()
        first = self.serial(phone)
        self.later(server, 65, phone)
        server.sql(f"INSERT INTO contact(id, given, family) VALUES(x'01', 'Ada', '{os.urandom(30000).hex()}')")
        proxy.cut_after(16000)
        watching = phone.start("sync", "--watch")
        harness.wait_until(lambda: self.serial(phone) != first, "another certificate")
        harness.wait_until(lambda: proxy.cuts > 1, "a connection that broke")
        watching.terminate()
        watching.wait(harness.PATIENCE_S)
        self.assertEqual(phone.one("SELECT count(*) FROM contact"), 0)
        proxy.heal()
        phone.sync()
        self.assertEqual(phone.one("SELECT given FROM contact"), "Ada")

    def test_expired_certificate_told_what_to_do_and_the_outbox_stays(self):
        server = self.server(options=["--certificate-days", "10"])
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada'); INSERT INTO contact(id, given) VALUES(x'02', 'Bo')")
        key, device = self.file(phone, "key.pem"), phone.status()["device"]
        before = phone.read("SELECT n, hex(id), stamp, hex(changes) FROM satchel_outbox ORDER BY n")
        self.later(server, 11, phone)
        done = phone.run("sync", expect=1)
        self.assertIn("E_EXPIRED", done.stderr)
        self.assertIn("this device's certificate has expired; enrol again", done.stderr)
        self.assertEqual(phone.status()["pending"], 2)
        code = self.ctl(server, "device", "add", "--profile", "full", "phone again").stdout
        phone.run("enroll", "-", "--name", "phone", stdin=code)
        self.assertEqual(phone.read("SELECT n, hex(id), stamp, hex(changes) FROM satchel_outbox ORDER BY n"), before)
        self.assertEqual((self.file(phone, "key.pem"), phone.status()["device"]), (key, device))
        phone.sync()
        self.assertEqual(server.read("SELECT given FROM contact ORDER BY id"), [("Ada",), ("Bo",)])
        self.assertEqual(server.read("SELECT name, state FROM satchel_device"), [("phone", 1)])

    def test_expired_certificate_of_a_device_to_be_wiped_opens_for_that_alone(self):
        server = self.server(options=["--certificate-days", "10"])
        lost, found, late = (self.device(name, server) for name in ("lost", "found", "late"))
        for device in (lost, found, late):
            device.sync()
            device.sql(f"INSERT INTO contact(id, given) VALUES(x'0{len(device.name)}', 'secret')")
        server.ctl("device", "wipe", "lost")
        server.ctl("device", "revoke", "found")
        self.later(server, 11, lost, found, late)
        for device in (found, late):
            self.assertIn("E_EXPIRED", device.run("sync", expect=1).stderr)
        self.assertIn("E_WIPED", self.renew(server, lost, self.csr(lost)))
        self.assertIn("E_WIPED", lost.run("sync", expect=1).stderr)
        self.assertFalse(os.path.exists(lost.path) or os.path.exists(os.path.join(lost.identity, "key.pem")))
        self.assertEqual(server.ctl("device", "show", "lost")["state"], "wiped")
        # Ordered of a server that runs.
        server.ctl("device", "wipe", "found")
        self.assertIn("E_WIPED", found.run("sync", expect=1).stderr)
        self.assertEqual(server.ctl("device", "show", "found")["state"], "wiped")
        self.assertIn("E_EXPIRED", late.run("sync", expect=1).stderr)
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 0)
        self.devices = [d for d in self.devices if d is late]

    # ---- rotation of a device's key ----

    def test_rotate_key_changes_the_key_and_ends_the_old_one(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        stolen = phone.copy("stolen")
        before = phone.status()["device"]
        phone.run("rotate-key")
        after = phone.status()["device"]
        self.assertNotEqual(after, before)
        self.assertFalse(os.path.exists(os.path.join(phone.identity, "key-next.pem")))
        self.assertEqual(server.ctl("device", "show", "phone")["fingerprint"], after)
        self.assertEqual(server.read("SELECT next_fingerprint, kind FROM satchel_device d JOIN satchel_event e ON e.device = d.id"), [(None, "rekeyed")])
        self.assertIn("E_CERTIFICATE", stolen.run("sync", expect=1).stderr)
        phone.sync()
        self.assertEqual(server.one("SELECT count(*) FROM satchel_device"), 1)
        self.assertEqual(server.one("SELECT given FROM contact"), "Ada")
        self.devices.clear()  # the stolen copy's file is none of ours

    def test_rotate_key_ends_the_open_connections_of_who_has_the_old_one(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        thief = phone.copy("thief")
        watching = thief.start("sync", "--watch")
        harness.wait_until(lambda: server.ctl("status")["since_start"]["sessions"] == 1, "the thief")
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        phone.sync()
        harness.wait_until(lambda: thief.one("SELECT count(*) FROM contact"), "what the thief still gets")
        phone.run("rotate-key")
        phone.sync()
        server.sql("INSERT INTO contact(id, given) VALUES(x'02', 'Charles')")
        phone.sync()
        harness.wait_until(lambda: "E_CERTIFICATE" in server.read_log(), "the end of his connection")
        watching.terminate()
        watching.wait(harness.PATIENCE_S)
        self.assertEqual(thief.one("SELECT count(*) FROM contact"), 1)

    def test_rotate_key_offline_is_made_up_for_at_the_next_sync(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        before = phone.status()["device"]
        server.stop()
        self.assertIn("next sync", phone.run("rotate-key", "--timeout", 1, expect=1).stderr)
        self.assertEqual(phone.status()["device"], before)
        key = self.file(phone, "key-next.pem")
        server.start()
        phone.sync()
        self.assertNotEqual(phone.status()["device"], before)
        self.assertEqual(self.file(phone, "key.pem"), key)

    def test_rotate_key_whose_answer_is_lost_locks_nobody_out(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        before = phone.status()["device"]
        server.stop()
        phone.run("rotate-key", "--timeout", 1, expect=1)
        server.start()
        # The request as the device makes it; nobody hears the answer.
        self.assertTrue(self.renew(server, phone, self.csr(phone, "key-next.pem")).endswith("200"))
        self.assertEqual(server.read("SELECT lower(hex(fingerprint)), next_fingerprint IS NULL FROM satchel_device"), [(before, 0)])
        self.assertNotIn("rekeyed", server.read_log())
        # It comes by the old key, asks once more, and then by the new one.
        phone.sync()
        self.assertNotEqual(phone.status()["device"], before)
        self.assertEqual(server.read("SELECT lower(hex(fingerprint)), next_fingerprint IS NULL FROM satchel_device"), [(phone.status()["device"], 1)])

    def test_rotate_key_killed_between_certificate_and_key_goes_on(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        old = self.file(phone, "key.pem")
        phone.run("rotate-key")
        new = self.file(phone, "key.pem")
        # As a crash leaves it: the new certificate is here, its key still has its other name.
        os.rename(os.path.join(phone.identity, "key.pem"), os.path.join(phone.identity, "key-next.pem"))
        with open(os.open(os.path.join(phone.identity, "key.pem"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(old)
        phone.sync()
        self.assertEqual(self.file(phone, "key.pem"), new)
        self.assertFalse(os.path.exists(os.path.join(phone.identity, "key-next.pem")))

    # ---- a new key by the admin's order ----

    def ordered(self, server):
        return server.ctl("device", "show", "phone")["rotate_key_ms"]

    def assert_rotated(self, server, device, before):
        """The order has ended, and the old key with it."""
        now = device.status()["device"]
        self.assertNotEqual(now, before)
        self.assertEqual(self.openssl_key(device), now)
        self.assertFalse(os.path.exists(os.path.join(device.identity, "key-next.pem")))
        self.assertEqual(server.read("SELECT lower(hex(fingerprint)), next_fingerprint, rotate_key_ms FROM satchel_device WHERE name = 'phone'"), [(now, None, 0)])
        self.assertIsNone(self.ordered(server))
        return now

    def openssl_key(self, device):
        """The fingerprint of the key that lies in the identity directory."""
        der = subprocess.run(["openssl", "pkey", "-in", os.path.join(device.identity, "key.pem"), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        return hashlib.sha256(der).hexdigest()

    def test_ordered_key_is_made_at_the_next_sync_of_a_device_that_was_away(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        before = phone.status()["device"]
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        thief = phone.copy("thief")
        self.assertIsNone(self.ordered(server))
        told = self.ctl(server, "device", "rotate-key", "phone").stdout
        self.assertIn("phone makes a new key when it next comes", told)
        self.assertIsNotNone(self.ordered(server))
        self.assertRegex(self.ctl(server, "device", "show", "phone").stdout, r"new key ordered +20[0-9]{2}-")
        server.stop()
        server.start()
        self.assertIsNotNone(self.ordered(server))
        phone.sync()
        after = self.assert_rotated(server, phone, before)
        self.assertEqual(phone.status()["pending"], 0)
        self.assertEqual(server.read("SELECT given FROM contact"), [("Ada",)])
        self.assertEqual(server.read("SELECT kind FROM satchel_event WHERE device = 1 ORDER BY id"), [("rotate-key",), ("rekeyed",)])
        self.assertEqual(server.read("SELECT actor <> '', rc FROM satchel_audit WHERE action = 'device.rotate_key'"), [(1, 0)])
        # Once for each order, and the old key is nobody's.
        phone.sync()
        self.assertEqual(phone.status()["device"], after)
        self.assertIn("E_CERTIFICATE", thief.run("sync", expect=1).stderr)

    def test_ordered_key_is_made_at_once_by_a_connected_device_which_compares_its_rows_all_the_same(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        before = phone.status()["device"]
        watching = phone.start("sync", "--watch")
        harness.wait_until(lambda: server.ctl("status")["since_start"]["sessions"], "the phone to connect")
        server.ctl("device", "verify", "phone")
        server.ctl("device", "rotate-key", "phone")
        harness.wait_until(lambda: self.ordered(server) is None, "the new key")
        harness.wait_until(lambda: server.ctl("device", "show", "phone")["verify_ms"] is None, "the comparison")
        server.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada');")
        harness.wait_until(lambda: phone.one("SELECT count(*) FROM contact") == 1, "the page after it")
        watching.terminate()
        watching.wait(harness.PATIENCE_S)
        self.assert_rotated(server, phone, before)

    def test_ordered_key_of_a_paused_device_stands_until_it_is_resumed(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        before = phone.status()["device"]
        server.ctl("device", "pause", "phone")
        server.ctl("device", "rotate-key", "phone")
        phone.sync_in_vain("has paused this device")
        self.assertIsNotNone(self.ordered(server))
        server.ctl("device", "resume", "phone")
        phone.sync()
        self.assert_rotated(server, phone, before)

    def test_ordered_key_is_passed_over_by_a_device_that_is_older_than_this_and_the_order_stays(self):
        server = self.server()
        phone = self.device("phone", server)
        before = self.openssl_key(phone)
        server.ctl("device", "rotate-key", "phone")
        for _ in range(2):
            # It speaks the protocol, and knows nothing of the header.
            old = wire.Wire(server.sync_port, phone.identity)
            self.assertIn("satchel-orders: rotate-key\r\n", old.answer + "\r\n")
            old.send(*wire.hello(schema_hash=hashlib.sha256(b"").digest()[:8]))
            self.assertEqual(old.receive()[0], wire.WELCOME)
            old.close()
            # Its certificate may be renewed meanwhile: of the key that it has.
            self.assertTrue(self.renew(server, phone, self.csr(phone)).endswith("200"))
            self.assertIsNotNone(self.ordered(server))
        phone.sync()
        self.assert_rotated(server, phone, before)

    def test_ordered_key_killed_before_each_change_of_files_it_is_made_and_the_outbox_is_kept(self):
        # It connects more often than one may.
        server = self.server(options=["--device-connects", "0"])
        phone = self.device("phone", server)
        phone.sync()
        n, killed = 0, True
        while killed:
            n += 1
            before = phone.status()["device"]
            phone.sql(f"INSERT INTO contact(id, given) VALUES(x'{n:04x}', 'number {n}')")
            server.ctl("device", "rotate-key", "phone")
            phone.prefix = harness.preloaded(f"SATCHEL_KILL_AT={n}", "LD_PRELOAD=" + KILL_AT)
            done = phone.run("sync", expect=None)
            phone.prefix = []
            self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
            killed = done.returncode != 0
            if killed:
                self.assertEqual(phone.one("SELECT count(*) FROM contact"), n)
                phone.sync()
            self.assert_rotated(server, phone, before)
            self.assertEqual(server.one("SELECT count(*) FROM contact"), n)
        self.assertGreater(n, 10)
        self.assertEqual(server.one("SELECT count(*) FROM satchel_device"), 1)
        self.assertEqual(server.one("SELECT count(*) FROM satchel_author"), 1)

    # ---- the authority ----

    def test_authority_rotates_under_devices_that_are_there_and_one_that_comes_late(self):
        server = self.server()
        phone, drawer, new = self.device("phone", server), self.device("drawer", server), self.device("new")
        self.sync_all(phone, drawer, rounds=1)
        old = self.issuer(phone)
        self.assertIsNone(server.ctl("ca", "status")["next"])
        server.ctl("ca", "rotate")
        self.assertIn("E_KEY_TAKEN", server.ctl("ca", "rotate", expect=1))
        status = server.ctl("ca", "status")
        self.assertEqual([d["name"] for d in status["devices"]], ["drawer", "phone"])
        # The first sync brings phone the new one; new is enrolled under both.
        phone.sync()
        self.assertNotEqual(self.issuer(phone), old)
        self.assertEqual(self.file(phone, "ca.pem").count("BEGIN CERTIFICATE"), 2)
        new.enroll(server).sync()
        self.assertEqual(self.issuer(new), self.issuer(phone))
        harness.wait_until(lambda: server.ctl("ca", "status")["lacking"] == 1, "phone and new to have shown what they trust")
        # A device that was away keeps the old authority alive, over a restart and by its name.
        refusal = server.ctl("ca", "retire", expect=1)
        self.assertIn("drawer", refusal)
        self.assertIn("--force", refusal)
        server.stop()
        server.start()
        drawer.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        drawer.sync()
        harness.wait_until(lambda: server.ctl("ca", "status")["lacking"] == 0, "drawer to have shown what it trusts")
        self.assertIn("ca retire", self.ctl(server, "ca", "status").stdout)
        server.ctl("ca", "retire")
        self.assertEqual(server.ctl("ca", "status")["authority"]["name"], self.issuer(phone))
        self.sync_all(phone, drawer, new, rounds=1)
        # Each forgets the old one at its next renewal, which the server asks for.
        self.assertEqual({self.file(d, "ca.pem").count("BEGIN CERTIFICATE") for d in (phone, drawer, new)}, {1})
        self.assertEqual(sorted(n for n in os.listdir(server.data) if n.startswith("ca")), ["ca.crt", "ca.key"])
        server.stop()
        server.start()
        self.sync_all(phone, drawer, new)
        self.assert_same(server, phone, drawer, new)

    def test_authority_that_was_ended_by_force_opens_to_nobody_any_more(self):
        server = self.server()
        phone, late = self.device("phone", server), self.device("late", server)
        self.sync_all(phone, late, rounds=1)
        server.ctl("ca", "rotate")
        phone.sync()
        late.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        server.ctl("ca", "retire", "--force")
        phone.sync()
        self.assertIn("E_CERTIFICATE", late.run("sync", expect=1).stderr)
        # Its way back, with its work.
        late.run("enroll", "-", "--name", "late", stdin=server.code("late again") + "\n")
        late.sync()
        self.assertEqual(server.one("SELECT given FROM contact"), "Ada")
        self.assertIn("E_NOT_FOUND", server.ctl("ca", "retire", expect=1))

    def test_authority_that_the_server_has_not_taken_up_does_not_take_over(self):
        """Its files are there, but no device has been given it: an end of the old one would lock everybody out."""
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        server.stop()
        cert, key = self.path("own.crt"), self.path("own.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                        "-subj", "/CN=localhost"], check=True, capture_output=True)
        server.options += ["--https-cert", cert, "--https-key", key]
        server.start()
        os.rename(cert, cert + ".away")
        # The admin is told, and what to do.
        refusal = server.ctl("ca", "rotate", expect=1)
        self.assertIn("E_CERTIFICATE", refusal)
        self.assertIn("own.crt", refusal)
        self.assertIn("SIGHUP", refusal)
        self.assertIn("E_NOT_FOUND", server.ctl("ca", "retire", expect=1))
        self.assertIn("E_NOT_FOUND", server.ctl("ca", "retire", "--force", expect=1))
        os.rename(cert + ".away", cert)
        server.stop()
        server.start()
        phone.sync()
        harness.wait_until(lambda: server.ctl("ca", "status")["lacking"] == 0, "phone to have shown what it trusts")
        server.ctl("ca", "retire")
        phone.sync()

    def test_authority_is_not_ended_before_a_device_that_is_to_be_wiped_has_come(self):
        """It would not find its server any more, and keep its data."""
        server = self.server()
        lost = self.device("lost", server)
        lost.sync()
        server.ctl("device", "wipe", "lost")
        server.ctl("ca", "rotate")
        self.assertIn("lost", server.ctl("ca", "retire", expect=1))
        self.assertIn("E_WIPED", lost.run("sync", expect=1).stderr)
        self.assertFalse(os.path.exists(lost.path))
        self.devices.clear()
        server.ctl("ca", "retire")

    def test_authority_that_was_ended_is_not_outlived_by_a_tls_session(self):
        server = self.server()
        proxy = self.proxy(server)
        late = self.device("late", server, proxy)
        watching = late.start("sync", "--watch")
        harness.wait_until(lambda: late.one("SELECT last_sync_ms FROM satchel_state") > 0, "the first sync")
        # A second connection resumes the session of the first one. It has come before the new authority: else it would be given a certificate of that one.
        synced = late.one("SELECT last_sync_ms FROM satchel_state")
        proxy.break_links()
        harness.wait_until(lambda: late.one("SELECT last_sync_ms FROM satchel_state") > synced, "it to come again")
        server.ctl("ca", "rotate")
        server.ctl("ca", "retire", "--force")
        proxy.break_links()
        self.assertEqual(watching.wait(harness.PATIENCE_S), 1)
        self.assertIn("E_CERTIFICATE", late.errors())

    def test_authority_retired_by_a_server_that_was_killed_in_it_is_retired_at_the_next_start(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        server.ctl("ca", "rotate")
        phone.sync()
        server.stop()
        # The new key has taken the old one's place, and nothing else has happened yet.
        data = lambda name: os.path.join(server.data, name)
        with open(data("ca-next.key"), "rb") as f, open(data("ca.key"), "wb") as to:
            to.write(f.read())
        server.start()
        self.assertFalse(os.path.exists(data("ca-next.key")) or os.path.exists(data("ca-next.crt")))
        phone.sync()

    # ---- permissions ----

    def test_what_lies_on_the_disk_is_its_owners_alone_whatever_the_umask(self):
        old = os.umask(0)
        try:
            server = self.server()
            phone = self.device("phone", server)
            phone.sync()
            phone.run("rotate-key")
            server.ctl("ca", "rotate")
            server.ctl("ca", "retire", "--force")
        finally:
            os.umask(old)
        for directory in (server.data, phone.identity):
            self.assertEqual(mode(directory), 0o700, directory)
            for name in os.listdir(directory):
                if not stat.S_ISSOCK(os.stat(os.path.join(directory, name)).st_mode):
                    self.assertEqual(mode(os.path.join(directory, name)) & 0o077, 0, f"{directory}/{name}")

    def test_key_that_others_can_read_is_refused_in_words(self):
        server = self.server()
        phone = self.device("phone", server)
        os.chmod(os.path.join(phone.identity, "key.pem"), 0o640)
        done = phone.run("sync", expect=1)
        self.assertIn("others can read the key", done.stderr)
        self.assertIn("chmod 600", done.stderr)
        os.chmod(os.path.join(phone.identity, "key.pem"), 0o600)
        phone.sync()
        server.stop()
        os.chmod(os.path.join(server.data, "ca.key"), 0o644)
        self.assertIn("other users may read this key", server.start(expect_failure=True).stderr)
        os.chmod(os.path.join(server.data, "ca.key"), 0o600)
        os.chmod(server.data, 0o770)
        self.assertIn("chmod 700", server.start(expect_failure=True).stderr)
        os.chmod(server.data, 0o700)
        server.start()

    def test_renewal_is_of_the_device_that_asks_and_of_nobody_else(self):
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        csr = self.csr(other)
        # Without a certificate there is no connection, and on the HTTPS port no such path but for who has a token.
        self.assertEqual(self.renew(server, None, csr), "000")
        self.assertEqual(self.post(server.sync_port, "/v1/leave", "{}"), "000")
        self.assertFalse(self.post(server.https_port, "/v1/renew", json.dumps({"csr": csr}), phone).endswith("200"))
        self.assertFalse(self.post(server.https_port, "/v1/leave", "{}", phone).endswith("200"))
        # Another device's key, no request, too much, and what is not there.
        refused = self.renew(server, phone, csr)
        self.assertIn("E_CERTIFICATE", refused)
        self.assertTrue(refused.endswith("400"), refused)
        self.assertTrue(self.post(server.sync_port, "/v1/renew", "{}", phone).endswith("400"))
        self.assertTrue(self.post(server.sync_port, "/v1/renew", "{" + " " * 70000, phone).endswith("413"))
        for path in ("/metrics", "/v1/enroll", "/v1/tables", "/../store.db"):
            self.assertTrue(self.post(server.sync_port, path, "{}", phone).endswith("404"), path)
        self.assertTrue(self.renew(server, other, csr).endswith("200"))
        server.ctl("device", "revoke", "other")
        refused = self.renew(server, other, csr)
        self.assertIn("E_REVOKED", refused)
        self.assertTrue(refused.endswith("403"), refused)
        self.assertIn("renew-refused", server.read_log())
        phone.sync()
        self.assertEqual(server.read("SELECT name FROM satchel_device WHERE state = 1"), [("phone",)])


if __name__ == "__main__":
    harness.main()
