/* Devices of the server, made here: a first one gets all rows over the network, the others begin as copies of its file, as tills are rolled out from one
 * image; each makes a key of its own and is enrolled over HTTPS. A file that has its name is complete, so a work directory can be reused. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "replica/enroll.h"
#include "replica/file.h"
#include "replica/satchel.h"
#include "tools/load.h"

#define ENROL_THREADS 8u
#define NOTE_FILE "server" /* in the work directory: the server's pin, and the prefix of the devices' names */
#define FILES_BESIDE 64u   /* open files that are no device's */
#define SOFTWARE "satchel-load/" SATCHEL_VERSION
#define ROOM (LOAD_PATH_BYTES + 32)

void load_fleet_path(const load_fleet *f, unsigned number, char out[LOAD_PATH_BYTES]) {
    /* Work directories with names too long for this are refused at the beginning. */
    if (snprintf(out, LOAD_PATH_BYTES, "%s/%05u.db", f->work, number) >= LOAD_PATH_BYTES) out[0] = 0;
}

int load_files_allow(unsigned n, unsigned each) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return LOAD_DONE;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    uint64_t need = (uint64_t)n * each + FILES_BESIDE;
    if (files.rlim_max == RLIM_INFINITY || need <= files.rlim_max) return LOAD_DONE;
    return load_fail("%u devices need %llu open files, %u each, and this process may have %llu (ulimit -Hn)", n,
                     (unsigned long long)need, each, (unsigned long long)files.rlim_max);
}

/* ---- the work directory ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int note_server(const load_fleet *f) {
    char path[ROOM];
    snprintf(path, sizeof path, "%s/" NOTE_FILE, f->work);
    FILE *to = fopen(path, "we");
    if (!to) return load_fail("%s: %s", path, strerror(errno));
    fprintf(to, "%s %s\n", f->server->pin, f->prefix);
    return fclose(to) ? load_fail("%s: %s", path, strerror(errno)) : LOAD_DONE;
}

/* Takes up a work directory that has been used, or begins one. */
static int read_note(load_fleet *f) {
    char path[ROOM], pin[65] = "";
    uint8_t id[4];
    snprintf(path, sizeof path, "%s/" NOTE_FILE, f->work);
    FILE *from = fopen(path, "re");
    if (from) {
        bool good = fscanf(from, "%64s %31s", pin, f->prefix) == 2;
        fclose(from);
        if (good && !strcmp(pin, f->server->pin)) return LOAD_DONE;
        return load_fail("the devices in %s are another server's", f->work);
    }
    if (crypto_random(id, sizeof id)) return load_fail("no random numbers");
    snprintf(f->prefix, sizeof f->prefix, "load-%02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
    return note_server(f);
}

static int open_work(load_fleet *f, const load_options *o) {
    const char *tmp = getenv("TMPDIR");
    f->temporary = !o->work;
    int n = o->work ? snprintf(f->work, sizeof f->work, "%s", o->work)
                    : snprintf(f->work, sizeof f->work, "%s/satchel-load.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n < 0 || (size_t)n + 32 > sizeof f->work) return load_fail("the work directory's name is too long");
    if (f->temporary ? !mkdtemp(f->work) : mkdir(f->work, 0700) && errno != EEXIST) {
        f->temporary = false;
        return load_fail("%s: %s", f->work, strerror(errno));
    }
    if (o->keep) f->temporary = false;
    return read_note(f);
}

/* ---- enrolment ---- */

static int ask_code(ctl *c, const load_fleet *f, unsigned number, char *out, size_t room) {
    char name[64];
    json_t *reply;
    snprintf(name, sizeof name, "%s-%05u", f->prefix, number);
    int rc = ctl_call(c, json_pack("{ss ss ss}", "command", "device.add", "name", name, "profile", "full"), NULL, &reply);
    if (rc) return rc;
    const char *code = json_string_value(json_object_get(reply, "enrolment_code"));
    snprintf(out, room, "%s", code ? code : "");
    json_decref(reply);
    return LOAD_DONE;
}

static int copy_file(const char *from, const char *to) {
    char chunk[65536];
    ssize_t n = -1;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (in >= 0 && out >= 0)
        while ((n = read(in, chunk, sizeof chunk)) > 0 && write(out, chunk, (size_t)n) == n) continue;
    int rc = n ? load_fail("%s: %s", to, strerror(errno)) : LOAD_DONE;
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return rc;
}

static int note_device(const char *path, const enroll_result *e) {
    file *f;
    file_options o = {.software = SOFTWARE, .env = env_default()};
    char device[2 * CRYPTO_FINGERPRINT_BYTES + 1];
    for (unsigned i = 0; i < CRYPTO_FINGERPRINT_BYTES; i++) snprintf(device + 2 * i, 3, "%02x", e->fingerprint[i]);
    int rc = file_open(path, &o, &f);
    if (!rc) rc = file_set_server(f, e->sync_host, e->sync_port, device);
    if (rc) load_fail("%s: %s", path, f ? (const char *)f->error.p : satchel_rc_text(rc));
    file_close(f);
    return rc ? LOAD_FAILED : LOAD_DONE;
}

/* Makes device `number` of a copy of `image`, or of nothing. */
static int make_device(ctl *c, const load_fleet *f, unsigned number, const char *image) {
    char path[LOAD_PATH_BYTES], fresh[ROOM], identity[ROOM], code[1024];
    enroll_result e;
    buf error = {0};
    load_fleet_path(f, number, path);
    if (!access(path, F_OK)) return LOAD_DONE;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    snprintf(identity, sizeof identity, "%s-satchel", path);
    int rc = ask_code(c, f, number, code, sizeof code);
    if (rc) return rc;
    if (enroll_run(code, identity, f->prefix, SOFTWARE, &e, &error))
        rc = load_fail("device %u cannot be enrolled: %s", number, error.n ? (const char *)error.p : "no reason");
    buf_fini(&error);
    explicit_bzero(code, sizeof code);
    if (!rc && image) rc = copy_file(image, fresh);
    if (!rc) rc = note_device(fresh, &e);
    return !rc && rename(fresh, path) ? load_fail("%s: %s", path, strerror(errno)) : rc;
}

/* ---- the image ---- */

static int first_sync(const char *path, unsigned patience_s) {
    satchel *s;
    ctl_bar bar;
    satchel_status_info i = {.size = sizeof i};
    int rc = satchel_open(path, NULL, &s);
    uint64_t began_us = load_now_us(), cursor = 0, rows = 0;
    ctl_bar_begin(&bar, "first sync");
    while (!rc && !(rc = satchel_poll(s, 200))) {
        if (satchel_get_status(s, &i)) continue;
        if (i.cursor != cursor || i.rows_done != rows) began_us = load_now_us();
        cursor = i.cursor;
        rows = i.rows_done;
        ctl_bar_show(&bar, rows, i.rows_total, NULL);
        if (load_now_us() - began_us > (uint64_t)patience_s * 1000000) break;
    }
    ctl_bar_end(&bar);
    if (rc != 1) load_fail("the first device did not get in step: %s", rc ? satchel_errmsg(s) : i.last_error_text);
    satchel_close(s);
    return rc == 1 ? LOAD_DONE : LOAD_FAILED;
}

/* A device of its own, which is only copied from. */
static int make_image(load_fleet *f, const load_options *o, char image[LOAD_PATH_BYTES]) {
    char marker[ROOM];
    load_fleet_path(f, 99999, image);
    snprintf(marker, sizeof marker, "%s/image", f->work);
    if (!access(marker, F_OK)) return LOAD_DONE;
    int rc = make_device(&f->server->ctl, f, 99999, NULL);
    if (!rc) rc = first_sync(image, o->patience_s);
    if (rc) return rc;
    int fd = open(marker, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 || close(fd) ? load_fail("%s: %s", marker, strerror(errno)) : LOAD_DONE;
}

/* ---- many at once ---- */

typedef struct crowd {
    const load_fleet *fleet;
    const char *image, *title;
    int (*each)(ctl *c, const load_fleet *f, unsigned number, const char *image);
    atomic_uint next, done, working;
    atomic_int rc;
} crowd;

static void *work(void *arg) {
    crowd *c = arg;
    const load_server *sv = c->fleet->server;
    ctl own = {.data = sv->ctl.data, .socket = sv->ctl.socket, .fd = -1};
    for (unsigned i; !atomic_load(&c->rc) && (i = atomic_fetch_add(&c->next, 1)) < c->fleet->n; atomic_fetch_add(&c->done, 1)) {
        int rc = c->each(&own, c->fleet, i, c->image);
        if (rc) atomic_store(&c->rc, rc);
    }
    ctl_disconnect(&own);
    atomic_fetch_sub(&c->working, 1);
    return NULL;
}

static int run_crowd(crowd *c) {
    pthread_t thread[ENROL_THREADS];
    unsigned started = 0;
    ctl_bar bar;
    ctl_bar_begin(&bar, c->title);
    for (; started < ENROL_THREADS && started < c->fleet->n; started++) {
        atomic_fetch_add(&c->working, 1);
        if (!pthread_create(&thread[started], NULL, work, c)) continue;
        atomic_fetch_sub(&c->working, 1);
        break;
    }
    while (atomic_load(&c->working)) {
        load_sleep_us(20000);
        ctl_bar_show(&bar, atomic_load(&c->done), c->fleet->n, NULL);
    }
    for (unsigned i = 0; i < started; i++) pthread_join(thread[i], NULL);
    ctl_bar_end(&bar);
    return started ? atomic_load(&c->rc) : load_fail("no thread can be made");
}

static int revoke_device(ctl *c, const load_fleet *f, unsigned number, const char *image) {
    char name[64];
    json_t *reply;
    (void)image;
    snprintf(name, sizeof name, "%s-%05u", f->prefix, number);
    int rc = ctl_try(c, json_pack("{ss ss}", "command", "device.revoke", "name", name), NULL, &reply);
    if (!reply) return rc; /* no server; one that says no has no such device */
    json_decref(reply);
    return LOAD_DONE;
}

int load_fleet_open(load_fleet *f, load_server *sv, const load_options *o, unsigned n) {
    char image[LOAD_PATH_BYTES];
    *f = (load_fleet){.server = sv, .n = n};
    int rc = open_work(f, o);
    if (!rc) rc = make_image(f, o, image);
    if (rc) return rc;
    crowd c = {.fleet = f, .image = image, .title = "enrolling", .each = make_device};
    return run_crowd(&c);
}

void load_fleet_close(load_fleet *f) {
    if (!f->temporary) return;
    /* Dead devices would hold the server's log. */
    crowd c = {.fleet = f, .title = "revoking", .each = revoke_device};
    run_crowd(&c);
    revoke_device(&f->server->ctl, f, 99999, NULL);
    nftw(f->work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
