/* satchel status, conflicts, verify, digest - the commands that look at a file. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/digest.h"
#include "tools/satchel_cli.h"

static const char *format_time(uint64_t ms, char out[32]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (!ms || !gmtime_r(&seconds, &tm)) return "never";
    strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return out;
}

static void print_status(const satchel_status_info *i) {
    char when[32];
    if (i->enrolled)
        printf("server       %s port %u\ndevice       %s\n", i->host, i->port, i->device);
    else
        printf("server       none; see satchel enroll\n");
    printf("pending      %llu\naccepted     %llu\nrefused      %llu\nconflicts    %llu\n", (unsigned long long)i->pending,
           (unsigned long long)i->accepted, (unsigned long long)i->refused, (unsigned long long)i->conflicts);
    printf("cursor       %llu of %llu\nschema       %u\nincarnation  %u\n", (unsigned long long)i->cursor,
           (unsigned long long)i->head, i->schema_epoch, i->incarnation);
    if (i->rows_total)
        printf("first sync   %llu of %llu rows\n", (unsigned long long)i->rows_done, (unsigned long long)i->rows_total);
    printf("last in step %s\n", format_time(i->last_sync_ms, when));
    if (i->clock_offset_ms > 300000 || i->clock_offset_ms < -300000)
        printf("clock        wrong by %.0f seconds\n", -(double)i->clock_offset_ms / 1000);
    if (i->last_error) printf("last error   %s (%s)\n", i->last_error_text, satchel_rc_name(i->last_error));
}

static json_t *status_json(const satchel_status_info *i) {
    return json_pack("{sb ss ss si sI sI sI sI sI sI si si sI sI sI sI ss ss}", "enrolled", i->enrolled, "device", i->device,
                     "host", i->host, "port", (int)i->port, "pending", (json_int_t)i->pending, "accepted",
                     (json_int_t)i->accepted, "refused", (json_int_t)i->refused, "conflicts", (json_int_t)i->conflicts, "cursor",
                     (json_int_t)i->cursor, "head", (json_int_t)i->head, "schema_epoch", (int)i->schema_epoch, "incarnation",
                     (int)i->incarnation, "rows_done", (json_int_t)i->rows_done, "rows_total", (json_int_t)i->rows_total,
                     "last_sync_ms", (json_int_t)i->last_sync_ms, "clock_offset_ms", (json_int_t)i->clock_offset_ms, "last_error",
                     i->last_error ? satchel_rc_name(i->last_error) : "", "last_error_text", i->last_error_text);
}

int cli_status(cli *c) {
    satchel_status_info info = {.size = sizeof info};
    if (satchel_get_status(c->s, &info)) return cli_fail(c, "status");
    if (c->json)
        device_print_json(status_json(&info));
    else
        print_status(&info);
    return 0;
}

int cli_print_view(cli *c, const char *sql) {
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(satchel_db(c->s), sql, -1, &stmt, NULL);
    if (!rc) rc = cli_print_rows(c, stmt, true);
    if (rc) fprintf(stderr, "satchel: %s\n", sqlite3_errmsg(satchel_db(c->s)));
    sqlite3_finalize(stmt);
    return rc != SQLITE_OK;
}

int cli_conflicts(cli *c) {
    return cli_print_view(c, "SELECT * FROM satchel_conflicts");
}

int cli_verify(cli *c) {
    char *report = NULL;
    if (c->server) return cli_compare(c);
    int rc = satchel_verify(c->s, &report);
    if (report) fputs(report, stdout);
    sqlite3_free(report);
    if (rc) return cli_fail(c, "verify");
    puts("ok");
    return 0;
}

static int read_digest(sqlite3 *db, buf *report, buf *error) {
    schema *tables = NULL;
    int rc = schema_load(db, &tables, error);
    if (!rc) rc = digest_tables(db, tables, report);
    schema_free(tables);
    return rc;
}

/* All tables as of one moment, though others may write. */
int cli_digest(cli *c) {
    sqlite3 *db = satchel_db(c->s);
    buf report = {0}, error = {0};
    int rc = sqlite3_exec(db, "BEGIN; SELECT count(*) FROM satchel_table", NULL, NULL, NULL) ? SATCHEL_E_BUSY
                                                                                             : read_digest(db, &report, &error);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    const char *text = report.n ? (const char *)report.p : "";
    if (rc)
        fprintf(stderr, "satchel: digest: %s (%s)\n", error.n ? (const char *)error.p : satchel_rc_text(rc), satchel_rc_name(rc));
    else if (c->json)
        device_print_json(json_pack("{ss}", "digest", text));
    else
        fputs(text, stdout);
    buf_fini(&report);
    buf_fini(&error);
    return rc != 0;
}
