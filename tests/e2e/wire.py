"""A second client of the sync port, from protocol/README.md and satchel.cddl alone: TLS by Python, WebSocket and CBOR by hand.

It sends what the library never would. Messages under 256 bytes come uncompressed; a compressed one is given as bytes and not looked into."""
import base64
import hashlib
import os
import socket
import ssl
import struct

HELLO, WELCOME, SCHEMA, PUSH, RESULTS, PULL, PAGE, SNAPSHOT, LOSSES, FORKED, RESOLVE, ERROR = range(1, 13)
ZSTD = b"\x28\xb5\x2f\xfd"


def _head(major, n):
    for limit, code, form in ((24, None, None), (2**8, 24, ">B"), (2**16, 25, ">H"), (2**32, 26, ">I"), (2**64, 27, ">Q")):
        if n < limit:
            return bytes([major << 5 | n]) if code is None else bytes([major << 5 | code]) + struct.pack(form, n)
    raise ValueError(n)


class Raw(bytes):
    """Stands in a message as it is."""


def encode(x):
    if isinstance(x, Raw):
        return bytes(x)
    if x is None:
        return b"\xf6"
    if isinstance(x, bool):
        return b"\xf5" if x else b"\xf4"
    if isinstance(x, int):
        return _head(0, x) if x >= 0 else _head(1, -1 - x)
    if isinstance(x, bytes):
        return _head(2, len(x)) + x
    if isinstance(x, str):
        return _head(3, len(x.encode())) + x.encode()
    return _head(4, len(x)) + b"".join(map(encode, x))


def decode(data):
    """The first item of `data`, and what is left."""
    major, n, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        if n >= 25:
            size = {25: 2, 26: 4, 27: 8}[n]
            return struct.unpack({25: ">e", 26: ">f", 27: ">d"}[n], data[:size])[0], data[size:]
        return {20: False, 21: True, 22: None}[n], data
    if n >= 24:
        size = 1 << n - 24
        n, data = int.from_bytes(data[:size], "big"), data[size:]
    if major == 0:
        return n, data
    if major == 1:
        return -1 - n, data
    if major in (2, 3):
        return data[:n] if major == 2 else data[:n].decode(), data[n:]
    items = []
    for _ in range(n):
        item, data = decode(data)
        items.append(item)
    return items, data


class Closed(Exception):
    """The server ended the connection; `code` is WebSocket's, None if there was no close frame."""

    def __init__(self, code=None):
        super().__init__(f"closed ({code})")
        self.code = code


def tls_context(identity=None, ca=None, chain=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca or os.path.join(identity, "ca.pem"))
    if chain:
        context.load_cert_chain(*chain)
    elif identity:
        context.load_cert_chain(os.path.join(identity, "cert.pem"), os.path.join(identity, "key.pem"))
    return context


class Wire:
    """One connection to the sync port with a device's identity."""

    def __init__(self, port, identity, chain=None, ca=None, path="/sync", subprotocol="satchel.v1", timeout_s=60):
        plain = socket.create_connection(("127.0.0.1", port), timeout_s)
        plain.settimeout(timeout_s)
        self.socket = tls_context(identity, ca, chain).wrap_socket(plain, server_hostname="127.0.0.1")
        self.buffer = b""
        self.closed = None
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        answer, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.answer = answer.decode()
        expected = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        self.status = int(answer.split()[1])
        if self.status == 101 and expected not in answer:
            raise AssertionError(f"the upgrade was answered with {answer!r}")

    def more(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        if not data:
            raise Closed(self.closed)
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def send_frame(self, opcode, payload, final=True):
        mask = os.urandom(4)
        n = len(payload)
        size = bytes([128 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
        stretched = (mask * (n // 4 + 1))[:n]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(n, "big")
        self.socket.sendall(bytes([(128 if final else 0) | opcode]) + size + mask + masked)

    def send(self, *message):
        self.send_bytes(encode(list(message)))

    def send_bytes(self, data):
        self.send_frame(2, data)

    def receive_bytes(self):
        whole = b""
        while True:
            first, second = self.take(2)
            n = second & 127
            if n >= 126:
                n = int.from_bytes(self.take(2 if n == 126 else 8), "big")
            payload = self.take(n)
            opcode = first & 15
            if opcode == 8:
                self.closed = int.from_bytes(payload[:2], "big") if payload else None
                raise Closed(self.closed)
            if opcode == 9:
                self.send_frame(10, payload)
            elif opcode in (0, 2):
                whole += payload
                if first & 128:
                    return whole

    def receive(self):
        """The next message as a list; a compressed one as [None, bytes]."""
        data = self.receive_bytes()
        return [None, data] if data.startswith(ZSTD) else decode(data)[0]

    def receive_type(self, wanted):
        """Skips to a message of this type; an error message ends the search with its own."""
        while True:
            message = self.receive()
            if message[0] in (wanted, ERROR):
                return message

    def close(self):
        self.socket.close()


def hello(incarnation=1, epoch=None, cursor=0, schema_epoch=0, schema_hash=bytes(8), last_number=0, settled_number=0, now_ms=0, version=1):
    return [HELLO, version, incarnation, epoch, cursor, schema_epoch, schema_hash, last_number, settled_number, 0, now_ms, 0, None, 0, "wire.py"]
