/* store_verify.h - what the files of the store's check share: store_verify.c has the file, the rows and the log, store_verify_books.c what is kept
 * beside them. */
#ifndef SERVER_STORE_VERIFY_H
#define SERVER_STORE_VERIFY_H

#include "server/progress.h"
#include "server/store.h"

typedef struct checking {
    sqlite3 *db; /* in a read transaction, so that all is of one commit */
    const schema *shape;
    uint64_t seq, floor, high_stamp;
    uint32_t *author; /* every author that there is, ascending */
    size_t nauthor;
    buf *report;
    unsigned problems;
    const progress *watch;
    bool stopped;                 /* the watch wants no more */
    uint64_t done, work;          /* rows and log entries */
    sqlite3_stmt **row;           /* by place in the schema's tables: clock and columns of the row with a key */
    struct scope *scope;          /* the rules */
    struct checksum_truth *wants; /* gets the rows that are not what the log says; may be NULL */
    int wants_rc;
    sqlite3_stmt *tombstone, *commit, *bucket;
} checking;

/* One finding, a line. */
void verify_found(checking *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Counts one row; SATCHEL_E_CLOSED when no more is wanted. */
int verify_step(checking *c, const char *what);
/* Calls `row` for every row of the query until it gives a code. */
int verify_each(checking *c, const char *sql, int (*row)(checking *c, sqlite3_stmt *q));
bool verify_is_author(const checking *c, uint32_t author);
/* The statement of a table's rows with the key in these bytes bound; NULL if they are no key of it, or there is no such live table. */
sqlite3_stmt *verify_bind_key(checking *c, uint32_t table, const void *key, size_t n);

/* store_verify_books.c: position, epochs, devices, authors, results, refusals, conflicts, members, what waits in parts; and the registry of the
 * schema against the tables. */
int verify_books(checking *c);

#endif
