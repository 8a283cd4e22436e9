/* Checksums: what devices ask to be compared, and who is told of what differed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/satchel_rc.h"
#include "server/checksum.h"
#include "server/hub_private.h"

/* What a reader does for one message of digests. */
typedef struct comparison {
    buf asked;
    unsigned round;
    uint64_t view;
    bool may; /* the device holds what it is to hold */
    checksum_outcome outcome;
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
    m->outcome.compared = m->outcome.nfound = 0;
    return m->f ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int compare(hub *h, unsigned reader, comparison *m) {
    if (!m->may) return later(m);
    return checksum_answer(&h->page_readers[reader], h->schema, m->view, m->asked.p, m->asked.n, &m->outcome, &m->f);
}

static void tell_found(hub *h, const session *c, const checksum_found *f) {
    char text[LIMIT_TEXT_BYTES];
    snprintf(text, sizeof text,
             "table %s, keys%s: %" PRIu64 " rows on the device are not the %" PRIu64 " of the store; the range is given again",
             f->t->name, *f->range ? f->range : " of all rows", f->device_rows, f->store_rows);
    h->config.log(h->config.ctx, &(log_fields){.level = 'w', .event = "checksum", .device = c->d.name}, text);
}

static void tell(hub *h, session *c, comparison *m) {
    for (unsigned i = 0; i < m->outcome.nfound; i++) tell_found(h, c, &m->outcome.found[i]);
    h->stats.checksum_ranges += m->outcome.compared;
    h->stats.checksum_differ += m->outcome.nfound;
    hub_queue_frame(h, c, m->f);
    m->f = NULL;
}

/* Under the mutex again. */
static void settle_comparison(hub *h, session *c, comparison *m, int rc) {
    if (c->closing || c->round != m->round) return;
    /* Its rows may not be the device's any more. */
    if (!rc && m->may && c->d.target != m->view) rc = later(m);
    if (!rc)
        tell(h, c, m);
    else if (satchel_rc_class(rc) == SATCHEL_CLASS_PERMANENT)
        hub_tell_and_close(h, c, rc, satchel_rc_text(rc));
    else
        hub_tell_and_close(h, c, SATCHEL_E_OVERLOAD, "the server could not read its store");
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
    m->may = c->view == c->d.target && !c->wants_snapshot;
    c->sums = (buf){0};
    c->busy = true;
    pthread_mutex_unlock(&h->mutex);
    int rc = compare(h, reader, m);
    pthread_mutex_lock(&h->mutex);
    c->busy = c->again = false;
    if (c->gone) {
        hub_remove(h, c);
    } else {
        settle_comparison(h, c, m, rc);
        hub_want_reader(h, c);
    }
    frame_release(m->f);
    buf_fini(&m->asked);
    free(m);
}
