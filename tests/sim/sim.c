/* One world: the loop over events, and the end of a run. */
#include "tests/sim/sim.h"

#include <ftw.h>
#include <malloc.h>
#define OPENSSL_SUPPRESS_DEPRECATED /* of the calls that allocate nothing */
#include <openssl/sha.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The last ones are printed when a seed fails; all of them with --verbose. */
#define LINES 60u
#define LINE_BYTES 200u
/* However many transactions it makes. */
#define LONGEST_MS (5 * 365 * DAY)
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

/* ---- time and randomness of the code under test, and digests that use the processor's instructions for them: the linker gives it these ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_crypto_random(void *out, size_t n);
void __wrap_crypto_sha256(const void *p, size_t n, uint8_t out[32]);
int __wrap_uname(struct utsname *out);

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

void __wrap_crypto_sha256(const void *p, size_t n, uint8_t out[32]) {
    SHA256_CTX c;
    SHA256_Init(&c);
    SHA256_Update(&c, p, n);
    SHA256_Final(out, &c);
}

/* No device names a platform: what it says must not depend on where a seed is run. */
int __wrap_uname(struct utsname *out) {
    (void)out;
    return -1;
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

static void mix(sim *s, uint64_t v) {
    s->figures.trace = (s->figures.trace ^ v) * UINT64_C(0x100000001b3);
}

void sim_say(sim *s, const char *format, ...) {
    char *line = lines[nlines++ % LINES], when[32];
    va_list args;
    print_time(s, when);
    int n = snprintf(line, LINE_BYTES, "%s ", when);
    va_start(args, format);
    vsnprintf(line + n, LINE_BYTES - (size_t)n, format, args);
    va_end(args);
    for (const char *p = line; *p; p++) mix(s, (uint8_t)*p);
    mix(s, '\n');
    if (s->options.verbose) fprintf(stderr, "%s\n", line);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static void remove_dirs(const sim *s) {
    if (s->dir[0]) nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void sim_fail(sim *s, const char *format, ...) {
    va_list args;
    unsigned from = nlines > LINES ? nlines - LINES : 0;
    for (unsigned i = from; i < nlines && !s->options.verbose; i++) fprintf(stderr, "%s\n", lines[i % LINES]);
    sim_result r = {.figures = s->figures, .faults = s->faults & ~s->options.without};
    snprintf(r.check, sizeof r.check, "%s", format);
    va_start(args, format);
    vsnprintf(r.words, sizeof r.words, format, args);
    va_end(args);
    s->done(&r, s->done_ctx);
    remove_dirs(s);
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
    if (sim_server_is_busy(s)) at = sooner(at, s->busy_until);
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
        d->touched = true;
        d->works_at = s->now + 1 + sim_spread(s, s->pace);
    }
    if (d->s && !d->connection && d->connects_at <= s->now) net_connect(s, i);
    if (d->s && d->connection && session_deadline(d->s->session) <= sim_clock_ms(s, &d->clock)) d->touched = true;
}

disk *sim_disk(sim *s, unsigned node) {
    return node == SIM_SERVER ? s->server_disk : s->device[node].disk;
}

/* Somebody makes room. */
static void empty_disks(sim *s) {
    for (unsigned i = 0; i <= SIM_SERVER; i++) {
        if (!s->full_until[i] || (s->full_until[i] > s->now && !s->calm)) continue;
        s->full_until[i] = 0;
        disk_fill(sim_disk(s, i), false);
    }
}

static void wake_server(sim *s) {
    if (!s->store) {
        if (s->server_starts_at <= s->now) sim_server_start(s);
        return;
    }
    if (s->upkeep_at > s->now) return;
    scope_tend(s);
    admin_tend(s);
    if (!s->calm && sim_chance(s, 30) && !sim_below(s, (unsigned)(s->pace / DAY))) {
        if (faults_may(s, FAULT_MOVE) && sim_chance(s, 50))
            work_server_moves(s);
        else
            work_server(s);
    }
    s->upkeep_at = s->now + MINUTE + sim_spread(s, 6 * HOUR);
}

/* A bit for the store and for each device whose file has its witness. */
static uint32_t places(sim *s, unsigned n) {
    uint32_t found = 0;
    if (s->store && sim_ask(s, store_db(s->store), "SELECT count(*) FROM ev WHERE id=%u", n) > 0) found |= 1u << SIM_SERVER;
    for (unsigned i = 0; i < s->ndevices; i++) {
        sqlite3 *db = s->device[i].s ? satchel_db(s->device[i].s) : NULL;
        if (!db)
            found |= s->watched & 1u << i;
        else if (sim_ask(s, db, "SELECT count(*) FROM sqlite_schema WHERE name='ev'") > 0 &&
                 sim_ask(s, db, "SELECT count(*) FROM ev WHERE id=%u", n) > 0)
            found |= 1u << i;
    }
    return found;
}

static void watch(sim *s) {
    if (!s->store && s->server_starts_at > s->now) return;
    uint32_t now = places(s, s->options.watch);
    if (now != s->watched) sim_say(s, "t%u is in %03x (%x: the server)", s->options.watch, now, 1u << SIM_SERVER);
    s->watched = now;
    /* Of all that is checked at the end, this holds at each step, and tells when it ceased to. */
    if (!s->store || disk_is_dead(s->server_disk)) return;
    check_once(s);
    check_counters(s);
}

static void step(sim *s) {
    uint64_t at = next_event(s);
    if (at > s->now) s->now = at;
    s->figures.events++;
    empty_disks(s);
    wake_server(s);
    for (unsigned i = 0; i < s->ndevices; i++) wake_device(s, i);
    if (!s->calm && s->fault_at <= s->now) faults_strike(s);
    net_deliver(s);
    if (!sim_server_is_busy(s)) sim_server_step(s);
    check_bounds(s);
    check_horizon(s);
    net_collect(s);
    faults_settle(s);
    while (sim_reap(s)) continue;
    if (s->options.watch) watch(s);
}

/* ---- rest ---- */

/* NULL: nothing. */
static const char *what_moves(const sim_device *d) {
    if (d->wiped || (d->revoked && d->s)) return NULL;
    if (!d->s) return "is not open";
    if (!d->connection || !d->connection->session) return "is not connected";
    if (!session_in_step(d->s->session)) return "is not in step";
    return session_check_wanted(d->s->session) ? "compares its rows" : NULL;
}

static bool at_rest(const sim *s) {
    if (!s->store) return false;
    for (const connection *c = s->connections; c; c = c->next)
        if (c->up || c->down) return false;
    for (unsigned i = 0; i < s->ndevices; i++)
        if (what_moves(&s->device[i])) return false;
    return true;
}

static void never_at_rest(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++)
        if (what_moves(&s->device[i])) sim_say(s, "d%u %s", i, what_moves(&s->device[i]));
    sim_fail(s, "not at rest within %u days", (unsigned)(REST_MS / DAY));
}

static void calm_down(sim *s) {
    s->calm = true;
    s->ended = s->now;
    sim_say(s, "the troubles end");
    faults_end(s);
    s->busy_until = 0;
    for (unsigned i = 0; i < s->ndevices; i++) {
        s->device[i].offline_until = 0;
        s->device[i].connects_at = sooner(s->device[i].connects_at, s->now);
        s->device[i].starts_at = sooner(s->device[i].starts_at, s->now + HOUR);
    }
    for (connection *c = s->connections; c; c = c->next) c->loses_answers = false;
    /* What one direction has lost, no later frame may follow. */
    for (connection *c = s->connections; c; c = c->next)
        if (c->held && (c->deaf_up || c->deaf_down)) net_let_go(s, c->device, SECOND, false);
}

static void rest(sim *s, uint64_t until) {
    /* What one device sends late may move another that was at rest: twice. */
    for (int twice = 0; twice < 2; twice++) {
        do {
            step(s);
            if (s->now > until) never_at_rest(s);
        } while (!at_rest(s));
        s->now += MINUTE;
    }
}

static void come_to_rest(sim *s) {
    calm_down(s);
    rest(s, s->now + REST_MS);
    if (faults_rot(s)) rest(s, s->now + REST_MS);
}

static void check_all(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++) history_look(s, i);
    check_refusals(s);
    check_convergence(s);
    check_transactions(s);
    check_counters(s);
    check_silence(s);
    check_verify(s);
    check_model(s);
    check_revoked(s);
    check_scope_at_rest(s);
    check_bounds_at_rest(s);
}

/* ---- one seed ---- */

/* The few real files: migrations, and an empty one of the store's name. */
static void make_dirs(sim *s) {
    snprintf(s->dir, sizeof s->dir, "%s/satchel-sim-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(s->dir) || chdir(s->dir) || mkdir("schema", 0700) || mkdir("server", 0700))
        sim_fail(s, "cannot make a directory");
    /* Their names are random, and the randomness of every world begins anew: two worlds would give one name at once. */
    sqlite3_temp_directory = s->dir;
}

static void begin(sim *s) {
    /* Files grow and go: what they leave is kept, or the system spends the time on pages. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 4 << 20);
    make_dirs(s);
    s->began = s->now = UINT64_C(1700000000000);
    s->clock = &s->server_clock;
    running = s;
    memory_install(faults_running_node, s);
    disk_install(disk_now, s);
    s->server_disk = disk_new("server", sim_random(s));
    s->txn = calloc(SIM_TXNS, sizeof *s->txn);
    faults_choose(s);
    check_scope_begin();
    check_horizon_begin();
    sim_server_start(s);
    for (unsigned n = 4 + sim_below(s, 3); s->ndevices < n;) sim_device_add(s);
    s->enough = 300 + sim_below(s, 150);
    if (s->options.transactions) s->enough = s->options.transactions;
    s->fault_at = s->now + sim_spread(s, HOUR);
}

static void measure(sim *s, const disk *d) {
    disk_figures f = disk_measure(d);
    s->figures.happened[FAULT_DISK_FULL] += f.full;
    s->figures.happened[FAULT_IO_ERROR] += f.failed;
    mix(s, f.calls);
    mix(s, f.written);
    mix(s, f.bytes);
}

static void end(sim *s) {
    s->figures.devices = s->ndevices;
    s->figures.device_ms = (s->now - s->began) * s->ndevices;
    for (unsigned i = 0; i < s->ndevices; i++) {
        if (s->device[i].s) sim_device_stop(s, i);
        measure(s, s->device[i].disk);
        disk_free(s->device[i].disk);
    }
    if (s->store) sim_server_stop(s);
    measure(s, s->server_disk);
    net_free(s);
    facts_free(s);
    check_bounds_ended(s);
    disk_free(s->server_disk);
    disk_uninstall();
    sqlite3_temp_directory = NULL;
    remove_dirs(s);
    free(s->txn);
    running = NULL;
}

void sim_run(const sim_options *o, void (*done)(const sim_result *r, void *ctx), void *ctx) {
    static sim world;
    world = (sim){.options = *o, .random = o->seed * UINT64_C(0x2545f4914f6cdd1d) + 1, .done = done, .done_ctx = ctx};
    world.figures.trace = UINT64_C(0xcbf29ce484222325);
    nlines = 0;
    begin(&world);
    while (world.figures.transactions < world.enough && world.now - world.began < LONGEST_MS) step(&world);
    come_to_rest(&world);
    check_all(&world);
    end(&world);
    sim_result r = {.figures = world.figures, .faults = world.faults & ~o->without};
    done(&r, ctx);
}
