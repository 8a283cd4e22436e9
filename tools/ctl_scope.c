/* ctl_scope.c - satchelctl scope show, publish, dry-run, explain, grant, grants, revoke. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/control.h"
#include "tools/ctl.h"

#define READ_BYTES (64u << 10)

/* ---- the rules ---- */

static int fail(const char *what, const char *why) {
    fprintf(stderr, "satchelctl: %s: %s\n", what, why);
    return CTL_FAILED;
}

static const char *text_of_time(uint64_t ms, char out[40]) {
    time_t at = (time_t)(ms / 1000);
    struct tm tm;
    out[0] = 0;
    if (gmtime_r(&at, &tm)) strftime(out, 40, "%Y-%m-%d %H:%M UTC", &tm);
    return out;
}

int ctl_rules(const ctl *c, const char *command, json_t **request) {
    const char *name = c->word[2], *slash = strrchr(name, '/');
    buf hold = {.max = CONTROL_SQL_BYTES};
    bool is_input = !strcmp(name, "-");
    FILE *f = is_input ? stdin : fopen(name, "re");
    if (!f) return fail(name, strerror(errno));
    for (size_t n = 1; n && !hold.rc;) {
        uint8_t *room = buf_reserve(&hold, READ_BYTES);
        n = room ? fread(room, 1, READ_BYTES, f) : 0;
        hold.n += n;
    }
    const char *why = ferror(f) ? strerror(errno) : hold.rc ? "too long" : NULL;
    if (!is_input) fclose(f);
    json_t *text = why ? NULL : json_stringn(hold.p ? (const char *)hold.p : "", hold.n);
    if (!why && !text) why = "this is not UTF-8";
    buf_fini(&hold);
    if (why) return fail(name, why);
    *request = json_pack("{ss ss so}", "command", command, "name", slash ? slash + 1 : name, "text", text);
    return CTL_DONE;
}

static void print_rules(const json_t *reply) {
    const char *text = json_string_value(json_object_get(reply, "text"));
    char when[40];
    if (!text) {
        puts("No rules are published: every device holds everything.");
        return;
    }
    fprintf(stderr, "Version %" JSON_INTEGER_FORMAT " (%s), published %s as of commit %" JSON_INTEGER_FORMAT ".\n",
            json_integer_value(json_object_get(reply, "version")), json_string_value(json_object_get(reply, "name")),
            text_of_time((uint64_t)json_integer_value(json_object_get(reply, "at_ms")), when),
            json_integer_value(json_object_get(reply, "seq")));
    fputs(text, stdout);
}

int ctl_scope_show(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "scope.show"), NULL, print_rules);
}

static void print_published(const json_t *reply) {
    printf("published as version %" JSON_INTEGER_FORMAT "; %" JSON_INTEGER_FORMAT " rows changed buckets\n",
           json_integer_value(json_object_get(reply, "version")), json_integer_value(json_object_get(reply, "moved")));
}

int ctl_scope_publish(ctl *c) {
    json_t *request;
    int rc = ctl_rules(c, "scope.publish", &request);
    if (!rc && ctl_value(c, "end-rollout")) json_object_set_new(request, "end_rollout", json_true());
    return rc ? rc : ctl_show(c, request, "looking at every row", print_published);
}

/* What an answer tells as one text for people, or as an object. */
static void print_report(const ctl *c, json_t *reply) {
    const json_t *report = json_object_get(reply, "report");
    if (c->json)
        ctl_print_json(report);
    else
        fputs(json_string_value(report), stdout);
    json_decref(reply);
}

int ctl_scope_dry_run(ctl *c) {
    json_t *request, *reply;
    int rc = ctl_rules(c, "scope.dry_run", &request);
    if (rc) return rc;
    json_object_set_new(request, "json", json_boolean(c->json));
    json_object_set_new(request, "progress", json_true());
    rc = ctl_call(c, request, "trying the rules", &reply);
    if (!rc) print_report(c, reply);
    return rc;
}

/* ---- one row on one device ---- */

static const char *const needed[] = {"device", "table", "key", "until", "reason"};

/* {"command": ..., "device": ..., ...} of the first n options above, which have to be there. */
static int request_of(const ctl *c, const char *command, size_t n, json_t **out) {
    *out = json_pack("{ss sb}", "command", command, "json", (int)c->json);
    for (size_t i = 0; i < n; i++) {
        const char *v = ctl_value(c, needed[i]);
        if (!v) {
            fprintf(stderr, "satchelctl: --%s is missing\n", needed[i]);
            json_decref(*out);
            return CTL_USAGE;
        }
        json_object_set_new(*out, needed[i], json_string(v));
    }
    return CTL_DONE;
}

int ctl_scope_explain(ctl *c) {
    json_t *request, *reply;
    int rc = request_of(c, "scope.explain", 3, &request);
    if (!rc) rc = ctl_call(c, request, NULL, &reply);
    if (!rc) print_report(c, reply);
    return rc;
}

/* "90m", "8h", "14d" from now on; or a time of day and date in UTC: "2026-12-24", "2026-12-24 18:00". 0: neither. */
static uint64_t time_of_text(const char *text, uint64_t now_ms) {
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    for (size_t i = 0; i < 3; i++)
        if (!errno && n && n <= 100000 && *text != '-' && end[0] == units[i].unit && !end[1]) return now_ms + n * units[i].ms;
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, formats[i], &tm);
        time_t at = rest && !*rest ? timegm(&tm) : -1;
        if (at > 0) return (uint64_t)at * 1000;
    }
    return 0;
}

int ctl_scope_grant(ctl *c) {
    json_t *request, *reply;
    char when[40];
    int rc = request_of(c, "scope.grant", 5, &request);
    if (rc) return rc;
    uint64_t until_ms = time_of_text(ctl_value(c, "until"), (uint64_t)time(NULL) * 1000);
    if (!until_ms) {
        fprintf(
            stderr,
            "satchelctl: --until takes how long (90m, 8h, 14d) or a time in UTC (2026-12-24, \"2026-12-24 18:00\"), not \"%s\"\n",
            ctl_value(c, "until"));
        json_decref(request);
        return CTL_USAGE;
    }
    json_object_del(request, "until");
    json_object_set_new(request, "until_ms", json_integer((json_int_t)until_ms));
    rc = ctl_call(c, request, "granting", &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        printf("grant %" JSON_INTEGER_FORMAT ": %s has it until %s\n", json_integer_value(json_object_get(reply, "id")),
               ctl_value(c, "device"), text_of_time(until_ms, when));
    json_decref(reply);
    return CTL_DONE;
}

int ctl_scope_grants(ctl *c) {
    static const ctl_column columns[] = {
        {"id", "ID", CTL_NUMBER}, {"device", "DEVICE", CTL_TEXT},  {"table", "TABLE", CTL_TEXT},
        {"key", "KEY", CTL_TEXT}, {"until_ms", "UNTIL", CTL_TIME}, {"reason", "REASON", CTL_TEXT},
    };
    return ctl_list(c, json_pack("{ss}", "command", "scope.grants"), NULL, "grants", columns, sizeof columns / sizeof *columns,
                    "No grants.");
}

int ctl_scope_revoke(ctl *c) {
    json_int_t id = ctl_id(c->word[2], "a grant");
    if (!id) return CTL_USAGE;
    return ctl_do(c, json_pack("{ss sI}", "command", "scope.revoke", "id", id), "revoking",
                  "grant %" JSON_INTEGER_FORMAT " has ended", id);
}
