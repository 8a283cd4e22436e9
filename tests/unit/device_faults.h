/* device_faults.h - what a device does, done with a fault at each instant of it.
 *
 * A fault is an allocation of Satchel's own code that fails, a statement of SQLite's that cannot be prepared, a step that is interrupted, or a
 * write that fails. After each: an error is told, everything in the file is as it was, and the same done again on the same connections
 * ends as if nothing had failed. */
#ifndef TESTS_UNIT_DEVICE_FAULTS_H
#define TESTS_UNIT_DEVICE_FAULTS_H

#include "tests/support/replica_fixture.h"

typedef struct operation {
    const char *name;
    void (*before)(fixture *x); /* brings the file to where it begins, and makes what it takes in; may be NULL */
    int (*run)(fixture *x);
    unsigned flags;
} operation;
/* The file does not pass its verification afterwards. */
#define FAULTS_UNSOUND 1u
/* A commit to two files, which SQLite makes one after the other: no write fails. */
#define FAULTS_TWO_FILES 2u

/* What an operation has to tell beside what it does to the file; run empties it. */
extern buf said;

/* Each on a file that has something of everything, made of a fresh fixture. The transactions: 1 accepted at 21; 2 pending over a value that it hides; 3 a deletion; 4 in a
 * part of its own; 5 of two other tables; 6 and 7 refused, of which 7 was discarded and nobody was told; 8 confirmed; 9 and 10 never sent. The cursor is 15. */
void fail_each_instant(fixture *x, const operation *operations, unsigned n);

/* A copy of the file to go back to, in memory; the caller closes it. Going back opens the file anew. */
sqlite3 *device_keep(fixture *x);
void device_go_back(fixture *x, sqlite3 *to);
/* `run` with the allocations of this turn failing, from `begin` on, or (NULL) once more on the file as it is, opened anew so that statements are prepared again. Its code: SATCHEL_OK, or
 * SATCHEL_E_NOMEM. */
int device_try(fixture *x, const fault_loop *l, sqlite3 *begin, int (*run)(fixture *x));

delta_row pair_row(delta_op op, int64_t a, const char *b);

#endif
