/* front_tls.c - what the two ports show, and how it changes while they are open.
 *
 * A connection takes its certificate from the port's SSL_CTX when it begins and keeps it, so exchanging the pair there, on the loop's thread, touches
 * nobody who is connected. New files are read into a context of their own first, and looked at; only what will do is copied over, in one call
 * (lws_tls_cert_updated() loads straight into the live context, and leaves a certificate without its key there when the second file is bad). */
#include "server/front_private.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"
#include "server/store_keys.h"

static int copy_path(char to[DATADIR_PATH_BYTES], const char *from) {
    int n = snprintf(to, DATADIR_PATH_BYTES, "%s", from);
    return n < 0 || n >= DATADIR_PATH_BYTES ? SATCHEL_E_TOO_LARGE : SATCHEL_OK;
}

int front_tls_paths(front *f, const front_config *config) {
    int rc = datadir_path(config->data, "server.crt", f->on_sync.cert);
    if (!rc) rc = datadir_path(config->data, "server.key", f->on_sync.key);
    if (!rc) rc = datadir_path(config->data, "ca.crt", f->authority);
    if (!rc) rc = copy_path(f->on_https.cert, config->https_cert ? config->https_cert : f->on_sync.cert);
    return rc ? rc : copy_path(f->on_https.key, config->https_key ? config->https_key : f->on_sync.key);
}

int front_tls_context(struct lws *wsi, void *ssl_context, void *vhost) {
    front *f = front_of(wsi);
    front_shown *s = !strcmp(lws_get_vhost_name(vhost), "sync") ? &f->on_sync : &f->on_https;
    s->live = ssl_context;
    return 0;
}

int front_tls_alert(struct lws *wsi, const struct lws_ssl_info *info) {
    char peer[46];
    if ((info->where & SSL_CB_WRITE_ALERT) != SSL_CB_WRITE_ALERT || info->ret >> 8 != SSL3_AL_FATAL) return 0;
    /* OpenSSL has no words for this one. */
    bool none = (info->ret & 0xff) == TLS13_AD_CERTIFICATE_REQUIRED;
    front_peer(wsi, peer);
    front_share_asked(wsi);
    log_event(&(log_fields){.level = 'w', .event = "tls-refused", .peer = peer}, "a TLS handshake on the %s port was refused: %s",
              lws_get_vhost_name(lws_get_vhost(wsi)), none ? "no certificate was shown" : SSL_alert_desc_string_long(info->ret));
    return 0;
}

/* ---- looking at new ones ---- */

static int fail(buf *error, const char *path, const char *words) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    buf_printf(error, "%s: %s%s%s", path, words, reason ? ": " : "", reason ? reason : "");
    return SATCHEL_E_CERTIFICATE;
}

/* Devices take what their authority signed, and nothing else. */
static int check_signed(const char *path, X509 *cert, X509 *authority, buf *error) {
    if (X509_verify(cert, X509_get0_pubkey(authority)) == 1) return SATCHEL_OK;
    return fail(error, path, "the device authority did not sign this certificate; remove it, and a new one is made");
}

static int check_pair(const front_shown *s, SSL_CTX *fresh, buf *error) {
    X509 *cert = SSL_CTX_get0_certificate(fresh);
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) return fail(error, s->cert, "the certificate has ended");
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) return fail(error, s->cert, "the certificate is not valid yet");
    /* A context has a place for each kind of key, and none can be emptied: clients would still be shown the old one. */
    if (EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(fresh)) != EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(s->live)))
        return fail(error, s->key, "the key is of another kind (RSA, ECDSA) than the one that is shown; that needs a restart");
    return SATCHEL_OK;
}

/* Reads and checks; the pair in a context that nobody uses yet. */
static int stage(const front_shown *s, SSL_CTX **out, buf *error) {
    ERR_clear_error();
    SSL_CTX *fresh = *out = SSL_CTX_new(TLS_server_method());
    if (!fresh) return SATCHEL_E_NOMEM;
    if (SSL_CTX_use_certificate_chain_file(fresh, s->cert) != 1) return fail(error, s->cert, "this certificate cannot be used");
    if (SSL_CTX_use_PrivateKey_file(fresh, s->key, SSL_FILETYPE_PEM) != 1) return fail(error, s->key, "this key cannot be used");
    if (SSL_CTX_check_private_key(fresh) != 1) return fail(error, s->cert, "the certificate belongs to another key");
    return check_pair(s, fresh, error);
}

/* ---- showing them ---- */

static int show(const front_shown *s, SSL_CTX *fresh, buf *error) {
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(fresh, &chain);
    if (SSL_CTX_use_cert_and_key(s->live, SSL_CTX_get0_certificate(fresh), SSL_CTX_get0_privatekey(fresh), chain, 1) == 1)
        return SATCHEL_OK;
    return fail(error, s->cert, "this certificate cannot be shown");
}

/* ---- whom to let in ---- */

/* What is trusted from here on; owned. */
typedef struct trust {
    buf pem; /* the certificates of all authorities, as devices are given them */
    X509_STORE *store;
    STACK_OF(X509_NAME) * names;
    X509 *signs; /* the one that signed what the port shows */
} trust;

static void drop_trust(trust *t) {
    buf_fini(&t->pem);
    X509_STORE_free(t->store);
    sk_X509_NAME_pop_free(t->names, X509_NAME_free);
    X509_free(t->signs);
}

/* Takes `cert`. */
static bool add_authority(trust *t, X509 *cert) {
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));
    bool done = name && X509_STORE_add_cert(t->store, cert) == 1 && sk_X509_NAME_push(t->names, name) > 0;
    if (!done) X509_NAME_free(name);
    if (t->signs)
        X509_free(cert);
    else
        t->signs = cert;
    return done;
}

static int make_trust(const identity *id, const char *path, trust *t, buf *error) {
    identity_trust(id, &t->pem);
    BIO *in = t->pem.rc ? NULL : BIO_new_mem_buf(t->pem.p, (int)t->pem.n);
    t->store = X509_STORE_new();
    t->names = sk_X509_NAME_new_null();
    bool done = in && t->store && t->names;
    for (X509 *cert; done && (cert = PEM_read_bio_X509(in, NULL, NULL, NULL));) done = add_authority(t, cert);
    BIO_free(in);
    ERR_clear_error();
    if (done && !t->signs) return fail(error, path, "the authority's certificate cannot be read");
    return done ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

/* Takes it over. A TLS session that began under other authorities is not resumed: it would pass over the certificate. */
static void let_in(front *f, trust *t, bool rotating) {
    uint8_t digest[32];
    crypto_sha256(t->pem.p, t->pem.n, digest);
    for (int i = 0; i < TRUST_BYTES; i++) snprintf(f->trust + 2 * i, 3, "%02x", digest[i]);
    f->rotating = rotating;
    SSL_CTX_set_cert_store(f->on_sync.live, t->store);
    SSL_CTX_set_client_CA_list(f->on_sync.live, t->names);
    SSL_CTX_set_session_id_context(f->on_sync.live, digest, sizeof digest);
    t->store = NULL;
    t->names = NULL;
}

int front_reload(front *f, const identity *id, buf *error) {
    SSL_CTX *sync = NULL, *https = NULL;
    trust t = {0};
    int rc = make_trust(id, f->authority, &t, error);
    if (!rc) rc = stage(&f->on_sync, &sync, error);
    if (!rc) rc = check_signed(f->on_sync.cert, SSL_CTX_get0_certificate(sync), t.signs, error);
    if (!rc) rc = stage(&f->on_https, &https, error);
    if (!rc) rc = show(&f->on_sync, sync, error);
    if (!rc) rc = show(&f->on_https, https, error);
    if (!rc) let_in(f, &t, id->next_cert.n > 0);
    drop_trust(&t);
    SSL_CTX_free(sync);
    SSL_CTX_free(https);
    ERR_clear_error();
    return rc;
}

/* ---- telling devices of a change ---- */

typedef struct trust_job {
    service_job job;
    uint8_t key[CRYPTO_FINGERPRINT_BYTES], trust[TRUST_BYTES];
} trust_job;

static int note_trust(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    trust_job *j = (trust_job *)job;
    (void)g, (void)now_ms;
    return store_trust_seen(s, j->key, j->trust);
}

static void trust_noted(service_job *job) {
    free(job);
}

/* An authority is not ended before its devices have shown that they trust the next one. */
static void note_device(front *f, struct lws *wsi) {
    trust_job *j = calloc(1, sizeof *j);
    if (!j || !front_device(wsi, j->key)) {
        free(j);
        return;
    }
    for (int i = 0; i < TRUST_BYTES; i++) {
        const char pair[3] = {f->trust[2 * i], f->trust[2 * i + 1], 0};
        j->trust[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    j->job.run = note_trust;
    j->job.done = trust_noted;
    if (!service_submit(f->service, &j->job, false)) free(j);
}

bool front_tls_is_to_renew(struct lws *wsi) {
    static const char SHOWN[] = "satchel-trust:";
    front *f = front_of(wsi);
    char shown[sizeof f->trust] = "";
    int n = lws_hdr_custom_length(wsi, SHOWN, sizeof SHOWN - 1);
    if (n <= 0) return false;
    if (n < (int)sizeof shown) lws_hdr_custom_copy(wsi, shown, sizeof shown, SHOWN, sizeof SHOWN - 1);
    bool trusts = !strcmp(shown, f->trust);
    if (trusts && f->rotating) note_device(f, wsi);
    return !trusts;
}
