/* The budget of a device or an address: what is within it, how long who is over it waits, and what is forgotten. Time is a literal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/budget.h"

/* Two connections a second, ten at once; 100 bytes a second, 1,000 at once; bytes sent without bound. */
static const budget_rate RATES[BUDGET_KINDS] = {
    [BUDGET_CONNECTS] = {.per_minute = 120, .burst_s = 5},
    [BUDGET_RECEIVED] = {.per_minute = 6000, .burst_s = 10},
};

typedef struct world {
    budgets b;
    budget *a;
} world;

static int make(void **state) {
    static world w;
    budgets_init(&w.b, RATES);
    w.a = budgets_open(&w.b, "a", 1, 1000);
    *state = &w;
    return !w.a;
}

static int drop(void **state) {
    world *w = *state;
    budgets_fini(&w->b);
    return 0;
}

static void budget_ask_grants_burst_then_tells_wait(void **state) {
    world *w = *state;
    for (int i = 0; i < 10; i++) assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000), 0);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000), 500);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1300), 200);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1500), 0);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1500), 500);
}

static void budget_ask_refused_again_and_again_owes_no_more(void **state) {
    world *w = *state;
    for (int i = 0; i < 1000; i++) budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1500), 0);
}

static void budget_unused_for_long_saves_up_no_more_than_a_burst(void **state) {
    world *w = *state;
    uint64_t later = 1000 + UINT64_C(86400000) * 365;
    unsigned granted = 0;
    while (!budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, later)) granted++;
    assert_int_equal(granted, 10);
}

static void budget_spent_beyond_is_waited_for_in_full(void **state) {
    world *w = *state;
    budget_spend(&w->b, w->a, BUDGET_RECEIVED, 1000, 1000);
    assert_int_equal(budget_wait(&w->b, w->a, BUDGET_RECEIVED, 1000), 0);
    budget_spend(&w->b, w->a, BUDGET_RECEIVED, 5000, 1000);
    assert_int_equal(budget_wait(&w->b, w->a, BUDGET_RECEIVED, 1000), 50000);
    assert_int_equal(budget_wait(&w->b, w->a, BUDGET_RECEIVED, 50999), 1);
    assert_int_equal(budget_wait(&w->b, w->a, BUDGET_RECEIVED, 51000), 0);
}

static void budget_kinds_and_names_do_not_touch_each_other(void **state) {
    world *w = *state;
    budget *b = budgets_open(&w->b, "b", 1, 1000);
    budget_spend(&w->b, w->a, BUDGET_RECEIVED, 100000, 1000);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000), 0);
    assert_int_equal(budget_wait(&w->b, b, BUDGET_RECEIVED, 1000), 0);
}

static void budget_without_a_rate_has_no_bound(void **state) {
    world *w = *state;
    budget_spend(&w->b, w->a, BUDGET_SENT, UINT64_C(1) << 60, 1000);
    assert_int_equal(budget_wait(&w->b, w->a, BUDGET_SENT, 1000), 0);
}

static void budget_returned_may_be_asked_for_again(void **state) {
    world *w = *state;
    while (!budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000)) continue;
    budget_return(&w->b, w->a, BUDGET_CONNECTS, 1);
    assert_int_equal(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000), 0);
    assert_true(budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000) > 0);
}

static void budget_closed_and_opened_again_is_the_same(void **state) {
    world *w = *state;
    while (!budget_ask(&w->b, w->a, BUDGET_CONNECTS, 1, 1000)) continue;
    assert_int_equal(w->a->open, 1);
    budgets_close(&w->b, w->a);
    budget *again = budgets_open(&w->b, "a", 1, 1001);
    assert_int_equal(again->open, 1);
    assert_true(budget_ask(&w->b, again, BUDGET_CONNECTS, 1, 1001) > 0);
}

static void open_and_close(budgets *b, unsigned i, bool spends, uint64_t now_ms) {
    budget *e = budgets_open(b, &i, sizeof i, now_ms);
    assert_non_null(e);
    if (spends) budget_spend(b, e, BUDGET_RECEIVED, 1000, now_ms);
    budgets_close(b, e);
}

static void budgets_idle_and_full_are_forgotten_others_kept(void **state) {
    world *w = *state;
    for (unsigned i = 0; i < 5000; i++) open_and_close(&w->b, i, false, 1000);
    assert_true(w->b.n <= 64);
    for (unsigned i = 0; i < 5000; i++) open_and_close(&w->b, i, true, 1000);
    assert_true(w->b.n >= 5000);
    open_and_close(&w->b, 70000, false, 1000);
    /* Ten seconds later all are full again. */
    for (unsigned i = 0; i < 20000; i++) open_and_close(&w->b, i, false, 20000);
    assert_true(w->b.n < 5000);
    budget *a = budgets_open(&w->b, "a", 1, 20000);
    assert_ptr_equal(a, w->a);
}

static void budgets_beyond_the_most_share_one(void **state) {
    world *w = *state;
    for (unsigned i = 0; i < BUDGETS_MOST; i++) open_and_close(&w->b, i, true, 1000);
    assert_int_equal(w->b.n, BUDGETS_MOST);
    unsigned x = BUDGETS_MOST + 1, y = BUDGETS_MOST + 2;
    budget *one = budgets_open(&w->b, &x, sizeof x, 1000), *other = budgets_open(&w->b, &y, sizeof y, 1000);
    assert_ptr_equal(one, other);
    assert_int_equal(one->open, 2);
    assert_int_equal(w->b.n, BUDGETS_MOST);
}

static void budgets_most_limited_names_them_in_order_and_no_more_than_asked(void **state) {
    world *w = *state;
    const budget *most[3];
    assert_int_equal(budgets_most_limited(&w->b, most, 3), 0);
    for (uint8_t name = 1; name <= 9; name++) {
        budget *e = budgets_open(&w->b, &name, 1, 1000);
        for (int i = 0; i < name * 7 % 10; i++) budget_limited(&w->b, e, 1000); /* 7 4 1 8 5 2 9 6 3 */
    }
    assert_int_equal(budgets_most_limited(&w->b, most, 3), 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(most[i]->limited, 9 - i);
    assert_int_equal(w->b.limited, 45);
}

static void budget_limited_is_told_first_and_then_seldom(void **state) {
    world *w = *state;
    assert_true(budget_limited(&w->b, w->a, 5));
    assert_false(budget_limited(&w->b, w->a, 6));
    assert_false(budget_limited(&w->b, w->a, 5 + BUDGET_TELL_MS - 1));
    assert_true(budget_limited(&w->b, w->a, 5 + BUDGET_TELL_MS));
    assert_int_equal(w->a->limited, 4);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, make, drop)
    const struct CMUnitTest tests[] = {
        T(budget_ask_grants_burst_then_tells_wait),
        T(budget_ask_refused_again_and_again_owes_no_more),
        T(budget_unused_for_long_saves_up_no_more_than_a_burst),
        T(budget_spent_beyond_is_waited_for_in_full),
        T(budget_kinds_and_names_do_not_touch_each_other),
        T(budget_without_a_rate_has_no_bound),
        T(budget_returned_may_be_asked_for_again),
        T(budget_closed_and_opened_again_is_the_same),
        T(budgets_idle_and_full_are_forgotten_others_kept),
        T(budgets_beyond_the_most_share_one),
        T(budgets_most_limited_names_them_in_order_and_no_more_than_asked),
        T(budget_limited_is_told_first_and_then_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
