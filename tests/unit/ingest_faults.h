/* ingest_faults.h - what the store takes in, done with a fault at each instant of it.
 *
 * A fault is an allocation of Satchel's own code that fails, a statement of SQLite's that cannot be prepared, a step that is interrupted, or a write that fails.
 * After each: an error is told, a rollback leaves everything as it was, and the same done again with the same ingest ends as if nothing had
 * failed. */
#ifndef TESTS_UNIT_INGEST_FAULTS_H
#define TESTS_UNIT_INGEST_FAULTS_H

#include "tests/unit/ingest_fixture.h"

typedef struct operation {
    const char *name;
    void (*before)(world *w); /* brings the store to where it begins, and makes what it takes in; may be NULL */
    int (*run)(world *w);     /* inside store_begin ... store_commit, unless it has its own transactions */
    unsigned flags;
} operation;
#define OWN_TRANSACTIONS 1u

/* Each on a store that has something of everything, made of a fresh one. */
void fail_each_instant(world *w, const operation *operations, unsigned n);
/* The same on the store as it is, whatever its schema. */
void fail_each_instant_here(world *w, const operation *operations, unsigned n);

extern push_txn pushed; /* what run_push pushes, of the phone */
extern buf said;        /* what an operation has to tell beside what it does to the store; run empties it */
/* Makes it of words, with a base before what the tablet did. */
void make(world *w, const char *words);
void set_delta(world *w, const char *words);
int run_push(world *w);

#endif
