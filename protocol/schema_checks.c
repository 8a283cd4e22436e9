/* What rows must satisfy. A row of satchel_check becomes two triggers, so that SQLite looks at the check wherever a row is written, on both sides alike;
 * it also carries them over every RENAME. */
#include <string.h>

#include "protocol/db.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema_internal.h"

#define INSERT_TRIGGER "satchel_check_insert_"
#define UPDATE_TRIGGER "satchel_check_update_"

/* One row of satchel_check. */
typedef struct check_row {
    const char *code, *table, *column, *sql, *words; /* column: NULL for the row as a whole */
    uint32_t table_id;                               /* 0 if it is no synced table */
    bool has_column;                                 /* `column` is one of the table's */
    bool on_change;                                  /* an update is looked at only if it changes `column` */
} check_row;

static int fail(migration *m, const check_row *k, const char *words) {
    return migration_fail(m, m->line, SATCHEL_E_RULE, "check %s of %s: %s", k->code, k->table, words);
}

/* With SQLite's words where the check is at fault. */
static int fail_sqlite(migration *m, const check_row *k, int rc) {
    int basic = rc & 0xff;
    return basic == SQLITE_ERROR || basic == SQLITE_AUTH ? fail(m, k, sqlite3_errmsg(m->db)) : migration_fail_db(m, rc);
}

/* Runs text made by sqlite3_mprintf, which is freed. */
static int run(migration *m, const check_row *k, char *sql) {
    if (!sql) return SATCHEL_E_NOMEM;
    int rc = sqlite3_exec(m->db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc == SQLITE_OK ? SATCHEL_OK : fail_sqlite(m, k, rc);
}

/* ---- names, each ended by a zero byte ---- */

static const char *next_name(const buf *names, size_t *at) {
    const char *name = *at < names->n ? (const char *)names->p + *at : NULL;
    if (name) *at += strlen(name) + 1;
    return name;
}

static void note(buf *names, const char *name) {
    const char *known;
    for (size_t at = 0; (known = next_name(names, &at));)
        if (!sqlite3_stricmp(known, name)) return;
    buf_put(names, name, strlen(name) + 1);
}

/* The names, each once or twice in `format`; NULL without memory. */
static char *join(const buf *names, const char *format, const char *between) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    const char *name;
    for (size_t at = 0; (name = next_name(names, &at));) {
        if (sqlite3_str_length(text)) sqlite3_str_appendall(text, between);
        sqlite3_str_appendf(text, format, name, name);
    }
    return sqlite3_str_finish(text);
}

/* Notes the table's synced columns, or those of its key. */
static int note_columns(migration *m, uint32_t table, bool key, buf *names) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(
        m->db, "SELECT name FROM main.satchel_column WHERE tbl_id = ?1 AND until = 4294967295 AND (key OR NOT ?2) ORDER BY id",
        -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, table);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int(st, 2, key);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(st)) == SQLITE_ROW) note(names, (const char *)sqlite3_column_text(st, 0));
    rc = rc == SQLITE_DONE ? names->rc : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

/* ---- what a check reads ---- */

struct check_reads {
    const char *table; /* whose columns are noted; NULL: tables and functions are */
    buf columns, tables, functions;
};

/* Denies nothing: an expression only reads. */
int checks_authorize(check_reads *r, int action, const char *a, const char *b) {
    if (action == SQLITE_READ && !r->table) note(&r->tables, a);
    if (action == SQLITE_READ && r->table && b && *b && !sqlite3_stricmp(a, r->table)) note(&r->columns, b);
    if (action == SQLITE_FUNCTION && !r->table) note(&r->functions, b);
    return SQLITE_OK;
}

static int compile(migration *m, const check_row *k, check_reads *reads, char *sql) {
    sqlite3_stmt *st = NULL;
    const char *tail = "";
    if (!sql) return SATCHEL_E_NOMEM;
    m->reads = reads;
    int rc = sqlite3_prepare_v2(m->db, sql, -1, &st, &tail);
    m->reads = NULL;
    if (rc != SQLITE_OK)
        rc = fail_sqlite(m, k, rc);
    else if (*tail)
        rc = fail(m, k, "it is more than one expression");
    else if (sqlite3_bind_parameter_count(st))
        rc = fail(m, k, "it has a parameter; name the column");
    sqlite3_finalize(st);
    sqlite3_free(sql);
    return rc;
}

/* Bare it must be an expression as well as in parentheses, else "a) OR (b" were one. In parentheses it stands over a row of the synced columns
 * alone, so that what it reads of tables is what its subqueries read. */
static int find_reads(migration *m, const check_row *k, check_reads *reads) {
    buf all;
    buf_init(&all, 0);
    reads->table = k->table;
    int rc = compile(m, k, reads, sqlite3_mprintf("SELECT\n%s\nFROM main.\"%w\"", k->sql, k->table));
    reads->table = NULL;
    if (!rc) rc = note_columns(m, k->table_id, false, &all);
    char *row = rc ? NULL : join(&all, "NULL AS \"%w\"", ", ");
    if (row) rc = compile(m, k, reads, sqlite3_mprintf("SELECT (\n%s\n) FROM (SELECT %s) AS \"%w\"", k->sql, row, k->table));
    if (!rc && !row) rc = SATCHEL_E_NOMEM;
    if (!rc) rc = reads->columns.rc ? reads->columns.rc : reads->tables.rc ? reads->tables.rc : reads->functions.rc;
    sqlite3_free(row);
    buf_fini(&all);
    return rc;
}

/* Refuses with `words` if `sql` has no row for one of the names. */
static int check_names(migration *m, const check_row *k, const buf *names, const char *sql, const char *words) {
    sqlite3_stmt *st = NULL;
    const char *name;
    int step = sqlite3_prepare_v2(m->db, sql, -1, &st, NULL), rc = step == SQLITE_OK ? SATCHEL_OK : migration_fail_db(m, step);
    for (size_t at = 0; !rc && (name = next_name(names, &at));) {
        step = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
        if (step == SQLITE_OK) step = sqlite3_step(st);
        if (step == SQLITE_DONE)
            rc = migration_fail(m, m->line, SATCHEL_E_RULE, "check %s of %s: %s %s", k->code, k->table, name, words);
        else if (step != SQLITE_ROW)
            rc = migration_fail_db(m, step);
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    return rc;
}

static int check_reads_allowed(migration *m, const check_row *k, const check_reads *reads) {
    static const char *const TABLE =
        "SELECT 1 FROM main.satchel_table WHERE name = ?1 COLLATE NOCASE AND until = 4294967295"
        " AND since > 0 AND mode = 'server' UNION ALL SELECT 1 WHERE ?1 IN ('json_each', 'json_tree')";
    /* 2048 is SQLITE_DETERMINISTIC, which no aggregate is said to be. */
    static const char *const FUNCTION =
        "SELECT 1 FROM pragma_function_list WHERE name = ?1 COLLATE NOCASE AND (flags & 2048 OR type <> 's')";
    /* SQLite says of these that they always give the same, but for 'now', which may as well stand in the row. */
    static const char *const CLOCK =
        "SELECT 1 WHERE ?1 COLLATE NOCASE NOT IN ('date', 'time', 'datetime', 'julianday', 'unixepoch', 'strftime', 'timediff')";
    if (!reads->columns.n) return fail(m, k, "it reads no column of the table");
    int rc =
        check_names(m, k, &reads->tables, TABLE,
                    "is not a table that only the server writes (mode 'server'); beside its own row a check reads such alone");
    if (!rc)
        rc = check_names(
            m, k, &reads->functions, CLOCK,
            "is a function that may tell the time of day, which is another on every side; day_of() and month_of() do not");
    return rc ? rc
              : check_names(m, k, &reads->functions, FUNCTION, "is a function that does not always give the same; leave it out");
}

/* ---- triggers ---- */

/* On a device the app alone is held to it: what is applied is so on the server. */
static char *make_refusal(const migration *m, const check_row *k) {
    char *raise = sqlite3_mprintf("RAISE(ABORT, '%q: %q')", k->code, k->words);
    if (m->side == SCHEMA_SERVER || !raise) return raise;
    char *gated = sqlite3_mprintf("CASE WHEN satchel_refuse('%q: %q') THEN %s END", k->code, k->words, raise);
    sqlite3_free(raise);
    return gated;
}

/* `of` and `changed` are an update's, NULL for an insert; `row` finds the row that was written. */
static int make_trigger(migration *m, const check_row *k, const char *of, const char *changed, const char *row) {
    char *refusal = make_refusal(m, k);
    if (!refusal) return SATCHEL_E_NOMEM;
    int rc = run(m, k,
                 sqlite3_mprintf("CREATE TRIGGER main.\"%s%s\" AFTER %s%s ON \"%w\" WHEN %s AND (%s) BEGIN"
                                 " SELECT %s FROM \"%w\" WHERE %s AND NOT (\n%s\n); END",
                                 of ? UPDATE_TRIGGER : INSERT_TRIGGER, k->code, of ? "UPDATE OF " : "INSERT", of ? of : "",
                                 k->table, m->side == SCHEMA_REPLICA ? "satchel_local()" : "1", of ? changed : "1", refusal,
                                 k->table, row, k->sql));
    sqlite3_free(refusal);
    return rc;
}

/* An update is looked at if it changes what the check reads (on_change: the column that it points at), or the key: that makes another row. */
static int make_triggers(migration *m, const check_row *k, const buf *columns, const buf *key) {
    char *of = join(columns, "\"%w\"", ", "), *changed = join(columns, "NEW.\"%w\" IS NOT OLD.\"%w\"", " OR ");
    char *row = join(key, "\"%w\" = NEW.\"%w\"", " AND ");
    int rc = of && changed && row ? make_trigger(m, k, NULL, NULL, row) : SATCHEL_E_NOMEM;
    if (!rc) rc = make_trigger(m, k, of, changed, row);
    sqlite3_free(of);
    sqlite3_free(changed);
    sqlite3_free(row);
    return rc;
}

static int install(migration *m, const check_row *k) {
    check_reads reads = {0};
    buf key;
    buf_init(&reads.columns, 0);
    buf_init(&reads.tables, 0);
    buf_init(&reads.functions, 0);
    buf_init(&key, 0);
    int rc = find_reads(m, k, &reads);
    if (!rc) rc = check_reads_allowed(m, k, &reads);
    if (!rc && k->on_change && k->column) {
        reads.columns.n = 0;
        note(&reads.columns, k->column);
    }
    if (!rc) rc = note_columns(m, k->table_id, true, &key);
    if (!rc) rc = note_columns(m, k->table_id, true, &reads.columns);
    if (!rc) rc = make_triggers(m, k, &reads.columns, &key);
    if (!rc) rc = migration_run(m, "UPDATE main.satchel_check SET since = ?2 WHERE code = ?1", "su", k->code, m->epoch);
    buf_fini(&reads.columns);
    buf_fini(&reads.tables);
    buf_fini(&reads.functions);
    buf_fini(&key);
    return rc;
}

/* ---- satchel_check as it stands ---- */

/* Steps `sql` to its first row: 1, 0 if there is none, or a code. The caller finalizes *st. */
static int first_row(migration *m, const char *sql, sqlite3_stmt **st) {
    int step = sqlite3_prepare_v2(m->db, sql, -1, st, NULL);
    if (step == SQLITE_OK) step = sqlite3_step(*st);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : migration_fail_db(m, step);
}

static const char *text(sqlite3_stmt *st, int i) {
    const char *p = (const char *)sqlite3_column_text(st, i);
    return p ? p : "";
}

/* Takes away the triggers of one check that is not there any more, or is there anew: 1, 0 if there is none. */
static int drop_stale(migration *m) {
    sqlite3_stmt *st = NULL;
    char *sql = NULL;
    int rc = first_row(m,
                       "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND (name GLOB '" INSERT_TRIGGER
                       "*' OR name GLOB '" UPDATE_TRIGGER "*') AND NOT EXISTS(SELECT 1 FROM main.satchel_check"
                       " WHERE code = substr(name, 22) AND since > 0) LIMIT 1",
                       &st);
    if (rc == 1) sql = sqlite3_mprintf("DROP TRIGGER main.\"%w\"", text(st, 0));
    sqlite3_finalize(st);
    if (rc == 1) {
        rc = !sql ? SATCHEL_E_NOMEM : migration_run(m, sql, "");
        if (!rc) rc = 1;
    }
    sqlite3_free(sql);
    return rc;
}

/* Takes up one check that has no triggers yet: 1, 0 if there is none. */
static int install_new(migration *m) {
    sqlite3_stmt *st = NULL;
    int rc = first_row(
        m,
        "SELECT k.code, k.tbl, k.col, k.check_sql, k.words, t.id, EXISTS(SELECT 1 FROM main.satchel_column c"
        " WHERE c.tbl_id = t.id AND c.name = k.col AND c.until = 4294967295), k.on_change FROM main.satchel_check k LEFT JOIN main.satchel_table t"
        " ON t.name = k.tbl AND t.until = 4294967295 AND t.since > 0 WHERE k.since = 0 OR NOT EXISTS(SELECT 1"
        " FROM main.sqlite_schema WHERE type = 'trigger' AND name = '" INSERT_TRIGGER "' || k.code) ORDER BY k.rowid LIMIT 1",
        &st);
    if (rc == 1) {
        const check_row k = {.code = text(st, 0),
                             .table = text(st, 1),
                             .column = sqlite3_column_type(st, 2) == SQLITE_NULL ? NULL : text(st, 2),
                             .sql = text(st, 3),
                             .words = text(st, 4),
                             .table_id = (uint32_t)sqlite3_column_int64(st, 5),
                             .has_column = sqlite3_column_int(st, 6),
                             .on_change = sqlite3_column_int(st, 7)};
        if (!k.table_id)
            rc = fail(m, &k, "there is no such synced table; declare it in satchel_table before its checks");
        else if (k.column && !k.has_column)
            rc = fail(m, &k, "the table has no such column to point at; name one, or NULL for the row as a whole");
        else
            rc = install(m, &k);
        if (!rc) rc = 1;
    }
    sqlite3_finalize(st);
    return rc;
}

int checks_apply(migration *m) {
    int rc;
    do rc = drop_stale(m);
    while (rc == 1);
    if (rc) return rc;
    do rc = install_new(m);
    while (rc == 1);
    return rc;
}

/* ---- after the tables have changed ---- */

/* Compiles what its triggers do, which a RENAME has rewritten and a DROP may have bereft. */
static int check_stands(migration *m, const check_row *k) {
    buf key;
    buf_init(&key, 0);
    int rc = note_columns(m, k->table_id, true, &key);
    char *set = rc ? NULL : join(&key, "\"%w\" = \"%w\"", ", ");
    char *sql[] = {sqlite3_mprintf("INSERT INTO main.\"%w\" DEFAULT VALUES", k->table),
                   set ? sqlite3_mprintf("UPDATE main.\"%w\" SET %s", k->table, set) : NULL};
    for (unsigned i = 0; i < 2 && !rc; i++) {
        sqlite3_stmt *st = NULL;
        int sq = sql[i] ? sqlite3_prepare_v2(m->db, sql[i], -1, &st, NULL) : SQLITE_NOMEM;
        if (sq != SQLITE_OK) rc = fail_sqlite(m, k, sq);
        sqlite3_finalize(st);
    }
    sqlite3_free(sql[0]);
    sqlite3_free(sql[1]);
    sqlite3_free(set);
    buf_fini(&key);
    return rc;
}

int checks_stand(migration *m) {
    sqlite3_stmt *st = NULL;
    int rc = SATCHEL_OK,
        step =
            sqlite3_prepare_v2(m->db,
                               "SELECT k.code, k.tbl, t.id FROM main.satchel_check k JOIN main.satchel_table t ON t.name = k.tbl"
                               " AND t.until = 4294967295 ORDER BY k.rowid",
                               -1, &st, NULL);
    while (!rc && step != SQLITE_DONE) {
        if (step == SQLITE_OK || step == SQLITE_ROW) step = sqlite3_step(st);
        if (step == SQLITE_ROW)
            rc = check_stands(
                m, &(check_row){.code = text(st, 0), .table = text(st, 1), .table_id = (uint32_t)sqlite3_column_int64(st, 2)});
        else if (step != SQLITE_DONE)
            rc = migration_fail_db(m, step);
    }
    sqlite3_finalize(st);
    return rc;
}
