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

/* Everything here is under the hub's mutex. The writer works on a copy of `d` and puts it back after the commit; a reader that is at work for a session
 * with the mutex released has it `busy`, and nobody else serves or frees it. */
typedef struct session {
    uint64_t id; /* generation << 32 | slot */
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    dialog d;
    bool closing; /* after what is queued */
    bool gone;    /* disconnected while a reader was at work for it: found by nobody any more */
    bool left;    /* disconnected; what it said before is still with the writer */
    bool busy;
    bool again; /* wanted a reader meanwhile */
    output *out, *out_tail;
    size_t queued;        /* bytes in out */
    size_t waiting_bytes; /* received and not taken by the writer */
    bool in_ready, in_readers, stalled;
    bool losses_asked; /* the writer is to say more losses */
    struct session *next_ready, *next_reader;
    /* Pulls. */
    unsigned round; /* hellos so far: what a reader made for an earlier one is dropped */
    uint32_t credit;
    page_place place;
    bool began_snapshot; /* since the last hello: the device may still name the cursor it had before */
    bool wants_snapshot;
    uint64_t snapshot;
    uint32_t snapshot_page;
    uint64_t acked;
    bool acked_dirty;
    uint64_t since_ms; /* of the last hello */
    uint64_t held_ms;  /* since when its pushes are not taken, because the disk is low; 0: they are */
} session;

typedef enum input_kind { INPUT_CONNECT, INPUT_FRAME, INPUT_LOSSES, INPUT_DISCONNECT, INPUT_JOB } input_kind;
typedef struct input {
    struct input *next;
    input_kind kind;
    uint64_t session;
    hub_job *job;
    bool pulled; /* a compressed pull, which was taken */
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
    size_t nslots, free_slot; /* no free one lies below */
    uint64_t generation;
    session *ready, *ready_tail;
    session *readers, *readers_tail;
    input *inputs, *inputs_tail;
    size_t input_bytes; /* of all of them */
    cached_page cache[PAGE_CACHE];
    unsigned cache_next;
    bool building, stepping; /* a snapshot */
    bool stopping;
    /* What readers may show: the last commit whose results were queued. */
    uint64_t head, high_stamp, floor;
    uint8_t epoch[EPOCH_BYTES];
    hub_stats stats;
    uint64_t disk_looked_ms;
    size_t held; /* sessions whose pushes are not taken */
    uint64_t last_upkeep_ms, last_seen_ms, write_failed_ms;
    int64_t last_conflict; /* the writer's: its device has heard of conflicts up to here, if connected */

    bool threads;
    pthread_t writer_thread;
    struct reader_thread *reader_threads;
    unsigned started_readers;
};

/* ---- hub_disk.c: the writer's, without the mutex ---- */

/* Sees once a second whether there is room. */
void hub_look_at_disk(hub *h, uint64_t now_ms);
/* Whether a push of this session is not to be taken now; the session is told later. */
bool hub_holds_push(hub *h, uint64_t session, uint64_t now_ms);
/* Tells those whose pushes were not taken to come back, once they have what there is to be had. */
void hub_end_held(hub *h, uint64_t now_ms);

/* Under the mutex: */
session *hub_find(hub *h, uint64_t id);
/* The session is no longer needed. */
void hub_forget(hub *h, session *c);
/* Takes a pull that came compressed, so that only the writer could read it. Closes the session on a mistake. */
void hub_take_pull(hub *h, session *c, const void *message, size_t n);
/* An older connection of the same incarnation is over once a newer one has said hello: results of what it still sends would miss it (N5). */
void hub_supersede(hub *h, uint64_t newer, uint32_t author);
/* Takes the frame over. A session that lets too much gather is closed. */
void hub_queue_frame(hub *h, session *c, frame *f);
void hub_tell_and_close(hub *h, session *c, int rc, const char *words);
/* Shows the store's position to the readers and wakes every session that waits for it. */
void hub_publish(hub *h);

#endif
