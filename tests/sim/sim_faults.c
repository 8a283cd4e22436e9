/* What goes wrong, and when. */
#include "tests/sim/sim.h"

#define FAULT_TEXT(name, text) text,
static const char *const names[] = {SIM_FAULTS(FAULT_TEXT)};

const char *sim_fault_name(sim_fault f) {
    return names[f];
}

static unsigned classes(const sim *s) {
    return scope_world(s) ? FAULT_SETTLE : FAULT_MOVE;
}

/* What brings back the past, and what it is about. */
static void choose_copies(sim *s) {
    s->faults |=
        SIM_FAULT_BIT(FAULT_CLONE) | SIM_FAULT_BIT(FAULT_PUT_BACK) | SIM_FAULT_BIT(FAULT_RESTORE) | SIM_FAULT_BIT(FAULT_DISCARD);
    if (sim_chance(s, 70)) s->faults |= SIM_FAULT_BIT(FAULT_NO_MEMORY);
}

static sim_fault any_fault(sim *s) {
    static const sim_fault copies[] = {FAULT_RESTORE,  FAULT_RESTORE,   FAULT_RESTORE, FAULT_PUT_BACK,
                                       FAULT_PUT_BACK, FAULT_PUT_BACK,  FAULT_CLONE,   FAULT_DISCARD,
                                       FAULT_DISCARD,  FAULT_NO_MEMORY, FAULT_CUT,     FAULT_DEVICE_KILL};
    if (s->options.copies && sim_chance(s, 45)) return copies[sim_below(s, sizeof copies / sizeof *copies)];
    return (sim_fault)sim_below(s, classes(s));
}

/* At least seven classes, at most all. */
void faults_choose(sim *s) {
    s->faults = 0;
    unsigned percent = 25 + sim_below(s, 70);
    while (__builtin_popcount(s->faults) < 7)
        for (unsigned i = 0; i < classes(s); i++)
            if (sim_chance(s, percent)) s->faults |= SIM_FAULT_BIT(i);
    if (s->options.copies) choose_copies(s);
    /* In some worlds little happens: weeks without a network, and what is forgotten meanwhile, need their time. */
    static const uint64_t paces[] = {DAY, DAY, 7 * DAY, 40 * DAY};
    s->pace = paces[sim_below(s, 4)];
    s->slow_server = sim_chance(s, 50);
    s->long_spells = s->pace > DAY && sim_chance(s, 50);
    admin_choose(s);
}

static bool has(const sim *s, sim_fault f) {
    return s->faults >> f & 1;
}

bool faults_may(const sim *s, sim_fault f) {
    return has(s, f) && !(s->options.without & SIM_FAULT_BIT(f));
}

/* ---- of the network ---- */

static void strike_network(sim *s, unsigned i, sim_fault f) {
    sim_device *d = &s->device[i];
    connection *c = d->connection;
    if (f == FAULT_OFFLINE) {
        d->offline_until = s->now + (s->long_spells ? DAY + sim_random(s) % (35 * DAY) : sim_spread(s, 21 * DAY));
        if (!d->offline_since) d->offline_since = s->now;
        d->connects_at = d->offline_until;
        sim_say(s, "d%u is without a network until day %u", i, (unsigned)((d->offline_until - s->began) / DAY));
        net_let_go(s, i, sim_spread(s, 2 * MINUTE), false);
        return;
    }
    if (!c) return;
    sim_say(s, "d%u: %s", i, sim_fault_name(f));
    /* These two have happened when their frames arrive. */
    if (f != FAULT_LATE && f != FAULT_DUPLICATE) sim_happened(s, f);
    switch (f) {
    case FAULT_CUT:
        net_let_go(s, i, 0, false);
        break;
    case FAULT_HALF_OPEN:
        net_let_go(s, i, sim_spread(s, HOUR), false);
        break;
    case FAULT_LATE:
        c->lingers = true;
        break;
    case FAULT_DUPLICATE:
        c->loses_answers = true;
        break;
    case FAULT_ONE_WAY:
        *(sim_chance(s, 50) ? &c->deaf_up : &c->deaf_down) = true;
        break;
    default:
        c->stalled_until = s->now + sim_spread(s, 10 * MINUTE);
    }
}

/* ---- of nodes ---- */

/* At a call of the VFS, or at a frame. */
static void kill_node(sim *s, unsigned node, uint64_t most_calls) {
    if (sim_chance(s, 70))
        disk_die_at(sim_disk(s, node), 1 + sim_spread(s, most_calls));
    else
        net_die_at(s, node, 1 + sim_spread(s, 60));
}

static void kill_device(sim *s, unsigned i, bool power) {
    sim_device *d = &s->device[i];
    if (!d->s) return;
    d->power_lost = power;
    kill_node(s, i, 3000);
}

static void kill_server(sim *s, bool power) {
    if (!s->store) return;
    s->server_power_lost = power;
    kill_node(s, SIM_SERVER, 6000);
}

static void restart_server(sim *s, bool migrate) {
    if (!s->store) return;
    /* When there is none left, it is a restart. */
    migrate = migrate && s->pending_migrations + 1 < MODEL_EPOCHS;
    if (migrate) s->pending_migrations++;
    sim_happened(s, migrate ? FAULT_MIGRATE : FAULT_SERVER_RESTART);
    sim_say(s, "the server stops%s", migrate ? " for a migration" : "");
    sim_server_stop(s);
}

/* A backup is what a file system's snapshot is: database and log at one instant. */
static void backup_or_restore(sim *s) {
    if (!s->store || s->restoring) return;
    if (!s->backup_at || s->now - s->backup_at >= SIM_HISTORY_MS || sim_chance(s, 60)) {
        disk_copy(s->server_disk, "store.db", s->server_disk, "backup.db");
        s->backup_at = s->now;
        history_backed_up(s);
        sim_say(s, "a backup is made");
        return;
    }
    sim_say(s, "the server is put back to the backup");
    sim_happened(s, FAULT_RESTORE);
    history_restoring(s);
    sim_server_stop(s);
    if (disk_is_dead(s->server_disk)) return;
    disk_remove(s->server_disk, "snapshot.db");
    disk_copy(s->server_disk, "backup.db", s->server_disk, "store.db");
    s->restoring = s->restored = true;
    s->restored_as = sim_random(s);
    history_restored(s);
}

static void set_clock(sim *s, unsigned i, int64_t offset_ms) {
    s->device[i].clock = (sim_clock){.offset_ms = offset_ms, .drift_ppm = (int32_t)sim_below(s, 400) - 200, .since = s->now};
    sim_say(s, "the clock of d%u is off by %" PRId64 " s", i, offset_ms / 1000);
    sim_happened(s, FAULT_CLOCK);
}

static int64_t clock_jump(sim *s) {
    static const uint64_t reach[] = {MINUTE, HOUR, DAY, 10 * 365 * DAY};
    int64_t by = (int64_t)sim_spread(s, reach[sim_below(s, 4)]);
    return sim_chance(s, 50) ? by : -by;
}

static void set_server_clock(sim *s) {
    s->server_clock = (sim_clock){.offset_ms = clock_jump(s), .drift_ppm = (int32_t)sim_below(s, 100) - 50, .since = s->now};
    sim_say(s, "the clock of the server is off by %" PRId64 " s", s->server_clock.offset_ms / 1000);
    /* What devices keep for a backup goes by that clock: an older one is not put back any more. */
    s->backup_at = 0;
    sim_happened(s, FAULT_CLOCK);
}

static void put_back(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s) return;
    if (!d->saved_at || sim_chance(s, 50)) {
        disk_copy(d->disk, "app.db", d->disk, "saved.db");
        d->saved_at = s->now;
        history_saved(s, i);
        sim_say(s, "the file of d%u is saved", i);
        return;
    }
    sim_say(s, "the file of d%u is put back", i);
    sim_happened(s, FAULT_PUT_BACK);
    sim_device_stop(s, i);
    if (disk_is_dead(d->disk)) return;
    disk_copy(d->disk, "saved.db", d->disk, "app.db");
    d->copied = true;
    net_forget_pushes(s, i);
    history_put_back(s, i);
    /* A whole machine that is put back has its clock of then, too. */
    if (sim_chance(s, 30)) set_clock(s, i, -(int64_t)(s->now - d->saved_at));
}

static void clone_device(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s || s->ndevices == SIM_DEVICES || disk_is_dead(d->disk)) return;
    unsigned to = s->ndevices++;
    char name[16];
    snprintf(name, sizeof name, "d%u", to);
    s->device[to] = (sim_device){.key = d->key,
                                 .disk = disk_new(name, sim_random(s)),
                                 .clock = d->clock,
                                 .barred = d->barred,
                                 .was_barred = d->was_barred,
                                 .barred_at = d->barred_at,
                                 .barred_since = d->barred_since,
                                 .doubtful = d->doubtful};
    memcpy(s->device[to].fingerprint, d->fingerprint, sizeof d->fingerprint);
    wipe_begin(s, to);
    disk_copy(d->disk, "app.db", s->device[to].disk, "app.db");
    d->copied = s->device[to].copied = true;
    net_forget_pushes(s, i);
    history_copied(s, i, to);
    s->device[to].starts_at = s->now + sim_spread(s, 7 * DAY);
    sim_say(s, "d%u is a copy of d%u", to, i);
    sim_happened(s, FAULT_CLONE);
}

static void turn_clock(sim *s) {
    unsigned i = sim_below(s, s->ndevices + 1);
    if (i == s->ndevices) {
        set_server_clock(s);
        return;
    }
    set_clock(s, i, clock_jump(s));
}

static unsigned any_node(sim *s) {
    unsigned i = sim_below(s, s->ndevices + 1);
    return i == s->ndevices ? SIM_SERVER : i;
}

static void fill_disk(sim *s) {
    unsigned node = any_node(s);
    /* The server stops taking changes before that: then nothing fails. */
    bool full = node != SIM_SERVER || sim_chance(s, 50);
    if (full) disk_fill(sim_disk(s, node), true);
    s->full_until[node] = s->now + 1 + sim_spread(s, 2 * DAY);
    sim_say(s, "the disk of %u is %sfull", node, full ? "" : "almost ");
}

/* One allocation fails, or some in a row; the process may end of it. */
static void exhaust_memory(sim *s) {
    unsigned node = any_node(s);
    memory_fail_at(node, 1 + sim_spread(s, 20000), 1 + (unsigned)sim_spread(s, 30));
    s->memory[node].due = true;
    s->memory[node].ends = sim_chance(s, 20);
}

typedef enum settling { SETTLE_LATER, SETTLE_DISCARD, SETTLE_RETRY } settling;

/* What the server may have taken from another copy is for a person to look up: there, and where else it might come from. */
static settling look_up(sim *s, unsigned i, uint64_t number) {
    const sim_txn *t = history_find(s, i, number);
    if (!t || !s->store || disk_is_dead(s->server_disk)) return SETTLE_LATER;
    if (sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", (unsigned)(t - s->txn)) > 0) return SETTLE_DISCARD;
    return t->holders == 1u << i ? SETTLE_RETRY : SETTLE_LATER;
}

static settling choose_settling(sim *s, unsigned i, uint64_t number, bool refused) {
    if (!refused) return SETTLE_DISCARD;
    check_refusal(s, i, number);
    if (number < SIM_TXNS) s->device[i].refused[number / 8] |= (uint8_t)(1u << number % 8);
    if (sim_ask(s, satchel_db(s->device[i].s), "SELECT code FROM satchel_rejected WHERE n=%" PRIu64, number) ==
        SATCHEL_E_FORGOTTEN)
        return look_up(s, i, number);
    return sim_chance(s, 50) ? SETTLE_RETRY : SETTLE_DISCARD;
}

/* 0: what it did is there, or the retry failed. */
static uint64_t retry(sim *s, unsigned i, uint64_t number, int *rc) {
    sim_device *d = &s->device[i];
    facts_before(s, i);
    uint64_t last = (uint64_t)sim_ask(
        s, satchel_db(d->s), "SELECT max(number_floor, coalesce((SELECT max(n) FROM satchel_outbox), 0)) FROM satchel_state");
    *rc = satchel_retry(d->s, number);
    uint64_t again = 0;
    if (!disk_is_dead(d->disk) && !sqlite3_get_autocommit(satchel_db(d->s)))
        sim_fail(s, "device %u: satchel_retry left a transaction open: %s", i, satchel_rc_name(*rc));
    if (!*rc)
        again = (uint64_t)sim_ask(s, satchel_db(d->s),
                                  "SELECT ifnull(max(n),0) FROM satchel_outbox WHERE resolves>0 AND n>%" PRIu64, last);
    if (again) facts_retried(s, i, number, again);
    history_retried(s, i, number, again ? again : number);
    return again;
}

/* What a person does about a transaction that waits, or was refused. */
static void settle_one(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s || disk_is_dead(d->disk)) return;
    bool refused = sim_chance(s, 50);
    s->clock = &d->clock;
    int64_t n =
        sim_ask(s, satchel_db(d->s),
                refused ? "SELECT n FROM satchel_rejected ORDER BY n LIMIT 1"
                        : "SELECT max(n) FROM satchel_outbox WHERE state=0 AND n>(SELECT sent_number FROM satchel_state)");
    if (n <= 0) return;
    uint64_t number = (uint64_t)n, again = 0;
    settling what = choose_settling(s, i, number, refused);
    if (what == SETTLE_LATER) sim_say(s, "d%u leaves %" PRIu64 ", which may be on its way", i, number);
    if (what == SETTLE_LATER) return;
    int rc = SATCHEL_OK;
    if (what == SETTLE_RETRY)
        again = retry(s, i, number, &rc);
    else
        rc = satchel_discard(d->s, number);
    sim_say(s, "d%u %s %" PRIu64 ": %s", i, what == SETTLE_RETRY ? "retries" : "discards", number, satchel_rc_name(rc));
    /* What failed may have been done all the same: nobody may count on the transaction any more. */
    if (rc && rc != SATCHEL_E_IO && rc != SATCHEL_E_FULL && rc != SATCHEL_E_NOMEM) return;
    if (!rc) sim_happened(s, FAULT_DISCARD);
    d->doubtful = d->doubtful || rc;
    d->discarded = true;
    if (!again) history_discarded(s, i, number);
}

/* ---- a device is revoked ---- */

typedef struct admin_work {
    hub_job job;
    const uint8_t *fingerprint;
    device_state to;
    int64_t device;
    int rc;
} admin_work;

/* As server/control_device.c does it. */
static int run_move(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    admin_work *w = (admin_work *)job;
    device_info d;
    (void)g;
    int rc = store_device_by_fingerprint(st, w->fingerprint, &d);
    w->device = d.id;
    return rc ? rc : store_device_move(st, d.id, w->to, now_ms);
}

static void move_done(hub_job *job, int rc) {
    ((admin_work *)job)->rc = rc;
}

bool faults_move_device(sim *s, unsigned i, device_state to, int told) {
    admin_work w = {
        .job = {.run = run_move, .done = move_done}, .fingerprint = s->device[i].fingerprint, .to = to, .rc = SATCHEL_E_NOMEM};
    s->clock = &s->server_clock;
    if (hub_submit(s->hub, &w.job)) sim_server_step(s);
    sim_say(s, "d%u is %s: %s", i, to == DEVICE_WIPE ? "to be wiped" : "revoked", satchel_rc_name(w.rc));
    if (w.rc) return false;
    hub_drop_device(s->hub, w.device, told);
    faults_look_revoked(s);
    return true;
}

static bool may_be_revoked(const sim *s, unsigned i) {
    unsigned left = 0;
    for (unsigned k = 0; k < s->ndevices; k++)
        left += !s->device[k].barred && !s->device[k].wiped && s->device[k].key != s->device[i].key;
    return left >= FAULTS_UNREVOKED && s->device[i].s && s->device[i].connection && !s->device[i].barred && s->store;
}

/* It works, and is revoked while that is on its way. */
static void begin_revoking(sim *s, unsigned i) {
    if (!may_be_revoked(s, i)) return;
    s->device[i].works_at = s->now + 1;
    s->revoking = i + 1;
}

static void revoke(sim *s) {
    unsigned i = s->revoking - 1;
    s->revoking = 0;
    if (!may_be_revoked(s, i)) return;
    if (faults_move_device(s, i, DEVICE_REVOKED, SATCHEL_E_REVOKED)) sim_happened(s, FAULT_REVOKE);
}

/* Which keys are revoked is what the store says: one that was put back may have forgotten it, one that failed may have done it. */
static void look_at_key(sim *s, unsigned i, const uint8_t there[SIM_TXNS / 8]) {
    sim_device *d = &s->device[i];
    static const char sql[] = "SELECT state IN (2,5,6) FROM satchel_device WHERE name='d%u'"; /* revoked, to be wiped, wiped */
    bool barred = sim_ask(s, store_db(s->store), sql, d->key) == 1;
    if (barred == d->barred) return;
    sim_say(s, "the key of d%u is %srevoked", i, barred ? "" : "no longer ");
    d->barred = barred;
    d->was_barred |= barred;
    d->barred_at = s->ntxn;
    d->barred_since = s->now;
    d->revoked = false;
    for (unsigned n = 0; n < s->ntxn; n++) {
        sim_txn *t = &s->txn[n];
        if (t->author == SIM_SERVER || s->device[t->author].key != d->key) continue;
        t->cut_off = barred && !history_in(there, n);
        /* It was acknowledged, or might have been. */
        if (barred && history_in(there, n)) t->given = true;
    }
}

void faults_look_revoked(sim *s) {
    uint8_t there[SIM_TXNS / 8];
    if (!s->ndevices) return;
    history_witnesses(s, store_db(s->store), there);
    for (unsigned i = 0; i < s->ndevices; i++) look_at_key(s, i, there);
}

/* ---- when ---- */

static void strike(sim *s, sim_fault f) {
    unsigned i = sim_below(s, s->ndevices);
    s->device[i].touched = true;
    switch (f) {
    case FAULT_CUT:
    case FAULT_HALF_OPEN:
    case FAULT_LATE:
    case FAULT_DUPLICATE:
    case FAULT_ONE_WAY:
    case FAULT_STALL:
    case FAULT_OFFLINE:
        strike_network(s, i, f);
        break;
    case FAULT_DEVICE_KILL:
    case FAULT_DEVICE_POWER:
        kill_device(s, i, f == FAULT_DEVICE_POWER);
        break;
    case FAULT_SERVER_KILL:
    case FAULT_SERVER_POWER:
        kill_server(s, f == FAULT_SERVER_POWER);
        break;
    case FAULT_SERVER_RESTART:
    case FAULT_MIGRATE:
        restart_server(s, f == FAULT_MIGRATE);
        break;
    case FAULT_RESTORE:
        backup_or_restore(s);
        break;
    case FAULT_PUT_BACK:
        put_back(s, i);
        break;
    case FAULT_CLONE:
        clone_device(s, i);
        break;
    case FAULT_CLOCK:
        turn_clock(s);
        break;
    case FAULT_DISK_FULL:
        fill_disk(s);
        break;
    case FAULT_IO_ERROR:
        disk_fail_at(sim_disk(s, any_node(s)), 1 + sim_spread(s, 500));
        break;
    case FAULT_NO_MEMORY:
        exhaust_memory(s);
        break;
    case FAULT_DISCARD:
        settle_one(s, i);
        break;
    case FAULT_REVOKE:
        begin_revoking(s, i);
        break;
    case FAULT_WIPE:
        wipe_strike(s, i);
        break;
    case FAULT_MOVE:
    case FAULT_VIEW:
    case FAULT_GRANT:
    case FAULT_PUBLISH:
    case FAULT_PAUSE:
    case FAULT_RESNAPSHOT:
        scope_strike(s, f);
        break;
    case FAULT_ROT:    /* when everything is at rest */
    case FAULT_SETTLE: /* sim_admin.c */
    case FAULT_COUNT:
        break;
    }
}

void faults_strike(sim *s) {
    sim_fault f;
    if (s->revoking) revoke(s);
    unsigned i = sim_below(s, s->ndevices);
    if (sim_chance(s, 2) && s->device[i].s && !disk_is_dead(s->device[i].disk)) check_recorded_file(s, i);
    do f = any_fault(s);
    while (!has(s, f));
    /* What is left out strikes in vain: the rest of the run stays more like itself. */
    if (!(s->options.without & SIM_FAULT_BIT(f))) strike(s, f);
    s->fault_at = s->now + 1 + sim_spread(s, s->revoking ? 2 * SECOND : s->pace / 2);
}

/* ---- what strikes by itself ---- */

unsigned faults_running_node(void *ctx) {
    const sim *s = ctx;
    if (s->clock == &s->server_clock) return SIM_SERVER;
    return (unsigned)(((const char *)s->clock - (const char *)s->device) / (ptrdiff_t)sizeof *s->device);
}

static void settle_memory(sim *s, unsigned node) {
    sim_memory *m = &s->memory[node];
    uint64_t failed = memory_measure(node).failed;
    if (failed == m->failed) return;
    sim_say(s, "%u: %" PRIu64 " allocations failed%s", node, failed - m->failed, m->ends ? ", and its process ends" : "");
    m->failed = failed;
    if (m->due) sim_happened(s, FAULT_NO_MEMORY);
    m->due = false;
    if (!m->ends) return;
    /* One that could not even start has not noticed yet how it had died before. */
    if (node == SIM_SERVER ? s->store != NULL : s->device[node].s != NULL)
        *(node == SIM_SERVER ? &s->server_power_lost : &s->device[node].power_lost) = false;
    disk_die_at(sim_disk(s, node), 0);
}

void faults_settle(sim *s) {
    settle_memory(s, SIM_SERVER);
    for (unsigned i = 0; i < s->ndevices; i++) settle_memory(s, i);
    hub_stats stats = {0};
    if (s->hub) hub_get_stats(s->hub, &stats);
    /* What a copy of a file gives once more is none: another author gives it. */
    uint64_t repeated = stats.txns_repeated > s->repeated ? stats.txns_repeated - s->repeated : 0;
    s->figures.happened[FAULT_DUPLICATE] += repeated < s->repeats ? repeated : s->repeats;
    s->repeated = stats.txns_repeated;
    if (!sim_server_is_busy(s)) s->repeats = 0;
    if (stats.disk_low && !s->disk_low) sim_happened(s, FAULT_DISK_FULL);
    s->disk_low = stats.disk_low;
}

/* Rows that there are are changed and taken away, and one is there that no one else has; without the triggers, which only the library's connections can
 * run. */
static const char ROT[] =
    "UPDATE item SET a='rotten' WHERE id=(SELECT min(id) FROM item); DELETE FROM ev WHERE id=(SELECT min(id) FROM ev);"
    "INSERT INTO ev(id,what) VALUES(1999999999,'rotten'); UPDATE line SET qty=777 WHERE id=(SELECT max(id) FROM line);";

static int rot(sqlite3 *db) {
    char *drop = NULL, *make = NULL;
    static const char triggers[] = " FROM sqlite_schema WHERE type='trigger'";
    sqlite3_stmt *q = NULL;
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT group_concat('DROP TRIGGER \"'||name||'\"',';'), group_concat(sql,';')%s", triggers);
    int rc = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    if (!rc && sqlite3_step(q) == SQLITE_ROW) {
        drop = sqlite3_mprintf("%s", sqlite3_column_text(q, 0));
        make = sqlite3_mprintf("%s", sqlite3_column_text(q, 1));
    }
    sqlite3_finalize(q);
    char *all = drop && make ? sqlite3_mprintf("BEGIN; %s; %s %s; COMMIT", drop, ROT, make) : NULL;
    if (!rc) rc = all ? sqlite3_exec(db, all, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(drop);
    sqlite3_free(make);
    sqlite3_free(all);
    return rc;
}

bool faults_rot(sim *s) {
    unsigned i = sim_below(s, s->ndevices);
    sim_device *d = &s->device[i];
    char path[32];
    sqlite3 *db = NULL;
    if (!faults_may(s, FAULT_ROT) || !d->s || !d->connection || d->revoked) return false;
    snprintf(path, sizeof path, "./d%u/app.db", i);
    s->clock = &d->clock;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (!rc) rc = rot(db);
    if (rc) sim_fail(s, "device %u's file cannot be spoilt: %s", i, sqlite3_errmsg(db));
    sqlite3_close(db);
    s->rotten = true;
    sim_say(s, "rows of d%u rot", i);
    sim_happened(s, FAULT_ROT);
    session_check(d->s->session); /* satchel_check, for who is enrolled */
    d->touched = true;
    return true;
}

void faults_end(sim *s) {
    s->revoking = 0;
    for (unsigned node = 0; node <= SIM_SERVER; node++) {
        if (node != SIM_SERVER && node >= s->ndevices) continue;
        disk_die_at(sim_disk(s, node), UINT64_MAX);
        disk_fail_at(sim_disk(s, node), 0);
        memory_fail_at(node, 0, 0);
        net_die_at(s, node, 0);
    }
    /* Two files of one incarnation that only read must part, too. */
    if (faults_may(s, FAULT_CLONE) && sim_chance(s, 40)) clone_device(s, sim_below(s, s->ndevices));
}
