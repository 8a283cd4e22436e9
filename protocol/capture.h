/* capture.h - records what SQL changes on one SQLite connection, and hands it over inside the same transaction.
 *
 * How: the preupdate hook appends each row change to a record (old and new values; a savepoint is a mark in it, a rollback to it
 * truncates). Constant-false triggers on every synced table bring the internal virtual table `satchel_tap` into each
 * writing transaction; its xSync, which runs inside the commit and may write and veto, consolidates the record per key and
 * gives the resulting changeset to a sink. What commits is captured, what does not commit is not: in any crash.
 *
 * The replica's sink writes the outbox. The server runs its own authors' SQL with the same capture, takes the changeset by
 * capture_flush, rolls the SQL back and ingests the changeset like anyone's.
 *
 * Invariant (C1, C2): the record is cleared in xCommit and xRollback only; xSync may run again after a failed COMMIT, and then
 * hands over the whole record again. One capture serves one connection, one thread at a time. */
#ifndef PROTOCOL_CAPTURE_H
#define PROTOCOL_CAPTURE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "protocol/limits.h"
#include "protocol/schema.h"
#include "protocol/value.h"

typedef struct capture capture;

/* Where changesets go. Each function returns SATCHEL_OK or a code that vetoes the commit. They may write the same database; what they
 * change is not captured, and last_insert_rowid() is restored afterwards (C6). `begin` is called before the first part of a
 * transaction, also on a repeated flush of the same transaction: it must then remove what it wrote for it before, if that is still there (a
 * ROLLBACK TO in between may have taken it). Nothing is called for a transaction without a net change, except `open`, and `begin` when a
 * repeated flush has become empty. SATCHEL_E_BUSY from the sink leaves the transaction open, as SQLITE_BUSY does; any other code ends it. */
typedef struct capture_sink {
    void *ctx;
    /* A transaction is about to change a synced table (xBegin: the write lock is held, nothing is recorded yet). May read the database and call
     * capture_set_schema, which is how a connection learns of a migration that another one has run. A code fails the statement. May be NULL. */
    int (*open)(void *ctx);
    int (*begin)(void *ctx, bool again);
    /* One part: a changeset of at most about LIMIT_PART_BYTES, valid during the call. Parts are numbered from 0. */
    int (*part)(void *ctx, unsigned number, bool last, const void *changeset, size_t n);
    /* The transaction was committed (true) or rolled back (false) after `begin`: forget its state. May be NULL. */
    void (*end)(void *ctx, bool committed);
} capture_sink;

/* Registers module, hooks and the SQL functions uuid7(), satchel_local(), satchel_refuse() and those of functions.h on `db`. At most one in a connection's life. What a large transaction spills
 * stays in memory if PRAGMA temp_store is MEMORY (2) by now, as an encrypted file's is; else it goes to an unlinked temporary file.
 * satchel_local() is 1 on this connection while capture is on, 0 while it is off.
 *
 * The preupdate, commit and rollback hooks of the connection are capture's own from here on. SATCHEL_E_HOOK if one of them was taken (it
 * is lost then). A preupdate hook (which every sqlite3_session is) or commit hook set later is thrown out, and the transaction in which it may have
 * hidden a change is refused with SATCHEL_E_HOOK (C6). */
int capture_open(sqlite3 *db, const capture_sink *sink, capture **out);
/* Before sqlite3_close. From here on the connection cannot write synced tables. */
void capture_close(capture *c);
/* What to capture; borrowed until the next call. Between transactions, or in the sink's `open`. NULL: nothing. A table that is not as the
 * descriptor says is not refused here: its changes are, at their commit. */
void capture_set_schema(capture *c, const schema *s);
/* Off: changes on this connection are neither captured nor refused (apply, migrations). A new capture is on. Between
 * transactions, or (where capture_flush is used) with nothing recorded. */
void capture_enable(capture *c, bool on);
/* What a statement says of the row of `key` (the values as they are stored), whether or not it changes it: of these columns (by their index among the
 * live ones) an update is recorded with what it leaves as it was, too. insert: it is one that met the row (CHANGESET_INSERT). */
typedef struct capture_said {
    const schema_table *table;
    value key[LIMIT_KEY_COLUMNS];
    bool insert, column[LIMIT_COLUMNS];
} capture_said;

/* Borrowed until the next call; NULL, as in a new capture: an update says what it changes. */
void capture_say(capture *c, const capture_said *said);
/* On: a row may fail the schema's checks (satchel_check). A new capture is off; one that is not enabled looks at no check anyway. */
void capture_unchecked(capture *c, bool on);

/* Creates the virtual table and, for each live synced table, the three triggers, in the caller's transaction; drops triggers of
 * tables that are gone. Idempotent. Needs the module, so a connection with capture. SATCHEL_E_TABLE_SHAPE, before anything is made, for a table
 * whose changes could not be read right: columns that are not the descriptor's, a virtual generated column, a WITHOUT ROWID table in
 * which SQLite would hand out a number as REAL that is none (its key columns must come first then). */
int capture_install(sqlite3 *db, const schema *s, buf *error);
/* Whether every synced table has a shape that can be captured: a server asks before it takes a migration that devices could not run.
 * SATCHEL_E_TABLE_SHAPE with words in `error`. */
int capture_check_tables(sqlite3 *db, const schema *s, buf *error);
/* C3: verifies that what capture_install made is there unchanged, that user triggers on synced tables mention satchel_local(), and that
 * the tables have the columns that the descriptor says. SATCHEL_E_UNFLUSHED, SATCHEL_E_TABLE_SHAPE with words in `error`. */
int capture_check(sqlite3 *db, const schema *s, buf *error);

/* For a connection without the virtual table (the server): consolidates the record of the open transaction and gives it to the sink, then
 * clears it. Returns what the sink returned, or a refusal with words in capture_error. Without the virtual table capture hears nothing of
 * savepoints and failed statements: if a statement fails or a savepoint is rolled back, the record is wrong and must be reset. */
int capture_flush(capture *c);
/* Forgets the record of the open transaction (server, after rolling back). */
void capture_reset(capture *c);
/* Why the last commit or flush, or a statement by a check, was refused, in words; "" if it was not. Valid until the next transaction. */
const char *capture_error(const capture *c);
/* The code that belongs to it. */
int capture_error_code(const capture *c);

/* Registers uuid7(), those of functions.h and a satchel_local() that is constantly `local` on a connection without capture. */
int capture_functions(sqlite3 *db, bool local);

#endif
