/* row_query.h - whole rows of a table as the delta rows that a device is given: for snapshots, and for changes of view. */
#ifndef SERVER_ROW_QUERY_H
#define SERVER_ROW_QUERY_H

#include "protocol/delta.h"
#include "protocol/schema.h"
#include "server/view.h"

/* Prepares a SELECT of a table's rows without the columns that the view masks, with `where` (such as "WHERE id>?", or "") and, if asked for, in key order; and the
 * shape of `row`, a DELTA_PUT. */
int row_query_prepare(sqlite3 *db, const schema_table *t, const view *v, const char *where, bool in_order, sqlite3_stmt **q,
                      delta_row *row);
/* The same of the keys alone: `row` is a DELTA_LEAVE. */
int row_query_prepare_keys(sqlite3 *db, const schema_table *t, sqlite3_stmt **q, delta_row *row);
/* The row that q stands on: views that end with the next step. Returns the bytes of its values. */
size_t row_query_take(sqlite3_stmt *q, delta_row *row);
/* The set of the row that q stands on, where the view is not everything. */
uint32_t row_query_set(sqlite3_stmt *q);
/* The set of the row with this key, as value_put wrote it. SATCHEL_E_NOT_FOUND: there is none. */
int row_query_set_of(sqlite3 *db, const schema_table *t, const uint8_t *key, size_t nkey, uint32_t *set);

#endif
