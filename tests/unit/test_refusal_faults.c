/* Pushes that are refused, with a fault at each instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/faults.h"
#include "tests/unit/ingest_faults.h"

static void before_refused(world *w) {
    make(w, "~ item('a') l='mine'; + person(3); + strict(x'03') c=100");
}

static void before_depending(world *w) {
    make(w, "+ phone(7) person=9");
}

static void before_missing(world *w) {
    make(w, "~ item('nobody') l='x'");
}

static void before_deleting_nothing(world *w) {
    make(w, "- item('nobody')");
}

/* Every rule, and both sides of it; insert on a row, on a tombstone; deletions of what was changed; references of both kinds. */
static void before_push(world *w) {
    make(
        w,
        "~ item('a') l='mine', amount=3, mx=7, mn=2, n+=2, st:'open'>'waiting', ok=1, r=2; ~ note('n') body='three';"
        "~ item('b') l='revived'; - item('d'); ~ line(2) qty=4; + line(2) qty=9; + pref(1,'mail') allowed=0, label='mine', n=7;"
        "- line(1); + item('b2') f='f'; + person(3); + phone(3) person=3; ~ phone(2) code=NULL; ~ person(2) code='r'; - phone(1);"
        "- person(1); ~ strict(x'01') any='y', x=1.5");
}

static void before_repeated(world *w) {
    before_push(w);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &pushed, NULL), SATCHEL_OK);
}

static void before_found_elsewhere(world *w) {
    before_repeated(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_fork(w->v.s, w->phone.a.device, w->v.now_ms, &w->phone.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
}

/* A number that a copy of the file may have used, long ago. */
static void before_forgotten(world *w) {
    before_found_elsewhere(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_shares(w->v.s, &w->phone.a, 100), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    sql_exec(&w->v, "DELETE FROM satchel_result WHERE rc=0; UPDATE satchel_server SET floor=seq");
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

static void before_last_part_refused(world *w) {
    before_last_part(w);
    set_delta(w, "+ strict(x'03') c=100");
}

/* The refusal of what furnish has refused is settled by it, and its own stands in its place. */
static void before_retry_refused(world *w) {
    make(w, "+ person(9); + strict(x'03') c=100");
    pushed.resolves = 1;
}

static const operation OPERATION[] = {
    {"refused", before_refused, run_push, 0},
    {"depending", before_depending, run_push, 0},
    {"missing", before_missing, run_push, 0},
    {"deleting nothing", before_deleting_nothing, run_push, 0},
    {"forgotten", before_forgotten, run_push, 0},
    {"last part refused", before_last_part_refused, run_push, 0},
    {"retry refused", before_retry_refused, run_push, 0},
};

static void refusal_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        TEST(refusal_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
