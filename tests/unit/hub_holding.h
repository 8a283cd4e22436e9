/* hub_holding.h - what a device holds: the rows that pages and snapshots have brought it, in a database in memory. */
#ifndef TESTS_UNIT_HUB_HOLDING_H
#define TESTS_UNIT_HUB_HOLDING_H

#include <sqlite3.h>

#include "protocol/message.h"
#include "protocol/schema.h"

typedef struct holding {
    sqlite3 *db;
    const schema *shape;
    uint64_t view;
    buf *staged; /* parts of a commit */
    unsigned nstaged;
    unsigned puts, updates, deletes, leaves; /* rows since holding_counts */
} holding;

/* The schema, tables of which are made, is borrowed. */
void holding_open(holding *h, const schema *shape);
void holding_close(holding *h);
/* Takes a whole message; asserts that it makes sense: an update is of a row that is there. */
void holding_page(holding *h, const msg_page *head, const void *message, size_t n);
void holding_snapshot(holding *h, const msg_snapshot *head, const void *message, size_t n);
/* "puts updates deletes leaves" since the last time. Valid until the next call. */
const char *holding_counts(holding *h);
/* Every row of a query: columns joined by '|', rows by ' '. Valid until the next call but one. */
const char *holding_sql(const holding *h, const char *query);

#endif
