/* The head of an HTTP response: what is read from it, and that nothing odd passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "replica/http1.h"

static const char upgrade[] =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive , Upgrade\r\nX:\r\n"
    "Sec-WebSocket-Accept:  abc= \t\r\n\r\nbody";

static void http1_parse_whole_head_gives_status_length_and_end(void **state) {
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
    http1_head h;
    assert_int_equal(http1_parse(text, strlen(text), &h), 1);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.content_length, 12);
    assert_int_equal(h.bytes, strlen(text));
    assert_int_equal(http1_parse(upgrade, strlen(upgrade), &h), 1);
    assert_int_equal(h.status, 101);
    assert_true(h.content_length == HTTP1_NO_LENGTH);
    assert_string_equal(upgrade + h.bytes, "body");
}

static void http1_parse_cut_anywhere_waits_for_more(void **state) {
    (void)state;
    http1_head h;
    size_t whole = strlen(upgrade) - 4;
    for (size_t n = 0; n < whole; n++) {
        char *copy = malloc(n ? n : 1); /* of exactly n bytes, for the sanitizer */
        memcpy(copy, upgrade, n);
        assert_int_equal(http1_parse(copy, n, &h), 0);
        free(copy);
    }
}

static void http1_has_token_finds_list_members_in_any_case(void **state) {
    (void)state;
    http1_head h;
    assert_int_equal(http1_parse(upgrade, strlen(upgrade), &h), 1);
    assert_true(http1_has_token(&h, "Connection", "upgrade"));
    assert_true(http1_has_token(&h, "CONNECTION", "Keep-Alive"));
    assert_true(http1_has_token(&h, "Upgrade", "websocket"));
    assert_false(http1_has_token(&h, "Connection", "up"));
    assert_false(http1_has_token(&h, "Connectio", "upgrade"));
    assert_false(http1_has_token(&h, "X", "x"));
    assert_true(http1_is(&h, "sec-websocket-accept", "abc="));
    assert_false(http1_is(&h, "sec-websocket-accept", "ABC="));
    assert_true(http1_is(&h, "x", ""));
    assert_false(http1_is(&h, "y", ""));
}

static void http1_is_header_twice_is_not_it(void **state) {
    (void)state;
    static const char text[] = "HTTP/1.1 101 x\r\nA: 1\r\nA: 1\r\n\r\n";
    http1_head h;
    assert_int_equal(http1_parse(text, strlen(text), &h), 1);
    assert_false(http1_is(&h, "A", "1"));
}

static void http1_copy_gives_the_first_value_whole_or_none(void **state) {
    (void)state;
    static const char text[] = "HTTP/1.1 400 x\r\nA: one\r\nEmpty:\r\na: two\r\n\r\n";
    char value[4] = "?";
    http1_head h;
    assert_int_equal(http1_parse(text, strlen(text), &h), 1);
    assert_true(http1_copy(&h, "a", value, sizeof value));
    assert_string_equal(value, "one");
    assert_false(http1_copy(&h, "A", value, sizeof value - 1));
    assert_false(http1_copy(&h, "B", value, sizeof value));
    assert_true(http1_copy(&h, "empty", value, 1));
    assert_string_equal(value, "");
}

static void http1_parse_odd_heads_are_malformed(void **state) {
    (void)state;
    static const char *const odd[] = {
        "\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 99 x\r\n\r\n",
        "HTTP/1.1 600 x\r\n\r\n",
        "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 20x OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : blank\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: folded\r\n line\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: bare\nB: feed\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    };
    http1_head h;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (http1_parse(odd[i], strlen(odd[i]), &h) != SATCHEL_E_MALFORMED) fail_msg("%zu: %s", i, odd[i]);
}

static void http1_parse_head_without_end_is_malformed_at_the_limit(void **state) {
    (void)state;
    char *text = malloc(HTTP1_HEAD_BYTES);
    http1_head h;
    memset(text, 'x', HTTP1_HEAD_BYTES);
    assert_int_equal(http1_parse(text, HTTP1_HEAD_BYTES - 1, &h), 0);
    assert_int_equal(http1_parse(text, HTTP1_HEAD_BYTES, &h), SATCHEL_E_MALFORMED);
    free(text);
}

/* Damage to a good head may change its meaning, but reads nothing outside it. */
static void http1_parse_damaged_heads_stay_inside(void **state) {
    (void)state;
    unsigned seed = 1;
    size_t n = strlen(upgrade);
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(n);
        http1_head h;
        memcpy(copy, upgrade, n);
        for (int hits = 0; hits < 3; hits++) {
            seed = seed * 1664525u + 1013904223u;
            copy[seed / 65536u % n] = "\r\n:, \0HT1"[seed % 9u];
        }
        if (http1_parse(copy, n, &h) == 1) {
            assert_true(h.bytes <= n);
            http1_has_token(&h, "Connection", "upgrade");
            http1_is(&h, "Sec-WebSocket-Accept", "abc=");
        }
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_parse_whole_head_gives_status_length_and_end),
        cmocka_unit_test(http1_parse_cut_anywhere_waits_for_more),
        cmocka_unit_test(http1_has_token_finds_list_members_in_any_case),
        cmocka_unit_test(http1_is_header_twice_is_not_it),
        cmocka_unit_test(http1_copy_gives_the_first_value_whole_or_none),
        cmocka_unit_test(http1_parse_odd_heads_are_malformed),
        cmocka_unit_test(http1_parse_head_without_end_is_malformed_at_the_limit),
        cmocka_unit_test(http1_parse_damaged_heads_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
