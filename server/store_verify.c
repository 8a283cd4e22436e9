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
    sqlite3_stmt **row; /* by place in the schema's tables: clock and columns of the row with a key */
    sqlite3_stmt *tombstone, *commit;
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
    found(c, "table %s: a row refers to one that does not exist (row %" PRId64 ")\n", (const char *)sqlite3_column_text(q, 0),
          sqlite3_column_int64(q, 1));
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

static int prepare_row(checking *c, const schema_table *t, sqlite3_stmt **out) {
    sqlite3_str *sql = sqlite3_str_new(c->s->db);
    sqlite3_str_appendall(sql, "SELECT satchel_clock");
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, ",\"%w\"", t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\" WHERE ", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : "", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(c->s->db, text, -1, out, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    return rc;
}

static int check_tombstones(checking *c, const schema_table *t) {
    sqlite3_stmt *row = c->row[t - c->s->schema->table], *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(c->s->db, "SELECT key FROM satchel_tombstone WHERE tbl=?", -1, &q, NULL));
    if (!rc) sqlite3_bind_int64(q, 1, t->id);
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_blob(q, 0), *end = p ? p + sqlite3_column_bytes(q, 0) : NULL;
        value v[LIMIT_KEY_COLUMNS];
        for (unsigned i = 0; i < t->nkey; i++)
            if (p && value_get(&p, end, &v[i]) == SATCHEL_OK) value_bind(row, (int)i + 1, &v[i]);
        if (sqlite3_step(row) == SQLITE_ROW) found(c, "table %s: a row is there and deleted at once\n", t->name, 0);
        sqlite3_reset(row);
    }
    sqlite3_finalize(q);
    return rc;
}

/* ---- the log against the rows ---- */

static bool same_key(const delta_row *a, const delta_row *b) {
    if (a->table != b->table || a->nkey != b->nkey) return false;
    for (unsigned i = 0; i < a->nkey; i++)
        if (!value_equal(&a->key[i], &b->key[i])) return false;
    return true;
}

/* A commit may mention a row several times: whether any of it says that the column is this. */
static bool commit_says(checking *c, int64_t seq, const delta_row *row, uint32_t column, const value *v) {
    static _Thread_local delta_row other;
    bool says = false;
    sqlite3_bind_int64(c->commit, 1, seq << 24);
    while (!says && sqlite3_step(c->commit) == SQLITE_ROW) {
        wire w;
        delta_reader r;
        wire_open(&w, sqlite3_column_blob(c->commit, 0), (size_t)sqlite3_column_bytes(c->commit, 0));
        delta_open(&r, &w);
        while (!says && delta_next(&r, &other) == 1)
            for (unsigned i = 0; !says && same_key(row, &other) && i < other.ncol; i++)
                says = other.col[i].id == column && value_equal(&other.v[i], v);
    }
    sqlite3_reset(c->commit);
    return says;
}

/* A row that was revived has its old clock: then a later commit says so. Asked of few rows, so it may read the log again. */
static bool put_later(checking *c, int64_t seq, const delta_row *row) {
    static _Thread_local delta_row other;
    sqlite3_stmt *q = NULL;
    bool later = false;
    if (sqlite3_prepare_v2(c->s->db, "SELECT delta FROM satchel_log WHERE id>=? ORDER BY id", -1, &q, NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_int64(q, 1, (seq + 1) << 24);
    while (!later && sqlite3_step(q) == SQLITE_ROW) {
        wire w;
        delta_reader r;
        wire_open(&w, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
        delta_open(&r, &w);
        while (!later && delta_next(&r, &other) == 1) later = other.op == DELTA_PUT && same_key(row, &other);
    }
    sqlite3_finalize(q);
    return later;
}

/* Where the row's clock says that this commit wrote a column, it must hold what the commit's log says. */
static void check_columns(checking *c, const schema_table *t, sqlite3_stmt *q, int64_t seq, const delta_row *row) {
    static _Thread_local row_clock clock;
    if (clock_decode(&clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0))) return; /* found by check_clocks */
    if (row->op == DELTA_DELETE && clock.base.seq < (uint64_t)seq && !put_later(c, seq, row))
        found(c, "table %s: a row is there that commit %" PRId64 " deleted\n", t->name, seq);
    for (unsigned i = 0, k = 0; i < t->ncol && k < row->ncol; i++) {
        while (k < row->ncol && row->col[k].id < t->col[i]->id) k++;
        if (k == row->ncol || row->col[k].id != t->col[i]->id || clock_get(&clock, t->col[i]->unit).seq != (uint64_t)seq)
            continue;
        value v = value_of_column(q, (int)i + 1);
        if (!value_equal(&v, &row->v[k]) && !commit_says(c, seq, row, t->col[i]->id, &v))
            found(c, "table %s: a row does not hold what commit %" PRId64 " wrote last\n", t->name, seq);
    }
}

static void check_row(checking *c, const schema_table *t, int64_t seq, const delta_row *row) {
    sqlite3_stmt *q = c->row[t - c->s->schema->table];
    if (row->nkey != t->nkey) {
        found(c, "table %s: commit %" PRId64 " of the log has no whole key\n", t->name, seq);
        return;
    }
    for (unsigned i = 0; i < row->nkey; i++) value_bind(q, (int)i + 1, &row->key[i]);
    if (sqlite3_step(q) == SQLITE_ROW) {
        check_columns(c, t, q, seq, row);
    } else if (row->op != DELTA_DELETE) {
        buf key;
        buf_init(&key, 0);
        for (unsigned i = 0; i < row->nkey; i++) value_put(&key, &row->key[i]);
        sqlite3_bind_int64(c->tombstone, 1, t->id);
        sqlite3_bind_blob(c->tombstone, 2, key.p, (int)key.n, SQLITE_STATIC);
        sqlite3_bind_int64(c->tombstone, 3, seq);
        if (sqlite3_step(c->tombstone) != SQLITE_ROW)
            found(c, "table %s: a row that commit %" PRId64 " wrote is neither there nor deleted\n", t->name, seq);
        sqlite3_reset(c->tombstone);
        buf_fini(&key);
    }
    sqlite3_reset(q);
}

static void on_log(checking *c, sqlite3_stmt *q) {
    static _Thread_local delta_row row;
    wire w;
    delta_reader r;
    int64_t seq = sqlite3_column_int64(q, 0) >> 24;
    wire_open(&w, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &row)) == 1) {
        const schema_table *t = schema_table_by_id(c->s->schema, row.table);
        if (!t)
            found(c, "log%s: commit %" PRId64 " names an unknown table\n", "", seq);
        else if (t->until == SCHEMA_NEVER)
            check_row(c, t, seq, &row);
    }
    if (more < 0) found(c, "log%s: commit %" PRId64 " cannot be read\n", "", seq);
    if ((uint64_t)seq > store_where(c->s).seq) found(c, "log%s: commit %" PRId64 " lies ahead of the store\n", "", seq);
    if ((uint64_t)seq <= store_where(c->s).floor) found(c, "log%s: commit %" PRId64 " lies below the floor\n", "", seq);
}

static int prepare_all(checking *c) {
    const schema *shape = c->s->schema;
    c->row = calloc(shape->ntable ? shape->ntable : 1, sizeof *c->row);
    if (!c->row) return SATCHEL_E_NOMEM;
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < shape->ntable; i++)
        if (shape->table[i].until == SCHEMA_NEVER) rc = prepare_row(c, &shape->table[i], &c->row[i]);
    if (!rc)
        rc = db_rc(sqlite3_prepare_v2(c->s->db, "SELECT 1 FROM satchel_tombstone WHERE tbl=? AND key=? AND seq>=?", -1,
                                      &c->tombstone, NULL));
    if (!rc)
        rc = db_rc(
            sqlite3_prepare_v2(c->s->db, "SELECT delta FROM satchel_log WHERE id>=?1 AND id<?1+(1<<24)", -1, &c->commit, NULL));
    return rc;
}

static void finalize_all(checking *c) {
    for (unsigned i = 0; c->row && i < c->s->schema->ntable; i++) sqlite3_finalize(c->row[i]);
    sqlite3_finalize(c->tombstone);
    sqlite3_finalize(c->commit);
    free(c->row);
}

int store_verify(store *s, buf *report, unsigned *problems) {
    checking c = {.s = s, .report = report};
    int rc = prepare_all(&c);
    if (!rc) rc = each_row(&c, "PRAGMA integrity_check", on_integrity);
    if (!rc) rc = each_row(&c, "PRAGMA foreign_key_check", on_reference);
    for (unsigned i = 0; !rc && i < s->schema->ntable; i++) {
        if (s->schema->table[i].until != SCHEMA_NEVER) continue;
        rc = check_clocks(&c, &s->schema->table[i]);
        if (!rc) rc = check_tombstones(&c, &s->schema->table[i]);
    }
    if (!rc) rc = each_row(&c, "SELECT id,delta FROM satchel_log", on_log);
    finalize_all(&c);
    if (c.problems > FINDINGS_SHOWN) buf_printf(report, "and %u more\n", c.problems - FINDINGS_SHOWN);
    *problems = c.problems;
    return rc ? rc : report->rc;
}

int store_digest(store *s, buf *report) {
    return digest_tables(s->db, s->schema, report);
}
