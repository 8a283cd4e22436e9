"""A device: a file, its identity, and the few things that one does with them. Begin reading here.

    device = Device("crm.db")
    device.enrol(code, "Ann's phone")
    device.sync()
    device.store.write(("update", "contact", [key], {"phone": "555"}), ("delete", "note", [other_key]))
    device.sync()

enrol.py    a one-time code for a certificate; mutual TLS
session.py  one connection: what is said, and when
store.py    the file: tables, outbox, what becomes of transactions
overlay.py  confirmed values under pending changes
schema.py   migrations, and the ids of tables and columns
codec.py    messages as dicts, by grammar.py and delta.py; frames.py around them; values.py and codes.py beneath
"""
import asyncio

from . import enrol
from .session import SOFTWARE, OtherCopy, Session
from .store import Store


class Device:
    def __init__(self, path):
        self.path, self.directory = path, path + "-identity"
        self.store = Store(path)

    def enrol(self, code, name):
        host, port, device = enrol.enrol(code, self.directory, name, SOFTWARE)
        with self.store.transaction():
            self.store.set_state(host=host, port=port, device=device)

    def sync(self, session=Session, **options):
        """Until everything is sent, answered and received. Returns the session, for who wants to know how it went."""
        s = session(self.store, self.directory, **options)
        try:
            asyncio.run(s.run())
        except OtherCopy:
            # Nothing of that conversation was taken. A hello without an incarnation gets the file one of its own.
            s = session(self.store, self.directory, **options)
            s.is_copy = True
            asyncio.run(s.run())
        return s

    def close(self):
        self.store.db.close()
