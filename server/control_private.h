/* control_private.h - between the admin's socket and its commands. */
#ifndef SERVER_CONTROL_PRIVATE_H
#define SERVER_CONTROL_PRIVATE_H

#include <jansson.h>

#include "server/control.h"

typedef struct control_call control_call;

typedef struct control_command {
    const char *name;
    bool own_transaction; /* see hub.h */
    /* On the writer's thread. Puts members into `reply`, words into `error`; returns a code. */
    int (*run)(control_call *call, store *s, ingest *g, uint64_t now_ms);
    /* On the loop's thread after it was done; may be NULL. */
    void (*after)(control_call *call);
} control_command;

struct control_call {
    service_job job;
    const control_command *command;
    json_t *request, *reply; /* objects, owned */
    buf error;
    int64_t device;            /* of device.revoke */
    struct control_peer *peer; /* NULL: it has gone */
};

const control_command *control_find(const char *name);

#endif
