/* What the vectors cannot hold: large messages, writers' refusals, frames that zstd made. The content of each message is proved by
 * test_vectors.c, random content by property/codec_laws.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"

static const uint8_t empty_delta[] = {0x80};

static push_txn txn_of(uint64_t number) {
    return (push_txn){.number = number,
                      .id = {1, 2, 3, 4, 5, 6, 7, 8},
                      .stamp = 1000 + number,
                      .base = 10,
                      .schema_epoch = 1,
                      .last = true,
                      .delta = empty_delta,
                      .ndelta = sizeof empty_delta};
}

/* ---- messages ---- */

static void peek_tells_type_or_nothing(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 0);
    pull_encode(&(msg_pull){.cursor = 1}, &b);
    assert_int_equal(message_peek(b.p, b.n), MSG_PULL);
    assert_int_equal(message_peek(b.p, 1), 0);
    assert_int_equal(message_peek(b.p, 0), 0);
    assert_int_equal(message_peek("\x81\x00", 2), 0);
    assert_int_equal(message_peek("\x81\x0f", 2), 0);
    assert_int_equal(message_peek("\x0c", 1), 0);
    buf_fini(&b);
}

static void decode_other_type_malformed(void **state) {
    (void)state;
    buf b;
    msg_pull pull;
    buf_init(&b, 0);
    forked_encode(2, 7, &b);
    assert_int_equal(pull_decode(b.p, b.n, &pull), SATCHEL_E_MALFORMED);
    buf_fini(&b);
}

static void decode_message_over_limit(void **state) {
    (void)state;
    uint8_t *p = calloc(1, LIMIT_MESSAGE_BYTES + 1);
    assert_non_null(p);
    p[0] = 0x82;
    p[1] = MSG_RESULTS;
    results_reader r;
    assert_int_equal(results_open(&r, p, LIMIT_MESSAGE_BYTES + 1), SATCHEL_E_LIMIT);
    assert_int_equal(message_check(p, LIMIT_MESSAGE_BYTES + 1), SATCHEL_E_LIMIT);
    free(p);
}

static void hello_decode_other_version_told(void **state) {
    (void)state;
    buf b;
    msg_hello m = {.version = 2, .software = "x", .nsoftware = 1}, got;
    buf_init(&b, 0);
    assert_int_equal(hello_encode(&m, &b), SATCHEL_OK);
    assert_int_equal(hello_decode(b.p, b.n, &got), SATCHEL_E_VERSION);
    assert_int_equal(got.version, 2);
    buf_fini(&b);
}

static void hello_decode_truncated_at_each_byte_is_an_error(void **state) {
    (void)state;
    msg_hello m = {.version = PROTOCOL_VERSION,
                   .incarnation = 7,
                   .has_epoch = true,
                   .software = "test",
                   .nsoftware = 4,
                   .npast = 3,
                   .has_view = true,
                   .view = 1000,
                   .nwaiting = 2,
                   .waiting = {{.table = 3, .changes = 400}, {.table = 500, .changes = 1}},
                   .held_bytes = 300,
                   .room_bytes = 70000},
              got;
    for (unsigned i = 0; i < m.npast; i++) m.past[i].seq = 1000 * i;
    buf b;
    buf_init(&b, 0);
    assert_int_equal(hello_encode(&m, &b), SATCHEL_OK);
    assert_int_equal(hello_decode(b.p, b.n, &got), SATCHEL_OK);
    assert_int_equal(got.npast, 3);
    assert_int_equal(got.past[2].seq, 2000);
    assert_int_equal(got.view, 1000);
    assert_int_equal(got.nwaiting, 2);
    assert_memory_equal(got.waiting, m.waiting, 2 * sizeof *m.waiting);
    assert_int_equal(got.held_bytes, 300);
    assert_int_equal(got.room_bytes, 70000);
    for (size_t n = 0; n < b.n; n++) assert_int_equal(hello_decode(b.p, n, &got), SATCHEL_E_MALFORMED);
    buf_fini(&b);
}

static void schema_decode_migration_of_limit(void **state) {
    (void)state;
    char *sql = malloc(LIMIT_MIGRATION_BYTES + 1);
    assert_non_null(sql);
    memset(sql, ' ', LIMIT_MIGRATION_BYTES + 1);
    buf b;
    buf_init(&b, 0);
    for (size_t over = 0; over <= 1; over++) {
        msg_schema m = {.epoch = 1, .name = "a", .nname = 1, .sql = sql, .nsql = LIMIT_MIGRATION_BYTES + over}, got;
        buf_clear(&b);
        assert_int_equal(schema_encode(&m, &b), SATCHEL_OK);
        assert_int_equal(schema_decode(b.p, b.n, &got), over ? SATCHEL_E_LIMIT : SATCHEL_OK);
    }
    buf_fini(&b);
    free(sql);
}

static void error_encode_long_words_cut_between_characters(void **state) {
    (void)state;
    char text[LIMIT_TEXT_BYTES + 8];
    memset(text, 'x', sizeof text);
    memcpy(text + LIMIT_TEXT_BYTES - 1, "\xe2\x82\xac", 3);
    buf b;
    msg_error m = {.rc = SATCHEL_E_LIMIT, .text = text, .ntext = sizeof text}, got;
    buf_init(&b, 0);
    assert_int_equal(error_encode(&m, &b), SATCHEL_OK);
    assert_int_equal(error_decode(b.p, b.n, &got), SATCHEL_OK);
    assert_int_equal(got.rc, SATCHEL_E_LIMIT);
    assert_int_equal(got.ntext, LIMIT_TEXT_BYTES - 1);
    buf_fini(&b);
}

static void error_encode_words_of_no_character_cut_to_nothing(void **state) {
    (void)state;
    char text[LIMIT_TEXT_BYTES + 8];
    memset(text, '\x80', sizeof text);
    buf b;
    msg_error m = {.rc = SATCHEL_E_LIMIT, .text = text, .ntext = sizeof text}, got;
    buf_init(&b, 0);
    assert_int_equal(error_encode(&m, &b), SATCHEL_OK);
    assert_int_equal(error_decode(b.p, b.n, &got), SATCHEL_OK);
    assert_int_equal(got.ntext, 0);
    buf_fini(&b);
}

static void error_decode_code_of_later_version_kept(void **state) {
    (void)state;
    buf b;
    msg_error m = {.rc = -999, .text = "later", .ntext = 5}, got;
    buf_init(&b, 0);
    assert_int_equal(error_encode(&m, &b), SATCHEL_OK);
    assert_int_equal(error_decode(b.p, b.n, &got), SATCHEL_OK);
    assert_int_equal(got.rc, -999);
    buf_fini(&b);
}

/* ---- push ---- */

static void push_full_message_round_trips(void **state) {
    (void)state;
    push_writer w;
    push_reader r;
    push_txn t;
    buf b;
    buf_init(&b, 0);
    push_begin(&w, 3);
    for (uint64_t i = 1; i <= LIMIT_PUSH_TXNS; i++) {
        t = txn_of(i * i);
        push_put_txn(&w, &t);
    }
    assert_int_equal(push_finish(&w, &b), SATCHEL_OK);
    assert_int_equal(push_open(&r, b.p, b.n), SATCHEL_OK);
    assert_int_equal(r.incarnation, 3);
    for (uint64_t i = 1; i <= LIMIT_PUSH_TXNS; i++) {
        assert_int_equal(push_next(&r, &t), 1);
        assert_int_equal(t.number, i * i);
        assert_int_equal(t.stamp, 1000 + i * i);
        assert_int_equal(t.base, 10);
    }
    assert_int_equal(push_next(&r, &t), 0);
    buf_fini(&b);
}

static int finish_with(const push_txn *t, unsigned times) {
    push_writer w;
    buf b;
    buf_init(&b, 0);
    push_begin(&w, 1);
    for (unsigned i = 0; i < times; i++) {
        push_txn one = *t;
        one.number += i;
        push_put_txn(&w, &one);
    }
    int rc = push_finish(&w, &b);
    assert_true(rc == SATCHEL_OK || b.n == 0);
    buf_fini(&b);
    return rc;
}

static void push_put_txn_what_no_reader_takes_misuse(void **state) {
    (void)state;
    push_txn t = txn_of(1);
    assert_int_equal(finish_with(&t, LIMIT_PUSH_TXNS), SATCHEL_OK);
    assert_int_equal(finish_with(&t, LIMIT_PUSH_TXNS + 1), SATCHEL_E_MISUSE);
    t = txn_of(0);
    assert_int_equal(finish_with(&t, 1), SATCHEL_E_MISUSE);
    t = txn_of((uint64_t)INT64_MAX + 1);
    assert_int_equal(finish_with(&t, 1), SATCHEL_E_MISUSE);
    t = txn_of(1);
    t.stamp = UINT64_MAX;
    assert_int_equal(finish_with(&t, 1), SATCHEL_E_MISUSE);
    t = txn_of(1);
    t.base = UINT64_MAX;
    assert_int_equal(finish_with(&t, 1), SATCHEL_E_MISUSE);
    t = txn_of(1);
    t.ndelta = 0;
    assert_int_equal(finish_with(&t, 1), SATCHEL_E_MISUSE);
}

static void push_put_txn_after_error_keeps_it(void **state) {
    (void)state;
    push_writer w;
    buf out;
    buf_init(&out, 0);
    push_begin(&w, 1);
    w.body.rc = SATCHEL_E_NOMEM;
    push_put_txn(&w, &(push_txn){.number = 0}); /* no number, and no delta */
    assert_int_equal(push_finish(&w, &out), SATCHEL_E_NOMEM);
    assert_int_equal(out.n, 0);
    buf_fini(&out);
}

static void push_put_txn_descending_number_misuse(void **state) {
    (void)state;
    push_writer w;
    buf b;
    push_txn five = txn_of(5), four = txn_of(4);
    buf_init(&b, 0);
    push_begin(&w, 1);
    push_put_txn(&w, &five);
    push_put_txn(&w, &four);
    assert_int_equal(push_finish(&w, &b), SATCHEL_E_MISUSE);
    buf_fini(&b);
}

static void push_finish_over_message_limit(void **state) {
    (void)state;
    size_t n = LIMIT_VALUE_BYTES + 9;
    uint8_t *big = calloc(1, n);
    assert_non_null(big);
    push_writer w;
    buf b;
    buf_init(&b, 0);
    push_begin(&w, 1);
    for (uint64_t i = 1; i <= LIMIT_MESSAGE_BYTES / n + 1; i++) {
        push_txn t = txn_of(i);
        t.delta = big;
        t.ndelta = n;
        push_put_txn(&w, &t);
    }
    assert_int_equal(push_finish(&w, &b), SATCHEL_E_LIMIT);
    buf_fini(&b);
    free(big);
}

/* ---- results, losses ---- */

static void results_encode_long_words_cut(void **state) {
    (void)state;
    char text[LIMIT_TEXT_BYTES + 1];
    memset(text, 'x', sizeof text);
    buf b;
    results_reader r;
    msg_result m = {.number = 1, .rc = SATCHEL_E_CHECK, .text = text, .ntext = sizeof text}, got;
    buf_init(&b, 0);
    assert_int_equal(results_encode(&m, 1, &b), SATCHEL_OK);
    assert_int_equal(results_open(&r, b.p, b.n), SATCHEL_OK);
    assert_int_equal(results_next(&r, &got), 1);
    assert_int_equal(got.ntext, LIMIT_TEXT_BYTES);
    assert_int_equal(results_next(&r, &got), 0);
    buf_fini(&b);
}

static void results_encode_too_many_misuse(void **state) {
    (void)state;
    msg_result *all = calloc(LIMIT_RESULTS + 1, sizeof *all);
    msg_loss *losses = calloc(LIMIT_LOSSES + 1, sizeof *losses);
    assert_non_null(all);
    assert_non_null(losses);
    buf b;
    buf_init(&b, 0);
    assert_int_equal(results_encode(all, LIMIT_RESULTS + 1, &b), SATCHEL_E_MISUSE);
    assert_int_equal(losses_encode(losses, LIMIT_LOSSES + 1, &b), SATCHEL_E_MISUSE);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
    free(all);
    free(losses);
}

/* ---- frames ---- */

static void check_frame(const uint8_t *p, size_t n, bool smaller) {
    buf frame, message;
    buf_init(&frame, 0);
    buf_init(&message, 0);
    assert_int_equal(frame_pack(p, n, &frame), SATCHEL_OK);
    assert_true(smaller ? frame.n < n : frame.n == n);
    assert_int_equal(frame_unpack(frame.p, frame.n, &message), SATCHEL_OK);
    assert_int_equal(message.n, n);
    assert_memory_equal(message.p, p, n);
    buf_fini(&frame);
    buf_fini(&message);
}

static uint8_t *noise(size_t n) {
    uint8_t *p = malloc(n);
    assert_non_null(p);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)(x >> 32);
    }
    p[0] = 0x9b; /* a message begins with an array */
    return p;
}

static void pack_compresses_what_shrinks(void **state) {
    (void)state;
    uint8_t *zeros = calloc(1, LIMIT_MESSAGE_BYTES), *random = noise(LIMIT_FRAME_BYTES);
    assert_non_null(zeros);
    check_frame(zeros, 1, false);
    check_frame(zeros, 256, false);
    check_frame(zeros, 257, true);
    check_frame(zeros, LIMIT_PAGE_BYTES, true);
    check_frame(zeros, LIMIT_MESSAGE_BYTES, true);
    check_frame(random, 257, false);
    check_frame(random, LIMIT_FRAME_BYTES, false);
    free(zeros);
    free(random);
}

static void pack_over_limits_refused(void **state) {
    (void)state;
    uint8_t *zeros = calloc(1, LIMIT_MESSAGE_BYTES + 1), *random = noise(LIMIT_FRAME_BYTES + 1);
    assert_non_null(zeros);
    buf frame;
    buf_init(&frame, 0);
    assert_int_equal(frame_pack(zeros, LIMIT_MESSAGE_BYTES + 1, &frame), SATCHEL_E_LIMIT);
    assert_int_equal(frame_pack(random, LIMIT_FRAME_BYTES + 1, &frame), SATCHEL_E_LIMIT);
    assert_int_equal(frame_unpack(random, LIMIT_FRAME_BYTES + 1, &frame), SATCHEL_E_LIMIT);
    buf_fini(&frame);
    free(zeros);
    free(random);
}

/* Every place where a compressed frame may be cut, and every byte that may be damaged: refused, or some message of the announced size. */
static void unpack_damaged_frame_bounded(void **state) {
    (void)state;
    uint8_t text[2000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i % 7 * 31 + i / 100);
    buf frame, message;
    buf_init(&frame, 0);
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    assert_int_equal(frame_pack(text, sizeof text, &frame), SATCHEL_OK);
    assert_true(frame.n < sizeof text);
    for (size_t n = 4; n < frame.n; n++) assert_int_equal(frame_unpack(frame.p, n, &message), SATCHEL_E_MALFORMED);
    for (size_t at = 4; at < frame.n; at++) {
        for (int bit = 0; bit < 8; bit++) {
            frame.p[at] ^= (uint8_t)(1 << bit);
            int rc = frame_unpack(frame.p, frame.n, &message);
            assert_true(rc == SATCHEL_OK || rc == SATCHEL_E_MALFORMED || rc == SATCHEL_E_LIMIT);
            frame.p[at] ^= (uint8_t)(1 << bit);
        }
    }
    buf_fini(&frame);
    buf_fini(&message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peek_tells_type_or_nothing),
        cmocka_unit_test(decode_other_type_malformed),
        cmocka_unit_test(decode_message_over_limit),
        cmocka_unit_test(hello_decode_other_version_told),
        cmocka_unit_test(hello_decode_truncated_at_each_byte_is_an_error),
        cmocka_unit_test(schema_decode_migration_of_limit),
        cmocka_unit_test(error_encode_long_words_cut_between_characters),
        cmocka_unit_test(error_encode_words_of_no_character_cut_to_nothing),
        cmocka_unit_test(error_decode_code_of_later_version_kept),
        cmocka_unit_test(push_full_message_round_trips),
        cmocka_unit_test(push_put_txn_what_no_reader_takes_misuse),
        cmocka_unit_test(push_put_txn_descending_number_misuse),
        cmocka_unit_test(push_put_txn_after_error_keeps_it),
        cmocka_unit_test(push_finish_over_message_limit),
        cmocka_unit_test(results_encode_long_words_cut),
        cmocka_unit_test(results_encode_too_many_misuse),
        cmocka_unit_test(pack_compresses_what_shrinks),
        cmocka_unit_test(pack_over_limits_refused),
        cmocka_unit_test(unpack_damaged_frame_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
