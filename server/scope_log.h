/* scope_log.h - what one commit tells whom: changes gathered by audience, cut into parts, written to the log.
 *
 * An audience are those who hold a bucket of the set `set` and, if `besides` is not 0, none of that one. Within one audience changes stay in order;
 * between two they do not, unless the log is flushed between them. */
#ifndef SERVER_SCOPE_LOG_H
#define SERVER_SCOPE_LOG_H

#include "protocol/clock.h"
#include "protocol/db.h"
#include "protocol/delta.h"

typedef struct scope_audience {
    uint32_t set, besides;
    delta_writer out;
} scope_audience;

#define SCOPE_AUDIENCES 512u
#define SCOPE_AUDIENCE_SLOTS 1024u

typedef struct scope_log {
    db_cache *cache;
    field_clock clock; /* of the commit */
    uint64_t now_ms;
    unsigned parts; /* written so far */
    scope_audience *open;
    unsigned n, room, last;
    size_t bytes;                        /* waiting, about */
    uint16_t slot[SCOPE_AUDIENCE_SLOTS]; /* place in `open` plus 1, by hash of the audience; used when there are several */
} scope_log;

void scope_log_init(scope_log *l, db_cache *cache);
void scope_log_fini(scope_log *l);
/* Another commit; what was not flushed is dropped. */
void scope_log_begin(scope_log *l, field_clock clock, uint64_t now_ms);
/* SATCHEL_E_TOO_LARGE: more parts than a commit can have. */
int scope_log_put(scope_log *l, uint32_t set, uint32_t besides, const delta_row *row);
int scope_log_flush(scope_log *l);
/* Flushes, and takes the rows for which `drop` gives 1 out of what the commit has told so far. */
int scope_log_strip(scope_log *l, int (*drop)(void *ctx, const delta_row *row), void *ctx);

#endif
