/* stream.h - a TLS connection to one server: TCP, the handshake, bytes in and out, none of it blocking. The transport's lower half, and
 * enrolment's; the only replica file that knows sockets and TLS.
 *
 * Who the server must be is said once, at stream_new: either its chain ends at `ca_pem` and its certificate names `host`, or its key has the
 * fingerprint `pin`. Invariant: stream_is_open only after that check. One stream connects any number of times; from the second on it offers
 * to resume the TLS session, which spares both sides the costly part of the handshake.
 *
 * Resolving a name blocks as long as the system's resolver does (an address does not). Every function that fails leaves the stream closed, with words in
 * stream_error. */
#ifndef REPLICA_STREAM_H
#define REPLICA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

/* TCP and TLS together; then SATCHEL_E_TIMEOUT. */
#define STREAM_CONNECT_MS 15000
/* Bytes that the other side's kernel leaves unacknowledged for so long mean that the path is gone. */
#define STREAM_UNACKNOWLEDGED_MS 45000

typedef struct stream stream;

typedef struct stream_config {
    const char *host; /* name, IPv4 or IPv6 address; copied */
    uint16_t port;
    const char *ca_pem;             /* NULL if `pin` is set */
    const uint8_t *pin;             /* CRYPTO_FINGERPRINT_BYTES, copied; NULL if ca_pem is set */
    const char *cert_pem, *key_pem; /* shown to the server if it asks; NULL for none */
} stream_config;

/* SATCHEL_E_CERTIFICATE with words if a PEM cannot be read. */
int stream_new(const stream_config *c, stream **out, buf *error);
void stream_free(stream *s);

/* Begins to connect; closes what was open. */
int stream_connect(stream *s);
/* Goes on connecting as far as it can. 0: see stream_is_open; else
 *   SATCHEL_E_NETWORK, _TIMEOUT                      try again
 *   SATCHEL_E_CERTIFICATE, _EXPIRED, _PIN            the server is not the one, or its certificate not valid now; or it refused ours
 *   SATCHEL_E_REVOKED, _EXPIRED, _VERSION            the server's alert said so */
int stream_step(stream *s);
bool stream_is_open(const stream *s);
/* The last handshake resumed an earlier session. */
bool stream_is_resumed(const stream *s);

/* What to poll for (-1 and 0 when closed), and for how long at most while connecting (-1: no bound). */
int stream_fd(const stream *s);
short stream_events(const stream *s);
int stream_timeout_ms(const stream *s);

/* At most n bytes; *got is 0 if there are none now. SATCHEL_E_CLOSED when the server ended it, else as stream_step. */
int stream_read(stream *s, void *p, size_t n, size_t *got);
/* Takes the first *put of n bytes; 0 if none can be taken now. What was not taken must be offered again, unchanged, more may follow it. */
int stream_write(stream *s, const void *p, size_t n, size_t *put);
/* Says goodbye if it can, and closes. Keeps the TLS session for the next time. */
void stream_close(stream *s);

/* Why the last function failed; never NULL, valid until the next call. */
const char *stream_error(const stream *s);
/* Milliseconds of a clock that never steps. */
uint64_t stream_clock_ms(void);

#endif
