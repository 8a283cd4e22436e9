/* schema_internal.h - what the schema_*.c files share; nobody else includes it.
 *
 * schema.c reads the registry into a descriptor, schema_migrate.c runs migrations and gives ids, schema_shape.c looks at
 * tables as they are and says which can sync, schema_rules.c knows the vocabulary of the merge rules, schema_checks.c has what rows must satisfy. */
#ifndef PROTOCOL_SCHEMA_INTERNAL_H
#define PROTOCOL_SCHEMA_INTERNAL_H

#include <stdbool.h>

#include "protocol/schema.h"

/* The column of the server's tables that holds the row clock; never part of a descriptor. */
#define SCHEMA_CLOCK "satchel_clock"
/* And the one with the number of the set of buckets that the row lies in (server/scope.h). */
#define SCHEMA_SET "satchel_set"
/* Reserved for Satchel's own tables, triggers and columns. */
#define SCHEMA_PREFIX "satchel_"

/* A table that exists while a migration runs, declared or not. */
typedef struct seen_table {
    char *name;
    unsigned line; /* of the statement that created it; 0 if it was there before the migration */
} seen_table;

typedef struct seen_tables {
    seen_table *p; /* by name */
    unsigned n, cap;
} seen_tables;

/* What a check reads, while it is compiled. */
typedef struct check_reads check_reads;

typedef struct migration {
    sqlite3 *db;
    schema_side side;
    uint32_t epoch;
    const char *name; /* for messages */
    char *sql;        /* owned copy that the replica blanks UNIQUE in */
    buf *error;
    unsigned line; /* of the statement that runs */
    seen_tables tables;
    /* what the authorizer goes by */
    bool preparing; /* a statement of the migration is being compiled; false: our own SQL, or what a running statement needs */
    bool inserting, deleting; /* that statement is an INSERT, a DELETE */
    char *dropping;           /* the table that it drops */
    const char *refusal;      /* why it was refused; static */
    check_reads *reads;       /* a check is being compiled: it goes by checks_authorize */
} migration;

bool schema_has_prefix(const char *name);
/* Prepares, with words in `error` on failure. */
int schema_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, buf *error);

/* "name:line: words" in m->error; returns rc. */
int migration_fail(migration *m, unsigned line, int rc, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same, with SQLite's words for what just failed in Satchel's own SQL. */
int migration_fail_db(migration *m, int sqlite_rc);
/* Runs one statement of our own; `types` says what the arguments are: 's' const char *, 'u' uint32_t. */
int migration_run(migration *m, const char *sql, const char *types, ...);

/* A rule's text taken apart; *arg points into it or is NULL. False if it is none. */
bool rule_parse(const char *text, merge_rule *rule, const char **arg);
/* Checks every row of satchel_rule against the tables and notes each rule with its column. SATCHEL_E_RULE. */
int rules_apply(migration *m);

/* Brings the triggers in line with the rows of satchel_check. SATCHEL_E_RULE for one that cannot be looked at. */
int checks_apply(migration *m);
/* Whether every check can still be looked at after tables have changed. SATCHEL_E_RULE. */
int checks_stand(migration *m);
/* The authorizer's answer while a check is compiled. */
int checks_authorize(check_reads *r, int action, const char *a, const char *b);

typedef struct shape_column {
    char *name, *type, *dflt; /* dflt: the expression's text or NULL */
    bool not_null;
    unsigned key;    /* 1-based place in the primary key */
    unsigned hidden; /* table_xinfo: 2 virtual generated, 3 stored generated */
} shape_column;

/* A table as it is in the database, satchel_clock and satchel_set left out. */
typedef struct shape {
    char kind[16]; /* table, view, shadow, virtual */
    bool without_rowid, strict, has_clock, has_set;
    unsigned n, cap;
    shape_column *col;
} shape;

/* SATCHEL_E_NOT_FOUND without words if there is no such table or view. The caller always calls shape_fini. */
int shape_load(migration *m, const char *table, shape *out);
void shape_fini(shape *s);
/* Refuses what schema.h lists, naming `line`. */
int shape_check(migration *m, unsigned line, const char *table, const shape *s);
/* C10: user triggers on `table`. */
int shape_check_triggers(migration *m, unsigned line, const char *table);
affinity shape_affinity(const shape *s, const shape_column *c);
/* The value that a row without this column has; *out is owned by the caller (sqlite3_value_free), NULL if there is no constant one. */
int shape_default(migration *m, const shape *s, const shape_column *c, sqlite3_value **out);

#endif
