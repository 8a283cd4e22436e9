#include "server/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/os.h"

#define FILE_BYTES (64u << 10)

static int fail(buf *error, const datadir *d, const char *name, const char *what) {
    return os_fail(error, d->path, name, what);
}

/* An empty directory may become ours, as may one that holds a file that only Satchel makes; anything else is somebody's. */
static bool is_ours(int fd) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0) close(copy);
        return false;
    }
    bool empty = true, known = false;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        empty = false;
        known = known || !strcmp(e->d_name, "satcheld.lock") || !strcmp(e->d_name, "store.db") || !strcmp(e->d_name, "ca.key");
    }
    closedir(dir);
    return empty || known;
}

static int check_owner(const datadir *d, buf *error) {
    struct stat st;
    if (fstat(d->fd, &st)) return fail(error, d, NULL, "cannot look at it");
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        buf_printf(error, "%s: other users may write to this directory; chmod 700 it first", d->path);
        return SATCHEL_E_FOREIGN_FILE;
    }
    if (!is_ours(d->fd)) {
        buf_printf(error, "%s: not empty, and it holds no Satchel data; give --data an empty or a new directory", d->path);
        return SATCHEL_E_FOREIGN_FILE;
    }
    return SATCHEL_OK;
}

static int take_lock(datadir *d, buf *error) {
    d->lock = openat(d->fd, "satcheld.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock < 0) return fail(error, d, "satcheld.lock", "cannot open");
    if (flock(d->lock, LOCK_EX | LOCK_NB)) {
        char pid[24] = "";
        ssize_t n = pread(d->lock, pid, sizeof pid - 1, 0);
        if (n > 0) pid[strcspn(pid, "\n")] = 0;
        if (errno != EWOULDBLOCK) return fail(error, d, "satcheld.lock", "cannot lock");
        buf_printf(error, "%s: another server has this data directory open%s%s", d->path, *pid ? ", process " : "", pid);
        return SATCHEL_E_BUSY;
    }
    if (ftruncate(d->lock, 0) || dprintf(d->lock, "%ld\n", (long)getpid()) < 0)
        return fail(error, d, "satcheld.lock", "cannot write");
    return SATCHEL_OK;
}

int datadir_open(const char *path, datadir *out, buf *error) {
    *out = (datadir){.fd = -1, .lock = -1};
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (!n || n + 64 > sizeof out->path) {
        buf_printf(error, "the name of the data directory is %s", n ? "too long" : "empty");
        return SATCHEL_E_TOO_LARGE;
    }
    memcpy(out->path, path, n);
    if (mkdir(out->path, 0700) && errno != EEXIST) return fail(error, out, NULL, "cannot make the data directory");
    out->fd = open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0) return fail(error, out, NULL, "cannot open the data directory");
    int rc = check_owner(out, error);
    if (!rc) rc = take_lock(out, error);
    if (rc) datadir_close(out);
    return rc;
}

void datadir_close(datadir *d) {
    if (d->lock >= 0) close(d->lock);
    if (d->fd >= 0) close(d->fd);
    d->lock = d->fd = -1;
}

int datadir_path(const datadir *d, const char *name, char out[DATADIR_PATH_BYTES]) {
    int n = snprintf(out, DATADIR_PATH_BYTES, "%s/%s", d->path, name);
    return n > 0 && n < DATADIR_PATH_BYTES ? SATCHEL_OK : SATCHEL_E_TOO_LARGE;
}

static int check_secret(const datadir *d, const char *name, int fd, buf *error) {
    struct stat st;
    if (fstat(fd, &st)) return fail(error, d, name, "cannot look at it");
    if (!(st.st_mode & (S_IRWXG | S_IRWXO))) return SATCHEL_OK;
    buf_printf(error, "%s/%s: other users may read this key (mode %04o); chmod 600 it, or replace it if they may have", d->path,
               name, (unsigned)(st.st_mode & 07777));
    return SATCHEL_E_CERTIFICATE;
}

int datadir_read(const datadir *d, const char *name, bool secret, buf *out, buf *error) {
    int fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(error, d, name, "cannot read");
    int rc = secret ? check_secret(d, name, fd, error) : SATCHEL_OK;
    size_t total = 0;
    while (!rc) {
        uint8_t *to = buf_reserve(out, 4096);
        ssize_t n = to ? read(fd, to, 4095) : 0;
        if (n < 0) rc = fail(error, d, name, "cannot read");
        if (!to) rc = out->rc;
        if (n <= 0) {
            if (to) *to = 0;
            break;
        }
        out->n += (size_t)n;
        total += (size_t)n;
        if (total > FILE_BYTES) {
            buf_printf(error, "%s/%s: larger than it can be", d->path, name);
            rc = SATCHEL_E_LIMIT;
        }
    }
    close(fd);
    return rc;
}

static int write_whole(int fd, const uint8_t *p, size_t n) {
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        p += done;
        n -= (size_t)done;
    }
    return fsync(fd);
}

int datadir_write(const datadir *d, const char *name, const void *p, size_t n, buf *error) {
    char temporary[256];
    snprintf(temporary, sizeof temporary, "%s.new", name);
    int fd = openat(d->fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return fail(error, d, temporary, "cannot write");
    int rc = SATCHEL_OK;
    if (write_whole(fd, p, n)) rc = fail(error, d, temporary, "cannot write");
    if (close(fd) && !rc) rc = fail(error, d, temporary, "cannot write");
    if (!rc && renameat(d->fd, temporary, d->fd, name)) rc = fail(error, d, name, "cannot replace");
    if (!rc && fsync(d->fd)) rc = fail(error, d, NULL, "cannot sync");
    if (rc) unlinkat(d->fd, temporary, 0);
    return rc;
}
