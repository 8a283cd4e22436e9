"""A rollout: new rules for some devices first, then for all of them, or for none; the server killed in between, edits made offline on either side of it."""
import os
import shutil

import company
import harness
from company import literal

OFFICE = os.path.join(harness.ROOT, "tests/schemas/office")


class Rollout(company.Company):
    def begin(self):
        server = super().begin()
        self.ann, self.bob, self.ann_id, self.bob_id = self.two_reps()
        self.old = server.ctl("scope", "show")["text"]
        # Reps have their own customers alone, see no evidence, and may change no company.
        self.new = (self.old.replace("mate.id <> me.id", "0").replace("('till', 'consent_event', 'evidence')", "('till', 'consent_event', 'evidence'), ('rep', 'consent_event', 'evidence')")
                    .replace("('rep', 'account', 'insert,update', NULL, 0)", "('rep', 'account', 'insert', NULL, 0)"))
        self.assertEqual([self.new.count(s) - self.old.count(s) for s in ("mate.id <> me.id", "evidence')", "'insert', NULL, 0)")], [-1, 1, 1])
        return server

    def file(self, text, name="new.sql"):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def owners(self, device):
        return {r[0] for r in device.read("SELECT DISTINCT owner_id FROM account")}

    def own(self, user):
        """Owners of what the new rules leave: the user's companies, and those of his territory."""
        return {r[0] for r in self.hq.read("SELECT DISTINCT owner_id FROM account WHERE owner_id = ? OR territory_id = ?", user, self.territory[user])}

    def profiles(self):
        return {d["name"]: d["profile"] for d in self.hq.ctl("device", "list")}

    def state(self):
        return [(p["name"], p["next"], p["devices"], p["given"], p["told"]) for p in self.hq.ctl("rollout", "show")["profiles"]]

    def rename(self, device, owner):
        """Edits a company of its own, offline; whether the server took it."""
        key = literal(device.one("SELECT id FROM account WHERE owner_id = ? ORDER BY id LIMIT 1", owner))
        device.sql(f"UPDATE account SET name = 'Renamed by {device.name}' WHERE id = {key}")
        device.sync()
        return self.hq.one(f"SELECT name FROM account WHERE id = {key}") == f"Renamed by {device.name}"

    def test_rollout_reaches_some_then_all_and_everybody_keeps_what_he_wrote(self):
        self.begin()
        before = {d.name: d.content() for d in (self.ann, self.bob)}
        self.assertEqual((self.state(), self.own(self.ann_id) < self.owners(self.ann), self.own(self.bob_id) < self.owners(self.bob)), ([], True, True))
        told = self.hq.ctl("rollout", "start", self.file(self.new))
        self.assertEqual((told["name"], told["devices"], self.state()), ("new.sql", 0, [("rep", "rep@next", 2, 0, 0)]))
        for device in (self.ann, self.bob):
            device.sync()
            self.assertEqual(device.content(), before[device.name], "nobody was to have the new rules yet")
        # What she wrote before she came under them is taken in, about a customer who leaves her, too.
        mates = self.ann.one("SELECT id FROM account WHERE owner_id <> ? AND territory_id <> ? ORDER BY id LIMIT 1", self.ann_id, self.territory[self.ann_id])
        self.ann.sql(f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'f0', 'account', {literal(mates)}, 'Met at the fair')")
        self.hq.ctl("device", "set", "ann", "--profile", "rep@next")
        self.assertEqual(self.state(), [("rep", "rep@next", 2, 1, 0)])
        self.hq.kill()
        self.hq.start()
        for _ in range(2):
            self.ann.sync()
            self.bob.sync()
        self.assertEqual(self.state(), [("rep", "rep@next", 2, 1, 1)])
        self.assertEqual((self.owners(self.ann), self.hq.one("SELECT body FROM note WHERE id = x'f0'")), (self.own(self.ann_id), "Met at the fair"))
        self.assertEqual(self.ann.one("SELECT count(*) FROM consent_event WHERE evidence IS NOT NULL"), 0)
        self.assertEqual(self.bob.content(), before["bob"])
        self.assertEqual((self.rename(self.bob, self.bob_id), self.rename(self.ann, self.ann_id)), (True, False))
        refused = self.hq.ctl("rejected")
        self.assertEqual([(r["device"], r["code"]) for r in refused], [("ann", "E_SCOPE")])
        self.hq.ctl("rejected", "discard", "ann", refused[0]["number"])
        # Nothing else is published meanwhile.
        self.assertIn("a rollout of new.sql is under way", self.hq.ctl("scope", "publish", self.file(self.old, "old.sql"), expect=1))
        self.assertIn("a rollout of new.sql is under way", self.hq.ctl("rollout", "start", self.path("old.sql"), expect=1))
        self.assertEqual((self.hq.ctl("rollout", "advance", 100)["devices"], self.state()), (1, [("rep", "rep@next", 2, 2, 1)]))
        self.bob.sync()
        self.assertEqual((self.owners(self.bob), self.state()), (self.own(self.bob_id), [("rep", "rep@next", 2, 2, 2)]))
        held = {d.name: d.content() for d in (self.ann, self.bob)}
        self.hq.ctl("rollout", "finish")
        self.assertEqual((self.hq.ctl("scope", "show")["text"], self.profiles(), self.state()), (self.new, {"ann": "rep", "bob": "rep"}, []))
        for device in (self.ann, self.bob):
            device.sync()
            self.assertEqual(device.content(), held[device.name], "who was under the new rules already was to notice nothing")
        late = self.of_profile("late", "rep", self.ann_id)
        self.assertEqual(late.content(), self.ann.content())
        self.assertIn("no rollout is under way", self.hq.ctl("rollout", "finish", expect=1))

    def test_rollout_aborted_leaves_everybody_with_what_he_had(self):
        self.begin()
        before = {d.name: d.content() for d in (self.ann, self.bob)}
        self.hq.ctl("rollout", "start", self.file(self.new), "--percent", 100)
        code = self.hq.code("late", "--profile", "rep@next", "--user", literal(self.ann_id))
        for device, user in ((self.ann, self.ann_id), (self.bob, self.bob_id)):
            device.sync()
            self.assertEqual(self.owners(device), self.own(user))
        self.ann.sql(f"INSERT INTO lead(id, company, created_by) VALUES(x'f1', 'Under the new rules', {literal(self.ann_id)})")
        self.hq.ctl("rollout", "abort")
        self.assertEqual((self.hq.ctl("scope", "show")["text"], self.profiles(), self.state()), (self.old, {"ann": "rep", "bob": "rep"}, []))
        self.sync_all(self.ann, self.bob)
        self.assertEqual(self.hq.one("SELECT company FROM lead WHERE id = x'f1'"), "Under the new rules")
        self.assertEqual(self.bob.content(), before["bob"])
        self.assertEqual({t: r for t, r in self.ann.content().items() if t != "lead" and r != before["ann"][t]}, {})
        late = self.device("late")
        late.run("enroll", "-", "--name", "late", stdin=code + "\n")
        late.sync()
        self.assertEqual((self.profiles()["late"], late.content()), ("rep", self.ann.content()))

    def test_rollout_meets_migrations_that_bring_rules_of_their_own(self):
        schema = self.path("schema")
        shutil.copytree(OFFICE, schema)
        server = self.hq = self.server(schema=schema)
        ann = self.device("ann")
        ann.enroll(server, options=["--profile", "rep", "--user", "'north'"])
        server.sql("INSERT INTO client(id, region, name, phone, secret) VALUES(x'01', 'north', 'Ada', '1', 's')")
        rules = server.ctl("scope", "show")["text"]

        def roll_out(text):
            self.assertEqual(server.ctl("rollout", "start", self.file(text.replace("('rep', 'client', 'secret')", "('rep', 'visit', 'note')")), "--percent", 1)["devices"], 1)
            ann.sync()
            return self.profiles()["ann"], ann.read("SELECT name, secret FROM client")

        def release(name, migration, text):
            server.stop()
            for path, words in ((name, migration), ("scope.sql", text)):
                with open(os.path.join(schema, path), "w", encoding="utf-8") as f:
                    f.write(words)
            server.start()

        self.assertEqual(roll_out(rules), ("rep@next", [("Ada", "s")]))
        # A new table, for which the rules in force have none: they go on until others are published.
        rules += "INSERT INTO scope_bucket(tbl, name) VALUES('bill', 'bills');\n"
        release("002_bill.sql", "CREATE TABLE bill(id BLOB PRIMARY KEY, total INTEGER);\nINSERT INTO satchel_table(name) VALUES('bill');\n", rules)
        self.assertIn("a rollout of new.sql is under way", server.read_log())
        self.assertIn("bill", server.ctl("rollout", "finish", expect=1))
        own = os.path.join(schema, "scope.sql")
        self.assertIn("a rollout of new.sql is under way", server.ctl("scope", "dry-run", own, expect=1))
        self.assertIn("--end-rollout", server.ctl("scope", "publish", own, expect=1))
        server.ctl("scope", "publish", own, "--end-rollout")
        ann.sync()
        self.assertEqual((self.profiles(), self.state(), ann.read("SELECT name, secret FROM client")), ({"ann": "rep"}, [], [("Ada", None)]))
        # What was in force amid a rollout is not to be published for itself.
        self.assertEqual(roll_out(rules), ("rep@next", [("Ada", "s")]))
        amid = self.file(server.ctl("scope", "show")["text"], "amid.sql")
        self.assertIn("amid a rollout", server.ctl("scope", "publish", amid, "--end-rollout", expect=1))
        # A column that they name is gone: the rules of the release are in force, and the rollout is over.
        release("003_phone.sql", "ALTER TABLE client DROP COLUMN phone;\n", rules.replace("'name,phone'", "'name'"))
        self.assertIn("no profile of the rollout that was under way: 1 devices", server.read_log())
        ann.sync()
        self.assertEqual((self.profiles(), self.state(), ann.read("SELECT name, secret FROM client")), ({"ann": "rep"}, [], [("Ada", None)]))

    def test_rollout_goes_on_after_a_restore_reaches_who_was_paused_and_waits_as_long_as_it_says(self):
        server = self.hq = self.server(schema=OFFICE)
        self.ann, self.bob = (self.device(name) for name in ("ann", "bob"))
        for device in (self.ann, self.bob):
            device.enroll(server, options=["--profile", "rep", "--user", "'north'"])
        server.sql("INSERT INTO client(id, region, name, phone, secret) VALUES(x'01', 'north', 'Ada', '1', 's')")
        old = server.ctl("scope", "show")["text"]
        new = (old.replace("('rep', 'client', 'secret')", "('rep', 'visit', 'note')").replace("scope_profile(name, buckets)", "scope_profile(name, buckets, horizon_days)")
               .replace("'SELECT ''region'', :user')", "'SELECT ''region'', :user', 3)").replace("''south''')", "''south''', NULL)"))
        secrets = lambda: [d.one("SELECT secret FROM client") for d in (self.ann, self.bob)]
        names = lambda: [d.one("SELECT name FROM client") for d in (server, self.ann, self.bob)]
        horizons = lambda: server.read("SELECT name, horizon_days FROM satchel_profile WHERE name LIKE 'rep%' ORDER BY name")
        server.ctl("rollout", "start", self.file(new))
        server.ctl("device", "set", "ann", "--profile", "rep@next")
        self.sync_all(self.ann, self.bob)
        amid = ([("rep", "rep@next", 2, 1, 1)], ["s", None], [("rep", 30), ("rep@next", 3)])
        self.assertEqual((self.state(), secrets(), horizons()), amid)
        server.ctl("backup", self.path("backup"))
        # He is paused when he is given the new rules, and until they are everybody's; what he wrote under the old ones is taken in.
        server.ctl("device", "pause", "bob")
        self.bob.sql("UPDATE client SET name = 'Ada King'")
        server.ctl("rollout", "advance", 100)
        self.bob.sync_in_vain("has paused this device")
        self.assertEqual((self.state(), secrets()), ([("rep", "rep@next", 2, 2, 1)], ["s", None]))
        server.ctl("rollout", "finish")
        server.ctl("device", "resume", "bob")
        self.sync_all(self.bob, self.ann)
        self.assertEqual((self.state(), secrets(), horizons(), names()), ([], ["s", "s"], [("rep", 3)], ["Ada King"] * 3))
        # The backup is of amid the rollout, and there it stands again: he has lost what only the new rules gave him, and nothing that he wrote.
        server.stop()
        server.ctl("restore", "--force", self.path("backup"))
        server.start()
        self.sync_all(self.bob, self.ann)
        self.assertEqual((self.state(), secrets(), horizons(), names()), (*amid, ["Ada King"] * 3))
        server.ctl("rollout", "abort")
        self.sync_all(self.bob, self.ann)
        self.assertEqual((self.state(), secrets(), horizons(), server.ctl("scope", "show")["text"]), ([], [None, None], [("rep", 30)], old))
        self.assert_sound(server, self.ann, self.bob)

    def test_rollout_refuses_what_is_not_for_some_devices_alone(self):
        server = self.hq = self.server()
        text = server.ctl("scope", "show")["text"]
        n = text.count("\n") + 1
        for more, words in (("INSERT INTO scope_bucket(tbl, name) VALUES('loyalty_card', 'desk');", f"more.sql:{n}: this says anew where rows of loyalty_card lie"),
                            ("INSERT INTO scope_mask(profile, tbl, columns) VALUES('rep', 'contact', 'shoe_size');", f"more.sql:{n}: table contact has no column shoe_size"),
                            ("-- nothing", "more.sql: of every profile this says what the rules in force say")):
            self.assertIn(words, server.ctl("rollout", "start", self.file(text + more + "\n", "more.sql"), expect=1))
        self.assertIn("--percent", server.ctl("rollout", "start", self.path("more.sql"), "--percent", 101, expect=2))
        self.assertIn("from 1 to 100", server.ctl("rollout", "advance", "half", expect=2))
        self.assertIn("profile sales is not in the rules in force", server.ctl("rollout", "start", self.file(
            text + "INSERT INTO scope_profile(name, buckets) VALUES('sales', 'SELECT ''all'', NULL');", "more.sql"), expect=1))
        self.assertIn("names that end in @next", server.ctl("scope", "publish", self.file(
            text + "INSERT INTO scope_profile(name, buckets) VALUES('vip@next', 'SELECT ''all'', NULL');", "more.sql"), expect=1))
        self.assertEqual((server.ctl("scope", "show")["text"], server.ctl("rollout", "show")["profiles"]), (text, []))


if __name__ == "__main__":
    harness.main()
