/* What the server's own authors write: SQL text cut into transactions, and rows one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "tests/unit/ingest_fixture.h"

/* One of ingest_sql's ends: code, words that its error has, how many transactions were done, and which persons there are then. */
static const struct {
    const char *text;
    int rc;
    const char *words;
    unsigned transactions;
    const char *persons;
} CASE[] = {
    {" \t\r\n;; -- one\n/* two */ INSERT INTO person(id) VALUES(1) -- to the end", SATCHEL_OK, "", 1, "1"},
    {"INSERT INTO person(id) VALUES(2); /* without an end", SATCHEL_OK, "", 1, "1,2"},
    {"SELECT id FROM person; SELECT 1;", SATCHEL_OK, "", 2, "1,2"},
    {"\f", SATCHEL_OK, "", 0, "1,2"}, /* SQLite's white space, and nothing else */
    {"begin transaction; INSERT INTO person(id) VALUES(3); end", SATCHEL_OK, "", 1, "1,2,3"},
    {"BEGIN; INSERT INTO person(id) VALUES(4); COMMIT", SATCHEL_OK, "", 1, "1,2,3,4"},
    {"BEGIN", SATCHEL_E_MISUSE, "COMMIT is missing", 0, "1,2,3,4"},
    {"BEGIN; BEGIN;", SATCHEL_E_MISUSE, "BEGIN inside", 0, "1,2,3,4"},
    {"END;", SATCHEL_E_MISUSE, "without BEGIN", 0, "1,2,3,4"},
    {"BEGIN_;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"BEGIN9;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"BEGINNING;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"beginning;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"COMMIT:;", SATCHEL_E_MISUSE, "without BEGIN", 0, "1,2,3,4"},
    {"COMMIT[;", SATCHEL_E_MISUSE, "without BEGIN", 0, "1,2,3,4"},
    {"COMMIT{;", SATCHEL_E_MISUSE, "without BEGIN", 0, "1,2,3,4"},
    {"-1;", SATCHEL_E_MISUSE, "line 1", 0, "1,2,3,4"},
    {"/1;", SATCHEL_E_MISUSE, "line 1", 0, "1,2,3,4"},
    {"INSERT INTO person(id) VALUES(5);\nINSERT INTO person(id) VALUES(1);", SATCHEL_E_KEY_TAKEN, "line 2", 1, "1,2,3,4,5"},
    {"BEGIN; DELETE FROM person;\nINSERT INTO item(id) VALUES(NULL); COMMIT;", SATCHEL_E_NULL_KEY, "line 2", 0, "1,2,3,4,5"},
    {"BEGIN; DELETE FROM person; UPDATE item SET n='x'; COMMIT;", SATCHEL_E_TYPE, "", 0, "1,2,3,4,5"},
    {"BEGIN; DELETE FROM person;\nUPDATE item SET l=hex(zeroblob(500000)); COMMIT;", SATCHEL_E_TOO_LARGE, "line 2", 0,
     "1,2,3,4,5"},
    {"BEGIN; INSERT INTO person(id) SELECT 6;\nINSERT INTO person(id, name) SELECT 7, name FROM satchel_user; COMMIT;",
     SATCHEL_E_MISUSE, "line 2: nobody reads passwords", 0, "1,2,3,4,5"},
    {"DELETE FROM person WHERE EXISTS(SELECT 1 FROM satchel_login);", SATCHEL_E_MISUSE, "nobody reads passwords", 0, "1,2,3,4,5"},
    /* A mark of byte order is white space to SQLite, but behind a word it is part of that. */
    {"DELETE FROM person WHERE id=5;\n\xef\xbb\xbf", SATCHEL_OK, "", 1, "1,2,3,4"},
    {"\xef\xbb\xbf"
     "BEGIN",
     SATCHEL_E_MISUSE, "COMMIT is missing", 0, "1,2,3,4"},
    {";\xef\xbb\xbf -- one\n\xef\xbb\xbf"
     "COMMIT",
     SATCHEL_E_MISUSE, "without BEGIN", 0, "1,2,3,4"},
    {"\xef\xbb\xbf"
     "BEGIN; INSERT INTO person(id) VALUES(7); DELETE FROM person WHERE id=7; COMMIT",
     SATCHEL_OK, "", 1, "1,2,3,4"},
    {"BEGIN\xef\xbb\xbf;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"BEGIN$;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"\xef\xbb;", SATCHEL_E_MISUSE, "syntax", 0, "1,2,3,4"},
    {"BEGIN; DELETE FROM person; COMMIT", SATCHEL_OK, "", 1, "NULL"},
};

static void server_sql_is_cut_into_transactions_and_stops_at_a_mistake(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        buf error;
        buf_init(&error, 0);
        uint64_t transactions, rows;
        int rc = ingest_sql(w->v.g, CASE[i].text, w->v.now_ms, &transactions, &rows, &error);
        assert_true(rc || !error.n);
        buf_put_byte(&error, 0);
        if (rc != CASE[i].rc || !strstr((const char *)error.p, CASE[i].words) || transactions != CASE[i].transactions)
            fail_msg("%s: %s, %s, %llu", CASE[i].text, satchel_rc_name(rc), (const char *)error.p,
                     (unsigned long long)transactions);
        assert_true(sqlite3_get_autocommit(store_db(w->v.s)));
        SQL("SELECT group_concat(id) FROM (SELECT id FROM person ORDER BY id)", CASE[i].persons);
        buf_fini(&error);
    }
}

static void server_sql_inside_is_one_transaction_and_knows_no_other(void **state) {
    world *w = *state;
    static const struct {
        const char *text;
        int rc;
        const char *persons;
    } INSIDE[] = {
        {"BEGIN; INSERT INTO person(id) VALUES(1); COMMIT", SATCHEL_E_MISUSE, "NULL"},
        {"INSERT INTO person(id) VALUES(1); COMMIT", SATCHEL_E_MISUSE, "NULL"},
        {"INSERT INTO person(id) VALUES(1); INSERT INTO person(id) VALUES(2)", SATCHEL_OK, "1,2"},
        {"", SATCHEL_OK, "1,2"},
    };
    for (unsigned i = 0; i < sizeof INSIDE / sizeof INSIDE[0]; i++) {
        buf error;
        buf_init(&error, 0);
        uint64_t seq = head(w);
        assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
        int rc = ingest_sql_inside(w->v.g, INSIDE[i].text, w->v.now_ms, &error);
        if (rc)
            store_rollback(w->v.s);
        else
            assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
        if (rc != INSIDE[i].rc) fail_msg("%s: %s", INSIDE[i].text, satchel_rc_name(rc));
        assert_int_equal(head(w), seq + (!rc && INSIDE[i].text[0]));
        SQL("SELECT group_concat(id) FROM person", INSIDE[i].persons);
        buf_fini(&error);
    }
}

/* ---- rows ---- */

static delta_row row;

static int ingest_words_row(world *w, value key, value v) {
    row = (delta_row){.table = schema_table_by_name(store_schema(w->v.s), "person")->id, .op = DELTA_PUT, .nkey = 1, .ncol = 1};
    row.key[0] = key;
    row.col[0].id = 2;
    row.v[0] = v;
    return ingest_row(w->v.g, &row);
}

static void rows_that_are_refused_leave_no_trace_and_the_others_go_on(void **state) {
    world *w = *state;
    ingest_position before;
    bool changed;
    uint64_t seq = head(w);
    char *big = calloc(1, LIMIT_VALUE_BYTES + 1);
    assert_non_null(big);
    memset(big, 'x', LIMIT_VALUE_BYTES + 1);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    ingest_own_begin(w->v.g, w->v.now_ms, &before);
    assert_int_equal(ingest_words_row(w, value_integer(1), value_text("one", 3)), SATCHEL_OK);
    assert_int_equal(ingest_words_row(w, value_null(), value_text("no key", 6)), SATCHEL_E_KEY_MISSING);
    assert_int_equal(ingest_words_row(w, value_integer(2), value_text(big, LIMIT_VALUE_BYTES + 1)), SATCHEL_E_TOO_LARGE);
    assert_int_equal(ingest_words_row(w, value_integer(3), value_text(big, LIMIT_VALUE_BYTES)), SATCHEL_OK);
    assert_int_equal(ingest_own_end(w->v.g, &before, SATCHEL_OK, &changed), SATCHEL_OK);
    assert_true(changed);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(head(w), seq + 1);
    SQL("SELECT id,length(name) FROM person", "1|3 ; 3|786432");
    free(big);
}

static void rows_without_effect_make_no_commit(void **state) {
    world *w = *state;
    ingest_position before;
    bool changed;
    uint64_t seq = head(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    ingest_own_begin(w->v.g, w->v.now_ms, &before);
    assert_int_equal(ingest_own_end(w->v.g, &before, SATCHEL_OK, &changed), SATCHEL_OK);
    assert_false(changed);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(head(w), seq);
}

static void rows_that_refer_to_nothing_are_given_up_together(void **state) {
    world *w = *state;
    ingest_position before;
    bool changed;
    uint64_t seq = head(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    ingest_own_begin(w->v.g, w->v.now_ms, &before);
    assert_int_equal(ingest_words_row(w, value_integer(1), value_text("one", 3)), SATCHEL_OK);
    row.table = schema_table_by_name(store_schema(w->v.s), "phone")->id;
    row.v[0] = value_integer(77);
    assert_int_equal(ingest_row(w->v.g, &row), SATCHEL_OK);
    assert_int_equal(ingest_own_end(w->v.g, &before, SATCHEL_OK, &changed), SATCHEL_E_FOREIGN_KEY);
    assert_false(changed);
    store_rollback(w->v.s);
    assert_int_equal(head(w), seq);
    SQL("SELECT count(*) FROM person", "0");
}

static int has(world *w, const char *table, value key, uint32_t author, uint64_t base) {
    return ingest_has_row(w->v.g, schema_table_by_name(store_schema(w->v.s), table), &key, author, base);
}

/* M14: to who has not seen that a row was deleted it is there still: what he writes is an edit of it, and no new row. */
static void M14_row_is_there_for_who_does_not_know_that_it_was_deleted(void **state) {
    world *w = *state;
    char *big = calloc(1, LIMIT_KEY_BYTES + 1);
    assert_non_null(big);
    memset(big, 'x', LIMIT_KEY_BYTES + 1);
    assert_int_equal(has(w, "item", value_text("a", 1), 77, 0), 0);
    known(w, "+ item('a') n=1; + item('b') n=2");
    uint64_t seen = head(w);
    assert_int_equal(has(w, "item", value_text("a", 1), 77, 0), 1);
    assert_int_equal(has(w, "item", value_text("c", 1), 77, 0), 0);
    takes(w, &w->phone, seen, 0, "- item('a')");
    assert_int_equal(has(w, "item", value_text("a", 1), 77, seen), 1);
    assert_int_equal(has(w, "item", value_text("a", 1), 77, head(w)), 0);
    assert_int_equal(has(w, "item", value_text("a", 1), w->phone.a.author, seen), 0);
    assert_int_equal(has(w, "item", value_text("c", 1), 77, 0), 0);
    assert_int_equal(has(w, "item", value_text(big, LIMIT_KEY_BYTES + 1), 77, 0), 0); /* no row can have this key */
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(server_sql_is_cut_into_transactions_and_stops_at_a_mistake),
        TEST(server_sql_inside_is_one_transaction_and_knows_no_other),
        TEST(rows_that_are_refused_leave_no_trace_and_the_others_go_on),
        TEST(rows_without_effect_make_no_commit),
        TEST(rows_that_refer_to_nothing_are_given_up_together),
        TEST(M14_row_is_there_for_who_does_not_know_that_it_was_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
