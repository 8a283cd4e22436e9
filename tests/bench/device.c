/* bench_device - one step of a measurement on a device's file or on a plain one, through the public API alone; prints one JSON object.
 *
 * tests/bench/run puts the steps in order, with a real satcheld at the other end, and compares the contents that are printed as a digest.
 * "Durable" on a device means that its write-ahead log is on the disk: the clock stops after an fsync of it, as a plain commit with
 * synchronous=FULL returns after one. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica/satchel.h"
#include "tests/bench/bench.h"

#define PATIENCE_S 300
#define REPEAT_MAX 1000

typedef struct options {
    const char *path[2];
    unsigned rows, edits, batch, round, repeat;
    bool full, live, idle, other;
} options;

/* ---- devices ---- */

static satchel *open_device(const char *path) {
    satchel *s;
    if (satchel_open(path, NULL, &s)) bench_die(NULL, satchel_errmsg(s));
    return s;
}

static satchel_status_info status_of(satchel *s) {
    satchel_status_info i = {.size = sizeof i};
    if (satchel_get_status(s, &i)) bench_die(NULL, satchel_errmsg(s));
    return i;
}

static int open_log(const char *path) {
    char name[4096];
    snprintf(name, sizeof name, "%s-wal", path);
    return open(name, O_RDWR | O_CLOEXEC);
}

static void sync_log(const char *path) {
    int fd = open_log(path);
    if (fd >= 0 && fsync(fd)) bench_die(NULL, "fsync");
    if (fd >= 0) close(fd);
}

/* Of the bench's own table; another schema has none. */
static uint64_t digest_of(const options *o, satchel *s) {
    return o->other ? 0 : bench_digest(satchel_db(s));
}

static bool is_late(double began) {
    return bench_seconds() - began > PATIENCE_S;
}

static void poll_in_step(satchel *s) {
    double began = bench_seconds();
    for (int rc = 0; rc != 1;) {
        rc = satchel_poll(s, 1000);
        if (rc < 0 || is_late(began)) bench_die(NULL, rc < 0 ? satchel_errmsg(s) : "not in step");
    }
}

static void wait_in_step(satchel *s) {
    double began = bench_seconds();
    for (;;) {
        satchel_status_info i = status_of(s);
        if (i.state == SATCHEL_IN_STEP && !i.pending && !i.accepted) return;
        if (i.state == SATCHEL_STOPPED || is_late(began)) bench_die(NULL, i.last_error_text);
        usleep(2000);
    }
}

/* A line of /proc/self/status, in KiB. */
static long memory_kib(const char *name) {
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) kib = strtol(line + strlen(name) + 1, NULL, 10);
    if (f) fclose(f);
    return kib;
}

/* ---- plain SQLite ---- */

static void plain_insert(const options *o) {
    bench_writer w;
    bench_writer_open(&w, bench_open(o->path[0], 1, o->full));
    double began = bench_seconds();
    bench_insert_all(&w, 0, o->rows, o->batch);
    printf("{\"seconds\": %.6f", bench_seconds() - began);
    bench_run(w.db, "PRAGMA wal_checkpoint(TRUNCATE)");
    printf(", \"digest\": \"%016" PRIx64 "\"}\n", bench_digest(w.db));
    bench_writer_close(&w);
    sqlite3_close(w.db);
}

static void plain_update(const options *o) {
    const bench_edits e = {.rows = o->rows, .round = o->round};
    bench_writer w;
    bench_writer_open(&w, bench_open(o->path[0], 0, o->full));
    double began = bench_seconds();
    bench_update_all(&w, &e, 0, o->edits, o->batch);
    printf("{\"seconds\": %.6f", bench_seconds() - began);
    printf(", \"digest\": \"%016" PRIx64 "\"}\n", bench_digest(w.db));
    bench_writer_close(&w);
    sqlite3_close(w.db);
}

static void plain_copy(const options *o) {
    sqlite3 *from = bench_open(o->path[0], 0, 1), *to = bench_open(o->path[1], 1, o->full);
    sqlite3_stmt *q = bench_prepare(from, "SELECT * FROM contact");
    sqlite3_stmt *insert = bench_prepare(to, "INSERT INTO contact VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    double began = bench_seconds();
    bench_run(to, "BEGIN IMMEDIATE");
    while (sqlite3_step(q) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(q); i++) sqlite3_bind_value(insert, i + 1, sqlite3_column_value(q, i));
        bench_step(insert);
    }
    bench_run(to, "COMMIT");
    printf("{\"seconds\": %.6f, \"digest\": \"%016" PRIx64 "\"}\n", bench_seconds() - began, bench_digest(to));
    sqlite3_finalize(q);
    sqlite3_finalize(insert);
    sqlite3_close(from);
    sqlite3_close(to);
}

static void print_digest(const options *o) {
    sqlite3 *db;
    if (sqlite3_open_v2(o->path[0], &db, SQLITE_OPEN_READONLY, NULL)) bench_die(db, o->path[0]);
    printf("{\"digest\": \"%016" PRIx64 "\"}\n", bench_digest(db));
    sqlite3_close(db);
}

/* ---- one device ---- */

static void print_schema(const options *o) {
    (void)o;
    printf("%s%s", bench_table, bench_declare);
}

static void insert(const options *o) {
    satchel *s = open_device(o->path[0]);
    bench_writer w;
    bench_writer_open(&w, satchel_db(s));
    double began = bench_seconds();
    bench_insert_all(&w, 0, o->rows, o->batch);
    printf("{\"seconds\": %.6f}\n", bench_seconds() - began);
    bench_writer_close(&w);
    satchel_close(s);
}

/* Until all is in step, and on the disk; what the process has grown by, with --idle after a second without work. */
static void sync_device(const options *o) {
    long before = memory_kib("VmRSS"), peak_before = memory_kib("VmHWM");
    satchel *s = open_device(o->path[0]);
    double began = bench_seconds();
    poll_in_step(s);
    sync_log(o->path[0]);
    double seconds = bench_seconds() - began;
    for (double idle = bench_seconds(); o->idle && bench_seconds() - idle < 1;) satchel_poll(s, 200);
    long after = memory_kib("VmRSS"), peak = memory_kib("VmHWM");
    bench_run(satchel_db(s), "PRAGMA wal_checkpoint(TRUNCATE)");
    printf("{\"seconds\": %.6f, \"kib\": %ld, \"peak_kib\": %ld, \"digest\": \"%016" PRIx64 "\"}\n", seconds, after - before,
           peak - peak_before, digest_of(o, s));
    satchel_close(s);
}

/* Until the server has made every transaction that was waiting durable, as its results say; then until in step. */
static void push(const options *o) {
    satchel *s = open_device(o->path[0]);
    double began = bench_seconds(), pushed = 0;
    while (pushed == 0) {
        if (satchel_poll(s, 5) < 0) bench_die(NULL, satchel_errmsg(s));
        if (!status_of(s).pending) pushed = bench_seconds() - began;
        if (is_late(began)) bench_die(NULL, "not pushed");
    }
    poll_in_step(s);
    printf("{\"seconds\": %.6f, \"in_step_seconds\": %.6f, \"refused\": %" PRIu64 ", \"digest\": \"%016" PRIx64 "\"}\n", pushed,
           bench_seconds() - began, status_of(s).refused, digest_of(o, s));
    satchel_close(s);
}

/* ---- from one device to another ---- */

/* Waits in B's syncing thread for A's last edit. It is in the last transaction, and pages come in commit order. */
typedef struct watch {
    satchel *b;
    int log_fd;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    sqlite3_stmt *marker; /* NULL: nothing is awaited */
    double at;            /* when B had it on the disk; 0: not yet */
} watch;

static void on_change(void *ctx, const char *table) {
    watch *w = ctx;
    (void)table;
    pthread_mutex_lock(&w->mutex);
    if (w->marker && w->at == 0) {
        if (sqlite3_step(w->marker) == SQLITE_ROW) {
            if (fsync(w->log_fd)) bench_die(NULL, "fsync");
            w->at = bench_seconds();
            pthread_cond_signal(&w->arrived);
        }
        sqlite3_reset(w->marker);
    }
    pthread_mutex_unlock(&w->mutex);
}

static void await(watch *w) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&w->mutex);
    while (w->at == 0)
        if (pthread_cond_timedwait(&w->arrived, &w->mutex, &until)) bench_die(NULL, "the last edit did not arrive");
    sqlite3_finalize(w->marker);
    w->marker = NULL;
    pthread_mutex_unlock(&w->mutex);
}

/* One round; seconds. Live: both are connected, and the clock runs from the first edit on A. Else the edits wait on A, which is not connected, and it runs
 * from when A begins to connect. */
static double deliver(const options *o, satchel *a, bench_writer *writer, watch *w, unsigned round) {
    const bench_edits e = {.rows = o->rows, .round = round};
    double began;
    pthread_mutex_lock(&w->mutex);
    w->at = 0;
    w->marker = bench_marker(satchel_db(w->b), &e, o->edits - 1);
    pthread_mutex_unlock(&w->mutex);
    if (o->live) {
        began = bench_seconds();
        bench_update_all(writer, &e, 0, o->edits, o->batch);
    } else {
        satchel_stop(a);
        bench_update_all(writer, &e, 0, o->edits, o->batch);
        began = bench_seconds();
        if (satchel_start(a)) bench_die(NULL, satchel_errmsg(a));
    }
    await(w);
    wait_in_step(a);
    wait_in_step(w->b);
    return w->at - began;
}

static void delta(const options *o) {
    double seconds[REPEAT_MAX];
    satchel *a = open_device(o->path[0]);
    watch w = {.b = open_device(o->path[1]), .mutex = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};
    satchel_on_change(w.b, on_change, &w);
    if (satchel_start(a) || satchel_start(w.b)) bench_die(NULL, "satchel_start");
    wait_in_step(a);
    wait_in_step(w.b);
    w.log_fd = open_log(o->path[1]);
    if (w.log_fd < 0) bench_die(NULL, "B's write-ahead log");
    bench_writer writer;
    bench_writer_open(&writer, satchel_db(a));
    for (unsigned i = 0; i < o->repeat; i++) seconds[i] = deliver(o, a, &writer, &w, o->round + i);
    printf("{\"seconds\": [");
    for (unsigned i = 0; i < o->repeat; i++) printf("%s%.6f", i ? ", " : "", seconds[i]);
    satchel_stop(a);
    satchel_stop(w.b);
    printf("], \"a\": \"%016" PRIx64 "\", \"b\": \"%016" PRIx64 "\"}\n", bench_digest(satchel_db(a)),
           bench_digest(satchel_db(w.b)));
    bench_writer_close(&writer);
    satchel_close(a);
    satchel_close(w.b);
    close(w.log_fd);
}

/* ---- commands ---- */

typedef struct command {
    const char *name;
    int paths;
    void (*run)(const options *o);
} command;

static const command COMMANDS[] = {
    {"schema", 0, print_schema},
    {"digest", 1, print_digest},
    {"plain-insert", 1, plain_insert},
    {"plain-update", 1, plain_update},
    {"plain-copy", 2, plain_copy},
    {"insert", 1, insert},
    {"sync", 1, sync_device},
    {"push", 1, push},
    {"delta", 2, delta},
};

static const char usage[] =
    "usage: bench_device COMMAND [FILE [FILE]] [--rows N] [--edits N] [--batch N] [--round N] [--repeat N] [--full] [--live] [--idle]\n"
    "                    [--other]\n"
    "  schema                   the migration that makes the table; digest FILE: of the rows of any file\n"
    "  plain-insert FILE        rows into a new plain file; plain-update FILE: edits; plain-copy FROM TO: in one transaction\n"
    "  insert FILE              rows into an enrolled file, without a network\n"
    "  sync FILE                until in step; push FILE: until the server has what waits\n"
    "  delta A B                edits on A until durable on B\n"
    "--batch is rows of one transaction, --full synchronous=FULL for a plain file, --other that the schema is another: no digest. Exit status: 0 done, 2 failed.\n";

static bool read_options(int argc, char **argv, options *o) {
    static const struct option known[] = {{"rows", required_argument, NULL, 'n'},   {"edits", required_argument, NULL, 'e'},
                                          {"batch", required_argument, NULL, 'b'},  {"round", required_argument, NULL, 'r'},
                                          {"repeat", required_argument, NULL, 't'}, {"full", no_argument, NULL, 'f'},
                                          {"live", no_argument, NULL, 'l'},         {"idle", no_argument, NULL, 'i'},
                                          {"other", no_argument, NULL, 'o'},        {NULL, 0, NULL, 0}};
    *o = (options){.rows = 50000, .edits = 10000, .batch = 100, .repeat = 1};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        if (c == 'n') o->rows = n;
        if (c == 'e') o->edits = n;
        if (c == 'b') o->batch = n;
        if (c == 'r') o->round = n;
        if (c == 't') o->repeat = n;
        if (c == 'f') o->full = true;
        if (c == 'l') o->live = true;
        if (c == 'i') o->idle = true;
        if (c == 'o') o->other = true;
        if (c == '?') return false;
    }
    return o->rows && o->edits && o->batch && o->repeat && o->repeat <= REPEAT_MAX;
}

int main(int argc, char **argv) {
    options o;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(usage, stdout) < 0;
    bool good = read_options(argc, argv, &o) && optind < argc;
    int paths = argc - optind - 1;
    for (size_t i = 0; good && i < sizeof COMMANDS / sizeof *COMMANDS; i++) {
        if (strcmp(argv[optind], COMMANDS[i].name) != 0 || paths != COMMANDS[i].paths) continue;
        for (int k = 0; k < paths; k++) o.path[k] = argv[optind + 1 + k];
        COMMANDS[i].run(&o);
        return 0;
    }
    fputs(usage, stderr);
    return 2;
}
