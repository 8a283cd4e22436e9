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
static uint64_t looked; /* the store's seq at the last look */

/* What the users of devices are now and were at the last look; and which items a device was ever granted, by its key. */
static unsigned user_now[SIM_DEVICES], user_before[SIM_DEVICES], granted[SIM_DEVICES];

void check_scope_begin(void) {
    ngiven = 0;
    looked = 0;
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

void check_scope_look(sim *s) {
    if (!scope_world(s) || !s->store || disk_is_dead(s->server_disk)) return;
    disk_look(true);
    look_at_items(s);
    for (unsigned i = 0; i < s->ndevices; i++) {
        user_before[i] = user_now[i];
        user_now[i] = scope_has_profile(s, i) ? scope_user(s, i) : 0;
    }
    disk_look(false);
}

/* It comes to belong to them about then. */
static bool is_coming(unsigned device, unsigned row, uint64_t seq) {
    for (unsigned i = 0; i < ngiven; i++) {
        const belonging *b = &given[i];
        if (b->row != row || b->early > seq || b->seq <= seq) continue;
        if (b->user < 0 || scope_stands_for(user_now[device], (unsigned)b->user)) return true;
    }
    return false;
}

static bool may_hold(const sim *s, unsigned device, unsigned row, uint64_t seq) {
    int user = user_at(row, seq);
    return user < 0 || is_coming(device, row, seq) || granted[s->device[device].key] >> row & 1 || scope_stands_for(user_now[device], (unsigned)user) || scope_stands_for(user_before[device], (unsigned)user);
}

/* The item that a row of item or line belongs to; SIM_ROWS: none that moves. */
static unsigned item_of(const schema_table *t, const delta_row *row) {
    if (!strcmp(t->name, "line")) return row->key[0].type == VALUE_INTEGER ? (unsigned)row->key[0].u.i : SIM_ROWS;
    const value *k = &row->key[0];
    return k->type == VALUE_TEXT && k->n == 2 && k->u.p[0] == 'i' ? (unsigned)(k->u.p[1] - '0') : SIM_ROWS;
}

static void check_mask(sim *s, unsigned device, const schema_table *t, const delta_row *row) {
    for (unsigned i = 0; i < row->ncol; i++) {
        const schema_column *c = schema_column_by_id(t, row->col[i].id);
        if (c && !strcmp(c->name, "f")) sim_fail(s, "d%u is sent column f of an item, which is masked from it", device);
    }
}

static void check_row(sim *s, unsigned device, const delta_row *row, uint64_t seq) {
    const schema_table *t = schema_table_by_id(store_schema(s->store), row->table);
    if (!t || (strcmp(t->name, "item") && strcmp(t->name, "line"))) return;
    if (row->op != DELTA_PUT && row->op != DELTA_UPDATE) return;
    if (!strcmp(t->name, "item")) check_mask(s, device, t, row);
    unsigned item = item_of(t, row);
    s->figures.scoped++;
    if (item >= SIM_ROWS || may_hold(s, device, item, seq)) return;
    sim_fail(s, "d%u (user %u, before %u) is sent %s of i%u, which belonged to %d at commit %" PRIu64, device, user_now[device],
             user_before[device], t->name, item, user_at(item, seq), seq);
}

static void check_delta(sim *s, unsigned device, const uint8_t *p, size_t n, uint64_t seq) {
    static delta_row row;
    delta_reader r;
    wire w;
    wire_open(&w, p, n);
    delta_open(&r, &w);
    while (delta_next(&r, &row) == 1) check_row(s, device, &row, seq);
}

static void check_page(sim *s, unsigned device, const buf *m) {
    page_reader r;
    msg_page head;
    page_commit c = {0};
    if (page_open(&r, m->p, m->n, &head)) sim_fail(s, "d%u is sent a page that cannot be read", device);
    while (page_next(&r, &c) == 1) check_delta(s, device, c.delta, c.ndelta, c.seq);
}

static void check_snapshot(sim *s, unsigned device, const buf *m) {
    static snapshot_range range;
    snapshot_reader r;
    msg_snapshot head;
    if (snapshot_open(&r, m->p, m->n, &head)) sim_fail(s, "d%u is sent a snapshot that cannot be read", device);
    while (snapshot_next(&r, &range) == 1) check_delta(s, device, range.delta, range.ndelta, head.seq);
}

/* Nothing here writes a wrong value: a range that differs was made to by one of the two sides. */
static void check_repair(sim *s, unsigned device, const buf *m) {
    snapshot_reader r;
    msg_repair head;
    if (repair_open(&r, m->p, m->n, &head)) sim_fail(s, "d%u is sent a repair that cannot be read", device);
    if (head.ranges) sim_fail(s, "d%u is told at %" PRIu64 " that its rows are not the server's", device, head.seq);
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
        check_row(s, device, &row, UINT64_MAX);
    }
}

void check_scope_frame(sim *s, unsigned device, const void *bytes, size_t n) {
    if (!scope_has_profile(s, device)) return;
    buf m;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    if (frame_unpack(bytes, n, &m)) sim_fail(s, "d%u is sent a frame that cannot be read", device);
    message_type type = message_peek(m.p, m.n);
    if (type == MSG_PAGE) check_page(s, device, &m);
    if (type == MSG_SNAPSHOT) check_snapshot(s, device, &m);
    if (type == MSG_LOSSES) check_losses(s, device, &m);
    if (type == MSG_REPAIR) check_repair(s, device, &m);
    buf_fini(&m);
}
