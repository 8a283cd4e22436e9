#include <stdlib.h>
#include <string.h>

#include "protocol/capture_internal.h"
#include "protocol/changeset.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

/* Consolidation: one pass over the record links the entries of each row, in the order of the changes, and the rows of each table in the
 * order of their first change; then every row's chain is folded into at most one change. A row with a single entry, which is nearly
 * every row, is copied as it stands.
 *
 * A record with more entries than PASS_ENTRIES is gone through once for every partition of the rows'
 * hashes, so that memory does not grow with the transaction (C7). */
#define PASS_ENTRIES (192u << 10)
#define SLOTS_MIN 64u
/* One change holds at most two rows and a key; a part one change, or little. */
#define CHANGE_MAX (3 * LIMIT_ROW_BYTES)
#define OUT_MAX (CHANGE_MAX + LIMIT_PART_BYTES)
/* Kept between transactions; above it the memory is given back. */
#define KEEP_ROWS 4096u

void capture_net_init(capture_net *net) {
    *net = (capture_net){0};
    buf_init(&net->out, OUT_MAX);
    buf_init(&net->change, CHANGE_MAX);
}

void capture_net_fini(capture_net *net) {
    free(net->slot);
    free(net->row);
    free(net->table);
    free(net->touched);
    buf_fini(&net->out);
    buf_fini(&net->change);
    *net = (capture_net){0};
}

static capture_entry *entry_at(const capture_net *net, uint64_t offset) {
    return (capture_entry *)(void *)(net->p + offset);
}

static const uint8_t *entry_key(const capture_entry *e) {
    return (const uint8_t *)(e + 1);
}

static const uint8_t *entry_change(const capture_entry *e) {
    return entry_key(e) + e->key_n;
}

static bool same_row(const capture_entry *a, const capture_entry *b) {
    return a->hash == b->hash && a->table == b->table && a->key_n == b->key_n &&
           memcmp(entry_key(a), entry_key(b), a->key_n) == 0;
}

/* ---- memory ---- */

static int grow_tables(capture_net *net, unsigned n) {
    if (net->table_cap < n) {
        net_table *table = realloc(net->table, n * sizeof *table);
        if (table) net->table = table;
        uint16_t *touched = realloc(net->touched, n * sizeof *touched);
        if (touched) net->touched = touched;
        if (!table || !touched) return SATCHEL_E_NOMEM;
        net->table_cap = n;
    }
    memset(net->table, 0, n * sizeof *net->table);
    net->ntouched = 0;
    return SATCHEL_OK;
}

static void put_slot(capture_net *net, uint32_t hash, uint32_t row) {
    size_t mask = net->nslot - 1, i = hash & mask;
    while (net->slot[i]) i = (i + 1) & mask;
    net->slot[i] = row + 1;
}

/* An empty table of `n` slots, a power of two, with the rows so far put in again. */
static int set_slots(capture_net *net, size_t n) {
    if (n > net->slot_cap) {
        uint32_t *slot = realloc(net->slot, n * sizeof *slot);
        if (!slot) return SATCHEL_E_NOMEM;
        net->slot = slot;
        net->slot_cap = n;
    }
    net->nslot = n;
    memset(net->slot, 0, n * sizeof *net->slot);
    for (size_t i = 0; i < net->nrow; i++) put_slot(net, net->row[i].hash, (uint32_t)i);
    return SATCHEL_OK;
}

static int grow_rows(capture_net *net) {
    size_t cap = net->row_cap ? net->row_cap * 2 : SLOTS_MIN;
    net_row *row = realloc(net->row, cap * sizeof *row);
    if (!row) return SATCHEL_E_NOMEM;
    net->row = row;
    net->row_cap = cap;
    return SATCHEL_OK;
}

static void give_back(capture_net *net) {
    if (net->out.cap > 2 * LIMIT_PART_BYTES) buf_fini(&net->out), buf_init(&net->out, OUT_MAX);
    if (net->change.cap > 2 * LIMIT_PART_BYTES) buf_fini(&net->change), buf_init(&net->change, CHANGE_MAX);
    if (net->row_cap <= KEEP_ROWS) return;
    free(net->slot);
    free(net->row);
    net->slot = NULL;
    net->row = NULL;
    net->slot_cap = net->nslot = net->row_cap = net->nrow = 0;
}

/* ---- linking ---- */

static void link_to_table(capture_net *net, unsigned table, uint32_t row) {
    net_table *t = &net->table[table];
    if (t->last)
        net->row[t->last - 1].next = row + 1;
    else
        net->touched[net->ntouched++] = (uint16_t)table;
    if (!t->first) t->first = row + 1;
    t->last = row + 1;
}

static int add_row(capture_net *net, const capture_entry *e, uint64_t offset) {
    if (net->nrow == net->row_cap) {
        int rc = grow_rows(net);
        if (rc) return rc;
    }
    uint32_t row = (uint32_t)net->nrow++;
    net->row[row] = (net_row){.first = offset, .last = offset, .hash = (uint32_t)e->hash};
    link_to_table(net, e->table, row);
    if (net->nrow * 2 > net->nslot) return set_slots(net, net->nslot * 2);
    put_slot(net, (uint32_t)e->hash, row);
    return SATCHEL_OK;
}

static int link_entry(capture_net *net, capture_entry *e, uint64_t offset) {
    e->next = 0;
    size_t mask = net->nslot - 1;
    for (size_t i = (uint32_t)e->hash & mask; net->slot[i]; i = (i + 1) & mask) {
        net_row *row = &net->row[net->slot[i] - 1];
        if (row->hash != (uint32_t)e->hash || !same_row(entry_at(net, row->first), e)) continue;
        entry_at(net, row->last)->next = offset;
        row->last = offset;
        return SATCHEL_OK;
    }
    return add_row(net, e, offset);
}

static int refusal(capture_net *net, const capture_entry *e) {
    net->refused = &net->tables->table[e->table];
    net->refused_column = e->change_n;
    return e->refusal;
}

/* Links the entries whose hash falls into partition `pass` of `passes`. Every pass sees every refusal, the first one before anything
 * was given out. */
static int link_entries(capture_net *net, unsigned pass, unsigned passes) {
    net->nrow = 0;
    int rc = grow_tables(net, net->tables->n);
    if (!rc) rc = set_slots(net, SLOTS_MIN);
    for (uint64_t at = 0; at < net->n && !rc;) {
        capture_entry *e = entry_at(net, at);
        if (e->refusal)
            rc = refusal(net, e);
        else if (passes == 1 || (e->hash >> 32) % passes == pass)
            rc = link_entry(net, e, at);
        at += e->size;
    }
    return rc;
}

static unsigned count_passes(const capture_net *net) {
    if (net->n / sizeof(capture_entry) <= PASS_ENTRIES) return 1;
    uint64_t entries = 0;
    for (uint64_t at = 0; at < net->n; at += entry_at(net, at)->size) entries++;
    return (unsigned)((entries + PASS_ENTRIES - 1) / PASS_ENTRIES);
}

/* ---- folding ---- */

/* A row's net effect: what it was before the transaction, as far as known (`old`), and what it has become (`new`). */
typedef struct fold {
    bool started, before, after;
    bool insert; /* an insert met the row, and what it said stays said */
} fold;

static int read_record(const capture_table *t, const uint8_t **p, const uint8_t *end, value *out) {
    for (unsigned i = 0; i < t->ncol; i++) {
        int rc = value_get(p, end, &out[i]);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

/* The oldest value known stays. */
static int fold_old(capture_net *net, const capture_table *t, const uint8_t **p, const uint8_t *end, bool before) {
    for (unsigned i = 0; i < t->ncol; i++) {
        value v;
        int rc = value_get(p, end, &v);
        if (rc) return rc;
        if (before && net->old[i].type == VALUE_ABSENT) net->old[i] = v;
    }
    return SATCHEL_OK;
}

/* said: by a retry, be it so already. */
static int fold_new(capture_net *net, const capture_table *t, const uint8_t **p, const uint8_t *end, bool said) {
    for (unsigned i = 0; i < t->ncol; i++) {
        value v;
        int rc = value_get(p, end, &v);
        if (rc) return rc;
        if (v.type == VALUE_ABSENT) continue;
        net->new[i] = v;
        if (said && value_equal(&net->old[i], &v)) net->stays[t->unit[i]] = true;
    }
    return SATCHEL_OK;
}

static int fold_entry(capture_net *net, const capture_table *t, const capture_entry *e, fold *f) {
    const uint8_t *p = entry_change(e), *end = p + e->change_n;
    uint8_t op = p[0], indirect = p[1];
    p += 2;
    if (!f->started) *f = (fold){.started = true, .before = op != SQLITE_INSERT};
    int rc = SATCHEL_OK;
    if (op == SQLITE_INSERT) {
        rc = read_record(t, &p, end, net->new);
    } else {
        rc = fold_old(net, t, &p, end, f->before);
        if (!rc && op == SQLITE_UPDATE) rc = fold_new(net, t, &p, end, indirect & ENTRY_SAID);
    }
    f->after = op != SQLITE_DELETE;
    f->insert = f->insert || indirect & CHANGESET_INSERT;
    return rc;
}

/* Leaves only what differs or was said, and groups with such a column whole; false if nothing does and was. */
static bool reduce(capture_net *net, const capture_table *t, const fold *f) {
    bool *stays = net->stays, any = f->insert;
    for (unsigned i = 0; i < t->ncol; i++) {
        if (t->pk[i] || net->new[i].type == VALUE_ABSENT) continue;
        if (f->insert || !value_equal(&net->old[i], &net->new[i])) stays[t->unit[i]] = true;
        any = any || stays[t->unit[i]];
    }
    for (unsigned i = 0; i < t->ncol; i++) {
        if (!t->pk[i] && stays[t->unit[i]]) continue;
        net->new[i].type = VALUE_ABSENT;
        if (!t->pk[i]) net->old[i].type = VALUE_ABSENT;
    }
    return any;
}

/* The chain of a row as one change in net->change; nothing there if it comes to nothing. */
static int fold_row(capture_net *net, const capture_table *t, const capture_entry *e) {
    buf_clear(&net->change);
    memset(net->old, 0, t->ncol * sizeof *net->old);
    memset(net->new, 0, t->ncol * sizeof *net->new);
    memset(net->stays, 0, t->ncol * sizeof *net->stays);
    fold f = {0};
    for (;; e = entry_at(net, e->next)) {
        int rc = fold_entry(net, t, e, &f);
        if (rc) return rc;
        if (!e->next) break;
    }
    if (!f.before && !f.after) return SATCHEL_OK;
    if (f.before && f.after && !reduce(net, t, &f)) return SATCHEL_OK;
    changeset_put_op(&net->change,
                     !f.before  ? SQLITE_INSERT
                     : !f.after ? SQLITE_DELETE
                                : SQLITE_UPDATE,
                     f.before && f.after && f.insert ? CHANGESET_INSERT : 0);
    for (unsigned i = 0; i < t->ncol && f.before; i++) value_put(&net->change, &net->old[i]);
    for (unsigned i = 0; i < t->ncol && f.after; i++) value_put(&net->change, &net->new[i]);
    return net->change.rc;
}

/* ---- parts ---- */

static int give_part(capture_net *net, bool last) {
    int rc = net->part(net->ctx, net->parts++, last, net->out.p, net->out.n);
    buf_clear(&net->out);
    net->section = NULL;
    return rc;
}

/* Only when another change follows is it known that a full part is not the last. */
static int put_change(capture_net *net, const capture_table *t, const uint8_t *p, size_t n) {
    if (net->out.n && net->out.n + n > LIMIT_PART_BYTES) {
        int rc = give_part(net, false);
        if (rc) return rc;
    }
    if (net->section != t) changeset_put_table(&net->out, t->desc->name, t->ncol, t->pk);
    net->section = t;
    buf_put(&net->out, p, n);
    return net->out.rc;
}

static int put_row(capture_net *net, const capture_table *t, const net_row *row) {
    const capture_entry *e = entry_at(net, row->first);
    if (!e->next) return put_change(net, t, entry_change(e), e->change_n);
    int rc = fold_row(net, t, e);
    if (rc || !net->change.n) return rc;
    return put_change(net, t, net->change.p, net->change.n);
}

static int put_rows(capture_net *net) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < net->ntouched && !rc; i++) {
        const capture_table *t = &net->tables->table[net->touched[i]];
        for (uint32_t row = net->table[net->touched[i]].first; row && !rc; row = net->row[row - 1].next)
            rc = put_row(net, t, &net->row[row - 1]);
    }
    return rc;
}

int capture_net_run(capture_net *net, const capture_tables *tables, capture_record *r) {
    net->tables = tables;
    net->parts = 0;
    net->section = NULL;
    net->refused = NULL;
    buf_clear(&net->out);
    int rc = capture_record_view(r, &net->p, &net->n);
    if (rc || !net->n) return rc;
    unsigned passes = count_passes(net);
    for (unsigned pass = 0; pass < passes && !rc; pass++) {
        rc = link_entries(net, pass, passes);
        if (!rc) rc = put_rows(net);
    }
    if (!rc && net->out.n) rc = give_part(net, true);
    give_back(net);
    return rc;
}
