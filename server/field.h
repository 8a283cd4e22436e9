/* field.h - a field of a CSV file as a column's value: what people write, by the column's declared type.
 *
 *   INTEGER         decimal digits with or without a sign, 64 bits
 *   REAL, NUMERIC   a decimal number; 1e999 is infinity
 *   NUMERIC         as which SQLite takes DATE and DATETIME: a date as text, too, 2026-12-31 with or without " " or "T" and a time
 *   TEXT            the text itself
 *   BLOB            base64, or x'hexadecimal', or a UUID with its hyphens
 *   no type         a number if it reads as one, an SQL literal ('text', x'hexadecimal'), else the text itself
 *
 * An empty field is NULL where the type has no empty value: everywhere but in TEXT columns and those without a type. */
#ifndef SERVER_FIELD_H
#define SERVER_FIELD_H

#include "protocol/buf.h"
#include "protocol/schema.h"

/* `out` points into `text` or to bytes that were added to `hold`, which must have room for `n` more without moving. SATCHEL_E_TYPE; *words then says
 * what is wanted (static). */
int field_of_text(const schema_column *c, const char *text, size_t n, buf *hold, value *out, const char **words);
/* Of base64, x'..' or UUID alone. */
int field_blob(const char *text, size_t n, buf *hold, value *out);

#endif
