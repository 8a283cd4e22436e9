/* digest.h - a fingerprint of every synced table's content, so that sides can be compared without sending rows. */
#ifndef PROTOCOL_DIGEST_H
#define PROTOCOL_DIGEST_H

#include "protocol/message.h"
#include "protocol/schema.h"

/* Appends one line "table rows sha256" per live table, sorted by name. The digest chains over the rows in key order: d = SHA-256(d, values as value_put
 * writes them, columns by ascending id), from 32 zero bytes. Equal content gives equal lines on every side. `report` ends in a zero byte that
 * does not count. A database code on failure. */
int digest_tables(sqlite3 *db, const schema *s, buf *report);

/* The digest of some of a table's rows, in key order: the same chain. */
typedef struct digest_rows {
    uint8_t digest[32];
    uint64_t rows;
    buf row; /* the last one */
} digest_rows;
void digest_begin(digest_rows *d);
/* v: a value for each live column. SATCHEL_E_NOMEM. */
int digest_add(digest_rows *d, const schema_table *t, const value *v);
/* Frees; digest and rows stay. */
void digest_end(digest_rows *d);

/* Appends " WHERE (key)>(?1,...) AND (key)<=(...)", as far as the range has ends; and binds copies of them: SATCHEL_E_NOMEM. */
void digest_put_range(sqlite3_str *sql, const schema_table *t, bool has_from, bool has_to);
int digest_bind_range(sqlite3_stmt *q, const schema_table *t, const snapshot_range *r);

#endif
