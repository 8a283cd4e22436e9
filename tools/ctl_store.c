/* ctl_store.c - satchelctl verify, digest, status. */
#include <stdio.h>

#include "tools/ctl.h"

int ctl_verify(ctl *c) {
    json_t *reply;
    json_t *request = json_pack("{ss sb sb}", "command", "verify", "progress", 1, "repair", ctl_value(c, "repair") != NULL);
    int rc = ctl_call(c, request, "verifying", &reply);
    if (rc) return rc;
    json_int_t problems = json_integer_value(json_object_get(reply, "problems"));
    if (c->json) {
        ctl_print_json(reply);
    } else {
        const char *repair = json_string_value(json_object_get(reply, "repair"));
        fputs(json_string_value(json_object_get(reply, "report")), stdout);
        if (repair) fputs(repair, stdout);
        if (problems)
            printf("%" JSON_INTEGER_FORMAT " problem%s\n", problems, problems == 1 ? "" : "s");
        else
            puts("The store is sound.");
    }
    json_decref(reply);
    return problems ? CTL_FAILED : CTL_DONE;
}

static void print_digest(const json_t *reply) {
    fputs(json_string_value(json_object_get(reply, "digest")), stdout);
}

int ctl_digest(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "digest"), "reading the tables", print_digest);
}

static void print_status(const json_t *reply) {
    static const ctl_column server[] = {
        {"version", "version", CTL_TEXT}, {"data", "data directory", CTL_TEXT},   {"uptime_ms", "up for", CTL_MILLISECONDS},
        {"host", "host", CTL_TEXT},       {"sync_port", "sync port", CTL_NUMBER}, {"https_port", "HTTPS port", CTL_NUMBER},
    };
    static const ctl_column position[] = {
        {"seq", "newest commit", CTL_NUMBER},
        {"floor", "log begins after", CTL_NUMBER},
        {"epoch", "server epoch", CTL_TEXT},
        {"schema_epoch", "schema epoch", CTL_NUMBER},
    };
    static const ctl_column store[] = {
        {"active", "active devices", CTL_NUMBER},
        {"rows", "rows", CTL_NUMBER},
        {"rejected_open", "rejected, open", CTL_NUMBER},
        {"conflicts", "conflicts recorded", CTL_NUMBER},
        {"log_rows", "log entries", CTL_NUMBER},
        {"bytes", "bytes on disk", CTL_NUMBER},
        {"backup_ms", "newest backup", CTL_TIME},
        {"silent", "silent for a day", CTL_NUMBER},
        {"alerts", "alerts", CTL_NUMBER},
    };
    static const ctl_column since[] = {
        {"sessions", "devices connected", CTL_NUMBER},
        {"txns_accepted", "accepted since start", CTL_NUMBER},
        {"txns_refused", "refused since start", CTL_NUMBER},
        {"writable", "takes changes", CTL_TEXT},
        {"disk_free", "bytes free", CTL_NUMBER},
    };
    static const ctl_column trouble[] = {{"scope_trouble", "trouble", CTL_TEXT}, {"notice_trouble", "trouble", CTL_TEXT}};
    ctl_record(reply, server, sizeof server / sizeof *server);
    ctl_record(json_object_get(reply, "position"), position, sizeof position / sizeof *position);
    ctl_record(json_object_get(reply, "store"), store, sizeof store / sizeof *store);
    const json_t *start = json_object_get(reply, "since_start");
    ctl_record(start, since, sizeof since / sizeof *since);
    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++)
        if (json_is_string(json_object_get(start, trouble[i].member))) ctl_record(start, &trouble[i], 1);
}

int ctl_status(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "status"), "status", print_status);
}
