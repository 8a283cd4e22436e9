/* How all is, on one page; and figures over time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/console_private.h"

/* ---- GET /v1/admin/overview ---- */

#define COUNT_HEALTH(name) "coalesce(sum(health='" name "'),0) AS " name
static const char DEVICES[] =
    "SELECT coalesce(sum(state=1),0) AS active," COUNT_HEALTH("current") "," COUNT_HEALTH("late") "," COUNT_HEALTH("silent") "," COUNT_HEALTH(
        "never") ",coalesce(sum(console_online(id)),0) AS online,coalesce(sum(health='silent' AND last_seen_ms<?1-604800000),0) AS silent_7d,"
                 "coalesce(sum(state=4),0) AS paused,coalesce(sum(state=2),0) AS revoked,coalesce(sum(state=5),0) AS to_be_wiped,"
                 "coalesce(sum(state=6),0) AS wiped,"
                 "coalesce(sum(state=1 AND last_seen_ms>0 AND schema_epoch<(SELECT max(epoch) FROM satchel_migration)),0) AS behind_schema,"
                 "coalesce(sum(state=1 AND abs(clock_offset_ms)>300000),0) AS clock_off"
                 " FROM (SELECT d.*," CONSOLE_HEALTH " AS health FROM satchel_device d WHERE d." DEVICE_LISTED ")";

static const struct {
    const char *name, *sql;
} PARTS[] = {
    {"devices", DEVICES},
    {"waiting", "SELECT coalesce(sum(pending),0) AS changes,count(*) AS devices,min(last_seen_ms) AS since_ms FROM satchel_device"
                " WHERE state IN (1,4) AND pending>0"},
    {"refusals",
     "SELECT count(*) AS open,min(r.at_ms) AS oldest_ms FROM satchel_refused f JOIN satchel_result r USING(author,number)"
     " WHERE f.state='open'"},
    {"conflicts", "SELECT (SELECT count(*) FROM satchel_conflict WHERE at_ms>=?1-86400000) AS day,"
                  "(SELECT count(*) FROM satchel_conflict WHERE state='open') AS open"},
    {"alerts", "SELECT (SELECT count(*) FROM satchel_alert WHERE state='open') AS open,"
               "(SELECT count(*) FROM satchel_alert WHERE state='acked') AS acked"},
#define RATE(figure, name)                                                                                                       \
    "coalesce((SELECT value FROM satchel_sample WHERE name='" figure                                                             \
    "' AND minute>=?1/60000-2 ORDER BY minute DESC LIMIT 1),0) AS " name
    {"rates", "SELECT " RATE("pushed", "pushed") "," RATE("pulled", "pulled") "," RATE("bytes_in", "bytes_in") "," RATE(
                  "bytes_out", "bytes_out")},
#undef RATE
    {"automations",
     "SELECT count(*) AS runs_day,coalesce(sum(rc<>0 AND settled_ms IS NULL),0) AS failed_day FROM satchel_automation_run"
     " WHERE at_ms>=?1-86400000"},
};

static void put_percentile(buf *out, const char *name, const uint64_t *ms, size_t n, unsigned per_mille) {
    if (n)
        buf_printf(out, ",\"%s\":%.0f", name, history_percentile(ms, n, per_mille));
    else
        buf_printf(out, ",\"%s\":null", name);
}

/* Of the last hour: how long it took until a device had all that there was, or was gone. */
static int put_syncs(console *k, buf *out) {
    db_cache *cache = &k->file->cache;
    uint64_t *ms = NULL;
    size_t n = 0, room = 0, failed = 0;
    int rc;
    sqlite3_stmt *q = db_prepare(
        cache, "SELECT coalesce(current_ms,ended_ms)-begun_ms AS ms,console_error(end_rc) IS NOT NULL FROM satchel_sync"
               " WHERE begun_ms>=? AND ended_ms>=begun_ms ORDER BY ms");
    db_bind(q, "i", k->now_ms - 3600000);
    while ((rc = db_next(cache, q)) == 1) {
        if (n == room) {
            uint64_t *more = realloc(ms, (room = 2 * room + 256) * sizeof *more);
            if (!more) {
                rc = SATCHEL_E_NOMEM;
                sqlite3_reset(q);
                break;
            }
            ms = more;
        }
        ms[n++] = (uint64_t)sqlite3_column_int64(q, 0);
        failed += sqlite3_column_int(q, 1) != 0;
    }
    buf_printf(out, "\"syncs\":{\"hour\":%zu,\"failed\":%zu", n, failed);
    put_percentile(out, "p50_ms", ms, n, 500);
    put_percentile(out, "p95_ms", ms, n, 950);
    put_percentile(out, "p99_ms", ms, n, 990);
    buf_put_byte(out, '}');
    free(ms);
    return rc;
}

static int put_server(console *k, buf *out) {
    service *sv = k->service;
    hub_stats stats;
    int64_t bytes = 0;
    uint64_t backup_ms = 0;
    hub_get_stats(sv->hub, &stats);
    int rc = db_integer(&k->file->cache, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size", 0, &bytes);
    if (!rc) rc = store_last_backup(&k->over, &backup_ms);
    buf_printf(out, "\"server\":{\"version\":\"%s\",\"started_ms\":%" PRIu64 ",\"epoch\":\"", SATCHEL_VERSION, sv->started_ms);
    api_put_epoch(out, k->at.epoch);
    buf_printf(out, "\",\"schema_epoch\":%u", k->schema->epoch);
    console_put_integer(out, "store_bytes", bytes);
    console_put_integer(out, "wal_bytes", (int64_t)stats.wal_bytes);
    console_put_integer(out, "disk_free_bytes", (int64_t)stats.disk_free);
    console_put_integer(out, "disk_reserve_bytes", (int64_t)stats.disk_reserve);
    buf_printf(out, ",\"writable\":%s", stats.writable ? "true" : "false");
    console_put_integer(out, "writer_queue", (int64_t)stats.writer_queue);
    console_put_integer(out, "reader_queue", (int64_t)stats.reader_queue);
    if (backup_ms)
        console_put_integer(out, "backup_ms", (int64_t)backup_ms);
    else
        buf_printf(out, ",\"backup_ms\":null");
    int64_t seq = 0;
    if (!rc) rc = db_integer(&k->file->cache, "SELECT backup_seq FROM satchel_server", 0, &seq);
    console_put_integer(out, "backup_seq", seq);
    console_put_text(out, "trouble", stats.scope_trouble[0] ? stats.scope_trouble : NULL);
    buf_put_byte(out, '}');
    return rc;
}

void console_overview(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    buf *out = &c->out.body;
    int rc = SATCHEL_OK;
    if (!k) return;
    api_answer(c, 200);
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    for (size_t i = 0; !rc && i < sizeof PARTS / sizeof *PARTS; i++) {
        buf_printf(out, ",\"%s\":", PARTS[i].name);
        rc = console_put_object(k, PARTS[i].sql, 0, NULL, out);
    }
    buf_put_byte(out, ',');
    if (!rc) rc = put_syncs(k, out);
    buf_put_byte(out, ',');
    if (!rc) rc = put_server(k, out);
    buf_put_byte(out, '}');
    console_end(c, r, k, rc, NULL);
}

/* ---- GET /v1/admin/samples ---- */

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS INT64_C(3600000)
#define TIMES 500
#define TIMES_MAX 2000

typedef struct asked {
    int64_t from, to, step; /* ms; from and to at a step's edge */
    size_t n;
} asked;

static bool take_time(api_call *c, const char *name, int64_t *out) {
    uint64_t v = (uint64_t)*out;
    if (!api_number(c, name, INT64_MAX / 2, &v)) return false;
    *out = (int64_t)v;
    return true;
}

static bool take_asked(api_call *c, const console *k, asked *a) {
    a->to = k->now_ms;
    if (!take_time(c, "to_ms", &a->to)) return false;
    a->from = a->to > HOUR_MS ? a->to - HOUR_MS : 0;
    if (!take_time(c, "from_ms", &a->from)) return false;
    a->step = 0;
    if (!take_time(c, "step", &a->step)) return false;
    if (a->from >= a->to) {
        api_refuse(c, 400, SATCHEL_E_MISUSE, "from_ms lies before to_ms");
        return false;
    }
    int64_t least = a->from < k->now_ms - (int64_t)HISTORY_MINUTES_MS ? HOUR_MS : MINUTE_MS;
    bool given = a->step != 0;
    if (!given) a->step = (a->to - a->from) / TIMES;
    a->step = (a->step + least - 1) / least * least;
    if (!a->step) a->step = least;
    a->from -= a->from % a->step;
    a->n = (size_t)((a->to - a->from + a->step - 1) / a->step);
    if (a->n <= TIMES_MAX) return true;
    api_refuse(c, 400, SATCHEL_E_MISUSE, "these are more than %d times; give a longer step", TIMES_MAX);
    return false;
}

static bool is_asked(const char *names, const char *name) {
    size_t n = strlen(name);
    if (!names || !*names) return true;
    for (const char *p = names; (p = strstr(p, name)); p += n)
        if ((p == names || p[-1] == ',') && (!p[n] || p[n] == ',')) return true;
    return false;
}

static bool are_known(api_call *c, const char *names) {
    for (const char *p = names; p && *p;) {
        size_t n = strcspn(p, ","), i = 0;
        while (i < HISTORY_NFIGURES && (strlen(HISTORY_FIGURES[i].name) != n || strncmp(HISTORY_FIGURES[i].name, p, n))) i++;
        if (i == HISTORY_NFIGURES) {
            api_refuse(c, 400, SATCHEL_E_MISUSE, "there is no figure %.*s", (int)(n < 64 ? n : 64), p);
            return false;
        }
        p += n + (p[n] == ',');
    }
    return true;
}

/* What a step tells of its minutes: `n` of them, their sum, and the highest. */
static void put_value(buf *out, history_kind kind, const asked *a, double sum, double high, int64_t n) {
    value v = value_null();
    if (n)
        v = value_real(kind == HISTORY_PEAK    ? high
                       : kind == HISTORY_LEVEL ? sum / (double)n
                                               : sum / ((double)a->step / MINUTE_MS));
    record_put_value(out, &v);
}

static int put_series(const console *k, const history_figure *f, const asked *a, buf *out) {
    int rc;
    int64_t at = 0;
    buf_printf(out, "{\"name\":\"%s\"", f->name);
    console_put_text(out, "unit", f->unit);
    console_put_text(out, "about", f->about);
    buf_printf(out, ",\"values\":[");
    sqlite3_stmt *q =
        db_prepare(&k->file->cache, "SELECT (minute*60000-?2)/?4,sum(value),max(value),count(*) FROM satchel_sample WHERE name=?1"
                                    " AND minute>=?2/60000 AND minute<(?3+59999)/60000 GROUP BY 1 ORDER BY 1");
    db_bind(q, "siii", f->name, a->from, a->to, a->step);
    while ((rc = db_next(&k->file->cache, q)) == 1) {
        int64_t place = sqlite3_column_int64(q, 0);
        for (; at < place; at++) buf_printf(out, at ? ",null" : "null");
        if (at++) buf_put_byte(out, ',');
        put_value(out, f->kind, a, sqlite3_column_double(q, 1), sqlite3_column_double(q, 2), sqlite3_column_int64(q, 3));
    }
    for (; at < (int64_t)a->n; at++) buf_printf(out, at ? ",null" : "null");
    buf_printf(out, "]}");
    return rc;
}

static int put_samples(const console *k, const char *names, const asked *a, buf *out) {
    int rc = SATCHEL_OK;
    const char *comma = "";
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    console_put_integer(out, "from_ms", a->from);
    console_put_integer(out, "to_ms", a->to);
    console_put_integer(out, "step_ms", a->step);
    buf_printf(out, ",\"times_ms\":[");
    for (size_t i = 0; i < a->n; i++) buf_printf(out, "%s%" PRId64, i ? "," : "", a->from + (int64_t)i * a->step);
    buf_printf(out, "],\"series\":[");
    for (int i = 0; !rc && i < HISTORY_NFIGURES; i++) {
        if (!is_asked(names, HISTORY_FIGURES[i].name)) continue;
        buf_printf(out, "%s", comma);
        rc = put_series(k, &HISTORY_FIGURES[i], a, out);
        comma = ",";
    }
    buf_printf(out, "]}");
    return rc;
}

void console_samples(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    const char *names = api_arg(c, "name");
    asked a;
    int rc = SATCHEL_OK;
    if (!k) return;
    if (are_known(c, names) && take_asked(c, k, &a)) {
        api_answer(c, 200);
        rc = put_samples(k, names, &a, &c->out.body);
    }
    console_end(c, r, k, rc, NULL);
}
