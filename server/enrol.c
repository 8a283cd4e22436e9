#include "server/enrol.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"

static int take_secret(enrol *e, const char *text) {
    buf bytes = {.max = 64};
    int rc = crypto_base64url_decode(text, &bytes);
    if (rc || bytes.n != sizeof e->secret)
        rc = SATCHEL_E_ENROL_CODE;
    else
        memcpy(e->secret, bytes.p, sizeof e->secret);
    buf_fini(&bytes);
    return rc;
}

static int take_members(enrol *e, json_t *root, buf *error) {
    const char *secret = json_string_value(json_object_get(root, "secret"));
    const char *csr = json_string_value(json_object_get(root, "csr"));
    const char *software = json_string_value(json_object_get(root, "software"));
    if (!secret || !csr) {
        buf_printf(error, "the request needs the texts \"secret\" and \"csr\"");
        return SATCHEL_E_MALFORMED;
    }
    snprintf(e->software, sizeof e->software, "%s", software ? software : "");
    buf_printf(&e->csr, "%s", csr);
    if (e->csr.rc) return e->csr.rc;
    if (crypto_fingerprint(csr, e->fingerprint)) {
        buf_printf(error, "\"csr\" is not a certificate request in PEM");
        return SATCHEL_E_MALFORMED;
    }
    return take_secret(e, secret);
}

int enrol_parse(enrol *e, const void *body, size_t n, buf *error) {
    *e = (enrol){0};
    json_error_t where;
    json_t *root = json_loadb(body, n, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(root)) {
        buf_printf(error, "the body is not a JSON object");
        json_decref(root);
        return SATCHEL_E_MALFORMED;
    }
    int rc = take_members(e, root, error);
    json_decref(root);
    return rc;
}

void enrol_fini(enrol *e) {
    explicit_bzero(e->secret, sizeof e->secret);
    buf_fini(&e->csr);
    buf_fini(&e->certificate);
}

int enrol_run(enrol *e, store *s, const identity *id, uint64_t now_ms) {
    int rc = store_enrol_redeem(s, e->secret, e->fingerprint, now_ms, &e->device);
    if (rc) return rc;
    buf_clear(&e->certificate);
    rc = crypto_sign_csr((const char *)id->ca_key.p, (const char *)id->ca_cert.p, (const char *)e->csr.p, e->device.name, now_ms,
                         IDENTITY_DEVICE_DAYS, &e->certificate);
    return rc == SATCHEL_E_MALFORMED ? SATCHEL_E_CERTIFICATE : rc;
}

int enrol_answer(const enrol *e, const service *sv, buf *out) {
    json_t *answer = json_pack("{ss ss ss ss si}", "device", e->device.name, "certificate", (const char *)e->certificate.p, "ca",
                               (const char *)sv->identity->ca_cert.p, "sync_host", sv->host, "sync_port", (int)sv->sync_port);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text) buf_printf(out, "%s\n", text);
    free(text);
    json_decref(answer);
    return text ? out->rc : SATCHEL_E_NOMEM;
}

static bool is_open(const enrol_limiter *l, size_t i, uint64_t now_ms) {
    return l->entry[i].wrong && now_ms < l->entry[i].since_ms + ENROL_WINDOW_MS;
}

uint64_t enrol_limiter_wait(const enrol_limiter *l, const char *address, uint64_t now_ms) {
    for (size_t i = 0; i < ENROL_ADDRESSES; i++) {
        if (!is_open(l, i, now_ms) || strcmp(l->entry[i].address, address)) continue;
        return l->entry[i].wrong < ENROL_TRIES ? 0 : l->entry[i].since_ms + ENROL_WINDOW_MS - now_ms;
    }
    return 0;
}

void enrol_limiter_wrong(enrol_limiter *l, const char *address, uint64_t now_ms) {
    size_t at = 0;
    for (size_t i = 0; i < ENROL_ADDRESSES; i++) {
        if (is_open(l, i, now_ms) && !strcmp(l->entry[i].address, address)) {
            l->entry[i].wrong++;
            return;
        }
        if (l->entry[i].since_ms < l->entry[at].since_ms) at = i;
    }
    l->entry[at].since_ms = now_ms;
    l->entry[at].wrong = 1;
    snprintf(l->entry[at].address, sizeof l->entry[at].address, "%s", address);
}
