/* wire.h - deterministic CBOR (RFC 8949 section 4.2) on a buffer; the only file pair that includes libcbor.
 *
 * Writing appends to a buf. Reading is a cursor over bytes with a sticky error: every getter is a no-op that returns a zero value once `rc`
 * is set. Accepted: unsigned, negative down to -2^63, byte and text strings, arrays, false, true, null, floats; all
 * definite and shortest. Anything else is SATCHEL_E_MALFORMED, SATCHEL_E_NOT_DETERMINISTIC or SATCHEL_E_UTF8. No
 * recursion, no allocation: a string's view points into the input, and a count is checked against the bytes that are left. */
#ifndef PROTOCOL_WIRE_H
#define PROTOCOL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/value.h"

void wire_put_uint(buf *b, uint64_t v);
void wire_put_int(buf *b, int64_t v);
/* Shortest of half, single, double that keeps the value. NaN, which SQLite does not store, is written as null. */
void wire_put_real(buf *b, double v);
void wire_put_bytes(buf *b, const void *p, size_t n);
/* Not valid UTF-8: b->rc becomes SATCHEL_E_UTF8. */
void wire_put_text(buf *b, const char *p, size_t n);
void wire_put_array(buf *b, uint64_t count);
void wire_put_bool(buf *b, bool v);
void wire_put_null(buf *b);
void wire_put_value(buf *b, const value *v); /* VALUE_ABSENT: b->rc becomes SATCHEL_E_MISUSE */

typedef struct wire {
    const uint8_t *p, *end;
    int rc;
} wire;

void wire_open(wire *w, const void *p, size_t n);
uint64_t wire_get_uint(wire *w);
/* A uint of at most `max`, else SATCHEL_E_LIMIT. */
uint64_t wire_get_uint_max(wire *w, uint64_t max);
int64_t wire_get_int(wire *w);
/* Borrowed; more than `max` bytes: SATCHEL_E_LIMIT. */
const uint8_t *wire_get_bytes(wire *w, size_t max, size_t *n);
/* Exactly n bytes, copied to out. */
void wire_get_exact(wire *w, void *out, size_t n);
const char *wire_get_text(wire *w, size_t max, size_t *n);
/* The count, at most `max` and at most the bytes that are left. */
uint64_t wire_get_array(wire *w, uint64_t max);
/* An array of exactly n. */
void wire_expect_array(wire *w, uint64_t n);
bool wire_get_bool(wire *w);
/* True and consumed if the next item is null. */
bool wire_skip_null(wire *w);
value wire_get_value(wire *w); /* strings borrowed, at most LIMIT_VALUE_BYTES */
/* Skips one whole item (arrays included, iteratively), so that it can be passed on as raw bytes. Checks its form; UTF-8 is checked by
 * whoever reads the item. */
void wire_skip(wire *w);
/* SATCHEL_E_MALFORMED unless everything was read; returns rc. */
int wire_close(wire *w);

#endif
