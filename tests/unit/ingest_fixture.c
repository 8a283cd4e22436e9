#include "tests/unit/ingest_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

/* One column for each rule, and a table for each kind. */
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
    "INSERT INTO satchel_table(name) VALUES('real');\n"
    "CREATE TABLE tag(item TEXT, tag TEXT, PRIMARY KEY(item, tag)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, key) VALUES('tag', 'natural');\n";
static const char MOVES[] =
    "INSERT INTO move(a, b) VALUES('open','waiting'),('open','solved'),('waiting','solved'),('solved','closed');\n";

uint64_t head(world *w) {
    return store_where(w->v.s).seq;
}

int setup(void **state) {
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

int teardown(void **state) {
    world *w = *state;
    serving_fini(&w->v);
    free(w);
    return 0;
}

void known(world *w, const char *words) {
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

void takes(world *w, device *d, uint64_t base, int seconds, const char *words) {
    int rc = push(&w->v, d, base, seconds, words);
    if (rc) fail_msg("%s: %s %.*s", words, satchel_rc_name(rc), (int)w->v.last.result.ntext, w->v.last.result.text);
}

void refuses(world *w, device *d, uint64_t base, int seconds, const char *words, int code, const char *text) {
    buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    store_position was = store_where(w->v.s);
    char counts[128], again[128];
    const char *count =
        "SELECT (SELECT count(*) FROM satchel_log),(SELECT count(*) FROM satchel_conflict),(SELECT count(*) FROM satchel_tombstone)";
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
    snprintf(query, sizeof query, "SELECT state FROM satchel_refused WHERE author=%u AND number=%llu", d->a.author,
             (unsigned long long)r->number);
    assert_string_equal(sql(&w->v, query), "open");
    buf_fini(&before);
    buf_fini(&after);
}
