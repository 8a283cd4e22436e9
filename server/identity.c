#include "server/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/os.h"

#define DAY_MS (UINT64_C(86400) * 1000)
#define CA_NAME "Satchel device authority"
#define NEXT_KEY "ca-next.key"
#define NEXT_CERT "ca-next.crt"
#define OPERATOR_FILE_BYTES 65536

static const char *text_of(const buf *b) {
    return (const char *)b->p;
}

static void wipe(buf *b) {
    if (b->p) explicit_bzero(b->p, b->cap);
    buf_fini(b);
}

static bool is_there(const buf *b) {
    return b->n > 0;
}

/* A missing file leaves `out` empty. */
static int read_optional(const datadir *d, const char *name, bool secret, buf *out, buf *error) {
    buf detail = {0};
    int rc = datadir_read(d, name, secret, out, &detail);
    if (rc == SATCHEL_E_NOT_FOUND) rc = SATCHEL_OK;
    if (rc) buf_put(error, detail.p, detail.n + 1);
    buf_fini(&detail);
    return rc;
}

static int fail(buf *error, const datadir *d, const char *name, const char *words) {
    buf_printf(error, "%s/%s: %s", d->path, name, words);
    return SATCHEL_E_CERTIFICATE;
}

static int store_text(const datadir *d, const char *name, const buf *text, buf *error) {
    return datadir_write(d, name, text->p, strlen(text_of(text)), error);
}

/* Reads key and certificate; makes the key if neither is there. A certificate without its key cannot be helped from here. */
static int read_pair(const datadir *d, const char *key_name, const char *cert_name, buf *key, buf *cert, buf *error) {
    int rc = read_optional(d, key_name, true, key, error);
    if (!rc) rc = read_optional(d, cert_name, false, cert, error);
    if (rc) return rc;
    if (!is_there(key) && is_there(cert))
        return fail(error, d, cert_name, "the certificate is there but its key is not; restore both");
    if (!is_there(key)) {
        rc = crypto_make_key(key);
        return rc ? rc : store_text(d, key_name, key, error);
    }
    uint8_t of_key[CRYPTO_FINGERPRINT_BYTES], of_cert[CRYPTO_FINGERPRINT_BYTES];
    if (crypto_fingerprint(text_of(key), of_key))
        return fail(error, d, key_name, "this is not a private key that Satchel can use");
    if (!is_there(cert)) return SATCHEL_OK;
    if (crypto_fingerprint(text_of(cert), of_cert)) return fail(error, d, cert_name, "this is not a certificate");
    if (memcmp(of_key, of_cert, sizeof of_key))
        return fail(error, d, cert_name, "this certificate belongs to another key; restore both");
    return SATCHEL_OK;
}

/* True if there is none, or it ends within `days`. */
static bool ends_soon(const buf *cert, uint64_t now_ms, unsigned days) {
    uint64_t end_ms;
    return !is_there(cert) || crypto_not_after(text_of(cert), &end_ms) || end_ms < now_ms + days * DAY_MS;
}

/* Two authorities of one name would be confused with each other, so each is called by its key. */
static int name_of_key(const buf *key, buf *name) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    int rc = crypto_fingerprint(text_of(key), fingerprint);
    if (!rc) buf_printf(name, CA_NAME " %02x%02x%02x%02x", fingerprint[0], fingerprint[1], fingerprint[2], fingerprint[3]);
    return rc ? rc : name->rc;
}

/* One that is made again keeps its name: certificates name who signed them. */
static int make_authority(const datadir *d, const char *cert_name, const buf *key, uint64_t now_ms, buf *cert, buf *error) {
    buf name = {0};
    int rc = is_there(cert) ? crypto_common_name(text_of(cert), &name) : name_of_key(key, &name);
    buf_clear(cert);
    if (!rc) rc = crypto_make_ca(text_of(key), text_of(&name), now_ms, IDENTITY_CA_DAYS, cert);
    buf_fini(&name);
    return rc ? rc : store_text(d, cert_name, cert, error);
}

static int open_authority(const datadir *d, uint64_t now_ms, identity *id, buf *error) {
    int rc = read_pair(d, "ca.key", "ca.crt", &id->ca_key, &id->ca_cert, error);
    if (rc || !ends_soon(&id->ca_cert, now_ms, IDENTITY_CA_RENEW_DAYS)) return rc;
    id->made_ca = true;
    return make_authority(d, "ca.crt", &id->ca_key, now_ms, &id->ca_cert, error);
}

static int remove_file(const datadir *d, const char *name, buf *error) {
    return unlinkat(d->fd, name, 0) && errno != ENOENT ? os_fail(error, d->path, name, "cannot remove") : SATCHEL_OK;
}

/* The new key in the old one's place is the moment of the change; everything after it may be done twice. */
static int finish_retiring(const datadir *d, const buf *next_cert, buf *error) {
    int rc = store_text(d, "ca.crt", next_cert, error);
    /* Without the names that it was made for, the server's certificate is made again. */
    if (!rc) rc = remove_file(d, "server.hosts", error);
    if (!rc) rc = remove_file(d, NEXT_KEY, error);
    return rc ? rc : remove_file(d, NEXT_CERT, error);
}

/* Finishes what a crash left half done; then reads the authority to come, if there is one. */
static int open_next(const datadir *d, uint64_t now_ms, identity *id, buf *error) {
    uint8_t present[CRYPTO_FINGERPRINT_BYTES], coming[CRYPTO_FINGERPRINT_BYTES];
    buf key = {0};
    int rc = read_optional(d, "ca.key", true, &key, error);
    if (!rc) rc = read_optional(d, NEXT_KEY, true, &id->next_key, error);
    if (!rc) rc = read_optional(d, NEXT_CERT, false, &id->next_cert, error);
    if (rc || (!is_there(&id->next_key) && !is_there(&id->next_cert))) goto out;
    if (is_there(&key) && is_there(&id->next_cert) && !crypto_fingerprint(text_of(&key), present) &&
        !crypto_fingerprint(text_of(&id->next_cert), coming) && !memcmp(present, coming, sizeof present)) {
        rc = finish_retiring(d, &id->next_cert, error);
        wipe(&id->next_key);
        buf_fini(&id->next_cert);
        goto out;
    }
    wipe(&id->next_key);
    buf_fini(&id->next_cert);
    rc = read_pair(d, NEXT_KEY, NEXT_CERT, &id->next_key, &id->next_cert, error);
    if (!rc && ends_soon(&id->next_cert, now_ms, IDENTITY_CA_RENEW_DAYS))
        rc = make_authority(d, NEXT_CERT, &id->next_key, now_ms, &id->next_cert, error);
out:
    wipe(&key);
    return rc;
}

int identity_rotate(const datadir *d, uint64_t now_ms, buf *error) {
    buf key = {0}, cert = {0};
    int rc = read_optional(d, NEXT_KEY, true, &key, error);
    if (!rc && is_there(&key)) {
        buf_printf(error, "there are two authorities already; end the old one first with satchelctl ca retire");
        rc = SATCHEL_E_KEY_TAKEN;
    }
    if (!rc) rc = crypto_make_key(&key);
    if (!rc) rc = store_text(d, NEXT_KEY, &key, error);
    if (!rc) rc = make_authority(d, NEXT_CERT, &key, now_ms, &cert, error);
    wipe(&key);
    buf_fini(&cert);
    return rc;
}

int identity_retire(const datadir *d, buf *error) {
    buf key = {0}, cert = {0};
    int rc = read_optional(d, NEXT_KEY, true, &key, error);
    if (!rc) rc = read_optional(d, NEXT_CERT, false, &cert, error);
    if (!rc && (!is_there(&key) || !is_there(&cert))) {
        buf_printf(error, "there is no authority to take over; make one first with satchelctl ca rotate");
        rc = SATCHEL_E_NOT_FOUND;
    }
    if (!rc) rc = store_text(d, "ca.key", &key, error);
    if (!rc) rc = finish_retiring(d, &cert, error);
    wipe(&key);
    buf_fini(&cert);
    return rc;
}

int identity_sign(const identity *id, const char *csr_pem, const char *name, uint64_t now_ms, unsigned days, buf *cert_pem) {
    const buf *key = is_there(&id->next_key) ? &id->next_key : &id->ca_key;
    const buf *cert = is_there(&id->next_key) ? &id->next_cert : &id->ca_cert;
    return crypto_sign_csr(text_of(key), text_of(cert), csr_pem, name, now_ms, days, cert_pem);
}

void identity_trust(const identity *id, buf *out) {
    buf_printf(out, "%s%s", text_of(&id->ca_cert), is_there(&id->next_cert) ? text_of(&id->next_cert) : "");
}

static int open_server(const datadir *d, const char *hosts, uint64_t now_ms, identity *id, buf *error) {
    buf made_for = {0};
    int rc = read_pair(d, "server.key", "server.crt", &id->key, &id->cert, error);
    if (!rc) rc = read_optional(d, "server.hosts", false, &made_for, error);
    if (rc) goto out;
    bool same = is_there(&made_for) && !strcmp(text_of(&made_for), hosts);
    if (same && !id->made_ca && !ends_soon(&id->cert, now_ms, IDENTITY_SERVER_RENEW_DAYS)) goto out;
    buf_clear(&id->cert);
    rc = crypto_make_server(text_of(&id->ca_key), text_of(&id->ca_cert), text_of(&id->key), hosts, now_ms, IDENTITY_SERVER_DAYS,
                            &id->cert);
    id->made_cert = true;
    /* The names last: after a crash between the two, the certificate is made once more. */
    if (!rc) rc = store_text(d, "server.crt", &id->cert, error);
    if (!rc) rc = datadir_write(d, "server.hosts", hosts, strlen(hosts), error);
out:
    buf_fini(&made_for);
    return rc;
}

int identity_open(const datadir *d, const char *hosts, uint64_t now_ms, identity *out, buf *error) {
    *out = (identity){0};
    int rc = open_next(d, now_ms, out, error);
    if (!rc) rc = open_authority(d, now_ms, out, error);
    if (!rc) rc = open_server(d, hosts, now_ms, out, error);
    if (!rc) rc = crypto_fingerprint(text_of(&out->key), out->pin);
    if (!rc) rc = crypto_not_after(text_of(&out->cert), &out->https_end_ms);
    if (rc && !error->n) buf_printf(error, "%s: cannot make the server's certificates: %s", d->path, satchel_rc_text(rc));
    if (rc) identity_close(out);
    return rc;
}

static bool is_same_key(const buf *a, const buf *b) {
    uint8_t one[CRYPTO_FINGERPRINT_BYTES], other[CRYPTO_FINGERPRINT_BYTES];
    return is_there(a) && is_there(b) && !crypto_fingerprint(text_of(a), one) && !crypto_fingerprint(text_of(b), other) &&
           !memcmp(one, other, sizeof one);
}

int identity_open_again(const datadir *d, const char *hosts, uint64_t now_ms, const identity *running, identity *out,
                        buf *error) {
    int rc = identity_open(d, hosts, now_ms, out, error);
    if (rc) return rc;
    if (!is_same_key(&out->ca_key, &running->ca_key) && !is_same_key(&out->ca_key, &running->next_key))
        rc = fail(error, d, "ca.key",
                  "this is another device authority; that needs a restart, and every device would have to enrol again");
    if (rc) identity_close(out);
    return rc;
}

/* ---- the operator's own ---- */

static int fail_file(buf *error, const char *path, const char *words) {
    buf_printf(error, "%s: %s", path, words);
    return SATCHEL_E_CERTIFICATE;
}

/* Appends the file, zero-terminated. */
static int read_operator(const char *path, bool secret, buf *out, buf *error) {
    struct stat st;
    int rc = SATCHEL_OK, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        rc = fail_file(error, path, strerror(errno));
        goto out;
    }
    uint8_t *room = buf_reserve(out, OPERATOR_FILE_BYTES + 1);
    ssize_t n = room && S_ISREG(st.st_mode) && st.st_size <= OPERATOR_FILE_BYTES ? read(fd, room, OPERATOR_FILE_BYTES) : -1;
    if (n < 0) {
        rc = fail_file(error, path, "this is no file of keys or certificates");
    } else if (secret && st.st_mode & S_IRWXO) {
        rc = fail_file(error, path, "others can read this key; chmod o= it");
    } else {
        room[n] = 0;
        out->n = (size_t)n;
    }
out:
    if (fd >= 0) close(fd);
    return rc;
}

int identity_use_operator(identity *id, const char *cert_path, const char *key_path, uint64_t now_ms, buf *error) {
    buf cert = {0}, key = {0};
    uint8_t of_key[CRYPTO_FINGERPRINT_BYTES], of_cert[CRYPTO_FINGERPRINT_BYTES];
    uint64_t end_ms;
    int rc = read_operator(cert_path, false, &cert, error);
    if (!rc) rc = read_operator(key_path, true, &key, error);
    if (rc) goto out;
    if (crypto_fingerprint(text_of(&key), of_key))
        rc = fail_file(error, key_path, "this is not a private key, without a password, that devices can use (ECDSA or RSA)");
    else if (crypto_fingerprint(text_of(&cert), of_cert) || crypto_not_after(text_of(&cert), &end_ms))
        rc = fail_file(error, cert_path, "this is not a certificate that devices can use (ECDSA or RSA, in PEM)");
    else if (memcmp(of_key, of_cert, sizeof of_key))
        rc = fail_file(error, cert_path, "the certificate belongs to another key than https-key has");
    else if (end_ms <= now_ms)
        rc = fail_file(error, cert_path, "the certificate has ended");
    if (rc) goto out;
    memcpy(id->pin, of_key, sizeof id->pin);
    id->https_end_ms = end_ms;
out:
    wipe(&key);
    buf_fini(&cert);
    return rc;
}

void identity_close(identity *id) {
    wipe(&id->ca_key);
    wipe(&id->next_key);
    wipe(&id->key);
    buf_fini(&id->ca_cert);
    buf_fini(&id->next_cert);
    buf_fini(&id->cert);
}
