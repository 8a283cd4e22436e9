/* Random SQL on every side, connections that are cut at any frame, files that are copied and put back, servers that are restored and migrated; at
 * the end every side must hold the same rows, nothing may be pending, and the ledger must add up. A failing seed is printed; SATCHEL_SEED and
 * SATCHEL_SEEDS choose which seeds run, SATCHEL_TROUBLE (bits of `trouble`) what goes wrong in them. */
#include "tests/property/convergence.h"

#include <stdio.h>
#include <string.h>

#include "protocol/digest.h"

/* A device may find that a copy of its file took its place, or that it is a copy, and comes back. */
static void settle_device(world *w, unsigned i) {
    satchel_status_info info = {.size = sizeof info};
    for (int tries = 0; tries < 4; tries++) {
        exchange(w, &w->d[i], 100000);
        if (session_in_step(w->d[i].s->session)) break;
    }
    CHECK(w, session_in_step(w->d[i].s->session));
    CHECK(w, satchel_get_status(w->d[i].s, &info) == 0);
    CHECK(w, info.pending == 0);
    CHECK(w, info.accepted == 0);
}

static void settle(world *w) {
    for (int round = 0; round < 12; round++)
        for (unsigned i = 0; i < w->ndevices; i++) exchange(w, &w->d[i], 100000);
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < w->ndevices; i++) settle_device(w, i);
}

static void compare_device(world *w, unsigned i, const char *server) {
    buf mine;
    buf_init(&mine, 0);
    const file *f = w->d[i].s->file;
    CHECK(w, digest_tables(f->db, f->schema, &mine) == 0);
    buf_put_byte(&mine, 0);
    if (strcmp(server, (char *)mine.p) != 0)
        fail_msg("seed %" PRIu64 ": device %u differs\nserver:\n%sdevice:\n%s", w->seed, i, server, (char *)mine.p);
    char *faults = NULL;
    if (satchel_verify(w->d[i].s, &faults)) fail_msg("seed %" PRIu64 ": device %u: %s", w->seed, i, faults ? faults : "?");
    sqlite3_free(faults);
    buf_fini(&mine);
}

static void compare(world *w) {
    buf server, report;
    buf_init(&server, 0);
    buf_init(&report, 0);
    CHECK(w, digest_tables(store_db(w->st), store_schema(w->st), &server) == 0);
    buf_put_byte(&server, 0);
    for (unsigned i = 0; i < w->ndevices; i++) compare_device(w, i, (const char *)server.p);
    unsigned problems = 0;
    CHECK(w, store_verify(w->st, &report, &problems) == 0);
    if (problems) fail_msg("seed %" PRIu64 ": store: %.*s", w->seed, (int)report.n, (const char *)report.p);
    if (w->migrations > 1) CHECK(w, ask(w, store_db(w->st), "SELECT count(*) FROM item WHERE r<>'new'") == 0);
    buf_fini(&server);
    buf_fini(&report);
}

/* What may be refused: changes of append-only rows, updates of a row of a delete-wins table that the device saw only because its own insert of
 * it was still pending when the deletion came in (M13), and changes
 * of a row whose insert was discarded, or not given again to a restored server. */
static bool may_be_refused(const world *w, int code, const char *table) {
    if (code == SATCHEL_E_APPEND_ONLY || code == SATCHEL_E_RESOLVED) return true;
    if (code != SATCHEL_E_ROW_MISSING && code != SATCHEL_E_DEPENDS) return false;
    return w->restored || w->discarded || (table && (!strcmp(table, "gone") || !strcmp(table, "lost")));
}

static void check_refusals(world *w) {
    for (unsigned i = 0; i < w->ndevices; i++) {
        sqlite3_stmt *q = NULL;
        CHECK(w, sqlite3_prepare_v2(satchel_db(w->d[i].s), "SELECT n, code, name, text, tbl FROM satchel_rejected", -1, &q,
                                    NULL) == SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) {
            if (!may_be_refused(w, sqlite3_column_int(q, 1), (const char *)sqlite3_column_text(q, 4)))
                fail_msg("seed %" PRIu64 ": device %u, transaction %d: %s: %s (%s)", w->seed, i, sqlite3_column_int(q, 0),
                         (const char *)sqlite3_column_text(q, 2), (const char *)sqlite3_column_text(q, 3),
                         (const char *)sqlite3_column_text(q, 4));
            ledger_discarded(w, i, (uint64_t)sqlite3_column_int64(q, 0));
        }
        sqlite3_finalize(q);
    }
}

/* Each loss of a device is in its file. */
static void check_losses(world *w) {
    for (unsigned i = 0; i < w->ndevices; i++) {
        sqlite3_stmt *q = NULL;
        CHECK(w,
              sqlite3_prepare_v2(store_db(w->st),
                                 "SELECT c.id, c.seq FROM satchel_conflict c JOIN satchel_author a ON a.author=c.lost_author JOIN"
                                 " satchel_device d ON d.id=a.device WHERE d.fingerprint=?",
                                 -1, &q, NULL) == SQLITE_OK);
        sqlite3_bind_blob(q, 1, w->d[i].fingerprint, sizeof w->d[i].fingerprint, SQLITE_STATIC);
        while (sqlite3_step(q) == SQLITE_ROW) {
            int64_t id = sqlite3_column_int64(q, 0), seq = sqlite3_column_int64(q, 1);
            if (ask(w, satchel_db(w->d[i].s), "SELECT count(*) FROM satchel_conflicts WHERE id=%lld AND seq=%lld", (long long)id,
                    (long long)seq) != 1)
                fail_msg("seed %" PRIu64 ": device %u does not know of its loss %lld", w->seed, i, (long long)id);
        }
        sqlite3_finalize(q);
    }
}

static void seed_rows(world *w) {
    exchange(w, &w->d[0], 1000);
    for (int row = 0; row < ROWS; row++) run(w, &w->d[0], "INSERT INTO item(id,a) VALUES(x'0%d','base')", row);
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < w->ndevices; i++) exchange(w, &w->d[i], 1000);
}

static void step(world *w) {
    device *d = &w->d[pick(w, w->ndevices)];
    if (pick(w, 12) == 0) {
        work_server(w);
    } else if (pick(w, 6) == 0) {
        make_trouble(w);
    } else if (pick(w, 3)) {
        work_device(w, d);
    } else {
        exchange(w, d, 1 + pick(w, 12));
        if (pick(w, 3) == 0) cut(w, d);
    }
}

static void run_seed(seed *random) {
    world w = {.seed = random->first, .random = random};
    w.troubles = (unsigned)(seed_next(random) & seed_environment("SATCHEL_TROUBLE", TROUBLE_ALL));
    world_open(&w);
    seed_rows(&w);
    for (int i = 0; i < 100; i++) step(&w);
    settle(&w);
    compare(&w);
    check_refusals(&w);
    check_losses(&w);
    ledger_check(&w);
    world_close(&w);
}

static void replicas_converge(void **state) {
    (void)state;
    seed_run(run_seed, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(replicas_converge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
