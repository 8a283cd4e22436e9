#include "tests/property/convergence.h"

#include <stdio.h>
#include <string.h>

#include "server/store_private.h"

static void say(const char *what, unsigned i) {
    if (is_verbose()) fprintf(stderr, "  ** %s %u\n", what, i);
}

/* ---- devices ---- */

static void copy_device(world *w, unsigned from) {
    char a[128], b[128];
    if (w->ndevices == MAX_DEVICES) return;
    unsigned to = w->ndevices++;
    say("copy of", from);
    world_path(w, a, "d%u.db", from);
    world_path(w, b, "d%u.db", to);
    copy_database(w, a, b);
    w->d[to] = (device){.key = w->d[from].key};
    ledger_copied(w, from, to);
    open_device(w, to);
}

static void put_device_back(world *w, unsigned i) {
    char path[128], saved[128];
    device *d = &w->d[i];
    world_path(w, path, "d%u.db", i);
    world_path(w, saved, "d%u.saved", i);
    if (!d->saved || pick(w, 3) == 0) {
        say("saved", i);
        copy_database(w, path, saved);
        ledger_saved(w, i);
        d->saved = true;
        return;
    }
    say("put back", i);
    cut(w, d);
    satchel_close(d->s);
    copy_database(w, saved, path);
    ledger_put_back(w, i);
    open_device(w, i);
}

/* What closing would still write into the file is taken back. */
static void crash_device(world *w, unsigned i) {
    char path[128], now[128];
    device *d = &w->d[i];
    say("crash of", i);
    world_path(w, path, "d%u.db", i);
    world_path(w, now, "crash.db");
    copy_database(w, path, now);
    if (d->connection) hub_disconnect(w->h, d->connection);
    satchel_close(d->s);
    copy_database(w, now, path);
    open_device(w, i);
}

static void discard_one(world *w, unsigned i) {
    device *d = &w->d[i];
    int64_t n = ask(w, satchel_db(d->s), "SELECT n FROM satchel_outbox WHERE state IN (0,3) ORDER BY random() LIMIT 1");
    if (n < 0) return;
    int64_t state = ask(w, satchel_db(d->s), "SELECT state FROM satchel_outbox WHERE n=%lld", (long long)n);
    if (state == 3 && pick(w, 2)) {
        say("retry on", i);
        CHECK(w, satchel_retry(d->s, (uint64_t)n) == SATCHEL_OK);
        ledger_discarded(w, i, (uint64_t)n); /* its new transaction may be refused as well */
        return;
    }
    int rc = satchel_discard(d->s, (uint64_t)n);
    if (is_verbose()) fprintf(stderr, "  ** discard %lld on %u -> %d\n", (long long)n, i, rc);
    CHECK(w, rc == SATCHEL_OK || (state == 0 && rc == SATCHEL_E_BUSY));
    if (rc) return;
    ledger_discarded(w, i, (uint64_t)n);
    w->discarded = true;
}

/* ---- the server ---- */

static void restart_server(world *w) {
    say("restart", 0);
    close_server(w);
    open_server(w, false);
}

static void back_up(world *w) {
    char path[128], saved[128];
    say("backup", (unsigned)store_where(w->st).seq);
    world_path(w, path, "store.db");
    world_path(w, saved, "store.saved");
    copy_database(w, path, saved);
    ledger_backed_up(w);
    w->backup = true;
    if (pick(w, 2)) return;
    CHECK(w, store_begin(w->st) == 0);
    w->st->now.backup_seq = w->st->now.seq;
    CHECK(w, store_commit(w->st) == 0);
}

static void restore_server(world *w) {
    char path[128], saved[128];
    if (!w->backup || pick(w, 3) == 0) {
        back_up(w);
        return;
    }
    say("restore", 0);
    world_path(w, path, "store.db");
    world_path(w, saved, "store.saved");
    close_server(w);
    copy_database(w, saved, path);
    ledger_restored(w);
    w->restored = true;
    open_server(w, true);
}

static void migrate_server(world *w) {
    say("migrate", w->migrations);
    close_server(w);
    world_add_migration(w);
    open_server(w, false);
}

void make_trouble(world *w) {
    unsigned i = pick(w, w->ndevices);
    switch (w->troubles & 1u << pick(w, 8)) {
    case TROUBLE_COPY:
        if (pick(w, 2)) copy_device(w, i);
        break;
    case TROUBLE_PUT_BACK:
        put_device_back(w, i);
        break;
    case TROUBLE_RESTART:
        restart_server(w);
        break;
    case TROUBLE_RESTORE:
        restore_server(w);
        break;
    case TROUBLE_MIGRATE:
        if (pick(w, 2)) migrate_server(w);
        break;
    case TROUBLE_DISCARD:
        discard_one(w, i);
        break;
    case TROUBLE_LARGE:
        work_large(w, &w->d[i]);
        break;
    case TROUBLE_CRASH:
        crash_device(w, i);
        break;
    default:
        break;
    }
}
