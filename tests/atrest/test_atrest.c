/* An encrypted file through satchel_open: which key opens it, what the others are told, and that nothing of it lies anywhere in the clear. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/limits.h"
#include "replica/satchel.h"

static char dir[64], path[96];
static const unsigned char KEY[32] = {1, 2, 0, 4, 5, 6, 7, 0, 0, 0, 255, 254, 10, 13, 0, 39, [31] = 7};

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "%s/satchel-atrest-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/db", dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static satchel *open_with(const void *key, size_t n) {
    satchel *s;
    satchel_options o = {.size = sizeof o, .key = key, .key_bytes = n};
    if (satchel_open(path, &o, &s)) fail_msg("%s", satchel_errmsg(s));
    return s;
}

static void run(satchel *s, const char *sql) {
    if (sqlite3_exec(satchel_db(s), sql, NULL, NULL, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(satchel_db(s)));
}

static int integer(satchel *s, const char *sql) {
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(satchel_db(s), sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int n = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void assert_refused(const void *key, size_t n, int rc, const char *words) {
    satchel *s;
    satchel_options o = {.size = sizeof o, .key = key, .key_bytes = n};
    assert_int_equal(satchel_open(path, &o, &s), rc);
    assert_int_equal(satchel_errcode(s), rc);
    if (!strstr(satchel_errmsg(s), words)) fail_msg("%s", satchel_errmsg(s));
    assert_non_null(strstr(satchel_errmsg(s), path));
    assert_null(satchel_db(s));
    satchel_close(s);
}

static void open_with_any_other_key_is_refused_in_words(void **state) {
    (void)state;
    unsigned char other[33] = {0};
    satchel *s = open_with(KEY, sizeof KEY);
    run(s, "CREATE TABLE mine(a); INSERT INTO mine VALUES(5)");
    satchel_close(s);
    memcpy(other, KEY, sizeof KEY);
    other[32] = 1; /* a zero would not count: HMAC fills keys up with zeros */
    assert_refused(other, 33, SATCHEL_E_KEY, "the key that was given does not open it");
    assert_refused(other, 31, SATCHEL_E_KEY, "the key that was given does not open it");
    other[31] ^= 1;
    assert_refused(other, 32, SATCHEL_E_KEY, "the key that was given does not open it");
    assert_refused(NULL, 0, SATCHEL_E_KEY, "it is encrypted, and no key was given");
    s = open_with(KEY, sizeof KEY);
    assert_int_equal(integer(s, "SELECT a FROM mine"), 5);
    satchel_close(s);
}

static void open_plain_file_with_a_key_is_refused_and_leaves_it(void **state) {
    (void)state;
    satchel *s = open_with(NULL, 0);
    satchel_close(s);
    assert_refused(KEY, sizeof KEY, SATCHEL_E_KEY, "it is not encrypted, and a key was given");
    s = open_with(NULL, 0);
    satchel_close(s);
}

static void open_with_no_possible_key_makes_nothing(void **state) {
    (void)state;
    static const unsigned char long_key[LIMIT_FILE_KEY_BYTES + 1] = {1};
    assert_refused(long_key, sizeof long_key, SATCHEL_E_MISUSE, "a key has 1 to 4096 bytes");
    assert_refused(NULL, 5, SATCHEL_E_MISUSE, "a key has 1 to 4096 bytes");
    assert_int_not_equal(access(path, F_OK), 0);
    satchel_close(open_with(long_key, LIMIT_FILE_KEY_BYTES));
    satchel_close(open_with(long_key, LIMIT_FILE_KEY_BYTES));
}

/* Commits in a process that is killed, so that the pages are in the WAL alone. */
static void leave_in_wal(const char *sql) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run(open_with(KEY, sizeof KEY), sql);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void wrong_key_leaves_what_is_in_the_wal_alone(void **state) {
    (void)state;
    unsigned char other[32] = {9};
    satchel_close(open_with(KEY, sizeof KEY));
    leave_in_wal("CREATE TABLE mine(a); WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM i WHERE n<2000)"
                 "INSERT INTO mine SELECT hex(randomblob(200)) FROM i");
    assert_refused(other, sizeof other, SATCHEL_E_KEY, "does not open it");
    assert_refused(NULL, 0, SATCHEL_E_KEY, "it is encrypted");
    satchel *s = open_with(KEY, sizeof KEY);
    char *report = NULL;
    assert_int_equal(integer(s, "SELECT count(*) FROM mine"), 2000);
    assert_int_equal(satchel_verify(s, &report), SATCHEL_OK);
    sqlite3_free(report);
    satchel_close(s);
}

static void changed_page_is_found_to_be_damaged(void **state) {
    (void)state;
    satchel *s = open_with(KEY, sizeof KEY);
    run(s, "CREATE TABLE mine(a); INSERT INTO mine VALUES(randomblob(100000)); PRAGMA wal_checkpoint(TRUNCATE)");
    satchel_close(s);
    int fd = open(path, O_RDWR);
    off_t end = lseek(fd, -1000, SEEK_END);
    unsigned char byte = 0;
    assert_true(end > 0 && pread(fd, &byte, 1, end) == 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, end), 1);
    close(fd);
    s = open_with(KEY, sizeof KEY);
    assert_int_not_equal(sqlite3_exec(satchel_db(s), "SELECT sum(length(hex(a))) FROM mine", NULL, NULL, NULL), SQLITE_OK);
    satchel_close(s);
}

/* Names of this process's open files that hold `part`. */
static int open_files(const char *part) {
    int n = 0;
    for (int fd = 3; fd < 256; fd++) {
        char link[32], target[256];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t got = readlink(link, target, sizeof target - 1);
        if (got < 0) continue;
        target[got] = 0;
        n += strstr(target, part) != NULL;
    }
    return n;
}

static void large_transaction_and_vacuum_leave_no_temporary_file_C7(void **state) {
    (void)state;
    satchel *s = open_with(KEY, sizeof KEY);
    static const char big[] = "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM i WHERE n<8000)";
    char sql[512];
    run(s, "CREATE TABLE mine(a, b)");
    snprintf(sql, sizeof sql,
             "BEGIN; %s INSERT INTO mine SELECT n, randomblob(500) FROM i; SAVEPOINT x; UPDATE mine SET b=randomblob(600)", big);
    run(s, sql);
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(satchel_db(s), "SELECT b FROM mine ORDER BY b", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(open_files("(deleted)"), open_files("memfd:"));
    assert_int_equal(open_files("etilqs"), 0);
    sqlite3_finalize(q);
    run(s, "COMMIT; VACUUM");
    assert_int_equal(integer(s, "SELECT count(*) FROM mine"), 8000);
    satchel_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
        T(open_with_any_other_key_is_refused_in_words), T(open_plain_file_with_a_key_is_refused_and_leaves_it),
        T(open_with_no_possible_key_makes_nothing),     T(wrong_key_leaves_what_is_in_the_wal_alone),
        T(changed_page_is_found_to_be_damaged),         T(large_transaction_and_vacuum_leave_no_temporary_file_C7),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
