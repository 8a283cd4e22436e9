#include "replica/exchange.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/http1.h"

#define ROOM_BYTES 4096

struct exchange {
    stream *stream;
    bool begun;
    buf request, answer;
    size_t sent;
    http1_head head;
    uint64_t deadline_ms;
};

int exchange_fail(buf *error, int rc, const char *words) {
    buf_printf(error, "%s", words);
    return rc;
}

static int fail_stream(const exchange *x, int rc, buf *error) {
    return exchange_fail(error, rc, stream_error(x->stream));
}

int exchange_new(const stream_config *c, const char *path, const char *body, uint64_t within_ms, exchange **out, buf *error) {
    bool is_v6 = strchr(c->host, ':') != NULL;
    exchange *x = *out = calloc(1, sizeof *x);
    if (!x) return SATCHEL_E_NOMEM;
    x->answer.max = LIMIT_HTTP_BODY_BYTES + HTTP1_HEAD_BYTES;
    x->deadline_ms = stream_clock_ms() + within_ms;
    buf_printf(&x->request,
               "POST %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
               "Accept: application/json\r\nConnection: close\r\n\r\n%s",
               path, is_v6 ? "[" : "", c->host, is_v6 ? "]" : "", c->port, strlen(body), body);
    int rc = x->request.rc ? x->request.rc : stream_new(c, &x->stream, error);
    if (rc) {
        exchange_free(x);
        *out = NULL;
    }
    return rc;
}

void exchange_free(exchange *x) {
    if (!x) return;
    stream_free(x->stream);
    credentials_wipe(&x->request);
    credentials_wipe(&x->answer);
    free(x);
}

static int send_some(exchange *x, buf *error) {
    while (x->sent < x->request.n) {
        size_t put;
        int rc = stream_write(x->stream, x->request.p + x->sent, x->request.n - x->sent, &put);
        if (rc) return fail_stream(x, rc, error);
        if (!put) break;
        x->sent += put;
    }
    return SATCHEL_OK;
}

/* 1 when the answer is whole, 0 if more has to come, a code if it cannot become so. */
static int look_at_answer(exchange *x, bool ended) {
    int parsed = x->answer.n ? http1_parse(x->answer.p, x->answer.n, &x->head) : 0;
    if (parsed < 0) return SATCHEL_E_NETWORK;
    if (!parsed) return 0;
    if (x->head.content_length == HTTP1_NO_LENGTH) return ended;
    return x->answer.n - x->head.bytes >= x->head.content_length;
}

static int receive_some(exchange *x, buf *error) {
    for (;;) {
        size_t got;
        uint8_t *room = buf_reserve(&x->answer, ROOM_BYTES);
        if (!room) return exchange_fail(error, SATCHEL_E_MALFORMED, "the server's answer is too long");
        int rc = stream_read(x->stream, room, ROOM_BYTES - 1, &got);
        room[got] = 0;
        x->answer.n += got;
        int whole = got || rc == SATCHEL_E_CLOSED ? look_at_answer(x, rc == SATCHEL_E_CLOSED) : 0;
        if (whole) return whole < 0 ? exchange_fail(error, whole, "what answers does not speak HTTP") : whole;
        if (rc) return fail_stream(x, rc, error);
        if (!got) return 0;
    }
}

int exchange_step(exchange *x, buf *error) {
    if (stream_clock_ms() >= x->deadline_ms) return exchange_fail(error, SATCHEL_E_TIMEOUT, "the server did not answer in time");
    int rc = x->begun ? SATCHEL_OK : stream_connect(x->stream);
    x->begun = true;
    if (!rc) rc = stream_step(x->stream);
    if (rc) return fail_stream(x, rc, error);
    if (!stream_is_open(x->stream)) return 0;
    rc = send_some(x, error);
    return rc || x->sent < x->request.n ? rc : receive_some(x, error);
}

/* Until the stream can go on, or the time is over. */
static void wait_for(const exchange *x) {
    uint64_t now = stream_clock_ms();
    int wait_ms = x->deadline_ms > now ? (int)(x->deadline_ms - now) : 0, bound_ms = stream_timeout_ms(x->stream);
    short wanted = !stream_is_open(x->stream) ? 0 : x->sent < x->request.n ? POLLOUT : POLLIN;
    struct pollfd p = {.fd = stream_fd(x->stream), .events = (short)(wanted | stream_events(x->stream))};
    poll(&p, 1, bound_ms >= 0 && bound_ms < wait_ms ? bound_ms : wait_ms);
}

int exchange_run(exchange *x, buf *error) {
    int rc;
    while (!(rc = exchange_step(x, error))) wait_for(x);
    return rc < 0 ? rc : SATCHEL_OK;
}

const char *exchange_answer(const exchange *x, unsigned *status) {
    *status = x->head.status;
    return (const char *)x->answer.p + x->head.bytes;
}
