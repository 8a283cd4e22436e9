/* Works of the admin that read the whole store, through connections of their own: a backup, a check, the digests. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/backup.h"
#include "server/checksum_store.h"
#include "server/control_private.h"
#include "server/log.h"
#include "server/os.h"
#include "server/store_private.h"

/* Where those are that were asked for over HTTPS. */
#define BACKUPS "backups"
#define NAME_BYTES 100

/* Letters, digits, '.', '_' and '-', the first of them a letter or a digit; what ends in .part is one that is being made. */
static bool is_plain(const char *name) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);
    if (!n || n > NAME_BYTES || strspn(name, plain) != n || strchr("._-", *name)) return false;
    return n < 5 || strcmp(name + n - 5, ".part") != 0;
}

/* Who is not at the server itself names no place on its disk: his backups lie side by side in the data directory, where the operator may put a link to
 * another. The request has the whole path from here on, as the audit log tells it. */
static int place_backup(control_call *call) {
    char path[DATADIR_PATH_BYTES];
    const char *name = control_text(call, "target"), *data = call->job.service->data;
    if (!name || !is_plain(name))
        return control_misuse(call, "a backup needs a plain name of letters, digits, '.', '_' and '-'; it is made in the data "
                                    "directory, in " BACKUPS ". satchelctl backup, at the server itself, takes any path");
    int n = snprintf(path, sizeof path, "%s/" BACKUPS, data);
    if (n < 0 || (size_t)n + 1 + NAME_BYTES >= sizeof path) return control_misuse(call, "the data directory's path is too long");
    if (mkdir(path, 0700) && errno != EEXIST) return os_fail(&call->error, path, NULL, "cannot be made");
    snprintf(path + n, sizeof path - (size_t)n, "/%s", name);
    return json_object_set_new(call->request, "target", json_string(path)) ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int check_target(control_call *call) {
    const char *target = control_text(call, "target");
    if (call->by.role != PEOPLE_NONE) return place_backup(call);
    return target && *target == '/' ? SATCHEL_OK : control_misuse(call, "a backup needs a name, with its whole path");
}

static int work_backup(control_call *call, const progress *watch) {
    const service *sv = call->job.service;
    bundle *b = calloc(1, sizeof *b);
    call->state.result = b;
    int rc = b ? check_target(call) : SATCHEL_E_NOMEM;
    if (rc) return rc;
    const char *target = control_text(call, "target");
    hub_stats stats;
    hub_get_stats(sv->hub, &stats);
    backup_request r = {.data = sv->data,
                        .target = target,
                        .replace = json_is_true(json_object_get(call->request, "replace")),
                        .now_ms = sv->now_ms(NULL),
                        .reserve = stats.disk_reserve};
    rc = backup_make(&r, watch, b, &call->error);
    if (rc)
        log_line('e', NULL, "backup to %s failed: %s", target, call->error.n ? (const char *)call->error.p : satchel_rc_text(rc));
    return rc;
}

static int finish_backup(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const bundle *b = call->state.result;
    const char *target = control_text(call, "target");
    uint64_t bytes = 0;
    for (unsigned i = 0; i < b->n; i++) bytes += b->file[i].bytes;
    control_put_text(call->reply, "target", target);
    control_put_number(call->reply, "seq", b->seq);
    control_put_number(call->reply, "files", b->n);
    control_put_number(call->reply, "bytes", bytes);
    log_line('i', NULL, "backup as of commit %llu: %s", (unsigned long long)b->seq, target);
    return control_failed(call, store_backed_up(s, b->seq, target, now_ms), s, "the backup is made, but it could not be noted");
}

/* ---- a restore drill ---- */

/* The newest that the server made, into the request. */
static int take_newest(control_call *call) {
    char path[DATADIR_PATH_BYTES];
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, call->job.service->data);
    int sq = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000", NULL, NULL, NULL);
    /* As store_backed_up notes it. */
    if (sq == SQLITE_OK)
        sq = sqlite3_prepare_v2(
            db, "SELECT substr(text,instr(text,': ')+2) FROM satchel_event WHERE kind='backup' ORDER BY id DESC LIMIT 1", -1, &q,
            NULL);
    int step = sq == SQLITE_OK ? sqlite3_step(q) : SQLITE_DONE, rc = db_rc(sq);
    if (step == SQLITE_ROW && json_object_set_new(call->request, "target", json_string((const char *)sqlite3_column_text(q, 0))))
        rc = SATCHEL_E_NOMEM;
    if (!rc && step == SQLITE_DONE) rc = control_misuse(call, "there is no backup yet");
    if (!rc && step != SQLITE_ROW) rc = db_rc(step);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return rc;
}

static void drop_drill(void *result) {
    backup_drill *d = result;
    if (d) buf_fini(&d->wrong);
    free(d);
}

/* One that is named and is not there was named wrongly, which says nothing of any backup. */
static int take_named(control_call *call) {
    int rc = check_target(call);
    return rc || !access(control_text(call, "target"), F_OK)
               ? rc
               : os_fail(&call->error, control_text(call, "target"), NULL, "cannot open the backup");
}

static int work_drill(control_call *call, const progress *watch) {
    const service *sv = call->job.service;
    backup_drill *d = calloc(1, sizeof *d);
    call->state.result = d;
    int rc = !d ? SATCHEL_E_NOMEM : control_text(call, "target") ? take_named(call) : take_newest(call);
    if (rc) return rc;
    hub_stats stats;
    hub_get_stats(sv->hub, &stats);
    backup_request r = {.data = sv->data, .target = control_text(call, "target"), .reserve = stats.disk_reserve};
    return backup_try(&r, watch, d, &call->error);
}

/* What came out is kept among the events; "whole" or "not whole" stands first. */
static int finish_drill(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const backup_drill *d = call->state.result;
    const char *target = control_text(call, "target"), *wrong = d->wrong.n ? (const char *)d->wrong.p : NULL;
    char text[LIMIT_TEXT_BYTES];
    if (wrong)
        snprintf(text, sizeof text, "not whole: %s: %.*s", target, (int)strcspn(wrong, "\n"), wrong);
    else
        snprintf(text, sizeof text, "whole: %s, as of commit %llu, %llu rows, restored and checked in %.1f s", target,
                 (unsigned long long)d->seq, (unsigned long long)d->rows, (double)d->ms / 1000);
    log_line(wrong ? 'e' : 'i', NULL, "restore drill: %s", text);
    control_put_text(call->reply, "target", target);
    json_object_set_new(call->reply, "whole", json_boolean(!wrong));
    control_put_text(call->reply, "wrong", wrong);
    control_put_number(call->reply, "seq", d->seq);
    control_put_number(call->reply, "rows", d->rows);
    control_put_number(call->reply, "ms", d->ms);
    int rc = db_exec(&s->cache, "INSERT INTO satchel_event(at_ms,device,kind,text) VALUES(?,NULL,'drill',?)", "is",
                     (int64_t)now_ms, text);
    return control_failed(call, rc, s, "the drill is over, but what came out could not be noted");
}

/* ---- the store as it is ---- */

static int work_verify(control_call *call, const progress *watch) {
    char store_path[DATADIR_PATH_BYTES], snapshot_path[DATADIR_PATH_BYTES];
    const char *data = call->job.service->data;
    buf report = {0};
    unsigned problems = 0;
    snprintf(store_path, sizeof store_path, "%s/" BUNDLE_STORE, data);
    snprintf(snapshot_path, sizeof snapshot_path, "%s/snapshot.db", data);
    checksum_truth *wants = NULL;
    int rc = json_is_true(json_object_get(call->request, "repair")) ? checksum_truth_new(&wants) : SATCHEL_OK;
    if (!rc) rc = store_verify_files(store_path, snapshot_path, watch, &report, &problems, wants, &call->error);
    call->state.result = wants;
    control_put_report(call->reply, "report", &report);
    control_put_number(call->reply, "problems", problems);
    buf_fini(&report);
    return rc;
}

/* What was found by a reader is judged again here, as of now. */
static int finish_verify(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    checksum_truth *wants = call->state.result;
    buf report = {0};
    unsigned healed = 0;
    (void)now_ms;
    if (!wants || !checksum_truth_wanted(wants)) return SATCHEL_OK;
    int rc = ingest_scope_look(g);
    if (!rc) rc = checksum_truth_read(wants, store_db(s), NULL);
    if (!rc) rc = checksum_truth_compare(wants, store_db(s), store_schema(s), ingest_scope(g), &report, &healed);
    control_put_report(call->reply, "repair", &report);
    control_put_number(call->reply, "repaired", healed);
    buf_fini(&report);
    return control_failed(call, rc, s, "cannot put the store right");
}

static void after_verify(control_call *call) {
    const char *repair = json_string_value(json_object_get(call->reply, "repair"));
    buf report = {0};
    if (!repair) return;
    buf_put(&report, repair, strlen(repair));
    hub_tell_healed(call->job.service->hub, &report, (unsigned)json_integer_value(json_object_get(call->reply, "repaired")));
    buf_fini(&report);
}

static void drop_wants(void *result) {
    checksum_truth_free(result);
}

static int work_digest(control_call *call, const progress *watch) {
    char path[DATADIR_PATH_BYTES];
    buf report = {0};
    (void)watch;
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, call->job.service->data);
    int rc = store_digest_file(path, &report, &call->error);
    control_put_report(call->reply, "digest", &report);
    buf_fini(&report);
    return rc;
}

const control_work control_backup_works[] = {
    {"backup", work_backup, finish_backup, NULL, NULL, PEOPLE_ADMIN, false},
    {"backup.drill", work_drill, finish_drill, NULL, drop_drill, PEOPLE_ADMIN, false},
    {"verify", work_verify, finish_verify, after_verify, drop_wants, PEOPLE_ADMIN, true},
    {"digest", work_digest, NULL, NULL, NULL, PEOPLE_ADMIN, true},
    {0},
};
