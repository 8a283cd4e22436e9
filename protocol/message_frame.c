/* Messages as WebSocket frames, compressed or not; the only file that includes zstd. */
#include <string.h>
#include <zstd.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"

#define FRAME_LEVEL 3
/* Below this, compression saves less than its header and time cost. */
#define FRAME_PLAIN_BYTES 256

static const uint8_t zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

static int copy(const void *p, size_t n, buf *to) {
    if (n > LIMIT_FRAME_BYTES) return SATCHEL_E_LIMIT;
    buf_put(to, p, n);
    return to->rc;
}

int frame_pack(const void *message, size_t n, buf *frame) {
    buf_clear(frame);
    if (n > LIMIT_MESSAGE_BYTES) return SATCHEL_E_LIMIT;
    if (n <= FRAME_PLAIN_BYTES) return copy(message, n, frame);
    size_t room = n - 1 < LIMIT_FRAME_BYTES ? n - 1 : LIMIT_FRAME_BYTES;
    uint8_t *to = buf_reserve(frame, room);
    if (!to) return frame->rc;
    size_t size = ZSTD_compress(to, room, message, n, FRAME_LEVEL);
    if (ZSTD_isError(size)) return copy(message, n, frame);
    frame->n = size;
    return SATCHEL_OK;
}

/* One-shot decompression into a buffer of the announced size keeps no window of its own, whatever the header asks for. */
static int decompress(const void *frame, size_t n, buf *message) {
    unsigned long long size = ZSTD_getFrameContentSize(frame, n);
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || !size) return SATCHEL_E_MALFORMED;
    if (size > LIMIT_MESSAGE_BYTES) return SATCHEL_E_LIMIT;
    if (ZSTD_findFrameCompressedSize(frame, n) != n) return SATCHEL_E_MALFORMED;
    uint8_t *to = buf_reserve(message, (size_t)size);
    if (!to) return message->rc;
    if (ZSTD_decompress(to, (size_t)size, frame, n) != size) return SATCHEL_E_MALFORMED;
    message->n = (size_t)size;
    return SATCHEL_OK;
}

static bool is_compressed(const void *frame, size_t n) {
    return n >= sizeof zstd_magic && !memcmp(frame, zstd_magic, sizeof zstd_magic);
}

int frame_unpack(const void *frame, size_t n, buf *message) {
    buf_clear(message);
    if (n > LIMIT_FRAME_BYTES) return SATCHEL_E_LIMIT;
    if (!n) return SATCHEL_E_MALFORMED;
    return is_compressed(frame, n) ? decompress(frame, n, message) : copy(frame, n, message);
}

size_t frame_unpacked_bytes(const void *frame, size_t n) {
    if (!is_compressed(frame, n)) return n;
    unsigned long long size = ZSTD_getFrameContentSize(frame, n);
    /* Unknown and wrong ones are above any limit. */
    return size > LIMIT_MESSAGE_BYTES ? 0 : (size_t)size;
}
