/* handle.h - what a `satchel` handle is made of, for the files that implement satchel.h.
 *
 * satchel.c opens and closes it; poll.c carries the session over the transport; enroll.c makes the device's identity. The lock guards file, session
 * and poll: hold it for one step at a time, never while waiting for the network. It is recursive, because callbacks run with it held and
 * may call back. The app's connection is guarded by SQLite's own mutex. Lock order: never wait for the app's connection while a transaction of
 * the file is open. */
#ifndef REPLICA_HANDLE_H
#define REPLICA_HANDLE_H

#include <pthread.h>

#include "protocol/limits.h"
#include "replica/file.h"
#include "replica/outbox.h"
#include "replica/satchel.h"
#include "replica/session.h"

/* The words of a failure, with a path before them. */
#define HANDLE_ERROR_BYTES (LIMIT_TEXT_BYTES * 2)

typedef struct poll_loop poll_loop;

struct satchel {
    file *file;       /* the sync side */
    session *session; /* made by satchel_open */
    sqlite3 *app;     /* NULL if satchel_open failed */
    outbox_writer *writer;
    pthread_mutex_t lock;
    poll_loop *poll; /* poll.c's; NULL until its first use */
    bool wiped;      /* the data were erased: every call says so */
    void (*_Atomic wake)(
        void *ctx); /* set by poll.c, after wake_ctx: the app committed; called in the app's thread without the lock */
    void *wake_ctx;
    void (*changed)(void *ctx, const char *table);
    void *changed_ctx;
    void (*event)(void *ctx, const satchel_event *e);
    void *event_ctx;
    void (*log)(void *ctx, int rc, const char *line);
    void *log_ctx;
    pthread_mutex_t error_lock; /* guards rc and error: any thread may ask for them; held for nothing else */
    int rc;                     /* of the last failed call */
    char error[HANDLE_ERROR_BYTES];
};

/* Remembers code and words for satchel_errmsg; returns rc. An empty or NULL format takes the code's own text. */
int handle_fail(satchel *s, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* With the lock: whether the data were erased, or are to be, by whichever handle or process. */
bool handle_is_wiped(satchel *s);
/* With the lock: SATCHEL_E_MISUSE if satchel_open failed, SATCHEL_E_WIPED. */
int handle_check(satchel *s);

/* poll.c: ends the thread, closes the connection, frees s->poll. Called by satchel_close, also when s->poll is NULL. */
void poll_close(satchel *s);
/* poll.c: there is a new key: it is certified as soon as there is a connection. Without the lock. */
void poll_renew(satchel *s);
/* poll.c: ends a thread and the connection, and takes the file's syncing for this handle until it is closed, or a thread of it is stopped. Without the lock.
 * SATCHEL_E_BUSY: another has it; _MISUSE: the handle is being polled, or not open. */
int poll_hold(satchel *s);
/* poll.c: this file has (another) identity; ends the connection and connects anew at the next turn, without a pause. Called by
 * satchel_enroll, without the lock. */
void poll_reset(satchel *s);

#endif
