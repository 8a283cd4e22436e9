"""Public shapes: customers and orders as sample databases have them (tests/schemas/trade, tests/schemas/songs), with the words, types and keys that such
schemas have. CSV files made here are imported into a fresh server, synced, and compared with what was made, row by row; then devices go on with them offline."""
import csv
import datetime
import json
import os
import random
import subprocess

import harness

TRADE, SONGS = (os.path.join(harness.ROOT, "tests/schemas", name) for name in ("trade", "songs"))
SYLLABLES = "ba ke li mo nu ra sé ti vo zü".split()
PARENTS = {"Order": {"CustomerID": "Customer"}, "Order Line": {"OrderID": "Order", "ProductID": "Product"}}  # of two that are missing the last is told
COUNTRIES = ["Austria", "Brazil", "Ireland", "Norway"]


def money(cents):
    """As a NUMERIC column keeps it: what is whole is an integer."""
    return cents // 100 if cents % 100 == 0 else cents / 100


class Maker:
    """Rows by table, in an order in which parents come first. The same for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.rows = {}

    def some(self, chance, value):
        return value if self.random.random() < chance else None

    def word(self, n=3):
        return "".join(self.random.choice(SYLLABLES) for _ in range(n)).capitalize()

    def day(self, year=1996, days=900):
        return (datetime.date(year, 1, 1) + datetime.timedelta(days=self.random.randrange(days))).isoformat()

    def price(self, most=5000):
        return money(self.random.randrange(1, most))

    def photo(self):
        return self.some(0.5, self.random.randbytes(30))


def trade(seed, customers=300, orders=1200):
    m = Maker(seed)
    r = m.random
    m.rows["Area"] = [(i, m.word()) for i in range(1, 5)]
    m.rows["District"] = [(f"{n:05}", m.word(), n % 4 + 1) for n in range(7, 100000, 2503)]  # zeros before them: they are no numbers
    m.rows["Staff"] = [(i, m.word(), m.word(2), r.choice(["Ms.", "Mr.", "Dr.", None]), m.day(1950, 9000), m.day(), None if i == 2 else 2 if i < 5 else 5,
                        m.photo(), m.some(0.7, 'Says "yes", and\nmeans it')) for i in range(1, 10)]
    m.rows["Staff District"] = sorted({(r.randrange(1, 10), r.choice(m.rows["District"])[0]) for _ in range(60)})
    m.rows["Carrier"] = [(i, m.word() + " & Sons", f"(503) 555-0{i:03}") for i in range(1, 4)]
    m.rows["Vendor"] = [(i, m.word() + ", Ltd.", f"{r.randrange(10000):05}", r.choice(COUNTRIES), m.some(0.2, "#page#http://example.com#")) for i in range(1, 30)]
    m.rows["Category"] = [(i, m.word(2), m.word() + "; " + m.word(), m.photo()) for i in range(1, 9)]
    m.rows["Product"] = [(i, m.word() + " d'" + m.word(2), r.randrange(1, 30), m.some(0.95, r.randrange(1, 9)), f"{r.randrange(50)} x 0.5 l", m.price(),
                          r.randrange(200), int(r.random() < 0.1)) for i in range(1, 78)]
    m.rows["Customer"] = [(chr(65 + i // 26 // 26) + chr(65 + i // 26 % 26) + chr(65 + i % 26) + "XZ", m.word() + "'s", m.some(0.9, m.word()), m.word(), m.some(0.3, "NS"),
                           m.some(0.9, f"0{r.randrange(9999):04}"), r.choice(COUNTRIES), m.some(0.8, f"+{r.randrange(10**9)}")) for i in range(customers)]
    m.rows["Order"], m.rows["Order Line"] = [], []
    for i in range(10248, 10248 + orders):
        of = r.choice(m.rows["Customer"])
        m.rows["Order"].append((i, of[0], r.randrange(1, 10), m.day() + " 00:00:00", m.some(0.9, m.day()), m.some(0.95, r.randrange(1, 4)), m.price(20000), of[6]))
        for product in r.sample(m.rows["Product"], r.randrange(1, 5)):
            m.rows["Order Line"].append((i, product[0], product[5], r.randrange(1, 100), r.choice([0.0, 0.0, 0.05, 0.15])))
    return m.rows


def songs(seed, customers=60, invoices=400):
    m = Maker(seed)
    r = m.random
    for table in ("Genre", "MediaType"):
        m.rows[table] = [(i, m.word(2)) for i in range(1, 6)]
    m.rows["Artist"] = [(i, m.some(0.97, m.word() + "/" + m.word())) for i in range(1, 90)]
    m.rows["Album"] = [(i, m.word() + " [" + m.word(1) + "]", r.randrange(1, 90)) for i in range(1, 120)]
    m.rows["Track"] = [(i, m.word(), m.some(0.98, r.randrange(1, 120)), r.randrange(1, 6), m.some(0.9, r.randrange(1, 6)), m.some(0.6, m.word() + ", " + m.word()),
                        r.randrange(60000, 500000), r.randrange(10**6, 10**9), r.choice([0.99, 1.99, 2])) for i in range(1, 1500)]
    m.rows["Employee"] = [(i, m.word(), None if i == 1 else 1 if i < 4 else 2, m.day(2002) + " 00:00:00") for i in range(1, 9)]
    m.rows["Customer"] = [(i, m.word(2), m.word(), m.some(0.2, m.word()), m.some(0.5, "SP"), m.some(0.9, f"0{r.randrange(9999):04}-{r.randrange(999):03}"),
                           f"who{i}@mail.example", m.some(0.95, r.randrange(3, 6))) for i in range(1, customers + 1)]
    m.rows["Invoice"], m.rows["InvoiceLine"] = [], []
    for i in range(1, invoices + 1):
        lines = [(r.randrange(1, 1500), r.randrange(1, 3)) for _ in range(r.randrange(1, 9))]
        prices = [m.rows["Track"][track - 1][8] for track, _ in lines]
        m.rows["Invoice"].append((i, r.randrange(1, customers + 1), m.day(2009) + " 00:00:00", m.word(), None, money(sum(round(p * 100) * n for p, (_, n) in zip(prices, lines)))))
        for (track, n), price in zip(lines, prices):
            m.rows["InvoiceLine"].append((len(m.rows["InvoiceLine"]) + 1, i, track, price, n))
    m.rows["Playlist"] = [(i, r.choice(["Music", "Heavy", None])) for i in range(1, 10)]
    m.rows["PlaylistTrack"] = sorted({(r.randrange(1, 10), r.randrange(1, 1500)) for _ in range(800)})
    return m.rows


def field(value):
    return "x'" + value.hex() + "'" if isinstance(value, bytes) else "" if value is None else value


class PublicShapes(harness.Case):
    def columns(self, side, table):
        return [c for c, in side.read(f"SELECT name FROM pragma_table_info('{table}') WHERE name NOT LIKE 'satchel@_%' ESCAPE '@' ORDER BY cid")]

    def write(self, server, table, rows):
        path = self.path(table + ".csv")
        with open(path, "w", encoding="utf-8", newline="") as f:
            out = csv.writer(f)
            out.writerow(self.columns(server, table))
            out.writerows([field(v) for v in row] for row in rows)
        return path

    def load(self, server, table, path, expect=0):
        done = subprocess.run([harness.program("satchelctl"), "--data", server.data, "--json", "import", table, path], capture_output=True, text=True,
                              timeout=harness.PATIENCE_S, check=False)
        harness.check_output("satchelctl", done.stderr)
        self.assertIn(done.returncode, (0, 1) if expect is None else (expect,), f"{table}: {done.stdout[-500:]}{done.stderr[-2000:]}")
        return json.loads(done.stdout), done.stderr

    def line(self, rows, at):
        """Of the file in which the row begins: some fields are of two lines."""
        return 2 + at + sum(str(v).count("\n") for row in rows[:at] for v in row)

    def load_all(self, schema, tables):
        server = self.server(schema=schema)
        for table, rows in tables.items():
            answer, _ = self.load(server, table, self.write(server, table, rows))
            self.assertEqual((answer["inserted"], answer["failed"]), (len(rows), 0), table)
        return server

    def assert_holds(self, side, tables):
        """Value by value and type by type what was made: a date stays as it was written, zeros stay before a number that is text."""
        for table, rows in tables.items():
            names = ", ".join(f'"{c}"' for c in self.columns(side, table))
            got = side.read(f'SELECT {names} FROM "{table}"')
            typed = [sorted(([(type(v).__name__, v) for v in row] for row in some), key=repr) for some in (got, rows)]
            self.assertEqual(len(got), len(rows), table)
            for here, there in zip(*typed):
                self.assertEqual(here, there, table)

    def of_country(self, tables, country):
        """What a rep is to hold."""
        mine = dict(tables)
        mine["Customer"] = [c for c in tables["Customer"] if c[6] == country]
        keys = {c[0] for c in mine["Customer"]}
        mine["Order"] = [o for o in tables["Order"] if o[1] in keys]
        numbers = {o[0] for o in mine["Order"]}
        mine["Order Line"] = [x for x in tables["Order Line"] if x[0] in numbers]
        return mine

    def trade_devices(self, server):
        office = self.device("office", server)
        reps = [self.device(c).enroll(server, options=["--profile", "rep", "--user", f"'{c}'"]) for c in ("Norway", "Brazil")]
        self.sync_all(office, *reps, rounds=1)
        return office, *reps

    def test_trade_imported_is_on_each_device_what_its_profile_says(self):
        tables = trade(1)
        self.assertGreater(sum(map(len, tables.values())), 4500)
        server = self.load_all(TRADE, tables)
        office, norway, brazil = self.trade_devices(server)
        self.assert_holds(server, tables)
        self.assert_holds(office, tables)
        for rep in (norway, brazil):
            mine = self.of_country(tables, rep.name)
            self.assertTrue(0 < len(mine["Order"]) < len(tables["Order"]) / 2)
            self.assert_holds(rep, mine)
        # An order that is made offline, with its lines, arrives with whom it concerns, and with nobody else.
        customer = self.of_country(tables, "Norway")["Customer"][0][0]
        order = (20001, customer, 3, "1998-06-01 00:00:00", None, 2, 12.5, "Norway")
        lines = [(20001, 11, 21.35, 3, 0.15), (20001, 42, 9, 1, 0.0)]
        norway.sql(f"BEGIN; INSERT INTO \"Order\" VALUES(20001, '{customer}', 3, '1998-06-01 00:00:00', NULL, 2, 12.5, 'Norway');"
                   "INSERT INTO \"Order Line\" VALUES(20001, 11, 21.35, 3, 0.15), (20001, 42, 9.0, 1, 0); COMMIT;"
                   "UPDATE \"Order Line\" SET \"Quantity\" = 4 WHERE \"OrderID\" = 20001 AND \"ProductID\" = 11")
        lines[0] = (20001, 11, 21.35, 4, 0.15)
        self.assertNotEqual(norway.run("sql", "-", stdin="UPDATE \"Order Line\" SET \"Discount\" = 1.5 WHERE \"OrderID\" = 20001", expect=1).stderr, "")
        self.sync_all(norway, office, brazil)
        tables["Order"].append(order)
        tables["Order Line"] += lines
        self.assert_holds(server, tables)
        self.assert_holds(office, tables)
        self.assert_holds(norway, self.of_country(tables, "Norway"))
        self.assert_holds(brazil, self.of_country(tables, "Brazil"))
        self.assertEqual(server.ctl("rejected"), [])
        # A customer who moves goes with everything that hangs on him.
        office.sql(f"UPDATE \"Customer\" SET \"Country\" = 'Brazil' WHERE \"CustomerID\" = '{customer}'")
        self.sync_all(office, norway, brazil)
        tables["Customer"] = [c[:6] + ("Brazil",) + c[7:] if c[0] == customer else c for c in tables["Customer"]]
        for rep in (norway, brazil):
            self.assert_holds(rep, self.of_country(tables, rep.name))
        self.assert_same(server, office)

    def test_trade_two_orders_of_one_number_one_is_refused_and_named(self):
        server = self.load_all(TRADE, trade(2, customers=20, orders=30))
        office, *_ = self.trade_devices(server)
        other = self.device("other", server)
        other.sync()
        for device, freight in ((office, 1.25), (other, 2.5)):
            device.sql(f"BEGIN; INSERT INTO \"Order\"(\"OrderID\", \"CustomerID\", \"Freight\") VALUES(30001, 'AAAXZ', {freight});"
                       f"INSERT INTO \"Order Line\"(\"OrderID\", \"ProductID\", \"Unit Price\") VALUES(30001, 1, {freight}); COMMIT")
        self.sync_all(office, other)
        self.assertEqual(other.read("SELECT name, tbl FROM satchel_rejected"), [("E_KEY_TAKEN", "Order")])
        self.assertEqual(server.read("SELECT \"Freight\", \"Unit Price\" FROM \"Order\" JOIN \"Order Line\" USING(\"OrderID\") WHERE \"OrderID\" = 30001"), [(1.25, 1.25)])
        other.run("rejected", "discard", other.one("SELECT n FROM satchel_rejected"))
        other.sql("BEGIN; INSERT INTO \"Order\"(\"OrderID\", \"CustomerID\", \"Freight\") VALUES(30002, 'AAAXZ', 2.5);"
                  "INSERT INTO \"Order Line\"(\"OrderID\", \"ProductID\", \"Unit Price\") VALUES(30002, 1, 2.5); COMMIT")
        self.sync_all(other, office)
        self.assert_same(server, office, other)

    def test_trade_rows_that_will_not_do_are_named_and_the_rest_is_in(self):
        tables = trade(3, customers=40, orders=100)
        server, refused = self.server(schema=TRADE), {}
        spoil = {"Product": [(4, "Unit Price", -1, "E_CHECK"), (9, "VendorID", 4711, "E_FOREIGN_KEY"), (11, "In Stock", "many", "E_TYPE")],
                 "Customer": [(2, "Company", None, "E_NOT_NULL")],
                 "Order Line": [(6, "Discount", 15, "E_CHECK"), (8, "ProductID", None, "E_KEY_MISSING"), (20, "Quantity", 2.5, "E_TYPE")]}
        for table, rows in tables.items():
            kept, columns = list(rows), self.columns(server, table)
            for at, column, value, _ in spoil.get(table, []):
                i = columns.index(column)
                kept[at] = kept[at][:i] + (value,) + kept[at][i + 1:]
            answer, told = self.load(server, table, self.write(server, table, kept), expect=None)
            # What hangs on a row that was refused is refused as well, and named.
            orphans = {i: c for i, row in enumerate(kept) for c, parent in PARENTS.get(table, {}).items() if row[columns.index(c)] in refused.get(parent, ())}
            wrong = {self.line(kept, at): (c, "E_FOREIGN_KEY") for at, c in orphans.items()}
            wrong |= {self.line(kept, at): (column if code != "E_CHECK" else None, code) for at, column, _, code in spoil.get(table, [])}
            self.assertEqual({e["line"]: (e["column"], e["code"]) for e in answer["errors"]}, wrong, table)
            for line, (column, _) in wrong.items():
                self.assertRegex(told, rf"{table}\.csv:{line}: {column or ''}")
            gone = {*orphans, *(at for at, *_ in spoil.get(table, []))}
            tables[table] = [row for i, row in enumerate(rows) if i not in gone]
            refused[table] = {rows[i][0] for i in gone}
        self.assertTrue(refused["Order"] and len(refused["Order Line"]) > 3)
        self.assert_holds(server, tables)
        self.assert_sound(server)

    def test_songs_imported_is_whole_on_two_devices_and_an_invoice_made_offline_arrives(self):
        tables = songs(4)
        self.assertGreater(sum(map(len, tables.values())), 4000)
        server = self.load_all(SONGS, tables)
        shop, van = self.device("shop", server), self.device("van", server)
        self.sync_all(shop, van, rounds=1)
        self.assert_holds(server, tables)
        self.assert_holds(van, tables)
        van.sql("BEGIN; INSERT INTO Invoice VALUES(9001, 7, '2013-12-22 00:00:00', 'Porto', '0400', 2.98);"
                "INSERT INTO InvoiceLine VALUES(90001, 9001, 12, 0.99, 1), (90002, 9001, 13, 1.99, 1); COMMIT;"
                "INSERT INTO PlaylistTrack VALUES(1, 1499); UPDATE Customer SET SupportRepId = 4, PostalCode = '00012' WHERE CustomerId = 7")
        shop.sql("UPDATE Customer SET Company = 'Seven & Co' WHERE CustomerId = 7; INSERT OR IGNORE INTO PlaylistTrack VALUES(1, 1499)")
        self.sync_all(van, shop)
        self.sync_all(van, shop)
        self.assertEqual(server.read("SELECT Company, PostalCode, SupportRepId FROM Customer WHERE CustomerId = 7"), [("Seven & Co", "00012", 4)])
        self.assertEqual(shop.read("SELECT Total, count(*), round(sum(l.UnitPrice * Quantity), 2), BillingPostalCode FROM Invoice i JOIN InvoiceLine l USING(InvoiceId) "
                                   "WHERE InvoiceId = 9001"), [(2.98, 2, 2.98, "0400")])
        self.assertEqual(server.one("SELECT count(*) FROM PlaylistTrack WHERE TrackId = 1499 AND PlaylistId = 1"), 1)
        self.assertEqual(server.ctl("rejected"), [])
        self.assert_same(server, shop, van)


if __name__ == "__main__":
    harness.main()
