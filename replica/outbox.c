#include "replica/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/changeset.h"
#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "protocol/translate.h"
#include "replica/hidden.h"
#include "replica/rows.h"
#include "replica/wipe.h"

/* A larger changeset goes into satchel_outbox_part, so that the row stays small: it is rewritten when its result comes and scanned past often. */
#define INLINE_BYTES 2048u

struct outbox_writer {
    sqlite3 *db;
    file *file; /* its sync side, of which only what other threads may use */
    db_cache sql;
    capture *capture;
    schema *schema;
    env env;
    void (*committed)(void *ctx);
    void *committed_ctx;
    /* of the open transaction, read when it first touches a synced table */
    uint64_t cursor, number, stamp;
    uint32_t incarnation;
    bool hides; /* some pending change hides what has come beneath it (M16) */
    uint8_t id[TXN_ID_BYTES];
    /* of a retry: the transaction that was opened last does it, and no later one */
    uint64_t retries; /* number of the refused transaction, else 0 */
    uint64_t
        resolves; /* that, or the first of those that were retried in turn: what the server knows though it may have lost the others (N6) */
    uint8_t line[TXN_LINE_BYTES]; /* that its id begins with */
    int64_t code;                 /* why it was refused */
    bool opened;                  /* a synced table was touched since it began */
    bool flushed;                 /* the retry has become a transaction */
};

/* ---- the sink ---- */

static int take_schema(outbox_writer *w, uint32_t epoch) {
    if (w->schema->epoch == epoch) return SATCHEL_OK;
    schema *fresh = NULL, *stale = w->schema;
    buf error;
    buf_init(&error, 0);
    int rc = schema_load(w->db, &fresh, &error);
    buf_fini(&error);
    if (rc) return rc;
    capture_set_schema(w->capture, fresh);
    w->schema = fresh;
    schema_free(stale);
    return SATCHEL_OK;
}

/* One statement gives everything that the transaction's outbox row needs. The write lock is held, so nothing of it can change
 * before the flush. */
static int read_state(outbox_writer *w) {
    sqlite3_stmt *q = db_prepare(
        &w->sql,
        "SELECT cursor, schema_epoch, incarnation, max(number_floor, coalesce((SELECT max(n) FROM main.satchel_outbox), 0)),"
        "max(hlc, coalesce((SELECT stamp FROM main.satchel_outbox ORDER BY n DESC LIMIT 1), 0)),"
        "EXISTS(SELECT 1 FROM main.satchel_base WHERE unseen IS NOT NULL) FROM main.satchel_state");
    int rc = db_next(&w->sql, q);
    if (rc <= 0) return rc ? rc : SATCHEL_E_CORRUPT;
    w->cursor = (uint64_t)sqlite3_column_int64(q, 0);
    uint32_t epoch = (uint32_t)sqlite3_column_int64(q, 1);
    w->incarnation = (uint32_t)sqlite3_column_int64(q, 2);
    w->number = (uint64_t)sqlite3_column_int64(q, 3) + 1;
    uint64_t last = (uint64_t)sqlite3_column_int64(q, 4);
    w->hides = sqlite3_column_int(q, 5) != 0;
    sqlite3_reset(q);
    w->stamp = hlc_next(last, w->env.now_ms(w->env.ctx));
    return take_schema(w, epoch);
}

static int sink_open(void *ctx) {
    outbox_writer *w = ctx;
    w->retries = w->resolves = 0;
    w->opened = true;
    return read_state(w);
}

/* A first flush has resolved what this one may not: it may be empty. */
static int refuse_old_again(outbox_writer *w) {
    if (!w->retries || !w->flushed) return SATCHEL_OK;
    w->flushed = false;
    return db_exec(&w->sql, "UPDATE main.satchel_outbox SET state=3, code=? WHERE n=?", "ii", w->code, (int64_t)w->retries);
}

/* A repeated flush of one transaction (C2) replaces what the first wrote, under the same number. */
static int sink_begin(void *ctx, bool again) {
    outbox_writer *w = ctx;
    /* Nobody would ever find what is committed there. */
    if (wipe_is_unlinked(w->db)) return SATCHEL_E_WIPED;
    if (again) {
        int rc = db_exec(&w->sql, "DELETE FROM main.satchel_outbox WHERE n=?", "i", (int64_t)w->number);
        if (!rc) rc = db_exec(&w->sql, "DELETE FROM main.satchel_outbox_part WHERE n=?", "i", (int64_t)w->number);
        if (!rc) rc = refuse_old_again(w);
        if (rc) return rc;
    }
    int rc = file_mend_log(w->file, w->db);
    if (!rc) rc = w->env.random(w->env.ctx, w->id, sizeof w->id);
    if (!rc && w->retries) memcpy(w->id, w->line, sizeof w->line);
    return rc;
}

static int resolve_old(outbox_writer *w) {
    if (!w->retries) return SATCHEL_OK;
    w->flushed = true;
    return db_exec(&w->sql, "UPDATE main.satchel_outbox SET state=4, code=0, settled_ms=? WHERE n=?", "ii",
                   (int64_t)w->env.now_ms(w->env.ctx), (int64_t)w->retries);
}

static int write_part(outbox_writer *w, unsigned number, const void *changeset, size_t n, const buf *unseen) {
    return db_exec(&w->sql, "INSERT INTO main.satchel_outbox_part(n, part, changes, unseen) VALUES(?,?,?,?)", "iibb",
                   (int64_t)w->number, (int64_t)number, changeset, n, unseen->p, unseen->n);
}

static int write_txn(outbox_writer *w, unsigned parts, const void *changeset, size_t n, const buf *unseen) {
    return db_exec(&w->sql,
                   "INSERT INTO main.satchel_outbox(n, incarnation, id, stamp, base, epoch, parts, resolves, changes, unseen)"
                   " VALUES(?,?,?,?,?,?,?,?,?,?)",
                   "iibiiiiibb", (int64_t)w->number, (int64_t)w->incarnation, w->id, sizeof w->id, (int64_t)w->stamp,
                   (int64_t)w->cursor, (int64_t)w->schema->epoch, (int64_t)parts, (int64_t)w->resolves, changeset, n, unseen->p,
                   unseen->n);
}

static int sink_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    outbox_writer *w = ctx;
    bool in_row = number == 0 && last && n <= INLINE_BYTES;
    buf unseen;
    buf_init(&unseen, 0);
    static const buf nothing;
    int rc = w->hides ? hidden_collect(&w->sql, w->schema, changeset, n, &unseen) : SATCHEL_OK;
    if (!rc && !in_row) rc = write_part(w, number, changeset, n, &unseen);
    if (!rc && last) rc = in_row ? write_txn(w, 0, changeset, n, &unseen) : write_txn(w, number + 1, NULL, 0, &nothing);
    buf_fini(&unseen);
    return rc || !last ? rc : resolve_old(w);
}

static void sink_end(void *ctx, bool committed) {
    outbox_writer *w = ctx;
    if (!committed) w->file->log_failed = true;
    if (committed && w->committed) w->committed(w->committed_ctx);
}

/* One literal, prepared when the writer is opened: the app's connection must not stay inside a transaction. */
static const char ROLLBACK[] = "ROLLBACK";

static void roll_back(outbox_writer *w) {
    if (!sqlite3_get_autocommit(w->db)) db_end(&w->sql, ROLLBACK);
}

int outbox_writer_open(sqlite3 *db, file *f, void (*committed)(void *ctx), void *ctx, outbox_writer **out, buf *error) {
    outbox_writer *w = calloc(1, sizeof *w);
    *out = w;
    if (!w) return SATCHEL_E_NOMEM;
    *w = (outbox_writer){.db = db, .file = f, .env = f->env, .committed = committed, .committed_ctx = ctx};
    db_cache_init(&w->sql, db);
    file_watch_log(f, db);
    capture_sink sink = {.ctx = w, .open = sink_open, .begin = sink_begin, .part = sink_part, .end = sink_end};
    int rc = capture_open(db, &sink, &w->capture);
    if (!rc) rc = env_register_now(db, &f->env);
    if (!rc) rc = schema_load(db, &w->schema, error);
    if (!rc) capture_set_schema(w->capture, w->schema);
    if (!rc && !db_prepare(&w->sql, ROLLBACK)) rc = db_rc(sqlite3_extended_errcode(db));
    return rc;
}

void outbox_writer_close(outbox_writer *w) {
    if (!w) return;
    file_watch_log(NULL, w->db); /* statements that are open keep the connection, and maybe for longer than the file */
    db_cache_fini(&w->sql);
    capture_close(w->capture);
    schema_free(w->schema);
    free(w);
}

const char *outbox_writer_error(const outbox_writer *w) {
    return capture_error(w->capture);
}

int outbox_writer_error_code(const outbox_writer *w) {
    return capture_error_code(w->capture);
}

/* ---- retry ---- */

typedef struct retry {
    outbox_writer *w;
    rows rows;
    delta_row row, update;
    capture_said said;
    uint32_t epoch;
    uint64_t resolves;
    uint8_t line[TXN_LINE_BYTES];
    int64_t code;
} retry;

/* The columns of a change that the table still has; their number. */
static unsigned columns_of(const schema_table *t, const delta_row *row, rows_column *col, value *v) {
    unsigned n = 0;
    for (unsigned i = 0; i < row->ncol; i++) {
        int at = rows_column_index(t, row->col[i].id);
        if (at < 0) continue;
        col[n] = (rows_column){.at = (uint16_t)at, .add = row->col[i].kind == DELTA_ADD};
        v[n++] = row->v[i];
    }
    return n;
}

static int write_row(retry *r, rows_op op, const schema_table *t, const delta_row *row, bool *changed) {
    rows_column col[LIMIT_COLUMNS];
    value v[LIMIT_COLUMNS];
    unsigned n = columns_of(t, row, col, v);
    return rows_write(&r->rows, op, t, row->key, n, col, v, changed);
}

/* An update says nothing of what it does not move: a counter, a guard, that sees what is there now, and what only the server writes. */
static bool is_said(const schema_column *c, const retry *r) {
    return r->said.insert || (c->rule != RULE_COUNTER && c->rule != RULE_GUARD && c->rule != RULE_SERVER);
}

/* Sets columns of a row that may be there, and says what the refused transaction said, whether or not it stands there: whoever has written it meanwhile may have done
 * so on a server that is put back (N7). *n: how many. */
static int say_again(retry *r, const schema_table *t, const delta_row *row, unsigned *n, bool *changed) {
    rows_column col[LIMIT_COLUMNS];
    value v[LIMIT_COLUMNS];
    *n = columns_of(t, row, col, v);
    if (!*n && !r->said.insert) return SATCHEL_OK;
    r->said.table = t;
    for (unsigned i = 0; i < t->nkey; i++) r->said.key[i] = rows_normal(t->key[i], &row->key[i]);
    memset(r->said.column, 0, sizeof r->said.column);
    for (unsigned i = 0; i < *n; i++) r->said.column[col[i].at] = is_said(t->col[col[i].at], r);
    capture_say(r->w->capture, &r->said);
    int rc = rows_write(&r->rows, *n ? ROWS_UPDATE : ROWS_TOUCH, t, row->key, *n, col, v, changed);
    capture_say(r->w->capture, NULL);
    return rc;
}

/* A row of its key, whoever has made it, takes what it sets (M15). */
static int insert_again(retry *r, const schema_table *t) {
    const schema_column *c;
    unsigned n;
    bool there = false;
    r->update = r->row;
    int rc = translate_insert_as_update(t, &r->update, &c);
    r->said.insert = true;
    if (!rc) rc = say_again(r, t, &r->update, &n, &there);
    return rc || there ? rc : write_row(r, ROWS_UPSERT, t, &r->row, NULL);
}

/* What was to be changed is not here any more, be it deleted or left: the rest alone is not what the app wrote. */
static int update_again(retry *r, const schema_table *t) {
    unsigned n;
    bool there = false;
    r->said.insert = false;
    int rc = say_again(r, t, &r->row, &n, &there);
    return !rc && n && !there ? SATCHEL_E_ROW_MISSING : rc;
}

static int retry_change(retry *r, const changeset_change *change) {
    int rc = translate_change(r->w->schema, r->epoch, change, &r->row);
    if (rc) return rc;
    const schema_table *t = schema_table_by_id(r->w->schema, r->row.table);
    if (t->until != SCHEMA_NEVER) return SATCHEL_E_UNKNOWN_TABLE;
    if (r->row.op == DELTA_PUT) return insert_again(r, t);
    return r->row.op == DELTA_UPDATE ? update_again(r, t) : write_row(r, ROWS_DELETE, t, &r->row, NULL);
}

static int retry_part(retry *r, const void *blob, size_t n) {
    changeset_reader reader;
    changeset_change change;
    int rc;
    changeset_open(&reader, blob, n);
    while ((rc = changeset_next(&reader, &change)) == 1) {
        rc = retry_change(r, &change);
        if (rc) return rc;
    }
    return rc;
}

/* One statement over both homes of a changeset; the row keeps open while its changes are written to other tables. */
static int retry_all(retry *r, uint64_t number) {
    sqlite3_stmt *q = db_prepare(
        &r->w->sql, "SELECT state, epoch, changes, code, resolves, id, -1 AS part FROM main.satchel_outbox WHERE n=?1 UNION ALL "
                    "SELECT 3, 0, changes, 0, 0, NULL, part FROM main.satchel_outbox_part WHERE n=?1 ORDER BY part");
    int rc;
    bool found = false;
    db_bind(q, "i", (int64_t)number);
    while ((rc = db_next(&r->w->sql, q)) == 1) {
        if (!found) {
            int state = sqlite3_column_int(q, 0);
            r->epoch = (uint32_t)sqlite3_column_int64(q, 1);
            r->code = sqlite3_column_int64(q, 3);
            r->resolves = (uint64_t)sqlite3_column_int64(q, 4);
            if (sqlite3_column_bytes(q, 5) == TXN_ID_BYTES) memcpy(r->line, sqlite3_column_blob(q, 5), sizeof r->line);
            found = true;
            if (state != TXN_REFUSED) rc = state == TXN_PENDING ? SATCHEL_E_NOT_FOUND : SATCHEL_E_RESOLVED;
            if (state == TXN_REFUSED && r->code == SATCHEL_E_RESOLVED) rc = SATCHEL_E_RESOLVED;
            if (rc != 1) break;
        }
        rc = retry_part(r, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
        if (rc) break;
    }
    sqlite3_reset(q);
    return rc ? rc : found ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

/* Makes the changes in the open transaction, which from here on is the one that resolves `number`. */
static int replay(outbox_writer *w, uint64_t number) {
    retry *r = calloc(1, sizeof *r);
    if (!r) return SATCHEL_E_NOMEM;
    r->w = w;
    rows_init(&r->rows, w->db);
    int rc = read_state(w);
    w->opened = w->flushed = false;
    if (!rc) rc = retry_all(r, number);
    rows_fini(&r->rows);
    w->retries = w->opened ? number : 0;
    w->resolves = w->opened && r->resolves ? r->resolves : w->retries;
    w->code = r->code;
    memcpy(w->line, r->line, sizeof w->line);
    free(r);
    return rc;
}

/* What stands in the way of the commit has the words. */
static int give_up(outbox_writer *w, int rc) {
    roll_back(w);
    w->retries = w->resolves = 0;
    return capture_error_code(w->capture) ? capture_error_code(w->capture) : rc;
}

/* Not within what the app has begun, be it a statement that is not finished. What its last commit was refused for is no concern of this one. Under the
 * connection's mutex, so that no other thread of the app begins something between. */
static int begin(outbox_writer *w) {
    sqlite3_mutex *mutex = sqlite3_db_mutex(w->db);
    int rc = SATCHEL_E_MISUSE;
    sqlite3_mutex_enter(mutex);
    if (sqlite3_get_autocommit(w->db) && sqlite3_txn_state(w->db, "main") != SQLITE_TXN_WRITE) {
        capture_reset(w->capture);
        rc = db_exec(&w->sql, "BEGIN IMMEDIATE", "");
    }
    sqlite3_mutex_leave(mutex);
    return rc;
}

int outbox_retry(outbox_writer *w, uint64_t number, bool *moot) {
    int rc = begin(w);
    if (rc == SATCHEL_E_MISUSE) return rc;
    if (!rc) rc = replay(w, number);
    if (!rc) rc = db_exec(&w->sql, "COMMIT", "");
    if (rc) return give_up(w, rc);
    *moot = !w->flushed;
    return SATCHEL_OK;
}

/* ---- edit ---- */

static int ignores_checks(sqlite3 *db, bool *out) {
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA ignore_check_constraints", -1, &q, NULL);
    *out = !rc && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0);
    rc = sqlite3_finalize(q);
    return rc ? db_rc(rc) : SATCHEL_OK;
}

/* Checked is what the app makes of them, and by the server the whole. */
static int replay_unchecked(outbox_writer *w, uint64_t number) {
    bool as_before;
    int rc = ignores_checks(w->db, &as_before);
    if (rc) return rc;
    if (!as_before && sqlite3_exec(w->db, "PRAGMA ignore_check_constraints=1", NULL, NULL, NULL)) rc = SATCHEL_E_NOMEM;
    if (!rc) {
        capture_unchecked(w->capture, true);
        rc = replay(w, number);
        capture_unchecked(w->capture, false);
    }
    /* As with ROLLBACK: this must not fail for want of memory. SQLite does it while it prepares, so what has failed may have been done. */
    for (unsigned i = 0; i < DB_END_TRIES && !as_before; i++)
        as_before = sqlite3_exec(w->db, "PRAGMA ignore_check_constraints=0", NULL, NULL, NULL) == SQLITE_OK;
    return rc || as_before ? rc : SATCHEL_E_NOMEM;
}

int outbox_edit(outbox_writer *w, uint64_t number) {
    int rc = begin(w);
    if (rc == SATCHEL_E_MISUSE) return rc;
    if (!rc) rc = db_exec(&w->sql, "PRAGMA defer_foreign_keys=1", "");
    if (!rc) rc = replay_unchecked(w, number);
    if (!rc && !w->opened) rc = SATCHEL_E_ROW_MISSING;
    return rc ? give_up(w, rc) : SATCHEL_OK;
}
