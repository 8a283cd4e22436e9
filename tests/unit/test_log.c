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

#include "protocol/satchel_rc.h"
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
    log_flush();
    log_open(LOG_TEXT, LOG_LEVEL_INFO);
    return fclose(*state);
}

static void line_as_text_has_time_level_device_and_words(void **state) {
    log_line('w', "till-07", "%d of %s", 3, "them");
    char *text = written(*state);
    assert_memory_equal(text + 4, "-", 1);
    assert_non_null(strstr(text, "Z warn 3 of them device=till-07\n"));
    log_line('i', NULL, "no device");
    assert_non_null(strstr(written(*state), "Z info no device\n"));
}

static void line_with_control_characters_stays_one_line(void **state) {
    log_line('e', "a\nb", "x\ny\033[2Jz\r\t");
    char *text = written(*state);
    assert_int_equal(strchr(text, '\n') - text, strlen(text) - 1);
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "error x y [2Jz   device=\"a b\""));
}

static void line_as_json_is_an_object_even_of_broken_text(void **state) {
    char big[8192];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    log_open(LOG_JSON, LOG_LEVEL_INFO);
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

static const log_fields refused = {.level = 'w', .event = "refused", .device = "till-07", .txn = 12, .rc = SATCHEL_E_CHECK};

static void event_as_text_has_its_fields_at_the_end(void **state) {
    log_event(&refused, "the amount is %d", -1);
    log_event(&(log_fields){.level = 'w', .event = "certificate-refused", .device = "a \"b\\", .peer = "::1"}, "no");
    char *text = written(*state);
    assert_non_null(strstr(text, "Z warn the amount is -1 event=refused device=till-07 txn=12 reason=E_CHECK\n"));
    assert_non_null(strstr(text, "Z warn no event=certificate-refused device=\"a \\\"b\\\\\" peer=::1\n"));
}

static void event_as_json_has_its_fields_as_members(void **state) {
    log_open(LOG_JSON, LOG_LEVEL_INFO);
    log_event(&refused, "the amount is %d", -1);
    json_t *o = json_loads(written(*state), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "event")), "refused");
    assert_string_equal(json_string_value(json_object_get(o, "device")), "till-07");
    assert_int_equal(json_integer_value(json_object_get(o, "txn")), 12);
    assert_string_equal(json_string_value(json_object_get(o, "reason")), "E_CHECK");
    assert_string_equal(json_string_value(json_object_get(o, "text")), "the amount is -1");
    assert_null(json_object_get(o, "peer"));
    json_decref(o);
}

static void line_below_the_level_is_dropped(void **state) {
    log_line('d', NULL, "hidden");
    log_open(LOG_TEXT, LOG_LEVEL_DEBUG);
    log_line('d', NULL, "shown");
    log_open(LOG_TEXT, LOG_LEVEL_WARN);
    log_line('i', NULL, "hidden too");
    log_line('e', NULL, "grave");
    assert_null(strstr(written(*state), "hidden"));
    assert_non_null(strstr(written(*state), "debug shown"));
    assert_non_null(strstr(written(*state), "error grave"));
}

static unsigned count(const char *text, const char *what) {
    unsigned n = 0;
    while ((text = strstr(text, what))) n++, text++;
    return n;
}

static void flood_of_one_event_of_one_device_is_bounded_and_counted(void **state) {
    log_fields flood = {.level = 'w', .event = "clamped", .device = "flood"}, other = flood;
    other.device = "other";
    for (int i = 0; i < LOG_BURST + 7; i++) log_event(&flood, "ahead");
    log_event(&other, "ahead");
    for (int i = 0; i < LOG_BURST + 7; i++) log_line('w', "flood", "no event");
    log_flush();
    log_flush();
    char *text = written(*state);
    assert_int_equal(count(text, "ahead event=clamped device=flood\n"), LOG_BURST);
    assert_int_equal(count(text, "device=other\n"), 1);
    assert_int_equal(count(text, "no event"), LOG_BURST + 7);
    assert_int_equal(count(text, "7 more lines of this kind were left out event=clamped device=flood\n"), 1);
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
        CASE(line_as_text_has_time_level_device_and_words),
        CASE(line_with_control_characters_stays_one_line),
        CASE(line_as_json_is_an_object_even_of_broken_text),
        CASE(event_as_text_has_its_fields_at_the_end),
        CASE(event_as_json_has_its_fields_as_members),
        CASE(line_below_the_level_is_dropped),
        CASE(flood_of_one_event_of_one_device_is_bounded_and_counted),
        cmocka_unit_test(time_of_milliseconds_is_iso_8601),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
