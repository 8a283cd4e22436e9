/* A device that is ordered to erase itself: what poll.c does of it, over connections that the simulated network has, and real files beside the simulated
 * ones.
 *
 * Marker, key and certificate are real files in the working directory. The linker gives the engine the calls below: files on a disk in memory are removed
 * there, and a process that has died changes nothing any more. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "protocol/message.h"
#include "replica/credentials.h"
#include "replica/transport.h"
#include "replica/wipe.h"
#include "tests/sim/sim.h"

#define FREE_BYTES (1u << 30)

static sim *world;

/* ---- calls of the system ---- */

int __real_open(const char *path, int flags, ...);
int __real_rename(const char *from, const char *to);
int __real_stat64(const char *path, struct stat64 *out);
int __real_unlink(const char *path);
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_rename(const char *from, const char *to);
int __wrap_stat64(const char *path, struct stat64 *out);
int __wrap_statvfs64(const char *path, struct statvfs64 *out);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int dir, const char *name, int flags);

static int open_for(const char *path, int flags, mode_t mode) {
    return flags & O_CREAT && !disk_beside(path) ? -1 : __real_open(path, flags, mode);
}

/* A va_list's type is the call's own; without O_CREAT nothing was given. */
static mode_t mode_of(int flags, va_list args) {
    return flags & O_CREAT ? va_arg(args, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_for(path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_for(path, flags, mode);
}

int __wrap_rename(const char *from, const char *to) {
    return disk_beside(to) ? __real_rename(from, to) : -1;
}

/* The hub wants to know how large its log is, and a device what it holds. */
int __wrap_stat64(const char *path, struct stat64 *out) {
    size_t n;
    if (!disk_file_bytes(path, &n)) return __real_stat64(path, out);
    *out = (struct stat64){.st_size = (off64_t)n};
    return 0;
}

int __wrap_statvfs64(const char *path, struct statvfs64 *out) {
    size_t n;
    if (!disk_file_bytes(path, &n)) return -1;
    *out = (struct statvfs64){.f_frsize = 1, .f_blocks = FREE_BYTES, .f_bavail = FREE_BYTES};
    return 0;
}

int __wrap_unlink(const char *path) {
    if (!disk_beside(path)) return -1;
    return disk_unlink(path) ? 0 : __real_unlink(path);
}

/* Of a device's identity: the only directory that the engine removes files from so. */
int __wrap_unlinkat(int dir, const char *name, int flags) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t n = readlink(link, path, sizeof path - 1);
    char *end = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (end) snprintf(end, sizeof path - (size_t)(end - path), "/%s", name);
    return end && !disk_beside(path) ? -1 : __real_unlinkat(dir, name, flags);
}

/* ---- the connection that tells the server ---- */

#define ANSWERS 4u

struct transport {
    unsigned device;
    uint64_t session; /* 0: not connected */
    bool said;
    unsigned n, taken;
    buf answer[ANSWERS];
};

int __wrap_transport_new(const transport_config *c, transport **out, buf *error);
void __wrap_transport_free(transport *t);
int __wrap_transport_connect(transport *t);
int __wrap_transport_step(transport *t, int timeout_ms, int wakeup_fd);
transport_state_kind __wrap_transport_state(const transport *t);
int __wrap_transport_send(transport *t, const void *p, size_t n);
bool __wrap_transport_receive(transport *t, buf *out);

static void path_of(unsigned i, const char *end, char out[96]) {
    snprintf(out, 96, "./d%u/app.db%s", i, end);
}

static bool is_there(unsigned i, const char *end) {
    char path[96];
    path_of(i, end, path);
    return !access(path, F_OK);
}

int __wrap_transport_new(const transport_config *c, transport **out, buf *error) {
    static transport one;
    (void)error;
    one = (transport){0};
    if (sscanf(c->identity_dir, "./d%u/", &one.device) != 1) return SATCHEL_E_MISUSE;
    if (!is_there(one.device, "-satchel/" CREDENTIALS_KEY)) return SATCHEL_E_NOT_ENROLLED;
    *out = &one;
    return SATCHEL_OK;
}

static bool is_bad_luck(void) {
    return !world->calm && sim_chance(world, 20);
}

/* The server's process does something, and the device waits. */
static const sim_clock *serve(void) {
    const sim_clock *mine = world->clock;
    world->clock = &world->server_clock;
    return mine;
}

static void hang_up(transport *t) {
    const sim_clock *mine = serve();
    if (t->session && world->hub) hub_disconnect(world->hub, t->session);
    t->session = 0;
    world->clock = mine;
}

void __wrap_transport_free(transport *t) {
    if (!t) return;
    hang_up(t);
    for (unsigned i = 0; i < t->n; i++) buf_fini(&t->answer[i]);
}

int __wrap_transport_connect(transport *t) {
    if (!world->hub || disk_is_dead(world->server_disk) || is_bad_luck()) return SATCHEL_E_NETWORK;
    const sim_clock *mine = serve();
    t->session = hub_connect(world->hub, world->device[t->device].fingerprint);
    world->clock = mine;
    return t->session ? SATCHEL_OK : SATCHEL_E_NETWORK;
}

/* Who was wiped is given nothing but an answer. */
static void take_answer(transport *t, const hub_frame *f) {
    buf m;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    disk_look(true);
    if (frame_unpack(f->p, f->n, &m) || message_peek(m.p, m.n) != MSG_ERROR || t->n == ANSWERS)
        sim_fail(world, "device %u, which has erased itself, is given more than an answer", t->device);
    buf_fini(&m);
    buf_init(&t->answer[t->n], 0);
    buf_put(&t->answer[t->n++], f->p, f->n);
    disk_look(false);
}

/* What the server has to say; false: it has ended the connection. */
static bool converse(transport *t) {
    hub_frame f;
    bool close = false;
    sim_server_step(world);
    while (world->hub && !disk_is_dead(world->server_disk) && hub_output(world->hub, t->session, &f, &close)) {
        take_answer(t, &f);
        hub_output_done(world->hub, t->session);
    }
    return !close;
}

int __wrap_transport_step(transport *t, int timeout_ms, int wakeup_fd) {
    (void)timeout_ms, (void)wakeup_fd;
    if (!t->session) return SATCHEL_E_CLOSED;
    unsigned before = t->n;
    const sim_clock *mine = serve();
    bool goes_on = converse(t);
    if (world->store && !disk_is_dead(world->server_disk)) faults_look_revoked(world);
    world->clock = mine;
    if (!goes_on) hang_up(t);
    /* The answer is lost. */
    if (t->n > before && is_bad_luck()) t->taken = t->n;
    return goes_on && (!t->said || t->n > before) ? SATCHEL_OK : SATCHEL_E_CLOSED;
}

transport_state_kind __wrap_transport_state(const transport *t) {
    return t->session ? TRANSPORT_OPEN : TRANSPORT_CLOSED;
}

int __wrap_transport_send(transport *t, const void *p, size_t n) {
    const sim_clock *mine = serve();
    if (!is_bad_luck()) hub_receive(world->hub, t->session, p, n);
    world->clock = mine;
    t->said = true;
    return SATCHEL_OK;
}

bool __wrap_transport_receive(transport *t, buf *out) {
    buf_clear(out);
    if (t->taken == t->n) return false;
    const buf *b = &t->answer[t->taken++];
    buf_put(out, b->p, b->n);
    return true;
}

/* ---- a device ---- */

static void write_credential(sim *s, unsigned i, const char *end) {
    char path[96];
    path_of(i, end, path);
    FILE *f = fopen(path, "w");
    if (!f || fputs("of this device\n", f) < 0 || fclose(f)) sim_fail(s, "cannot write %s", path);
}

void wipe_begin(sim *s, unsigned i) {
    char dir[96], identity[96];
    world = s;
    snprintf(dir, sizeof dir, "./d%u", i);
    path_of(i, "-satchel", identity);
    if (mkdir(dir, 0700) || mkdir(identity, 0700)) sim_fail(s, "cannot make %s", identity);
    write_credential(s, i, "-satchel/" CREDENTIALS_KEY);
    write_credential(s, i, "-satchel/" CREDENTIALS_CERT);
}

static bool may_be_wiped(const sim *s, unsigned i) {
    unsigned left = 0;
    for (unsigned k = 0; k < s->ndevices; k++)
        left += !s->device[k].barred && !s->device[k].wiped && s->device[k].key != s->device[i].key;
    return left >= FAULTS_UNREVOKED && !s->device[i].wiped && s->store && !disk_is_dead(s->server_disk);
}

/* It has said that it is erased, and may have died before it was. */
static bool has_answered(sim *s, unsigned i) {
    return sim_ask(s, store_db(s->store), "SELECT state FROM satchel_device WHERE name='d%u'", s->device[i].key) == DEVICE_WIPED;
}

void wipe_strike(sim *s, unsigned i) {
    if (!may_be_wiped(s, i)) return;
    bool answered = has_answered(s, i);
    if (!faults_move_device(s, i, DEVICE_WIPE, SATCHEL_E_WIPED)) return;
    for (unsigned k = 0; k < s->ndevices; k++)
        if (s->device[k].key == s->device[i].key) {
            s->device[k].revoked = false;
            s->device[k].answered |= answered;
        }
    sim_happened(s, FAULT_WIPE);
}

/* Who had it open finds nothing in it, and what he writes there is refused. */
static void check_open_file(sim *s, unsigned i) {
    sqlite3 *db = satchel_db(s->device[i].s);
    if (disk_is_dead(s->device[i].disk)) return;
    sim_forget(db);
    if (sqlite3_exec(db, "INSERT INTO main.ev(id,what) VALUES(2000000000,'late')", NULL, NULL, NULL) == SQLITE_OK)
        sim_fail(s, "device %u is being erased, and its app goes on writing", i);
}

/* As poll.c does it. */
static void obey(sim *s, unsigned i) {
    file *f = s->device[i].s->file;
    wipe w = {.path = f->path, .identity = f->identity};
    s->device[i].s->wiped = true;
    int rc = wipe_order(f->path, "server", 7443);
    if (rc) {
        wipe_empty(f->db);
        wipe_erase(&(wipe){.path = f->path});
        rc = wipe_order(f->path, "server", 7443);
    }
    int marker = wipe_claim(f->path);
    if (marker < 0) return;
    if (!wipe_is_unlinked(f->db)) wipe_empty(f->db);
    rc = wipe_erase(&w);
    if (!rc) check_open_file(s, i);
    if (!rc) rc = wipe_report(&w, marker, NULL);
    close(marker);
    sim_say(s, "d%u erases itself: %s", i, satchel_rc_name(rc));
}

void wipe_obey(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!d->was_barred) sim_fail(s, "device %u was told to erase itself, and nobody has ordered it", i);
    net_let_go(s, i, sim_spread(s, SECOND), true);
    d->wiping = true;
    s->clock = &d->clock;
    bool power = sim_chance(s, 50);
    if (!s->calm && faults_may(s, power ? FAULT_DEVICE_POWER : FAULT_DEVICE_KILL) && sim_chance(s, 60)) {
        d->power_lost = power;
        disk_die_at(d->disk, 1 + sim_below(s, 80));
    }
    obey(s, i);
    if (disk_is_dead(d->disk)) return;
    sim_device_stop(s, i);
    wipe_look(s, i);
}

/* Nothing of what it was lies there any more. */
static void check_erased(sim *s, unsigned i) {
    static const char *const ends[] = {"", "-wal", "-journal"};
    char dir[96];
    for (unsigned k = 0; k < sizeof ends / sizeof *ends; k++) {
        char name[32];
        snprintf(name, sizeof name, "app.db%s", ends[k]);
        if (disk_has(s->device[i].disk, name)) sim_fail(s, "device %u was erased, and %s is there", i, name);
    }
    snprintf(dir, sizeof dir, "./d%u", i);
    DIR *files = opendir(dir);
    for (struct dirent *e; files && (e = readdir(files));)
        if (e->d_name[0] != '.') sim_fail(s, "device %u was erased, and %s is there", i, e->d_name);
    if (files) closedir(files);
}

/* What is made under the name then begins anew. */
static void check_anew(sim *s, unsigned i) {
    char path[96];
    satchel *again = NULL;
    path_of(i, "", path);
    s->clock = &s->device[i].clock;
    int rc = satchel_open(path, NULL, &again);
    if (rc == SATCHEL_E_WIPED) sim_fail(s, "device %u was erased, and cannot be opened again", i);
    if (!rc && sim_ask(s, satchel_db(again),
                       "SELECT (SELECT count(*) FROM sqlite_schema WHERE name='ev')+(SELECT count(*) FROM "
                       "satchel_outbox)+(SELECT number_floor+cursor FROM satchel_state)"))
        sim_fail(s, "device %u was erased, and something of it came back", i);
    if (!rc) sim_forget(satchel_db(again));
    satchel_close(again);
}

void wipe_look(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    d->starts_at = s->now + MINUTE + sim_spread(s, 6 * HOUR);
    if (is_there(i, "-wipe") || is_there(i, "-satchel/" CREDENTIALS_KEY)) return;
    sim_say(s, "d%u has erased itself", i);
    check_erased(s, i);
    check_anew(s, i);
    d->wiped = true;
    d->starts_at = UINT64_MAX;
    history_erased(s, i);
}
