/* Pages and snapshots as transactions: order, staging, ranges, resuming. */
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
#include "tests/support/replica_fixture.h"

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static int give(fixture *x, uint64_t seq, const char *key, int64_t stock) {
    delta_row r = item_put(key, key, 1, stock);
    return page_apply(x, seq, &r, 1);
}

static int apply_with(fixture *x, const msg_page *head, uint64_t seq, delta_row row) {
    buf page;
    buf_init(&page, 0);
    page_build(x, head, seq, &row, 1, &page);
    int rc = apply_page(x->f, page.p, page.n);
    buf_fini(&page);
    return rc;
}

/* ---- pages ---- */

static void page_moves_cursor_clock_and_rows_together(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    fixture_reopen(x);
    assert_int_equal(x->f->state.cursor, 10);
    assert_int_equal(x->f->state.head, 10);
    assert_int_equal(x->f->state.hlc, hlc_of_ms(x->now_ms));
}

static void page_that_does_not_begin_at_the_cursor_is_out_of_order(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    delta_row b = item_put("b", "b", 1, 1);
    assert_int_equal(apply_with(x, &(msg_page){.from = 9, .to = 12}, 12, b), SATCHEL_E_ORDER);
    assert_int_equal(apply_with(x, &(msg_page){.from = 11, .to = 12}, 12, b), SATCHEL_E_ORDER);
    assert_string_equal(item(x, "b"), "-");
    assert_int_equal(apply_with(x, &(msg_page){.from = 10, .to = 12}, 12, b), SATCHEL_OK);
    assert_int_not_equal(apply_with(x, &(msg_page){.from = 12, .to = 11}, 11, b), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT cursor FROM satchel_state"), 12);
}

static void damaged_page_changes_nothing(void **state) {
    fixture *x = *state;
    buf page;
    delta_row rows[2] = {item_put("a", "a", 1, 1), item_put("b", "b", 1, 1)};
    buf_init(&page, 0);
    page_build(x, &(msg_page){.from = 0, .to = 10}, 10, rows, 2, &page);
    for (size_t n = 0; n < page.n; n++) assert_int_not_equal(apply_page(x->f, page.p, n), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 0);
    assert_int_equal(app_integer(x, "SELECT cursor FROM satchel_state"), 0);
    assert_int_equal(apply_page(x->f, page.p, page.n), SATCHEL_OK);
    buf_fini(&page);
}

static void page_of_an_unknown_table_is_refused_and_of_a_dropped_one_passed_over(void **state) {
    fixture *x = *state;
    delta_row r = row_of(77, DELTA_DELETE, "a");
    assert_int_equal(page_apply(x, 10, &r, 1), SATCHEL_E_UNKNOWN_TABLE);
    assert_int_equal(fixture_migrate(x, "DROP TABLE tag;"), SATCHEL_OK);
    r = row_of(TAG, DELTA_PUT, "t");
    row_set(&r, TAG_LABEL, text_of("red"));
    assert_int_equal(page_apply(x, 10, &r, 1), SATCHEL_OK);
    assert_int_equal(x->f->state.cursor, 10);
    r = row_of(PAIR, DELTA_DELETE, "half a key");
    assert_int_equal(page_apply(x, 11, &r, 1), SATCHEL_E_MALFORMED);
}

/* A put of nothing but a key, and more sets of columns than there are statements kept: each finds its own. */
static void page_writes_the_columns_that_each_row_names(void **state) {
    fixture *x = *state;
    static delta_row rows[301];
    static char keys[301][8], values[301][8];
    char sql[400] = "CREATE TABLE wide(id TEXT PRIMARY KEY";
    for (int i = 0; i < 12; i++) snprintf(sql + strlen(sql), 20, ", c%d TEXT", i);
    strcat(sql, "); INSERT INTO satchel_table(name) VALUES('wide');");
    assert_int_equal(fixture_migrate(x, sql), SATCHEL_OK);
    for (unsigned i = 0; i < 301; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        snprintf(values[i], sizeof values[i], "v%u", i);
        rows[i] = row_of(4, DELTA_PUT, keys[i]);
        for (unsigned c = 0; c < 12; c++)
            if (i * 2654435761u >> (c + 10) & 1) row_set(&rows[i], c + 2, text_of(values[i]));
    }
    rows[300].ncol = 0;
    assert_int_equal(page_apply(x, 10, rows, 301), SATCHEL_OK);
    /* A column that is not there any more, alone. */
    delta_row gone = row_of(4, DELTA_UPDATE, "k1");
    row_set(&gone, 99, text_of("nowhere"));
    assert_int_equal(page_apply(x, 11, &gone, 1), SATCHEL_OK);
    for (unsigned c = 0; c < 12; c++) {
        int64_t want = 0;
        for (unsigned i = 0; i < 300; i++) want += i * 2654435761u >> (c + 10) & 1;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM wide WHERE c%u='v' || substr(id, 2)", c);
        assert_int_equal(app_integer(x, sql), want);
        snprintf(sql, sizeof sql, "SELECT count(*) FROM wide WHERE c%u IS NULL", c);
        assert_int_equal(app_integer(x, sql), 301 - want);
    }
}

static void apply_is_not_captured(void **state) {
    fixture *x = *state;
    app_sql(
        x,
        "CREATE TABLE log(what); CREATE TRIGGER note AFTER INSERT ON item WHEN satchel_local() BEGIN INSERT INTO log VALUES(new.id); END");
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 0);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM log"), 0);
    app_sql(x, "INSERT INTO item(id) VALUES('b')");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM log"), 1);
}

/* ---- a commit in parts ---- */

static int part(fixture *x, uint32_t number, bool more, const char *key) {
    return apply_with(x, &(msg_page){.from = 10, .to = 11, .part = number, .more = more}, 11, item_put(key, key, 1, 1));
}

static void staged_parts_show_only_with_the_last(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(part(x, 0, true, "b"), SATCHEL_OK);
    assert_int_equal(part(x, 1, true, "c"), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 1);
    assert_int_equal(x->f->state.cursor, 10);
    fixture_reopen(x);
    assert_int_equal(part(x, 2, false, "d"), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 4);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_stage"), 0);
    assert_int_equal(x->f->state.cursor, 11);
}

static void staged_parts_begin_anew_after_a_cut(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(part(x, 0, true, "b"), SATCHEL_OK);
    assert_int_equal(part(x, 2, true, "d"), SATCHEL_E_ORDER);
    assert_int_equal(apply_with(x, &(msg_page){.from = 10, .to = 12, .part = 1}, 12, item_put("d", "d", 1, 1)), SATCHEL_E_ORDER);
    assert_int_equal(part(x, 0, true, "c"), SATCHEL_OK);
    assert_int_equal(part(x, 1, false, "d"), SATCHEL_OK);
    assert_string_equal(item(x, "b"), "-");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 3);
}

static void staged_part_that_is_lost_or_damaged_is_told_and_nothing_applied(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(part(x, 0, true, "b"), SATCHEL_OK);
    app_sql(x, "UPDATE satchel_stage SET part=7");
    assert_int_equal(part(x, 1, false, "c"), SATCHEL_E_CORRUPT);
    app_sql(x, "UPDATE satchel_stage SET part=0, page=substr(page, 1, 5)");
    assert_int_equal(part(x, 1, false, "c"), SATCHEL_E_MALFORMED);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM item"), "a");
    assert_int_equal(part(x, 0, true, "b"), SATCHEL_OK);
    assert_int_equal(part(x, 1, false, "c"), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)"), "a,b,c");
}

static void N4_own_echo_in_parts_leaves_the_overlay(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    app_sql(x, "INSERT INTO item(id, name, price, stock) VALUES('b', 'b', 1, 1), ('c', 'c', 1, 1)");
    accept_at(x, 1, 11);
    assert_int_equal(part(x, 0, true, "b"), SATCHEL_OK);
    assert_int_equal(part(x, 1, false, "c"), SATCHEL_OK);
    assert_int_equal(overlay_size(x->f->overlay), 0);
    assert_sound(x);
}

/* ---- snapshots ---- */

static int snapshot(fixture *x, const msg_snapshot *head, const char *from, const char *to, const delta_row *rows, unsigned n) {
    snapshot_range r = {.table = ITEM, .has_from = from != NULL, .has_to = to != NULL, .nkey = 1};
    msg_snapshot h = *head;
    delta_writer w;
    buf delta, message;
    bool done;
    buf_init(&delta, 0);
    buf_init(&message, 0);
    delta_writer_init(&w);
    for (unsigned i = 0; i < n; i++) delta_put_row(&w, &rows[i]);
    assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
    delta_writer_fini(&w);
    if (from) r.from[0] = text_of(from);
    if (to) r.to[0] = text_of(to);
    r.delta = delta.p;
    r.ndelta = delta.n;
    h.ranges = 1;
    h.seq = 50;
    h.total_rows = 9;
    snapshot_begin(&h, &message);
    snapshot_put_range(&r, &message);
    int rc = apply_snapshot(x->f, message.p, message.n, &done);
    if (!rc) assert_int_equal(done, head->last);
    buf_fini(&message);
    buf_fini(&delta);
    return rc;
}

static void snapshot_replaces_what_lies_in_its_ranges(void **state) {
    fixture *x = *state;
    delta_row old[4] = {item_put("a", "a", 1, 1), item_put("b", "b", 1, 1), item_put("m", "m", 1, 1), item_put("z", "z", 1, 1)};
    assert_int_equal(page_apply(x, 10, old, 4), SATCHEL_OK);
    delta_row first = item_put("b", "new", 2, 2);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &first, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    assert_string_equal(item(x, "b"), "new|2|2|~");
    assert_string_equal(item(x, "m"), "m|1|1|~");
    assert_int_equal(x->f->state.cursor, 10);
    delta_row second = item_put("q", "q", 2, 2);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true}, "k", NULL, &second, 1), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)"), "b,q");
    assert_int_equal(x->f->state.cursor, 50);
    assert_int_equal(x->f->state.snapshot, 0);
    assert_true(x->f->state.placed);
    assert_int_equal(give(x, 51, "r", 1), SATCHEL_OK);
    assert_sound(x);
}

/* Of a file that was put back: its transaction had been taken from another incarnation, so its result comes only after it was sent
 * again. */
static void N4_result_that_comes_within_a_snapshot_that_holds_it_counts_once(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 100), SATCHEL_OK);
    assert_int_equal(give(x, 11, "z", 100), SATCHEL_OK);
    app_sql(x, "UPDATE item SET stock=stock+5");
    delta_row a = item_put("a", "a", 1, 105), z = item_put("z", "z", 1, 105);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &a, 1), SATCHEL_OK);
    accept_at(x, 1, 18);
    assert_string_equal(item(x, "a"), "a|1|105|~");
    assert_string_equal(item(x, "z"), "z|1|105|~");
    assert_sound(x);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true}, "k", NULL, &z, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "a|1|105|~");
    assert_string_equal(item(x, "z"), "z|1|105|~");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

static void snapshot_resumes_at_its_next_page_after_a_restart(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1), q = item_put("q", "q", 1, 1);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &a, 1), SATCHEL_OK);
    fixture_reopen(x);
    assert_int_equal(x->f->state.snapshot, 7);
    assert_int_equal(x->f->state.snapshot_page, 1);
    assert_int_equal(x->f->state.snapshot_rows, 1);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 2}, "k", NULL, &q, 1), SATCHEL_E_ORDER);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 8, .page = 1}, "k", NULL, &q, 1), SATCHEL_E_ORDER);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true}, "k", NULL, &q, 1), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 2);
}

static void snapshot_with_another_id_begins_anew(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1), b = item_put("b", "b", 1, 1);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &a, 1), SATCHEL_OK);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 8, .last = true}, NULL, NULL, &b, 1), SATCHEL_OK);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM item"), "b");
}

static void snapshot_of_nothing_empties_a_large_table(void **state) {
    fixture *x = *state;
    static delta_row rows[1500];
    static char keys[1500][8];
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(keys[i], sizeof keys[i], "k%04u", i);
        rows[i] = item_put(keys[i], "n", 1, 1);
    }
    assert_int_equal(page_apply(x, 10, rows, 1500), SATCHEL_OK);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .last = true}, NULL, NULL, NULL, 0), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM item"), 0);
}

static void make_snapshot(const msg_snapshot *head, const snapshot_range *r, buf *message) {
    msg_snapshot h = *head;
    h.ranges = 1;
    buf_clear(message);
    snapshot_begin(&h, message);
    snapshot_put_range(r, message);
    assert_int_equal(message->rc, SATCHEL_OK);
}

static void make_delta(const delta_row *row, buf *delta) {
    delta_writer w;
    delta_writer_init(&w);
    buf_clear(delta);
    delta_put_row(&w, row);
    assert_int_equal(delta_finish(&w, delta), SATCHEL_OK);
    delta_writer_fini(&w);
}

static void damaged_snapshot_changes_nothing(void **state) {
    fixture *x = *state;
    buf message, delta;
    bool done;
    delta_row row = item_put("b", "b", 1, 1);
    snapshot_range r = {.table = ITEM, .nkey = 1, .has_to = true};
    buf_init(&message, 0);
    buf_init(&delta, 0);
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    make_delta(&row, &delta);
    r.to[0] = text_of("z");
    r.delta = delta.p;
    r.ndelta = delta.n;
    make_snapshot(&(msg_snapshot){.id = 7, .seq = 50, .last = true}, &r, &message);
    for (size_t n = 0; n < message.n; n++) assert_int_not_equal(apply_snapshot(x->f, message.p, n, &done), SATCHEL_OK);
    assert_false(done);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM item"), "a");
    assert_int_equal(app_integer(x, "SELECT cursor FROM satchel_state"), 10);
    assert_int_equal(apply_snapshot(x->f, message.p, message.n, &done), SATCHEL_OK);
    assert_true(done);
    buf_fini(&delta);
    buf_fini(&message);
}

/* What a range may hold: whole rows of its table; of a table that is gone it may be anything. */
static void snapshot_range_of_something_else_is_refused(void **state) {
    fixture *x = *state;
    delta_row rows[] = {item_put("b", "b", 1, 1),        row_of(TAG, DELTA_PUT, "t"), row_of(ITEM, DELTA_DELETE, "b"),
                        row_of(PAIR, DELTA_PUT, "half"), row_of(77, DELTA_PUT, "no"), row_of(TAG, DELTA_PUT, "t")};
    static const struct {
        uint32_t table;
        unsigned row;
        bool damaged;
        int rc;
    } CASE[] = {{ITEM, 1, false, SATCHEL_E_MALFORMED},
                {ITEM, 2, false, SATCHEL_E_MALFORMED},
                {PAIR, 3, false, SATCHEL_E_MALFORMED},
                {ITEM, 0, true, SATCHEL_E_MALFORMED},
                {77, 4, false, SATCHEL_E_UNKNOWN_TABLE},
                {TAG, 4, false, SATCHEL_E_UNKNOWN_TABLE},
                {TAG, 5, false, SATCHEL_OK},
                {ITEM, 0, false, SATCHEL_OK}};
    buf message, delta;
    buf_init(&message, 0);
    buf_init(&delta, 0);
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(fixture_migrate(x, "DROP TABLE tag;"), SATCHEL_OK);
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        bool done;
        make_delta(&rows[CASE[i].row], &delta);
        if (CASE[i].damaged) delta.p[3] = 9; /* no such operation */
        snapshot_range r = {.table = CASE[i].table, .nkey = 1, .delta = delta.p, .ndelta = delta.n};
        make_snapshot(&(msg_snapshot){.id = 7, .seq = 50}, &r, &message);
        int rc = apply_snapshot(x->f, message.p, message.n, &done);
        if (rc != CASE[i].rc) fail_msg("case %u: %s", i, satchel_rc_name(rc));
        if (i + 1 < sizeof CASE / sizeof CASE[0]) assert_string_equal(app_text(x, "SELECT group_concat(id) FROM item"), "a");
    }
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM item"), "b");
    buf_fini(&delta);
    buf_fini(&message);
}

/* A key of two columns, by both bounds: what lies at the first is not of the range, what lies at the last is. */
static void N4_range_between_two_bounds_clears_what_is_shown_and_what_is_hidden(void **state) {
    fixture *x = *state;
    static const struct {
        const char *b;
        int64_t a;
    } KEY[] = {{"k", 1}, {"k", 2}, {"m", 0}, {"p", 4}, {"p", 5}, {"q", 1}};
    delta_row rows[6];
    buf message, delta;
    bool done;
    char sql[200];
    buf_init(&message, 0);
    buf_init(&delta, 0);
    for (unsigned i = 0; i < 6; i++) {
        rows[i] = (delta_row){.table = PAIR, .op = DELTA_PUT, .nkey = 2};
        rows[i].key[0] = text_of(KEY[i].b);
        rows[i].key[1] = value_integer(KEY[i].a);
        row_set(&rows[i], PAIR_V, value_real(1));
    }
    for (int hidden = 0; hidden < 2; hidden++) {
        assert_int_equal(page_apply(x, 10 + (unsigned)hidden * 100, rows, 6), SATCHEL_OK);
        if (hidden) app_sql(x, "DELETE FROM pair");
        snapshot_range r = {.table = PAIR, .nkey = 2, .has_from = true, .has_to = true};
        r.from[0] = text_of("k");
        r.from[1] = value_integer(1);
        r.to[0] = text_of("p");
        r.to[1] = value_integer(4);
        make_delta(&rows[2], &delta);
        r.delta = delta.p;
        r.ndelta = delta.n;
        make_snapshot(&(msg_snapshot){.id = 7 + (unsigned)hidden, .seq = 50 + (unsigned)hidden * 100}, &r, &message);
        assert_int_equal(apply_snapshot(x->f, message.p, message.n, &done), SATCHEL_OK);
        if (hidden) {
            refuse_with(x, 1, SATCHEL_E_CHECK, "no");
            assert_int_equal(bases(x), 0);
        }
        snprintf(sql, sizeof sql, "SELECT group_concat(b || a, ' ') FROM (SELECT a, b FROM pair ORDER BY b, a)");
        assert_string_equal(app_text(x, sql), "k1 m0 p5 q1");
        snapshot_range rest = {.table = PAIR, .nkey = 2, .delta = delta.p, .ndelta = delta.n};
        make_snapshot(&(msg_snapshot){.id = 7 + (unsigned)hidden, .seq = 50 + (unsigned)hidden * 100, .page = 1, .last = true},
                      &rest, &message);
        assert_int_equal(apply_snapshot(x->f, message.p, message.n, &done), SATCHEL_OK);
        assert_string_equal(app_text(x, sql), "m0");
    }
    assert_sound(x);
    buf_fini(&delta);
    buf_fini(&message);
}

static void snapshot_page_of_another_seq_is_out_of_order(void **state) {
    fixture *x = *state;
    buf message, delta;
    bool done;
    delta_row row = item_put("b", "b", 1, 1);
    buf_init(&message, 0);
    buf_init(&delta, 0);
    make_delta(&row, &delta);
    snapshot_range r = {.table = ITEM, .nkey = 1, .delta = delta.p, .ndelta = delta.n};
    make_snapshot(&(msg_snapshot){.id = 7, .seq = 50}, &r, &message);
    assert_int_equal(apply_snapshot(x->f, message.p, message.n, &done), SATCHEL_OK);
    make_snapshot(&(msg_snapshot){.id = 7, .seq = 51, .page = 1}, &r, &message);
    assert_int_equal(apply_snapshot(x->f, message.p, message.n, &done), SATCHEL_E_ORDER);
    buf_fini(&delta);
    buf_fini(&message);
}

static void page_during_a_snapshot_is_out_of_order(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &a, 1), SATCHEL_OK);
    assert_int_equal(give(x, 10, "b", 1), SATCHEL_E_ORDER);
}

/* The app goes on writing between the pages of a first sync. */
static void N4_edits_stay_over_a_snapshot(void **state) {
    fixture *x = *state;
    delta_row old[2] = {item_put("a", "a", 1, 10), item_put("b", "b", 1, 10)};
    assert_int_equal(page_apply(x, 10, old, 2), SATCHEL_OK);
    app_sql(
        x,
        "UPDATE item SET stock=stock+1 WHERE id='a'; DELETE FROM item WHERE id='b'; INSERT INTO item(id, name) VALUES('mine', 'm')");
    delta_row a = item_put("a", "theirs", 2, 20);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &a, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "theirs|2|21|~");
    app_sql(x, "UPDATE item SET price=9 WHERE id='a'");
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true}, "k", NULL, NULL, 0), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "theirs|9|21|~");
    assert_string_equal(item(x, "mine"), "m|~|~|~");
    /* The snapshot does not have b: a refusal of its deletion has nothing to reveal. */
    refuse_with(x, 2, SATCHEL_E_FOREIGN_KEY, "no");
    assert_string_equal(item(x, "b"), "-");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    refuse_with(x, 4, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "theirs|2|20|~");
    refuse_with(x, 3, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "mine"), "-");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

/* A change that the snapshot holds already is not shown twice, neither between its pages nor after a restart in the middle. */
static void N4_accepted_counter_is_not_counted_twice_within_a_snapshot(void **state) {
    fixture *x = *state;
    assert_int_equal(give(x, 10, "a", 100), SATCHEL_OK);
    app_sql(x, "UPDATE item SET stock=stock+5 WHERE id='a'; UPDATE item SET stock=stock+1 WHERE id='a'");
    accept_at(x, 1, 40);
    delta_row a = item_put("a", "a", 1, 105);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7}, NULL, "k", &a, 1), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT stock FROM item"), 106);
    fixture_reopen(x);
    app_sql(x, "UPDATE item SET stock=stock+10 WHERE id='a'");
    assert_sound(x);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true}, "k", NULL, NULL, 0), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT stock FROM item"), 116);
    assert_int_equal(app_integer(x, "SELECT state FROM satchel_outbox WHERE n=1"), TXN_CONFIRMED);
    accept_at(x, 2, 51);
    a = item_set("a", ITEM_STOCK, value_integer(106));
    assert_int_equal(page_apply(x, 51, &a, 1), SATCHEL_OK);
    assert_int_equal(app_integer(x, "SELECT stock FROM item"), 116);
    assert_sound(x);
}

/* ---- views ---- */

static int64_t view_of(fixture *x) {
    return app_integer(x, "SELECT view FROM satchel_state");
}

static void S4_view_moves_with_the_cursor_and_stays(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1);
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(view_of(x), 0);
    assert_int_equal(apply_with(x, &(msg_page){.from = 10, .to = 12, .view = 3}, 12, a), SATCHEL_OK);
    assert_int_equal(view_of(x), 3);
    assert_int_equal(give(x, 13, "b", 1), SATCHEL_OK);
    fixture_reopen(x);
    assert_int_equal(x->f->state.view, 3);
    /* What is not applied moves neither. */
    assert_int_equal(apply_with(x, &(msg_page){.from = 9, .to = 14, .view = 4}, 14, a), SATCHEL_E_ORDER);
    assert_int_equal(view_of(x), 3);
    assert_int_equal(apply_with(x, &(msg_page){.from = 13, .to = 13, .view = 4}, 13, a), SATCHEL_OK);
    assert_int_equal(view_of(x), 4);
}

static void S4_view_of_a_commit_in_parts_comes_with_the_last(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1);
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(apply_with(x, &(msg_page){.from = 10, .to = 11, .more = true, .view = 3}, 11, a), SATCHEL_OK);
    assert_int_equal(view_of(x), 0);
    fixture_reopen(x);
    assert_int_equal(apply_with(x, &(msg_page){.from = 10, .to = 11, .part = 1, .view = 3}, 11, a), SATCHEL_OK);
    assert_int_equal(view_of(x), 3);
}

static void S4_view_of_a_snapshot_comes_with_its_last_page(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1);
    assert_int_equal(apply_with(x, &(msg_page){.to = 10, .view = 3}, 10, a), SATCHEL_OK);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .view = 5}, NULL, "k", &a, 1), SATCHEL_OK);
    assert_int_equal(view_of(x), 3);
    fixture_reopen(x);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true, .view = 5}, "k", NULL, NULL, 0), SATCHEL_OK);
    assert_int_equal(view_of(x), 5);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 8, .last = true}, NULL, NULL, &a, 1), SATCHEL_OK);
    assert_int_equal(view_of(x), 0);
}

/* Between its pages the rows are of no cursor, and a device that comes back then must not go on from the one before. */
static void S4_cursor_is_of_no_use_within_a_snapshot_that_no_welcome_announced(void **state) {
    fixture *x = *state;
    delta_row a = item_put("a", "a", 1, 1);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.placed = true;
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    assert_int_equal(give(x, 10, "a", 1), SATCHEL_OK);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .view = 5}, NULL, "k", &a, 1), SATCHEL_OK);
    fixture_reopen(x);
    assert_false(x->f->state.placed);
    assert_int_equal(snapshot(x, &(msg_snapshot){.id = 7, .page = 1, .last = true, .view = 5}, "k", NULL, NULL, 0), SATCHEL_OK);
    assert_true(x->f->state.placed);
}

static void S4_file_that_was_put_back_tells_the_view_that_it_held(void **state) {
    fixture *x = *state;
    char path[128], sql[200];
    file *older;
    file_options o = {.env = fixture_env(x)};
    delta_row a = item_put("a", "a", 1, 1);
    assert_int_equal(apply_with(x, &(msg_page){.to = 10, .view = 3}, 10, a), SATCHEL_OK);
    snprintf(path, sizeof path, "%s/older", x->dir);
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", path);
    app_sql(x, sql);
    assert_int_equal(apply_with(x, &(msg_page){.from = 10, .to = 11, .view = 4}, 11, a), SATCHEL_OK);
    assert_int_equal(file_open(path, &o, &older), SATCHEL_OK);
    assert_int_equal(older->state.view, 3);
    assert_int_equal(older->state.cursor, 10);
    file_close(older);
    remove(path);
}

/* ---- faults ---- */

/* Fails SQLite's allocation 1, 2, 3 ... until the page passes: each failure is named, and changes nothing. */
static void apply_without_memory_is_all_or_nothing(void **state) {
    fixture *x = *state;
    buf page;
    delta_row rows[3] = {item_set("a", ITEM_STOCK, value_integer(50)), item_put("b", "b", 1, 1), row_of(ITEM, DELTA_DELETE, "c")};
    delta_row old[2] = {item_put("a", "a", 1, 100), item_put("c", "c", 1, 1)};
    assert_int_equal(page_apply(x, 10, old, 2), SATCHEL_OK);
    app_sql(x, "UPDATE item SET stock=stock+1 WHERE id='a'; UPDATE item SET note='n' WHERE id='c'");
    accept_at(x, 1, 11);
    buf_init(&page, 0);
    page_build(x, &(msg_page){.from = 10, .to = 11}, 11, rows, 3, &page);
    for (unsigned n = 1;; n += n < 40 ? 1 : 5) {
        fixture_reopen(x); /* so that statements are prepared anew */
        faults_at(n, n % 2 == 0);
        int rc = apply_page(x->f, page.p, page.n);
        bool failed = faults_happened();
        faults_at(0, false);
        if (!rc) {
            assert_true(n > 100);
            if (failed) print_message("SQLite did without allocation %u\n", n);
            break;
        }
        assert_int_equal(rc, SATCHEL_E_NOMEM);
        assert_string_equal(item(x, "a"), "a|1|101|~");
        assert_string_equal(item(x, "b"), "-");
        assert_int_equal(app_integer(x, "SELECT cursor FROM satchel_state"), 10);
        assert_sound(x);
    }
    assert_string_equal(item(x, "a"), "a|1|50|~");
    assert_string_equal(item(x, "c"), "c|1|1|n");
    assert_sound(x);
    buf_fini(&page);
}

/* As SQLite does by itself where the disk is full. */
static void commit_of_a_transaction_that_has_ended_writes_nothing(void **state) {
    fixture *x = *state;
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.cursor = 77;
    assert_int_equal(sqlite3_exec(x->f->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_E_IO);
    assert_int_equal(app_integer(x, "SELECT cursor FROM satchel_state"), 0);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    assert_sound(x);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        T(page_moves_cursor_clock_and_rows_together),
        T(page_that_does_not_begin_at_the_cursor_is_out_of_order),
        T(damaged_page_changes_nothing),
        T(commit_of_a_transaction_that_has_ended_writes_nothing),
        T(page_of_an_unknown_table_is_refused_and_of_a_dropped_one_passed_over),
        T(page_writes_the_columns_that_each_row_names),
        T(apply_is_not_captured),
        T(staged_parts_show_only_with_the_last),
        T(staged_parts_begin_anew_after_a_cut),
        T(staged_part_that_is_lost_or_damaged_is_told_and_nothing_applied),
        T(N4_own_echo_in_parts_leaves_the_overlay),
        T(snapshot_replaces_what_lies_in_its_ranges),
        T(snapshot_resumes_at_its_next_page_after_a_restart),
        T(snapshot_with_another_id_begins_anew),
        T(snapshot_of_nothing_empties_a_large_table),
        T(damaged_snapshot_changes_nothing),
        T(snapshot_range_of_something_else_is_refused),
        T(N4_range_between_two_bounds_clears_what_is_shown_and_what_is_hidden),
        T(snapshot_page_of_another_seq_is_out_of_order),
        T(page_during_a_snapshot_is_out_of_order),
        T(N4_edits_stay_over_a_snapshot),
        T(N4_accepted_counter_is_not_counted_twice_within_a_snapshot),
        T(S4_view_moves_with_the_cursor_and_stays),
        T(S4_view_of_a_commit_in_parts_comes_with_the_last),
        T(S4_view_of_a_snapshot_comes_with_its_last_page),
        T(S4_cursor_is_of_no_use_within_a_snapshot_that_no_welcome_announced),
        T(S4_file_that_was_put_back_tells_the_view_that_it_held),
        T(N4_result_that_comes_within_a_snapshot_that_holds_it_counts_once),
        T(apply_without_memory_is_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
