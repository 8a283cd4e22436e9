/* Who is before whom: the stamp that a device gives a transaction, and what the server makes of it (M17, merge.md).
 *
 * Not claimed: what was retried, which is stamped anew, or may have been: a discard of it failed, and nobody follows it from then on; and what a server that was put
 * back was given again, which has the effective stamp of before. */
#include "protocol/limits.h"
#include "tests/sim/sim.h"

#define STAMP_BITS 16 /* of its counter, below the milliseconds */
#define LATEST_MS ((UINT64_C(1) << 46) - 1)

static uint64_t first_of(uint64_t ms) {
    return (ms < LATEST_MS ? ms : LATEST_MS) << STAMP_BITS;
}

/* Not before the device's clock, and above all that it gave before. */
void check_stamp(sim *s, sim_txn *t) {
    sim_device *d = &s->device[t->author];
    t->stamp = (uint64_t)sim_ask(s, satchel_db(d->s), "SELECT stamp FROM satchel_outbox WHERE n=%" PRIu64, t->at);
    if (t->stamp < first_of(sim_clock_ms(s, &d->clock)))
        sim_fail(s, "device %u: transaction %" PRIu64 " has the stamp %" PRIx64 ", which is before its clock", t->author, t->at,
                 t->stamp);
    if (sim_ask(s, satchel_db(d->s), "SELECT count(*) FROM satchel_outbox WHERE n<%" PRIu64 " AND stamp>=%" PRIu64, t->at,
                t->stamp))
        sim_fail(s, "device %u: transaction %" PRIu64 " has a stamp that is not above those before it", t->author, t->at);
}

/* When the server made a commit, by its own clock; 0: its log is gone. */
static uint64_t made_at(sim *s, uint64_t seq) {
    int64_t at = sim_ask(s, store_db(s->store), "SELECT at_ms FROM satchel_log WHERE id>>24=%" PRIu64 " LIMIT 1", seq);
    return at > 0 ? (uint64_t)at : 0;
}

/* What the rule makes of a stamp: it counts, but for one that lies too far ahead of the server's clock, and above the one of its author before. */
static bool is_right(sim *s, const sim_txn *t, const model_clock *is, uint64_t before) {
    uint64_t made = made_at(s, is->seq), limit = first_of(made + LIMIT_CLOCK_AHEAD_MS);
    uint64_t counts = made && t->stamp > limit ? limit : t->stamp;
    return is->stamp == (counts > before ? counts : before + 1) || (!made && is->stamp < t->stamp);
}

/* `taken` in the order of their commits. */
void check_stamps(sim *s, const sim_txn *const *taken, const model_clock *clock, unsigned n) {
    if (s->restored) return;
    for (unsigned i = 0; i < n; i++) {
        const sim_txn *t = taken[i];
        uint64_t before = 0;
        if (t->author == SIM_SERVER || !t->stamp || !t->facts || t->facts->next || t->given_up) continue;
        for (unsigned k = 0; k < i; k++)
            if (clock[k].author == clock[i].author) before = clock[k].stamp;
        if (!is_right(s, t, &clock[i], before))
            sim_fail(s, "commit %" PRIu64 ": author %u gave the stamp %" PRIx64 ", and it has %" PRIx64, clock[i].seq,
                     clock[i].author, t->stamp, clock[i].stamp);
    }
}
