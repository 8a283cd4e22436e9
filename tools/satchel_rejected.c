/* satchel rejected - what the server refused: looking at it, and settling it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/satchel_cli.h"

static bool take_number(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *out;
}

/* ---- show ---- */

static void print_value(const json_t *v) {
    if (v)
        json_dumpf(v, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    else
        putchar('-');
}

/* Of an update the columns that it changed, of an insert or a deletion all that either side has. */
static void print_columns(json_t *change) {
    json_t *was = json_object_get(change, "was"), *wanted = json_object_get(change, "wanted"),
           *server = json_object_get(change, "server");
    json_t *names = json_object_size(wanted) ? wanted : was, *value;
    const char *name;
    printf("  column\twas\twanted\tserver\n");
    json_object_foreach(names, name, value) {
        printf("  %s\t", name);
        print_value(json_object_get(was, name));
        putchar('\t');
        print_value(json_object_get(wanted, name));
        putchar('\t');
        print_value(json_object_get(server, name));
        putchar('\n');
    }
    if (json_is_null(server)) puts("  the server has no such row, or not for this device");
}

static void print_refusal(json_t *o) {
    const char *rule = json_string_value(json_object_get(o, "rule"));
    json_t *change;
    size_t i;
    printf("transaction %" JSON_INTEGER_FORMAT " was refused (%s%s%s): %s\n",
           json_integer_value(json_object_get(o, "transaction")), json_string_value(json_object_get(o, "code")),
           rule ? ", rule " : "", rule ? rule : "", json_string_value(json_object_get(o, "text")));
    json_array_foreach(json_object_get(o, "changes"), i, change) {
        printf("%s of %s ", json_string_value(json_object_get(change, "op")),
               json_string_value(json_object_get(change, "table")));
        print_value(json_object_get(change, "key"));
        putchar('\n');
        print_columns(change);
    }
    if (json_is_true(json_object_get(o, "more"))) puts("and more changes");
}

static int show(cli *c, uint64_t number) {
    char *text;
    if (satchel_refusal(c->s, number, &text)) return cli_fail(c, "show");
    json_t *o = json_loads(text, JSON_ALLOW_NUL, NULL);
    sqlite3_free(text);
    if (!o) {
        fputs("satchel: show: out of memory\n", stderr);
        return 1;
    }
    if (c->json) {
        device_print_json(o);
        return 0;
    }
    print_refusal(o);
    json_decref(o);
    return 0;
}

/* ---- settling ---- */

static int discard(cli *c, uint64_t number) {
    return satchel_discard(c->s, number) ? cli_fail(c, "discard") : 0;
}

static int retry(cli *c, uint64_t number) {
    return satchel_retry(c->s, number) ? cli_fail(c, "retry") : 0;
}

static int edit(cli *c, uint64_t number) {
    if (satchel_edit(c->s, number)) return cli_fail(c, "edit");
    int status = cli_run_sql(c, c->arg[2]);
    return status ? status : cli_run_sql(c, "COMMIT");
}

int cli_rejected(cli *c) {
    static const struct {
        const char *name;
        int operands;
        int (*run)(cli *c, uint64_t number);
    } ways[] = {{"show", 2, show}, {"discard", 2, discard}, {"retry", 2, retry}, {"edit", 3, edit}};
    uint64_t number;
    if (!c->narg) return cli_print_view(c, "SELECT * FROM satchel_rejected");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strcmp(c->arg[0], ways[i].name) && c->narg == ways[i].operands && take_number(c->arg[1], &number))
            return ways[i].run(c, number);
    fprintf(stderr, "satchel: rejected takes nothing, show N, discard N, retry N or edit N STATEMENTS\nTry 'satchel --help'.\n");
    return 2;
}
