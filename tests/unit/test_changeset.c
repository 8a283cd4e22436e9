#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/changeset.h"
#include "protocol/satchel_rc.h"

static value text(const char *s) {
    return value_text(s, strlen(s));
}

static void put_record(buf *b, const value *v, size_t n) {
    for (size_t i = 0; i < n; i++) value_put(b, &v[i]);
}

/* Two tables, one change of each kind: t(a INTEGER, b TEXT PRIMARY KEY) and u(k1, k2, v) with the key (k2, k1). */
static void sample(buf *b) {
    const value absent = {0};
    buf_init(b, 0);
    changeset_put_table(b, "t", 2, (const uint8_t[]){0, 1});
    changeset_put_op(b, SQLITE_INSERT, 0);
    put_record(b, (const value[]){value_integer(7), text("k")}, 2);
    changeset_put_op(b, SQLITE_UPDATE, 0);
    put_record(b, (const value[]){value_integer(1), text("old")}, 2);
    put_record(b, (const value[]){value_integer(2), absent}, 2);
    changeset_put_table(b, "u", 3, (const uint8_t[]){2, 1, 0});
    changeset_put_op(b, SQLITE_DELETE, 0);
    put_record(b, (const value[]){value_integer(1), value_blob("\1\2", 2), value_null()}, 3);
    assert_int_equal(b->rc, SATCHEL_OK);
}

static void changeset_next_reads_what_was_put(void **state) {
    (void)state;
    buf b;
    sample(&b);
    changeset_reader r;
    static changeset_change c;
    changeset_open(&r, b.p, b.n);
    assert_int_equal(changeset_next(&r, &c), 1);
    assert_int_equal(c.op, SQLITE_INSERT);
    assert_string_equal(c.table, "t");
    assert_int_equal(c.ncol, 2);
    assert_int_equal(c.new[0].u.i, 7);
    assert_int_equal(changeset_next(&r, &c), 1);
    assert_int_equal(c.op, SQLITE_UPDATE);
    assert_int_equal(c.old[0].u.i, 1);
    assert_memory_equal(c.old[1].u.p, "old", 3);
    assert_int_equal(c.new[0].u.i, 2);
    assert_int_equal(c.new[1].type, VALUE_ABSENT);
    assert_int_equal(changeset_next(&r, &c), 1);
    assert_int_equal(c.op, SQLITE_DELETE);
    assert_string_equal(c.table, "u");
    assert_int_equal(c.pk[0], 2);
    assert_int_equal(c.pk[1], 1);
    assert_int_equal(c.old[2].type, VALUE_NULL);
    assert_int_equal(changeset_next(&r, &c), 0);
    assert_int_equal(changeset_next(&r, &c), 0);
    buf_fini(&b);
}

static void changeset_at_finds_each_change_again(void **state) {
    (void)state;
    buf b;
    sample(&b);
    changeset_reader r;
    static changeset_change c, again;
    changeset_open(&r, b.p, b.n);
    while (changeset_next(&r, &c) == 1) {
        assert_int_equal(changeset_at(b.p, b.n, c.header_offset, c.offset, &again), SATCHEL_OK);
        assert_int_equal(again.op, c.op);
        assert_ptr_equal(again.table, c.table);
        assert_int_equal(again.offset, c.offset);
        const value *was = c.op == SQLITE_INSERT ? c.new : c.old, *is = c.op == SQLITE_INSERT ? again.new : again.old;
        for (unsigned i = 0; i < c.ncol; i++) assert_true(value_equal(&was[i], &is[i]));
    }
    assert_int_equal(changeset_at(b.p, b.n, 1, 5, &again), SATCHEL_E_CORRUPT);
    assert_int_equal(changeset_at(b.p, b.n, 0, 2, &again), SATCHEL_E_CORRUPT);
    assert_int_equal(changeset_at(b.p, b.n, 0, b.n, &again), SATCHEL_E_CORRUPT);
    assert_int_equal(changeset_at(b.p, b.n, b.n, 0, &again), SATCHEL_E_CORRUPT);
    assert_int_equal(changeset_at("T\0\1t\0", 5, 0, 4, &again), SATCHEL_E_CORRUPT); /* a table without columns */
    buf_fini(&b);
}

static void changeset_is_read_by_the_session_extension(void **state) {
    (void)state;
    buf b;
    sample(&b);
    sqlite3_changeset_iter *it;
    assert_int_equal(sqlite3changeset_start(&it, (int)b.n, b.p), SQLITE_OK);
    static const int ops[] = {SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE};
    for (int i = 0; i < 3; i++) {
        const char *table;
        int ncol, op, indirect;
        assert_int_equal(sqlite3changeset_next(it), SQLITE_ROW);
        assert_int_equal(sqlite3changeset_op(it, &table, &ncol, &op, &indirect), SQLITE_OK);
        assert_int_equal(op, ops[i]);
        assert_string_equal(table, i < 2 ? "t" : "u");
        assert_int_equal(indirect, 0);
    }
    assert_int_equal(sqlite3changeset_next(it), SQLITE_DONE);
    assert_int_equal(sqlite3changeset_finalize(it), SQLITE_OK);
    buf_fini(&b);
}

static void exec(sqlite3 *db, const char *sql) {
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void changeset_next_reads_what_the_session_extension_wrote(void **state) {
    (void)state;
    sqlite3 *db;
    sqlite3_session *session;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    exec(db, "CREATE TABLE t(a, b, c, PRIMARY KEY(c, a)); INSERT INTO t VALUES(1, 'x', 2), (3, 'y', 4)");
    assert_int_equal(sqlite3session_create(db, "main", &session), SQLITE_OK);
    assert_int_equal(sqlite3session_attach(session, "t"), SQLITE_OK);
    exec(db, "UPDATE t SET b = 1.5 WHERE a = 1; DELETE FROM t WHERE a = 3; INSERT INTO t VALUES(5, NULL, 6)");
    int n;
    void *p;
    assert_int_equal(sqlite3session_changeset(session, &n, &p), SQLITE_OK);
    changeset_reader r;
    static changeset_change c;
    changeset_open(&r, p, (size_t)n);
    unsigned seen = 0;
    while (changeset_next(&r, &c) == 1) {
        seen |= c.op == SQLITE_INSERT ? 1u : c.op == SQLITE_UPDATE ? 2u : 4u;
        assert_int_equal(c.pk[2], 1);
        assert_int_equal(c.pk[0], 2);
    }
    assert_int_equal(seen, 7);
    assert_ptr_equal(r.p, r.end);
    sqlite3_free(p);
    sqlite3session_delete(session);
    sqlite3_close(db);
}

/* Reads to the end or to the first error; whatever the bytes are, no read leaves them (the sanitizer watches). */
static int drain(const uint8_t *p, size_t n) {
    changeset_reader r;
    static changeset_change c;
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, p, n);
    changeset_open(&r, copy, n);
    int rc;
    while ((rc = changeset_next(&r, &c)) == 1) {
    }
    free(copy);
    return rc;
}

static void changeset_next_on_a_truncated_blob_is_corrupt_or_ends_at_a_change(void **state) {
    (void)state;
    buf b;
    sample(&b);
    unsigned whole = 0;
    for (size_t n = 0; n < b.n; n++) {
        int rc = drain(b.p, n);
        assert_true(rc == 0 || rc == SATCHEL_E_CORRUPT);
        whole += rc == 0;
    }
    assert_int_equal(whole, 5); /* nothing; header of t; first change; second; header of u */
    buf_fini(&b);
}

static void changeset_next_on_any_changed_byte_stays_in_bounds(void **state) {
    (void)state;
    buf b;
    sample(&b);
    for (size_t i = 0; i < b.n; i++) {
        uint8_t was = b.p[i];
        for (unsigned v = 0; v < 256; v += 5) {
            b.p[i] = (uint8_t)v;
            int rc = drain(b.p, b.n);
            assert_true(rc == 0 || rc == SATCHEL_E_CORRUPT);
        }
        b.p[i] = was;
    }
    buf_fini(&b);
}

static void changeset_next_on_a_bad_form_is_corrupt(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\x12\0\5",                 /* a change before any table */
        "T\1\0t\0\x12\0\5",         /* no key column */
        "T\0t\0",                   /* no columns */
        "T\1\1\0\x12\0\5",          /* no name */
        "T\1\1t\0\x12\0\0",         /* an insert without a value */
        "T\1\1t\0\x11\0\5",         /* no such operation */
        "T\1\1t\0\x17\0\0\0",       /* an update without a key */
        "T\2\1\0t\0\x17\0\5\5\0\0", /* a column with an old value alone */
        "T\1\1t\0\x17\0\5\5",       /* a key in the new record */
        "T\x8f\x7f\1",              /* too many columns */
        "T\x81\x81\1\1",            /* a count of three bytes */
    };
    static const size_t size[] = {3, 8, 4, 7, 8, 8, 9, 12, 9, 4, 5};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(drain((const uint8_t *)bad[i], size[i]), SATCHEL_E_CORRUPT);
}

static void changeset_put_table_with_the_most_columns_is_read_back(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    uint8_t pk[LIMIT_COLUMNS] = {[LIMIT_COLUMNS - 1] = 1};
    changeset_put_table(&b, "wide", LIMIT_COLUMNS, pk);
    changeset_put_op(&b, SQLITE_DELETE, 0);
    value v = value_null();
    for (unsigned i = 0; i < LIMIT_COLUMNS; i++) value_put(&b, &v);
    changeset_reader r;
    static changeset_change c;
    changeset_open(&r, b.p, b.n);
    assert_int_equal(changeset_next(&r, &c), 1);
    assert_int_equal(c.ncol, LIMIT_COLUMNS);
    assert_int_equal(c.pk[LIMIT_COLUMNS - 1], 1);
    sqlite3_changeset_iter *it;
    assert_int_equal(sqlite3changeset_start(&it, (int)b.n, b.p), SQLITE_OK);
    assert_int_equal(sqlite3changeset_next(it), SQLITE_ROW);
    sqlite3changeset_finalize(it);
    buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changeset_next_reads_what_was_put),
        cmocka_unit_test(changeset_at_finds_each_change_again),
        cmocka_unit_test(changeset_is_read_by_the_session_extension),
        cmocka_unit_test(changeset_next_reads_what_the_session_extension_wrote),
        cmocka_unit_test(changeset_next_on_a_truncated_blob_is_corrupt_or_ends_at_a_change),
        cmocka_unit_test(changeset_next_on_any_changed_byte_stays_in_bounds),
        cmocka_unit_test(changeset_next_on_a_bad_form_is_corrupt),
        cmocka_unit_test(changeset_put_table_with_the_most_columns_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
