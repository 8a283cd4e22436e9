/* Commands about who may hold what: the rules, why a row is where it is, and what a device was given for a time. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/bundle.h"
#include "server/control_private.h"
#include "server/os.h"
#include "server/rollout.h"
#include "server/scope.h"
#include "server/store_private.h"

#define GRANTS_MAX 10000
#define REASON_BYTES 1000
/* 2 MiB of SQLite's usual pages: between steps it is asked whether to go on. */
#define STEP_PAGES 512
#define TRIAL_STORE "scope-trial.db"

/* What a function of scope.h said, as text or as what its JSON holds. */
static int put_report(control_call *call, buf *report) {
    if (!json_is_true(json_object_get(call->request, "json"))) {
        control_put_report(call->reply, "report", report);
        return report->rc;
    }
    json_t *o = report->rc ? NULL : json_loadb((const char *)report->p, report->n, JSON_DECODE_ANY, NULL);
    if (!o) return report->rc ? report->rc : SATCHEL_E_INTERNAL;
    json_object_set_new(call->reply, "report", o);
    return SATCHEL_OK;
}

/* ---- the rules ---- */

static int run_show(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT version,seq,at_ms,text,name FROM satchel_scope ORDER BY version DESC LIMIT 1");
    int rc = db_next(&s->cache, q);
    if (rc == 1) {
        control_put_number(call->reply, "version", (uint64_t)sqlite3_column_int64(q, 0));
        control_put_number(call->reply, "seq", (uint64_t)sqlite3_column_int64(q, 1));
        control_put_number(call->reply, "at_ms", (uint64_t)sqlite3_column_int64(q, 2));
        control_put_text(call->reply, "text", (const char *)sqlite3_column_text(q, 3));
        control_put_text(call->reply, "name", (const char *)sqlite3_column_text(q, 4));
        sqlite3_reset(q);
    }
    return control_failed(call, rc < 0 ? rc : SATCHEL_OK, s, "cannot read the rules");
}

static int run_publish(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *name, *text;
    uint64_t moved = 0, devices = 0;
    int64_t version = 0;
    int rc = control_take_rules(call, &name, &text);
    if (!rc && !json_is_true(json_object_get(call->request, "end_rollout"))) rc = rollout_check_none(s, &call->error);
    if (!rc) rc = rollout_check_rules(name, text, &call->error);
    if (!rc) rc = scope_publish(s, name, text, now_ms, &moved, &call->error);
    if (!rc) rc = rollout_settle(s, now_ms, &devices);
    if (!rc) rc = db_integer(&s->cache, "SELECT max(version) FROM satchel_scope", 0, &version);
    control_put_number(call->reply, "version", (uint64_t)version);
    control_put_number(call->reply, "moved", moved);
    (void)g;
    return control_failed(call, rc, s, "cannot publish the rules");
}

void control_scope_changed(control_call *call) {
    hub_scope_changed(call->job.service->hub);
}

/* ---- trying rules: on a copy of the store, so that the writer never waits ---- */

static void remove_trial(const char *path) {
    char side[DATADIR_PATH_BYTES + 8];
    unlink(path);
    snprintf(side, sizeof side, "%s-wal", path);
    unlink(side);
    snprintf(side, sizeof side, "%s-shm", path);
    unlink(side);
}

/* Copied whole in the data directory: it must leave what the server keeps free for changes. */
static int check_room(control_call *call, sqlite3 *from) {
    hub_stats stats;
    db_cache c;
    int64_t bytes = 0;
    hub_get_stats(call->job.service->hub, &stats);
    db_cache_init(&c, from);
    int rc = db_integer(&c, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size", 0, &bytes);
    db_cache_fini(&c);
    if (rc || !stats.disk_free || (uint64_t)bytes * 2 + stats.disk_reserve <= stats.disk_free) return rc;
    buf_printf(&call->error, "%lld MiB are needed beside the store to try rules, and %llu MiB are free",
               (long long)(bytes >> 19) + 1, (unsigned long long)(stats.disk_free >> 20));
    return SATCHEL_E_FULL;
}

static int copy_pages(control_call *call, sqlite3 *from, sqlite3 *to, const progress *watch) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    int sq = b ? SQLITE_OK : sqlite3_errcode(to);
    bool on = true;
    while (b && sq == SQLITE_OK && on) {
        sq = sqlite3_backup_step(b, STEP_PAGES);
        uint64_t total = (uint64_t)sqlite3_backup_pagecount(b), left = (uint64_t)sqlite3_backup_remaining(b);
        on = progress_tell(watch, "copying the store", total - left, total);
    }
    int end = b ? sqlite3_backup_finish(b) : SQLITE_OK;
    if (sq == SQLITE_DONE) return db_rc(end);
    buf_printf(&call->error, on ? "copying the store: %s" : "given up before it was done", sqlite3_errmsg(to));
    return on ? db_rc(sq) : SATCHEL_E_CLOSED;
}

static int copy_store(control_call *call, const char *path, const progress *watch) {
    char source[DATADIR_PATH_BYTES];
    sqlite3 *from = NULL, *to = NULL;
    snprintf(source, sizeof source, "%s/" BUNDLE_STORE, call->job.service->data);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return os_fail(&call->error, path, NULL, "cannot write");
    close(fd);
    int sq = sqlite3_open_v2(source, &from, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    /* In a transaction of its own: what the writer does meanwhile does not begin the copy anew. */
    if (sq == SQLITE_OK)
        sq = sqlite3_exec(from, "PRAGMA query_only=1; PRAGMA busy_timeout=10000; BEGIN; SELECT seq FROM satchel_server", NULL,
                          NULL, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL);
    if (sq != SQLITE_OK) db_explain(to ? to : from, "copying the store", &call->error);
    int rc = db_rc(sq);
    if (!rc) rc = check_room(call, from);
    if (!rc) rc = copy_pages(call, from, to, watch);
    sqlite3_close(to);
    sqlite3_close(from);
    return rc;
}

static int try_rules(control_call *call, const char *path, const char *name, const char *text, buf *report) {
    uint64_t now_ms = call->job.service->now_ms(NULL);
    bool json = json_is_true(json_object_get(call->request, "json"));
    store *trial = NULL;
    int rc = store_open(&(store_config){.path = path, .now_ms = now_ms}, &trial, &call->error);
    if (!rc) rc = rollout_check_none(trial, &call->error);
    if (!rc)
        rc = control_failed(call, scope_dry_run(trial, name, text, now_ms, json, report, &call->error), trial,
                            "cannot try the rules");
    store_close(trial);
    return rc;
}

static int work_dry_run(control_call *call, const progress *watch) {
    static atomic_bool at_work; /* there is one file */
    const char *name, *text;
    char path[DATADIR_PATH_BYTES];
    buf report = {0};
    int rc = control_take_rules(call, &name, &text);
    if (rc) return rc;
    if (atomic_exchange(&at_work, true)) {
        buf_printf(&call->error, "other rules are being tried; wait for that to end");
        return SATCHEL_E_BUSY;
    }
    snprintf(path, sizeof path, "%s/" TRIAL_STORE, call->job.service->data);
    remove_trial(path);
    rc = copy_store(call, path, watch);
    if (!rc && !progress_tell(watch, "looking at every row", 0, 0)) rc = SATCHEL_E_CLOSED;
    if (!rc) rc = try_rules(call, path, name, text, &report);
    if (!rc) rc = put_report(call, &report);
    remove_trial(path);
    atomic_store(&at_work, false);
    buf_fini(&report);
    return rc;
}

/* ---- one row on one device ---- */

typedef struct row_named {
    const char *device, *table, *key;
} row_named;

static int take_row(control_call *call, row_named *r) {
    *r = (row_named){control_text(call, "device"), control_text(call, "table"), control_text(call, "key")};
    return r->device && r->table && r->key ? SATCHEL_OK : control_misuse(call, "which device, and which row?");
}

static int run_explain(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    bool json = json_is_true(json_object_get(call->request, "json"));
    row_named r;
    buf report = {0};
    int rc = take_row(call, &r);
    if (!rc) rc = scope_explain(s, ingest_scope(g), r.device, r.table, r.key, now_ms, json, &report, &call->error);
    if (!rc) rc = put_report(call, &report);
    buf_fini(&report);
    return control_failed(call, rc, s, "cannot explain it");
}

static int run_grant(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *reason = control_text(call, "reason");
    json_int_t until_ms = json_integer_value(json_object_get(call->request, "until_ms"));
    row_named r;
    int64_t id = 0;
    int rc = take_row(call, &r);
    if (rc) return rc;
    if (!reason || !*reason || strlen(reason) > REASON_BYTES)
        return control_misuse(call, "a grant has a reason, of up to 1000 bytes");
    if (until_ms <= (json_int_t)now_ms) return control_misuse(call, "a grant ends in the future");
    rc = scope_grant(s, ingest_scope(g), r.device, r.table, r.key, (uint64_t)until_ms, reason, now_ms, &id, &call->error);
    control_put_number(call->reply, "id", (uint64_t)id);
    return control_failed(call, rc, s, "cannot grant it");
}

static int run_revoke(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    json_int_t id = json_integer_value(json_object_get(call->request, "id"));
    if (id < 1) return control_misuse(call, "which grant?");
    int rc = scope_revoke_grant(s, ingest_scope(g), id, now_ms, &call->error);
    if (rc == SATCHEL_E_NOT_FOUND && !call->error.n) buf_printf(&call->error, "there is no grant %lld", (long long)id);
    return control_failed(call, rc, s, "cannot end the grant");
}

static json_t *grant_json(const store *s, sqlite3_stmt *q, buf *key) {
    const schema_table *t = schema_table_by_id(s->schema, (uint32_t)sqlite3_column_int64(q, 2));
    json_t *o = json_object();
    buf_clear(key);
    value_put_literals(key, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    control_put_number(o, "id", (uint64_t)sqlite3_column_int64(q, 0));
    control_put_text(o, "device", (const char *)sqlite3_column_text(q, 1));
    control_put_text(o, "table", t ? t->name : "");
    control_put_report(o, "key", key);
    control_put_number(o, "until_ms", (uint64_t)sqlite3_column_int64(q, 4));
    control_put_text(o, "reason", (const char *)sqlite3_column_text(q, 5));
    control_put_number(o, "at_ms", (uint64_t)sqlite3_column_int64(q, 6));
    return o;
}

static int run_grants(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    control_listing l = {.array = json_array(), .left = GRANTS_MAX};
    buf key = {0};
    int rc;
    (void)g, (void)now_ms;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT g.id,d.name,tbl,key,until_ms,reason,at_ms FROM satchel_grant g"
                                            " JOIN satchel_device d ON d.id=device ORDER BY g.id");
    while ((rc = db_next(&s->cache, q)) == 1 && control_list_add(&l, grant_json(s, q, &key)))
        ;
    if (rc == 1) sqlite3_reset(q);
    buf_fini(&key);
    control_list_put(call, "grants", &l);
    return control_failed(call, rc < 0 ? rc : SATCHEL_OK, s, "cannot list the grants");
}

const control_command control_scope_commands[] = {
    {"scope.show", false, run_show, NULL, PEOPLE_VIEWER, true},
    {"scope.publish", false, run_publish, control_scope_changed, PEOPLE_ADMIN, false},
    {"scope.explain", false, run_explain, NULL, PEOPLE_VIEWER, true},
    {"scope.grant", false, run_grant, control_scope_changed, PEOPLE_MANAGER, false},
    {"scope.grants", false, run_grants, NULL, PEOPLE_VIEWER, true},
    {"scope.revoke", false, run_revoke, control_scope_changed, PEOPLE_MANAGER, false},
    {0},
};

const control_work control_scope_works[] = {
    {"scope.dry_run", work_dry_run, NULL, NULL, NULL, PEOPLE_ADMIN, true},
    {0},
};
