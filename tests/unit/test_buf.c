#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

static void buf_put_grows_and_keeps_content(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    for (unsigned i = 0; i < 100000; i++) buf_put_byte(&b, (uint8_t)(i * 7));
    assert_int_equal(b.rc, SATCHEL_OK);
    assert_int_equal(b.n, 100000);
    for (unsigned i = 0; i < 100000; i++) assert_int_equal(b.p[i], (uint8_t)(i * 7));
    buf_fini(&b);
    assert_null(b.p);
}

static void buf_put_of_nothing_into_empty_does_nothing(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    buf_put(&b, NULL, 0);
    buf_put(&b, "", 0);
    assert_int_equal(b.n, 0);
    assert_int_equal(b.rc, SATCHEL_OK);
    assert_non_null(buf_reserve(&b, 0));
    buf_fini(&b);
}

static void buf_put_up_to_max_fits_and_beyond_is_limit(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 10);
    buf_put(&b, "0123456789", 10);
    assert_int_equal(b.rc, SATCHEL_OK);
    buf_put_byte(&b, 'x');
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    assert_int_equal(b.n, 10);
    assert_true(b.cap <= 10);
    buf_fini(&b);
}

static void buf_error_is_sticky_until_clear(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 4);
    buf_put(&b, "12345", 5);
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    buf_put(&b, "1", 1);
    buf_put_varint(&b, 1);
    buf_printf(&b, "x");
    assert_null(buf_reserve(&b, 0));
    assert_int_equal(b.n, 0);
    buf_clear(&b);
    buf_put(&b, "1", 1);
    assert_int_equal(b.rc, SATCHEL_OK);
    assert_int_equal(b.n, 1);
    buf_fini(&b);
}

static void buf_reserve_of_absurd_size_is_limit(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    buf_put_byte(&b, 1);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    buf_clear(&b);
    assert_null(buf_reserve(&b, (size_t)LIMIT_BUF_BYTES + 1));
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    buf_fini(&b);
}

static void buf_reserve_room_is_writable_to_its_end(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    uint8_t *to = buf_reserve(&b, 5000);
    assert_non_null(to);
    memset(to, 0xaa, 5000);
    b.n += 5000;
    assert_int_equal(b.p[4999], 0xaa);
    buf_fini(&b);
}

static void buf_printf_appends_and_terminates(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    buf_put_byte(&b, '>');
    buf_printf(&b, "%s=%d", "n", 42);
    assert_int_equal(b.n, 5);
    assert_string_equal((char *)b.p, ">n=42");
    buf_fini(&b);
}

static void buf_printf_needs_room_for_its_zero_byte(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 4);
    buf_printf(&b, "abcd");
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    buf_clear(&b);
    buf_printf(&b, "abc");
    assert_int_equal(b.rc, SATCHEL_OK);
    assert_int_equal(b.n, 3);
    buf_fini(&b);
}

static void buf_printf_of_what_cannot_be_printed_is_told(void **state) {
    (void)state;
    static const wchar_t outside_the_locale[] = {0x20ac, 0};
    buf b;
    buf_init(&b, 0);
    buf_printf(&b, "%ls", outside_the_locale);
    assert_int_equal(b.rc, SATCHEL_E_INTERNAL);
    buf_fini(&b);
    buf_init(&b, 1);
    buf_put(&b, "12", 2);
    buf_printf(&b, "%ls", outside_the_locale);
    assert_int_equal(b.rc, SATCHEL_E_LIMIT); /* the first error stays */
    buf_fini(&b);
}

static void buf_varint_round_trips_at_every_length(void **state) {
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int around = -1; around <= 1; around++) {
            uint64_t v = (UINT64_C(1) << shift) + (uint64_t)(int64_t)around, got = 0;
            buf b;
            buf_init(&b, 0);
            buf_put_varint(&b, v);
            const uint8_t *p = b.p;
            assert_true(buf_get_varint(&p, b.p + b.n, &got));
            assert_true(got == v);
            assert_ptr_equal(p, b.p + b.n);
            buf_fini(&b);
        }
    }
}

static size_t varint_size(uint64_t v) {
    buf b;
    buf_init(&b, 0);
    buf_put_varint(&b, v);
    size_t n = b.n;
    buf_fini(&b);
    return n;
}

static void buf_varint_takes_seven_bits_a_byte(void **state) {
    (void)state;
    assert_int_equal(varint_size(0), 1);
    assert_int_equal(varint_size(127), 1);
    assert_int_equal(varint_size(128), 2);
    assert_int_equal(varint_size(UINT32_MAX), 5);
    assert_int_equal(varint_size(UINT64_MAX), 10);
}

static bool decodes(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    uint64_t v;
    return buf_get_varint(&p, (const uint8_t *)bytes + n, &v);
}

static void buf_get_varint_truncated_fails_at_every_cut(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    buf_put_varint(&b, UINT64_MAX);
    for (size_t n = 0; n < b.n; n++) assert_false(decodes(b.p, n));
    assert_true(decodes(b.p, b.n));
    buf_fini(&b);
}

static void buf_get_varint_over_64_bits_fails(void **state) {
    (void)state;
    assert_false(decodes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
    assert_false(decodes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11));
    assert_false(decodes("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11));
    assert_true(decodes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_put_grows_and_keeps_content),
        cmocka_unit_test(buf_put_of_nothing_into_empty_does_nothing),
        cmocka_unit_test(buf_put_up_to_max_fits_and_beyond_is_limit),
        cmocka_unit_test(buf_error_is_sticky_until_clear),
        cmocka_unit_test(buf_reserve_of_absurd_size_is_limit),
        cmocka_unit_test(buf_reserve_room_is_writable_to_its_end),
        cmocka_unit_test(buf_printf_appends_and_terminates),
        cmocka_unit_test(buf_printf_needs_room_for_its_zero_byte),
        cmocka_unit_test(buf_printf_of_what_cannot_be_printed_is_told),
        cmocka_unit_test(buf_varint_round_trips_at_every_length),
        cmocka_unit_test(buf_varint_takes_seven_bits_a_byte),
        cmocka_unit_test(buf_get_varint_truncated_fails_at_every_cut),
        cmocka_unit_test(buf_get_varint_over_64_bits_fails),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
