/* Store and files are whole by their own account. */
#include "tests/sim/sim.h"

void check_verify(sim *s) {
    buf report;
    unsigned problems = 0;
    buf_init(&report, 0);
    if (store_verify(s->store, &report, &problems)) sim_fail(s, "the store cannot be verified");
    if (problems) sim_fail(s, "store: %.*s", (int)report.n, (const char *)report.p);
    buf_fini(&report);
    for (unsigned i = 0; i < s->ndevices; i++) {
        char *faults = NULL;
        if (s->device[i].wiped) continue;
        if (satchel_verify(s->device[i].s, &faults))
            sim_fail(s, "device %u: %s", i, faults ? faults : satchel_errmsg(s->device[i].s));
        sqlite3_free(faults);
    }
}
