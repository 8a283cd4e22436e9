"""Who gets in: enrolment codes, revoked devices, certificates of somebody else's authority."""
import os
import ssl
import subprocess

import harness
import wire


class Access(harness.Case):
    def refused(self, device, code, *words):
        done = device.run("enroll", "-", "--name", device.name, stdin=code + "\n", expect=1)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse(os.path.exists(os.path.join(device.identity, "cert.pem")))

    def test_access_wrong_code_refused_in_words(self):
        server = self.server()
        good = server.code("phone")
        phone = self.device("phone")
        self.refused(phone, "hello", "enrolment code")
        self.refused(phone, good[:-4], "enrolment code")
        # A code of another server: what answers here is not what it names.
        other = self.server("other")
        foreign = other.code("phone")
        other.stop()
        other.https_port, other.sync_port = 0, 0
        self.refused(phone, foreign, "")
        # The spent tries did not spend the code.
        phone.run("enroll", "-", "--name", "phone", stdin=good + "\n")
        phone.sync()

    def test_access_code_of_another_server_on_the_same_port_refused_by_its_pin(self):
        server = self.server()
        code = server.code("phone")
        server.stop()
        impostor = self.server("impostor", start=False)
        impostor.https_port = server.https_port
        impostor.start()
        self.refused(self.device("phone"), code, "E_PIN")

    def test_access_reused_code_refused_in_words(self):
        server = self.server()
        code = server.code("phone")
        self.device("phone").run("enroll", "-", "--name", "phone", stdin=code + "\n")
        self.refused(self.device("thief"), code, "used before", "E_ENROL_USED")
        self.assertIn("refused", server.read_log())
        self.assertEqual([d["name"] for d in server.ctl("device", "list")], ["phone"])

    def test_access_not_enrolled_told_plainly(self):
        phone = self.device("phone")
        self.refused(phone, "no code", "E_ENROL_CODE")
        self.assertIn("E_NOT_ENROLLED", phone.run("sync", expect=1).stderr)

    def test_access_revoked_device_told_plainly_and_its_work_stays_in_its_file(self):
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        watching = phone.start("sync", "--watch")
        harness.wait_until(lambda: phone.one("SELECT last_sync_ms FROM satchel_state") > 0, "the first sync")
        server.ctl("device", "revoke", "phone")
        self.assertEqual(watching.wait(harness.PATIENCE_S), 1)
        self.assertIn("revoked", phone.errors())
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        done = phone.run("sync", expect=1)
        self.assertIn("revoked", done.stderr)
        self.assertIn("E_REVOKED", done.stderr)
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 0)
        self.assertEqual(phone.status()["pending"], 1)
        self.assertEqual(server.ctl("device", "show", "phone")["state"], "revoked")
        other.sync()

    def test_access_expired_certificate_told_and_a_new_code_renews_it_with_its_work(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        phone.sql("INSERT INTO contact(id, given) VALUES(x'01', 'Ada')")
        server.stop()
        # Two years later, by everybody's clock.
        later = harness.with_clock("+730d")
        server.prefix = phone.prefix = later
        server.start()
        self.assertIn("E_EXPIRED", phone.run("sync", expect=1).stderr)
        code = subprocess.run([*later, harness.program("satchelctl"), "--data", server.data, "device", "add", "--profile", "full", "phone again"], check=True,
                              capture_output=True, text=True).stdout
        phone.run("enroll", "-", "--name", "phone", stdin=code)
        phone.sync()
        self.assertEqual(server.one("SELECT given FROM contact"), "Ada")
        self.assertEqual(server.one("SELECT count(*) FROM satchel_device"), 1, "the same key became another device")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def test_access_certificate_of_a_rogue_authority_refused(self):
        """The device's own key and name, signed by an authority that calls itself what the server's does."""
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        authority, key, leaf = self.path("rogue.pem"), self.path("rogue.key"), self.path("leaf.pem")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", authority,
                     "-days", "2", "-subj", "/CN=Satchel device authority")
        self.openssl("req", "-new", "-key", os.path.join(phone.identity, "key.pem"), "-subj", "/CN=phone", "-out", self.path("leaf.csr"))
        self.openssl("x509", "-req", "-in", self.path("leaf.csr"), "-CA", authority, "-CAkey", key, "-CAcreateserial", "-days", "2", "-out", leaf)
        with self.assertRaises((ssl.SSLError, wire.Closed, ConnectionError)):
            wire.Wire(server.sync_port, phone.identity, chain=(leaf, os.path.join(phone.identity, "key.pem")))
        harness.wait_until(lambda: "certificate" in server.read_log(), "a line in the log")
        os.rename(os.path.join(phone.identity, "cert.pem"), self.path("good.pem"))
        os.rename(leaf, os.path.join(phone.identity, "cert.pem"))
        self.assertIn("E_CERTIFICATE", phone.run("sync", expect=1).stderr)
        os.rename(self.path("good.pem"), os.path.join(phone.identity, "cert.pem"))
        phone.sync()

    def test_access_no_certificate_refused(self):
        server = self.server()
        phone = self.device("phone", server)
        with self.assertRaises((ssl.SSLError, wire.Closed, ConnectionError)):
            wire.Wire(server.sync_port, None, ca=os.path.join(phone.identity, "ca.pem"))

    def test_access_other_paths_and_subprotocols_of_the_sync_port_refused(self):
        server = self.server()
        phone = self.device("phone", server)
        for options in ({"path": "/"}, {"subprotocol": "satchel.v9"}):
            try:
                self.assertNotEqual(wire.Wire(server.sync_port, phone.identity, **options).status, 101)
            except (ssl.SSLError, wire.Closed, ConnectionError):
                pass
        phone.sync()

    def test_access_server_of_another_authority_refused_by_the_device(self):
        server = self.server()
        phone = self.device("phone", server)
        phone.sync()
        server.stop()
        impostor = self.server("impostor", start=False)
        impostor.sync_port = server.sync_port
        impostor.start()
        self.assertIn("E_CERTIFICATE", phone.run("sync", expect=1).stderr)


if __name__ == "__main__":
    harness.main()
