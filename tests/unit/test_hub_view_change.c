/* The way from one view to another: what it waits for, in parts, overtaken, by a snapshot; and what a device may say of the view that it comes with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/unit/hub_scoped.h"

/* The phone is welcomed, has room for pages, and two transactions wait on it. */
static link *come_with_two_to_send(world *w, const link *before) {
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = before->cursor;
    l->pending = 2;
    w->phone.number += 2;
    msg_hello m = make_hello(w, l);
    w->phone.number -= 2;
    hello_as(w, l, &m);
    settle(w);
    pull(w, l, 16);
    settle(w);
    SAID(l, "welcome");
    return l;
}

static void change_of_view_waits_for_what_the_device_has_to_send(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    link *l = come_with_two_to_send(w, p);
    PUSH(l, 0, "~ item(1) n+=1");
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    PUSH(l, 0, "~ item(3) n+=1");
    settle(w);
    HOLDS(&phone, "1|ann|2 2|bob|2 3|ann|4");
}

static void fill(world *w, const char *owner, int first, int n, int bytes) {
    char text[256];
    snprintf(text, sizeof text,
             "WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO item(id,a,b) SELECT"
             " i,'%s',randomblob(%d) FROM n;",
             first, first + n - 1, owner, bytes);
    server(w, text);
}

/* Rights at home alone: where the row lay when the device saw it. */
static void S3_edit_made_before_its_row_left_is_taken(void **state) {
    world *w = *state;
    publish(w, RULES_AND_RIGHTS("", "0"));
    link *p = connect_phone(w, NULL);
    uint64_t base = p->cursor;
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET a='bob' WHERE id=1");
    p = connect_phone(w, p);
    HOLDS(&phone, "3|ann|3");
    said(p);
    uint64_t here = p->cursor;
    p->cursor = base;
    PUSH(p, 0, "~ item(1) n+=5");
    p->cursor = here;
    settle(w);
    assert_non_null(strstr(said(p), "results(1:OK"));
    PUSH(p, 0, "~ item(1) n+=7");
    settle(w);
    assert_non_null(strstr(said(p), "results(2:E_SCOPE"));
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=1"), "6");
}

/* A device that has some parts of a large commit is moved on, and back: it is never given the rest without the beginning. */
static link *come_again(world *w, const link *before) {
    link *l = dial(w, &w->phone, "phone");
    l->cursor = before->cursor;
    hello(w, l);
    settle(w);
    return l;
}

static void S3_edit_made_before_the_first_rules_is_taken(void **state) {
    world *w = *state;
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    publish(w, RULES_AND_RIGHTS("", "0"));
    PUSH(come_again(w, p), 0, "~ item(4) n+=1");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=4"), "5");
}

static void S3_edit_made_before_the_device_had_a_profile_is_taken(void **state) {
    world *w = *state;
    give_profile(w, "phone", "NULL", "");
    publish(w, RULES_AND_RIGHTS("", "0"));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    give_profile(w, "phone", "'rep'", "ann");
    PUSH(come_again(w, p), 0, "~ item(4) n+=1");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=4"), "5");
}

static void change_of_view_in_the_middle_of_a_commit_in_parts_begins_anew(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    fill(w, "ann", 100, 3000, 500);
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = p->cursor;
    hello(w, l);
    settle(w);
    pull(w, l, 2);
    settle(w);
    assert_true(l->page.more);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    pull(w, l, 1);
    settle(w);
    assert_int_equal(l->page.part, 0);
    server(w, "DELETE FROM long");
    pull(w, l, 13);
    settle(w);
    assert_string_equal(holding_sql(&phone, "SELECT count(*),count(b) FROM item WHERE a='ann'"), "3002|3002");
    assert_string_equal(holding_sql(&phone, "SELECT count(*) FROM item"), "3002");
}

static void large_change_comes_in_parts_and_takes_effect_at_the_last(void **state) {
    world *w = *state;
    fill(w, "bob", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    p = dial(w, &w->phone, "phone");
    p->holds = &phone;
    p->cursor = store_where(w->v.s).seq;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    hello(w, p);
    settle(w);
    assert_true(p->welcome.has_view);
    pull(w, p, 3);
    settle(w);
    assert_true(p->page.more);
    assert_int_equal(p->page.part, 2);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    /* Commits go on; they come after it. */
    server(w, "UPDATE item SET n=70 WHERE id IN (1,100)");
    pull(w, p, 13);
    settle(w);
    assert_string_equal(holding_sql(&phone, "SELECT count(*),sum(n),max(length(b)) FROM item"), "3003|145|500");
}

/* A device that has some parts is moved on: it begins anew. */
static void change_that_is_overtaken_by_another_begins_anew(void **state) {
    world *w = *state;
    fill(w, "bob", 100, 3000, 500);
    fill(w, "cid", 5000, 10, 10);
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    pull(w, p, 0);
    hub_disconnect(w->h, p->session);
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = p->cursor;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    hello(w, l);
    settle(w);
    pull(w, l, 3);
    settle(w);
    assert_true(l->page.more);
    server(w, "UPDATE long SET a='cid'");
    pull(w, l, 13);
    settle(w);
    assert_string_equal(holding_sql(&phone, "SELECT a,count(*) FROM item GROUP BY a"), "ann|2 cid|11");
    server(w, "DELETE FROM long");
    assert_string_equal(holding_sql(&phone, "SELECT a,count(*) FROM item GROUP BY a"), "ann|2");
}

/* A phone says hello whose view has changed while it, *before, was away. */
static link *greet_with_another_view(world *w, link **before) {
    publish(w, RULES(""));
    *before = connect_phone(w, NULL);
    hub_disconnect(w->h, (*before)->session);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = (*before)->cursor;
    hello(w, l);
    return l;
}

/* The welcome has announced another view, which the device waits for: it comes back and hears that it holds the right one. */
static void change_that_is_taken_back_before_it_is_told_ends_the_connection(void **state) {
    world *w = *state;
    link *p, *l = greet_with_another_view(w, &p);
    settle(w);
    assert_false(l->closed);
    server(w, "DELETE FROM long");
    assert_true(l->closed);
    p = connect_phone(w, p);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob'); DELETE FROM long");
    assert_false(p->closed);
}

/* Also where that comes between the welcome and its being sent: they are of one group of the writer. */
static void change_that_is_taken_back_beside_the_welcome_ends_the_connection(void **state) {
    world *w = *state;
    test_job back = {.job = {.run = run_job, .done = done_job}, .text = "DELETE FROM long"};
    link *p, *l = greet_with_another_view(w, &p);
    assert_true(hub_submit(w->h, &back.job));
    settle(w);
    assert_true(back.ran);
    assert_true(l->welcome.has_view);
    assert_true(l->closed);
    p = connect_phone(w, p);
    assert_false(p->welcome.has_view);
    HOLDS(&phone, "1|ann|1 3|ann|3");
}

static void change_beyond_its_bound_is_done_by_a_snapshot(void **state) {
    world *w = *state;
    fill(w, "bob", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    said(p);
    w->change_bytes = 1 << 20;
    reopen_hub(w);
    p = connect_phone(w, p);
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','bob')");
    assert_non_null(strstr(said(p), "snapshot(0) snapshot(1) "));
    assert_string_equal(holding_sql(&phone, "SELECT count(*),max(length(b)) FROM item"), "3003|500");
    server(w, "UPDATE item SET n=70 WHERE id=100");
    assert_string_equal(holding_sql(&phone, "SELECT n FROM item WHERE id=100"), "70");
}

static void S1_snapshot_of_another_view_is_not_resumed(void **state) {
    world *w = *state;
    fill(w, "ann", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = dial(w, &w->phone, "phone");
    p->holds = &phone;
    hello(w, p);
    settle(w);
    pull(w, p, 3);
    settle(w);
    assert_int_equal(p->snapshot_page, 3);
    hub_disconnect(w->h, p->session);
    /* The same view: it is resumed. */
    link *l = connect_phone(w, p);
    assert_int_equal(l->snapshot_page, 0);
    assert_string_equal(holding_sql(&phone, "SELECT count(*) FROM item"), "3002");
    hub_disconnect(w->h, l->session);
    /* Another device stands in the middle of the same snapshot, and is to hold something else. */
    link *t = connect_tablet(w, p);
    HOLDS(&tablet, "2|bob|2");
    hub_disconnect(w->h, t->session);
}

static void snapshot_is_begun_anew_when_the_view_changes_in_its_middle(void **state) {
    world *w = *state;
    fill(w, "ann", 100, 3000, 500);
    publish(w, RULES(""));
    link *p = dial(w, &w->phone, "phone");
    p->holds = &phone;
    hello(w, p);
    settle(w);
    pull(w, p, 3);
    settle(w);
    give_profile(w, "phone", "'rep'", "bob");
    pull(w, p, 13);
    settle(w);
    HOLDS(&phone, "2|bob|2");
    assert_int_equal(p->snapshot_page, 0);
}

static void S1_pages_of_two_views_are_not_shared_and_those_of_one_are(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    give_profile(w, "tablet", "'rep'", "ann");
    connect_phone(w, NULL);
    connect_tablet(w, NULL);
    hub_stats before, after;
    hub_get_stats(w->h, &before);
    server(w, "UPDATE item SET n=5 WHERE id=1");
    hub_get_stats(w->h, &after);
    HOLDS(&phone, "1|ann|5 3|ann|3");
    HOLDS(&tablet, "1|ann|5 3|ann|3");
    assert_int_equal(after.page_cache_hits - before.page_cache_hits, 1);
    give_profile(w, "tablet", "'rep'", "bob");
    HOLDS(&tablet, "2|bob|2");
    server(w, "UPDATE item SET n=6 WHERE id IN (1,2)");
    HOLDS(&phone, "1|ann|6 3|ann|3");
    HOLDS(&tablet, "2|bob|6");
}

static void commits_of_others_send_nothing_until_the_cursor_is_to_move(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    said(p);
    uint64_t cursor = p->cursor;
    for (int i = 0; i < 5; i++) server(w, "UPDATE item SET n=n+1 WHERE id=2");
    SAID(p, "");
    w->now_ms += 120000;
    settle(w);
    assert_int_equal(p->cursor, cursor + 5);
    said(p);
    server(w, "UPDATE item SET n=n+1 WHERE id=2");
    SAID(p, "");
    hub_disconnect(w->h, p->session);
    p = connect_phone(w, p);
    assert_int_equal(p->cursor, cursor + 6);
    /* Its own commit is passed at once, though it holds nothing for it. */
    PUSH(p, 0, "~ item(4) n+=1");
    settle(w);
    assert_int_equal(p->cursor, cursor + 7);
}

static void device_that_knows_no_views_is_told_to_be_updated(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = dial(w, &w->phone, "phone");
    msg_hello m = make_hello(w, p);
    m.has_view = false;
    hello_as(w, p, &m);
    settle(w);
    SAID(p, "error(E_VERSION) closed");
    assert_non_null(strstr(w->log, "update Satchel on the device"));
    give_profile(w, "phone", "NULL", "ann");
    p = dial(w, &w->phone, "phone");
    hello_as(w, p, &m);
    settle(w);
    SAID(p, "welcome(snapshot)");
}

static void view_that_the_store_does_not_know_gets_a_snapshot(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    phone.view = 4711;
    p = connect_phone(w, p);
    assert_non_null(strstr(said(p), "welcome(snapshot)"));
    HOLDS(&phone, "1|ann|1 3|ann|3");
}

/* An attacker says what it likes of itself: it is given its part, and no keys of other rows. */
static void S1_device_that_says_it_held_more_is_told_no_keys(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    for (uint64_t lie = 0; lie <= tablet.view; lie += tablet.view) {
        hub_disconnect(w->h, p->session);
        holding_counts(&phone);
        phone.view = lie;
        p = connect_phone(w, p);
        assert_non_null(strstr(said(p), "welcome(snapshot)"));
        COUNTS(&phone, "2 0 0 0");
    }
    assert_false(t->closed);
}

static void S1_device_that_says_it_was_there_before_gets_no_log_of_then(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    for (uint64_t cursor = 0; cursor < p->cursor; cursor++) {
        link *l = dial(w, &w->phone, "phone");
        msg_hello m = make_hello(w, p);
        m.cursor = cursor;
        m.has_epoch = true;
        memcpy(m.epoch, store_where(w->v.s).epoch, EPOCH_BYTES);
        hello_as(w, l, &m);
        settle(w);
        assert_non_null(strstr(said(l), cursor + 1 < p->cursor ? "welcome(snapshot)" : "welcome"));
        hub_disconnect(w->h, l->session);
        settle(w);
    }
}

/* After a restore the same number may mean another view. */
static void view_of_another_epoch_gets_a_snapshot(void **state) {
    world *w = *state;
    static const uint8_t before[EPOCH_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    publish(w, RULES(""));
    sql_exec(&w->v, "INSERT INTO satchel_epoch SELECT n-1,x'0102030405060708',0,0 FROM satchel_epoch;"
                    "UPDATE satchel_epoch SET start_seq=100 WHERE start_seq=0 AND epoch<>x'0102030405060708'");
    link *l = dial(w, &w->phone, "phone");
    l->cursor = p->cursor;
    msg_hello m = make_hello(w, l);
    memcpy(m.epoch, before, sizeof before);
    hello_as(w, l, &m);
    settle(w);
    SAID(l, "welcome");
    m.view = l->welcome.view;
    hub_disconnect(w->h, l->session);
    l = dial(w, &w->phone, "phone");
    hello_as(w, l, &m);
    settle(w);
    assert_non_null(strstr(said(l), "welcome(snapshot)"));
}

static void S1_loss_on_a_row_that_is_held_no_more_is_told_without_what_was_kept(void **state) {
    world *w = *state;
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    uint64_t base = p->cursor;
    PUSH(t, 5, "~ item(1) b=x'0b'");
    settle(w);
    said(p);
    p->cursor = base;
    PUSH(p, 1, "~ item(1) b=x'0a'");
    p->cursor = p->page.to;
    settle(w);
    assert_non_null(strstr(said(p), "losses(x'0b'>x'0a' 1)"));
    server(w, "UPDATE item SET a='bob' WHERE id=1");
    hub_disconnect(w->h, p->session);
    p->loss_cursor = 0;
    p = connect_phone(w, p);
    assert_non_null(strstr(said(p), "losses(NULL>x'0a' 1)"));
}

/* Rows came, went and changed hands while it was away, in what it is to hold no more. */
static void S1_change_of_view_tells_no_keys_of_rows_that_were_never_held(void **state) {
    world *w = *state;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 3|ann|3 4|cid|4");
    hub_disconnect(w->h, p->session);
    holding_counts(&phone);
    server(w, "UPDATE item SET a='cid' WHERE id=2; INSERT INTO item(id,a) VALUES(5,'cid'),(6,'cid'),(7,'cid')");
    server(w, "DELETE FROM item WHERE id=5; UPDATE item SET a='bob' WHERE id=6; DELETE FROM long");
    connect_phone(w, p);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    COUNTS(&phone, "0 0 1 1"); /* the grant, and item 4 */
}

static void change_of_view_takes_rows_away_that_came_while_the_device_was_away_and_were_told(void **state) {
    world *w = *state;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    holding_counts(&phone);
    server(w, "INSERT INTO item(id,a,n) VALUES(8,'ann',8),(9,'cid',9)");
    server(w, "DELETE FROM item WHERE id=4; UPDATE item SET a='cid' WHERE id IN (3,8); UPDATE item SET a='ann' WHERE id=9");
    server(w, "INSERT INTO item(id,a,n) VALUES(4,'cid',40); UPDATE item SET a='cid' WHERE id=9; DELETE FROM long");
    connect_phone(w, p);
    HOLDS(&phone, "1|ann|1");
    COUNTS(&phone, "2 0 2 3"); /* 8 and 9 came and left, 3 left, 4 was deleted */
}

/* ---- the first rules ---- */

#define RULES_WITHOUT_ALL                                                                                                        \
    "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','a'),('long','all',NULL);\n"                                   \
    "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''own'',:user');\n"                                            \
    "INSERT INTO scope_write(profile,tbl,ops,anywhere) VALUES('rep','item','insert,update,delete',1);\n"

/* What was committed before there were rules the log has for everybody. */
static link *leave_before_the_first_rules(world *w) {
    link *p = connect_phone(w, NULL);
    HOLDS(&phone, "1|ann|1 2|bob|2 3|ann|3 4|cid|4");
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET n=77 WHERE id=1; INSERT INTO item(id,a,n) VALUES(7,'ann',7),(8,'bob',8)");
    return p;
}

static void N11_S1_device_behind_the_first_rules_gets_a_snapshot(void **state) {
    world *w = *state;
    link *p = leave_before_the_first_rules(w);
    publish(w, RULES_WITHOUT_ALL);
    holding_counts(&phone);
    p = connect_phone(w, p);
    assert_non_null(strstr(said(p), "snapshot(0"));
    HOLDS(&phone, "1|ann|77 3|ann|3 7|ann|7");
    COUNTS(&phone, "3 0 0 0");
}

/* Its profile has the bucket that rows lie in without rules. */
static void S1_row_of_before_the_first_rules_is_not_sent_to_whom_they_do_not_give_it(void **state) {
    world *w = *state;
    link *p = leave_before_the_first_rules(w);
    publish(w, RULES(""));
    holding_counts(&phone);
    connect_phone(w, p);
    HOLDS(&phone, "1|ann|77 3|ann|3 7|ann|7");
    COUNTS(&phone, "3 0 0 0");
}

static void N11_file_put_back_to_before_the_first_rules_gets_a_snapshot(void **state) {
    world *w = *state;
    link *p = leave_before_the_first_rules(w), before = *p;
    publish(w, RULES_WITHOUT_ALL);
    p = connect_phone(w, p);
    hub_disconnect(w->h, p->session);
    phone.view = 0;
    server(w, "UPDATE item SET n=n+1");
    p = connect_phone(w, &before);
    assert_non_null(strstr(said(p), "snapshot(0"));
    HOLDS(&phone, "1|ann|78 3|ann|4 7|ann|8");
}

static void N11_device_that_is_given_a_profile_behind_the_first_rules_gets_a_snapshot(void **state) {
    world *w = *state;
    give_profile(w, "phone", "NULL", "");
    link *p = leave_before_the_first_rules(w);
    publish(w, RULES_WITHOUT_ALL);
    server(w, "UPDATE item SET n=78 WHERE id=1");
    give_profile(w, "phone", "'rep'", "ann");
    connect_phone(w, p);
    HOLDS(&phone, "1|ann|78 3|ann|3 7|ann|7");
}

/* Nothing of what it has is sent again. */
static void device_at_the_first_rules_is_told_what_it_loses(void **state) {
    world *w = *state;
    link *p = connect_phone(w, NULL);
    hub_disconnect(w->h, p->session);
    publish(w, RULES_WITHOUT_ALL);
    server(w, "UPDATE item SET n=77 WHERE id IN (1,2); INSERT INTO item(id,a,n) VALUES(7,'ann',7),(8,'bob',8)");
    holding_counts(&phone);
    p = connect_phone(w, p);
    assert_null(strstr(said(p), "snapshot("));
    HOLDS(&phone, "1|ann|77 3|ann|3 7|ann|7");
    COUNTS(&phone, "1 1 0 2");
}

static void N11_S3_device_behind_the_first_rules_is_heard_before_its_snapshot(void **state) {
    world *w = *state;
    link *p = leave_before_the_first_rules(w);
    publish(w, RULES_AND_RIGHTS("", "0"));
    link *l = come_with_two_to_send(w, p);
    PUSH(l, 0, "~ item(1) n+=1", "~ item(4) n+=1");
    settle(w);
    const char *heard = said(l), *results = strstr(heard, "results("), *snapshot = strstr(heard, "snapshot(0");
    assert_true(results && snapshot && results < snapshot);
    HOLDS(&phone, "1|ann|78 3|ann|3 7|ann|7");
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=4"), "5");
}

/* ---- rows that the device never had ---- */

/* Connected, with room for no page. */
static link *come_with_what_it_holds(world *w, const link *before) {
    link *l = dial(w, &w->phone, "phone");
    l->holds = &phone;
    l->cursor = before->cursor;
    l->settled = w->phone.number;
    hello(w, l);
    settle(w);
    holding_counts(&phone);
    return l;
}

/* The phone stands in for cid, and loses in a row of his that it has made. */
static link *stand_in(world *w) {
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    hub_disconnect(w->h, p->session);
    link *l = come_with_what_it_holds(w, p);
    PUSH(l, 0, "+ item(9) a='cid', b=x'09'");
    server(w, "INSERT INTO item(id,a) VALUES(10,'cid')");
    PUSH(t, 5, "~ item(9) b=x'55'");
    settle(w);
    PUSH(l, 1, "~ item(9) b=x'0a'");
    settle(w);
    assert_non_null(strstr(said(l), "losses(x'55'>x'0a' 1)"));
    return l;
}

static void S5_row_that_the_device_knows_by_a_loss_alone_leaves(void **state) {
    world *w = *state;
    link *l = stand_in(w);
    server(w, "DELETE FROM long");
    pull(w, l, 16);
    settle(w);
    HOLDS(&phone, "1|ann|1 3|ann|3");
    COUNTS(&phone, "0 0 1 2"); /* the grant; items 4 and 9, and not 10 */
}

static void S5_row_that_the_device_knows_by_a_loss_alone_is_deleted(void **state) {
    world *w = *state;
    link *l = stand_in(w);
    server(w, "DELETE FROM item WHERE id IN (9,10)");
    server(w, "DELETE FROM long");
    pull(w, l, 16);
    settle(w);
    COUNTS(&phone, "0 0 2 1"); /* the grant and item 9; item 4 */
}

/* It was told of the loss again when the row had come back. */
static void S5_row_that_came_back_since_it_was_lost_in_leaves_again(void **state) {
    world *w = *state;
    server(w, "INSERT INTO long(k,a) VALUES('ann.1','cid')");
    publish(w, RULES(""));
    link *p = connect_phone(w, NULL), *t = connect_tablet(w, NULL);
    uint64_t base = p->cursor;
    PUSH(t, 5, "~ item(1) b=x'0b'");
    settle(w);
    p->cursor = base;
    PUSH(p, 1, "~ item(1) b=x'0a'");
    p->cursor = p->page.to;
    settle(w);
    server(w, "UPDATE item SET a='bob' WHERE id=1");
    HOLDS(&phone, "3|ann|3 4|cid|4");
    hub_disconnect(w->h, p->session);
    server(w, "UPDATE item SET a='cid' WHERE id=1");
    link *l = come_with_what_it_holds(w, p);
    assert_non_null(strstr(said(l), "losses(x'0b'>x'0a' 1)"));
    server(w, "DELETE FROM long");
    pull(w, l, 16);
    settle(w);
    COUNTS(&phone, "0 0 1 2"); /* the grant; items 1 and 4 */
}

/* As many keys as do not fit what a change may have are not remembered: it is a snapshot that tells none. */
static void S1_change_of_view_with_too_many_keys_to_remember_is_done_by_a_snapshot(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','a'),('long','own','a');\n"
               "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''own'',:user');\n");
    w->change_bytes = 1 << 20;
    reopen_hub(w);
    for (int rows = 200; rows <= 400; rows += 200) {
        give_profile(w, "phone", "'rep'", "cid");
        link *p = connect_phone(w, NULL);
        hub_disconnect(w->h, p->session);
        char text[256];
        snprintf(text, sizeof text,
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO long(k,a) SELECT"
                 " printf('%%d.%%d.%%04000d',%d,i,0),'cid' FROM n;",
                 rows, rows);
        server(w, text);
        give_profile(w, "phone", "'rep'", "ann");
        holding_counts(&phone);
        p = connect_phone(w, p);
        HOLDS(&phone, "1|ann|1 3|ann|3");
        assert_int_equal(strstr(said(p), "snapshot(") != NULL, rows == 400);
        COUNTS(&phone, rows == 400 ? "2 0 0 0" : "2 0 0 1");
        hub_disconnect(w->h, p->session);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(change_of_view_waits_for_what_the_device_has_to_send),
        TEST(S3_edit_made_before_its_row_left_is_taken),
        TEST(S3_edit_made_before_the_first_rules_is_taken),
        TEST(S3_edit_made_before_the_device_had_a_profile_is_taken),
        TEST(change_of_view_in_the_middle_of_a_commit_in_parts_begins_anew),
        TEST(large_change_comes_in_parts_and_takes_effect_at_the_last),
        TEST(change_that_is_overtaken_by_another_begins_anew),
        TEST(change_that_is_taken_back_before_it_is_told_ends_the_connection),
        TEST(change_that_is_taken_back_beside_the_welcome_ends_the_connection),
        TEST(change_beyond_its_bound_is_done_by_a_snapshot),
        TEST(S1_snapshot_of_another_view_is_not_resumed),
        TEST(snapshot_is_begun_anew_when_the_view_changes_in_its_middle),
        TEST(S1_pages_of_two_views_are_not_shared_and_those_of_one_are),
        TEST(commits_of_others_send_nothing_until_the_cursor_is_to_move),
        TEST(device_that_knows_no_views_is_told_to_be_updated),
        TEST(view_that_the_store_does_not_know_gets_a_snapshot),
        TEST(S1_device_that_says_it_held_more_is_told_no_keys),
        TEST(S1_device_that_says_it_was_there_before_gets_no_log_of_then),
        TEST(view_of_another_epoch_gets_a_snapshot),
        TEST(S1_loss_on_a_row_that_is_held_no_more_is_told_without_what_was_kept),
        TEST(S1_change_of_view_tells_no_keys_of_rows_that_were_never_held),
        TEST(change_of_view_takes_rows_away_that_came_while_the_device_was_away_and_were_told),
        TEST(N11_S1_device_behind_the_first_rules_gets_a_snapshot),
        TEST(S1_row_of_before_the_first_rules_is_not_sent_to_whom_they_do_not_give_it),
        TEST(N11_file_put_back_to_before_the_first_rules_gets_a_snapshot),
        TEST(N11_device_that_is_given_a_profile_behind_the_first_rules_gets_a_snapshot),
        TEST(device_at_the_first_rules_is_told_what_it_loses),
        TEST(N11_S3_device_behind_the_first_rules_is_heard_before_its_snapshot),
        TEST(S5_row_that_the_device_knows_by_a_loss_alone_leaves),
        TEST(S5_row_that_the_device_knows_by_a_loss_alone_is_deleted),
        TEST(S5_row_that_came_back_since_it_was_lost_in_leaves_again),
        TEST(S1_change_of_view_with_too_many_keys_to_remember_is_done_by_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
