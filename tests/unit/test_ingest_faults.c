/* Pushes that are taken, with a fault at each instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "tests/support/faults.h"
#include "tests/unit/ingest_faults.h"

static buf unseen;

/* Every rule, and both sides of it; insert on a row, on a tombstone; deletions of what was changed; references of both kinds. */
static void before_push(world *w) {
    make(
        w,
        "~ item('a') l='mine', amount=3, mx=7, mn=2, n+=2, st:'open'>'waiting', ok=1, r=2; ~ note('n') body='three';"
        "~ item('b') l='revived'; - item('d'); ~ line(2) qty=4; + line(2) qty=9; + pref(1,'mail') allowed=0, label='mine', n=7;"
        "- line(1); + item('b2') f='f'; + person(3); + phone(3) person=3; ~ phone(2) code=NULL; ~ person(2) code='r'; - phone(1);"
        "- person(1); ~ strict(x'01') any='y', x=1.5");
}

static void before_push_with_unseen(world *w) {
    before_push(w);
    buf rows;
    buf_init(&rows, 0);
    buf_clear(&unseen);
    unseen_put_row(&rows, 2, "\3\1a", 3, 1);
    unseen_put_column(&rows, 2, w->base - 1);
    unseen_finish(1, &rows, &unseen);
    buf_fini(&rows);
    pushed.unseen = unseen.p;
    pushed.nunseen = unseen.n;
}

static void before_repeated(world *w) {
    before_push(w);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &pushed, NULL), SATCHEL_OK);
}

/* Another transaction under a number that has its result. */
static void before_fork(world *w) {
    before_repeated(w);
    pushed.id[7] ^= 1;
}

static void before_found_elsewhere(world *w) {
    before_repeated(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_fork(w->v.s, w->phone.a.device, w->v.now_ms, &w->phone.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
}

static void before_first_part(world *w) {
    before_push(w);
    pushed.last = false;
}

static void before_last_part(world *w) {
    push_txn t;
    make(w, "~ item('a') l='mine', n+=2; + person(3); + phone(3) person=3");
    t = pushed;
    t.last = false;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, NULL), SATCHEL_OK);
    pushed.part = 1;
    set_delta(w, "+ line(77); ~ item('c') f='first'");
}

static void before_retry(world *w) {
    make(w, "+ person(9); + strict(x'02') c=99");
    pushed.resolves = 1;
}

static void before_fork_of_several(world *w) {
    before_found_elsewhere(w);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &pushed, NULL), SATCHEL_OK);
    pushed.id[7] ^= 1;
}

static const operation OPERATION[] = {
    {"push with what was not seen", before_push_with_unseen, run_push, 0},
    {"fork", before_fork, run_push, 0},
    {"fork of several", before_fork_of_several, run_push, 0},
    {"repeated", before_repeated, run_push, 0},
    {"found elsewhere", before_found_elsewhere, run_push, 0},
    {"first part", before_first_part, run_push, 0},
    {"last part", before_last_part, run_push, 0},
    {"retry", before_retry, run_push, 0},
};

static void push_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
    buf_fini(&unseen);
}

/* SQLite's own memory, while it makes and runs an UPDATE of two columns: never one of them alone, nor one's value in the other. */
static void update_without_memory_writes_what_was_said_or_nothing(void **state) {
    world *w = *state;
    bool failed = true;
    known(w, "+ item('a') l='before', f='before'; + item('warm')");
    takes(w, &w->phone, w->base, 0, "~ item('warm') l='w'");
    for (unsigned n = 1; failed; n++) {
        ingest_free(w->v.g);
        assert_int_equal(ingest_new(w->v.s, &w->v.g), SATCHEL_OK);
        device phone = w->phone;
        make(w, "~ item('a') l='after', r=2.5");
        assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
        faults_of_sqlite(true);
        faults_at(n, false);
        int rc = run_push(w);
        faults_at(0, false);
        faults_of_sqlite(false);
        failed = faults_happened();
        if (rc) store_rollback(w->v.s);
        SQL("SELECT l,r FROM item WHERE id='a'", rc ? "before|NULL" : "after|2.5");
        if (!rc) store_rollback(w->v.s);
        w->phone = phone;
    }
    buf_clear(&said);
}

/* ---- going back without memory ---- */

static int allow(void *ctx, int action, const char *a, const char *b, const char *c, const char *d) {
    (void)ctx, (void)action, (void)a, (void)b, (void)c, (void)d;
    return SQLITE_OK;
}

static const char MARK[] = "UPDATE satchel_server SET high_stamp=high_stamp+1000000000000";

/* Does something, and goes back while there is no memory. What was prepared for it is of no use: an authorizer makes SQLite prepare all anew. */
static void go_back_without_memory(store *s, void (*back)(store *)) {
    assert_int_equal(sqlite3_exec(store_db(s), MARK, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_set_authorizer(store_db(s), allow, NULL);
    faults_of_sqlite(true);
    faults_at(1, true);
    back(s);
    faults_at(0, false);
    assert_true(faults_happened());
    assert_int_equal(sqlite3_get_autocommit(store_db(s)), 0);
    sqlite3_set_authorizer(store_db(s), NULL, NULL);
}

/* As its own connection sees it. */
static int64_t high_stamp(world *w) {
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(store_db(w->v.s), "SELECT high_stamp FROM satchel_server", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t stamp = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return stamp;
}

static void rollback_without_memory_is_done_by_the_next_transaction(void **state) {
    world *w = *state;
    int64_t before = high_stamp(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    go_back_without_memory(w->v.s, store_rollback);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(high_stamp(w), before);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
}

static void undo_point_without_memory_spoils_the_transaction(void **state) {
    world *w = *state;
    int64_t before = high_stamp(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_savepoint(w->v.s), SATCHEL_OK);
    go_back_without_memory(w->v.s, store_savepoint_rollback);
    assert_int_equal(store_commit(w->v.s), SATCHEL_E_NOMEM);
    assert_int_equal(high_stamp(w), before);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        TEST(update_without_memory_writes_what_was_said_or_nothing),
        TEST(push_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again),
        TEST(rollback_without_memory_is_done_by_the_next_transaction),
        TEST(undo_point_without_memory_spoils_the_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
