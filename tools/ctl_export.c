/* ctl_export.c - satchelctl export: the rows of a table, or of all, as of one commit, into files. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/crypto.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "tools/ctl.h"
#include "tools/rows_out.h"

typedef struct exporting {
    ctl *c;
    const char *directory, *file; /* one of them; file "-" is standard output */
    rows_out out;
    rows_column column[LIMIT_COLUMNS];
    json_t *table;        /* the line that began the table: it holds the columns' names */
    char *path, *part;    /* of the file, and its name until it is whole */
    uint64_t rows, total; /* of the table; of all */
    json_t *done;         /* {"table","file","rows"} */
    json_int_t seq;
    buf hold;
    ctl_bar bar;
} exporting;

static int fail(const char *what, const char *why) {
    fprintf(stderr, "satchelctl: %s: %s\n", what, why);
    return CTL_FAILED;
}

/* ---- files ---- */

static char *join(const char *a, const char *mark, const char *b, const char *end) {
    size_t n = strlen(a) + strlen(mark) + strlen(b) + strlen(end) + 1;
    char *text = malloc(n);
    if (text) snprintf(text, n, "%s%s%s%s", a, mark, b, end);
    return text;
}

static int open_file(exporting *e, const char *table) {
    if (!e->directory && !strcmp(e->file, "-")) {
        e->out.to = stdout;
        return CTL_DONE;
    }
    e->path = e->directory ? join(e->directory, "/", table, e->out.format == ROWS_CSV ? ".csv" : ".jsonl") : strdup(e->file);
    e->part = e->path ? join(e->path, ".part", "", "") : NULL;
    e->out.to = e->part ? fopen(e->part, "we") : NULL;
    return e->out.to ? CTL_DONE : fail(e->part ? e->part : table, strerror(errno));
}

/* A file has its name when it is whole. */
static int close_file(exporting *e, bool whole) {
    int rc = CTL_DONE;
    bool bad = e->out.to && (fflush(e->out.to) || ferror(e->out.to));
    const char *name = e->path ? e->path : "standard output";
    if (bad && whole) rc = fail(name, strerror(errno));
    if (e->out.to && e->out.to != stdout && fclose(e->out.to) && !rc && whole) rc = fail(name, strerror(errno));
    if (e->part && (rc || !whole)) unlink(e->part);
    if (e->part && !rc && whole && rename(e->part, e->path)) rc = fail(name, strerror(errno));
    if (whole && !rc && e->table)
        json_array_append_new(e->done, json_pack("{sO ss? sI}", "table", json_object_get(e->table, "table"), "file", e->path,
                                                 "rows", (json_int_t)e->rows));
    free(e->path);
    free(e->part);
    e->path = e->part = NULL;
    e->out.to = NULL;
    json_decref(e->table);
    e->table = NULL;
    return rc;
}

/* ---- lines ---- */

static int begin_table(exporting *e, json_t *line) {
    int rc = close_file(e, true);
    const char *name = json_string_value(json_object_get(line, "table"));
    const json_t *columns = json_object_get(line, "columns"), *c;
    size_t i;
    if (!name || strchr(name, '/') || json_array_size(columns) > LIMIT_COLUMNS)
        return fail("the server's answer", "it has no such form");
    e->table = json_incref(line);
    e->rows = 0;
    e->out.n = (unsigned)json_array_size(columns);
    json_array_foreach(columns, i, c) {
        const char *column = json_string_value(json_object_get(c, "name")), *type = json_string_value(json_object_get(c, "type"));
        e->column[i] = (rows_column){.name = column ? column : "", .untyped = !type || !*type};
    }
    if (!rc) rc = open_file(e, name);
    if (!rc) rows_out_names(&e->out);
    return rc;
}

static value value_of(const json_t *v, buf *hold) {
    const json_t *base64 = json_object_get(v, "base64"), *real = json_object_get(v, "real");
    size_t at = hold->n;
    if (json_is_integer(v)) return value_integer(json_integer_value(v));
    if (json_is_real(v)) return value_real(json_real_value(v));
    if (json_is_string(v)) return value_text(json_string_value(v), json_string_length(v));
    if (json_is_string(real)) return value_real(*json_string_value(real) == '-' ? -INFINITY : INFINITY);
    if (!json_is_string(base64) || crypto_base64_decode(json_string_value(base64), json_string_length(base64), hold))
        return value_null();
    return value_blob(hold->p + at, hold->n - at);
}

static int put_row(exporting *e, const json_t *row) {
    static value v[LIMIT_COLUMNS];
    size_t room = 1;
    buf_clear(&e->hold);
    for (unsigned i = 0; i < e->out.n; i++) room += json_string_length(json_object_get(json_array_get(row, i), "base64")) + 1;
    if (!buf_reserve(&e->hold, room)) return fail("a row", satchel_rc_text(e->hold.rc));
    for (unsigned i = 0; i < e->out.n; i++) v[i] = value_of(json_array_get(row, i), &e->hold);
    int rc = rows_out_row(&e->out, v);
    e->rows++;
    e->total++;
    return rc ? fail("a row", satchel_rc_text(rc)) : CTL_DONE;
}

static int put_rows(exporting *e, const json_t *rows) {
    char words[64];
    size_t i;
    const json_t *row;
    if (!e->out.to) return fail("the server's answer", "rows of no table");
    json_array_foreach(rows, i, row) {
        int rc = put_row(e, row);
        if (rc) return rc;
    }
    snprintf(words, sizeof words, "%" PRIu64 " rows", e->total);
    ctl_bar_show(&e->bar, 0, 0, words);
    return ferror(e->out.to) ? fail(e->path ? e->path : "standard output", strerror(errno)) : CTL_DONE;
}

/* One line of the server; *last: it was the answer. */
static int take_line(exporting *e, json_t *line, bool *last) {
    const json_t *head = json_object_get(line, "export"), *rows = json_object_get(line, "rows");
    *last = json_object_get(line, "ok") != NULL;
    if (*last) {
        if (json_is_true(json_object_get(line, "ok"))) return CTL_DONE;
        ctl_tell(line);
        return CTL_FAILED;
    }
    if (json_object_get(line, "table")) return begin_table(e, line);
    if (head) e->seq = json_integer_value(json_object_get(head, "seq"));
    return json_is_array(rows) ? put_rows(e, rows) : CTL_DONE;
}

static int take_lines(exporting *e) {
    bool last = false;
    int rc = CTL_DONE;
    while (!rc && !last) {
        json_t *line = NULL;
        rc = ctl_receive(e->c, &line);
        if (!rc) rc = take_line(e, line, &last);
        json_decref(line);
    }
    int end = close_file(e, !rc);
    return rc ? rc : end;
}

/* ---- the command ---- */

static int add_condition(json_t *where, const char *text, const char *null) {
    const char *at = strchr(text, '=');
    if (!at || at == text) {
        fprintf(stderr, "satchelctl: --where takes COLUMN=VALUE, not \"%s\"\n", text);
        return CTL_USAGE;
    }
    char *column = strndup(text, (size_t)(at - text));
    json_object_set_new(where, column, null && !strcmp(at + 1, null) ? json_null() : json_string(at + 1));
    free(column);
    return CTL_DONE;
}

static int read_options(exporting *e, json_t *request) {
    const ctl *c = e->c;
    const char *separator = ctl_value(c, "separator"), *text;
    bool all = ctl_value(c, "all") != NULL;
    json_t *where = json_object();
    json_object_set_new(request, "where", where);
    for (size_t i = 0; (text = ctl_value_at(c, "where", i)); i++)
        if (add_condition(where, text, ctl_value(c, "null"))) return CTL_USAGE;
    if (c->nword != (all ? 2 : 3) && (all || c->nword != 2))
        return fail("export", all ? "--all takes a directory" : "which table?"), CTL_USAGE;
    e->directory = all ? c->word[1] : NULL;
    e->file = !all && c->nword == 3 ? c->word[2] : "-";
    if (!all) json_object_set_new(request, "table", json_string(c->word[1]));
    if (!rows_format_of(ctl_value(c, "format"), e->file, &e->out.format))
        return fail("--format", "it takes csv or jsonl"), CTL_USAGE;
    if (separator && !strcmp(separator, "\\t")) separator = "\t";
    if (separator && strlen(separator) != 1) return fail("--separator", "it takes one character"), CTL_USAGE;
    e->out.separator = separator ? *separator : ',';
    return CTL_DONE;
}

static void report(const exporting *e) {
    const json_t *t;
    size_t i;
    FILE *to = !e->directory && !strcmp(e->file, "-") ? stderr : stdout;
    if (e->c->json && to == stdout) {
        json_t *o = json_pack("{sI sO}", "seq", (json_int_t)e->seq, "tables", e->done);
        ctl_print_json(o);
        json_decref(o);
        return;
    }
    json_array_foreach(e->done, i, t) {
        const char *file = json_string_value(json_object_get(t, "file"));
        fprintf(to, "%s: %" JSON_INTEGER_FORMAT " rows%s%s\n", json_string_value(json_object_get(t, "table")),
                json_integer_value(json_object_get(t, "rows")), file ? ", " : "", file ? file : "");
    }
    fprintf(to, "as of commit %" JSON_INTEGER_FORMAT "\n", e->seq);
}

int ctl_export(ctl *c) {
    exporting *e = calloc(1, sizeof *e);
    json_t *request = json_pack("{ss}", "command", "export");
    if (!e || !request) return fail("export", "there is no memory");
    e->c = c;
    e->done = json_array();
    e->out.column = e->column;
    int rc = read_options(e, request);
    char *text = rc ? NULL : json_dumps(request, JSON_COMPACT);
    if (!rc && e->directory && mkdir(e->directory, 0777) && errno != EEXIST) rc = fail(e->directory, strerror(errno));
    ctl_bar_begin(&e->bar, "export");
    if (!rc) rc = text ? ctl_send(c, text, strlen(text)) : fail("export", "a name is not UTF-8");
    if (!rc) rc = take_lines(e);
    ctl_bar_end(&e->bar);
    if (!rc) report(e);
    free(text);
    json_decref(request);
    json_decref(e->done);
    buf_fini(&e->hold);
    buf_fini(&e->out.line);
    free(e);
    return rc;
}
