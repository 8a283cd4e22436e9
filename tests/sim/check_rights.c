/* What a device may not write is not on the server: a column that is masked from it, and a line of an item that it held at no time between the base of its
 * transaction and the commit.
 *
 * Not claimed of what was retried, as the retry may have another base; once the server was put back; and of a line that may have been deleted by then, as an
 * insert that loses against that changes nothing. */
#include "tests/sim/sim.h"

#define COLUMN_F 6u /* at its place in MODEL */

static bool did(const sim_txn *t, fact_op op, const model_value *key, uint64_t base) {
    const facts *f = t->facts;
    for (unsigned k = 0; f && !f->next && f->base >= base && k < f->n; k++)
        if (f->fact[k].op == op && f->fact[k].table == MODEL_LINE && !strcmp(f->fact[k].key.text, key->text)) return true;
    return false;
}

/* Whether it may have been deleted by then: nobody who knew of its deletion has made it anew. */
static bool may_be_deleted(const sim *s, const uint64_t seq[SIM_TXNS], const model_value *key, uint64_t before) {
    uint64_t deleted = 0;
    bool again = false;
    for (unsigned n = 0; n < s->ntxn; n++)
        if (seq[n] > deleted && seq[n] < before && did(&s->txn[n], FACT_DELETE, key, 0)) deleted = seq[n];
    for (unsigned n = 0; n < s->ntxn && deleted; n++)
        again = again || (seq[n] > deleted && seq[n] < before && did(&s->txn[n], FACT_INSERT, key, deleted));
    return deleted && !again;
}

static void check_fact(sim *s, const uint64_t seq[SIM_TXNS], unsigned n, const facts *f, const fact *one) {
    unsigned i = f->device;
    if (one->table == MODEL_ITEM && one->op != FACT_DELETE && one->changed >> COLUMN_F & 1 &&
        strcmp(one->now[COLUMN_F].text, "NULL") != 0)
        sim_fail(s, "t%u of device %u, commit %" PRIu64 ", changes column f of item %s, which is masked from it", n, i, seq[n],
                 one->key.text);
    unsigned row = (unsigned)strtoul(one->key.text, NULL, 10);
    if (one->table != MODEL_LINE || row >= SIM_ROWS || s->restored) return;
    if (check_scope_held_between(s, i, row, f->base, seq[n]) || may_be_deleted(s, seq, &one->key, seq[n])) return;
    sim_fail(s,
             "t%u of device %u, commit %" PRIu64 " with base %" PRIu64 ", writes line %u, whose item it held at no time between",
             n, i, seq[n], f->base, row);
}

void check_rights(sim *s, const uint64_t seq[SIM_TXNS]) {
    for (unsigned n = 0; n < s->ntxn; n++) {
        const facts *f = s->txn[n].facts;
        if (!seq[n] || !f || f->next || f->device == SIM_SERVER || !scope_has_profile(s, f->device)) continue;
        for (unsigned k = 0; k < f->n; k++) check_fact(s, seq, n, f, &f->fact[k]);
    }
}
