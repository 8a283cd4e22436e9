/* worker.h - a process that runs seeds, one after another. What a seed does to its process, as crash it, is told with that seed. */
#ifndef TESTS_SIM_WORKER_H
#define TESTS_SIM_WORKER_H

#include <sys/types.h>

#include "tests/sim/sim.h"

/* Zeroed before its first use. */
typedef struct worker {
    pid_t pid;           /* 0: there is none */
    int to, from;        /* its ends; something to read is there when its seed has ended */
    unsigned seeds;      /* that it was given */
    sim_options options; /* of the last */
} worker;

/* Gives it a seed, when it has none; it is started if need be, `quiet` without its standard error. */
void worker_give(worker *w, const sim_options *o, bool quiet);
/* Waits for the end of its seed. True if it passed; else the process is gone. */
bool worker_take(worker *w, sim_result *r);
/* Ends it, when it has no seed. */
void worker_end(worker *w);
/* A seed in a process of its own. */
bool worker_run(const sim_options *o, bool quiet, sim_result *r);

#endif
