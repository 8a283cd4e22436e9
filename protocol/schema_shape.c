#include <stdlib.h>
#include <string.h>

#include "protocol/db.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema_internal.h"

/* A statement with one text parameter, bound. */
static int query(migration *m, const char *sql, const char *arg, sqlite3_stmt **out) {
    int rc = sqlite3_prepare_v2(m->db, sql, -1, out, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(*out, 1, arg, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) return SATCHEL_OK;
    sqlite3_finalize(*out);
    *out = NULL;
    return migration_fail_db(m, rc);
}

static int finish(migration *m, sqlite3_stmt *st, int step) {
    int rc = step == SQLITE_DONE ? SATCHEL_OK : migration_fail_db(m, step);
    sqlite3_finalize(st);
    return rc;
}

static const char *text(sqlite3_stmt *st, int i) {
    const char *p = (const char *)sqlite3_column_text(st, i);
    return p ? p : "";
}

/* ---- reading a table's shape ---- */

static int load_kind(migration *m, const char *table, shape *out) {
    sqlite3_stmt *st = NULL;
    int rc = query(m, "SELECT type, wr, strict FROM pragma_table_list(?1) WHERE schema = 'main' AND name = ?1", table, &st);
    if (rc) return rc;
    int step = sqlite3_step(st);
    if (step == SQLITE_DONE) {
        sqlite3_finalize(st);
        return SATCHEL_E_NOT_FOUND;
    }
    if (step == SQLITE_ROW) {
        strncpy(out->kind, text(st, 0), sizeof out->kind - 1);
        out->without_rowid = sqlite3_column_int(st, 1);
        out->strict = sqlite3_column_int(st, 2);
        step = SQLITE_DONE;
    }
    return finish(m, st, step);
}

/* False without memory. */
static bool add_column(shape *s, sqlite3_stmt *st) {
    if (s->n == s->cap) {
        unsigned cap = s->cap ? s->cap * 2 : 16;
        shape_column *p = realloc(s->col, cap * sizeof *p);
        if (!p) return false;
        s->col = p;
        s->cap = cap;
    }
    shape_column *c = &s->col[s->n++];
    bool has_default = sqlite3_column_type(st, 3) != SQLITE_NULL;
    *c = (shape_column){.name = strdup(text(st, 0)),
                        .type = strdup(text(st, 1)),
                        .not_null = sqlite3_column_int(st, 2),
                        .dflt = has_default ? strdup(text(st, 3)) : NULL,
                        .key = (unsigned)sqlite3_column_int(st, 4),
                        .hidden = (unsigned)sqlite3_column_int(st, 5)};
    return c->name && c->type && (!has_default || c->dflt);
}

int shape_load(migration *m, const char *table, shape *out) {
    sqlite3_stmt *st = NULL;
    int rc = load_kind(m, table, out);
    if (rc == SATCHEL_OK)
        rc = query(m, "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
                   table, &st);
    if (rc) return rc;
    int step;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        if (m->side == SCHEMA_SERVER && !strcmp(text(st, 0), SCHEMA_CLOCK))
            out->has_clock = true;
        else if (m->side == SCHEMA_SERVER && !strcmp(text(st, 0), SCHEMA_SET))
            out->has_set = true;
        else if (!add_column(out, st))
            step = SQLITE_NOMEM;
        if (step == SQLITE_NOMEM) break;
    }
    return finish(m, st, step);
}

void shape_fini(shape *s) {
    for (unsigned i = 0; i < s->n; i++) {
        free(s->col[i].name);
        free(s->col[i].type);
        free(s->col[i].dflt);
    }
    free(s->col);
    *s = (shape){0};
}

/* True if `type` contains the word, in any case. */
static bool contains(const char *type, const char *word) {
    size_t n = strlen(word);
    for (; *type; type++)
        if (!sqlite3_strnicmp(type, word, (int)n)) return true;
    return false;
}

/* datatype3.html section 3.1, in its order; STRICT tables have ANY besides. */
affinity shape_affinity(const shape *s, const shape_column *c) {
    if (!*c->type || (s->strict && !sqlite3_stricmp(c->type, "ANY"))) return AFFINITY_ANY;
    if (contains(c->type, "INT")) return AFFINITY_INTEGER;
    if (contains(c->type, "CHAR") || contains(c->type, "CLOB") || contains(c->type, "TEXT")) return AFFINITY_TEXT;
    if (contains(c->type, "BLOB")) return AFFINITY_BLOB;
    if (contains(c->type, "REAL") || contains(c->type, "FLOA") || contains(c->type, "DOUB")) return AFFINITY_REAL;
    return AFFINITY_NUMERIC;
}

/* ---- the value of a default ---- */

static int note_function(void *ctx, int action, const char *a, const char *b, const char *c, const char *d) {
    (void)a, (void)b, (void)c, (void)d;
    if (action == SQLITE_FUNCTION) *(bool *)ctx = true;
    return SQLITE_OK;
}

/* True if the expression calls a function, CURRENT_TIMESTAMP included: then it is no constant. (Asked of a query: an INSERT of
 * defaults is compiled without asking the authorizer.) */
static bool calls_function(sqlite3 *memory, const char *dflt) {
    sqlite3_stmt *st = NULL;
    bool calls = false;
    char *sql = sqlite3_mprintf("SELECT (%s)", dflt);
    if (!sql) return true;
    sqlite3_set_authorizer(memory, note_function, &calls);
    sqlite3_prepare_v2(memory, sql, -1, &st, NULL);
    sqlite3_set_authorizer(memory, NULL, NULL);
    sqlite3_finalize(st);
    sqlite3_free(sql);
    return calls;
}

/* Lets SQLite itself parse the expression and apply the column's affinity, in a database of its own. SQLITE_DONE with *out NULL
 * if the expression does not stand alone. */
static int evaluate(sqlite3 *memory, const char *format, const char *type, const char *dflt, sqlite3_value **out) {
    sqlite3_stmt *st = NULL;
    int rc = SQLITE_NOMEM;
    sqlite3_exec(memory, "DROP TABLE IF EXISTS d", NULL, NULL, NULL);
    char *create = sqlite3_mprintf(format, type, dflt);
    if (create) rc = sqlite3_exec(memory, create, NULL, NULL, NULL);
    sqlite3_free(create);
    if (rc == SQLITE_OK) rc = sqlite3_exec(memory, "INSERT INTO d DEFAULT VALUES", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(memory, "SELECT c FROM d", -1, &st, NULL);
    if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
        *out = sqlite3_value_dup(sqlite3_column_value(st, 0));
        if (!*out) rc = SQLITE_NOMEM;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_NOMEM ? rc : SQLITE_DONE;
}

int shape_default(migration *m, const shape *s, const shape_column *c, sqlite3_value **out) {
    static const char *const TYPES[] = {"", "INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC"};
    const char *type = TYPES[shape_affinity(s, c)];
    sqlite3 *memory = NULL;
    *out = NULL;
    if (!c->dflt) return SATCHEL_OK;
    int rc = sqlite3_open(":memory:", &memory);
    if (rc == SQLITE_OK && calls_function(memory, c->dflt)) {
        sqlite3_close(memory);
        return SATCHEL_OK;
    }
    if (rc == SQLITE_OK) rc = evaluate(memory, "CREATE TABLE d(c %s DEFAULT (%s))", type, c->dflt, out);
    /* without parentheses a bare or double-quoted word is a text */
    if (rc == SQLITE_DONE && !*out) rc = evaluate(memory, "CREATE TABLE d(c %s DEFAULT %s)", type, c->dflt, out);
    if (rc != SQLITE_DONE) rc = migration_fail(m, m->line, db_rc(rc), "default of %s: %s", c->name, sqlite3_errstr(rc));
    sqlite3_close(memory);
    return rc == SQLITE_DONE ? SATCHEL_OK : rc;
}

/* ---- what can sync ---- */

static int refuse(migration *m, unsigned line, const char *table, const char *column, const char *words) {
    return migration_fail(m, line, SATCHEL_E_TABLE_SHAPE, "table %s%s%s: %s", table, column ? ", column " : "",
                          column ? column : "", words);
}

static int check_column(migration *m, unsigned line, const char *table, const shape_column *c) {
    const char *collation = NULL;
    int autoinc = 0;
    if (schema_has_prefix(c->name))
        return refuse(m, line, table, c->name, "names that begin with satchel_ are Satchel's own; choose another");
    if (strlen(c->name) > LIMIT_NAME_BYTES) return refuse(m, line, table, c->name, "the name is too long; choose a shorter one");
    if (c->hidden == 2)
        return refuse(m, line, table, c->name,
                      "virtual generated columns cannot be captured (C4); make it STORED or put it into a view");
    int rc = sqlite3_table_column_metadata(m->db, "main", table, c->name, NULL, &collation, NULL, NULL, &autoinc);
    if (rc != SQLITE_OK) return migration_fail_db(m, rc);
    if (collation && sqlite3_stricmp(collation, "BINARY"))
        return refuse(m, line, table, c->name, "only the BINARY collation syncs (C9); put COLLATE into an index or a query");
    if (autoinc)
        return refuse(m, line, table, c->name, "AUTOINCREMENT cannot hold over several devices; leave it out or use uuid7() ids");
    return SATCHEL_OK;
}

static int check_key_collations(migration *m, unsigned line, const char *table, const char *index) {
    sqlite3_stmt *st = NULL;
    int rc =
        query(m, "SELECT count(*) FROM pragma_index_xinfo(?1, 'main') WHERE key AND coll <> 'BINARY' COLLATE NOCASE", index, &st);
    if (rc) return rc;
    int step = sqlite3_step(st);
    bool other = step == SQLITE_ROW && sqlite3_column_int(st, 0) > 0;
    rc = finish(m, st, step == SQLITE_ROW ? SQLITE_DONE : step);
    return rc || !other ? rc : refuse(m, line, table, NULL, "its primary key has a collation; only BINARY syncs (C9)");
}

static int check_indexes(migration *m, unsigned line, const char *table) {
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = query(m, "SELECT name, origin FROM pragma_index_list(?1, 'main')", table, &st);
    if (rc) return rc;
    while (rc == SATCHEL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
        if (!strcmp(text(st, 1), "u"))
            rc = refuse(m, line, table, NULL,
                        "UNIQUE inside CREATE TABLE would be enforced on devices (C10); write CREATE UNIQUE INDEX");
        else if (!strcmp(text(st, 1), "pk"))
            rc = check_key_collations(m, line, table, text(st, 0));
    }
    int end = finish(m, st, rc ? SQLITE_DONE : step);
    return rc ? rc : end;
}

int shape_check_triggers(migration *m, unsigned line, const char *table) {
    sqlite3_stmt *st = NULL;
    int rc = query(m,
                   "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE"
                   " AND name NOT LIKE 'satchel\\_%' ESCAPE '\\' AND sql NOT LIKE '%satchel\\_local(%' ESCAPE '\\'",
                   table, &st);
    if (rc) return rc;
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        rc =
            migration_fail(m, line, SATCHEL_E_TABLE_SHAPE,
                           "trigger %s on %s: it would run again when synced rows are applied (C10); add WHEN satchel_local(), or"
                           " WHEN satchel_local() IN (0, 1) if it must run then too",
                           text(st, 0), table);
        step = SQLITE_DONE;
    }
    int end = finish(m, st, step);
    return rc ? rc : end;
}

int shape_check(migration *m, unsigned line, const char *table, const shape *s) {
    unsigned nkey = 0, nsynced = 0;
    if (strcmp(s->kind, "table"))
        return refuse(m, line, table, NULL, "only ordinary tables sync; leave it undeclared to keep it local");
    if (strlen(table) > LIMIT_NAME_BYTES) return refuse(m, line, table, NULL, "the name is too long; choose a shorter one");
    for (unsigned i = 0; i < s->n; i++) {
        int rc = check_column(m, line, table, &s->col[i]);
        if (rc) return rc;
        nkey += s->col[i].key > 0;
        nsynced += s->col[i].hidden == 0;
    }
    if (!nkey) return refuse(m, line, table, NULL, "it has no primary key, so its rows cannot be told apart (C9); add one");
    if (nkey > LIMIT_KEY_COLUMNS) return refuse(m, line, table, NULL, "too many columns in the primary key");
    if (nsynced > LIMIT_COLUMNS) return refuse(m, line, table, NULL, "too many columns");
    int rc = check_indexes(m, line, table);
    return rc ? rc : shape_check_triggers(m, line, table);
}
