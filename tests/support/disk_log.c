#include "tests/support/disk_log.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

unsigned disk_syncs, disk_log_fails;

typedef enum reach { NEVER_WRITTEN, WRITTEN, ON_DISK, GIVEN_UP } reach;
static struct {
    ino_t inode; /* 0: none is watched */
    size_t n;
    uint8_t byte[1 << 24];
} watched;

static bool is_log(int fd) {
    struct stat is;
    return watched.inode && !fstat(fd, &is) && is.st_ino == watched.inode;
}

static void move_written(reach to) {
    for (size_t i = 0; i < watched.n; i++)
        if (watched.byte[i] == WRITTEN) watched.byte[i] = (uint8_t)to;
}

static bool sync_fails(int fd) {
    disk_syncs++;
    if (!is_log(fd)) return false;
    bool fails = disk_log_fails > 0;
    disk_log_fails -= fails;
    move_written(fails ? GIVEN_UP : ON_DISK);
    if (fails) errno = EIO;
    return fails;
}

/* These two stand before libc's: SQLite's way to the disk. */
int fdatasync(int fd) {
    return sync_fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    return sync_fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

static ssize_t (*real_pwrite)(int fd, const void *p, size_t n, off_t at);

static ssize_t noted_pwrite(int fd, const void *p, size_t n, off_t at) {
    size_t end = (size_t)at + n;
    if (is_log(fd)) {
        assert_true(end <= sizeof watched.byte);
        memset(watched.byte + at, WRITTEN, n);
        if (watched.n < end) watched.n = end;
    }
    return real_pwrite(fd, p, n, at);
}

void disk_log_watch(const char *path) {
    char log[4096];
    struct stat is;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const char *name = vfs->xGetSystemCall(vfs, "pwrite64") ? "pwrite64" : "pwrite";
    if (!real_pwrite) real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, name);
    assert_int_equal(vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)noted_pwrite), SQLITE_OK);
    snprintf(log, sizeof log, "%s-wal", path);
    assert_int_equal(stat(log, &is), 0);
    memset(&watched, 0, sizeof watched);
    watched.inode = is.st_ino;
}

size_t disk_log_missing(void) {
    size_t n = 0;
    for (size_t i = 0; i < watched.n; i++) n += watched.byte[i] == WRITTEN || watched.byte[i] == GIVEN_UP;
    return n;
}
