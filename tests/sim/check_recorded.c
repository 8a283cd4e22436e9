/* A file as it lies on a disk at some instant, above all of a death, opens on its own, is whole by SQLite's account and by the replica's; and so is the store.
 *
 * The copy is opened twice: by SQLite alone, since reading needs no library, and by the library, on a disk of its own. */
#include "tests/sim/sim.h"

static void check_integrity(sim *s, unsigned i, const char *path) {
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) ||
        sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &q, NULL) || sqlite3_step(q) != SQLITE_ROW)
        sim_fail(s, "a copy of device %u's file cannot be read: %s", i, sqlite3_errmsg(db));
    const char *text = (const char *)sqlite3_column_text(q, 0);
    if (!text || strcmp(text, "ok") != 0) sim_fail(s, "a copy of device %u's file is not whole: %s", i, text ? text : "");
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void check_replica(sim *s, unsigned i, const char *path) {
    satchel *copy = NULL;
    char *faults = NULL;
    if (satchel_open(path, NULL, &copy)) sim_fail(s, "a copy of device %u's file cannot be opened: %s", i, satchel_errmsg(copy));
    if (satchel_verify(copy, &faults)) sim_fail(s, "a copy of device %u's file: %s", i, faults ? faults : satchel_errmsg(copy));
    sqlite3_free(faults);
    satchel_close(copy);
}

void check_recorded_file(sim *s, unsigned i) {
    disk *d = disk_new("copy", sim_random(s));
    s->clock = &s->device[i].clock;
    disk_look(true);
    disk_copy(s->device[i].disk, "app.db", d, "app.db");
    check_integrity(s, i, "./copy/app.db");
    check_replica(s, i, "./copy/app.db");
    disk_look(false);
    disk_free(d);
    s->figures.recorded++;
}

void check_recorded_store(sim *s) {
    buf report;
    unsigned problems = 0;
    buf_init(&report, 0);
    disk_look(true);
    if (store_verify(s->store, &report, &problems)) sim_fail(s, "the store cannot be verified");
    if (problems) sim_fail(s, "store: %.*s", (int)report.n, (const char *)report.p);
    disk_look(false);
    buf_fini(&report);
    s->figures.recorded++;
}
