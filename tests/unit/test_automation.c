/* What follows from changes by rules: exactly once, in the transaction of its cause, and nothing that fails hurts what it follows from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "protocol/satchel_rc.h"
#include "server/automation_private.h"
#include "server/import.h"
#include "tests/unit/automation_fixture.h"

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
    assert_int_equal(head(w), before + 1 + LIMIT_AUTOMATION_ROUNDS);
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

/* One column of a group is another's as soon as the other is; what a rule adds to a counter takes nothing from anybody. */
static void group_that_somebody_wrote_stays_whole_and_a_counter_is_added_to(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
               "('add', 'item', 'insert', 'UPDATE item SET n=n+10, currency=''USD'' WHERE id IN (SELECT id FROM new)');");
    takes(w, &w->phone, w->base, 0, "+ item('a') n=5, amount=3, currency='EUR'");
    SQL("SELECT n,amount,currency FROM item", "15|3|EUR");
    SQL("SELECT words FROM satchel_automation_run", "item.amount is left as somebody wrote it");
    CONFLICTS("");
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
    assert_int_equal(automation_switch(w->v.s, "copy", false, w->v.now_ms, &error), SATCHEL_OK);
    assert_int_equal(automation_switch(w->v.s, "copyy", false, w->v.now_ms, &error), SATCHEL_E_NOT_FOUND);
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
    assert_int_equal(automation_switch(w->v.s, "copy", true, w->v.now_ms, &error), SATCHEL_OK);
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
    assert_false(tick(w));
    w->v.now_ms += 60000;
    assert_true(tick(w)); /* what has failed */
    SQL("SELECT count(*) FROM line", "2");
    SQL("SELECT count(*) FROM entry", "1");
    SQL("SELECT count(*) FROM satchel_automation_run WHERE name='failing' AND rc<>0", "2");
}

/* ---- what a rule that fails, or follows, does to others ---- */

static const char FAILS_AFTER[] =
    "INSERT INTO automation(name, every, actions) VALUES('hourly', '1h', 'INSERT INTO line(qty) VALUES(1)');\n"
    "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
    "('bad', 'line', 'insert', 'INSERT INTO person(id) SELECT 1; INSERT INTO person(id) SELECT 1'),\n"
    "('more', 'line', 'insert', 'INSERT INTO entry(points) SELECT 1');";

static void timer_has_run_though_what_follows_from_it_fails(void **state) {
    world *w = *state;
    w->v.now_ms -= w->v.now_ms % (24 * HOUR_MS);
    publish(w, FAILS_AFTER);
    w->v.now_ms += HOUR_MS;
    assert_true(tick(w));
    assert_non_null(strstr(alerts(w), "bad has failed"));
    assert_false(tick(w));
    SQL("SELECT count(*) FROM line", "1");
    run_timer(w, "hourly", false);
    SQL("SELECT count(*) FROM line", "2");
}

static void timer_that_fails_is_tried_again_later_and_logged_once(void **state) {
    world *w = *state;
    w->v.now_ms -= w->v.now_ms % (24 * HOUR_MS);
    publish(w, "INSERT INTO automation(name, every, actions) VALUES('failing', '1d',"
               " 'INSERT INTO person(id) SELECT 1; INSERT INTO person(id) SELECT 1');");
    w->v.now_ms += 24 * HOUR_MS;
    assert_true(tick(w));
    assert_string_equal(alerts(w), "automation failing has failed: UNIQUE constraint failed: person.id\n");
    assert_false(tick(w));
    for (unsigned i = 0; i < 180; i++, w->v.now_ms += 60000) tick(w);
    assert_string_equal(alerts(w), "");
    SQL("SELECT count(*) BETWEEN 5 AND 10 FROM satchel_automation_run", "1");
}

static void rule_that_is_off_does_not_follow_a_timer_nor_what_is_tried(void **state) {
    world *w = *state;
    publish(w, FAILS_AFTER);
    switch_rule(w, "more", false);
    run_timer(w, "hourly", false);
    SQL("SELECT count(*) FROM line", "1");
    SQL("SELECT count(*) FROM entry", "0");
    assert_null(strstr(try_rule(w, "hourly", NULL, NULL), "entry"));
    switch_rule(w, "more", true);
    assert_non_null(strstr(try_rule(w, "hourly", NULL, NULL), "entry"));
}

static void many_refused_firings_cost_no_others_and_one_line(void **state) {
    world *w = *state;
    char words[40 * 400] = "";
    for (unsigned i = 0; i < 400; i++) sprintf(words + strlen(words), "%s+ item('i%u') mx=%u", i ? "; " : "", i, i);
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES('half', 'item', 'insert',"
               " 'INSERT INTO phone(id, person) SELECT new.mx, CASE WHEN new.mx % 2 THEN 99 END FROM new'),\n"
               "('next', 'phone', 'insert', 'INSERT INTO line(qty) SELECT new.id FROM new');");
    int before = sqlite3_total_changes(store_db(w->v.s));
    takes(w, &w->phone, w->base, 0, words);
    assert_true(sqlite3_total_changes(store_db(w->v.s)) - before < 400 * 40);
    SQL("SELECT count(*),sum(id%2) FROM phone", "200|0");
    SQL("SELECT count(*),sum(qty%2) FROM line", "200|0");
    SQL("SELECT count(*) FROM satchel_automation_run WHERE rc<>0", "200");
    /* Each cause of the second round is a commit of its own. */
    SQL("SELECT count(DISTINCT seq)>100 FROM satchel_automation_run WHERE name='next'", "1");
    assert_string_equal(alerts(w),
                        "automation half has failed, 200 times: a row of phone refers to a row of person that does not exist\n");
    SQL("SELECT count(*) FROM satchel_log WHERE id>>24>(SELECT seq FROM satchel_server)", "0");
}

/* 50 rows of 10 KB for each: the third round would have more to look at than there is room for by then. */
static void rule_that_multiplies_is_stopped_before_it_fills_everything(void **state) {
    world *w = *state;
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
        "('many', 'line', 'insert', 'INSERT INTO line(qty, what) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50)"
        " SELECT n, printf(''%10000d'', n) FROM c'),\n"
        "('good', 'line', 'insert', 'INSERT INTO entry(points) SELECT 1');");
    takes(w, &w->phone, w->base, 0, "+ line(1)");
    SQL("SELECT count(*) FROM line", "2551");
    SQL("SELECT count(*) FROM entry", "51");
    SQL("SELECT name||': '||words FROM satchel_automation_run WHERE rc<>0 ORDER BY 1",
        "good: stopped before round 3, which is too large: many -> many -> good ; many: stopped before round 3, which is too large: many -> many -> many");
}

static void action_without_WHERE_deletes_wherever_it_stands(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1; + line(2) qty=2");
    publish(w, "INSERT INTO automation(name, every, actions) VALUES('purge', '1d', 'DELETE FROM line');");
    run_timer(w, "purge", false);
    SQL("SELECT count(*) FROM line", "0");
    assert_non_null(strstr(logged(&w->v), "- line("));
}

/* A cause that ends with the group at first: nothing of it is committed, and its device sends it anew. */
static void takes_when_it_comes_again(world *w, const char *text) {
    push_txn t = make_txn(&w->phone, head(w), 1);
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(w->v.s), text, &delta);
    t.delta = delta.p;
    t.ndelta = delta.n;
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(ingest_push(w->v.g, &w->phone.a, &t, w->v.now_ms, &w->v.last), SATCHEL_E_BUSY);
    store_rollback(w->v.s);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(ingest_push(w->v.g, &w->phone.a, &t, w->v.now_ms, &w->v.last), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_fini(&delta);
}

/* Its statement takes the transaction with it, which comes again; then the rule stands aside until it is switched. */
static void endless_rule_is_left_out_until_it_is_switched_on_anew(void **state) {
    world *w = *state;
    publish(w,
            "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
            "('endless', 'item', 'insert', 'INSERT INTO line(qty) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"
            " SELECT n FROM c WHERE n < 0 OR (SELECT mx FROM new) IS NULL LIMIT 1'),\n"
            "('good', 'item', 'insert', 'INSERT INTO entry(points) SELECT 1');\n"
            "INSERT INTO automation(name, tbl, event, condition, actions) VALUES('when', 'note', 'insert',\n"
            " '(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c)', 'DELETE FROM person');");
    takes(w, &w->phone, w->base, 0, "+ person(1)");
    w->v.g->rules->limit_ms = 20;
    uint64_t before = head(w);
    takes_when_it_comes_again(w, "+ item('a') mx=1");
    assert_int_equal(head(w), before + 2);
    SQL("SELECT count(*) FROM item", "1");
    SQL("SELECT count(*) FROM entry", "1");
    assert_non_null(strstr(alerts(w), "automation endless has failed: takes too long"));
    takes(w, &w->phone, head(w), 2, "+ note('n') title='t'");
    assert_non_null(strstr(alerts(w), "automation when has failed: takes too long"));
    switch_rule(w, "endless", true);
    takes(w, &w->phone, head(w), 3, "+ item('b')");
    SQL("SELECT qty FROM line", "1");
}

/* Each in time, and all together not: the cause stands, and what was left out is told, row by row. A rule that is quick does its work on every row. */
static void rules_that_are_slow_together_are_left_out_by_name(void **state) {
    world *w = *state;
    buf text = {0};
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, actions) VALUES('slow', 'item', 'insert', 'INSERT INTO line(qty) WITH RECURSIVE"
        " c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT max(n) FROM c'),\n"
        "('quick', 'item', 'insert', 'INSERT INTO entry(points) SELECT 1');");
    takes(w, &w->phone, w->base, 0, "+ person(1)");
    w->v.g->rules->limit_ms = 500;
    for (int i = 0; i < 300; i++) buf_printf(&text, "%s+ item('%d')", i ? "; " : "", i);
    buf_put_byte(&text, 0);
    takes(w, &w->phone, w->base, 1, (const char *)text.p);
    SQL("SELECT count(*) FROM item", "300");
    SQL("SELECT count(*) BETWEEN 1 AND 299 FROM line", "1");
    SQL("SELECT count(*) FROM entry", "300");
    SQL("SELECT count(*)+(SELECT count(*) FROM line) FROM satchel_automation_run WHERE name='slow' AND rc<>0 AND words LIKE 'left out: %'",
        "300");
    assert_non_null(strstr(alerts(w), "automation slow has failed, "));
    buf_fini(&text);
}

/* OR ROLLBACK ends the transaction of whoever is the cause: that comes again, and then the rule stands aside. */
static void rule_that_rolls_back_is_left_out_until_it_is_switched_on_anew(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
               "('rolls', 'item', 'insert', 'INSERT OR ROLLBACK INTO person(id) SELECT 1 UNION ALL SELECT 1'),\n"
               "('good', 'item', 'insert', 'INSERT INTO entry(points) SELECT 1');");
    takes_when_it_comes_again(w, "+ item('a') mx=1");
    SQL("SELECT count(*) FROM item", "1");
    SQL("SELECT count(*) FROM entry", "1");
    assert_non_null(strstr(alerts(w), "automation rolls has failed: ends the transaction"));
}

/* ---- what a person did ---- */

static void row_that_somebody_deleted_comes_again_only_by_a_rule_that_overwrites(void **state) {
    world *w = *state;
    static const char *const RULE =
        "INSERT INTO automation(name, tbl, event, actions, overwrites) VALUES('todo', 'item', 'put',"
        " 'INSERT INTO note(id, title) SELECT new.id, ''todo'' FROM new WHERE 1 ON CONFLICT(id) DO NOTHING', %d);";
    char rule[400];
    snprintf(rule, sizeof rule, RULE, 0);
    publish(w, rule);
    takes(w, &w->phone, w->base, 0, "+ item('a') l='x'");
    SQL("SELECT title FROM note", "todo");
    takes(w, &w->phone, head(w), 1, "- note('a')");
    takes(w, &w->phone, head(w), 2, "~ item('a') l='y'");
    SQL("SELECT count(*) FROM note", "0");
    SQL("SELECT words FROM satchel_automation_run ORDER BY id DESC LIMIT 1",
        "a row of note stays deleted, as somebody wanted it");
    snprintf(rule, sizeof rule, RULE, 1);
    publish(w, rule);
    takes(w, &w->phone, head(w), 3, "~ item('a') l='z'");
    SQL("SELECT title FROM note", "todo");
}

static void delete_M14_of_a_row_of_keys_alone_that_a_rule_made_too_deletes(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES('tag', 'item', 'insert',"
               " 'INSERT INTO tag(item, tag) SELECT id, ''vip'' FROM new WHERE 1 ON CONFLICT DO NOTHING');");
    takes(w, &w->phone, w->base, 0, "+ item('a')");
    SQL("SELECT item,tag FROM tag", "a|vip");
    takes(w, &w->phone, w->base, 1, "+ tag('a','vip')");
    takes(w, &w->phone, w->base, 2, "- tag('a','vip')");
    SQL("SELECT count(*) FROM tag", "0");
    CONFLICTS("");
}

static void value_of_a_rule_that_loses_by_a_columns_rule_is_no_conflict(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions, overwrites) VALUES('lower', 'item', 'put',"
               " 'UPDATE item SET mx=1, f=''rule'' WHERE id IN (SELECT id FROM new)', 1);");
    takes(w, &w->phone, w->base, 0, "+ item('a') mx=5, f='mine'");
    SQL("SELECT mx,f FROM item", "5|mine");
    CONFLICTS("");
}

static void value_of_a_rule_that_somebody_writes_over_is_no_loss(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES('fill', 'item', 'insert',"
               " 'UPDATE item SET l=''auto'' WHERE id IN (SELECT id FROM new)');");
    takes(w, &w->phone, w->base, 0, "+ item('a')");
    takes(w, &w->tablet, head(w) - 1, 1, "~ item('a') l='mine'");
    SQL("SELECT l FROM item", "mine");
    CONFLICTS("");
}

/* Who has heard of it writes his own by the column's rule: a first stays, a text is changed. */
static void what_a_rule_filled_in_is_as_good_as_anyones_to_who_has_heard_of_it(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
               "('item', 'item', 'insert', 'UPDATE item SET f=''auto'' WHERE id IN (SELECT id FROM new)'),\n"
               "('note', 'note', 'insert', 'UPDATE note SET body=''auto'' WHERE id IN (SELECT id FROM new)');");
    takes(w, &w->phone, w->base, 0, "+ item('a'); + note('n') title='t'");
    takes(w, &w->tablet, head(w), 1, "~ item('a') f='mine'; ~ note('n') body='mine'");
    SQL("SELECT f,body FROM item,note", "auto|mine");
    SQL("SELECT count(*) FROM note", "1");
}

static void what_a_rule_filled_in_gives_way_whatever_the_rule_of_its_column(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES\n"
               "('item', 'item', 'insert', 'UPDATE item SET f=''auto'' WHERE id IN (SELECT id FROM new)'),\n"
               "('note', 'note', 'insert', 'UPDATE note SET body=''auto'' WHERE id IN (SELECT id FROM new)');");
    takes(w, &w->phone, w->base, 0, "+ item('a'); + note('n') title='t'");
    SQL("SELECT f,body FROM item,note", "auto|auto");
    takes(w, &w->tablet, head(w) - 1, 1, "~ item('a') f='mine'; ~ note('n') body='mine'");
    SQL("SELECT f,body FROM item,note", "mine|mine");
    CONFLICTS("");
    takes(w, &w->till, head(w) - 2, 2, "~ item('a') f='late'");
    SQL("SELECT f FROM item", "mine");
    CONFLICTS("item('a').f first kept 'mine' lost 'late' of 3");
}

/* ---- timers and the clock ---- */

static void timer_runs_on_after_the_clock_was_ahead(void **state) {
    world *w = *state;
    w->v.now_ms -= w->v.now_ms % (24 * HOUR_MS);
    publish(w, "INSERT INTO automation(name, every, actions) VALUES('hourly', '1h', 'INSERT INTO line(qty) VALUES(1)');");
    w->v.now_ms += 365 * 24 * HOUR_MS;
    assert_true(tick(w));
    w->v.now_ms -= 365 * 24 * HOUR_MS;
    tick(w);
    SQL("SELECT count(*) FROM line", "1");
    assert_false(tick(w));
    w->v.now_ms += HOUR_MS;
    assert_true(tick(w));
    SQL("SELECT count(*) FROM line", "2");
}

static void timer_counts_from_when_it_became_one_or_was_switched_on(void **state) {
    world *w = *state;
    w->v.now_ms -= w->v.now_ms % (24 * HOUR_MS);
    publish(
        w, "INSERT INTO automation(name, tbl, event, actions) VALUES('r', 'item', 'insert', 'INSERT INTO line(qty) VALUES(1)');");
    w->v.now_ms += 100 * HOUR_MS;
    publish(w, "INSERT INTO automation(name, every, actions) VALUES('r', '2h', 'INSERT INTO line(qty) VALUES(1)');");
    assert_false(tick(w));
    switch_rule(w, "r", false);
    w->v.now_ms += 100 * HOUR_MS;
    switch_rule(w, "r", true);
    assert_false(tick(w));
    w->v.now_ms += HOUR_MS;
    assert_false(tick(w));
    publish(w, "INSERT INTO automation(name, every, actions) VALUES('r', '2h', 'INSERT INTO line(qty) VALUES(2)');");
    w->v.now_ms += HOUR_MS;
    assert_true(tick(w));
    SQL("SELECT qty FROM line", "2");
    w->v.now_ms += 2 * HOUR_MS;
    publish(w, "INSERT INTO automation(name, every, actions) VALUES('r', '1h', 'INSERT INTO line(qty) VALUES(3)');");
    assert_false(tick(w));
}

/* ---- trying, and what is undone ---- */

static void update_rule_with_columns_is_tried_as_if_they_had_changed(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, columns, actions) VALUES('upd', 'item', 'update', 'l',"
               " 'INSERT INTO line(what) SELECT old.l||new.l FROM new, old');");
    known(w, "+ item('a') l='x'");
    const char *report = try_rule(w, "upd", "item", "'a'");
    assert_non_null(strstr(report, "what='xx'"));
    assert_non_null(strstr(report, "old.* is new.*"));
}

static void dry_run_of_an_import_leaves_no_alert(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES('bad', 'item', 'insert',"
               " 'INSERT INTO person(id) SELECT 1; INSERT INTO person(id) SELECT 1');");
    for (int dry = 1; dry >= 0; dry--) {
        buf error;
        buf_init(&error, 0);
        json_t *reply = json_object(),
               *request = json_pack("{ss s[s] s[[i s]] sb}", "table", "item", "columns", "id", "rows", 1, "a", "dry_run", dry);
        assert_int_equal(import_batch(w->v.s, w->v.g, request, w->v.now_ms, reply, &error), SATCHEL_OK);
        assert_int_equal(json_integer_value(json_object_get(reply, "inserted")), 1);
        assert_int_equal(*alerts(w) == 0, dry);
        json_decref(reply);
        json_decref(request);
        buf_fini(&error);
    }
}

/* Else the row would stay, unlogged, when whoever imports goes on with the others. */
static void row_without_room_for_its_rules_fails_what_it_is_part_of(void **state) {
    world *w = *state;
    publish(w, COPY);
    known(w, "+ item('z')");
    store_begin(w->v.s);
    bool changed;
    ingest_position before;
    assert_int_equal(ingest_own_begin(w->v.g, w->v.now_ms, &before), SATCHEL_OK);
    w->v.g->caused.max = 4;
    buf delta;
    wire wr;
    delta_reader r;
    buf_init(&delta, 0);
    serving_delta(store_schema(w->v.s), "+ item('a') n=2", &delta);
    wire_open(&wr, delta.p, delta.n);
    delta_open(&r, &wr);
    assert_int_equal(delta_next(&r, &w->v.g->in), 1);
    int rc = ingest_row(w->v.g, &w->v.g->in);
    assert_int_equal(rc, SATCHEL_E_LIMIT);
    assert_int_not_equal(satchel_rc_class(rc), SATCHEL_CLASS_REFUSED);
    assert_int_equal(ingest_own_end(w->v.g, &before, rc, &changed), rc);
    w->v.g->caused.max = 0;
    store_rollback(w->v.s);
    buf_fini(&delta);
}

static void update_of_columns_that_no_rule_waits_for_is_not_noted(void **state) {
    world *w = *state;
    publish(w, COPY);
    takes(w, &w->phone, w->base, 0, "+ item('a')");
    w->v.g->caused.max = 1;
    takes(w, &w->phone, head(w), 1, "~ item('a') f='x', st='open'");
    refuses(w, &w->phone, head(w), 2, "~ item('a') l='x'", SATCHEL_E_TOO_LARGE, "automations");
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
        TEST(group_that_somebody_wrote_stays_whole_and_a_counter_is_added_to),
        TEST(what_somebody_wrote_before_the_rule_and_is_heard_of_later_stays),
        TEST(delete_M14_by_who_has_not_heard_what_a_rule_filled_in_deletes),
        TEST(rule_that_is_off_does_nothing_and_is_tried_without_effect),
        TEST(timer_runs_once_however_long_the_server_stood_still),
        TEST(timer_has_run_though_what_follows_from_it_fails),
        TEST(timer_that_fails_is_tried_again_later_and_logged_once),
        TEST(rule_that_is_off_does_not_follow_a_timer_nor_what_is_tried),
        TEST(many_refused_firings_cost_no_others_and_one_line),
        TEST(rule_that_multiplies_is_stopped_before_it_fills_everything),
        TEST(action_without_WHERE_deletes_wherever_it_stands),
        TEST(endless_rule_is_left_out_until_it_is_switched_on_anew),
        TEST(rules_that_are_slow_together_are_left_out_by_name),
        TEST(rule_that_rolls_back_is_left_out_until_it_is_switched_on_anew),
        TEST(row_that_somebody_deleted_comes_again_only_by_a_rule_that_overwrites),
        TEST(delete_M14_of_a_row_of_keys_alone_that_a_rule_made_too_deletes),
        TEST(value_of_a_rule_that_loses_by_a_columns_rule_is_no_conflict),
        TEST(value_of_a_rule_that_somebody_writes_over_is_no_loss),
        TEST(what_a_rule_filled_in_is_as_good_as_anyones_to_who_has_heard_of_it),
        TEST(what_a_rule_filled_in_gives_way_whatever_the_rule_of_its_column),
        TEST(timer_runs_on_after_the_clock_was_ahead),
        TEST(timer_counts_from_when_it_became_one_or_was_switched_on),
        TEST(update_rule_with_columns_is_tried_as_if_they_had_changed),
        TEST(dry_run_of_an_import_leaves_no_alert),
        TEST(row_without_room_for_its_rules_fails_what_it_is_part_of),
        TEST(update_of_columns_that_no_rule_waits_for_is_not_noted),
        TEST(rules_with_a_mistake_are_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
