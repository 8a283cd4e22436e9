/* What a file holds, or a server has acknowledged, is on the server, once and as a whole, or was discarded by a person. */
#include "tests/sim/sim.h"

/* The files that bring what they have: a revoked device's does not. */
static unsigned bringing(const sim *s) {
    unsigned files = 0;
    for (unsigned i = 0; i < s->ndevices; i++) files |= s->device[i].barred ? 0 : 1u << i;
    return files;
}

/* A large transaction is there as a whole, and what was appended is never changed (M12). */
static void check_rows(sim *s, const uint8_t there[SIM_TXNS / 8]) {
    int64_t all = 0;
    for (unsigned n = 0; n < s->ntxn; n++) {
        unsigned rows = history_in(there, n) ? s->txn[n].rows : 0;
        int64_t first = (n + 1) * INT64_C(100000);
        all += rows;
        if (rows && sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id BETWEEN %" PRId64 " AND %" PRId64, first,
                            first + 99999) != rows)
            sim_fail(s, "transaction t%u is not there as a whole", n);
    }
    if (sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id>=100000") != all)
        sim_fail(s, "rows were appended by transactions that are not there");
}

void check_once(sim *s) {
    static const char twice[] = "SELECT hex(id) id, group_concat(author||':'||number||'@'||seq, ' ') taken_as FROM satchel_result"
                                " WHERE rc=0 GROUP BY id HAVING count(DISTINCT seq)>1";
    if (sim_ask(s, store_db(s->store), "SELECT count(*) FROM (%s)", twice) == 0) return;
    sim_list(s, store_db(s->store), twice);
    sim_fail(s, "a transaction was taken twice");
}

/* What an admin has discarded, as far as the server knows: one that was put back to before that leaves it to the device, whose refusal is open again. Of a file that
 * has a copy, that one's may be. */
static bool is_settled(const sim *s, const sim_txn *t) {
    if (t->given || !t->admin.ever) return false;
    return t->admin.stands == SETTLED_DISCARDED || s->device[t->author].copied || s->device[t->author].doubtful;
}

/* An admin's word is the last one, but for what a copy of a file brings, or a server that was put back takes anew. */
static void check_discarded(sim *s, unsigned n, bool there) {
    const sim_txn *t = &s->txn[n];
    if (!there || t->admin.stands != SETTLED_DISCARDED || s->restored) return;
    if (!s->device[t->author].copied && !s->device[t->author].doubtful)
        sim_fail(s, "transaction t%u was discarded by an admin, and is on the server", n);
}

void check_transactions(sim *s) {
    check_once(s);
    unsigned files = bringing(s);
    uint8_t store_has[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), store_has);
    for (unsigned n = 0; n < s->ntxn; n++) {
        const sim_txn *t = &s->txn[n];
        check_discarded(s, n, history_in(store_has, n));
        if (!history_in(store_has, n) && (t->holders & files || t->given) && !is_settled(s, t))
            sim_fail(s, "transaction t%u (author %u, number %" PRIu64 ", files %x%s) is not on the server", n, t->author, t->at,
                     t->holders, t->given ? ", given" : "");
    }
    check_rows(s, store_has);
    s->figures.conflicts = (uint64_t)sim_ask(s, store_db(s->store), "SELECT count(*) FROM satchel_conflict");
}
