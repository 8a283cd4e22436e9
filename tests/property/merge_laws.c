/* Laws of the merge rules on random writes, and random histories of a field judged by a second, simpler statement of the rules.
 *
 * A value is a small number or NULL. In a history three devices with clocks of their own, and the server, write one field,
 * push and pull in any order; the server merges with merge_field. The model knows the history only. */
#include <string.h>

#include "protocol/hlc.h"
#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "tests/property/seeds.h"

#define NOW UINT64_C(1795341600000)
#define VALUES 4
#define NONE (-1) /* NULL */

static value to_value(int v) {
    return v == NONE ? value_null() : value_integer(v);
}

static int random_small(seed *s) {
    return (int)seed_below(s, VALUES + 1) - 1;
}

/* ---- lww, group, max, min as functions of two states ---- */

/* A unit of two columns (the second counts for groups only) with its clock. */
typedef struct unit {
    value v[2];
    field_clock clock;
} unit;

static merge_facts facts_of(merge_rule rule, const unit *stored, const unit *incoming, uint64_t base) {
    bool group = rule == RULE_GROUP;
    return (merge_facts){
        .rule = rule,
        .stored = stored->clock,
        .incoming = incoming->clock,
        .base = base,
        .equal = value_equal(&stored->v[0], &incoming->v[0]) && (!group || value_equal(&stored->v[1], &incoming->v[1])),
        .compare = value_compare(&incoming->v[0], &stored->v[0]),
        .stored_null = stored->v[0].type == VALUE_NULL,
        .incoming_null = incoming->v[0].type == VALUE_NULL,
    };
}

static unit join(seed *s, merge_rule rule, unit stored, unit incoming) {
    /* What the author knew decides logging only: any base will do. */
    merge_facts f = facts_of(rule, &stored, &incoming, seed_below(s, 10));
    merge_verdict v = merge_field(&f);
    seed_check(s, v.action == MERGE_TAKE || v.action == MERGE_KEEP);
    return v.action == MERGE_TAKE ? incoming : stored;
}

static bool same_unit(const unit *a, const unit *b) {
    return value_equal(&a->v[0], &b->v[0]) && value_equal(&a->v[1], &b->v[1]) && clock_compare(&a->clock, &b->clock) == 0;
}

static value random_value(seed *s) {
    static const char letters[] = "ab";
    switch (seed_below(s, 5)) {
    case 0:
        return value_null();
    case 1:
        return value_text(letters, seed_below(s, 3));
    case 2:
        return value_real(seed_below(s, 6) / 2.0);
    default:
        return value_integer(seed_below(s, 3));
    }
}

/* Distinct in (stamp, author), as effective stamps make them (M17); close enough to tie in one of the two. */
static void random_units(seed *s, unit u[3]) {
    for (unsigned i = 0; i < 3; i++) {
        u[i].v[0] = random_value(s);
        u[i].v[1] = random_value(s);
        bool taken = true;
        while (taken) {
            u[i].clock = (field_clock){.stamp = 1 + seed_below(s, 3), .author = seed_below(s, 3), .seq = seed_below(s, 10)};
            taken = false;
            for (unsigned k = 0; k < i; k++) taken = taken || clock_compare(&u[k].clock, &u[i].clock) == 0;
        }
    }
}

static void check_state_laws(seed *s) {
    static const merge_rule rules[] = {RULE_LWW, RULE_GROUP, RULE_MAX, RULE_MIN};
    unit u[3];
    random_units(s, u);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        if (rules[r] != RULE_GROUP) u[0].v[1] = u[1].v[1] = u[2].v[1] = value_null();
        unit ab = join(s, rules[r], u[0], u[1]), ba = join(s, rules[r], u[1], u[0]), bc = join(s, rules[r], u[1], u[2]);
        unit left = join(s, rules[r], ab, u[2]), right = join(s, rules[r], u[0], bc);
        unit itself = join(s, rules[r], u[0], u[0]), again = join(s, rules[r], left, u[seed_below(s, 3)]);
        seed_check(s, same_unit(&ab, &ba));
        seed_check(s, same_unit(&left, &right));
        seed_check(s, same_unit(&itself, &u[0]));
        seed_check(s, same_unit(&again, &left));
    }
}

/* All six orders, one after the other into one field, end alike. */
static void check_any_order(seed *s) {
    static const merge_rule rules[] = {RULE_GROUP, RULE_LWW, RULE_MAX, RULE_MIN};
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    unit u[3], end[6];
    random_units(s, u);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        if (rules[r] != RULE_GROUP) u[0].v[1] = u[1].v[1] = u[2].v[1] = value_null();
        for (size_t o = 0; o < 6; o++) {
            end[o] = u[orders[o][0]];
            for (unsigned i = 1; i < 3; i++) end[o] = join(s, rules[r], end[o], u[orders[o][i]]);
            seed_check(s, same_unit(&end[o], &end[0]));
        }
    }
}

/* ---- counter ---- */

static void check_counter_order(seed *s) {
    enum { DELTAS = 12 };
    value delta[DELTAS], sum = value_null();
    int64_t expected = 0;
    for (unsigned i = 0; i < DELTAS; i++) {
        value old_value = value_integer((int64_t)(seed_spread(s) >> 8)),
              new_value = value_integer((int64_t)(seed_spread(s) >> 8));
        seed_check(s, merge_subtract(&new_value, &old_value, &delta[i]) == SATCHEL_OK);
        expected += new_value.u.i - old_value.u.i;
    }
    for (unsigned i = DELTAS; i > 1; i--) {
        unsigned k = seed_below(s, i);
        value swap = delta[i - 1];
        delta[i - 1] = delta[k];
        delta[k] = swap;
    }
    for (unsigned i = 0; i < DELTAS; i++) {
        merge_facts f = {
            .rule = RULE_COUNTER, .base = seed_next(s), .equal = seed_chance(s, 50), .compare = (int)seed_below(s, 3) - 1};
        merge_verdict v = merge_field(&f);
        seed_check(s, v.action == MERGE_ADD && !v.conflict);
        seed_check(s, merge_add(&sum, &delta[i], &sum) == SATCHEL_OK);
    }
    seed_check(s, sum.type == VALUE_INTEGER && sum.u.i == expected);
}

/* ---- one verdict: logged if and only if something was lost ---- */

static void check_logged_iff_lost(seed *s) {
    unit u[3];
    random_units(s, u);
    merge_facts f = facts_of((merge_rule)seed_below(s, RULE_STRICT + 1), &u[0], &u[1], seed_below(s, 10));
    f.from_server = seed_chance(s, 20);
    if (f.from_server) f.incoming.author = 0;
    f.seen_allowed = seed_chance(s, 50);
    f.seen_is_stored = seed_chance(s, 50);
    f.stored_allowed = seed_chance(s, 50);
    bool known = merge_is_known(&f.stored, &f.incoming, f.base);
    bool tie = f.equal || (f.compare == 0 && (f.rule == RULE_MAX || f.rule == RULE_MIN || f.rule == RULE_STRICT));
    merge_verdict v = merge_field(&f);
    if (tie) seed_check(s, !v.conflict && v.action != MERGE_COPY_STORED && v.action != MERGE_COPY_INCOMING);
    if (v.action == MERGE_KEEP) seed_check(s, v.conflict == !tie);
    if (v.action == MERGE_COPY_STORED || v.action == MERGE_COPY_INCOMING) seed_check(s, v.conflict && !known);
    if (v.action == MERGE_TAKE && v.conflict) seed_check(s, !known || f.rule == RULE_GUARD);
    if (v.action == MERGE_TAKE && !v.conflict && !tie)
        seed_check(s, known || f.stored_null || (f.rule == RULE_GUARD && f.seen_is_stored));
    seed_check(s, (v.action == MERGE_REFUSE) == (v.rc != SATCHEL_OK));
}

/* ---- histories ---- */

/* One write, as its device made it and as the server took it in. */
typedef struct entry {
    int v, seen;
    uint32_t author;
    uint64_t raw, base, stamp, seq;
} entry;

#define ENTRIES 120
#define DEVICES 3
#define NOTHING ENTRIES

typedef struct device {
    int64_t skew_ms;
    uint64_t last, last_effective, cursor;
    int shown; /* confirmed value plus overlay */
    unsigned n, sent;
    entry queue[ENTRIES];
} device;

typedef struct world {
    merge_rule rule;
    bool allowed[VALUES + 1][VALUES + 1]; /* guard: [from + 1][to + 1] */
    uint64_t now_ms, high;
    device device[DEVICES];
    unsigned n; /* entry i has seq i + 1; entry 0 is the row's insert by the server */
    entry entry[ENTRIES];
    unsigned holder;          /* entry whose value the field holds, by merge_field */
    field_clock clock;        /* of the field */
    unsigned expected_holder; /* the same by the model */
    unsigned logged[ENTRIES]; /* times that an entry's value went to the log as lost */
    unsigned copied[ENTRIES];
} world;

/* What the model says of a write that meets the holder. */
typedef struct outcome {
    bool wins, refused;
    unsigned lost; /* entry to be logged, or NOTHING */
} outcome;

static bool entry_later(const entry *a, const entry *b) {
    return a->stamp > b->stamp || (a->stamp == b->stamp && a->author > b->author);
}

static bool entry_knew(const entry *a, const entry *b) {
    return b->seq <= a->base || b->author == a->author;
}

/* lww, max, min: which of any two entries the field prefers. A strict order, so the best of a history needs no fold. */
static bool better(merge_rule rule, const entry *a, const entry *b) {
    if (rule != RULE_LWW && a->v != b->v) {
        if (a->v == NONE || b->v == NONE) return b->v == NONE;
        return rule == RULE_MAX ? a->v > b->v : a->v < b->v;
    }
    return entry_later(a, b);
}

static unsigned best(const world *w, unsigned n) {
    unsigned b = 0;
    for (unsigned i = 1; i < n; i++)
        if (better(w->rule, &w->entry[i], &w->entry[b])) b = i;
    return b;
}

static outcome expect_of_order(const world *w, unsigned incoming, unsigned stored) {
    const entry *in = &w->entry[incoming], *st = &w->entry[stored];
    outcome o = {.wins = best(w, incoming + 1) == incoming, .lost = NOTHING};
    if (in->v == st->v) return o;
    if (!o.wins)
        o.lost = incoming;
    else if (!entry_knew(in, st) && (w->rule == RULE_LWW || st->v != NONE))
        o.lost = stored;
    return o;
}

static outcome expect_guard(const world *w, unsigned incoming, unsigned stored) {
    const entry *in = &w->entry[incoming], *st = &w->entry[stored];
    if (st->v == NONE || in->author == 0) return (outcome){.wins = true, .lost = NOTHING};
    if (!w->allowed[in->seen + 1][in->v + 1]) return (outcome){.refused = true, .lost = NOTHING};
    if (in->seen == st->v) return (outcome){.wins = true, .lost = NOTHING};
    if (w->allowed[st->v + 1][in->v + 1]) return (outcome){.wins = true, .lost = stored};
    return (outcome){.lost = incoming};
}

/* keep, strict: who knew may do as he likes; else the rule decides, and the other is lost. */
static outcome expect_of_knowledge(const world *w, unsigned incoming, unsigned stored) {
    const entry *in = &w->entry[incoming], *st = &w->entry[stored];
    if (entry_knew(in, st)) return (outcome){.wins = true, .lost = NOTHING};
    bool wins = w->rule == RULE_KEEP ? entry_later(in, st) : in->v < st->v;
    return (outcome){.wins = wins, .lost = wins ? stored : incoming};
}

static outcome expect(const world *w, unsigned incoming, unsigned stored) {
    const entry *in = &w->entry[incoming], *st = &w->entry[stored];
    bool same = in->v == st->v;
    switch (w->rule) {
    case RULE_FIRST:
        if (same) return (outcome){.lost = NOTHING};
        return (outcome){.wins = st->v == NONE, .lost = st->v == NONE ? NOTHING : incoming};
    case RULE_SERVER:
        return (outcome){.wins = in->author == 0, .refused = in->author != 0 && !same, .lost = NOTHING};
    case RULE_STRICT:
        if (same) return (outcome){.wins = true, .lost = NOTHING};
        return expect_of_knowledge(w, incoming, stored);
    case RULE_KEEP:
    case RULE_GUARD:
        if (same) return (outcome){.wins = entry_later(in, st), .lost = NOTHING};
        return w->rule == RULE_KEEP ? expect_of_knowledge(w, incoming, stored) : expect_guard(w, incoming, stored);
    default:
        return expect_of_order(w, incoming, stored);
    }
}

static merge_verdict judge(const world *w, const entry *in) {
    const entry *st = &w->entry[w->holder];
    unit stored = {.v = {to_value(st->v), value_null()}, .clock = w->clock};
    unit incoming = {.v = {to_value(in->v), value_null()}, .clock = {.stamp = in->stamp, .author = in->author, .seq = in->seq}};
    merge_facts f = facts_of(w->rule, &stored, &incoming, in->base);
    f.from_server = in->author == 0;
    f.seen_allowed = w->allowed[in->seen + 1][in->v + 1];
    f.seen_is_stored = in->seen == st->v;
    f.stored_allowed = w->allowed[st->v + 1][in->v + 1];
    return merge_field(&f);
}

static void perform(world *w, unsigned incoming, merge_verdict v) {
    bool wins = v.action == MERGE_TAKE || v.action == MERGE_COPY_STORED;
    unsigned loser = wins ? w->holder : incoming;
    if (v.conflict) w->logged[loser]++;
    if (v.action == MERGE_COPY_STORED || v.action == MERGE_COPY_INCOMING) w->copied[loser]++;
    if (!wins) return;
    const entry *in = &w->entry[incoming];
    w->holder = incoming;
    w->clock = (field_clock){.stamp = in->stamp, .author = in->author, .seq = in->seq};
}

/* Takes one write in, and holds what merge_field does to it against the model. */
static void ingest(seed *s, world *w, entry e, uint64_t *last_effective) {
    int clamped;
    e.seq = w->n + 1;
    e.stamp = hlc_effective(e.raw, *last_effective, w->now_ms, &clamped);
    unsigned incoming = w->n, stored = w->expected_holder, logged_before = 0, logged_after = 0;
    w->entry[incoming] = e;
    const entry *st = &w->entry[stored];
    /* M17: the device's clock passes what it receives, so a knowing write is the later one unless it was cut. */
    if (!clamped && entry_knew(&e, st)) seed_check(s, entry_later(&e, st));

    outcome o = expect(w, incoming, stored);
    merge_verdict v = judge(w, &e);
    seed_check(s, (v.action == MERGE_REFUSE) == o.refused);
    if (o.refused) return;
    for (unsigned i = 0; i < incoming; i++) logged_before += w->logged[i];
    perform(w, incoming, v);
    for (unsigned i = 0; i <= incoming; i++) logged_after += w->logged[i];
    w->expected_holder = o.wins ? incoming : stored;
    seed_check(s, w->holder == w->expected_holder);
    seed_check(s, logged_after - logged_before == (o.lost != NOTHING));
    if (o.lost != NOTHING) seed_check(s, w->logged[o.lost] == 1);
    if (o.lost != NOTHING && w->rule == RULE_KEEP) seed_check(s, w->copied[o.lost] == (w->entry[o.lost].v != NONE));

    *last_effective = e.stamp;
    w->high = hlc_receive(w->high, e.stamp);
    w->n++;
}

static void device_write(seed *s, world *w, unsigned i) {
    device *d = &w->device[i];
    if (d->n == ENTRIES) return;
    d->last = hlc_next(d->last, (uint64_t)((int64_t)w->now_ms + d->skew_ms));
    entry e = {.v = random_small(s), .seen = d->shown, .author = i + 1, .raw = d->last, .base = d->cursor};
    if (e.v == d->shown) return; /* capture sees no change */
    d->shown = e.v;
    d->queue[d->n++] = e;
}

static void device_push(seed *s, world *w, unsigned i) {
    device *d = &w->device[i];
    if (d->sent < d->n) ingest(s, w, d->queue[d->sent++], &d->last_effective);
}

static void device_pull(world *w, unsigned i) {
    device *d = &w->device[i];
    d->cursor = w->n;
    d->last = hlc_receive(d->last, w->high);
    if (d->sent == d->n) d->shown = w->entry[w->holder].v;
}

static void server_write(seed *s, world *w) {
    uint64_t last = w->high;
    entry e = {.v = random_small(s), .seen = w->entry[w->holder].v, .raw = hlc_next(w->high, w->now_ms), .base = w->n};
    ingest(s, w, e, &last);
}

static void world_init(seed *s, world *w, merge_rule rule) {
    static const int64_t day_ms = 24 * 3600 * 1000;
    *w = (world){.rule = rule, .now_ms = NOW, .n = 1};
    w->entry[0] = (entry){.v = random_small(s), .seen = NONE, .stamp = hlc_of_ms(NOW), .seq = 1};
    w->clock = (field_clock){.stamp = w->entry[0].stamp, .seq = 1};
    w->high = w->entry[0].stamp;
    for (unsigned i = 0; i <= VALUES; i++)
        for (unsigned k = 0; k <= VALUES; k++) w->allowed[i][k] = seed_chance(s, 60);
    for (unsigned i = 0; i < DEVICES; i++) {
        if (seed_chance(s, 50)) w->device[i].skew_ms = (int64_t)(seed_next(s) % (uint64_t)(2 * day_ms)) - day_ms;
        device_pull(w, i);
    }
}

static void check_history(seed *s, merge_rule rule) {
    static world w;
    world_init(s, &w, rule);
    while (w.n < 60 && w.now_ms < NOW + 400000) {
        unsigned i = seed_below(s, DEVICES), what = seed_below(s, 100);
        w.now_ms += seed_below(s, 2000);
        if (what < 40)
            device_write(s, &w, i);
        else if (what < 75)
            device_push(s, &w, i);
        else if (what < 95)
            device_pull(&w, i);
        else
            server_write(s, &w);
    }
    for (unsigned i = 0; i < w.n; i++) {
        seed_check(s, w.logged[i] <= 1);
        if (i == w.holder) seed_check(s, w.logged[i] == 0);
    }
}

#define HISTORY(name, rule)                                                                                                      \
    static void check_history_##name(seed *s) {                                                                                  \
        check_history(s, rule);                                                                                                  \
    }
HISTORY(lww, RULE_LWW)
HISTORY(max, RULE_MAX)
HISTORY(min, RULE_MIN)
HISTORY(first, RULE_FIRST)
HISTORY(server, RULE_SERVER)
HISTORY(guard, RULE_GUARD)
HISTORY(keep, RULE_KEEP)
HISTORY(strict, RULE_STRICT)
#undef HISTORY

static void lww_group_max_min_M1_M2_M3_M4_are_commutative_associative_idempotent(void **state) {
    (void)state;
    seed_run(check_state_laws, 20000);
}

static void lww_group_max_min_M1_M2_M3_M4_end_alike_in_any_order(void **state) {
    (void)state;
    seed_run(check_any_order, 20000);
}

static void counter_M5_sum_does_not_depend_on_order(void **state) {
    (void)state;
    seed_run(check_counter_order, 5000);
}

static void verdict_M18_logs_if_and_only_if_a_value_is_lost(void **state) {
    (void)state;
    seed_run(check_logged_iff_lost, 50000);
}

static void history_M1_M16_M17_M18_of_lww_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_lww, 1000);
}

static void history_M3_M18_of_max_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_max, 1000);
}

static void history_M4_M18_of_min_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_min, 1000);
}

static void history_M6_M18_of_first_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_first, 1000);
}

static void history_M7_of_server_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_server, 1000);
}

static void history_M8_M18_of_guard_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_guard, 1000);
}

static void history_M10_M18_of_keep_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_keep, 1000);
}

static void history_M11_M18_of_strict_is_as_the_model_says(void **state) {
    (void)state;
    seed_run(check_history_strict, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lww_group_max_min_M1_M2_M3_M4_are_commutative_associative_idempotent),
        cmocka_unit_test(lww_group_max_min_M1_M2_M3_M4_end_alike_in_any_order),
        cmocka_unit_test(counter_M5_sum_does_not_depend_on_order),
        cmocka_unit_test(verdict_M18_logs_if_and_only_if_a_value_is_lost),
        cmocka_unit_test(history_M1_M16_M17_M18_of_lww_is_as_the_model_says),
        cmocka_unit_test(history_M3_M18_of_max_is_as_the_model_says),
        cmocka_unit_test(history_M4_M18_of_min_is_as_the_model_says),
        cmocka_unit_test(history_M6_M18_of_first_is_as_the_model_says),
        cmocka_unit_test(history_M7_of_server_is_as_the_model_says),
        cmocka_unit_test(history_M8_M18_of_guard_is_as_the_model_says),
        cmocka_unit_test(history_M10_M18_of_keep_is_as_the_model_says),
        cmocka_unit_test(history_M11_M18_of_strict_is_as_the_model_says),
    };
    return cmocka_run_group_tests_name("merge laws", tests, NULL, NULL);
}
