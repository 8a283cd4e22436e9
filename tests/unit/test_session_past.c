/* A conversation about what was otherwise before: N3 forks, N6 refusals that one of the two sides has settled, N7 restored servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "tests/support/disk_log.h"
#include "tests/unit/session_fixture.h"

static void N3_fork_says_hello_again_under_the_new_incarnation(void **state) {
    talk *t = *state;
    msg_hello hello;
    push_txn first, last;
    push_reader reader;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    open_talk(t);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(sent(t), MSG_PULL);
    forked_encode(5, 1, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &hello), SATCHEL_OK);
    assert_int_equal(hello.incarnation, 5);
    assert_non_null(strstr(t->events, "event 5 5 ;"));
    msg_welcome m = welcome(t);
    assert_int_equal(say_welcome(t, &m), SATCHEL_OK);
    assert_int_equal(say_told(t), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(push_open(&reader, t->frame.p, t->frame.n), SATCHEL_OK);
    assert_int_equal(reader.incarnation, 5);
    assert_int_equal(read_push(t, &first, &last), 1);
    /* The server has dropped the credit of before. */
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(read_pull(t).credit, 4);
}

/* The server was put back, and a copy of the file has given its own transaction under the number since. */
static void N3_settled_number_of_another_copy_is_seen(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.head = 11;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    open_with(t, &m);
    while (sent(t)) continue;
    msg_result r = {.number = 1, .seq = 11, .effective = 21};
    assert_int_equal(say_result(t, &r, 1), SATCHEL_OK);
    session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    memcpy(m.epoch, "EPOCHtwo", 8);
    m.epoch_start = 10;
    m.known_number = 1;
    m.has_known_id = true;
    memcpy(m.known_id, "another!", 8);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    while (sent(t) != MSG_HELLO) continue;
    assert_int_equal(say_welcome(t, &m), SATCHEL_E_CLOSED);
    assert_int_equal(t->x->f->state.settled_number, 1);
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_outbox WHERE state=1"), 1);
}

static void N3_superseded_file_asks_for_an_incarnation_of_its_own(void **state) {
    talk *t = *state;
    msg_hello hello;
    open_talk(t);
    error_encode(&(msg_error){.rc = SATCHEL_E_SUPERSEDED, .text = "anew", .ntext = 4}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_E_SUPERSEDED);
    session_end(t->s, SATCHEL_E_SUPERSEDED, "", NOW);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    while (sent(t) != MSG_HELLO) continue;
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &hello), SATCHEL_OK);
    assert_int_equal(hello.incarnation, 0);
    forked_encode(5, 1, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &hello), SATCHEL_OK);
    assert_int_equal(hello.incarnation, 5);
}

static void nothing_is_untold(talk *t) {
    uint64_t number;
    assert_int_equal(outbox_next_untold(t->x->f, 0, &number), 0);
}

static void N6_discard_of_a_refusal_is_told_until_it_has_arrived(void **state) {
    talk *t = *state;
    msg_resolve m;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_discard(t->x->f, 1), SATCHEL_OK);
    for (unsigned i = 0; i < 2; i++) {
        open_talk(t);
        assert_int_equal(sent(t), MSG_RESOLVE);
        assert_int_equal(resolve_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
        assert_int_equal(m.number, 1);
        if (i == 0) session_end(t->s, SATCHEL_E_CLOSED, "cut", NOW);
    }
    while (sent(t)) continue;
    app_sql(t->x, "INSERT INTO item(id) VALUES('b')");
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(say_result(t, &(msg_result){.number = 2, .seq = 5, .effective = 9}, 1), SATCHEL_OK);
    nothing_is_untold(t);
}

/* Once it is told there is no refusal any more that the device could have open. */
static void N2_discard_is_durable_before_it_is_told(void **state) {
    talk *t = *state;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    open_talk(t);
    while (sent(t)) continue;
    assert_int_equal(outbox_discard(t->x->f, 1), SATCHEL_OK);
    unsigned before = disk_syncs;
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_RESOLVE);
    assert_true(disk_syncs > before);
}

/* The server passes over what was sent before it was told that it forked. */
static void N6_discard_that_was_told_before_a_fork_is_told_again(void **state) {
    talk *t = *state;
    msg_resolve m;
    msg_welcome w = welcome(t);
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    open_talk(t);
    app_sql(t->x, "INSERT INTO item(id) VALUES('b')");
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    while (sent(t)) continue;
    assert_int_equal(outbox_discard(t->x->f, 1), SATCHEL_OK);
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_RESOLVE);
    forked_encode(2, 2, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(say_welcome(t, &w), SATCHEL_OK);
    assert_int_equal(say_told(t), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_RESOLVE);
    assert_int_equal(resolve_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.number, 1);
}

static void N6_discard_of_a_lower_number_is_told_as_well(void **state) {
    talk *t = *state;
    msg_resolve m;
    static const uint64_t TOLD[] = {2, 1, 2}; /* both again: whether the first arrived is not known */
    app_sql(t->x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    refuse_with(t->x, 2, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_discard(t->x->f, 2), SATCHEL_OK);
    open_talk(t);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(sent(t), MSG_RESOLVE);
        assert_int_equal(resolve_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
        assert_int_equal(m.number, TOLD[i]);
        if (i) continue;
        while (sent(t)) continue;
        assert_int_equal(outbox_discard(t->x->f, 1), SATCHEL_OK);
        app_sql(t->x, "INSERT INTO item(id) VALUES('c')");
        assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    }
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(say_result(t, &(msg_result){.number = 3, .seq = 5, .effective = 9}, 1), SATCHEL_OK);
    nothing_is_untold(t);
}

static void N6_discard_of_a_retry_that_was_never_sent_is_told_of_the_refusal(void **state) {
    talk *t = *state;
    bool moot;
    msg_resolve m;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_retry(t->x->w, 1, &moot), SATCHEL_OK);
    assert_int_equal(outbox_discard(t->x->f, 2), SATCHEL_OK);
    open_talk(t);
    assert_int_equal(sent(t), MSG_RESOLVE);
    assert_int_equal(resolve_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.number, 1);
    while (sent(t)) continue;
    app_sql(t->x, "INSERT INTO item(id) VALUES('b')");
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(say_result(t, &(msg_result){.number = 3, .seq = 5, .effective = 9}, 1), SATCHEL_OK);
    nothing_is_untold(t);
}

/* The server may have lost what it had refused of the retry, and has the first open. */
static void N6_discard_of_a_retry_that_was_refused_is_told_of_the_first(void **state) {
    talk *t = *state;
    bool moot;
    msg_resolve m;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_retry(t->x->w, 1, &moot), SATCHEL_OK);
    refuse_with(t->x, 2, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_discard(t->x->f, 2), SATCHEL_OK);
    open_talk(t);
    assert_int_equal(sent(t), MSG_RESOLVE);
    assert_int_equal(resolve_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.number, 1);
}

static void N6_what_an_admin_settled_ends_and_is_told_to_be_known(void **state) {
    talk *t = *state;
    msg_resolve resolve;
    msg_welcome m = welcome(t);
    m.known_number = 1;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    open_with(t, &m);
    while (sent(t)) continue;
    t->events[0] = 0;
    /* The device has not heard of the refusal, when it is settled already. */
    msg_result refused = {.number = 1, .rc = SATCHEL_E_CHECK, .text = "no", .ntext = 2};
    msg_result settled = {.number = 1, .rc = SATCHEL_E_RESOLVED, .text = "an admin has retried it", .ntext = 23};
    assert_int_equal(say_result(t, &refused, 1), SATCHEL_OK);
    assert_int_equal(say_result(t, &settled, 1), SATCHEL_OK);
    assert_non_null(strstr(t->events, "event 2 1 ;"));
    assert_non_null(strstr(t->events, "event 10 1 ;"));
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_int_equal(sent(t), MSG_RESOLVE);
    assert_int_equal(resolve_decode(t->frame.p, t->frame.n, &resolve), SATCHEL_OK);
    assert_int_equal(resolve.number, 1);
    /* Told again it does nothing, and does not answer what was sent. */
    t->events[0] = 0;
    assert_int_equal(say_result(t, &settled, 1), SATCHEL_OK);
    assert_null(strstr(t->events, "event"));
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_outbox WHERE n=1"), 1);
}

/* Known to be settled from one conversation to the next, and then the server knows nothing of it. */
static void N7_what_an_admin_settled_after_the_backup_is_refused_anew(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.known_number = 1;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    refuse_with(t->x, 1, SATCHEL_E_CHECK, "no");
    for (unsigned i = 0; i < 2; i++) {
        m.head = 20;
        open_with(t, &m);
        msg_result settled = {.number = 1, .rc = SATCHEL_E_RESOLVED, .text = "an admin has retried it", .ntext = 23};
        assert_int_equal(say_result(t, &settled, 1), SATCHEL_OK);
        while (sent(t)) continue;
        session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    }
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_rejected"), 0);
    memcpy(m.epoch, "EPOCHtwo", 8);
    m.epoch_start = m.head = 19;
    m.known_number = 0;
    m.has_known_id = false;
    t->events[0] = 0;
    /* The server may know of it after all, and until it has said so, or not, this device says that it does not. */
    static const uint64_t KNOWS[] = {1, 0, 1};
    for (unsigned i = 0; i < 3; i++) {
        msg_hello hello;
        assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
        while (sent(t) != MSG_HELLO) continue;
        assert_int_equal(hello_decode(t->frame.p, t->frame.n, &hello), SATCHEL_OK);
        assert_int_equal(hello.settled_number, KNOWS[i]);
        assert_int_equal(say_welcome(t, &m), SATCHEL_OK);
        if (i) assert_int_equal(say_told(t), SATCHEL_OK);
        session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    }
    assert_non_null(strstr(t->events, "event 2 1 ;"));
    assert_int_equal(app_integer(t->x, "SELECT code FROM satchel_rejected"), SATCHEL_E_CHECK);
    assert_int_equal(outbox_next_untold(t->x->f, 0, &m.known_number), 0);
}

static void N7_new_epoch_is_given_again_what_its_backup_lacks(void **state) {
    talk *t = *state;
    push_txn first, last;
    msg_hello hello;
    msg_welcome m = welcome(t);
    m.head = 12;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    open_with(t, &m);
    while (sent(t)) continue;
    msg_result r[] = {{.number = 1, .seq = 11, .effective = 21}, {.number = 2, .seq = 12, .effective = 22}};
    assert_int_equal(say_result(t, r, 2), SATCHEL_OK);
    assert_int_equal(say_page(t, 0, 12, item_set("none", ITEM_PRICE, value_integer(1))), SATCHEL_OK);
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM item"), 0); /* this page took neither */
    session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    memcpy(m.epoch, "EPOCHtwo", 8);
    m.epoch_start = m.head = 11;
    m.known_number = 1;
    m.snapshot = true;
    open_with(t, &m);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(read_push(t, &first, &last), 1);
    assert_int_equal(first.number, 2);
    assert_int_equal(first.effective, 22);
    assert_int_equal(first.base, 0);
    assert_int_equal(t->x->f->state.cursor, 11);
    session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &hello), SATCHEL_OK);
    assert_false(hello.has_epoch); /* until the snapshot is complete, the cursor is of no epoch */
    /* A server that was put back once more, to before this epoch, may know the one before. */
    assert_int_equal(hello.npast, 2);
    assert_memory_equal(hello.past[0].epoch, "EPOCHtwo", 8);
    assert_int_equal(hello.past[0].seq, INT64_MAX);
    assert_memory_equal(hello.past[1].epoch, welcome(t).epoch, 8);
    assert_int_equal(hello.past[1].seq, 11);
}

static void N7_epochs_before_are_shared_no_further_than_those_after(void **state) {
    talk *t = *state;
    msg_hello hello;
    static const char *const epochs[] = {"EPOCHtwo", "EPOCHtre", "EPOCHfou"};
    static const uint64_t starts[] = {11, 14, 9};
    msg_welcome m = welcome(t);
    m.head = 20;
    open_with(t, &m);
    for (unsigned i = 0; i < 3; i++) {
        session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
        memcpy(m.epoch, epochs[i], 8);
        m.epoch_start = starts[i];
        open_with(t, &m);
    }
    session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &hello), SATCHEL_OK);
    assert_int_equal(hello.npast, 3);
    assert_memory_equal(hello.past[0].epoch, "EPOCHtre", 8);
    assert_int_equal(hello.past[0].seq, 9);
    assert_int_equal(hello.past[1].seq, 9);
    assert_int_equal(hello.past[2].seq, 9);
}

/* The commit that they are parts of may not be there any more: then no page of it comes, and none that takes its place. */
static void N7_parts_of_a_commit_that_is_gone_are_dropped(void **state) {
    talk *t = *state;
    delta_row row = item_put("a", "Ann", 1, 1);
    msg_welcome m = welcome(t);
    m.head = 12;
    open_with(t, &m);
    assert_int_equal(say_page(t, 0, 11, row), SATCHEL_OK);
    page_build(t->x, &(msg_page){.from = 11, .to = 12, .more = true}, 12, &row, 1, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_stage"), 1);
    session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    memcpy(m.epoch, "EPOCHtwo", 8);
    m.epoch_start = m.head = 11;
    open_with(t, &m);
    assert_true(session_in_step(t->s));
    assert_int_equal(t->x->f->state.stage_seq, 0);
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_stage"), 0);
}

/* What is pending again may show a row again that somebody has deleted since the backup. */
static void N7_app_is_told_what_a_restored_server_changes(void **state) {
    talk *t = *state;
    delta_row echo = row_of(TAG, DELTA_PUT, "t");
    row_set(&echo, TAG_LABEL, text_of("one"));
    msg_welcome m = welcome(t);
    m.head = 12;
    app_sql(t->x, "INSERT INTO tag VALUES('t', 'one')");
    open_with(t, &m);
    while (sent(t)) continue;
    app_sql(t->x, "UPDATE tag SET label='two' WHERE id='t'");
    assert_int_equal(say_result(t, &(msg_result){.number = 1, .seq = 11, .effective = 9}, 1), SATCHEL_OK);
    assert_int_equal(say_page(t, 0, 11, echo), SATCHEL_OK);
    assert_int_equal(say_page(t, 11, 12, row_of(TAG, DELTA_DELETE, "t")), SATCHEL_OK);
    assert_string_equal(app_text(t->x, "SELECT label FROM tag"), "-");
    session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
    t->changed[0] = 0;
    memcpy(m.epoch, "EPOCHtwo", 8);
    m.epoch_start = m.head = 10;
    m.snapshot = true;
    begin_with(t, &m);
    assert_string_equal(app_text(t->x, "SELECT label FROM tag"), "two");
    assert_string_equal(t->changed, "tag;");
}

#define T(name) cmocka_unit_test_setup_teardown(name, session_setup, session_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(N3_fork_says_hello_again_under_the_new_incarnation),
        T(N3_settled_number_of_another_copy_is_seen),
        T(N3_superseded_file_asks_for_an_incarnation_of_its_own),
        T(N6_discard_of_a_refusal_is_told_until_it_has_arrived),
        T(N2_discard_is_durable_before_it_is_told),
        T(N6_discard_that_was_told_before_a_fork_is_told_again),
        T(N6_discard_of_a_lower_number_is_told_as_well),
        T(N6_discard_of_a_retry_that_was_never_sent_is_told_of_the_refusal),
        T(N6_discard_of_a_retry_that_was_refused_is_told_of_the_first),
        T(N6_what_an_admin_settled_ends_and_is_told_to_be_known),
        T(N7_what_an_admin_settled_after_the_backup_is_refused_anew),
        T(N7_new_epoch_is_given_again_what_its_backup_lacks),
        T(N7_epochs_before_are_shared_no_further_than_those_after),
        T(N7_parts_of_a_commit_that_is_gone_are_dropped),
        T(N7_app_is_told_what_a_restored_server_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
