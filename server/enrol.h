/* enrol.h - what stands in a request for a certificate, and the writer's part of answering it.
 *
 *   enrolment   {"secret": base64url of 16 bytes, "csr": PEM, "name": any, "software": any}
 *   answer      {"device", "certificate", "ca", "sync_host", "sync_port"}
 *   renewal     {"csr": PEM}, on a connection that the device has proved itself on
 *   answer      {"certificate", "ca"}
 *
 * The device made its key pair and sends a signed request; the secret is the one-time code's. Redeeming the secret and signing the
 * certificate are one transaction: what fails spends no code. The same request again gives the same device (a lost answer).
 *
 * A renewal's request may be of another key than the connection's: then the device changes its key (store_keys.h). */
#ifndef SERVER_ENROL_H
#define SERVER_ENROL_H

#include "server/service.h"

typedef struct enrol {
    uint8_t secret[16];
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    uint8_t shown[CRYPTO_FINGERPRINT_BYTES]; /* of a renewal: the key that the connection has proved */
    buf csr;                                 /* PEM, zero-terminated */
    char software[LIMIT_NAME_BYTES + 1];
    device_info device; /* of the answer */
    buf certificate;    /* of the answer */
    buf ca;             /* of the answer */
} enrol;

/* SATCHEL_E_MALFORMED with words: not JSON, a member missing, or no request in `csr`; _ENROL_CODE: the secret is none. enrol_fini in any case. */
int enrol_parse(enrol *e, const void *body, size_t n, buf *error);
void enrol_fini(enrol *e);
/* On the writer's thread, inside a transaction. The codes of store_enrol_redeem; SATCHEL_E_CERTIFICATE: the request's signature is wrong. */
int enrol_run(enrol *e, store *s, const service *sv, uint64_t now_ms);
/* Appends the answer. */
int enrol_answer(const enrol *e, const service *sv, buf *out);

/* As those of enrolment. */
int enrol_parse_renewal(enrol *e, const void *body, size_t n, const uint8_t shown[CRYPTO_FINGERPRINT_BYTES], buf *error);
/* SATCHEL_E_CERTIFICATE: the device of `shown` is not known, the request's key is another device's, or its signature is wrong; _REVOKED, _WIPED. */
int enrol_renew(enrol *e, store *s, const service *sv, uint64_t now_ms);
int enrol_answer_renewal(const enrol *e, buf *out);
/* The device of `shown` leaves (store_device_left); fills in e->device. */
int enrol_leave(enrol *e, store *s, uint64_t now_ms);

/* Wrong codes are counted by address, of IPv6 by its network of 64 bits: LIMIT tries in a window, then none until it ends. 2^128 codes cannot be guessed; this keeps the log and
 * the writer from being flooded. Fixed size: the address that was quiet for longest makes room. */
#define ENROL_TRIES 10
#define ENROL_WINDOW_MS 60000
#define ENROL_ADDRESSES 256
typedef struct enrol_limiter {
    struct {
        char address[46];
        uint64_t since_ms;
        unsigned wrong;
    } entry[ENROL_ADDRESSES];
} enrol_limiter;
/* 0 if the address may try, else the milliseconds until it may. */
uint64_t enrol_limiter_wait(const enrol_limiter *l, const char *address, uint64_t now_ms);
void enrol_limiter_wrong(enrol_limiter *l, const char *address, uint64_t now_ms);

#endif
