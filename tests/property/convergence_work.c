#include "tests/property/convergence.h"

#include <stdio.h>
#include <string.h>

int run(world *w, device *d, const char *format, ...) {
    char sql[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    int rc = sqlite3_exec(satchel_db(d->s), sql, NULL, NULL, NULL);
    if (is_verbose()) fprintf(stderr, "  d%ld %s -> %d\n", (long)(d - w->d), sql, rc);
    if (rc && (rc & 0xff) != SQLITE_CONSTRAINT)
        fail_msg("seed %" PRIu64 ": %s: %s", w->seed, sql, sqlite3_errmsg(satchel_db(d->s)));
    return rc;
}

/* ---- names that migrations change ---- */

static unsigned epoch_of(world *w, device *d) {
    return (unsigned)ask(w, satchel_db(d->s), "SELECT schema_epoch FROM satchel_state");
}
static const char *col_a(unsigned epoch) {
    return epoch < 3 ? "a" : "title";
}
static const char *tbl_gone(unsigned epoch) {
    return epoch < 3 ? "gone" : "lost";
}
static const char *col_v(unsigned epoch) {
    return epoch < 2 ? "v" : "w";
}
/* What is written to the r of migration 2 says so. */
static const char *value_r(unsigned epoch) {
    return epoch < 2 ? "1.5" : "'new'";
}

/* ---- on a device ---- */

/* Change and witness in one transaction. */
static void change_followed(world *w, device *d, unsigned row, int add) {
    char witness[64];
    unsigned i = ledger_add(w, (unsigned)(d - w->d), row, add);
    bool alone = sqlite3_get_autocommit(satchel_db(d->s));
    ledger_witness(w, i, witness);
    if (alone) run(w, d, "BEGIN");
    if (add)
        run(w, d, "UPDATE item SET n=n+%d WHERE id=x'0%u'", add, row);
    else
        run(w, d, "UPDATE item SET %s='a%u' WHERE id=x'0%u'", col_a(epoch_of(w, d)), i, row);
    CHECK(w, sqlite3_changes(satchel_db(d->s)) == 1);
    run(w, d, "INSERT INTO ev VALUES(uuid7(),'%s')", witness);
    if (alone) run(w, d, "COMMIT");
}

static void change_item(world *w, device *d) {
    unsigned row = pick(w, ROWS), what = pick(w, 9), v = pick(w, 50), epoch = epoch_of(w, d);
    switch (what) {
    case 0:
        change_followed(w, d, row, 0);
        break;
    case 1:
        run(w, d, "UPDATE item SET b='b%u', c='c%u' WHERE id=x'0%u'", v, v, row);
        break;
    case 2:
        run(w, d, "UPDATE item SET c='c%u' WHERE id=x'0%u'", v, row);
        break;
    case 3:
        run(w, d, "UPDATE item SET m=%u WHERE id=x'0%u'", v, row);
        break;
    case 4:
        run(w, d, "UPDATE item SET f='f%u' WHERE id=x'0%u'", v, row);
        break;
    case 5:
        run(w, d, "UPDATE item SET k='k%u' WHERE id=x'0%u'", v, row);
        break;
    case 6:
        run(w, d, "UPDATE item SET s=%u, r=%s WHERE id=x'0%u'", v % 2, value_r(epoch), row);
        break;
    case 7:
        if (epoch == 2) run(w, d, "UPDATE item SET z='z%u' WHERE id=x'0%u'", v, row);
        if (epoch > 2) run(w, d, "UPDATE item SET z='z%u', hits=hits+%u WHERE id=x'0%u'", v, v, row);
        break;
    default:
        change_followed(w, d, row, (int)pick(w, 4) + 1 - (int)pick(w, 2) * 5);
    }
}

static void change_other(world *w, device *d) {
    unsigned row = pick(w, 5), v = pick(w, 50), epoch = epoch_of(w, d);
    const char *gone = tbl_gone(epoch);
    switch (pick(w, 10)) {
    case 0:
        run(w, d, "INSERT INTO %s VALUES('g%u','v%u',1) ON CONFLICT DO UPDATE SET v=excluded.v, n=n+1", gone, row, v);
        break;
    case 1:
        run(w, d, "DELETE FROM %s WHERE id='g%u'", gone, row);
        break;
    case 2:
        run(w, d, "UPDATE %s SET v='w%u', n=n+2 WHERE id='g%u'", gone, v, row);
        break;
    case 3:
        run(w, d, "REPLACE INTO tag VALUES(%u,'y',%s)", row, v % 3 ? "'t'" : "NULL");
        break;
    case 4:
        run(w, d, "DELETE FROM tag WHERE x=%u", row);
        break;
    case 5:
        run(w, d, "UPDATE tag SET %s='u%u' WHERE x=%u", col_v(epoch), v, row);
        break;
    case 6:
        run(w, d, "UPDATE tag SET x=x+10 WHERE x=%u", row);
        break;
    case 7:
        run(w, d, "INSERT INTO ev VALUES(uuid7(),'e%u')", v);
        break;
    case 8: /* refused by the server, alone: rows of ev are never deleted */
        if (sqlite3_get_autocommit(satchel_db(d->s)))
            run(w, d,
                "BEGIN; INSERT INTO tag VALUES(%u,'refused','r') ON CONFLICT DO NOTHING; DELETE FROM ev WHERE what LIKE 'e%%';"
                "COMMIT",
                v + 1000);
        break;
    default:
        run(w, d, "INSERT INTO item(id,%s) VALUES(uuid7(),'new%u')", col_a(epoch), v);
        run(w, d, "DELETE FROM item WHERE id IN (SELECT id FROM item WHERE %s LIKE 'new%%' AND copy_of IS NULL LIMIT 1)",
            col_a(epoch));
    }
}

/* Each change with the number of the transaction that it is in. */
static void change(world *w, device *d, bool grouped) {
    unsigned first = w->nledger;
    if (pick(w, 2))
        change_item(w, d);
    else
        change_other(w, d);
    if (!grouped) ledger_committed(w, (unsigned)(d - w->d), first, true);
}

void work_device(world *w, device *d) {
    unsigned n = 1 + pick(w, 3), first = w->nledger;
    bool grouped = pick(w, 2);
    if (grouped) run(w, d, "BEGIN");
    for (unsigned i = 0; i < n; i++) change(w, d, grouped);
    if (grouped) ledger_committed(w, (unsigned)(d - w->d), first, run(w, d, "COMMIT") == SQLITE_OK);
}

/* Several parts; the witness is in one, what it counts in another. */
static void many_rows(world *w, device *d) {
    unsigned first = w->nledger, row = pick(w, ROWS), rows = 1500 + pick(w, 3000);
    char witness[64];
    ledger_witness(w, ledger_add(w, (unsigned)(d - w->d), row, 7), witness);
    run(w, d,
        "BEGIN; INSERT INTO ev VALUES(uuid7(),'%s');"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%u) INSERT INTO ev SELECT uuid7(), hex(randomblob(80)) FROM c;"
        "UPDATE item SET n=n+7 WHERE id=x'0%u'; COMMIT",
        witness, rows, row);
    ledger_committed(w, (unsigned)(d - w->d), first, true);
}

void work_large(world *w, device *d) {
    unsigned v = pick(w, 50);
    if (++w->large > 4) return;
    switch (pick(w, 3)) {
    case 0:
        many_rows(w, d);
        break;
    case 1:
        run(w, d, "UPDATE item SET k=hex(zeroblob(%u))||'%u' WHERE id=x'0%u'", v * 2500, v, pick(w, ROWS));
        break;
    default: /* with the long text the row stays below LIMIT_ROW_BYTES */
        run(w, d, "UPDATE item SET b=hex(zeroblob(%u)), c=hex(randomblob(150000)) WHERE id=x'0%u'", v * 2000, pick(w, ROWS));
    }
}

/* ---- on the server ---- */

void work_server(world *w) {
    char sql[400], witness[64];
    unsigned row = pick(w, ROWS), v = pick(w, 50), epoch = w->migrations, i;
    switch (pick(w, 5)) {
    case 0:
        i = ledger_add(w, SERVER, row, 1);
        ledger_witness(w, i, witness);
        snprintf(sql, sizeof sql,
                 "BEGIN; UPDATE item SET n=n+1 WHERE id=x'0%u'; INSERT INTO ev(id,what) VALUES(uuid7(),'%s'); COMMIT;", row,
                 witness);
        break;
    case 1:
        i = ledger_add(w, SERVER, row, 0);
        ledger_witness(w, i, witness);
        snprintf(sql, sizeof sql,
                 "BEGIN; UPDATE item SET %s='a%u' WHERE id=x'0%u'; INSERT INTO ev(id,what) VALUES(uuid7(),'%s'); COMMIT;",
                 col_a(epoch), i, row, witness);
        break;
    case 2:
        snprintf(sql, sizeof sql,
                 "BEGIN; DELETE FROM %s; INSERT INTO tag(x,y,%s) VALUES(%u,'s','s') ON CONFLICT DO UPDATE SET %s='s%u'; COMMIT;",
                 tbl_gone(epoch), col_v(epoch), row, col_v(epoch), v);
        break;
    case 3:
        snprintf(sql, sizeof sql, "DELETE FROM tag WHERE x=%u", row);
        break;
    default:
        snprintf(sql, sizeof sql, "UPDATE item SET b='sb', c='sc%u', k='sk%u' WHERE id=x'0%u'", v, v, row);
    }
    if (is_verbose()) fprintf(stderr, "  server %s\n", sql);
    buf error;
    buf_init(&error, 0);
    uint64_t transactions, rows;
    if (ingest_sql(w->h->ingest, sql, now_ms(NULL), &transactions, &rows, &error))
        fail_msg("seed %" PRIu64 ": %s: %.*s", w->seed, sql, (int)error.n, (const char *)error.p);
    pthread_mutex_lock(&w->h->mutex);
    hub_publish(w->h);
    pthread_mutex_unlock(&w->h->mutex);
    buf_fini(&error);
}
