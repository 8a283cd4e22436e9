/* totals.h - what many seeds came to: added up, printed, and kept in a file from sitting to sitting.
 *
 * The file belongs to one state of the sources, and each of its seeds is counted once. */
#ifndef TESTS_SIM_TOTALS_H
#define TESTS_SIM_TOTALS_H

#include <jansson.h>
#include <sys/types.h>

#include "tests/sim/sim.h"

/* Without these a seed proves too little to count. */
#define COUNTS_DEVICES 4u
#define COUNTS_TRANSACTIONS 300u
#define COUNTS_CLASSES 5u

typedef struct totals {
    uint64_t passed, failed, uncounted; /* uncounted: of those that passed */
    sim_figures sum;
} totals;

/* A seed that passed. */
void totals_add(totals *t, const sim_figures *f);
void totals_print(const totals *t);
/* An object, the caller's. */
json_t *totals_json(const totals *t);
/* False: `o` lacks something. */
bool totals_read(totals *t, const json_t *o);

/* ---- the file ---- */

typedef struct seed_range {
    uint64_t from, to; /* up to, and without, `to` */
} seed_range;

typedef struct totals_file {
    const char *path;
    json_t *builds; /* the texts of all sittings' --build */
    char *sources;
    totals sum;
    seed_range *range; /* of the seeds that were run: in order, none touches the next */
    size_t nrange;
    dev_t device; /* as last read or written, */
    ino_t inode;  /* 0: there is no file yet */
} totals_file;

/* Reads the file, or begins one. `sources` names the state of the sources; NULL: whichever the file is of, which then has to be there.
 * False: what is wrong was printed. `path` must outlive it; totals_close in either case. */
bool totals_open(totals_file *t, const char *path, const char *sources);
void totals_close(totals_file *t);
/* The first seed from `seed` on that was not run. */
uint64_t totals_next(const totals_file *t, uint64_t seed);
/* Its seed was run; the figures are added to `sum` by the caller. */
void totals_ran(totals_file *t, uint64_t seed);
/* In one step: a killed process leaves the file as it was or as it is now. False: what is wrong was printed. */
bool totals_save(totals_file *t, const char *build);
/* As a Markdown table. */
void totals_table(const totals_file *t);

#endif
