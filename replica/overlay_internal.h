/* overlay_internal.h - what the overlay_*.c files share; nobody else includes it.
 *
 * overlay_index.c finds the pending changes of a row; overlay_row.c computes what one row shows and writes it; overlay_kept.c
 * forgets what the app lost to; overlay.c walks pages, ranges and transactions over them. */
#ifndef REPLICA_OVERLAY_INTERNAL_H
#define REPLICA_OVERLAY_INTERNAL_H

#include "protocol/changeset.h"
#include "replica/arena.h"
#include "replica/overlay.h"
#include "replica/rows.h"

/* One pending change: where it is. */
typedef struct entry {
    uint64_t hash;   /* of table id and key bytes */
    uint64_t number; /* 0: a free entry */
    uint32_t table;
    uint32_t part, header, offset; /* in the transaction's changesets */
    uint32_t next;                 /* in the chain of its slot, or of the free ones: index + 1 */
} entry;

/* A transaction that is in the overlay. */
typedef struct pending {
    uint64_t number;
    uint64_t seq; /* where it was accepted; 0: no result yet */
    uint32_t epoch, parts;
    bool gone; /* it left in this overlay_confirm */
} pending;

/* Changesets that were read last: the rows of a page tend to be in the same few. */
#define BLOB_SLOTS 8u
typedef struct blob_slot {
    uint64_t number;
    uint32_t part;
    uint64_t used; /* tick of the last use; 0: empty */
    buf bytes;
} blob_slot;

/* Positions of a changeset of `epoch` to live columns of `table` (P1). */
typedef struct layout_map {
    const schema_table *table;
    uint32_t epoch;
    unsigned n;
    int16_t at[LIMIT_COLUMNS]; /* index in table->col, -1 if the column is gone */
} layout_map;

/* What is confirmed of a column (0: whether the row is there) has moved unseen, beneath a pending change, since the cursor was at `seen`. */
typedef struct hidden {
    uint32_t column;
    uint64_t seen;
} hidden;

struct overlay {
    file *f;
    bool valid;
    uint64_t last_number; /* the outbox was read up to here */
    uint64_t known;       /* state.overlay that this index has followed */
    entry *entry;
    uint32_t nentry, entry_cap, free; /* `free`: index + 1 */
    size_t live;
    uint32_t *slot; /* index + 1 of each chain's first */
    size_t nslot;   /* a power of two */
    pending *txn;   /* ascending number */
    size_t ntxn, txn_cap, naccepted;
    blob_slot blob[BLOB_SLOTS];
    uint64_t tick;
    layout_map map;
    changeset_change change; /* of the entry at hand */
    rows rows;
    arena arena;     /* of the row at hand */
    buf key;         /* its key bytes */
    uint32_t *found; /* its entries */
    size_t nfound, found_cap;
    uint32_t *touched; /* ids of tables */
    unsigned ntouched, touched_cap;
};

/* ---- overlay_index.c ---- */

uint64_t index_hash(uint32_t table, const void *key, size_t n);
void index_clear(overlay *o);
/* The transaction, NULL if it is not in the overlay. */
pending *index_txn(overlay *o, uint64_t number);
/* Removes one that was not accepted. */
void index_remove_txn(overlay *o, uint64_t number);
/* Removes those that are marked as gone. */
void index_sweep_txns(overlay *o);
/* Adds one transaction's changes. */
int index_add(overlay *o, const pending *p);
/* Finds the entries of a row, in the order of their transactions, into o->found; index_txn has the transaction of each. */
int index_find(overlay *o, const schema_table *t, uint64_t hash, const void *key, size_t nkey);
bool index_holds(const overlay *o, uint64_t hash, uint64_t number);
void index_remove(overlay *o, uint32_t at);
/* Reads entry `at` into o->change, and its transaction's layout into o->map. */
int index_load(overlay *o, const schema_table *t, uint32_t at);
/* The live table and the key bytes of a change; *t is NULL if the table is gone or the change does not fit its layout. */
int index_key(overlay *o, uint32_t epoch, const changeset_change *change, const schema_table **t, buf *key);

/* ---- overlay_row.c ---- */

/* Why a row is looked at. */
typedef struct row_reason {
    const delta_row *change; /* the confirmed change; NULL: none, entries leave */
    uint64_t seq;            /* as of which it is confirmed; 0: none */
    bool rewinds;            /* the server goes on from `seq` again: what stands beneath is found anew */
    uint64_t leave_to;       /* entries accepted up to here leave */
    uint64_t leave_number;   /* this transaction's entry leaves */
} row_reason;

int row_process(overlay *o, const schema_table *t, const value *key, const row_reason *why);
/* Does the row show what its base and its pending changes say? *fault gets a static text, or NULL. */
int row_verify(overlay *o, const schema_table *t, const value *key, const char **fault);

/* ---- overlay_kept.c ---- */

/* Of a row that leaves. */
int kept_forget_row(overlay *o, const schema_table *t, const value *key);
/* In columns that the rows of a snapshot's range, of which there is one at least, do not have. */
int kept_forget_masked(overlay *o, const schema_table *t, const snapshot_range *r);

/* ---- overlay.c ---- */

/* A statement that gives the keys of the rows that are shown, in order; finalized by the caller. */
int range_prepare(overlay *o, const schema_table *t, bool has_from, bool has_to, sqlite3_stmt **out);

/* A set of hashes. Those that were put are in it once it is closed. */
typedef struct key_set {
    buf hashes;
    size_t n;
} key_set;

void key_set_put(key_set *set, uint64_t hash);
int key_set_close(key_set *set);
bool key_set_has(const key_set *set, uint64_t hash);

#endif
