#include "protocol/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

void buf_init(buf *b, size_t max) {
    *b = (buf){.max = max};
}

void buf_fini(buf *b) {
    free(b->p);
    *b = (buf){0};
}

void buf_clear(buf *b) {
    b->n = 0;
    b->rc = SATCHEL_OK;
}

uint8_t *buf_reserve(buf *b, size_t n) {
    size_t max = b->max ? b->max : LIMIT_BUF_BYTES;
    if (b->rc) return NULL;
    if (n > max || b->n > max - n) {
        b->rc = SATCHEL_E_LIMIT;
        return NULL;
    }
    if (!b->p || b->cap - b->n < n) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        while (cap - b->n < n) cap *= 2;
        if (cap > max) cap = max;
        uint8_t *p = realloc(b->p, cap);
        if (!p) {
            b->rc = SATCHEL_E_NOMEM;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_put(buf *b, const void *p, size_t n) {
    uint8_t *to = buf_reserve(b, n);
    if (!to || !n) return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_put_byte(buf *b, uint8_t byte) {
    buf_put(b, &byte, 1);
}

void buf_printf(buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        if (!b->rc) b->rc = SATCHEL_E_INTERNAL;
        return;
    }
    uint8_t *to = buf_reserve(b, (size_t)n + 1);
    if (!to) return;
    va_start(args, format);
    vsnprintf((char *)to, (size_t)n + 1, format, args);
    va_end(args);
    b->n += (size_t)n;
}

void buf_put_varint(buf *b, uint64_t v) {
    uint8_t bytes[10];
    size_t n = 0;
    while (v >= 0x80) {
        bytes[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (uint8_t)v;
    buf_put(b, bytes, n);
}

bool buf_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *out) {
    uint64_t v = 0;
    for (unsigned shift = 0; *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        if (shift == 63 && byte > 1) return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}
