/* SQL text of the server's own authors, cut into transactions: run, captured, undone, and ingested like anyone's. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "protocol/sql_text.h"
#include "server/ingest_private.h"

static const char *past_statement(const char *p) {
    while (*p && *p != ';') p++;
    return *p ? p + 1 : p;
}

typedef struct script {
    ingest *g;
    const char *text, *at;
    uint64_t now_ms;
    uint64_t transactions, rows;
    bool explicit_transaction, open;
    const char *refusal;    /* why the authorizer refused; static */
    ingest_position before; /* of the open transaction */
    buf *error;
} script;

static int fail(script *sc, const char *at, int rc, const char *words) {
    buf_printf(sc->error, "line %u: %s", sql_line(sc->text, at), words);
    return rc;
}

static int open_transaction(script *sc, bool own_commit) {
    int rc = own_commit ? store_begin(sc->g->s) : SATCHEL_OK;
    if (rc) return rc;
    sc->before = ingest_where(sc->g);
    rc = ingest_capture_begin(sc->g);
    if (rc && own_commit) store_rollback(sc->g->s);
    sc->open = !rc;
    return rc;
}

static int close_transaction(script *sc, const char *at, bool own_commit) {
    buf words;
    buf_init(&words, 0);
    sc->open = false;
    int rc = ingest_author_end(sc->g, sc->now_ms, &words);
    if (rc) {
        buf_put_byte(&words, 0);
        fail(sc, at, rc, words.n > 1 ? (const char *)words.p : satchel_rc_text(rc));
        if (own_commit) store_rollback(sc->g->s);
    } else {
        sc->transactions++;
        if (own_commit && (rc = store_commit(sc->g->s))) {
            ingest_put_back(sc->g, &sc->before);
            fail(sc, at, rc, store_error(sc->g->s));
        }
    }
    buf_fini(&words);
    return rc;
}

/* What a statement may do: read anything, and change rows of synced tables. Whatever else it changed would be undone with it, unseen; but
 * what triggers do is their own matter. */
static int authorize(void *ctx, int action, const char *a, const char *b, const char *database, const char *trigger) {
    script *sc = ctx;
    (void)b, (void)database;
    bool writes = action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE;
    if (sql_only_reads(action) || (writes && (trigger || schema_table_by_name(sc->g->schema, a)))) return SQLITE_OK;
    sc->refusal = writes ? "the table is not one that syncs; what is written to it here would be lost"
                         : "only INSERT, UPDATE, DELETE, SELECT, BEGIN and COMMIT are run here";
    return SQLITE_DENY;
}

static int run_statement(script *sc) {
    sqlite3 *db = sc->g->s->db;
    sqlite3_stmt *stmt = NULL;
    const char *tail = NULL, *at = sc->at;
    sc->refusal = NULL;
    sqlite3_set_authorizer(db, authorize, sc);
    int sq = sqlite3_prepare_v2(db, at, -1, &stmt, &tail);
    sqlite3_set_authorizer(db, NULL, NULL);
    if (sq == SQLITE_OK && stmt) {
        do sq = sqlite3_step(stmt);
        while (sq == SQLITE_ROW);
        if (!sqlite3_stmt_readonly(stmt) && sq == SQLITE_DONE) sc->rows += (uint64_t)sqlite3_changes(db);
        sqlite3_finalize(stmt);
    }
    sc->at = tail ? tail : at + strlen(at);
    if (sq == SQLITE_OK || sq == SQLITE_DONE) return SATCHEL_OK;
    if (sc->refusal) return fail(sc, at, SATCHEL_E_MISUSE, sc->refusal);
    /* SQLITE_ERROR is a mistake in the text. */
    int rc = (sq & 0xff) == SQLITE_ERROR ? SATCHEL_E_MISUSE : db_rc(sqlite3_extended_errcode(db));
    int offset = sqlite3_error_offset(db);
    return fail(sc, offset > 0 ? at + offset : at, rc, sqlite3_errmsg(db));
}

/* Inside a caller's transaction `open` is always set: then there is no BEGIN and no COMMIT. */
static int step_script(script *sc) {
    const char *at = sc->at;
    int rc = SATCHEL_OK;
    if (sql_past_word(at, "BEGIN")) {
        if (sc->open) return fail(sc, at, SATCHEL_E_MISUSE, "BEGIN inside a transaction");
        sc->at = past_statement(at);
        sc->explicit_transaction = true;
        return open_transaction(sc, true);
    }
    if (sql_past_word(at, "COMMIT") || sql_past_word(at, "END")) {
        if (!sc->explicit_transaction) return fail(sc, at, SATCHEL_E_MISUSE, "COMMIT without BEGIN");
        sc->at = past_statement(at);
        sc->explicit_transaction = false;
        return close_transaction(sc, at, true);
    }
    bool single = !sc->open;
    if (single && (rc = open_transaction(sc, true))) return rc;
    rc = run_statement(sc);
    return rc || !single ? rc : close_transaction(sc, at, true);
}

static int run_script(script *sc, bool own_commit) {
    int rc = SATCHEL_OK;
    while (!rc && *(sc->at = sql_skip_blank(sc->at))) rc = step_script(sc);
    if (!rc && own_commit && sc->open)
        rc = fail(sc, sc->at, SATCHEL_E_MISUSE, "the text ends inside a transaction; COMMIT is missing");
    if (rc && sc->open) {
        ingest_capture_cancel(sc->g);
        if (own_commit) store_rollback(sc->g->s);
        sc->open = false;
    }
    return rc;
}

int ingest_sql(ingest *g, const char *sql, uint64_t now_ms, uint64_t *transactions, uint64_t *rows, buf *error) {
    script sc = {.g = g, .text = sql, .at = sql, .now_ms = now_ms, .error = error};
    int rc = run_script(&sc, true);
    *transactions = sc.transactions;
    *rows = sc.rows;
    return rc;
}

int ingest_sql_inside(ingest *g, const char *sql, uint64_t now_ms, buf *error) {
    script sc = {.g = g, .text = sql, .at = sql, .now_ms = now_ms, .error = error};
    int rc = open_transaction(&sc, false);
    if (!rc) rc = run_script(&sc, false);
    return rc ? rc : close_transaction(&sc, sc.at, false);
}
