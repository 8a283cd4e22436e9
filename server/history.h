/* history.h - what is kept over a restart for people to look at: the connections of devices, and figures by the minute.
 *
 * A figure is counted (how many in a minute: told per minute), a level (as it was: the mean of the minutes), or a peak (the highest of the minutes). Minutes are kept
 * for HISTORY_MINUTES_MS, hours, each as one row at its first minute, for HISTORY_HOURS_MS. What changes the store runs on the writer, inside its transaction. */
#ifndef SERVER_HISTORY_H
#define SERVER_HISTORY_H

#include "protocol/limits.h"
#include "server/store.h"

#define HISTORY_SYNCS_MS (UINT64_C(30) * 86400000)
#define HISTORY_SYNCS_OF_DEVICE 1000
#define HISTORY_MINUTES_MS (UINT64_C(48) * 3600000)
#define HISTORY_HOURS_MS (UINT64_C(400) * 86400000)

#define HISTORY_WORDS_BYTES 160
#define HISTORY_PEER_BYTES 46

/* What a device told of itself. */
typedef struct history_hello {
    bool taken; /* a hello was: there is something to tell */
    uint32_t schema_epoch;
    int64_t clock_offset_ms;             /* its clock less the server's */
    char software[LIMIT_NAME_BYTES + 1]; /* the products alone (version.h): what they run on is on the device's row */
} history_hello;

/* One connection of a device. */
typedef struct history_sync {
    int64_t device; /* 0: not known yet */
    uint64_t begun_ms, ended_ms;
    uint64_t current_ms; /* when it had been given all that there was; 0: never */
    uint64_t sent_frames, received_frames, sent_bytes, received_bytes;
    uint64_t pushed, pulled; /* transactions that got their result; pages that were given */
    int end_rc;              /* 0: the device went */
    char end_text[HISTORY_WORDS_BYTES];
    char peer[HISTORY_PEER_BYTES];
    history_hello hello; /* the last one */
} history_sync;

int history_put_sync(store *s, const history_sync *y);

typedef enum history_kind { HISTORY_COUNT, HISTORY_LEVEL, HISTORY_PEAK } history_kind;
typedef struct history_figure {
    const char *name, *unit, *about;
    history_kind kind;
} history_figure;
/* Every figure that there is, in the order of `history_id`. */
extern const history_figure HISTORY_FIGURES[];
typedef enum history_id {
    HISTORY_CONNECTIONS,
    HISTORY_PUSHED,
    HISTORY_REFUSED,
    HISTORY_ROWS_IN,
    HISTORY_COMMITS,
    HISTORY_PULLED,
    HISTORY_BYTES_IN,
    HISTORY_BYTES_OUT,
    HISTORY_CONFLICTS,
    HISTORY_FORKS,
    HISTORY_DIFFERENCES,
    HISTORY_RUNS,
    HISTORY_RUNS_FAILED,
    HISTORY_ONLINE,
    HISTORY_PENDING,
    HISTORY_REFUSALS_OPEN,
    HISTORY_WRITER_QUEUE,
    HISTORY_READER_QUEUE,
    HISTORY_LAG_P50,
    HISTORY_LAG_P95,
    HISTORY_LAG_P99,
    HISTORY_SYNC_P50,
    HISTORY_SYNC_P95,
    HISTORY_SYNC_P99,
    HISTORY_STORE_BYTES,
    HISTORY_WAL_BYTES,
    HISTORY_DISK_FREE,
    HISTORY_NFIGURES
} history_id;

/* Adds to what is counted in the minute of now_ms, or says what is so then. A value that is negative is left out: there is nothing to say. */
int history_put_figures(store *s, uint64_t now_ms, const double figure[HISTORY_NFIGURES]);
/* What the store itself knows of its figures: fills in PENDING, REFUSALS_OPEN, LAG_*, RUNS* (since `since_ms`) and STORE_BYTES. */
int history_measure(store *s, uint64_t since_ms, uint64_t now_ms, double figure[HISTORY_NFIGURES]);
/* The value at `per_mille` of n numbers in ascending order; negative if there are none. */
double history_percentile(const uint64_t *ascending, size_t n, unsigned per_mille);

/* Makes hours of old minutes, and forgets what is too old; not all at once if there is very much. */
int history_prune(store *s, uint64_t now_ms);

#endif
