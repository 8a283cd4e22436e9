/* Tables, cards and words. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "tools/crm.h"

/* ---- words ---- */

void crm_put_clean(FILE *to, const char *text) {
    wchar_t w;
    mbstate_t state = {0};
    for (size_t n = strlen(text), got; n; text += got, n -= got) {
        got = mbrtowc(&w, text, n, &state);
        if (got == 0 || got > n) {
            memset(&state, 0, sizeof state);
            fputc('?', to);
            got = 1;
        } else if (w == L'\n' || w == L'\t' || w == L'\r') {
            fputc(' ', to);
        } else if (!iswprint((wint_t)w)) {
            fputc('?', to);
        } else {
            fwrite(text, 1, got, to);
        }
    }
}

int crm_fail(const char *format, ...) {
    char *text;
    va_list values;
    va_start(values, format);
    int n = vasprintf(&text, format, values);
    va_end(values);
    fputs("crm: ", stderr);
    crm_put_clean(stderr, n < 0 ? "out of memory" : text);
    fputc('\n', stderr);
    if (n >= 0) free(text);
    return 1;
}

int crm_fail_db(crm *c, const char *what) {
    const char *words = sqlite3_errmsg(c->db), *more = satchel_errmsg(c->s);
    int rc = satchel_errcode(c->s);
    if (rc) return crm_fail("%s: %s (%s)", what, more, satchel_rc_name(rc));
    return crm_fail("%s: %s", what, words);
}

void crm_say(crm *c, const uint8_t id[CRM_ID_BYTES], const char *format, ...) {
    va_list values;
    va_start(values, format);
    crm_hex(id, c->done);
    vsnprintf(c->said, sizeof c->said, format, values);
    va_end(values);
}

void crm_print_said(crm *c) {
    if (!*c->said) return;
    if (c->json) {
        device_print_json(json_pack("{ss ss}", "id", c->done, "said", c->said));
        return;
    }
    crm_put_clean(stdout, c->said);
    putchar('\n');
}

/* ---- values ---- */

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end);
}

static void put_time(FILE *to, int64_t ms, const char *format) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    if (localtime_r(&seconds, &tm) && strftime(text, sizeof text, format, &tm)) fputs(text, to);
}

static char *shown(sqlite3_stmt *q, int i) {
    const char *name = sqlite3_column_name(q, i);
    char *out = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&out, &n);
    if (!to) return NULL;
    bool is_number = sqlite3_column_type(q, i) == SQLITE_INTEGER;
    int64_t number = sqlite3_column_int64(q, i);
    if (is_number && ends_in(name, "_at"))
        put_time(to, number, "%Y-%m-%d %H:%M");
    else if (is_number && ends_in(name, "_date"))
        put_time(to, number, "%Y-%m-%d");
    else if (is_number && ends_in(name, "_cents"))
        fprintf(to, "%s%" PRIu64 ".%02u", number < 0 ? "-" : "", (uint64_t)llabs(number) / 100, (unsigned)(llabs(number) % 100));
    else if (sqlite3_column_type(q, i) == SQLITE_BLOB)
        device_put_blob(q, i, to);
    else if (sqlite3_column_text(q, i))
        crm_put_clean(to, (const char *)sqlite3_column_text(q, i));
    fclose(to);
    return out;
}

static char *heading(const char *name) {
    static const char *const ends[] = {"_at", "_date", "_cents"};
    char *out = strdup(name);
    if (!out) return NULL;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_in(out, ends[i])) out[strlen(out) - strlen(ends[i])] = 0;
    for (char *p = out; *p; p++)
        if (*p == '_') *p = ' ';
    return out;
}

static int width_of(const char *text) {
    wchar_t w;
    mbstate_t state = {0};
    int width = 0;
    for (size_t n = strlen(text), got; n; text += got, n -= got) {
        got = mbrtowc(&w, text, n, &state);
        if (got == 0 || got > n) return width + (int)n;
        width += wcwidth(w) > 0 ? wcwidth(w) : 0;
    }
    return width;
}

static json_t *json_row(sqlite3_stmt *q) {
    json_t *o = json_object();
    for (int i = 0; i < sqlite3_column_count(q); i++) {
        const char *name = sqlite3_column_name(q, i);
        json_object_set_new(o, name + (*name == '.'), device_json_column(q, i));
    }
    return o;
}

/* ---- tables: held until they are whole, as their widths are known only then ---- */

typedef struct table {
    int columns;
    size_t cells, room;
    char **cell; /* row by row, the headings first */
} table;

static bool put_cell(table *t, char *text) {
    if (t->cells == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        char **more = realloc(t->cell, room * sizeof *more);
        if (!more) {
            free(text);
            return false;
        }
        t->cell = more;
        t->room = room;
    }
    if (text) t->cell[t->cells++] = text;
    return text != NULL;
}

static bool put_line(table *t, sqlite3_stmt *q, char *(*text)(sqlite3_stmt *q, int i)) {
    bool put = true;
    for (int i = 0; put && i < sqlite3_column_count(q); i++)
        if (*sqlite3_column_name(q, i) != '.') put = put_cell(t, text(q, i));
    return put;
}

static char *heading_of(sqlite3_stmt *q, int i) {
    return heading(sqlite3_column_name(q, i));
}

enum { COLUMNS_MOST = 16, GAP = 2 };

static void print_cells(const table *t) {
    int width[COLUMNS_MOST] = {0};
    size_t columns = (size_t)t->columns;
    for (size_t at = 0; at < t->cells; at++)
        if (at % columns < COLUMNS_MOST && width_of(t->cell[at]) > width[at % columns])
            width[at % columns] = width_of(t->cell[at]);
    for (size_t at = 0; at < t->cells; at++) {
        size_t column = at % columns;
        bool last = column + 1 == columns;
        fputs(t->cell[at], stdout);
        if (last)
            putchar('\n');
        else
            printf("%*s", (column < COLUMNS_MOST ? width[column] - width_of(t->cell[at]) : 0) + GAP, "");
    }
}

static int print_table(const char *title, sqlite3_stmt *q) {
    table t = {0};
    int rc;
    bool put = put_line(&t, q, heading_of);
    t.columns = (int)t.cells;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && put) put = put_line(&t, q, shown);
    if (put && (size_t)t.columns < t.cells) {
        char *above = title ? heading(title) : NULL;
        if (above) printf("\n%s\n", above);
        print_cells(&t);
        free(above);
    }
    if (put && rc == SQLITE_DONE && !title && (size_t)t.columns == t.cells) fputs("crm: there is nothing of that here\n", stderr);
    while (t.cells) free(t.cell[--t.cells]);
    free(t.cell);
    return put ? rc : SQLITE_NOMEM;
}

int crm_print_table(crm *c, const char *title, sqlite3_stmt *q) {
    int rc = SQLITE_DONE;
    if (!q) return 1;
    if (c->json)
        while ((rc = sqlite3_step(q)) == SQLITE_ROW) device_print_json(json_row(q));
    else
        rc = print_table(title, q);
    if (rc != SQLITE_DONE) crm_fail_db(c, "cannot read");
    sqlite3_finalize(q);
    return rc != SQLITE_DONE;
}

/* ---- cards ---- */

/* The one row as lines, or as the object *o. */
static int print_card(crm *c, sqlite3_stmt *q, json_t **o) {
    if (!q) return 1;
    bool found = sqlite3_step(q) == SQLITE_ROW;
    if (found && c->json) *o = json_row(q);
    for (int i = 0; found && !c->json && i < sqlite3_column_count(q); i++) {
        if (*sqlite3_column_name(q, i) == '.' || sqlite3_column_type(q, i) == SQLITE_NULL) continue;
        char *name = heading_of(q, i), *text = shown(q, i);
        if (name && text) printf("%-16s%s\n", name, text);
        free(name);
        free(text);
    }
    if (!found) crm_fail_db(c, "cannot read");
    sqlite3_finalize(q);
    return !found;
}

static int add_rows(crm *c, json_t *o, const char *name, sqlite3_stmt *q) {
    json_t *rows = json_array();
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) json_array_append_new(rows, json_row(q));
    json_object_set_new(o, name, rows);
    if (rc != SQLITE_DONE) crm_fail_db(c, "cannot read");
    sqlite3_finalize(q);
    return rc != SQLITE_DONE;
}

int crm_show(crm *c, const uint8_t id[CRM_ID_BYTES], const char *card, const crm_part *part, size_t parts) {
    json_t *o = NULL;
    int status = print_card(c, crm_query(c, card, "b", id), &o);
    for (size_t i = 0; !status && i < parts; i++) {
        sqlite3_stmt *q = crm_query(c, part[i].sql, "b", id);
        if (q && sqlite3_bind_parameter_count(q) > 1) sqlite3_bind_int64(q, 2, c->limit);
        status = !q ? 1 : o ? add_rows(c, o, part[i].name, q) : crm_print_table(c, part[i].name, q);
    }
    if (o && !status)
        device_print_json(o);
    else
        json_decref(o);
    return status;
}
