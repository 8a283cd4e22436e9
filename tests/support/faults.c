#include "tests/support/faults.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <cmocka.h>

/* ---- memory ---- */

static unsigned countdown;
static bool for_ever, happened;

static bool is_due(void) {
    if (countdown == 0 || (countdown > 1 && --countdown)) return false;
    if (!for_ever) countdown = 0;
    happened = true;
    return true;
}

void faults_at(unsigned n, bool all) {
    countdown = n;
    for_ever = all;
    if (n) happened = false;
}

bool faults_happened(void) {
    return happened;
}

bool faults_next(fault_loop *l) {
    if (l->n && !happened) {
        if (l->all) return false;
        *l = (fault_loop){.all = true};
    }
    l->n++;
    happened = false;
    return true;
}

/* The linker gives these the calls, and the real functions as __real_ (--wrap). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n) {
    return is_due() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n) {
    return is_due() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n) {
    return is_due() ? NULL : __real_realloc(p, n);
}

/* ---- SQLite's memory ---- */

static sqlite3_mem_methods real;
static bool sqlite_too = true;

static void *faulty_malloc(int n) {
    return sqlite_too && is_due() ? NULL : real.xMalloc(n);
}

static void *faulty_realloc(void *p, int n) {
    return sqlite_too && is_due() ? NULL : real.xRealloc(p, n);
}

void faults_of_sqlite(bool on) {
    sqlite_too = on;
}

void faults_install(void) {
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real), SQLITE_OK);
    sqlite3_mem_methods mine = real;
    mine.xMalloc = faulty_malloc;
    mine.xRealloc = faulty_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &mine), SQLITE_OK);
}

/* ---- SQLite's calls ---- */

static unsigned prepares, steps, writes;

static void set(unsigned *calls, unsigned n) {
    *calls = n;
    if (n) happened = false;
}

void faults_at_prepare(unsigned n) {
    set(&prepares, n);
}

void faults_at_step(unsigned n) {
    set(&steps, n);
}

int __real_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **out, const char **tail);
int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **out, const char **tail);
int __real_sqlite3_step(sqlite3_stmt *stmt);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_step(sqlite3_stmt *stmt);

int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **out, const char **tail) {
    if (!prepares || --prepares) return __real_sqlite3_prepare_v3(db, sql, n, flags, out, tail);
    bool too = sqlite_too;
    sqlite_too = true;
    faults_at(1, true);
    int rc = __real_sqlite3_prepare_v3(db, sql, n, flags, out, tail);
    faults_at(0, false);
    sqlite_too = too;
    return rc;
}

int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **out, const char **tail) {
    return __wrap_sqlite3_prepare_v3(db, sql, n, 0, out, tail);
}

static int interrupt(void *ctx) {
    (void)ctx;
    return 1;
}

/* SQLite tells of an interrupt after the end of a transaction, as if it had not ended. */
static bool ends_transaction(sqlite3_stmt *stmt) {
    const char *sql = sqlite3_sql(stmt);
    return sql && (sqlite3_strnicmp(sql, "COMMIT", 6) == 0 || sqlite3_strnicmp(sql, "ROLLBACK", 8) == 0);
}

int __wrap_sqlite3_step(sqlite3_stmt *stmt) {
    if (!steps || !stmt || ends_transaction(stmt) || --steps) return __real_sqlite3_step(stmt);
    sqlite3 *db = sqlite3_db_handle(stmt);
    sqlite3_progress_handler(db, 1, interrupt, NULL);
    happened = true;
    int rc = __real_sqlite3_step(stmt);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return rc;
}

/* SQLite's VFS for unix takes its system calls from a table that can be changed. */
static ssize_t (*real_pwrite)(int fd, const void *p, size_t n, off_t at);

static ssize_t faulty_pwrite(int fd, const void *p, size_t n, off_t at) {
    if (!writes || --writes) return real_pwrite(fd, p, n, at);
    happened = true;
    errno = EIO;
    return -1;
}

static void take_writes(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const char *name = vfs->xGetSystemCall(vfs, "pwrite64") ? "pwrite64" : "pwrite";
    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, name);
    assert_non_null(real_pwrite);
    assert_int_equal(vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)faulty_pwrite), SQLITE_OK);
}

void faults_at_write(unsigned n) {
    if (!real_pwrite) take_writes();
    set(&writes, n);
}

/* ---- system calls ---- */

static struct {
    unsigned times;
    int error;
} calls[FAULT_CALLS];

void faults_of_call(fault_call call, unsigned times, int error) {
    calls[call].times = times;
    calls[call].error = error;
}

static bool call_fails(fault_call call) {
    if (!calls[call].times) return false;
    calls[call].times--;
    errno = calls[call].error;
    return true;
}

/* By the names that a file offset of 64 bits gives them. */
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
void *__real_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_mkostemp64(char *path, int flags);
int __real_getentropy(void *p, size_t n);
int __real_memfd_create(const char *name, unsigned flags);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __wrap_mkostemp64(char *path, int flags);
int __wrap_getentropy(void *p, size_t n);
int __wrap_memfd_create(const char *name, unsigned flags);

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at) {
    if (!call_fails(FAULT_PWRITE)) return __real_pwrite64(fd, p, n, at);
    return errno ? -1 : __real_pwrite64(fd, p, 1, at);
}

void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    return call_fails(FAULT_MMAP) ? MAP_FAILED : __real_mmap64(at, n, protection, flags, fd, offset);
}

int __wrap_mkostemp64(char *path, int flags) {
    return call_fails(FAULT_MKOSTEMP) ? -1 : __real_mkostemp64(path, flags);
}

int __wrap_getentropy(void *p, size_t n) {
    return call_fails(FAULT_GETENTROPY) ? -1 : __real_getentropy(p, n);
}

int __wrap_memfd_create(const char *name, unsigned flags) {
    return call_fails(FAULT_MEMFD) ? -1 : __real_memfd_create(name, flags);
}
