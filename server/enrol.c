#include "server/enrol.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/store_keys.h"

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

static int take_csr(enrol *e, const char *csr, buf *error) {
    buf_printf(&e->csr, "%s", csr);
    if (e->csr.rc) return e->csr.rc;
    if (!crypto_fingerprint(csr, e->fingerprint)) return SATCHEL_OK;
    buf_printf(error, "\"csr\" is not a certificate request in PEM");
    return SATCHEL_E_MALFORMED;
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
    int rc = take_csr(e, csr, error);
    return rc ? rc : take_secret(e, secret);
}

/* NULL with words if it is no object. */
static json_t *load(const void *body, size_t n, buf *error) {
    json_error_t where;
    json_t *root = json_loadb(body ? body : "", n, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(root)) return root;
    buf_printf(error, "the body is not a JSON object");
    json_decref(root);
    return NULL;
}

int enrol_parse(enrol *e, const void *body, size_t n, buf *error) {
    *e = (enrol){0};
    json_t *root = load(body, n, error);
    int rc = root ? take_members(e, root, error) : SATCHEL_E_MALFORMED;
    json_decref(root);
    return rc;
}

int enrol_parse_renewal(enrol *e, const void *body, size_t n, const uint8_t shown[CRYPTO_FINGERPRINT_BYTES], buf *error) {
    *e = (enrol){0};
    memcpy(e->shown, shown, sizeof e->shown);
    json_t *root = load(body, n, error);
    const char *csr = json_string_value(json_object_get(root, "csr"));
    if (root && !csr) buf_printf(error, "the request needs the text \"csr\"");
    int rc = csr ? take_csr(e, csr, error) : SATCHEL_E_MALFORMED;
    json_decref(root);
    return rc;
}

void enrol_fini(enrol *e) {
    explicit_bzero(e->secret, sizeof e->secret);
    buf_fini(&e->csr);
    buf_fini(&e->certificate);
    buf_fini(&e->ca);
}

/* Certificate and authorities as they are now: on the writer, where the identity changes. */
static int sign(enrol *e, const service *sv, uint64_t now_ms) {
    unsigned days = sv->certificate_days ? sv->certificate_days : IDENTITY_DEVICE_DAYS;
    buf_clear(&e->certificate);
    buf_clear(&e->ca);
    identity_trust(sv->identity, &e->ca);
    int rc = identity_sign(sv->identity, (const char *)e->csr.p, e->device.name, now_ms, days, &e->certificate);
    return rc == SATCHEL_E_MALFORMED ? SATCHEL_E_CERTIFICATE : rc ? rc : e->ca.rc;
}

static bool is_to_hold_the_same(const device_info *a, const device_info *b) {
    return a->everything == b->everything && !strcmp(a->profile, b->profile) && !strcmp(a->user, b->user) &&
           !strcmp(a->store, b->store);
}

int enrol_run(enrol *e, store *s, const service *sv, uint64_t now_ms) {
    device_info before;
    int known = store_device_by_fingerprint(s, e->fingerprint, &before);
    if (known && known != SATCHEL_E_NOT_FOUND) return known;
    int rc = store_enrol_redeem(s, e->secret, e->fingerprint, now_ms, &e->device);
    /* The code was spent by a key that the device has changed since. */
    if (rc == SATCHEL_E_NOT_FOUND) rc = SATCHEL_E_ENROL_USED;
    /* A device that is known may be connected, and is to hold what its code says. All who are connected are asked for then, which no other enrolment is to cost. */
    if (!rc && !known && !is_to_hold_the_same(&before, &e->device)) hub_scope_changed(sv->hub);
    return rc ? rc : sign(e, sv, now_ms);
}

/* Whom the connection has proved to be. A paused device may look after its certificate. */
static int find_shown(enrol *e, store *s) {
    int rc = store_device_by_fingerprint(s, e->shown, &e->device);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_E_CERTIFICATE : rc;
    if (e->device.state == DEVICE_REVOKED || e->device.state == DEVICE_REMOVED) return SATCHEL_E_REVOKED;
    return e->device.state == DEVICE_ACTIVE || e->device.state == DEVICE_PAUSED ? SATCHEL_OK : SATCHEL_E_WIPED;
}

int enrol_renew(enrol *e, store *s, const service *sv, uint64_t now_ms) {
    int rc = find_shown(e, s);
    if (!rc) rc = store_key_used(s, &e->device, e->shown, now_ms);
    if (!rc) rc = store_key_offer(s, e->device.id, e->fingerprint);
    if (rc) return rc == SATCHEL_E_KEY_TAKEN ? SATCHEL_E_CERTIFICATE : rc;
    return sign(e, sv, now_ms);
}

int enrol_leave(enrol *e, store *s, uint64_t now_ms) {
    int rc = find_shown(e, s);
    /* Who left before, or was sent away, has left. */
    return rc && rc != SATCHEL_E_REVOKED && rc != SATCHEL_E_WIPED ? rc : store_device_left(s, e->device.id, now_ms);
}

static int put_answer(json_t *answer, buf *out) {
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text) buf_printf(out, "%s\n", text);
    free(text);
    json_decref(answer);
    return text ? out->rc : SATCHEL_E_NOMEM;
}

int enrol_answer(const enrol *e, const service *sv, buf *out) {
    return put_answer(json_pack("{ss ss ss ss si}", "device", e->device.name, "certificate", (const char *)e->certificate.p, "ca",
                                (const char *)e->ca.p, "sync_host", sv->host, "sync_port", (int)sv->sync_port),
                      out);
}

int enrol_answer_renewal(const enrol *e, buf *out) {
    return put_answer(json_pack("{ss ss}", "certificate", (const char *)e->certificate.p, "ca", (const char *)e->ca.p), out);
}

/* Of IPv6 the network of 64 bits, of whose addresses anybody has as many as he likes. */
static void network_of(const char *address, char out[INET6_ADDRSTRLEN]) {
    struct in6_addr a;
    bool wide = inet_pton(AF_INET6, address, &a) == 1 && !IN6_IS_ADDR_V4MAPPED(&a);
    if (wide) memset(a.s6_addr + 8, 0, 8);
    if (!wide || !inet_ntop(AF_INET6, &a, out, INET6_ADDRSTRLEN)) snprintf(out, INET6_ADDRSTRLEN, "%s", address);
}

static bool is_open(const enrol_limiter *l, size_t i, uint64_t now_ms) {
    return l->entry[i].wrong && now_ms >= l->entry[i].since_ms && now_ms < l->entry[i].since_ms + ENROL_WINDOW_MS;
}

uint64_t enrol_limiter_wait(const enrol_limiter *l, const char *address, uint64_t now_ms) {
    char network[INET6_ADDRSTRLEN];
    network_of(address, network);
    for (size_t i = 0; i < ENROL_ADDRESSES; i++) {
        if (!is_open(l, i, now_ms) || strcmp(l->entry[i].address, network)) continue;
        return l->entry[i].wrong < ENROL_TRIES ? 0 : l->entry[i].since_ms + ENROL_WINDOW_MS - now_ms;
    }
    return 0;
}

void enrol_limiter_wrong(enrol_limiter *l, const char *address, uint64_t now_ms) {
    size_t at = 0;
    char network[INET6_ADDRSTRLEN];
    network_of(address, network);
    for (size_t i = 0; i < ENROL_ADDRESSES; i++) {
        if (is_open(l, i, now_ms) && !strcmp(l->entry[i].address, network)) {
            l->entry[i].wrong++;
            return;
        }
        if (l->entry[i].since_ms < l->entry[at].since_ms) at = i;
    }
    l->entry[at].since_ms = now_ms;
    l->entry[at].wrong = 1;
    snprintf(l->entry[at].address, sizeof l->entry[at].address, "%s", network);
}
