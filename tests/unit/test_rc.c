#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

typedef struct entry {
    const char *name;
    int number;
    satchel_class class_;
} entry;

static const entry listed[] = {
#define X(name, number, class_, text) {#name, number, SATCHEL_CLASS_##class_},
    SATCHEL_RC_LIST(X)
#undef X
};
static const size_t count = sizeof listed / sizeof *listed;

/* The numbers travel on the wire and stand in log files: a second copy, so that renumbering one is no accident. */
static const struct {
    int rc;
    int number;
} pinned[] = {
    {SATCHEL_OK, 0},
    {SATCHEL_E_BUSY, -1},
    {SATCHEL_E_IO, -2},
    {SATCHEL_E_NETWORK, -3},
    {SATCHEL_E_TIMEOUT, -4},
    {SATCHEL_E_FULL, -5},
    {SATCHEL_E_OVERLOAD, -6},
    {SATCHEL_E_CLOSED, -7},
    {SATCHEL_E_SUPERSEDED, -8},
    {SATCHEL_E_PAUSED, -9},
    {SATCHEL_E_REVOKED, -20},
    {SATCHEL_E_CERTIFICATE, -21},
    {SATCHEL_E_EXPIRED, -22},
    {SATCHEL_E_ENROL_CODE, -23},
    {SATCHEL_E_ENROL_USED, -24},
    {SATCHEL_E_VERSION, -25},
    {SATCHEL_E_SCHEMA, -26},
    {SATCHEL_E_NOT_ENROLLED, -27},
    {SATCHEL_E_PIN, -28},
    {SATCHEL_E_READONLY, -29},
    {SATCHEL_E_WIPED, -30},
    {SATCHEL_E_AUTH, -32},
    {SATCHEL_E_ROLE, -33},
    {SATCHEL_E_UNKNOWN_TABLE, -40},
    {SATCHEL_E_UNKNOWN_COLUMN, -41},
    {SATCHEL_E_TYPE, -42},
    {SATCHEL_E_KEY_MISSING, -43},
    {SATCHEL_E_KEY_TAKEN, -44},
    {SATCHEL_E_ROW_MISSING, -45},
    {SATCHEL_E_NOT_NULL, -46},
    {SATCHEL_E_CHECK, -47},
    {SATCHEL_E_UNIQUE, -48},
    {SATCHEL_E_FOREIGN_KEY, -49},
    {SATCHEL_E_GUARD, -50},
    {SATCHEL_E_SERVER_OWNED, -51},
    {SATCHEL_E_APPEND_ONLY, -52},
    {SATCHEL_E_DEPENDS, -53},
    {SATCHEL_E_RANGE, -54},
    {SATCHEL_E_RESOLVED, -55},
    {SATCHEL_E_TOO_LARGE, -56},
    {SATCHEL_E_FORGOTTEN, -57},
    {SATCHEL_E_SCOPE, -58},
    {SATCHEL_E_MALFORMED, -70},
    {SATCHEL_E_ORDER, -71},
    {SATCHEL_E_LIMIT, -72},
    {SATCHEL_E_UTF8, -74},
    {SATCHEL_E_NOT_DETERMINISTIC, -75},
};

static void rc_numbers_are_negative_and_unique(void **state) {
    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_true(listed[i].number < 0);
        for (size_t j = 0; j < i; j++) assert_int_not_equal(listed[i].number, listed[j].number);
    }
}

static void rc_names_and_texts_are_unique(void **state) {
    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(satchel_rc_name(listed[i].number), satchel_rc_name(listed[j].number));
            assert_string_not_equal(satchel_rc_text(listed[i].number), satchel_rc_text(listed[j].number));
        }
    }
}

static void rc_numbers_of_the_wire_stay_as_pinned(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++) assert_int_equal(pinned[i].rc, pinned[i].number);
}

static void rc_name_of_listed_code_is_E_and_its_name(void **state) {
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const char *name = satchel_rc_name(listed[i].number);
        assert_memory_equal(name, "E_", 2);
        assert_string_equal(name + 2, listed[i].name);
    }
    assert_string_equal(satchel_rc_name(SATCHEL_OK), "OK");
}

static void rc_text_is_a_phrase_without_full_stop(void **state) {
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const char *text = satchel_rc_text(listed[i].number);
        assert_true(strlen(text) > 8);
        assert_true(text[0] >= 'a' && text[0] <= 'z');
        assert_true(text[strlen(text) - 1] != '.');
    }
}

static satchel_class class_of_range(int number) {
    if (number > -20) return SATCHEL_CLASS_RETRY;
    if (number > -40) return SATCHEL_CLASS_PERMANENT;
    if (number > -70) return SATCHEL_CLASS_REFUSED;
    if (number > -90) return SATCHEL_CLASS_PERMANENT;
    if (number > -110) return SATCHEL_CLASS_MISUSE;
    return SATCHEL_CLASS_FATAL;
}

static void rc_class_of_listed_code_is_that_of_its_range(void **state) {
    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(satchel_rc_class(listed[i].number), listed[i].class_);
        assert_int_equal(listed[i].class_, class_of_range(listed[i].number));
    }
    assert_int_equal(satchel_rc_class(SATCHEL_OK), SATCHEL_CLASS_OK);
}

static void rc_of_unknown_number_is_fatal_and_named(void **state) {
    (void)state;
    static const int unknown[] = {1, -19, -73, -9999, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_string_equal(satchel_rc_text(unknown[i]), "unknown error");
        assert_string_equal(satchel_rc_name(unknown[i]), "E_UNKNOWN");
        assert_int_equal(satchel_rc_class(unknown[i]), SATCHEL_CLASS_FATAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rc_numbers_are_negative_and_unique),      cmocka_unit_test(rc_names_and_texts_are_unique),
        cmocka_unit_test(rc_numbers_of_the_wire_stay_as_pinned),   cmocka_unit_test(rc_name_of_listed_code_is_E_and_its_name),
        cmocka_unit_test(rc_text_is_a_phrase_without_full_stop),   cmocka_unit_test(rc_class_of_listed_code_is_that_of_its_range),
        cmocka_unit_test(rc_of_unknown_number_is_fatal_and_named),
    };
    return cmocka_run_group_tests_name("rc", tests, NULL, NULL);
}
