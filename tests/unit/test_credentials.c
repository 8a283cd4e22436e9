/* The identity directory: who may read a key, a new key that takes the old one's place, and when a certificate is due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/renew.h"
#include "tests/unit/tls_peer.h"

#define DAY_MS 86400000ull

typedef struct world {
    tls_world tls;
    char dir[128];
    buf error;
} world;

static int set_up(void **state) {
    world *w = calloc(1, sizeof *w);
    tls_world_make(&w->tls);
    snprintf(w->dir, sizeof w->dir, "%s/device", w->tls.dir);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    tls_world_free(&w->tls);
    buf_fini(&w->error);
    free(w);
    return 0;
}

static void change_mode(const world *w, const char *name, mode_t mode) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    assert_int_equal(chmod(path, mode), 0);
}

static void expect_key(world *w, const buf *key) {
    credentials c;
    buf_clear(&w->error);
    int rc = credentials_read(w->dir, &c, &w->error);
    if (rc) fail_msg("%d %s", rc, (const char *)w->error.p);
    assert_string_equal((const char *)c.key.p, (const char *)key->p);
    credentials_fini(&c);
}

/* Another key beside the present one, as renew_make_key leaves it; `key` receives it. */
static void lay_next(world *w, buf *key) {
    assert_int_equal(renew_make_key(w->dir, &w->error), 0);
    assert_int_equal(credentials_read_file(w->dir, CREDENTIALS_NEXT_KEY, key, &w->error), 0);
}

static void certify(world *w, const buf *key) {
    buf csr = {0}, cert = {0};
    assert_int_equal(crypto_make_csr((const char *)key->p, "x", &csr), 0);
    assert_int_equal(crypto_sign_csr((const char *)w->tls.ca_key.p, (const char *)w->tls.ca.p, (const char *)csr.p, "x",
                                     w->tls.now_ms, 9, &cert),
                     0);
    assert_int_equal(credentials_write_file(w->dir, CREDENTIALS_CERT, (const char *)cert.p, &w->error), 0);
    buf_fini(&csr);
    buf_fini(&cert);
}

static void read_of_a_key_that_others_can_read_is_refused_in_words(void **state) {
    static const mode_t open_to[] = {0640, 0604, 0620, 0666};
    world *w = *state;
    for (size_t i = 0; i < sizeof open_to / sizeof *open_to; i++) {
        credentials c;
        buf_clear(&w->error);
        change_mode(w, CREDENTIALS_KEY, open_to[i]);
        assert_int_equal(credentials_read(w->dir, &c, &w->error), SATCHEL_E_CERTIFICATE);
        assert_non_null(strstr((const char *)w->error.p, "chmod 600"));
        credentials_fini(&c);
    }
    change_mode(w, CREDENTIALS_KEY, 0400);
    change_mode(w, CREDENTIALS_CERT, 0644); /* that is no secret */
    expect_key(w, &w->tls.device_key);
}

static void write_is_the_owner_s_alone_whatever_the_umask(void **state) {
    world *w = *state;
    struct stat st;
    char path[160];
    mode_t before = umask(0);
    assert_int_equal(credentials_write_file(w->dir, CREDENTIALS_CERT, "x", &w->error), 0);
    umask(before);
    snprintf(path, sizeof path, "%s/%s", w->dir, CREDENTIALS_CERT);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void next_key_takes_over_when_the_certificate_is_of_it_and_not_before(void **state) {
    world *w = *state;
    buf next = {0}, again = {0};
    lay_next(w, &next);
    expect_key(w, &w->tls.device_key);
    lay_next(w, &again);
    assert_string_equal((const char *)next.p, (const char *)again.p);
    certify(w, &next);
    expect_key(w, &next);
    buf_clear(&w->error);
    buf_clear(&again);
    assert_int_equal(credentials_read_file(w->dir, CREDENTIALS_NEXT_KEY, &again, &w->error), SATCHEL_E_NOT_FOUND);
    credentials_wipe(&next);
    credentials_wipe(&again);
}

/* Two processes open the file of a device whose key was changed: whoever is second finds the work done. */
static void settle_by_many_at_once_succeeds_for_each(void **state) {
    world *w = *state;
    enum { PROCESSES = 8, ROUNDS = 20 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        buf next = {0};
        pid_t child[PROCESSES];
        int go[2], status;
        buf_clear(&w->error);
        lay_next(w, &next);
        certify(w, &next);
        assert_int_equal(pipe(go), 0);
        for (unsigned i = 0; i < PROCESSES; i++) {
            child[i] = fork();
            if (child[i]) continue;
            char c;
            close(go[1]);
            while (read(go[0], &c, 1) > 0) continue; /* until all are there */
            _exit(credentials_settle(w->dir, &w->error) != 0);
        }
        close(go[0]);
        close(go[1]);
        for (unsigned i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(child[i], &status, 0), child[i]);
            assert_int_equal(status, 0);
        }
        expect_key(w, &next);
        credentials_wipe(&next);
    }
}

static void renewal_is_due_in_the_last_third_or_with_a_new_key(void **state) {
    world *w = *state;
    buf next = {0};
    tls_world_device(&w->tls, w->tls.now_ms, 90);
    assert_false(renew_is_due(w->dir, w->tls.now_ms));
    assert_false(renew_is_due(w->dir, w->tls.now_ms + 59 * DAY_MS));
    assert_true(renew_is_due(w->dir, w->tls.now_ms + 61 * DAY_MS));
    assert_true(renew_is_due(w->dir, w->tls.now_ms + 91 * DAY_MS));
    tls_world_device(&w->tls, w->tls.now_ms, 1);
    assert_false(renew_is_due(w->dir, w->tls.now_ms));
    lay_next(w, &next);
    assert_true(renew_is_due(w->dir, w->tls.now_ms));
    credentials_wipe(&next);
    tls_world_write(&w->tls, "device/cert.pem", "junk");
    assert_false(renew_is_due("/nowhere", w->tls.now_ms));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(read_of_a_key_that_others_can_read_is_refused_in_words),
        CASE(write_is_the_owner_s_alone_whatever_the_umask),
        CASE(next_key_takes_over_when_the_certificate_is_of_it_and_not_before),
        CASE(settle_by_many_at_once_succeeds_for_each),
        CASE(renewal_is_due_in_the_last_third_or_with_a_new_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
