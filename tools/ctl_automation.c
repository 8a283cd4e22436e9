/* ctl_automation.c - satchelctl automation list, show, on, off, try, run, replay, dismiss, history, publish. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl.h"

/* The automation called `name`, borrowed from *reply; CTL_FAILED after telling that there is none. */
static int find(ctl *c, const char *name, json_t **reply, json_t **out) {
    size_t i;
    json_t *each;
    int rc = ctl_call(c, json_pack("{ss}", "command", "automation.list"), NULL, reply);
    if (rc) return rc;
    *out = NULL;
    json_array_foreach(json_object_get(*reply, "automations"), i, each) {
        if (!strcmp(json_string_value(json_object_get(each, "name")), name)) *out = each;
    }
    if (*out) return CTL_DONE;
    fprintf(stderr, "satchelctl: there is no automation %s\n", name);
    json_decref(*reply);
    return CTL_FAILED;
}

int ctl_automation_list(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "NAME", CTL_TEXT},   {"active", "ON", CTL_TEXT},       {"table", "TABLE", CTL_TEXT},
        {"event", "EVENT", CTL_TEXT}, {"every", "EVERY", CTL_TEXT},     {"last_ms", "LAST", CTL_TIME},
        {"ran", "DONE", CTL_NUMBER},  {"failed", "FAILED", CTL_NUMBER},
    };
    return ctl_list(c, json_pack("{ss}", "command", "automation.list"), NULL, "automations", columns,
                    sizeof columns / sizeof *columns, "No automations.");
}

static void print_part(const json_t *o, const char *member, const char *heading) {
    const char *text = json_string_value(json_object_get(o, member));
    if (text) printf("%-12s %s\n", heading, text);
}

int ctl_automation_show(ctl *c) {
    json_t *reply, *o;
    int rc = find(c, c->word[2], &reply, &o);
    if (rc) return rc;
    if (c->json) {
        ctl_print_json(o);
    } else {
        print_part(o, "name", "name");
        print_part(o, "about", "about");
        printf("%-12s %s\n", "on", json_is_true(json_object_get(o, "active")) ? "yes" : "no");
        print_part(o, "every", "every");
        print_part(o, "table", "table");
        print_part(o, "event", "event");
        print_part(o, "columns", "columns");
        print_part(o, "condition", "condition");
        printf("%-12s %s\n", "overwrites", json_is_true(json_object_get(o, "overwrites")) ? "yes" : "no");
        print_part(o, "actions", "actions");
    }
    json_decref(reply);
    return CTL_DONE;
}

static int switch_one(ctl *c, const char *command, const char *done) {
    return ctl_do(c, json_pack("{ss ss}", "command", command, "name", c->word[2]), NULL, "%s is %s.", c->word[2], done);
}

int ctl_automation_on(ctl *c) {
    return switch_one(c, "automation.on", "on");
}

int ctl_automation_off(ctl *c) {
    return switch_one(c, "automation.off", "off");
}

static void print_report(const json_t *reply) {
    fputs(json_string_value(json_object_get(reply, "report")), stdout);
}

int ctl_automation_try(ctl *c) {
    return ctl_show(c,
                    json_pack("{ss ss ss* ss*}", "command", "automation.try", "name", c->word[2], "table", ctl_value(c, "table"),
                              "key", ctl_value(c, "key")),
                    "trying", print_report);
}

/* CTL_FAILED, too, if what ran has failed. *reply is what people are to be told, the caller's; NULL: all is told. */
static int run(ctl *c, json_t *request, json_t **reply) {
    int rc = ctl_call(c, request, "running", reply);
    if (rc) return rc;
    if (json_is_true(json_object_get(*reply, "failed"))) rc = CTL_FAILED;
    if (!c->json) return rc;
    ctl_print_json(*reply);
    json_decref(*reply);
    *reply = NULL;
    return rc;
}

int ctl_automation_run(ctl *c) {
    json_t *reply;
    int rc = run(c, json_pack("{ss ss}", "command", "automation.run", "name", c->word[2]), &reply);
    if (reply && rc)
        fprintf(stderr, "satchelctl: %s has failed; see satchelctl automation history %s\n", c->word[2], c->word[2]);
    else if (reply)
        printf("%s has run.\n", c->word[2]);
    json_decref(reply);
    return rc;
}

#define AN_ENTRY "an entry of the history"

int ctl_automation_dismiss(ctl *c) {
    json_t *ids = ctl_ids(c, AN_ENTRY);
    if (!ids) return CTL_USAGE;
    return ctl_do(c, json_pack("{ss so}", "command", "automation.dismiss", "ids", ids), NULL, "Dismissed.");
}

int ctl_automation_replay(ctl *c) {
    json_int_t id = ctl_id(c->word[2], AN_ENTRY);
    bool unconditional = ctl_value(c, "unconditional");
    json_t *reply;
    if (!id) return CTL_USAGE;
    int rc =
        run(c, json_pack("{ss sI sb}", "command", "automation.replay", "id", id, "unconditional", (int)unconditional), &reply);
    json_int_t again = json_integer_value(json_object_get(reply, "id"));
    if (reply && rc)
        fprintf(stderr,
                "satchelctl: it has failed again; entry %" JSON_INTEGER_FORMAT " of satchelctl automation history says why\n",
                again);
    else if (reply)
        printf("Run again as entry %" JSON_INTEGER_FORMAT "; rows written: %" JSON_INTEGER_FORMAT ".\n", again,
               json_integer_value(json_object_get(reply, "wrote")));
    json_decref(reply);
    return rc;
}

int ctl_automation_history(ctl *c) {
    static const ctl_column columns[] = {
        {"id", "ID", CTL_NUMBER},
        {"at_ms", "AT", CTL_TIME},
        {"name", "NAME", CTL_TEXT},
        {"seq", "COMMIT", CTL_NUMBER},
        {"table", "TABLE", CTL_TEXT},
        {"key", "KEY", CTL_TEXT},
        {"wrote", "WROTE", CTL_NUMBER},
        {"ms", "MS", CTL_NUMBER},
        {"rc", "FAILED", CTL_TEXT},
        {"replayed_by", "AGAIN", CTL_NUMBER},
        {"settled_ms", "SETTLED", CTL_TIME},
        {"words", "WORDS", CTL_TEXT},
    };
    long limit = 50;
    int rc = ctl_number(c, "limit", 1, 10000, &limit);
    if (rc) return rc;
    json_t *request = json_pack("{ss sI ss*}", "command", "automation.history", "limit", (json_int_t)limit, "name",
                                c->nword > 2 ? c->word[2] : NULL);
    return ctl_list(c, request, NULL, "runs", columns, sizeof columns / sizeof *columns, "No automation did anything.");
}

static void print_published(const json_t *reply) {
    printf("%" JSON_INTEGER_FORMAT " automations are in force.\n", json_integer_value(json_object_get(reply, "rules")));
}

int ctl_automation_publish(ctl *c) {
    json_t *request;
    int rc = ctl_rules(c, "automation.publish", &request);
    return rc ? rc : ctl_show(c, request, "publishing", print_published);
}
