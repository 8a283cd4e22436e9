/* console_list.h - a list that an admin looks through: a table of columns over one SELECT gives pages, order, filters, search, a total, and CSV.
 *
 * A list is data. What a request names is looked up in its table of columns, what it gives is bound: no byte of a request becomes SQL. A page goes on behind the last
 * item that was told (its values stand in `after`), so that what comes or goes meanwhile neither repeats nor hides another item. Order is total: equal values are
 * told apart by the list's key; NULL comes last, whichever way.
 *
 * From any connection, inside the caller's transaction. */
#ifndef SERVER_CONSOLE_LIST_H
#define SERVER_CONSOLE_LIST_H

#include <sqlite3.h>

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/value.h"

#define CONSOLE_LIMIT 100u
#define CONSOLE_LIMIT_MAX 1000u
#define CONSOLE_FILTERS 8u
#define CONSOLE_COUNTS 50u
/* A page ends when it is so long, however few its items are; CSV, which has no pages, is whole or refused. */
#define CONSOLE_PAGE_BYTES ((size_t)4 << 20)
#define CONSOLE_CSV_BYTES ((size_t)48 << 20)
#define CONSOLE_PARAMS 8u

/* BOOL: an integer as true or false. TEXT: without regard to case in order and search. VALUE: of a row of data, as it is (record.h). JSON: text
 * that is told as it is. */
typedef enum console_type { CONSOLE_INTEGER, CONSOLE_REAL, CONSOLE_TEXT, CONSOLE_BOOL, CONSOLE_VALUE, CONSOLE_JSON } console_type;

/* SEARCHED: `q` looks there. NESTED: told in the item's member "values". */
enum { CONSOLE_SEARCHED = 1, CONSOLE_NESTED = 2 };

typedef struct console_column {
    const char *name; /* of the item's member, of sort and filter */
    const char *sql;  /* an expression over `from` */
    console_type type;
    unsigned flags;
} console_column;

typedef struct console_source {
    const char *from; /* what stands behind FROM, WHERE included; ?1 to ?nparam are the caller's */
    const console_column *column;
    size_t ncolumn;
    const char *key
        [LIMIT_KEY_COLUMNS]; /* expressions that together tell every item apart and are never NULL. None: pages are counted instead, and may slip */
    const char *sort; /* a column's name, - before it: descending. "": the key's order; "-": descending */
} console_source;

typedef struct console_filter {
    const char *column, *value;
} console_filter;

typedef struct console_ask {
    unsigned long long limit;
    const char *after, *sort, *q; /* NULL: not given */
    const char *counts;           /* a column: how many items there are of each of its values */
    console_filter filter[CONSOLE_FILTERS];
    unsigned nfilter;
    value param[CONSOLE_PARAMS]; /* the source's */
    unsigned nparam;
    bool csv;
} console_ask;

/* Appends {"items":[...],"total":N,"next":... without the closing brace, for more members; or the whole as CSV. With `counts` also "counts":[{"value":...,"count":N},...] over all pages,
 * the values with most items first, CONSOLE_COUNTS at most; a filter of that very column is left aside there, so that who chose one value sees the others. SATCHEL_E_MISUSE: the request
 * is wrong, with words; SATCHEL_E_LIMIT: a CSV that is too long; database codes. */
int console_list(sqlite3 *db, const console_source *s, const console_ask *ask, buf *out, buf *error);

/* One item alone, that of the only row which the source's parameters leave, as its JSON object: 1; 0: there is none; database codes. */
int console_item(sqlite3 *db, const console_source *s, const value *param, unsigned nparam, buf *out);

/* Appends a field of CSV. */
void console_put_csv_text(buf *out, const char *p, size_t n);

#endif
