#include "protocol/db.h"

#include <stdarg.h>
#include <string.h>

#include "protocol/satchel_rc.h"

int db_rc(int sqlite_rc) {
    switch (sqlite_rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SATCHEL_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SATCHEL_E_BUSY;
    case SQLITE_NOMEM:
        return SATCHEL_E_NOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return SATCHEL_E_READONLY;
    case SQLITE_FULL:
        return SATCHEL_E_FULL;
    case SQLITE_CORRUPT:
        return SATCHEL_E_CORRUPT;
    case SQLITE_NOTADB:
        return SATCHEL_E_NOT_A_DATABASE;
    case SQLITE_TOOBIG:
        return SATCHEL_E_TOO_LARGE;
    case SQLITE_IOERR: /* the file that WAL's readers share cannot grow: no room */
        return sqlite_rc == SQLITE_IOERR_SHMSIZE ? SATCHEL_E_FULL : SATCHEL_E_IO;
    case SQLITE_CONSTRAINT:
        switch (sqlite_rc) {
        case SQLITE_CONSTRAINT_NOTNULL:
            return SATCHEL_E_NOT_NULL;
        case SQLITE_CONSTRAINT_UNIQUE:
            return SATCHEL_E_UNIQUE;
        case SQLITE_CONSTRAINT_PRIMARYKEY:
        case SQLITE_CONSTRAINT_ROWID:
            return SATCHEL_E_KEY_TAKEN;
        case SQLITE_CONSTRAINT_FOREIGNKEY:
            return SATCHEL_E_FOREIGN_KEY;
        default:
            return SATCHEL_E_CHECK;
        }
    default:
        return SATCHEL_E_INTERNAL;
    }
}

bool db_is_failure(int rc) {
    switch (rc) {
    case SATCHEL_E_BUSY:
    case SATCHEL_E_IO:
    case SATCHEL_E_FULL:
    case SATCHEL_E_READONLY:
    case SATCHEL_E_CORRUPT:
    case SATCHEL_E_NOT_A_DATABASE:
    case SATCHEL_E_NOMEM:
        return true;
    default:
        return false;
    }
}

void db_cache_init(db_cache *c, sqlite3 *db) {
    memset(c, 0, sizeof *c);
    c->db = db;
}

void db_cache_fini(db_cache *c) {
    for (unsigned i = 0; i < DB_CACHE_SLOTS; i++) sqlite3_finalize(c->slot[i].stmt);
    memset(c, 0, sizeof *c);
}

sqlite3_stmt *db_prepare(db_cache *c, const char *sql) {
    unsigned at = (unsigned)((uintptr_t)sql >> 3) * 2654435761u % DB_CACHE_SLOTS;
    for (unsigned i = 0; i < DB_CACHE_SLOTS; i++, at = (at + 1) % DB_CACHE_SLOTS) {
        if (c->slot[at].sql == sql) {
            sqlite3_reset(c->slot[at].stmt);
            sqlite3_clear_bindings(c->slot[at].stmt);
            return c->slot[at].stmt;
        }
        if (!c->slot[at].sql) break;
    }
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK) return NULL;
    c->slot[at].sql = sql;
    c->slot[at].stmt = stmt;
    return stmt;
}

static int bind_all(sqlite3_stmt *stmt, const char *format, va_list args) {
    int failed = SQLITE_OK;
    for (int i = 1; *format && !failed; i++, format++) {
        switch (*format) {
        case 'i':
            failed = sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
            break;
        case 's':
            failed = sqlite3_bind_text(stmt, i, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'b': {
            const void *p = va_arg(args, const void *);
            size_t n = va_arg(args, size_t);
            failed = sqlite3_bind_blob64(stmt, i, p, n, SQLITE_STATIC);
            break;
        }
        default:
            failed = sqlite3_bind_null(stmt, i);
        }
    }
    return db_rc(failed);
}

int db_bind(sqlite3_stmt *stmt, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int rc = stmt ? bind_all(stmt, format, args) : SATCHEL_OK;
    va_end(args);
    return rc;
}

int db_run(sqlite3_stmt *stmt) {
    int step = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    return step == SQLITE_DONE || step == SQLITE_ROW ? SATCHEL_OK
                                                     : db_rc(reset ? sqlite3_extended_errcode(sqlite3_db_handle(stmt)) : step);
}

int db_exec(db_cache *c, const char *sql, const char *format, ...) {
    sqlite3_stmt *stmt = db_prepare(c, sql);
    if (!stmt) return db_rc(sqlite3_extended_errcode(c->db));
    va_list args;
    va_start(args, format);
    int rc = bind_all(stmt, format, args);
    va_end(args);
    return rc ? rc : db_run(stmt);
}

int db_end(db_cache *c, const char *sql) {
    int rc = db_exec(c, sql, "");
    for (unsigned i = 1; rc && i < DB_END_TRIES && !sqlite3_get_autocommit(c->db); i++) rc = db_exec(c, sql, "");
    return rc;
}

int db_next(db_cache *c, sqlite3_stmt *stmt) {
    if (!stmt) return db_rc(sqlite3_extended_errcode(c->db));
    int step = sqlite3_step(stmt);
    if (step == SQLITE_ROW) return 1;
    if (step == SQLITE_DONE) {
        sqlite3_reset(stmt);
        return 0;
    }
    int rc = db_rc(sqlite3_extended_errcode(c->db));
    sqlite3_reset(stmt);
    return rc;
}

int db_integer(db_cache *c, const char *sql, int64_t otherwise, int64_t *out) {
    sqlite3_stmt *stmt = db_prepare(c, sql);
    int rc = db_next(c, stmt);
    *out = otherwise;
    if (rc < 0) return rc;
    if (rc == 1) {
        if (sqlite3_column_type(stmt, 0) != SQLITE_NULL) *out = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
    }
    return SATCHEL_OK;
}

void db_explain(sqlite3 *db, const char *what, buf *error) {
    buf_printf(error, "%s: %s", what, db ? sqlite3_errmsg(db) : "out of memory");
}

/* In pieces smaller than any page: a VFS that encrypts takes what has the size of one for one. */
static int write_again(sqlite3_file *log) {
    uint8_t piece[500];
    sqlite3_int64 size = 0;
    int rc = log->pMethods->xFileSize(log, &size);
    for (sqlite3_int64 at = 0; !rc && at < size; at += (int)sizeof piece) {
        int n = size - at < (sqlite3_int64)sizeof piece ? (int)(size - at) : (int)sizeof piece;
        rc = log->pMethods->xRead(log, piece, n, at);
        if (!rc) rc = log->pMethods->xWrite(log, piece, n, at);
    }
    return rc || !size ? rc : log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

int db_rewrite_log(sqlite3 *db) {
    sqlite3_file *log = NULL;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (!rc && log->pMethods) rc = write_again(log);
    return db_rc(rc);
}
