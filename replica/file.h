/* file.h - one database file as the sync side sees it: its own connection, the state row, the schema, and transactions around all of it.
 *
 * Everything that syncing writes goes through one `file`: capture is off on its connection, foreign keys and CHECK constraints
 * are off (the server has checked them; N4 may show combinations that no constraint foresaw). The app's connection is not here
 * (satchel.c). Commits are atomic and in order whatever happens (WAL), but on the disk only after file_sync or a durable
 * transaction: a page that a power cut takes back is sent again, as long as the server was not told that it is safe here (N2). Invariant: between file_begin and file_commit `state` is the row of satchel_state, and the overlay's index
 * holds exactly the transactions that are pending or accepted; after file_rollback both are read again before their next use.
 *
 * Not thread-safe: whoever uses a file of a handle holds the handle's lock (handle.h). */
#ifndef REPLICA_FILE_H
#define REPLICA_FILE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/capture.h"
#include "protocol/db.h"
#include "protocol/message.h"
#include "protocol/schema.h"

#define FILE_APPLICATION_ID 0x53746368 /* "Stch" */
#define FILE_FORMAT 4

#define ENV_PLATFORM_BYTES 36

/* What a replica takes from outside; injected, so that a simulator can drive it. */
typedef struct env {
    void *ctx;
    uint64_t (*now_ms)(void *ctx); /* wall clock, milliseconds since 1970 */
    int (*random)(void *ctx, void *out, size_t n);
    char platform[ENV_PLATFORM_BYTES]; /* what it runs on, "Linux 6.1; x86_64", as hello tells it; "": it does not */
} env;
/* The real clock, crypto_random and uname(2). */
env env_default(void);
/* Puts together what uname(2) calls system, release and machine: of the release two numbers, of the others letters, digits, '.', '_' and '-', each to a bound. */
void env_name_platform(const char *system, const char *release, const char *machine, char out[ENV_PLATFORM_BYTES]);
/* satchel_now() on a connection, by this clock. */
int env_register_now(sqlite3 *db, const env *e);

typedef enum txn_state { TXN_PENDING, TXN_ACCEPTED, TXN_CONFIRMED, TXN_REFUSED, TXN_DISCARDED } txn_state;

/* The row of satchel_state, but for texts. */
typedef struct file_state {
    bool has_epoch;
    uint8_t epoch[EPOCH_BYTES]; /* of the server that was met last */
    bool placed; /* the cursor is of that epoch and pages go on from it; false until a first snapshot is complete */
    uint64_t cursor;
    uint64_t view; /* what is held here as of the cursor, as the server named it; 0: everything, or nothing yet */
    uint32_t schema_epoch;
    uint32_t incarnation;
    uint64_t number_floor;   /* numbers up to here were given, and may have been pruned (N1) */
    uint64_t sent_number;    /* numbers up to here may have been sent (N2) */
    uint64_t settled_number; /* every number up to here has its result here */
    uint64_t hlc;            /* the highest stamp that was received */
    uint64_t loss_cursor;
    uint64_t snapshot;      /* id of the snapshot in progress, else 0 */
    uint32_t snapshot_page; /* the next one */
    uint64_t snapshot_seq;
    uint64_t snapshot_rows; /* applied so far */
    uint64_t snapshot_total;
    uint64_t stage_seq;  /* `to` of the commit that is being staged, else 0 */
    uint64_t backup_seq; /* accepted transactions up to here need not be kept (N7) */
    uint64_t head;       /* newest server seq heard of */
    uint64_t overlay;    /* counts the transactions that left; tells other processes' indexes that theirs is stale */
    int64_t clock_offset_ms;
    uint64_t check_due_ms; /* when what is here is compared with the server next; 0: nobody has said */
    unsigned npast;        /* epochs before `epoch`, the latest first */
    past_epoch past[LIMIT_PAST];
} file_state;

typedef struct overlay overlay;

typedef struct file {
    sqlite3 *db; /* the sync connection */
    db_cache sql;
    capture *capture; /* off: gives the connection module and functions */
    schema *schema;   /* of state.schema_epoch */
    overlay *overlay;
    file_state state;
    file_state saved; /* as it was read; only a difference is written */
    bool in_txn;
    bool durable;           /* the open transaction's commit waits for the disk */
    bool unsynced;          /* something was committed that may not be on the disk */
    bool unproven;          /* until the first durable transaction: whoever had the file open before may have seen a sync fail */
    atomic_bool log_failed; /* a commit, so maybe a sync of the log: see file_mend_log; set by the app's thread, too */
    int64_t changes;        /* sqlite3_total_changes64 at file_begin */
    env env;
    char *path;
    char *identity; /* directory of key.pem, cert.pem, ca.pem and lock */
    char *software;
    buf error; /* what went wrong last, in words, zero-terminated */
} file;

typedef struct file_options {
    unsigned flags; /* SATCHEL_OPEN_* */
    int busy_timeout_ms;
    const char *identity, *software; /* may be NULL */
    const void *key;                 /* of the encrypted file; read during the call, not kept */
    size_t key_bytes;                /* 0: not encrypted */
    env env;
} file_options;

/* Opens or creates. On failure *out is a file on which only `error` and file_close may be used (NULL: out of memory). */
int file_open(const char *path, const file_options *o, file **out);
void file_close(file *f);
/* Brings a new connection to the state that every Satchel connection needs: busy timeout, key, WAL, read-only and format checks. Of the options it
 * takes busy_timeout_ms and the key. For the app's connection too. */
int file_configure(sqlite3 *db, const file_options *o, buf *error);

/* BEGIN IMMEDIATE, reads the state row and the schema if its epoch moved, and refreshes the overlay's index. SATCHEL_E_BUSY and database codes. */
int file_begin(file *f);
/* The same, and when file_commit returns this transaction and every commit before it, the app's included, are on the disk (N2). */
int file_begin_durable(file *f);
/* In a write transaction of `db`, a connection to this file: after a commit or checkpoint that failed it writes the log anew (db_rewrite_log). A database code if it
 * could not; then the next transaction tries it. */
int file_mend_log(file *f, sqlite3 *db);
/* Checkpoints of `db`, a connection to this file, are looked at, too: one that fails is as a sync that failed, and there is none until the log was written anew. An app
 * may set its own instead. NULL ends it. */
void file_watch_log(file *f, sqlite3 *db);
/* Everything committed so far is on the disk on return; costs nothing when it is already. */
int file_sync(file *f);
/* Writes the state row and commits; after a failure rolls back. */
int file_commit(file *f);
void file_rollback(file *f);
/* file_commit if rc is 0, else file_rollback; returns the first error. */
int file_end(file *f, int rc);
/* Reads the state row outside a transaction (hello, status). */
int file_read_state(file *f);
/* The bytes that the database and its log take, and what they can come to where they lie: those and what is free. Both 0: that cannot be told. */
void file_storage(const file *f, uint64_t *held, uint64_t *room);

/* Runs migration `m` in the open transaction: tables, capture triggers, schema_epoch; then loads the new descriptor. SATCHEL_E_SCHEMA
 * unless it is the next one; SATCHEL_E_MIGRATION and others with words in f->error. */
int file_migrate(file *f, const msg_schema *m);

/* Notes the server and this device (enrolment); one transaction of its own. `device` is the key's fingerprint in hexadecimal. */
int file_set_server(file *f, const char *host, uint16_t port, const char *device);
/* Reads them back; `host` has room for 256, `device` for 65 bytes. SATCHEL_E_NOT_ENROLLED if there is none. */
int file_get_server(file *f, char *host, uint16_t *port, char *device);
/* Notes how the last attempt to sync ended, for satchel_status; rc 0 is a good one, and sets last_sync_ms. Failures to write are not reported. */
void file_note_sync(file *f, int rc, const char *text, uint64_t now_ms);

/* satchel_verify: appends one line per fault. SATCHEL_OK, SATCHEL_E_CORRUPT, or a database code if it could not look. */
int file_verify(file *f, buf *report);

/* Sets f->error and returns rc. */
int file_fail(file *f, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The connection's last error as a code, with SQLite's words in f->error. */
int file_db_error(file *f, const char *what);

#endif
