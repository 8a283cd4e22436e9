/* view.h - what one device may hold: the buckets of its profile, and the columns that are masked from it.
 *
 * A row lies in a set of buckets, by its number in the row's column satchel_set (set 0: none; set 1: the bucket 'all' alone). A view holds a row if the two share
 * a bucket. View 0 holds everything, whatever set a row is in; devices without a profile have it. Views and sets are never changed once they have a number,
 * so that who has read one may keep it: a device whose buckets change gets another view. */
#ifndef SERVER_VIEW_H
#define SERVER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/db.h"

typedef struct view view;

/* Sets by number, read when they are first asked for; of one connection and thread. Inside a write transaction, which may be undone, they are not kept. */
typedef struct view_sets view_sets;
int view_sets_new(sqlite3 *db, view_sets **out);
void view_sets_free(view_sets *s);

/* Reads a view, which is the caller's until view_release. SATCHEL_E_NOT_FOUND; 0 is always found. */
int view_load(db_cache *c, uint64_t id, view **out);
void view_release(view *v);
uint64_t view_id(const view *v);
bool view_is_everything(const view *v);
/* Whether a row of this set is in the view: 1, 0, or a database code. */
int view_holds(const view *v, view_sets *sets, uint32_t set);
/* Whether the column is kept from who has this view. */
bool view_masks(const view *v, uint32_t table, uint32_t column);
bool view_has_masks(const view *v);
bool view_same_masks(const view *a, const view *b);

/* As `besides` of an entry of leaves: the rows went to no bucket at all (set 0), so that nobody is spared but view 0. */
#define VIEW_NOWHERE UINT32_MAX
/* An entry of the log, for those who hold `set` and, unless it is 0, not `besides`: 1 if it concerns this view, 0, or a database code. View 0 hears
 * all that has no `besides`. */
int view_hears(const view *v, view_sets *sets, uint32_t set, uint32_t besides);

/* Appends the delta without the view's masked columns; an update that has none left is left out. Nothing is appended if no row is left. SATCHEL_E_MALFORMED and
 * others as delta_next. */
int view_filter(const view *v, const uint8_t *delta, size_t n, buf *out);

/* Interns; on the writer, inside its transaction. `bucket`: n ids, ascending; a set of none is 0. */
int view_intern(db_cache *c, const char *profile, const char *masks, const uint32_t *bucket, size_t n, uint64_t *id);
int view_intern_set(db_cache *c, const uint32_t *bucket, size_t n, uint32_t *set);

#endif
