/* rows.h - single rows of synced tables by SQL: read, written and deleted by primary key, with the statements kept.
 *
 * Columns are meant by their index among the live columns of the table (schema_table.col). One cache serves one connection. */
#ifndef REPLICA_ROWS_H
#define REPLICA_ROWS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/schema.h"
#include "replica/arena.h"

typedef enum rows_op { ROWS_READ, ROWS_INSERT, ROWS_UPSERT, ROWS_UPDATE, ROWS_TOUCH, ROWS_DELETE } rows_op;

/* One column of a statement. */
typedef struct rows_column {
    uint16_t at;
    bool add; /* update and upsert on a present row: the value is added to what stands there */
} rows_column;

#define ROWS_SLOTS 64u
typedef struct rows_slot {
    sqlite3_stmt *stmt;
    uint32_t table;
    rows_op op;
    unsigned ncol;
    rows_column *col; /* owned */
} rows_slot;

typedef struct rows {
    sqlite3 *db;
    rows_slot slot[ROWS_SLOTS];
    rows_column every[LIMIT_COLUMNS]; /* 0, 1, 2 ... */
} rows;

void rows_init(rows *r, sqlite3 *db);
void rows_fini(rows *r);
/* After a migration: names may have changed. */
void rows_forget(rows *r);

/* Reads all live columns into out[t->ncol], copied to the arena. 1, 0 if there is no such row, or a database code. */
int rows_read(rows *r, const schema_table *t, const value *key, arena *a, value *out);
/* Inserts, updates or deletes; `v` has one value for each of the n columns (key columns excluded, given by `key`). ROWS_UPSERT
 * inserts, or updates the columns on a present row; ROWS_TOUCH updates a present row to what it is. *changed (may be NULL) tells whether a row was
 * touched. */
int rows_write(rows *r, rows_op op, const schema_table *t, const value *key, unsigned n, const rows_column *col, const value *v,
               bool *changed);

/* The value as SQLite would store it in the column (REAL takes 1 as 1.0, INTEGER and NUMERIC take 1.0 as 1), so that values of different sources
 * compare as equal when they are stored alike. */
value rows_normal(const schema_column *c, const value *v);
/* Appends the key's value_put bytes. */
void rows_key_bytes(const schema_table *t, const value *key, buf *out);
/* Takes them apart again; SATCHEL_E_CORRUPT unless they are exactly nkey values. */
int rows_key_values(const schema_table *t, const void *p, size_t n, value *key);
/* Appends the key as people read it: the value itself, blobs in hexadecimal, several separated by ", ". */
void rows_key_text(const void *p, size_t n, buf *out);
/* Live column with this id: its index, or -1. */
int rows_column_index(const schema_table *t, uint32_t id);

#endif
