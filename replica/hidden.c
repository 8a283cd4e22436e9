#include "replica/hidden.h"

#include <stdlib.h>

#include "protocol/changeset.h"
#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "replica/rows.h"

typedef struct collection {
    db_cache *sql;
    const schema *s;
    buf key, body;
    uint64_t rows;
    changeset_change change;
} collection;

/* The table and the key of the change at hand: what was captured under this schema is in it. */
static const schema_table *key_of(collection *c) {
    const changeset_change *change = &c->change;
    const schema_table *t = schema_table_in_epoch(c->s, c->s->epoch, change->table);
    const value *row = change->op == SQLITE_INSERT ? change->new : change->old;
    value key[LIMIT_KEY_COLUMNS];
    buf_clear(&c->key);
    for (unsigned i = 0; i < change->ncol; i++)
        if (change->pk[i]) key[change->pk[i] - 1] = row[i];
    rows_key_bytes(t, key, &c->key);
    return t;
}

static unsigned count_columns(const uint8_t *p, const uint8_t *end) {
    uint64_t column, seen;
    unsigned n = 0;
    while (buf_get_varint(&p, end, &column) && buf_get_varint(&p, end, &seen)) n++;
    return n;
}

static void put_row(collection *c, uint32_t table, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    uint64_t column, seen;
    unseen_put_row(&c->body, table, c->key.p, c->key.n, count_columns(p, end));
    while (buf_get_varint(&p, end, &column) && buf_get_varint(&p, end, &seen))
        unseen_put_column(&c->body, (uint32_t)column, seen);
    c->rows++;
}

static int collect_row(collection *c) {
    const schema_table *t = key_of(c);
    if (c->key.rc) return c->key.rc;
    sqlite3_stmt *q = db_prepare(c->sql, "SELECT unseen FROM main.satchel_base WHERE tbl=? AND key=? AND unseen IS NOT NULL");
    db_bind(q, "ib", (int64_t)t->id, c->key.p, c->key.n);
    int rc = db_next(c->sql, q);
    if (rc != 1) return rc;
    put_row(c, t->id, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    sqlite3_reset(q);
    return c->body.rc;
}

int hidden_collect(db_cache *sql, const schema *s, const void *changeset, size_t n, buf *out) {
    changeset_reader reader;
    collection *c = calloc(1, sizeof *c);
    int rc;
    if (!c) return SATCHEL_E_NOMEM;
    c->sql = sql;
    c->s = s;
    changeset_open(&reader, changeset, n);
    while ((rc = changeset_next(&reader, &c->change)) == 1 && !(rc = collect_row(c)))
        ;
    if (!rc && c->rows) unseen_finish(c->rows, &c->body, out);
    buf_fini(&c->key);
    buf_fini(&c->body);
    free(c);
    return rc ? rc : out->rc;
}
