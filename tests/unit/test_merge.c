/* The examples of merge.md, and the corners of each rule. Authors: server 0, phone 2, tablet 3, till 4. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/crypto.h"
#include "protocol/hlc.h"
#include "protocol/merge.h"
#include "protocol/satchel_rc.h"

enum { SERVER = 0, PHONE = 2, TABLET = 3, TILL = 4 };

/* Minutes after 09:00 as a stamp. */
static uint64_t minute(uint64_t m) {
    return hlc_of_ms(UINT64_C(1795338000000) + m * 60000);
}

/* A concurrent, later write: stored at minute 60 by the phone as seq 41, incoming at minute 65 by the tablet at base 40. */
static merge_facts facts_of(merge_rule rule) {
    return (merge_facts){
        .rule = rule,
        .stored = {.stamp = minute(60), .author = PHONE, .seq = 41},
        .incoming = {.stamp = minute(65), .author = TABLET, .seq = 42},
        .base = 40,
    };
}

static merge_facts knowing(merge_facts f) {
    f.base = f.stored.seq;
    return f;
}

static merge_facts earlier(merge_facts f) {
    f.incoming.stamp = f.stored.stamp - 1;
    return f;
}

static merge_facts equal(merge_facts f) {
    f.equal = true;
    f.compare = 0;
    return f;
}

static merge_facts compare(merge_facts f, int c) {
    f.compare = c;
    return f;
}

static merge_facts from_server(merge_facts f) {
    f.from_server = true;
    f.incoming.author = SERVER;
    return f;
}

/* Sets the NULL flags and what follows from them. */
static merge_facts nulls(merge_facts f, bool stored_null, bool incoming_null) {
    f.stored_null = stored_null;
    f.incoming_null = incoming_null;
    f.equal = stored_null && incoming_null;
    f.compare = (int)stored_null - (int)incoming_null;
    return f;
}

static void assert_verdict(merge_facts f, merge_action action, bool conflict) {
    merge_verdict v = merge_field(&f);
    assert_int_equal(v.action, action);
    assert_int_equal(v.conflict, conflict);
    assert_int_equal(v.rc, SATCHEL_OK);
}

static void assert_refused(merge_facts f, int rc) {
    merge_verdict v = merge_field(&f);
    assert_int_equal(v.action, MERGE_REFUSE);
    assert_int_equal(v.conflict, false);
    assert_int_equal(v.rc, rc);
}

static void lww_M1_later_concurrent_is_taken_and_stored_logged(void **state) {
    (void)state;
    assert_verdict(facts_of(RULE_LWW), MERGE_TAKE, true);
}

static void lww_M1_later_knowing_is_taken_without_log(void **state) {
    (void)state;
    assert_verdict(knowing(facts_of(RULE_LWW)), MERGE_TAKE, false);
}

static void lww_M1_earlier_is_kept_and_incoming_logged_even_if_knowing(void **state) {
    (void)state;
    assert_verdict(earlier(facts_of(RULE_LWW)), MERGE_KEEP, true);
    assert_verdict(earlier(knowing(facts_of(RULE_LWW))), MERGE_KEEP, true);
}

static void lww_M1_equal_stamps_higher_author_wins(void **state) {
    (void)state;
    merge_facts f = facts_of(RULE_LWW);
    f.incoming.stamp = f.stored.stamp;
    assert_verdict(f, MERGE_TAKE, true);
    f.stored.author = TILL;
    assert_verdict(f, MERGE_KEEP, true);
}

static void lww_M1_equal_values_take_the_later_clock_without_log(void **state) {
    (void)state;
    assert_verdict(equal(facts_of(RULE_LWW)), MERGE_TAKE, false);
    assert_verdict(equal(earlier(facts_of(RULE_LWW))), MERGE_KEEP, false);
}

static void lww_M1_null_is_a_value_like_any(void **state) {
    (void)state;
    assert_verdict(nulls(facts_of(RULE_LWW), true, false), MERGE_TAKE, true);
    assert_verdict(nulls(earlier(facts_of(RULE_LWW)), true, false), MERGE_KEEP, true);
    assert_verdict(nulls(facts_of(RULE_LWW), false, true), MERGE_TAKE, true);
}

static void group_M2_is_lww_on_the_whole_unit(void **state) {
    (void)state;
    assert_verdict(facts_of(RULE_GROUP), MERGE_TAKE, true);
    assert_verdict(knowing(facts_of(RULE_GROUP)), MERGE_TAKE, false);
    assert_verdict(earlier(facts_of(RULE_GROUP)), MERGE_KEEP, true);
    assert_verdict(equal(facts_of(RULE_GROUP)), MERGE_TAKE, false);
}

static void max_M3_greater_is_taken_whatever_the_stamp(void **state) {
    (void)state;
    assert_verdict(compare(facts_of(RULE_MAX), 1), MERGE_TAKE, true);
    assert_verdict(compare(earlier(facts_of(RULE_MAX)), 1), MERGE_TAKE, true);
    assert_verdict(compare(knowing(facts_of(RULE_MAX)), 1), MERGE_TAKE, false);
}

static void max_M3_smaller_is_lost_and_logged_even_if_knowing(void **state) {
    (void)state;
    assert_verdict(compare(facts_of(RULE_MAX), -1), MERGE_KEEP, true);
    assert_verdict(compare(knowing(facts_of(RULE_MAX)), -1), MERGE_KEEP, true);
}

static void max_M3_tie_takes_the_later_clock_without_log(void **state) {
    (void)state;
    assert_verdict(equal(facts_of(RULE_MAX)), MERGE_TAKE, false);
    assert_verdict(equal(earlier(facts_of(RULE_MAX))), MERGE_KEEP, false);
    assert_verdict(compare(facts_of(RULE_MAX), 0), MERGE_TAKE, false); /* 1 and 1.0 */
}

static void max_M3_null_is_nothing_yet(void **state) {
    (void)state;
    assert_verdict(nulls(facts_of(RULE_MAX), true, false), MERGE_TAKE, false);
    assert_verdict(nulls(facts_of(RULE_MAX), false, true), MERGE_KEEP, true);
    assert_verdict(nulls(facts_of(RULE_MAX), true, true), MERGE_TAKE, false);
    assert_verdict(nulls(earlier(facts_of(RULE_MAX)), true, true), MERGE_KEEP, false);
}

static void max_M3_compare_at_its_extremes_keeps_its_sign(void **state) {
    (void)state;
    assert_verdict(compare(facts_of(RULE_MAX), INT32_MIN), MERGE_KEEP, true);
    assert_verdict(compare(facts_of(RULE_MIN), INT32_MIN), MERGE_TAKE, true);
}

static void min_M4_smaller_is_taken_whatever_the_stamp(void **state) {
    (void)state;
    assert_verdict(compare(facts_of(RULE_MIN), -1), MERGE_TAKE, true);
    assert_verdict(compare(earlier(facts_of(RULE_MIN)), -1), MERGE_TAKE, true);
    assert_verdict(compare(knowing(facts_of(RULE_MIN)), -1), MERGE_TAKE, false);
}

static void min_M4_greater_is_lost_and_logged(void **state) {
    (void)state;
    assert_verdict(compare(facts_of(RULE_MIN), 1), MERGE_KEEP, true);
    assert_verdict(compare(knowing(facts_of(RULE_MIN)), 1), MERGE_KEEP, true);
}

static void min_M4_null_loses_though_it_compares_lowest(void **state) {
    (void)state;
    assert_verdict(nulls(facts_of(RULE_MIN), true, false), MERGE_TAKE, false);
    assert_verdict(nulls(facts_of(RULE_MIN), false, true), MERGE_KEEP, true);
    assert_verdict(nulls(facts_of(RULE_MIN), true, true), MERGE_TAKE, false);
}

static void counter_M5_always_adds_without_log(void **state) {
    (void)state;
    assert_verdict(facts_of(RULE_COUNTER), MERGE_ADD, false);
    assert_verdict(earlier(facts_of(RULE_COUNTER)), MERGE_ADD, false);
    assert_verdict(knowing(facts_of(RULE_COUNTER)), MERGE_ADD, false);
    assert_verdict(equal(facts_of(RULE_COUNTER)), MERGE_ADD, false);
}

static void first_M6_nothing_stored_is_taken(void **state) {
    (void)state;
    assert_verdict(nulls(facts_of(RULE_FIRST), true, false), MERGE_TAKE, false);
    assert_verdict(nulls(earlier(facts_of(RULE_FIRST)), true, false), MERGE_TAKE, false);
}

static void first_M6_second_value_is_logged_even_if_knowing_or_null(void **state) {
    (void)state;
    assert_verdict(facts_of(RULE_FIRST), MERGE_KEEP, true);
    assert_verdict(knowing(facts_of(RULE_FIRST)), MERGE_KEEP, true);
    assert_verdict(nulls(facts_of(RULE_FIRST), false, true), MERGE_KEEP, true);
}

static void first_M6_equal_value_leaves_the_clock(void **state) {
    (void)state;
    assert_verdict(equal(facts_of(RULE_FIRST)), MERGE_KEEP, false);
    assert_verdict(nulls(facts_of(RULE_FIRST), true, true), MERGE_KEEP, false);
}

static void server_M7_device_is_refused_unless_equal(void **state) {
    (void)state;
    assert_refused(facts_of(RULE_SERVER), SATCHEL_E_SERVER_OWNED);
    assert_refused(knowing(facts_of(RULE_SERVER)), SATCHEL_E_SERVER_OWNED);
    assert_verdict(equal(facts_of(RULE_SERVER)), MERGE_KEEP, false);
}

static void server_M7_server_writes_are_lww_among_themselves(void **state) {
    (void)state;
    merge_facts f = from_server(facts_of(RULE_SERVER));
    f.stored.author = SERVER;
    assert_verdict(f, MERGE_TAKE, false);
    assert_verdict(equal(f), MERGE_TAKE, false);
    assert_verdict(earlier(f), MERGE_KEEP, true);
}

static void server_M7_server_takes_over_a_device_written_value(void **state) {
    (void)state;
    assert_verdict(from_server(knowing(facts_of(RULE_SERVER))), MERGE_TAKE, false);
    assert_verdict(earlier(from_server(facts_of(RULE_SERVER))), MERGE_TAKE, true);
    assert_verdict(equal(earlier(from_server(facts_of(RULE_SERVER)))), MERGE_TAKE, false);
}

static merge_facts guard(bool seen_allowed, bool seen_is_stored, bool stored_allowed) {
    merge_facts f = facts_of(RULE_GUARD);
    f.seen_allowed = seen_allowed;
    f.seen_is_stored = seen_is_stored;
    f.stored_allowed = stored_allowed;
    return f;
}

static void guard_M8_allowed_move_from_what_it_saw_is_taken(void **state) {
    (void)state;
    assert_verdict(guard(true, true, true), MERGE_TAKE, false);
    assert_verdict(earlier(guard(true, true, true)), MERGE_TAKE, false);
    assert_verdict(knowing(guard(true, true, true)), MERGE_TAKE, false);
}

static void guard_M8_forbidden_move_is_refused(void **state) {
    (void)state;
    assert_refused(guard(false, true, false), SATCHEL_E_GUARD);
    assert_refused(guard(false, false, true), SATCHEL_E_GUARD);
    assert_refused(guard(false, false, false), SATCHEL_E_GUARD);
}

static void guard_M8_moved_meanwhile_goes_on_from_there_and_logs_stored(void **state) {
    (void)state;
    assert_verdict(guard(true, false, true), MERGE_TAKE, true);
    assert_verdict(earlier(guard(true, false, true)), MERGE_TAKE, true);
}

static void guard_M8_moved_meanwhile_to_where_no_move_leads_on_logs_incoming(void **state) {
    (void)state;
    assert_verdict(guard(true, false, false), MERGE_KEEP, true);
    assert_verdict(earlier(guard(true, false, false)), MERGE_KEEP, true);
}

static void guard_M8_equal_is_no_conflict_even_if_the_move_is_forbidden(void **state) {
    (void)state;
    assert_verdict(equal(guard(false, false, false)), MERGE_TAKE, false);
    assert_verdict(equal(earlier(guard(false, false, false))), MERGE_KEEP, false);
}

static void guard_M8_first_value_and_server_need_no_move(void **state) {
    (void)state;
    assert_verdict(nulls(guard(false, false, false), true, false), MERGE_TAKE, false);
    assert_verdict(knowing(from_server(guard(false, false, false))), MERGE_TAKE, false);
    assert_verdict(from_server(guard(false, false, false)), MERGE_TAKE, true);
}

static void bounded_M9_is_refused(void **state) {
    (void)state;
    assert_refused(facts_of(RULE_BOUNDED), SATCHEL_E_RULE);
    assert_refused(facts_of((merge_rule)99), SATCHEL_E_RULE);
}

static void keep_M10_knowing_change_is_taken(void **state) {
    (void)state;
    assert_verdict(knowing(facts_of(RULE_KEEP)), MERGE_TAKE, false);
    assert_verdict(earlier(knowing(facts_of(RULE_KEEP))), MERGE_TAKE, false);
}

static void keep_M10_concurrent_loser_becomes_a_copy(void **state) {
    (void)state;
    assert_verdict(facts_of(RULE_KEEP), MERGE_COPY_STORED, true);
    assert_verdict(earlier(facts_of(RULE_KEEP)), MERGE_COPY_INCOMING, true);
}

static void keep_M10_losing_null_makes_no_copy(void **state) {
    (void)state;
    assert_verdict(nulls(facts_of(RULE_KEEP), true, false), MERGE_TAKE, true);
    assert_verdict(nulls(earlier(facts_of(RULE_KEEP)), false, true), MERGE_KEEP, true);
    assert_verdict(nulls(facts_of(RULE_KEEP), false, true), MERGE_COPY_STORED, true);
    assert_verdict(nulls(earlier(facts_of(RULE_KEEP)), true, false), MERGE_COPY_INCOMING, true);
}

static void keep_M10_equal_texts_are_no_conflict(void **state) {
    (void)state;
    assert_verdict(equal(facts_of(RULE_KEEP)), MERGE_TAKE, false);
    assert_verdict(equal(earlier(facts_of(RULE_KEEP))), MERGE_KEEP, false);
}

static void strict_M11_knowing_change_may_loosen(void **state) {
    (void)state;
    assert_verdict(compare(knowing(facts_of(RULE_STRICT)), 1), MERGE_TAKE, false);
    assert_verdict(compare(knowing(facts_of(RULE_STRICT)), -1), MERGE_TAKE, false);
}

static void strict_M11_concurrent_stricter_wins_whatever_the_stamp(void **state) {
    (void)state;
    assert_verdict(compare(facts_of(RULE_STRICT), -1), MERGE_TAKE, true);
    assert_verdict(compare(earlier(facts_of(RULE_STRICT)), -1), MERGE_TAKE, true);
    assert_verdict(compare(facts_of(RULE_STRICT), 1), MERGE_KEEP, true);
    assert_verdict(compare(earlier(facts_of(RULE_STRICT)), 1), MERGE_KEEP, true);
}

static void strict_M11_null_is_strictest(void **state) {
    (void)state;
    assert_verdict(nulls(facts_of(RULE_STRICT), true, false), MERGE_KEEP, true);
    assert_verdict(nulls(facts_of(RULE_STRICT), false, true), MERGE_TAKE, true);
    assert_verdict(nulls(knowing(facts_of(RULE_STRICT)), true, false), MERGE_TAKE, false);
    assert_verdict(nulls(facts_of(RULE_STRICT), true, true), MERGE_TAKE, false);
}

static void strict_M11_equal_takes_the_clock_whatever_its_stamp(void **state) {
    (void)state;
    assert_verdict(equal(facts_of(RULE_STRICT)), MERGE_TAKE, false);
    assert_verdict(equal(earlier(facts_of(RULE_STRICT))), MERGE_TAKE, false);
}

static void delete_M13_wins_and_logs_concurrent_values(void **state) {
    (void)state;
    bool conflict;
    assert_int_equal(merge_delete(WINS_DELETE, true, &conflict), MERGE_ROW_DELETE);
    assert_true(conflict);
    assert_int_equal(merge_delete(WINS_DELETE, false, &conflict), MERGE_ROW_DELETE);
    assert_false(conflict);
}

static void update_of_deleted_M13_is_lost_and_logged(void **state) {
    (void)state;
    bool conflict = false;
    assert_int_equal(merge_update_of_deleted(WINS_DELETE, &conflict), MERGE_ROW_DELETE);
    assert_true(conflict);
}

static void delete_M14_loses_to_a_concurrent_update_and_is_logged(void **state) {
    (void)state;
    bool conflict;
    assert_int_equal(merge_delete(WINS_UPDATE, true, &conflict), MERGE_ROW_KEEP);
    assert_true(conflict);
    assert_int_equal(merge_delete(WINS_UPDATE, false, &conflict), MERGE_ROW_DELETE);
    assert_false(conflict);
}

static void update_of_deleted_M14_revives_and_logs_the_deletion(void **state) {
    (void)state;
    bool conflict = false;
    assert_int_equal(merge_update_of_deleted(WINS_UPDATE, &conflict), MERGE_ROW_REVIVE);
    assert_true(conflict);
}

static void is_known_M16_by_base_or_by_own_authorship(void **state) {
    (void)state;
    field_clock stored = {.stamp = 5, .author = TABLET, .seq = 41};
    field_clock phone = {.stamp = 6, .author = PHONE, .seq = 42}, tablet = {.stamp = 6, .author = TABLET, .seq = 42};
    assert_true(merge_is_known(&stored, &phone, 41));
    assert_true(merge_is_known(&stored, &phone, 42));
    assert_false(merge_is_known(&stored, &phone, 40));
    assert_false(merge_is_known(&stored, &phone, 0));
    assert_true(merge_is_known(&stored, &tablet, 0));
}

static void own_second_edit_M16_overwrites_without_log(void **state) {
    (void)state;
    merge_facts f = facts_of(RULE_LWW);
    f.stored.author = TABLET;
    assert_verdict(f, MERGE_TAKE, false);
}

static void equal_values_M18_are_never_logged_or_refused(void **state) {
    (void)state;
    for (int rule = RULE_LWW; rule <= RULE_STRICT; rule++) {
        if (rule == RULE_BOUNDED) continue;
        for (int variant = 0; variant < 8; variant++) {
            merge_facts f = equal(facts_of((merge_rule)rule));
            if (variant & 1) f = knowing(f);
            if (variant & 2) f = earlier(f);
            if (variant & 4) f = from_server(f);
            merge_verdict v = merge_field(&f);
            assert_false(v.conflict);
            assert_int_not_equal(v.action, MERGE_REFUSE);
        }
    }
}

static void assert_sum(value a, value b, value expected) {
    value out = {0};
    assert_int_equal(merge_add(&a, &b, &out), SATCHEL_OK);
    assert_true(value_equal(&out, &expected));
    value back = {0};
    assert_int_equal(merge_add(&b, &a, &back), SATCHEL_OK);
    assert_true(value_equal(&back, &expected));
}

static void add_M5_integers_stay_integers_and_null_is_0(void **state) {
    (void)state;
    assert_sum(value_integer(10), value_integer(-3), value_integer(7));
    assert_sum(value_null(), value_integer(-3), value_integer(-3));
    assert_sum(value_null(), value_null(), value_integer(0));
    assert_sum(value_integer(INT64_MAX), value_integer(INT64_MIN), value_integer(-1));
    assert_sum(value_integer(1), value_real(0.5), value_real(1.5));
    assert_sum(value_null(), value_real(0.5), value_real(0.5));
}

static void subtract_M5_is_new_minus_old(void **state) {
    (void)state;
    value a = value_integer(12), b = value_integer(10), null = value_null(), half = value_real(0.5), out;
    assert_int_equal(merge_subtract(&a, &b, &out), SATCHEL_OK);
    assert_int_equal(out.u.i, 2);
    assert_int_equal(merge_subtract(&null, &b, &out), SATCHEL_OK);
    assert_int_equal(out.u.i, -10);
    assert_int_equal(merge_subtract(&half, &b, &out), SATCHEL_OK);
    assert_true(out.type == VALUE_REAL && out.u.r == -9.5);
    assert_int_equal(merge_subtract(&a, &b, &a), SATCHEL_OK); /* out may be an operand */
    assert_int_equal(a.u.i, 2);
}

static void arithmetic_M5_outside_the_range_is_refused(void **state) {
    (void)state;
    value max = value_integer(INT64_MAX), min = value_integer(INT64_MIN), one = value_integer(1), null = value_null();
    value big = value_real(DBL_MAX), out = value_integer(77);
    assert_int_equal(merge_add(&max, &one, &out), SATCHEL_E_RANGE);
    assert_int_equal(merge_subtract(&min, &one, &out), SATCHEL_E_RANGE);
    assert_int_equal(merge_subtract(&null, &min, &out), SATCHEL_E_RANGE);
    assert_int_equal(merge_add(&big, &big, &out), SATCHEL_E_RANGE);
    assert_int_equal(out.u.i, 77);
}

static void arithmetic_M5_with_a_real_on_either_side_is_real(void **state) {
    (void)state;
    const value one = value_integer(1), half = value_real(0.5), null = value_null();
    const struct {
        const value *a, *b;
        double sum, difference;
    } cases[] = {{&one, &half, 1.5, 0.5},
                 {&half, &one, 1.5, -0.5},
                 {&half, &half, 1, 0},
                 {&null, &half, 0.5, -0.5},
                 {&half, &null, 0.5, 0.5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        value sum, difference;
        assert_int_equal(merge_add(cases[i].a, cases[i].b, &sum), SATCHEL_OK);
        assert_int_equal(merge_subtract(cases[i].a, cases[i].b, &difference), SATCHEL_OK);
        assert_true(sum.type == VALUE_REAL && sum.u.r == cases[i].sum);
        assert_true(difference.type == VALUE_REAL && difference.u.r == cases[i].difference);
    }
}

static void arithmetic_M5_on_text_blob_or_absent_is_a_type_error(void **state) {
    (void)state;
    const value bad[] = {value_text("1", 1), value_blob("1", 1), {0}};
    value one = value_integer(1), out;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(merge_add(&bad[i], &one, &out), SATCHEL_E_TYPE);
        assert_int_equal(merge_add(&one, &bad[i], &out), SATCHEL_E_TYPE);
        assert_int_equal(merge_subtract(&bad[i], &one, &out), SATCHEL_E_TYPE);
        assert_int_equal(merge_subtract(&one, &bad[i], &out), SATCHEL_E_TYPE);
    }
}

static const uint8_t key[] = {4, 2, 0x04, 0x11};
static const field_clock loser = {.stamp = 0x01a1b2c3d4e50001, .author = PHONE, .seq = 41};

static void copy_id_M10_has_the_documented_bytes(void **state) {
    (void)state;
    static const uint8_t expected[16] = {0x28, 0xbe, 0xc9, 0x3c, 0xe0, 0xcd, 0xb6, 0x96,
                                         0x6e, 0x24, 0xbb, 0xe2, 0xfb, 0xf9, 0x90, 0xda};
    uint8_t id[16];
    merge_copy_id(7, key, sizeof key, 3, &loser, id);
    assert_memory_equal(id, expected, sizeof id);
}

static void copy_id_M10_depends_on_all_but_the_seq(void **state) {
    (void)state;
    uint8_t id[6][16];
    field_clock stamp = loser, author = loser, seq = loser;
    stamp.stamp++, author.author++, seq.seq++;
    merge_copy_id(7, key, sizeof key, 3, &loser, id[0]);
    merge_copy_id(8, key, sizeof key, 3, &loser, id[1]);
    merge_copy_id(7, key, sizeof key - 1, 3, &loser, id[2]);
    merge_copy_id(7, key, sizeof key, 4, &loser, id[3]);
    merge_copy_id(7, key, sizeof key, 3, &stamp, id[4]);
    merge_copy_id(7, key, sizeof key, 3, &author, id[5]);
    for (int i = 1; i < 6; i++)
        for (int j = 0; j < i; j++) assert_memory_not_equal(id[i], id[j], 16);
    merge_copy_id(7, key, sizeof key, 3, &seq, id[1]);
    assert_memory_equal(id[0], id[1], 16);
}

static void rule_name_is_the_declared_word(void **state) {
    (void)state;
    static const char *const names[] = {"lww",    "group", "max",     "min",  "counter", "first",
                                        "server", "guard", "bounded", "keep", "strict"};
    for (int rule = RULE_LWW; rule <= RULE_STRICT; rule++) assert_string_equal(merge_rule_name((merge_rule)rule), names[rule]);
    assert_string_equal(merge_rule_name((merge_rule)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lww_M1_later_concurrent_is_taken_and_stored_logged),
        cmocka_unit_test(lww_M1_later_knowing_is_taken_without_log),
        cmocka_unit_test(lww_M1_earlier_is_kept_and_incoming_logged_even_if_knowing),
        cmocka_unit_test(lww_M1_equal_stamps_higher_author_wins),
        cmocka_unit_test(lww_M1_equal_values_take_the_later_clock_without_log),
        cmocka_unit_test(lww_M1_null_is_a_value_like_any),
        cmocka_unit_test(group_M2_is_lww_on_the_whole_unit),
        cmocka_unit_test(max_M3_greater_is_taken_whatever_the_stamp),
        cmocka_unit_test(max_M3_smaller_is_lost_and_logged_even_if_knowing),
        cmocka_unit_test(max_M3_tie_takes_the_later_clock_without_log),
        cmocka_unit_test(max_M3_null_is_nothing_yet),
        cmocka_unit_test(max_M3_compare_at_its_extremes_keeps_its_sign),
        cmocka_unit_test(min_M4_smaller_is_taken_whatever_the_stamp),
        cmocka_unit_test(min_M4_greater_is_lost_and_logged),
        cmocka_unit_test(min_M4_null_loses_though_it_compares_lowest),
        cmocka_unit_test(counter_M5_always_adds_without_log),
        cmocka_unit_test(first_M6_nothing_stored_is_taken),
        cmocka_unit_test(first_M6_second_value_is_logged_even_if_knowing_or_null),
        cmocka_unit_test(first_M6_equal_value_leaves_the_clock),
        cmocka_unit_test(server_M7_device_is_refused_unless_equal),
        cmocka_unit_test(server_M7_server_writes_are_lww_among_themselves),
        cmocka_unit_test(server_M7_server_takes_over_a_device_written_value),
        cmocka_unit_test(guard_M8_allowed_move_from_what_it_saw_is_taken),
        cmocka_unit_test(guard_M8_forbidden_move_is_refused),
        cmocka_unit_test(guard_M8_moved_meanwhile_goes_on_from_there_and_logs_stored),
        cmocka_unit_test(guard_M8_moved_meanwhile_to_where_no_move_leads_on_logs_incoming),
        cmocka_unit_test(guard_M8_equal_is_no_conflict_even_if_the_move_is_forbidden),
        cmocka_unit_test(guard_M8_first_value_and_server_need_no_move),
        cmocka_unit_test(bounded_M9_is_refused),
        cmocka_unit_test(keep_M10_knowing_change_is_taken),
        cmocka_unit_test(keep_M10_concurrent_loser_becomes_a_copy),
        cmocka_unit_test(keep_M10_losing_null_makes_no_copy),
        cmocka_unit_test(keep_M10_equal_texts_are_no_conflict),
        cmocka_unit_test(strict_M11_knowing_change_may_loosen),
        cmocka_unit_test(strict_M11_concurrent_stricter_wins_whatever_the_stamp),
        cmocka_unit_test(strict_M11_null_is_strictest),
        cmocka_unit_test(strict_M11_equal_takes_the_clock_whatever_its_stamp),
        cmocka_unit_test(delete_M13_wins_and_logs_concurrent_values),
        cmocka_unit_test(update_of_deleted_M13_is_lost_and_logged),
        cmocka_unit_test(delete_M14_loses_to_a_concurrent_update_and_is_logged),
        cmocka_unit_test(update_of_deleted_M14_revives_and_logs_the_deletion),
        cmocka_unit_test(is_known_M16_by_base_or_by_own_authorship),
        cmocka_unit_test(own_second_edit_M16_overwrites_without_log),
        cmocka_unit_test(equal_values_M18_are_never_logged_or_refused),
        cmocka_unit_test(add_M5_integers_stay_integers_and_null_is_0),
        cmocka_unit_test(subtract_M5_is_new_minus_old),
        cmocka_unit_test(arithmetic_M5_outside_the_range_is_refused),
        cmocka_unit_test(arithmetic_M5_on_text_blob_or_absent_is_a_type_error),
        cmocka_unit_test(arithmetic_M5_with_a_real_on_either_side_is_real),
        cmocka_unit_test(copy_id_M10_has_the_documented_bytes),
        cmocka_unit_test(copy_id_M10_depends_on_all_but_the_seq),
        cmocka_unit_test(rule_name_is_the_declared_word),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
