
#include "protocol/capture_internal.h"
#include "protocol/changeset.h"
#include "protocol/db.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

/* A text or blob; absent if SQLite had no memory to hand it out. */
static value bytes(uint8_t type, const void *p, int n) {
    if (!p && n > 0) return (value){.type = VALUE_ABSENT};
    return (value){.type = type, .n = (uint32_t)n, .u.p = p};
}

/* A view of one of the hook's values. For UTF-8 the text is asked for as a blob, since sqlite3_value_text would copy it in order
 * to put a zero behind it. */
static value view(const capture_row *w, sqlite3_value *v, bool real) {
    switch (sqlite3_value_type(v)) {
    case SQLITE_INTEGER: {
        int64_t i = sqlite3_value_int64(v);
        return real ? value_real((double)i) : value_integer(i);
    }
    case SQLITE_FLOAT:
        return value_real(sqlite3_value_double(v));
    case SQLITE_TEXT: {
        const void *p = w->utf8 ? sqlite3_value_blob(v) : sqlite3_value_text(v);
        return bytes(VALUE_TEXT, p, sqlite3_value_bytes(v));
    }
    case SQLITE_BLOB: {
        const void *p = sqlite3_value_blob(v);
        return bytes(VALUE_BLOB, p, sqlite3_value_bytes(v));
    }
    default:
        return value_null();
    }
}

typedef int (*getter)(sqlite3 *, int, sqlite3_value **);

static int load(capture_row *w, const capture_table *t, getter get, value *out) {
    for (unsigned i = 0; i < t->ncol; i++) {
        sqlite3_value *v = NULL;
        int rc = get(w->db, t->raw[i], &v);
        if (rc) return db_rc(rc);
        out[i] = view(w, v, t->real[i]);
        if (out[i].type == VALUE_ABSENT) return SATCHEL_E_NOMEM;
    }
    return SATCHEL_OK;
}

/* Bytes of a whole row as a changeset's record. */
static size_t row_size(const capture_table *t, const value *v) {
    size_t n = 0;
    for (unsigned i = 0; i < t->ncol; i++) n += value_size(&v[i]);
    return n;
}

static uint8_t *write_row(uint8_t *to, const capture_table *t, const value *v) {
    for (unsigned i = 0; i < t->ncol; i++) to = value_write(to, &v[i]);
    return to;
}

static size_t key_size(const capture_table *t, const value *v) {
    size_t n = 0;
    for (unsigned i = 0; i < t->nkey; i++) n += value_size(&v[t->key[i]]);
    return n;
}

/* The keys 1 and 1.0 are one key to SQLite where a column has no type. They hash alike, so that a change from one to the other is kept in
 * order by capture_net. */
static uint64_t hash_value(const value *v, uint64_t seed) {
    if (v->type == VALUE_TEXT || v->type == VALUE_BLOB) return value_hash(v->u.p, v->n, seed);
    int64_t i = v->u.i;
    if (v->type == VALUE_REAL && v->u.r > -9.2e18 && v->u.r < 9.2e18) i = (int64_t)v->u.r;
    return value_hash(&i, sizeof i, seed);
}

static uint64_t key_hash(const capture_table *t, const value *v) {
    uint64_t h = t->index;
    for (unsigned i = 0; i < t->nkey; i++) h = hash_value(&v[t->key[i]], h);
    return h;
}

static int refuse(const capture_table *t, int code, unsigned column, capture_record *to) {
    capture_entry *e = capture_record_append(to, sizeof *e);
    if (!e) return to->rc;
    *e = (capture_entry){.size = sizeof *e, .table = (uint16_t)t->index, .refusal = (int16_t)code, .change_n = column};
    return SATCHEL_OK;
}

/* Appends an entry whose change has `change_n` bytes, key, operation and indirect byte already written; returns where the records go. */
static uint8_t *begin_entry(const capture_table *t, uint8_t op, uint8_t indirect, const value *key, size_t change_n,
                            capture_record *to) {
    size_t key_n = key_size(t, key);
    size_t size = (sizeof(capture_entry) + key_n + change_n + 7) & ~(size_t)7;
    capture_entry *e = capture_record_append(to, size);
    if (!e) return NULL;
    *e = (capture_entry){
        .hash = key_hash(t, key),
        .size = (uint32_t)size,
        .key_n = (uint32_t)key_n,
        .change_n = (uint32_t)change_n,
        .table = (uint16_t)t->index,
    };
    uint8_t *p = (uint8_t *)(e + 1);
    for (unsigned i = 0; i < t->nkey; i++) p = value_write(p, &key[t->key[i]]);
    *p++ = op;
    *p++ = indirect;
    return p;
}

/* A code if the key cannot be one. */
static int check_key(const capture_table *t, const value *v, unsigned *column) {
    size_t n = 0;
    *column = 0;
    for (unsigned i = 0; i < t->nkey; i++) {
        const value *k = &v[t->key[i]];
        n += value_size(k);
        if (k->type != VALUE_NULL) continue;
        *column = t->key[i] + 1u;
        return SATCHEL_E_NULL_KEY;
    }
    return n > LIMIT_KEY_BYTES ? SATCHEL_E_TOO_LARGE : SATCHEL_OK;
}

/* A code if a value is over the limits, or a text that is to be sent is no UTF-8. */
static int check_value(const value *v, bool sent) {
    if (v->type != VALUE_TEXT && v->type != VALUE_BLOB) return SATCHEL_OK;
    if (v->n > LIMIT_VALUE_BYTES) return SATCHEL_E_TOO_LARGE;
    if (sent && v->type == VALUE_TEXT && !value_utf8_valid(v->u.p, v->n)) return SATCHEL_E_UTF8;
    return SATCHEL_OK;
}

static int check_row(const capture_table *t, const value *v, bool sent, unsigned *column) {
    int rc = check_key(t, v, column);
    for (unsigned i = 0; i < t->ncol && !rc; i++) {
        rc = check_value(&v[i], sent || t->pk[i]);
        *column = rc ? i + 1 : 0;
    }
    if (!rc && row_size(t, v) > LIMIT_ROW_BYTES) rc = SATCHEL_E_TOO_LARGE;
    return rc;
}

/* An insert's new row or a delete's old one. */
static int record_whole(const capture_table *t, uint8_t op, const value *v, capture_record *to) {
    unsigned column;
    int rc = check_row(t, v, op == SQLITE_INSERT, &column);
    if (rc) return refuse(t, rc, column, to);
    uint8_t *p = begin_entry(t, op, 0, v, 2 + row_size(t, v), to);
    if (!p) return to->rc;
    write_row(p, t, v);
    return SATCHEL_OK;
}

/* What was said of the row at hand; NULL: nothing but what changes. */
static const capture_said *said_of(const capture_row *w, const capture_table *t) {
    if (!w->said || w->said->table->id != t->desc->id) return NULL;
    for (unsigned i = 0; i < t->nkey; i++)
        if (!value_equal(&w->old[t->key[i]], &w->said->key[i])) return NULL;
    return w->said;
}

/* Marks what differs or was said; false if nothing did and was. */
static bool compare(capture_row *w, const capture_table *t, const capture_said *said, bool *key_changed) {
    bool any = said && said->insert;
    *key_changed = false;
    for (unsigned i = 0; i < t->ncol; i++) {
        bool differs = !value_equal(&w->old[i], &w->new[i]);
        w->changed[i] = differs || (said && said->column[i]);
        any = any || w->changed[i];
        if (differs && t->pk[i]) *key_changed = true;
    }
    return any;
}

/* A group travels whole: every column of a group with a changed one counts as changed. */
static void widen_groups(capture_row *w, const capture_table *t) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (w->changed[i]) w->changed[t->unit[i]] = true;
    for (unsigned i = 0; i < t->ncol; i++)
        if (w->changed[t->unit[i]]) w->changed[i] = true;
}

static int check_update(const capture_row *w, const capture_table *t, unsigned *column) {
    size_t old_n = 0, new_n = 0;
    int rc = check_key(t, w->old, column);
    for (unsigned i = 0; i < t->ncol && !rc; i++) {
        if (!w->changed[i]) continue;
        old_n += value_size(&w->old[i]);
        new_n += value_size(&w->new[i]);
        rc = check_value(&w->old[i], false);
        if (!rc) rc = check_value(&w->new[i], true);
        *column = rc ? i + 1 : 0;
    }
    if (!rc && (old_n > LIMIT_ROW_BYTES || new_n > LIMIT_ROW_BYTES)) rc = SATCHEL_E_TOO_LARGE;
    return rc;
}

static int record_update(const capture_row *w, const capture_table *t, const capture_said *said, capture_record *to) {
    unsigned column;
    int rc = check_update(w, t, &column);
    if (rc) return refuse(t, rc, column, to);
    size_t n = 2;
    for (unsigned i = 0; i < t->ncol; i++) {
        n += t->pk[i] || w->changed[i] ? value_size(&w->old[i]) : 1;
        n += w->changed[i] ? value_size(&w->new[i]) : 1;
    }
    uint8_t *p = begin_entry(t, SQLITE_UPDATE, said ? ENTRY_SAID | (said->insert ? CHANGESET_INSERT : 0) : 0, w->old, n, to);
    if (!p) return to->rc;
    for (unsigned i = 0; i < t->ncol; i++) {
        if (t->pk[i] || w->changed[i])
            p = value_write(p, &w->old[i]);
        else
            *p++ = VALUE_ABSENT;
    }
    for (unsigned i = 0; i < t->ncol; i++) {
        if (w->changed[i])
            p = value_write(p, &w->new[i]);
        else
            *p++ = VALUE_ABSENT;
    }
    return SATCHEL_OK;
}

static int update(capture_row *w, const capture_table *t, capture_record *to) {
    int rc = load(w, t, sqlite3_preupdate_old, w->old);
    if (!rc) rc = load(w, t, sqlite3_preupdate_new, w->new);
    bool key_changed;
    if (rc) return rc;
    const capture_said *said = said_of(w, t);
    if (!compare(w, t, said, &key_changed)) return SATCHEL_OK;
    if (key_changed) {
        rc = record_whole(t, SQLITE_DELETE, w->old, to);
        return rc ? rc : record_whole(t, SQLITE_INSERT, w->new, to);
    }
    widen_groups(w, t);
    return record_update(w, t, said, to);
}

int capture_row_record(capture_row *w, const capture_table *t, int op, capture_record *to) {
    if (t->rc) return refuse(t, t->rc, 0, to);
    if (sqlite3_preupdate_count(w->db) != t->nraw) return refuse(t, SATCHEL_E_TABLE_SHAPE, 0, to);
    if (op == SQLITE_UPDATE) return update(w, t, to);
    bool insert = op == SQLITE_INSERT;
    int rc = load(w, t, insert ? sqlite3_preupdate_new : sqlite3_preupdate_old, w->new);
    return rc ? rc : record_whole(t, (uint8_t)op, w->new, to);
}
