/* credentials.h - this device's key and certificates as files of its identity directory: key.pem, cert.pem, ca.pem (mode 0600, the directory 0700).
 *
 * A file is written whole or not at all: under another name, to the disk, then renamed. Keys are wiped from memory when they are freed.
 *
 * A new key lies as key-next.pem beside the present one. Once cert.pem is a certificate of it, it is the key: the rename that makes it so may come
 * later, at the next reading. */
#ifndef REPLICA_CREDENTIALS_H
#define REPLICA_CREDENTIALS_H

#include "protocol/buf.h"

#define CREDENTIALS_KEY "key.pem"
#define CREDENTIALS_CERT "cert.pem"
#define CREDENTIALS_CA "ca.pem"
#define CREDENTIALS_NEXT_KEY "key-next.pem"

typedef struct credentials {
    buf key, cert, ca; /* PEM, zero-terminated */
} credentials;

/* Reads all three. SATCHEL_E_NOT_ENROLLED: one is missing; _CERTIFICATE: others can read the key; _IO, _NOMEM; words in `error`. credentials_fini in any
 * case. */
int credentials_read(const char *dir, credentials *out, buf *error);
void credentials_fini(credentials *c);

/* Makes the directory if it is missing, and makes it private. SATCHEL_E_READONLY, _FULL, _IO with words. */
int credentials_make_dir(const char *dir, buf *error);
/* Keeps other threads and processes from changing what is in the directory: a descriptor to close, or SATCHEL_E_NOT_FOUND (there is no directory), _READONLY,
 * _IO, _NOMEM with words. Held for as long as some files take to be written, never over the network; credentials_settle and credentials_read take it
 * themselves. */
int credentials_lock(const char *dir, buf *error);
/* Puts a new key in the present one's place if the certificate is of it. SATCHEL_E_READONLY, _FULL, _IO, _NOMEM with words. */
int credentials_settle(const char *dir, buf *error);
/* Reads one file as text, zero-terminated. SATCHEL_E_NOT_FOUND, _IO, _LIMIT, _NOMEM; _CERTIFICATE: it is a key, and others than its owner have a right to the
 * file; with words. */
int credentials_read_file(const char *dir, const char *name, buf *out, buf *error);
/* Writes or replaces one file; when it returns 0 the file is on the disk. SATCHEL_E_READONLY, _FULL, _IO with words, and the old file is untouched. */
int credentials_write_file(const char *dir, const char *name, const char *text, buf *error);
/* The code of an errno: SATCHEL_E_FULL, _READONLY, _NOMEM, _IO. */
int credentials_errno(int e);
/* Brings the names in a directory to the disk: 0, or -1 with errno. */
int credentials_sync_dir(const char *dir);
/* Wipes and frees. */
void credentials_wipe(buf *b);

#endif
