/* backup.h - a consistent copy of a running server, as a bundle (bundle.h): its store as of one commit, its keys and certificates.
 *
 * Reads the store through a connection and a read transaction of its own, so the writer never waits; the write-ahead log cannot shrink meanwhile. The copy
 * is made beside its place under a temporary name, checked (SQLite's quick_check, sums), synced to the disk and renamed: what has the name is whole.
 * Whatever fails, nothing of it is left. For any thread; one backup at a time. */
#ifndef SERVER_BACKUP_H
#define SERVER_BACKUP_H

#include "server/bundle.h"

typedef struct backup_request {
    const char *data;   /* the data directory */
    const char *target; /* a name for a new directory, absolute */
    bool replace;       /* an older backup of this name may go */
    uint64_t now_ms;
    uint64_t reserve; /* bytes to leave free where the server's data lies */
} backup_request;

/* SATCHEL_E_MISUSE: the name is taken, or is no name; _BUSY: another one is being made; _FULL before or in the middle; _CORRUPT: the copy does not pass
 * the check; _READONLY, _IO, _CLOSED. */
int backup_make(const backup_request *r, const progress *watch, bundle *out, buf *error);

/* What a restore drill found. */
typedef struct backup_drill {
    uint64_t seq, rows, ms; /* of the backup: up to which commit, and rows of the synced tables; how long it took */
    buf wrong;              /* what is not as it should be, in words; empty: the backup is whole. The caller's */
} backup_drill;

/* Lays the backup `target` out beside itself, as a restore would, checks the store there as store_verify_files does, and removes it again. Nothing that was there is touched. SATCHEL_OK
 * also where the backup is not whole, or not there: that is what was found. Otherwise it could not be tried: SATCHEL_E_MISUSE: `target` is no path; _BUSY; _FULL, _READONLY, _CLOSED. */
int backup_try(const backup_request *r, const progress *watch, backup_drill *out, buf *error);

#endif
