/* S6 on a device: what it asks about, and what it takes of the answers. Times are literals in milliseconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "replica/checksum.h"
#include "replica/session.h"
#include "tests/support/replica_fixture.h"

#define NOW UINT64_C(1700000000000)
#define DAY UINT64_C(86400000)

typedef struct talk {
    fixture *x;
    session *s;
    buf frame, message;
    char events[1024];
    uint64_t ranges; /* of the last question */
    uint64_t cursor;
} talk;

static void on_event(void *ctx, const satchel_event *e) {
    talk *t = ctx;
    size_t n = strlen(t->events);
    if (e->type == SATCHEL_EVENT_REPAIRED && e->rc)
        snprintf(t->events + n, sizeof t->events - n, "not repaired: %s %s;", e->table, satchel_rc_name(e->rc));
    if (e->type == SATCHEL_EVENT_REPAIRED && !e->rc)
        snprintf(t->events + n, sizeof t->events - n, "repaired %llu %s;", (unsigned long long)e->number, e->table);
    if (e->type == SATCHEL_EVENT_CHECKED)
        snprintf(t->events + n, sizeof t->events - n, "checked %llu of %llu %s;", (unsigned long long)e->number,
                 (unsigned long long)e->total, satchel_rc_name(e->rc));
}

static int say(talk *t, uint64_t now_ms) {
    assert_int_equal(t->message.rc, SATCHEL_OK);
    int rc = session_receive(t->s, t->message.p, t->message.n, now_ms);
    buf_clear(&t->message);
    return rc;
}

/* Whether the device asks; pulls are passed over. */
static bool asks(talk *t, uint64_t now_ms) {
    const uint8_t *p;
    size_t n;
    sums_reader r;
    msg_sums m;
    assert_int_equal(session_wake(t->s, now_ms), SATCHEL_OK);
    while (session_output(t->s, &p, &n)) {
        buf_clear(&t->frame);
        assert_int_equal(frame_unpack(p, n, &t->frame), SATCHEL_OK);
        if (message_peek(t->frame.p, t->frame.n) != MSG_SUMS) continue;
        assert_int_equal(message_check(t->frame.p, t->frame.n), SATCHEL_OK);
        assert_int_equal(sums_open(&r, t->frame.p, t->frame.n, &m), SATCHEL_OK);
        t->ranges = m.ranges;
        t->cursor = m.cursor;
        return true;
    }
    return false;
}

static void say_page(talk *t, uint64_t from, uint64_t to, const delta_row *rows, unsigned n) {
    page_build(t->x, &(msg_page){.from = from, .to = to}, to, rows, n, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
}

/* And that this was all that the server had to tell. */
static void say_welcome(talk *t, uint64_t now_ms, const msg_welcome *m) {
    welcome_encode(m, &t->message);
    assert_int_equal(say(t, now_ms), SATCHEL_OK);
    losses_encode(NULL, 0, &t->message);
    assert_int_equal(say(t, now_ms), SATCHEL_OK);
}

/* In step at 11, with three items, two tags, and a pair with a key of two columns. */
static int setup(void **state) {
    talk *t = calloc(1, sizeof *t);
    void *x = NULL;
    assert_non_null(t);
    fixture_setup(&x);
    t->x = x;
    t->x->now_ms = NOW;
    assert_int_equal(session_new(t->x->f, &(session_callbacks){.ctx = t, .event = on_event}, &t->s), SATCHEL_OK);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    msg_welcome m = {.version = PROTOCOL_VERSION, .epoch = "EPOCHone", .head = 11, .schema_epoch = 1, .now_ms = NOW};
    say_welcome(t, NOW, &m);
    delta_row *rows = calloc(6, sizeof *rows);
    assert_non_null(rows);
    rows[0] = item_put("a", "Ann", 1, 10);
    rows[1] = item_put("b", "Bob", 2, 20);
    rows[2] = item_put("c", "Cid", 3, 30);
    rows[3] = row_of(TAG, DELTA_PUT, "x");
    row_set(&rows[3], TAG_LABEL, text_of("one"));
    rows[4] = row_of(TAG, DELTA_PUT, "y");
    row_set(&rows[4], TAG_LABEL, text_of("two"));
    rows[5] = row_of(PAIR, DELTA_PUT, "p");
    rows[5].nkey = 2;
    rows[5].key[1] = value_integer(5);
    row_set(&rows[5], PAIR_V, text_of("v"));
    say_page(t, 0, 11, rows, 6);
    free(rows);
    assert_true(session_in_step(t->s));
    *state = t;
    return 0;
}

static int teardown(void **state) {
    talk *t = *state;
    void *x = t->x;
    session_free(t->s);
    buf_fini(&t->frame);
    buf_fini(&t->message);
    free(t);
    return fixture_teardown(&x);
}

/* Writes past the capture and the library. */
static void plant(talk *t, const char *sql) {
    assert_int_equal(sqlite3_exec(t->x->f->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* All items as they were sent, as the range (from, to]. */
static void put_items(talk *t, const char *from, const char *to) {
    static snapshot_range r;
    static delta_row row;
    delta_writer w;
    buf delta;
    buf_init(&delta, 0);
    delta_writer_init(&w);
    for (unsigned i = 0; i < 3; i++) {
        const char *const key[] = {"a", "b", "c"}, *const name[] = {"Ann", "Bob", "Cid"};
        if ((from && strcmp(key[i], from) <= 0) || (to && strcmp(key[i], to) > 0)) continue;
        row = item_put(key[i], name[i], (int64_t)i + 1, ((int64_t)i + 1) * 10);
        delta_put_row(&w, &row);
    }
    assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
    r = (snapshot_range){.table = ITEM, .nkey = 1, .has_from = from, .has_to = to, .delta = delta.p, .ndelta = delta.n};
    if (from) r.from[0] = text_of(from);
    if (to) r.to[0] = text_of(to);
    snapshot_put_range(&r, &t->message);
    delta_writer_fini(&w);
    buf_fini(&delta);
}

static void answer_items(talk *t) {
    repair_begin(&(msg_repair){.seq = t->cursor, .compared = t->ranges, .ranges = 1}, &t->message);
    put_items(t, NULL, NULL);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
}

static void answer(talk *t, uint64_t compared) {
    repair_begin(&(msg_repair){.seq = t->cursor, .compared = compared}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
}

static void S6_all_tables_are_asked_about_once_a_day_and_on_demand(void **state) {
    talk *t = *state;
    assert_false(asks(t, NOW));
    session_check(t->s);
    assert_true(session_check_wanted(t->s));
    assert_true(asks(t, NOW));
    assert_int_equal(t->ranges, 3);
    assert_int_equal(t->cursor, 11);
    assert_false(asks(t, NOW + 1000)); /* one at a time */
    answer(t, 3);
    assert_false(asks(t, NOW));
    assert_string_equal(t->events, "checked 0 of 6 OK;");
    assert_false(session_check_wanted(t->s));
    assert_true(asks(t, NOW + 2 * DAY));
}

static void S6_wrong_missing_and_extra_rows_are_put_right_and_no_other(void **state) {
    talk *t = *state;
    plant(t, "UPDATE item SET name='Eve', price=x'00', stock=NULL WHERE id='a'; DELETE FROM item WHERE id='b';"
             "INSERT INTO item(id, name) VALUES('d', 'Dan'); UPDATE tag SET label='three' WHERE id='x'");
    session_check(t->s);
    assert_true(asks(t, NOW));
    answer_items(t);
    assert_string_equal(t->events, "repaired 3 item;");
    assert_string_equal(item(t->x, "a"), "Ann|1|10|~");
    assert_string_equal(item(t->x, "b"), "Bob|2|20|~");
    assert_string_equal(item(t->x, "d"), "-");
    assert_string_equal(app_text(t->x, "SELECT label FROM tag WHERE id='x'"), "three");
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM satchel_outbox"), 0);
}

static void S6_question_tells_of_a_wrong_value_in_any_column(void **state) {
    talk *t = *state;
    static const char *const changes[] = {"UPDATE item SET name='Anm' WHERE id='a'", "UPDATE item SET price='1' WHERE id='a'",
                                          "UPDATE item SET stock=11 WHERE id='a'",   "UPDATE item SET note='' WHERE id='a'",
                                          "UPDATE item SET id='A' WHERE id='a'",     "DELETE FROM item WHERE id='a'"};
    checksum_walk w = {0};
    buf before;
    buf_init(&before, 0);
    assert_int_equal(checksum_ask(t->x->f, &w), 1);
    buf_put(&before, w.asked.p, w.asked.n);
    for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
        checksum_reset(&w);
        plant(t, "SAVEPOINT s");
        plant(t, changes[i]);
        plant(t, "RELEASE s");
        assert_int_equal(checksum_ask(t->x->f, &w), 1);
        bool same = w.asked.n == before.n && memcmp(w.asked.p, before.p, before.n) == 0;
        assert_int_equal(same, i == 1); /* an INTEGER column makes a number of it */
        plant(
            t,
            "INSERT OR REPLACE INTO item(id, name, price, stock, note) VALUES('a', 'Ann', 1, 10, NULL); DELETE FROM item WHERE id='A'");
    }
    checksum_reset(&w);
    assert_int_equal(checksum_ask(t->x->f, &w), 1);
    assert_memory_equal(w.asked.p, before.p, before.n);
    checksum_reset(&w);
    buf_fini(&before);
}

static void S6_answer_is_not_taken_once_the_app_has_written(void **state) {
    talk *t = *state;
    plant(t, "UPDATE item SET name='Eve' WHERE id='a'");
    session_check(t->s);
    assert_true(asks(t, NOW));
    app_sql(t->x, "UPDATE item SET price=7 WHERE id='b'");
    answer_items(t);
    assert_string_equal(item(t->x, "a"), "Eve|1|10|~");
    assert_string_equal(item(t->x, "b"), "Bob|7|20|~");
    assert_string_equal(t->events, "");
    assert_false(asks(t, NOW + 10000)); /* not at rest */
}

static void S6_answer_is_not_taken_once_a_page_has_come(void **state) {
    talk *t = *state;
    session_check(t->s);
    assert_true(asks(t, NOW));
    delta_row row = item_put("a", "Anna", 1, 10);
    say_page(t, 11, 12, &row, 1);
    answer_items(t);
    assert_string_equal(item(t->x, "a"), "Anna|1|10|~");
    assert_false(asks(t, NOW));
    assert_true(asks(t, NOW + 10000));
    assert_int_equal(t->cursor, 12);
    assert_int_equal(t->ranges, 3);
}

static void S6_cut_answer_is_asked_on_behind_its_end(void **state) {
    talk *t = *state;
    sums_reader r;
    msg_sums head;
    static sums_range first;
    plant(t, "UPDATE item SET name='Eve'");
    session_check(t->s);
    assert_true(asks(t, NOW));
    repair_begin(&(msg_repair){.seq = 11, .compared = 1, .cut = true, .ranges = 1}, &t->message);
    put_items(t, NULL, "b");
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_string_equal(t->events, "repaired 2 item;");
    assert_true(asks(t, NOW));
    assert_int_equal(sums_open(&r, t->frame.p, t->frame.n, &head), SATCHEL_OK);
    assert_int_equal(sums_next(&r, &first), 1);
    assert_int_equal(first.range.table, ITEM);
    assert_true(first.range.has_from);
    assert_int_equal(first.rows, 1);
    repair_begin(&(msg_repair){.seq = 11, .compared = 1, .ranges = 1}, &t->message);
    put_items(t, "b", NULL);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_string_equal(item(t->x, "c"), "Cid|3|30|~");
    assert_true(asks(t, NOW));
    assert_int_equal(t->ranges, 2);
    answer(t, 2);
    assert_false(asks(t, NOW));
    assert_non_null(strstr(t->events, "checked 3 of "));
}

static void S6_server_that_cannot_compare_now_is_asked_again_and_then_left_alone(void **state) {
    talk *t = *state;
    uint64_t now = NOW;
    unsigned asked = 0;
    plant(
        t,
        "WITH n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO item(id, name) SELECT printf('k%06d', i), 'n' FROM n");
    session_check(t->s);
    for (; session_check_wanted(t->s) && asked < 100; now += 5000, asked++) {
        assert_true(asks(t, now));
        repair_begin(&(msg_repair){.seq = 11}, &t->message);
        assert_int_equal(say(t, now), SATCHEL_OK);
    }
    assert_in_range(asked, 5, 20);
    assert_non_null(strstr(t->events, "item E_BUSY;checked 0 of 0 E_BUSY;"));
    assert_false(asks(t, now));
}

/* The first range of a question. */
static uint32_t first_table(talk *t) {
    static sums_range first;
    sums_reader r;
    msg_sums head;
    assert_int_equal(sums_open(&r, t->frame.p, t->frame.n, &head), SATCHEL_OK);
    assert_int_equal(sums_next(&r, &first), 1);
    return first.range.table;
}

static void S6_check_that_is_wanted_amid_a_walk_compares_the_rows_behind_it(void **state) {
    talk *t = *state;
    uint64_t now = NOW + 2 * DAY;
    plant(
        t,
        "WITH n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<10000) INSERT INTO item(id, name) SELECT printf('k%06d', i), 'n' FROM n");
    assert_false(asks(t, NOW));
    assert_true(asks(t, now)); /* its day has come */
    answer(t, t->ranges);
    assert_true(asks(t, now));
    plant(t, "UPDATE item SET name='Eve' WHERE id='a'");
    session_check(t->s);
    assert_false(asks(t, now)); /* one at a time */
    answer(t, t->ranges);
    assert_string_equal(t->events, "");
    for (unsigned i = 0; i < 2; i++) {
        assert_true(session_check_wanted(t->s));
        assert_true(asks(t, now));
        answer(t, t->ranges);
    }
    assert_false(asks(t, now));
    assert_string_equal(t->events, "checked 0 of 10007 OK;");
    assert_false(session_check_wanted(t->s));
}

/* What the first walk passed over is found again, or is not wrong any more. */
static void S6_check_that_is_wanted_amid_an_answer_tells_of_its_own_walk_alone(void **state) {
    talk *t = *state;
    session_check(t->s);
    assert_true(asks(t, NOW));
    session_check(t->s);
    answer_items(t);
    assert_string_equal(t->events, "not repaired: item E_INTERNAL;");
    assert_true(asks(t, NOW));
    assert_int_equal(first_table(t), ITEM);
    assert_int_equal(t->ranges, 3);
    answer(t, 3);
    assert_false(asks(t, NOW));
    assert_string_equal(t->events, "not repaired: item E_INTERNAL;checked 0 of 6 OK;");
}

/* The server's own rows are wrong there, and cannot be put right. */
static void S6_range_that_is_never_compared_is_told_and_those_behind_it_are(void **state) {
    talk *t = *state;
    uint64_t now = NOW;
    session_check(t->s);
    for (unsigned i = 0; session_check_wanted(t->s) && i < 100; i++, now += 5000) {
        if (!asks(t, now)) continue;
        bool compares = first_table(t) != ITEM;
        repair_begin(&(msg_repair){.seq = 11, .compared = compares ? t->ranges : 0}, &t->message);
        assert_int_equal(say(t, now), SATCHEL_OK);
    }
    assert_string_equal(t->events, "not repaired: item E_BUSY;checked 0 of 3 E_BUSY;");
    assert_true(asks(t, now + 2 * DAY));
    assert_int_equal(t->ranges, 3);
}

static void S6_range_that_cannot_be_taken_is_told_and_those_around_it_are_repaired(void **state) {
    talk *t = *state;
    static snapshot_range bad;
    static delta_row row;
    delta_writer w;
    buf delta;
    plant(t, "UPDATE item SET name='Eve' WHERE id='a'; UPDATE tag SET label='three' WHERE id='x'; DELETE FROM pair");
    session_check(t->s);
    assert_true(asks(t, NOW));
    repair_begin(&(msg_repair){.seq = 11, .compared = 3, .ranges = 3}, &t->message);
    put_items(t, NULL, NULL);
    buf_init(&delta, 0);
    delta_writer_init(&w);
    row = item_put("x", "of another table", 1, 1);
    delta_put_row(&w, &row);
    assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
    for (uint32_t table = TAG; table <= PAIR; table++) {
        bad = (snapshot_range){.table = table, .nkey = table == PAIR ? 2 : 1, .delta = delta.p, .ndelta = delta.n};
        snapshot_put_range(&bad, &t->message);
    }
    delta_writer_fini(&w);
    buf_fini(&delta);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_string_equal(t->events, "repaired 1 item;not repaired: tag E_MALFORMED;");
    assert_string_equal(item(t->x, "a"), "Ann|1|10|~");
    assert_string_equal(app_text(t->x, "SELECT label FROM tag WHERE id='x'"), "three");
    assert_true(asks(t, NOW));
    assert_int_equal(first_table(t), PAIR);
    answer(t, 1);
    assert_false(asks(t, NOW));
    assert_string_equal(t->events, "repaired 1 item;not repaired: tag E_MALFORMED;checked 1 of 3 E_MALFORMED;");
    assert_true(asks(t, NOW + 2 * DAY));
    assert_int_equal(t->ranges, 3);
}

static void S6_range_that_differs_though_it_is_as_it_was_sent_is_told(void **state) {
    talk *t = *state;
    session_check(t->s);
    assert_true(asks(t, NOW));
    answer_items(t);
    assert_false(asks(t, NOW));
    assert_string_equal(t->events, "not repaired: item E_INTERNAL;checked 0 of 6 E_INTERNAL;");
}

static void S6_many_rows_are_asked_about_in_ranges_without_a_gap(void **state) {
    talk *t = *state;
    sums_reader r;
    msg_sums head;
    static sums_range one;
    uint64_t rows = 0, messages = 0;
    char last[16] = "";
    plant(
        t,
        "WITH n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO item(id, name) SELECT printf('k%06d', i), 'n' FROM n");
    session_check(t->s);
    for (; asks(t, NOW); messages++) {
        assert_int_equal(sums_open(&r, t->frame.p, t->frame.n, &head), SATCHEL_OK);
        while (sums_next(&r, &one) == 1) {
            rows += one.rows;
            if (one.range.table != ITEM) continue;
            assert_int_equal(one.range.has_from, *last != 0);
            if (*last) assert_memory_equal(one.range.from[0].u.p, last, one.range.from[0].n);
            snprintf(last, sizeof last, "%.*s", one.range.has_to ? (int)one.range.to[0].n : 3,
                     one.range.has_to ? (const char *)one.range.to[0].u.p : "end");
        }
        answer(t, t->ranges);
    }
    assert_int_equal(rows, 20007);
    assert_string_equal(last, "end");
    assert_in_range(messages, 3, 5);
    assert_string_equal(t->events, "checked 0 of 20007 OK;");
}

/* The ends of the ranges of all items, as one message or several give them. */
static unsigned ends(talk *t, char end[][8], unsigned most) {
    static sums_range one;
    sums_reader r;
    msg_sums head;
    unsigned n = 0;
    session_check(t->s);
    while (asks(t, NOW)) {
        assert_int_equal(sums_open(&r, t->frame.p, t->frame.n, &head), SATCHEL_OK);
        while (sums_next(&r, &one) == 1) {
            if (one.range.table != ITEM || !one.range.has_to) continue;
            assert_true(n < most);
            snprintf(end[n++], 8, "%.*s", (int)one.range.to[0].n, (const char *)one.range.to[0].u.p);
        }
        answer(t, t->ranges);
    }
    return n;
}

static void S6_row_that_comes_or_goes_moves_the_end_of_no_range_but_its_own(void **state) {
    talk *t = *state;
    static char before[200][8], after[200][8];
    unsigned same = 0;
    plant(
        t,
        "WITH n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<9999) INSERT INTO item(id, name) SELECT printf('k%06d', i), 'n' FROM n");
    unsigned n = ends(t, before, 200);
    assert_in_range(n, 20, 100);
    plant(t, "DELETE FROM item WHERE id IN ('a', 'k005000'); INSERT INTO item(id) VALUES('k000000x'), ('k0')");
    unsigned m = ends(t, after, 200);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < m; k++) same += strcmp(before[i], after[k]) == 0;
    assert_true(same + 3 >= n);
    assert_true(m <= n + 3);
}

/* An app that never runs for long. */
static void S6_day_of_the_comparison_outlives_the_process(void **state) {
    talk *t = *state;
    assert_false(asks(t, NOW));
    int64_t due = app_integer(t->x, "SELECT check_due_ms FROM satchel_state");
    assert_in_range(due, NOW + 1, NOW + DAY);
    for (unsigned hour = 1; hour <= 25; hour++) {
        uint64_t now = NOW + hour * (DAY / 24);
        session_free(t->s);
        assert_int_equal(session_new(t->x->f, &(session_callbacks){.ctx = t, .event = on_event}, &t->s), SATCHEL_OK);
        assert_int_equal(session_begin(t->s, now), SATCHEL_OK);
        msg_welcome m = {.version = PROTOCOL_VERSION, .epoch = "EPOCHone", .head = 11, .schema_epoch = 1, .now_ms = now};
        say_welcome(t, now, &m);
        bool asked = asks(t, now);
        assert_int_equal(asked, (int64_t)now >= due);
        assert_int_equal(session_check_wanted(t->s), asked);
        if (!asked) continue;
        answer(t, t->ranges);
        assert_false(asks(t, now));
        assert_false(session_check_wanted(t->s));
        break;
    }
    assert_string_equal(t->events, "checked 0 of 6 OK;");
    assert_true(app_integer(t->x, "SELECT check_due_ms FROM satchel_state") > due + (int64_t)DAY / 4);
}

/* One that does not know the question closes. */
static void S6_server_that_never_answers_is_left_alone(void **state) {
    talk *t = *state;
    unsigned asked = 0;
    session_check(t->s);
    for (unsigned i = 0; i < 10; i++) {
        asked += asks(t, NOW);
        session_end(t->s, SATCHEL_E_CLOSED, "closed", NOW);
        assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
        msg_welcome m = {.version = PROTOCOL_VERSION, .epoch = "EPOCHone", .head = 11, .schema_epoch = 1, .now_ms = NOW};
        say_welcome(t, NOW, &m);
    }
    assert_int_equal(asked, 3);
    assert_string_equal(t->events, "checked 0 of 0 E_BUSY;");
}

/* One that fails over the second question. */
static void S6_server_that_ends_every_conversation_is_left_alone(void **state) {
    talk *t = *state;
    unsigned asked = 0;
    session_check(t->s);
    for (unsigned i = 0; i < 10; i++) {
        if (asks(t, NOW)) {
            asked++;
            answer(t, 1);
            assert_true(asks(t, NOW));
            assert_int_equal(t->ranges, 2);
        }
        session_end(t->s, SATCHEL_E_CLOSED, "closed", NOW);
        assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
        msg_welcome m = {.version = PROTOCOL_VERSION, .epoch = "EPOCHone", .head = 11, .schema_epoch = 1, .now_ms = NOW};
        say_welcome(t, NOW, &m);
    }
    assert_int_equal(asked, 3);
    assert_string_equal(t->events, "checked 0 of 0 E_BUSY;");
}

/* In the conversations that end for it, and no others. */
static unsigned failures(talk *t, bool (*fails)(talk *t)) {
    unsigned failed = 0;
    session_check(t->s);
    for (unsigned i = 0; i < 10; i++) {
        failed += fails(t);
        session_end(t->s, SATCHEL_E_CLOSED, "closed", NOW);
        assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
        msg_welcome m = {.version = PROTOCOL_VERSION, .epoch = "EPOCHone", .head = 11, .schema_epoch = 1, .now_ms = NOW};
        say_welcome(t, NOW, &m);
    }
    return failed;
}

static bool answers_nonsense(talk *t) {
    if (!asks(t, NOW)) return false;
    repair_begin(&(msg_repair){.seq = t->cursor, .compared = t->ranges + 1}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_E_MALFORMED);
    return true;
}

static bool cannot_be_asked(talk *t) {
    return session_wake(t->s, NOW) != SATCHEL_OK;
}

static void S6_server_whose_answers_make_no_sense_is_left_alone(void **state) {
    talk *t = *state;
    assert_int_equal(failures(t, answers_nonsense), 3);
    assert_string_equal(t->events, "checked 0 of 0 E_BUSY;");
}

static void S6_table_that_cannot_be_read_does_not_keep_the_device_from_syncing(void **state) {
    talk *t = *state;
    plant(t, "DROP TABLE pair");
    assert_int_equal(failures(t, cannot_be_asked), 3);
    assert_string_equal(t->events, "checked 0 of 0 E_BUSY;");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(S6_all_tables_are_asked_about_once_a_day_and_on_demand),
        TEST(S6_wrong_missing_and_extra_rows_are_put_right_and_no_other),
        TEST(S6_question_tells_of_a_wrong_value_in_any_column),
        TEST(S6_answer_is_not_taken_once_the_app_has_written),
        TEST(S6_answer_is_not_taken_once_a_page_has_come),
        TEST(S6_cut_answer_is_asked_on_behind_its_end),
        TEST(S6_server_that_cannot_compare_now_is_asked_again_and_then_left_alone),
        TEST(S6_check_that_is_wanted_amid_a_walk_compares_the_rows_behind_it),
        TEST(S6_check_that_is_wanted_amid_an_answer_tells_of_its_own_walk_alone),
        TEST(S6_range_that_is_never_compared_is_told_and_those_behind_it_are),
        TEST(S6_range_that_cannot_be_taken_is_told_and_those_around_it_are_repaired),
        TEST(S6_range_that_differs_though_it_is_as_it_was_sent_is_told),
        TEST(S6_many_rows_are_asked_about_in_ranges_without_a_gap),
        TEST(S6_row_that_comes_or_goes_moves_the_end_of_no_range_but_its_own),
        TEST(S6_day_of_the_comparison_outlives_the_process),
        TEST(S6_server_that_never_answers_is_left_alone),
        TEST(S6_server_that_ends_every_conversation_is_left_alone),
        TEST(S6_server_whose_answers_make_no_sense_is_left_alone),
        TEST(S6_table_that_cannot_be_read_does_not_keep_the_device_from_syncing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
