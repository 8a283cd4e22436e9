#include "tests/sim/memory.h"

#include <errno.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/disk.h"

#define NOBODY MEMORY_NODES

/* Before each allocation of SQLite, as its freeing may be anybody's. */
typedef struct header {
    size_t n;
    size_t node;
} header;
_Static_assert(sizeof(header) % 8 == 0, "SQLite wants its memory aligned to eight bytes");

static struct {
    uint64_t at; /* allocations until it fails; 0: it does not */
    unsigned times;
    memory_figures figures;
} nodes[MEMORY_NODES + 1];

static unsigned (*running_node)(void *ctx);
static void *running_ctx;

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
void __wrap_free(void *p);

static unsigned owner(void) {
    return running_node && !disk_is_looking() ? running_node(running_ctx) : NOBODY;
}

static bool fails(unsigned node) {
    nodes[node].figures.calls++;
    if (node == NOBODY || !nodes[node].at || --nodes[node].at) return false;
    nodes[node].figures.failed++;
    if (--nodes[node].times) nodes[node].at = 1;
    errno = ENOMEM;
    return true;
}

void memory_fail_at(unsigned node, uint64_t call, unsigned times) {
    nodes[node].at = times ? call : 0;
    nodes[node].times = times;
}

memory_figures memory_measure(unsigned node) {
    return nodes[node].figures;
}

/* ---- pieces ----
 *
 * SQLite asks for small pieces all the time: what it gave back is kept by size, for the next world, too. Where a sanitizer watches, it sees each of them. */

#define STEP 16u
#define SIZES 512u /* larger ones are few */
#define CHUNK_BYTES (1u << 20)

/* Beside the pieces and not in them: who was given back long ago is in no cache. */
static struct {
    void **piece;
    size_t n, room;
} kept[SIZES];
static uint8_t *chunk;
static size_t chunk_left;

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define EACH_ALONE true
#endif
#elif defined __SANITIZE_ADDRESS__
#define EACH_ALONE true
#endif
#ifndef EACH_ALONE
#define EACH_ALONE false
#endif

/* SIZES: none that is kept. */
static size_t size_class(size_t n) {
    size_t class = (n + STEP - 1) / STEP;
    return class < SIZES && !EACH_ALONE ? class : SIZES;
}

static void *cut_piece(size_t bytes) {
    if (chunk_left < bytes) {
        chunk = malloc(CHUNK_BYTES);
        chunk_left = chunk ? CHUNK_BYTES : 0;
        if (!chunk) return NULL;
    }
    void *p = chunk;
    chunk += bytes;
    chunk_left -= bytes;
    return p;
}

static void *take_piece(size_t n) {
    size_t class = size_class(n);
    if (class == SIZES) return malloc(n);
    if (!kept[class].n) return cut_piece(class * STEP);
    return kept[class].piece[--kept[class].n];
}

static void give_piece(void *p, size_t n) {
    size_t class = size_class(n);
    if (class == SIZES) {
        free(p);
        return;
    }
    if (kept[class].n == kept[class].room) {
        kept[class].room = kept[class].room ? kept[class].room * 2 : 64;
        kept[class].piece = realloc(kept[class].piece, kept[class].room * sizeof(void *));
        if (!kept[class].piece) abort();
    }
    kept[class].piece[kept[class].n++] = p;
}

static void *resize_piece(void *p, size_t was, size_t n) {
    size_t class = size_class(n);
    if (class == size_class(was)) return class == SIZES ? realloc(p, n) : p;
    void *other = take_piece(n);
    if (!other) return NULL;
    memcpy(other, p, was < n ? was : n);
    give_piece(p, was);
    return other;
}

/* ---- SQLite ---- */

static header *header_of(void *p) {
    return (header *)p - 1;
}

static void count_sqlite(const header *h, int sign) {
    nodes[h->node].figures.sqlite += sign * (int64_t)h->n;
}

static void *sqlite_malloc(int n) {
    unsigned node = owner();
    header *h = fails(node) ? NULL : take_piece(sizeof *h + (size_t)n);
    if (!h) return NULL;
    *h = (header){.n = (size_t)n, .node = node};
    count_sqlite(h, 1);
    return h + 1;
}

static void sqlite_free(void *p) {
    header *h = header_of(p);
    count_sqlite(h, -1);
    give_piece(h, sizeof *h + h->n);
}

static void *sqlite_realloc(void *p, int n) {
    header *h = header_of(p);
    if (fails(owner())) return NULL;
    count_sqlite(h, -1);
    header *more = resize_piece(h, sizeof *h + h->n, sizeof *h + (size_t)n);
    if (more) h = more;
    if (more) h->n = (size_t)n;
    count_sqlite(h, 1);
    return more ? h + 1 : NULL;
}

static int sqlite_size(void *p) {
    return p ? (int)header_of(p)->n : 0;
}

static int sqlite_roundup(int n) {
    return (n + 7) & ~7;
}

static int sqlite_init(void *ctx) {
    (void)ctx;
    return SQLITE_OK;
}

static void sqlite_shutdown(void *ctx) {
    (void)ctx;
}

void memory_install(unsigned (*running)(void *ctx), void *ctx) {
    static const sqlite3_mem_methods methods = {.xMalloc = sqlite_malloc,
                                                .xFree = sqlite_free,
                                                .xRealloc = sqlite_realloc,
                                                .xSize = sqlite_size,
                                                .xRoundup = sqlite_roundup,
                                                .xInit = sqlite_init,
                                                .xShutdown = sqlite_shutdown};
    running_node = running;
    running_ctx = ctx;
    memset(nodes, 0, sizeof nodes);
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* ---- the engine ----
 *
 * Without a header, as it may free what the C library made: memory is taken from whose code frees it, which in the engine is whose it is. */

static void *count_engine(unsigned node, void *p) {
    nodes[node].figures.engine += (int64_t)malloc_usable_size(p);
    return p;
}

void *__wrap_malloc(size_t n) {
    unsigned node = owner();
    return fails(node) ? NULL : count_engine(node, malloc(n));
}

void *__wrap_calloc(size_t n, size_t size) {
    unsigned node = owner();
    return fails(node) ? NULL : count_engine(node, calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n) {
    unsigned node = owner();
    if (fails(node)) return NULL;
    nodes[node].figures.engine -= (int64_t)malloc_usable_size(p);
    void *more = realloc(p, n);
    count_engine(node, more ? more : p);
    return more;
}

char *__wrap_strdup(const char *text) {
    return __wrap_strndup(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t most) {
    size_t n = strnlen(text, most);
    char *copy = __wrap_malloc(n + 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

void __wrap_free(void *p) {
    nodes[owner()].figures.engine -= (int64_t)malloc_usable_size(p);
    free(p);
}
