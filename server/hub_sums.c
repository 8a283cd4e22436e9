/* Checksums: what devices ask to be compared, and who is told of what differed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/checksum.h"
#include "server/checksum_store.h"
#include "server/hub_private.h"

/* After a look at so many commits of the log a millisecond passes before the next: nobody has the readers do little else. */
#define LOOKS_A_MS 50u
/* What a device may have read for it, rows a millisecond as checksum_outcome.read counts: some thousand at once, then as time goes by. Who asks for more is told to
 * ask later. A single range may cost more than any bound; it counts as no more than the device's patience. */
#define READ_A_MS (8u * 50u)
#define READ_BURST_MS 2000u
#define READ_DEBT_MS 15000u

/* What a reader does for one message of digests. */
typedef struct comparison {
    buf asked;
    unsigned round;
    uint64_t view;
    bool may; /* the device holds what it is to hold */
    checksum_asker by;
    checksum_outcome outcome;
    hub_stretch stretch;
    frame *f;
} comparison;

void hub_take_sums(hub *h, session *c, const void *message, size_t n) {
    if (c->d.phase == DIALOG_FORKED || c->closing) return;
    bool order = c->d.phase == DIALOG_READY && !c->sums.n;
    if (order) buf_put(&c->sums, message, n);
    int rc = order ? c->sums.rc : SATCHEL_E_ORDER;
    if (rc)
        hub_tell_and_close(h, c, rc == SATCHEL_E_NOMEM ? SATCHEL_E_OVERLOAD : rc, satchel_rc_text(rc));
    else
        hub_want_reader(h, c);
}

static int later(comparison *m) {
    sums_reader r;
    msg_sums head;
    int rc = sums_open(&r, m->asked.p, m->asked.n, &head);
    if (rc) return rc;
    frame_release(m->f);
    m->f = checksum_later(head.cursor);
    m->outcome.compared = m->outcome.nfound = m->outcome.known = 0;
    return m->f ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int compare(hub *h, unsigned reader, comparison *m) {
    if (!m->may) return later(m);
    return checksum_answer(&h->page_readers[reader], h->schema, m->view, &m->by, m->asked.p, m->asked.n, &m->outcome, &m->f);
}

static void tell_found(hub *h, const session *c, const checksum_found *f) {
    char text[LIMIT_TEXT_BYTES];
    snprintf(text, sizeof text,
             "table %s, keys%s: %" PRIu64 " rows on the device are not the %" PRIu64 " of the store; the range is given again",
             f->t->name, *f->range ? f->range : " of all rows", f->device_rows, f->store_rows);
    h->config.log(h->config.ctx, &(log_fields){.level = 'w', .event = "checksum", .device = c->d.name}, text);
}

/* ---- the store is wrong ---- */

/* Work of the writer's: puts a range of the store right. */
typedef struct healing {
    hub_job job;
    hub *h;
    buf range, report;
    unsigned wrong;
} healing;

static int run_healing(hub_job *job, store *s, ingest *g, uint64_t now_ms) {
    healing *j = (healing *)job;
    static sums_range one;
    sums_reader r;
    msg_sums head;
    (void)now_ms;
    int rc = sums_open(&r, j->range.p, j->range.n, &head);
    if (!rc) rc = sums_next(&r, &one);
    if (rc < 0) return rc;
    rc = ingest_scope_look(g);
    return rc ? rc : checksum_store_range(store_db(s), store_schema(s), &one.range, ingest_scope(g), &j->report, &j->wrong);
}

/* Where a row is missing another may have taken what is UNIQUE meanwhile, say. */
static void tell_failed(hub *h, int rc) {
    h->config.log(h->config.ctx, &(log_fields){.level = 'e', .event = "checksum", .rc = rc},
                  "the store: rows that are not what the log says could not be put right; `satchelctl verify` names them");
}

static void done_healing(hub_job *job, int rc) {
    healing *j = (healing *)job;
    if (!rc)
        hub_tell_healed(j->h, &j->report, j->wrong);
    else if (rc != SATCHEL_E_CLOSED)
        tell_failed(j->h, rc);
    buf_fini(&j->range);
    buf_fini(&j->report);
    free(j);
}

void hub_tell_healed(hub *h, const buf *report, unsigned wrong) {
    const char *p = (const char *)report->p, *end = p + report->n;
    checksum_memo_clear(h->memo);
    while (p < end) {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        char text[LIMIT_TEXT_BYTES];
        snprintf(text, sizeof text, "the store: %.*s", (int)((line ? line : end) - p), p);
        h->config.log(h->config.ctx, &(log_fields){.level = 'e', .event = "checksum"}, text);
        p = line ? line + 1 : end;
    }
    pthread_mutex_lock(&h->mutex);
    h->stats.checksum_healed += wrong;
    pthread_mutex_unlock(&h->mutex);
}

/* Takes the range over. */
static void heal(hub *h, buf *range) {
    healing *j = calloc(1, sizeof *j);
    if (!j) return; /* the device asks again */
    *j = (healing){.job = {.run = run_healing, .done = done_healing}, .h = h, .range = *range};
    *range = (buf){0};
    if (!hub_submit(h, &j->job)) {
        buf_fini(&j->range);
        free(j);
    }
}

/* ---- answers ---- */

static void tell(hub *h, session *c, comparison *m) {
    for (unsigned i = 0; i < m->outcome.nfound; i++) tell_found(h, c, &m->outcome.found[i]);
    h->stats.checksum_ranges += m->outcome.compared;
    h->stats.checksum_known += m->outcome.known;
    h->stats.checksum_differ += m->outcome.nfound;
    hub_walk_on(h, c, &m->stretch, &m->outcome, m->by.now_ms);
    hub_queue_frame(h, c, m->f);
    m->f = NULL;
}

/* Under the mutex again. */
static void settle_comparison(hub *h, session *c, comparison *m, int rc) {
    if (c->closing || c->round != m->round) return;
    /* Its rows may not be the device's any more. */
    if (!rc && m->may && (c->d.target != m->view || c->stale)) rc = later(m);
    if (!rc)
        tell(h, c, m);
    else if (satchel_rc_class(rc) == SATCHEL_CLASS_PERMANENT)
        hub_tell_and_close(h, c, rc, satchel_rc_text(rc));
    else
        hub_tell_and_close(h, c, SATCHEL_E_OVERLOAD, "the server could not read its store");
}

/* Whether a time has come; also when the clock was set back since, as nothing lies farther ahead than what may be owed. */
static bool is_over(uint64_t until_ms, uint64_t now_ms) {
    return until_ms <= now_ms || until_ms - now_ms > READ_BURST_MS + READ_DEBT_MS;
}

/* What was read, and looked through, for the session. */
static void charge(session *c, const checksum_outcome *o, uint64_t now_ms) {
    uint64_t cost_ms = o->read / READ_A_MS + 4 * o->looked / LOOKS_A_MS;
    if (is_over(c->sums_until_ms, now_ms)) c->sums_until_ms = now_ms;
    c->sums_until_ms += cost_ms < READ_DEBT_MS ? cost_ms : READ_DEBT_MS;
}

void hub_serve_sums(hub *h, unsigned reader, session *c) {
    comparison *m = calloc(1, sizeof *m);
    if (!m) {
        hub_tell_and_close(h, c, SATCHEL_E_OVERLOAD, satchel_rc_text(SATCHEL_E_OVERLOAD));
        return;
    }
    m->asked = c->sums;
    m->round = c->round;
    m->view = c->view;
    uint64_t now_ms = h->config.now_ms(h->config.ctx);
    m->may = c->view == c->d.target && !c->wants_snapshot && is_over(c->sums_until_ms, now_ms + READ_BURST_MS);
    m->by = (checksum_asker){.memo = h->memo,
                             .device = value_hash(c->fingerprint, sizeof c->fingerprint, 0),
                             .now_ms = now_ms,
                             .may_look = is_over(h->look_after_ms, now_ms)};
    c->sums = (buf){0};
    c->busy = true;
    pthread_mutex_unlock(&h->mutex);
    int rc = compare(h, reader, m);
    if (!rc) rc = hub_measure(h->schema, &m->asked, &m->outcome, &m->stretch);
    if (m->outcome.heal.n) heal(h, &m->outcome.heal);
    pthread_mutex_lock(&h->mutex);
    now_ms = h->config.now_ms(h->config.ctx);
    charge(c, &m->outcome, now_ms);
    uint64_t pause_ms = m->outcome.looked / LOOKS_A_MS;
    if (pause_ms) h->look_after_ms = now_ms + (pause_ms < READ_DEBT_MS ? pause_ms : READ_DEBT_MS);
    c->busy = c->again = false;
    if (c->gone) {
        hub_remove(h, c);
    } else {
        settle_comparison(h, c, m, rc);
        hub_want_reader(h, c);
    }
    frame_release(m->f);
    buf_fini(&m->asked);
    buf_fini(&m->outcome.heal);
    free(m);
}
