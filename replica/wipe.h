/* wipe.h - erasing a device's data when an admin has ordered it (SATCHEL_E_WIPED), whatever comes between.
 *
 * In this order, and each step may be done again: the marker "<path>-wipe" lies beside the database; the database is emptied through SQLite, so that
 * whoever else has it open finds no tables in it; its files are removed; the server is told; key and certificates are removed; the marker is removed.
 * Invariant: while the marker lies there nothing is opened, and satchel_open and satchel_poll go on where it was left. Whoever works holds the marker's
 * lock.
 *
 * What was in the files is not overwritten: flash and file systems that copy on write would keep the old blocks whatever is written. Who needs that
 * encrypts the file, or the disk beneath. */
#ifndef REPLICA_WIPE_H
#define REPLICA_WIPE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"

/* Telling the server may take so long. */
#define WIPE_REPORT_MS 10000

typedef struct wipe {
    const char *path;     /* of the database */
    const char *identity; /* its directory */
    const char *software; /* as transport.h has it; may be NULL */
} wipe;

bool wipe_is_ordered(const char *path);
/* Lays the marker, on the disk on return, with where the server is. SATCHEL_E_READONLY, _FULL, _IO; nothing was done then. */
int wipe_order(const char *path, const char *host, uint16_t port);
/* Takes the marker's lock: a descriptor, for the others to be called with and then to be closed; -1 if another process is at it, or it is done. */
int wipe_claim(const char *path);

/* Empties the database behind a connection, so that every other connection's next statement fails: in the transaction that is open there, which it
 * commits, or else in one of its own. */
void wipe_empty(sqlite3 *db);
/* The same through a connection of its own, if there is a database that can be opened (key: cipher.h). */
void wipe_empty_file(const char *path, const void *key, size_t nkey);
/* Removes the database and what SQLite keeps beside it. SATCHEL_E_IO, _READONLY. */
int wipe_erase(const wipe *w);
/* Tells the server, and once it knows (or has no ear for this device any more) removes key, certificates and marker. Gives up after WIPE_REPORT_MS, or when
 * *stop (may be NULL) is set. SATCHEL_OK: everything is done; a code of class RETRY: later; _IO, _READONLY. */
int wipe_report(const wipe *w, int marker, const atomic_bool *stop);

/* Whether the file behind a connection is no longer under its name: what is written there is lost. */
bool wipe_is_unlinked(sqlite3 *db);

#endif
