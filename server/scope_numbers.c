/* Buckets and sets by number: looked up, given, and remembered. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

int scope_ids_add(id_list *l, uint32_t id) {
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 16;
        uint32_t *more = realloc(l->id, room * sizeof *more);
        if (!more) return SATCHEL_E_NOMEM;
        l->id = more;
        l->room = room;
    }
    l->id[l->n++] = id;
    return SATCHEL_OK;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void scope_ids_order(id_list *l) {
    size_t kept = 0;
    if (l->n > 1) qsort(l->id, l->n, sizeof *l->id, by_number);
    for (size_t i = 0; i < l->n; i++)
        if (!kept || l->id[kept - 1] != l->id[i]) l->id[kept++] = l->id[i];
    l->n = kept;
}

/* A bucket's name: a whole number as it is, text as it is, a blob in hexadecimal. */
static int put_label(buf *b, const char *name, const value *v) {
    buf_clear(b);
    buf_printf(b, "%s", name);
    if (!v || v->type == VALUE_NULL) return b->rc;
    buf_put_byte(b, ':');
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(b, "%lld", (long long)v->u.i);
        break;
    case VALUE_REAL:
        value_put_real(b, v->u.r);
        break;
    case VALUE_TEXT:
        buf_put(b, v->u.p, v->n);
        break;
    default:
        for (uint32_t i = 0; i < v->n; i++) buf_printf(b, "%02x", v->u.p[i]);
    }
    return b->rc;
}

/* 1 and the number, 0 if there is none yet. */
static int find_bucket(scope *c, uint32_t *id) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT id FROM satchel_bucket WHERE name=?");
    if (q) sqlite3_bind_text(q, 1, (const char *)c->label.p, (int)c->label.n, SQLITE_STATIC);
    int rc = db_next(c->cache, q);
    if (rc != 1) return rc;
    *id = (uint32_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return 1;
}

static int make_bucket(scope *c, uint32_t *id) {
    *id = 0;
    if (c->fixed) return SATCHEL_OK;
    sqlite3_stmt *q = db_prepare(c->cache, "INSERT INTO satchel_bucket(name) VALUES(?)");
    if (!q) return db_rc(sqlite3_extended_errcode(c->db));
    sqlite3_bind_text(q, 1, (const char *)c->label.p, (int)c->label.n, SQLITE_STATIC);
    int rc = db_run(q);
    *id = (uint32_t)sqlite3_last_insert_rowid(c->db);
    return rc;
}

int scope_bucket_id(scope *c, const char *name, const value *v, uint32_t *id) {
    int rc = put_label(&c->label, name, v);
    if (rc) return rc;
    scope_name *m = &c->names[value_hash(c->label.p, c->label.n, 1) % SCOPE_MEMO];
    if (m->text && m->n == c->label.n && memcmp(m->text, c->label.p, m->n) == 0) {
        *id = m->id;
        return SATCHEL_OK;
    }
    rc = find_bucket(c, id);
    if (rc == 0) rc = make_bucket(c, id);
    if (rc < 0) return rc;
    char *text = malloc(c->label.n + 1);
    if (!text) return SATCHEL_OK;
    memcpy(text, c->label.p, c->label.n);
    free(m->text);
    *m = (scope_name){.text = text, .n = c->label.n, .id = *id};
    return SATCHEL_OK;
}

void scope_remember(scope_set *m, uint32_t set, const uint32_t *bucket, size_t n) {
    uint32_t *copy = malloc((n ? n : 1) * sizeof *copy);
    if (!copy) return;
    if (n) memcpy(copy, bucket, n * sizeof *copy);
    free(m->bucket);
    *m = (scope_set){.set = set, .n = (uint32_t)n, .bucket = copy};
}

int scope_buckets_of(scope *c, uint32_t set, const uint32_t **ids, size_t *n) {
    scope_set *m = &c->by_set[set % SCOPE_MEMO];
    *n = 0;
    if (!set) return SATCHEL_OK;
    if (!m->bucket || m->set != set) {
        sqlite3_stmt *q = db_prepare(c->cache, "SELECT buckets FROM satchel_set WHERE id=?");
        db_bind(q, "i", (int64_t)set);
        int rc = db_next(c->cache, q);
        if (rc != 1) return rc ? rc : SATCHEL_E_CORRUPT;
        const uint8_t *p = sqlite3_column_blob(q, 0);
        c->more.n = 0;
        rc = SATCHEL_OK;
        for (int i = 0; i + 4 <= sqlite3_column_bytes(q, 0) && !rc; i += 4)
            rc = scope_ids_add(&c->more, (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 | (uint32_t)p[i + 2] << 8 | p[i + 3]);
        sqlite3_reset(q);
        if (rc) return rc;
        scope_remember(m, set, c->more.id, c->more.n);
        *ids = c->more.id;
        *n = c->more.n;
        return SATCHEL_OK;
    }
    *ids = m->bucket;
    *n = m->n;
    return SATCHEL_OK;
}

/* The number of c->ids where none may be given. */
static int find_number(scope *c, uint32_t *set) {
    buf list;
    buf_init(&list, 0);
    for (size_t i = 0; i < c->ids.n; i++)
        for (int shift = 24; shift >= 0; shift -= 8) buf_put_byte(&list, (uint8_t)(c->ids.id[i] >> shift));
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT id FROM satchel_set WHERE buckets=?");
    db_bind(q, "b", list.p, list.n);
    int rc = list.rc ? list.rc : db_next(c->cache, q);
    *set = rc == 1 ? (uint32_t)sqlite3_column_int64(q, 0) : SCOPE_UNKNOWN_SET;
    if (rc == 1) sqlite3_reset(q);
    buf_fini(&list);
    return rc < 0 ? rc : SATCHEL_OK;
}

int scope_set_number(scope *c, uint32_t *set) {
    id_list *l = &c->ids;
    scope_ids_order(l);
    *set = 0;
    if (!l->n) return SATCHEL_OK;
    if (!l->id[0]) { /* a bucket that has no number */
        *set = SCOPE_UNKNOWN_SET;
        return SATCHEL_OK;
    }
    scope_set *m = &c->by_list[value_hash(l->id, l->n * sizeof *l->id, 2) % SCOPE_MEMO];
    if (m->bucket && m->n == l->n && memcmp(m->bucket, l->id, l->n * sizeof *l->id) == 0) {
        *set = m->set;
        return SATCHEL_OK;
    }
    int rc = c->fixed ? find_number(c, set) : view_intern_set(c->cache, l->id, l->n, set);
    if (rc) return rc;
    scope_remember(m, *set, l->id, l->n);
    return SATCHEL_OK;
}
