"""The attack list: an independent client tries to get in, to be somebody else, and to break what it talks to. attackers.py says what holds after each."""
import base64
import contextlib
import itertools
import json
import os
import ssl
import struct
import subprocess
import threading
import time
import warnings

import harness
import wire
from attackers import LAST_NUMBER, TLS_ENDS, Attack, name_of

import zstandard  # noqa: E402
from client import enrol  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

GUESSES = 10000
SUMS, REPAIR = 13, 14
SQL = "x'); DELETE FROM contact; DROP TABLE contact; --\" OR 1=1; ATTACH '/tmp/x' AS y; \n2026-01-01T00:00:00.000Z error forged\x7f"


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def public_key(certificate):
    """Of a certificate's file."""
    with open(certificate, "rb") as f:
        return x509.load_pem_x509_certificate(f.read()).public_key()


class Enrolment(Attack):
    def request(self, code, key=None, name="thief", csr=None, **more):
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(enrol.NameOID.COMMON_NAME, name)])
        csr = csr or x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        secret = base64.urlsafe_b64encode(code["secret"]).rstrip(b"=").decode()
        return json.dumps({"secret": secret, "name": name, "csr": pem(csr).decode(), **more})

    def post(self, body, link=None, path="/v1/enroll"):
        link = link or self.https()
        link.request("POST", path, body, {"Content-Type": "application/json"})
        response = link.getresponse()
        return response, json.loads(response.read())

    def devices(self):
        return sorted(d["name"] for d in self.srv.ctl("device", "list"))

    def test_replayed_enrolment_with_another_key_refused(self):
        code = enrol.read_code(self.srv.code("replayed"))
        body = self.request(code)
        first, given = self.post(body)
        self.assertEqual(first.status, 200)
        before = self.devices()
        # Word by word it gives the certificate again, which is of no use without the key.
        again, same = self.post(body)
        self.assertEqual((again.status, same["device"]), (200, given["device"]))
        stolen, answer = self.post(self.request(code))
        self.assertEqual((stolen.status, answer["code"]), (403, "E_ENROL_USED"))
        self.logged("event=enrol-refused", "reason=E_ENROL_USED", "peer=127.0.0.1")
        self.assertEqual(self.devices(), before)

    def test_certificate_request_for_the_key_of_another_device_refused(self):
        """The thief has the victim's certificate, which is no secret, but not its key."""
        code = enrol.read_code(self.srv.code("impostor"))
        victim = public_key(os.path.join(self.good.identity, "cert.pem"))
        mine = ec.generate_private_key(ec.SECP256R1())
        spki = [k.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) for k in (mine.public_key(), victim)]
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(mine, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        forged = x509.load_der_x509_csr(csr.replace(*spki))
        refused, answer = self.post(self.request(code, csr=forged))
        self.assertEqual(refused.status, 400)
        self.assertIn(answer["code"], ("E_CERTIFICATE", "E_MALFORMED"))
        self.logged("event=(enrol|http)-refused", "peer=127.0.0.1")

    def test_name_and_subject_of_another_device_give_nothing(self):
        code = enrol.read_code(self.srv.code("somebody"))
        taken, answer = self.post(self.request(code, name="good", software="good"))
        self.assertEqual((taken.status, answer["device"]), (200, "somebody"))
        self.assertEqual(self.devices().count("good"), 1)
        self.logged("event=enrolled", "device=somebody")

    def test_ten_thousand_guesses_of_a_code_rate_limited(self):
        code = dict(enrol.read_code(self.srv.code("guessed")))
        statuses, link = {}, self.https(source="127.0.0.9")
        key = ec.generate_private_key(ec.SECP256R1())
        before = self.devices()
        body = self.request(code, key)
        right = base64.urlsafe_b64encode(code["secret"]).rstrip(b"=").decode()

        def guess(number):
            wrong = base64.urlsafe_b64encode(struct.pack(">QQ", number, number)).rstrip(b"=").decode()
            response, _ = self.post(body.replace(right, wrong), link)
            self.assertEqual(response.status == 429, "Retry-After" in response.headers)
            return response

        began = time.monotonic()
        for number in range(GUESSES):
            status = guess(number).status
            statuses[status] = statuses.get(status, 0) + 1
        # Ten wrong ones a minute.
        self.assertLessEqual(statuses[403], 10 * (1 + int((time.monotonic() - began) / 60)), statuses)
        self.assertEqual(statuses[403] + statuses[429], GUESSES, statuses)
        self.logged("event=enrol-refused", "reason=E_ENROL_CODE", "peer=127.0.0.9")
        self.logged("event=http-refused", "peer=127.0.0.9", "429")
        self.assertEqual(self.devices(), before)
        # From the same address not even the right one is looked at, in a minute that is not about to end; whose it is comes from elsewhere, and is let in.
        harness.wait_until(lambda: int(guess(GUESSES).headers.get("Retry-After", 0)) > 15, "a minute that has just begun")
        self.assertEqual(self.post(body, link)[0].status, 429)
        self.assertEqual(self.post(body)[0].status, 200)

    def test_sql_in_the_names_of_an_enrolment_is_text(self):
        name = SQL[:100]
        tables = self.srv.read("SELECT * FROM sqlite_schema")
        self.assertIn("E_MISUSE", self.srv.ctl("device", "add", name, expect=1))
        code = enrol.read_code(self.srv.code("plain'); DROP TABLE satchel_device; --"))
        done, answer = self.post(self.request(code, name="x'; DROP TABLE contact", software=SQL))
        self.assertEqual((done.status, answer["device"]), (200, "plain'); DROP TABLE satchel_device; --"))
        refused, answer = self.post(self.request({"secret": b"'; DELETE FROM -- "[:16]}))
        self.assertEqual((refused.status, answer["code"]), (403, "E_ENROL_CODE"))
        self.logged("event=enrolled", "DROP TABLE satchel_device")
        self.assertEqual(self.srv.read("SELECT * FROM sqlite_schema"), tables)


class Certificates(Attack):
    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def path(self, name):
        return self.world.path(name)

    def leaf(self, name, authority, key, *options, subject="/CN=evil"):
        """A certificate of the evil device's own key, signed by somebody."""
        request, leaf = self.path(name + ".csr"), self.path(name + ".pem")
        self.openssl("req", "-new", "-key", os.path.join(self.evil.identity, "key.pem"), "-subj", subject, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", key, "-set_serial", "77", "-out", leaf, *options)
        return leaf

    def chain_refused(self, leaf, *log):
        self.no_way_in("event=certificate-refused", "reason=E_CERTIFICATE", "peer=127.0.0.1", *log, identity=self.evil.identity,
                       chain=(leaf, os.path.join(self.evil.identity, "key.pem")))

    def test_certificate_of_a_foreign_authority_refused(self):
        authority, key = self.path("foreign.pem"), self.path("foreign.key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", authority,
                     "-days", "2", "-subj", "/CN=Satchel device authority")
        self.chain_refused(self.leaf("foreign-leaf", authority, key, "-days", "2"))

    def test_certificate_signed_by_itself_refused(self):
        leaf = self.path("self.pem")
        self.openssl("req", "-x509", "-key", os.path.join(self.evil.identity, "key.pem"), "-out", leaf, "-days", "2", "-subj", "/CN=good")
        self.chain_refused(leaf, "self.signed")

    def test_certificate_signed_by_a_device_refused(self):
        """Its own good certificate as an authority for others."""
        own = [os.path.join(self.evil.identity, name) for name in ("cert.pem", "key.pem")]
        leaf = self.leaf("below", *own, "-days", "2", subject="/CN=good")
        with open(leaf, "a", encoding="ascii") as to, open(own[0], encoding="ascii") as issuer:
            to.write(issuer.read())
        self.chain_refused(leaf)

    def test_certificate_expired_refused(self):
        """Signed by the right authority, of the right key, and over since yesterday."""
        ca = [os.path.join(self.srv.data, name) for name in ("ca.crt", "ca.key")]
        self.chain_refused(self.leaf("expired", *ca, "-days", "-1"), "expired")

    def test_certificate_of_a_revoked_device_refused(self):
        lost = self.world.device("lost", self.srv)
        lost.sync()
        self.srv.ctl("device", "revoke", "lost")
        link = self.connect(lost, greet=False)
        link.send(*self.srv.hello())
        self.assertEqual(self.end_of(link), "E_REVOKED")
        self.logged("event=closed", "reason=E_REVOKED", "device=(lost|[0-9a-f]{16})")

    def test_no_certificate_refused(self):
        self.no_way_in("event=tls-refused", "peer=127.0.0.1", "no certificate was shown",
                       ca=os.path.join(self.evil.identity, "ca.pem"))

    def answer_to(self, certificate, public, version):
        """What the sync port answers to who shows a certificate and signs with the evil device's key. The key's file says that its point is `public`:
        OpenSSL loads it, as it compares no more than that with the certificate."""
        with open(os.path.join(self.evil.identity, "key.pem"), "rb") as f:
            scalar = serialization.load_pem_private_key(f.read(), None).private_numbers().private_value
        point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        # RFC 5915, of P-256.
        sec1 = bytes.fromhex("30770201010420") + scalar.to_bytes(32, "big") + bytes.fromhex("a00a06082a8648ce3d030107a144034200") + point
        key = self.path("key-of-nobody.pem")
        with open(key, "w", encoding="ascii") as f:
            f.write(f"-----BEGIN EC PRIVATE KEY-----\n{base64.encodebytes(sec1).decode()}-----END EC PRIVATE KEY-----\n")
        context = wire.tls_context(self.evil.identity, chain=(certificate, key))
        context.minimum_version = context.maximum_version = version
        with harness.socket.create_connection(("127.0.0.1", self.srv.sync_port), harness.PATIENCE_S) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as link:
                link.sendall(b"GET /sync HTTP/1.1\r\nHost: x\r\n\r\n")
                return link.recv(1000).decode()

    def test_certificate_of_another_device_without_its_key_refused(self):
        mine, victims = (os.path.join(device.identity, "cert.pem") for device in (self.evil, self.good))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertRegex(self.answer_to(mine, public_key(mine), version), "^HTTP/1.1 ")
            since = len(self.srv.read_log())
            try:
                answer = self.answer_to(victims, public_key(victims), version)
            except (ssl.SSLError, ConnectionError) as refused:
                answer = str(refused)
            # With TLS 1.3 the client is through before its proof is looked at, and is cut off.
            self.assertRegex(answer, "decrypt error" if version == ssl.TLSVersion.TLSv1_2 else "^(?!HTTP)")
            self.logged("a TLS handshake on the sync port was refused: decrypt error event=tls-refused", "peer=127.0.0.1", since=since)

    def old_tls(self, version, port, identity=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        if identity:
            context.load_cert_chain(os.path.join(identity, "cert.pem"), os.path.join(identity, "key.pem"))
        with harness.socket.create_connection(("127.0.0.1", port), 60) as plain:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain)

    def test_tls_1_1_and_1_0_refused_on_both_ports(self):
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
            for name, port, identity in (("sync", self.srv.sync_port, self.evil.identity), ("https", self.srv.https_port, None)):
                since = len(self.srv.read_log())
                self.old_tls(version, port, identity)
                self.logged(f"on the {name} port", "event=tls-refused", "protocol version", "peer=127.0.0.1", since=since)

    def test_http_without_tls_refused_on_both_ports(self):
        for port in (self.srv.sync_port, self.srv.https_port):
            with harness.socket.create_connection(("127.0.0.1", port), 60) as plain:
                plain.sendall(b"GET /sync HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    self.assertEqual(plain.recv(1000), b"")
                except ConnectionError:
                    pass
        self.logged("event=silent", "peer=127.0.0.1", "sync port")
        self.logged("event=silent", "peer=127.0.0.1", "HTTPS port")


class Identities(Attack):
    """A device that is let in, and says that it is another one."""

    def test_incarnation_of_another_device_is_its_own(self):
        """Incarnations are counted for each device: what another one's had is neither told nor touched."""
        self.good.sql("INSERT INTO contact(id, given) VALUES(x'4d494e45', 'mine')")
        harness.wait_until(lambda: self.srv.one("SELECT count(*) FROM contact WHERE id = x'4d494e45'"), "the other's commit")
        self.before = self.digest()
        theirs = self.srv.one("SELECT last_number FROM satchel_author a JOIN satchel_device d ON d.id = a.device WHERE d.name = 'good'")
        self.assertGreater(theirs, 0)
        link = self.connect(greet=False)
        link.send(*self.srv.hello(incarnation=1, last_number=theirs))
        welcome = link.receive_type(wire.WELCOME)
        own = self.srv.one("SELECT max(last_number) FROM satchel_author a JOIN satchel_device d ON d.id = a.device WHERE d.name = 'evil'")
        self.assertEqual(welcome[6], own)

    def test_push_under_another_incarnation_than_hellos_refused(self):
        self.closed_with("E_ORDER", wire.encode([wire.PUSH, 2, []]))
        self.closed_with("E_ORDER", wire.encode([wire.PUSH, 2**32 - 1, []]))

    def test_incarnation_that_cannot_be_refused(self):
        self.closed_with("E_LIMIT", wire.encode(self.srv.hello(incarnation=2**32)), greet=False)
        self.closed_with("E_LIMIT", wire.encode(self.srv.hello(incarnation=2**32 - 1)), greet=False)

    def test_refusal_of_another_device_cannot_be_discarded(self):
        table, columns = self.column_ids("contact")
        rival = self.world.device("rival", self.srv)
        rival.sync()
        link = self.connect(rival)
        link.incarnation = 1
        done = self.results_of(link, [[table, 0, 1, [columns["birth_year"] << 2], [b"\x01", 1]]])
        self.assertEqual(done[1][1], 47)
        number = 1
        self.assertEqual(len(self.srv.ctl("rejected")), 1)
        thief = self.connect()
        thief.send(wire.RESOLVE, number, 1)
        thief.send(*self.srv.hello())
        self.assertEqual(self.end_of(thief), "E_ORDER")
        self.assertEqual(len(self.srv.ctl("rejected")), 1)
        self.logged("event=refused", "device=rival", "reason=E_CHECK")


class Messages(Attack):
    """A message at each limit, and one beyond."""
    number = 2**40  # of the last transaction that was pushed

    def setUp(self):
        super().setUp()
        self.table, self.columns = self.column_ids("contact")

    def put(self, key, **values):
        return [[self.table, 0, 1, [i << 2 for i in sorted(self.columns[n] for n in values)],
                 [key, *(values[n] for n in sorted(values, key=self.columns.get))]]]

    def transaction(self, delta):
        Messages.number += 1
        return [Messages.number, os.urandom(8), 1 << 20, 0, self.srv.epoch(), None, None, 0, True, delta]

    def result_of(self, delta):
        """What becomes of a transaction: its result."""
        link = self.connect()
        link.send(wire.PUSH, 1, [self.transaction(delta)])
        while (answer := self.receive(link))[0] != wire.RESULTS:
            self.assertNotEqual(answer[0], wire.ERROR, answer)
        return answer[1][0]

    def taken(self, key, **values):
        """A row that is taken, and stands there word by word; it is deleted again."""
        result = self.result_of(self.put(key, **values))
        self.assertEqual(result[1], 0, result[7])
        self.assertEqual(self.srv.read(f"SELECT {','.join(values)} FROM contact WHERE id = ?", key), [tuple(values.values())])
        self.srv.sql(f"DELETE FROM contact WHERE id = x'{key.hex()}'")

    def too_large(self, key, **values):
        """A row that is refused; the words."""
        result = self.result_of(self.put(key, **values))
        self.assertEqual(name_of(result[1]), "E_TOO_LARGE", result)
        self.logged("event=refused", "device=evil", "reason=E_TOO_LARGE")
        return result[7]

    def welcomed(self, *hello):
        link = self.connect(greet=False)
        link.send(*hello)
        self.assertEqual(link.receive()[0], wire.WELCOME)

    def stays(self, data):
        """The message at the limit: the conversation goes on."""
        link = self.connect()
        link.send_bytes(data)
        link.send_frame(9, b"there?")
        link.send(wire.PULL, 0, 1, 0)
        answer = link.receive()
        self.assertNotEqual(answer[0], wire.ERROR, answer)

    def packed(self, n, fill=b"\0"):
        return zstandard.ZstdCompressor(write_content_size=True).compress(fill * n)

    def test_frame_at_its_limit_read_and_one_beyond_refused(self):
        self.closed_with("E_MALFORMED", bytes(2 << 20))
        self.closed_with("E_LIMIT", bytes((2 << 20) + 1))
        # The same in pieces of WebSocket.
        link = self.connect()
        try:
            link.send_frame(2, bytes(1 << 20), final=False)
            for _ in range(3):
                link.send_frame(0, bytes(1 << 20), final=False)
        except TLS_ENDS:
            pass
        self.assertEqual(self.end_of(link), "E_LIMIT")

    def test_message_at_its_limit_unpacked_and_one_beyond_refused(self):
        self.closed_with("E_MALFORMED", self.packed(4 << 20))
        self.closed_with("E_LIMIT", self.packed((4 << 20) + 1))

    def test_decompression_bomb_refused_in_bounded_memory(self):
        before = self.memory()
        for size in (1 << 30, 1 << 34):
            # A frame that says what it unpacks to, and one that does not say.
            self.closed_with("E_LIMIT", wire.ZSTD + b"\xe0" + struct.pack("<Q", size) + bytes(64))
        packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
        self.closed_with("E_MALFORMED", packer.compress(bytes(256 << 20)) + packer.flush())
        # One that says less than it unpacks to.
        bomb = bytearray(self.packed(64 << 20))
        self.assertEqual(bomb[4] >> 6, 2)
        bomb[5 + (not bomb[4] & 32):][:4]
        at = 5 if bomb[4] & 32 else 6
        bomb[at:at + 4] = struct.pack("<I", 1 << 20)
        self.closed_with("E_MALFORMED", bytes(bomb))
        self.assertLess(self.memory() - before, 100 << 20)

    def memory(self):
        with open(f"/proc/{self.srv.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def test_pull_credit_at_its_limit_taken_and_one_beyond_refused(self):
        self.stays(wire.encode([wire.PULL, 0, 15, 0]))
        self.closed_with("E_LIMIT", wire.encode([wire.PULL, 0, 17, 0]))

    def test_transactions_of_a_push_at_their_limit_answered_and_one_beyond_refused(self):
        # Each names an unknown table, so that nothing is written.
        delta = [[9999, 2, 1, [], [b"\x02"]]]
        link = self.connect()
        transactions = [self.transaction(delta)] + [[1, os.urandom(8), 1, 0, self.srv.epoch(), None, None, 0, True, delta] for _ in range(1023)]
        Messages.number += 1023
        link.send(wire.PUSH, 1, transactions)
        n = 0
        while n < 1024:
            answer = self.receive(link)
            self.assertEqual(answer[0], wire.RESULTS, answer)
            n += len(answer[1])
        self.closed_with("E_LIMIT", wire.encode([wire.PUSH, 1, transactions + transactions[-1:]]))

    def test_numbers_and_names_at_their_limits_taken_and_beyond_refused(self):
        self.welcomed(*self.srv.hello(last_number=2**63 - 1))
        self.closed_with("E_LIMIT", wire.encode(self.srv.hello(last_number=2**63)), greet=False)
        self.welcomed(*self.srv.hello(last_number=LAST_NUMBER)[:-1], "x" * 128)
        self.closed_with("E_LIMIT", wire.encode(self.srv.hello()[:-1] + ["x" * 129]), greet=False)
        past = [x for i in range(17) for x in (bytes([i]) * 8, 1)]
        self.welcomed(*self.srv.hello(last_number=LAST_NUMBER), past[:32])
        self.closed_with("E_LIMIT", wire.encode(self.srv.hello() + [past]), greet=False)
        # No action that there is; the number can be read.
        self.closed_with("E_MALFORMED", wire.encode([wire.RESOLVE, 1, 2**32 - 1]))
        self.closed_with("E_LIMIT", wire.encode([wire.RESOLVE, 1, 2**32]))

    def test_value_at_its_limit_taken_and_one_beyond_refused(self):
        self.taken(b"\x05" * 8, given="x" * (768 << 10))
        self.closed_with("E_LIMIT", wire.encode([wire.PUSH, 1, [self.transaction(self.put(b"\x05" * 8, given="x" * ((768 << 10) + 1)))]]))

    def test_key_at_its_limit_taken_and_one_beyond_refused(self):
        # Encoded it has three bytes more.
        self.taken(b"\x05" * 4093, given="x")
        self.too_large(b"\x05" * 4094, given="x")

    def test_row_at_its_limit_taken_and_one_beyond_refused(self):
        given, family = "x" * (768 << 10), "y" * (128 << 10)
        # By how much it is too large is told.
        beyond = int(self.too_large(b"\x06" * 8, given=given, family=family).split()[-2]) - (896 << 10)
        self.too_large(b"\x06" * 8, given=given, family=family[beyond - 1:])
        self.taken(b"\x06" * 8, given=given, family=family[beyond:])

    def test_ranges_of_digests_at_their_limit_answered_and_one_beyond_refused(self):
        one = [self.table, None, None, 0, bytes(32)]
        link = self.connect()
        link.send(SUMS, 0, 0, [one] * 64)
        self.assertEqual(self.receive(link)[0], REPAIR)
        self.closed_with("E_LIMIT", wire.encode([SUMS, 0, 0, [one] * 65]))

    def test_body_of_a_request_at_its_limit_read_and_one_beyond_refused(self):
        for size, status in ((64 << 10, 400), ((64 << 10) + 1, 413)):
            link = self.https()
            link.request("POST", "/v1/enroll", b" " * size, {"Content-Type": "application/json"})
            self.assertEqual(link.getresponse().status, status)
        self.logged("event=http-refused", "413", "peer=127.0.0.1")
        answer = self.raw_https(b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n" + b" " * 1000)
        self.assertRegex(answer[:20], rb"HTTP/1.1 4|^$")

    def test_head_of_a_request_at_its_limit_read_and_one_beyond_refused(self):
        def ask(head):
            return self.raw_https(head + b"Connection: close\r\n\r\n")[:12]

        get = b"GET /healthz HTTP/1.1\r\n"
        for fill in (b"X-Fill: " + b"a" * 4000 + b"\r\n", b"X-Fill: y\r\n" * 200):
            self.assertEqual(ask(get + fill), b"HTTP/1.1 200")
        self.assertEqual(ask(b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\n"), b"HTTP/1.1 404")
        for head in (get + b"X-Fill: " + b"a" * 4100 + b"\r\n", get + b"X-Fill: " + b"a" * 100000 + b"\r\n", get + b"X-Fill: y\r\n" * 20000,
                     b"GET /" + b"a" * 4100 + b" HTTP/1.1\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n"):
            since = len(self.srv.read_log())
            self.assertEqual(ask(head), b"")
            self.logged("libwebsockets: Ran out of header data space", since=since)
            self.logged("event=silent", "HTTPS port", "peer=127.0.0.1", since=since)


class Patience(Attack):
    """Slow-loris: connections that say next to nothing, a byte at a time, on both ports."""

    def drip(self, plain, pieces):
        """Sends the pieces slowly, then zeros, until the server hangs up; True if it did."""
        plain.settimeout(0.2)  # between two bytes; one thread does both, as one TLS connection needs it
        until = time.monotonic() + harness.PATIENCE_S
        try:
            for byte in itertools.chain(pieces, itertools.repeat(b"a")):
                plain.send(byte)
                with contextlib.suppress(TimeoutError):
                    while plain.recv(1000):
                        pass
                    return True
                if time.monotonic() > until:
                    return False
        except TLS_ENDS:
            pass
        return True

    def test_slow_loris_on_both_ports_cut_off_others_served(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with_key = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with_key.check_hostname, with_key.verify_mode = False, ssl.CERT_NONE
        with_key.load_cert_chain(os.path.join(self.evil.identity, "cert.pem"), os.path.join(self.evil.identity, "key.pem"))
        head = b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
        hello = bytes.fromhex("1603010200010001fc0303") + bytes(32)
        kinds = {
            "sync port, nothing": (self.srv.sync_port, None, ()),
            "HTTPS port, nothing": (self.srv.https_port, None, ()),
            "sync port, TLS": (self.srv.sync_port, None, [bytes([b]) for b in hello]),
            "HTTPS port, TLS": (self.srv.https_port, None, [bytes([b]) for b in hello]),
            "sync port, head": (self.srv.sync_port, with_key, [bytes([b]) for b in b"GET /sync HTTP/1.1\r\nX-Fill: "]),
            "HTTPS port, head": (self.srv.https_port, context, [bytes([b]) for b in b"GET /healthz HTTP/1.1\r\nX-Fill: "]),
            "HTTPS port, body": (self.srv.https_port, context, [head]),
        }
        ended, threads = {}, []
        for name, (port, tls, pieces) in kinds.items():
            for _ in range(8):
                plain = harness.socket.create_connection(("127.0.0.1", port), harness.PATIENCE_S)
                link = tls.wrap_socket(plain) if tls else plain
                self.addCleanup(link.close)
                silent = not pieces
                threads.append(threading.Thread(target=lambda n=name, l=link, p=pieces, s=silent: ended.setdefault(n, []).append(
                    self.drip(l, p) if not s else self.hung_up(l))))
                threads[-1].start()
        # Meanwhile.
        self.serves_others()
        self.before = self.digest()
        for thread in threads:
            thread.join(harness.PATIENCE_S)
        self.assertEqual({n: sum(e) for n, e in ended.items()}, {n: 8 for n in kinds})
        for port in ("sync port", "HTTPS port"):
            self.logged("event=silent", port, "peer=127.0.0.1")
        self.logged("event=http-refused", "not whole in time", "peer=127.0.0.1")

    def hung_up(self, plain):
        plain.settimeout(harness.PATIENCE_S)
        try:
            return plain.recv(1) == b""
        except TimeoutError:
            return False
        except TLS_ENDS:
            return True


class Texts(Attack):
    """SQL in every text, and paths that lead out."""
    key = b"'; DROP--"

    def given(self):
        """What rows of SQL need besides, by table: a text column that takes few words has one of them."""
        key, now = self.key, int(time.time() * 1000)
        stage, program = self.srv.one("SELECT min(id) FROM stage WHERE pos = 1"), self.srv.one("SELECT min(id) FROM loyalty_program")
        return {"contact_point": {"contact_id": key, "kind": "social"}, "address": {"owner_kind": "contact", "owner_row": key},
                "contact_pref": {"channel": "email"}, "consent_event": {"contact_id": key, "granted": 1, "at": now},
                "interaction": {"contact_id": key, "channel": "web", "direction": "in", "at": now}, "note": {"parent_kind": "contact", "parent_row": key},
                "task": {"parent_kind": "contact", "parent_row": key}, "lead": {"email": "ann@corp.example", "phone": "5551234"},
                "deal": {"stage_id": stage, "currency": "EUR"}, "ticket": {"kind": "problem"}, "ticket_event": {"ticket_id": key, "kind": "comment", "at": now},
                "loyalty_card": {"program_id": program}, "purchase": {"channel": "pos", "total_cents": 1, "currency": "EUR", "at": now},
                "loyalty_entry": {"kind": "earn"}, "custom_value": {"entity": "contact"}, "feedback": {"contact_id": key, "kind": "text", "at": now},
                "objection": {"parent_kind": "deal", "parent_row": key, "kind": "price", "at": now}, "quote": {"deal_id": key, "currency": "EUR"},
                "goal": {"owner_id": key, "kind": "won_deals", "target": 1}, "appointment": {"starts_at": now, "ends_at": now + 1, "owner_id": key},
                "kb_article": {"kind": "article"},
                "reassignment": {"entity": "deal", "entity_row": key, "from_user": key, "to_user": key, "by_user": key, "at": now}}

    def test_sql_in_every_text_column_is_text(self):
        """Of every table that a device may write, but the columns that are the server's, or take few words."""
        self.srv.stop_timers()
        schema = self.srv.read("SELECT * FROM sqlite_schema")
        self.srv.sql(f"INSERT INTO user_account(id, name, role) VALUES(x'{self.key.hex()}', 'Ann', 'rep')")
        given, delta, texts = self.given(), [], {}
        for tbl, table in self.srv.read("SELECT id, name FROM satchel_table WHERE mode <> 'server' ORDER BY id"):
            row = given.get(table, {})
            columns = self.srv.read("SELECT id, name, key, affinity = 3 AND rule <> 'server' AND rule NOT LIKE 'guard:%' FROM satchel_column "
                                    "WHERE tbl_id = ? ORDER BY id", tbl)
            free = [name for _, name, _, text in columns if text and name not in row]
            if not free:
                continue
            texts[table] = free
            row = {**{name: self.key for _, name, key, _ in columns if key}, **row, **{name: SQL for name in free}}
            keys = [name for _, name, key, _ in sorted(columns, key=lambda c: c[2]) if key]
            others = [(column, name) for column, name, key, _ in columns if name in row and not key]
            delta.append([tbl, 0, len(keys), [column << 2 for column, _ in others], [row[name] for name in keys + [name for _, name in others]]])
        self.assertGreater(sum(map(len, texts.values())), 40)
        link = self.connect()
        link.incarnation = 1
        result = self.results_of(link, delta, numbers=[2**41])[2**41]
        self.assertEqual(result[1], 0, result[7])
        for table, names in texts.items():
            self.assertIn((SQL,) * len(names), self.srv.read(f"SELECT {','.join(names)} FROM {table}"), table)
        harness.wait_until(lambda: self.good.one("SELECT count(*) FROM kb_article WHERE title = ?", SQL), "the same on the device that behaves")
        self.assertEqual(self.srv.read("SELECT * FROM sqlite_schema"), schema)
        self.before = self.digest()

    def test_sql_and_newlines_in_words_of_messages_stay_one_line(self):
        link = self.connect(greet=False)
        link.send(*self.srv.hello()[:-1], SQL[:128])
        link.receive_type(wire.WELCOME)
        link.send(wire.ERROR, 70, 0, SQL)
        self.end_of(link)
        self.logged("event=closed", "device=evil")
        self.assertNotIn("\n2026-01-01T00:00:00.000Z error forged", self.srv.read_log())

    def test_sql_in_paths_and_arguments_of_the_api_refused(self):
        token = self.srv.ctl("token", "add", "attacker")["token"]
        for path in ("contact'--", "contact;DROP TABLE contact", "contact%22%20UNION%20SELECT", "sqlite_schema", "satchel_device", "satchel_token"):
            for place in (f"/v1/tables/{path}/rows", f"/v1/tables/contact/rows?order={path}", f"/v1/tables/contact/rows?where={path}", f"/v1/{path}"):
                link = self.https()
                link.request("GET", place.replace(" ", "%20"), headers={"Authorization": "Bearer " + token})
                response = link.getresponse()
                body = response.read()
                self.assertIn(response.status, (400, 403, 404), (place, body))

    def test_path_traversal_on_the_https_port_refused(self):
        secret = open(os.path.join(self.srv.data, "ca.key"), "rb").read()[40:80]
        paths = ["/../ca.key", "/../../../../../../../../etc/passwd", "/v1/../../ca.key", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
                 "/%252e%252e/etc/passwd", "//etc/passwd", "/./ca.key", "/ca.key", "/store.db", "/v1/..\\..\\etc\\passwd", "/%00/../etc/passwd",
                 "/v1/enroll/../../ca.key", "/" + "../" * 200 + "etc/passwd", "/" + "%c0%ae%c0%ae/" * 8 + "etc/passwd", "file:///etc/passwd", "\\ca.key",
                 "http://127.0.0.1/../etc/passwd", "*"]
        for path in paths:
            answer = self.raw_https(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            self.assertRegex(answer, rb"^(HTTP/1.[01] 4\d\d|$)", path)
            self.assertNotIn(b"root:", answer)
            self.assertNotIn(secret, answer)
        self.logged("event=http-refused", "peer=127.0.0.1", "404")
        # The sync port serves no files either, not even to a device.
        for path in ("/../ca.key", "/sync/../ca.key", "/ca.key"):
            with self.assertRaises((AssertionError, *TLS_ENDS)):
                self.assertEqual(wire.Wire(self.srv.sync_port, self.evil.identity, path=path).status, 101)


if __name__ == "__main__":
    harness.main()
