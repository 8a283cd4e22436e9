/* Works of the admin that read the whole store, through connections of their own: a backup, a check, the digests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/backup.h"
#include "server/checksum_store.h"
#include "server/control_private.h"
#include "server/log.h"

static int work_backup(control_call *call, const progress *watch) {
    const service *sv = call->job.service;
    const char *target = control_text(call, "target");
    bundle *b = calloc(1, sizeof *b);
    call->state.result = b;
    if (!b) return SATCHEL_E_NOMEM;
    if (!target || *target != '/') return control_misuse(call, "a backup needs a name, with its whole path");
    hub_stats stats;
    hub_get_stats(sv->hub, &stats);
    backup_request r = {.data = sv->data,
                        .target = target,
                        .replace = json_is_true(json_object_get(call->request, "replace")),
                        .now_ms = sv->now_ms(NULL),
                        .reserve = stats.disk_reserve};
    int rc = backup_make(&r, watch, b, &call->error);
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
    {"verify", work_verify, finish_verify, after_verify, drop_wants, PEOPLE_ADMIN, true},
    {"digest", work_digest, NULL, NULL, NULL, PEOPLE_ADMIN, true},
    {0},
};
