/* ctl_import.c - satchelctl import: the rows of a file, sent in batches; what each became, and why those that failed did. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "protocol/value.h"
#include "tools/ctl.h"
#include "tools/ctl_import.h"
#include "tools/rows_out.h"

/* A batch is sent at the first row that makes it so large. */
#define BATCH_BYTES (4u << 20)
#define BATCH_ROWS 1000
#define BATCH_ROWS_MAX 10000

/* ---- options ---- */

/* Cuts "a=b" (or "a=b:c") at the mark; the first part is a copy, the caller's. */
static char *cut_at(const char *text, char mark, const char **rest) {
    const char *at = strchr(text, mark);
    if (!at || at == text) return NULL;
    *rest = at + 1;
    return strndup(text, (size_t)(at - text));
}

static int wrong(const char *option, const char *want, const char *text) {
    fprintf(stderr, "satchelctl: --%s takes %s, not \"%s\"\n", option, want, text);
    return CTL_USAGE;
}

static int read_names(json_t *key, const char *list) {
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        json_array_append_new(key, json_stringn(p, n));
        p += n + (p[n] == ',');
    }
    return json_array_size(key) ? CTL_DONE : wrong("key", "names of columns with commas between them", list);
}

static int read_maps(importing *im) {
    const char *text, *rest = NULL;
    for (size_t i = 0; (text = ctl_value_at(im->c, "map", i)); i++)
        for (const char *p = text; *p;) {
            size_t n = strcspn(p, ",");
            char *pair = strndup(p, n), *from = pair ? cut_at(pair, '=', &rest) : NULL;
            if (from) json_object_set_new(im->map, from, json_string(rest));
            free(from);
            free(pair);
            if (!from) return wrong("map", "NAME=COLUMN", text);
            p += n + (p[n] == ',');
        }
    return CTL_DONE;
}

static int read_refs(const importing *im, json_t *refs) {
    const char *text, *rest = NULL, *table = NULL;
    for (size_t i = 0; (text = ctl_value_at(im->c, "ref", i)); i++) {
        char *column = cut_at(text, '=', &rest), *source = column ? cut_at(rest, ':', &table) : NULL;
        if (source && *table) json_object_set_new(refs, column, json_pack("{ss ss}", "source", source, "table", table));
        free(column);
        free(source);
        if (!source || !*table) return wrong("ref", "COLUMN=SOURCE:TABLE", text);
    }
    return CTL_DONE;
}

/* What every batch begins with. */
static int make_head(importing *im) {
    const char *source = ctl_value(im->c, "source"), *key = ctl_value(im->c, "key");
    json_t *names = json_array(), *refs = json_object();
    if (key && !source) source = ""; /* the server says that they go together */
    im->head = json_pack("{ss ss so so sb}", "command", "import", "table", im->c->word[1], "key", names, "refs", refs, "dry_run",
                         ctl_value(im->c, "dry-run") != NULL);
    if (source && *source) json_object_set_new(im->head, "source", json_string(source));
    int rc = key ? read_names(names, key) : CTL_DONE;
    if (!rc) rc = read_refs(im, refs);
    if (!rc && source && (!*source || !key))
        rc = wrong(key ? "key" : "source", "a --source and a --key beside it", key ? key : source);
    return rc ? rc : read_maps(im);
}

static int read_options(importing *im) {
    const char *separator = ctl_value(im->c, "separator");
    if (!rows_format_of(ctl_value(im->c, "format"), im->c->word[2], &im->format))
        return wrong("format", "csv or jsonl", ctl_value(im->c, "format"));
    if (separator && !strcmp(separator, "\\t")) separator = "\t";
    if (separator && (strlen(separator) != 1 || strchr("\"\r\n", *separator)))
        return wrong("separator", "one character", separator);
    im->separator = separator ? *separator : ',';
    im->null = ctl_value(im->c, "null");
    im->batch_rows = BATCH_ROWS;
    int rc = ctl_number(im->c, "batch", 1, BATCH_ROWS_MAX, &im->batch_rows);
    return rc ? rc : make_head(im);
}

/* ---- CSV ---- */

/* The file's name of a column as the table has it; NULL: to be left out. */
static const char *mapped(const importing *im, const char *name) {
    const char *to = json_string_value(json_object_get(im->map, name));
    if (!strcmp(name, IMPORT_REASON)) return NULL;
    return !to ? name : *to ? to : NULL;
}

static int take_header(importing *im, const rows_row *row) {
    json_t *columns = json_array();
    im->nfile = row->n;
    im->sent = calloc(row->n + 1, sizeof *im->sent);
    json_object_set_new(im->head, "columns", columns);
    for (size_t i = 0; i < row->n && im->sent; i++) {
        char *name = strndup(row->field[i].p, row->field[i].n);
        const char *to = name ? mapped(im, name) : NULL;
        im->sent[i] = to != NULL;
        if (to && json_array_append_new(columns, json_string(to))) {
            fprintf(stderr, "satchelctl: %s:%" PRIu64 ": the name of column %zu is not UTF-8\n", im->name, row->line, i + 1);
            free(name);
            return CTL_FAILED;
        }
        free(name);
    }
    buf_put(&im->header, row->text, row->ntext);
    if (im->sent && json_array_size(columns)) return CTL_DONE;
    fprintf(stderr, "satchelctl: %s:%" PRIu64 ": the first row has to name the columns\n", im->name, row->line);
    return CTL_FAILED;
}

static bool is_null(const importing *im, const rows_field *f) {
    return im->null ? f->n == strlen(im->null) && !memcmp(f->p, im->null, f->n) : f->absent;
}

static const char *name_of_field(const importing *im, size_t field) {
    size_t at = 0;
    for (size_t i = 0; i < field; i++) at += im->sent[i];
    return json_string_value(json_array_get(json_object_get(im->head, "columns"), at));
}

/* A field that is not UTF-8, or NULL. */
static const char *bad_field(const importing *im, const rows_row *row) {
    for (size_t i = 0; i < row->n; i++)
        if (im->sent[i] && !value_utf8_valid((const uint8_t *)row->field[i].p, row->field[i].n)) return name_of_field(im, i);
    return NULL;
}

static void put_csv(importing *im, const rows_row *row, buf *out) {
    buf_printf(out, "[%" PRIu64, row->line);
    for (size_t i = 0; i < row->n; i++) {
        if (!im->sent[i]) continue;
        buf_put_byte(out, ',');
        if (is_null(im, &row->field[i]))
            buf_printf(out, "null");
        else
            rows_put_string(out, row->field[i].p, row->field[i].n);
    }
    buf_put_byte(out, ']');
}

static void add_csv(importing *im, const rows_row *row) {
    char words[96];
    const char *bad = row->n == im->nfile ? bad_field(im, row) : NULL;
    if (row->n != im->nfile) {
        snprintf(words, sizeof words, "it has %zu fields, and the first row names %zu", row->n, im->nfile);
        import_fail_row(im, row->line, NULL, "E_MALFORMED", words, row->text, row->ntext);
    } else if (bad) {
        import_fail_row(im, row->line, bad, "E_UTF8", "this is not UTF-8", row->text, row->ntext);
    } else if (memchr(row->text, 0, row->ntext)) {
        import_fail_row(im, row->line, NULL, "E_MALFORMED", "it has a NUL character", row->text, row->ntext);
    } else {
        put_csv(im, row, import_begin_row(im, row->line, row->text, row->ntext));
    }
}

/* ---- JSON Lines ---- */

/* The row with its columns' names as the table has them. */
static json_t *rename_members(const importing *im, json_t *row) {
    json_t *out = json_object(), *v;
    const char *name;
    json_object_foreach(row, name, v) {
        const char *to = mapped(im, name);
        if (to) json_object_set(out, to, v);
    }
    return out;
}

static void add_json(importing *im, const rows_row *row) {
    json_error_t where;
    json_t *o = json_loadb(row->text, row->ntext, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(o)) {
        bool utf8 = value_utf8_valid((const uint8_t *)row->text, row->ntext);
        import_fail_row(im, row->line, NULL, utf8 ? "E_MALFORMED" : "E_UTF8",
                        !utf8 ? "this is not UTF-8"
                        : o   ? "this is no JSON object"
                              : where.text,
                        row->text, row->ntext);
    } else if (json_object_get(o, IMPORT_TEXT)) {
        import_fail_row(im, row->line, NULL, "E_MALFORMED", "this is a line that could not be read, and it was not mended",
                        row->text, row->ntext);
    } else {
        buf *out = import_begin_row(im, row->line, row->text, row->ntext);
        bool as_it_is = !json_object_size(im->map) && !json_object_get(o, IMPORT_REASON);
        json_t *renamed = as_it_is ? NULL : rename_members(im, o);
        char *text = as_it_is ? NULL : json_dumps(renamed, JSON_COMPACT);
        buf_printf(out, "[%" PRIu64 ",", row->line);
        buf_put(out, text ? text : row->text, text ? strlen(text) : row->ntext);
        buf_put_byte(out, ']');
        free(text);
        json_decref(renamed);
    }
    json_decref(o);
}

/* ---- the file ---- */

static void show(importing *im) {
    char words[64];
    snprintf(words, sizeof words, "%" PRIu64 " rows",
             im->counts.inserted + im->counts.updated + im->counts.unchanged + im->counts.failed);
    ctl_bar_show(&im->bar, rows_bytes(im->in), im->size, words);
}

static int take_row(importing *im, const rows_row *row) {
    if (im->format == ROWS_CSV && !im->sent && !row->fault) return take_header(im, row);
    if (im->format == ROWS_CSV && !im->sent) {
        fprintf(stderr, "satchelctl: %s:%" PRIu64 ": %s\n", im->name, row->line, row->fault);
        return CTL_FAILED;
    }
    if (row->fault)
        import_fail_row(im, row->line, NULL, "E_MALFORMED", row->fault, row->text, row->ntext);
    else if (im->format == ROWS_CSV)
        add_csv(im, row);
    else
        add_json(im, row);
    import_end_row(im);
    if (import_waiting(im) < (size_t)im->batch_rows && import_waiting_bytes(im) < BATCH_BYTES) return CTL_DONE;
    show(im);
    return import_send(im);
}

static int take_file(importing *im) {
    rows_row row;
    int more, rc = CTL_DONE;
    while (!rc && (more = rows_next(im->in, &row)) != 0) {
        if (more < 0) {
            fprintf(stderr, "satchelctl: %s: %s\n", im->name, rows_error(im->in));
            return CTL_FAILED;
        }
        rc = take_row(im, &row);
    }
    if (!rc) rc = import_send(im);
    return rc ? rc : import_finish(im);
}

/* ---- the end ---- */

static void report(const importing *im) {
    const import_counts *n = &im->counts;
    if (im->c->json) {
        json_t *o = json_pack("{sI sI sI sI sI sO}", "inserted", (json_int_t)n->inserted, "updated", (json_int_t)n->updated,
                              "unchanged", (json_int_t)n->unchanged, "kept", (json_int_t)n->kept, "failed", (json_int_t)n->failed,
                              "errors", im->errors);
        ctl_print_json(o);
        json_decref(o);
        return;
    }
    printf("%" PRIu64 " inserted, %" PRIu64 " updated, %" PRIu64 " unchanged, %" PRIu64 " failed%s\n", n->inserted, n->updated,
           n->unchanged, n->failed, ctl_value(im->c, "dry-run") ? "; nothing was done" : "");
    if (n->kept) printf("%" PRIu64 " values were left as they are, by their columns' rules (first, max, min)\n", n->kept);
}

static bool is_same_file(const struct stat *a, const char *path) {
    struct stat b;
    return path && !stat(path, &b) && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

static int open_files(importing *im) {
    const char *errors = ctl_value(im->c, "errors");
    struct stat st;
    im->from = strcmp(im->c->word[2], "-") ? fopen(im->c->word[2], "re") : stdin;
    im->name = im->from == stdin ? "standard input" : im->c->word[2];
    if (!im->from) {
        fprintf(stderr, "satchelctl: %s: %s\n", im->c->word[2], strerror(errno));
        return CTL_FAILED;
    }
    if (!fstat(fileno(im->from), &st) && S_ISREG(st.st_mode)) {
        im->size = (uint64_t)st.st_size;
        if (is_same_file(&st, errors)) {
            fprintf(stderr, "satchelctl: %s: the rows that fail need another file than the one that is read\n", errors);
            return CTL_FAILED;
        }
    }
    im->in = rows_open(im->from, im->format, im->separator);
    im->failures = errors ? fopen(errors, "we") : NULL;
    if (errors && !im->failures) fprintf(stderr, "satchelctl: %s: %s\n", errors, strerror(errno));
    return im->in && (im->failures || !errors) ? CTL_DONE : CTL_FAILED;
}

static int close_files(importing *im, int rc) {
    if (im->from && im->from != stdin) fclose(im->from);
    bool bad = im->failures && ferror(im->failures);
    if (im->failures && (fclose(im->failures) || bad)) {
        fprintf(stderr, "satchelctl: %s: %s\n", ctl_value(im->c, "errors"), strerror(errno));
        return CTL_FAILED;
    }
    return rc;
}

int ctl_import(ctl *c) {
    importing im = {.c = c, .errors = json_array(), .map = json_object()};
    int rc = read_options(&im);
    if (!rc) rc = open_files(&im);
    ctl_bar_begin(&im.bar, "import");
    if (!rc) rc = take_file(&im);
    ctl_bar_end(&im.bar);
    if (rc != CTL_USAGE && im.in) report(&im);
    rc = close_files(&im, rc);
    rows_close(im.in);
    import_fini(&im);
    return rc ? rc : im.counts.failed ? CTL_FAILED : CTL_DONE;
}
