/* ctl_rollout.c - satchelctl rollout start, advance, finish, abort, show. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl.h"

static const char *text_of(const json_t *o, const char *member) {
    return json_string_value(json_object_get(o, member));
}

/* How things stand. */
static void print_state(const json_t *reply) {
    static const ctl_column columns[] = {
        {"name", "PROFILE", CTL_TEXT},    {"devices", "DEVICES", CTL_NUMBER},      {"next", "NEXT", CTL_TEXT},
        {"given", "HAVE IT", CTL_NUMBER}, {"told", "WERE HERE SINCE", CTL_NUMBER},
    };
    if (!text_of(reply, "name")) {
        puts("No rollout is under way.");
        return;
    }
    printf("%s is rolled out beside %s.\n", text_of(reply, "name"), text_of(reply, "before"));
    ctl_table(json_object_get(reply, "profiles"), columns, sizeof columns / sizeof *columns);
}

static void print_ended(const json_t *reply) {
    printf("The rollout is over; devices that had a next profile, and have the one before it: %" JSON_INTEGER_FORMAT ".\n",
           json_integer_value(json_object_get(reply, "devices")));
}

int ctl_rollout_start(ctl *c) {
    json_t *request;
    long percent = 0;
    int rc = ctl_number(c, "percent", 0, 100, &percent);
    if (!rc) rc = ctl_rules(c, "rollout.start", &request);
    if (rc) return rc;
    json_object_set_new(request, "percent", json_integer(percent));
    return ctl_show(c, request, "looking at every row", print_state);
}

int ctl_rollout_advance(ctl *c) {
    char *end;
    long percent = strtol(c->word[2], &end, 10);
    if (end == c->word[2] || *end || percent < 1 || percent > 100) {
        fprintf(stderr, "satchelctl: to how many percent of the devices: a whole number from 1 to 100, not \"%s\"\n", c->word[2]);
        return CTL_USAGE;
    }
    return ctl_show(c, json_pack("{ss sI}", "command", "rollout.advance", "percent", (json_int_t)percent), NULL, print_state);
}

int ctl_rollout_finish(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "rollout.finish"), "looking at every row", print_ended);
}

int ctl_rollout_abort(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "rollout.abort"), "looking at every row", print_ended);
}

int ctl_rollout_show(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "rollout.show"), NULL, print_state);
}
