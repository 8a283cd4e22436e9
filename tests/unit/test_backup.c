/* Backups as files: whole and private, or not there. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/backup.h"
#include "tests/support/serving.h"

static const char FIRST[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT);\nINSERT INTO satchel_table(name) VALUES('item');\n";

typedef struct world {
    serving v;
    char target[128];
    bundle made;
    buf error;
} world;

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    serving_open(&w->v, FIRST, NULL);
    device d = serving_device(&w->v, "phone");
    assert_int_equal(push(&w->v, &d, 0, 0, "+ item(1) a='x'; + item(2)"), SATCHEL_OK);
    serving_write(&w->v, "ca.key", "a secret");
    serving_write(&w->v, "server.hosts", "localhost");
    snprintf(w->target, sizeof w->target, "%s/backup", w->v.dir);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    buf_fini(&w->error);
    serving_fini(&w->v);
    free(w);
    return 0;
}

static int make(world *w, bool replace, const progress *watch) {
    backup_request r = {.data = w->v.dir, .target = w->target, .replace = replace, .now_ms = 1790000000000ull};
    buf_clear(&w->error);
    return backup_make(&r, watch, &w->made, &w->error);
}

static bool says(const world *w, const char *words) {
    return w->error.n && strstr((const char *)w->error.p, words);
}

/* Entries of the data directory whose names begin so. */
static unsigned entries(const world *w, const char *begin) {
    unsigned n = 0;
    DIR *d = opendir(w->v.dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) n += !strncmp(e->d_name, begin, strlen(begin));
    closedir(d);
    return n;
}

static void backup_has_the_store_as_of_one_commit_and_the_keys(void **state) {
    world *w = *state;
    assert_int_equal(make(w, false, NULL), SATCHEL_OK);
    assert_int_equal(w->made.seq, 1);
    assert_int_equal(w->made.n, 3);
    bundle_dir d = {.fd = open(w->target, O_RDONLY | O_DIRECTORY), .path = w->target};
    bundle b;
    assert_int_equal(bundle_read_manifest(d, &b, &w->error), SATCHEL_OK);
    assert_memory_equal(&b, &w->made, sizeof b);
    assert_int_equal(bundle_check(d, &b, NULL, &w->error), SATCHEL_OK);
    struct stat st;
    for (unsigned i = 0; i < b.n; i++) {
        assert_int_equal(fstatat(d.fd, b.file[i].name, &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    close(d.fd);
    assert_int_equal(entries(w, "backup"), 1);
    char command[300];
    snprintf(command, sizeof command, "cp %s/store.db %s/copy.db", w->target, w->v.dir);
    assert_int_equal(system(command), 0);
    serving_close(&w->v);
    snprintf(w->v.path, sizeof w->v.path, "%s/copy.db", w->v.dir);
    serving_reopen(&w->v);
    assert_string_equal(sql(&w->v, "SELECT id,a FROM item"), "1|x ; 2|NULL");
}

static bool give_up_later(void *ctx, const char *what, uint64_t done, uint64_t total) {
    (void)done, (void)total;
    const char *until = ctx;
    return strcmp(what, until) != 0;
}

static void backup_that_is_given_up_leaves_nothing(void **state) {
    world *w = *state;
    char copying[] = "copying", checking[] = "checking";
    /* More than one step of the copy. */
    sql_exec(&w->v, "INSERT INTO satchel_event(at_ms,kind,text) VALUES(1,'x',hex(randomblob(3000000)))");
    assert_int_equal(make(w, false, &(progress){.tell = give_up_later, .ctx = copying}), SATCHEL_E_CLOSED);
    assert_int_equal(entries(w, "backup"), 0);
    assert_int_equal(make(w, false, &(progress){.tell = give_up_later, .ctx = checking}), SATCHEL_E_CLOSED);
    assert_int_equal(entries(w, "backup"), 0);
    assert_int_equal(make(w, false, NULL), SATCHEL_OK);
    /* Neither does one that should have replaced it. */
    assert_int_equal(make(w, true, &(progress){.tell = give_up_later, .ctx = checking}), SATCHEL_E_CLOSED);
    assert_int_equal(entries(w, "backup"), 1);
}

static int again_rc;
static bool once_more(void *ctx, const char *what, uint64_t done, uint64_t total) {
    (void)what, (void)done, (void)total;
    world other = *(world *)ctx;
    other.error = (buf){0};
    snprintf(other.target, sizeof other.target, "%s/other", other.v.dir);
    again_rc = make(&other, false, NULL);
    buf_fini(&other.error);
    return true;
}

static void backup_while_another_is_made_is_busy(void **state) {
    world *w = *state;
    assert_int_equal(make(w, false, &(progress){.tell = once_more, .ctx = w}), SATCHEL_OK);
    assert_int_equal(again_rc, SATCHEL_E_BUSY);
    assert_int_equal(entries(w, "other"), 0);
}

static void backup_of_a_damaged_store_is_refused_in_words(void **state) {
    world *w = *state;
    sql_exec(&w->v, "CREATE INDEX item_a ON item(a)");
    sql_exec(&w->v,
             "PRAGMA writable_schema=1; UPDATE sqlite_schema SET rootpage=(SELECT rootpage FROM sqlite_schema WHERE name='item')"
             " WHERE name='item_a'; PRAGMA writable_schema=0");
    assert_int_equal(make(w, false, NULL), SATCHEL_E_CORRUPT);
    assert_true(says(w, "satchelctl verify"));
    assert_int_equal(entries(w, "backup"), 0);
}

static void backup_without_room_says_how_much_is_needed(void **state) {
    world *w = *state;
    backup_request r = {.data = w->v.dir, .target = w->target, .reserve = UINT64_C(1) << 60};
    assert_int_equal(backup_make(&r, NULL, &w->made, &w->error), SATCHEL_E_FULL);
    assert_true(says(w, "are needed"));
    assert_int_equal(entries(w, "backup"), 0);
}

static void manifest_that_names_other_files_is_not_taken(void **state) {
    world *w = *state;
    bundle b;
    bundle_dir d = {.fd = open(w->v.dir, O_RDONLY | O_DIRECTORY), .path = w->v.dir};
    static const char escaping[] =
        "{\"satchel_backup\":1,\"version\":\"1\",\"made_ms\":1,\"epoch\":\"0102030405060708\",\"seq\":1,\"schema_epoch\":1,\"files\":["
        "{\"name\":\"../store.db\",\"bytes\":1,\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\"}]}";
    static const char *const bad[] = {"", "[]", "{}", "{\"satchel_backup\":1}", escaping};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        serving_write(&w->v, BUNDLE_MANIFEST, bad[i]);
        assert_int_equal(bundle_read_manifest(d, &b, &w->error), SATCHEL_E_CORRUPT);
    }
    serving_write(&w->v, BUNDLE_MANIFEST, "{\"satchel_backup\":2}");
    assert_int_equal(bundle_read_manifest(d, &b, &w->error), SATCHEL_E_NEWER_FILE);
    close(d.fd);
}

static void split_takes_the_last_name(void **state) {
    (void)state;
    static const char *const paths[][3] = {{"/a/b/c", "/a/b", "c"}, {"c", ".", "c"}, {"/c/", "/", "c"}, {"a/c//", "a", "c"}};
    char dir[1024], name[256];
    buf error = {0};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(bundle_split(paths[i][0], dir, name, &error), SATCHEL_OK);
        assert_string_equal(dir, paths[i][1]);
        assert_string_equal(name, paths[i][2]);
    }
    assert_int_equal(bundle_split("/", dir, name, &error), SATCHEL_E_MISUSE);
    assert_int_equal(bundle_split("a/..", dir, name, &error), SATCHEL_E_MISUSE);
    buf_fini(&error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(backup_has_the_store_as_of_one_commit_and_the_keys),
        TEST(backup_that_is_given_up_leaves_nothing),
        TEST(backup_while_another_is_made_is_busy),
        TEST(backup_of_a_damaged_store_is_refused_in_words),
        TEST(backup_without_room_says_how_much_is_needed),
        TEST(manifest_that_names_other_files_is_not_taken),
        TEST(split_takes_the_last_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
