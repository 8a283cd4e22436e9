/* The answer is JSON and is read with Jansson. A reader of our own for one flat object would be short but for the escapes of strings (a PEM is
 * full of them), and would be one more parser to fuzz; Jansson is small, without dependencies, fuzzed, and bounds depth and size. */
#include "replica/enroll.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/exchange.h"

#define ENROLL_PATH "/v1/enroll"

/* --- what is asked and answered ---------------------------------------------------------------------------------------------------- */

/* The request's body; owned by the caller, wiped and freed with free_body. NULL if memory is out or the name is not UTF-8. */
static char *make_body(const enrol_code *code, const char *csr, const char *name, const char *software) {
    buf secret = {0};
    crypto_base64url(code->secret, sizeof code->secret, &secret);
    json_t *o =
        secret.rc ? NULL
                  : json_pack("{ss ss ss ss}", "secret", (const char *)secret.p, "csr", csr, "name", name, "software", software);
    char *body = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    credentials_wipe(&secret);
    return body;
}

static void free_body(char *body) {
    if (body) explicit_bzero(body, strlen(body));
    free(body);
}

/* The code that a refusal names ("E_ENROL_USED"), among those that enrolment can answer. */
static int code_of_name(const char *name) {
    static const int known[] = {SATCHEL_E_ENROL_CODE,  SATCHEL_E_ENROL_USED, SATCHEL_E_EXPIRED, SATCHEL_E_REVOKED,
                                SATCHEL_E_CERTIFICATE, SATCHEL_E_OVERLOAD,   SATCHEL_E_BUSY,    SATCHEL_E_MALFORMED,
                                SATCHEL_E_LIMIT,       SATCHEL_E_FULL,       SATCHEL_E_IO,      SATCHEL_E_CLOSED,
                                SATCHEL_E_TIMEOUT};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(satchel_rc_name(known[i]), name)) return known[i];
    return SATCHEL_OK;
}

static int refused(json_t *answer, unsigned status, buf *error) {
    const char *name = json_string_value(json_object_get(answer, "code"));
    const char *title = json_string_value(json_object_get(answer, "title"));
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    int rc = name ? code_of_name(name) : SATCHEL_OK;
    if (!rc) rc = status == 429 || status >= 500 ? SATCHEL_E_OVERLOAD : SATCHEL_E_NETWORK;
    buf_printf(error, "the server refused the enrolment: %.200s%s%.200s (HTTP status %u)", title ? title : satchel_rc_text(rc),
               detail ? ": " : "", detail ? detail : "", status);
    return rc;
}

/* Copies a text member into an array; false if it is missing, empty or too long. */
static bool take_text(json_t *o, const char *member, char *out, size_t room) {
    json_t *text = json_object_get(o, member);
    size_t n = json_string_length(text);
    if (!json_is_string(text) || !n || n >= room) return false;
    memcpy(out, json_string_value(text), n + 1);
    return true;
}

/* Reads and checks an answer: the certificate must be of our key, and both must be readable, before anything is written. */
static int read_answer(json_t *o, const uint8_t key[CRYPTO_FINGERPRINT_BYTES], enroll_result *out, const char **cert,
                       const char **ca, buf *error) {
    uint8_t certified[CRYPTO_FINGERPRINT_BYTES], authority[CRYPTO_FINGERPRINT_BYTES];
    json_int_t port = json_integer_value(json_object_get(o, "sync_port"));
    *cert = json_string_value(json_object_get(o, "certificate"));
    *ca = json_string_value(json_object_get(o, "ca"));
    bool good = *cert && *ca && port > 0 && port < 65536 && take_text(o, "device", out->device, sizeof out->device) &&
                take_text(o, "sync_host", out->sync_host, sizeof out->sync_host);
    if (!good) return exchange_fail(error, SATCHEL_E_MALFORMED, "the server's answer to the enrolment is incomplete");
    if (crypto_fingerprint(*cert, certified) || crypto_fingerprint(*ca, authority) || crypto_not_after(*cert, &out->not_after_ms))
        return exchange_fail(error, SATCHEL_E_MALFORMED, "the server's answer to the enrolment holds no certificate");
    if (memcmp(certified, key, sizeof certified))
        return exchange_fail(error, SATCHEL_E_CERTIFICATE, "the server certified another key than this device's");
    memcpy(out->fingerprint, key, sizeof out->fingerprint);
    out->sync_port = (uint16_t)port;
    return SATCHEL_OK;
}

/* --- the whole --------------------------------------------------------------------------------------------------------------------- */

static int read_or_make_key(const char *dir, buf *key, buf *error) {
    int rc = credentials_read_file(dir, CREDENTIALS_KEY, key, error);
    if (rc != SATCHEL_E_NOT_FOUND) return rc;
    buf_clear(error);
    credentials_wipe(key);
    if ((rc = crypto_make_key(key))) return exchange_fail(error, rc, "cannot make a key pair");
    return credentials_write_file(dir, CREDENTIALS_KEY, (const char *)key->p, error);
}

/* The key of an earlier or interrupted enrolment, or a new one. */
static int take_key(const char *dir, buf *key, buf *error) {
    int rc = credentials_settle(dir, error);
    int lock = rc ? rc : credentials_lock(dir, error);
    if (lock < 0) return lock;
    rc = read_or_make_key(dir, key, error);
    close(lock);
    return rc;
}

/* A change of the key may have come to its end meanwhile: what was certified here is the key now. */
static int write_all(const char *dir, const buf *key, const char *cert, const char *ca, buf *error) {
    buf now = {0}, none = {0};
    int lock = credentials_lock(dir, error);
    if (lock < 0) return lock;
    bool same = !credentials_read_file(dir, CREDENTIALS_KEY, &now, &none) && now.n == key->n && !memcmp(now.p, key->p, now.n);
    int rc = same ? SATCHEL_OK : credentials_write_file(dir, CREDENTIALS_KEY, (const char *)key->p, error);
    if (!rc) rc = credentials_write_file(dir, CREDENTIALS_CERT, cert, error);
    if (!rc) rc = credentials_write_file(dir, CREDENTIALS_CA, ca, error);
    close(lock);
    credentials_wipe(&now);
    buf_fini(&none);
    return rc;
}

static int store_answer(const char *dir, const char *answer, unsigned status, const buf *key,
                        const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], enroll_result *out, buf *error) {
    const char *cert = NULL, *ca = NULL;
    enroll_result result = {0};
    json_t *o = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    int rc;
    if (status != 200)
        rc = refused(o, status, error);
    else if (!json_is_object(o))
        rc = exchange_fail(error, SATCHEL_E_MALFORMED, "the server's answer to the enrolment is no JSON object");
    else
        rc = read_answer(o, fingerprint, &result, &cert, &ca, error);
    if (!rc) rc = write_all(dir, key, cert, ca, error);
    if (!rc) *out = result;
    json_decref(o);
    return rc;
}

int enroll_run(const char *code_text, const char *identity_dir, const char *name, const char *software, enroll_result *out,
               buf *error) {
    enrol_code code = {0};
    buf key = {0}, csr = {0};
    exchange *x = NULL;
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    unsigned status = 0;
    char *body = NULL;
    int rc = enrol_code_decode(code_text, &code);
    if (rc) return exchange_fail(error, rc, "this is no enrolment code, or it is incomplete");
    if ((rc = credentials_make_dir(identity_dir, error))) goto out;
    if ((rc = take_key(identity_dir, &key, error))) goto out;
    rc = crypto_fingerprint((const char *)key.p, fingerprint);
    if (!rc) rc = crypto_make_csr((const char *)key.p, name, &csr);
    if (rc) {
        rc = exchange_fail(error, rc == SATCHEL_E_MALFORMED ? SATCHEL_E_CERTIFICATE : rc,
                           "the key in the identity directory cannot be used (" CREDENTIALS_KEY ")");
        goto out;
    }
    body = make_body(&code, (const char *)csr.p, name, software ? software : "satchel");
    if (!body) {
        rc = exchange_fail(error, SATCHEL_E_MISUSE, "the device's name is not valid UTF-8");
        goto out;
    }
    stream_config c = {.host = code.host, .port = code.port, .pin = code.pin};
    if ((rc = exchange_new(&c, ENROLL_PATH, body, ENROLL_MS, &x, error)) || (rc = exchange_run(x, error))) goto out;
    const char *answer = exchange_answer(x, &status);
    rc = store_answer(identity_dir, answer, status, &key, fingerprint, out, error);
out:
    explicit_bzero(&code, sizeof code);
    free_body(body);
    credentials_wipe(&key);
    buf_fini(&csr);
    exchange_free(x);
    return rc;
}
