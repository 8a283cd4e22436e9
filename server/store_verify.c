/* The store against itself: file, row clocks, log, tombstones, references; and the digests by which sides are compared. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/delta.h"
#include "protocol/digest.h"
#include "protocol/satchel_rc.h"
#include "server/store_private.h"

#define FINDINGS_SHOWN 100u

typedef struct checking {
    store *s;
    buf *report;
    unsigned problems;
} checking;

static void found(checking *c, const char *format, const char *a, int64_t b) {
    if (c->problems++ < FINDINGS_SHOWN) buf_printf(c->report, format, a, b);
}

static int each_row(checking *c, const char *sql, void (*row)(checking *c, sqlite3_stmt *q)) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(c->s->db, sql, -1, &q, NULL));
    int step = SQLITE_DONE;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) row(c, q);
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

static void on_integrity(checking *c, sqlite3_stmt *q) {
    const char *text = (const char *)sqlite3_column_text(q, 0);
    if (text && strcmp(text, "ok") != 0) found(c, "file: %s\n", text, 0);
}

static void on_reference(checking *c, sqlite3_stmt *q) {
    found(c, "table %s: a row refers to one that does not exist (row %" PRId64 ")\n", (const char *)sqlite3_column_text(q, 0), sqlite3_column_int64(q, 1));
}

/* A clock that cannot be read, or that speaks of a commit that never was. */
static int check_clocks(checking *c, const schema_table *t) {
    char *sql = sqlite3_mprintf("SELECT satchel_clock FROM \"%w\"", t->name);
    sqlite3_stmt *q = NULL;
    int rc = sql ? db_rc(sqlite3_prepare_v2(c->s->db, sql, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    static _Thread_local row_clock clock;
    uint64_t seq = store_where(c->s).seq;
    int step = SQLITE_DONE;
    for (int64_t n = 1; !rc && (step = sqlite3_step(q)) == SQLITE_ROW; n++) {
        if (clock_decode(&clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)))
            found(c, "table %s: row %" PRId64 " has no readable clock\n", t->name, n);
        else if (clock_latest(&clock).seq > seq)
            found(c, "table %s: row %" PRId64 " was written by a commit that does not exist\n", t->name, n);
    }
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return rc;
}

static int check_tombstones(checking *c, const schema_table *t) {
    sqlite3_str *sql = sqlite3_str_new(c->s->db);
    sqlite3_str_appendf(sql, "SELECT 1 FROM \"%w\" WHERE ", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : "", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    sqlite3_stmt *row = NULL, *q = NULL;
    int rc = text ? db_rc(sqlite3_prepare_v2(c->s->db, text, -1, &row, NULL)) : SATCHEL_E_NOMEM;
    if (!rc) rc = db_rc(sqlite3_prepare_v2(c->s->db, "SELECT key FROM satchel_tombstone WHERE tbl=?", -1, &q, NULL));
    if (!rc) sqlite3_bind_int64(q, 1, t->id);
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_blob(q, 0), *end = p ? p + sqlite3_column_bytes(q, 0) : NULL;
        value v[LIMIT_KEY_COLUMNS];
        for (unsigned i = 0; i < t->nkey; i++)
            if (p && value_get(&p, end, &v[i]) == SATCHEL_OK) value_bind(row, (int)i + 1, &v[i]);
        if (sqlite3_step(row) == SQLITE_ROW) found(c, "table %s: a row is there and deleted at once\n", t->name, 0);
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
    sqlite3_finalize(q);
    sqlite3_free(text);
    return rc;
}

/* What the log says of a row last must be what the row is. Only columns are compared that the log's tail writes. */
static void on_log(checking *c, sqlite3_stmt *q) {
    static _Thread_local delta_row row;
    wire w;
    delta_reader r;
    int64_t seq = sqlite3_column_int64(q, 0) >> 24;
    wire_open(&w, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &row)) == 1)
        if (!schema_table_by_id(c->s->schema, row.table)) found(c, "log%s: commit %" PRId64 " names an unknown table\n", "", seq);
    if (more < 0) found(c, "log%s: commit %" PRId64 " cannot be read\n", "", seq);
    if ((uint64_t)seq > store_where(c->s).seq) found(c, "log%s: commit %" PRId64 " lies ahead of the store\n", "", seq);
    if ((uint64_t)seq <= store_where(c->s).floor) found(c, "log%s: commit %" PRId64 " lies below the floor\n", "", seq);
}

int store_verify(store *s, buf *report, unsigned *problems) {
    checking c = {.s = s, .report = report};
    int rc = each_row(&c, "PRAGMA integrity_check", on_integrity);
    if (!rc) rc = each_row(&c, "PRAGMA foreign_key_check", on_reference);
    for (unsigned i = 0; !rc && i < s->schema->ntable; i++) {
        if (s->schema->table[i].until != SCHEMA_NEVER) continue;
        rc = check_clocks(&c, &s->schema->table[i]);
        if (!rc) rc = check_tombstones(&c, &s->schema->table[i]);
    }
    if (!rc) rc = each_row(&c, "SELECT id,delta FROM satchel_log", on_log);
    if (c.problems > FINDINGS_SHOWN) buf_printf(report, "and %u more\n", c.problems - FINDINGS_SHOWN);
    *problems = c.problems;
    return rc ? rc : report->rc;
}

int store_digest(store *s, buf *report) {
    return digest_tables(s->db, s->schema, report);
}
