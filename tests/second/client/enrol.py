"""Enrolment: a one-time code for a certificate. The key pair is made here and its private half never leaves; nothing is said before the pin was seen."""
import base64
import hashlib
import http.client
import json
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .codes import Failure

PREFIX = "satchel1."


def read_code(text):
    """{pin, secret, host, port} of a code."""
    text = text.strip()
    try:
        body = base64.urlsafe_b64decode(text[len(PREFIX):] + "=" * (-len(text[len(PREFIX):]) % 4))
    except ValueError:
        body = b""
    checked, check = body[:-4], body[-4:]
    if not text.startswith(PREFIX) or len(checked) <= 50 or hashlib.sha256(checked).digest()[:4] != check:
        raise Failure("E_ENROL_CODE", "this is no enrolment code, or not all of it")
    return {"pin": checked[:32], "secret": checked[32:48], "port": int.from_bytes(checked[48:50], "big"), "host": checked[50:].decode()}


def fingerprint(public_key):
    """A device, and a server's pin, is SHA-256 over the DER of the SubjectPublicKeyInfo."""
    return hashlib.sha256(public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()


def take_key(path):
    """The key of an earlier enrolment, so that a repeated request gives the same device, or a new one."""
    if os.path.exists(path):
        with open(path, "rb") as f:
            return serialization.load_pem_private_key(f.read(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_whole(path, pem)
    return key


def write_whole(path, data):
    with os.fdopen(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".new", path)


def post(code, body):
    """The HTTPS exchange. The certificate is not checked against any authority, but its key must be the one that the code names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    connection = http.client.HTTPSConnection(code["host"], code["port"], timeout=30, context=context)
    try:
        connection.connect()
        shown = x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True))
        if fingerprint(shown.public_key()) != code["pin"]:
            raise Failure("E_PIN", "another server answers than the code names")
        connection.request("POST", "/v1/enroll", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise Failure(answer["code"], answer.get("detail", answer["title"]))
    return answer


def enrol(code_text, directory, name, software):
    """Leaves key.pem, ca.pem and cert.pem in the directory and returns where to sync: (host, port, the server's name for this device)."""
    code = read_code(code_text)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    key = take_key(os.path.join(directory, "key.pem"))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    answer = post(code, {"secret": base64.urlsafe_b64encode(code["secret"]).rstrip(b"=").decode(), "name": name, "software": software,
                         "csr": csr.public_bytes(serialization.Encoding.PEM).decode()})
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    if fingerprint(certificate.public_key()) != fingerprint(key.public_key()):
        raise Failure("E_CERTIFICATE", "the server certified another key than this device's")
    write_whole(os.path.join(directory, "ca.pem"), answer["ca"].encode())
    write_whole(os.path.join(directory, "cert.pem"), answer["certificate"].encode())
    return answer["sync_host"], answer["sync_port"], answer["device"]


def tls(directory):
    """Mutual TLS for the sync port: the server's certificate must be of the authority that enrolment gave, this device shows its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(os.path.join(directory, "ca.pem"))
    context.load_cert_chain(os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem"))
    return context
