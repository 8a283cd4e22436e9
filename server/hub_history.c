/* Connections that have ended, and figures by the minute: gathered in memory, and taken along with what is written anyway. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/store_private.h"

/* Connections that wait to be noted; more are not. */
#define ENDED_MAX 16384u
/* That one transaction takes along. */
#define ENDED_AT_ONCE 512u
#define NOTE_EVERY_MS 2000u
/* Durations of one minute that its percentiles are of. */
#define DURATIONS 16384u

struct hub_figures {
    hub_stats before;   /* what was counted by the last look */
    uint64_t looked_ms; /* 0: there was none */
    uint64_t *duration; /* under the mutex: how long it took connections to be given all that there was */
    size_t nduration;
};

int hub_history_open(hub *h) {
    h->figures = calloc(1, sizeof *h->figures);
    h->noting = calloc(ENDED_AT_ONCE, sizeof *h->noting);
    if (h->figures) h->figures->duration = calloc(DURATIONS, sizeof *h->figures->duration);
    return h->figures && h->noting && h->figures->duration ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

void hub_history_close(hub *h) {
    if (h->figures) free(h->figures->duration);
    free(h->figures);
    free(h->ended);
    free(h->noting);
    h->figures = NULL;
    h->ended = h->noting = NULL;
}

/* ---- sessions ---- */

void hub_note_begun(hub *h, session *c) {
    c->sync.begun_ms = h->config.now_ms(h->config.ctx);
}

void hub_note_current(hub *h, session *c) {
    if (c->d.phase != DIALOG_READY || c->view != c->d.target || c->wants_snapshot || (c->d.awaited && !c->d.caught_up)) return;
    c->sync.current_ms = h->config.now_ms(h->config.ctx);
    if (h->figures->nduration < DURATIONS)
        h->figures->duration[h->figures->nduration++] =
            c->sync.current_ms > c->sync.begun_ms ? c->sync.current_ms - c->sync.begun_ms : 0;
}

static bool has_room(hub *h) {
    if (h->nended < h->ended_room) return true;
    size_t room = h->ended_room ? 2 * h->ended_room : 64;
    history_sync *more = room > ENDED_MAX ? NULL : realloc(h->ended, room * sizeof *more);
    if (!more) return false;
    h->ended = more;
    h->ended_room = room;
    return true;
}

void hub_note_ended(hub *h, session *c) {
    if (!c->sync.device || !h->figures || !has_room(h)) return;
    if (!c->sync.ended_ms) c->sync.ended_ms = h->config.now_ms(h->config.ctx);
    h->ended[h->nended++] = c->sync;
}

static int by_device(const void *a, const void *b) {
    const history_sync *x = a, *y = b;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    return x->begun_ms > y->begun_ms ? -1 : x->begun_ms < y->begun_ms;
}

int hub_connections(hub *h, history_sync **out, size_t *n) {
    hub_stats st;
    hub_get_stats(h, &st);
    size_t room = st.sessions + 1; /* who comes just now is not among them */
    history_sync *all = malloc(room * sizeof *all);
    *n = 0;
    pthread_mutex_lock(&h->mutex);
    for (size_t i = 0; all && i < h->nslots && *n < room; i++) {
        const session *c = h->slots[i];
        if (c && c->d.phase != DIALOG_NEW && !c->closing && !c->gone && !c->left) all[(*n)++] = c->sync;
    }
    pthread_mutex_unlock(&h->mutex);
    *out = all;
    if (all) qsort(all, *n, sizeof *all, by_device);
    return all ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

uint64_t hub_horizon_ms(const hub *h) {
    return h->config.horizon_ms;
}

/* ---- into the store ---- */

/* Those at the front, for this transaction and, if that comes to nothing, for the next ones. */
static void take_ended(hub *h) {
    pthread_mutex_lock(&h->mutex);
    size_t n = h->nended < ENDED_AT_ONCE ? h->nended : ENDED_AT_ONCE;
    if (n) memcpy(h->noting, h->ended, n * sizeof *h->noting);
    if (n < h->nended) memmove(h->ended, h->ended + n, (h->nended - n) * sizeof *h->ended);
    h->nended -= n;
    pthread_mutex_unlock(&h->mutex);
    h->nnoting = n;
}

static int put_ended(hub *h) {
    int rc = SATCHEL_OK;
    if (!h->nnoting) take_ended(h);
    for (size_t i = 0; !rc && i < h->nnoting; i++) rc = history_put_sync(h->config.store, &h->noting[i]);
    return rc;
}

/* At the end: nothing takes the others along any more. */
static int put_all_ended(hub *h) {
    int rc = put_ended(h);
    while (!rc && h->nnoting) {
        h->nnoting = 0;
        rc = put_ended(h);
    }
    return rc;
}

/* What is left of a disk is not for them. */
static bool may_note(const hub *h, uint64_t now_ms) {
    return !h->stats.disk_low && now_ms - h->noted_ms >= NOTE_EVERY_MS;
}

int hub_put_ended(hub *h, uint64_t now_ms) {
    store *s = h->config.store;
    if (h->notes_fail || (!h->nnoting && !may_note(h, now_ms))) return SATCHEL_OK;
    h->noted_ms = now_ms;
    int rc = store_savepoint(s);
    if (rc) return rc;
    rc = put_ended(h);
    if (!rc) return store_savepoint_release(s);
    h->notes_fail = true;
    store_savepoint_undo(s);
    return SATCHEL_OK;
}

void hub_ended_are_put(hub *h, bool durable) {
    if (durable && !h->notes_fail) h->nnoting = 0;
    if (!durable && h->nnoting) h->notes_fail = true;
}

/* ---- figures ---- */

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void count(const hub_stats *is, const hub_stats *was, double figure[HISTORY_NFIGURES]) {
    figure[HISTORY_CONNECTIONS] = (double)(is->sessions_total - was->sessions_total);
    figure[HISTORY_PUSHED] = (double)(is->txns_accepted - was->txns_accepted);
    figure[HISTORY_REFUSED] = (double)(is->txns_refused - was->txns_refused);
    figure[HISTORY_ROWS_IN] = (double)(is->rows_in - was->rows_in);
    figure[HISTORY_COMMITS] = (double)(is->seq - was->seq);
    figure[HISTORY_PULLED] = (double)(is->pages + is->snapshot_pages - was->pages - was->snapshot_pages);
    figure[HISTORY_BYTES_IN] = (double)(is->bytes_in - was->bytes_in);
    figure[HISTORY_BYTES_OUT] = (double)(is->bytes_out - was->bytes_out);
    figure[HISTORY_CONFLICTS] = (double)(is->conflicts - was->conflicts);
    figure[HISTORY_FORKS] = (double)(is->forks - was->forks);
    figure[HISTORY_DIFFERENCES] =
        (double)(is->checksum_differ + is->checksum_healed - was->checksum_differ - was->checksum_healed);
    figure[HISTORY_ONLINE] = (double)is->sessions;
    figure[HISTORY_WRITER_QUEUE] = (double)is->writer_queue;
    figure[HISTORY_READER_QUEUE] = (double)is->reader_queue;
    figure[HISTORY_WAL_BYTES] = (double)is->wal_bytes;
    figure[HISTORY_DISK_FREE] = is->disk_free ? (double)is->disk_free : -1;
}

static void take_durations(hub *h, hub_stats *is, double figure[HISTORY_NFIGURES]) {
    struct hub_figures *f = h->figures;
    pthread_mutex_lock(&h->mutex);
    *is = h->stats;
    is->seq = h->head;
    qsort(f->duration, f->nduration, sizeof *f->duration, by_size);
    figure[HISTORY_SYNC_P50] = history_percentile(f->duration, f->nduration, 500);
    figure[HISTORY_SYNC_P95] = history_percentile(f->duration, f->nduration, 950);
    figure[HISTORY_SYNC_P99] = history_percentile(f->duration, f->nduration, 990);
    f->nduration = 0;
    pthread_mutex_unlock(&h->mutex);
}

int hub_put_figures(hub *h, uint64_t now_ms) {
    struct hub_figures *f = h->figures;
    double figure[HISTORY_NFIGURES];
    hub_stats is;
    for (int i = 0; i < HISTORY_NFIGURES; i++) figure[i] = -1;
    take_durations(h, &is, figure);
    if (!f->looked_ms) f->before.seq = is.seq; /* what was counted before belongs to nobody's minute */
    count(&is, &f->before, figure);
    int rc = history_measure(h->config.store, f->looked_ms ? f->looked_ms : now_ms, now_ms, figure);
    if (!rc) rc = history_put_figures(h->config.store, now_ms, figure);
    if (!rc) rc = history_prune(h->config.store, now_ms);
    f->before = is;
    f->looked_ms = now_ms;
    return rc;
}

bool hub_write_history(hub *h, uint64_t now_ms, bool all) {
    store *s = h->config.store;
    pthread_mutex_lock(&h->mutex);
    bool any = h->nended > 0;
    pthread_mutex_unlock(&h->mutex);
    any = any || h->nnoting;
    if (!all && (!any || !may_note(h, now_ms))) return false;
    h->noted_ms = now_ms;
    int rc = store_begin(s);
    if (!rc && any) rc = all ? put_all_ended(h) : put_ended(h);
    if (!rc && all) rc = hub_put_figures(h, now_ms);
    if (rc)
        store_rollback(s);
    else
        rc = store_commit(s);
    h->notes_fail = rc != SATCHEL_OK;
    hub_ended_are_put(h, !rc);
    return any;
}
