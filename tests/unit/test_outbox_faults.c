/* Commits of the app, retries and pushes, with a fault at each instant. */
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
#include "tests/unit/device_faults.h"

static int app_commit(fixture *x, const char *sql) {
    int sq = sqlite3_exec(x->app, sql, NULL, NULL, NULL);
    if (sq && !sqlite3_get_autocommit(x->app)) assert_int_equal(sqlite3_exec(x->app, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    return sq ? -1 : SATCHEL_OK;
}

static int run_commit(fixture *x) {
    return app_commit(x, "UPDATE item SET name='once more' WHERE id='b'");
}

static int run_long_commit(fixture *x) {
    return app_commit(x, "BEGIN; UPDATE item SET note=hex(zeroblob(2000)) WHERE id='b'; DELETE FROM tag; COMMIT");
}

/* Another process of the app opens the file. */
static int run_open(fixture *x) {
    file_options o = {.env = fixture_env(x)};
    file *f = NULL;
    sqlite3 *db;
    outbox_writer *w = NULL;
    buf words;
    buf_init(&words, 0);
    int rc = file_open(x->path, &o, &f);
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    if (!rc) rc = outbox_writer_open(db, f, NULL, NULL, &w, &words);
    outbox_writer_close(w);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    file_close(f);
    buf_fini(&words);
    return rc;
}

static const char *other_path(const fixture *x) {
    static char path[128];
    snprintf(path, sizeof path, "%s.other", x->path);
    return path;
}

static void make_other(fixture *x) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(other_path(x), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(v)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* C2: the COMMIT meets a reader of another database that it writes as well, and is given again when he is done. */
static int run_second_flush(fixture *x) {
    char sql[300];
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(other_path(x), &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof sql,
             "PRAGMA busy_timeout=0; ATTACH '%s' AS other; BEGIN; UPDATE item SET note=hex(zeroblob(2000)) WHERE id='b';"
             "INSERT INTO other.t VALUES(2); COMMIT",
             other_path(x));
    int sq = sqlite3_exec(x->app, sql, NULL, NULL, NULL);
    bool busy = sq == SQLITE_BUSY;
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    if (busy) sq = sqlite3_exec(x->app, "COMMIT", NULL, NULL, NULL);
    if (!sq) assert_true(busy);
    int rc = app_commit(x, sq ? "ROLLBACK" : "SELECT 1");
    sqlite3_exec(x->app, "DETACH other", NULL, NULL, NULL);
    unlink(other_path(x));
    make_other(x);
    return sq ? -1 : rc;
}

static int run_retry(fixture *x) {
    bool moot;
    int rc = outbox_retry(x->w, 6, &moot);
    if (!rc) assert_false(moot);
    return rc;
}

/* The same under C2, as run_second_flush. */
static int run_edit_committed_again(fixture *x) {
    char sql[200];
    sqlite3 *reader;
    snprintf(sql, sizeof sql, "PRAGMA busy_timeout=0; ATTACH '%s' AS other", other_path(x));
    if (sqlite3_exec(x->app, sql, NULL, NULL, NULL)) return -1;
    assert_int_equal(sqlite3_open(other_path(x), &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
    int rc = outbox_edit(x->w, 6);
    if (!rc &&
        sqlite3_exec(x->app, "UPDATE item SET note='edited' WHERE id='b'; INSERT INTO other.t VALUES(2)", NULL, NULL, NULL))
        rc = -1;
    bool busy = !rc && sqlite3_exec(x->app, "COMMIT", NULL, NULL, NULL) == SQLITE_BUSY;
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    if (!rc) rc = !busy || sqlite3_exec(x->app, "COMMIT", NULL, NULL, NULL) ? -1 : SATCHEL_OK;
    if (!sqlite3_get_autocommit(x->app)) assert_int_equal(app_commit(x, "ROLLBACK"), SATCHEL_OK);
    sqlite3_exec(x->app, "DETACH other", NULL, NULL, NULL);
    unlink(other_path(x));
    make_other(x);
    return rc;
}

static int run_edit(fixture *x) {
    int rc = outbox_edit(x->w, 6);
    if (rc) return rc;
    return app_commit(x, "UPDATE item SET note='edited' WHERE id='b'; COMMIT");
}

static int run_show(fixture *x) {
    char *json;
    int rc = refusal_json(x->f, 6, &json);
    if (!rc) buf_printf(&said, "%s", json);
    sqlite3_free(json);
    return rc;
}

/* Of a row that nothing else is known of, with a key that is longer than any that waits. */
static void before_show_of_a_long_key(fixture *x) {
    app_sql(x, "INSERT INTO item(id) VALUES('b' || hex(zeroblob(1000)))");
    refuse_with(x, 11, SATCHEL_E_CHECK, "no");
}

static int run_show_of_a_long_key(fixture *x) {
    char *json;
    int rc = refusal_json(x->f, 11, &json);
    if (!rc) buf_printf(&said, "%s", json);
    sqlite3_free(json);
    return rc;
}

static int run_push(fixture *x) {
    outbox_cursor at = {0};
    uint64_t last = 0;
    buf message;
    buf_init(&message, 0);
    int rc = file_begin(x->f);
    if (!rc) rc = outbox_push(x->f, &at, &message, &last);
    if (rc == 1) buf_put(&said, message.p, message.n);
    buf_printf(&said, "%llu %llu", (unsigned long long)at.number, (unsigned long long)last);
    buf_fini(&message);
    return file_end(x->f, rc < 0 ? rc : SATCHEL_OK);
}

/* A transaction whose table the schema of now no longer has as it was captured. */
static void tamper(fixture *x) {
    app_sql(x, "UPDATE satchel_outbox SET changes=(SELECT changes FROM satchel_outbox WHERE n=10), epoch=0 WHERE n=2");
}

/* The same, of one that was never sent. */
static void tamper_unsent(fixture *x) {
    app_sql(x, "UPDATE satchel_outbox SET epoch=0 WHERE n=9");
}

static int run_counts(fixture *x) {
    uint64_t pending, accepted, last, untold = 0;
    outbox_txn t;
    int rc = file_read_state(x->f);
    if (!rc) rc = outbox_count(x->f, TXN_PENDING, &pending);
    if (!rc) rc = outbox_count(x->f, TXN_ACCEPTED, &accepted);
    if (!rc) rc = outbox_last_number(x->f, &last);
    if (!rc) rc = outbox_next_untold(x->f, 0, &untold) < 0 ? SATCHEL_E_INTERNAL : SATCHEL_OK;
    if (!rc) rc = outbox_next(x->f, 3, &t) < 0 ? SATCHEL_E_INTERNAL : SATCHEL_OK;
    if (!rc)
        buf_printf(&said, "%llu %llu %llu %llu", (unsigned long long)pending, (unsigned long long)accepted,
                   (unsigned long long)last, (unsigned long long)untold);
    return rc;
}

static int run_verify(fixture *x) {
    return file_verify(x->f, &said);
}

static const operation OPERATION[] = {
    {"commit", NULL, run_commit, 0},
    {"long commit", NULL, run_long_commit, 0},
    {"second flush", make_other, run_second_flush, FAULTS_TWO_FILES},
    {"open", NULL, run_open, 0},
    {"retry", NULL, run_retry, 0},
    {"edit", NULL, run_edit, 0},
    {"edit that is committed again", make_other, run_edit_committed_again, FAULTS_TWO_FILES},
    {"show", NULL, run_show, 0},
    {"show of a long key", before_show_of_a_long_key, run_show_of_a_long_key, 0},
    {"push", NULL, run_push, 0},
    {"push of what cannot be sent", tamper, run_push, FAULTS_UNSOUND},
    {"push of what cannot be sent and never was", tamper_unsent, run_push, FAULTS_UNSOUND},
    {"counts", NULL, run_counts, 0},
    {"verification", NULL, run_verify, 0},
};

static void outbox_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
}

/* SQLite's own memory as well, which is back when it is asked for again. */
static void N6_edit_without_memory_leaves_the_refusal_and_can_be_begun_again(void **state) {
    fixture *x = *state;
    unsigned failed = 0;
    int rc = -1;
    app_sql(x, "INSERT INTO item(id, name) VALUES('a', 'mine')");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    for (unsigned n = 1; n == 1 || faults_happened(); n++) {
        fixture_reopen(x);
        faults_at(n, false);
        rc = outbox_edit(x->w, 1);
        faults_at(0, false);
        assert_int_equal(sqlite3_get_autocommit(x->app), rc != 0);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        assert_int_equal(app_integer(x, "PRAGMA ignore_check_constraints"), 0);
        if (!rc) app_sql(x, "ROLLBACK");
        failed += rc != 0;
        assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 1);
        assert_string_equal(item(x, "a"), "-");
    }
    assert_true(failed > 20);
    assert_int_equal(rc, SATCHEL_OK);
    assert_int_equal(outbox_edit(x->w, 1), SATCHEL_OK);
    app_sql(x, "COMMIT");
    assert_string_equal(item(x, "a"), "mine|~|~|~");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_rejected"), 0);
    assert_sound(x);
}

int main(void) {
    /* Each allocation of SQLite's for itself, so that each can fail. */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(N6_edit_without_memory_leaves_the_refusal_and_can_be_begun_again, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(outbox_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
