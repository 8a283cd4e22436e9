/* hub.h - the centre of the server: sessions in, pages and results out, around one writer and a few readers.
 *
 * The hub has no socket and makes no thread unless asked (hub_start). Its work is two stepped functions: hub_write_step takes everything queued for
 * the writer and commits it as one group; hub_read_step serves one pull. A front (server/front.c, or a simulator) feeds frames
 * and takes frames. All functions but the two steps may be called from any thread; write steps by one thread at a time, read steps by one thread per reader.
 *
 * Order (N5): results are queued to a session before any page whose `to` reaches their seq, because readers see a commit only after its results
 * were queued. */
#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/alert.h"
#include "server/history.h"
#include "server/ingest.h"
#include "server/log.h"
#include "server/store.h"

typedef struct hub hub;

/* A frame to send, shared by the sessions that it goes to. */
typedef struct hub_frame {
    size_t n;
    const uint8_t *p;
} hub_frame;

typedef struct hub_config {
    store *store;              /* owned by the caller; the hub's writer is its only user while the hub is open */
    const char *store_path;    /* readers open it for themselves; borrowed until hub_close, as is the next */
    const char *snapshot_path; /* file for prepared snapshots; may be removed when the hub is closed */
    unsigned readers;
    size_t change_bytes; /* of frames that bring a device to another view; more is done by a snapshot. 0: 16 MiB */
    uint64_t history_ms; /* how long the log is kept at least */
    uint64_t horizon_ms; /* a device that was not seen for so long is fenced (store_prune); its profile may say otherwise */
    uint64_t
        disk_reserve; /* bytes: with less free than this, or a tenth of a smaller disk, no changes are taken; 0: until it is full */
    /* What is free where the store lies, and all there is; false: not known. NULL: the system is asked. */
    bool (*disk)(void *ctx, uint64_t *free_bytes, uint64_t *all_bytes);
    uint64_t (*now_ms)(void *ctx);
    /* A session has output, or is to be closed: call hub_output for it. From any thread; must only wake the front. */
    void (*wake)(void *ctx);
    /* One line for the log. From any thread. */
    void (*log)(void *ctx, const log_fields *fields, const char *text);
    bool watched; /* its figures are kept, and it is looked what is to be alerted of (alert.h) */
    /* Adds to what alerts are judged by what the hub does not know; and what was opened or closed is durable now. On the writer's thread, may be NULL. */
    void (*figures)(void *ctx, alert_figures *f);
    void (*alerted)(void *ctx);
    void *ctx;
} hub_config;

int hub_open(const hub_config *config, hub **out, buf *error);
void hub_close(hub *h);

/* A device connected; its certificate was verified. Returns its session, never 0. An unknown or revoked fingerprint gets a session that says so and closes. */
uint64_t hub_connect(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]);
void hub_disconnect(hub *h, uint64_t session);
/* The address that a session comes from, for people. */
void hub_set_peer(hub *h, uint64_t session, const char *peer);
/* One received frame; copied. Over a limit: the session is told and closed. */
void hub_receive(hub *h, uint64_t session, const void *frame, size_t n);
/* Bytes of a session's frames that the writer has not dealt with yet, so that a front can read one device slower that others may have their turn. `name`
 * gets the device's, empty until it is known. */
size_t hub_waiting(hub *h, uint64_t session, char name[LIMIT_NAME_BYTES + 1]);
/* Whether anybody whose work is light would have to wait for others' lately: else they may have all of the writer. */
bool hub_is_shared(hub *h);
/* The next session with something to do, 0 if none; each is returned once per wake. */
uint64_t hub_ready(hub *h);
/* The next frame of a session; valid until hub_output_done, which releases it. False if there is none now; *close: then close the connection. */
bool hub_output(hub *h, uint64_t session, hub_frame *out, bool *close);
/* True if hub_output has more to say at once: a frame, or that the connection is to be closed. */
bool hub_output_done(hub *h, uint64_t session);

/* Work on the writer's thread, inside a transaction of the group; for enrolment and the admin. */
typedef struct hub_job hub_job;
struct hub_job {
    /* Returns SATCHEL_OK or a code that undoes this job alone. */
    int (*run)(hub_job *job, store *s, ingest *g, uint64_t now_ms);
    /* After the commit is durable (rc 0), or after it was undone. On the writer's thread; hand over and return. */
    void (*done)(hub_job *job, int rc);
    /* Run outside the group's transaction: the job begins and commits itself (long imports). SATCHEL_E_FULL, without being run, while no
     * changes are taken. */
    bool own_transaction;
    hub_job *next; /* the hub's */
};
/* False when the hub is closing: done is not called. */
bool hub_submit(hub *h, hub_job *job);

/* Closes all sessions of a device with this code: SATCHEL_E_REVOKED, _PAUSED, _WIPED, or _CLOSED for one that is to come back at once. */
void hub_drop_device(hub *h, int64_t device, int rc);

/* Devices with an older Satchel (version.h; 0: there is none) are refused from now on, and those that are connected told so. From any thread. */
void hub_set_min_version(hub *h, unsigned version);

/* What the device of this key is ordered, as bits of device_order. One that is to be wiped, or says that it has been, may come with a certificate that has ended, because all
 * that it hears is that. From any thread. */
unsigned hub_orders(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]);
/* That was ordered (store_device_order): if the device is connected it is sent away, and told when it is back. */
void hub_order_device(hub *h, int64_t device, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], device_order order);
/* The device of the key `shown` may show `offered` from now on (store_key_offer), which may be the same: its orders are its orders under either. */
void hub_offer_key(hub *h, const uint8_t shown[CRYPTO_FINGERPRINT_BYTES], const uint8_t offered[CRYPTO_FINGERPRINT_BYTES]);

/* The rules, a grant, or what a device's profile is asked with have changed: connected devices are served by what they are to hold now. */
void hub_scope_changed(hub *h);

/* One step; true if there was work. */
bool hub_write_step(hub *h);
bool hub_read_step(hub *h, unsigned reader);
/* Runs steps in threads of the hub's own until hub_stop, which finishes what is queued first. */
int hub_start(hub *h);
void hub_stop(hub *h);

/* Rows of the store that were not what its log says, a line each, are so again (checksum_store.h): told in the log, and counted. Called after the commit: what was read
 * of them until then is forgotten. From any thread. */
void hub_tell_healed(hub *h, const buf *report, unsigned wrong);

/* A password, token, code or certificate was refused: alerts count it. From any thread. */
void hub_note_refused_login(hub *h);
/* On the writer's thread: upkeep, and with it the look at what is to be alerted of, follows at once. */
void hub_upkeep_soon(hub *h);

/* Of the store, for readers of one's own beside the writer. */
const char *hub_store_path(const hub *h);

typedef struct hub_stats {
    uint64_t sessions, sessions_total, frames_in, frames_out, bytes_in, bytes_out;
    uint64_t txns_accepted, txns_refused, txns_repeated, rows_in, conflicts, forks, groups; /* groups: commits of the writer */
    uint64_t checksum_ranges, checksum_known, checksum_differ,
        checksum_healed; /* compared with devices; of them, without reading; that differed; rows of the store put right */
    uint64_t pages, page_cache_hits, snapshot_pages, snapshots_built;
    uint64_t writer_queue, reader_queue;
    uint64_t seq;
    uint64_t auth_failures;
    uint64_t disk_free, disk_reserve, wal_bytes; /* as of the last second; the reserve as it is on this disk */
    bool writable; /* false while the disk is low, and after the store failed to write; back by itself */
    bool disk_low; /* no changes are taken: less is free than the reserve */
    char scope_trouble
        [2 * LIMIT_TEXT_BYTES]; /* why rows are not moved that time would move; empty: they are. It is tried again every minute */
} hub_stats;
void hub_get_stats(hub *h, hub_stats *out);

/* The connections of devices that are open, in the order of the devices' ids, the newest first of one; ended_ms is 0. *out is the caller's. From any thread. */
int hub_connections(hub *h, history_sync **out, size_t *n);
/* How long a device may stay away whose profile does not say. */
uint64_t hub_horizon_ms(const hub *h);

#endif
