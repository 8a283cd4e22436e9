/* What people do on devices, and the server's own author. */
#include "tests/sim/sim.h"

/* ---- SQL that may fail because the node is in trouble ---- */

typedef struct work {
    sim *s;
    unsigned i;
    sqlite3 *db;
    uint32_t epoch;
    sim_txn *t;
    int rc;         /* sticky */
    bool savepoint; /* an outermost SAVEPOINT is the transaction */
} work;

static void run(work *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void run(work *w, const char *format, ...) {
    char sql[512];
    va_list args;
    if (w->rc) return;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    w->rc = sqlite3_exec(w->db, sql, NULL, NULL, NULL);
    /* A person who is told of a doubled key or a CHECK goes on with something else. */
    if ((w->rc & 0xff) == SQLITE_CONSTRAINT) w->rc = SQLITE_OK;
    if (!w->rc) return;
    sim_say(w->s, "d%u %s: %s", w->i, sql, sqlite3_errmsg(w->db));
    int code = w->rc & 0xff;
    bool excused = code == SQLITE_IOERR || code == SQLITE_FULL || code == SQLITE_NOMEM || code == SQLITE_BUSY;
    if (!excused) sim_fail(w->s, "device %u: %s: %s (%d)", w->i, sql, sqlite3_errmsg(w->db), w->rc);
}

static const char *tag(const work *w) {
    return w->epoch < 3 ? "tag" : "mark";
}

static unsigned number(const work *w) {
    return (unsigned)(w->t - w->s->txn);
}

/* ---- changes ---- */

static void change_counter(work *w, unsigned row) {
    int by = (int)sim_below(w->s, 9) - 3;
    if (sim_ask(w->s, w->db, "SELECT count(*) FROM item WHERE id='i%u'", row) != 1) return;
    run(w, "UPDATE item SET n=n+%d WHERE id='i%u'", by, row);
    if (!w->rc) history_add(w->t, OP_ADD, row, by);
}

static void change_value(work *w, unsigned row) {
    if (sim_ask(w->s, w->db, "SELECT count(*) FROM item WHERE id='i%u'", row) != 1) return;
    run(w, "UPDATE item SET a='a%u' WHERE id='i%u'", number(w), row);
    if (!w->rc) history_add(w->t, OP_VALUE, row, 0);
}

static void change_item(work *w, unsigned row) {
    static const char *const states[] = {"open", "waiting", "solved"};
    unsigned v = sim_below(w->s, 50);
    switch (sim_below(w->s, 8)) {
    case 0:
        run(w, "UPDATE item SET b='b%u', c='c%u' WHERE id='i%u'", v, v, row);
        break;
    case 1:
        run(w, "UPDATE item SET mx=%u, mn=%u WHERE id='i%u'", v, v, row);
        break;
    case 2:
        run(w, "UPDATE item SET f='f%u' WHERE id='i%u'", v, row);
        break;
    case 3:
        run(w, "UPDATE item SET k='a text of %u by d%u' WHERE id='i%u'", v, w->i, row);
        break;
    case 4:
        run(w, "UPDATE item SET ok=%u WHERE id='i%u'", v % 2, row);
        break;
    case 5:
        run(w, "UPDATE item SET st='%s' WHERE id='i%u'", states[v % 3], row);
        break;
    case 6:
        run(w, "UPDATE item SET r=%s WHERE id='i%u'", w->epoch < 2 ? "1.5" : "'new'", row);
        break;
    default:
        run(w, "INSERT INTO item(id,a) VALUES('x%u','extra')", number(w));
        run(w, "DELETE FROM item WHERE id=(SELECT id FROM item WHERE id LIKE 'x%%' LIMIT 1)");
    }
}

static void change_other(work *w, unsigned row) {
    unsigned v = sim_below(w->s, 50);
    switch (sim_below(w->s, 6)) {
    case 0:
        run(w, "DELETE FROM line WHERE id=%u", row);
        break;
    case 1:
        run(w, "INSERT INTO line(id,item,qty,n) VALUES(%u,'i%u',%u,1) ON CONFLICT DO UPDATE SET qty=excluded.qty", row, row, v);
        break;
    case 2:
        run(w, "UPDATE line SET qty=%u, n=n+1 WHERE id=%u", v, row);
        break;
    case 3:
        run(w, "REPLACE INTO %s VALUES(%u,'y','t%u')", tag(w), row, v);
        break;
    case 4:
        run(w, "DELETE FROM %s WHERE x=%u", tag(w), row);
        break;
    default:
        run(w, "UPDATE %s SET x=x+10 WHERE x=%u", tag(w), row);
    }
}

static void change_in_savepoint(work *w, unsigned row) {
    run(w, "SAVEPOINT one");
    change_item(w, row);
    run(w, "SAVEPOINT two");
    change_other(w, row);
    run(w, sim_chance(w->s, 50) ? "ROLLBACK TO two" : "RELEASE two");
    run(w, sim_chance(w->s, 30) ? "ROLLBACK TO one; RELEASE one" : "RELEASE one");
}

static void change_and_take_back(work *w) {
    change_item(w, sim_below(w->s, SIM_ROWS));
    run(w, "ROLLBACK TO whole");
}

/* Several parts. */
static void change_much(work *w) {
    run(w,
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%u) INSERT INTO ev SELECT %u*100000+i, hex(zeroblob(2000)) FROM c",
        40 + sim_below(w->s, 150), number(w) + 1);
}

/* What the server must refuse, as a whole. */
static void change_wrongly(work *w, unsigned row) {
    if (sim_chance(w->s, 50))
        run(w, "UPDATE item SET sv=%u WHERE id='i%u'", sim_below(w->s, 9), row);
    else
        run(w, "DELETE FROM ev WHERE id=(SELECT min(id) FROM ev WHERE id>=100000)");
}

static void change(work *w) {
    unsigned row = sim_below(w->s, SIM_ROWS), what = sim_below(w->s, 100);
    if (what < 25)
        change_counter(w, row);
    else if (what < 50)
        change_value(w, row);
    else if (what < 70)
        change_item(w, row);
    else if (what < 88)
        change_other(w, row);
    else if (what < 96)
        change_in_savepoint(w, row);
    else if (what < 98)
        change_wrongly(w, row);
    else if (what < 99 && sim_chance(w->s, 30))
        change_much(w);
}

/* ---- a transaction ---- */

static void finish(work *w, bool commit) {
    if (!w->rc && !commit) {
        run(w, w->savepoint ? "ROLLBACK TO whole; RELEASE whole" : "ROLLBACK");
        if (!sqlite3_get_autocommit(w->db)) sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
        history_rolled_back(w->s, w->t);
        return;
    }
    run(w, "INSERT INTO ev(id,what) VALUES(%u,'d%u')", number(w), w->i);
    bool tried = !w->rc;
    if (tried) facts_after(w->s, w->i, w->t);
    run(w, w->savepoint ? "RELEASE whole" : "COMMIT");
    if (!w->rc) {
        history_committed(w->s, w->t);
        sim_say(w->s, "d%u commits t%u", w->i, number(w));
        return;
    }
    if (!sqlite3_get_autocommit(w->db)) sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
    if (tried)
        history_unsure(w->s, w->t);
    else
        history_rolled_back(w->s, w->t);
}

void work_device(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (s->ntxn == SIM_TXNS) return;
    s->clock = &d->clock;
    work w = {.s = s, .i = i, .db = satchel_db(d->s)};
    if (disk_is_dead(d->disk)) return;
    int64_t epoch = sim_ask(s, w.db, "SELECT schema_epoch FROM satchel_state");
    if (epoch == 0 || sim_ask(s, w.db, "SELECT count(*) FROM item") == 0) return; /* nothing has come yet */
    w.epoch = (uint32_t)epoch;
    w.savepoint = sim_chance(s, 10);
    run(&w, w.savepoint ? "SAVEPOINT whole" : "BEGIN IMMEDIATE");
    if (w.rc) return;
    w.t = history_begin(s, i);
    if (w.savepoint) change_and_take_back(&w);
    facts_before(s, i);
    for (unsigned n = 1 + sim_below(s, 3); n && !w.rc; n--) change(&w);
    finish(&w, !sim_chance(s, 5));
    if (!disk_is_dead(d->disk)) history_look(s, i);
}

/* ---- the server ---- */

typedef struct server_work {
    hub_job job;
    char sql[512];
    int rc;
    bool done;
} server_work;

static int run_sql(hub_job *job, store *st, ingest *g, uint64_t now_ms) {
    server_work *w = (server_work *)job;
    uint64_t transactions, rows;
    buf error;
    (void)st;
    buf_init(&error, 0);
    int rc = ingest_sql(g, w->sql, now_ms, &transactions, &rows, &error);
    buf_fini(&error);
    return rc;
}

static void sql_done(hub_job *job, int rc) {
    server_work *w = (server_work *)job;
    w->rc = rc;
    w->done = true;
}

void work_server(sim *s) {
    if (s->ntxn == SIM_TXNS) return;
    sim_txn *t = history_begin(s, SIM_SERVER);
    unsigned n = (unsigned)(t - s->txn), row = sim_below(s, SIM_ROWS);
    bool adds = sim_chance(s, 50);
    server_work w = {.job = {.run = run_sql, .done = sql_done, .own_transaction = true}};
    snprintf(w.sql, sizeof w.sql,
             adds ? "BEGIN; INSERT INTO ev(id,what) VALUES(%u,'server'); UPDATE item SET n=n+5 WHERE id='i%u'; COMMIT"
                  : "BEGIN; INSERT INTO ev(id,what) VALUES(%u,'server'); UPDATE item SET a='a%u' WHERE id='i%u'; COMMIT",
             n, adds ? row : n, row);
    bool there = sim_ask(s, store_db(s->store), "SELECT count(*) FROM item WHERE id='i%u'", row) == 1;
    char now[16];
    snprintf(now, sizeof now, "'a%u'", n);
    if (there) facts_server(t, adds ? 3 : 0, row, adds ? "0" : "NULL", adds ? "5" : now);
    if (there) history_add(t, adds ? OP_ADD : OP_VALUE, row, adds ? 5 : 0);
    s->clock = &s->server_clock;
    hub_submit(s->hub, &w.job);
    sim_server_step(s);
    if (!w.done) sim_fail(s, "the server did not take its own work");
    sim_say(s, "server writes t%u: %s", n, satchel_rc_name(w.rc));
    if (w.rc)
        history_unsure(s, t);
    else
        history_committed(s, t);
}
