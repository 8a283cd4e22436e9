#include "server/scope_log.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"

/* What may wait in all audiences together. */
#define WAITING_BYTES (4u << 20)
#define MAX_PARTS (1u << 24)

void scope_log_init(scope_log *l, db_cache *cache) {
    memset(l, 0, sizeof *l);
    l->cache = cache;
}

void scope_log_fini(scope_log *l) {
    for (unsigned i = 0; i < l->room; i++) delta_writer_fini(&l->open[i].out);
    free(l->open);
    memset(l, 0, sizeof *l);
}

static void close_all(scope_log *l) {
    if (l->n > 1) memset(l->slot, 0, sizeof l->slot);
    l->n = l->last = 0;
    l->bytes = 0;
}

static void drop_waiting(scope_log *l) {
    buf nowhere;
    buf_init(&nowhere, 0);
    for (unsigned i = 0; i < l->n; i++) {
        delta_finish(&l->open[i].out, &nowhere);
        buf_clear(&nowhere);
    }
    buf_fini(&nowhere);
    close_all(l);
}

void scope_log_begin(scope_log *l, field_clock clock, uint64_t now_ms) {
    drop_waiting(l);
    l->clock = clock;
    l->now_ms = now_ms;
    l->parts = 0;
}

static bool waits(const scope_audience *a) {
    return a->out.groups || a->out.nitems;
}

/* ---- audiences ---- */

static unsigned hash(uint32_t set, uint32_t besides) {
    return (set * 2654435761u ^ besides * 2246822519u) >> 7;
}

static uint16_t *find_slot(scope_log *l, uint32_t set, uint32_t besides) {
    for (unsigned at = hash(set, besides);; at++) {
        uint16_t *slot = &l->slot[at % SCOPE_AUDIENCE_SLOTS];
        if (!*slot) return slot;
        const scope_audience *a = &l->open[*slot - 1];
        if (a->set == set && a->besides == besides) return slot;
    }
}

static bool make_room(scope_log *l) {
    if (l->n < l->room) return true;
    unsigned room = l->room ? l->room * 2 : 2;
    scope_audience *more = realloc(l->open, room * sizeof *more);
    if (!more) return false;
    for (unsigned i = l->room; i < room; i++) delta_writer_init(&more[i].out);
    l->open = more;
    l->room = room;
    return true;
}

/* The first is not entered until there is a second: most commits have one. */
static scope_audience *add(scope_log *l, uint32_t set, uint32_t besides) {
    if (!make_room(l)) return NULL;
    l->open[l->n].set = set;
    l->open[l->n].besides = besides;
    l->last = l->n++;
    if (l->n == 2) *find_slot(l, l->open[0].set, l->open[0].besides) = 1;
    if (l->n >= 2) *find_slot(l, set, besides) = (uint16_t)l->n;
    return &l->open[l->last];
}

static scope_audience *find(scope_log *l, uint32_t set, uint32_t besides) {
    const scope_audience *a = l->n ? &l->open[l->last] : NULL;
    if (a && a->set == set && a->besides == besides) return &l->open[l->last];
    if (l->n < 2) return add(l, set, besides);
    uint16_t *slot = find_slot(l, set, besides);
    if (!*slot) return add(l, set, besides);
    l->last = *slot - 1u;
    return &l->open[l->last];
}

/* ---- writing ---- */

static int write_part(scope_log *l, uint32_t set, uint32_t besides, unsigned part, const buf *blob) {
    return db_exec(l->cache,
                   "INSERT OR REPLACE INTO satchel_log(id,bucket,author,stamp,at_ms,delta,besides) VALUES(?,?,?,?,?,?,?)",
                   "iiiiibi", (int64_t)(l->clock.seq << 24 | part), (int64_t)set, (int64_t)l->clock.author,
                   (int64_t)l->clock.stamp, (int64_t)l->now_ms, blob->p, blob->n, (int64_t)besides);
}

static int flush_one(scope_log *l, scope_audience *a) {
    if (!waits(a)) return SATCHEL_OK;
    buf blob;
    buf_init(&blob, 0);
    int rc = delta_finish(&a->out, &blob);
    if (!rc && l->parts >= MAX_PARTS) rc = SATCHEL_E_TOO_LARGE;
    if (!rc) rc = write_part(l, a->set, a->besides, l->parts, &blob);
    l->parts++;
    buf_fini(&blob);
    return rc;
}

int scope_log_flush(scope_log *l) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < l->n && !rc; i++) rc = flush_one(l, &l->open[i]);
    if (!rc) close_all(l);
    return rc;
}

int scope_log_put(scope_log *l, uint32_t set, uint32_t besides, const delta_row *row) {
    size_t n = 0;
    for (unsigned i = 0; i < row->ncol; i++) n += value_size(&row->v[i]);
    int rc = l->n >= SCOPE_AUDIENCES || l->bytes > WAITING_BYTES ? scope_log_flush(l) : SATCHEL_OK;
    if (rc) return rc;
    scope_audience *a = find(l, set, besides);
    if (!a) return SATCHEL_E_NOMEM;
    /* A part that is not empty takes no row with which it would not fit a frame. */
    if (delta_size(&a->out) + n > LIMIT_ROW_BYTES && (rc = flush_one(l, a))) return rc;
    delta_put_row(&a->out, row);
    l->bytes += n + row->nkey;
    return delta_size(&a->out) < LIMIT_PART_BYTES ? SATCHEL_OK : flush_one(l, a);
}

/* ---- taking back ---- */

/* What is left of one part, 0 rows or more, in `out`. */
static int strip_part(const void *delta, size_t n, int (*drop)(void *, const delta_row *), void *ctx, delta_writer *out) {
    static _Thread_local delta_reader r;
    static _Thread_local delta_row row;
    wire w;
    wire_open(&w, delta, n);
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &row)) == 1) {
        int gone = drop(ctx, &row);
        if (gone < 0) return gone;
        if (!gone) delta_put_row(out, &row);
    }
    return more;
}

static int strip_all(scope_log *l, int (*drop)(void *, const delta_row *), void *ctx, unsigned *kept) {
    delta_writer out;
    buf blob;
    delta_writer_init(&out);
    buf_init(&blob, 0);
    int rc = SATCHEL_OK;
    for (unsigned part = 0; part < l->parts && !rc; part++) {
        sqlite3_stmt *q = db_prepare(l->cache, "SELECT delta,bucket,besides FROM satchel_log WHERE id=?");
        db_bind(q, "i", (int64_t)(l->clock.seq << 24 | part));
        rc = db_next(l->cache, q);
        if (rc != 1) break;
        uint32_t set = (uint32_t)sqlite3_column_int64(q, 1), besides = (uint32_t)sqlite3_column_int64(q, 2);
        rc = strip_part(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), drop, ctx, &out);
        sqlite3_reset(q);
        bool any = out.groups || out.nitems;
        buf_clear(&blob);
        int end = delta_finish(&out, &blob);
        if (!rc) rc = end;
        if (!rc && any) rc = write_part(l, set, besides, (*kept)++, &blob);
    }
    delta_writer_fini(&out);
    buf_fini(&blob);
    return rc;
}

int scope_log_strip(scope_log *l, int (*drop)(void *ctx, const delta_row *row), void *ctx) {
    unsigned kept = 0;
    int rc = scope_log_flush(l);
    if (!rc && l->parts) rc = strip_all(l, drop, ctx, &kept);
    if (!rc && kept < l->parts)
        rc = db_exec(l->cache, "DELETE FROM satchel_log WHERE id>=? AND id<?", "ii", (int64_t)(l->clock.seq << 24 | kept),
                     (int64_t)((l->clock.seq + 1) << 24));
    l->parts = kept;
    return rc;
}
