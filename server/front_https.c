/* front_https.c - carries requests to http.h and its answers back: the HTTPS port's, and those of devices on the sync port. */
#include "server/front_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"

#define HEADER_BYTES 2048
/* A request's head; libwebsockets takes none that is longer. */
#define HEAD_BYTES 4096
#define ARGS_MAX 64
/* The rest of a body that nobody wants is read up to this before the answer: a client that is cut off while it sends does not see why. */
#define UNWANTED_BYTES (16u << 20)
/* A request is whole after this time and what its body takes at this rate, or is cut off: libwebsockets begins to wait anew with every byte. */
#define WHOLE_REQUEST_S 15
#define BODY_BYTES_PER_S 16384u
/* Who does not take his answer in this time is cut off. */
#define TAKE_ANSWER_S 60

/* User memory of a connection: the request that is being served. */
typedef struct request {
    http_exchange *x;
    bool body_left; /* the answer may come before the body has been read */
    bool read_on;   /* but is not sent before */
    bool head;
    bool whole;
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
    if (lws_hdr_total_length(wsi, WSI_TOKEN_OPTIONS_URI)) return HTTP_OPTIONS;
    return HTTP_OTHER;
}

static void finish(struct lws *wsi, request *r) {
    r->whole = true;
    http_finish(r->x);
    /* The request is whole: from here on the answer may take as long as http.h says, and no timeout of a half-sent request holds. */
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    lws_set_timer_usecs(wsi, LWS_SET_TIMER_USEC_CANCEL);
    if (http_answered(r->x))
        lws_callback_on_writable(wsi);
    else
        lws_set_timer_usecs(wsi, http_patience_s(r->x) * LWS_US_PER_SEC);
}

static void end(front *f, request *r) {
    if (!r || !r->x) return;
    http_end(r->x);
    r->x = NULL;
    f->exchanges--;
}

/* What http_request points to. */
typedef struct head {
    char peer[46], authorization[512], key[256], encoding[256], if_none_match[256], cookie[1024], csrf[128], site[32],
        origin[300], host[300], content[128], agent[256], args[HEAD_BYTES + ARGS_MAX];
    uint8_t device[CRYPTO_FINGERPRINT_BYTES];
    const char *arg[ARGS_MAX + 1];
    http_request request;
} head;

static void copy_args(struct lws *wsi, head *h) {
    char *p = h->args, *end = h->args + sizeof h->args;
    for (int i = 0; i < ARGS_MAX; i++) {
        int n = lws_hdr_copy_fragment(wsi, p, (int)(end - p), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0) break;
        p[n] = 0;
        if (n) h->arg[h->request.narg++] = p;
        p += n + 1;
    }
    h->request.arg = h->arg;
}

/* One that does not fit is "?", which is nothing that is taken; but of whom a browser is, its beginning will do. */
static void copy_header(struct lws *wsi, char *out, size_t room, enum lws_token_indexes token) {
    if (lws_hdr_copy(wsi, out, (int)room, token) < 0) snprintf(out, room, "?");
}

static void copy_custom(struct lws *wsi, char *out, size_t room, const char *name) {
    int n = (int)strlen(name);
    if (lws_hdr_custom_length(wsi, name, n) > 0 && lws_hdr_custom_copy(wsi, out, (int)room, name, n) < 0)
        snprintf(out, room, "?");
}

static void copy_of_people(struct lws *wsi, head *h) {
    copy_header(wsi, h->cookie, sizeof h->cookie, WSI_TOKEN_HTTP_COOKIE);
    copy_header(wsi, h->origin, sizeof h->origin, WSI_TOKEN_ORIGIN);
    copy_header(wsi, h->host, sizeof h->host, WSI_TOKEN_HOST);
    copy_header(wsi, h->content, sizeof h->content, WSI_TOKEN_HTTP_CONTENT_TYPE);
    copy_header(wsi, h->agent, sizeof h->agent, WSI_TOKEN_HTTP_USER_AGENT);
    copy_custom(wsi, h->csrf, sizeof h->csrf, "x-csrf-token:");
    copy_custom(wsi, h->site, sizeof h->site, "sec-fetch-site:");
}

static void copy_head(struct lws *wsi, head *h, const char *path) {
    static const char KEY[] = "idempotency-key:";
    *h = (head){.request = {.method = method_of(wsi),
                            .path = path,
                            .peer = h->peer,
                            .authorization = h->authorization,
                            .idempotency_key = h->key,
                            .accept_encoding = h->encoding,
                            .if_none_match = h->if_none_match,
                            .cookie = h->cookie,
                            .csrf = h->csrf,
                            .fetch_site = h->site,
                            .origin = h->origin,
                            .host = h->host,
                            .content_type = h->content,
                            .agent = h->agent}};
    front_peer(wsi, h->peer);
    /* One that is too long for here is no token of ours, and no key that is taken. */
    if (lws_hdr_copy(wsi, h->authorization, sizeof h->authorization, WSI_TOKEN_HTTP_AUTHORIZATION) < 0)
        snprintf(h->authorization, sizeof h->authorization, "?");
    int n = lws_hdr_custom_length(wsi, KEY, sizeof KEY - 1);
    if (n > 0 && lws_hdr_custom_copy(wsi, h->key, sizeof h->key, KEY, sizeof KEY - 1) < 0) memset(h->key, '?', sizeof h->key - 1);
    /* Longer ones are as none: the page is sent whole and plain. */
    lws_hdr_copy(wsi, h->encoding, sizeof h->encoding, WSI_TOKEN_HTTP_ACCEPT_ENCODING);
    lws_hdr_copy(wsi, h->if_none_match, sizeof h->if_none_match, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    copy_of_people(wsi, h);
    copy_args(wsi, h);
}

static int begin(front *f, struct lws *wsi, request *r, const char *path) {
    char length[24] = "";
    head h;
    copy_head(wsi, &h, path);
    front_share_asked(wsi);
    if (lws_get_vhost(wsi) == f->sync) {
        if (!front_device(wsi, h.device) || !front_share_request(f, wsi, h.device)) return -1;
        h.request.device = h.device;
    }
    http_method method = h.request.method;
    end(f, r);
    r->x = http_begin(f->http, &h.request, ready, wsi);
    if (!r->x) return -1;
    f->exchanges++;
    r->head = method == HTTP_HEAD;
    r->whole = false;
    lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    /* A length that is no number becomes one that is too large, or none at all. */
    uint64_t expected = strtoull(length, NULL, 10);
    http_expect(r->x, expected);
    r->body_left = expected > 0 || lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    r->read_on = method == HTTP_POST && expected && expected <= UNWANTED_BYTES;
    uint64_t body = expected < UNWANTED_BYTES ? expected : UNWANTED_BYTES;
    lws_set_timer_usecs(wsi, (lws_usec_t)(WHOLE_REQUEST_S + body / BODY_BYTES_PER_S) * LWS_US_PER_SEC);
    if (method != HTTP_POST || !expected || (http_answered(r->x) && !r->read_on)) finish(wsi, r);
    return 0;
}

static void take_body(struct lws *wsi, request *r, const void *p, size_t n) {
    if (!r->x) return;
    http_body(r->x, p, n);
    if (http_answered(r->x) && !r->read_on) lws_callback_on_writable(wsi);
}

static int put_header(struct lws *wsi, enum lws_token_indexes name, const char *words, uint8_t **p, uint8_t *end) {
    return lws_add_http_header_by_token(wsi, name, (const unsigned char *)words, (int)strlen(words), p, end);
}

static int put_custom(struct lws *wsi, const char *name, const char *words, uint8_t **p, uint8_t *end) {
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name, (const unsigned char *)words, (int)strlen(words), p,
                                       end);
}

/* What the console's page may do, and how long a browser may keep its files: until they are others. nosniff, no-referrer and a policy that is less strict stand in
 * every answer already, by libwebsockets (LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE). */
static int put_page(struct lws *wsi, const http_answer *a, uint8_t **p, uint8_t *end) {
    static const char policy[] =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    if (put_custom(wsi, "content-security-policy:", policy, p, end)) return -1;
    if (put_custom(wsi, "vary:", "accept-encoding", p, end)) return -1;
    if (a->encoding && put_header(wsi, WSI_TOKEN_HTTP_CONTENT_ENCODING, a->encoding, p, end)) return -1;
    return put_header(wsi, WSI_TOKEN_HTTP_ETAG, a->etag, p, end);
}

static int write_head(struct lws *wsi, const http_answer *a) {
    uint8_t room[LWS_PRE + HEADER_BYTES], *start = room + LWS_PRE, *p = start, *end = room + sizeof room - 1;
    char seconds[16];
    if (lws_add_http_common_headers(wsi, a->status, a->type, a->body.n, &p, end)) return -1;
    if (put_header(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, a->page ? "no-cache" : "no-store", &p, end)) return -1;
    if (a->page && put_page(wsi, a, &p, end)) return -1;
    if (a->allow && put_header(wsi, WSI_TOKEN_HTTP_ALLOW, a->allow, &p, end)) return -1;
    if (a->authenticate && put_header(wsi, WSI_TOKEN_HTTP_WWW_AUTHENTICATE, a->authenticate, &p, end)) return -1;
    if (*a->set_cookie && put_header(wsi, WSI_TOKEN_HTTP_SET_COOKIE, a->set_cookie, &p, end)) return -1;
    if (a->replayed && put_custom(wsi, "idempotent-replayed:", "true", &p, end)) return -1;
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

/* What a client of the API is refused is its own affair, and told it; but who asks for what never was, too much or too often is looked for here. */
static void log_failure(struct lws *wsi, const http_answer *a) {
    char peer[46], path[128] = "";
    lws_hdr_copy(wsi, path, sizeof path, lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) ? WSI_TOKEN_GET_URI : WSI_TOKEN_POST_URI);
    bool strange = a->status == 413 || a->status == 429 || (a->status == 404 && strncmp(path, "/v1/", 4) != 0) ||
                   (a->status == 400 && !strcmp(path, "/v1/enroll"));
    if (a->status < 500 && !strange) return;
    front_peer(wsi, peer);
    log_fields f = {.level = 'w', .event = strange ? "http-refused" : "http-error", .peer = peer};
    log_event(&f, "%s was answered with %u: %.*s", path, a->status, (int)a->body.n, (const char *)a->body.p);
}

static int answer(front *f, struct lws *wsi, request *r) {
    const http_answer *a = r->x ? http_answered(r->x) : NULL;
    if (!a) return 0;
    lws_set_timer_usecs(wsi, LWS_SET_TIMER_USEC_CANCEL);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, TAKE_ANSWER_S);
    log_failure(wsi, a);
    int rc = write_head(wsi, a);
    if (!rc && !r->head && a->body.n) rc = write_body(f, wsi, &a->body);
    end(f, r);
    /* What is left of a body that nobody reads would be taken for the next request. */
    if (rc || r->body_left || lws_http_transaction_completed(wsi)) return -1;
    return 0;
}

/* The answer takes too long, or the request. */
static int on_timer(struct lws *wsi, request *r) {
    if (!r || !r->x) return 0;
    if (r->whole) {
        http_timeout(r->x);
        return 0;
    }
    char peer[46];
    front_peer(wsi, peer);
    log_event(&(log_fields){.level = 'w', .event = "http-refused", .peer = peer, .rc = SATCHEL_E_TIMEOUT},
              "a request was not whole in time and was cut off");
    return -1;
}

int front_https(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    front *f = front_of(wsi);
    request *r = user;
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
    case LWS_CALLBACK_WSI_CREATE:
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
    case LWS_CALLBACK_WSI_DESTROY:
        return front_count(wsi, reason, user);
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        return front_tls_context(wsi, user, in);
    case LWS_CALLBACK_SSL_INFO:
        return front_tls_alert(wsi, in);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return 1;
    case LWS_CALLBACK_HTTP:
        /* One with a zero byte in it names nothing. */
        return begin(f, wsi, r, strlen(in) == len ? in : "");
    case LWS_CALLBACK_HTTP_BODY:
        take_body(wsi, r, in, len);
        return 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        r->body_left = false;
        if (r->x) finish(wsi, r);
        return 0;
    case LWS_CALLBACK_TIMER:
        return on_timer(wsi, r);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return answer(f, wsi, r);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        end(f, r);
        return 0;
    default:
        return 0;
    }
}
