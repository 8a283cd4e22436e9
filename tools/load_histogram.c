/* Buckets as in HdrHistogram (hdrhistogram.org): 64 of equal width for each doubling of the time, so that a bucket is within 1/64 of what it stands for. */
#include <math.h>
#include <string.h>

#include "tools/load.h"

#define STEPS 64u /* in a doubling */
#define STEP_BITS 6u
#define BAR_WIDTH 50
#define ROWS 24u /* doublings that are told apart in a picture: up to 16 s */

static unsigned bucket_of(uint64_t us) {
    if (us < STEPS) return (unsigned)us;
    unsigned high = 63u - (unsigned)__builtin_clzll(us), shift = high - STEP_BITS;
    unsigned at = (shift + 1) * STEPS + (unsigned)((us >> shift) - STEPS);
    return at < LOAD_BUCKETS ? at : LOAD_BUCKETS - 1;
}

/* The middle of a bucket. */
static double us_of(unsigned at) {
    if (at < STEPS) return at;
    unsigned shift = at / STEPS - 1;
    return ldexp(at % STEPS + STEPS + 0.5, (int)shift);
}

void load_histogram_add(load_histogram *h, uint64_t us) {
    atomic_fetch_add_explicit(&h->bucket[bucket_of(us)], 1, memory_order_relaxed);
    uint_fast64_t max = atomic_load_explicit(&h->max_us, memory_order_relaxed);
    while (us > max && !atomic_compare_exchange_weak(&h->max_us, &max, us)) continue;
}

uint64_t load_histogram_count(const load_histogram *h) {
    uint64_t n = 0;
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) n += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    return n;
}

double load_histogram_ms(const load_histogram *h, double share) {
    uint64_t n = load_histogram_count(h), want = (uint64_t)ceil(share * (double)n), seen = 0;
    if (!n || share >= 1) return (double)h->max_us / 1000;
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= want && seen) return fmin(us_of(i), (double)h->max_us) / 1000;
    }
    return 0;
}

json_t *load_histogram_json(const load_histogram *h) {
    return json_pack("{sI sf sf sf sf}", "n", (json_int_t)load_histogram_count(h), "p50_ms", load_histogram_ms(h, 0.5), "p90_ms",
                     load_histogram_ms(h, 0.9), "p99_ms", load_histogram_ms(h, 0.99), "max_ms", load_histogram_ms(h, 1));
}

static unsigned row_of(unsigned bucket) {
    double us = us_of(bucket);
    unsigned row = us < 1 ? 0 : (unsigned)ilogb(us);
    return row < ROWS ? row : ROWS - 1;
}

void load_histogram_print(const load_histogram *h, const char *title) {
    uint64_t row[ROWS] = {0}, most = 1, n = load_histogram_count(h);
    printf("%s: %llu", title, (unsigned long long)n);
    if (n)
        printf("; p50 %.1f ms, p90 %.1f, p99 %.1f, max %.1f", load_histogram_ms(h, 0.5), load_histogram_ms(h, 0.9),
               load_histogram_ms(h, 0.99), load_histogram_ms(h, 1));
    putchar('\n');
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        uint64_t *r = &row[row_of(i)];
        *r += h->bucket[i];
        if (*r > most) most = *r;
    }
    for (unsigned i = 0; i < ROWS; i++) {
        if (!row[i]) continue;
        int width = (int)((row[i] * BAR_WIDTH + most - 1) / most);
        printf("  %9.2f ms  %.*s %llu\n", ldexp(1, (int)i) / 1000, width, "##################################################",
               (unsigned long long)row[i]);
    }
}
