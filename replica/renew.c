#include "replica/renew.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/exchange.h"

#define RENEW_PATH "/v1/renew"
#define LEAVE_PATH "/v1/leave"

struct renewal {
    exchange *exchange;
    char *dir;
    uint8_t key[CRYPTO_FINGERPRINT_BYTES];
    uint8_t was[CRYPTO_FINGERPRINT_BYTES]; /* SHA-256 of the certificate that it was begun with */
};

bool renew_is_due(const char *dir, uint64_t now_ms) {
    buf cert = {0}, key = {0}, error = {0};
    uint64_t made_ms, end_ms;
    bool due = !credentials_read_file(dir, CREDENTIALS_NEXT_KEY, &key, &error);
    if (!due && !credentials_read_file(dir, CREDENTIALS_CERT, &cert, &error) && !crypto_made_at((const char *)cert.p, &made_ms) &&
        !crypto_not_after((const char *)cert.p, &end_ms))
        due = end_ms > made_ms && now_ms + (end_ms - made_ms) / 3 >= end_ms;
    credentials_wipe(&key);
    buf_fini(&cert);
    buf_fini(&error);
    return due;
}

int renew_make_key(const char *dir, buf *error) {
    buf key = {0};
    int lock = credentials_lock(dir, error);
    if (lock < 0) return lock;
    int rc = credentials_read_file(dir, CREDENTIALS_NEXT_KEY, &key, error);
    if (rc == SATCHEL_E_NOT_FOUND) {
        buf_clear(error);
        credentials_wipe(&key);
        rc = crypto_make_key(&key) ? exchange_fail(error, SATCHEL_E_INTERNAL, "cannot make a key pair") : SATCHEL_OK;
        if (!rc) rc = credentials_write_file(dir, CREDENTIALS_NEXT_KEY, (const char *)key.p, error);
    }
    credentials_wipe(&key);
    close(lock);
    return rc;
}

/* ---- asking ---- */

/* The request's body: of the new key if there is one, else of the present one. The caller frees it. */
static int make_body(renewal *r, const credentials *now, char **out, buf *error) {
    buf next = {0}, csr = {0}, none = {0};
    int rc = credentials_read_file(r->dir, CREDENTIALS_NEXT_KEY, &next, &none);
    const char *key = (const char *)(rc ? now->key.p : next.p);
    if (rc == SATCHEL_E_NOT_FOUND) rc = SATCHEL_OK;
    if (!rc) rc = crypto_make_csr(key, "device", &csr);
    if (!rc) rc = crypto_fingerprint(key, r->key);
    if (rc) buf_printf(error, "the device's key cannot be used: %s", satchel_rc_text(rc));
    json_t *o = rc ? NULL : json_pack("{ss}", "csr", (const char *)csr.p);
    *out = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    credentials_wipe(&next);
    buf_fini(&csr);
    buf_fini(&none);
    return rc ? rc : *out ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int ask(const renew_server *s, const credentials *now, const char *path, const char *body, uint64_t within_ms,
               exchange **out, buf *error) {
    stream_config c = {.host = s->host,
                       .port = s->port,
                       .ca_pem = (const char *)now->ca.p,
                       .cert_pem = (const char *)now->cert.p,
                       .key_pem = (const char *)now->key.p};
    return exchange_new(&c, path, body, within_ms, out, error);
}

int renew_begin(const renew_server *server, renewal **out, buf *error) {
    credentials now;
    char *body = NULL;
    renewal *r = *out = calloc(1, sizeof *r);
    if (!r) return SATCHEL_E_NOMEM;
    r->dir = strdup(server->dir);
    int rc = credentials_read(server->dir, &now, error);
    if (!rc && !r->dir) rc = SATCHEL_E_NOMEM;
    if (!rc) crypto_sha256(now.cert.p, now.cert.n, r->was);
    if (!rc) rc = make_body(r, &now, &body, error);
    if (!rc) rc = ask(server, &now, RENEW_PATH, body, RENEW_MS, &r->exchange, error);
    free(body);
    credentials_fini(&now);
    if (rc) {
        renew_free(r);
        *out = NULL;
    }
    return rc;
}

void renew_free(renewal *r) {
    if (!r) return;
    exchange_free(r->exchange);
    free(r->dir);
    free(r);
}

/* ---- the answer ---- */

/* A refusal passes: the certificate that is here is good for a while yet. */
static int refused(const char *answer, unsigned status, buf *error) {
    json_t *o = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    const char *code = json_string_value(json_object_get(o, "code"));
    int rc = code && !strcmp(code, satchel_rc_name(SATCHEL_E_REVOKED)) ? SATCHEL_E_REVOKED : SATCHEL_E_OVERLOAD;
    buf_printf(error, "the server refused it: %.100s (HTTP status %u)", code ? code : "without a reason", status);
    json_decref(o);
    return rc;
}

/* Whoever enrolled the device meanwhile, perhaps with another server, has the last word. */
static int check_unchanged(const renewal *r, buf *error) {
    uint8_t is[CRYPTO_FINGERPRINT_BYTES];
    buf cert = {0};
    int rc = credentials_read_file(r->dir, CREDENTIALS_CERT, &cert, error);
    if (!rc) crypto_sha256(cert.p, cert.n, is);
    buf_fini(&cert);
    if (rc || !memcmp(is, r->was, sizeof is)) return rc;
    return exchange_fail(error, SATCHEL_E_BUSY,
                         "the device was enrolled while its certificate was renewed; the new one is not taken");
}

/* The certificate first: with it a change of key is made, which the next reading completes (credentials.h), and the rest can be done again. */
static int install(const renewal *r, const char *cert, const char *ca, buf *error) {
    uint8_t certified[CRYPTO_FINGERPRINT_BYTES], authority[CRYPTO_FINGERPRINT_BYTES];
    if (!cert || !ca || crypto_fingerprint(cert, certified) || crypto_fingerprint(ca, authority))
        return exchange_fail(error, SATCHEL_E_MALFORMED, "the server's answer to the renewal holds no certificate");
    if (memcmp(certified, r->key, sizeof certified))
        return exchange_fail(error, SATCHEL_E_CERTIFICATE, "the server certified another key than this device's");
    int lock = credentials_lock(r->dir, error);
    if (lock < 0) return lock;
    int rc = check_unchanged(r, error);
    if (!rc) rc = credentials_write_file(r->dir, CREDENTIALS_CERT, cert, error);
    if (!rc) rc = credentials_write_file(r->dir, CREDENTIALS_CA, ca, error);
    close(lock);
    return rc;
}

int renew_step(renewal *r, buf *error) {
    unsigned status;
    int rc = exchange_step(r->exchange, error);
    if (rc <= 0) return rc;
    const char *answer = exchange_answer(r->exchange, &status);
    if (status != 200) return refused(answer, status, error);
    json_t *o = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    rc = install(r, json_string_value(json_object_get(o, "certificate")), json_string_value(json_object_get(o, "ca")), error);
    json_decref(o);
    return rc ? rc : 1;
}

int renew_leave(const renew_server *server, buf *error) {
    credentials now;
    exchange *x = NULL;
    unsigned status = 0;
    int rc = credentials_read(server->dir, &now, error);
    if (!rc) rc = ask(server, &now, LEAVE_PATH, "{}", LEAVE_MS, &x, error);
    if (!rc) rc = exchange_run(x, error);
    if (!rc) {
        const char *answer = exchange_answer(x, &status);
        if (status != 200) rc = refused(answer, status, error);
    }
    exchange_free(x);
    credentials_fini(&now);
    return rc;
}
