/* M16: a transaction says what its author had not seen, because a pending edit of his own hid it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "tests/support/replica_fixture.h"

static void give(fixture *x, uint64_t seq, delta_row row) {
    assert_int_equal(page_apply(x, seq, &row, 1), SATCHEL_OK);
}

/* An item at 10, of which this device changes the name. */
static void begin(fixture *x) {
    give(x, 10, item_put("a", "Ann", 5, 100));
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
}

static void put_unseen(buf *text, const push_txn *t) {
    unseen_reader r;
    unseen_row row;
    int rc;
    buf_printf(text, "%llu:", (unsigned long long)t->number);
    if (!t->nunseen) return;
    unseen_open(&r, t->unseen, t->nunseen);
    while ((rc = unseen_next(&r, &row)) == 1) {
        uint32_t column;
        uint64_t base;
        buf_printf(text, " %u", row.table);
        while (unseen_column(&row, &column, &base)) buf_printf(text, " %u@%llu", column, (unsigned long long)base);
    }
    assert_int_equal(rc, 0);
}

/* What waits to be pushed: "number: table column@base ...", a line each. */
static const char *unseen(fixture *x) {
    static buf text;
    buf message;
    push_reader reader;
    push_txn t;
    uint64_t last;
    outbox_cursor at = {0};
    int rc;
    buf_init(&message, 0);
    buf_clear(&text);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(outbox_push(x->f, &at, &message, &last), 1);
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    assert_int_equal(message_check(message.p, message.n), SATCHEL_OK);
    assert_int_equal(push_open(&reader, message.p, message.n), SATCHEL_OK);
    while ((rc = push_next(&reader, &t)) == 1) {
        if (text.n) buf_put_byte(&text, '\n');
        put_unseen(&text, &t);
    }
    assert_int_equal(rc, 0);
    buf_put_byte(&text, 0);
    buf_fini(&message);
    return (const char *)text.p;
}

static void M16_edit_over_a_hidden_value_says_up_to_where_it_was_seen(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 15, item_set("a", ITEM_NAME, text_of("theirs")));
    app_sql(x, "UPDATE item SET name='again' WHERE id='a'");
    assert_int_equal(app_integer(x, "SELECT base FROM satchel_outbox WHERE n=2"), 15);
    assert_string_equal(unseen(x), "1:\n2: 1 2@10");
    assert_sound(x);
}

static void M16_first_hidden_move_counts_and_later_ones_do_not_raise_it(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 15, item_set("a", ITEM_NAME, text_of("theirs")));
    give(x, 20, item_set("a", ITEM_NAME, text_of("newer")));
    fixture_reopen(x);
    app_sql(x, "UPDATE item SET name='again' WHERE id='a'");
    assert_string_equal(unseen(x), "1:\n2: 1 2@10");
}

static void M16_column_that_shows_what_came_is_seen(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 15, item_set("a", ITEM_PRICE, value_integer(7)));
    app_sql(x, "UPDATE item SET price=8 WHERE id='a'");
    assert_string_equal(unseen(x), "1:\n2:");
}

static void M16_counter_hides_nothing(void **state) {
    fixture *x = *state;
    give(x, 10, item_put("a", "Ann", 5, 100));
    app_sql(x, "UPDATE item SET stock=stock+1 WHERE id='a'");
    give(x, 15, item_set("a", ITEM_STOCK, value_integer(90)));
    app_sql(x, "UPDATE item SET stock=stock+1 WHERE id='a'");
    assert_string_equal(unseen(x), "1:\n2:");
}

/* 8.0 is stored as 8 in such a column: what came is what the app sees. */
static void M16_number_that_is_stored_alike_hides_nothing(void **state) {
    fixture *x = *state;
    give(x, 10, item_put("a", "Ann", 5, 100));
    app_sql(x, "UPDATE item SET price=8 WHERE id='a'");
    give(x, 15, item_set("a", ITEM_PRICE, value_real(8.0)));
    app_sql(x, "UPDATE item SET price=9 WHERE id='a'");
    assert_string_equal(unseen(x), "1:\n2:");
}

static void M16_value_is_seen_once_nothing_hides_it(void **state) {
    fixture *x = *state;
    begin(x);
    app_sql(x, "UPDATE item SET price=6 WHERE id='a'");
    give(x, 15, item_set("a", ITEM_NAME, text_of("theirs")));
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "theirs|6|100|~");
    app_sql(x, "UPDATE item SET name='knowing' WHERE id='a'");
    assert_string_equal(unseen(x), "2:\n3:");
    assert_sound(x);
}

static void M16_deletion_beneath_a_pending_update_is_not_seen(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 15, row_of(ITEM, DELTA_DELETE, "a"));
    app_sql(x, "UPDATE item SET price=9 WHERE id='a'");
    assert_string_equal(unseen(x), "1:\n2: 1 0@10");
}

static void M16_update_beneath_a_pending_deletion_is_not_seen(void **state) {
    fixture *x = *state;
    give(x, 10, item_put("a", "Ann", 5, 100));
    app_sql(x, "DELETE FROM item WHERE id='a'");
    give(x, 15, item_set("a", ITEM_NAME, text_of("theirs")));
    app_sql(x, "INSERT INTO item(id, name) VALUES('a', 'new')");
    assert_string_equal(unseen(x), "1:\n2: 1 2@10");
}

static void M16_other_rows_and_tables_stay_seen(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 15, item_set("a", ITEM_NAME, text_of("theirs")));
    app_sql(
        x,
        "BEGIN; INSERT INTO tag(id) VALUES('t'); INSERT INTO item(id) VALUES('b'); UPDATE item SET note='n' WHERE id='a'; COMMIT");
    assert_string_equal(unseen(x), "1:\n2: 1 2@10");
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(M16_edit_over_a_hidden_value_says_up_to_where_it_was_seen),
        T(M16_first_hidden_move_counts_and_later_ones_do_not_raise_it),
        T(M16_column_that_shows_what_came_is_seen),
        T(M16_counter_hides_nothing),
        T(M16_number_that_is_stored_alike_hides_nothing),
        T(M16_value_is_seen_once_nothing_hides_it),
        T(M16_deletion_beneath_a_pending_update_is_not_seen),
        T(M16_update_beneath_a_pending_deletion_is_not_seen),
        T(M16_other_rows_and_tables_stay_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
