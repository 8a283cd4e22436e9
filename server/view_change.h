/* view_change.h - what brings a device from the view that it holds to the one that it is to hold: one commit in parts, as of the state that is read.
 *
 * First the log in between, of which a row is told if both views hear it, and, when the old one does, that it is gone; then every row that the new view alone
 * holds, whole; then the keys of those that the old one alone holds, as leaves. So a row that both hold goes on as it was, and never blinks. Of a row that came into
 * the old view alone behind the cursor nothing is told, not that it left or was deleted either: the device never had it, unless it has lost
 * something in it: then it knows the key, and may have heard what was kept there. */
#ifndef SERVER_VIEW_CHANGE_H
#define SERVER_VIEW_CHANGE_H

#include "protocol/schema.h"
#include "server/pages.h"

typedef struct view_change {
    uint64_t to;   /* the state that was read: the cursor after the last part */
    uint64_t view; /* which is held then */
    size_t bytes;  /* of all frames */
    unsigned n, next, room;
    frame **part;
} view_change;

/* On a reader, in a read transaction of its own. *out stays NULL if a snapshot has to do it: there is more than most_bytes, in frames or in keys to remember
 * meanwhile; the log does not go back to behind `cursor`, or what it says of then is from before the first rules; the views differ in what they mask, or
 * everything is to be held. */
int view_change_make(pages *r, const schema *shape, int64_t device, uint64_t from_view, uint64_t to_view, uint64_t cursor,
                     size_t most_bytes, view_change **out);
void view_change_free(view_change *c);

#endif
