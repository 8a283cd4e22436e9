#include "tools/rows_in.h"

#include <csv.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"

#define READ_BYTES (64u << 10)
/* libcsv grows its buffer by so much at a time, 128 bytes if not told: a long field would be copied over and over. */
#define GROW_BYTES (1u << 20)

typedef struct span {
    size_t at, n;
    bool absent;
} span;

struct rows_in {
    FILE *from;
    rows_format format;
    char separator;
    struct csv_parser csv;
    char *block; /* read, and not yet taken from `at` on */
    size_t at, nblock;
    uint64_t bytes;
    uint64_t line;    /* of the next byte, from 1 */
    uint64_t began;   /* of the row at hand */
    bool in_row;      /* bytes of it were taken */
    bool skipping;    /* to the line's end, behind a fault */
    bool cr;          /* the piece before ended in a carriage return */
    bool ended;       /* the row is whole: libcsv's word, or a line's end */
    buf text, fields; /* of the row at hand: as it stands, and its fields one after another */
    span *spans;
    rows_field *field;
    size_t n;
    const char *fault;
    char error[160];
};

/* libcsv would take blanks around a field away. */
static int no_space(unsigned char c) {
    (void)c;
    return 0;
}

static bool open_csv(rows_in *r) {
    if (csv_init(&r->csv, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL)) return false;
    csv_set_delim(&r->csv, (unsigned char)r->separator);
    csv_set_space_func(&r->csv, no_space);
    csv_set_blk_size(&r->csv, GROW_BYTES);
    return true;
}

rows_in *rows_open(FILE *from, rows_format format, char separator) {
    rows_in *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    *r = (rows_in){.from = from, .format = format, .separator = separator, .line = 1};
    buf_init(&r->text, ROWS_TEXT_BYTES);
    buf_init(&r->fields, ROWS_TEXT_BYTES);
    r->block = malloc(READ_BYTES);
    r->spans = malloc(ROWS_FIELDS * sizeof *r->spans);
    r->field = malloc(ROWS_FIELDS * sizeof *r->field);
    if (r->block && r->spans && r->field && open_csv(r)) return r;
    rows_close(r);
    return NULL;
}

void rows_close(rows_in *r) {
    if (!r) return;
    csv_free(&r->csv);
    buf_fini(&r->text);
    buf_fini(&r->fields);
    free(r->block);
    free(r->spans);
    free(r->field);
    free(r);
}

const char *rows_error(const rows_in *r) {
    return r->error;
}

uint64_t rows_bytes(const rows_in *r) {
    return r->bytes;
}

/* ---- CSV ---- */

static void on_field(void *p, size_t n, void *ctx) {
    rows_in *r = ctx;
    if (r->n == ROWS_FIELDS) {
        r->fault = "it has more than 4096 fields";
        return;
    }
    r->spans[r->n++] = (span){.at = r->fields.n, .n = p ? n : 0, .absent = !p};
    if (p) buf_put(&r->fields, p, n);
}

static void on_row(int end, void *ctx) {
    (void)end;
    ((rows_in *)ctx)->ended = true;
}

/* After a fault libcsv begins anew, with the next line. */
static void begin_anew(rows_in *r, const char *fault) {
    csv_free(&r->csv);
    open_csv(r);
    r->fault = fault;
}

static void feed_csv(rows_in *r, const char *p, size_t n) {
    if (csv_parse(&r->csv, p, n, on_field, on_row, r) == n) return;
    begin_anew(r, csv_error(&r->csv) == CSV_EPARSE ? "a quotation mark stands where none may; one within a field is written twice"
                                                   : "there is no memory for it");
    r->skipping = true;
}

static void end_csv(rows_in *r) {
    if (csv_fini(&r->csv, on_field, on_row, r)) begin_anew(r, "a quotation mark opens a field and none closes it");
    r->ended = true;
}

/* ---- pieces of lines ---- */

/* Up to and with the line's end, or all that was read. */
static size_t piece_length(const rows_in *r) {
    const char *p = r->block + r->at;
    size_t left = r->nblock - r->at;
    for (size_t i = 0; i < left; i++)
        if (p[i] == '\n' || (p[i] == '\r' && r->format == ROWS_CSV)) return i + 1;
    return left;
}

/* At a line's end. A line feed alone behind a carriage return ends the same line. */
static void count_line(rows_in *r, char last, size_t n) {
    if (last == '\r' || !r->cr || n > 1) r->line++;
    r->cr = last == '\r';
}

static void take_piece(rows_in *r, const char *p, size_t n) {
    char last = p[n - 1];
    bool line_ends = last == '\n' || (last == '\r' && r->format == ROWS_CSV);
    if (!r->in_row) r->began = r->line;
    if (r->in_row || n > 1 || !line_ends) { /* else a blank line, or the second half of CRLF */
        r->in_row = true;
        buf_put(&r->text, p, n);
        if (r->text.rc && !r->skipping) {
            begin_anew(r, "it is longer than 8 MiB; perhaps a quotation mark is missing");
            r->skipping = true;
        }
        if (r->format == ROWS_CSV && !r->skipping) feed_csv(r, p, n);
        if (line_ends && (r->skipping || r->format == ROWS_JSONL)) r->ended = true;
    }
    if (line_ends)
        count_line(r, last, n);
    else
        r->cr = false;
}

/* 1, 0 at the end of the file, -1. */
static int read_block(rows_in *r) {
    if (r->at < r->nblock) return 1;
    r->at = 0;
    r->nblock = fread(r->block, 1, READ_BYTES, r->from);
    if (ferror(r->from)) {
        snprintf(r->error, sizeof r->error, "%s", strerror(errno));
        return -1;
    }
    if (!r->bytes && r->nblock >= 2 && (!memcmp(r->block, "\xff\xfe", 2) || !memcmp(r->block, "\xfe\xff", 2))) {
        snprintf(r->error, sizeof r->error, "this is UTF-16; save it as UTF-8");
        return -1;
    }
    if (!r->bytes && r->nblock >= 3 && !memcmp(r->block, "\xef\xbb\xbf", 3)) r->at = 3;
    r->bytes += r->nblock;
    return r->nblock > 0;
}

/* ---- rows ---- */

static void begin_row(rows_in *r) {
    buf_clear(&r->text);
    buf_clear(&r->fields);
    r->n = 0;
    r->fault = NULL;
    r->in_row = r->skipping = r->ended = false;
}

static void give(rows_in *r, rows_row *out) {
    while (r->text.n && (r->text.p[r->text.n - 1] == '\n' || r->text.p[r->text.n - 1] == '\r')) r->text.n--;
    for (size_t i = 0; i < r->n; i++)
        r->field[i] = (rows_field){
            .p = r->fields.n ? (const char *)r->fields.p + r->spans[i].at : "", .n = r->spans[i].n, .absent = r->spans[i].absent};
    *out = (rows_row){.line = r->began,
                      .fault = r->fault,
                      .text = r->text.n ? (const char *)r->text.p : "",
                      .ntext = r->text.n,
                      .field = r->field,
                      .n = r->n};
}

static bool is_blank(const rows_in *r) {
    for (size_t i = 0; i < r->text.n; i++)
        if (!strchr(" \t\r\n", r->text.p[i]) || !r->text.p[i]) return false;
    return r->format == ROWS_JSONL && !r->fault;
}

int rows_next(rows_in *r, rows_row *out) {
    begin_row(r);
    for (;;) {
        int more = read_block(r);
        if (more < 0) return -1;
        if (!more) {
            if (!r->in_row) return 0;
            if (r->format == ROWS_CSV && !r->skipping) end_csv(r);
            r->ended = true;
        } else {
            size_t n = piece_length(r);
            if (n) take_piece(r, r->block + r->at, n);
            r->at += n;
        }
        if (!r->ended) continue;
        if (!is_blank(r)) break;
        begin_row(r);
    }
    give(r, out);
    return 1;
}
