#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/delta.h"
#include "protocol/satchel_rc.h"

static delta_row row_of(uint32_t table, delta_op op, int64_t key) {
    delta_row row = {.table = table, .op = op, .nkey = 1};
    row.key[0] = value_integer(key);
    return row;
}

static void add_column(delta_row *row, uint32_t id, delta_kind kind, value v) {
    row->col[row->ncol] = (delta_column){id, kind};
    row->seen[row->ncol] = (value){.type = VALUE_ABSENT};
    row->v[row->ncol++] = v;
}

static int read_all(const buf *b, delta_row *rows, unsigned max, unsigned *count) {
    static delta_reader r;
    delta_row row;
    wire at;
    int rc;
    *count = 0;
    wire_open(&at, b->p, b->n);
    delta_open(&r, &at);
    while ((rc = delta_next(&r, &row)) == 1) {
        assert_true(*count < max);
        rows[(*count)++] = row;
    }
    return rc ? rc : wire_close(&r.w);
}

static void assert_same_row(const delta_row *a, const delta_row *b) {
    assert_int_equal(a->table, b->table);
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->nkey, b->nkey);
    assert_int_equal(a->ncol, b->ncol);
    for (unsigned i = 0; i < a->nkey; i++) assert_true(value_equal(&a->key[i], &b->key[i]));
    for (unsigned i = 0; i < a->ncol; i++) {
        assert_int_equal(a->col[i].id, b->col[i].id);
        assert_int_equal(a->col[i].kind, b->col[i].kind);
        assert_true(value_equal(&a->v[i], &b->v[i]));
        if (a->col[i].kind == DELTA_MOVE) assert_true(value_equal(&a->seen[i], &b->seen[i]));
    }
}

static void finish_nothing_is_empty_array(void **state) {
    (void)state;
    delta_writer w;
    buf out;
    buf_init(&out, 0);
    delta_writer_init(&w);
    assert_int_equal(delta_size(&w), 0);
    assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.p[0], 0x80);
    delta_row row;
    unsigned n;
    assert_int_equal(read_all(&out, &row, 1, &n), SATCHEL_OK);
    assert_int_equal(n, 0);
    delta_writer_fini(&w);
    buf_fini(&out);
}

static void next_rows_of_every_kind_round_trip(void **state) {
    (void)state;
    static delta_row in[5], got[5];
    in[0] = row_of(2, DELTA_PUT, 1);
    add_column(&in[0], 2, DELTA_SET, value_text("Ada", 3));
    add_column(&in[0], 5, DELTA_SET, value_null());
    in[1] = row_of(2, DELTA_UPDATE, 1);
    add_column(&in[1], 3, DELTA_ADD, value_integer(-4));
    add_column(&in[1], 4, DELTA_MOVE, value_text("won", 3));
    in[1].seen[1] = value_null();
    add_column(&in[1], 9, DELTA_SET, value_real(-0.0));
    in[2] = row_of(7, DELTA_DELETE, 1);
    in[2].nkey = 2;
    in[2].key[1] = value_blob("\0\1", 2);
    in[3] = row_of(7, DELTA_LEAVE, 1);
    in[4] = row_of(UINT32_MAX, DELTA_PUT, INT64_MIN);
    add_column(&in[4], UINT32_MAX / 4, DELTA_SET, value_blob("", 0));
    delta_writer w;
    buf out;
    unsigned n;
    buf_init(&out, 0);
    delta_writer_init(&w);
    for (int i = 0; i < 5; i++) delta_put_row(&w, &in[i]);
    assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
    assert_int_equal(read_all(&out, got, 5, &n), SATCHEL_OK);
    assert_int_equal(n, 5);
    for (int i = 0; i < 5; i++) assert_same_row(&in[i], &got[i]);
    delta_writer_fini(&w);
    buf_fini(&out);
}

static void put_row_same_head_joins_group(void **state) {
    (void)state;
    static delta_row got[4];
    delta_writer w;
    buf out;
    unsigned n;
    buf_init(&out, 0);
    delta_writer_init(&w);
    for (int i = 0; i < 3; i++) {
        delta_row row = row_of(1, DELTA_PUT, i);
        add_column(&row, 2, DELTA_SET, value_integer(i));
        delta_put_row(&w, &row);
    }
    assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
    static const uint8_t want[] = {0x81, 0x85, 1, 0, 1, 0x81, 8, 0x86, 0, 0, 1, 1, 2, 2};
    assert_int_equal(out.n, sizeof want);
    assert_memory_equal(out.p, want, sizeof want);
    assert_int_equal(read_all(&out, got, 4, &n), SATCHEL_OK);
    assert_int_equal(n, 3);
    delta_writer_fini(&w);
    buf_fini(&out);
}

static void finish_empties_writer_for_the_next(void **state) {
    (void)state;
    static delta_row got[1];
    delta_writer w;
    buf out;
    unsigned n;
    buf_init(&out, 0);
    delta_writer_init(&w);
    delta_row row = row_of(1, DELTA_DELETE, 5);
    for (int i = 0; i < 3; i++) {
        buf_clear(&out);
        delta_put_row(&w, &row);
        assert_true(delta_size(&w) > 0);
        assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
        assert_int_equal(delta_size(&w), 0);
        assert_int_equal(read_all(&out, got, 1, &n), SATCHEL_OK);
        assert_int_equal(n, 1);
    }
    delta_writer_fini(&w);
    buf_fini(&out);
}

static void finish_after_bad_row_tells_and_recovers(void **state) {
    (void)state;
    delta_writer w;
    buf out;
    buf_init(&out, 0);
    delta_writer_init(&w);
    delta_row good = row_of(1, DELTA_DELETE, 5), bad = row_of(1, DELTA_DELETE, 5);
    bad.key[0] = value_text("\xff", 1);
    delta_put_row(&w, &good);
    delta_put_row(&w, &bad);
    delta_put_row(&w, &good);
    assert_int_equal(delta_finish(&w, &out), SATCHEL_E_UTF8);
    assert_int_equal(out.n, 0);
    bad.key[0] = (value){.type = VALUE_ABSENT};
    delta_put_row(&w, &bad);
    assert_int_equal(delta_finish(&w, &out), SATCHEL_E_MISUSE);
    delta_put_row(&w, &good);
    assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
    assert_int_equal(out.n, 8);
    delta_writer_fini(&w);
    buf_fini(&out);
}

static void next_widest_row_round_trips(void **state) {
    (void)state;
    static delta_row in, got;
    in = row_of(1, DELTA_UPDATE, 0);
    in.nkey = LIMIT_KEY_COLUMNS;
    for (unsigned i = 0; i < LIMIT_KEY_COLUMNS; i++) in.key[i] = value_integer(i);
    for (unsigned i = 0; i < LIMIT_COLUMNS; i++) {
        add_column(&in, i + 1, DELTA_MOVE, value_integer(i));
        in.seen[i] = value_integer(-(int64_t)i);
    }
    delta_writer w;
    buf out;
    unsigned n;
    buf_init(&out, 0);
    delta_writer_init(&w);
    delta_put_row(&w, &in);
    assert_int_equal(delta_finish(&w, &out), SATCHEL_OK);
    assert_int_equal(read_all(&out, &got, 1, &n), SATCHEL_OK);
    assert_int_equal(n, 1);
    assert_same_row(&in, &got);
    delta_writer_fini(&w);
    buf_fini(&out);
}

/* The reader may stand inside a message; behind the last row its cursor stands behind the delta. */
static void next_after_last_row_leaves_the_rest(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x81, 0x85, 1, 2, 1, 0x80, 0x81, 5, 0x18, 42};
    static delta_reader r;
    static delta_row row;
    wire at;
    wire_open(&at, bytes, sizeof bytes);
    delta_open(&r, &at);
    assert_int_equal(delta_next(&r, &row), 1);
    assert_int_equal(row.op, DELTA_DELETE);
    assert_int_equal(delta_next(&r, &row), 0);
    assert_int_equal(delta_next(&r, &row), 0);
    assert_int_equal(wire_get_uint(&r.w), 42);
    assert_int_equal(wire_close(&r.w), SATCHEL_OK);
}

/* One row that is right, then the group that is wrong: the row is handed out, the error stays. */
static void next_error_in_second_group_sticks(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x82, 0x85, 1, 2, 1, 0x80, 0x81, 5, 0x85, 1, 2, 1, 0x80, 0x81, 0xf6};
    static delta_reader r;
    static delta_row row;
    wire at;
    wire_open(&at, bytes, sizeof bytes);
    delta_open(&r, &at);
    assert_int_equal(delta_next(&r, &row), 1);
    assert_int_equal(delta_next(&r, &row), SATCHEL_E_NOT_DETERMINISTIC);
    assert_int_equal(delta_next(&r, &row), SATCHEL_E_NOT_DETERMINISTIC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finish_nothing_is_empty_array),           cmocka_unit_test(next_rows_of_every_kind_round_trip),
        cmocka_unit_test(put_row_same_head_joins_group),           cmocka_unit_test(finish_empties_writer_for_the_next),
        cmocka_unit_test(finish_after_bad_row_tells_and_recovers), cmocka_unit_test(next_widest_row_round_trips),
        cmocka_unit_test(next_after_last_row_leaves_the_rest),     cmocka_unit_test(next_error_in_second_group_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
