/* outbox.h - the transactions of this file: how they get in (the capture's sink), how they go out (pushes), and what becomes of them (results).
 *
 * N1: a transaction's number is max(highest in the outbox, number_floor) + 1, taken inside the transaction itself; whatever removes rows raises
 * number_floor first. N8: rows are never joined. A row keeps its changeset as captured, with the schema epoch that gives its columns
 * their meaning (P1), until it is confirmed and the server's backup has passed it (N7). */
#ifndef REPLICA_OUTBOX_H
#define REPLICA_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/capture.h"
#include "protocol/message.h"
#include "replica/file.h"

/* The app connection's side: writes each captured transaction inside the app's own commit. */
typedef struct outbox_writer outbox_writer;

/* Opens capture on `db` with the file's schema. `committed` (may be NULL) is called after each captured commit, in the app's
 * thread, inside sqlite3_step: it must not use `db`. The file must outlive the writer. */
int outbox_writer_open(sqlite3 *db, file *f, void (*committed)(void *ctx), void *ctx, outbox_writer **out, buf *error);
void outbox_writer_close(outbox_writer *w);
/* Why the last commit was refused: words ("" if it was not) and code. */
const char *outbox_writer_error(const outbox_writer *w);
int outbox_writer_error_code(const outbox_writer *w);
/* Runs the changes of refused transaction `number` again as a new transaction; see satchel_retry. SATCHEL_E_RESOLVED also for one that was itself refused
 * for being too late: its changes were settled with those that it was to replace. It says again what the refused one said, be it so already: whoever made it so
 * may have done it on a server that is put back (N7). *moot is set if nothing is left to say (then the caller settles the old one). */
int outbox_retry(outbox_writer *w, uint64_t number, bool *moot);
/* Begins a transaction with them, which resolves `number` if it commits something; see satchel_edit. */
int outbox_edit(outbox_writer *w, uint64_t number);

/* One row of the outbox without its changes. */
typedef struct outbox_txn {
    uint64_t number, stamp, base, seq, effective, resolves;
    uint32_t incarnation;  /* 0: it was refused or discarded here, and the server never heard of it */
    uint32_t epoch, parts; /* parts 0: the changeset is in the row itself */
    uint8_t id[TXN_ID_BYTES];
    txn_state state;
    int code;
} outbox_txn;

/* The first row with a number above `after` that has no result. 1, 0 or a database code. */
int outbox_next(file *f, uint64_t after, outbox_txn *out);
int outbox_get(file *f, uint64_t number, outbox_txn *out); /* SATCHEL_E_NOT_FOUND */
/* Appends the changeset of one part (0 when parts is 0). */
int outbox_changes(file *f, const outbox_txn *t, unsigned part, buf *out);
/* How many there are in a state (file_read_state before it), and the highest number ever given. */
int outbox_count(file *f, txn_state state, uint64_t *out);
int outbox_last_number(file *f, uint64_t *out);

/* Where a push stands. One message is filled by outbox_push; a large transaction goes on in the next. */
typedef struct outbox_cursor {
    uint64_t number; /* all up to here were put into messages */
    unsigned part;   /* of the next transaction, when it is under way */
} outbox_cursor;
/* Inside file_begin. Appends one push message with the next pending transactions, up to LIMIT_PAGE_BYTES and LIMIT_PUSH_TXNS, and moves the
 * cursor. *last is the highest number that is wholly or partly in it. Returns 1, 0 if there is nothing, or an error. A transaction that
 * the schema has no words for (its table's columns are not those that it was captured with) is refused here, so that it blocks nothing. */
int outbox_push(file *f, outbox_cursor *at, buf *message, uint64_t *last);

/* Inside file_begin. Stores one result (N5, N6): accepted moves the row to TXN_ACCEPTED (and out of the overlay at once if the cursor has passed it);
 * refused takes it out of the overlay. A result that is known already has no effect. *changed tells whether it had one. */
int outbox_result(file *f, const msg_result *r, uint64_t now_ms, bool *changed);
/* Inside file_begin. N6: an admin was first and has settled the refusal (a result SATCHEL_E_RESOLVED for a transaction that is refused): it is not open
 * any more, and the server is to be told that this is known. The result may name what was retried in its place. *ended is the number of that which was open,
 * 0: none was; what was refused for being late itself stays. */
int outbox_settled_there(file *f, const msg_result *r, uint64_t *ended);
/* Inside file_begin. The same for a refusal that was found here: a pending transaction that cannot be sent. */
int outbox_refuse(file *f, const outbox_txn *t, int rc, const char *text, uint64_t now_ms);
/* Inside file_begin. Moves settled_number to the last number below which nothing is pending. */
int outbox_settle(file *f);
/* Inside file_begin. N3: everything that waits goes on under `incarnation`. */
int outbox_fork(file *f, uint32_t incarnation);
/* Inside file_begin. N7: what was accepted above `epoch_start` is pending again with its effective stamp; the cursor and bases are
 * cut. What may have been settled after it, too, is as it was before: refusals that others settled are open again, and of discards the server is to be told
 * again. */
int outbox_rewind(file *f, uint64_t epoch_start);
/* The first above `after` of those that are open again and about which the server, which may have kept their settling after all, has not been heard out: a
 * hello says a settled number below it. 1, 0 or an error. */
int outbox_next_reopened(file *f, uint64_t after, uint64_t *number);
/* Inside file_begin. It has told all that it knows: they are open, and a retry that was too late may be made again (E_FORGOTTEN). */
int outbox_heard_all(file *f);
/* Inside file_begin, at a welcome that tells this head: what was known to be settled before lies at it or below. */
int outbox_place_settled(file *f, uint64_t head);
/* Inside file_begin. Removes what state.backup_seq has passed (confirmed rows up to it, those settled before it) and what was discarded with nobody to tell,
 * some hundreds at once; *more if there may be more. */
int outbox_prune(file *f, bool *more);
/* For overlay_confirm: the cursor has passed the transaction. It is kept for N7, or removed when the backup has passed it too. */
int outbox_confirm(file *f, const outbox_txn *t);
/* satchel_discard; a transaction of its own. */
int outbox_discard(file *f, uint64_t number);
/* Settles a refused one of which nothing is left to do. It is kept until the server's backup has passed that, and is open again where a server that is put back may
 * have lost it (N7). */
int outbox_settle_moot(file *f, uint64_t number);
/* Discards of which the server was not told: the first above `after`. Where it never heard of that one, it is to be told of what that was to resolve. 1, 0 or an
 * error. */
int outbox_next_untold(file *f, uint64_t after, uint64_t *number);
/* How many there are up to a number. */
int outbox_count_untold(file *f, uint64_t up_to, uint64_t *n);
/* Inside file_begin. The server has been told of the discards up to `number`. They are kept until a backup has passed them, for in an older one the refusals are
 * open. */
int outbox_told(file *f, uint64_t number);

#endif
