#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "protocol/translate.h"
#include "replica/overlay_internal.h"

/* Grows *p to hold one more than n elements. */
static int grow(void **p, size_t *cap, size_t n, size_t size) {
    if (n < *cap) return SATCHEL_OK;
    size_t more = *cap ? *cap * 2 : 64;
    void *q = realloc(*p, more * size);
    if (!q) return SATCHEL_E_NOMEM;
    *p = q;
    *cap = more;
    return SATCHEL_OK;
}

uint64_t index_hash(uint32_t table, const void *key, size_t n) {
    return value_hash(key, n, table);
}

/* ---- transactions ---- */

void index_clear(overlay *o) {
    o->nentry = 0;
    o->free = 0;
    o->live = 0;
    o->ntxn = 0;
    o->naccepted = 0;
    o->last_number = 0;
    if (o->slot) memset(o->slot, 0, o->nslot * sizeof *o->slot);
    for (unsigned i = 0; i < BLOB_SLOTS; i++) o->blob[i].used = 0;
    o->map.table = NULL;
}

/* The place of the first transaction that is not below `number`. */
static size_t txn_place(const overlay *o, uint64_t number) {
    size_t low = 0, high = o->ntxn;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (o->txn[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

pending *index_txn(overlay *o, uint64_t number) {
    size_t at = txn_place(o, number);
    return at < o->ntxn && o->txn[at].number == number ? &o->txn[at] : NULL;
}

void index_remove_txn(overlay *o, uint64_t number) {
    pending *p = index_txn(o, number);
    if (!p) return;
    size_t at = (size_t)(p - o->txn);
    memmove(p, p + 1, (o->ntxn - at - 1) * sizeof *p);
    o->ntxn--;
}

void index_sweep_txns(overlay *o) {
    size_t n = 0;
    for (size_t i = 0; i < o->ntxn; i++) {
        if (o->txn[i].gone)
            o->naccepted--;
        else
            o->txn[n++] = o->txn[i];
    }
    o->ntxn = n;
}

/* ---- entries ---- */

static int rehash(overlay *o, size_t nslot) {
    uint32_t *slot = calloc(nslot, sizeof *slot);
    if (!slot) return SATCHEL_E_NOMEM;
    for (size_t i = 0; i < o->nslot; i++) {
        for (uint32_t at = o->slot[i], next; at; at = next) {
            entry *e = &o->entry[at - 1];
            next = e->next;
            e->next = slot[e->hash & (nslot - 1)];
            slot[e->hash & (nslot - 1)] = at;
        }
    }
    free(o->slot);
    o->slot = slot;
    o->nslot = nslot;
    return SATCHEL_OK;
}

/* Takes an unused entry: index + 1, or 0 if memory is out. */
static uint32_t take_entry(overlay *o) {
    uint32_t at = o->free;
    if (at) {
        o->free = o->entry[at - 1].next;
        return at;
    }
    size_t cap = o->entry_cap;
    if (o->nentry == UINT32_MAX - 1 || grow((void **)&o->entry, &cap, o->nentry, sizeof *o->entry)) return 0;
    o->entry_cap = (uint32_t)cap;
    return ++o->nentry;
}

static int add_entry(overlay *o, const entry *e) {
    if (o->live >= o->nslot && rehash(o, o->nslot ? o->nslot * 2 : 256)) return SATCHEL_E_NOMEM;
    uint32_t at = take_entry(o);
    if (!at) return SATCHEL_E_NOMEM;
    uint32_t *first = &o->slot[e->hash & (o->nslot - 1)];
    o->entry[at - 1] = *e;
    o->entry[at - 1].next = *first;
    *first = at;
    o->live++;
    return SATCHEL_OK;
}

void index_remove(overlay *o, uint32_t at) {
    entry *e = &o->entry[at];
    uint32_t *link = &o->slot[e->hash & (o->nslot - 1)];
    while (*link != at + 1) link = &o->entry[*link - 1].next;
    *link = e->next;
    e->number = 0;
    e->next = o->free;
    o->free = at + 1;
    o->live--;
}

bool index_holds(const overlay *o, uint64_t hash, uint64_t number) {
    if (!o->live) return false;
    for (uint32_t at = o->slot[hash & (o->nslot - 1)]; at; at = o->entry[at - 1].next)
        if (o->entry[at - 1].hash == hash && o->entry[at - 1].number == number) return true;
    return false;
}

/* ---- changesets ---- */

static int read_blob(overlay *o, const pending *p, uint32_t part, const buf **out) {
    blob_slot *oldest = &o->blob[0];
    for (unsigned i = 0; i < BLOB_SLOTS; i++) {
        blob_slot *s = &o->blob[i];
        if (s->used && s->number == p->number && s->part == part) {
            s->used = ++o->tick;
            *out = &s->bytes;
            return SATCHEL_OK;
        }
        if (s->used < oldest->used) oldest = s;
    }
    outbox_txn t = {.number = p->number, .parts = p->parts};
    buf_clear(&oldest->bytes);
    oldest->used = 0;
    int rc = outbox_changes(o->f, &t, part, &oldest->bytes);
    if (rc) return rc;
    oldest->number = p->number;
    oldest->part = part;
    oldest->used = ++o->tick;
    *out = &oldest->bytes;
    return SATCHEL_OK;
}

static void use_layout(overlay *o, const schema_table *t, uint32_t epoch) {
    const schema_column *layout[LIMIT_COLUMNS];
    layout_map *m = &o->map;
    if (m->table == t && m->epoch == epoch) return;
    m->table = t;
    m->epoch = epoch;
    m->n = schema_layout(t, epoch, layout);
    for (unsigned i = 0; i < m->n; i++) m->at[i] = (int16_t)rows_column_index(t, layout[i]->id);
}

int index_key(overlay *o, uint32_t epoch, const changeset_change *change, const schema_table **t, buf *key) {
    value v[LIMIT_KEY_COLUMNS];
    const value *row = change->op == SQLITE_INSERT ? change->new : change->old;
    *t = schema_table_in_epoch(o->f->schema, epoch, change->table);
    if (*t && (*t)->until != SCHEMA_NEVER) *t = NULL;
    if (!*t) return SATCHEL_OK;
    use_layout(o, *t, epoch);
    unsigned found = 0;
    for (unsigned i = 0; i < change->ncol; i++) {
        unsigned place = change->pk[i];
        if (!place) continue;
        if (place > (*t)->nkey) break;
        v[place - 1] = row[i];
        found++;
    }
    if (o->map.n != change->ncol || found != (*t)->nkey) {
        *t = NULL;
        return SATCHEL_OK;
    }
    buf_clear(key);
    rows_key_bytes(*t, v, key);
    return key->rc;
}

static int add_part(overlay *o, const pending *p, uint32_t part, const buf *bytes) {
    changeset_reader reader;
    const schema_table *t;
    int rc;
    changeset_open(&reader, bytes->p, bytes->n);
    while ((rc = changeset_next(&reader, &o->change)) == 1) {
        rc = index_key(o, p->epoch, &o->change, &t, &o->key);
        if (!rc && t) {
            entry e = {.hash = index_hash(t->id, o->key.p, o->key.n),
                       .number = p->number,
                       .table = t->id,
                       .part = part,
                       .header = (uint32_t)o->change.header_offset,
                       .offset = (uint32_t)o->change.offset};
            rc = add_entry(o, &e);
        }
        if (rc) return rc;
    }
    return rc ? file_fail(o->f, rc, "transaction %llu in the outbox is damaged", (unsigned long long)p->number) : SATCHEL_OK;
}

int index_add(overlay *o, const pending *p) {
    int rc = grow((void **)&o->txn, &o->txn_cap, o->ntxn, sizeof *o->txn);
    if (rc) return rc;
    o->txn[o->ntxn++] = *p;
    if (p->seq) o->naccepted++;
    uint32_t part = 0;
    do {
        const buf *bytes;
        rc = read_blob(o, p, part, &bytes);
        if (!rc) rc = add_part(o, p, part, bytes);
    } while (!rc && ++part < p->parts);
    return rc;
}

/* ---- the entries of a row ---- */

int index_load(overlay *o, const schema_table *t, uint32_t at) {
    const entry *e = &o->entry[at];
    const pending *p = index_txn(o, e->number);
    const buf *bytes;
    if (!p)
        return file_fail(o->f, SATCHEL_E_INTERNAL, "the overlay holds a change of transaction %llu, which left",
                         (unsigned long long)e->number);
    int rc = read_blob(o, p, e->part, &bytes);
    if (!rc) rc = changeset_at(bytes->p, bytes->n, e->header, e->offset, &o->change);
    if (!rc) use_layout(o, t, p->epoch);
    return rc;
}

/* A transaction makes one change of a row (C6): the numbers tell the order. */
static int keep_found(overlay *o, uint32_t at) {
    int rc = grow((void **)&o->found, &o->found_cap, o->nfound, sizeof *o->found);
    if (rc) return rc;
    size_t i = o->nfound++;
    for (; i > 0 && o->entry[at].number < o->entry[o->found[i - 1]].number; i--) o->found[i] = o->found[i - 1];
    o->found[i] = at;
    return SATCHEL_OK;
}

static int is_of_row(overlay *o, const schema_table *t, uint32_t at, const void *key, size_t nkey, bool *same) {
    buf other;
    const schema_table *its;
    buf_init(&other, 0);
    int rc = index_load(o, t, at);
    if (!rc) rc = index_key(o, o->map.epoch, &o->change, &its, &other);
    *same = !rc && other.n == nkey && memcmp(other.p, key, nkey) == 0;
    buf_fini(&other);
    return rc;
}

int index_find(overlay *o, const schema_table *t, uint64_t hash, const void *key, size_t nkey) {
    o->nfound = 0;
    if (!o->live) return SATCHEL_OK;
    for (uint32_t at = o->slot[hash & (o->nslot - 1)]; at; at = o->entry[at - 1].next) {
        const entry *e = &o->entry[at - 1];
        bool same;
        if (e->hash != hash || e->table != t->id) continue;
        int rc = is_of_row(o, t, at - 1, key, nkey, &same);
        if (!rc && same) rc = keep_found(o, at - 1);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}
