/* identity.h - the server's own keys and certificates: a certificate authority for the devices, and what its ports serve.
 *
 * Four files of the data directory, made on the first start: ca.key, ca.crt, server.key, server.crt; and server.hosts, the names
 * that server.crt was made for. Devices trust the authority's key and their enrolment code pins the server's, so neither is replaced by itself.
 * Certificates are made again from the same keys when they are about to end, and the server's also when its names change.
 *
 * The authority is replaced in two steps of the admin's. identity_rotate puts a second one beside it, ca-next.key and ca-next.crt: from then on it signs the
 * devices' certificates, certificates of both are accepted, devices are given both to trust, and the ports go on showing what the old one signed, which
 * every device takes. identity_retire ends the old one: the new takes its place, and the server's certificate is made again. What a crash leaves half
 * done is finished by the next identity_open.
 *
 * The HTTPS port may show an operator's own certificate instead, from files of his, which are only read. */
#ifndef SERVER_IDENTITY_H
#define SERVER_IDENTITY_H

#include <stdint.h>

#include "protocol/crypto.h"
#include "server/datadir.h"

/* How long each certificate is made for, and how long before its end it is made again. A device renews its own (enrol.h). */
#define IDENTITY_CA_DAYS 3650
#define IDENTITY_CA_RENEW_DAYS 730
#define IDENTITY_SERVER_DAYS 365
#define IDENTITY_SERVER_RENEW_DAYS 30
#define IDENTITY_DEVICE_DAYS 365

typedef struct identity {
    buf ca_key, ca_cert, key, cert;        /* PEM, zero-terminated */
    buf next_key, next_cert;               /* of the authority to come; empty: none */
    uint8_t pin[CRYPTO_FINGERPRINT_BYTES]; /* of the key that the HTTPS port shows: `key`, unless an operator's was read */
    uint64_t https_end_ms;                 /* when what the HTTPS port shows ends */
    bool made_ca, made_cert;               /* made at this reading, for the log */
} identity;

/* Reads what is there, makes what is missing or about to end. `hosts`: comma-separated names and addresses.
 * SATCHEL_E_CERTIFICATE with words if files do not fit each other or a key is open to others; _IO, _FULL, _READONLY. */
int identity_open(const datadir *d, const char *hosts, uint64_t now_ms, identity *out, buf *error);
/* The same, where the authority has to be `running`'s, or the one that was to come: for a server that runs and looks at its files again.
 * SATCHEL_E_CERTIFICATE also if it is another. */
int identity_open_again(const datadir *d, const char *hosts, uint64_t now_ms, const identity *running, identity *out, buf *error);
/* Puts pin and end of an operator's pair into `id`. SATCHEL_E_CERTIFICATE with words: a file cannot be read or is none, others may read the
 * key, they do not fit each other, the certificate has ended. */
int identity_use_operator(identity *id, const char *cert_path, const char *key_path, uint64_t now_ms, buf *error);

/* Makes the files of an authority to come. SATCHEL_E_KEY_TAKEN: there is one already; else as identity_open. The identity is read again after it. */
int identity_rotate(const datadir *d, uint64_t now_ms, buf *error);
/* Ends the old authority. SATCHEL_E_NOT_FOUND: there is none to come. */
int identity_retire(const datadir *d, buf *error);

/* A device's certificate, by the newest authority. As crypto_sign_csr. */
int identity_sign(const identity *id, const char *csr_pem, const char *name, uint64_t now_ms, unsigned days, buf *cert_pem);
/* Appends what devices are to trust: the certificates of all authorities, PEM, zero-terminated. */
void identity_trust(const identity *id, buf *out);

/* Wipes the keys. */
void identity_close(identity *id);

#endif
