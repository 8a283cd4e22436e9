#include "server/scope_moves.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

/* Keys of the rows of one commit; more: SATCHEL_E_LIMIT. */
#define KEYS_BYTES (512u << 20)
#define FEW_SLOTS 64u

int scope_moves_init(scope_moves *m, const scope *c) {
    memset(m, 0, sizeof *m);
    m->ntable = c->shape->ntable;
    m->first = calloc(m->ntable + 1, sizeof *m->first);
    m->slot = calloc(FEW_SLOTS, sizeof *m->slot);
    m->slots = FEW_SLOTS;
    buf_init(&m->keys, KEYS_BYTES);
    return m->first && m->slot ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

void scope_moves_fini(scope_moves *m) {
    free(m->row);
    free(m->slot);
    free(m->first);
    buf_fini(&m->keys);
    buf_fini(&m->hold);
    memset(m, 0, sizeof *m);
}

void scope_moves_clear(scope_moves *m) {
    if (!m->n) return;
    memset(m->slot, 0, m->slots * sizeof *m->slot);
    memset(m->first, 0, m->ntable * sizeof *m->first);
    m->n = 0;
    buf_clear(&m->keys);
}

/* ---- rows by key ---- */

static uint64_t hash(const scope_moves *m, uint32_t table, size_t key, size_t n) {
    return value_hash(m->keys.p + key, n, table);
}

/* The slot of the row, or the empty one where it would be. */
static uint32_t *find(const scope_moves *m, uint32_t table, size_t key, size_t n) {
    for (size_t at = hash(m, table, key, n);; at++) {
        uint32_t *slot = &m->slot[at % m->slots];
        if (!*slot) return slot;
        const scope_move *r = &m->row[*slot - 1];
        if (r->table == table && r->nkey == n && memcmp(m->keys.p + r->key, m->keys.p + key, n) == 0) return slot;
    }
}

static int grow(scope_moves *m) {
    if (m->n < m->room && m->n * 2 < m->slots) return SATCHEL_OK;
    if (m->n == m->room) {
        size_t room = m->room ? m->room * 2 : 32;
        scope_move *more = realloc(m->row, room * sizeof *more);
        if (!more) return SATCHEL_E_NOMEM;
        m->row = more;
        m->room = room;
    }
    if (m->n * 2 < m->slots) return SATCHEL_OK;
    uint32_t *slots = calloc(m->slots * 2, sizeof *slots);
    if (!slots) return SATCHEL_E_NOMEM;
    free(m->slot);
    m->slot = slots;
    m->slots *= 2;
    for (size_t i = 0; i < m->n; i++) *find(m, m->row[i].table, m->row[i].key, m->row[i].nkey) = (uint32_t)i + 1;
    return SATCHEL_OK;
}

/* Appends the key's bytes, to be taken back by whoever finds that they are there already. */
static int put_key(scope_moves *m, const schema_table *t, const value *key, size_t *at, size_t *n) {
    *at = m->keys.n;
    for (unsigned i = 0; i < t->nkey; i++) value_put(&m->keys, &key[i]);
    *n = m->keys.n - *at;
    return m->keys.rc;
}

static void take_back(scope_moves *m, size_t at) {
    m->keys.n = at;
}

static int note(scope_moves *m, const scope *c, const schema_table *t, const value *key, scope_move **out) {
    uint32_t table = (uint32_t)(t - c->shape->table);
    size_t at, n;
    int rc = put_key(m, t, key, &at, &n);
    if (!rc) rc = grow(m);
    if (rc) return rc;
    uint32_t *slot = find(m, table, at, n);
    if (*slot)
        take_back(m, at);
    else {
        m->row[m->n] = (scope_move){.table = table, .key = at, .nkey = (uint32_t)n, .next = m->first[table]};
        m->first[table] = *slot = (uint32_t)++m->n;
    }
    *out = &m->row[*slot - 1];
    return SATCHEL_OK;
}

static void came_from(scope_move *r, uint32_t set) {
    if (r->known || r->born) return;
    r->from = set;
    r->known = true;
}

int scope_moves_note(scope_moves *m, const scope *c, const schema_table *t, const value *key, const uint32_t *from) {
    scope_move *r;
    int rc = note(m, c, t, key, &r);
    if (!rc && from) came_from(r, *from);
    return rc;
}

int scope_moves_note_birth(scope_moves *m, const scope *c, const schema_table *t, const value *key) {
    scope_move *r;
    int rc = note(m, c, t, key, &r);
    if (!rc) r->born = !r->known;
    return rc;
}

int scope_moves_note_death(scope_moves *m, const scope *c, const schema_table *t, const value *key, const uint32_t *from) {
    scope_move *r;
    int rc = note(m, c, t, key, &r);
    if (rc) return rc;
    if (from)
        came_from(r, *from);
    else
        r->born = !r->known;
    r->died = true;
    return SATCHEL_OK;
}

typedef struct noting {
    scope_moves *m;
    const scope *c;
} noting;

static int note_child(void *ctx, const schema_table *t, const value *key) {
    const noting *n = ctx;
    return scope_moves_note(n->m, n->c, t, key, NULL);
}

int scope_moves_note_children(scope_moves *m, scope *c, const schema_table *t, const value *key) {
    noting n = {.m = m, .c = c};
    return scope_each_child(c, t, key, note_child, &n);
}

static int get_key(const uint8_t *p, size_t n, const schema_table *t, value *key) {
    const uint8_t *end = p + n;
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < t->nkey && !rc; i++) rc = value_get(&p, end, &key[i]);
    return rc;
}

/* ---- the sets ---- */

/* 1 and where the row lies; 0: it is gone. */
static int read_stored(scope_moves *m, const scope_table *t, const value *key, uint64_t seq, uint32_t *set, bool *born) {
    scope_bind_key(t->whole, t->t, key);
    int step = sqlite3_step(t->whole);
    if (step != SQLITE_ROW) {
        sqlite3_reset(t->whole);
        return step == SQLITE_DONE ? 0 : db_rc(step);
    }
    *set = (uint32_t)sqlite3_column_int64(t->whole, 0);
    int rc = clock_decode(&m->clock, sqlite3_column_blob(t->whole, 1), (size_t)sqlite3_column_bytes(t->whole, 1));
    *born = m->clock.base.seq == seq;
    sqlite3_reset(t->whole);
    return rc ? rc : 1;
}

static int move_row(scope_moves *m, scope *c, size_t at, const schema_table *t, const value *key, uint64_t seq) {
    uint32_t stored = 0, set = 0;
    bool born = false, orphan;
    int rc = read_stored(m, scope_table_of(c, t), key, seq, &stored, &born);
    if (rc < 0) return rc;
    if (rc == 0) {
        m->row[at].changed = m->row[at].gone = m->row[at].died;
        return SATCHEL_OK;
    }
    rc = scope_set_of_row(c, t, key, &set, &orphan);
    if (rc) return rc;
    scope_move *r = &m->row[at];
    r->born = (born || r->born) && !r->known;
    if (!r->known) r->from = stored;
    r->to = set;
    r->changed = r->died || set != stored || set != r->from;
    if (set == stored) return SATCHEL_OK;
    rc = scope_put_set(c, t, key, set);
    return rc ? rc : scope_moves_note_children(m, c, t, key);
}

/* The key is copied, because keys move when more are noted. */
static int work_out(scope_moves *m, scope *c, size_t at, uint64_t seq) {
    const schema_table *t = &c->shape->table[m->row[at].table];
    value key[LIMIT_KEY_COLUMNS];
    buf_clear(&m->hold);
    buf_put(&m->hold, m->keys.p + m->row[at].key, m->row[at].nkey);
    int rc = m->hold.rc ? m->hold.rc : get_key(m->hold.p, m->hold.n, t, key);
    return rc ? rc : move_row(m, c, at, t, key, seq);
}

/* Parents before children: a table's rows are all noted when its turn comes. */
static int work_out_all(scope_moves *m, scope *c, uint64_t seq, uint64_t *moved) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < c->norder && !rc; i++)
        for (uint32_t at = m->first[c->order[i]]; at && !rc; at = m->row[at - 1].next) {
            rc = work_out(m, c, at - 1, seq);
            *moved += m->row[at - 1].changed;
        }
    return rc;
}

/* ---- who is told ---- */

typedef struct stripping {
    scope_moves *m;
    const scope *c;
} stripping;

static int is_moved(void *ctx, const delta_row *row) {
    const stripping *s = ctx;
    const schema_table *t = schema_table_by_id(s->c->shape, row->table);
    size_t at, n;
    if (!t || t->until != SCHEMA_NEVER || t->nkey != row->nkey) return 0;
    int rc = put_key(s->m, t, row->key, &at, &n);
    if (rc) return rc;
    uint32_t *slot = find(s->m, (uint32_t)(t - s->c->shape->table), at, n);
    take_back(s->m, at);
    return *slot && s->m->row[*slot - 1].changed;
}

static void begin_row(scope_moves *m, const schema_table *t, delta_op op) {
    m->emit.table = t->id;
    m->emit.op = op;
    m->emit.nkey = t->nkey;
    m->emit.ncol = 0;
}

static int tell_whole(scope_moves *m, const scope *c, const scope_move *r, scope_log *log) {
    const schema_table *t = &c->shape->table[r->table];
    const scope_table *st = scope_table_of(c, t);
    begin_row(m, t, DELTA_PUT);
    int rc = get_key(m->keys.p + r->key, r->nkey, t, m->emit.key);
    if (rc) return rc;
    scope_bind_key(st->whole, t, m->emit.key);
    int step = sqlite3_step(st->whole);
    for (unsigned i = 0; step == SQLITE_ROW && i < t->ncol; i++) {
        if (t->col[i]->key) continue;
        m->emit.col[m->emit.ncol] = (delta_column){.id = t->col[i]->id, .kind = DELTA_SET};
        m->emit.v[m->emit.ncol++] = value_of_column(st->whole, (int)i + 2);
    }
    rc = step == SQLITE_ROW ? scope_log_put(log, r->to, 0, &m->emit) : step == SQLITE_DONE ? SATCHEL_E_INTERNAL : db_rc(step);
    sqlite3_reset(st->whole);
    return rc;
}

static int tell_gone(scope_moves *m, const scope *c, const scope_move *r, scope_log *log) {
    const schema_table *t = &c->shape->table[r->table];
    if (!r->known) return SATCHEL_OK;
    begin_row(m, t, DELTA_DELETE);
    int rc = get_key(m->keys.p + r->key, r->nkey, t, m->emit.key);
    return rc ? rc : scope_log_put(log, r->from, 0, &m->emit);
}

static int tell_leave(scope_moves *m, const scope *c, const scope_move *r, scope_log *log) {
    const schema_table *t = &c->shape->table[r->table];
    if (r->born || r->from == r->to) return SATCHEL_OK;
    int rc = db_exec(c->cache, "INSERT OR IGNORE INTO satchel_left(tbl,key,seq,bucket_set) VALUES(?,?,?,?)", "ibii",
                     (int64_t)t->id, m->keys.p + r->key, (size_t)r->nkey, (int64_t)log->clock.seq, (int64_t)r->from);
    if (rc || !r->from) return rc;
    begin_row(m, t, DELTA_LEAVE);
    rc = get_key(m->keys.p + r->key, r->nkey, t, m->emit.key);
    return rc ? rc : scope_log_put(log, r->from, r->to ? r->to : VIEW_NOWHERE, &m->emit);
}

static int tell(scope_moves *m, scope *c, scope_log *log) {
    stripping s = {.m = m, .c = c};
    int rc = scope_log_strip(log, is_moved, &s);
    for (size_t i = 0; i < m->n && !rc; i++)
        if (m->row[i].changed) rc = m->row[i].gone ? tell_gone(m, c, &m->row[i], log) : tell_whole(m, c, &m->row[i], log);
    if (!rc) rc = scope_log_flush(log);
    for (size_t i = 0; i < m->n && !rc; i++)
        if (m->row[i].changed && !m->row[i].gone) rc = tell_leave(m, c, &m->row[i], log);
    return rc;
}

int scope_moves_finish(scope_moves *m, scope *c, scope_log *log, uint64_t *moved) {
    *moved = 0;
    if (!m->n) return SATCHEL_OK;
    int rc = work_out_all(m, c, log ? log->clock.seq : 0, moved);
    return rc || !*moved || !log ? rc : tell(m, c, log);
}
