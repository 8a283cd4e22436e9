/* capture_large - a transaction of a million rows costs bounded memory, whatever its shape (C7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
/* Of the sanitizer's allocator_interface.h, which gcc does not install. */
size_t __sanitizer_get_current_allocated_bytes(void);
#else
#include <malloc.h>
#endif

#include <cmocka.h>

#include "protocol/changeset.h"
#include "protocol/satchel_rc.h"
#include "tests/property/seeds.h"
#include "tests/support/captured.h"

#define FILE_NAME "capture_large.db"
#define HEAP_MAX (32u << 20)

static size_t heap_now(void) {
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#endif
}

typedef struct large {
    sqlite3 *db;
    capture *capture;
    size_t heap_start, heap_peak;
    unsigned parts;
    uint64_t changes[3]; /* inserts, updates, deletes */
    uint64_t key_sum;
} large;

static void sample(large *l) {
    size_t now = heap_now();
    if (now > l->heap_peak) l->heap_peak = now;
}

static int on_progress(void *ctx) {
    sample(ctx);
    return 0;
}

static int on_begin(void *ctx, bool again) {
    assert_false(again);
    sample(ctx);
    return SATCHEL_OK;
}

static int on_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    static changeset_change c;
    large *l = ctx;
    changeset_reader r;
    (void)last;
    assert_int_equal(number, l->parts++);
    assert_true(n <= LIMIT_PART_BYTES + 1024);
    changeset_open(&r, changeset, n);
    while (changeset_next(&r, &c) == 1) {
        l->changes[c.op == SQLITE_INSERT ? 0 : c.op == SQLITE_UPDATE ? 1 : 2]++;
        l->key_sum += (uint64_t)(c.op == SQLITE_INSERT ? c.new : c.old)[0].u.i;
    }
    assert_ptr_equal(r.p, r.end);
    sample(l);
    return SATCHEL_OK;
}

static schema *open_large(large *l) {
    *l = (large){0};
    unlink(FILE_NAME);
    assert_int_equal(sqlite3_open(FILE_NAME, &l->db), SQLITE_OK);
    exec(l->db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT, n)");
    capture_sink sink = {.ctx = l, .begin = on_begin, .part = on_part};
    assert_int_equal(capture_open(l->db, &sink, &l->capture), SATCHEL_OK);
    schema *s = captured_schema(l->db, (const char *[]){"t", NULL});
    buf error = {0};
    assert_int_equal(capture_install(l->db, s, &error), SATCHEL_OK);
    capture_set_schema(l->capture, s);
    sqlite3_progress_handler(l->db, 50000, on_progress, l);
    l->heap_start = l->heap_peak = heap_now();
    return s;
}

static void close_large(large *l, schema *s) {
    size_t grown = l->heap_peak - l->heap_start, left = heap_now() - l->heap_start;
    print_message("%u parts, heap %zu KB at the peak, %zu KB after\n", l->parts, grown >> 10, left >> 10);
    assert_true(grown < HEAP_MAX);
    capture_close(l->capture);
    assert_int_equal(sqlite3_close(l->db), SQLITE_OK);
    captured_schema_free(s);
    unlink(FILE_NAME);
}

static uint64_t row_count(void) {
    return seed_environment("SATCHEL_ROWS", 1000000);
}

static void C7_a_million_rows_cost_bounded_memory(void **state) {
    (void)state;
    large l;
    schema *s = open_large(&l);
    uint64_t rows = row_count();
    char sql[256];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE i(k) AS (VALUES(1) UNION ALL SELECT k + 1 FROM i WHERE k < %" PRIu64 ")"
             "INSERT INTO t SELECT k, 'row number ' || k, 0 FROM i",
             rows);
    exec(l.db, "BEGIN");
    exec(l.db, sql);
    exec(l.db, "UPDATE t SET n = 1 WHERE k % 4 = 0");
    exec(l.db, "COMMIT");
    assert_int_equal(l.changes[0], rows);
    assert_int_equal(l.key_sum, rows * (rows + 1) / 2);
    close_large(&l, s);
}

static void C7_one_row_changed_a_hundred_thousand_times_costs_bounded_memory(void **state) {
    (void)state;
    large l;
    schema *s = open_large(&l);
    exec(l.db, "INSERT INTO t VALUES(1, 'one', 0); BEGIN");
    sqlite3_stmt *update;
    assert_int_equal(sqlite3_prepare_v2(l.db, "UPDATE t SET n = n + 1", -1, &update, NULL), SQLITE_OK);
    for (uint64_t i = 0; i < row_count() / 10; i++) {
        sqlite3_step(update);
        sqlite3_reset(update);
    }
    sqlite3_finalize(update);
    l.parts = 0;
    exec(l.db, "COMMIT");
    assert_int_equal(l.changes[1], 1);
    assert_int_equal(l.parts, 1);
    close_large(&l, s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(C7_a_million_rows_cost_bounded_memory),
        cmocka_unit_test(C7_one_row_changed_a_hundred_thousand_times_costs_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
