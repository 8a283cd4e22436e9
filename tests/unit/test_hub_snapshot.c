/* Snapshots: shared, resumed, begun anew; devices whose past is not this store's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"
#include "tests/unit/hub_fixture.h"

static void fill(world *w, int rows) {
    test_job fill = {.job = {.run = run_job, .done = done_job}, .got = 1};
    char text[256];
    snprintf(
        text, sizeof text,
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO item(id,b) SELECT i,randomblob(500) FROM n;",
        rows + 99);
    fill.text = text;
    assert_true(hub_submit(w->h, &fill.job));
    settle(w);
    assert_int_equal(fill.got, SATCHEL_OK);
}

static void snapshot_is_shared_and_resumed_at_a_page(void **state) {
    world *w = *state;
    fill(w, 4000);
    link *a = dial(w, &w->phone, "phone"), *b = dial(w, &w->tablet, "tablet");
    hello(w, a);
    hello(w, b);
    settle(w);
    pull(w, a, 16);
    pull(w, b, 3);
    settle(w);
    assert_int_equal(a->cursor, 2);
    assert_int_equal(b->snapshot_page, 3);
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_int_equal(st.snapshots_built, 1);
    hub_disconnect(w->h, b->session);
    link *c = dial(w, &w->tablet, "tablet");
    c->snapshot = b->snapshot;
    c->snapshot_page = b->snapshot_page;
    hello(w, c);
    settle(w);
    pull(w, c, 16);
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    assert_int_equal(c->cursor, 3);
    assert_int_equal(c->pages, a->pages - 3);
    hub_get_stats(w->h, &st);
    assert_int_equal(st.snapshots_built, 1);
}

static void snapshot_that_is_gone_begins_anew(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    a->snapshot = 4711;
    a->snapshot_page = 5;
    hello(w, a);
    settle(w);
    pull(w, a, 16);
    settle(w);
    SAID(a, "welcome(snapshot) snapshot(0 last)");
}

static void device_of_a_cut_timeline_gets_a_snapshot_and_may_name_its_old_cursor(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    a->cursor = 500;
    msg_hello m = make_hello(w, a);
    m.epoch[0] ^= 1;
    hello_as(w, a, &m);
    settle(w);
    SAID(a, "welcome(snapshot)");
    pull(w, a, 2);
    settle(w);
    SAID(a, "snapshot(0 last)");
    /* The same epoch and ahead of the store: that store was put back without saying so. */
    link *b = dial(w, &w->tablet, "tablet");
    b->cursor = 500;
    hello(w, b);
    settle(w);
    SAID(b, "error(E_ORDER) closed");
    assert_non_null(strstr(w->log, "--restored"));
}

static void snapshot_made_after_the_clock_was_set_back_is_not_taken_for_the_oldest(void **state) {
    world *w = *state;
    for (unsigned i = 0; i < 4; i++) {
        server(w, "UPDATE item SET n=n+1");
        if (i == 3) w->now_ms -= UINT64_C(86400000) * 3650;
        /* Another epoch's device gets one that is no older than its cursor. */
        link *a = dial(w, &w->tablet, "tablet");
        a->cursor = store_where(w->v.s).seq;
        msg_hello m = make_hello(w, a);
        m.epoch[0] ^= 1;
        hello_as(w, a, &m);
        settle(w);
        pull(w, a, 16);
        settle(w);
        SAID(a, "welcome(snapshot) snapshot(0 last)");
        hub_disconnect(w->h, a->session);
    }
}

/* The device's epoch is one that this store was put back behind; it remembers one that the store knows. */
static void N7_unknown_epoch_shares_what_a_known_one_before_it_does(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    a->cursor = 500;
    msg_hello m = make_hello(w, a);
    m.npast = 2;
    memcpy(m.past[1].epoch, m.epoch, EPOCH_BYTES);
    m.past[1].seq = 2;
    m.past[0].seq = 3;
    m.epoch[0] ^= 1;
    hello_as(w, a, &m);
    settle(w);
    SAID(a, "welcome(snapshot)");
    assert_int_equal(a->welcome.epoch_start, 2);
}

/* The store was put back to a commit, long ago or now. */
static void put_back(world *w, uint64_t seq) {
    char text[128];
    hub_close(w->h);
    w->h = NULL;
    snprintf(text, sizeof text, "INSERT INTO satchel_epoch(n,epoch,start_seq,at_ms) VALUES(2,x'0102030405060708',%llu,0)",
             (unsigned long long)seq);
    sql_exec(&w->v, text);
    serving_reopen(&w->v);
    ingest_free(w->v.g);
    w->v.g = NULL;
    reopen_hub(w);
}

/* Of a device that has begun a snapshot of `epoch`, and has not all of it. */
static void hello_amid_a_snapshot(world *w, link *l, const uint8_t epoch[EPOCH_BYTES]) {
    msg_hello m = make_hello(w, l);
    m.has_epoch = false;
    m.npast = 1;
    memcpy(m.past[0].epoch, epoch, EPOCH_BYTES);
    m.past[0].seq = INT64_MAX;
    hello_as(w, l, &m);
    settle(w);
}

/* The backup was made before the first commit, so all losses that devices ever heard of are of the past. */
static void N7_losses_of_who_is_amid_a_snapshot_begin_anew_with_a_store_put_back_to_its_beginning(void **state) {
    world *w = *state;
    store_position before = store_where(w->v.s);
    put_back(w, 0);
    link *b = online(w, &w->tablet, "tablet"), *a = dial(w, &w->phone, "phone");
    b->cursor = 1;
    a->loss_cursor = 5;
    hello_amid_a_snapshot(w, a, before.epoch);
    SAID(a, "welcome(snapshot)");
    PUSH(b, 5, "~ item(1) a='second'");
    settle(w);
    PUSH(a, 0, "~ item(1) a='first'");
    settle(w);
    SAID(a, "results(1:OK@3) losses('second'>'first' 1)");
}

/* It has been in this epoch before: what its file has written since it was copied is its own, though the log has gone on. */
static void N3_copy_amid_a_snapshot_of_a_store_that_was_once_put_back_shares_no_more_than_before(void **state) {
    world *w = *state;
    device copy = w->phone;
    copy.ids ^= 77;
    put_back(w, 1);
    link *b = dial(w, &copy, "phone");
    b->incarnation = 0;
    hello(w, b);
    settle(w);
    SAID(b, "forked(2 from 1)");
    b->incarnation = 2;
    b->cursor = 1;
    hello(w, b);
    PUSH(b, 0, "+ item(2)", "+ item(3)");
    settle(w);
    SAID(b, "welcome results(1:OK@2,2:OK@3)");
    link *a = online(w, &w->phone, "phone");
    w->v.s->committed.floor = 3;
    hub_disconnect(w->h, a->session);
    a = dial(w, &w->phone, "phone");
    a->d->number = a->pending = 1;
    a->cursor = 1;
    hello_amid_a_snapshot(w, a, store_where(w->v.s).epoch);
    SAID(a, "welcome(snapshot)");
    a->d->number = 0;
    PUSH(a, 0, "~ item(1) a='mine'");
    settle(w);
    SAID(a, "results(1:OK@4)");
}

static void pruned_log_sends_a_slow_session_away_for_a_snapshot(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    hub_disconnect(w->h, b->session);
    b = dial(w, &w->tablet, "tablet");
    b->cursor = 1;
    hello(w, b);
    settle(w);
    said(b);
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    sql_exec(&w->v, "UPDATE satchel_device SET acked_seq=3");
    w->now_ms += UINT64_C(2000000000);
    hub_write_step(w->h);
    settle(w);
    assert_int_equal(store_where(w->v.s).floor, 3);
    pull(w, b, 4);
    settle(w);
    SAID(b, "error(E_CLOSED later) closed");
    b = dial(w, &w->tablet, "tablet");
    b->cursor = 1;
    hello(w, b);
    settle(w);
    SAID(b, "welcome(snapshot)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(snapshot_is_shared_and_resumed_at_a_page),
        TEST(snapshot_that_is_gone_begins_anew),
        TEST(device_of_a_cut_timeline_gets_a_snapshot_and_may_name_its_old_cursor),
        TEST(snapshot_made_after_the_clock_was_set_back_is_not_taken_for_the_oldest),
        TEST(N7_unknown_epoch_shares_what_a_known_one_before_it_does),
        TEST(N7_losses_of_who_is_amid_a_snapshot_begin_anew_with_a_store_put_back_to_its_beginning),
        TEST(N3_copy_amid_a_snapshot_of_a_store_that_was_once_put_back_shares_no_more_than_before),
        TEST(pruned_log_sends_a_slow_session_away_for_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
