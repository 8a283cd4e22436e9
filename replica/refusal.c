#include "replica/refusal.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/changeset.h"
#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "replica/outbox.h"
#include "replica/overlay.h"

#define CHANGES_TOLD 1000u

typedef struct telling {
    file *f;
    outbox_txn txn;
    json_t *changes;
    bool more;
    changeset_change change;
    const schema_column *column[LIMIT_COLUMNS]; /* as the change has them */
} telling;

/* ---- values ---- */

static json_t *blob_json(const value *v) {
    buf text = {0};
    crypto_base64(v->u.p, v->n, &text);
    json_t *o = text.rc ? NULL : json_pack("{ss%}", "base64", text.p ? (const char *)text.p : "", text.n);
    buf_fini(&text);
    return o;
}

/* A text that is no UTF-8 is shown as its bytes. NULL if memory is out. */
static json_t *value_json(const value *v) {
    json_t *text = v->type == VALUE_TEXT ? json_stringn((const char *)v->u.p, v->n) : NULL;
    switch (v->type) {
    case VALUE_INTEGER:
        return json_integer(v->u.i);
    case VALUE_REAL:
        return isfinite(v->u.r) ? json_real(v->u.r) : json_pack("{ss}", "real", v->u.r < 0 ? "-Infinity" : "Infinity");
    case VALUE_TEXT:
        return text ? text : blob_json(v);
    case VALUE_BLOB:
        return blob_json(v);
    default:
        return json_null();
    }
}

/* NULL, and o is gone, if memory is out. */
static json_t *put_column(json_t *o, const schema_column *c, const value *v) {
    if (!json_object_set_new_nocheck(o, c->name, value_json(v))) return o;
    json_decref(o);
    return NULL;
}

/* Those of the change that are of the key, or that are not; what was not touched is passed over. NULL if memory is out. */
static json_t *columns_json(const telling *t, const value *v, bool key) {
    json_t *o = json_object();
    for (unsigned i = 0; o && i < t->change.ncol; i++)
        if ((t->change.pk[i] != 0) == key && v[i].type != VALUE_ABSENT) o = put_column(o, t->column[i], &v[i]);
    return o;
}

/* ---- a change ---- */

static int server_json(telling *t, const schema_table *table, const value *row, json_t **out) {
    value key[LIMIT_KEY_COLUMNS];
    const value *v;
    *out = json_null();
    if (table->until != SCHEMA_NEVER) return SATCHEL_OK;
    for (unsigned i = 0; i < t->change.ncol; i++)
        if (t->change.pk[i]) key[t->change.pk[i] - 1] = row[i];
    int there = overlay_confirmed(t->f->overlay, table, key, &v);
    if (there != 1) return there;
    *out = json_object();
    for (unsigned i = 0; *out && i < table->ncol; i++)
        if (!table->col[i]->key) *out = put_column(*out, table->col[i], &v[i]);
    return *out ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int tell_change(telling *t) {
    static const value NOTHING[LIMIT_COLUMNS];
    const schema_table *table = schema_table_in_epoch(t->f->schema, t->txn.epoch, t->change.table);
    if (!table || schema_layout(table, t->txn.epoch, t->column) != t->change.ncol)
        return file_fail(t->f, SATCHEL_E_CORRUPT, "transaction %llu in the outbox is damaged", (unsigned long long)t->txn.number);
    bool insert = t->change.op == SQLITE_INSERT, gone = t->change.op == SQLITE_DELETE;
    const value *row = insert ? t->change.new : t->change.old;
    json_t *server;
    int rc = server_json(t, table, row, &server);
    if (rc) return rc;
    json_t *o = json_pack("{ss ss so so so so}", "table", table->name, "op",
                          insert ? "insert"
                          : gone ? "delete"
                                 : "update",
                          "key", columns_json(t, row, true), "was", columns_json(t, insert ? NOTHING : t->change.old, false),
                          "wanted", columns_json(t, gone ? NOTHING : t->change.new, false), "server", server);
    return json_array_append_new(t->changes, o) ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int tell_part(telling *t, const buf *part) {
    changeset_reader r;
    int rc;
    changeset_open(&r, part->p, part->n);
    while ((rc = changeset_next(&r, &t->change)) == 1) {
        t->more = json_array_size(t->changes) == CHANGES_TOLD;
        if (t->more) return SATCHEL_OK;
        rc = tell_change(t);
        if (rc) return rc;
    }
    return rc ? file_fail(t->f, rc, "transaction %llu in the outbox is damaged", (unsigned long long)t->txn.number) : SATCHEL_OK;
}

static int tell_changes(telling *t) {
    buf part;
    buf_init(&part, 0);
    unsigned i = 0;
    int rc;
    do {
        buf_clear(&part);
        rc = outbox_changes(t->f, &t->txn, i, &part);
        if (!rc) rc = tell_part(t, &part);
    } while (!rc && !t->more && ++i < t->txn.parts);
    buf_fini(&part);
    return rc;
}

/* ---- the whole ---- */

static json_t *text_json(sqlite3_stmt *q, int at) {
    const char *text = (const char *)sqlite3_column_text(q, at);
    json_t *o = text ? json_stringn(text, (size_t)sqlite3_column_bytes(q, at)) : NULL;
    return o ? o : json_null();
}

/* Takes the changes over. */
static int tell_head(telling *t, json_t **out) {
    sqlite3_stmt *q = db_prepare(&t->f->sql, "SELECT message,tbl,key,depends,settled_ms FROM satchel_outbox WHERE n=?");
    db_bind(q, "i", (int64_t)t->txn.number);
    int rc = db_next(&t->f->sql, q);
    if (rc != 1) return file_db_error(t->f, "cannot read the outbox");
    const char *rule = satchel_rc_rule(t->txn.code);
    *out = json_pack("{sI ss ss? so so so sI sI sO sb}", "transaction", (json_int_t)t->txn.number, "code",
                     satchel_rc_name(t->txn.code), "rule", rule, "text", text_json(q, 0), "table", text_json(q, 1), "key",
                     text_json(q, 2), "depends", (json_int_t)sqlite3_column_int64(q, 3), "refused_ms",
                     (json_int_t)sqlite3_column_int64(q, 4), "changes", t->changes, "more", (int)t->more);
    sqlite3_reset(q);
    return *out ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int tell(telling *t, uint64_t number, json_t **out) {
    int rc = outbox_get(t->f, number, &t->txn);
    if (rc) return rc;
    if (t->txn.state != TXN_REFUSED)
        return file_fail(t->f, t->txn.state == TXN_PENDING ? SATCHEL_E_NOT_FOUND : SATCHEL_E_RESOLVED,
                         "transaction %llu is not one that was refused and is open", (unsigned long long)number);
    t->changes = json_array();
    rc = tell_changes(t);
    return rc ? rc : tell_head(t, out);
}

/* What a host application frees is SQLite's. */
static int as_text(json_t *o, char **json) {
    char *text = json_dumps(o, JSON_COMPACT);
    *json = text ? sqlite3_mprintf("%s", text) : NULL;
    free(text);
    return *json ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

int refusal_json(file *f, uint64_t number, char **json) {
    *json = NULL;
    json_t *o = NULL;
    telling *t = calloc(1, sizeof *t);
    int rc = t ? file_begin(f) : SATCHEL_E_NOMEM;
    if (t && !rc) {
        t->f = f;
        rc = tell(t, number, &o);
        file_rollback(f);
    }
    if (!rc) rc = as_text(o, json);
    if (rc == SATCHEL_E_NOMEM) file_fail(f, rc, "%s", satchel_rc_text(rc));
    if (t) json_decref(t->changes);
    json_decref(o);
    free(t);
    return rc;
}
