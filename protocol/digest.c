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

static int digest_table(sqlite3 *db, const schema_table *t, buf *report) {
    sqlite3_stmt *q = NULL;
    int rc = prepare(db, t, &q), step = SQLITE_DONE;
    uint8_t digest[32] = {0};
    uint64_t rows = 0;
    buf row;
    buf_init(&row, 0);
    for (; !rc && (step = sqlite3_step(q)) == SQLITE_ROW; rows++) {
        buf_clear(&row);
        buf_put(&row, digest, sizeof digest);
        for (unsigned i = 0; i < t->ncol; i++) {
            value v = value_of_column(q, (int)i);
            value_put(&row, &v);
        }
        rc = row.rc;
        if (!rc) crypto_sha256(row.p, row.n, digest);
    }
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    buf_fini(&row);
    buf_printf(report, "%s %" PRIu64 " ", t->name, rows);
    for (unsigned i = 0; i < sizeof digest; i++) buf_printf(report, "%02x", digest[i]);
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
