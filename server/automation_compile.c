/* The rows of the rules against the schema: names, times, SQL. A rule's statements are its own text behind a WITH that makes `new`, `old` and `event` of parameters, so
 * that they are prepared once. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "protocol/sql_text.h"
#include "server/automation_private.h"
#include "server/scope_private.h"

static int fail_at(const automation *a, const automation_rule *r, buf *error, const char *what, const char *why) {
    return rule_fail(error, a->name, r->row->line, "%s: %s %s", r->name, what, why);
}

/* ---- `new`, `old` and `event` ---- */

static bool has_new(const automation_rule *r) {
    return r->t && r->events != EVENT_DELETE;
}

static bool has_old(const automation_rule *r) {
    return r->t && r->events != EVENT_INSERT;
}

unsigned automation_event_parameter(const automation_rule *r) {
    return r->t ? 1 + ((unsigned)has_new(r) + (unsigned)has_old(r)) * r->t->ncol : 1;
}

static void put_row(buf *b, const char *name, const schema_table *t, unsigned first) {
    buf_printf(b, "%s(", name);
    for (unsigned i = 0; i < t->ncol; i++) {
        if (i) buf_put_byte(b, ',');
        scope_put_name(b, t->col[i]->name);
    }
    buf_printf(b, ") AS (SELECT ");
    for (unsigned i = 0; i < t->ncol; i++) buf_printf(b, "%s?%u", i ? "," : "", first + i);
    buf_printf(b, "),");
}

/* Without the last comma. */
static void put_with(buf *b, const automation_rule *r) {
    buf_printf(b, "WITH ");
    if (has_new(r)) put_row(b, "new", r->t, 1);
    if (has_old(r)) put_row(b, "old", r->t, has_new(r) ? 1 + r->t->ncol : 1);
    buf_printf(b, "event(seq,at_ms,stamp_ms,author,user,device) AS (SELECT ");
    for (unsigned i = 0; i < 6; i++) buf_printf(b, "%s?%u", i ? "," : "", automation_event_parameter(r) + i);
    buf_printf(b, ")");
}

/* ---- SQL ---- */

typedef struct asked {
    const automation *a;
    bool acts;
    const char *refusal;
} asked;

static int deny(asked *q, const char *why) {
    if (!q->refusal) q->refusal = why;
    return SQLITE_DENY;
}

static int ask_write(asked *q, const char *table, const char *column) {
    if (!q->acts) return deny(q, "does something else than read; a condition only reads");
    const schema_table *t = schema_table_by_name(q->a->s->schema, table);
    if (!t || t->until != SCHEMA_NEVER) return deny(q, "writes a table that is not synced; nothing of that would stay");
    if (column && sqlite3_strnicmp(column, "satchel_", 8) == 0) return deny(q, "writes a column of Satchel's own; leave it out");
    return SQLITE_OK;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *database, const char *trigger) {
    asked *q = ctx;
    (void)database;
    if (action == SQLITE_READ && !trigger && sqlite3_strnicmp(a, "satchel_", 8) == 0)
        return deny(q, "reads a table that is not data; rules go by the rows of the schema's tables");
    if (sql_only_reads(action)) return SQLITE_OK;
    if (action != SQLITE_INSERT && action != SQLITE_UPDATE && action != SQLITE_DELETE)
        return deny(q, "does something else than INSERT, UPDATE or DELETE; leave it out");
    return trigger ? SQLITE_OK : ask_write(q, a, action == SQLITE_UPDATE ? b : NULL);
}

/* Prepares `sql`, of which the rule's own text `text` begins at `own`; the statement stands at `from` of that. */
static int prepare(const automation *a, const automation_rule *r, bool acts, const buf *sql, size_t own, const char *text,
                   const char *from, const char **tail, sqlite3_stmt **out, buf *error) {
    static const char *const WHAT[] = {"its condition", "an action"};
    asked q = {.a = a, .acts = acts};
    sqlite3 *db = a->s->db;
    *out = NULL;
    if (sql->rc) return sql->rc;
    sqlite3_set_authorizer(db, authorize, &q);
    int sq = sqlite3_prepare_v3(db, (const char *)sql->p, -1, SQLITE_PREPARE_PERSISTENT, out, tail);
    sqlite3_set_authorizer(db, NULL, NULL);
    if (sq == SQLITE_OK && *out && sqlite3_bind_parameter_count(*out) > (int)automation_event_parameter(r) + 5)
        return fail_at(a, r, error, WHAT[acts], "holds a parameter; read the row from new, old and event");
    if (sq == SQLITE_OK) return SATCHEL_OK;
    if (db_rc(sq) == SATCHEL_E_NOMEM) return SATCHEL_E_NOMEM;
    if (q.refusal) return fail_at(a, r, error, WHAT[acts], q.refusal);
    int offset = sqlite3_error_offset(db);
    size_t at = offset > 0 && (size_t)offset > own ? (size_t)offset - own : (size_t)(from - text);
    return rule_fail(error, a->name, r->row->line, "%s: line %u of its %s: %s; correct it", r->name, sql_line(text, text + at),
                     acts ? "actions" : "condition", sqlite3_errmsg(db));
}

static int take_condition(automation *a, automation_rule *r, buf *error) {
    const char *text = r->row->field[FIELD_CONDITION];
    if (!text) return SATCHEL_OK;
    if (!r->t) return fail_at(a, r, error, "a timer", "has no condition; put it into the WHERE of its actions");
    buf sql;
    const char *tail;
    buf_init(&sql, 0);
    put_with(&sql, r);
    buf_printf(&sql, " SELECT 1 FROM %s%s%sevent WHERE (", has_new(r) ? "new," : "", has_old(r) ? "old," : "", "");
    size_t own = sql.n;
    buf_put(&sql, text, strlen(text));
    buf_printf(&sql, "\n)");
    buf_put_byte(&sql, 0);
    int rc = prepare(a, r, false, &sql, own, text, text, &tail, &r->when, error);
    if (!rc && *tail) rc = fail_at(a, r, error, "its condition", "is more than one expression");
    buf_fini(&sql);
    return rc;
}

static int add_step(automation_rule *r, sqlite3_stmt *stmt) {
    sqlite3_stmt **more = realloc(r->step, (r->nstep + 1) * sizeof *more);
    if (!more) {
        sqlite3_finalize(stmt);
        return SATCHEL_E_NOMEM;
    }
    r->step = more;
    r->step[r->nstep++] = stmt;
    return SATCHEL_OK;
}

/* A WITH of the statement's own goes on with ours. */
static int take_action(automation *a, automation_rule *r, const char **at, buf *error) {
    const char *text = r->row->field[FIELD_ACTIONS], *own_with = sql_past_word(*at, "WITH"), *tail = NULL;
    const char *own = own_with ? own_with : *at;
    if (own_with && sql_past_word(own_with, "RECURSIVE")) own = sql_past_word(own_with, "RECURSIVE");
    buf sql;
    sqlite3_stmt *stmt = NULL;
    buf_init(&sql, 0);
    put_with(&sql, r);
    buf_put_byte(&sql, own_with ? ',' : ' ');
    size_t before = sql.n - (size_t)(own - text);
    buf_put(&sql, own, strlen(own) + 1);
    int rc = prepare(a, r, true, &sql, before, text, own, &tail, &stmt, error);
    if (!rc && sqlite3_stmt_readonly(stmt)) rc = fail_at(a, r, error, "an action", "writes nothing; leave it out");
    if (!rc) *at = own + ((size_t)(tail - (const char *)sql.p) - (sql.n - strlen(own) - 1));
    if (rc)
        sqlite3_finalize(stmt);
    else
        rc = add_step(r, stmt);
    buf_fini(&sql);
    return rc;
}

static int take_actions(automation *a, automation_rule *r, buf *error) {
    const char *at = r->row->field[FIELD_ACTIONS];
    int rc = SATCHEL_OK;
    while (!rc && *(at = sql_skip_blank(at))) rc = take_action(a, r, &at, error);
    return rc || r->nstep ? rc : fail_at(a, r, error, "it", "has no actions; say what it does");
}

/* ---- when ---- */

static int take_columns(automation *a, automation_rule *r, buf *error) {
    const char *p = r->row->field[FIELD_COLUMNS];
    char name[LIMIT_NAME_BYTES + 2];
    r->any = !p;
    if (p && !(r->events & EVENT_UPDATE)) return fail_at(a, r, error, "columns", "are of updates; leave them out");
    while (p && scope_next_name(&p, name)) {
        unsigned i = 0;
        while (i < r->t->ncol && sqlite3_stricmp(r->t->col[i]->name, name)) i++;
        if (i == r->t->ncol)
            return rule_fail(error, a->name, r->row->line, "%s: table %s has no column %s; correct the name", r->name, r->t->name,
                             name);
        r->columns[i] = true;
    }
    return SATCHEL_OK;
}

static int take_event(automation *a, automation_rule *r, buf *error) {
    static const struct {
        const char *name;
        unsigned events;
    } EVENTS[] = {
        {"insert", EVENT_INSERT}, {"update", EVENT_UPDATE}, {"delete", EVENT_DELETE}, {"put", EVENT_INSERT | EVENT_UPDATE}};
    const char *table = r->row->field[FIELD_TABLE], *event = r->row->field[FIELD_EVENT];
    if (!table || !event) return fail_at(a, r, error, "it", "has neither a table with an event nor every; say when it fires");
    r->t = schema_table_by_name(a->s->schema, table);
    if (!r->t || r->t->until != SCHEMA_NEVER)
        return rule_fail(error, a->name, r->row->line,
                         "%s: there is no synced table %s; correct the name, or declare it in a migration", r->name, table);
    for (size_t i = 0; i < sizeof EVENTS / sizeof *EVENTS; i++)
        if (!strcmp(event, EVENTS[i].name)) r->events = EVENTS[i].events;
    if (!r->events) return fail_at(a, r, error, "its event", "is none of insert, update, delete and put");
    return take_columns(a, r, error);
}

/* '5m', '1d', '1d 02:00' */
static int take_every(automation *a, automation_rule *r, buf *error) {
    static const struct {
        char unit;
        int64_t ms;
    } UNITS[] = {{'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    char *end;
    const char *every = r->row->field[FIELD_EVERY];
    if (r->row->field[FIELD_TABLE] || r->row->field[FIELD_EVENT] || r->row->field[FIELD_COLUMNS])
        return fail_at(a, r, error, "it", "has a table and every; leave one out");
    long n = strtol(every, &end, 10);
    r->events = EVENT_TIMER;
    for (size_t i = 0; i < 3; i++)
        if (n > 0 && n <= 1000 && *end == UNITS[i].unit) r->every_ms = n * UNITS[i].ms;
    if (r->every_ms && !end[1]) return SATCHEL_OK;
    const char *p = end + 1;
    bool timed = r->every_ms && *end == 'd' && strlen(p) == 6 && p[0] == ' ' && p[3] == ':' && strspn(p + 1, "0123456789") == 2 &&
                 strspn(p + 4, "0123456789") == 2 && strtol(p + 1, NULL, 10) < 24 && strtol(p + 4, NULL, 10) < 60;
    if (!timed)
        return fail_at(a, r, error, "every", "is a number with m, h or d, as 5m, or days and a time of day (UTC), as 1d 02:00");
    r->offset_ms = strtol(p + 1, NULL, 10) * 3600000 + strtol(p + 4, NULL, 10) * 60000;
    return SATCHEL_OK;
}

static int take_rule(automation *a, automation_rule *r, buf *error) {
    const char *overwrites = r->row->field[FIELD_OVERWRITES];
    r->name = r->row->field[FIELD_NAME];
    r->overwrites = overwrites && !strcmp(overwrites, "1");
    int rc = r->row->field[FIELD_EVERY] ? take_every(a, r, error) : take_event(a, r, error);
    if (!rc) rc = take_condition(a, r, error);
    return rc ? rc : take_actions(a, r, error);
}

/* Without a preupdate hook SQLite makes of a DELETE without WHERE a truncation, which the hook does not see when it is set at last. So all are
 * compiled again at their first step, when it is set; setting an authorizer does that. */
static void expire(sqlite3 *db) {
    sqlite3_set_authorizer(db, authorize, NULL);
    sqlite3_set_authorizer(db, NULL, NULL);
}

int automation_compile(automation *a, buf *error) {
    a->rule = calloc(a->text.n + 1, sizeof *a->rule);
    a->watched = calloc(a->s->schema->ntable + 1, 1);
    a->heeded = calloc(a->s->schema->ntable + 1, sizeof *a->heeded);
    if (!a->rule || !a->watched || !a->heeded) return SATCHEL_E_NOMEM;
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < a->text.n && !rc; i++) {
        automation_rule *r = &a->rule[a->n++];
        r->row = &a->text.row[i];
        rc = take_rule(a, r, error);
    }
    expire(a->s->db);
    return rc;
}

void automation_rule_fini(automation_rule *r) {
    sqlite3_finalize(r->when);
    for (unsigned i = 0; i < r->nstep; i++) sqlite3_finalize(r->step[i]);
    free(r->step);
    free(r->words);
}
