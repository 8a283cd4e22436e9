#include "tests/sim/disk.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/pages.h"

#define SECTOR 512u
#define OS_PAGE 4096u
#define DISKS 64u
#define FILES 32u
#define NAME_BYTES 256u
#define SHM_REGIONS 64u
#define LEAST_BYTES 65536u /* of a growing memory */

typedef struct bytes {
    uint8_t *p;
    size_t n, cap;
} bytes;

/* A write, or (n 0) a truncation to `at`, that no sync has covered, and what undoes it. */
typedef struct unsynced {
    size_t at, n;
    size_t end;            /* of the file before */
    size_t old, old_bytes; /* what was at `at` before, in the file's `undo` */
} unsynced;

/* A page of the system's cache: as other writes are, what a failed sync gave up, and that again, written since. */
typedef enum stage { PLAIN, GIVEN_UP, WRITTEN_AGAIN } stage;

typedef struct disk_file {
    char name[NAME_BYTES]; /* "" : free */
    pages seen;
    bytes undo;
    unsynced *pending;
    size_t npending, pending_cap;
    bytes stages;  /* of each page from the first, as far as one was ever given up */
    pages reached; /* what the disk has of those that are not plain */
    unsigned open;
    bool unlinked; /* and open */
    /* Locks: those who share, and the one who has more. */
    unsigned shared;
    struct handle *reserved, *exclusive;
    /* The shared memory of a write-ahead log. */
    uint8_t *shm[SHM_REGIONS];
    unsigned nshm, shm_users, shm_shared[SQLITE_SHM_NLOCK];
    struct handle *shm_exclusive[SQLITE_SHM_NLOCK];
} disk_file;

struct disk {
    char name[32];
    uint64_t random;
    disk_file file[FILES];
    uint64_t die_at, fail_at; /* calls left; 0: not set */
    bool dead, full, refused; /* refused: a write, since it is full */
    disk_figures figures;
};

/* What SQLite holds of an open file. */
typedef struct handle {
    sqlite3_file base;
    disk *d;
    disk_file *f;
    int lock;
    bool has_shm, delete_on_close;
    uint16_t shm_shared;
} handle;

static disk *disks[DISKS];
static sqlite3_vfs *before;
static uint64_t (*clock_ms)(void *ctx);
static void *clock_ctx;
static uint64_t vfs_random = 1;

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- bytes ---- */

static void bytes_size(bytes *b, size_t n) {
    if (n > b->cap) {
        b->cap = n < LEAST_BYTES / 2 ? LEAST_BYTES : n * 2;
        b->p = pages_need(realloc(b->p, b->cap));
    }
    b->n = n;
}

/* ---- files of a disk ---- */

static disk *disk_of(const char *path, const char **name) {
    const char *slash = strrchr(path, '/'), *start = slash;
    if (!slash) return NULL;
    while (start > path && start[-1] != '/') start--;
    for (unsigned i = 0; i < DISKS; i++) {
        disk *d = disks[i];
        if (d && strlen(d->name) == (size_t)(slash - start) && !strncmp(d->name, start, strlen(d->name))) {
            *name = slash + 1;
            return d;
        }
    }
    return NULL;
}

static disk_file *find(disk *d, const char *name) {
    for (unsigned i = 0; i < FILES; i++)
        if (d->file[i].name[0] && !d->file[i].unlinked && !strcmp(d->file[i].name, name)) return &d->file[i];
    return NULL;
}

static disk_file *make(disk *d, const char *name) {
    for (unsigned i = 0; i < FILES; i++) {
        disk_file *f = &d->file[i];
        if (f->name[0]) continue;
        snprintf(f->name, sizeof f->name, "%s", name);
        return f;
    }
    fprintf(stderr, "sim: disk %s has too many files\n", d->name);
    exit(2);
}

static void forget_pending(disk_file *f) {
    f->npending = 0;
    f->undo.n = 0;
}

static void forget_shm(disk_file *f) {
    for (unsigned i = 0; i < f->nshm; i++) free(f->shm[i]);
    f->nshm = 0;
}

static void drop(disk_file *f) {
    forget_shm(f);
    pages_free(&f->seen);
    pages_free(&f->reached);
    free(f->pending);
    free(f->undo.p);
    free(f->stages.p);
    *f = (disk_file){0};
}

/* Before a write of `n` bytes, or a truncation. */
static void note(disk_file *f, size_t at, size_t n) {
    if (f->npending == f->pending_cap) {
        f->pending_cap = f->pending_cap ? f->pending_cap * 2 : 64;
        f->pending = pages_need(realloc(f->pending, f->pending_cap * sizeof *f->pending));
    }
    unsynced u = {.at = at, .n = n, .end = f->seen.n, .old = f->undo.n};
    if (at < u.end) u.old_bytes = n && n < u.end - at ? n : u.end - at;
    bytes_size(&f->undo, u.old + u.old_bytes);
    if (u.old_bytes) pages_read(&f->seen, at, f->undo.p + u.old, u.old_bytes);
    f->pending[f->npending++] = u;
}

/* Takes every write since the last sync back. What they wrote is then in `redo`, one after the other. */
static void take_back(disk_file *f, bytes *redo) {
    size_t all = 0;
    for (size_t i = 0; i < f->npending; i++) all += f->pending[i].n;
    bytes_size(redo, all);
    for (size_t i = f->npending; i-- > 0;) {
        const unsynced *u = &f->pending[i];
        all -= u->n;
        if (u->n) pages_read(&f->seen, u->at, redo->p + all, u->n);
        pages_size(&f->seen, u->end);
        if (u->old_bytes) pages_write(&f->seen, u->at, f->undo.p + u->old, u->old_bytes);
    }
}

/* ---- pages that a failed sync gave up ---- */

static void give_up_page(disk_file *f, size_t i) {
    size_t had = f->stages.n, at = i * OS_PAGE;
    uint8_t p[OS_PAGE] = {0};
    if (i >= had) {
        bytes_size(&f->stages, i + 1);
        memset(f->stages.p + had, PLAIN, i + 1 - had);
    }
    if (f->stages.p[i] == PLAIN) {
        size_t have = at < f->seen.n ? f->seen.n - at : 0;
        pages_read(&f->seen, at, p, have < OS_PAGE ? have : OS_PAGE);
        pages_write(&f->reached, at, p, OS_PAGE);
    }
    f->stages.p[i] = GIVEN_UP;
}

/* Linux marks the pages of an fsync that failed as clean: they are read as they were written, the next fsync finds nothing to do and says that all is well,
 * and they are gone with the power, unless they were written again before it (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC
 * 2020, of ext4 and XFS; PostgreSQL's "PANIC on fsync() failure" of November 2018). */
static void give_up(disk_file *f) {
    pages now = {0};
    bytes redo = {0};
    pages_copy(&now, &f->seen);
    take_back(f, &redo);
    for (const unsynced *u = f->pending; u < f->pending + f->npending; u++)
        for (size_t i = u->at / OS_PAGE; i * OS_PAGE < u->at + u->n; i++) give_up_page(f, i);
    pages_free(&f->seen);
    f->seen = now;
    forget_pending(f);
    free(redo.p);
}

static void write_again(disk_file *f, size_t at, size_t n) {
    for (size_t i = at / OS_PAGE; i < f->stages.n && i * OS_PAGE < at + n; i++)
        if (f->stages.p[i] == GIVEN_UP) f->stages.p[i] = WRITTEN_AGAIN;
}

static void reach(disk_file *f) {
    for (size_t i = 0; i < f->stages.n; i++)
        if (f->stages.p[i] == WRITTEN_AGAIN) f->stages.p[i] = PLAIN;
}

/* All of them, or any. */
static void lose_given_up(disk *d, disk_file *f) {
    if (!f->stages.n) return;
    bool all = next_random(&d->random) & 1;
    for (size_t i = 0; i < f->stages.n && i * OS_PAGE < f->seen.n; i++) {
        size_t at = i * OS_PAGE, n = f->seen.n - at < OS_PAGE ? f->seen.n - at : OS_PAGE;
        uint8_t p[OS_PAGE];
        if (f->stages.p[i] == PLAIN || (!all && next_random(&d->random) & 1)) continue;
        pages_read(&f->reached, at, p, n);
        pages_write(&f->seen, at, p, n);
        d->figures.lost += n;
    }
    f->stages.n = 0;
    pages_size(&f->reached, 0);
}

/* ---- faults ---- */

unsigned disk_looking;

void disk_look(bool on) {
    disk_looking += on ? 1 : -1u;
}

static int call(disk *d) {
    if (disk_is_looking()) return SQLITE_OK;
    d->figures.calls++;
    if (d->die_at && !--d->die_at) d->dead = true;
    return d->dead ? SQLITE_IOERR : SQLITE_OK;
}

/* A call that may fail once. */
static int risky(disk *d, int code) {
    int rc = call(d);
    if (rc || disk_is_looking()) return rc;
    if (!d->fail_at || --d->fail_at) return SQLITE_OK;
    d->figures.failed++;
    return code;
}

void disk_die_at(disk *d, uint64_t at) {
    d->die_at = at;
    if (!at) d->dead = true;
}

bool disk_is_dead(const disk *d) {
    return d->dead;
}

void disk_fill(disk *d, bool full) {
    d->full = full;
    d->refused = false;
}

void disk_fail_at(disk *d, uint64_t at) {
    d->fail_at = at;
}

/* Some of the sectors of a write. */
static void tear(disk *d, pages *f, size_t at, const uint8_t *p, size_t n) {
    for (size_t done = 0; done < n; done += SECTOR) {
        size_t some = n - done < SECTOR ? n - done : SECTOR;
        if (next_random(&d->random) & 1)
            pages_write(f, at + done, p + done, some);
        else
            d->figures.lost += some;
    }
}

static size_t choose_kept(disk *d, size_t n) {
    switch (next_random(&d->random) % 4) {
    case 0: /* nothing was written */
        return 0;
    case 1: /* all was */
        return n;
    default: /* the first ones were, and of the next, or of all others, some sectors */
        return n ? next_random(&d->random) % n : 0;
    }
}

static void lose_power(disk *d, disk_file *f) {
    size_t kept = choose_kept(d, f->npending);
    bool any_order = next_random(&d->random) & 1;
    bytes redo = {0};
    take_back(f, &redo);
    const uint8_t *p = redo.p;
    for (size_t i = 0; i < f->npending; i++) {
        const unsynced *u = &f->pending[i];
        if (i < kept && u->n)
            pages_write(&f->seen, u->at, p, u->n);
        else if (i < kept)
            pages_extend(&f->seen, u->at);
        else if (kept && (i == kept || any_order) && u->n)
            tear(d, &f->seen, u->at, p, u->n);
        else
            d->figures.lost += u->n;
        p += u->n;
    }
    forget_pending(f);
    free(redo.p);
    lose_given_up(d, f);
}

void disk_revive(disk *d, bool power_lost) {
    for (unsigned i = 0; i < FILES; i++) {
        disk_file *f = &d->file[i];
        if (!f->name[0]) continue;
        if (f->open) {
            fprintf(stderr, "sim: disk %s: %s is still open\n", d->name, f->name);
            exit(2);
        }
        if (power_lost) lose_power(d, f);
        forget_shm(f);
    }
    d->dead = d->full = d->refused = false;
    d->die_at = d->fail_at = 0;
}

/* ---- open files ---- */

static handle *of(sqlite3_file *file) {
    return (handle *)file;
}

static void unlock_all(handle *h) {
    if (h->lock >= SQLITE_LOCK_SHARED) h->f->shared--;
    if (h->f->reserved == h) h->f->reserved = NULL;
    if (h->f->exclusive == h) h->f->exclusive = NULL;
    h->lock = SQLITE_LOCK_NONE;
}

static int file_close(sqlite3_file *file) {
    handle *h = of(file);
    unlock_all(h);
    h->f->open--;
    h->d->figures.open--;
    if ((h->delete_on_close || h->f->unlinked) && !h->f->open) drop(h->f);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 offset) {
    handle *h = of(file);
    size_t n = (size_t)amount, at = (size_t)offset;
    int rc = risky(h->d, SQLITE_IOERR_READ);
    if (rc) return rc;
    size_t have = at < h->f->seen.n ? h->f->seen.n - at : 0;
    if (have > n) have = n;
    pages_read(&h->f->seen, at, out, have);
    if (have == n) return SQLITE_OK;
    memset((uint8_t *)out + have, 0, n - have);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *p, int amount, sqlite3_int64 offset) {
    handle *h = of(file);
    size_t n = (size_t)amount, at = (size_t)offset;
    int rc = risky(h->d, SQLITE_IOERR_WRITE);
    if (rc) return rc;
    if (h->d->full && at + n > h->f->seen.n) {
        if (!h->d->refused) h->d->figures.full++;
        h->d->refused = true;
        return SQLITE_FULL;
    }
    note(h->f, at, n);
    write_again(h->f, at, n);
    pages_write(&h->f->seen, at, p, n);
    h->d->figures.written += n;
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    handle *h = of(file);
    int rc = risky(h->d, SQLITE_IOERR_TRUNCATE);
    if (rc) return rc;
    if ((size_t)size < h->f->seen.n) {
        note(h->f, (size_t)size, 0);
        write_again(h->f, (size_t)size, h->f->seen.n - (size_t)size);
        pages_size(&h->f->seen, (size_t)size);
    }
    return SQLITE_OK;
}

static int file_sync(sqlite3_file *file, int flags) {
    handle *h = of(file);
    (void)flags;
    int rc = risky(h->d, SQLITE_IOERR_FSYNC);
    /* Other systems keep them to be written. */
    if (rc == SQLITE_IOERR_FSYNC && next_random(&h->d->random) & 1) give_up(h->f);
    if (rc) return rc;
    h->d->figures.syncs++;
    forget_pending(h->f);
    reach(h->f);
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *out) {
    *out = (sqlite3_int64)of(file)->f->seen.n;
    return call(of(file)->d);
}

/* ---- locks ---- */

static int file_lock(sqlite3_file *file, int lock) {
    handle *h = of(file);
    disk_file *f = h->f;
    int rc = call(h->d);
    if (rc || h->lock >= lock) return rc;
    if (lock == SQLITE_LOCK_SHARED) {
        if (f->exclusive) return SQLITE_BUSY;
        f->shared++;
    } else if (lock == SQLITE_LOCK_RESERVED) {
        if (f->reserved) return SQLITE_BUSY;
        f->reserved = h;
    } else {
        if ((f->reserved && f->reserved != h) || (f->exclusive && f->exclusive != h) || f->shared > 1) return SQLITE_BUSY;
        f->exclusive = h;
    }
    h->lock = lock;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *file, int lock) {
    handle *h = of(file);
    if (h->lock <= lock) return SQLITE_OK;
    if (h->f->reserved == h) h->f->reserved = NULL;
    if (h->f->exclusive == h) h->f->exclusive = NULL;
    if (lock == SQLITE_LOCK_NONE) h->f->shared--;
    h->lock = lock;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *file, int *out) {
    *out = of(file)->f->reserved != NULL;
    return call(of(file)->d);
}

static int file_control(sqlite3_file *file, int op, void *arg) {
    if (op != SQLITE_FCNTL_HAS_MOVED) return SQLITE_NOTFOUND;
    *(int *)arg = of(file)->f->unlinked;
    return SQLITE_OK;
}

static int file_sector_size(sqlite3_file *file) {
    (void)file;
    return SECTOR;
}

static int file_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- shared memory ---- */

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out) {
    handle *h = of(file);
    disk_file *f = h->f;
    int rc = call(h->d);
    *out = NULL;
    if (rc) return rc;
    if (!h->has_shm) {
        if (!f->shm_users) forget_shm(f); /* of those who are gone */
        h->has_shm = true;
        f->shm_users++;
    }
    if ((unsigned)region >= SHM_REGIONS) return SQLITE_IOERR_SHMSIZE;
    if ((unsigned)region >= f->nshm && !extend) return SQLITE_OK;
    while (f->nshm <= (unsigned)region) f->shm[f->nshm++] = pages_need(calloc(1, (size_t)size));
    *out = f->shm[region];
    return SQLITE_OK;
}

static bool shm_free(const handle *h, int i, bool exclusive) {
    const disk_file *f = h->f;
    if (f->shm_exclusive[i] && f->shm_exclusive[i] != h) return false;
    unsigned others = f->shm_shared[i] - (h->shm_shared >> i & 1);
    return !exclusive || !others;
}

static void shm_release(handle *h, int i) {
    if (h->shm_shared >> i & 1) h->f->shm_shared[i]--;
    h->shm_shared = (uint16_t)(h->shm_shared & ~(1u << i));
    if (h->f->shm_exclusive[i] == h) h->f->shm_exclusive[i] = NULL;
}

static int shm_lock(sqlite3_file *file, int offset, int n, int flags) {
    handle *h = of(file);
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    if (flags & SQLITE_SHM_UNLOCK) {
        for (int i = offset; i < offset + n; i++) shm_release(h, i);
        return SQLITE_OK;
    }
    int rc = call(h->d);
    if (rc) return rc;
    for (int i = offset; i < offset + n; i++)
        if (!shm_free(h, i, exclusive)) return SQLITE_BUSY;
    for (int i = offset; i < offset + n; i++) {
        if (exclusive) {
            h->f->shm_exclusive[i] = h;
        } else if (!(h->shm_shared >> i & 1)) {
            h->f->shm_shared[i]++;
            h->shm_shared = (uint16_t)(h->shm_shared | 1u << i);
        }
    }
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *file) {
    (void)file;
}

static int shm_unmap(sqlite3_file *file, int delete) {
    handle *h = of(file);
    if (!h->has_shm) return SQLITE_OK;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) shm_release(h, i);
    h->has_shm = false;
    if (!--h->f->shm_users && delete) forget_shm(h->f);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- the VFS ---- */

/* Temporary files of SQLite (name NULL) are nobody's disk: the system's VFS has them. */
static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags) {
    const char *name;
    (void)vfs;
    file->pMethods = NULL;
    disk *d = path ? disk_of(path, &name) : NULL;
    if (!d) return path ? SQLITE_CANTOPEN : before->xOpen(before, NULL, file, flags, out_flags);
    int rc = risky(d, SQLITE_CANTOPEN);
    if (rc) return rc;
    disk_file *f = find(d, name);
    /* The store makes its file by itself, on the real disk, for the mode. */
    if (!f && !(flags & SQLITE_OPEN_CREATE) && access(path, F_OK)) return SQLITE_CANTOPEN;
    if (!f) f = make(d, name);
    *of(file) = (handle){.base.pMethods = &methods, .d = d, .f = f, .delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE};
    f->open++;
    d->figures.open++;
    if (out_flags) *out_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir) {
    const char *name;
    (void)vfs, (void)sync_dir;
    disk *d = disk_of(path, &name);
    if (!d) return SQLITE_IOERR_DELETE;
    int rc = risky(d, SQLITE_IOERR_DELETE);
    if (rc) return rc;
    disk_file *f = find(d, name);
    if (!f) return SQLITE_IOERR_DELETE_NOENT;
    if (f->open) return SQLITE_IOERR_DELETE;
    drop(f);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    const char *name;
    (void)vfs, (void)flags;
    disk *d = disk_of(path, &name);
    disk_file *f = d ? find(d, name) : NULL;
    *out = f != NULL && (flags != SQLITE_ACCESS_EXISTS || f->seen.n > 0);
    return d ? call(d) : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int n, char *out) {
    (void)vfs;
    sqlite3_snprintf(n, out, "%s", path);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int n, char *out) {
    (void)vfs;
    for (int i = 0; i < n; i++) out[i] = (char)next_random(&vfs_random);
    return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
    (void)vfs;
    return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    (void)vfs;
    *out = (sqlite3_int64)(clock_ms(clock_ctx) + UINT64_C(210866760000000));
    return SQLITE_OK;
}

static int vfs_old_time(sqlite3_vfs *vfs, double *out) {
    sqlite3_int64 ms;
    vfs_time(vfs, &ms);
    *out = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *out) {
    (void)vfs, (void)n, (void)out;
    return 0;
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .mxPathname = NAME_BYTES,
    .zName = "sim",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_old_time,
    .xCurrentTimeInt64 = vfs_time,
    .xGetLastError = vfs_last_error,
};

void disk_install(uint64_t (*now_ms)(void *ctx), void *ctx) {
    clock_ms = now_ms;
    clock_ctx = ctx;
    /* One thread: neither locks nor figures of memory, which are a tenth of the time. */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    vfs_random = 1;
    sqlite3_randomness(0, NULL); /* begins anew */
    before = sqlite3_vfs_find("unix");
    vfs.szOsFile = (int)sizeof(handle) > before->szOsFile ? (int)sizeof(handle) : before->szOsFile;
    sqlite3_vfs_register(&vfs, 1);
}

void disk_uninstall(void) {
    sqlite3_vfs_unregister(&vfs);
    sqlite3_shutdown();
}

disk *disk_new(const char *name, uint64_t seed) {
    disk *d = pages_need(calloc(1, sizeof *d));
    snprintf(d->name, sizeof d->name, "%s", name);
    d->random = seed;
    for (unsigned i = 0; i < DISKS; i++) {
        if (disks[i]) continue;
        disks[i] = d;
        return d;
    }
    fputs("sim: too many disks\n", stderr);
    exit(2);
}

void disk_free(disk *d) {
    if (!d) return;
    for (unsigned i = 0; i < DISKS; i++)
        if (disks[i] == d) disks[i] = NULL;
    for (unsigned i = 0; i < FILES; i++)
        if (d->file[i].name[0]) drop(&d->file[i]);
    free(d);
}

/* ---- files from outside ---- */

static void copy_one(disk *from, const char *from_name, disk *to, const char *to_name, const char *end) {
    char a[NAME_BYTES], b[NAME_BYTES];
    snprintf(a, sizeof a, "%s%s", from_name, end);
    snprintf(b, sizeof b, "%s%s", to_name, end);
    disk_file *source = find(from, a), *target = find(to, b);
    if (target) drop(target);
    if (!source) return;
    target = make(to, b);
    source = find(from, a);
    pages_copy(&target->seen, &source->seen);
}

void disk_copy(disk *from, const char *from_name, disk *to, const char *to_name) {
    copy_one(from, from_name, to, to_name, "");
    copy_one(from, from_name, to, to_name, "-wal");
}

void disk_remove(disk *d, const char *name) {
    static const char *const ends[] = {"", "-wal", "-journal"};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[NAME_BYTES];
        snprintf(path, sizeof path, "%s%s", name, ends[i]);
        disk_file *f = find(d, path);
        if (f) drop(f);
    }
}

bool disk_has(const disk *d, const char *name) {
    return find((disk *)d, name) != NULL;
}

bool disk_beside(const char *path) {
    const char *name;
    disk *d = NULL;
    /* Of a directory of its own, too: d0/app.db-satchel/key.pem. */
    for (const char *p = path; !d && (p = strchr(p, '/')); p++) {
        char upto[NAME_BYTES];
        snprintf(upto, sizeof upto, "%.*s/", (int)(p - path), path);
        d = disk_of(upto, &name);
    }
    if (!d || !call(d)) return true;
    errno = EIO;
    return false;
}

bool disk_unlink(const char *path) {
    const char *name;
    disk *d = disk_of(path, &name);
    disk_file *f = d ? find(d, name) : NULL;
    if (f && f->open)
        f->unlinked = true;
    else if (f)
        drop(f);
    return f != NULL;
}

bool disk_file_bytes(const char *path, size_t *n) {
    const char *name;
    disk *d = disk_of(path, &name);
    disk_file *f = d ? find(d, name) : NULL;
    if (f) *n = f->seen.n;
    return f != NULL;
}

disk_figures disk_measure(const disk *d) {
    disk_figures m = d->figures;
    m.bytes = 0;
    for (unsigned i = 0; i < FILES; i++) m.bytes += d->file[i].seen.n;
    return m;
}
