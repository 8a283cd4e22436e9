/* N4: what the app sees is the confirmed value plus the overlay of what is pending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/replica_fixture.h"

static int pages(fixture *x, uint64_t seq, delta_row row) {
    return page_apply(x, seq, &row, 1);
}

static void give_item(fixture *x) {
    assert_int_equal(pages(x, 10, item_put("a", "Ann", 5, 100)), SATCHEL_OK);
}

static void page_without_pending_change_is_written(void **state) {
    fixture *x = *state;
    give_item(x);
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_PRICE, value_integer(6))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|6|100|~");
    assert_int_equal(pages(x, 12, row_of(ITEM, DELTA_DELETE, "a")), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
}

static void N4_page_of_another_field_keeps_the_pending_one(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_PRICE, value_integer(7))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|7|100|~");
    assert_int_equal(bases(x), 1);
    assert_sound(x);
}

static void N4_lost_field_shows_confirmed_when_the_cursor_passes(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine', note='n' WHERE id='a'");
    accept_at(x, 1, 12);
    assert_int_equal(pages(x, 11, item_set("a", ITEM_NAME, text_of("theirs"))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|5|100|n");
    /* Its own commit brings only what was taken: the note. */
    assert_int_equal(pages(x, 12, item_set("a", ITEM_NOTE, text_of("n"))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "theirs|5|100|n");
    assert_int_equal(bases(x), 0);
    assert_int_equal(app_integer(x, "SELECT state FROM satchel_outbox WHERE n=1"), TXN_CONFIRMED);
    assert_sound(x);
}

static void N4_transaction_that_was_lost_whole_leaves_without_a_row_in_the_page(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    accept_at(x, 1, 11);
    assert_int_equal(page_apply(x, 11, NULL, 0), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_sound(x);
}

static void N4_refusal_reveals_the_confirmed_value(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='one' WHERE id='a'");
    app_sql(x, "UPDATE item SET price=9 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_NAME, text_of("theirs"))), SATCHEL_OK);
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "theirs|9|100|~");
    assert_int_equal(bases(x), 1);
    refuse_with(x, 2, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "theirs|5|100|~");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

static void N4_refusal_beneath_a_later_edit_of_the_same_field(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='one' WHERE id='a'");
    app_sql(x, "UPDATE item SET name='two' WHERE id='a'");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "two|5|100|~");
    refuse_with(x, 2, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "Ann|5|100|~");
    assert_sound(x);
}

static void N4_refused_insert_and_delete_are_undone(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "INSERT INTO item(id, name) VALUES('new', 'n')");
    app_sql(x, "DELETE FROM item WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_PRICE, value_integer(8))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    refuse_with(x, 1, SATCHEL_E_NOT_NULL, "no");
    refuse_with(x, 2, SATCHEL_E_FOREIGN_KEY, "no");
    assert_string_equal(item(x, "new"), "-");
    assert_string_equal(item(x, "a"), "Ann|8|100|~");
    assert_sound(x);
}

static void N4_counter_is_never_counted_twice(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET stock=stock+5 WHERE id='a'");
    app_sql(x, "UPDATE item SET stock=stock+1 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_STOCK, value_integer(90))), SATCHEL_OK); /* another took 10 */
    assert_string_equal(item(x, "a"), "Ann|5|96|~");
    accept_at(x, 1, 12);
    assert_string_equal(item(x, "a"), "Ann|5|96|~");
    assert_int_equal(pages(x, 12, item_set("a", ITEM_STOCK, value_integer(95))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|96|~");
    accept_at(x, 2, 14);
    assert_int_equal(pages(x, 13, item_set("a", ITEM_STOCK, value_integer(195))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|196|~");
    assert_int_equal(pages(x, 14, item_set("a", ITEM_STOCK, value_integer(196))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|196|~");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

/* Several commits of one row in one page, an own one among them. */
static void N4_counter_over_commits_of_one_page(void **state) {
    fixture *x = *state;
    buf page, delta;
    delta_writer w;
    give_item(x);
    app_sql(x, "UPDATE item SET stock=stock+5 WHERE id='a'");
    app_sql(x, "UPDATE item SET stock=stock+7 WHERE id='a'");
    accept_at(x, 1, 12);
    buf_init(&page, 0);
    page_begin(&(msg_page){.from = 10, .to = 13, .commits = 3}, &page);
    static const int64_t stock[] = {150, 155, 160};
    for (unsigned i = 0; i < 3; i++) {
        delta_row r = item_set("a", ITEM_STOCK, value_integer(stock[i]));
        buf_init(&delta, 0);
        delta_writer_init(&w);
        delta_put_row(&w, &r);
        assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
        page_put_commit(&(page_commit){.seq = 11 + i, .delta = delta.p, .ndelta = delta.n}, &page);
        delta_writer_fini(&w);
        buf_fini(&delta);
    }
    assert_int_equal(apply_page(x->f, page.p, page.n), SATCHEL_OK);
    buf_fini(&page);
    assert_string_equal(item(x, "a"), "Ann|5|167|~");
    assert_sound(x);
}

static void N4_own_echo_writes_no_row(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(
        x,
        "UPDATE item SET name='mine', price=6 WHERE id='a'; INSERT INTO item(id, name, price, stock) VALUES('b', 'Bob', 1, 2)");
    accept_at(x, 1, 11);
    accept_at(x, 2, 12);
    sqlite3_exec(x->f->db,
                 "CREATE TEMP TABLE seen(n); CREATE TEMP TRIGGER u AFTER UPDATE ON item BEGIN INSERT INTO seen VALUES(1); END;"
                 "CREATE TEMP TRIGGER i AFTER INSERT ON item BEGIN INSERT INTO seen VALUES(1); END;",
                 NULL, NULL, NULL);
    delta_row echo = item_set("a", ITEM_NAME, text_of("mine"));
    row_set(&echo, ITEM_PRICE, value_integer(6));
    assert_int_equal(pages(x, 11, echo), SATCHEL_OK);
    assert_int_equal(pages(x, 12, item_put("b", "Bob", 1, 2)), SATCHEL_OK);
    int64_t seen = -1;
    assert_int_equal(db_integer(&x->f->sql, "SELECT count(*) FROM seen", 0, &seen), SATCHEL_OK);
    assert_int_equal(seen, 0);
    assert_int_equal(bases(x), 0);
    assert_int_equal(overlay_size(x->f->overlay), 0);
    assert_sound(x);
}

/* Whatever order results and pages come in, the field goes from the app's own value to a later one, and never back. */
static void N4_field_never_steps_back(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET price=20 WHERE id='a'");
    app_sql(x, "UPDATE item SET price=30 WHERE id='a'");
    accept_at(x, 1, 11);
    assert_int_equal(app_integer(x, "SELECT price FROM item"), 30);
    assert_int_equal(pages(x, 11, item_set("a", ITEM_PRICE, value_integer(20))), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT price FROM item"), 30);
    accept_at(x, 2, 12);
    assert_int_equal(pages(x, 12, item_set("a", ITEM_PRICE, value_integer(30))), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT price FROM item"), 30);
    assert_sound(x);
}

static void N4_page_survives_a_restart_between_edit_and_result(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine', stock=stock+1 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_STOCK, value_integer(50))), SATCHEL_OK);
    fixture_reopen(x);
    assert_int_equal(pages(x, 12, item_set("a", ITEM_STOCK, value_integer(60))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|5|61|~");
    accept_at(x, 1, 13);
    fixture_reopen(x);
    assert_int_equal(pages(x, 13, item_set("a", ITEM_STOCK, value_integer(61))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|61|~");
    assert_sound(x);
}

static void N4_deleted_row_is_kept_for_a_pending_update_where_updates_win(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(pages(x, 11, row_of(ITEM, DELTA_DELETE, "a")), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|5|100|~");
    assert_int_equal(app_integer(x, "SELECT state FROM satchel_base"), 2);
    accept_at(x, 1, 12);
    assert_int_equal(pages(x, 12, item_put("a", "mine", 5, 100)), SATCHEL_OK); /* the server put it back */
    assert_string_equal(item(x, "a"), "mine|5|100|~");
    assert_sound(x);
}

static void N4_kept_row_goes_when_its_update_is_refused(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(pages(x, 11, row_of(ITEM, DELTA_DELETE, "a")), SATCHEL_OK);
    refuse_with(x, 1, SATCHEL_E_ROW_MISSING, "gone");
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

static void N4_deleted_row_is_gone_under_a_pending_update_where_deletes_win(void **state) {
    fixture *x = *state;
    delta_row put = row_of(TAG, DELTA_PUT, "t");
    row_set(&put, TAG_LABEL, text_of("red"));
    assert_int_equal(pages(x, 10, put), SATCHEL_OK);
    app_sql(x, "UPDATE tag SET label='blue'");
    assert_int_equal(pages(x, 11, row_of(TAG, DELTA_DELETE, "t")), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT label FROM tag"), "-");
    assert_sound(x);
}

static void N4_delete_and_insert_of_one_key(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "DELETE FROM item");
    app_sql(x, "INSERT INTO item(id, name) VALUES('a', 'again')");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_PRICE, value_integer(9))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "again|~|~|~");
    refuse_with(x, 2, SATCHEL_E_KEY_TAKEN, "no");
    assert_string_equal(item(x, "a"), "-");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "Ann|9|100|~");
    assert_sound(x);
}

static void N4_discard_of_an_unsent_transaction_reveals_the_confirmed_value(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'; UPDATE item SET price=9 WHERE id='a'");
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|9|100|~");
    assert_int_equal(outbox_discard(x->f, 1), SATCHEL_E_RESOLVED);
    assert_int_equal(outbox_discard(x->f, 77), SATCHEL_E_NOT_FOUND);
    assert_sound(x);
}

static void N4_result_that_comes_late_leaves_at_once(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET stock=stock+1 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_STOCK, value_integer(101))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|102|~");
    accept_at(x, 1, 11);
    assert_string_equal(item(x, "a"), "Ann|5|101|~");
    assert_sound(x);
}

static void N4_composite_key_without_rowid(void **state) {
    fixture *x = *state;
    delta_row put = {.table = PAIR, .op = DELTA_PUT, .nkey = 2};
    put.key[0] = text_of("b");
    put.key[1] = value_integer(3);
    row_set(&put, PAIR_V, value_integer(2));
    assert_int_equal(pages(x, 10, put), SATCHEL_OK);
    app_sql(x, "UPDATE pair SET v=2.5 WHERE a=3 AND b='b'");
    put.v[0] = value_real(4);
    assert_int_equal(pages(x, 11, put), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT v FROM pair"), "2.5");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(app_text(x, "SELECT v FROM pair"), "4.0");
    assert_sound(x);
}

static void P1_pending_change_of_an_older_schema_meets_a_page_of_the_new(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET name='mine', price=8, note='n' WHERE id='a'");
    assert_int_equal(
        fixture_migrate(x, "ALTER TABLE item DROP COLUMN price; ALTER TABLE item ADD COLUMN colour TEXT DEFAULT 'red';"),
        SATCHEL_OK);
    delta_row r = item_set("a", ITEM_NAME, text_of("theirs"));
    row_set(&r, 6, text_of("blue"));
    assert_int_equal(pages(x, 11, r), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT name||'|'||note||'|'||colour FROM item"), "mine|n|blue");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(app_text(x, "SELECT name||'|'||coalesce(note,'~')||'|'||colour FROM item"), "theirs|~|blue");
    assert_sound(x);
}

/* A value is shown as SQLite keeps it in its column, whether the row stands there by one statement or is computed beneath a pending change. */
static void N4_value_beneath_a_pending_change_is_what_sqlite_would_store(void **state) {
    fixture *x = *state;
    static const char *const COLUMN[] = {"i", "n", "r", "t", "b", "x"};
    const value VALUE[] = {value_integer(3),     value_integer(INT64_MIN), value_real(3.0),   value_real(2.5), value_real(-0.0),
                           value_real(1e300),    value_real(9.5e18),       value_real(-9e17), value_null(),    text_of("t"),
                           value_blob("\1\2", 2)};
    assert_int_equal(
        fixture_migrate(x, "CREATE TABLE kinds(id TEXT PRIMARY KEY, note TEXT, i INTEGER, n NUMERIC, r REAL, t TEXT, b BLOB, x);"
                           "INSERT INTO satchel_table(name) VALUES('kinds');"),
        SATCHEL_OK);
    app_sql(x, "INSERT INTO kinds(id, note) VALUES('beneath', 'mine')");
    uint64_t seq = 10;
    for (unsigned c = 0; c < sizeof COLUMN / sizeof COLUMN[0]; c++) {
        for (unsigned v = 0; v < sizeof VALUE / sizeof VALUE[0]; v++) {
            delta_row rows[2] = {row_of(4, DELTA_PUT, "alone"), row_of(4, DELTA_PUT, "beneath")};
            char sql[200];
            row_set(&rows[0], c + 3, VALUE[v]);
            row_set(&rows[1], c + 3, VALUE[v]);
            assert_int_equal(page_apply(x, ++seq, rows, 2), SATCHEL_OK);
            assert_int_equal(bases(x), 1);
            refuse_with(x, (uint64_t)app_integer(x, "SELECT max(n) FROM satchel_outbox"), SATCHEL_E_CHECK, "no");
            snprintf(
                sql, sizeof sql,
                "SELECT group_concat(typeof(%s) || quote(%s), ' = ') FROM kinds GROUP BY 1=1 HAVING count(DISTINCT typeof(%s) || quote(%s))<>1",
                COLUMN[c], COLUMN[c], COLUMN[c], COLUMN[c]);
            if (strcmp(app_text(x, sql), "-") != 0) fail_msg("%s, value %u: %s", COLUMN[c], v, app_text(x, sql));
            app_sql(x, "UPDATE kinds SET note='mine' WHERE id='beneath'");
        }
    }
    assert_sound(x);
}

/* A counter whose sum leaves the range, or that holds no number: then what was set is shown, and what stood there comes back. */
static void N4_counter_without_a_sum_shows_what_was_set(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "UPDATE item SET stock=stock+5 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_STOCK, value_integer(INT64_MAX))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|5|105|~");
    refuse_with(x, 1, SATCHEL_E_RANGE, "no");
    assert_string_equal(item(x, "a"), "Ann|5|9223372036854775807|~");
    app_sql(x, "UPDATE item SET stock='many' WHERE id='a'");
    assert_int_equal(pages(x, 12, item_set("a", ITEM_PRICE, value_integer(6))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|6|many|~");
    refuse_with(x, 2, SATCHEL_E_TYPE, "no");
    assert_string_equal(item(x, "a"), "Ann|6|9223372036854775807|~");
    app_sql(x, "UPDATE item SET stock='many' WHERE id='a'");
    assert_int_equal(pages(x, 13, item_set("a", ITEM_STOCK, value_integer(7))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|6|many|~");
    refuse_with(x, 3, SATCHEL_E_TYPE, "no");
    assert_string_equal(item(x, "a"), "Ann|6|7|~");
    assert_sound(x);
    app_sql(x, "UPDATE item SET stock=8 WHERE id='a'");
    assert_int_equal(db_exec(&x->f->sql, "UPDATE item SET stock='rotten' WHERE id='a'", ""), SATCHEL_OK);
    refuse_with(x, 4, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "Ann|6|7|~");
}

/* To a sum NULL is 0, and of reals the last bits depend on the way: what stood there comes back as it was. */
static void N4_counter_that_is_undone_is_what_it_was(void **state) {
    fixture *x = *state;
    delta_row ann = item_put("a", "Ann", 5, 0);
    ann.v[2] = value_null();
    assert_int_equal(page_apply(x, 10, &ann, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET stock=coalesce(stock,0)+5 WHERE id='a'; UPDATE item SET stock=stock+1 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_PRICE, value_integer(6))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|6|6|~");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    refuse_with(x, 2, SATCHEL_E_CHECK, "no");
    assert_int_equal(app_integer(x, "SELECT stock IS NULL FROM item"), 1);
    app_sql(x, "UPDATE item SET stock=5 WHERE id='a'");
    assert_int_equal(outbox_discard(x->f, 3), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT stock IS NULL FROM item"), 1);
    assert_int_equal(pages(x, 12, item_set("a", ITEM_STOCK, value_real(0.1))), SATCHEL_OK);
    app_sql(x, "UPDATE item SET stock=0.3 WHERE id='a'");
    refuse_with(x, 4, SATCHEL_E_TYPE, "no");
    assert_int_equal(app_integer(x, "SELECT stock=0.1 FROM item"), 1);
    assert_sound(x);
}

/* Pages may tell of rows that are not here, and take away rows that somebody edits. */
static void N4_update_and_leave_beneath_pending_changes(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id, name) VALUES('new', 'mine')");
    assert_int_equal(pages(x, 10, item_set("new", ITEM_PRICE, value_integer(7))), SATCHEL_OK);
    assert_string_equal(item(x, "new"), "mine|~|~|~");
    assert_int_equal(pages(x, 11, item_put("a", "Ann", 5, 100)), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(pages(x, 12, row_of(ITEM, DELTA_LEAVE, "a")), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(pages(x, 13, item_put("a", "Ann", 8, 100)), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|8|100|~");
    assert_sound(x);
}

static void P1_pending_changes_of_a_dropped_table_and_of_the_last_column_hold_up_nothing(void **state) {
    fixture *x = *state;
    give_item(x);
    app_sql(x, "BEGIN; INSERT INTO tag(id) VALUES('t'); UPDATE item SET name='mine', note='n' WHERE id='a'; COMMIT");
    assert_int_equal(fixture_migrate(x, "DROP TABLE tag; ALTER TABLE item DROP COLUMN note;"), SATCHEL_OK);
    assert_int_equal(overlay_size(x->f->overlay), 1);
    delta_row theirs = item_set("a", ITEM_PRICE, value_integer(6));
    row_set(&theirs, ITEM_NOTE, text_of("of a column that is gone"));
    assert_int_equal(pages(x, 11, theirs), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT name || price FROM item"), "mine6");
    accept_at(x, 1, 12);
    assert_int_equal(page_apply(x, 12, NULL, 0), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT name || price FROM item"), "Ann6");
    assert_sound(x);
}

/* Changes of one row keep their order however many there are in the index, and when it was made anew. */
static void N4_order_of_a_rows_changes_outlasts_a_growing_index(void **state) {
    fixture *x = *state;
    char sql[200];
    give_item(x);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(
            sql, sizeof sql,
            "UPDATE item SET name='v%u' WHERE id='a'; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<200)"
            "INSERT INTO item(id) SELECT 'k%u-' || i FROM c",
            i, i);
        app_sql(x, sql);
        assert_int_equal(pages(x, 11 + i, item_set("a", ITEM_PRICE, value_integer(i))), SATCHEL_OK);
    }
    app_sql(x, "UPDATE item SET name='last' WHERE id='a'");
    assert_int_equal(pages(x, 20, item_set("a", ITEM_NAME, text_of("theirs"))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "last|2|100|~");
    fixture_reopen(x);
    assert_int_equal(pages(x, 21, item_set("a", ITEM_NOTE, text_of("n"))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "last|2|100|n");
    for (uint64_t number = 7; number > 1; number -= 2) refuse_with(x, number, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "v0|2|100|n");
    assert_sound(x);
}

/* C8: an index in another process learns that something left behind its back. */
static void C8_discard_by_another_handle_is_seen(void **state) {
    fixture *x = *state;
    file *other;
    file_options o = {.env = fixture_env(x)};
    give_item(x);
    app_sql(x, "UPDATE item SET name='one' WHERE id='a'; UPDATE item SET price=9 WHERE id='a'");
    assert_int_equal(pages(x, 11, item_set("a", ITEM_NOTE, text_of("n"))), SATCHEL_OK);
    assert_int_equal(file_open(x->path, &o, &other), SATCHEL_OK);
    assert_int_equal(outbox_discard(other, 1), SATCHEL_OK);
    file_close(other);
    assert_int_equal(pages(x, 12, item_set("a", ITEM_NOTE, text_of("m"))), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "Ann|9|100|m");
    assert_sound(x);
}

typedef struct announced {
    file *f;
    char names[32];
} announced;

/* As satchel_get_status does. */
static void note_table(void *ctx, const char *table) {
    announced *a = ctx;
    assert_int_equal(file_read_state(a->f), SATCHEL_OK);
    strcat(strcat(a->names, table), ";");
}

/* C8: a callback that looks at the file hears of a migration by another handle, and the tables are another schema's. */
static void C8_tables_are_announced_over_a_migration_by_another_handle(void **state) {
    fixture *x = *state;
    file *other;
    file_options o = {.env = fixture_env(x)};
    app_sql(x, "BEGIN; INSERT INTO item(id) VALUES('a'); INSERT INTO tag(id) VALUES('t'); COMMIT");
    assert_int_equal(file_open(x->path, &o, &other), SATCHEL_OK);
    assert_int_equal(outbox_discard(other, 1), SATCHEL_OK);
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item ADD COLUMN colour TEXT;"), SATCHEL_OK);
    announced a = {.f = other};
    overlay_announce(other->overlay, note_table, &a);
    assert_string_equal(a.names, "item;tag;");
    file_close(other);
}

/* ---- a random history against a model ---- */

enum { KEYS = 4, FIELDS = 3 };
typedef struct model_row {
    bool there;
    int64_t v[FIELDS]; /* name (as a number), price, stock */
} model_row;
typedef struct model_txn {
    uint64_t number, seq;
    unsigned key;
    int op; /* 0 insert, 1 update, 2 delete */
    bool touched[FIELDS];
    int64_t v[FIELDS]; /* new values; the counter's difference */
    bool live;
} model_txn;

static uint64_t roll(uint64_t *seed, uint64_t n) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

static void model_redo(model_row *r, const model_txn *t) {
    if (t->op == 2) r->there = false;
    if (t->op == 1 && !r->there) return;
    if (t->op == 0) *r = (model_row){.there = true};
    for (unsigned i = 0; i < FIELDS && t->op < 2; i++) {
        if (!t->touched[i]) continue;
        r->v[i] = i == 2 && t->op == 1 ? r->v[i] + t->v[i] : t->v[i];
    }
}

static void check_row(fixture *x, const model_row *confirmed, const model_txn *txn, unsigned ntxn, unsigned key, uint64_t seed) {
    char name[8], want[80] = "-";
    model_row r = confirmed[key];
    for (unsigned i = 0; i < ntxn; i++)
        if (txn[i].live && txn[i].key == key) model_redo(&r, &txn[i]);
    snprintf(name, sizeof name, "k%u", key);
    if (r.there) snprintf(want, sizeof want, "%lld|%lld|%lld|~", (long long)r.v[0], (long long)r.v[1], (long long)r.v[2]);
    if (strcmp(item(x, name), want) != 0)
        fail_msg("seed %llu, key %u: shows %s, should show %s", (unsigned long long)seed, key, item(x, name), want);
}

/* An edit by the app of what it sees, which the model knows from the table. */
static void app_edit(fixture *x, uint64_t *seed, model_txn *t) {
    static uint64_t fresh; /* a text and a price that nobody else writes: no edit is without effect */
    char sql[256], key[8];
    unsigned k = (unsigned)roll(seed, KEYS);
    snprintf(key, sizeof key, "k%u", k);
    bool there = strcmp(item(x, key), "-") != 0;
    *t = (model_txn){.key = k, .live = true, .op = there ? (roll(seed, 5) ? 1 : 2) : 0};
    for (unsigned i = 0; i < FIELDS; i++) {
        t->touched[i] = t->op == 0 || roll(seed, 2);
        t->v[i] = i == 2 ? (int64_t)roll(seed, 1000) + 1 : -(int64_t)++fresh;
    }
    if (t->op == 1 && !t->touched[0] && !t->touched[1]) t->touched[2] = true;
    if (t->op == 0)
        snprintf(sql, sizeof sql, "INSERT INTO item(id,name,price,stock) VALUES('%s',%lld,%lld,%lld)", key, (long long)t->v[0],
                 (long long)t->v[1], (long long)t->v[2]);
    else if (t->op == 1)
        snprintf(
            sql, sizeof sql,
            "UPDATE item SET name=CASE %d WHEN 1 THEN %lld ELSE name END, price=CASE %d WHEN 1 THEN %lld ELSE price END, stock=stock+%lld"
            " WHERE id='%s'",
            t->touched[0], (long long)t->v[0], t->touched[1], (long long)t->v[1], t->touched[2] ? (long long)t->v[2] : 0LL, key);
    else
        snprintf(sql, sizeof sql, "DELETE FROM item WHERE id='%s'", key);
    app_sql(x, sql);
    t->number = (uint64_t)app_integer(x, "SELECT max(n) FROM satchel_outbox");
}

/* Deletions only of rows that no one edits: what updates and deletions do to each other has its own tests above. */
static delta_row server_edit(uint64_t *seed, model_row *confirmed, unsigned k, const char *key) {
    model_row *r = &confirmed[k];
    static char name[24];
    for (unsigned i = 0; i < FIELDS; i++) r->v[i] = (int64_t)roll(seed, 100000) + 5000;
    r->there = true;
    snprintf(name, sizeof name, "%lld", (long long)r->v[0]);
    return item_put(key, name, r->v[1], r->v[2]);
}

/* The server takes the lowest pending transaction; its page brings the whole row as it is then. */
static void server_accept(fixture *x, model_row *confirmed, model_txn *t, uint64_t seq) {
    char key[8], name[24];
    model_row *r = &confirmed[t->key];
    snprintf(key, sizeof key, "k%u", t->key);
    model_redo(r, t);
    accept_at(x, t->number, seq);
    t->live = false;
    snprintf(name, sizeof name, "%lld", (long long)r->v[0]);
    delta_row row = r->there ? item_put(key, name, r->v[1], r->v[2]) : row_of(ITEM, DELTA_DELETE, key);
    assert_int_equal(page_apply(x, seq, &row, 1), SATCHEL_OK);
}

static void run_history(fixture *x, uint64_t seed) {
    model_row confirmed[KEYS] = {0};
    model_txn txn[64];
    unsigned n = 0, first = 0;
    uint64_t s = seed * 2654435761u + 1, seq = (uint64_t)app_integer(x, "SELECT cursor FROM satchel_state");
    for (unsigned step = 0; step < 60; step++) {
        unsigned k = (unsigned)roll(&s, KEYS);
        char key[8];
        snprintf(key, sizeof key, "k%u", k);
        switch (roll(&s, 7)) {
        case 0:
        case 1:
            if (n < 64) app_edit(x, &s, &txn[n++]);
            break;
        case 2: {
            bool deleting = false;
            for (unsigned i = first; i < n; i++) deleting |= txn[i].key == k && txn[i].op != 1;
            if (deleting) break;
            delta_row row = server_edit(&s, confirmed, k, key);
            assert_int_equal(page_apply(x, ++seq, &row, 1), SATCHEL_OK);
            break;
        }
        case 3:
            if (first < n) server_accept(x, confirmed, &txn[first++], ++seq);
            break;
        case 4:
            if (first < n && txn[first].op == 1) {
                refuse_with(x, txn[first].number, SATCHEL_E_CHECK, "no");
                txn[first++].live = false;
            }
            break;
        case 5: {
            delta_row row = row_of(ITEM, DELTA_LEAVE, key);
            confirmed[k].there = false;
            assert_int_equal(page_apply(x, ++seq, &row, 1), SATCHEL_OK);
            break;
        }
        default:
            if (roll(&s, 8) == 0) fixture_reopen(x);
        }
        for (unsigned i = 0; i < KEYS; i++) check_row(x, confirmed, txn, n, i, seed);
    }
    while (first < n) server_accept(x, confirmed, &txn[first++], ++seq);
    for (unsigned i = 0; i < KEYS; i++) check_row(x, confirmed, txn, n, i, seed);
    assert_int_equal(bases(x), 0);
    assert_sound(x);
    delta_row gone[KEYS];
    static const char *const names[KEYS] = {"k0", "k1", "k2", "k3"};
    for (unsigned i = 0; i < KEYS; i++) gone[i] = row_of(ITEM, DELTA_DELETE, names[i]);
    assert_int_equal(page_apply(x, ++seq, gone, KEYS), SATCHEL_OK);
}

static void N4_random_histories_show_confirmed_plus_pending(void **state) {
    for (uint64_t seed = 1; seed <= 16; seed++) run_history(*state, seed);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(page_without_pending_change_is_written),
        T(N4_page_of_another_field_keeps_the_pending_one),
        T(N4_lost_field_shows_confirmed_when_the_cursor_passes),
        T(N4_transaction_that_was_lost_whole_leaves_without_a_row_in_the_page),
        T(N4_refusal_reveals_the_confirmed_value),
        T(N4_refusal_beneath_a_later_edit_of_the_same_field),
        T(N4_refused_insert_and_delete_are_undone),
        T(N4_counter_is_never_counted_twice),
        T(N4_counter_over_commits_of_one_page),
        T(N4_own_echo_writes_no_row),
        T(N4_field_never_steps_back),
        T(N4_page_survives_a_restart_between_edit_and_result),
        T(N4_deleted_row_is_kept_for_a_pending_update_where_updates_win),
        T(N4_kept_row_goes_when_its_update_is_refused),
        T(N4_deleted_row_is_gone_under_a_pending_update_where_deletes_win),
        T(N4_delete_and_insert_of_one_key),
        T(N4_discard_of_an_unsent_transaction_reveals_the_confirmed_value),
        T(N4_result_that_comes_late_leaves_at_once),
        T(N4_composite_key_without_rowid),
        T(P1_pending_change_of_an_older_schema_meets_a_page_of_the_new),
        T(N4_value_beneath_a_pending_change_is_what_sqlite_would_store),
        T(N4_counter_without_a_sum_shows_what_was_set),
        T(N4_counter_that_is_undone_is_what_it_was),
        T(N4_update_and_leave_beneath_pending_changes),
        T(P1_pending_changes_of_a_dropped_table_and_of_the_last_column_hold_up_nothing),
        T(N4_order_of_a_rows_changes_outlasts_a_growing_index),
        T(C8_discard_by_another_handle_is_seen),
        T(C8_tables_are_announced_over_a_migration_by_another_handle),
        T(N4_random_histories_show_confirmed_plus_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
