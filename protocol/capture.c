#include "protocol/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/capture_internal.h"
#include "protocol/db.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

/* Outlives the capture: the module, its tables and functions point at it, and they live until the connection closes. */
typedef struct tap_link {
    capture *c; /* NULL once the capture is closed */
} tap_link;

/* One connection of the virtual table. When the schema changes within a transaction SQLite connects it anew, and the new one joins
 * the transaction beside the old one: each then hears of savepoints, commit and rollback. */
typedef struct tap {
    sqlite3_vtab base;
    tap_link *link;
    bool main;    /* of the main database, not of an attached one */
    bool joining; /* between xBegin and the xSavepoint that follows it if savepoints are open */
} tap;

struct capture {
    /* First, and always zero. Another sqlite3session_create() on the connection takes our hook's argument for a session and chains it
     * behind its own; as zeros it is a session that is switched off and has no next (C6). */
    uint8_t as_session[512];
    sqlite3 *db;
    capture_sink sink;
    tap_link *link;
    bool enabled, unchecked;
    /* the tables */
    capture_tables tables;
    const capture_table *last; /* that the hook met; most statements stay in one table */
    int tables_rc;             /* why the tables could not be described; refuses every change */
    /* the open transaction */
    capture_record record;
    uint64_t *mark; /* [nmark] the record's size when the savepoint of that level was opened */
    unsigned nmark, mark_cap;
    const tap *owner;                   /* the first that joined, and the one that flushes; NULL while there is none */
    bool unguarded;                     /* a change came without it: its savepoints were not seen */
    bool flushed;                       /* the record as it is was given to the sink */
    bool begun;                         /* sink.begin was called */
    bool writing;                       /* the sink is at work: what it changes is not captured */
    int poison;                         /* SATCHEL_E_*: this transaction may not commit, */
    char poison_text[LIMIT_TEXT_BYTES]; /* in words */
    /* memory of the work */
    capture_row row;
    capture_net net;
    int error_code;
    char error[LIMIT_TEXT_BYTES];
};

/* ---- refusing ---- */

/* What SQLite is told when a commit is vetoed. BUSY leaves the transaction open, the others end it. */
static int sqlite_code(int rc) {
    switch (rc) {
    case SATCHEL_E_BUSY:
        return SQLITE_BUSY;
    case SATCHEL_E_NOMEM:
        return SQLITE_NOMEM;
    case SATCHEL_E_FULL:
        return SQLITE_FULL;
    case SATCHEL_E_IO:
        return SQLITE_IOERR;
    case SATCHEL_E_READONLY:
        return SQLITE_READONLY;
    case SATCHEL_E_CORRUPT:
        return SQLITE_CORRUPT;
    default:
        return SQLITE_CONSTRAINT;
    }
}

static void describe(int rc, const capture_table *t, unsigned column, char out[LIMIT_TEXT_BYTES]) {
    const char *text = satchel_rc_text(rc);
    if (!t)
        snprintf(out, LIMIT_TEXT_BYTES, "%s", text);
    else if (t->rc)
        snprintf(out, LIMIT_TEXT_BYTES, "table \"%s\" cannot be synced: %s", t->desc->name, t->why);
    else if (column)
        snprintf(out, LIMIT_TEXT_BYTES, "table \"%s\", column \"%s\": %s", t->desc->name, t->desc->col[column - 1]->name, text);
    else
        snprintf(out, LIMIT_TEXT_BYTES, "table \"%s\": %s", t->desc->name, text);
}

static int set_error(capture *c, int rc, const capture_table *t, unsigned column) {
    c->error_code = rc;
    describe(rc, t, column, c->error);
    return rc;
}

static void clear_error(capture *c) {
    c->error_code = SATCHEL_OK;
    c->error[0] = 0;
}

/* This transaction may not commit; savepoints do not undo it. The first reason stays. */
static void poison(capture *c, int rc, const capture_table *t) {
    if (c->poison) return;
    c->poison = rc;
    describe(rc, t, 0, c->poison_text);
}

static int set_poison_error(capture *c) {
    c->error_code = c->poison;
    memcpy(c->error, c->poison_text, sizeof c->error);
    return c->poison;
}

/* The transaction is over, or its work is forgotten. */
static void forget(capture *c, bool committed) {
    bool begun = c->begun;
    capture_record_clear(&c->record);
    c->nmark = 0;
    c->owner = NULL;
    c->unguarded = c->flushed = c->begun = false;
    c->poison = SATCHEL_OK;
    if (begun && c->sink.end) c->sink.end(c->sink.ctx, committed);
}

/* ---- the preupdate hook ---- */

static const capture_table *find_table(capture *c, const char *database, const char *name) {
    if (strcmp(database, sqlite3_db_name(c->db, 0)) != 0) return NULL;
    if (c->last && strcmp(name, c->last->desc->name) == 0) return c->last;
    const capture_table *t = capture_tables_find(&c->tables, name);
    if (t) c->last = t;
    return t;
}

static void on_change(void *arg, sqlite3 *db, int op, const char *database, const char *name, sqlite3_int64 old_rowid,
                      sqlite3_int64 new_rowid) {
    (void)old_rowid, (void)new_rowid;
    capture *c = arg;
    if (c->writing) return;
    const capture_table *t = find_table(c, database, name);
    if (!t) {
        if (c->tables_rc) poison(c, c->tables_rc, NULL);
        return;
    }
    c->flushed = false;
    if (!c->owner) c->unguarded = true;
    if (sqlite3_preupdate_blobwrite(db) >= 0) poison(c, SATCHEL_E_BLOB_WRITE, t);
    if (c->poison) return;
    int rc = capture_row_record(&c->row, t, op, &c->record);
    if (rc) poison(c, rc, t);
}

/* Another sqlite3session_create(), or the application itself, may have replaced the hook. Called where a statement begins and before the
 * flush, so that no change can have passed unseen in between: a session that came and went in one transaction leaves its
 * own hook behind with our argument, and is put right here. */
static void hold_hook(capture *c, bool changes_may_be_lost) {
    void *was = sqlite3_preupdate_hook(c->db, on_change, c);
    if (was != c && (was || changes_may_be_lost)) poison(c, SATCHEL_E_HOOK, NULL);
}

/* ---- flushing ---- */

static int on_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    capture *c = ctx;
    if (number == 0) {
        bool again = c->begun;
        c->begun = true;
        int rc = c->sink.begin(c->sink.ctx, again);
        if (rc) return rc;
    }
    return c->sink.part(c->sink.ctx, number, last, changeset, n);
}

static int give(capture *c) {
    int rc = capture_net_run(&c->net, &c->tables, &c->record);
    /* A repeated flush that has become empty takes back what the first one wrote. */
    if (!rc && c->net.parts == 0 && c->begun) rc = c->sink.begin(c->sink.ctx, true);
    return rc;
}

static int flush(capture *c) {
    clear_error(c);
    if (c->poison) return set_poison_error(c);
    if (capture_record_size(&c->record) == 0 && !c->begun) return SATCHEL_OK;
    sqlite3_int64 rowid = sqlite3_last_insert_rowid(c->db);
    c->writing = true;
    int rc = give(c);
    c->writing = false;
    sqlite3_set_last_insert_rowid(c->db, rowid);
    if (rc) return set_error(c, rc, c->net.refused, c->net.refused_column);
    c->flushed = true;
    return SATCHEL_OK;
}

/* The last guard (C3): whatever reaches a commit past the virtual table ends here. */
static int on_commit(void *arg) {
    capture *c = arg;
    if (!c->enabled) return 0;
    bool unseen = capture_record_size(&c->record) && !c->flushed;
    if (c->unguarded || unseen) poison(c, SATCHEL_E_UNFLUSHED, NULL);
    if (!c->poison) return 0;
    set_poison_error(c);
    forget(c, false);
    return 1;
}

/* Reaches transactions that the virtual table took no part in. Within a flush it comes from a failed write of the sink; the
 * flush's own failure then ends the transaction. */
static void on_rollback(void *arg) {
    capture *c = arg;
    if (!c->writing) forget(c, false);
}

int capture_flush(capture *c) {
    int rc = flush(c);
    c->begun = false;
    forget(c, false);
    return rc;
}

void capture_reset(capture *c) {
    c->begun = false;
    forget(c, false);
    clear_error(c);
}

/* ---- the virtual table ---- */

static int tap_fail(sqlite3_vtab *vtab, int rc, const char *text) {
    sqlite3_free(vtab->zErrMsg);
    vtab->zErrMsg = sqlite3_mprintf("%s", text);
    return rc;
}

/* NULL if there is nothing to do on this connection. */
static capture *tap_capture(sqlite3_vtab *vtab) {
    capture *c = ((tap *)vtab)->link->c;
    return c && c->enabled ? c : NULL;
}

static int tap_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error) {
    (void)argc, (void)error;
    int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(ignored)");
    if (!rc) rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
    if (rc) return rc;
    tap *t = calloc(1, sizeof *t);
    if (!t) return SQLITE_NOMEM;
    t->link = aux;
    t->main = strcmp(argv[1], sqlite3_db_name(db, 0)) == 0;
    *out = &t->base;
    return SQLITE_OK;
}

static int tap_disconnect(sqlite3_vtab *vtab) {
    free(vtab);
    return SQLITE_OK;
}

static int tap_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info) {
    (void)vtab;
    info->estimatedCost = 1;
    info->estimatedRows = 0;
    return SQLITE_OK;
}

static int tap_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    (void)vtab;
    *out = calloc(1, sizeof **out);
    return *out ? SQLITE_OK : SQLITE_NOMEM;
}

static int tap_close(sqlite3_vtab_cursor *cursor) {
    free(cursor);
    return SQLITE_OK;
}

static int tap_filter(sqlite3_vtab_cursor *cursor, int index, const char *text, int argc, sqlite3_value **argv) {
    (void)cursor, (void)index, (void)text, (void)argc, (void)argv;
    return SQLITE_OK;
}

static int tap_next(sqlite3_vtab_cursor *cursor) {
    (void)cursor;
    return SQLITE_OK;
}

static int tap_eof(sqlite3_vtab_cursor *cursor) {
    (void)cursor;
    return 1;
}

static int tap_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column) {
    (void)cursor, (void)context, (void)column;
    return SQLITE_OK;
}

static int tap_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid) {
    (void)cursor;
    *rowid = 0;
    return SQLITE_OK;
}

static int tap_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid) {
    (void)argc, (void)argv, (void)rowid;
    return tap_fail(vtab, SQLITE_READONLY, "satchel_tap holds no rows");
}

static int tap_begin(sqlite3_vtab *vtab) {
    tap *t = (tap *)vtab;
    if (!t->link->c) return tap_fail(vtab, SQLITE_ERROR, "capture is closed on this connection; synced tables cannot be written");
    if (!t->main)
        return tap_fail(vtab, SQLITE_ERROR, "synced tables of an attached database cannot be written; open it by itself");
    capture *c = tap_capture(vtab);
    if (!c) return SQLITE_OK;
    hold_hook(c, c->owner != NULL);
    if (!c->owner) {
        clear_error(c);
        int rc = c->sink.open ? c->sink.open(c->sink.ctx) : SATCHEL_OK;
        if (rc) return tap_fail(vtab, sqlite_code(set_error(c, rc, NULL, 0)), c->error);
        c->owner = t;
        c->nmark = 0;
    }
    t->joining = true;
    return SQLITE_OK;
}

static int tap_sync(sqlite3_vtab *vtab) {
    capture *c = tap_capture(vtab);
    if (!c || c->owner != (tap *)vtab) return SQLITE_OK;
    hold_hook(c, true);
    void *was = sqlite3_commit_hook(c->db, on_commit, c);
    if (was && was != c) poison(c, SATCHEL_E_HOOK, NULL);
    if (c->unguarded) poison(c, SATCHEL_E_UNFLUSHED, NULL);
    int rc = flush(c);
    return rc ? tap_fail(vtab, sqlite_code(rc), c->error) : SQLITE_OK;
}

static int tap_commit(sqlite3_vtab *vtab) {
    capture *c = tap_capture(vtab);
    if (c) forget(c, true);
    return SQLITE_OK;
}

static int tap_rollback(sqlite3_vtab *vtab) {
    capture *c = tap_capture(vtab);
    if (c) forget(c, false);
    return SQLITE_OK;
}

static int grow_marks(capture *c, unsigned level) {
    if (level >= LIMIT_SAVEPOINTS) return SATCHEL_E_TOO_LARGE;
    if (level < c->mark_cap) return SATCHEL_OK;
    unsigned cap = c->mark_cap ? c->mark_cap : 16;
    while (cap <= level) cap *= 2;
    uint64_t *mark = realloc(c->mark, cap * sizeof *mark);
    if (!mark) return SATCHEL_E_NOMEM;
    c->mark = mark;
    c->mark_cap = cap;
    return SATCHEL_OK;
}

/* Also called for the statement journal of each writing statement within a transaction. A level below, that was opened before the table
 * joined, has seen no change: its mark is 0 (C1). A second connection of the table that joins does not move the mark that the first one set. */
static int tap_savepoint(sqlite3_vtab *vtab, int level) {
    tap *t = (tap *)vtab;
    capture *c = tap_capture(vtab);
    if (!c) return SQLITE_OK;
    hold_hook(c, true);
    unsigned at = (unsigned)level; /* only a rollback's can be below zero */
    bool late = t->joining && at < c->nmark;
    t->joining = false;
    if (late) return SQLITE_OK;
    int rc = grow_marks(c, at);
    if (rc) {
        poison(c, rc, NULL);
        return SQLITE_OK;
    }
    while (c->nmark < at) c->mark[c->nmark++] = 0;
    c->mark[at] = capture_record_size(&c->record);
    c->nmark = at + 1;
    return SQLITE_OK;
}

static int tap_release(sqlite3_vtab *vtab, int level) {
    capture *c = tap_capture(vtab);
    if (c && (unsigned)level < c->nmark) c->nmark = (unsigned)level;
    return SQLITE_OK;
}

/* C1: below zero means the whole transaction, since an outermost SAVEPOINT began it; so does a level without a mark. */
static int tap_rollback_to(sqlite3_vtab *vtab, int level) {
    capture *c = tap_capture(vtab);
    if (!c) return SQLITE_OK;
    bool known = level >= 0 && (unsigned)level < c->nmark;
    capture_record_truncate(&c->record, known ? c->mark[level] : 0);
    c->flushed = false; /* even if the record is as it was: what the sink wrote since that savepoint is gone */
    c->nmark = known ? (unsigned)level + 1 : 0;
    return SQLITE_OK;
}

static const sqlite3_module TAP = {
    .iVersion = 2,
    .xCreate = tap_connect,
    .xConnect = tap_connect,
    .xBestIndex = tap_best_index,
    .xDisconnect = tap_disconnect,
    .xDestroy = tap_disconnect,
    .xOpen = tap_open,
    .xClose = tap_close,
    .xFilter = tap_filter,
    .xNext = tap_next,
    .xEof = tap_eof,
    .xColumn = tap_column,
    .xRowid = tap_rowid,
    .xUpdate = tap_update,
    .xBegin = tap_begin,
    .xSync = tap_sync,
    .xCommit = tap_commit,
    .xRollback = tap_rollback,
    .xSavepoint = tap_savepoint,
    .xRelease = tap_release,
    .xRollbackTo = tap_rollback_to,
};

/* ---- opening ---- */

static void satchel_local(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    const tap_link *link = sqlite3_user_data(context);
    sqlite3_result_int(context, link->c && link->c->enabled);
}

/* Asked by the triggers of schema_checks.c about a row that does not satisfy a check: whether that matters here. Then these are the words for it. */
static void satchel_refuse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    const tap_link *link = sqlite3_user_data(context);
    capture *c = link->c;
    bool refused = c && c->enabled && !c->unchecked;
    const char *words = refused ? (const char *)sqlite3_value_text(argv[0]) : NULL;
    if (words) {
        c->error_code = SATCHEL_E_CHECK;
        snprintf(c->error, sizeof c->error, "%s", words);
    }
    sqlite3_result_int(context, refused);
}

static int set_encoding(capture *c) {
    sqlite3_stmt *ask;
    int failed = sqlite3_prepare_v2(c->db, "PRAGMA main.encoding", -1, &ask, NULL);
    if (failed) return db_rc(failed);
    sqlite3_step(ask);
    c->row.utf8 = sqlite3_stricmp((const char *)sqlite3_column_text(ask, 0), "UTF-8") == 0;
    return db_rc(sqlite3_finalize(ask));
}

/* Where the connection's own temporary data goes. */
static int set_spill(capture *c) {
    sqlite3_stmt *ask;
    int failed = sqlite3_prepare_v2(c->db, "PRAGMA temp_store", -1, &ask, NULL);
    if (failed) return db_rc(failed);
    sqlite3_step(ask);
    c->record.in_memory = sqlite3_column_int(ask, 0) == 2;
    return db_rc(sqlite3_finalize(ask));
}

static int register_all(capture *c) {
    c->link = malloc(sizeof *c->link);
    if (!c->link) return SATCHEL_E_NOMEM;
    c->link->c = c;
    /* SQLite frees the link when it drops the module, also when this call fails. */
    int failed = sqlite3_create_module_v2(c->db, "satchel_tap", &TAP, c->link, free);
    if (failed) {
        c->link = NULL;
        return db_rc(failed);
    }
    failed = sqlite3_create_function_v2(c->db, "satchel_local", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, c->link, satchel_local, NULL,
                                        NULL, NULL);
    if (!failed)
        failed = sqlite3_create_function_v2(c->db, "satchel_refuse", 1, SQLITE_UTF8 | SQLITE_INNOCUOUS, c->link, satchel_refuse,
                                            NULL, NULL, NULL);
    return failed ? db_rc(failed) : capture_functions_own(c->db);
}

/* Takes the hooks; SATCHEL_E_HOOK if somebody has them. */
static int take_hooks(capture *c) {
    void *preupdate = sqlite3_preupdate_hook(c->db, on_change, c);
    void *commit = sqlite3_commit_hook(c->db, on_commit, c);
    void *rollback = sqlite3_rollback_hook(c->db, on_rollback, c);
    return preupdate || commit || rollback ? SATCHEL_E_HOOK : SATCHEL_OK;
}

static void drop_hooks(capture *c) {
    sqlite3_preupdate_hook(c->db, NULL, NULL);
    sqlite3_commit_hook(c->db, NULL, NULL);
    sqlite3_rollback_hook(c->db, NULL, NULL);
}

int capture_open(sqlite3 *db, const capture_sink *sink, capture **out) {
    capture *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) return SATCHEL_E_NOMEM;
    c->db = c->row.db = db;
    c->sink = *sink;
    c->enabled = true;
    capture_record_init(&c->record);
    capture_net_init(&c->net);
    c->net.part = on_part;
    c->net.ctx = c;
    int rc = take_hooks(c);
    if (!rc) rc = register_all(c);
    if (!rc) rc = set_encoding(c);
    if (!rc) rc = set_spill(c);
    if (rc)
        capture_close(c);
    else
        *out = c;
    return rc;
}

void capture_close(capture *c) {
    if (!c) return;
    drop_hooks(c);
    if (c->link) c->link->c = NULL;
    capture_tables_free(&c->tables);
    capture_record_fini(&c->record);
    capture_net_fini(&c->net);
    free(c->mark);
    free(c);
}

void capture_set_schema(capture *c, const schema *s) {
    capture_tables_free(&c->tables);
    c->last = NULL;
    c->tables_rc = capture_tables_load(c->db, s, &c->tables);
    if (!c->tables_rc) c->tables_rc = set_encoding(c);
    if (c->tables_rc) capture_tables_free(&c->tables); /* not even a text could be read right */
}

void capture_enable(capture *c, bool on) {
    c->enabled = on;
    capture_reset(c);
    if (on)
        sqlite3_preupdate_hook(c->db, on_change, c);
    else
        sqlite3_preupdate_hook(c->db, NULL, NULL);
}

void capture_say(capture *c, const capture_said *said) {
    c->row.said = said;
}

void capture_unchecked(capture *c, bool on) {
    c->unchecked = on;
}

const char *capture_error(const capture *c) {
    return c->error;
}

int capture_error_code(const capture *c) {
    return c->error_code;
}
