/* front.h - the server's sockets towards devices and browsers, on libwebsockets over the libuv loop.
 *
 * Two ports. The sync port takes WebSocket connections of the subprotocol satchel.v1 at /sync, with mutual TLS: a client without a
 * certificate of this server's authority does not get through the handshake, and one with it is the device of its key's fingerprint. The HTTPS port asks for
 * no client certificate and serves what http.h answers. TLS 1.2 or later, with session tickets.
 *
 * Nobody takes more than a share (budget.h). A device that connects too often is told to come back later; one that sends or takes too much is read, or
 * sent to, slower; what waits for the writer is bounded for each connection, and one that sends much while others send rests in between. An address has a bound of connections
 * without a device's certificate, above which it is hung up on before TLS. The log says who ("limited").
 *
 * libwebsockets is included in front*.c alone. All functions run on the loop's thread. */
#ifndef SERVER_FRONT_H
#define SERVER_FRONT_H

#include "server/datadir.h"
#include "server/http.h"
#include "server/service.h"

typedef struct front front;

typedef struct front_config {
    service *service; /* its ports are set by front_open */
    http *http;
    const datadir *data;                /* holds the certificates */
    const char *https_cert, *https_key; /* files of the operator's for the HTTPS port; NULL: as the sync port */
    const char *listen;                 /* an address; "localhost" is 127.0.0.1 */
    uint16_t sync_port, https_port;     /* 0 picks a free one */
    unsigned device_connects;           /* a minute, and as many at once; 0: without bound, as in the next two */
    unsigned device_kib;                /* a second that a device may send, and a fourth of what it may be sent */
    unsigned address_connects;          /* a minute, without a device's certificate */
} front_config;

/* Raises the soft limit of open files to the hard one, listens. SATCHEL_E_NETWORK: an address cannot be listened on, _CERTIFICATE: what
 * the data directory holds cannot be served; `error` has words. */
int front_open(const front_config *config, front **out, buf *error);
/* Shows what the files of the certificates hold now to whoever connects from here on, and lets in who has a certificate of `id`'s authorities;
 * connections that are open go on. SATCHEL_E_CERTIFICATE with words if one of them will not do: then nothing has changed. */
int front_reload(front *f, const identity *id, buf *error);
/* The hub has something for sessions to send; called by the loop when woken. */
void front_woken(void *f);
/* Accepts nothing more; each session is closed once all its output is sent. */
void front_drain(front *f);
/* Sessions that are open and requests that are being answered. */
unsigned front_busy(const front *f);
/* Closes what is open. Its handles go as the loop runs; free it with front_free after loop_run. */
void front_close(front *f);
void front_free(front *f);

#endif
