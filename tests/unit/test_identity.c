/* The server's keys and certificates: made once, kept, made again when they end, refused when they do not fit. */
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

static void open_again_with_another_authority_is_refused_in_words(void **state) {
    world *w = *state;
    identity id;
    assert_int_equal(identity_open_again(&w->data, HOSTS, NOW_MS, &w->first, &id, &w->error), 0);
    identity_close(&id);
    remove_file(w, "ca.key");
    remove_file(w, "ca.crt");
    assert_int_equal(identity_open_again(&w->data, HOSTS, NOW_MS, &w->first, &id, &w->error), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(text(&w->error), "another device authority"));
}

/* ---- another authority ---- */

static void write_pem(const world *w, const char *name, const buf *pem, char path[128]) {
    snprintf(path, 128, "%s.%s", w->path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text(pem), f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* By another's judgement. */
static bool is_signed_by(const world *w, const buf *cert, const buf *authority) {
    char leaf[128], ca[128], command[700];
    write_pem(w, "leaf", cert, leaf);
    write_pem(w, "ca", authority, ca);
    snprintf(command, sizeof command, "openssl verify -no_check_time -CAfile %s %s >/dev/null 2>&1; s=$?; rm -f %s %s; exit $s",
             ca, leaf, ca, leaf);
    return !system(command);
}

/* A device's certificate by `id` was signed by this authority. */
static void assert_signs(const world *w, const identity *id, const buf *authority) {
    buf key = {0}, csr = {0}, cert = {0};
    assert_int_equal(crypto_make_key(&key), 0);
    assert_int_equal(crypto_make_csr(text(&key), "phone", &csr), 0);
    assert_int_equal(identity_sign(id, text(&csr), "phone", NOW_MS, 30, &cert), 0);
    assert_true(is_signed_by(w, &cert, authority));
    buf_fini(&key);
    buf_fini(&csr);
    buf_fini(&cert);
}

static void assert_trusts(const identity *id, unsigned n) {
    buf pem = {0};
    unsigned found = 0;
    identity_trust(id, &pem);
    for (const char *p = text(&pem); (p = strstr(p, "BEGIN CERTIFICATE")); p++) found++;
    assert_int_equal(found, n);
    buf_fini(&pem);
}

static bool is_there(const world *w, const char *name) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", w->path, name);
    return !access(file, F_OK);
}

static void open_now(world *w, identity *id) {
    buf_clear(&w->error);
    int rc = identity_open_again(&w->data, HOSTS, NOW_MS, &w->first, id, &w->error);
    if (rc) fail_msg("%d %s", rc, text(&w->error));
}

static void rotate_signs_devices_by_the_new_and_shows_what_the_old_signed(void **state) {
    world *w = *state;
    identity id;
    buf first = {0}, second = {0};
    assert_int_equal(identity_rotate(&w->data, NOW_MS, &w->error), 0);
    open_now(w, &id);
    assert_string_equal(text(&id.cert), text(&w->first.cert));
    assert_string_equal(text(&id.ca_cert), text(&w->first.ca_cert));
    assert_signs(w, &id, &id.next_cert);
    assert_trusts(&id, 2);
    assert_int_equal(crypto_common_name(text(&id.ca_cert), &first), 0);
    assert_int_equal(crypto_common_name(text(&id.next_cert), &second), 0);
    assert_string_not_equal(text(&first), text(&second));
    assert_int_equal(identity_rotate(&w->data, NOW_MS, &w->error), SATCHEL_E_KEY_TAKEN);
    buf_fini(&first);
    buf_fini(&second);
    identity_close(&id);
}

static void retire_makes_the_new_one_the_only_one(void **state) {
    world *w = *state;
    identity id, after;
    assert_int_equal(identity_retire(&w->data, &w->error), SATCHEL_E_NOT_FOUND);
    assert_int_equal(identity_rotate(&w->data, NOW_MS, &w->error), 0);
    open_now(w, &id);
    assert_int_equal(identity_retire(&w->data, &w->error), 0);
    /* The server that runs takes it over as the one that was to come; one that had not seen it come does not. */
    assert_int_equal(identity_open_again(&w->data, HOSTS, NOW_MS, &id, &after, &w->error), 0);
    assert_string_equal(text(&after.ca_cert), text(&id.next_cert));
    assert_true(after.made_cert);
    assert_true(is_signed_by(w, &after.cert, &after.ca_cert));
    assert_memory_equal(after.pin, w->first.pin, sizeof after.pin);
    assert_signs(w, &after, &after.ca_cert);
    assert_trusts(&after, 1);
    assert_false(is_there(w, "ca-next.key") || is_there(w, "ca-next.crt"));
    identity_close(&after);
    assert_int_equal(identity_open_again(&w->data, HOSTS, NOW_MS, &w->first, &after, &w->error), SATCHEL_E_CERTIFICATE);
    identity_close(&id);
}

static void rotate_cut_off_after_its_key_is_finished_at_the_next_opening(void **state) {
    world *w = *state;
    identity id;
    assert_int_equal(identity_rotate(&w->data, NOW_MS, &w->error), 0);
    remove_file(w, "ca-next.crt");
    open_now(w, &id);
    assert_signs(w, &id, &id.next_cert);
    identity_close(&id);
}

/* Its steps: the key, the certificate, the new one's key and certificate removed. Wherever it stops, the next opening ends it. */
static void retire_cut_off_anywhere_is_finished_at_the_next_opening(void **state) {
    world *w = *state;
    for (int step = 1; step <= 3; step++) {
        identity before, id;
        assert_int_equal(identity_rotate(&w->data, NOW_MS, &w->error), 0);
        assert_int_equal(identity_open(&w->data, HOSTS, NOW_MS, &before, &w->error), 0);
        assert_int_equal(datadir_write(&w->data, "ca.key", before.next_key.p, strlen(text(&before.next_key)), &w->error), 0);
        if (step > 1)
            assert_int_equal(datadir_write(&w->data, "ca.crt", before.next_cert.p, strlen(text(&before.next_cert)), &w->error),
                             0);
        if (step > 2) remove_file(w, "ca-next.key");
        assert_int_equal(identity_open_again(&w->data, HOSTS, NOW_MS, &before, &id, &w->error), 0);
        assert_string_equal(text(&id.ca_cert), text(&before.next_cert));
        assert_false(is_there(w, "ca-next.key") || is_there(w, "ca-next.crt"));
        assert_true(is_signed_by(w, &id.cert, &id.ca_cert));
        identity_close(&before);
        identity_close(&id);
    }
}

static void open_near_the_end_keeps_the_authority_s_name(void **state) {
    world *w = *state;
    identity id;
    buf before = {0}, after = {0};
    assert_int_equal(
        identity_open(&w->data, HOSTS, NOW_MS + (IDENTITY_CA_DAYS - IDENTITY_CA_RENEW_DAYS + 1ull) * DAY_MS, &id, &w->error), 0);
    assert_true(id.made_ca);
    assert_int_equal(crypto_common_name(text(&w->first.ca_cert), &before), 0);
    assert_int_equal(crypto_common_name(text(&id.ca_cert), &after), 0);
    assert_string_equal(text(&before), text(&after));
    buf_fini(&before);
    buf_fini(&after);
    identity_close(&id);
}

/* ---- the operator's own ---- */

static void write_own(const world *w, const char *name, mode_t mode, const buf *what) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text(what), f) < 0, 0);
    assert_int_equal(fchmod(fileno(f), mode), 0);
    assert_int_equal(fclose(f), 0);
}

static int use_own(world *w, identity *id, uint64_t now_ms) {
    char cert[128], key[128];
    snprintf(cert, sizeof cert, "%s/own.crt", w->path);
    snprintf(key, sizeof key, "%s/own.key", w->path);
    buf_clear(&w->error);
    return identity_use_operator(id, cert, key, now_ms, &w->error);
}

static void use_operator_pins_its_key_and_knows_its_end(void **state) {
    world *w = *state;
    buf key = {0}, cert = {0};
    uint8_t pin[CRYPTO_FINGERPRINT_BYTES];
    assert_int_equal(crypto_make_key(&key), 0);
    assert_int_equal(crypto_make_ca(text(&key), "own", NOW_MS, 90, &cert), 0);
    write_own(w, "own.key", 0640, &key);
    write_own(w, "own.crt", 0644, &cert);
    assert_int_equal(use_own(w, &w->first, NOW_MS), 0);
    assert_int_equal(crypto_fingerprint(text(&key), pin), 0);
    assert_memory_equal(w->first.pin, pin, sizeof pin);
    assert_in_range(w->first.https_end_ms, NOW_MS + 89 * DAY_MS, NOW_MS + 91 * DAY_MS);
    buf_fini(&key);
    buf_fini(&cert);
}

static void use_operator_of_what_will_not_do_is_refused_in_words_and_changes_nothing(void **state) {
    world *w = *state;
    buf key = {0}, cert = {0}, garbage = {0};
    uint8_t pin[CRYPTO_FINGERPRINT_BYTES];
    memcpy(pin, w->first.pin, sizeof pin);
    buf_printf(&garbage, "garbage");
    assert_int_equal(crypto_make_key(&key), 0);
    assert_int_equal(crypto_make_ca(text(&key), "own", NOW_MS, 90, &cert), 0);
    assert_int_equal(use_own(w, &w->first, NOW_MS), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(text(&w->error), "own.crt: No such file"));
    const struct {
        const buf *key, *cert;
        mode_t mode;
        uint64_t now_ms;
        const char *words;
    } cases[] = {
        {&key, &cert, 0644, NOW_MS, "own.key: others can read this key"},
        {&garbage, &cert, 0600, NOW_MS, "own.key: this is not a private key"},
        {&key, &garbage, 0600, NOW_MS, "own.crt: this is not a certificate"},
        {&w->first.key, &cert, 0600, NOW_MS, "own.crt: the certificate belongs to another key"},
        {&key, &cert, 0600, NOW_MS + 91 * DAY_MS, "own.crt: the certificate has ended"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_own(w, "own.key", cases[i].mode, cases[i].key);
        write_own(w, "own.crt", 0644, cases[i].cert);
        assert_int_equal(use_own(w, &w->first, cases[i].now_ms), SATCHEL_E_CERTIFICATE);
        if (!strstr(text(&w->error), cases[i].words)) fail_msg("%s", text(&w->error));
        assert_memory_equal(w->first.pin, pin, sizeof pin);
    }
    buf_fini(&key);
    buf_fini(&cert);
    buf_fini(&garbage);
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
        CASE(open_again_with_another_authority_is_refused_in_words),
        CASE(rotate_signs_devices_by_the_new_and_shows_what_the_old_signed),
        CASE(retire_makes_the_new_one_the_only_one),
        CASE(rotate_cut_off_after_its_key_is_finished_at_the_next_opening),
        CASE(retire_cut_off_anywhere_is_finished_at_the_next_opening),
        CASE(open_near_the_end_keeps_the_authority_s_name),
        CASE(use_operator_pins_its_key_and_knows_its_end),
        CASE(use_operator_of_what_will_not_do_is_refused_in_words_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
