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

/* ---- one value ---- */

#define LITERALS 8u

/* A statement whose literals were made parameters, so that those which differ in them alone are one. */
typedef struct general {
    char sql[512];
    size_t n;
    unsigned nliteral;
    struct {
        const char *p;
        int n; /* of a text, without its quotes; 0: a number */
    } literal[LITERALS];
} general;

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The length of a literal of at least one byte that begins at `p`: digits, or a text without quotes within. 0: there is none. */
static size_t literal_at(const char *p, char before) {
    size_t n = 0;
    if (is_word(before)) return 0;
    if (*p == '\'') {
        n = strcspn(p + 1, "'");
        return n && p[n + 1] && p[n + 2] != '\'' ? n + 2 : 0;
    }
    while (p[n] >= '0' && p[n] <= '9') n++;
    return n < 19 && !is_word(p[n]) ? n : 0;
}

static void generalize(const char *sql, general *g) {
    char quote = 0;
    *g = (general){.n = 0};
    for (const char *p = sql; *p;) {
        size_t n = !quote && g->nliteral < LITERALS ? literal_at(p, p > sql ? p[-1] : ' ') : 0;
        if (n) {
            bool text = *p == '\'';
            g->literal[g->nliteral].p = p + text;
            g->literal[g->nliteral++].n = text ? (int)n - 2 : 0;
            g->sql[g->n++] = '?';
            p += n;
            continue;
        }
        if (quote ? *p == quote : *p == '\'' || *p == '"') quote = quote ? 0 : *p;
        g->sql[g->n++] = *p++;
    }
}

static sqlite3_stmt *query_generally(sim *s, sqlite3 *db, const char *sql) {
    general g;
    generalize(sql, &g);
    sqlite3_stmt *q = sim_query(s, db, g.sql);
    for (unsigned i = 0; i < g.nliteral; i++) {
        if (g.literal[i].n)
            sqlite3_bind_text(q, (int)i + 1, g.literal[i].p, g.literal[i].n, SQLITE_TRANSIENT);
        else
            sqlite3_bind_int64(q, (int)i + 1, strtoll(g.literal[i].p, NULL, 10));
    }
    return q;
}

int64_t sim_ask(sim *s, sqlite3 *db, const char *format, ...) {
    char sql[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    disk_look(true);
    sqlite3_stmt *q = query_generally(s, db, sql);
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
