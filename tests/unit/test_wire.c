#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "protocol/wire.h"

/* A cursor over literal bytes. */
#define WIRE(...) wire_over((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__})
static wire wire_over(const uint8_t *p, size_t n) {
    static uint8_t keep[64]; /* outlives the literal */
    assert_true(n <= sizeof keep);
    memcpy(keep, p, n);
    wire w;
    wire_open(&w, keep, n);
    return w;
}

static void assert_bytes(const buf *b, const void *p, size_t n) {
    assert_int_equal(b->rc, SATCHEL_OK);
    assert_int_equal(b->n, n);
    assert_memory_equal(b->p, p, n);
}

static void round_trip_value(const value *v, size_t size) {
    buf b;
    wire w;
    buf_init(&b, 0);
    wire_put_value(&b, v);
    assert_int_equal(b.n, size);
    wire_open(&w, b.p, b.n);
    value got = wire_get_value(&w);
    assert_int_equal(wire_close(&w), SATCHEL_OK);
    assert_true(value_equal(v, &got));
    buf_fini(&b);
}

static void put_uint_each_width_shortest(void **state) {
    (void)state;
    static const struct {
        uint64_t v;
        size_t size;
    } at[] = {{0, 1},     {23, 1},        {24, 2},         {UINT8_MAX, 2},         {UINT8_MAX + 1, 3},
              {65535, 3}, {65536, 5},     {UINT32_MAX, 5}, {UINT64_C(1) << 32, 9}, {INT64_MAX, 9},
              {1000, 3},  {UINT64_MAX, 9}};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        buf b;
        wire w;
        buf_init(&b, 0);
        wire_put_uint(&b, at[i].v);
        assert_int_equal(b.n, at[i].size);
        wire_open(&w, b.p, b.n);
        assert_true(wire_get_uint(&w) == at[i].v);
        assert_int_equal(wire_close(&w), SATCHEL_OK);
        buf_fini(&b);
    }
}

static void put_int_each_width_shortest(void **state) {
    (void)state;
    static const struct {
        int64_t v;
        size_t size;
    } at[] = {{-1, 1},          {-24, 1},         {-25, 2},       {-256, 2},          {-257, 3},      {-65536, 3}, {-65537, 5},
              {-4294967296, 5}, {-4294967297, 9}, {INT64_MIN, 9}, {INT64_MIN + 1, 9}, {INT64_MAX, 9}, {0, 1}};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        value v = value_integer(at[i].v);
        round_trip_value(&v, at[i].size);
        buf b;
        wire w;
        buf_init(&b, 0);
        wire_put_int(&b, at[i].v);
        wire_open(&w, b.p, b.n);
        assert_true(wire_get_int(&w) == at[i].v);
        assert_int_equal(wire_close(&w), SATCHEL_OK);
        buf_fini(&b);
    }
}

static void get_int_outside_64_bits_malformed(void **state) {
    (void)state;
    wire w = WIRE(0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(wire_get_int(&w), 0);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    w = WIRE(0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(wire_get_int(&w), 0);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    w = WIRE(0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0);
    value v = wire_get_value(&w);
    assert_int_equal(v.type, VALUE_ABSENT);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
}

static void get_uint_max_above_limit(void **state) {
    (void)state;
    wire w = WIRE(0x18, 100, 0x18, 101);
    assert_int_equal(wire_get_uint_max(&w, 100), 100);
    assert_int_equal(wire_get_uint_max(&w, 100), 0);
    assert_int_equal(w.rc, SATCHEL_E_LIMIT);
}

/* Every half-precision number, subnormal ones and infinities included, is what decodes from its bits and encodes to them. */
static void put_real_every_half_survives(void **state) {
    (void)state;
    for (unsigned bits = 0; bits <= UINT16_MAX; bits++) {
        uint8_t bytes[3] = {0xf9, (uint8_t)(bits >> 8), (uint8_t)bits};
        unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
        wire w;
        wire_open(&w, bytes, sizeof bytes);
        value v = wire_get_value(&w);
        if (exponent == 31 && fraction) {
            assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
            continue;
        }
        assert_int_equal(wire_close(&w), SATCHEL_OK);
        double want =
            exponent == 31 ? INFINITY : ldexp(fraction + (exponent ? 1024.0 : 0.0), (exponent ? (int)exponent : 1) - 25);
        assert_true(v.u.r == (bits & 0x8000 ? -want : want));
        buf b;
        buf_init(&b, 0);
        wire_put_value(&b, &v);
        assert_bytes(&b, bytes, sizeof bytes);
        buf_fini(&b);
    }
}

static void put_real_shortest_that_keeps_value(void **state) {
    (void)state;
    static const struct {
        double v;
        size_t size;
    } at[] = {{0.0, 3},        {-0.0, 3},          {65504.0, 3},       {65505.0, 5},    {65520.0, 5},       {65536.0, 5},
              {0x1p-14, 3},    {0x1.004p-14, 3},   {0x1.002p-14, 5},   {0x1p-24, 3},    {0x1.8p-24, 5},     {0x1p-25, 5},
              {0x1.8p-23, 3},  {0x1.8p-15, 3},     {0x1.ffcp-1, 3},    {0x1.ffep-1, 5}, {16777216.0, 5},    {16777217.0, 9},
              {FLT_MAX, 5},    {FLT_MIN, 5},       {FLT_TRUE_MIN, 5},  {0x1p-150, 9},   {2.0 * FLT_MAX, 9}, {DBL_MAX, 9},
              {DBL_MIN, 9},    {DBL_TRUE_MIN, 9},  {INFINITY, 3},      {-INFINITY, 3},  {0.1, 9},           {0x1.99999ap-4, 5},
              {-1.0 / 3.0, 9}, {0x1.fffffep-1, 5}, {0x1.ffffffp-1, 9}, {-0x1p-149, 5},  {0x1.8p-148, 5}};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        value v = value_real(at[i].v);
        round_trip_value(&v, at[i].size);
    }
}

static void put_real_nan_is_null(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    wire_put_real(&b, NAN);
    assert_bytes(&b, "\xf6", 1);
    buf_fini(&b);
}

static void get_value_negative_zero_survives(void **state) {
    (void)state;
    wire w = WIRE(0xf9, 0x80, 0x00);
    value v = wire_get_value(&w);
    assert_int_equal(v.type, VALUE_REAL);
    assert_true(v.u.r == 0 && signbit(v.u.r));
}

static void get_value_string_of_limit(void **state) {
    (void)state;
    char *text = malloc(LIMIT_VALUE_BYTES + 1);
    assert_non_null(text);
    memset(text, 'x', LIMIT_VALUE_BYTES + 1);
    buf b;
    wire w;
    for (int over = 0; over <= 1; over++) {
        for (int blob = 0; blob <= 1; blob++) {
            value v =
                blob ? value_blob(text, LIMIT_VALUE_BYTES + (size_t)over) : value_text(text, LIMIT_VALUE_BYTES + (size_t)over);
            buf_init(&b, 0);
            wire_put_value(&b, &v);
            wire_open(&w, b.p, b.n);
            value got = wire_get_value(&w);
            assert_int_equal(wire_close(&w), over ? SATCHEL_E_LIMIT : SATCHEL_OK);
            assert_int_equal(got.type, over ? VALUE_ABSENT : v.type);
            buf_fini(&b);
        }
    }
    free(text);
}

static void get_text_views_input(void **state) {
    (void)state;
    wire w = WIRE(0x62, 'h', 'i', 0x60, 0x40);
    size_t n;
    const char *p = wire_get_text(&w, 2, &n);
    assert_int_equal(n, 2);
    assert_memory_equal(p, "hi", 2);
    assert_non_null(wire_get_text(&w, 0, &n));
    assert_int_equal(n, 0);
    assert_non_null(wire_get_bytes(&w, 0, &n));
    assert_int_equal(wire_close(&w), SATCHEL_OK);
}

static void get_text_longer_than_max_limit(void **state) {
    (void)state;
    wire w = WIRE(0x62, 'h', 'i');
    size_t n = 7;
    assert_null(wire_get_text(&w, 1, &n));
    assert_int_equal(n, 0);
    assert_int_equal(w.rc, SATCHEL_E_LIMIT);
}

static void get_bytes_of_text_malformed(void **state) {
    (void)state;
    wire w = WIRE(0x62, 'h', 'i');
    size_t n;
    assert_null(wire_get_bytes(&w, 9, &n));
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
}

static void get_exact_other_length_malformed(void **state) {
    (void)state;
    uint8_t out[3] = {9, 9, 9};
    wire w = WIRE(0x43, 1, 2, 3, 0x42, 1, 2);
    wire_get_exact(&w, out, 3);
    assert_memory_equal(out, "\1\2\3", 3);
    wire_get_exact(&w, out, 3);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    assert_memory_equal(out, "\0\0\0", 3);
}

static void put_text_not_utf8_refused(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    wire_put_text(&b, "\xff", 1);
    assert_int_equal(b.rc, SATCHEL_E_UTF8);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
}

static void put_value_absent_misuse(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    wire_put_value(&b, &(value){.type = VALUE_ABSENT});
    assert_int_equal(b.rc, SATCHEL_E_MISUSE);
    buf_fini(&b);
}

static void put_fills_buffer_to_its_maximum(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 3);
    wire_put_uint(&b, 1000);
    assert_bytes(&b, "\x19\x03\xe8", 3);
    wire_put_null(&b);
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    buf_fini(&b);
}

static void get_array_counts_bounded(void **state) {
    (void)state;
    wire w = WIRE(0x82, 1, 2);
    assert_int_equal(wire_get_array(&w, 2), 2);
    w = WIRE(0x82, 1, 2);
    assert_int_equal(wire_get_array(&w, 1), 0);
    assert_int_equal(w.rc, SATCHEL_E_LIMIT);
    w = WIRE(0x83, 1, 2);
    assert_int_equal(wire_get_array(&w, 9), 0);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    w = WIRE(0x82, 1, 2);
    wire_expect_array(&w, 3);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    w = WIRE(0x82, 1, 2);
    wire_expect_array(&w, 2);
    assert_int_equal(w.rc, SATCHEL_OK);
}

static void get_bool_and_null(void **state) {
    (void)state;
    wire w = WIRE(0xf5, 0xf4, 0xf6, 0x00);
    assert_false(wire_skip_null(&w));
    assert_true(wire_get_bool(&w));
    assert_false(wire_get_bool(&w));
    assert_true(wire_skip_null(&w));
    assert_false(wire_skip_null(&w));
    assert_false(wire_get_bool(&w));
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
}

static void every_getter_after_error_is_silent(void **state) {
    (void)state;
    uint8_t out[2] = {1, 1};
    size_t n;
    wire w = WIRE(0x01, 0x41, 7);
    w.rc = SATCHEL_E_UTF8;
    const uint8_t *before = w.p;
    assert_int_equal(wire_get_uint(&w), 0);
    assert_int_equal(wire_get_uint_max(&w, 0), 0);
    assert_int_equal(wire_get_int(&w), 0);
    assert_null(wire_get_bytes(&w, 9, &n));
    assert_null(wire_get_text(&w, 9, &n));
    wire_get_exact(&w, out, 2);
    assert_memory_equal(out, "\0\0", 2);
    assert_int_equal(wire_get_array(&w, 9), 0);
    wire_expect_array(&w, 1);
    assert_false(wire_get_bool(&w));
    assert_false(wire_skip_null(&w));
    assert_int_equal(wire_get_value(&w).type, VALUE_ABSENT);
    wire_skip(&w);
    assert_int_equal(wire_close(&w), SATCHEL_E_UTF8);
    assert_ptr_equal(w.p, before);
}

static void every_putter_after_error_keeps_it(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    b.rc = SATCHEL_E_RANGE;
    wire_put_uint(&b, 1);
    wire_put_int(&b, -1);
    wire_put_real(&b, 0.1);
    wire_put_bytes(&b, "x", 1);
    wire_put_text(&b, "\xff", 1);
    wire_put_array(&b, 1);
    wire_put_bool(&b, true);
    wire_put_null(&b);
    wire_put_value(&b, &(value){.type = VALUE_ABSENT});
    assert_int_equal(b.rc, SATCHEL_E_RANGE);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
}

static void get_exact_of_nothing_reads_the_empty_string(void **state) {
    (void)state;
    uint8_t out = 9;
    wire w = WIRE(0x40);
    wire_get_exact(&w, &out, 0);
    assert_int_equal(wire_close(&w), SATCHEL_OK);
    assert_int_equal(out, 9);
}

/* The first error of a head stands, whatever is asked for. */
static void get_value_bad_head_named(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[9];
        size_t n;
        int rc;
    } at[] = {{{0}, 0, SATCHEL_E_MALFORMED},
              {{0x18, 0x17}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0x58, 0x01, 0x00}, 3, SATCHEL_E_NOT_DETERMINISTIC},
              {{0x78, 0x00}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0x98, 0x00}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0x5f, 0xff}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0x7f, 0xff}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0x9f, 0xff}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0xbf, 0xff}, 2, SATCHEL_E_NOT_DETERMINISTIC},
              {{0xa0}, 1, SATCHEL_E_MALFORMED},
              {{0xc1, 0x00}, 2, SATCHEL_E_MALFORMED},
              {{0xf7}, 1, SATCHEL_E_MALFORMED},
              {{0xe0}, 1, SATCHEL_E_MALFORMED},
              {{0xf8, 0xff}, 2, SATCHEL_E_MALFORMED},
              {{0xf8, 0x14}, 2, SATCHEL_E_MALFORMED},
              {{0x1c}, 1, SATCHEL_E_MALFORMED},
              {{0x3e}, 1, SATCHEL_E_MALFORMED},
              {{0x1f}, 1, SATCHEL_E_MALFORMED},
              {{0x5d}, 1, SATCHEL_E_MALFORMED},
              {{0xfc}, 1, SATCHEL_E_MALFORMED},
              {{0xff}, 1, SATCHEL_E_MALFORMED},
              {{0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 9, SATCHEL_E_MALFORMED},
              {{0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf7}, 9, SATCHEL_E_MALFORMED},
              {{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 9, SATCHEL_E_MALFORMED}};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        wire w = wire_over(at[i].bytes, at[i].n);
        wire_get_value(&w);
        assert_int_equal(w.rc, at[i].rc);
    }
}

static void skip_item_leaves_the_next(void **state) {
    (void)state;
    wire w = WIRE(0x83, 0x01, 0x82, 0x80, 0x61, 'x', 0xf6, 0x07);
    wire_skip(&w);
    assert_int_equal(wire_get_uint(&w), 7);
    assert_int_equal(wire_close(&w), SATCHEL_OK);
}

/* A million arrays in one another cost neither stack nor memory. */
static void skip_deep_nesting_bounded(void **state) {
    (void)state;
    size_t n = 1 << 20;
    uint8_t *deep = malloc(n);
    assert_non_null(deep);
    memset(deep, 0x81, n);
    wire w;
    wire_open(&w, deep, n);
    wire_skip(&w);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    deep[n - 1] = 0x80;
    wire_open(&w, deep, n);
    wire_skip(&w);
    assert_int_equal(wire_close(&w), SATCHEL_OK);
    free(deep);
}

/* stack.md's bomb: nine bytes that promise 2^61 items; and counts that would overflow a sum. */
static void skip_huge_counts_refused(void **state) {
    (void)state;
    wire w = WIRE(0x9b, 0x20, 0, 0, 0, 0, 0, 0, 0);
    wire_skip(&w);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    w = WIRE(0x82, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00);
    wire_skip(&w);
    assert_int_equal(w.rc, SATCHEL_E_MALFORMED);
    w = WIRE(0x9f, 0x01, 0xff);
    wire_skip(&w);
    assert_int_equal(w.rc, SATCHEL_E_NOT_DETERMINISTIC);
}

static void close_with_bytes_left_malformed(void **state) {
    (void)state;
    wire w = WIRE(0x01, 0x02);
    wire_get_uint(&w);
    assert_int_equal(wire_close(&w), SATCHEL_E_MALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_uint_each_width_shortest),
        cmocka_unit_test(put_int_each_width_shortest),
        cmocka_unit_test(get_int_outside_64_bits_malformed),
        cmocka_unit_test(get_uint_max_above_limit),
        cmocka_unit_test(put_real_every_half_survives),
        cmocka_unit_test(put_real_shortest_that_keeps_value),
        cmocka_unit_test(put_real_nan_is_null),
        cmocka_unit_test(get_value_negative_zero_survives),
        cmocka_unit_test(get_value_string_of_limit),
        cmocka_unit_test(get_text_views_input),
        cmocka_unit_test(get_text_longer_than_max_limit),
        cmocka_unit_test(get_bytes_of_text_malformed),
        cmocka_unit_test(get_exact_other_length_malformed),
        cmocka_unit_test(put_text_not_utf8_refused),
        cmocka_unit_test(put_value_absent_misuse),
        cmocka_unit_test(put_fills_buffer_to_its_maximum),
        cmocka_unit_test(get_array_counts_bounded),
        cmocka_unit_test(get_bool_and_null),
        cmocka_unit_test(every_getter_after_error_is_silent),
        cmocka_unit_test(every_putter_after_error_keeps_it),
        cmocka_unit_test(get_exact_of_nothing_reads_the_empty_string),
        cmocka_unit_test(get_value_bad_head_named),
        cmocka_unit_test(skip_item_leaves_the_next),
        cmocka_unit_test(skip_deep_nesting_bounded),
        cmocka_unit_test(skip_huge_counts_refused),
        cmocka_unit_test(close_with_bytes_left_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
