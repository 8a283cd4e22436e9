#include "replica/transport.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "protocol/crypto.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/http1.h"
#include "replica/stream.h"

/* One TLS record holds so much; header and payload of a frame are put together into it. */
#define STAGE_BYTES 16384
/* A received message is kept as its length (4 bytes, this machine's order) and its bytes. */
#define LENGTH_BYTES sizeof(uint32_t)
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */

typedef enum upgrade_state { UPGRADE_NOT_SENT, UPGRADE_SENT, UPGRADE_DONE } upgrade_state;

struct transport {
    stream *stream;
    char host[256];
    uint16_t port;
    char software[128];
    transport_state_kind state;
    upgrade_state upgrade;
    uint64_t deadline_ms; /* of CONNECTING */
    uint64_t heard_ms;    /* last byte in */
    uint64_t asked_ms;    /* since the ping: last byte out */
    bool pinged;          /* and nothing heard since */
    char accept[32];      /* what the server must answer */
    uint8_t key[CRYPTO_FINGERPRINT_BYTES];
    char trust[33];  /* the beginning of SHA-256 over ca.pem, hexadecimal */
    unsigned orders; /* TRANSPORT_RENEW and others */
    uint64_t retry_after_ms;
    wslay_event_context_ptr ws;
    buf stage;     /* bytes on their way out */
    size_t staged; /* of which so many are written */
    buf early;     /* bytes in that came before, or with, the upgrade */
    size_t early_read;
    buf inbox; /* received messages */
    size_t inbox_read;
    size_t queued;
    int rc; /* why receiving failed, for the caller of wslay */
    char error[320];
};

/* --- small things ------------------------------------------------------------------------------------------------------------- */

transport_state_kind transport_state(const transport *t) {
    return t->state;
}

const char *transport_error(const transport *t) {
    return t->error;
}

bool transport_is_resumed(const transport *t) {
    return stream_is_resumed(t->stream);
}

unsigned transport_orders(const transport *t) {
    return t->orders;
}

const uint8_t *transport_key(const transport *t) {
    return t->key;
}

uint64_t transport_retry_after_ms(const transport *t) {
    return t->retry_after_ms;
}

size_t transport_queued(const transport *t) {
    return t->queued;
}

int transport_fd(const transport *t) {
    return stream_fd(t->stream);
}

short transport_events(const transport *t) {
    return stream_events(t->stream);
}

static void disconnect(transport *t) {
    stream_close(t->stream);
    if (t->ws) wslay_event_context_free(t->ws);
    t->ws = NULL;
    buf_clear(&t->stage);
    buf_clear(&t->early);
    t->staged = t->early_read = t->queued = 0;
    t->state = TRANSPORT_CLOSED;
}

static int fail(transport *t, int rc, const char *words) {
    snprintf(t->error, sizeof t->error, "%s", words);
    disconnect(t);
    return rc;
}

static int fail_stream(transport *t, int rc) {
    return fail(t, rc, stream_error(t->stream));
}

/* Which authorities it trusts, for the server to see. */
static void note_trust(transport *t, const buf *ca) {
    uint8_t digest[32];
    crypto_sha256(ca->p, ca->n, digest);
    for (size_t i = 0; i < sizeof t->trust / 2; i++) snprintf(t->trust + 2 * i, 3, "%02x", digest[i]);
}

int transport_new(const transport_config *c, transport **out, buf *error) {
    credentials id;
    *out = NULL;
    int rc = credentials_read(c->identity_dir, &id, error);
    transport *t = rc ? NULL : calloc(1, sizeof *t);
    if (!rc && !t) rc = SATCHEL_E_NOMEM;
    if (!rc) {
        stream_config sc = {.host = c->host,
                            .port = c->port,
                            .ca_pem = (const char *)id.ca.p,
                            .cert_pem = (const char *)id.cert.p,
                            .key_pem = (const char *)id.key.p};
        rc = stream_new(&sc, &t->stream, error);
        if (!rc) rc = crypto_fingerprint((const char *)id.cert.p, t->key);
    }
    if (!rc) {
        snprintf(t->host, sizeof t->host, "%s", c->host);
        t->port = c->port;
        note_trust(t, &id.ca);
        snprintf(t->software, sizeof t->software, "%s", c->software ? c->software : "");
        t->stage.max = STAGE_BYTES;
        t->early.max = HTTP1_HEAD_BYTES + STAGE_BYTES;
        *out = t;
    } else {
        if (t) stream_free(t->stream);
        free(t);
    }
    credentials_fini(&id);
    return rc;
}

void transport_free(transport *t) {
    if (!t) return;
    disconnect(t);
    stream_free(t->stream);
    buf_fini(&t->stage);
    buf_fini(&t->early);
    buf_fini(&t->inbox);
    free(t);
}

/* --- bytes out and in --------------------------------------------------------------------------------------------------------- */

/* Writes what is staged as far as the socket takes it. */
static int flush(transport *t) {
    while (t->staged < t->stage.n) {
        size_t put;
        int rc = stream_write(t->stream, t->stage.p + t->staged, t->stage.n - t->staged, &put);
        if (rc) return fail_stream(t, rc);
        if (!put) return SATCHEL_OK;
        t->staged += put;
        t->queued -= put < t->queued ? put : t->queued;
        t->asked_ms = stream_clock_ms();
    }
    t->staged = 0;
    buf_clear(&t->stage);
    return SATCHEL_OK;
}

/* Bytes of the stream, those that came with the upgrade first. */
static int read_some(transport *t, void *p, size_t n, size_t *got) {
    if (t->early_read < t->early.n) {
        *got = t->early.n - t->early_read < n ? t->early.n - t->early_read : n;
        memcpy(p, t->early.p + t->early_read, *got);
        t->early_read += *got;
        return SATCHEL_OK;
    }
    int rc = stream_read(t->stream, p, n, got);
    if (!rc && *got) {
        t->heard_ms = stream_clock_ms();
        t->pinged = false;
    }
    return rc;
}

/* --- wslay's callbacks ----------------------------------------------------------------------------------------------------------- */

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *p, size_t n, int flags, void *ctx) {
    transport *t = ctx;
    size_t got = 0;
    (void)flags;
    /* One message at a time: the rest waits in the kernel, which slows the server down. */
    if (!t->inbox.n && !t->rc) t->rc = read_some(t, p, n, &got);
    if (got) return (ssize_t)got;
    wslay_event_set_error(ws, t->rc ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *p, size_t n, int flags, void *ctx) {
    transport *t = ctx;
    (void)flags;
    size_t room = STAGE_BYTES - t->stage.n;
    if (n > room) n = room;
    if (n) buf_put(&t->stage, p, n);
    if (!n || t->stage.rc) {
        wslay_event_set_error(ws, t->stage.rc ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    return (ssize_t)n;
}

static int on_genmask(wslay_event_context_ptr ws, uint8_t *p, size_t n, void *ctx) {
    (void)ctx;
    if (!crypto_random(p, n)) return 0;
    wslay_event_set_error(ws, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m, void *ctx) {
    transport *t = ctx;
    (void)ws;
    if (wslay_is_ctrl_frame(m->opcode)) return;
    if (m->opcode != WSLAY_BINARY_FRAME) {
        t->rc = SATCHEL_E_MALFORMED;
        return;
    }
    uint32_t n = (uint32_t)m->msg_length;
    buf_put(&t->inbox, &n, LENGTH_BYTES);
    buf_put(&t->inbox, m->msg, m->msg_length);
    if (t->inbox.rc) t->rc = t->inbox.rc;
}

static int open_websocket(transport *t) {
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .genmask_callback = on_genmask, .on_msg_recv_callback = on_message};
    if (wslay_event_context_client_init(&t->ws, &callbacks, t)) {
        t->ws = NULL;
        return fail(t, SATCHEL_E_NOMEM, "out of memory");
    }
    wslay_event_config_set_max_recv_msg_length(t->ws, LIMIT_FRAME_BYTES);
    t->upgrade = UPGRADE_DONE;
    t->state = TRANSPORT_OPEN;
    return SATCHEL_OK;
}

/* --- the upgrade (RFC 6455 section 4.1) ------------------------------------------------------------------------------------------- */

static int send_upgrade(transport *t) {
    uint8_t nonce[16], digest[20];
    buf key = {0}, accept = {0};
    int rc = crypto_random(nonce, sizeof nonce);
    if (rc) return fail(t, rc, "the system gives no random bytes");
    crypto_base64(nonce, sizeof nonce, &key);
    size_t nkey = key.n;
    buf_printf(&key, ACCEPT_GUID);
    if (!key.rc) crypto_sha1(key.p, key.n, digest);
    crypto_base64(digest, sizeof digest, &accept);
    bool is_v6 = strchr(t->host, ':') != NULL;
    buf_printf(&t->stage,
               "GET " TRANSPORT_PATH " HTTP/1.1\r\nHost: %s%s%s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: %.*s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " TRANSPORT_SUBPROTOCOL
               "\r\nSatchel-Trust: %s\r\n%s%s%s\r\n",
               is_v6 ? "[" : "", t->host, is_v6 ? "]" : "", t->port, (int)nkey, (const char *)key.p, t->trust,
               *t->software ? "User-Agent: " : "", t->software, *t->software ? "\r\n" : "");
    rc = key.rc ? key.rc : accept.rc ? accept.rc : t->stage.rc;
    if (!rc) snprintf(t->accept, sizeof t->accept, "%s", (const char *)accept.p);
    buf_fini(&key);
    buf_fini(&accept);
    if (rc) return fail(t, rc, "out of memory");
    t->upgrade = UPGRADE_SENT;
    return SATCHEL_OK;
}

/* A server that speaks another version names it, or says nothing: it may be older than this rule, or no Satchel. */
static int other_version(transport *t, const http1_head *h) {
    char theirs[32], words[160];
    if (!http1_copy(h, "Sec-WebSocket-Protocol", theirs, sizeof theirs) ||
        strncmp(theirs, PROTOCOL_SUBPROTOCOL_PREFIX, strlen(PROTOCOL_SUBPROTOCOL_PREFIX)))
        return fail(t, SATCHEL_E_VERSION, "the server does not speak " TRANSPORT_SUBPROTOCOL "; update the older of the two");
    bool newer = strtoul(theirs + strlen(PROTOCOL_SUBPROTOCOL_PREFIX), NULL, 10) > PROTOCOL_VERSION;
    snprintf(words, sizeof words, "the server speaks %s, this device " TRANSPORT_SUBPROTOCOL "; update Satchel on the %s", theirs,
             newer ? "device" : "server");
    return fail(t, SATCHEL_E_VERSION, words);
}

static int refused(transport *t, const http1_head *h) {
    static const struct {
        unsigned status;
        int rc;
        const char *words;
    } known[] = {
        {401, SATCHEL_E_CERTIFICATE, "the server did not accept this device's certificate"},
        {403, SATCHEL_E_REVOKED, "the server refused this device"},
        {404, SATCHEL_E_VERSION, "there is no Satchel server behind this address"},
        {429, SATCHEL_E_OVERLOAD, "the server asks to come back later"},
        {503, SATCHEL_E_OVERLOAD, "the server asks to come back later"},
    };
    char words[128];
    int rc = SATCHEL_E_NETWORK;
    snprintf(words, sizeof words, "the server refused the connection (HTTP status %u)", h->status);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].status != h->status) continue;
        rc = known[i].rc;
        snprintf(words, sizeof words, "%s (HTTP status %u)", known[i].words, h->status);
    }
    t->retry_after_ms = 1000 * http1_seconds(h, "Retry-After");
    return fail(t, rc, words);
}

/* Orders that are not known are passed over. */
static unsigned read_orders(const http1_head *h) {
    static const struct {
        unsigned order;
        const char *name;
    } known[] = {{TRANSPORT_RENEW, "renew"}, {TRANSPORT_VERIFY, "verify"}, {TRANSPORT_ROTATE_KEY, "rotate-key"}};
    unsigned orders = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (http1_has_token(h, "Satchel-Orders", known[i].name)) orders |= known[i].order;
    return orders;
}

static int accept_upgrade(transport *t, const http1_head *h) {
    if (h->status == 400 || h->status == 426) return other_version(t, h);
    if (h->status != 101) return refused(t, h);
    bool good = http1_has_token(h, "Upgrade", "websocket") && http1_has_token(h, "Connection", "upgrade") &&
                http1_is(h, "Sec-WebSocket-Accept", t->accept);
    if (!good) return fail(t, SATCHEL_E_NETWORK, "what answers is no WebSocket server");
    if (!http1_is(h, "Sec-WebSocket-Protocol", TRANSPORT_SUBPROTOCOL)) return other_version(t, h);
    t->orders = read_orders(h);
    t->early_read = h->bytes;
    return open_websocket(t);
}

static int read_upgrade(transport *t) {
    for (;;) {
        uint8_t *room = buf_reserve(&t->early, 1024);
        size_t got;
        http1_head head;
        if (!room) return fail(t, t->early.rc, "the server's answer is too long");
        int rc = stream_read(t->stream, room, 1024, &got);
        if (rc) return fail_stream(t, rc);
        if (!got) return SATCHEL_OK;
        t->early.n += got;
        rc = http1_parse(t->early.p, t->early.n, &head);
        if (rc < 0) return fail(t, SATCHEL_E_NETWORK, "what answers does not speak HTTP");
        if (rc) return accept_upgrade(t, &head);
    }
}

int transport_connect(transport *t) {
    disconnect(t);
    t->error[0] = 0;
    buf_clear(&t->inbox);
    t->inbox_read = 0;
    t->rc = SATCHEL_OK;
    t->pinged = false;
    t->retry_after_ms = 0;
    t->upgrade = UPGRADE_NOT_SENT;
    t->state = TRANSPORT_CONNECTING;
    t->deadline_ms = stream_clock_ms() + TRANSPORT_CONNECT_MS;
    int rc = stream_connect(t->stream);
    return rc ? fail_stream(t, rc) : SATCHEL_OK;
}

static int step_connecting(transport *t) {
    int rc = stream_step(t->stream);
    if (rc) return fail_stream(t, rc);
    if (stream_is_open(t->stream)) {
        t->heard_ms = stream_clock_ms();
        if (t->upgrade == UPGRADE_NOT_SENT) rc = send_upgrade(t);
        if (!rc) rc = flush(t);
        if (!rc) rc = read_upgrade(t);
    }
    if (!rc && t->state == TRANSPORT_CONNECTING && stream_clock_ms() >= t->deadline_ms)
        return fail(t, SATCHEL_E_TIMEOUT, "the server did not answer the connection in time");
    return rc;
}

/* --- the open connection ---------------------------------------------------------------------------------------------------------- */

/* Why the server ended it, from its close frame (RFC 6455 section 7.4.1). */
static int fail_closed(transport *t) {
    char words[96];
    snprintf(words, sizeof words, "the server closed the connection (code %u)", wslay_event_get_status_code_received(t->ws));
    return fail(t, SATCHEL_E_CLOSED, words);
}

static int send_queued(transport *t);

/* wslay stopped reading: it has queued a close frame that says why. Close codes that are newer than wslay (1012 and above) end here too, so
 * this passes unless a frame was too large. */
static int fail_stopped(transport *t) {
    int rc = send_queued(t);
    if (rc) return rc;
    if (wslay_event_get_status_code_sent(t->ws) == WSLAY_CODE_MESSAGE_TOO_BIG)
        return fail(t, SATCHEL_E_LIMIT, "the server sent a frame that is too large");
    return fail(t, SATCHEL_E_CLOSED, "the server closed the connection, or broke the WebSocket protocol");
}

static int receive(transport *t) {
    t->rc = SATCHEL_OK;
    int err = wslay_event_recv(t->ws);
    if (err == WSLAY_ERR_NOMEM) return fail(t, SATCHEL_E_NOMEM, "out of memory");
    if (t->rc == SATCHEL_E_MALFORMED) return fail(t, t->rc, "the server sent a frame that is not binary");
    if (t->rc == SATCHEL_E_NOMEM || t->rc == SATCHEL_E_LIMIT) return fail(t, SATCHEL_E_NOMEM, "out of memory");
    if (t->rc) return fail_stream(t, t->rc);
    if (wslay_event_get_close_received(t->ws)) return fail_closed(t);
    if (!wslay_event_get_read_enabled(t->ws)) return fail_stopped(t);
    return SATCHEL_OK;
}

/* Frames go through the stage in runs of one TLS record, until the socket takes no more. */
static int send_queued(transport *t) {
    int rc = flush(t);
    while (!rc && !t->stage.n && wslay_event_want_write(t->ws)) {
        if (wslay_event_send(t->ws)) return fail(t, SATCHEL_E_NOMEM, "out of memory");
        if (!t->stage.n) break;
        rc = flush(t);
    }
    if (!rc && !t->stage.n && !wslay_event_want_write(t->ws)) t->queued = 0;
    return rc;
}

/* Only a ping that was sent a while ago, with the answer looked for since, makes a silence: the caller may have been busy for minutes. */
static int check_silence(transport *t) {
    uint64_t now = stream_clock_ms();
    if (t->inbox.n) return SATCHEL_OK;
    if (t->pinged)
        return now < t->asked_ms + TRANSPORT_PONG_MS ? SATCHEL_OK : fail(t, SATCHEL_E_TIMEOUT, "the server has fallen silent");
    if (now < t->heard_ms + TRANSPORT_PING_MS) return SATCHEL_OK;
    struct wslay_event_msg ping = {.opcode = WSLAY_PING};
    t->pinged = true;
    t->asked_ms = now;
    return wslay_event_queue_msg(t->ws, &ping) ? fail(t, SATCHEL_E_NOMEM, "out of memory") : SATCHEL_OK;
}

static int advance(transport *t) {
    if (t->state == TRANSPORT_CONNECTING) {
        int rc = step_connecting(t);
        if (rc || t->state != TRANSPORT_OPEN) return rc;
    }
    if (t->state != TRANSPORT_OPEN) return SATCHEL_OK;
    int rc = receive(t);
    if (!rc) rc = check_silence(t);
    if (!rc) rc = send_queued(t);
    return rc;
}

/* How long nothing can happen by itself. */
static int bound_wait(const transport *t, int timeout_ms) {
    uint64_t now = stream_clock_ms(), next = UINT64_MAX;
    if (t->state == TRANSPORT_CONNECTING) {
        int stream_ms = stream_timeout_ms(t->stream);
        next = t->deadline_ms;
        if (stream_ms >= 0 && now + (uint64_t)stream_ms < next) next = now + (uint64_t)stream_ms;
    } else if (t->state == TRANSPORT_OPEN) {
        next = t->pinged ? t->asked_ms + TRANSPORT_PONG_MS : t->heard_ms + TRANSPORT_PING_MS;
    }
    if (next == UINT64_MAX) return timeout_ms;
    uint64_t left = next > now ? next - now : 0;
    return timeout_ms < 0 || left < (uint64_t)timeout_ms ? (int)left : timeout_ms;
}

int transport_step(transport *t, int timeout_ms, int wakeup_fd) {
    transport_state_kind before = t->state;
    bool was_sending = t->queued != 0;
    int rc = advance(t);
    /* The caller has something to do: a message to take, a conversation to open, more to send. */
    if (rc || t->inbox.n || t->state != before || (was_sending && !t->queued) || !timeout_ms) return rc;
    struct pollfd p[2] = {{.fd = stream_fd(t->stream), .events = stream_events(t->stream)}, {.fd = wakeup_fd, .events = POLLIN}};
    int ready = poll(p, 2, bound_wait(t, timeout_ms));
    return ready < 0 ? SATCHEL_OK : advance(t);
}

int transport_send(transport *t, const void *p, size_t n) {
    struct wslay_event_msg m = {.opcode = WSLAY_BINARY_FRAME, .msg = p, .msg_length = n};
    if (n > LIMIT_FRAME_BYTES) return SATCHEL_E_LIMIT;
    if (t->state != TRANSPORT_OPEN || t->queued + n > LIMIT_CONN_QUEUE_BYTES) return SATCHEL_E_MISUSE;
    if (wslay_event_queue_msg(t->ws, &m)) return SATCHEL_E_NOMEM;
    t->queued += n + (n > 65535 ? 14 : n > 125 ? 8 : 6);
    return SATCHEL_OK;
}

bool transport_receive(transport *t, buf *out) {
    uint32_t n;
    if (t->inbox_read >= t->inbox.n) return false;
    memcpy(&n, t->inbox.p + t->inbox_read, LENGTH_BYTES);
    buf_clear(out);
    buf_put(out, t->inbox.p + t->inbox_read + LENGTH_BYTES, n);
    t->inbox_read += LENGTH_BYTES + n;
    if (t->inbox_read == t->inbox.n) {
        buf_clear(&t->inbox);
        t->inbox_read = 0;
    }
    return true;
}

void transport_close(transport *t, uint16_t code) {
    /* Before the close is queued: wslay would send it first, and after it nothing. */
    if (t->state == TRANSPORT_OPEN) send_queued(t);
    if (t->state == TRANSPORT_OPEN && !wslay_event_queue_close(t->ws, code, NULL, 0)) send_queued(t);
    if (t->state != TRANSPORT_IDLE) disconnect(t);
}
