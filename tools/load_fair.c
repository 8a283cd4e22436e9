/* satchel-load fair - devices work alone, then beside one that takes more than its share: what they notice of it, and what it gets. */
#include <stdlib.h>
#include <string.h>

#include "tools/load_abuse.h"
#include "tools/load_device.h"

/* Of one time of work. */
typedef struct share {
    double answered_p50, answered_p99, visible_p50, visible_p99;
    uint64_t transactions, errors;
} share;

typedef struct fair {
    load_server *sv;
    const load_options *o;
    const load_fleet *fleet;
    load_device *device;
    load_stats *st;
    share alone;
    bool different;
} fair;

/* Nobody goes off line: what is measured is the server. */
static const unsigned MIX[LOAD_ACTS] = {[ACT_INSERT] = 1, [ACT_UPDATE] = 6, [ACT_COUNTER] = 3};

static int work(fair *f, share *out) {
    load_options o = *f->o;
    memcpy(o.mix, MIX, sizeof MIX);
    memset(&f->st->answered, 0, sizeof f->st->answered);
    memset(&f->st->visible, 0, sizeof f->st->visible);
    uint64_t before = f->st->transactions;
    int rc = load_devices_work(f->device, &o);
    *out = (share){.answered_p50 = load_histogram_ms(&f->st->answered, 0.5),
                   .answered_p99 = load_histogram_ms(&f->st->answered, 0.99),
                   .visible_p50 = load_histogram_ms(&f->st->visible, 0.5),
                   .visible_p99 = load_histogram_ms(&f->st->visible, 0.99),
                   .transactions = f->st->transactions - before,
                   .errors = f->st->errors};
    return rc;
}

static double ratio(double beside, double alone) {
    return alone > 0 ? beside / alone : 0;
}

static void report(const fair *f, const char *kind, const share *s, const load_abuse_counts *c, uint64_t cpu_ns) {
    const share *a = &f->alone;
    double answered = ratio(s->answered_p99, a->answered_p99), visible = ratio(s->visible_p99, a->visible_p99);
    if (!f->o->json) {
        printf(
            "%-10s accepted p50 %.1f ms (x%.1f), p99 %.1f (x%.1f); seen p50 %.1f (x%.1f), p99 %.1f (x%.1f); %llu transactions\n",
            kind, s->answered_p50, ratio(s->answered_p50, a->answered_p50), s->answered_p99, answered, s->visible_p50,
            ratio(s->visible_p50, a->visible_p50), s->visible_p99, visible, (unsigned long long)s->transactions);
        if (c)
            printf(
                "           it sent %llu messages, %llu bytes, was sent %llu; %llu connections opened, %llu were refused or ended;"
                " server %.1f s of processor time\n",
                (unsigned long long)c->frames, (unsigned long long)c->bytes, (unsigned long long)c->received,
                (unsigned long long)c->opened, (unsigned long long)c->refused, (double)cpu_ns / 1e9);
        return;
    }
    load_print_json(json_pack("{ss si sI sI sf sf sf sf sf sf sI sI sI sI sI sf}", "beside", kind, "seconds", (int)f->o->seconds,
                              "transactions", (json_int_t)s->transactions, "errors", (json_int_t)s->errors, "accepted_p50_ms",
                              s->answered_p50, "accepted_p99_ms", s->answered_p99, "visible_p50_ms", s->visible_p50,
                              "visible_p99_ms", s->visible_p99, "accepted_p99_ratio", answered, "visible_p99_ratio", visible,
                              "frames", (json_int_t)(c ? c->frames : 0), "bytes", (json_int_t)(c ? c->bytes : 0), "received",
                              (json_int_t)(c ? c->received : 0), "opened", (json_int_t)(c ? c->opened : 0), "refused",
                              (json_int_t)(c ? c->refused : 0), "server_cpu_s", (double)cpu_ns / 1e9));
}

static int work_beside(fair *f, load_abuse_kind kind) {
    share s;
    load_usage before, after;
    /* Each way a device of its own, so that none answers for another. */
    load_abuser *a = load_abuse_start(f->fleet, f->o->devices + (unsigned)kind, kind);
    int rc = a ? load_usage_read(f->sv->pid, &before) : LOAD_FAILED;
    if (!rc) rc = work(f, &s);
    if (!rc) rc = load_usage_read(f->sv->pid, &after);
    if (!rc) report(f, load_abuse_names[kind], &s, load_abuse_look(a), after.cpu_ns - before.cpu_ns);
    load_abuse_stop(a);
    return rc ? rc : load_devices_settle(f->device, f->o->devices, 0, f->o->patience_s);
}

static int measure(fair *f) {
    unsigned different = 0;
    int rc = work(f, &f->alone);
    if (!rc) report(f, "nobody", &f->alone, NULL, 0);
    for (unsigned i = 0; i < ABUSE_KINDS && !rc; i++)
        if (!f->o->abuse || f->o->abuse == load_abuse_names[i]) rc = work_beside(f, (load_abuse_kind)i);
    if (!rc) rc = load_devices_compare(f->device, f->o->devices, f->sv, f->o->patience_s, &different);
    f->different = different > 0;
    return rc;
}

int load_fair(load_server *sv, const load_options *o) {
    load_fleet fleet = {0};
    load_stats *st = load_stats_new();
    fair f = {.sv = sv, .o = o, .fleet = &fleet, .st = st};
    int rc = st ? load_device_rows(sv) : LOAD_FAILED;
    if (!rc) rc = load_fleet_open(&fleet, sv, o, o->devices + ABUSE_KINDS);
    if (!rc) rc = (f.device = load_devices_open(&fleet, st, o->devices, o)) ? LOAD_DONE : LOAD_FAILED;
    if (!rc) rc = measure(&f);
    if (f.device) load_devices_close(f.device, o->devices);
    if (st && st->first_error[0]) rc = load_fail("%s", st->first_error);
    if (!rc && f.different) rc = load_fail("the devices do not hold what the server holds");
    free(st);
    load_fleet_close(&fleet);
    return rc;
}
