/* pages.h - pages of commits from the log, read on a connection of one's own beside the writer. */
#ifndef SERVER_PAGES_H
#define SERVER_PAGES_H

#include "protocol/db.h"
#include "server/frame.h"
#include "server/view.h"

/* Views that a reader keeps, each at its number's place. */
#define PAGES_VIEWS 256u

typedef struct pages {
    sqlite3 *db;
    db_cache cache;
    view_sets *sets;
    view *views[PAGES_VIEWS];
} pages;

/* Opens a read-only view of the store at `path`. */
int pages_open(pages *r, const char *path, buf *error);
void pages_close(pages *r);
/* Borrowed until the next call. SATCHEL_E_NOT_FOUND. */
int pages_view(pages *r, uint64_t id, view **out);
/* SATCHEL_E_NOT_FOUND if the log no longer goes back to behind `cursor`; inside a read transaction. */
int pages_check_floor(pages *r, uint64_t cursor);

/* Where a device stands: behind `cursor`, and `part` parts into the large commit `part_seq` (part 0: none), which were `rows` rows of the log. Up to `scanned`, if
 * that is more than the cursor, the log holds nothing for its view. */
typedef struct page_place {
    uint64_t cursor, scanned, part_seq;
    uint32_t part, rows;
} page_place;

/* Makes the next page after *place for a view, looking no further than seq `head`; moves *place past it. *full: the page would be the same if the head were
 * higher. Large commits come in parts, one a page, numbered for this view. If there is nothing for the view, *out is NULL and *place tells how far that was looked,
 * which need not be the head; unless the page is `due`, or the view is everything: then it is empty and moves the cursor. SATCHEL_E_NOT_FOUND: the log was pruned above *place. */
int pages_next(pages *r, uint64_t view_id, page_place *place, uint64_t head, uint64_t high_stamp, bool due, frame **out,
               bool *full);

#endif
