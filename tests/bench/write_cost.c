/* write_cost - what capture and outbox add to local writes, against plain SQLite in the same run.
 *
 * 50,000 inserts in transactions of 100, then 50,000 one-column updates by key in scattered order in transactions of 10, on a table of contacts
 * of about 250 bytes; WAL, synchronous=NORMAL. Plain and captured take turns every few transactions, so that both see the same
 * machine. Prints the median over the repetitions of captured time / plain time. Exit status 1 if a target is missed. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/message.h"
#include "replica/handle.h"

#define REPETITIONS_MAX 99
/* Transactions of one variant before the other has its turn. */
#define TURN 20

static const char TABLE[] =
    "CREATE TABLE contact(id TEXT PRIMARY KEY NOT NULL, name TEXT, email TEXT, phone TEXT, company TEXT, city TEXT,"
    " status TEXT, score INTEGER, notes TEXT, updated INTEGER);";
static const char DECLARE[] = "INSERT INTO satchel_table(name) VALUES('contact');";

static const char *const COLUMNS[] = {"score", "status", "city", "phone", "notes"};
#define NCOLUMNS 5

typedef struct options {
    unsigned rows, repetitions;
    bool json, check;
    const char *folder;
} options;

typedef struct variant {
    const char *name;
    char path[512];
    sqlite3 *db;
    satchel *replica; /* NULL: plain */
    sqlite3_stmt *begin, *commit, *insert, *update[NCOLUMNS];
    double wall_us, cpu_us; /* of the phase at hand */
} variant;

typedef struct figures {
    double plain_us, captured_us; /* a row */
    double wall, cpu;             /* captured / plain */
} figures;

static void die(sqlite3 *db, const char *what) {
    fprintf(stderr, "write_cost: %s: %s\n", what, db ? sqlite3_errmsg(db) : "failed");
    exit(2);
}

static double clock_us(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- rows ---- */

static uint64_t scramble(uint64_t n) {
    n = (n ^ n >> 33) * UINT64_C(0xff51afd7ed558ccd);
    n = (n ^ n >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return n ^ n >> 33;
}

static const char *const WORDS[] = {"asked",  "terms", "visit",   "fair",  "renewal", "budget", "after",  "spring",
                                    "sample", "rack",  "loyalty", "quote", "signed",  "later",  "friend", "annual"};

static void make_id(uint64_t row, char out[40]) {
    uint64_t a = scramble(row * 2 + 7), b = scramble(row * 2 + 8);
    snprintf(out, 40, "%08" PRIx64 "-%04" PRIx64 "-4%03" PRIx64 "-a%03" PRIx64 "-%012" PRIx64, a >> 32, (a >> 16) & 0xffff,
             a & 0xfff, b >> 52, b & 0xffffffffffff);
}

static void make_words(uint64_t seed, size_t n, char *out) {
    size_t at = 0;
    while (at < n) {
        at += (size_t)sprintf(out + at, "%s%s", at ? " " : "", WORDS[seed & 15]);
        seed = seed >> 4 ? seed >> 4 : scramble(seed + at);
    }
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text) {
    sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

static void bind_row(sqlite3_stmt *stmt, uint64_t row) {
    uint64_t r = scramble(row + 1000003);
    char text[256];
    make_id(row, text);
    bind_text(stmt, 1, text);
    snprintf(text, sizeof text, "%s %s-%s", WORDS[r & 15], WORDS[r >> 4 & 15], WORDS[r >> 8 & 15]);
    bind_text(stmt, 2, text);
    snprintf(text, sizeof text, "%s.%" PRIu64 "@mail.example.com", WORDS[r >> 4 & 15], row);
    bind_text(stmt, 3, text);
    snprintf(text, sizeof text, "+44 %03u %07u", (unsigned)(r >> 12) % 1000, (unsigned)(r >> 20) % 10000000);
    bind_text(stmt, 4, text);
    snprintf(text, sizeof text, "%s Holding %u", WORDS[r >> 16 & 15], (unsigned)(r >> 40) % 100);
    bind_text(stmt, 5, text);
    bind_text(stmt, 6, WORDS[r >> 48 & 15]);
    bind_text(stmt, 7, r & 1 ? "active" : "lead");
    sqlite3_bind_int64(stmt, 8, (int64_t)(r % 1000));
    make_words(r, 100, text);
    bind_text(stmt, 9, text);
    sqlite3_bind_int64(stmt, 10, INT64_C(1700000000000) + (int64_t)row * 41);
}

static void bind_edit(sqlite3_stmt *stmt, unsigned column, uint64_t row, uint64_t r) {
    char text[256];
    if (column == 0) {
        sqlite3_bind_int64(stmt, 1, (int64_t)(r % 1000000));
    } else if (column == 4) {
        make_words(r, 100, text);
        bind_text(stmt, 1, text);
    } else {
        snprintf(text, sizeof text, "%s %u", WORDS[r & 15], (unsigned)(r >> 32) % 100000);
        bind_text(stmt, 1, text);
    }
    make_id(row, text);
    bind_text(stmt, 2, text);
}

/* ---- a variant ---- */

static void remove_database(const char *path) {
    char name[600];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static sqlite3_stmt *prepare(variant *v, const char *sql) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v3(v->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL)) die(v->db, sql);
    return stmt;
}

static void run(variant *v, const char *sql) {
    if (sqlite3_exec(v->db, sql, NULL, NULL, NULL)) die(v->db, sql);
}

/* A replica whose schema came as a migration would come from a server; everything else is as an app has it. */
static void open_replica(variant *v, const char *sql) {
    static const char name[] = "001_contact.sql";
    msg_schema m = {.epoch = 1, .name = name, .nname = sizeof name - 1, .sql = sql, .nsql = strlen(sql)};
    if (satchel_open(v->path, NULL, &v->replica)) die(NULL, satchel_errmsg(v->replica));
    file *f = v->replica->file;
    if (file_begin(f) || file_end(f, file_migrate(f, &m))) die(NULL, (const char *)f->error.p);
    v->db = satchel_db(v->replica);
}

static void open_variant(variant *v, const options *o, const char *name, bool captured) {
    *v = (variant){.name = name};
    snprintf(v->path, sizeof v->path, "%s/write_cost-%s.db", o->folder, name);
    remove_database(v->path);
    char sql[sizeof TABLE + sizeof DECLARE];
    snprintf(sql, sizeof sql, "%s%s", TABLE, captured ? DECLARE : "");
    if (captured)
        open_replica(v, sql);
    else if (sqlite3_open(v->path, &v->db))
        die(v->db, v->path);
    run(v, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    if (!captured) run(v, sql);
    v->begin = prepare(v, "BEGIN");
    v->commit = prepare(v, "COMMIT");
    v->insert = prepare(v, "INSERT INTO contact VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (int i = 0; i < NCOLUMNS; i++) {
        snprintf(sql, sizeof sql, "UPDATE contact SET %s = ? WHERE id = ?", COLUMNS[i]);
        v->update[i] = prepare(v, sql);
    }
}

static void close_variant(variant *v) {
    sqlite3_finalize(v->begin);
    sqlite3_finalize(v->commit);
    sqlite3_finalize(v->insert);
    for (int i = 0; i < NCOLUMNS; i++) sqlite3_finalize(v->update[i]);
    if (v->replica)
        satchel_close(v->replica);
    else
        sqlite3_close(v->db);
    remove_database(v->path);
}

static void step(variant *v, sqlite3_stmt *stmt) {
    if (sqlite3_step(stmt) != SQLITE_DONE) die(v->db, sqlite3_sql(stmt));
    sqlite3_reset(stmt);
}

/* One statement of a phase: number `i` of all. */
typedef void (*work)(variant *v, unsigned i, unsigned rows);

static void insert_one(variant *v, unsigned i, unsigned rows) {
    (void)rows;
    bind_row(v->insert, i);
    step(v, v->insert);
}

static void update_one(variant *v, unsigned i, unsigned rows) {
    uint64_t r = scramble(i + 77);
    unsigned column = (unsigned)(r >> 40) % NCOLUMNS;
    bind_edit(v->update[column], column, r % rows, scramble(r));
    step(v, v->update[column]);
}

static void take_turn(variant *v, work one, unsigned from, unsigned to, unsigned batch, unsigned rows) {
    double wall = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = from; i < to;) {
        step(v, v->begin);
        for (unsigned k = 0; k < batch && i < to; k++, i++) one(v, i, rows);
        step(v, v->commit);
    }
    v->wall_us += clock_us(CLOCK_MONOTONIC) - wall;
    v->cpu_us += clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

static figures run_phase(variant *plain, variant *captured, work one, unsigned batch, unsigned rows) {
    plain->wall_us = plain->cpu_us = captured->wall_us = captured->cpu_us = 0;
    unsigned turn = batch * TURN;
    for (unsigned from = 0; from < rows; from += turn) {
        unsigned to = from + turn < rows ? from + turn : rows;
        bool first = from / turn % 2;
        take_turn(first ? captured : plain, one, from, to, batch, rows);
        take_turn(first ? plain : captured, one, from, to, batch, rows);
    }
    run(plain, "PRAGMA wal_checkpoint(TRUNCATE)");
    run(captured, "PRAGMA wal_checkpoint(TRUNCATE)");
    return (figures){.plain_us = plain->wall_us / rows,
                     .captured_us = captured->wall_us / rows,
                     .wall = captured->wall_us / plain->wall_us,
                     .cpu = captured->cpu_us / plain->cpu_us};
}

/* ---- figures ---- */

static int ascending(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(const figures *f, unsigned n, size_t offset) {
    double v[REPETITIONS_MAX];
    for (unsigned i = 0; i < n; i++) memcpy(&v[i], (const char *)&f[i] + offset, sizeof v[i]);
    qsort(v, n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

#define MEDIAN(f, n, member) median(f, n, offsetof(figures, member))

static void print(const options *o, const char *name, const figures *f, double target, bool more) {
    unsigned n = o->repetitions;
    double plain = MEDIAN(f, n, plain_us), captured = MEDIAN(f, n, captured_us), wall = MEDIAN(f, n, wall),
           cpu = MEDIAN(f, n, cpu);
    if (o->json)
        printf("%s\"%s\": {\"plain_us\": %.3f, \"captured_us\": %.3f, \"ratio\": %.4f, \"cpu_ratio\": %.4f, \"target\": %.2f}%s",
               more ? "{" : " ", name, plain, captured, wall, cpu, target, more ? "," : "}\n");
    else
        printf("%-8s plain %6.2f us a row, captured %6.2f us, ratio %.3f (CPU time %.3f), target %.2f\n", name, plain, captured,
               wall, cpu, target);
}

static void usage(FILE *to) {
    fputs("usage: write_cost [--rows N] [--repetitions N] [--folder DIR] [--json] [--no-check]\n"
          "Cost of captured writes against plain SQLite: the median ratio of N repetitions (default 5) over 50,000 rows.\n"
          "Exit status: 0 within the targets (or --no-check), 1 above them, 2 on an error.\n",
          to);
}

static bool read_options(int argc, char **argv, options *o) {
    static const struct option known[] = {{"rows", required_argument, NULL, 'n'},
                                          {"repetitions", required_argument, NULL, 'r'},
                                          {"folder", required_argument, NULL, 'f'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"no-check", no_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (options){.rows = 50000, .repetitions = 5, .check = true, .folder = "."};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'n') o->rows = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'r') o->repetitions = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'f') o->folder = optarg;
        if (c == 'j') o->json = true;
        if (c == 'c') o->check = false;
        if (c == 'h') usage(stdout), exit(0);
        if (c == '?') return false;
    }
    return optind == argc && o->rows > 0 && o->repetitions > 0 && o->repetitions <= REPETITIONS_MAX;
}

int main(int argc, char **argv) {
    options o;
    if (!read_options(argc, argv, &o)) {
        usage(stderr);
        return 2;
    }
    figures inserts[REPETITIONS_MAX], updates[REPETITIONS_MAX];
    for (unsigned i = 0; i < o.repetitions; i++) {
        variant plain, captured;
        open_variant(&plain, &o, "plain", false);
        open_variant(&captured, &o, "captured", true);
        inserts[i] = run_phase(&plain, &captured, insert_one, 100, o.rows);
        updates[i] = run_phase(&plain, &captured, update_one, 10, o.rows);
        close_variant(&plain);
        close_variant(&captured);
    }
    print(&o, "inserts", inserts, 1.20, true);
    print(&o, "updates", updates, 1.25, false);
    bool met = MEDIAN(inserts, o.repetitions, wall) <= 1.20 && MEDIAN(updates, o.repetitions, wall) <= 1.25;
    return met || !o.check ? 0 : 1;
}
