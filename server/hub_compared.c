/* What came out when a device compared all its rows. Nothing on the wire says where that begins and ends: it begins with the first range of the first table, and has ended
 * behind the last of the last. An answer counts when the next question shows that the device has taken it, that to the last range at once. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/record.h"

/* Ranges that differed of which is kept where they were. */
#define LISTED_MOST 10u

/* ---- where a message stands ---- */

/* The first live table of those from the i-th on; NULL: there is none. */
static const schema_table *live_from(const schema *s, size_t i) {
    while (i < s->ntable && s->table[i].until != SCHEMA_NEVER) i++;
    return i < s->ntable ? &s->table[i] : NULL;
}

/* Tells places apart: behind a key, or (nkey 0) a table's beginning. */
static uint64_t place(uint32_t table, unsigned nkey, const value *key) {
    buf b = {0};
    buf_put_varint(&b, table);
    for (unsigned i = 0; i < nkey; i++) value_put(&b, &key[i]);
    uint64_t hash = b.rc ? 0 : value_hash(b.p, b.n, 0) | 1;
    buf_fini(&b);
    return hash;
}

static void end_at(const schema *shape, const snapshot_range *last, hub_stretch *out) {
    if (last->has_to) {
        out->to = place(last->table, last->nkey, last->to);
        return;
    }
    const schema_table *t = schema_table_by_id(shape, last->table);
    const schema_table *next = t ? live_from(shape, (size_t)(t - shape->table) + 1) : NULL;
    out->ends = !next;
    out->to = next ? place(next->id, 0, NULL) : 0;
}

int hub_measure(const schema *shape, const buf *asked, const checksum_outcome *o, hub_stretch *out) {
    static _Thread_local sums_range one;
    const schema_table *first = live_from(shape, 0);
    sums_reader r;
    msg_sums head;
    *out = (hub_stretch){0};
    int rc = sums_open(&r, asked->p, asked->n, &head), more = 0;
    for (unsigned i = 0; !rc && (i == 0 || i < o->compared) && (more = sums_next(&r, &one)) == 1; i++) {
        const snapshot_range *range = &one.range;
        if (i == 0) out->begins = first && range->table == first->id && !range->has_from;
        if (i == 0) out->from = place(range->table, range->has_from ? range->nkey : 0, range->from);
        if (i < o->compared) out->rows += one.rows;
        if (i + 1 == o->compared && !o->cut) end_at(shape, range, out);
    }
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

/* ---- all of them together ---- */

void hub_walk_fini(hub_walk *w) {
    buf_fini(&w->found);
    *w = (hub_walk){0};
}

static void list(hub_walk *w, const checksum_found *f) {
    const char *range = *f->range == ' ' ? f->range + 1 : f->range;
    if (w->listed == LISTED_MOST) return;
    buf_printf(&w->found, "%s{\"table\":", w->listed++ ? "," : "");
    record_put_text(&w->found, f->t->name, strlen(f->t->name));
    buf_printf(&w->found, ",\"keys\":");
    record_put_text(&w->found, range, strlen(range));
    buf_printf(&w->found, ",\"device_rows\":%" PRIu64 ",\"store_rows\":%" PRIu64 "}", f->device_rows, f->store_rows);
}

static void add(device_compared *sum, const hub_stretch *s) {
    sum->ranges += s->ranges;
    sum->rows += s->rows;
    sum->differed += s->differed;
}

/* The device goes on at `from`: it has taken the last answer, or asks again. */
static void settle_last(hub_walk *w, uint64_t from) {
    if (from == w->last.from) {
        w->found.n = w->found_taken;
        w->listed = w->listed_taken;
        return;
    }
    add(&w->sum, &w->last);
    if (w->last.to && w->last.to != from) w->sum.passed++;
    w->found_taken = w->found.n;
    w->listed_taken = w->listed;
}

/* Work of the writer's: notes a comparison. */
typedef struct noting {
    hub_job job;
    hub *h;
    int64_t device;
    device_compared compared;
    buf found; /* JSON */
    bool ordered;
} noting;

static void free_noting(noting *j) {
    buf_fini(&j->found);
    free(j);
}

static int run_noting(hub_job *job, store *s, ingest *g, uint64_t now_ms) {
    noting *j = (noting *)job;
    (void)g, (void)now_ms;
    return store_device_compared(s, j->device, &j->compared, &j->found, &j->ordered);
}

static void done_noting(hub_job *job, int rc) {
    noting *j = (noting *)job;
    if (!rc && j->ordered) {
        pthread_mutex_lock(&j->h->mutex);
        hub_read_orders_soon(j->h);
        pthread_mutex_unlock(&j->h->mutex);
    }
    free_noting(j);
}

/* Where it cannot be noted, what was ordered stays so. */
static void note(hub *h, const session *c, uint64_t now_ms) {
    const hub_walk *w = &c->walk;
    noting *j = calloc(1, sizeof *j);
    if (!j) return;
    *j = (noting){.job = {.run = run_noting, .done = done_noting}, .h = h, .device = c->d.device, .compared = w->sum};
    add(&j->compared, &w->last);
    j->compared.ended_ms = now_ms;
    buf_put_byte(&j->found, '[');
    if (w->found.n) buf_put(&j->found, w->found.p, w->found.n);
    buf_put_byte(&j->found, ']');
    if (j->found.rc || w->found.rc || !hub_add_job(h, &j->job)) free_noting(j);
}

void hub_walk_on(hub *h, session *c, const hub_stretch *s, const checksum_outcome *o, uint64_t asked_ms) {
    hub_walk *w = &c->walk;
    if (s->begins) {
        hub_walk_fini(w);
        w->sum.begun_ms = asked_ms;
    } else if (w->sum.begun_ms) {
        settle_last(w, s->from);
    }
    if (!w->sum.begun_ms) return;
    w->last = *s;
    w->last.ranges = o->compared;
    w->last.differed = o->nfound;
    if (!o->compared) w->last.to = s->from;
    for (unsigned i = 0; i < o->nfound; i++) list(w, &o->found[i]);
    if (o->compared && s->ends) note(h, c, h->config.now_ms(h->config.ctx));
}
