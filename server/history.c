/* Connections of devices, and figures by the minute, in the store. */
#include "server/history.h"

#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"

#define MINUTE_MS 60000
/* Connections that one call removes. */
#define PRUNED_AT_ONCE 20000
/* Hours of one figure that one call makes. */
#define HOURS_AT_ONCE 100

#define COUNT(name, unit, about)                                                                                                 \
    { name, unit, about, HISTORY_COUNT }
#define LEVEL(name, unit, about)                                                                                                 \
    { name, unit, about, HISTORY_LEVEL }
#define PEAK(name, unit, about)                                                                                                  \
    { name, unit, about, HISTORY_PEAK }
const history_figure HISTORY_FIGURES[] = {
    [HISTORY_CONNECTIONS] = COUNT("connections", "connections/min", "Connections of devices that began."),
    [HISTORY_PUSHED] = COUNT("pushed", "transactions/min", "Transactions of devices that were accepted."),
    [HISTORY_REFUSED] = COUNT("refused", "transactions/min", "Transactions of devices that were refused."),
    [HISTORY_ROWS_IN] = COUNT("rows_in", "rows/min", "Row changes that were committed with what devices sent."),
    [HISTORY_COMMITS] = COUNT("commits", "commits/min", "Commits, each with a number of its own."),
    [HISTORY_PULLED] = COUNT("pulled", "pages/min", "Pages that devices were given."),
    [HISTORY_BYTES_IN] = COUNT("bytes_in", "bytes/min", "Received from devices."),
    [HISTORY_BYTES_OUT] = COUNT("bytes_out", "bytes/min", "Sent to devices."),
    [HISTORY_CONFLICTS] = COUNT("conflicts", "conflicts/min", "Values that lost to concurrent writes."),
    [HISTORY_FORKS] = COUNT("forks", "forks/min", "Devices that were found to be restored or copied files."),
    [HISTORY_DIFFERENCES] =
        COUNT("differences", "differences/min",
              "Ranges of rows that were not as they had to be on a device, and rows in the store; put right."),
    [HISTORY_RUNS] = COUNT("automation_runs", "runs/min", "Automations that ran."),
    [HISTORY_RUNS_FAILED] = COUNT("automation_failed", "runs/min", "Automations that failed."),
    [HISTORY_ONLINE] = LEVEL("online", "devices", "Devices that are connected."),
    [HISTORY_PENDING] = LEVEL("pending", "transactions", "Transactions that wait on devices, as they last said."),
    [HISTORY_REFUSALS_OPEN] = LEVEL("refusals_open", "transactions", "Refused transactions that nobody has settled."),
    [HISTORY_WRITER_QUEUE] = PEAK("writer_queue", "messages", "Messages and jobs that wait for the writer."),
    [HISTORY_READER_QUEUE] = PEAK("reader_queue", "devices", "Devices that wait for a page."),
    [HISTORY_LAG_P50] = PEAK("lag_p50_ms", "ms", "So old is the first commit that half of the devices lack, or younger."),
    [HISTORY_LAG_P95] = PEAK("lag_p95_ms", "ms", "The same of 95 in 100."),
    [HISTORY_LAG_P99] = PEAK("lag_p99_ms", "ms", "The same of 99 in 100."),
    [HISTORY_SYNC_P50] =
        PEAK("sync_p50_ms", "ms", "So long it took half of the connections to be given all that there was, or less."),
    [HISTORY_SYNC_P95] = PEAK("sync_p95_ms", "ms", "The same of 95 in 100."),
    [HISTORY_SYNC_P99] = PEAK("sync_p99_ms", "ms", "The same of 99 in 100."),
    [HISTORY_STORE_BYTES] = LEVEL("store_bytes", "bytes", "Size of the store's file."),
    [HISTORY_WAL_BYTES] = LEVEL("wal_bytes", "bytes", "Size of its write-ahead log."),
    [HISTORY_DISK_FREE] = LEVEL("disk_free_bytes", "bytes", "Free where the store lies."),
};
#undef COUNT
#undef LEVEL
#undef PEAK

/* ---- connections ---- */

int history_put_sync(store *s, const history_sync *y) {
    sqlite3_stmt *q = db_prepare(
        &s->cache,
        "INSERT INTO satchel_sync(device,begun_ms,ended_ms,end_rc,sent_frames,received_frames,sent_bytes,received_bytes,"
        "pushed,pulled,current_ms,end_text,peer,clock_offset_ms,schema_epoch,software)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,nullif(?,0),nullif(?,''),?,?,?,?)");
    db_bind(q, "iiiiiiiiiiiss", y->device, (int64_t)y->begun_ms, (int64_t)y->ended_ms, (int64_t)y->end_rc,
            (int64_t)y->sent_frames, (int64_t)y->received_frames, (int64_t)y->sent_bytes, (int64_t)y->received_bytes,
            (int64_t)y->pushed, (int64_t)y->pulled, (int64_t)y->current_ms, y->end_text, y->peer);
    if (q && y->hello.taken) {
        sqlite3_bind_int64(q, 14, y->hello.clock_offset_ms);
        sqlite3_bind_int64(q, 15, y->hello.schema_epoch);
        sqlite3_bind_text(q, 16, y->hello.software, -1, SQLITE_STATIC);
    }
    int rc = q ? db_run(q) : db_rc(sqlite3_extended_errcode(s->db));
    if (rc) return rc;
    return db_exec(
        &s->cache,
        "DELETE FROM satchel_sync WHERE id=(SELECT id FROM satchel_sync WHERE device=? ORDER BY begun_ms DESC LIMIT 1 OFFSET ?)",
        "ii", y->device, (int64_t)HISTORY_SYNCS_OF_DEVICE);
}

/* ---- figures ---- */

static const char PUT_COUNT[] = "INSERT INTO satchel_sample(name,minute,value) VALUES(?,?,?) ON CONFLICT DO UPDATE SET"
                                " value=value+excluded.value",
                  PUT_LEVEL[] = "INSERT INTO satchel_sample(name,minute,value) VALUES(?,?,?) ON CONFLICT DO UPDATE SET"
                                " value=excluded.value",
                  PUT_PEAK[] = "INSERT INTO satchel_sample(name,minute,value) VALUES(?,?,?) ON CONFLICT DO UPDATE SET"
                               " value=max(value,excluded.value)";

int history_put_figures(store *s, uint64_t now_ms, const double figure[HISTORY_NFIGURES]) {
    int rc = SATCHEL_OK;
    for (int i = 0; !rc && i < HISTORY_NFIGURES; i++) {
        const history_figure *f = &HISTORY_FIGURES[i];
        if (figure[i] < 0) continue;
        sqlite3_stmt *q = db_prepare(&s->cache, f->kind == HISTORY_COUNT   ? PUT_COUNT
                                                : f->kind == HISTORY_LEVEL ? PUT_LEVEL
                                                                           : PUT_PEAK);
        db_bind(q, "si", f->name, (int64_t)(now_ms / MINUTE_MS));
        if (q) sqlite3_bind_double(q, 3, figure[i]);
        rc = q ? db_run(q) : db_rc(sqlite3_extended_errcode(s->db));
    }
    return rc;
}

double history_percentile(const uint64_t *ascending, size_t n, unsigned per_mille) {
    size_t at = (n * per_mille + 999) / 1000;
    return n ? (double)ascending[at ? at - 1 : 0] : -1;
}

static int one(store *s, const char *sql, double *out) {
    int64_t n;
    int rc = db_integer(&s->cache, sql, -1, &n);
    *out = (double)n;
    return rc;
}

static int measure_runs(store *s, uint64_t since_ms, double figure[HISTORY_NFIGURES]) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT count(*),coalesce(sum(rc<>0),0) FROM satchel_automation_run WHERE at_ms>?");
    db_bind(q, "i", (int64_t)since_ms);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    figure[HISTORY_RUNS] = (double)sqlite3_column_int64(q, 0);
    figure[HISTORY_RUNS_FAILED] = (double)sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* How long ago the first commit behind this seq was made. */
static int lag_behind(store *s, int64_t seq, uint64_t now_ms, double *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT at_ms FROM satchel_log WHERE id>=? ORDER BY id LIMIT 1");
    db_bind(q, "i", (seq + 1) << 24);
    int rc = db_next(&s->cache, q);
    *out = 0;
    if (rc != 1) return rc;
    int64_t at_ms = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (at_ms < (int64_t)now_ms) *out = (double)((int64_t)now_ms - at_ms);
    return SATCHEL_OK;
}

/* Who is farther behind has the lower seq: the places of the percentiles are counted among the seqs, and the log is asked at three of them alone. */
static int measure_lag(store *s, uint64_t now_ms, double figure[HISTORY_NFIGURES]) {
    static const struct {
        history_id id;
        int64_t per_mille;
    } WHICH[] = {{HISTORY_LAG_P50, 500}, {HISTORY_LAG_P95, 950}, {HISTORY_LAG_P99, 990}};
    int64_t n;
    int rc = db_integer(&s->cache, "SELECT count(*) FROM satchel_device WHERE state=1 AND last_seen_ms>0", 0, &n);
    for (size_t i = 0; !rc && n && i < sizeof WHICH / sizeof *WHICH; i++) {
        sqlite3_stmt *q = db_prepare(&s->cache, "SELECT acked_seq FROM satchel_device WHERE state=1 AND last_seen_ms>0"
                                                " ORDER BY acked_seq LIMIT 1 OFFSET ?");
        db_bind(q, "i", n - (n * WHICH[i].per_mille + 999) / 1000);
        if ((rc = db_next(&s->cache, q)) != 1) return rc;
        int64_t seq = sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
        rc = lag_behind(s, seq, now_ms, &figure[WHICH[i].id]);
    }
    return rc;
}

int history_measure(store *s, uint64_t since_ms, uint64_t now_ms, double figure[HISTORY_NFIGURES]) {
    int rc = one(s, "SELECT coalesce(sum(pending),0) FROM satchel_device WHERE state=1", &figure[HISTORY_PENDING]);
    if (!rc) rc = one(s, "SELECT count(*) FROM satchel_refused WHERE state='open'", &figure[HISTORY_REFUSALS_OPEN]);
    if (!rc) rc = one(s, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size", &figure[HISTORY_STORE_BYTES]);
    if (!rc) rc = measure_lag(s, now_ms, figure);
    return rc ? rc : measure_runs(s, since_ms, figure);
}

/* ---- upkeep ---- */

/* Of a figure that is kept no more: a level. */
static history_kind kind_of(const char *name) {
    for (int i = 0; i < HISTORY_NFIGURES; i++)
        if (!strcmp(HISTORY_FIGURES[i].name, name)) return HISTORY_FIGURES[i].kind;
    return HISTORY_LEVEL;
}

/* The minutes of one hour of a figure become one row. */
static int make_hour(store *s, const char *name, int64_t hour) {
    double made;
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT sum(value),avg(value),max(value) FROM satchel_sample WHERE name=? AND minute>=? AND minute<?");
    db_bind(q, "sii", name, hour, hour + 60);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    history_kind kind = kind_of(name);
    made = sqlite3_column_double(q, kind == HISTORY_COUNT ? 0 : kind == HISTORY_LEVEL ? 1 : 2);
    sqlite3_reset(q);
    rc = db_exec(&s->cache, "DELETE FROM satchel_sample WHERE name=? AND minute>? AND minute<?", "sii", name, hour, hour + 60);
    if (rc) return rc;
    q = db_prepare(&s->cache, "INSERT OR REPLACE INTO satchel_sample(name,minute,value) VALUES(?,?,?)");
    db_bind(q, "si", name, hour);
    if (q) sqlite3_bind_double(q, 3, made);
    return q ? db_run(q) : db_rc(sqlite3_extended_errcode(s->db));
}

/* The oldest hour that has minutes, and is old enough: 1 and what it is. */
static int find_hour(store *s, int64_t before, int64_t *hour, char name[LIMIT_NAME_BYTES + 1]) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT name,minute-minute%60 FROM satchel_sample INDEXED BY satchel_sample_minute"
                                            " WHERE minute%60<>0 AND minute<? ORDER BY minute LIMIT 1");
    db_bind(q, "i", before - before % 60);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    sqlite3_snprintf(LIMIT_NAME_BYTES + 1, name, "%s", sqlite3_column_text(q, 0));
    *hour = sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return 1;
}

static int prune_samples(store *s, uint64_t now_ms) {
    char name[LIMIT_NAME_BYTES + 1];
    int64_t hour, before = now_ms > HISTORY_MINUTES_MS ? (int64_t)((now_ms - HISTORY_MINUTES_MS) / MINUTE_MS) : 0;
    int rc = 1;
    for (int i = 0; rc == 1 && i < HOURS_AT_ONCE; i++) {
        rc = find_hour(s, before, &hour, name);
        if (rc == 1 && !(rc = make_hour(s, name, hour))) rc = 1;
    }
    if (rc < 0) return rc;
    rc = SATCHEL_OK;
    for (int i = 0; !rc && i < HISTORY_NFIGURES; i++)
        rc = db_exec(&s->cache, "DELETE FROM satchel_sample WHERE name=? AND minute<?", "si", HISTORY_FIGURES[i].name,
                     now_ms > HISTORY_HOURS_MS ? (int64_t)((now_ms - HISTORY_HOURS_MS) / MINUTE_MS) : INT64_C(0));
    return rc;
}

int history_prune(store *s, uint64_t now_ms) {
    int rc = prune_samples(s, now_ms);
    if (rc) return rc;
    return db_exec(&s->cache, "DELETE FROM satchel_sync WHERE id IN (SELECT id FROM satchel_sync WHERE begun_ms<? LIMIT ?)", "ii",
                   now_ms > HISTORY_SYNCS_MS ? (int64_t)(now_ms - HISTORY_SYNCS_MS) : INT64_C(0), (int64_t)PRUNED_AT_ONCE);
}
