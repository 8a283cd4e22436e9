/* checksum.h - compares what is confirmed here with the server, range by range: makes the digests that are sent, and takes the ranges that come back
 * because they differ (protocol/README.md, Checksums).
 *
 * A walk goes over all tables in key order, a message at a time, and remembers where it stands in memory alone: one that is broken off begins anew. It
 * works only on a file at rest, where every row shows what is confirmed. Nothing here knows of time or connections (session_checksum.c). */
#ifndef REPLICA_CHECKSUM_H
#define REPLICA_CHECKSUM_H

#include "replica/file.h"

typedef struct checksum_walk {
    unsigned table; /* place in the schema's tables */
    buf from;       /* key bytes: the walk goes on behind this row; empty: at the table's beginning */
    buf asked;      /* the last message */
    uint64_t rows;  /* compared so far */
} checksum_walk;

/* Frees what it holds; the next walk begins at the beginning. */
void checksum_reset(checksum_walk *w);
/* Makes the next message: 1 and it is in w->asked, 0 when all was compared. SATCHEL_E_BUSY: the file is not at rest, or locked; later. After
 * any other code the walk begins anew. */
int checksum_ask(file *f, checksum_walk *w);

typedef struct checksum_repair {
    uint32_t table;
    uint64_t rows; /* that were wrong here, missing, or too many */
    int rc;        /* other than 0: the range is not what the server has even now */
} checksum_repair;
/* Takes the answer to w->asked, in one transaction: what differs becomes what the server sent, and the walk moves on. `told` has room for LIMIT_SUMS, *n is
 * how many ranges were to be repaired. One that cannot be taken, now or later, is the last of them: it is left as it was, its rc says why, and the walk moves on
 * behind it. SATCHEL_E_INTERNAL in a range: it is here as it was sent, or should be, and is not the same.
 * SATCHEL_E_BUSY: nothing was compared, or the file is no longer what it was then; ask again later. After any other code the walk begins anew. */
int checksum_take(file *f, checksum_walk *w, const void *message, size_t nmessage, checksum_repair *told, unsigned *n);
/* After SATCHEL_E_BUSY of checksum_take: gives up the first range of w->asked, of *table, and moves on behind it. */
int checksum_pass(file *f, checksum_walk *w, uint32_t *table);

#endif
