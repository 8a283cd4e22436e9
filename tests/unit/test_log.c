/* A line of the log stays one line, whatever came from the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "server/log.h"

/* Standard error goes to a file during a test; returns what was written since. */
static char *written(FILE *to) {
    static char text[16384];
    fflush(stderr);
    rewind(to);
    text[fread(text, 1, sizeof text - 1, to)] = 0;
    return text;
}

static int redirect(void **state) {
    FILE *to = tmpfile();
    assert_non_null(to);
    assert_true(dup2(fileno(to), STDERR_FILENO) >= 0);
    *state = to;
    return 0;
}

static int restore(void **state) {
    log_open(LOG_TEXT);
    return fclose(*state);
}

static void line_as_text_has_time_level_device_and_words(void **state) {
    log_line('w', "till-07", "%d of %s", 3, "them");
    char *text = written(*state);
    assert_memory_equal(text + 4, "-", 1);
    assert_non_null(strstr(text, "Z warn [till-07] 3 of them\n"));
    log_line('i', NULL, "no device");
    assert_non_null(strstr(written(*state), "Z info no device\n"));
}

static void line_with_control_characters_stays_one_line(void **state) {
    log_line('e', "a\nb", "x\ny\033[2Jz\r\t");
    char *text = written(*state);
    assert_int_equal(strchr(text, '\n') - text, strlen(text) - 1);
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "error [a b] x y [2Jz"));
}

static void line_as_json_is_an_object_even_of_broken_text(void **state) {
    char big[8192];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    log_open(LOG_JSON);
    log_line('e', "Jürgen's \"till\"", "bad \xff\xfe bytes");
    log_line('i', NULL, "%s", big);
    char *text = written(*state), *second = strchr(text, '\n') + 1;
    json_t *o = json_loadb(text, (size_t)(second - text), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "device")), "Jürgen's \"till\"");
    assert_string_equal(json_string_value(json_object_get(o, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(o, "text")), "bad ?? bytes");
    json_decref(o);
    o = json_loads(second, 0, NULL);
    assert_null(json_object_get(o, "device"));
    assert_true(json_string_length(json_object_get(o, "text")) > 4000);
    json_decref(o);
}

static void line_of_debug_is_dropped_unless_asked_for(void **state) {
    log_line('d', NULL, "hidden");
    log_debug(1);
    log_line('d', NULL, "shown");
    log_debug(0);
    assert_null(strstr(written(*state), "hidden"));
    assert_non_null(strstr(written(*state), "debug shown"));
}

static void time_of_milliseconds_is_iso_8601(void **state) {
    (void)state;
    char text[32];
    log_time(1790000000123ull, text);
    assert_string_equal(text, "2026-09-21T14:13:20.123Z");
    log_time(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, redirect, restore)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(line_as_text_has_time_level_device_and_words),  CASE(line_with_control_characters_stays_one_line),
        CASE(line_as_json_is_an_object_even_of_broken_text), CASE(line_of_debug_is_dropped_unless_asked_for),
        cmocka_unit_test(time_of_milliseconds_is_iso_8601),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
