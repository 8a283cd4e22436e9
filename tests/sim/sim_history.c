/* What was done: which transactions there are, which files have them, and what their authors had seen. Independent of the code under test. */
#include "tests/sim/sim.h"

void history_witnesses(sim *s, sqlite3 *db, uint8_t there[SIM_TXNS / 8]) {
    memset(there, 0, SIM_TXNS / 8);
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, db, "SELECT id FROM ev WHERE id<?");
    sqlite3_bind_int64(q, 1, s->ntxn);
    while (sqlite3_step(q) == SQLITE_ROW) {
        unsigned n = (unsigned)sqlite3_column_int(q, 0);
        there[n / 8] |= (uint8_t)(1u << n % 8);
    }
    if (sqlite3_reset(q)) sim_fail(s, "ev: %s", sqlite3_errmsg(db));
    disk_look(false);
}

bool history_in(const uint8_t set[SIM_TXNS / 8], unsigned n) {
    return set[n / 8] >> n % 8 & 1;
}

sim_txn *history_begin(sim *s, unsigned author) {
    sim_txn *t = &s->txn[s->ntxn++];
    *t = (sim_txn){.author = author};
    if (author != SIM_SERVER) {
        history_look(s, author);
        memcpy(t->known, s->device[author].seen, sizeof t->known);
        return t;
    }
    /* The server's author sees all that the store ever had. */
    history_witnesses(s, store_db(s->store), t->known);
    return t;
}

void history_add(sim_txn *t, op_kind kind, unsigned row, int add) {
    if (t->nop < SIM_OPS) t->op[t->nop++] = (sim_op){.kind = kind, .row = row, .add = add};
}

/* Its author's file has it. */
static void take_hold(sim_txn *t) {
    t->unsure = false;
    t->holders |= 1u << t->author;
    t->number[t->author] = t->at;
}

void history_committed(sim *s, sim_txn *t) {
    s->figures.transactions++;
    if (t->author == SIM_SERVER) {
        t->given = true;
        return;
    }
    t->at = (uint64_t)sim_ask(s, satchel_db(s->device[t->author].s), "SELECT max(n) FROM satchel_outbox");
    take_hold(t);
    check_stamp(s, t);
    if (work_is_durable(s, t->author)) t->durable |= 1u << t->author;
    /* What did not go through before is written over. */
    for (sim_txn *old = s->txn; old < t; old++)
        if (old->author == t->author) old->unsure = false;
}

void history_rolled_back(sim *s, sim_txn *t) {
    (void)s;
    t->nop = 0;
}

/* A process that goes on knows what it wrote; one that has died leaves it to the file. A commit record whose sync failed may yet come back when the
 * file is opened again, unless a later commit was written over it: so its number is the next one. */
void history_unsure(sim *s, sim_txn *t) {
    t->unsure = true;
    if (t->author == SIM_SERVER) return;
    sim_device *d = &s->device[t->author];
    if (disk_is_dead(d->disk)) return;
    sqlite3 *db = satchel_db(d->s);
    uint8_t there[SIM_TXNS / 8];
    history_witnesses(s, db, there);
    t->at =
        (uint64_t)sim_ask(s, db, "SELECT max(number_floor, coalesce((SELECT max(n) FROM satchel_outbox), 0)) FROM satchel_state");
    if (history_in(there, (unsigned)(t - s->txn)))
        take_hold(t);
    else
        t->at++;
}

void history_sent(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    uint64_t sent = d->s->file->state.sent_number;
    if (d->sent == sent) return;
    d->sent = sent;
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++)
        if (t->holders >> i & 1 && t->number[i] <= sent) t->durable |= 1u << i;
}

static bool server_has(sim *s, unsigned n) {
    return s->store && sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", n) > 0;
}

/* What no file has any more is on the server if it was accepted, and may be on its way there in no other manner. */
static void lose(sim *s, unsigned i, sim_txn *t) {
    t->holders &= ~(1u << i);
    t->durable &= ~(1u << i);
    if (!t->holders && server_has(s, (unsigned)(t - s->txn))) t->given = true;
}

/* For whoever has to find out: what the file has. */
static void explain(sim *s, unsigned i) {
    sqlite3 *db = satchel_db(s->device[i].s);
    sim_list(s, db, "SELECT n, hex(id) id, state, seq FROM satchel_outbox");
    sim_list(s, db, "SELECT n, code, text FROM satchel_rejected");
    sim_list(s, db, "SELECT cursor, settled_number, sent_number, number_floor FROM satchel_state");
}

static bool waits_as(sim *s, unsigned i, uint64_t number) {
    return sim_ask(s, satchel_db(s->device[i].s), "SELECT count(*) FROM satchel_outbox WHERE state<4 AND n=%" PRIu64, number) > 0;
}

/* A loss of power may take a retry back: then it has the number again that it had before. */
static void look_at_number(sim *s, unsigned i, sim_txn *t) {
    if (!t->facts || !t->facts->next || waits_as(s, i, t->number[i])) return;
    for (const facts *f = t->facts; f; f = f->next)
        if (waits_as(s, i, f->at ? f->at : t->at)) t->number[i] = f->at ? f->at : t->at;
}

void history_opened(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (d->power_lost) check_reads_anew(s, i);
    /* What was settled may be as before. */
    if (d->power_lost && d->discarded) d->doubtful = true;
    uint8_t there[SIM_TXNS / 8] = {0};
    bool has_rows = sim_ask(s, satchel_db(d->s), "SELECT count(*) FROM sqlite_schema WHERE name='ev'") > 0;
    /* It was erased, and there was no room to note that. */
    if (!has_rows && d->wiping) history_erased(s, i);
    if (has_rows) history_witnesses(s, satchel_db(d->s), there);
    for (unsigned n = 0; n < s->ntxn; n++) {
        sim_txn *t = &s->txn[n];
        bool mine = t->holders >> i & 1, unsure = t->unsure && t->author == i;
        if (!mine && !unsure) continue;
        bool has = history_in(there, n);
        if (unsure && has) t->at = (uint64_t)sim_ask(s, satchel_db(d->s), "SELECT max(n) FROM satchel_outbox");
        if (unsure && has) take_hold(t);
        t->unsure = t->unsure && !unsure;
        if (mine && d->power_lost) look_at_number(s, i, t);
        if (!mine || has) continue;
        /* A refusal takes the witness back with the rest; and an admin who has settled it takes it from those that are open. */
        if (t->admin.ever) continue;
        if (sim_ask(s, satchel_db(d->s), "SELECT count(*) FROM satchel_rejected WHERE n=%" PRIu64, t->number[i])) continue;
        sim_say(s, "d%u has lost t%u", i, n);
        if (!d->power_lost || t->durable >> i & 1) explain(s, i);
        if (!d->power_lost) sim_fail(s, "device %u lost transaction t%u without a loss of power", i, n);
        if (t->durable >> i & 1) sim_fail(s, "device %u lost transaction t%u, which was on its disk, with its power", i, n);
        lose(s, i, t);
    }
}

static void look_at(sim_device *d, sqlite3_stmt *q) {
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (!text || text[0] != 'a' || text[1] < '0' || text[1] > '9') continue;
        unsigned long n = strtoul(text + 1, NULL, 10);
        if (n < SIM_TXNS) d->seen[n / 8] |= (uint8_t)(1u << n % 8);
    }
}

void history_look(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s) return;
    sqlite3 *db = satchel_db(d->s);
    /* Sync writes through a connection of its own. */
    int64_t changes = sqlite3_total_changes64(db) + sqlite3_total_changes64(d->s->file->db);
    if (d->looked == changes) return;
    d->looked = changes;
    if (!d->has_items) d->has_items = sim_ask(s, db, "SELECT count(*) FROM sqlite_schema WHERE name='item'") == 1;
    if (!d->has_items) return;
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, db, "SELECT a FROM item");
    look_at(d, q);
    sqlite3_reset(q);
    disk_look(false);
    check_shown(s, i);
    facts_look(s, i);
    /* It has met a server that was put back: what the file keeps by the numbers of the other life has to be right in this one. */
    unsigned life = facts_life_of(s, i);
    if (d->life != life) check_recorded_file(s, i);
    d->life = life;
}

/* A file that was put back gives numbers again: the latest. */
sim_txn *history_find(sim *s, unsigned i, uint64_t number) {
    for (sim_txn *t = s->txn + s->ntxn; t-- > s->txn;)
        if (t->holders >> i & 1 && t->number[i] == number) return t;
    return NULL;
}

void history_discarded(sim *s, unsigned i, uint64_t number) {
    sim_txn *t = history_find(s, i, number);
    if (!t) return;
    t->given_up = true;
    lose(s, i, t);
}

/* It writes over what its author sees now. */
void history_retried(sim *s, unsigned i, uint64_t number, uint64_t again) {
    sim_txn *t = history_find(s, i, number);
    if (!t) return;
    history_look(s, i);
    for (unsigned b = 0; b < sizeof t->known; b++) t->known[b] |= s->device[i].seen[b];
    t->number[i] = again;
}

/* A copy is wholly on its disk. */
static void take_durably(sim_txn *t, unsigned i) {
    t->holders |= 1u << i;
    t->durable |= 1u << i;
}

void history_copied(sim *s, unsigned from, unsigned to) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) {
        if (t->holders >> from & 1) take_durably(t, to);
        t->number[to] = t->number[from];
    }
    memcpy(s->device[to].seen, s->device[from].seen, sizeof s->device[to].seen);
}

void history_erased(sim *s, unsigned i) {
    net_forget_pushes(s, i);
    check_reads_anew(s, i);
    s->device[i].sent = 0;
    memset(s->device[i].seen, 0, sizeof s->device[i].seen);
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) {
        if (t->holders >> i & 1) lose(s, i, t);
        if (t->author == i) t->unsure = false;
    }
}

void history_saved(sim *s, unsigned i) {
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) {
        t->saved = (t->saved & ~(1u << i)) | (t->holders & 1u << i);
        t->number_saved[i] = t->number[i];
    }
    memcpy(s->device[i].seen_saved, s->device[i].seen, sizeof s->device[i].seen);
}

void history_put_back(sim *s, unsigned i) {
    check_reads_anew(s, i);
    s->device[i].sent = 0;
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) {
        if (t->holders >> i & 1 && !(t->saved >> i & 1)) lose(s, i, t);
        if (t->saved >> i & 1) take_durably(t, i);
        t->number[i] = t->number_saved[i];
        if (t->unsure && t->author == i) t->unsure = false;
    }
    memcpy(s->device[i].seen, s->device[i].seen_saved, sizeof s->device[i].seen);
}

void history_backed_up(sim *s) {
    s->life_saved = s->nlives - 1;
    s->migrated_saved = s->migrated;
    uint8_t there[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), there);
    for (unsigned n = 0; n < s->ntxn; n++) s->txn[n].in_backup = history_in(there, n);
}

void history_restoring(sim *s) {
    uint8_t there[SIM_TXNS / 8];
    history_witnesses(s, store_db(s->store), there);
    for (unsigned i = 0; i < SIM_TXNS / 8; i++) s->stood[i] |= there[i];
}

void history_restored(sim *s) {
    s->migrated = s->migrated_saved;
    for (sim_txn *t = s->txn; t < s->txn + s->ntxn; t++) t->given = t->given && t->in_backup;
}
