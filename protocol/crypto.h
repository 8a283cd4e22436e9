/* crypto.h - keys, certificates, digests and randomness; with the replica's transport the only code that includes mbedTLS.
 *
 * ECDSA P-256 keys, SHA-256. A device is its key's fingerprint: SHA-256 over the DER of the SubjectPublicKeyInfo. Every text in and out is
 * PEM, zero-terminated, in a buf. Private keys are never logged. Works with mbedTLS 2.28 and 3.6. */
#ifndef PROTOCOL_CRYPTO_H
#define PROTOCOL_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

#define CRYPTO_FINGERPRINT_BYTES 32

/* SATCHEL_E_INTERNAL if the system has no randomness; thread-safe. */
int crypto_random(void *out, size_t n);
void crypto_sha256(const void *p, size_t n, uint8_t out[32]);
/* The same in pieces, for what does not fit memory: new (NULL: there is none), put, end, which frees. */
typedef struct crypto_hash crypto_hash;
crypto_hash *crypto_hash_new(void);
void crypto_hash_put(crypto_hash *h, const void *p, size_t n);
void crypto_hash_end(crypto_hash *h, uint8_t out[32]);
/* SHA-1, for Sec-WebSocket-Accept (RFC 6455) only. */
void crypto_sha1(const void *p, size_t n, uint8_t out[20]);

/* base64url without padding (RFC 4648 section 5), and standard base64 for the WebSocket handshake. */
void crypto_base64url(const void *p, size_t n, buf *out);
int crypto_base64url_decode(const char *text, buf *out); /* SATCHEL_E_MALFORMED */
void crypto_base64(const void *p, size_t n, buf *out);
int crypto_base64_decode(const char *text, size_t n, buf *out); /* with its padding; SATCHEL_E_MALFORMED */

int crypto_make_key(buf *key_pem);
/* Self-signed CA of `name`, valid for `days` from now_ms. */
int crypto_make_ca(const char *key_pem, const char *name, uint64_t now_ms, unsigned days, buf *cert_pem);
/* A server certificate for host names and IP addresses (`hosts`: comma-separated), extended key usage serverAuth. */
int crypto_make_server(const char *ca_key_pem, const char *ca_cert_pem, const char *key_pem, const char *hosts, uint64_t now_ms,
                       unsigned days, buf *cert_pem);
int crypto_make_csr(const char *key_pem, const char *name, buf *csr_pem);
/* Signs a device's request (its own signature is checked) with clientAuth and common name `name`; the request's other wishes are ignored. */
int crypto_sign_csr(const char *ca_key_pem, const char *ca_cert_pem, const char *csr_pem, const char *name, uint64_t now_ms,
                    unsigned days, buf *cert_pem);
/* Of a certificate, a request or a private key. SATCHEL_E_MALFORMED. */
int crypto_fingerprint(const char *pem, uint8_t out[CRYPTO_FINGERPRINT_BYTES]);
int crypto_fingerprint_der(const void *cert_der, size_t n, uint8_t out[CRYPTO_FINGERPRINT_BYTES]);
/* Milliseconds since 1970 at which a certificate ends. */
int crypto_not_after(const char *cert_pem, uint64_t *out_ms);
/* At which it was made: a week after the beginning that it names (certificates of ours begin before they are made, for clocks that are behind). */
int crypto_made_at(const char *cert_pem, uint64_t *out_ms);
/* Appends the common name of a certificate's subject. SATCHEL_E_MALFORMED; _CERTIFICATE: it is none of ours, which have that and nothing else. */
int crypto_common_name(const char *cert_pem, buf *out);

/* The enrolment code: "satchel1." and base64url of {host, HTTPS port, pin, secret}; what `satchelctl device add` prints and QR codes carry. */
typedef struct enrol_code {
    char host[256];
    uint16_t port;                         /* of the HTTPS port */
    uint8_t pin[CRYPTO_FINGERPRINT_BYTES]; /* fingerprint of the key that the HTTPS port serves */
    uint8_t secret[16];
} enrol_code;
void enrol_code_encode(const enrol_code *c, buf *text);
/* SATCHEL_E_ENROL_CODE with nothing read if it is not one. */
int enrol_code_decode(const char *text, enrol_code *out);

#endif
