/* front_https.c - the HTTPS port: carries requests to http.h and its answers back. */
#include "server/front_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer that waits for the writer is given up after this. */
#define ANSWER_TIMEOUT_US (10 * LWS_US_PER_SEC)
#define HEADER_BYTES 2048

/* User memory of a connection: the request that is being served. */
typedef struct request {
    http_exchange *x;
    bool body_left; /* the answer may come before the body has been read */
    bool head;
} request;

size_t front_https_user_bytes(void) {
    return sizeof(request);
}

static void ready(void *wsi) {
    lws_callback_on_writable(wsi);
}

static http_method method_of(struct lws *wsi) {
    if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI)) return HTTP_GET;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI)) return HTTP_POST;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI)) return HTTP_HEAD;
    return HTTP_OTHER;
}

static void finish(struct lws *wsi, request *r) {
    http_finish(r->x);
    if (http_answered(r->x))
        lws_callback_on_writable(wsi);
    else
        lws_set_timer_usecs(wsi, ANSWER_TIMEOUT_US);
}

static int begin(front *f, struct lws *wsi, request *r, const char *path) {
    char peer[46], length[24] = "";
    http_method method = method_of(wsi);
    front_peer(wsi, peer);
    http_end(r->x);
    r->x = http_begin(f->http, method, path, peer, ready, wsi);
    if (!r->x) return -1;
    r->head = method == HTTP_HEAD;
    lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    /* A length that is no number becomes one that is too large, or none at all. */
    uint64_t expected = strtoull(length, NULL, 10);
    http_expect(r->x, expected);
    r->body_left = expected > 0 || lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    if (http_answered(r->x) || method != HTTP_POST || !expected) finish(wsi, r);
    return 0;
}

static void take_body(struct lws *wsi, request *r, const void *p, size_t n) {
    if (!r->x) return;
    http_body(r->x, p, n);
    if (http_answered(r->x)) lws_callback_on_writable(wsi);
}

static int put_header(struct lws *wsi, enum lws_token_indexes name, const char *words, uint8_t **p, uint8_t *end) {
    return lws_add_http_header_by_token(wsi, name, (const unsigned char *)words, (int)strlen(words), p, end);
}

static int write_head(struct lws *wsi, const http_answer *a) {
    uint8_t room[LWS_PRE + HEADER_BYTES], *start = room + LWS_PRE, *p = start, *end = room + sizeof room - 1;
    char seconds[16];
    if (lws_add_http_common_headers(wsi, a->status, a->type, a->body.n, &p, end)) return -1;
    if (put_header(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, "no-store", &p, end)) return -1;
    if (a->allow && put_header(wsi, WSI_TOKEN_HTTP_ALLOW, a->allow, &p, end)) return -1;
    snprintf(seconds, sizeof seconds, "%u", a->retry_after_s);
    if (a->retry_after_s && put_header(wsi, WSI_TOKEN_HTTP_RETRY_AFTER, seconds, &p, end)) return -1;
    return lws_finalize_write_http_header(wsi, start, &p, end);
}

static int write_body(front *f, struct lws *wsi, const buf *body) {
    uint8_t *p = front_scratch(f, body->n);
    if (!p) return -1;
    memcpy(p, body->p, body->n);
    return lws_write(wsi, p, body->n, LWS_WRITE_HTTP_FINAL) < (int)body->n;
}

static int answer(front *f, struct lws *wsi, request *r) {
    const http_answer *a = r->x ? http_answered(r->x) : NULL;
    if (!a) return 0;
    lws_set_timer_usecs(wsi, LWS_SET_TIMER_USEC_CANCEL);
    int rc = write_head(wsi, a);
    if (!rc && !r->head && a->body.n) rc = write_body(f, wsi, &a->body);
    http_end(r->x);
    r->x = NULL;
    /* What is left of a body that nobody reads would be taken for the next request. */
    if (rc || r->body_left || lws_http_transaction_completed(wsi)) return -1;
    return 0;
}

static void end(request *r) {
    if (!r) return;
    http_end(r->x);
    r->x = NULL;
}

int front_https(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    front *f = front_of(wsi);
    request *r = user;
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
    case LWS_CALLBACK_WSI_CREATE:
    case LWS_CALLBACK_WSI_DESTROY:
        return front_count(wsi, reason);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return 1;
    case LWS_CALLBACK_HTTP:
        return begin(f, wsi, r, in);
    case LWS_CALLBACK_HTTP_BODY:
        take_body(wsi, r, in, len);
        return 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        r->body_left = false;
        if (r->x) finish(wsi, r);
        return 0;
    case LWS_CALLBACK_TIMER:
        if (r && r->x) http_timeout(r->x);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return answer(f, wsi, r);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        end(r);
        return 0;
    default:
        return 0;
    }
}
