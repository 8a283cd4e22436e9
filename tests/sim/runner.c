/* Many seeds. */
#include "tests/sim/runner.h"

#include <poll.h>
#include <unistd.h>

#include "tests/sim/worker.h"

/* A failing seed is tried so often to make it shorter. */
#define SHORTER_RUNS 40u
/* A killed sitting has lost at most so many. */
#define SAVE_EACH 20u

/* A sitting. */
typedef struct sitting {
    const runner *w;
    totals *sum;
    uint64_t next, given, ran; /* given: to workers; ran: which have ended */
    bool unwritten;
} sitting;

/* ---- shorter ---- */

static void print_command(const sim_options *o) {
    fprintf(stderr, "tests/run sim --seed %" PRIu64, o->seed);
    if (o->copies) fprintf(stderr, " --copies");
    if (o->transactions) fprintf(stderr, " --transactions %u", o->transactions);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        if (o->without & SIM_FAULT_BIT(i)) fprintf(stderr, " --without %s", sim_fault_name((sim_fault)i));
    fprintf(stderr, " --verbose\n");
}

/* Takes `o` for `best` if the same check fails, and sooner. */
static bool fails_alike(const sim_options *o, sim_options *best, sim_result *found) {
    sim_result r;
    if (worker_run(o, true, &r) || strcmp(r.check, found->check)) return false;
    *best = *o;
    *found = r;
    return true;
}

static void shorten(const sim_options *o, const sim_result *first) {
    sim_options best = *o;
    sim_result found = *first;
    unsigned runs = 0;
    best.verbose = false;
    for (uint64_t n = found.figures.transactions / 8 + 1; runs < SHORTER_RUNS / 2 && n < found.figures.transactions;
         n = n * 3 / 2 + 1) {
        sim_options try = best;
        try.transactions = (unsigned)n;
        runs++;
        if (fails_alike(&try, &best, &found)) break;
    }
    for (unsigned i = 0; i < FAULT_COUNT && runs < SHORTER_RUNS; i++) {
        if (!(found.faults & SIM_FAULT_BIT(i))) continue;
        sim_options try = best;
        try.without |= SIM_FAULT_BIT(i);
        runs++;
        fails_alike(&try, &best, &found);
    }
    fprintf(stderr,
            "sim: the shortest of %u runs that fail alike (%" PRIu64 " transactions, %" PRIu64 " events): %s\nsim:   ", runs,
            found.figures.transactions, found.figures.events, found.words);
    print_command(&best);
    best.verbose = true;
    worker_run(&best, true, &found); /* with a line for each event */
}

/* ---- one seed has ended ---- */

static void add_failure(sitting *t) {
    t->sum->failed++;
    if (t->w->file) t->w->file->sum.failed++;
}

static void tell_failure(sitting *t, const sim_options *o, const sim_result *r) {
    const char *build = t->w->build;
    add_failure(t);
    fprintf(stderr, "sim: seed %" PRIu64 ", satchel " SATCHEL_VERSION "%s%s: %s\nsim:   ", o->seed, build ? ", " : "",
            build ? build : "", r->words);
    print_command(o);
    if (!t->w->no_shorten) shorten(o, r);
}

/* Now in a process of its own: nor does what a process did before make a difference. */
static bool is_same_again(const sim_options *o, const sim_result *first) {
    sim_result again;
    if (worker_run(o, true, &again) && !memcmp(&again.figures, &first->figures, sizeof again.figures)) return true;
    fprintf(stderr, "sim: seed %" PRIu64 " is not the same twice: trace %016" PRIx64 ", then %016" PRIx64 "\n", o->seed,
            first->figures.trace, again.figures.trace);
    return false;
}

static void print_progress(const sitting *t) {
    const runner *w = t->w;
    if (!isatty(STDERR_FILENO) || w->options.verbose) return;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed \033[K", t->ran, w->count, t->sum->failed);
    if (t->ran == w->count) fputc('\n', stderr);
}

static void save(sitting *t) {
    if (t->w->file && !t->unwritten) t->unwritten = !totals_save(t->w->file, t->w->build);
}

static void take_one(sitting *t, worker *one) {
    sim_result r;
    totals_file *kept = t->w->file;
    if (!worker_take(one, &r)) {
        tell_failure(t, &one->options, &r);
    } else if (t->w->twice && !is_same_again(&one->options, &r)) {
        add_failure(t);
    } else {
        totals_add(t->sum, &r.figures);
        if (kept) totals_add(&kept->sum, &r.figures);
    }
    t->ran++;
    if (kept) totals_ran(kept, one->options.seed);
    if (t->ran % SAVE_EACH == 0) save(t);
    print_progress(t);
}

/* ---- all ---- */

/* False: there is no more. */
static bool next_seed(sitting *t, uint64_t *seed) {
    const runner *w = t->w;
    if (t->sum->failed >= w->most_failures || t->unwritten) return false;
    *seed = w->file ? totals_next(w->file, t->next) : t->next;
    if (w->goes_on || w->list ? t->given == w->count : *seed - w->from >= w->count) return false;
    t->next = *seed + 1;
    if (w->list) *seed = w->list[t->given];
    t->given++;
    return true;
}

/* The one that ends first. */
static unsigned wait_for_one(const worker *one, unsigned n) {
    struct pollfd p[JOBS_MOST];
    for (unsigned i = 0; i < n; i++) p[i] = (struct pollfd){.fd = one[i].from, .events = POLLIN};
    if (poll(p, n, -1) < 0) return 0;
    for (unsigned i = 0; i < n; i++)
        if (p[i].revents) return i;
    return 0;
}

bool runner_run(const runner *w, totals *sum) {
    worker all[JOBS_MOST] = {0}; /* those that have a seed first */
    sitting t = {.w = w, .sum = sum, .next = w->from};
    for (unsigned n = 0;;) {
        uint64_t seed;
        while (n < w->jobs && next_seed(&t, &seed)) {
            sim_options o = w->options;
            o.seed = seed;
            worker_give(&all[n++], &o, false);
        }
        if (!n) break;
        unsigned i = wait_for_one(all, n);
        take_one(&t, &all[i]);
        worker done = all[i];
        all[i] = all[--n];
        all[n] = done;
    }
    for (unsigned i = 0; i < w->jobs; i++) worker_end(&all[i]);
    if (t.ran % SAVE_EACH) save(&t);
    return !t.unwritten;
}
