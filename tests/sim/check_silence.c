/* A value that is gone was written over by somebody who had seen it, or is in the conflict log; and who lost it has been told. */
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

static bool may_know(const sim_txn *t, const uint8_t set[SIM_TXNS / 8]) {
    if (t->given_up) return true;
    for (unsigned i = 0; i < SIM_TXNS / 8; i++)
        if (t->known[i] & set[i]) return true;
    return false;
}

/* It took the place of others in a life of the server that was lost, and the log of that conflict with it. Now it is parked as refused, since it may have been forgotten. */
static bool stood_once(const sim *s, const uint8_t *present, unsigned n) {
    return history_in(s->stood, n) && !history_in(present, n);
}

/* By who had seen it, or what took its place in a life of the server that was lost. One that was retried knows of later ones. */
static bool is_overwritten(sim *s, const uint8_t *present, unsigned n, unsigned row) {
    uint8_t gone[SIM_TXNS / 8] = {0};
    gone[n / 8] |= (uint8_t)(1u << n % 8);
    bool more;
    do {
        more = false;
        for (unsigned k = 0; k < s->ntxn; k++) {
            if (history_in(gone, k) || !sets(&s->txn[k], row)) continue;
            if (!may_know(&s->txn[k], gone) && !stood_once(s, present, k)) continue;
            if (history_in(present, k)) return true;
            gone[k / 8] |= (uint8_t)(1u << k % 8);
            more = true;
        }
    } while (more);
    return false;
}

/* A device has the losses of all its incarnations, and no others. */
static void check_told(sim *s, unsigned i) {
    sqlite3 *db = satchel_db(s->device[i].s), *central = store_db(s->store);
    static const char of_device[] =
        "FROM satchel_conflict JOIN satchel_author ON author=lost_author JOIN satchel_device d ON d.id=device WHERE d.name='d%u'";
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) %s", of_device);
    int64_t lost = sim_ask(s, central, sql, s->device[i].key), told = sim_ask(s, db, "SELECT count(*) FROM satchel_conflicts");
    snprintf(sql, sizeof sql, "SELECT total(satchel_conflict.id*31+seq) %s", of_device);
    int64_t sum = sim_ask(s, central, sql, s->device[i].key);
    if (lost != told || sum != sim_ask(s, db, "SELECT total(id*31+seq) FROM satchel_conflicts"))
        sim_fail(s, "device %u lost %" PRId64 " values, and was told of %" PRId64, i, lost, told);
}

void check_silence(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].s && !s->device[i].barred && !s->device[i].revoked) check_told(s, i);
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
