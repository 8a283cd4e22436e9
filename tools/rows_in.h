/* rows_in.h - the rows of a CSV or JSON Lines file, one after another, in bounded memory.
 *
 * CSV is as RFC 4180 has it, read by libcsv: fields in quotation marks may hold separators, line ends and doubled quotation marks; lines end in CRLF, LF
 * or CR; blank lines are passed over. The first row names the columns. A JSON Lines row is the text of a line, which is not looked into here. A
 * byte order mark in front is passed over.
 *
 * A row that cannot be read (a stray quotation mark, say) is a row with a `fault`; reading goes on behind it. */
#ifndef TOOLS_ROWS_IN_H
#define TOOLS_ROWS_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "protocol/buf.h"
#include "tools/rows_out.h"

/* The longest text of one row: room for LIMIT_ROW_BYTES in base64 or in JSON's escapes. A longer one is a fault, and passed over to its line's end. */
#define ROWS_TEXT_BYTES (8u << 20)
#define ROWS_FIELDS 4096

typedef struct rows_field {
    const char *p; /* not terminated */
    size_t n;
    bool absent; /* empty, and without quotation marks */
} rows_field;

typedef struct rows_row {
    uint64_t line;     /* on which it begins, from 1 */
    const char *fault; /* why it cannot be read, in words; NULL */
    const char *text;  /* as it stands in the file, without the line's end; cut where it is too long */
    size_t ntext;
    const rows_field *field; /* CSV */
    size_t n;
} rows_row;

typedef struct rows_in rows_in;

/* `from` stays the caller's. NULL: out of memory. */
rows_in *rows_open(FILE *from, rows_format format, char separator);
void rows_close(rows_in *r);
/* 1 and a row, valid until the next call; 0 at the end; -1 if the file cannot be read on: rows_error has words. */
int rows_next(rows_in *r, rows_row *out);
const char *rows_error(const rows_in *r);
/* Bytes of the file read so far. */
uint64_t rows_bytes(const rows_in *r);

#endif
