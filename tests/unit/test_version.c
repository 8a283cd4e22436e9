/* The version that a device tells of its Satchel library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/version.h"

static unsigned parse(const char *text) {
    return version_parse(text, strlen(text));
}

static unsigned of(const char *software) {
    return version_of_software(software, strlen(software));
}

static void parse_takes_three_numbers_that_order_as_versions_do(void **state) {
    (void)state;
    static const char *const ascending[] = {"0.0.1", "0.1.0",    "0.1.9", "0.1.10",        "0.2.0",
                                            "1.0.0", "1.0.1023", "1.1.0", "1023.1023.1023"};
    char text[VERSION_TEXT_BYTES];
    for (size_t i = 0; i < sizeof ascending / sizeof *ascending; i++) {
        version_text(parse(ascending[i]), text);
        assert_string_equal(text, ascending[i]);
        if (i) assert_true(parse(ascending[i - 1]) < parse(ascending[i]));
    }
}

static void parse_of_anything_else_is_none(void **state) {
    (void)state;
    static const char *const others[] = {"",
                                         "0.0.0",
                                         "1",
                                         "1.2",
                                         "1.2.",
                                         "1.2.3.",
                                         "1.2.3.4",
                                         "1.2.3-rc1",
                                         " 1.2.3",
                                         "1.2.x",
                                         "1..2",
                                         "1.2.1024",
                                         "99999999999999999999.1.1",
                                         "-1.2.3",
                                         "satchel/1.2.3"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_int_equal(parse(others[i]), 0);
}

static void version_of_software_is_that_of_the_last_satchel_it_names(void **state) {
    (void)state;
    assert_int_equal(of("satchel/0.1.0"), parse("0.1.0"));
    assert_int_equal(of("acme-crm/2.1 satchel/0.1.0"), parse("0.1.0"));
    assert_int_equal(of("satchel/9.9.9 satchel/0.1.0"), parse("0.1.0"));
    assert_int_equal(of("satchel/0.2.0-rc1"), parse("0.2.0"));
    assert_int_equal(version_of_software("satchel/0.1.23", 13), parse("0.1.2"));
    static const char *const none[] = {
        "", "test", "satchel", "satchel/", "satchel/1.2", "satchel-load/0.1.0", "my-satchel/0.1.0", "Satchel/0.1.0"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_int_equal(of(none[i]), 0);
}

/* "products|platform", and none as "-". */
static const char *divided(const char *software) {
    static char text[100];
    const char *platform = "";
    size_t nplatform, n = version_products(software, strlen(software), &platform, &nplatform);
    snprintf(text, sizeof text, "%.*s|%.*s", (int)n, software, nplatform ? (int)nplatform : 1, nplatform ? platform : "-");
    return text;
}

static void version_products_end_before_the_comment_that_is_last(void **state) {
    (void)state;
    assert_string_equal(divided("acme/2.1 satchel/0.1.0 (Linux 6.1; x86_64)"), "acme/2.1 satchel/0.1.0|Linux 6.1; x86_64");
    assert_string_equal(divided("acme/2.1 (beta) satchel/0.1.0 (Linux)"), "acme/2.1 (beta) satchel/0.1.0|Linux");
    assert_string_equal(divided("acme/2.1 (beta) satchel/0.1.0"), "acme/2.1 (beta) satchel/0.1.0|-");
    assert_string_equal(divided("(Linux)"), "|Linux");
    assert_string_equal(divided("satchel/0.1.0 ()"), "satchel/0.1.0|-");
    static const char *const whole[] = {"", ")", "a)", "satchel/0.1.0", "satchel/0.1.0(Linux)", "satchel/0.1.0 (Linux) ", "a (b"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        char wanted[100];
        snprintf(wanted, sizeof wanted, "%s|-", whole[i]);
        assert_string_equal(divided(whole[i]), wanted);
    }
    assert_int_equal(of("acme/2.1 satchel/0.1.0 (Linux 6.1; x86_64)"), parse("0.1.0"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_takes_three_numbers_that_order_as_versions_do),
        cmocka_unit_test(parse_of_anything_else_is_none),
        cmocka_unit_test(version_of_software_is_that_of_the_last_satchel_it_names),
        cmocka_unit_test(version_products_end_before_the_comment_that_is_last),
    };
    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
