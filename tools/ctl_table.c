#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"

#define CELL_BYTES 256
/* A cell of a table is cut at this many characters; --json has all of it. */
#define CELL_WIDTH 40
/* The headings of records that are printed below each other line up. */
#define RECORD_WIDTH 22
#define BAR_AFTER_MS 2000
#define BAR_WIDTH 30

uint64_t ctl_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- cells ---- */

static void print_time(char out[CELL_BYTES], json_int_t ms) {
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (ms <= 0 || !gmtime_r(&s, &tm))
        snprintf(out, CELL_BYTES, "never");
    else
        strftime(out, CELL_BYTES, "%Y-%m-%d %H:%M:%SZ", &tm);
}

static void print_milliseconds(char out[CELL_BYTES], json_int_t ms) {
    long long seconds = ms / 1000, size = llabs(seconds);
    if (size < 120)
        snprintf(out, CELL_BYTES, "%.1f s", (double)ms / 1000);
    else if (size < 7200)
        snprintf(out, CELL_BYTES, "%lld min", seconds / 60);
    else
        snprintf(out, CELL_BYTES, "%lld h", seconds / 3600);
}

/* A cell's text, one line: what a value holds must not steer the terminal. */
static void print_cell(char out[CELL_BYTES], const json_t *v, ctl_kind kind) {
    if (kind == CTL_TIME && json_is_integer(v))
        print_time(out, json_integer_value(v));
    else if (kind == CTL_MILLISECONDS && json_is_integer(v))
        print_milliseconds(out, json_integer_value(v));
    else if (json_is_integer(v))
        snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(out, CELL_BYTES, "%.6g", json_real_value(v));
    else if (json_is_boolean(v))
        snprintf(out, CELL_BYTES, "%s", json_is_true(v) ? "yes" : "no");
    else
        snprintf(out, CELL_BYTES, "%s", json_is_string(v) ? json_string_value(v) : "-");
    for (unsigned char *p = (unsigned char *)out; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = '?';
}

/* Characters, as far as a byte that continues one is none. */
static int width_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void cut(char *text) {
    int n = 0;
    for (char *p = text; *p; p++) {
        if (((unsigned char)*p & 0xc0) == 0x80 || ++n < CELL_WIDTH) continue;
        if (p[1]) memcpy(p, "~", 2);
        return;
    }
}

static void put_cell(const char *text, int width, bool right, bool last) {
    int pad = width - width_of(text);
    if (right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

static void cell_of(char out[CELL_BYTES], const json_t *row, const ctl_column *column) {
    print_cell(out, json_object_get(row, column->member), column->kind);
    if (column->kind != CTL_WORDS) cut(out);
}

static int column_width(const json_t *array, const ctl_column *column) {
    int width = width_of(column->heading);
    size_t i;
    const json_t *row;
    json_array_foreach(array, i, row) {
        char text[CELL_BYTES];
        cell_of(text, row, column);
        if (width_of(text) > width) width = width_of(text);
    }
    return width;
}

static bool is_right(ctl_kind kind) {
    return kind == CTL_NUMBER || kind == CTL_REAL || kind == CTL_MILLISECONDS;
}

#define COLUMNS_MAX 16

void ctl_table(const json_t *array, const ctl_column *column, size_t n) {
    int width[COLUMNS_MAX];
    size_t i;
    const json_t *row;
    for (size_t k = 0; k < n; k++) width[k] = column_width(array, &column[k]);
    for (size_t k = 0; k < n; k++) put_cell(column[k].heading, width[k], is_right(column[k].kind), k + 1 == n);
    json_array_foreach(array, i, row) {
        for (size_t k = 0; k < n; k++) {
            char text[CELL_BYTES];
            cell_of(text, row, &column[k]);
            put_cell(text, width[k], is_right(column[k].kind), k + 1 == n);
        }
    }
}

void ctl_record(const json_t *object, const ctl_column *column, size_t n) {
    int width = RECORD_WIDTH;
    for (size_t k = 0; k < n; k++)
        if (width_of(column[k].heading) > width) width = width_of(column[k].heading);
    for (size_t k = 0; k < n; k++) {
        char text[CELL_BYTES];
        print_cell(text, json_object_get(object, column[k].member), column[k].kind);
        put_cell(column[k].heading, width, false, false);
        put_cell(text, 0, false, true);
    }
}

void ctl_print_json(const json_t *value) {
    json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
}

/* ---- the bar ---- */

void ctl_bar_begin(ctl_bar *b, const char *title) {
    *b = (ctl_bar){.title = title, .began_ms = ctl_now_ms()};
}

void ctl_bar_show(ctl_bar *b, uint64_t done, uint64_t total, const char *words) {
    uint64_t elapsed_ms = ctl_now_ms() - b->began_ms;
    if (elapsed_ms < BAR_AFTER_MS || !isatty(STDERR_FILENO)) return;
    b->shown = true;
    if (!total) {
        fprintf(stderr, "\r%s: %" PRIu64 " s%s%s\033[K", b->title, elapsed_ms / 1000, words ? ", " : "", words ? words : "");
        return;
    }
    int full = (int)(done * BAR_WIDTH / total);
    fprintf(stderr, "\r%s: [", b->title);
    for (int i = 0; i < BAR_WIDTH; i++) fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %u%%%s%s\033[K", (unsigned)(done * 100 / total), words ? "  " : "", words ? words : "");
}

void ctl_bar_end(ctl_bar *b) {
    if (b->shown) fputs("\r\033[K", stderr);
    b->shown = false;
}

void ctl_listing(const ctl *c, const json_t *reply, const char *member, const ctl_column *columns, size_t n, const char *none) {
    const json_t *array = json_object_get(reply, member);
    if (c->json)
        ctl_print_json(array);
    else if (none && !json_array_size(array))
        puts(none);
    else
        ctl_table(array, columns, n);
    if (json_is_true(json_object_get(reply, "more"))) fprintf(stderr, "There are more than these %zu.\n", json_array_size(array));
}

int ctl_list(ctl *c, json_t *request, const char *title, const char *member, const ctl_column *columns, size_t n,
             const char *none) {
    json_t *reply;
    int rc = ctl_call(c, request, title, &reply);
    if (rc) return rc;
    ctl_listing(c, reply, member, columns, n, none);
    json_decref(reply);
    return CTL_DONE;
}
