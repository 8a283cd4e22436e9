/* front_share.c - what one device, or one address, may take of the server: connections, and how fast its socket is read and written. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "server/front_private.h"
#include "server/log.h"

/* What an honest device that was offline for weeks comes with, some tens of MiB, and what a first sync takes, some hundreds, are within a burst, at whatever
 * speed the line has. Being sent costs others less than sending, which all of them are told of. */
#define TRAFFIC_BURST_S 64u
#define SENT_FACTOR 4u
#define DEVICE_CONNECTS_BURST_S 60u
/* Half a minute's worth: a company whose devices all lie behind one address may come at once. */
#define ADDRESS_CONNECTS_BURST_S 30u
/* Connections of one device at once. It needs one; those that a phone left behind in other networks last for minutes. */
#define DEVICE_OPEN_MOST 16u
/* Of all connections, an address has this part at most that are no device's. */
#define ADDRESS_SHARE 4u
/* What the writer holds of one connection, as it will be unpacked, before more is read: a group commit serves all who wait, and this is what one of them
 * adds to the time of the others. */
#define IN_FLIGHT_BYTES (64u << 10)
/* The same where nobody would feel it. */
#define IN_FLIGHT_ALONE_BYTES LIMIT_PAGE_BYTES
/* After more than this, while others who send little have to wait, it rests so many times as long as the writer took: a fifth of the writer is its. As more devices do so, they
 * share it. What took longer was mostly not its doing. */
#define LIGHT_BYTES (16u << 10)
#define REST_FACTOR 4u
#define REST_MOST_MS 2000u
/* When nothing answers what was sent, the next look. */
#define LOOK_MS 50u

void front_share_open(front *f, const front_config *c) {
    budget_rate device[BUDGET_KINDS] = {
        [BUDGET_CONNECTS] = {c->device_connects, DEVICE_CONNECTS_BURST_S},
        [BUDGET_RECEIVED] = {(uint64_t)c->device_kib * 1024 * 60, TRAFFIC_BURST_S},
        [BUDGET_SENT] = {(uint64_t)c->device_kib * SENT_FACTOR * 1024 * 60, TRAFFIC_BURST_S},
    };
    budget_rate address[BUDGET_KINDS] = {[BUDGET_CONNECTS] = {c->address_connects, ADDRESS_CONNECTS_BURST_S}};
    budgets_init(&f->devices, device);
    budgets_init(&f->addresses, address);
}

void front_share_close(front *f) {
    budgets_fini(&f->devices);
    budgets_fini(&f->addresses);
}

/* ---- addresses ---- */

/* A connection that has not shown that it is a device's; or, on the sync port, a device's that asks by HTTP. */
typedef struct stranger {
    budget *budget; /* of its address, or of its device */
    bool device;    /* the latter */
    bool known;     /* why it ended was told, or it has asked for something */
} stranger;

/* One subscriber of IPv6 has a whole /64. */
static size_t name_of(const struct sockaddr_storage *a, uint8_t name[16], char peer[INET6_ADDRSTRLEN]) {
    const struct sockaddr_in6 *six = (const void *)a;
    const struct sockaddr_in *four = (const void *)a;
    bool is_six = a->ss_family == AF_INET6, mapped = is_six && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    const void *v4 = mapped ? (const void *)(six->sin6_addr.s6_addr + 12) : (const void *)&four->sin_addr;
    size_t n = is_six && !mapped ? 8 : 4;
    memcpy(name, n == 8 ? (const void *)six->sin6_addr.s6_addr : v4, n);
    if (!inet_ntop(n == 8 ? AF_INET6 : AF_INET, n == 8 ? (const void *)&six->sin6_addr : v4, peer, INET6_ADDRSTRLEN)) peer[0] = 0;
    return n;
}

bool front_share_admit(front *f, const struct lws_filter_network_conn_args *from) {
    uint8_t name[16];
    char peer[INET6_ADDRSTRLEN];
    size_t n = name_of(&from->cli_addr, name, peer);
    uint64_t now_ms = front_now_ms(f);
    budgets_close(&f->addresses, f->arriving);
    budget *e = f->arriving = budgets_open(&f->addresses, name, n, now_ms);
    if (!e) return true;
    snprintf(e->label, sizeof e->label, "%s", peer);
    bool crowded = e->open > 1 && e->open > f->capacity / ADDRESS_SHARE;
    if (!crowded && !budget_ask(&f->addresses, e, BUDGET_CONNECTS, 1, now_ms)) return true;
    if (budget_limited(&f->addresses, e, now_ms))
        log_event(&(log_fields){.level = 'w', .event = "limited", .peer = peer, .rc = SATCHEL_E_OVERLOAD},
                  "an address is hung up on (%llu times so far): %s connections without a device's certificate come from it",
                  (unsigned long long)e->limited, crowded ? "too many open" : "too many");
    budgets_close(&f->addresses, e);
    f->arriving = NULL;
    return false;
}

void front_share_arrived(front *f, struct lws *wsi) {
    stranger *s = f->arriving ? calloc(1, sizeof *s) : NULL;
    if (s)
        s->budget = f->arriving;
    else
        budgets_close(&f->addresses, f->arriving);
    lws_set_opaque_user_data(wsi, s);
    f->arriving = NULL;
}

static void forget(front *f, struct lws *wsi, stranger *s) {
    budgets_close(&f->addresses, s->budget);
    free(s);
    lws_set_opaque_user_data(wsi, NULL);
}

void front_share_left(front *f, struct lws *wsi) {
    /* One whose first bytes are no TLS ends before libwebsockets has begun with it. */
    if (f->arriving && wsi == f->coming) front_share_arrived(f, wsi);
    stranger *s = lws_get_opaque_user_data(wsi);
    if (!s) return;
    if (!s->known && !f->draining)
        log_event(&(log_fields){.level = 'i', .event = "silent", .peer = s->budget->label},
                  "a connection to the %s port ended without a request", lws_get_vhost(wsi) == f->sync ? "sync" : "HTTPS");
    forget(f, wsi, s);
}

void front_share_asked(struct lws *wsi) {
    stranger *s = lws_get_opaque_user_data(wsi);
    if (s) s->known = true;
}

void front_share_proven(front *f, struct lws *wsi) {
    stranger *s = lws_get_opaque_user_data(wsi);
    if (!s) return;
    if (!s->device) budget_return(&f->addresses, s->budget, BUDGET_CONNECTS, 1);
    forget(f, wsi, s);
}

/* ---- connections of a device ---- */

static void name_key(const budget *e, char key[17]) {
    for (int i = 0; i < 8; i++) snprintf(key + 2 * i, 3, "%02x", e->name[i]);
}

static void log_device(front *f, budget *e, uint64_t now_ms, const char *words) {
    if (!budget_limited(&f->devices, e, now_ms)) return;
    char key[17];
    name_key(e, key);
    log_event(&(log_fields){.level = 'w', .event = "limited", .device = e->label[0] ? e->label : key, .rc = SATCHEL_E_OVERLOAD},
              "the device %s (limited %llu times so far)", words, (unsigned long long)e->limited);
}

uint64_t front_share_connect(front *f, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    uint64_t now_ms = front_now_ms(f), wait_ms = 0;
    budget *e = budgets_open(&f->devices, fingerprint, CRYPTO_FINGERPRINT_BYTES, now_ms);
    if (!e) return 0;
    bool crowded = e->open > DEVICE_OPEN_MOST;
    wait_ms = crowded ? BUDGET_TELL_MS : budget_ask(&f->devices, e, BUDGET_CONNECTS, 1, now_ms);
    if (wait_ms)
        log_device(f, e, now_ms,
                   crowded ? "has too many connections open and gets no more" : "connects too often and is sent away");
    budgets_close(&f->devices, e);
    return wait_ms;
}

bool front_share_request(front *f, struct lws *wsi, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    uint64_t now_ms = front_now_ms(f);
    stranger *s = lws_get_opaque_user_data(wsi);
    if (s && s->device) {
        if (!budget_ask(&f->devices, s->budget, BUDGET_CONNECTS, 1, now_ms)) return true;
        log_device(f, s->budget, now_ms, "asks too often and is hung up on");
        return false;
    }
    if (front_share_connect(f, fingerprint)) return false;
    budget *e = s ? budgets_open(&f->devices, fingerprint, CRYPTO_FINGERPRINT_BYTES, now_ms) : NULL;
    if (!e) return true;
    budget_return(&f->addresses, s->budget, BUDGET_CONNECTS, 1);
    budgets_close(&f->addresses, s->budget);
    s->budget = e;
    s->device = true;
    return true;
}

void front_share_established(front *f, front_client *c, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    front_share_proven(f, c->wsi);
    c->budget = budgets_open(&f->devices, fingerprint, CRYPTO_FINGERPRINT_BYTES, front_now_ms(f));
}

void front_share_closed(front *f, front_client *c) {
    budgets_close(&f->devices, c->budget);
    c->budget = NULL;
}

/* ---- a device's traffic ---- */

static void wake_in(front *f, front_client *c, uint64_t ms) {
    uint64_t at_ms = front_now_ms(f) + ms;
    if (c->wake_ms && c->wake_ms <= at_ms) return;
    c->wake_ms = at_ms;
    lws_set_timer_usecs(c->wsi, (lws_usec_t)ms * 1000);
}

/* The writer has taken all that it was given. */
static void rest(const front *f, front_client *c, uint64_t now_ms) {
    uint64_t rest_ms = REST_FACTOR * (now_ms - c->given_ms);
    if (c->given > LIGHT_BYTES && hub_is_shared(f->service->hub))
        c->rest_ms = now_ms + (rest_ms < REST_MOST_MS ? rest_ms : REST_MOST_MS);
    c->given = 0;
}

void front_share_pace(front *f, front_client *c) {
    if (!c->budget || !c->session || c->closing || c->deaf) return;
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t now_ms = front_now_ms(f), wait_ms = budget_wait(&f->devices, c->budget, BUDGET_RECEIVED, now_ms);
    if (!hub_waiting(f->service->hub, c->session, name)) rest(f, c, now_ms);
    uint64_t rest_ms = c->rest_ms > now_ms ? c->rest_ms - now_ms : 0;
    size_t most = c->given >= IN_FLIGHT_BYTES && hub_is_shared(f->service->hub) ? IN_FLIGHT_BYTES : IN_FLIGHT_ALONE_BYTES;
    bool pause = wait_ms || rest_ms || c->given >= most;
    if (wait_ms) {
        if (name[0]) snprintf(c->budget->label, sizeof c->budget->label, "%s", name);
        log_device(f, c->budget, now_ms, "sends more than it may and is read slower");
    }
    if (wait_ms < rest_ms) wait_ms = rest_ms;
    if (pause) wake_in(f, c, wait_ms ? wait_ms : LOOK_MS);
    if (pause != c->paused) lws_rx_flow_control(c->wsi, !pause);
    c->paused = pause;
}

void front_share_received(front *f, front_client *c) {
    bool pull = message_peek(c->in.p, c->in.n) == MSG_PULL; /* the writer does not see it */
    size_t n = frame_unpacked_bytes(c->in.p, c->in.n) + (pull ? BUDGET_PULL_BYTES : BUDGET_FRAME_BYTES);
    uint64_t now_ms = front_now_ms(f);
    if (c->budget) budget_spend(&f->devices, c->budget, BUDGET_RECEIVED, n, now_ms);
    if (pull) return;
    if (!c->given) c->given_ms = now_ms;
    c->given += n;
}

bool front_share_may_send(front *f, front_client *c) {
    uint64_t now_ms = front_now_ms(f), wait_ms = c->budget ? budget_wait(&f->devices, c->budget, BUDGET_SENT, now_ms) : 0;
    if (!wait_ms || f->draining) return true;
    log_device(f, c->budget, now_ms, "takes more than it may and is sent to slower");
    wake_in(f, c, wait_ms);
    return false;
}

void front_share_sent(front *f, front_client *c, size_t n) {
    if (c->budget) budget_spend(&f->devices, c->budget, BUDGET_SENT, n, front_now_ms(f));
}

/* ---- what is told of it ---- */

/* So many devices are named: a label of a metric is to have few values. */
#define NAMED_MOST 10u

/* By key: who may read the metrics is not to learn what devices are called. */
void front_share_metrics(const front *f, buf *out) {
    const budget *most[NAMED_MOST];
    size_t n = budgets_most_limited(&f->devices, most, NAMED_MOST);
    buf_printf(
        out,
        "# HELP satchel_limited_total Times that one was turned away or made to wait because it took more than its share.\n"
        "# TYPE satchel_limited_total counter\nsatchel_limited_total{whom=\"devices\"} %" PRIu64
        "\nsatchel_limited_total{whom=\"addresses\"} %" PRIu64 "\n",
        f->devices.limited, f->addresses.limited);
    if (!n) return;
    buf_printf(
        out,
        "# HELP satchel_device_limited How often, of the %u devices that were limited most and are not forgotten, by key.\n"
        "# TYPE satchel_device_limited gauge\n",
        NAMED_MOST);
    for (size_t i = 0; i < n; i++) {
        char key[17];
        name_key(most[i], key);
        buf_printf(out, "satchel_device_limited{key=\"%s\"} %" PRIu64 "\n", key, most[i]->limited);
    }
}
