/* Rows in and out: a batch of an import on the writer, an export on a thread of its own. */
#include <stdio.h>

#include "protocol/satchel_rc.h"
#include "server/bundle.h"
#include "server/control_private.h"
#include "server/export.h"
#include "server/import.h"

static int run_import(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    int rc = import_batch(s, g, call->request, now_ms, call->reply, &call->error);
    return control_failed(call, rc, s, "cannot take the rows in");
}

static bool stream_line(void *ctx, const buf *line) {
    return control_stream(ctx, line);
}

static int work_export(control_call *call, const progress *watch) {
    char path[DATADIR_PATH_BYTES];
    uint64_t rows = 0;
    export_sink sink = {.line = stream_line, .ctx = call};
    (void)watch; /* the lines themselves tell how far it is */
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, call->job.service->data);
    int rc = export_rows(path, call->request, &sink, &rows, &call->error);
    control_put_number(call->reply, "rows", rows);
    return rc;
}

const control_command control_transfer_commands[] = {
    {"import", true, run_import, NULL, PEOPLE_ADMIN, false},
    {0},
};

const control_work control_transfer_works[] = {
    {"export", work_export, NULL, NULL, NULL, PEOPLE_NONE, true},
    {0},
};
