"""T23: a device of the schema before keeps what it does not know of intact: columns that others write meanwhile."""
import os
import shutil

import harness

FIRST = ("CREATE TABLE person(id TEXT PRIMARY KEY, name TEXT, phone TEXT, visits INTEGER NOT NULL DEFAULT 0);\n"
         "INSERT INTO satchel_table(name) VALUES('person');\nINSERT INTO satchel_rule(tbl, col, rule) VALUES('person', 'visits', 'counter');\n"
         "CREATE TABLE pref(person TEXT, channel TEXT, allowed INTEGER, PRIMARY KEY(person, channel)) WITHOUT ROWID;\n"
         "INSERT INTO satchel_table(name, key) VALUES('pref', 'natural');\n")
SECOND = ("ALTER TABLE person ADD COLUMN vip INTEGER NOT NULL DEFAULT 0;\nALTER TABLE person ADD COLUMN nick TEXT DEFAULT 'none';\n"
          "ALTER TABLE pref ADD COLUMN source TEXT DEFAULT 'unknown';\n")


class T23OldClient(harness.Case):
    def test_T23_columns_that_an_old_client_does_not_know_stay_as_they_are(self):
        directory = os.path.join(self.dir, "schema")
        os.mkdir(directory)
        for name, text in (("001_first.sql", FIRST), ("002_second.sql", SECOND)):
            with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
                f.write(text)
        shutil.move(os.path.join(self.dir, "001_first.sql"), directory)
        server = self.server(schema=directory)
        old, new = self.device("old", server), self.device("new", server)
        new.sync()
        new.sql("INSERT INTO person(id, name, phone) VALUES('ada', 'Ada', '1'), ('bob', 'Bob', '2'), ('cy', 'Cy', '3');"
                "INSERT INTO pref VALUES('ada', 'mail', 1)")
        self.sync_all(new, old)
        server.stop()
        shutil.move(os.path.join(self.dir, "002_second.sql"), directory)
        server.start()
        new.sync()
        new.sql("UPDATE person SET vip = 1, nick = 'Countess' WHERE id = 'ada'; UPDATE person SET vip = 2 WHERE id = 'bob';"
                "UPDATE pref SET source = 'letter' WHERE person = 'ada'")
        new.sync()
        # Still of the first schema: whole rows are rewritten, as many an app does, one is written over as a whole, one is new.
        self.assertEqual(old.one("SELECT count(*) FROM pragma_table_info('person') WHERE name = 'vip'"), 0)
        old.sql("UPDATE person SET id = 'ada', name = 'Ada L', phone = '11', visits = visits + 1 WHERE id = 'ada';"
                "INSERT INTO person(id, name, phone) VALUES('bob', 'Bobby', '22') ON CONFLICT DO UPDATE SET name = excluded.name, phone = excluded.phone;"
                "REPLACE INTO pref(person, channel, allowed) VALUES('ada', 'mail', 0); INSERT INTO person(id, name) VALUES('dee', 'Dee')")
        self.sync_all(old, new)
        self.assertEqual(server.read("SELECT name, phone, visits, vip, nick FROM person WHERE id = 'ada'"), [("Ada L", "11", 1, 1, "Countess")])
        self.assertEqual(server.read("SELECT name, phone, vip, nick FROM person WHERE id = 'bob'"), [("Bobby", "22", 2, "none")])
        self.assertEqual(server.read("SELECT allowed, source FROM pref"), [(0, "letter")])
        self.assertEqual(server.read("SELECT vip, nick FROM person WHERE id = 'dee'"), [(0, "none")])
        self.assertEqual(server.ctl("conflicts"), [], "nothing was lost")
        self.assert_same(server, old, new)
        self.assert_sound(server, old, new)


if __name__ == "__main__":
    harness.main()
