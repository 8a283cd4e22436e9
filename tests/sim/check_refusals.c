/* What was refused had to be: nothing else is parked. */
#include "tests/sim/sim.h"

/* Work on server-owned columns and append-only rows, forbidden moves; of rows that others deleted, whose insert was discarded or is not known to a
 * restored server; and what a copied file has that the server may have forgotten. */
static bool is_right(const sim *s, int code) {
    switch (code) {
    case SATCHEL_E_SERVER_OWNED:
    case SATCHEL_E_APPEND_ONLY:
    case SATCHEL_E_GUARD:
    case SATCHEL_E_DEPENDS:
        return true;
    case SATCHEL_E_FORGOTTEN:
        return s->faults & (1u << FAULT_CLONE | 1u << FAULT_PUT_BACK);
    case SATCHEL_E_ROW_MISSING: /* of a copied file also: the server forgets deletes that one of the two has */
    case SATCHEL_E_RESOLVED:
        return s->discarded || s->restored || (s->faults & (1u << FAULT_CLONE | 1u << FAULT_PUT_BACK));
    default:
        return false;
    }
}

static void check_device(sim *s, unsigned i) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(satchel_db(s->device[i].s), "SELECT n, code, name, text FROM satchel_rejected", -1, &q, NULL))
        sim_fail(s, "device %u: satchel_rejected cannot be read", i);
    while (sqlite3_step(q) == SQLITE_ROW) {
        if (!is_right(s, sqlite3_column_int(q, 1)))
            sim_fail(s, "device %u: transaction %d was refused: %s: %s", i, sqlite3_column_int(q, 0),
                     (const char *)sqlite3_column_text(q, 2), (const char *)sqlite3_column_text(q, 3));
        s->figures.refused++;
        history_discarded(s, i, (uint64_t)sqlite3_column_int64(q, 0));
    }
    sqlite3_finalize(q);
}

void check_refusals(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].s) check_device(s, i);
}
