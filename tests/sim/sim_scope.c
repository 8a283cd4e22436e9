/* Worlds in which devices hold a part: their rules, and what an admin does about who holds what.
 *
 * An item belongs to whom its column sv names, to all if it names nobody; lines follow their items. A device is one user and stands in for the next. Some
 * have no profile and hold everything. Column f is masked from those who have one. By other rules that may be published a device stands in for the one
 * before, or mx is masked, too, or both. */
#include "protocol/value.h"
#include "server/scope.h"
#include "tests/sim/sim.h"

#define USERS 4u

static const char RULES[] =
    "INSERT INTO scope_bucket(tbl,name,value,condition) VALUES('move','all',NULL,NULL),('ev','all',NULL,NULL),('%s','all',NULL,NULL),%s\n"
    "  ('item','all',NULL,'sv IS NULL'),('item','own','sv',NULL);\n"
    "INSERT INTO scope_parent(tbl,parent,columns,condition,missing) VALUES('line','item','item',NULL,'keep');\n"
    "INSERT INTO scope_profile(name,buckets,horizon_days) VALUES('half','SELECT ''all'',NULL UNION ALL SELECT ''own'',:user UNION ALL "
    "SELECT ''own'',(:user+%u)%%%u',%u);\n"
    "INSERT INTO scope_mask(profile,tbl,columns) VALUES('half','item','f%s');\n"
    "INSERT INTO scope_write(profile,tbl,ops,columns,anywhere) VALUES('half','item','insert,update,delete',NULL,0),\n"
    "  ('half','line','insert,update,delete',NULL,0),('half','%s','insert,update,delete',NULL,1),('half','ev','insert,update,delete',NULL,1);\n";

bool scope_world(const sim *s) {
    return s->options.seed % 3 == 0;
}

static void put_rules(unsigned epoch, unsigned rules, char *out, size_t room) {
    const char *tag = epoch < 3 ? "tag" : "mark";
    snprintf(out, room, RULES, tag, epoch < 6 ? "" : "('note','all',NULL,NULL),", rules & RULES_BEFORE ? USERS - 1 : 1, USERS,
             SCOPE_HORIZON_DAYS, rules & RULES_MX ? ",mx" : "", tag);
}

/* A store that was put back to before the third migration goes up through all of them at its next start: at that one the rules are to fit, which is before there is a table of
 * notes; that lies in no bucket until others are published. */
void scope_rules(const sim *s, char *out, size_t room) {
    put_rules(s->migrated && s->migrated < 3 && s->migrations > 5 ? 5 : s->migrations, 0, out, room);
}

unsigned scope_rules_in_force(sim *s) {
    unsigned rules = 0;
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, store_db(s->store), "SELECT text FROM satchel_scope ORDER BY version DESC LIMIT 1");
    const char *text = sqlite3_step(q) == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (text && strstr(text, ":user+3")) rules |= RULES_BEFORE;
    if (text && strstr(text, "f,mx")) rules |= RULES_MX;
    if (text && strstr(text, "'note'")) rules |= RULES_NOTE;
    if (sqlite3_reset(q)) sim_fail(s, "satchel_scope: %s", sqlite3_errmsg(store_db(s->store)));
    disk_look(false);
    return rules;
}

/* One in four holds everything. */
bool scope_has_profile(const sim *s, unsigned i) {
    return scope_world(s) && s->device[i].key % 4 != 3;
}

/* ---- what devices may hold ---- */

static unsigned user_of(sim *s, unsigned i) {
    sqlite3_stmt *q = sim_query(s, store_db(s->store), "SELECT user FROM satchel_device WHERE name=?");
    char name[16];
    snprintf(name, sizeof name, "d%u", s->device[i].key);
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    value v = value_null();
    if (sqlite3_step(q) == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_blob(q, 0);
        if (!p || value_get(&p, p + sqlite3_column_bytes(q, 0), &v)) sim_fail(s, "the user of d%u cannot be read", i);
    }
    sqlite3_reset(q);
    return (unsigned)v.u.i;
}

unsigned scope_users(sim *s, unsigned i, unsigned rules) {
    unsigned user = user_of(s, i);
    return 1u << user | 1u << (user + (rules & RULES_BEFORE ? USERS - 1 : 1)) % USERS;
}

void scope_item_condition(sim *s, unsigned i, char *out, size_t room) {
    /* A key is stored as its bytes: a text's type, length and characters. */
    snprintf(
        out, room,
        "(sv IS NULL OR %u>>sv&1 OR id IN (SELECT CAST(substr(key,3) AS TEXT) FROM satchel_grant JOIN satchel_device d ON d.id=device"
        " WHERE d.name='d%u'))",
        scope_users(s, i, scope_rules_in_force(s)), s->device[i].key);
}

/* ---- the admin ---- */

static int set_scope(store *st, int64_t id, unsigned given, unsigned user, uint64_t now_ms) {
    buf key;
    buf_init(&key, 0);
    value v = value_integer(user);
    value_put(&key, &v);
    device_scope held = {.given = given, .profile = "half", .user = key.p, .nuser = key.n};
    int rc = store_device_set_scope(st, id, &held, now_ms);
    buf_fini(&key);
    return rc;
}

int scope_assign(sim *s, unsigned i, int64_t id, uint64_t now_ms) {
    return set_scope(s->store, id, DEVICE_PROFILE | DEVICE_USER, (s->device[i].key + (unsigned)s->options.seed) % USERS, now_ms);
}

typedef struct user_work {
    hub_job job;
    const uint8_t *fingerprint;
    unsigned user;
    int rc;
} user_work;

static int run_user(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    user_work *w = (user_work *)job;
    device_info d;
    (void)g;
    int rc = store_device_by_fingerprint(st, w->fingerprint, &d);
    return rc ? rc : set_scope(st, d.id, DEVICE_USER, w->user, now_ms);
}

static void user_done(hub_job *job, int rc) {
    ((user_work *)job)->rc = rc;
}

static void give_user(sim *s) {
    unsigned i = sim_below(s, s->ndevices);
    user_work w = {.job = {.run = run_user, .done = user_done}, .fingerprint = s->device[i].fingerprint, .rc = SATCHEL_E_NOMEM};
    w.user = sim_below(s, USERS);
    if (!scope_has_profile(s, i)) return;
    s->clock = &s->server_clock;
    if (hub_submit(s->hub, &w.job)) sim_server_step(s);
    sim_say(s, "d%u becomes user %u: %s", i, w.user, satchel_rc_name(w.rc));
    if (w.rc) return;
    hub_scope_changed(s->hub);
    sim_happened(s, FAULT_VIEW);
}

typedef struct grant_work {
    hub_job job;
    sim *s;
    unsigned device, row;
    uint64_t until_ms;
    int64_t id; /* to take back */
    int rc;
} grant_work;

static int run_grant(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    grant_work *w = (grant_work *)job;
    char name[16], key[16];
    buf error;
    buf_init(&error, 0);
    snprintf(name, sizeof name, "d%u", w->s->device[w->device].key);
    snprintf(key, sizeof key, "'i%u'", w->row);
    int rc = w->id ? scope_revoke_grant(st, ingest_scope(g), w->id, now_ms, &error)
                   : scope_grant(st, ingest_scope(g), name, "item", key, w->until_ms, "takes it along", now_ms, &w->id, &error);
    buf_fini(&error);
    return rc;
}

static void grant_done(hub_job *job, int rc) {
    ((grant_work *)job)->rc = rc;
}

static void give_row(sim *s) {
    grant_work w = {.job = {.run = run_grant, .done = grant_done}, .s = s, .rc = SATCHEL_E_NOMEM};
    w.device = sim_below(s, s->ndevices);
    w.row = sim_below(s, SIM_ROWS);
    s->clock = &s->server_clock;
    w.until_ms = sim_clock_ms(s, s->clock) + sim_spread(s, 30 * DAY);
    if (sim_chance(s, 30)) w.id = sim_ask(s, store_db(s->store), "SELECT ifnull(min(id),0) FROM satchel_grant");
    bool back = w.id > 0;
    if (!scope_has_profile(s, w.device)) return;
    if (hub_submit(s->hub, &w.job)) sim_server_step(s);
    sim_say(s, "%s: i%u for d%u: %s", back ? "a grant is taken back" : "a grant", w.row, w.device, satchel_rc_name(w.rc));
    /* What could not be synced may be there all the same, when the server starts again. */
    if (!back && (!w.rc || w.rc == SATCHEL_E_IO)) check_scope_granted(s->device[w.device].key, w.row);
    if (w.rc) return;
    hub_scope_changed(s->hub);
    sim_happened(s, FAULT_GRANT);
}

typedef struct publish_work {
    hub_job job;
    char rules[2000];
    int rc;
} publish_work;

static int run_publish(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    publish_work *w = (publish_work *)job;
    uint64_t moved;
    buf error;
    (void)g;
    buf_init(&error, 0);
    int rc = scope_publish(st, "scope.sql", w->rules, now_ms, &moved, &error);
    buf_fini(&error);
    return rc;
}

static void publish_done(hub_job *job, int rc) {
    ((publish_work *)job)->rc = rc;
}

static void publish(sim *s) {
    publish_work w = {.job = {.run = run_publish, .done = publish_done}, .rc = SATCHEL_E_NOMEM};
    unsigned rules = sim_below(s, 4);
    put_rules(store_schema(s->store)->epoch, rules, w.rules, sizeof w.rules);
    s->clock = &s->server_clock;
    s->published = true;
    if (hub_submit(s->hub, &w.job)) sim_server_step(s);
    sim_say(s, "rules %u are published: %s", rules, satchel_rc_name(w.rc));
    if (w.rc) return;
    hub_scope_changed(s->hub);
    sim_happened(s, FAULT_PUBLISH);
}

typedef struct life_work {
    hub_job job;
    const uint8_t *fingerprint;
    device_state to; /* 0: it gets a snapshot */
    int64_t id;
    int rc;
} life_work;

static int run_life(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    life_work *w = (life_work *)job;
    device_info d;
    (void)g;
    int rc = store_device_by_fingerprint(st, w->fingerprint, &d);
    if (rc) return rc;
    w->id = d.id;
    return w->to ? store_device_move(st, d.id, w->to, now_ms) : store_device_resnapshot(st, d.id, now_ms);
}

static void life_done(hub_job *job, int rc) {
    ((life_work *)job)->rc = rc;
}

/* As server/control_device.c does it; `close`: what the device is told. */
static bool change_life(sim *s, unsigned i, device_state to, int close) {
    life_work w = {
        .job = {.run = run_life, .done = life_done}, .fingerprint = s->device[i].fingerprint, .to = to, .rc = SATCHEL_E_NOMEM};
    s->clock = &s->server_clock;
    if (hub_submit(s->hub, &w.job)) sim_server_step(s);
    sim_say(s, "d%u %s: %s", i,
            to == DEVICE_ACTIVE ? "is resumed"
            : to                ? "is paused"
                                : "is to get a snapshot",
            satchel_rc_name(w.rc));
    if (!w.rc && close) hub_drop_device(s->hub, w.id, close);
    return !w.rc;
}

static bool is_in_state(sim *s, unsigned i, device_state state) {
    return sim_ask(s, store_db(s->store), "SELECT state FROM satchel_device WHERE name='d%u'", s->device[i].key) ==
           (int64_t)state;
}

void scope_tend(sim *s) {
    if (!scope_world(s) || !s->hub || disk_is_dead(s->server_disk)) return;
    for (unsigned i = 0; i < s->ndevices; i++) {
        if (disk_is_dead(s->server_disk)) return;
        if (is_in_state(s, i, DEVICE_PAUSED) && (s->calm || sim_chance(s, 30))) change_life(s, i, DEVICE_ACTIVE, 0);
    }
}

void scope_strike(sim *s, sim_fault f) {
    unsigned i = sim_below(s, s->ndevices);
    if (!scope_world(s) || !s->hub || disk_is_dead(s->server_disk)) return;
    if (f == FAULT_VIEW)
        give_user(s);
    else if (f == FAULT_GRANT)
        give_row(s);
    else if (f == FAULT_PUBLISH)
        publish(s);
    else if (f == FAULT_MOVE)
        work_server_moves(s);
    else if (is_in_state(s, i, DEVICE_ACTIVE) &&
             change_life(s, i, f == FAULT_PAUSE ? DEVICE_PAUSED : 0, f == FAULT_PAUSE ? SATCHEL_E_PAUSED : SATCHEL_E_CLOSED))
        sim_happened(s, f);
}
