#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/capture_internal.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

/* An allocation above this is given back after the transaction that needed it. */
#define KEEP_BYTES (256u << 10)

void capture_record_init(capture_record *r) {
    *r = (capture_record){.fd = -1};
    buf_init(&r->mem, LIMIT_CAPTURE_BYTES);
}

static void unmap(capture_record *r) {
    if (r->map) munmap(r->map, r->map_n);
    r->map = NULL;
}

void capture_record_fini(capture_record *r) {
    unmap(r);
    if (r->fd >= 0) close(r->fd);
    buf_fini(&r->mem);
    *r = (capture_record){.fd = -1};
}

uint64_t capture_record_size(const capture_record *r) {
    return r->spilled + r->mem.n;
}

static int from_errno(int error) {
    if (error == ENOSPC || error == EDQUOT) return SATCHEL_E_FULL;
    return error == ENOMEM ? SATCHEL_E_NOMEM : SATCHEL_E_IO;
}

/* Where SQLite itself would put a temporary file. */
static int open_temporary(int *fd) {
    const char *candidates[] = {getenv("SQLITE_TMPDIR"), getenv("TMPDIR"), "/var/tmp", "/tmp", "."};
    int error = ENOENT;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        char path[1024];
        const char *folder = candidates[i];
        if (!folder || strlen(folder) > sizeof path - 32) continue;
        snprintf(path, sizeof path, "%s/satchel-XXXXXX", folder);
        *fd = mkostemp(path, O_CLOEXEC);
        if (*fd >= 0) {
            unlink(path);
            return SATCHEL_OK;
        }
        error = errno;
    }
    return from_errno(error);
}

static int write_at(int fd, const uint8_t *p, size_t n, uint64_t offset) {
    while (n) {
        ssize_t written = pwrite(fd, p, n, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return from_errno(errno);
        p += written;
        n -= (size_t)written;
        offset += (uint64_t)written;
    }
    return SATCHEL_OK;
}

static int open_spill(capture_record *r) {
    if (!r->in_memory) return open_temporary(&r->fd);
    r->fd = memfd_create("satchel", MFD_CLOEXEC);
    return r->fd < 0 ? from_errno(errno) : SATCHEL_OK;
}

static int spill(capture_record *r) {
    int rc = r->fd < 0 ? open_spill(r) : SATCHEL_OK;
    if (!rc) rc = write_at(r->fd, r->mem.p, r->mem.n, r->spilled);
    if (rc) return rc;
    r->spilled += r->mem.n;
    r->mem.n = 0;
    return SATCHEL_OK;
}

capture_entry *capture_record_append(capture_record *r, size_t n) {
    if (r->map) unmap(r);
    r->rc = SATCHEL_OK;
    if (r->mem.n + n > LIMIT_CAPTURE_BYTES) r->rc = spill(r);
    if (r->rc) return NULL;
    uint8_t *to = buf_reserve(&r->mem, n);
    if (!to) {
        r->rc = r->mem.rc;
        return NULL;
    }
    r->mem.n += n;
    return (capture_entry *)(void *)to;
}

void capture_record_truncate(capture_record *r, uint64_t size) {
    unmap(r);
    if (size >= r->spilled) {
        r->mem.n = (size_t)(size - r->spilled);
    } else {
        r->spilled = size;
        r->mem.n = 0;
    }
}

void capture_record_clear(capture_record *r) {
    unmap(r);
    if (r->fd >= 0) close(r->fd);
    r->fd = -1;
    r->spilled = 0;
    buf_clear(&r->mem);
    if (r->mem.cap > KEEP_BYTES) {
        buf_fini(&r->mem);
        buf_init(&r->mem, LIMIT_CAPTURE_BYTES);
    }
}

int capture_record_view(capture_record *r, uint8_t **p, size_t *n) {
    if (!r->spilled) {
        *p = r->mem.p;
        *n = r->mem.n;
        return SATCHEL_OK;
    }
    int rc = r->mem.n ? spill(r) : SATCHEL_OK;
    if (rc) return rc;
    if (!r->map) {
        /* Shared: the links that consolidation writes stay in the file's pages and cost no memory of their own. */
        void *map = mmap(NULL, (size_t)r->spilled, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
        if (map == MAP_FAILED) return from_errno(errno);
        r->map = map;
        r->map_n = (size_t)r->spilled;
    }
    *p = r->map;
    *n = r->map_n;
    return SATCHEL_OK;
}
