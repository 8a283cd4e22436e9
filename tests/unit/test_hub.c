/* The conversation, as the hub holds it with several devices at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/refusal.h"
#include "tests/unit/hub_fixture.h"

static void hello_of_a_new_device_gets_welcome_and_a_snapshot(void **state) {
    world *w = *state;
    link *l = dial(w, &w->phone, "phone");
    hello(w, l);
    settle(w);
    SAID(l, "welcome(snapshot)");
    assert_int_equal(l->welcome.head, 1);
    assert_int_equal(l->welcome.known_number, 0);
    assert_int_equal(l->welcome.now_ms, w->now_ms);
    pull(w, l, 4);
    settle(w);
    SAID(l, "snapshot(0 last)");
    assert_int_equal(l->snap.total_rows, 1);
    pull(w, l, 1);
    PUSH(l, 0, "~ item(1) a='two'");
    settle(w);
    SAID(l, "results(1:OK@2) page(1-2)");
    device_info d;
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    assert_string_equal(d.software, "test");
    assert_int_equal(d.last_seen_ms, w->now_ms);
}

static void hello_behind_in_schema_gets_the_migrations(void **state) {
    world *w = *state;
    link *l = dial(w, &w->phone, "phone");
    msg_hello m = make_hello(w, l);
    m.schema_epoch = 0;
    uint8_t digest[32];
    crypto_sha256("", 0, digest);
    memcpy(m.schema_hash, digest, 8);
    hello_as(w, l, &m);
    settle(w);
    SAID(l, "welcome(snapshot) schema(1)");
}

static void hello_with_another_schema_is_e_schema(void **state) {
    world *w = *state;
    for (int i = 0; i < 2; i++) {
        link *l = dial(w, &w->phone, "phone");
        msg_hello m = make_hello(w, l);
        if (i)
            m.schema_hash[0] ^= 1;
        else
            m.schema_epoch = 2;
        hello_as(w, l, &m);
        settle(w);
        SAID(l, "error(E_SCHEMA) closed");
    }
}

static void hello_of_another_version_is_e_version(void **state) {
    world *w = *state;
    link *l = dial(w, &w->phone, "phone");
    static const uint8_t bytes[] = {0x82, 0x01, 0x02};
    hub_receive(w->h, l->session, bytes, sizeof bytes);
    settle(w);
    SAID(l, "error(E_VERSION) closed");
}

static void connect_of_an_unknown_or_revoked_key_is_told_so(void **state) {
    world *w = *state;
    link *l = dial(w, &w->phone, "stranger");
    settle(w);
    SAID(l, "error(E_CERTIFICATE) closed");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_move(w->v.s, w->phone.a.device, DEVICE_REVOKED, 1), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    link *p = dial(w, &w->phone, "phone");
    hello(w, p);
    settle(w);
    SAID(p, "error(E_REVOKED) closed");
}

static void drop_device_closes_its_sessions_alone(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    hub_drop_device(w->h, w->phone.a.device, SATCHEL_E_REVOKED);
    PUSH(a, 0, "~ item(1) a='late'");
    settle(w);
    SAID(a, "error(E_REVOKED) closed");
    SAID(b, "");
    assert_string_equal(sql(&w->v, "SELECT a FROM item"), "one");
}

static void N5_results_come_before_the_page_that_reaches_them(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    PUSH(a, 0, "~ item(1) n+=1", "~ item(1) n+=1", "~ item(1) n+=2000");
    settle(w);
    SAID(a, "results(1:OK@2,2:OK@3,3:E_CHECK) page(1-3)");
    SAID(b, "page(1-3)");
    assert_non_null(strstr(w->log, "w phone: "));
    assert_non_null(strstr(w->log, "event=refused txn=3 reason=E_CHECK"));
}

static void N5_welcome_is_followed_by_the_results_that_the_device_lacks(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1", "~ item(1) n+=2000", "~ item(1) n+=1");
    while (hub_write_step(w->h)) continue;
    hub_disconnect(w->h, a->session);
    link *b = dial(w, &w->phone, "phone");
    b->cursor = 1;
    b->settled = 1;
    hello(w, b);
    settle(w);
    SAID(b, "welcome results(2:E_CHECK,3:OK@3)");
    assert_int_equal(b->welcome.known_number, 3);
}

static void N5_snapshot_waits_for_the_results_of_its_seq(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    hello(w, a);
    settle(w);
    said(a);
    pull(w, a, 4);
    PUSH(a, 0, "~ item(1) a='x'");
    /* The reader comes first, and again and again: whatever it finds, no page stands before the result. */
    for (int i = 0; i < 3; i++) hub_read_step(w->h, 0);
    settle(w);
    drain(w);
    const char *text = said(a);
    assert_non_null(strstr(text, "results(1:OK@2)"));
    assert_true(!strstr(text, "-2)") || strstr(text, "results") < strstr(text, "-2)"));
}

/* What an older connection of the same file says arrives after a newer one's: it is of before, and no sign of an older copy. */
static void N3_late_hello_of_an_older_connection_is_superseded(void **state) {
    world *w = *state;
    link *late = dial(w, &w->phone, "phone"), *again = dial(w, &w->phone, "phone"), *asked = dial(w, &w->phone, "phone");
    msg_hello before = make_hello(w, late);
    link *fresh = online(w, &w->phone, "phone");
    PUSH(fresh, 0, "~ item(1) n+=1");
    settle(w);
    hello_as(w, late, &before);
    settle(w);
    SAID(late, "error(E_SUPERSEDED later) closed");
    SAID(fresh, "results(1:OK@2) page(1-2)");
    /* Also when the newer one is over. */
    hub_disconnect(w->h, fresh->session);
    hello_as(w, again, &before);
    settle(w);
    SAID(again, "error(E_SUPERSEDED later) closed");
    assert_string_equal(sql(&w->v, "SELECT max(incarnation) FROM satchel_author"), "1");
    /* A file that is a copy and asks for an incarnation does so on a later connection. */
    before.incarnation = 0;
    hello_as(w, asked, &before);
    settle(w);
    SAID(asked, "error(E_SUPERSEDED later) closed");
    before.incarnation = 1;
    /* An older copy that connects later is one. */
    link *copy = dial(w, &w->phone, "phone");
    hello_as(w, copy, &before);
    settle(w);
    SAID(copy, "forked(2 from 1)");
}

static void N5_newer_connection_ends_the_older_one(void **state) {
    world *w = *state;
    link *old = online(w, &w->phone, "phone");
    link *fresh = dial(w, &w->phone, "phone");
    fresh->cursor = 1;
    hello(w, fresh);
    PUSH(old, 0, "~ item(1) n+=1");
    settle(w);
    SAID(old, "error(E_SUPERSEDED later) closed");
    SAID(fresh, "welcome");
    assert_string_equal(sql(&w->v, "SELECT n FROM item"), "0");
    w->phone.number--;
    pull(w, fresh, 4);
    PUSH(fresh, 0, "~ item(1) n+=1");
    settle(w);
    SAID(fresh, "results(1:OK@2) page(1-2)");
}

static void push_again_gets_the_stored_result(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    said(a);
    w->phone.number--;
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "results(1:OK@2)");
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_int_equal(st.txns_accepted, 1);
    assert_int_equal(st.txns_repeated, 1);
    assert_int_equal(st.seq, 2);
    assert_string_equal(sql(&w->v, "SELECT n FROM item"), "1");
}

static void N3_fork_by_another_id_loses_nothing_and_ends_nothing(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    said(a);
    device copy = w->phone;
    copy.number = 0;
    copy.ids += 1 << 20;
    a->d = &copy;
    a->cursor = 1;
    /* Behind the push that forks others are on their way; they are passed over. */
    PUSH(a, 0, "~ item(1) n+=10");
    PUSH(a, 0, "~ item(1) n+=100");
    settle(w);
    SAID(a, "forked(2 from 1)");
    pull(w, a, 2);
    PUSH(a, 0, "~ item(1) n+=100");
    settle(w);
    SAID(a, "");
    a->incarnation = 2;
    copy.number = 0;
    hello(w, a);
    settle(w);
    SAID(a, "welcome");
    PUSH(a, 0, "~ item(1) n+=10", "~ item(1) n+=100");
    pull(w, a, 4);
    settle(w);
    SAID(a, "results(1:OK@3,2:OK@4) page(1-4)");
    assert_string_equal(sql(&w->v, "SELECT n FROM item"), "111");
    assert_non_null(strstr(w->log, "restored or cloned"));
    assert_non_null(strstr(w->log, "event=forked"));
}

static void N3_hello_of_an_older_copy_is_a_fork(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    w->phone.number = 0;
    link *b = dial(w, &w->phone, "phone");
    b->cursor = 1;
    hello(w, b);
    settle(w);
    SAID(b, "forked(2 from 1)");
    b->incarnation = 2;
    hello(w, b);
    settle(w);
    SAID(b, "welcome");
}

/* Refusals stay when results are pruned: of the newest that is kept the device must see whether it is its own. */
static void N3_welcome_names_the_newest_result_that_is_kept(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "~ item(99) n+=1");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    sql_exec(&w->v, "DELETE FROM satchel_result WHERE rc=0");
    link *b = dial(w, &w->phone, "phone");
    b->cursor = 1;
    hello(w, b);
    settle(w);
    assert_int_equal(b->welcome.known_number, 1);
    assert_true(b->welcome.has_known_id);
}

static void N3_hello_without_an_incarnation_gets_one(void **state) {
    world *w = *state;
    online(w, &w->phone, "phone");
    link *b = dial(w, &w->phone, "phone");
    b->cursor = 1;
    b->incarnation = 0;
    hello(w, b);
    settle(w);
    SAID(b, "forked(2 from 1)");
    b->incarnation = 2;
    hello(w, b);
    settle(w);
    SAID(b, "welcome");
}

static void N3_hello_without_an_incarnation_is_answered_once(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    a->incarnation = 0;
    hello(w, a);
    hello(w, a);
    settle(w);
    SAID(a, "forked(2 from 1) error(E_ORDER) closed");
    sql_exec(&w->v, "INSERT INTO satchel_author(device,incarnation) SELECT DISTINCT device,10000 FROM satchel_author");
    link *b = dial(w, &w->phone, "phone");
    b->incarnation = 0;
    hello(w, b);
    settle(w);
    SAID(b, "error(E_LIMIT) closed");
}

static void pull_keeps_its_credit_at_the_head(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    for (int i = 0; i < 10; i++) {
        PUSH(a, i, "~ item(1) n+=1");
        settle(w);
    }
    /* Eight pages were asked for. */
    assert_int_equal(b->pages, 8);
    assert_int_equal(b->cursor, 9);
    pull(w, b, 1);
    settle(w);
    assert_int_equal(b->cursor, 11);
    hub_stats st;
    hub_get_stats(w->h, &st);
    assert_true(st.page_cache_hits >= 7);
}

static void commit_reaches_all_who_wait_at_the_head_in_one_read_step(void **state) {
    world *w = *state;
    link *phone = online(w, &w->phone, "phone"), *tablet = online(w, &w->tablet, "tablet");
    /* More credit at the head is no work for a reader. */
    pull(w, phone, 1);
    assert_false(hub_read_step(w->h, 0));
    said(phone);
    said(tablet);
    PUSH(tablet, 0, "~ item(1) a='two'");
    assert_true(hub_write_step(w->h));
    assert_true(hub_read_step(w->h, 0));
    assert_false(hub_read_step(w->h, 1));
    drain(w);
    SAID(phone, "page(1-2)");
    SAID(tablet, "results(1:OK@2) page(1-2)");
    hub_stats stats;
    hub_get_stats(w->h, &stats);
    assert_int_equal(stats.reader_queue, 0);
    assert_int_equal(stats.page_cache_hits, 1);
}

static void pull_beyond_the_limits_or_the_head_closes(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    pull(w, a, LIMIT_PULL_CREDIT - 7);
    settle(w);
    SAID(a, "error(E_LIMIT) closed");
    a = online(w, &w->phone, "phone");
    a->cursor = 99;
    pull(w, a, 1);
    settle(w);
    SAID(a, "error(E_ORDER) closed");
    a = dial(w, &w->phone, "phone");
    pull(w, a, 1);
    settle(w);
    SAID(a, "error(E_ORDER) closed");
}

static void pull_in_a_compressed_frame_is_a_pull(void **state) {
    world *w = *state;
    link *a = dial(w, &w->phone, "phone");
    a->cursor = 1;
    hello(w, a);
    settle(w);
    said(a);
    /* zstd, one raw block: magic, single segment with a content size of 5, block header, then [6, 1, 1, 0]. */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x05, 0x29, 0x00, 0x00, 0x84, 0x06, 0x01, 0x01, 0x00};
    hub_receive(w->h, a->session, frame, sizeof frame);
    /* The refusal makes the writer take the whole group again; the credit counts once. */
    PUSH(a, 0, "~ item(1) n+=1", "~ item(1) n+=2000");
    settle(w);
    SAID(a, "results(1:OK@2,2:E_CHECK) page(1-2)");
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    SAID(a, "results(3:OK@3)");
}

static void pull_acknowledges_for_pruning_once_the_device_has_caught_up(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    hub_disconnect(w->h, a->session);
    a = dial(w, &w->phone, "phone");
    a->cursor = 1;
    a->pending = 1;
    w->phone.number = 1;
    hello(w, a);
    settle(w);
    link *b = online(w, &w->tablet, "tablet");
    PUSH(b, 0, "~ item(1) n+=1");
    settle(w);
    pull(w, a, 2);
    settle(w);
    pull(w, a, 1);
    w->now_ms += 5000;
    PUSH(b, 0, "~ item(1) n+=1");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT acked_seq FROM satchel_device WHERE name='phone'"), "1");
    w->phone.number = 0;
    PUSH(a, 0, "~ item(1) n+=1");
    settle(w);
    pull(w, a, 1);
    w->now_ms += 5000;
    PUSH(b, 0, "~ item(1) n+=1");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT acked_seq FROM satchel_device WHERE name='phone'"), "4");
}

static void what_waits_and_what_it_holds_are_kept_as_hello_told_it(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    hub_disconnect(w->h, a->session);
    a = dial(w, &w->phone, "phone");
    a->cursor = 1;
    msg_hello m = make_hello(w, a);
    m.pending = m.last_number = 1;
    m.nwaiting = 1;
    m.waiting[0] = (table_waiting){.table = 1, .changes = 2};
    m.held_bytes = 300;
    m.room_bytes = 900;
    hello_as(w, a, &m);
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT pending||waiting FROM satchel_device WHERE name='phone'"),
                        "1[{\"table\":\"item\",\"changes\":2}]");
    assert_string_equal(sql(&w->v, "SELECT held_bytes||' of '||room_bytes FROM satchel_device WHERE name='phone'"), "300 of 900");
    assert_int_equal(strtoull(sql(&w->v, "SELECT told_ms FROM satchel_device WHERE name='phone'"), NULL, 10), w->now_ms);
    hub_disconnect(w->h, a->session);
    a = dial(w, &w->phone, "phone");
    a->cursor = 1;
    a->pending = 1;
    hello(w, a);
    settle(w);
    assert_string_equal(
        sql(&w->v, "SELECT pending||waiting IS NULL AND held_bytes||room_bytes IS NULL FROM satchel_device WHERE name='phone'"),
        "1");
}

static void losses_reach_the_loser_at_once_or_at_its_next_hello(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    a->cursor = b->cursor = 1;
    PUSH(a, 0, "~ item(1) a='first'");
    settle(w);
    b->cursor = 1;
    SAID(a, "results(1:OK@2) page(1-2)");
    said(b);
    push_writer p;
    buf out;
    buf_init(&out, 0);
    push_begin(&p, 1);
    push_txn t = make_txn(&w->tablet, 1, 3605);
    put_txn(w, &p, &t, "~ item(1) a='second'");
    assert_int_equal(push_finish(&p, &out), SATCHEL_OK);
    b->cursor = 2;
    send_message(w, b, &out, true);
    settle(w);
    SAID(b, "results(1:OK@3) page(2-3)");
    SAID(a, "losses('second'>'first' 1) page(2-3)");
    hub_disconnect(w->h, a->session);
    link *c = dial(w, &w->phone, "phone");
    c->cursor = 3;
    c->settled = 1;
    hello(w, c);
    settle(w);
    SAID(c, "welcome losses('second'>'first' 1)");
    assert_int_equal(c->told, 1);
    hub_disconnect(w->h, c->session);
    c->closed = true;
    link *d = dial(w, &w->phone, "phone");
    d->cursor = 3;
    d->settled = 1;
    d->loss_cursor = c->loss_cursor;
    hello(w, d);
    settle(w);
    SAID(d, "welcome");
    assert_int_equal(d->told, 1);
}

/* Its hello is answered in the same commit, and that answer was made before. */
static void loss_in_the_commit_of_its_hello_reaches_the_loser_at_once(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    uint64_t base = b->cursor;
    PUSH(a, 0, "~ item(1) a='first'");
    settle(w);
    hub_disconnect(w->h, a->session);
    a->closed = true;
    link *c = dial(w, &w->phone, "phone");
    c->cursor = a->cursor;
    c->settled = 1;
    uint64_t at = b->cursor;
    hello(w, c);
    b->cursor = base;
    PUSH(b, 5, "~ item(1) a='second'");
    b->cursor = at;
    assert_true(hub_write_step(w->h));
    drain(w);
    SAID(c, "welcome losses('second'>'first' 1)");
    assert_int_equal(c->told, 1);
}

static void losses_in_great_number_come_in_batches_as_they_are_sent(void **state) {
    world *w = *state;
    char text[256];
    snprintf(
        text, sizeof text,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO satchel_conflict(seq,at_ms,tbl,key,col,rule,lost,lost_author)"
        " SELECT 1,1,1,x'010000000000000001',2,0,x'03026869',%u FROM n",
        w->phone.a.author);
    sql_exec(&w->v, text);
    link *a = dial(w, &w->phone, "phone");
    a->cursor = 1;
    hello(w, a);
    while (hub_write_step(w->h)) continue;
    drain(w);
    assert_int_equal(a->loss_cursor, 8 * LIMIT_LOSSES);
    assert_int_equal(a->told, 0);
    settle(w);
    assert_int_equal(a->loss_cursor, 5000);
    assert_int_equal(a->told, 1);
}

static void resolve_settles_a_refusal(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "+ item(2) n=5000", "~ item(2) a='x'");
    settle(w);
    SAID(a, "results(1:E_CHECK,2:E_DEPENDS)");
    msg_resolve m = {.number = 1, .action = 1};
    buf out;
    buf_init(&out, 0);
    assert_int_equal(resolve_encode(&m, &out), SATCHEL_OK);
    send_message(w, a, &out, false);
    settle(w);
    SAID(a, "");
    assert_string_equal(sql(&w->v, "SELECT number,state FROM satchel_refused"), "1|discarded ; 2|open");
    PUSH(a, 0, "~ item(2) a='x'");
    settle(w);
    SAID(a, "results(3:E_DEPENDS)");
}

/* A job of the admin's. */
static int discard_first(hub_job *job, store *s, ingest *g, uint64_t now_ms) {
    int64_t author;
    (void)job, (void)g;
    int rc = refusal_find(s, "phone", 1, NULL, &author);
    return rc ? rc : refusal_discard(s, author, 1, now_ms);
}

static void N6_refusal_that_an_admin_settled_is_told_until_the_device_says_that_it_knows(void **state) {
    world *w = *state;
    static const char *const TOLD[] = {"welcome(snapshot) results(1:E_RESOLVED)",
                                       "welcome(snapshot) results(2:E_CHECK) results(1:E_RESOLVED)",
                                       "welcome(snapshot) results(1:E_CHECK,2:E_CHECK) results(1:E_RESOLVED)"};
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    PUSH(a, 0, "+ item(2) n=5000", "+ item(3) n=5000");
    settle(w);
    SAID(a, "results(1:E_CHECK,2:E_CHECK)");
    test_job j = {.job = {.run = discard_first, .done = done_job}, .got = 1};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
    SAID(a, "results(1:E_RESOLVED)");
    SAID(b, "");
    /* It was lost on the way. The device knows what became of its numbers; or it does not know that either. */
    for (unsigned back = 0; back <= 2; back++) {
        a = dial(w, &w->phone, "phone");
        msg_hello m = make_hello(w, a);
        m.last_number = 2;
        m.settled_number = 2 - back;
        hello_as(w, a, &m);
        settle(w);
        SAID(a, TOLD[back]);
    }
    msg_resolve resolve = {.number = 1, .action = 1};
    buf out;
    buf_init(&out, 0);
    assert_int_equal(resolve_encode(&resolve, &out), SATCHEL_OK);
    send_message(w, a, &out, false);
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT number,state,untold FROM satchel_refused"), "1|discarded|2 ; 2|open|0");
    j.got = 1;
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_E_RESOLVED);
    SAID(a, "");
    /* Who comes from another past has it open again (N7), and says so until it has heard; others do not hear of it again. */
    static const char *const KNOWN[] = {"welcome(snapshot) results(1:E_CHECK,2:E_CHECK) results(1:E_RESOLVED)",
                                        "welcome(snapshot) results(1:E_CHECK,2:E_CHECK) results(1:E_RESOLVED)",
                                        "welcome(snapshot)"};
    for (unsigned i = 0; i < 3; i++) {
        a = dial(w, &w->phone, "phone");
        msg_hello m = make_hello(w, a);
        m.last_number = 2;
        m.settled_number = i == 1 ? 0 : 2;
        m.has_epoch = i == 0;
        memset(m.epoch, 7, sizeof m.epoch);
        hello_as(w, a, &m);
        settle(w);
        SAID(a, KNOWN[i]);
    }
}

/* A copy of the file settles it too, having it in common; the file that it was told to has not heard of the admin by that. */
static void N6_refusal_that_an_admin_settled_is_told_though_a_copy_says_that_it_knows(void **state) {
    world *w = *state;
    device copy = w->phone;
    link *a = online(w, &w->phone, "phone"), *b = dial(w, &copy, "phone");
    PUSH(a, 0, "+ item(2) n=5000");
    settle(w);
    SAID(a, "results(1:E_CHECK)");
    hub_disconnect(w->h, a->session);
    copy.number = b->settled = 1;
    b->incarnation = 0;
    hello(w, b);
    settle(w);
    SAID(b, "forked(2 from 2)");
    b->incarnation = 2;
    hello(w, b);
    test_job j = {.job = {.run = discard_first, .done = done_job}, .got = 1};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
    msg_resolve resolve = {.number = 1, .action = 1};
    buf out;
    buf_init(&out, 0);
    assert_int_equal(resolve_encode(&resolve, &out), SATCHEL_OK);
    send_message(w, b, &out, false);
    settle(w);
    SAID(b, "welcome(snapshot)");
    a = dial(w, &w->phone, "phone");
    a->settled = 1;
    hello(w, a);
    settle(w);
    SAID(a, "welcome(snapshot) results(1:E_RESOLVED)");
}

/* The writer takes both at once: what the admin did is told after the welcome that does not know of it. */
static void N6_refusal_that_an_admin_settles_while_the_device_says_hello_is_told_at_once(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, "+ item(2) n=5000");
    settle(w);
    SAID(a, "results(1:E_CHECK)");
    a = dial(w, &w->phone, "phone");
    msg_hello m = make_hello(w, a);
    m.last_number = m.settled_number = 1;
    hello_as(w, a, &m);
    test_job j = {.job = {.run = discard_first, .done = done_job}, .got = 1};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
    SAID(a, "welcome(snapshot) results(1:E_RESOLVED)");
}

static void write_once(world *w) {
    assert_true(hub_write_step(w->h));
    drain(w);
}

/* What weighs much. Valid until the next call. */
static const char *many_rows(int from) {
    static char words[40000];
    size_t n = 0;
    for (int i = from; i < from + 200; i++) n += (size_t)snprintf(words + n, sizeof words - n, "+ item(%d) a='%0120d';", i, i);
    return words;
}

static void push_that_weighs_much_is_passed_by_light_ones_once_and_keeps_its_order(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    PUSH(a, 0, many_rows(100));
    PUSH(a, 0, "~ item(100) n+=1");
    PUSH(b, 0, "~ item(1) n+=10");
    write_once(w);
    SAID(a, "");
    SAID(b, "results(1:OK@2)");
    /* Nor is it passed by again, however much the others have to say. What comes after it on its connection waits for it. */
    PUSH(b, 0, "~ item(1) n+=10");
    write_once(w);
    SAID(a, "results(1:OK@3) results(2:OK@4)");
    SAID(b, "results(2:OK@5)");
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id IN (1,100)"), "20 ; 1");
}

static void pushes_that_all_weigh_much_share_a_commit(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone"), *b = online(w, &w->tablet, "tablet");
    PUSH(a, 0, many_rows(100));
    PUSH(a, 0, many_rows(300));
    PUSH(b, 0, many_rows(500));
    write_once(w);
    SAID(a, "results(1:OK@2) results(2:OK@3)");
    SAID(b, "results(1:OK@4)");
}

static void hello_does_not_pass_what_weighs_much(void **state) {
    world *w = *state;
    link *a = online(w, &w->phone, "phone");
    PUSH(a, 0, many_rows(100));
    link *c = dial(w, &w->phone, "phone");
    hello(w, c);
    settle(w);
    /* The older connection was heard to its end before the newer one ended it. */
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM item"), "201");
    assert_int_equal(c->welcome.known_number, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(hello_of_a_new_device_gets_welcome_and_a_snapshot),
        TEST(hello_behind_in_schema_gets_the_migrations),
        TEST(hello_with_another_schema_is_e_schema),
        TEST(hello_of_another_version_is_e_version),
        TEST(connect_of_an_unknown_or_revoked_key_is_told_so),
        TEST(drop_device_closes_its_sessions_alone),
        TEST(N5_results_come_before_the_page_that_reaches_them),
        TEST(N5_welcome_is_followed_by_the_results_that_the_device_lacks),
        TEST(N5_snapshot_waits_for_the_results_of_its_seq),
        TEST(N5_newer_connection_ends_the_older_one),
        TEST(push_that_weighs_much_is_passed_by_light_ones_once_and_keeps_its_order),
        TEST(pushes_that_all_weigh_much_share_a_commit),
        TEST(hello_does_not_pass_what_weighs_much),
        TEST(push_again_gets_the_stored_result),
        TEST(N3_fork_by_another_id_loses_nothing_and_ends_nothing),
        TEST(N3_hello_of_an_older_copy_is_a_fork),
        TEST(N3_late_hello_of_an_older_connection_is_superseded),
        TEST(N3_welcome_names_the_newest_result_that_is_kept),
        TEST(N3_hello_without_an_incarnation_gets_one),
        TEST(N3_hello_without_an_incarnation_is_answered_once),
        TEST(pull_keeps_its_credit_at_the_head),
        TEST(commit_reaches_all_who_wait_at_the_head_in_one_read_step),
        TEST(pull_beyond_the_limits_or_the_head_closes),
        TEST(pull_in_a_compressed_frame_is_a_pull),
        TEST(pull_acknowledges_for_pruning_once_the_device_has_caught_up),
        TEST(what_waits_and_what_it_holds_are_kept_as_hello_told_it),
        TEST(losses_reach_the_loser_at_once_or_at_its_next_hello),
        TEST(loss_in_the_commit_of_its_hello_reaches_the_loser_at_once),
        TEST(losses_in_great_number_come_in_batches_as_they_are_sent),
        TEST(resolve_settles_a_refusal),
        TEST(N6_refusal_that_an_admin_settled_is_told_until_the_device_says_that_it_knows),
        TEST(N6_refusal_that_an_admin_settled_is_told_though_a_copy_says_that_it_knows),
        TEST(N6_refusal_that_an_admin_settles_while_the_device_says_hello_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
