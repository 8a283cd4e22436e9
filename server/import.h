/* import.h - rows from a file into a table, by the server's own author: each is inserted, updated or left as it is.
 *
 * A batch is one store transaction with one seq; where nothing changes there is none. A row that is refused (a wrong type, a constraint, a parent that is
 * not there) does not stop the others.
 *
 * A row is known by its primary key, or by a key of its source: satchel_source notes which row a source's key became, with the row, so that the same file
 * again, whole or from its middle, makes nothing twice. What a column's rule would not let in anyway (first, max, min) is left out and counted as kept.
 * A row that was deleted here and is in the file again is made again. */
#ifndef SERVER_IMPORT_H
#define SERVER_IMPORT_H

#include <jansson.h>

#include "server/ingest.h"

/* Rows of one batch. More: SATCHEL_E_LIMIT. */
#define IMPORT_ROWS 10000

/* Takes a batch in:
 *
 *   table     the table's name
 *   columns   ["given","phone"...]: CSV; a row is [line, "field"|null, ...], fields as field.h reads them
 *             without it a row is [line, {"given":"Ann", ...}], a blob {"base64":"..."}
 *   source    the source's name, and key: the columns of its key, which need not be the table's; both or neither
 *   refs      {"customer_id": {"source":"shop","table":"contact"}}: the column holds that source's key of a row of that table
 *   dry_run   true: all of it is undone again
 *
 * and puts into `reply` inserted, updated, unchanged, kept (values), and failed: [{"line","column","code","message"}]; column is null where it is none in
 * particular. Makes its own store transaction. SATCHEL_E_MISUSE, _UNKNOWN_TABLE, _UNKNOWN_COLUMN, _LIMIT with words in `error` if the request will not
 * do, or a database code; then nothing was done. */
int import_batch(store *s, ingest *g, const json_t *request, uint64_t now_ms, json_t *reply, buf *error);

#endif
