/* load_device.h - a whole device: a handle of the library that syncs in a thread of its own, and the application that writes through it.
 *
 * It notes for each of its transactions when it was committed and when its result came, and what others write carries the time of its commit, so that
 * whoever sees it knows how long it was on its way. All clocks are this process's. */
#ifndef TOOLS_LOAD_DEVICE_H
#define TOOLS_LOAD_DEVICE_H

#include "replica/handle.h"
#include "tools/load.h"

/* Open files of one: two connections with their WAL, its shared memory, a lock, a pipe, a socket. */
#define LOAD_DEVICE_FILES 10u
/* Rows that every device edits, made by load_device_rows. */
#define LOAD_POOL 64u
#define LOAD_FLIGHT 4096u
#define LOAD_SEEN 256u
#define LOAD_OWN 32u

/* Of all devices together. */
typedef struct load_stats {
    load_histogram answered,
        visible; /* from commit to the result; from a commit to being seen by another. Of those made on line */
    atomic_uint_fast64_t act[LOAD_ACTS], transactions, refused, conflicts, errors, disconnects;
    pthread_mutex_t mutex;
    char first_error[320];
} load_stats;

typedef struct load_device {
    unsigned number;
    satchel *s;
    load_stats *stats;
    uint64_t random;
    bool running;              /* its thread runs; for whoever drives it */
    uint64_t next_us, back_us; /* when it acts next; until when it stays off line */
    sqlite3_stmt *statement[LOAD_ACTS];
    uint8_t own[LOAD_OWN][16]; /* rows of its own that it may delete */
    unsigned nown;
    atomic_uint_fast64_t in_step_us; /* since when; 0: it is not in step */
    atomic_uint_fast64_t left_us;    /* when a connection ended without being asked to */
    atomic_uint_fast64_t committed_us[LOAD_FLIGHT];
    /* What the syncing thread has written and not yet looked at. */
    sqlite3_stmt *look;
    int64_t seen[LOAD_SEEN];
    unsigned nseen;
    uint64_t since_us; /* in step on this connection since; what was committed before was caught up on. 0: not yet */
    void (*saw)(void *ctx, uint64_t committed_us);
    void *saw_ctx;
} load_device;

/* On the heap, of zeros; NULL after telling. */
load_stats *load_stats_new(void);
/* Counts an error and keeps the words of the first. */
void load_stats_error(load_stats *st, unsigned number, const char *words);

/* Makes the rows that devices share, if the server has not got them. */
int load_device_rows(load_server *sv);
/* Opens device `number` of the fleet, off line. */
int load_device_open(load_device *d, const load_fleet *f, unsigned number, load_stats *st, uint64_t seed);
void load_device_close(load_device *d);
/* Begins or ends syncing. */
int load_device_start(load_device *d);
void load_device_stop(load_device *d);
/* One transaction; failures are counted. Not ACT_OFFLINE and ACT_RECONNECT, which are the driver's. */
void load_device_write(load_device *d, load_act act);
/* The first o->devices of them work at random for o->seconds, and all are on line afterwards. */
int load_devices_work(load_device *d, const load_options *o);
/* Waits until all are in step at `seq` or above with nothing left to send; fails when nothing moves for `patience_s`. */
int load_devices_settle(load_device *d, unsigned n, uint64_t seq, unsigned patience_s);
/* Settles, and compares every device's content with the server's; *different: how many devices are not equal. */
int load_devices_compare(load_device *d, unsigned n, load_server *sv, unsigned patience_s, unsigned *different);
/* n devices of the fleet, all in step; an array on the heap, NULL after telling why not. */
load_device *load_devices_open(const load_fleet *f, load_stats *st, unsigned n, const load_options *o);
void load_devices_close(load_device *d, unsigned n);

#endif
