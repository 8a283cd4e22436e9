/* Server and devices: started, stopped, and found dead. */
#include "tests/sim/sim.h"

static const char *const MIGRATION[] = {
    "CREATE TABLE move(a TEXT, b TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, mode) VALUES('move', 'server');\n"
    "CREATE TABLE item(id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT, c TEXT, n INTEGER NOT NULL DEFAULT 0, mx INTEGER, mn INTEGER, f TEXT, k TEXT,"
    " copy_of TEXT, ok INTEGER NOT NULL DEFAULT 1, st TEXT NOT NULL DEFAULT 'open', sv INTEGER, r REAL);\n"
    "INSERT INTO satchel_table(name) VALUES('item');\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('item','b','group:bc'),('item','c','group:bc'),('item','n','counter'),('item','mx','max'),"
    "('item','mn','min'),('item','f','first'),('item','k','keep:copy_of'),('item','ok','strict'),('item','st','guard:move'),('item','sv','server');\n"
    "CREATE TABLE line(id INTEGER PRIMARY KEY, item TEXT, qty INTEGER CHECK(qty<1000), n INTEGER DEFAULT 0);\n"
    "INSERT INTO satchel_table(name, wins, key) VALUES('line', 'delete', 'natural');\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('line','n','counter');\n"
    "CREATE TABLE tag(x INTEGER, y TEXT, v TEXT, PRIMARY KEY(x, y)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, key) VALUES('tag', 'natural');\n"
    "CREATE TABLE ev(id INTEGER PRIMARY KEY, what TEXT);\n"
    "INSERT INTO satchel_table(name, mode) VALUES('ev', 'append');\n",
    /* P1: r is another column than the r before it. */
    "ALTER TABLE item ADD COLUMN z TEXT DEFAULT 'zz';\nALTER TABLE item DROP COLUMN r;\nALTER TABLE item ADD COLUMN r TEXT;\n",
    ("ALTER TABLE tag RENAME TO mark;\nALTER TABLE line ADD COLUMN hits INTEGER DEFAULT 3;\n"
     "INSERT INTO satchel_rule(tbl,col,rule) VALUES('line','hits','counter');\n"),
    "ALTER TABLE item ADD COLUMN hi INTEGER;\nINSERT INTO satchel_rule(tbl,col,rule) VALUES('item','hi','max');\n",
    /* One of a group has another name; what edits that wait have set in mn is lost, and told. */
    "ALTER TABLE item RENAME COLUMN b TO bee;\nALTER TABLE item DROP COLUMN mn;\n",
    /* Deletion wins, and two may not put the same key. */
    ("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT, hot INTEGER);\nINSERT INTO satchel_table(name, wins) VALUES('note', 'delete');\n"
     "INSERT INTO satchel_rule(tbl,col,rule) VALUES('note','hot','max');\n"),
};
_Static_assert(sizeof MIGRATION / sizeof *MIGRATION == MODEL_EPOCHS, "the model knows each of them");

static const char DATA[] =
    "INSERT INTO move(a,b) VALUES('open','waiting'),('open','solved'),('waiting','solved'),('waiting','open'),('solved','open');\n"
    "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c WHERE i<7) INSERT INTO item(id,a) SELECT 'i'||i, 'base' FROM c;\n"
    "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c WHERE i<7) INSERT INTO line(id,item,qty) SELECT i, 'i'||i, 1 FROM c;\n";

/* ---- the server ---- */

static void write_file(sim *s, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "./schema/%s", name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) sim_fail(s, "cannot write %s", path);
}

static void add_migrations(sim *s) {
    for (; s->migrations < MODEL_EPOCHS && s->migrations <= s->pending_migrations; s->migrations++) {
        char name[32];
        snprintf(name, sizeof name, "%03u_step.sql", s->migrations + 1);
        write_file(s, name, MIGRATION[s->migrations]);
        if (s->migrations == 0) write_file(s, "001_step.data.sql", DATA);
    }
    if (!scope_world(s)) return;
    char rules[2000];
    scope_rules(s, rules, sizeof rules);
    write_file(s, "scope.sql", rules);
}

static uint64_t server_now(void *ctx) {
    sim *s = ctx;
    return sim_clock_ms(s, &s->server_clock);
}

static void no_wake(void *ctx) {
    (void)ctx;
}

/* N2: what was sent is on the disk of who sent it, so that only a file that was copied or put back gives a number twice. N3: a hello that comes late, after a newer
 * connection's, is no sign of one. */
static void check_fork(sim *s, const char *name) {
    unsigned key = name ? (unsigned)strtoul(name + 1, NULL, 10) : SIM_DEVICES;
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].key == key && s->device[i].copied) return;
    sim_fail(s, "the server takes %s, which nobody has copied, for a copy", name ? name : "a device");
}

static void hear(void *ctx, const log_fields *f, const char *text) {
    sim_say(ctx, "server: %s %s", f->device ? f->device : "-", text);
    if (f->event && !strcmp(f->event, "forked")) check_fork(ctx, f->device);
}

static void server_path(const char *name, char out[96]) {
    snprintf(out, 96, "./server/%s", name);
}

#define RESERVE_BYTES (UINT64_C(64) << 20)

/* That of the machine has no part in it. */
static bool server_room(void *ctx, uint64_t *free_bytes, uint64_t *all_bytes) {
    const sim *s = ctx;
    *all_bytes = UINT64_C(1) << 40;
    *free_bytes = s->full_until[SIM_SERVER] ? RESERVE_BYTES / 2 : *all_bytes;
    return true;
}

static int open_hub(sim *s, const char *store_path, buf *error) {
    static char snapshot_path[96];
    server_path("snapshot.db", snapshot_path);
    hub_config hc = {.store = s->store,
                     .watched = s->options.seed % 16 == 1, /* it costs as much as all the rest */
                     .store_path = store_path,
                     .snapshot_path = snapshot_path,
                     .readers = 1,
                     .history_ms = SIM_HISTORY_MS,
                     .horizon_ms = SIM_HORIZON_MS,
                     .disk = server_room,
                     .disk_reserve = RESERVE_BYTES,
                     .now_ms = server_now,
                     .wake = no_wake,
                     .log = hear,
                     .ctx = s};
    return hub_open(&hc, &s->hub, error);
}

uint64_t sim_store_changes(const sim *s) {
    return (uint64_t)s->starts << 40 | (uint64_t)sqlite3_total_changes64(store_db(s->store));
}

/* What is wrong with its disk may keep it from starting: then later. Nothing is wrong with it yet when there are no devices. */
void sim_server_start(sim *s) {
    static char path[96]; /* the hub keeps it */
    buf error;
    s->starts++;
    buf_init(&error, 0);
    s->clock = &s->server_clock;
    add_migrations(s);
    server_path("store.db", path);
    store_config sc = {.path = path, .schema_dir = "./schema", .now_ms = server_now(s), .restored = s->restoring};
    if (s->restoring) sc.restored_as = (const uint8_t *)&s->restored_as;
    int rc = store_open(&sc, &s->store, &error);
    if (!rc && s->restoring) check_scope_restored(store_where(s->store).seq);
    if (!rc) s->restoring = false;
    if (!rc) facts_server_started(s);
    if (!rc) rc = open_hub(s, path, &error);
    if (rc && s->store) {
        store_close(s->store);
        s->store = NULL;
    }
    sim_say(s, "server starts: %s %.*s", rc ? satchel_rc_name(rc) : "up", (int)error.n, error.n ? (const char *)error.p : "");
    if (rc) s->server_starts_at = s->now + MINUTE + sim_spread(s, HOUR / 2);
    if (rc == SATCHEL_E_CORRUPT || rc == SATCHEL_E_NOT_A_DATABASE ||
        (rc && (!s->ndevices || (s->calm && s->now > s->ended + HOUR))))
        sim_fail(s, "the server cannot start: %s: %.*s", satchel_rc_name(rc), (int)error.n, (const char *)error.p);
    s->upkeep_at = s->now + MINUTE;
    buf_fini(&error);
    if (!s->store) return;
    faults_look_revoked(s);
    admin_look(s);
    if (sim_chance(s, 10)) check_recorded_store(s);
}

void sim_server_stop(sim *s) {
    s->clock = &s->server_clock;
    net_server_gone(s);
    if (s->hub) hub_close(s->hub);
    if (s->store && store_where(s->store).floor > s->floor) s->floor = store_where(s->store).floor;
    if (s->store) sim_forget(store_db(s->store));
    if (s->store) store_close(s->store);
    s->hub = NULL;
    s->store = NULL;
    s->busy_until = 0;
    check_bounds_stopped(s, SIM_SERVER);
    s->server_starts_at = s->now + SECOND + sim_spread(s, HOUR);
}

bool sim_server_is_busy(const sim *s) {
    return s->now < s->busy_until;
}

/* The writer and a reader are two threads: either may be the first. */
void sim_server_step(sim *s) {
    s->clock = &s->server_clock;
    bool any = true;
    for (int i = 0; s->hub && any && i < 200; i++) {
        bool reads_first = sim_chance(s, 50);
        any = reads_first && hub_read_step(s->hub, 0);
        any = hub_write_step(s->hub) || any;
        any = (!reads_first && hub_read_step(s->hub, 0)) || any;
    }
}

/* ---- devices ---- */

static void device_path(unsigned i, char out[96]) {
    snprintf(out, 96, "./d%u/app.db", i);
}

static void enrol(sim *s, unsigned i) {
    char name[16];
    uint8_t secret[16] = {(uint8_t)i, 1};
    device_info info;
    snprintf(name, sizeof name, "d%u", i);
    s->clock = &s->server_clock;
    int rc = store_begin(s->store);
    if (!rc) rc = store_enrol_offer(s->store, name, secret, server_now(s) + DAY);
    if (!rc) rc = store_enrol_redeem(s->store, secret, s->device[i].fingerprint, server_now(s), &info);
    if (!rc && scope_has_profile(s, i)) rc = scope_assign(s, i, info.id, server_now(s));
    if (!rc) rc = store_commit(s->store);
    if (rc) sim_fail(s, "cannot enrol a device: %s", satchel_rc_name(rc));
}

void sim_device_add(sim *s) {
    unsigned i = s->ndevices++;
    sim_device *d = &s->device[i];
    char name[16];
    snprintf(name, sizeof name, "d%u", i);
    *d = (sim_device){.key = i, .disk = disk_new(name, sim_random(s))};
    memset(d->fingerprint, (int)i + 1, sizeof d->fingerprint);
    wipe_begin(s, i);
    enrol(s, i);
    sim_device_start(s, i);
}

void sim_device_start(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    char path[96];
    s->clock = &d->clock;
    d->starts_at = UINT64_MAX;
    if (d->wiped) return;
    device_path(i, path);
    int rc = satchel_open(path, NULL, &d->s);
    sim_say(s, "d%u starts: %s", i, rc ? satchel_errmsg(d->s) : "up");
    if (rc == SATCHEL_E_WIPED && !d->wiping) sim_fail(s, "device %u erases itself, and nobody has told it to", i);
    if (rc == SATCHEL_E_WIPED) {
        satchel_close(d->s);
        d->s = NULL;
        wipe_look(s, i);
        return;
    }
    if (rc) {
        if (rc == SATCHEL_E_CORRUPT || rc == SATCHEL_E_NOT_A_DATABASE || (s->calm && s->now > s->ended + HOUR))
            sim_fail(s, "device %u cannot start: %s", i, satchel_errmsg(d->s));
        satchel_close(d->s);
        d->s = NULL;
        d->starts_at = s->now + MINUTE + sim_spread(s, HOUR / 2);
        return;
    }
    d->looked = -1;
    d->has_items = false;
    d->connects_at = s->now + sim_spread(s, MINUTE);
    if (d->connects_at < d->offline_until) d->connects_at = d->offline_until;
    d->works_at = s->now + sim_spread(s, HOUR);
    d->power_lost = d->may_forget;
    history_opened(s, i);
    d->may_forget = false;
}

void sim_device_stop(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    s->clock = &d->clock;
    net_let_go(s, i, sim_spread(s, 2 * MINUTE), false);
    sim_forget(satchel_db(d->s));
    satchel_close(d->s);
    d->s = NULL;
    check_bounds_stopped(s, i);
    d->starts_at = s->now + SECOND + sim_spread(s, 6 * HOUR);
}

bool sim_reap(sim *s) {
    if (disk_is_dead(s->server_disk)) {
        sim_say(s, "the server is dead%s", s->server_power_lost ? ", its power lost" : "");
        sim_happened(s, s->server_power_lost ? FAULT_SERVER_POWER : FAULT_SERVER_KILL);
        sim_server_stop(s);
        disk_revive(s->server_disk, s->server_power_lost);
        return true;
    }
    for (unsigned i = 0; i < s->ndevices; i++) {
        sim_device *d = &s->device[i];
        if (!disk_is_dead(d->disk)) continue;
        sim_say(s, "d%u is dead%s", i, d->power_lost ? ", its power lost" : "");
        sim_happened(s, d->power_lost ? FAULT_DEVICE_POWER : FAULT_DEVICE_KILL);
        if (d->s) sim_device_stop(s, i);
        d->may_forget = d->may_forget || d->power_lost;
        disk_revive(d->disk, d->power_lost);
        if (!d->wiping) check_recorded_file(s, i);
        return true;
    }
    return false;
}
