#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/capture_internal.h"
#include "protocol/db.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

#define TAP_SQL "CREATE VIRTUAL TABLE satchel_tap USING satchel_tap"

static const char *const OPERATIONS[] = {"insert", "update", "delete"};
#define NOPERATIONS 3

/* The trigger that brings the virtual table into a transaction. Its condition is never true: what matters is that a statement which could
 * fire it joins the virtual table to the transaction when it starts, and cannot even be compiled without the module. */
static char *trigger_sql(const schema_table *t, int operation) {
    const char *name = OPERATIONS[operation];
    return sqlite3_mprintf("CREATE TRIGGER satchel_%u_%s AFTER %s ON \"%w\" WHEN 0 BEGIN INSERT INTO satchel_tap VALUES(1); END",
                           t->id, name, name, t->name);
}

static bool is_live(const schema_table *t) {
    return t->until == SCHEMA_NEVER;
}

static int fail(buf *error, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(buf *error, int rc, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(error, "%s", text);
    return rc;
}

static int fail_db(sqlite3 *db, buf *error) {
    return fail(error, db_rc(sqlite3_errcode(db)), "%s", sqlite3_errmsg(db));
}

static int run(sqlite3 *db, char *sql, buf *error) {
    if (!sql) return fail(error, SATCHEL_E_NOMEM, "%s", satchel_rc_text(SATCHEL_E_NOMEM));
    int failed = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return failed ? fail_db(db, error) : SATCHEL_OK;
}

static int prepare(sqlite3 *db, char *sql, sqlite3_stmt **out, buf *error) {
    if (!sql) return fail(error, SATCHEL_E_NOMEM, "%s", satchel_rc_text(SATCHEL_E_NOMEM));
    int failed = sqlite3_prepare_v2(db, sql, -1, out, NULL);
    sqlite3_free(sql);
    return failed ? fail_db(db, error) : SATCHEL_OK;
}

/* The SQL of an object of `type` and `name` in *sql (sqlite3_free), NULL if there is none. */
static int object_sql(sqlite3 *db, const char *type, const char *name, char **sql, buf *error) {
    static const char find_sql[] = "SELECT sql FROM main.sqlite_schema WHERE type = %Q AND name = %Q";
    sqlite3_stmt *find;
    *sql = NULL;
    int rc = prepare(db, sqlite3_mprintf(find_sql, type, name), &find, error);
    if (rc) return rc;
    int step = sqlite3_step(find);
    if (step == SQLITE_ROW) *sql = sqlite3_mprintf("%s", (const char *)sqlite3_column_text(find, 0));
    int failed = sqlite3_finalize(find);
    if (failed) return fail_db(db, error);
    if (step == SQLITE_ROW && !*sql) return fail(error, SATCHEL_E_NOMEM, "%s", satchel_rc_text(SATCHEL_E_NOMEM));
    return SATCHEL_OK;
}

/* How a trigger stands to what it should be. */
typedef enum trigger_state { TRIGGER_SAME, TRIGGER_OTHER, TRIGGER_MISSING } trigger_state;

static int trigger_look(sqlite3 *db, const schema_table *t, int operation, trigger_state *state, buf *error) {
    char name[64], *is = NULL;
    snprintf(name, sizeof name, "satchel_%u_%s", t->id, OPERATIONS[operation]);
    char *should = trigger_sql(t, operation);
    if (!should) return fail(error, SATCHEL_E_NOMEM, "%s", satchel_rc_text(SATCHEL_E_NOMEM));
    int rc = object_sql(db, "trigger", name, &is, error);
    if (!rc) *state = !is ? TRIGGER_MISSING : strcmp(is, should) == 0 ? TRIGGER_SAME : TRIGGER_OTHER;
    sqlite3_free(is);
    sqlite3_free(should);
    return rc;
}

static int install_trigger(sqlite3 *db, const schema_table *t, int operation, buf *error) {
    trigger_state state = TRIGGER_MISSING;
    int rc = trigger_look(db, t, operation, &state, error);
    if (rc || state == TRIGGER_SAME) return rc;
    if (state == TRIGGER_OTHER)
        rc = run(db, sqlite3_mprintf("DROP TRIGGER main.satchel_%u_%s", t->id, OPERATIONS[operation]), error);
    return rc ? rc : run(db, trigger_sql(t, operation), error);
}

/* True if `name` is a capture trigger's name, of a table that does not live (any more). */
static bool is_stale_trigger(const schema *s, const char *name) {
    unsigned id;
    char operation[8];
    int end = 0;
    if (sscanf(name, "satchel_%u_%7[a-z]%n", &id, operation, &end) != 2 || name[end]) return false;
    for (int i = 0; i < NOPERATIONS; i++) {
        if (strcmp(operation, OPERATIONS[i]) != 0) continue;
        const schema_table *t = schema_table_by_id(s, id);
        return !t || !is_live(t);
    }
    return false;
}

/* One at a time, since dropping changes what the query reads. */
static int drop_one_stale(sqlite3 *db, const schema *s, bool *dropped, buf *error) {
    sqlite3_stmt *list;
    char *sql = NULL;
    *dropped = false;
    if (sqlite3_prepare_v2(db, "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND name GLOB 'satchel_[0-9]*'", -1,
                           &list, NULL))
        return fail_db(db, error);
    while (!*dropped && sqlite3_step(list) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(list, 0);
        *dropped = name && is_stale_trigger(s, name);
        if (*dropped) sql = sqlite3_mprintf("DROP TRIGGER main.\"%w\"", name);
    }
    if (sqlite3_finalize(list)) return fail_db(db, error);
    return *dropped ? run(db, sql, error) : SATCHEL_OK;
}

/* Tables whose rows the hook would misread are refused before anything depends on them. */
int capture_check_tables(sqlite3 *db, const schema *s, buf *error) {
    capture_tables tables;
    int rc = capture_tables_load(db, s, &tables);
    if (rc) return fail(error, rc, "the tables cannot be read: %s", sqlite3_errmsg(db));
    for (unsigned i = 0; i < tables.n && !rc; i++) {
        const capture_table *t = &tables.table[i];
        if (t->rc) rc = fail(error, t->rc, "table \"%s\" cannot be synced: %s", t->desc->name, t->why);
    }
    capture_tables_free(&tables);
    return rc;
}

int capture_install(sqlite3 *db, const schema *s, buf *error) {
    int rc = capture_check_tables(db, s, error);
    if (rc) return rc;
    char *tap = NULL;
    rc = object_sql(db, "table", "satchel_tap", &tap, error);
    if (!rc && !tap) rc = run(db, sqlite3_mprintf("%s", TAP_SQL), error);
    sqlite3_free(tap);
    for (unsigned i = 0; i < s->ntable && !rc; i++)
        for (int op = 0; op < NOPERATIONS && !rc && is_live(&s->table[i]); op++)
            rc = install_trigger(db, &s->table[i], op, error);
    for (bool dropped = true; dropped && !rc;) rc = drop_one_stale(db, s, &dropped, error);
    return rc;
}

static int check_trigger(sqlite3 *db, const schema_table *t, int operation, buf *error) {
    trigger_state state = TRIGGER_MISSING;
    int rc = trigger_look(db, t, operation, &state, error);
    if (rc || state == TRIGGER_SAME) return rc;
    return fail(error, SATCHEL_E_UNFLUSHED, "the trigger satchel_%u_%s on table \"%s\" was %s; changes would not be captured",
                t->id, OPERATIONS[operation], t->name, state == TRIGGER_MISSING ? "dropped" : "changed");
}

/* C10: a trigger of the application's own would run a second time when its changes are applied elsewhere. */
static int check_user_triggers(sqlite3 *db, const schema_table *t, buf *error) {
    static const char find_sql[] = "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = %Q COLLATE NOCASE"
                                   " AND name NOT GLOB 'satchel_[0-9]*' AND sql NOT LIKE '%%satchel_local%%'";
    sqlite3_stmt *find;
    int rc = prepare(db, sqlite3_mprintf(find_sql, t->name), &find, error);
    if (rc) return rc;
    if (sqlite3_step(find) == SQLITE_ROW)
        rc = fail(error, SATCHEL_E_TABLE_SHAPE,
                  "the trigger \"%s\" on table \"%s\" would run again on every device: add WHEN satchel_local()",
                  (const char *)sqlite3_column_text(find, 0), t->name);
    return sqlite3_finalize(find) && !rc ? fail_db(db, error) : rc;
}

static int check_enabled(sqlite3 *db, buf *error) {
    int on = 0;
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, -1, &on); /* cannot fail for this question */
    return on ? SATCHEL_OK
              : fail(error, SATCHEL_E_UNFLUSHED, "triggers are switched off on this connection; changes would not be captured");
}

int capture_check(sqlite3 *db, const schema *s, buf *error) {
    int rc = check_enabled(db, error);
    if (!rc) rc = capture_check_tables(db, s, error);
    char *tap = NULL;
    if (!rc) rc = object_sql(db, "table", "satchel_tap", &tap, error);
    if (!rc && (!tap || strcmp(tap, TAP_SQL) != 0))
        rc = fail(error, SATCHEL_E_UNFLUSHED, "the virtual table satchel_tap was %s", tap ? "changed" : "dropped");
    sqlite3_free(tap);
    for (unsigned i = 0; i < s->ntable && !rc; i++) {
        const schema_table *t = &s->table[i];
        for (int op = 0; op < NOPERATIONS && !rc && is_live(t); op++) rc = check_trigger(db, t, op, error);
        if (!rc && is_live(t)) rc = check_user_triggers(db, t, error);
    }
    return rc;
}
