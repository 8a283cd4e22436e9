#include "server/row_query.h"

#include "protocol/db.h"
#include "protocol/satchel_rc.h"

static void put_key(sqlite3_str *sql, const schema_table *t, const char *before) {
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : before, t->key[i]->name);
}

static void put_columns(sqlite3_str *sql, const schema_table *t, const view *v, delta_row *row) {
    for (unsigned i = 0; i < t->ncol; i++) {
        const schema_column *c = t->col[i];
        if (c->key || view_masks(v, t->id, c->id)) continue;
        row->col[row->ncol++] = (delta_column){.id = c->id, .kind = DELTA_SET};
        sqlite3_str_appendf(sql, ",\"%w\"", c->name);
    }
}

static int prepare(sqlite3 *db, sqlite3_str *sql, sqlite3_stmt **q) {
    char *text = sqlite3_str_finish(sql);
    int sq = text ? sqlite3_prepare_v2(db, text, -1, q, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    return db_rc(sq);
}

static void shape(delta_row *row, const schema_table *t, delta_op op) {
    row->table = t->id;
    row->op = op;
    row->nkey = t->nkey;
    row->ncol = 0;
}

int row_query_prepare(sqlite3 *db, const schema_table *t, const view *v, const char *where, bool in_order, sqlite3_stmt **q,
                      delta_row *row) {
    sqlite3_str *sql = sqlite3_str_new(db);
    shape(row, t, DELTA_PUT);
    put_key(sql, t, "SELECT ");
    put_columns(sql, t, v, row);
    sqlite3_str_appendf(sql, "%s FROM \"%w\" %s", view_is_everything(v) ? "" : ",satchel_set", t->name, where);
    if (in_order) put_key(sql, t, " ORDER BY ");
    return prepare(db, sql, q);
}

int row_query_prepare_keys(sqlite3 *db, const schema_table *t, sqlite3_stmt **q, delta_row *row) {
    sqlite3_str *sql = sqlite3_str_new(db);
    shape(row, t, DELTA_LEAVE);
    put_key(sql, t, "SELECT ");
    sqlite3_str_appendf(sql, ",satchel_set FROM \"%w\"", t->name);
    return prepare(db, sql, q);
}

size_t row_query_take(sqlite3_stmt *q, delta_row *row) {
    size_t size = 0;
    for (unsigned i = 0; i < row->nkey; i++) row->key[i] = value_of_column(q, (int)i);
    for (unsigned i = 0; i < row->ncol; i++) {
        row->v[i] = value_of_column(q, (int)(row->nkey + i));
        size += value_size(&row->v[i]);
    }
    return size;
}

uint32_t row_query_set(sqlite3_stmt *q) {
    return (uint32_t)sqlite3_column_int64(q, sqlite3_column_count(q) - 1);
}

int row_query_set_of(sqlite3 *db, const schema_table *t, const uint8_t *key, size_t nkey, uint32_t *set) {
    sqlite3_stmt *q = NULL;
    sqlite3_str *sql = sqlite3_str_new(db);
    const uint8_t *end = key + nkey;
    sqlite3_str_appendf(sql, "SELECT satchel_set FROM \"%w\"", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : " WHERE ", t->key[i]->name);
    int rc = prepare(db, sql, &q);
    for (unsigned i = 0; !rc && i < t->nkey; i++) {
        value v;
        rc = value_get(&key, end, &v);
        if (!rc) rc = value_bind(q, (int)i + 1, &v);
    }
    if (!rc) {
        int step = sqlite3_step(q);
        rc = step == SQLITE_DONE ? SATCHEL_E_NOT_FOUND : db_rc(step);
        *set = rc ? 0 : (uint32_t)sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    return rc;
}
