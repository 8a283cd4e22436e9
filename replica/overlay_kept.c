/* What was kept where the app lost (satchel_conflicts): values of the server's rows, which go when the row or the column is this device's no more (S5).
 * What was lost the app itself wrote, and stays. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "replica/overlay_internal.h"

#define IS_KEPT " (kept IS NOT NULL OR kept_ms<>0 OR kept_author<>0) "
#define FORGET "UPDATE satchel_conflicts SET kept=NULL, kept_ms=0, kept_author=0 WHERE "

/* Conflicts name a table as it was called when they came: calls `each` for every name that it had. */
static int each_name(overlay *o, const schema_table *t, int (*each)(overlay *o, const char *name, void *ctx), void *ctx) {
    int rc = each(o, t->name, ctx);
    for (unsigned i = 0; i < t->nformer && !rc; i++) rc = each(o, t->former[i].name, ctx);
    return rc;
}

/* The key as conflicts have it: a text that ends with a zero byte. */
static int put_text(const void *key, size_t n, buf *text) {
    buf_clear(text);
    rows_key_text(key, n, text);
    buf_put_byte(text, 0);
    return text->rc;
}

/* ---- a row ---- */

static int forget_row(overlay *o, const char *name, void *ctx) {
    const buf *text = ctx;
    int rc = db_exec(&o->f->sql, FORGET "tbl=? AND key=?", "ss", name, (const char *)text->p);
    return rc ? file_db_error(o->f, "cannot write satchel_conflicts") : SATCHEL_OK;
}

int kept_forget_row(overlay *o, const schema_table *t, const value *key) {
    buf text;
    buf_init(&text, 0);
    buf_clear(&o->key);
    rows_key_bytes(t, key, &o->key);
    int rc = o->key.rc ? o->key.rc : put_text(o->key.p, o->key.n, &text);
    if (!rc) rc = each_name(o, t, forget_row, &text);
    buf_fini(&text);
    return rc;
}

/* ---- what a view does not hold ---- */

/* Which conflicts of a table keep what was kept. */
typedef struct keeping {
    const schema_table *t;
    bool (*stays)(const struct keeping *k, const char *column, const char *key);
    delta_row row; /* one that is held */
    key_set held;  /* of the texts of keys */
    bool any;
} keeping;

static int look_one(overlay *o, const keeping *k, sqlite3_stmt *q) {
    const char *column = (const char *)sqlite3_column_text(q, 1), *key = (const char *)sqlite3_column_text(q, 2);
    if (!column || !key) return SATCHEL_E_NOMEM;
    return k->stays(k, column, key) ? SATCHEL_OK : db_exec(&o->f->sql, FORGET "id=?", "i", (int64_t)sqlite3_column_int64(q, 0));
}

static int forget_others(overlay *o, const char *name, void *ctx) {
    sqlite3_stmt *q = db_prepare(&o->f->sql, "SELECT id, col, key FROM satchel_conflicts WHERE tbl=? AND" IS_KEPT);
    int rc = db_bind(q, "s", name), more = 0;
    while (!rc && (more = db_next(&o->f->sql, q)) == 1) rc = look_one(o, ctx, q);
    /* Before the reset, which takes the error away. */
    if (rc || more) rc = file_db_error(o->f, "cannot write satchel_conflicts");
    if (q) sqlite3_reset(q);
    return rc;
}

/* One of a column of another name may be of any. Without a name it is of the row's being there. */
static bool has_column(const keeping *k, const char *column, const char *key) {
    (void)key;
    if (!*column) return true;
    for (unsigned i = 0; i < k->t->ncol; i++)
        for (unsigned n = 0; n < k->row.ncol && !strcmp(k->t->col[i]->name, column); n++)
            if (k->row.col[n].id == k->t->col[i]->id) return true;
    return false;
}

int kept_forget_masked(overlay *o, const schema_table *t, const snapshot_range *r) {
    keeping k = {.t = t, .stays = has_column};
    delta_reader reader;
    wire w;
    wire_open(&w, r->delta, r->ndelta);
    delta_open(&reader, &w);
    int rc = delta_next(&reader, &k.row);
    return rc == 1 ? each_name(o, t, forget_others, &k) : rc;
}

static uint64_t hash_text(const buf *text) {
    return index_hash(0, text->p, strlen((const char *)text->p));
}

static int note_key(const void *key, size_t n, buf *text, key_set *held) {
    int rc = put_text(key, n, text);
    if (!rc) key_set_put(held, hash_text(text));
    return rc;
}

static int note_shown(overlay *o, const schema_table *t, buf *text, key_set *held) {
    value key[LIMIT_KEY_COLUMNS];
    sqlite3_stmt *q = NULL;
    int rc = range_prepare(o, t, false, false, &q);
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        for (unsigned i = 0; i < t->nkey; i++) key[i] = value_of_column(q, (int)i);
        buf_clear(&o->key);
        rows_key_bytes(t, key, &o->key);
        rc = o->key.rc ? o->key.rc : note_key(o->key.p, o->key.n, text, held);
    }
    if (sqlite3_reset(q) && !rc) rc = file_db_error(o->f, "cannot read a table");
    sqlite3_finalize(q);
    return rc;
}

/* Rows that are there beneath a pending deletion. */
static int note_hidden(overlay *o, const schema_table *t, buf *text, key_set *held) {
    sqlite3_stmt *q = db_prepare(&o->f->sql, "SELECT key FROM satchel_base WHERE tbl=? AND state=1");
    db_bind(q, "i", (int64_t)t->id);
    int rc = SATCHEL_OK, more = 0;
    while (!rc && (more = db_next(&o->f->sql, q)) == 1)
        rc = note_key(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), text, held);
    if (rc) sqlite3_reset(q);
    return rc ? rc : more ? file_db_error(o->f, "cannot read satchel_base") : SATCHEL_OK;
}

static bool has_row(const keeping *k, const char *column, const char *key) {
    (void)column;
    return key_set_has(&k->held, index_hash(0, key, strlen(key)));
}

static int look_for_any(overlay *o, const char *name, void *ctx) {
    keeping *k = ctx;
    sqlite3_stmt *q = db_prepare(&o->f->sql, "SELECT 1 FROM satchel_conflicts WHERE tbl=? AND" IS_KEPT "LIMIT 1");
    int rc = db_bind(q, "s", name);
    if (!rc) rc = db_next(&o->f->sql, q);
    if (rc == 1) sqlite3_reset(q);
    k->any = k->any || rc == 1;
    return rc < 0 ? file_db_error(o->f, "cannot read satchel_conflicts") : SATCHEL_OK;
}

/* The rows are read only where there is something to forget. */
static int forget_table(overlay *o, const schema_table *t) {
    keeping k = {.t = t, .stays = has_row};
    buf text;
    buf_init(&text, 0);
    buf_init(&k.held.hashes, 0);
    int rc = each_name(o, t, look_for_any, &k);
    if (!rc && k.any) {
        rc = note_shown(o, t, &text, &k.held);
        if (!rc) rc = note_hidden(o, t, &text, &k.held);
        if (!rc) rc = key_set_close(&k.held);
        if (!rc) rc = each_name(o, t, forget_others, &k);
    }
    buf_fini(&k.held.hashes);
    buf_fini(&text);
    return rc;
}

int overlay_forget_kept(overlay *o) {
    const schema *s = o->f->schema;
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < s->ntable && !rc; i++)
        if (s->table[i].until == SCHEMA_NEVER) rc = forget_table(o, &s->table[i]);
    return rc;
}
