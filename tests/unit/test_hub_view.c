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
#include "server/scope.h"
#include "tests/unit/hub_fixture.h"

/* An item belongs to whom its column a names; a device is a user, and stands in for those that rows of `long` name: their key is 'user.anything'. */
#define RULES_AND_RIGHTS(masks, anywhere)                                                                                                   \
    "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','a'),('long','all',NULL);\n"                                              \
    "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''all'',NULL UNION ALL SELECT ''own'',:user UNION ALL "                   \
    "SELECT ''own'',a FROM long WHERE k LIKE :user||''.%'''),('chief','SELECT ''all'',NULL UNION ALL SELECT ''own'',a FROM item');\n" masks \
    "INSERT INTO scope_write(profile,tbl,ops,anywhere) VALUES('rep','item','insert,update,delete'," anywhere ");\n"
#define RULES(masks) RULES_AND_RIGHTS(masks, "1")
#define MASK "INSERT INTO scope_mask(profile,tbl,columns) VALUES('rep','item','b');\n"

/* ---- what the admin does ---- */

typedef struct publish_job {
    hub_job job;
    const char *rules;
    int got;
} publish_job;

static int run_publish(hub_job *job, store *s, ingest *g, uint64_t at) {
    uint64_t moved;
    buf error;
    buf_init(&error, 0);
    int rc = scope_publish(s, "scope.sql", ((publish_job *)job)->rules, at, &moved, &error);
    if (rc) print_error("%.*s\n", (int)error.n, (const char *)error.p);
    buf_fini(&error);
    (void)g;
    return rc;
}

static void done_publish(hub_job *job, int rc) {
    ((publish_job *)job)->got = rc;
}

static void publish(world *w, const char *rules) {
    publish_job p = {.job = {.run = run_publish, .done = done_publish}, .rules = rules, .got = 1};
    assert_true(hub_submit(w->h, &p.job));
    settle(w);
    assert_int_equal(p.got, SATCHEL_OK);
    hub_scope_changed(w->h);
    settle(w);
}

typedef struct grant_job {
    hub_job job;
    const char *key;
    uint64_t until_ms;
    int got;
} grant_job;

static int run_grant(hub_job *job, store *s, ingest *g, uint64_t at) {
    const grant_job *j = (const grant_job *)job;
    int64_t id;
    buf error;
    buf_init(&error, 0);
    int rc = scope_grant(s, ingest_scope(g), "phone", "item", j->key, j->until_ms, "a visit", at, &id, &error);
    if (rc) print_error("%.*s\n", (int)error.n, (const char *)error.p);
    buf_fini(&error);
    return rc;
}

static void done_grant(hub_job *job, int rc) {
    ((grant_job *)job)->got = rc;
}

static void grant(world *w, const char *key, uint64_t until_ms) {
    grant_job j = {.job = {.run = run_grant, .done = done_grant}, .key = key, .until_ms = until_ms, .got = 1};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
    hub_scope_changed(w->h);
    settle(w);
}

/* SQL of the server's, as one commit. */
static void server(world *w, const char *text) {
    test_job j = {.job = {.run = run_job, .done = done_job}, .got = 1, .text = text};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
}

static void give_profile(world *w, const char *name, const char *profile, const char *user) {
    char text[256];
    snprintf(text, sizeof text, "UPDATE satchel_device SET profile=%s,user=CAST(x'03%02x'||'%s' AS BLOB) WHERE name='%s'",
             profile, (unsigned)strlen(user), user, name);
    sql_exec(&w->v, text);
    hub_scope_changed(w->h);
    settle(w);
}

/* ---- devices that keep what they are given ---- */

static holding phone, tablet;

static int setup_scope(void **state) {
    setup(state);
    world *w = *state;
    holding_open(&phone, store_schema(w->v.s));
    holding_open(&tablet, store_schema(w->v.s));
    give_profile(w, "phone", "'rep'", "ann");
    give_profile(w, "tablet", "'rep'", "bob");
    server(w, "DELETE FROM item; INSERT INTO item(id,a,n,b) VALUES(1,'ann',1,x'01'),(2,'bob',2,x'02'),(3,'ann',3,x'03'),"
              "(4,'cid',4,x'04');");
    return 0;
}

static int teardown_scope(void **state) {
    holding_close(&phone);
    holding_close(&tablet);
    return teardown(state);
}
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_scope, teardown_scope)

static link *connect_device(world *w, device *d, const char *name, holding *h, const link *before) {
    link *l = dial(w, d, name);
    l->holds = h;
    l->settled = d->number;
    if (before) {
        l->cursor = before->cursor;
        l->snapshot = before->snapshot;
        l->snapshot_page = before->snapshot_page;
        l->loss_cursor = before->loss_cursor;
    }
    hello(w, l);
    settle(w);
    pull(w, l, 16);
    settle(w);
    return l;
}

static link *connect_phone(world *w, const link *before) {
    return connect_device(w, &w->phone, "phone", &phone, before);
}

static link *connect_tablet(world *w, const link *before) {
    return connect_device(w, &w->tablet, "tablet", &tablet, before);
}

#define HOLDS(h, expected) assert_string_equal(holding_sql(h, "SELECT id,a,n FROM item ORDER BY id"), expected)
#define COUNTS(h, expected) assert_string_equal(holding_counts(h), expected)

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
    publish_job p = {
        .job = {.run = run_publish, .done = done_publish},
        .got = 1,
        .rules =
            "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','''ann'''),('long','all',NULL);\n"
            "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''all'',NULL'),('chief','SELECT ''all'',NULL');\n"};
    assert_true(hub_submit(w->h, &p.job));
    settle(w);
    assert_int_equal(p.got, SATCHEL_OK);
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
    assert_string_equal(holding_counts(&phone), "0 1 2 1");
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

static void touched_table_of_profiles_asks_for_a_few_devices_at_a_time(void **state) {
    world *w = *state;
    link *many[MANY];
    static holding last;
    publish(w, RULES(""));
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "till%u", i);
        device d = serving_device(&w->v, name);
        give_profile(w, name, "'rep'", name);
        many[i] = dial(w, &d, name);
        hello(w, many[i]);
        settle(w);
    }
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

/* As many pages as came. */
static void pull_again(world *w, link *l) {
    while (l->pages) {
        uint32_t n = l->pages;
        l->pages = 0;
        pull(w, l, n);
        settle(w);
    }
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

static void change_of_view_waits_for_what_the_device_has_to_send(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = p->cursor;
    l->pending = 2;
    w->phone.number += 2;
    msg_hello m = make_hello(w, l);
    w->phone.number -= 2;
    hello_as(w, l, &m);
    settle(w);
    pull(w, l, 16);
    settle(w);
    SAID(l, "welcome");
    PUSH(l, 0, "~ item(1) n+=1");
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    PUSH(l, 0, "~ item(3) n+=1");
    settle(w);
    HOLDS(&phone, "1|ann|2 2|bob|2 3|ann|4");
}

static void fill(world *w, const char *owner, int first, int n, int bytes) {
    char text[256];
    snprintf(text, sizeof text,
             "WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO item(id,a,b) SELECT"
             " i,'%s',randomblob(%d) FROM n;",
             first, first + n - 1, owner, bytes);
    server(w, text);
}

/* Rights at home alone: where the row lay when the device saw it. */
static void S3_edit_made_before_its_row_left_is_taken(void **state) {
    world *w = *state;
    publish(w, RULES_AND_RIGHTS("", "0"));
    link *p = connect_phone(w, NULL);
    uint64_t base = p->cursor;
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET a='bob' WHERE id=1");
    p = connect_phone(w, p);
    HOLDS(&phone, "3|ann|3");
    said(p);
    uint64_t here = p->cursor;
    p->cursor = base;
    PUSH(p, 0, "~ item(1) n+=5");
    p->cursor = here;
    settle(w);
    assert_non_null(strstr(said(p), "results(1:OK"));
    PUSH(p, 0, "~ item(1) n+=7");
    settle(w);
    assert_non_null(strstr(said(p), "results(2:E_SCOPE"));
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=1"), "6");
}

/* A device that has some parts of a large commit is moved on, and back: it is never given the rest without the beginning. */
static link *come_again(world *w, const link *before) {
    link *l = dial(w, &w->phone, "phone");
    l->cursor = before->cursor;
    hello(w, l);
    settle(w);
    return l;
}

static void S3_edit_made_before_the_first_rules_is_taken(void **state) {
    world *w = *state;
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    publish(w, RULES_AND_RIGHTS("", "0"));
    PUSH(come_again(w, p), 0, "~ item(4) n+=1");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=4"), "5");
}

static void S3_edit_made_before_the_device_had_a_profile_is_taken(void **state) {
    world *w = *state;
    give_profile(w, "phone", "NULL", "");
    publish(w, RULES_AND_RIGHTS("", "0"));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    give_profile(w, "phone", "'rep'", "ann");
    PUSH(come_again(w, p), 0, "~ item(4) n+=1");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=4"), "5");
}

static void change_of_view_in_the_middle_of_a_commit_in_parts_begins_anew(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    fill(w, "ann", 100, 3000, 500);
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = p->cursor;
    hello(w, l);
    settle(w);
    pull(w, l, 2);
    settle(w);
    assert_true(l->page.more);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    pull(w, l, 1);
    settle(w);
    assert_int_equal(l->page.part, 0);
    server(w, "DELETE FROM long");
    pull(w, l, 13);
    settle(w);
    assert_string_equal(holding_sql(&phone, "SELECT count(*),count(b) FROM item WHERE a='ann'"), "3002|3002");
    assert_string_equal(holding_sql(&phone, "SELECT count(*) FROM item"), "3002");
}

static void large_change_comes_in_parts_and_takes_effect_at_the_last(void **state) {
    world *w = *state;
    fill(w, "bob", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    p = dial(w, &w->phone, "phone");
    p->holds = &phone;
    p->cursor = store_where(w->v.s).seq;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    hello(w, p);
    settle(w);
    assert_true(p->welcome.has_view);
    pull(w, p, 3);
    settle(w);
    assert_true(p->page.more);
    assert_int_equal(p->page.part, 2);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    /* Commits go on; they come after it. */
    server(w, "UPDATE item SET n=70 WHERE id IN (1,100)");
    pull(w, p, 13);
    settle(w);
    assert_string_equal(holding_sql(&phone, "SELECT count(*),sum(n),max(length(b)) FROM item"), "3003|145|500");
}

/* A device that has some parts is moved on: it begins anew. */
static void change_that_is_overtaken_by_another_begins_anew(void **state) {
    world *w = *state;
    fill(w, "bob", 100, 3000, 500);
    fill(w, "cid", 5000, 10, 10);
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    pull(w, p, 0);
    hub_disconnect(w->h, p->session);
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = p->cursor;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    hello(w, l);
    settle(w);
    pull(w, l, 3);
    settle(w);
    assert_true(l->page.more);
    server(w, "UPDATE long SET a='cid'");
    pull(w, l, 13);
    settle(w);
    assert_string_equal(holding_sql(&phone, "SELECT a,count(*) FROM item GROUP BY a"), "ann|2 cid|11");
    server(w, "DELETE FROM long");
    assert_string_equal(holding_sql(&phone, "SELECT a,count(*) FROM item GROUP BY a"), "ann|2");
}

/* The welcome has announced another view, which the device waits for: it comes back and hears that it holds the right one. */
static void change_that_is_taken_back_before_it_is_told_ends_the_connection(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = p->cursor;
    hello(w, l);
    settle(w);
    assert_false(l->closed);
    server(w, "DELETE FROM long");
    assert_true(l->closed);
    p = connect_phone(w, p);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob'); DELETE FROM long");
    assert_false(p->closed);
}

static void change_beyond_its_bound_is_done_by_a_snapshot(void **state) {
    world *w = *state;
    fill(w, "bob", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    said(p);
    w->change_bytes = 1 << 20;
    reopen_hub(w);
    p = connect_phone(w, p);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    assert_non_null(strstr(said(p), "snapshot(0) snapshot(1) "));
    assert_string_equal(holding_sql(&phone, "SELECT count(*),max(length(b)) FROM item"), "3003|500");
    server(w, "UPDATE item SET n=70 WHERE id=100");
    assert_string_equal(holding_sql(&phone, "SELECT n FROM item WHERE id=100"), "70");
}

static void S1_snapshot_of_another_view_is_not_resumed(void **state) {
    world *w = *state;
    fill(w, "ann", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = dial(w, &w->phone, "phone");
    p->holds = &phone;
    hello(w, p);
    settle(w);
    pull(w, p, 3);
    settle(w);
    assert_int_equal(p->snapshot_page, 3);
    hub_disconnect(w->h, p->session);
    /* The same view: it is resumed. */
    link *l = connect_phone(w, p);
    assert_int_equal(l->snapshot_page, 0);
    assert_string_equal(holding_sql(&phone, "SELECT count(*) FROM item"), "3002");
    hub_disconnect(w->h, l->session);
    /* Another device stands in the middle of the same snapshot, and is to hold something else. */
    link *t = connect_tablet(w, p);
    HOLDS(&tablet, "2|bob|2");
    hub_disconnect(w->h, t->session);
}

static void snapshot_is_begun_anew_when_the_view_changes_in_its_middle(void **state) {
    world *w = *state;
    fill(w, "ann", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = dial(w, &w->phone, "phone");
    p->holds = &phone;
    hello(w, p);
    settle(w);
    pull(w, p, 3);
    settle(w);
    give_profile(w, "phone", "'rep'", "bob");
    pull(w, p, 13);
    settle(w);
    HOLDS(&phone, "2|bob|2");
    assert_int_equal(p->snapshot_page, 0);
}

static void S1_pages_of_two_views_are_not_shared_and_those_of_one_are(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    give_profile(w, "tablet", "'rep'", "ann");
    connect_phone(w, NULL);
    connect_tablet(w, NULL);
    hub_stats before, after;
    hub_get_stats(w->h, &before);
    server(w, "UPDATE item SET n=5 WHERE id=1");
    hub_get_stats(w->h, &after);
    HOLDS(&phone, "1|ann|5 3|ann|3");
    HOLDS(&tablet, "1|ann|5 3|ann|3");
    assert_int_equal(after.page_cache_hits - before.page_cache_hits, 1);
    give_profile(w, "tablet", "'rep'", "bob");
    HOLDS(&tablet, "2|bob|2");
    server(w, "UPDATE item SET n=6 WHERE id IN (1,2)");
    HOLDS(&phone, "1|ann|6 3|ann|3");
    HOLDS(&tablet, "2|bob|6");
}

static void commits_of_others_send_nothing_until_the_cursor_is_to_move(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    said(p);
    uint64_t cursor = p->cursor;
    for (int i = 0; i < 5; i++) server(w, "UPDATE item SET n=n+1 WHERE id=2");
    SAID(p, "");
    w->now_ms += 120000;
    settle(w);
    assert_int_equal(p->cursor, cursor + 5);
    said(p);
    server(w, "UPDATE item SET n=n+1 WHERE id=2");
    SAID(p, "");
    hub_disconnect(w->h, p->session);
    p = connect_phone(w, p);
    assert_int_equal(p->cursor, cursor + 6);
    /* Its own commit is passed at once, though it holds nothing for it. */
    PUSH(p, 0, "~ item(4) n+=1");
    settle(w);
    assert_int_equal(p->cursor, cursor + 7);
}

static void device_that_knows_no_views_is_told_to_be_updated(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = dial(w, &w->phone, "phone");
    msg_hello m = make_hello(w, p);
    m.has_view = false;
    hello_as(w, p, &m);
    settle(w);
    SAID(p, "error(E_VERSION) closed");
    assert_non_null(strstr(w->log, "update Satchel on the device"));
    give_profile(w, "phone", "NULL", "ann");
    p = dial(w, &w->phone, "phone");
    hello_as(w, p, &m);
    settle(w);
    SAID(p, "welcome(snapshot)");
}

static void view_that_the_store_does_not_know_gets_a_snapshot(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    phone.view = 4711;
    p = connect_phone(w, p);
    assert_non_null(strstr(said(p), "welcome(snapshot)"));
    HOLDS(&phone, "1|ann|1 3|ann|3");
}

/* An attacker says what it likes of itself: it is given its part, and no keys of other rows. */
static void S1_device_that_says_it_held_more_is_told_no_keys(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    for (uint64_t lie = 0; lie <= tablet.view; lie += tablet.view) {
        hub_disconnect(w->h, p->session);
        holding_counts(&phone);
        phone.view = lie;
        p = connect_phone(w, p);
        assert_non_null(strstr(said(p), "welcome(snapshot)"));
        COUNTS(&phone, "2 0 0 0");
    }
    assert_false(t->closed);
}

static void S1_device_that_says_it_was_there_before_gets_no_log_of_then(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    for (uint64_t cursor = 0; cursor < p->cursor; cursor++) {
        link *l = dial(w, &w->phone, "phone");
        msg_hello m = make_hello(w, p);
        m.cursor = cursor;
        m.has_epoch = true;
        memcpy(m.epoch, store_where(w->v.s).epoch, EPOCH_BYTES);
        hello_as(w, l, &m);
        settle(w);
        assert_non_null(strstr(said(l), cursor + 1 < p->cursor ? "welcome(snapshot)" : "welcome"));
        hub_disconnect(w->h, l->session);
        settle(w);
    }
}

/* After a restore the same number may mean another view. */
static void view_of_another_epoch_gets_a_snapshot(void **state) {
    world *w = *state;
    static const uint8_t before[EPOCH_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    publish(w, RULES(""));
    sql_exec(&w->v, "INSERT INTO satchel_epoch SELECT n-1,x'0102030405060708',0,0 FROM satchel_epoch;"
                    "UPDATE satchel_epoch SET start_seq=100 WHERE start_seq=0 AND epoch<>x'0102030405060708'");
    link *l = dial(w, &w->phone, "phone");
    l->cursor = p->cursor;
    msg_hello m = make_hello(w, l);
    memcpy(m.epoch, before, sizeof before);
    hello_as(w, l, &m);
    settle(w);
    SAID(l, "welcome");
    m.view = l->welcome.view;
    hub_disconnect(w->h, l->session);
    l = dial(w, &w->phone, "phone");
    hello_as(w, l, &m);
    settle(w);
    assert_non_null(strstr(said(l), "welcome(snapshot)"));
}

static void S1_loss_on_a_row_that_is_held_no_more_is_told_without_what_was_kept(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    uint64_t base = p->cursor;
    PUSH(t, 5, "~ item(1) b=x'0b'");
    settle(w);
    said(p);
    p->cursor = base;
    PUSH(p, 1, "~ item(1) b=x'0a'");
    p->cursor = p->page.to;
    settle(w);
    assert_non_null(strstr(said(p), "losses(x'0b'>x'0a' 1)"));
    server(w, "UPDATE item SET a='bob' WHERE id=1");
    hub_disconnect(w->h, p->session);
    p->loss_cursor = 0;
    p = connect_phone(w, p);
    assert_non_null(strstr(said(p), "losses(NULL>x'0a' 1)"));
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
        TEST(grant_ends_while_the_rules_of_the_day_fail),
        TEST(touched_table_of_profiles_asks_for_a_few_devices_at_a_time),
        TEST(look_that_cannot_be_committed_holds_nobody_up),
        TEST(row_whose_time_is_over_leaves_at_midnight),
        TEST(publication_moves_connected_devices_to_their_part),
        TEST(S1_profile_whose_query_fails_leaves_its_devices_with_their_part),
        TEST(view_changes_while_commits_go_on),
        TEST(S1_whatever_happens_each_device_ends_with_its_part),
        TEST(change_of_view_waits_for_what_the_device_has_to_send),
        TEST(S3_edit_made_before_its_row_left_is_taken),
        TEST(S3_edit_made_before_the_first_rules_is_taken),
        TEST(S3_edit_made_before_the_device_had_a_profile_is_taken),
        TEST(change_of_view_in_the_middle_of_a_commit_in_parts_begins_anew),
        TEST(large_change_comes_in_parts_and_takes_effect_at_the_last),
        TEST(change_that_is_overtaken_by_another_begins_anew),
        TEST(change_that_is_taken_back_before_it_is_told_ends_the_connection),
        TEST(change_beyond_its_bound_is_done_by_a_snapshot),
        TEST(S1_snapshot_of_another_view_is_not_resumed),
        TEST(snapshot_is_begun_anew_when_the_view_changes_in_its_middle),
        TEST(S1_pages_of_two_views_are_not_shared_and_those_of_one_are),
        TEST(commits_of_others_send_nothing_until_the_cursor_is_to_move),
        TEST(device_that_knows_no_views_is_told_to_be_updated),
        TEST(view_that_the_store_does_not_know_gets_a_snapshot),
        TEST(S1_device_that_says_it_held_more_is_told_no_keys),
        TEST(S1_device_that_says_it_was_there_before_gets_no_log_of_then),
        TEST(view_of_another_epoch_gets_a_snapshot),
        TEST(S1_loss_on_a_row_that_is_held_no_more_is_told_without_what_was_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
