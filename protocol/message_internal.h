/* message_internal.h - what the message_*.c files share: heads, bounded numbers, texts and keys. */
#ifndef PROTOCOL_MESSAGE_INTERNAL_H
#define PROTOCOL_MESSAGE_INTERNAL_H

#include "protocol/message.h"

/* Writes the head of a message: its array of the type and `fields` fields. */
void message_put_head(buf *out, message_type type, uint64_t fields);
/* Opens a message of that type with exactly `fields` fields. Errors stick to `w`. */
void message_open(wire *w, const void *p, size_t n, message_type type, uint64_t fields);
/* The two steps of it, for messages whose number of fields depends on their version. */
uint64_t message_open_any(wire *w, const void *p, size_t n, message_type type);
void message_expect_fields(wire *w, uint64_t count, uint64_t fields);
/* Opens a message of `fields` fields, or of one more, which tells a view: true then. */
bool message_open_with_view(wire *w, const void *p, size_t n, message_type type, uint64_t fields);

/* A number below 2^63, SATCHEL_E_LIMIT above. */
uint64_t message_get_number(wire *w);
uint32_t message_get_u32(wire *w);
/* A number that is left out where it is 0: 0 is SATCHEL_E_NOT_DETERMINISTIC. */
uint64_t message_get_positive(wire *w);
/* 0 is written as null, so that "none" has one encoding; 0 as a number is SATCHEL_E_NOT_DETERMINISTIC. */
void message_put_optional(buf *out, uint64_t v);
uint64_t message_get_optional(wire *w);
/* `before` + a signed difference; SATCHEL_E_MALFORMED outside 0 to 2^63-1. */
uint64_t message_get_difference(wire *w, uint64_t before);
/* Writes at most LIMIT_TEXT_BYTES, cut between characters. */
void message_put_words(buf *out, const char *p, size_t n);
/* A key as bytes (README): value_put bytes of 1 to LIMIT_KEY_COLUMNS values, none absent or NULL. Empty only if `optional`. */
const uint8_t *message_get_key(wire *w, bool optional, size_t *n);
/* The raw bytes of one CBOR item. */
const uint8_t *message_get_raw(wire *w, size_t *n);
/* Writes raw bytes that are one CBOR item; an empty run is SATCHEL_E_MISUSE. */
void message_put_raw(buf *out, const uint8_t *p, size_t n);
/* A range's end: null for open, else a whole key. Returns how many values it has, 0 for open. */
void message_put_bound(buf *out, bool has, const value *key, unsigned nkey);
unsigned message_get_bound(wire *w, value *key);
/* The ends of a range of a table; their widths must agree. */
void message_get_range(wire *w, snapshot_range *out);
/* A result code travels as its absolute value, at most INT16_MAX. */
void message_put_rc(buf *out, int rc);
int message_get_rc(wire *w);
void message_fail(wire *w, int rc);

#endif
