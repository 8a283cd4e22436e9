/* ctl_conflict.c - satchelctl conflict list, show, accept, restore. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl.h"

#define A_CONFLICT "a conflict"

int ctl_conflict_list(ctl *c) {
    static const ctl_column columns[] = {
        {"id", "ID", CTL_NUMBER},     {"at_ms", "AT", CTL_TIME},       {"state", "STATE", CTL_TEXT},
        {"table", "TABLE", CTL_TEXT}, {"key", "KEY", CTL_TEXT},        {"column", "COLUMN", CTL_TEXT},
        {"rule", "RULE", CTL_TEXT},   {"kept", "KEPT", CTL_TEXT},      {"kept_device", "BY", CTL_TEXT},
        {"lost", "LOST", CTL_TEXT},   {"lost_device", "BY", CTL_TEXT},
    };
    long limit = 50;
    int rc = ctl_number(c, "limit", 1, 10000, &limit);
    if (rc) return rc;
    bool open = ctl_value(c, "open");
    json_t *request = json_pack("{ss sI sb}", "command", "conflicts", "limit", (json_int_t)limit, "open", (int)open);
    return ctl_list(c, request, "conflicts", "conflicts", columns, sizeof columns / sizeof *columns,
                    open ? "No open conflicts." : "No conflicts.");
}

static void print_conflict(const json_t *reply) {
    static const ctl_column head[] = {
        {"id", "id", CTL_NUMBER},           {"at_ms", "at", CTL_TIME},       {"seq", "commit", CTL_NUMBER},
        {"table", "table", CTL_TEXT},       {"key", "key", CTL_TEXT},        {"column", "column", CTL_TEXT},
        {"rule", "rule", CTL_TEXT},         {"kept", "kept", CTL_WORDS},     {"kept_device", "by", CTL_TEXT},
        {"lost", "lost", CTL_WORDS},        {"lost_device", "by", CTL_TEXT}, {"state", "state", CTL_TEXT},
        {"resolved_ms", "since", CTL_TIME},
    };
    static const ctl_column now[] = {{"now", "now", CTL_WORDS}};
    ctl_record(json_object_get(reply, "conflict"), head, sizeof head / sizeof *head);
    ctl_record(reply, now, 1);
}

int ctl_conflict_show(ctl *c) {
    json_int_t id = ctl_id(c->word[2], A_CONFLICT);
    if (!id) return CTL_USAGE;
    return ctl_show(c, json_pack("{ss sI}", "command", "conflict.show", "id", id), NULL, print_conflict);
}

int ctl_conflict_accept(ctl *c) {
    json_t *ids = ctl_ids(c, A_CONFLICT);
    if (!ids) return CTL_USAGE;
    return ctl_do(c, json_pack("{ss so}", "command", "conflict.accept", "ids", ids), NULL, "Accepted.");
}

int ctl_conflict_restore(ctl *c) {
    json_int_t id = ctl_id(c->word[2], A_CONFLICT);
    if (!id) return CTL_USAGE;
    return ctl_do(c, json_pack("{ss sI}", "command", "conflict.restore", "id", id), NULL,
                  "Restored: every device that holds the row gets it.");
}
