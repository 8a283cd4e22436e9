/* Everything that reads bytes from the network before anyone is trusted: a frame, a message of any type, a delta, a value. Whatever is
 * accepted must encode to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "tests/property/reencode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law) {
    if (!law) abort();
}

static void require_same(const buf *b, const uint8_t *p, size_t n) {
    require(b->n == n && (!n || memcmp(b->p, p, n) == 0));
}

static void try_message(const uint8_t *p, size_t n) {
    static buf again;
    int rc = message_check(p, n), rc_again = reencode(p, n, &again);
    if (rc) return;
    require(rc_again == SATCHEL_OK);
    require_same(&again, p, n);
}

static void try_delta(const uint8_t *p, size_t n) {
    static buf again;
    buf_clear(&again);
    if (reencode_delta(p, n, &again) == SATCHEL_OK) require_same(&again, p, n);
}

static void try_values(const uint8_t *p, size_t n) {
    static buf again;
    wire w;
    buf_clear(&again);
    wire_open(&w, p, n);
    while (w.p < w.end) {
        value v = wire_get_value(&w);
        if (w.rc) return;
        wire_put_value(&again, &v);
    }
    require_same(&again, p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static buf message;
    try_message(data, size);
    try_delta(data, size);
    try_values(data, size);
    if (frame_unpack(data, size, &message) == SATCHEL_OK && message.n != size) try_message(message.p, message.n);
    return 0;
}
