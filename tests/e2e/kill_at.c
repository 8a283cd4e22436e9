/* kill_at.so - preloaded into a program, ends it with SIGKILL before the Nth call that changes files (SATCHEL_KILL_AT), counted from the moment at
 * which it begins to lay the marker of a wipe (a path that ends with "-wipe.new"), or has written a new key and names it ("/key-next.pem"). With
 * SATCHEL_NO_MARKER the disk is full at the marker, once. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static bool armed;
static long count;

static void step(void) {
    const char *at = getenv("SATCHEL_KILL_AT");
    if (armed && at && ++count == atol(at)) raise(SIGKILL);
}

static bool is_full(void) {
    static bool once;
    if (once || !getenv("SATCHEL_NO_MARKER")) return false;
    once = true;
    errno = ENOSPC;
    return true;
}

static bool ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* The next definition of a function, as one of its type. */
#define REAL(name)                                                                                                               \
    __typeof__(&name) real;                                                                                                      \
    void *symbol = dlsym(RTLD_NEXT, #name);                                                                                      \
    memcpy(&real, &symbol, sizeof real)

#define OPEN(name)                                                                                                               \
    int name(const char *path, int flags, ...) {                                                                                 \
        REAL(name);                                                                                                              \
        va_list args;                                                                                                            \
        va_start(args, flags);                                                                                                   \
        unsigned mode = flags & O_CREAT ? va_arg(args, unsigned) : 0;                                                            \
        va_end(args);                                                                                                            \
        if (ends_with(path, "-wipe.new")) {                                                                                      \
            armed = true;                                                                                                        \
            if (is_full()) return -1;                                                                                            \
        }                                                                                                                        \
        if (flags & O_CREAT) step();                                                                                             \
        return real(path, flags, mode);                                                                                          \
    }
OPEN(open)
OPEN(open64)

int unlink(const char *path) {
    REAL(unlink);
    step();
    return real(path);
}

int unlinkat(int dir, const char *path, int flags) {
    REAL(unlinkat);
    step();
    return real(dir, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir);
    step();
    return real(path);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    if (ends_with(to, "/key-next.pem")) armed = true;
    step();
    return real(from, to);
}

int fsync(int fd) {
    REAL(fsync);
    step();
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    step();
    return real(fd);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    step();
    return real(fd, size);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) {
    REAL(pwrite64);
    step();
    return real(fd, p, n, at);
}
