/* company_out.h - writes rows as multi-row INSERTs in transactions of about a thousand rows, and draws repeatable numbers.
 *
 * Values of a row are given in the order of the columns; nothing here knows a table. Errors of the stream stay in it (ferror). */
#ifndef TOOLS_COMPANY_OUT_H
#define TOOLS_COMPANY_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct out {
    FILE *f;
    const char *table, *columns;
    unsigned statement_rows, transaction_rows;
    bool first; /* the next value is the first of its row */
    uint64_t rows;
} out;

/* Begins the rows of a table; ends the statement before it. */
void out_table(out *o, const char *table, const char *columns);
void out_row(out *o);
void out_row_end(out *o);
/* Ends the last transaction. */
void out_end(out *o);

void out_int(out *o, int64_t v);
void out_null(out *o);
void out_text(out *o, const char *text);
/* Formatted, at most 500 bytes. */
void out_format(out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_id(out *o, const uint8_t id[16]);

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
typedef struct rng {
    uint64_t state;
} rng;

rng rng_of(uint64_t seed, uint32_t stream, uint64_t n);
uint64_t rng_next(rng *r);
/* 0 to n-1; n > 0. */
uint32_t rng_below(rng *r, uint32_t n);
bool rng_percent(rng *r, unsigned percent);

#endif
