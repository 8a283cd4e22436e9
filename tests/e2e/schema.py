"""The same programs with a schema that is no CRM: a music shop with composite and text keys, WITHOUT ROWID, generated columns and an FTS5 index beside
it. And migrations, while devices hold work of the schema before."""
import os
import shutil

import harness

CATALOGUE = """
BEGIN;
INSERT INTO artist(artist_no, name, sort_name, country, bio, fans) VALUES(1, 'Amália', 'Amália', 'PT', 'The voice of fado', 10);
INSERT INTO artist(artist_no, name, sort_name, country, bio) VALUES(2, 'Bill Evans', 'Evans, Bill', 'US', 'Played the piano');
INSERT INTO album(artist_no, title, released, genre) VALUES(1, 'Busto', 1962, 'Fado'), (2, 'Waltz for Debby', 1961, 'Jazz'), (2, '', 1900, NULL);
INSERT INTO track(isrc, artist_no, album_title, title, seconds, price, currency, extra) VALUES
  ('PT-1', 1, 'Busto', 'Povo que lavas no rio', 266, 1.5, 'EUR', x'00ff'), ('US-1', 2, 'Waltz for Debby', 'My Foolish Heart', 296, 2, 'USD', 7),
  ('US-2', 2, 'Waltz for Debby', 'Waltz for Debby', 403, 0.1, 'USD', 'text'), ('US-3', 2, '', 'Câmara', 1, NULL, NULL, 1e300);
COMMIT;
INSERT INTO playlist(owner, name) VALUES('ann', 'evening'), ('ann', ''), ('', 'empty');
INSERT INTO playlist_entry(owner, name, isrc, position) VALUES('ann', 'evening', 'PT-1', 1), ('ann', 'evening', 'US-1', 2.5);
INSERT INTO review(id, isrc, stars, body) VALUES(uuid7(), 'US-1', 5, 'The second take');
INSERT INTO invoice(number, customer) VALUES(1, 'Ann');
INSERT INTO invoice_line(number, line, isrc, copies, price) VALUES(1, 1, 'PT-1', 2, 1.5), (1, 2, 'US-1', 1, 2.0);
"""


class Schema(harness.Case):
    def begin(self, schema=harness.MUSIC):
        server = self.server(schema=schema)
        shop, van = self.device("shop", server), self.device("van", server)
        shop.sync()
        shop.sql(CATALOGUE)
        self.sync_all(shop, van)
        self.assert_same(server, shop, van)
        return server, shop, van

    def finish(self, server, *devices):
        self.sync_all(*devices)
        self.assert_same(server, *devices)
        self.assert_sound(server, *devices)

    def test_schema_music_shop_syncs_every_shape_of_table(self):
        server, shop, van = self.begin()
        self.assertEqual(van.read("SELECT length FROM track WHERE isrc = 'US-2'"), [("6:43",)])
        self.assertEqual(van.read("SELECT total FROM invoice"), [(5.0,)], "a trigger ran again on apply, or its work did not come along")
        # The index beside is no synced table: each side keeps its own.
        self.assertEqual(van.read("SELECT name FROM artist_search WHERE artist_search MATCH 'piano'"), [("Bill Evans",)])
        shop.sql("UPDATE artist SET bio = 'Played the keyboard' WHERE artist_no = 2; DELETE FROM review;"
                 "DELETE FROM playlist_entry WHERE isrc = 'US-1'; UPDATE track SET extra = NULL WHERE isrc = 'PT-1';"
                 "INSERT INTO setting(name, value) VALUES('theme', 'dark')")
        self.finish(server, shop, van)
        self.assertEqual(van.read("SELECT name FROM artist_search WHERE artist_search MATCH 'keyboard'"), [("Bill Evans",)])
        self.assertEqual(van.one("SELECT count(*) FROM artist_search WHERE artist_search MATCH 'piano'"), 0)
        self.assertEqual(van.one("SELECT count(*) FROM setting"), 0, "a local table was synced")

    def test_schema_music_shop_offline_edits_meet_by_its_rules(self):
        server, shop, van = self.begin()
        shop.sql("UPDATE artist SET fans = fans + 5, country = 'Portugal' WHERE artist_no = 1; UPDATE track SET price = 3, currency = 'EUR' WHERE isrc = 'US-1';"
                 "INSERT INTO artist(artist_no, name, fans) VALUES(3, 'Carlos', 1); DELETE FROM playlist_entry WHERE isrc = 'PT-1';"
                 "UPDATE album SET last_played_at = 100, entered_by = 'shop' WHERE title = 'Busto'")
        van.sql("UPDATE artist SET fans = fans + 7, bio = 'A voice' WHERE artist_no = 1; UPDATE track SET price = 4, currency = 'GBP' WHERE isrc = 'US-1';"
                "INSERT INTO artist(artist_no, name, fans) VALUES(3, 'Carlos P', 2); UPDATE playlist_entry SET position = 9 WHERE isrc = 'PT-1';"
                "UPDATE album SET last_played_at = 50, entered_by = 'van' WHERE title = 'Busto'")
        self.finish(server, shop, van)
        self.assertEqual(server.read("SELECT fans, country, bio FROM artist WHERE artist_no = 1"), [(22, "Portugal", "A voice")])
        self.assertEqual(server.read("SELECT price, currency FROM track WHERE isrc = 'US-1'"), [(4.0, "GBP")])
        self.assertEqual(server.read("SELECT name, fans FROM artist WHERE artist_no = 3"), [("Carlos P", 3)])
        self.assertEqual(server.read("SELECT position FROM playlist_entry WHERE isrc = 'PT-1'"), [(9.0,)], "the update did not win")
        self.assertEqual(server.read("SELECT last_played_at, entered_by FROM album WHERE title = 'Busto'"), [(100, "shop")])

    def test_schema_music_shop_number_taken_twice_second_refused(self):
        server, shop, van = self.begin()
        shop.sql("INSERT INTO invoice(number, customer) VALUES(7, 'from the shop')")
        van.sql("INSERT INTO invoice(number, customer) VALUES(7, 'from the van')")
        van.sql("UPDATE artist SET country = 'FR' WHERE artist_no = 2")
        self.finish(server, shop, van)
        self.assertEqual(server.one("SELECT customer FROM invoice WHERE number = 7"), "from the shop")
        self.assertEqual(server.one("SELECT country FROM artist WHERE artist_no = 2"), "FR", "the queue was blocked")
        self.assertEqual([r[0] for r in van.read("SELECT name FROM satchel_rejected ORDER BY n")], ["E_KEY_TAKEN"])

    def migrated(self, server, sql):
        """Another migration in a copy of the directory, and the server started on it."""
        server.stop()
        place = self.path("schema")
        if not os.path.isdir(place):
            shutil.copytree(harness.MUSIC, place)
        n = len([f for f in os.listdir(place) if not f.endswith(".data.sql")]) + 1
        with open(os.path.join(place, f"{n:03}_more.sql"), "w", encoding="utf-8") as f:
            f.write(sql)
        server.schema = place
        server.start()

    def test_schema_P1_old_devices_outbox_uploads_after_drop_and_add_column(self):
        server, shop, van = self.begin()
        van.sql("UPDATE artist SET country = 'BR', bio = 'written under the old schema', fans = fans + 1 WHERE artist_no = 1;"
                "INSERT INTO artist(artist_no, name, country) VALUES(9, 'New one', 'AO')")
        self.migrated(server, "ALTER TABLE artist DROP COLUMN country;\nALTER TABLE artist ADD COLUMN website TEXT NOT NULL DEFAULT 'none';\n"
                              "ALTER TABLE track ADD COLUMN lyrics TEXT;\nCREATE TABLE label(name TEXT PRIMARY KEY, city TEXT) WITHOUT ROWID;\n"
                              "INSERT INTO satchel_table(name, key) VALUES('label', 'natural');\n")
        shop.sync()
        shop.sql("UPDATE artist SET website = 'https://amalia.example' WHERE artist_no = 1; INSERT INTO label VALUES('Columbia', 'Lisbon')")
        self.finish(server, shop, van)
        self.assertEqual(server.read("SELECT bio, fans, website FROM artist WHERE artist_no = 1"),
                         [("written under the old schema", 11, "https://amalia.example")])
        self.assertEqual(server.read("SELECT name, website FROM artist WHERE artist_no = 9"), [("New one", "none")])
        self.assertEqual(van.one("SELECT count(*) FROM artist WHERE website IN ('BR', 'AO')"), 0, "a value landed in another column")

    def test_schema_migration_reaches_a_watching_device_and_the_app_goes_on(self):
        server, shop, van = self.begin()
        watching = van.start("sync", "--watch", "--json")
        harness.wait_until(lambda: server.ctl("status")["since_start"]["sessions"] == 1, "the connection")
        self.migrated(server, "ALTER TABLE artist ADD COLUMN website TEXT;\n")
        harness.wait_until(lambda: van.status()["schema_epoch"] == 3, "the migration")
        van.sql("UPDATE artist SET website = 'https://evans.example' WHERE artist_no = 2")
        harness.wait_until(lambda: server.read("SELECT website FROM artist WHERE artist_no = 2") == [("https://evans.example",)], "the new column")
        watching.terminate()
        self.assertEqual(watching.wait(harness.PATIENCE_S), 0, van.errors())
        self.finish(server, shop, van)

    def test_schema_older_directory_than_the_store_refused(self):
        server, _, _ = self.begin()
        self.migrated(server, "ALTER TABLE artist ADD COLUMN website TEXT;\n")
        server.stop()
        done = harness.Server(self, server.data, harness.MUSIC).start(expect_failure=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("003", done.stderr)


if __name__ == "__main__":
    harness.main()
