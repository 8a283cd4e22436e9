/* The text of the rules: run statement by statement in a database of its own, and read back row by row. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

static const char TABLES[] =
    "CREATE TABLE scope_bucket(tbl TEXT NOT NULL, name TEXT NOT NULL, value TEXT, condition TEXT);"
    "CREATE TABLE scope_parent(tbl TEXT NOT NULL, parent TEXT NOT NULL, columns TEXT NOT NULL, condition TEXT, missing TEXT DEFAULT 'park'"
    " CONSTRAINT \"missing is park, revive or keep\" CHECK(coalesce(missing,'park') IN ('park','revive','keep')), buckets TEXT);"
    "CREATE TABLE scope_profile(name TEXT NOT NULL, buckets TEXT NOT NULL, horizon_days INTEGER DEFAULT 30"
    " CONSTRAINT \"horizon_days is a number from 1 to 3650\" CHECK(typeof(coalesce(horizon_days,30))='integer' AND"
    " coalesce(horizon_days,30) BETWEEN 1 AND 3650));"
    "CREATE TABLE scope_mask(profile TEXT NOT NULL, tbl TEXT NOT NULL, columns TEXT NOT NULL);"
    "CREATE TABLE scope_write(profile TEXT NOT NULL, tbl TEXT NOT NULL, ops TEXT NOT NULL, columns TEXT, anywhere INTEGER DEFAULT 0"
    " CONSTRAINT \"anywhere is 0 or 1\" CHECK(typeof(coalesce(anywhere,0))='integer' AND coalesce(anywhere,0) IN (0,1)));";

static const struct {
    const char *name, *select;
    int fields;
} KIND[] = {
    [SCOPE_BUCKET] = {"scope_bucket", "SELECT rowid,tbl,name,value,condition FROM scope_bucket WHERE rowid>? ORDER BY rowid", 4},
    [SCOPE_PARENT] =
        {"scope_parent",
         "SELECT rowid,tbl,parent,columns,condition,coalesce(missing,'park'),buckets FROM scope_parent WHERE rowid>? ORDER BY rowid",
         6},
    [SCOPE_PROFILE] = {"scope_profile",
                       "SELECT rowid,name,buckets,coalesce(horizon_days,30) FROM scope_profile WHERE rowid>? ORDER BY rowid", 3},
    [SCOPE_MASK] = {"scope_mask", "SELECT rowid,profile,tbl,columns FROM scope_mask WHERE rowid>? ORDER BY rowid", 3},
    [SCOPE_WRITE] = {"scope_write",
                     "SELECT rowid,profile,tbl,ops,columns,coalesce(anywhere,0) FROM scope_write WHERE rowid>? ORDER BY rowid",
                     5},
};
#define KINDS (sizeof KIND / sizeof *KIND)

int scope_fail(buf *error, const char *name, unsigned line, const char *format, ...) {
    char words[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    buf_clear(error);
    if (line)
        buf_printf(error, "%s:%u: %s", name, line, words);
    else
        buf_printf(error, "%s: %s", name, words);
    return SATCHEL_E_RULE;
}

/* ---- where things stand in the text ---- */

static unsigned line_at(const char *text, const char *p) {
    unsigned line = 1;
    for (; text < p; text++) line += *text == '\n';
    return line;
}

/* Past a comment, a quoted text or one character. */
static const char *skip_token(const char *p) {
    if (p[0] == '-' && p[1] == '-') return p + strcspn(p, "\n");
    if (p[0] == '/' && p[1] == '*') {
        const char *end = strstr(p + 2, "*/");
        return end ? end + 2 : p + strlen(p);
    }
    if (*p == '\'' || *p == '"' || *p == '`') {
        const char *end = strchr(p + 1, *p); /* a doubled quote begins another text, which is as well */
        return end ? end + 1 : p + strlen(p);
    }
    return p + 1;
}

static const char *skip_space(const char *p) {
    while (*p) {
        bool comment = (p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*');
        if (!comment && !strchr(" \t\r\n\f;", *p)) break;
        p = skip_token(p);
    }
    return p;
}

/* Where row number `n` (from 1) of an INSERT ... VALUES begins; the statement itself if it has not so many. */
static const char *find_row(const char *statement, const char *end, unsigned n) {
    const char *p = statement;
    unsigned depth = 0;
    bool values = false;
    while (p < end) {
        if (!depth && sqlite3_strnicmp(p, "values", 6) == 0) values = true;
        if (*p == '(' && !depth++ && values && !--n) return p;
        if (*p == ')' && depth) depth--;
        p = skip_token(p);
    }
    return statement;
}

/* ---- rows ---- */

void scope_text_fini(scope_text *t) {
    for (size_t i = 0; i < t->n; i++)
        for (unsigned k = 0; k < SCOPE_FIELDS; k++) free(t->row[i].field[k]);
    free(t->row);
    *t = (scope_text){0};
}

static int add_row(scope_text *t, scope_kind kind, unsigned line, sqlite3_stmt *q) {
    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        scope_row *more = realloc(t->row, room * sizeof *more);
        if (!more) return SATCHEL_E_NOMEM;
        t->row = more;
        t->room = room;
    }
    scope_row *r = &t->row[t->n++];
    *r = (scope_row){.kind = kind, .line = line};
    for (int i = 0; i < KIND[kind].fields; i++) {
        const char *text = (const char *)sqlite3_column_text(q, i + 1);
        if (!text) continue;
        r->field[i] = strdup(text);
        if (!r->field[i]) return SATCHEL_E_NOMEM;
    }
    return SATCHEL_OK;
}

typedef struct reading {
    sqlite3 *db;
    const char *name, *text, *at, *end; /* at ... end: the statement */
    sqlite3_int64 last[KINDS];          /* rowids read so far */
    const char *refusal;
    scope_text *out;
    buf *error;
} reading;

/* What the statement has added. */
static int take_rows(reading *r) {
    int rc = SATCHEL_OK;
    for (unsigned kind = 0; kind < KINDS && !rc; kind++) {
        sqlite3_stmt *q = NULL;
        unsigned n = 0;
        rc = db_rc(sqlite3_prepare_v2(r->db, KIND[kind].select, -1, &q, NULL));
        if (!rc) sqlite3_bind_int64(q, 1, r->last[kind]);
        while (!rc && sqlite3_step(q) == SQLITE_ROW) {
            r->last[kind] = sqlite3_column_int64(q, 0);
            rc = add_row(r->out, (scope_kind)kind, line_at(r->text, find_row(r->at, r->end, ++n)), q);
        }
        int end = db_rc(sqlite3_finalize(q));
        if (!rc) rc = end;
    }
    return rc;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c, const char *d) {
    reading *r = ctx;
    (void)b, (void)c, (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_INSERT:
        for (unsigned i = 0; i < KINDS; i++)
            if (!strcmp(a, KIND[i].name)) return SQLITE_OK;
        break;
    default:
        break;
    }
    r->refusal = "rules are INSERTs into scope_bucket, scope_parent, scope_profile, scope_mask and scope_write; leave this out";
    return SQLITE_DENY;
}

static int statement_failed(reading *r) {
    int code = sqlite3_extended_errcode(r->db), offset = sqlite3_error_offset(r->db);
    if (db_rc(code) == SATCHEL_E_NOMEM) return SATCHEL_E_NOMEM;
    unsigned line = line_at(r->text, offset > 0 ? r->at + offset : r->at);
    if (r->refusal) return scope_fail(r->error, r->name, line_at(r->text, r->at), "%s", r->refusal);
    return scope_fail(r->error, r->name, line, "%s; correct the statement", sqlite3_errmsg(r->db));
}

static int run_statement(reading *r) {
    sqlite3_stmt *st = NULL;
    const char *tail = NULL;
    r->refusal = NULL;
    int sq = sqlite3_prepare_v2(r->db, r->at, -1, &st, &tail);
    r->end = tail ? tail : r->at + strlen(r->at);
    if (sq == SQLITE_OK && st && sqlite3_bind_parameter_count(st)) {
        sqlite3_finalize(st);
        return scope_fail(r->error, r->name, line_at(r->text, r->at),
                          "a parameter stands outside a text; rules are texts, in single quotes");
    }
    if (sq == SQLITE_OK && st)
        while ((sq = sqlite3_step(st)) == SQLITE_ROW) continue;
    int rc = sq == SQLITE_OK || sq == SQLITE_DONE ? SATCHEL_OK : statement_failed(r);
    sqlite3_finalize(st);
    if (!rc) {
        sqlite3_set_authorizer(r->db, NULL, NULL);
        rc = take_rows(r);
        sqlite3_set_authorizer(r->db, authorize, r);
    }
    return rc;
}

int scope_text_read(const char *name, const char *sql, scope_text *out, buf *error) {
    reading r = {.name = name, .text = sql, .out = out, .error = error};
    *out = (scope_text){0};
    if (strlen(sql) > LIMIT_MIGRATION_BYTES || !value_utf8_valid((const uint8_t *)sql, strlen(sql)))
        return scope_fail(error, name, 0, "is larger than rules may be, or not valid UTF-8");
    int sq = sqlite3_open(":memory:", &r.db);
    if (sq == SQLITE_OK) sq = sqlite3_exec(r.db, TABLES, NULL, NULL, NULL);
    int rc = db_rc(sq);
    if (!rc) sqlite3_set_authorizer(r.db, authorize, &r);
    for (r.at = sql; !rc && *(r.at = skip_space(r.at)); r.at = r.end) rc = run_statement(&r);
    sqlite3_close(r.db);
    if (rc && !error->n) buf_printf(error, "%s: %s", name, satchel_rc_text(rc));
    if (rc) scope_text_fini(out);
    return rc;
}
