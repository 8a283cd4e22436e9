"""Capabilities of section 1A: customers, what is known of them, and that it is one record for all."""
import collections
import json
import os
import shutil
import time

import harness
from capabilities import Automation, Data, Merge, Text, View, capability, later
from crm_cli import crm
from office import ANN, BOB, DAY_MS, EVE, STORE, TOM, ask, day_of, folded, same, sync

NOW = int(time.time() * 1000)


def desk(office, name):
    """A device of the head office, which holds everything, in step."""
    if name not in vars(office):
        setattr(office, name, office.device(name).enroll(office.hq))
    vars(office)[name].sync()
    return vars(office)[name]


def customer(office, family, columns="", values="", owner=ANN):
    """(account, contact): a company whose owner is a rep, with one person in it."""
    account, contact = office.new(), office.new()
    office.hq.sql(f"INSERT INTO account(id, name, owner_id) VALUES({account}, '{family} Ltd', {owner});"
                  f"INSERT INTO contact(id, account_id, given, family{columns}) VALUES({contact}, {account}, 'Pat', '{family}'{values});")
    return account, contact


def server_has(office, device):
    """How many rows a device holds; every one of them is on the server as it is here."""
    theirs, rows = office.hq.content(), 0
    for table, own in device.content().items():
        only_here = set(own) - set(theirs[table])
        if only_here:
            raise AssertionError(f"{device.name}: {table} has {sorted(only_here)[0]}, and the server has not")
        rows += len(own)
    return rows


@capability("C01", "One database for all", Merge("contact", "given"), Text("scope.sql", "('account', 'customers', 'coalesce(owner_id, created_by)'),"),
            Text("scope.sql", "('rep', 'account', 'insert,update', NULL, 0),"))
def one_database(office):
    one, two, ann = desk(office, "one"), desk(office, "two"), office.ann
    account, contact = customer(office, "Hub")
    sync(one, two, ann)
    one.sql(f"UPDATE contact SET given = 'Ada', family = 'King' WHERE id = {contact}")
    two.sql(f"UPDATE contact SET family = 'Lovelace' WHERE id = {contact}; UPDATE account SET website = 'hub.example' WHERE id = {account}")
    ann.sql(f"UPDATE account SET industry = 'engines' WHERE id = {account}; INSERT INTO note(id, parent_kind, parent_row, body) VALUES({office.new()}, 'account', {account}, 'n')")
    office.hq.sql(f"UPDATE account SET employees = 12 WHERE id = {account}")
    sync(one, two, ann)
    sync(one, two, ann)
    same(office.hq.read("SELECT given, family FROM contact WHERE hex(id) = ?", contact[2:-1].upper()), [("Pat", "Lovelace")], "a name is one writer's")
    same(ann.read("SELECT industry, website, employees FROM account WHERE hex(id) = ?", account[2:-1].upper()), [("engines", "hub.example", 12)], "Ann's account")
    sums = office.hq.ctl("digest")["digest"].splitlines()
    for device in (one, two):
        same(json.loads(device.run("digest", "--json").stdout)["digest"].splitlines(), sums, f"digest of {device.name}")
    return f"edits of 3 devices and the office in one company: {len(sums)} tables with equal hashes on 2 devices; Ann's {server_has(office, ann)} rows are all the server's"


# What a rep's device has of a contact's story: all but what was said in tickets, and older interactions.
STORY = "SELECT at, kind, quote(row_id), what, words, cents, currency, quote(by_user) FROM contact_360 WHERE contact_id = {} ORDER BY at, kind, row_id"


@capability("C02", "All of one contact", View("contact_360"),
            Text("scope.sql", "('purchase', 'contact', 'contact_id', 'contact_id IS NOT NULL AND at >= satchel_now() - 730 * 86400000', 'keep', 'customers,territory')",
                 "('purchase', 'contact', 'contact_id', 'contact_id IS NOT NULL AND at >= satchel_now() - 730 * 86400000', 'keep', 'store')"),
            Text("scope.sql", "('ticket', 'contact', 'contact_id', 'contact_id IS NOT NULL AND state <> ''closed''', 'keep', 'customers,territory')",
                 "('ticket', 'contact', 'contact_id', 'contact_id IS NOT NULL AND state <> ''closed''', 'keep', 'work')"))
def all_of_one_contact(office):
    account, contact = customer(office, "Journey", ", home_store_id", f", {STORE}")
    card, deal, ticket, quote, slot = (office.new() for _ in range(5))
    raw = collections.Counter()

    def add(side, kind, sql):
        side.sql(sql)
        raw[kind] += 1

    hq, ann = office.hq, office.ann
    ann.sync()
    for day in (400, 40, 4):
        add(hq, "interaction", f"INSERT INTO interaction(id, contact_id, channel, at, by_user, subject) VALUES({office.new()}, {contact}, 'phone', {NOW - day * DAY_MS}, {ANN}, "
            "'call')")
    hq.sql(f"INSERT INTO loyalty_card(id, program_id, code, contact_id) SELECT {card}, id, 'J-1', {contact} FROM loyalty_program LIMIT 1")
    for n, who in enumerate(("contact_id", "contact_id", "card_id")):
        sold = office.new()
        add(hq, "purchase", f"INSERT INTO purchase(id, channel, store_id, receipt_no, {who}, total_cents, at) "
            f"VALUES({sold}, 'pos', {STORE}, 'J{n}', {contact if n < 2 else card}, {1999 + n}, {NOW - (20 + n) * DAY_MS})")
        add(hq, "points", f"INSERT INTO loyalty_entry(id, card_id, kind, points, purchase_id, at) VALUES({office.new()}, {card}, 'earn', 20, {sold}, {NOW - (20 + n) * DAY_MS})")
    # Of now: an older one is overdue, and the timers would write more about it whenever they run.
    add(hq, "ticket", f"INSERT INTO ticket(id, subject, contact_id, assignee_id, opened_at) VALUES({ticket}, 'broken', {contact}, {TOM}, {NOW})")
    add(hq, "ticket_event", f"INSERT INTO ticket_event(id, ticket_id, kind, body, at) VALUES({office.new()}, {ticket}, 'comment', 'secret', {NOW})")
    hq.sql(f"INSERT INTO deal(id, name, account_id, stage_id, amount_cents, currency, owner_id, created_at) SELECT {deal}, 'J', {account}, id, 5000, 'EUR', {ANN}, "
        f"{NOW - 7 * DAY_MS}"
           " FROM stage WHERE name = 'Prospecting'")
    add(hq, "deal", f"INSERT INTO deal_contact(deal_id, contact_id, role, added_at) VALUES({deal}, {contact}, 'buyer', 1)")
    add(ann, "note", f"INSERT INTO note(id, parent_kind, parent_row, body, at, by_user) VALUES({office.new()}, 'contact', {contact}, 'likes trains', {NOW - 6 * DAY_MS}, {ANN})")
    add(ann, "consent", f"INSERT INTO consent_event(id, contact_id, purpose, channel, granted, at) VALUES({office.new()}, {contact}, 'news', 'email', 1, {NOW - 5 * DAY_MS})")
    ann.sync()
    ann.sql(f"INSERT INTO quote(id, deal_id, provisional, currency, created_by, created_at) VALUES({quote}, {deal}, 'P-J', 'EUR', {ANN}, {NOW - 4 * DAY_MS});"
            f"INSERT INTO quote_line(id, quote_id, qty, unit_cents) VALUES({office.new()}, {quote}, 2, 700), ({office.new()}, {quote}, 1, 350);"
            f"INSERT INTO appointment(id, owner_id, title, starts_at, ends_at) VALUES({slot}, {ANN}, 'lunch', {NOW + DAY_MS}, {NOW + DAY_MS + 1});"
            f"INSERT INTO appointment_attendee(appointment_id, contact_id, added_at) VALUES({slot}, {contact}, 1);"
            f"INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row) VALUES({office.new()}, 'call', {NOW + 5}, {ANN}, 'contact', {contact});"
            f"INSERT INTO feedback(id, contact_id, kind, score, at) VALUES({office.new()}, {contact}, 'nps', 9, {NOW - DAY_MS});"
            f"INSERT INTO referral(id, referrer, referee, at) VALUES({office.new()}, {contact}, {office.new()}, {NOW - DAY_MS})")
    raw.update(("quote", "appointment", "task", "feedback", "referral"))
    ann.sync()
    whole = desk(office, "one")
    as_of = office.hq.one("SELECT seq FROM satchel_server")
    then = ask(hq, STORY.format(contact))
    # The device is offline from here, and the world goes on.
    hq.sql(f"INSERT INTO interaction(id, contact_id, channel, at) VALUES({office.new()}, {contact}, 'email', {NOW})")
    same(collections.Counter(row[1] for row in then), raw, "what the office's view has of each kind")
    same(ask(whole, STORY.format(contact)), then, "head office's device")
    old = NOW - 365 * DAY_MS
    same(ask(ann, STORY.format(contact)), [r for r in then if r[1] not in ("ticket_event",) and not (r[1] == "interaction" and r[0] < old)], "Ann's device")
    same(ann.status()["cursor"], as_of, "cursor")
    return f"{sum(raw.values())} rows of {len(raw)} kinds in one view: equal on the head office's device and, within her scope, on Ann's, offline, as of commit {as_of}"


@capability("C03", "Contacts", Automation("point-norm"), Automation("address-norm"), View("contact_point_form"), View("address_form"), Merge("address", "street"), Merge("contact_point", "norm"),
            Text("scope.sql", "('rep', 'contact', 'insert,update,delete', NULL, 0),", "('rep', 'contact', 'insert,update', NULL, 0),"),
            Text("scope.sql", "('address', 'contact', 'owner_row', 'owner_kind = ''contact''', 'customers,territory'),"))
def contacts(office):
    people = [(office.new(), office.new()) for _ in range(100)]
    written = [("phone", "+49 (0)171 555-1234", "+491715551234"), ("phone", "0049 30 / 90.12", "+49309012"), ("phone", "030 9012", "0309012"),
               ("email", "  Zoe.Müller@Example.COM ", "zoe.müller@example.com"), ("social", "@Zoe", "@zoe")]
    homes = [("Königsstraße 5", "Köln", "50667", "DE"), ("KONIGSSTR. 5", "koln ", "50 667", "de"), ("12 High Street", "York", "YO1-7LX", "GB")]
    ann, bob = office.ann, office.bob
    ann.sql("BEGIN;" + "".join(f"INSERT INTO contact(id, given, family, created_by) VALUES({c}, 'G{i}', 'Mass', {ANN});"
                               f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES({p}, {c}, '{written[i % 5][0]}', '{written[i % 5][1]}');"
                               for i, (c, p) in enumerate(people)) + "COMMIT;"
            + "".join(f"INSERT INTO address(id, owner_kind, owner_row, street, city, zip, country) VALUES({office.new()}, 'contact', {c}, '{a}', '{b}', '{z}', '{l}');"
                      for (c, _), (a, b, z, l) in zip(people, homes))
            + "UPDATE contact SET job_title = 'Buyer' || given WHERE family = 'Mass';"
            + "".join(f"DELETE FROM contact_point WHERE id = {p}; DELETE FROM contact WHERE id = {c};" for c, p in people[90:]))
    sync(ann, bob)
    here = "SELECT quote(c.id), given, job_title, quote(p.id), p.value, p.norm FROM contact c JOIN contact_point p ON p.contact_id = c.id WHERE family = 'Mass' ORDER BY c.id"
    expected = [(f"X'{c[2:-1].upper()}'", f"G{i}", f"BuyerG{i}", f"X'{p[2:-1].upper()}'", *written[i % 5][1:]) for i, (c, p) in enumerate(people[:90])]
    for side in (office.hq, ann, bob):
        same(side.read(here), expected, "contacts")
        same(side.one("SELECT count(*) FROM contact WHERE family = 'Mass'"), 90, "contacts that are left")
    lived = "SELECT street, city, zip, country, norm FROM address WHERE owner_row IN (SELECT id FROM contact WHERE family = 'Mass') ORDER BY id"
    norms = ["50667|koln|konigsstr 5|de"] * 2 + ["yo17lx|york|12 high st|gb"]
    same(bob.read(lived), [(*home, norm) for home, norm in zip(homes, norms)], "addresses as written, and compared")
    where = f"WHERE owner_row = {people[2][0]}"
    ann.sql(f"UPDATE address SET street = '1 Low Street', city = 'Leeds' {where}")
    bob.sql(f"UPDATE address SET city = 'Hull' {where}")
    sync(ann, bob)
    same(ann.read(f"SELECT street, city, norm FROM address {where}"), [("12 High Street", "Hull", "yo17lx|hull|12 high st|gb")], "an address is one writer's")
    same(office.refusal(ann, f"UPDATE contact_point SET norm = 'x' WHERE id = {people[0][1]}")[0], "E_SERVER_OWNED", "a form of one's own")
    return "100 made, 100 edited and 10 deleted offline: 90 on 3 sides, by the ids they were made with; 5 ways to write a point and 3 addresses compared in one form"


@capability("C04", "Relationship status", Automation("first-purchase"), Automation("first-purchase-card"), Merge("contact", "status"),
            Data("DELETE FROM contact_status_move WHERE from_status = 'customer' AND to_status = 'vip'"))
def relationship_status(office):
    kim, ann = office.kim, office.ann
    states = ("prospect", "lead", "inactive", "vip", "prospect")
    people = [customer(office, "Status", ", status, home_store_id", f", '{s}', {STORE}")[1] for s in states]
    sync(kim, ann)
    # The last gives something back that was bought before there was a CRM.
    kim.sql("".join(f"INSERT INTO purchase(id, channel, store_id, contact_id, total_cents, at, refund_of, receipt_no) VALUES({office.new()}, 'pos', {STORE}, {c}, 500, {NOW}, "
                    f"{office.new() if c == people[-1] else 'NULL'}, 'S' || {n});" for n, c in enumerate(people)))
    ann.sql(f"UPDATE contact SET status = 'lead' WHERE id = {people[0]}")
    kim.sync()
    now = f"SELECT status FROM contact WHERE id IN ({', '.join(people)}) ORDER BY id"
    same([s for s, in office.hq.read(now)], ["customer", "customer", "customer", "vip", "prospect"], "status in the sync that brought the receipt")
    ann.sync()
    same([s for s, in ann.read(now)], ["customer", "customer", "customer", "vip", "prospect"], "on a rep's device, whatever he thought")
    # Known by his card alone, and the card is found to be his when he has bought.
    card = office.new()
    office.hq.sql(f"INSERT INTO loyalty_card(id, program_id, code) SELECT {card}, id, 'S-1' FROM loyalty_program LIMIT 1")
    kim.sync()
    kim.sql(f"INSERT INTO purchase(id, channel, store_id, card_id, total_cents, at, receipt_no) VALUES({office.new()}, 'pos', {STORE}, {card}, 500, {NOW}, 'SC')")
    kim.sync()
    office.hq.sql(f"UPDATE loyalty_card SET contact_id = {people[-1]} WHERE id = {card}")
    same(office.hq.one(f"SELECT status FROM contact WHERE id = {people[-1]}"), "customer", "status of whom the card is found to be")
    ann.sql(f"UPDATE contact SET status = 'vip' WHERE id = {people[0]}")
    ann.sync()
    same(office.hq.one(f"SELECT status FROM contact WHERE id = {people[0]}"), "vip", "an allowed move of a person's")
    name, _ = office.refusal(ann, f"UPDATE contact SET status = 'lead' WHERE id = {people[3]}")
    return f"prospect, lead and inactive became customers with the first receipt, a VIP and a refund changed nothing; vip to lead is refused ({name})"


BANDS = (5000000000, 1000000000, 100000000, 0)


@capability("C05", "Company record", View("accounts_by_revenue"), Text("scope.sql", "('agent', 'account', 'revenue_cents'),", "('agent', 'account', 'website'),"))
def company_record(office):
    office.hq.sql("".join(f"INSERT INTO account(id, name, industry, revenue_cents, employees, owner_id) VALUES({office.new()}, 'Band', 'it', {r}, {n}, {owner});"
                          for owner in (ANN, EVE) for r, n in ((0, 1), (99999999, 2), (100000000, "NULL"), (999999999, 4), (5000000000, 5), (7700000000, 6), ("NULL", 7))))
    granted = office.new()
    office.hq.sql(f"INSERT INTO account(id, name, revenue_cents, owner_id) VALUES({granted}, 'Granted', 5, {EVE})")
    office.tom.sync()
    office.hq.ctl("scope", "grant", "--device", "tom", "--table", "account", "--key", granted, "--until", "1d", "--reason", "a check")
    sync(office.ann, office.tom)
    rows = {}
    for side in (office.hq, office.ann):
        bands = collections.defaultdict(lambda: [0, 0, 0, None])
        people = collections.Counter(a for a, in side.read("SELECT account_id FROM contact"))
        for account, revenue, employees in side.read("SELECT id, revenue_cents, employees FROM account"):
            band = bands[None if revenue is None else next(b for b in BANDS if revenue >= b)]
            band[:] = [band[0] + 1, band[1] + (employees or 0), band[2] + people[account], band[3] if revenue is None else (band[3] or 0) + revenue]
        same(sorted(ask(side, "SELECT from_cents, accounts, employees, contacts, revenue_cents FROM accounts_by_revenue"), key=str),
             sorted(((b, *v) for b, v in bands.items()), key=str), "bands of revenue")
        rows[side] = sum(b[0] for b in bands.values())
    same(office.tom.read(f"SELECT name, revenue_cents FROM account WHERE id = {granted}"), [("Granted", None)], "what an agent gets to know")
    return f"5 bands of revenue over {rows[office.hq]} companies, and over the {rows[office.ann]} of a rep's device, equal a count by hand; an agent gets no revenue"


@capability("C06", "Demographics", View("contact_age"), Text("002_customers.sql", " CHECK(birth_year IS NULL OR birth_year BETWEEN 1900 AND 2100)"))
def demographics(office):
    this_year = int(day_of(int(time.time() * 1000))[:4])
    born = [None, *range(this_year - 60, this_year - 10)]
    account, _ = customer(office, "Ages")
    office.hq.sql("".join(f"INSERT INTO contact(id, account_id, family, birth_year, region_code) VALUES({office.new()}, {account}, 'Age', {y or 'NULL'}, "
        f"'{'NS'[(y or 0) % 2]}');" for y in born))
    office.ann.sync()
    for side in (office.hq, office.ann):
        by_hand = sorted(f"x'{i.hex()}'" for i, y, r in side.read("SELECT id, birth_year, region_code FROM contact WHERE family = 'Age'")
                         if y is not None and 20 <= this_year - y <= 40 and r == "N")
        same(sorted(i for i, in ask(side, f"SELECT contact_id FROM contact_age WHERE age BETWEEN 20 AND 40 AND region_code = 'N' AND contact_id IN "
                                          "(SELECT id FROM contact WHERE family = 'Age')")), by_hand, "20 to 40 in the North")
        assert len(by_hand) in (10, 11), by_hand
    refused = office.ann.sql(f"INSERT INTO contact(id, account_id, birth_year) VALUES({office.new()}, {account}, 1066)", expect=1).stderr
    assert "CHECK" in refused, refused
    return f"of {len(born)} people {len(by_hand)} of 20 to 40 in one region, the same by hand, on the server and offline; a birth in 1066 is not taken"


@capability("C07", "Ways to be reached", Merge("contact_pref", "allowed"), Text("scope.sql", "INSERT INTO scope_parent(tbl, parent, columns) VALUES('contact_pref', 'contact', "
            "'contact_id');",
                 "INSERT INTO scope_bucket(tbl, name) VALUES('contact_pref', 'server');"),
            Text("002_customers.sql", " CHECK(allowed IN (0, 1))"))
def ways_to_be_reached(office):
    _, contact = customer(office, "Reach", ", home_store_id", f", {STORE}")
    ann, bob, kim = office.ann, office.bob, office.kim
    sync(ann, bob, kim)

    def says(channel, allowed):
        return (f"INSERT INTO contact_pref(contact_id, channel, allowed) VALUES({contact}, '{channel}', {allowed}) "
                "ON CONFLICT(contact_id, channel) DO UPDATE SET allowed = excluded.allowed;")
    bob.sql(says("sms", 0) + says("email", 1))
    ann.sql(says("sms", 1) + says("post", 0))  # later, and of a customer who had said no to Bob
    sync(bob, ann)
    sync(kim, bob)
    stands = f"SELECT channel, allowed FROM contact_pref WHERE contact_id = {contact} ORDER BY 1"
    for side in (office.hq, ann, bob, kim):
        same(side.read(stands), [("email", 1), ("post", 0), ("sms", 0)], "what the customer allows")
    ann.sql(says("sms", 1))
    sync(ann, kim)
    same(kim.read(stands)[-1], ("sms", 1), "who knows of the no may write that it is lifted")
    refused = kim.sql(says("phone", 2), expect=1).stderr
    assert "CHECK" in refused, refused
    return "of a yes and a no said offline the no stands, on 3 devices; who knew it lifted it; what is neither is not taken"


later("customers", "C07", "Ways to be reached, by campaigns", "marketing: a sender that leaves out whom contact_pref says")


@capability("C08", "Likes and dislikes", Merge("contact_tag", "added_at"),
            Text("002_customers.sql", "VALUES('contact_tag', 'update', 'natural')", "VALUES('contact_tag', 'delete', 'natural')"),
            Text("002_customers.sql", "INSERT INTO satchel_table(name, wins, key) VALUES('contact_tag', 'update', 'natural')",
                "INSERT INTO satchel_table(name, wins) VALUES('contact_tag', 'update')"))
def likes_and_dislikes(office):
    _, contact = customer(office, "Likes")
    ann, bob = office.ann, office.bob
    sync(ann, bob)

    def likes(tag, at):
        return f"INSERT INTO contact_tag(contact_id, tag, added_at) VALUES({contact}, '{tag}', {at}) ON CONFLICT(contact_id, tag) DO UPDATE SET added_at = excluded.added_at;"
    ann.sql(likes("wine", 1) + likes("golf", 1))
    sync(ann, bob)
    ann.sql(likes("tea", 9) + likes("chess", 7) + likes("yoga", 6))
    bob.sql(likes("no peanuts", 5) + likes("chess", 8) + likes("yoga", 4) + likes("wine", 5))
    ann.sql(f"DELETE FROM contact_tag WHERE contact_id = {contact} AND tag IN ('wine', 'golf')")
    sync(ann, bob)
    sync(bob, ann)
    for side in (office.hq, ann, bob):
        same(side.read(f"SELECT tag, added_at FROM contact_tag WHERE contact_id = {contact} ORDER BY tag"),
            [("chess", 8), ("no peanuts", 5), ("tea", 9), ("wine", 5), ("yoga", 6)], "tags")
    return "tags of two offline devices are all there; one that both gave is one; given again beats taken away, and what is taken away alone is gone"


@capability("C09", "What was bought", Text("006_commerce.sql", "INSERT INTO satchel_table(name, mode) VALUES('purchase', 'append');",
            "INSERT INTO satchel_table(name) VALUES('purchase');"),
            Text("006_commerce.sql", "CREATE UNIQUE INDEX purchase_receipt ", "CREATE INDEX purchase_receipt "),
            Text("scope.sql", "INSERT INTO scope_parent(tbl, parent, columns) VALUES('purchase_line', 'purchase', 'purchase_id');",
                 "INSERT INTO scope_bucket(tbl, name) VALUES('purchase_line', 'server');"))
def what_was_bought(office):
    _, contact = customer(office, "Buyer", ", home_store_id", f", {STORE}")
    kim, ann, hq = office.kim, office.ann, office.hq
    spare = office.device("spare till").enroll(hq, options=["--profile", "till", "--store", STORE])
    product, receipt, line, register = (office.new() for _ in range(4))
    hq.sql(f"INSERT INTO product(id, sku, name, price_cents) VALUES({product}, 'B-1', 'Book', 1250)")
    sync(kim, spare)
    sold = (f"BEGIN; INSERT INTO purchase(id, channel, store_id, device_id, receipt_no, contact_id, total_cents, at) VALUES({receipt}, 'pos', {STORE}, {register}, 'R-1', "
        f"{contact}, 2500, {NOW});"
            f"INSERT INTO purchase_line(id, purchase_id, product_id, qty, unit_cents, price_version) VALUES({line}, {receipt}, {product}, 2, 1250, 1); COMMIT;")
    kim.sql(sold + f"INSERT INTO interaction(id, contact_id, channel, at, body) VALUES({office.new()}, {contact}, 'pos', {NOW}, '{os.urandom(20000).hex()}')")
    # The first answer never arrives, so that all of it is sent again.
    proxy = office.proxy(hq)
    kim.route(proxy.port)
    proxy.swallow_after(20000)
    process = kim.start("sync")
    harness.wait_until(lambda: hq.one(f"SELECT count(*) FROM purchase WHERE id = {receipt}"), "the receipt has come in", pause_s=0.005)
    proxy.break_links()
    proxy.heal()
    same(process.wait(harness.PATIENCE_S), 0, kim.errors())
    spare.sql(sold)  # entered by hand, from paper
    sync(spare, ann)
    bought = f"SELECT count(*), sum(total_cents), sum((SELECT sum(qty * unit_cents) FROM purchase_line l WHERE l.purchase_id = p.id)) FROM purchase p WHERE contact_id = {contact}"
    for side in (hq, ann, kim, spare):
        same(side.read(bought), [(1, 2500, 2500)], "receipts, total and lines")
    again, _ = office.refusal(spare, sold.replace(receipt, office.new()).replace(line, office.new()).replace("2500", "9900"))
    changed, _ = office.refusal(kim, f"UPDATE purchase SET total_cents = 1 WHERE id = {receipt}")
    kim.route(hq.sync_port)
    same((again, changed), ("E_UNIQUE", "E_APPEND_ONLY"), "why")
    return f"one receipt sent 3 times by 2 tills is one row of 25.00 everywhere; its number a second time ({again}) and another total ({changed}) are refused"


@capability("C10", "Products", Automation("product-price"), View("old_price_sales"), Text("scope.sql", "('product_price', 'all')", "('product_price', 'server')"),
            Text("004_sales.sql", "INSERT INTO satchel_table(name, mode) VALUES('product', 'server');", "INSERT INTO satchel_table(name) VALUES('product');"))
def products(office):
    kim, hq = office.kim, office.hq
    product = office.new()
    hq.sql(f"INSERT INTO product(id, sku, name, price_cents) VALUES({product}, 'P-10', 'Pen', 300)")
    kim.sync()

    def sell(receipt):
        sold = office.new()
        kim.sql(f"INSERT INTO purchase(id, channel, store_id, receipt_no, total_cents, at) SELECT {sold}, 'pos', {STORE}, '{receipt}', price_cents, {int(time.time() * 1000)} "
                f"FROM product WHERE id = {product}; INSERT INTO purchase_line(id, purchase_id, product_id, qty, unit_cents, price_version) "
                f"SELECT {office.new()}, {sold}, id, 1, price_cents, price_version FROM product WHERE id = {product}")
        return sold
    before = sell("P1")
    hq.sql(f"UPDATE product SET price_cents = 350 WHERE id = {product}; UPDATE product SET price_cents = 390 WHERE id = {product}")
    time.sleep(0.002)
    stale = sell("P2")
    kim.sync()
    fresh = sell("P3")
    kim.sync()
    lines = f"SELECT quote(purchase_id), unit_cents, price_version FROM purchase_line WHERE product_id = {product} ORDER BY id"
    for side in (hq, kim):
        same(side.read(lines), [(f"X'{p[2:-1].upper()}'", *price) for p, price in ((before, (300, 1)), (stale, (300, 1)), (fresh, (390, 3)))], "prices used")
        same(ask(side, f"SELECT purchase_id, unit_cents, price_version, version_in_force, cents_in_force FROM old_price_sales WHERE product_id = {product}"),
             [(stale, 300, 1, 3, 390)], "sold at an old price")
    name, _ = office.refusal(kim, f"UPDATE product SET price_cents = 1 WHERE id = {product}")
    same(name, "E_SERVER_OWNED", "why a till sets no price")
    return f"3 prices, 3 sales: each keeps the price it was sold at, and the one made offline after a change is listed (3.00 for 3.90); a till sets no price ({name})"


@capability("C11", "Interactions of all channels", View("contact_360"), Text("003_activity.sql", "INSERT INTO satchel_table(name, mode) VALUES('interaction', 'append');",
                                                                           "INSERT INTO satchel_table(name) VALUES('interaction');"),
            Text("scope.sql", "('rep', 'interaction', 'insert', NULL, 1),"))
def interactions(office):
    _, contact = customer(office, "Talk")
    ann, bob = office.ann, office.bob
    sync(ann, bob)
    channels = ("phone", "email", "social", "meeting", "chat")
    said = [(NOW - n * 60007, channels[n % 5], f"said {n}", (ann, bob)[n % 3 > 0]) for n in range(1000)]
    for device, who in ((ann, ANN), (bob, BOB)):
        own = [s for s in said if s[3] is device]
        own.sort(key=lambda s: folded(s[2]))  # not the order in which it happened
        device.sql("BEGIN;" + "".join(f"INSERT INTO interaction(id, contact_id, channel, direction, at, by_user, subject) VALUES({office.new()}, {contact}, '{c}', 'out', {at}, "
            f"{who}, '{s}');"
                                      for at, c, s, _ in own) + "COMMIT")
    sync(bob, ann)
    expected = sorted((at, c, s) for at, c, s, _ in said)
    for side in (office.hq, ann, bob):
        same(side.read(f"SELECT at, what, words FROM contact_360 WHERE contact_id = {contact} ORDER BY at, kind, row_id"), expected, "the talk in the order in which it was")
    name, _ = office.refusal(ann, f"UPDATE interaction SET subject = 'never said' WHERE contact_id = {contact} AND subject = 'said 1'")
    same(name, "E_APPEND_ONLY", "why what was said stays")
    return f"{len(said)} of {len(channels)} channels noted offline by two people: all there on 3 sides, by the time at which they were; none can be changed ({name})"


later("customers", "C12", "Web visits", "integrations: the address that web sites report to")


@capability("C13", "Meetings", Merge("contact", "visit_count"), Merge("contact", "last_contact_at"),
            Text("scope.sql", "('interaction', 'contact', 'contact_id', 'contact_id IS NOT NULL AND at >= satchel_now() - 365 * 86400000', 'keep', 'customers,territory'),"))
def meetings(office):
    _, contact = customer(office, "Meet")
    ann, bob, mia = office.ann, office.bob, office.mia
    sync(ann, bob)
    for device, who, at in ((bob, "Bob Rep", "2026-11-02 09:30"), (ann, "Ann Rep", "2026-10-01 10:00")):
        crm("--db", device.path, "--user", who, "visit", "log", "Pat Meet", "--subject", f"met {who}", "--at", at)
    crm("--db", ann.path, "--user", "Ann Rep", "visit", "log", "Pat Meet", "--subject", "rang", "--channel", "phone", "--at", "2026-10-03 10:00")
    sync(bob, ann)
    sync(mia, ann, bob)
    last = 1793611800000
    for side in (office.hq, mia, ann, bob):
        same(side.read(f"SELECT visit_count, last_contact_at FROM contact WHERE id = {contact}"), [(2, last)], "visits, and the last of them")
        same(side.read(f"SELECT subject, channel FROM interaction WHERE contact_id = {contact} ORDER BY at"),
            [("met Ann Rep", "meeting"), ("rang", "phone"), ("met Bob Rep", "meeting")], "meetings")
    return "two people's meetings and a call, logged with `crm visit log` offline: their manager's device has all 3, 2 visits counted, the last contact by its own time"


def in_words(text):
    """With one blank before each word."""
    return "".join(" " + w for w in "".join(c if c.isalnum() else " " for c in text).split())


def digits(text):
    return "".join(c for c in text if c.isdigit())


@capability("C14", "Search", View("search_text"), Automation("point-norm"),
            Text("scope.sql", "('contact_point', 'contact', 'contact_id', 'kind = ''phone''', NULL),", "('contact_point', 'contact', 'contact_id', 'kind = ''phone''', 'store'),"),
            Text("scope.sql", "('contact_point', 'contact', 'contact_id', 'kind <> ''phone''', 'customers,territory,enrolled'),"))
def search(office):
    ann, hq = office.ann, office.hq
    given, family = ("Zoë", "Łukasz", "Jürgen", "Ása", "Νίκος", "Ivan"), ("Müller", "Groß", "Strauß", "O'Neil", "Παπαδόπουλος", "Ångström")
    account = office.new()
    hq.sql(f"INSERT INTO account(id, name, owner_id, website) VALUES({account}, 'Späth & Söhne', {ANN}, 'spaeth.example');"
           + "BEGIN;" + "".join(
               f"INSERT INTO contact(id, account_id, given, family) VALUES({who}, {account}, '{given[n % 6]}', '{family[n // 6 % 6].replace(chr(39), chr(39) * 2)}');"
               f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES({office.new()}, {who}, 'phone', '+49 (0){170 + n % 7} 55-{n * 7919 % 100000:05}'),"
               f"({office.new()}, {who}, 'email', 'No{n}.Kärl@Mail.example');" for n, who in ((n, office.new()) for n in range(180))) + "COMMIT")
    ann.sql(f"INSERT INTO lead(id, given, family, company, phone, created_by) VALUES({office.new()}, 'Léa', 'Brontë', 'Söhne GmbH', '0171 / 990-1234', {ANN})")
    ann.sync()
    found, texts = {}, collections.defaultdict(list)
    for kind, row, what, said in ask(hq, "SELECT kind, row_id, what, text FROM search_text"):
        texts[kind, row[2:-1]].append((what, said))
    plain = {row: in_words(" ".join(t for w, t in said if w != "phone")) for row, said in texts.items()}
    # Offline from here. What the program finds by its index is what the view says of the server's rows, read as a list.
    for text in ("zoe mull", "GROSS", "νικοσ", "angstrom", "spath", "sohne", "no17.karl@mail", "o'neil iva", "lea bronte", "0171 55-07919",
                 "5507919", "9901234", "0000", "nobody"):
        rows = [json.loads(line) for line in crm("--db", ann.path, "--json", "--limit", "1000", "search", text).splitlines()]
        words, number = folded(text).split(), digits(text) if text[0].isdigit() else ""
        ends = [{row for row, said in texts.items() if n and any(w == "phone" and digits(t).endswith(n) for w, t in said)} for n in (number, number.lstrip("0"))]
        by_hand = {row for row in texts if all(in_words(w) in plain[row] for w in words)} | (ends[0] or ends[1])
        same(sorted((r["kind"], r["id"]) for r in rows), sorted(by_hand), f"search for {text}")
        found[text] = len(rows)
    assert found["nobody"] == 0 and all(n for text, n in found.items() if text != "nobody"), found
    return (f"{len(found)} searches offline for words, e-mail addresses and ends of phone numbers, without case and accents: "
            f"{sum(found.values())} found, as by hand in the server's view")


def branch(office, name):
    """(server, a device of its first schema, one of its present schema): a store that was made before there was 007, with the files after that now. Both
    devices hold everything; the first has yet to hear of it."""
    first = office.path(f"schema {name}")
    os.mkdir(first)
    for file in os.listdir(office.schema):
        if file[:3].isdigit() and int(file[:3]) <= 6:
            shutil.copy(os.path.join(office.schema, file), first)
    server = office.server(f"branch {name}", schema=first)
    old, new = office.device(f"old {name}", server), office.device(f"new {name}", server)
    sync(old, new)
    server.stop()
    server.schema = office.schema
    server.start()
    new.sync()
    same(old.one("SELECT count(*) FROM sqlite_schema WHERE name = 'custom_value'"), 0, "tables of an old device that it cannot have")
    return server, old, new


@capability("C15", "Fields of one's own", Text("007_customer_detail.sql", "EXISTS(SELECT 1 FROM json_each(d.options) o WHERE o.value = custom_value.value)", "1"),
            Text("007_customer_detail.sql", "'FIELD_OPTIONS'", "'FIELD_OPTIONS_2'"), Merge("custom_value", "entity"),
            *(Text("scope.sql", f"('custom_value', '{entity}', 'entity_row', 'entity = ''{entity}''', 'keep', NULL)", f"('custom_value', '{entity}', 'field_id', 'entity = ''{entity}''', 'keep', NULL)")
              for entity in ("task", "purchase")),
            Text("007_customer_detail.sql", "d.id = field_id AND d.required = 1)", "d.id = field_id AND d.required = 2)"), View("custom_missing"), View("custom_fields"),
            Text("007_customer_detail.sql", "INSERT INTO satchel_table(name, key) VALUES('custom_value', 'natural');", "INSERT INTO satchel_table(name) VALUES('custom_value');"),
            Text("scope.sql", "('custom_field_def', 'all')", "('custom_field_def', 'server')"), Text("scope.sql",
                "('custom_value', 'account', 'entity_row', 'entity = ''account''', 'keep', NULL),"))
def fields_of_ones_own(office):
    server, old, new = branch(office, "fields")
    account, other, industry, fax, since = (office.new() for _ in range(5))
    server.sql(f"INSERT INTO account(id, name) VALUES({account}, 'Ads')")
    sync(new)
    old.sql(f"INSERT INTO account(id, name, industry) VALUES({other}, 'Old Ads', 'print'); "
        f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES({office.new()}, 'account', {other}, 'n')")
    server.sql(f"INSERT INTO custom_field_def(id, entity, name, type, options, required) VALUES({industry}, 'account', 'advertiser kind', 'option', "
               f"'[\"luxury retail\", \"automotive\", \"hospitality\"]', 1), ({fax}, 'account', 'machines', 'integer', NULL, 0), ({since}, 'account', 'since', 'date', NULL, 0)")
    new.sync()

    def put(field, value, row=account):
        return (f"INSERT INTO custom_value(entity_row, field_id, entity, value) VALUES({row}, {field}, 'account', {value}) "
                "ON CONFLICT(entity_row, field_id) DO UPDATE SET value = excluded.value;")
    new.sql(put(industry, "'automotive'") + put(since, "'2026-02-28'"))
    sync(new)
    sync(old, new)  # runs the migrations, hears of the fields, sends what it wrote before
    sync(old, new)
    same(old.one("SELECT industry FROM account WHERE name = 'Old Ads'"), "print", "what the old device wrote")
    new.sql(f"UPDATE custom_value SET entity = 'deal' WHERE field_id = {industry}")
    old.sql(put(fax, "'3'"))
    new.sql(put(fax, "'4'") + put(industry, "'hospitality'", other))
    sync(old, new)
    office.assert_same(server, old, new)
    shown = "SELECT name, type, value FROM custom_fields WHERE entity_row = {} ORDER BY pos, name"
    for side in (server, old, new):
        same(ask(side, shown.format(account)), [("advertiser kind", "option", "automotive"), ("machines", "integer", "4"), ("since", "date", "2026-02-28")], "fields of a company")
    refusals = [(put(industry, "'aviation'"), "CUSTOM_TYPE"), (put(fax, "'many'"), "CUSTOM_TYPE"), (put(since, "'2026-02-30'"), "CUSTOM_TYPE"),
        (put(industry, "NULL"), "CUSTOM_REQUIRED")]
    for sql, code in refusals:
        words = old.sql(sql, expect=1).stderr
        assert code in words, f"{sql}: {words}"
    same(server.read("SELECT DISTINCT entity FROM custom_value"), [("account",)], "whose the values are")
    try:
        server.sql(f"UPDATE custom_field_def SET options = 'no list' WHERE id = {industry}")
        raise LookupError("options that are no list")
    except AssertionError as error:
        assert "FIELD_OPTIONS: " in str(error), error
    # Options that a device has not heard of yet: the server says the same.
    server.sql(f"UPDATE custom_field_def SET options = '[\"hospitality\"]' WHERE id = {industry}")
    name, words = office.refusal(new, put(industry, "'luxury retail'"))
    assert name == "E_CHECK" and "CUSTOM_TYPE" in words, (name, words)
    # In the company with scopes, on a rep's device.
    mine, person = customer(office, "Fields")
    office.hq.sql(f"INSERT INTO custom_field_def(id, entity, name, type, required) VALUES({fax}, 'account', 'machines', 'integer', 1)")
    office.ann.sync()
    lacking = f"SELECT name FROM custom_missing WHERE entity_row = {mine}"
    same(ask(office.ann, lacking), [("machines",)], "what a company lacks")
    office.hq.sql(put(fax, "'12'", mine))
    office.ann.sync()
    same(ask(office.ann, shown.format(mine)) + ask(office.ann, lacking), [("machines", "integer", "12")], "on Ann's device")
    same(json.loads(crm("--db", office.ann.path, "--json", "contact", "show", person[2:-1]))["fields"], [{"whose": "account", "field": "machines", "value": "12"}],
        "crm contact show")
    office.hq.sql(f"UPDATE custom_field_def SET required = 0 WHERE id = {fax}")
    # Not of customers alone.
    task, purchase, of_task, of_purchase = (office.new() for _ in range(4))
    office.hq.sql(f"INSERT INTO task(id, title, assignee_id) VALUES({task}, 'Measure', {ANN});"
                  f"INSERT INTO purchase(id, channel, contact_id, total_cents, at) VALUES({purchase}, 'ecom', {person}, 1, {NOW});"
                  f"INSERT INTO custom_field_def(id, entity, name, type, required) VALUES({of_task}, 'task', 'room', 'text', 1), ({of_purchase}, 'purchase', 'parcel', 'integer', 0)")
    office.ann.sync()
    same(ask(office.ann, f"SELECT name FROM custom_missing WHERE entity_row = {task}"), [("room",)], "what a task lacks")
    office.ann.sql("".join(put(field, value, row).replace("'account'", f"'{entity}'") for entity, field, value, row in (("task", of_task, "'B 7'", task), ("purchase", of_purchase, "'12'", purchase))))
    sync(office.ann)
    office.hq.sql(put(of_task, "'B 8'", task).replace("'account'", "'task'") + put(of_purchase, "'13'", purchase).replace("'account'", "'purchase'"))
    office.ann.sync()
    for side in (office.hq, office.ann):
        same(ask(side, f"SELECT entity, value FROM custom_fields WHERE entity_row IN ({task}, {purchase}) ORDER BY entity"), [("purchase", "13"), ("task", "B 8")], "other fields")
    return (f"3 fields added on the server: shown by a device that was {server.epoch() - 6} migrations behind, with what it wrote meanwhile; {len(refusals)} wrong values "
            f"refused by the device, and one by the server, by the same code ({name} CUSTOM_TYPE)")


@capability("C16", "Made to fit", Merge("deal", "stage_id"), Text("scope.sql", "('stage', 'office')", "('stage', 'server')"),
            Text("scope.sql", "('stage_move', 'office')", "('stage_move', 'server')"), Automation("lead-score-all"))
def made_to_fit(office):
    hq, ann = office.hq, office.ann
    account, _ = customer(office, "Fit")
    first, deal, stage, rule, task = (office.new() for _ in range(5))
    hq.sql(f"INSERT INTO lead(id, family, region_code, owner_id) VALUES({rule}, 'Fit', 'Z', {ANN}); INSERT INTO pipeline(id, name) VALUES({first}, 'Rental');"
           f"INSERT INTO stage(id, pipeline_id, name, pos, probability, kind) VALUES({first}, {first}, 'Asked', 1, 10, 'open')")
    ann.sync()
    files = sorted(os.listdir(ann.identity))
    ann.sql(f"INSERT INTO deal(id, name, account_id, stage_id, created_by) VALUES({deal}, 'Fit deal', {account}, {first}, {ANN})")
    hq.sql(f"INSERT INTO stage(id, pipeline_id, name, pos, probability, kind) VALUES({stage}, {first}, 'Post-purchase nurturing', 2, 90, 'open');"
           f"INSERT INTO stage_move(from_stage, to_stage) VALUES({first}, {stage});"
           f"INSERT INTO task_template(id, cause, stage_id, title, due_days) VALUES({task}, 'stage', {stage}, 'Ask how it goes', 3);"
           f"INSERT INTO score_rule(id, field, op, value, points, words) VALUES({office.new()}, 'region_code', 'is', 'Z', 42, 'at the end of the world')")
    ann.sync()
    crm("--db", ann.path, "--user", "Ann Rep", "deal", "move", "Fit deal", "Post-purchase nurturing")
    sync(ann)
    ann.sync()
    same(hq.one(f"SELECT s.name FROM deal d JOIN stage s ON s.id = d.stage_id WHERE d.id = {deal}"), "Post-purchase nurturing", "the deal's stage")
    same(ann.read(f"SELECT title FROM task WHERE parent_row = {deal}"), [("Ask how it goes",)], "tasks of the new stage")
    same(ann.read(f"SELECT score FROM lead WHERE id = {rule}"), [(42,)], "score by a new rule")
    name, _ = office.refusal(ann, f"UPDATE deal SET stage_id = {first} WHERE id = {deal}")
    same(sorted(os.listdir(ann.identity)), files, "the device's files")
    return f"a stage, its move and tasks and a rule of scores added as rows while a device was in use: it moved a deal there; a move that is not a row is refused ({name})"


# What nobody may write, with what the refusal names: a rule of satchel_check, or what the table itself says.
INVALID = (("contact_point", "contact_id, kind, value", "{contact}, 'email', 'nobody'", "EMAIL_FORM:"),
           ("contact_point", "contact_id, kind, value", "{contact}, 'email', 'a b@@c d'", "EMAIL_FORM:"),
           ("contact_point", "contact_id, kind, value", "{contact}, 'phone', 'at home'", "PHONE_FORM:"),
           ("lead", "email", "'@'", "LEAD_EMAIL_FORM:"), ("lead", "phone", "'12'", "LEAD_PHONE_FORM:"), ("lead", "company_size", "-1", "LEAD_SIZE:"),
           ("deal", "stage_id, name, currency", "(SELECT min(id) FROM stage), 'd', 'eur'", "DEAL_CURRENCY:"),
           ("deal", "stage_id, name", "(SELECT min(id) FROM stage), ' '", "DEAL_NAME:"), ("account", "name", "''", "ACCOUNT_NAME:"),
           ("account", "name, revenue_cents", "'a', -5", "ACCOUNT_NUMBERS:"),
           ("contact", "status", "'silly'", "CONTACT_STATUS:"), ("contact", "lifecycle", "'silly'", "CONTACT_LIFECYCLE:"), ("lead", "status", "'silly'", "LEAD_STATUS:"),
           ("ticket", "subject, state", "'t', 'silly'", "TICKET_STATE:"),
           ("contact", "birth_year", "1066", "birth_year"), ("contact_point", "contact_id, kind, value", "{contact}, 'pigeon', 'x'", "kind"))
# What is no number where one belongs: on a device a rule says so; of one without the rule the server refuses it by the column's type.
MISTYPED = tuple(("deal", f"stage_id, name, {column}", f"(SELECT min(id) FROM stage), 'd', {value}", "DEAL_NUMBERS:")
                 for column, value in (("amount_cents", "'abc'"), ("amount_cents", "1.5"), ("close_date", "'soon'"))) + (
    ("account", "name, employees", "'a', 'many'", "ACCOUNT_NUMBERS:"), ("lead", "company_size", "'big'", "LEAD_SIZE:"), ("task", "title, due_at", "'t', 'soon'", "TASK_TIMES:"))


@capability("C17", "Valid entries", *(Text("007_customer_detail.sql", f"'{code}'", f"'{code}_2'") for code in sorted({code[:-1] for *_, code in INVALID + MISTYPED if code.isupper()})),
            Text("002_customers.sql", "CHECK(kind IN ('email', 'phone', 'social'))"))
def valid_entries(office):
    server, old, new = branch(office, "entries")
    contact = office.new()
    server.sql(f"INSERT INTO contact(id) VALUES({contact})")
    new.sync()
    rows = [(f"INSERT INTO {table}(id, {columns}) VALUES({office.new()}, {values.format(contact=contact)})", code) for table, columns, values, code in INVALID + MISTYPED]
    # The old one has not the rules yet; of what the table says itself, a program may have switched the looking off.
    for sql, code in rows:
        if code.isupper():
            old.sql(sql)
    old.sync()
    refused = iter(old.read("SELECT n, name, text FROM satchel_rejected ORDER BY n"))
    codes = set()
    for sql, code in rows:
        words = {"a device": new.sql(sql, expect=1).stderr}
        try:
            server.sql(sql)
            raise LookupError(f"the office may write {sql}")
        except AssertionError as error:
            words["the office"] = str(error)
        if code.isupper():
            number, name, text = next(refused)
            old.run("rejected", "discard", number)
        else:
            name, text = office.refusal(new, "PRAGMA ignore_check_constraints = ON;" + sql)
        codes.add(name)
        if name == "E_TYPE":  # of the column itself, with words of its own
            text = ""
        else:
            words["the server, of a device that does not look"] = text
        for side, said in words.items():
            assert code in said and text in said, f"{code}, by {side}: {said} instead of {text}"
    same(next(refused, None), None, "a refusal too many")
    for side in (server, old, new):
        same([side.one(f"SELECT count(*) FROM {table}") for table in ("account", "contact", "contact_point", "lead", "deal", "task", "ticket")], [0, 1, 0, 0, 0, 0, 0],
             "rows that nobody may write")
    return (f"{len(rows)} rows that are not valid: refused on a device and in the office in the same words, and by the server when it comes from a device without the rule, "
            f"as {', '.join(sorted(codes))}")
