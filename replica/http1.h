/* http1.h - reads the head of one HTTP/1.1 response (RFC 9112), as the WebSocket handshake and enrolment need it. Strict, no allocation; a head
 * that is folded, has bare line feeds or control characters is malformed. */
#ifndef REPLICA_HTTP1_H
#define REPLICA_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer head is SATCHEL_E_MALFORMED. */
#define HTTP1_HEAD_BYTES 8192
#define HTTP1_NO_LENGTH UINT64_MAX

typedef struct http1_head {
    unsigned status;         /* 100 to 599 */
    uint64_t content_length; /* HTTP1_NO_LENGTH if there is none */
    const char *lines;       /* the header lines, borrowed from the input */
    size_t nlines;
    size_t bytes; /* of the whole head: the body begins there */
} http1_head;

/* 1: a whole head; 0: more bytes are needed; SATCHEL_E_MALFORMED. */
int http1_parse(const void *p, size_t n, http1_head *out);
/* True if header `name` (any case) is there and its comma-separated list holds `token` (any case). */
bool http1_has_token(const http1_head *h, const char *name, const char *token);
/* True if header `name` is there exactly once, with exactly this value. */
bool http1_is(const http1_head *h, const char *name, const char *value);
/* The seconds that header `name` gives (Retry-After), 0 if there is none, or a date, which needs a clock that both sides share. */
uint64_t http1_seconds(const http1_head *h, const char *name);
/* Copies the value of the first header `name`, zero-terminated; false if there is none, or it does not fit. */
bool http1_copy(const http1_head *h, const char *name, char *out, size_t room);

#endif
