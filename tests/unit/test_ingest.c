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
static const char MOVES[] = "INSERT INTO move(a, b) VALUES('open','waiting'),('open','solved'),('waiting','solved'),('solved','closed');\n";

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
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=0.5", SATCHEL_E_TYPE, "item.n");
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
    SQL("SELECT id,points FROM entry", "5|10");
    LOGGED("");
}

static void m12_append_table_may_be_changed_by_the_server(void **state) {
    world *w = *state;
    takes(w, &w->till, w->base, 0, "+ entry(5) points=10");
    known(w, "- entry(5)");
    SQL("SELECT count(*) FROM entry", "0");
}

/* ---- rows ---- */

static void m13_delete_wins_over_concurrent_update_in_either_order(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1, what='x'; + line(2) qty=1");
    takes(w, &w->phone, w->base, 0, "~ line(1) qty=5");
    takes(w, &w->tablet, w->base, -3000, "- line(1)");
    CONFLICTS("line(1).qty lww kept - lost 5 of 1");
    LOGGED("- line(1)");
    takes(w, &w->tablet, w->base, -3000, "- line(2)");
    CONFLICTS("");
    takes(w, &w->phone, w->base, 0, "~ line(2) qty=5, n+=2");
    CONFLICTS("line(2).qty lww kept - lost 5 of 1; line(2).n counter kept - lost 2 of 1");
    LOGGED("");
    SQL("SELECT count(*) FROM line", "0");
}

static void m13_update_by_one_who_knew_of_the_deletion_is_refused(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1");
    takes(w, &w->tablet, w->base, 0, "- line(1)");
    refuses(w, &w->phone, head(w), 10, "~ line(1) qty=5", SATCHEL_E_ROW_MISSING, "line");
    takes(w, &w->phone, head(w), 10, "- line(1)");
    takes(w, &w->phone, w->base, 10, "- line(1)");
    CONFLICTS("");
}

static void m13_concurrent_insert_of_a_deleted_key_is_lost_value_by_value(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1");
    takes(w, &w->tablet, w->base, 0, "- line(1)");
    takes(w, &w->phone, w->base, 10, "+ line(1) qty=7, what='y'");
    CONFLICTS("line(1) row kept - lost - of 1; line(1).qty lww kept - lost 7 of 1; line(1).what lww kept - lost 'y' of 1");
    SQL("SELECT count(*) FROM line", "0");
    takes(w, &w->phone, head(w), 20, "+ line(1) qty=8");
    SQL("SELECT qty FROM line", "8");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
}

static void m14_delete_loses_to_concurrent_update_and_is_logged(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->phone, w->base, 0, "~ person(1) name='y'");
    takes(w, &w->tablet, w->base, 300, "- person(1)");
    SQL("SELECT name FROM person", "y");
    CONFLICTS("person(1) row kept - lost - of 2");
    LOGGED("");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
}

static void m14_concurrent_update_revives_the_row_whole(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->tablet, w->base, 300, "- person(1)");
    LOGGED("- person(1)");
    SQL("SELECT count(*) FROM satchel_tombstone", "1");
    takes(w, &w->phone, w->base, 0, "~ person(1) name='y'");
    SQL("SELECT name,code FROM person", "y|c");
    CONFLICTS("person(1) row kept - lost - of 2");
    LOGGED("+ person(1) name='y' code='c'");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
    /* Who knew of the deletion cannot revive it. */
    takes(w, &w->tablet, head(w), 400, "- person(1)");
    refuses(w, &w->phone, head(w), 500, "~ person(1) name='z'", SATCHEL_E_ROW_MISSING, "person");
}

static void m14_revived_row_is_merged_by_its_columns_clocks(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x', n=4, st='open'");
    takes(w, &w->till, w->base, 600, "~ item('a') l='later'");
    uint64_t base = head(w);
    takes(w, &w->tablet, base, 700, "- item('a')");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='earlier', n+=3");
    SQL("SELECT l,n FROM item", "later|7");
    CONFLICTS("item('a') row kept - lost - of 2; item('a').l lww kept 'later' lost 'earlier' of 1");
}

static void m14_insert_of_a_deleted_key_puts_the_row_anew(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->tablet, w->base, 0, "- person(1)");
    takes(w, &w->phone, w->base, 0, "+ person(1) name='new'");
    SQL("SELECT name,code FROM person", "new|NULL");
    CONFLICTS("");
}

static void m15_natural_inserts_merge_and_others_are_refused(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0, "+ pref(7,'mail') allowed=1, label='a'");
    takes(w, &w->tablet, w->base, 10, "+ pref(7,'mail') allowed=0");
    SQL("SELECT allowed,label,n FROM pref", "0|a|5");
    CONFLICTS("pref(7,'mail').allowed strict kept 0 lost 1 of 1");
    LOGGED("~ pref(7,'mail') allowed=0");
    takes(w, &w->phone, w->base, 0, "+ person(1) name='x'");
    refuses(w, &w->tablet, w->base, 10, "+ person(1) name='x'", SATCHEL_E_KEY_TAKEN, "person");
}

/* Three inserts of one key, pushed in every order, end in one row. */
static void m15_natural_merge_does_not_depend_on_the_order_of_pushes(void **state) {
    world *w = *state;
    static const char *const INSERT[3] = {"+ pref(%u,'m') label='early', amount=7, f='fair'", "+ pref(%u,'m') n=7, st='waiting', allowed=1",
                                          "+ pref(%u,'m') n=6, mx=2"};
    static const int ORDER[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (unsigned i = 0; i < 6; i++) {
        device *by[3] = {&w->phone, &w->tablet, &w->till};
        for (unsigned k = 0; k < 3; k++) {
            char words[128];
            unsigned which = (unsigned)ORDER[i][k];
            snprintf(words, sizeof words, INSERT[which], i);
            takes(w, by[which], w->base, (int)which * 100, words);
        }
    }
    SQL("SELECT DISTINCT allowed,label,n,amount,currency,st,mx,f FROM pref", "1|early|8|7|EUR|waiting|2|fair");
    CONFLICTS("");
}

/* An update by one whose own insert said nothing of the column counts, whichever insert came first. */
static void m15_update_of_what_nobody_said_wins_over_a_later_default(void **state) {
    world *w = *state;
    takes(w, &w->tablet, w->base, 300, "+ pref(1,'m')");
    takes(w, &w->phone, w->base, 0, "+ pref(1,'m')");
    takes(w, &w->phone, w->base, 10, "~ pref(1,'m') label='x', allowed=1");
    takes(w, &w->phone, w->base, 0, "+ pref(2,'m')");
    takes(w, &w->phone, w->base, 10, "~ pref(2,'m') label='x', allowed=1");
    takes(w, &w->tablet, w->base, 300, "+ pref(2,'m')");
    SQL("SELECT label,allowed FROM pref", "x|1 ; x|1");
    CONFLICTS("");
    /* A default that an update said is said. */
    takes(w, &w->tablet, head(w), 400, "~ pref(1,'m') label=NULL");
    takes(w, &w->till, w->base, 350, "+ pref(1,'m') label='late'");
    CONFLICTS("pref(1,'m').label lww kept NULL lost 'late' of 3");
}

static void m15_guard_of_a_natural_row_still_guards_updates(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0, "+ pref(1,'m')");
    refuses(w, &w->phone, head(w), 1, "~ pref(1,'m') st:'open'>'closed'", SATCHEL_E_GUARD, "pref.st");
    takes(w, &w->phone, head(w), 1, "~ pref(1,'m') st:'open'>'solved'");
    refuses(w, &w->tablet, w->base, 10, "+ pref(1,'m') st='waiting'", SATCHEL_E_GUARD, "pref.st");
}

/* ---- time and knowledge ---- */

static void m16_own_and_known_values_are_overwritten_without_a_conflict(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='1'");
    takes(w, &w->phone, w->base, 10, "~ item('a') l='2'");
    CONFLICTS("");
    takes(w, &w->tablet, head(w), 20, "~ item('a') l='3'");
    CONFLICTS("");
    takes(w, &w->till, w->base, 30, "~ item('a') l='4'");
    CONFLICTS("item('a').l lww kept '4' lost '3' of 2");
}

static void m16_base_beyond_the_head_counts_as_the_head(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='1'");
    takes(w, &w->tablet, 1000000, 10, "~ item('a') l='2'");
    takes(w, &w->till, 1000000, 20, "- item('a')");
    SQL("SELECT count(*) FROM item", "0");
    CONFLICTS("");
}

static void m17_stamp_far_ahead_is_clamped_and_own_order_kept(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    uint64_t limit = hlc_of_ms(w->v.now_ms + LIMIT_CLOCK_AHEAD_MS);
    takes(w, &w->tablet, w->base, 86400, "~ item('a') l='1'");
    assert_true(w->v.last.clamped);
    assert_int_equal(w->v.last.result.effective, limit);
    takes(w, &w->tablet, w->base, 86401, "~ item('a') l='2'");
    assert_int_equal(w->v.last.result.effective, limit + 1);
    takes(w, &w->tablet, w->base, 0, "~ item('a') l='3'");
    assert_false(w->v.last.clamped);
    assert_int_equal(w->v.last.result.effective, limit + 2);
    assert_int_equal(store_where(w->v.s).high_stamp, limit + 2);
    SQL("SELECT l FROM item", "3");
    /* One whose clock is behind loses, and it is logged. */
    takes(w, &w->till, w->base, -86400, "~ item('a') l='4'");
    CONFLICTS("item('a').l lww kept '3' lost '4' of 3");
}

static void m18_conflict_entry_tells_who_when_and_which_transaction(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') l='1'");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='2'");
    char expected[160];
    snprintf(expected, sizeof expected, "%llu|%llu|%llu|2|%llu|1|1", (unsigned long long)head(w), (unsigned long long)w->v.now_ms,
             (unsigned long long)stamp_at(300), (unsigned long long)stamp_at(0));
    SQL("SELECT seq,at_ms,kept_stamp,kept_author,lost_stamp,lost_author,lost_number FROM satchel_conflict", expected);
    SQL("SELECT count(*) FROM satchel_conflict", "1");
}

/* ---- numbers ---- */

static void n3_known_number_and_id_gets_its_result_and_no_second_effect(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    msg_result first = w->v.last.result;
    uint64_t seq = head(w);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.seq, first.seq);
    assert_int_equal(w->v.last.result.effective, first.effective);
    assert_int_equal(head(w), seq);
    SQL("SELECT n FROM item", "1");
    assert_false(w->v.last.fork);
}

static void n3_refused_transaction_pushed_again_gets_its_refusal(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('nobody') l='x'"), SATCHEL_OK);
        assert_int_equal(w->v.last.result.rc, SATCHEL_E_ROW_MISSING);
        assert_int_equal(w->v.last.result.table, 2);
        assert_int_equal(w->v.last.result.nkey, 8);
        assert_memory_equal(w->v.last.result.key, "\3\6nobody", 8);
        assert_true(w->v.last.result.ntext > 0);
    }
    SQL("SELECT count(*) FROM satchel_refused", "1");
}

static void n3_known_number_with_another_id_is_a_fork_and_does_nothing(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    uint64_t seq = head(w);
    t.id[7] ^= 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=10"), SATCHEL_OK);
    assert_true(w->v.last.fork);
    assert_int_equal(head(w), seq);
    SQL("SELECT n FROM item", "1");
}

static void n3_number_that_was_skipped_is_a_fork(void **state) {
    world *w = *state;
    push_txn skipped = make_txn(&w->phone, w->base, 0);
    takes(w, &w->phone, w->base, 0, "+ entry(1)");
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &skipped, "+ entry(2)"), SATCHEL_OK);
    assert_true(w->v.last.fork);
}

static void n3_transaction_of_an_earlier_incarnation_is_found_elsewhere(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    uint64_t accepted = w->v.last.result.seq;
    device copy = w->phone;
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_fork(w->v.s, w->phone.a.device, w->v.now_ms, &copy.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(copy.a.incarnation, 2);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_false(w->v.last.fork);
    assert_int_equal(w->v.last.result.seq, accepted);
    SQL("SELECT n FROM item", "1");
    copy.ids += 1000;
    takes(w, &copy, w->base, 10, "~ item('a') n+=5");
    SQL("SELECT n FROM item", "6");
    SQL("SELECT kind FROM satchel_event", "fork");
}

static void n7_given_again_after_a_restore_keeps_its_effective_stamp(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    push_txn t = make_txn(&w->phone, w->base, 0);
    t.effective = stamp_at(120);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') l='1'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.effective, stamp_at(120));
    takes(w, &w->tablet, w->base, 60, "~ item('a') l='2'");
    SQL("SELECT l FROM item", "1");
}

/* ---- refusals ---- */

static void n6_later_transaction_on_the_refused_row_depends_on_it(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ person(1) name='x'; + person(2) name='y'; + strict(x'01') c=100", SATCHEL_E_CHECK, "c < 100");
    refuses(w, &w->phone, w->base, 1, "~ person(2) name='z'", SATCHEL_E_DEPENDS, "depends on transaction 1");
    assert_int_equal(w->v.last.result.depends, 1);
    refuses(w, &w->phone, w->base, 2, "+ phone(5) person=1", SATCHEL_E_DEPENDS, "depends on transaction 1");
    assert_int_equal(w->v.last.result.depends, 1);
    /* The chain goes on; others are not concerned. */
    refuses(w, &w->phone, w->base, 3, "~ phone(5) nr='1'", SATCHEL_E_DEPENDS, "depends on transaction 3");
    refuses(w, &w->tablet, w->base, 4, "~ person(2) name='z'", SATCHEL_E_ROW_MISSING, "person");
    takes(w, &w->phone, w->base, 5, "+ person(3) name='free'");
}

static void n6_refusal_does_not_touch_what_stands_without_it(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x'");
    refuses(w, &w->phone, w->base, 0, "~ person(1) name='y'; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    takes(w, &w->phone, w->base, 1, "~ person(1) code='c'");
    SQL("SELECT name,code FROM person", "x|c");
}

static void n6_retry_settles_the_refusal_once(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ person(1) name='x'; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ person(1) name='x'; + strict(x'01') c=99"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT state FROM satchel_refused", "retried");
    SQL("SELECT count(*) FROM satchel_refused_row", "0");
    t = make_txn(&w->phone, w->base, 2);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ person(2) name='x'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT count(*) FROM person", "1");
}

static void n6_retry_of_what_an_admin_discarded_is_refused(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ strict(x'01') c=100", SATCHEL_E_CHECK, "");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_refused_discard(w->v.s, "phone", 2, 1), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_refused_discard(w->v.s, "phone", 1, 1), SATCHEL_OK);
    assert_int_equal(store_refused_discard(w->v.s, "phone", 1, 2), SATCHEL_E_RESOLVED);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ strict(x'01') c=9"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT number,state FROM satchel_refused", "1|discarded ; 2|open");
}

static void n6_retry_of_a_refusal_that_a_restored_server_forgot_is_taken(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 77;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ person(1) name='x'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
}

static void refused_for_names_and_types(void **state) {
    world *w = *state;
    known(w, "+ strict(x'01')");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name='x'; + #99(1) #2=3", SATCHEL_E_UNKNOWN_TABLE, "99");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name='x'; ~ strict(x'01') #99=3", SATCHEL_E_UNKNOWN_COLUMN, "99");
    refuses(w, &w->phone, w->base, 0, "+ person(9); ~ strict(x'01') #1=3", SATCHEL_E_UNKNOWN_COLUMN, "1");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name='x'; ~ strict(x'01') c='x'", SATCHEL_E_TYPE, "strict.c takes INTEGER, not TEXT");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name=1", SATCHEL_E_TYPE, "person.name");
    refuses(w, &w->phone, w->base, 0, "+ person('9')", SATCHEL_E_TYPE, "person.id");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + pref(1)", SATCHEL_E_KEY_MISSING, "pref");
    takes(w, &w->phone, w->base, 0, "~ strict(x'01') any='x', r=1, x=2.0");
    SQL("SELECT any,r,x,typeof(x) FROM strict", "x|1.0|2|integer");
    LOGGED("~ strict(x'01') x=2 any='x' r=1.0");
}

static void refused_for_constraints(void **state) {
    world *w = *state;
    known(w, "+ strict(x'01') u='a'");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') m=NULL", SATCHEL_E_NOT_NULL, "strict.m");
    refuses(w, &w->phone, w->base, 0, "+ person(9); ~ strict(x'01') m=NULL", SATCHEL_E_NOT_NULL, "strict.m");
    refuses(w, &w->phone, w->base, 0, "+ person(9); ~ strict(x'01') c=100", SATCHEL_E_CHECK, "CHECK");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') u='a'", SATCHEL_E_UNIQUE, "strict.u");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') u='b'; ~ strict(x'02') u='a'", SATCHEL_E_UNIQUE, "strict.u");
    SQL("SELECT count(*) FROM satchel_result WHERE rc<>0", "5");
}

static void refused_for_references(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'; + phone(1) person=1; + phone(2) code='c'");
    refuses(w, &w->phone, w->base, 0, "+ phone(3) person=2", SATCHEL_E_FOREIGN_KEY, "person");
    refuses(w, &w->phone, w->base, 0, "~ phone(1) person=2", SATCHEL_E_FOREIGN_KEY, "person");
    refuses(w, &w->phone, w->base, 0, "- person(1)", SATCHEL_E_FOREIGN_KEY, "still refers");
    refuses(w, &w->phone, w->base, 0, "~ person(1) code='d'", SATCHEL_E_FOREIGN_KEY, "still refers");
    takes(w, &w->phone, w->base, 0, "+ phone(3) person=2; + person(2)");
    takes(w, &w->phone, w->base, 0, "+ phone(4) person=3; - phone(4)");
    takes(w, &w->phone, w->base, 0, "~ person(1) name='y'");
    takes(w, &w->phone, w->base, 0, "~ phone(2) code=NULL; ~ person(1) code='d'");
    takes(w, &w->phone, w->base, 0, "- person(2); - phone(3)");
    SQL("SELECT (SELECT group_concat(id) FROM person),(SELECT group_concat(id) FROM phone)", "1|1,2");
}

static void revived_child_of_a_deleted_parent_is_refused(void **state) {
    world *w = *state;
    known(w, "+ person(1); + phone(1) person=1");
    takes(w, &w->tablet, w->base, 0, "- phone(1); - person(1)");
    refuses(w, &w->phone, w->base, 10, "~ phone(1) nr='5'", SATCHEL_E_FOREIGN_KEY, "person");
}

static void refused_for_size(void **state) {
    world *w = *state;
    char *big = malloc(LIMIT_VALUE_BYTES + 2);
    memset(big, 'x', LIMIT_VALUE_BYTES + 1);
    const schema *s = store_schema(w->v.s);
    delta_row *row = calloc(1, sizeof *row);
    delta_writer writer;
    static const struct {
        size_t key, text;
        int code;
    } CASE[] = {{1, LIMIT_VALUE_BYTES + 1, SATCHEL_E_LIMIT},
                {LIMIT_KEY_BYTES, 1, SATCHEL_E_TOO_LARGE},
                {LIMIT_KEY_BYTES - 3, LIMIT_VALUE_BYTES, SATCHEL_OK}};
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        buf delta;
        buf_init(&delta, 0);
        delta_writer_init(&writer);
        *row = (delta_row){.table = schema_table_by_name(s, "note")->id, .op = DELTA_PUT, .nkey = 1, .ncol = 1};
        row->key[0] = value_text(big, CASE[i].key);
        row->col[0].id = 2;
        row->v[0] = value_text(big, CASE[i].text);
        delta_put_row(&writer, row);
        assert_int_equal(delta_finish(&writer, &delta), SATCHEL_OK);
        push_txn t = make_txn(&w->phone, w->base, 0);
        t.delta = delta.p;
        t.ndelta = delta.n;
        int rc = push_txn_raw(&w->v, &w->phone, &t, NULL);
        assert_int_equal(rc ? rc : w->v.last.result.rc, CASE[i].code);
        if (w->v.last.result.rc == SATCHEL_E_TOO_LARGE) assert_int_equal(w->v.last.result.nkey, 0);
        delta_writer_fini(&writer);
        buf_fini(&delta);
    }
    /* Two authors together must not make a row that fits no page. */
    buf delta;
    buf_init(&delta, 0);
    delta_writer_init(&writer);
    row->op = DELTA_UPDATE;
    row->col[0].id = 4;
    row->v[0] = value_text(big, 200000);
    delta_put_row(&writer, row);
    assert_int_equal(delta_finish(&writer, &delta), SATCHEL_OK);
    push_txn t = make_txn(&w->phone, w->base, 0);
    t.delta = delta.p;
    t.ndelta = delta.n;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, NULL), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_TOO_LARGE);
    delta_writer_fini(&writer);
    buf_fini(&delta);
    free(row);
    free(big);
}

static void real_key_written_as_integer_is_the_same_row(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0, "+ real(1) v='a'");
    takes(w, &w->tablet, head(w), 0, "~ real(1.0) v='b'");
    takes(w, &w->tablet, head(w), 0, "- real(1)");
    takes(w, &w->tablet, head(w), 0, "+ real(1.0) v='c'");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
    SQL("SELECT k,v FROM real", "1.0|c");
}

/* ---- bytes that make no sense ---- */

static void malformed_delta_is_a_wire_error_and_no_refusal(void **state) {
    world *w = *state;
    static const struct {
        const char *bytes;
        size_t n;
        int code;
    } CASE[] = {
        {"\x81\x85\x02\x01\x01\x80", 6, SATCHEL_E_MALFORMED},             /* ends early */
        {"\x81\x85\x02\x09\x01\x80\x81\x01", 8, SATCHEL_E_MALFORMED},     /* no such operation */
        {"\x81\x85\x02\x03\x01\x80\x81\x61\x61", 9, SATCHEL_E_MALFORMED}, /* LEAVE is the server's word */
        {"\x81\x85\x02\x02\x01\x80\x81\xf6", 8, SATCHEL_E_MALFORMED},     /* NULL in a key */
        {"\x81\x85\x02\x02\x01\x80\x81\x61\xff", 9, SATCHEL_E_UTF8},
        {"\x81\x85\x18\x02\x02\x01\x80\x81\x61\x61", 10, SATCHEL_E_NOT_DETERMINISTIC},
        {"\x81\x85\x02\x02\x18\x40\x80\x81\x61\x61", 10, SATCHEL_E_LIMIT}, /* 64 key columns */
    };
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        push_txn t = make_txn(&w->phone, w->base, 0);
        t.delta = (const uint8_t *)CASE[i].bytes;
        t.ndelta = CASE[i].n;
        int rc = push_txn_raw(&w->v, &w->phone, &t, NULL);
        if (rc != CASE[i].code) fail_msg("case %u: %s", i, satchel_rc_name(rc));
    }
    SQL("SELECT (SELECT count(*) FROM satchel_refused),(SELECT count(*) FROM satchel_result)", "0|0");
}

/* ---- dropped columns ---- */

static void p1_value_for_a_dropped_column_is_logged_and_lands_nowhere_else(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x'; + line(1) qty=1, what='w'");
    serving_write(&w->v, "schema/002_drop.sql", "ALTER TABLE line DROP COLUMN what;\nALTER TABLE line ADD COLUMN hue TEXT DEFAULT 'red';\n");
    serving_reopen(&w->v);
    w->base = head(w);
    takes(w, &w->phone, w->base, 0, "~ line(1) qty=2, #4='lost'");
    CONFLICTS("line(1).what lww kept - lost 'lost' of 1");
    takes(w, &w->phone, w->base, 0, "+ line(2) #4='also'");
    CONFLICTS("line(2).what lww kept - lost 'also' of 1");
    takes(w, &w->phone, w->base, 0, "~ line(1) #4='alone'");
    CONFLICTS("line(1).what lww kept - lost 'alone' of 1");
    SQL("SELECT qty,hue FROM line", "2|red ; NULL|red");
    const char *text = logged(&w->v);
    assert_string_equal(text, "");
}

static void p1_tombstone_of_an_older_epoch_revives_with_new_defaults(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->tablet, w->base, 0, "- person(1)");
    uint64_t base = w->base;
    serving_write(&w->v, "schema/002_add.sql", "ALTER TABLE person ADD COLUMN hue TEXT DEFAULT 'red';\n");
    serving_reopen(&w->v);
    takes(w, &w->phone, base, 10, "~ person(1) name='y'");
    SQL("SELECT name,code,hue FROM person", "y|c|red");
}

/* ---- parts ---- */

static int push_part(world *w, push_txn *t, uint32_t part, bool last, const char *words) {
    t->part = part;
    t->last = last;
    return push_txn_raw(&w->v, &w->phone, t, words);
}

static void parts_are_staged_and_ingested_at_the_last(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    uint64_t seq = head(w);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1) name='a'"), SATCHEL_OK);
    assert_true(w->v.last.staged);
    assert_int_equal(push_part(w, &t, 1, false, "+ phone(1) person=1"), SATCHEL_OK);
    SQL("SELECT count(*) FROM person", "0");
    assert_int_equal(head(w), seq);
    assert_int_equal(push_part(w, &t, 2, true, "~ person(1) code='c'"), SATCHEL_OK);
    assert_false(w->v.last.staged);
    assert_int_equal(w->v.last.result.seq, seq + 1);
    SQL("SELECT name,code FROM person", "a|c");
    SQL("SELECT count(*) FROM satchel_stage", "0");
    /* The last part again: the result again. */
    assert_int_equal(push_part(w, &t, 1, false, "+ phone(1) person=1"), SATCHEL_OK);
    assert_true(w->v.last.staged);
    assert_int_equal(push_part(w, &t, 2, true, "~ person(1) code='c'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.seq, seq + 1);
    assert_int_equal(head(w), seq + 1);
}

static void parts_out_of_order_are_e_order(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &t, 1, false, "+ person(1)"), SATCHEL_E_ORDER);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 2, true, "+ person(2)"), SATCHEL_E_ORDER);
    push_txn other = t;
    other.id[7] ^= 1;
    assert_int_equal(push_part(w, &other, 1, true, "+ person(2)"), SATCHEL_E_ORDER);
    assert_int_equal(push_part(w, &t, 1, true, "+ person(2)"), SATCHEL_OK);
    SQL("SELECT count(*) FROM person", "2");
}

static void parts_begun_anew_forget_the_earlier_try(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 1, false, "+ person(2)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 1, true, "+ person(2)"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT count(*) FROM person", "2");
}

static int first_changes(void *ctx, const refused_info *f) {
    snprintf(ctx, 256, "%s %llu %s", f->device, (unsigned long long)f->number, f->changes);
    return 1;
}

static void parts_of_a_refused_transaction_are_kept(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1) name='a'"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 1, true, "+ strict(x'01') c=100"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    SQL("SELECT count(*) FROM person", "0");
    SQL("SELECT count(*) FROM satchel_stage", "2");
    refuses(w, &w->phone, w->base, 1, "~ person(1) name='b'", SATCHEL_E_DEPENDS, "");
    t = make_txn(&w->phone, w->base, 2);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(3)"), SATCHEL_OK);
    SQL("SELECT count(*) FROM satchel_stage", "3");
    char text[256];
    assert_int_equal(store_refused(w->v.s, false, first_changes, text), SATCHEL_OK);
    assert_non_null(strstr(text, "phone 1 [{\"op\":\"insert\",\"table\":\"person\",\"key\":[\"1\"],\"columns\":{\"name\":\"'a'\""));
}

static void large_transaction_is_logged_in_parts(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    static char words[60000];
    int part = 0;
    for (int id = 0; id < 3600;) {
        size_t n = 0;
        for (int i = 0; i < 300; i++, id++)
            n += (size_t)snprintf(words + n, sizeof words - n, "+ note('%d') body='%0100d', title='%0100d';", id, id, id) - 90;
        n = 0;
        for (int i = 0, k = id - 300; i < 300; i++, k++) n += (size_t)snprintf(words + n, sizeof words - n, "+ note('%d') body='%0150d';", k, k);
        assert_int_equal(push_part(w, &t, (uint32_t)part++, id >= 3600, words), SATCHEL_OK);
    }
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT count(*),max(length(delta))<300000,max(id&0xffffff)+1=count(*),count(DISTINCT id>>24) FROM satchel_log WHERE id>>24>1", "3|1|1|1");
    SQL("SELECT count(*) FROM note", "3600");
}

/* ---- the server's own SQL ---- */

static void server_sql_is_merged_and_logged_as_author_0(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1, st='open'");
    buf error;
    buf_init(&error, 0);
    uint64_t transactions, rows;
    int rc = ingest_sql(w->v.g, "INSERT INTO person(id,name) VALUES(1,'x'); -- one\nBEGIN; UPDATE item SET n=n+4, sv=9, st='closed';\nDELETE FROM person; COMMIT;",
                        w->v.now_ms, &transactions, &rows, &error);
    assert_int_equal(rc, SATCHEL_OK);
    assert_int_equal(transactions, 2);
    assert_int_equal(rows, 3);
    SQL("SELECT n,sv,st FROM item", "5|9|closed");
    LOGGED("~ item('a') n=5 sv=9 st='closed'; - person(1)");
    SQL("SELECT DISTINCT author FROM satchel_log", "0");
    CONFLICTS("");
    buf_fini(&error);
}

static void server_sql_stops_at_a_mistake_and_names_its_line(void **state) {
    world *w = *state;
    static const struct {
        const char *text, *words;
        int code;
    } CASE[] = {
        {"INSERT INTO person(id) VALUES(1);\n\nINSERT INTO phone(id,person) VALUES(1,77);", "line 3", SATCHEL_E_FOREIGN_KEY},
        {"BEGIN;\nINSERT INTO person(id) VALUES(2);\nINSERT INTO persn VALUES(3);\nCOMMIT;", "line 3", SATCHEL_E_MISUSE},
        {"BEGIN;\nINSERT INTO person(id) VALUES(2);", "COMMIT is missing", SATCHEL_E_MISUSE},
        {"CREATE TABLE x(y);", "line 1", SATCHEL_E_MISUSE},
        {"DELETE FROM satchel_log;", "line 1", SATCHEL_E_MISUSE},
        {"PRAGMA user_version=9;", "line 1", SATCHEL_E_MISUSE},
        {"COMMIT;", "line 1", SATCHEL_E_MISUSE},
    };
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        buf error;
        buf_init(&error, 0);
        uint64_t transactions, rows;
        int rc = ingest_sql(w->v.g, CASE[i].text, w->v.now_ms, &transactions, &rows, &error);
        if (rc != CASE[i].code || !error.p || !strstr((char *)error.p, CASE[i].words))
            fail_msg("%s: %s %.*s", CASE[i].text, satchel_rc_name(rc), (int)error.n, error.p ? (char *)error.p : "");
        assert_true(sqlite3_get_autocommit(store_db(w->v.s)));
        buf_fini(&error);
    }
    SQL("SELECT id FROM person", "1");
    takes(w, &w->phone, head(w), 0, "+ person(5)");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(m1_lww_later_stamp_wins_in_either_order),
        TEST(m1_lww_other_columns_of_the_row_are_no_conflict),
        TEST(m2_group_is_one_writers_whole_set),
        TEST(m2_group_logs_only_the_columns_that_differ),
        TEST(m3_max_greater_value_wins_whatever_the_stamp),
        TEST(m4_min_smaller_value_wins_and_null_is_nothing_yet),
        TEST(m5_counter_adds_differences),
        TEST(m5_counter_out_of_range_or_no_number_is_refused),
        TEST(m6_first_accepted_value_stays),
        TEST(m7_server_column_refuses_a_device_unless_equal),
        TEST(m7_server_table_refuses_every_change_of_a_device),
        TEST(m8_guard_moves_are_judged_in_commit_order),
        TEST(m8_guard_server_moves_freely),
        TEST(m9_bounded_cannot_be_declared),
        TEST(m10_keep_concurrent_text_becomes_a_copy_row),
        TEST(m10_keep_knowing_change_makes_no_copy),
        TEST(m11_strict_restriction_wins_and_knowing_change_loosens),
        TEST(m12_append_table_takes_inserts_only),
        TEST(m12_append_table_may_be_changed_by_the_server),
        TEST(m13_delete_wins_over_concurrent_update_in_either_order),
        TEST(m13_update_by_one_who_knew_of_the_deletion_is_refused),
        TEST(m13_concurrent_insert_of_a_deleted_key_is_lost_value_by_value),
        TEST(m14_delete_loses_to_concurrent_update_and_is_logged),
        TEST(m14_concurrent_update_revives_the_row_whole),
        TEST(m14_revived_row_is_merged_by_its_columns_clocks),
        TEST(m14_insert_of_a_deleted_key_puts_the_row_anew),
        TEST(m15_natural_inserts_merge_and_others_are_refused),
        TEST(m15_natural_merge_does_not_depend_on_the_order_of_pushes),
        TEST(m15_update_of_what_nobody_said_wins_over_a_later_default),
        TEST(m15_guard_of_a_natural_row_still_guards_updates),
        TEST(m16_own_and_known_values_are_overwritten_without_a_conflict),
        TEST(m16_base_beyond_the_head_counts_as_the_head),
        TEST(m17_stamp_far_ahead_is_clamped_and_own_order_kept),
        TEST(m18_conflict_entry_tells_who_when_and_which_transaction),
        TEST(n3_known_number_and_id_gets_its_result_and_no_second_effect),
        TEST(n3_refused_transaction_pushed_again_gets_its_refusal),
        TEST(n3_known_number_with_another_id_is_a_fork_and_does_nothing),
        TEST(n3_number_that_was_skipped_is_a_fork),
        TEST(n3_transaction_of_an_earlier_incarnation_is_found_elsewhere),
        TEST(n7_given_again_after_a_restore_keeps_its_effective_stamp),
        TEST(n6_later_transaction_on_the_refused_row_depends_on_it),
        TEST(n6_refusal_does_not_touch_what_stands_without_it),
        TEST(n6_retry_settles_the_refusal_once),
        TEST(n6_retry_of_what_an_admin_discarded_is_refused),
        TEST(n6_retry_of_a_refusal_that_a_restored_server_forgot_is_taken),
        TEST(refused_for_names_and_types),
        TEST(refused_for_constraints),
        TEST(refused_for_references),
        TEST(revived_child_of_a_deleted_parent_is_refused),
        TEST(refused_for_size),
        TEST(real_key_written_as_integer_is_the_same_row),
        TEST(malformed_delta_is_a_wire_error_and_no_refusal),
        TEST(p1_value_for_a_dropped_column_is_logged_and_lands_nowhere_else),
        TEST(p1_tombstone_of_an_older_epoch_revives_with_new_defaults),
        TEST(parts_are_staged_and_ingested_at_the_last),
        TEST(parts_out_of_order_are_e_order),
        TEST(parts_begun_anew_forget_the_earlier_try),
        TEST(parts_of_a_refused_transaction_are_kept),
        TEST(large_transaction_is_logged_in_parts),
        TEST(server_sql_is_merged_and_logged_as_author_0),
        TEST(server_sql_stops_at_a_mistake_and_names_its_line),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
