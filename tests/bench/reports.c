/* bench_reports - how long views take beside a plain count of the largest table that each of them reads; prints one JSON object.
 *
 * Times are of CPU: both sides read a file that is in memory, and wait for nothing. A view is read to its end, every column of every row. Which tables it reads says SQLite's authorizer. A view that gives no row is a failure: its time tells nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/functions.h"
#include "tests/bench/bench.h"

#define TABLES_MAX 64
#define NAME_BYTES 64
/* A count may take microseconds: it is repeated until it has taken so long. */
#define COUNT_S 0.02

typedef struct tables {
    char name[TABLES_MAX][NAME_BYTES];
    int n;
} tables;

/* ---- what a view reads ---- */

static int note_table(void *ctx, int action, const char *table, const char *column, const char *database, const char *view) {
    tables *t = ctx;
    (void)column, (void)database, (void)view;
    if (action != SQLITE_READ || !table || !*table) return SQLITE_OK;
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->name[i], table)) return SQLITE_OK;
    if (t->n == TABLES_MAX || strlen(table) >= NAME_BYTES) bench_die(NULL, "too many tables");
    strcpy(t->name[t->n++], table);
    return SQLITE_OK;
}

static int64_t integer(sqlite3 *db, const char *format, const char *name) {
    char *sql = sqlite3_mprintf(format, name);
    sqlite3_stmt *q = bench_prepare(db, sql);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    if (sqlite3_finalize(q)) bench_die(db, sql);
    sqlite3_free(sql);
    return n;
}

/* The authorizer tells of views that stand in views as well. */
static const char *largest(sqlite3 *db, const tables *t) {
    const char *name = NULL;
    int64_t most = -1;
    for (int i = 0; i < t->n; i++) {
        if (!integer(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = %Q", t->name[i])) continue;
        int64_t n = integer(db, "SELECT count(*) FROM \"%w\"", t->name[i]);
        if (n > most) most = n, name = t->name[i];
    }
    if (!name) bench_die(NULL, "a view that reads no table");
    return name;
}

/* ---- times ---- */

static double seconds_of_count(sqlite3 *db, const char *table) {
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", table);
    sqlite3_stmt *q = bench_prepare(db, sql);
    double began = bench_cpu_seconds(), took = 0;
    int n = 0;
    for (; took < COUNT_S; n++, took = bench_cpu_seconds() - began) {
        if (sqlite3_step(q) != SQLITE_ROW) bench_die(db, sql);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return took / n;
}

static double seconds_of_view(sqlite3_stmt *q, const char *view, uint64_t *rows) {
    double began = bench_cpu_seconds();
    int columns = sqlite3_column_count(q), rc;
    for (*rows = 0; (rc = sqlite3_step(q)) == SQLITE_ROW; ++*rows)
        for (int i = 0; i < columns; i++) sqlite3_column_value(q, i);
    if (rc != SQLITE_DONE) bench_die(sqlite3_db_handle(q), view);
    if (!*rows) bench_die(NULL, view);
    return bench_cpu_seconds() - began;
}

static void measure(sqlite3 *db, const char *view, const char *end) {
    tables t = {.n = 0};
    uint64_t rows;
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", view);
    sqlite3_set_authorizer(db, note_table, &t);
    sqlite3_stmt *q = bench_prepare(db, sql);
    sqlite3_set_authorizer(db, NULL, NULL);
    const char *table = largest(db, &t);
    double count = seconds_of_count(db, table), seconds = seconds_of_view(q, view, &rows);
    printf("\"%s\": {\"seconds\": %.6f, \"rows\": %llu, \"table\": \"%s\", \"count_seconds\": %.9f}%s", view, seconds,
           (unsigned long long)rows, table, count, end);
    sqlite3_finalize(q);
    sqlite3_free(sql);
}

static void now_ms(sqlite3_context *c, int n, sqlite3_value **values) {
    (void)n, (void)values;
    sqlite3_result_int64(c, (int64_t)time(NULL) * 1000);
}

int main(int argc, char **argv) {
    sqlite3 *db;
    if (argc < 3) {
        fputs("usage: bench_reports FILE VIEW...\nTimes of views beside counts, as JSON. Exit status: 0 measured, 2 failed.\n",
              stderr);
        return 2;
    }
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL)) bench_die(db, argv[1]);
    if (functions_register(db) || sqlite3_create_function(db, "satchel_now", 0, SQLITE_UTF8, NULL, now_ms, NULL, NULL))
        bench_die(db, "functions");
    printf("{");
    for (int i = 2; i < argc; i++) measure(db, argv[i], i + 1 < argc ? ",\n" : "}\n");
    sqlite3_close(db);
    return 0;
}
