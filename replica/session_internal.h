/* session_internal.h - what session.c (the state machine, sending) and session_receive.c (one function per message) share. */
#ifndef REPLICA_SESSION_INTERNAL_H
#define REPLICA_SESSION_INTERNAL_H

#include "protocol/limits.h"
#include "replica/checksum.h"
#include "replica/outbox.h"
#include "replica/overlay.h"
#include "replica/session.h"

#define QUEUE_SLOTS 32u
#define FLIGHT_SLOTS 64u

/* IDLE -> HELLO -> (SCHEMA ->) OPEN; OPEN -> HELLO after a fork; any -> FAILED; session_end -> IDLE. */
typedef enum session_phase {
    PHASE_IDLE,   /* no connection */
    PHASE_HELLO,  /* hello is sent, welcome is awaited */
    PHASE_SCHEMA, /* welcome came; migrations are awaited */
    PHASE_OPEN,   /* pages, pushes and results */
    PHASE_FAILED  /* an error was told; the connection is to be closed */
} session_phase;

/* A push message without its results. */
typedef struct flight {
    uint64_t last; /* highest number in it */
    size_t bytes;
} flight;

/* What a result did. */
typedef struct session_effect {
    bool answered;    /* it became of a transaction that had none */
    uint64_t settled; /* the number of a refusal that was open, and that an admin has settled; 0: of none */
} session_effect;

/* session_checksum.c. */
typedef struct session_checks {
    checksum_walk walk;
    bool wanted;  /* by the app */
    bool running; /* the walk has begun */
    bool waiting; /* for the answer to its message */
    unsigned tries, passes, unanswered;
    int rc;                    /* why a range was not repaired */
    uint64_t due_ms, again_ms; /* due_ms 0: the file says */
    uint64_t repaired;         /* rows */
} session_checks;

struct session {
    file *file;
    session_callbacks callbacks;
    session_phase phase;
    satchel_sync_state state;
    int state_rc;
    uint64_t phase_deadline_ms; /* until when the phase's message may take */
    uint64_t heard_ms;          /* the last frame */
    uint64_t retry_after_ms;
    bool again;   /* hello was said again on this connection, after a fork */
    bool is_copy; /* there is another file of this incarnation; set until the server has given one of its own */
    bool named;   /* the error that came is the server's own */
    /* of welcome */
    uint32_t schema_epoch;
    bool awaits_news; /* what the server has to tell at a welcome is on its way: results, decisions, losses */
    uint64_t target;  /* in step when the cursor is here, */
    bool awaits_view; /* and the view has come that a welcome announced */
    /* frames to send: a ring; the first is being shown to the transport */
    buf queue[QUEUE_SLOTS];
    unsigned first, queued;
    bool showing;
    uint32_t granted, credit_due; /* pages asked for and not yet come; to ask for */
    uint64_t durable_cursor;      /* what the server was, or may be, told */
    unsigned unsynced_pulls;      /* since the last sync */
    outbox_cursor push;
    flight flight[FLIGHT_SLOTS];
    unsigned nflight;
    size_t flight_bytes;
    uint64_t told;                        /* resolves were sent up to this number, */
    uint64_t ntold;                       /* so many that may not have arrived */
    uint64_t told_after;                  /* they are known to have arrived when a later number than this has a result */
    session_effect effect[LIMIT_RESULTS]; /* of the results of the message at hand */
    session_checks checks;
    buf message, received, error;
};

int session_fail(session *s, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with the file's words; passes rc >= 0 through. */
int session_file_error(session *s, int rc);
void session_emit(session *s, const satchel_event *event);
/* Packs and queues s->message. */
int session_say(session *s);
int session_open_phase(session *s);
int session_hello_again(session *s, uint64_t now_ms);

/* session_receive.c: one message each, of a phase that admits it. */
int session_on_welcome(session *s, const void *p, size_t n, uint64_t now_ms);
int session_on_schema(session *s, const void *p, size_t n);
int session_on_forked(session *s, const void *p, size_t n, uint64_t now_ms);
int session_on_results(session *s, const void *p, size_t n, uint64_t now_ms);
int session_on_page(session *s, const void *p, size_t n);
int session_on_snapshot(session *s, const void *p, size_t n);
int session_on_losses(session *s, const void *p, size_t n);
int session_on_repair(session *s, const void *p, size_t n, uint64_t now_ms);
/* session_checksum.c: a conversation begins, so no answer is on its way; asks what there is to ask. */
void session_checksum_begin(session *s, uint64_t now_ms);
int session_checksum_step(session *s, uint64_t now_ms);
/* session_receive.c: tells which tables have changed. */
void session_announce(session *s);
int session_on_error(session *s, const void *p, size_t n);

#endif
