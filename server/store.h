/* store.h - the only way to the server's durable data: one SQLite file now, PostgreSQL later.
 *
 * A store has one writer (this handle, one thread) and any number of readers (store_reader, each with its own connection and
 * thread). Everything that changes happens between store_begin and store_commit; a commit is durable when store_commit returns
 * (synchronous=FULL), and nothing is told to a device before. Invariant: a seq is given once, in commit order, and the log holds
 * every effective change above store_floor.
 *
 * Layout (design 7): the data tables with their `satchel_clock` column; satchel_server (one row), satchel_epoch, satchel_device,
 * satchel_author (a device's incarnations), satchel_result, satchel_refused, satchel_conflict, satchel_tombstone, satchel_log (id = seq
 * << 24 | part, one encoded delta each), satchel_bucket, satchel_stage (parts of large pushes), satchel_enrol, satchel_event;
 * satchel_token and satchel_request (programs over HTTP). */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/crypto.h"
#include "protocol/message.h"
#include "protocol/schema.h"
#include "server/progress.h"

typedef struct store store;

typedef struct store_config {
    const char *path; /* of the SQLite file; made if missing, mode 0600 */
    const char
        *schema_dir; /* numbered migrations NNN_name.sql and NNN_name.data.sql; run as far as the store has not; NULL: none */
    uint64_t now_ms;
    bool restored;              /* the file came from a backup: begin a new server epoch (N7) */
    const uint8_t *restored_as; /* EPOCH_BYTES: which one; if it began before, this start goes on from there. NULL: any */
} store_config;

/* Opens, creates, migrates. On failure `error` names file (and line of a migration) and what to do, and nothing was half done.
 * SATCHEL_E_CORRUPT, _NOT_A_DATABASE, _FOREIGN_FILE, _READONLY, _FULL, _NEWER_FILE, _MIGRATION, _RULE, _TABLE_SHAPE, _IO. */
int store_open(const store_config *config, store **out, buf *error);
void store_close(store *s);

const schema *store_schema(const store *s);
sqlite3 *store_db(store *s); /* for this directory's own modules */
/* Words about the last failed call; "" if none. Valid until the next call. */
const char *store_error(const store *s);

typedef struct store_position {
    uint8_t epoch[EPOCH_BYTES];
    uint64_t epoch_start; /* seq at which this server epoch began */
    uint64_t seq;         /* newest commit */
    uint64_t floor;       /* the log is complete above it, and so are the results (N3) */
    uint64_t high_stamp;  /* highest effective stamp given */
    uint64_t backup_seq;  /* the newest backup has everything up to here */
    uint32_t schema_epoch;
    uint8_t schema_hash[8];
} store_position;
/* As of the open transaction, else of the last commit. */
store_position store_where(const store *s);
/* N7: accepted transactions up to here need not be kept on their devices: the newest backup has them, or they are older than the history that is
 * kept (store_prune's history_ms), so that devices of a server that is never backed up do not keep everything for ever. */
uint64_t store_released(const store *s);
/* Whether `epoch` is this store's or an older one of it; *end receives the seq at which it ended (UINT64_MAX for the current). */
bool store_epoch_known(store *s, const uint8_t epoch[EPOCH_BYTES], uint64_t *end);

int store_begin(store *s);
/* Whether a transaction is open still: after some errors, as where the disk is full, SQLite ends it by itself, and what is written then is committed piece by piece. */
bool store_is_open(store *s);
/* Durable on return. On failure everything since store_begin is undone. */
int store_commit(store *s);
void store_rollback(store *s);
/* An undo point inside the transaction. */
int store_savepoint(store *s);
int store_savepoint_release(store *s);
void store_savepoint_rollback(store *s);
/* The same where nobody has looked at what is undone (scope.h remembers what it has seen). */
void store_savepoint_undo(store *s);

/* Whether the scope.sql of the schema directory is another text than the rules that are in force: then somebody is to publish it, or to put it back. */
int store_scope_differs(store *s, const char *schema_dir, bool *differs);
/* The same of its automation.sql. */
int store_automation_differs(store *s, const char *schema_dir, bool *differs);

/* ---- devices ---- */

/* One more, 3, is that of programs with a token (api_store.h), which are authors as devices are and listed nowhere here. */
typedef enum device_state {
    DEVICE_ACTIVE = 1,
    DEVICE_REVOKED = 2, /* refused for good */
    DEVICE_PAUSED = 4,  /* asked to come back later */
    DEVICE_WIPE = 5,    /* to erase itself at its next contact; until then it is refused as well */
    DEVICE_WIPED = 6,   /* it has said that it did */
    DEVICE_REMOVED = 7  /* an admin wants to see it no more: its row stays, for its key and for what it wrote */
} device_state;
/* SQL over satchel_device: those that are listed and counted as devices. */
#define DEVICE_LISTED "state NOT IN (3,7)"

#define DEVICE_LITERAL_BYTES 256

/* What came out when a device compared all its rows with the store. Rows are counted as the device tells of its ranges. */
typedef struct device_compared {
    uint64_t begun_ms, ended_ms; /* ended_ms 0: it never has */
    uint64_t ranges, rows;
    uint64_t differed; /* of the ranges; they were given to it again */
    uint64_t passed;   /* how often it went on behind a range that could not be compared then */
} device_compared;

/* What an admin orders of a device, and it is told until it is done; bits. WIPE is a state of the device (store_device_move), the others are given by store_device_order. */
typedef enum device_order { ORDER_WIPE = 1, ORDER_VERIFY = 2, ORDER_ROTATE_KEY = 4 } device_order;

typedef struct device_info {
    int64_t id;
    char name[LIMIT_NAME_BYTES + 1];
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    device_state state;
    uint64_t enrolled_ms, last_seen_ms;
    uint64_t acked_seq;      /* durable on the device */
    uint64_t pending;        /* transactions waiting on the device, as it last said */
    int64_t clock_offset_ms; /* device minus server, as last seen */
    uint64_t clamped;        /* stamps that lay more than LIMIT_CLOCK_AHEAD_MS ahead */
    uint64_t held_bytes;     /* that its files take, as it last said; 0: it did not */
    uint64_t room_bytes;     /* that they can come to */
    uint64_t rejected_open;
    uint64_t conflicts; /* own losses */
    uint32_t incarnations;
    uint32_t schema_epoch;
    char software[LIMIT_NAME_BYTES + 1];
    uint64_t state_ms; /* since when it is in its state; 0: since it was enrolled */
    bool resnapshot;   /* its next contact begins with a snapshot */
    /* When it was ordered that it compare all its rows, and that it make a new key, which it has not since; 0: it was not. */
    uint64_t verify_ms, rotate_key_ms;
    device_compared compared;
    bool everything; /* it has no profile */
    char profile[LIMIT_NAME_BYTES + 1];
    char user[DEVICE_LITERAL_BYTES], store[DEVICE_LITERAL_BYTES]; /* as SQL literals, "" if there is none */
} device_info;

/* Stores a one-time enrolment secret (kept as its SHA-256). SATCHEL_E_KEY_TAKEN: an active device or open code has this name. */
int store_enrol_offer(store *s, const char *name, const uint8_t secret[16], uint64_t expires_ms);
/* Redeems a secret for a key: makes the device. The same secret with the same key again gives the same device (a lost
 * answer). SATCHEL_E_ENROL_CODE, _ENROL_USED, _EXPIRED. A device whose key is known re-enrols under its old id. */
int store_enrol_redeem(store *s, const uint8_t secret[16], const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], uint64_t now_ms,
                       device_info *out);
/* SATCHEL_E_NOT_FOUND. By a key a device is found that was removed, too. */
int store_device_by_fingerprint(store *s, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], device_info *out);
int store_device_by_name(store *s, const char *name, device_info *out);
/* Moves a device to another state and records the event; to the one it is in: nothing happens. An active or paused device may be paused, resumed (active),
 * revoked and wiped, a revoked or wiped one only be wiped or, unless a refusal of its is open, removed; WIPED is what any may say of itself. With one that is removed its grants,
 * silences and the open code of its name end. SATCHEL_E_NOT_FOUND, also of one that was removed before; SATCHEL_E_MISUSE with words. */
int store_device_move(store *s, int64_t id, device_state to, uint64_t now_ms);
/* SATCHEL_E_KEY_TAKEN: an active or paused device has the name, or an enrolment code for it is out. */
int store_device_rename(store *s, int64_t id, const char *name, uint64_t now_ms);

/* What a device's profile is asked with (scope.h); `given` tells which of the members count. */
enum { DEVICE_PROFILE = 1, DEVICE_USER = 2, DEVICE_STORE = 4 };
typedef struct device_scope {
    unsigned given;
    const char *profile;         /* NULL: everything */
    const uint8_t *user, *store; /* one value, as value_put writes it; NULL: none */
    size_t nuser, nstore;
} device_scope;
int store_device_set_scope(store *s, int64_t id, const device_scope *scope, uint64_t now_ms);
/* Of the device that an open code of this name will make. */
int store_enrol_set_scope(store *s, const char *name, const device_scope *scope);

/* Orders that the device's next contact begins with a snapshot; what it has not sent stays with it. */
int store_device_resnapshot(store *s, int64_t id, uint64_t now_ms);
/* For hello: whether it is to begin with a snapshot (1: not by going on with one that it has in part; 2: it was told before, and may go on), or 0; then as
 * ordered until the device acknowledges a cursor. */
int store_device_begin_resnapshot(store *s, int64_t id, int *begin);
/* Orders that the device compare all its rows, or make a new key: it is told at each contact until it has, that is until store_device_compared or store_key_used
 * says so. SATCHEL_E_MISUSE: it is not to come. */
int store_device_order(store *s, int64_t id, device_order order, uint64_t now_ms);
/* It has compared all its rows. `found`: some of the ranges that differed, as JSON [{"table": text, "keys": text, "device_rows": number, "store_rows": number}...]. *ordered:
 * an order has ended with it. */
int store_device_compared(store *s, int64_t id, const device_compared *c, const buf *found, bool *ordered);
/* What a hello told; written with the next commit. */
typedef struct device_seen {
    uint64_t now_ms;
    uint64_t acked_seq; /* the cursor that it came with; of a file put back it is lower than before */
    uint64_t pending;
    int64_t clock_offset_ms;
    uint32_t schema_epoch;
    const char *software; /* not terminated */
    size_t nsoftware;
    const table_waiting *waiting;    /* of `pending`, by table; those that the schema does not have are passed over */
    unsigned nwaiting;               /* 0: not told */
    uint64_t held_bytes, room_bytes; /* 0: not told */
} device_seen;
int store_device_seen(store *s, int64_t id, const device_seen *seen);
/* The device has made `acked_seq` durable. */
int store_device_acked(store *s, int64_t id, uint64_t acked_seq, uint64_t now_ms);
/* It is connected: counts as seen, if that was longer ago than `ago_ms`. */
int store_device_present(store *s, int64_t id, uint64_t now_ms, uint64_t ago_ms);
/* `results` of the transactions that were waiting on the device have their result. */
int store_device_answered(store *s, int64_t id, uint64_t results);
/* A stamp of this device had to be clamped: its clock is ahead. */
int store_device_clamped(store *s, int64_t id);

/* An author is an incarnation of a device, by a small number; 0 is the server. */
typedef struct author_info {
    uint32_t author;
    int64_t device;
    uint32_t incarnation;
    uint64_t last_number;    /* highest with a result */
    uint64_t last_effective; /* stamp */
    uint64_t shared; /* transactions up to here came with its file, and may be in others, too; UINT64_MAX: not known yet */
    bool alone;      /* the device has no other incarnation */
} author_info;
/* Finds, or makes: incarnation 1 of a new device, or one that a restored store no longer knows. SATCHEL_E_NOT_FOUND for incarnation 0. */
int store_author(store *s, int64_t device, uint32_t incarnation, author_info *out);
/* What an incarnation's file has by its first hello may be in another's, too. */
int store_author_shares(store *s, author_info *author, uint64_t last_number);
/* Which connection of each incarnation was accepted last, of those that have said hello: known until the next begin, as connections are. */
int store_begin_connections(store *s);
/* SATCHEL_E_SUPERSEDED: a later one has said hello, so what this one tells is of before. */
int store_author_connects(store *s, const author_info *author, uint64_t connection);
/* The same of a device's file that has no incarnation any more: whichever of the device's has connected later. */
int store_device_connects(store *s, int64_t device, uint64_t connection);
/* Gives the device its next incarnation (N3) and records the event. */
int store_author_fork(store *s, int64_t device, uint64_t now_ms, author_info *out);

/* ---- listing, for the admin; each calls visit for every row until it returns non-zero ---- */

typedef struct conflict_info {
    uint64_t id, seq, at_ms;
    const char *table, *column; /* column NULL: the whole row */
    const char *rule;
    const char *key;                       /* as SQL literals, comma-separated */
    const char *kept, *lost;               /* as SQL literals */
    const char *kept_device, *lost_device; /* names; "server" */
    uint64_t kept_stamp, lost_stamp;
    const char *state;    /* open, accepted, restored */
    uint64_t resolved_ms; /* 0: it is open */
} conflict_info;
typedef struct conflict_which {
    uint64_t id, limit; /* 0: of any; as many as there are */
    bool open;          /* those alone that nobody has settled */
} conflict_which;
typedef struct refused_info {
    const char *device;
    uint32_t incarnation;
    uint64_t number, at_ms, depends;
    int rc;
    const char *message, *table, *key;
    const char *state;   /* open, discarded, retried */
    const char *changes; /* JSON text of the refused changes */
} refused_info;
int store_devices(store *s, int (*visit)(void *ctx, const device_info *), void *ctx);
/* Newest first. */
int store_conflicts(store *s, const conflict_which *which, int (*visit)(void *ctx, const conflict_info *), void *ctx);
int store_refused(store *s, bool all, int (*visit)(void *ctx, const refused_info *), void *ctx);

typedef struct store_counts {
    uint64_t devices, active, rows, conflicts, rejected_open, log_rows, tombstones, bytes;
    uint64_t backup_seq, backup_ms; /* the newest backup; 0: none */
    uint64_t pending;               /* transactions that wait on active devices, as they last said */
    uint64_t silent_day;            /* active devices that were not heard of for a day */
    uint64_t alerts_open;           /* not closed */
    uint64_t alerts_critical;       /* of them */
} store_counts;
/* Silence is as of now_ms. */
int store_count(store *s, uint64_t now_ms, store_counts *out);

typedef struct checksum_truth checksum_truth;
/* Checks file, row clocks, log, tombstones, foreign keys and what is kept beside them, against each other; one line per finding in `report`; *problems
 * counts them. */
int store_verify(store *s, buf *report, unsigned *problems);
/* The same of a store that somebody else writes, as of one commit, through a connection of its own; and of the file of prepared snapshots (NULL: none).
 * SATCHEL_E_CLOSED if `watch` wants no more. `wants` (checksum_store.h; may be NULL) gets the rows that are not what the log says. */
int store_verify_files(const char *path, const char *snapshot_path, const progress *watch, buf *report, unsigned *problems,
                       checksum_truth *wants, buf *error);
/* Content hash of every synced table, for comparing sides: "table rows sha256" lines, sorted by name. */
int store_digest(store *s, buf *report);
int store_digest_file(const char *path, buf *report, buf *error); /* through a connection of its own */

/* ---- maintenance ---- */

/* Inside a transaction: a backup as of `seq` was made under this name. Its devices need not keep what it has (N7). */
int store_backed_up(store *s, uint64_t seq, const char *name, uint64_t now_ms);
/* When the last backup was noted, 0: never. */
int store_last_backup(store *s, uint64_t *at_ms);

/* Removes log, tombstones and results that every live device has acknowledged and that are older than history_ms; not all at once if there is very much.
 * A device that was not seen for its horizon (its profile's, else horizon_ms) does not count: it is fenced, finds the log gone when it comes back, sends what it has and
 * gets a snapshot. The results of what it sent stay until it has heard them. *removed counts log rows: call again soon while it is large. */
int store_prune(store *s, uint64_t now_ms, uint64_t history_ms, uint64_t horizon_ms, uint64_t *removed);
/* Outside a transaction, at a start: what the log has is on the disk (db_rewrite_log). A process that ended after a commit whose sync had failed leaves that commit
 * in the log as one that succeeded, and maybe in the system's memory alone; what is committed and acknowledged behind it would go with it. */
int store_rewrite_log(store *s);
/* Outside a transaction, in idle moments: gives back to the disk what is free in the file, a few MiB at once, and cuts a write-ahead log (of wal_bytes)
 * that grew beside a long reader. *more: call again soon. A store of format 1 keeps its free pages, and uses them again. */
int store_tidy(store *s, uint64_t wal_bytes, bool *more);

#endif
