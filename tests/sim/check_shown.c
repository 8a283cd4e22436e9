/* A device that holds a part shows each item that it holds, and none that it does not hold: a row that two buckets of it hold never blinks, and one that left
 * is gone, whatever of it waits to be sent.
 *
 * Looked at whenever something has come, and when its app works. Not claimed once the server was put back, as commits then have other numbers. */
#include "tests/sim/sim.h"

void check_shown(sim *s, unsigned i) {
    unsigned shown = 0;
    if (!scope_has_profile(s, i) || s->restored) return;
    sqlite3 *db = satchel_db(s->device[i].s);
    /* Within a snapshot rows are of no cursor. */
    int64_t cursor = sim_ask(s, db, "SELECT CASE WHEN placed AND snapshot=0 THEN cursor ELSE 0 END FROM satchel_state");
    if (cursor <= 0) return;
    sqlite3_stmt *q = sim_query(s, db, "SELECT substr(id,2) FROM item WHERE id GLOB 'i[0-7]'");
    disk_look(true);
    while (sqlite3_step(q) == SQLITE_ROW) shown |= 1u << sqlite3_column_int(q, 0);
    sqlite3_reset(q);
    disk_look(false);
    for (unsigned row = 0; row < SIM_ROWS; row++) {
        scope_answer holds = check_scope_holds(s, i, row, (uint64_t)cursor);
        bool there = shown >> row & 1;
        if (holds == SCOPE_UNKNOWN || there == (holds == SCOPE_YES)) continue;
        sim_fail(s, "device %u, at commit %" PRId64 ", %s i%u, which it %s", i, cursor, there ? "shows" : "does not show", row,
                 there ? "does not hold" : "holds");
    }
}
