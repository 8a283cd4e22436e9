/* front_sync.c - the sync port: who may connect, frames in and frames out. */
#include "server/front_private.h"

#include <stdio.h>
#include <string.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "server/log.h"

#define SYNC_PATH "/sync"
/* Largest SubjectPublicKeyInfo that is looked at; a P-256 one has 91 bytes. */
#define PUBLIC_KEY_BYTES 1024
/* A receive buffer that has grown over this is freed after its frame: most devices are idle most of the time. */
#define KEEP_BYTES 16384

/* The name comes from a stranger's certificate, for the log alone. */
static void log_refused_certificate(struct lws *wsi, X509_STORE_CTX *check) {
    char subject[256] = "?", peer[46];
    X509 *cert = check ? X509_STORE_CTX_get_current_cert(check) : NULL;
    if (cert) X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof subject);
    front_peer(wsi, peer);
    hub_note_refused_login(front_of(wsi)->service->hub);
    log_event(&(log_fields){.level = 'w', .event = "certificate-refused", .peer = peer, .rc = SATCHEL_E_CERTIFICATE},
              "a client certificate was refused: %s (%s)",
              check ? X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)) : "no reason", subject);
}

/* All is right with the certificate but that it has ended, and its device is to hear that it is wiped. By its key alone: what comes next, a session or a renewal, looks at the
 * store itself. */
static bool comes_to_be_wiped(struct lws *wsi, X509_STORE_CTX *check) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    if (!check || X509_STORE_CTX_get_error(check) != X509_V_ERR_CERT_HAS_EXPIRED || X509_STORE_CTX_get_error_depth(check))
        return false;
    unsigned char *key = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(X509_STORE_CTX_get_current_cert(check)), &key);
    if (n <= 0) return false;
    crypto_sha256(key, (size_t)n, fingerprint);
    OPENSSL_free(key);
    if (!(hub_orders(front_of(wsi)->service->hub, fingerprint) & ORDER_WIPE)) return false;
    X509_STORE_CTX_set_error(check, X509_V_OK);
    return true;
}

bool front_device(struct lws *wsi, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    union {
        union lws_tls_cert_info_results info;
        uint8_t room[PUBLIC_KEY_BYTES];
    } r;
    memset(&r, 0, sizeof r);
    if (lws_tls_peer_cert_info(wsi, LWS_TLS_CERT_INFO_VERIFIED, &r.info, sizeof r.info.ns.name) || !r.info.verified) return false;
    size_t room = sizeof r - offsetof(union lws_tls_cert_info_results, ns.name);
    if (lws_tls_peer_cert_info(wsi, LWS_TLS_CERT_INFO_OPAQUE_PUBLIC_KEY, &r.info, room) || r.info.ns.len <= 0) return false;
    crypto_sha256(r.info.ns.name, (size_t)r.info.ns.len, out);
    return true;
}

/* Before the upgrade: anything but satchel.v1 at /sync is refused. */
static int filter_upgrade(struct lws *wsi) {
    char path[16] = "";
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI);
    return strcmp(path, SYNC_PATH) || !front_device(wsi, fingerprint);
}

/* Not by libwebsockets' functions: it does not know the request's version yet and would answer as HTTP/1.0. 1: answered; -1: hang up. */
static int refuse(struct lws *wsi, const char *status, const char *header, const char *words) {
    char room[LWS_PRE + 512], *answer = room + LWS_PRE;
    int n = snprintf(
        answer, sizeof room - LWS_PRE,
        "HTTP/1.1 %s\r\n%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
        status, header, strlen(words), words);
    return lws_write(wsi, (unsigned char *)answer, (size_t)n, LWS_WRITE_HTTP) < n ? -1 : 1;
}

/* libwebsockets hangs up without a word on who offers no subprotocol that it knows, so that is answered before it looks: with what is spoken here, for
 * people and, in the header, for their programs. */
static int refuse_subprotocol(struct lws *wsi) {
    return refuse(wsi, "400 Bad Request", "Sec-WebSocket-Protocol: " PROTOCOL_SUBPROTOCOL,
                  "This server speaks " PROTOCOL_SUBPROTOCOL
                  ". Update Satchel on the device or on the server, whichever is older.\n");
}

/* Who connects too often hears so before there is a session. */
static int admit_device(front *f, struct lws *wsi) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    char header[64];
    if (!front_device(wsi, fingerprint)) return -1;
    uint64_t wait_ms = front_share_connect(f, fingerprint);
    if (!wait_ms) return 0;
    snprintf(header, sizeof header, "Retry-After: %llu", (unsigned long long)(wait_ms / 1000 + 1));
    return refuse(wsi, "429 Too Many Requests", header, "This device connects too often; it is to come back later.\n");
}

static int confirm_upgrade(struct lws *wsi) {
    char offered[128] = "", *next = NULL;
    front_share_asked(wsi);
    /* An upgrade to something else was answered by libwebsockets, which goes on with a request that it has freed. */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0) return -1;
    lws_hdr_copy(wsi, offered, sizeof offered, WSI_TOKEN_PROTOCOL);
    for (char *name = strtok_r(offered, ", \t", &next); name; name = strtok_r(NULL, ", \t", &next))
        if (!strcmp(name, PROTOCOL_SUBPROTOCOL)) return admit_device(front_of(wsi), wsi);
    return refuse_subprotocol(wsi);
}

int front_sync_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION:
        /* `len` is OpenSSL's verdict. Whoever does not hand it on lets every certificate in. */
        if (len || comes_to_be_wiped(wsi, user)) return 0;
        log_refused_certificate(wsi, user);
        return 1;
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        return front_tls_context(wsi, user, in);
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
    case LWS_CALLBACK_WSI_CREATE:
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
    case LWS_CALLBACK_WSI_DESTROY:
        return front_count(wsi, reason, user);
    case LWS_CALLBACK_SSL_INFO:
        return front_tls_alert(wsi, in);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return 1;
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_TIMER:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        return front_https(wsi, reason, user, in, len);
    default:
        return 0;
    }
}

/* LWS_CALLBACK_ADD_HEADERS of an upgrade: what the device is to do. */
static int put_orders(front *f, struct lws *wsi, struct lws_process_html_args *args) {
    static const unsigned char NAME[] = "satchel-orders:";
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    char list[64];
    unsigned char *p = (unsigned char *)args->p, *end = p + args->max_len;
    unsigned orders = front_device(wsi, fingerprint) ? hub_orders(f->service->hub, fingerprint) : 0;
    int n = snprintf(list, sizeof list, "%s%s%s", front_tls_is_to_renew(wsi) ? ", renew" : "",
                     orders & ORDER_VERIFY ? ", verify" : "", orders & ORDER_ROTATE_KEY ? ", rotate-key" : "");
    if (!n) return 0;
    if (lws_add_http_header_by_name(wsi, NAME, (const unsigned char *)list + 2, n - 2, &p, end)) return -1;
    args->p = (char *)p;
    return 0;
}

static int established(front *f, struct lws *wsi, front_client *c) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    char peer[46];
    if (!front_device(wsi, fingerprint)) return -1;
    c->wsi = wsi;
    c->session = hub_connect(f->service->hub, fingerprint);
    front_peer(wsi, peer);
    hub_set_peer(f->service->hub, c->session, peer);
    /* One buffer more than a frame may have, so that a frame over the limit is seen as such. */
    c->in.max = LIMIT_FRAME_BYTES + KEEP_BYTES;
    if (c->session && front_add(f, c)) {
        front_share_established(f, c, fingerprint);
        return 0;
    }
    if (c->session) hub_disconnect(f->service->hub, c->session);
    c->session = 0;
    return -1;
}

static void hand_over(front *f, front_client *c) {
    front_share_received(f, c);
    hub_receive(f->service->hub, c->session, c->in.p, c->in.n);
    if (c->in.cap > KEEP_BYTES)
        buf_fini(&c->in);
    else
        buf_clear(&c->in);
    c->in.max = LIMIT_FRAME_BYTES + KEEP_BYTES;
}

static int receive(front *f, struct lws *wsi, front_client *c, const void *p, size_t n) {
    if (c->deaf || c->closing || !c->session) return 0;
    if (!lws_frame_is_binary(wsi)) {
        /* An empty message, which is malformed: the hub tells the device so, and names it in the log. */
        c->deaf = true;
        hub_receive(f->service->hub, c->session, "", 0);
        return 0;
    }
    buf_put(&c->in, p, n);
    if (c->in.rc == SATCHEL_E_NOMEM) return -1;
    bool over = c->in.rc || c->in.n > LIMIT_FRAME_BYTES;
    c->deaf = over;
    if (over || lws_is_final_fragment(wsi)) {
        hand_over(f, c);
        front_share_pace(f, c);
    }
    return 0;
}

/* Says why and waits for the peer, who so has read the last message before the connection goes. Not by returning -1 where we are: from
 * SERVER_WRITEABLE, Debian's libwebsockets closes twice, and the second time at once, without a close frame. From a timer it closes once. */
static void close_politely(struct lws *wsi, front_client *c, enum lws_close_status why) {
    c->closing = true;
    lws_close_reason(wsi, why, NULL, 0);
    lws_set_timer_usecs(wsi, 1);
}

static int send_next(front *f, struct lws *wsi, front_client *c) {
    hub_frame frame;
    bool close = false;
    if (!c->session || c->closing) return 0;
    front_share_pace(f, c);
    if (!front_share_may_send(f, c)) return 0;
    if (!hub_output(f->service->hub, c->session, &frame, &close)) {
        if (close || f->draining) close_politely(wsi, c, close ? LWS_CLOSE_STATUS_NORMAL : LWS_CLOSE_STATUS_GOINGAWAY);
        return 0;
    }
    uint8_t *p = front_scratch(f, frame.n);
    if (!p) return -1;
    memcpy(p, frame.p, frame.n);
    int written = lws_write(wsi, p, frame.n, LWS_WRITE_BINARY);
    bool more = hub_output_done(f->service->hub, c->session);
    if (written < (int)frame.n) return -1;
    front_share_sent(f, c, (size_t)written);
    if (more || f->draining) lws_callback_on_writable(wsi);
    return 0;
}

static int on_timer(front *f, struct lws *wsi, front_client *c) {
    if (!c) return 0;
    if (c->closing) return -1;
    c->wake_ms = 0;
    front_share_pace(f, c);
    lws_callback_on_writable(wsi);
    return 0;
}

static void closed(front *f, front_client *c) {
    /* It comes for connections that were refused before ESTABLISHED as well. */
    if (!c || !c->session) return;
    front_remove(f, c);
    front_share_closed(f, c);
    hub_disconnect(f->service->hub, c->session);
    buf_fini(&c->in);
    c->session = 0;
}

int front_sync_ws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    front *f = front_of(wsi);
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return filter_upgrade(wsi);
    case LWS_CALLBACK_ADD_HEADERS:
        return put_orders(f, wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        return established(f, wsi, user);
    case LWS_CALLBACK_RECEIVE:
        return receive(f, wsi, user, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return send_next(f, wsi, user);
    case LWS_CALLBACK_TIMER:
        return on_timer(f, wsi, user);
    case LWS_CALLBACK_CLOSED:
        closed(f, user);
        return 0;
    default:
        return 0;
    }
}
