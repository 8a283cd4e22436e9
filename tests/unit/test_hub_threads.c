/* The hub with its own threads, hammered by devices in threads of theirs: meant for the thread sanitizer. Every device pushes counters, loses its connection
 * at any moment, comes back and pushes again what has no result; at the end every increment counts once, and no result ever came after the page
 * that holds it (N5). */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/hub.h"
#include "tests/support/serving.h"

#define CLIENTS 6u
#define TXNS 400u
#define WINDOW 8u

static const char SCHEMA[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT, n INTEGER DEFAULT 0, b BLOB);\n"
    "INSERT INTO satchel_table(name) VALUES('item');\nINSERT INTO satchel_rule(tbl, col, rule) VALUES('item','n','counter');\n";
static const char ROWS[] =
    "INSERT INTO item(id) VALUES(1);\n"
    "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i<4000) INSERT INTO item(id,b) SELECT i,randomblob(500) FROM n;\n";

typedef struct world {
    serving v;
    hub *h;
    atomic_bool stop;
    atomic_uint wakes;
} world;

/* Assertions of cmocka belong to the main thread; a client notes what is wrong. */
typedef struct client {
    world *w;
    device d;
    char name[16];
    unsigned random;
    uint64_t session, cursor, settled, loss_cursor;
    uint32_t credit;
    bool has_epoch, ready;
    uint8_t epoch[EPOCH_BYTES];
    uint64_t snapshot;
    uint32_t snapshot_page;
    uint64_t pushed; /* highest number sent on this connection */
    unsigned connections;
    char wrong[128];
} client;

#define EXPECT(c, cond)                                                                                                          \
    do {                                                                                                                         \
        if (!(cond) && !(c)->wrong[0]) snprintf((c)->wrong, sizeof(c)->wrong, "line %d: %s", __LINE__, #cond);                   \
    } while (0)

static uint64_t now_ms(void *ctx) {
    return ((world *)ctx)->v.now_ms;
}

static void on_wake(void *ctx) {
    atomic_fetch_add(&((world *)ctx)->wakes, 1);
}

static void on_log(void *ctx, const log_fields *fields, const char *text) {
    (void)ctx, (void)fields, (void)text;
}

static void deliver(client *c, buf *m) {
    EXPECT(c, m->rc == SATCHEL_OK);
    hub_receive(c->w->h, c->session, m->p, m->n);
    buf_fini(m);
}

static void hello(client *c) {
    const schema *s = store_schema(c->w->v.s);
    msg_hello m = {.version = PROTOCOL_VERSION,
                   .incarnation = 1,
                   .has_epoch = c->has_epoch,
                   .cursor = c->cursor,
                   .schema_epoch = 1,
                   .last_number = c->d.number,
                   .settled_number = c->settled,
                   .loss_cursor = c->loss_cursor,
                   .now_ms = c->w->v.now_ms,
                   .pending = c->d.number - c->settled,
                   .snapshot = c->snapshot,
                   .snapshot_page = c->snapshot_page,
                   .software = "t",
                   .nsoftware = 1};
    memcpy(m.epoch, c->epoch, sizeof m.epoch);
    memcpy(m.schema_hash, s->hash, sizeof m.schema_hash);
    buf out;
    buf_init(&out, 0);
    hello_encode(&m, &out);
    deliver(c, &out);
}

static void dial(client *c) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    serving_fingerprint(c->name, fingerprint);
    c->session = hub_connect(c->w->h, fingerprint);
    c->ready = false;
    c->credit = 0;
    c->pushed = c->settled;
    c->connections++;
    hello(c);
}

static void hang_up(client *c) {
    hub_disconnect(c->w->h, c->session);
    c->session = 0;
}

static void pull(client *c) {
    if (c->credit > LIMIT_PULL_CREDIT / 2) return;
    msg_pull m = {.cursor = c->cursor, .credit = LIMIT_PULL_CREDIT - c->credit, .loss_cursor = c->loss_cursor};
    buf out;
    buf_init(&out, 0);
    pull_encode(&m, &out);
    c->credit = LIMIT_PULL_CREDIT;
    deliver(c, &out);
}

/* Transaction `number`: plus one on the common row and a value that many write. */
static void put(client *c, push_writer *p, uint64_t number, buf *delta) {
    static _Thread_local delta_row row;
    delta_writer w;
    delta_writer_init(&w);
    buf_clear(delta);
    row.table = 1;
    row.op = DELTA_UPDATE;
    row.nkey = 1;
    row.ncol = 2;
    row.key[0] = value_integer(1);
    row.col[0] = (delta_column){.id = 2, .kind = DELTA_SET};
    row.v[0] = value_text(c->name, strlen(c->name));
    row.col[1] = (delta_column){.id = 3, .kind = DELTA_ADD};
    row.v[1] = value_integer(1);
    delta_put_row(&w, &row);
    EXPECT(c, delta_finish(&w, delta) == SATCHEL_OK);
    delta_writer_fini(&w);
    push_txn t = {.number = number,
                  .stamp = stamp_at((int)number),
                  .base = c->cursor,
                  .schema_epoch = 1,
                  .last = true,
                  .delta = delta->p,
                  .ndelta = delta->n};
    uint64_t id = c->d.ids + number;
    memcpy(t.id, &id, sizeof t.id);
    push_put_txn(p, &t);
}

static void push_some(client *c) {
    push_writer p;
    buf out, delta;
    uint64_t until = c->settled + WINDOW < TXNS ? c->settled + WINDOW : TXNS;
    if (c->pushed >= until) return;
    buf_init(&out, 0);
    buf_init(&delta, 0);
    push_begin(&p, 1);
    while (c->pushed < until) put(c, &p, ++c->pushed, &delta);
    if (c->d.number < c->pushed) c->d.number = c->pushed;
    EXPECT(c, push_finish(&p, &out) == SATCHEL_OK);
    buf_fini(&delta);
    deliver(c, &out);
}

static void on_results(client *c, const buf *m) {
    results_reader r;
    msg_result x;
    EXPECT(c, results_open(&r, m->p, m->n) == SATCHEL_OK);
    while (results_next(&r, &x) == 1) {
        EXPECT(c, x.rc == SATCHEL_OK);
        if (x.number <= c->settled) continue;
        EXPECT(c, x.number == c->settled + 1);
        EXPECT(c, x.seq > c->cursor); /* N5 */
        c->settled = x.number;
    }
}

static void on_page(client *c, const buf *m) {
    page_reader r;
    msg_page head;
    page_commit commit;
    EXPECT(c, page_open(&r, m->p, m->n, &head) == SATCHEL_OK);
    EXPECT(c, head.from == c->cursor);
    uint64_t before = head.from;
    while (page_next(&r, &commit) == 1) {
        EXPECT(c, commit.seq > before && commit.seq <= head.to);
        before = commit.seq;
    }
    c->cursor = head.to;
    c->credit--;
}

static void on_snapshot(client *c, const buf *m) {
    snapshot_reader r;
    msg_snapshot head;
    EXPECT(c, snapshot_open(&r, m->p, m->n, &head) == SATCHEL_OK);
    if (head.id != c->snapshot) c->snapshot_page = 0;
    c->snapshot = head.id;
    EXPECT(c, head.page == c->snapshot_page);
    c->snapshot_page++;
    c->credit--;
    if (!head.last) return;
    c->cursor = head.seq;
    c->has_epoch = true;
    c->snapshot = c->snapshot_page = 0;
}

static void on_losses(client *c, const buf *m) {
    losses_reader r;
    msg_loss x;
    EXPECT(c, losses_open(&r, m->p, m->n) == SATCHEL_OK);
    while (losses_next(&r, &x) == 1) {
        EXPECT(c, x.id > c->loss_cursor);
        c->loss_cursor = x.id;
    }
}

static void on_welcome(client *c, const buf *m) {
    msg_welcome x;
    EXPECT(c, welcome_decode(m->p, m->n, &x) == SATCHEL_OK);
    memcpy(c->epoch, x.epoch, sizeof c->epoch);
    c->ready = true;
}

static void take(client *c, const hub_frame *f) {
    buf m;
    buf_init(&m, 0);
    EXPECT(c, frame_unpack(f->p, f->n, &m) == SATCHEL_OK);
    switch (message_peek(m.p, m.n)) {
    case MSG_WELCOME:
        on_welcome(c, &m);
        break;
    case MSG_RESULTS:
        on_results(c, &m);
        break;
    case MSG_PAGE:
        on_page(c, &m);
        break;
    case MSG_SNAPSHOT:
        on_snapshot(c, &m);
        break;
    case MSG_LOSSES:
        on_losses(c, &m);
        break;
    default:
        EXPECT(c, message_peek(m.p, m.n) == MSG_PAGE); /* nothing else should come */
    }
    buf_fini(&m);
}

/* Takes what is there; false if nothing was. */
static bool listen(client *c) {
    hub_frame f;
    bool close = false, any = false;
    while (hub_output(c->w->h, c->session, &f, &close)) {
        take(c, &f);
        hub_output_done(c->w->h, c->session);
        any = true;
    }
    EXPECT(c, !close);
    return any;
}

static void *client_main(void *arg) {
    client *c = arg;
    dial(c);
    while (c->settled < TXNS && !c->wrong[0]) {
        if (c->ready) {
            pull(c);
            push_some(c);
        }
        if (!listen(c)) sched_yield();
        c->random = c->random * 1103515245 + 12345;
        if ((c->random >> 16) % 400 == 0) {
            hang_up(c);
            dial(c);
        }
    }
    return NULL;
}

/* Everybody else who calls: what wakes the front, the statistics, the admin. */
typedef struct idle_job {
    hub_job job;
    atomic_bool done;
} idle_job;

static int run_idle(hub_job *job, store *s, ingest *g, uint64_t at) {
    (void)job, (void)s;
    buf error;
    buf_init(&error, 0);
    int rc = ingest_sql_inside(g, "UPDATE item SET a='server' WHERE id=2;", at, &error);
    buf_fini(&error);
    return rc;
}

static void done_idle(hub_job *job, int rc) {
    (void)rc;
    atomic_store(&((idle_job *)job)->done, true);
}

static void *others_main(void *arg) {
    world *w = arg;
    hub_stats st;
    idle_job job = {.job = {.run = run_idle, .done = done_idle}};
    atomic_init(&job.done, true);
    while (!atomic_load(&w->stop)) {
        while (hub_ready(w->h)) continue;
        hub_get_stats(w->h, &st);
        hub_drop_device(w->h, 999, SATCHEL_E_REVOKED);
        if (atomic_load(&job.done)) {
            atomic_store(&job.done, false);
            if (!hub_submit(w->h, &job.job)) break;
        }
        sched_yield();
    }
    while (!atomic_load(&job.done)) sched_yield();
    return NULL;
}

static hub_config config_of(world *w, const char *snapshots, unsigned readers) {
    return (hub_config){.store = w->v.s,
                        .watched = true,
                        .store_path = w->v.path,
                        .snapshot_path = snapshots,
                        .readers = readers,
                        .history_ms = 1,
                        .horizon_ms = 1000000000,
                        .now_ms = now_ms,
                        .wake = on_wake,
                        .log = on_log,
                        .ctx = w};
}

static void hub_start_counts_every_increment_once_under_threads(void **state) {
    (void)state;
    static world w;
    static client c[CLIENTS];
    pthread_t thread[CLIENTS], others;
    char snapshots[160];
    serving_open(&w.v, SCHEMA, ROWS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(c[i].name, sizeof c[i].name, "device%u", i);
        c[i].w = &w;
        c[i].random = i * 7919;
        c[i].d = serving_device(&w.v, c[i].name);
    }
    ingest_free(w.v.g);
    w.v.g = NULL;
    snprintf(snapshots, sizeof snapshots, "%s/snapshots.db", w.v.dir);
    hub_config config = config_of(&w, snapshots, 3);
    buf error;
    buf_init(&error, 0);
    assert_int_equal(hub_open(&config, &w.h, &error), SATCHEL_OK);
    assert_int_equal(hub_start(w.h), SATCHEL_OK);
    for (unsigned i = 0; i < CLIENTS; i++) assert_int_equal(pthread_create(&thread[i], NULL, client_main, &c[i]), 0);
    assert_int_equal(pthread_create(&others, NULL, others_main, &w), 0);
    for (unsigned i = 0; i < CLIENTS; i++) pthread_join(thread[i], NULL);
    atomic_store(&w.stop, true);
    pthread_join(others, NULL);
    hub_stats st;
    hub_get_stats(w.h, &st);
    hub_stop(w.h);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (c[i].wrong[0]) fail_msg("%s: %s", c[i].name, c[i].wrong);
    assert_int_equal(st.txns_accepted, CLIENTS * TXNS);
    assert_true(st.sessions_total > CLIENTS);
    char expected[32];
    snprintf(expected, sizeof expected, "%u", CLIENTS * TXNS);
    assert_string_equal(sql(&w.v, "SELECT n FROM item WHERE id=1"), expected);
    unsigned problems;
    assert_int_equal(store_verify(w.v.s, &error, &problems), SATCHEL_OK);
    assert_int_equal(problems, 0);
    hub_close(w.h);
    buf_fini(&error);
    serving_fini(&w.v);
}

#define ENDED 1200u

/* More than one transaction takes along; the clock stands still, so that few were noted before. */
static void hub_stop_notes_every_connection_that_has_ended(void **state) {
    (void)state;
    static world w;
    static uint64_t session[ENDED];
    char expected[16];
    uint8_t fingerprint[2][CRYPTO_FINGERPRINT_BYTES];
    char snapshots[160];
    buf error;
    serving_open(&w.v, SCHEMA, ROWS);
    for (unsigned i = 0; i < 2; i++) {
        serving_device(&w.v, i ? "phone" : "tablet");
        serving_fingerprint(i ? "phone" : "tablet", fingerprint[i]);
    }
    ingest_free(w.v.g);
    w.v.g = NULL;
    snprintf(snapshots, sizeof snapshots, "%s/snapshots.db", w.v.dir);
    hub_config config = config_of(&w, snapshots, 1);
    buf_init(&error, 0);
    assert_int_equal(hub_open(&config, &w.h, &error), SATCHEL_OK);
    assert_int_equal(hub_start(w.h), SATCHEL_OK);
    for (unsigned i = 0; i < ENDED; i++) session[i] = hub_connect(w.h, fingerprint[i % 2]);
    hub_stats st;
    do {
        sched_yield();
        hub_get_stats(w.h, &st);
    } while (st.writer_queue);
    for (unsigned i = 0; i < ENDED; i++) hub_disconnect(w.h, session[i]);
    hub_stop(w.h);
    snprintf(expected, sizeof expected, "%u", ENDED);
    assert_string_equal(sql(&w.v, "SELECT count(*) FROM satchel_sync"), expected);
    hub_close(w.h);
    buf_fini(&error);
    serving_fini(&w.v);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(hub_start_counts_every_increment_once_under_threads),
                                       cmocka_unit_test(hub_stop_notes_every_connection_that_has_ended)};
    return cmocka_run_group_tests_name("hub_threads", tests, NULL, NULL);
}
