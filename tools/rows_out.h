/* rows_out.h - rows of a table as CSV or JSON Lines, as import reads them.
 *
 * CSV (RFC 4180): a line of names, lines end in CRLF, quotation marks where they are needed. NULL is an empty field and an empty text is "". A blob is
 * base64, an empty one x''. In a column without a declared type a text that would read as something else is an SQL literal: '12'.
 * JSON Lines: an object a line; a blob is {"base64":"..."}. A real is the shortest decimal that reads back as itself; infinity is 1e999 in CSV and
 * {"real":"Infinity"} in JSON. */
#ifndef TOOLS_ROWS_OUT_H
#define TOOLS_ROWS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "protocol/buf.h"
#include "protocol/value.h"

typedef enum rows_format { ROWS_CSV, ROWS_JSONL } rows_format;

/* The format of a name ("csv", "jsonl"), or without one (NULL) of a file's: .jsonl, .ndjson and .json are JSON Lines, all else is CSV. False: no such name. */
bool rows_format_of(const char *name, const char *path, rows_format *out);

typedef struct rows_column {
    const char *name;
    bool untyped; /* declared without a type: it takes values of any */
} rows_column;

typedef struct rows_out {
    FILE *to;
    rows_format format;
    char separator;
    const rows_column *column; /* borrowed */
    unsigned n;
    buf line; /* the caller's buf_fini */
} rows_out;

/* CSV's line of names. Failures of writing are left in the stream (ferror). */
void rows_out_names(rows_out *o);
/* SATCHEL_E_UTF8 if a text is not UTF-8, and what `line` may fail with; nothing of the row is written then. */
int rows_out_row(rows_out *o, const value *v);
/* One CSV field in the quotation marks that it needs. */
void rows_put_field(buf *line, const void *p, size_t n, char separator);
/* A value as JSON. SATCHEL_E_UTF8. */
int rows_put_json(buf *line, const value *v);
/* A JSON string. SATCHEL_E_UTF8. */
int rows_put_string(buf *line, const void *p, size_t n);

#endif
