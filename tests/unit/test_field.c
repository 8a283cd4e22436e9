/* field.h: what people write in CSV, by the column's type. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/field.h"

static void read_as(affinity a, const char *text, const char *literal) {
    schema_column c = {.name = (char *)(uintptr_t) "c", .affinity = a};
    buf hold = {0}, out = {0};
    value v;
    const char *words = NULL;
    int rc = field_of_text(&c, text, strlen(text), &hold, &v, &words);
    if (literal) {
        assert_int_equal(rc, SATCHEL_OK);
        value_put_literal(&out, &v);
        buf_put_byte(&out, 0);
        assert_string_equal((const char *)out.p, literal);
    } else {
        assert_int_equal(rc, SATCHEL_E_TYPE);
        assert_non_null(words);
    }
    buf_fini(&hold);
    buf_fini(&out);
}

static void integers_are_whole_numbers_of_64_bits(void **state) {
    (void)state;
    read_as(AFFINITY_INTEGER, "0", "0");
    read_as(AFFINITY_INTEGER, "-9223372036854775808", "-9223372036854775808");
    read_as(AFFINITY_INTEGER, "+9223372036854775807", "9223372036854775807");
    read_as(AFFINITY_INTEGER, "", "NULL");
    static const char *const WRONG[] = {"9223372036854775808", "1.0", "1e3", " 1", "1 ", "0x10", "-", "ten", "1,000"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) read_as(AFFINITY_INTEGER, WRONG[i], NULL);
}

static void reals_are_decimal_numbers(void **state) {
    (void)state;
    read_as(AFFINITY_REAL, "0.5", "0.5");
    read_as(AFFINITY_REAL, "-1e-3", "-0.001");
    read_as(AFFINITY_REAL, "7", "7");
    read_as(AFFINITY_NUMERIC, ".5", "0.5");
    read_as(AFFINITY_NUMERIC, "2026-12-31", "'2026-12-31'");
    read_as(AFFINITY_NUMERIC, "2026-12-31 23:59:00", "'2026-12-31 23:59:00'");
    read_as(AFFINITY_NUMERIC, "2026-12-3", NULL);
    read_as(AFFINITY_NUMERIC, "2026-12-31x", NULL);
    read_as(AFFINITY_NUMERIC, "ten", NULL);
    read_as(AFFINITY_REAL, "2026-12-31", NULL);
    read_as(AFFINITY_REAL, "", "NULL");
    static const char *const WRONG[] = {"nan", "inf", "0x1p3", "1.2.3", "e", ".", "1e", "one", "1 "};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) read_as(AFFINITY_REAL, WRONG[i], NULL);
}

static void infinity_is_1e999(void **state) {
    (void)state;
    schema_column c = {.affinity = AFFINITY_REAL};
    buf hold = {0};
    value v;
    const char *words;
    assert_int_equal(field_of_text(&c, "-1e999", 6, &hold, &v, &words), SATCHEL_OK);
    assert_true(isinf(v.u.r) && v.u.r < 0);
    buf_fini(&hold);
}

static void blobs_are_base64_hexadecimal_or_uuid(void **state) {
    (void)state;
    read_as(AFFINITY_BLOB, "AQI=", "x'0102'");
    read_as(AFFINITY_BLOB, "//79", "x'fffefd'");
    read_as(AFFINITY_BLOB, "x'0aFF'", "x'0aff'");
    read_as(AFFINITY_BLOB, "x''", "x''");
    read_as(AFFINITY_BLOB, "018cc251-f400-7000-8000-00000039611e", "x'018cc251f4007000800000000039611e'");
    read_as(AFFINITY_BLOB, "", "NULL");
    static const char *const WRONG[] = {"A",   "AQ=", "AQ I=", "x'0'", "x'0g'", "AQI=\n", "018cc251-f400-7000-8000-00000039611g",
                                        "%%%%"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) read_as(AFFINITY_BLOB, WRONG[i], NULL);
}

static void texts_are_themselves(void **state) {
    (void)state;
    read_as(AFFINITY_TEXT, "12", "'12'");
    read_as(AFFINITY_TEXT, "", "''");
    read_as(AFFINITY_TEXT, "x'00'", "'x''00'''");
}

static void untyped_columns_take_numbers_literals_and_texts(void **state) {
    (void)state;
    read_as(AFFINITY_ANY, "12", "12");
    read_as(AFFINITY_ANY, "1.5", "1.5");
    read_as(AFFINITY_ANY, "'12'", "'12'");
    read_as(AFFINITY_ANY, "'it''s'", "'it''s'");
    read_as(AFFINITY_ANY, "'it's'", "'''it''s'''");
    read_as(AFFINITY_ANY, "x'00ff'", "x'00ff'");
    read_as(AFFINITY_ANY, "x'0'", "'x''0'''");
    read_as(AFFINITY_ANY, "word", "'word'");
    read_as(AFFINITY_ANY, "", "''");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_whole_numbers_of_64_bits),
        cmocka_unit_test(reals_are_decimal_numbers),
        cmocka_unit_test(infinity_is_1e999),
        cmocka_unit_test(blobs_are_base64_hexadecimal_or_uuid),
        cmocka_unit_test(texts_are_themselves),
        cmocka_unit_test(untyped_columns_take_numbers_literals_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
