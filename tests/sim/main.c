/* Many seeds, each in a process of its own; the figures; and a failing seed made shorter. */
#include <poll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define JOBS_MOST 64u
/* Without these a seed proves too little to count. */
#define COUNTS_DEVICES 4u
#define COUNTS_TRANSACTIONS 300u
#define COUNTS_CLASSES 5u
/* A failing seed is tried so often to make it shorter. */
#define SHORTER_RUNS 40u

static const char help[] =
    "usage: sim [OPTION...]\n"
    "  --from A --count N    seeds A to A+N-1 (0, 100)\n"
    "  --seed S              this seed alone\n"
    "  --seeds FILE          the seeds of a file: the first word of each line; # begins a comment\n"
    "  --jobs N              so many at once (2)\n"
    "  --failures N          ends after so many (5)\n"
    "  --transactions N      the troubles end after so many; such a seed does not count\n"
    "  --without CLASS       leaves out a class of fault (several may be given); such a seed does not count\n"
    "  --verbose             one line for each event, on the standard error\n"
    "  --watch N             the trace tells which files have transaction N, whenever that changes\n"
    "  --no-shorten          a failing seed is not made shorter\n"
    "  --twice               each seed runs twice and has to be the same, bit for bit\n"
    "  --json                the totals as one JSON object\n"
    "  --build TEXT          what is told of the build when a seed fails\n";

typedef struct runner {
    sim_options options;
    uint64_t from, count;
    const char *seeds_path, *build;
    unsigned jobs, most_failures;
    bool no_shorten, twice, json;
    /* totals */
    sim_figures sum;
    uint64_t passed, failed, uncounted;
    uint64_t *list; /* of --seeds */
} runner;

/* ---- one seed in a process ---- */

typedef struct child {
    pid_t pid;
    int from;
    sim_options options;
} child;

static void send_result(const sim_result *r, void *ctx) {
    const int *out = ctx;
    if (write(*out, r, sizeof *r) != sizeof *r) _exit(2);
}

static child start_child(const sim_options *o, bool quiet) {
    int ends[2];
    if (pipe(ends)) exit(2);
    child c = {.options = *o, .from = ends[0]};
    fflush(NULL);
    c.pid = fork();
    if (c.pid < 0) exit(2);
    if (c.pid) {
        close(ends[1]);
        return c;
    }
    if (quiet && !freopen("/dev/null", "w", stderr)) _exit(2);
    sim_run(o, send_result, &ends[1]);
    exit(0);
}

/* Waits for its end. True if it passed. */
static bool end_child(const child *c, sim_result *r) {
    int status;
    ssize_t n = read(c->from, r, sizeof *r);
    close(c->from);
    waitpid(c->pid, &status, 0);
    if (n != sizeof *r) *r = (sim_result){0};
    if (WIFEXITED(status) && !WEXITSTATUS(status) && n == sizeof *r) return true;
    if (n == sizeof *r && r->check[0]) return false;
    snprintf(r->check, sizeof r->check, "the process ended");
    if (WIFSIGNALED(status))
        snprintf(r->words, sizeof r->words, "the process was ended by signal %d", WTERMSIG(status));
    else
        snprintf(r->words, sizeof r->words, "the process ended with status %d", WEXITSTATUS(status));
    return false;
}

/* ---- shorter ---- */

static void print_command(const sim_options *o) {
    fprintf(stderr, "tests/run sim --seed %" PRIu64, o->seed);
    if (o->transactions) fprintf(stderr, " --transactions %u", o->transactions);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        if (o->without & SIM_FAULT_BIT(i)) fprintf(stderr, " --without %s", sim_fault_name((sim_fault)i));
    fprintf(stderr, " --verbose\n");
}

/* Takes `o` for `best` if the same check fails, and sooner. */
static bool fails_alike(const sim_options *o, sim_options *best, sim_result *found) {
    sim_result r;
    child c = start_child(o, true);
    if (end_child(&c, &r) || strcmp(r.check, found->check)) return false;
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
}

/* ---- totals ---- */

static unsigned classes(const sim_figures *f) {
    unsigned n = 0;
    for (unsigned i = 0; i < FAULT_COUNT; i++) n += f->happened[i] != 0;
    return n;
}

static bool counts(const sim_figures *f) {
    return f->devices >= COUNTS_DEVICES && f->transactions >= COUNTS_TRANSACTIONS && classes(f) >= COUNTS_CLASSES;
}

static void add_figures(runner *w, const sim_figures *f) {
    w->passed++;
    if (!counts(f)) w->uncounted++;
    w->sum.devices += f->devices;
    w->sum.events += f->events;
    w->sum.transactions += f->transactions;
    w->sum.refused += f->refused;
    w->sum.modelled += f->modelled;
    w->sum.fields += f->fields;
    w->sum.losses += f->losses;
    w->sum.reads += f->reads;
    w->sum.conflicts += f->conflicts;
    w->sum.device_ms += f->device_ms;
    /* The order in which seeds end is not theirs. */
    w->sum.trace += f->trace;
    for (unsigned i = 0; i < FAULT_COUNT; i++) w->sum.happened[i] += f->happened[i];
}

static double device_years(const runner *w) {
    return (double)w->sum.device_ms / (365.25 * (double)DAY);
}

static void print_json(const runner *w) {
    printf("{\"from\":%" PRIu64 ",\"passed\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"not_counted\":%" PRIu64
           ",\"device_years\":%.2f,"
           "\"transactions\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"conflicts\":%" PRIu64 ",\"events\":%" PRIu64
           ",\"trace\":\"%016" PRIx64 "\",\"faults\":{",
           w->from, w->passed, w->failed, w->uncounted, device_years(w), w->sum.transactions, w->sum.refused, w->sum.conflicts,
           w->sum.events, w->sum.trace);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        printf("%s\"%s\":%" PRIu64, i ? "," : "", sim_fault_name((sim_fault)i), w->sum.happened[i]);
    printf("}}\n");
}

static void print_totals(const runner *w) {
    printf("sim: %" PRIu64 " seeds passed, %" PRIu64 " failed", w->passed, w->failed);
    if (w->uncounted)
        printf(", %" PRIu64 " of them did not count (fewer than %u devices, %u transactions or %u classes of fault)",
               w->uncounted, COUNTS_DEVICES, COUNTS_TRANSACTIONS, COUNTS_CLASSES);
    printf("\nsim: %.1f device-years, %" PRIu64 " transactions (%" PRIu64 " refused), %" PRIu64 " conflicts, %" PRIu64
           " events; trace %016" PRIx64 "\nsim: the model of the rules predicted %" PRIu64 " fields and %" PRIu64
           " losses of %" PRIu64 " worlds\nsim: faults:",
           device_years(w), w->sum.transactions, w->sum.refused, w->sum.conflicts, w->sum.events, w->sum.trace, w->sum.fields,
           w->sum.losses, w->sum.modelled);
    for (unsigned i = 0; i < FAULT_COUNT; i++) printf(" %s %" PRIu64, sim_fault_name((sim_fault)i), w->sum.happened[i]);
    printf("\n");
}

static void print_progress(const runner *w) {
    uint64_t done = w->passed + w->failed;
    if (!isatty(STDERR_FILENO) || w->options.verbose) return;
    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed, next %" PRIu64 " \033[K", done, w->count, w->failed,
            w->from + done);
    if (done == w->count) fputc('\n', stderr);
}

/* ---- all seeds ---- */

static void tell_failure(runner *w, const sim_options *o, const sim_result *r) {
    w->failed++;
    fprintf(stderr, "sim: seed %" PRIu64 ", satchel " SATCHEL_VERSION "%s%s: %s\nsim:   ", o->seed, w->build ? ", " : "",
            w->build ? w->build : "", r->words);
    print_command(o);
    if (!w->no_shorten) shorten(o, r);
}

static void check_again(runner *w, const sim_options *o, const sim_result *first) {
    sim_result again;
    child c = start_child(o, true);
    bool same = end_child(&c, &again) && !memcmp(&again.figures, &first->figures, sizeof again.figures);
    if (same) return;
    w->failed++;
    fprintf(stderr, "sim: seed %" PRIu64 " is not the same twice: trace %016" PRIx64 ", then %016" PRIx64 "\n", o->seed,
            first->figures.trace, again.figures.trace);
}

static void finish_child(runner *w, const child *c) {
    sim_result r;
    if (!end_child(c, &r)) {
        tell_failure(w, &c->options, &r);
    } else {
        add_figures(w, &r.figures);
        if (w->twice) check_again(w, &c->options, &r);
    }
    print_progress(w);
}

/* The one that ends first; its place is free then. */
static unsigned wait_for_one(const child *c, unsigned n) {
    struct pollfd p[JOBS_MOST];
    for (unsigned i = 0; i < n; i++) p[i] = (struct pollfd){.fd = c[i].from, .events = POLLIN};
    if (poll(p, n, -1) < 0) return 0;
    for (unsigned i = 0; i < n; i++)
        if (p[i].revents) return i;
    return 0;
}

static void run_all(runner *w) {
    child c[JOBS_MOST];
    unsigned n = 0;
    for (uint64_t next = 0; next < w->count || n;) {
        bool more = next < w->count && w->failed < w->most_failures;
        if (more && n < w->jobs) {
            sim_options o = w->options;
            o.seed = w->list ? w->list[next] : w->from + next;
            next++;
            c[n++] = start_child(&o, false);
            continue;
        }
        if (!n) break;
        unsigned i = wait_for_one(c, n);
        child ended = c[i];
        c[i] = c[--n];
        finish_child(w, &ended);
    }
}

/* ---- arguments ---- */

static bool read_seeds(runner *w) {
    char line[512];
    size_t cap = 0;
    FILE *f = fopen(w->seeds_path, "r");
    if (!f) {
        perror(w->seeds_path);
        return false;
    }
    w->count = 0;
    while (fgets(line, sizeof line, f)) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end == line) continue;
        if (w->count == cap) {
            cap = cap ? cap * 2 : 64;
            w->list = realloc(w->list, cap * sizeof *w->list);
            if (!w->list) exit(2);
        }
        w->list[w->count++] = seed;
    }
    fclose(f);
    return true;
}

static bool leave_out(runner *w, const char *name) {
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(name, sim_fault_name((sim_fault)i))) continue;
        w->options.without |= SIM_FAULT_BIT(i);
        return true;
    }
    fprintf(stderr, "sim: no class of fault is called %s\n", name);
    return false;
}

static bool take_flag(runner *w, const char *name) {
    if (!strcmp(name, "--verbose"))
        w->options.verbose = true;
    else if (!strcmp(name, "--no-shorten"))
        w->no_shorten = true;
    else if (!strcmp(name, "--twice"))
        w->twice = true;
    else if (!strcmp(name, "--json"))
        w->json = true;
    else
        return false;
    return true;
}

static bool take_option(runner *w, const char *name, const char *argument) {
    if (!strcmp(name, "--without")) return leave_out(w, argument);
    if (!strcmp(name, "--seeds") || !strcmp(name, "--build")) {
        *(!strcmp(name, "--seeds") ? &w->seeds_path : &w->build) = argument;
        return true;
    }
    char *end;
    uint64_t n = strtoull(argument, &end, 10);
    if (end == argument || *end) return false;
    if (!strcmp(name, "--from") || !strcmp(name, "--seed"))
        w->from = n;
    else if (!strcmp(name, "--count"))
        w->count = n;
    else if (!strcmp(name, "--jobs"))
        w->jobs = n < 1 ? 1 : n > JOBS_MOST ? JOBS_MOST : (unsigned)n;
    else if (!strcmp(name, "--failures"))
        w->most_failures = (unsigned)n;
    else if (!strcmp(name, "--transactions"))
        w->options.transactions = (unsigned)n;
    else if (!strcmp(name, "--watch"))
        w->options.watch = (unsigned)n;
    else
        return false;
    if (!strcmp(name, "--seed")) w->count = 1;
    return true;
}

static bool take_arguments(runner *w, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (take_flag(w, argv[i])) continue;
        if (i + 1 == argc || !take_option(w, argv[i], argv[i + 1])) return false;
        i++;
    }
    return !w->seeds_path || read_seeds(w);
}

int main(int argc, char **argv) {
    runner w = {.count = 100, .jobs = 2, .most_failures = 5};
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    if (!take_arguments(&w, argc, argv)) {
        fputs(help, stderr);
        return 2;
    }
    run_all(&w);
    (w.json ? print_json : print_totals)(&w);
    free(w.list);
    return w.failed ? 1 : 0;
}
