/* runner.h - many seeds: in processes of their own, so many at once; a failing one is told and made shorter. */
#ifndef TESTS_SIM_RUNNER_H
#define TESTS_SIM_RUNNER_H

#include "tests/sim/totals.h"

#define JOBS_MOST 64u

typedef struct runner {
    sim_options options; /* of each seed */
    uint64_t from, count;
    uint64_t *list;    /* the seeds themselves, `count`; NULL: from `from` on */
    const char *build; /* NULL: nothing is told of it */
    unsigned jobs, most_failures;
    bool no_shorten, twice;
    totals_file *file; /* is added to, and its seeds are left out; NULL: none */
    bool goes_on;      /* what is left out is made up for: `count` seeds are run in any case */
} runner;

/* False: the file could not be written. */
bool runner_run(const runner *w, totals *sum);

#endif
