/* load_light.h - light devices: thousands in one loop of one thread. Each is the replica's file, session and transport (real TLS, real hello, real pages,
 * each page durable before the server is told so), without an application's connection, a thread, or the pauses of poll.c. */
#ifndef TOOLS_LOAD_LIGHT_H
#define TOOLS_LOAD_LIGHT_H

#include <poll.h>

#include "replica/session.h"
#include "replica/transport.h"
#include "tools/load.h"

/* Open files of one: database, WAL, shared memory, socket. */
#define LOAD_LIGHT_FILES 5u

typedef struct load_light {
    unsigned number;
    file *file;
    session *session;
    transport *transport;
    bool begun;
    uint64_t changes; /* transactions of others that were applied here and changed rows */
} load_light;

typedef struct load_lights {
    const load_fleet *fleet;
    load_light *light;
    unsigned n, open; /* of which are connected, or connecting */
    struct pollfd *poll;
    uint64_t looked_us; /* when time was last given to all of them */
} load_lights;

int load_lights_open(load_lights *l, const load_fleet *f, unsigned n);
void load_lights_close(load_lights *l);
/* Connects devices up to number n, some at a time, until all are in step. */
int load_lights_connect(load_lights *l, unsigned n, unsigned patience_s);
/* One turn of the loop, which waits at most timeout_ms. A connection that ends is an error. */
int load_lights_turn(load_lights *l, int timeout_ms);
/* Turns until each of the open ones has seen `changes` since it was opened. */
int load_lights_wait(load_lights *l, uint64_t changes, unsigned patience_s);

#endif
