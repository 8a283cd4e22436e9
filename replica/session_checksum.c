/* When what is here is compared with the server: once a day, at rest, and when the app asks for it. The day is kept in the file, so that it comes for an app
 * too that never runs for long; where a walk stands is not: broken off, it begins anew. */
#include <inttypes.h>
#include <stdio.h>

#include "protocol/satchel_rc.h"
#include "replica/session_internal.h"

#define DAY_MS UINT64_C(86400000)
/* Pauses after a range that could not be compared, because commits are on their way, or the server's own rows are wrong, grow to this; and so often before it
 * is given up. */
#define AGAIN_MS 100u
#define AGAIN_MOST_MS 3000u
#define TRIES 12u
/* Then the walk goes on behind it, so often on end. */
#define PASSES 3u
/* Conversations that may end upon a question of one walk, which begins anew, before it is put off as well: a server may not know it. */
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

/* A walk that is under way has rows behind it: it begins anew, once what it waits for has come. */
void session_check(session *s) {
    s->checks.wanted = true;
    s->checks.running = false;
    s->checks.again_ms = 0;
    s->checks.tries = 0;
}

bool session_check_wanted(const session *s) {
    return s->checks.wanted || (s->checks.running && !s->checks.tries);
}

static void from_the_beginning(session_checks *c) {
    checksum_reset(&c->walk);
    c->passes = 0;
    c->rc = SATCHEL_OK;
}

static void finish(session *s, int rc, uint64_t now_ms) {
    session_checks *c = &s->checks;
    satchel_event e = {.type = SATCHEL_EVENT_CHECKED, .rc = rc ? rc : c->rc, .number = c->repaired, .total = c->walk.rows};
    from_the_beginning(c);
    c->running = c->wanted = false;
    c->repaired = 0;
    c->tries = c->unanswered = 0;
    set_due(s, now_ms + DAY_MS / 2 + jitter_ms(s, now_ms));
    session_emit(s, &e);
}

void session_checksum_begin(session *s, uint64_t now_ms) {
    session_checks *c = &s->checks;
    c->unanswered += c->waiting;
    from_the_beginning(c);
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
    if (rc < 0) {
        c->waiting = true;
        return session_file_error(s, rc);
    }
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
    if (!c->running) from_the_beginning(c);
    c->running = true;
    return ask(s, now_ms);
}

static void put_words(char *out, size_t room, const checksum_repair *told, const char *name) {
    if (!told->rc)
        snprintf(out, room, "%" PRIu64 " rows of %s were not what the server has, and were repaired", told->rows, name);
    else if (told->rc == SATCHEL_E_BUSY)
        snprintf(out, room, "rows of %s could not be compared with the server's now", name);
    else
        snprintf(out, room, "rows of %s are not what the server has, and could not be repaired: %s", name,
                 satchel_rc_text(told->rc));
}

static void tell(session *s, const checksum_repair *told) {
    char text[LIMIT_TEXT_BYTES];
    session_checks *c = &s->checks;
    const schema_table *t = schema_table_by_id(s->file->schema, told->table);
    satchel_event e = {.type = SATCHEL_EVENT_REPAIRED, .rc = told->rc, .table = t ? t->name : "", .text = text};
    if (!told->rc && !told->rows) return;
    put_words(text, sizeof text, told, e.table);
    if (told->rc)
        c->rc = told->rc;
    else
        e.number = told->rows;
    c->repaired += e.number;
    session_emit(s, &e);
}

/* Its first range was not compared, again and again: then others are, and the next walk tries this one again. */
static int pass_or_put_off(session *s, uint64_t now_ms) {
    session_checks *c = &s->checks;
    checksum_repair told = {.rc = SATCHEL_E_BUSY};
    if (c->tries < TRIES || c->passes == PASSES) {
        put_off(s, now_ms);
        return SATCHEL_OK;
    }
    int rc = checksum_pass(s->file, &c->walk, &told.table);
    if (rc) return session_file_error(s, rc);
    c->passes++;
    c->tries = TRIES - 1;
    tell(s, &told);
    return SATCHEL_OK;
}

int session_on_repair(session *s, const void *p, size_t n, uint64_t now_ms) {
    session_checks *c = &s->checks;
    checksum_repair told[LIMIT_SUMS];
    unsigned ntold;
    if (!c->waiting) return SATCHEL_OK; /* of a question from before a fork */
    c->waiting = false;
    int rc = checksum_take(s->file, &c->walk, p, n, told, &ntold);
    if (rc == SATCHEL_E_BUSY) return pass_or_put_off(s, now_ms);
    if (rc) {
        c->waiting = true;
        return session_fail(s, rc, "the server sent a repair that cannot be taken: %s", satchel_rc_text(rc));
    }
    c->tries = c->passes = 0;
    session_announce(s);
    for (unsigned i = 0; i < ntold; i++) tell(s, &told[i]);
    return SATCHEL_OK;
}
