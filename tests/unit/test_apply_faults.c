/* Pages, whole and in parts, with a fault at each instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/unit/device_faults.h"

static buf message;

static void make_page(fixture *x, const msg_page *head, const delta_row *rows, unsigned n) {
    buf_clear(&message);
    page_build(x, head, head->to, rows, n, &message);
}

static int run_page(fixture *x) {
    return apply_page(x->f, message.p, message.n);
}

/* Pending edits in more changesets than the overlay keeps at hand, one of them of a long key, and texts that fill a chunk of memory each. */
static void edit_more(fixture *x) {
    char sql[200];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(sql, sizeof sql, "INSERT INTO item(id, name) VALUES('c%u%s', 'n')", i,
                 i == 5 ? "' || hex(zeroblob(500)) || '" : "");
        app_sql(x, sql);
    }
    for (unsigned i = 0; i < 10; i++) app_sql(x, "UPDATE item SET stock=coalesce(stock, 0)+1 WHERE id='c7'");
    app_sql(x, "UPDATE item SET name=hex(zeroblob(20000)) WHERE id='b'");
}

/* Edits of others beneath own ones, an own one that comes back, deletions, another table. */
static void before_page(fixture *x) {
    delta_row rows[] = {item_set("a", ITEM_STOCK, value_integer(101)),
                        item_set("b", ITEM_STOCK, value_integer(90)),
                        row_of(ITEM, DELTA_DELETE, "b"),
                        item_put("c", "again", 1, 1),
                        row_of(ITEM, DELTA_DELETE, "d"),
                        row_of(ITEM, DELTA_LEAVE, "e"),
                        item_put("fresh", "f", 1, 1),
                        row_of(TAG, DELTA_DELETE, "t"),
                        pair_row(DELTA_UPDATE, 1, "x")};
    make_page(x, &(msg_page){.from = 15, .to = 21}, rows, 9);
}

static void before_large_page(fixture *x) {
    static char text[40000], key[2000];
    memset(text, 'x', sizeof text - 1);
    memset(key, 'k', sizeof key - 1);
    delta_row rows[] = {item_set("b", ITEM_NOTE, text_of(text)), item_put(key, "long", 1, 1), row_of(ITEM, DELTA_LEAVE, "c3"),
                        item_set("c4", ITEM_NAME, text_of("of a row that is not here")), item_put("c7", "often edited", 1, 1)};
    edit_more(x);
    make_page(x, &(msg_page){.from = 15, .to = 21}, rows, 5);
}

static void before_first_part(fixture *x) {
    delta_row row = item_put("b", "in parts", 1, 1);
    make_page(x, &(msg_page){.from = 15, .to = 21, .more = true}, &row, 1);
}

static void before_last_part(fixture *x) {
    delta_row row = item_put("c", "in parts", 1, 1);
    before_first_part(x);
    assert_int_equal(run_page(x), SATCHEL_OK);
    make_page(x, &(msg_page){.from = 15, .to = 21, .part = 1}, &row, 1);
}

/* S4: the view, the cursor and the rows that enter and leave, whole and in parts. */
static void before_view(fixture *x) {
    delta_row rows[] = {row_of(ITEM, DELTA_LEAVE, "a"), row_of(ITEM, DELTA_LEAVE, "b"), item_put("d", "whole", 1, 1),
                        item_put("fresh", "f", 1, 1)};
    app_sql(x,
            "UPDATE satchel_state SET epoch=x'0102030405060708';"
            "INSERT INTO satchel_conflicts(n, seq, tbl, col, key, rule, kept_ms, lost_ms, kept_author) VALUES(1, 5, 'item', '',"
            "'b', 'lww', 1, 1, 1)");
    make_page(x, &(msg_page){.from = 15, .to = 21, .view = 3}, rows, 4);
}

static void before_last_part_of_view(fixture *x) {
    delta_row row = row_of(ITEM, DELTA_LEAVE, "a");
    app_sql(x, "UPDATE satchel_state SET epoch=x'0102030405060708'");
    make_page(x, &(msg_page){.from = 15, .to = 21, .more = true, .view = 3}, &row, 1);
    assert_int_equal(run_page(x), SATCHEL_OK);
    make_page(x, &(msg_page){.from = 15, .to = 21, .part = 1, .view = 3}, &row, 1);
}

/* S5: rows that leave, of a table that had another name when they won, and of a key that is longer than any that waits. */
static void before_leave_of_what_was_kept(fixture *x) {
    static char key[2000];
    memset(key, 'k', sizeof key - 1);
    delta_row rows[] = {row_of(ITEM, DELTA_LEAVE, key), pair_row(DELTA_LEAVE, 1, "x")};
    rows[1].ncol = 0;
    assert_int_equal(fixture_migrate(x, "ALTER TABLE pair RENAME TO couple;"), SATCHEL_OK);
    app_sql(x, "INSERT INTO satchel_conflicts(n, seq, tbl, col, key, rule, kept_ms, lost_ms, kept_author)"
               " VALUES(1, 5, 'pair', '', 'x, 1', 'lww', 1, 1, 1), (1, 5, 'couple', '', 'x, 1', 'lww', 1, 1, 1)");
    make_page(x, &(msg_page){.from = 15, .to = 21}, rows, 2);
}

static void before_part_again(fixture *x) {
    before_last_part(x);
    before_first_part(x);
}

static const operation OPERATION[] = {
    {"page", before_page, run_page, 0},
    {"large page", before_large_page, run_page, 0},
    {"first part", before_first_part, run_page, 0},
    {"last part", before_last_part, run_page, 0},
    {"part begun anew", before_part_again, run_page, 0},
    {"another view", before_view, run_page, 0},
    {"leave of what was kept", before_leave_of_what_was_kept, run_page, 0},
    {"last part of another view", before_last_part_of_view, run_page, 0},
};

static void N10_S4_apply_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
    buf_fini(&message);
}

/* SQLite's own memory too, where each text is converted as it is bound: one that is not is never written as NULL. */
static void N10_page_in_UTF_16_without_memory_is_applied_whole_or_not_at_all(void **state) {
    fixture *x = *state;
    delta_row before[] = {item_put("a", "Ann", 5, 100), pair_row(DELTA_PUT, 1, "x")};
    delta_row rows[] = {item_set("a", ITEM_NOTE, text_of("theirs")), item_put("b", "Bob", 1, 1), pair_row(DELTA_DELETE, 1, "x"),
                        pair_row(DELTA_PUT, 2, "y")};
    unsigned failed = 0;
    int rc = SATCHEL_OK;
    assert_int_equal(page_apply(x, 15, before, 2), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    make_page(x, &(msg_page){.from = 15, .to = 21}, rows, 4);
    sqlite3 *begin = device_keep(x);
    for (fault_loop l = {0}; faults_next(&l);) {
        rc = device_try(x, &l, rc ? NULL : begin, run_page);
        assert_string_equal(item(x, "a"), rc ? "mine|5|100|~" : "mine|5|100|theirs");
        assert_string_equal(item(x, "b"), rc ? "-" : "Bob|1|1|~");
        assert_string_equal(app_text(x, "SELECT group_concat(b || a) FROM pair"), rc ? "x1" : "y2");
        failed += rc != 0;
    }
    assert_true(failed > 100);
    assert_sound(x);
    sqlite3_close(begin);
    buf_fini(&message);
}

int main(void) {
    /* Each allocation of SQLite's for itself, so that each can fail. */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(N10_page_in_UTF_16_without_memory_is_applied_whole_or_not_at_all, fixture_setup_utf16,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(N10_S4_apply_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again,
                                        fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
