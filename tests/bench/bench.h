/* bench.h - what the measuring programs share: the rows and the edits, the clock, plain SQLite.
 *
 * Table `contact`, about 250 bytes a row. Row and edit number n are the same in every program and every run, so that the ends of a measurement can be
 * compared. A failure ends the program with status 2 and one sentence: a figure of half a run is none. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

/* SQL of the table, and what makes it a synced one. */
extern const char bench_table[], bench_declare[];

#define BENCH_EDITS 5 /* columns that edits touch: numbers, words and texts */

_Noreturn void bench_die(sqlite3 *db, const char *what);

/* Wall time, and this process's CPU time. */
double bench_seconds(void);
double bench_cpu_seconds(void);

/* A connection in WAL mode with synchronous=FULL or NORMAL. `fresh`: whatever is there is removed first, and the table made. */
sqlite3 *bench_open(const char *path, int fresh, int full);
void bench_remove(const char *path);
void bench_run(sqlite3 *db, const char *sql);
sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql);
/* One step that gives no row, and reset. */
void bench_step(sqlite3_stmt *stmt);
/* What other sessions and machines see as well: all rows in key order. */
uint64_t bench_digest(sqlite3 *db);

/* Statements that write rows and edits on one connection. */
typedef struct bench_writer {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *insert, *update[BENCH_EDITS];
} bench_writer;
void bench_writer_open(bench_writer *w, sqlite3 *db);
void bench_writer_close(bench_writer *w);

/* Which rows an edit may be of (`rows` of them from `first` on), and a number that makes one round's values differ from another's. */
typedef struct bench_edits {
    uint64_t first;
    unsigned rows, round;
} bench_edits;
/* Edit `i`: one column of a row; as long as i < rows no two are of the same row, and neighbours are nowhere near each other in key order. */
void bench_insert(bench_writer *w, uint64_t row);
void bench_update(bench_writer *w, const bench_edits *e, uint64_t i);
/* A statement that finds a row if edit `i` stands in the file. */
sqlite3_stmt *bench_marker(sqlite3 *db, const bench_edits *e, uint64_t i);

/* Numbers from..to-1 in transactions of `batch`. */
void bench_insert_all(bench_writer *w, uint64_t from, uint64_t to, unsigned batch);
void bench_update_all(bench_writer *w, const bench_edits *e, uint64_t from, uint64_t to, unsigned batch);

/* Row number `row` bound to the ten parameters of an INSERT; edit `i` to (value, id), and its column as index into the edited ones. */
void bench_bind_row(sqlite3_stmt *stmt, uint64_t row);
unsigned bench_edit_column(const bench_edits *e, uint64_t i);
const char *bench_edit_name(unsigned column);
void bench_bind_edit(sqlite3_stmt *stmt, const bench_edits *e, uint64_t i);

#endif
