/* company_make.h - a sample company for the schema of server/crm, of any size, the same for the same seed. */
#ifndef TOOLS_COMPANY_MAKE_H
#define TOOLS_COMPANY_MAKE_H

#include <stdint.h>
#include <stdio.h>

typedef struct company_size {
    uint64_t seed;
    uint32_t contacts, territories, stores, cards, entries;
} company_size;

/* Writes it as SQL: transactions of about a thousand rows, parents before children. Returns the number of rows, 0 without memory;
 * errors of the stream stay in it. */
uint64_t company_write(const company_size *size, FILE *f);

#endif
