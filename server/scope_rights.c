/* What a device may write, judged by what it held when it wrote. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "server/scope_private.h"

/* ---- who ---- */

static int read_profile(scope *c, scope_judge *j, bool *known) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT profile FROM satchel_device WHERE id=?");
    db_bind(q, "i", j->device);
    int rc = db_next(c->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    const char *name = (const char *)sqlite3_column_text(q, 0);
    j->profile = name ? scope_profile_by_name(c, name) : NULL;
    *known = !name || j->profile;
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* The view of the newest entry up to `base`; of the oldest if there is none. */
static int read_view(scope *c, int64_t device, uint64_t base, view **out) {
    sqlite3_stmt *q = db_prepare(
        c->cache,
        "SELECT view FROM satchel_held WHERE device=?1 ORDER BY seq>?2, CASE WHEN seq>?2 THEN seq ELSE -seq END LIMIT 1");
    db_bind(q, "ii", device, (int64_t)base);
    int rc = db_next(c->cache, q);
    *out = NULL;
    if (rc != 1) return rc;
    uint64_t id = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return view_load(c->cache, id, out);
}

static int begin(scope *c, const author_info *author, uint64_t base, buf *words) {
    scope_judge *j = &c->judge;
    uint64_t seq = store_where(c->s).seq;
    if (j->device == author->device && j->base == base && j->seq == seq) return SATCHEL_OK;
    view_release(j->now);
    view_release(j->then);
    view_release(j->next);
    *j = (scope_judge){.device = author->device, .base = base};
    bool known;
    int rc = read_profile(c, j, &known);
    if (!rc && !known) {
        buf_printf(words, "the rules no longer have this device's profile");
        return SATCHEL_E_SCOPE;
    }
    if (!rc && j->profile) rc = read_view(c, author->device, INT64_MAX, &j->now);
    if (!rc && j->profile) rc = read_view(c, author->device, base, &j->then);
    if (!rc && j->profile) rc = read_view(c, author->device, base + 1, &j->next);
    j->number = j->profile ? (unsigned)(j->profile - c->profile) : 0;
    if (!rc) j->seq = seq;
    return rc;
}

/* ---- what ---- */

static const char *const DOING[] = {"insert rows into", "change rows of", "delete rows of"};

static bool may_write(const scope *c, const schema_table *t, delta_op op, bool *anywhere) {
    bool may = false;
    *anywhere = false;
    for (unsigned i = 0; i < c->nwrite; i++) {
        const scope_write *w = &c->write[i];
        if (w->profile != c->judge.number || w->t != t || !w->may[op]) continue;
        may = true;
        *anywhere |= w->anywhere;
    }
    return may;
}

static bool may_write_column(const scope *c, const schema_table *t, delta_op op, uint32_t id) {
    const bool *mask = c->judge.profile->masks[t - c->shape->table];
    if (mask && mask[id]) return false;
    for (unsigned i = 0; i < c->nwrite; i++) {
        const scope_write *w = &c->write[i];
        if (w->profile == c->judge.number && w->t == t && w->may[op] && (w->every || w->column[id])) return true;
    }
    return false;
}

/* What an insert leaves NULL or at its default was not set. */
static bool is_set(const schema_column *col, const delta_row *row, unsigned i) {
    if (row->op != DELTA_PUT) return true;
    return row->v[i].type != VALUE_NULL && !value_equal(&row->v[i], &col->default_value);
}

static int check_columns(const scope *c, const schema_table *t, const delta_row *row, buf *words) {
    for (unsigned i = 0; i < row->ncol; i++) {
        const schema_column *col = schema_column_by_id(t, row->col[i].id);
        if (!col || col->until != SCHEMA_NEVER || !is_set(col, row, i) || may_write_column(c, t, row->op, col->id)) continue;
        buf_printf(words, "profile %s may not %s %s.%s", c->judge.profile->name, row->op == DELTA_PUT ? "set" : "change", t->name,
                   col->name);
        return SATCHEL_E_SCOPE;
    }
    return SATCHEL_OK;
}

/* ---- where ---- */

static int holds(scope *c, const view *v, uint32_t set) {
    return v ? view_holds(v, c->sets, set) : 0;
}

/* The set in which the row lay at the base; *set stays as it is now if it has not moved since. */
static int set_then(scope *c, const schema_table *t, const value *key, uint32_t *set) {
    buf_clear(&c->key);
    for (unsigned i = 0; i < t->nkey; i++) value_put(&c->key, &key[i]);
    if (c->key.rc) return c->key.rc;
    sqlite3_stmt *q =
        db_prepare(c->cache, "SELECT bucket_set FROM satchel_left WHERE tbl=? AND key=? AND seq>? ORDER BY seq LIMIT 1");
    db_bind(q, "ibi", (int64_t)t->id, c->key.p, c->key.n, (int64_t)c->judge.base);
    int rc = db_next(c->cache, q);
    if (rc != 1) return rc;
    *set = (uint32_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* Whether what it holds now holds rows of the set. */
static int holds_now(scope *c, uint32_t set) {
    scope_judge *j = &c->judge;
    if (j->looked && j->last_set == set) return j->last_in;
    int in = holds(c, j->now, set);
    if (in < 0) return in;
    j->looked = true;
    j->last_set = set;
    j->last_in = in == 1;
    return in;
}

/* 1 if the row, in the set `now` at present (0: it is not there), is one that the device holds or held; `by`: what follows it by this rule is. */
static int held(scope *c, const schema_table *t, const value *key, uint32_t now, const scope_parent *by) {
    uint32_t then = now;
    int rc = by ? scope_followed(c, by, &now) : SATCHEL_OK;
    if (!rc) rc = holds_now(c, now);
    if (rc) return rc;
    rc = set_then(c, t, key, &then);
    if (!rc && by) rc = scope_followed(c, by, &then);
    if (!rc) rc = holds(c, c->judge.then, then);
    return rc ? rc : holds(c, c->judge.next, then);
}

static int set_now(sqlite3_stmt *q, const schema_table *t, const value *key, uint32_t *set) {
    scope_bind_key(q, t, key);
    int step = sqlite3_step(q);
    *set = step == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(q, 0) : 0;
    sqlite3_reset(q);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : db_rc(step);
}

/* 1 if the row follows one that the device holds or held: it was made, or had been, below what has moved away since. */
static int held_through_parents(scope *c, const scope_table *st, const value *key) {
    for (unsigned i = 0; i < st->nparent; i++) {
        const scope_parent *p = st->parent[i];
        value parent[LIMIT_KEY_COLUMNS];
        uint32_t set;
        bool there;
        int rc = scope_parent_key(c, st, i, key, parent, &there);
        if (!rc) continue;
        if (rc == 1) rc = set_now(p->known, p->parent, parent, &set);
        if (rc >= 0) rc = held(c, p->parent, parent, set, p);
        if (rc) return rc;
    }
    return 0;
}

/* Whether a row that is not there was deleted since the base: then it is somebody's. */
static int deleted_since(scope *c, const schema_table *t) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT 1 FROM satchel_tombstone WHERE tbl=? AND key=? AND seq>?");
    db_bind(q, "ibi", (int64_t)t->id, c->key.p, c->key.n, (int64_t)c->judge.base);
    int rc = db_next(c->cache, q);
    if (rc == 1) sqlite3_reset(q);
    return rc;
}

static int check_place(scope *c, const schema_table *t, const delta_row *row, buf *words) {
    const scope_table *st = scope_table_of(c, t);
    uint32_t set;
    int there = set_now(st->set, t, row->key, &set);
    if (there < 0) return there;
    if (!there && row->op == DELTA_PUT) return SATCHEL_OK; /* it lost against a deletion */
    int in = held(c, t, row->key, set, NULL);
    if (!in && there) in = held_through_parents(c, st, row->key);
    if (in) return in < 0 ? in : SATCHEL_OK;
    int dead = there ? 1 : deleted_since(c, t);
    if (dead < 1) return dead; /* nobody's: the merge says what is to be said */
    buf_printf(words,
               row->op == DELTA_PUT ? "profile %s may not make rows of %s that it does not hold"
                                    : "the row of %s is not one that a device of profile %s holds",
               row->op == DELTA_PUT ? c->judge.profile->name : t->name, row->op == DELTA_PUT ? t->name : c->judge.profile->name);
    return SATCHEL_E_SCOPE;
}

int scope_check_write(scope *c, const author_info *author, uint64_t base, const schema_table *t, const delta_row *row, bool made,
                      buf *words) {
    bool anywhere;
    if (!scope_is_on(c) || !author->device) return SATCHEL_OK;
    int rc = begin(c, author, base, words);
    if (rc || !c->judge.profile) return rc;
    delta_op op = row->op;
    if (!may_write(c, t, op, &anywhere)) {
        buf_printf(words, "profile %s may not %s %s", c->judge.profile->name, DOING[op], t->name);
        return SATCHEL_E_SCOPE;
    }
    if (!made && (rc = check_columns(c, t, row, words))) return rc;
    if (anywhere || made == (op != DELTA_PUT)) return SATCHEL_OK;
    return check_place(c, t, row, words);
}
