"""What it costs that devices hold parts: the sample company under the four profiles of server/crm/scope.sql, beside servers that have no rules and hold just the rows
of one such device each. Both have the CRM's tables without REFERENCES, because a part does not have all that its rows refer to;
and without the rules of automation.sql, which would write on one side what the other is given."""
import os
import re
import subprocess
import time

import measure

DAY_MS = 86400000


def schema(bench, name, leave_out=()):
    """The CRM's directory without the files that end so."""
    path = os.path.join(bench.dir, name)
    if os.path.isdir(path):
        return path
    os.mkdir(path)
    source = os.path.join(os.path.dirname(bench.harness.MUSIC), "../../server/crm")
    for file in sorted(os.listdir(source)):
        if not file.endswith(".sql") or file.endswith(tuple(leave_out)):
            continue
        with open(os.path.join(source, file), encoding="utf-8") as f:
            text = f.read()
        with open(os.path.join(path, file), "w", encoding="utf-8") as f:
            f.write(re.sub(r" REFERENCES \w+\(\w+\)", "", text))
    return path


def load_company(bench, world):
    """Seconds."""
    rows = os.path.join(bench.dir, "company.sql")
    if not os.path.exists(rows):
        with open(rows, "wb") as f:
            subprocess.run([os.path.join(bench.build, "tools/satchel-company"), "--contacts", str(bench.sizes.scope_contacts), "--territories", "10"],
                           stdout=f, check=True)
    began = time.monotonic()
    with open(rows, encoding="utf-8") as f:
        world.server.sql(f.read())
    return time.monotonic() - began


def devices(world):
    """(profile, options of device add, what such a device writes: SQL with {n} for a number below 65536, and how often)."""
    one, now = world.server.one, int(time.time() * 1000)
    rep = one("SELECT owner_id FROM account GROUP BY owner_id ORDER BY count(*) DESC LIMIT 1")
    store = one("SELECT store_id FROM purchase WHERE store_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    manager = one("SELECT manager_id FROM team JOIN user_account u ON u.team_id = team.id WHERE u.id = ?", rep)
    agent = one("SELECT assignee_id FROM ticket GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    account = one("SELECT id FROM account WHERE owner_id = ? LIMIT 1", rep).hex()
    deal = one("SELECT d.id FROM deal d JOIN user_account u ON u.id = owner_id JOIN team t ON t.id = u.team_id WHERE t.manager_id = ? LIMIT 1", manager).hex()
    ticket = one("SELECT id FROM ticket WHERE assignee_id = ? LIMIT 1", agent).hex()
    card = one("SELECT id FROM loyalty_card LIMIT 1").hex()
    return [
        ("rep", ["--user", f"x'{rep.hex()}'"],
         f"INSERT INTO contact(id, account_id, given) VALUES(x'aa{{n:04x}}', x'{account}', 'New {{n}}');"
         "INSERT INTO contact_point(id, contact_id, kind, value) VALUES(x'ab{n:04x}', x'aa{n:04x}', 'phone', '+351 {n}');"
         f"INSERT INTO interaction(id, contact_id, channel, at, subject) VALUES(x'ac{{n:04x}}', x'aa{{n:04x}}', 'meeting', {now}, 'Met at the fair');"),
        ("till", ["--store", f"x'{store.hex()}'"],
         f"INSERT INTO purchase(id, channel, store_id, receipt_no, card_id, total_cents, at) VALUES(x'aa{{n:04x}}', 'pos', x'{store.hex()}', 'n{{n}}', x'{card}', 500, {now});"
         "INSERT INTO purchase_line(id, purchase_id, qty, unit_cents) VALUES(x'ab{n:04x}', x'aa{n:04x}', 1, 500);"
         f"INSERT INTO loyalty_entry(id, card_id, kind, points, purchase_id, at) VALUES(x'ac{{n:04x}}', x'{card}', 'earn', 5, x'aa{{n:04x}}', {now});"),
        ("manager", ["--user", f"x'{manager.hex()}'"],
         f"INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'aa{{n:04x}}', 'deal', x'{deal}', 'Looked at it for the {{n}}th time');"),
        ("agent", ["--user", f"x'{agent.hex()}'"],
         f"INSERT INTO ticket_event(id, ticket_id, kind, at, body) VALUES(x'aa{{n:04x}}', x'{ticket}', 'reply', {now}, 'Answer number {{n}}');"),
    ]


def insert_rows(content, columns):
    """SQL that makes these rows, a thousand in a transaction."""
    parts, n = [], 0
    for table, rows in content.items():
        for row in rows:
            if n % 1000 == 0:
                parts.append("COMMIT;BEGIN;" if n else "BEGIN;")
            parts.append(f'INSERT INTO "{table}"({columns[table]}) VALUES({",".join(row)});')
            n += 1
    return "".join(parts) + ("COMMIT;" if n else "")


def part_of(bench, part, device):
    """A server without rules that has what `device` holds; a device of it."""
    content = device.content()
    columns = {t: ",".join(f'"{r[1]}"' for r in device.read(f'PRAGMA table_info("{t}")')) for t in content}
    part.server.sql(insert_rows(content, columns))
    return part.device("a")


def assert_same(profile, ours, beside):
    different = {t: sorted(set(ours[t]) ^ set(beside[t]))[:2] for t in ours if ours[t] != beside[t]}
    if different:
        raise AssertionError(f"{profile}: the two devices hold different rows: {different}")


def push(bench, device, sql):
    device.sql("".join("BEGIN;" + sql.replace("{n:04x}", f"{n:04x}").replace("{n}", str(n)) + "COMMIT;" for n in range(bench.sizes.scope_pushes)))
    done = bench.step("push", device.path, "--other")
    if done["refused"]:
        raise AssertionError(f"{device.name}: {done['refused']} transactions were refused")
    return done["seconds"]


def cost(bench, repetition):
    """The four profiles together, in seconds of either side."""
    ours = {"sync": 0, "push": 0}
    beside = {"sync": 0, "push": 0}
    with measure.World(bench, 0, schema(bench, "crm", ["automation.sql"])) as scoped, measure.World(bench, 0, schema(bench, "crm-plain", ["scope.sql", "automation.sql"])) as plain:
        loaded = measure.by_turns(repetition, lambda: load_company(bench, scoped), lambda: load_company(bench, plain))
        for profile, options, sql in devices(scoped):
            device = bench.harness.Device(None, profile, scoped.path(profile + ".db")).enroll(scoped.server, options=["--profile", profile, *options])
            ours["sync"] += bench.step("sync", device.path, "--other")["seconds"]
            with measure.World(bench, 0, schema(bench, "crm-part", ["scope.sql", "automation.sql", ".data.sql"])) as part:
                other = part_of(bench, part, device)
                beside["sync"] += bench.step("sync", other.path, "--other")["seconds"]
                assert_same(profile, device.content(), other.content())
                pushed = measure.by_turns(repetition, lambda: push(bench, device, sql), lambda: push(bench, other, sql))
                ours["push"] += pushed[0]
                beside["push"] += pushed[1]
    return {"scope_load_ratio": loaded[0] / loaded[1], "scope_first_sync_ratio": ours["sync"] / beside["sync"],
            "scope_push_ratio": ours["push"] / beside["push"]}
