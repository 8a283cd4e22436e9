/* http.h - what the HTTPS port answers, without a socket: an exchange takes a request and, at once or later, has an answer.
 *
 *   POST /v1/enroll   a one-time code and a certificate request for a certificate (enrol.h)
 *   POST /v1/renew    a certificate request for a certificate; of a device alone, on the sync port
 *   POST /v1/leave    the device has no more to do with this server; likewise
 *   GET  /healthz     200 while the process runs
 *   GET  /readyz      200 when the store takes writes and the hub runs, else 503 and why
 *   GET  /metrics     Prometheus' text format (metrics.h)
 *   other /v1/...     what programs read and write, with a token (api.h)
 *   GET  /, /console/ the console's page (console_files.h)
 *
 * Whatever is wrong is answered as problem JSON (RFC 9457): {"type","title","status","code","detail"}, `code` being a name of satchel_rc.h. HEAD is
 * answered as GET, OPTIONS with what the path takes. All functions run on the loop's thread. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "server/service.h"

typedef enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OPTIONS, HTTP_OTHER } http_method;

/* A request's head. Everything is text with its %-escapes decoded; "" for a header that is not there. Borrowed for the call. */
typedef struct http_request {
    http_method method;
    const char *path; /* without the query */
    const char *peer; /* the address */
    const uint8_t *
        device; /* the fingerprint of the key that the connection has proved: it came by the sync port; NULL: by the HTTPS port */
    const char *authorization, *idempotency_key;
    const char *accept_encoding, *if_none_match; /* of the page's files */
    /* Of people in a browser (api_auth.c); NULL is as "". */
    const char *cookie, *csrf, *fetch_site, *origin, *host, *content_type, *agent;
    size_t narg;
    const char *const *arg; /* of the query, each "name=value" */
} http_request;

#define HTTP_COOKIE_BYTES 160

typedef struct http_answer {
    unsigned status;
    const char *type;                   /* of the body; static */
    const char *allow;                  /* for 405 and OPTIONS; static; else NULL */
    const char *authenticate;           /* WWW-Authenticate, for 401; static; else NULL */
    unsigned retry_after_s;             /* 0: no such header */
    bool replayed;                      /* Idempotent-Replayed: this answer was given before */
    char set_cookie[HTTP_COOKIE_BYTES]; /* Set-Cookie; "": none */
    bool page;                          /* a file of the console: what a page may do is told with it, and a browser may keep it */
    const char *etag;                   /* of a page; as long as the server runs */
    const char *encoding;               /* of the body; static; NULL: none */
    buf body;
} http_answer;

typedef struct http http;
typedef struct http_exchange http_exchange;

int http_new(service *sv, http **out);
/* After the last exchange. Counts that are under way may end later. */
void http_free(http *h);

/* A request's head is there. `ready(owner)` is called once, later, if the answer was not there at http_finish. */
http_exchange *http_begin(http *h, const http_request *request, void (*ready)(void *owner), void *owner);
/* How long the body will be, where the head says so: over the path's limit the answer is there at once (413). */
void http_expect(http_exchange *x, uint64_t n);
/* A piece of the body; over the path's limit the answer is there at once (413). */
void http_body(http_exchange *x, const void *p, size_t n);
/* The request is whole; a second call does nothing. */
void http_finish(http_exchange *x);
/* NULL while there is none; valid until http_end. */
const http_answer *http_answered(const http_exchange *x);
/* How long to wait for the answer before http_timeout. */
unsigned http_patience_s(const http_exchange *x);
/* It takes too long: answer with what there is. */
void http_timeout(http_exchange *x);
/* Sent, or the connection is gone: `ready` is not called any more. */
void http_end(http_exchange *x);

#endif
