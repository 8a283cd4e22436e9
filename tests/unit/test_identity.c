/* The server's keys and certificates: made once, kept, made again when they end, refused when they do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/identity.h"

#define NOW_MS 1790000000000ull /* 2026-09-21 */
#define DAY_MS 86400000ull
#define HOSTS "localhost,127.0.0.1,::1"

typedef struct world {
    char path[64];
    datadir data;
    identity first; /* of the first opening */
    buf error;
} world;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    snprintf(w->path, sizeof w->path, "/tmp/satchel-identity.XXXXXX");
    assert_non_null(mkdtemp(w->path));
    assert_int_equal(datadir_open(w->path, &w->data, &w->error), 0);
    assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS, &w->first, &w->error), 0);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    char command[96];
    identity_close(&w->first);
    datadir_close(&w->data);
    snprintf(command, sizeof command, "rm -rf %s", w->path);
    int rc = system(command);
    buf_fini(&w->error);
    free(w);
    return rc;
}

static const char *text(const buf *b) {
    return (const char *)b->p;
}

static void remove_file(const world *w, const char *name) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", w->path, name);
    assert_int_equal(unlink(file), 0);
}

static void open_first_makes_what_fits_together(void **state) {
    world *w = *state;
    uint8_t of_cert[CRYPTO_FINGERPRINT_BYTES];
    assert_true(w->first.made_ca && w->first.made_cert);
    assert_int_equal(crypto_fingerprint(text(&w->first.cert), of_cert), 0);
    assert_memory_equal(of_cert, w->first.pin, sizeof of_cert);
    uint64_t end_ms;
    assert_int_equal(crypto_not_after(text(&w->first.cert), &end_ms), 0);
    assert_in_range(end_ms, NOW_MS + (IDENTITY_SERVER_DAYS - 1) * DAY_MS, NOW_MS + (IDENTITY_SERVER_DAYS + 1) * DAY_MS);
}

static void open_again_changes_nothing(void **state) {
    world *w = *state;
    identity id;
    assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS + DAY_MS, &id, &w->error), 0);
    assert_false(id.made_ca || id.made_cert);
    assert_string_equal(text(&id.cert), text(&w->first.cert));
    assert_string_equal(text(&id.ca_cert), text(&w->first.ca_cert));
    identity_close(&id);
}

static void open_with_other_names_makes_the_certificate_again_from_the_same_key(void **state) {
    world *w = *state;
    identity id;
    assert_int_equal(identity_open(&w->data, HOSTS ",crm.example.test", NOW_MS, &id, &w->error), 0);
    assert_true(id.made_cert);
    assert_false(id.made_ca);
    assert_memory_equal(id.pin, w->first.pin, sizeof id.pin);
    assert_string_not_equal(text(&id.cert), text(&w->first.cert));
    identity_close(&id);
}

static void open_near_the_end_renews_from_the_same_keys(void **state) {
    world *w = *state;
    identity id;
    uint64_t late_ms = NOW_MS + (IDENTITY_SERVER_DAYS - IDENTITY_SERVER_RENEW_DAYS + 1) * DAY_MS, end_ms;
    assert_int_equal(identity_open(&w->data, HOSTS, late_ms, &id, &w->error), 0);
    assert_true(id.made_cert);
    assert_false(id.made_ca);
    assert_memory_equal(id.pin, w->first.pin, sizeof id.pin);
    assert_int_equal(crypto_not_after(text(&id.cert), &end_ms), 0);
    assert_true(end_ms > late_ms + (IDENTITY_SERVER_DAYS - 1) * DAY_MS);
    identity_close(&id);
    late_ms = NOW_MS + (IDENTITY_CA_DAYS - IDENTITY_CA_RENEW_DAYS + 1ull) * DAY_MS;
    assert_int_equal(identity_open(&w->data, HOSTS, late_ms, &id, &w->error), 0);
    assert_true(id.made_ca && id.made_cert);
    assert_string_equal(text(&id.ca_key), text(&w->first.ca_key));
    identity_close(&id);
}

static void open_after_a_crash_between_key_and_certificate_goes_on(void **state) {
    world *w = *state;
    identity id;
    remove_file(w, "server.crt");
    remove_file(w, "server.hosts");
    assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS, &id, &w->error), 0);
    assert_memory_equal(id.pin, w->first.pin, sizeof id.pin);
    identity_close(&id);
}

static void open_without_the_key_of_a_certificate_is_refused_in_words(void **state) {
    world *w = *state;
    identity id;
    remove_file(w, "ca.key");
    assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS, &id, &w->error), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(text(&w->error), "ca.crt"));
    assert_non_null(strstr(text(&w->error), "restore both"));
}

static void open_with_the_key_of_another_is_refused_in_words(void **state) {
    world *w = *state;
    identity id;
    assert_int_equal(datadir_write(&w->data, "server.key", w->first.ca_key.p, strlen(text(&w->first.ca_key)), &w->error), 0);
    assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS, &id, &w->error), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(text(&w->error), "server.crt"));
    assert_non_null(strstr(text(&w->error), "another key"));
}

static void open_with_damaged_files_is_refused_in_words(void **state) {
    static const char *const files[] = {"ca.key", "ca.crt", "server.key", "server.crt"};
    world *w = *state;
    identity id;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        buf before = {0};
        assert_int_equal(datadir_read(&w->data, files[i], false, &before, &w->error), 0);
        assert_int_equal(datadir_write(&w->data, files[i], "garbage", 7, &w->error), 0);
        buf_clear(&w->error);
        assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS, &id, &w->error), SATCHEL_E_CERTIFICATE);
        assert_non_null(strstr(text(&w->error), files[i]));
        assert_int_equal(datadir_write(&w->data, files[i], before.p, before.n, &w->error), 0);
        buf_fini(&before);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(open_first_makes_what_fits_together),
        CASE(open_again_changes_nothing),
        CASE(open_with_other_names_makes_the_certificate_again_from_the_same_key),
        CASE(open_near_the_end_renews_from_the_same_keys),
        CASE(open_after_a_crash_between_key_and_certificate_goes_on),
        CASE(open_without_the_key_of_a_certificate_is_refused_in_words),
        CASE(open_with_the_key_of_another_is_refused_in_words),
        CASE(open_with_damaged_files_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
