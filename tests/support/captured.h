/* captured.h - a database with capture and a plain outbox, for the tests of capture.
 *
 * The descriptor is read off the tables as they are, without migrations. A column whose name begins with "g1_" to "g9_" is of that
 * group. The outbox is the table outbox(id INTEGER PRIMARY KEY, n, part, last, changes); n counts transactions from 1. Everything asserts. */
#ifndef TESTS_SUPPORT_CAPTURED_H
#define TESTS_SUPPORT_CAPTURED_H

#include <sqlite3.h>

#include "protocol/capture.h"

typedef struct captured {
    sqlite3 *db;
    capture *capture;
    schema *schema;
    sqlite3_stmt *insert, *remove, *next;
    int64_t number;                                             /* of the transaction in the outbox, while one is open */
    int refuse, refuse_begin;                                   /* what the sink answers, SATCHEL_OK unless a test sets it */
    int (*on_open)(struct captured *c);                         /* the sink's `open`, if a test sets it */
    unsigned begun, begun_again, parts, committed, rolled_back; /* calls of the sink */
} captured;

/* Opens `path`, runs `sql`, installs capture for `tables` (NULL-terminated). A NULL `sql`: the file exists and has all. */
void captured_open(captured *c, const char *path, const char *sql, const char *const *tables);
void captured_close(captured *c);
/* Reads the descriptor anew after a change of the tables, and installs the triggers. */
void captured_refresh(captured *c, const char *const *tables);
schema *captured_schema(sqlite3 *db, const char *const *tables);
void captured_schema_free(schema *s);
capture_sink captured_sink(captured *c);

/* Runs SQL that must succeed; that must fail with this code. */
void exec(sqlite3 *db, const char *sql);
void exec_fails(sqlite3 *db, const char *sql, int code);
int64_t query(sqlite3 *db, const char *sql);

/* The changesets of transaction n in words, all parts: "I t(1,'x') U t(1) 1:'x'>'y' D t(1,'y')"; REAL values have a point, BLOB values are
 * x'..' or, if long, [n bytes]; columns count from 0; P for U is an insert that met the row. "" if there is none. Valid until the next call. */
const char *outbox_text(captured *c, int64_t n);
/* The newest transaction's. */
const char *outbox_last(captured *c);
int64_t outbox_count(captured *c);

#endif
