#include "protocol/crypto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* mbedTLS 3 hides a request's signature, which has to be checked here: the library parses requests without verifying them. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/asn1write.h>
#include <mbedtls/base64.h>
#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "protocol/satchel_rc.h"
#include "protocol/value.h"

#define PEM_BYTES 4096
#define SERIAL_BYTES 16
#define NAME_BYTES 64 /* X.520 ub-common-name */
#define DIGEST_TYPE MBEDTLS_MD_SHA256
#define DAY_MS (24ull * 3600 * 1000)
/* Certificates begin a week before they are made: a device whose clock is behind must not refuse the server as "not yet valid". What its clock is
 * worth is for the merge to decide. */
#define BACKDATE_MS (7 * DAY_MS)

/* --- errors, randomness, digests --------------------------------------------------------------------------------------------- */

/* The one place where mbedTLS's codes become ours. `what` is the code for input that does not parse. */
static int rc_of(int mbed, int what) {
    if (mbed >= 0) return SATCHEL_OK;
    switch (mbed) {
    case MBEDTLS_ERR_PK_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED:
    case MBEDTLS_ERR_ECP_ALLOC_FAILED:
    case MBEDTLS_ERR_MD_ALLOC_FAILED:
    case MBEDTLS_ERR_ASN1_ALLOC_FAILED:
        return SATCHEL_E_NOMEM;
    default:
        return what;
    }
}

int crypto_random(void *out, size_t n) {
    uint8_t *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return SATCHEL_E_INTERNAL;
        p += got;
        n -= (size_t)got;
    }
    return SATCHEL_OK;
}

/* mbedTLS's shape of crypto_random. */
static int rng(void *ctx, unsigned char *out, size_t n) {
    (void)ctx;
    return crypto_random(out, n) ? MBEDTLS_ERR_ECP_RANDOM_FAILED : 0;
}

void crypto_sha256(const void *p, size_t n, uint8_t out[32]) {
    mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), n ? p : "", n, out);
}

struct crypto_hash {
    mbedtls_md_context_t md;
};

crypto_hash *crypto_hash_new(void) {
    crypto_hash *h = malloc(sizeof *h);
    if (!h) return NULL;
    mbedtls_md_init(&h->md);
    if (!mbedtls_md_setup(&h->md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0) && !mbedtls_md_starts(&h->md)) return h;
    mbedtls_md_free(&h->md);
    free(h);
    return NULL;
}

void crypto_hash_put(crypto_hash *h, const void *p, size_t n) {
    mbedtls_md_update(&h->md, n ? p : "", n);
}

void crypto_hash_end(crypto_hash *h, uint8_t out[32]) {
    mbedtls_md_finish(&h->md, out);
    mbedtls_md_free(&h->md);
    free(h);
}

void crypto_sha1(const void *p, size_t n, uint8_t out[20]) {
    mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), n ? p : "", n, out);
}

/* --- base64 ------------------------------------------------------------------------------------------------------------------ */

void crypto_base64(const void *p, size_t n, buf *out) {
    size_t room = (n + 2) / 3 * 4 + 1, written = 0;
    uint8_t *to = buf_reserve(out, room);
    if (!to) return;
    to[0] = 0;
    if (n && mbedtls_base64_encode(to, room, &written, p, n)) {
        out->rc = SATCHEL_E_INTERNAL;
        return;
    }
    out->n += written;
}

void crypto_base64url(const void *p, size_t n, buf *out) {
    size_t start = out->n;
    crypto_base64(p, n, out);
    if (out->rc) return;
    for (size_t i = start; i < out->n; i++) {
        if (out->p[i] == '+') out->p[i] = '-';
        if (out->p[i] == '/') out->p[i] = '_';
    }
    while (out->n > start && out->p[out->n - 1] == '=') out->p[--out->n] = 0;
}

/* mbedTLS would pass over blanks. */
int crypto_base64_decode(const char *text, size_t n, buf *out) {
    size_t written = 0;
    for (size_t i = 0; i < n; i++)
        if (text[i] == ' ' || text[i] == '\r' || text[i] == '\n') return SATCHEL_E_MALFORMED;
    uint8_t *to = n % 4 ? NULL : buf_reserve(out, n / 4 * 3 + 1);
    if (!to) return out->rc ? out->rc : SATCHEL_E_MALFORMED;
    if (n && mbedtls_base64_decode(to, n / 4 * 3, &written, (const uint8_t *)text, n)) return SATCHEL_E_MALFORMED;
    out->n += written;
    return SATCHEL_OK;
}

/* The same text in the standard alphabet with padding; false at any byte outside the URL alphabet (mbedTLS would skip blanks). */
static bool base64_from_url(const char *text, buf *out) {
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool alnum = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && c != '-' && c != '_') return false;
        buf_put_byte(out, (uint8_t)(c == '-' ? '+' : c == '_' ? '/' : c));
    }
    for (; n % 4; n++) buf_put_byte(out, '=');
    return true;
}

int crypto_base64url_decode(const char *text, buf *out) {
    buf standard;
    buf_init(&standard, 0);
    int rc = SATCHEL_E_MALFORMED;
    if (strlen(text) % 4 == 1 || !base64_from_url(text, &standard)) goto out;
    if ((rc = standard.rc)) goto out;
    rc = crypto_base64_decode((const char *)standard.p, standard.n, out);
out:
    if (standard.p) mbedtls_platform_zeroize(standard.p, standard.n);
    buf_fini(&standard);
    return rc;
}

/* --- keys and fingerprints ----------------------------------------------------------------------------------------------------- */

static int parse_key(mbedtls_pk_context *key, const char *pem) {
    const unsigned char *p = (const unsigned char *)pem;
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int err = mbedtls_pk_parse_key(key, p, strlen(pem) + 1, NULL, 0, rng, NULL);
#else
    int err = mbedtls_pk_parse_key(key, p, strlen(pem) + 1, NULL, 0);
#endif
    return rc_of(err, SATCHEL_E_MALFORMED);
}

static int parse_certificate(mbedtls_x509_crt *cert, const char *pem) {
    int err = mbedtls_x509_crt_parse(cert, (const unsigned char *)pem, strlen(pem) + 1);
    /* A positive result counts certificates that did not parse. */
    return err > 0 ? SATCHEL_E_MALFORMED : rc_of(err, SATCHEL_E_MALFORMED);
}

static int parse_request(mbedtls_x509_csr *request, const char *pem) {
    return rc_of(mbedtls_x509_csr_parse(request, (const unsigned char *)pem, strlen(pem) + 1), SATCHEL_E_MALFORMED);
}

static bool is_p256(mbedtls_pk_context *key) {
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_ECKEY && mbedtls_pk_ec(*key)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

int crypto_make_key(buf *key_pem) {
    mbedtls_pk_context key;
    unsigned char pem[PEM_BYTES];
    mbedtls_pk_init(&key);
    int err = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (!err) err = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key), rng, NULL);
    if (!err) err = mbedtls_pk_write_key_pem(&key, pem, sizeof pem);
    if (!err) buf_printf(key_pem, "%s", (const char *)pem);
    mbedtls_platform_zeroize(pem, sizeof pem);
    mbedtls_pk_free(&key);
    return err ? rc_of(err, SATCHEL_E_INTERNAL) : key_pem->rc;
}

/* The key is encoded anew rather than hashed as it came, so that one key has one fingerprint in whatever it was found. */
static int fingerprint_key(mbedtls_pk_context *key, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    unsigned char der[PEM_BYTES];
    int n = mbedtls_pk_write_pubkey_der(key, der, sizeof der);
    if (n <= 0) return SATCHEL_E_MALFORMED;
    crypto_sha256(der + sizeof der - n, (size_t)n, out);
    return SATCHEL_OK;
}

static int fingerprint_certificate(const void *p, size_t n, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    int err = mbedtls_x509_crt_parse(&cert, p, n);
    int rc = err > 0 ? SATCHEL_E_MALFORMED : rc_of(err, SATCHEL_E_MALFORMED);
    if (!rc) rc = fingerprint_key(&cert.pk, out);
    mbedtls_x509_crt_free(&cert);
    return rc;
}

static int fingerprint_request(const char *pem, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    mbedtls_x509_csr request;
    mbedtls_x509_csr_init(&request);
    int rc = parse_request(&request, pem);
    if (!rc) rc = fingerprint_key(&request.pk, out);
    mbedtls_x509_csr_free(&request);
    return rc;
}

int crypto_fingerprint(const char *pem, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    mbedtls_pk_context key;
    if (strstr(pem, "-----BEGIN CERTIFICATE-----")) return fingerprint_certificate(pem, strlen(pem) + 1, out);
    if (strstr(pem, "CERTIFICATE REQUEST-----")) return fingerprint_request(pem, out);
    mbedtls_pk_init(&key);
    int rc = parse_key(&key, pem);
    if (!rc) rc = fingerprint_key(&key, out);
    mbedtls_pk_free(&key);
    return rc;
}

int crypto_fingerprint_der(const void *cert_der, size_t n, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    return fingerprint_certificate(cert_der, n, out);
}

/* --- names and times --------------------------------------------------------------------------------------------------------- */

/* "CN=name", fit for mbedTLS's parser of names: what has a meaning there becomes a blank, so that a name cannot smuggle in another
 * attribute. The name is for people; nobody decides by it. */
static void subject_of(const char *name, char out[NAME_BYTES + 4]) {
    size_t n = strlen(name), at = 3;
    bool utf8 = value_utf8_valid((const uint8_t *)name, n);
    if (n > NAME_BYTES) n = NAME_BYTES;
    while (utf8 && n && ((unsigned char)name[n] & 0xc0) == 0x80) n--;
    memcpy(out, "CN=", 3);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        bool plain = c >= 0x20 && c != 0x7f && !strchr(",+\"\\<>;=#", c) && (utf8 || c < 0x80);
        if (!plain) c = ' ';
        if (c == ' ' && at == 3) continue;
        out[at++] = (char)c;
    }
    if (at == 3) out[at++] = '-';
    out[at] = 0;
}

/* mbedtls_x509_dn_gets is no use: it replaces bytes of UTF-8. */
static int common_name(const mbedtls_x509_crt *cert, char out[NAME_BYTES + 1]) {
    const mbedtls_x509_name *name = &cert->subject;
    if (name->next || name->val.len > NAME_BYTES || MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid)) return SATCHEL_E_CERTIFICATE;
    memcpy(out, name->val.p, name->val.len);
    out[name->val.len] = 0;
    return SATCHEL_OK;
}

/* The subject of an issuer as subject_of wrote it. */
static int subject_of_issuer(const mbedtls_x509_crt *ca, char out[NAME_BYTES + 4]) {
    char text[NAME_BYTES + 1];
    int rc = common_name(ca, text);
    if (!rc) subject_of(text, out);
    return rc;
}

int crypto_common_name(const char *cert_pem, buf *out) {
    mbedtls_x509_crt cert;
    char text[NAME_BYTES + 1];
    mbedtls_x509_crt_init(&cert);
    int rc = parse_certificate(&cert, cert_pem);
    if (!rc) rc = common_name(&cert, text);
    if (!rc) buf_printf(out, "%s", text);
    mbedtls_x509_crt_free(&cert);
    return rc ? rc : out->rc;
}

/* YYYYMMDDhhmmss in UTC. */
static int format_time(uint64_t ms, char out[16]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || strftime(out, 16, "%Y%m%d%H%M%S", &tm) != 14) return SATCHEL_E_RANGE;
    return SATCHEL_OK;
}

static uint64_t ms_of(const mbedtls_x509_time *t) {
    struct tm tm = {.tm_year = t->year - 1900,
                    .tm_mon = t->mon - 1,
                    .tm_mday = t->day,
                    .tm_hour = t->hour,
                    .tm_min = t->min,
                    .tm_sec = t->sec};
    return (uint64_t)timegm(&tm) * 1000;
}

static int read_times(const char *cert_pem, uint64_t *from_ms, uint64_t *to_ms) {
    mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    int rc = parse_certificate(&cert, cert_pem);
    if (!rc) {
        *from_ms = ms_of(&cert.valid_from);
        *to_ms = ms_of(&cert.valid_to);
    }
    mbedtls_x509_crt_free(&cert);
    return rc;
}

int crypto_not_after(const char *cert_pem, uint64_t *out_ms) {
    uint64_t from_ms;
    return read_times(cert_pem, &from_ms, out_ms);
}

int crypto_made_at(const char *cert_pem, uint64_t *out_ms) {
    uint64_t from_ms = 0, to_ms;
    int rc = read_times(cert_pem, &from_ms, &to_ms);
    *out_ms = from_ms + BACKDATE_MS;
    return rc;
}

/* --- certificates ------------------------------------------------------------------------------------------------------------ */

/* What differs between the three kinds of certificate. */
typedef struct cert_plan {
    const char *subject, *issuer;
    mbedtls_pk_context *subject_key, *issuer_key;
    bool is_ca;
    const char *usage; /* OID of the extended key usage, NULL for a CA */
    size_t nusage;
    const char *hosts; /* subject alternative names, NULL for none */
    uint64_t now_ms;
    unsigned days;
} cert_plan;

static int set_serial(mbedtls_x509write_cert *w) {
    unsigned char serial[SERIAL_BYTES];
    if (crypto_random(serial, sizeof serial)) return SATCHEL_E_INTERNAL;
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, and all 16 bytes are used (RFC 5280 section 4.1.2.2) */
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
    int err = mbedtls_x509write_crt_set_serial_raw(w, serial, sizeof serial);
#else
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    int err = mbedtls_mpi_read_binary(&number, serial, sizeof serial);
    if (!err) err = mbedtls_x509write_crt_set_serial(w, &number);
    mbedtls_mpi_free(&number);
#endif
    return rc_of(err, SATCHEL_E_INTERNAL);
}

static int set_validity(mbedtls_x509write_cert *w, uint64_t now_ms, unsigned days) {
    char from[16], to[16];
    if (now_ms < BACKDATE_MS) return SATCHEL_E_RANGE;
    int rc = format_time(now_ms - BACKDATE_MS, from);
    if (!rc) rc = format_time(now_ms + days * DAY_MS, to);
    return rc ? rc : rc_of(mbedtls_x509write_crt_set_validity(w, from, to), SATCHEL_E_INTERNAL);
}

/* ExtKeyUsageSyntax with one purpose; DER is written from its end. mbedTLS 2.28 has no function for it. */
static int set_usage(mbedtls_x509write_cert *w, const char *oid, size_t noid) {
    unsigned char der[64] = {0}, *p = der + sizeof der;
    int n = mbedtls_asn1_write_oid(&p, der, oid, noid);
    if (n > 0) {
        size_t inner = (size_t)n;
        if ((n = mbedtls_asn1_write_len(&p, der, inner)) > 0)
            n = mbedtls_asn1_write_tag(&p, der, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    }
    if (n < 0) return rc_of(n, SATCHEL_E_INTERNAL);
    return rc_of(mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                                     MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, p,
                                                     (size_t)(der + sizeof der - p)),
                 SATCHEL_E_INTERNAL);
}

/* Writes one GeneralName in front of *p: an iPAddress if the host parses as one, else a dNSName (RFC 5280 section 4.2.1.6). */
static int write_host(unsigned char **p, unsigned char *start, const char *host) {
    unsigned char address[16];
    const unsigned char *bytes = (const unsigned char *)host;
    size_t n = strlen(host);
    unsigned char tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2;
    if (inet_pton(AF_INET, host, address) == 1) {
        bytes = address, n = 4, tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
    } else if (inet_pton(AF_INET6, host, address) == 1) {
        bytes = address, n = 16, tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
    }
    int err = mbedtls_asn1_write_raw_buffer(p, start, bytes, n);
    if (err >= 0) err = mbedtls_asn1_write_len(p, start, n);
    if (err >= 0) err = mbedtls_asn1_write_tag(p, start, tag);
    return err;
}

/* The next name of a comma-separated list, without blanks around it; false at the end. SATCHEL_E_RANGE in *rc if it is too long. */
static bool next_host(const char **list, char out[256], int *rc) {
    *list += strspn(*list, " ,\t");
    size_t n = strcspn(*list, " ,\t");
    if (!n) return false;
    if (n > 255) {
        *rc = SATCHEL_E_RANGE;
        return false;
    }
    memcpy(out, *list, n);
    out[n] = 0;
    *list += n;
    return true;
}

static int set_hosts(mbedtls_x509write_cert *w, const char *hosts) {
    unsigned char der[PEM_BYTES / 2] = {0}, *end = der + sizeof der, *p = end;
    char host[256];
    int rc = SATCHEL_OK, err = 0;
    while (err >= 0 && next_host(&hosts, host, &rc)) err = write_host(&p, der, host);
    if (rc) return rc;
    if (err >= 0) err = mbedtls_asn1_write_len(&p, der, (size_t)(end - p));
    if (err >= 0) err = mbedtls_asn1_write_tag(&p, der, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    if (err >= 0)
        err = mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME),
                                                  0, p, (size_t)(end - p));
    return rc_of(err, SATCHEL_E_RANGE);
}

/* Names, key identifiers and usages; every extension that `openssl verify -x509_strict` asks for. */
static int fill_certificate(mbedtls_x509write_cert *w, const cert_plan *plan) {
    unsigned usage = plan->is_ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
    mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(w, DIGEST_TYPE);
    mbedtls_x509write_crt_set_subject_key(w, plan->subject_key);
    mbedtls_x509write_crt_set_issuer_key(w, plan->issuer_key);
    int err = mbedtls_x509write_crt_set_subject_name(w, plan->subject);
    if (!err) err = mbedtls_x509write_crt_set_issuer_name(w, plan->issuer);
    if (!err) err = mbedtls_x509write_crt_set_basic_constraints(w, plan->is_ca, plan->is_ca ? 0 : -1);
    if (!err) err = mbedtls_x509write_crt_set_subject_key_identifier(w);
    if (!err) err = mbedtls_x509write_crt_set_authority_key_identifier(w);
    if (!err) err = mbedtls_x509write_crt_set_key_usage(w, (unsigned char)usage);
    int rc = rc_of(err, SATCHEL_E_INTERNAL);
    if (!rc && plan->usage) rc = set_usage(w, plan->usage, plan->nusage);
    if (!rc && plan->hosts) rc = set_hosts(w, plan->hosts);
    if (!rc) rc = set_serial(w);
    return rc ? rc : set_validity(w, plan->now_ms, plan->days);
}

static int write_certificate(const cert_plan *plan, buf *cert_pem) {
    mbedtls_x509write_cert w;
    unsigned char pem[PEM_BYTES];
    mbedtls_x509write_crt_init(&w);
    int rc = fill_certificate(&w, plan);
    if (!rc) rc = rc_of(mbedtls_x509write_crt_pem(&w, pem, sizeof pem, rng, NULL), SATCHEL_E_INTERNAL);
    if (!rc) {
        buf_printf(cert_pem, "%s", (const char *)pem);
        rc = cert_pem->rc;
    }
    mbedtls_x509write_crt_free(&w);
    return rc;
}

int crypto_make_ca(const char *key_pem, const char *name, uint64_t now_ms, unsigned days, buf *cert_pem) {
    mbedtls_pk_context key;
    char subject[NAME_BYTES + 4];
    mbedtls_pk_init(&key);
    subject_of(name, subject);
    int rc = parse_key(&key, key_pem);
    if (!rc) {
        cert_plan plan = {.subject = subject,
                          .issuer = subject,
                          .subject_key = &key,
                          .issuer_key = &key,
                          .is_ca = true,
                          .now_ms = now_ms,
                          .days = days};
        rc = write_certificate(&plan, cert_pem);
    }
    mbedtls_pk_free(&key);
    return rc;
}

/* Signs for `subject_key` as the CA; the plan's issuer fields are filled in here. */
static int sign_as_ca(const char *ca_key_pem, const char *ca_cert_pem, cert_plan *plan, buf *cert_pem) {
    mbedtls_pk_context key;
    mbedtls_x509_crt ca;
    char issuer[NAME_BYTES + 4];
    mbedtls_pk_init(&key);
    mbedtls_x509_crt_init(&ca);
    int rc = parse_key(&key, ca_key_pem);
    if (!rc) rc = parse_certificate(&ca, ca_cert_pem);
    if (!rc) rc = subject_of_issuer(&ca, issuer);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (!rc) rc = rc_of(mbedtls_pk_check_pair(&ca.pk, &key, rng, NULL), SATCHEL_E_CERTIFICATE);
#else
    if (!rc) rc = rc_of(mbedtls_pk_check_pair(&ca.pk, &key), SATCHEL_E_CERTIFICATE);
#endif
    if (!rc) {
        plan->issuer = issuer;
        plan->issuer_key = &key;
        rc = write_certificate(plan, cert_pem);
    }
    mbedtls_x509_crt_free(&ca);
    mbedtls_pk_free(&key);
    return rc;
}

int crypto_make_server(const char *ca_key_pem, const char *ca_cert_pem, const char *key_pem, const char *hosts, uint64_t now_ms,
                       unsigned days, buf *cert_pem) {
    mbedtls_pk_context key;
    char first[256] = "", subject[NAME_BYTES + 4];
    const char *list = hosts;
    int rc = SATCHEL_OK;
    if (!next_host(&list, first, &rc)) return rc ? rc : SATCHEL_E_MISUSE;
    subject_of(first, subject);
    mbedtls_pk_init(&key);
    rc = parse_key(&key, key_pem);
    if (!rc) {
        cert_plan plan = {.subject = subject,
                          .subject_key = &key,
                          .usage = MBEDTLS_OID_SERVER_AUTH,
                          .nusage = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
                          .hosts = hosts,
                          .now_ms = now_ms,
                          .days = days};
        rc = sign_as_ca(ca_key_pem, ca_cert_pem, &plan, cert_pem);
    }
    mbedtls_pk_free(&key);
    return rc;
}

int crypto_make_csr(const char *key_pem, const char *name, buf *csr_pem) {
    mbedtls_pk_context key;
    mbedtls_x509write_csr w;
    char subject[NAME_BYTES + 4];
    unsigned char pem[PEM_BYTES];
    mbedtls_pk_init(&key);
    mbedtls_x509write_csr_init(&w);
    subject_of(name, subject);
    int rc = parse_key(&key, key_pem);
    if (rc) goto out;
    mbedtls_x509write_csr_set_md_alg(&w, DIGEST_TYPE);
    mbedtls_x509write_csr_set_key(&w, &key);
    int err = mbedtls_x509write_csr_set_subject_name(&w, subject);
    if (!err) err = mbedtls_x509write_csr_pem(&w, pem, sizeof pem, rng, NULL);
    if ((rc = rc_of(err, SATCHEL_E_INTERNAL))) goto out;
    buf_printf(csr_pem, "%s", (const char *)pem);
    rc = csr_pem->rc;
out:
    mbedtls_x509write_csr_free(&w);
    mbedtls_pk_free(&key);
    return rc;
}

/* The requester holds the private key: without this check anyone could have somebody else's public key certified as his own. */
static int check_request(mbedtls_x509_csr *request) {
    unsigned char digest[32];
    if (!is_p256(&request->pk) || request->sig_md != DIGEST_TYPE) return SATCHEL_E_CERTIFICATE;
    crypto_sha256(request->cri.p, request->cri.len, digest);
    int err = mbedtls_pk_verify(&request->pk, DIGEST_TYPE, digest, sizeof digest, request->sig.p, request->sig.len);
    return rc_of(err, SATCHEL_E_CERTIFICATE);
}

int crypto_sign_csr(const char *ca_key_pem, const char *ca_cert_pem, const char *csr_pem, const char *name, uint64_t now_ms,
                    unsigned days, buf *cert_pem) {
    mbedtls_x509_csr request;
    char subject[NAME_BYTES + 4];
    mbedtls_x509_csr_init(&request);
    subject_of(name, subject);
    int rc = parse_request(&request, csr_pem);
    if (!rc) rc = check_request(&request);
    if (!rc) {
        cert_plan plan = {.subject = subject,
                          .subject_key = &request.pk,
                          .usage = MBEDTLS_OID_CLIENT_AUTH,
                          .nusage = MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH),
                          .now_ms = now_ms,
                          .days = days};
        rc = sign_as_ca(ca_key_pem, ca_cert_pem, &plan, cert_pem);
    }
    mbedtls_x509_csr_free(&request);
    return rc;
}

/* --- the enrolment code ------------------------------------------------------------------------------------------------------ */

/* "satchel1." and base64url of: pin (32), secret (16), port (2, big-endian), host (the rest), and last the first 4 bytes of the SHA-256 of all
 * that, so that a code mistyped or cut in a message is told from one that the server does not know. */
#define CODE_PREFIX "satchel1."
#define CODE_FIXED_BYTES (CRYPTO_FINGERPRINT_BYTES + 16 + 2)
#define CODE_CHECK_BYTES 4

static bool is_host(const char *host, size_t n) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_";
    return n > 0 && n < sizeof((enrol_code *)0)->host && strspn(host, allowed) >= n;
}

void enrol_code_encode(const enrol_code *c, buf *text) {
    uint8_t digest[32];
    buf body;
    buf_init(&body, 0);
    buf_put(&body, c->pin, sizeof c->pin);
    buf_put(&body, c->secret, sizeof c->secret);
    buf_put_byte(&body, (uint8_t)(c->port >> 8));
    buf_put_byte(&body, (uint8_t)c->port);
    buf_put(&body, c->host, strnlen(c->host, sizeof c->host));
    if (!body.rc) crypto_sha256(body.p, body.n, digest);
    buf_put(&body, digest, CODE_CHECK_BYTES);
    buf_printf(text, CODE_PREFIX);
    crypto_base64url(body.p, body.n, text);
    if (body.rc && !text->rc) text->rc = body.rc;
    if (body.p) mbedtls_platform_zeroize(body.p, body.n);
    buf_fini(&body);
}

static int code_read(const buf *body, enrol_code *out) {
    uint8_t digest[32];
    enrol_code c = {.port = 0};
    if (body->n <= CODE_FIXED_BYTES + CODE_CHECK_BYTES) return SATCHEL_E_ENROL_CODE;
    size_t checked = body->n - CODE_CHECK_BYTES, nhost = checked - CODE_FIXED_BYTES;
    crypto_sha256(body->p, checked, digest);
    if (memcmp(digest, body->p + checked, CODE_CHECK_BYTES) || nhost >= sizeof c.host) return SATCHEL_E_ENROL_CODE;
    memcpy(c.pin, body->p, sizeof c.pin);
    memcpy(c.secret, body->p + sizeof c.pin, sizeof c.secret);
    c.port = (uint16_t)(body->p[CODE_FIXED_BYTES - 2] << 8 | body->p[CODE_FIXED_BYTES - 1]);
    memcpy(c.host, body->p + CODE_FIXED_BYTES, nhost);
    if (!c.port || !is_host(c.host, nhost)) return SATCHEL_E_ENROL_CODE;
    *out = c;
    return SATCHEL_OK;
}

int enrol_code_decode(const char *text, enrol_code *out) {
    buf body;
    int rc = SATCHEL_E_ENROL_CODE;
    buf_init(&body, 1024);
    if (strncmp(text, CODE_PREFIX, strlen(CODE_PREFIX)) || strlen(text) > 1024) goto out;
    rc = crypto_base64url_decode(text + strlen(CODE_PREFIX), &body);
    rc = rc == SATCHEL_E_MALFORMED ? SATCHEL_E_ENROL_CODE : rc ? rc : code_read(&body, out);
out:
    if (body.p) mbedtls_platform_zeroize(body.p, body.n);
    buf_fini(&body);
    return rc;
}
