/* What was done: which transactions there are, which files have them, and what their authors had seen. Independent of the code under test. */
#include "tests/sim/sim.h"

sim_txn *history_begin(sim *s, unsigned author) {
    sim_txn *t = &s->txn[s->ntxn++];
    *t = (sim_txn){.author = author};
    if (author != SIM_SERVER) {
        history_look(s, author);
        memcpy(t->known, s->device[author].seen, sizeof t->known);
        return t;
    }
    /* The server's author sees all that the store ever had. */
    for (unsigned i = 0; i + 1 < s->ntxn; i++)
        if (sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", i)) t->known[i / 8] |= (uint8_t)(1u << i % 8);
    return t;
}

void history_add(sim_txn *t, op_kind kind, unsigned row, int add) {
    if (t->nop < SIM_OPS) t->op[t->nop++] = (sim_op){.kind = kind, .row = row, .add = add};
}

void history_committed(sim *s, sim_txn *t) {
    s->figures.transactions++;
    if (t->author == SIM_SERVER) {
        t->given = true;
        return;
    }
    t->at = (uint64_t)sim_ask(s, satchel_db(s->device[t->author].s), "SELECT max(n) FROM satchel_outbox");
    t->holders = 1u << t->author;
}

void history_rolled_back(sim *s, sim_txn *t) {
    (void)s;
    t->nop = 0;
}

void history_unsure(sim *s, sim_txn *t) {
    (void)s;
    t->unsure = true;
}

static bool file_has(sim *s, unsigned i, unsigned n) {
    return sim_ask(s, satchel_db(s->device[i].s), "SELECT count(*) FROM ev WHERE id=%u", n) > 0;
}

static bool server_has(sim *s, unsigned n) {
    return s->store && sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", n) > 0;
}

/* What no file has any more is on the server if it was accepted, and may be on its way there in no other manner. */
static void lose(sim *s, unsigned i, sim_txn *t) {
    t->holders &= ~(1u << i);
    if (!t->holders && server_has(s, (unsigned)(t - s->txn))) t->given = true;
}

void history_opened(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (sim_ask(s, satchel_db(d->s), "SELECT count(*) FROM sqlite_schema WHERE name='ev'") <= 0) return;
    for (unsigned n = 0; n < s->ntxn; n++) {
        sim_txn *t = &s->txn[n];
        bool mine = t->holders >> i & 1, unsure = t->unsure && t->author == i;
        if (!mine && !unsure) continue;
        bool has = file_has(s, i, n);
        if (unsure && has) t->at = (uint64_t)sim_ask(s, satchel_db(d->s), "SELECT max(n) FROM satchel_outbox");
        if (unsure && has) t->holders |= 1u << i;
        if (unsure) t->unsure = false;
        if (!mine || has) continue;
        /* A refusal takes the witness back with the rest. */
        if (sim_ask(s, satchel_db(d->s), "SELECT count(*) FROM satchel_rejected WHERE n=%" PRIu64, t->at)) continue;
        sim_say(s, "d%u has lost t%u", i, n);
        if (!d->power_lost) sim_fail(s, "device %u lost transaction t%u without a loss of power", i, n);
        lose(s, i, t);
    }
}

static void look_at(sim_device *d, sqlite3_stmt *q) {
    unsigned n;
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (text && sscanf(text, "a%u", &n) == 1 && n < SIM_TXNS) d->seen[n / 8] |= (uint8_t)(1u << n % 8);
    }
}

void history_look(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    sqlite3_stmt *q = NULL;
    if (!d->s) return;
    disk_look(true);
    if (sqlite3_prepare_v2(satchel_db(d->s), "SELECT a FROM item", -1, &q, NULL) == SQLITE_OK) look_at(d, q);
    sqlite3_finalize(q);
    disk_look(false);
}

void history_discarded(sim *s, unsigned i, uint64_t number) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++)
        if (t->holders >> i & 1 && t->at == number) lose(s, i, t);
}

void history_copied(sim *s, unsigned from, unsigned to) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++)
        if (t->holders >> from & 1) t->holders |= 1u << to;
    memcpy(s->device[to].seen, s->device[from].seen, sizeof s->device[to].seen);
}

void history_saved(sim *s, unsigned i) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) t->saved = (t->saved & ~(1u << i)) | (t->holders & 1u << i);
    memcpy(s->device[i].seen_saved, s->device[i].seen, sizeof s->device[i].seen);
}

void history_put_back(sim *s, unsigned i) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) {
        if (t->holders >> i & 1 && !(t->saved >> i & 1)) lose(s, i, t);
        if (t->saved >> i & 1) t->holders |= 1u << i;
        if (t->unsure && t->author == i) t->unsure = false;
    }
    memcpy(s->device[i].seen, s->device[i].seen_saved, sizeof s->device[i].seen);
}

void history_backed_up(sim *s) {
    for (unsigned n = 0; n < s->ntxn; n++) s->txn[n].in_backup = server_has(s, n);
}

void history_restored(sim *s) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) t->given = t->given && t->in_backup;
}
