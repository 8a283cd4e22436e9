/* Enrolment against OpenSSL: the pin, the answers, and what is left on the disk after each. */
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/enroll.h"
#include "replica/renew.h"
#include "tls_peer.h"

typedef struct world {
    tls_world tls;
    tls_peer peer;
    enrol_code code;
    char dir[96]; /* does not exist yet */
    pthread_t thread;
    enroll_result result;
    buf error;
    int rc;
} world;

static int set_up(void **state) {
    world *w = calloc(1, sizeof *w);
    if (!w || !tls_peer_possible()) return -1;
    tls_world_make(&w->tls);
    snprintf(w->dir, sizeof w->dir, "%s/new", w->tls.dir);
    tls_peer_start(&w->peer, &w->tls, "");
    w->code = (enrol_code){.host = "127.0.0.1", .port = w->peer.port, .secret = "0123456789abcde"};
    assert_int_equal(crypto_fingerprint((char *)w->tls.server.p, w->code.pin), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    tls_peer_stop(&w->peer);
    tls_world_free(&w->tls);
    buf_fini(&w->error);
    free(w);
    return 0;
}

static void *enroll(void *ctx) {
    world *w = ctx;
    buf code = {0};
    enrol_code_encode(&w->code, &code);
    buf_clear(&w->error);
    w->rc = enroll_run((char *)code.p, w->dir, "Ann's phone", "satchel/test", &w->result, &w->error);
    buf_fini(&code);
    return NULL;
}

static void begin(world *w) {
    buf_clear(&w->peer.heard);
    assert_int_equal(pthread_create(&w->thread, NULL, enroll, w), 0);
}

static int finish(world *w) {
    pthread_join(w->thread, NULL);
    return w->rc;
}

/* The request's JSON, if it is whole. The caller frees it. */
static json_t *read_request(world *w) {
    tls_peer_hear(&w->peer, 10);
    const char *body = w->peer.heard.n ? strstr((char *)w->peer.heard.p, "\r\n\r\n") : NULL;
    return body ? json_loads(body + 4, 0, NULL) : NULL;
}

/* Waits for it; checks its head. */
static json_t *hear_request(world *w) {
    for (int i = 0; i < 6000; i++) {
        json_t *o = read_request(w);
        if (!o) continue;
        assert_int_equal(strncmp((char *)w->peer.heard.p, "POST /v1/enroll HTTP/1.1\r\n", 26), 0);
        return o;
    }
    fail_msg("no request arrived");
    return NULL;
}

static void say_answer(world *w, unsigned status, const char *body) {
    buf answer = {0};
    buf_printf(&answer, "HTTP/1.1 %u x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body),
               body);
    tls_peer_say(&w->peer, answer.p, answer.n);
    buf_fini(&answer);
}

/* Certifies `csr` (or the test device's key, if `other`) and answers. */
static void say_certificate(world *w, const char *csr, bool other) {
    buf cert = {0};
    assert_int_equal(crypto_sign_csr((char *)w->tls.ca_key.p, (char *)w->tls.ca.p, csr, "x", w->tls.now_ms, 365, &cert), 0);
    json_t *o = json_pack("{ss ss ss ss si}", "device", "ann-1", "certificate", other ? (char *)w->tls.device.p : (char *)cert.p,
                          "ca", (char *)w->tls.ca.p, "sync_host", "sync.example.test", "sync_port", 7443);
    char *body = json_dumps(o, 0);
    say_answer(w, 200, body);
    free(body);
    json_decref(o);
    buf_fini(&cert);
}

static bool exists(const world *w, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return !access(path, F_OK);
}

static void assert_mode(const world *w, const char *name, unsigned mode) {
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
}

static void enroll_run_good_answer_leaves_a_private_identity(void **state) {
    world *w = *state;
    credentials c;
    uint8_t key[32], cert[32];
    begin(w);
    json_t *request = hear_request(w);
    assert_string_equal(json_string_value(json_object_get(request, "secret")), "MDEyMzQ1Njc4OWFiY2RlAA");
    assert_string_equal(json_string_value(json_object_get(request, "name")), "Ann's phone");
    assert_string_equal(json_string_value(json_object_get(request, "software")), "satchel/test");
    say_certificate(w, json_string_value(json_object_get(request, "csr")), false);
    json_decref(request);
    if (finish(w)) fail_msg("%s", (char *)w->error.p);
    assert_string_equal(w->result.device, "ann-1");
    assert_string_equal(w->result.sync_host, "sync.example.test");
    assert_int_equal(w->result.sync_port, 7443);
    assert_int_equal(w->result.not_after_ms / 1000, w->tls.now_ms / 1000 + 365 * 86400);
    assert_mode(w, ".", 0700);
    assert_mode(w, "key.pem", 0600);
    assert_mode(w, "cert.pem", 0600);
    assert_mode(w, "ca.pem", 0600);
    assert_int_equal(credentials_read(w->dir, &c, &w->error), 0);
    assert_int_equal(crypto_fingerprint((char *)c.key.p, key), 0);
    assert_int_equal(crypto_fingerprint((char *)c.cert.p, cert), 0);
    assert_memory_equal(key, cert, 32);
    assert_memory_equal(key, w->result.fingerprint, 32);
    credentials_fini(&c);
}

static void enroll_run_other_server_than_pinned_is_pin_and_learns_nothing(void **state) {
    world *w = *state;
    w->code.pin[5] ^= 1;
    begin(w);
    assert_int_equal(finish(w), SATCHEL_E_PIN);
    tls_peer_hear(&w->peer, 100);
    assert_int_equal(w->peer.heard.n, 0);
    assert_false(exists(w, "cert.pem"));
}

static void enroll_run_refusals_are_named(void **state) {
    static const struct {
        unsigned status;
        const char *body;
        int rc;
    } refusal[] = {
        {403, "{\"code\":\"E_ENROL_USED\",\"title\":\"used\",\"status\":403}", SATCHEL_E_ENROL_USED},
        {403, "{\"code\":\"E_ENROL_CODE\",\"title\":\"no\"}", SATCHEL_E_ENROL_CODE},
        {403, "{\"code\":\"E_EXPIRED\",\"title\":\"old\",\"detail\":\"since yesterday\"}", SATCHEL_E_EXPIRED},
        {429, "{\"code\":\"E_OVERLOAD\"}", SATCHEL_E_OVERLOAD},
        {503, "<html>later</html>", SATCHEL_E_OVERLOAD},
        {404, "nothing here", SATCHEL_E_NETWORK},
        {403, "{\"code\":\"E_OK\"}", SATCHEL_E_NETWORK},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof refusal / sizeof *refusal; i++) {
        begin(w);
        json_decref(hear_request(w));
        say_answer(w, refusal[i].status, refusal[i].body);
        if (finish(w) != refusal[i].rc) fail_msg("%zu: %d %s", i, w->rc, (char *)w->error.p);
        assert_true(w->error.n > 0);
        assert_false(exists(w, "cert.pem"));
        assert_false(exists(w, "ca.pem"));
    }
}

static void enroll_run_broken_answers_are_malformed_and_write_nothing(void **state) {
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{}",
        "\"x\"",
        "{\"device\":\"d\"}",
        "{\"device\":1,\"certificate\":2,\"ca\":3,\"sync_host\":4,\"sync_port\":5}",
        "{\"device\":\"d\",\"certificate\":\"c\",\"ca\":\"a\",\"sync_host\":\"h\",\"sync_port\":7443}",
        "{\"device\":\"d\",\"certificate\":\"c\",\"ca\":\"a\",\"sync_host\":\"h\",\"sync_port\":70000}",
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        begin(w);
        json_decref(hear_request(w));
        say_answer(w, 200, broken[i]);
        if (finish(w) != SATCHEL_E_MALFORMED) fail_msg("%zu: %d %s", i, w->rc, (char *)w->error.p);
        assert_false(exists(w, "ca.pem"));
    }
}

static void enroll_run_endless_answer_is_refused(void **state) {
    world *w = *state;
    char *filler = malloc(100000);
    memset(filler, 'x', 99999);
    filler[99999] = 0;
    begin(w);
    json_decref(hear_request(w));
    say_answer(w, 200, filler);
    assert_int_equal(finish(w), SATCHEL_E_MALFORMED);
    free(filler);
}

static void enroll_run_certificate_of_another_key_is_certificate(void **state) {
    world *w = *state;
    begin(w);
    json_t *request = hear_request(w);
    say_certificate(w, json_string_value(json_object_get(request, "csr")), true);
    json_decref(request);
    assert_int_equal(finish(w), SATCHEL_E_CERTIFICATE);
    assert_false(exists(w, "ca.pem"));
}

static void enroll_run_interrupted_goes_on_with_the_same_key(void **state) {
    world *w = *state;
    buf before = {0}, after = {0};
    begin(w);
    json_decref(hear_request(w));
    tls_peer_stop(&w->peer);
    assert_int_equal(satchel_rc_class(finish(w)), SATCHEL_CLASS_RETRY);
    assert_int_equal(credentials_read_file(w->dir, "key.pem", &before, &w->error), 0);
    tls_peer_start(&w->peer, &w->tls, "");
    w->code.port = w->peer.port;
    begin(w);
    json_t *request = hear_request(w);
    say_certificate(w, json_string_value(json_object_get(request, "csr")), false);
    json_decref(request);
    assert_int_equal(finish(w), 0);
    assert_int_equal(credentials_read_file(w->dir, "key.pem", &after, &w->error), 0);
    assert_string_equal((char *)before.p, (char *)after.p);
    buf_fini(&before);
    buf_fini(&after);
}

static void enroll_run_refused_renewal_keeps_the_old_identity(void **state) {
    world *w = *state;
    buf cert = {0};
    snprintf(w->dir, sizeof w->dir, "%s/device", w->tls.dir);
    begin(w);
    json_decref(hear_request(w));
    say_answer(w, 403, "{\"code\":\"E_ENROL_USED\"}");
    assert_int_equal(finish(w), SATCHEL_E_ENROL_USED);
    assert_int_equal(credentials_read_file(w->dir, "cert.pem", &cert, &w->error), 0);
    assert_string_equal((char *)cert.p, (char *)w->tls.device.p);
    buf_fini(&cert);
}

static void enroll_run_damaged_code_makes_nothing(void **state) {
    world *w = *state;
    assert_int_equal(enroll_run("satchel1.nonsense", w->dir, "x", NULL, &w->result, &w->error), SATCHEL_E_ENROL_CODE);
    assert_false(exists(w, "."));
}

static void enroll_run_directory_that_is_a_file_is_io(void **state) {
    world *w = *state;
    tls_world_write(&w->tls, "new", "a file");
    begin(w);
    assert_int_equal(finish(w), SATCHEL_E_IO);
    assert_non_null(strstr((char *)w->error.p, "Not a directory"));
}

static void enroll_run_unreadable_key_is_certificate(void **state) {
    world *w = *state;
    snprintf(w->dir, sizeof w->dir, "%s/device", w->tls.dir);
    tls_world_write(&w->tls, "device/key.pem", "junk");
    begin(w);
    assert_int_equal(finish(w), SATCHEL_E_CERTIFICATE);
}

static void enroll_run_name_not_utf8_is_misuse(void **state) {
    world *w = *state;
    buf code = {0};
    enrol_code_encode(&w->code, &code);
    assert_int_equal(enroll_run((char *)code.p, w->dir, "\xff", NULL, &w->result, &w->error), SATCHEL_E_MISUSE);
    buf_fini(&code);
}

/* Steps a renewal until it is over, and answers it; if told to, another certificate is there when the answer comes. */
static int renew_with(world *w, bool enrolled_meanwhile) {
    char dir[96];
    renewal *r;
    json_t *request = NULL;
    buf cert = {0};
    int rc = 0;
    snprintf(dir, sizeof dir, "%s/device", w->tls.dir);
    buf_clear(&w->peer.heard);
    buf_clear(&w->error);
    assert_int_equal(renew_begin(&(renew_server){.dir = dir, .host = "127.0.0.1", .port = w->peer.port}, &r, &w->error), 0);
    for (int i = 0; i < 30000 && !rc; i++) {
        rc = renew_step(r, &w->error);
        if (!rc) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the peer is a thread */
        if (request || !(request = read_request(w))) continue;
        if (enrolled_meanwhile) tls_world_device(&w->tls, w->tls.now_ms, 33);
        assert_int_equal(crypto_sign_csr((char *)w->tls.ca_key.p, (char *)w->tls.ca.p,
                                         json_string_value(json_object_get(request, "csr")), "x", w->tls.now_ms, 365, &cert),
                         0);
        json_t *o = json_pack("{ss ss}", "certificate", (char *)cert.p, "ca", (char *)w->tls.ca.p);
        char *body = json_dumps(o, 0);
        say_answer(w, 200, body);
        free(body);
        json_decref(o);
    }
    json_decref(request);
    buf_fini(&cert);
    renew_free(r);
    return rc;
}

static uint64_t end_of_certificate(world *w) {
    char dir[96];
    uint64_t end_ms;
    buf cert = {0};
    snprintf(dir, sizeof dir, "%s/device", w->tls.dir);
    assert_int_equal(credentials_read_file(dir, CREDENTIALS_CERT, &cert, &w->error), 0);
    assert_int_equal(crypto_not_after((char *)cert.p, &end_ms), 0);
    buf_fini(&cert);
    return end_ms / 1000;
}

static void renewal_is_taken_unless_the_device_was_enrolled_meanwhile(void **state) {
    world *w = *state;
    assert_int_equal(renew_with(w, true), SATCHEL_E_BUSY);
    assert_int_equal(end_of_certificate(w), w->tls.now_ms / 1000 + 33 * 86400);
    assert_int_equal(renew_with(w, false), 1);
    assert_int_equal(end_of_certificate(w), w->tls.now_ms / 1000 + 365 * 86400);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(enroll_run_good_answer_leaves_a_private_identity),
        CASE(enroll_run_other_server_than_pinned_is_pin_and_learns_nothing),
        CASE(enroll_run_refusals_are_named),
        CASE(enroll_run_broken_answers_are_malformed_and_write_nothing),
        CASE(enroll_run_endless_answer_is_refused),
        CASE(enroll_run_certificate_of_another_key_is_certificate),
        CASE(enroll_run_interrupted_goes_on_with_the_same_key),
        CASE(enroll_run_refused_renewal_keeps_the_old_identity),
        CASE(enroll_run_damaged_code_makes_nothing),
        CASE(enroll_run_directory_that_is_a_file_is_io),
        CASE(enroll_run_unreadable_key_is_certificate),
        CASE(enroll_run_name_not_utf8_is_misuse),
        CASE(renewal_is_taken_unless_the_device_was_enrolled_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
