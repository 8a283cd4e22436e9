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
    if (g->firing) return SATCHEL_OK;
    buf_clear(&g->caused);
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

static void put_head(buf *b, unsigned op, uint64_t seq, size_t what, const uint16_t *chain, unsigned nchain) {
    buf_put_byte(b, (uint8_t)op);
    buf_put_varint(b, seq);
    buf_put_varint(b, what);
    buf_put_varint(b, nchain);
    for (unsigned i = 0; i < nchain; i++) buf_put_varint(b, chain[i]);
}

static void put_values(buf *b, const schema_table *t, const value *is, const row_changes *changes) {
    for (unsigned i = 0; i < t->ncol; i++) value_put(b, &is[i]);
    buf_put_varint(b, changes ? changes->n : 0);
    for (unsigned i = 0; changes && i < changes->n; i++) {
        buf_put_varint(b, changes->place[i]);
        value_put(b, &changes->was[changes->place[i]]);
    }
}

void automation_put_event(buf *b, unsigned op, uint64_t seq, const schema *s, const schema_table *t, const value *is,
                          const row_changes *changes) {
    put_head(b, op, seq, (size_t)(t - s->table), NULL, 0);
    put_values(b, t, is, changes);
}

void automation_put_timer(buf *b, unsigned rule) {
    put_head(b, EVENT_TIMER, 0, rule, NULL, 0);
}

/* Whether an update changes a column that a rule waits for. */
static bool is_heeded(const ingest *g, const schema_table *t, const row_changes *changes) {
    for (unsigned i = 0; i < changes->n; i++)
        if (g->rules->heeded[t - g->schema->table][changes->place[i]]) return true;
    return false;
}

int automation_note(ingest *g, unsigned op, const stored_row *row, const row_changes *changes) {
    if (changes && !is_heeded(g, row->ts->t, changes)) return SATCHEL_OK;
    put_head(&g->caused, op, g->clock.seq, (size_t)(row->ts->t - g->schema->table), g->chain, g->nchain);
    put_values(&g->caused, row->ts->t, row->v, changes);
    /* Who writes row by row as the server does goes on after a refusal, and this row is written already. */
    if (g->caused.rc == SATCHEL_E_LIMIT)
        return ingest_refuse(g, g->from_server ? SATCHEL_E_LIMIT : SATCHEL_E_TOO_LARGE,
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
    if (!buf_get_varint(p, end, &e->seq) || !buf_get_varint(p, end, &what) || !buf_get_varint(p, end, &n)) return false;
    e->t = e->op == EVENT_TIMER ? NULL : &s->table[what];
    e->nchain = 0;
    for (; n && buf_get_varint(p, end, &rule); n--)
        if (e->nchain < LIMIT_AUTOMATION_ROUNDS) e->chain[e->nchain++] = (uint16_t)rule;
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
    const automation_order *only; /* what the first round is of; NULL: all that listens */
    buf rows;                     /* the changes that are looked at */
    /* `event` */
    field_clock cause, last; /* the commit that the round is about, and the last that it made; of several the last */
    value user, device;
    buf hold;
    firing *f; /* of this round, in the order in which they are looked at */
    size_t n, room, at;
    unsigned round;
    bool alone; /* each firing of this round is a commit of its own */
    bool fired, failed;
    uint64_t deadline_us; /* of the statement that runs */
    uint64_t took_us;     /* all firings together */
} run;

static uint64_t clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t limit_us(const run *r) {
    return (uint64_t)r->a->limit_ms * 1000;
}

static int say(firing *f, const char *words, size_t n) {
    free(f->words);
    f->words = strndup(words, n);
    return f->words ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

/* Takes the failure as the rule's own unless the store is at fault. */
static int fail(run *r, firing *f, int rc, const char *words, size_t nwords) {
    if (db_is_failure(rc)) return rc;
    if (sqlite3_get_autocommit(r->g->s->db)) return SATCHEL_E_IO;
    f->rc = rc;
    f->wrote = 0;
    return nwords ? say(f, words, nwords) : say(f, satchel_rc_text(rc), LIMIT_TEXT_BYTES);
}

static int is_late(void *ctx) {
    const run *r = ctx;
    return clock_us() > r->deadline_us;
}

/* So many transactions may a rule's SQL cost for want of memory. */
#define STRIKES 2u
static const char LATE[] = "takes too long, or more memory than there is, and is left out until it is switched on anew",
                  ENDS[] =
                      "ends the transaction that it follows from (OR ROLLBACK), and is left out until it is switched on anew";

/* SQLite ends the whole transaction when a statement that writes runs for too long, or says so itself, and may when memory is short. Then it comes again. */
static int fail_sqlite(run *r, firing *f) {
    automation_rule *rule = &r->a->rule[f->rule];
    const char *words = sqlite3_errmsg(r->g->s->db);
    int sq = sqlite3_extended_errcode(r->g->s->db), rc = (sq & 0xff) == SQLITE_ERROR ? SATCHEL_E_RULE : db_rc(sq);
    bool ended = sqlite3_get_autocommit(r->g->s->db), interrupted = (sq & 0xff) == SQLITE_INTERRUPT;
    if (interrupted && !is_late(r)) return SATCHEL_E_BUSY;
    if (interrupted || (ended && rc == SATCHEL_E_NOMEM && ++rule->strikes == STRIKES)) rule->out = LATE;
    if (ended && !rule->out && !db_is_failure(rc)) rule->out = ENDS;
    if (ended) return db_is_failure(rc) ? rc : SATCHEL_E_BUSY;
    if (rule->out) return fail(r, f, SATCHEL_E_LIMIT, rule->out, strlen(rule->out));
    return fail(r, f, rc == SATCHEL_E_NOMEM ? SATCHEL_E_LIMIT : rc, words, strlen(words));
}

static void bind(run *r, const automation_rule *rule, sqlite3_stmt *q) {
    const automation_event *e = &r->a->event;
    int at = 1, event = (int)automation_event_parameter(rule), ncol = e->t ? (int)e->t->ncol : 0;
    if (e->op != EVENT_DELETE)
        for (int i = 0; i < ncol; i++) value_bind(q, at++, &e->is[i]);
    for (int i = 0; at < event; i++) value_bind(q, at++, &e->was[i]);
    sqlite3_bind_int64(q, event, (int64_t)e->seq);
    sqlite3_bind_int64(q, event + 1, (int64_t)r->now_ms);
    sqlite3_bind_int64(q, event + 2, (int64_t)hlc_ms(r->cause.stamp));
    sqlite3_bind_int64(q, event + 3, r->cause.author);
    value_bind(q, event + 4, &r->user);
    value_bind(q, event + 5, &r->device);
}

#define OPS_BETWEEN_LOOKS 10000

/* satchel_now() is the time itself while a rule runs. */
static int step(run *r, const automation_rule *rule, sqlite3_stmt *q) {
    store *s = r->g->s;
    int64_t midnight = s->scope_now_ms;
    bind(r, rule, q);
    s->scope_now_ms = (int64_t)r->now_ms;
    r->deadline_us = clock_us() + limit_us(r);
    sqlite3_progress_handler(s->db, OPS_BETWEEN_LOOKS, is_late, r);
    int sq;
    do sq = sqlite3_step(q);
    while (sq == SQLITE_ROW && q != rule->when);
    sqlite3_progress_handler(s->db, 0, NULL, NULL);
    s->scope_now_ms = midnight;
    return sq;
}

/* 1: it holds. */
static int holds(run *r, const automation_rule *rule, firing *f) {
    if (!rule->when || (r->round == 1 && r->only && r->only->unconditional)) return 1;
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
        ingest_capture_cancel(r->g);
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

/* Where a statement of the store's own fails, no rule is to blame. */
static bool is_of_store(int rc) {
    return db_is_failure(rc) || rc == SATCHEL_E_INTERNAL;
}

/* What was written is refused, with the words of that. */
static int refused(run *r, firing *f, int rc) {
    const buf *words = &r->g->bad_text;
    if (words->rc || is_of_store(rc)) return words->rc ? words->rc : rc;
    return fail(r, f, rc, (const char *)words->p, words->n);
}

static int say_spared(run *r, firing *f) {
    const ingest *g = r->g;
    buf words;
    buf_init(&words, 0);
    if (g->spared)
        buf_printf(&words, "%s.%s is left as somebody wrote it", g->spared_table->name, g->spared->name);
    else
        buf_printf(&words, "a row of %s stays deleted, as somebody wanted it", g->spared_table->name);
    int rc = words.rc ? words.rc : say(f, (const char *)words.p, words.n);
    buf_fini(&words);
    return rc;
}

static int merge(run *r, const automation_rule *rule, firing *f) {
    ingest *g = r->g;
    automation_event *e = &r->a->event;
    uint64_t before = g->rows;
    e->chain[e->nchain] = f->rule;
    g->chain = e->chain;
    g->nchain = e->nchain + 1;
    g->spares = !rule->overwrites;
    g->spared = NULL;
    g->spared_table = NULL;
    int rc = ingest_merge_captured(g);
    if (!rc && g->dangling.n) {
        rc = ingest_check_references(g);
        buf_clear(&g->dangling);
    }
    g->nchain = 0;
    g->spares = false;
    f->wrote = g->rows - before;
    if (!rc) return g->spared_table ? say_spared(r, f) : SATCHEL_OK;
    rc = refused(r, f, rc);
    return rc ? rc : AGAIN;
}

/* Each may be quick enough, and all of them keep everybody waiting. Many rows alone are no reason: a rule that is quick does its work on all of them. */
static const char SPENT[] =
    "left out: what followed from the same change has taken all the time that there is for it, and this rule is slow";

static bool is_spent(const run *r, const automation_rule *rule) {
    return r->took_us > LIMIT_AUTOMATION_TIMES * limit_us(r) &&
           rule->took_us > rule->looks * (limit_us(r) / LIMIT_AUTOMATION_SLOW);
}

static int look(run *r, const automation_rule *rule, firing *f) {
    int rc = holds(r, rule, f);
    if (rc != 1) return rc;
    f->fired = r->fired = true;
    rc = act(r, rule, f);
    return !rc && r->g->captured.n ? merge(r, rule, f) : rc;
}

static int fire(run *r, const automation_rule *rule, firing *f) {
    f->fired = false;
    f->wrote = 0;
    free(f->words); /* of before the round was begun again */
    f->words = NULL;
    if (rule->out) return fail(r, f, SATCHEL_E_LIMIT, rule->out, strlen(rule->out));
    if (is_spent(r, rule)) return fail(r, f, SATCHEL_E_LIMIT, SPENT, sizeof SPENT - 1);
    uint64_t began = clock_us();
    int rc = look(r, rule, f);
    uint64_t took_us = clock_us() - began;
    f->ms = took_us / 1000;
    r->took_us += took_us;
    r->a->rule[f->rule].took_us += took_us;
    r->a->rule[f->rule].looks++;
    return rc;
}

/* ---- one round ---- */

static bool listens(const run *r, const automation_rule *rule, unsigned number, const automation_event *e) {
    bool first = r->round == 1 && r->only, asked = first && number == r->only->rule;
    if (first && !asked) return false;
    if (e->op == EVENT_TIMER) return number == e->chain[0];
    if ((!rule->active && !asked) || !(rule->events & e->op) || rule->t != e->t) return false;
    if (rule->any || asked || e->op != EVENT_UPDATE) return true;
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

/* Where one commit of the server's began. */
typedef struct beginning {
    ingest_position at;
    size_t caused;
} beginning;

static int begin_commit(run *r, beginning *from) {
    ingest *g = r->g;
    int rc = store_savepoint(g->s);
    if (rc) return rc;
    from->caused = g->caused.n;
    rc = ingest_own_begin(g, r->now_ms, &from->at);
    if (!rc) return SATCHEL_OK;
    store_savepoint_rollback(g->s);
    ingest_put_back(g, &from->at);
    return rc;
}

/* Undoes all since then if it fails, or if rc says that it did. */
static int end_commit(run *r, const beginning *from, int rc) {
    ingest *g = r->g;
    bool changed;
    rc = ingest_own_end(g, &from->at, rc, &changed);
    if (rc) {
        store_savepoint_rollback(g->s);
        g->caused.n = from->caused;
        g->caused.rc = SATCHEL_OK;
        return rc;
    }
    if (changed) r->last = g->clock;
    return store_savepoint_release(g->s);
}

static int fire_alone(run *r, const automation_rule *rule, firing *f) {
    beginning from;
    int rc = begin_commit(r, &from);
    if (rc) return rc;
    int fired = fire(r, rule, f);
    rc = end_commit(r, &from, fired);
    if (!rc || rc == AGAIN) return SATCHEL_OK;
    return fired ? rc : refused(r, f, rc);
}

/* What is refused only at the end of all is nobody's in particular: then each stands for itself. */
static int try_round(run *r) {
    beginning from;
    if (r->alone) return each_firing(r, fire_alone);
    int rc = begin_commit(r, &from);
    if (rc) return rc;
    int fired = each_firing(r, fire);
    rc = end_commit(r, &from, fired);
    if (fired || !rc || is_of_store(rc)) return rc;
    r->alone = true;
    return AGAIN;
}

/* ---- history ---- */

/* The entry in whose place this firing is; 0: none. */
static uint64_t replayed(const run *r) {
    return r->round == 1 && r->only ? r->only->replays : 0;
}

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
                         "INSERT INTO satchel_automation_run(name,seq,tbl,key,at_ms,ms,wrote,rc,words,event,author,stamp,replays)"
                         " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,nullif(?,0))",
                         "siibiiiisiiii", r->a->rule[f->rule].name, (int64_t)e->seq, e->t ? (int64_t)e->t->id : 0, key.p, key.n,
                         (int64_t)r->now_ms, (int64_t)f->ms, (int64_t)f->wrote, (int64_t)f->rc, f->words, (int64_t)e->op,
                         (int64_t)r->cause.author, (int64_t)r->cause.stamp, (int64_t)replayed(r));
    buf_fini(&key);
    return rc;
}

/* A timer that fails is tried again and again: it is said once. */
static int was_said(run *r, const firing *f, bool *said) {
    sqlite3_stmt *q =
        db_prepare(&r->g->s->cache, "SELECT words FROM satchel_automation_run WHERE name=? ORDER BY id DESC LIMIT 1");
    db_bind(q, "s", r->a->rule[f->rule].name);
    int rc = db_next(&r->g->s->cache, q);
    const char *words = rc == 1 ? (const char *)sqlite3_column_text(q, 0) : NULL;
    *said = words && !strcmp(words, f->words);
    if (rc == 1) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

static int note_failure(run *r, const firing *f) {
    automation_rule *rule = &r->a->rule[f->rule];
    bool said = false;
    int rc = rule->t ? SATCHEL_OK : was_said(r, f, &said);
    if (r->round == 1) r->failed = true;
    if (rc || said || rule->failures++) return rc;
    free(rule->words);
    rule->words = strdup(f->words);
    return rule->words ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int write_history(run *r) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < r->n && !rc; i++) {
        const firing *f = &r->f[i];
        if (!f->rc && !f->wrote && !f->words && !(f->fired && replayed(r))) continue;
        if (f->rc) rc = note_failure(r, f);
        if (!rc) rc = put_history(r, f);
    }
    return rc;
}

/* A line for each rule that failed. The run is over. */
static int say_failures(run *r) {
    buf *lines = &r->g->alerts;
    for (unsigned i = 0; i < r->a->n; i++) {
        automation_rule *rule = &r->a->rule[i];
        rule->stopped = false;
        rule->looks = rule->took_us = 0;
        if (!rule->failures) continue;
        buf_printf(lines, "automation %s has failed", rule->name);
        if (rule->failures > 1) buf_printf(lines, ", %llu times", (unsigned long long)rule->failures);
        size_t from = lines->n;
        buf_printf(lines, ": %s", rule->words ? rule->words : "");
        for (; from < lines->n; from++)
            if (lines->p[from] == '\n') lines->p[from] = ' ';
        buf_put_byte(lines, '\n');
        rule->failures = 0;
    }
    return lines->rc == SATCHEL_E_NOMEM ? lines->rc : SATCHEL_OK;
}

static void forget(run *r) {
    for (size_t i = 0; i < r->n; i++) free(r->f[i].words);
    r->n = 0;
}

/* ---- round after round ---- */

/* Too deep, or there is more to look at than is allowed so deep: half as much each round. */
static bool is_too_much(const run *r) {
    return r->round > LIMIT_AUTOMATION_ROUNDS || r->rows.n > (size_t)LIMIT_AUTOMATION_BYTES >> (r->round - 1);
}

/* In the place of a round too many: names the chain that would go on, once for each rule. */
static int stop_chain(run *r, const automation_rule *rule, firing *f) {
    const automation_event *e = &r->a->event;
    if (rule->stopped) return SATCHEL_OK;
    int rc = holds(r, rule, f);
    if (rc != 1) return rc;
    r->a->rule[f->rule].stopped = true;
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    if (r->round > LIMIT_AUTOMATION_ROUNDS)
        buf_printf(&words, "stopped after %d rounds: ", LIMIT_AUTOMATION_ROUNDS);
    else
        buf_printf(&words, "stopped before round %u, which is too large: ", r->round);
    for (unsigned i = 0; i < e->nchain; i++) buf_printf(&words, "%s -> ", r->a->rule[e->chain[i]].name);
    buf_printf(&words, "%s", rule->name);
    rc = fail(r, f, SATCHEL_E_LIMIT, (const char *)words.p, words.n);
    buf_fini(&words);
    return rc;
}

static int run_round(run *r) {
    int rc = AGAIN;
    r->alone = false;
    if (is_too_much(r)) rc = each_firing(r, stop_chain);
    for (unsigned tries = 0; rc == AGAIN; tries++) {
        if (tries > LIMIT_AUTOMATION_RESTARTS) r->alone = true;
        rc = try_round(r);
    }
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
        buf spent = r->rows;
        r->rows = g->caused;
        g->caused = spent;
        buf_clear(&g->caused);
        r->cause = r->last;
        r->user = r->device = value_null();
    }
    g->firing = false;
    int said = say_failures(r);
    buf_fini(&g->caused);
    buf_init(&g->caused, LIMIT_AUTOMATION_BYTES);
    buf_fini(&r->rows);
    buf_fini(&r->hold);
    free(r->f);
    return rc ? rc : said;
}

static void take_rows(run *r, buf *rows) {
    r->rows = *rows;
    buf_init(rows, LIMIT_AUTOMATION_BYTES);
}

int automation_fire(ingest *g) {
    if (g->firing || !g->caused.n) return SATCHEL_OK;
    run r = {.g = g, .a = g->rules, .now_ms = g->now_ms, .cause = g->clock};
    take_rows(&r, &g->caused);
    return run_all(&r);
}

int automation_fire_one(ingest *g, const automation_order *order, buf *rows, uint64_t now_ms, bool *fired, bool *failed) {
    run r = {.g = g, .a = g->rules, .now_ms = now_ms, .only = order, .cause = order->cause};
    take_rows(&r, rows);
    int rc = run_all(&r);
    *fired = r.fired;
    *failed = r.failed;
    return rc;
}
