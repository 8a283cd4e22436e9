/* ingest.h - takes one author's transaction into the store: authorise, merge field by field, order, log.
 *
 * Runs inside store_begin ... store_commit. A refused transaction leaves nothing but its result and its place among the refused. The server's own authors
 * (SQL of an admin, an import, an automation) come through the same door as author 0. */
#ifndef SERVER_INGEST_H
#define SERVER_INGEST_H

#include "server/store.h"

typedef struct ingest ingest;

int ingest_new(store *s, ingest **out);
void ingest_free(ingest *g);
/* The rules that it goes by, its own; valid until rules are published or its next transaction. Between transactions. */
struct scope *ingest_scope(ingest *g);
/* Sees to it that they are those in force; in a transaction. */
int ingest_scope_look(ingest *g);
/* Whether a table that profiles read was changed since the last time that this was asked. */
bool ingest_profiles_touched(ingest *g);

typedef struct ingest_result {
    msg_result result; /* key and text point into `hold` */
    bool fork;         /* the number is known with another id: nothing was done (N3) */
    bool staged;       /* a part of a larger transaction was kept; no result yet */
    bool known;        /* the number was answered before: this is the stored result */
    bool clamped;
    buf hold;
} ingest_result;
/* Ingests one pushed transaction or part. A known (number, id) gets its stored result. Returns a database code if the store failed (roll back
 * everything), else SATCHEL_OK with the outcome in *out; SATCHEL_E_MALFORMED or _ORDER if the bytes do not make sense (close the connection);
 * INGEST_AGAIN, see ingest_undo_points. */
#define INGEST_AGAIN 1
int ingest_push(ingest *g, author_info *author, const push_txn *txn, uint64_t now_ms, ingest_result *out);

/* Whether each transaction gets an undo point of its own, as it does from the start. It costs a copy of every page that the transaction
 * touches, and few transactions need it. Without, one that must be refused gives INGEST_AGAIN: roll everything back, and take it again with undo points. */
void ingest_undo_points(ingest *g, bool on);

/* Runs SQL text as the server's author: each BEGIN ... COMMIT in it, or each single statement outside, is one transaction with one seq.
 * Stops at the first error, naming the line; what was before it stays. *rows counts changed rows. Whole text at once. */
int ingest_sql(ingest *g, const char *sql, uint64_t now_ms, uint64_t *transactions, uint64_t *rows, buf *error);
/* The same text as one transaction inside the caller's store transaction (the data file of a migration). */
int ingest_sql_inside(ingest *g, const char *sql, uint64_t now_ms, buf *error);
/* Writes the author's last number and stamp, once after a run of ingest_push. */
int ingest_author_save(ingest *g, const author_info *author);
/* A transaction of an author who is answered at once and keeps no numbers: a program (api.h). Its stamp is newer than every other. */
/* A transaction that says again what was refused: whose retry it is, and what he knew. */
typedef struct ingest_retry {
    bool is;
    uint32_t author;
    uint64_t base;
} ingest_retry;

typedef struct ingest_program_txn {
    uint32_t author;
    bool writes_server; /* tables and columns that only the server writes, too */
    ingest_retry retries;
    uint64_t base; /* what lies above it was not known */
    const uint8_t *delta;
    size_t ndelta;
} ingest_program_txn;
/* A refused one leaves nothing at all: it is told in out->result alone. A database code as ingest_push, with everything undone. */
int ingest_program(ingest *g, const ingest_program_txn *txn, uint64_t now_ms, ingest_result *out);
/* Whether the table has a row with this key, or somebody else deleted it above `base`, so that to who wrote as of then it is there: 1, 0, or a database
 * code. */
int ingest_has_row(ingest *g, const schema_table *t, const value *key, uint32_t author, uint64_t base);
/* Reads a row of satchel_result, columns number, rc, seq, effective, depends, tbl, key, message; key and text point into `hold`. */
int ingest_read_result(sqlite3_stmt *q, buf *hold, msg_result *r);
/* Where it stands, beside the store's own rows: to be put back when what came since is rolled back there. */
typedef struct ingest_position {
    store_position at;
    uint64_t conflicts, rows;
    size_t alerts;
} ingest_position;
ingest_position ingest_where(const ingest *g);
void ingest_put_back(ingest *g, const ingest_position *before);
/* Lines about automations (automation.h) that have failed since the last time that this was asked, for the log; empty if none. */
void ingest_alerts(ingest *g, buf *lines);
/* Conflicts logged since ingest_new. */
uint64_t ingest_conflicts(const ingest *g);
/* Changes of rows that were made since then, whoever their author is. */
uint64_t ingest_rows(const ingest *g);

#endif
