/* transport.h - carries binary messages to and from the server: WebSocket (RFC 6455, subprotocol satchel.v1) over TLS (stream.h).
 *
 * Nothing here blocks but transport_step, for as long as its caller lets it, and the resolving of a host's name in transport_connect. One thread at a
 * time, except that any thread may make the wakeup descriptor readable. A transport outlives its connections and resumes TLS sessions
 * between them. It knows nothing of what the messages mean, and does not reconnect by itself: the loop (poll.c) decides when. */
#ifndef REPLICA_TRANSPORT_H
#define REPLICA_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/message.h"

#define TRANSPORT_PATH "/sync"
#define TRANSPORT_SUBPROTOCOL PROTOCOL_SUBPROTOCOL
/* TCP, TLS and the upgrade together. */
#define TRANSPORT_CONNECT_MS 20000
/* After so long without a byte from the server a ping asks for one; it also keeps the address translation of a mobile network alive. */
#define TRANSPORT_PING_MS 25000
/* So long after the ping and the last byte out, still without a byte in: SATCHEL_E_TIMEOUT. */
#define TRANSPORT_PONG_MS 35000

typedef struct transport transport;

typedef enum transport_state_kind { TRANSPORT_IDLE, TRANSPORT_CONNECTING, TRANSPORT_OPEN, TRANSPORT_CLOSED } transport_state_kind;

typedef struct transport_config {
    const char *host; /* as in the server's certificate; copied */
    uint16_t port;
    const char *identity_dir; /* key.pem, cert.pem, ca.pem are read at transport_new */
    const char *software;     /* User-Agent; NULL for none; copied */
} transport_config;

/* SATCHEL_E_NOT_ENROLLED: a file of the identity is missing; _CERTIFICATE: one cannot be read; words in `error`. */
int transport_new(const transport_config *c, transport **out, buf *error);
void transport_free(transport *t);

/* What the server wants of this device, as it said when the connection was made; bits. RENEW: its certificate (renew.h), because the authorities are others than those of the
 * identity; VERIFY: that all rows be compared with the server's (session_check); ROTATE_KEY: a new key (renew_make_key). */
enum { TRANSPORT_RENEW = 1, TRANSPORT_VERIFY = 2, TRANSPORT_ROTATE_KEY = 4 };
unsigned transport_orders(const transport *t);

/* The fingerprint of the key that it shows, as it was read at transport_new. */
const uint8_t *transport_key(const transport *t);

/* For how long the server has asked to stay away, when it answered the last connection; else 0. */
uint64_t transport_retry_after_ms(const transport *t);

/* Begins a connection (after closing any other), as CONNECTING. An error leaves the transport CLOSED. */
int transport_connect(transport *t);

/* Moves everything that can be moved; if that is nothing, waits up to timeout_ms (negative: no bound) for the socket or for `wakeup_fd` (-1: none) to
 * become readable, and moves again. It does not wait while transport_receive has a message, when the connection has just opened, or
 * when the last of what was queued has just gone. The wakeup is not read here.
 *
 * 0, or the reason why the connection has ended, with words in transport_error and the state CLOSED:
 *   class RETRY      SATCHEL_E_NETWORK, _TIMEOUT, _CLOSED, _OVERLOAD
 *   class PERMANENT  SATCHEL_E_CERTIFICATE, _EXPIRED, _REVOKED, _VERSION; SATCHEL_E_LIMIT, _MALFORMED if the server broke the protocol
 *   SATCHEL_E_NOMEM
 * With no connection it only waits. */
int transport_step(transport *t, int timeout_ms, int wakeup_fd);
transport_state_kind transport_state(const transport *t);

/* For a loop of one's own over many transports, each stepped with timeout 0: what to poll for (-1 and 0 without a connection). */
int transport_fd(const transport *t);
short transport_events(const transport *t);

/* Queues one binary message; the bytes are copied. SATCHEL_E_LIMIT: over LIMIT_FRAME_BYTES; SATCHEL_E_MISUSE: not open, or more than
 * LIMIT_CONN_QUEUE_BYTES would be queued: look at transport_queued first. */
int transport_send(transport *t, const void *p, size_t n);
/* Bytes that were queued and that the kernel has not taken yet. */
size_t transport_queued(const transport *t);
/* Takes one received message: true, and `out` is cleared and holds it. Messages that came before an error are still there after it. */
bool transport_receive(transport *t, buf *out);

/* Ends the connection with a WebSocket close code (1000 done, 1001 going away, 1002 protocol error); sends what it can at once, waits for nothing. */
void transport_close(transport *t, uint16_t code);
/* Why the last function failed; never NULL, valid until the next call. */
const char *transport_error(const transport *t);
/* Whether the connection's TLS session was resumed. */
bool transport_is_resumed(const transport *t);

#endif
