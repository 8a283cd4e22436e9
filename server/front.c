#include "server/front_private.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "server/log.h"

/* Asked of the system at most; more connections than this want more servers. */
#define FILES_MAX 65536
/* Kept free for the store, its readers, the log and the admin. */
#define FILES_RESERVED 128
#define HTTPS_RESERVED 32
#define TELL_EVERY_MS 10000
/* A device that is idle for so long is asked for a sign of life, and cut off when none comes: a phone that left the network says no goodbye. */
#define PING_AFTER_S 60
#define HANGUP_AFTER_S 180
#define HANDSHAKE_TIMEOUT_S 15
#define KEEPALIVE_S 30
/* Smaller receive buffers have been seen to livelock a core under flow control. */
#define RX_BUFFER_BYTES 16384
#define SERVICE_BUFFER_BYTES 32768
#define TX_PACKET_BYTES 65536

static struct lws_protocols sync_protocols[] = {
    {.name = "none", .callback = front_sync_http, .rx_buffer_size = RX_BUFFER_BYTES},
    {.name = PROTOCOL_SUBPROTOCOL,
     .callback = front_sync_ws,
     .per_session_data_size = sizeof(front_client),
     .rx_buffer_size = RX_BUFFER_BYTES,
     .tx_packet_size = TX_PACKET_BYTES},
    {0},
};

static const lws_retry_bo_t signs_of_life = {.secs_since_valid_ping = PING_AFTER_S, .secs_since_valid_hangup = HANGUP_AFTER_S};

/* ---- shared by the ports ---- */

front *front_of(struct lws *wsi) {
    return lws_context_user(lws_get_context(wsi));
}

void front_peer(struct lws *wsi, char out[46]) {
    /* Of a peer that has gone already it gives words about that. */
    if (!lws_get_peer_simple(wsi, out, 46) || strchr(out, ' ')) snprintf(out, 46, "?");
    if (!strncmp(out, "::ffff:", 7)) memmove(out, out + 7, strlen(out + 7) + 1);
}

uint64_t front_now_ms(const front *f) {
    return uv_now(&f->service->loop->uv);
}

/* Says so at most every few seconds: whoever is turned away comes again at once. */
static void log_turned_away(front *f) {
    uint64_t now_ms = front_now_ms(f);
    f->turned_away++;
    if (f->told_ms && now_ms < f->told_ms + TELL_EVERY_MS) return;
    f->told_ms = now_ms;
    log_event(&(log_fields){.level = 'w', .event = "connections", .rc = SATCHEL_E_OVERLOAD},
              "connections are turned away (%llu so far): %u are open, as many as the limit of open files allows",
              (unsigned long long)f->turned_away, f->open);
}

/* The HTTPS port can still be reached when devices have taken all that they may. */
static int admit(front *f, struct lws *listener, const void *from) {
    unsigned reserved = f->capacity > 2 * HTTPS_RESERVED && lws_get_vhost(listener) == f->sync ? HTTPS_RESERVED : 0;
    if (f->draining) return 1;
    if (f->open < f->capacity - reserved) return !front_share_admit(f, from);
    log_turned_away(f);
    return 1;
}

int front_count(struct lws *wsi, enum lws_callback_reasons reason, const void *user) {
    front *f = front_of(wsi);
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return admit(f, wsi, user);
    case LWS_CALLBACK_WSI_CREATE:
        f->open++;
        f->coming = wsi;
        return 0;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        front_share_arrived(f, wsi);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        /* Listening sockets go this way too, and did not come by the other. */
        if (f->open) f->open--;
        front_share_left(f, wsi);
        return 0;
    default:
        return 0;
    }
}

uint8_t *front_scratch(front *f, size_t n) {
    if (f->scratch_bytes < n + LWS_PRE) {
        uint8_t *p = realloc(f->scratch, n + LWS_PRE);
        if (!p) return NULL;
        f->scratch = p;
        f->scratch_bytes = n + LWS_PRE;
    }
    return f->scratch + LWS_PRE;
}

/* ---- sessions ---- */

static front_client **place_of(const front *f, uint64_t session) {
    return &f->table[value_hash(&session, sizeof session, 0) & (f->places - 1)];
}

front_client *front_find(const front *f, uint64_t session) {
    front_client *c = f->places ? *place_of(f, session) : NULL;
    while (c && c->session != session) c = c->next;
    return c;
}

static bool grow_table(front *f) {
    size_t before = f->places, places = before ? before * 2 : 64;
    front_client **old = f->table, **table = calloc(places, sizeof *table);
    if (!table) return false;
    f->table = table;
    f->places = places;
    for (size_t i = 0; i < before; i++) {
        for (front_client *c = old[i], *next; c; c = next) {
            next = c->next;
            front_client **at = place_of(f, c->session);
            c->next = *at;
            *at = c;
        }
    }
    free(old);
    return true;
}

bool front_add(front *f, front_client *c) {
    if (f->clients >= f->places && !grow_table(f)) return false;
    front_client **at = place_of(f, c->session);
    c->next = *at;
    *at = c;
    f->clients++;
    return true;
}

void front_remove(front *f, front_client *c) {
    if (!f->places) return;
    for (front_client **at = place_of(f, c->session); *at; at = &(*at)->next) {
        if (*at != c) continue;
        *at = c->next;
        f->clients--;
        return;
    }
}

void front_woken(void *front_) {
    front *f = front_;
    for (uint64_t session; (session = hub_ready(f->service->hub));) {
        front_client *c = front_find(f, session);
        if (c) lws_callback_on_writable(c->wsi);
    }
}

/* ---- opening ---- */

static void emit(int level, const char *line) {
    /* "[2026/11/22 09:15:02:1234] E: words\n": the log has its own time. */
    const char *words = strstr(line, "]");
    words = words && strlen(words) > 5 ? words + 5 : line;
    log_line(level == LLL_ERR ? 'w' : 'd', NULL, "libwebsockets: %.*s", (int)strcspn(words, "\n"), words);
}

static unsigned raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return 1024;
    rlim_t want = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
    if (files.rlim_cur < want) {
        files.rlim_cur = want;
        setrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_NOFILE, &files);
    }
    return (unsigned)(files.rlim_cur < FILES_MAX ? files.rlim_cur : FILES_MAX);
}

/* libwebsockets tells that it cannot listen, but not why: try first, in the same way. */
static int try_listen(const char *address, uint16_t port, buf *error) {
    char service_name[8];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    snprintf(service_name, sizeof service_name, "%u", port);
    if (getaddrinfo(address, service_name, &hints, &found)) {
        buf_printf(error, "cannot listen on %s: this is not an IP address", address);
        return SATCHEL_E_NETWORK;
    }
    int on = 1, rc = SATCHEL_OK, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 1)) {
        buf_printf(error, "cannot listen on %s, port %u: %s", address, port, strerror(errno));
        rc = SATCHEL_E_NETWORK;
    }
    if (fd >= 0) close(fd);
    freeaddrinfo(found);
    return rc;
}

static struct lws_context *make_context(front *f) {
    void *loops[] = {&f->service->loop->uv};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .port = CONTEXT_PORT_NO_LISTEN,
        .foreign_loops = loops,
        .user = f,
        .pcontext = &f->context,
        .server_string = "satchel",
        .pt_serv_buf_size = SERVICE_BUFFER_BYTES,
        .timeout_secs = HANDSHAKE_TIMEOUT_S,
        .retry_and_idle_policy = &signs_of_life,
        .gid = -1,
        .uid = -1,
    };
    return lws_create_context(&info);
}

typedef struct vhost_config {
    const char *name, *listen;
    uint16_t port;
    const struct lws_protocols *protocols;
    const front_shown *shown;
    const char *authority; /* of the clients' certificates; NULL: none are asked for */
} vhost_config;

static int make_vhost(front *f, const vhost_config *v, struct lws_vhost **out, buf *error) {
    int rc = try_listen(v->listen, v->port, error);
    if (rc) return rc;
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
        .vhost_name = v->name,
        .iface = v->listen,
        .port = v->port,
        .protocols = v->protocols,
        .ssl_cert_filepath = v->shown->cert,
        .ssl_private_key_filepath = v->shown->key,
        .ssl_options_set = (long)(SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION),
        .alpn = "http/1.1",
        .ssl_info_event_mask = SSL_CB_ALERT,
        .keepalive_timeout = KEEPALIVE_S,
        .timeout_secs = HANDSHAKE_TIMEOUT_S,
        .retry_and_idle_policy = &signs_of_life,
    };
    if (!strchr(v->listen, ':')) info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (v->authority) {
        info.options |= LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
        info.ssl_ca_filepath = v->authority;
    } else {
        info.options |= LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE;
    }
    *out = lws_create_vhost(f->context, &info);
    if (*out) return SATCHEL_OK;
    buf_printf(error, "cannot serve the %s port %u on %s with the certificate %s; the lines above say why", v->name, v->port,
               v->listen, v->shown->cert);
    return SATCHEL_E_CERTIFICATE;
}

static int make_vhosts(front *f, const front_config *config, buf *error) {
    static struct lws_protocols https_protocols[] = {
        {.name = "https", .callback = front_https, .rx_buffer_size = RX_BUFFER_BYTES}, {0}};
    https_protocols[0].per_session_data_size = sync_protocols[0].per_session_data_size = front_https_user_bytes();
    const char *listen = !strcmp(config->listen, "localhost") ? "127.0.0.1" : config->listen;
    vhost_config sync = {"sync", listen, config->sync_port, sync_protocols, &f->on_sync, f->authority};
    vhost_config https = {"https", listen, config->https_port, https_protocols, &f->on_https, NULL};
    int rc = make_vhost(f, &sync, &f->sync, error);
    if (!rc) rc = make_vhost(f, &https, &f->https, error);
    if (rc) return rc;
    f->service->sync_port = (uint16_t)lws_get_vhost_listen_port(f->sync);
    f->service->https_port = (uint16_t)lws_get_vhost_listen_port(f->https);
    return SATCHEL_OK;
}

int front_open(const front_config *config, front **out, buf *error) {
    front *f = calloc(1, sizeof *f);
    if (!f) return SATCHEL_E_NOMEM;
    *out = f;
    f->service = config->service;
    f->http = config->http;
    front_share_open(f, config);
    f->service->front_metrics = front_share_metrics;
    f->service->front = f;
    unsigned files = raise_file_limit();
    f->capacity = files > 2 * FILES_RESERVED ? files - FILES_RESERVED : files / 2;
    lws_set_log_level(LLL_ERR | LLL_WARN, emit);
    f->context = make_context(f);
    if (!f->context) {
        buf_printf(error, "cannot start libwebsockets on libuv; is the package libwebsockets-evlib-uv installed?");
        return SATCHEL_E_INTERNAL;
    }
    log_line('i', NULL, "%u open files are allowed: at most %u connections at once", files, f->capacity);
    int rc = front_tls_paths(f, config);
    if (!rc) rc = make_vhosts(f, config, error);
    /* libwebsockets has loaded them; this says what it would not look at. */
    return rc ? rc : front_reload(f, f->service->identity, error);
}

unsigned front_busy(const front *f) {
    return (unsigned)f->clients + f->exchanges;
}

void front_drain(front *f) {
    f->draining = true;
    for (size_t i = 0; i < f->places; i++)
        for (front_client *c = f->table[i]; c; c = c->next) lws_callback_on_writable(c->wsi);
}

void front_close(front *f) {
    f->draining = true;
    if (f->context) lws_context_destroy(f->context);
}

void front_free(front *f) {
    if (!f) return;
    /* On a loop that is not its own, libwebsockets destroys in two calls: this one frees. */
    if (f->context) lws_context_destroy(f->context);
    front_share_close(f);
    free(f->table);
    free(f->scratch);
    free(f);
}
