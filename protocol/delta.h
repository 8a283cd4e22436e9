/* delta.h - row changes on the wire and in the server's log: rows grouped by table, operation and column list.
 *
 *   delta = [* group]
 *   group = [table, op, nkey, [* colspec], [* item]]       items of all rows of the group, flat
 *   row   = nkey key values, then for each colspec one value (set, add) or two (move: seen, new)
 *   colspec = column id * 4 + kind
 *
 * Upwards (device to server): PUT is an insert with every column set; UPDATE holds the touched columns: counters as `add` (new - old),
 * guarded ones as `move`; DELETE has no columns. Downwards: PUT is a whole row, UPDATE changed columns, DELETE the row; always `set`.
 * LEAVE (downwards, scope) means: this device no longer holds the row. */
#ifndef PROTOCOL_DELTA_H
#define PROTOCOL_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/value.h"
#include "protocol/wire.h"

typedef enum delta_op { DELTA_PUT = 0, DELTA_UPDATE = 1, DELTA_DELETE = 2, DELTA_LEAVE = 3 } delta_op;
typedef enum delta_kind { DELTA_SET = 0, DELTA_ADD = 1, DELTA_MOVE = 2 } delta_kind;

typedef struct delta_column {
    uint32_t id;
    delta_kind kind;
} delta_column;

typedef struct delta_row {
    uint32_t table;
    delta_op op;
    unsigned nkey, ncol;
    value key[LIMIT_KEY_COLUMNS]; /* in the order of the primary key */
    delta_column col[LIMIT_COLUMNS];
    value v[LIMIT_COLUMNS];    /* the new value, or the delta of `add` */
    value seen[LIMIT_COLUMNS]; /* `move` only: what the author saw */
} delta_row;

typedef struct delta_writer {
    buf body;  /* finished groups */
    buf items; /* of the open group */
    uint64_t groups, nitems;
    buf head; /* encoded (table, op, nkey, colspecs) of the open group: a row with the same head joins it */
    buf scratch;
} delta_writer;

void delta_writer_init(delta_writer *w);
void delta_writer_fini(delta_writer *w);
void delta_put_row(delta_writer *w, const delta_row *row);
/* Bytes so far, for cutting parts. */
size_t delta_size(const delta_writer *w);
/* Appends the finished delta to `out` and empties the writer for the next. Returns the first error of the run. */
int delta_finish(delta_writer *w, buf *out);

typedef struct delta_reader {
    wire w;
    uint64_t groups, items; /* left: groups, items of the open group */
    delta_row shape;        /* table, op, nkey, columns of the open group */
    unsigned width;         /* items a row */
    const uint8_t *head;    /* encoded table, op, nkey, colspecs of the open group: the next has another */
    size_t nhead;
} delta_reader;

/* What is refused beyond the grammar: ids of 0, colspecs that do not ascend strictly, `add` and `move` outside UPDATE, columns in DELETE and LEAVE,
 * NULL in a key, a group without rows, items that do not divide into rows (SATCHEL_E_MALFORMED); more columns or key columns than limits.h
 * allows (SATCHEL_E_LIMIT); neighbouring groups with the same head (SATCHEL_E_NOT_DETERMINISTIC).
 *
 * Reads from a cursor that stands on a delta; delta_next reads rows; after 0 the cursor r->w stands behind the delta. */
void delta_open(delta_reader *r, const wire *at);
/* 1 and a row (views into the input), 0 at the end, a negative code on error. Checks form only: ids are the caller's to resolve.
 * Column ids within a row ascend strictly, else SATCHEL_E_MALFORMED. */
int delta_next(delta_reader *r, delta_row *row);

#endif
