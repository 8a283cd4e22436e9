/* value.h - one SQLite value as Satchel passes it around: a borrowed view, never an owner. */
#ifndef PROTOCOL_VALUE_H
#define PROTOCOL_VALUE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

/* SQLite's own type codes, and 0 for "no value here" (an unchanged column of an update). */
enum { VALUE_ABSENT = 0, VALUE_INTEGER = 1, VALUE_REAL = 2, VALUE_TEXT = 3, VALUE_BLOB = 4, VALUE_NULL = 5 };

typedef struct value {
    uint8_t type; /* VALUE_* */
    uint32_t n;   /* bytes of a text or blob */
    union {
        int64_t i;
        double r;
        const uint8_t *p; /* text (UTF-8, not terminated) or blob; borrowed; may be NULL when n is 0 */
    } u;
} value;

value value_null(void);
value value_integer(int64_t i);
value value_real(double r);
value value_text(const char *p, size_t n);
value value_blob(const void *p, size_t n);

/* Same type and same content. INTEGER 1 and REAL 1.0 differ, as they do for the session extension; absent equals absent. */
bool value_equal(const value *a, const value *b);
/* SQLite's order between types (NULL < numbers < text < blob) and within them (BINARY collation). <0, 0, >0. A NaN counts as NULL, which
 * is what SQLite stores for it; so does an absent value. */
int value_compare(const value *a, const value *b);
/* Views of SQLite's values; valid as long as the sqlite3_value, or until the statement is stepped or reset. VALUE_ABSENT if SQLite had no
 * memory to hand a text out; a blob of which it had none looks empty, and the statement fails. */
value value_of_sqlite(sqlite3_value *v);
value value_of_column(sqlite3_stmt *stmt, int column);
/* Binds a copy-free view: the bytes must stay until the statement is stepped and reset. Returns a SQLite code. */
int value_bind(sqlite3_stmt *stmt, int index, const value *v);
/* The same, with SQLite taking a copy. */
int value_bind_copy(sqlite3_stmt *stmt, int index, const value *v);

/* Local serialisation, the record format of SQLite's changesets (sqlite3session.c): type byte, then 8 bytes big-endian for
 * integer and real, SQLite varint length and bytes for text and blob. Used in changesets, keys, base rows and tombstones. */
void value_put(buf *b, const value *v);
/* The same into memory that has room for value_size bytes; returns the end of what it wrote. */
size_t value_size(const value *v);
uint8_t *value_write(uint8_t *to, const value *v);
/* Reads one, moves *p; SATCHEL_E_CORRUPT if truncated. The view points into the input. */
int value_get(const uint8_t **p, const uint8_t *end, value *out);
/* Appends a value as people read it: a SQL literal (text quoted, blobs as x'..'). */
void value_put_literal(buf *b, const value *v);
/* The shortest decimal that reads back as the same number, and never an integer: 1.0, 0.1, 1e+300. Not a number in JSON: inf, -inf. */
void value_put_real(buf *b, double v);
/* The same for every value in bytes that value_put wrote, separated by commas (a key). */
void value_put_literals(buf *b, const void *bytes, size_t n);
/* True if the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool value_utf8_valid(const uint8_t *p, size_t n);
/* 64-bit hash of bytes (FNV-1a folded through a finaliser); for in-memory tables, never stored or sent. */
uint64_t value_hash(const void *p, size_t n, uint64_t seed);

#endif
