/* dialog.h - what the server says to one device: the writer's half of a conversation (protocol/README.md).
 *
 * A dialog takes a message and answers through `say`; it runs on the writer, inside the group's transaction, so what it says must not leave before the
 * commit. It knows neither sockets nor queues: the hub holds its answers back, and serves its pulls. */
#ifndef SERVER_DIALOG_H
#define SERVER_DIALOG_H

#include "server/ingest.h"
#include "server/log.h"
#include "server/scope.h"
#include "server/snapshot.h"
#include "server/store.h"

/* FORKED: the device was told and says hello again; what it had sent before it heard is passed over. */
typedef enum dialog_phase { DIALOG_NEW, DIALOG_READY, DIALOG_FORKED } dialog_phase;

typedef struct dialog {
    uint64_t connection; /* ascending, as they were accepted */
    int64_t device;
    char name[LIMIT_NAME_BYTES + 1];
    dialog_phase phase;
    unsigned version; /* of its Satchel library, by its hello (version.h); 0: not told */
    bool wipe;        /* it is to erase itself: nothing is taken from it but that it did */
    bool wiped;       /* it said that it did */
    uint32_t incarnation;
    uint32_t author;
    uint64_t settled;     /* of hello */
    uint64_t last_number; /* of hello */
    bool caught_up;       /* what was waiting on the device at hello is here: its cursor may be counted as acknowledged */
    uint64_t loss_cursor; /* losses up to here were said */
    uint64_t epoch_start; /* up to here the device's past is this store's; 0 if the device's epoch is not known (N7) */
    bool rewinds;         /* the device's epoch is not, or may not be, the present one */
    bool losses_left;     /* and there are more, for when those are sent */
    bool told;            /* all that was to be told at hello was, and that this was all */
    uint64_t told_seq;    /* the highest seq that a result told: the device's cursor is to pass it */
    uint64_t awaited;     /* transactions of those that waited on the device at hello that have no answer yet */
    uint64_t view;        /* that the device holds, by its hello */
    uint64_t target;      /* that it is to hold */
    bool announced;       /* the last welcome told it that another than its own will come */
    /* Where its pulls begin, for the hub. */
    uint64_t cursor;
    bool wants_snapshot;
    uint64_t snapshot; /* to resume, 0: a new one */
    uint32_t snapshot_page;
} dialog;

typedef struct dialog_world {
    store *s;
    ingest *g;
    snapshots *snaps;
    view_sets *sets;                 /* of the store's own connection */
    const uint8_t (*schema_hash)[8]; /* of each schema epoch, from 0 */
    uint64_t now_ms;
    unsigned min_version; /* of version.h; 0: any */
    /* Takes a message; copied. */
    void (*say)(void *ctx, const buf *message);
    /* What a hello that is taken tells of its device; copied. */
    void (*seen)(void *ctx, const device_seen *seen);
    /* A line for the log; the device is who speaks. */
    void (*log)(void *ctx, const log_fields *fields, const char *text);
    void *ctx;
    /* Counted: */
    uint64_t accepted, refused, repeated, forks;
} dialog_world;

/* Finds the device of a certificate: SATCHEL_OK, SATCHEL_E_REVOKED, _PAUSED, _WIPED, SATCHEL_E_CERTIFICATE (unknown), or a database code. */
int dialog_begin(dialog *c, store *s, uint64_t connection, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], uint64_t now_ms);
/* One message that is not a pull. On SATCHEL_OK the conversation goes on. A code of class PERMANENT is the device's mistake or state: `words` says what, the session
 * is told and must be closed, what the group did for it stays undone only if the code is of the database (then the whole group is rolled back). INGEST_AGAIN
 * as ingest_push gave it. */
int dialog_message(dialog *c, dialog_world *w, const void *message, size_t n, buf *words);
/* Words for SATCHEL_E_VERSION: the device's version of Satchel is older than the least that is let in. */
#define DIALOG_OLD_BYTES 160
void dialog_say_old(unsigned version, unsigned min_version, char out[DIALOG_OLD_BYTES]);
/* Finds which view the device is to hold now: c->target. SATCHEL_E_RULE, with words: its profile's query fails; c->target is as it was. */
int dialog_target(dialog *c, dialog_world *w, buf *words);
/* Says what an admin has settled of this incarnation's refusals: as results, until the device says that it knows. */
int dialog_settled(dialog *c, dialog_world *w);
/* Says losses of this device above loss_cursor, some messages full of them at most (see losses_left). */
int dialog_losses(dialog *c, dialog_world *w);

#endif
