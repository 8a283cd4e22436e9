/* The store against itself: file, row clocks, log, tombstones, references; and the digests by which sides are compared. */
#include "server/store_verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/delta.h"
#include "protocol/digest.h"
#include "protocol/functions.h"
#include "protocol/satchel_rc.h"
#include "server/checksum_store.h"
#include "server/scope_private.h"

#define FINDINGS_SHOWN 100u
#define TELL_EVERY 256u
#define TELL_OPS 1000000

void verify_found(checking *c, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES];
    va_list args;
    if (c->problems++ >= FINDINGS_SHOWN) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(c->report, "%s\n", text);
}

int verify_step(checking *c, const char *what) {
    if (++c->done % TELL_EVERY == 0) c->stopped = c->stopped || !progress_tell(c->watch, what, c->done, c->work);
    return c->stopped ? SATCHEL_E_CLOSED : SATCHEL_OK;
}

/* What SQLite does in one statement: it is asked meanwhile whether to go on. */
static int ask_on(void *ctx) {
    checking *c = ctx;
    c->stopped = c->stopped || !progress_tell(c->watch, "checking", c->done, c->work);
    return c->stopped;
}

int verify_each(checking *c, const char *sql, int (*row)(checking *c, sqlite3_stmt *q)) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(c->db, sql, -1, &q, NULL));
    int step = SQLITE_DONE;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) rc = row(c, q);
    if (!rc && step != SQLITE_DONE) rc = c->stopped ? SATCHEL_E_CLOSED : db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

static int on_integrity(checking *c, sqlite3_stmt *q) {
    const char *text = (const char *)sqlite3_column_text(q, 0);
    if (text && strcmp(text, "ok") != 0) verify_found(c, "file: %s", text);
    return SATCHEL_OK;
}

static int on_reference(checking *c, sqlite3_stmt *q) {
    verify_found(c, "table %s: a row refers to one that does not exist (row %" PRId64 ")",
                 (const char *)sqlite3_column_text(q, 0), (int64_t)sqlite3_column_int64(q, 1));
    return SATCHEL_OK;
}

/* ---- rows and their clocks ---- */

/* The columns of a query as SQL literals, for the eye; cut if long. */
static void key_text(sqlite3_stmt *q, int first, unsigned n, char out[96]) {
    buf text = {0};
    for (unsigned i = 0; i < n; i++) {
        value v = value_of_column(q, first + (int)i);
        if (i) buf_put_byte(&text, ',');
        value_put_literal(&text, &v);
    }
    snprintf(out, 96, "%.*s", (int)(text.n < 90 ? text.n : 90), text.p ? (const char *)text.p : "?");
    buf_fini(&text);
}

bool verify_is_author(const checking *c, uint32_t author) {
    size_t low = 0, n = c->nauthor;
    while (n) {
        size_t half = n / 2;
        if (c->author[low + half] == author) return true;
        if (c->author[low + half] < author) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return false;
}

/* What is wrong with one writer of a row; NULL: nothing. */
static const char *fault_of_writer(const checking *c, const field_clock *w) {
    if (w->seq > c->seq) return "was written by a commit that does not exist";
    if (w->stamp > c->high_stamp) return "has a stamp above the highest that was given";
    if (!verify_is_author(c, w->author)) return "was written by an author that there is not";
    return NULL;
}

static const char *fault_of_clock(const checking *c, const schema_table *t, const row_clock *clock) {
    const char *fault = fault_of_writer(c, &clock->base);
    for (unsigned i = 0; !fault && i < clock->n; i++) {
        fault = fault_of_writer(c, &clock->over[i].c);
        if (!fault && !schema_column_by_id(t, clock->over[i].unit)) fault = "has a clock for a column that there is not";
    }
    return fault;
}

/* Whether the log has something of a commit that it must have: what made a row always says so. */
static bool log_has(checking *c, uint64_t seq) {
    if (seq <= c->floor || seq > c->seq) return true;
    sqlite3_bind_int64(c->commit, 1, (int64_t)(seq << 24));
    bool has = sqlite3_step(c->commit) == SQLITE_ROW;
    sqlite3_reset(c->commit);
    return has;
}

static void check_clock(checking *c, const schema_table *t, sqlite3_stmt *q) {
    static _Thread_local row_clock clock;
    char key[96];
    const char *fault = NULL;
    if (clock_decode(&clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)))
        fault = "has no readable clock";
    else
        fault = fault_of_clock(c, t, &clock);
    if (!fault && !log_has(c, clock.base.seq)) fault = "was made by a commit that the log has nothing of";
    int64_t set = sqlite3_column_int64(q, 1);
    bool lies = scope_is_on(c->scope) || set == SET_ALL;
    if (!fault && lies) return;
    key_text(q, 2, t->nkey, key);
    if (fault) verify_found(c, "table %s: row %s %s", t->name, key, fault);
    if (!lies) verify_found(c, "table %s: row %s lies in set %" PRId64 ", and the rules say 1", t->name, key, set);
}

static int on_misplaced(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is) {
    checking *c = ctx;
    buf text = {0};
    if (was != is) {
        for (unsigned i = 0; i < t->nkey; i++) {
            if (i) buf_put_byte(&text, ',');
            value_put_literal(&text, &key[i]);
        }
        if (is == SCOPE_UNKNOWN_SET)
            verify_found(c, "table %s: row %.*s lies in set %" PRIu32 ", and the rules say another", t->name,
                         (int)(text.n < 90 ? text.n : 90), text.p ? (const char *)text.p : "?", was);
        else
            verify_found(c, "table %s: row %.*s lies in set %" PRIu32 ", and the rules say %" PRIu32, t->name,
                         (int)(text.n < 90 ? text.n : 90), text.p ? (const char *)text.p : "?", was, is);
    }
    buf_fini(&text);
    return verify_step(c, "checking who holds what");
}

/* The invariant of scope.h: every row lies where the rules say. */
static int check_scope(checking *c) {
    return scope_is_on(c->scope) ? scope_place_all(c->scope, true, on_misplaced, c) : SATCHEL_OK;
}

static int check_clocks(checking *c, const schema_table *t) {
    sqlite3_str *text = sqlite3_str_new(c->db);
    sqlite3_str_appendall(text, "SELECT satchel_clock,satchel_set");
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(text, ",\"%w\"", t->key[i]->name);
    sqlite3_str_appendf(text, " FROM \"%w\"", t->name);
    char *sql = sqlite3_str_finish(text);
    sqlite3_stmt *q = NULL;
    int rc = sql ? db_rc(sqlite3_prepare_v2(c->db, sql, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    int step = SQLITE_DONE;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        check_clock(c, t, q);
        rc = verify_step(c, "checking rows");
    }
    if (!rc && step != SQLITE_DONE) rc = c->stopped ? SATCHEL_E_CLOSED : db_rc(step);
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return rc;
}

static int prepare_row(checking *c, const schema_table *t, sqlite3_stmt **out) {
    sqlite3_str *sql = sqlite3_str_new(c->db);
    sqlite3_str_appendall(sql, "SELECT satchel_clock");
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, ",\"%w\"", t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\" WHERE ", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : "", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(c->db, text, -1, out, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    return rc;
}

sqlite3_stmt *verify_bind_key(checking *c, uint32_t table, const void *key, size_t n) {
    const schema_table *t = schema_table_by_id(c->shape, table);
    if (!t || t->until != SCHEMA_NEVER || !key) return NULL;
    sqlite3_stmt *row = c->row[t - c->shape->table];
    const uint8_t *p = key, *end = p + n;
    value v[LIMIT_KEY_COLUMNS];
    for (unsigned i = 0; i < t->nkey; i++) {
        if (value_get(&p, end, &v[i])) return NULL;
        value_bind(row, (int)i + 1, &v[i]);
    }
    return p == end ? row : NULL;
}

static int on_tombstone(checking *c, sqlite3_stmt *q) {
    const schema_table *t = schema_table_by_id(c->shape, (uint32_t)sqlite3_column_int64(q, 0));
    field_clock dead = {.seq = (uint64_t)sqlite3_column_int64(q, 2),
                        .stamp = (uint64_t)sqlite3_column_int64(q, 3),
                        .author = (uint32_t)sqlite3_column_int64(q, 4)};
    const char *name = t ? t->name : "?", *fault = fault_of_writer(c, &dead);
    if (fault) verify_found(c, "table %s: a tombstone %s", name, fault);
    if (t && t->until != SCHEMA_NEVER) return verify_step(c, "checking tombstones"); /* its rows went with the table */
    sqlite3_stmt *row = verify_bind_key(c, t ? t->id : 0, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    if (!row)
        verify_found(c, "table %s: a tombstone has no readable key", name);
    else if (sqlite3_step(row) == SQLITE_ROW)
        verify_found(c, "table %s: a row is there and deleted at once", name);
    sqlite3_reset(row);
    return verify_step(c, "checking tombstones");
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
    if (sqlite3_prepare_v2(c->db, "SELECT delta FROM satchel_log WHERE id>=? ORDER BY id", -1, &q, NULL) != SQLITE_OK)
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

/* The log can put this row right. */
static void want(checking *c, const delta_row *row) {
    if (c->wants && !c->wants_rc) c->wants_rc = checksum_truth_want(c->wants, row);
}

/* Where the row's clock says that this commit wrote a column, it must hold what the commit's log says. */
static void check_columns(checking *c, const schema_table *t, sqlite3_stmt *q, int64_t seq, const delta_row *row) {
    static _Thread_local row_clock clock;
    if (clock_decode(&clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0))) return; /* found by check_clocks */
    if (row->op == DELTA_DELETE && clock.base.seq < (uint64_t)seq && !put_later(c, seq, row)) {
        want(c, row);
        verify_found(c, "table %s: a row is there that commit %" PRId64 " deleted", t->name, seq);
    }
    for (unsigned i = 0, k = 0; i < t->ncol && k < row->ncol; i++) {
        while (k < row->ncol && row->col[k].id < t->col[i]->id) k++;
        if (k == row->ncol || row->col[k].id != t->col[i]->id || clock_get(&clock, t->col[i]->unit).seq != (uint64_t)seq)
            continue;
        value v = value_of_column(q, (int)i + 1);
        if (value_equal(&v, &row->v[k]) || commit_says(c, seq, row, t->col[i]->id, &v)) continue;
        want(c, row);
        verify_found(c, "table %s: a row's %s does not hold what commit %" PRId64 " wrote last", t->name, t->col[i]->name, seq);
    }
}

static void check_row(checking *c, const schema_table *t, int64_t seq, const delta_row *row) {
    sqlite3_stmt *q = c->row[t - c->shape->table];
    if (row->nkey != t->nkey) {
        verify_found(c, "table %s: commit %" PRId64 " of the log has no whole key", t->name, seq);
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
        if (sqlite3_step(c->tombstone) != SQLITE_ROW) {
            want(c, row);
            verify_found(c, "table %s: a row that commit %" PRId64 " wrote is neither there nor deleted", t->name, seq);
        }
        sqlite3_reset(c->tombstone);
        buf_fini(&key);
    }
    sqlite3_reset(q);
}

static int on_log(checking *c, sqlite3_stmt *q) {
    static _Thread_local delta_row row;
    wire w;
    delta_reader r;
    int64_t seq = sqlite3_column_int64(q, 0) >> 24;
    wire_open(&w, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &row)) == 1) {
        const schema_table *t = schema_table_by_id(c->shape, row.table);
        if (!t)
            verify_found(c, "log: commit %" PRId64 " names an unknown table", seq);
        else if (t->until == SCHEMA_NEVER)
            check_row(c, t, seq, &row);
    }
    if (more < 0) verify_found(c, "log: commit %" PRId64 " cannot be read", seq);
    if ((uint64_t)seq > c->seq) verify_found(c, "log: commit %" PRId64 " lies ahead of the store", seq);
    if ((uint64_t)seq <= c->floor) verify_found(c, "log: commit %" PRId64 " lies below the floor", seq);
    return verify_step(c, "checking the log");
}

/* ---- all of it ---- */

static int on_position(checking *c, sqlite3_stmt *q) {
    c->seq = (uint64_t)sqlite3_column_int64(q, 0);
    c->floor = (uint64_t)sqlite3_column_int64(q, 1);
    c->high_stamp = (uint64_t)sqlite3_column_int64(q, 2);
    return SATCHEL_OK;
}

static int on_count(checking *c, sqlite3_stmt *q) {
    c->work += (uint64_t)sqlite3_column_int64(q, 0);
    return SATCHEL_OK;
}

/* For the progress bar; only where somebody looks at one. */
static int count_work(checking *c) {
    int rc = c->watch
                 ? verify_each(c, "SELECT (SELECT count(*) FROM satchel_log)+(SELECT count(*) FROM satchel_tombstone)", on_count)
                 : SATCHEL_OK;
    for (unsigned i = 0; !rc && c->watch && i < c->shape->ntable; i++) {
        if (c->shape->table[i].until != SCHEMA_NEVER) continue;
        char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", c->shape->table[i].name);
        rc = sql ? verify_each(c, sql, on_count) : SATCHEL_E_NOMEM;
        sqlite3_free(sql);
    }
    return rc;
}

static int on_author(checking *c, sqlite3_stmt *q) {
    uint32_t *more = c->nauthor % 64 ? c->author : realloc(c->author, (c->nauthor + 64) * sizeof *more);
    if (!more) return SATCHEL_E_NOMEM;
    c->author = more;
    c->author[c->nauthor++] = (uint32_t)sqlite3_column_int64(q, 0);
    return SATCHEL_OK;
}

static int prepare_all(checking *c) {
    c->row = calloc(c->shape->ntable ? c->shape->ntable : 1, sizeof *c->row);
    if (!c->row) return SATCHEL_E_NOMEM;
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < c->shape->ntable; i++)
        if (c->shape->table[i].until == SCHEMA_NEVER) rc = prepare_row(c, &c->shape->table[i], &c->row[i]);
    if (!rc)
        rc = db_rc(sqlite3_prepare_v2(c->db, "SELECT 1 FROM satchel_tombstone WHERE tbl=? AND key=? AND seq>=?", -1,
                                      &c->tombstone, NULL));
    if (!rc)
        rc = db_rc(
            sqlite3_prepare_v2(c->db, "SELECT delta FROM satchel_log WHERE id>=?1 AND id<?1+(1<<24)", -1, &c->commit, NULL));
    /* 0 is the server; what writes over HTTP is an author too. */
    if (!rc)
        rc = verify_each(c, "SELECT 0 UNION SELECT author FROM satchel_author UNION SELECT author FROM satchel_token", on_author);
    return rc;
}

static void finalize_all(checking *c) {
    for (unsigned i = 0; c->row && i < c->shape->ntable; i++) sqlite3_finalize(c->row[i]);
    sqlite3_finalize(c->tombstone);
    sqlite3_finalize(c->commit);
    sqlite3_finalize(c->bucket);
    free(c->row);
    free(c->author);
}

static int check_all(checking *c) {
    int rc = verify_each(c, "SELECT seq,floor,high_stamp FROM satchel_server", on_position);
    if (!rc) rc = prepare_all(c);
    if (!rc) rc = count_work(c);
    if (!rc) rc = verify_each(c, "PRAGMA integrity_check", on_integrity);
    if (!rc) rc = verify_each(c, "PRAGMA foreign_key_check", on_reference);
    if (!rc) rc = verify_books(c);
    for (unsigned i = 0; !rc && i < c->shape->ntable; i++)
        if (c->shape->table[i].until == SCHEMA_NEVER) rc = check_clocks(c, &c->shape->table[i]);
    if (!rc) rc = check_scope(c);
    if (!rc) rc = verify_each(c, "SELECT tbl,key,seq,stamp,author FROM satchel_tombstone", on_tombstone);
    if (!rc) rc = verify_each(c, "SELECT id,delta FROM satchel_log", on_log);
    finalize_all(c);
    if (rc == SATCHEL_E_CORRUPT) {
        verify_found(c, "file: what follows cannot be read: %s", sqlite3_errmsg(c->db));
        rc = SATCHEL_OK;
    }
    if (c->problems > FINDINGS_SHOWN) buf_printf(c->report, "and %u more\n", c->problems - FINDINGS_SHOWN);
    return rc ? rc : c->report->rc;
}

int store_verify(store *s, buf *report, unsigned *problems) {
    store_position p = store_where(s);
    checking c = {.db = s->db, .shape = s->schema, .seq = p.seq, .report = report};
    buf words;
    buf_init(&words, 0);
    int rc = scope_open_fixed(s, &c.scope, &words);
    if (rc == SATCHEL_E_RULE) store_fail(s, rc, "the rules of scope that are in force do not compile");
    if (!rc) rc = check_all(&c);
    scope_free(c.scope);
    buf_fini(&words);
    *problems = c.problems;
    return rc;
}

/* The cache of prepared snapshots: what is wrong with it costs nothing but that it is made anew. */
static void check_snapshots(checking *c, const char *path) {
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000", NULL, NULL, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL);
    if (sq == SQLITE_OK && sqlite3_step(q) != SQLITE_ROW) sq = sqlite3_errcode(db);
    const char *said = sq == SQLITE_OK ? (const char *)sqlite3_column_text(q, 0) : sqlite3_errstr(sq);
    if (!said || strcmp(said, "ok") != 0)
        verify_found(c, "%s: %s; it is a cache: remove it while the server is stopped", path, said ? said : "no answer");
    sqlite3_finalize(q);
    sqlite3_close(db);
}

/* A connection that only reads, as of one commit; and the schema, which does not change under a server that runs. */
static int open_reader(const char *path, sqlite3 **db, schema **shape, buf *error) {
    int sq = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(*db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000", NULL, NULL, NULL);
    int rc = sq == SQLITE_OK ? functions_register(*db) : SATCHEL_OK; /* an index may be over them */
    if (!rc && sq == SQLITE_OK) rc = schema_load(*db, shape, error);
    if (rc) return rc;
    if (sq == SQLITE_OK) sq = sqlite3_exec(*db, "BEGIN", NULL, NULL, NULL);
    if (sq == SQLITE_OK) return SATCHEL_OK;
    db_explain(*db, path, error);
    return db_rc(sq);
}

int store_verify_files(const char *path, const char *snapshot_path, const progress *watch, buf *report, unsigned *problems,
                       checksum_truth *wants, buf *error) {
    checking c = {.report = report, .watch = watch, .wants = wants};
    schema *shape = NULL;
    int rc = open_reader(path, &c.db, &shape, error);
    if (!rc) {
        c.shape = shape;
        sqlite3_progress_handler(c.db, TELL_OPS, ask_on, &c);
        rc = scope_open_reader(c.db, shape, &c.scope, error);
        if (!rc) rc = check_all(&c);
        sqlite3_progress_handler(c.db, 0, NULL, NULL);
        scope_free(c.scope);
    }
    if (!rc) rc = c.wants_rc;
    if (!rc && snapshot_path) check_snapshots(&c, snapshot_path);
    if (rc && c.stopped) rc = SATCHEL_E_CLOSED;
    if (rc == SATCHEL_E_CLOSED)
        buf_printf(error, "given up before it was done");
    else if (rc && !error->n)
        db_explain(c.db, "checking the store", error);
    *problems = c.problems;
    schema_free(shape);
    sqlite3_close(c.db);
    return rc;
}

int store_digest(store *s, buf *report) {
    return digest_tables(s->db, s->schema, report);
}

int store_digest_file(const char *path, buf *report, buf *error) {
    sqlite3 *db = NULL;
    schema *shape = NULL;
    int rc = open_reader(path, &db, &shape, error);
    if (!rc && (rc = digest_tables(db, shape, report))) db_explain(db, "reading the tables", error);
    schema_free(shape);
    sqlite3_close(db);
    return rc;
}
