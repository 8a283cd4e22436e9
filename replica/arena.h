/* arena.h - memory for the length of one row: values copied out of statements and changesets, all freed at once.
 *
 * A failed allocation is sticky (`rc`) until arena_reset, and gives NULL. Reset keeps the first chunk. */
#ifndef REPLICA_ARENA_H
#define REPLICA_ARENA_H

#include <stddef.h>

#include "protocol/value.h"

typedef struct arena_chunk arena_chunk;

typedef struct arena {
    arena_chunk *first, *last;
    int rc; /* SATCHEL_OK or SATCHEL_E_NOMEM */
} arena;

void arena_init(arena *a);
void arena_fini(arena *a);
void arena_reset(arena *a);
/* n bytes, aligned for any type, zeroed. */
void *arena_alloc(arena *a, size_t n);
void *arena_copy(arena *a, const void *p, size_t n);
/* The same value with its bytes in the arena; NULL on error. */
value arena_value(arena *a, const value *v);

#endif
