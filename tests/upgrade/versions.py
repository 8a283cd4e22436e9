"""A version ahead or behind is told apart and answered in words, and what the device holds stays as it is until both are of one version again."""
import asyncio
import http
import os
import shutil
import signal
import sqlite3
import ssl
import sys
import threading

import cbor2
import websockets

from state import HERE, harness
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "second"))
from client.codes import Failure  # noqa: E402
from client.device import Device  # noqa: E402
from client.session import Session  # noqa: E402


class OtherServer:
    """A server that shows this one's certificate, asks for the device's, and speaks another version of the protocol."""

    def __init__(self, server, serve, **options):
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(os.path.join(server.data, "server.crt"), os.path.join(server.data, "server.key"))
        self.tls.load_verify_locations(os.path.join(server.data, "ca.crt"))
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.serve, self.options, self.visits = serve, options, 0
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.run()))

    async def run(self):
        async def visit(socket):
            self.visits += 1
            await self.serve(socket)
        self.ended = asyncio.Event()
        async with websockets.serve(visit, "127.0.0.1", 0, ssl=self.tls, compression=None, **self.options) as listening:
            self.port = listening.sockets[0].getsockname()[1]
            self.ready.set()
            await self.ended.wait()

    def __enter__(self):
        self.thread.start()
        self.ready.wait(harness.PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(harness.PATIENCE_S)
        self.loop.close()


async def nothing(socket):
    await socket.wait_closed()


def welcome_of(version):
    async def serve(socket):
        await socket.recv()
        await socket.send(cbor2.dumps([2, version, "whatever follows"]))
        await socket.wait_closed()
    return serve


def only(subprotocol):
    """What a server says to whoever offers none of its subprotocols (protocol/README.md, "Versions")."""
    async def answer(path, headers):
        return http.HTTPStatus.BAD_REQUEST, [("Sec-WebSocket-Protocol", subprotocol)], f"This server speaks {subprotocol}.".encode()
    return answer


class NewerDevice(Session):
    async def say(self, message_type, **content):
        await self.socket.send(cbor2.dumps([1, 2, "what a hello of version 2 may hold"]) if message_type == "hello" else b"")


def satchel_of(version):
    class Says(Session):
        async def say(self, message_type, **content):
            if message_type == "hello":
                content["software"] = f"acme/1 satchel/{version}"
            await super().say(message_type, **content)
    return Says


class Versions(harness.Case):
    def holding(self, server, device=None):
        """A device with unsent work, and what its outbox holds."""
        device = device or self.device("phone", server)
        device.sync()
        device.sql("INSERT INTO artist(artist_no, name) VALUES(1, 'One'); UPDATE artist SET fans = 5 WHERE artist_no = 1")
        return device, self.outbox(device.path)

    def outbox(self, path):
        db = harness.open_file(path)
        rows = db.execute("SELECT n, id, stamp, base, state, changes FROM satchel_outbox ORDER BY n").fetchall()
        db.close()
        self.assertEqual([r[4] for r in rows], [0, 0])
        return rows

    def test_version_newer_server_told_by_the_device_in_words_and_its_outbox_stays(self):
        server = self.server(schema=harness.MUSIC)
        phone, before = self.holding(server)
        for serve, options, words in (
                (nothing, {"process_request": only("satchel.v2")}, "the server speaks satchel.v2, this device satchel.v1; update Satchel on the device"),
                (nothing, {"process_request": only("satchel.v0")}, "the server speaks satchel.v0, this device satchel.v1; update Satchel on the server"),
                (nothing, {"subprotocols": ["satchel.v2"]}, "the server does not speak satchel.v1"),
                (welcome_of(2), {"subprotocols": ["satchel.v1"]}, "the server speaks version 2 of the protocol, this device version 1; update Satchel on the device"),
                (welcome_of(0), {"subprotocols": ["satchel.v1"]}, "the server speaks version 0 of the protocol, this device version 1; update Satchel on the server")):
            with OtherServer(server, serve, **options) as other:
                phone.route(other.port)
                done = phone.sync(expect=1)
                self.assertIn(words, done.stderr)
                self.assertIn("E_VERSION", done.stderr)
                self.assertEqual(phone.status()["pending"], 2)
            self.assertEqual(self.outbox(phone.path), before)
        phone.route(server.sync_port)
        phone.sync()
        self.assertEqual(server.read("SELECT name, fans FROM artist"), [("One", 5)])

    def test_version_newer_device_answered_by_the_server_in_words(self):
        server = self.server(schema=harness.MUSIC)
        device = Device(self.path("newer.db"))
        self.addCleanup(device.close)
        device.enrol(server.code("newer"), "newer")
        with self.assertRaises(Failure) as caught:
            device.sync(subprotocol="satchel.v2")
        self.assertEqual((caught.exception.code, caught.exception.text), ("E_VERSION", "the server speaks satchel.v1"))
        with self.assertRaises(Failure) as caught:
            device.sync(NewerDevice)
        self.assertEqual((caught.exception.code, caught.exception.text),
                         ("E_VERSION", "the device speaks version 2 of the protocol, the server version 1; update Satchel on the server"))
        # One that speaks both is welcome.
        device.sync(also=["satchel.v2"])
        self.assertEqual(device.store.digest(), server.ctl("digest")["digest"].splitlines())

    def want(self, server, path, line):
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"log-level = debug\n{line}\n")
        if server:
            server.process.send_signal(signal.SIGHUP)
            server.ctl("status")

    def test_version_older_than_min_version_is_told_to_update_and_keeps_its_outbox(self):
        conf = self.path("satcheld.conf")
        self.want(None, conf, "")
        server = self.server(schema=harness.MUSIC, options=["--config", conf])
        phone, before = self.holding(server)
        watching = self.device("watching", server).start("sync", "--watch")
        harness.wait_until(lambda: "in_step" in watching.stdout.readline(), "the device to be in step")
        self.want(server, conf, "min-version = 9.0.1")
        # Who is connected hears it at once; who comes, at hello.
        self.assertEqual(watching.wait(harness.PATIENCE_S), 1)
        self.assertIn("stopped: the server says: the device has Satchel ", watching.stdout.read())
        watching.stdout.close()
        done = phone.sync(expect=1)
        self.assertIn("E_VERSION", done.stderr)
        self.assertIn("the server wants 9.0.1 or newer; update Satchel on the device", done.stderr)
        self.assertEqual(self.outbox(phone.path), before)
        self.assertEqual((phone.status()["pending"], phone.status()["last_error"]), (2, "E_VERSION"))
        self.assertEqual(server.ctl("device", "show", "phone")["software"].split("/")[0], "satchel")
        # A device that is updated comes in again with what it had.
        other = Device(self.path("other.db"))
        self.addCleanup(other.close)
        other.enrol(server.code("other"), "other")
        with self.assertRaises(Failure) as caught:
            other.sync(satchel_of("9.0.0"))
        self.assertEqual((caught.exception.code, caught.exception.text),
                         ("E_VERSION", "the device has Satchel 9.0.0, the server wants 9.0.1 or newer; update Satchel on the device"))
        other.sync(satchel_of("9.0.1"))
        self.assertEqual(server.ctl("device", "show", "other")["software"], "acme/1 satchel/9.0.1")
        self.want(server, conf, "")
        phone.sync()
        self.assertEqual(server.read("SELECT name, fans FROM artist"), [("One", 5)])

    def test_version_older_schema_of_the_server_told_and_the_outbox_stays(self):
        schema = self.path("schema")
        os.mkdir(schema)
        for name in os.listdir(harness.MUSIC):
            if name.startswith("001"):
                shutil.copy(os.path.join(harness.MUSIC, name), schema)
        server = self.server(schema=schema)
        phone = self.device("phone", server)
        server.stop()
        shutil.copytree(server.data, self.path("older"))
        server.schema = harness.MUSIC
        server.start()
        phone, before = self.holding(server, phone)
        older = harness.Server(self, self.path("older"), schema)
        self.servers.append(older)
        older.start()
        phone.route(older.sync_port)
        self.assertIn("E_SCHEMA", phone.sync(expect=1).stderr)
        self.assertEqual(self.outbox(phone.path), before)

    def test_version_newer_files_refused_in_words_and_left_as_they_are(self):
        server = self.server(schema=harness.MUSIC)
        phone, before = self.holding(server)
        format_here = phone.one("SELECT format FROM satchel_state")
        phone.set_state("format = 99")
        for command in (("sync",), ("status",), ("sql", "UPDATE artist SET fans = 6"), ("verify",)):
            done = phone.run(*command, expect=1)
            self.assertIn("E_NEWER_FILE", done.stderr)
            self.assertIn("99", done.stderr)
        self.assertEqual(self.outbox(phone.path), before)
        server.stop()
        db = sqlite3.connect(server.store)
        format_there = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version = 99")
        rows = list(db.iterdump())
        db.close()
        done = server.start(expect_failure=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("99", done.stderr)
        self.assertIn("newer", done.stderr)
        db = sqlite3.connect(server.store)
        self.assertEqual(list(db.iterdump()), rows)
        # Under the program that wrote them they are as good as before.
        db.execute(f"PRAGMA user_version = {format_there}")
        db.close()
        phone.set_state(f"format = {format_here}")
        server.start()
        phone.sync()
        self.assertEqual(server.read("SELECT name, fans FROM artist"), [("One", 5)])


if __name__ == "__main__":
    harness.main()
