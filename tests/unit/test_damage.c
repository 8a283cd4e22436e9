/* A device's file that was damaged from outside: what cannot be read is told as such, and nothing is done by half; what the file can do
 * without, it does without. */
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

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Item a is edited by transactions 1 and 2; beneath them a page moved its name. Transaction 3 has a part of its own. */
static void edit(fixture *x) {
    delta_row put = item_put("a", "Ann", 5, 100), moved = item_set("a", ITEM_NAME, text_of("theirs"));
    assert_int_equal(page_apply(x, 10, &put, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    assert_int_equal(page_apply(x, 11, &moved, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET price=6 WHERE id='a'; INSERT INTO item(id, note) VALUES('b', hex(zeroblob(2000)))");
}

static int apply_next(fixture *x) {
    delta_row row = item_set("a", ITEM_STOCK, value_integer(90));
    return page_apply(x, 12, &row, 1);
}

static int refuse(fixture *x) {
    bool changed;
    int rc = file_begin(x->f);
    msg_result r = {.number = 1, .rc = SATCHEL_E_CHECK, .text = "no", .ntext = 2};
    return file_end(x->f, rc ? rc : outbox_result(x->f, &r, x->now_ms, &changed));
}

static int push(fixture *x) {
    outbox_cursor at = {0};
    uint64_t last;
    buf message;
    buf_init(&message, 0);
    int rc = file_begin(x->f);
    if (!rc) rc = outbox_push(x->f, &at, &message, &last);
    buf_fini(&message);
    return file_end(x->f, rc < 0 ? rc : SATCHEL_OK);
}

static int verify(fixture *x) {
    buf report;
    buf_init(&report, 0);
    int rc = file_begin(x->f);
    if (!rc) rc = overlay_verify(x->f->overlay, &report);
    buf_fini(&report);
    return file_end(x->f, rc);
}

static int commit(fixture *x) {
    if (sqlite3_exec(x->app, "INSERT INTO item(id) VALUES('new')", NULL, NULL, NULL) == SQLITE_OK) return SATCHEL_OK;
    return outbox_writer_error_code(x->w);
}

static void damage_is_told_and_nothing_done(void **state) {
    fixture *x = *state;
    static const struct {
        const char *damage;
        int (*run)(fixture *x);
        int rc;
    } CASE[] = {
        {"UPDATE satchel_base SET row=x'82'", apply_next, SATCHEL_E_CORRUPT},   /* a column's number ends early */
        {"UPDATE satchel_base SET row=x'02'", apply_next, SATCHEL_E_CORRUPT},   /* no value */
        {"UPDATE satchel_base SET row=x'0277'", apply_next, SATCHEL_E_CORRUPT}, /* no such type */
        {"UPDATE satchel_base SET unseen=x'82'", apply_next, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_base SET unseen=x'02'", apply_next, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_base SET unseen=x'ffffffffff0f01'", apply_next, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_base SET unseen=CAST(replace(hex(zeroblob(600)),'00',char(2,1)) AS BLOB)", apply_next,
         SATCHEL_E_CORRUPT},
        {"UPDATE satchel_outbox SET changes=x'5402'", apply_next, SATCHEL_E_CORRUPT},
        {"DELETE FROM satchel_outbox_part", apply_next, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_outbox SET changes=x'5402' WHERE n=1", refuse, SATCHEL_E_CORRUPT},
        {"DELETE FROM satchel_outbox_part", push, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_outbox SET changes=x'5402' WHERE n=1", push, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_base SET key=x'7777'", verify, SATCHEL_E_CORRUPT},
        {"UPDATE satchel_base SET key=x'03016103'", verify, SATCHEL_E_CORRUPT}, /* more than a key */
        {"INSERT INTO satchel_base(tbl, key, state, seq) VALUES(2, x'030174', 1, 5)", verify,
         SATCHEL_E_CORRUPT},                                            /* no change of it */
        {"UPDATE satchel_base SET state=0", verify, SATCHEL_E_CORRUPT}, /* then nothing would be shown */
        {"UPDATE satchel_base SET row=x''", verify, SATCHEL_E_CORRUPT}, /* other values than are shown */
        {"DELETE FROM satchel_state", commit, SATCHEL_E_CORRUPT},
    };
    edit(x);
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        app_sql(
            x,
            "CREATE TABLE kept_base AS SELECT * FROM satchel_base; CREATE TABLE kept_outbox AS SELECT * FROM satchel_outbox;"
            "CREATE TABLE kept_part AS SELECT * FROM satchel_outbox_part; CREATE TABLE kept_state AS SELECT * FROM satchel_state");
        app_sql(x, CASE[i].damage);
        overlay_invalidate(x->f->overlay);
        int rc = CASE[i].run(x);
        if (rc != CASE[i].rc) fail_msg("%s: %s", CASE[i].damage, satchel_rc_name(rc));
        assert_string_equal(item(x, "a"), "mine|6|100|~");
        assert_string_equal(item(x, "new"), "-");
        app_sql(x, "DELETE FROM satchel_base; INSERT INTO satchel_base SELECT * FROM kept_base; DELETE FROM satchel_outbox;"
                   "INSERT INTO satchel_outbox SELECT * FROM kept_outbox; DELETE FROM satchel_outbox_part;"
                   "INSERT INTO satchel_outbox_part SELECT * FROM kept_part; DELETE FROM satchel_state;"
                   "INSERT INTO satchel_state SELECT * FROM kept_state;"
                   "DROP TABLE kept_base; DROP TABLE kept_outbox; DROP TABLE kept_part; DROP TABLE kept_state");
    }
    /* What was put back works again. */
    overlay_invalidate(x->f->overlay);
    assert_sound(x);
    assert_int_equal(apply_next(x), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|6|90|~");
}

/* A base keeps columns by id: one that the table does not have is passed over. */
static void unknown_column_of_a_base_is_passed_over(void **state) {
    fixture *x = *state;
    edit(x);
    app_sql(x, "UPDATE satchel_base SET row=CAST(row || x'0905ffffffff1f05' AS BLOB)"); /* 9, and one over 32 bits */
    assert_int_equal(apply_next(x), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|6|90|~");
}

/* Nobody knows any more how far it had been seen when it left: what an edit hides of it counts from the page before. */
static void row_that_is_away_and_lost_what_was_unseen_comes_back_whole(void **state) {
    fixture *x = *state;
    delta_row leaves = row_of(ITEM, DELTA_LEAVE, "a"), enters = item_put("a", "Anna", 9, 50);
    edit(x);
    assert_int_equal(page_apply(x, 12, &leaves, 1), SATCHEL_OK);
    app_sql(x, "UPDATE satchel_base SET unseen=NULL WHERE state=3");
    assert_int_equal(page_apply(x, 13, &enters, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "mine|6|50|~");
    assert_string_equal(app_text(x, "SELECT hex(unseen) FROM satchel_base WHERE state=1"), "020C030C");
    assert_sound(x);
}

/* As many as a table's columns and its being there: that it left finds no room beside them. */
static void row_with_too_much_that_is_unseen_leaves_without_more(void **state) {
    fixture *x = *state;
    delta_row leaves = row_of(ITEM, DELTA_LEAVE, "a");
    edit(x);
    app_sql(x, "UPDATE satchel_base SET unseen=CAST(replace(hex(zeroblob(513)),'00',char(2,1)) AS BLOB) WHERE state=1");
    assert_int_equal(page_apply(x, 12, &leaves, 1), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(app_integer(x, "SELECT length(unseen) FROM satchel_base WHERE state=3"), 2 * 513);
    assert_sound(x);
}

/* Of a table that is gone, or that never was. */
static void base_of_no_table_is_passed_over(void **state) {
    fixture *x = *state;
    assert_int_equal(fixture_migrate(x, "DROP TABLE tag;"), SATCHEL_OK);
    app_sql(x, "INSERT INTO satchel_base(tbl, key, state, seq) VALUES(2, x'030174', 1, 5), (77, x'030174', 1, 5)");
    assert_sound(x);
    app_sql(x, "INSERT INTO satchel_base(tbl, key, state, seq) VALUES(1, x'030174', 1, 5)");
    assert_int_equal(verify(x), SATCHEL_E_CORRUPT);
}

/* What does not fit the table that it was captured from is refused here: nobody could ever take it, and it must not hold up what follows. */
static void transaction_that_nobody_has_words_for_is_refused_and_holds_up_nothing(void **state) {
    fixture *x = *state;
    static const struct {
        const char *damage;
        const char *name;
    } CASE[] = {
        {"epoch=0", "E_UNKNOWN_TABLE"},
        {"changes=replace(changes, CAST('item' AS BLOB), CAST('itex' AS BLOB))", "E_UNKNOWN_TABLE"},
        {"changes=x'5404010000006974656d001200030161050505'", "E_SCHEMA"},          /* a column less */
        {"changes=x'540511000000006974656d00120003016105050505'", "E_KEY_MISSING"}, /* the seventeenth column of a key */
        {"changes=x'540501010000006974656d00120003016105050505'", "E_KEY_MISSING"}, /* NULL in one of two */
        {"changes=x'540501000000006974656d0012000505050505'", "E_KEY_MISSING"},
    };
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        char sql[300];
        long long n = 2 * i + 1;
        snprintf(sql, sizeof sql, "INSERT INTO item(id) VALUES('bad%u'); INSERT INTO item(id) VALUES('good%u')", i, i);
        app_sql(x, sql);
        snprintf(sql, sizeof sql, "UPDATE satchel_outbox SET %s WHERE n=%lld", CASE[i].damage, n);
        app_sql(x, sql);
        overlay_invalidate(x->f->overlay);
        int rc = push(x);
        if (rc) fail_msg("%s: %s", CASE[i].damage, satchel_rc_name(rc));
        snprintf(sql, sizeof sql, "SELECT name FROM satchel_rejected WHERE n=%lld", n);
        if (strcmp(app_text(x, sql), CASE[i].name) != 0) fail_msg("%s: %s", CASE[i].damage, app_text(x, sql));
        assert_int_equal(app_integer(x, "SELECT group_concat(n) FROM satchel_outbox WHERE state=0"), n + 1);
        accept_at(x, (uint64_t)n + 1, 5 + i);
        delta_row echo = row_of(ITEM, DELTA_PUT, "good");
        assert_int_equal(page_apply(x, 5 + i, &echo, 1), SATCHEL_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(damage_is_told_and_nothing_done),
        T(unknown_column_of_a_base_is_passed_over),
        T(row_that_is_away_and_lost_what_was_unseen_comes_back_whole),
        T(row_with_too_much_that_is_unseen_leaves_without_more),
        T(base_of_no_table_is_passed_over),
        T(transaction_that_nobody_has_words_for_is_refused_and_holds_up_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
