/* What a file holds, or a server has acknowledged, is on the server, once. */
#include "tests/sim/sim.h"

void check_transactions(sim *s) {
    uint8_t store_has[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), store_has);
    for (unsigned n = 0; n < s->ntxn; n++) {
        const sim_txn *t = &s->txn[n];
        if (!history_in(store_has, n) && (t->holders || t->given))
            sim_fail(s, "transaction t%u (author %u, number %" PRIu64 ", files %x%s) is not on the server", n, t->author, t->at,
                     t->holders, t->given ? ", given" : "");
    }
    s->figures.conflicts = (uint64_t)sim_ask(s, store_db(s->store), "SELECT count(*) FROM satchel_conflict");
}
