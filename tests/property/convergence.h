/* convergence.h - several replicas and one server core in one process, without threads or sockets, and a model of what must come of it.
 *
 * convergence.c chooses what happens and compares the ends; convergence_world.c has files, server, devices and the network between them;
 * convergence_work.c the applications' SQL; convergence_trouble.c what goes wrong with files and servers; convergence_ledger.c what was counted and
 * what was written over, independently of the code under test. */
#ifndef TESTS_PROPERTY_CONVERGENCE_H
#define TESTS_PROPERTY_CONVERGENCE_H

#include "protocol/satchel_rc.h"
#include "replica/handle.h"
#include "server/hub_private.h"
#include "tests/property/seeds.h"

#define DEVICES 3u     /* at the beginning */
#define MAX_DEVICES 6u /* with copies of their files */
#define ROWS 6
#define SERVER MAX_DEVICES /* as the writer of an entry of the ledger */
#define MAX_ENTRIES 1024u

typedef enum trouble {
    TROUBLE_COPY = 1,     /* a file is copied and both go on as one device (N3) */
    TROUBLE_PUT_BACK = 2, /* a device's file is put back to an earlier copy (N3) */
    TROUBLE_RESTART = 4,  /* the server ends and starts */
    TROUBLE_RESTORE = 8,  /* the server is put back to a backup (N7) */
    TROUBLE_MIGRATE = 16, /* the server starts with another migration (P1) */
    TROUBLE_DISCARD = 32, /* pending and refused transactions are discarded and retried (N6) */
    TROUBLE_LARGE = 64,   /* transactions in parts, long texts */
    TROUBLE_CRASH = 128,  /* a device ends without a word (N2) */
    TROUBLE_ALL = 255
} trouble;

typedef struct device {
    satchel *s;
    unsigned key; /* which key it has: copies share one */
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    uint64_t connection; /* hub session, 0 when cut */
    bool saved;          /* there is an earlier copy of its file */
    /* Values of the ledger that its file has shown to the app, and that the saved copy had. What a pending edit hides is not shown. */
    uint8_t seen[MAX_ENTRIES / 8], seen_saved[MAX_ENTRIES / 8];
} device;

/* One change that the ledger follows: `add` to column n of a row, or (add 0) a value of column a that nobody wrote before. Its transaction also
 * inserts a row into ev, which says that the server has it. */
typedef struct entry {
    unsigned row;
    int add;
    uint64_t number;
    unsigned holders; /* a bit for each file that has its transaction */
    unsigned saved;   /* and for each saved copy */
    bool given;       /* the server had it when the last file that held it lost it by right */
    bool in_backup;
    uint8_t known[MAX_ENTRIES / 8]; /* of a value: the values that its writer had seen before */
} entry;

typedef struct world {
    uint64_t seed;
    seed *random;
    char dir[64];
    store *st;
    hub *h;
    device d[MAX_DEVICES];
    unsigned ndevices;
    unsigned troubles;   /* those that this seed has */
    unsigned migrations; /* in the schema directory */
    unsigned large;      /* large transactions so far */
    bool backup, restored, discarded;
    entry *ledger;
    unsigned nledger;
} world;

#define CHECK(w, cond)                                                                                                           \
    do {                                                                                                                         \
        if (!(cond)) fail_msg("seed %" PRIu64 ": %s (%s:%d)", (w)->seed, #cond, __FILE__, __LINE__);                             \
    } while (0)

static inline unsigned pick(world *w, unsigned n) {
    return seed_below(w->random, n);
}
bool is_verbose(void);
uint64_t now_ms(void *ctx);

/* ---- convergence_world.c ---- */

void world_path(const world *w, char out[128], const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Adds the next migration to the schema directory; false if there is none left. */
bool world_add_migration(world *w);
void world_open(world *w);
void world_close(world *w);
void open_server(world *w, bool restored);
/* Connections are cut. */
void close_server(world *w);
void open_device(world *w, unsigned i);
/* Copies a database with its WAL as they are on the disk; `to` must not be open. */
void copy_database(world *w, const char *from, const char *to);
void cut(world *w, device *d);
/* Exchanges at most `frames` frames; the rest may be lost with the connection. */
void exchange(world *w, device *d, unsigned frames);
/* The single integer of a query; -1 if it gives no row. */
int64_t ask(world *w, sqlite3 *db, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- convergence_work.c ---- */

int run(world *w, device *d, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A transaction of an application on `d`. */
void work_device(world *w, device *d);
void work_large(world *w, device *d);
/* The server's own SQL. */
void work_server(world *w);

/* ---- convergence_trouble.c ---- */

void make_trouble(world *w);

/* ---- convergence_ledger.c ---- */

/* A new entry, written by device `by` or SERVER; its witness is the ev row whose text is ledger_witness. */
unsigned ledger_add(world *w, unsigned by, unsigned row, int add);
void ledger_witness(const world *w, unsigned i, char out[64]);
/* Looks at what the device's file shows now. */
void ledger_look(world *w, unsigned by);
/* Entries from `first` on were committed by `by`. */
void ledger_committed(world *w, unsigned by, unsigned first, bool done);
void ledger_copied(world *w, unsigned from, unsigned to);
void ledger_saved(world *w, unsigned by);
void ledger_put_back(world *w, unsigned by);
void ledger_discarded(world *w, unsigned by, uint64_t number);
void ledger_backed_up(world *w);
void ledger_restored(world *w);
/* At the end: everything that should be on the server is there once, counters are the sum of it, and every value of `a` that is gone was either known to who
 * wrote over it or is in the conflict log. */
void ledger_check(world *w);

#endif
