/* ingest_private.h - what the files of ingest share: the transaction being taken in, and the prepared statements of a table.
 *
 * ingest.c drives one transaction (numbers, parts, results); ingest_row.c merges one row; ingest_stored.c reads and writes rows; ingest_check.c checks types, moves and
 * references; ingest_scope.c says whose rows are and who may write them; ingest_author.c runs the server's own SQL. */
#ifndef SERVER_INGEST_PRIVATE_H
#define SERVER_INGEST_PRIVATE_H

#include "protocol/capture.h"
#include "protocol/clock.h"
#include "protocol/delta.h"
#include "protocol/merge.h"
#include "protocol/translate.h"
#include "protocol/unseen.h"
#include "server/ingest.h"
#include "server/scope_moves.h"
#include "server/store_private.h"

/* An UPDATE of some columns and the clock, prepared for one set of columns. */
typedef struct update_stmt {
    sqlite3_stmt *stmt;
    unsigned n;
    uint16_t column[LIMIT_COLUMNS]; /* places in table->col, ascending */
} update_stmt;
#define UPDATE_SHAPES 8u

/* A reference between two tables, from either end. */
typedef struct reference {
    unsigned n;
    uint16_t from[LIMIT_KEY_COLUMNS]; /* places in the child's table->col */
    uint16_t to[LIMIT_KEY_COLUMNS];   /* places in the parent's table->col */
    const schema_table *child, *parent;
    bool to_key; /* `to` is the parent's primary key, in its order */
    sqlite3_stmt *find_parent, *find_child;
} reference;

typedef struct table_state {
    const schema_table *t;
    sqlite3_stmt *select, *insert, *delete_row;
    const char *rowid;   /* by which the rowid can be named, NULL if it cannot: an update then does not look the key up again */
    uint32_t last_set;   /* of the row that was inserted last: the next often lies beside it */
    unsigned watched;    /* which changes of its rows rules look at: EVENT_ of automation_private.h */
    bool has_tombstones; /* there may be some of this table; false spares an insert the look */
    update_stmt update[UPDATE_SHAPES];
    unsigned next_shape;
    sqlite3_stmt **move; /* per live column: guard look-up, prepared on demand */
    int16_t *place;      /* by column id, [nall + 1]: place in t->col, -1 for one that was dropped */
    uint16_t key_place[LIMIT_KEY_COLUMNS];
    unsigned nchild, nparent; /* references of this table, as their child and as their parent: places in refs */
    uint16_t *as_child, *as_parent;
} table_state;

/* One row as the store has it. Values are views into the open select statement until row_close. */
typedef struct stored_row {
    table_state *ts;
    value v[LIMIT_COLUMNS]; /* by place in table->col */
    row_clock clock;
    uint32_t set;  /* of buckets */
    int64_t rowid; /* if it has one that can be named */
} stored_row;

/* What an update changed in a row. */
typedef struct row_changes {
    unsigned n;
    uint16_t place[LIMIT_COLUMNS]; /* ascending */
    value was[LIMIT_COLUMNS];      /* by place in table->col; set for the changed ones */
} row_changes;

struct ingest {
    store *s;
    table_state *tables; /* by place in schema->table */
    reference *refs;
    unsigned nrefs;
    const schema *schema; /* that the statements were made for */
    capture *capture;     /* of the server's own SQL */
    buf captured;         /* its changesets, each preceded by its length */
    bool undo_points;

    /* The transaction being taken in. */
    author_info *author;
    bool from_server, writes_server; /* writes_server: what only the server writes, too */
    uint64_t base, number, now_ms;
    field_clock clock; /* effective stamp, author, the seq being given */
    scope_log log;     /* what changes, for whom */
    uint64_t conflicts, rows;
    buf dangling; /* references to look at again at the end: place in refs, direction, values */

    /* Whose rows are (scope.h). */
    scope *scope;
    bool scoped, judged;   /* rules are in force; and they bind the author */
    bool profiles_touched; /* a table that profiles read was changed */
    scope_moves moves;
    buf orphans, unjudged; /* rows to look at again at the end: table, key */

    /* What follows by itself (automation.h). */
    struct automation *rules;
    buf caused;            /* the changes that rules are to look at */
    const uint16_t *chain; /* the rules that led to what is written now */
    unsigned nchain;
    bool firing;                      /* these very rules write */
    bool spares;                      /* a rule writes that leaves what others wrote */
    const schema_table *spared_table; /* of which it left something; NULL: it did not */
    const schema_column *spared;      /* the last that it left; NULL: a deleted row */
    buf alerts;                       /* lines about rules that fail */

    /* Why it is refused. */
    uint32_t bad_table;
    buf bad_key, bad_text;
    uint64_t depends;

    /* What a pending edit of its own hid from the author (M16): the rows to come of this part, the next of them, and whether it is the row at hand. */
    unseen_reader unseen;
    unseen_row hidden;
    bool has_hidden, is_hidden;

    buf key, scratch;     /* of the row at hand */
    ingest_retry retries; /* an insert of it may mean a row that its author knew (M15) */
    bool merging_insert;  /* M15: an insert meets a row of its key */
    stored_row row, copy;
    delta_row in, emit;
    row_changes changes;
};

/* ---- ingest_check.c ---- */

/* Prepares for the store's present schema; again after a migration. */
int ingest_prepare(ingest *g);
void ingest_unprepare(ingest *g);
table_state *ingest_table(ingest *g, const schema_table *t);
/* Notes words and passes a refusal on. */
int ingest_refuse(ingest *g, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A failed statement on a data table: a refusal with SQLite's words if a constraint failed, else the database's code. */
int ingest_sqlite(ingest *g, int rc);
/* Puts the bytes by which the row is known to results, conflicts and tombstones into g->key. SATCHEL_E_TOO_LARGE. */
int ingest_put_key(ingest *g, delta_row *row);
/* Resolves the row's table; checks mode, key, column ids, kinds and types; reals stored as reals. */
int ingest_check_row(ingest *g, delta_row *row, const schema_table **out);
/* Whether (from, to) is an allowed move of a guarded column: 1, 0, or an error. */
int ingest_move_allowed(ingest *g, table_state *ts, unsigned column, const value *from, const value *to);
/* A value as SQLite keeps it in a column of this affinity. */
void ingest_as_stored(const schema_column *c, value *v);
/* Notes references of the row just written that do not hold now. `changes` NULL: all of them. */
int ingest_note_child(ingest *g, const stored_row *row, const row_changes *changes);
/* Notes references to the row that would be left without it: just deleted, or (changes not NULL) with the columns changed that they name. */
int ingest_note_parent(ingest *g, const stored_row *row, const row_changes *changes);
/* At the end of the transaction: refuses if one still does not hold. */
int ingest_check_references(ingest *g);

/* ---- ingest_stored.c ---- */

/* 1 and the row, 0 if there is none. Leaves the select statement open: the values live until stored_close. */
int stored_open(ingest *g, const schema_table *t, const value *key, stored_row *row);
void stored_close(stored_row *row);
/* Inserts the row, in the set that the last one had. A refusal, as of all of these: it would be too large, or a constraint failed. */
int stored_put(ingest *g, stored_row *row);
/* Finds the set that the row lies in, which was just inserted; where that cannot be worked out, it was not. */
int stored_place(ingest *g, stored_row *row);
/* Both. */
int stored_insert(ingest *g, stored_row *row);
/* Writes the changed columns of `row` and its clock. */
int stored_update(ingest *g, const stored_row *row, const row_changes *changes, const value *key);
int stored_delete(ingest *g, const schema_table *t, const value *key);

/* ---- ingest_row.c ---- */

/* Merges one row of the transaction into the store. SATCHEL_OK, a code of class REFUSED (words noted), or a database code. */
int ingest_row(ingest *g, delta_row *row);

/* Whether a transaction of this device that touched this row was refused and not settled: its number, 0 if none. */
int ingest_find_refused(ingest *g, uint32_t table, const buf *key, uint64_t *number);

/* Puts a deleted row of an update-wins table back as it was, the deletion logged as lost. SATCHEL_E_NOT_FOUND: nothing is kept of it. */
int ingest_revive(ingest *g, const schema_table *t, const value *key);

/* ---- ingest_scope.c ---- */

int ingest_scope_open(ingest *g);
void ingest_scope_close(ingest *g);
/* At the beginning of a transaction. */
int ingest_scope_begin(ingest *g);
/* The row was just inserted with the set row->set: corrects that, here and in the store. */
int ingest_place(ingest *g, stored_row *row);
/* The row was changed, or is deleted (its key in g->key as well), or comes again that was deleted by the commit deleted_seq. */
int ingest_note_changes(ingest *g, const stored_row *row, const row_changes *changes, const value *key);
int ingest_note_deletion(ingest *g, const stored_row *row, const value *key);
int ingest_note_return(ingest *g, const schema_table *t, const value *key, uint64_t deleted_seq);
/* The same of one that comes again as it was, with the clock that it had. */
int ingest_note_revival(ingest *g, const schema_table *t, const value *key, uint64_t deleted_seq);
/* Refuses what the author may not write: before a row is merged, and for an insert once it was (met: with a row older than the transaction). */
int ingest_may_write(ingest *g, const schema_table *t, const delta_row *row);
int ingest_may_have_made(ingest *g, const schema_table *t, const delta_row *row, bool met);
/* At the end: parents that are missing, references, rows that move, rights that had to wait; and the log. */
int ingest_finish(ingest *g);

/* ---- ingest.c ---- */

/* Begins a transaction of this author; it ends with ingest_finish. */
int ingest_start(ingest *g, author_info *author, uint64_t number, uint64_t base, uint64_t effective, uint64_t now_ms);
/* SQL that runs captured between begin and end is undone by end; g->captured has its changes then. */
int ingest_capture_begin(ingest *g);
int ingest_capture_end(ingest *g, buf *error);
/* Merges these. */
int ingest_merge_captured(ingest *g);
/* To give it up: nothing was changed, nothing is kept. */
void ingest_capture_cancel(ingest *g);
/* A transaction of the server's own SQL, begun with ingest_capture_begin: undoes what ran captured, and ingests what it changed. */
int ingest_author_end(ingest *g, uint64_t now_ms, buf *error);
/* A transaction of the server's own author with one seq, inside store_begin ... store_commit: rows one by one through ingest_row, then end with how that
 * went. Where the author knows everything, a row that is refused leaves no trace, and the others may go on. *changed: there is something to commit, and what follows from it was
 * done. After a failure, which `rc` is or end gives, the position is put back, and the rows are to be rolled back. */
int ingest_own_begin(ingest *g, uint64_t now_ms, ingest_position *before);
int ingest_own_end(ingest *g, const ingest_position *before, int rc, bool *changed);

/* ---- automation_run.c ---- */

/* At the beginning of a transaction: the rules in force. */
int automation_begin(ingest *g);
/* A change of a row that rules watch: EVENT_, its values as they are (of a deleted row: as they were), and what an update changed. */
int automation_note(ingest *g, unsigned op, const stored_row *row, const row_changes *changes);
/* After a transaction was taken in, but not while that very thing goes on: what follows from it, as commits of the server's. A database code. */
int automation_fire(ingest *g);

#endif
