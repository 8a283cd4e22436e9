/* checksum.h - compares what a device holds with the store, by digests of ranges, and gives it the ranges that differ.
 *
 * It works on a reader's connection, as of one state of the store. A range counts only if that state is, for its table and the device's view, the one that
 * the device has told its cursor of; so nothing is compared that a page is still to bring. Rows outside the view and masked columns are neither
 * looked at nor sent (S1): a masked column counts as its default, which is what the device has of it. */
#ifndef SERVER_CHECKSUM_H
#define SERVER_CHECKSUM_H

#include "protocol/message.h"
#include "protocol/schema.h"
#include "server/pages.h"

/* A range that differs, for whoever is told of it. */
typedef struct checksum_found {
    const schema_table *t;
    uint64_t device_rows, store_rows;
    char range[200]; /* "from KEY up to KEY", in words */
} checksum_found;

typedef struct checksum_outcome {
    unsigned compared, nfound; /* ranges */
    bool store; /* rows of the store are not what its log says: they are to be healed before devices are told anything */
    checksum_found found[LIMIT_SUMS];
} checksum_outcome;

/* Answers a `sums` message of a device that holds `view`: *out is the `repair` message, packed. SATCHEL_E_MALFORMED and others: the message
 * makes no sense. Database codes. */
int checksum_answer(pages *r, const schema *shape, uint64_t view, const void *message, size_t n, checksum_outcome *outcome,
                    frame **out);
/* The answer that nothing was compared; NULL: no memory. */
frame *checksum_later(uint64_t cursor);

#endif
