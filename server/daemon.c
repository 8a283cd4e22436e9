#include "server/daemon.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/control.h"
#include "server/front.h"
#include "server/log.h"

#define PORTS_FILE "ports.json"
#define LOCAL_HOSTS "localhost,127.0.0.1,::1"
/* After the hub has finished, sessions get this long to take what is queued for them. */
#define FLUSH_MS 3000
#define FLUSH_LOOK_MS 20

typedef struct parts {
    const daemon_config *config;
    datadir data;
    identity identity;
    loop loop;
    bool has_loop, hub_runs;
    store *store;
    hub *hub;
    http *http;
    front *front;
    control *control;
    service service;
    uv_signal_t signals[2];
    uv_timer_t flush;
    uv_work_t stopping;
    uint64_t flush_until_ms; /* on the loop's clock */
    char store_path[DATADIR_PATH_BYTES], snapshot_path[DATADIR_PATH_BYTES];
    char hosts[1024];
} parts;

static uint64_t wall_ms(void *ctx) {
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void wake(void *ctx) {
    loop_wake(&((parts *)ctx)->loop);
}

static void log_hub(void *ctx, char level, const char *device, const char *text) {
    (void)ctx;
    log_line(level, device, "%s", text);
}

/* ---- the end ---- */

static void close_handle(uv_handle_t *h) {
    if (h->loop && !uv_is_closing(h)) uv_close(h, NULL);
}

static void close_all(parts *p) {
    close_handle((uv_handle_t *)&p->flush);
    for (int i = 0; i < 2; i++) close_handle((uv_handle_t *)&p->signals[i]);
    control_close(p->control);
    if (p->front) front_close(p->front);
    loop_end(&p->loop);
}

static void on_flush(uv_timer_t *timer) {
    parts *p = timer->data;
    if (front_sessions(p->front) && uv_now(&p->loop.uv) < p->flush_until_ms) return;
    close_all(p);
}

static void stop_hub(uv_work_t *work) {
    hub_stop(((parts *)work->data)->hub);
}

static void hub_stopped(uv_work_t *work, int status) {
    parts *p = work->data;
    (void)status;
    front_drain(p->front);
    p->flush_until_ms = uv_now(&p->loop.uv) + FLUSH_MS;
    uv_timer_start(&p->flush, on_flush, FLUSH_LOOK_MS, FLUSH_LOOK_MS);
}

/* Nothing new is taken from here on; the hub finishes in a thread of its own, so that its results still go out. */
static void on_signal(uv_signal_t *handle, int number) {
    parts *p = handle->data;
    if (p->service.draining) return;
    p->service.draining = true;
    log_line('i', NULL, "signal %d: finishing what is queued", number);
    p->stopping.data = p;
    uv_queue_work(&p->loop.uv, &p->stopping, stop_hub, hub_stopped);
}

/* ---- the beginning ---- */

static int set_names(parts *p, buf *error) {
    const char *extra = p->config->hosts ? p->config->hosts : "";
    int n = snprintf(p->hosts, sizeof p->hosts, "%s%s%s", LOCAL_HOSTS, *extra ? "," : "", extra);
    size_t first = strcspn(extra, ",");
    if (n < 0 || (size_t)n >= sizeof p->hosts || first >= sizeof p->service.host) {
        buf_printf(error, "the list of --host names is too long");
        return SATCHEL_E_TOO_LARGE;
    }
    /* Without a name of its own the server is known by where it listens; "every address" is no place to go to. */
    bool any = !strcmp(p->config->listen, "0.0.0.0") || !strcmp(p->config->listen, "::");
    if (first)
        snprintf(p->service.host, sizeof p->service.host, "%.*s", (int)first, extra);
    else if (!any)
        snprintf(p->service.host, sizeof p->service.host, "%s", p->config->listen);
    else if (gethostname(p->service.host, sizeof p->service.host - 1))
        snprintf(p->service.host, sizeof p->service.host, "localhost");
    if (any && !first) log_line('w', NULL, "no --host was given: devices are told to come to %s", p->service.host);
    return SATCHEL_OK;
}

static int open_files(parts *p, buf *error) {
    const daemon_config *c = p->config;
    int rc = set_names(p, error);
    if (!rc) rc = datadir_open(c->data, &p->data, error);
    if (!rc) rc = datadir_path(&p->data, "store.db", p->store_path);
    if (!rc) rc = datadir_path(&p->data, "snapshot.db", p->snapshot_path);
    /* Left by a server that was killed: whoever waits for this file waits for this server. */
    if (!rc) unlinkat(p->data.fd, PORTS_FILE, 0);
    if (!rc) rc = identity_open(&p->data, p->hosts, wall_ms(NULL), &p->identity, error);
    if (rc) return rc;
    if (p->identity.made_ca) log_line('i', NULL, "made a certificate for the device authority in %s", c->data);
    if (p->identity.made_cert) log_line('i', NULL, "made the server's certificate for %s", p->hosts);
    store_config sc = {.path = p->store_path, .schema_dir = c->schema_dir, .now_ms = wall_ms(NULL), .restored = c->restored};
    return store_open(&sc, &p->store, error);
}

static int open_hub(parts *p, buf *error) {
    hub_config hc = {
        .store = p->store,
        .store_path = p->store_path,
        .snapshot_path = p->snapshot_path,
        .readers = p->config->readers,
        .history_ms = (uint64_t)p->config->history_days * 86400 * 1000,
        .now_ms = wall_ms,
        .wake = wake,
        .log = log_hub,
        .ctx = p,
    };
    return hub_open(&hc, &p->hub, error);
}

static int open_sockets(parts *p, buf *error) {
    p->service.hub = p->hub;
    p->service.loop = &p->loop;
    p->service.identity = &p->identity;
    p->service.data = p->config->data;
    p->service.now_ms = wall_ms;
    p->service.started_ms = wall_ms(NULL);
    int rc = http_new(&p->service, &p->http);
    if (rc) return rc;
    front_config fc = {
        .service = &p->service,
        .http = p->http,
        .data = &p->data,
        .listen = p->config->listen,
        .sync_port = p->config->sync_port,
        .https_port = p->config->https_port,
    };
    rc = front_open(&fc, &p->front, error);
    if (!rc) rc = control_open(&p->service, &p->data, &p->control, error);
    p->loop.woken = front_woken;
    p->loop.ctx = p->front;
    return rc;
}

static int watch_signals(parts *p) {
    static const int numbers[2] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        if (uv_signal_init(&p->loop.uv, &p->signals[i]) || uv_signal_start(&p->signals[i], on_signal, numbers[i]))
            return SATCHEL_E_IO;
        p->signals[i].data = p;
    }
    if (uv_timer_init(&p->loop.uv, &p->flush)) return SATCHEL_E_IO;
    p->flush.data = p;
    return SATCHEL_OK;
}

static int write_ports(parts *p, buf *error) {
    json_t *o = json_pack("{si ss ss si si}", "pid", (int)getpid(), "host", p->service.host, "listen", p->config->listen,
                          "sync_port", (int)p->service.sync_port, "https_port", (int)p->service.https_port);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    int rc = text ? datadir_write(&p->data, PORTS_FILE, text, strlen(text), error) : SATCHEL_E_NOMEM;
    free(text);
    json_decref(o);
    return rc;
}

static int start(parts *p, buf *error) {
    /* Seeded before there are threads, as jansson asks. */
    json_object_seed(0);
    signal(SIGPIPE, SIG_IGN);
    int rc = open_files(p, error);
    if (!rc) rc = loop_open(&p->loop, error);
    p->has_loop = !rc;
    if (!rc) rc = open_hub(p, error);
    if (!rc) rc = watch_signals(p);
    if (!rc) rc = open_sockets(p, error);
    if (!rc) rc = hub_start(p->hub);
    p->hub_runs = !rc;
    if (!rc) rc = write_ports(p, error);
    return rc;
}

static void stop(parts *p) {
    if (p->hub_runs && !p->service.draining) hub_stop(p->hub);
    if (p->has_loop) {
        close_all(p);
        loop_close(&p->loop);
    }
    front_free(p->front);
    control_free(p->control);
    http_free(p->http);
    if (p->hub) hub_close(p->hub);
    if (p->store) store_close(p->store);
    identity_close(&p->identity);
    if (p->data.fd >= 0) unlinkat(p->data.fd, PORTS_FILE, 0);
    datadir_close(&p->data);
}

int daemon_run(const daemon_config *config, buf *error) {
    parts *p = calloc(1, sizeof *p);
    if (!p) return SATCHEL_E_NOMEM;
    p->config = config;
    p->data.fd = p->data.lock = -1;
    int rc = start(p, error);
    if (!rc) {
        printf("satcheld: ready, sync %s:%u, https %s:%u, data %s\n", p->service.host, p->service.sync_port, p->service.host,
               p->service.https_port, config->data);
        fflush(stdout);
        log_line('i', NULL, "ready");
        loop_run(&p->loop);
        log_line('i', NULL, "stopped");
    } else if (!error->n) {
        buf_printf(error, "%s", satchel_rc_text(rc));
    }
    stop(p);
    free(p);
    return rc;
}
