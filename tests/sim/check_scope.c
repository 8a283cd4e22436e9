/* No row outside a device's view, and no masked column, is sent to it: each frame is looked at as it leaves the server.
 *
 * The log is history: what a device gets of a commit is what it was to hold of it then. */
#include "protocol/delta.h"
#include "protocol/message.h"
#include "tests/sim/sim.h"

/* Whom an item belonged to from a commit on, or from one not before `early`; -1: nobody, so all. */
typedef struct belonging {
    uint64_t early, seq;
    unsigned row;
    int user;
} belonging;
#define BELONGINGS 4096u
static belonging given[BELONGINGS];
static unsigned ngiven;
static uint64_t looked, looked_before; /* the store's seq at the last look, and at the one before */
static uint64_t looked_changes;
static unsigned looked_devices;

/* Whose items devices hold now and held at the last look, a bit for each user; which items a device was ever granted, by its key; and whether mx is masked
 * now, and was. */
static unsigned users_now[SIM_DEVICES], users_before[SIM_DEVICES], granted[SIM_DEVICES];
static bool mx_now, mx_before;

/* Whose items a device, by its key, was to hold from a commit on that lies from `early` to `seq`. What it was given while no copy of it was served counts when
 * it comes: until `told`, the server's last commit when it was first told, it may write what it held before. */
typedef struct assignment {
    uint64_t early, seq, told;
    unsigned key, users;
} assignment;
#define ASSIGNMENTS 4096u
static assignment made[ASSIGNMENTS];
static unsigned nmade;

void check_scope_begin(void) {
    ngiven = nmade = 0;
    looked = looked_changes = 0;
    memset(granted, 0, sizeof granted);
}

void check_scope_granted(unsigned key, unsigned row) {
    granted[key] |= 1u << row;
}

/* The server was put back: what came after is no more. */
void check_scope_restored(uint64_t seq) {
    unsigned n = 0;
    for (unsigned i = 0; i < ngiven; i++)
        if (given[i].seq <= seq) given[n++] = given[i];
    ngiven = n;
    looked = seq;
}

static int user_at(unsigned row, uint64_t seq) {
    int user = -1;
    for (unsigned i = 0; i < ngiven; i++)
        if (given[i].row == row && given[i].seq <= seq) user = given[i].user;
    return user;
}

/* The server's author alone gives items away, one in a commit; other commits of its own may come between two looks. */
static void look_at_items(sim *s) {
    sqlite3_stmt *q = sim_query(s, store_db(s->store), "SELECT substr(id,2),ifnull(sv,-1) FROM item WHERE id GLOB 'i[0-7]'");
    while (sqlite3_step(q) == SQLITE_ROW) {
        unsigned row = (unsigned)sqlite3_column_int(q, 0);
        int user = sqlite3_column_int(q, 1);
        if (user == user_at(row, UINT64_MAX) || ngiven == BELONGINGS) continue;
        static const char commits[] = "SELECT %s(id)>>24 FROM satchel_log WHERE author=0 AND id>=%" PRIu64;
        uint64_t after = (looked + 1) << 24, early = (uint64_t)sim_ask(s, store_db(s->store), commits, "min", after),
                 seq = (uint64_t)sim_ask(s, store_db(s->store), commits, "max", after);
        given[ngiven++] = (belonging){.early = early, .seq = seq, .row = row, .user = user};
    }
    sqlite3_reset(q);
    looked = store_where(s->store).seq;
}

static const assignment *last_assignment(unsigned key) {
    for (unsigned n = nmade; n-- > 0;)
        if (made[n].key == key) return &made[n];
    return NULL;
}

static void look_at_users(sim *s, unsigned i, unsigned rules, uint64_t early) {
    unsigned key = s->device[i].key;
    const assignment *last = last_assignment(key);
    users_before[i] = users_now[i];
    users_now[i] = scope_has_profile(s, i) ? scope_users(s, i, rules) : 0;
    if (last && last->users == users_now[i]) return;
    if (nmade == ASSIGNMENTS) sim_fail(s, "devices are given to more users than a simulation holds");
    made[nmade++] = (assignment){
        .early = last ? early : 0, .seq = last ? looked : 0, .told = last ? UINT64_MAX : 0, .key = key, .users = users_now[i]};
}

/* The server works out what a device is to hold before it welcomes it; who is paused hears of an error alone. */
static void note_told(sim *s, unsigned key) {
    for (unsigned n = 0; n < nmade; n++)
        if (made[n].key == key && made[n].told == UINT64_MAX) made[n].told = store_where(s->store).seq;
}

void check_scope_look(sim *s) {
    if (!scope_world(s) || !s->store || disk_is_dead(s->server_disk)) return;
    uint64_t early = looked_before = looked, changes = sim_store_changes(s);
    if (changes == looked_changes && s->ndevices == looked_devices) {
        memcpy(users_before, users_now, sizeof users_before);
        mx_before = mx_now;
        return;
    }
    looked_changes = changes;
    looked_devices = s->ndevices;
    disk_look(true);
    look_at_items(s);
    unsigned rules = scope_rules_in_force(s);
    for (unsigned i = 0; i < s->ndevices; i++) look_at_users(s, i, rules, early);
    mx_before = mx_now;
    mx_now = rules & RULES_MX;
    disk_look(false);
}

/* ---- what a device holds ---- */

/* Whose items the device holds at a commit, for certain and perhaps: one that was away meanwhile may go on to there with what it held before, or with what it
 * is to hold by now. */
static void find_users(unsigned key, uint64_t seq, unsigned *certain, unsigned *perhaps) {
    unsigned before = 0;
    *certain = ~0u;
    *perhaps = 0;
    for (unsigned n = 0; n < nmade; n++) {
        const assignment *a = &made[n];
        if (a->key != key) continue;
        if (a->seq < seq) {
            before = a->users;
            continue;
        }
        *certain &= a->users;
        *perhaps |= a->users;
    }
    *certain &= before;
    *perhaps |= before;
}

/* Whose the item is at a commit; false: that may be the one at which it became theirs. */
static bool find_owner(unsigned row, uint64_t seq, int *user) {
    *user = user_at(row, seq);
    for (unsigned n = 0; n < ngiven; n++)
        if (given[n].row == row && given[n].early <= seq && given[n].seq > seq) return false;
    return true;
}

scope_answer check_scope_holds(const sim *s, unsigned device, unsigned row, uint64_t seq) {
    unsigned key = s->device[device].key, certain, perhaps;
    int owner;
    if (!find_owner(row, seq, &owner)) return SCOPE_UNKNOWN;
    if (owner < 0) return SCOPE_YES;
    find_users(key, seq, &certain, &perhaps);
    if (certain >> owner & 1) return SCOPE_YES;
    return (perhaps >> owner | granted[key] >> row) & 1 ? SCOPE_UNKNOWN : SCOPE_NO;
}

static bool held_as(const sim *s, unsigned device, unsigned row, uint64_t from, uint64_t to, int owner) {
    if (owner < 0) return true;
    for (unsigned n = 0; n < nmade; n++) {
        const assignment *a = &made[n];
        bool ended = false;
        for (unsigned k = n + 1; k < nmade && !ended; k++) ended = made[k].key == a->key && made[k].told < from;
        if (a->key == s->device[device].key && a->early <= to && !ended && a->users >> owner & 1) return true;
    }
    return granted[s->device[device].key] >> row & 1;
}

bool check_scope_held_between(const sim *s, unsigned device, unsigned row, uint64_t from, uint64_t to) {
    if (held_as(s, device, row, from, to, user_at(row, from))) return true;
    for (unsigned n = 0; n < ngiven; n++) {
        const belonging *b = &given[n];
        if (b->row == row && b->early <= to && b->seq > from && held_as(s, device, row, from, to, b->user)) return true;
    }
    return false;
}

/* It comes to belong to them about then. */
static bool is_coming(unsigned device, unsigned row, uint64_t seq) {
    for (unsigned i = 0; i < ngiven; i++) {
        const belonging *b = &given[i];
        if (b->row != row || b->early > seq || b->seq <= seq) continue;
        if (b->user < 0 || users_now[device] >> b->user & 1) return true;
    }
    return false;
}

static bool may_hold(const sim *s, unsigned device, unsigned row, uint64_t seq) {
    int user = user_at(row, seq);
    return user < 0 || is_coming(device, row, seq) || granted[s->device[device].key] >> row & 1 ||
           (users_now[device] | users_before[device]) >> user & 1;
}

/* The item that a row of item or line belongs to; SIM_ROWS: none that moves. */
static unsigned item_of(const schema_table *t, const delta_row *row) {
    if (!strcmp(t->name, "line")) return row->key[0].type == VALUE_INTEGER ? (unsigned)row->key[0].u.i : SIM_ROWS;
    const value *k = &row->key[0];
    return k->type == VALUE_TEXT && k->n == 2 && k->u.p[0] == 'i' ? (unsigned)(k->u.p[1] - '0') : SIM_ROWS;
}

static void check_mask(sim *s, unsigned device, const schema_table *t, uint32_t column) {
    const schema_column *c = schema_column_by_id(t, column);
    if (!strcmp(t->name, "item") && c && (!strcmp(c->name, "f") || (mx_now && mx_before && !strcmp(c->name, "mx"))))
        sim_fail(s, "d%u is sent column %s of an item, which is masked from it", device, c->name);
}

static void check_row(sim *s, unsigned device, const delta_row *row, uint64_t seq) {
    const schema_table *t = schema_table_by_id(store_schema(s->store), row->table);
    if (!t || (strcmp(t->name, "item") && strcmp(t->name, "line"))) return;
    if (row->op != DELTA_PUT && row->op != DELTA_UPDATE) return;
    for (unsigned i = 0; i < row->ncol; i++) check_mask(s, device, t, row->col[i].id);
    unsigned item = item_of(t, row);
    s->figures.scoped++;
    if (item >= SIM_ROWS || may_hold(s, device, item, seq)) return;
    sim_fail(s, "d%u (users %x, before %x) is sent %s of i%u, which belonged to %d at commit %" PRIu64, device, users_now[device],
             users_before[device], t->name, item, user_at(item, seq), seq);
}

static void check_delta(sim *s, unsigned device, const uint8_t *p, size_t n, uint64_t seq) {
    static delta_row row;
    delta_reader r;
    wire w;
    wire_open(&w, p, n);
    delta_open(&r, &w);
    while (delta_next(&r, &row) == 1) check_row(s, device, &row, seq);
}

/* What it had to send when it came is taken in before it is told to forget rows. */
static void check_taken(sim *s, unsigned device) {
    const sim_device *d = &s->device[device];
    if (!d->s || disk_is_dead(d->disk)) return;
    sqlite3_stmt *q = sim_query(s, satchel_db(d->s), "SELECT hex(id),n FROM satchel_outbox WHERE state=0 AND n<=?");
    sqlite3_bind_int64(q, 1, (sqlite3_int64)d->came_with);
    while (sqlite3_step(q) == SQLITE_ROW) {
        static const char sql[] = "SELECT count(*) FROM satchel_result WHERE id=x'%s'";
        if (sim_ask(s, store_db(s->store), sql, (const char *)sqlite3_column_text(q, 0)) == 0)
            sim_fail(s, "d%u is given another view before its transaction %d was taken in", device, sqlite3_column_int(q, 1));
    }
    sqlite3_reset(q);
}

static void check_page(sim *s, const connection *to, const buf *m) {
    unsigned device = to->device;
    page_reader r;
    msg_page head;
    page_commit c = {0};
    if (page_open(&r, m->p, m->n, &head)) sim_fail(s, "d%u is sent a page that cannot be read", device);
    /* One that the device has given up knows what it came with then. */
    if (head.view && to->held) check_taken(s, device);
    while (page_next(&r, &c) == 1) check_delta(s, device, c.delta, c.ndelta, c.seq);
}

static void check_snapshot(sim *s, unsigned device, const buf *m) {
    static snapshot_range range;
    snapshot_reader r;
    msg_snapshot head;
    if (snapshot_open(&r, m->p, m->n, &head)) sim_fail(s, "d%u is sent a snapshot that cannot be read", device);
    while (snapshot_next(&r, &range) == 1) check_delta(s, device, range.delta, range.ndelta, head.seq);
}

/* Nobody but faults_rot writes a wrong value: another range that differs was made to by one of the two sides. */
static void check_repair(sim *s, unsigned device, const buf *m) {
    static snapshot_range range;
    snapshot_reader r;
    msg_repair head;
    if (repair_open(&r, m->p, m->n, &head)) sim_fail(s, "d%u is sent a repair that cannot be read", device);
    if (head.ranges && !s->rotten) sim_fail(s, "d%u is told at %" PRIu64 " that its rows are not the server's", device, head.seq);
    while (snapshot_next(&r, &range) == 1) check_delta(s, device, range.delta, range.ndelta, head.seq);
}

/* Of what it does not hold now it is told that it lost, and not to what. */
static void check_losses(sim *s, unsigned device, const buf *m) {
    static delta_row row;
    losses_reader r;
    msg_loss l;
    if (losses_open(&r, m->p, m->n)) sim_fail(s, "d%u is sent losses that cannot be read", device);
    while (losses_next(&r, &l) == 1) {
        const schema_table *t = schema_table_by_id(store_schema(s->store), l.table);
        const uint8_t *p = l.key;
        if (!t || l.kept.type == VALUE_NULL || value_get(&p, p + l.nkey, &row.key[0])) continue;
        row.table = l.table;
        row.op = DELTA_PUT;
        row.ncol = 0;
        check_mask(s, device, t, l.column);
        unsigned item = item_of(t, &row);
        /* It may have been given away since this was said, between two looks. */
        bool held = item < SIM_ROWS && may_hold(s, device, item, looked_before);
        check_row(s, device, &row, held ? looked_before : UINT64_MAX);
    }
}

void check_scope_frame(sim *s, const connection *to, const void *bytes, size_t n) {
    unsigned device = to->device;
    if (!scope_has_profile(s, device)) return;
    buf m;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    disk_look(true); /* it has memory, whatever the server lacks */
    if (frame_unpack(bytes, n, &m)) sim_fail(s, "d%u is sent a frame that cannot be read", device);
    message_type type = message_peek(m.p, m.n);
    if (type == MSG_WELCOME || type == MSG_PAGE || type == MSG_SNAPSHOT) note_told(s, s->device[device].key);
    if (type == MSG_PAGE) check_page(s, to, &m);
    if (type == MSG_SNAPSHOT) check_snapshot(s, device, &m);
    if (type == MSG_LOSSES) check_losses(s, device, &m);
    if (type == MSG_REPAIR) check_repair(s, device, &m);
    buf_fini(&m);
    disk_look(false);
}

/* What a grant gave is taken back when its time is over. */
void check_scope_at_rest(sim *s) {
    if (!scope_world(s)) return;
    int64_t over = sim_ask(s, store_db(s->store), "SELECT count(*) FROM satchel_grant WHERE until_ms<%" PRIu64,
                           sim_clock_ms(s, &s->server_clock) - DAY);
    if (over) sim_fail(s, "%" PRId64 " grants are over since a day, and still there", over);
}
