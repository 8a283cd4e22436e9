/* What the simulator asks of databases. Its statements stay prepared: preparing is most of what a look costs. */
#include "tests/sim/sim.h"

#define KEPT 256u /* of a database */
#define PROBES 8u /* a text is in one of so many places */
#define ASKED 16u /* databases at once */

typedef struct asked {
    sqlite3 *db; /* NULL: free */
    sqlite3_stmt *q[KEPT];
} asked;

static asked all[ASKED];

static asked *find_database(const sqlite3 *db) {
    for (unsigned i = 0; i < ASKED; i++)
        if (all[i].db == db) return &all[i];
    return NULL;
}

static unsigned place_of(const char *sql) {
    uint32_t h = 2166136261u;
    for (; *sql; sql++) h = (h ^ (uint8_t)*sql) * 16777619u;
    return h;
}

/* Where it is, or may be put. One that is being stepped through is passed over. */
static sqlite3_stmt **find_place(asked *a, const char *sql) {
    unsigned place = place_of(sql);
    sqlite3_stmt **room = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        sqlite3_stmt **q = &a->q[(place + i) % KEPT];
        if (*q && sqlite3_stmt_busy(*q)) continue;
        if (*q && !strcmp(sqlite3_sql(*q), sql)) return q;
        if (!room || (*room && !*q)) room = q;
    }
    return room;
}

sqlite3_stmt *sim_query(sim *s, sqlite3 *db, const char *sql) {
    asked *a = find_database(db);
    if (!a) a = find_database(NULL);
    sqlite3_stmt **q = a ? find_place(a, sql) : NULL;
    if (!q) sim_fail(s, "too much is asked at once");
    a->db = db;
    if (*q && !strcmp(sqlite3_sql(*q), sql)) return *q;
    disk_look(true);
    sqlite3_finalize(*q);
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, q, NULL)) sim_fail(s, "%s: %s", sql, sqlite3_errmsg(db));
    disk_look(false);
    return *q;
}

void sim_forget(sqlite3 *db) {
    asked *a = find_database(db);
    if (!a) return;
    disk_look(true);
    for (unsigned i = 0; i < KEPT; i++) sqlite3_finalize(a->q[i]);
    disk_look(false);
    *a = (asked){0};
}

int64_t sim_ask(sim *s, sqlite3 *db, const char *format, ...) {
    char sql[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, db, sql);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    if (sqlite3_reset(q)) sim_fail(s, "%s: %s", sql, sqlite3_errmsg(db));
    disk_look(false);
    return n;
}

void sim_list(sim *s, sqlite3 *db, const char *sql) {
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, db, sql);
    while (sqlite3_step(q) == SQLITE_ROW) {
        char line[160] = "";
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            size_t n = strlen(line);
            const char *text = (const char *)sqlite3_column_text(q, i);
            snprintf(line + n, sizeof line - n, " %s=%s", sqlite3_column_name(q, i), text ? text : "NULL");
        }
        sim_say(s, " %s", line);
    }
    sqlite3_reset(q);
    disk_look(false);
}
