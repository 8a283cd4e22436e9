/* share FILE NAME - one of several processes of an app that use one enrolled file at once (C8).
 *
 * WRITERS threads have a handle of their own each, two more share one, and one of the handles syncs if no other process does. Each
 * thread makes ROWS transactions; each transaction adds a row that bears its name and counts a visit of customer x'01'. Exit status 0 when
 * the server has accepted all that is in the file. Run by share.py. */
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica/satchel.h"

#define WRITERS 3
#define SHARING 2
#define ROWS 40
#define PATIENCE_S 100

typedef struct work {
    const char *path, *name;
    satchel *shared; /* of the threads after the first WRITERS */
    unsigned number;
} work;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("share: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

static satchel *open_file(const char *path) {
    satchel_options o = {.size = sizeof o, .flags = SATCHEL_OPEN_EXISTING, .busy_timeout_ms = PATIENCE_S * 1000};
    satchel *s;
    if (satchel_open(path, &o, &s)) die("%s", satchel_errmsg(s));
    return s;
}

static void run(satchel *s, const char *sql) {
    char *words = NULL;
    if (sqlite3_exec(satchel_db(s), sql, NULL, NULL, &words)) die("%s: %s (%s)", sql, words, satchel_errmsg(s));
}

/* One statement each, for a transaction over several would have the other threads' statements of the connection in it as well. */
static void write_shared(satchel *s, const work *w, unsigned i) {
    char sql[200];
    snprintf(sql, sizeof sql, "INSERT INTO contact_tag(contact_id, tag) VALUES(x'01', '%s-%u-%u')", w->name, w->number, i);
    run(s, sql);
    run(s, "UPDATE contact SET visit_count = visit_count + 1 WHERE id = x'01'");
}

static void write_own(satchel *s, const work *w, unsigned i) {
    run(s, "BEGIN IMMEDIATE");
    write_shared(s, w, i);
    run(s, "COMMIT");
}

/* A refused commit is told in words; on a shared handle those may be of what another thread did since. Either way they stay as this thread got them. */
static void fail_once(satchel *s, bool shared) {
    if (!sqlite3_exec(satchel_db(s), "INSERT INTO contact(id) VALUES(NULL)", NULL, NULL, NULL)) die("a NULL key was taken");
    const char *words = satchel_errmsg(s);
    if (!shared && !strstr(words, "contact")) die("a refused commit is told as \"%s\"", words);
    char before[1024];
    snprintf(before, sizeof before, "%s", words);
    usleep(1000);
    if (strcmp(words, before)) die("\"%s\" has become \"%s\"", before, words);
}

static void *write_rows(void *ctx) {
    const work *w = ctx;
    satchel *s = w->shared ? w->shared : open_file(w->path);
    for (unsigned i = 0; i < ROWS; i++) {
        if (w->shared)
            write_shared(s, w, i);
        else
            write_own(s, w, i);
        if (i % 8 == 0) fail_once(s, w->shared != NULL);
    }
    if (!w->shared) satchel_close(s);
    return NULL;
}

/* Whoever syncs, the counts are those of the file. */
static void wait_accepted(satchel *s) {
    satchel_status_info info = {.size = sizeof info};
    for (int i = 0; i < PATIENCE_S * 20; i++) {
        if (satchel_get_status(s, &info)) die("%s", satchel_errmsg(s));
        if (!info.pending && !info.accepted) return;
        usleep(50000);
    }
    die("%llu pending, %llu accepted, %llu refused, state %d: %s", (unsigned long long)info.pending,
        (unsigned long long)info.accepted, (unsigned long long)info.refused, info.state, info.last_error_text);
}

int main(int argc, char **argv) {
    work w[WRITERS + SHARING];
    pthread_t thread[WRITERS + SHARING];
    if (argc != 3) return 2;
    satchel *shared = open_file(argv[1]);
    if (satchel_start(shared)) die("%s", satchel_errmsg(shared));
    for (unsigned i = 0; i < WRITERS + SHARING; i++) {
        w[i] = (work){.path = argv[1], .name = argv[2], .shared = i < WRITERS ? NULL : shared, .number = i};
        if (pthread_create(&thread[i], NULL, write_rows, &w[i])) die("cannot make a thread");
    }
    for (unsigned i = 0; i < WRITERS + SHARING; i++) pthread_join(thread[i], NULL);
    wait_accepted(shared);
    satchel_close(shared);
    return 0;
}
