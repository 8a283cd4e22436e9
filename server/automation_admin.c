/* What an admin sees and does of the automations, and what time does. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation_private.h"
#include "server/scope_private.h"

/* ---- one rule on its own ---- */

/* The rules in force, and one of them. */
static int find_rule(ingest *g, const char *name, automation_rule **out, buf *error) {
    int rc = automation_begin(g);
    if (rc) {
        buf_printf(error, "%s", store_error(g->s));
        return rc;
    }
    *out = automation_find(g->rules, name);
    if (*out) return SATCHEL_OK;
    buf_printf(error, "there is no automation %s", name);
    return SATCHEL_E_NOT_FOUND;
}

/* The row as it is, as if the rule's event had just happened to it. */
static int note_row(ingest *g, const automation_rule *r, const value *key, buf *rows, buf *error) {
    value is[LIMIT_COLUMNS];
    table_state *ts = ingest_table(g, r->t);
    unsigned op = r->events & EVENT_INSERT ? EVENT_INSERT : r->events;
    for (unsigned i = 0; i < r->t->nkey; i++) value_bind(ts->select, (int)i + 1, &key[i]);
    int sq = sqlite3_step(ts->select);
    for (unsigned i = 0; sq == SQLITE_ROW && i < r->t->ncol; i++) is[i] = value_of_column(ts->select, (int)i + 2);
    if (sq == SQLITE_ROW) automation_put_event(rows, op, g->schema, r->t, is, NULL);
    sqlite3_reset(ts->select);
    if (sq == SQLITE_ROW) return rows->rc;
    if (sq != SQLITE_DONE) return db_rc(sq);
    buf_printf(error, "%s has no row with this key", r->t->name);
    return SATCHEL_E_NOT_FOUND;
}

static int note_named(ingest *g, const automation_rule *r, const char *table, const char *literals, buf *rows, buf *error) {
    scope_named row = {0};
    if (r->t && (!table || !literals || strcmp(r->t->name, table))) {
        buf_printf(error, "%s is about rows of %s; name one with its key", r->name, r->t->name);
        return SATCHEL_E_MISUSE;
    }
    if (!r->t) {
        automation_put_timer(rows, (unsigned)(r - g->rules->rule));
        return rows->rc;
    }
    int rc = scope_read_key(r->t, literals, &row, error);
    if (!rc) rc = note_row(g, r, row.key, rows, error);
    buf_fini(&row.bytes);
    return rc;
}

static void put_change(const schema *s, const delta_row *row, buf *out) {
    static const char *const OP[] = {"insert", "update", "delete", "leave"};
    const schema_table *t = schema_table_by_id(s, row->table);
    buf_printf(out, "%s %s(", OP[row->op], t ? t->name : "?");
    for (unsigned i = 0; i < row->nkey; i++) {
        if (i) buf_put_byte(out, ',');
        value_put_literal(out, &row->key[i]);
    }
    buf_put_byte(out, ')');
    for (unsigned i = 0; i < row->ncol; i++) {
        const schema_column *c = t ? schema_column_by_id(t, row->col[i].id) : NULL;
        if (row->op == DELTA_PUT && row->v[i].type == VALUE_NULL) continue;
        buf_printf(out, " %s=", c ? c->name : "?");
        value_put_literal(out, &row->v[i]);
    }
    buf_put_byte(out, '\n');
}

/* What the commits above `seq` tell. */
static int put_commits(ingest *g, uint64_t seq, buf *out) {
    int rc;
    sqlite3_stmt *q = db_prepare(&g->s->cache, "SELECT delta FROM satchel_log WHERE id>=? ORDER BY id");
    db_bind(q, "i", (int64_t)((seq + 1) << 24));
    while ((rc = db_next(&g->s->cache, q)) == 1) {
        wire w;
        delta_reader r;
        int more;
        wire_open(&w, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
        delta_open(&r, &w);
        while ((more = delta_next(&r, &g->in)) == 1) put_change(g->schema, &g->in, out);
        if (more < 0) {
            sqlite3_reset(q);
            return more;
        }
    }
    return rc ? rc : out->rc;
}

static int put_words(ingest *g, int64_t last, buf *out) {
    int rc;
    sqlite3_stmt *q =
        db_prepare(&g->s->cache, "SELECT name,rc,words FROM satchel_automation_run WHERE id>? AND words IS NOT NULL ORDER BY id");
    db_bind(q, "i", last);
    while ((rc = db_next(&g->s->cache, q)) == 1)
        buf_printf(out, "%s%s: %s\n", sqlite3_column_text(q, 0), sqlite3_column_int(q, 1) ? " fails" : "",
                   sqlite3_column_text(q, 2));
    return rc ? rc : out->rc;
}

static int try_rule(ingest *g, const automation_rule *r, buf *rows, uint64_t now_ms, buf *report) {
    bool fired, failed;
    int64_t last;
    ingest_position before = ingest_where(g);
    int rc = db_integer(&g->s->cache, "SELECT max(id) FROM satchel_automation_run", 0, &last);
    if (!rc) rc = store_savepoint(g->s);
    if (rc) return rc;
    rc = automation_fire_one(g, (unsigned)(r - g->rules->rule), rows, now_ms, &fired, &failed);
    if (!rc) rc = put_commits(g, before.at.seq, report);
    if (!rc) rc = put_words(g, last, report);
    if (!rc && !fired) buf_printf(report, "its condition does not hold\n");
    if (!rc && fired && !report->n) buf_printf(report, "it would change nothing\n");
    if (!rc && r->events == EVENT_UPDATE) buf_printf(report, "(tried on the row as it is: old.* is new.*)\n");
    store_savepoint_rollback(g->s);
    ingest_put_back(g, &before);
    return rc ? rc : report->rc;
}

int automation_try(ingest *g, const char *name, const char *table, const char *key_literals, uint64_t now_ms, buf *report,
                   buf *error) {
    automation_rule *r;
    buf rows;
    int rc = find_rule(g, name, &r, error);
    if (rc) return rc;
    buf_init(&rows, LIMIT_AUTOMATION_BYTES);
    rc = note_named(g, r, table, key_literals, &rows, error);
    if (!rc) rc = try_rule(g, r, &rows, now_ms, report);
    buf_fini(&rows);
    return rc;
}

/* ---- timers ---- */

static int set_last(store *s, const automation_rule *r, uint64_t now_ms) {
    return db_exec(&s->cache, "UPDATE satchel_automation SET last_ms=? WHERE name=?", "is", (int64_t)now_ms, r->name);
}

#define TRY_AFTER_MS UINT64_C(60000)
#define TRIES 7u

/* What the store could not keep is no failure of the rule's. */
static void count_tries(automation_rule *r, uint64_t now_ms, bool failed) {
    r->tries = !failed ? 0 : r->tries < TRIES ? r->tries + 1 : TRIES;
    r->failed_ms = now_ms;
}

static int run_timer(ingest *g, automation_rule *r, uint64_t now_ms, bool *failed) {
    unsigned number = (unsigned)(r - g->rules->rule);
    buf rows;
    bool fired;
    buf_init(&rows, LIMIT_AUTOMATION_BYTES);
    automation_put_timer(&rows, number);
    int rc = rows.rc ? rows.rc : automation_fire_one(g, number, &rows, now_ms, &fired, failed);
    if (!rc && !*failed) rc = set_last(g->s, r, now_ms);
    if (!rc) count_tries(r, now_ms, *failed);
    buf_fini(&rows);
    return rc;
}

int automation_run(ingest *g, const char *name, uint64_t now_ms, bool *failed, buf *error) {
    automation_rule *r;
    *failed = false;
    int rc = find_rule(g, name, &r, error);
    if (rc) return rc;
    if (r->t) {
        buf_printf(error, "%s is no timer; see automation try", name);
        return SATCHEL_E_MISUSE;
    }
    return run_timer(g, r, now_ms, failed);
}

/* A minute after it has failed, then two, at last an hour and four minutes. */
static bool waits(const automation_rule *r, uint64_t now_ms) {
    return r->tries && now_ms - r->failed_ms < TRY_AFTER_MS << (r->tries - 1);
}

/* It ran when the clock was wrong: it counts from now. */
static bool is_ahead(int64_t last_ms, uint64_t now_ms) {
    return last_ms > (int64_t)now_ms + LIMIT_CLOCK_AHEAD_MS;
}

/* The last time at or before now at which it should have run lies behind that at which it did. */
static bool is_due(const automation_rule *r, int64_t last_ms, uint64_t now_ms) {
    int64_t since = (int64_t)now_ms - r->offset_ms;
    return is_ahead(last_ms, now_ms) || (since - since % r->every_ms + r->offset_ms > last_ms && !waits(r, now_ms));
}

static int last_of(store *s, const automation_rule *r, uint64_t now_ms, int64_t *last_ms) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT last_ms FROM satchel_automation WHERE name=?");
    db_bind(q, "s", r->name);
    int rc = db_next(&s->cache, q);
    *last_ms = rc == 1 ? sqlite3_column_int64(q, 0) : (int64_t)now_ms;
    if (rc == 1) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

/* The next that is due, from number *from on; NULL if none is. */
static int find_due(automation *a, uint64_t now_ms, unsigned *from, automation_rule **due, int64_t *last_ms) {
    int rc = SATCHEL_OK;
    for (*due = NULL; !rc && !*due && *from < a->n; ++*from) {
        automation_rule *r = &a->rule[*from];
        if (r->t || !r->active) continue;
        rc = last_of(a->s, r, now_ms, last_ms);
        if (!rc && is_due(r, *last_ms, now_ms)) *due = r;
    }
    return rc;
}

int automation_due(ingest *g, uint64_t now_ms, bool *due) {
    unsigned from = 0;
    int64_t last_ms;
    automation_rule *r = NULL;
    int rc = automation_begin(g);
    if (!rc) rc = find_due(g->rules, now_ms, &from, &r, &last_ms);
    *due = r != NULL;
    return rc;
}

int automation_timers(ingest *g, uint64_t now_ms) {
    unsigned from = 0;
    int64_t last_ms;
    automation_rule *r;
    bool failed;
    int rc = automation_begin(g);
    while (!rc && !(rc = find_due(g->rules, now_ms, &from, &r, &last_ms)) && r)
        rc = is_ahead(last_ms, now_ms) ? set_last(g->s, r, now_ms) : run_timer(g, r, now_ms, &failed);
    return rc;
}

/* ---- listing ---- */

static int show(const rule_text *text, sqlite3_stmt *q, int (*visit)(void *ctx, const automation_info *), void *ctx) {
    const char *name = (const char *)sqlite3_column_text(q, 0);
    size_t i = 0;
    while (i < text->n && strcmp(text->row[i].field[FIELD_NAME], name)) i++;
    if (i == text->n) return SATCHEL_OK;
    char *const *f = text->row[i].field;
    automation_info info = {.name = f[FIELD_NAME],
                            .table = f[FIELD_TABLE],
                            .event = f[FIELD_EVENT],
                            .columns = f[FIELD_COLUMNS],
                            .condition = f[FIELD_CONDITION],
                            .every = f[FIELD_EVERY],
                            .actions = f[FIELD_ACTIONS],
                            .about = f[FIELD_ABOUT],
                            .overwrites = !strcmp(f[FIELD_OVERWRITES], "1"),
                            .active = sqlite3_column_int(q, 4) != 0,
                            .last_ms = (uint64_t)sqlite3_column_int64(q, f[FIELD_EVERY] ? 1 : 5),
                            .ran = (uint64_t)sqlite3_column_int64(q, 2),
                            .failed = (uint64_t)sqlite3_column_int64(q, 3)};
    return visit(ctx, &info);
}

int automation_list(store *s, int (*visit)(void *ctx, const automation_info *), void *ctx, buf *error) {
    rule_text text;
    int rc = automation_read_text(s, &text, error), said = 0;
    sqlite3_stmt *q =
        rc ? NULL
           : db_prepare(&s->cache, "SELECT a.name,a.last_ms,count(r.id),coalesce(sum(r.rc<>0),0),a.active,max(r.at_ms)"
                                   " FROM satchel_automation a LEFT JOIN satchel_automation_run r USING(name)"
                                   " GROUP BY a.name ORDER BY a.name");
    while (!rc && !said && (rc = db_next(&s->cache, q)) == 1) {
        said = show(&text, q, visit, ctx);
        rc = SATCHEL_OK;
    }
    if (said && q) sqlite3_reset(q);
    rule_text_fini(&text);
    return rc;
}

int automation_history(store *s, const char *name, uint64_t limit, int (*visit)(void *ctx, const automation_run_info *),
                       void *ctx) {
    int rc, said = 0;
    buf key;
    buf_init(&key, 0);
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT id,name,seq,tbl,key,at_ms,ms,wrote,rc,words FROM satchel_automation_run WHERE ?1 IS NULL OR name=?1"
                   " ORDER BY id DESC LIMIT ?2");
    db_bind(q, "si", name, (int64_t)limit);
    while ((rc = db_next(&s->cache, q)) == 1 && !said) {
        const schema_table *t = schema_table_by_id(s->schema, (uint32_t)sqlite3_column_int64(q, 3));
        buf_clear(&key);
        value_put_literals(&key, sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4));
        buf_put_byte(&key, 0);
        automation_run_info info = {.id = (uint64_t)sqlite3_column_int64(q, 0),
                                    .name = (const char *)sqlite3_column_text(q, 1),
                                    .seq = (uint64_t)sqlite3_column_int64(q, 2),
                                    .table = t ? t->name : NULL,
                                    .key = t && !key.rc ? (const char *)key.p : NULL,
                                    .at_ms = (uint64_t)sqlite3_column_int64(q, 5),
                                    .ms = (uint64_t)sqlite3_column_int64(q, 6),
                                    .wrote = (uint64_t)sqlite3_column_int64(q, 7),
                                    .rc = sqlite3_column_int(q, 8),
                                    .words = (const char *)sqlite3_column_text(q, 9)};
        said = visit(ctx, &info);
    }
    if (rc == 1) sqlite3_reset(q);
    buf_fini(&key);
    return rc < 0 ? rc : SATCHEL_OK;
}
