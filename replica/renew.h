/* renew.h - a device that looks after its certificate, its key and its leaving, while it is one of a server's.
 *
 * What it asks goes to the sync port by HTTPS and is proved by the certificate that the connection shows; nothing else is needed, and nothing secret is
 * sent. A certificate is renewed when two thirds of its life are over, when the server asks for it (its authorities have changed), and when there is a
 * new key, which the device's user or the server has wanted, which lies beside the present one until a certificate of it is here. An answer that is lost, or a crash anywhere, leaves credentials that the
 * server takes; the request is simply made again. */
#ifndef REPLICA_RENEW_H
#define REPLICA_RENEW_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/crypto.h"

/* Each of the requests; then SATCHEL_E_TIMEOUT. */
#define RENEW_MS 20000
#define LEAVE_MS 10000

typedef struct renewal renewal;

typedef struct renew_server {
    const char *dir; /* the identity directory */
    const char *host;
    uint16_t port;
} renew_server;

/* Whether it is time, by the server's clock. What cannot be read is not. */
bool renew_is_due(const char *dir, uint64_t now_ms);
/* Makes a key that the next renewal takes; does nothing if there is one. SATCHEL_E_READONLY, _FULL, _IO, _INTERNAL with words. */
int renew_make_key(const char *dir, buf *error);

/* Begins one. The codes of stream_new and credentials_read. */
int renew_begin(const renew_server *server, renewal **out, buf *error);
/* Never blocks. 1: the new credentials are in the directory; 0: not yet; a code with words: all is as it was, or the next reading of the credentials completes it. */
int renew_step(renewal *r, buf *error);
void renew_free(renewal *r);

/* Tells the server that this device is one no more. Blocks for LEAVE_MS at most. SATCHEL_OK also if the server had cut it off before. */
int renew_leave(const renew_server *server, buf *error);

#endif
