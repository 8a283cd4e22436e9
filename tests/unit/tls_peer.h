/* tls_peer.h - the other end of a TLS connection for tests: `openssl s_server`, whose standard input and output are what the client receives and
 * sends. So the TLS is OpenSSL's, and the bytes on it are the test's own. */
#ifndef TESTS_UNIT_TLS_PEER_H
#define TESTS_UNIT_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/buf.h"

/* A certificate authority, a server certificate for 127.0.0.1, ::1 and localhost, and one device's identity directory, as files in `dir`:
 * ca.key ca.pem server.key server.pem device/key.pem device/cert.pem device/ca.pem. */
typedef struct tls_world {
    char dir[64];
    uint64_t now_ms;
    buf ca_key, ca, server_key, server, device_key, device;
} tls_world;

void tls_world_make(tls_world *w);
void tls_world_free(tls_world *w);
/* Writes dir/name. */
void tls_world_write(const tls_world *w, const char *name, const char *text);
/* Replaces server.pem by a certificate for `hosts` made at now_ms for `days`; device/cert.pem likewise. */
void tls_world_server(tls_world *w, const char *hosts, uint64_t now_ms, unsigned days);
void tls_world_device(tls_world *w, uint64_t now_ms, unsigned days);

typedef struct tls_peer {
    pid_t pid;
    int to, from; /* its standard input and output */
    uint16_t port;
    buf heard; /* what the client sent so far */
} tls_peer;

bool tls_peer_possible(void);
/* Starts it in w->dir with server.key and server.pem and further options, separated by blanks; returns when it accepts connections. */
void tls_peer_start(tls_peer *p, const tls_world *w, const char *options);
void tls_peer_stop(tls_peer *p);
void tls_peer_say(tls_peer *p, const void *bytes, size_t n);
/* Reads what there is into p->heard, waiting at most timeout_ms. */
void tls_peer_hear(tls_peer *p, int timeout_ms);

#endif
