/* overlay.h - the app's rows as confirmed value plus pending changes (design N4; protocol/README.md "A device's view of a row").
 *
 * An index in memory finds the pending changes of a row: (table, key) to places in the outbox's changesets. What is confirmed beneath a row with
 * pending changes is in satchel_base once a page has touched it, else it is the row with its pending changes undone. Every function runs inside
 * file_begin. Invariant: satchel_base has a row only for keys with a pending change. */
#ifndef REPLICA_OVERLAY_H
#define REPLICA_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/delta.h"
#include "replica/outbox.h"

int overlay_new(file *f, overlay **out);
void overlay_free(overlay *o);
/* Reads what the outbox has gained, or all of it when something left behind this index's back. */
int overlay_refresh(overlay *o);
/* After a rollback, a migration or a rewind: read everything again at the next refresh. */
void overlay_invalidate(overlay *o);
/* Pending changes in the index. */
size_t overlay_size(const overlay *o);
/* Those of transactions without a result, by table, ascending: how many tables. A pass over the index, nothing is read. */
unsigned overlay_waiting(overlay *o, table_waiting out[LIMIT_TABLES]);

/* Applies one confirmed change (from a page, `seq` its commit; own entries accepted up to `seq` leave this row). */
int overlay_apply(overlay *o, const delta_row *change, uint64_t seq);
/* The same for a row of a snapshot as of `seq`: entries stay in the index, and those that the snapshot holds are not shown twice. DELTA_DELETE
 * and DELTA_LEAVE say that the snapshot does not have the row. */
int overlay_apply_snapshot(overlay *o, const delta_row *change, uint64_t seq);
/* Snapshot: removes every confirmed row in the range that its delta does not hold, shown or hidden by a pending change. `op` tells what such a row has
 * met: DELTA_DELETE in a snapshot of everything, DELTA_LEAVE in one of a view, which says nothing of rows outside it. */
int overlay_clear_range(overlay *o, const snapshot_range *r, uint64_t seq, delta_op op);
/* The snapshot of a view is here whole: what the app lost to in rows that it does not hold is forgotten, also in rows that never came here. */
int overlay_forget_kept(overlay *o);
/* N7: the server goes on from `epoch_start` again, and the outbox says what is pending once more. What the app sees stays; what stands beneath it is found anew. */
int overlay_rewind(overlay *o, uint64_t epoch_start);
/* Transaction `number` was accepted: it leaves when the cursor passes `seq`. */
void overlay_accepted(overlay *o, uint64_t number, uint64_t seq);
/* What was accepted within a snapshot that holds it: rows of pages that have come show it once. */
int overlay_show(overlay *o, const outbox_txn *t);
/* Takes transaction `t` out of the overlay: each of its rows shows what is left. The caller moves its state and calls this before. */
int overlay_leave(overlay *o, const outbox_txn *t);
/* Everything accepted up to `seq` leaves and becomes confirmed (or is removed, when the backup has passed it). */
int overlay_confirm(overlay *o, uint64_t seq);

/* After file_commit: calls back (unless it is NULL) for each table whose rows changed since the last time. */
void overlay_announce(overlay *o, void (*changed)(void *ctx, const char *table), void *ctx);
void overlay_forget_touched(overlay *o);

/* The row as it is confirmed, without pending changes: 1 and a value for each live column, valid until the next call; 0: there is none, or it has left. */
int overlay_confirmed(overlay *o, const schema_table *t, const value *key, const value **out);

/* Checks the invariants; appends one line per fault. */
int overlay_verify(overlay *o, buf *report);

#endif
