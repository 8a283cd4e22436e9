/* changeset.h - writes and reads SQLite changeset blobs, the format documented at the head of sqlite3session.c.
 *
 * A blob is a run of table sections; a section is 'T', varint column count, one byte per column (its 1-based place in the
 * primary key, 0 outside it), the table's name and a zero byte, then changes. A change is the operation byte (SQLITE_INSERT,
 * _UPDATE, _DELETE), the indirect byte, then one record (insert: new row; delete: old row) or two (update: old then new; a
 * column absent from both is unchanged; the old record always has the key).
 *
 * sqlite3changeset_start() and the session extension's other functions read what this writes. It differs from the
 * extension in two liberties: an update may hold a column whose old and new value are equal (a column of a touched group, or one that a retry
 * says again), and its indirect byte may say that it was an insert that met the row.
 * Does not allocate; the reader's views point into the blob. */
#ifndef PROTOCOL_CHANGESET_H
#define PROTOCOL_CHANGESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/value.h"

/* Begins a table section. `pk` has ncol bytes. */
void changeset_put_table(buf *b, const char *name, unsigned ncol, const uint8_t *pk);
/* The indirect byte of an update that was an insert whose row was there already: it has what that said. */
#define CHANGESET_INSERT 1u

/* Begins a change; the caller then puts its records with value_put (absent columns as type 0). */
void changeset_put_op(buf *b, uint8_t op, uint8_t indirect);

typedef struct changeset_change {
    uint8_t op;        /* SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE */
    bool insert;       /* of an update: it was an insert that met the row */
    const char *table; /* name, zero-terminated, in the blob */
    unsigned ncol;
    const uint8_t *pk;        /* ncol bytes */
    size_t header_offset;     /* of the table section; with `offset` finds the change again */
    size_t offset;            /* of the change */
    value old[LIMIT_COLUMNS]; /* update, delete */
    value new[LIMIT_COLUMNS]; /* update, insert */
} changeset_change;

typedef struct changeset_reader {
    const uint8_t *p, *end, *start;
    const char *table;
    unsigned ncol;
    const uint8_t *pk;
    size_t header_offset;
} changeset_reader;

void changeset_open(changeset_reader *r, const void *blob, size_t n);
/* 1 and a change, 0 at the end, SATCHEL_E_CORRUPT on damage. */
int changeset_next(changeset_reader *r, changeset_change *out);
/* Reads the one change that `header_offset` and `offset` name. SATCHEL_OK or SATCHEL_E_CORRUPT. */
int changeset_at(const void *blob, size_t n, size_t header_offset, size_t offset, changeset_change *out);

#endif
