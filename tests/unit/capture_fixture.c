#include "tests/unit/capture_fixture.h"

captured x;
char refusal[512];

int open_contact(void **state) {
    (void)state;
    captured_open(&x, ":memory:", CONTACT, (const char *[]){"contact", NULL});
    return 0;
}

int close_all(void **state) {
    (void)state;
    captured_close(&x);
    return 0;
}

void remove_file(void) {
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s%s", capture_file, suffixes[i]);
        unlink(path);
    }
}

int open_contact_file(void **state) {
    (void)state;
    remove_file();
    captured_open(&x, capture_file, CONTACT, (const char *[]){"contact", NULL});
    return 0;
}

int close_file(void **state) {
    close_all(state);
    remove_file();
    return 0;
}

void open_with(const char *sql, const char *table) {
    captured_open(&x, ":memory:", sql, (const char *[]){table, NULL});
}

void assert_refused(const char *sql, int code, const char *words) {
    exec_fails(x.db, sql, SQLITE_CONSTRAINT);
    snprintf(refusal, sizeof refusal, "%s", sqlite3_errmsg(x.db));
    assert_int_equal(capture_error_code(x.capture), code);
    if (!strstr(capture_error(x.capture), words)) fail_msg("\"%s\" does not say \"%s\"", capture_error(x.capture), words);
    assert_true(sqlite3_get_autocommit(x.db));
    assert_int_equal(outbox_count(&x), 0);
}

void check_says(int code, const char *text) {
    buf error = {0};
    assert_int_equal(capture_check(x.db, x.schema, &error), code);
    buf_put_byte(&error, 0);
    if (!strstr((const char *)error.p, text)) fail_msg("\"%s\" does not say \"%s\"", (const char *)error.p, text);
    buf_fini(&error);
}
