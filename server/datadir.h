/* datadir.h - the server's data directory: made, locked, and its small files read and replaced whole.
 *
 * Invariant: while a datadir is open, no other process has it open. A file is replaced by writing a new one beside it, fsync, rename and fsync of
 * the directory, so that after a crash it is the old one or the new one. Every file is made with mode 0600. */
#ifndef SERVER_DATADIR_H
#define SERVER_DATADIR_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/buf.h"

#define DATADIR_PATH_BYTES 1024

typedef struct datadir {
    char path[DATADIR_PATH_BYTES]; /* as given, without a trailing slash */
    int fd;                        /* of the directory */
    int lock;
} datadir;

/* Makes the directory (0700) if it is missing and takes its lock. SATCHEL_E_BUSY: another server has it; _FOREIGN_FILE: it is not empty and
 * holds nothing of Satchel, or others may write to it; _IO, _READONLY. `error` says which and what to do. */
int datadir_open(const char *path, datadir *out, buf *error);
void datadir_close(datadir *d);

/* "path/name" for those who want a name. SATCHEL_E_TOO_LARGE. */
int datadir_path(const datadir *d, const char *name, char out[DATADIR_PATH_BYTES]);
/* Appends the file to `out`, which is zero-terminated then (the zero is not counted). SATCHEL_E_NOT_FOUND, _IO, _LIMIT (over 64 KiB).
 * `secret`: others must not be able to read it (SATCHEL_E_CERTIFICATE). */
int datadir_read(const datadir *d, const char *name, bool secret, buf *out, buf *error);
int datadir_write(const datadir *d, const char *name, const void *p, size_t n, buf *error);

#endif
