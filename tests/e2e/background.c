/* background FILE - a program that writes while satchel_start's thread syncs its file, and looks at it from a third thread meanwhile.
 *
 * Run by threads.py on an enrolled file. Exit status 0 when all its rows were accepted. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "replica/satchel.h"

#define ROWS 400
#define PATIENCE_S 100

typedef struct work {
    satchel *s;
    atomic_bool done;
    atomic_uint events, changes;
} work;

static void on_event(void *ctx, const satchel_event *e) {
    work *w = ctx;
    satchel_status_info info = {.size = sizeof info};
    if (e->type == SATCHEL_EVENT_STATE) satchel_get_status(w->s, &info);
    atomic_fetch_add(&w->events, 1);
}

static void on_change(void *ctx, const char *table) {
    work *w = ctx;
    (void)table;
    atomic_fetch_add(&w->changes, 1);
}

static void *watch(void *ctx) {
    work *w = ctx;
    satchel_status_info info = {.size = sizeof info};
    while (!atomic_load(&w->done)) {
        satchel_get_status(w->s, &info);
        usleep(2000);
    }
    return NULL;
}

static int write_rows(satchel *s) {
    for (int i = 0; i < ROWS; i++) {
        if (sqlite3_exec(satchel_db(s), "INSERT INTO contact(id, given) VALUES(uuid7(), 'In the background')", NULL, NULL, NULL))
            return 1;
        if (i == ROWS / 2) {
            satchel_stop(s);
            if (satchel_start(s)) return 1;
        }
    }
    return 0;
}

static int wait_in_step(satchel *s) {
    satchel_status_info info = {.size = sizeof info};
    for (int i = 0; i < PATIENCE_S * 20; i++) {
        if (!satchel_get_status(s, &info) && info.state == SATCHEL_IN_STEP && !info.pending && !info.accepted) return 0;
        usleep(50000);
    }
    fprintf(stderr, "background: still %llu pending, %llu accepted, state %d, last error %s\n", (unsigned long long)info.pending,
            (unsigned long long)info.accepted, info.state, info.last_error_text);
    return 1;
}

int main(int argc, char **argv) {
    work w = {0};
    pthread_t watcher;
    if (argc != 2) return 2;
    satchel_options o = {.size = sizeof o, .busy_timeout_ms = PATIENCE_S * 1000};
    int failed = satchel_open(argv[1], &o, &w.s);
    if (!failed) {
        satchel_on_event(w.s, on_event, &w);
        satchel_on_change(w.s, on_change, &w);
        failed = satchel_start(w.s) || pthread_create(&watcher, NULL, watch, &w);
        if (!failed) {
            failed = write_rows(w.s) || wait_in_step(w.s);
            atomic_store(&w.done, true);
            pthread_join(watcher, NULL);
        }
    }
    if (failed) fprintf(stderr, "background: %s\n", satchel_errmsg(w.s));
    if (!atomic_load(&w.events)) failed = 1;
    satchel_close(w.s);
    return failed ? 1 : 0;
}
