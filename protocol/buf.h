/* buf.h - a growable byte buffer with a maximum and a sticky error.
 *
 * Every append is a no-op once `rc` is set, so a run of appends is checked once at its end. Never grows past `max`. */
#ifndef PROTOCOL_BUF_H
#define PROTOCOL_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct buf {
    uint8_t *p; /* owned; valid until the next append */
    size_t n;   /* bytes used */
    size_t cap;
    size_t max; /* 0 means LIMIT_BUF_BYTES */
    int rc; /* SATCHEL_OK, SATCHEL_E_NOMEM, SATCHEL_E_LIMIT, or SATCHEL_E_INTERNAL for a format that cannot be printed; sticky until buf_clear */
} buf;

void buf_init(buf *b, size_t max);
void buf_fini(buf *b);
/* Empties, keeps the allocation, forgets the error. */
void buf_clear(buf *b);
/* Makes room for n more bytes and returns where they go (NULL on error); the caller adds to b->n what it wrote. */
uint8_t *buf_reserve(buf *b, size_t n);
void buf_put(buf *b, const void *p, size_t n);
void buf_put_byte(buf *b, uint8_t byte);
/* The text is followed by a zero byte that `n` does not count and for which `max` needs room. */
void buf_printf(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Unsigned LEB128-style varint, 1 to 10 bytes, as the row clock and the overlay use it (not the wire). */
void buf_put_varint(buf *b, uint64_t v);
/* Reads one from [*p, end), moves *p; false if truncated or over 64 bits. */
bool buf_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *out);

#endif
