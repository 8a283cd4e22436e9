/* satchel.h - the whole public API of the Satchel replica: an ordinary SQLite database that keeps itself in step with a server.
 *
 * A program opens a file with satchel_open, takes the sqlite3 connection that satchel_db gives it, and uses SQL as it always did. Whatever it
 * commits there is captured in the same transaction, sent when there is a network, and merged on the server per field. What others write
 * comes back and is applied in short transactions beneath the program's own unsent edits. There need not be a network, for weeks.
 *
 *     satchel *s;
 *     if (satchel_open("crm.db", NULL, &s)) { fprintf(stderr, "%s\n", satchel_errmsg(s)); satchel_close(s); return 1; }
 *     satchel_enroll(s, code, "Ann's phone");          // once; the code comes from the admin
 *     satchel_start(s);                                // or call satchel_poll(s, 1000) from a loop of your own
 *     sqlite3_exec(satchel_db(s), "UPDATE contact SET phone = '555' WHERE id = x'0a'", 0, 0, 0);
 *     satchel_close(s);
 *
 * RESULTS. Functions that return int give 0 (SATCHEL_OK) or a negative code of satchel_rc.h; satchel_errmsg tells more, in words.
 * satchel_rc_class tells what to do about a code: RETRY (later, by itself), PERMANENT (a person must act), MISUSE, FATAL.
 *
 * WHAT SYNCS. Tables come from the server as numbered migrations; a table that the server's schema declares is synced, any other
 * table in the file is the program's own. Names that begin with "satchel_" are Satchel's. The recommended key is a blob made by the SQL
 * function uuid7(). satchel_id(a, b, ...) makes the same id of the same arguments everywhere; satchel_now() is the time in milliseconds since 1970, day_of(ms) and
 * month_of(ms) give the day and the month of such (UTC), fold(text) a text without case and marks, for searching. Triggers of yours that write synced tables must begin with WHEN satchel_local(), which is 1 on the program's
 * connection and 0 while changes of others are applied.
 *
 * WHAT A COMMIT MAY BE REFUSED FOR. COMMIT (or an autocommit statement) fails with SQLITE_ERROR or SQLITE_CONSTRAINT, and the
 * transaction is as it was before, if a synced row has NULL in its key, a value is over 768 KiB, a change came past the capture
 * (sqlite3_blob_write, a dropped trigger), or a migration changed the table in between (SATCHEL_E_SCHEMA: run the transaction again).
 * satchel_errmsg has the words.
 *
 * WHAT A STATEMENT MAY BE REFUSED FOR. One that leaves a row which fails a check of the server's schema fails with SQLITE_CONSTRAINT_TRIGGER, as one that fails a
 * CHECK does with its code: nothing of it is left, and an open transaction goes on. sqlite3_errmsg and satchel_errmsg say "CODE: words", satchel_errcode is
 * SATCHEL_E_CHECK; the server would say the same. The table satchel_check has all of them: code, tbl, col (the column to point at, or NULL), check_sql, words.
 *
 * READING WHAT GOES ON, IN SQL. On any connection, even one without this library:
 *   satchel_status     one row: device, host, cursor, pending, refused, conflicts, last_sync_ms, last_error ...
 *   satchel_outbox     one row per transaction: n, state (0 pending, 1 accepted, 2 confirmed, 3 refused, 4 discarded), seq, code, message ...
 *   satchel_rejected   one row per refused transaction: n, code, name, text, tbl, key, refused_ms
 *   satchel_conflicts  one row per value of this device that lost to another: tbl, col, key, kept, lost, rule, kept_ms, lost_ms
 * Only read these. Writing needs this library: a plain connection fails with "no such module: satchel_tap".
 *
 * THREADS. One handle may be used by several threads at once if SQLite is built thread-safe (it is, unless you changed it); only satchel_start,
 * satchel_stop, satchel_enroll and satchel_close want one thread at a time, and nobody uses it during satchel_close. Calls wait for each other as long as
 * a short transaction or the look-up of the server's name takes, never for the rest of the network; satchel_poll and satchel_enroll alone wait for that.
 * The connection of satchel_db obeys SQLite's own rules: threads that share it share its transaction. So a thread whose transactions have
 * several statements opens a handle of its own on the same file. Callbacks run in the thread that syncs: the one in satchel_poll, or the
 * background thread of satchel_start; they may use satchel_get_status, satchel_discard, satchel_errmsg and SQL, not satchel_close, satchel_stop or
 * satchel_poll.
 *
 * HANDLES AND PROCESSES. Several handles, in one or several processes, may have one file open (with one identity directory) and write; each
 * captures what it commits.
 *   Writing   One transaction writes at a time. Another waits up to busy_timeout_ms and then gets SQLITE_BUSY; one that has read before it writes, while
 *             somebody committed in between, gets SQLITE_BUSY_SNAPSHOT at once: roll back and begin anew, best with BEGIN IMMEDIATE.
 *   Syncing   One handle at a time syncs the file: the first that calls satchel_poll or satchel_start, until its satchel_stop (of a thread),
 *             its satchel_close, or the end of its process, however it ends. Then another goes on: a background thread by itself, within a second.
 *             For the others satchel_poll gives SATCHEL_E_BUSY after its timeout, their state is SATCHEL_OFFLINE, and on_change and on_event stay silent; what
 *             they commit is sent by the one that syncs, which looks for it twice a second.
 *   The file  What is in it is everybody's: rows, the counts of satchel_get_status, the views above, satchel_discard and satchel_retry.
 *   Wiped     An admin can have a device's data erased. Whoever syncs when the server says so removes the database with everything that was not
 *             sent, tells the server, removes the identity, and gives SATCHEL_E_WIPED; killed in the middle, it is taken up by the next satchel_open or
 *             satchel_poll. From then on every call on every handle of the file gives SATCHEL_E_WIPED: close it. A statement on satchel_db, or on a plain
 *             connection that is open, fails with "no such table". A transaction that was open for longer than busy_timeout_ms reads on, and its COMMIT in
 *             synced tables is refused. A file that was removed by hand while it was open is treated alike.
 * No handle survives fork(): open the file in the child. The file lies on a local file system, as SQLite's WAL needs shared memory.
 */
#ifndef SATCHEL_H
#define SATCHEL_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "satchel_rc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct satchel satchel;

/* Options of satchel_open. Set `size`, zero the rest, set what you want: fields may be added at the end in later versions.
 *     satchel_options o = {sizeof o}; */
typedef struct satchel_options {
    size_t size;          /* sizeof(satchel_options) */
    unsigned flags;       /* SATCHEL_OPEN_* */
    int busy_timeout_ms;  /* how long either connection waits for the other's lock; 0 means 5000 */
    const char *identity; /* directory of key.pem, cert.pem and ca.pem; NULL means "<path>-satchel". Copied. */
    /* The app's name and version, "acme-crm/2.1"; the server shows "satchel/<version>" after it, and beside it the platform as uname(2) names it, "Linux 6.1; x86_64".
     * May be NULL. Copied, cut at 64 bytes. */
    const char *software;
    /* Lines for a log, without newline; may be called from the syncing thread. No secrets, no row contents. NULL: none. */
    void (*log)(void *ctx, int rc, const char *line);
    void *log_ctx;
    /* The key that the file is encrypted with, any bytes: 32 random ones from the system's key store, or a passphrase. Both connections get it. It is
     * read during satchel_open and not kept; overwrite it then. Needs an SQLite that encrypts: see "At rest" in replica/README.md. */
    const void *key;
    size_t key_bytes; /* up to 4096; 0: the file is not encrypted */
} satchel_options;

enum {
    SATCHEL_OPEN_EXISTING = 1, /* fail with SATCHEL_E_NOT_FOUND if there is no file; without it one is created */
    SATCHEL_OPEN_ADOPT =
        2 /* an existing SQLite database with tables of its own may become a Satchel file; without it SATCHEL_E_FOREIGN_FILE */
};

/* Opens or creates the file at `path` (UTF-8), in WAL mode, with two connections: the program's and one for syncing. `options` may be NULL.
 *
 * On failure *out is still a handle (NULL only when memory is out) on which satchel_errmsg, satchel_errcode and satchel_close work and
 * satchel_db is NULL:
 *   SATCHEL_E_NOT_A_DATABASE, _CORRUPT   damaged: restore it from elsewhere, or move it away and enrol anew
 *   SATCHEL_E_KEY                        encrypted with another key, or no key was given; or not encrypted, and a key was given
 *   SATCHEL_E_MISUSE                     a key was given, and this SQLite cannot encrypt: nothing was made or changed
 *   SATCHEL_E_FOREIGN_FILE, _NEWER_FILE  somebody else's database, or a newer Satchel's
 *   SATCHEL_E_WIPED                      an admin had the data erased and that had not come to its end: now it has, but for a server that could not be told
 *                                        within ten seconds; that is tried again at the next satchel_open, which gives this code until then
 *   SATCHEL_E_READONLY                   the file or its directory cannot be written
 *   SATCHEL_E_BUSY                       another process holds it exclusively
 *   SATCHEL_E_UNFLUSHED, _TABLE_SHAPE    capture triggers are missing or changed, or a table was altered by hand; errmsg says which and what to do
 *   SATCHEL_E_IO, _FULL, _NOMEM */
SATCHEL_API int satchel_open(const char *path, const satchel_options *options, satchel **out);

/* Stops a background thread, closes both connections (the program's lives on, of no more use, until it has finalised its statements) and frees the
 * handle. Nothing is lost: unsent transactions stay in the file. NULL is allowed. */
SATCHEL_API void satchel_close(satchel *s);

/* The program's connection; owned by the handle, closed by satchel_close. Do not call sqlite3_close, sqlite3_preupdate_hook,
 * sqlite3_commit_hook or sqlite3session_create on it: the first frees what Satchel uses, the others replace its capture, and the next commit
 * is then refused with SATCHEL_E_HOOK. Everything else is free: savepoints, triggers, attached databases, FTS5, prepared statements over a
 * migration (they prepare themselves again). Who sets checkpoints of his own (PRAGMA wal_autocheckpoint, sqlite3_wal_hook) has to look at what they return:
 * after one that failed, Satchel's write the log anew before the next, since a system may forget what an fsync could not write. */
SATCHEL_API sqlite3 *satchel_db(satchel *s);

/* Makes this file a device of a server. `code` is the one-time enrolment code ("satchel1...."); `name` is what the admin sees (UTF-8, up to 64
 * bytes). Makes a key pair in the identity directory (it never leaves the device), has it certified, and notes where the server is. Blocks for
 * one HTTPS request, at most 30 seconds. Also used to renew an expired certificate: rows and unsent transactions stay.
 *   SATCHEL_E_ENROL_CODE, _ENROL_USED, _EXPIRED  ask the admin for another code
 *   SATCHEL_E_PIN                                the server that answered is not the one that the code names
 *   SATCHEL_E_NETWORK, _TIMEOUT                  try again later; the code is not spent
 *   SATCHEL_E_IO, _FULL, _READONLY               the identity directory cannot be written */
SATCHEL_API int satchel_enroll(satchel *s, const char *code, const char *name);

/* Makes a new key pair for this device, as an admin may order by the server. On the next connection the server certifies it and from the connection after on knows the device by it;
 * until then the old one goes on. The certificate itself needs no call: it is renewed in the last third of its life, at any sync.
 *   SATCHEL_E_NOT_ENROLLED; _IO, _FULL, _READONLY: the identity directory cannot be written */
SATCHEL_API int satchel_rotate_key(satchel *s);

/* Ends this device: tells the server, if it can be reached within 10 seconds, and erases the database with what SQLite keeps beside it, the key and the
 * certificates. Refuses with SATCHEL_E_UNSENT and *unsent (may be NULL), the transactions that would be lost: those that were not sent and those that were
 * refused and nobody has settled, if there are more than `give_up`; 0 gives up none. Sync before it, or save them (`satchel export --pending`).
 * Stops a background thread; other calls of this handle wait meanwhile, and afterwards only satchel_close is of use. Close other handles first.
 *   SATCHEL_E_UNSENT     nothing was done
 *   SATCHEL_E_BUSY       another handle or process syncs the file, or a transaction is open; nothing was done
 *   SATCHEL_E_IO, _FULL, _READONLY  nothing was done, as nothing can be written beside the database; or it could not erase everything, and the next
 *                        satchel_open goes on with that */
SATCHEL_API int satchel_sign_out(satchel *s, uint64_t give_up, uint64_t *unsent);

/* Does what there is to do (connect, send, receive, apply) and waits for more, until `timeout_ms` has passed (0: do not wait; negative: no
 * bound) or until something arrived and everything is in step again. Connections are opened and, after failures, opened again with
 * growing, jittered pauses by themselves; a failure that passes is no error of this function. Returns 1 if everything is in step (all sent, results known, at the server's head), 0 if not yet, or
 *   SATCHEL_E_NOT_ENROLLED     call satchel_enroll first
 *   a code of class PERMANENT  a person must act (revoked, expired, wrong version ...). The program may go on offline; further calls
 *                              give the code again, and ask the server again every few minutes, or at once after satchel_enroll
 *   SATCHEL_E_WIPED            the data were erased (see above); the call may take ten seconds longer, to tell the server. Close the handle
 *   a code of class FATAL      the file cannot go on
 *   SATCHEL_E_BUSY             another handle or process syncs this file; it waited for `timeout_ms`
 *   SATCHEL_E_MISUSE           a background thread runs */
SATCHEL_API int satchel_poll(satchel *s, int timeout_ms);

/* Runs satchel_poll's loop in a thread of its own until satchel_stop or satchel_close. Starting twice is no error.
 * SATCHEL_E_NOMEM or _INTERNAL if no thread can be made. */
SATCHEL_API int satchel_start(satchel *s);
/* Ends the thread and the connection; returns when it has ended (at most the time of one short transaction). */
SATCHEL_API void satchel_stop(satchel *s);

typedef enum satchel_sync_state {
    SATCHEL_OFFLINE = 0,    /* no connection; one is tried when it is time */
    SATCHEL_CONNECTING = 1, /* connecting, or waiting for welcome */
    SATCHEL_SYNCING = 2,    /* catching up */
    SATCHEL_IN_STEP = 3,    /* connected, nothing to send or to receive */
    SATCHEL_STOPPED = 4     /* a person must act: last_error */
} satchel_sync_state;

/* Set `size` before the call; only fields within it are written. */
typedef struct satchel_status_info {
    size_t size;
    satchel_sync_state state; /* of this handle; OFFLINE if another process syncs */
    int enrolled;             /* 1 after satchel_enroll */
    uint64_t pending;         /* transactions without a result */
    uint64_t accepted;        /* accepted, not yet seen in a page */
    uint64_t refused;         /* refused, not yet resolved */
    uint64_t conflicts;       /* rows in satchel_conflicts */
    uint64_t cursor;          /* the server commit up to which this file is complete */
    uint64_t head;            /* the newest server commit that was heard of */
    uint32_t schema_epoch;    /* number of the newest migration here */
    uint32_t incarnation;
    uint64_t rows_done, rows_total; /* of a first sync in progress; both 0 otherwise */
    uint64_t last_sync_ms;          /* when everything was in step last, milliseconds since 1970; 0 never */
    int64_t clock_offset_ms;        /* the server's clock minus this device's, at the last contact */
    int last_error;                 /* of the last attempt to sync; 0 after a good one */
    char last_error_text[256];
    char device[65]; /* fingerprint of this device's key, hexadecimal; "" before enrolment */
    char host[256];  /* of the server; "" before enrolment */
    uint16_t port;
} satchel_status_info;

/* One read of the file and of the handle; does not wait for the network. SATCHEL_E_BUSY, _IO, _CORRUPT. */
SATCHEL_API int satchel_get_status(satchel *s, satchel_status_info *out);

/* Called after changes of others (or corrections of own ones) to rows of `table` were committed, once per table and transaction. NULL ends it.
 * What the program itself commits is not announced. */
SATCHEL_API void satchel_on_change(satchel *s, void (*changed)(void *ctx, const char *table), void *ctx);

typedef enum satchel_event_type {
    SATCHEL_EVENT_STATE = 1,    /* `state` changed; `rc` and `text` say why when it became OFFLINE or STOPPED */
    SATCHEL_EVENT_REFUSED = 2,  /* transaction `number` was refused, its changes undone: rc, text, table. See satchel_refusal */
    SATCHEL_EVENT_CONFLICT = 3, /* a value of this device lost (a new row of satchel_conflicts): number, table */
    SATCHEL_EVENT_SCHEMA = 4,   /* a migration was applied: `number` is the schema epoch, `text` its name */
    SATCHEL_EVENT_FORKED = 5,   /* the file had been restored or copied; it goes on as incarnation `number` and nothing is lost */
    SATCHEL_EVENT_PROGRESS = 6, /* first sync: `number` rows of `total` */
    SATCHEL_EVENT_CLOCK = 7,    /* this device's clock is wrong by more than five minutes; `text` says by how much */
    SATCHEL_EVENT_REPAIRED = 8, /* `number` rows of `table` were not what the server has, and now are; rc: some could not be */
    SATCHEL_EVENT_CHECKED = 9,  /* `total` rows were compared with the server, `number` repaired; rc: not all, E_BUSY: not now */
    SATCHEL_EVENT_SETTLED = 10  /* an admin settled the refusal of `number`: `text`; REFUSED again: a server put back lost that */
} satchel_event_type;

typedef struct satchel_event {
    satchel_event_type type;
    satchel_sync_state state;
    int rc;
    uint64_t number;
    uint64_t total;
    const char *table; /* "" if none; valid during the call, as text is */
    const char *text;  /* "" if none */
} satchel_event;

/* NULL ends it. */
SATCHEL_API void satchel_on_event(satchel *s, void (*event)(void *ctx, const satchel_event *e), void *ctx);

/* Gives up transaction `number`: one that was refused (the server is told, so that nobody else needs to look after it), or a
 * pending one that was never sent (its changes are undone here; what later transactions changed stays; a refusal that it was a retry of ends with it).
 *   SATCHEL_E_NOT_FOUND  there is no such transaction
 *   SATCHEL_E_BUSY       it was sent and has no result yet, or the database is locked
 *   SATCHEL_E_RESOLVED   it was discarded, retried or accepted before */
SATCHEL_API int satchel_discard(satchel *s, uint64_t number);

/* Runs the changes of refused transaction `number` again as a new transaction on the program's connection, on the rows as they are now
 * (an insert whose row is there sets what it says something of, which is neither NULL nor a default; updates set, counters add, deletes delete), and marks the old one as resolved by it. Fix the cause first. Between
 * transactions only, in the thread that uses satchel_db.
 *   SATCHEL_E_NOT_FOUND  there is no refused transaction of that number
 *   SATCHEL_E_RESOLVED   it was resolved before, here or by an admin; also of a retry that was refused for that
 *   SATCHEL_E_ROW_MISSING  a row that it updates is not here any more, deleted or left: nothing was done; discard it, or write it anew
 *   SATCHEL_E_MISUSE     a transaction is open on satchel_db
 *   SATCHEL_E_BUSY and what a COMMIT may be refused for */
SATCHEL_API int satchel_retry(satchel *s, uint64_t number);

/* Begins a transaction on satchel_db in which the changes of refused transaction `number` are made again, as satchel_retry makes them. Change with SQL
 * what was wrong, then COMMIT: all that the transaction has changed then stands in the outbox in the place of the refused one, in that one commit.
 * ROLLBACK, or an end of the program, and nothing was done. CHECK constraints and checks are passed over while the changes are made again, and looked at when
 * SQL changes them; foreign keys are looked at in the COMMIT. If nothing is changed in the end, the refusal stays: satchel_discard ends it.
 *   the codes of satchel_retry; SATCHEL_E_ROW_MISSING also if nothing of it can be made again */
SATCHEL_API int satchel_edit(satchel *s, uint64_t number);

/* Tells of refused transaction `number` what was wanted and what the server has, as one JSON object (freed with sqlite3_free):
 *   {"transaction":7,"code":"E_CHECK","rule":"check","text":...,"table":"contact","key":"99","depends":0,"refused_ms":...,"changes":[
 *     {"table":"contact","op":"insert|update|delete","key":{"id":{"base64":"mQ=="}},
 *      "was":{...},       what the update, or the deletion, found
 *      "wanted":{...},    what it set: every column of an insert, those that an update changed; {} of a deletion
 *      "server":{...}},   the columns of the row as it is confirmed here, without unsent edits; null: there is none, or it has left
 *     ...]}
 * A blob is {"base64":...}, infinity {"real":"Infinity"}. `rule` is null for a code that names none (satchel_rc_rule), `text` the server's words. Of a long
 * transaction the first 1,000 changes are told, and "more" is true.
 *   SATCHEL_E_NOT_FOUND, _RESOLVED as satchel_retry; _BUSY */
SATCHEL_API int satchel_refusal(satchel *s, uint64_t number, char **json);

/* Checks the file: SQLite's integrity_check, capture triggers, tables against the schema, that every transaction of the outbox is whole and can be
 * read, that what is noted of the server fits it, and that the overlay of unsent edits adds up. Appends one line per fault to *report (freed with
 * sqlite3_free; NULL when there is none); lines that begin with "note: " are no faults. 0 if all is well, SATCHEL_E_CORRUPT if a fault was found. */
SATCHEL_API int satchel_verify(satchel *s, char **report);

/* Has all rows compared with the server's, and those that differ repaired, once everything is in step next; it begins the comparison, anew where one is under
 * way, and does not wait for it. satchel_poll says 1 only after it; SATCHEL_EVENT_REPAIRED and _CHECKED tell what came of it. Without this it is done about
 * once a day, however short a handle's life; satchel_poll waits for that too.
 *   SATCHEL_E_NOT_ENROLLED */
SATCHEL_API int satchel_check(satchel *s);

/* What went wrong last on this handle, in words: of the last function that failed, in whichever thread, or why the last commit on satchel_db, or
 * a statement by a check, was refused. Never NULL; "" if nothing did. A copy for the calling thread, valid until this thread's next call of satchel_errmsg. Waits, as sqlite3_errmsg does,
 * while another thread is inside a statement of the connection. NULL handle: "out of memory". */
SATCHEL_API const char *satchel_errmsg(satchel *s);
/* The code that belongs to it. */
SATCHEL_API int satchel_errcode(satchel *s);

/* "0.1.0". Static. */
SATCHEL_API const char *satchel_version(void);

#ifdef __cplusplus
}
#endif
#endif
