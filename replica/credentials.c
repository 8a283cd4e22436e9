#include "replica/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

/* A chain of a few certificates; a larger file is none of ours. */
#define FILE_BYTES (64u << 10)

int credentials_errno(int e) {
    switch (e) {
    case ENOSPC:
    case EDQUOT:
        return SATCHEL_E_FULL;
    case EROFS:
    case EACCES:
    case EPERM:
        return SATCHEL_E_READONLY;
    case ENOMEM:
        return SATCHEL_E_NOMEM;
    default:
        return SATCHEL_E_IO;
    }
}

static int fail_errno(buf *error, const char *what, const char *dir, const char *name) {
    int e = errno;
    buf_printf(error, "cannot %s %s%s%s: %s", what, dir, name ? "/" : "", name ? name : "", strerror(e));
    return credentials_errno(e);
}

void credentials_wipe(buf *b) {
    if (b->p) explicit_bzero(b->p, b->cap);
    buf_fini(b);
}

void credentials_fini(credentials *c) {
    credentials_wipe(&c->key);
    credentials_wipe(&c->cert);
    credentials_wipe(&c->ca);
}

int credentials_make_dir(const char *dir, buf *error) {
    struct stat st;
    if (mkdir(dir, 0700) && errno != EEXIST) return fail_errno(error, "make the directory", dir, NULL);
    if (stat(dir, &st)) return fail_errno(error, "look at", dir, NULL);
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return fail_errno(error, "use", dir, NULL);
    }
    if ((st.st_mode & 077) && chmod(dir, 0700)) return fail_errno(error, "make private", dir, NULL);
    return SATCHEL_OK;
}

static int read_all(int fd, buf *out) {
    for (;;) {
        uint8_t *room = buf_reserve(out, 4096);
        if (!room) return out->rc;
        ssize_t got = read(fd, room, 4095);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return SATCHEL_E_IO;
        room[got] = 0;
        if (!got) return SATCHEL_OK;
        out->n += (size_t)got;
    }
}

/* Whoever can read it can be this device. */
static int check_private(int fd, const char *dir, const char *name, buf *error) {
    struct stat st;
    if (fstat(fd, &st)) return fail_errno(error, "look at", dir, name);
    if (!(st.st_mode & 077)) return SATCHEL_OK;
    buf_printf(error, "others can read the key %s/%s (mode %04o); chmod 600 it, and change the key if they may have done so", dir,
               name, (unsigned)(st.st_mode & 07777));
    return SATCHEL_E_CERTIFICATE;
}

int credentials_read_file(const char *dir, const char *name, buf *out, buf *error) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return SATCHEL_E_MISUSE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        buf_printf(error, "there is no %s", path);
        return SATCHEL_E_NOT_FOUND;
    }
    if (fd < 0) return fail_errno(error, "open", dir, name);
    out->max = FILE_BYTES;
    bool is_key = !strcmp(name, CREDENTIALS_KEY) || !strcmp(name, CREDENTIALS_NEXT_KEY);
    int rc = is_key ? check_private(fd, dir, name, error) : SATCHEL_OK;
    if (!rc) rc = read_all(fd, out);
    if (rc == SATCHEL_E_IO) fail_errno(error, "read", dir, name);
    if (rc == SATCHEL_E_LIMIT) buf_printf(error, "%s is too large to be a key or certificate", path);
    close(fd);
    return rc;
}

static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return -1;
        p += put;
        n -= (size_t)put;
    }
    return fsync(fd);
}

/* A rename is durable when its directory is. */
int credentials_sync_dir(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int err = fsync(fd);
    close(fd);
    return err;
}

int credentials_write_file(const char *dir, const char *name, const char *text, buf *error) {
    char path[4096], temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s/.%s.XXXXXX", dir, name);
    if (n >= (int)sizeof temporary) return SATCHEL_E_MISUSE;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) return fail_errno(error, "write", dir, name);
    int rc = SATCHEL_OK;
    if (write_all(fd, text, strlen(text)) || rename(temporary, path)) {
        rc = fail_errno(error, "write", dir, name);
        unlink(temporary);
    } else if (credentials_sync_dir(dir)) {
        rc = fail_errno(error, "write", dir, name);
    }
    close(fd);
    return rc;
}

static bool is_of_key(const char *dir, const buf *key) {
    uint8_t of_key[CRYPTO_FINGERPRINT_BYTES], of_cert[CRYPTO_FINGERPRINT_BYTES];
    buf cert = {0}, error = {0};
    bool is = !credentials_read_file(dir, CREDENTIALS_CERT, &cert, &error) && !crypto_fingerprint((const char *)key->p, of_key) &&
              !crypto_fingerprint((const char *)cert.p, of_cert) && !memcmp(of_key, of_cert, sizeof of_key);
    buf_fini(&cert);
    buf_fini(&error);
    return is;
}

int credentials_lock(const char *dir, buf *error) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), failed;
    if (fd < 0 && errno == ENOENT) {
        buf_printf(error, "there is no %s", dir);
        return SATCHEL_E_NOT_FOUND;
    }
    if (fd < 0) return fail_errno(error, "open", dir, NULL);
    do failed = flock(fd, LOCK_EX);
    while (failed && errno == EINTR);
    if (!failed) return fd;
    int rc = fail_errno(error, "lock", dir, NULL);
    close(fd);
    return rc;
}

static int settle(const char *dir, buf *error) {
    char from[4096], to[4096];
    buf next = {0}, none = {0};
    int rc = credentials_read_file(dir, CREDENTIALS_NEXT_KEY, &next, &none);
    bool takes_over = !rc && is_of_key(dir, &next);
    if (rc && rc != SATCHEL_E_NOT_FOUND) buf_put(error, none.p, none.n + 1);
    credentials_wipe(&next);
    buf_fini(&none);
    if (!takes_over) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
    snprintf(from, sizeof from, "%s/" CREDENTIALS_NEXT_KEY, dir);
    snprintf(to, sizeof to, "%s/" CREDENTIALS_KEY, dir);
    return rename(from, to) || credentials_sync_dir(dir) ? fail_errno(error, "replace", dir, CREDENTIALS_KEY) : SATCHEL_OK;
}

/* Of two that find the same new key the other finds that it is settled. */
int credentials_settle(const char *dir, buf *error) {
    buf none = {0};
    int lock = credentials_lock(dir, &none);
    bool absent = lock == SATCHEL_E_NOT_FOUND;
    if (lock < 0 && !absent) buf_printf(error, "%s", none.n ? (const char *)none.p : satchel_rc_text(lock));
    buf_fini(&none);
    if (lock < 0) return absent ? SATCHEL_OK : lock;
    int rc = settle(dir, error);
    close(lock);
    return rc;
}

int credentials_read(const char *dir, credentials *out, buf *error) {
    *out = (credentials){0};
    int rc = credentials_settle(dir, error);
    if (!rc) rc = credentials_read_file(dir, CREDENTIALS_KEY, &out->key, error);
    if (!rc) rc = credentials_read_file(dir, CREDENTIALS_CERT, &out->cert, error);
    if (!rc) rc = credentials_read_file(dir, CREDENTIALS_CA, &out->ca, error);
    return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_E_NOT_ENROLLED : rc;
}
