/* When what is here is compared with the server: once a day, at rest, and when the app asks for it. The day is kept in the file, so that it comes for an app
 * too that never runs for long; where a walk stands is not: broken off, it begins anew. */
#include <inttypes.h>
#include <stdio.h>

#include "protocol/satchel_rc.h"
#include "replica/session_internal.h"

#define DAY_MS UINT64_C(86400000)
/* Pauses after a range that could not be compared, because commits are on their way, grow to this; and so often before it is given up. */
#define AGAIN_MS 100u
#define AGAIN_MOST_MS 3000u
#define TRIES 12u
/* Conversations that may end upon a question before it is put off as well: a server may not know it. */
#define UNANSWERED 3u

/* Not all devices at one time, though they connect at one: what they hold, and when they came, differs. */
static uint64_t jitter_ms(const session *s, uint64_t now_ms) {
    uint64_t mixed[] = {now_ms, s->file->state.hlc, s->file->state.cursor, s->file->state.number_floor,
                        s->file->state.sent_number};
    return value_hash(mixed, sizeof mixed, 0) % DAY_MS;
}

/* In the file; where it cannot be written, for this process. */
static void set_due(session *s, uint64_t due_ms) {
    s->checks.due_ms = due_ms;
    if (file_begin(s->file)) return;
    s->file->state.check_due_ms = due_ms;
    file_end(s->file, SATCHEL_OK);
}

/* What the file says, unless the clock was put back since. */
static bool is_due(session *s, uint64_t now_ms) {
    uint64_t *due_ms = &s->checks.due_ms;
    if (!*due_ms) *due_ms = s->file->state.check_due_ms;
    if (!*due_ms || *due_ms > now_ms + 2 * DAY_MS) set_due(s, now_ms + 1 + jitter_ms(s, now_ms));
    return now_ms >= *due_ms;
}

void session_check(session *s) {
    s->checks.wanted = true;
    s->checks.again_ms = 0;
    s->checks.tries = 0;
}

bool session_check_wanted(const session *s) {
    return s->checks.wanted || (s->checks.running && !s->checks.tries);
}

static void finish(session *s, int rc, uint64_t now_ms) {
    session_checks *c = &s->checks;
    satchel_event e = {.type = SATCHEL_EVENT_CHECKED, .rc = rc, .number = c->repaired, .total = c->walk.rows};
    checksum_reset(&c->walk);
    c->running = c->wanted = false;
    c->repaired = 0;
    c->tries = c->unanswered = 0;
    set_due(s, now_ms + DAY_MS / 2 + jitter_ms(s, now_ms));
    session_emit(s, &e);
}

void session_checksum_begin(session *s, uint64_t now_ms) {
    session_checks *c = &s->checks;
    c->unanswered += c->waiting;
    checksum_reset(&c->walk);
    c->running = c->waiting = false;
    c->tries = 0;
    c->again_ms = 0;
    if (c->unanswered >= UNANSWERED) finish(s, SATCHEL_E_BUSY, now_ms);
}

/* Not now: later, or not today. */
static void put_off(session *s, uint64_t now_ms) {
    session_checks *c = &s->checks;
    uint64_t pause = (uint64_t)AGAIN_MS << (c->tries < 8 ? c->tries : 8);
    if (++c->tries > TRIES)
        finish(s, SATCHEL_E_BUSY, now_ms);
    else
        c->again_ms = now_ms + (pause > AGAIN_MOST_MS ? AGAIN_MOST_MS : pause);
}

static int ask(session *s, uint64_t now_ms) {
    session_checks *c = &s->checks;
    int rc = checksum_ask(s->file, &c->walk);
    if (rc == SATCHEL_E_BUSY) {
        put_off(s, now_ms);
        return SATCHEL_OK;
    }
    if (rc < 0) return session_file_error(s, rc);
    if (rc == 0) {
        finish(s, SATCHEL_OK, now_ms);
        return SATCHEL_OK;
    }
    buf_clear(&s->message);
    buf_put(&s->message, c->walk.asked.p, c->walk.asked.n);
    c->waiting = true;
    return session_say(s);
}

int session_checksum_step(session *s, uint64_t now_ms) {
    session_checks *c = &s->checks;
    if (s->phase != PHASE_OPEN || s->state != SATCHEL_IN_STEP || c->waiting || s->queued + 4 > QUEUE_SLOTS) return SATCHEL_OK;
    if (!c->running && !c->wanted && !is_due(s, now_ms)) return SATCHEL_OK;
    if (now_ms < c->again_ms) return SATCHEL_OK;
    c->running = true;
    return ask(s, now_ms);
}

static void tell_repaired(session *s, const checksum_repair *told, unsigned n) {
    char text[160];
    for (unsigned i = 0; i < n; i++) {
        const schema_table *t = schema_table_by_id(s->file->schema, told[i].table);
        const char *name = t ? t->name : "";
        s->checks.repaired += told[i].rows;
        snprintf(text, sizeof text, "%" PRIu64 " rows of %s were not what the server has, and were repaired", told[i].rows, name);
        session_emit(s, &(satchel_event){.type = SATCHEL_EVENT_REPAIRED, .number = told[i].rows, .table = name, .text = text});
    }
}

int session_on_repair(session *s, const void *p, size_t n, uint64_t now_ms) {
    session_checks *c = &s->checks;
    checksum_repair told[LIMIT_SUMS];
    unsigned repaired;
    if (!c->waiting) return SATCHEL_OK; /* of a question from before a fork */
    c->waiting = false;
    c->unanswered = 0;
    int rc = checksum_take(s->file, &c->walk, p, n, told, &repaired);
    if (rc == SATCHEL_E_BUSY) {
        put_off(s, now_ms);
        return SATCHEL_OK;
    }
    if (rc) return session_fail(s, rc, "the server sent a repair that cannot be taken: %s", satchel_rc_text(rc));
    c->tries = 0;
    session_announce(s);
    tell_repaired(s, told, repaired);
    return SATCHEL_OK;
}
