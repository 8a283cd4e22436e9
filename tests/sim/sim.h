/* sim.h - one seed, one world: a server and several devices in one process, on disks in memory, a network of queues and clocks of their own, in virtual
 * time. The cores are the real ones (hub, ingest, store; satchel_open, capture, outbox, overlay, session); what is simulated is what lies beneath
 * them: SQLite's VFS (disk.h), frames between the two ends, the time, and random bytes.
 *
 * sim.c has the loop over events and the end of a run; sim_nodes.c starts, kills and restores server and devices; sim_net.c carries frames; sim_work.c is
 * what people do; sim_faults.c what goes wrong; sim_history.c what was done, as the checkers see it; check_*.c are the checkers.
 *
 * Everything follows from the seed: no wall clock, no addresses, no threads. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "replica/handle.h"
#include "server/hub_private.h"
#include "tests/sim/disk.h"

#define SIM_DEVICES 8u /* with clones */
#define SIM_ROWS 8u    /* rows of each table that people fight for */
#define SIM_TXNS 4096u
#define SIM_OPS 8u
#define SIM_SERVER SIM_DEVICES /* as an author */

typedef struct sim sim;

/* ---- time: milliseconds since 1970, in the world; each node sees it through its own clock ---- */

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

typedef struct sim_clock {
    int64_t offset_ms;
    int32_t drift_ppm;
    uint64_t since; /* when the offset was set */
} sim_clock;

/* ---- faults, by class; the figures count those that happened ---- */

#define SIM_FAULTS(X)                                                                                                            \
    X(CUT, "cut")                   /* a connection is lost, with some of what is under way */                                   \
    X(HALF_OPEN, "half-open")       /* the device has given a connection up that the server still has */                         \
    X(LATE, "late")                 /* what an old connection carries arrives after a new one began */                           \
    X(ONE_WAY, "one-way")           /* one direction loses everything until the connection ends */                               \
    X(STALL, "stall")               /* nothing arrives for a while */                                                            \
    X(OFFLINE, "offline")           /* no network for days or weeks */                                                           \
    X(DEVICE_KILL, "device-kill")   /* SIGKILL at any call of the VFS */                                                         \
    X(DEVICE_POWER, "device-power") /* loss of power at any call of the VFS */                                                   \
    X(SERVER_KILL, "server-kill")                                                                                                \
    X(SERVER_POWER, "server-power")                                                                                              \
    X(SERVER_RESTART, "server-restart")                                                                                          \
    X(RESTORE, "restore")   /* the server is put back to a backup */                                                             \
    X(PUT_BACK, "put-back") /* a device's file is put back to an earlier copy */                                                 \
    X(CLONE, "clone")       /* a device's file is copied, and both go on */                                                      \
    X(DISK_FULL, "disk-full")                                                                                                    \
    X(IO_ERROR, "io-error")                                                                                                      \
    X(NO_MEMORY, "no-memory") /* an allocation of SQLite fails */                                                                \
    X(CLOCK, "clock")         /* a clock jumps, by up to ten years */                                                            \
    X(MIGRATE, "migrate")     /* the server starts with another migration while outboxes hold older work */                      \
    X(DISCARD, "discard")     /* a pending or refused transaction is discarded or retried */                                     \
    X(REVOKE, "revoke")
#define SIM_FAULT_ENUM(name, text) FAULT_##name,
typedef enum sim_fault { SIM_FAULTS(SIM_FAULT_ENUM) FAULT_COUNT } sim_fault;
const char *sim_fault_name(sim_fault f);

/* ---- the network ---- */

typedef struct packet {
    struct packet *next;
    uint64_t due;
    size_t n;
    uint8_t p[];
} packet;

/* One connection, with an end at either side; it is there until both have let go of it. */
typedef struct connection {
    struct connection *next;
    unsigned device;
    uint64_t session; /* at the server; 0: the server has let go */
    bool held;        /* by the device */
    bool deaf_up, deaf_down;
    uint64_t stalled_until, server_lets_go; /* 0: not; when the server notices that the device has gone */
    packet *up, *down;                      /* in order of arrival */
    uint64_t up_due, down_due;
} connection;

/* ---- nodes ---- */

typedef struct sim_device {
    disk *disk;
    satchel *s;   /* NULL: the app does not run */
    unsigned key; /* which key pair it has: clones share one */
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    sim_clock clock;
    connection *connection;
    uint64_t starts_at; /* while it does not run */
    uint64_t connects_at, offline_until, works_at;
    unsigned failures; /* connections in a row that failed */
    bool power_lost;   /* at its death */
    bool saved, revoked;
    uint8_t seen[SIM_TXNS / 8], seen_saved[SIM_TXNS / 8]; /* values (by transaction) that it has shown */
} sim_device;

/* ---- history ---- */

typedef enum op_kind { OP_ADD = 1, OP_VALUE = 2, OP_OTHER = 3 } op_kind;
/* What the ledger follows of a transaction: an amount added to the counter of a row, or a text nobody wrote before in its column `a`. */
typedef struct sim_op {
    op_kind kind;
    unsigned row;
    int add;
} sim_op;

/* Its witness is a row of ev with its number as key: where that row is, the transaction is. */
typedef struct sim_txn {
    unsigned author;  /* device, or SIM_SERVER */
    unsigned holders; /* a bit for each file that has it */
    unsigned saved;   /* and for each saved copy */
    bool unsure;      /* its COMMIT failed: the file will say */
    bool given;       /* the server had it when the last file that held it lost it by right */
    bool in_backup;
    uint64_t at; /* its number in the outbox */
    unsigned nop;
    sim_op op[SIM_OPS];
    uint8_t known[SIM_TXNS / 8]; /* values that its author had seen */
} sim_txn;

typedef struct sim_figures {
    uint64_t events, transactions, refused, conflicts, device_ms, happened[FAULT_COUNT];
} sim_figures;

struct sim {
    uint64_t seed, random, now, began, ended; /* ended: when the troubles did */
    uint64_t enough;                          /* transactions until they do */
    bool verbose, calm;                       /* calm: the troubles have ended */
    char dir[64];                             /* of the schema's migrations */
    unsigned migrations, pending_migrations;
    uint32_t faults; /* a bit for each class that this seed has */

    disk *server_disk;
    store *store; /* NULL: the server does not run */
    hub *hub;
    sim_clock server_clock;
    uint64_t server_starts_at, upkeep_at;
    bool server_power_lost, restored, backup, discarded;
    bool restoring; /* at its next start */

    sim_device device[SIM_DEVICES];
    unsigned ndevices;
    connection *connections;
    uint64_t fault_at;

    sim_txn *txn;
    unsigned ntxn;
    sim_figures figures;
    const sim_clock *clock; /* of the node whose code runs */
};

/* ---- sim.c ---- */

uint64_t sim_random(sim *s);
/* 0 <= result < n */
unsigned sim_below(sim *s, unsigned n);
bool sim_chance(sim *s, unsigned percent);
/* Any magnitude up to `most`, small ones as likely as large ones. */
uint64_t sim_spread(sim *s, uint64_t most);
/* One line for the trace, with the time. */
void sim_say(sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A property does not hold: prints seed, build and the last events, and ends the process with status 1. */
_Noreturn void sim_fail(sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What the clock says now. */
uint64_t sim_clock_ms(const sim *s, const sim_clock *c);
void sim_happened(sim *s, sim_fault f);

/* ---- sim_nodes.c ---- */

void sim_server_start(sim *s);
/* Closes it; what it had open on its disk goes as the disk's state has it. */
void sim_server_stop(sim *s);
/* Takes all work that is there. */
void sim_server_step(sim *s);
void sim_device_add(sim *s);
void sim_device_start(sim *s, unsigned i);
void sim_device_stop(sim *s, unsigned i);
/* A disk has died: the process on it is gone, and comes back after a while. True if something had died. */
bool sim_reap(sim *s);
/* The single integer of a query, -1 for none; fails the run if it cannot be asked. */
int64_t sim_ask(sim *s, sqlite3 *db, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sim_device_path(const sim *s, unsigned i, char out[96]);

/* ---- sim_net.c ---- */

void net_connect(sim *s, unsigned i);
/* The device lets go; the server notices `later` ms from now, and what is under way still arrives if `late`. */
void net_let_go(sim *s, unsigned i, uint64_t later, bool late);
/* The server is gone: nobody holds its ends any more. */
void net_server_gone(sim *s);
/* Takes what both ends have to send. */
void net_collect(sim *s);
/* When the next packet arrives or an end is to be noticed; UINT64_MAX: never. */
uint64_t net_next(const sim *s);
/* Delivers what is due. */
void net_deliver(sim *s);
void net_free(sim *s);

/* ---- sim_work.c ---- */

void work_device(sim *s, unsigned i);
void work_server(sim *s);

/* ---- sim_faults.c ---- */

void faults_choose(sim *s);
/* Something goes wrong. */
void faults_strike(sim *s);

/* ---- sim_history.c ---- */

/* A transaction that `author` is about to write; what it has seen so far is noted. */
sim_txn *history_begin(sim *s, unsigned author);
void history_add(sim_txn *t, op_kind kind, unsigned row, int add);
/* It was committed, was certainly not (rolled back), or nobody knows. */
void history_committed(sim *s, sim_txn *t);
void history_rolled_back(sim *s, sim_txn *t);
void history_unsure(sim *s, sim_txn *t);
/* The device's file was opened: which of its transactions does it have? */
void history_opened(sim *s, unsigned i);
/* What a device shows now. */
void history_look(sim *s, unsigned i);
void history_discarded(sim *s, unsigned i, uint64_t number);
void history_copied(sim *s, unsigned from, unsigned to);
void history_saved(sim *s, unsigned i);
void history_put_back(sim *s, unsigned i);
void history_backed_up(sim *s);
void history_restored(sim *s);

/* ---- check_*.c: each fails the run when its property does not hold at rest ---- */

void check_convergence(sim *s);
void check_verify(sim *s);
void check_transactions(sim *s);
void check_counters(sim *s);
void check_silence(sim *s);
void check_refusals(sim *s);

#endif
