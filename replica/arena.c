#include "replica/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"

#define CHUNK_BYTES (32u << 10)

struct arena_chunk {
    arena_chunk *next;
    size_t used, size;
    alignas(max_align_t) unsigned char p[];
};

void arena_init(arena *a) {
    *a = (arena){0};
}

static void free_chain(arena_chunk *c) {
    while (c) {
        arena_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void arena_fini(arena *a) {
    free_chain(a->first);
    *a = (arena){0};
}

void arena_reset(arena *a) {
    a->rc = SATCHEL_OK;
    if (!a->first) return;
    free_chain(a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->last = a->first;
}

static arena_chunk *add_chunk(arena *a, size_t n) {
    size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
    arena_chunk *c = malloc(sizeof *c + size);
    if (!c) {
        a->rc = SATCHEL_E_NOMEM;
        return NULL;
    }
    c->next = NULL;
    c->used = 0;
    c->size = size;
    if (a->last)
        a->last->next = c;
    else
        a->first = c;
    a->last = c;
    return c;
}

void *arena_alloc(arena *a, size_t n) {
    size_t need = (n + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    arena_chunk *c = a->last;
    if (a->rc) return NULL;
    if (!c || c->size - c->used < need) c = add_chunk(a, need);
    if (!c) return NULL;
    void *p = c->p + c->used;
    c->used += need;
    return memset(p, 0, n);
}

void *arena_copy(arena *a, const void *p, size_t n) {
    void *to = arena_alloc(a, n ? n : 1);
    if (to && n) memcpy(to, p, n);
    return to;
}

value arena_value(arena *a, const value *v) {
    value out = *v;
    if (v->type != VALUE_TEXT && v->type != VALUE_BLOB) return out;
    out.u.p = arena_copy(a, v->u.p, v->n);
    return out.u.p ? out : value_null();
}
