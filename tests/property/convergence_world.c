#include "tests/property/convergence.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const MIGRATION[] = {
    "CREATE TABLE item(id BLOB PRIMARY KEY NOT NULL, a TEXT, b TEXT, c TEXT, n INTEGER NOT NULL DEFAULT 0, m INTEGER, f TEXT, k TEXT,"
    " copy_of BLOB, s INTEGER NOT NULL DEFAULT 1, r REAL);\n"
    "INSERT INTO satchel_table(name) VALUES('item');\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('item','b','group:bc'),('item','c','group:bc'),('item','n','counter'),('item','m','max'),"
    "('item','f','first'),('item','k','keep:copy_of'),('item','s','strict');\n"
    "CREATE TABLE gone(id TEXT PRIMARY KEY NOT NULL, v TEXT CHECK(v<>'bad'), n INTEGER DEFAULT 0) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name,wins,key) VALUES('gone','delete','natural');\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('gone','n','counter');\n"
    "CREATE TABLE tag(x INTEGER, y TEXT, v TEXT, PRIMARY KEY(x,y));\n"
    "INSERT INTO satchel_table(name,key) VALUES('tag','natural');\n"
    "CREATE TABLE ev(id BLOB PRIMARY KEY NOT NULL, what TEXT);\n"
    "INSERT INTO satchel_table(name,mode) VALUES('ev','append');\n",
    /* P1: r is another column than the r before it. */
    "ALTER TABLE item ADD COLUMN z TEXT DEFAULT 'zz';\nALTER TABLE item DROP COLUMN r;\nALTER TABLE item ADD COLUMN r TEXT;\n"
    "ALTER TABLE tag RENAME COLUMN v TO w;\n",
    "ALTER TABLE gone RENAME TO lost;\nALTER TABLE item RENAME COLUMN a TO title;\nALTER TABLE item ADD COLUMN hits INTEGER DEFAULT 3;\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('item','hits','counter');\n",
};

bool is_verbose(void) {
    return getenv("SATCHEL_VERBOSE") != NULL;
}

uint64_t now_ms(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void no_wake(void *ctx) {
    (void)ctx;
}

static void show_log(void *ctx, const log_fields *f, const char *text) {
    (void)ctx;
    if (is_verbose()) fprintf(stderr, "  %c %s %s\n", f->level, f->device ? f->device : "-", text);
}

/* ---- files ---- */

void world_path(const world *w, char out[128], const char *format, ...) {
    va_list args;
    int n = snprintf(out, 128, "%s/", w->dir);
    va_start(args, format);
    vsnprintf(out + n, 128 - (size_t)n, format, args);
    va_end(args);
}

static void remove_tree(const char *dir) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path)) remove_tree(path);
    }
    if (d) closedir(d);
    rmdir(dir);
}

static void copy_file(world *w, const char *from, const char *to) {
    char chunk[65536];
    size_t n;
    FILE *in = fopen(from, "rb");
    unlink(to);
    if (!in) return;
    FILE *out = fopen(to, "wb");
    CHECK(w, out != NULL);
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0) CHECK(w, fwrite(chunk, 1, n, out) == n);
    fclose(in);
    fclose(out);
}

void copy_database(world *w, const char *from, const char *to) {
    char a[160], b[160];
    copy_file(w, from, to);
    snprintf(a, sizeof a, "%s-wal", from);
    snprintf(b, sizeof b, "%s-wal", to);
    copy_file(w, a, b);
    snprintf(b, sizeof b, "%s-shm", to);
    unlink(b);
}

int64_t ask(world *w, sqlite3 *db, const char *format, ...) {
    char sql[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL)) fail_msg("seed %" PRIu64 ": %s: %s", w->seed, sql, sqlite3_errmsg(db));
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return n;
}

/* ---- server and devices ---- */

bool world_add_migration(world *w) {
    char path[128];
    if (w->migrations == sizeof MIGRATION / sizeof *MIGRATION) return false;
    world_path(w, path, "schema/%03u_step.sql", w->migrations + 1);
    FILE *f = fopen(path, "w");
    CHECK(w, f != NULL);
    fputs(MIGRATION[w->migrations++], f);
    fclose(f);
    return true;
}

void open_server(world *w, bool restored) {
    static char store_path[128], snap[128]; /* the hub keeps them */
    char schema_dir[128];
    world_path(w, store_path, "store.db");
    world_path(w, snap, "snap.db");
    world_path(w, schema_dir, "schema");
    buf error;
    buf_init(&error, 0);
    store_config sc = {.path = store_path, .schema_dir = schema_dir, .now_ms = now_ms(NULL), .restored = restored};
    if (store_open(&sc, &w->st, &error)) fail_msg("seed %" PRIu64 ": store: %.*s", w->seed, (int)error.n, (const char *)error.p);
    hub_config hc = {.store = w->st,
                     .store_path = store_path,
                     .snapshot_path = snap,
                     .readers = 1,
                     .history_ms = 1000000,
                     .now_ms = now_ms,
                     .wake = no_wake,
                     .log = show_log};
    if (hub_open(&hc, &w->h, &error)) fail_msg("seed %" PRIu64 ": hub: %.*s", w->seed, (int)error.n, (const char *)error.p);
    buf_fini(&error);
}

void close_server(world *w) {
    for (unsigned i = 0; i < w->ndevices; i++) cut(w, &w->d[i]);
    hub_close(w->h);
    store_close(w->st);
}

void open_device(world *w, unsigned i) {
    char path[128];
    world_path(w, path, "d%u.db", i);
    device *d = &w->d[i];
    if (satchel_open(path, NULL, &d->s)) fail_msg("seed %" PRIu64 ": device %u: %s", w->seed, i, satchel_errmsg(d->s));
    memset(d->fingerprint, (int)d->key + 1, sizeof d->fingerprint);
    d->connection = 0;
}

static void enrol(world *w, unsigned i) {
    char name[16];
    snprintf(name, sizeof name, "d%u", i);
    uint8_t secret[16] = {(uint8_t)i};
    device_info info;
    CHECK(w, store_begin(w->st) == 0);
    CHECK(w, store_enrol_offer(w->st, name, secret, now_ms(NULL) + 100000) == 0);
    CHECK(w, store_enrol_redeem(w->st, secret, w->d[i].fingerprint, now_ms(NULL), &info) == 0);
    CHECK(w, store_commit(w->st) == 0);
}

void world_open(world *w) {
    char path[128];
    snprintf(w->dir, sizeof w->dir, "%s/satchel-conv-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    world_path(w, path, "schema");
    assert_int_equal(mkdir(path, 0700), 0);
    w->ledger = calloc(MAX_ENTRIES, sizeof *w->ledger);
    assert_non_null(w->ledger);
    world_add_migration(w);
    open_server(w, false);
    for (; w->ndevices < DEVICES; w->ndevices++) {
        w->d[w->ndevices].key = w->ndevices;
        open_device(w, w->ndevices);
        enrol(w, w->ndevices);
    }
}

void world_close(world *w) {
    close_server(w);
    for (unsigned i = 0; i < w->ndevices; i++) satchel_close(w->d[i].s);
    free(w->ledger);
    remove_tree(w->dir);
}

/* ---- the network ---- */

void cut(world *w, device *d) {
    if (!d->connection) return;
    hub_disconnect(w->h, d->connection);
    session_end(d->s->session, SATCHEL_E_CLOSED, "cut", now_ms(NULL));
    d->connection = 0;
}

static void step_server(world *w) {
    for (int i = 0; i < 20; i++) {
        bool any = hub_write_step(w->h);
        any = hub_read_step(w->h, 0) || any;
        if (!any) break;
    }
}

static void fail_session(world *w, device *d, const char *what, int rc) {
    fail_msg("seed %" PRIu64 ": device %ld: %s: %s: %s", w->seed, (long)(d - w->d), what, satchel_rc_name(rc),
             session_error(d->s->session));
}

/* A copy of a file finds out and comes back; a server closes the older connection of one device. Nothing else may end a connection. */
static bool may_close(int rc) {
    return rc == SATCHEL_E_CLOSED;
}

static bool take_frames(world *w, device *d, unsigned *frames, bool *any) {
    hub_frame f;
    bool closing = false;
    while (*frames && hub_output(w->h, d->connection, &f, &closing)) {
        int rc = session_receive(d->s->session, f.p, f.n, now_ms(NULL));
        hub_output_done(w->h, d->connection);
        if (rc && !may_close(rc)) fail_session(w, d, "receive", rc);
        if (rc) return false;
        --*frames;
        *any = true;
    }
    return !closing;
}

static void exchange_frames(world *w, device *d, unsigned frames) {
    session *s = d->s->session;
    if (!d->connection) {
        d->connection = hub_connect(w->h, d->fingerprint);
        CHECK(w, session_begin(s, now_ms(NULL)) == 0);
    }
    const uint8_t *p;
    size_t n;
    for (bool any = true; any && frames;) {
        any = false;
        int rc = session_wake(s, now_ms(NULL));
        if (rc) fail_session(w, d, "wake", rc);
        for (; frames && session_output(s, &p, &n); frames--, any = true) hub_receive(w->h, d->connection, p, n);
        step_server(w);
        if (!take_frames(w, d, &frames, &any)) {
            cut(w, d);
            return;
        }
    }
}

void exchange(world *w, device *d, unsigned frames) {
    exchange_frames(w, d, frames);
    ledger_look(w, (unsigned)(d - w->d));
}
