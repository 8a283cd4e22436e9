/* sim.h - one seed, one world: a server and several devices in one process, on disks in memory, a network of queues and clocks of their own, in virtual
 * time. The cores are the real ones (hub, ingest, store; satchel_open, capture, outbox, overlay, session); what is simulated is what lies beneath
 * them: SQLite's VFS (disk.h), frames between the two ends, the time, and random bytes.
 *
 * sim.c has the loop over events and the end of a run; sim_nodes.c starts, kills and restores server and devices; sim_net.c carries frames; sim_work.c is
 * what people do, and sim_admin.c what an admin does about refusals; sim_faults.c what goes wrong; sim_history.c what was done, as the checkers see it; check_*.c are the checkers;
 * sim_ask.c is how these look into databases. Many seeds are run by runner.c, in processes of worker.c, and added up by totals.c and totals_file.c.
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
#include "tests/sim/memory.h"
#include "tests/sim/model.h"

#define SIM_DEVICES 8u /* with clones */
#define SIM_ROWS 8u    /* rows of each table that people fight for */
#define SIM_TXNS 4096u
#define SIM_OPS 8u
#define SIM_SERVER SIM_DEVICES /* as an author */
/* Devices keep what a backup may lack for so long (N7); an older backup is not put back. */
#define SIM_HISTORY_MS DAY
/* Who is not seen for so long is fenced; in worlds with scopes, those who hold a part. */
#define SIM_HORIZON_MS (10 * DAY)
#define SCOPE_HORIZON_DAYS 12u

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

/* ---- faults, by class; the figures count those that happened. From MOVE to RESNAPSHOT, those of worlds with scopes ---- */

#define SIM_FAULTS(X)                                                                                                            \
    X(CUT, "cut")                   /* a connection is lost, with some of what is under way */                                   \
    X(HALF_OPEN, "half-open")       /* the device has given a connection up that the server still has */                         \
    X(LATE, "late")                 /* what an old connection carries arrives after a new one began */                           \
    X(DUPLICATE, "duplicate")       /* what the server has taken from an author this sends again, as its answer was lost */      \
    X(ONE_WAY, "one-way")           /* one direction loses everything until the connection ends */                               \
    X(STALL, "stall")               /* nothing arrives for a while */                                                            \
    X(OFFLINE, "offline")           /* no network for a day or more */                                                           \
    X(DEVICE_KILL, "device-kill")   /* SIGKILL at any call of the VFS, before or after any frame sent or received */             \
    X(DEVICE_POWER, "device-power") /* loss of power at the same */                                                              \
    X(SERVER_KILL, "server-kill")                                                                                                \
    X(SERVER_POWER, "server-power")                                                                                              \
    X(SERVER_RESTART, "server-restart")                                                                                          \
    X(RESTORE, "restore")   /* the server is put back to a backup */                                                             \
    X(PUT_BACK, "put-back") /* a device's file is put back to an earlier copy */                                                 \
    X(CLONE, "clone")       /* a device's file is copied, and both go on */                                                      \
    X(DISK_FULL, "disk-full")                                                                                                    \
    X(IO_ERROR, "io-error")                                                                                                      \
    X(NO_MEMORY, "no-memory")   /* one or more allocations of SQLite or the engine fail */                                       \
    X(CLOCK, "clock")           /* a clock jumps, by up to ten years */                                                          \
    X(MIGRATE, "migrate")       /* the server starts with another migration while outboxes hold older work */                    \
    X(DISCARD, "discard")       /* a pending or refused transaction is discarded or retried */                                   \
    X(REVOKE, "revoke")         /* the server revokes a device while it works and is connected */                                \
    X(WIPE, "wipe")             /* the server orders a device to erase itself */                                                 \
    X(ROT, "rot")               /* at rest a device has rows that no program of ours wrote so */                                 \
    X(MOVE, "move")             /* the server gives a row to other users, in worlds with scopes; so all that follow */           \
    X(VIEW, "view")             /* a device is another user's */                                                                 \
    X(GRANT, "grant")           /* a device is given a row for a while, or loses it before */                                    \
    X(PUBLISH, "publish")       /* other rules are published */                                                                  \
    X(PAUSE, "pause")           /* a device is paused, and resumed after a while */                                              \
    X(RESNAPSHOT, "resnapshot") /* a snapshot is ordered for a device */                                                         \
    X(SETTLE, "settle")         /* an admin discards or retries what the server refused; drawn apart from all others */
#define SIM_FAULT_ENUM(name, text) FAULT_##name,
typedef enum sim_fault { SIM_FAULTS(SIM_FAULT_ENUM) FAULT_COUNT } sim_fault;
const char *sim_fault_name(sim_fault f);

/* ---- the network ---- */

/* The classes of a world that has only some. */
#define SIM_FAULT_BIT(f) (UINT32_C(1) << (f))

typedef struct packet {
    struct packet *next;
    uint64_t due;
    bool again; /* a push that was sent before */
    size_t n;
    uint8_t p[];
} packet;

/* One connection, with an end at either side; it is there until both have let go of it. */
typedef struct connection {
    struct connection *next;
    unsigned device;
    uint64_t session; /* at the server; 0: the server has let go */
    uint64_t began;
    unsigned life; /* of the server that it leads to, which may be over before anybody notices */
    bool held;     /* by the device */
    bool deaf_up, deaf_down;
    bool lingers;       /* it is cut when the device sends next, and what it carries arrives when another has begun */
    bool loses_answers; /* it is cut when the server answers a push */
    bool impatient;     /* behind its hello comes what was pushed before */
    uint64_t slow_ms;   /* what the server says after welcome takes so much longer */
    unsigned said;      /* frames of the server */
    uint64_t stalled_until, server_lets_go; /* 0: not; when the server notices that the device has gone */
    packet *up, *down;                      /* in order of arrival */
    uint64_t up_due, down_due;
} connection;

/* ---- nodes ---- */

/* What a device showed last; begins anew with `begun` false. */
typedef struct sim_reads {
    bool begun;
    unsigned life;
    uint64_t cursor;
    int shown[SIM_ROWS];         /* the transaction whose value is in column `a` of each item, plus 1 */
    uint64_t shown_at[SIM_ROWS]; /* the cursor then */
} sim_reads;

/* A device showed one transaction's value in an item, then another's, in the same life of the server. */
typedef struct sim_step {
    unsigned device, row, from, to, life;
    uint64_t cursor; /* when the first was shown */
} sim_step;
#define SIM_STEPS 8192u

typedef struct sim_device {
    sim_reads reads;
    disk *disk;
    satchel *s;   /* NULL: the app does not run */
    unsigned key; /* which key pair it has: clones share one */
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    sim_clock clock;
    connection *connection;
    uint64_t starts_at; /* while it does not run */
    uint64_t connects_at, offline_until, works_at;
    uint64_t offline_since;        /* 0: it has a network */
    unsigned failures;             /* connections in a row that failed */
    bool power_lost;               /* at its death */
    bool may_forget;               /* power was lost since its file was open */
    bool touched;                  /* it may have something to send */
    bool revoked, copied;          /* revoked: the server told it so; copied: its file was put back, or there are two of it */
    uint8_t refused[SIM_TXNS / 8]; /* by number, what was refused and settled */
    bool discarded;                /* something was discarded or retried in its file */
    bool doubtful;                 /* it is not known whether a transaction was settled in its file */
    bool barred;                   /* its key is revoked on the server, or to be wiped, or was */
    bool was_barred; /* once: a server that was put back has forgotten it, and what it said before may still be on its way */
    uint64_t barred_since;
    bool wiping, wiped; /* it was told to erase itself; it has, and nobody uses it any more */
    bool answered;      /* the server knew already when it was ordered to once more */
    unsigned barred_at; /* transactions that there were then */
    bool answers_late;  /* on its next connection */
    uint64_t came_with; /* the last number that it had when it connected */
    uint64_t sent;      /* the number up to which history_sent has marked all as durable */
    uint64_t saved_at;  /* 0: there is no saved copy */
    packet *pushes;     /* the last that it sent, of one incarnation and life of the server */
    uint32_t pushes_incarnation;
    unsigned pushes_life;
    int64_t looked;                                       /* as of so many changes, history_look; -1: never */
    bool has_items;                                       /* the table is there since it runs */
    unsigned life;                                        /* of the server that it met last */
    uint8_t seen[SIM_TXNS / 8], seen_saved[SIM_TXNS / 8]; /* values (by transaction) that it has shown */
} sim_device;

/* Allocations of a node that had failed at the last look; whether some are to fail, and whether its process does not outlive that. */
typedef struct sim_memory {
    uint64_t failed;
    bool due, ends;
} sim_memory;

/* ---- history ---- */

typedef enum op_kind { OP_ADD = 1, OP_VALUE = 2, OP_OTHER = 3 } op_kind;
/* What the ledger follows of a transaction: an amount added to the counter of a row, or a text nobody wrote before in its column `a`. */
typedef struct sim_op {
    op_kind kind;
    unsigned row;
    int add;
} sim_op;

/* What an admin did about a refusal of it. */
typedef enum settled { SETTLED_NOT, SETTLED_DISCARDED = 1, SETTLED_RETRIED = 2 } settled;
typedef struct sim_settling {
    int64_t author; /* of the refusal that he tried last, on the server */
    uint64_t number;
    settled tried;
    bool unsure;    /* whether that was done */
    settled stands; /* as the store has it: one that was put back may have forgotten it */
    unsigned ever;  /* a bit for each that stood at any time */
} sim_settling;

/* Its witness is a row of ev with its number as key: where that row is, the transaction is. */
typedef struct sim_txn {
    unsigned author;  /* device, or SIM_SERVER */
    unsigned holders; /* a bit for each file that has it */
    unsigned saved;   /* and for each saved copy */
    unsigned durable; /* for each file that no loss of power may take it from */
    bool unsure;      /* its COMMIT failed: the file will say */
    bool given_up;    /* discarded, or tried to be: if it comes back, nobody knows what its author had seen */
    sim_settling admin;
    bool given; /* the server had it when the last file that held it lost it by right */
    bool in_backup;
    bool cut_off;                                            /* the server had not got it when its author was revoked */
    uint64_t at;                                             /* the number that its author's outbox gave it first */
    uint64_t stamp;                                          /* that it has there; 0: not known */
    uint64_t number[SIM_DEVICES], number_saved[SIM_DEVICES]; /* the one it has in each file that holds it: a retry has another */
    unsigned nop;
    sim_op op[SIM_OPS];
    unsigned rows;               /* besides its witness, that it put into ev */
    bool takes_away;             /* a row of ev that another one has appended */
    bool reaches_out;            /* it writes a line of an item that its author does not see */
    uint8_t known[SIM_TXNS / 8]; /* values that its author had seen */
    facts *facts;                /* what it did to every row */
} sim_txn;

/* The server since its first start, or since it was put back to a commit of an earlier life. */
typedef struct sim_life {
    uint8_t epoch[EPOCH_BYTES];
    unsigned parent;
    uint64_t start;
} sim_life;
#define SIM_LIVES 256u

typedef struct sim_figures {
    uint64_t modelled, fields, losses; /* worlds, fields and lost values that the model predicted */
    uint64_t reads;                    /* values that were looked at on devices */
    uint64_t recorded;                 /* files and stores that were verified amid the troubles */
    uint64_t scoped;                   /* rows sent to devices that hold a part, which were looked at */
    uint64_t devices, events, transactions, refused, conflicts, device_ms, happened[FAULT_COUNT];
    uint64_t trace; /* a hash of each line of the trace, and of what the disks did */
} sim_figures;

/* ---- one run ---- */

typedef struct sim_options {
    uint64_t seed;
    unsigned transactions; /* until the troubles end; 0: as the seed has it */
    uint32_t without;      /* classes of fault that are left out */
    bool verbose;
    bool copies;    /* what strikes is above all what brings back the past: files and servers that are put back, and copied */
    unsigned watch; /* a transaction: the trace tells where it is, whenever that changes; 0: none */
} sim_options;

/* What came of it. `check` is the format of the words of its failure: two failures of one check have the same; "" for none. */
typedef struct sim_result {
    sim_figures figures;
    uint32_t faults; /* the classes that the seed has */
    char check[120], words[200];
} sim_result;

/* Runs one seed; a process may run many, one after another. `done` is called at the end, also when a check fails: then the process ends with status 1 after it. */
void sim_run(const sim_options *o, void (*done)(const sim_result *r, void *ctx), void *ctx);

struct sim {
    sim_options options;
    void (*done)(const sim_result *r, void *ctx);
    void *done_ctx;
    uint64_t random, now, began, ended; /* ended: when the troubles did */
    uint64_t admin_random;              /* that of sim_admin.c: without it a world goes as if there were none */
    uint64_t enough;                    /* transactions until they do */
    uint64_t pace;                      /* between two times that somebody works, at most */
    bool long_spells;                   /* who has no network has none for days or weeks */
    bool calm;                          /* the troubles have ended */
    char dir[64];                       /* where the few real files are; it is the working directory */
    unsigned migrations, pending_migrations;
    unsigned migrated, migrated_saved; /* the store's schema epoch, now and in the backup, and the last commit before each */
    uint64_t migrated_at[MODEL_EPOCHS + 1];
    sim_life life[SIM_LIVES]; /* of the server, the present one last */
    unsigned nlives, life_saved;
    unsigned nsteps;
    sim_step step[SIM_STEPS];
    uint32_t faults; /* a bit for each class that this seed has */

    disk *server_disk;
    store *store; /* NULL: the server does not run */
    hub *hub;
    sim_clock server_clock;
    uint64_t server_starts_at, upkeep_at;
    bool slow_server;            /* now and then it is busy: */
    uint64_t busy_until;         /* what arrives before waits, and is then one group */
    uint64_t backup_at;          /* 0: there is none */
    uint8_t stood[SIM_TXNS / 8]; /* transactions that the server had when it was put back, at any time */
    uint64_t floor;              /* the highest of the log that the store had when it was closed */
    bool server_power_lost, restored;
    bool restoring;       /* at its next start */
    uint64_t restored_as; /* the name of the epoch that then begins, as satchelctl restore gives it */
    unsigned starts;      /* of the server */
    bool published;       /* other rules, at least once */
    bool rotten;          /* a device has rows that are not what it was sent */

    sim_device device[SIM_DEVICES];
    unsigned ndevices;
    connection *connections;
    uint32_t watched;                               /* where the watched transaction was */
    uint64_t fault_at, full_until[SIM_DEVICES + 1]; /* 0: the disk is not full */

    uint64_t dies_at[SIM_DEVICES + 1]; /* net_die_at */
    sim_memory memory[SIM_DEVICES + 1];
    uint64_t repeated; /* of the hub's figures, as of the last look */
    uint64_t repeats;  /* transactions that its own author gave it once more, and which it has not looked at yet */
    bool disk_low;     /* likewise */
    unsigned revoking; /* the device that is about to be revoked, plus 1 */

    sim_txn *txn;
    unsigned ntxn;
    unsigned heavy; /* transactions of several MB so far */
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
/* A property does not hold: the last events are printed, and the process ends with status 1. */
_Noreturn void sim_fail(sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What the clock says now. */
uint64_t sim_clock_ms(const sim *s, const sim_clock *c);
void sim_happened(sim *s, sim_fault f);
disk *sim_disk(sim *s, unsigned node);

/* ---- sim_nodes.c ---- */

void sim_server_start(sim *s);
/* Another number whenever what the store that runs holds may be another. */
uint64_t sim_store_changes(const sim *s);
/* Closes it; what it had open on its disk goes as the disk's state has it. */
void sim_server_stop(sim *s);
/* Takes all work that is there, busy or not. */
void sim_server_step(sim *s);
bool sim_server_is_busy(const sim *s);
void sim_device_add(sim *s);
void sim_device_start(sim *s, unsigned i);
void sim_device_stop(sim *s, unsigned i);
/* A disk has died: the process on it is gone, and comes back after a while. True if something had died. */
bool sim_reap(sim *s);

/* ---- sim_ask.c ---- */

/* A statement at its beginning, to be reset after use. It is kept prepared until sim_forget. */
sqlite3_stmt *sim_query(sim *s, sqlite3 *db, const char *sql);
/* Before a database is closed that was asked. */
void sim_forget(sqlite3 *db);
/* A line of the trace for each row of a query, for whoever has to find out. */
void sim_list(sim *s, sqlite3 *db, const char *sql);
/* The single integer of a query, -1 for none; fails the run if it cannot be asked. */
int64_t sim_ask(sim *s, sqlite3 *db, const char *format, ...) __attribute__((format(printf, 3, 4)));

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
/* The node's process ends at the call-th of its calls to do with frames, each sent or received one being two: before and after. 0: at none. */
void net_die_at(sim *s, unsigned node, uint64_t call);
/* The file is another one, or there are two of it: what it had sent is not its own. */
void net_forget_pushes(sim *s, unsigned i);
void net_free(sim *s);

/* ---- sim_work.c ---- */

void work_device(sim *s, unsigned i);
/* Whether what its app has committed is on the disk; some apps leave that to the library (N2). */
bool work_is_durable(const sim *s, unsigned i);
void work_server(sim *s);
/* Whether some transactions of this world have several MB. */
bool work_is_heavy(const sim *s);

/* Gives an item to another user, or to all. */
void work_server_moves(sim *s);

/* ---- sim_admin.c ---- */

/* In some worlds an admin settles refusals. */
void admin_choose(sim *s);
/* Now and then he does. */
void admin_tend(sim *s);
/* The store was opened: what of that stands in it. */
void admin_look(sim *s);

/* ---- sim_scope.c ---- */

/* Whether devices of this world hold a part; the text of its rules; and whether this device has the profile. */
bool scope_world(const sim *s);
void scope_rules(const sim *s, char *out, size_t room);
bool scope_has_profile(const sim *s, unsigned i);
/* Gives a device that was enrolled its profile and first user; in a transaction of the store. */
int scope_assign(sim *s, unsigned i, int64_t id, uint64_t now_ms);
/* As the store has it now: which rules are in force, and whose items a device holds by them, a bit for each user. */
enum {
    RULES_BEFORE = 1,
    RULES_MX = 2,
    RULES_NOTE = 4
}; /* a device stands in for the one before, not for the next; column mx is masked, too; note is held */
unsigned scope_rules_in_force(sim *s);
unsigned scope_users(sim *s, unsigned i, unsigned rules);
/* Who is paused does not stay so. */
void scope_tend(sim *s);
/* Which items a device is to show, as a condition for the store. */
void scope_item_condition(sim *s, unsigned i, char *out, size_t room);
void scope_strike(sim *s, sim_fault f);

/* ---- sim_faults.c ---- */

void faults_choose(sim *s);
/* Whether this world has the class. */
bool faults_may(const sim *s, sim_fault f);
/* Something goes wrong. */
void faults_strike(sim *s);
/* What strikes by itself is counted; a process that was out of memory may end. */
void faults_settle(sim *s);
/* At rest: a device's file is changed past everything of ours, and it is to find that. False: it was not, or the world has no such class. */
bool faults_rot(sim *s);
/* None of what was begun strikes any more. */
void faults_end(sim *s);
/* The store was opened, or a device revoked: which keys are revoked now. */
void faults_look_revoked(sim *s);
/* An admin changes a device's state, and who is connected is told. False: it could not be done. */
bool faults_move_device(sim *s, unsigned i, device_state to, int told);
/* So many keys are left to work, and to converge. */
#define FAULTS_UNREVOKED 4u
/* For memory_install. */
unsigned faults_running_node(void *ctx);

/* ---- sim_wipe.c ---- */

/* Gives a device what lies beside its file. */
void wipe_begin(sim *s, unsigned i);
/* An admin orders it. */
void wipe_strike(sim *s, unsigned i);
/* The device was told so. */
void wipe_obey(sim *s, unsigned i);
/* It does not run: has it come to the end of it? */
void wipe_look(sim *s, unsigned i);

/* ---- sim_history.c ---- */

/* Which witnesses a database has, as a bit for each transaction. */
void history_witnesses(sim *s, sqlite3 *db, uint8_t there[SIM_TXNS / 8]);
bool history_in(const uint8_t set[SIM_TXNS / 8], unsigned n);
/* A transaction that `author` is about to write; what it has seen so far is noted. */
sim_txn *history_begin(sim *s, unsigned author);
void history_add(sim_txn *t, op_kind kind, unsigned row, int add);
/* It was committed, was certainly not (rolled back), or nobody knows. */
void history_committed(sim *s, sim_txn *t);
void history_rolled_back(sim *s, sim_txn *t);
void history_unsure(sim *s, sim_txn *t);
/* The device has sent a frame: what its file says was sent is on its disk (N2). */
void history_sent(sim *s, unsigned i);
/* The device's file was opened: which of its transactions does it have? */
void history_opened(sim *s, unsigned i);
/* What a device shows now. */
void history_look(sim *s, unsigned i);
void history_discarded(sim *s, unsigned i, uint64_t number);
/* It has the number `again` from now on. */
void history_retried(sim *s, unsigned i, uint64_t number, uint64_t again);
/* The transaction of that number in a device's file, NULL if it is not known. */
sim_txn *history_find(sim *s, unsigned i, uint64_t number);
void history_copied(sim *s, unsigned from, unsigned to);
/* Its file is gone, and had to go. */
void history_erased(sim *s, unsigned i);
void history_saved(sim *s, unsigned i);
void history_put_back(sim *s, unsigned i);
void history_backed_up(sim *s);
void history_restored(sim *s);
/* Just before that. */
void history_restoring(sim *s);

/* ---- facts.c ---- */

/* A transaction begins on a device (before its first statement) and is about to commit. */
void facts_before(sim *s, unsigned i);
void facts_after(sim *s, unsigned i, sim_txn *t);
/* Something may have come: what waits on the device is still what it shows. */
void facts_look(sim *s, unsigned i);
/* What the transaction of that number in a device's file did; NULL: not known, as it was begun in another file. */
const facts *facts_find(sim *s, unsigned i, uint64_t number);
/* After facts_before: refused transaction `old` was run again as `number`. */
void facts_retried(sim *s, unsigned i, uint64_t old, uint64_t number);
/* The server changes a column (model.h) of an item. */
void facts_server(sim_txn *t, unsigned column, unsigned row, const char *was, const char *now);
/* An admin has retried what was refused as `number` of a device with this key: the server's author did it. */
void facts_admin(sim *s, sim_txn *t, unsigned key, uint64_t number);
/* The store was opened. */
void facts_server_started(sim *s);
/* The last commit that two lives of the server have in common. */
uint64_t facts_common(const sim *s, unsigned a, unsigned b);
/* What the newest picture has in a row's columns; NULL: no such row. */
const model_value *facts_shown(model_table t, const model_value *key);
unsigned facts_life_of(sim *s, unsigned i);
/* Calls `each` for every row of the store, a column at its place in MODEL. */
unsigned facts_of_store(sim *s, unsigned epoch,
                        void (*each)(void *ctx, model_table t, const model_value *key, const model_value *v), void *ctx);
void facts_free(sim *s);

/* ---- check_*.c: each fails the run when its property does not hold at rest ---- */

void check_convergence(sim *s);
void check_verify(sim *s);
void check_transactions(sim *s);
/* By the store's own account of what it took. */
void check_once(sim *s);
/* The stamp of a transaction that was just committed; of those that were taken. */
void check_stamp(sim *s, sim_txn *t);
void check_stamps(sim *s, const sim_txn *const *taken, const model_clock *clock, unsigned n);
void check_counters(sim *s);
void check_silence(sim *s);
void check_model(sim *s);
void check_revoked(sim *s);
/* A frame that leaves the server. */
void check_revoked_frame(sim *s, const connection *c, const void *bytes, size_t n);
/* Frames that leave the server, as long as the world lasts; check_scope_look before what it says is collected. */
void check_scope_begin(void);
void check_scope_look(sim *s);
void check_scope_granted(unsigned key, unsigned row);
void check_scope_restored(uint64_t seq);
void check_scope_frame(sim *s, const connection *to, const void *bytes, size_t n);
/* Whether a device holds an item at a commit; not known: it may be the one at which that changed, or it was granted once. */
typedef enum scope_answer { SCOPE_NO, SCOPE_YES, SCOPE_UNKNOWN } scope_answer;
scope_answer check_scope_holds(const sim *s, unsigned device, unsigned row, uint64_t seq);
/* Whether it may have held it at any commit of these. */
bool check_scope_held_between(const sim *s, unsigned device, unsigned row, uint64_t from, uint64_t to);
void check_scope_at_rest(sim *s);
/* Whenever something has come to a device. */
void check_shown(sim *s, unsigned i);
/* `seq` as for check_reads. */
void check_rights(sim *s, const uint64_t seq[SIM_TXNS]);
/* After each step's work. */
void check_horizon_begin(void);
void check_horizon(sim *s);
/* Queues and memory: after each step's work, and at rest. */
void check_bounds(sim *s);
void check_bounds_at_rest(sim *s);
/* A node that has stopped gives back what it had. */
void check_bounds_stopped(sim *s, unsigned node);
void check_bounds_ended(sim *s);
/* A copy of a device's file, as it lies there at this instant, and the store that runs. */
void check_recorded_file(sim *s, unsigned i);
void check_recorded_store(sim *s);

/* A transaction that a device's file holds, in its outbox and not yet confirmed. */
typedef struct reads_pending {
    const facts *f;
    bool again; /* a server that was put back is given it once more */
} reads_pending;
/* What a device shows, of which facts.c has just made the picture; pending ones in their order. */
void check_reads_now(sim *s, unsigned i, unsigned epoch, const reads_pending *pending, unsigned n);
/* The device's file is another one, or has lost power. */
void check_reads_anew(sim *s, unsigned i);
/* `seq` of each transaction that is on the server, else 0. */
void check_reads(sim *s, const uint64_t seq[SIM_TXNS]);
/* One that a person is about to settle; and all. */
void check_refusal(sim *s, unsigned i, uint64_t number);
void check_refusals(sim *s);

#endif
