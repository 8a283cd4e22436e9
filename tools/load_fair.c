/* satchel-load fair - devices work beside one that takes more than its share, and beside one that takes as much of the processor and never talks to the
 * server: the difference is what they notice of it through the server. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/load_abuse.h"
#include "tools/load_device.h"

/* A burner's share of the processor goes by such slices. */
#define SLICE_US 10000u

/* Of one time of work. */
typedef struct share {
    double answered_p50, answered_p99, visible_p50, visible_p99;
    uint64_t transactions;
} share;

/* Of all rounds beside one kind. */
typedef struct sitting {
    share beside[LOAD_ROUNDS_MOST], control[LOAD_ROUNDS_MOST];
    unsigned rounds;
    load_abuse_counts counts;
    uint64_t server_cpu_ns, abuser_cpu_ns, us;
} sitting;

typedef struct fair {
    load_server *sv;
    const load_options *o;
    const load_fleet *fleet;
    load_device *device;
    load_stats *st;
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
                   .transactions = f->st->transactions - before};
    return rc;
}

/* All have everything: what is left to do of one time is not seen in the next. */
static int settle(fair *f) {
    uint64_t seq;
    int rc = load_devices_settle(f->device, f->o->devices, 0, f->o->patience_s);
    if (!rc) rc = load_server_seq(f->sv, &seq);
    return rc ? rc : load_devices_settle(f->device, f->o->devices, seq, f->o->patience_s);
}

/* ---- what the abuser itself takes of this machine ---- */

typedef struct burner {
    pthread_t thread;
    atomic_bool stop;
    uint64_t slice_us; /* of SLICE_US */
} burner;

static uint64_t thread_cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *burn(void *arg) {
    burner *b = arg;
    load_abuse_yield();
    while (!atomic_load(&b->stop)) {
        uint64_t end_us = load_now_us() + SLICE_US, until_us = thread_cpu_us() + b->slice_us, now_us;
        while (thread_cpu_us() < until_us && !atomic_load(&b->stop)) continue;
        if ((now_us = load_now_us()) < end_us) load_sleep_us(end_us - now_us);
    }
    return NULL;
}

static int work_controlled(fair *f, const sitting *s, share *out) {
    burner b = {.slice_us = s->us ? s->abuser_cpu_ns / 1000 * SLICE_US / s->us : 0};
    if (pthread_create(&b.thread, NULL, burn, &b)) return load_fail("no thread can be made");
    int rc = work(f, out);
    atomic_store(&b.stop, true);
    pthread_join(b.thread, NULL);
    return rc ? rc : settle(f);
}

/* ---- the report ---- */

static int compare_doubles(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of one member of `n` shares. */
static double median(const share *s, unsigned n, size_t offset) {
    double v[LOAD_ROUNDS_MOST];
    for (unsigned i = 0; i < n; i++) memcpy(&v[i], (const char *)&s[i] + offset, sizeof v[i]);
    qsort(v, n, sizeof *v, compare_doubles);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static share medians(const share *s, unsigned n) {
    share m = {.answered_p50 = median(s, n, offsetof(share, answered_p50)),
               .answered_p99 = median(s, n, offsetof(share, answered_p99)),
               .visible_p50 = median(s, n, offsetof(share, visible_p50)),
               .visible_p99 = median(s, n, offsetof(share, visible_p99))};
    for (unsigned i = 0; i < n; i++) m.transactions += s[i].transactions;
    return m;
}

static double ratio(double beside, double control) {
    return control > 0 ? beside / control : 0;
}

static void report_json(const fair *f, const char *kind, const sitting *s, const share *b, const share *c) {
    load_print_json(json_pack(
        "{ss si si sI sI sf sf sf sf sf sf sf sf sf sf sI sI sI sI sI sf sf}", "beside", kind, "seconds", (int)f->o->seconds,
        "rounds", (int)s->rounds, "transactions", (json_int_t)b->transactions, "errors", (json_int_t)f->st->errors,
        "accepted_p50_ms", b->answered_p50, "accepted_p99_ms", b->answered_p99, "visible_p50_ms", b->visible_p50,
        "visible_p99_ms", b->visible_p99, "control_accepted_p50_ms", c->answered_p50, "control_accepted_p99_ms", c->answered_p99,
        "control_visible_p50_ms", c->visible_p50, "control_visible_p99_ms", c->visible_p99, "accepted_p99_ratio",
        ratio(b->answered_p99, c->answered_p99), "visible_p99_ratio", ratio(b->visible_p99, c->visible_p99), "frames",
        (json_int_t)s->counts.frames, "bytes", (json_int_t)s->counts.bytes, "received", (json_int_t)s->counts.received, "opened",
        (json_int_t)s->counts.opened, "refused", (json_int_t)s->counts.refused, "server_cpu_s", (double)s->server_cpu_ns / 1e9,
        "abuser_cpu_s", (double)s->abuser_cpu_ns / 1e9));
}

static void report(const fair *f, const char *kind, const sitting *s) {
    share b = medians(s->beside, s->rounds), c = medians(s->control, s->rounds);
    if (f->o->json) {
        report_json(f, kind, s, &b, &c);
        return;
    }
    printf("%-10s accepted p50 %.1f ms (x%.1f), p99 %.1f (x%.1f); seen p50 %.1f (x%.1f), p99 %.1f (x%.1f); %llu transactions\n",
           kind, b.answered_p50, ratio(b.answered_p50, c.answered_p50), b.answered_p99, ratio(b.answered_p99, c.answered_p99),
           b.visible_p50, ratio(b.visible_p50, c.visible_p50), b.visible_p99, ratio(b.visible_p99, c.visible_p99),
           (unsigned long long)b.transactions);
    if (!s->us) return;
    printf("           it sent %llu messages, %llu bytes, was sent %llu; %llu connections opened, %llu were refused or ended;"
           " processor time: server %.1f s, it %.1f s\n",
           (unsigned long long)s->counts.frames, (unsigned long long)s->counts.bytes, (unsigned long long)s->counts.received,
           (unsigned long long)s->counts.opened, (unsigned long long)s->counts.refused, (double)s->server_cpu_ns / 1e9,
           (double)s->abuser_cpu_ns / 1e9);
}

/* ---- rounds ---- */

static void add_counts(load_abuse_counts *sum, const load_abuse_counts *c) {
    sum->frames += c->frames;
    sum->bytes += c->bytes;
    sum->opened += c->opened;
    sum->refused += c->refused;
    sum->received += c->received;
}

static int work_beside(fair *f, load_abuse_kind kind, sitting *s, share *out) {
    load_usage before, after;
    uint64_t began_us = load_now_us();
    /* Each way a device of its own, so that none answers for another. */
    load_abuser *a = load_abuse_start(f->fleet, f->o->devices + (unsigned)kind, kind);
    int rc = a ? load_usage_read(f->sv->pid, &before) : LOAD_FAILED;
    if (!rc) rc = work(f, out);
    if (!rc) rc = load_usage_read(f->sv->pid, &after);
    if (!rc) {
        s->server_cpu_ns += after.cpu_ns - before.cpu_ns;
        s->abuser_cpu_ns += load_abuse_cpu_ns(a);
        s->us += load_now_us() - began_us;
        add_counts(&s->counts, load_abuse_look(a));
    }
    load_abuse_stop(a);
    return rc ? rc : settle(f);
}

static int sit(fair *f, load_abuse_kind kind) {
    sitting s = {0};
    int rc = LOAD_DONE;
    for (; s.rounds < f->o->rounds && !rc; s.rounds++) {
        rc = work_beside(f, kind, &s, &s.beside[s.rounds]);
        if (!rc) rc = work_controlled(f, &s, &s.control[s.rounds]);
    }
    if (!rc) report(f, load_abuse_names[kind], &s);
    return rc;
}

static int measure(fair *f) {
    unsigned different = 0;
    sitting alone = {.rounds = 1};
    int rc = work(f, &alone.beside[0]);
    alone.control[0] = alone.beside[0];
    if (!rc) report(f, "nobody", &alone);
    for (unsigned i = 0; i < ABUSE_KINDS && !rc; i++)
        if (!f->o->abuse || f->o->abuse == load_abuse_names[i]) rc = sit(f, (load_abuse_kind)i);
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
