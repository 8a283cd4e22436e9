#include "replica/satchel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica/handle.h"
#include "replica/overlay.h"
#include "replica/refusal.h"
#include "replica/wipe.h"

/* ---- errors ---- */

static void note(satchel *s, int rc, const char *text) {
    pthread_mutex_lock(&s->error_lock);
    s->rc = rc;
    snprintf(s->error, sizeof s->error, "%s", text);
    pthread_mutex_unlock(&s->error_lock);
}

int handle_fail(satchel *s, int rc, const char *format, ...) {
    char text[HANDLE_ERROR_BYTES];
    va_list args;
    if (format && *format) {
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
    } else {
        snprintf(text, sizeof text, "%s", satchel_rc_text(rc));
    }
    note(s, rc, text);
    return rc;
}

static int fail_of_file(satchel *s, int rc) {
    return rc < 0 ? handle_fail(s, rc, "%s", s->file->error.n ? (const char *)s->file->error.p : satchel_rc_text(rc)) : rc;
}

/* Code and words of why the last commit was refused. They are written within the commit, so under the connection's own mutex. */
static int refused_commit(satchel *s, char words[HANDLE_ERROR_BYTES]) {
    if (!s->app) return SATCHEL_OK;
    sqlite3_mutex *mutex = sqlite3_db_mutex(s->app);
    sqlite3_mutex_enter(mutex);
    int rc = outbox_writer_error_code(s->writer);
    if (rc) snprintf(words, HANDLE_ERROR_BYTES, "%s", outbox_writer_error(s->writer));
    sqlite3_mutex_leave(mutex);
    return rc;
}

/* A refused commit is the app's latest concern until its next transaction; then the handle's own failures. */
static int last_failure(satchel *s, char words[HANDLE_ERROR_BYTES]) {
    int rc = refused_commit(s, words);
    if (rc) return rc;
    pthread_mutex_lock(&s->error_lock);
    rc = s->rc;
    memcpy(words, s->error, HANDLE_ERROR_BYTES);
    pthread_mutex_unlock(&s->error_lock);
    return rc;
}

/* A copy for each thread that asks: another may fail on the same handle while the words are read. */
const char *satchel_errmsg(satchel *s) {
    static _Thread_local char words[HANDLE_ERROR_BYTES];
    if (!s) return satchel_rc_text(SATCHEL_E_NOMEM);
    last_failure(s, words);
    return words;
}

int satchel_errcode(satchel *s) {
    char words[HANDLE_ERROR_BYTES];
    return s ? last_failure(s, words) : SATCHEL_E_NOMEM;
}

const char *satchel_version(void) {
    return SATCHEL_VERSION;
}

bool handle_is_wiped(satchel *s) {
    if (!s->wiped) s->wiped = wipe_is_ordered(s->file->path) || wipe_is_unlinked(s->file->db);
    return s->wiped;
}

int handle_check(satchel *s) {
    if (!s->app) return handle_fail(s, SATCHEL_E_MISUSE, "the database is not open");
    return handle_is_wiped(s) ? handle_fail(s, SATCHEL_E_WIPED, NULL) : SATCHEL_OK;
}

/* ---- callbacks ---- */

static void on_changed(void *ctx, const char *table) {
    satchel *s = ctx;
    if (s->changed) s->changed(s->changed_ctx, table);
}

static void on_event(void *ctx, const satchel_event *e) {
    satchel *s = ctx;
    if (s->event) s->event(s->event_ctx, e);
}

static void on_committed(void *ctx) {
    satchel *s = ctx;
    void (*wake)(void *) = s->wake;
    if (wake) wake(s->wake_ctx);
}

void satchel_on_change(satchel *s, void (*changed)(void *ctx, const char *table), void *ctx) {
    pthread_mutex_lock(&s->lock);
    s->changed = changed;
    s->changed_ctx = ctx;
    pthread_mutex_unlock(&s->lock);
}

void satchel_on_event(satchel *s, void (*event)(void *ctx, const satchel_event *e), void *ctx) {
    pthread_mutex_lock(&s->lock);
    s->event = event;
    s->event_ctx = ctx;
    pthread_mutex_unlock(&s->lock);
}

/* ---- opening and closing ---- */

static int make_locks(satchel *s) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    int failed = pthread_mutex_init(&s->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (failed) return SATCHEL_E_NOMEM;
    if (!pthread_mutex_init(&s->error_lock, NULL)) return SATCHEL_OK;
    pthread_mutex_destroy(&s->lock);
    return SATCHEL_E_NOMEM;
}

static int open_app(satchel *s, const char *path, const file_options *o) {
    sqlite3 *db = NULL;
    buf words;
    buf_init(&words, 0);
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) ? db_rc(sqlite3_extended_errcode(db))
                                                                                             : SATCHEL_OK;
    if (!rc) rc = file_configure(db, o, &words);
    if (!rc) rc = outbox_writer_open(db, s->file, on_committed, s, &s->writer, &words);
    if (rc) {
        handle_fail(s, rc, "%s", words.n ? (const char *)words.p : satchel_rc_text(rc));
        outbox_writer_close(s->writer);
        s->writer = NULL;
        sqlite3_close(db);
        db = NULL;
    }
    s->app = db;
    buf_fini(&words);
    return rc;
}

/* An earlier process was told to erase the file and came so far. */
static int go_on_wiping(satchel *s, const char *path, const file_options *o) {
    wipe w = {.path = path, .identity = o->identity, .software = o->software};
    int marker = wipe_claim(path);
    if (marker >= 0) {
        wipe_empty_file(path, o->key, o->key_bytes);
        if (!wipe_erase(&w)) wipe_report(&w, marker, NULL);
        close(marker);
    }
    return handle_fail(s, SATCHEL_E_WIPED, NULL);
}

/* Appends a path as SQLite takes it: from the root and without links, whatever directory the process is in later. What lies beside a database lies there. */
static int put_full_path(buf *out, const char *path) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    bool is_name = *path != ':' && strncmp(path, "file:", 5) != 0; /* or something of SQLite's own */
    char *room = vfs ? (char *)buf_reserve(out, (size_t)vfs->mxPathname + 1) : NULL;
    if (!room) return SATCHEL_E_NOMEM;
    /* What cannot be resolved SQLite cannot open, and will say so. */
    if (is_name && (vfs->xFullPathname(vfs, path, vfs->mxPathname + 1, room) & 0xff) == SQLITE_OK)
        out->n += strlen(room) + 1;
    else
        buf_put(out, path, strlen(path) + 1);
    return out->rc;
}

/* The identity lies beside the name that was given, which may be a link to the file. */
static int find_paths(const char *path, const char *identity, buf *database, buf *directory) {
    buf beside;
    buf_init(&beside, 0);
    if (!identity) buf_printf(&beside, "%s-satchel", path);
    int rc = beside.rc ? beside.rc : put_full_path(database, path);
    if (!rc) rc = put_full_path(directory, identity ? identity : (const char *)beside.p);
    buf_fini(&beside);
    return rc;
}

static int open_at(satchel *s, const char *path, const char *identity, const satchel_options *o) {
    file_options fo = {.flags = o->flags,
                       .busy_timeout_ms = o->busy_timeout_ms,
                       .identity = identity,
                       .software = o->software,
                       .key = o->key,
                       .key_bytes = o->key_bytes,
                       .env = env_default()};
    session_callbacks callbacks = {.ctx = s, .changed = on_changed, .event = on_event};
    s->log = o->log;
    s->log_ctx = o->log_ctx;
    if (wipe_is_ordered(path)) return go_on_wiping(s, path, &fo);
    int rc = file_open(path, &fo, &s->file);
    if (rc) return s->file ? fail_of_file(s, rc) : handle_fail(s, rc, NULL);
    rc = session_new(s->file, &callbacks, &s->session);
    if (rc) return handle_fail(s, rc, NULL);
    return open_app(s, path, &fo);
}

static int open_all(satchel *s, const char *path, const satchel_options *o) {
    buf database, identity;
    buf_init(&database, 0);
    buf_init(&identity, 0);
    int rc = find_paths(path, o->identity, &database, &identity);
    rc = rc ? handle_fail(s, rc, NULL) : open_at(s, (const char *)database.p, (const char *)identity.p, o);
    buf_fini(&database);
    buf_fini(&identity);
    return rc;
}

/* Takes the fields that the caller's version of the struct has. */
static satchel_options known_options(const satchel_options *o) {
    satchel_options all = {.size = sizeof all};
    if (o) memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    return all;
}

int satchel_open(const char *path, const satchel_options *options, satchel **out) {
    satchel *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return SATCHEL_E_NOMEM;
    if (make_locks(s)) {
        free(s);
        return SATCHEL_E_NOMEM;
    }
    *out = s;
    satchel_options o = known_options(options);
    if (!path || !*path) return handle_fail(s, SATCHEL_E_MISUSE, "satchel_open needs a path");
    int rc = open_all(s, path, &o);
    return rc ? handle_fail(s, rc, "%s: %s", path, s->error) : rc;
}

/* Statements that are still open cannot be finalised here: sqlite3_next_stmt lists those that virtual tables such as FTS5 keep for themselves as
 * well, and their owners would free them again. */
static void close_app(satchel *s) {
    if (!s->app) return;
    outbox_writer_close(s->writer);
    sqlite3_close_v2(s->app);
}

void satchel_close(satchel *s) {
    if (!s) return;
    poll_close(s);
    close_app(s);
    session_free(s->session);
    file_close(s->file);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->error_lock);
    free(s);
}

sqlite3 *satchel_db(satchel *s) {
    return s ? s->app : NULL;
}

/* Locks an open handle for a call: MISUSE if satchel_open failed. */
static int enter(satchel *s) {
    pthread_mutex_lock(&s->lock);
    note(s, SATCHEL_OK, "");
    int rc = handle_check(s);
    if (rc) pthread_mutex_unlock(&s->lock);
    return rc;
}

static int finish(satchel *s, int rc) {
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- status ---- */

static int count_rows(satchel *s, satchel_status_info *o) {
    int64_t refused = 0, conflicts = 0;
    file *f = s->file;
    int rc = outbox_count(f, TXN_PENDING, &o->pending);
    if (!rc) rc = outbox_count(f, TXN_ACCEPTED, &o->accepted);
    if (!rc) rc = db_integer(&f->sql, "SELECT count(*) FROM satchel_outbox WHERE state>=3 AND state=3", 0, &refused);
    if (!rc) rc = db_integer(&f->sql, "SELECT count(*) FROM satchel_conflicts", 0, &conflicts);
    o->refused = (uint64_t)refused;
    o->conflicts = (uint64_t)conflicts;
    return rc ? file_db_error(f, "cannot read the status") : SATCHEL_OK;
}

static int read_texts(satchel *s, satchel_status_info *o) {
    file *f = s->file;
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT last_sync_ms, last_error, last_error_text FROM satchel_state WHERE id=1");
    int rc = db_next(&f->sql, q);
    if (rc != 1)
        return rc ? file_db_error(f, "cannot read the status") : file_fail(f, SATCHEL_E_CORRUPT, "satchel_state has no row");
    o->last_sync_ms = (uint64_t)sqlite3_column_int64(q, 0);
    o->last_error = sqlite3_column_int(q, 1);
    snprintf(o->last_error_text, sizeof o->last_error_text, "%s", (const char *)sqlite3_column_text(q, 2));
    sqlite3_reset(q);
    rc = file_get_server(f, o->host, &o->port, o->device);
    o->enrolled = rc == SATCHEL_OK;
    return rc == SATCHEL_E_NOT_ENROLLED ? SATCHEL_OK : rc;
}

static int read_status(satchel *s, satchel_status_info *o) {
    file *f = s->file;
    int rc = file_read_state(f);
    if (!rc) rc = count_rows(s, o);
    if (!rc) rc = read_texts(s, o);
    o->state = session_state(s->session);
    o->cursor = f->state.cursor;
    o->head = f->state.head;
    o->schema_epoch = f->state.schema_epoch;
    o->incarnation = f->state.incarnation;
    o->rows_done = f->state.snapshot_rows;
    o->rows_total = f->state.snapshot_total;
    o->clock_offset_ms = f->state.clock_offset_ms;
    return rc;
}

int satchel_get_status(satchel *s, satchel_status_info *out) {
    satchel_status_info all = {0};
    size_t size = out->size < sizeof all ? out->size : sizeof all;
    int rc = enter(s);
    if (rc) return rc;
    rc = fail_of_file(s, read_status(s, &all));
    all.size = out->size;
    memcpy(out, &all, size);
    return finish(s, rc);
}

/* ---- refusals ---- */

static int end_refusal(satchel *s, uint64_t number, int (*end)(file *, uint64_t)) {
    int rc = end(s->file, number);
    if (rc) return fail_of_file(s, rc);
    overlay_announce(s->file->overlay, s->changed, s->changed_ctx);
    on_committed(s);
    return SATCHEL_OK;
}

int satchel_discard(satchel *s, uint64_t number) {
    int rc = enter(s);
    return rc ? rc : finish(s, end_refusal(s, number, outbox_discard));
}

static int tell_retry(satchel *s, int rc) {
    pthread_mutex_lock(&s->lock);
    return finish(s, outbox_writer_error_code(s->writer)
                         ? rc
                         : handle_fail(s, rc, "%s", rc == SATCHEL_E_BUSY ? sqlite3_errmsg(s->app) : satchel_rc_text(rc)));
}

/* The lock is not held while the app's connection waits for the file (handle.h: lock order). */
int satchel_retry(satchel *s, uint64_t number) {
    bool moot = false;
    int rc = enter(s);
    if (rc) return rc;
    finish(s, SATCHEL_OK);
    rc = outbox_retry(s->writer, number, &moot);
    if (rc) return tell_retry(s, rc);
    if (!moot || (rc = enter(s))) return rc;
    return finish(s, end_refusal(s, number, outbox_settle_moot));
}

int satchel_edit(satchel *s, uint64_t number) {
    int rc = enter(s);
    if (rc) return rc;
    finish(s, SATCHEL_OK);
    rc = outbox_edit(s->writer, number);
    return rc ? tell_retry(s, rc) : SATCHEL_OK;
}

int satchel_refusal(satchel *s, uint64_t number, char **json) {
    *json = NULL;
    int rc = enter(s);
    return rc ? rc : finish(s, fail_of_file(s, refusal_json(s->file, number, json)));
}

/* ---- verification ---- */

int satchel_verify(satchel *s, char **report) {
    buf lines;
    *report = NULL;
    int rc = enter(s);
    if (rc) return rc;
    buf_init(&lines, 0);
    rc = fail_of_file(s, file_verify(s->file, &lines));
    if (lines.n) *report = sqlite3_mprintf("%.*s", (int)lines.n, (const char *)lines.p);
    buf_fini(&lines);
    return finish(s, rc);
}

int satchel_check(satchel *s) {
    char host[256], device[65];
    uint16_t port;
    int rc = enter(s);
    if (rc) return rc;
    rc = file_get_server(s->file, host, &port, device);
    if (rc) return finish(s, handle_fail(s, rc, NULL));
    session_check(s->session);
    on_committed(s);
    return finish(s, SATCHEL_OK);
}
