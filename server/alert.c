/* The look at all that is watched, and the alerts in the store. One pass over the devices, with what is open and what has begun to hold in memory: what is as it was a minute
 * ago writes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/alert_private.h"
#include "server/scope.h"
#include "server/store_private.h"

#define MINUTE_MS 60000u
#define DAY_MS (UINT64_C(86400) * 1000)
#define MIB (UINT64_C(1) << 20)

/* A counter of this process, by the looks. A window that is longer than all of them has what was counted since the start. */
#define COUNTED 128u
typedef struct counted {
    uint64_t at_ms[COUNTED], total[COUNTED];
    unsigned n, next;
} counted;

struct alert_watch {
    counted auth;
    uint64_t grace_until_ms; /* no alert of a device is opened before */
    bool looked;
};

alert_watch *alert_watch_new(void) {
    return calloc(1, sizeof(alert_watch));
}

void alert_watch_free(alert_watch *w) {
    free(w);
}

static void count(counted *c, uint64_t total, uint64_t now_ms) {
    c->at_ms[c->next] = now_ms;
    c->total[c->next] = total;
    c->next = (c->next + 1) % COUNTED;
    if (c->n < COUNTED) c->n++;
}

/* What the counter grew by since the newest look before the window. */
static double counted_since(const counted *c, uint64_t total, uint64_t from_ms) {
    uint64_t before = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        unsigned at = (c->next + COUNTED - i) % COUNTED;
        before = c->total[at];
        if (c->at_ms[at] <= from_ms) break;
        if (i == c->n && c->n < COUNTED) before = 0;
    }
    return total > before ? (double)(total - before) : 0;
}

/* ---- one look ---- */

typedef struct watched {
    char name[LIMIT_NAME_BYTES + 1], profile[LIMIT_NAME_BYTES + 1], about[LIMIT_TEXT_BYTES], severity[16], op[3],
        sample[LIMIT_NAME_BYTES + 1];
    bool any_profile;
    alert_metric metric;
    alert_aggregation aggregation;
    uint64_t window_s;
    double threshold;
    bool has_hours;
    uint64_t hours_since_ms; /* 0: it opens nothing now */
} watched;

/* Of satchel_alert (not closed) or satchel_alert_since. */
typedef struct known {
    unsigned rule; /* its index; ALERT_RULES_MAX: it is not in force */
    int64_t subject, id;
    uint64_t since_ms;
    unsigned told;
    bool acked, met; /* met: the condition still holds */
} known;

typedef struct known_list {
    known *p;
    size_t n, cap;
} known_list;

typedef struct look {
    alert_watch *watch;
    store *s;
    const alert_figures *f;
    uint64_t now_ms;
    watched *rule;
    unsigned nrule;
    known_list open, since;
    unsigned changed;
} look;

static void copy(char *out, size_t room, const char *text) {
    snprintf(out, room, "%s", text ? text : "");
}

static int take_rule(void *ctx, const alert_rule *r) {
    look *l = ctx;
    watched *w = &l->rule[l->nrule];
    alert_metric m = alert_metric_find(r->metric);
    alert_aggregation a;
    uint64_t since = 0;
    if (!r->active || m == METRICS || !alert_aggregation_find(r->aggregation, &a)) return 0;
    if (r->hours && !alert_hours(r->hours, l->now_ms, &since)) return 0;
    *w = (watched){.any_profile = !r->profile,
                   .metric = m,
                   .aggregation = a,
                   .window_s = r->window_s,
                   .threshold = r->threshold,
                   .has_hours = r->hours != NULL,
                   .hours_since_ms = since};
    copy(w->name, sizeof w->name, r->name);
    copy(w->profile, sizeof w->profile, r->profile);
    copy(w->about, sizeof w->about, r->about);
    copy(w->severity, sizeof w->severity, r->severity);
    copy(w->op, sizeof w->op, r->op);
    copy(w->sample, sizeof w->sample, m == METRIC_SAMPLE ? strchr(r->metric, '.') + 1 : NULL);
    return ++l->nrule == ALERT_RULES_MAX;
}

/* Rules are in the order of their names, and so are the rows that are read of them. */
static unsigned rule_index(const look *l, const char *name) {
    for (unsigned i = 0; i < l->nrule; i++)
        if (!strcmp(l->rule[i].name, name)) return i;
    return ALERT_RULES_MAX;
}

static int compare_known(const void *a, const void *b) {
    const known *x = a, *y = b;
    if (x->rule != y->rule) return x->rule < y->rule ? -1 : 1;
    return x->subject < y->subject ? -1 : x->subject > y->subject;
}

static int add_known(known_list *l, const known *k) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        known *p = realloc(l->p, cap * sizeof *p);
        if (!p) return SATCHEL_E_NOMEM;
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = *k;
    return SATCHEL_OK;
}

static known *find_known(const known_list *l, unsigned rule, int64_t subject) {
    known key = {.rule = rule, .subject = subject};
    return l->n ? bsearch(&key, l->p, l->n, sizeof key, compare_known) : NULL;
}

/* `q`: rule, subject, id, since, told, acked. */
static int read_known(look *l, sqlite3_stmt *q, known_list *out) {
    int rc;
    while ((rc = db_next(&l->s->cache, q)) == 1) {
        known k = {.rule = rule_index(l, (const char *)sqlite3_column_text(q, 0)),
                   .subject = sqlite3_column_int64(q, 1),
                   .id = sqlite3_column_int64(q, 2),
                   .since_ms = (uint64_t)sqlite3_column_int64(q, 3),
                   .told = (unsigned)sqlite3_column_int64(q, 4),
                   .acked = sqlite3_column_int(q, 5) != 0};
        if ((rc = add_known(out, &k))) break;
    }
    if (q) sqlite3_reset(q);
    if (out->n) qsort(out->p, out->n, sizeof *out->p, compare_known);
    return rc;
}

/* ---- opening and closing ---- */

static int open_alert(look *l, const watched *r, int64_t subject, double v) {
    char text[64];
    alert_value_text(r->metric, v, text, sizeof text);
    sqlite3_stmt *q = db_prepare(
        &l->s->cache, "INSERT INTO satchel_alert(rule,subject,severity,opened_ms,words,value) SELECT ?1,?2,?3,?4,"
                      "coalesce((SELECT name||' ' FROM satchel_device WHERE id=?2 AND ?2<>0),'')||?5||' ('||?6||')',?7");
    db_bind(q, "sisiss", r->name, subject, r->severity, (int64_t)l->now_ms, r->about, text);
    if (q) sqlite3_bind_double(q, 7, v);
    l->changed++;
    return q ? db_run(q) : db_rc(sqlite3_extended_errcode(l->s->db));
}

/* Whether it has held for long enough. Since a time to come, by a clock that was put back, is since now. */
static int has_held(look *l, unsigned rule, int64_t subject, bool *enough) {
    const watched *r = &l->rule[rule];
    known *since = find_known(&l->since, rule, subject);
    bool has_begun = since && l->now_ms >= since->since_ms;
    *enough = has_begun && l->now_ms - since->since_ms >= r->window_s * 1000;
    if (since) since->met = true;
    if (has_begun) return SATCHEL_OK;
    return db_exec(
        &l->s->cache,
        "INSERT INTO satchel_alert_since VALUES(?,?,?) ON CONFLICT(rule,subject) DO UPDATE SET since_ms=excluded.since_ms", "sii",
        r->name, subject, (int64_t)l->now_ms);
}

/* The clock may have been put back since that was given. */
static bool has_grace(const look *l) {
    uint64_t until_ms = l->watch->grace_until_ms;
    return l->now_ms < until_ms && until_ms - l->now_ms <= ALERT_GRACE_MS;
}

/* `v` is what the rule's metric is for the subject now. */
static int judge(look *l, unsigned rule, int64_t subject, double v) {
    const watched *r = &l->rule[rule];
    known *open = find_known(&l->open, rule, subject);
    bool enough = true;
    int rc = SATCHEL_OK;
    /* What is open stays so after hours. */
    if (!open && r->has_hours) {
        double hours_s = (double)(l->now_ms - r->hours_since_ms) / 1000;
        if (!r->hours_since_ms) return SATCHEL_OK;
        if (alert_metric_is_seconds(r->metric) && v > hours_s) v = hours_s;
    }
    if (!alert_condition(r->op, v, r->threshold)) return SATCHEL_OK;
    if (r->aggregation == AGG_HELD) rc = has_held(l, rule, subject, &enough);
    if (open) open->met = true;
    if (rc || open || !enough || (subject && has_grace(l))) return rc;
    return open_alert(l, r, subject, v);
}

/* What is over before it could be told that way, because nobody tells, it was silenced, or somebody knew of it, need not be told any more. */
static int close_alert(look *l, const known *k) {
    unsigned told = k->told;
    int64_t silenced = 0;
    sqlite3_stmt *q = db_prepare(
        &l->s->cache, "SELECT count(*) FROM satchel_alert a JOIN satchel_silence x ON x.rule=a.rule AND (x.subject IS NULL OR"
                      " x.subject=a.subject) WHERE a.id=? AND until_ms>?");
    db_bind(q, "ii", k->id, (int64_t)l->now_ms);
    int rc = db_next(&l->s->cache, q);
    if (rc == 1) silenced = sqlite3_column_int64(q, 0);
    if (q) sqlite3_reset(q);
    if (rc < 0) return rc;
    for (alert_way way = 0; way < ALERT_WAYS; way++)
        if (!(l->f->ways & 1u << way) || (!(told & ALERT_TOLD_OPEN(way)) && (silenced || k->acked))) told |= ALERT_TOLD(way);
    l->changed++;
    return db_exec(&l->s->cache, "UPDATE satchel_alert SET state='closed',closed_ms=?,told=? WHERE id=?", "iii",
                   (int64_t)l->now_ms, (int64_t)told, k->id);
}

static int close_what_is_over(look *l) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; !rc && i < l->open.n; i++)
        if (!l->open.p[i].met) rc = close_alert(l, &l->open.p[i]);
    for (size_t i = 0; !rc && i < l->since.n; i++) {
        const known *k = &l->since.p[i];
        if (k->met || k->rule == ALERT_RULES_MAX) continue;
        rc = db_exec(&l->s->cache, "DELETE FROM satchel_alert_since WHERE rule=? AND subject=?", "si", l->rule[k->rule].name,
                     k->subject);
    }
    if (rc) return rc;
    return db_exec(
        &l->s->cache,
        "DELETE FROM satchel_alert_since WHERE rule<>'' AND rule NOT IN (SELECT name FROM satchel_alert_rule WHERE active)", "");
}

/* ---- devices ---- */

/* What is known of one. */
typedef struct device_row {
    int64_t id;
    int state;
    const char *profile;
    uint64_t seen_ms, enrolled_ms, state_ms, horizon_ms, refused_ms; /* refused_ms: the oldest that is open; 0: none */
    uint64_t version_ms; /* when it came last, if its Satchel was refused then; else 0 */
    int64_t pending, clock_offset_ms, behind;
    double storage_percent; /* < 0: not told */
} device_row;

static double seconds_since(const look *l, uint64_t ms) {
    return l->now_ms > ms ? (double)(l->now_ms - ms) / 1000 : 0;
}

/* False: it is none of this device's. */
static bool value_of(const look *l, const device_row *d, alert_metric m, double *out) {
    bool active = d->state == DEVICE_ACTIVE, came = active && d->seen_ms;
    switch (m) {
    case METRIC_SILENT:
        *out = seconds_since(l, d->seen_ms ? d->seen_ms : d->enrolled_ms);
        return active;
    case METRIC_PENDING:
        *out = (double)d->pending;
        return active;
    case METRIC_SKEW:
        *out = (double)(d->clock_offset_ms < 0 ? -d->clock_offset_ms : d->clock_offset_ms) / 1000;
        return came;
    case METRIC_BEHIND:
        *out = (double)d->behind;
        return came;
    case METRIC_DAYS_LEFT:
        *out = ((double)d->horizon_ms / 1000 - seconds_since(l, d->seen_ms)) / 86400;
        return came;
    case METRIC_REFUSAL:
        *out = d->refused_ms ? seconds_since(l, d->refused_ms) : 0;
        return d->state != DEVICE_WIPE;
    case METRIC_WIPE:
        *out = seconds_since(l, d->state_ms);
        return d->state == DEVICE_WIPE;
    case METRIC_VERSION:
        *out = seconds_since(l, d->version_ms);
        return active && d->version_ms;
    case METRIC_STORAGE:
        *out = d->storage_percent;
        return active && d->storage_percent >= 0;
    default:
        return false;
    }
}

/* Amid a rollout a device whose profile is P@next is one of P's (rollout.h); one without a profile is of "full", as people are told. */
static bool is_of(const char *profile, const char *rule) {
    size_t n = strlen(rule);
    if (!profile) return !strcmp(rule, "full");
    return strncmp(profile, rule, n) == 0 && (!profile[n] || !strcmp(profile + n, SCOPE_NEXT));
}

static int judge_device(look *l, const device_row *d) {
    int rc = SATCHEL_OK;
    double v;
    for (unsigned i = 0; !rc && i < l->nrule; i++) {
        const watched *r = &l->rule[i];
        if (r->metric >= METRIC_OF_DEVICES || !value_of(l, d, r->metric, &v)) continue;
        if (r->any_profile || is_of(d->profile, r->profile)) rc = judge(l, i, d->id, v);
    }
    return rc;
}

static bool has_device_rule(const look *l) {
    for (unsigned i = 0; i < l->nrule; i++)
        if (l->rule[i].metric < METRIC_OF_DEVICES) return true;
    return false;
}

static int look_at_devices(look *l) {
    if (!has_device_rule(l)) return SATCHEL_OK;
    sqlite3_stmt *q = db_prepare(
        &l->s->cache,
        "SELECT d.id,d.state,d.profile,d.last_seen_ms,d.enrolled_ms,d.state_ms,p.horizon_days,o.at_ms,d.pending,d.clock_offset_ms,"
        "d.schema_epoch,(SELECT iif(y.end_rc=?,y.ended_ms,0) FROM satchel_sync y WHERE y.device=d.id ORDER BY y.begun_ms DESC LIMIT 1),"
        "coalesce(100.0*d.held_bytes/d.room_bytes,-1) FROM satchel_device d LEFT JOIN satchel_profile p ON p.name=d.profile LEFT JOIN"
        " (SELECT a.device AS device,min(r.at_ms) AS at_ms FROM satchel_refused f JOIN satchel_result r ON r.author=f.author AND"
        " r.number=f.number JOIN satchel_author a ON a.author=f.author WHERE f.state='open' GROUP BY a.device) o ON o.device=d.id"
        " WHERE d.state IN (1,4,5)");
    db_bind(q, "i", (int64_t)SATCHEL_E_VERSION);
    uint32_t epoch = store_where(l->s).schema_epoch;
    int rc;
    while ((rc = db_next(&l->s->cache, q)) == 1) {
        device_row d = {.id = sqlite3_column_int64(q, 0),
                        .state = sqlite3_column_int(q, 1),
                        .profile = (const char *)sqlite3_column_text(q, 2),
                        .seen_ms = (uint64_t)sqlite3_column_int64(q, 3),
                        .enrolled_ms = (uint64_t)sqlite3_column_int64(q, 4),
                        .state_ms = (uint64_t)sqlite3_column_int64(q, 5),
                        .horizon_ms = (uint64_t)sqlite3_column_int64(q, 6) * DAY_MS,
                        .refused_ms = (uint64_t)sqlite3_column_int64(q, 7),
                        .pending = sqlite3_column_int64(q, 8),
                        .clock_offset_ms = sqlite3_column_int64(q, 9),
                        .behind = (int64_t)epoch - sqlite3_column_int64(q, 10),
                        .version_ms = (uint64_t)sqlite3_column_int64(q, 11),
                        .storage_percent = sqlite3_column_double(q, 12)};
        if (!d.horizon_ms) d.horizon_ms = l->f->horizon_ms;
        if ((rc = judge_device(l, &d))) break;
    }
    if (q) sqlite3_reset(q);
    return rc;
}

/* ---- the server ---- */

/* One figure by a statement that takes up to two numbers; false: there is none. */
static int figure(look *l, const char *sql, const char *text, int64_t from, int64_t to, double *out, bool *is) {
    sqlite3_stmt *q = db_prepare(&l->s->cache, sql);
    db_bind(q, "iis", from, to, text);
    int rc = db_next(&l->s->cache, q);
    *is = rc == 1 && sqlite3_column_type(q, 0) != SQLITE_NULL;
    if (*is) *out = sqlite3_column_double(q, 0);
    if (q) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

/* All of them take name, first and last minute, and are of no use without a sample. */
#define OF_SAMPLES(what) "SELECT " what " FROM satchel_sample WHERE minute>=?1 AND minute<=?2 AND name=?3"

static int sample(look *l, const watched *r, double *out, bool *is) {
    int64_t minute = (int64_t)(l->now_ms / MINUTE_MS), from = minute - (int64_t)(r->window_s / 60);
    switch (r->aggregation) {
    case AGG_SUM:
        return figure(l, OF_SAMPLES("sum(value)"), r->sample, from, minute, out, is);
    case AGG_MIN:
        return figure(l, OF_SAMPLES("min(value)"), r->sample, from, minute, out, is);
    case AGG_MAX:
        return figure(l, OF_SAMPLES("max(value)"), r->sample, from, minute, out, is);
    case AGG_AVG:
        return figure(l, OF_SAMPLES("avg(value)"), r->sample, from, minute, out, is);
    default:
        return figure(l, OF_SAMPLES("value") " ORDER BY minute DESC LIMIT 1", r->sample, minute - 5, minute, out, is);
    }
}

/* Events of the window; with `week`, of the seven days before it. */
static int events(look *l, const watched *r, bool week, double *out) {
    bool is;
    uint64_t to = l->now_ms + 1, from = l->now_ms > r->window_s * 1000 ? l->now_ms - r->window_s * 1000 : 0;
    if (week) {
        to = from;
        from = from > 7 * DAY_MS ? from - 7 * DAY_MS : 0;
    }
    if (r->metric == METRIC_CONFLICTS)
        return figure(l, "SELECT count(*) FROM satchel_conflict WHERE at_ms>=? AND at_ms<?", NULL, (int64_t)from, (int64_t)to,
                      out, &is);
    *out = counted_since(&l->watch->auth, l->f->auth_failures, from) -
           (week ? counted_since(&l->watch->auth, l->f->auth_failures, to) : 0);
    return SATCHEL_OK;
}

static int ratio(look *l, const watched *r, double *out) {
    double now = 0, week = 0;
    int rc = events(l, r, false, &now);
    if (!rc) rc = events(l, r, true, &week);
    double mean = week * (double)r->window_s / (7 * 86400);
    *out = now / (mean > ALERT_RATIO_LEAST ? mean : ALERT_RATIO_LEAST);
    return rc;
}

static int value_of_server(look *l, const watched *r, double *out, bool *is) {
    *is = true;
    *out = 0;
    switch (r->metric) {
    case METRIC_BACKUP: {
        uint64_t at_ms = 0;
        int rc = store_last_backup(l->s, &at_ms);
        int64_t created = 0;
        if (!rc && !at_ms) rc = db_integer(&l->s->cache, "SELECT created_ms FROM satchel_server", 0, &created);
        *out = seconds_since(l, at_ms ? at_ms : (uint64_t)created);
        return rc;
    }
    case METRIC_AUTOMATIONS:
        return figure(l,
                      "SELECT count(*) FROM satchel_automation_run INDEXED BY satchel_automation_run_failed WHERE rc<>0 AND"
                      " settled_ms IS NULL",
                      NULL, 0, 0, out, is);
    case METRIC_NOTICES:
        *out = l->f->notice_failed_ms ? seconds_since(l, l->f->notice_failed_ms) : 0;
        return SATCHEL_OK;
    case METRIC_DISK:
        *out = (double)(l->f->disk_free / MIB);
        *is = l->f->disk_free > 0;
        return SATCHEL_OK;
    case METRIC_SAMPLE:
        return sample(l, r, out, is);
    default:
        return r->aggregation == AGG_RATIO ? ratio(l, r, out) : events(l, r, false, out);
    }
}

static int look_at_server(look *l) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < l->nrule; i++) {
        double v;
        bool is;
        if (l->rule[i].metric < METRIC_OF_DEVICES) continue;
        rc = value_of_server(l, &l->rule[i], &v, &is);
        if (!rc && is) rc = judge(l, i, 0, v);
    }
    return rc;
}

/* ---- the whole ---- */

/* The time of the last look is kept as if it were what a nameless rule waits for. */
static int note_look(look *l) {
    alert_watch *w = l->watch;
    int64_t last = 0;
    int rc =
        w->looked ? SATCHEL_OK : db_integer(&l->s->cache, "SELECT since_ms FROM satchel_alert_since WHERE rule=''", 0, &last);
    if (!rc && last && l->now_ms > (uint64_t)last + ALERT_GAP_MS) w->grace_until_ms = l->now_ms + ALERT_GRACE_MS;
    w->looked = true;
    if (rc) return rc;
    return db_exec(
        &l->s->cache,
        "INSERT INTO satchel_alert_since VALUES('',0,?) ON CONFLICT(rule,subject) DO UPDATE SET since_ms=excluded.since_ms", "i",
        (int64_t)l->now_ms);
}

static int forget_old(look *l) {
    int rc = db_exec(&l->s->cache, "DELETE FROM satchel_alert WHERE state='closed' AND closed_ms<?", "i",
                     (int64_t)l->now_ms - (int64_t)(ALERT_KEPT_DAYS * DAY_MS));
    return rc ? rc : db_exec(&l->s->cache, "DELETE FROM satchel_silence WHERE until_ms<=?", "i", (int64_t)l->now_ms);
}

int alert_look(alert_watch *w, store *s, const alert_figures *f, uint64_t now_ms, unsigned *changed) {
    look l = {.watch = w, .s = s, .f = f, .now_ms = now_ms};
    *changed = 0;
    l.rule = calloc(ALERT_RULES_MAX, sizeof *l.rule);
    int rc = l.rule ? note_look(&l) : SATCHEL_E_NOMEM;
    if (!rc) rc = alert_rules(&s->cache, take_rule, &l);
    if (!rc)
        rc = read_known(
            &l,
            db_prepare(&s->cache, "SELECT rule,subject,id,opened_ms,told,state='acked' FROM satchel_alert WHERE state<>'closed'"),
            &l.open);
    if (!rc)
        rc = read_known(&l, db_prepare(&s->cache, "SELECT rule,subject,0,since_ms,0,0 FROM satchel_alert_since WHERE rule<>''"),
                        &l.since);
    if (!rc) rc = look_at_devices(&l);
    if (!rc) rc = look_at_server(&l);
    if (!rc) rc = close_what_is_over(&l);
    if (!rc) rc = forget_old(&l);
    count(&w->auth, f->auth_failures, now_ms);
    *changed = rc ? 0 : l.changed;
    free(l.open.p);
    free(l.since.p);
    free(l.rule);
    return rc;
}

/* ---- alerts, for who reads and who tells ---- */

#define SILENT_UNTIL                                                                                                             \
    "(SELECT max(until_ms) FROM satchel_silence x WHERE x.rule=a.rule AND (x.subject IS NULL OR x.subject=a.subject) AND until_ms>?1)"
#define INFO                                                                                                                     \
    "SELECT a.id,a.subject,a.rule,d.name,a.severity,a.state,a.words,a.acked_by,a.opened_ms,a.acked_ms,a.closed_ms," SILENT_UNTIL \
    ",a.value,a.told FROM satchel_alert a LEFT JOIN satchel_device d ON d.id=a.subject AND a.subject<>0 "

static int visit_alerts(db_cache *db, sqlite3_stmt *q, int (*visit)(void *ctx, const alert_info *), void *ctx) {
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        alert_info a = {.id = sqlite3_column_int64(q, 0),
                        .subject = sqlite3_column_int64(q, 1),
                        .rule = (const char *)sqlite3_column_text(q, 2),
                        .name = (const char *)sqlite3_column_text(q, 3),
                        .severity = (const char *)sqlite3_column_text(q, 4),
                        .state = (const char *)sqlite3_column_text(q, 5),
                        .words = (const char *)sqlite3_column_text(q, 6),
                        .acked_by = (const char *)sqlite3_column_text(q, 7),
                        .opened_ms = (uint64_t)sqlite3_column_int64(q, 8),
                        .acked_ms = (uint64_t)sqlite3_column_int64(q, 9),
                        .closed_ms = (uint64_t)sqlite3_column_int64(q, 10),
                        .silent_until_ms = (uint64_t)sqlite3_column_int64(q, 11),
                        .value = sqlite3_column_double(q, 12),
                        .told = (unsigned)sqlite3_column_int64(q, 13)};
        if (visit(ctx, &a)) break;
    }
    if (q) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

int alert_list(db_cache *db, bool all, uint64_t limit, uint64_t now_ms, int (*visit)(void *ctx, const alert_info *), void *ctx) {
    sqlite3_stmt *q = all ? db_prepare(db, INFO "ORDER BY a.id DESC LIMIT ?2")
                          : db_prepare(db, INFO "WHERE a.state<>'closed' ORDER BY a.id DESC LIMIT ?2");
    db_bind(q, "ii", (int64_t)now_ms, (int64_t)limit);
    return visit_alerts(db, q, visit, ctx);
}

int alert_untold(db_cache *db, alert_way way, uint64_t limit, uint64_t now_ms, int (*visit)(void *ctx, const alert_info *),
                 void *ctx) {
    sqlite3_stmt *q = db_prepare(
        db, INFO "WHERE ((a.state='open' AND NOT a.told&?3) OR (a.state='closed' AND NOT a.told&?4 AND a.closed_ms>?5))"
                 " AND " SILENT_UNTIL " IS NULL ORDER BY a.id LIMIT ?2");
    db_bind(q, "iiiii", (int64_t)now_ms, (int64_t)limit, (int64_t)ALERT_TOLD_OPEN(way), (int64_t)ALERT_TOLD_END(way),
            (int64_t)now_ms - (int64_t)(ALERT_TOLD_DAYS * DAY_MS));
    return visit_alerts(db, q, visit, ctx);
}

int alert_told(store *s, int64_t id, unsigned bits) {
    return db_exec(&s->cache, "UPDATE satchel_alert SET told=told|? WHERE id=?", "ii", (int64_t)bits, id);
}

int alert_ack(store *s, int64_t id, const char *by, uint64_t now_ms) {
    int rc = db_exec(&s->cache, "UPDATE satchel_alert SET state='acked',acked_ms=?,acked_by=? WHERE id=? AND state='open'", "isi",
                     (int64_t)now_ms, by, id);
    if (rc || sqlite3_changes(s->db)) return rc;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT 1 FROM satchel_alert WHERE id=? AND state='acked'");
    db_bind(q, "i", id);
    rc = db_next(&s->cache, q);
    if (q) sqlite3_reset(q);
    return rc == 1 ? SATCHEL_OK : rc ? rc : SATCHEL_E_NOT_FOUND;
}

/* ---- silence ---- */

/* -1: all of the rule, which is NULL in the store. */
#define SUBJECT "nullif(?2,-1)"

int alert_silence_end(store *s, const char *rule, int64_t subject) {
    int rc = db_exec(&s->cache, "DELETE FROM satchel_silence WHERE rule=?1 AND subject IS " SUBJECT, "si", rule, subject);
    return rc ? rc : sqlite3_changes(s->db) ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

int alert_silence_set(store *s, const char *rule, int64_t subject, uint64_t until_ms, const char *by) {
    int rc = alert_silence_end(s, rule, subject);
    if (rc && rc != SATCHEL_E_NOT_FOUND) return rc;
    rc = db_exec(&s->cache,
                 "INSERT INTO satchel_silence(rule,subject,until_ms,by) SELECT ?1," SUBJECT
                 ",?3,?4 FROM satchel_alert_rule WHERE name=?1",
                 "siis", rule, subject, (int64_t)until_ms, by);
    return rc ? rc : sqlite3_changes(s->db) ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

int alert_silences(db_cache *db, uint64_t now_ms, int (*visit)(void *ctx, const alert_silence *), void *ctx) {
    sqlite3_stmt *q =
        db_prepare(db, "SELECT s.id,coalesce(s.subject,-1),s.rule,d.name,s.by,s.until_ms FROM satchel_silence s LEFT JOIN"
                       " satchel_device d ON d.id=s.subject WHERE until_ms>? ORDER BY s.rule,s.subject");
    db_bind(q, "i", (int64_t)now_ms);
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        alert_silence a = {.id = sqlite3_column_int64(q, 0),
                           .subject = sqlite3_column_int64(q, 1),
                           .rule = (const char *)sqlite3_column_text(q, 2),
                           .name = (const char *)sqlite3_column_text(q, 3),
                           .by = (const char *)sqlite3_column_text(q, 4),
                           .until_ms = (uint64_t)sqlite3_column_int64(q, 5)};
        if (visit(ctx, &a)) break;
    }
    if (q) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}
