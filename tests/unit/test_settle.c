/* What a person makes of a refusal on the device: retry, edit, discard, and what the server's admin made of it (N6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "replica/refusal.h"
#include "tests/unit/outbox_fixture.h"

/* The item, and what the app did; the server refuses its first transaction. */
static void refuse_sql(fixture *x, const char *sql, int rc) {
    outbox_give_item(x);
    app_sql(x, sql);
    refuse_with(x, 1, rc, "no");
}

#define TWO_ROWS                                                                                                                 \
    "BEGIN; UPDATE item SET name='mine', stock=stock+5 WHERE id='a'; INSERT INTO item(id, name) VALUES('b', 'Bob'); COMMIT"

static void N6_retry_runs_the_changes_as_a_new_transaction(void **state) {
    fixture *x = *state;
    bool moot;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    refuse_sql(x, TWO_ROWS, SATCHEL_E_UNIQUE);
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
    assert_string_equal(item(x, "a"), "mine|5|105|~");
    assert_string_equal(item(x, "b"), "Bob|~|~|~");
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=2"), 1);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 1);
    assert_int_equal(first.resolves, 1);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_RESOLVED);
    assert_int_equal(outbox_retry(x->w, 9, &moot), SATCHEL_E_NOT_FOUND);
    app_sql(x, "BEGIN");
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_MISUSE);
    app_sql(x, "COMMIT");
    assert_sound(x);
    buf_fini(&message);
}

static void settled_there(fixture *x, uint64_t number, bool expected) {
    uint64_t ended;
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    msg_result r = {.number = number, .rc = SATCHEL_E_RESOLVED};
    assert_int_equal(file_end(x->f, outbox_settled_there(x->f, &r, &ended)), SATCHEL_OK);
    assert_int_equal(ended, expected ? number : 0);
}

static void N6_what_an_admin_settled_is_open_no_more_and_the_server_is_told_so(void **state) {
    fixture *x = *state;
    bool moot;
    uint64_t number = 0, n = 0;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); INSERT INTO item(id) VALUES('c')");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    refuse_with(x, 2, SATCHEL_E_RESOLVED, "too late");
    settled_there(x, 1, true);
    settled_there(x, 1, false);
    settled_there(x, 2, false); /* that was its own result */
    settled_there(x, 3, false); /* this waits */
    settled_there(x, 9, false);
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_rejected"), 2);
    assert_int_equal(app_integer(x, "SELECT state FROM satchel_outbox WHERE n=3"), 0);
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 1);
    assert_int_equal(number, 1);
    assert_int_equal(outbox_count_untold(x->f, 1, &n), SATCHEL_OK);
    assert_int_equal(n, 1);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_RESOLVED);
    /* Its changes were settled with those that it was to replace. */
    assert_int_equal(outbox_retry(x->w, 2, &moot), SATCHEL_E_RESOLVED);
    assert_int_equal(outbox_edit(x->w, 2), SATCHEL_E_RESOLVED);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_sound(x);
}

static int64_t state_of(fixture *x, uint64_t number) {
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT state FROM satchel_outbox WHERE n=%llu", (unsigned long long)number);
    return app_integer(x, sql);
}

static void told_up_to(fixture *x, uint64_t number) {
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_told(x->f, number)), SATCHEL_OK);
}

static void welcome_at(fixture *x, uint64_t head) {
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_place_settled(x->f, head)), SATCHEL_OK);
}

static void hear_all(fixture *x) {
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_heard_all(x->f)), SATCHEL_OK);
}

/* The commit by which an admin retried it is on the server no more, and the changes may be nowhere else. */
static void N7_refusal_that_was_settled_after_the_backup_is_open_again(void **state) {
    fixture *x = *state;
    bool moot;
    refuse_sql(x, "INSERT INTO item(id, note) VALUES('b', hex(zeroblob(2000)))", SATCHEL_E_UNIQUE);
    for (unsigned known = 0; known < 3; known++) {
        settled_there(x, 1, true);
        if (known > 0) told_up_to(x, 1);
        if (known > 1) welcome_at(x, 20);
        outbox_prune_up_to(x, 20); /* it may have been made when the backup was */
        assert_int_equal(state_of(x, 1), TXN_DISCARDED);
        assert_int_equal(rewind_file(x, 20), SATCHEL_OK);
        assert_int_equal(app_integer(x, "SELECT code FROM satchel_rejected"), SATCHEL_E_UNIQUE);
        assert_sound(x);
    }
    settled_there(x, 1, true);
    told_up_to(x, 1);
    welcome_at(x, 20);
    assert_int_equal(rewind_file(x, 21), SATCHEL_OK);
    assert_int_equal(state_of(x, 1), TXN_DISCARDED);
    assert_int_equal(rewind_file(x, 20), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT length(note) FROM item WHERE id='b'"), 4000);
    assert_sound(x);
}

static void N7_what_was_settled_is_kept_until_the_backup_has_passed_it(void **state) {
    fixture *x = *state;
    refuse_sql(x, TWO_ROWS, SATCHEL_E_UNIQUE);
    settled_there(x, 1, true);
    told_up_to(x, 1);
    outbox_prune_up_to(x, 30);
    welcome_at(x, 20);
    outbox_prune_up_to(x, 20);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
    outbox_prune_up_to(x, 21);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
    assert_sound(x);
}

static void N7_server_is_told_again_of_a_discard_that_it_lost(void **state) {
    fixture *x = *state;
    uint64_t number = 0;
    refuse_sql(x, TWO_ROWS, SATCHEL_E_UNIQUE);
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    told_up_to(x, 1);
    welcome_at(x, 20);
    assert_int_equal(rewind_file(x, 21), SATCHEL_OK);
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 0);
    assert_int_equal(rewind_file(x, 20), SATCHEL_OK);
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 1);
    assert_int_equal(number, 1);
    assert_int_equal(state_of(x, 1), TXN_DISCARDED);
    assert_sound(x);
}

static void forestalled(fixture *x, bool seen) {
    bool moot;
    refuse_sql(x, TWO_ROWS, SATCHEL_E_RESOLVED);
    welcome_at(x, 20);
    if (seen) assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    assert_int_equal(rewind_file(x, 21), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE state=3 AND seq=-1"), seen ? 1 : 0);
    /* What the server has kept after all stays too late, and is for the user to look at. */
    assert_int_equal(rewind_file(x, 20), SATCHEL_OK);
    settled_there(x, 1, false);
    hear_all(x);
    welcome_at(x, 20);
    assert_int_equal(app_integer(x, "SELECT code FROM satchel_rejected"), SATCHEL_E_RESOLVED);
    assert_int_equal(rewind_file(x, 20), SATCHEL_OK);
    hear_all(x);
    assert_int_equal(app_integer(x, "SELECT code FROM satchel_rejected"), SATCHEL_E_FORGOTTEN);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=2"), 1);
    assert_sound(x);
}

/* What it was to resolve is here no more, and what the admin made of that is not on the server. */
static void N7_retry_that_an_admin_forestalled_after_the_backup_may_be_made_again(void **state) {
    forestalled(*state, false);
}

static void N7_so_may_one_of_which_the_user_has_taken_note(void **state) {
    forestalled(*state, true);
}

/* What the app did is refused, and a retry of it under way. */
static void retried(fixture *x) {
    bool moot;
    refuse_sql(x, TWO_ROWS, SATCHEL_E_UNIQUE);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
}

static void untold_is(fixture *x, uint64_t number, uint64_t resolves) {
    outbox_txn t;
    uint64_t n = 0;
    assert_int_equal(outbox_next_untold(x->f, 0, &n), 1);
    assert_int_equal(n, number);
    assert_int_equal(outbox_next_untold(x->f, number, &n), 0);
    assert_int_equal(outbox_get(x->f, number, &t), SATCHEL_OK);
    assert_int_equal(t.incarnation ? 0 : t.resolves, resolves);
}

/* The server never heard of the retry, and has the refusal open. */
static void N6_discard_of_a_retry_that_was_never_sent_tells_the_refusal_in_its_place(void **state) {
    fixture *x = *state;
    retried(x);
    outbox_prune_up_to(x, 10);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    outbox_prune_up_to(x, 10);
    untold_is(x, 2, 1);
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_E_RESOLVED);
    assert_sound(x);
}

/* The number of the one transaction that can be sent; 0: there is none. */
static uint64_t pushed(fixture *x) {
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    unsigned n = outbox_push_one(x, &at, &message, &first);
    assert_true(n <= 1);
    buf_fini(&message);
    return n ? first.number : 0;
}

static void N6_discard_of_a_retry_that_could_not_be_sent_tells_the_refusal_in_its_place(void **state) {
    fixture *x = *state;
    retried(x);
    app_sql(x, "UPDATE satchel_outbox SET epoch=0 WHERE n=2; INSERT INTO item(id) VALUES('c')");
    assert_int_equal(pushed(x), 3);
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_rejected"), 2);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    untold_is(x, 2, 1);
}

/* It may have arrived, and then it is that which is open. */
static void N6_discard_of_a_retry_that_could_not_be_sent_again_tells_itself(void **state) {
    fixture *x = *state;
    retried(x);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.sent_number = 2;
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    app_sql(x, "UPDATE satchel_outbox SET epoch=0 WHERE n=2");
    assert_int_equal(pushed(x), 0);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    untold_is(x, 2, 0);
}

/* A copy of the file may have had another refused under the number. */
static void N6_discard_of_what_the_server_never_heard_of_is_not_told(void **state) {
    fixture *x = *state;
    uint64_t number;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); UPDATE satchel_outbox SET epoch=0");
    assert_int_equal(pushed(x), 0);
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_rejected"), 1);
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 0);
    outbox_prune_up_to(x, 10);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
}

/* The rows of the one transaction that waits, as they are sent; their number. */
static unsigned sent_rows(fixture *x, delta_row rows[4]) {
    static buf message; /* the rows point into it */
    push_txn first;
    outbox_cursor at = {0};
    wire w;
    delta_reader r;
    unsigned n = 0;
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 1);
    wire_open(&w, first.delta, first.ndelta);
    delta_open(&r, &w);
    while (delta_next(&r, &rows[n]) == 1) n++;
    return n;
}

/* Whoever made it so may have done that on a server that is put back: then the retry alone has it. */
static void N7_retry_says_again_what_stands_there_already(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row rows[4], theirs[2] = {item_set("a", ITEM_NAME, text_of("mine")), row_of(ITEM, DELTA_PUT, "b")};
    row_set(&theirs[1], ITEM_NAME, text_of("Bob"));
    row_set(&theirs[1], ITEM_STOCK, value_integer(7));
    refuse_sql(x,
               "BEGIN; UPDATE item SET name='mine' WHERE id='a'; INSERT INTO item(id, name, stock) VALUES('b', 'Bob', 7); COMMIT",
               SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, theirs, 2), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
    /* A counter adds, as where the two inserts meet on the server (M15). */
    assert_string_equal(item(x, "b"), "Bob|~|14|~");
    assert_sound(x);
    assert_int_equal(sent_rows(x, rows), 2);
    assert_int_equal(rows[0].op, DELTA_UPDATE);
    assert_int_equal(rows[0].ncol, 1);
    assert_int_equal(rows[0].col[0].id, ITEM_NAME);
    assert_int_equal(rows[1].op, DELTA_PUT);
    assert_int_equal(rows[1].ncol, 2);
    assert_int_equal(rows[1].col[1].id, ITEM_STOCK);
    assert_int_equal(rows[1].col[1].kind, DELTA_SET);
    assert_int_equal(rows[1].v[1].u.i, 7);
    /* Without what the others wrote it stands by itself. */
    delta_row gone[2] = {row_of(ITEM, DELTA_DELETE, "b"), item_set("a", ITEM_NAME, text_of("Ann"))};
    assert_int_equal(page_apply(x, 12, gone, 2), SATCHEL_OK);
    assert_string_equal(item(x, "b"), "Bob|~|7|~");
    assert_string_equal(item(x, "a"), "mine|5|100|~");
    assert_sound(x);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    assert_string_equal(item(x, "b"), "-");
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_sound(x);
}

static void N7_discard_of_what_a_retry_said_again_leaves_what_stands_there(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row theirs = item_put("b", "Bea", 3, 7);
    refuse_sql(x, "INSERT INTO item(id, name, stock) VALUES('b', 'Bob', 1); UPDATE item SET name='mine' WHERE id='a'",
               SATCHEL_E_KEY_TAKEN);
    refuse_with(x, 2, SATCHEL_E_CHECK, "no");
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_string_equal(item(x, "b"), "Bea|3|7|~");
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    /* What it left out is not taken away. */
    assert_string_equal(item(x, "b"), "Bob|3|8|~");
    assert_sound(x);
    assert_int_equal(outbox_discard(x->f, 3), SATCHEL_OK);
    assert_string_equal(item(x, "b"), "Bea|3|7|~");
    assert_sound(x);
}

/* Of keys alone there is no column that could be set. */
static void N7_retry_of_an_insert_that_says_nothing_is_said_again(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row rows[4], theirs = item_put("b", "Bea", 3, 7);
    refuse_sql(x, "INSERT INTO item(id) VALUES('b')", SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
    assert_string_equal(item(x, "b"), "Bea|3|7|~");
    assert_int_equal(sent_rows(x, rows), 1);
    assert_int_equal(rows[0].op, DELTA_PUT);
    assert_int_equal(rows[0].ncol, 0);
    assert_sound(x);
}

/* What the app makes of it is one transaction with it; and what it takes back is not said. */
static void N6_edit_of_what_stands_there_already_says_what_it_comes_to(void **state) {
    fixture *x = *state;
    delta_row rows[4], theirs[2] = {item_set("a", ITEM_NAME, text_of("mine")), item_put("b", "Bob", 3, 7)};
    refuse_sql(
        x,
        "BEGIN; UPDATE item SET name='mine', price=6 WHERE id='a'; INSERT INTO item(id, name, price) VALUES('b', 'Bob', 4); COMMIT",
        SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, theirs, 2), SATCHEL_OK);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET price=5 WHERE id='a'; UPDATE item SET price=3 WHERE id='b'; COMMIT");
    assert_int_equal(sent_rows(x, rows), 2);
    assert_int_equal(rows[0].op, DELTA_UPDATE);
    assert_int_equal(rows[0].ncol, 1);
    assert_int_equal(rows[0].col[0].id, ITEM_NAME);
    assert_int_equal(rows[1].op, DELTA_PUT);
    assert_int_equal(rows[1].ncol, 2);
    assert_int_equal(rows[1].v[1].u.i, 3);
    assert_sound(x);
}

static void N6_edit_that_deletes_the_row_that_its_insert_met_deletes_it(void **state) {
    fixture *x = *state;
    delta_row rows[4], theirs = item_put("b", "Bob", 3, 7);
    refuse_sql(x, "INSERT INTO item(id, name) VALUES('b', 'Bob')", SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    app_sql(x, "DELETE FROM item WHERE id='b'; COMMIT");
    assert_int_equal(sent_rows(x, rows), 1);
    assert_int_equal(rows[0].op, DELTA_DELETE);
    assert_sound(x);
}

/* Nothing is left to say; but who deleted it may have done so on a server that is put back. */
static void N7_retry_of_a_deletion_whose_row_is_gone_is_moot_and_may_be_made_again(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row theirs = row_of(ITEM, DELTA_DELETE, "a");
    refuse_sql(x, "DELETE FROM item WHERE id='a'", SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_true(moot);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
    assert_int_equal(outbox_settle_moot(x->f, 1), SATCHEL_OK);
    assert_int_equal(outbox_settle_moot(x->f, 2), SATCHEL_E_NOT_FOUND);
    untold_is(x, 1, 0);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_int_equal(rewind_file(x, 10), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
    assert_sound(x);
}

/* Each retry names the first: of those between a server that is put back may know nothing, and that one it has open. */
static void N6_retry_of_a_retry_resolves_the_first_of_them(void **state) {
    fixture *x = *state;
    bool moot;
    retried(x);
    refuse_with(x, 2, SATCHEL_E_UNIQUE, "no");
    outbox_prune_up_to(x, 10);
    assert_int_equal(outbox_retry(x->w, 2, &moot), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=3"), 1);
    assert_int_equal(state_of(x, 2), TXN_DISCARDED);
    /* They are known as of one line by the ids. */
    assert_int_equal(app_integer(x, "SELECT count(DISTINCT substr(id, 1, 4)) FROM satchel_outbox"), 1);
    assert_int_equal(app_integer(x, "SELECT count(DISTINCT id) FROM satchel_outbox"), 2);
    app_sql(x, "INSERT INTO item(id) VALUES('n')");
    assert_int_equal(app_integer(x, "SELECT count(DISTINCT substr(id, 1, 4)) FROM satchel_outbox"), 2);
    refuse_with(x, 3, SATCHEL_E_UNIQUE, "no");
    uint64_t ended;
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    msg_result r = {.number = 1, .rc = SATCHEL_E_RESOLVED};
    assert_int_equal(file_end(x->f, outbox_settled_there(x->f, &r, &ended)), SATCHEL_OK);
    assert_int_equal(ended, 3);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_sound(x);
}

/* The one column that it changed is no more. */
static void N6_edit_of_what_cannot_be_made_again_begins_nothing(void **state) {
    fixture *x = *state;
    bool moot;
    refuse_sql(x, "UPDATE item SET price=6 WHERE id='a'", SATCHEL_E_CHECK);
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item DROP COLUMN price;"), SATCHEL_OK);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_E_ROW_MISSING);
    assert_true(sqlite3_get_autocommit(x->app));
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_true(moot);
    app_sql(x, "UPDATE item SET name='later' WHERE id='a'");
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=2"), 0);
    assert_sound(x);
}

static void N6_retry_of_an_insert_that_the_apps_trigger_passes_over_is_moot(void **state) {
    fixture *x = *state;
    bool moot;
    refuse_sql(x, "INSERT INTO item(id, name) VALUES('b', 'Bob')", SATCHEL_E_CHECK);
    app_sql(x, "CREATE TRIGGER mine BEFORE INSERT ON item WHEN satchel_local() BEGIN SELECT RAISE(IGNORE); END");
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_true(moot);
    assert_string_equal(item(x, "b"), "-");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
    app_sql(x, "DROP TRIGGER mine");
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
    assert_string_equal(item(x, "b"), "Bob|~|~|~");
    assert_sound(x);
}

/* A part of what the app wrote would be another transaction than the one that it wrote. */
static void N6_retry_of_an_update_whose_row_is_gone_does_nothing_at_all(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row theirs = row_of(ITEM, DELTA_LEAVE, "a");
    refuse_sql(x, TWO_ROWS, SATCHEL_E_SCOPE);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_ROW_MISSING);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 0);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 1);
    assert_sound(x);
}

/* What may not be done again, and why. */
static void N6_retry_that_cannot_be_is_told_and_leaves_the_refusal(void **state) {
    fixture *x = *state;
    bool moot;
    refuse_sql(x, "INSERT INTO tag(id) VALUES('t'); UPDATE item SET stock='many'; INSERT INTO item(id) VALUES('waits')",
               SATCHEL_E_CHECK);
    refuse_with(x, 2, SATCHEL_E_TYPE, "no");
    assert_int_equal(fixture_migrate(x, "DROP TABLE tag;"), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_UNKNOWN_TABLE);
    assert_int_equal(outbox_retry(x->w, 2, &moot), SATCHEL_E_TYPE);
    assert_int_equal(outbox_retry(x->w, 3, &moot), SATCHEL_E_NOT_FOUND);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 2);
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 3);
    assert_sound(x);
}

static void N6_retry_does_deletions_and_parts_again_and_passes_over_dropped_columns(void **state) {
    fixture *x = *state;
    bool moot;
    refuse_sql(
        x, "BEGIN; DELETE FROM item WHERE id='a'; INSERT INTO item(id, price, note) VALUES('b', 7, hex(zeroblob(2000))); COMMIT",
        SATCHEL_E_CHECK);
    assert_int_equal(app_integer(x, "SELECT parts FROM satchel_outbox"), 1);
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item DROP COLUMN price;"), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_false(moot);
    assert_int_equal(app_integer(x, "SELECT length(note) FROM item"), 4000);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM item"), "b");
    assert_sound(x);
}

/* As another process sees it. */
static int64_t rejected_elsewhere(fixture *x) {
    int64_t n = -1;
    assert_int_equal(db_integer(&x->f->sql, "SELECT count(*) FROM satchel_rejected", 0, &n), SATCHEL_OK);
    return n;
}

static void N6_edit_of_a_refusal_is_one_transaction_in_its_place(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    refuse_sql(x, TWO_ROWS, SATCHEL_E_UNIQUE);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_E_MISUSE);
    app_sql(x, "UPDATE item SET name='Bill' WHERE id='b'; DELETE FROM item WHERE id='a'");
    /* Until the commit nobody sees anything of it. */
    assert_int_equal(rejected_elsewhere(x), 1);
    app_sql(x, "COMMIT");
    assert_int_equal(rejected_elsewhere(x), 0);
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=2"), 1);
    assert_string_equal(item(x, "a"), "-");
    assert_string_equal(item(x, "b"), "Bill|~|~|~");
    app_sql(x, "UPDATE item SET name='later' WHERE id='b'");
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=3"), 0);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 2);
    assert_int_equal(first.resolves, 1);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_E_RESOLVED);
    assert_int_equal(outbox_edit(x->w, 9), SATCHEL_E_NOT_FOUND);
    assert_sound(x);
    buf_fini(&message);
}

static void N6_edit_that_is_rolled_back_or_comes_to_nothing_leaves_the_refusal(void **state) {
    fixture *x = *state;
    refuse_sql(x, "UPDATE item SET name='mine' WHERE id='a'", SATCHEL_E_UNIQUE);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='other' WHERE id='a'; ROLLBACK");
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='Ann' WHERE id='a'; COMMIT");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
    /* What the program writes then has nothing to do with it. */
    app_sql(x, "INSERT INTO item(id) VALUES('n')");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=2"), 0);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    app_sql(x, "COMMIT");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_sound(x);
}

static sqlite3 *read_other(const char *path) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

/* C2: each COMMIT but the last meets a reader of another database that it writes as well. What it comes to is told by the last one. */
static void N6_C2_edit_that_is_committed_again_resolves_what_it_comes_to_in_the_end(void **state) {
    fixture *x = *state;
    char other[128], sql[200];
    snprintf(other, sizeof other, "%s.other", x->path);
    snprintf(sql, sizeof sql, "PRAGMA busy_timeout=0; ATTACH '%s' AS other; CREATE TABLE other.t(v)", other);
    refuse_sql(x, "UPDATE item SET name='mine' WHERE id='a'", SATCHEL_E_UNIQUE);
    app_sql(x, sql);
    static const char *const LAST[] = {"Ann", "other"};
    for (unsigned i = 0; i < 2; i++) {
        sqlite3 *reader = read_other(other);
        assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
        app_sql(x, "INSERT INTO other.t VALUES(1)");
        assert_int_equal(sqlite3_exec(x->app, "COMMIT", NULL, NULL, NULL), SQLITE_BUSY);
        assert_int_equal(app_integer(x, "SELECT state FROM satchel_outbox WHERE n=1"), TXN_DISCARDED);
        app_sql(x, "UPDATE item SET name='Ann' WHERE id='a'");
        assert_int_equal(sqlite3_exec(x->app, "COMMIT", NULL, NULL, NULL), SQLITE_BUSY);
        assert_int_equal(app_integer(x, "SELECT code FROM satchel_rejected WHERE n=1"), SATCHEL_E_UNIQUE);
        snprintf(sql, sizeof sql, "UPDATE item SET name='%s' WHERE id='a'", LAST[i]);
        app_sql(x, sql);
        assert_int_equal(sqlite3_close(reader), SQLITE_OK);
        app_sql(x, "COMMIT");
        assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE resolves=1"), i);
        assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1 - i);
    }
    assert_string_equal(item(x, "a"), "other|5|100|~");
    app_sql(x, "DETACH other");
    unlink(other);
    assert_sound(x);
}

/* It is the app's connection: what it had set for itself it finds again. */
static void N6_edit_leaves_to_the_app_whether_constraints_are_looked_at(void **state) {
    fixture *x = *state;
    refuse_sql(x, "UPDATE item SET name='mine' WHERE id='a'", SATCHEL_E_UNIQUE);
    for (int64_t ignores = 0; ignores < 2; ignores++) {
        app_sql(x, ignores ? "PRAGMA ignore_check_constraints=1" : "PRAGMA ignore_check_constraints=0");
        assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
        assert_int_equal(app_integer(x, "PRAGMA ignore_check_constraints"), ignores);
        app_sql(x, "ROLLBACK");
        assert_int_equal(outbox_edit(x->w, 9), SATCHEL_E_NOT_FOUND);
        assert_int_equal(app_integer(x, "PRAGMA ignore_check_constraints"), ignores);
    }
}

static void give_check(fixture *x) {
    assert_int_equal(
        fixture_migrate(x, "INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES('item', 'price', 'price >= 0',"
                           " 'PRICE', 'a price is not below 0');"),
        SATCHEL_OK);
}

static void refused_here(fixture *x, const char *sql) {
    assert_int_equal(sqlite3_exec(x->app, sql, NULL, NULL, NULL), SQLITE_CONSTRAINT_TRIGGER);
    assert_string_equal(sqlite3_errmsg(x->app), "PRICE: a price is not below 0");
    assert_int_equal(outbox_writer_error_code(x->w), SATCHEL_E_CHECK);
    assert_string_equal(outbox_writer_error(x->w), "PRICE: a price is not below 0");
}

static void check_refuses_the_apps_statement_with_its_code_and_nothing_is_half_done(void **state) {
    fixture *x = *state;
    give_check(x);
    refused_here(x, "INSERT INTO item(id, price) VALUES('a', 1), ('b', -1)");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 0);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
    app_sql(x, "BEGIN; INSERT INTO item(id, price) VALUES('a', 1)");
    refused_here(x, "INSERT INTO item(id, price) VALUES('b', 2), ('c', -1)");
    refused_here(x, "UPDATE item SET price = -price");
    app_sql(x, "INSERT INTO item(id, price) VALUES('d', 4); COMMIT");
    assert_int_equal(outbox_writer_error_code(x->w), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT sum(price) FROM item"), 5);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
    assert_sound(x);
}

/* What the server says is so, and an edit of the app's lies upon it, whatever the check. */
static void check_does_not_stop_rows_of_the_servers(void **state) {
    fixture *x = *state;
    delta_row theirs = item_put("a", "Ann", -5, 0), more = item_set("a", ITEM_PRICE, value_integer(-6));
    give_check(x);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(page_apply(x, 12, &more, 1), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT price FROM item WHERE name='mine'"), -6);
    refused_here(x, "UPDATE item SET price = -7");
    assert_sound(x);
}

/* As CHECK constraints do. */
static void check_is_passed_over_while_an_edit_begins_and_stands_before_a_retry(void **state) {
    fixture *x = *state;
    bool moot;
    app_sql(x, "INSERT INTO item(id, price) VALUES('a', -1)");
    refuse_with(x, 1, SATCHEL_E_CHECK, "PRICE: a price is not below 0");
    give_check(x);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_CHECK);
    assert_string_equal(outbox_writer_error(x->w), "PRICE: a price is not below 0");
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT price FROM item"), -1);
    refused_here(x, "UPDATE item SET price = -2");
    app_sql(x, "UPDATE item SET price = 2; COMMIT");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_int_equal(app_integer(x, "SELECT resolves FROM satchel_outbox WHERE n=2"), 1);
    assert_sound(x);
}

/* A statement that has written and is not finished is a transaction of the app's: nothing is done in it, and it is not rolled back. */
static void N6_retry_and_edit_leave_an_unfinished_statement_alone(void **state) {
    fixture *x = *state;
    bool moot;
    sqlite3_stmt *q = NULL;
    refuse_sql(x, "UPDATE item SET name='mine' WHERE id='a'", SATCHEL_E_UNIQUE);
    assert_int_equal(sqlite3_prepare_v2(x->app, "INSERT INTO item(id) VALUES('n') RETURNING id", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_E_MISUSE);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_E_MISUSE);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    assert_string_not_equal(item(x, "n"), "-");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 2);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
    assert_sound(x);
}

/* Why the commit before was refused is not why this cannot be. */
static void N6_retry_and_edit_fail_for_their_own_reasons(void **state) {
    fixture *x = *state;
    bool moot;
    assert_int_not_equal(sqlite3_exec(x->app, "INSERT INTO item(id) VALUES(NULL)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(outbox_writer_error_code(x->w), SATCHEL_E_NULL_KEY);
    assert_int_equal(outbox_edit(x->w, 9), SATCHEL_E_NOT_FOUND);
    assert_int_equal(outbox_writer_error_code(x->w), SATCHEL_OK);
    assert_int_not_equal(sqlite3_exec(x->app, "INSERT INTO item(id) VALUES(NULL)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(outbox_retry(x->w, 9, &moot), SATCHEL_E_NOT_FOUND);
}

/* Confirmed, not shown: a later edit of this device is not the server's. */
static void refusal_tells_what_was_wanted_beside_what_the_server_has(void **state) {
    fixture *x = *state;
    delta_row theirs = item_set("a", ITEM_NAME, text_of("theirs"));
    char *json;
    outbox_give_item(x);
    app_sql(x, "BEGIN; UPDATE item SET name='mine' WHERE id='a'; INSERT INTO item(id, price) VALUES('b', 7); COMMIT");
    app_sql(x, "UPDATE item SET name='later' WHERE id='a'");
    assert_int_equal(refusal_json(x->f, 1, &json), SATCHEL_E_NOT_FOUND);
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT name FROM item WHERE id='a'"), "later");
    assert_int_equal(refusal_json(x->f, 1, &json), SATCHEL_OK);
    assert_non_null(strstr(json, "\"code\":\"E_CHECK\",\"rule\":\"check\",\"text\":\"no\""));
    assert_non_null(strstr(json,
                           "\"op\":\"update\",\"key\":{\"id\":\"a\"},\"was\":{\"name\":\"Ann\"},\"wanted\":{\"name\":\"mine\"},"
                           "\"server\":{\"name\":\"theirs\""));
    assert_non_null(strstr(json, "\"op\":\"insert\",\"key\":{\"id\":\"b\"},\"was\":{},\"wanted\":{"));
    assert_non_null(strstr(json, "\"server\":null"));
    sqlite3_free(json);
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    assert_int_equal(refusal_json(x->f, 1, &json), SATCHEL_E_RESOLVED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(N6_retry_runs_the_changes_as_a_new_transaction),
        OUTBOX_TEST(N6_what_an_admin_settled_is_open_no_more_and_the_server_is_told_so),
        OUTBOX_TEST(N7_refusal_that_was_settled_after_the_backup_is_open_again),
        OUTBOX_TEST(N7_what_was_settled_is_kept_until_the_backup_has_passed_it),
        OUTBOX_TEST(N7_server_is_told_again_of_a_discard_that_it_lost),
        OUTBOX_TEST(N7_retry_that_an_admin_forestalled_after_the_backup_may_be_made_again),
        OUTBOX_TEST(N7_so_may_one_of_which_the_user_has_taken_note),
        OUTBOX_TEST(N6_discard_of_a_retry_that_was_never_sent_tells_the_refusal_in_its_place),
        OUTBOX_TEST(N6_discard_of_a_retry_that_could_not_be_sent_tells_the_refusal_in_its_place),
        OUTBOX_TEST(N6_discard_of_a_retry_that_could_not_be_sent_again_tells_itself),
        OUTBOX_TEST(N6_discard_of_what_the_server_never_heard_of_is_not_told),
        OUTBOX_TEST(N7_retry_says_again_what_stands_there_already),
        OUTBOX_TEST(N7_discard_of_what_a_retry_said_again_leaves_what_stands_there),
        OUTBOX_TEST(N7_retry_of_an_insert_that_says_nothing_is_said_again),
        OUTBOX_TEST(N6_edit_of_what_stands_there_already_says_what_it_comes_to),
        OUTBOX_TEST(N6_edit_that_deletes_the_row_that_its_insert_met_deletes_it),
        OUTBOX_TEST(N7_retry_of_a_deletion_whose_row_is_gone_is_moot_and_may_be_made_again),
        OUTBOX_TEST(N6_retry_of_a_retry_resolves_the_first_of_them),
        OUTBOX_TEST(N6_edit_of_what_cannot_be_made_again_begins_nothing),
        OUTBOX_TEST(N6_retry_of_an_insert_that_the_apps_trigger_passes_over_is_moot),
        OUTBOX_TEST(N6_retry_of_an_update_whose_row_is_gone_does_nothing_at_all),
        OUTBOX_TEST(N6_retry_that_cannot_be_is_told_and_leaves_the_refusal),
        OUTBOX_TEST(N6_retry_does_deletions_and_parts_again_and_passes_over_dropped_columns),
        OUTBOX_TEST(N6_edit_of_a_refusal_is_one_transaction_in_its_place),
        OUTBOX_TEST(N6_edit_that_is_rolled_back_or_comes_to_nothing_leaves_the_refusal),
        OUTBOX_TEST(N6_C2_edit_that_is_committed_again_resolves_what_it_comes_to_in_the_end),
        OUTBOX_TEST(N6_edit_leaves_to_the_app_whether_constraints_are_looked_at),
        OUTBOX_TEST(N6_retry_and_edit_leave_an_unfinished_statement_alone),
        OUTBOX_TEST(check_refuses_the_apps_statement_with_its_code_and_nothing_is_half_done),
        OUTBOX_TEST(check_does_not_stop_rows_of_the_servers),
        OUTBOX_TEST(check_is_passed_over_while_an_edit_begins_and_stands_before_a_retry),
        OUTBOX_TEST(N6_retry_and_edit_fail_for_their_own_reasons),
        OUTBOX_TEST(refusal_tells_what_was_wanted_beside_what_the_server_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
