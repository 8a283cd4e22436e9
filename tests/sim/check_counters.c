/* A counter is the sum of what was added to it, each addition once. */
#include "tests/sim/sim.h"

/* For whoever has to find out: each addition, and whether its transaction is on the server. */
static void explain(sim *s, unsigned row) {
    for (unsigned n = 0; n < s->ntxn; n++) {
        const sim_txn *t = &s->txn[n];
        int64_t there = sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", n);
        for (unsigned i = 0; i < t->nop; i++)
            if (t->op[i].kind == OP_ADD && t->op[i].row == row)
                sim_say(s, "t%u of %u, number %" PRIu64 ": %+d, %s", n, t->author, t->at, t->op[i].add,
                        there ? "there" : "not there");
    }
}

void check_counters(sim *s) {
    int64_t sum[SIM_ROWS] = {0};
    uint8_t there[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), there);
    for (unsigned n = 0; n < s->ntxn; n++) {
        const sim_txn *t = &s->txn[n];
        if (!history_in(there, n)) continue;
        for (unsigned i = 0; i < t->nop; i++)
            if (t->op[i].kind == OP_ADD) sum[t->op[i].row] += t->op[i].add;
    }
    for (unsigned row = 0; row < SIM_ROWS; row++) {
        int64_t n = sim_ask(s, store_db(s->store), "SELECT n FROM item WHERE id='i%u'", row);
        if (n != sum[row]) explain(s, row);
        if (n != sum[row]) sim_fail(s, "the counter of i%u is %" PRId64 ", was counted %" PRId64, row, n, sum[row]);
    }
}
