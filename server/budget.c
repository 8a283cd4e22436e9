#include "server/budget.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/value.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define FIRST_PLACES 64u

void budgets_init(budgets *b, const budget_rate rate[BUDGET_KINDS]) {
    *b = (budgets){0};
    memcpy(b->rate, rate, sizeof b->rate);
}

static void free_chain(budget *e) {
    while (e) {
        budget *next = e->next;
        free(e);
        e = next;
    }
}

void budgets_fini(budgets *b) {
    for (size_t i = 0; i < b->places; i++) free_chain(b->table[i]);
    free(b->table);
    free(b->others);
    *b = (budgets){0};
}

/* ---- the table ---- */

static budget **place_of(const budgets *b, const uint8_t name[BUDGET_NAME_BYTES]) {
    return &b->table[value_hash(name, BUDGET_NAME_BYTES, 0) & (b->places - 1)];
}

static bool is_idle(const budget *e, uint64_t now_ms) {
    if (e->open) return false;
    for (unsigned k = 0; k < BUDGET_KINDS; k++)
        if (e->full_ns[k] > now_ms * NS_PER_MS) return false;
    return true;
}

static void sweep(budgets *b, uint64_t now_ms) {
    for (size_t i = 0; i < b->places; i++) {
        for (budget **at = &b->table[i], *e; (e = *at);) {
            if (!is_idle(e, now_ms)) {
                at = &e->next;
                continue;
            }
            *at = e->next;
            free(e);
            b->n--;
        }
    }
}

static bool grow(budgets *b) {
    size_t before = b->places, places = before ? before * 2 : FIRST_PLACES;
    budget **old = b->table, **table = calloc(places, sizeof *table);
    if (!table) return false;
    b->table = table;
    b->places = places;
    for (size_t i = 0; i < before; i++) {
        for (budget *e = old[i], *next; e; e = next) {
            next = e->next;
            budget **at = place_of(b, e->name);
            e->next = *at;
            *at = e;
        }
    }
    free(old);
    return true;
}

/* Room for one more. What is idle goes first; the next sweep comes when the table has doubled, so that it costs each newcomer little. */
static bool make_room(budgets *b, uint64_t now_ms) {
    if (b->n >= b->sweep_at) {
        sweep(b, now_ms);
        b->sweep_at = b->n * 2 < FIRST_PLACES ? FIRST_PLACES : b->n * 2;
        if (b->sweep_at > BUDGETS_MOST) b->sweep_at = BUDGETS_MOST;
    }
    return b->n < BUDGETS_MOST && (b->n < b->places || grow(b));
}

static budget *open_shared(budgets *b) {
    if (!b->others) b->others = calloc(1, sizeof *b->others);
    if (b->others) b->others->open++;
    return b->others;
}

budget *budgets_open(budgets *b, const void *name, size_t n, uint64_t now_ms) {
    uint8_t whole[BUDGET_NAME_BYTES] = {0};
    memcpy(whole, name, n < sizeof whole ? n : sizeof whole);
    for (budget *e = b->places ? *place_of(b, whole) : NULL; e; e = e->next) {
        if (memcmp(e->name, whole, sizeof whole)) continue;
        e->open++;
        return e;
    }
    if (!make_room(b, now_ms)) return open_shared(b);
    budget *e = calloc(1, sizeof *e), **at = place_of(b, whole);
    if (!e) return NULL;
    memcpy(e->name, whole, sizeof whole);
    e->open = 1;
    e->next = *at;
    *at = e;
    b->n++;
    return e;
}

void budgets_close(budgets *b, budget *e) {
    (void)b; /* it goes with the next sweep */
    if (e) e->open--;
}

/* ---- buckets ---- */

static uint64_t cost_ns(const budget_rate *r, uint64_t amount) {
    return r->per_minute ? amount * (60 * NS_PER_S) / r->per_minute : 0;
}

static uint64_t wait_ms(const budget_rate *r, uint64_t full_ns, uint64_t now_ms) {
    uint64_t allowed_ns = now_ms * NS_PER_MS + r->burst_s * NS_PER_S;
    return full_ns > allowed_ns ? (full_ns - allowed_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

static uint64_t charged(const budgets *b, const budget *e, budget_kind kind, uint64_t amount, uint64_t now_ms) {
    uint64_t now_ns = now_ms * NS_PER_MS;
    return (e->full_ns[kind] > now_ns ? e->full_ns[kind] : now_ns) + cost_ns(&b->rate[kind], amount);
}

uint64_t budget_ask(const budgets *b, budget *e, budget_kind kind, uint64_t amount, uint64_t now_ms) {
    uint64_t full_ns = charged(b, e, kind, amount, now_ms), wait = wait_ms(&b->rate[kind], full_ns, now_ms);
    if (!wait) e->full_ns[kind] = full_ns;
    return wait;
}

void budget_spend(const budgets *b, budget *e, budget_kind kind, uint64_t amount, uint64_t now_ms) {
    e->full_ns[kind] = charged(b, e, kind, amount, now_ms);
}

uint64_t budget_wait(const budgets *b, const budget *e, budget_kind kind, uint64_t now_ms) {
    return wait_ms(&b->rate[kind], e->full_ns[kind], now_ms);
}

void budget_return(const budgets *b, budget *e, budget_kind kind, uint64_t amount) {
    uint64_t cost = cost_ns(&b->rate[kind], amount);
    e->full_ns[kind] -= cost < e->full_ns[kind] ? cost : e->full_ns[kind];
}

size_t budgets_most_limited(const budgets *b, const budget **out, size_t n) {
    size_t found = 0;
    for (size_t i = 0; i < b->places; i++) {
        for (const budget *e = b->table[i]; e; e = e->next) {
            if (!e->limited || (found == n && e->limited <= out[n - 1]->limited)) continue;
            size_t at = found < n ? found++ : n - 1;
            for (; at && out[at - 1]->limited < e->limited; at--) out[at] = out[at - 1];
            out[at] = e;
        }
    }
    return found;
}

bool budget_limited(budgets *b, budget *e, uint64_t now_ms) {
    b->limited++;
    if (e->limited++ && now_ms < e->told_ms + BUDGET_TELL_MS) return false;
    e->told_ms = now_ms;
    return true;
}
