/* Several replicas and one server core in one process, without threads or sockets: random SQL on every side, connections that are cut at
 * any frame, and at the end every side must hold the same rows, nothing may be pending, and counters must be the sum of what was done.
 * A failing seed is printed; SATCHEL_SEED and SATCHEL_SEEDS choose which seeds run. */
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/digest.h"
#include "protocol/satchel_rc.h"
#include "replica/handle.h"
#include "server/hub_private.h"
#include "tests/property/seeds.h"

#define DEVICES 3u
#define ROWS 6

static const char SCHEMA[] =
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
    "INSERT INTO satchel_table(name,mode) VALUES('ev','append');\n";

typedef struct device {
    satchel *s;
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    uint64_t connection; /* hub session, 0 when cut */
} device;

typedef struct world {
    uint64_t seed;
    seed *random;
    char dir[64];
    store *st;
    hub *h;
    device d[DEVICES];
    int64_t counted[ROWS]; /* what was added to item n of rows that are never deleted */
} world;

static unsigned pick(world *w, unsigned n) {
    return seed_below(w->random, n);
}

#define CHECK(w, cond)                                                                          \
    do {                                                                                        \
        if (!(cond)) {                                                                          \
            fail_msg("seed %" PRIu64 ": %s (line %d)", (w)->seed, #cond, __LINE__);             \
        }                                                                                       \
    } while (0)

static uint64_t now_ms(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void no_wake(void *ctx) {
    (void)ctx;
}

static void no_log(void *ctx, char level, const char *name, const char *text) {
    (void)ctx;
    if (getenv("SATCHEL_VERBOSE")) fprintf(stderr, "  %c %s %s\n", level, name ? name : "-", text);
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

static void write_file(const char *dir, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void open_server(world *w) {
    char store_path[128], snap[128], schema_dir[128];
    snprintf(store_path, sizeof store_path, "%s/store.db", w->dir);
    snprintf(snap, sizeof snap, "%s/snap.db", w->dir);
    snprintf(schema_dir, sizeof schema_dir, "%s/schema", w->dir);
    buf error;
    buf_init(&error, 0);
    store_config sc = {.path = store_path, .schema_dir = schema_dir, .now_ms = now_ms(NULL)};
    if (store_open(&sc, &w->st, &error)) fail_msg("store: %.*s", (int)error.n, (const char *)error.p);
    hub_config hc = {.store = w->st, .store_path = store_path, .snapshot_path = snap, .readers = 1, .history_ms = 1000000, .now_ms = now_ms,
                     .wake = no_wake, .log = no_log};
    if (hub_open(&hc, &w->h, &error)) fail_msg("hub: %.*s", (int)error.n, (const char *)error.p);
    buf_fini(&error);
}

static void open_device(world *w, unsigned i) {
    char path[128], name[16];
    device *d = &w->d[i];
    snprintf(path, sizeof path, "%s/d%u.db", w->dir, i);
    snprintf(name, sizeof name, "d%u", i);
    if (satchel_open(path, NULL, &d->s)) fail_msg("device: %s", satchel_errmsg(d->s));
    memset(d->fingerprint, (int)i + 1, sizeof d->fingerprint);
    uint8_t secret[16] = {(uint8_t)i};
    device_info info;
    CHECK(w, store_begin(w->st) == 0);
    CHECK(w, store_enrol_offer(w->st, name, secret, now_ms(NULL) + 100000) == 0);
    CHECK(w, store_enrol_redeem(w->st, secret, d->fingerprint, now_ms(NULL), &info) == 0);
    CHECK(w, store_commit(w->st) == 0);
}

/* ---- the network ---- */

static void cut(world *w, device *d) {
    if (!d->connection) return;
    hub_disconnect(w->h, d->connection);
    session_end(d->s->session, SATCHEL_E_CLOSED, "cut", now_ms(NULL));
    d->connection = 0;
}

static void work_server(world *w) {
    for (int i = 0; i < 20; i++) {
        bool any = hub_write_step(w->h);
        any = hub_read_step(w->h, 0) || any;
        if (!any) break;
    }
}

/* Exchanges at most `frames` frames; then the rest may be lost with the connection. */
static void exchange(world *w, device *d, unsigned frames) {
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
        if (rc) fail_msg("seed %" PRIu64 ": wake: %s: %s", w->seed, satchel_rc_name(rc), session_error(s));
        for (; frames && session_output(s, &p, &n); frames--, any = true) hub_receive(w->h, d->connection, p, n);
        work_server(w);
        hub_frame f;
        bool closing = false;
        while (frames && hub_output(w->h, d->connection, &f, &closing)) {
            rc = session_receive(s, f.p, f.n, now_ms(NULL));
            hub_output_done(w->h, d->connection);
            if (rc) fail_msg("seed %" PRIu64 ": device %ld: %s: %s", w->seed, (long)(d - w->d), satchel_rc_name(rc), session_error(s));
            frames--;
            any = true;
        }
        if (closing) {
            cut(w, d);
            return;
        }
    }
}

/* ---- work ---- */

static int run(world *w, device *d, const char *format, ...) {
    char sql[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    int rc = sqlite3_exec(satchel_db(d->s), sql, NULL, NULL, NULL);
    if (getenv("SATCHEL_VERBOSE")) fprintf(stderr, "  d%ld %s -> %d\n", (long)(d - w->d), sql, rc);
    if (rc && (rc & 0xff) != SQLITE_CONSTRAINT) fail_msg("seed %" PRIu64 ": %s: %s", w->seed, sql, sqlite3_errmsg(satchel_db(d->s)));
    return rc;
}

static void change_item(world *w, device *d) {
    unsigned row = pick(w, ROWS), what = pick(w, 8), v = pick(w, 50);
    int64_t add = (int64_t)pick(w, 9) - 4;
    switch (what) {
    case 0:
        run(w, d, "UPDATE item SET a='a%u' WHERE id=x'0%u'", v, row);
        break;
    case 1:
        run(w, d, "UPDATE item SET b='b%u', c='c%u' WHERE id=x'0%u'", v, v, row);
        break;
    case 2:
        run(w, d, "UPDATE item SET c='c%u' WHERE id=x'0%u'", v, row);
        break;
    case 3:
        run(w, d, "UPDATE item SET m=%u WHERE id=x'0%u'", v, row);
        break;
    case 4:
        run(w, d, "UPDATE item SET f='f%u' WHERE id=x'0%u'", v, row);
        break;
    case 5:
        run(w, d, "UPDATE item SET k='k%u' WHERE id=x'0%u'", v, row);
        break;
    case 6:
        run(w, d, "UPDATE item SET s=%u, r=%u.5 WHERE id=x'0%u'", v % 2, v, row);
        break;
    default:
        run(w, d, "UPDATE item SET n=n+%" PRId64 " WHERE id=x'0%u'", add, row);
        if (sqlite3_changes(satchel_db(d->s)) == 1) w->counted[row] += add;
    }
}

static void change_other(world *w, device *d) {
    unsigned row = pick(w, 5), v = pick(w, 50);
    switch (pick(w, 10)) {
    case 0:
        run(w, d, "INSERT INTO gone VALUES('g%u','v%u',1) ON CONFLICT DO UPDATE SET v=excluded.v, n=n+1", row, v);
        break;
    case 1:
        run(w, d, "DELETE FROM gone WHERE id='g%u'", row);
        break;
    case 2:
        run(w, d, "UPDATE gone SET v='w%u', n=n+2 WHERE id='g%u'", v, row);
        break;
    case 3:
        run(w, d, "REPLACE INTO tag VALUES(%u,'y',%s)", row, v % 3 ? "'t'" : "NULL");
        break;
    case 4:
        run(w, d, "DELETE FROM tag WHERE x=%u", row);
        break;
    case 5:
        run(w, d, "UPDATE tag SET v='u%u' WHERE x=%u", v, row);
        break;
    case 6:
        run(w, d, "UPDATE tag SET x=x+10 WHERE x=%u", row);
        break;
    case 7:
        run(w, d, "INSERT INTO ev VALUES(uuid7(),'e%u')", v);
        break;
    case 8: /* refused by the server, alone: rows of ev are never deleted */
        if (sqlite3_get_autocommit(satchel_db(d->s)))
            run(w, d, "BEGIN; INSERT INTO tag VALUES(%u,'refused','r') ON CONFLICT DO NOTHING; DELETE FROM ev; COMMIT", v + 1000);
        break;
    default:
        run(w, d, "INSERT INTO item(id,a) VALUES(uuid7(),'new%u')", v);
        run(w, d, "DELETE FROM item WHERE id IN (SELECT id FROM item WHERE a LIKE 'new%%' AND copy_of IS NULL LIMIT 1)");
    }
}

static void transaction(world *w, device *d) {
    unsigned n = 1 + pick(w, 3);
    bool grouped = pick(w, 2);
    if (grouped) run(w, d, "BEGIN");
    for (unsigned i = 0; i < n; i++) {
        if (pick(w, 2))
            change_item(w, d);
        else
            change_other(w, d);
        if (!sqlite3_get_autocommit(satchel_db(d->s)) && !grouped) run(w, d, "ROLLBACK");
    }
    if (grouped && !sqlite3_get_autocommit(satchel_db(d->s))) run(w, d, "COMMIT");
}

/* The server's own SQL comes through the same door. */
static void server_sql(world *w) {
    char sql[256];
    unsigned row = pick(w, ROWS), v = pick(w, 50);
    switch (pick(w, 4)) {
    case 0:
        snprintf(sql, sizeof sql, "UPDATE item SET a='s%u', n=n+1 WHERE id=x'0%u'", v, row);
        w->counted[row]++;
        break;
    case 1:
        snprintf(sql, sizeof sql, "BEGIN; DELETE FROM gone; INSERT INTO tag(x,y,v) VALUES(%u,'s','s') ON CONFLICT DO UPDATE SET v='s%u'; COMMIT;", row, v);
        break;
    case 2:
        snprintf(sql, sizeof sql, "DELETE FROM tag WHERE x=%u", row);
        break;
    default:
        snprintf(sql, sizeof sql, "UPDATE item SET b='sb', c='sc%u', k='sk%u' WHERE id=x'0%u'", v, v, row);
    }
    buf error;
    buf_init(&error, 0);
    uint64_t transactions, rows;
    if (ingest_sql(w->h->ingest, sql, now_ms(NULL), &transactions, &rows, &error))
        fail_msg("seed %" PRIu64 ": %s: %.*s", w->seed, sql, (int)error.n, (const char *)error.p);
    pthread_mutex_lock(&w->h->mutex);
    hub_publish(w->h);
    pthread_mutex_unlock(&w->h->mutex);
    buf_fini(&error);
}

/* ---- the end ---- */

static void settle(world *w) {
    for (int round = 0; round < 30; round++)
        for (unsigned i = 0; i < DEVICES; i++) exchange(w, &w->d[i], 100000);
    for (unsigned i = 0; i < DEVICES; i++) {
        satchel_status_info info = {.size = sizeof info};
        CHECK(w, satchel_get_status(w->d[i].s, &info) == 0);
        CHECK(w, info.pending == 0);
        CHECK(w, info.accepted == 0);
        CHECK(w, session_in_step(w->d[i].s->session));
    }
}

static void compare(world *w) {
    buf server, mine, report;
    buf_init(&server, 0);
    buf_init(&mine, 0);
    buf_init(&report, 0);
    CHECK(w, digest_tables(store_db(w->st), store_schema(w->st), &server) == 0);
    buf_put_byte(&server, 0);
    for (unsigned i = 0; i < DEVICES; i++) {
        buf_clear(&mine);
        CHECK(w, digest_tables(w->d[i].s->file->db, w->d[i].s->file->schema, &mine) == 0);
        buf_put_byte(&mine, 0);
        if (strcmp((char *)server.p, (char *)mine.p) != 0)
            fail_msg("seed %" PRIu64 ": device %u differs\nserver:\n%sdevice:\n%s", w->seed, i, (char *)server.p, (char *)mine.p);
        char *faults = NULL;
        if (satchel_verify(w->d[i].s, &faults)) fail_msg("seed %" PRIu64 ": device %u: %s", w->seed, i, faults ? faults : "?");
        sqlite3_free(faults);
    }
    unsigned problems = 0;
    CHECK(w, store_verify(w->st, &report, &problems) == 0);
    if (problems) fail_msg("seed %" PRIu64 ": store: %.*s", w->seed, (int)report.n, (const char *)report.p);
    buf_fini(&server);
    buf_fini(&mine);
    buf_fini(&report);
}

static void check_counters(world *w) {
    sqlite3_stmt *q = NULL;
    for (int row = 0; row < ROWS; row++) {
        char sql[96];
        snprintf(sql, sizeof sql, "SELECT n FROM item WHERE id=x'0%d'", row);
        CHECK(w, sqlite3_prepare_v2(store_db(w->st), sql, -1, &q, NULL) == SQLITE_OK);
        CHECK(w, sqlite3_step(q) == SQLITE_ROW);
        int64_t n = sqlite3_column_int64(q, 0);
        sqlite3_finalize(q);
        if (n != w->counted[row]) fail_msg("seed %" PRIu64 ": counter %d is %" PRId64 ", was counted %" PRId64, w->seed, row, n, w->counted[row]);
    }
}

static void seed_rows(world *w) {
    exchange(w, &w->d[0], 1000);
    for (int row = 0; row < ROWS; row++) run(w, &w->d[0], "INSERT INTO item(id,a) VALUES(x'0%d','base')", row);
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < DEVICES; i++) exchange(w, &w->d[i], 1000);
}

static void run_seed(seed *random) {
    world w = {.seed = random->first, .random = random};
    snprintf(w.dir, sizeof w.dir, "/tmp/satchel-conv-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    char schema_dir[96];
    snprintf(schema_dir, sizeof schema_dir, "%s/schema", w.dir);
    assert_int_equal(mkdir(schema_dir, 0700), 0);
    write_file(schema_dir, "001_things.sql", SCHEMA);
    open_server(&w);
    for (unsigned i = 0; i < DEVICES; i++) open_device(&w, i);
    seed_rows(&w);
    for (int step = 0; step < 60; step++) {
        device *d = &w.d[pick(&w, DEVICES)];
        if (pick(&w, 12) == 0) {
            server_sql(&w);
        } else if (pick(&w, 3)) {
            transaction(&w, d);
        } else {
            exchange(&w, d, 1 + pick(&w, 12));
            if (pick(&w, 3) == 0) cut(&w, d);
        }
    }
    settle(&w);
    compare(&w);
    check_counters(&w);
    for (unsigned i = 0; i < DEVICES; i++) {
        cut(&w, &w.d[i]);
        satchel_close(w.d[i].s);
    }
    hub_close(w.h);
    store_close(w.st);
    remove_tree(w.dir);
}

static void replicas_converge(void **state) {
    (void)state;
    seed_run(run_seed, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(replicas_converge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
