/* The loop over events, and the end of a run. */
#include "tests/sim/sim.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINES 4000u
#define LINE_BYTES 200u
/* After the troubles, everything must be at rest within this. */
#define REST_MS (2 * DAY)

static char lines[LINES][LINE_BYTES];
static unsigned nlines;
static sim *running;

/* ---- chance ---- */

uint64_t sim_random(sim *s) {
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned sim_below(sim *s, unsigned n) {
    return (unsigned)(sim_random(s) % n);
}

bool sim_chance(sim *s, unsigned percent) {
    return sim_below(s, 100) < percent;
}

uint64_t sim_spread(sim *s, uint64_t most) {
    unsigned bits = 1;
    while (bits < 63 && most >> bits) bits++;
    uint64_t v = sim_random(s) >> (64 - 1 - sim_below(s, bits));
    return v % (most + 1);
}

/* ---- time and randomness of the code under test: the linker gives it these ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_crypto_random(void *out, size_t n);

uint64_t sim_clock_ms(const sim *s, const sim_clock *c) {
    int64_t passed = (int64_t)(s->now - c->since);
    int64_t now = (int64_t)s->now + c->offset_ms + passed / 1000000 * c->drift_ppm;
    return now < 1000 ? 1000 : (uint64_t)now;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *out) {
    (void)id;
    uint64_t now = running ? sim_clock_ms(running, running->clock) : 0;
    *out = (struct timespec){.tv_sec = (time_t)(now / 1000), .tv_nsec = (long)(now % 1000) * 1000000};
    return 0;
}

int __wrap_crypto_random(void *out, size_t n) {
    for (size_t i = 0; i < n; i++) ((uint8_t *)out)[i] = (uint8_t)sim_random(running);
    return 0;
}

static uint64_t disk_now(void *ctx) {
    sim *s = ctx;
    return sim_clock_ms(s, s->clock);
}

/* ---- the trace ---- */

static void print_time(sim *s, char out[32]) {
    uint64_t t = s->now - s->began;
    snprintf(out, 32, "%3" PRIu64 "d %02u:%02u:%02u.%03u", t / DAY, (unsigned)(t / HOUR % 24), (unsigned)(t / MINUTE % 60),
             (unsigned)(t / SECOND % 60), (unsigned)(t % SECOND));
}

void sim_say(sim *s, const char *format, ...) {
    char *line = lines[nlines++ % LINES], when[32];
    va_list args;
    print_time(s, when);
    int n = snprintf(line, LINE_BYTES, "%s ", when);
    va_start(args, format);
    vsnprintf(line + n, LINE_BYTES - (size_t)n, format, args);
    va_end(args);
    if (s->verbose) fprintf(stderr, "%s\n", line);
}

void sim_fail(sim *s, const char *format, ...) {
    va_list args;
    unsigned from = nlines > LINES ? nlines - LINES : 0;
    for (unsigned i = from; i < nlines && !s->verbose; i++) fprintf(stderr, "%s\n", lines[i % LINES]);
    fprintf(stderr, "sim: seed %" PRIu64 ", satchel " SATCHEL_VERSION ": ", s->seed);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

void sim_happened(sim *s, sim_fault f) {
    s->figures.happened[f]++;
}

/* ---- events ---- */

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t device_next(const sim *s, const sim_device *d) {
    if (!d->s) return d->starts_at;
    uint64_t at = s->calm ? UINT64_MAX : d->works_at;
    if (!d->connection) return sooner(at, d->connects_at);
    /* A deadline is on the device's clock. */
    uint64_t deadline = session_deadline(d->s->session), now = sim_clock_ms(s, &d->clock);
    if (deadline != UINT64_MAX) at = sooner(at, deadline <= now ? s->now + 1 : s->now + (deadline - now));
    return at;
}

static uint64_t next_event(const sim *s) {
    uint64_t at = net_next(s);
    for (unsigned i = 0; i < s->ndevices; i++) at = sooner(at, device_next(s, &s->device[i]));
    at = sooner(at, s->store ? s->upkeep_at : s->server_starts_at);
    return s->calm ? at : sooner(at, s->fault_at);
}

static void wake_device(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->s) {
        if (d->starts_at <= s->now) sim_device_start(s, i);
        return;
    }
    if (!s->calm && d->works_at <= s->now) {
        work_device(s, i);
        d->works_at = s->now + 1 + sim_spread(s, DAY);
    }
    if (d->s && !d->connection && d->connects_at <= s->now) net_connect(s, i);
}

static void wake_server(sim *s) {
    if (!s->store) {
        if (s->server_starts_at <= s->now) sim_server_start(s);
        return;
    }
    if (s->upkeep_at > s->now) return;
    if (!s->calm && sim_chance(s, 30)) work_server(s);
    s->upkeep_at = s->now + MINUTE + sim_spread(s, 6 * HOUR);
}

static void step(sim *s) {
    uint64_t at = next_event(s);
    if (at > s->now) s->now = at;
    s->figures.events++;
    wake_server(s);
    for (unsigned i = 0; i < s->ndevices; i++) wake_device(s, i);
    if (!s->calm && s->fault_at <= s->now) faults_strike(s);
    net_deliver(s);
    sim_server_step(s);
    net_collect(s);
    while (sim_reap(s)) continue;
}

/* ---- rest ---- */

static bool at_rest(const sim *s) {
    if (!s->store) return false;
    for (const connection *c = s->connections; c; c = c->next)
        if (c->up || c->down) return false;
    for (unsigned i = 0; i < s->ndevices; i++) {
        const sim_device *d = &s->device[i];
        if (d->revoked) continue;
        if (!d->s || !d->connection || !d->connection->session || !session_in_step(d->s->session)) return false;
    }
    return true;
}

static void calm_down(sim *s) {
    s->calm = true;
    s->ended = s->now;
    sim_say(s, "the troubles end");
    disk_die_at(s->server_disk, UINT64_MAX);
    disk_fill(s->server_disk, false);
    disk_fail_at(s->server_disk, 0);
    for (unsigned i = 0; i < s->ndevices; i++) {
        disk *d = s->device[i].disk;
        disk_die_at(d, UINT64_MAX);
        disk_fill(d, false);
        disk_fail_at(d, 0);
        s->device[i].offline_until = 0;
        s->device[i].connects_at = sooner(s->device[i].connects_at, s->now);
    }
    /* What one direction has lost, no later frame may follow. */
    for (connection *c = s->connections; c; c = c->next)
        if (c->held && (c->deaf_up || c->deaf_down)) net_let_go(s, c->device, SECOND, false);
}

static void come_to_rest(sim *s) {
    calm_down(s);
    uint64_t until = s->now + REST_MS;
    /* What one device sends late may move another that was at rest: twice. */
    for (int twice = 0; twice < 2; twice++) {
        do {
            step(s);
            if (s->now > until) sim_fail(s, "not at rest within %u days", (unsigned)(REST_MS / DAY));
        } while (!at_rest(s));
        s->now += MINUTE;
    }
}

static void check_all(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++) history_look(s, i);
    check_refusals(s);
    check_convergence(s);
    check_transactions(s);
    check_counters(s);
    check_silence(s);
    check_verify(s);
}

/* ---- one seed ---- */

/* The few real files: migrations, and an empty one of the store's name. */
static void make_dirs(sim *s) {
    char path[96];
    snprintf(s->dir, sizeof s->dir, "%s/satchel-sim-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(s->dir)) sim_fail(s, "cannot make a directory");
    snprintf(path, sizeof path, "%s/schema", s->dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/server", s->dir);
    mkdir(path, 0700);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static void begin(sim *s) {
    make_dirs(s);
    s->began = s->now = UINT64_C(1700000000000);
    s->clock = &s->server_clock;
    running = s;
    disk_install(disk_now, s);
    s->server_disk = disk_new("server", sim_random(s));
    s->txn = calloc(SIM_TXNS, sizeof *s->txn);
    faults_choose(s);
    sim_server_start(s);
    for (unsigned n = 4 + sim_below(s, 3); s->ndevices < n;) sim_device_add(s);
    s->enough = 300 + sim_below(s, 300);
    s->fault_at = s->now + sim_spread(s, HOUR);
}

static void end(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++) {
        if (s->device[i].s) sim_device_stop(s, i);
        s->figures.device_ms += s->now - s->began;
        disk_free(s->device[i].disk);
    }
    if (s->store) sim_server_stop(s);
    net_free(s);
    disk_free(s->server_disk);
    disk_uninstall();
    nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(s->txn);
    running = NULL;
}

static sim_figures run_seed(uint64_t seed, bool verbose) {
    static sim world;
    world = (sim){.seed = seed, .random = seed * UINT64_C(0x2545f4914f6cdd1d) + 1, .verbose = verbose};
    nlines = 0;
    begin(&world);
    while (world.figures.transactions < world.enough) step(&world);
    come_to_rest(&world);
    check_all(&world);
    end(&world);
    return world.figures;
}

/* ---- many seeds, each in a process of its own ---- */

typedef struct totals {
    sim_figures f;
    uint64_t seeds, failed;
} totals;

static void add_figures(totals *t, const sim_figures *f) {
    t->seeds++;
    t->f.events += f->events;
    t->f.transactions += f->transactions;
    t->f.refused += f->refused;
    t->f.conflicts += f->conflicts;
    t->f.device_ms += f->device_ms;
    for (unsigned i = 0; i < FAULT_COUNT; i++) t->f.happened[i] += f->happened[i];
}

static void run_child(uint64_t seed, bool verbose, int out) {
    sim_figures f = run_seed(seed, verbose);
    ssize_t n = write(out, &f, sizeof f);
    fflush(NULL);
    exit(n == sizeof f ? 0 : 2);
}

typedef struct child {
    pid_t pid;
    int from;
    uint64_t seed;
} child;

static child start_child(uint64_t seed, bool verbose) {
    int ends[2];
    if (pipe(ends)) exit(2);
    child c = {.seed = seed, .from = ends[0]};
    c.pid = fork();
    if (c.pid < 0) exit(2);
    if (c.pid == 0) run_child(seed, verbose, ends[1]);
    close(ends[1]);
    return c;
}

static void end_child(const child *c, totals *t) {
    sim_figures f;
    int status;
    bool whole = read(c->from, &f, sizeof f) == sizeof f;
    close(c->from);
    waitpid(c->pid, &status, 0);
    if (whole && WIFEXITED(status) && !WEXITSTATUS(status)) {
        add_figures(t, &f);
        return;
    }
    t->failed++;
    fprintf(stderr, "sim: seed %" PRIu64 " failed; again with: --from %" PRIu64 " --count 1 --verbose\n", c->seed, c->seed);
}

static void print_totals(const totals *t) {
    printf("sim: %" PRIu64 " seeds passed, %" PRIu64 " failed: %.1f device-years, %" PRIu64 " transactions, %" PRIu64 " events\n",
           t->seeds, t->failed, (double)t->f.device_ms / (365.25 * (double)DAY), t->f.transactions, t->f.events);
    printf("sim: faults:");
    for (unsigned i = 0; i < FAULT_COUNT; i++) printf(" %s %" PRIu64, sim_fault_name((sim_fault)i), t->f.happened[i]);
    printf("\n");
}

int main(int argc, char **argv) {
    uint64_t from = 0, count = 100;
    unsigned jobs = 2, most_failures = 5;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--from") && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--count") && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--jobs") && i + 1 < argc)
            jobs = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--verbose"))
            verbose = true;
        else {
            fputs("usage: sim [--from SEED] [--count N] [--jobs N] [--verbose]\n", stderr);
            return 2;
        }
    }
    totals t = {0};
    child c[64];
    if (jobs < 1 || jobs > 64) jobs = 1;
    for (uint64_t i = 0; i < count && t.failed < most_failures;) {
        unsigned n = 0;
        for (; n < jobs && i < count; i++) c[n++] = start_child(from + i, verbose);
        for (unsigned k = 0; k < n; k++) end_child(&c[k], &t);
    }
    print_totals(&t);
    return t.failed ? 1 : 0;
}
