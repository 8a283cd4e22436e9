/* Keys, certificates, digests and enrolment codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

#define NOW_MS 1790000000000ull /* 2026-09-21 */
#define HOUR_MS 3600000ull
#define DAY_MS (24 * HOUR_MS)

typedef struct world {
    buf ca_key, ca, key, server, device_key, csr, device;
} world;

static const char *text(const buf *b) {
    return (const char *)b->p;
}

static int make_world(void **state) {
    static world w;
    w = (world){0};
    assert_int_equal(crypto_make_key(&w.ca_key), 0);
    assert_int_equal(crypto_make_ca(text(&w.ca_key), "Satchel CA", NOW_MS, 3650, &w.ca), 0);
    assert_int_equal(crypto_make_key(&w.key), 0);
    assert_int_equal(
        crypto_make_server(text(&w.ca_key), text(&w.ca), text(&w.key), "crm.example.test, 127.0.0.1,::1", NOW_MS, 90, &w.server),
        0);
    assert_int_equal(crypto_make_key(&w.device_key), 0);
    assert_int_equal(crypto_make_csr(text(&w.device_key), "Jürgen's phone", &w.csr), 0);
    assert_int_equal(crypto_sign_csr(text(&w.ca_key), text(&w.ca), text(&w.csr), "Jürgen's phone", NOW_MS, 30, &w.device), 0);
    *state = &w;
    return 0;
}

static int free_world(void **state) {
    world *w = *state;
    buf *all[] = {&w->ca_key, &w->ca, &w->key, &w->server, &w->device_key, &w->csr, &w->device};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_fini(all[i]);
    return 0;
}

static void hex(const uint8_t *p, size_t n, char *out) {
    for (size_t i = 0; i < n; i++) sprintf(out + 2 * i, "%02x", p[i]);
}

static void crypto_sha256_fips_vectors_match(void **state) {
    (void)state;
    uint8_t digest[32];
    char shown[65];
    crypto_sha256("abc", 3, digest);
    hex(digest, 32, shown);
    assert_string_equal(shown, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(NULL, 0, digest);
    hex(digest, 32, shown);
    assert_string_equal(shown, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void crypto_sha1_rfc6455_example_gives_its_accept(void **state) {
    (void)state;
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t digest[20];
    buf b = {0};
    crypto_sha1(key, strlen(key), digest);
    crypto_base64(digest, sizeof digest, &b);
    assert_string_equal(text(&b), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    buf_fini(&b);
}

static void crypto_random_two_draws_differ(void **state) {
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_int_equal(crypto_random(a, sizeof a), 0);
    assert_int_equal(crypto_random(b, sizeof b), 0);
    assert_memory_not_equal(a, b, sizeof a);
}

static void crypto_base64url_rfc4648_vectors_round_trip(void **state) {
    (void)state;
    static const char *const vector[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++) {
        buf coded = {0}, plain = {0};
        size_t n = strlen(vector[i][0]);
        crypto_base64url(vector[i][0], n, &coded);
        assert_string_equal(text(&coded), vector[i][1]);
        assert_int_equal(crypto_base64url_decode(vector[i][1], &plain), 0);
        assert_int_equal(plain.n, n);
        if (n) assert_memory_equal(plain.p, vector[i][0], n);
        buf_fini(&coded);
        buf_fini(&plain);
    }
}

static void crypto_base64url_decode_foreign_characters_are_malformed(void **state) {
    (void)state;
    static const char *const bad[] = {"A", "Zg==", "Zm9v\n", "Zm 9v", "+/+/", "Zm9vY", "Zm8\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf out = {0};
        assert_int_equal(crypto_base64url_decode(bad[i], &out), SATCHEL_E_MALFORMED);
        assert_int_equal(out.n, 0);
        buf_fini(&out);
    }
}

static void crypto_fingerprint_key_request_and_certificate_agree(void **state) {
    world *w = *state;
    uint8_t key[32], csr[32], cert[32], other[32];
    assert_int_equal(crypto_fingerprint(text(&w->device_key), key), 0);
    assert_int_equal(crypto_fingerprint(text(&w->csr), csr), 0);
    assert_int_equal(crypto_fingerprint(text(&w->device), cert), 0);
    assert_memory_equal(key, csr, 32);
    assert_memory_equal(key, cert, 32);
    assert_int_equal(crypto_fingerprint(text(&w->server), other), 0);
    assert_memory_not_equal(key, other, 32);
}

static void crypto_made_at_is_the_moment_that_was_given(void **state) {
    world *w = *state;
    uint64_t ms;
    assert_int_equal(crypto_made_at(text(&w->device), &ms), 0);
    assert_in_range(ms, NOW_MS - 1000, NOW_MS);
    assert_int_equal(crypto_made_at("garbage", &ms), SATCHEL_E_MALFORMED);
}

static void crypto_common_name_is_the_subject_s(void **state) {
    world *w = *state;
    buf name = {0};
    assert_int_equal(crypto_common_name(text(&w->device), &name), 0);
    assert_string_equal(text(&name), "J\xc3\xbcrgen's phone");
    assert_int_equal(crypto_common_name("garbage", &name), SATCHEL_E_MALFORMED);
    buf_fini(&name);
}

static void crypto_fingerprint_garbage_is_malformed(void **state) {
    (void)state;
    uint8_t out[32];
    assert_int_equal(crypto_fingerprint("", out), SATCHEL_E_MALFORMED);
    assert_int_equal(crypto_fingerprint("hello", out), SATCHEL_E_MALFORMED);
    assert_int_equal(crypto_fingerprint("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", out),
                     SATCHEL_E_MALFORMED);
    assert_int_equal(crypto_fingerprint("-----BEGIN CERTIFICATE REQUEST-----\n", out), SATCHEL_E_MALFORMED);
    assert_int_equal(crypto_fingerprint_der("\x30\x03\x02\x01\x01", 5, out), SATCHEL_E_MALFORMED);
}

static void crypto_not_after_is_days_from_now(void **state) {
    world *w = *state;
    uint64_t ends;
    assert_int_equal(crypto_not_after(text(&w->device), &ends), 0);
    assert_int_equal(ends, NOW_MS + 30 * DAY_MS);
    assert_int_equal(crypto_not_after(text(&w->ca), &ends), 0);
    assert_int_equal(ends, NOW_MS + 3650 * DAY_MS);
    assert_int_equal(crypto_not_after("nothing", &ends), SATCHEL_E_MALFORMED);
}

/* How many attributes the subject has: every one of ours is written under an attribute OID 2.5.4.x (06 03 55 04), the issuer has one. */
static int subject_attributes(const char *pem) {
    buf body = {0}, der = {0};
    int found = 0;
    for (const char *p = strchr(pem, '\n'); *p && *p != '-'; p++) {
        if (*p != '\n' && *p != '=') buf_put_byte(&body, (uint8_t)(*p == '+' ? '-' : *p == '/' ? '_' : *p));
    }
    buf_put_byte(&body, 0);
    assert_int_equal(crypto_base64url_decode(text(&body), &der), 0);
    for (size_t i = 0; i + 4 <= der.n; i++) found += !memcmp(der.p + i, "\x06\x03\x55\x04", 4);
    buf_fini(&body);
    buf_fini(&der);
    return found - 1;
}

static void crypto_make_csr_with_attribute_in_name_stays_one_name(void **state) {
    world *w = *state;
    static const char *const name[] = {"x,O=Admin+CN=root\\", ",,,", "", "\xff\xfe",
                                       "a name that is a good deal longer than the sixty-four bytes of X.520, ä"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        buf csr = {0}, cert = {0};
        assert_int_equal(crypto_make_csr(text(&w->device_key), name[i], &csr), 0);
        assert_int_equal(crypto_sign_csr(text(&w->ca_key), text(&w->ca), text(&csr), name[i], NOW_MS, 1, &cert), 0);
        assert_int_equal(subject_attributes(text(&cert)), 1);
        buf_fini(&csr);
        buf_fini(&cert);
    }
}

/* The last byte of a PEM's base64 lies in the signature. */
static void crypto_sign_csr_damaged_signature_is_refused(void **state) {
    world *w = *state;
    buf csr = {0}, cert = {0};
    buf_printf(&csr, "%s", text(&w->csr));
    char *end = strstr((char *)csr.p, "\n-----END");
    char *at = end - 10;
    *at = *at == 'A' ? 'B' : 'A';
    int rc = crypto_sign_csr(text(&w->ca_key), text(&w->ca), text(&csr), "x", NOW_MS, 1, &cert);
    assert_true(rc == SATCHEL_E_CERTIFICATE || rc == SATCHEL_E_MALFORMED);
    assert_int_equal(cert.n, 0);
    buf_fini(&csr);
    buf_fini(&cert);
}

static void crypto_sign_csr_other_key_than_the_ca_is_refused(void **state) {
    world *w = *state;
    buf cert = {0};
    assert_int_equal(crypto_sign_csr(text(&w->key), text(&w->ca), text(&w->csr), "x", NOW_MS, 1, &cert), SATCHEL_E_CERTIFICATE);
    assert_int_equal(crypto_sign_csr(text(&w->ca_key), text(&w->ca), "junk", "x", NOW_MS, 1, &cert), SATCHEL_E_MALFORMED);
    assert_int_equal(cert.n, 0);
    buf_fini(&cert);
}

static void crypto_make_server_bad_hosts_are_refused(void **state) {
    world *w = *state;
    buf cert = {0};
    char longer[400];
    memset(longer, 'a', sizeof longer);
    longer[399] = 0;
    assert_int_equal(crypto_make_server(text(&w->ca_key), text(&w->ca), text(&w->key), " , ", NOW_MS, 1, &cert),
                     SATCHEL_E_MISUSE);
    assert_int_equal(crypto_make_server(text(&w->ca_key), text(&w->ca), text(&w->key), longer, NOW_MS, 1, &cert),
                     SATCHEL_E_RANGE);
    buf_fini(&cert);
}

static void write_file(const char *dir, const char *name, const buf *content) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(content->p, 1, content->n, f), content->n);
    fclose(f);
}

/* Runs a command in `dir`; its exit status is zero or not as expected. */
static void run(const char *dir, const char *command, bool succeeds) {
    char line[1024];
    snprintf(line, sizeof line, "cd '%s' && { %s; } >out 2>&1", dir, command);
    int status = system(line);
    if ((status == 0) != succeeds) fail_msg("%s: status %d, see %s/out", command, status, dir);
}

/* An independent judge: OpenSSL's strict verification, purposes, host names and text. */
static void crypto_certificates_openssl_strict_accepts(void **state) {
    world *w = *state;
    char dir[] = "/tmp/satchel-crypto-XXXXXX", line[64];
    if (system("command -v openssl >/dev/null 2>&1")) skip();
    assert_non_null(mkdtemp(dir));
    write_file(dir, "ca.pem", &w->ca);
    write_file(dir, "server.pem", &w->server);
    write_file(dir, "device.pem", &w->device);
    write_file(dir, "csr.pem", &w->csr);
#define VERIFY "at='-attime 1790000000'; openssl verify -x509_strict $at -CAfile ca.pem "
    run(dir, VERIFY "-purpose sslserver -verify_hostname crm.example.test server.pem", true);
    run(dir, VERIFY "-purpose sslserver -verify_ip 127.0.0.1 server.pem", true);
    run(dir, VERIFY "-purpose sslserver -verify_ip ::1 server.pem", true);
    run(dir, VERIFY "-purpose sslserver -verify_hostname other.test server.pem", false);
    run(dir, VERIFY "-purpose sslclient device.pem", true);
    run(dir, VERIFY "-purpose sslserver device.pem", false);
    run(dir, VERIFY "-purpose sslclient server.pem", false);
    run(dir, VERIFY "ca.pem", true);
    run(dir, "openssl verify -attime 1789481600 -CAfile ca.pem device.pem", true);  /* six days early: a slow clock */
    run(dir, "openssl verify -attime 1789308800 -CAfile ca.pem device.pem", false); /* before its time */
    run(dir, "openssl verify -attime 1792700000 -CAfile ca.pem device.pem", false); /* after it */
    run(dir, "openssl req -in csr.pem -noout -verify", true);
    run(dir, "openssl x509 -in device.pem -noout -subject -nameopt utf8,sname | grep -q \"^subject=CN *= *Jürgen's phone$\"",
        true);
    run(dir, "test $(openssl x509 -in device.pem -noout -serial | tr -d '\\n' | wc -c) -eq 39", true); /* serial= and 32 digits */
    snprintf(line, sizeof line, "rm -rf '%s'", dir);
    assert_int_equal(system(line), 0);
}

static void enrol_code_round_trip_keeps_every_field(void **state) {
    (void)state;
    enrol_code in = {.host = "crm.example.test", .port = 8443}, out = {0};
    buf code = {0};
    for (unsigned i = 0; i < sizeof in.pin; i++) in.pin[i] = (uint8_t)(i * 7);
    for (unsigned i = 0; i < sizeof in.secret; i++) in.secret[i] = (uint8_t)(255 - i);
    enrol_code_encode(&in, &code);
    assert_int_equal(code.rc, 0);
    assert_int_equal(strncmp(text(&code), "satchel1.", 9), 0);
    assert_int_equal(enrol_code_decode(text(&code), &out), 0);
    assert_string_equal(out.host, in.host);
    assert_int_equal(out.port, 8443);
    assert_memory_equal(out.pin, in.pin, sizeof in.pin);
    assert_memory_equal(out.secret, in.secret, sizeof in.secret);
    buf_fini(&code);
}

static void enrol_code_decode_garbage_is_refused_and_writes_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "satchel1.",
        "satchel2.AAAA",
        "satchel1.AAAA",
        "hello",
        "satchel1.!!!!",
        "satchel1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    enrol_code out, untouched;
    memset(&out, 0x5a, sizeof out);
    untouched = out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(enrol_code_decode(bad[i], &out), SATCHEL_E_ENROL_CODE);
        assert_memory_equal(&out, &untouched, sizeof out);
    }
}

static void enrol_code_decode_any_changed_character_is_refused(void **state) {
    (void)state;
    enrol_code in = {.host = "127.0.0.1", .port = 1}, out;
    buf code = {0};
    enrol_code_encode(&in, &code);
    for (size_t i = 0; i < code.n; i++) {
        uint8_t was = code.p[i];
        code.p[i] = was == 'Q' ? 'R' : 'Q';
        assert_int_equal(enrol_code_decode(text(&code), &out), SATCHEL_E_ENROL_CODE);
        code.p[i] = was;
    }
    code.p[code.n - 1] = 0;
    assert_int_equal(enrol_code_decode(text(&code), &out), SATCHEL_E_ENROL_CODE);
    buf_fini(&code);
}

static void enrol_code_decode_host_with_blank_or_no_port_is_refused(void **state) {
    (void)state;
    enrol_code spaced = {.host = "a b", .port = 1}, portless = {.host = "a"}, hostless = {.port = 1}, out;
    const enrol_code *bad[] = {&spaced, &portless, &hostless};
    for (size_t i = 0; i < 3; i++) {
        buf code = {0};
        enrol_code_encode(bad[i], &code);
        assert_int_equal(enrol_code_decode(text(&code), &out), SATCHEL_E_ENROL_CODE);
        buf_fini(&code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crypto_sha256_fips_vectors_match),
        cmocka_unit_test(crypto_sha1_rfc6455_example_gives_its_accept),
        cmocka_unit_test(crypto_random_two_draws_differ),
        cmocka_unit_test(crypto_base64url_rfc4648_vectors_round_trip),
        cmocka_unit_test(crypto_base64url_decode_foreign_characters_are_malformed),
        cmocka_unit_test(crypto_fingerprint_key_request_and_certificate_agree),
        cmocka_unit_test(crypto_made_at_is_the_moment_that_was_given),
        cmocka_unit_test(crypto_common_name_is_the_subject_s),
        cmocka_unit_test(crypto_fingerprint_garbage_is_malformed),
        cmocka_unit_test(crypto_not_after_is_days_from_now),
        cmocka_unit_test(crypto_make_csr_with_attribute_in_name_stays_one_name),
        cmocka_unit_test(crypto_sign_csr_damaged_signature_is_refused),
        cmocka_unit_test(crypto_sign_csr_other_key_than_the_ca_is_refused),
        cmocka_unit_test(crypto_make_server_bad_hosts_are_refused),
        cmocka_unit_test(crypto_certificates_openssl_strict_accepts),
        cmocka_unit_test(enrol_code_round_trip_keeps_every_field),
        cmocka_unit_test(enrol_code_decode_garbage_is_refused_and_writes_nothing),
        cmocka_unit_test(enrol_code_decode_any_changed_character_is_refused),
        cmocka_unit_test(enrol_code_decode_host_with_blank_or_no_port_is_refused),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
