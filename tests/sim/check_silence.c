/* A value that is gone was written over by somebody who had seen it, or is in the conflict log. */
#include "tests/sim/sim.h"

static bool sets(const sim_txn *t, unsigned row) {
    for (unsigned i = 0; i < t->nop; i++)
        if (t->op[i].kind == OP_VALUE && t->op[i].row == row) return true;
    return false;
}

static bool is_logged(sim *s, unsigned n) {
    char text[16];
    int length = snprintf(text, sizeof text, "a%u", n);
    /* A stored text is its type, its length and its bytes. */
    return sim_ask(s, store_db(s->store),
                   "SELECT count(*) FROM satchel_conflict WHERE length(lost)=%d AND substr(lost,3)=CAST('%s' AS BLOB)",
                   length + 2, text) > 0;
}

static bool is_overwritten(sim *s, const uint8_t *present, unsigned n, unsigned row) {
    for (unsigned k = 0; k < s->ntxn; k++)
        if (k != n && history_in(present, k) && sets(&s->txn[k], row) && s->txn[k].known[n / 8] >> n % 8 & 1) return true;
    return false;
}

void check_silence(sim *s) {
    uint8_t present[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), present);
    for (unsigned n = 0; n < s->ntxn; n++) {
        for (unsigned row = 0; history_in(present, n) && row < SIM_ROWS; row++) {
            if (!sets(&s->txn[n], row)) continue;
            bool stands = sim_ask(s, store_db(s->store), "SELECT a='a%u' FROM item WHERE id='i%u'", n, row) == 1;
            if (!stands && !is_overwritten(s, present, n, row) && !is_logged(s, n))
                sim_fail(s, "value a%u of i%u was lost in silence", n, row);
        }
    }
}
