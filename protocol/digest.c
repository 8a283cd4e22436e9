#include "protocol/digest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const schema_table *const *)a)->name, (*(const schema_table *const *)b)->name);
}

static int prepare(sqlite3 *db, const schema_table *t, sqlite3_stmt **out) {
    sqlite3_str *sql = sqlite3_str_new(db);
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : " ORDER BY ", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    int sq = text ? sqlite3_prepare_v2(db, text, -1, out, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    return db_rc(sq);
}

/* ---- some rows ---- */

void digest_begin(digest_rows *d) {
    *d = (digest_rows){0};
}

int digest_add(digest_rows *d, const schema_table *t, const value *v) {
    buf_clear(&d->row);
    buf_put(&d->row, d->digest, sizeof d->digest);
    for (unsigned i = 0; i < t->ncol; i++) value_put(&d->row, &v[i]);
    if (d->row.rc) return d->row.rc;
    crypto_sha256(d->row.p, d->row.n, d->digest);
    d->rows++;
    return SATCHEL_OK;
}

void digest_end(digest_rows *d) {
    buf_fini(&d->row);
}

static void put_end(sqlite3_str *sql, const schema_table *t, const char *before, const char *relation, unsigned first) {
    sqlite3_str_appendf(sql, "%s(", before);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", t->key[i]->name);
    sqlite3_str_appendf(sql, ")%s(", relation);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s?%u", i ? "," : "", first + i);
    sqlite3_str_appendall(sql, ")");
}

void digest_put_range(sqlite3_str *sql, const schema_table *t, bool has_from, bool has_to) {
    if (has_from) put_end(sql, t, " WHERE ", ">", 1);
    if (has_to) put_end(sql, t, has_from ? " AND " : " WHERE ", "<=", t->nkey + 1);
}

int digest_bind_range(sqlite3_stmt *q, const schema_table *t, const snapshot_range *r) {
    int sq = SQLITE_OK;
    for (unsigned i = 0; i < t->nkey; i++) {
        if (!sq && r->has_from) sq = value_bind_copy(q, (int)(1 + i), &r->from[i]);
        if (!sq && r->has_to) sq = value_bind_copy(q, (int)(t->nkey + 1 + i), &r->to[i]);
    }
    return db_rc(sq);
}

/* ---- whole tables ---- */

static int digest_table(sqlite3 *db, const schema_table *t, buf *report) {
    static _Thread_local value v[LIMIT_COLUMNS];
    sqlite3_stmt *q = NULL;
    int rc = prepare(db, t, &q), step = SQLITE_DONE;
    digest_rows d;
    digest_begin(&d);
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        for (unsigned i = 0; i < t->ncol; i++) v[i] = value_of_column(q, (int)i);
        rc = digest_add(&d, t, v);
    }
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    digest_end(&d);
    buf_printf(report, "%s %" PRIu64 " ", t->name, d.rows);
    for (unsigned i = 0; i < sizeof d.digest; i++) buf_printf(report, "%02x", d.digest[i]);
    buf_printf(report, "\n");
    return rc;
}

int digest_tables(sqlite3 *db, const schema *s, buf *report) {
    const schema_table *live[LIMIT_TABLES];
    unsigned n = 0;
    for (unsigned i = 0; i < s->ntable; i++)
        if (s->table[i].until == SCHEMA_NEVER) live[n++] = &s->table[i];
    qsort(live, n, sizeof *live, compare_names);
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < n && !rc; i++) rc = digest_table(db, live[i], report);
    return rc ? rc : report->rc;
}
