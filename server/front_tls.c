/* front_tls.c - what the two ports show, and how it changes while they are open.
 *
 * A connection takes its certificate from the port's SSL_CTX when it begins and keeps it, so exchanging the pair there, on the loop's thread, touches
 * nobody who is connected. New files are read into a context of their own first, and looked at; only what will do is copied over, in one call
 * (lws_tls_cert_updated() loads straight into the live context, and leaves a certificate without its key there when the second file is bad). */
#include "server/front_private.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"

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

/* ---- looking at new ones ---- */

static int fail(buf *error, const char *path, const char *words) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    buf_printf(error, "%s: %s%s%s", path, words, reason ? ": " : "", reason ? reason : "");
    return SATCHEL_E_CERTIFICATE;
}

static X509 *read_certificate(const char *path) {
    FILE *file = fopen(path, "re");
    X509 *cert = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file) fclose(file);
    return cert;
}

/* Devices take what their authority signed, and nothing else. */
static int check_signed(const char *path, X509 *cert, const char *authority_path, buf *error) {
    X509 *authority = read_certificate(authority_path);
    int rc = SATCHEL_OK;
    if (!authority)
        rc = fail(error, authority_path, "the authority's certificate cannot be read");
    else if (X509_verify(cert, X509_get0_pubkey(authority)) != 1)
        rc = fail(error, path, "the device authority did not sign this certificate; remove it, and a new one is made");
    X509_free(authority);
    return rc;
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

int front_reload(front *f, buf *error) {
    SSL_CTX *sync = NULL, *https = NULL;
    int rc = stage(&f->on_sync, &sync, error);
    if (!rc) rc = check_signed(f->on_sync.cert, SSL_CTX_get0_certificate(sync), f->authority, error);
    if (!rc) rc = stage(&f->on_https, &https, error);
    if (!rc) rc = show(&f->on_sync, sync, error);
    if (!rc) rc = show(&f->on_https, https, error);
    SSL_CTX_free(sync);
    SSL_CTX_free(https);
    ERR_clear_error();
    return rc;
}
