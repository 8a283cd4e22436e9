/* Devices that say what they should not or do not listen, stores that fail, and jobs of the admin among the pushes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/disk_log.h"
#include "tests/unit/hub_fixture.h"

/* ---- bad input ---- */

static void malformed_frame_closes_that_session_only(void **state) {
    world *w = *state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *words;
    } CASE[] = {
        {"\xff\xff", 2, "error(E_MALFORMED) closed"},
        {"", 0, "error(E_MALFORMED) closed"},
        {"\x28\xb5\x2f\xfd\x00", 5, "error(E_MALFORMED) closed"},
        {"\x82\x04\x01", 3, "error(E_MALFORMED) closed"}, /* a push with too few fields */
        {"\x83\x04\x18\x01\x80", 5, "error(E_NOT_DETERMINISTIC) closed"},
        {"\x84\x06\x01\x01", 4, "error(E_MALFORMED) closed"}, /* half a pull */
        {"\x82\x05\x80", 3, "error(E_ORDER) closed"},         /* results are the server's */
    };
    link *b = online(w, &w->tablet, "tablet");
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        link *a = online(w, &w->phone, "phone");
        w->log[0] = 0;
        hub_receive(w->h, a->session, CASE[i].bytes, CASE[i].n);
        hub_receive(w->h, a->session, "\x80", 1);
        settle(w);
        const char *text = said(a);
        if (strcmp(text, CASE[i].words)) fail_msg("case %u: %s", i, text);
        if (!strstr(w->log, "phone: closing:")) fail_msg("case %u: %s", i, w->log);
        hub_disconnect(w->h, a->session);
    }
    PUSH(b, 0, "~ item(1) n+=1");
    settle(w);
    SAID(b, "results(1:OK@2) page(1-2)");
}

static void malformed_delta_undoes_its_push_and_is_named(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    push_writer p;
    buf out;
    buf_init(&out, 0);
    push_begin(&p, 1);
    push_txn t = make_txn(&w->phone, 1, 0);
    put_txn(w, &p, &t, "~ item(1) n+=1");
    t = make_txn(&w->phone, 1, 0);
    t.schema_epoch = 1;
    t.delta = (const uint8_t *)"\x81\x85\x01\x09\x01\x80\x81\x01"; /* no such operation */
    t.ndelta = 8;
    push_put_txn(&p, &t);
    assert_int_equal(push_finish(&p, &out), SATCHEL_OK);
    send_message(w, a, &out, true);
    settle(w);
    SAID(a, "error(E_MALFORMED) closed");
    assert_string_equal(sql(&w->v, "SELECT n FROM item"), "0");
    assert_int_equal(store_where(w->v.s).seq, 1);
    /* The good half is taken when it comes again. */
    w->phone.number = 0;
    a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "results(1:OK@2) page(1-2)");
}

static void oversize_frame_or_too_much_unread_is_e_limit(void **state) {
    world *w = *state;
    uint8_t *big = calloc(1, LIMIT_FRAME_BYTES + 1);
    link *a = online(w, &w->phone, "phone");
    hub_receive(w->h, a->session, big, LIMIT_FRAME_BYTES + 1);
    settle(w);
    SAID(a, "error(E_LIMIT) closed");
    a = online(w, &w->phone, "phone");
    for (int i = 0; i < 5; i++) hub_receive(w->h, a->session, big, LIMIT_FRAME_BYTES);
    drain(w);
    SAID(a, "error(E_LIMIT) closed");
    /* Frames of nothing are counted too. */
    link *b = online(w, &w->tablet, "tablet");
    for (int i = 0; i < 200000; i++) hub_receive(w->h, b->session, big, 0);
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_true(st.writer_queue < 110000);
    free(big);
}

static void out_of_order_messages_are_e_order(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "error(E_ORDER) closed");
    a = online(w, &w->phone, "phone");
    hello(w, a);
    settle(w);
    SAID(a, "error(E_ORDER) closed");
    a = online(w, &w->phone, "phone");
    a->incarnation = 7;
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "error(E_ORDER) closed");
}

static void device_that_does_not_read_is_closed(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    push_writer p;
    buf frame, again;
    buf_init(&frame, LIMIT_MESSAGE_BYTES);
    /* Refusals with keys that do not compress, pushed again and again for their results. */
    push_begin(&p, 1);
    for (unsigned i = 0; i < 400; i++) {
        char words[2600];
        int n = snprintf(words, sizeof words, "~ long('");
        for (int k = 0; k < 2000; k++) words[n++] = (char)('0' + rand() % 64);
        for (char *c = words + 8; c < words + n; c++)
            if (*c == '\'') *c = '0';
        snprintf(words + n, sizeof words - (size_t)n, "') a='x'");
        push_txn t = make_txn(&w->phone, 1, 0);
        put_txn(w, &p, &t, words);
    }
    assert_int_equal(push_finish(&p, &frame), SATCHEL_OK);
    unsigned pushes = 0;
    for (w->log[0] = 0; pushes < 200 && !strstr(w->log, "does not read"); pushes++) {
        w->log[0] = 0;
        buf_init(&again, 0);
        buf_put(&again, frame.p, frame.n);
        send_message(w, a, &again, true);
        while (hub_write_step(w->h)) continue;
    }
    settle(w);
    assert_true(a->closed);
    assert_true(pushes > 8);
    buf_fini(&frame);
}

/* ---- disconnecting, failing ---- */

static void disconnect_in_the_middle_keeps_what_was_said(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    PUSH(a, 0, "~ item(1) n+=1");
    /* The writer has not read it yet. */
    hub_disconnect(w->h, a->session);
    settle(w);
    SAID(b, "page(1-2)");
    assert_string_equal(sql(&w->v, "SELECT n FROM item"), "1");
    a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1");
    while (hub_write_step(w->h)) continue;
    hub_disconnect(w->h, a->session);
    settle(w);
    SAID(b, "page(2-3)");
    hub_disconnect(w->h, a->session);
    hub_disconnect(w->h, 12345);
    hub_receive(w->h, a->session, "x", 1);
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_int_equal(st.sessions, 1);
    assert_int_equal(st.sessions_total, 3);
}

static void failing_store_tells_all_to_come_back_and_nothing_is_half_done(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet"), *c;
    char text[64];
    snprintf(text, sizeof text, "PRAGMA max_page_count=%s", sql(&w->v, "PRAGMA page_count"));
    sql_exec(&w->v, text);
    static char words[300000];
    size_t n = (size_t)snprintf(words, sizeof words, "~ item(1) n+=1;");
    /* Not so much that the others would go before it. */
    for (int i = 0; i < 150; i++) n += (size_t)snprintf(words + n, sizeof words - n, "+ item(%d) a='%050d';", 100 + i, i);
    PUSH(b, 0, "~ item(1) n+=10");
    PUSH(a, 0, words);
    c = dial(w, &w->phone, "phone");
    hello(w, c);
    settle(w);
    SAID(a, "error(E_FULL later) closed");
    SAID(b, "error(E_FULL later) closed");
    SAID(c, "error(E_FULL later) closed");
    assert_string_equal(sql(&w->v, "SELECT id,n FROM item"), "1|0");
    assert_string_equal(sql(&w->v, "SELECT (SELECT count(*) FROM satchel_result),(SELECT max(last_number) FROM satchel_author)"),
                        "0|0");
    assert_int_equal(store_where(w->v.s).seq, 1);
    assert_true(sqlite3_get_autocommit(store_db(w->v.s)));
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_false(st.writable);
    assert_int_equal(st.txns_accepted, 0);
    assert_int_equal(st.writer_queue, 0);
    assert_non_null(strstr(w->log, "cannot be written"));
    /* There is room again: everything goes on where it was. */
    sql_exec(&w->v, "PRAGMA max_page_count=1000000");
    w->phone.number = w->tablet.number = 0;
    a = online(w, &w->phone, "phone");
    b = online(w, &w->tablet, "tablet");
    PUSH(a, 0, words);
    PUSH(b, 0, "~ item(1) n+=10");
    settle(w);
    assert_non_null(strstr(said(a), "results(1:OK@2)"));
    assert_non_null(strstr(said(b), "results(1:OK@3)"));
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=1"), "11");
    hub_get_stats(w->h, &st);
    assert_true(st.writable);
}

/* ---- jobs ---- */

static void jobs_run_in_the_group_and_a_failing_one_is_undone_alone(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    test_job good = {.job = {.run = run_job, .done = done_job}, .got = 1, .text = "UPDATE item SET a='job';"};
    test_job bad = {
        .job = {.run = run_job, .done = done_job}, .answer = SATCHEL_E_NOT_FOUND, .got = 1, .text = "UPDATE item SET n=7;"};
    test_job own = {.job = {.run = run_job, .done = done_job, .own_transaction = true},
                    .got = 1,
                    .text = "INSERT INTO item(id) VALUES(8);INSERT INTO item(id) VALUES(9);"};
    assert_true(hub_submit(w->h, &good.job));
    assert_true(hub_submit(w->h, &bad.job));
    assert_true(hub_submit(w->h, &own.job));
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    assert_int_equal(good.got, SATCHEL_OK);
    assert_int_equal(bad.got, SATCHEL_E_NOT_FOUND);
    assert_int_equal(own.got, SATCHEL_OK);
    assert_string_equal(sql(&w->v, "SELECT id,a,n FROM item"), "1|job|1 ; 8|NULL|0 ; 9|NULL|0");
    SAID(a, "results(1:OK@3) page(1-5)");
    hub_stop(w->h);
    assert_false(hub_submit(w->h, &good.job));
}

/* Of what is kept for people to look at nothing may cost a device what it pushed. */
static void kept_connections_and_figures_that_cannot_be_written_cost_no_push(void **state) {
    world *w = *state;
    static const char *const FAULTS[] = {"satchel_sync", "satchel_sample", "satchel_alert_since"};
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) {
        char *fault = sqlite3_mprintf(
            "CREATE TEMP TRIGGER fault_%s BEFORE INSERT ON main.%s BEGIN SELECT RAISE(FAIL,'fault'); END", FAULTS[i], FAULTS[i]);
        assert_int_equal(sqlite3_exec(store_db(w->v.s), fault, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_free(fault);
    }
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    hub_disconnect(w->h, b->session);
    settle(w);
    w->now_ms += 3000; /* it is time to note that it has ended */
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "results(1:OK@2) page(1-2)");
    w->now_ms += 120000;
    settle(w);
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "results(2:OK@3) page(2-3)");
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_true(st.writable);
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM satchel_sync"), "0");
    /* When it can be written it is. */
    sqlite3_exec(store_db(w->v.s), "DROP TRIGGER fault_satchel_sync", NULL, NULL, NULL);
    w->now_ms += 3000;
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM satchel_sync"), "1");
}

/* A process before this one may have ended after a commit that the disk has not. */
static void N2_store_is_on_the_disk_before_anybody_is_served(void **state) {
    world *w = *state;
    disk_log_watch(w->v.path);
    sql_exec(&w->v, "UPDATE item SET a='two'"); /* not synced, here */
    assert_true(disk_log_missing() > 0);
    reopen_hub(w);
    assert_int_equal(disk_log_missing(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(N2_store_is_on_the_disk_before_anybody_is_served),
        TEST(malformed_frame_closes_that_session_only),
        TEST(malformed_delta_undoes_its_push_and_is_named),
        TEST(oversize_frame_or_too_much_unread_is_e_limit),
        TEST(out_of_order_messages_are_e_order),
        TEST(device_that_does_not_read_is_closed),
        TEST(disconnect_in_the_middle_keeps_what_was_said),
        TEST(failing_store_tells_all_to_come_back_and_nothing_is_half_done),
        TEST(kept_connections_and_figures_that_cannot_be_written_cost_no_push),
        TEST(jobs_run_in_the_group_and_a_failing_one_is_undone_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
