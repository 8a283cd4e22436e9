/* checksum_memo.h - digests of ranges that were computed from rows, so that a thousand devices of one view cost one reading of the store and not a thousand.
 *
 * An entry says what a range of a table is to a view as of a commit. Who takes one sees to it that no commit since has touched the range for that view, and then
 * keeps it as of now. It is given up CHECKSUM_MEMO_MS after it was computed, however often it was taken, and the device for which it was computed is not given it:
 * so what something outside does to the store's file is found as well. A fixed number of places, each taken by who comes last; safe from several threads. */
#ifndef SERVER_CHECKSUM_MEMO_H
#define SERVER_CHECKSUM_MEMO_H

#include "protocol/message.h"

#define CHECKSUM_MEMO_MS (3600u * 1000u)
#define CHECKSUM_MEMO_PLACES 16384u

typedef struct checksum_memo checksum_memo;

typedef struct checksum_known {
    uint8_t name[32]; /* of view and range; all that tells two entries apart */
    uint8_t digest[32];
    uint64_t rows;
    uint64_t seq;    /* as of this commit */
    uint64_t device; /* for which it was computed */
    uint64_t made_ms;
} checksum_known;

/* NULL: no memory. */
checksum_memo *checksum_memo_new(void);
void checksum_memo_free(checksum_memo *m);
/* Writes the name of a range that a view is asked for. SATCHEL_E_NOMEM. */
int checksum_memo_name(uint64_t view, const snapshot_range *range, checksum_known *out);
/* Taken before the store is read: what was read before a later checksum_memo_clear is not kept. */
uint64_t checksum_memo_turn(checksum_memo *m);
/* Fills what belongs to k->name, for this device; false: it has to be computed. */
bool checksum_memo_find(checksum_memo *m, checksum_known *k, uint64_t device, uint64_t now_ms);
void checksum_memo_keep(checksum_memo *m, const checksum_known *k, uint64_t turn);
/* Rows were changed by no commit. */
void checksum_memo_clear(checksum_memo *m);

#endif
