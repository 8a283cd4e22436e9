/* clock.h - the row clock: who wrote each field of a server row, when, and at which seq; packed in one BLOB of the row.
 *
 * A base entry speaks for every unit that has no entry of its own (the row's insert), overrides for units written later. A unit is a column
 * id, or the lowest column id of a group. Most rows have no override: about 12 bytes. */
#ifndef PROTOCOL_CLOCK_H
#define PROTOCOL_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/limits.h"

typedef struct field_clock {
    uint64_t stamp;  /* effective HLC stamp */
    uint64_t seq;    /* server commit that wrote it */
    uint32_t author; /* number of the device incarnation; 0 is the server */
} field_clock;

typedef struct row_clock {
    field_clock base;
    unsigned n; /* overrides, ascending unit */
    struct {
        uint32_t unit;
        field_clock c;
    } over[LIMIT_COLUMNS];
} row_clock;

/* One base entry, no overrides. */
void clock_init(row_clock *c, field_clock base);
/* SATCHEL_E_CORRUPT if the bytes are not a row clock; *c is then unspecified. */
int clock_decode(row_clock *c, const void *p, size_t n);
/* Appends the packed form, laid out at the head of clock.c. An override equal to the base is left out. */
void clock_encode(const row_clock *c, buf *out);
/* The unit's override, or else the base. */
field_clock clock_get(const row_clock *c, uint32_t unit);
/* SATCHEL_E_LIMIT, with nothing changed, if it would be override LIMIT_COLUMNS + 1: the schema gives a table no more ids than that. */
int clock_set(row_clock *c, uint32_t unit, field_clock f);
/* The entry with the highest stamp (ties: author), of base and overrides. */
field_clock clock_latest(const row_clock *c);
/* >0 if a wins over b: by stamp, then by author. 0 only if both are equal. */
int clock_compare(const field_clock *a, const field_clock *b);

#endif
