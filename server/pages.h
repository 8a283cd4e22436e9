/* pages.h - pages of commits from the log, read on a connection of one's own beside the writer. */
#ifndef SERVER_PAGES_H
#define SERVER_PAGES_H

#include "protocol/db.h"
#include "server/frame.h"

typedef struct pages {
    sqlite3 *db;
    db_cache cache;
} pages;

/* Opens a read-only view of the store at `path`. */
int pages_open(pages *r, const char *path, buf *error);
void pages_close(pages *r);

/* Where a device stands: behind `cursor`, and `part` parts into the large commit `part_seq` (part 0: none). */
typedef struct page_place {
    uint64_t cursor, part_seq;
    uint32_t part;
} page_place;

/* Makes the next page after *place, looking no further than seq `head`; moves *place past it. *full: the page would be the same if the head were
 * higher. Large commits come in parts, one a page. SATCHEL_E_NOT_FOUND: the log was pruned above *place. */
int pages_next(pages *r, page_place *place, uint64_t head, uint64_t high_stamp, frame **out, bool *full);

#endif
