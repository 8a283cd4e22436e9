/* checksum.h - compares what a device holds with the store, by digests of ranges, and gives it the ranges that differ.
 *
 * It works on a reader's connection, as of one state of the store. A range counts only if that state is, for its table and the device's view, the one that
 * the device has told its cursor of; so nothing is compared that a page is still to bring. Rows outside the view and masked columns are neither
 * looked at nor sent (S1): a masked column counts as its default, which is what the device has of it. */
#ifndef SERVER_CHECKSUM_H
#define SERVER_CHECKSUM_H

#include "protocol/message.h"
#include "protocol/schema.h"
#include "server/checksum_memo.h"
#include "server/pages.h"

/* A range that differs, for whoever is told of it. */
typedef struct checksum_found {
    const schema_table *t;
    uint64_t device_rows, store_rows; /* the store's are not counted further than one above the device's */
    char range[200];                  /* "from KEY up to KEY", in words */
} checksum_found;

typedef struct checksum_outcome {
    unsigned compared, nfound; /* ranges */
    bool cut;                  /* the last of them not to its end */
    unsigned known;            /* of `compared`: the memo had them */
    uint64_t read;             /* rows of the view, times 8, and other rows that were passed over */
    uint64_t looked;           /* commits of the log that were looked through, because something differs */
    buf heal; /* a range in which the store is not what its log says, as a `sums` message; empty: none was found. The caller's */
    checksum_found found[LIMIT_SUMS];
} checksum_outcome;

typedef struct checksum_asker {
    checksum_memo *memo;
    uint64_t device; /* tells devices apart, and nothing else */
    uint64_t now_ms;
    bool may_look;
} checksum_asker;

/* Answers a `sums` message of a device that holds `view`: *out is the `repair` message, packed. Before a device is told that its rows are wrong, the
 * store is compared with its log: where that says otherwise, the answer ends before the range, which is in outcome->heal. Without `may_look`, because that costs a look at
 * the whole log, it ends before the first range that differs. Ranges that the memo has are not read, unless the device has something else; and when much was read
 * the answer ends behind the range. SATCHEL_E_MALFORMED and others: the message makes no sense. Database codes. */
int checksum_answer(pages *r, const schema *shape, uint64_t view, const checksum_asker *by, const void *message, size_t n,
                    checksum_outcome *outcome, frame **out);
/* The answer that nothing was compared; NULL: no memory. */
frame *checksum_later(uint64_t cursor);

#endif
