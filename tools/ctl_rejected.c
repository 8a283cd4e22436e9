/* ctl_rejected.c - satchelctl rejected: what was refused of what devices sent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"

int ctl_rejected(ctl *c) {
    static const ctl_column columns[] = {
        {"device", "DEVICE", CTL_TEXT}, {"number", "NUMBER", CTL_NUMBER}, {"at_ms", "AT", CTL_TIME}, {"state", "STATE", CTL_TEXT},
        {"code", "CODE", CTL_TEXT},     {"table", "TABLE", CTL_TEXT},     {"key", "KEY", CTL_TEXT},  {"message", "WHY", CTL_TEXT},
    };
    bool all = ctl_value(c, "all");
    return ctl_list(c, json_pack("{ss sb}", "command", "rejected", "all", (int)all), "rejected", "rejected", columns,
                    sizeof columns / sizeof *columns, all ? "No refused transactions." : "No open refusals.");
}

/* A request about the refusal that the operands name; NULL after telling. */
static json_t *make_request(const ctl *c, const char *command) {
    json_int_t number = ctl_id(c->word[3], "a transaction");
    return number ? json_pack("{ss ss sI}", "command", command, "device", c->word[2], "number", number) : NULL;
}

/* ---- show ---- */

static void print_value(const json_t *v) {
    if (v)
        json_dumpf(v, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    else
        putchar('-');
}

/* Of a deletion, the row that is there. */
static void print_change(json_t *change) {
    json_t *wanted = json_object_get(change, "wanted"), *server = json_object_get(change, "server"), *value;
    const char *name;
    printf("%s of %s ", json_string_value(json_object_get(change, "op")), json_string_value(json_object_get(change, "table")));
    print_value(json_object_get(change, "key"));
    printf("\n  column\twanted\tserver\n");
    json_object_foreach(json_object_size(wanted) ? wanted : server, name, value) {
        printf("  %s\t", name);
        print_value(json_object_get(wanted, name));
        putchar('\t');
        print_value(json_object_get(server, name));
        putchar('\n');
    }
    if (json_is_null(server)) puts("  there is no such row");
}

static void print_refusal(const json_t *o) {
    static const ctl_column head[] = {
        {"device", "device", CTL_TEXT}, {"number", "number", CTL_NUMBER}, {"at_ms", "at", CTL_TIME},
        {"state", "state", CTL_TEXT},   {"code", "code", CTL_TEXT},       {"rule", "rule", CTL_TEXT},
        {"message", "why", CTL_TEXT},
    };
    json_t *change;
    size_t i;
    ctl_record(o, head, sizeof head / sizeof *head);
    json_array_foreach(json_object_get(o, "changes"), i, change) print_change(change);
    if (json_is_true(json_object_get(o, "more"))) puts("and more changes");
}

int ctl_rejected_show(ctl *c) {
    json_t *request = make_request(c, "rejected.show");
    return request ? ctl_show(c, request, NULL, print_refusal) : CTL_USAGE;
}

/* ---- settling ---- */

static int settle(ctl *c, json_t *request, const char *done) {
    return ctl_do(c, request, NULL, "transaction %s of %s is %s", c->word[3], c->word[2], done);
}

int ctl_rejected_discard(ctl *c) {
    json_t *request = make_request(c, "rejected.discard");
    return request ? settle(c, request, "discarded") : CTL_USAGE;
}

int ctl_rejected_retry(ctl *c) {
    json_t *request = make_request(c, "rejected.retry");
    return request ? settle(c, request, "taken in") : CTL_USAGE;
}

/* One edit, or an array of them; NULL after telling. */
static json_t *read_edits(const char *path) {
    json_error_t where;
    bool is_input = !strcmp(path, "-");
    FILE *f = is_input ? stdin : fopen(path, "re");
    if (!f) {
        fprintf(stderr, "satchelctl: %s: %s\n", path, strerror(errno));
        return NULL;
    }
    json_t *o = json_loadf(f, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!o) fprintf(stderr, "satchelctl: %s:%d: this is not JSON: %s\n", path, where.line, where.text);
    if (!is_input) fclose(f);
    return json_is_object(o) ? json_pack("[o]", o) : o;
}

int ctl_rejected_edit(ctl *c) {
    json_t *request = make_request(c, "rejected.retry");
    if (!request) return CTL_USAGE;
    json_t *edits = read_edits(c->word[4]);
    if (!edits) {
        json_decref(request);
        return CTL_FAILED;
    }
    json_object_set_new(request, "edits", edits);
    return settle(c, request, "taken in as edited");
}
