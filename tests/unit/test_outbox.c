/* Numbers, pushes and results: N1, N2 (the part that is the outbox's), N3, N6, N7, N8, P1, C8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "replica/refusal.h"
#include "tests/support/replica_fixture.h"

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static void give_item(fixture *x) {
    delta_row r = item_put("a", "Ann", 5, 100);
    assert_int_equal(page_apply(x, 10, &r, 1), SATCHEL_OK);
}

/* The item, and what the app did; the server refuses its first transaction. */
static void refuse_sql(fixture *x, const char *sql, int rc) {
    give_item(x);
    app_sql(x, sql);
    refuse_with(x, 1, rc, "no");
}

#define TWO_ROWS                                                                                                                 \
    "BEGIN; UPDATE item SET name='mine', stock=stock+5 WHERE id='a'; INSERT INTO item(id, name) VALUES('b', 'Bob'); COMMIT"

/* One push message from the cursor on; returns how many transactions (or parts) it has, the first in *first. */
static unsigned push(fixture *x, outbox_cursor *at, buf *message, push_txn *first) {
    push_reader reader;
    push_txn t;
    uint64_t last;
    unsigned n = 0;
    buf_clear(message);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    int rc = outbox_push(x->f, at, message, &last);
    assert_true(rc >= 0);
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    if (rc == 0) return 0;
    assert_int_equal(push_open(&reader, message->p, message->n), SATCHEL_OK);
    while ((rc = push_next(&reader, &t)) == 1)
        if (n++ == 0) *first = t;
    assert_int_equal(rc, 0);
    return n;
}

static delta_row first_row(const push_txn *t) {
    wire w;
    delta_reader reader;
    delta_row row;
    wire_open(&w, t->delta, t->ndelta);
    delta_open(&reader, &w);
    assert_int_equal(delta_next(&reader, &row), 1);
    return row;
}

static void prune_up_to(fixture *x, uint64_t backup_seq) {
    bool more;
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.backup_seq = backup_seq;
    assert_int_equal(file_end(x->f, outbox_prune(x->f, &more)), SATCHEL_OK);
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
    prune_up_to(x, 12);
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
    prune_up_to(x, 0);
    app_sql(x, "INSERT INTO item(id) VALUES('c')");
    assert_int_equal(app_integer(x, "SELECT max(n) FROM satchel_outbox"), 3);
    assert_string_equal(item(x, "b"), "-");
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    assert_int_equal(push(x, &at, &message, &first), 2);
    buf_fini(&message);
}

static void N8_each_transaction_keeps_its_own_stamp_and_base(void **state) {
    fixture *x = *state;
    give_item(x);
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
    give_item(x); /* the page's high stamp is the time */
    x->now_ms -= 1000000;
    app_sql(x, "UPDATE item SET price=1");
    assert_true((uint64_t)app_integer(x, "SELECT stamp FROM satchel_outbox") > hlc_of_ms(x->now_ms + 1000000));
}

static void C8_numbers_of_two_connections_do_not_meet(void **state) {
    fixture *x = *state;
    sqlite3 *db;
    outbox_writer *w;
    buf words;
    env e = fixture_env(x);
    buf_init(&words, 0);
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(outbox_writer_open(db, &e, NULL, NULL, &w, &words), SATCHEL_OK);
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
    give_item(x);
    app_sql(x, "UPDATE item SET note='n' WHERE id='a'");
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item DROP COLUMN name; ALTER TABLE item ADD COLUMN colour TEXT;"),
                     SATCHEL_OK);
    app_sql(x, "UPDATE item SET colour='red' WHERE id='a'");
    assert_int_equal(push(x, &at, &message, &first), 2);
    delta_row row = first_row(&first);
    assert_int_equal(first.schema_epoch, 1);
    assert_int_equal(row.ncol, 1);
    assert_int_equal(row.col[0].id, ITEM_NOTE);
    at = (outbox_cursor){.number = 1};
    assert_int_equal(push(x, &at, &message, &first), 1);
    assert_int_equal(first_row(&first).col[0].id, 6);
    buf_fini(&message);
}

static void push_sends_counters_as_differences(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at = {0};
    buf_init(&message, 0);
    give_item(x);
    app_sql(x, "UPDATE item SET stock=stock-30 WHERE id='a'");
    assert_int_equal(push(x, &at, &message, &first), 1);
    delta_row row = first_row(&first);
    assert_int_equal(row.op, DELTA_UPDATE);
    assert_int_equal(row.col[0].kind, DELTA_ADD);
    assert_int_equal(row.v[0].u.i, -30);
    assert_int_equal(push(x, &at, &message, &first), 0);
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
    while ((n = push(x, &at, &message, &first)) > 0) {
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
    prune_up_to(x, 5);
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
    give_item(x);
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        push_txn first;
        outbox_cursor at = {.number = 2 * i};
        char sql[100];
        snprintf(sql, sizeof sql, "UPDATE item SET stock=%s WHERE id='a'; UPDATE item SET stock=100", CASE[i].set);
        app_sql(x, sql);
        assert_int_equal(push(x, &at, &message, &first), 2);
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
    assert_int_equal(push(x, &at, &message, &first), LIMIT_PUSH_TXNS);
    assert_int_equal(push(x, &at, &message, &first), 3);
    /* What was not seen counts too: the next transaction has no room beside the first. */
    app_sql(x, "UPDATE satchel_outbox SET unseen=CAST(x'5a001cfde0' || zeroblob(1900000) AS BLOB) WHERE n=2");
    at = (outbox_cursor){0};
    assert_int_equal(push(x, &at, &message, &first), 1);
    assert_int_equal(push(x, &at, &message, &first), 1);
    assert_int_equal(first.number, 2);
    /* One message has one incarnation. */
    app_sql(x, "UPDATE satchel_outbox SET unseen=NULL; UPDATE satchel_outbox SET incarnation=2 WHERE n>2");
    at = (outbox_cursor){0};
    assert_int_equal(push(x, &at, &message, &first), 2);
    assert_int_equal(push(x, &at, &message, &first), LIMIT_PUSH_TXNS);
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
    assert_int_equal(push(x, &at, &message, &first), 3);
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
    assert_int_equal(push(x, &at, &message, &first), 1);
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
    bool ended;
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    msg_result r = {.number = number, .rc = SATCHEL_E_RESOLVED};
    assert_int_equal(file_end(x->f, outbox_settled_there(x->f, &r, &ended)), SATCHEL_OK);
    assert_int_equal(ended, expected);
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
    prune_up_to(x, 10);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
    assert_int_equal(outbox_discard(x->f, 2), SATCHEL_OK);
    prune_up_to(x, 10);
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
    unsigned n = push(x, &at, &message, &first);
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
    prune_up_to(x, 10);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
}

static void N6_retry_of_what_is_already_so_is_moot(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row theirs = item_set("a", ITEM_NAME, text_of("mine"));
    refuse_sql(x, "UPDATE item SET name='mine' WHERE id='a'", SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_true(moot);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
}

static void N6_retry_of_a_deletion_whose_row_is_gone_is_moot(void **state) {
    fixture *x = *state;
    bool moot;
    delta_row theirs = row_of(ITEM, DELTA_DELETE, "a");
    refuse_sql(x, "DELETE FROM item WHERE id='a'", SATCHEL_E_CHECK);
    assert_int_equal(page_apply(x, 11, &theirs, 1), SATCHEL_OK);
    assert_int_equal(outbox_retry(x->w, 1, &moot), SATCHEL_OK);
    assert_true(moot);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 1);
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
    assert_int_equal(push(x, &at, &message, &first), 2);
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
    give_item(x);
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

static void N7_restored_server_is_given_again_what_it_lost(void **state) {
    fixture *x = *state;
    buf message;
    push_txn first;
    outbox_cursor at;
    buf_init(&message, 0);
    give_item(x);
    app_sql(x,
            "UPDATE item SET price=1 WHERE id='a'; UPDATE item SET price=2 WHERE id='a'; UPDATE item SET price=3 WHERE id='a'");
    accept_at(x, 1, 11);
    accept_at(x, 2, 12);
    delta_row echo = item_set("a", ITEM_PRICE, value_integer(2));
    assert_int_equal(page_apply(x, 12, &echo, 1), SATCHEL_OK); /* 1 and 2 are confirmed */
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_rewind(x->f, 11)), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT group_concat(state, '') FROM (SELECT state FROM satchel_outbox ORDER BY n)"), 200);
    assert_int_equal(x->f->state.settled_number, 1);
    at = (outbox_cursor){.number = x->f->state.settled_number};
    assert_int_equal(push(x, &at, &message, &first), 2);
    assert_int_equal(first.number, 2);
    assert_int_equal(first.effective, hlc_of_ms(x->now_ms));
    assert_true(first.base <= 11);
    buf_fini(&message);
}

static void N7_confirmed_is_kept_until_the_backup_has_passed_it(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    accept_at(x, 1, 11);
    accept_at(x, 2, 12);
    delta_row echo[2] = {row_of(ITEM, DELTA_PUT, "a"), row_of(ITEM, DELTA_PUT, "b")};
    assert_int_equal(page_apply(x, 12, echo, 2), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE state=2"), 2);
    prune_up_to(x, 11);
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
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, outbox_rewind(x->f, 11)), SATCHEL_OK);
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
        T(commit_writes_one_row_per_transaction),
        T(N1_number_is_not_reused_after_pruning),
        T(N1_discarded_number_leaves_a_gap),
        T(N8_each_transaction_keeps_its_own_stamp_and_base),
        T(stamp_passes_what_was_received),
        T(C8_numbers_of_two_connections_do_not_meet),
        T(P1_migration_by_the_other_connection_is_captured_at_once),
        T(P1_push_names_columns_of_the_epoch_they_were_captured_in),
        T(push_sends_counters_as_differences),
        T(push_of_a_large_transaction_goes_in_parts),
        T(push_sends_a_counter_that_has_no_difference_as_what_was_set),
        T(push_that_is_full_goes_on_in_the_next),
        T(N3_fork_leaves_nothing_under_the_old_incarnation),
        T(N3_fork_carries_unsettled_work_to_the_new_incarnation),
        T(N3_repeated_result_has_no_second_effect),
        T(N6_refusal_parks_one_transaction_and_tells_why),
        T(N6_settled_number_stops_at_the_first_without_a_result),
        T(N6_discarded_refusal_is_told_once),
        T(discard_of_what_was_sent_waits_for_its_result),
        T(N6_retry_runs_the_changes_as_a_new_transaction),
        T(N6_what_an_admin_settled_is_open_no_more_and_the_server_is_told_so),
        T(N6_discard_of_a_retry_that_was_never_sent_tells_the_refusal_in_its_place),
        T(N6_discard_of_a_retry_that_could_not_be_sent_tells_the_refusal_in_its_place),
        T(N6_discard_of_a_retry_that_could_not_be_sent_again_tells_itself),
        T(N6_discard_of_what_the_server_never_heard_of_is_not_told),
        T(N6_retry_of_what_is_already_so_is_moot),
        T(N6_retry_of_a_deletion_whose_row_is_gone_is_moot),
        T(N6_edit_of_what_cannot_be_made_again_begins_nothing),
        T(N6_retry_of_an_insert_that_the_apps_trigger_passes_over_is_moot),
        T(N6_retry_of_an_update_whose_row_is_gone_does_nothing_at_all),
        T(N6_retry_that_cannot_be_is_told_and_leaves_the_refusal),
        T(N6_retry_does_deletions_and_parts_again_and_passes_over_dropped_columns),
        T(N6_edit_of_a_refusal_is_one_transaction_in_its_place),
        T(N6_edit_that_is_rolled_back_or_comes_to_nothing_leaves_the_refusal),
        T(N6_C2_edit_that_is_committed_again_resolves_what_it_comes_to_in_the_end),
        T(N6_edit_leaves_to_the_app_whether_constraints_are_looked_at),
        T(N6_retry_and_edit_leave_an_unfinished_statement_alone),
        T(check_refuses_the_apps_statement_with_its_code_and_nothing_is_half_done),
        T(check_does_not_stop_rows_of_the_servers),
        T(check_is_passed_over_while_an_edit_begins_and_stands_before_a_retry),
        T(N6_retry_and_edit_fail_for_their_own_reasons),
        T(refusal_tells_what_was_wanted_beside_what_the_server_has),
        T(N7_restored_server_is_given_again_what_it_lost),
        T(N7_confirmed_is_kept_until_the_backup_has_passed_it),
        T(N6_those_told_of_are_forgotten_up_to_a_number),
        T(N6_refusal_names_its_row),
        T(settling_forking_and_rewinding_of_what_is_so_already),
        T(N1_pruning_goes_in_steps_and_keeps_the_highest_number),
        T(commit_without_memory_is_captured_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
