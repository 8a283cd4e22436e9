/* frame.h - bytes ready to send, made once and shared by every session that they go to. */
#ifndef SERVER_FRAME_H
#define SERVER_FRAME_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

typedef struct frame {
    atomic_uint refs;
    size_t n;
    uint8_t p[];
} frame;

/* Packs a message (zstd where it helps). NULL if out of memory; the caller owns one reference. */
frame *frame_of_message(const buf *message);
/* A frame of bytes that are packed already. */
frame *frame_of_bytes(const void *p, size_t n);
frame *frame_share(frame *f);
void frame_release(frame *f);

#endif
