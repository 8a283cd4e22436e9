/* A row as the store has it: found by its key, inserted with its clock and its set, changed, deleted. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"

/* Any row must fit a page of a snapshot. */
static int check_size(ingest *g, const stored_row *row) {
    size_t n = 0;
    for (unsigned i = 0; i < row->ts->t->ncol; i++) n += value_size(&row->v[i]);
    return n <= LIMIT_ROW_BYTES ? SATCHEL_OK
                                : ingest_refuse(g, SATCHEL_E_TOO_LARGE, "a row of %s would have %zu bytes", row->ts->t->name, n);
}

int stored_open(ingest *g, const schema_table *t, const value *key, stored_row *row) {
    row->ts = ingest_table(g, t);
    sqlite3_stmt *q = row->ts->select;
    for (unsigned i = 0; i < t->nkey; i++) value_bind(q, (int)i + 1, &key[i]);
    int step = sqlite3_step(q);
    if (step != SQLITE_ROW) {
        sqlite3_reset(q);
        return step == SQLITE_DONE ? 0 : db_rc(step);
    }
    for (unsigned i = 0; i < t->ncol; i++) row->v[i] = value_of_column(q, (int)i + 2);
    row->set = (uint32_t)sqlite3_column_int64(q, 1);
    if (row->ts->rowid) row->rowid = sqlite3_column_int64(q, (int)t->ncol + 2);
    int rc = clock_decode(&row->clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    if (rc) {
        sqlite3_reset(q);
        return rc;
    }
    return 1;
}

void stored_close(stored_row *row) {
    sqlite3_reset(row->ts->select);
}

int stored_put(ingest *g, stored_row *row) {
    int rc = check_size(g, row);
    if (rc) return rc;
    buf_clear(&g->scratch);
    clock_encode(&row->clock, &g->scratch);
    if (g->scratch.rc) return g->scratch.rc;
    sqlite3_stmt *q = row->ts->insert;
    sqlite3_bind_blob(q, 1, g->scratch.p, (int)g->scratch.n, SQLITE_STATIC);
    row->set = g->scoped ? row->ts->last_set : SET_ALL;
    sqlite3_bind_int64(q, 2, row->set);
    for (unsigned i = 0; i < row->ts->t->ncol; i++) value_bind(q, (int)i + 3, &row->v[i]);
    return ingest_sqlite(g, db_run(q));
}

int stored_delete(ingest *g, const schema_table *t, const value *key) {
    sqlite3_stmt *q = ingest_table(g, t)->delete_row;
    for (unsigned i = 0; i < t->nkey; i++) value_bind(q, (int)i + 1, &key[i]);
    return ingest_sqlite(g, db_run(q));
}

int stored_place(ingest *g, stored_row *row) {
    int rc = ingest_place(g, row);
    if (satchel_rc_class(rc) != SATCHEL_CLASS_REFUSED) return rc;
    value key[LIMIT_KEY_COLUMNS];
    for (unsigned i = 0; i < row->ts->t->nkey; i++) key[i] = row->v[row->ts->key_place[i]];
    int end = stored_delete(g, row->ts->t, key);
    return end ? end : rc;
}

int stored_insert(ingest *g, stored_row *row) {
    int rc = stored_put(g, row);
    return rc ? rc : stored_place(g, row);
}

static int make_update(ingest *g, table_state *ts, unsigned n, const uint16_t *column, update_stmt *u) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    sqlite3_str_appendf(text, "UPDATE OR ABORT \"%w\" SET satchel_clock=?", ts->t->name);
    for (unsigned i = 0; i < n; i++) sqlite3_str_appendf(text, ",\"%w\"=?", ts->t->col[column[i]]->name);
    if (ts->rowid) sqlite3_str_appendf(text, " WHERE %s=?", ts->rowid);
    for (unsigned i = 0; !ts->rowid && i < ts->t->nkey; i++)
        sqlite3_str_appendf(text, "%s\"%w\"=?", i ? " AND " : " WHERE ", ts->t->key[i]->name);
    char *sql = sqlite3_str_finish(text);
    if (!sql) return SATCHEL_E_NOMEM;
    sqlite3_finalize(u->stmt);
    u->stmt = NULL;
    u->n = n;
    memcpy(u->column, column, n * sizeof *column);
    int rc = db_rc(sqlite3_prepare_v3(g->s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &u->stmt, NULL));
    sqlite3_free(sql);
    return rc;
}

static int find_update(ingest *g, table_state *ts, unsigned n, const uint16_t *column, update_stmt **out) {
    for (unsigned i = 0; i < UPDATE_SHAPES; i++) {
        update_stmt *u = &ts->update[i];
        if (u->stmt && u->n == n && memcmp(u->column, column, n * sizeof *column) == 0) {
            *out = u;
            return SATCHEL_OK;
        }
    }
    *out = &ts->update[ts->next_shape++ % UPDATE_SHAPES];
    return make_update(g, ts, n, column, *out);
}

int stored_update(ingest *g, const stored_row *row, const row_changes *changes, const value *key) {
    update_stmt *u;
    int rc = changes->n ? check_size(g, row) : SATCHEL_OK;
    if (!rc) rc = find_update(g, row->ts, changes->n, changes->place, &u);
    if (rc) return rc;
    buf_clear(&g->scratch);
    clock_encode(&row->clock, &g->scratch);
    if (g->scratch.rc) return g->scratch.rc;
    int at = 1;
    sqlite3_bind_blob(u->stmt, at++, g->scratch.p, (int)g->scratch.n, SQLITE_STATIC);
    for (unsigned i = 0; i < changes->n; i++) value_bind(u->stmt, at++, &row->v[changes->place[i]]);
    if (row->ts->rowid) sqlite3_bind_int64(u->stmt, at, row->rowid);
    for (unsigned i = 0; !row->ts->rowid && i < row->ts->t->nkey; i++) value_bind(u->stmt, at++, &key[i]);
    return ingest_sqlite(g, db_run(u->stmt));
}
