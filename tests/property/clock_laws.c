/* Laws of the hybrid logical clock, of effective stamps (M17) and of row clocks, on random histories. */
#include <string.h>

#include "protocol/clock.h"
#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "tests/property/seeds.h"

#define NOW UINT64_C(1795341600000)
#define TEN_YEARS_MS (UINT64_C(10) * 365 * 24 * 3600 * 1000)

/* A clock that mostly runs, sometimes jumps by up to ten years either way, and rarely reads nonsense. */
static uint64_t bad_clock(seed *s, uint64_t now_ms) {
    if (seed_chance(s, 1)) return seed_next(s);
    if (seed_chance(s, 10)) return NOW - TEN_YEARS_MS + seed_next(s) % (2 * TEN_YEARS_MS);
    return now_ms + seed_below(s, 3);
}

static void check_hlc_monotonic(seed *s) {
    uint64_t last = 0, now_ms = NOW;
    for (int i = 0; i < 200; i++) {
        now_ms = bad_clock(s, now_ms);
        if (seed_chance(s, 20)) {
            uint64_t received = hlc_of_ms(bad_clock(s, now_ms)) + seed_below(s, 70000), before = last;
            last = hlc_receive(last, received);
            seed_check(s, last >= before && last >= received);
        }
        uint64_t next = hlc_next(last, now_ms);
        seed_check(s, next > last);
        seed_check(s, next <= HLC_MAX_STAMP);
        seed_check(s, next >= hlc_of_ms(now_ms));
        last = next;
    }
}

/* One incarnation's stamps come in its order; the server's clock may do what it likes. */
static void check_effective_keeps_order(seed *s) {
    uint64_t stamp = 0, effective = 0, device_ms = NOW, server_ms = NOW;
    for (int i = 0; i < 200; i++) {
        int clamped;
        device_ms = bad_clock(s, device_ms);
        server_ms = bad_clock(s, server_ms);
        stamp = hlc_next(stamp, device_ms);
        uint64_t before = effective, limit = hlc_of_ms((server_ms < HLC_MAX_MS ? server_ms : HLC_MAX_MS) + LIMIT_CLOCK_AHEAD_MS);
        effective = hlc_effective(stamp, before, server_ms, &clamped);
        seed_check(s, effective > before && effective <= HLC_MAX_STAMP);
        seed_check(s, clamped == (stamp > limit));
        seed_check(s, effective <= limit || effective == before + 1);
        seed_check(s, clamped || effective == stamp || effective == before + 1);
        if (seed_chance(s, 5)) stamp = 0; /* a restored file: stamps begin again, the incarnation's order does not */
    }
}

static field_clock random_clock(seed *s) {
    if (seed_chance(s, 10))
        return (field_clock){.stamp = seed_spread(s) >> 1, .author = (uint32_t)seed_spread(s), .seq = seed_spread(s) >> 1};
    return (field_clock){.stamp = hlc_of_ms(NOW + seed_below(s, 100000)) + seed_below(s, 3),
                         .author = seed_below(s, 300),
                         .seq = seed_below(s, 5000000)};
}

static uint32_t random_unit(seed *s) {
    return seed_chance(s, 5) ? (uint32_t)seed_spread(s) : seed_below(s, 40);
}

static bool same(field_clock a, field_clock b) {
    return a.stamp == b.stamp && a.author == b.author && a.seq == b.seq;
}

static void random_row_clock(seed *s, row_clock *c) {
    clock_init(c, random_clock(s));
    unsigned n = seed_chance(s, 2) ? LIMIT_COLUMNS : seed_below(s, 12);
    for (unsigned i = 0; i < n; i++) (void)clock_set(c, random_unit(s), seed_chance(s, 10) ? c->base : random_clock(s));
}

/* What clock_get says of a unit is what was set last, or the base. */
static void check_set_get(seed *s) {
    enum { UNITS = 40 };
    row_clock c;
    field_clock model[UNITS];
    clock_init(&c, random_clock(s));
    for (unsigned i = 0; i < UNITS; i++) model[i] = c.base;
    for (int step = 0; step < 60; step++) {
        unsigned unit = seed_below(s, UNITS);
        model[unit] = random_clock(s);
        seed_check(s, clock_set(&c, unit, model[unit]) == SATCHEL_OK);
        for (unsigned i = 0; i < UNITS; i++) seed_check(s, same(clock_get(&c, i), model[i]));
        for (unsigned i = 1; i < c.n; i++) seed_check(s, c.over[i - 1].unit < c.over[i].unit);
    }
    field_clock latest = clock_latest(&c);
    for (unsigned i = 0; i < UNITS; i++) seed_check(s, clock_compare(&latest, &model[i]) >= 0);
}

static void check_round_trip(seed *s) {
    static row_clock c, got;
    random_row_clock(s, &c);
    buf b, again;
    buf_init(&b, 0);
    buf_init(&again, 0);
    clock_encode(&c, &b);
    seed_check(s, b.rc == SATCHEL_OK);
    seed_check(s, clock_decode(&got, b.p, b.n) == SATCHEL_OK);
    seed_check(s, same(got.base, c.base) && got.n <= c.n);
    for (unsigned i = 0; i < c.n; i++) seed_check(s, same(clock_get(&got, c.over[i].unit), c.over[i].c));
    for (unsigned i = 0; i < got.n; i++) seed_check(s, !same(got.over[i].c, got.base));
    clock_encode(&got, &again);
    seed_check(s, again.n == b.n && memcmp(again.p, b.p, b.n) == 0);
    buf_fini(&b);
    buf_fini(&again);
}

/* Bytes that are random, or a row clock with some changed and cut; held in an allocation of exactly their size, for the sanitizer. */
static void check_decode_of_any_bytes(seed *s) {
    static row_clock c, got;
    buf b;
    buf_init(&b, 0);
    if (seed_chance(s, 30)) {
        for (unsigned n = seed_below(s, 60); n; n--) buf_put_byte(&b, (uint8_t)seed_next(s));
    } else {
        random_row_clock(s, &c);
        clock_encode(&c, &b);
        for (unsigned n = seed_below(s, 4); n; n--) b.p[seed_below(s, (unsigned)b.n)] = (uint8_t)seed_next(s);
        if (seed_chance(s, 50)) b.n = seed_below(s, (unsigned)b.n + 1);
    }
    uint8_t *exact = malloc(b.n ? b.n : 1);
    seed_check(s, exact != NULL);
    if (b.n) memcpy(exact, b.p, b.n);
    int rc = clock_decode(&c, exact, b.n);
    free(exact);
    seed_check(s, rc == SATCHEL_OK || rc == SATCHEL_E_CORRUPT);
    if (rc == SATCHEL_OK) {
        buf_clear(&b);
        clock_encode(&c, &b);
        seed_check(s, clock_decode(&got, b.p, b.n) == SATCHEL_OK);
        for (unsigned i = 0; i < c.n; i++) seed_check(s, same(clock_get(&got, c.over[i].unit), c.over[i].c));
    }
    buf_fini(&b);
}

static void hlc_under_jumping_clocks_is_monotonic(void **state) {
    (void)state;
    seed_run(check_hlc_monotonic, 2000);
}

static void effective_M17_never_reorders_an_incarnation(void **state) {
    (void)state;
    seed_run(check_effective_keeps_order, 2000);
}

static void clock_get_after_set_gives_what_was_set(void **state) {
    (void)state;
    seed_run(check_set_get, 500);
}

static void clock_decode_of_encoded_is_the_same_clock(void **state) {
    (void)state;
    seed_run(check_round_trip, 5000);
}

static void clock_decode_of_any_bytes_stays_within_them(void **state) {
    (void)state;
    seed_run(check_decode_of_any_bytes, 20000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hlc_under_jumping_clocks_is_monotonic),
        cmocka_unit_test(effective_M17_never_reorders_an_incarnation),
        cmocka_unit_test(clock_get_after_set_gives_what_was_set),
        cmocka_unit_test(clock_decode_of_encoded_is_the_same_clock),
        cmocka_unit_test(clock_decode_of_any_bytes_stays_within_them),
    };
    return cmocka_run_group_tests_name("clock laws", tests, NULL, NULL);
}
