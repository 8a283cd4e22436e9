#include "tests/sim/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 16384u

struct page {
    unsigned users;
    page *next; /* spare one */
    uint8_t p[PAGE_BYTES];
};

void *pages_need(void *p) {
    if (!p) {
        fputs("sim: out of memory\n", stderr);
        exit(2);
    }
    return p;
}

static page *spare;

static page *page_take(void) {
    page *g = spare;
    if (g)
        spare = g->next;
    else
        g = pages_need(malloc(sizeof *g));
    g->users = 1;
    return g;
}

static void page_let_go(page *g) {
    if (--g->users) return;
    g->next = spare;
    spare = g;
}

static size_t pages_for(size_t n) {
    return (n + PAGE_BYTES - 1) / PAGE_BYTES;
}

void pages_size(pages *f, size_t n) {
    size_t had = pages_for(f->n), wanted = pages_for(n);
    if (wanted > f->cap) {
        f->cap = wanted < 64 ? 64 : wanted * 2;
        f->page = pages_need(realloc(f->page, f->cap * sizeof(page *)));
    }
    while (had < wanted) f->page[had++] = page_take();
    while (had > wanted) page_let_go(f->page[--had]);
    f->n = n;
}

void pages_free(pages *f) {
    pages_size(f, 0);
    free(f->page);
    *f = (pages){0};
}

/* The bytes of one page from `at` on, at most `*n`. */
static uint8_t *page_at(const pages *f, size_t at, size_t *n) {
    size_t from = at % PAGE_BYTES;
    if (*n > PAGE_BYTES - from) *n = PAGE_BYTES - from;
    return f->page[at / PAGE_BYTES]->p + from;
}

/* To write there. */
static uint8_t *own_page_at(pages *f, size_t at, size_t *n) {
    page **g = &f->page[at / PAGE_BYTES];
    if ((*g)->users > 1) {
        page *own = page_take();
        memcpy(own->p, (*g)->p, PAGE_BYTES);
        page_let_go(*g);
        *g = own;
    }
    return page_at(f, at, n);
}

void pages_read(const pages *f, size_t at, void *out, size_t n) {
    for (size_t done = 0, some; done < n; done += some) {
        some = n - done;
        const uint8_t *p = page_at(f, at + done, &some);
        memcpy((uint8_t *)out + done, p, some);
    }
}

void pages_extend(pages *f, size_t n) {
    size_t end = f->n;
    pages_size(f, n);
    for (size_t at = end, some; at < n; at += some) {
        some = n - at;
        uint8_t *p = own_page_at(f, at, &some);
        memset(p, 0, some);
    }
}

void pages_write(pages *f, size_t at, const void *p, size_t n) {
    if (at > f->n) pages_extend(f, at);
    if (at + n > f->n) pages_size(f, at + n);
    for (size_t done = 0, some; done < n; done += some) {
        some = n - done;
        uint8_t *to = own_page_at(f, at + done, &some);
        memcpy(to, (const uint8_t *)p + done, some);
    }
}

void pages_copy(pages *to, const pages *from) {
    pages_size(to, 0);
    to->cap = pages_for(from->n);
    to->n = from->n;
    to->page = pages_need(realloc(to->page, (to->cap + 1) * sizeof(page *)));
    for (size_t i = 0; i < to->cap; i++) {
        to->page[i] = from->page[i];
        to->page[i]->users++;
    }
}
