/* faults.h - memory, statements of SQLite's and system calls that fail when a test says so.
 *
 * In a program that links test_faults, malloc, calloc and realloc and the system calls below pass through here wherever Satchel's own
 * code or the test calls them; what shared libraries allocate does not, but for SQLite's memory after faults_install. */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>

/* Once, before any other use of SQLite. */
void faults_install(void);
/* Makes the n-th allocation from now fail, and every later one when `all`; 0 ends it. */
void faults_at(unsigned n, bool all);
/* Whether SQLite's allocations count and fail too, as they do after faults_install. */
void faults_of_sqlite(bool on);
/* True if an allocation has failed since faults_at of another n than 0. */
bool faults_happened(void);

/* Every allocation of some work, each failing once alone and once with all later ones, until a run of each kind needs no more of them:
 *
 *   for (fault_loop l = {0}; faults_next(&l);) { prepare; faults_at(l.n, l.all); work; faults_at(0, false); look } */
typedef struct fault_loop {
    unsigned n;
    bool all;
} fault_loop;
bool faults_next(fault_loop *l);

/* Makes the n-th statement from now that is prepared fail for want of memory, the n-th step that is run (COMMIT and ROLLBACK apart) as one that was
 * interrupted, the n-th write of SQLite's to a file with EIO; 0 ends it. What such a step did before stays, as with any statement that fails in a
 * transaction. faults_happened tells of these too. */
void faults_at_prepare(unsigned n);
void faults_at_step(unsigned n);
void faults_at_write(unsigned n);

typedef enum fault_call { FAULT_PWRITE, FAULT_MMAP, FAULT_MKOSTEMP, FAULT_GETENTROPY, FAULT_MEMFD, FAULT_CALLS } fault_call;
/* The next `times` such calls fail with `error` in errno; pwrite with 0 writes one byte. */
void faults_of_call(fault_call call, unsigned times, int error);

#endif
