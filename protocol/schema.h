/* schema.h - the schema descriptor: which tables and columns sync, by what stable ids, under which merge rules.
 *
 * A schema is a sequence of numbered SQL migrations. Server and replica run the same migrations with the same code and so
 * derive the same ids; migration number N makes schema epoch N (epoch 0: nothing). The invariant: a table or column id,
 * once given, never means anything else; a column that was dropped and added again has another id (P1).
 *
 * A migration file holds any SQL that shapes the database (CREATE/ALTER/DROP of tables, indexes, views, triggers, virtual
 * tables) and INSERTs into three declaration tables; it holds no other data change. A table that is not declared is local.
 *
 *   INSERT INTO satchel_table(name, mode, wins, key) VALUES('contact', 'rows', 'update', 'unique');
 *     mode  'rows' (default) | 'append' (insert only) | 'server' (only the server writes)
 *     wins  'update' (default) | 'delete': what wins when a deletion and an update are concurrent
 *     key   'unique' (default) | 'natural': whether two inserts of one key merge instead of the second being refused
 *   INSERT INTO satchel_rule(tbl, col, rule) VALUES('contact', 'given', 'group:name');
 *     rule  lww (default) | group:NAME | max | min | counter | first | server | guard:TABLE | keep:COLUMN | strict
 *           guard:TABLE   TABLE's first two columns are (from, to); a row is an allowed move; it is any table of the schema
 *           keep:COLUMN   COLUMN of a copy row receives the key of the row that it was copied from
 *   INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES('contact', 'email', 'email LIKE ''_%@_%''', 'EMAIL_FORM', 'no address');
 *     what a row must satisfy: check_sql over the row that is written; as of a CHECK, one that gives NULL holds. A table's CHECKs are fixed when it is made, these are not.
 *     col   which column to point at (NULL: the row); for who asks, as are code (A-Z, 0-9, _; once in the schema) and words
 *     on_change  1: an update is looked at only if it changes col; 0, the default: if it changes anything that the check reads of the row
 *
 * Ids are assigned after every single statement of a migration, by comparing the tables with the registry: a new table takes
 * the next table id, a new column the next column id of its table; a statement that leaves a table's column count
 * but changes one name is a RENAME and keeps the id. Column ids therefore ascend in table order at every epoch.
 *
 * A table is declared after its CREATE and in the same migration (a local table may hold rows that were never captured), its
 * rules after that. A later migration may declare it again to make its key natural, and change nothing else of it so. A rule is
 * never changed; a later migration may give one to a column that had none, except that a column joins a group only in the migration
 * that makes it. What a rule names (guard's table, keep's column) follows a RENAME and cannot be dropped before the column.
 *
 * A check is looked at when a row is inserted, or what it reads of the row is changed (see on_change), or the key: a row that is older than the check is left alone until then.
 * A row that fails it is SATCHEL_E_CHECK with the words "CODE: words": to the app on a device its statement fails, which leaves nothing behind (OR IGNORE does
 * not pass over it); the server refuses the transaction that was pushed, or its own SQL or automation. Rows that are applied on a device are not looked at. Beside the row
 * a check reads with subqueries what it likes of declared tables of mode 'server' (and json_each, json_tree): of those a device may lack rows, so say what holds
 * without. Its functions give the same for the same everywhere, so those of SQLite's that know the time of day (date, strftime ...) are none; day_of and month_of are. A check is put into force by its INSERT; DELETE FROM satchel_check takes it
 * back, in whichever migration. It follows a RENAME and keeps what it reads from being dropped.
 *
 * Refused, naming file and line: virtual generated columns (C4), UNIQUE inside CREATE TABLE (C10: write CREATE UNIQUE INDEX;
 * a replica makes it a plain index), no primary key or a key with a collation other than BINARY (C9; any non-BINARY column too),
 * user triggers on synced tables that do not mention satchel_local() (C10; one that keeps up a local table, such as a search
 * index, must run for applied rows too and says WHEN satchel_local() IN (0, 1)), names that begin with "satchel_", unknown rules, checks that do not compile,
 * AUTOINCREMENT, data statements, anything over the limits. Stored generated columns are left out of the descriptor (C4).
 *
 * The server's tables carry two more columns, `satchel_clock BLOB` and `satchel_set INTEGER`, added when a table is declared; they have no id. */
#ifndef PROTOCOL_SCHEMA_H
#define PROTOCOL_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/value.h"

typedef enum schema_side { SCHEMA_REPLICA, SCHEMA_SERVER } schema_side;
typedef enum table_mode { MODE_ROWS, MODE_APPEND, MODE_SERVER } table_mode;
typedef enum table_wins { WINS_UPDATE, WINS_DELETE } table_wins;
typedef enum merge_rule {
    RULE_LWW,
    RULE_GROUP,
    RULE_MAX,
    RULE_MIN,
    RULE_COUNTER,
    RULE_FIRST,
    RULE_SERVER,
    RULE_GUARD,
    RULE_BOUNDED, /* its place is left: schema_migrate refuses it */
    RULE_KEEP,
    RULE_STRICT
} merge_rule;
/* SQLite's type affinity (datatype3.html section 3.1); AFFINITY_ANY for a column declared without a type. */
typedef enum affinity { AFFINITY_ANY, AFFINITY_INTEGER, AFFINITY_REAL, AFFINITY_TEXT, AFFINITY_BLOB, AFFINITY_NUMERIC } affinity;

#define SCHEMA_NEVER UINT32_MAX

typedef struct schema_column {
    uint32_t id;   /* stable within its table */
    uint32_t unit; /* the id under which its clock is kept: its own, or the lowest that its group ever had */
    char *name;    /* of the newest epoch that had it */
    affinity affinity;
    merge_rule rule;
    char *arg;    /* of group, guard, keep; else NULL */
    unsigned key; /* 1-based place in the primary key, 0 outside it */
    bool not_null;
    value
        default_value; /* VALUE_NULL when there is none, or none without calling a function (such columns cannot be added later) */
    uint32_t since, until; /* schema epochs [since, until); until is SCHEMA_NEVER while it lives */
} schema_column;

/* What a table was called in epochs below `until`. */
typedef struct schema_name {
    char *name;
    uint32_t until;
} schema_name;

typedef struct schema_table {
    uint32_t id;
    char *name;
    unsigned nformer; /* earlier names, ascending until: a changeset has the name of its epoch */
    schema_name *former;
    table_mode mode;
    table_wins wins;
    bool natural;
    bool without_rowid;
    uint32_t since, until;
    unsigned ncol; /* live columns, in table order without generated ones and the server's own */
    schema_column **col;
    unsigned nkey; /* key[i] is the live column at place i of the primary key */
    schema_column **key;
    unsigned nall; /* every column that ever was, ascending ids */
    schema_column *all;
} schema_table;

typedef struct schema {
    uint32_t epoch;
    uint8_t
        hash[8]; /* first bytes of SHA-256 over all migrations' SQL in order, each followed by a zero byte; epoch 0: of nothing */
    unsigned ntable; /* every table that ever was, ascending ids */
    schema_table *table;
} schema;

/* Creates the registry tables (satchel_table, satchel_rule, satchel_check, satchel_column, satchel_migration) if they are missing. Needs a
 * write transaction of the caller's or makes its own. SATCHEL_E_READONLY, _CORRUPT, _NOT_A_DATABASE, _IO, _FULL. */
int schema_init(sqlite3 *db, buf *error);

/* Runs migration `epoch` (the current one plus 1, else SATCHEL_E_SCHEMA) inside one savepoint: all of it or nothing.
 * `name` is for messages ("002_deals.sql"). On failure `error` holds "name:line: what, and what to do" and the result is
 * SATCHEL_E_MIGRATION, _RULE, _TABLE_SHAPE or a database code. Nothing that it runs is captured: capture is switched off by the
 * caller. After ADD COLUMN with a non-NULL default it rewrites the table's rows (C5). Must not run inside a statement. */
int schema_migrate(sqlite3 *db, schema_side side, uint32_t epoch, const char *name, const char *sql, buf *error);

/* Reads the descriptor of the newest epoch. *out is owned by the caller (schema_free). */
int schema_load(sqlite3 *db, schema **out, buf *error);
void schema_free(schema *s);

/* NULL if there is none. The first takes any id that ever was; the second only live tables, exact name. */
const schema_table *schema_table_by_id(const schema *s, uint32_t id);
const schema_table *schema_table_by_name(const schema *s, const char *name);
/* Any column that ever was, NULL if none. */
const schema_column *schema_column_by_id(const schema_table *t, uint32_t id);
/* The table that was called `name` in `epoch`, NULL if none. */
const schema_table *schema_table_in_epoch(const schema *s, uint32_t epoch, const char *name);
/* The columns of `t` as they stood in `epoch`, in table order (which is how a changeset captured then has them).
 * `out` has room for LIMIT_COLUMNS; returns how many, 0 if the table did not exist. */
unsigned schema_layout(const schema_table *t, uint32_t epoch, const schema_column **out);
/* True if a column takes a value of this type: integer columns INTEGER; real ones INTEGER and REAL; numeric ones both,
 * and, as DATE and DATETIME are numeric, a TEXT that begins as 2026-12-31 (no counter does);
 * text TEXT; blob BLOB; untyped ones anything. NULL is taken by all (NOT NULL is checked elsewhere). */
bool schema_takes(const schema_column *c, const value *v);

/* Reads the text of migration `epoch` (for sending it on). SATCHEL_E_NOT_FOUND. */
int schema_migration(sqlite3 *db, uint32_t epoch, buf *name, buf *sql);

#endif
