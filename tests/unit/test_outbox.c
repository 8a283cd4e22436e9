/* Numbers, pushes and results: N1, N2 (the part that is the outbox's), N3, N7, P1, C8; what a refusal does (N6). */
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
#include "replica/refusal.h"
#include "tests/unit/outbox_fixture.h"

static delta_row first_row(const push_txn *t) {
    wire w;
    delta_reader reader;
    delta_row row;
    wire_open(&w, t->delta, t->ndelta);
    delta_open(&reader, &w);
    assert_int_equal(delta_next(&reader, &row), 1);
    return row;
}

static void commit_writes_one_row_per_transaction(void **state) {
    fixture *x = *state;
    app_sql(x,
            "BEGIN; INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); COMMIT; INSERT INTO tag(id) VALUES('t')");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 2);
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 2);
    assert_int_equal(x->committed, 2);
    app_sql(x, "BEGIN; INSERT INTO item(id) VALUES('c'); ROLLBACK");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 2);
    assert_int_equal(x->committed, 2);
}

static void N1_number_is_not_reused_after_pruning(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    accept_at(x, 1, 11);
    accept_at(x, 2, 12);
    assert_int_equal(page_apply(x, 12, NULL, 0), SATCHEL_OK);
    int64_t stamp = app_integer(x, "SELECT max(stamp) FROM satchel_outbox");
    outbox_prune_up_to(x, 12);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
    fixture_reopen(x);
    x->now_ms -= 3600000;
    app_sql(x, "INSERT INTO item(id) VALUES('c')");
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_outbox"), 3);
    assert_true(app_integer(x, "SELECT stamp FROM satchel_outbox") > stamp);
}

static void N1_discarded_number_leaves_a_gap(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    outbox_prune_up_to(x, 0);
    app_sql(x, "INSERT INTO item(id) VALUES('c')");
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 3);
    assert_string_equal(item(x, "b"), "-");
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 2);
    buf_fini(&message);
}

static void N8_each_transaction_keeps_its_own_stamp_and_base(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET price=1");
    x->now_ms += 5;
    assert_int_equal(page_apply(x, 20, NULL, 0), SATCHEL_OK);
    app_sql(x, "UPDATE item SET price=2");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 2);
    assert_int_equal(app_integer(x, "SELECT base FROM satchel_outbox WHERE n=1"), 10);
    assert_int_equal(app_integer(x, "SELECT base FROM satchel_outbox WHERE n=2"), 20);
    assert_true(app_integer(x, "SELECT stamp FROM satchel_outbox WHERE n=2") >
                app_integer(x, "SELECT stamp FROM satchel_outbox WHERE n=1"));
    assert_int_not_equal(
        app_integer(x, "SELECT (SELECT id FROM satchel_outbox WHERE n=1)=(SELECT id FROM satchel_outbox WHERE n=2)"), 1);
}

static void stamp_passes_what_was_received(void **state) {
    fixture *x = *state;
    outbox_give_item(x); /* the page's high stamp is the time */
    x->now_ms -= 1000000;
    app_sql(x, "UPDATE item SET price=1");
    assert_true((uint64_t)app_integer(x, "SELECT stamp FROM satchel_outbox") > hlc_of_ms(x->now_ms + 1000000));
}

static void C8_numbers_of_two_connections_do_not_meet(void **state) {
    fixture *x = *state;
    sqlite3 *db;
    outbox_writer *w;
    buf words;
    buf_init(&words, 0);
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(outbox_writer_open(db, x->f, NULL, NULL, &w, &words), SATCHEL_OK);
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    assert_int_equal(sqlite3_exec(db, "INSERT INTO item(id) VALUES('b')", NULL, NULL, NULL), SQLITE_OK);
    app_sql(x, "INSERT INTO item(id) VALUES('c')");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 3);
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 3);
    outbox_writer_close(w);
    sqlite3_close(db);
    buf_fini(&words);
}

/* The app's connection learns of a migration at its next write, also of a table that it did not know. */
static void P1_migration_by_the_other_connection_is_captured_at_once(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id, note) VALUES('a', 'n')");
    sqlite3_stmt *kept;
    assert_int_equal(sqlite3_prepare_v2(x->app, "UPDATE item SET note=? WHERE id='a'", -1, &kept, NULL), SQLITE_OK);
    assert_int_equal(
        fixture_migrate(x, "CREATE TABLE fresh(id TEXT PRIMARY KEY, v TEXT); INSERT INTO satchel_table(name) VALUES('fresh');"
                           "ALTER TABLE item DROP COLUMN price; ALTER TABLE item ADD COLUMN price TEXT;"),
        SATCHEL_OK);
    app_sql(x, "INSERT INTO fresh VALUES('f', 'v')");
    assert_int_equal(sqlite3_bind_text(kept, 1, "m", 1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(kept), SQLITE_DONE);
    sqlite3_finalize(kept);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 3);
    assert_int_equal(app_integer(x, "SELECT epoch FROM satchel_outbox WHERE n=1"), 1);
    assert_int_equal(app_integer(x, "SELECT epoch FROM satchel_outbox WHERE n=2"), 2);
    assert_int_equal(app_integer(x, "SELECT epoch FROM satchel_outbox WHERE n=3"), 2);
}

static void P1_push_names_columns_of_the_epoch_they_were_captured_in(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET note='n' WHERE id='a'");
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item DROP COLUMN name; ALTER TABLE item ADD COLUMN colour TEXT;"),
                     SATCHEL_OK);
    app_sql(x, "UPDATE item SET colour='red' WHERE id='a'");
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 2);
    delta_row row = first_row(&first);
    assert_int_equal(first.schema_epoch, 1);
    assert_int_equal(row.ncol, 1);
    assert_int_equal(row.col[0].id, ITEM_NOTE);
    at = (outbox_cursor){.number = 1};
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 1);
    assert_int_equal(first_row(&first).col[0].id, 6);
    buf_fini(&message);
}

static void push_sends_counters_as_differences(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET stock=stock-30 WHERE id='a'");
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 1);
    delta_row row = first_row(&first);
    assert_int_equal(row.op, DELTA_UPDATE);
    assert_int_equal(row.col[0].kind, DELTA_ADD);
    assert_int_equal(row.v[0].u.i, -30);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 0);
    buf_fini(&message);
}

static void push_of_a_large_transaction_goes_in_parts(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    unsigned messages = 0, parts = 0, n;
    buf_init(&message, 0);
    app_sql(x, "INSERT INTO item(id) VALUES('before')");
    app_sql(x, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<3000)"
               "INSERT INTO item(id, note) SELECT 'k'||i, hex(zeroblob(300)) FROM c");
    app_sql(x, "INSERT INTO item(id) VALUES('after')");
    assert_true(app_integer(x, "SELECT parts FROM satchel_outbox WHERE n=2") > 3);
    while ((n = outbox_push_one(x, &at, &message, &first)) > 0) {
        assert_true(message.n <= LIMIT_FRAME_BYTES);
        messages++;
        parts += n;
    }
    assert_true(messages > 2);
    assert_int_equal(parts, 2 + app_integer(x, "SELECT parts FROM satchel_outbox WHERE n=2"));
    assert_int_equal(at.number, 3);
    accept_at(x, 2, 5);
    assert_int_equal(page_apply(x, 5, NULL, 0), SATCHEL_OK); /* all of it was lost */
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 2);
    outbox_prune_up_to(x, 5);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox_part"), 0);
    assert_sound(x);
    buf_fini(&message);
}

/* Also what waits below the server's number: a conversation takes one incarnation. */
/* ---- what has no difference, no words, no room ---- */

static void push_sends_a_counter_that_has_no_difference_as_what_was_set(void **state) {
    fixture *x = *state;
    static const struct {
        const char *set;
        uint8_t type;
    } CASE[] = {{"'many'", VALUE_TEXT}, {"-9223372036854775808", VALUE_INTEGER}};
    buf message;
    buf_init(&message, 0);
    outbox_give_item(x);
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        push_txn first;
        outbox_cursor at = {.number = 2 * i};
        char sql[100];
        snprintf(sql, sizeof sql, "UPDATE item SET stock=%s WHERE id='a'; UPDATE item SET stock=100", CASE[i].set);
        app_sql(x, sql);
        assert_int_equal(outbox_push_one(x, &at, &message, &first), 2);
        delta_row row = first_row(&first);
        assert_int_equal(row.op, DELTA_UPDATE);
        assert_true(row.key[0].n == 1 && row.key[0].u.p[0] == 'a');
        assert_int_equal(row.ncol, 1);
        assert_int_equal(row.col[0].kind, DELTA_SET);
        assert_int_equal(row.v[0].type, CASE[i].type);
    }
    buf_fini(&message);
}

/* More transactions of what the first one is, numbered on. */
static void repeat(fixture *x, unsigned n) {
    char sql[300];
    snprintf(
        sql, sizeof sql,
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%u) INSERT INTO satchel_outbox(n, incarnation, id, stamp,"
        " base, epoch, changes) SELECT n+i, incarnation, id, stamp+i, base, epoch, changes FROM satchel_outbox, c WHERE n=1",
        n - 1);
    app_sql(x, sql);
}

static void push_that_is_full_goes_on_in_the_next(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    repeat(x, LIMIT_PUSH_TXNS + 3);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), LIMIT_PUSH_TXNS);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 3);
    /* What was not seen counts too: the next transaction has no room beside the first. */
    app_sql(x, "UPDATE satchel_outbox SET unseen=CAST(x'5a001cfde0' || zeroblob(1900000) AS BLOB) WHERE n=2");
    at = (outbox_cursor){0};
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 1);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 1);
    assert_int_equal(first.number, 2);
    /* One message has one incarnation. */
    app_sql(x, "UPDATE satchel_outbox SET unseen=NULL; UPDATE satchel_outbox SET incarnation=2 WHERE n>2");
    at = (outbox_cursor){0};
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 2);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), LIMIT_PUSH_TXNS);
    buf_fini(&message);
}

static void N3_fork_leaves_nothing_under_the_old_incarnation(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); INSERT INTO item(id) VALUES('c')");
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_fork(x->f, 2)), SATCHEL_OK);
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 3);
    assert_int_equal(first.number, 1);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE incarnation=2"), 3);
    buf_fini(&message);
}

static void N3_fork_carries_unsettled_work_to_the_new_incarnation(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); INSERT INTO item(id) VALUES('c')");
    accept_at(x, 1, 11);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.sent_number = 3;
    assert_int_equal(file_end(x->f, outbox_fork(x->f, 2)), SATCHEL_OK);
    assert_int_equal(
        app_integer(x, "SELECT group_concat(incarnation, '') FROM (SELECT incarnation FROM satchel_outbox ORDER BY n)"), 122);
    assert_int_equal(x->f->state.sent_number,
                     3); /* what was sent may have been taken under the old one: it cannot be discarded */
    app_sql(x, "INSERT INTO item(id) VALUES('d')");
    assert_int_equal(app_integer(x, "SELECT incarnation FROM satchel_outbox WHERE n=4"), 2);
}

static void N3_repeated_result_has_no_second_effect(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    accept_at(x, 1, 11);
    refuse_with(x, 1, SATCHEL_E_CHECK, "late");
    accept_at(x, 1, 12);
    accept_at(x, 99, 13); /* a number that was pruned */
    assert_int_equal(app_integer(x, "SELECT seq FROM satchel_outbox WHERE n=1 AND state=1"), 11);
}

static void N6_refusal_parks_one_transaction_and_tells_why(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    refuse_with(x, 1, SATCHEL_E_KEY_TAKEN, "taken by another");
    accept_at(x, 2, 11);
    assert_string_equal(app_text(x, "SELECT n||'|'||code||'|'||name||'|'||text FROM satchel_rejected"),
                        "1|-44|E_KEY_TAKEN|taken by another");
    assert_string_equal(item(x, "a"), "-");
    assert_string_not_equal(item(x, "b"), "-");
    assert_int_equal(x->f->state.settled_number, 2);
}

static void N6_settled_number_stops_at_the_first_without_a_result(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); INSERT INTO item(id) VALUES('c')");
    accept_at(x, 1, 11);
    accept_at(x, 3, 12);
    assert_int_equal(x->f->state.settled_number, 1);
}

static void N6_discarded_refusal_is_told_once(void **state) {
    fixture *x = *state;
    uint64_t number = 0;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK); /* never sent: nobody to tell */
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 1);
    assert_int_equal(number, 1);
    assert_int_equal(outbox_next_untold(x->f, 1, &number), 0);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_told(x->f, 1)), SATCHEL_OK);
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 0);
    app_sql(x, "INSERT INTO item(id) VALUES('c')");
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 3);
}

static void discard_of_what_was_sent_waits_for_its_result(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.sent_number = 1;
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_E_BUSY);
    assert_string_not_equal(item(x, "a"), "-");
}

static void N7_restored_server_is_given_again_what_it_lost(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at;
    buf_init(&message, 0);
    outbox_give_item(x);
    app_sql(x,
            "UPDATE item SET price=1 WHERE id='a'; UPDATE item SET price=2 WHERE id='a'; UPDATE item SET price=3 WHERE id='a'");
    accept_at(x, 1, 11);
    accept_at(x, 2, 12);
    delta_row echo = item_set("a", ITEM_PRICE, value_integer(2));
    assert_int_equal(page_apply(x, 12, &echo, 1), SATCHEL_OK); /* 1 and 2 are confirmed */
    assert_int_equal(rewind_file(x, 11), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT group_concat(state, '') FROM (SELECT state FROM satchel_outbox ORDER BY n)"), 200);
    assert_int_equal(x->f->state.settled_number, 1);
    at = (outbox_cursor){.number = x->f->state.settled_number};
    assert_int_equal(outbox_push_one(x, &at, &message, &first), 2);
    assert_int_equal(first.number, 2);
    assert_int_equal(first.effective, hlc_of_ms(x->now_ms));
    assert_true(first.base <= 11);
    buf_fini(&message);
}

static void rewind_to(fixture *x, uint64_t epoch_start) {
    assert_int_equal(rewind_file(x, epoch_start), SATCHEL_OK);
    assert_sound(x);
}

static void page_of(fixture *x, uint64_t seq, uint32_t column, value v) {
    delta_row row = item_set("a", column, v);
    assert_int_equal(page_apply(x, seq, &row, 1), SATCHEL_OK);
}

/* What lies beneath a pending change holds what had been confirmed, and is pending again. */
static void N7_what_was_confirmed_beneath_a_pending_change_counts_once(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET stock=stock+5 WHERE id='a'");
    accept_at(x, 1, 11);
    page_of(x, 11, ITEM_STOCK, value_integer(105));
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    page_of(x, 12, ITEM_PRICE, value_integer(7));
    rewind_to(x, 10);
    assert_string_equal(item(x, "a"), "mine|7|105|~");
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|7|105|~");
    assert_sound(x);
}

/* Numbers of the past say nothing of those that the restored server gives. */
static void N7_edit_that_is_accepted_below_where_its_row_stood_before_is_still_shown(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    page_of(x, 30, ITEM_PRICE, value_integer(7));
    rewind_to(x, 10);
    accept_at(x, 1, 14);
    assert_sound(x);
    page_of(x, 13, ITEM_NOTE, text_of("new"));
    assert_string_equal(item(x, "a"), "mine|7|100|new");
    page_of(x, 14, ITEM_NAME, text_of("mine"));
    assert_string_equal(item(x, "a"), "mine|7|100|new");
    assert_int_equal(bases(x), 0);
}

/* M16: since when a column is hidden is told in the numbers of the restored server, too. */
static void N7_what_is_hidden_is_unseen_since_the_restored_server(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    page_of(x, 20, ITEM_PRICE, value_integer(7));
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    page_of(x, 30, ITEM_NAME, text_of("theirs"));
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "0214");
    rewind_to(x, 15);
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "020F");
    rewind_to(x, 17);
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "020F");
}

/* Without a snapshot nobody tells again what came before the backup: what is known to stand beneath an edit stays known. */
static void N7_what_came_before_the_backup_stays_beneath_a_pending_change(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    page_of(x, 12, ITEM_NAME, text_of("theirs"));
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.placed = true;
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    rewind_to(x, 15);
    assert_int_equal(x->f->state.cursor, 12);
    assert_string_equal(item(x, "a"), "mine|5|100|~");
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "020A");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "theirs|5|100|~");
    assert_sound(x);
}

/* M16: what was hidden before the backup is no less unseen for standing where nobody knows until the snapshot comes. */
static void N7_what_was_hidden_before_the_backup_stays_unseen(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'; UPDATE item SET name='Ann' WHERE id='a'");
    page_of(x, 12, ITEM_NAME, text_of("theirs"));
    page_of(x, 30, ITEM_PRICE, value_integer(7));
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "020A");
    rewind_to(x, 20);
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "020A");
}

static void N7_deletion_that_was_hidden_before_the_backup_stays_unseen(void **state) {
    fixture *x = *state;
    delta_row gone = row_of(ITEM, DELTA_DELETE, "a"), other = item_put("b", "Bob", 1, 1);
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(page_apply(x, 12, &gone, 1), SATCHEL_OK);
    assert_int_equal(page_apply(x, 30, &other, 1), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "000A");
    rewind_to(x, 20);
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base"), "000A");
    app_sql(x, "UPDATE item SET name='again' WHERE id='a'");
    assert_int_equal(app_integer(x, "SELECT unseen IS NOT NULL FROM satchel_outbox WHERE n=2"), 1);
}

static void N7_row_that_left_beneath_a_pending_change_stays_away(void **state) {
    fixture *x = *state;
    outbox_give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    delta_row gone = row_of(ITEM, DELTA_LEAVE, "a");
    assert_int_equal(page_apply(x, 20, &gone, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    rewind_to(x, 10);
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(app_integer(x, "SELECT state*100+seq FROM satchel_base"), 300);
}

static void N7_confirmed_is_kept_until_the_backup_has_passed_it(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    accept_at(x, 1, 11);
    accept_at(x, 2, 12);
    delta_row echo[2] = {row_of(ITEM, DELTA_PUT, "a"), row_of(ITEM, DELTA_PUT, "b")};
    assert_int_equal(page_apply(x, 12, echo, 2), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE state=2"), 2);
    outbox_prune_up_to(x, 11);
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_outbox"), 2);
    assert_int_equal(x->f->state.number_floor, 1);
}

static void N6_those_told_of_are_forgotten_up_to_a_number(void **state) {
    fixture *x = *state;
    uint64_t number;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    refuse_with(x, 1, SATCHEL_E_CHECK, "");
    refuse_with(x, 2, SATCHEL_E_CHECK, "");
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_told(x->f, 1)), SATCHEL_OK);
    assert_int_equal(outbox_next_untold(x->f, 0, &number), 1);
    assert_int_equal(number, 2);
}

/* The words of a refusal name its row as people read it. */
static void N6_refusal_names_its_row(void **state) {
    fixture *x = *state;
    static const struct {
        const char *key;
        size_t n;
        const char *text;
    } CASE[] = {
        {"\3\1a", 3, "a"},
        {"\1\377\377\377\377\377\377\377\376", 9, "-2"},
        {"\2\77\370\0\0\0\0\0\0", 9, "1.5"},
        {"\4\2\1\377", 4, "01ff"},
        {"\3\1b\1\0\0\0\0\0\0\0\3", 12, "b, 3"},
        {"\5", 1, "NULL"},
        {"\3\1a\3\7b", 6, "a"}, /* ends early */
        {"", 0, ""},
    };
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        char sql[100];
        bool changed;
        snprintf(sql, sizeof sql, "INSERT INTO item(id) VALUES('k%u')", i);
        app_sql(x, sql);
        msg_result r = {
            .number = i + 1, .rc = SATCHEL_E_KEY_TAKEN, .table = ITEM, .key = (const uint8_t *)CASE[i].key, .nkey = CASE[i].n};
        assert_int_equal(file_begin(x->f), SATCHEL_OK);
        assert_int_equal(file_end(x->f, outbox_result(x->f, &r, x->now_ms, &changed)), SATCHEL_OK);
        snprintf(sql, sizeof sql, "SELECT tbl || ':' || key FROM satchel_rejected WHERE n=%u", i + 1);
        assert_string_equal(app_text(x, sql) + 5, CASE[i].text);
    }
}

/* Twice in a row, and a server that begins to doubt at the very first number. */
static void settling_forking_and_rewinding_of_what_is_so_already(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    accept_at(x, 1, 11);
    accept_at(x, 1, 11);
    assert_int_equal(x->f->state.settled_number, 1);
    app_sql(x, "INSERT INTO item(id) VALUES('b')");
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.sent_number = 2;
    assert_int_equal(file_end(x->f, outbox_fork(x->f, 2)), SATCHEL_OK);
    assert_int_equal(x->f->state.sent_number, 2);
    /* What waits already is no news to a restored server. */
    assert_int_equal(rewind_file(x, 11), SATCHEL_OK);
    assert_int_equal(x->f->state.settled_number, 1);
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_outbox WHERE state=0"), 2);
}

/* Many at once leave the disk some hundreds at a time, in whatever order they were settled; the highest number stays known. */
static void N1_pruning_goes_in_steps_and_keeps_the_highest_number(void **state) {
    fixture *x = *state;
    bool more;
    uint64_t last;
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    accept_at(x, 1, 11);
    delta_row echo = row_of(ITEM, DELTA_PUT, "a");
    assert_int_equal(page_apply(x, 11, &echo, 1), SATCHEL_OK);
    repeat(x, 600);
    app_sql(x, "UPDATE satchel_outbox SET state=4 WHERE n>1; INSERT INTO item(id) VALUES('b')");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_begin(x->f), SATCHEL_OK);
        x->f->state.backup_seq = i ? 11 : 0;
        assert_int_equal(file_end(x->f, outbox_prune(x->f, &more)), SATCHEL_OK);
        assert_int_equal(more, i == 0);
    }
    assert_int_equal(app_integer(x, "SELECT n FROM satchel_outbox"), 601);
    assert_int_equal(x->f->state.number_floor, 600);
    assert_int_equal(outbox_last_number(x->f, &last), SATCHEL_OK);
    assert_int_equal(last, 601);
}

/* A commit without memory fails whole, or is captured whole. */
static void commit_without_memory_is_captured_or_fails(void **state) {
    fixture *x = *state;
    char sql[120];
    unsigned passed = 0;
    for (unsigned n = 1; passed < 20; n++) {
        int64_t before = app_integer(x, "SELECT count(*) FROM satchel_outbox");
        snprintf(sql, sizeof sql, "INSERT INTO item(id, note) VALUES('k%u', hex(randomblob(%u)))", n, n % 3 ? 10u : 3000u);
        faults_at(n, n % 2 == 0);
        int failed = sqlite3_exec(x->app, sql, NULL, NULL, NULL);
        if (!faults_happened()) passed++;
        faults_at(0, false);
        snprintf(sql, sizeof sql, "SELECT count(*) FROM item WHERE id='k%u'", n);
        assert_int_equal(app_integer(x, sql), failed ? 0 : 1);
        assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox") - before, failed ? 0 : 1);
    }
    assert_sound(x);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(commit_writes_one_row_per_transaction),
        OUTBOX_TEST(N1_number_is_not_reused_after_pruning),
        OUTBOX_TEST(N1_discarded_number_leaves_a_gap),
        OUTBOX_TEST(N8_each_transaction_keeps_its_own_stamp_and_base),
        OUTBOX_TEST(stamp_passes_what_was_received),
        OUTBOX_TEST(C8_numbers_of_two_connections_do_not_meet),
        OUTBOX_TEST(P1_migration_by_the_other_connection_is_captured_at_once),
        OUTBOX_TEST(P1_push_names_columns_of_the_epoch_they_were_captured_in),
        OUTBOX_TEST(push_sends_counters_as_differences),
        OUTBOX_TEST(push_of_a_large_transaction_goes_in_parts),
        OUTBOX_TEST(push_sends_a_counter_that_has_no_difference_as_what_was_set),
        OUTBOX_TEST(push_that_is_full_goes_on_in_the_next),
        OUTBOX_TEST(N3_fork_leaves_nothing_under_the_old_incarnation),
        OUTBOX_TEST(N3_fork_carries_unsettled_work_to_the_new_incarnation),
        OUTBOX_TEST(N3_repeated_result_has_no_second_effect),
        OUTBOX_TEST(N6_refusal_parks_one_transaction_and_tells_why),
        OUTBOX_TEST(N6_settled_number_stops_at_the_first_without_a_result),
        OUTBOX_TEST(N6_discarded_refusal_is_told_once),
        OUTBOX_TEST(discard_of_what_was_sent_waits_for_its_result),
        OUTBOX_TEST(N7_restored_server_is_given_again_what_it_lost),
        OUTBOX_TEST(N7_what_was_confirmed_beneath_a_pending_change_counts_once),
        OUTBOX_TEST(N7_edit_that_is_accepted_below_where_its_row_stood_before_is_still_shown),
        OUTBOX_TEST(N7_what_is_hidden_is_unseen_since_the_restored_server),
        OUTBOX_TEST(N7_what_came_before_the_backup_stays_beneath_a_pending_change),
        OUTBOX_TEST(N7_what_was_hidden_before_the_backup_stays_unseen),
        OUTBOX_TEST(N7_deletion_that_was_hidden_before_the_backup_stays_unseen),
        OUTBOX_TEST(N7_row_that_left_beneath_a_pending_change_stays_away),
        OUTBOX_TEST(N7_confirmed_is_kept_until_the_backup_has_passed_it),
        OUTBOX_TEST(N6_those_told_of_are_forgotten_up_to_a_number),
        OUTBOX_TEST(N6_refusal_names_its_row),
        OUTBOX_TEST(settling_forking_and_rewinding_of_what_is_so_already),
        OUTBOX_TEST(N1_pruning_goes_in_steps_and_keeps_the_highest_number),
        OUTBOX_TEST(commit_without_memory_is_captured_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
