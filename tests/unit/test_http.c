/* The HTTPS port's answers: enrolment with a real store behind it, health, metrics, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "protocol/satchel_rc.h"
#include "server/enrol.h"
#include "server/http.h"
#include "tests/support/outside.h"

#define SECRET "AAECAwQFBgcICQoLDA0ODw" /* base64url of 00 01 ... 0f */

typedef struct world {
    outside o;
    http *http;
    buf key, csr;
    int ready; /* calls of `ready` */
} world;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    outside_open(&w->o, NULL);
    assert_int_equal(http_new(&w->o.service, &w->http), 0);
    assert_int_equal(crypto_make_key(&w->key), 0);
    assert_int_equal(crypto_make_csr((const char *)w->key.p, "phone", &w->csr), 0);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    outside_settle(&w->o);
    http_free(w->http);
    outside_close(&w->o);
    buf_fini(&w->key);
    buf_fini(&w->csr);
    free(w);
    return 0;
}

static void count_ready(void *owner) {
    ((world *)owner)->ready++;
}

static http_exchange *begin(world *w, http_method method, const char *path) {
    http_request r = {.method = method, .path = path, .peer = "192.0.2.7", .authorization = "", .idempotency_key = ""};
    http_exchange *x = http_begin(w->http, &r, count_ready, w);
    assert_non_null(x);
    return x;
}

/* A whole exchange, once the writer has had its turn. */
static http_exchange *exchange(world *w, http_method method, const char *path, const char *body) {
    http_exchange *x = begin(w, method, path);
    if (body && !http_answered(x)) http_body(x, body, strlen(body));
    http_finish(x);
    outside_settle(&w->o);
    assert_non_null(http_answered(x));
    return x;
}

static void expect_status(world *w, http_method method, const char *path, const char *body, unsigned status, const char *words) {
    http_exchange *x = exchange(w, method, path, body);
    const http_answer *a = http_answered(x);
    if (a->status != status || !strstr((const char *)a->body.p, words))
        fail_msg("%s: %u %s", path, a->status, (const char *)a->body.p);
    http_end(x);
}

static int offer(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    static const uint8_t secret[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    (void)job, (void)g;
    return store_enrol_offer(s, "phone", secret, now_ms + 1000);
}

static void offered(service_job *job) {
    assert_int_equal(job->rc, 0);
}

static void offer_code(world *w) {
    static service_job job;
    job = (service_job){.run = offer, .done = offered};
    assert_true(service_submit(&w->o.service, &job, false));
    outside_settle(&w->o);
}

/* The caller frees it. */
static char *request(const char *secret, const char *csr) {
    json_t *o = json_pack("{ss ss ss ss}", "secret", secret, "csr", csr, "name", "phone", "software", "test/1");
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    assert_non_null(text);
    return text;
}

static void expect_enrolment(world *w, const char *secret, const char *csr, unsigned status, const char *words) {
    char *body = request(secret, csr);
    expect_status(w, HTTP_POST, "/v1/enroll", body, status, words);
    free(body);
}

static void enroll_with_a_code_answers_a_certificate_of_the_key(void **state) {
    world *w = *state;
    uint8_t of_key[CRYPTO_FINGERPRINT_BYTES], of_cert[CRYPTO_FINGERPRINT_BYTES];
    offer_code(w);
    char *body = request(SECRET, (const char *)w->csr.p);
    http_exchange *x = exchange(w, HTTP_POST, "/v1/enroll", body);
    const http_answer *a = http_answered(x);
    assert_int_equal(a->status, 200);
    json_t *o = json_loads((const char *)a->body.p, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "device")), "phone");
    assert_string_equal(json_string_value(json_object_get(o, "sync_host")), "crm.example.test");
    assert_int_equal(json_integer_value(json_object_get(o, "sync_port")), 7443);
    assert_int_equal(crypto_fingerprint((const char *)w->key.p, of_key), 0);
    assert_int_equal(crypto_fingerprint(json_string_value(json_object_get(o, "certificate")), of_cert), 0);
    assert_memory_equal(of_key, of_cert, sizeof of_key);
    assert_string_equal(json_string_value(json_object_get(o, "ca")), (const char *)w->o.identity.ca_cert.p);
    assert_int_equal(w->ready, 1);
    json_decref(o);
    http_end(x);
    free(body);
}

static void enroll_again_with_the_same_key_answers_again(void **state) {
    world *w = *state;
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
}

static void enroll_with_another_key_is_told_that_the_code_is_used(void **state) {
    world *w = *state;
    buf key = {0}, csr = {0};
    assert_int_equal(crypto_make_key(&key), 0);
    assert_int_equal(crypto_make_csr((const char *)key.p, "phone", &csr), 0);
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    expect_enrolment(w, SECRET, (const char *)csr.p, 403, "\"E_ENROL_USED\"");
    buf_fini(&key);
    buf_fini(&csr);
}

static void enroll_after_the_day_is_told_that_the_code_expired(void **state) {
    world *w = *state;
    offer_code(w);
    outside_now_ms += 2000;
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 403, "\"E_EXPIRED\"");
}

static void enroll_with_what_is_no_request_is_told_what_is_wrong(void **state) {
    world *w = *state;
    const char *csr = (const char *)w->csr.p;
    expect_enrolment(w, "AAAAAAAAAAAAAAAAAAAAAA", csr, 403, "\"E_ENROL_CODE\"");
    expect_enrolment(w, "AAAA", csr, 403, "\"E_ENROL_CODE\"");
    expect_enrolment(w, "no base64!", csr, 403, "\"E_ENROL_CODE\"");
    expect_enrolment(w, SECRET, "hello", 400, "not a certificate request");
    expect_enrolment(w, SECRET, (const char *)w->o.identity.ca_cert.p, 403, "\"E_ENROL_CODE\"");
    expect_status(w, HTTP_POST, "/v1/enroll", "", 400, "\"E_MALFORMED\"");
    expect_status(w, HTTP_POST, "/v1/enroll", "[1]", 400, "not a JSON object");
    expect_status(w, HTTP_POST, "/v1/enroll", "{\"secret\":1}", 400, "needs the texts");
}

static void enroll_with_a_certificate_as_request_spends_no_code(void **state) {
    world *w = *state;
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->o.identity.ca_cert.p, 400, "\"E_");
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
}

static void enroll_after_many_wrong_codes_has_to_wait(void **state) {
    world *w = *state;
    offer_code(w);
    for (int i = 0; i < ENROL_TRIES; i++)
        expect_enrolment(w, "AAAAAAAAAAAAAAAAAAAAAA", (const char *)w->csr.p, 403, "\"E_ENROL_CODE\"");
    char *body = request(SECRET, (const char *)w->csr.p);
    http_exchange *x = exchange(w, HTTP_POST, "/v1/enroll", body);
    assert_int_equal(http_answered(x)->status, 429);
    assert_in_range(http_answered(x)->retry_after_s, 1, ENROL_WINDOW_MS / 1000 + 1);
    http_end(x);
    free(body);
}

/* ---- what devices ask on the sync port ---- */

/* An exchange of the device with this key. */
static http_exchange *ask_as(world *w, const buf *key, const char *path, const char *body) {
    uint8_t device[CRYPTO_FINGERPRINT_BYTES];
    assert_int_equal(crypto_fingerprint((const char *)key->p, device), 0);
    http_request r = {
        .method = HTTP_POST, .path = path, .peer = "192.0.2.7", .authorization = "", .idempotency_key = "", .device = device};
    http_exchange *x = http_begin(w->http, &r, count_ready, w);
    assert_non_null(x);
    if (!http_answered(x)) http_body(x, body, strlen(body));
    http_finish(x);
    outside_settle(&w->o);
    return x;
}

static void expect_as(world *w, const buf *key, const char *path, const char *csr, unsigned status, const char *words) {
    json_t *o = json_pack("{ss}", "csr", csr);
    char *body = json_dumps(o, JSON_COMPACT);
    http_exchange *x = ask_as(w, key, path, body);
    const http_answer *a = http_answered(x);
    if (!a || a->status != status || !strstr((const char *)a->body.p, words))
        fail_msg("%s: %u %s", path, a ? a->status : 0, a ? (const char *)a->body.p : "");
    http_end(x);
    json_decref(o);
    free(body);
}

static void make_request(buf *key, buf *csr) {
    assert_int_equal(crypto_make_key(key), 0);
    assert_int_equal(crypto_make_csr((const char *)key->p, "phone", csr), 0);
}

static void renew_changes_the_key_once_the_new_one_is_used(void **state) {
    world *w = *state;
    buf key = {0}, csr = {0}, lost = {0}, lost_csr = {0};
    make_request(&key, &csr);
    make_request(&lost, &lost_csr);
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &w->key, "/v1/renew", (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    /* One that was offered and never used makes room for another, and the present key goes on until then. */
    expect_as(w, &w->key, "/v1/renew", (const char *)lost_csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &w->key, "/v1/renew", (const char *)csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &lost, "/v1/renew", (const char *)lost_csr.p, 400, "E_CERTIFICATE");
    expect_as(w, &w->key, "/v1/renew", (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &key, "/v1/renew", (const char *)csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &w->key, "/v1/renew", (const char *)w->csr.p, 400, "E_CERTIFICATE");
    /* The code that the old key came by is no way back. */
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 403, "E_ENROL_USED");
    buf *all[] = {&key, &csr, &lost, &lost_csr};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_fini(all[i]);
}

static void renew_of_what_is_none_is_refused(void **state) {
    world *w = *state;
    buf key = {0}, csr = {0};
    make_request(&key, &csr);
    expect_as(w, &w->key, "/v1/renew", (const char *)w->csr.p, 400, "E_CERTIFICATE");
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &w->key, "/v1/renew", "hello", 400, "not a certificate request");
    expect_as(w, &w->key, "/v1/enroll", (const char *)w->csr.p, 404, "E_NOT_FOUND");
    expect_as(w, &w->key, "/v1/tables", (const char *)w->csr.p, 404, "E_NOT_FOUND");
    expect_status(w, HTTP_POST, "/v1/renew", "{}", 404, "E_NOT_FOUND");
    expect_status(w, HTTP_POST, "/v1/leave", "{}", 404, "E_NOT_FOUND");
    buf_fini(&key);
    buf_fini(&csr);
}

static void leave_ends_the_device_and_may_be_said_again(void **state) {
    world *w = *state;
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    expect_as(w, &w->key, "/v1/leave", "", 200, "{}");
    expect_as(w, &w->key, "/v1/leave", "", 200, "{}");
    expect_as(w, &w->key, "/v1/renew", (const char *)w->csr.p, 403, "E_REVOKED");
}

static int order_wipe(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    device_info d;
    (void)job, (void)g;
    int rc = store_device_by_name(s, "phone", &d);
    return rc ? rc : store_device_move(s, d.id, DEVICE_WIPE, now_ms);
}

static void renew_of_a_device_that_is_to_be_wiped_is_refused_as_no_fault_of_the_server(void **state) {
    world *w = *state;
    service_job job = {.run = order_wipe, .done = offered};
    offer_code(w);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    assert_true(service_submit(&w->o.service, &job, false));
    outside_settle(&w->o);
    expect_as(w, &w->key, "/v1/renew", (const char *)w->csr.p, 403, "E_WIPED");
}

static void limiter_after_its_window_allows_again(void **state) {
    (void)state;
    enrol_limiter *l = calloc(1, sizeof *l);
    for (int i = 0; i < ENROL_TRIES; i++) enrol_limiter_wrong(l, "192.0.2.1", 1000);
    assert_int_equal(enrol_limiter_wait(l, "192.0.2.1", 1000), ENROL_WINDOW_MS);
    assert_int_equal(enrol_limiter_wait(l, "192.0.2.2", 1000), 0);
    assert_int_equal(enrol_limiter_wait(l, "192.0.2.1", 1000 + ENROL_WINDOW_MS), 0);
    enrol_limiter_wrong(l, "192.0.2.1", 1000 + ENROL_WINDOW_MS);
    assert_int_equal(enrol_limiter_wait(l, "192.0.2.1", 1001 + ENROL_WINDOW_MS), 0);
    for (int i = 0; i < 3 * ENROL_ADDRESSES; i++) {
        char address[46];
        snprintf(address, sizeof address, "2001:db8:0:%x::1", (unsigned)i);
        enrol_limiter_wrong(l, address, 100000 + (uint64_t)i);
    }
    free(l);
}

static void limiter_counts_a_network_of_ipv6_as_one_and_forgets_a_clock_that_was_put_back(void **state) {
    (void)state;
    enrol_limiter *l = calloc(1, sizeof *l);
    for (unsigned i = 0; i < ENROL_TRIES; i++) {
        char address[46];
        snprintf(address, sizeof address, "2001:db8:0:7::%x", i);
        enrol_limiter_wrong(l, address, 90000);
        snprintf(address, sizeof address, "::ffff:192.0.2.%u", i);
        enrol_limiter_wrong(l, address, 90000);
    }
    assert_int_equal(enrol_limiter_wait(l, "2001:db8:0:7:ffff::1", 90000), ENROL_WINDOW_MS);
    assert_int_equal(enrol_limiter_wait(l, "2001:db8:0:8::1", 90000), 0);
    assert_int_equal(enrol_limiter_wait(l, "::ffff:192.0.2.1", 90000), 0);
    assert_int_equal(enrol_limiter_wait(l, "2001:db8:0:7::1", 1000), 0);
    free(l);
}

static void body_over_the_limit_is_answered_at_once(void **state) {
    world *w = *state;
    char *big = calloc(1, LIMIT_HTTP_BODY_BYTES);
    http_exchange *x = begin(w, HTTP_POST, "/v1/enroll");
    http_body(x, big, LIMIT_HTTP_BODY_BYTES);
    assert_null(http_answered(x));
    http_body(x, big, 1);
    assert_int_equal(http_answered(x)->status, 413);
    http_body(x, big, LIMIT_HTTP_BODY_BYTES);
    http_end(x);
    free(big);
    x = begin(w, HTTP_POST, "/v1/enroll");
    http_expect(x, LIMIT_HTTP_BODY_BYTES);
    assert_null(http_answered(x));
    http_expect(x, LIMIT_HTTP_BODY_BYTES + 1);
    assert_int_equal(http_answered(x)->status, 413);
    http_end(x);
}

static void begin_of_an_unknown_path_or_method_is_a_problem(void **state) {
    world *w = *state;
    expect_status(w, HTTP_GET, "/nothing", NULL, 404, "\"status\":404");
    expect_status(w, HTTP_GET, "/v1/enroll/", NULL, 404, "E_NOT_FOUND");
    expect_status(w, HTTP_GET, "/v1/enroll", NULL, 405, "\"status\":405");
    expect_status(w, HTTP_POST, "/metrics", NULL, 405, "E_MISUSE");
    expect_status(w, HTTP_OTHER, "/healthz", NULL, 405, "E_MISUSE");
    expect_status(w, HTTP_HEAD, "/healthz", NULL, 200, "ok");
}

static void readyz_while_draining_says_no(void **state) {
    world *w = *state;
    expect_status(w, HTTP_GET, "/readyz", NULL, 200, "ready");
    w->o.service.draining = true;
    expect_status(w, HTTP_GET, "/readyz", NULL, 503, "shutting down");
    expect_status(w, HTTP_GET, "/healthz", NULL, 200, "ok");
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 503, "\"E_CLOSED\"");
    w->o.service.draining = false;
}

static void metrics_with_a_busy_writer_answer_without_counts(void **state) {
    world *w = *state;
    http_exchange *a = begin(w, HTTP_GET, "/metrics"), *b = begin(w, HTTP_GET, "/metrics");
    http_finish(a);
    http_finish(b);
    assert_null(http_answered(a));
    http_timeout(a);
    assert_non_null(http_answered(a));
    assert_null(strstr((const char *)http_answered(a)->body.p, "satchel_rows "));
    http_end(a);
    outside_settle(&w->o);
    assert_non_null(strstr((const char *)http_answered(b)->body.p, "satchel_rows "));
    http_end(b);
    assert_int_equal(w->ready, 2);
}

static void end_before_the_answer_calls_nobody(void **state) {
    world *w = *state;
    offer_code(w);
    char *body = request(SECRET, (const char *)w->csr.p);
    http_exchange *a = begin(w, HTTP_POST, "/v1/enroll"), *b = begin(w, HTTP_GET, "/metrics");
    http_body(a, body, strlen(body));
    http_finish(a);
    http_finish(b);
    http_end(a);
    http_end(b);
    outside_settle(&w->o);
    assert_int_equal(w->ready, 0);
    free(body);
}

static void timeout_of_an_enrolment_asks_to_come_again(void **state) {
    world *w = *state;
    offer_code(w);
    char *body = request(SECRET, (const char *)w->csr.p);
    http_exchange *x = begin(w, HTTP_POST, "/v1/enroll");
    http_body(x, body, strlen(body));
    http_finish(x);
    http_timeout(x);
    assert_int_equal(http_answered(x)->status, 503);
    outside_settle(&w->o);
    assert_int_equal(http_answered(x)->status, 503);
    http_end(x);
    expect_enrolment(w, SECRET, (const char *)w->csr.p, 200, "BEGIN CERTIFICATE");
    free(body);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(enroll_with_a_code_answers_a_certificate_of_the_key),
        CASE(enroll_again_with_the_same_key_answers_again),
        CASE(enroll_with_another_key_is_told_that_the_code_is_used),
        CASE(enroll_after_the_day_is_told_that_the_code_expired),
        CASE(enroll_with_what_is_no_request_is_told_what_is_wrong),
        CASE(enroll_with_a_certificate_as_request_spends_no_code),
        CASE(enroll_after_many_wrong_codes_has_to_wait),
        CASE(renew_changes_the_key_once_the_new_one_is_used),
        CASE(renew_of_what_is_none_is_refused),
        CASE(leave_ends_the_device_and_may_be_said_again),
        CASE(renew_of_a_device_that_is_to_be_wiped_is_refused_as_no_fault_of_the_server),
        cmocka_unit_test(limiter_after_its_window_allows_again),
        cmocka_unit_test(limiter_counts_a_network_of_ipv6_as_one_and_forgets_a_clock_that_was_put_back),
        CASE(body_over_the_limit_is_answered_at_once),
        CASE(begin_of_an_unknown_path_or_method_is_a_problem),
        CASE(readyz_while_draining_says_no),
        CASE(metrics_with_a_busy_writer_answer_without_counts),
        CASE(end_before_the_answer_calls_nobody),
        CASE(timeout_of_an_enrolment_asks_to_come_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
