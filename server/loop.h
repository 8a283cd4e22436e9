/* loop.h - the server's event loop (libuv), and the one way to it from other threads.
 *
 * Everything that has a socket runs on this loop's thread. Other threads post a task, or wake the loop: both may be called from any thread and
 * return at once. Tasks run in the order in which they were posted. */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "protocol/buf.h"

typedef struct loop_task loop_task;
struct loop_task {
    void (*run)(loop_task *task); /* may free the task */
    loop_task *next;              /* the loop's */
};

typedef struct loop {
    uv_loop_t uv;
    uv_async_t async;
    pthread_mutex_t lock;
    loop_task *first, **last;
    void (*woken)(void *ctx); /* set by who wants loop_wake; NULL: nobody */
    void *ctx;
    atomic_bool ended; /* wakes are for nobody */
} loop;

int loop_open(loop *l, buf *error);
/* Runs until no handle is left. */
void loop_run(loop *l);
/* The owner of the last handles calls this so that loop_run can end; posting is allowed until loop_close. */
void loop_end(loop *l);
/* After loop_run: runs the tasks that are left. */
void loop_close(loop *l);

void loop_post(loop *l, loop_task *task);
/* Runs `woken` soon; several wakes may become one. */
void loop_wake(loop *l);

#endif
