/* outside.h - the server's outside without threads, for tests: a data directory, a store, a hub and a loop, all stepped by hand.
 *
 * Time is what the test says. Everything asserts. */
#ifndef TESTS_SUPPORT_OUTSIDE_H
#define TESTS_SUPPORT_OUTSIDE_H

#include "server/datadir.h"
#include "server/identity.h"
#include "server/service.h"

#define OUTSIDE_NOW_MS 1790000000000ull /* 2026-09-21 */

typedef struct outside {
    char path[64]; /* of the data directory, under /tmp */
    datadir data;
    identity identity;
    loop loop;
    store *store;
    hub *hub;
    service service;
} outside;

/* `migration` is the text of the one migration, or NULL. */
void outside_open(outside *o, const char *migration);
void outside_close(outside *o);
/* Runs writer and loop until neither has anything to do. */
void outside_settle(outside *o);
/* What service.now_ms answers. */
extern uint64_t outside_now_ms;

#endif
