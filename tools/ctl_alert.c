/* ctl_alert.c - satchelctl alert list, ack, silence, unsilence, rules, set, on, off, test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/ctl.h"

/* "90", "90s", "15m", "8h", "14d" as seconds; false: it is none. */
static bool seconds_of(const char *text, double *out) {
    static const struct {
        char letter;
        double s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    *out = strtod(text, &end);
    if (end == text) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (*end != units[i].letter || end[1]) continue;
        *out *= units[i].s;
        return true;
    }
    return !*end;
}

/* ---- what is open ---- */

/* Ways that tell somebody; one that fails is told below the list. */
static void print_ways(const json_t *ways) {
    size_t i;
    const json_t *way;
    json_array_foreach(ways, i, way) {
        const char *state = json_string_value(json_object_get(way, "state")),
                   *name = json_string_value(json_object_get(way, "way"));
        if (strcmp(state, "failing")) continue;
        printf("\n%s fails, %" JSON_INTEGER_FORMAT " times in a row, and %" JSON_INTEGER_FORMAT " alerts wait to be told: %s\n",
               name, json_integer_value(json_object_get(way, "failures")), json_integer_value(json_object_get(way, "waiting")),
               json_string_value(json_object_get(way, "words")));
    }
}

int ctl_alert_list(ctl *c) {
    static const ctl_column columns[] = {
        {"id", "ID", CTL_NUMBER},     {"severity", "SEVERITY", CTL_TEXT}, {"state", "STATE", CTL_TEXT},
        {"rule", "RULE", CTL_TEXT},   {"opened_ms", "SINCE", CTL_TIME},   {"closed_ms", "OVER", CTL_TIME},
        {"words", "WHAT", CTL_WORDS},
    };
    static const ctl_column silenced[] = {
        {"rule", "SILENCED", CTL_TEXT}, {"device", "DEVICE", CTL_TEXT}, {"until_ms", "UNTIL", CTL_TIME}, {"by", "BY", CTL_TEXT}};
    json_t *reply;
    long limit = 1000;
    int rc = ctl_number(c, "limit", 1, 10000, &limit);
    if (rc) return rc;
    rc = ctl_call(
        c, json_pack("{ss sI sb}", "command", "alert.list", "limit", (json_int_t)limit, "all", ctl_value(c, "all") != NULL), NULL,
        &reply);
    if (rc) return rc;
    if (c->json) {
        json_object_del(reply, "ok");
        ctl_print_json(reply);
    } else {
        const json_t *silences = json_object_get(reply, "silences");
        ctl_listing(c, reply, "alerts", columns, sizeof columns / sizeof *columns, "No alerts.");
        if (json_array_size(silences)) putchar('\n');
        if (json_array_size(silences)) ctl_table(silences, silenced, sizeof silenced / sizeof *silenced);
        print_ways(json_object_get(reply, "notices"));
    }
    json_decref(reply);
    return CTL_DONE;
}

int ctl_alert_ack(ctl *c) {
    json_t *ids = ctl_ids(c, "an alert");
    if (!ids) return CTL_USAGE;
    return ctl_do(c, json_pack("{ss so}", "command", "alert.ack", "ids", ids), NULL, "Acknowledged.");
}

int ctl_alert_test(ctl *c) {
    static const ctl_column columns[] = {{"way", "WAY", CTL_TEXT}, {"state", "STATE", CTL_TEXT}, {"words", "WHY", CTL_WORDS}};
    json_t *reply;
    int rc = ctl_call(c, json_pack("{ss}", "command", "alert.test"), "sending", &reply);
    if (rc) return rc;
    bool failed = json_integer_value(json_object_get(reply, "failed")) > 0;
    if (c->json)
        ctl_print_json(json_object_get(reply, "notices"));
    else
        ctl_table(json_object_get(reply, "notices"), columns, sizeof columns / sizeof *columns);
    json_decref(reply);
    return failed ? CTL_FAILED : CTL_DONE;
}

/* ---- silence ---- */

int ctl_alert_silence(ctl *c) {
    const char *length = ctl_value(c, "for");
    double s = 0;
    if (!length || !seconds_of(length, &s) || s < 1 || s > 366.0 * 86400) {
        fputs("satchelctl: --for takes how long: 90m, 8h, 14d\n", stderr);
        return CTL_USAGE;
    }
    json_int_t until_ms = ((json_int_t)time(NULL) + (json_int_t)s) * 1000;
    return ctl_do(c,
                  json_pack("{ss ss sI ss*}", "command", "alert.silence", "rule", c->word[2], "until_ms", until_ms, "device",
                            ctl_value(c, "device")),
                  NULL, "Silenced.");
}

int ctl_alert_unsilence(ctl *c) {
    return ctl_do(c, json_pack("{ss ss ss*}", "command", "alert.unsilence", "rule", c->word[2], "device", ctl_value(c, "device")),
                  NULL, "Not silenced any more.");
}

/* ---- rules ---- */

int ctl_alert_rules(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "NAME", CTL_TEXT},     {"active", "ON", CTL_TEXT},        {"severity", "SEVERITY", CTL_TEXT},
        {"metric", "METRIC", CTL_TEXT}, {"aggregation", "OVER", CTL_TEXT}, {"window_s", "WINDOW", CTL_NUMBER},
        {"op", "IS", CTL_TEXT},         {"threshold", "THAN", CTL_REAL},   {"profile", "PROFILE", CTL_TEXT},
        {"hours", "HOURS", CTL_TEXT},
    };
    return ctl_list(c, json_pack("{ss}", "command", "alert.rule.list"), NULL, "rules", columns, sizeof columns / sizeof *columns,
                    "No rules.");
}

/* A number of seconds, or of anything. */
static int put_number(ctl *c, json_t *request, const char *option, const char *member, bool whole) {
    const char *text = ctl_value(c, option);
    double v;
    if (!text) return CTL_DONE;
    if (!seconds_of(text, &v) || (whole && (v < 0 || v > 1e9))) {
        fprintf(stderr, "satchelctl: --%s takes a number, or a time as 90s, 15m, 8h, 14d, not \"%s\"\n", option, text);
        return CTL_USAGE;
    }
    json_object_set_new(request, member, whole ? json_integer((json_int_t)v) : json_real(v));
    return CTL_DONE;
}

int ctl_alert_set(ctl *c) {
    static const char *const texts[] = {"metric", "aggregation", "op", "severity", "profile", "hours", "about"};
    json_t *request = json_pack("{ss ss}", "command", "alert.rule.set", "name", c->word[2]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (ctl_value(c, texts[i])) json_object_set_new(request, texts[i], json_string(ctl_value(c, texts[i])));
    int rc = put_number(c, request, "window", "window_s", true);
    if (!rc) rc = put_number(c, request, "threshold", "threshold", false);
    if (rc) {
        json_decref(request);
        return rc;
    }
    return ctl_do(c, request, NULL, "It is in force from now on.");
}

static int switch_one(ctl *c, const char *command, const char *done) {
    return ctl_do(c, json_pack("{ss ss}", "command", command, "name", c->word[2]), NULL, "%s", done);
}

int ctl_alert_on(ctl *c) {
    return switch_one(c, "alert.rule.on", "It is on.");
}

int ctl_alert_off(ctl *c) {
    return switch_one(c, "alert.rule.off", "It is off.");
}
