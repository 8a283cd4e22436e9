/* snapshot.h - prepared pages of all rows of a view as of one seq: made once, kept in a file of their own, sent to every device that needs them.
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

/* What a snapshot is of. */
typedef struct snapshot_kind {
    uint8_t epoch[8]; /* of the server */
    uint32_t schema_epoch;
    uint64_t view;
} snapshot_kind;

/* The newest snapshot of this kind at or above `floor` and not far behind `head`, being built or done; false if there is none. */
bool snapshots_current(snapshots *s, const snapshot_kind *kind, uint64_t floor, uint64_t head, snapshot_info *out);
/* The snapshot of this id, if it is still kept and of this kind. */
bool snapshots_find(snapshots *s, uint64_t id, const snapshot_kind *kind, snapshot_info *out);
/* Begins a new one; the schema, whose epoch is the kind's, is borrowed until it is done. Only one is built at a time: SATCHEL_E_BUSY. */
int snapshots_start(snapshots *s, const snapshot_kind *kind, const schema *shape);
/* Makes a few pages, one caller at a time: 1 if there are more to make, 0 when done or nothing is being built, or an error (the snapshot is dropped). When one is
 * done, older ones go but for the newest two of each view, at most SNAPSHOTS_KEPT in all, and those whose ids are among the n `used`. */
#define SNAPSHOTS_KEPT 16
int snapshots_step(snapshots *s, const uint64_t *used, size_t n);
/* One page. SATCHEL_E_NOT_FOUND if the snapshot is gone or the page is not made yet. */
int snapshots_page(snapshots *s, uint64_t id, uint32_t page, frame **out, bool *last);

#endif
