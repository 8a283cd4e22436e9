/* What follows from changes by rules: exactly once, in the transaction of its cause, and nothing that fails hurts what it follows from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/ingest_private.h"
#include "tests/unit/ingest_fixture.h"

static void publish(world *w, const char *rules) {
    uint64_t n;
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    int rc = automation_publish(w->v.s, "automation.sql", rules, w->v.now_ms, &n, &error);
    buf_put_byte(&error, 0);
    if (rc) fail_msg("%s", (const char *)error.p);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_fini(&error);
}

/* "rule wrote rc words" of each, oldest first. */
#define HISTORY(expected)                                                                                                        \
    SQL("SELECT name||' '||wrote||coalesce(' '||words,'') FROM satchel_automation_run ORDER BY id", expected)

static const char COPY[] =
    "INSERT INTO automation(name, tbl, event, columns, condition, actions) VALUES('copy', 'item', 'put', 'n, l', 'new.n > 1',\n"
    " 'INSERT INTO line(qty, what) SELECT new.n, coalesce(old.l, ''-'')||''>''||coalesce(new.l, ''-'') FROM new, old');";

static void rule_fires_once_for_each_change_as_a_commit_of_the_servers(void **state) {
    world *w = *state;
    publish(w, COPY);
    uint64_t before = head(w);
    takes(w, &w->phone, w->base, 0, "+ item('a') n=1");
    assert_int_equal(head(w), before + 1);
    takes(w, &w->phone, head(w), 1, "+ item('b') n=5, l='x'");
    assert_int_equal(head(w), before + 3);
    assert_int_equal(w->v.last.result.seq, before + 2);
    SQL("SELECT qty,what FROM line", "5|->x");
    SQL("SELECT author FROM satchel_log WHERE id>>24=(SELECT seq FROM satchel_server)", "0");
    assert_non_null(strstr(logged(&w->v), "+ line("));
    HISTORY("copy 1");
    takes(w, &w->phone, head(w), 2, "~ item('b') l='y'");
    SQL("SELECT qty,what FROM line ORDER BY id", "5|->x ; 5|x>y");
    takes(w, &w->phone, head(w), 3, "~ item('b') f='other'");
    SQL("SELECT count(*) FROM line", "2");
}

static void resent_cause_fires_nothing_again(void **state) {
    world *w = *state;
    publish(w, COPY);
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ item('a') n=2"), SATCHEL_OK);
    uint64_t before = head(w);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ item('a') n=2"), SATCHEL_OK);
    assert_true(w->v.last.known);
    assert_int_equal(head(w), before);
    SQL("SELECT count(*) FROM line", "1");
    HISTORY("copy 1");
}

static void refused_or_undone_cause_leaves_no_effect(void **state) {
    world *w = *state;
    publish(w, COPY);
    refuses(w, &w->phone, w->base, 0, "+ item('a') n=2; + item('b') sv=9", SATCHEL_E_SERVER_OWNED, "");
    SQL("SELECT count(*) FROM line", "0");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    buf delta;
    buf_init(&delta, 0);
    push_txn t = make_txn(&w->tablet, w->base, 1);
    serving_delta(store_schema(w->v.s), "+ item('c') n=2", &delta);
    t.delta = delta.p;
    t.ndelta = delta.n;
    assert_int_equal(ingest_push(w->v.g, &w->tablet.a, &t, w->v.now_ms, &w->v.last), SATCHEL_OK);
    SQL("SELECT count(*) FROM line", "1");
    store_rollback(w->v.s);
    SQL("SELECT count(*) FROM line", "0");
    HISTORY("");
    buf_fini(&delta);
}

static void servers_sql_and_deletions_fire_too(void **state) {
    world *w = *state;
    buf error;
    uint64_t n, rows;
    buf_init(&error, 0);
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, actions) VALUES('gone', 'item', 'delete',"
        " 'INSERT INTO note(id, body) SELECT ''n''||id, event.author||'':''||coalesce(event.device,''server'') FROM old, event');");
    assert_int_equal(ingest_sql(w->v.g, "INSERT INTO item(id) VALUES('a'),('b'); DELETE FROM item WHERE id='a'", w->v.now_ms, &n,
                                &rows, &error),
                     SATCHEL_OK);
    SQL("SELECT id,body FROM note", "na|0:server");
    takes(w, &w->phone, head(w), 0, "- item('b')");
    SQL("SELECT id,body FROM note ORDER BY id", "na|0:server ; nb|1:phone");
    buf_fini(&error);
}

static void failing_rule_hurts_neither_its_cause_nor_others(void **state) {
    world *w = *state;
    buf lines;
    buf_init(&lines, 0);
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
        "('unique', 'item', 'insert', 'INSERT INTO entry(id, points) SELECT 1, 1; INSERT INTO entry(id, points) SELECT 1, 2'),\n"
        "('error', 'item', 'insert', 'UPDATE note SET body=abs(-9223372036854775807 - 1)'),\n"
        "('type', 'item', 'insert', 'INSERT INTO entry(id, points) SELECT 70, 7; UPDATE item SET n=''x'' WHERE id IN (SELECT id FROM new)'),\n"
        "('orphan', 'item', 'insert', 'INSERT INTO phone(id, person) SELECT 1, 99'),\n"
        "('good', 'item', 'insert', 'INSERT INTO line(qty) SELECT new.n FROM new');");
    known(w, "+ note('x') body='t'; + item('z') st='open'");
    SQL("SELECT count(*) FROM line", "1");
    sql_exec(&w->v, "DELETE FROM satchel_automation_run");
    ingest_alerts(w->v.g, &lines);
    uint64_t before = head(w);
    takes(w, &w->phone, head(w), 0, "+ item('a') n=3, st='open'");
    assert_int_equal(head(w), before + 2);
    SQL("SELECT qty FROM line WHERE qty=3", "3");
    SQL("SELECT count(*) FROM phone", "0");
    SQL("SELECT body FROM note", "t");
    SQL("SELECT count(*) FROM entry", "0");
    SQL("SELECT name FROM satchel_automation_run WHERE rc<>0 AND words<>''", "unique ; error ; type ; orphan");
    ingest_alerts(w->v.g, &lines);
    buf_put_byte(&lines, 0);
    assert_non_null(strstr((const char *)lines.p, "automation unique has failed: UNIQUE"));
    ingest_alerts(w->v.g, &lines);
    assert_int_equal(lines.n, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    buf report;
    unsigned problems;
    buf_init(&report, 0);
    store_rollback(w->v.s);
    assert_int_equal(store_verify(w->v.s, &report, &problems), SATCHEL_OK);
    if (problems) fail_msg("%.*s", (int)report.n, (const char *)report.p);
    buf_fini(&report);
    buf_fini(&lines);
}

static void effects_are_causes_and_a_loop_is_bounded_and_named(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
               "('ping', 'item', 'insert', 'INSERT INTO line(qty, what) SELECT 0, id FROM new'),\n"
               "('a', 'line', 'put', 'INSERT INTO entry(points) SELECT new.qty + 1 FROM new'),\n"
               "('b', 'entry', 'insert', 'INSERT INTO line(qty) SELECT new.points FROM new');");
    uint64_t before = head(w);
    takes(w, &w->phone, w->base, 0, "+ item('a')");
    assert_int_equal(head(w), before + 1 + AUTOMATION_ROUNDS);
    SQL("SELECT count(*) FROM entry", "4");
    SQL("SELECT name,words FROM satchel_automation_run WHERE rc<>0",
        "b|stopped after 8 rounds: ping -> a -> b -> a -> b -> a -> b -> a -> b");
}

static void what_somebody_wrote_stays_unless_the_rule_overwrites(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions, overwrites) VALUES\n"
               "('fill', 'item', 'insert', 'UPDATE item SET l=''auto'', f=''auto'', sv=9 WHERE id IN (SELECT id FROM new)', 0);");
    takes(w, &w->phone, w->base, 0, "+ item('a') l='mine'");
    SQL("SELECT l,f,sv FROM item", "mine|auto|9");
    SQL("SELECT words FROM satchel_automation_run", "item.l is left as somebody wrote it");
    publish(w, "INSERT INTO automation(name, tbl, event, actions, overwrites) VALUES\n"
               "('fill', 'item', 'put', 'UPDATE item SET l=''auto'' WHERE id IN (SELECT id FROM new)', 1);");
    takes(w, &w->phone, head(w), 1, "~ item('a') n+=1");
    SQL("SELECT l FROM item", "auto");
}

static void what_somebody_wrote_before_the_rule_and_is_heard_of_later_stays(void **state) {
    world *w = *state;
    publish(w,
            "INSERT INTO automation(name, tbl, event, columns, actions) VALUES\n"
            "('fill', 'item', 'put', 'n', 'UPDATE item SET l=''auto''||(SELECT n FROM new) WHERE id IN (SELECT id FROM new)');");
    takes(w, &w->phone, w->base, 0, "+ item('a') n=1");
    uint64_t known = head(w) - 1;
    SQL("SELECT l FROM item", "auto1");
    takes(w, &w->phone, head(w), 1, "~ item('a') n+=1");
    SQL("SELECT l FROM item", "auto2");
    takes(w, &w->tablet, known, -60, "~ item('a') l='auto3'");
    takes(w, &w->phone, head(w), 2, "~ item('a') n+=1"); /* the same, and it is the tablet's still */
    SQL("SELECT l FROM item", "auto3");
    takes(w, &w->phone, head(w), 3, "~ item('a') n+=1");
    SQL("SELECT l FROM item", "auto3");
    takes(w, &w->tablet, known, -50, "~ item('a') l='mine'");
    SQL("SELECT l FROM item", "mine");
    takes(w, &w->phone, head(w), 4, "~ item('a') n+=1");
    SQL("SELECT l FROM item", "mine");
    SQL("SELECT words FROM satchel_automation_run ORDER BY id DESC LIMIT 1", "item.l is left as somebody wrote it");
}

static void delete_M14_by_who_has_not_heard_what_a_rule_filled_in_deletes(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, condition, actions, overwrites) VALUES\n"
               "('fill', 'item', 'insert', 'new.n > 0', 'UPDATE item SET l=''auto'' WHERE id IN (SELECT id FROM new)', 0),\n"
               "('say', 'item', 'insert', 'new.n = 0', 'UPDATE item SET l=''said'' WHERE id IN (SELECT id FROM new)', 1);");
    takes(w, &w->phone, w->base, 0, "+ item('x') n=1");
    SQL("SELECT l FROM item WHERE id='x'", "auto");
    takes(w, &w->phone, w->base, 1, "- item('x')");
    SQL("SELECT count(*) FROM item WHERE id='x'", "0");
    /* A rule that overwrites has something to say, and so has a person. */
    takes(w, &w->phone, w->base, 2, "+ item('y') f='other'");
    takes(w, &w->phone, w->base, 3, "- item('y')");
    SQL("SELECT l FROM item WHERE id='y'", "said");
    takes(w, &w->phone, w->base, 4, "+ item('z') n=1");
    takes(w, &w->tablet, head(w), 5, "~ item('z') l='mine'");
    takes(w, &w->phone, w->base, 6, "- item('z')");
    SQL("SELECT l FROM item WHERE id='z'", "mine");
}

static void rule_that_is_off_does_nothing_and_is_tried_without_effect(void **state) {
    world *w = *state;
    buf report, error;
    buf_init(&report, 0);
    buf_init(&error, 0);
    publish(w, COPY);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(automation_switch(w->v.s, "copy", false, &error), SATCHEL_OK);
    assert_int_equal(automation_switch(w->v.s, "copyy", false, &error), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    takes(w, &w->phone, w->base, 0, "+ item('a') n=2");
    takes(w, &w->phone, head(w), 0, "+ item('b') n=1");
    uint64_t before = head(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    buf_clear(&error);
    assert_int_equal(automation_try(w->v.g, "copy", "item", "'a'", w->v.now_ms, &report, &error), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_put_byte(&report, 0);
    assert_non_null(strstr((const char *)report.p, "insert line("));
    assert_non_null(strstr((const char *)report.p, "qty=2 n=0 what='->-'"));
    assert_int_equal(head(w), before);
    SQL("SELECT count(*) FROM line", "0");
    HISTORY("");
    buf_clear(&report);
    assert_int_equal(automation_try(w->v.g, "copy", "item", "'b'", w->v.now_ms, &report, &error), SATCHEL_OK);
    buf_put_byte(&report, 0);
    assert_string_equal((const char *)report.p, "its condition does not hold\n");
    assert_int_equal(automation_try(w->v.g, "copy", "item", "'c'", w->v.now_ms, &report, &error), SATCHEL_E_NOT_FOUND);
    assert_int_equal(automation_try(w->v.g, "none", "item", "'c'", w->v.now_ms, &report, &error), SATCHEL_E_NOT_FOUND);
    serving_reopen(&w->v);
    takes(w, &w->phone, head(w), 1, "~ item('a') l='y'");
    SQL("SELECT count(*) FROM line", "0");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(automation_switch(w->v.s, "copy", true, &error), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    takes(w, &w->phone, head(w), 2, "~ item('a') l='z'");
    SQL("SELECT count(*) FROM line", "1");
    buf_fini(&report);
    buf_fini(&error);
}

#define HOUR_MS UINT64_C(3600000)

static bool tick(world *w) {
    bool due;
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(automation_due(w->v.g, w->v.now_ms, &due), SATCHEL_OK);
    assert_int_equal(automation_timers(w->v.g, w->v.now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    return due;
}

static void timer_runs_once_however_long_the_server_stood_still(void **state) {
    world *w = *state;
    w->v.now_ms -= w->v.now_ms % (24 * HOUR_MS);
    publish(
        w,
        "INSERT INTO automation(name, every, actions) VALUES\n"
        "('hourly', '1h', 'INSERT INTO line(what) SELECT at_ms=satchel_now() AND seq=0 FROM event'),\n"
        "('nightly', '1d 02:00', 'INSERT INTO entry(points) SELECT 1'),\n"
        "('failing', '1d 02:00', 'INSERT INTO entry(points) SELECT NULL; INSERT INTO person(id) SELECT 1; INSERT INTO person(id) SELECT 1');");
    assert_false(tick(w));
    w->v.now_ms += HOUR_MS - 1;
    assert_false(tick(w));
    w->v.now_ms += 1;
    assert_true(tick(w));
    assert_false(tick(w));
    SQL("SELECT what FROM line", "1");
    w->v.now_ms += 100 * HOUR_MS;
    serving_reopen(&w->v);
    assert_true(tick(w));
    SQL("SELECT count(*) FROM line", "2");
    SQL("SELECT points FROM entry", "1");
    assert_true(tick(w)); /* what has failed */
    SQL("SELECT count(*) FROM line", "2");
    SQL("SELECT count(*) FROM entry", "1");
    SQL("SELECT count(*) FROM satchel_automation_run WHERE name='failing' AND rc<>0", "2");
}

/* Rules with a mistake, and what is said of it. */
static const struct {
    const char *rules, *words;
} MISTAKE[] = {
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','nowhere','put','DELETE FROM item')",
     "f:1: a: there is no synced table nowhere"},
    {"\n\nINSERT INTO automation(name, tbl, event, actions) VALUES\n('a','item','put','DELETE FROM item'),\n('b','item','put',\n'DELETE FROM item;\nDELETE FROM itm')",
     "f:5: b: line 2 of its actions: no such table: itm"},
    {"INSERT INTO automation(name, tbl, event, condition, actions) VALUES('a','item','put','new.x = 1','DELETE FROM item')",
     "f:1: a: line 1 of its condition: no such column: new.x"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put','DELETE FROM satchel_log')",
     "a table that is not synced"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put','UPDATE item SET satchel_set=1')",
     "Satchel's own"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put','SELECT 1')", "writes nothing"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put','CREATE TABLE x(a)')", ""},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put',' -- ')", "has no actions"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put','DELETE FROM item WHERE id=:x')",
     "holds a parameter"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','ever','DELETE FROM item')", "its event is none of"},
    {"INSERT INTO automation(name, tbl, event, columns, actions) VALUES('a','item','put','n,nn','DELETE FROM item')",
     "has no column nn"},
    {"INSERT INTO automation(name, every, actions) VALUES('a','5','DELETE FROM item')", "is a number with m, h or d"},
    {"INSERT INTO automation(name, every, actions) VALUES('a','1d 25:00','DELETE FROM item')", "is a number with m, h or d"},
    {"INSERT INTO automation(name, every, tbl, actions) VALUES('a','1d','item','DELETE FROM item')", "leave one out"},
    {"INSERT INTO automation(name, actions) VALUES('a','DELETE FROM item')", "say when it fires"},
    {"INSERT INTO automation(name, tbl, event, actions) VALUES('a','item','put','DELETE FROM item'),('a','item','put','DELETE FROM item')",
     "UNIQUE"},
    {"INSERT INTO automation(name, tbl, event, actions, overwrites) VALUES('a','item','put','DELETE FROM item',2)",
     "overwrites is 0 or 1"},
    {"DELETE FROM automation", "leave this out"},
};

static void rules_with_a_mistake_are_refused_with_its_place(void **state) {
    world *w = *state;
    publish(w, COPY);
    for (unsigned i = 0; i < sizeof MISTAKE / sizeof *MISTAKE; i++) {
        buf error;
        uint64_t n;
        buf_init(&error, 0);
        assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
        int rc = automation_publish(w->v.s, "f", MISTAKE[i].rules, w->v.now_ms, &n, &error);
        store_rollback(w->v.s);
        buf_put_byte(&error, 0);
        if (rc != SATCHEL_E_RULE || !strstr((const char *)error.p, MISTAKE[i].words))
            fail_msg("%s: %s, %s", MISTAKE[i].rules, satchel_rc_name(rc), (const char *)error.p);
        buf_fini(&error);
    }
    takes(w, &w->phone, w->base, 0, "+ item('a') n=2");
    SQL("SELECT count(*) FROM line", "1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(rule_fires_once_for_each_change_as_a_commit_of_the_servers),
        TEST(resent_cause_fires_nothing_again),
        TEST(refused_or_undone_cause_leaves_no_effect),
        TEST(servers_sql_and_deletions_fire_too),
        TEST(failing_rule_hurts_neither_its_cause_nor_others),
        TEST(effects_are_causes_and_a_loop_is_bounded_and_named),
        TEST(what_somebody_wrote_stays_unless_the_rule_overwrites),
        TEST(what_somebody_wrote_before_the_rule_and_is_heard_of_later_stays),
        TEST(delete_M14_by_who_has_not_heard_what_a_rule_filled_in_deletes),
        TEST(rule_that_is_off_does_nothing_and_is_tried_without_effect),
        TEST(timer_runs_once_however_long_the_server_stood_still),
        TEST(rules_with_a_mistake_are_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
