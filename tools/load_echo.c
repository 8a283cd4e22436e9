#include "tools/load_echo.h"

#include <poll.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/http1.h"

#define WAIT_MS 10000
#define PAYLOAD 32u
/* Final fragment and opcode; masked, and the payload's length (RFC 6455 section 5.2). */
#define PING 0x89
#define PONG 0x8a
#define MASKED 0x80

static int fail(const stream *s) {
    return load_fail("the echo: %s", stream_error(s));
}

static int wait_for(const stream *s, short events) {
    struct pollfd p = {.fd = stream_fd(s), .events = (short)(events | stream_events(s))};
    return poll(&p, 1, WAIT_MS) > 0 ? LOAD_DONE : load_fail("the echo: the server does not answer");
}

static int send_all(stream *s, const void *p, size_t n) {
    for (size_t put, sent = 0; sent < n; sent += put) {
        if (stream_write(s, (const uint8_t *)p + sent, n - sent, &put)) return fail(s);
        int rc = put ? LOAD_DONE : wait_for(s, POLLOUT);
        if (rc) return rc;
    }
    return LOAD_DONE;
}

/* Reads until there are `n` bytes, or with n 0 the end of an HTTP head. */
static int receive(stream *s, uint8_t *p, size_t room, size_t n) {
    for (size_t got, have = 0; n ? have < n : !have || !memmem(p, have, "\r\n\r\n", 4); have += got) {
        if (have == room) return load_fail("the echo: the server's answer is too long");
        if (stream_read(s, p + have, (n ? n : room) - have, &got)) return fail(s);
        int rc = got ? LOAD_DONE : wait_for(s, POLLIN);
        if (rc) return rc;
    }
    return LOAD_DONE;
}

static int upgrade(stream *s, const load_server *sv) {
    buf request = {0};
    uint8_t answer[2048] = {0};
    buf_printf(&request,
               "GET /sync HTTP/1.1\r\nHost: %s:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: satchel.v1\r\n\r\n",
               sv->host, sv->sync_port);
    int rc = request.rc ? load_fail("out of memory") : send_all(s, request.p, request.n);
    buf_fini(&request);
    if (!rc) rc = receive(s, answer, sizeof answer - 1, 0);
    if (!rc && memcmp(answer, "HTTP/1.1 101", 12)) rc = load_fail("the echo: the server does not take the WebSocket");
    return rc;
}

static int connect_to(stream *s, const load_server *sv) {
    int rc = stream_connect(s);
    while (!rc && !(rc = stream_step(s)) && !stream_is_open(s))
        if (wait_for(s, 0)) return LOAD_FAILED;
    return rc ? fail(s) : upgrade(s, sv);
}

int load_echo_open(const load_fleet *f, unsigned number, stream **out) {
    char path[LOAD_PATH_BYTES], identity[LOAD_PATH_BYTES + 16];
    credentials id;
    buf error = {0};
    *out = NULL;
    load_fleet_path(f, number, path);
    snprintf(identity, sizeof identity, "%s-satchel", path);
    int rc = credentials_read(identity, &id, &error);
    stream_config c = {.host = f->server->host,
                       .port = f->server->sync_port,
                       .ca_pem = (const char *)id.ca.p,
                       .cert_pem = (const char *)id.cert.p,
                       .key_pem = (const char *)id.key.p};
    if (!rc) rc = stream_new(&c, out, &error);
    if (rc) load_fail("the echo: %s", error.n ? (const char *)error.p : satchel_rc_text(rc));
    credentials_fini(&id);
    buf_fini(&error);
    return rc ? LOAD_FAILED : connect_to(*out, f->server);
}

int load_echo(stream *s, uint64_t *us) {
    /* A mask of zeros leaves the payload as it is. */
    uint8_t ping[6 + PAYLOAD] = {PING, MASKED | PAYLOAD}, pong[2 + PAYLOAD];
    uint64_t began_us = load_now_us();
    int rc = send_all(s, ping, sizeof ping);
    if (!rc) rc = receive(s, pong, sizeof pong, sizeof pong);
    *us = load_now_us() - began_us;
    if (!rc && pong[0] != PONG) rc = load_fail("the echo: the server did not answer a ping with a pong");
    return rc;
}
