/* Whose rows are: sets of new, changed, moved and deleted rows, and what the log says to whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "tests/unit/scope_fixture.h"

/* The newest commit's log: "terr:1: + account('a') ...; terr:1 besides terr:2: < account('a')". */
static const char *told(company *c) {
    static char out[8192];
    size_t n = 0;
    sqlite3_stmt *q = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(
            store_db(c->v.s),
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+4 FROM n WHERE i<100), lies(id,names) AS (SELECT 0,'nobody'"
            " UNION ALL SELECT 4294967295,'nowhere' UNION ALL SELECT s.id,(SELECT group_concat(name,' ') FROM (SELECT name FROM satchel_bucket b,n"
            " WHERE i<length(s.buckets) AND hex(substr(s.buckets,i,4))=printf('%08X',b.id) ORDER BY name)) FROM satchel_set s)"
            " SELECT delta,names,(SELECT names FROM lies WHERE id=besides AND besides<>0) FROM satchel_log JOIN lies ON lies.id=bucket"
            " WHERE satchel_log.id>>24=? ORDER BY satchel_log.id",
            -1, &q, NULL),
        SQLITE_OK);
    sqlite3_bind_int64(q, 1, (int64_t)company_head(c));
    out[0] = 0;
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *besides = (const char *)sqlite3_column_text(q, 2);
        const char *rows =
            serving_delta_text(store_schema(c->v.s), sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
        n += (size_t)snprintf(out + n, sizeof out - n, "%s[%s%s%s] %s", n ? " " : "", (const char *)sqlite3_column_text(q, 1),
                              besides ? " besides " : "", besides ? besides : "", rows);
        assert_true(n < sizeof out);
    }
    sqlite3_finalize(q);
    return out;
}

#define TOLD(expected) assert_string_equal(told(c), expected)

static void row_gets_the_buckets_of_its_expressions(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr,name) VALUES('a',1,'x'),('b',2,'hot'),('n',NULL,'x')");
    assert_string_equal(company_buckets(c, "account", "t.id='a'"), "terr:1");
    assert_string_equal(company_buckets(c, "account", "t.id='b'"), "hot terr:2");
    SCOPE_SQL("SELECT satchel_set FROM account WHERE id='n'", "0");
    company_check(c);
}

static void child_follows_its_parents(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('b',2); INSERT INTO contact(id,account) VALUES('c','a');"
                   "INSERT INTO note(id,account,contact) VALUES('n','b','c'),('m',NULL,'c'),('o',NULL,NULL)");
    assert_string_equal(company_buckets(c, "contact", "t.id='c'"), "terr:1");
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "terr:1 terr:2");
    assert_string_equal(company_buckets(c, "note", "t.id='m'"), "terr:1");
    SCOPE_SQL("SELECT satchel_set FROM note WHERE id='o'", "0");
    company_check(c);
}

static void child_that_comes_before_its_parent_follows_it(void **state) {
    company *c = *state;
    company_sql(
        c,
        "INSERT INTO contact(id,account) VALUES('c','a'); INSERT INTO note(id,contact) VALUES('n','c'); INSERT INTO account(id,terr) VALUES('a',1)");
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "terr:1");
    company_check(c);
}

static void change_goes_to_those_who_hold_the_row(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('b',2)");
    company_sql(c, "UPDATE account SET secret='s' WHERE id='a'; UPDATE account SET level=2 WHERE id='b'");
    TOLD("[terr:1] ~ account('a') secret='s' [terr:2] ~ account('b') level=2");
    company_check(c);
}

static void moved_row_arrives_whole_and_leaves(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr,name) VALUES('a',1,'x')");
    company_sql(c, "UPDATE account SET terr=2 WHERE id='a'");
    TOLD(
        "[terr:2] + account('a') terr=2 name='x' secret=NULL amount=NULL currency=NULL level=1 [terr:1 besides terr:2] < account('a')");
    SCOPE_SQL("SELECT tbl,seq,bucket_set=(SELECT id FROM satchel_set WHERE id=bucket_set) FROM satchel_left", "2|3|1");
    company_check(c);
}

static void row_that_goes_nowhere_leaves_all_but_those_who_hold_everything(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1)");
    company_sql(c, "UPDATE account SET terr=NULL WHERE id='a'");
    TOLD(
        "[nobody] + account('a') terr=NULL name=NULL secret=NULL amount=NULL currency=NULL level=1 [terr:1 besides nowhere] < account('a')");
    company_check(c);
    company_sql(c, "UPDATE account SET terr=1 WHERE id='a'");
    TOLD("[terr:1] + account('a') terr=1 name=NULL secret=NULL amount=NULL currency=NULL level=1");
    company_check(c);
}

static void row_that_stays_in_one_bucket_never_leaves_it(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr,name) VALUES('a',1,'hot')");
    company_sql(c, "UPDATE account SET terr=2 WHERE id='a'");
    TOLD(
        "[hot terr:2] + account('a') terr=2 name='hot' secret=NULL amount=NULL currency=NULL level=1 [hot terr:1 besides hot terr:2] < account('a')");
    company_check(c); /* the clerk holds 'hot', and no leave reached him */
}

static void two_hundred_children_move_in_one_commit(void **state) {
    company *c = *state;
    company_sql(
        c,
        "INSERT INTO account(id,terr) VALUES('a',1);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100) INSERT INTO contact(id,account) SELECT 'c'||i,'a' FROM n;"
        "INSERT INTO note(id,contact) SELECT 'n'||id,id FROM contact");
    uint64_t before = company_head(c);
    company_sql(c, "UPDATE account SET terr=2 WHERE id='a'");
    assert_int_equal(company_head(c), before + 1);
    SCOPE_SQL("SELECT count(*) FROM satchel_left", "201");
    SCOPE_SQL("SELECT count(DISTINCT satchel_set) FROM (SELECT satchel_set FROM contact UNION ALL SELECT satchel_set FROM note)",
              "1");
    assert_string_equal(company_buckets(c, "note", "t.id='nc7'"), "terr:2");
    company_check(c);
}

static void insert_and_move_in_one_transaction_tells_the_old_holders_nothing(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1)");
    device server = {.a = {.author = 0}};
    assert_int_equal(push(&c->v, &server, 99, 7200, "+ contact('c') account='a', name='new'; ~ account('a') terr=2"), 0);
    TOLD(
        "[terr:2] + account('a') terr=2 name=NULL secret=NULL amount=NULL currency=NULL level=1; + contact('c') account='a' name='new'"
        " [terr:1 besides terr:2] < account('a')");
    company_check(c);
}

static void change_and_move_in_one_transaction_tells_the_old_holders_nothing(void **state) {
    company *c = *state;
    device server = {.a = {.author = 0}};
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1); INSERT INTO contact(id,account) VALUES('c','a')");
    assert_int_equal(push(&c->v, &server, 99, 7200, "~ contact('c') name='for bob'; ~ account('a') terr=2, name='for bob'"), 0);
    assert_null(strstr(strstr(told(c), "<"), "for bob"));
    assert_int_equal(strncmp(told(c), "[terr:2] + ", 11), 0);
    company_check(c);
}

static void two_moves_in_one_transaction_are_one(void **state) {
    company *c = *state;
    device server = {.a = {.author = 0}};
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('b',1)");
    assert_int_equal(push(&c->v, &server, 99, 7200, "~ account('a') terr=2; ~ account('a') terr=3"), 0);
    TOLD(
        "[terr:3] + account('a') terr=3 name=NULL secret=NULL amount=NULL currency=NULL level=1 [terr:1 besides terr:3] < account('a')");
    assert_int_equal(push(&c->v, &server, 99, 7300, "~ account('b') terr=2; ~ account('b') terr=1, name='back'"), 0);
    TOLD("[terr:1] ~ account('b') terr=2; ~ account('b') terr=1 name='back'");
    company_check(c);
}

static void move_and_delete_in_one_transaction_is_a_deletion(void **state) {
    company *c = *state;
    device server = {.a = {.author = 0}};
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1)");
    assert_int_equal(push(&c->v, &server, 99, 7200, "~ account('a') terr=2; - account('a')"), 0);
    company_check(c);
    SCOPE_SQL("SELECT count(*) FROM satchel_left", "1");
}

static void row_deleted_and_made_anew_elsewhere_moves(void **state) {
    company *c = *state;
    device server = {.a = {.author = 0}};
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('z',2)");
    assert_int_equal(
        push(&c->v, &server, 99, 7200, "~ account('z') name='first'; - account('a'); + account('a') terr=2, name='anew'"), 0);
    assert_null(strstr(told(c), "- account"));
    company_check(c);
    assert_int_equal(push(&c->v, &server, 99, 7300, "- account('a'); + account('a') terr=2, name='again'"), 0);
    company_check(c);
}

/* Whoever had it hears that it is gone, and nobody what it was for a moment. */
static void row_that_does_not_outlive_its_transaction_is_told_to_nobody(void **state) {
    company *c = *state;
    device server = {.a = {.author = 0}};
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('b',1),('d',1),('z',3)");
    assert_int_equal(push(&c->v, &server, 99, 7200, "~ account('z') name='y'; + account('q') terr=2, name='x'; - account('q')"),
                     0);
    TOLD("[terr:3] ~ account('z') name='y'");
    company_check(c);
    assert_int_equal(push(&c->v, &server, 99, 7300, "- account('a'); + account('a') terr=2, name='x'; - account('a')"), 0);
    TOLD("[terr:1] - account('a')");
    company_check(c);
    assert_int_equal(push(&c->v, &server, 99, 7400, "~ account('b') terr=2, name='x'; - account('b')"), 0);
    TOLD("[terr:1] - account('b')");
    company_check(c);
    assert_int_equal(
        push(&c->v, &server, 99, 7500, "+ account('q') terr=2, name='x'; - account('q'); + account('q') terr=3, level=2"), 0);
    TOLD("[terr:3] + account('q') terr=3 name=NULL secret=NULL amount=NULL currency=NULL level=2");
    company_check(c);
}

static void assert_sound_store(company *c) {
    buf report;
    unsigned problems;
    buf_init(&report, 0);
    assert_int_equal(store_verify(c->v.s, &report, &problems), SATCHEL_OK);
    if (problems) fail_msg("%.*s", (int)report.n, (const char *)report.p);
    buf_fini(&report);
}

/* As the rules of one round do, of which one makes a row and the next deletes it: nothing is told, but the store is another. */
static void commit_of_the_servers_that_is_told_to_nobody_keeps_its_place(void **state) {
    company *c = *state;
    ingest_position before;
    delta_reader reader;
    wire w;
    buf delta;
    bool changed;
    uint64_t head = company_head(c);
    static delta_row row;
    buf_init(&delta, 0);
    serving_delta(store_schema(c->v.s), "+ account('q') terr=2, name='x'; - account('q')", &delta);
    wire_open(&w, delta.p, delta.n);
    delta_open(&reader, &w);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = ingest_own_begin(c->v.g, c->v.now_ms, &before);
    while (!rc && delta_next(&reader, &row) == 1) rc = ingest_row(c->v.g, &row);
    assert_int_equal(ingest_own_end(c->v.g, &before, rc, &changed), SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    assert_sound_store(c);
    assert_true(changed);
    assert_int_equal(company_head(c), head + 1);
    TOLD("");
    buf_fini(&delta);
}

/* Its clock is of before its deletion, but nobody had it any more. */
static void revived_row_leaves_nobody_and_is_not_gone_for_anybody(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('b',1)");
    uint64_t base = company_head(c);
    company_sql(c, "DELETE FROM account");
    assert_int_equal(push(&c->v, &c->boss, base, 7200, "~ account('a') terr=2, name='x'; - account('a'); ~ account('b') terr=2"),
                     0);
    TOLD("[terr:2] + account('b') terr=2 name=NULL secret=NULL amount=NULL currency=NULL level=1");
    company_check(c);
}

static void children_of_a_deleted_parent_are_looked_at_again(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1),('b',2); INSERT INTO contact(id,account) VALUES('c','b');"
                   "INSERT INTO note(id,account,contact) VALUES('n','a','c')");
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "terr:1 terr:2");
    company_sql(c, "DELETE FROM contact WHERE id='c'");
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "terr:1");
    company_check(c);
    company_sql(c, "DELETE FROM account WHERE id='a'");
    SCOPE_SQL("SELECT satchel_set FROM note", "0");
    company_check(c);
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',2)");
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "terr:2");
    company_check(c);
}

static void revived_row_gets_the_set_of_today(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1); INSERT INTO contact(id,account,name) VALUES('c','a','x')");
    uint64_t base = company_head(c);
    company_view(c, &c->ann);
    company_sql(c, "DELETE FROM contact WHERE id='c'");
    company_sql(c, "UPDATE account SET terr=2 WHERE id='a'");
    assert_int_equal(push(&c->v, &c->ann, base, 7200, "~ contact('c') name='y'"), 0);
    assert_string_equal(company_buckets(c, "contact", "t.id='c'"), "terr:2");
    TOLD("[terr:2] + contact('c') account='a' name='y'");
    company_check(c);
}

static void losing_text_becomes_a_row_that_lies_where_the_rules_say(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1); INSERT INTO note(id,account,body) VALUES('n','a','x')");
    uint64_t base = company_head(c);
    company_view(c, &c->ann);
    company_sql(c, "UPDATE note SET body='server'");
    assert_int_equal(push(&c->v, &c->ann, base, 7200, "~ note('n') body='ann'"), 0);
    SCOPE_SQL("SELECT count(*),count(DISTINCT satchel_set) FROM note", "2|1");
    company_check(c);
}

static void refused_transaction_leaves_no_set_behind(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1)");
    for (unsigned careful = 0; careful < 2; careful++) {
        device server = {.a = {.author = 0}, .number = 50 * careful};
        push_txn t = make_txn(&server, 99, 7200);
        ingest_undo_points(c->v.g, careful);
        int rc =
            push_txn_raw(&c->v, &server, &t, "~ account('a') terr=77; + account('n') terr=78; + contact('c') account='nobody'");
        assert_int_equal(rc, careful ? 0 : INGEST_AGAIN);
        ingest_undo_points(c->v.g, true);
        company_sql(c, careful ? "UPDATE account SET terr=91" : "UPDATE account SET terr=90");
        company_check(c);
    }
    SCOPE_SQL("SELECT name FROM satchel_bucket WHERE name IN ('terr:77','terr:78')", "");
}

static void window_ends_at_midnight(void **state) {
    company *c = *state;
    char text[200];
    snprintf(
        text, sizeof text,
        "INSERT INTO account(id,terr) VALUES('a',1); INSERT INTO visit(a,b,account,at_ms) VALUES(1,1,'a',%llu),(1,2,'a',%llu)",
        (unsigned long long)c->v.now_ms - 29 * 86400000ull, (unsigned long long)c->v.now_ms - 40 * 86400000ull);
    company_sql(c, text);
    assert_string_equal(company_buckets(c, "visit", "t.b=1"), "terr:1");
    SCOPE_SQL("SELECT satchel_set FROM visit WHERE b=2", "0");
    company_check(c);
    uint64_t moved, due;
    buf error = {0};
    for (unsigned day = 0; day < 3; day++) {
        assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
        moved = company_upkeep(c);
        assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
        assert_int_equal(moved, day == 2);
        company_check(c);
        assert_int_equal(scope_upkeep_due(c->v.s, c->v.now_ms, &due), SATCHEL_OK);
        assert_true(due > c->v.now_ms && due <= c->v.now_ms + 86400000);
        c->v.now_ms += 86400000;
    }
    SCOPE_SQL("SELECT satchel_set FROM visit WHERE b=1", "0");
    buf_fini(&error);
}

static uint64_t upkeep(company *c) {
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    uint64_t moved = company_upkeep(c);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    company_check(c);
    return moved;
}

static bool is_due(company *c) {
    uint64_t at_ms;
    assert_int_equal(scope_upkeep_due(c->v.s, c->v.now_ms, &at_ms), SATCHEL_OK);
    return at_ms <= c->v.now_ms;
}

static void rows_that_a_clock_ahead_has_moved_are_back_once_it_was_put_right(void **state) {
    company *c = *state;
    char text[200];
    snprintf(text, sizeof text,
             "INSERT INTO account(id,terr) VALUES('a',1); INSERT INTO visit(a,b,account,at_ms) VALUES(1,1,'a',%llu)",
             (unsigned long long)c->v.now_ms - 86400000);
    company_sql(c, text);
    c->v.now_ms += 400 * 86400000ull;
    assert_true(is_due(c));
    assert_int_equal(upkeep(c), 1);
    SCOPE_SQL("SELECT satchel_set FROM visit", "0");
    c->v.now_ms -= 400 * 86400000ull;
    assert_true(is_due(c));
    assert_int_equal(upkeep(c), 1);
    assert_string_equal(company_buckets(c, "visit", "t.b=1"), "terr:1");
    assert_false(is_due(c));
}

/* A clock that is put right by seconds at midnight begins no day twice. */
static void day_that_has_begun_stays_when_the_clock_is_put_back_a_little(void **state) {
    company *c = *state;
    c->v.now_ms += 86400000 - c->v.now_ms % 86400000;
    assert_true(is_due(c));
    upkeep(c);
    c->v.now_ms -= 2000;
    assert_false(is_due(c));
    SCOPE_SQL("SELECT now_ms%86400000 FROM satchel_scope", "0");
    char day[32];
    snprintf(day, sizeof day, "%llu", (unsigned long long)c->v.now_ms + 2000);
    upkeep(c);
    SCOPE_SQL("SELECT now_ms FROM satchel_scope", day);
}

static void grant_lends_a_row_and_what_follows_it(void **state) {
    company *c = *state;
    uint64_t moved;
    int64_t id;
    buf error = {0};
    company_sql(
        c,
        "INSERT INTO account(id,terr) VALUES('a',1); INSERT INTO contact(id,account) VALUES('c','a'); INSERT INTO note(id,contact) VALUES('n','c')");
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = scope_grant(c->v.s, ingest_scope(c->v.g), "bob", "account", "'a'", c->v.now_ms + 5000, "a trip", c->v.now_ms, &id,
                         &error);
    if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "grant:1 terr:1");
    company_check(c);
    company_sql(c, "INSERT INTO contact(id,account) VALUES('d','a'); UPDATE account SET name='y'");
    assert_string_equal(company_buckets(c, "contact", "t.id='d'"), "grant:1 terr:1");
    company_check(c);
    c->v.now_ms += 5000;
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    moved = company_upkeep(c);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    assert_int_equal(moved, 4);
    assert_string_equal(company_buckets(c, "note", "t.id='n'"), "terr:1");
    company_check(c);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(
        scope_grant(c->v.s, ingest_scope(c->v.g), "bob", "contact", "'c'", c->v.now_ms + 5000, "", c->v.now_ms, &id, &error),
        SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    company_check(c);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(scope_revoke_grant(c->v.s, ingest_scope(c->v.g), id, c->v.now_ms, &error), SATCHEL_OK);
    assert_int_equal(scope_revoke_grant(c->v.s, ingest_scope(c->v.g), id, c->v.now_ms, &error), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    company_check(c);
    buf_fini(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(row_gets_the_buckets_of_its_expressions),
        SCOPE_TEST(child_follows_its_parents),
        SCOPE_TEST(child_that_comes_before_its_parent_follows_it),
        SCOPE_TEST(change_goes_to_those_who_hold_the_row),
        SCOPE_TEST(moved_row_arrives_whole_and_leaves),
        SCOPE_TEST(row_that_goes_nowhere_leaves_all_but_those_who_hold_everything),
        SCOPE_TEST(row_that_stays_in_one_bucket_never_leaves_it),
        SCOPE_TEST(two_hundred_children_move_in_one_commit),
        SCOPE_TEST(insert_and_move_in_one_transaction_tells_the_old_holders_nothing),
        SCOPE_TEST(change_and_move_in_one_transaction_tells_the_old_holders_nothing),
        SCOPE_TEST(two_moves_in_one_transaction_are_one),
        SCOPE_TEST(move_and_delete_in_one_transaction_is_a_deletion),
        SCOPE_TEST(row_deleted_and_made_anew_elsewhere_moves),
        SCOPE_TEST(row_that_does_not_outlive_its_transaction_is_told_to_nobody),
        SCOPE_TEST(commit_of_the_servers_that_is_told_to_nobody_keeps_its_place),
        SCOPE_TEST(revived_row_leaves_nobody_and_is_not_gone_for_anybody),
        SCOPE_TEST(children_of_a_deleted_parent_are_looked_at_again),
        SCOPE_TEST(revived_row_gets_the_set_of_today),
        SCOPE_TEST(losing_text_becomes_a_row_that_lies_where_the_rules_say),
        SCOPE_TEST(refused_transaction_leaves_no_set_behind),
        SCOPE_TEST(window_ends_at_midnight),
        SCOPE_TEST(rows_that_a_clock_ahead_has_moved_are_back_once_it_was_put_right),
        SCOPE_TEST(day_that_has_begun_stays_when_the_clock_is_put_back_a_little),
        SCOPE_TEST(grant_lends_a_row_and_what_follows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
