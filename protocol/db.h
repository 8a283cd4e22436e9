/* db.h - a few helpers over SQLite that both ends share: code mapping and a statement cache. */
#ifndef PROTOCOL_DB_H
#define PROTOCOL_DB_H

#include <sqlite3.h>

#include "protocol/buf.h"

/* A SQLite result code (extended or not) as ours; SQLITE_OK, _ROW and _DONE are SATCHEL_OK. */
int db_rc(int sqlite_rc);
/* Whether such a code says that the database failed, not what was asked of it: the whole transaction must be undone. */
bool db_is_failure(int rc);

/* Prepared statements of one connection, found by the address of their SQL literal. The server's store, which has most, has some 300 literals: a cache must not be
 * full, because a statement that is in use cannot give way. */
#define DB_CACHE_SLOTS 1024u
typedef struct db_cache {
    sqlite3 *db;
    struct {
        const char *sql;
        sqlite3_stmt *stmt;
    } slot[DB_CACHE_SLOTS];
} db_cache;
void db_cache_init(db_cache *c, sqlite3 *db);
void db_cache_fini(db_cache *c);
/* The statement, reset and without bindings; NULL if it cannot be prepared (see sqlite3_errmsg). `sql` must be a literal. */
sqlite3_stmt *db_prepare(db_cache *c, const char *sql);

/* Binds by a format, parameter 1 onwards: i int64, s text or NULL, b pointer and size_t (blob; NULL pointer binds NULL), z null. Borrowed bytes.
 * Only a text can fail, for want of memory, in a database of another encoding than UTF-8: then it and what follows are left NULL. A NULL statement
 * is passed over, for db_next to tell of. */
int db_bind(sqlite3_stmt *stmt, const char *format, ...);
/* Steps a statement that gives no row; resets it. */
int db_run(sqlite3_stmt *stmt);
/* Prepares, binds, runs. */
int db_exec(db_cache *c, const char *sql, const char *format, ...);
/* Ends a transaction that only read, or goes back in one that wrote: COMMIT, ROLLBACK, ROLLBACK TO. It is to be prepared before there is need of it; but where
 * the schema or the authorizer has changed since, SQLite prepares it anew, which fails without memory. So it is tried DB_END_TRIES times, while memory comes
 * and goes; after a failure all is as it was. */
#define DB_END_TRIES 100
int db_end(db_cache *c, const char *sql);
/* Steps: 1 a row, 0 done (reset), negative code (reset). A NULL statement gives the connection's error. */
int db_next(db_cache *c, sqlite3_stmt *stmt);
/* The first column of the first row as an integer; `otherwise` if there is no row or it is NULL. */
int db_integer(db_cache *c, const char *sql, int64_t otherwise, int64_t *out);

/* Writes each byte of the main database's write-ahead log again as it is, and syncs it; in a write transaction, whose lock keeps the log from growing or beginning
 * anew meanwhile, while who reads it reads the same bytes. It is for after a sync of the log that failed: Linux takes what an fsync could not write as written,
 * the next one says that all is well, and after a loss of power SQLite ends the log where something is missing, before all that was committed later (Rebello
 * et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). */
int db_rewrite_log(sqlite3 *db);

/* Appends the error of the connection to `error` with `what` before it. */
void db_explain(sqlite3 *db, const char *what, buf *error);

#endif
