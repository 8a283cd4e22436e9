#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/clock.h"
#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"

#define NOW UINT64_C(1795341600000)

static field_clock at(uint64_t ms, uint32_t author, uint64_t seq) {
    return (field_clock){.stamp = hlc_of_ms(NOW + ms), .author = author, .seq = seq};
}

static void assert_clock(field_clock got, field_clock expected) {
    assert_int_equal(got.stamp, expected.stamp);
    assert_int_equal(got.author, expected.author);
    assert_int_equal(got.seq, expected.seq);
}

static void round_trip(const row_clock *in, row_clock *out) {
    buf b;
    buf_init(&b, 0);
    clock_encode(in, &b);
    assert_int_equal(clock_decode(out, b.p, b.n), SATCHEL_OK);
    buf_fini(&b);
}

static size_t encoded_size(const row_clock *c) {
    buf b;
    buf_init(&b, 0);
    clock_encode(c, &b);
    size_t n = b.n;
    buf_fini(&b);
    return n;
}

static void clock_encode_has_the_documented_bytes(void **state) {
    (void)state;
    row_clock c;
    clock_init(&c, (field_clock){.stamp = 0x0102030405060708, .author = 3, .seq = 300});
    assert_int_equal(clock_set(&c, 7, (field_clock){.stamp = 0x0102030405060709, .author = 200, .seq = 299}), SATCHEL_OK);
    static const uint8_t expected[] = {
        1, 2, 3,    4,    5, 6, 7, 8, 3, 0xac, 0x02, /* base */
        7, 2, 0xc8, 0x01, 1,                         /* unit 7: stamp +1, author 200, seq -1 */
    };
    buf b;
    buf_init(&b, 0);
    clock_encode(&c, &b);
    assert_int_equal(b.n, sizeof expected);
    assert_memory_equal(b.p, expected, sizeof expected);
    buf_fini(&b);
}

static void clock_encode_row_without_overrides_is_at_most_13_bytes(void **state) {
    (void)state;
    row_clock c;
    clock_init(&c, at(0, 5, 1));
    assert_int_equal(encoded_size(&c), 10);
    clock_init(&c, at(0, 127, 200000000));
    assert_int_equal(encoded_size(&c), 13);
    clock_init(&c, at(0, 16383, 2000000));
    assert_int_equal(encoded_size(&c), 13);
}

static void clock_encode_drops_an_override_equal_to_the_base(void **state) {
    (void)state;
    row_clock c, got;
    clock_init(&c, at(0, 1, 10));
    clock_set(&c, 2, at(1, 1, 11));
    clock_set(&c, 3, at(0, 1, 10));
    round_trip(&c, &got);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.over[0].unit, 2);
    assert_clock(clock_get(&got, 3), at(0, 1, 10));
}

static void clock_encode_keeps_an_override_that_differs_in_one_part(void **state) {
    (void)state;
    row_clock c, got;
    clock_init(&c, at(0, 1, 10));
    clock_set(&c, 2, at(1, 1, 10));
    clock_set(&c, 3, at(0, 2, 10));
    clock_set(&c, 4, at(0, 1, 11));
    round_trip(&c, &got);
    assert_int_equal(got.n, 3);
}

static void clock_set_and_get_keep_other_units(void **state) {
    (void)state;
    row_clock c;
    clock_init(&c, at(0, 1, 10));
    assert_int_equal(clock_set(&c, 9, at(3, 2, 12)), SATCHEL_OK);
    assert_int_equal(clock_set(&c, 4, at(2, 3, 11)), SATCHEL_OK);
    assert_int_equal(clock_set(&c, 9, at(5, 4, 13)), SATCHEL_OK);
    assert_int_equal(c.n, 2);
    assert_clock(clock_get(&c, 9), at(5, 4, 13));
    assert_clock(clock_get(&c, 4), at(2, 3, 11));
    assert_clock(clock_get(&c, 1), at(0, 1, 10));
    assert_clock(clock_get(&c, UINT32_MAX), at(0, 1, 10));
}

static void clock_set_beyond_limit_changes_nothing(void **state) {
    (void)state;
    row_clock c;
    clock_init(&c, at(0, 1, 10));
    for (uint32_t unit = 1; unit <= LIMIT_COLUMNS; unit++) assert_int_equal(clock_set(&c, unit, at(unit, 1, 11)), SATCHEL_OK);
    assert_int_equal(clock_set(&c, LIMIT_COLUMNS + 1, at(9, 1, 12)), SATCHEL_E_LIMIT);
    assert_int_equal(c.n, LIMIT_COLUMNS);
    assert_int_equal(clock_set(&c, 7, at(9, 1, 12)), SATCHEL_OK);
    assert_clock(clock_get(&c, 7), at(9, 1, 12));
    row_clock got;
    round_trip(&c, &got);
    assert_int_equal(got.n, LIMIT_COLUMNS);
}

static void clock_latest_is_the_highest_stamp_then_author(void **state) {
    (void)state;
    row_clock c;
    clock_init(&c, at(5, 1, 10));
    assert_clock(clock_latest(&c), at(5, 1, 10));
    clock_set(&c, 2, at(3, 9, 30));
    assert_clock(clock_latest(&c), at(5, 1, 10));
    clock_set(&c, 3, at(8, 2, 20));
    clock_set(&c, 4, at(8, 7, 19));
    clock_set(&c, 5, at(8, 4, 21));
    assert_clock(clock_latest(&c), at(8, 7, 19));
}

static void clock_compare_orders_by_stamp_then_author(void **state) {
    (void)state;
    field_clock a = at(1, 9, 1), b = at(2, 1, 1), c = at(2, 2, 1), d = at(2, 2, 99);
    assert_true(clock_compare(&a, &b) < 0 && clock_compare(&b, &a) > 0);
    assert_true(clock_compare(&b, &c) < 0 && clock_compare(&c, &b) > 0);
    assert_int_equal(clock_compare(&c, &d), 0);
}

static void clock_round_trip_of_extremes(void **state) {
    (void)state;
    row_clock c, got;
    clock_init(&c, (field_clock){.stamp = 0, .author = 0, .seq = INT64_MAX});
    clock_set(&c, 0, (field_clock){.stamp = HLC_MAX_STAMP, .author = UINT32_MAX, .seq = 0});
    clock_set(&c, UINT32_MAX, (field_clock){.stamp = HLC_MAX_STAMP, .author = UINT32_MAX, .seq = INT64_MAX});
    round_trip(&c, &got);
    assert_clock(got.base, c.base);
    assert_int_equal(got.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(got.over[i].unit, c.over[i].unit);
        assert_clock(got.over[i].c, c.over[i].c);
    }
}

static void assert_corrupt(const void *bytes, size_t n) {
    /* An allocation of exactly n bytes, so that the sanitizer sees a read beyond. */
    uint8_t *exact = malloc(n ? n : 1);
    row_clock c;
    memcpy(exact, bytes, n);
    assert_int_equal(clock_decode(&c, exact, n), SATCHEL_E_CORRUPT);
    free(exact);
}

#define BASE "\0\0\1\2\3\4\5\6\1\5"

static void clock_decode_of_bad_bytes_is_corrupt(void **state) {
    (void)state;
    row_clock c;
    assert_int_equal(clock_decode(&c, NULL, 0), SATCHEL_E_CORRUPT);
    assert_int_equal(clock_decode(&c, BASE, 10), SATCHEL_OK);
    assert_int_equal(clock_decode(&c,
                                  BASE "\2\2\1\2"
                                       "\3\2\1\2",
                                  18),
                     SATCHEL_OK);
    assert_corrupt(BASE "\3\2\1\2"
                        "\2\2\1\2",
                   18); /* units descend */
    assert_corrupt(BASE "\2\2\1\2"
                        "\2\2\1\2",
                   18);                                                             /* a unit twice */
    assert_corrupt("\x80\0\0\0\0\0\0\0\1\5", 10);                                   /* stamp of 2^63 */
    assert_corrupt("\0\0\1\2\3\4\5\6\x80\x80\x80\x80\x10\5", 14);                   /* author of 2^32 */
    assert_corrupt(BASE "\x80\x80\x80\x80\x10\2\1\2", 18);                          /* unit of 2^32 */
    assert_corrupt(BASE "\2\2\1\x0d", 14);                                          /* seq of 5 - 7 */
    assert_corrupt("\0\0\1\2\3\4\5\6\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\1", 19); /* seq of 2^63 */
}

static void clock_decode_truncated_is_corrupt_or_ends_between_overrides(void **state) {
    (void)state;
    static const char bytes[] = BASE "\2\2\1\2"
                                     "\3\2\1\2";
    for (size_t n = 0; n < 18; n++) {
        if (n == 10 || n == 14) continue;
        assert_corrupt(bytes, n);
    }
}

static void clock_decode_of_too_many_overrides_is_corrupt(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    buf_put(&b, BASE, 10);
    for (uint32_t unit = 0; unit <= LIMIT_COLUMNS; unit++) {
        buf_put_varint(&b, unit);
        buf_put(&b, "\2\1\2", 3);
    }
    assert_corrupt(b.p, b.n);
    buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_encode_has_the_documented_bytes),
        cmocka_unit_test(clock_encode_row_without_overrides_is_at_most_13_bytes),
        cmocka_unit_test(clock_encode_drops_an_override_equal_to_the_base),
        cmocka_unit_test(clock_encode_keeps_an_override_that_differs_in_one_part),
        cmocka_unit_test(clock_set_and_get_keep_other_units),
        cmocka_unit_test(clock_set_beyond_limit_changes_nothing),
        cmocka_unit_test(clock_latest_is_the_highest_stamp_then_author),
        cmocka_unit_test(clock_compare_orders_by_stamp_then_author),
        cmocka_unit_test(clock_round_trip_of_extremes),
        cmocka_unit_test(clock_decode_of_bad_bytes_is_corrupt),
        cmocka_unit_test(clock_decode_truncated_is_corrupt_or_ends_between_overrides),
        cmocka_unit_test(clock_decode_of_too_many_overrides_is_corrupt),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
