#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char bench_table[] =
    "CREATE TABLE contact(id TEXT PRIMARY KEY NOT NULL, name TEXT, email TEXT, phone TEXT, company TEXT, city TEXT,"
    " status TEXT, score INTEGER, notes TEXT, updated INTEGER);\n";
const char bench_declare[] = "INSERT INTO satchel_table(name) VALUES('contact');\n";

static const char *const EDITED[BENCH_EDITS] = {"score", "status", "city", "phone", "notes"};
#define EDIT_SCORE 0
#define EDIT_NOTES 4
/* A prime, so that multiples of it meet every row before one comes again. */
#define STRIDE 7919
#define NOTES_BYTES 100

void bench_die(sqlite3 *db, const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, db ? sqlite3_errmsg(db) : "failed");
    exit(2);
}

static double seconds_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_seconds(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double bench_cpu_seconds(void) {
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* ---- plain SQLite ---- */

void bench_remove(const char *path) {
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[4096];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

sqlite3 *bench_open(const char *path, int fresh, int full) {
    sqlite3 *db;
    if (fresh) bench_remove(path);
    if (sqlite3_open(path, &db)) bench_die(db, path);
    bench_run(db, "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL");
    bench_run(db, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (fresh) bench_run(db, bench_table);
    return db;
}

void bench_run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL)) bench_die(db, sql);
}

sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL)) bench_die(db, sql);
    return stmt;
}

void bench_step(sqlite3_stmt *stmt) {
    if (sqlite3_step(stmt) != SQLITE_DONE) bench_die(sqlite3_db_handle(stmt), sqlite3_sql(stmt));
    sqlite3_reset(stmt);
}

static uint64_t add_text(uint64_t hash, const unsigned char *text) {
    for (; text && *text; text++) hash = (hash ^ *text) * UINT64_C(0x100000001b3); /* FNV-1a */
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

uint64_t bench_digest(sqlite3 *db) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    sqlite3_stmt *q =
        bench_prepare(db, "SELECT id, name, email, phone, company, city, status, score, notes, updated FROM contact ORDER BY id");
    while (sqlite3_step(q) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(q); i++) hash = add_text(hash, sqlite3_column_text(q, i));
    if (sqlite3_finalize(q)) bench_die(db, "reading all rows");
    return hash;
}

/* ---- rows ---- */

/* Finalizer of MurmurHash3. */
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

static void make_notes(uint64_t seed, char out[256]) {
    size_t at = 0;
    for (uint64_t left = seed; at < NOTES_BYTES; left = left >> 4 ? left >> 4 : scramble(seed += at))
        at += (size_t)sprintf(out + at, "%s%s", at ? " " : "", WORDS[left & 15]);
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text) {
    sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

void bench_bind_row(sqlite3_stmt *stmt, uint64_t row) {
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
    make_notes(r, text);
    bind_text(stmt, 9, text);
    sqlite3_bind_int64(stmt, 10, INT64_C(1700000000000) + (int64_t)row * 41);
}

/* ---- edits ---- */

static uint64_t edit_random(const bench_edits *e, uint64_t i) {
    return scramble(i + UINT64_C(77) + e->round * UINT64_C(100000007));
}

unsigned bench_edit_column(const bench_edits *e, uint64_t i) {
    return (unsigned)(edit_random(e, i) >> 40) % BENCH_EDITS;
}

const char *bench_edit_name(unsigned column) {
    return EDITED[column];
}

void bench_bind_edit(sqlite3_stmt *stmt, const bench_edits *e, uint64_t i) {
    unsigned column = bench_edit_column(e, i);
    uint64_t r = scramble(edit_random(e, i));
    char text[256];
    if (column == EDIT_SCORE) {
        sqlite3_bind_int64(stmt, 1, (int64_t)(r % 1000000));
    } else if (column == EDIT_NOTES) {
        make_notes(r, text);
        bind_text(stmt, 1, text);
    } else {
        snprintf(text, sizeof text, "%s %u", WORDS[r & 15], (unsigned)(r >> 32) % 100000);
        bind_text(stmt, 1, text);
    }
    make_id(e->first + (i + e->round) * STRIDE % e->rows, text);
    bind_text(stmt, 2, text);
}

/* ---- writing ---- */

void bench_writer_open(bench_writer *w, sqlite3 *db) {
    char sql[128];
    w->db = db;
    w->begin = bench_prepare(db, "BEGIN IMMEDIATE");
    w->commit = bench_prepare(db, "COMMIT");
    w->insert = bench_prepare(db, "INSERT INTO contact VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (unsigned i = 0; i < BENCH_EDITS; i++) {
        snprintf(sql, sizeof sql, "UPDATE contact SET %s = ? WHERE id = ?", EDITED[i]);
        w->update[i] = bench_prepare(db, sql);
    }
}

void bench_writer_close(bench_writer *w) {
    sqlite3_finalize(w->begin);
    sqlite3_finalize(w->commit);
    sqlite3_finalize(w->insert);
    for (unsigned i = 0; i < BENCH_EDITS; i++) sqlite3_finalize(w->update[i]);
}

void bench_insert(bench_writer *w, uint64_t row) {
    bench_bind_row(w->insert, row);
    bench_step(w->insert);
}

void bench_update(bench_writer *w, const bench_edits *e, uint64_t i) {
    sqlite3_stmt *stmt = w->update[bench_edit_column(e, i)];
    bench_bind_edit(stmt, e, i);
    bench_step(stmt);
}

sqlite3_stmt *bench_marker(sqlite3 *db, const bench_edits *e, uint64_t i) {
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT 1 FROM contact WHERE %s = ? AND id = ?", EDITED[bench_edit_column(e, i)]);
    sqlite3_stmt *q = bench_prepare(db, sql);
    bench_bind_edit(q, e, i);
    return q;
}

void bench_insert_all(bench_writer *w, uint64_t from, uint64_t to, unsigned batch) {
    for (uint64_t i = from; i < to;) {
        bench_step(w->begin);
        for (unsigned k = 0; k < batch && i < to; k++) bench_insert(w, i++);
        bench_step(w->commit);
    }
}

void bench_update_all(bench_writer *w, const bench_edits *e, uint64_t from, uint64_t to, unsigned batch) {
    for (uint64_t i = from; i < to;) {
        bench_step(w->begin);
        for (unsigned k = 0; k < batch && i < to; k++) bench_update(w, e, i++);
        bench_step(w->commit);
    }
}
