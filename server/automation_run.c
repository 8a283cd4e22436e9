/* One run of the rules: what a transaction changed is noted while it is merged, and looked at when it was taken in. Round after round, each a commit of the
 * server's, until nothing follows any more. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "server/automation_private.h"

/* ---- what changes ---- */

int automation_begin(ingest *g) {
    bool current = false;
    buf_clear(&g->caused);
    if (g->firing) return SATCHEL_OK;
    int rc = g->rules ? automation_is_current(g->rules, &current) : SATCHEL_OK;
    if (rc || current) return rc;
    buf error;
    automation *fresh = NULL;
    buf_init(&error, 0);
    rc = automation_open(g->s, &fresh, &error);
    if (rc) {
        buf_put_byte(&error, 0);
        store_fail(g->s, rc, error.n > 1 ? (const char *)error.p : "reading the automations");
    } else {
        automation_free(g->rules);
        g->rules = fresh;
        for (unsigned i = 0; i < g->schema->ntable; i++) g->tables[i].watched = fresh->watched[i];
    }
    buf_fini(&error);
    return rc;
}

static void put_head(buf *b, const ingest *g, unsigned op, size_t what) {
    buf_put_byte(b, (uint8_t)op);
    buf_put_varint(b, what);
    buf_put_varint(b, g ? g->nchain : 0);
    for (unsigned i = 0; g && i < g->nchain; i++) buf_put_varint(b, g->chain[i]);
}

static void put_values(buf *b, const schema_table *t, const value *is, const row_changes *changes) {
    for (unsigned i = 0; i < t->ncol; i++) value_put(b, &is[i]);
    buf_put_varint(b, changes ? changes->n : 0);
    for (unsigned i = 0; changes && i < changes->n; i++) {
        buf_put_varint(b, changes->place[i]);
        value_put(b, &changes->was[changes->place[i]]);
    }
}

void automation_put_event(buf *b, unsigned op, const schema *s, const schema_table *t, const value *is,
                          const row_changes *changes) {
    put_head(b, NULL, op, (size_t)(t - s->table));
    put_values(b, t, is, changes);
}

void automation_put_timer(buf *b, unsigned rule) {
    put_head(b, NULL, EVENT_TIMER, rule);
}

int automation_note(ingest *g, unsigned op, const stored_row *row, const row_changes *changes) {
    put_head(&g->caused, g, op, (size_t)(row->ts->t - g->schema->table));
    put_values(&g->caused, row->ts->t, row->v, changes);
    if (g->caused.rc == SATCHEL_E_LIMIT)
        return ingest_refuse(g, SATCHEL_E_TOO_LARGE,
                             "too many rows of one transaction that automations look at; change them in several");
    return g->caused.rc;
}

static bool get_values(automation_event *e, const uint8_t **p, const uint8_t *end) {
    uint64_t n, place;
    for (unsigned i = 0; i < e->t->ncol; i++) {
        if (value_get(p, end, &e->is[i])) return false;
        e->was[i] = e->op == EVENT_INSERT ? value_null() : e->is[i];
        e->changed[i] = false;
    }
    if (!buf_get_varint(p, end, &n)) return false;
    for (; n; n--) {
        if (!buf_get_varint(p, end, &place) || place >= e->t->ncol || value_get(p, end, &e->was[place])) return false;
        e->changed[place] = true;
    }
    return true;
}

/* False at the end. */
static bool next_event(const schema *s, automation_event *e, const uint8_t **p, const uint8_t *end) {
    uint64_t what, n, rule;
    if (*p == end) return false;
    e->op = *(*p)++;
    if (!buf_get_varint(p, end, &what) || !buf_get_varint(p, end, &n)) return false;
    e->t = e->op == EVENT_TIMER ? NULL : &s->table[what];
    e->nchain = 0;
    for (; n && buf_get_varint(p, end, &rule); n--)
        if (e->nchain < AUTOMATION_ROUNDS) e->chain[e->nchain++] = (uint16_t)rule;
    if (e->op == EVENT_TIMER) e->chain[0] = (uint16_t)what;
    return !e->t || get_values(e, p, end);
}

/* ---- one rule and one change ---- */

/* What became of it. */
typedef struct firing {
    size_t event; /* where its change stands among the round's */
    uint16_t rule;
    bool fired;
    int rc; /* why it failed; it is left out from then on */
    uint64_t wrote, ms;
    char *words;
} firing;

typedef struct run {
    ingest *g;
    automation *a;
    uint64_t now_ms;
    int only; /* the rule of the first round; -1: all */
    buf rows; /* the changes that are looked at */
    /* `event` */
    field_clock cause;
    value user, device;
    buf hold;
    firing *f; /* of this round, in the order in which they are looked at */
    size_t n, room, at;
    unsigned round;
    bool fired, failed;
} run;

static bool is_store_failure(int rc) {
    switch (rc) {
    case SATCHEL_E_BUSY:
    case SATCHEL_E_IO:
    case SATCHEL_E_FULL:
    case SATCHEL_E_READONLY:
    case SATCHEL_E_CORRUPT:
    case SATCHEL_E_NOT_A_DATABASE:
    case SATCHEL_E_NOMEM:
        return true;
    default:
        return false;
    }
}

static uint64_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Takes the failure as the rule's own unless the store is at fault. */
static int fail(run *r, firing *f, int rc, const char *words, size_t nwords) {
    if (is_store_failure(rc)) return rc;
    if (sqlite3_get_autocommit(r->g->s->db)) return SATCHEL_E_IO;
    f->rc = rc;
    f->wrote = 0;
    free(f->words);
    f->words = strndup(nwords ? words : satchel_rc_text(rc), nwords ? nwords : LIMIT_TEXT_BYTES);
    return f->words ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int fail_sqlite(run *r, firing *f) {
    const char *words = sqlite3_errmsg(r->g->s->db);
    int sq = sqlite3_extended_errcode(r->g->s->db);
    return fail(r, f, (sq & 0xff) == SQLITE_ERROR ? SATCHEL_E_RULE : db_rc(sq), words, strlen(words));
}

static void bind(run *r, const automation_rule *rule, sqlite3_stmt *q) {
    const automation_event *e = &r->a->event;
    int at = 1, event = (int)automation_event_parameter(rule), ncol = e->t ? (int)e->t->ncol : 0;
    if (e->op != EVENT_DELETE)
        for (int i = 0; i < ncol; i++) value_bind(q, at++, &e->is[i]);
    for (int i = 0; at < event; i++) value_bind(q, at++, &e->was[i]);
    sqlite3_bind_int64(q, event, (int64_t)r->cause.seq);
    sqlite3_bind_int64(q, event + 1, (int64_t)r->now_ms);
    sqlite3_bind_int64(q, event + 2, (int64_t)hlc_ms(r->cause.stamp));
    sqlite3_bind_int64(q, event + 3, r->cause.author);
    value_bind(q, event + 4, &r->user);
    value_bind(q, event + 5, &r->device);
}

/* satchel_now() is the time itself while a rule runs. */
static int step(run *r, const automation_rule *rule, sqlite3_stmt *q) {
    store *s = r->g->s;
    int64_t midnight = s->scope_now_ms;
    bind(r, rule, q);
    s->scope_now_ms = (int64_t)r->now_ms;
    int sq;
    do sq = sqlite3_step(q);
    while (sq == SQLITE_ROW && q != rule->when);
    s->scope_now_ms = midnight;
    return sq;
}

/* 1: it holds. */
static int holds(run *r, const automation_rule *rule, firing *f) {
    if (!rule->when) return 1;
    int sq = step(r, rule, rule->when), rc = sq == SQLITE_ROW;
    if (sq != SQLITE_ROW && sq != SQLITE_DONE) rc = fail_sqlite(r, f);
    sqlite3_reset(rule->when);
    return rc;
}

/* Leaves what the actions changed in g->captured. */
static int act(run *r, const automation_rule *rule, firing *f) {
    buf words;
    int rc = ingest_capture_begin(r->g);
    if (rc) return rc;
    for (unsigned i = 0; i < rule->nstep && !rc && !f->rc; i++) {
        if (step(r, rule, rule->step[i]) != SQLITE_DONE) rc = fail_sqlite(r, f);
        sqlite3_reset(rule->step[i]);
    }
    if (rc || f->rc) {
        ingest_author_cancel(r->g);
        buf_clear(&r->g->captured);
        return rc;
    }
    buf_init(&words, LIMIT_TEXT_BYTES);
    rc = ingest_capture_end(r->g, &words);
    if (rc) rc = fail(r, f, rc, (const char *)words.p, words.n);
    buf_fini(&words);
    return rc;
}

/* The round has to be begun again, without what has failed. */
#define AGAIN 1

static int refused(run *r, firing *f, int rc) {
    rc = fail(r, f, rc, (const char *)r->g->bad_text.p, r->g->bad_text.n);
    return rc ? rc : AGAIN;
}

static void say_spared(run *r, firing *f) {
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    buf_printf(&words, "%s.%s is left as somebody wrote it", r->g->spared_table->name, r->g->spared->name);
    free(f->words);
    f->words = words.rc ? NULL : strndup((const char *)words.p, words.n);
    buf_fini(&words);
}

static int merge(run *r, const automation_rule *rule, firing *f) {
    ingest *g = r->g;
    automation_event *e = &r->a->event;
    uint64_t before = g->emitted;
    e->chain[e->nchain] = f->rule;
    g->chain = e->chain;
    g->nchain = e->nchain + 1;
    g->spares = !rule->overwrites;
    g->spared = NULL;
    int rc = ingest_merge_captured(g);
    if (!rc && g->dangling.n) {
        rc = ingest_check_references(g);
        buf_clear(&g->dangling);
    }
    g->nchain = 0;
    g->spares = false;
    f->wrote = g->emitted - before;
    if (rc) return refused(r, f, rc);
    if (g->spared) say_spared(r, f);
    return SATCHEL_OK;
}

static int fire(run *r, const automation_rule *rule, firing *f) {
    uint64_t began = clock_ms();
    f->fired = false;
    f->wrote = 0;
    int rc = holds(r, rule, f);
    if (rc != 1) return rc;
    f->fired = r->fired = true;
    rc = act(r, rule, f);
    if (!rc && r->g->captured.n) rc = merge(r, rule, f);
    f->ms = clock_ms() - began;
    return rc;
}

/* ---- one round ---- */

static bool listens(const run *r, const automation_rule *rule, unsigned number, const automation_event *e) {
    if (r->only >= 0 && r->round == 1 && (int)number != r->only) return false;
    if (e->op == EVENT_TIMER) return number == e->chain[0];
    if ((!rule->active && r->only < 0) || !(rule->events & e->op) || rule->t != e->t) return false;
    if (rule->any || e->op != EVENT_UPDATE) return true;
    for (unsigned i = 0; i < e->t->ncol; i++)
        if (rule->columns[i] && e->changed[i]) return true;
    return false;
}

/* The one that is looked at next; the same ones come again in a round that is begun again. */
static firing *next_firing(run *r, size_t event, unsigned rule) {
    if (r->at == r->room) {
        size_t room = r->room ? r->room * 2 : 32;
        firing *more = realloc(r->f, room * sizeof *more);
        if (!more) return NULL;
        r->f = more;
        r->room = room;
    }
    if (r->at == r->n) r->f[r->n++] = (firing){.event = event, .rule = (uint16_t)rule};
    return &r->f[r->at++];
}

/* Calls `each` for every rule that listens to a change. */
static int each_firing(run *r, int (*each)(run *, const automation_rule *, firing *)) {
    const uint8_t *p = r->rows.p, *end = p + r->rows.n;
    int rc = SATCHEL_OK;
    r->at = 0;
    for (const uint8_t *from = p; !rc && next_event(r->g->schema, &r->a->event, &p, end); from = p)
        for (unsigned i = 0; i < r->a->n && !rc; i++) {
            if (!listens(r, &r->a->rule[i], i, &r->a->event)) continue;
            firing *f = next_firing(r, (size_t)(from - r->rows.p), i);
            rc = !f ? SATCHEL_E_NOMEM : f->rc ? SATCHEL_OK : each(r, &r->a->rule[i], f);
        }
    return rc;
}

/* What is refused only at the end of all is nobody's in particular. */
static int finish(run *r) {
    int rc = ingest_finish(r->g), again = rc;
    for (size_t i = 0; i < r->n && rc && !is_store_failure(again); i++)
        if (r->f[i].wrote) {
            int failed = fail(r, &r->f[i], rc, (const char *)r->g->bad_text.p, r->g->bad_text.n);
            again = failed ? failed : AGAIN;
        }
    return again;
}

static int try_round(run *r) {
    static author_info server;
    ingest *g = r->g;
    store_position before = g->s->now;
    uint64_t conflicts = g->conflicts;
    int rc = store_savepoint(g->s);
    if (rc) return rc;
    rc = ingest_start(g, &server, 0, before.seq, hlc_next(before.high_stamp, r->now_ms), r->now_ms);
    if (!rc) rc = each_firing(r, fire);
    if (!rc) rc = finish(r);
    if (rc) {
        store_savepoint_rollback(g->s);
        g->s->now = before;
        g->conflicts = conflicts;
        return rc;
    }
    if (scope_log_is_empty(&g->log))
        g->s->now = before;
    else
        g->s->now.high_stamp = g->clock.stamp;
    return store_savepoint_release(g->s);
}

/* ---- history ---- */

static int put_history(run *r, const firing *f) {
    const uint8_t *p = r->rows.p + f->event;
    automation_event *e = &r->a->event;
    buf key;
    buf_init(&key, 0);
    if (!next_event(r->g->schema, e, &p, r->rows.p + r->rows.n)) return SATCHEL_E_INTERNAL;
    for (unsigned i = 0; e->t && i < e->t->nkey; i++) {
        unsigned place = 0;
        while (e->t->col[place] != e->t->key[i]) place++;
        value_put(&key, &e->is[place]);
    }
    int rc =
        key.rc ? key.rc
               : db_exec(&r->g->s->cache,
                         "INSERT INTO satchel_automation_run(name,seq,tbl,key,at_ms,ms,wrote,rc,words) VALUES(?,?,?,?,?,?,?,?,?)",
                         "siibiiiis", r->a->rule[f->rule].name, (int64_t)r->cause.seq, e->t ? (int64_t)e->t->id : 0, key.p, key.n,
                         (int64_t)r->now_ms, (int64_t)f->ms, (int64_t)f->wrote, (int64_t)f->rc, f->words);
    buf_fini(&key);
    return rc;
}

static int write_history(run *r) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < r->n && !rc; i++) {
        const firing *f = &r->f[i];
        if (!f->rc && !f->wrote && !f->words) continue;
        rc = put_history(r, f);
        if (!f->rc) continue;
        r->failed = true;
        buf_printf(&r->g->alerts, "automation %s has failed: %s\n", r->a->rule[f->rule].name, f->words);
    }
    return rc;
}

static void forget(run *r) {
    for (size_t i = 0; i < r->n; i++) free(r->f[i].words);
    r->n = 0;
}

/* ---- round after round ---- */

/* In the place of a round too many: names the chain that would go on. */
static int stop_chain(run *r, const automation_rule *rule, firing *f) {
    const automation_event *e = &r->a->event;
    int rc = holds(r, rule, f);
    if (rc != 1) return rc;
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    buf_printf(&words, "stopped after %u rounds: ", AUTOMATION_ROUNDS);
    for (unsigned i = 0; i < e->nchain; i++) buf_printf(&words, "%s -> ", r->a->rule[e->chain[i]].name);
    buf_printf(&words, "%s", rule->name);
    rc = fail(r, f, SATCHEL_E_LIMIT, (const char *)words.p, words.n);
    buf_fini(&words);
    return rc;
}

static int run_round(run *r) {
    int rc;
    if (r->round > AUTOMATION_ROUNDS)
        rc = each_firing(r, stop_chain);
    else
        do rc = try_round(r);
        while (rc == AGAIN);
    if (!rc) rc = write_history(r);
    forget(r);
    return rc;
}

/* Who the author of the cause is. */
static int find_author(run *r) {
    store *s = r->g->s;
    r->user = r->device = value_null();
    if (!r->cause.author) return SATCHEL_OK;
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT d.user,d.name FROM satchel_author a JOIN satchel_device d ON d.id=a.device WHERE a.author=?");
    db_bind(q, "i", (int64_t)r->cause.author);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    size_t nuser = (size_t)sqlite3_column_bytes(q, 0);
    buf_put(&r->hold, sqlite3_column_blob(q, 0), nuser);
    buf_put(&r->hold, sqlite3_column_text(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    sqlite3_reset(q);
    if (r->hold.rc) return r->hold.rc;
    const uint8_t *p = r->hold.p;
    r->device = value_text((const char *)p + nuser, r->hold.n - nuser);
    return nuser ? value_get(&p, p + nuser, &r->user) : SATCHEL_OK;
}

/* r->rows and r->cause are given; the first round is of these. */
static int run_all(run *r) {
    ingest *g = r->g;
    int rc = find_author(r);
    g->firing = true;
    for (r->round = 1; !rc && r->rows.n; r->round++) {
        rc = run_round(r);
        if (r->round > AUTOMATION_ROUNDS) break;
        buf spent = r->rows;
        r->rows = g->caused;
        g->caused = spent;
        buf_clear(&g->caused);
        r->cause = g->clock;
        r->user = r->device = value_null();
    }
    g->firing = false;
    buf_clear(&g->caused);
    buf_fini(&r->rows);
    buf_fini(&r->hold);
    free(r->f);
    return rc;
}

static void take_rows(run *r, buf *rows) {
    r->rows = *rows;
    buf_init(rows, AUTOMATION_BYTES);
}

int automation_fire(ingest *g) {
    if (!g->caused.n) return SATCHEL_OK;
    run r = {.g = g, .a = g->rules, .now_ms = g->now_ms, .only = -1, .cause = g->clock};
    take_rows(&r, &g->caused);
    int rc = run_all(&r);
    if (!rc || is_store_failure(rc)) return rc;
    /* Whatever it is, the cause stands. */
    buf_printf(&g->alerts, "automations could not be run after commit %llu: %s\n", (unsigned long long)r.cause.seq,
               satchel_rc_name(rc));
    return SATCHEL_OK;
}

int automation_fire_one(ingest *g, unsigned only, buf *rows, uint64_t now_ms, bool *fired, bool *failed) {
    run r = {.g = g, .a = g->rules, .now_ms = now_ms, .only = (int)only};
    r.cause.stamp = hlc_of_ms(now_ms);
    take_rows(&r, rows);
    int rc = run_all(&r);
    *fired = r.fired;
    *failed = r.failed;
    return rc;
}
