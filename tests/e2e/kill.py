"""A device process is killed with SIGKILL at 200 random instants under `satchel sql` work; after restart and sync the server holds exactly what
the device's file holds."""
import os
import signal
import subprocess
import time

import harness

KILLS = int(os.environ.get("SATCHEL_KILLS", 200))
KINDS = ("autocommit", "transaction", "savepoint", "upsert", "failing")


class Kill(harness.Case):
    def row(self):
        return f"x'{self.random.randrange(60):04x}'"

    def text(self):
        return "'%s'" % self.random.randbytes(self.random.choice((4, 40, 400, 4000))).hex()

    def change(self):
        return self.random.choice((
            "INSERT OR REPLACE INTO contact(id, given, visit_count) VALUES({row}, {text}, 1)",
            "UPDATE contact SET job_title = {text} WHERE id = {row}",
            "UPDATE contact SET visit_count = visit_count + 1 WHERE id >= {row}",
            "UPDATE contact SET given = {text}, family = {text} WHERE id = {row}",
            "DELETE FROM contact WHERE id = {row}",
            "INSERT INTO interaction(id, contact_id, channel, at, body) VALUES(uuid7(), {row}, 'phone', 0, {text})",
        )).format(row=self.row(), text=self.text())

    def piece(self, kind):
        """Some statements of one kind; at its end no transaction is open."""
        some = lambda: [self.change() for _ in range(self.random.randrange(1, 6))]
        if kind == "autocommit":
            return some()
        if kind == "transaction":
            return ["BEGIN", *some(), self.random.choice(("COMMIT", "COMMIT", "ROLLBACK"))]
        if kind == "savepoint":
            end = self.random.choice((["RELEASE a"], ["ROLLBACK TO a", *some(), "RELEASE a"], ["ROLLBACK TO a", "RELEASE a"]))
            inner = ["SAVEPOINT b", *some(), self.random.choice(("RELEASE b", "ROLLBACK TO b"))]
            outer = self.random.randrange(2)
            return (["BEGIN"] if outer else []) + ["SAVEPOINT a", *some(), *inner, *end] + (["COMMIT"] if outer else [])
        if kind == "upsert":
            return [f"INSERT INTO contact(id, given, visit_count) VALUES({self.row()}, {self.text()}, 1)"
                    " ON CONFLICT(id) DO UPDATE SET visit_count = visit_count + 1, given = excluded.given" for _ in range(3)]
        # The third row breaks a rule when the first two are written already: the statement undoes itself, the transaction goes on.
        broken = (f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES(uuid7(), {self.row()}, 'email', 'a'),"
                  f"(uuid7(), {self.row()}, 'phone', 'b'), (uuid7(), {self.row()}, 'pigeon', 'c')")
        return self.random.choice(([broken], ["BEGIN", *some(), broken, *some(), "COMMIT"]))

    def work(self):
        statements = []
        while len(statements) < 300:
            statements += self.piece(self.random.choice(KINDS))
        path = self.path("work.sql")
        with open(path, "w", encoding="ascii") as f:
            f.write(";\n".join(statements) + ";\n")
        return path

    def start_work(self, device):
        return subprocess.Popen(device.command("sql", "--keep-going", "--file", self.work()), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def end_work(self, process, after_s):
        """Returns whether the process was still at work."""
        try:
            errors = process.communicate(timeout=after_s)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            errors = process.communicate()[1]
        harness.check_output("satchel", errors)
        return process.returncode == -signal.SIGKILL

    def test_kill_device_at_random_instants_server_holds_what_the_file_holds(self):
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        self.sync_all(phone, other, rounds=1)
        began = time.monotonic()
        self.end_work(self.start_work(phone), harness.PATIENCE_S)
        whole_s = time.monotonic() - began
        kills = rounds = 0
        while kills < KILLS:
            rounds += 1
            self.assertLess(rounds, 3 * KILLS, f"the work is done before it is killed ({whole_s:.2f} s)")
            began = time.monotonic()
            if self.end_work(self.start_work(phone), self.random.uniform(0, whole_s)):
                kills += 1
            else:
                whole_s = min(whole_s, time.monotonic() - began)  # the first may have had no processor for most of its time
            if rounds % 20 == 0:
                self.check(server, phone)
        self.check(server, phone)
        other.sync()
        self.assert_same(server, other)
        self.assert_sound(server, phone, other)
        self.assertEqual(server.one("SELECT count(*) FROM satchel_refused"), 0)
        self.assertEqual(server.ctl("conflicts"), [])

    def check(self, server, phone):
        """What the file held before the sync is what both hold after it."""
        before = phone.content()
        phone.sync()
        self.assertEqual(phone.one("SELECT count(*) FROM satchel_rejected"), 0, phone.read("SELECT * FROM satchel_rejected LIMIT 3"))
        self.assertTrue(before == phone.content(), "the sync changed the file's own rows")
        self.assert_same(server, phone)


if __name__ == "__main__":
    harness.main()
