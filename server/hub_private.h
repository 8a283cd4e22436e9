/* hub_private.h - what the hub's files share: hub.c has sessions, queues and readers, hub_write.c the writer's group commit. */
#ifndef SERVER_HUB_PRIVATE_H
#define SERVER_HUB_PRIVATE_H

#include <pthread.h>

#include "server/dialog.h"
#include "server/frame.h"
#include "server/hub.h"
#include "server/pages.h"
#include "server/snapshot.h"

typedef struct output {
    struct output *next;
    frame *f;
} output;

/* Everything here is under the hub's mutex, but `d`, which only the writer uses while busy. */
typedef struct session {
    uint64_t id; /* generation << 32 | slot */
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    dialog d;
    bool closing; /* after what is queued */
    bool gone;    /* disconnected while a thread was at work for it */
    unsigned busy;
    output *out, *out_tail;
    size_t queued;        /* bytes in out */
    size_t waiting_bytes; /* received and not taken by the writer */
    bool in_ready, in_readers, stalled, waits_snapshot;
    struct session *next_ready, *next_reader;
    /* Pulls. */
    bool pulling;
    uint32_t credit;
    page_place place;
    bool wants_snapshot;
    uint64_t snapshot;
    uint32_t snapshot_page;
    uint64_t acked;
    bool acked_dirty;
} session;

typedef enum input_kind { INPUT_CONNECT, INPUT_FRAME, INPUT_JOB } input_kind;
typedef struct input {
    struct input *next;
    input_kind kind;
    uint64_t session;
    hub_job *job;
    size_t n;
    uint8_t p[];
} input;

/* A page made for one place serves every session that stands there; while it is not full, only until the head moves. */
#define PAGE_CACHE 64u
typedef struct cached_page {
    page_place at, after;
    frame *f;
    bool full;
    uint64_t head;
} cached_page;

struct reader_thread {
    hub *h;
    unsigned number;
    pthread_t thread;
};

struct hub {
    hub_config config;
    ingest *ingest;
    snapshots *snaps;
    const schema *schema;
    uint8_t (*schema_hash)[8];
    pages *page_readers;
    unsigned nreaders;

    pthread_mutex_t mutex;
    pthread_cond_t writer_cond, reader_cond;
    session **slots;
    size_t nslots;
    uint64_t generation;
    session *ready, *ready_tail;
    session *readers, *readers_tail;
    input *inputs, *inputs_tail;
    cached_page cache[PAGE_CACHE];
    unsigned cache_next;
    bool building, stepping; /* a snapshot */
    bool stopping;
    /* What readers may show: the last commit whose results were queued. */
    uint64_t head, high_stamp, floor;
    uint8_t epoch[EPOCH_BYTES];
    hub_stats stats;
    uint64_t last_upkeep_ms, last_seen_ms;

    bool threads;
    pthread_t writer_thread;
    struct reader_thread *reader_threads;
    unsigned started_readers;
};

/* Under the mutex: */
session *hub_find(hub *h, uint64_t id);
void hub_session_remove(hub *h, session *c);
void hub_queue_frame(hub *h, session *c, frame *f);
void hub_tell_and_close(hub *h, session *c, int rc, const char *words);
/* Shows the store's position to the readers and wakes every session that waits for it. */
void hub_publish(hub *h);

#endif
