/* front_private.h - what the files of the front share. */
#ifndef SERVER_FRONT_PRIVATE_H
#define SERVER_FRONT_PRIVATE_H

#include <libwebsockets.h>

#include "server/front.h"

#if defined(LWS_WITH_MBEDTLS)
#error "this libwebsockets is built on mbedTLS, which lets clients without a certificate through; use one built on OpenSSL"
#endif

/* A connected device: user memory of its WebSocket, zeroed by libwebsockets. */
typedef struct front_client {
    struct lws *wsi;
    uint64_t session;          /* 0 until established: CLOSED may come for a connection that never was */
    buf in;                    /* the frame that is being received */
    bool deaf;                 /* the hub was told of a frame that is none: nothing more is read */
    bool closing;              /* a close frame is on its way out */
    struct front_client *next; /* of the same place in the table */
} front_client;

/* What a port shows: files in PEM, and the context of OpenSSL that was made of them. */
typedef struct front_shown {
    char cert[DATADIR_PATH_BYTES], key[DATADIR_PATH_BYTES];
    SSL_CTX *live; /* libwebsockets' */
} front_shown;

struct front {
    service *service;
    http *http;
    struct lws_context *context;
    struct lws_vhost *sync, *https;
    front_shown on_sync, on_https;
    char authority[DATADIR_PATH_BYTES]; /* ca.crt */
    unsigned capacity, open;            /* connections of both ports */
    unsigned exchanges;                 /* requests of the HTTPS port that are being answered */
    uint64_t turned_away, told_ms;      /* connections over the capacity; when the log was told, on the loop's clock */
    bool draining;
    front_client **table; /* by session, a power of two of places */
    size_t places, clients;
    uint8_t *scratch; /* LWS_PRE and one frame */
    size_t scratch_bytes;
};

/* protocols[0] of each port, and the subprotocol. */
int front_sync_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
int front_sync_ws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
int front_https(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
size_t front_https_user_bytes(void);

/* ---- front_tls.c: the certificates of the ports ---- */

int front_tls_paths(front *f, const front_config *config);
/* LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS of protocols[0], which libwebsockets calls with each port's context. */
int front_tls_context(struct lws *wsi, void *ssl_context, void *vhost);

front *front_of(struct lws *wsi);
/* Counts connections of either port; non-zero refuses one. */
int front_count(struct lws *wsi, enum lws_callback_reasons reason);
void front_peer(struct lws *wsi, char out[46]);
/* Room for LWS_PRE and n bytes, valid until the next call; NULL without memory. Write from the returned pointer on. */
uint8_t *front_scratch(front *f, size_t n);

front_client *front_find(const front *f, uint64_t session);
bool front_add(front *f, front_client *c);
void front_remove(front *f, front_client *c);

#endif
