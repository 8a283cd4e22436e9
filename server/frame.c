#include "server/frame.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"

frame *frame_of_bytes(const void *p, size_t n) {
    frame *f = malloc(sizeof *f + n);
    if (!f) return NULL;
    atomic_init(&f->refs, 1);
    f->n = n;
    if (n) memcpy(f->p, p, n);
    return f;
}

frame *frame_of_message(const buf *message) {
    buf packed;
    buf_init(&packed, 0);
    frame *f = message->rc || frame_pack(message->p, message->n, &packed) ? NULL : frame_of_bytes(packed.p, packed.n);
    buf_fini(&packed);
    return f;
}

frame *frame_share(frame *f) {
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void frame_release(frame *f) {
    if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) free(f);
}
