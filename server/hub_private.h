/* hub_private.h - what the hub's files share: hub.c has sessions and queues, hub_write.c the writer's group commit, hub_read.c the readers' pages and snapshots,
 * hub_view.c who is to hold what, hub_upkeep.c what time does, hub_history.c what is kept for people to look at, hub_orders.c who is told something before it says anything,
 * hub_sums.c checksums, hub_compared.c what came out of them, hub_disk.c the room on the disk. */
#ifndef SERVER_HUB_PRIVATE_H
#define SERVER_HUB_PRIVATE_H

#include <pthread.h>

#include "server/checksum.h"
#include "server/checksum_memo.h"
#include "server/dialog.h"
#include "server/frame.h"
#include "server/history.h"
#include "server/hub.h"
#include "server/pages.h"
#include "server/snapshot.h"
#include "server/view_change.h"

typedef struct output {
    struct output *next;
    frame *f;
} output;

/* How far one answer to a message of digests goes; places are hashes. */
typedef struct hub_stretch {
    bool begins, ends; /* with the first range of the first table; behind the last of the last one */
    uint64_t from, to; /* to: where the next question is to begin; 0: not known */
    uint64_t ranges, rows, differed;
} hub_stretch;

/* A comparison of all rows that a device is at. */
typedef struct hub_walk {
    device_compared sum; /* of the answers that it has taken; begun_ms 0: none is under way */
    hub_stretch last;    /* the latest answer */
    buf found;           /* ranges that differed, JSON objects with commas between; so much of it is of answers that were taken */
    size_t found_taken;
    unsigned listed, listed_taken; /* ranges in there */
} hub_walk;

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
    size_t queued;         /* bytes in out */
    size_t waiting_bytes;  /* received and not taken by the writer */
    uint64_t waiting_cost; /* of the same, as HUB_FRAME_COST tells */
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
    uint64_t view;       /* that the device holds once it has what was queued; d.target is what it is to hold */
    view_change *change; /* made, and not all queued */
    bool announced;      /* welcome told it that another view will come, and none has come yet */
    bool due;            /* its cursor is to move, though there may be nothing for it */
    bool
        stale; /* d.target is to be looked at again, and no reader serves it before: it may be served what it is to hold no more */
    buf sums;  /* digests that are to be compared, a message; empty: none */
    uint64_t sums_until_ms; /* what it has had compared is paid for then */
    hub_walk walk;
    uint64_t acked;
    bool acked_dirty;
    uint64_t since_ms; /* of the last hello */
    history_sync sync; /* what is kept of the connection when it has ended */
    uint64_t held_ms;  /* since when its pushes are not taken, because the disk is low; 0: they are */
} session;

typedef enum input_kind { INPUT_CONNECT, INPUT_FRAME, INPUT_LOSSES, INPUT_DISCONNECT, INPUT_JOB } input_kind;
typedef struct input {
    struct input *next;
    input_kind kind;
    uint64_t session;
    hub_job *job;
    bool handed_over; /* a pull that came compressed, or digests: it was taken */
    uint64_t cost;
    size_t n;
    uint8_t p[];
} input;

/* What a message costs the writer: its bytes, as unpacked, and so many besides. */
#define HUB_FRAME_COST 4096u
/* A session of which more waits than this is heavy: what it costs the writer is felt by all others. */
#define HUB_LIGHT_COST (16u << 10)

/* A page made for one place serves every session that stands there; while it is not full, only until the head moves. */
#define PAGE_CACHE 64u
/* Views that the writer keeps. */
#define HUB_VIEWS 1024u
typedef struct cached_page {
    uint64_t view;
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
    view_sets *sets;        /* the writer's, and so are these */
    view *views[HUB_VIEWS]; /* each at its number's place */
    snapshots *snaps;
    const schema *schema;
    uint8_t (*schema_hash)[8];
    pages *page_readers;
    unsigned nreaders;
    checksum_memo *memo; /* has its own lock */

    pthread_mutex_t mutex;
    pthread_cond_t writer_cond, reader_cond;
    session **slots;
    size_t nslots, free_slot; /* no free one lies below */
    uint64_t generation;
    session *ready, *ready_tail;
    session *readers, *readers_tail;
    input *inputs, *inputs_tail;
    size_t input_bytes;       /* of all of them */
    bool owed;                /* the writer's last group went before what had come earlier and weighs more */
    uint64_t sender, sent_ms; /* the session that pushed last, and when */
    uint64_t shared_ms;       /* until then it counts that a light one came in between */
    cached_page cache[PAGE_CACHE];
    unsigned cache_next;
    bool building, stepping; /* a snapshot */
    uint64_t look_after_ms;  /* the log is not looked through for a checksum before */
    size_t change_bytes;     /* of all changes of view that are not all queued */
    bool stopping;
    /* What readers may show: the last commit whose results were queued. */
    uint64_t head, high_stamp, floor;
    uint8_t epoch[EPOCH_BYTES];
    hub_stats stats;
    uint64_t disk_looked_ms;
    size_t held; /* sessions whose pushes are not taken */
    uint64_t last_upkeep_ms, last_seen_ms, write_failed_ms;
    /* The writer's: for alerts, and when it looked at what is to be alerted of and at who is connected. */
    alert_watch *watch;
    uint64_t last_look_ms, last_present_ms;
    unsigned min_version;  /* of version.h; 0: any */
    buf orders;            /* of the devices that have any, by their keys: hub_orders.c */
    bool orders_changed;   /* and they are to be read again */
    bool scope_changed;    /* who is to hold what is looked at again */
    bool scope_due;        /* the writer's: scope_upkeep is */
    bool timers_due;       /* likewise automation_timers */
    int64_t rules;         /* the writer's: the version for which all were looked at */
    bool stale;            /* the writer's: some session may be */
    size_t look_from;      /* the writer's: the slot of the next that is looked at, if it is stale */
    int64_t last_conflict; /* the writer's: its device has heard of conflicts up to here, if connected */

    history_sync *ended; /* connections that are to be noted in the store; */
    size_t nended, ended_room;
    history_sync *noting; /* and the writer's: those that it is at */
    size_t nnoting;
    bool notes_fail; /* no transaction of devices takes them along until they could be written alone */
    uint64_t noted_ms;
    struct hub_figures *figures; /* the writer's, but for the durations */

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

/* ---- hub_upkeep.c: the writer's ---- */

/* Why rows stay where they are that were to move by the clock. */
typedef struct hub_trouble {
    char text[2 * LIMIT_TEXT_BYTES];
} hub_trouble;
/* What is due by the clock, in the group's transaction: each part of the rules of scope stands for itself, and rules that fail leave everything as it is; timers of
 * automations. A database code. */
int hub_run_due(hub *h, dialog_world *w, hub_trouble *t);
/* Gives what automations have to say to the group's log. */
void hub_say_alerts(const dialog_world *w);
/* Once a minute: prunes, looks what is due, renews old connections. True if it was time. */
bool hub_upkeep(hub *h, uint64_t now_ms);
/* Under the mutex. After a failure only what devices pushed, or some quiet seconds, prove that there is room again: a note of a few bytes fits a full disk. */
void hub_set_writable(hub *h, int rc, bool pushed, uint64_t now_ms);

/* ---- hub_history.c ---- */

int hub_history_open(hub *h);
void hub_history_close(hub *h);
/* Under the mutex. A session has begun; it has all that there is now; it is over. */
void hub_note_begun(hub *h, session *c);
void hub_note_current(hub *h, session *c);
void hub_note_ended(hub *h, session *c);
/* The writer's, without the mutex, in its transaction: notes connections that have ended, if it is time. What devices push does not fail with it: where they
 * cannot be noted they wait for an idle moment; while the disk is low they wait, too. */
int hub_put_ended(hub *h, uint64_t now_ms);
/* The transaction is durable, or has failed. */
void hub_ended_are_put(hub *h, bool durable);
/* The writer's, in a transaction: figures of the time since the last look, and what is too old. */
int hub_put_figures(hub *h, uint64_t now_ms);
/* The writer's, in idle moments: a transaction for connections that nothing else has taken along. True if there was one. `all`: at the end, and the figures with it. */
bool hub_write_history(hub *h, uint64_t now_ms, bool all);

/* ---- hub_orders.c ---- */

/* The writer's, without the mutex: reads who is ordered what, if that may have changed. */
void hub_read_orders(hub *h);
/* Under the mutex: that may have changed. */
void hub_read_orders_soon(hub *h);

/* ---- hub_view.c; under the mutex ---- */

/* A device that may hold a part is told of commits that hold nothing for it when so many have gathered, so that its cursor moves; else once a minute. */
#define HUB_QUIET_COMMITS 4096u
/* True if no reader can do anything for the session now: it stands at the head, and waits for the next commit; or its view is to change, and cannot yet. */
bool hub_waits(const hub *h, const session *c);
/* Whether it is to be told that there was nothing for it. */
bool hub_is_due(const hub *h, const session *c);
/* Forgets a change of view that is not all queued: its parts that were are staged on the device, until another part 0 comes. */
void hub_drop_change(hub *h, session *c);
/* Sees to it that the cursors of those with a view move. */
void hub_move_quiet(hub *h);

/* ---- hub_sums.c; under the mutex ---- */

/* Takes a message of digests. Closes the session on a mistake: one at a time. */
void hub_take_sums(hub *h, session *c, const void *message, size_t n);
/* Compares them, with the mutex released meanwhile, and answers. */
void hub_serve_sums(hub *h, unsigned reader, session *c);

/* ---- hub_compared.c ---- */

/* Without the mutex: what a message of digests asks for and, but for `ranges` and `differed`, how far its answer goes. */
int hub_measure(const schema *shape, const buf *asked, const checksum_outcome *o, hub_stretch *out);
/* Under the mutex: the answer to a question that came at asked_ms is sent. When it is to the last of all ranges, what came out is noted in the store. */
void hub_walk_on(hub *h, session *c, const hub_stretch *s, const checksum_outcome *o, uint64_t asked_ms);
void hub_walk_fini(hub_walk *w);

/* Those who are concerned by an entry of the log (view_hears). */
typedef struct hub_audience {
    uint32_t set, besides;
} hub_audience;
#define HUB_AUDIENCES 16u
/* Sessions that had read all and get nothing of the commits since, which were for these, have read all: no reader need look for them. On the writer. */
void hub_pass_by(hub *h, const hub_audience *list, unsigned n);

/* On the writer, without the mutex: whom the commits since the head concern; HUB_AUDIENCES + 1: too many to tell, or they cannot be read. */
unsigned hub_list_audiences(hub *h, hub_audience *list);
/* Without the mutex: whether hub_scope_changed was called since the last time. */
bool hub_take_scope_changed(hub *h);
/* The sessions that one group of the writer looks at for what they are to hold: so many of those that are stale, in the order of their slots; the next group goes on there. */
#define HUB_LOOKS 64u
typedef struct hub_look {
    uint64_t id[HUB_LOOKS];
    size_t n, passed, slots;
    bool all, first; /* all have become stale; nobody was before */
} hub_look;
/* On the writer, under the mutex: `all` sessions are to be looked at, or those with a profile, which tables that were written decide. */
void hub_make_stale(hub *h, bool all);
/* On the writer, without the mutex, as is the next: `all` sessions have become stale, or, where a table was touched that profiles read, those with a profile. */
void hub_begin_look(hub *h, hub_look *l, bool all, bool touched);
/* Another one; 0 if there is none left, or the group has had its share. It stays stale until hub_looked_at. */
uint64_t hub_next_stale(hub *h, hub_look *l, dialog *d);
/* Under the mutex: whether the session is still to be looked at, after the group's share; until then nothing is told to it that depends on what it is to hold. */
bool hub_waits_for_look(const session *c, const hub_look *l);
/* Under the mutex, after the commit; or after its failure, which makes nobody stale. */
void hub_looked_at(hub *h, const hub_look *l);
void hub_look_failed(hub *h, const hub_look *l);

/* ---- hub.c; under the mutex ---- */

session *hub_find(hub *h, uint64_t id);
/* The session is no longer needed. */
void hub_forget(hub *h, session *c);
/* Frees it. */
void hub_remove(hub *h, session *c);
/* Queues the session for a reader, if one can do something for it. */
void hub_want_reader(hub *h, session *c);
void hub_queue_reader(hub *h, session *c);
void hub_forget_reader(hub *h, session *c);
/* Takes a pull that came compressed, so that only the writer could read it. Closes the session on a mistake. */
void hub_take_pull(hub *h, session *c, const void *message, size_t n);
/* An older connection of the same incarnation is over once a newer one has said hello: results of what it still sends would miss it (N5). So is every one of
 * the device under another key: once the new one is used, the old one is nobody's. */
void hub_supersede(hub *h, uint64_t newer, const dialog *d);
/* A device has erased its data. Another copy of the file, which knows nothing of that because the server was put back meanwhile, is told as well; who has said
 * nothing yet may have come to say the same. */
void hub_device_wiped(hub *h, int64_t device);
/* hub_submit. */
bool hub_add_job(hub *h, hub_job *job);
/* Takes the frame over. A session that lets too much gather is closed. */
void hub_queue_frame(hub *h, session *c, frame *f);
void hub_tell_and_close(hub *h, session *c, int rc, const char *words);
/* Shows the store's position to the readers and wakes every session that waits for it. */
void hub_publish(hub *h);

#endif
