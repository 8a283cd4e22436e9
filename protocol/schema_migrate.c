#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema_internal.h"
#include "protocol/sql_text.h"

/* ---- messages, and statements of our own ---- */

int migration_fail(migration *m, unsigned line, int rc, const char *format, ...) {
    char words[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    buf_printf(m->error, "%s:%u: %s", m->name, line, words);
    return rc;
}

int migration_fail_db(migration *m, int sqlite_rc) {
    return migration_fail(m, m->line, db_rc(sqlite_rc), "%s", sqlite3_errmsg(m->db));
}

static int bind_all(sqlite3_stmt *st, const char *types, va_list args) {
    int rc = SQLITE_OK;
    for (int i = 0; rc == SQLITE_OK && types[i]; i++) {
        if (types[i] == 's')
            rc = sqlite3_bind_text(st, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        else
            rc = sqlite3_bind_int64(st, i + 1, va_arg(args, uint32_t));
    }
    return rc;
}

int migration_run(migration *m, const char *sql, const char *types, ...) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(m->db, sql, -1, &st, NULL);
    va_list args;
    va_start(args, types);
    if (rc == SQLITE_OK) rc = bind_all(st, types, args);
    va_end(args);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    rc = rc == SQLITE_DONE || rc == SQLITE_ROW ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

/* A statement of our own that names tables, its text made by sqlite3_mprintf (freed here). */
static int run_text(migration *m, char *sql) {
    if (!sql) return SATCHEL_E_NOMEM;
    int rc = migration_run(m, sql, "");
    sqlite3_free(sql);
    return rc;
}

/* ---- what a statement may do ---- */

static bool is_engine_table(const char *name) {
    return name && sqlite3_strnicmp(name, "sqlite_", 7) == 0;
}

static int deny(migration *m, const char *why) {
    if (!m->refusal) m->refusal = why;
    return SQLITE_DENY;
}

static int authorize_change(migration *m, int action, const char *table) {
    static const char WHY[] =
        "a migration shapes the database and changes no data; it may INSERT into satchel_table, satchel_rule and satchel_check"
        " only, so put this where data is loaded";
    if (is_engine_table(table)) return SQLITE_OK;
    bool is_check = !strcmp(table, "satchel_check");
    if (action == SQLITE_INSERT && m->inserting &&
        (!strcmp(table, "satchel_table") || !strcmp(table, "satchel_rule") || is_check))
        return SQLITE_OK;
    if (action == SQLITE_DELETE && m->deleting && is_check) return SQLITE_OK;
    if (action == SQLITE_DELETE && m->dropping && !strcmp(table, m->dropping)) return SQLITE_OK;
    return deny(m, WHY);
}

/* `name` is what is created, altered or dropped, `on` the table it belongs to or NULL. */
static int authorize_shape(migration *m, const char *name, const char *on, const char *database) {
    if (database && strcmp(database, "main")) return deny(m, "a migration shapes the main database only");
    if (schema_has_prefix(name) || (on && schema_has_prefix(on)))
        return deny(m, "names that begin with satchel_ are Satchel's own; choose another");
    return SQLITE_OK;
}

static int authorize_drop_table(migration *m, const char *name, const char *database) {
    free(m->dropping);
    m->dropping = strdup(name);
    return m->dropping ? authorize_shape(m, name, NULL, database) : SQLITE_DENY;
}

/* Only while a statement of the migration is compiled: what it needs while it runs (shadow tables of FTS5, say) is its own matter. */
static int authorize(void *ctx, int action, const char *a, const char *b, const char *database, const char *trigger) {
    migration *m = ctx;
    (void)trigger;
    if (m->reads) return checks_authorize(m->reads, action, a, b);
    if (!m->preparing) return SQLITE_OK;
    switch (action) {
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        return authorize_change(m, action, a);
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
        return authorize_shape(m, a, NULL, database);
    case SQLITE_DROP_TRIGGER: /* a table takes its triggers along, capture's too */
        if (m->dropping && b && !strcmp(b, m->dropping)) return SQLITE_OK;
        return authorize_shape(m, a, b, database);
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_INDEX:
        return authorize_shape(m, a, b, database);
    case SQLITE_ALTER_TABLE: /* the one action whose first argument is the database */
        return authorize_shape(m, b, NULL, a);
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
        return authorize_drop_table(m, a, database);
    case SQLITE_REINDEX: /* a part of CREATE INDEX */
        return SQLITE_OK;
    default:
        if (sql_only_reads(action)) return SQLITE_OK;
        return deny(m, "a migration holds CREATE, ALTER, DROP and declarations only; leave this out");
    }
}

/* ---- the text, statement by statement ---- */

typedef enum statement_kind { KIND_OTHER, KIND_SHAPE, KIND_TRIGGER, KIND_INSERT, KIND_DELETE } statement_kind;

static statement_kind classify(const char *p) {
    const char *create = sql_past_word(p, "CREATE");
    if (create) return sql_past_word(create, "TRIGGER") ? KIND_TRIGGER : KIND_SHAPE;
    if (sql_past_word(p, "ALTER") || sql_past_word(p, "DROP")) return KIND_SHAPE;
    if (sql_past_word(p, "DELETE")) return KIND_DELETE;
    return sql_past_word(p, "INSERT") ? KIND_INSERT : KIND_OTHER;
}

/* C10: a device cannot know whether a value is taken elsewhere, so CREATE UNIQUE INDEX is a plain one there. */
static void blank_unique(char *p) {
    const char *unique = sql_past_word(p, "CREATE");
    if (sql_past_word(unique, "UNIQUE")) memset(p + (unique - p), ' ', sizeof "UNIQUE" - 1);
}

/* The words for a statement that did not compile or run, at the line where SQLite saw the mistake. */
static int statement_failed(migration *m, const char *statement, int rc) {
    int offset = sqlite3_error_offset(m->db);
    unsigned line = offset > 0 ? m->line + sql_line(statement, statement + offset) - 1 : m->line;
    if (m->refusal) return migration_fail(m, m->line, SATCHEL_E_MIGRATION, "%s", m->refusal);
    int mapped = db_rc(rc);
    satchel_class class = satchel_rc_class(mapped);
    bool passed_on = mapped != SATCHEL_E_INTERNAL && mapped != SATCHEL_E_TOO_LARGE && class != SATCHEL_CLASS_REFUSED;
    return migration_fail(m, line, passed_on ? mapped : SATCHEL_E_MIGRATION, "%s", sqlite3_errmsg(m->db));
}

/* Runs the statement at p and sets *tail behind it. */
static int run_statement(migration *m, char *p, statement_kind kind, const char **tail) {
    sqlite3_stmt *st = NULL;
    m->inserting = kind == KIND_INSERT;
    m->deleting = kind == KIND_DELETE;
    m->refusal = NULL;
    free(m->dropping);
    m->dropping = NULL;
    m->preparing = true;
    int rc = sqlite3_prepare_v2(m->db, p, -1, &st, tail);
    m->preparing = false;
    if (rc == SQLITE_OK && st && sqlite3_bind_parameter_count(st)) {
        rc = migration_fail(m, m->line, SATCHEL_E_MIGRATION, "a migration has no parameters; write the value");
        sqlite3_finalize(st);
        return rc;
    }
    if (rc == SQLITE_OK && st)
        while ((rc = sqlite3_step(st)) == SQLITE_ROW) continue;
    rc = rc == SQLITE_DONE || rc == SQLITE_OK ? SATCHEL_OK : statement_failed(m, p, rc);
    sqlite3_finalize(st);
    return rc;
}

/* ---- tables: which there are, created, renamed, dropped ---- */

static void seen_fini(seen_tables *t) {
    for (unsigned i = 0; i < t->n; i++) free(t->p[i].name);
    free(t->p);
    *t = (seen_tables){0};
}

static bool seen_add(seen_tables *t, const char *name) {
    if (t->n == t->cap) {
        unsigned cap = t->cap ? t->cap * 2 : 64;
        seen_table *p = realloc(t->p, cap * sizeof *p);
        if (!p) return false;
        t->p = p;
        t->cap = cap;
    }
    t->p[t->n] = (seen_table){.name = strdup(name)};
    return t->p[t->n].name && ++t->n;
}

static int seen_read(migration *m, seen_tables *out) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(m->db, "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name", -1, &st, NULL);
    if (rc != SQLITE_OK) return migration_fail_db(m, rc);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        if (!seen_add(out, (const char *)sqlite3_column_text(st, 0))) break;
    rc = rc == SQLITE_ROW ? SATCHEL_E_NOMEM : rc == SQLITE_DONE ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

static seen_table *seen_find(const seen_tables *t, const char *name) {
    for (unsigned i = 0; i < t->n; i++)
        if (!strcmp(t->p[i].name, name)) return &t->p[i];
    return NULL;
}

static int table_renamed(migration *m, const char *from, const char *to) {
    if (schema_has_prefix(to))
        return migration_fail(m, m->line, SATCHEL_E_MIGRATION,
                              "names that begin with satchel_ are Satchel's own; choose another");
    /* a changeset that waits in an outbox has the old name; of several renames in one migration the first old one counts */
    int rc = migration_run(m,
                           "INSERT OR IGNORE INTO main.satchel_former(tbl_id, until, name)"
                           " SELECT id, ?2, name FROM main.satchel_table WHERE name = ?1 AND until = 4294967295 AND since < ?2",
                           "su", from, m->epoch);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_table SET name = ?2 WHERE name = ?1 AND until = 4294967295", "ss", from, to);
    if (rc == SATCHEL_OK) rc = migration_run(m, "UPDATE main.satchel_rule SET tbl = ?2 WHERE tbl = ?1", "ss", from, to);
    if (rc == SATCHEL_OK) rc = migration_run(m, "UPDATE main.satchel_check SET tbl = ?2 WHERE tbl = ?1", "ss", from, to);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_rule SET rule = 'guard:' || ?2 WHERE rule = 'guard:' || ?1", "ss", from, to);
    if (rc == SATCHEL_OK)
        rc = migration_run(
            m, "UPDATE main.satchel_column SET rule = 'guard:' || ?2 WHERE rule = 'guard:' || ?1 AND until = 4294967295", "ss",
            from, to);
    return rc;
}

static int table_dropped(migration *m, const char *name) {
    int rc = migration_run(m,
                           "UPDATE main.satchel_column SET until = ?2 WHERE until = 4294967295 AND tbl_id ="
                           " (SELECT id FROM main.satchel_table WHERE name = ?1 AND until = 4294967295)",
                           "su", name, m->epoch);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_table SET until = ?2 WHERE name = ?1 AND until = 4294967295", "su", name,
                           m->epoch);
    if (rc == SATCHEL_OK) rc = migration_run(m, "DELETE FROM main.satchel_rule WHERE tbl = ?1", "s", name);
    if (rc == SATCHEL_OK) rc = migration_run(m, "DELETE FROM main.satchel_check WHERE tbl = ?1", "s", name);
    return rc;
}

/* Takes the lines over from `before`; a new table gets the statement's. Returns the new one, NULL if there is not just one. */
static seen_table *match_tables(const seen_tables *before, seen_tables *after, unsigned line) {
    seen_table *born = NULL;
    unsigned nborn = 0;
    for (unsigned i = 0; i < after->n; i++) {
        const seen_table *old = seen_find(before, after->p[i].name);
        after->p[i].line = old ? old->line : line;
        if (old) continue;
        born = &after->p[i];
        nborn++;
    }
    return nborn == 1 ? born : NULL;
}

/* One table gone and one new in a single statement is ALTER TABLE RENAME: everything else only adds or only takes away. */
static int tables_compare(migration *m, const seen_tables *before, seen_tables *after) {
    seen_table *born = match_tables(before, after, m->line);
    int rc = SATCHEL_OK;
    for (unsigned i = 0; rc == SATCHEL_OK && i < before->n; i++) {
        if (seen_find(after, before->p[i].name)) continue;
        if (born) {
            born->line = before->p[i].line;
            rc = table_renamed(m, before->p[i].name, born->name);
        } else {
            rc = table_dropped(m, before->p[i].name);
        }
    }
    return rc;
}

static int tables_sync(migration *m) {
    seen_tables after = {0};
    int rc = seen_read(m, &after);
    if (rc == SATCHEL_OK) rc = tables_compare(m, &m->tables, &after);
    if (rc) {
        seen_fini(&after);
        return rc;
    }
    seen_fini(&m->tables);
    m->tables = after;
    return SATCHEL_OK;
}

/* ---- columns: added, renamed, dropped ---- */

/* The registry's live columns of one table, ascending ids. */
typedef struct known_columns {
    unsigned n;
    uint32_t next_id;
    uint32_t id[LIMIT_COLUMNS];
    char *name[LIMIT_COLUMNS];
} known_columns;

static int known_read(migration *m, uint32_t table, known_columns *k) {
    sqlite3_stmt *st = NULL;
    k->next_id = 1;
    int rc =
        sqlite3_prepare_v2(m->db, "SELECT id, name, until FROM main.satchel_column WHERE tbl_id = ?1 ORDER BY id", -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, table);
    if (rc != SQLITE_OK) return migration_fail_db(m, rc);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        k->next_id = (uint32_t)sqlite3_column_int64(st, 0) + 1;
        if (sqlite3_column_int64(st, 2) != SCHEMA_NEVER || k->n == LIMIT_COLUMNS) continue;
        const char *name = (const char *)sqlite3_column_text(st, 1);
        k->id[k->n] = k->next_id - 1;
        k->name[k->n] = name ? strdup(name) : NULL;
        if (!k->name[k->n]) break;
        k->n++;
    }
    rc = rc == SQLITE_ROW ? SATCHEL_E_NOMEM : rc == SQLITE_DONE ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

static void known_fini(known_columns *k) {
    for (unsigned i = 0; i < k->n; i++) free(k->name[i]);
}

static int column_insert(migration *m, uint32_t table, uint32_t id, const shape *s, const shape_column *c, sqlite3_value *dflt) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(m->db,
                                "INSERT INTO main.satchel_column(tbl_id, id, name, since, affinity, key, not_null, dflt)"
                                " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                                -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, table);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 2, id);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(st, 3, c->name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 4, m->epoch);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int(st, 5, (int)shape_affinity(s, c));
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 6, c->key);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int(st, 7, c->not_null);
    if (rc == SQLITE_OK && dflt) rc = sqlite3_bind_value(st, 8, dflt);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    rc = rc == SQLITE_DONE ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

/* `rewrite`: the table may have rows that were written before the column (C5). */
static int column_add(migration *m, const char *name, uint32_t table, uint32_t id, const shape *s, const shape_column *c,
                      bool rewrite) {
    sqlite3_value *dflt = NULL;
    if (id > LIMIT_COLUMNS)
        return migration_fail(m, m->line, SATCHEL_E_MIGRATION, "table %s: too many columns over its life; make another table",
                              name);
    int rc = shape_default(m, s, c, &dflt);
    if (rc == SATCHEL_OK) rc = column_insert(m, table, id, s, c, dflt);
    if (rc == SATCHEL_OK && rewrite && dflt && sqlite3_value_type(dflt) != SQLITE_NULL)
        rc = run_text(m, sqlite3_mprintf("UPDATE main.\"%w\" SET \"%w\" = \"%w\"", name, c->name, c->name));
    sqlite3_value_free(dflt);
    return rc;
}

static int column_renamed(migration *m, const char *name, uint32_t table, uint32_t id, const char *from, const char *to) {
    int rc = migration_run(m, "UPDATE main.satchel_column SET name = ?1 WHERE tbl_id = ?2 AND id = ?3", "suu", to, table, id);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_rule SET col = ?3 WHERE tbl = ?1 AND col = ?2", "sss", name, from, to);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_check SET col = ?3 WHERE tbl = ?1 AND col = ?2", "sss", name, from, to);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_rule SET rule = 'keep:' || ?3 WHERE tbl = ?1 AND rule = 'keep:' || ?2", "sss",
                           name, from, to);
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_column SET rule = 'keep:' || ?3 WHERE tbl_id = ?1 AND rule = 'keep:' || ?2",
                           "uss", table, from, to);
    return rc;
}

static int column_dropped(migration *m, const char *name, uint32_t table, uint32_t id, const char *column) {
    int rc =
        migration_run(m, "UPDATE main.satchel_column SET until = ?1 WHERE tbl_id = ?2 AND id = ?3", "uuu", m->epoch, table, id);
    if (rc == SATCHEL_OK) rc = migration_run(m, "DELETE FROM main.satchel_rule WHERE tbl = ?1 AND col = ?2", "ss", name, column);
    /* A check that reads the column has kept it from being dropped. */
    return rc ? rc : migration_run(m, "UPDATE main.satchel_check SET col = NULL WHERE tbl = ?1 AND col = ?2", "ss", name, column);
}

/* The synced columns of a shape, in order, without generated ones. */
static unsigned synced_columns(const shape *s, const shape_column **out) {
    unsigned n = 0;
    for (unsigned i = 0; i < s->n && n <= LIMIT_COLUMNS; i++)
        if (s->col[i].hidden == 0) out[n++] = &s->col[i];
    return n;
}

/* One statement adds one column at the end, drops one, or renames one. */
static int columns_compare(migration *m, const char *name, uint32_t table, const shape *s, const known_columns *k) {
    const shape_column *col[LIMIT_COLUMNS + 1];
    unsigned n = synced_columns(s, col), at = 0;
    while (at < n && at < k->n && !strcmp(col[at]->name, k->name[at])) at++;
    if (at == n && at == k->n) return SATCHEL_OK;
    if (n == k->n) return column_renamed(m, name, table, k->id[at], k->name[at], col[at]->name);
    if (n + 1 == k->n) return column_dropped(m, name, table, k->id[at], k->name[at]);
    if (at == k->n && n == k->n + 1) return column_add(m, name, table, k->next_id, s, col[at], true);
    return migration_fail(m, m->line, SATCHEL_E_TABLE_SHAPE, "table %s: its columns are not those that the registry has", name);
}

static int columns_sync(migration *m, const char *name, uint32_t table) {
    shape s = {0};
    known_columns k = {0};
    int rc = shape_load(m, name, &s);
    if (rc == SATCHEL_E_NOT_FOUND) rc = migration_fail(m, m->line, SATCHEL_E_CORRUPT, "table %s is in the registry alone", name);
    if (rc == SATCHEL_OK) rc = shape_check(m, m->line, name, &s);
    if (rc == SATCHEL_OK && m->side == SCHEMA_SERVER && (!s.has_clock || !s.has_set))
        rc = migration_fail(m, m->line, SATCHEL_E_TABLE_SHAPE, "table %s: %s is Satchel's own; leave it alone", name,
                            s.has_clock ? SCHEMA_SET : SCHEMA_CLOCK);
    if (rc == SATCHEL_OK) rc = known_read(m, table, &k);
    if (rc == SATCHEL_OK) rc = columns_compare(m, name, table, &s, &k);
    known_fini(&k);
    shape_fini(&s);
    return rc;
}

/* Calls `each` for every live synced table. */
static int each_table(migration *m, int (*each)(migration *, const char *name, uint32_t id)) {
    sqlite3_stmt *st = NULL;
    int step = sqlite3_prepare_v2(
        m->db, "SELECT name, id FROM main.satchel_table WHERE until = 4294967295 AND since > 0 ORDER BY id", -1, &st, NULL);
    if (step != SQLITE_OK) return migration_fail_db(m, step);
    int rc = SATCHEL_OK;
    while (rc == SATCHEL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        rc = name ? each(m, name, (uint32_t)sqlite3_column_int64(st, 1)) : SATCHEL_E_NOMEM;
    }
    if (rc == SATCHEL_OK && step != SQLITE_DONE) rc = migration_fail_db(m, step);
    sqlite3_finalize(st);
    return rc;
}

static int triggers_sync(migration *m, const char *name, uint32_t id) {
    (void)id;
    return shape_check_triggers(m, m->line, name);
}

/* ---- declarations ---- */

typedef struct declaration {
    int64_t id;
    char *name;
    bool proper; /* id, since and until are the engine's, and the words are known */
    bool taken;  /* a live table of that name is declared */
    bool joins;  /* and nothing is new but that its key is natural */
} declaration;

/* The next row of satchel_table that has no epoch yet; name NULL when there is none. */
static int next_declaration(migration *m, declaration *d) {
    sqlite3_stmt *st = NULL;
    *d = (declaration){0};
    int rc = sqlite3_prepare_v2(
        m->db,
        "SELECT id, name, until = 4294967295 AND without_rowid = 0 AND id ="
        " 1 + (SELECT coalesce(max(id), 0) FROM main.satchel_table WHERE since > 0)"
        " AND mode IN ('rows', 'append', 'server') AND wins IN ('update', 'delete') AND key IN ('unique', 'natural')"
        " AND NOT EXISTS(SELECT 1 FROM main.satchel_column WHERE tbl_id = n.id),"
        " EXISTS(SELECT 1 FROM main.satchel_table o WHERE o.name = n.name AND o.since > 0 AND o.until = 4294967295),"
        " EXISTS(SELECT 1 FROM main.satchel_table o WHERE o.name = n.name AND o.since > 0 AND o.until = 4294967295"
        "  AND o.mode = n.mode AND o.wins = n.wins AND o.key = 'unique' AND n.key = 'natural')"
        " FROM main.satchel_table n WHERE since = 0 ORDER BY id LIMIT 1",
        -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(st, 1);
        d->id = sqlite3_column_int64(st, 0);
        d->name = name ? strdup(name) : NULL;
        d->proper = sqlite3_column_int(st, 2);
        d->taken = sqlite3_column_int(st, 3);
        d->joins = sqlite3_column_int(st, 4);
        rc = d->name ? SQLITE_DONE : SQLITE_NOMEM;
    }
    rc = rc == SQLITE_DONE ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

static int check_declaration(migration *m, const declaration *d, const seen_table *seen) {
    const char *words = NULL;
    if (!d->proper)
        words =
            "mode is rows, append or server; wins is update or delete; key is unique or natural; the rest is given by Satchel";
    else if (d->taken)
        words = "it is declared already; all that a later migration can change of that is its key, from unique to natural";
    else if (d->id > LIMIT_TABLES)
        words = "too many tables over the life of the schema";
    else if (!seen)
        words = "there is no such table; write its CREATE TABLE before its declaration";
    else if (!seen->line)
        words = "it was a local table before this migration and may hold rows; declare a table in the migration that creates it";
    return words ? migration_fail(m, m->line, SATCHEL_E_MIGRATION, "table %s: %s", d->name, words) : SATCHEL_OK;
}

static int declare_columns(migration *m, const char *name, uint32_t id, const shape *s) {
    const shape_column *col[LIMIT_COLUMNS + 1];
    unsigned n = synced_columns(s, col);
    int rc = SATCHEL_OK;
    for (unsigned i = 0; rc == SATCHEL_OK && i < n; i++) rc = column_add(m, name, id, i + 1, s, col[i], false);
    return rc;
}

/* From now on inserts of one key are one row, those of devices that do not know it yet as well: the server alone decides that. */
static int declare_natural(migration *m, const declaration *d) {
    int rc = migration_run(
        m, "UPDATE main.satchel_table SET key = 'natural' WHERE name = ?1 AND since > 0 AND until = 4294967295", "s", d->name);
    return rc ? rc : migration_run(m, "DELETE FROM main.satchel_table WHERE id = ?1", "u", (uint32_t)d->id);
}

static int declare(migration *m, const declaration *d) {
    const seen_table *seen = seen_find(&m->tables, d->name);
    shape s = {0};
    if (d->proper && d->joins) return declare_natural(m, d);
    int rc = check_declaration(m, d, seen);
    if (rc) return rc;
    rc = shape_load(m, d->name, &s);
    if (rc == SATCHEL_OK && (s.has_clock || s.has_set))
        rc = migration_fail(m, seen->line, SATCHEL_E_TABLE_SHAPE, "table %s: %s is added by Satchel; leave it out", d->name,
                            s.has_clock ? SCHEMA_CLOCK : SCHEMA_SET);
    if (rc == SATCHEL_OK) rc = shape_check(m, seen->line, d->name, &s);
    if (rc == SATCHEL_OK) rc = declare_columns(m, d->name, (uint32_t)d->id, &s);
    if (rc == SATCHEL_OK && m->side == SCHEMA_SERVER)
        rc = run_text(m, sqlite3_mprintf("ALTER TABLE main.\"%w\" ADD COLUMN " SCHEMA_CLOCK " BLOB", d->name));
    if (rc == SATCHEL_OK && m->side == SCHEMA_SERVER)
        rc =
            run_text(m, sqlite3_mprintf("ALTER TABLE main.\"%w\" ADD COLUMN " SCHEMA_SET " INTEGER NOT NULL DEFAULT 1", d->name));
    if (rc == SATCHEL_OK)
        rc = migration_run(m, "UPDATE main.satchel_table SET since = ?1, without_rowid = ?2 WHERE id = ?3", "uuu", m->epoch,
                           (uint32_t)s.without_rowid, (uint32_t)d->id);
    shape_fini(&s);
    return rc;
}

static int declarations_sync(migration *m) {
    for (;;) {
        declaration d;
        int rc = next_declaration(m, &d);
        if (rc == SATCHEL_OK && d.name) rc = declare(m, &d);
        bool last = !d.name;
        free(d.name);
        if (rc || last) return rc;
    }
}

/* ---- the whole migration ---- */

/* Brings the registry up with what the statement did. */
static int statement_sync(migration *m, statement_kind kind) {
    int rc = SATCHEL_OK;
    if (kind == KIND_TRIGGER) return each_table(m, triggers_sync);
    if (kind == KIND_SHAPE) rc = tables_sync(m);
    if (kind == KIND_INSERT) rc = declarations_sync(m);
    return rc;
}

static int run_one(migration *m, char *p, const char **tail) {
    statement_kind kind = classify(p);
    bool creates = sql_past_word(p, "CREATE") != NULL;
    m->line = sql_line(m->sql, p);
    if (kind == KIND_OTHER)
        return migration_fail(
            m, m->line, SATCHEL_E_MIGRATION,
            "a migration holds CREATE, ALTER, DROP and INSERTs into satchel_table, satchel_rule and satchel_check only; leave this out");
    if (m->side == SCHEMA_REPLICA) blank_unique(p);
    int rc = run_statement(m, p, kind, tail);
    if (rc == SATCHEL_OK) rc = statement_sync(m, kind);
    if (rc || creates) return rc;
    if (kind == KIND_SHAPE) rc = each_table(m, columns_sync);
    if (!rc) rc = rules_apply(m);
    if (!rc) rc = kind == KIND_SHAPE ? checks_stand(m) : checks_apply(m);
    return rc;
}

static int run_all(migration *m) {
    char *p = m->sql;
    while (*(p += sql_skip_blank(p) - p)) {
        const char *tail = p;
        int rc = run_one(m, p, &tail);
        if (rc) return rc;
        p += tail - p;
    }
    return SATCHEL_OK;
}

/* Puts every migration's text so far into one hash, this one's included. */
static int hash_all(migration *m, const char *sql, uint8_t out[32]) {
    sqlite3_stmt *st = NULL;
    buf all;
    buf_init(&all, 0);
    int rc = sqlite3_prepare_v2(m->db, "SELECT sql FROM main.satchel_migration ORDER BY epoch", -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW) break;
        value text = value_of_column(st, 0);
        if (text.type == VALUE_TEXT) buf_put(&all, text.u.p, text.n);
        buf_put_byte(&all, 0);
    }
    buf_put(&all, sql, strlen(sql) + 1);
    rc = rc == SQLITE_DONE ? all.rc : migration_fail_db(m, rc);
    if (rc == SATCHEL_OK) crypto_sha256(all.p, all.n, out);
    sqlite3_finalize(st);
    buf_fini(&all);
    return rc;
}

static int record(migration *m, const char *sql) {
    uint8_t hash[32];
    sqlite3_stmt *st = NULL;
    int rc = hash_all(m, sql, hash);
    if (rc) return rc;
    rc = sqlite3_prepare_v2(m->db, "INSERT INTO main.satchel_migration(epoch, name, sql, hash) VALUES(?1, ?2, ?3, ?4)", -1, &st,
                            NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, m->epoch);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(st, 2, m->name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(st, 3, sql, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_blob(st, 4, hash, 8, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    rc = rc == SQLITE_DONE ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

static int check_epoch(migration *m) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(m->db, "SELECT coalesce(max(epoch), 0) FROM main.satchel_migration", -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc != SQLITE_ROW) {
        rc = migration_fail_db(m, rc);
    } else {
        int64_t now = sqlite3_column_int64(st, 0);
        rc = now + 1 == (int64_t)m->epoch
                 ? SATCHEL_OK
                 : migration_fail(m, 1, SATCHEL_E_SCHEMA, "this is migration %u, and the database stands at %lld", m->epoch,
                                  (long long)now);
    }
    sqlite3_finalize(st);
    return rc;
}

static int check_text(migration *m, const char *sql) {
    size_t n = strlen(sql), name = strlen(m->name);
    if (n > LIMIT_MIGRATION_BYTES)
        return migration_fail(m, 1, SATCHEL_E_MIGRATION, "the file is too large; split it into several migrations");
    if (!name || name > LIMIT_NAME_BYTES || !value_utf8_valid((const uint8_t *)m->name, name))
        return migration_fail(m, 1, SATCHEL_E_MIGRATION, "the file's name is empty, too long or not UTF-8");
    if (!value_utf8_valid((const uint8_t *)sql, n))
        return migration_fail(m, 1, SATCHEL_E_MIGRATION, "the file is not valid UTF-8");
    return SATCHEL_OK;
}

static int migrate(migration *m, const char *sql) {
    int rc = check_epoch(m);
    if (rc == SATCHEL_OK) rc = check_text(m, sql);
    if (rc == SATCHEL_OK) rc = seen_read(m, &m->tables);
    if (rc == SATCHEL_OK && !(m->sql = strdup(sql))) rc = SATCHEL_E_NOMEM;
    if (rc == SATCHEL_OK) rc = run_all(m);
    return rc ? rc : record(m, sql);
}

int schema_migrate(sqlite3 *db, schema_side side, uint32_t epoch, const char *name, const char *sql, buf *error) {
    migration m = {.db = db, .side = side, .epoch = epoch, .name = name, .error = error, .line = 1};
    bool own = sqlite3_get_autocommit(db);
    int rc = sqlite3_exec(db, "SAVEPOINT satchel_migrate", NULL, NULL, NULL);
    if (rc != SQLITE_OK) return migration_fail_db(&m, rc);
    sqlite3_set_authorizer(db, authorize, &m);
    rc = migrate(&m, sql);
    sqlite3_set_authorizer(db, NULL, NULL);
    if (rc == SATCHEL_OK) {
        int released = sqlite3_exec(db, "RELEASE satchel_migrate", NULL, NULL, NULL);
        if (released != SQLITE_OK) rc = migration_fail_db(&m, released);
    }
    if (rc) sqlite3_exec(db, own ? "ROLLBACK" : "ROLLBACK TO satchel_migrate; RELEASE satchel_migrate", NULL, NULL, NULL);
    seen_fini(&m.tables);
    free(m.dropping);
    free(m.sql);
    return rc;
}
