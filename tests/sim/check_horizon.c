/* What live devices have not read stays in the log, until they have not been seen for longer than the horizon. */
#include "tests/sim/sim.h"

/* As of the last look at the store. */
static uint64_t floor_before, changes_before;
static struct { uint64_t acked, seen_ms; } before[SIM_DEVICES];

void check_horizon_begin(void) {
    floor_before = changes_before = 0;
    memset(before, 0, sizeof before);
}

/* The longest that may be: what is beyond it is free to go, and need not. */
static uint64_t horizon_of(const sim *s, unsigned key) {
    return scope_has_profile(s, key) ? SCOPE_HORIZON_DAYS * DAY : SIM_HORIZON_MS;
}

static void look_at_device(sim *s, unsigned key, int state, uint64_t acked, uint64_t seen_ms, uint64_t floor) {
    uint64_t now_ms = sim_clock_ms(s, &s->server_clock), was = before[key].acked;
    bool live = (state == DEVICE_ACTIVE || state == DEVICE_PAUSED) && before[key].seen_ms + horizon_of(s, key) > now_ms;
    /* It stands where it stood, and the log went past it. */
    if (live && was == acked && was >= floor_before && was < floor)
        sim_fail(s, "the log is pruned up to commit %" PRIu64 ", and d%u, seen %" PRIu64 " s ago, has read up to %" PRIu64, floor,
                 key, (now_ms - before[key].seen_ms) / SECOND, acked);
    before[key].acked = acked;
    before[key].seen_ms = seen_ms;
}

void check_horizon(sim *s) {
    if (!s->store || disk_is_dead(s->server_disk)) return;
    uint64_t floor = store_where(s->store).floor, changes = sim_store_changes(s);
    if (floor == floor_before && changes == changes_before) return;
    changes_before = changes;
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, store_db(s->store), "SELECT substr(name,2),state,acked_seq,last_seen_ms FROM satchel_device");
    while (sqlite3_step(q) == SQLITE_ROW) {
        unsigned key = (unsigned)sqlite3_column_int(q, 0);
        if (key < SIM_DEVICES)
            look_at_device(s, key, sqlite3_column_int(q, 1), (uint64_t)sqlite3_column_int64(q, 2),
                           (uint64_t)sqlite3_column_int64(q, 3), floor);
    }
    sqlite3_reset(q);
    disk_look(false);
    floor_before = floor;
}
