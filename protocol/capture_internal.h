/* capture_internal.h - what the capture_*.c files share; nobody else includes it.
 *
 * capture.c has the hooks, the virtual table and the API; capture_row.c turns one row change into an entry of the record; capture_record.c
 * keeps the record, in memory and then in a file; capture_net.c consolidates it into changesets; capture_tables.c knows how the
 * tables' columns lie; capture_install.c makes and checks the triggers; capture_functions.c has the SQL functions. */
#ifndef PROTOCOL_CAPTURE_INTERNAL_H
#define PROTOCOL_CAPTURE_INTERNAL_H

#include "protocol/buf.h"
#include "protocol/capture.h"
#include "protocol/value.h"

/* ---- functions ---- */

/* uuid7() and those of functions.h. */
int capture_functions_own(sqlite3 *db);

/* ---- tables ---- */

/* How one synced table's columns lie in the database. A column is meant by its index in the descriptor (desc->col) throughout. */
typedef struct capture_table {
    const schema_table *desc;
    int rc;          /* SATCHEL_OK, or why its rows cannot be captured, */
    const char *why; /* in words; static */
    unsigned index;  /* in capture_tables */
    unsigned ncol, nkey;
    int nraw;       /* columns in the database, generated ones and the server's own included */
    uint16_t *raw;  /* [ncol] index in the database (C4) */
    uint16_t *unit; /* [ncol] lowest column of its group, itself outside any */
    uint16_t *key;  /* [nkey] in the order of the primary key */
    uint8_t *pk;    /* [ncol] 1-based place in the primary key, 0 outside it */
    bool *real;     /* [ncol] REAL affinity: SQLite stores 2.0 as the integer 2 */
} capture_table;

typedef struct capture_tables {
    capture_table *table;
    capture_table **by_name;
    unsigned n;
} capture_tables;

/* Describes every live table of `s`. A table that cannot be captured gets its `rc`; the result is about memory and the database. */
int capture_tables_load(sqlite3 *db, const schema *s, capture_tables *out);
void capture_tables_free(capture_tables *t);
/* NULL if no such table is synced. */
const capture_table *capture_tables_find(const capture_tables *t, const char *name);

/* ---- record ---- */

/* One row change: this head, the key's bytes (value_put of each in key order), then the change as a changeset holds it (operation,
 * indirect byte, records), filled up to a multiple of 8. A refusal is a head alone: the transaction may not commit while it is there. */
typedef struct capture_entry {
    uint64_t next; /* offset of the same row's next change; 0: none. Set while consolidating */
    uint64_t hash; /* of table and key */
    uint32_t size; /* of the whole entry */
    uint32_t key_n;
    uint32_t change_n; /* of a refusal: the column + 1, or 0 */
    uint16_t table;
    int16_t refusal; /* SATCHEL_E_* */
} capture_entry;

/* In an entry's indirect byte, beside CHANGESET_INSERT: what it holds without a difference was said, and is no group's. */
#define ENTRY_SAID 2u

/* The transaction's entries in the order of the changes. Above LIMIT_CAPTURE_BYTES they move to an unlinked temporary file (C7), or to one in
 * memory where the connection's own temporary data is to stay in memory. */
typedef struct capture_record {
    buf mem;          /* the record's end, from byte `spilled` on */
    uint64_t spilled; /* bytes before it, in the file */
    int fd;           /* -1 until the first spill */
    bool in_memory;   /* no spill reaches the disk */
    uint8_t *map;     /* the whole record, while it is mapped */
    size_t map_n;
    int rc; /* why the last append failed */
} capture_record;

void capture_record_init(capture_record *r);
void capture_record_fini(capture_record *r);
uint64_t capture_record_size(const capture_record *r);
/* Appends an entry of `n` bytes (a multiple of 8) and returns where the caller writes it; NULL on error (r->rc). */
capture_entry *capture_record_append(capture_record *r, size_t n);
void capture_record_truncate(capture_record *r, uint64_t size);
void capture_record_clear(capture_record *r);
/* All of it in one piece; valid until the next call that changes the record. SATCHEL_E_IO, _FULL, _NOMEM. */
int capture_record_view(capture_record *r, uint8_t **p, size_t *n);

/* ---- row ---- */

/* Column values of the row at hand, views into SQLite's memory. */
typedef struct capture_row {
    sqlite3 *db;
    bool utf8;                /* the database's encoding: texts need no conversion */
    const capture_said *said; /* by the statement under way; NULL: what changes */
    value old[LIMIT_COLUMNS], new[LIMIT_COLUMNS];
    bool changed[LIMIT_COLUMNS];
} capture_row;

/* Called in the preupdate hook: appends what happened to the row, nothing if nothing did. */
int capture_row_record(capture_row *w, const capture_table *t, int op, capture_record *to);

/* ---- net ---- */

typedef struct net_row {
    uint64_t first, last; /* offsets of its first and last entry */
    uint32_t hash;
    uint32_t next; /* row of the same table that was touched next, + 1 */
} net_row;

typedef struct net_table {
    uint32_t first, last; /* rows, + 1 */
} net_table;

typedef struct capture_net {
    /* what the result is given to; set by the caller */
    int (*part)(void *ctx, unsigned number, bool last, const void *changeset, size_t n);
    void *ctx;
    /* why a result was SATCHEL_E_*: the refusal in the record */
    const capture_table *refused;
    unsigned refused_column; /* + 1, or 0 */
    /* memory that is kept from one transaction to the next */
    uint32_t *slot; /* open addressing over `row`: index + 1 */
    size_t nslot, slot_cap;
    net_row *row;
    size_t nrow, row_cap;
    net_table *table;
    uint16_t *touched; /* tables in the order of their first change */
    unsigned ntouched, table_cap;
    buf out;    /* the part in the making */
    buf change; /* one consolidated change */
    value old[LIMIT_COLUMNS], new[LIMIT_COLUMNS];
    bool stays
        [LIMIT_COLUMNS]; /* units of the row at hand that its change keeps: what was said of them makes no difference, so far */
    /* of the run at hand */
    const capture_tables *tables;
    uint8_t *p;
    size_t n;
    unsigned parts;
    const capture_table *section; /* the table whose section is open in `out` */
} capture_net;

void capture_net_init(capture_net *net);
void capture_net_fini(capture_net *net);
/* Gives the net effect of the record to net->part, in parts; nothing if there is none. Returns a refusal of the record (before any
 * part is given), what `part` returned, or SATCHEL_E_NOMEM, _IO, _FULL. The record stays as it is. */
int capture_net_run(capture_net *net, const capture_tables *tables, capture_record *r);

#endif
