#include "replica/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/hlc.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "replica/apply.h"
#include "replica/outbox.h"
#include "replica/session_internal.h"

/* Pages asked for ahead: enough that the line is never idle, few enough that a device without memory is not flooded. */
#define CREDIT 4
/* Pages between two syncs of a device that catches up: at 256 KiB a page, what a power cut may make it ask for again. */
#define PULLS_A_SYNC 16
#define WELCOME_MS 30000
#define ANSWER_MS 60000

/* ---- errors and states ---- */

int session_fail(session *s, int rc, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_clear(&s->error);
    buf_printf(&s->error, "%s", text);
    return rc;
}

int session_file_error(session *s, int rc) {
    return rc < 0 ? session_fail(s, rc, "%s", s->file->error.n ? (const char *)s->file->error.p : satchel_rc_text(rc)) : rc;
}

void session_emit(session *s, const satchel_event *event) {
    satchel_event e = *event;
    e.state = s->state;
    if (!e.table) e.table = "";
    if (!e.text) e.text = "";
    if (s->callbacks.event) s->callbacks.event(s->callbacks.ctx, &e);
}

void session_set_state(session *s, satchel_sync_state state, int rc, const char *text) {
    if (s->state == state && s->state_rc == rc) return;
    s->state = state;
    s->state_rc = rc;
    session_emit(s, &(satchel_event){.type = SATCHEL_EVENT_STATE, .rc = rc, .text = text});
}

satchel_sync_state session_state(const session *s) {
    return s->state;
}

const char *session_error(const session *s) {
    return s->error.n ? (const char *)s->error.p : "";
}

uint64_t session_retry_after_ms(const session *s) {
    return s->retry_after_ms;
}

/* ---- life ---- */

int session_new(file *f, const session_callbacks *callbacks, session **out) {
    session *s = calloc(1, sizeof *s);
    *out = s;
    if (!s) return SATCHEL_E_NOMEM;
    s->file = f;
    s->callbacks = *callbacks;
    buf_init(&s->error, 0);
    buf_init(&s->message, LIMIT_MESSAGE_BYTES);
    buf_init(&s->received, LIMIT_MESSAGE_BYTES);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) buf_init(&s->queue[i], LIMIT_MESSAGE_BYTES);
    return SATCHEL_OK;
}

void session_free(session *s) {
    if (!s) return;
    checksum_reset(&s->checks.walk);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) buf_fini(&s->queue[i]);
    buf_fini(&s->received);
    buf_fini(&s->message);
    buf_fini(&s->error);
    free(s);
}

static void forget_connection(session *s) {
    s->phase = PHASE_IDLE;
    s->queued = s->first = 0;
    s->showing = s->awaits_news = false;
    s->nflight = 0;
    s->flight_bytes = 0;
    s->granted = s->credit_due = 0;
    s->push = (outbox_cursor){0};
    s->told = s->ntold = s->told_after = 0;
}

/* ---- output ---- */

/* Packs s->message into the queue. The queue is never full: whoever adds a push looks for room first, the rest is bounded. */
int session_say(session *s) {
    if (s->queued == QUEUE_SLOTS) return session_fail(s, SATCHEL_E_INTERNAL, "the session's queue is full");
    buf *slot = &s->queue[(s->first + s->queued) % QUEUE_SLOTS];
    buf_clear(slot);
    int rc = s->message.rc ? s->message.rc : frame_pack(s->message.p, s->message.n, slot);
    if (rc) return session_fail(s, rc, "a message cannot be encoded: %s", satchel_rc_text(rc));
    s->queued++;
    return SATCHEL_OK;
}

/* The server may forget what lies behind the cursor that a pull tells, so that one must be on the disk (N2). While pages stream in, one sync
 * serves many of them; at rest the last page is synced after it can be seen. A sync that fails (locked) is tried at the next pull. */
static void note_durable(session *s) {
    const file_state *st = &s->file->state;
    bool at_rest = s->state == SATCHEL_IN_STEP;
    if (s->durable_cursor > st->cursor) s->durable_cursor = st->cursor; /* a restored server took commits back (N7) */
    if (st->cursor == s->durable_cursor || (!at_rest && ++s->unsynced_pulls < PULLS_A_SYNC)) return;
    if (file_sync(s->file)) return;
    s->unsynced_pulls = 0;
    s->durable_cursor = st->cursor;
}

/* Credit is asked for when the transport has room to say so: many pages may then share one message. */
static void say_pull(session *s) {
    note_durable(s);
    msg_pull m = {.cursor = s->durable_cursor, .credit = s->credit_due, .loss_cursor = s->file->state.loss_cursor};
    buf_clear(&s->message);
    if (pull_encode(&m, &s->message) || session_say(s)) return;
    s->granted += s->credit_due;
    s->credit_due = 0;
}

bool session_output(session *s, const uint8_t **frame, size_t *n) {
    if (s->showing) {
        s->first = (s->first + 1) % QUEUE_SLOTS;
        s->queued--;
        s->showing = false;
    }
    if (!s->queued && s->phase == PHASE_OPEN && s->credit_due) say_pull(s);
    if (!s->queued) return false;
    *frame = s->queue[s->first].p;
    *n = s->queue[s->first].n;
    s->showing = true;
    return true;
}

static void say_error(session *s, int rc) {
    msg_error m = {.rc = rc, .text = session_error(s), .ntext = strlen(session_error(s))};
    buf_clear(&s->message);
    if (!error_encode(&m, &s->message)) session_say(s);
}

/* ---- hello ---- */

/* Within a snapshot the cursor is of no epoch; but what was accepted is of this one. */
static void put_past(const file_state *st, msg_hello *m) {
    if (st->has_epoch && !st->placed) {
        memcpy(m->past[0].epoch, st->epoch, EPOCH_BYTES);
        m->past[0].seq = INT64_MAX;
        m->npast = 1;
    }
    for (unsigned i = 0; i < st->npast && m->npast < LIMIT_PAST; i++) m->past[m->npast++] = st->past[i];
}

/* Of the overlay's index, which whatever follows needs as well; it is read once and then kept up. While the app writes, hello goes without: it is
 * for people. */
static int count_waiting(file *f, msg_hello *m) {
    if (!m->pending) return SATCHEL_OK;
    int rc = file_begin(f);
    if (rc) return rc == SATCHEL_E_BUSY ? SATCHEL_OK : rc;
    m->nwaiting = overlay_waiting(f->overlay, m->waiting);
    return file_end(f, SATCHEL_OK);
}

static int say_hello(session *s, uint64_t now_ms) {
    file *f = s->file;
    uint64_t reopened = 0;
    msg_hello m = {.version = PROTOCOL_VERSION, .now_ms = now_ms, .software = f->software, .nsoftware = strlen(f->software)};
    int rc = file_sync(f);
    if (!rc) rc = file_read_state(f);
    if (!rc) rc = outbox_last_number(f, &m.last_number);
    if (!rc) rc = outbox_count(f, TXN_PENDING, &m.pending);
    if (!rc) rc = count_waiting(f, &m);
    if (!rc) rc = outbox_next_reopened(f, 0, &reopened);
    if (rc < 0) return session_file_error(s, rc);
    file_storage(f, &m.held_bytes, &m.room_bytes);
    const file_state *st = &f->state;
    m.incarnation = s->is_copy ? 0 : st->incarnation;
    m.has_epoch = st->has_epoch && st->placed;
    memcpy(m.epoch, st->epoch, EPOCH_BYTES);
    m.cursor = s->durable_cursor = st->cursor;
    m.schema_epoch = st->schema_epoch;
    memcpy(m.schema_hash, f->schema->hash, sizeof m.schema_hash);
    m.settled_number = reopened && reopened <= st->settled_number ? reopened - 1 : st->settled_number;
    m.loss_cursor = st->loss_cursor;
    m.snapshot = st->snapshot;
    m.snapshot_page = st->snapshot_page;
    put_past(st, &m);
    m.has_view = true;
    m.view = st->view;
    buf_clear(&s->message);
    hello_encode(&m, &s->message);
    s->phase = PHASE_HELLO;
    s->phase_deadline_ms = now_ms + WELCOME_MS;
    session_checksum_begin(s, now_ms);
    return session_say(s);
}

int session_begin(session *s, uint64_t now_ms) {
    forget_connection(s);
    s->retry_after_ms = 0;
    s->heard_ms = now_ms;
    s->again = false;
    buf_clear(&s->error);
    session_set_state(s, SATCHEL_CONNECTING, SATCHEL_OK, "");
    return say_hello(s, now_ms);
}

void session_end(session *s, int rc, const char *text, uint64_t now_ms) {
    forget_connection(s);
    if (rc) file_note_sync(s->file, rc, text ? text : satchel_rc_text(rc), now_ms);
    session_set_state(s, SATCHEL_OFFLINE, rc, text ? text : "");
}

/* ---- sending what is new ---- */

/* N2: the commit that raises sent_number is durable and so carries every number up to it to the disk before one is sent. It is
 * one transaction with the reading, so that no other process discards what is being sent. */
static int make_push(session *s, uint64_t *last) {
    file *f = s->file;
    buf_clear(&s->message);
    int rc = file_begin_durable(f);
    if (rc) return session_file_error(s, rc);
    int made = outbox_push(f, &s->push, &s->message, last);
    if (made == 1 && f->state.sent_number < *last) f->state.sent_number = *last;
    rc = file_end(f, made < 0 ? made : SATCHEL_OK);
    return rc ? session_file_error(s, rc) : made;
}

static int push_one(session *s, uint64_t now_ms) {
    uint64_t last = 0;
    int made = make_push(s, &last);
    if (made <= 0) return made;
    flight *one = &s->flight[s->nflight];
    *one = (flight){.last = last, .bytes = s->message.n};
    int rc = session_say(s);
    if (rc) return rc;
    s->nflight++;
    s->flight_bytes += one->bytes;
    if (s->nflight == 1) s->heard_ms = now_ms; /* the server's time to answer begins */
    return 1;
}

static bool may_push(const session *s) {
    return s->nflight < FLIGHT_SLOTS && s->queued + 4 < QUEUE_SLOTS && s->flight_bytes < LIMIT_PUSH_WINDOW_BYTES;
}

static int push_all(session *s, uint64_t now_ms) {
    outbox_txn t;
    while (may_push(s)) {
        int rc = outbox_next(s->file, s->push.number, &t);
        if (rc == 1) rc = push_one(s, now_ms);
        if (rc <= 0) return session_file_error(s, rc);
    }
    return SATCHEL_OK;
}

/* One of a lower number may be discarded after one of a higher was told: then it begins anew. */
static int look_below_told(session *s) {
    uint64_t n = 0;
    int rc = s->told ? outbox_count_untold(s->file, s->told, &n) : SATCHEL_OK;
    if (!rc && n > s->ntold) s->told = s->ntold = 0;
    return session_file_error(s, rc);
}

/* Of a retry it knows what that was to resolve, whether or not it heard of the retry. */
static int say_resolve(session *s, uint64_t number) {
    outbox_txn t;
    int rc = outbox_get(s->file, number, &t);
    if (rc) return session_file_error(s, rc);
    msg_resolve m = {.number = t.resolves ? t.resolves : number, .action = 1};
    buf_clear(&s->message);
    resolve_encode(&m, &s->message);
    return session_say(s);
}

/* N2: whichever process has discarded it. One whose discard goes with the power would have it open again, and the server tells it of nothing more. */
static int make_discards_durable(session *s) {
    s->file->unsynced = true;
    return session_file_error(s, file_sync(s->file));
}

static int say_resolves(session *s) {
    int rc = look_below_told(s);
    if (rc) return rc;
    uint64_t number = s->told;
    for (bool first = true; s->queued + 4 < QUEUE_SLOTS && (rc = outbox_next_untold(s->file, number, &number)) != 0;
         first = false) {
        if (rc < 0) return session_file_error(s, rc);
        rc = first ? make_discards_durable(s) : SATCHEL_OK;
        if (!rc) rc = say_resolve(s, number);
        if (rc) return rc;
        s->told = number;
        s->ntold++;
        s->told_after = s->push.number;
    }
    return SATCHEL_OK;
}

/* Results that the server already has are on their way at first: sending their transactions again would only cost bytes. */
static int send_new(session *s, uint64_t now_ms) {
    if (s->awaits_news) return SATCHEL_OK;
    int rc = say_resolves(s); /* what is on its way was not sent after them */
    return rc ? rc : push_all(s, now_ms);
}

/* ---- in step? ---- */

bool session_in_step(const session *s) {
    return s->phase == PHASE_OPEN && s->state == SATCHEL_IN_STEP;
}

static int look_in_step(session *s, bool *in_step) {
    const file_state *st = &s->file->state;
    outbox_txn t;
    *in_step = false;
    if (s->nflight || s->awaits_news || st->snapshot || !st->placed || s->awaits_view || st->cursor < s->target ||
        overlay_size(s->file->overlay))
        return SATCHEL_OK;
    int rc = outbox_next(s->file, s->push.number, &t);
    *in_step = rc == 0;
    return session_file_error(s, rc < 0 ? rc : SATCHEL_OK);
}

static int update_state(session *s, uint64_t now_ms) {
    bool in_step;
    if (s->phase != PHASE_OPEN) return SATCHEL_OK;
    int rc = look_in_step(s, &in_step);
    if (rc) return rc;
    if (in_step && s->state != SATCHEL_IN_STEP) file_note_sync(s->file, SATCHEL_OK, "", now_ms);
    session_set_state(s, in_step ? SATCHEL_IN_STEP : SATCHEL_SYNCING, SATCHEL_OK, "");
    return SATCHEL_OK;
}

/* ---- time ---- */

static bool awaits_answer(const session *s) {
    return s->nflight || s->awaits_news;
}

uint64_t session_deadline(const session *s) {
    if (s->phase == PHASE_IDLE || s->phase == PHASE_FAILED) return UINT64_MAX;
    if (s->phase != PHASE_OPEN) return s->phase_deadline_ms;
    return awaits_answer(s) ? s->heard_ms + ANSWER_MS : UINT64_MAX;
}

int session_wake(session *s, uint64_t now_ms) {
    if (s->phase == PHASE_IDLE || s->phase == PHASE_FAILED) return SATCHEL_OK;
    bool late = s->phase != PHASE_OPEN ? now_ms >= s->phase_deadline_ms : awaits_answer(s) && now_ms >= s->heard_ms + ANSWER_MS;
    if (late) {
        s->phase = PHASE_FAILED;
        return session_fail(s, SATCHEL_E_TIMEOUT, "%s", satchel_rc_text(SATCHEL_E_TIMEOUT));
    }
    if (s->phase != PHASE_OPEN) return SATCHEL_OK;
    int rc = send_new(s, now_ms);
    if (!rc) rc = update_state(s, now_ms);
    return rc ? rc : session_checksum_step(s, now_ms);
}

/* ---- receiving ---- */

int session_open_phase(session *s) {
    s->phase = PHASE_OPEN;
    s->push = (outbox_cursor){.number = s->file->state.settled_number};
    /* After a fork the server has dropped what it was granted before, and pages that it had sent then have come. */
    s->granted = 0;
    s->credit_due = CREDIT;
    return SATCHEL_OK;
}

int session_hello_again(session *s, uint64_t now_ms) {
    s->nflight = 0;
    s->flight_bytes = 0;
    s->told = s->ntold = s->told_after = 0; /* the server may have passed over what was told after it forked */
    s->again = true;
    return say_hello(s, now_ms);
}

/* Which messages a server may send in which phase. After a fork, what it sent before is still on its way. */
static bool is_allowed(const session *s, message_type type) {
    bool flowing = s->phase == PHASE_OPEN || (s->phase == PHASE_HELLO && s->again);
    switch (type) {
    case MSG_ERROR:
        return true;
    case MSG_WELCOME:
        return s->phase == PHASE_HELLO;
    case MSG_SCHEMA:
        return s->phase == PHASE_SCHEMA;
    case MSG_FORKED:
        return s->phase == PHASE_HELLO || s->phase == PHASE_OPEN;
    case MSG_RESULTS:
    case MSG_PAGE:
    case MSG_SNAPSHOT:
    case MSG_LOSSES:
    case MSG_REPAIR:
        return flowing;
    default:
        return false;
    }
}

static int take_message(session *s, const uint8_t *p, size_t n, uint64_t now_ms) {
    message_type type = message_peek(p, n);
    if (!is_allowed(s, type))
        return session_fail(s, type ? SATCHEL_E_ORDER : SATCHEL_E_MALFORMED, "the server sent message type %d out of order",
                            (int)type);
    switch (type) {
    case MSG_WELCOME:
        return session_on_welcome(s, p, n, now_ms);
    case MSG_SCHEMA:
        return session_on_schema(s, p, n);
    case MSG_FORKED:
        return session_on_forked(s, p, n, now_ms);
    case MSG_RESULTS:
        return session_on_results(s, p, n, now_ms);
    case MSG_PAGE:
        return session_on_page(s, p, n);
    case MSG_SNAPSHOT:
        return session_on_snapshot(s, p, n);
    case MSG_LOSSES:
        return session_on_losses(s, p, n);
    case MSG_REPAIR:
        return session_on_repair(s, p, n, now_ms);
    default:
        return session_on_error(s, p, n);
    }
}

int session_receive(session *s, const void *frame, size_t n, uint64_t now_ms) {
    if (s->phase == PHASE_IDLE || s->phase == PHASE_FAILED) return session_fail(s, SATCHEL_E_MISUSE, "no connection was begun");
    buf_clear(&s->received);
    buf_clear(&s->error);
    s->heard_ms = now_ms;
    s->named = false;
    int rc = frame_unpack(frame, n, &s->received);
    if (!rc) rc = take_message(s, s->received.p, s->received.n, now_ms);
    if (!rc && s->phase == PHASE_OPEN) rc = send_new(s, now_ms);
    if (!rc) rc = update_state(s, now_ms);
    if (!rc) return SATCHEL_OK;
    if (!s->error.n) session_fail(s, rc, "%s", satchel_rc_text(rc));
    if (!s->named) say_error(s, rc);
    s->phase = PHASE_FAILED;
    return rc;
}
