/* The data directory: made, locked, refused when it is somebody's; files read and replaced whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/datadir.h"

typedef struct place {
    char base[64], path[96];
    buf error;
} place;

static int make_place(void **state) {
    place *p = calloc(1, sizeof *p);
    snprintf(p->base, sizeof p->base, "/tmp/satchel-datadir.XXXXXX");
    assert_non_null(mkdtemp(p->base));
    snprintf(p->path, sizeof p->path, "%s/data", p->base);
    *state = p;
    return 0;
}

static int drop_place(void **state) {
    place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", p->base);
    int rc = system(command);
    buf_fini(&p->error);
    free(p);
    return rc;
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void open_missing_is_made_for_the_owner_alone(void **state) {
    place *p = *state;
    datadir d;
    assert_int_equal(datadir_open(p->path, &d, &p->error), 0);
    assert_int_equal(mode_of(p->path), 0700);
    datadir_close(&d);
    assert_int_equal(datadir_open(p->path, &d, &p->error), 0);
    datadir_close(&d);
}

static void open_twice_is_refused_as_busy(void **state) {
    place *p = *state;
    datadir first, second;
    assert_int_equal(datadir_open(p->path, &first, &p->error), 0);
    assert_int_equal(datadir_open(p->path, &second, &p->error), SATCHEL_E_BUSY);
    assert_non_null(strstr((const char *)p->error.p, "another server"));
    datadir_close(&first);
    assert_int_equal(datadir_open(p->path, &second, &p->error), 0);
    datadir_close(&second);
}

static void open_of_a_directory_with_foreign_files_is_refused(void **state) {
    place *p = *state;
    datadir d;
    char file[128];
    assert_int_equal(mkdir(p->path, 0700), 0);
    snprintf(file, sizeof file, "%s/letter.txt", p->path);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(datadir_open(p->path, &d, &p->error), SATCHEL_E_FOREIGN_FILE);
    assert_non_null(strstr((const char *)p->error.p, "not empty"));
}

static void open_of_a_directory_that_others_write_is_refused(void **state) {
    place *p = *state;
    datadir d;
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(chmod(p->path, 0777), 0);
    assert_int_equal(datadir_open(p->path, &d, &p->error), SATCHEL_E_FOREIGN_FILE);
    assert_non_null(strstr((const char *)p->error.p, "chmod 700"));
}

static void open_below_a_file_is_refused_in_words(void **state) {
    place *p = *state;
    datadir d;
    FILE *f = fopen(p->path, "w");
    assert_non_null(f);
    fclose(f);
    assert_true(datadir_open(p->path, &d, &p->error) < 0);
    assert_non_null(strstr((const char *)p->error.p, p->path));
}

static void write_then_read_gives_the_newest_text(void **state) {
    place *p = *state;
    datadir d;
    buf text = {0};
    char file[128];
    assert_int_equal(datadir_open(p->path, &d, &p->error), 0);
    assert_int_equal(datadir_read(&d, "note", false, &text, &p->error), SATCHEL_E_NOT_FOUND);
    assert_int_equal(datadir_write(&d, "note", "one", 3, &p->error), 0);
    assert_int_equal(datadir_write(&d, "note", "two!", 4, &p->error), 0);
    assert_int_equal(datadir_read(&d, "note", true, &text, &p->error), 0);
    assert_int_equal(text.n, 4);
    assert_string_equal((const char *)text.p, "two!");
    snprintf(file, sizeof file, "%s/note", p->path);
    assert_int_equal(mode_of(file), 0600);
    snprintf(file, sizeof file, "%s/note.new", p->path);
    assert_int_equal(access(file, F_OK), -1);
    buf_fini(&text);
    datadir_close(&d);
}

static void read_of_a_secret_that_others_may_read_is_refused(void **state) {
    place *p = *state;
    datadir d;
    buf text = {0};
    char file[128];
    assert_int_equal(datadir_open(p->path, &d, &p->error), 0);
    assert_int_equal(datadir_write(&d, "key", "k", 1, &p->error), 0);
    snprintf(file, sizeof file, "%s/key", p->path);
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(datadir_read(&d, "key", true, &text, &p->error), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr((const char *)p->error.p, "0640"));
    assert_int_equal(datadir_read(&d, "key", false, &text, &p->error), 0);
    buf_fini(&text);
    datadir_close(&d);
}

static void read_over_the_limit_is_refused(void **state) {
    place *p = *state;
    datadir d;
    buf text = {0};
    size_t n = 100000;
    char *big = malloc(n);
    memset(big, 'x', n);
    assert_int_equal(datadir_open(p->path, &d, &p->error), 0);
    assert_int_equal(datadir_write(&d, "big", big, n, &p->error), 0);
    assert_int_equal(datadir_read(&d, "big", false, &text, &p->error), SATCHEL_E_LIMIT);
    free(big);
    buf_fini(&text);
    datadir_close(&d);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_place, drop_place)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(open_missing_is_made_for_the_owner_alone),
        CASE(open_twice_is_refused_as_busy),
        CASE(open_of_a_directory_with_foreign_files_is_refused),
        CASE(open_of_a_directory_that_others_write_is_refused),
        CASE(open_below_a_file_is_refused_in_words),
        CASE(write_then_read_gives_the_newest_text),
        CASE(read_of_a_secret_that_others_may_read_is_refused),
        CASE(read_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
