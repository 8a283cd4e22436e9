#include "replica/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The number of a received alert has no accessor in any version. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && MBEDTLS_VERSION_NUMBER < 0x03060100
#error "mbedTLS 3 before 3.6.1 cannot meet a server that is known by its pin over TLS 1.3"
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

typedef enum stream_state { STREAM_CLOSED, STREAM_TCP, STREAM_TLS, STREAM_OPEN } stream_state;

struct stream {
    char host[256];
    uint16_t port;
    bool is_address; /* `host` is the 4 or 16 bytes of `address`, not a name */
    unsigned char address[16];
    size_t naddress;
    bool pinned;
    uint8_t pin[CRYPTO_FINGERPRINT_BYTES];

    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    mbedtls_x509_crt ca, cert;
    mbedtls_pk_context key;
    mbedtls_ssl_session session; /* of the last good handshake */
    bool has_session;
    bool chain_seen; /* the server showed its certificate, so the session was not resumed */

    stream_state state;
    int fd;
    struct addrinfo *found, *at; /* the host's addresses and the one that is tried */
    uint64_t deadline_ms, address_deadline_ms;
    int last_errno;
    short want;        /* what TLS waits for */
    size_t unfinished; /* bytes of a write that TLS has taken but not sent */
    bool broken;       /* sending failed: only reading is left */
    char error[256];
};

uint64_t stream_clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const char *stream_error(const stream *s) {
    return s->error;
}

bool stream_is_open(const stream *s) {
    return s->state == STREAM_OPEN;
}

bool stream_is_resumed(const stream *s) {
    return s->state == STREAM_OPEN && !s->chain_seen;
}

int stream_fd(const stream *s) {
    return s->fd;
}

short stream_events(const stream *s) {
    switch (s->state) {
    case STREAM_CLOSED:
        return 0;
    case STREAM_TCP:
        return POLLOUT;
    case STREAM_TLS:
        return s->want;
    case STREAM_OPEN:
        return (short)(POLLIN | s->want);
    }
    return 0;
}

int stream_timeout_ms(const stream *s) {
    if (s->state != STREAM_TCP && s->state != STREAM_TLS) return -1;
    uint64_t now = stream_clock_ms(), until = s->state == STREAM_TCP ? s->address_deadline_ms : s->deadline_ms;
    return until > now ? (int)(until - now) : 0;
}

/* --- errors ------------------------------------------------------------------------------------------------------------------ */

static void disconnect(stream *s) {
    if (s->fd >= 0) close(s->fd);
    if (s->found) freeaddrinfo(s->found);
    s->fd = -1;
    s->found = s->at = NULL;
    s->state = STREAM_CLOSED;
    s->want = 0;
}

static int fail(stream *s, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(stream *s, int rc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(s->error, sizeof s->error, format, args);
    va_end(args);
    disconnect(s);
    return rc;
}

/* What the server's last words mean (RFC 5246 section 7.2.2). Ones that do not speak of certificate or version may pass. */
static const struct alert {
    unsigned char number;
    int rc;
    const char *text;
} alerts[] = {
    {MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE, SATCHEL_E_CERTIFICATE, "it refused the handshake"},
    {MBEDTLS_SSL_ALERT_MSG_NO_CERT, SATCHEL_E_CERTIFICATE, "it wants a certificate"},
    {MBEDTLS_SSL_ALERT_MSG_BAD_CERT, SATCHEL_E_CERTIFICATE, "it did not accept this device's certificate"},
    {MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT, SATCHEL_E_CERTIFICATE, "it does not take this kind of certificate"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED, SATCHEL_E_REVOKED, "this device's certificate was revoked"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, SATCHEL_E_EXPIRED, "this device's certificate has expired; enrol again"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN, SATCHEL_E_CERTIFICATE, "it did not accept this device's certificate"},
    {MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA, SATCHEL_E_CERTIFICATE, "this device's certificate is another server's"},
    {MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED, SATCHEL_E_REVOKED, "access denied"},
    {MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR, SATCHEL_E_CERTIFICATE, "a signature of this device's certificate is wrong"},
    {MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION, SATCHEL_E_VERSION, "it speaks another version of TLS"},
    {MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY, SATCHEL_E_VERSION, "it wants other ciphers"},
    {116 /* certificate_required, RFC 8446 */, SATCHEL_E_CERTIFICATE, "it wants a certificate"},
};

static int fail_alert(stream *s) {
    unsigned number = s->ssl.in_msg[1];
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
        if (alerts[i].number == number)
            return fail(s, alerts[i].rc, "the server closed the connection: %s (TLS alert %u)", alerts[i].text, number);
    return fail(s, SATCHEL_E_NETWORK, "the server closed the connection (TLS alert %u)", number);
}

static int fail_verify(stream *s) {
    uint32_t flags = mbedtls_ssl_get_verify_result(&s->ssl);
    if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        return fail(s, SATCHEL_E_CERTIFICATE,
                    "the certificate of %s does not come from the server that this device was enrolled with", s->host);
    if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
        return fail(s, SATCHEL_E_EXPIRED, "the certificate of %s has expired, or this device's clock is wrong", s->host);
    if (flags & MBEDTLS_X509_BADCERT_FUTURE)
        return fail(s, SATCHEL_E_CERTIFICATE, "the certificate of %s is not valid yet, or this device's clock is wrong", s->host);
    if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
        return fail(s, SATCHEL_E_CERTIFICATE, "the server's certificate does not name %s", s->host);
    return fail(s, SATCHEL_E_CERTIFICATE, "the certificate of %s is not valid (flags 0x%x)", s->host, (unsigned)flags);
}

/* The one place where mbedTLS's codes become ours. */
static int fail_tls(stream *s, int err) {
    bool open = s->state == STREAM_OPEN;
    switch (err) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return fail_alert(s);
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        return fail_verify(s);
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_NET_CONN_RESET:
    case 0:
        return fail(s, open ? SATCHEL_E_CLOSED : SATCHEL_E_NETWORK,
                    open ? "the server closed the connection" : "the server closed the connection during the TLS handshake");
    case MBEDTLS_ERR_NET_RECV_FAILED:
        return fail(s, SATCHEL_E_NETWORK, "the connection broke: %s", strerror(s->last_errno));
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        return fail(s, SATCHEL_E_NOMEM, "out of memory");
    default:
        return fail(s, SATCHEL_E_NETWORK, "%s:%u does not speak TLS as it should (mbedTLS -0x%04x)", s->host, s->port,
                    (unsigned)-err);
    }
}

/* --- set up ------------------------------------------------------------------------------------------------------------------ */

static int rng(void *ctx, unsigned char *out, size_t n) {
    (void)ctx;
    return crypto_random(out, n) ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : 0;
}

/* A host that is no name is looked for among the addresses of the certificate: mbedTLS before 3.5 compares names only. */
static bool names_address(const mbedtls_x509_crt *cert, const stream *s) {
    for (const mbedtls_x509_sequence *name = &cert->subject_alt_names; name; name = name->next) {
        bool is_ip = name->buf.tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7);
        if (is_ip && name->buf.len == s->naddress && !memcmp(name->buf.p, s->address, s->naddress)) return true;
    }
    return false;
}

static int on_certificate(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags) {
    stream *s = ctx;
    s->chain_seen = true;
    if (depth == 0 && s->is_address && !names_address(cert, s)) *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int parse_identity(stream *s, const stream_config *c, buf *error) {
    if (c->ca_pem && mbedtls_x509_crt_parse(&s->ca, (const unsigned char *)c->ca_pem, strlen(c->ca_pem) + 1)) {
        buf_printf(error, "the certificate of the server's authority (ca.pem) cannot be read");
        return SATCHEL_E_CERTIFICATE;
    }
    if (!c->cert_pem) return SATCHEL_OK;
    if (mbedtls_x509_crt_parse(&s->cert, (const unsigned char *)c->cert_pem, strlen(c->cert_pem) + 1)) {
        buf_printf(error, "this device's certificate (cert.pem) cannot be read");
        return SATCHEL_E_CERTIFICATE;
    }
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int err = mbedtls_pk_parse_key(&s->key, (const unsigned char *)c->key_pem, strlen(c->key_pem) + 1, NULL, 0, rng, NULL);
    if (!err) err = mbedtls_pk_check_pair(&s->cert.pk, &s->key, rng, NULL);
#else
    int err = mbedtls_pk_parse_key(&s->key, (const unsigned char *)c->key_pem, strlen(c->key_pem) + 1, NULL, 0);
    if (!err) err = mbedtls_pk_check_pair(&s->cert.pk, &s->key);
#endif
    if (err) buf_printf(error, "this device's key (key.pem) cannot be read or does not belong to its certificate");
    return err ? SATCHEL_E_CERTIFICATE : SATCHEL_OK;
}

/* Forward secrecy and authenticated encryption only. */
static const int ciphersuites[] = {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    0};

static int configure(stream *s, const stream_config *c) {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (psa_crypto_init() != PSA_SUCCESS) return SATCHEL_E_INTERNAL;
#endif
    if (mbedtls_ssl_config_defaults(&s->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT))
        return SATCHEL_E_NOMEM;
#if MBEDTLS_VERSION_NUMBER >= 0x03020000
    mbedtls_ssl_conf_min_tls_version(&s->conf, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(&s->conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
#ifdef MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(&s->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    mbedtls_ssl_conf_ciphersuites(&s->conf, ciphersuites);
    mbedtls_ssl_conf_rng(&s->conf, rng, NULL);
    mbedtls_ssl_conf_authmode(&s->conf, s->pinned ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_verify(&s->conf, on_certificate, s);
    if (c->ca_pem) mbedtls_ssl_conf_ca_chain(&s->conf, &s->ca, NULL);
    if (c->cert_pem && mbedtls_ssl_conf_own_cert(&s->conf, &s->cert, &s->key)) return SATCHEL_E_NOMEM;
    return SATCHEL_OK;
}

int stream_new(const stream_config *c, stream **out, buf *error) {
    if (!c->ca_pem == !c->pin || !c->cert_pem != !c->key_pem || strlen(c->host) >= sizeof((stream *)0)->host)
        return SATCHEL_E_MISUSE;
    stream *s = calloc(1, sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    s->fd = -1;
    snprintf(s->host, sizeof s->host, "%s", c->host);
    s->port = c->port;
    s->naddress = inet_pton(AF_INET, s->host, s->address) == 1 ? 4 : inet_pton(AF_INET6, s->host, s->address) == 1 ? 16 : 0;
    s->is_address = s->naddress != 0;
    s->pinned = c->pin != NULL;
    if (c->pin) memcpy(s->pin, c->pin, sizeof s->pin);
    mbedtls_ssl_config_init(&s->conf);
    mbedtls_ssl_init(&s->ssl);
    mbedtls_x509_crt_init(&s->ca);
    mbedtls_x509_crt_init(&s->cert);
    mbedtls_pk_init(&s->key);
    mbedtls_ssl_session_init(&s->session);
    int rc = parse_identity(s, c, error);
    if (!rc) rc = configure(s, c);
    if (rc) {
        stream_free(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

void stream_free(stream *s) {
    if (!s) return;
    stream_close(s);
    mbedtls_ssl_session_free(&s->session);
    mbedtls_ssl_free(&s->ssl);
    mbedtls_ssl_config_free(&s->conf);
    mbedtls_pk_free(&s->key);
    mbedtls_x509_crt_free(&s->cert);
    mbedtls_x509_crt_free(&s->ca);
    free(s);
}

/* --- TCP --------------------------------------------------------------------------------------------------------------------- */

/* send() rather than mbedTLS's own write(): a closed connection must not kill the application with SIGPIPE.
 *
 * A server that refuses this device sends an alert and closes; the next send then fails, and the alert lies unread. So after a failure
 * to send the bytes are dropped as if they were sent, and TLS goes on to read the alert. */
static int bio_send(void *ctx, const unsigned char *p, size_t n) {
    stream *s = ctx;
    if (s->broken) return (int)n;
    ssize_t sent = send(s->fd, p, n, MSG_NOSIGNAL);
    if (sent >= 0) return (int)sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return MBEDTLS_ERR_SSL_WANT_WRITE;
    s->last_errno = errno;
    s->broken = true;
    return (int)n;
}

static int bio_receive(void *ctx, unsigned char *p, size_t n) {
    stream *s = ctx;
    ssize_t got = recv(s->fd, p, n, 0);
    if (got >= 0) return (int)got;
    if (s->broken || errno == ECONNRESET || errno == EPIPE) return MBEDTLS_ERR_NET_CONN_RESET;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return MBEDTLS_ERR_SSL_WANT_READ;
    s->last_errno = errno;
    return MBEDTLS_ERR_NET_RECV_FAILED;
}

/* Nagle's delay off: frames are whole messages. TCP_USER_TIMEOUT notices a path that is gone while there is something to send. */
static void set_options(int fd) {
    int one = 1;
    unsigned wait_ms = STREAM_UNACKNOWLEDGED_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef TCP_USER_TIMEOUT
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &wait_ms, sizeof wait_ms);
#endif
    (void)wait_ms;
}

static int begin_tls(stream *s) {
    mbedtls_ssl_free(&s->ssl);
    mbedtls_ssl_init(&s->ssl);
    int err = mbedtls_ssl_setup(&s->ssl, &s->conf);
    if (!err) err = mbedtls_ssl_set_hostname(&s->ssl, s->is_address ? NULL : s->host);
    if (!err && s->has_session) s->has_session = !mbedtls_ssl_set_session(&s->ssl, &s->session);
    if (err) return fail_tls(s, err);
    mbedtls_ssl_set_bio(&s->ssl, s, bio_send, bio_receive, NULL);
    s->state = STREAM_TLS;
    s->chain_seen = s->broken = false;
    s->unfinished = 0;
    return SATCHEL_OK;
}

/* The time that is left is shared evenly among the addresses that are left: a dead IPv6 route must not use up IPv4's. */
static void set_address_deadline(stream *s) {
    uint64_t now = stream_clock_ms(), left = s->deadline_ms > now ? s->deadline_ms - now : 0;
    unsigned addresses = 0;
    for (const struct addrinfo *a = s->at; a; a = a->ai_next) addresses++;
    s->address_deadline_ms = now + left / (addresses ? addresses : 1);
}

/* Starts on s->at or the next one after it that can be started on. */
static int start_address(stream *s) {
    for (; s->at; s->at = s->at->ai_next) {
        if (s->fd >= 0) close(s->fd);
        s->fd = socket(s->at->ai_family, s->at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, s->at->ai_protocol);
        if (s->fd < 0) {
            s->last_errno = errno;
            continue;
        }
        set_options(s->fd);
        set_address_deadline(s);
        if (!connect(s->fd, s->at->ai_addr, s->at->ai_addrlen)) return begin_tls(s);
        if (errno == EINPROGRESS) return SATCHEL_OK;
        s->last_errno = errno;
    }
    return fail(s, s->last_errno == ETIMEDOUT ? SATCHEL_E_TIMEOUT : SATCHEL_E_NETWORK, "cannot connect to %s port %u: %s",
                s->host, s->port, strerror(s->last_errno));
}

int stream_connect(stream *s) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char port[8];
    stream_close(s);
    s->error[0] = 0;
    snprintf(port, sizeof port, "%u", s->port);
    int err = getaddrinfo(s->host, port, &hints, &s->found);
    if (err) {
        s->found = NULL;
        return fail(s, SATCHEL_E_NETWORK, "cannot find %s: %s", s->host, gai_strerror(err));
    }
    s->at = s->found;
    s->state = STREAM_TCP;
    s->deadline_ms = stream_clock_ms() + STREAM_CONNECT_MS;
    return start_address(s);
}

static int step_tcp(stream *s) {
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    socklen_t n = sizeof s->last_errno;
    if (poll(&p, 1, 0) <= 0) {
        if (stream_clock_ms() < s->address_deadline_ms) return SATCHEL_OK;
        s->last_errno = ETIMEDOUT;
    } else if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &s->last_errno, &n) || s->last_errno) {
        if (!s->last_errno) s->last_errno = errno;
    } else {
        return begin_tls(s);
    }
    s->at = s->at->ai_next;
    return start_address(s);
}

/* --- TLS --------------------------------------------------------------------------------------------------------------------- */

/* True if TLS only waits for the socket; notes for what. */
static bool must_wait(stream *s, int err) {
    if (err == MBEDTLS_ERR_SSL_WANT_READ || err == MBEDTLS_ERR_SSL_WANT_WRITE) {
        s->want = err == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN;
        return true;
    }
    return false;
}

/* In TLS 1.2 the session is known at the end of the handshake, in 1.3 when a ticket comes later. */
static void keep_session(stream *s) {
    mbedtls_ssl_session_free(&s->session);
    mbedtls_ssl_session_init(&s->session);
    s->has_session = mbedtls_ssl_get_session(&s->ssl, &s->session) == 0;
}

static int check_pin(stream *s) {
    uint8_t shown[CRYPTO_FINGERPRINT_BYTES];
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&s->ssl);
    if (!cert || crypto_fingerprint_der(cert->raw.p, cert->raw.len, shown) || memcmp(shown, s->pin, sizeof shown))
        return fail(s, SATCHEL_E_PIN, "%s port %u is not the server that the enrolment code names", s->host, s->port);
    return SATCHEL_OK;
}

static int step_tls(stream *s) {
    int err = mbedtls_ssl_handshake(&s->ssl);
    if (must_wait(s, err)) {
        if (stream_clock_ms() < s->deadline_ms) return SATCHEL_OK;
        return fail(s, SATCHEL_E_TIMEOUT, "%s port %u did not finish the TLS handshake in time", s->host, s->port);
    }
    if (err) {
        /* Whatever was wrong, a full handshake has the better chance next time. */
        s->has_session = false;
        return fail_tls(s, err);
    }
    if (s->pinned) {
        int rc = check_pin(s);
        if (rc) return rc;
    } else if (!strcmp(mbedtls_ssl_get_version(&s->ssl), "TLSv1.2")) {
        keep_session(s);
    }
    s->state = STREAM_OPEN;
    s->want = 0;
    return SATCHEL_OK;
}

int stream_step(stream *s) {
    int rc = SATCHEL_OK;
    if (s->state == STREAM_TCP) rc = step_tcp(s);
    if (!rc && s->state == STREAM_TLS) rc = step_tls(s);
    return rc;
}

int stream_read(stream *s, void *p, size_t n, size_t *got) {
    *got = 0;
    if (s->state != STREAM_OPEN) return SATCHEL_E_CLOSED;
    int err = mbedtls_ssl_read(&s->ssl, p, n);
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    while (err == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        keep_session(s);
        err = mbedtls_ssl_read(&s->ssl, p, n);
    }
#endif
    if (err == MBEDTLS_ERR_SSL_WANT_READ) return SATCHEL_OK;
    if (must_wait(s, err)) return SATCHEL_OK;
    if (err <= 0) return fail_tls(s, err);
    *got = (size_t)err;
    return SATCHEL_OK;
}

int stream_write(stream *s, const void *p, size_t n, size_t *put) {
    *put = 0;
    if (s->state != STREAM_OPEN) return SATCHEL_E_CLOSED;
    /* When a record is half sent, mbedTLS finishes it and then claims to have sent as much as this call offers. */
    if (s->unfinished) n = s->unfinished;
    if (!n) return SATCHEL_OK;
    int err = mbedtls_ssl_write(&s->ssl, p, n);
    if (must_wait(s, err)) {
        s->unfinished = n;
        return SATCHEL_OK;
    }
    s->want = 0;
    s->unfinished = 0;
    if (err <= 0) return fail_tls(s, err);
    *put = (size_t)err;
    return SATCHEL_OK;
}

void stream_close(stream *s) {
    if (s->state == STREAM_OPEN && !s->broken) mbedtls_ssl_close_notify(&s->ssl);
    disconnect(s);
}
