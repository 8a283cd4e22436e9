/* The codec, the digest and what is bound to statements without memory: an error that is told, and nothing half written that anybody would take for whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/db.h"
#include "protocol/delta.h"
#include "protocol/digest.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "tests/support/captured.h"
#include "tests/support/faults.h"

static void assert_out_of_memory_or(int rc, int expected) {
    assert_int_equal(rc, faults_happened() ? SATCHEL_E_NOMEM : expected);
}

static void buf_without_memory_tells_and_keeps_what_it_has(void **state) {
    (void)state;
    for (fault_loop l = {0}; faults_next(&l);) {
        buf b;
        size_t n = 0;
        buf_init(&b, 0);
        faults_at(l.n, l.all);
        for (; n < 3000 && !b.rc; n += !b.rc) buf_put_byte(&b, (uint8_t)n);
        faults_at(0, false);
        assert_out_of_memory_or(b.rc, SATCHEL_OK);
        assert_int_equal(b.n, n);
        for (size_t i = 0; i < n; i++) assert_int_equal(b.p[i], (uint8_t)i);
        buf_fini(&b);
    }
}

static void put_rows(delta_writer *w) {
    for (unsigned i = 0; i < 60; i++) {
        delta_row row = {.table = 1 + i / 20, .op = DELTA_UPDATE, .nkey = 1, .ncol = i % 20 ? 1 : 400};
        row.key[0] = value_integer(i);
        for (unsigned k = 0; k < row.ncol; k++) {
            row.col[k] = (delta_column){k + 1, DELTA_SET};
            row.v[k] = value_text("some text, so that the rows have their size", 43);
        }
        delta_put_row(w, &row);
    }
}

static void delta_writer_without_memory_tells_and_serves_again(void **state) {
    (void)state;
    buf whole, out;
    delta_writer w;
    buf_init(&whole, 0);
    buf_init(&out, 0);
    delta_writer_init(&w);
    put_rows(&w);
    assert_int_equal(delta_finish(&w, &whole), SATCHEL_OK);
    delta_writer_fini(&w);
    for (fault_loop l = {0}; faults_next(&l);) {
        delta_writer_init(&w);
        faults_at(l.n, l.all);
        put_rows(&w);
        int rc = delta_finish(&w, &out);
        faults_at(0, false);
        assert_out_of_memory_or(rc, SATCHEL_OK);
        buf_clear(&out);
        put_rows(&w);
        assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
        assert_int_equal(out.n, whole.n);
        assert_memory_equal(out.p, whole.p, whole.n);
        delta_writer_fini(&w);
        buf_fini(&out);
    }
    buf_fini(&whole);
}

static void frames_without_memory_are_told(void **state) {
    (void)state;
    static const uint8_t message[5000] = {0x80};
    for (fault_loop l = {0}; faults_next(&l);) {
        buf frame, back;
        buf_init(&frame, 0);
        buf_init(&back, 0);
        faults_at(l.n, l.all);
        int rc = frame_pack(message, sizeof message, &frame);
        if (!rc) rc = frame_unpack(frame.p, frame.n, &back);
        faults_at(0, false);
        assert_out_of_memory_or(rc, SATCHEL_OK);
        if (!rc) assert_memory_equal(back.p, message, sizeof message);
        buf_fini(&frame);
        buf_fini(&back);
    }
}

static void unseen_without_memory_is_told_by_the_whole(void **state) {
    (void)state;
    for (fault_loop l = {0}; faults_next(&l);) {
        buf body, out;
        buf_init(&body, 0);
        buf_init(&out, 0);
        faults_at(l.n, l.all);
        unseen_put_row(&body, 1, "\5", 1, 1);
        unseen_put_column(&body, 2, 3);
        unseen_finish(1, &body, &out);
        faults_at(0, false);
        assert_out_of_memory_or(out.rc, SATCHEL_OK);
        buf_fini(&body);
        buf_fini(&out);
    }
}

static sqlite3_value *given;

static void keep_value(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)context, (void)argc;
    given = sqlite3_value_dup(argv[0]);
}

/* In a UTF-16 database a text is converted. */
static void values_without_memory_are_absent(void **state) {
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    exec(db, "PRAGMA encoding = 'UTF-16'; CREATE TABLE t(a)");
    sqlite3_create_function(db, "keep", 1, SQLITE_UTF16, NULL, keep_value, NULL, NULL);
    for (fault_loop l = {0}; faults_next(&l);) {
        sqlite3_stmt *stmt;
        sqlite3_prepare_v2(db, "SELECT 'a text that is converted'", -1, &stmt, NULL);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        faults_at(l.n, l.all);
        value v = value_of_column(stmt, 0);
        faults_at(0, false);
        assert_int_equal(v.type == VALUE_ABSENT, faults_happened());
        sqlite3_finalize(stmt);
        exec(db, "SELECT keep('a text that is converted')");
        faults_at(l.n, l.all);
        v = value_of_sqlite(given);
        faults_at(0, false);
        assert_int_equal(v.type == VALUE_ABSENT, faults_happened());
        sqlite3_value_free(given);
    }
    sqlite3_close(db);
}

static void text_bound_without_memory_is_an_error_never_null(void **state) {
    (void)state;
    sqlite3 *db;
    db_cache cache;
    int64_t rows;
    unsigned failed = 0;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    exec(db, "PRAGMA encoding = 'UTF-16'; CREATE TABLE t(n, a)");
    db_cache_init(&cache, db);
    for (fault_loop l = {0}; faults_next(&l);) {
        faults_at(l.n, l.all);
        int rc = db_exec(&cache, "INSERT INTO t VALUES(?, ?)", "is", (int64_t)l.n, "a text that is converted");
        faults_at(0, false);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        failed += rc != 0;
    }
    assert_true(failed > 0);
    assert_int_equal(db_integer(&cache, "SELECT count(*) FROM t WHERE a IS NOT 'a text that is converted'", 0, &rows),
                     SATCHEL_OK);
    assert_int_equal(rows, 0);
    db_cache_fini(&cache);
    sqlite3_close(db);
}

/* ---- digest ---- */

#define SHOP                                                                                                                     \
    "CREATE TABLE b(k INTEGER PRIMARY KEY, v); CREATE TABLE a(x TEXT, y, z, PRIMARY KEY(y, x)) WITHOUT ROWID; CREATE TABLE gone(k PRIMARY KEY);"
#define ROWS                                                                                                                     \
    "INSERT INTO b VALUES(2, x'0102'), (1, 1.5); INSERT INTO a VALUES('x', 2, NULL), ('w', 1, 'text of some length, for memory')"

static void digest_lists_live_tables_by_name_and_rows_by_key(void **state) {
    (void)state;
    captured c;
    captured_open(&c, ":memory:", SHOP, (const char *[]){"b", "gone", "a", NULL});
    exec(c.db, ROWS);
    c.schema->table[1].until = 2;
    buf report, again;
    buf_init(&report, 0);
    buf_init(&again, 0);
    assert_int_equal(digest_tables(c.db, c.schema, &report), SATCHEL_OK);
    assert_memory_equal(report.p, "a 2 ", 4);
    const char *second = strchr((const char *)report.p, '\n') + 1;
    assert_memory_equal(second, "b 2 ", 4);
    assert_int_equal(report.n, 2 * (4 + 64 + 1));
    exec(c.db, "UPDATE b SET v = 1 WHERE k = 1");
    assert_int_equal(digest_tables(c.db, c.schema, &again), SATCHEL_OK);
    assert_memory_equal(again.p, report.p, 69);
    assert_memory_not_equal(again.p + 69, report.p + 69, 69);
    buf_fini(&report);
    buf_fini(&again);
    captured_close(&c);
}

static void digest_of_a_missing_table_or_into_a_full_buffer_is_an_error(void **state) {
    (void)state;
    captured c;
    captured_open(&c, ":memory:", SHOP, (const char *[]){"a", "b", NULL});
    buf report;
    buf_init(&report, 20);
    assert_int_equal(digest_tables(c.db, c.schema, &report), SATCHEL_E_LIMIT);
    buf_fini(&report);
    exec(c.db, "DROP TABLE a");
    assert_int_equal(digest_tables(c.db, c.schema, &report), SATCHEL_E_INTERNAL);
    buf_fini(&report);
    captured_close(&c);
}

static void digest_without_memory_is_an_error_never_another_digest(void **state) {
    (void)state;
    captured c;
    captured_open(&c, ":memory:", "PRAGMA encoding = 'UTF-16'; " SHOP, (const char *[]){"b", "gone", "a", NULL});
    exec(c.db, ROWS);
    buf whole, report;
    buf_init(&whole, 0);
    assert_int_equal(digest_tables(c.db, c.schema, &whole), SATCHEL_OK);
    for (fault_loop l = {0}; faults_next(&l);) {
        buf_init(&report, 0);
        faults_at(l.n, l.all);
        int rc = digest_tables(c.db, c.schema, &report);
        faults_at(0, false);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        if (!rc) assert_int_equal(report.n, whole.n);
        if (!rc) assert_memory_equal(report.p, whole.p, whole.n);
        buf_fini(&report);
    }
    buf_fini(&whole);
    captured_close(&c);
}

/* A range whose end lacks a column would be another range. */
static void range_bound_without_memory_is_an_error_and_can_be_bound_again(void **state) {
    (void)state;
    static char text[5000];
    captured c;
    sqlite3_stmt *q;
    memset(text, 'w', sizeof text);
    captured_open(&c, ":memory:", SHOP, (const char *[]){"a", "b", NULL});
    exec(c.db, ROWS);
    const schema_table *t = &c.schema->table[0];
    snapshot_range r = {.table = t->id, .has_from = true, .has_to = true, .nkey = 2};
    for (unsigned i = 0; i < 2; i++) r.from[i] = r.to[i] = value_text(text, sizeof text);
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendall(sql, "SELECT count(*) FROM a");
    digest_put_range(sql, t, true, true);
    char *words = sqlite3_str_finish(sql);
    assert_int_equal(sqlite3_prepare_v2(c.db, words, -1, &q, NULL), SQLITE_OK);
    sqlite3_free(words);
    for (fault_loop l = {0}; faults_next(&l);) {
        faults_at(l.n, l.all);
        int rc = digest_bind_range(q, t, &r);
        faults_at(0, false);
        assert_out_of_memory_or(rc, SATCHEL_OK);
    }
    r.from[0] = r.from[1] = value_integer(0);
    assert_int_equal(digest_bind_range(q, t, &r), SATCHEL_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 0), 2);
    sqlite3_finalize(q);
    captured_close(&c);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_without_memory_tells_and_keeps_what_it_has),
        cmocka_unit_test(delta_writer_without_memory_tells_and_serves_again),
        cmocka_unit_test(frames_without_memory_are_told),
        cmocka_unit_test(unseen_without_memory_is_told_by_the_whole),
        cmocka_unit_test(values_without_memory_are_absent),
        cmocka_unit_test(text_bound_without_memory_is_an_error_never_null),
        cmocka_unit_test(digest_lists_live_tables_by_name_and_rows_by_key),
        cmocka_unit_test(digest_of_a_missing_table_or_into_a_full_buffer_is_an_error),
        cmocka_unit_test(digest_without_memory_is_an_error_never_another_digest),
        cmocka_unit_test(range_bound_without_memory_is_an_error_and_can_be_bound_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
