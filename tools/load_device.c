#include "tools/load_device.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/digest.h"
#include "protocol/satchel_rc.h"

#define SETTLE_LOOK_US 10000
#define STAMP_BYTES 48

static const char *const statements[LOAD_ACTS] = {
    [ACT_INSERT] =
        "INSERT INTO contact(id, given, family, job_title, source) VALUES(uuid7(), 'Load', 'Satchel', ?1, 'load') RETURNING id",
    [ACT_UPDATE] = "UPDATE contact SET job_title=?1 WHERE id=?2",
    [ACT_COUNTER] = "UPDATE contact SET visit_count=visit_count+1 WHERE id=?2",
    [ACT_DELETE] = "DELETE FROM contact WHERE id=?2",
};

static void pool_id(unsigned at, uint8_t id[16]) {
    memcpy(id, "satchel-load", 12);
    for (unsigned i = 0; i < 4; i++) id[12 + i] = (uint8_t)(at >> (24 - 8 * i));
}

int load_device_rows(load_server *sv) {
    buf sql = {0};
    uint8_t id[16];
    for (unsigned i = 0; i < LOAD_POOL; i++) {
        pool_id(i, id);
        buf_printf(&sql, "INSERT OR IGNORE INTO contact(id, given, family, source) VALUES(x'");
        for (unsigned k = 0; k < sizeof id; k++) buf_printf(&sql, "%02x", id[k]);
        buf_printf(&sql, "', 'Load %u', 'Satchel', 'load');\n", i);
    }
    int rc = sql.rc ? load_fail("out of memory") : load_server_sql(sv, (const char *)sql.p);
    buf_fini(&sql);
    return rc;
}

/* ---- counts ---- */

load_stats *load_stats_new(void) {
    load_stats *st = calloc(1, sizeof *st);
    if (st)
        pthread_mutex_init(&st->mutex, NULL);
    else
        load_fail("out of memory");
    return st;
}

void load_stats_error(load_stats *st, unsigned number, const char *words) {
    atomic_fetch_add(&st->errors, 1);
    pthread_mutex_lock(&st->mutex);
    if (!st->first_error[0]) snprintf(st->first_error, sizeof st->first_error, "device %u: %s", number, words);
    pthread_mutex_unlock(&st->mutex);
}

/* ---- what the library tells ---- */

/* The application's connection, within its commit: the transaction's number. */
static void on_app_row(void *ctx, int operation, const char *database, const char *table, sqlite3_int64 row) {
    load_device *d = ctx;
    (void)database;
    if (operation != SQLITE_INSERT || strcmp(table, "satchel_outbox")) return;
    atomic_store(&d->committed_us[row % LOAD_FLIGHT], atomic_load(&d->in_step_us) ? load_now_us() : 0);
}

/* The syncing connection: results, and rows of others. */
static void on_sync_row(void *ctx, int operation, const char *database, const char *table, sqlite3_int64 row) {
    load_device *d = ctx;
    (void)database;
    if (operation == SQLITE_DELETE) return;
    if (!strcmp(table, "contact")) {
        if (d->nseen < LOAD_SEEN) d->seen[d->nseen++] = row;
    } else if (operation == SQLITE_UPDATE && !strcmp(table, "satchel_outbox")) {
        uint64_t at = atomic_exchange(&d->committed_us[row % LOAD_FLIGHT], 0);
        if (at && d->since_us && at >= d->since_us) load_histogram_add(&d->stats->answered, load_now_us() - at);
    }
}

static void look_at(load_device *d, int64_t row, uint64_t now_us) {
    sqlite3_bind_int64(d->look, 1, row);
    const char *text = sqlite3_step(d->look) == SQLITE_ROW ? (const char *)sqlite3_column_text(d->look, 0) : NULL;
    unsigned long long committed_us = 0;
    unsigned by = 0, live = 0;
    bool stamped = text && sscanf(text, "load %llu %u %u", &committed_us, &by, &live) == 3;
    sqlite3_reset(d->look);
    if (!stamped || !live || by == d->number || !d->since_us || committed_us < d->since_us || committed_us > now_us) return;
    load_histogram_add(&d->stats->visible, now_us - committed_us);
    if (d->saw) d->saw(d->saw_ctx, committed_us);
}

/* After the commit. A row that was written and is not another's newest text is passed over. */
static void on_change(void *ctx, const char *table) {
    load_device *d = ctx;
    uint64_t now_us = load_now_us();
    if (strcmp(table, "contact")) return;
    for (unsigned i = 0; i < d->nseen; i++) look_at(d, d->seen[i], now_us);
    d->nseen = 0;
}

static void on_state(load_device *d, const satchel_event *e) {
    uint64_t now_us = load_now_us();
    if (e->state == SATCHEL_IN_STEP) {
        if (!d->since_us) d->since_us = now_us;
        atomic_store(&d->in_step_us, now_us);
        return;
    }
    if (e->state != SATCHEL_SYNCING) {
        d->since_us = 0;
        atomic_store(&d->in_step_us, 0);
    }
    if (e->state == SATCHEL_OFFLINE && e->rc) {
        atomic_store(&d->left_us, now_us);
        atomic_fetch_add(&d->stats->disconnects, 1);
    }
    if (e->state == SATCHEL_STOPPED) load_stats_error(d->stats, d->number, e->text);
}

static void on_event(void *ctx, const satchel_event *e) {
    load_device *d = ctx;
    switch (e->type) {
    case SATCHEL_EVENT_STATE:
        on_state(d, e);
        break;
    case SATCHEL_EVENT_REFUSED:
        atomic_fetch_add(&d->stats->refused, 1);
        load_stats_error(d->stats, d->number, e->text);
        break;
    case SATCHEL_EVENT_CONFLICT:
        atomic_fetch_add(&d->stats->conflicts, 1);
        break;
    case SATCHEL_EVENT_FORKED:
        load_stats_error(d->stats, d->number, e->text);
        break;
    default:
        break;
    }
}

/* ---- opening ---- */

static int prepare(load_device *d) {
    sqlite3 *app = satchel_db(d->s);
    for (unsigned i = 0; i < LOAD_ACTS; i++)
        if (statements[i] && sqlite3_prepare_v3(app, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &d->statement[i], NULL))
            return load_fail("device %u: %s; the CRM's table contact is what satchel-load writes", d->number,
                             sqlite3_errmsg(app));
    if (sqlite3_prepare_v3(d->s->file->db, "SELECT job_title FROM contact WHERE rowid=?", -1, SQLITE_PREPARE_PERSISTENT, &d->look,
                           NULL))
        return load_fail("device %u: %s", d->number, sqlite3_errmsg(d->s->file->db));
    return LOAD_DONE;
}

int load_device_open(load_device *d, const load_fleet *f, unsigned number, load_stats *st, uint64_t seed) {
    char path[LOAD_PATH_BYTES];
    memset(d, 0, sizeof *d);
    d->number = number;
    d->stats = st;
    d->random = seed ^ ((uint64_t)number << 32);
    load_fleet_path(f, number, path);
    satchel_options o = {.size = sizeof o, .flags = SATCHEL_OPEN_EXISTING, .software = "satchel-load/" SATCHEL_VERSION};
    int rc = satchel_open(path, &o, &d->s);
    if (rc) return load_fail("%s: %s", path, satchel_errmsg(d->s));
    satchel_on_event(d->s, on_event, d);
    satchel_on_change(d->s, on_change, d);
    sqlite3_update_hook(satchel_db(d->s), on_app_row, d);
    sqlite3_update_hook(d->s->file->db, on_sync_row, d);
    return prepare(d);
}

void load_device_close(load_device *d) {
    if (!d->s) return;
    load_device_stop(d);
    for (unsigned i = 0; i < LOAD_ACTS; i++) sqlite3_finalize(d->statement[i]);
    sqlite3_finalize(d->look);
    satchel_close(d->s);
    d->s = NULL;
}

int load_device_start(load_device *d) {
    int rc = satchel_start(d->s);
    d->running = !rc;
    return rc ? load_fail("device %u: %s", d->number, satchel_errmsg(d->s)) : LOAD_DONE;
}

void load_device_stop(load_device *d) {
    satchel_stop(d->s);
    d->running = false;
}

/* ---- writing ---- */

/* Counters go to rows of their own: the writing of a row whose text was seen before would pass for a late sight of it. */
static void bind_row(load_device *d, load_act act) {
    uint8_t id[16];
    if (act == ACT_DELETE)
        memcpy(id, d->own[--d->nown], sizeof id);
    else
        pool_id((unsigned)(load_random(&d->random) % (LOAD_POOL / 2)) + (act == ACT_COUNTER ? LOAD_POOL / 2 : 0), id);
    sqlite3_bind_blob(d->statement[act], 2, id, sizeof id, SQLITE_TRANSIENT);
}

void load_device_write(load_device *d, load_act act) {
    char stamp[STAMP_BYTES];
    if (act == ACT_DELETE && !d->nown) act = ACT_INSERT;
    sqlite3_stmt *q = d->statement[act];
    bool live = atomic_load(&d->in_step_us) != 0;
    snprintf(stamp, sizeof stamp, "load %llu %u %d", (unsigned long long)load_now_us(), d->number, live);
    if (act == ACT_INSERT || act == ACT_UPDATE) sqlite3_bind_text(q, 1, stamp, -1, SQLITE_TRANSIENT);
    if (act != ACT_INSERT) bind_row(d, act);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW && d->nown < LOAD_OWN) memcpy(d->own[d->nown++], sqlite3_column_blob(q, 0), sizeof d->own[0]);
    if (rc == SQLITE_ROW) rc = sqlite3_step(q);
    if (rc != SQLITE_DONE) load_stats_error(d->stats, d->number, sqlite3_errmsg(satchel_db(d->s)));
    sqlite3_reset(q);
    atomic_fetch_add(&d->stats->act[act], 1);
    atomic_fetch_add(&d->stats->transactions, rc == SQLITE_DONE);
}

/* ---- all together ---- */

/* `moved` takes what changes when the device gets on. */
static int look_settled(load_device *d, uint64_t seq, bool *settled, uint64_t *moved) {
    satchel_status_info i = {.size = sizeof i};
    int rc = satchel_get_status(d->s, &i);
    if (rc) return load_fail("device %u: %s", d->number, satchel_errmsg(d->s));
    *settled = i.state == SATCHEL_IN_STEP && !i.pending && !i.accepted && i.cursor >= seq;
    *moved += i.cursor - i.pending - i.accepted + (i.state == SATCHEL_IN_STEP);
    return LOAD_DONE;
}

/* A device that is settled stays so: nobody writes meanwhile. So they are looked at one after the other. */
int load_devices_settle(load_device *d, unsigned n, uint64_t seq, unsigned patience_s) {
    uint64_t last = 0, moved_us = load_now_us();
    unsigned done = 0;
    int rc = LOAD_DONE;
    ctl_bar bar;
    ctl_bar_begin(&bar, "getting in step");
    while (done < n && !rc) {
        uint64_t moved = done;
        bool settled = false;
        rc = look_settled(&d[done], seq, &settled, &moved);
        if (moved != last) moved_us = load_now_us();
        last = moved;
        ctl_bar_show(&bar, done, n, NULL);
        if (settled)
            done++;
        else if (!rc && load_now_us() - moved_us > (uint64_t)patience_s * 1000000)
            rc = load_fail("device %u is not in step, and it did not move for %u s", d[done].number, patience_s);
        else
            load_sleep_us(SETTLE_LOOK_US);
    }
    ctl_bar_end(&bar);
    return rc;
}

static int digest(load_device *d, buf *report) {
    pthread_mutex_lock(&d->s->lock);
    int rc = digest_tables(d->s->file->db, d->s->file->schema, report);
    pthread_mutex_unlock(&d->s->lock);
    return rc ? load_fail("device %u: its rows cannot be read: %s", d->number, satchel_rc_text(rc)) : LOAD_DONE;
}

int load_devices_compare(load_device *d, unsigned n, load_server *sv, unsigned patience_s, unsigned *different) {
    uint64_t seq;
    char *expected = NULL;
    ctl_bar bar;
    *different = 0;
    /* First everything is sent; then everybody has it. */
    int rc = load_devices_settle(d, n, 0, patience_s);
    if (!rc) rc = load_server_seq(sv, &seq);
    if (!rc) rc = load_devices_settle(d, n, seq, patience_s);
    if (!rc) rc = load_server_digest(sv, &expected);
    ctl_bar_begin(&bar, "comparing");
    for (unsigned i = 0; i < n && !rc; i++) {
        buf report = {0};
        rc = digest(&d[i], &report);
        *different += !rc && strcmp((const char *)report.p, expected) != 0;
        buf_fini(&report);
        ctl_bar_show(&bar, i, n, NULL);
    }
    ctl_bar_end(&bar);
    free(expected);
    return rc;
}

load_device *load_devices_open(const load_fleet *f, load_stats *st, unsigned n, const load_options *o) {
    load_device *d = calloc(n, sizeof *d);
    uint64_t seq;
    int rc = d ? load_files_allow(n, LOAD_DEVICE_FILES) : load_fail("out of memory");
    for (unsigned i = 0; i < n && !rc; i++) {
        rc = load_device_open(&d[i], f, i, st, o->seed);
        if (!rc) rc = load_device_start(&d[i]);
    }
    if (!rc) rc = load_server_seq(f->server, &seq);
    if (!rc) rc = load_devices_settle(d, n, seq, o->patience_s);
    if (!rc) return d;
    if (d) load_devices_close(d, n);
    return NULL;
}

void load_devices_close(load_device *d, unsigned n) {
    for (unsigned i = 0; i < n; i++) load_device_close(&d[i]);
    free(d);
}
