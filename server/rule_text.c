/* Rules as text: run statement by statement in a database of its own, and read back row by row. */
#include "server/rule_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/db.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "protocol/sql_text.h"
#include "protocol/value.h"

int rule_fail(buf *error, const char *name, unsigned line, const char *format, ...) {
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

void rule_text_fini(rule_text *t) {
    for (size_t i = 0; i < t->n; i++)
        for (unsigned k = 0; k < RULE_FIELDS; k++) free(t->row[i].field[k]);
    free(t->row);
    *t = (rule_text){0};
}

static int add_row(rule_text *t, const rule_tables *tables, unsigned kind, unsigned line, sqlite3_stmt *q) {
    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        rule_row *more = realloc(t->row, room * sizeof *more);
        if (!more) return SATCHEL_E_NOMEM;
        t->row = more;
        t->room = room;
    }
    rule_row *r = &t->row[t->n++];
    *r = (rule_row){.kind = kind, .line = line};
    for (int i = 0; i < tables->kind[kind].fields; i++) {
        const char *text = (const char *)sqlite3_column_text(q, i + 1);
        if (!text) continue;
        r->field[i] = strdup(text);
        if (!r->field[i]) return SATCHEL_E_NOMEM;
    }
    return SATCHEL_OK;
}

typedef struct reading {
    sqlite3 *db;
    const rule_tables *tables;
    const char *name, *text, *at, *end; /* at ... end: the statement */
    sqlite3_int64 last[RULE_KINDS];     /* rowids read so far */
    const char *refusal;
    rule_text *out;
    buf *error;
} reading;

/* What the statement has added. */
static int take_rows(reading *r) {
    int rc = SATCHEL_OK;
    for (unsigned kind = 0; kind < r->tables->nkind && !rc; kind++) {
        sqlite3_stmt *q = NULL;
        unsigned n = 0;
        rc = db_rc(sqlite3_prepare_v2(r->db, r->tables->kind[kind].select, -1, &q, NULL));
        if (!rc) sqlite3_bind_int64(q, 1, r->last[kind]);
        while (!rc && sqlite3_step(q) == SQLITE_ROW) {
            r->last[kind] = sqlite3_column_int64(q, 0);
            rc = add_row(r->out, r->tables, kind, sql_line(r->text, find_row(r->at, r->end, ++n)), q);
        }
        int end = db_rc(sqlite3_finalize(q));
        if (!rc) rc = end;
    }
    return rc;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c, const char *d) {
    reading *r = ctx;
    (void)b, (void)c, (void)d;
    if (sql_only_reads(action)) return SQLITE_OK;
    for (unsigned i = 0; i < r->tables->nkind && action == SQLITE_INSERT; i++)
        if (!strcmp(a, r->tables->kind[i].name)) return SQLITE_OK;
    r->refusal = r->tables->refusal;
    return SQLITE_DENY;
}

static int statement_failed(reading *r) {
    int code = sqlite3_extended_errcode(r->db), offset = sqlite3_error_offset(r->db);
    if (db_rc(code) == SATCHEL_E_NOMEM) return SATCHEL_E_NOMEM;
    unsigned line = sql_line(r->text, offset > 0 ? r->at + offset : r->at);
    if (r->refusal) return rule_fail(r->error, r->name, sql_line(r->text, r->at), "%s", r->refusal);
    return rule_fail(r->error, r->name, line, "%s; correct the statement", sqlite3_errmsg(r->db));
}

static int run_statement(reading *r) {
    sqlite3_stmt *st = NULL;
    const char *tail = NULL;
    r->refusal = NULL;
    int sq = sqlite3_prepare_v2(r->db, r->at, -1, &st, &tail);
    r->end = tail ? tail : r->at + strlen(r->at);
    if (sq == SQLITE_OK && st && sqlite3_bind_parameter_count(st)) {
        sqlite3_finalize(st);
        return rule_fail(r->error, r->name, sql_line(r->text, r->at),
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

int rule_text_read(const rule_tables *tables, const char *name, const char *sql, rule_text *out, buf *error) {
    reading r = {.tables = tables, .name = name, .text = sql, .out = out, .error = error};
    *out = (rule_text){0};
    if (strlen(sql) > LIMIT_MIGRATION_BYTES || !value_utf8_valid((const uint8_t *)sql, strlen(sql)))
        return rule_fail(error, name, 0, "is larger than rules may be, or not valid UTF-8");
    int sq = sqlite3_open(":memory:", &r.db);
    if (sq == SQLITE_OK) sq = sqlite3_exec(r.db, tables->create, NULL, NULL, NULL);
    int rc = db_rc(sq);
    if (!rc) sqlite3_set_authorizer(r.db, authorize, &r);
    for (r.at = sql; !rc && *(r.at = sql_skip_blank(r.at)); r.at = r.end) rc = run_statement(&r);
    sqlite3_close(r.db);
    if (rc && !error->n) buf_printf(error, "%s: %s", name, satchel_rc_text(rc));
    if (rc) rule_text_fini(out);
    return rc;
}
