/* The readers: pages, snapshots and changes of view, made without the lock for sessions that have credit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"

/* Frames of one change of view; more is sent as a snapshot. And of all changes under way, above which devices are told to come back later. */
#define CHANGE_BYTES ((size_t)16 << 20)
#define CHANGES_BYTES ((size_t)256 << 20)

/* ---- pages that many wait for ---- */

static bool is_same_place(const page_place *a, const page_place *b) {
    return a->cursor == b->cursor && a->scanned == b->scanned && a->part == b->part && a->part_seq == b->part_seq &&
           a->rows == b->rows;
}

static bool cache_find(hub *h, uint64_t view_id, const page_place *at, frame **f, page_place *after) {
    for (unsigned i = 0; i < PAGE_CACHE; i++) {
        cached_page *e = &h->cache[i];
        if (!e->f || e->view != view_id || !is_same_place(&e->at, at)) continue;
        if (!e->full && e->head != h->head) continue;
        *f = frame_share(e->f);
        *after = e->after;
        return true;
    }
    return false;
}

static void cache_put(hub *h, const cached_page *made) {
    cached_page *e = &h->cache[h->cache_next++ % PAGE_CACHE];
    frame_release(e->f);
    *e = *made;
    frame_share(e->f);
}

/* ---- errands ---- */

typedef enum errand_kind { FETCH_PAGE, FETCH_SNAPSHOT, MAKE_CHANGE } errand_kind;

/* What a reader does for a session, decided under the lock and done without it. */
typedef struct errand {
    errand_kind kind;
    unsigned round;
    int64_t device;
    uint64_t view, target;
    page_place at, after;
    bool due;
    uint64_t head, high_stamp, floor, snapshot;
    uint8_t epoch[EPOCH_BYTES];
    uint32_t snapshot_page;
    /* What came of it; without a frame: nothing for its view, or a page of a snapshot that is not made yet. */
    frame *f;
    bool last;           /* page of the snapshot */
    view_change *change; /* NULL: it takes a snapshot */
} errand;

static int fetch_page(hub *h, unsigned reader, errand *e) {
    pthread_mutex_lock(&h->mutex);
    bool hit = cache_find(h, e->view, &e->at, &e->f, &e->after);
    h->stats.pages++;
    if (hit) h->stats.page_cache_hits++;
    pthread_mutex_unlock(&h->mutex);
    if (hit) return SATCHEL_OK;
    cached_page made = {.view = e->view, .at = e->at, .head = e->head};
    int rc = pages_next(&h->page_readers[reader], e->view, &e->after, e->head, e->high_stamp, e->due, &e->f, &made.full);
    if (rc || !e->f) return rc;
    made.after = e->after;
    made.f = e->f;
    pthread_mutex_lock(&h->mutex);
    cache_put(h, &made);
    pthread_mutex_unlock(&h->mutex);
    return SATCHEL_OK;
}

/* A field never steps back (N4): where the device has a cursor of this server, its snapshot is no older. */
static uint64_t oldest_snapshot(const errand *e) {
    return e->at.cursor > e->floor && e->at.cursor <= e->head ? e->at.cursor : e->floor;
}

/* The snapshot that the session reads: the one it resumes, a current one, or a new one that is begun; 0 if one of another view is being made. */
static int choose_snapshot(hub *h, errand *e, const snapshot_kind *kind) {
    snapshot_info info;
    if (e->snapshot && snapshots_find(h->snaps, e->snapshot, kind, &info)) return SATCHEL_OK;
    e->snapshot_page = 0;
    e->snapshot = 0;
    if (!snapshots_current(h->snaps, kind, oldest_snapshot(e), e->head, &info)) {
        int rc = snapshots_start(h->snaps, kind, h->schema);
        if (rc && rc != SATCHEL_E_BUSY) return rc;
        pthread_mutex_lock(&h->mutex);
        h->building = true;
        if (!rc) h->stats.snapshots_built++;
        pthread_cond_broadcast(&h->reader_cond);
        pthread_mutex_unlock(&h->mutex);
        return SATCHEL_OK;
    }
    e->snapshot = info.id;
    return SATCHEL_OK;
}

static int fetch_snapshot(hub *h, errand *e) {
    snapshot_kind kind = {.schema_epoch = h->schema->epoch, .view = e->target};
    memcpy(kind.epoch, e->epoch, sizeof kind.epoch);
    int rc = choose_snapshot(h, e, &kind);
    if (rc || !e->snapshot) return rc;
    snapshot_info info;
    /* N5: nothing as of a commit whose results were not queued yet. */
    if (!snapshots_find(h->snaps, e->snapshot, &kind, &info) || info.seq > e->head) return SATCHEL_OK;
    rc = snapshots_page(h->snaps, e->snapshot, e->snapshot_page, &e->f, &e->last);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
    e->snapshot_page++;
    if (e->last) e->after = (page_place){.cursor = info.seq, .scanned = info.seq};
    return SATCHEL_OK;
}

static int make_change(hub *h, unsigned reader, errand *e) {
    size_t most = h->config.change_bytes ? h->config.change_bytes : CHANGE_BYTES;
    return view_change_make(&h->page_readers[reader], h->schema, e->device, e->view, e->target, e->at.cursor, most, &e->change);
}

static int run_errand(hub *h, unsigned reader, errand *e) {
    switch (e->kind) {
    case FETCH_SNAPSHOT:
        return fetch_snapshot(h, e);
    case MAKE_CHANGE:
        return make_change(h, reader, e);
    default:
        return fetch_page(h, reader, e);
    }
}

/* ---- what came of them ---- */

static void queue_one(hub *h, session *c, frame *f) {
    c->credit--;
    c->sync.pulled++;
    hub_queue_frame(h, c, f);
    c->stalled = c->queued > LIMIT_CONN_QUEUE_BYTES;
}

static void settle_page(hub *h, session *c, const errand *e, frame *f) {
    c->place = e->after;
    if (!f) return;
    if (c->place.cursor > e->at.cursor) c->due = false;
    queue_one(h, c, f);
}

static void settle_snapshot(hub *h, session *c, const errand *e) {
    c->snapshot = e->snapshot;
    c->snapshot_page = e->snapshot_page;
    if (!e->f) return;
    h->stats.snapshot_pages++;
    if (e->last) {
        c->wants_snapshot = false;
        c->place = e->after;
        c->view = e->target;
        c->announced = false;
        c->due = false;
    }
    queue_one(h, c, e->f);
}

static void settle_change(hub *h, session *c, errand *e) {
    if (e->change && h->change_bytes + e->change->bytes > CHANGES_BYTES) {
        hub_tell_and_close(h, c, SATCHEL_E_OVERLOAD, "too many devices change at once what they hold; it comes back later");
    } else if (e->change) {
        h->change_bytes += e->change->bytes;
        c->change = e->change;
        e->change = NULL;
    } else {
        c->wants_snapshot = c->began_snapshot = true;
        c->snapshot = c->snapshot_page = 0;
    }
}

static void tell_failure(hub *h, session *c, const errand *e, int rc) {
    if (rc == SATCHEL_E_NOT_FOUND && e->kind == FETCH_PAGE)
        hub_tell_and_close(h, c, SATCHEL_E_CLOSED,
                           "the log no longer goes back to where the device stands; it comes back and gets a snapshot");
    else
        hub_tell_and_close(h, c, satchel_rc_class(rc) == SATCHEL_CLASS_RETRY ? rc : SATCHEL_E_OVERLOAD,
                           "the server could not read its store");
}

/* What became of an errand; the session is no longer busy. Takes over what is in *e. */
static void settle_errand(hub *h, session *c, errand *e, int rc) {
    bool again = c->again;
    c->again = false;
    /* What was made for an earlier hello, or of what the device is no longer to hold, is of no use. */
    bool stale = c->closing || c->round != e->round || c->d.target != e->target;
    if (stale) {
        frame_release(e->f);
    } else if (rc) {
        tell_failure(h, c, e, rc);
    } else if (e->kind == FETCH_SNAPSHOT) {
        settle_snapshot(h, c, e);
    } else if (e->kind == MAKE_CHANGE) {
        settle_change(h, c, e);
    } else {
        settle_page(h, c, e, e->f);
    }
    view_change_free(e->change);
    /* A page of a snapshot that is not made yet is waited for, unless it was made while it was looked for. */
    if (stale || rc || e->kind != FETCH_SNAPSHOT || e->f || again) hub_want_reader(h, c);
}

/* Whoever else waits where this page was read from gets it as well, in one go: a commit to many devices costs one look at the store, and few turns of
 * the lock. */
static void deliver_to_others(hub *h, const errand *e) {
    session *c = h->readers, *next;
    h->readers = h->readers_tail = NULL;
    for (; c; c = next) {
        next = c->next_reader;
        h->stats.reader_queue--;
        if (c->wants_snapshot || !c->credit || c->closing || c->stale || c->view != e->view || c->d.target != e->view ||
            !is_same_place(&c->place, &e->at) || (!e->f && hub_is_due(h, c))) {
            hub_queue_reader(h, c);
            continue;
        }
        c->in_readers = false;
        h->stats.pages++;
        h->stats.page_cache_hits++;
        settle_page(h, c, e, e->f ? frame_share(e->f) : NULL);
        hub_want_reader(h, c);
    }
}

/* The next part of a change of view. */
static void serve_change(hub *h, session *c) {
    view_change *v = c->change;
    frame *f = frame_share(v->part[v->next++]);
    if (v->next == v->n) {
        c->place = (page_place){.cursor = v->to, .scanned = v->to};
        c->view = v->view;
        c->announced = false;
        c->due = false;
        hub_drop_change(h, c);
    }
    h->stats.pages++;
    queue_one(h, c, f);
    hub_want_reader(h, c);
}

static errand plan(const hub *h, session *c) {
    errand e = {.kind = c->wants_snapshot        ? FETCH_SNAPSHOT
                        : c->view != c->d.target ? MAKE_CHANGE
                                                 : FETCH_PAGE,
                .round = c->round,
                .device = c->d.device,
                .view = c->view,
                .target = c->d.target,
                .due = hub_is_due(h, c),
                .head = h->head,
                .high_stamp = h->high_stamp,
                .floor = h->floor,
                .snapshot = c->snapshot,
                .snapshot_page = c->snapshot_page};
    /* The device forgets the parts that it has of a commit when it is given another part 0. */
    if (e.kind == MAKE_CHANGE) c->place = (page_place){.cursor = c->place.cursor, .scanned = c->place.cursor};
    e.at = e.after = c->place;
    memcpy(e.epoch, h->epoch, sizeof e.epoch);
    return e;
}

static bool serve(hub *h, unsigned reader, session *c) {
    if (c->closing || c->stale) return false;
    if (c->sums.n) {
        hub_serve_sums(h, reader, c);
        return true;
    }
    if (!c->credit || hub_waits(h, c)) return false;
    /* It was made for what the device was to hold then. */
    if (c->change && (c->change->view != c->d.target || c->wants_snapshot)) hub_drop_change(h, c);
    if (c->change) {
        serve_change(h, c);
        return true;
    }
    errand e = plan(h, c);
    c->busy = true;
    pthread_mutex_unlock(&h->mutex);
    int rc = run_errand(h, reader, &e);
    pthread_mutex_lock(&h->mutex);
    c->busy = false;
    if (!rc && e.kind == FETCH_PAGE) deliver_to_others(h, &e);
    if (c->gone) {
        frame_release(e.f);
        view_change_free(e.change);
        hub_remove(h, c);
    } else {
        settle_errand(h, c, &e, rc);
    }
    return true;
}

/* ---- building snapshots ---- */

/* Pages were made, or none will be: whoever waits for one looks again. */
static void wake_snapshot_waiters(hub *h, int rc) {
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || c->gone || !c->wants_snapshot || c->d.phase != DIALOG_READY) continue;
        if (rc < 0)
            hub_tell_and_close(h, c, SATCHEL_E_OVERLOAD, "the server could not make a snapshot");
        else
            hub_want_reader(h, c);
    }
}

/* The snapshots that connected devices are in the middle of; NULL if there are none, or no memory. */
static uint64_t *list_used(const hub *h, size_t *n) {
    uint64_t *id = calloc(h->nslots ? h->nslots : 1, sizeof *id);
    *n = 0;
    for (size_t i = 0; id && i < h->nslots; i++)
        if (h->slots[i] && h->slots[i]->wants_snapshot && h->slots[i]->snapshot) id[(*n)++] = h->slots[i]->snapshot;
    return id;
}

static bool step_snapshot(hub *h) {
    if (!h->building || h->stepping) return false;
    size_t n;
    uint64_t *used = list_used(h, &n);
    h->stepping = true;
    /* Another may be begun while this one ends. */
    h->building = false;
    pthread_mutex_unlock(&h->mutex);
    int rc = snapshots_step(h->snaps, used, n);
    free(used);
    pthread_mutex_lock(&h->mutex);
    h->stepping = false;
    if (rc > 0) h->building = true;
    if (rc < 0) {
        char text[128];
        snprintf(text, sizeof text, "a snapshot could not be made: %s", satchel_rc_text(rc));
        h->config.log(h->config.ctx, &(log_fields){.level = 'e', .event = "store", .rc = rc}, text);
    }
    wake_snapshot_waiters(h, rc);
    return true;
}

bool hub_read_step(hub *h, unsigned reader) {
    pthread_mutex_lock(&h->mutex);
    session *c = h->readers;
    bool worked = false;
    if (c) {
        hub_forget_reader(h, c);
        worked = serve(h, reader, c);
    }
    if (step_snapshot(h)) worked = true;
    bool wake = h->ready != NULL;
    pthread_mutex_unlock(&h->mutex);
    if (wake) h->config.wake(h->config.ctx);
    return worked || c != NULL;
}
