/* pages.h - the bytes of a file, in pages that its copies share until one of them writes there.
 *
 * Pages that nobody has any more are kept for the next file, in this world and the next: logs come and go. */
#ifndef TESTS_SIM_PAGES_H
#define TESTS_SIM_PAGES_H

#include <stddef.h>
#include <stdint.h>

typedef struct page page;

/* All zero: empty. */
typedef struct pages {
    page **page;
    size_t n, cap; /* bytes; pages there is room for */
} pages;

/* `p`, if there is memory. A simulator without has nothing to say: it ends. */
void *pages_need(void *p);
/* Its bytes are so many; those beyond its end before are anything. */
void pages_size(pages *f, size_t n);
/* The same, but they are zero. */
void pages_extend(pages *f, size_t n);
/* All of it lies before the end. */
void pages_read(const pages *f, size_t at, void *out, size_t n);
/* Moves the end where it has to; what lies between the end and `at` is zero. */
void pages_write(pages *f, size_t at, const void *p, size_t n);
/* `to` is what `from` is. */
void pages_copy(pages *to, const pages *from);
/* Leaves it empty. */
void pages_free(pages *f);

#endif
