/* record.h - rows as JSON: what other systems send and get over HTTP (api.h), and what is imported and exported.
 *
 *   integer, real   a number, 64-bit integers exactly; -1e400 and 1e400 are {"real": "-Infinity"} and {"real": "Infinity"}
 *   text            a string of UTF-8
 *   blob            {"base64": "..."} (RFC 4648 section 4, with its padding)
 *   NULL            null
 *   true, false     are taken as 1 and 0
 *
 * and, in an update, {"add": n} for a counter, and {"from": seen, "to": new} for a guarded column. Reading checks names, types and sizes against the
 * schema's live columns; what merges and what may be written is ingest's. */
#ifndef SERVER_RECORD_H
#define SERVER_RECORD_H

#include <jansson.h>

#include "protocol/delta.h"
#include "protocol/schema.h"

/* How a JSON text that holds records is to be parsed. */
#define RECORD_JSON_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

/* One row change that is being read. Values in `row` are views into the JSON and into the holds, valid until record_begin and as long as the JSON. */
typedef struct record {
    const schema_table *t;
    delta_row row;
    buf key_hold, hold;         /* decoded blobs */
    const schema_column *wrong; /* that the words are about, or NULL */
    buf error;                  /* words of the last failure, zero-terminated; say what to do */
} record;

void record_init(record *r);
void record_fini(record *r);

/* Begins a change of a row of `t`: DELTA_PUT, DELTA_UPDATE or DELTA_DELETE. */
void record_begin(record *r, const schema_table *t, delta_op op);
/* The key: {"column": value, ...}, every key column and no other. SATCHEL_E_UNKNOWN_COLUMN, _KEY_MISSING, _TYPE, _TOO_LARGE. */
int record_key(record *r, const json_t *key);
/* The other columns, any of them. SATCHEL_E_UNKNOWN_COLUMN, _TYPE, _RANGE, _TOO_LARGE, _UTF8. */
int record_values(record *r, const json_t *values);
/* Key and other columns in one object. */
int record_whole(record *r, const json_t *row);
/* One value for a column; that of a blob is added to `hold`, which must have room for it (as many bytes as its text has) without moving. */
int record_value(const schema_column *c, const json_t *in, buf *hold, value *out, buf *error);

/* Appends a value as JSON. Text that is no UTF-8 has U+FFFD in place of each wrong byte. */
void record_put_value(buf *out, const value *v);
void record_put_text(buf *out, const char *p, size_t n);
/* Appends {"column": value, ...} of the key. */
void record_put_key(buf *out, const schema_table *t, const value *key);

#endif
