"""The client in client/ on a real server, beside a device of the C library: everything that a second implementation has to do, and in the end
every row compared."""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import harness  # noqa: E402
from client.codes import CODES, Failure, name_of  # noqa: E402
from client.device import Device  # noqa: E402
from client.session import Session  # noqa: E402
from client.store import ACCEPTED, CONFIRMED, PENDING, REFUSED  # noqa: E402

# A seller holds the artists of one country with what hangs on them, without their lives; lists and invoices are everybody's.
RULES = """
INSERT INTO scope_bucket(tbl, name, value) VALUES('artist', 'country', 'country');
INSERT INTO scope_parent(tbl, parent, columns) VALUES('album', 'artist', 'artist_no'), ('track', 'album', 'album_title,artist_no'), ('review', 'track', 'isrc');
INSERT INTO scope_bucket(tbl, name) SELECT column1, 'all' FROM (VALUES('genre'), ('playlist'), ('playlist_entry'), ('invoice'), ('invoice_line'), ('invoice_move'));
INSERT INTO scope_profile(name, buckets) VALUES('seller', 'SELECT ''country'', :user UNION ALL SELECT ''all'', NULL');
INSERT INTO scope_mask(profile, tbl, columns) VALUES('seller', 'artist', 'bio');
INSERT INTO scope_write(profile, tbl, ops) SELECT 'seller', column1, 'insert,update,delete' FROM (VALUES('artist'), ('album'), ('track'), ('review'), ('invoice'));
"""


class Cut(Exception):
    """The connection is lost."""


class LosesReplies(Session):
    """Everything is sent, and no result or page comes through; the connection ends when the last result would have."""

    async def on_results(self, m):
        if self.store.state("last_number") in [r["number"] for r in m["results"]]:
            raise Cut

    async def on_page(self, m):
        pass


class PullsOnly(Session):
    """Nothing is sent; the connection ends at the head."""

    async def push(self):
        if self.store.state("cursor") >= self.head:
            raise Cut


class Second(harness.Case):
    def setUp(self):
        super().setUp()
        schema = self.path("schema")
        shutil.copytree(harness.MUSIC, schema)
        self.server = self.server(schema=schema)
        self.shop = self.device("shop", self.server)
        self.second = self.enrolled("second")

    def enrolled(self, name):
        device = Device(self.path(name + ".db"))
        self.addCleanup(device.close)
        device.enrol(self.server.code(name), name)
        return device

    def fill(self):
        self.shop.sync()
        self.shop.sql("INSERT INTO artist(artist_no, name, country, fans) VALUES(1, 'Amália', 'PT', 10), (2, 'Bill', 'US', 0), (3, 'Carlos', NULL, 1);"
                      "INSERT INTO album(artist_no, title, genre) VALUES(1, 'Busto', 'Fado'), (2, '', NULL);"
                      "INSERT INTO track(isrc, artist_no, album_title, title, seconds, price, currency, extra) VALUES('PT-1', 1, 'Busto', 'Povo', 266, 1.5, 'EUR', x'00ff'),"
                      " ('US-1', 2, '', 'Foolish', 296, 65504, 'USD', 1e300), ('US-2', 2, '', 'Deleted', 1, NULL, NULL, -7);"
                      "INSERT INTO invoice(number, customer) VALUES(1, 'Ann'), (2, 'Ben');"
                      " INSERT INTO review(id, isrc, stars, body) VALUES(x'01', 'PT-1', 5, 'as it was');"
                      "INSERT INTO playlist(owner, name) VALUES('ann', '');"
                      " INSERT INTO playlist_entry(owner, name, isrc, position) VALUES('ann', '', 'PT-1', 1)")
        self.shop.sync()
        self.second.sync()

    def row(self, query, *values):
        return self.second.store.db.execute(query, values).fetchone()

    def compare(self, *devices):
        """Both ways round, until nobody has anything to say; then every row, and the digests of all three."""
        for _ in range(2):
            for device in (self.second, self.shop, *devices):
                device.sync()
        expected = self.server.content()
        for device in (self.second, *devices):
            got = harness.content(device.path)
            for table, rows in expected.items():
                self.assertEqual(got.get(table), rows, table)
            self.assertEqual(device.store.count(PENDING) + device.store.count(ACCEPTED), 0)
        self.assert_same(self.server, self.shop)
        lines = self.server.ctl("digest")["digest"].splitlines()
        self.assertEqual(self.second.store.digest(), lines)
        self.assertEqual(self.shop.run("digest").stdout.splitlines(), lines)
        self.assert_sound(self.server, self.shop)

    def test_second_first_sync_and_every_kind_of_change(self):
        self.fill()
        self.compare()
        write = self.second.store.write
        write(("update", "artist", [1], {"country": "Portugal", "fans": 15}), ("insert", "artist", {"artist_no": 9, "name": "Nine"}),
              ("update", "album", ["Busto", 1], {"last_played_at": 100, "entered_by": "second"}))
        write(("delete", "track", ["US-2"]), ("update", "track", ["PT-1"], {"price": 65504.0, "plays": 3, "extra": 2 ** 62}))
        write(("update", "invoice", [1], {"state": "sent"}), ("insert", "invoice_line", {"number": 1, "line": 1, "isrc": "PT-1", "copies": 2, "price": 0.1}))
        write(("insert", "review", {"id": os.urandom(16), "isrc": "US-1", "body": "größer \0 日本"}), ("update", "playlist_entry", ["ann", "", "PT-1"], {"position": 2.5}))
        self.assertEqual(self.row("SELECT count(*) FROM outbox WHERE state = 0"), (4,))
        self.compare()
        self.assertEqual(self.shop.read("SELECT country, fans FROM artist WHERE artist_no = 1"), [("Portugal", 15)])
        self.assertEqual(self.row("SELECT count(*) FROM outbox WHERE state = ?", CONFIRMED), (4,))

    def test_second_N3_resend_after_lost_results_has_one_effect(self):
        self.fill()
        for i in range(3):
            self.second.store.write(("update", "artist", [1], {"fans": 100 + 10 * i}))
            with self.assertRaises(Cut):
                self.second.sync(LosesReplies)
        self.assertEqual(self.row("SELECT count(*) FROM outbox WHERE state = 0"), (3,))
        self.assertEqual(self.server.one("SELECT fans FROM artist WHERE artist_no = 1"), 120)
        self.compare()
        self.assertEqual(self.row("SELECT fans FROM artist WHERE artist_no = 1"), (120,))

    def test_second_N4_others_changes_come_beneath_its_own(self):
        self.fill()
        self.second.store.write(("update", "artist", [1], {"fans": 13, "bio": "mine"}))
        self.second.store.write(("delete", "artist", [3]))
        self.shop.sql("UPDATE artist SET fans = fans + 5, country = 'Brasil' WHERE artist_no = 1; UPDATE artist SET fans = 7 WHERE artist_no = 3")
        self.shop.sync()
        with self.assertRaises(Cut):
            self.second.sync(PullsOnly)
        self.assertEqual(self.row("SELECT fans, bio, country FROM artist WHERE artist_no = 1"), (18, "mine", "Brasil"))
        self.assertIsNone(self.row("SELECT 1 FROM artist WHERE artist_no = 3"))
        self.compare()
        self.assertEqual(self.row("SELECT fans, bio, country FROM artist WHERE artist_no = 1"), (18, "mine", "Brasil"))
        self.assertEqual(self.row("SELECT fans FROM artist WHERE artist_no = 3"), (7,), "the deletion did not lose to the update")
        self.assertEqual(self.row("SELECT tbl, col FROM loss"), ("artist", None))

    def test_second_M16_what_its_own_edit_hid_it_did_not_know(self):
        self.fill()
        write = self.second.store.write
        write(("update", "artist", [1], {"country": "222"}), ("update", "artist", [2], {"country": "222"}))
        self.shop.sql("UPDATE artist SET country = '333', bio = 'seen', fans = fans + 1 WHERE artist_no = 1")
        self.shop.sync()
        with self.assertRaises(Cut):
            self.second.sync(PullsOnly)
        write(("update", "artist", [1], {"country": "444", "bio": "known", "fans": 20}))
        write(("update", "artist", [2], {"country": "444"}))
        self.compare()
        self.assertEqual(self.row("SELECT country, bio, fans FROM artist WHERE artist_no = 1"), ("444", "known", 20))
        self.assertEqual(self.second.store.db.execute("SELECT col, kept, lost FROM loss").fetchall(), [("country", "333", "222")])
        self.assertEqual(self.shop.read("SELECT tbl, col, kept, lost FROM satchel_conflicts"), [("artist", "country", "444", "333")])

    def test_second_conflict_tells_the_loser_what_was_kept(self):
        self.fill()
        self.second.store.write(("update", "artist", [1], {"country": "written first", "sort_name": "A"}), ("update", "review", [b"\x01"], {"body": "mine"}))
        self.shop.sql("UPDATE artist SET country = 'written last' WHERE artist_no = 1; UPDATE review SET body = 'theirs' WHERE id = x'01'")
        self.shop.sync()
        self.compare()
        self.assertEqual(self.row("SELECT country, name, sort_name FROM artist WHERE artist_no = 1"), ("written last", "Amália", "A"))
        self.assertEqual(self.second.store.db.execute("SELECT tbl, col, kept, lost, number FROM loss ORDER BY tbl").fetchall(),
                         [("artist", "country", "written last", "written first", 1), ("review", "body", "theirs", "mine", 1)])
        self.assertEqual(self.row("SELECT body FROM review WHERE copy_of = ?", b"\x01"), ("mine",))
        # A deletion that everybody knows of already is lost to an edit that was made before and comes late.
        self.second.store.write(("delete", "artist", [3]))
        self.second.sync()
        self.shop.sql("UPDATE artist SET country = 'late' WHERE artist_no = 3")
        self.shop.sync()
        self.compare()
        self.assertEqual(self.row("SELECT country, fans FROM artist WHERE artist_no = 3"), ("late", 1))
        self.assertEqual(self.row("SELECT tbl, col FROM loss ORDER BY id DESC"), ("artist", None))
        cursor = self.second.store.state("loss_cursor")
        self.second.sync()
        self.assertEqual((self.second.store.state("loss_cursor"), self.row("SELECT count(*) FROM loss")), (cursor, (3,)))

    def test_second_N6_refusals_are_undone_discarded_and_retried(self):
        self.fill()
        write, store = self.second.store.write, self.second.store
        guard = write(("update", "invoice", [1], {"state": "paid"}))
        check = write(("insert", "review", {"id": b"\x02", "isrc": "PT-1", "stars": 9}), ("update", "artist", [2], {"fans": 50}))
        depends = write(("update", "review", [b"\x02"], {"body": "on what was refused"}))
        write(("update", "artist", [2], {"country": "flows on"}))
        self.second.sync()
        self.assertEqual([(n, CODES[code]) for n, code, _ in store.refused()], [(guard, "E_GUARD"), (check, "E_CHECK"), (depends, "E_DEPENDS")])
        self.assertTrue(all(text for _, _, text in store.refused()))
        self.assertEqual(self.row("SELECT state FROM invoice WHERE number = 1"), ("draft",))
        self.assertEqual(self.row("SELECT fans, country FROM artist WHERE artist_no = 2"), (0, "flows on"))
        self.assertIsNone(self.row("SELECT 1 FROM review WHERE id = ?", b"\x02"))
        store.discard(guard)
        store.discard(depends)
        write(("insert", "review", {"id": b"\x02", "isrc": "PT-1", "stars": 5}), ("update", "artist", [2], {"fans": 50}), resolves=check)
        self.compare()
        states = {r["number"]: r["state"] for r in self.server.ctl("rejected", "--all")}
        self.assertEqual(states, {guard: "discarded", check: "retried", depends: "discarded"})
        # What an admin settles is told to the device.
        late = write(("insert", "review", {"id": b"\x03", "isrc": "PT-1", "stars": 9}))
        self.second.sync()
        self.assertEqual([(n, CODES[code]) for n, code, _ in store.refused()], [(check, "E_CHECK"), (late, "E_CHECK")])
        self.server.ctl("rejected", "discard", "second", late)
        write(("update", "artist", [2], {"country": "and on"}))  # who has nothing to do goes before it has read that
        self.compare()
        self.assertEqual([n for n, _, _ in store.refused()], [check])

    def test_second_N3_copied_file_is_forked_and_nothing_is_lost(self):
        self.fill()
        self.second.store.write(("update", "artist", [1], {"fans": 11}))
        self.second.sync()
        self.second.store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copytree(self.second.directory, self.path("copy.db-identity"))
        shutil.copy(self.second.path, self.path("copy.db"))
        copy = Device(self.path("copy.db"))
        self.addCleanup(copy.close)
        self.second.store.write(("update", "artist", [1], {"fans": 21}), ("update", "artist", [2], {"bio": "of the first"}))
        copy.store.write(("update", "artist", [1], {"fans": 111}), ("update", "artist", [3], {"bio": "of the copy"}))
        copy.store.write(("update", "artist", [3], {"country": "CP"}))
        self.second.sync()
        copy.sync()
        self.assertEqual((self.second.store.state("incarnation"), copy.store.state("incarnation")), (1, 2))
        self.compare(copy)
        self.assertEqual(self.row("SELECT fans FROM artist WHERE artist_no = 1"), (10 + 1 + 10 + 100,))
        self.assertEqual(self.row("SELECT bio, country FROM artist WHERE artist_no = 3"), ("of the copy", "CP"))

    def test_second_first_sync_is_resumed_at_the_page_where_it_was_cut(self):
        noise = self.random.randbytes(500)
        self.server.sql("".join(f"INSERT INTO review(id, isrc, body) VALUES(x'ff{i:06x}', 'US-1', '{noise[i % 100:][:400].hex()}');" for i in range(1200)))
        pages = []

        class CutAfterTwo(Session):
            async def on_snapshot(self, m):
                pages.append(m["page"])
                await super().on_snapshot(m)
                if pages == [0, 1]:
                    raise Cut
        with self.assertRaises(Cut):
            self.second.sync(CutAfterTwo)
        self.assertEqual(self.row("SELECT count(*) FROM review"), (0,))
        self.second.store.write(("insert", "review", {"id": b"\x01", "isrc": "PT-1", "body": "written in the middle"}))
        self.second.sync(CutAfterTwo)
        self.assertEqual(pages, list(range(pages[-1] + 1)), "it did not go on where it was cut")
        self.assertGreater(len(pages), 2)
        self.compare()

    def test_second_large_transactions_come_in_parts_in_both_directions(self):
        """Far larger than a page; zstd and plain frames."""
        self.fill()
        self.second.store.write(*(("insert", "review", {"id": b"up%06d" % i, "isrc": "PT-1", "body": f"{i} {'what is said twice ' * 40}"}) for i in range(800)))
        self.second.store.write(("update", "artist", [1], {"fans": 11}))
        up = self.second.sync()
        self.assertEqual(self.server.one("SELECT count(*) FROM review WHERE body LIKE '%twice%'"), 800)
        self.shop.sync()
        self.shop.sql("BEGIN; UPDATE review SET body = body || ' by another', stars = 4; DELETE FROM review WHERE id < x'7570303030313030'; COMMIT")
        self.shop.sync()
        parts = []

        class Counts(Session):
            async def on_page(self, m):
                parts.append(m["part"])
                await super().on_page(m)
        self.second.store.write(("update", "review", [b"up000700"], {"stars": 1}))
        down = self.second.sync(Counts)
        self.assertGreater(max(parts), 0, "no commit came in parts")
        self.assertTrue(up.frames["plain"] and down.frames["zstd"])
        self.compare()

    def keeps(self, text):
        return any(text in line for line in self.second.store.db.iterdump())

    def assert_holds(self, country, *devices):
        """Every row of the server's that the profile gives, and no other; and the devices hold the same, value by value."""
        for device in (self.second, *devices):
            device.sync()
        query = {"artist": "SELECT artist_no FROM artist WHERE country = ?",
                 "track": "SELECT isrc FROM track JOIN artist USING(artist_no) WHERE country = ?",
                 "review": "SELECT hex(id) FROM review JOIN track USING(isrc) JOIN artist USING(artist_no) WHERE country = ?"}
        key = {"artist": "artist_no", "track": "isrc", "review": "hex(id)"}
        for table, rows in query.items():
            have = self.second.store.db.execute(f"SELECT {key[table]} FROM {table} ORDER BY 1").fetchall()
            self.assertEqual(have, sorted(self.server.read(rows, country)), table)
        for device in devices:
            self.assertEqual(harness.content(self.second.path), device.content())

    def test_second_S1_to_S5_holds_what_its_profile_gives_and_nothing_of_what_left(self):
        self.fill()
        self.shop.sql("UPDATE artist SET bio = 'a secret life'")
        self.shop.sync()
        self.second.sync()
        self.server.stop()
        with open(os.path.join(self.path("schema"), "003_bare.sql"), "w", encoding="utf-8") as f:
            f.write("".join(f"DROP TRIGGER {name};\n" for name in (
                "artist_search_insert", "artist_search_update", "artist_search_delete")) + "DROP TABLE artist_search;\n")
        self.server.start()
        rules = self.path("rules.sql")
        with open(rules, "w", encoding="utf-8") as f:
            f.write(RULES)
        self.server.ctl("scope", "publish", rules)
        self.assertEqual(self.second.store.state("view"), 0)
        # The other columns are masked from it: a snapshot, also of its first sync.
        self.server.ctl("device", "set", "--profile", "seller", "--user", "'PT'", "second")
        till = harness.Device(self, "till", self.path("till.db")).enroll(self.server, options=("--profile", "seller", "--user", "'PT'"))
        self.assert_holds("PT", till)
        self.assertNotEqual(self.second.store.state("view"), 0)
        self.assertFalse(self.keeps("secret"))
        # Artist 2 comes with everything that hangs on him, 1 goes while an edit of his track waits.
        view = self.second.store.state("view")
        self.second.store.write(("update", "track", ["PT-1"], {"title": "mine"}))
        self.shop.sql("UPDATE artist SET country = 'US' WHERE artist_no = 1; UPDATE artist SET country = 'PT' WHERE artist_no = 2")
        self.shop.sync()
        with self.assertRaises(Cut):
            self.second.sync(PullsOnly)
        self.assertIsNone(self.row("SELECT 1 FROM track WHERE isrc = 'PT-1'"))
        self.assertEqual(self.row("SELECT count(*) FROM track"), (2,))
        self.assert_holds("PT", till)
        self.assertEqual(self.server.one("SELECT title FROM track WHERE isrc = 'PT-1'"), "mine", "the edit was made while the row was here")
        self.assertEqual(self.second.store.state("view"), view)
        # What it may not write is refused, and another view comes by pages.
        refused = self.second.store.write(("insert", "invoice_line", {"number": 1, "line": 9, "isrc": "US-1", "copies": 1, "price": 1.0}))
        self.second.sync()
        self.assertEqual([(n, name_of(code)) for n, code, _ in self.second.store.refused()], [(refused, "E_SCOPE")])
        self.second.store.write(("update", "artist", [2], {"fans": 77}))
        for name in ("second", "till"):
            self.server.ctl("device", "set", "--profile", "seller", "--user", "'US'", name)
        self.assert_holds("US", till)
        self.assertEqual(self.server.one("SELECT fans FROM artist WHERE artist_no = 2"), 77)
        self.assertNotEqual(self.second.store.state("view"), view)
        self.assertFalse(self.keeps("Bill"))
        self.server.ctl("device", "set", "--profile", "full", "second")
        self.server.ctl("device", "set", "--profile", "full", "till")
        self.compare()
        self.assertEqual(self.second.store.state("view"), 0)

    def test_second_P1_migration_while_it_holds_work_of_the_schema_before(self):
        self.fill()
        write = self.second.store.write
        write(("update", "artist", [1], {"country": "of a column that goes", "bio": "kept", "fans": 11}), ("insert", "artist", {"artist_no": 8, "name": "New", "country": "AO"}))
        self.server.stop()
        with open(os.path.join(self.path("schema"), "003_more.sql"), "w", encoding="utf-8") as f:
            f.write("ALTER TABLE artist DROP COLUMN country; ALTER TABLE artist DROP COLUMN chart_position;"
                    "\nALTER TABLE artist ADD COLUMN website TEXT NOT NULL DEFAULT 'none; yet';\n"
                    "ALTER TABLE review RENAME TO opinion; ALTER TABLE opinion RENAME COLUMN stars TO points;\n"
                    "CREATE TABLE label(name TEXT PRIMARY KEY, city TEXT) WITHOUT ROWID;\nINSERT INTO satchel_table(name, key) VALUES('label', 'natural');\n"
                    "CREATE UNIQUE INDEX label_city ON label(city);\n")
        self.server.start()
        self.shop.sync()
        self.shop.sql("UPDATE artist SET website = 'https://amalia.example' WHERE artist_no = 1; INSERT INTO label VALUES('Columbia', 'Lisbon')")
        self.shop.sync()
        self.second.sync()
        write(("insert", "label", {"name": "Blue", "city": "Lisbon"}), ("update", "artist", [8], {"website": "https://new.example"}))
        write(("update", "opinion", [b"\x01"], {"points": 3}))
        self.compare()
        self.assertEqual(self.row("SELECT bio, fans, website FROM artist WHERE artist_no = 1"), ("kept", 11, "https://amalia.example"))
        self.assertEqual(self.row("SELECT website FROM artist WHERE artist_no = 8"), ("none; yet",))
        self.assertEqual([CODES[code] for _, code, _ in self.second.store.refused()], ["E_UNIQUE"])

    def test_second_N7_server_restored_from_a_backup_gets_again_what_it_lost(self):
        self.fill()
        self.server.stop()
        backup = self.path("backup")
        shutil.copytree(self.server.data, backup)
        self.server.start()
        self.second.store.write(("update", "artist", [1], {"fans": 60, "bio": "after the backup"}))
        self.second.sync()
        self.shop.sync()
        self.server.stop()
        shutil.rmtree(self.server.data)
        shutil.move(backup, self.server.data)
        self.server.start("--restored")
        self.second.store.write(("update", "artist", [1], {"fans": 61}))
        self.compare()
        self.assertEqual(self.row("SELECT fans, bio FROM artist WHERE artist_no = 1"), (61, "after the backup"))

    def test_second_codes_are_good_once_and_revocation_is_told(self):
        self.fill()
        code = self.server.code("third")
        third = Device(self.path("third.db"))
        self.addCleanup(third.close)
        third.enrol(code, "third")
        third.enrol(code, "third")  # as if the answer had been lost: the same key is the same device
        other = Device(self.path("other.db"))
        self.addCleanup(other.close)
        for text, expected in ((code, "E_ENROL_USED"), (code[:-1], "E_ENROL_CODE"), ("satchel2" + code[8:], "E_ENROL_CODE")):
            with self.assertRaises(Failure) as caught:
                other.enrol(text, "other")
            self.assertEqual(caught.exception.code, expected)
        third.sync()
        self.server.ctl("device", "revoke", "third")
        with self.assertRaises(Failure) as caught:
            third.sync()
        self.assertEqual(caught.exception.code, "E_REVOKED")


if __name__ == "__main__":
    harness.main()
