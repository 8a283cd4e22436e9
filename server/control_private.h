/* control_private.h - between the admin's socket and its commands. */
#ifndef SERVER_CONTROL_PRIVATE_H
#define SERVER_CONTROL_PRIVATE_H

#include <jansson.h>
#include <stdatomic.h>

#include "server/audit.h"
#include "server/control.h"
#include "server/people.h"
#include "server/progress.h"

typedef struct control_command {
    const char *name;
    bool own_transaction; /* see hub.h */
    /* On the writer's thread. Puts members into `reply`, words into `error`; returns a code. */
    int (*run)(control_call *call, store *s, ingest *g, uint64_t now_ms);
    /* On the loop's thread after it was done; may be NULL. */
    void (*after)(control_call *call);
    people_role role; /* what a person must be, or a token's scope, to run it over HTTPS; NONE: nobody may */
    bool reads;       /* it changes nothing: the audit log has it only where it was refused to somebody */
} control_command;

/* A command that takes long and reads through a connection of its own, so that the writer goes on: a backup, a check of the whole store. */
typedef struct control_work {
    const char *name;
    /* On a thread of its own; `watch` tells the admin how far it is, and that it is to end. As `run` otherwise. */
    int (*work)(control_call *call, const progress *watch);
    /* On the writer's thread, if the work was done; may be NULL. */
    int (*finish)(control_call *call, store *s, ingest *g, uint64_t now_ms);
    /* As a command's. */
    void (*after)(control_call *call);
    /* Frees state.result, which may be NULL; itself NULL: free() does. */
    void (*drop)(void *result);
    people_role role;
    bool reads;
} control_work;

/* How far a work is, between its thread and the loop's. */
typedef struct control_state {
    control *control;
    uv_work_t thread;
    const char *_Atomic what; /* NULL: nothing to tell yet */
    atomic_uint_fast64_t done, total;
    atomic_bool stop;
    void *result; /* from work to finish; freed with the call, whether finish ran or not */
} control_state;

/* Sends a line before the answer, from the work's thread, and returns when the other side has taken it. False: nobody takes it (he has gone, the server
 * ends, or he has not read for CONTROL_STALL_MS): the work is to end with SATCHEL_E_CLOSED. */
bool control_stream(control_call *call, const buf *line);
#define CONTROL_STALL_MS 60000

struct control_call {
    service_job job;
    const control_command *command; /* or */
    const control_work *work;
    control_state state;
    json_t *request, *reply; /* objects, owned */
    int rc;                  /* of the command, or of a work before it is finished: it was undone, and that is noted */
    buf error;
    control_asker by;
    control_call *next;                            /* of those that run */
    int64_t device;                                /* of device.revoke and others, */
    int drop;                                      /* what its connections end with, */
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]; /* its key's, */
    device_order order;                            /* and what it is ordered */
    struct control_peer *peer;                     /* NULL: it has gone */
};

const control_command *control_find(const char *name);
const control_work *control_find_work(const char *name);

/* Each file of commands has a table of them, ended by one without a name; control_commands.c lists the tables. */
extern const control_command control_ca_commands[], control_device_commands[], control_rejected_commands[],
    control_token_commands[], control_store_commands[], control_transfer_commands[], control_scope_commands[],
    control_rollout_commands[], control_automation_commands[], control_people_commands[], control_alert_commands[],
    control_conflict_commands[];
/* As those of works. */
extern const control_work control_backup_works[], control_transfer_works[], control_scope_works[], control_people_works[],
    control_alert_works[];

/* ---- control_reply.c: what commands share ---- */

/* Members of a reply. Text that is no UTF-8 has its bytes over 127 shown as '?'; NULL is null. */
void control_put_text(json_t *o, const char *member, const char *text);
void control_put_number(json_t *o, const char *member, uint64_t v);
/* 0 is null: a time that never was, a row that is not. */
void control_put_known(json_t *o, const char *member, uint64_t v);
void control_put_hex(json_t *o, const char *member, const uint8_t *p, size_t n);
void control_put_report(json_t *o, const char *member, buf *report);

/* A text member of the request, or NULL. */
const char *control_text(control_call *call, const char *member);
/* The device of this name (of several the one that works), or with this fingerprint of its key, unless it was removed. With words where there is none. */
int control_find_device(control_call *call, store *s, const char *name, device_info *out);
/* `name` and `text` of rules. */
int control_take_rules(control_call *call, const char **name, const char **text);
/* After a command: what devices are to hold is asked anew. */
void control_scope_changed(control_call *call);
/* A name for people: printable, not empty, not longer than a name may be. */
bool control_is_name(const char *name);

/* Words for the error; the code is what the command returns. */
int control_misuse(control_call *call, const char *words);
/* Words for a code, with what the store says about it, unless there are words already; 0 stays 0. */
int control_failed(control_call *call, int rc, store *s, const char *what);

/* A listing that is being made. */
typedef struct control_listing {
    json_t *array;
    uint64_t left;
    bool more;
} control_listing;
/* Takes `entry`. False: there is no room for it. */
bool control_list_add(control_listing *l, json_t *entry);
void control_list_put(control_call *call, const char *member, const control_listing *l);

#endif
