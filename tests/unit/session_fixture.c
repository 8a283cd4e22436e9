#include "tests/unit/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

static void on_event(void *ctx, const satchel_event *e) {
    talk *t = ctx;
    size_t n = strlen(t->events);
    if (e->type == SATCHEL_EVENT_STATE)
        snprintf(t->events + n, sizeof t->events - n, "state %d;", (int)e->state);
    else
        snprintf(t->events + n, sizeof t->events - n, "event %d %llu %s;", (int)e->type, (unsigned long long)e->number, e->table);
}

static void on_changed(void *ctx, const char *table) {
    talk *t = ctx;
    size_t n = strlen(t->changed);
    snprintf(t->changed + n, sizeof t->changed - n, "%s;", table);
}

int session_setup(void **state) {
    talk *t = calloc(1, sizeof *t);
    void *x = NULL;
    assert_non_null(t);
    fixture_setup(&x);
    t->x = x;
    t->x->now_ms = NOW;
    assert_int_equal(session_new(t->x->f, &(session_callbacks){.ctx = t, .event = on_event, .changed = on_changed}, &t->s),
                     SATCHEL_OK);
    *state = t;
    return 0;
}

int session_teardown(void **state) {
    talk *t = *state;
    void *x = t->x;
    session_free(t->s);
    buf_fini(&t->frame);
    buf_fini(&t->message);
    free(t);
    return fixture_teardown(&x);
}

message_type sent(talk *t) {
    const uint8_t *p;
    size_t n;
    if (!session_output(t->s, &p, &n)) return 0;
    buf_clear(&t->frame);
    assert_int_equal(frame_unpack(p, n, &t->frame), SATCHEL_OK);
    return message_peek(t->frame.p, t->frame.n);
}

int say(talk *t, uint64_t now_ms) {
    assert_int_equal(t->message.rc, SATCHEL_OK);
    int rc = session_receive(t->s, t->message.p, t->message.n, now_ms);
    buf_clear(&t->message);
    return rc;
}

msg_welcome welcome(talk *t) {
    msg_welcome m = {
        .version = PROTOCOL_VERSION, .epoch = "EPOCHone", .schema_epoch = t->x->f->state.schema_epoch, .now_ms = NOW};
    return m;
}

int say_welcome(talk *t, const msg_welcome *m) {
    assert_int_equal(welcome_encode(m, &t->message), SATCHEL_OK);
    return say(t, NOW);
}

int say_told(talk *t) {
    assert_int_equal(losses_encode(NULL, 0, &t->message), SATCHEL_OK);
    return say(t, NOW);
}

void begin_with(talk *t, const msg_welcome *m) {
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(say_welcome(t, m), SATCHEL_OK);
}

void open_with(talk *t, const msg_welcome *m) {
    begin_with(t, m);
    assert_int_equal(say_told(t), SATCHEL_OK);
}

void open_talk(talk *t) {
    msg_welcome m = welcome(t);
    open_with(t, &m);
}

int say_page(talk *t, uint64_t from, uint64_t to, delta_row row) {
    page_build(t->x, &(msg_page){.from = from, .to = to}, to, &row, 1, &t->message);
    return say(t, NOW);
}

int say_result(talk *t, const msg_result *r, size_t n) {
    assert_int_equal(results_encode(r, n, &t->message), SATCHEL_OK);
    return say(t, NOW);
}

unsigned read_push(talk *t, push_txn *first, push_txn *last) {
    push_reader r;
    unsigned n = 0;
    push_txn one;
    assert_int_equal(push_open(&r, t->frame.p, t->frame.n), SATCHEL_OK);
    while (push_next(&r, &one) == 1) {
        if (n++ == 0) *first = one;
        *last = one;
    }
    return n;
}

msg_pull read_pull(talk *t) {
    msg_pull m;
    assert_int_equal(pull_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    return m;
}
