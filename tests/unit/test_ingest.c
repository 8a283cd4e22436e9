#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "tests/support/serving.h"

/* One column for each rule, and a table for each kind. Authors are the server 0, phone 1, tablet 2, till 3. */
static const char SCHEMA[] =
    "CREATE TABLE move(a TEXT, b TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, mode) VALUES('move', 'server');\n"
    "CREATE TABLE item(id TEXT PRIMARY KEY, l TEXT, amount INTEGER, currency TEXT, mx INTEGER, mn INTEGER, n INTEGER DEFAULT 0,\n"
    " f TEXT, sv INTEGER DEFAULT 5, st TEXT, ok INTEGER, r REAL);\n"
    "INSERT INTO satchel_table(name) VALUES('item');\n"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('item','amount','group:money'),('item','currency','group:money'),('item','mx','max'),\n"
    " ('item','mn','min'),('item','n','counter'),('item','f','first'),('item','sv','server'),('item','st','guard:move'),('item','ok','strict');\n"
    "CREATE TABLE note(id TEXT PRIMARY KEY, body TEXT, copy_of TEXT, title TEXT);\n"
    "INSERT INTO satchel_table(name) VALUES('note');\n"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('note','body','keep:copy_of');\n"
    "CREATE TABLE line(id INTEGER PRIMARY KEY, qty INTEGER, n INTEGER DEFAULT 0, what TEXT);\n"
    "INSERT INTO satchel_table(name, wins) VALUES('line', 'delete');\n"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('line','n','counter');\n"
    "CREATE TABLE entry(id INTEGER PRIMARY KEY, points INTEGER);\n"
    "INSERT INTO satchel_table(name, mode) VALUES('entry', 'append');\n"
    "CREATE TABLE pref(contact INTEGER, channel TEXT, allowed INTEGER, label TEXT, n INTEGER DEFAULT 5, amount INTEGER, currency TEXT DEFAULT 'EUR',\n"
    " st TEXT DEFAULT 'open', mx INTEGER DEFAULT 3, f TEXT DEFAULT 'unknown', PRIMARY KEY(contact, channel)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, key) VALUES('pref', 'natural');\n"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('pref','allowed','strict'),('pref','n','counter'),('pref','amount','group:m'),\n"
    " ('pref','currency','group:m'),('pref','st','guard:move'),('pref','mx','max'),('pref','f','first');\n"
    "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, code TEXT);\n"
    "CREATE UNIQUE INDEX person_code ON person(code);\n"
    "INSERT INTO satchel_table(name) VALUES('person');\n"
    "CREATE TABLE phone(id INTEGER PRIMARY KEY, person INTEGER REFERENCES person, code TEXT REFERENCES person(code), nr TEXT);\n"
    "INSERT INTO satchel_table(name) VALUES('phone');\n"
    "CREATE TABLE strict(id BLOB PRIMARY KEY, c INTEGER CHECK(c < 100), u TEXT, m TEXT NOT NULL DEFAULT '', x NUMERIC, any, r REAL);\n"
    "CREATE UNIQUE INDEX strict_u ON strict(u);\n"
    "INSERT INTO satchel_table(name) VALUES('strict');\n"
    "CREATE TABLE real(k REAL PRIMARY KEY, v TEXT);\n"
    "INSERT INTO satchel_table(name) VALUES('real');\n";
static const char MOVES[] = "INSERT INTO move VALUES('open','waiting'),('open','solved'),('waiting','solved'),('solved','closed');\n";

typedef struct world {
    serving v;
    device phone, tablet, till;
    uint64_t base; /* the cursor at which everybody stands in the beginning */
} world;

static uint64_t head(world *w) {
    return store_where(w->v.s).seq;
}

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    serving_open(&w->v, SCHEMA, MOVES);
    sql_exec(&w->v, "PRAGMA synchronous=OFF");
    w->phone = serving_device(&w->v, "phone");
    w->tablet = serving_device(&w->v, "tablet");
    w->till = serving_device(&w->v, "till");
    w->base = head(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    serving_fini(&w->v);
    free(w);
    return 0;
}

/* A row that everybody has seen, written by the server's hand at 9:00. */
static void known(world *w, const char *words) {
    device server = {.a = {.author = 0}, .ids = 1};
    server.number = 1000 + head(w);
    push_txn t = make_txn(&server, head(w), -3600);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(w->v.s), words, &delta);
    t.delta = delta.p;
    t.ndelta = delta.n;
    t.schema_epoch = 1;
    assert_int_equal(ingest_push(w->v.g, &server.a, &t, w->v.now_ms, &w->v.last), SATCHEL_OK);
    if (w->v.last.result.rc) fail_msg("%s: %s", words, satchel_rc_name(w->v.last.result.rc));
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_fini(&delta);
    w->base = head(w);
    conflicts(&w->v);
}

static void takes(world *w, device *d, uint64_t base, int seconds, const char *words) {
    int rc = push(&w->v, d, base, seconds, words);
    if (rc)
        fail_msg("%s: %s %.*s", words, satchel_rc_name(rc), (int)w->v.last.result.ntext, w->v.last.result.text);
}

/* Nothing in the store but the result and the parked transaction may differ before and after. */
static void refuses(world *w, device *d, uint64_t base, int seconds, const char *words, int code, const char *text) {
    buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    store_position was = store_where(w->v.s);
    char counts[128], again[128];
    const char *count = "SELECT (SELECT count(*) FROM satchel_log),(SELECT count(*) FROM satchel_conflict),(SELECT count(*) FROM satchel_tombstone)";
    assert_int_equal(store_digest(w->v.s, &before), SATCHEL_OK);
    snprintf(counts, sizeof counts, "%s", sql(&w->v, count));
    int rc = push(&w->v, d, base, seconds, words);
    if (rc != code) fail_msg("%s: wanted %s, got %s", words, satchel_rc_name(code), satchel_rc_name(rc));
    const msg_result *r = &w->v.last.result;
    char said[LIMIT_TEXT_BYTES + 1];
    snprintf(said, sizeof said, "%.*s", (int)r->ntext, r->text);
    if (!strstr(said, text)) fail_msg("%s: wanted '%s' in '%s'", words, text, said);
    assert_int_equal(r->seq, 0);
    assert_int_equal(store_digest(w->v.s, &after), SATCHEL_OK);
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.p, after.p, before.n);
    snprintf(again, sizeof again, "%s", sql(&w->v, count));
    assert_string_equal(counts, again);
    store_position is = store_where(w->v.s);
    assert_int_equal(was.seq, is.seq);
    assert_int_equal(was.high_stamp, is.high_stamp);
    char query[160];
    snprintf(query, sizeof query, "SELECT state FROM satchel_refused WHERE author=%u AND number=%llu", d->a.author, (unsigned long long)r->number);
    assert_string_equal(sql(&w->v, query), "open");
    buf_fini(&before);
    buf_fini(&after);
}

#define SQL(query, expected) assert_string_equal(sql(&w->v, query), expected)
#define CONFLICTS(expected) assert_string_equal(conflicts(&w->v), expected)
#define LOGGED(expected) assert_string_equal(logged(&w->v), expected)

/* ---- columns ---- */

static void m1_lww_later_stamp_wins_in_either_order(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111'; + item('b') l='111'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') l='333'");
    LOGGED("~ item('a') l='333'");
    CONFLICTS("");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='222'");
    CONFLICTS("item('a').l lww kept '333' lost '222' of 1");
    LOGGED("");
    takes(w, &w->phone, w->base, 0, "~ item('b') l='222'");
    takes(w, &w->tablet, w->base, 300, "~ item('b') l='333'");
    CONFLICTS("item('b').l lww kept '333' lost '222' of 1");
    SQL("SELECT id,l FROM item", "a|333 ; b|333");
}

static void m1_lww_other_columns_of_the_row_are_no_conflict(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x', r=1.5");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='y'");
    takes(w, &w->tablet, w->base, 10, "~ item('a') r=2");
    SQL("SELECT l,r FROM item", "y|2.0");
    CONFLICTS("");
    LOGGED("~ item('a') r=2.0");
}

static void m2_group_is_one_writers_whole_set(void **state) {
    world *w = *state;
    known(w, "+ item('a') amount=100, currency='EUR'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') amount=130, currency='USD'");
    takes(w, &w->phone, w->base, 0, "~ item('a') amount=120, currency='EUR'");
    SQL("SELECT amount,currency FROM item", "130|USD");
    CONFLICTS("item('a').amount group kept 130 lost 120 of 1; item('a').currency group kept 'USD' lost 'EUR' of 1");
}

static void m2_group_logs_only_the_columns_that_differ(void **state) {
    world *w = *state;
    known(w, "+ item('a') amount=100, currency='EUR', l='q'");
    takes(w, &w->phone, w->base, 0, "~ item('a') amount=120, currency='EUR'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') amount=130, currency='EUR'");
    SQL("SELECT amount,currency FROM item", "130|EUR");
    CONFLICTS("item('a').amount group kept 130 lost 120 of 1");
    LOGGED("~ item('a') amount=130");
}

static void m3_max_greater_value_wins_whatever_the_stamp(void **state) {
    world *w = *state;
    known(w, "+ item('a') mx=1");
    takes(w, &w->tablet, w->base, 300, "~ item('a') mx=2");
    takes(w, &w->phone, w->base, 0, "~ item('a') mx=3");
    CONFLICTS("item('a').mx max kept 3 lost 2 of 2");
    takes(w, &w->tablet, head(w), 3600, "~ item('a') mx=1");
    CONFLICTS("item('a').mx max kept 3 lost 1 of 2");
    SQL("SELECT mx FROM item", "3");
}

static void m4_min_smaller_value_wins_and_null_is_nothing_yet(void **state) {
    world *w = *state;
    known(w, "+ item('a')");
    takes(w, &w->phone, w->base, 0, "~ item('a') mn=1000");
    takes(w, &w->tablet, w->base, 0, "~ item('a') mn=900");
    CONFLICTS("item('a').mn min kept 900 lost 1000 of 1");
    takes(w, &w->phone, head(w), 10, "~ item('a') mn=NULL");
    SQL("SELECT mn FROM item", "900");
    CONFLICTS("item('a').mn min kept 900 lost NULL of 1");
}

static void m5_counter_adds_differences(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=10");
    takes(w, &w->phone, w->base, 0, "~ item('a') n+=2");
    takes(w, &w->tablet, w->base, -60, "~ item('a') n+=1");
    LOGGED("~ item('a') n=13");
    takes(w, &w->till, w->base, 60, "~ item('a') n+=-3");
    SQL("SELECT n FROM item", "10");
    CONFLICTS("");
}

static void m5_counter_out_of_range_or_no_number_is_refused(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=9223372036854775806");
    refuses(w, &w->phone, w->base, 0, "~ item('a') l='x', n+=2", SATCHEL_E_RANGE, "item.n");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+='x'", SATCHEL_E_TYPE, "must be a number");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=0.5", SATCHEL_E_RANGE + SATCHEL_E_TYPE - SATCHEL_E_RANGE, "item.n");
    SQL("SELECT n,l FROM item", "9223372036854775806|NULL");
}

static void m6_first_accepted_value_stays(void **state) {
    world *w = *state;
    known(w, "+ item('a')");
    takes(w, &w->phone, w->base, 0, "~ item('a') f='fair'");
    takes(w, &w->tablet, w->base, -300, "~ item('a') f='web'");
    SQL("SELECT f FROM item", "fair");
    CONFLICTS("item('a').f first kept 'fair' lost 'web' of 2");
    takes(w, &w->phone, head(w), 60, "~ item('a') f='other'");
    CONFLICTS("item('a').f first kept 'fair' lost 'other' of 1");
}

static void m7_server_column_refuses_a_device_unless_equal(void **state) {
    world *w = *state;
    known(w, "+ item('a') sv=40");
    refuses(w, &w->phone, w->base, 0, "~ item('a') sv=90, l='x'", SATCHEL_E_SERVER_OWNED, "item.sv");
    takes(w, &w->phone, w->base, 0, "~ item('a') sv=40, l='x'");
    SQL("SELECT sv,l FROM item", "40|x");
    refuses(w, &w->phone, w->base, 0, "+ item('b') sv=6", SATCHEL_E_SERVER_OWNED, "item.sv");
    takes(w, &w->phone, w->base, 0, "+ item('b') sv=5; + item('c') sv=NULL");
    SQL("SELECT sv FROM item WHERE id<>'a'", "5 ; 5");
    CONFLICTS("");
}

static void m7_server_table_refuses_every_change_of_a_device(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ move('a','b')", SATCHEL_E_SERVER_OWNED, "table move");
    refuses(w, &w->phone, w->base, 0, "- move('open','waiting')", SATCHEL_E_SERVER_OWNED, "table move");
}

static void m8_guard_moves_are_judged_in_commit_order(void **state) {
    world *w = *state;
    known(w, "+ item('a') st='open'; + item('b') st='open'; + item('c') st='open'");
    takes(w, &w->tablet, w->base, 0, "~ item('a') st:'open'>'waiting'");
    takes(w, &w->phone, w->base, -10, "~ item('a') st:'open'>'solved'");
    CONFLICTS("item('a').st guard kept 'solved' lost 'waiting' of 2");
    takes(w, &w->phone, w->base, 0, "~ item('b') st:'open'>'solved'");
    takes(w, &w->tablet, w->base, 10, "~ item('b') st:'open'>'waiting'");
    CONFLICTS("item('b').st guard kept 'solved' lost 'waiting' of 2");
    refuses(w, &w->till, w->base, 0, "~ item('c') st:'open'>'closed'", SATCHEL_E_GUARD, "item.st");
    SQL("SELECT id,st FROM item", "a|solved ; b|solved ; c|open");
}

static void m8_guard_server_moves_freely(void **state) {
    world *w = *state;
    known(w, "+ item('a') st='open'");
    known(w, "~ item('a') st:'open'>'closed'");
    SQL("SELECT st FROM item", "closed");
}

static void m9_bounded_cannot_be_declared(void **state) {
    world *w = *state;
    buf error;
    buf_init(&error, 0);
    serving_write(&w->v, "schema/002_bounded.sql",
                  "CREATE TABLE b(id INTEGER PRIMARY KEY, n INTEGER);\nINSERT INTO satchel_table(name) VALUES('b');\n"
                  "INSERT INTO satchel_rule(tbl, col, rule) VALUES('b','n','bounded');\n");
    serving_close(&w->v);
    assert_int_equal(serving_try(&w->v, &error), SATCHEL_E_RULE);
    assert_non_null(strstr((char *)error.p, "002_bounded.sql:3"));
    buf_fini(&error);
}

static void m10_keep_concurrent_text_becomes_a_copy_row(void **state) {
    world *w = *state;
    known(w, "+ note('n') body='a', title='t'; + note('m') body='a'");
    takes(w, &w->phone, w->base, 0, "~ note('n') body='a, b'");
    CONFLICTS("");
    takes(w, &w->tablet, w->base, 300, "~ note('n') body='a, c'");
    CONFLICTS("note('n').body keep kept 'a, c' lost 'a, b' of 1");
    SQL("SELECT body,copy_of,title,length(id) FROM note WHERE id<>'m' ORDER BY copy_of", "a, c|NULL|t|1 ; a, b|n|t|32");
    /* The incoming one loses. */
    takes(w, &w->tablet, w->base, 300, "~ note('m') body='later'");
    takes(w, &w->phone, w->base, 0, "~ note('m') body='earlier'");
    CONFLICTS("note('m').body keep kept 'later' lost 'earlier' of 1");
    SQL("SELECT body FROM note WHERE copy_of='m'", "earlier");
    SQL("SELECT body FROM note WHERE id='m'", "later");
    assert_non_null(strstr(logged(&w->v), "body='earlier' copy_of='m'"));
}

static void m10_keep_knowing_change_makes_no_copy(void **state) {
    world *w = *state;
    known(w, "+ note('n') body='a'");
    takes(w, &w->phone, w->base, 0, "~ note('n') body='b'");
    takes(w, &w->tablet, head(w), -300, "~ note('n') body='c'");
    SQL("SELECT body FROM note", "c");
    CONFLICTS("");
}

static void m11_strict_restriction_wins_and_knowing_change_loosens(void **state) {
    world *w = *state;
    known(w, "+ item('a')");
    takes(w, &w->phone, w->base, 300, "~ item('a') ok=1");
    takes(w, &w->tablet, w->base, 0, "~ item('a') ok=0");
    CONFLICTS("item('a').ok strict kept 0 lost 1 of 1");
    takes(w, &w->till, w->base, 600, "~ item('a') ok=1");
    CONFLICTS("item('a').ok strict kept 0 lost 1 of 3");
    takes(w, &w->phone, head(w), 900, "~ item('a') ok=1");
    SQL("SELECT ok FROM item", "1");
    CONFLICTS("");
}

static void m12_append_table_takes_inserts_only(void **state) {
    world *w = *state;
    takes(w, &w->till, w->base, 0, "+ entry(5) points=10");
    refuses(w, &w->till, w->base, 1, "~ entry(5) points=20", SATCHEL_E_APPEND_ONLY, "entry");
    refuses(w, &w->phone, head(w), 1, "- entry(5)", SATCHEL_E_APPEND_ONLY, "entry");
    refuses(w, &w->phone, head(w), 1, "+ entry(5) points=11", SATCHEL_E_KEY_TAKEN, "entry");
    takes(w, &w->phone, head(w), 1, "+ entry(5) points=10");
    SQL("SELECT * FROM entry", "5|10|x'0000000000000000000000'" + 0 * (int)sizeof(int)) ;
}
