/* What is asked for, and the answer. */
#include <signal.h>

#include "tests/sim/runner.h"

static const char help[] =
    "usage: sim [OPTION...]\n"
    "  --from A --count N    seeds A to A+N-1 (0, 100)\n"
    "  --seed S              this seed alone\n"
    "  --seeds FILE          the seeds of a file: the first word of each line; # begins a comment\n"
    "  --jobs N              so many at once (2)\n"
    "  --failures N          ends after so many (5)\n"
    "  --transactions N      the troubles end after so many; such a seed does not count\n"
    "  --without CLASS       leaves out a class of fault (several may be given); such a seed does not count\n"
    "  --copies              above all, files and servers are put back and copied, and refusals settled: a world where few things are\n"
    "                        known twice is soon found out; such a seed does not count\n"
    "  --verbose             one line for each event, on the standard error\n"
    "  --watch N             the trace tells which files have transaction N, whenever that changes\n"
    "  --no-shorten          a failing seed is not made shorter\n"
    "  --twice               each seed runs twice and has to be the same, bit for bit\n"
    "  --json                the totals as one JSON object\n"
    "  --totals FILE         adds this sitting to FILE and prints its sums; each seed is counted once: those that were run are left out,\n"
    "                        and without --from the next N are run. A file is of one state of the sources, which --sources names\n"
    "  --table FILE          prints such a file as a Markdown table, and runs nothing\n"
    "  --build TEXT          what is told of the build when a seed fails, and in FILE\n"
    "  --sources TEXT        a hash of the sources\n";

typedef struct arguments {
    runner w;
    const char *seeds, *totals, *table, *sources;
    bool from, json;
} arguments;

static bool read_seeds(arguments *a) {
    char line[512];
    size_t cap = 0, n = 0;
    uint64_t *list = NULL;
    FILE *f = fopen(a->seeds, "r");
    if (!f) {
        perror(a->seeds);
        return false;
    }
    while (fgets(line, sizeof line, f)) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end == line) continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 64;
            list = realloc(list, cap * sizeof *list);
            if (!list) exit(2);
        }
        list[n++] = seed;
    }
    fclose(f);
    a->w.list = list;
    a->w.count = n;
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

static bool take_flag(arguments *a, const char *name) {
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--verbose", &a->w.options.verbose},
                 {"--copies", &a->w.options.copies},
                 {"--no-shorten", &a->w.no_shorten},
                 {"--twice", &a->w.twice},
                 {"--json", &a->json}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(name, flags[i].name)) continue;
        return *flags[i].flag = true;
    }
    return false;
}

static bool take_text(arguments *a, const char *name, const char *argument) {
    const struct {
        const char *name, **text;
    } texts[] = {{"--seeds", &a->seeds},
                 {"--totals", &a->totals},
                 {"--table", &a->table},
                 {"--build", &a->w.build},
                 {"--sources", &a->sources}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name)) continue;
        *texts[i].text = argument;
        return true;
    }
    return !strcmp(name, "--without") && leave_out(&a->w, argument);
}

static bool take_number(arguments *a, const char *name, const char *argument) {
    runner *w = &a->w;
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
    a->from = a->from || !strcmp(name, "--from") || !strcmp(name, "--seed");
    if (!strcmp(name, "--seed")) w->count = 1;
    return true;
}

/* What is added up is a range of whole seeds. */
static bool is_whole(const arguments *a) {
    const sim_options *o = &a->w.options;
    if (!a->totals || (!a->seeds && !o->transactions && !o->without && !o->copies && a->sources && a->w.build)) return true;
    fprintf(
        stderr,
        "sim: --totals needs --build and --sources, as tests/run sim gives them, and no --seeds, --transactions, --without or "
        "--copies\n");
    return false;
}

static bool take_arguments(arguments *a, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (take_flag(a, argv[i])) continue;
        if (i + 1 == argc) return false;
        if (!take_text(a, argv[i], argv[i + 1]) && !take_number(a, argv[i], argv[i + 1])) return false;
        i++;
    }
    return is_whole(a) && (!a->seeds || read_seeds(a));
}

static void print(const arguments *a, const totals *sum) {
    if (!a->json) {
        totals_print(sum);
        return;
    }
    json_t *o = totals_json(sum);
    json_object_set_new(o, "from", json_integer((json_int_t)a->w.from));
    json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(o);
}

/* The exit status. */
static int print_table(const char *path) {
    totals_file kept;
    bool good = totals_open(&kept, path, NULL);
    if (good) totals_table(&kept);
    totals_close(&kept);
    return good ? 0 : 1;
}

static int run(arguments *a) {
    totals_file kept = {0};
    totals sum = {0};
    bool good = !a->totals || totals_open(&kept, a->totals, a->sources);
    a->w.file = a->totals ? &kept : NULL;
    a->w.goes_on = a->totals && !a->from;
    bool ran = good && runner_run(&a->w, &sum);
    if (good) print(a, &sum);
    if (good && a->totals) {
        printf("sim: %s, all sittings:\n", a->totals);
        totals_print(&kept.sum);
    }
    totals_close(&kept);
    return ran && !sum.failed ? 0 : 1;
}

int main(int argc, char **argv) {
    arguments a = {.w = {.count = 100, .jobs = 2, .most_failures = 5}};
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    if (!take_arguments(&a, argc, argv)) {
        fputs(help, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* a worker that is gone is found out when it is waited for */
    int status = a.table ? print_table(a.table) : run(&a);
    free(a.w.list);
    return status;
}
