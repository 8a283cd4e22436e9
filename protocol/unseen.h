/* unseen.h - what the author of a transaction had not seen, although its base had passed it (M16).
 *
 * A device's own pending edit hides what a page brings beneath it. Whoever edits the field again then has a base above a value that he never saw. So
 * a transaction that touches such a row says up to where he had seen each hidden column:
 *
 *   unseen = [+ [table, key as bytes, [+ (column, base)]]]     column and base flat; column 0: whether the row is there
 *
 * Its rows come in the order in which the transaction's (or part's) delta has them, columns ascending. */
#ifndef PROTOCOL_UNSEEN_H
#define PROTOCOL_UNSEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/wire.h"

/* Writing: rows into `body`, counted by the caller; then the whole. */
void unseen_put_row(buf *body, uint32_t table, const void *key, size_t nkey, unsigned columns);
void unseen_put_column(buf *body, uint32_t column, uint64_t base);
void unseen_finish(uint64_t rows, const buf *body, buf *out);

typedef struct unseen_row {
    uint32_t table;
    const uint8_t *key;
    size_t nkey;
    wire columns;
    uint64_t ncolumn;
} unseen_row;

typedef struct unseen_reader {
    wire w;
    uint64_t rows; /* left */
} unseen_reader;

void unseen_open(unseen_reader *r, const void *p, size_t n);
/* 1 and a row, 0 at the end, SATCHEL_E_MALFORMED or _LIMIT. */
int unseen_next(unseen_reader *r, unseen_row *out);
/* The next of a row's columns; false after the last. The row is read from a copy, so that it can be asked again. */
bool unseen_column(unseen_row *row, uint32_t *column, uint64_t *base);

#endif
