/* hub_fixture.h - a hub without threads, and devices by hand: what is sent is written in words, and what is heard comes back in words. */
#ifndef TESTS_UNIT_HUB_FIXTURE_H
#define TESTS_UNIT_HUB_FIXTURE_H

#include "server/hub.h"
#include "tests/support/serving.h"
#include "tests/unit/hub_holding.h"

/* One connection of a device, and what the server said on it. */
typedef struct link {
    device *d;
    const char *name;
    uint64_t session;
    uint32_t incarnation;
    uint64_t cursor, settled, pending, loss_cursor;
    uint64_t snapshot;
    uint32_t snapshot_page;
    holding *holds; /* takes pages and snapshots; NULL: they are passed over */
    bool closed;
    unsigned told; /* how often it heard that this was all that there was to tell it */
    buf said;      /* words about each message, such as "welcome results(1:5) page(0-5) " */
    msg_page page; /* the last one */
    msg_snapshot snap;
    msg_welcome welcome;
    uint32_t forked;
    unsigned pages;
    unsigned repaired_columns; /* of the last row that a repair gave again */
} link;

typedef struct world {
    serving v;
    hub *h;
    device phone, tablet;
    link *link[160];
    unsigned links;
    char log[4096];
    uint64_t now_ms;
    unsigned wakes;
    size_t change_bytes; /* of the hub's config */
} world;

int setup(void **state);
int teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The server stops and starts again. */
void reopen_hub(world *w);
/* Hears what is there; steps until nothing is left to do. */
void drain(world *w);
void settle(world *w);
/* What was said since the last call. Valid until the next. */
const char *said(link *l);
#define SAID(l, expected) assert_string_equal(said(l), expected)

link *dial(world *w, device *d, const char *name);
/* Forgets the i-th link, whose connection is over. */
void drop_link(world *w, unsigned i);
/* A device that stands at the head, has said hello, and pulls. */
link *online(world *w, device *d, const char *name);
/* Frees the message. `pack`: as a frame is made, compressed if that helps. */
void send_message(world *w, link *l, buf *m, bool pack);
msg_hello make_hello(world *w, const link *l);
void hello_as(world *w, link *l, const msg_hello *m);
void hello(world *w, link *l);
void pull(world *w, link *l, uint32_t credit);
void put_txn(world *w, push_writer *p, push_txn *t, const char *words);
/* One push, with a transaction for each of the words, a second after the other. */
void push_words(world *w, link *l, int seconds, const char *const *words);
#define PUSH(l, seconds, ...) push_words(w, l, seconds, (const char *const[]){__VA_ARGS__, NULL})

/* A job of the admin: runs `text` as SQL of the server's, then answers `answer`. */
typedef struct test_job {
    hub_job job;
    int answer, got;
    const char *text;
    bool ran;
} test_job;
int run_job(hub_job *job, store *s, ingest *g, uint64_t at);
void done_job(hub_job *job, int rc);
/* SQL of the server's, as one commit. */
void server(world *w, const char *text);

#endif
