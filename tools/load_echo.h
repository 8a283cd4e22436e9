/* load_echo.h - the least that a round trip to the server can cost: a WebSocket ping over the same TLS on the same port, which libwebsockets answers by itself
 * (RFC 6455 section 5.5.2). */
#ifndef TOOLS_LOAD_ECHO_H
#define TOOLS_LOAD_ECHO_H

#include "replica/stream.h"
#include "tools/load.h"

/* Connects as device `number` of the fleet. */
int load_echo_open(const load_fleet *f, unsigned number, stream **out);
/* One round trip, in microseconds. */
int load_echo(stream *s, uint64_t *us);

#endif
