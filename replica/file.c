#include "replica/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "replica/cipher.h"
#include "replica/overlay.h"
#include "replica/satchel.h"

#define BUSY_TIMEOUT_MS 5000
/* From so many pages on the log is copied into the database after a commit: SQLite's own number. */
#define CHECKPOINT_PAGES 1000

/* Satchel's own tables. The outbox's small columns come before `changes`, so that scanning them reads no overflow page. The
 * partial index serves satchel_rejected and the search for discards to tell; a local commit does not touch it. Who wants it says
 * "state>=3", because SQLite does not see that state=3 implies it. */
#define NAME_OF_CODE(name, number, class_, text) " WHEN " #number " THEN 'E_" #name "'"
static const char *const TABLES =
    "CREATE TABLE IF NOT EXISTS satchel_state("
    "id INTEGER PRIMARY KEY CHECK(id=1), format INTEGER NOT NULL, epoch BLOB, cursor INTEGER NOT NULL DEFAULT 0,"
    "placed INTEGER NOT NULL DEFAULT 0, schema_epoch INTEGER NOT NULL DEFAULT 0, incarnation INTEGER NOT NULL DEFAULT 1, number_floor INTEGER NOT NULL DEFAULT 0,"
    "sent_number INTEGER NOT NULL DEFAULT 0, settled_number INTEGER NOT NULL DEFAULT 0, hlc INTEGER NOT NULL DEFAULT 0,"
    "loss_cursor INTEGER NOT NULL DEFAULT 0, snapshot INTEGER NOT NULL DEFAULT 0, snapshot_page INTEGER NOT NULL DEFAULT 0,"
    "snapshot_seq INTEGER NOT NULL DEFAULT 0, snapshot_rows INTEGER NOT NULL DEFAULT 0, snapshot_total INTEGER NOT NULL DEFAULT 0,"
    "stage_seq INTEGER NOT NULL DEFAULT 0, backup_seq INTEGER NOT NULL DEFAULT 0, head INTEGER NOT NULL DEFAULT 0,"
    "overlay INTEGER NOT NULL DEFAULT 0, clock_offset_ms INTEGER NOT NULL DEFAULT 0, device TEXT, host TEXT, port INTEGER,"
    "last_sync_ms INTEGER NOT NULL DEFAULT 0, last_error INTEGER NOT NULL DEFAULT 0, last_error_text TEXT NOT NULL DEFAULT '');"
    "CREATE TABLE IF NOT EXISTS satchel_outbox("
    "n INTEGER PRIMARY KEY, incarnation INTEGER NOT NULL, id BLOB NOT NULL, stamp INTEGER NOT NULL, base INTEGER NOT NULL,"
    "epoch INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, seq INTEGER, effective INTEGER, code INTEGER NOT NULL DEFAULT 0,"
    "depends INTEGER, message TEXT, tbl TEXT, key TEXT, settled_ms INTEGER, parts INTEGER NOT NULL DEFAULT 0,"
    "resolves INTEGER NOT NULL DEFAULT 0, changes BLOB);"
    "CREATE INDEX IF NOT EXISTS satchel_outbox_open ON satchel_outbox(state, n) WHERE state>=3;"
    "CREATE TABLE IF NOT EXISTS satchel_outbox_part(n INTEGER NOT NULL, part INTEGER NOT NULL, changes BLOB NOT NULL, PRIMARY KEY(n, part));"
    "CREATE TABLE IF NOT EXISTS satchel_base(tbl INTEGER NOT NULL, key BLOB NOT NULL, state INTEGER NOT NULL, seq INTEGER NOT NULL,"
    "row BLOB, PRIMARY KEY(tbl, key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS satchel_stage(part INTEGER PRIMARY KEY, page BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS satchel_conflicts(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, seq INTEGER NOT NULL, tbl TEXT NOT NULL,"
    "col TEXT NOT NULL, key TEXT NOT NULL, kept, lost, rule TEXT NOT NULL, kept_ms INTEGER NOT NULL, lost_ms INTEGER NOT NULL,"
    "kept_author INTEGER NOT NULL);"
    "CREATE VIEW IF NOT EXISTS satchel_rejected AS SELECT n, code, CASE code" SATCHEL_RC_LIST(
        NAME_OF_CODE) " END AS name,"
                      "message AS text, tbl, key, depends, settled_ms AS refused_ms FROM satchel_outbox WHERE state>=3 AND state=3;"
                      "CREATE VIEW IF NOT EXISTS satchel_status AS SELECT device, host, port, cursor, head, schema_epoch, incarnation,"
                      "(SELECT count(*) FROM satchel_outbox WHERE state=0) AS pending, (SELECT count(*) FROM satchel_outbox WHERE state=1) AS accepted,"
                      "(SELECT count(*) FROM satchel_outbox WHERE state>=3 AND state=3) AS refused, (SELECT count(*) FROM satchel_conflicts) AS conflicts,"
                      "snapshot_rows AS rows_done, snapshot_total AS rows_total, last_sync_ms, clock_offset_ms, last_error, last_error_text"
                      " FROM satchel_state;";

/* What format 2 added: which columns of a row a pending edit hides since when, and what a transaction's author had not seen (M16). A step that was
 * released is never changed. */
static const char *const FORMAT_2 = "ALTER TABLE satchel_base ADD COLUMN unseen BLOB;"
                                    "CREATE INDEX satchel_base_unseen ON satchel_base(tbl) WHERE unseen IS NOT NULL;"
                                    "ALTER TABLE satchel_outbox ADD COLUMN unseen BLOB;"
                                    "ALTER TABLE satchel_outbox_part ADD COLUMN unseen BLOB;"
                                    "ALTER TABLE satchel_state ADD COLUMN past BLOB;";

/* What format 3 added: which view is held here, the losses of a row that leaves, and when checksums are due. */
static const char *const FORMAT_3 = "ALTER TABLE satchel_state ADD COLUMN view INTEGER NOT NULL DEFAULT 0;"
                                    "ALTER TABLE satchel_state ADD COLUMN check_due_ms INTEGER NOT NULL DEFAULT 0;"
                                    "CREATE INDEX satchel_conflicts_row ON satchel_conflicts(tbl, key);";

/* ---- the world ---- */

static uint64_t clock_ms(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int random_bytes(void *ctx, void *out, size_t n) {
    (void)ctx;
    return crypto_random(out, n);
}

/* Anything else might end the comment or the header that it stands in. */
static void keep_plain(char *out, size_t room, const char *from) {
    static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = 0;
    for (; *from && n + 1 < room; from++)
        if (strchr(PLAIN, *from)) out[n++] = *from;
    out[n] = 0;
}

void env_name_platform(const char *system, const char *release, const char *machine, char out[ENV_PLATFORM_BYTES]) {
    static const char DIGITS[] = "0123456789";
    char its_system[13], its_machine[13];
    size_t n = strspn(release, DIGITS);
    if (release[n] == '.') n += 1 + strspn(release + n + 1, DIGITS);
    keep_plain(its_system, sizeof its_system, system);
    keep_plain(its_machine, sizeof its_machine, machine);
    snprintf(out, ENV_PLATFORM_BYTES, "%s %.*s; %s", its_system, n < 7 ? (int)n : 7, release, its_machine);
}

env env_default(void) {
    env e = {.now_ms = clock_ms, .random = random_bytes};
    struct utsname its;
    if (!uname(&its)) env_name_platform(its.sysname, its.release, its.machine, e.platform);
    return e;
}

static void now(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    const env *e = sqlite3_user_data(context);
    sqlite3_result_int64(context, (int64_t)e->now_ms(e->ctx));
}

/* With a clock of its own: statements that an app has left open outlive whoever opened the connection. */
int env_register_now(sqlite3 *db, const env *e) {
    env *own = malloc(sizeof *own);
    if (!own) return SATCHEL_E_NOMEM;
    *own = *e;
    return db_rc(sqlite3_create_function_v2(db, "satchel_now", 0, SQLITE_UTF8, own, now, NULL, NULL, free));
}

/* ---- errors ---- */

int file_fail(file *f, int rc, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_clear(&f->error);
    buf_printf(&f->error, "%s", text);
    return rc;
}

int file_db_error(file *f, const char *what) {
    int rc = db_rc(sqlite3_extended_errcode(f->db));
    /* SQLite knows of nothing: a buffer had no memory. */
    if (!rc) return file_fail(f, SATCHEL_E_NOMEM, "%s: %s", what, satchel_rc_text(SATCHEL_E_NOMEM));
    return file_fail(f, rc, "%s: %s", what, sqlite3_errmsg(f->db));
}

/* ---- opening ---- */

static int pragma_integer(sqlite3 *db, const char *sql, int64_t *out) {
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (!rc && sqlite3_step(stmt) == SQLITE_ROW) *out = sqlite3_column_int64(stmt, 0);
    if (!rc) rc = sqlite3_finalize(stmt);
    return rc ? db_rc(sqlite3_extended_errcode(db)) : SATCHEL_OK;
}

static int set_wal(sqlite3 *db, buf *error) {
    sqlite3_stmt *stmt;
    bool wal = false;
    int rc = sqlite3_prepare_v2(db, "PRAGMA main.journal_mode=WAL", -1, &stmt, NULL);
    if (!rc && sqlite3_step(stmt) == SQLITE_ROW) wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    if (!rc) rc = sqlite3_finalize(stmt);
    if (rc) {
        db_explain(db, "cannot open the database", error);
        return db_rc(sqlite3_extended_errcode(db));
    }
    if (wal) return SATCHEL_OK;
    buf_printf(error, "the database cannot be put into WAL mode; is it in memory, or on a network file system?");
    return SATCHEL_E_MISUSE;
}

int file_configure(sqlite3 *db, const file_options *o, buf *error) {
    int64_t ignored;
    sqlite3_busy_timeout(db, o->busy_timeout_ms ? o->busy_timeout_ms : BUSY_TIMEOUT_MS);
    sqlite3_extended_result_codes(db, 1);
    int rc = cipher_unlock(db, o->key, o->key_bytes, error);
    if (rc) return rc;
    if (sqlite3_db_readonly(db, "main") == 1) {
        buf_printf(error, "the database file cannot be written; check its permissions and those of its directory");
        return SATCHEL_E_READONLY;
    }
    rc = pragma_integer(db, "PRAGMA main.schema_version", &ignored); /* the first read: finds damage, and files that are none */
    if (rc == SATCHEL_E_NOT_A_DATABASE) return cipher_explain(db, o->key_bytes > 0, error);
    if (rc) {
        db_explain(db, "cannot read the database", error);
        return rc;
    }
    return set_wal(db, error);
}

/* Whose file is it? Also true for an empty one. */
static int check_owner(file *f, unsigned flags, bool *ours) {
    int64_t application = 0, tables = 0, state = 0;
    int rc = pragma_integer(f->db, "PRAGMA main.application_id", &application);
    if (!rc) rc = pragma_integer(f->db, "SELECT count(*) FROM main.sqlite_schema", &tables);
    if (!rc) rc = pragma_integer(f->db, "SELECT count(*) FROM main.sqlite_schema WHERE name='satchel_state'", &state);
    if (rc) return file_db_error(f, "cannot read the database");
    *ours = application == FILE_APPLICATION_ID && state;
    if (*ours) return SATCHEL_OK;
    if (application != 0)
        return file_fail(f, SATCHEL_E_FOREIGN_FILE, "it belongs to another program (application id %lld)",
                         (long long)application);
    if (tables && !(flags & SATCHEL_OPEN_ADOPT))
        return file_fail(
            f, SATCHEL_E_FOREIGN_FILE,
            "it is a database of something else; a program makes it Satchel's by opening it with SATCHEL_OPEN_ADOPT");
    return SATCHEL_OK;
}

static int run(file *f, const char *sql) {
    return sqlite3_exec(f->db, sql, NULL, NULL, NULL) ? file_db_error(f, "cannot set up the database") : SATCHEL_OK;
}

/* A newer program may have changed any table but this one's first columns. */
static int read_format(file *f, int64_t *format) {
    *format = 0;
    if (pragma_integer(f->db, "SELECT format FROM main.satchel_state WHERE id=1", format))
        return file_db_error(f, "cannot read satchel_state");
    if (*format > FILE_FORMAT)
        return file_fail(f, SATCHEL_E_NEWER_FILE, "it has format %lld, and this program knows formats up to %d",
                         (long long)*format, FILE_FORMAT);
    return *format < 1 ? file_fail(f, SATCHEL_E_CORRUPT, "satchel_state has no row") : SATCHEL_OK;
}

/* The tables of format 1; another process that was faster has made them already. */
static int make_tables(file *f) {
    char mark[80];
    int rc = run(f, TABLES);
    if (!rc) rc = run(f, "INSERT OR IGNORE INTO satchel_state(id, format) VALUES(1, 1)");
    snprintf(mark, sizeof mark, "PRAGMA main.application_id=%d", FILE_APPLICATION_ID);
    return rc ? rc : run(f, mark);
}

/* Makes the file, or brings one of an older format up to this one: whole, or not at all. */
static int lay_out(file *f, bool fresh) {
    char mark[80];
    int64_t format;
    snprintf(mark, sizeof mark, "UPDATE main.satchel_state SET format=%d", FILE_FORMAT);
    int rc = run(f, "BEGIN IMMEDIATE");
    if (rc) return rc;
    if (fresh) rc = make_tables(f);
    if (!rc) rc = read_format(f, &format);
    if (!rc && format < 2) rc = run(f, FORMAT_2);
    if (!rc && format < 3) rc = run(f, FORMAT_3);
    if (!rc) rc = schema_init(f->db, &f->error); /* format 4 added satchel_check */
    if (!rc && format < FILE_FORMAT) rc = run(f, mark);
    if (!rc) rc = run(f, "COMMIT");
    if (rc) sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int load_schema(file *f) {
    schema *s = NULL;
    buf_clear(&f->error);
    int rc = schema_load(f->db, &s, &f->error);
    if (rc) return rc;
    schema_free(f->schema);
    f->schema = s;
    return SATCHEL_OK;
}

static int open_database(file *f, const file_options *o) {
    bool ours = false;
    int64_t format = 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (o->flags & SATCHEL_OPEN_EXISTING ? 0 : SQLITE_OPEN_CREATE);
    if (o->flags & SATCHEL_OPEN_EXISTING && access(f->path, F_OK) != 0)
        return file_fail(f, SATCHEL_E_NOT_FOUND, "there is no such file");
    if (sqlite3_open_v2(f->path, &f->db, flags, NULL))
        return f->db ? file_db_error(f, "cannot open or make it; is its directory there?") : SATCHEL_E_NOMEM;
    int rc = file_configure(f->db, o, &f->error);
    if (!rc) rc = check_owner(f, o->flags, &ours);
    if (!rc && ours) rc = read_format(f, &format);
    if (!rc) rc = run(f, "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON");
    if (!rc && format < FILE_FORMAT) rc = lay_out(f, !ours);
    return rc;
}

static int no_begin(void *ctx, bool again) {
    (void)ctx, (void)again;
    return SATCHEL_OK;
}

static int no_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    (void)ctx, (void)number, (void)last, (void)changeset, (void)n;
    return SATCHEL_OK;
}

/* One literal, prepared when the file is opened: going back must work when memory is out. */
static const char ROLLBACK[] = "ROLLBACK";

static int open_rest(file *f) {
    capture_sink none = {.begin = no_begin, .part = no_part};
    db_cache_init(&f->sql, f->db);
    if (!db_prepare(&f->sql, ROLLBACK)) return file_db_error(f, "cannot open the database");
    int rc = capture_open(f->db, &none, &f->capture);
    if (rc) return file_fail(f, rc, "cannot take the connection's hooks: %s", satchel_rc_text(rc));
    capture_enable(f->capture, false);
    if ((rc = env_register_now(f->db, &f->env))) return file_db_error(f, "cannot open the database");
    /* One transaction, which the reading of the state begins: another process may be running a migration. */
    rc = run(f, "BEGIN");
    if (!rc) rc = file_read_state(f);
    if (!rc) rc = load_schema(f);
    if (!rc && f->schema->epoch) rc = capture_check(f->db, f->schema, &f->error);
    sqlite3_exec(f->db, "COMMIT", NULL, NULL, NULL);
    return rc ? rc : overlay_new(f, &f->overlay);
}

static char *copy_text(const char *text, size_t most) {
    return text ? strndup(text, most) : NULL;
}

/* Products as a User-Agent names them, and what they run on as its comment. */
static char *name_software(const char *app, const char *platform) {
    buf out = {0};
    if (app && *app) buf_printf(&out, "%.*s ", (int)strnlen(app, 64), app);
    buf_printf(&out, "satchel/" SATCHEL_VERSION);
    if (*platform) buf_printf(&out, " (%s)", platform);
    char *text = out.rc ? NULL : copy_text((const char *)out.p, SIZE_MAX);
    buf_fini(&out);
    return text;
}

static int copy_options(file *f, const char *path, const file_options *o) {
    buf name;
    buf_init(&name, 0);
    buf_printf(&name, "%s-satchel", path);
    f->env = o->env;
    f->path = copy_text(path, SIZE_MAX);
    f->identity = copy_text(o->identity ? o->identity : (const char *)name.p, SIZE_MAX);
    f->software = name_software(o->software, o->env.platform);
    buf_fini(&name);
    return f->path && f->identity && f->software ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

int file_open(const char *path, const file_options *o, file **out) {
    file *f = calloc(1, sizeof *f);
    *out = f;
    if (!f) return SATCHEL_E_NOMEM;
    f->unsynced = f->unproven = true; /* whoever had the file open before */
    buf_init(&f->error, LIMIT_BUF_BYTES);
    int rc = copy_options(f, path, o);
    if (!rc) rc = cipher_check(o->key, o->key_bytes, &f->error);
    if (!rc) rc = open_database(f, o);
    if (!rc) file_watch_log(f, f->db);
    if (!rc) rc = open_rest(f);
    if (rc && !f->error.n) file_fail(f, rc, "%s", satchel_rc_text(rc));
    return rc;
}

void file_close(file *f) {
    if (!f) return;
    if (f->in_txn) file_rollback(f);
    overlay_free(f->overlay);
    if (f->sql.db) db_cache_fini(&f->sql);
    capture_close(f->capture);
    schema_free(f->schema);
    sqlite3_close(f->db);
    buf_fini(&f->error);
    free(f->path);
    free(f->identity);
    free(f->software);
    free(f);
}

/* ---- the state row ---- */

#define STATE_COLUMNS                                                                                                                 \
    "epoch, cursor, schema_epoch, incarnation, number_floor, sent_number, settled_number, hlc, loss_cursor, snapshot, snapshot_page," \
    "snapshot_seq, snapshot_rows, snapshot_total, stage_seq, backup_seq, head, overlay, clock_offset_ms, placed, past, view, check_due_ms"

static uint64_t column_u64(sqlite3_stmt *stmt, int i) {
    return (uint64_t)sqlite3_column_int64(stmt, i);
}

/* (epoch, varint seq)*; what does not fit is of epochs too old to ask for. */
static void take_past(file_state *s, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    while (s->npast < LIMIT_PAST && (size_t)(end - p) > EPOCH_BYTES) {
        past_epoch *e = &s->past[s->npast];
        memcpy(e->epoch, p, EPOCH_BYTES);
        p += EPOCH_BYTES;
        if (!buf_get_varint(&p, end, &e->seq)) return;
        s->npast++;
    }
}

static void put_past(const file_state *s, buf *out) {
    for (unsigned i = 0; i < s->npast; i++) {
        buf_put(out, s->past[i].epoch, EPOCH_BYTES);
        buf_put_varint(out, s->past[i].seq);
    }
}

static void take_state(sqlite3_stmt *q, file_state *s) {
    memset(s, 0, sizeof *s);
    s->has_epoch = sqlite3_column_bytes(q, 0) == EPOCH_BYTES;
    if (s->has_epoch) memcpy(s->epoch, sqlite3_column_blob(q, 0), EPOCH_BYTES);
    s->cursor = column_u64(q, 1);
    s->schema_epoch = (uint32_t)column_u64(q, 2);
    s->incarnation = (uint32_t)column_u64(q, 3);
    s->number_floor = column_u64(q, 4);
    s->sent_number = column_u64(q, 5);
    s->settled_number = column_u64(q, 6);
    s->hlc = column_u64(q, 7);
    s->loss_cursor = column_u64(q, 8);
    s->snapshot = column_u64(q, 9);
    s->snapshot_page = (uint32_t)column_u64(q, 10);
    s->snapshot_seq = column_u64(q, 11);
    s->snapshot_rows = column_u64(q, 12);
    s->snapshot_total = column_u64(q, 13);
    s->stage_seq = column_u64(q, 14);
    s->backup_seq = column_u64(q, 15);
    s->head = column_u64(q, 16);
    s->overlay = column_u64(q, 17);
    s->clock_offset_ms = sqlite3_column_int64(q, 18);
    s->placed = sqlite3_column_int(q, 19) != 0;
    take_past(s, sqlite3_column_blob(q, 20), (size_t)sqlite3_column_bytes(q, 20));
    s->view = column_u64(q, 21);
    s->check_due_ms = column_u64(q, 22);
}

void file_storage(const file *f, uint64_t *held, uint64_t *room) {
    char log_path[4096];
    struct stat data, log;
    struct statvfs disk;
    *held = *room = 0;
    /* A file system that counts no blocks does not know what is free. */
    if (stat(f->path, &data) || !data.st_size || statvfs(f->path, &disk) || !disk.f_blocks) return;
    bool has_log = snprintf(log_path, sizeof log_path, "%s-wal", f->path) < (int)sizeof log_path && !stat(log_path, &log);
    *held = (uint64_t)data.st_size + (has_log ? (uint64_t)log.st_size : 0);
    if (__builtin_mul_overflow((uint64_t)disk.f_bavail, (uint64_t)disk.f_frsize, room) || *room > INT64_MAX - *held)
        *room = INT64_MAX - *held;
    *room += *held;
}

int file_read_state(file *f) {
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT " STATE_COLUMNS " FROM satchel_state WHERE id=1");
    int rc = db_next(&f->sql, q);
    if (rc < 0) return file_db_error(f, "cannot read satchel_state");
    if (rc == 0) return file_fail(f, SATCHEL_E_CORRUPT, "satchel_state has no row");
    take_state(q, &f->state);
    f->saved = f->state;
    sqlite3_reset(q);
    /* Another process has run a migration, or one of ours was rolled back. */
    if (!f->schema || f->state.schema_epoch == f->schema->epoch) return SATCHEL_OK;
    overlay_invalidate(f->overlay);
    return load_schema(f);
}

static int write_state(file *f) {
    const file_state *s = &f->state;
    if (memcmp(s, &f->saved, sizeof *s) == 0) return SATCHEL_OK;
    buf past;
    buf_init(&past, 0);
    put_past(s, &past);
    int rc = past.rc;
    if (!rc)
        rc = db_exec(&f->sql,
                     "UPDATE satchel_state SET (" STATE_COLUMNS ")=(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) WHERE id=1",
                     "biiiiiiiiiiiiiiiiiiibii", s->has_epoch ? s->epoch : NULL, (size_t)EPOCH_BYTES, (int64_t)s->cursor,
                     (int64_t)s->schema_epoch, (int64_t)s->incarnation, (int64_t)s->number_floor, (int64_t)s->sent_number,
                     (int64_t)s->settled_number, (int64_t)s->hlc, (int64_t)s->loss_cursor, (int64_t)s->snapshot,
                     (int64_t)s->snapshot_page, (int64_t)s->snapshot_seq, (int64_t)s->snapshot_rows, (int64_t)s->snapshot_total,
                     (int64_t)s->stage_seq, (int64_t)s->backup_seq, (int64_t)s->head, (int64_t)s->overlay, s->clock_offset_ms,
                     (int64_t)s->placed, past.p, past.n, (int64_t)s->view, (int64_t)s->check_due_ms);
    buf_fini(&past);
    return rc;
}

/* ---- transactions ---- */

/* What an earlier ROLLBACK left, which fails without memory: then the next time. */
static int end_left_over(file *f) {
    if (!sqlite3_get_autocommit(f->db)) file_rollback(f);
    return sqlite3_get_autocommit(f->db) ? SATCHEL_OK : file_fail(f, SATCHEL_E_NOMEM, "cannot roll back what was begun before");
}

int file_mend_log(file *f, sqlite3 *db) {
    if (!atomic_exchange(&f->log_failed, false)) return SATCHEL_OK;
    int rc = db_rewrite_log(db);
    if (rc) f->log_failed = true;
    return rc;
}

/* As SQLite does it by itself, but that says nothing of a sync that failed, and would then copy what only the memory still has, and take it for written. */
static int on_log(void *ctx, sqlite3 *db, const char *name, int pages) {
    file *f = ctx;
    if (pages < CHECKPOINT_PAGES || f->log_failed) return SQLITE_OK;
    int rc = db_rc(sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
    if (rc == SATCHEL_E_IO) f->log_failed = true;
    return SQLITE_OK;
}

void file_watch_log(file *f, sqlite3 *db) {
    if (f)
        sqlite3_wal_hook(db, on_log, f);
    else
        sqlite3_wal_autocheckpoint(db, CHECKPOINT_PAGES);
}

int file_begin(file *f) {
    buf_clear(&f->error);
    int rc = end_left_over(f);
    if (rc) return rc;
    rc = db_exec(&f->sql, "BEGIN IMMEDIATE", "");
    if (rc) return file_db_error(f, "cannot begin a transaction");
    f->in_txn = true;
    f->changes = sqlite3_total_changes64(f->db);
    rc = file_mend_log(f, f->db);
    rc = rc ? file_fail(f, rc, "cannot write the log anew: %s", satchel_rc_text(rc)) : file_read_state(f);
    if (!rc) rc = overlay_refresh(f->overlay);
    if (rc) file_rollback(f);
    return rc;
}

/* In WAL mode a commit with synchronous=FULL syncs the whole log, so that one small commit carries all before it. */
static int set_durable(file *f, bool on) {
    if (f->durable == on) return SATCHEL_OK;
    f->durable = on;
    return run(f, on ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

int file_begin_durable(file *f) {
    int rc = end_left_over(f);
    if (f->unproven) f->log_failed = true;
    if (!rc) rc = set_durable(f, true);
    if (!rc) rc = file_begin(f);
    if (rc) set_durable(f, false);
    return rc;
}

int file_sync(file *f) {
    if (!f->unsynced) return SATCHEL_OK;
    int rc = file_begin_durable(f);
    if (rc) return rc;
    /* Only a commit that writes a page is synced, and SQLite writes none for an update to the same bytes: there and back. */
    for (int i = 0; i < 2 && !rc; i++) rc = db_exec(&f->sql, "UPDATE satchel_state SET cursor=~cursor WHERE id=1", "");
    return file_end(f, rc ? file_db_error(f, "cannot write the state") : SATCHEL_OK);
}

int file_commit(file *f) {
    /* After some errors SQLite ends the transaction by itself: then what is written here would be committed alone. */
    bool ended = sqlite3_get_autocommit(f->db);
    int rc = ended ? SATCHEL_E_IO : write_state(f);
    if (!rc) rc = db_exec(&f->sql, "COMMIT", "");
    if (rc) {
        f->log_failed = true;
        rc = ended ? file_fail(f, rc, "the transaction has ended before its commit") : file_db_error(f, "cannot commit");
        file_rollback(f);
        return rc;
    }
    f->in_txn = false;
    if (sqlite3_total_changes64(f->db) != f->changes) {
        f->unsynced = !f->durable;
        f->unproven = f->unproven && !f->durable;
    }
    return set_durable(f, false);
}

void file_rollback(file *f) {
    if (!sqlite3_get_autocommit(f->db)) db_end(&f->sql, ROLLBACK);
    f->in_txn = false;
    set_durable(f, false);
    overlay_invalidate(f->overlay);
}

int file_end(file *f, int rc) {
    if (!rc) return file_commit(f);
    file_rollback(f);
    return rc;
}

/* ---- migrations ---- */

/* What was confirmed beneath edits of a table that is gone. */
static int forget_dropped(file *f) {
    for (unsigned i = 0; i < f->schema->ntable; i++) {
        const schema_table *t = &f->schema->table[i];
        if (t->until == SCHEMA_NEVER) continue;
        if (db_exec(&f->sql, "DELETE FROM satchel_base WHERE tbl=?", "i", (int64_t)t->id))
            return file_db_error(f, "cannot write satchel_base");
    }
    return SATCHEL_OK;
}

int file_migrate(file *f, const msg_schema *m) {
    char name[LIMIT_NAME_BYTES + 1];
    if (m->epoch != f->state.schema_epoch + 1)
        return file_fail(f, SATCHEL_E_SCHEMA, "migration %u was sent to a schema at %u", m->epoch, f->state.schema_epoch);
    snprintf(name, sizeof name, "%.*s", (int)m->nname, m->name);
    buf sql;
    buf_init(&sql, 0);
    buf_put(&sql, m->sql, m->nsql);
    buf_put_byte(&sql, 0);
    buf_clear(&f->error);
    int rc = sql.rc ? sql.rc : schema_migrate(f->db, SCHEMA_REPLICA, m->epoch, name, (const char *)sql.p, &f->error);
    buf_fini(&sql);
    if (!rc) rc = load_schema(f);
    if (!rc) rc = capture_install(f->db, f->schema, &f->error);
    f->state.schema_epoch = m->epoch;
    overlay_invalidate(f->overlay);
    if (!rc) rc = forget_dropped(f);
    return rc ? rc : overlay_refresh(f->overlay);
}

/* ---- server and status ---- */

int file_set_server(file *f, const char *host, uint16_t port, const char *device) {
    int rc = db_exec(&f->sql, "UPDATE satchel_state SET host=?, port=?, device=? WHERE id=1", "sis", host, (int64_t)port, device);
    if (rc) return file_db_error(f, "cannot note the server");
    f->unsynced = true;
    return file_sync(f); /* the enrolment code is spent */
}

int file_get_server(file *f, char *host, uint16_t *port, char *device) {
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT host, port, device FROM satchel_state WHERE id=1 AND host IS NOT NULL");
    int rc = db_next(&f->sql, q);
    if (rc < 0) return file_db_error(f, "cannot read satchel_state");
    if (rc == 0) return file_fail(f, SATCHEL_E_NOT_ENROLLED, "%s", satchel_rc_text(SATCHEL_E_NOT_ENROLLED));
    const char *name = (const char *)sqlite3_column_text(q, 2);
    snprintf(host, 256, "%s", (const char *)sqlite3_column_text(q, 0));
    snprintf(device, 65, "%s", name ? name : "");
    *port = (uint16_t)sqlite3_column_int(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

void file_note_sync(file *f, int rc, const char *text, uint64_t now_ms) {
    db_exec(
        &f->sql,
        "UPDATE satchel_state SET last_error=?1, last_error_text=?2, last_sync_ms=CASE WHEN ?1=0 THEN ?3 ELSE last_sync_ms END WHERE id=1",
        "isi", (int64_t)rc, rc ? text : "", (int64_t)now_ms);
}
