/* ctl_backup.c - satchelctl backup, restore. A backup is made, and tried in a drill, by the running server; a restore lays its files out while none runs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/bundle.h"
#include "server/os.h"
#include "tools/ctl.h"

static int tell(int rc, const buf *error) {
    fprintf(stderr, "satchelctl: %s (%s)\n", error->n ? (const char *)error->p : satchel_rc_text(rc), satchel_rc_name(rc));
    return rc == SATCHEL_E_MISUSE ? CTL_USAGE : CTL_FAILED;
}

static bool on_progress(void *ctx, const char *what, uint64_t done, uint64_t total) {
    ctl_bar_show(ctx, done, total, what);
    return true;
}

static const char *time_text(uint64_t ms, const char *format, char out[40]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    out[0] = 0;
    if (gmtime_r(&seconds, &tm)) strftime(out, 40, format, &tm);
    return out;
}

static void print_bundle(const ctl *c, const char *path, const bundle *b, const char *done, json_t *more) {
    char when[40];
    uint64_t bytes = 0;
    for (unsigned i = 0; i < b->n; i++) bytes += b->file[i].bytes;
    if (c->json) {
        json_t *o = json_pack("{ss sI sI sI sI}", "backup", path, "seq", (json_int_t)b->seq, "made_ms", (json_int_t)b->made_ms,
                              "files", (json_int_t)b->n, "bytes", (json_int_t)bytes);
        json_object_update(o, more);
        ctl_print_json(o);
        json_decref(o);
    } else {
        printf("%s: %s, as of commit %llu, made %s, %u files, %llu bytes\n", path, done, (unsigned long long)b->seq,
               time_text(b->made_ms, "%Y-%m-%d %H:%M:%S UTC", when), b->n, (unsigned long long)bytes);
    }
    json_decref(more);
}

static int open_bundle(const char *path, bundle_dir *d, bundle *b, buf *error) {
    *d = (bundle_dir){.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path = path};
    return d->fd < 0 ? os_fail(error, path, NULL, "cannot open the backup") : bundle_read_manifest(*d, b, error);
}

/* ---- backup ---- */

static int check_backup(ctl *c, const char *path) {
    bundle_dir d;
    bundle b;
    buf error = {0};
    ctl_bar bar;
    ctl_bar_begin(&bar, "checking");
    int rc = open_bundle(path, &d, &b, &error);
    if (!rc) rc = bundle_check(d, &b, &(progress){.tell = on_progress, .ctx = &bar}, &error);
    ctl_bar_end(&bar);
    if (rc)
        rc = tell(rc, &error);
    else
        print_bundle(c, path, &b, "is as it was made", json_object());
    if (d.fd >= 0) close(d.fd);
    buf_fini(&error);
    return rc;
}

/* A path from here, as the server is to be told it; NULL after telling. */
static json_t *whole_path(const char *path) {
    char here[2048] = "";
    if (path[0] == '/' || getcwd(here, sizeof here)) return json_sprintf("%s%s%s", here, *here ? "/" : "", path);
    perror("satchelctl: the working directory");
    return NULL;
}

int ctl_backup(ctl *c) {
    const char *path = c->word[1];
    if (ctl_value(c, "verify")) return check_backup(c, path);
    json_t *target = whole_path(path);
    if (!target) return CTL_FAILED;
    json_t *reply, *request = json_pack("{ss so* sb sb}", "command", "backup", "target", target, "progress", 1, "replace",
                                        ctl_value(c, "replace") != NULL);
    int rc = ctl_call(c, request, "backup", &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        printf("%s: made and checked, as of commit %lld, %lld bytes\n", path,
               (long long)json_integer_value(json_object_get(reply, "seq")),
               (long long)json_integer_value(json_object_get(reply, "bytes")));
    json_decref(reply);
    return CTL_DONE;
}

/* ---- drill ---- */

int ctl_backup_drill(ctl *c) {
    json_t *target = c->nword > 2 ? whole_path(c->word[2]) : NULL;
    if (c->nword > 2 && !target) return CTL_FAILED;
    json_t *reply, *request = json_pack("{ss so* sb}", "command", "backup.drill", "target", target, "progress", 1);
    int rc = ctl_call(c, request, "drill", &reply);
    if (rc) return rc;
    bool whole = json_is_true(json_object_get(reply, "whole"));
    const char *path = json_string_value(json_object_get(reply, "target"));
    if (c->json)
        ctl_print_json(reply);
    else if (whole)
        printf("%s: whole, as of commit %lld, %lld rows, restored and checked in %.1f s\n", path,
               (long long)json_integer_value(json_object_get(reply, "seq")),
               (long long)json_integer_value(json_object_get(reply, "rows")),
               (double)json_integer_value(json_object_get(reply, "ms")) / 1000);
    else
        printf("%s: is not whole; make another backup\n%s\n", path, json_string_value(json_object_get(reply, "wrong")));
    json_decref(reply);
    return whole ? CTL_DONE : CTL_FAILED;
}

/* ---- restore ---- */

typedef struct restoring {
    const char *target;
    bundle_dir from, parent, stage;
    bundle b;
    char parent_path[1024], name[256], stage_name[280], stage_path[1400], aside[320];
    bool there, full; /* the target is there; holds something */
    int lock;         /* of the server that was there */
    uid_t uid;        /* whose the files shall be */
    gid_t gid;
    buf error;
} restoring;

static int refuse(restoring *r, int rc, const char *words) {
    buf_printf(&r->error, "%s: %s", r->target, words);
    return rc;
}

/* A server that runs holds this lock for as long as it lives. */
static int take_lock(restoring *r, int dir) {
    r->lock = openat(dir, "satcheld.lock", O_RDWR | O_CLOEXEC);
    if (r->lock < 0) return errno == ENOENT ? SATCHEL_OK : os_fail(&r->error, r->target, "satcheld.lock", "cannot open");
    if (!flock(r->lock, LOCK_EX | LOCK_NB)) return SATCHEL_OK;
    return refuse(r, SATCHEL_E_BUSY, "a server runs on this directory; stop it first");
}

static bool holds_something(int dir) {
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    bool any = !d;
    for (struct dirent *e; d && !any && (e = readdir(d));) any = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    else if (copy >= 0)
        close(copy);
    return any;
}

static int look_at_target(restoring *r, bool force) {
    struct stat st;
    int rc = bundle_split(r->target, r->parent_path, r->name, &r->error);
    if (rc) return rc;
    r->parent.fd = open(r->parent_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->parent.fd < 0) return os_fail(&r->error, r->parent_path, NULL, "cannot open the directory");
    /* The server wrote the backup as the user that it runs as. */
    if (!fstat(r->from.fd, &st)) r->uid = st.st_uid, r->gid = st.st_gid;
    int dir = openat(r->parent.fd, r->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return errno == ENOENT ? SATCHEL_OK : os_fail(&r->error, r->target, NULL, "cannot open");
    r->there = true;
    r->full = holds_something(dir);
    if (!fstat(dir, &st)) r->uid = st.st_uid, r->gid = st.st_gid;
    rc = take_lock(r, dir);
    close(dir);
    if (!rc && r->full && !force)
        rc = refuse(r, SATCHEL_E_FOREIGN_FILE, "is not empty; name another directory, or keep this one aside with --force");
    return rc;
}

static int give_to_owner(restoring *r, const char *name) {
    if (geteuid() || !fchownat(r->stage.fd, name, r->uid, r->gid, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH)) return SATCHEL_OK;
    return os_fail(&r->error, r->stage_path, name, "cannot be given to the server's user");
}

static int copy_file(restoring *r, const bundle_file *was, const progress *watch) {
    bundle_file is = *was;
    int rc = bundle_copy(r->from, r->stage, &is, watch, &r->error);
    if (rc) return rc;
    if (is.bytes != was->bytes || memcmp(is.sha256, was->sha256, sizeof is.sha256) != 0) {
        buf_printf(&r->error, "%s/%s: is not as it was when the backup was made; use another backup", r->from.path, was->name);
        return SATCHEL_E_CORRUPT;
    }
    return give_to_owner(r, was->name);
}

/* The name of the epoch that the server begins with it, so that a start that is cut off does not begin a second one. */
static int put_mark(restoring *r) {
    uint8_t epoch[8];
    char text[2 * sizeof epoch + 1];
    int rc = crypto_random(epoch, sizeof epoch);
    if (rc) return rc;
    for (size_t i = 0; i < sizeof epoch; i++) snprintf(text + 2 * i, 3, "%02x", epoch[i]);
    rc = bundle_write(r->stage, BUNDLE_RESTORED, text, strlen(text), &r->error);
    return rc ? rc : give_to_owner(r, BUNDLE_RESTORED);
}

static int lay_out(restoring *r, const progress *watch) {
    snprintf(r->stage_name, sizeof r->stage_name, "%s.restoring", r->name);
    snprintf(r->stage_path, sizeof r->stage_path, "%s/%s", r->parent_path, r->stage_name);
    int rc = bundle_remove(r->parent, r->stage_name, &r->error); /* of a restore that was cut off */
    if (rc) return rc;
    if (mkdirat(r->parent.fd, r->stage_name, 0700)) return os_fail(&r->error, r->stage_path, NULL, "cannot be made");
    r->stage = (bundle_dir){.fd = openat(r->parent.fd, r->stage_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path = r->stage_path};
    if (r->stage.fd < 0) return os_fail(&r->error, r->stage_path, NULL, "cannot be opened");
    for (unsigned i = 0; !rc && i < r->b.n; i++) rc = copy_file(r, &r->b.file[i], watch);
    if (!rc) rc = put_mark(r);
    return rc ? rc : give_to_owner(r, "");
}

/* What was there keeps everything but its name. */
static int put_in_place(restoring *r) {
    char when[40];
    if (r->full) {
        time_text((uint64_t)time(NULL) * 1000, "%Y%m%dT%H%M%SZ", when);
        snprintf(r->aside, sizeof r->aside, "%s.before-restore-%s", r->name, when);
        if (renameat2(r->parent.fd, r->name, r->parent.fd, r->aside, RENAME_NOREPLACE))
            return os_fail(&r->error, r->target, NULL, "cannot be kept aside (restore into a directory that is no mount point)");
    }
    if (renameat(r->parent.fd, r->stage_name, r->parent.fd, r->name)) {
        int rc = os_fail(&r->error, r->target, NULL, "cannot be named (restore into a directory that is no mount point)");
        if (r->full) renameat(r->parent.fd, r->aside, r->parent.fd, r->name);
        return rc;
    }
    return fsync(r->parent.fd) ? os_fail(&r->error, r->parent_path, NULL, "cannot sync") : SATCHEL_OK;
}

static int restore(restoring *r, const char *backup, bool force) {
    ctl_bar bar;
    int rc = open_bundle(backup, &r->from, &r->b, &r->error);
    if (!rc) rc = look_at_target(r, force);
    if (rc) return rc;
    ctl_bar_begin(&bar, "restoring");
    rc = lay_out(r, &(progress){.tell = on_progress, .ctx = &bar});
    ctl_bar_end(&bar);
    if (!rc) rc = put_in_place(r);
    buf unsaid = {0};
    if (rc && r->stage.fd >= 0) bundle_remove(r->parent, r->stage_name, &unsaid);
    buf_fini(&unsaid);
    return rc;
}

static void print_restored(const ctl *c, const restoring *r, const char *backup) {
    json_t *more = json_pack("{ss ss*}", "data", r->target, "kept_aside", *r->aside ? r->aside : NULL);
    if (*r->aside) json_object_set_new(more, "kept_aside", json_sprintf("%s/%s", r->parent_path, r->aside));
    print_bundle(c, backup, &r->b, "restored", more);
    if (c->json) return;
    printf("  data directory  %s\n", r->target);
    if (*r->aside) printf("  what was there  %s/%s\n", r->parent_path, r->aside);
    printf("  next            satcheld --data %s; it begins a new epoch, and devices send again what they sent since\n",
           r->target);
}

int ctl_restore(ctl *c) {
    restoring *r = calloc(1, sizeof *r);
    if (!r) return CTL_FAILED;
    r->target = c->data;
    r->from.fd = r->parent.fd = r->stage.fd = r->lock = -1;
    r->parent.path = r->parent_path;
    const char *backup = c->word[1];
    int rc = c->socket ? refuse(r, SATCHEL_E_MISUSE, "restore takes --data, not --socket")
                       : restore(r, backup, ctl_value(c, "force") != NULL);
    if (rc)
        rc = tell(rc, &r->error);
    else
        print_restored(c, r, backup);
    int *fds[] = {&r->from.fd, &r->parent.fd, &r->stage.fd, &r->lock};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (*fds[i] >= 0) close(*fds[i]);
    buf_fini(&r->error);
    free(r);
    return rc;
}
