/* identity.h - the server's own keys and certificates: a certificate authority for the devices, and what its ports serve.
 *
 * Four files of the data directory, made on the first start: ca.key, ca.crt, server.key, server.crt; and server.hosts, the names
 * that server.crt was made for. Keys are never replaced: devices trust the authority's key and their enrolment code pins the server's. Certificates are
 * made again from the same keys when they are about to end, and the server's also when its names change.
 *
 * The HTTPS port may show an operator's own certificate instead, from files of his, which are only read. */
#ifndef SERVER_IDENTITY_H
#define SERVER_IDENTITY_H

#include <stdint.h>

#include "protocol/crypto.h"
#include "server/datadir.h"

/* How long each certificate is made for, and how long before its end it is made again. A device's is renewed by enrolling again. */
#define IDENTITY_CA_DAYS 3650
#define IDENTITY_CA_RENEW_DAYS 730
#define IDENTITY_SERVER_DAYS 365
#define IDENTITY_SERVER_RENEW_DAYS 30
#define IDENTITY_DEVICE_DAYS 365

typedef struct identity {
    buf ca_key, ca_cert, key, cert;        /* PEM, zero-terminated */
    uint8_t pin[CRYPTO_FINGERPRINT_BYTES]; /* of the key that the HTTPS port shows: `key`, unless an operator's was read */
    uint64_t https_end_ms;                 /* when what the HTTPS port shows ends */
    bool made_ca, made_cert;               /* made at this reading, for the log */
} identity;

/* Reads what is there, makes what is missing or about to end. `hosts`: comma-separated names and addresses.
 * SATCHEL_E_CERTIFICATE with words if files do not fit each other or a key is open to others; _IO, _FULL, _READONLY. */
int identity_open(const datadir *d, const char *hosts, uint64_t now_ms, identity *out, buf *error);
/* The same, where the authority has to be `running`'s: for a server that runs and looks at its files again. SATCHEL_E_CERTIFICATE also if it is another. */
int identity_open_again(const datadir *d, const char *hosts, uint64_t now_ms, const identity *running, identity *out, buf *error);
/* Puts pin and end of an operator's pair into `id`. SATCHEL_E_CERTIFICATE with words: a file cannot be read or is none, others may read the
 * key, they do not fit each other, the certificate has ended. */
int identity_use_operator(identity *id, const char *cert_path, const char *key_path, uint64_t now_ms, buf *error);
/* Wipes the keys. */
void identity_close(identity *id);

#endif
