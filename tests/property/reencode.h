/* reencode.h - the strongest thing that can be said of any bytes: a decoder refuses them, or they are what its encoder writes. */
#ifndef TESTS_REENCODE_H
#define TESTS_REENCODE_H

#include "protocol/buf.h"

/* Decodes a message of any type, down to the rows of its deltas, and encodes what it read into `out` (cleared first).
 * SATCHEL_OK or what the decoder said. */
int reencode(const void *p, size_t n, buf *out);
/* The same for a delta alone. */
int reencode_delta(const void *p, size_t n, buf *out);

#endif
