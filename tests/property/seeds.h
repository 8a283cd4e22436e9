/* seeds.h - random runs that can be had again: each case gets one seed, and a failure names it.
 *
 *   SATCHEL_SEEDS=n   how many cases a test runs (default: the test's own)
 *   SATCHEL_SEED=s    the seed of the first; the others follow it. Default: by the time. */
#ifndef TESTS_PROPERTY_SEEDS_H
#define TESTS_PROPERTY_SEEDS_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* splitmix64 (Steele, Lea, Flood, 2014). */
typedef struct seed {
    uint64_t first; /* what the case began with */
    uint64_t state;
} seed;

static inline uint64_t seed_next(seed *s) {
    uint64_t z = s->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 <= result < n */
static inline unsigned seed_below(seed *s, unsigned n) {
    return (unsigned)(seed_next(s) % n);
}

static inline bool seed_chance(seed *s, unsigned percent) {
    return seed_below(s, 100) < percent;
}

/* A number of any magnitude: small ones are as likely as large ones. */
static inline uint64_t seed_spread(seed *s) {
    return seed_next(s) >> seed_below(s, 64);
}

static inline uint64_t seed_environment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* Runs `test` on SATCHEL_SEEDS (or `cases`) seeds one after the other. */
static inline void seed_run(void (*test)(seed *), unsigned cases) {
    uint64_t first = seed_environment("SATCHEL_SEED", (uint64_t)time(NULL) * 100000),
             n = seed_environment("SATCHEL_SEEDS", cases);
    print_message("seeds %" PRIu64 " to %" PRIu64 "\n", first, first + n - 1);
    for (uint64_t i = 0; i < n; i++) {
        seed s = {.first = first + i, .state = first + i};
        test(&s);
    }
}

/* Like assert_true, and names the seed to run again. */
#define seed_check(s, condition)                                                                                                 \
    do {                                                                                                                         \
        if (!(condition)) fail_msg("%s; run again with SATCHEL_SEED=%" PRIu64 " SATCHEL_SEEDS=1", #condition, (s)->first);       \
    } while (0)

#endif
