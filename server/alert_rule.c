/* What a rule of alerts may say, and the rules in the store. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/satchel_rc.h"
#include "protocol/value.h"
#include "server/alert_private.h"
#include "server/store_private.h"

/* ---- metrics and how their values become one ---- */

typedef enum unit { COUNT, SECONDS, DAYS, MIB, PERCENT } unit;
#define BIT(aggregation) (1u << (aggregation))
#define OF_GAUGE (BIT(AGG_LAST) | BIT(AGG_HELD))
#define OF_EVENTS (BIT(AGG_SUM) | BIT(AGG_RATIO))
#define OF_SAMPLES (BIT(AGG_LAST) | BIT(AGG_SUM) | BIT(AGG_MIN) | BIT(AGG_MAX) | BIT(AGG_AVG))
#define SAMPLE_PREFIX "sample."

static const struct {
    const char *name;
    unit unit;
    unsigned aggregations;
} metrics[METRICS] = {
    [METRIC_SILENT] = {"device.silent_s", SECONDS, OF_GAUGE},
    [METRIC_PENDING] = {"device.pending", COUNT, OF_GAUGE},
    [METRIC_SKEW] = {"device.clock_skew_s", SECONDS, OF_GAUGE},
    [METRIC_BEHIND] = {"device.schema_behind", COUNT, OF_GAUGE},
    [METRIC_DAYS_LEFT] = {"device.offline_days_left", DAYS, OF_GAUGE},
    [METRIC_REFUSAL] = {"device.refusal_age_s", SECONDS, OF_GAUGE},
    [METRIC_WIPE] = {"device.wipe_wait_s", SECONDS, OF_GAUGE},
    [METRIC_VERSION] = {"device.version_refused_s", SECONDS, OF_GAUGE},
    [METRIC_STORAGE] = {"device.storage_percent", PERCENT, OF_GAUGE},
    [METRIC_BACKUP] = {"server.backup_age_s", SECONDS, OF_GAUGE},
    [METRIC_AUTOMATIONS] = {"server.automations_failed", COUNT, OF_GAUGE},
    [METRIC_NOTICES] = {"server.notice_failing_s", SECONDS, OF_GAUGE},
    [METRIC_DISK] = {"server.disk_free_mib", MIB, OF_GAUGE},
    [METRIC_CONFLICTS] = {"server.conflicts", COUNT, OF_EVENTS},
    [METRIC_AUTH] = {"server.auth_failures", COUNT, OF_EVENTS},
    [METRIC_SAMPLE] = {SAMPLE_PREFIX, COUNT, OF_SAMPLES},
};
static const char *const aggregations[] = {"last", "held", "sum", "ratio", "min", "max", "avg"};
#define AGGREGATIONS (sizeof aggregations / sizeof *aggregations)

alert_metric alert_metric_find(const char *name) {
    for (alert_metric m = 0; m < METRIC_SAMPLE; m++)
        if (!strcmp(metrics[m].name, name)) return m;
    bool sample = !strncmp(name, SAMPLE_PREFIX, strlen(SAMPLE_PREFIX)) && name[strlen(SAMPLE_PREFIX)];
    return sample ? METRIC_SAMPLE : METRICS;
}

bool alert_metric_is_seconds(alert_metric m) {
    return metrics[m].unit == SECONDS;
}

bool alert_aggregation_find(const char *name, alert_aggregation *out) {
    for (size_t i = 0; i < AGGREGATIONS; i++) {
        if (strcmp(aggregations[i], name)) continue;
        *out = (alert_aggregation)i;
        return true;
    }
    return false;
}

static bool is_op(const char *op) {
    return !strcmp(op, "<") || !strcmp(op, "<=") || !strcmp(op, ">") || !strcmp(op, ">=");
}

bool alert_condition(const char *op, double v, double threshold) {
    bool equal = op[1] == '=';
    if (*op == '<') return equal ? v <= threshold : v < threshold;
    return equal ? v >= threshold : v > threshold;
}

static void duration_text(double seconds, char *out, size_t room) {
    long long s = (long long)seconds, d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;
    if (d)
        snprintf(out, room, "%lld d %lld h", d, h);
    else if (h)
        snprintf(out, room, "%lld h %lld min", h, m);
    else if (m)
        snprintf(out, room, "%lld min", m);
    else
        snprintf(out, room, "%lld s", s);
}

void alert_value_text(alert_metric m, double v, char *out, size_t room) {
    switch (metrics[m].unit) {
    case SECONDS:
        duration_text(v, out, room);
        break;
    case DAYS:
        snprintf(out, room, "%.1f days", v);
        break;
    case MIB:
        snprintf(out, room, "%.0f MiB", v);
        break;
    case PERCENT:
        snprintf(out, room, "%.1f %%", v);
        break;
    default:
        snprintf(out, room, "%.6g", v);
    }
}

/* ---- hours ---- */

static int day_of(const char *text) {
    static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    for (int i = 0; i < 7; i++)
        if (!strncmp(days[i], text, 3)) return i;
    return -1;
}

bool alert_hours(const char *text, uint64_t now_ms, uint64_t *since_ms) {
    char first[4] = "sun", last[4] = "sat";
    unsigned h1, m1, h2, m2;
    int end = -1;
    *since_ms = 0;
    if (sscanf(text, "%3[a-z]-%3[a-z] %2u:%2u-%2u:%2u%n", first, last, &h1, &m1, &h2, &m2, &end) != 6) {
        memcpy(first, "sun", sizeof first);
        memcpy(last, "sat", sizeof last);
        if (sscanf(text, "%2u:%2u-%2u:%2u%n", &h1, &m1, &h2, &m2, &end) != 4) return false;
    }
    int from = day_of(first), to = day_of(last);
    if (end < 0 || text[end] || from < 0 || to < 0 || h1 > 23 || m1 > 59 || h2 > 24 || m2 > 59) return false;
    unsigned begins = h1 * 60 + m1, ends = h2 * 60 + m2;
    if (begins >= ends || ends > 24 * 60) return false;
    struct tm tm;
    time_t now = (time_t)(now_ms / 1000);
    if (!localtime_r(&now, &tm)) return true;
    unsigned minute = (unsigned)(tm.tm_hour * 60 + tm.tm_min);
    bool day = from <= to ? tm.tm_wday >= from && tm.tm_wday <= to : tm.tm_wday >= from || tm.tm_wday <= to;
    if (day && minute >= begins && minute < ends)
        *since_ms = now_ms - ((uint64_t)(minute - begins) * 60 + (uint64_t)tm.tm_sec) * 1000;
    return true;
}

/* ---- one rule ---- */

static int misuse(buf *error, const char *words, const char *what) {
    buf_printf(error, words, what);
    return SATCHEL_E_MISUSE;
}

static bool is_word(const char *text) {
    size_t n = strlen(text);
    return n && n <= LIMIT_NAME_BYTES && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static bool is_line(const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f) return false;
    return strlen(text) <= LIMIT_TEXT_BYTES / 2 && value_utf8_valid((const uint8_t *)text, strlen(text));
}

int alert_rule_check(const alert_rule *r, buf *error) {
    uint64_t since;
    alert_aggregation a;
    if (!is_word(r->name)) return misuse(error, "a rule's name has small letters, digits, '-', '_' and '.', not \"%s\"", r->name);
    alert_metric m = alert_metric_find(r->metric);
    if (m == METRICS) return misuse(error, "there is no metric \"%s\"; satchelctl(8) lists them", r->metric);
    if (!alert_aggregation_find(r->aggregation, &a) || !(metrics[m].aggregations & BIT(a)))
        return misuse(error,
                      m == METRIC_SAMPLE                    ? "of a sample it is last, sum, min, max or avg, not \"%s\""
                      : metrics[m].aggregations == OF_GAUGE ? "of this metric it is last or held, not \"%s\""
                                                            : "of this metric it is sum or ratio, not \"%s\"",
                      r->aggregation);
    if (!is_op(r->op)) return misuse(error, "a condition is <, <=, > or >=, not \"%s\"", r->op);
    if (!isfinite(r->threshold)) return misuse(error, "the threshold is no number%s", "");
    uint64_t longest_s = m == METRIC_SAMPLE ? ALERT_WINDOW_SAMPLES_S : ALERT_WINDOW_MAX_S;
    if (a == AGG_LAST && r->window_s) return misuse(error, "the value now has no window%s", "");
    if (a != AGG_LAST && (!r->window_s || r->window_s > longest_s))
        return misuse(error, "it needs a window of up to %s days", m == METRIC_SAMPLE ? "two" : "thirty");
    if (strcmp(r->severity, "info") && strcmp(r->severity, "warning") && strcmp(r->severity, "critical"))
        return misuse(error, "it is info, warning or critical, not \"%s\"", r->severity);
    if (r->profile && m >= METRIC_OF_DEVICES) return misuse(error, "a profile is for metrics of devices%s", "");
    if (r->hours && !alert_hours(r->hours, 0, &since))
        return misuse(error, "hours are as in \"mon-sat 08:00-20:00\" or \"08:00-20:00\", not \"%s\"", r->hours);
    if (!is_line(r->about)) return misuse(error, "what it is about has to be one line%s", "");
    return SATCHEL_OK;
}

/* ---- rules in the store ---- */

int alert_rule_set(store *s, const alert_rule *r, buf *error) {
    int64_t others;
    int rc = alert_rule_check(r, error);
    if (rc) return rc;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT count(*) FROM satchel_alert_rule WHERE name<>?");
    db_bind(q, "s", r->name);
    if ((rc = db_next(&s->cache, q)) < 0) return rc;
    others = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (others >= ALERT_RULES_MAX) return misuse(error, "there are as many rules as may be%s", "");
    q = db_prepare(
        &s->cache,
        "INSERT INTO satchel_alert_rule(name,metric,aggregation,window_s,op,severity,profile,hours,active,about,threshold)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?11) ON CONFLICT(name) DO UPDATE SET metric=excluded.metric,"
        " aggregation=excluded.aggregation,window_s=excluded.window_s,op=excluded.op,threshold=excluded.threshold,"
        " severity=excluded.severity,profile=excluded.profile,hours=excluded.hours,active=excluded.active,about=excluded.about");
    db_bind(q, "sssissssis", r->name, r->metric, r->aggregation, (int64_t)r->window_s, r->op, r->severity, r->profile, r->hours,
            (int64_t)r->active, r->about);
    if (q) sqlite3_bind_double(q, 11, r->threshold);
    rc = q ? db_run(q) : db_rc(sqlite3_extended_errcode(s->db));
    /* Another condition has not held yet. */
    if (!rc) rc = db_exec(&s->cache, "DELETE FROM satchel_alert_since WHERE rule=?", "s", r->name);
    return rc;
}

int alert_rule_switch(store *s, const char *name, bool on) {
    int rc = db_exec(&s->cache, "UPDATE satchel_alert_rule SET active=? WHERE name=?", "is", (int64_t)on, name);
    return rc ? rc : sqlite3_changes(s->db) ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

static const char *text_at(sqlite3_stmt *q, int column) {
    return (const char *)sqlite3_column_text(q, column);
}

int alert_rules(db_cache *db, int (*visit)(void *ctx, const alert_rule *), void *ctx) {
    sqlite3_stmt *q = db_prepare(db, "SELECT name,metric,aggregation,op,severity,profile,hours,about,window_s,threshold,active"
                                     " FROM satchel_alert_rule ORDER BY name");
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        alert_rule r = {.name = text_at(q, 0),
                        .metric = text_at(q, 1),
                        .aggregation = text_at(q, 2),
                        .op = text_at(q, 3),
                        .severity = text_at(q, 4),
                        .profile = text_at(q, 5),
                        .hours = text_at(q, 6),
                        .about = text_at(q, 7),
                        .window_s = (uint64_t)sqlite3_column_int64(q, 8),
                        .threshold = sqlite3_column_double(q, 9),
                        .active = sqlite3_column_int(q, 10) != 0};
        if (visit(ctx, &r)) break;
    }
    if (q) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}
