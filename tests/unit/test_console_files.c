/* The console's page as it is served: what was read at the start, and nothing else. */
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
#include "server/console_files.h"

typedef struct world {
    char dir[64], page[96];
    console_files *files;
} world;

static void write_file(const char *dir, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void make_dir(const char *dir, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    buf error = {0};
    strcpy(w->dir, "/tmp/satchel-console-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->page, sizeof w->page, "%s/page", w->dir);
    make_dir(w->dir, "page");
    make_dir(w->page, "views");
    write_file(w->dir, "secret.txt", "not of the page");
    write_file(w->page, "index.html", "<!doctype html>");
    write_file(w->page, "app.js", "plain");
    write_file(w->page, "app.js.gz", "packed");
    write_file(w->page, "views/one.js", "one");
    write_file(w->page, "only.css.gz", "packed alone");
    write_file(w->page, ".hidden.js", "hidden");
    assert_int_equal(console_files_open(w->page, &w->files, &error), 0);
    buf_fini(&error);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    char command[128];
    console_files_free(w->files);
    snprintf(command, sizeof command, "rm -r '%s'", w->dir);
    int status = system(command);
    free(w);
    return status;
}

static bool serve(const world *w, const char *path, const char *encoding, const char *etag, http_answer *out) {
    http_request r = {.method = HTTP_GET, .path = path, .accept_encoding = encoding, .if_none_match = etag};
    *out = (http_answer){0};
    return console_files_serve(w->files, &r, out);
}

static void expect(const world *w, const char *path, const char *encoding, const char *type, const char *body) {
    http_answer a;
    assert_true(serve(w, path, encoding, "", &a));
    assert_int_equal(a.status, 200);
    assert_string_equal(a.type, type);
    assert_int_equal(a.body.n, strlen(body));
    assert_memory_equal(a.body.p, body, a.body.n);
    assert_true(a.page);
    buf_fini(&a.body);
}

static void files_are_served_by_their_names_with_their_types(void **state) {
    const world *w = *state;
    expect(w, "/", "", "text/html; charset=utf-8", "<!doctype html>");
    expect(w, "/console", "", "text/html; charset=utf-8", "<!doctype html>");
    expect(w, "/console/", "gzip", "text/html; charset=utf-8", "<!doctype html>");
    expect(w, "/console/app.js", "", "text/javascript; charset=utf-8", "plain");
    expect(w, "/console/views/one.js", "gzip", "text/javascript; charset=utf-8", "one");
}

static void compressed_is_served_where_the_browser_takes_it(void **state) {
    const world *w = *state;
    http_answer a;
    expect(w, "/console/app.js", "br, gzip;q=0.5", "text/javascript; charset=utf-8", "packed");
    assert_true(serve(w, "/console/app.js", "gzip", "", &a));
    assert_string_equal(a.encoding, "gzip");
    buf_fini(&a.body);
    assert_true(serve(w, "/console/app.js", "br", "", &a));
    assert_null(a.encoding);
    buf_fini(&a.body);
}

static void a_file_that_the_browser_has_is_304_of_either_form(void **state) {
    const world *w = *state;
    http_answer plain, packed, again;
    assert_true(serve(w, "/console/app.js", "", "", &plain));
    assert_true(serve(w, "/console/app.js", "gzip", "", &packed));
    assert_string_not_equal(plain.etag, packed.etag);
    assert_true(serve(w, "/console/app.js", "", plain.etag, &again));
    assert_int_equal(again.status, 304);
    assert_int_equal(again.body.n, 0);
    assert_true(serve(w, "/console/app.js", "gzip", plain.etag, &again));
    assert_int_equal(again.status, 200);
    buf_fini(&plain.body);
    buf_fini(&packed.body);
    buf_fini(&again.body);
}

static void whatever_was_not_read_is_not_there(void **state) {
    static const char *const paths[] = {"/console/../secret.txt",
                                        "/console/views/../../secret.txt",
                                        "/console//app.js",
                                        "/console/./app.js",
                                        "/console/views",
                                        "/console/views/",
                                        "/console/.hidden.js",
                                        "/console/only.css",
                                        "/console/only.css.gz",
                                        "/console/app.js.gz",
                                        "/consoleapp.js",
                                        "/app.js",
                                        ""};
    http_answer a;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (serve(*state, paths[i], "gzip", "", &a)) fail_msg("%s is served", paths[i]);
    assert_false(console_files_serve(NULL, &(http_request){.path = "/"}, &a));
}

static void a_directory_without_a_page_is_refused_in_words(void **state) {
    const world *w = *state;
    console_files *none;
    buf error = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/views", w->page);
    assert_int_equal(console_files_open(path, &none, &error), SATCHEL_E_NOT_FOUND);
    assert_non_null(strstr((const char *)error.p, "index.html"));
    buf_clear(&error);
    snprintf(path, sizeof path, "%s/nowhere", w->dir);
    assert_int_equal(console_files_open(path, &none, &error), SATCHEL_E_IO);
    assert_non_null(strstr((const char *)error.p, "nowhere"));
    assert_null(none);
    buf_fini(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_served_by_their_names_with_their_types, make_world, drop_world),
        cmocka_unit_test_setup_teardown(compressed_is_served_where_the_browser_takes_it, make_world, drop_world),
        cmocka_unit_test_setup_teardown(a_file_that_the_browser_has_is_304_of_either_form, make_world, drop_world),
        cmocka_unit_test_setup_teardown(whatever_was_not_read_is_not_there, make_world, drop_world),
        cmocka_unit_test_setup_teardown(a_directory_without_a_page_is_refused_in_words, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
