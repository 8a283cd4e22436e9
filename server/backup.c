#include "server/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "protocol/db.h"
#include "protocol/functions.h"
#include "protocol/satchel_rc.h"
#include "server/os.h"
#include "server/store.h"

/* 2 MiB of SQLite's usual pages: between steps it is asked whether to go on. */
#define STEP_PAGES 512
#define CHECK_OPS 1000000
#define PATH_BYTES 2048
/* What the other files may take, generously. */
#define OTHER_BYTES (1u << 20)

typedef struct making {
    const backup_request *r;
    const progress *watch;
    char parent_path[1024], name[256], stage[264], stage_path[PATH_BYTES];
    bundle_dir parent, dir, data;
    bundle *out;
    buf *error;
} making;

/* ---- the store ---- */

static int explain(making *m, sqlite3 *db, int sq, const char *what) {
    buf_printf(m->error, "%s: %s", what, db ? sqlite3_errmsg(db) : sqlite3_errstr(sq));
    return db_rc(sq);
}

static int open_source(making *m, sqlite3 **db) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, m->r->data);
    int sq = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(*db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000; BEGIN", NULL, NULL, NULL);
    return sq == SQLITE_OK ? SATCHEL_OK : explain(m, *db, sq, path);
}

/* The first read of the transaction: from here on it is of this commit. */
static int read_position(making *m, sqlite3 *db, uint64_t *bytes) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(db,
                                "SELECT seq,epoch,(SELECT coalesce(max(epoch),0) FROM satchel_migration),"
                                "(SELECT page_count*page_size FROM pragma_page_count,pragma_page_size)"
                                " FROM satchel_server,satchel_epoch ORDER BY n DESC LIMIT 1",
                                -1, &q, NULL);
    bool ok = sq == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 1) == (int)sizeof m->out->epoch;
    if (ok) {
        m->out->seq = (uint64_t)sqlite3_column_int64(q, 0);
        memcpy(m->out->epoch, sqlite3_column_blob(q, 1), sizeof m->out->epoch);
        m->out->schema_epoch = (uint32_t)sqlite3_column_int64(q, 2);
        *bytes = (uint64_t)sqlite3_column_int64(q, 3);
    }
    sqlite3_finalize(q);
    if (ok) return SATCHEL_OK;
    int rc = explain(m, db, sqlite3_errcode(db), "the store's position");
    return rc ? rc : SATCHEL_E_CORRUPT;
}

/* Better told now than after an hour. The reserve counts where the server's own data lies. */
static int check_room(making *m, uint64_t bytes) {
    struct statvfs room;
    struct stat here, there;
    if (fstatvfs(m->parent.fd, &room) || fstat(m->data.fd, &here) || fstat(m->parent.fd, &there)) return SATCHEL_OK;
    uint64_t free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    uint64_t needed = bytes + OTHER_BYTES + (here.st_dev == there.st_dev ? m->r->reserve : 0);
    if (free_bytes >= needed) return SATCHEL_OK;
    buf_printf(m->error, "%s: %" PRIu64 " MiB are needed and %" PRIu64 " MiB are free", m->parent_path, (needed >> 20) + 1,
               free_bytes >> 20);
    return SATCHEL_E_FULL;
}

static int copy_pages(making *m, sqlite3 *from, sqlite3 *to) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b) return explain(m, to, sqlite3_errcode(to), m->stage_path);
    int sq = SQLITE_OK;
    bool on = true;
    while (sq == SQLITE_OK && on) {
        sq = sqlite3_backup_step(b, STEP_PAGES);
        uint64_t total = (uint64_t)sqlite3_backup_pagecount(b), left = (uint64_t)sqlite3_backup_remaining(b);
        on = progress_tell(m->watch, "copying", total - left, total);
    }
    int end = sqlite3_backup_finish(b);
    if (sq == SQLITE_DONE) return end == SQLITE_OK ? SATCHEL_OK : explain(m, to, end, m->stage_path);
    if (sq != SQLITE_OK) return explain(m, to, sq, m->stage_path);
    buf_printf(m->error, "given up before it was done");
    return SATCHEL_E_CLOSED;
}

static int open_copy(making *m, const char *modes, sqlite3 **db) {
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, m->stage_path);
    int sq = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK && functions_register(*db)) sq = SQLITE_NOMEM; /* an index may be over them */
    if (sq == SQLITE_OK) sq = sqlite3_exec(*db, modes, NULL, NULL, NULL);
    return sq == SQLITE_OK ? SATCHEL_OK : explain(m, *db, sq, path);
}

static int copy_store(making *m) {
    sqlite3 *from = NULL, *to = NULL;
    uint64_t bytes = 0;
    int rc = open_source(m, &from);
    if (!rc) rc = read_position(m, from, &bytes);
    if (!rc) rc = check_room(m, bytes);
    int fd = rc ? -1 : openat(m->dir.fd, BUNDLE_STORE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (!rc && fd < 0) rc = os_fail(m->error, m->stage_path, BUNDLE_STORE, "cannot write");
    if (fd >= 0) close(fd);
    /* It is synced as a file, and thrown away if it fails: no journal. */
    if (!rc) rc = open_copy(m, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", &to);
    if (!rc) rc = copy_pages(m, from, to);
    sqlite3_close(to);
    sqlite3_close(from);
    return rc;
}

static int ask_on(void *ctx) {
    return !progress_tell(((making *)ctx)->watch, "checking", 0, 0);
}

static int check_store(making *m) {
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int rc = open_copy(m, "PRAGMA query_only=1", &db);
    if (!rc) sqlite3_progress_handler(db, CHECK_OPS, ask_on, m);
    int sq = rc ? SQLITE_OK : sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL);
    int step = rc || sq != SQLITE_OK ? SQLITE_DONE : sqlite3_step(q);
    const char *said = step == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (!rc && step == SQLITE_INTERRUPT) {
        buf_printf(m->error, "given up before it was done");
        rc = SATCHEL_E_CLOSED;
    } else if (!rc && (!said || strcmp(said, "ok") != 0)) {
        buf_printf(m->error, "the store is damaged, and so is its copy: %s; see satchelctl verify",
                   said ? said : sqlite3_errmsg(db));
        rc = SATCHEL_E_CORRUPT;
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
    return rc;
}

/* ---- the files ---- */

static int copy_secrets(making *m) {
    int rc = SATCHEL_OK;
    m->out->n = 1;
    for (const char *const *name = bundle_secrets; !rc && *name; name++) {
        if (faccessat(m->data.fd, *name, F_OK, 0)) continue;
        bundle_file *f = &m->out->file[m->out->n++];
        snprintf(f->name, sizeof f->name, "%s", *name);
        rc = bundle_copy(m->data, m->dir, f, NULL, m->error);
    }
    return rc;
}

static int fill(making *m) {
    bundle *b = m->out;
    *b = (bundle){.made_ms = m->r->now_ms};
    snprintf(b->version, sizeof b->version, "%s", SATCHEL_VERSION);
    snprintf(b->file[0].name, sizeof b->file[0].name, "%s", BUNDLE_STORE);
    int rc = copy_store(m);
    if (!rc) rc = check_store(m);
    if (!rc) rc = bundle_sum(m->dir, &b->file[0], m->watch, m->error);
    if (!rc) rc = copy_secrets(m);
    return rc ? rc : bundle_write_manifest(m->dir, b, m->error);
}

/* ---- its place ---- */

static bool is_taken(const making *m) {
    struct stat st;
    return !fstatat(m->parent.fd, m->name, &st, AT_SYMLINK_NOFOLLOW);
}

static int check_place(making *m) {
    char manifest[300];
    if (!is_taken(m)) return SATCHEL_OK;
    if (!m->r->replace) {
        buf_printf(m->error, "%s: is there already; name another, or replace it with --replace", m->r->target);
        return SATCHEL_E_MISUSE;
    }
    snprintf(manifest, sizeof manifest, "%s/" BUNDLE_MANIFEST, m->name);
    if (!faccessat(m->parent.fd, manifest, F_OK, 0)) return SATCHEL_OK;
    buf_printf(m->error, "%s: is not a backup, and is not replaced", m->r->target);
    return SATCHEL_E_MISUSE;
}

static int fail_here(making *m, const char *what) {
    int rc = os_fail(m->error, m->r->target, NULL, what);
    if (rc == SATCHEL_E_READONLY) buf_printf(m->error, " (it is the server that writes it, as user %ld)", (long)geteuid());
    return rc;
}

static int open_parent(making *m) {
    int rc = bundle_split(m->r->target, m->parent_path, m->name, m->error);
    if (rc) return rc;
    m->parent.fd = open(m->parent_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    m->data.fd = open(m->r->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->parent.fd < 0 || m->data.fd < 0)
        return os_fail(m->error, m->parent.fd < 0 ? m->parent_path : m->r->data, NULL, "cannot open the directory");
    return SATCHEL_OK;
}

static int make_stage(making *m, const char *ending) {
    snprintf(m->stage, sizeof m->stage, "%s.%s", m->name, ending);
    snprintf(m->stage_path, sizeof m->stage_path, "%s/%s", m->parent_path, m->stage);
    int rc = bundle_remove(m->parent, m->stage, m->error); /* of a server that was killed */
    if (rc) return rc;
    if (mkdirat(m->parent.fd, m->stage, 0700)) return fail_here(m, "cannot be made");
    m->dir.fd = openat(m->parent.fd, m->stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return m->dir.fd < 0 ? fail_here(m, "cannot be opened") : SATCHEL_OK;
}

/* The older one goes after the newer one has its name. */
static int settle(making *m) {
    bool taken = is_taken(m);
    int failed = taken ? renameat2(m->parent.fd, m->stage, m->parent.fd, m->name, RENAME_EXCHANGE)
                       : renameat(m->parent.fd, m->stage, m->parent.fd, m->name);
    if (failed) return fail_here(m, taken ? "cannot be replaced" : "cannot be named");
    if (fsync(m->parent.fd)) return fail_here(m, "cannot sync its directory");
    return taken ? bundle_remove(m->parent, m->stage, m->error) : SATCHEL_OK;
}

static atomic_flag busy = ATOMIC_FLAG_INIT;

static int begin(making *m, const backup_request *r, const progress *watch, buf *error) {
    *m = (making){.r = r, .watch = watch, .error = error};
    m->parent = (bundle_dir){.fd = -1, .path = m->parent_path};
    m->dir = (bundle_dir){.fd = -1, .path = m->stage_path};
    m->data = (bundle_dir){.fd = -1, .path = r->data};
    if (!atomic_flag_test_and_set(&busy)) return SATCHEL_OK;
    buf_printf(error, "another backup is being made, or tried");
    return SATCHEL_E_BUSY;
}

/* `undo`: what was made goes. */
static void end(making *m, bool undo) {
    buf unsaid = {0};
    if (undo && m->dir.fd >= 0) bundle_remove(m->parent, m->stage, &unsaid);
    buf_fini(&unsaid);
    if (m->dir.fd >= 0) close(m->dir.fd);
    if (m->parent.fd >= 0) close(m->parent.fd);
    if (m->data.fd >= 0) close(m->data.fd);
    atomic_flag_clear(&busy);
}

int backup_make(const backup_request *r, const progress *watch, bundle *out, buf *error) {
    making m;
    int rc = begin(&m, r, watch, error);
    if (rc) return rc;
    m.out = out;
    rc = open_parent(&m);
    if (!rc) rc = check_place(&m);
    if (!rc) rc = make_stage(&m, "part");
    if (!rc) rc = fill(&m);
    if (!rc) rc = settle(&m);
    end(&m, rc != SATCHEL_OK);
    return rc;
}

/* ---- a drill ---- */

/* What stands under the stage's name may be a backup, which is not to go; a stage has no manifest. */
static int check_stage_is_free(making *m) {
    char manifest[300];
    snprintf(manifest, sizeof manifest, "%s.drill/" BUNDLE_MANIFEST, m->name);
    if (faccessat(m->parent.fd, manifest, F_OK, 0)) return SATCHEL_OK;
    buf_printf(m->error, "%s.drill: is a backup, and in the way; name it otherwise", m->r->target);
    return SATCHEL_E_MISUSE;
}

/* As restore does. */
static int copy_back(making *m, bundle_dir from) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < m->out->n; i++) {
        const bundle_file *was = &m->out->file[i];
        bundle_file is = *was;
        rc = bundle_copy(from, m->dir, &is, m->watch, m->error);
        if (rc || (is.bytes == was->bytes && !memcmp(is.sha256, was->sha256, sizeof is.sha256))) continue;
        buf_printf(m->error, "%s: is not as it was when the backup was made", was->name);
        rc = SATCHEL_E_CORRUPT;
    }
    return rc;
}

static int count_table(sqlite3 *db, const char *table, uint64_t *rows) {
    sqlite3_stmt *q = NULL;
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", table);
    int sq = sql ? sqlite3_prepare_v2(db, sql, -1, &q, NULL) : SQLITE_NOMEM;
    if (sq == SQLITE_OK && (sq = sqlite3_step(q)) == SQLITE_ROW) *rows += (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return sq == SQLITE_ROW ? SATCHEL_OK : db_rc(sq);
}

static int count_rows(making *m, uint64_t *rows) {
    sqlite3 *db = NULL;
    schema *shape = NULL;
    int rc = open_copy(m, "PRAGMA query_only=1", &db);
    if (!rc) rc = schema_load(db, &shape, m->error);
    for (unsigned i = 0; !rc && i < shape->ntable; i++)
        if (shape->table[i].until == SCHEMA_NEVER) rc = count_table(db, shape->table[i].name, rows);
    schema_free(shape);
    sqlite3_close(db);
    return rc;
}

static int verify_copy(making *m, backup_drill *out) {
    char path[PATH_BYTES + 16];
    unsigned problems = 0;
    buf report = {0};
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, m->stage_path);
    int rc = store_verify_files(path, NULL, m->watch, &report, &problems, NULL, m->error);
    if (!rc && problems) buf_put(&out->wrong, report.p, report.n);
    if (!rc) rc = count_rows(m, &out->rows);
    buf_fini(&report);
    return rc ? rc : out->wrong.rc;
}

static int try_backup(making *m, bundle_dir *from, backup_drill *out) {
    uint64_t bytes = 0;
    int rc = open_parent(m);
    if (!rc) from->fd = open(from->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!rc && from->fd < 0) rc = os_fail(m->error, from->path, NULL, "cannot open the backup");
    if (!rc) rc = bundle_read_manifest(*from, m->out, m->error);
    if (rc) return rc;
    out->seq = m->out->seq;
    for (unsigned i = 0; i < m->out->n; i++) bytes += m->out->file[i].bytes;
    rc = check_room(m, bytes);
    if (!rc) rc = check_stage_is_free(m);
    if (!rc) rc = make_stage(m, "drill");
    if (!rc) rc = copy_back(m, *from);
    return rc ? rc : verify_copy(m, out);
}

/* What is said of the backup, and not of the place where it is tried. */
static bool is_found(int rc) {
    return rc && rc != SATCHEL_E_MISUSE && rc != SATCHEL_E_FULL && rc != SATCHEL_E_READONLY && rc != SATCHEL_E_CLOSED &&
           rc != SATCHEL_E_BUSY && rc != SATCHEL_E_NOMEM;
}

int backup_try(const backup_request *r, const progress *watch, backup_drill *out, buf *error) {
    making m;
    struct timespec begun, ended;
    bundle_dir from = {.fd = -1, .path = r->target};
    *out = (backup_drill){0};
    int rc = begin(&m, r, watch, error);
    if (rc) return rc;
    bundle *b = calloc(1, sizeof *b);
    m.out = b;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    rc = b ? try_backup(&m, &from, out) : SATCHEL_E_NOMEM;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    out->ms = (uint64_t)((ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000);
    if (from.fd >= 0) close(from.fd);
    end(&m, true);
    free(b);
    if (!is_found(rc)) return rc;
    buf_clear(&out->wrong);
    buf_printf(&out->wrong, "%s", error->n ? (const char *)error->p : satchel_rc_text(rc));
    buf_clear(error);
    return out->wrong.rc;
}
