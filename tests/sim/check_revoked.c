/* A device that is revoked or to be wiped: the server keeps what it had taken, takes and gives nothing more, and the device's file keeps what was not
 * delivered until it is erased. */
#include "protocol/message.h"
#include "tests/sim/sim.h"

/* What its author committed when the server would not listen any more. What an admin has settled of it was refused before. */
static bool is_cut_off(const sim *s, const sim_txn *t) {
    if (t->author == SIM_SERVER || t->admin.ever || !s->device[t->author].barred) return false;
    return t->cut_off || (unsigned)(t - s->txn) >= s->device[t->author].barred_at;
}

static void check_file(sim *s, unsigned i) {
    sqlite3 *db = satchel_db(s->device[i].s);
    uint8_t there[SIM_TXNS / 8];
    if (sim_ask(s, db, "SELECT count(*) FROM sqlite_schema WHERE name='ev'") <= 0) return;
    history_witnesses(s, db, there);
    for (unsigned n = 0; n < s->ntxn; n++) {
        const sim_txn *t = &s->txn[n];
        if (!(t->holders >> i & 1) || !is_cut_off(s, t)) continue;
        if (!history_in(there, n)) sim_fail(s, "device %u is revoked, and shows no longer t%u, which it could not deliver", i, n);
        if (sim_ask(s, db, "SELECT count(*) FROM satchel_outbox WHERE n=%" PRIu64, t->number[i]) != 1)
            sim_fail(s, "device %u is revoked, and keeps no longer t%u, which it could not deliver", i, n);
    }
}

/* A server that was put back may have forgotten it; who had answered when the order was repeated answers no more. */
static void check_told(sim *s, unsigned i) {
    int64_t state = sim_ask(s, store_db(s->store), "SELECT state FROM satchel_device WHERE name='d%u'", s->device[i].key);
    if (state != DEVICE_WIPED && !s->restored && !s->device[i].answered)
        sim_fail(s, "device %u has erased itself, and the server does not know", i);
}

void check_revoked(sim *s) {
    uint8_t there[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), there);
    for (unsigned n = 0; n < s->ntxn; n++)
        if (is_cut_off(s, &s->txn[n]) && history_in(there, n))
            sim_fail(s, "the server has t%u of device %u, which was revoked before", n, s->txn[n].author);
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].barred && s->device[i].s) check_file(s, i);
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].wiped) check_told(s, i);
}

void check_revoked_frame(sim *s, const connection *c, const void *bytes, size_t n) {
    const sim_device *d = &s->device[c->device];
    buf m;
    if (!d->barred || c->began <= d->barred_since) return;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    disk_look(true); /* it has memory, whatever the server lacks */
    if (frame_unpack(bytes, n, &m) || message_peek(m.p, m.n) != MSG_ERROR)
        sim_fail(s, "device %u, which is locked out, is given more than an answer", c->device);
    buf_fini(&m);
    disk_look(false);
}
