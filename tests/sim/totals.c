/* What many seeds came to. */
#include "tests/sim/totals.h"

#include <stddef.h>

static const struct {
    const char *name;
    size_t at;
} FIGURES[] = {
    {"transactions", offsetof(sim_figures, transactions)},
    {"refused", offsetof(sim_figures, refused)},
    {"conflicts", offsetof(sim_figures, conflicts)},
    {"events", offsetof(sim_figures, events)},
    {"devices", offsetof(sim_figures, devices)},
    {"device_ms", offsetof(sim_figures, device_ms)},
    {"fields", offsetof(sim_figures, fields)},
    {"losses", offsetof(sim_figures, losses)},
    {"worlds", offsetof(sim_figures, modelled)},
    {"reads", offsetof(sim_figures, reads)},
    {"recorded", offsetof(sim_figures, recorded)},
    {"scoped", offsetof(sim_figures, scoped)},
};
#define NFIGURES (sizeof FIGURES / sizeof *FIGURES)

static uint64_t *figure(sim_figures *f, size_t i) {
    return (uint64_t *)(void *)((char *)f + FIGURES[i].at);
}

static uint64_t figure_of(const sim_figures *f, size_t i) {
    return *(const uint64_t *)(const void *)((const char *)f + FIGURES[i].at);
}

static bool counts(const sim_figures *f) {
    unsigned classes = 0;
    for (unsigned i = 0; i < FAULT_COUNT; i++) classes += f->happened[i] != 0;
    return f->devices >= COUNTS_DEVICES && f->transactions >= COUNTS_TRANSACTIONS && classes >= COUNTS_CLASSES;
}

void totals_add(totals *t, const sim_figures *f) {
    t->passed++;
    if (!counts(f)) t->uncounted++;
    for (size_t i = 0; i < NFIGURES; i++) *figure(&t->sum, i) += figure_of(f, i);
    for (unsigned i = 0; i < FAULT_COUNT; i++) t->sum.happened[i] += f->happened[i];
    /* The order in which seeds end is not theirs. */
    t->sum.trace += f->trace;
}

static double device_years(const totals *t) {
    return (double)t->sum.device_ms / (365.25 * (double)DAY);
}

void totals_print(const totals *t) {
    const sim_figures *f = &t->sum;
    printf("sim: %" PRIu64 " seeds passed, %" PRIu64 " failed", t->passed, t->failed);
    if (t->uncounted)
        printf(", %" PRIu64 " of them did not count (fewer than %u devices, %u transactions or %u classes of fault)",
               t->uncounted, COUNTS_DEVICES, COUNTS_TRANSACTIONS, COUNTS_CLASSES);
    printf("\nsim: %.1f device-years, %" PRIu64 " transactions (%" PRIu64 " refused), %" PRIu64 " conflicts, %" PRIu64
           " events; trace %016" PRIx64 "\nsim: the model of the rules predicted %" PRIu64 " fields and %" PRIu64
           " losses of %" PRIu64 " worlds\nsim: faults:",
           device_years(t), f->transactions, f->refused, f->conflicts, f->events, f->trace, f->fields, f->losses, f->modelled);
    for (unsigned i = 0; i < FAULT_COUNT; i++) printf(" %s %" PRIu64, sim_fault_name((sim_fault)i), f->happened[i]);
    printf("\n");
}

/* ---- JSON ---- */

static void put(json_t *o, const char *name, uint64_t n) {
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

static bool get(const json_t *o, const char *name, uint64_t *n) {
    const json_t *v = json_object_get(o, name);
    *n = (uint64_t)json_integer_value(v);
    return json_is_integer(v);
}

json_t *totals_json(const totals *t) {
    json_t *o = json_object(), *faults = json_object();
    char trace[17];
    put(o, "passed", t->passed);
    put(o, "failed", t->failed);
    put(o, "not_counted", t->uncounted);
    json_object_set_new(o, "device_years", json_real(device_years(t)));
    for (size_t i = 0; i < NFIGURES; i++) put(o, FIGURES[i].name, figure_of(&t->sum, i));
    snprintf(trace, sizeof trace, "%016" PRIx64, t->sum.trace);
    json_object_set_new(o, "trace", json_string(trace));
    for (unsigned i = 0; i < FAULT_COUNT; i++) put(faults, sim_fault_name((sim_fault)i), t->sum.happened[i]);
    json_object_set_new(o, "faults", faults);
    return o;
}

bool totals_read(totals *t, const json_t *o) {
    const json_t *faults = json_object_get(o, "faults");
    const char *trace = json_string_value(json_object_get(o, "trace"));
    bool good = get(o, "passed", &t->passed) && get(o, "failed", &t->failed) && get(o, "not_counted", &t->uncounted) && trace;
    for (size_t i = 0; good && i < NFIGURES; i++) good = get(o, FIGURES[i].name, figure(&t->sum, i));
    /* Of a class that there was not yet none has happened. */
    for (unsigned i = 0; good && i < FAULT_COUNT; i++)
        t->sum.happened[i] = (uint64_t)json_integer_value(json_object_get(faults, sim_fault_name((sim_fault)i)));
    if (good) t->sum.trace = strtoull(trace, NULL, 16);
    return good;
}
