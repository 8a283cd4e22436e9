/* front_private.h - what the files of the front share. */
#ifndef SERVER_FRONT_PRIVATE_H
#define SERVER_FRONT_PRIVATE_H

#include <libwebsockets.h>

#include "server/budget.h"
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
    budget *budget;            /* the device's; NULL without memory */
    bool paused;               /* its socket is not read */
    size_t given;              /* bytes, as they unpack, handed over since the hub had none of it */
    uint64_t given_ms;         /* since when */
    uint64_t rest_ms;          /* until when it is not read, so that others go before */
    uint64_t wake_ms;          /* when its timer goes off; 0: it is not set */
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
    char trust[33];                     /* the beginning of SHA-256 over what devices are to trust, hexadecimal; TRUST_BYTES */
    bool rotating;                      /* an authority is to come: it is noted who trusts it */
    unsigned capacity, open;            /* connections of both ports */
    unsigned exchanges;                 /* requests of the HTTPS port that are being answered */
    uint64_t turned_away, told_ms;      /* connections over the capacity; when the log was told, on the loop's clock */
    budgets devices, addresses;
    budget *arriving;   /* of the connection that was let in last, until it is noted in its wsi */
    struct lws *coming; /* the wsi that was made last; may be gone */
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
/* The device's name on this server: SHA-256 of its public key as the certificate carries it (DER of the SubjectPublicKeyInfo). False unless the
 * certificate was verified. */
bool front_device(struct lws *wsi, uint8_t out[CRYPTO_FINGERPRINT_BYTES]);

/* ---- front_tls.c: the certificates of the ports ---- */

int front_tls_paths(front *f, const front_config *config);
/* LWS_CALLBACK_SSL_INFO: says in the log why a handshake was refused. */
int front_tls_alert(struct lws *wsi, const struct lws_ssl_info *info);
/* LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS of protocols[0], which libwebsockets calls with each port's context. */
int front_tls_context(struct lws *wsi, void *ssl_context, void *vhost);
/* Of an upgrade: whether the device does not trust the authorities as they are now, and is to renew its certificate. */
bool front_tls_is_to_renew(struct lws *wsi);

/* ---- front_share.c: what one device or address may take ---- */

void front_share_open(front *f, const front_config *c);
void front_share_close(front *f);
/* Appends who was limited, in Prometheus' format. */
void front_share_metrics(const front *f, buf *out);
/* A connection comes; false: hang up. Then it has a wsi, which libwebsockets has done with (it clears what WSI_CREATE leaves there); and ends. */
bool front_share_admit(front *f, const struct lws_filter_network_conn_args *from);
void front_share_arrived(front *f, struct lws *wsi);
void front_share_left(front *f, struct lws *wsi);
/* It has asked for something, or the log says already why it will not: its end needs no words. */
void front_share_asked(struct lws *wsi);
/* It has a device's certificate: its address does not answer for it any more. */
void front_share_proven(front *f, struct lws *wsi);
/* A device asks by HTTP, maybe again on the same connection, which is one of the device's from then on. False: hang up. */
bool front_share_request(front *f, struct lws *wsi, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]);
/* Milliseconds until the device may connect; 0: now. */
uint64_t front_share_connect(front *f, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]);
void front_share_established(front *f, front_client *c, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]);
void front_share_closed(front *f, front_client *c);
/* A frame is about to be handed to the hub. */
void front_share_received(front *f, front_client *c);
/* Reads on, or does not; to be called after whatever may change that. */
void front_share_pace(front *f, front_client *c);
/* False: not now, its timer will go off. */
bool front_share_may_send(front *f, front_client *c);
void front_share_sent(front *f, front_client *c, size_t n);

front *front_of(struct lws *wsi);
/* Counts connections of either port; non-zero refuses one. */
int front_count(struct lws *wsi, enum lws_callback_reasons reason, const void *user);
void front_peer(struct lws *wsi, char out[46]);
uint64_t front_now_ms(const front *f);
/* Room for LWS_PRE and n bytes, valid until the next call; NULL without memory. Write from the returned pointer on. */
uint8_t *front_scratch(front *f, size_t n);

front_client *front_find(const front *f, uint64_t session);
bool front_add(front *f, front_client *c);
void front_remove(front *f, front_client *c);

#endif
