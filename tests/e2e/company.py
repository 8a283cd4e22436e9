"""The sample company in a server, who is who in it, and devices of its people: what the tests of scope share."""
import os
import subprocess
import time

import harness

DAY_MS = 86400000


def literal(key):
    return "x'" + key.hex() + "'"


def midnight():
    """What satchel_now() says."""
    return int(time.time()) // 86400 * DAY_MS


class Company(harness.Case):
    """Cases on a server with the sample company. Teams of ten reps each work in five territories, two reps in each."""
    contacts = 200

    def company(self, server):
        size = ["--contacts", str(self.contacts), "--territories", "10", "--stores", "3"]
        company = subprocess.Popen([harness.program("satchel-company"), *size], stdout=subprocess.PIPE)
        with company.stdout as rows:
            subprocess.run([harness.program("satchelctl"), "--data", server.data, "sql", "-"], stdin=rows, check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(company.wait(), 0)
        # Who has most to lose comes first.
        self.reps = [r[0] for r in server.read("SELECT u.id FROM user_account u LEFT JOIN account ON owner_id = u.id WHERE role = 'rep' "
                                               "GROUP BY u.id ORDER BY count(account.id) DESC, u.id")]
        self.stores = [r[0] for r in server.read("SELECT id FROM store ORDER BY id")]
        self.team = dict(server.read("SELECT id, team_id FROM user_account"))
        self.territory = dict(server.read("SELECT user_id, territory_id FROM user_territory"))
        return server

    def begin(self, options=()):
        self.hq = self.server(options=options)
        self.hq.stop_timers()
        return self.company(self.hq)

    def of_profile(self, name, profile, user=None, store=None, server=None):
        """A device of somebody's, enrolled and in step."""
        options = ["--profile", profile]
        options += ["--user", literal(user)] if user else []
        options += ["--store", literal(store)] if store else []
        device = self.device(name)
        device.enroll(server or self.hq, options=options)
        device.sync()
        return device

    def two_reps(self):
        """Of different teams: what they hold differs in every table of customers. The devices, and their users."""
        ann = self.reps[0]
        bob = next(r for r in self.reps if self.team[r] != self.team[ann])
        return self.of_profile("ann", "rep", ann), self.of_profile("bob", "rep", bob), ann, bob

    def account_of(self, user):
        return self.hq.one("SELECT id FROM account WHERE owner_id = ? ORDER BY id LIMIT 1", user)

    def has(self, device, table, key, column="id"):
        return device.one(f'SELECT count(*) FROM "{table}" WHERE "{column}" = ?', key) == 1

    def give(self, table, key, user, territory=True):
        """The office gives a row to somebody else."""
        more = f", territory_id = {literal(self.territory[user])}" if table == "account" and territory else ""
        self.hq.sql(f"UPDATE {table} SET owner_id = {literal(user)}{more} WHERE id = {literal(key)}")
