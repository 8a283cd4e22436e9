/* digest.h - a fingerprint of every synced table's content, so that sides can be compared without sending rows. */
#ifndef PROTOCOL_DIGEST_H
#define PROTOCOL_DIGEST_H

#include "protocol/schema.h"

/* Appends one line "table rows sha256" per live table, sorted by name. The digest chains over the rows in key order: d = SHA-256(d, values as value_put
 * writes them, columns by ascending id), from 32 zero bytes. Equal content gives equal lines on every side. `report` ends in a zero byte that
 * does not count. A database code on failure. */
int digest_tables(sqlite3 *db, const schema *s, buf *report);

#endif
