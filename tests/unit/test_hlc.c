#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/limits.h"

/* 22 November 2026, 10:00 UTC. */
#define NOW UINT64_C(1795341600000)
#define HOUR UINT64_C(3600000)

static void assert_stamp(uint64_t got, uint64_t expected) {
    assert_int_equal(got, expected);
}

static void hlc_next_clock_ahead_takes_the_time(void **state) {
    (void)state;
    assert_stamp(hlc_next(0, NOW), NOW << 16);
    assert_stamp(hlc_next((NOW << 16) + 900, NOW + 1), (NOW + 1) << 16);
}

static void hlc_next_within_a_millisecond_counts(void **state) {
    (void)state;
    uint64_t first = hlc_next(0, NOW);
    assert_stamp(hlc_next(first, NOW), first + 1);
    assert_stamp(hlc_next(first + 1, NOW), first + 2);
}

static void hlc_next_clock_set_back_counts_on(void **state) {
    (void)state;
    uint64_t last = hlc_of_ms(NOW) + 5;
    assert_stamp(hlc_next(last, NOW - 24 * HOUR), last + 1);
    assert_stamp(hlc_next(last, 0), last + 1);
}

static void hlc_next_counter_overflow_carries_into_milliseconds(void **state) {
    (void)state;
    uint64_t full = hlc_of_ms(NOW) | 0xffff;
    assert_stamp(hlc_next(full, NOW), hlc_of_ms(NOW + 1));
}

static void hlc_next_clock_beyond_range_counts_as_its_end(void **state) {
    (void)state;
    assert_stamp(hlc_next(0, HLC_MAX_MS), HLC_MAX_MS << 16);
    assert_stamp(hlc_next(0, HLC_MAX_MS + 1), HLC_MAX_MS << 16);
    assert_stamp(hlc_next(0, UINT64_MAX), HLC_MAX_MS << 16);
    uint64_t last = hlc_next(0, UINT64_MAX);
    for (int i = 0; i < 70000; i++) { /* more than the counter holds */
        uint64_t next = hlc_next(last, UINT64_MAX);
        assert_true(next > last && next <= HLC_MAX_STAMP);
        last = next;
    }
}

static void hlc_next_at_the_last_stamp_stays_below_2_to_63(void **state) {
    (void)state;
    assert_stamp(hlc_next(HLC_MAX_STAMP - 1, NOW), HLC_MAX_STAMP);
    assert_stamp(hlc_next(HLC_MAX_STAMP, NOW), HLC_MAX_STAMP);
    assert_true(HLC_MAX_STAMP == INT64_MAX);
}

static void hlc_receive_keeps_the_higher(void **state) {
    (void)state;
    assert_stamp(hlc_receive(10, 11), 11);
    assert_stamp(hlc_receive(11, 10), 11);
    assert_stamp(hlc_receive(0, HLC_MAX_STAMP), HLC_MAX_STAMP);
}

static void hlc_receive_of_no_stamp_is_passed_over(void **state) {
    (void)state;
    assert_stamp(hlc_receive(10, HLC_MAX_STAMP + 1), 10);
    assert_stamp(hlc_receive(10, UINT64_MAX), 10);
}

static void hlc_ms_and_of_ms_are_inverse(void **state) {
    (void)state;
    assert_stamp(hlc_ms(hlc_of_ms(NOW)), NOW);
    assert_stamp(hlc_ms(hlc_of_ms(NOW) | 0xffff), NOW);
    assert_stamp(hlc_ms(hlc_of_ms(UINT64_MAX)), HLC_MAX_MS);
}

static uint64_t effective(uint64_t stamp, uint64_t last, int expect_clamped) {
    int clamped = -1;
    uint64_t e = hlc_effective(stamp, last, NOW, &clamped);
    assert_int_equal(clamped, expect_clamped);
    return e;
}

static void hlc_effective_M17_stamp_of_a_good_clock_is_left(void **state) {
    (void)state;
    assert_stamp(effective(hlc_of_ms(NOW - 3) + 2, 0, 0), hlc_of_ms(NOW - 3) + 2);
}

static void hlc_effective_M17_stamp_in_the_past_is_left(void **state) {
    (void)state;
    assert_stamp(effective(hlc_of_ms(NOW - 24 * HOUR), 0, 0), hlc_of_ms(NOW - 24 * HOUR));
    assert_stamp(effective(1, 0, 0), 1);
}

static void hlc_effective_M17_five_minutes_ahead_is_left_and_more_is_clamped(void **state) {
    (void)state;
    uint64_t limit = hlc_of_ms(NOW + LIMIT_CLOCK_AHEAD_MS);
    assert_stamp(effective(limit, 0, 0), limit);
    assert_stamp(effective(limit + 1, 0, 1), limit);
    assert_stamp(effective(hlc_of_ms(NOW + 24 * HOUR), 0, 1), limit);
}

static void hlc_effective_M17_clamped_stamps_keep_the_order_of_their_device(void **state) {
    (void)state;
    uint64_t limit = hlc_of_ms(NOW + LIMIT_CLOCK_AHEAD_MS);
    uint64_t first = effective(hlc_of_ms(NOW + 24 * HOUR), 0, 1);
    uint64_t second = effective(hlc_of_ms(NOW + 24 * HOUR) + 1, first, 1);
    uint64_t mended = effective(hlc_of_ms(NOW), second, 0); /* the clock was set right in between */
    assert_stamp(first, limit);
    assert_stamp(second, limit + 1);
    assert_stamp(mended, limit + 2);
}

static void hlc_effective_M17_extremes_stay_stamps(void **state) {
    (void)state;
    int clamped;
    assert_stamp(hlc_effective(0, 0, 0, &clamped), 1);
    assert_int_equal(clamped, 0);
    assert_true(hlc_effective(UINT64_MAX, 0, UINT64_MAX, &clamped) <= HLC_MAX_STAMP);
    assert_int_equal(clamped, 1);
    assert_stamp(hlc_effective(hlc_of_ms(NOW), 0, UINT64_MAX, &clamped), hlc_of_ms(NOW)); /* now + 5 minutes must not wrap */
    assert_int_equal(clamped, 0);
    assert_stamp(hlc_effective(5, HLC_MAX_STAMP, NOW, &clamped), HLC_MAX_STAMP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hlc_next_clock_ahead_takes_the_time),
        cmocka_unit_test(hlc_next_within_a_millisecond_counts),
        cmocka_unit_test(hlc_next_clock_set_back_counts_on),
        cmocka_unit_test(hlc_next_counter_overflow_carries_into_milliseconds),
        cmocka_unit_test(hlc_next_clock_beyond_range_counts_as_its_end),
        cmocka_unit_test(hlc_next_at_the_last_stamp_stays_below_2_to_63),
        cmocka_unit_test(hlc_receive_keeps_the_higher),
        cmocka_unit_test(hlc_receive_of_no_stamp_is_passed_over),
        cmocka_unit_test(hlc_ms_and_of_ms_are_inverse),
        cmocka_unit_test(hlc_effective_M17_stamp_of_a_good_clock_is_left),
        cmocka_unit_test(hlc_effective_M17_stamp_in_the_past_is_left),
        cmocka_unit_test(hlc_effective_M17_five_minutes_ahead_is_left_and_more_is_clamped),
        cmocka_unit_test(hlc_effective_M17_clamped_stamps_keep_the_order_of_their_device),
        cmocka_unit_test(hlc_effective_M17_extremes_stay_stamps),
    };
    return cmocka_run_group_tests_name("hlc", tests, NULL, NULL);
}
