/* Devices that hold a part: each gets exactly the rows of its view, whatever becomes of rows and views while it is there or away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/unit/hub_scoped.h"

static void devices_without_rules_hold_everything(void **state) {
    world *w = *state;
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3 4|cid|4");
    server(w, "UPDATE item SET n=9 WHERE id=4");
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3 4|cid|9");
    assert_int_equal(p->page.view, 0);
}

static void S1_two_devices_get_their_own_rows_live_and_after_being_away(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    HOLDS(&tablet, "2|bob|2");
    server(w, "UPDATE item SET n=n+10; INSERT INTO item(id,a) VALUES(5,'ann'),(6,'bob'),(7,'cid');");
    HOLDS(&phone, "1|ann|11 3|ann|13 5|ann|0");
    HOLDS(&tablet, "2|bob|12 6|bob|0");
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET n=n+10; DELETE FROM item WHERE id IN (3,6);");
    HOLDS(&phone, "1|ann|11 3|ann|13 5|ann|0");
    HOLDS(&tablet, "2|bob|22");
    p = connect_phone(w, p);
    HOLDS(&phone, "1|ann|21 5|ann|10");
    PUSH(t, 5, "~ item(2) a='x', n+=5");
    settle(w);
    assert_string_equal(holding_sql(&tablet, "SELECT * FROM item"), "");
    assert_int_equal(p->closed || t->closed, false);
}

static void row_that_moves_comes_whole_and_leaves(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    connect_tablet(w, NULL);
    holding_counts(&phone);
    holding_counts(&tablet);
    server(w, "UPDATE item SET a='bob' WHERE id=3");
    HOLDS(&phone, "1|ann|1");
    HOLDS(&tablet, "2|bob|2 3|bob|3");
    COUNTS(&phone, "0 0 0 1");
    COUNTS(&tablet, "1 0 0 0");
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET a='ann',n=8 WHERE id=2");
    server(w, "UPDATE item SET a=NULL WHERE id=1");
    p = connect_phone(w, p);
    HOLDS(&phone, "2|ann|8");
    HOLDS(&tablet, "3|bob|3");
}

static void S2_row_in_two_buckets_of_a_device_never_leaves(void **state) {
    world *w = *state;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    publish(w, RULES(""));
    connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3");
    holding_counts(&phone);
    server(w, "UPDATE item SET a='bob' WHERE id=1");
    server(w, "UPDATE item SET a='ann' WHERE id=2");
    HOLDS(&phone, "1|bob|1 2|ann|2 3|ann|3");
    COUNTS(&phone, "2 0 0 0");
}

static void joining_and_leaving_a_bucket_brings_and_takes_its_rows(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    uint64_t before = phone.view;
    holding_counts(&phone);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3");
    COUNTS(&phone, "2 0 0 0");
    assert_int_not_equal(phone.view, before);
    server(w, "UPDATE item SET n=7 WHERE id=2");
    HOLDS(&phone, "1|ann|1 2|bob|7 3|ann|3");
    server(w, "UPDATE long SET a='cid'");
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|4");
    COUNTS(&phone, "1 2 0 1");
    hub_disconnect(w->h, p->session);
    server(
        w,
        "DELETE FROM long; UPDATE item SET a='cid' WHERE id=1; UPDATE item SET a='ann',n=5 WHERE id=4; DELETE FROM item WHERE id=3;");
    p = connect_phone(w, p);
    HOLDS(&phone, "4|ann|5");
    assert_int_equal(phone.view, before);
    assert_false(p->closed);
}

/* Nor between the commit that publishes them and whoever tells the hub of it. */
static void S1_nobody_is_served_other_rules_by_what_he_was_to_hold_before_them(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    holding_counts(&phone);
    /* 'own' of ann is every row now, and no rep has it. */
    commit_rules(
        w, "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','''ann'''),('long','all',NULL);\n"
           "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''all'',NULL'),('chief','SELECT ''all'',NULL');\n");
    HOLDS(&phone, "");
    assert_memory_equal(holding_counts(&phone), "0 0 0 ", 6);
}

/* What runs in transactions of its own is published at its end, with what profiles read of it. */
static void S1_nobody_is_served_an_import_by_what_he_was_to_hold_before_it(void **state) {
    world *w = *state;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|4");
    holding_counts(&phone);
    test_job own = {.job = {.run = run_job, .done = done_job, .own_transaction = true},
                    .got = 1,
                    .text = "DELETE FROM long; UPDATE item SET n=98 WHERE id=4; UPDATE item SET n=2 WHERE id=1"};
    assert_true(hub_submit(w->h, &own.job));
    assert_true(hub_write_step(w->h));
    assert_int_equal(own.got, SATCHEL_OK);
    unsigned pages = p->pages;
    while (hub_read_step(w->h, 0)) continue;
    drain(w);
    assert_int_equal(p->pages, pages);
    settle(w);
    HOLDS(&phone, "1|ann|2 3|ann|3");
    COUNTS(&phone, "0 1 1 1");
}

/* Of what came after the device was last here it hears only what it may hold now. */
static void S1_change_of_view_tells_nothing_new_of_rows_that_leave(void **state) {
    world *w = *state;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|4");
    hub_disconnect(w->h, p->session);
    holding_counts(&phone);
    server(w, "UPDATE item SET n=99 WHERE id=4; INSERT INTO item(id,a) VALUES(5,'cid');");
    server(w, "DELETE FROM long; UPDATE item SET n=98 WHERE id=4; DELETE FROM item WHERE id=5; UPDATE item SET n=2 WHERE id=1;");
    p = connect_phone(w, p);
    HOLDS(&phone, "1|ann|2 3|ann|3");
    assert_string_equal(holding_counts(&phone), "0 1 1 1"); /* row 5 it never had */
}

static void S1_masked_column_is_never_sent(void **state) {
    world *w = *state;
    publish(w, RULES(MASK));
    link *p = connect_phone(w, NULL);
    holding_counts(&phone);
    server(w, "UPDATE item SET b=x'ff' WHERE id=1");
    COUNTS(&phone, "0 0 0 0");
    server(
        w,
        "UPDATE item SET b=x'fe',n=2 WHERE id=1; INSERT INTO item(id,a,b) VALUES(5,'ann',x'aa'); UPDATE item SET a='ann' WHERE id=2;");
    HOLDS(&phone, "1|ann|2 2|ann|2 3|ann|3 5|ann|0");
    assert_string_equal(holding_sql(&phone, "SELECT count(b) FROM item"), "0");
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    HOLDS(&phone, "1|ann|2 2|ann|2 3|ann|3 4|cid|4 5|ann|0");
    assert_string_equal(holding_sql(&phone, "SELECT count(b) FROM item"), "0");
    /* What was changed while it was away, and before its view is another. */
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET b=x'fd',n=6 WHERE id=1; UPDATE item SET b=x'fc' WHERE id=3; UPDATE long SET a='bob';");
    connect_phone(w, p);
    HOLDS(&phone, "1|ann|6 2|ann|2 3|ann|3 5|ann|0");
    assert_string_equal(holding_sql(&phone, "SELECT count(b) FROM item"), "0");
}

static void S1_other_masks_come_by_a_snapshot(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    assert_string_equal(holding_sql(&phone, "SELECT count(b) FROM item"), "2");
    said(p);
    publish(w, RULES(MASK));
    assert_string_equal(said(p), "snapshot(0 last)");
    HOLDS(&phone, "1|ann|1 3|ann|3");
    assert_string_equal(holding_sql(&phone, "SELECT count(b) FROM item"), "0");
    server(w, "UPDATE item SET n=4 WHERE id=1");
    HOLDS(&phone, "1|ann|4 3|ann|3");
}

/* A snapshot of the first view is there, from before. */
static void N4_snapshot_is_not_older_than_what_the_device_has(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    publish(w, RULES(MASK));
    server(w, "UPDATE item SET n=4 WHERE id=1");
    HOLDS(&phone, "1|ann|4 3|ann|3");
    said(p);
    publish(w, RULES(""));
    assert_string_equal(said(p), "snapshot(0 last)");
    HOLDS(&phone, "1|ann|4 3|ann|3");
}

static void device_that_may_hold_everything_again_gets_a_snapshot(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    said(p);
    give_profile(w, "phone", "NULL", "ann");
    assert_string_equal(said(p), "snapshot(0 last)");
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3 4|cid|4");
    assert_int_equal(phone.view, 0);
    give_profile(w, "phone", "'rep'", "bob");
    HOLDS(&phone, "2|bob|2");
}

static void row_that_was_granted_comes_and_goes_when_the_grant_ends(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    connect_phone(w, NULL);
    grant(w, "4", w->now_ms + 600000);
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|4");
    server(w, "UPDATE item SET n=5 WHERE id=4");
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|5");
    w->now_ms += 590000;
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|5");
    w->now_ms += 70000;
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3");
}

/* The log still has what was granted to others while the device was away. */
static void S1_grant_is_not_taken_for_one_that_is_over(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    grant(w, "2", w->now_ms + 600000);
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3");
    hub_disconnect(w->h, p->session);
    w->now_ms += 660000;
    settle(w);
    grant_to(w, "tablet", "4", w->now_ms + 600000);
    server(w, "UPDATE item SET n=40 WHERE id=4");
    w->now_ms += 660000;
    settle(w);
    grant(w, "2", w->now_ms + 600000);
    holding_counts(&phone);
    connect_phone(w, p);
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3");
    COUNTS(&phone, "1 0 0 1"); /* item 2, and nothing of item 4 */
}

/* Each is tried for itself; the one that fails is told of once, and tried again. */
static void grant_ends_while_the_rules_of_the_day_fail(void **state) {
    world *w = *state;
    char text[1024];
    hub_stats stats;
    snprintf(
        text, sizeof text,
        "%sINSERT INTO scope_bucket(tbl,name,condition) VALUES('long','old','CASE WHEN satchel_now()>%llu THEN json_extract(a,''$'') "
        "END');\n",
        RULES(""), (unsigned long long)w->now_ms);
    publish(w, text);
    server(w, "INSERT INTO long(k,a) VALUES('x.1','no json')");
    connect_phone(w, NULL);
    grant(w, "4", w->now_ms + 600000);
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|4");
    w->log[0] = 0;
    w->now_ms += UINT64_C(86400000);
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    assert_non_null(strstr(w->log, "rows whose rules name satchel_now() stay where they are: scope.sql: malformed JSON"));
    w->log[0] = 0;
    w->now_ms += 130000;
    settle(w);
    assert_null(strstr(w->log, "malformed JSON"));
    hub_get_stats(w->h, &stats);
    assert_non_null(strstr(stats.scope_trouble, "malformed JSON"));
    publish(w, RULES(""));
    w->now_ms += 61000;
    settle(w);
    hub_get_stats(w->h, &stats);
    assert_string_equal(stats.scope_trouble, "");
}

/* ---- many devices ---- */

#define MANY 150

static unsigned asked;

static int count_asked(unsigned mask, void *ctx, void *statement, void *text) {
    (void)mask, (void)ctx, (void)statement;
    if (strstr(text, "SELECT 'all',NULL UNION ALL SELECT 'own',:user")) asked++;
    return 0;
}

/* Devices whose turn comes before that of who connects after them. */
static void connect_many(world *w, link **many) {
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "till%u", i);
        device d = serving_device(&w->v, name);
        give_profile(w, name, "'rep'", name);
        many[i] = dial(w, &d, name);
        hello(w, many[i]);
        settle(w);
    }
}

static void touched_table_of_profiles_asks_for_a_few_devices_at_a_time(void **state) {
    world *w = *state;
    link *many[MANY];
    static holding last;
    publish(w, RULES(""));
    connect_many(w, many);
    holding_open(&last, store_schema(w->v.s));
    link *l = connect_device(w, &w->phone, "phone", &last, NULL);
    assert_string_equal(holding_sql(&last, "SELECT id FROM item ORDER BY id"), "1 3");
    /* Nobody is served by what he was to hold before his turn has come: his row goes to another, and is changed there. */
    test_job away = {
        .job = {.run = run_job, .done = done_job},
        .got = 1,
        .text =
            "INSERT INTO long(k,a) VALUES('ann.2','bob'); UPDATE item SET n=77 WHERE id=1; UPDATE item SET a='cid' WHERE id=1;"};
    assert_true(hub_submit(w->h, &away.job));
    assert_true(hub_write_step(w->h));
    unsigned pages = l->pages;
    while (hub_read_step(w->h, 0)) continue;
    drain(w);
    assert_int_equal(l->pages, pages);
    settle(w);
    assert_string_equal(holding_sql(&last, "SELECT id FROM item ORDER BY id"), "2 3");
    server(w, "DELETE FROM long; UPDATE item SET a='ann' WHERE id=1");
    settle(w);
    asked = 0;
    sqlite3_trace_v2(store_db(w->v.s), SQLITE_TRACE_STMT, count_asked, NULL);
    /* Commits that follow each other: each pays for a few. */
    for (int i = 0; i < 5; i++) {
        char text[128];
        snprintf(text, sizeof text, "INSERT OR REPLACE INTO long(k,a) VALUES('ann.1','%s')", i % 2 ? "ann" : "bob");
        test_job j = {.job = {.run = run_job, .done = done_job}, .got = 1, .text = text};
        assert_true(hub_submit(w->h, &j.job));
        assert_true(hub_write_step(w->h));
        assert_int_equal(j.got, SATCHEL_OK);
        assert_in_range(asked, 1, 64);
        asked = 0;
    }
    /* Then everybody's turn comes once, and nobody is forgotten. */
    settle(w);
    assert_in_range(asked, MANY + 1 - 64, MANY + 1);
    assert_string_equal(holding_sql(&last, "SELECT id FROM item ORDER BY id"), "1 2 3");
    asked = 0;
    settle(w);
    assert_int_equal(asked, 0);
    sqlite3_trace_v2(store_db(w->v.s), 0, NULL, NULL);
    holding_close(&last);
}

static void S1_loss_is_told_to_a_device_when_it_is_known_what_it_is_to_hold(void **state) {
    world *w = *state;
    link *many[MANY];
    publish(w, RULES(""));
    connect_many(w, many);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    link *t = connect_tablet(w, NULL), *l = connect_phone(w, NULL);
    uint64_t base = l->cursor;
    PUSH(t, 5, "~ item(2) b=x'0b'");
    settle(w);
    said(l);
    test_job away = {.job = {.run = run_job, .done = done_job}, .got = 1, .text = "DELETE FROM long"};
    assert_true(hub_submit(w->h, &away.job));
    l->cursor = base;
    PUSH(l, 1, "~ item(2) b=x'0a'");
    l->cursor = l->page.to;
    assert_true(hub_write_step(w->h));
    drain(w);
    assert_null(strstr(said(l), "losses"));
    settle(w);
    assert_non_null(strstr(said(l), "losses(NULL>x'0a' 1)"));
}

static void insert_losses(world *w, unsigned n) {
    char text[400];
    snprintf(
        text, sizeof text,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u) INSERT INTO"
        " satchel_conflict(seq,at_ms,tbl,key,col,rule,lost,lost_author) SELECT 1,1,1,x'010000000000000001',2,0,x'03026869',%u FROM n",
        n, w->phone.a.author);
    sql_exec(&w->v, text);
}

static void device_that_waits_for_its_look_is_told_the_rest_of_its_losses(void **state) {
    world *w = *state;
    link *many[MANY];
    publish(w, RULES(""));
    connect_many(w, many);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    insert_losses(w, 5000);
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    hello(w, l);
    while (hub_write_step(w->h)) continue;
    test_job away = {.job = {.run = run_job, .done = done_job}, .got = 1, .text = "DELETE FROM long"};
    drain(w); /* the rest of the losses is asked for */
    assert_int_equal(l->told, 0);
    assert_true(hub_submit(w->h, &away.job));
    assert_true(hub_write_step(w->h));
    drain(w);
    assert_true(l->loss_cursor < 5000);
    settle(w);
    assert_int_equal(l->loss_cursor, 5000);
    assert_int_equal(l->told, 1);
}

/* Who may hold what cannot be looked at while nothing can be written: what was told before is served all the same, and the look is made up for. */
static void look_that_cannot_be_committed_holds_nobody_up(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    give_profile(w, "phone", "'rep'", "bob");
    HOLDS(&phone, "2|bob|2");
    server(w, "UPDATE item SET n=5 WHERE id=2");
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET n=6 WHERE id=2");
    link *again = dial(w, &w->phone, "phone");
    again->holds = &phone;
    again->settled = w->phone.number;
    again->cursor = p->cursor;
    hello(w, again);
    settle(w);
    sql_exec(&w->v, "UPDATE satchel_device SET user=CAST(x'0303'||'ann' AS BLOB) WHERE name='phone'");
    sql_exec(&w->v, "CREATE TRIGGER stuck BEFORE UPDATE ON satchel_server BEGIN SELECT RAISE(ABORT,'stuck'); END");
    hub_scope_changed(w->h);
    settle(w);
    pull(w, again, 16);
    settle(w);
    HOLDS(&phone, "2|bob|6");
    sql_exec(&w->v, "DROP TRIGGER stuck");
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3");
}

/* A window in time is looked at every day. */
static void row_whose_time_is_over_leaves_at_midnight(void **state) {
    world *w = *state;
    char text[512];
    snprintf(text, sizeof text,
             "INSERT INTO scope_bucket(tbl,name,value,condition) VALUES('item','own','a','n*86400000+%llu>satchel_now()'),"
             "('long','all',NULL,NULL);\nINSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''own'',:user');\n",
             (unsigned long long)w->now_ms);
    publish(w, text);
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    hub_disconnect(w->h, p->session);
    w->now_ms += UINT64_C(86400000) * 2;
    settle(w);
    connect_phone(w, p);
    HOLDS(&phone, "3|ann|3");
}

static void publication_moves_connected_devices_to_their_part(void **state) {
    world *w = *state;
    connect_phone(w, NULL);
    link *t = connect_tablet(w, NULL);
    hub_disconnect(w->h, t->session);
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3 4|cid|4");
    publish(w, RULES(""));
    HOLDS(&phone, "1|ann|1 3|ann|3");
    server(w, "UPDATE item SET n=5 WHERE id IN (1,2)");
    HOLDS(&phone, "1|ann|5 3|ann|3");
    connect_tablet(w, t);
    HOLDS(&tablet, "2|bob|5");
}

static void S1_profile_whose_query_fails_leaves_its_devices_with_their_part(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','a'),('long','all',NULL);\n"
               "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''own'',:user UNION ALL SELECT ''own'',"
               "json_extract(a,''$'') FROM long');\n");
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    server(w, "INSERT INTO long(k,a) VALUES('x.1','no json'); UPDATE item SET n=9 WHERE id=1");
    HOLDS(&phone, "1|ann|9 3|ann|3");
    assert_false(p->closed);
}

/* Rows that come and go in the log between the device's cursor and the state at which its view changes. */
static void view_changes_while_commits_go_on(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    for (int round = 0; round < 6; round++) {
        char text[512];
        snprintf(
            text, sizeof text,
            "INSERT OR REPLACE INTO long(k,a) VALUES('ann.1','%s'); UPDATE item SET n=n+1; UPDATE item SET a=CASE a WHEN 'ann' THEN"
            " 'bob' WHEN 'bob' THEN 'cid' ELSE 'ann' END WHERE id<>%d; DELETE FROM item WHERE id=%d;"
            "INSERT INTO item(id,a,n) VALUES(%d,'%s',%d);",
            round % 2 ? "bob" : "cid", round % 4 + 1, round + 1, 10 + round, round % 3 ? "bob" : "cid", round);
        server(w, text);
        if (round % 2) continue;
        p = connect_phone(w, p);
        const char *expected = sql(&w->v, "SELECT group_concat(id||'|'||a||'|'||n,' ') FROM (SELECT * FROM item WHERE a='ann' OR"
                                          " a IN (SELECT a FROM long WHERE k='ann.1') ORDER BY id)");
        HOLDS(&phone, expected);
        hub_disconnect(w->h, p->session);
    }
}

/* ---- at random ---- */

static unsigned draw(unsigned *random, unsigned n) {
    *random = *random * 1103515245 + 12345;
    return (*random >> 16) % n;
}

static void random_commit(world *w, unsigned *r) {
    static const char *const OWNER[] = {"'ann'", "'bob'", "'cid'", "NULL"};
    char text[1024];
    size_t at = 0;
    for (unsigned i = 0, n = 1 + draw(r, 3); i < n; i++) {
        const char *owner = OWNER[draw(r, 4)];
        unsigned id = draw(r, 8), kind = draw(r, 6);
        at += (size_t)(kind == 0   ? snprintf(text + at, sizeof text - at, "DELETE FROM item WHERE id=%u;", id)
                       : kind == 1 ? snprintf(text + at, sizeof text - at, "INSERT OR REPLACE INTO item(id,a,n) VALUES(%u,%s,0);",
                                              id, owner)
                       : kind == 2 ? snprintf(text + at, sizeof text - at, "UPDATE item SET n=n+1 WHERE id=%u;", id)
                       : kind == 3 ? snprintf(text + at, sizeof text - at, "DELETE FROM long WHERE k='ann.%u';", id % 2)
                       : kind == 4
                           ? snprintf(text + at, sizeof text - at, "INSERT OR REPLACE INTO long(k,a) VALUES('%s.%u',%s);",
                                      id & 4 ? "ann" : "bob", id % 2, owner)
                           : snprintf(text + at, sizeof text - at, "UPDATE item SET a=%s,n=n+1 WHERE id%%3=%u;", owner, id % 3));
    }
    server(w, text);
}

static void check_holds(world *w, const holding *h, const char *user) {
    char text[512];
    snprintf(
        text, sizeof text,
        "SELECT group_concat(id||'|'||a||'|'||n,' ') FROM (SELECT * FROM item WHERE a='%s' OR a IN (SELECT a FROM long WHERE k"
        " LIKE '%s.%%') ORDER BY id)",
        user, user);
    const char *expected = sql(&w->v, text);
    HOLDS(h, strcmp(expected, "NULL") == 0 ? "" : expected);
}

/* Rows come, go and move, profiles answer otherwise, and devices come and go; who is there and has read all holds its part. */
static void S1_whatever_happens_each_device_ends_with_its_part(void **state) {
    world *w = *state;
    unsigned r = 4711;
    publish(w, RULES(""));
    link *p = NULL, *t = NULL, *before = NULL;
    for (int round = 0; round < 60; round++) {
        /* The fixture keeps as many connections. */
        for (unsigned i = 0; w->links > 8 && i < w->links; i++)
            if (w->link[i] != p && w->link[i] != t && w->link[i] != before) drop_link(w, i--);
        for (unsigned i = draw(&r, 6); i; i--) random_commit(w, &r);
        if (!p) p = connect_phone(w, before);
        if (!t) t = connect_tablet(w, NULL);
        for (unsigned i = draw(&r, 3); i; i--) random_commit(w, &r);
        pull_again(w, p);
        pull_again(w, t);
        check_holds(w, &phone, "ann");
        check_holds(w, &tablet, "bob");
        assert_false(p->closed || t->closed);
        if (draw(&r, 2)) continue;
        hub_disconnect(w->h, p->session);
        before = p;
        p = NULL;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(devices_without_rules_hold_everything),
        TEST(S1_two_devices_get_their_own_rows_live_and_after_being_away),
        TEST(row_that_moves_comes_whole_and_leaves),
        TEST(S2_row_in_two_buckets_of_a_device_never_leaves),
        TEST(joining_and_leaving_a_bucket_brings_and_takes_its_rows),
        TEST(S1_nobody_is_served_other_rules_by_what_he_was_to_hold_before_them),
        TEST(S1_nobody_is_served_an_import_by_what_he_was_to_hold_before_it),
        TEST(S1_change_of_view_tells_nothing_new_of_rows_that_leave),
        TEST(S1_masked_column_is_never_sent),
        TEST(S1_other_masks_come_by_a_snapshot),
        TEST(N4_snapshot_is_not_older_than_what_the_device_has),
        TEST(device_that_may_hold_everything_again_gets_a_snapshot),
        TEST(row_that_was_granted_comes_and_goes_when_the_grant_ends),
        TEST(S1_grant_is_not_taken_for_one_that_is_over),
        TEST(grant_ends_while_the_rules_of_the_day_fail),
        TEST(touched_table_of_profiles_asks_for_a_few_devices_at_a_time),
        TEST(S1_loss_is_told_to_a_device_when_it_is_known_what_it_is_to_hold),
        TEST(device_that_waits_for_its_look_is_told_the_rest_of_its_losses),
        TEST(look_that_cannot_be_committed_holds_nobody_up),
        TEST(row_whose_time_is_over_leaves_at_midnight),
        TEST(publication_moves_connected_devices_to_their_part),
        TEST(S1_profile_whose_query_fails_leaves_its_devices_with_their_part),
        TEST(view_changes_while_commits_go_on),
        TEST(S1_whatever_happens_each_device_ends_with_its_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
