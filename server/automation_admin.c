/* What an admin sees and does of the automations, and what time does. */
#include <stdlib.h>
#include <string.h>

#include "protocol/hlc.h"
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

/* The row as it is, as if that had just happened to it. */
static int note_row(ingest *g, const schema_table *t, const value *key, unsigned op, uint64_t seq, buf *rows, buf *error) {
    value is[LIMIT_COLUMNS];
    table_state *ts = ingest_table(g, t);
    for (unsigned i = 0; i < t->nkey; i++) value_bind(ts->select, (int)i + 1, &key[i]);
    int sq = sqlite3_step(ts->select);
    for (unsigned i = 0; sq == SQLITE_ROW && i < t->ncol; i++) is[i] = value_of_column(ts->select, (int)i + 2);
    if (sq == SQLITE_ROW) automation_put_event(rows, op, seq, g->schema, t, is, NULL);
    sqlite3_reset(ts->select);
    if (sq == SQLITE_ROW) return rows->rc;
    if (sq != SQLITE_DONE) return db_rc(sq);
    buf_printf(error, "%s has no row with this key", t->name);
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
    if (!rc) rc = note_row(g, r->t, row.key, r->events & EVENT_INSERT ? EVENT_INSERT : r->events, 0, rows, error);
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

/* The rule by itself, as of now. */
static automation_order order_of(const ingest *g, const automation_rule *r, uint64_t now_ms) {
    return (automation_order){.rule = (unsigned)(r - g->rules->rule), .cause.stamp = hlc_of_ms(now_ms)};
}

static int try_rule(ingest *g, const automation_rule *r, buf *rows, uint64_t now_ms, buf *report) {
    bool fired, failed;
    int64_t last;
    ingest_position before = ingest_where(g);
    int rc = db_integer(&g->s->cache, "SELECT max(id) FROM satchel_automation_run", 0, &last);
    if (!rc) rc = store_savepoint(g->s);
    if (rc) return rc;
    automation_order order = order_of(g, r, now_ms);
    rc = automation_fire_one(g, &order, rows, now_ms, &fired, &failed);
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

/* ---- a firing that failed, again ---- */

/* An entry of the history. */
typedef struct entry {
    uint64_t id, replayed_by; /* by: the entry in its place, 0: none */
    bool settled;
    int rc;
    const automation_rule *rule;
    uint32_t table; /* 0: of a timer */
    unsigned op;
    field_clock cause;
    buf key;
} entry;

static int check_entry(const entry *e, buf *error) {
    unsigned long long id = e->id, by = e->replayed_by;
    if (by)
        buf_printf(error, "entry %llu was run again before, and entry %llu says what came of it", id, by);
    else if (e->settled)
        buf_printf(error, "entry %llu is settled: somebody has dismissed it, or its timer has run since", id);
    else if (!e->rc)
        buf_printf(error, "entry %llu has not failed; choose one that has", id);
    return by || e->settled ? SATCHEL_E_RESOLVED : e->rc ? SATCHEL_OK : SATCHEL_E_MISUSE;
}

static int check_rule(const entry *e, buf *error) {
    const automation_rule *r = e->rule;
    const char *why = !r->t || !e->table      ? "is a timer, which is tried again by itself; run the timer"
                      : !r->active            ? "is off; switch it on before"
                      : e->op == EVENT_DELETE ? "fired for a row that is deleted; write by hand what it was to write"
                      : r->t->id != e->table  ? "is about another table by now; write by hand what it was to write"
                      : !(r->events & e->op)  ? "fires at another event by now; write by hand what it was to write"
                                              : NULL;
    if (why) buf_printf(error, "%s %s", r->name, why);
    return why ? SATCHEL_E_MISUSE : SATCHEL_OK;
}

static int find_rule_of(ingest *g, const char *name, entry *e, buf *error) {
    automation_rule *r = NULL;
    int rc = find_rule(g, name, &r, error);
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(error, " any more; publish it, or write by hand what it was to write");
    e->rule = r;
    return rc ? rc : check_rule(e, error);
}

/* Of one that failed and waits. On SATCHEL_OK the statement stands on its row, column 9 the name of its rule. */
static int read_entry(store *s, entry *e, sqlite3_stmt **out, buf *error) {
    sqlite3_stmt *q = *out =
        db_prepare(&s->cache, "SELECT n.id,r.rc,r.tbl,r.event,r.author,r.stamp,r.seq,r.key,r.settled_ms IS NOT NULL,r.name FROM"
                              " satchel_automation_run r LEFT JOIN satchel_automation_run n ON n.replays=r.id WHERE r.id=?");
    db_bind(q, "i", (int64_t)e->id);
    int rc = db_next(&s->cache, q);
    if (rc < 0) return rc;
    if (!rc) {
        buf_printf(error, "the history of the automations has no entry %llu, or not any more", (unsigned long long)e->id);
        return SATCHEL_E_NOT_FOUND;
    }
    e->replayed_by = (uint64_t)sqlite3_column_int64(q, 0);
    e->rc = sqlite3_column_int(q, 1);
    e->table = (uint32_t)sqlite3_column_int64(q, 2);
    e->op = (unsigned)sqlite3_column_int(q, 3);
    e->cause.author = (uint32_t)sqlite3_column_int64(q, 4);
    e->cause.stamp = (uint64_t)sqlite3_column_int64(q, 5);
    e->cause.seq = (uint64_t)sqlite3_column_int64(q, 6);
    e->settled = sqlite3_column_int(q, 8) != 0;
    buf_put(&e->key, sqlite3_column_blob(q, 7), (size_t)sqlite3_column_bytes(q, 7));
    rc = e->key.rc ? e->key.rc : check_entry(e, error);
    if (rc) sqlite3_reset(q);
    return rc;
}

static int find_entry(ingest *g, entry *e, buf *error) {
    sqlite3_stmt *q;
    int rc = read_entry(g->s, e, &q, error);
    if (rc) return rc;
    rc = find_rule_of(g, (const char *)sqlite3_column_text(q, 9), e, error);
    sqlite3_reset(q);
    return rc;
}

static int settle(store *s, uint64_t id, uint64_t now_ms) {
    return db_exec(&s->cache, "UPDATE satchel_automation_run SET settled_ms=? WHERE id=?", "ii", (int64_t)now_ms, (int64_t)id);
}

int automation_dismiss(store *s, uint64_t id, uint64_t now_ms, buf *error) {
    entry e = {.id = id};
    sqlite3_stmt *q;
    buf_init(&e.key, 0);
    int rc = read_entry(s, &e, &q, error);
    if (!rc) sqlite3_reset(q);
    buf_fini(&e.key);
    return rc ? rc : settle(s, id, now_ms);
}

static int note_entry(ingest *g, const entry *e, buf *rows, buf *error) {
    value key[LIMIT_KEY_COLUMNS];
    const uint8_t *p = e->key.p, *end = p + e->key.n;
    for (unsigned i = 0; i < e->rule->t->nkey; i++)
        if (value_get(&p, end, &key[i])) return SATCHEL_E_CORRUPT;
    int rc = note_row(g, e->rule->t, key, e->op, e->cause.seq, rows, error);
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(error, " any more, so there is nothing to run %s for", e->rule->name);
    return rc;
}

static int find_replay(store *s, const entry *e, automation_replayed *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT id,wrote FROM satchel_automation_run WHERE replays=?");
    db_bind(q, "i", (int64_t)e->id);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    out->id = (uint64_t)sqlite3_column_int64(q, 0);
    out->wrote = (uint64_t)sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int replay(ingest *g, const entry *e, bool unconditional, uint64_t now_ms, automation_replayed *out, buf *error) {
    automation_order order = order_of(g, e->rule, now_ms);
    buf rows;
    bool fired = false;
    order.cause = e->cause;
    order.unconditional = unconditional;
    order.replays = e->id;
    buf_init(&rows, LIMIT_AUTOMATION_BYTES);
    int rc = note_entry(g, e, &rows, error);
    if (!rc) rc = automation_fire_one(g, &order, &rows, now_ms, &fired, &out->failed);
    buf_fini(&rows);
    if (rc || fired || out->failed) return rc ? rc : find_replay(g->s, e, out);
    buf_printf(error,
               "the condition of %s does not hold for the row as it is now, with old.* as new.*, and nothing was done; leave it"
               " aside if it is to act all the same",
               e->rule->name);
    return SATCHEL_E_MISUSE;
}

int automation_replay(ingest *g, uint64_t id, bool unconditional, uint64_t now_ms, automation_replayed *out, buf *error) {
    entry e = {.id = id};
    *out = (automation_replayed){0};
    buf_init(&e.key, 0);
    int rc = find_entry(g, &e, error);
    if (!rc) rc = replay(g, &e, unconditional, now_ms, out, error);
    if (!rc) rc = settle(g->s, id, now_ms);
    buf_fini(&e.key);
    return rc;
}

/* ---- timers ---- */

static int set_last(store *s, const automation_rule *r, uint64_t now_ms) {
    return db_exec(&s->cache, "UPDATE satchel_automation SET last_ms=? WHERE name=?", "is", (int64_t)now_ms, r->name);
}

/* It has done now what it failed to do. */
static int settle_timer(store *s, const automation_rule *r, uint64_t now_ms) {
    return db_exec(&s->cache,
                   "UPDATE satchel_automation_run SET settled_ms=? WHERE name=? AND rc<>0 AND settled_ms IS NULL AND tbl=0", "is",
                   (int64_t)now_ms, r->name);
}

#define TRY_AFTER_MS UINT64_C(60000)
#define TRIES 7u

/* What the store could not keep is no failure of the rule's. */
static void count_tries(automation_rule *r, uint64_t now_ms, bool failed) {
    r->tries = !failed ? 0 : r->tries < TRIES ? r->tries + 1 : TRIES;
    r->failed_ms = now_ms;
}

static int run_timer(ingest *g, automation_rule *r, uint64_t now_ms, bool *failed) {
    automation_order order = order_of(g, r, now_ms);
    buf rows;
    bool fired;
    buf_init(&rows, LIMIT_AUTOMATION_BYTES);
    automation_put_timer(&rows, order.rule);
    int rc = rows.rc ? rows.rc : automation_fire_one(g, &order, &rows, now_ms, &fired, failed);
    if (!rc && !*failed) rc = set_last(g->s, r, now_ms);
    if (!rc && !*failed) rc = settle_timer(g->s, r, now_ms);
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
           : db_prepare(&s->cache,
                        "SELECT a.name,a.last_ms,count(r.id),coalesce(sum(r.rc<>0 AND r.settled_ms IS NULL),0),"
                        "a.active,max(r.at_ms) FROM satchel_automation a LEFT JOIN satchel_automation_run r USING(name)"
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
        &s->cache,
        "SELECT r.id,r.name,r.seq,r.tbl,r.key,r.at_ms,r.ms,r.wrote,r.rc,r.words,r.replays,n.id,n.at_ms,r.settled_ms FROM"
        " satchel_automation_run r LEFT JOIN satchel_automation_run n ON n.replays=r.id WHERE ?1 IS NULL OR r.name=?1"
        " ORDER BY r.id DESC LIMIT ?2");
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
                                    .words = (const char *)sqlite3_column_text(q, 9),
                                    .replays = (uint64_t)sqlite3_column_int64(q, 10),
                                    .replayed_by = (uint64_t)sqlite3_column_int64(q, 11),
                                    .replayed_ms = (uint64_t)sqlite3_column_int64(q, 12),
                                    .settled_ms = (uint64_t)sqlite3_column_int64(q, 13)};
        said = visit(ctx, &info);
    }
    if (rc == 1) sqlite3_reset(q);
    buf_fini(&key);
    return rc < 0 ? rc : SATCHEL_OK;
}
