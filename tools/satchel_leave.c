/* satchel rotate-key, satchel sign-out - a device's key, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/satchel_cli.h"

static bool read_device(cli *c, char out[65]) {
    satchel_status_info info = {.size = sizeof info};
    if (satchel_get_status(c->s, &info)) return false;
    snprintf(out, 65, "%s", info.device);
    return true;
}

int cli_rotate_key(cli *c) {
    char before[65], after[65];
    if (!read_device(c, before) || satchel_rotate_key(c->s)) return cli_fail(c, "rotate-key");
    if (cli_sync(c) || !read_device(c, after) || !strcmp(before, after)) {
        fprintf(stderr, "satchel: the new key is made; the next sync that reaches the server changes to it\n");
        return 1;
    }
    fprintf(stderr, "satchel: the key was changed; this device is %.16s now\n", after);
    return 0;
}

/* ---- sign-out ---- */

static int fail_save(const cli *c, const char *what) {
    fprintf(stderr, "satchel: sign-out: %s: %s%s\n", c->save, what, errno ? strerror(errno) : "");
    return 1;
}

/* A new name is on the disk when its directory is. */
static bool sync_name(const char *path) {
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool synced = fd >= 0 && !fsync(fd);
    int why = errno;
    if (fd >= 0) close(fd);
    free(copy);
    errno = why;
    return synced;
}

/* Into a new file of the owner's alone, and on the disk before anything is erased. */
static int save(cli *c) {
    errno = 0;
    int fd = open(c->save, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    if (!to) return fail_save(c, "cannot be made: ");
    bool written = cli_write_pending(c, to, true);
    errno = 0;
    bool kept = written && !fflush(to) && !ferror(to) && !fsync(fd) && sync_name(c->save);
    int why = errno;
    kept = !fclose(to) && kept;
    errno = why;
    if (kept) return 0;
    unlink(c->save);
    return fail_save(c, written ? "cannot be written: " : "nothing was saved");
}

static void tell_refusal(const cli *c, uint64_t unsent) {
    fprintf(stderr, "satchel: sign-out: %s (%s)\n", satchel_errmsg(c->s), satchel_rc_name(satchel_errcode(c->s)));
    if (satchel_errcode(c->s) == SATCHEL_E_UNSENT)
        fprintf(
            stderr,
            "satchel: nothing was done. Sync first and settle what was refused, save the %llu with --export FILE, or give them up with --discard\n",
            (unsigned long long)unsent);
}

int cli_sign_out(cli *c) {
    satchel_status_info info = {.size = sizeof info};
    uint64_t unsent = 0;
    if (satchel_get_status(c->s, &info)) return cli_fail(c, "sign-out");
    /* What comes after this count is not in the file, and keeps the device from signing out. */
    uint64_t give_up = c->discard ? UINT64_MAX : c->save ? info.pending + info.refused : 0;
    if (c->save && save(c)) return 1;
    if (satchel_sign_out(c->s, give_up, &unsent)) {
        tell_refusal(c, unsent);
        return 1;
    }
    if (c->save)
        fprintf(stderr, "satchel: %llu transactions that were not sent, or were refused, are in %s\n", (unsigned long long)unsent,
                c->save);
    fprintf(stderr, "satchel: signed out; %s is erased, with its key and certificates\n", c->db);
    return 0;
}
