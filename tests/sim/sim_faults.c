/* What goes wrong, and when. */
#include "tests/sim/sim.h"

#define FAULT_TEXT(name, text) text,
static const char *const names[] = {SIM_FAULTS(FAULT_TEXT)};

const char *sim_fault_name(sim_fault f) {
    return names[f];
}

/* At least seven classes, at most all. */
void faults_choose(sim *s) {
    s->faults = 0;
    unsigned percent = 25 + sim_below(s, 70);
    while (__builtin_popcount(s->faults) < 7)
        for (unsigned i = 0; i < FAULT_COUNT; i++)
            if (sim_chance(s, percent)) s->faults |= SIM_FAULT_BIT(i);
}

static bool has(const sim *s, sim_fault f) {
    return s->faults >> f & 1;
}

/* ---- of the network ---- */

static void strike_network(sim *s, unsigned i, sim_fault f) {
    sim_device *d = &s->device[i];
    connection *c = d->connection;
    if (f == FAULT_OFFLINE) {
        /* The server knows what a copy has sent before only as long as its history goes (N3). */
        d->offline_until = s->now + sim_spread(s, d->copied ? SIM_HISTORY_MS / 4 : 21 * DAY);
        d->connects_at = d->offline_until;
        sim_say(s, "d%u is without a network until day %u", i, (unsigned)((d->offline_until - s->began) / DAY));
        net_let_go(s, i, sim_spread(s, 2 * MINUTE), false);
        sim_happened(s, f);
        return;
    }
    if (!c) return;
    sim_say(s, "d%u: %s", i, sim_fault_name(f));
    sim_happened(s, f);
    switch (f) {
    case FAULT_CUT:
        net_let_go(s, i, 0, false);
        break;
    case FAULT_HALF_OPEN:
        net_let_go(s, i, sim_spread(s, HOUR), false);
        break;
    case FAULT_LATE:
        net_let_go(s, i, MINUTE + sim_spread(s, 10 * MINUTE), true);
        break;
    case FAULT_ONE_WAY:
        *(sim_chance(s, 50) ? &c->deaf_up : &c->deaf_down) = true;
        break;
    default:
        c->stalled_until = s->now + sim_spread(s, 10 * MINUTE);
    }
}

/* ---- of nodes ---- */

static void kill_device(sim *s, unsigned i, bool power) {
    sim_device *d = &s->device[i];
    if (!d->s) return;
    d->power_lost = power;
    disk_die_at(d->disk, 1 + sim_spread(s, 3000));
}

static void kill_server(sim *s, bool power) {
    if (!s->store) return;
    s->server_power_lost = power;
    disk_die_at(s->server_disk, 1 + sim_spread(s, 6000));
}

static void restart_server(sim *s, bool migrate) {
    if (!s->store) return;
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
    sim_server_stop(s);
    if (disk_is_dead(s->server_disk)) return;
    disk_remove(s->server_disk, "snapshot.db");
    disk_copy(s->server_disk, "backup.db", s->server_disk, "store.db");
    s->restoring = s->restored = true;
    history_restored(s);
}

static void put_back(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s) return;
    if (!d->saved_at || s->now - d->saved_at > SIM_HISTORY_MS / 2 || sim_chance(s, 50)) {
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
    history_put_back(s, i);
}

static void clone_device(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s || s->ndevices == SIM_DEVICES || disk_is_dead(d->disk)) return;
    unsigned to = s->ndevices++;
    char name[16];
    snprintf(name, sizeof name, "d%u", to);
    s->device[to] = (sim_device){.key = d->key, .disk = disk_new(name, sim_random(s)), .clock = d->clock};
    memcpy(s->device[to].fingerprint, d->fingerprint, sizeof d->fingerprint);
    disk_copy(d->disk, "app.db", s->device[to].disk, "app.db");
    d->copied = s->device[to].copied = true;
    history_copied(s, i, to);
    s->device[to].starts_at = s->now + sim_spread(s, SIM_HISTORY_MS / 4);
    sim_say(s, "d%u is a copy of d%u", to, i);
    sim_happened(s, FAULT_CLONE);
}

static void turn_clock(sim *s) {
    unsigned i = sim_below(s, s->ndevices);
    static const uint64_t reach[] = {MINUTE, HOUR, DAY, 10 * 365 * DAY};
    sim_clock *c = &s->device[i].clock;
    uint64_t by = sim_spread(s, reach[sim_below(s, 4)]);
    *c = (sim_clock){.offset_ms = sim_chance(s, 50) ? (int64_t)by : -(int64_t)by,
                     .drift_ppm = (int32_t)sim_below(s, 400) - 200,
                     .since = s->now};
    sim_say(s, "the clock of d%u is off by %" PRId64 " s", i, c->offset_ms / 1000);
    sim_happened(s, FAULT_CLOCK);
}

static unsigned any_node(sim *s) {
    unsigned i = sim_below(s, s->ndevices + 1);
    return i == s->ndevices ? SIM_SERVER : i;
}

static void fill_disk(sim *s) {
    unsigned node = any_node(s);
    disk_fill(sim_disk(s, node), true);
    s->full_until[node] = s->now + sim_spread(s, 2 * DAY);
    sim_say(s, "the disk of %u is full", node);
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
    bool again = refused && sim_chance(s, 50);
    if (again) facts_before(s, i);
    int rc = again ? satchel_retry(d->s, (uint64_t)n) : satchel_discard(d->s, (uint64_t)n);
    if (again && !rc)
        facts_retried(s, i, (uint64_t)n, (uint64_t)sim_ask(s, satchel_db(d->s), "SELECT max(n) FROM satchel_outbox"));
    sim_say(s, "d%u settles %" PRId64 ": %s", i, n, satchel_rc_name(rc));
    /* What failed may have been done all the same: nobody may count on the transaction any more. */
    if (rc && rc != SATCHEL_E_IO && rc != SATCHEL_E_FULL && rc != SATCHEL_E_NOMEM) return;
    if (!rc) sim_happened(s, FAULT_DISCARD);
    s->discarded = true;
    history_discarded(s, i, (uint64_t)n);
}

static void strike(sim *s, sim_fault f) {
    unsigned i = sim_below(s, s->ndevices);
    s->device[i].touched = true;
    switch (f) {
    case FAULT_CUT:
    case FAULT_HALF_OPEN:
    case FAULT_LATE:
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
    case FAULT_DISCARD:
        settle_one(s, i);
        break;
    default:
        break;
    }
}

void faults_strike(sim *s) {
    sim_fault f;
    do f = (sim_fault)sim_below(s, FAULT_COUNT);
    while (!has(s, f));
    /* What is left out strikes in vain: the rest of the run stays more like itself. */
    if (!(s->options.without & SIM_FAULT_BIT(f))) strike(s, f);
    s->fault_at = s->now + 1 + sim_spread(s, 12 * HOUR);
}
