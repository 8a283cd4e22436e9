/* Views that change under the hub's own threads: meant for the thread sanitizer. Rows move and profiles' answers change all the time, devices come and go;
 * at the end each holds exactly what its user's rows are on the server. */
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
#include "server/scope.h"
#include "tests/support/serving.h"
#include "tests/unit/hub_holding.h"

#define CLIENTS 6u
#define USERS 3u
#define ROUNDS 150u

static const char SCHEMA[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, owner INTEGER, n INTEGER DEFAULT 0, b BLOB);\nINSERT INTO satchel_table(name) VALUES('item');\n"
    "CREATE TABLE stands(user INTEGER PRIMARY KEY, other INTEGER);\nINSERT INTO satchel_table(name) VALUES('stands');\n";
static const char ROWS[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1500) INSERT INTO item(id,owner,b) SELECT i,i%3,randomblob(300) FROM n;\n";
static const char RULES[] =
    "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','owner'),('stands','all',NULL);\n"
    "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''all'',NULL UNION ALL SELECT ''own'',:user UNION ALL SELECT ''own'',other"
    " FROM stands WHERE user=:user');\n"
    "INSERT INTO scope_mask(profile,tbl,columns) VALUES('rep','item','b');\n";

typedef struct world {
    serving v;
    hub *h;
    atomic_uint_fast64_t end; /* the last commit, once it is made */
} world;

typedef struct client {
    world *w;
    char name[16];
    unsigned random;
    uint64_t session, cursor, snapshot;
    uint32_t credit, snapshot_page;
    bool has_epoch, ready;
    uint8_t epoch[EPOCH_BYTES];
    holding holds;
} client;

static uint64_t now_ms(void *ctx) {
    return ((world *)ctx)->v.now_ms;
}

static void on_wake(void *ctx) {
    (void)ctx;
}

static void on_log(void *ctx, const log_fields *fields, const char *text) {
    (void)ctx, (void)fields, (void)text;
}

/* ---- devices ---- */

static void deliver(client *c, buf *m) {
    assert_int_equal(m->rc, SATCHEL_OK);
    hub_receive(c->w->h, c->session, m->p, m->n);
    buf_fini(m);
}

static void dial(client *c) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    serving_fingerprint(c->name, fingerprint);
    c->session = hub_connect(c->w->h, fingerprint);
    c->ready = false;
    c->credit = 0;
    msg_hello m = {.version = PROTOCOL_VERSION,
                   .incarnation = 1,
                   .has_epoch = c->has_epoch && !c->snapshot,
                   .cursor = c->cursor,
                   .schema_epoch = 1,
                   .now_ms = c->w->v.now_ms,
                   .snapshot = c->snapshot,
                   .snapshot_page = c->snapshot_page,
                   .has_view = true,
                   .view = c->holds.view};
    memcpy(m.epoch, c->epoch, sizeof m.epoch);
    memcpy(m.schema_hash, c->holds.shape->hash, sizeof m.schema_hash);
    buf out;
    buf_init(&out, 0);
    hello_encode(&m, &out);
    deliver(c, &out);
}

static void pull(client *c) {
    if (c->credit > LIMIT_PULL_CREDIT / 2) return;
    msg_pull m = {.cursor = c->cursor, .credit = LIMIT_PULL_CREDIT - c->credit};
    buf out;
    buf_init(&out, 0);
    pull_encode(&m, &out);
    c->credit = LIMIT_PULL_CREDIT;
    deliver(c, &out);
}

static void on_page(client *c, const buf *m) {
    page_reader r;
    msg_page head;
    assert_int_equal(page_open(&r, m->p, m->n, &head), SATCHEL_OK);
    assert_int_equal(head.from, c->cursor);
    holding_page(&c->holds, &head, m->p, m->n);
    if (!head.more) c->cursor = head.to;
    c->credit--;
}

static void on_snapshot(client *c, const buf *m) {
    snapshot_reader r;
    msg_snapshot head;
    assert_int_equal(snapshot_open(&r, m->p, m->n, &head), SATCHEL_OK);
    if (head.id != c->snapshot) c->snapshot_page = 0;
    assert_int_equal(head.page, c->snapshot_page);
    holding_snapshot(&c->holds, &head, m->p, m->n);
    c->snapshot = head.last ? 0 : head.id;
    c->snapshot_page = head.last ? 0 : head.page + 1;
    c->credit--;
    if (!head.last) return;
    c->cursor = head.seq;
    c->has_epoch = true;
}

static void on_welcome(client *c, const buf *m) {
    msg_welcome x;
    assert_int_equal(welcome_decode(m->p, m->n, &x), SATCHEL_OK);
    memcpy(c->epoch, x.epoch, sizeof c->epoch);
    c->ready = true;
}

/* What it is to hold was changed and changed back while a page for the view in between was on its way: it is to come back. */
static void on_error(const client *c, const buf *m) {
    msg_error x;
    assert_int_equal(error_decode(m->p, m->n, &x), SATCHEL_OK);
    if (x.rc != SATCHEL_E_CLOSED) fail_msg("%s is told %s: %.*s", c->name, satchel_rc_name(x.rc), (int)x.ntext, x.text);
}

static void take(client *c, const hub_frame *f) {
    buf m;
    buf_init(&m, 0);
    assert_int_equal(frame_unpack(f->p, f->n, &m), SATCHEL_OK);
    switch (message_peek(m.p, m.n)) {
    case MSG_WELCOME:
        on_welcome(c, &m);
        break;
    case MSG_PAGE:
        on_page(c, &m);
        break;
    case MSG_SNAPSHOT:
        on_snapshot(c, &m);
        break;
    case MSG_LOSSES: /* an empty one: that it was told all */
        break;
    case MSG_ERROR:
        on_error(c, &m);
        break;
    default:
        fail_msg("%s is sent a message of type %d", c->name, (int)message_peek(m.p, m.n));
    }
    buf_fini(&m);
}

/* Whether there was anything. *close: the server ends the session. */
static bool listen(client *c, bool *close) {
    hub_frame f;
    bool any = false;
    while (hub_output(c->w->h, c->session, &f, close)) {
        take(c, &f);
        hub_output_done(c->w->h, c->session);
        any = true;
    }
    return any;
}

static void *client_main(void *arg) {
    client *c = arg;
    dial(c);
    for (;;) {
        uint64_t end = atomic_load(&c->w->end);
        if (end && c->cursor >= end) return NULL;
        bool close = false;
        if (c->ready) pull(c);
        if (!listen(c, &close)) sched_yield();
        c->random = c->random * 1103515245 + 12345;
        if (!close && (c->random >> 16) % 3000) continue;
        hub_disconnect(c->w->h, c->session);
        dial(c);
    }
}

/* ---- the server ---- */

typedef struct sql_job {
    hub_job job;
    const char *text;
    atomic_bool done;
    uint64_t seq;
} sql_job;

static int run_sql(hub_job *job, store *s, ingest *g, uint64_t at) {
    buf error;
    buf_init(&error, 0);
    int rc = ingest_sql_inside(g, ((sql_job *)job)->text, at, &error);
    ((sql_job *)job)->seq = store_where(s).seq;
    buf_fini(&error);
    return rc;
}

static void done_sql(hub_job *job, int rc) {
    assert_int_equal(rc, SATCHEL_OK);
    atomic_store(&((sql_job *)job)->done, true);
}

static uint64_t server(world *w, const char *text) {
    sql_job j = {.job = {.run = run_sql, .done = done_sql}, .text = text};
    atomic_init(&j.done, false);
    assert_true(hub_submit(w->h, &j.job));
    while (!atomic_load(&j.done)) sched_yield();
    while (hub_ready(w->h)) continue;
    return j.seq;
}

static void do_something(world *w, unsigned i) {
    char text[256];
    unsigned x = (i * 2654435761u) >> 8;
    if (x % 4 == 0)
        snprintf(text, sizeof text, "INSERT OR REPLACE INTO stands(user,other) VALUES(%u,%u)", x / 4 % USERS, x / 16 % USERS);
    else if (x % 4 == 1)
        snprintf(text, sizeof text, "DELETE FROM item WHERE id=%u; INSERT INTO item(owner,n) VALUES(%u,%u)", x / 4 % 1500,
                 x / 8 % USERS, i);
    else
        snprintf(text, sizeof text, "UPDATE item SET n=n+1,owner=%u WHERE id%%50=%u", x / 4 % USERS, x / 16 % 50);
    server(w, text);
}

static void open_world(world *w, client *c) {
    char snapshots[160], text[256];
    uint64_t moved;
    serving_open(&w->v, SCHEMA, ROWS);
    sql_exec(&w->v, "PRAGMA synchronous=OFF");
    for (unsigned i = 0; i < CLIENTS; i++) {
        c[i].w = w;
        c[i].random = i * 7919;
        snprintf(c[i].name, sizeof c[i].name, "device%u", i);
        serving_device(&w->v, c[i].name);
        snprintf(text, sizeof text, "UPDATE satchel_device SET profile='rep',user=x'01%016x' WHERE name='%s'", i % USERS,
                 c[i].name);
        sql_exec(&w->v, text);
        holding_open(&c[i].holds, store_schema(w->v.s));
    }
    ingest_free(w->v.g);
    w->v.g = NULL;
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(scope_publish(w->v.s, "scope.sql", RULES, w->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    snprintf(snapshots, sizeof snapshots, "%s/snapshots.db", w->v.dir);
    hub_config config = {.store = w->v.s,
                         .watched = true,
                         .store_path = w->v.path,
                         .snapshot_path = snapshots,
                         .readers = 3,
                         .history_ms = 1000000000,
                         .horizon_ms = 1000000000,
                         .now_ms = now_ms,
                         .wake = on_wake,
                         .log = on_log,
                         .ctx = w};
    assert_int_equal(hub_open(&config, &w->h, &error), SATCHEL_OK);
    buf_fini(&error);
}

static void views_that_change_under_threads_end_in_what_each_may_hold(void **state) {
    (void)state;
    static world w;
    static client c[CLIENTS];
    pthread_t thread[CLIENTS];
    open_world(&w, c);
    assert_int_equal(hub_start(w.h), SATCHEL_OK);
    for (unsigned i = 0; i < CLIENTS; i++) assert_int_equal(pthread_create(&thread[i], NULL, client_main, &c[i]), 0);
    for (unsigned i = 0; i < ROUNDS; i++) do_something(&w, i);
    atomic_store(&w.end, server(&w, "INSERT INTO stands(user) VALUES(99)"));
    for (unsigned i = 0; i < CLIENTS; i++) pthread_join(thread[i], NULL);
    hub_stop(w.h);
    for (unsigned i = 0; i < CLIENTS; i++) {
        char text[256];
        snprintf(
            text, sizeof text,
            "SELECT count(*),sum(id),sum(n),sum(id*n) FROM item WHERE owner=%u OR owner IN (SELECT other FROM stands WHERE user=%u)",
            i % USERS, i % USERS);
        assert_string_equal(holding_sql(&c[i].holds, "SELECT count(*),sum(id),sum(n),sum(id*n) FROM item"), sql(&w.v, text));
        assert_string_equal(holding_sql(&c[i].holds, "SELECT count(b) FROM item"), "0");
        holding_close(&c[i].holds);
    }
    hub_close(w.h);
    serving_fini(&w.v);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(views_that_change_under_threads_end_in_what_each_may_hold)};
    return cmocka_run_group_tests_name("hub_view_threads", tests, NULL, NULL);
}
