/* enroll.h - makes this device one of a server's: key pair, certificate request, and the HTTPS request that has it signed.
 *
 * The enrolment code names the server's address and the fingerprint of the key it shows there; the one-time secret leaves the device only after that key
 * was seen. The private key never leaves it. What is written is written whole and in this order: key.pem, cert.pem, ca.pem; an
 * enrolment that was interrupted anywhere is repeated with the same code and the same key, and the server gives the same device. */
#ifndef REPLICA_ENROLL_H
#define REPLICA_ENROLL_H

#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/crypto.h"

/* The whole of enroll_run; then SATCHEL_E_TIMEOUT. */
#define ENROLL_MS 30000

typedef struct enroll_result {
    char device[128];    /* the server's name for this device */
    char sync_host[256]; /* where to sync, and under which name in the server's certificate */
    uint16_t sync_port;
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]; /* of this device's key */
    uint64_t not_after_ms;                         /* end of its certificate */
} enroll_result;

/* Blocks for at most about ENROLL_MS. `software` may be NULL. On failure nothing of `out` is set, `error` has words, and an earlier identity
 * in the directory stands as it was:
 *   SATCHEL_E_ENROL_CODE            the code is damaged, or the server does not know it
 *   SATCHEL_E_ENROL_USED, _EXPIRED  it was used for another device, or is too old
 *   SATCHEL_E_REVOKED               this device's key is revoked
 *   SATCHEL_E_PIN                   another server answered than the code names; the secret was not sent
 *   SATCHEL_E_NETWORK, _TIMEOUT, _OVERLOAD, _CLOSED  try again later with the same code
 *   SATCHEL_E_CERTIFICATE           the key in the directory cannot be read, or the answer does not belong to it
 *   SATCHEL_E_MALFORMED             the answer is not one
 *   SATCHEL_E_IO, _FULL, _READONLY, _NOMEM, _INTERNAL */
int enroll_run(const char *code_text, const char *identity_dir, const char *name, const char *software, enroll_result *out,
               buf *error);

#endif
