/* What becomes of transactions, with a fault at each instant: results, discards, forks, restored servers, pruning. */
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

static int with_result(fixture *x, const msg_result *r) {
    bool changed;
    int rc = file_begin(x->f);
    if (!rc) rc = outbox_result(x->f, r, x->now_ms, &changed);
    if (!rc) rc = outbox_settle(x->f);
    return file_end(x->f, rc);
}

static int run_accepted(fixture *x) {
    return with_result(x, &(msg_result){.number = 2, .seq = 30, .effective = 77});
}

static int run_accepted_late(fixture *x) {
    return with_result(x, &(msg_result){.number = 2, .seq = 14, .effective = 77});
}

static int run_accepted_before_the_backup(fixture *x) {
    return with_result(x, &(msg_result){.number = 4, .seq = 11, .effective = 77});
}

static void settle_all_but_one(fixture *x) {
    static const uint64_t NUMBER[] = {2, 3, 4, 5, 9};
    for (unsigned i = 0; i < sizeof NUMBER / sizeof NUMBER[0]; i++) accept_at(x, NUMBER[i], 30);
}

static int run_last_of_all(fixture *x) {
    return with_result(x, &(msg_result){.number = 10, .seq = 31, .effective = 77});
}

static int run_refused(fixture *x) {
    static const uint8_t KEY[] = {3, 1, 'b'};
    return with_result(x, &(msg_result){.number = 2,
                                        .rc = SATCHEL_E_KEY_TAKEN,
                                        .table = ITEM,
                                        .key = KEY,
                                        .nkey = sizeof KEY,
                                        .text = "taken",
                                        .ntext = 5,
                                        .depends = 1});
}

static int run_discard_of_pending(fixture *x) {
    return outbox_discard(x->f, 10);
}

static void retry_refused(fixture *x) {
    bool moot;
    assert_int_equal(outbox_retry(x->w, 6, &moot), SATCHEL_OK);
}

static int run_discard_of_retry(fixture *x) {
    return outbox_discard(x->f, 11);
}

static int run_discard_of_refused(fixture *x) {
    return outbox_discard(x->f, 6);
}

static int run_settled_there(fixture *x) {
    uint64_t ended;
    int rc = file_begin(x->f);
    return file_end(x->f, rc ? rc : outbox_settled_there(x->f, &(msg_result){.number = 6, .rc = SATCHEL_E_RESOLVED}, &ended));
}

static int run_fork(fixture *x) {
    int rc = file_begin(x->f);
    return file_end(x->f, rc ? rc : outbox_fork(x->f, 2));
}

static int run_rewind(fixture *x) {
    return rewind_file(x, 11);
}

/* More than are kept in memory. */
static void edit_much(fixture *x) {
    for (unsigned i = 0; i < 9; i++) app_sql(x, "UPDATE item SET stock=stock+1 WHERE id='b'");
}

static int run_prune(fixture *x) {
    bool more;
    int rc = file_begin(x->f);
    if (!rc) x->f->state.backup_seq = 15;
    return file_end(x->f, rc ? rc : outbox_prune(x->f, &more));
}

static int run_told(fixture *x) {
    int rc = file_begin(x->f);
    uint64_t untold = 0;
    if (!rc) rc = outbox_count_untold(x->f, 7, &untold);
    return file_end(x->f, rc ? rc : outbox_told(x->f, 7));
}

static const operation OPERATION[] = {
    {"accepted", NULL, run_accepted, 0},
    {"accepted late", NULL, run_accepted_late, 0},
    {"accepted before the backup", NULL, run_accepted_before_the_backup, 0},
    {"last of all", settle_all_but_one, run_last_of_all, 0},
    {"refused", NULL, run_refused, 0},
    {"discard of a pending one", NULL, run_discard_of_pending, 0},
    {"discard of a retry that was never sent", retry_refused, run_discard_of_retry, 0},
    {"discard of a refused one", NULL, run_discard_of_refused, 0},
    {"a refused one that an admin has settled", NULL, run_settled_there, 0},
    {"fork", NULL, run_fork, 0},
    {"rewind", NULL, run_rewind, 0},
    {"rewind of many edits", edit_much, run_rewind, 0},
    {"prune", NULL, run_prune, 0},
    {"told", NULL, run_told, 0},
};

static void result_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(result_that_fails_leaves_the_file_as_it_was_and_succeeds_when_done_again, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
