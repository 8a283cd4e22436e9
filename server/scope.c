/* The rules in force, and the set that they give a row. */
#include "server/scope.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "server/scope_private.h"

/* ---- opening ---- */

static void now(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    sqlite3_result_int64(context, *(const int64_t *)sqlite3_user_data(context));
}

int scope_register_now(sqlite3 *db, int64_t *now_ms) {
    return db_rc(sqlite3_create_function_v2(db, "satchel_now", 0, SQLITE_UTF8, now_ms, now, NULL, NULL, NULL));
}

int64_t scope_midnight(uint64_t now_ms) {
    const uint64_t day = UINT64_C(86400000);
    return (int64_t)(now_ms - now_ms % day);
}

/* The version in force and the day by which rows lie as they do. */
static int read_head(scope *c, int64_t *version, int64_t *now_ms) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT version,now_ms FROM satchel_scope ORDER BY version DESC LIMIT 1");
    int rc = db_next(c->cache, q);
    *version = *now_ms = 0;
    if (rc != 1) return rc;
    *version = sqlite3_column_int64(q, 0);
    *now_ms = sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int read_published(scope *c, buf *error) {
    int64_t now_ms;
    int rc = read_head(c, &c->version, &now_ms);
    if (rc || !c->version) return rc;
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT name,text FROM satchel_scope WHERE version=?");
    db_bind(q, "i", c->version);
    rc = db_next(c->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_CORRUPT;
    const char *name = (const char *)sqlite3_column_text(q, 0), *text = (const char *)sqlite3_column_text(q, 1);
    c->name = name ? strdup(name) : NULL;
    rc = c->name && text ? scope_text_read(c->name, text, &c->text, error) : SATCHEL_E_NOMEM;
    sqlite3_reset(q);
    *(c->s ? &c->s->scope_now_ms : &c->now_ms) = now_ms;
    return rc;
}

static scope *make(sqlite3 *db, const schema *shape) {
    scope *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->db = db;
    c->shape = shape;
    db_cache_init(&c->own, db);
    c->cache = &c->own;
    return c;
}

int scope_register_local(sqlite3 *db) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(db, "SELECT satchel_local()", -1, &q, NULL);
    sqlite3_finalize(q);
    return sq == SQLITE_OK ? SATCHEL_OK : capture_functions(db, false);
}

/* Compiles what was read; frees it if that fails. */
static int finish(scope *c, int rc, bool whole, scope **out, buf *error) {
    if (!rc && c->version) rc = scope_register_local(c->db);
    if (!rc && c->version) rc = scope_compile(c, whole, error);
    if (!rc) rc = view_sets_new(c->db, &c->sets);
    if (!rc && c->s) c->events = c->s->scope_events - 1; /* so that the first look looks */
    if (rc) {
        if (!error->n) buf_printf(error, "the rules of scope: %s", satchel_rc_text(rc));
        scope_free(c);
        return rc;
    }
    *out = c;
    return SATCHEL_OK;
}

static scope *make_writer(store *s) {
    scope *c = make(s->db, s->schema);
    if (!c) return NULL;
    c->s = s;
    c->cache = &s->cache;
    return c;
}

int scope_open(store *s, scope **out, buf *error) {
    *out = NULL;
    scope *c = make_writer(s);
    return c ? finish(c, read_published(c, error), false, out, error) : SATCHEL_E_NOMEM;
}

int scope_open_text(store *s, const char *name, const char *sql, scope **out, buf *error) {
    *out = NULL;
    scope *c = make_writer(s);
    if (!c) return SATCHEL_E_NOMEM;
    c->version = INT64_MAX;
    c->name = strdup(name);
    int rc = c->name ? scope_text_read(name, sql, &c->text, error) : SATCHEL_E_NOMEM;
    return finish(c, rc, true, out, error);
}

int scope_open_fixed(store *s, scope **out, buf *error) {
    int rc = scope_open(s, out, error);
    if (rc) return rc;
    (*out)->fixed = true;
    return scope_refresh(*out);
}

int scope_open_reader(sqlite3 *db, const schema *shape, scope **out, buf *error) {
    *out = NULL;
    scope *c = make(db, shape);
    if (!c) return SATCHEL_E_NOMEM;
    int64_t any = 0;
    c->fixed = true;
    int rc = scope_register_now(db, &c->now_ms);
    if (!rc) rc = db_integer(c->cache, "SELECT 1 FROM satchel_grant LIMIT 1", 0, &any);
    if (!rc) rc = read_published(c, error);
    c->has_grants = any != 0;
    return finish(c, rc, false, out, error);
}

void scope_free(scope *c) {
    if (!c) return;
    scope_forget(c);
    scope_compiled_free(c);
    view_sets_free(c->sets);
    rule_text_fini(&c->text);
    free(c->name);
    free(c->ids.id);
    free(c->more.id);
    buf_fini(&c->label);
    buf_fini(&c->key);
    buf_fini(&c->hold);
    db_cache_fini(&c->own);
    free(c);
}

bool scope_is_on(const scope *c) {
    return c->version != 0;
}

int scope_is_current(scope *c, bool *current) {
    int64_t version, now_ms;
    *current = true;
    if (c->events == c->s->scope_events) return SATCHEL_OK;
    int rc = read_head(c, &version, &now_ms);
    *current = version == c->version && c->shape == c->s->schema;
    return rc;
}

scope_table *scope_table_of(const scope *c, const schema_table *t) {
    return &c->table[t - c->shape->table];
}

const scope_profile *scope_profile_by_name(const scope *c, const char *name) {
    for (unsigned i = 0; i < c->nprofile; i++)
        if (!strcmp(c->profile[i].name, name)) return &c->profile[i];
    return NULL;
}

bool scope_profiles_read(const scope *c, const schema_table *t) {
    bool reads = false;
    for (unsigned i = 0; i < c->nprofile; i++) reads |= c->profile[i].reads[t - c->shape->table];
    return reads;
}

bool scope_reads(const scope *c, const schema_table *t, unsigned place) {
    return scope_table_of(c, t)->reads[place];
}

bool scope_has_children(const scope *c, const schema_table *t) {
    return scope_is_on(c) && scope_table_of(c, t)->nchild;
}

/* ---- what may be remembered ---- */

static void forget_judge(scope *c) {
    view_release(c->judge.now);
    view_release(c->judge.then);
    view_release(c->judge.next);
    c->judge = (scope_judge){0};
}

void scope_forget(scope *c) {
    for (unsigned i = 0; i < SCOPE_MEMO; i++) {
        free(c->names[i].text);
        free(c->by_set[i].bucket);
        free(c->by_list[i].bucket);
        free(c->by_rule[i].bucket);
    }
    memset(c->names, 0, sizeof c->names);
    memset(c->by_set, 0, sizeof c->by_set);
    memset(c->by_list, 0, sizeof c->by_list);
    memset(c->by_rule, 0, sizeof c->by_rule);
    forget_judge(c);
}

int scope_refresh(scope *c) {
    if (!c->s || c->events == c->s->scope_events) return SATCHEL_OK;
    int64_t any, version;
    scope_forget(c);
    int rc = db_integer(c->cache, "SELECT 1 FROM satchel_grant LIMIT 1", 0, &any);
    if (!rc) rc = read_head(c, &version, &c->s->scope_now_ms);
    if (rc) return rc;
    c->has_grants = any != 0;
    c->events = c->s->scope_events;
    return SATCHEL_OK;
}

/* ---- the set of a row ---- */

int scope_add_grants(scope *c, sqlite3_stmt *q) {
    int rc;
    while ((rc = db_next(c->cache, q)) == 1) {
        value id = value_integer(sqlite3_column_int64(q, 0));
        uint32_t bucket;
        rc = scope_bucket_id(c, "grant", &id, &bucket);
        if (!rc) rc = scope_ids_add(&c->ids, bucket);
        if (rc) {
            sqlite3_reset(q);
            return rc;
        }
    }
    return rc;
}

static int add_grants(scope *c, const schema_table *t, const value *key) {
    if (!c->has_grants) return SATCHEL_OK;
    buf_clear(&c->key);
    for (unsigned i = 0; i < t->nkey; i++) value_put(&c->key, &key[i]);
    if (c->key.rc) return c->key.rc;
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT id FROM satchel_grant WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)t->id, c->key.p, c->key.n);
    return scope_add_grants(c, q);
}

static int add_buckets_of(scope *c, uint32_t set) {
    const uint32_t *ids = NULL;
    size_t n;
    int rc = scope_buckets_of(c, set, &ids, &n);
    for (size_t i = 0; i < n && !rc; i++) rc = scope_ids_add(&c->ids, ids[i]);
    return rc;
}

static int add_own(scope *c, const scope_table *t, sqlite3_stmt *q, int column) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < t->nbucket && !rc; i++) {
        value v = value_of_column(q, column + (int)i);
        uint32_t id;
        if (v.type == VALUE_NULL) continue;
        if (v.type == VALUE_ABSENT) return SATCHEL_E_NOMEM;
        rc = scope_bucket_id(c, t->bucket[i]->name, t->bucket[i]->value ? &v : NULL, &id);
        if (!rc) rc = scope_ids_add(&c->ids, id);
    }
    return rc;
}

/* Whether the bucket is a grant, or one of the names that the rule lets follow. */
static int is_followed(scope *c, const scope_parent *p, uint32_t id, bool *out) {
    char name[LIMIT_NAME_BYTES + 2];
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT name FROM satchel_bucket WHERE id=?");
    db_bind(q, "i", (int64_t)id);
    int rc = db_next(c->cache, q);
    const char *bucket = rc == 1 ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (!bucket) return rc < 0 ? rc : SATCHEL_E_CORRUPT;
    size_t n = strcspn(bucket, ":");
    *out = n == 5 && !memcmp(bucket, "grant", n);
    for (const char *at = p->only; !*out && scope_next_name(&at, name);) *out = strlen(name) == n && !memcmp(name, bucket, n);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* What of a parent's set follows by a rule that lets only some of it. */
static int add_followed(scope *c, const scope_parent *p, uint32_t set) {
    const uint32_t *ids = NULL;
    size_t n, from = c->ids.n;
    scope_set *m = &c->by_rule[(set + 31 * (uint32_t)(p - c->parent)) % SCOPE_MEMO];
    int rc = SATCHEL_OK;
    if (m->by == p && m->set == set) {
        for (size_t i = 0; i < m->n && !rc; i++) rc = scope_ids_add(&c->ids, m->bucket[i]);
        return rc;
    }
    rc = scope_buckets_of(c, set, &ids, &n);
    for (size_t i = 0; i < n && !rc; i++) {
        bool follows;
        rc = is_followed(c, p, ids[i], &follows);
        if (!rc && follows) rc = scope_ids_add(&c->ids, ids[i]);
    }
    if (rc) return rc;
    free(m->bucket);
    *m = (scope_set){0};
    scope_remember(m, set, c->ids.id ? c->ids.id + from : NULL, c->ids.n - from);
    if (m->bucket) m->by = p;
    return SATCHEL_OK;
}

/* Most rows follow one parent and have nothing of their own: its set is theirs. */
static int add_parents(scope *c, const scope_table *t, sqlite3_stmt *q, int column, bool *orphan, bool *plain, uint32_t *first) {
    bool any = false;
    int rc = SATCHEL_OK;
    *plain = c->ids.n == 0;
    for (unsigned i = 0; i < t->nparent && !rc; i++, column += 2) {
        if (!sqlite3_column_int(q, column)) continue;
        if (sqlite3_column_type(q, column + 1) == SQLITE_NULL) {
            *orphan = true;
            continue;
        }
        uint32_t set = (uint32_t)sqlite3_column_int64(q, column + 1);
        if (t->parent[i]->only) {
            if (any && *plain) rc = add_buckets_of(c, *first);
            any = true;
            *plain = false;
            if (!rc) rc = add_followed(c, t->parent[i], set);
            continue;
        }
        if (any && *plain && set == *first) continue;
        if (any && *plain) rc = add_buckets_of(c, *first);
        if (any) *plain = false;
        if (!*plain && !rc) rc = add_buckets_of(c, set);
        if (!any) *first = set;
        any = true;
    }
    *plain = *plain && any;
    return rc;
}

int scope_followed(scope *c, const scope_parent *p, uint32_t *set) {
    if (!p->only || !*set) return SATCHEL_OK;
    c->ids.n = 0;
    int rc = add_followed(c, p, *set);
    return rc ? rc : scope_set_number(c, set);
}

int scope_set_of_facts(scope *c, scope_table *t, sqlite3_stmt *q, int column, const value *key, uint32_t *set, bool *orphan) {
    bool plain = false;
    c->ids.n = 0;
    *orphan = false;
    int rc = add_own(c, t, q, column);
    if (!rc) rc = add_grants(c, t->t, key);
    if (!rc) rc = add_parents(c, t, q, column + (int)t->nbucket, orphan, &plain, set);
    return rc || plain ? rc : scope_set_number(c, set);
}

void scope_bind_key(sqlite3_stmt *q, const schema_table *t, const value *key) {
    for (unsigned i = 0; i < t->nkey; i++) value_bind(q, (int)i + 1, &key[i]);
}

int scope_set_of_row(scope *c, const schema_table *t, const value *key, uint32_t *set, bool *orphan) {
    scope_table *st = scope_table_of(c, t);
    int rc = SATCHEL_OK;
    scope_bind_key(st->facts, t, key);
    int step = sqlite3_step(st->facts);
    if (step == SQLITE_ROW)
        rc = scope_set_of_facts(c, st, st->facts, 1, key, set, orphan);
    else
        rc = step == SQLITE_DONE ? SATCHEL_E_NOT_FOUND : (step & 0xff) == SQLITE_ERROR ? SATCHEL_E_RULE : db_rc(step);
    sqlite3_reset(st->facts);
    return rc;
}

int scope_put_set(scope *c, const schema_table *t, const value *key, uint32_t set) {
    sqlite3_stmt *q = scope_table_of(c, t)->put_set;
    sqlite3_bind_int64(q, 1, set);
    for (unsigned i = 0; i < t->nkey; i++) value_bind(q, (int)i + 2, &key[i]);
    return db_run(q);
}

/* The key that a row holds of a parent, as that one's key is stored; in c->hold. */
static int read_parent_key(scope *c, const scope_parent *p, const value *key, value *out) {
    const scope_table *st = scope_table_of(c, p->t);
    scope_bind_key(st->whole, p->t, key);
    int step = sqlite3_step(st->whole);
    buf_clear(&c->hold);
    for (unsigned i = 0; step == SQLITE_ROW && i < p->parent->nkey; i++) {
        value v = value_of_column(st->whole, (int)p->place[i] + 2);
        ingest_as_stored(p->parent->key[i], &v);
        value_put(&c->hold, &v);
    }
    sqlite3_reset(st->whole);
    if (step != SQLITE_ROW) return step == SQLITE_DONE ? 0 : db_rc(step);
    const uint8_t *at = c->hold.p, *end = at + c->hold.n;
    int rc = c->hold.rc;
    for (unsigned i = 0; i < p->parent->nkey && !rc; i++) rc = value_get(&at, end, &out[i]);
    return rc ? rc : 1;
}

int scope_parent_key(scope *c, const scope_table *st, unsigned i, const value *key, value *out, bool *there) {
    int column = 1 + (int)st->nbucket + 2 * (int)i;
    scope_bind_key(st->facts, st->t, key);
    int step = sqlite3_step(st->facts);
    bool names = step == SQLITE_ROW && sqlite3_column_int(st->facts, column);
    *there = names && sqlite3_column_type(st->facts, column + 1) != SQLITE_NULL;
    sqlite3_reset(st->facts);
    if (step != SQLITE_ROW && step != SQLITE_DONE) return db_rc(step);
    return names ? read_parent_key(c, st->parent[i], key, out) : 0;
}

int scope_missing_parent_of(scope *c, const schema_table *t, const value *key, unsigned *n, scope_missing_parent *out) {
    const scope_table *st = scope_table_of(c, t);
    while (*n < st->nparent) {
        bool there;
        unsigned i = (*n)++;
        int rc = scope_parent_key(c, st, i, key, out->key, &there);
        if (rc < 0) return rc;
        if (!rc || there) continue;
        out->missing = st->parent[i]->missing;
        out->parent = st->parent[i]->parent;
        return 1;
    }
    return 0;
}

int scope_each_child(scope *c, const schema_table *t, const value *key,
                     int (*visit)(void *ctx, const schema_table *child, const value *key), void *ctx) {
    scope_table *st = scope_table_of(c, t);
    int rc = SATCHEL_OK;
    for (unsigned k = 0; k < st->nchild && !rc; k++) {
        scope_parent *p = st->child[k];
        value v[LIMIT_KEY_COLUMNS];
        int step = SQLITE_DONE;
        scope_bind_key(p->children, t, key);
        while (!rc && (step = sqlite3_step(p->children)) == SQLITE_ROW) {
            for (unsigned i = 0; i < p->t->nkey; i++) v[i] = value_of_column(p->children, (int)i);
            rc = visit(ctx, p->t, v);
        }
        if (!rc && step != SQLITE_DONE) rc = db_rc(step);
        sqlite3_reset(p->children);
    }
    return rc;
}
