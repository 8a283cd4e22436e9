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
    buf asked;      /* the message that waits for its answer; empty: none */
    uint64_t rows;  /* compared so far */
} checksum_walk;

/* Frees what it holds; the next walk begins at the beginning. */
void checksum_reset(checksum_walk *w);
/* Makes the next message: 1 and it is in w->asked, 0 when all was compared. SATCHEL_E_BUSY: the file is not at rest, or locked; later. */
int checksum_ask(file *f, checksum_walk *w);

typedef struct checksum_repair {
    uint32_t table;
    uint64_t rows; /* that were wrong here, missing, or too many */
} checksum_repair;
/* Takes the answer to w->asked, in one transaction: what differs becomes what the server sent, and the walk moves on. `told` has room for LIMIT_SUMS, *n is
 * how many were repaired. SATCHEL_E_BUSY: nothing was compared, or the file is no longer what it was then; ask again later. */
int checksum_take(file *f, checksum_walk *w, const void *message, size_t nmessage, checksum_repair *told, unsigned *n);

#endif
