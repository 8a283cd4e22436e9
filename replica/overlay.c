#include "replica/overlay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/digest.h"
#include "protocol/satchel_rc.h"
#include "protocol/translate.h"
#include "replica/overlay_internal.h"

/* ---- life ---- */

int overlay_new(file *f, overlay **out) {
    overlay *o = calloc(1, sizeof *o);
    *out = o;
    if (!o) return SATCHEL_E_NOMEM;
    o->f = f;
    rows_init(&o->rows, f->db);
    arena_init(&o->arena);
    buf_init(&o->key, 0);
    for (unsigned i = 0; i < BLOB_SLOTS; i++) buf_init(&o->blob[i].bytes, 0);
    return SATCHEL_OK;
}

void overlay_free(overlay *o) {
    if (!o) return;
    rows_fini(&o->rows);
    arena_fini(&o->arena);
    buf_fini(&o->key);
    for (unsigned i = 0; i < BLOB_SLOTS; i++) buf_fini(&o->blob[i].bytes);
    free(o->entry);
    free(o->slot);
    free(o->txn);
    free(o->found);
    free(o->touched);
    free(o);
}

void overlay_invalidate(overlay *o) {
    o->valid = false;
    overlay_forget_touched(o);
    rows_forget(&o->rows);
    o->map.table = NULL;
}

size_t overlay_size(const overlay *o) {
    return o->live;
}

unsigned overlay_waiting(overlay *o, table_waiting out[LIMIT_TABLES]) {
    uint64_t changes[LIMIT_TABLES + 1] = {0}; /* ids count up from 1 over the life of the schema, which has no more */
    unsigned n = 0;
    for (uint32_t i = 0; i < o->nentry; i++) {
        const entry *e = &o->entry[i];
        const pending *p = e->number ? index_txn(o, e->number) : NULL;
        if (p && !p->seq) changes[e->table]++;
    }
    for (uint32_t id = 1; id <= LIMIT_TABLES; id++)
        if (changes[id]) out[n++] = (table_waiting){.table = id, .changes = changes[id]};
    return n;
}

static int size_touched(overlay *o) {
    unsigned n = o->f->schema->ntable;
    if (n <= o->touched_cap) return SATCHEL_OK;
    uint32_t *p = realloc(o->touched, n * sizeof *p);
    if (!p) return SATCHEL_E_NOMEM;
    o->touched = p;
    o->touched_cap = n;
    return SATCHEL_OK;
}

static int read_outbox(overlay *o) {
    file *f = o->f;
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT n, seq, epoch, parts FROM satchel_outbox WHERE n>? AND state<=1 ORDER BY n");
    int rc;
    db_bind(q, "i", (int64_t)o->last_number);
    while ((rc = db_next(&f->sql, q)) == 1) {
        pending p = {.number = (uint64_t)sqlite3_column_int64(q, 0),
                     .seq = (uint64_t)sqlite3_column_int64(q, 1),
                     .epoch = (uint32_t)sqlite3_column_int64(q, 2),
                     .parts = (uint32_t)sqlite3_column_int64(q, 3)};
        int failed = index_add(o, &p);
        o->last_number = p.number;
        if (failed) {
            sqlite3_reset(q);
            return failed;
        }
    }
    return rc ? file_db_error(f, "cannot read the outbox") : SATCHEL_OK;
}

int overlay_refresh(overlay *o) {
    if (!o->valid || o->known != o->f->state.overlay) index_clear(o);
    o->valid = false;
    int rc = size_touched(o);
    if (!rc) rc = read_outbox(o);
    if (rc) return rc;
    o->known = o->f->state.overlay;
    o->valid = true;
    return SATCHEL_OK;
}

/* Other indexes on this file learn from the count that something left. */
static void count_change(overlay *o) {
    o->known = ++o->f->state.overlay;
}

/* ---- rows of pages ---- */

/* Rows of a table that is gone are passed over: *t is NULL. */
static int find_table(overlay *o, const delta_row *change, const schema_table **t) {
    *t = schema_table_by_id(o->f->schema, change->table);
    if (!*t)
        return file_fail(o->f, SATCHEL_E_UNKNOWN_TABLE, "the server sent rows of table %u, which the schema does not have",
                         change->table);
    if ((*t)->until != SCHEMA_NEVER) {
        *t = NULL;
        return SATCHEL_OK;
    }
    if (change->nkey != (*t)->nkey)
        return file_fail(o->f, SATCHEL_E_MALFORMED, "the server sent a key of %u values for table \"%s\"", change->nkey,
                         (*t)->name);
    return SATCHEL_OK;
}

int overlay_apply(overlay *o, const delta_row *change, uint64_t seq) {
    const schema_table *t;
    row_reason why = {.change = change, .seq = seq, .leave_to = seq};
    int rc = find_table(o, change, &t);
    return rc || !t ? rc : row_process(o, t, change->key, &why);
}

int overlay_apply_snapshot(overlay *o, const delta_row *change, uint64_t seq) {
    const schema_table *t;
    row_reason why = {.change = change, .seq = seq};
    int rc = find_table(o, change, &t);
    return rc || !t ? rc : row_process(o, t, change->key, &why);
}

/* The table and the key's values of a row of satchel_base. *t is NULL if there is no such table any more. */
static int read_base_key(overlay *o, uint32_t table, const void *key, size_t n, const schema_table **t,
                         value v[LIMIT_KEY_COLUMNS]) {
    *t = schema_table_by_id(o->f->schema, table);
    if (*t && (*t)->until != SCHEMA_NEVER) *t = NULL;
    return *t ? rows_key_values(*t, key, n, v) : SATCHEL_OK;
}

static int rewind_row(overlay *o, uint32_t table, const buf *key, uint64_t epoch_start) {
    value v[LIMIT_KEY_COLUMNS];
    const schema_table *t;
    row_reason why = {.seq = epoch_start, .rewinds = true};
    int rc = read_base_key(o, table, key->p, key->n, &t, v);
    return rc || !t ? rc : row_process(o, t, v, &why);
}

/* The row of satchel_base behind that of `table` and `key`: 1, or 0 if there is none. */
static int next_base(overlay *o, int64_t *table, buf *key) {
    file *f = o->f;
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT tbl, key FROM satchel_base WHERE (tbl, key)>(?, ?) ORDER BY tbl, key LIMIT 1");
    db_bind(q, "ib", *table, key->n ? key->p : (const void *)"", key->n);
    int rc = db_next(&f->sql, q);
    if (rc < 0) return file_db_error(f, "cannot read satchel_base");
    if (rc == 0) return 0;
    *table = sqlite3_column_int64(q, 0);
    buf_clear(key);
    buf_put(key, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    sqlite3_reset(q);
    return key->rc ? key->rc : 1;
}

int overlay_rewind(overlay *o, uint64_t epoch_start) {
    int64_t table = 0;
    buf key;
    int rc = overlay_refresh(o);
    buf_init(&key, 0);
    while (!rc && (rc = next_base(o, &table, &key)) == 1) rc = rewind_row(o, (uint32_t)table, &key, epoch_start);
    buf_fini(&key);
    return rc;
}

/* ---- transactions that leave ---- */

void overlay_accepted(overlay *o, uint64_t number, uint64_t seq) {
    pending *p = index_txn(o, number);
    count_change(o);
    if (!p) return;
    o->naccepted++;
    p->seq = seq;
}

static int leave_change(overlay *o, uint32_t epoch, const changeset_change *change, const row_reason *why, uint64_t number) {
    const schema_table *t;
    value key[LIMIT_KEY_COLUMNS];
    int rc = index_key(o, epoch, change, &t, &o->key);
    if (rc || !t || !index_holds(o, index_hash(t->id, o->key.p, o->key.n), number)) return rc;
    const value *row = change->op == SQLITE_INSERT ? change->new : change->old;
    for (unsigned i = 0; i < change->ncol; i++)
        if (change->pk[i]) key[change->pk[i] - 1] = row[i];
    return row_process(o, t, key, why);
}

static int leave_part(overlay *o, const outbox_txn *t, unsigned part, buf *bytes, const row_reason *why) {
    changeset_reader reader;
    changeset_change change;
    buf_clear(bytes);
    int rc = outbox_changes(o->f, t, part, bytes);
    if (rc) return rc;
    changeset_open(&reader, bytes->p, bytes->n);
    while ((rc = changeset_next(&reader, &change)) == 1) {
        rc = leave_change(o, t->epoch, &change, why, t->number);
        if (rc) return rc;
    }
    return rc;
}

static int leave(overlay *o, const outbox_txn *t, const row_reason *why) {
    buf bytes;
    unsigned part = 0;
    int rc;
    buf_init(&bytes, 0);
    do rc = leave_part(o, t, part, &bytes, why);
    while (!rc && ++part < t->parts);
    buf_fini(&bytes);
    return rc;
}

int overlay_show(overlay *o, const outbox_txn *t) {
    return leave(o, t, &(row_reason){0}); /* none does: its rows are looked at */
}

int overlay_leave(overlay *o, const outbox_txn *t) {
    row_reason why = {.leave_number = t->number};
    count_change(o);
    int rc = leave(o, t, &why);
    if (!rc) index_remove_txn(o, t->number);
    return rc;
}

/* Rows that a page touched have lost these entries already; what is left shows that a change of the transaction was not taken. */
int overlay_confirm(overlay *o, uint64_t seq) {
    row_reason why = {.leave_to = seq};
    if (o->naccepted == 0) return SATCHEL_OK;
    for (size_t i = 0; i < o->ntxn; i++) {
        outbox_txn t;
        if (!o->txn[i].seq || o->txn[i].seq > seq) continue;
        int rc = outbox_get(o->f, o->txn[i].number, &t);
        if (!rc) rc = leave(o, &t, &why);
        if (!rc) rc = outbox_confirm(o->f, &t);
        if (rc) return rc;
        o->txn[i].gone = true;
    }
    index_sweep_txns(o);
    count_change(o);
    return SATCHEL_OK;
}

/* ---- ranges of a snapshot ---- */

#define DOOMED_AT_ONCE 512

/* A range that is cleared: of which snapshot, and what its other rows have met. */
typedef struct clearing {
    const snapshot_range *r;
    uint64_t seq;
    delta_op op;
    key_set held;
} clearing;

void key_set_put(key_set *set, uint64_t hash) {
    buf_put(&set->hashes, &hash, sizeof hash);
    set->n++;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

int key_set_close(key_set *set) {
    if (!set->hashes.rc && set->n) qsort(set->hashes.p, set->n, sizeof(uint64_t), compare_hashes);
    return set->hashes.rc;
}

bool key_set_has(const key_set *set, uint64_t hash) {
    return set->n && bsearch(&hash, set->hashes.p, set->n, sizeof hash, compare_hashes);
}

static int read_keys(overlay *o, const schema_table *t, clearing *c) {
    wire w;
    delta_reader reader;
    delta_row row;
    int rc;
    key_set *set = &c->held;
    wire_open(&w, c->r->delta, c->r->ndelta);
    delta_open(&reader, &w);
    while ((rc = delta_next(&reader, &row)) == 1) {
        if (row.table != t->id || row.op != DELTA_PUT || row.nkey != t->nkey)
            return file_fail(o->f, SATCHEL_E_MALFORMED, "a snapshot's range holds something else than rows of its table");
        buf_clear(&o->key);
        rows_key_bytes(t, row.key, &o->key);
        if (o->key.rc) return o->key.rc;
        uint64_t hash = index_hash(t->id, o->key.p, o->key.n);
        key_set_put(set, hash);
    }
    return rc ? rc : key_set_close(set);
}

int range_prepare(overlay *o, const schema_table *t, bool has_from, bool has_to, sqlite3_stmt **out) {
    sqlite3_str *sql = sqlite3_str_new(NULL);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->key[i]->name);
    sqlite3_str_appendf(sql, " FROM main.\"%w\"", t->name);
    digest_put_range(sql, t, has_from, has_to);
    sqlite3_str_appendall(sql, " ORDER BY ");
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    if (!text) return SATCHEL_E_NOMEM;
    int rc = sqlite3_prepare_v2(o->f->db, text, -1, out, NULL);
    sqlite3_free(text);
    return rc ? file_db_error(o->f, "cannot read a table") : SATCHEL_OK;
}

static int remove_row(overlay *o, const schema_table *t, const void *key, size_t n, const clearing *c) {
    delta_row change = {.table = t->id, .op = c->op, .nkey = t->nkey};
    int rc = rows_key_values(t, key, n, change.key);
    return rc ? rc : overlay_apply_snapshot(o, &change, c->seq);
}

/* Keys to remove, each with its length before it: rows are deleted only when the statement that found them has ended. */
static int remove_doomed(overlay *o, const schema_table *t, const buf *doomed, const clearing *c) {
    const uint8_t *p = doomed->p, *end = p + doomed->n;
    uint64_t n;
    while (buf_get_varint(&p, end, &n)) {
        int rc = remove_row(o, t, p, (size_t)n, c);
        if (rc) return rc;
        p += n;
    }
    return doomed->rc;
}

/* One run of the statement: up to DOOMED_AT_ONCE keys that the set lacks. *last holds the bytes of the last one. */
static int find_doomed(overlay *o, const schema_table *t, sqlite3_stmt *q, const key_set *set, buf *doomed, buf *last,
                       unsigned *n) {
    int step;
    buf_clear(doomed);
    *n = 0;
    while (*n < DOOMED_AT_ONCE && (step = sqlite3_step(q)) == SQLITE_ROW) {
        value key[LIMIT_KEY_COLUMNS];
        for (unsigned i = 0; i < t->nkey; i++) key[i] = value_of_column(q, (int)i);
        buf_clear(last);
        rows_key_bytes(t, key, last);
        if (last->rc) break;
        if (key_set_has(set, index_hash(t->id, last->p, last->n))) continue;
        buf_put_varint(doomed, last->n);
        buf_put(doomed, last->p, last->n);
        ++*n;
    }
    int rc = sqlite3_reset(q);
    if (rc) return file_db_error(o->f, "cannot read a table");
    return last->rc ? last->rc : doomed->rc;
}

/* Rows that are shown. After a full run it goes on behind the last key that it removed. */
static int clear_shown(overlay *o, const schema_table *t, const clearing *c) {
    snapshot_range left = *c->r;
    buf doomed, last;
    unsigned n = DOOMED_AT_ONCE;
    int rc = SATCHEL_OK;
    buf_init(&doomed, 0);
    buf_init(&last, 0);
    while (!rc && n == DOOMED_AT_ONCE) {
        sqlite3_stmt *q = NULL;
        rc = range_prepare(o, t, left.has_from, left.has_to, &q);
        if (!rc) rc = digest_bind_range(q, t, &left);
        if (!rc) rc = find_doomed(o, t, q, &c->held, &doomed, &last, &n);
        sqlite3_finalize(q);
        if (!rc) rc = remove_doomed(o, t, &doomed, c);
        if (!rc && n == DOOMED_AT_ONCE) rc = rows_key_values(t, last.p, last.n, left.from);
        left.has_from = true;
    }
    buf_fini(&last);
    buf_fini(&doomed);
    return rc;
}

static int compare_keys(const schema_table *t, const value *a, const value *b) {
    for (unsigned i = 0; i < t->nkey; i++) {
        int c = value_compare(&a[i], &b[i]);
        if (c) return c;
    }
    return 0;
}

/* Rows that a pending change hides (or makes): their confirmed value must go as well. */
static int clear_hidden(overlay *o, const schema_table *t, const clearing *c) {
    const snapshot_range *r = c->r;
    buf doomed;
    int rc = SATCHEL_OK;
    buf_init(&doomed, 0);
    for (uint32_t i = 0; i < o->nentry && !rc; i++) {
        const entry *e = &o->entry[i];
        const schema_table *its;
        value key[LIMIT_KEY_COLUMNS];
        if (!e->number || e->table != t->id || key_set_has(&c->held, e->hash)) continue;
        rc = index_load(o, t, i);
        if (!rc) rc = index_key(o, o->map.epoch, &o->change, &its, &o->key);
        if (!rc) rc = rows_key_values(t, o->key.p, o->key.n, key);
        if (rc || (r->has_from && compare_keys(t, key, r->from) <= 0) || (r->has_to && compare_keys(t, key, r->to) > 0)) continue;
        buf_put_varint(&doomed, o->key.n);
        buf_put(&doomed, o->key.p, o->key.n);
    }
    if (!rc) rc = remove_doomed(o, t, &doomed, c);
    buf_fini(&doomed);
    return rc;
}

int overlay_clear_range(overlay *o, const snapshot_range *r, uint64_t seq, delta_op op) {
    const schema_table *t;
    delta_row as_row = {.table = r->table, .nkey = r->nkey};
    clearing c = {.r = r, .seq = seq, .op = op};
    t = schema_table_by_id(o->f->schema, r->table);
    if (t && !r->has_from && !r->has_to) as_row.nkey = t->nkey;
    int rc = find_table(o, &as_row, &t);
    if (rc || !t) return rc;
    buf_init(&c.held.hashes, 0);
    rc = read_keys(o, t, &c);
    if (!rc && op == DELTA_LEAVE && c.held.n) rc = kept_forget_masked(o, t, r);
    if (!rc) rc = clear_shown(o, t, &c);
    if (!rc && o->live) rc = clear_hidden(o, t, &c);
    buf_fini(&c.held.hashes);
    return rc;
}

/* ---- callbacks and checks ---- */

void overlay_forget_touched(overlay *o) {
    o->ntouched = 0;
}

/* The list is taken over, because a callback may begin a transaction of its own; and the name, because it may hear of another handle's migration, which puts
 * another schema in this one's place. */
void overlay_announce(overlay *o, void (*changed)(void *ctx, const char *table), void *ctx) {
    uint32_t *touched = o->touched;
    unsigned n = o->ntouched;
    o->touched = NULL;
    o->ntouched = o->touched_cap = 0;
    for (unsigned i = 0; i < n && changed; i++) {
        char name[LIMIT_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%s", schema_table_by_id(o->f->schema, touched[i])->name);
        changed(ctx, name);
    }
    free(touched);
}

static int verify_base(overlay *o, uint32_t table, const void *key, size_t n, const char **fault) {
    value v[LIMIT_KEY_COLUMNS];
    const schema_table *t;
    *fault = NULL;
    int rc = read_base_key(o, table, key, n, &t, v);
    return rc || !t ? rc : row_verify(o, t, v, fault);
}

int overlay_verify(overlay *o, buf *report) {
    sqlite3_stmt *q;
    bool any = false;
    if (sqlite3_prepare_v2(o->f->db, "SELECT tbl, key FROM satchel_base", -1, &q, NULL))
        return file_db_error(o->f, "cannot read satchel_base");
    int rc = SATCHEL_OK, step;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        const char *fault;
        const void *key = sqlite3_column_blob(q, 1);
        size_t n = (size_t)sqlite3_column_bytes(q, 1);
        rc = verify_base(o, (uint32_t)sqlite3_column_int64(q, 0), key, n, &fault);
        if (rc || !fault) continue;
        buf_printf(report, "overlay: table %lld, key ", (long long)sqlite3_column_int64(q, 0));
        rows_key_text(key, n, report);
        buf_printf(report, ": %s\n", fault);
        any = true;
    }
    if (sqlite3_finalize(q)) rc = file_db_error(o->f, "cannot read satchel_base");
    return rc ? rc : any ? SATCHEL_E_CORRUPT : SATCHEL_OK;
}
