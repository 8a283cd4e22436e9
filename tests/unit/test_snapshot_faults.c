/* Snapshots, with a fault at each instant. */
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

static void make_snapshot_of(const msg_snapshot *head, snapshot_range r, const delta_row *rows, unsigned n) {
    msg_snapshot h = *head;
    delta_writer w;
    buf delta;
    buf_init(&delta, 0);
    delta_writer_init(&w);
    for (unsigned i = 0; i < n; i++) delta_put_row(&w, &rows[i]);
    assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
    delta_writer_fini(&w);
    r.delta = delta.p;
    r.ndelta = delta.n;
    h.ranges = 1;
    h.id = 7;
    h.seq = 50;
    buf_clear(&message);
    snapshot_begin(&h, &message);
    snapshot_put_range(&r, &message);
    buf_fini(&delta);
}

static void make_snapshot(const msg_snapshot *head, snapshot_range r, const delta_row *row) {
    make_snapshot_of(head, r, row, 1);
}

static int run_snapshot(fixture *x) {
    bool done;
    return apply_snapshot(x->f, message.p, message.n, &done);
}

static void before_first_range(fixture *x) {
    delta_row row = item_put("b", "as of 50", 1, 1);
    snapshot_range r = {.table = ITEM, .nkey = 1, .has_to = true};
    r.to[0] = text_of("d");
    delta_row part = item_put("b", "in parts", 1, 1);
    buf_clear(&message);
    page_build(x, &(msg_page){.from = 15, .to = 21, .more = true}, 21, &part, 1, &message);
    assert_int_equal(apply_page(x->f, message.p, message.n), SATCHEL_OK); /* a commit in parts, which is given up */
    for (unsigned i = 0; i < 10; i++) {
        char sql[100];
        snprintf(sql, sizeof sql, "INSERT INTO item(id, name) VALUES('c%u', 'n')", i);
        app_sql(x, sql);
    }
    make_snapshot(&(msg_snapshot){.page = 0}, r, &row);
}

static void before_last_range(fixture *x) {
    delta_row row = pair_row(DELTA_PUT, 2, "y");
    snapshot_range r = {.table = PAIR, .nkey = 2, .has_from = true};
    r.from[0] = text_of("w");
    r.from[1] = value_integer(3);
    before_first_range(x);
    assert_int_equal(run_snapshot(x), SATCHEL_OK);
    make_snapshot(&(msg_snapshot){.page = 1, .last = true}, r, &row);
}

/* S4: of a view, which is another than that of the pages before. */
static void before_last_range_of_view(fixture *x) {
    delta_row row = item_put("d", "as of 50", 1, 1);
    snapshot_range r = {.table = ITEM, .nkey = 1, .has_to = true};
    r.to[0] = text_of("x");
    app_sql(x, "UPDATE satchel_state SET epoch=x'0102030405060708'");
    make_snapshot(&(msg_snapshot){.view = 3}, (snapshot_range){.table = TAG, .nkey = 1},
                  &(delta_row){.table = TAG, .op = DELTA_PUT, .nkey = 1, .key[0] = text_of("t")});
    assert_int_equal(run_snapshot(x), SATCHEL_OK);
    make_snapshot(&(msg_snapshot){.page = 1, .last = true, .view = 3}, r, &row);
}

static void lose(fixture *x, const char *table, const char *column, const char *key) {
    char sql[4000];
    snprintf(sql, sizeof sql,
             "INSERT INTO satchel_conflicts(n, seq, tbl, col, key, kept, lost, rule, kept_ms, lost_ms, kept_author)"
             " VALUES(1, 5, '%s', '%s', '%s', 'kept', 'lost', 'lww', 1, 1, 1)",
             table, column, key);
    app_sql(x, sql);
}

/* Longer than the texts before it, so that memory is asked for where it is read. */
static const char *long_key(size_t n) {
    static char key[3000];
    memset(key, 'k', sizeof key);
    key[n] = 0;
    return key;
}

static delta_row masked(const char *key) {
    delta_row r = row_of(ITEM, DELTA_PUT, key);
    row_set(&r, ITEM_NAME, text_of("of the view"));
    return r;
}

/* S1, S5: what was kept of columns and rows that the view does not have, under both names of a table: of rows that are there, one of them beneath a
 * deletion, and of others. A table is gone. */
static void before_view_that_forgets(fixture *x) {
    char sql[4000];
    delta_row tag = row_of(TAG, DELTA_PUT, long_key(2900));
    app_sql(x, "UPDATE satchel_state SET epoch=x'0102030405060708'");
    make_snapshot(&(msg_snapshot){.view = 3}, (snapshot_range){.table = TAG, .nkey = 1}, &tag);
    assert_int_equal(run_snapshot(x), SATCHEL_OK);
    delta_row rows[] = {masked("b"), masked("d"), masked(long_key(1400))};
    make_snapshot_of(&(msg_snapshot){.page = 1, .view = 3}, (snapshot_range){.table = ITEM, .nkey = 1}, rows, 3);
    assert_int_equal(run_snapshot(x), SATCHEL_OK);
    assert_int_equal(fixture_migrate(x, "DROP TABLE pair;"), SATCHEL_OK);
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item RENAME TO thing;"), SATCHEL_OK);
    snprintf(sql, sizeof sql, "DELETE FROM thing WHERE id='%s'", long_key(1400));
    app_sql(x, sql);
    static const char *const NAME[] = {"item", "thing"};
    for (unsigned i = 0; i < 2; i++) {
        lose(x, NAME[i], "name", "b");
        lose(x, NAME[i], "note", "b");
        lose(x, NAME[i], "", "never came");
        lose(x, NAME[i], "name", long_key(1400));
    }
    lose(x, "tag", "label", long_key(2900));
    lose(x, "tag", "label", "never came");
    make_snapshot_of(&(msg_snapshot){.page = 2, .last = true, .view = 3}, (snapshot_range){.table = ITEM, .nkey = 1}, rows, 3);
}

static void before_range_with_a_long_key(fixture *x) {
    (void)x;
    delta_row row = masked(long_key(2900));
    make_snapshot(&(msg_snapshot){.last = true}, (snapshot_range){.table = ITEM, .nkey = 1}, &row);
}

static const operation OPERATION[] = {
    {"first range", before_first_range, run_snapshot, 0},
    {"last range", before_last_range, run_snapshot, 0},
    {"range with a long key", before_range_with_a_long_key, run_snapshot, 0},
    {"last range of a view", before_last_range_of_view, run_snapshot, 0},
    {"view that forgets what was kept", before_view_that_forgets, run_snapshot, 0},
};

static void snapshot_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
    buf_fini(&message);
}

static const char *kept(fixture *x) {
    return app_text(x, "SELECT group_concat(tbl || ' ' || col || ' ' || substr(key, 1, 2), ', ') FROM"
                       " (SELECT * FROM satchel_conflicts WHERE kept IS NOT NULL ORDER BY id)");
}

#define KEPT "item name b, item name kk, thing name b, thing name kk, tag label kk"

static void S1_S5_view_forgets_what_was_kept_of_what_it_does_not_hold_under_every_name(void **state) {
    fixture *x = *state;
    before_view_that_forgets(x);
    assert_int_equal(run_snapshot(x), SATCHEL_OK);
    assert_string_equal(kept(x), KEPT);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_conflicts WHERE lost='lost'"), 10);
    assert_sound(x);
    buf_fini(&message);
}

/* SQLite's own memory too, where texts are converted as they are read and bound: a key that could not be read is none that is not held. */
static void S5_view_in_UTF_16_without_memory_forgets_all_of_it_or_nothing(void **state) {
    fixture *x = *state;
    char before[300];
    unsigned failed = 0;
    int rc = SATCHEL_OK;
    before_view_that_forgets(x);
    snprintf(before, sizeof before, "%s", kept(x));
    sqlite3 *begin = device_keep(x);
    for (fault_loop l = {0}; faults_next(&l);) {
        rc = device_try(x, &l, rc ? NULL : begin, run_snapshot);
        assert_string_equal(kept(x), rc ? before : KEPT);
        failed += rc != 0;
    }
    assert_true(failed > 200);
    assert_sound(x);
    sqlite3_close(begin);
    buf_fini(&message);
}

/* Nothing is short of memory: that is not what is told. */
static void S5_step_that_fails_while_what_was_kept_is_forgotten_is_not_told_as_memory(void **state) {
    fixture *x = *state;
    int rc = -1;
    before_view_that_forgets(x);
    for (unsigned n = 1; rc; n++) {
        faults_at_step(n);
        rc = run_snapshot(x);
        faults_at_step(0);
        if (rc == SATCHEL_E_NOMEM) fail_msg("step %u: %s", n, (const char *)x->f->error.p);
    }
    buf_fini(&message);
}

int main(void) {
    /* Each allocation of SQLite's for itself, so that each can fail. */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(S5_step_that_fails_while_what_was_kept_is_forgotten_is_not_told_as_memory, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(S1_S5_view_forgets_what_was_kept_of_what_it_does_not_hold_under_every_name, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(S5_view_in_UTF_16_without_memory_forgets_all_of_it_or_nothing, fixture_setup_utf16,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(snapshot_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
