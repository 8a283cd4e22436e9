"""Capabilities of section 1D: what happens by itself, what is to be done, and when."""
import os
import time

import harness
from capabilities import Automation, Merge, Text, View, capability, later
from office import ANN, DAY_MS, MIA, ask, same, sync
from service import MINUTE_MS, at_desk, digits, opens

NOW = int(time.time() * 1000)


def appointments(office, *slots):
    """(key, SQL that makes it) for each slot of Ann's, in minutes of a day of its own."""
    office.days = getattr(office, "days", 7) + 1
    day = NOW + office.days * DAY_MS
    made = [(office.new(), day + begin * MINUTE_MS, day + end * MINUTE_MS) for begin, end in slots]
    return [(key, f"INSERT INTO appointment(id, title, starts_at, ends_at, owner_id) VALUES({key}, 'Meeting {digits(key)[-4:]}', {begin}, {end}, {ANN});")
            for key, begin, end in made]


@capability("C44", "Workflow automation", Automation("ticket-number"), Automation("ticket-due"))
def workflow(office):
    tom, rule = office.tom, "ticket-number"
    tom.sync()
    # In the midst of a batch the server is killed; what is there is there with all that follows from it, and so is the rest in the end.
    for attempt in range(8):
        keys = [office.new() for _ in range(150)]
        before = office.hq.one("SELECT coalesce(max(last), 0) FROM counter WHERE name LIKE 'T-%'")
        ran = office.hq.one("SELECT coalesce(max(id), 0) FROM satchel_automation_run")
        for device, mine in ((tom, keys[:75]), (office.uma, keys[75:])):
            device.sql("".join(f"INSERT INTO ticket(id, subject) VALUES({key}, 'Batch');" for key in mine))
        syncing = [tom.start("sync"), office.uma.start("sync")]
        mine = "ticket WHERE id IN (" + ", ".join(keys) + ")"
        harness.wait_until(lambda: office.hq.one(f"SELECT count(*) FROM {mine}") > 5 * attempt, "the batch to begin", pause_s=0)
        office.hq.kill()
        came = office.hq.one(f"SELECT count(*) FROM {mine}")
        same(office.hq.one(f"SELECT count(number) FROM {mine}"), came, "numbers beside tickets, with the server dead")
        office.hq.start()
        for process in syncing:
            same(process.wait(harness.PATIENCE_S), 0, tom.errors() + office.uma.errors())
        numbers = sorted(int(n[-6:]) for n, in office.hq.read(f"SELECT number FROM {mine}"))
        same(numbers, list(range(before + 1, before + len(keys) + 1)), "numbers, one for each ticket and none left out")
        runs = office.hq.read("SELECT count(*), count(DISTINCT key), sum(wrote >= 2), sum(rc) FROM satchel_automation_run WHERE name = ? AND id > ?", rule, ran)
        same(runs, [(len(keys), len(keys), len(keys), 0)], "runs of the rule")
        same(office.hq.one(f"SELECT count(*) FROM {mine} AND sla_due_at = opened_at + 120 * 60000"), len(keys), "times that are due")
        if came < len(keys):
            break
    assert came < len(keys), "the server was never killed in the midst of it"
    # What the admin does with a rule.
    key = office.new()
    office.hq.ctl("automation", "off", rule)
    opens(tom, key)
    tom.sync()
    tried = office.hq.ctl("automation", "try", rule, "--table", "ticket", "--key", key)["report"]
    same((office.hq.one(f"SELECT number FROM ticket WHERE id = {key}"), "update ticket" in tried, "number='T-" in tried), (None, True, True), "off, and tried")
    office.hq.ctl("automation", "on", rule)
    seen, = [r for r in office.hq.ctl("automation", "list") if r["name"] == rule]
    history = office.hq.ctl("automation", "history", rule)
    assert seen["active"] and seen["ran"] >= len(keys) and not seen["failed"] and history[0]["table"] == "ticket", (seen, history[:1])
    return (f"killed after {came} of {len(keys)} tickets of two devices: one run and one number each, without a gap; switched off, tried without effect, "
            f"{seen['ran']} runs in its history")


@capability("C45", "Tasks and reminders", View("due_tasks"), Merge("task", "done_at"), Merge("task", "done_by"), Merge("task", "due_at"),
            Text("scope.sql", "('task', 'work', 'assignee_id')", "('task', 'work', 'template_id')"))
def reminders(office):
    ann, mia = office.ann, office.mia
    soon, next_week, later_on, both = keys = [office.new() for _ in range(4)]
    rings_at = int(time.time() * 1000) + 2500
    times = {soon: (rings_at, rings_at), next_week: (NOW + 7 * DAY_MS, rings_at), later_on: (NOW + 7 * DAY_MS, NOW + 6 * DAY_MS), both: (NOW, "NULL")}
    office.hq.sql("".join(f"INSERT INTO task(id, title, due_at, remind_at, assignee_id) VALUES({key}, 'Call {digits(key)[-6:]}', {due}, {remind}, {ANN});"
                          for key, (due, remind) in times.items()))
    sync(ann, mia)
    mine = f"task_id IN ({', '.join(keys)})"
    office.hq.stop()
    try:
        due = f"SELECT task_id FROM due_tasks WHERE {mine} ORDER BY task_id"
        ringing = f"SELECT task_id FROM due_tasks WHERE {mine} AND rings = 1 ORDER BY task_id"
        same(ask(ann, due), [(soon,), (next_week,), (both,)], "due, or to be thought of")
        early = ask(ann, ringing)
        early = early if time.time() * 1000 < rings_at else []  # else it took too long to tell
        harness.wait_until(lambda: time.time() * 1000 > rings_at, "the time to ring")
        same((early, ask(ann, ringing)), ([], [(soon,), (next_week,)]), "ringing before and after its time")
        listed = at_desk(ann, "--json", "task", "due")
        same([digits(key) in listed for key in keys], [True, True, False, True], "crm task due")
        at_desk(ann, "task", "done", digits(both), clock="-30m")
        mia.sql(f"UPDATE task SET done_at = {NOW}, done_by = {MIA} WHERE id = {both}")
        at_desk(ann, "task", "done", digits(soon))
        same(ask(ann, due), [(next_week,)], "due after two are done")
    finally:
        office.hq.start()
    sync(ann, mia)
    same(ask(office.hq, due), [(next_week,)], "due on the server")
    at, who = office.hq.read(f"SELECT done_at - {NOW}, done_by FROM task WHERE id = {both}")[0]
    assert at < 0 and who == bytes.fromhex(digits(ANN)), (at, who)
    ann.sql(f"UPDATE task SET due_at = {NOW} WHERE id = {later_on}")
    mia.sql(f"UPDATE task SET remind_at = {NOW + DAY_MS} WHERE id = {later_on}")
    sync(ann, mia)
    same(office.hq.read(f"SELECT due_at, remind_at FROM task WHERE id = {later_on}"), [(NOW + 7 * DAY_MS, NOW + DAY_MS)], "both times are one writer's")
    return ("from the device's own rows with the server stopped: not before its time, then it rings; done offline, the server reminds no more, "
            "and of two the earlier counts")


@capability("C46", "Appointments", Automation("appointment-overlap"), Automation("appointment-freed"), View("appointment_conflict"), Merge("appointment", "tentative"), Merge("appointment", "starts_at"),
            Text("009_deals.sql", "'APPOINTMENT_ENDS'", "'APPOINTMENT_ENDS_2'"),
            Text("scope.sql", "('appointment', 'work', 'owner_id')", "('appointment', 'work', 'deal_id')"))
def double_booking(office):
    ann, mia = office.ann, office.mia
    moved = []
    for first, second in ((ann, mia), (mia, ann)):
        (one, book_one), (two, book_two) = appointments(office, (0, 60), (30, 90))
        ann.sql(book_one)
        mia.sql(book_two)
        first_key, second_key = (one, two) if first is ann else (two, one)
        sync(first, second)
        for side in (office.hq, ann, mia):
            same(ask(side, f"SELECT id, tentative FROM appointment WHERE id IN ({one}, {two}) ORDER BY tentative"), [(first_key, 0), (second_key, 1)],
                 "both kept, the later one tentative")
            listed = ask(side, f"SELECT one_id, other_id, to_at - from_at FROM appointment_conflict WHERE one_id = {one}")
            same(listed, [(one, two, 30 * MINUTE_MS)], "the conflict")
        told = [who for who, in office.hq.read(f"SELECT assignee_id FROM task WHERE parent_row = {second_key} ORDER BY 1")]
        same(told, [bytes.fromhex(digits(who)) for who in ([ANN] if second is ann else [ANN, MIA])], "who is told")
        moved.append((first_key, second_key))
    (first_key, second_key), (gone, stays) = moved
    ann.sql(f"UPDATE appointment SET cancelled = 1 WHERE id = {first_key}; DELETE FROM appointment WHERE id = {gone}")
    sync(ann, mia)
    same(ask(office.hq, f"SELECT tentative FROM appointment WHERE id IN ({second_key}, {stays})"), [(0,), (0,)], "firm when the other is cancelled, or gone")
    (beside, book), (after, book_after) = appointments(office, (0, 60), (60, 90))
    ann.sql(book + book_after)
    ann.sync()
    same(ask(office.hq, f"SELECT count(*) FROM appointment WHERE id IN ({beside}, {after}) AND tentative = 1"), [(0,)], "one after the other")
    sync(ann, mia)
    began, ended = office.hq.read(f"SELECT starts_at, ends_at FROM appointment WHERE id = {beside}")[0]
    ann.sql(f"UPDATE appointment SET starts_at = starts_at - {MINUTE_MS} WHERE id = {beside}")
    mia.sql(f"UPDATE appointment SET ends_at = ends_at - {MINUTE_MS} WHERE id = {beside}")
    sync(ann, mia)
    same(office.hq.read(f"SELECT starts_at, ends_at FROM appointment WHERE id = {beside}"), [(began, ended - MINUTE_MS)], "begin and end are one writer's")
    said = ann.sql(f"UPDATE appointment SET ends_at = starts_at WHERE id = {beside}", expect=1).stderr
    assert "APPOINTMENT_ENDS: " in said, said
    name, _ = office.refusal(ann, f"UPDATE appointment SET tentative = 1 WHERE id = {beside}")
    return ("two devices offline, either order: both kept and listed, the one that came later is tentative, whose it is and who made it are told; "
            f"firm when the other goes; by hand refused ({name})")


later("automation", "C47", "Follow-up messages", "a sender; a deal's follow-up is a task (C35)")
later("automation", "C48", "Groups by spending", "groups are segments (C59)")

ENRICH = """
INSERT INTO automation(name, tbl, event, actions, overwrites) VALUES('enrich', 'contact', 'put',
 'UPDATE contact SET job_title = ''filled in'', region_code = ''ZZ'' WHERE id = (SELECT id FROM new)', {});
"""


@capability("C49", "Entries filled in by itself", Automation("ticket-contact"), Automation("ticket-contact-later"), Automation("ticket-due"), Automation("point-norm"),
            Text("scope.sql", "'kind,priority,state,level,contact_id,subject,", "'kind,priority,state,level,"))
def filled_in(office):
    ann, tom = office.ann, office.tom
    person, other, point, late, asked, typed, before = (office.new() for _ in range(7))
    office.hq.sql("".join(f"INSERT INTO contact(id, given, owner_id) VALUES({key}, 'Fill', {ANN});" for key in (person, other))
                  + f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES({point}, {person}, 'email', 'Fill.In@Corp.example ');")
    sync(ann, tom)
    for key in (asked, typed):
        tom.sql(f"INSERT INTO ticket(id, subject, reached_by, contact_id) VALUES({key}, 'Fill', 'fill.in@corp.example', {'NULL' if key == asked else other})")
    tom.sync()
    tom.sql(f"UPDATE ticket SET contact_id = {other} WHERE id = {asked}")
    tom.sql(f"INSERT INTO ticket(id, subject, reached_by) VALUES({before}, 'Fill', 'fill.later@corp.example')")
    person_sees = office.hq.one(f"SELECT contact_id = {person} FROM ticket WHERE id = {asked}")
    tom.sync()
    tom.sql(f"UPDATE ticket SET contact_id = {other} WHERE id = {before}")  # and before anybody hears of that, a rule fills it
    office.hq.sql(f"INSERT INTO contact_point(id, contact_id, kind, value) VALUES({late}, {person}, 'email', 'fill.later@corp.example');")
    same(office.hq.one(f"SELECT contact_id = {person} FROM ticket WHERE id = {before}"), 1, "filled in")
    tom.sync()
    office.hq.sql(f"UPDATE contact_point SET value = 'FILL.IN@corp.example' WHERE id = {point};")
    got = office.hq.read(f"SELECT contact_id = {other}, opened_at > {NOW}, sla_due_at - opened_at FROM ticket WHERE id IN ({asked}, {typed}, {before})")
    same((person_sees, got), (1, [(1, 1, 120 * MINUTE_MS)] * 3), "filled where it was empty, and as a person wants it where he said so")
    same(ask(office.hq, f"SELECT norm FROM contact_point WHERE id = {point}"), [("fill.in@corp.example",)], "the form to compare by")
    # A rule that would replace what it finds: it may not, unless it says so.
    with open(os.path.join(office.schema, "automation.sql"), encoding="utf-8") as f:
        rules = f.read()
    ann.sql(f"UPDATE contact SET job_title = 'Buyer' WHERE id = {person}")
    ann.sync()
    path, told = office.path("enrich.sql"), []
    try:
        for overwrites in (0, 1):
            with open(path, "w", encoding="utf-8") as f:
                f.write(rules + ENRICH.format(overwrites))
            office.hq.ctl("automation", "publish", path)
            ann.sql(f"UPDATE contact SET birth_year = {1980 + overwrites} WHERE id = {person}")
            ann.sync()
            told.append(office.hq.read(f"SELECT job_title, region_code FROM contact WHERE id = {person}")[0])
        words = [r["words"] for r in office.hq.ctl("automation", "history", "enrich")]
    finally:
        with open(path, "w", encoding="utf-8") as f:
            f.write(rules)
        office.hq.ctl("automation", "publish", path)
    same(told, [("Buyer", "ZZ"), ("filled in", "ZZ")], "without and with overwrites")
    assert any(w and "contact.job_title is left as somebody wrote it" in w for w in words), words
    return ("contact, times and forms are filled in where they are empty; what a person wrote stays, and the history says so, "
            "though it is heard of after the rule; unless a rule is to overwrite")
