/* The admin: now and then he discards or retries what the server has refused of a device, whether that is connected or not (N6).
 *
 * His chances are drawn apart: a world is the same as without him until he does something. */
#include "protocol/value.h"
#include "server/refusal.h"
#include "tests/sim/sim.h"

static unsigned draw(sim *s, unsigned n) {
    uint64_t others = s->random;
    s->random = s->admin_random;
    unsigned drawn = sim_below(s, n);
    s->admin_random = s->random;
    s->random = others;
    return drawn;
}

void admin_choose(sim *s) {
    s->admin_random = s->options.seed * UINT64_C(0x9e3779b97f4a7c15) + 2;
    if (draw(s, 2)) s->faults |= SIM_FAULT_BIT(FAULT_SETTLE);
}

/* ---- one refusal ---- */

typedef struct admin_work {
    hub_job job;
    char device[16];
    unsigned key; /* of the device */
    unsigned n;   /* the transaction */
    int code;     /* why it was refused */
    int64_t author;
    uint64_t number;
    bool retries, done;
    int rc;
} admin_work;

/* As server/control_rejected.c does it. */
static int run_settle(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    admin_work *w = (admin_work *)job;
    int64_t author;
    uint64_t seq;
    buf error;
    buf_init(&error, 0);
    int rc = refusal_find(st, w->device, w->number, &w->author, &author);
    if (!rc && w->retries) rc = refusal_retry(st, g, author, w->number, NULL, now_ms, &seq, &error);
    if (!rc && !w->retries) rc = refusal_discard(st, author, w->number, now_ms);
    buf_fini(&error);
    return rc;
}

static void settle_done(hub_job *job, int rc) {
    admin_work *w = (admin_work *)job;
    w->rc = rc;
    w->done = true;
}

/* Which transaction was refused: the row of its witness is among those that the server keeps of it. */
static unsigned find_witness(sim *s, const admin_work *w) {
    unsigned ev = schema_table_by_name(store_schema(s->store), "ev")->id, found = SIM_TXNS;
    sqlite3_stmt *q =
        sim_query(s, store_db(s->store), "SELECT key FROM satchel_refused_row WHERE author=? AND number=? AND tbl=?");
    sqlite3_bind_int64(q, 1, w->author);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)w->number);
    sqlite3_bind_int(q, 3, (int)ev);
    while (sqlite3_step(q) == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_blob(q, 0), *end = p + sqlite3_column_bytes(q, 0);
        value v;
        if (!value_get(&p, end, &v) && v.type == VALUE_INTEGER && v.u.i < s->ntxn) found = (unsigned)v.u.i;
    }
    sqlite3_reset(q);
    if (found == SIM_TXNS) sim_fail(s, "refused transaction %" PRIu64 " of %s is kept without its witness", w->number, w->device);
    return found;
}

/* Any of those that are open. False: there is none. */
static bool choose(sim *s, admin_work *w) {
    int64_t open = sim_ask(s, store_db(s->store), "SELECT count(*) FROM satchel_refused WHERE state='open'");
    if (open <= 0) return false;
    sqlite3_stmt *q =
        sim_query(s, store_db(s->store),
                  "SELECT f.author,f.number,d.name,r.rc FROM satchel_refused f JOIN satchel_result r USING(author,number)"
                  " JOIN satchel_author a USING(author) JOIN satchel_device d ON d.id=a.device WHERE f.state='open'"
                  " ORDER BY f.author,f.number LIMIT 1 OFFSET ?");
    sqlite3_bind_int64(q, 1, draw(s, (unsigned)open));
    bool found = sqlite3_step(q) == SQLITE_ROW;
    if (found) {
        w->author = sqlite3_column_int64(q, 0);
        w->number = (uint64_t)sqlite3_column_int64(q, 1);
        snprintf(w->device, sizeof w->device, "%s", (const char *)sqlite3_column_text(q, 2));
        w->key = (unsigned)strtoul(w->device + 1, NULL, 10);
        w->code = sqlite3_column_int(q, 3);
    }
    sqlite3_reset(q);
    if (!found) sim_fail(s, "a refusal is open, and has no result or no device");
    w->n = find_witness(s, w);
    return true;
}

static bool has(sim *s, unsigned n) {
    return sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", n) > 0;
}

/* What the server may have taken from another copy he looks up, and leaves what another file may bring. He may take away what was appended, and does not: of
 * which row, nobody has followed. */
static bool decide(sim *s, admin_work *w) {
    const sim_txn *t = &s->txn[w->n];
    w->retries = draw(s, 2) && !t->takes_away;
    if (w->code != SATCHEL_E_FORGOTTEN) return true;
    w->retries = !has(s, w->n);
    return !w->retries || (!t->takes_away && !(t->holders & (t->holders - 1)));
}

/* ---- what came of it ---- */

static void note_retried(sim *s, unsigned n, unsigned key, uint64_t number) {
    sim_txn *t = &s->txn[n];
    uint8_t there[SIM_TXNS / 8];
    if (!has(s, n)) sim_fail(s, "an admin has retried t%u, and it is not on the server", n);
    t->given = true;
    t->cut_off = false;
    facts_admin(s, t, key, number);
    /* The server's author sees all that the store has. */
    history_witnesses(s, store_db(s->store), there);
    for (unsigned i = 0; i < sizeof there; i++) t->known[i] |= there[i];
}

static void note(sim *s, unsigned n) {
    sim_txn *t = &s->txn[n];
    unsigned key = s->device[t->author].key;
    uint64_t number = t->admin.number;
    sim_happened(s, FAULT_SETTLE);
    t->admin.ever |= t->admin.tried;
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].key == key && number < SIM_TXNS) s->device[i].refused[number / 8] |= (uint8_t)(1u << number % 8);
    if (t->admin.tried == SETTLED_RETRIED)
        note_retried(s, n, key, number);
    else
        t->given_up = true;
}

static settled state_of(sim *s, const sim_settling *a) {
    static const char *const STATE[] = {"", "discarded", "retried"};
    static const char sql[] =
        "SELECT count(*) FROM satchel_refused WHERE author=%" PRId64 " AND number=%" PRIu64 " AND state='%s'";
    return sim_ask(s, store_db(s->store), sql, a->author, a->number, STATE[a->tried]) > 0 ? a->tried : SETTLED_NOT;
}

/* What does not stand, as it failed or the server was put back, no backup has any more: from then on others may settle it. */
static void look_at(sim *s, unsigned n) {
    sim_settling *a = &s->txn[n].admin;
    settled is = state_of(s, a);
    if (is != a->stands) sim_say(s, "what the admin did about t%u %s", n, is ? "stands" : "is forgotten");
    a->stands = is;
    if (a->unsure && is) note(s, n);
    a->unsure = false;
    if (!is) a->tried = SETTLED_NOT;
}

void admin_look(sim *s) {
    for (unsigned n = 0; n < s->ntxn; n++)
        if (s->txn[n].admin.tried) look_at(s, n);
}

static void settle(sim *s, admin_work *w) {
    sim_settling *a = &s->txn[w->n].admin;
    s->clock = &s->server_clock;
    if (!hub_submit(s->hub, &w->job)) settle_done(&w->job, SATCHEL_E_NOMEM);
    sim_server_step(s);
    if (!w->done) sim_fail(s, "the server did not do what its admin told it");
    check_scope_look(s); /* he may give an item away, and another commit follow before anything leaves the server */
    sim_say(s, "the admin %s %" PRIu64 " of %s (t%u): %s", w->retries ? "retries" : "discards", w->number, w->device, w->n,
            satchel_rc_name(w->rc));
    /* He was too late, or it is refused again. */
    if (w->rc && w->rc != SATCHEL_E_IO && w->rc != SATCHEL_E_FULL && w->rc != SATCHEL_E_NOMEM) return;
    *a = (sim_settling){.author = w->author,
                        .number = w->number,
                        .tried = w->retries ? SETTLED_RETRIED : SETTLED_DISCARDED,
                        .unsure = true,
                        .ever = a->ever};
    if (!disk_is_dead(s->server_disk)) look_at(s, w->n);
    if (!w->rc && !a->stands && !disk_is_dead(s->server_disk))
        sim_fail(s, "an admin has settled t%u, and its refusal is open", w->n);
}

#define SELDOM 60u /* times that the server has upkeep; */
#define OFTEN 10u  /* while what he does may be forgotten, as there is a backup from before */

void admin_tend(sim *s) {
    if (!faults_may(s, FAULT_SETTLE) || s->calm) return;
    bool forgets = faults_may(s, FAULT_RESTORE) && s->backup_at && s->now - s->backup_at < SIM_HISTORY_MS;
    if (draw(s, forgets ? OFTEN : SELDOM) || !s->store || disk_is_dead(s->server_disk)) return;
    admin_work w = {.job = {.run = run_settle, .done = settle_done}};
    disk_look(true);
    bool will = choose(s, &w) && decide(s, &w);
    disk_look(false);
    if (will) settle(s, &w);
}
