/* ctl_conflict.c - satchelctl conflict list, show, accept, restore. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl.h"

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
    json_t *reply, *request = json_pack("{ss sI sb}", "command", "conflicts", "limit", (json_int_t)limit, "open", (int)open);
    rc = ctl_call(c, request, "conflicts", &reply);
    if (rc) return rc;
    ctl_listing(c, reply, "conflicts", columns, sizeof columns / sizeof *columns, open ? "No open conflicts." : "No conflicts.");
    json_decref(reply);
    return CTL_DONE;
}

/* An operand as the number of a conflict; 0 after telling. */
static json_int_t id_of(const char *word) {
    char *end;
    errno = 0;
    long long id = strtoll(word, &end, 10);
    if (!*end && !errno && id >= 1) return id;
    fprintf(stderr, "satchelctl: \"%s\" is not the number of a conflict\n", word);
    return 0;
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
    json_t *reply;
    json_int_t id = id_of(c->word[2]);
    if (!id) return CTL_USAGE;
    int rc = ctl_call(c, json_pack("{ss sI}", "command", "conflict.show", "id", id), NULL, &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        print_conflict(reply);
    json_decref(reply);
    return CTL_DONE;
}

static int settle(ctl *c, json_t *request, const char *done) {
    json_t *reply;
    int rc = ctl_call(c, request, NULL, &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        puts(done);
    json_decref(reply);
    return CTL_DONE;
}

int ctl_conflict_accept(ctl *c) {
    json_t *ids = json_array();
    for (int i = 2; i < c->nword; i++) {
        json_int_t id = id_of(c->word[i]);
        if (!id) {
            json_decref(ids);
            return CTL_USAGE;
        }
        json_array_append_new(ids, json_integer(id));
    }
    return settle(c, json_pack("{ss so}", "command", "conflict.accept", "ids", ids), "Accepted.");
}

int ctl_conflict_restore(ctl *c) {
    json_int_t id = id_of(c->word[2]);
    if (!id) return CTL_USAGE;
    return settle(c, json_pack("{ss sI}", "command", "conflict.restore", "id", id),
                  "Restored: every device that holds the row gets it.");
}
