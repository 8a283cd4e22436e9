/* The answer is JSON and is read with Jansson. A reader of our own for one flat object would be short but for the escapes of strings (a PEM is
 * full of them), and would be one more parser to fuzz; Jansson is small, without dependencies, fuzzed, and bounds depth and size. */
#include "replica/enroll.h"

#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/http1.h"
#include "replica/stream.h"

#define ENROLL_PATH "/v1/enroll"

/* --- one HTTPS exchange --------------------------------------------------------------------------------------------------------- */

static int fail(buf *error, int rc, const char *words) {
    buf_printf(error, "%s", words);
    return rc;
}

static int fail_stream(const stream *s, int rc, buf *error) {
    return fail(error, rc, stream_error(s));
}

/* Waits until the stream can go on; SATCHEL_E_TIMEOUT when the time is over. */
static int wait_for(const stream *s, short events, uint64_t deadline_ms, buf *error) {
    uint64_t now = stream_clock_ms();
    if (now >= deadline_ms) return fail(error, SATCHEL_E_TIMEOUT, "the server did not answer the enrolment in time");
    struct pollfd p = {.fd = stream_fd(s), .events = (short)(events | stream_events(s))};
    int wait_ms = (int)(deadline_ms - now), bound_ms = stream_timeout_ms(s);
    poll(&p, 1, bound_ms >= 0 && bound_ms < wait_ms ? bound_ms : wait_ms);
    return SATCHEL_OK;
}

static int connect_to(stream *s, uint64_t deadline_ms, buf *error) {
    int rc = stream_connect(s);
    while (!rc && !(rc = stream_step(s)) && !stream_is_open(s)) {
        if ((rc = wait_for(s, 0, deadline_ms, error))) return rc;
    }
    return rc ? fail_stream(s, rc, error) : SATCHEL_OK;
}

static int send_all(stream *s, const buf *request, uint64_t deadline_ms, buf *error) {
    size_t sent = 0, put;
    while (sent < request->n) {
        int rc = stream_write(s, request->p + sent, request->n - sent, &put);
        if (rc) return fail_stream(s, rc, error);
        if (!put && (rc = wait_for(s, POLLOUT, deadline_ms, error))) return rc;
        sent += put;
    }
    return SATCHEL_OK;
}

/* True when the answer is whole. *rc tells of one that cannot become so. */
static bool is_whole(const buf *answer, bool ended, http1_head *head, int *rc) {
    int parsed = http1_parse(answer->p, answer->n, head);
    if (parsed < 0) *rc = SATCHEL_E_NETWORK;
    if (parsed <= 0) return parsed < 0;
    if (head->content_length == HTTP1_NO_LENGTH) return ended;
    return answer->n - head->bytes >= head->content_length;
}

static int receive_all(stream *s, buf *answer, http1_head *head, uint64_t deadline_ms, buf *error) {
    for (;;) {
        size_t got;
        uint8_t *room = buf_reserve(answer, 4096);
        if (!room) return fail(error, SATCHEL_E_MALFORMED, "the server's answer is too long");
        int rc = stream_read(s, room, 4096, &got), bad = SATCHEL_OK;
        answer->n += got;
        if (answer->n && (got || rc == SATCHEL_E_CLOSED) && is_whole(answer, rc == SATCHEL_E_CLOSED, head, &bad))
            return bad ? fail(error, bad, "what answers does not speak HTTP") : SATCHEL_OK;
        if (rc) return fail_stream(s, rc, error);
        if (!got && (rc = wait_for(s, POLLIN, deadline_ms, error))) return rc;
    }
}

/* Posts `body` and reads the answer's body as a zero-terminated text into `answer`, with its status. */
static int post(const enrol_code *code, const char *body, buf *answer, unsigned *status, buf *error) {
    stream_config c = {.host = code->host, .port = code->port, .pin = code->pin};
    stream *s = NULL;
    buf request = {0}, whole = {.max = LIMIT_HTTP_BODY_BYTES + HTTP1_HEAD_BYTES};
    http1_head head = {0};
    uint64_t deadline_ms = stream_clock_ms() + ENROLL_MS;
    bool is_v6 = strchr(code->host, ':') != NULL;
    buf_printf(&request,
               "POST " ENROLL_PATH " HTTP/1.1\r\nHost: %s%s%s:%u\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
               "Accept: application/json\r\nConnection: close\r\n\r\n%s",
               is_v6 ? "[" : "", code->host, is_v6 ? "]" : "", code->port, strlen(body), body);
    int rc = request.rc ? request.rc : stream_new(&c, &s, error);
    if (!rc) rc = connect_to(s, deadline_ms, error);
    if (!rc) rc = send_all(s, &request, deadline_ms, error);
    if (!rc) rc = receive_all(s, &whole, &head, deadline_ms, error);
    if (!rc) {
        *status = head.status;
        buf_printf(answer, "%.*s", (int)(whole.n - head.bytes), (const char *)whole.p + head.bytes);
        rc = answer->rc;
    }
    stream_free(s);
    credentials_wipe(&request);
    buf_fini(&whole);
    return rc;
}

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
    if (!good) return fail(error, SATCHEL_E_MALFORMED, "the server's answer to the enrolment is incomplete");
    if (crypto_fingerprint(*cert, certified) || crypto_fingerprint(*ca, authority) || crypto_not_after(*cert, &out->not_after_ms))
        return fail(error, SATCHEL_E_MALFORMED, "the server's answer to the enrolment holds no certificate");
    if (memcmp(certified, key, sizeof certified))
        return fail(error, SATCHEL_E_CERTIFICATE, "the server certified another key than this device's");
    memcpy(out->fingerprint, key, sizeof out->fingerprint);
    out->sync_port = (uint16_t)port;
    return SATCHEL_OK;
}

/* --- the whole --------------------------------------------------------------------------------------------------------------------- */

/* The key of an earlier or interrupted enrolment, or a new one. */
static int take_key(const char *dir, buf *key, buf *error) {
    int rc = credentials_read_file(dir, CREDENTIALS_KEY, key, error);
    if (rc != SATCHEL_E_NOT_FOUND) return rc;
    buf_clear(error);
    credentials_wipe(key);
    if ((rc = crypto_make_key(key))) return fail(error, rc, "cannot make a key pair");
    return credentials_write_file(dir, CREDENTIALS_KEY, (const char *)key->p, error);
}

static int store_answer(const char *dir, const buf *answer, unsigned status, const uint8_t key[CRYPTO_FINGERPRINT_BYTES],
                        enroll_result *out, buf *error) {
    const char *cert = NULL, *ca = NULL;
    enroll_result result = {0};
    json_t *o = json_loads((const char *)answer->p, JSON_REJECT_DUPLICATES, NULL);
    int rc;
    if (status != 200)
        rc = refused(o, status, error);
    else if (!json_is_object(o))
        rc = fail(error, SATCHEL_E_MALFORMED, "the server's answer to the enrolment is no JSON object");
    else
        rc = read_answer(o, key, &result, &cert, &ca, error);
    if (!rc) rc = credentials_write_file(dir, CREDENTIALS_CA, ca, error);
    if (!rc) rc = credentials_write_file(dir, CREDENTIALS_CERT, cert, error);
    if (!rc) *out = result;
    json_decref(o);
    return rc;
}

int enroll_run(const char *code_text, const char *identity_dir, const char *name, const char *software, enroll_result *out,
               buf *error) {
    enrol_code code = {0};
    buf key = {0}, csr = {0}, answer = {.max = LIMIT_HTTP_BODY_BYTES + HTTP1_HEAD_BYTES};
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    unsigned status = 0;
    char *body = NULL;
    int rc = enrol_code_decode(code_text, &code);
    if (rc) return fail(error, rc, "this is no enrolment code, or it is incomplete");
    if ((rc = credentials_make_dir(identity_dir, error))) goto out;
    if ((rc = take_key(identity_dir, &key, error))) goto out;
    rc = crypto_fingerprint((const char *)key.p, fingerprint);
    if (!rc) rc = crypto_make_csr((const char *)key.p, name, &csr);
    if (rc) {
        rc = fail(error, rc == SATCHEL_E_MALFORMED ? SATCHEL_E_CERTIFICATE : rc,
                  "the key in the identity directory cannot be used (" CREDENTIALS_KEY ")");
        goto out;
    }
    body = make_body(&code, (const char *)csr.p, name, software ? software : "satchel");
    if (!body) {
        rc = fail(error, SATCHEL_E_MISUSE, "the device's name is not valid UTF-8");
        goto out;
    }
    if ((rc = post(&code, body, &answer, &status, error))) goto out;
    rc = store_answer(identity_dir, &answer, status, fingerprint, out, error);
out:
    explicit_bzero(&code, sizeof code);
    free_body(body);
    credentials_wipe(&key);
    buf_fini(&csr);
    buf_fini(&answer);
    return rc;
}
