/* checksum_store.h - the store's rows against its log: what the log says last of a row is what the row must hold.
 *
 * Something outside may have changed the store's file. Where the log goes back far enough it decides: a row that holds something else, that is missing, or that is
 * there though it was deleted is put right in place, with its clocks as they were. That is no commit: devices that were given the wrong value have it put right when
 * they compare next. What lies below the log's floor cannot be judged. */
#ifndef SERVER_CHECKSUM_STORE_H
#define SERVER_CHECKSUM_STORE_H

#include "protocol/message.h"
#include "protocol/schema.h"
#include "server/scope.h"

typedef struct checksum_truth checksum_truth;

int checksum_truth_new(checksum_truth **out);
void checksum_truth_free(checksum_truth *k);
/* A row that is to be looked at. Of more than CHECKSUM_ROWS, or once the log has given so many bytes of them, the rest is passed over. */
#define CHECKSUM_ROWS 10000u
#define CHECKSUM_BYTES (64u << 20)
int checksum_truth_want(checksum_truth *k, const delta_row *row);
unsigned checksum_truth_wanted(const checksum_truth *k);

/* Reads the whole log for what it says of those rows and, unless it is NULL, of all in the range. In one transaction with the next. */
int checksum_truth_read(checksum_truth *k, sqlite3 *db, const snapshot_range *range);
/* Compares the store's rows with that and, unless `heal` is NULL, puts them right, in the caller's transaction on the writer: `heal` has the rules in force
 * (ingest_scope_look), which say where a row lies that was missing. Appends a line for each that is wrong; *wrong counts them. */
int checksum_truth_compare(checksum_truth *k, sqlite3 *db, const schema *shape, scope *heal, buf *report, unsigned *wrong);

/* All of it for one range. */
int checksum_store_range(sqlite3 *db, const schema *shape, const snapshot_range *range, scope *heal, buf *report,
                         unsigned *wrong);

#endif
