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
    bool beside;    /* another file takes part in it */
} work;

/* What a transaction does to one row: draws that several devices may share. */
typedef struct intent {
    unsigned row, what, which;
    char kind; /* of an item */
} intent;

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
    bool excused =
        code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_FULL || code == SQLITE_NOMEM || code == SQLITE_BUSY;
    if (!excused) sim_fail(w->s, "device %u: %s: %s (%d)", w->i, sql, sqlite3_errmsg(w->db), w->rc);
}

static const char *tag(const work *w) {
    return w->epoch < 3 ? "tag" : "mark";
}

static const char *b_of_item(const work *w) {
    return w->epoch < 5 ? "b" : "bee";
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

static void put_extra(work *w, unsigned row, unsigned v) {
    run(w, "INSERT INTO item(id,a,f,mx) VALUES('x%u','extra',%s,%u)", row, v % 2 ? "NULL" : "'f'", v);
}

/* Whoever has seen it go may put it anew, at once or later. */
static void drop_extra(work *w, unsigned row, unsigned v) {
    run(w, "DELETE FROM item WHERE id='x%u'", row);
    if (v < 15) put_extra(w, row, v);
}

/* `kind`: i, which are never deleted, or x. */
static void change_item(work *w, char kind, unsigned row, unsigned which) {
    static const char *const states[] = {"open", "waiting", "solved"};
    unsigned v = sim_below(w->s, 50);
    char is[16];
    if (kind == 'x' && sim_ask(w->s, w->db, "SELECT count(*) FROM item WHERE id='x%u'", row) == 0) {
        if (sim_chance(w->s, 60)) put_extra(w, row, v);
        kind = 'i';
    }
    snprintf(is, sizeof is, "id='%c%u'", kind, row);
    switch (which % 8) {
    case 0:
        run(w, "UPDATE item SET %s='b%u', c='c%u' WHERE %s", b_of_item(w), v, v, is);
        break;
    case 1:
        run(w, "UPDATE item SET mx=%u%s WHERE %s", v, w->epoch < 4 ? "" : ", hi=mx", is);
        if (w->epoch < 5) run(w, "UPDATE item SET mn=%u WHERE %s", v, is);
        break;
    case 2:
        run(w, "UPDATE item SET f='f%u' WHERE %s", v, is);
        break;
    case 3:
        run(w, "UPDATE item SET k='a text of %u by d%u' WHERE %s", v, w->i, is);
        break;
    case 4:
        run(w, "UPDATE item SET ok=%u WHERE %s", v % 2, is);
        break;
    case 5:
        run(w, "UPDATE item SET st='%s' WHERE %s", states[v % 3], is);
        break;
    case 6:
        run(w, "UPDATE item SET r=%s WHERE %s", w->epoch < 2 ? "1.5" : "'new'", is);
        if (w->epoch >= 2 && v % 2) run(w, "UPDATE item SET z='z%u' WHERE %s", v, is);
        break;
    default:
        if (kind == 'x') {
            drop_extra(w, row, v);
        } else {
            run(w, "INSERT INTO item(id,a) VALUES('y%u','extra')", number(w));
            run(w, "DELETE FROM item WHERE id=(SELECT id FROM item WHERE id LIKE 'y%%' LIMIT 1)");
        }
    }
}

static void change_note(work *w, unsigned row, bool away) {
    unsigned v = sim_below(w->s, 50);
    if (away)
        run(w, "DELETE FROM note WHERE id=%u", row);
    else
        run(w, "INSERT INTO note(id,body,hot) VALUES(%u,'n%u',%u) ON CONFLICT DO UPDATE SET body=excluded.body,hot=excluded.hot",
            row, v, v);
}

static void change_other(work *w, unsigned row, unsigned which) {
    unsigned v = sim_below(w->s, 50);
    /* Who has a profile may hold it, and not write it: the rules that say so are published some time after the migration. */
    if (w->epoch >= 6 && which % 8 >= 6 && !scope_has_profile(w->s, w->i)) {
        change_note(w, row, which % 8 == 7);
        return;
    }
    /* A line that is shown may be its own alone, not taken yet. */
    if (which % 6 < 3 && sim_ask(w->s, w->db, "SELECT count(*) FROM item WHERE id='i%u'", row) == 0) w->t->reaches_out = true;
    switch (which % 6) {
    case 0:
        run(w, "DELETE FROM line WHERE id=%u", row);
        break;
    case 1:
        run(w, "INSERT INTO line(id,item,qty,n) VALUES(%u,'i%u',%u,1) ON CONFLICT DO UPDATE SET qty=excluded.qty", row, row, v);
        break;
    case 2:
        run(w, "UPDATE line SET qty=%u, n=n+1%s WHERE id=%u", v, w->epoch < 3 ? "" : ", hits=hits+2", row);
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

static void change_in_savepoint(work *w, intent in) {
    run(w, "SAVEPOINT one");
    change_item(w, in.kind, in.row, in.which);
    run(w, "SAVEPOINT two");
    change_other(w, in.row, in.which / 8);
    run(w, sim_chance(w->s, 50) ? "ROLLBACK TO two" : "RELEASE two");
    run(w, sim_chance(w->s, 30) ? "ROLLBACK TO one; RELEASE one" : "RELEASE one");
}

static void change_and_take_back(work *w) {
    change_item(w, 'i', sim_below(w->s, SIM_ROWS), sim_below(w->s, 8));
    run(w, "ROLLBACK TO whole");
}

/* In one world of sixteen, which takes as long as three others, people keep files: a few transactions are larger than a device's window, and than what capture
 * keeps in memory. */
bool work_is_heavy(const sim *s) {
    return s->options.seed % 16 == 5;
}

/* However long a world is, or it would take as long as ten others. */
#define HEAVY_MOST 3u

/* Several of them wait where there is no network. */
static bool writes_much(const work *w) {
    return work_is_heavy(w->s) && w->s->heavy < HEAVY_MOST && sim_chance(w->s, w->s->device[w->i].connection ? 1 : 12);
}

/* Several parts. */
static void change_much(work *w, bool heavy) {
    unsigned rows = heavy ? 8 + sim_below(w->s, 8) : 40 + sim_below(w->s, 150), bytes = heavy ? 200000 : 2000;
    if (w->t->rows) return;
    w->s->heavy += heavy;
    run(w,
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%u) INSERT INTO ev SELECT %u*100000+i, hex(zeroblob(%u)) FROM c",
        rows, number(w) + 1, bytes);
    if (!w->rc) w->t->rows = rows;
}

static void take_away(work *w) {
    run(w, "DELETE FROM ev WHERE id=(SELECT min(id) FROM ev WHERE id>=100000)");
    w->t->takes_away = true;
}

/* What the server must refuse, as a whole. */
static void change_wrongly(work *w, unsigned row) {
    /* What it has appended itself it may take back. */
    if (w->t->rows || sim_chance(w->s, 50))
        run(w, "UPDATE item SET sv=%u WHERE id='i%u'", sim_below(w->s, 9), row);
    else
        take_away(w);
}

static void change(work *w, intent in) {
    if (in.what < 25)
        change_counter(w, in.row);
    else if (in.what < 50)
        change_value(w, in.row);
    else if (in.what < 70)
        change_item(w, in.kind, in.row, in.which);
    else if (in.what < 88)
        change_other(w, in.row, in.which);
    else if (in.what < 96)
        change_in_savepoint(w, in);
    else if (in.what < 98)
        change_wrongly(w, in.row);
    else if (in.what < 99 && sim_chance(w->s, 30))
        change_much(w, false);
}

/* People work on what is on their minds: for some hours everybody on the same, or they would hardly ever meet. */
#define TOPIC_MS (3 * HOUR)

static intent topic(const sim *s) {
    static sim draw; /* of which only this counts */
    draw.random = s->options.seed ^ s->now / TOPIC_MS * UINT64_C(0x9e3779b97f4a7c15);
    intent in = {.row = sim_below(&draw, SIM_ROWS), .what = sim_below(&draw, 90), .which = sim_below(&draw, 48)};
    in.kind = sim_chance(&draw, 35) ? 'x' : 'i';
    return in;
}

/* In some worlds people do so little that weeks pass, and delete much: tombstones and results grow old. */
static bool is_slow(const sim *s) {
    return s->options.seed % 8 == 7;
}

static intent intend(sim *s) {
    if (sim_chance(s, 40)) return topic(s);
    intent in = {.row = sim_below(s, SIM_ROWS), .what = sim_below(s, 100), .which = sim_below(s, 48)};
    in.kind = sim_chance(s, 35) ? 'x' : 'i';
    if (is_slow(s) && sim_chance(s, 60)) in.what = 70 + sim_below(s, 18);
    return in;
}

/* ---- a transaction ---- */

static void commit(work *w) {
    run(w, w->savepoint ? "RELEASE whole" : "COMMIT");
}

/* The app has a file of its own, which takes part in the transaction; its table of a synced one's name is no matter of the library (C6). */
static bool open_beside(work *w) {
    char path[32];
    sqlite3 *other = NULL;
    if (sqlite3_db_filename(w->db, "beside")) return true;
    snprintf(path, sizeof path, "./d%u/beside.db", w->i);
    int rc = sqlite3_open(path, &other);
    if (!rc) rc = sqlite3_exec(other, "CREATE TABLE IF NOT EXISTS ev(id INTEGER PRIMARY KEY, what TEXT)", NULL, NULL, NULL);
    sqlite3_close(other);
    if (rc) return false;
    run(w, "ATTACH './d%u/beside.db' AS beside", w->i);
    return true;
}

/* While somebody reads it, a COMMIT is BUSY after the outbox was written, and the transaction goes on (C2). */
static void commit_in_vain(work *w) {
    char path[32];
    sqlite3 *reader = NULL;
    snprintf(path, sizeof path, "./d%u/beside.db", w->i);
    run(w, "REPLACE INTO beside.ev VALUES(1,'t%u')", number(w));
    int rc = sqlite3_open(path, &reader);
    if (!rc) rc = sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM ev", NULL, NULL, NULL);
    if (!rc && !w->rc) {
        w->rc = sqlite3_exec(w->db, w->savepoint ? "RELEASE whole" : "COMMIT", NULL, NULL, NULL);
        sim_say(w->s, "d%u: COMMIT of t%u while another file is read: %s", w->i, number(w), sqlite3_errstr(w->rc));
    }
    sqlite3_close(reader);
    if (w->rc != SQLITE_BUSY || sqlite3_get_autocommit(w->db)) return;
    w->rc = SQLITE_OK;
    change(w, intend(w->s));
    if (!w->rc) facts_after(w->s, w->i, w->t);
}

/* Without memory a ROLLBACK fails, too. */
static void roll_back(work *w) {
    for (unsigned i = 0; i < 1000 && !sqlite3_get_autocommit(w->db); i++) sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
}

static void take_back(work *w) {
    run(w, w->savepoint ? "ROLLBACK TO whole; RELEASE whole" : "ROLLBACK");
    roll_back(w);
    history_rolled_back(w->s, w->t);
}

static void finish(work *w) {
    run(w, "INSERT INTO ev(id,what) VALUES(%u,'d%u')", number(w), w->i);
    bool tried = !w->rc;
    if (tried) facts_after(w->s, w->i, w->t);
    if (tried && w->beside) commit_in_vain(w);
    if (!w->rc && !sqlite3_get_autocommit(w->db)) commit(w);
    if (!w->rc) {
        history_committed(w->s, w->t);
        sim_say(w->s, "d%u commits t%u", w->i, number(w));
        return;
    }
    roll_back(w);
    if (tried)
        history_unsure(w->s, w->t);
    else
        history_rolled_back(w->s, w->t);
}

bool work_is_durable(const sim *s, unsigned i) {
    return (s->options.seed + i) % 3;
}

static void choose_durability(work *w) {
    run(w, work_is_durable(w->s, w->i) ? "PRAGMA main.synchronous=FULL" : "PRAGMA main.synchronous=NORMAL");
}

static void work_once(sim *s, unsigned i, const intent *given) {
    sim_device *d = &s->device[i];
    if (s->ntxn == SIM_TXNS) return;
    s->clock = &d->clock;
    work w = {.s = s, .i = i, .db = satchel_db(d->s)};
    if (disk_is_dead(d->disk)) return;
    int64_t epoch = sim_ask(s, w.db, "SELECT schema_epoch FROM satchel_state");
    if (epoch == 0 || sim_ask(s, w.db, "SELECT count(*) FROM item") == 0) return; /* nothing has come yet */
    w.epoch = (uint32_t)epoch;
    w.savepoint = sim_chance(s, 10);
    w.beside = sim_chance(s, 4) && open_beside(&w);
    choose_durability(&w);
    run(&w, w.savepoint ? "SAVEPOINT whole" : "BEGIN IMMEDIATE");
    if (w.rc) roll_back(&w);
    if (w.rc) return;
    w.t = history_begin(s, i);
    if (w.savepoint) change_and_take_back(&w);
    /* Without memory it was not taken back, and stands until the transaction is rolled back. */
    if (!w.rc) facts_before(s, i);
    if (given) change(&w, *given);
    for (unsigned n = given ? 0 : 1 + sim_below(s, 3); n && !w.rc; n--) change(&w, intend(s));
    if (!w.rc && writes_much(&w)) change_much(&w, true);
    if (!w.rc && sim_chance(s, 5))
        take_back(&w);
    else
        finish(&w);
    if (!disk_is_dead(d->disk)) history_look(s, i);
}

/* Others do the same at the same instant: their stamps may be equal. */
static void work_together(sim *s, unsigned i) {
    intent in = topic(s);
    work_once(s, i, &in);
    for (unsigned k = 0; k < s->ndevices; k++)
        if (k != i && s->device[k].s && sim_chance(s, 50)) {
            work_once(s, k, &in);
            s->device[k].touched = true;
        }
}

/* One transaction, or several in a row. */
void work_device(sim *s, unsigned i) {
    if (is_slow(s) && sim_chance(s, 85)) return;
    if (sim_chance(s, 6)) {
        work_together(s, i);
        return;
    }
    for (unsigned n = sim_chance(s, 90) ? 1 : 2 + sim_below(s, 3); n && !disk_is_dead(s->device[i].disk); n--)
        work_once(s, i, NULL);
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

/* The rest of a transaction whose witness is row n of ev: what it does, and what the model is to know of it. */
static void write_as_server(sim *s, sim_txn *t, unsigned n, const char *change) {
    server_work w = {.job = {.run = run_sql, .done = sql_done, .own_transaction = true}};
    snprintf(w.sql, sizeof w.sql, "BEGIN; INSERT INTO ev(id,what) VALUES(%u,'server'); %s; COMMIT", n, change);
    s->clock = &s->server_clock;
    /* Without memory it takes nothing. */
    if (!hub_submit(s->hub, &w.job)) sql_done(&w.job, SATCHEL_E_NOMEM);
    sim_server_step(s);
    if (!w.done) sim_fail(s, "the server did not take its own work");
    sim_say(s, "server writes t%u: %s: %s", n, change, satchel_rc_name(w.rc));
    if (w.rc)
        history_unsure(s, t);
    else
        history_committed(s, t);
}

static bool has_item(sim *s, unsigned row) {
    return sim_ask(s, store_db(s->store), "SELECT count(*) FROM item WHERE id='i%u'", row) == 1;
}

void work_server(sim *s) {
    if (s->ntxn == SIM_TXNS) return;
    sim_txn *t = history_begin(s, SIM_SERVER);
    unsigned n = (unsigned)(t - s->txn), row = sim_below(s, SIM_ROWS);
    bool adds = sim_chance(s, 50), there = has_item(s, row);
    char now[16], change[100];
    snprintf(now, sizeof now, "'a%u'", n);
    if (there) facts_server(t, adds ? 3 : 0, row, adds ? "0" : "NULL", adds ? "5" : now);
    if (there) history_add(t, adds ? OP_ADD : OP_VALUE, row, adds ? 5 : 0);
    snprintf(change, sizeof change, adds ? "UPDATE item SET n=n+5 WHERE id='i%u'" : "UPDATE item SET a='a%2$u' WHERE id='i%1$u'",
             row, n);
    write_as_server(s, t, n, change);
}

#define COLUMN_SV 11u /* at its place in MODEL */

/* Somebody changes the row at the same instant: what he did waits when it leaves, and was done while he held it. */
static void work_beneath(sim *s, unsigned row) {
    unsigned i = sim_below(s, s->ndevices);
    intent in = {.row = row, .what = 20 + sim_below(s, 68), .which = sim_below(s, 48), .kind = 'i'};
    if (!s->device[i].s || disk_is_dead(s->device[i].disk)) return;
    work_once(s, i, &in);
    s->device[i].touched = true;
}

void work_server_moves(sim *s) {
    unsigned row = sim_chance(s, 50) ? topic(s).row : sim_below(s, SIM_ROWS), user = sim_below(s, 5);
    char now[16], was[16], change[100];
    for (unsigned n = s->calm ? 0 : sim_below(s, 4); n; n--) work_beneath(s, row);
    if (s->ntxn == SIM_TXNS) return;
    if (!has_item(s, row)) return;
    int64_t is = sim_ask(s, store_db(s->store), "SELECT ifnull(sv,-1) FROM item WHERE id='i%u'", row);
    snprintf(was, sizeof was, is < 0 ? "NULL" : "%" PRId64, is);
    snprintf(now, sizeof now, user == 4 ? "NULL" : "%u", user);
    if (!strcmp(was, now)) return;
    sim_txn *t = history_begin(s, SIM_SERVER);
    unsigned n = (unsigned)(t - s->txn);
    facts_server(t, COLUMN_SV, row, was, now);
    snprintf(change, sizeof change, "UPDATE item SET sv=%s WHERE id='i%u'", now, row);
    write_as_server(s, t, n, change);
    sim_happened(s, FAULT_MOVE);
}
