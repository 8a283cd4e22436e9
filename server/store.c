/* The store's file: layout, opening, transactions, position. Devices and listings are in store_device.c and store_admin.c. */
#include "server/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "server/os.h"
#include "server/scope_private.h"
#include "server/store_private.h"

#define STORE_APPLICATION_ID 0x53617453 /* "SatS" */

int store_fail(store *s, int rc, const char *what) {
    buf_clear(&s->error);
    if (sqlite3_errcode(s->db) != SQLITE_OK && rc != SATCHEL_OK)
        db_explain(s->db, what, &s->error);
    else
        buf_printf(&s->error, "%s", what);
    return rc;
}

const char *store_error(const store *s) {
    return s->error.n ? (const char *)s->error.p : "";
}

const schema *store_schema(const store *s) {
    return s->schema;
}

sqlite3 *store_db(store *s) {
    return s->db;
}

store_position store_where(const store *s) {
    return s->open ? s->now : s->committed;
}

uint64_t store_released(const store *s) {
    store_position p = store_where(s);
    uint64_t old = s->history_seq > p.floor ? s->history_seq : p.floor;
    return old > p.backup_seq ? old : p.backup_seq;
}

uint64_t store_next_seq(store *s) {
    return ++s->now.seq;
}

/* ---- opening ---- */

static int pragma_text(sqlite3 *db, const char *sql, char *out, size_t room) {
    sqlite3_stmt *stmt = NULL;
    int sq = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    out[0] = 0;
    if (sq == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
        sqlite3_snprintf((int)room, out, "%s", (const char *)sqlite3_column_text(stmt, 0));
    int end = sqlite3_finalize(stmt);
    return db_rc(sq == SQLITE_OK ? end : sq);
}

/* The file is made by us first so that nobody but its owner can ever read it; -wal and -shm inherit its mode. */
static int make_private(const char *path, buf *error) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return os_fail(error, path, NULL, "cannot be opened for writing");
    close(fd);
    return SATCHEL_OK;
}

/* *format: of the file; 0 if there is nothing in it yet. */
static int check_identity(store *s, const char *path, int *format, buf *error) {
    char text[32];
    int rc = pragma_text(s->db, "PRAGMA application_id", text, sizeof text);
    if (rc) {
        buf_printf(error, "%s: %s", path, sqlite3_errmsg(s->db));
        return rc;
    }
    long application = strtol(text, NULL, 10);
    if ((rc = pragma_text(s->db, "SELECT count(*) FROM sqlite_master", text, sizeof text))) {
        buf_printf(error, "%s: %s", path, sqlite3_errmsg(s->db));
        return rc;
    }
    bool fresh = strcmp(text, "0") == 0;
    if (application != STORE_APPLICATION_ID && (application || !fresh)) {
        buf_printf(error, "%s: is a SQLite database, but not a Satchel store; name another file", path);
        return SATCHEL_E_FOREIGN_FILE;
    }
    if ((rc = pragma_text(s->db, "PRAGMA user_version", text, sizeof text))) {
        buf_printf(error, "%s: %s", path, sqlite3_errmsg(s->db));
        return rc;
    }
    *format = fresh ? 0 : (int)strtol(text, NULL, 10);
    if (*format > store_format()) {
        buf_printf(error, "%s: was written by a newer satcheld (format %s, this one knows %d); start that one", path, text,
                   store_format());
        return SATCHEL_E_NEWER_FILE;
    }
    return SATCHEL_OK;
}

/* `as` names the epoch that a restore began before this file was ever opened again: it begins where the backup ends. With NULL, and a random name, it may have
 * been at work since it was put back, and nobody knows from where on. What is certain is the past up to the last epoch and backup that are noted in it, for they
 * were before this copy was made; and below the log's floor nothing could be told apart. What devices send again in vain has its result here. */
static int begin_epoch(store *s, const uint8_t *as, uint64_t now_ms) {
    uint8_t epoch[EPOCH_BYTES];
    int rc = as ? SATCHEL_OK : crypto_random(epoch, sizeof epoch);
    if (rc) return rc;
    if (as) memcpy(epoch, as, sizeof epoch);
    return db_exec(
        &s->cache,
        "INSERT INTO satchel_epoch(epoch,start_seq,at_ms)"
        " SELECT ?,CASE WHEN ? THEN seq ELSE max(floor,backup_seq,(SELECT coalesce(max(start_seq),0) FROM satchel_epoch)) END,?"
        " FROM satchel_server",
        "bii", epoch, sizeof epoch, (int64_t)(as != NULL), (int64_t)now_ms);
}

/* Makes the store, or brings one of an older format up to this one: whole, or not at all. */
static int lay_out(store *s, int format, uint64_t now_ms, buf *error) {
    char sql[64];
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id=%d", STORE_APPLICATION_ID);
    int rc = db_rc(sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    if (!rc) rc = db_rc(sqlite3_exec(s->db, sql, NULL, NULL, NULL));
    if (!rc) rc = store_layout(s->db, format);
    if (!rc && !format) rc = db_exec(&s->cache, "INSERT INTO satchel_server VALUES(1,0,0,0,0,?)", "i", (int64_t)now_ms);
    if (!rc && !format) rc = begin_epoch(s, NULL, now_ms);
    if (!rc) rc = schema_init(s->db, error); /* a format may have added to the registry */
    if (!rc) rc = db_rc(sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL));
    if (rc) {
        if (!error->n) db_explain(s->db, format ? "bringing the store to this version" : "making the store", error);
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

int store_reload_schema(store *s, buf *error) {
    schema *fresh = NULL;
    int rc = schema_load(s->db, &fresh, error);
    if (rc) return rc;
    schema_free(s->schema);
    s->schema = fresh;
    s->committed.schema_epoch = s->now.schema_epoch = fresh->epoch;
    memcpy(s->committed.schema_hash, fresh->hash, sizeof fresh->hash);
    memcpy(s->now.schema_hash, fresh->hash, sizeof fresh->hash);
    return SATCHEL_OK;
}

static int read_position(store *s) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT seq,floor,high_stamp,backup_seq,epoch,start_seq FROM satchel_server, satchel_epoch"
                              " ORDER BY n DESC LIMIT 1");
    int rc = db_next(&s->cache, q);
    if (!q && rc == SATCHEL_E_INTERNAL) return SATCHEL_E_CORRUPT; /* says that it is ours, and has not our tables */
    if (rc != 1) return rc < 0 ? rc : SATCHEL_E_CORRUPT;
    store_position *p = &s->committed;
    p->seq = (uint64_t)sqlite3_column_int64(q, 0);
    p->floor = (uint64_t)sqlite3_column_int64(q, 1);
    p->high_stamp = (uint64_t)sqlite3_column_int64(q, 2);
    p->backup_seq = (uint64_t)sqlite3_column_int64(q, 3);
    p->epoch_start = (uint64_t)sqlite3_column_int64(q, 5);
    bool whole = sqlite3_column_bytes(q, 4) == EPOCH_BYTES;
    if (whole) memcpy(p->epoch, sqlite3_column_blob(q, 4), EPOCH_BYTES);
    sqlite3_reset(q);
    return whole ? SATCHEL_OK : SATCHEL_E_CORRUPT;
}

static int open_database(store *s, const char *path, buf *error) {
    int rc = make_private(path, error);
    if (rc) return rc;
    int sq = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq != SQLITE_OK) {
        db_explain(s->db, path, error);
        return db_rc(sq);
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 10000);
    db_cache_init(&s->cache, s->db);
    return SATCHEL_OK;
}

/* How large the write-ahead log may stay on the disk once all of it is in the store. */
#define WAL_KEPT "67108864"

/* Once the file is known to be ours: the journal mode is written into it. A new file can give pages back (store_tidy); that must be said before its first
 * table, and an older one stays as it is. */
static int set_modes(store *s, const char *path, bool fresh, buf *error) {
    /* Foreign keys are checked by ingest, transaction by transaction; SQLite can only check them for the whole group commit. */
    int sq = fresh ? sqlite3_exec(s->db, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL) : SQLITE_OK;
    if (sq == SQLITE_OK)
        sq = sqlite3_exec(s->db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; PRAGMA cache_size=-65536;"
                          "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=" WAL_KEPT,
                          NULL, NULL, NULL);
    if (sq != SQLITE_OK) db_explain(s->db, path, error);
    return db_rc(sq);
}

static int begin_restored(store *s, const store_config *config) {
    uint64_t end;
    /* A start that was cut off after it had begun this epoch. */
    if (config->restored_as && store_epoch_known(s, config->restored_as, &end)) return SATCHEL_OK;
    int rc = store_begin(s);
    if (rc) return rc;
    rc = begin_epoch(s, config->restored_as, config->now_ms);
    if (rc) {
        store_rollback(s);
        return rc;
    }
    rc = store_commit(s);
    return rc ? rc : read_position(s);
}

/* Prepared when the store is opened: going back must work when memory is out, or the half that was done would be committed. */
static const char ROLLBACK[] = "ROLLBACK";
static const char ROLLBACK_TO[] = "ROLLBACK TO satchel_undo";
static const char RELEASE[] = "RELEASE satchel_undo";

static int prepare_ways_back(store *s) {
    bool ready = db_prepare(&s->cache, ROLLBACK) && db_prepare(&s->cache, ROLLBACK_TO) && db_prepare(&s->cache, RELEASE);
    return ready ? SATCHEL_OK : db_rc(sqlite3_extended_errcode(s->db));
}

int store_open(const store_config *config, store **out, buf *error) {
    *out = NULL;
    store *s = calloc(1, sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    int format = 0;
    int rc = open_database(s, config->path, error);
    if (!rc) rc = check_identity(s, config->path, &format, error);
    if (!rc) rc = set_modes(s, config->path, !format, error);
    if (!rc) rc = prepare_ways_back(s);
    if (!rc) rc = scope_register_now(s->db, &s->scope_now_ms);
    if (!rc && format < store_format()) rc = lay_out(s, format, config->now_ms, error);
    if (!rc) rc = read_position(s);
    if (!rc && config->restored) rc = begin_restored(s, config);
    if (!rc) rc = store_reload_schema(s, error);
    if (!rc && config->schema_dir) rc = migrations_run(s, config->schema_dir, config->now_ms, error);
    if (!rc && config->schema_dir) rc = migrations_scope(s, config->schema_dir, config->now_ms, error);
    if (!rc && config->schema_dir) rc = migrations_automation(s, config->schema_dir, config->now_ms, error);
    if (rc) {
        if (!error->n) buf_printf(error, "%s: %s", config->path, satchel_rc_text(rc));
        store_close(s);
        return rc;
    }
    *out = s;
    return SATCHEL_OK;
}

void store_close(store *s) {
    if (!s) return;
    if (s->open) store_rollback(s);
    db_cache_fini(&s->cache);
    sqlite3_close(s->db);
    schema_free(s->schema);
    buf_fini(&s->error);
    free(s);
}

bool store_epoch_known(store *s, const uint8_t epoch[EPOCH_BYTES], uint64_t *end) {
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT (SELECT min(start_seq) FROM satchel_epoch b WHERE b.n>a.n) FROM satchel_epoch a WHERE epoch=?");
    db_bind(q, "b", epoch, (size_t)EPOCH_BYTES);
    if (db_next(&s->cache, q) != 1) return false;
    *end = sqlite3_column_type(q, 0) == SQLITE_NULL ? UINT64_MAX : (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return true;
}

/* ---- transactions ---- */

/* What an earlier ROLLBACK left, which fails without memory: then the next time. */
static int end_left_over(store *s) {
    if (!s->open && !sqlite3_get_autocommit(s->db)) store_rollback(s);
    return s->open || sqlite3_get_autocommit(s->db) ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

int store_begin(store *s) {
    int rc = end_left_over(s);
    if (!rc) rc = db_exec(&s->cache, "BEGIN IMMEDIATE", "");
    if (rc) return store_fail(s, rc, "beginning a transaction");
    s->now = s->committed;
    s->spoiled = false;
    s->open = true;
    return SATCHEL_OK;
}

bool store_is_open(store *s) {
    return s->open && !sqlite3_get_autocommit(s->db);
}

int store_commit(store *s) {
    int rc = s->spoiled ? SATCHEL_E_NOMEM : store_is_open(s) ? SATCHEL_OK : SATCHEL_E_IO;
    if (!rc)
        rc = db_exec(&s->cache, "UPDATE satchel_server SET seq=?,floor=?,high_stamp=?,backup_seq=? WHERE id=1", "iiii",
                     (int64_t)s->now.seq, (int64_t)s->now.floor, (int64_t)s->now.high_stamp, (int64_t)s->now.backup_seq);
    if (!rc) rc = db_exec(&s->cache, "COMMIT", "");
    if (rc) {
        store_fail(s, rc, "committing");
        store_rollback(s);
        return rc;
    }
    s->committed = s->now;
    s->open = false;
    return SATCHEL_OK;
}

void store_rollback(store *s) {
    /* After some errors (disk full) SQLite has rolled back by itself. */
    if (!sqlite3_get_autocommit(s->db)) db_end(&s->cache, ROLLBACK);
    s->open = false;
    s->scope_events++;
}

int store_savepoint(store *s) {
    return db_exec(&s->cache, "SAVEPOINT satchel_undo", "");
}

int store_savepoint_release(store *s) {
    return db_exec(&s->cache, RELEASE, "");
}

void store_savepoint_undo(store *s) {
    /* A savepoint that stayed would be taken for the one before it. */
    if (db_end(&s->cache, ROLLBACK_TO) || db_end(&s->cache, RELEASE)) s->spoiled = true;
}

void store_savepoint_rollback(store *s) {
    store_savepoint_undo(s);
    s->scope_events++;
}
