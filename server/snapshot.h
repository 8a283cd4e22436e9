/* snapshot.h - prepared pages of all rows as of one seq: made once, kept in a file of their own, sent to every device that needs them.
 *
 * A snapshot is built in steps from one read transaction, so it is consistent as of its seq; pages are served as soon as they are made. The file is a
 * cache: it may be removed while the server is stopped. Functions may be called from any thread. */
#ifndef SERVER_SNAPSHOT_H
#define SERVER_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/schema.h"
#include "server/frame.h"

typedef struct snapshots snapshots;

typedef struct snapshot_info {
    uint64_t id, seq, rows;
    uint32_t pages; /* made so far */
    bool done;
} snapshot_info;

int snapshots_open(const char *path, const char *store_path, snapshots **out, buf *error);
void snapshots_close(snapshots *s);

/* The newest snapshot of this server epoch and schema epoch at or above `floor` and not far behind `head`, being built or done; false if there is none. */
bool snapshots_current(snapshots *s, const uint8_t epoch[8], uint32_t schema_epoch, uint64_t floor, uint64_t head,
                       snapshot_info *out);
/* The snapshot of this id, if it is still kept and of this server epoch and schema epoch. */
bool snapshots_find(snapshots *s, uint64_t id, const uint8_t epoch[8], uint32_t schema_epoch, snapshot_info *out);
/* Begins a new one; the schema is borrowed until it is done. Only one is built at a time: SATCHEL_E_BUSY. */
int snapshots_start(snapshots *s, const uint8_t epoch[8], const schema *shape, uint64_t now_ms);
/* Makes a few pages, one caller at a time: 1 if there are more to make, 0 when done or nothing is being built, or an error (the snapshot is dropped). */
int snapshots_step(snapshots *s);
/* One page. SATCHEL_E_NOT_FOUND if the snapshot is gone or the page is not made yet. */
int snapshots_page(snapshots *s, uint64_t id, uint32_t page, frame **out, bool *last);

#endif
