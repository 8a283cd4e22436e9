#include "server/daemon.h"

#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/bundle.h"
#include "server/console_files.h"
#include "server/control.h"
#include "server/front.h"
#include "server/log.h"
#include "server/notice.h"
#include "server/notify.h"
#include "server/people.h"
#include "server/rollout.h"
#include "server/store_private.h"

#define PORTS_FILE "ports.json"
#define LOCAL_HOSTS "localhost,127.0.0.1,::1"
#define FLUSH_LOOK_MS 20
#define DAY_MS (UINT64_C(86400) * 1000)
/* From here on the log reminds of an operator's certificate that ends. */
#define REMIND_DAYS 14

typedef struct parts {
    config *config;
    const char *schema_dir, *console_dir;
    console_files *console;
    datadir data;
    identity identity;
    loop loop;
    bool has_loop, hub_runs;
    store *store;
    hub *hub;
    notice *notice;
    http *http;
    front *front;
    control *control;
    service service;
    uv_signal_t signals[3];
    uv_timer_t flush, daily;
    uv_work_t stopping;
    bool reloading, reload_again;                /* the writer takes certificates over; and they have changed once more */
    uint64_t flush_until_ms;                     /* on the loop's clock */
    uint8_t shown_pin[CRYPTO_FINGERPRINT_BYTES]; /* the loop's own copy of identity.pin, which is the writer's */
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

static void log_hub(void *ctx, const log_fields *fields, const char *text) {
    (void)ctx;
    log_event(fields, "%s", text);
}

static void add_figures(void *ctx, alert_figures *f) {
    notice *n = ((parts *)ctx)->notice;
    f->ways = notice_ways(n);
    for (alert_way way = 0; way < ALERT_WAYS; way++) {
        notice_state st;
        notice_get(n, way, &st);
        if (st.failing_ms && (!f->notice_failed_ms || st.failing_ms < f->notice_failed_ms)) f->notice_failed_ms = st.failing_ms;
    }
}

static void on_alert(void *ctx) {
    notice_wake(((parts *)ctx)->notice);
}

/* ---- the end ---- */

static void close_handle(uv_handle_t *h) {
    if (h->loop && !uv_is_closing(h)) uv_close(h, NULL);
}

static void close_all(parts *p) {
    close_handle((uv_handle_t *)&p->flush);
    close_handle((uv_handle_t *)&p->daily);
    for (size_t i = 0; i < sizeof p->signals / sizeof *p->signals; i++) close_handle((uv_handle_t *)&p->signals[i]);
    /* It ends already: a signal that comes now is not to make it end otherwise. */
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], SIG_IGN);
    control_close(p->control);
    if (p->front) front_close(p->front);
    loop_end(&p->loop);
}

static void on_flush(uv_timer_t *timer) {
    parts *p = timer->data;
    if (front_busy(p->front) && uv_now(&p->loop.uv) < p->flush_until_ms) return;
    close_all(p);
}

static void stop_hub(uv_work_t *work) {
    parts *p = work->data;
    notice_stop(p->notice);
    hub_stop(p->hub);
}

static void hub_stopped(uv_work_t *work, int status) {
    parts *p = work->data;
    (void)status;
    front_drain(p->front);
    p->flush_until_ms = uv_now(&p->loop.uv) + p->config->drain_seconds * UINT64_C(1000);
    uv_timer_start(&p->flush, on_flush, FLUSH_LOOK_MS, FLUSH_LOOK_MS);
}

/* Nothing new is taken from here on; the hub finishes in a thread of its own, so that its results still go out. */
static void on_end(uv_signal_t *handle, int number) {
    parts *p = handle->data;
    if (p->service.draining) return;
    p->service.draining = true;
    notify_send("STOPPING=1");
    log_line('i', NULL, "signal %d: finishing what is queued", number);
    control_stop_works(p->control);
    p->stopping.data = p;
    uv_queue_work(&p->loop.uv, &p->stopping, stop_hub, hub_stopped);
}

/* ---- certificates and settings of a server that runs ---- */

/* What enrolment hands out changes on the writer, which is where it is read. */
typedef struct renewal {
    service_job job;
    parts *parts;
    identity *running, fresh;
} renewal;

static int renewal_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    renewal *r = (renewal *)job;
    (void)s, (void)g, (void)now_ms;
    identity before = *r->running;
    *r->running = r->fresh;
    r->fresh = before;
    return SATCHEL_OK;
}

static int reload_certificates(parts *p, bool asked, buf *error);

static void renewal_done(service_job *job) {
    renewal *r = (renewal *)job;
    parts *p = r->parts;
    bool again = p->reload_again;
    identity_close(&r->fresh);
    free(r);
    p->reloading = p->reload_again = false;
    buf error = {0};
    if (again && !p->service.draining) reload_certificates(p, false, &error);
    buf_fini(&error);
}

static void log_certificates(const parts *p, const identity *id, bool asked, bool other_key) {
    log_fields f = {.level = 'i', .event = "certificates"};
    if (id->made_ca) log_event(&f, "made a certificate for the device authority in %s", p->config->data);
    if (id->made_cert) log_event(&f, "made the server's certificate for %s", p->hosts);
    if (asked) log_event(&f, "the certificates were read again");
    f.level = 'w';
    if (other_key) log_event(&f, "the HTTPS port shows another key: enrolment codes from before it do not work any more");
    char end[32];
    log_time(id->https_end_ms, end);
    if (id->https_end_ms < wall_ms(NULL) + REMIND_DAYS * DAY_MS)
        log_event(&f, "the certificate of the HTTPS port ends at %s; put a new one in its place and send SIGHUP", end);
}

static int read_identity(parts *p, const identity *running, identity *out, buf *error) {
    const config *c = p->config;
    int rc = running ? identity_open_again(&p->data, p->hosts, wall_ms(NULL), running, out, error)
                     : identity_open(&p->data, p->hosts, wall_ms(NULL), out, error);
    if (rc || !c->https_cert) return rc;
    rc = identity_use_operator(out, c->https_cert, c->https_key, wall_ms(NULL), error);
    if (rc) identity_close(out);
    return rc;
}

/* All or nothing: what will not do is told, and logged, and the ports go on with what they show. */
static int reload_certificates(parts *p, bool asked, buf *error) {
    /* Until the writer has changed it, the running identity is no business of this thread. */
    if (p->reloading) {
        p->reload_again = true;
        return SATCHEL_OK;
    }
    renewal *r = calloc(1, sizeof *r);
    if (r) r->parts = p;
    int rc = r ? read_identity(p, &p->identity, &r->fresh, error) : SATCHEL_E_NOMEM;
    if (!rc) rc = front_reload(p->front, &r->fresh, error);
    if (rc) {
        log_event(&(log_fields){.level = 'e', .event = "certificates", .rc = rc}, "the certificates stay as they were: %s",
                  error->n ? (const char *)error->p : satchel_rc_text(rc));
    } else {
        log_certificates(p, &r->fresh, asked, memcmp(r->fresh.pin, p->shown_pin, sizeof p->shown_pin));
        memcpy(p->shown_pin, r->fresh.pin, sizeof p->shown_pin);
        r->running = &p->identity;
        r->job.run = renewal_run;
        r->job.done = renewal_done;
        p->reloading = true;
    }
    if (r && (rc || !service_submit(&p->service, &r->job, false))) renewal_done(&r->job);
    return rc;
}

/* What may be another while it runs. The hub keeps to it, and the console tells it. */
static void set_bounds(parts *p) {
    hub_set_min_version(p->hub, p->config->min_version);
    atomic_store(&p->service.min_version, p->config->min_version);
    atomic_store(&p->service.devices_per_user, p->config->devices_per_user);
}

static void reload_settings(parts *p) {
    config fresh;
    buf error = {0}, restart = {0};
    log_fields f = {.level = 'w', .event = "config"};
    f.rc = config_read_again(p->config, &fresh, &error);
    if (f.rc) {
        log_event(&f, "the settings stay as they were: %s", error.n ? (const char *)error.p : satchel_rc_text(f.rc));
    } else {
        config_adopt(p->config, &fresh, &restart);
        log_open(p->config->log_format, p->config->log_level);
        set_bounds(p);
        if (restart.n) log_event(&f, "these settings have changed and need a restart: %s", (const char *)restart.p);
    }
    config_fini(&fresh);
    buf_fini(&restart);
    buf_fini(&error);
}

static int files_changed(void *ctx, buf *error) {
    return reload_certificates(ctx, true, error);
}

static void on_reload(uv_signal_t *handle, int number) {
    parts *p = handle->data;
    (void)number;
    if (p->service.draining) return;
    notify_send("RELOADING=1");
    buf error = {0};
    reload_settings(p);
    reload_certificates(p, true, &error);
    buf_fini(&error);
    notify_send("READY=1");
}

/* A certificate of ours that is about to end is made again without anybody asking. */
static void on_day(uv_timer_t *timer) {
    parts *p = timer->data;
    buf error = {0};
    log_flush();
    if (!p->service.draining) reload_certificates(p, false, &error);
    buf_fini(&error);
}

/* ---- the beginning ---- */

static int set_names(parts *p, buf *error) {
    const char *extra = p->config->host ? p->config->host : "";
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

/* N7: a data directory that was laid out from a backup says so once, by the name of the epoch to begin. */
static int read_mark(parts *p, uint8_t epoch[EPOCH_BYTES], bool *marked, buf *error) {
    buf text = {0}, detail = {0};
    int rc = datadir_read(&p->data, BUNDLE_RESTORED, false, &text, &detail);
    *marked = rc == SATCHEL_OK;
    if (rc == SATCHEL_E_NOT_FOUND) rc = SATCHEL_OK;
    if (rc) buf_printf(error, "%s", detail.n ? (const char *)detail.p : satchel_rc_text(rc));
    for (size_t i = 0; *marked && i < EPOCH_BYTES; i++) {
        char pair[3] = {0}, *end = pair;
        if (text.n == 2 * EPOCH_BYTES) memcpy(pair, text.p + 2 * i, 2);
        epoch[i] = (uint8_t)strtoul(pair, &end, 16);
        if (end == pair + 2) continue;
        buf_printf(error, "%s/" BUNDLE_RESTORED ": is damaged; remove it and start once with --restored", p->data.path);
        rc = SATCHEL_E_CORRUPT;
        break;
    }
    buf_fini(&text);
    buf_fini(&detail);
    return rc;
}

/* Without them nothing is taken in; whoever publishes others needs the server. */
static int look_at_automations(const parts *p) {
    automation *a = NULL;
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    int rc = automation_open(p->store, &a, &words);
    if (rc == SATCHEL_E_RULE) {
        log_event(
            &(log_fields){.level = 'e', .event = "automation", .rc = rc},
            "nothing is taken in, because the automations in force do not fit; publish others (satchelctl automation publish): %.*s",
            (int)words.n, words.n ? (const char *)words.p : "");
        rc = SATCHEL_OK;
    }
    automation_free(a);
    buf_fini(&words);
    return rc;
}

/* Rules that came with a migration have no profile of a rollout. */
static int settle_rollout(const parts *p) {
    uint64_t back = 0;
    int rc = store_begin(p->store);
    if (!rc) rc = rollout_settle(p->store, wall_ms(NULL), &back);
    if (!rc) rc = store_commit(p->store);
    if (rc) store_rollback(p->store);
    if (!rc && back)
        log_event(&(log_fields){.level = 'w', .event = "store"},
                  "the rules in force have no profile of the rollout that was under way: %llu devices have the ones before it",
                  (unsigned long long)back);
    return rc;
}

/* Rules that were written and not published do nothing; those of a rollout are for some devices. */
static int remind_of_rules(const parts *p) {
    bool differs = false;
    rollout r;
    int rc = rollout_under_way(&p->store->cache, &r);
    if (rc == 1) {
        log_event(&(log_fields){.level = 'w', .event = "store"}, "a rollout of %s is under way: see satchelctl rollout show",
                  (const char *)r.name.p);
        rollout_fini(&r);
        rc = SATCHEL_OK;
    } else if (!rc && p->schema_dir) {
        rc = store_scope_differs(p->store, p->schema_dir, &differs);
    }
    if (!rc && differs)
        log_event(&(log_fields){.level = 'w', .event = "store"},
                  "%s/scope.sql is not what is in force: see satchelctl scope dry-run, and publish it or put it back",
                  p->schema_dir);
    differs = false;
    if (!rc && p->schema_dir) rc = store_automation_differs(p->store, p->schema_dir, &differs);
    if (!rc && differs)
        log_event(&(log_fields){.level = 'w', .event = "store"},
                  "%s/automation.sql is not what is in force: publish it (satchelctl automation publish) or put it back",
                  p->schema_dir);
    return rc ? rc : look_at_automations(p);
}

/* Shown once: on the terminal of whoever starts the first server, else in a file of his. */
static int keep_password(void *ctx, const char *password) {
    const parts *p = ctx;
    buf error = {0};
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "satcheld: the console's first user is \"" PEOPLE_FIRST_NAME "\", with the password\n\n    %s\n\n",
                password);
        return SATCHEL_OK;
    }
    int rc = datadir_write(&p->data, PEOPLE_FIRST_FILE, password, strlen(password), &error);
    log_line(rc ? 'e' : 'w', NULL, "%s%s",
             rc ? (const char *)error.p : "the password of the console's first user, " PEOPLE_FIRST_NAME ", is in ",
             rc ? "" : PEOPLE_FIRST_FILE " in the data directory");
    buf_fini(&error);
    return rc;
}

/* The mark goes after its epoch has begun for good; if that does not come to pass, the next start finds both. */
static int open_store(parts *p, buf *error) {
    uint8_t epoch[EPOCH_BYTES];
    bool marked;
    int rc = read_mark(p, epoch, &marked, error);
    store_config sc = {.path = p->store_path, .schema_dir = p->schema_dir, .now_ms = wall_ms(NULL)};
    sc.restored = p->config->restored || marked;
    sc.restored_as = marked ? epoch : NULL;
    if (!rc) rc = store_open(&sc, &p->store, error);
    if (!rc) rc = settle_rollout(p);
    if (!rc) rc = remind_of_rules(p);
    if (!rc) rc = people_first(p->store, wall_ms(NULL), keep_password, p);
    if (!rc && sc.restored) rc = people_logins_end(p->store);
    if (rc || !sc.restored) return rc;
    unlinkat(p->data.fd, BUNDLE_RESTORED, 0);
    log_line('i', NULL, "restored from a backup: a new epoch begins, and devices send again what they sent since");
    return SATCHEL_OK;
}

static int open_files(parts *p, buf *error) {
    const config *c = p->config;
    int rc = set_names(p, error);
    if (!rc) rc = datadir_open(c->data, &p->data, error);
    if (!rc) rc = datadir_path(&p->data, "store.db", p->store_path);
    if (!rc) rc = datadir_path(&p->data, "snapshot.db", p->snapshot_path);
    /* Left by a server that was killed: whoever waits for this file waits for this server. */
    if (!rc) unlinkat(p->data.fd, PORTS_FILE, 0);
    if (!rc) rc = read_identity(p, NULL, &p->identity, error);
    if (rc) return rc;
    log_certificates(p, &p->identity, false, false);
    memcpy(p->shown_pin, p->identity.pin, sizeof p->shown_pin);
    return open_store(p, error);
}

static int open_hub(parts *p, buf *error) {
    hub_config hc = {
        .store = p->store,
        .store_path = p->store_path,
        .snapshot_path = p->snapshot_path,
        .readers = p->config->readers,
        .history_ms = (uint64_t)p->config->history_days * 86400 * 1000,
        .horizon_ms = (uint64_t)p->config->horizon_days * 86400 * 1000,
        .disk_reserve = (uint64_t)p->config->disk_reserve_mib << 20,
        .now_ms = wall_ms,
        .wake = wake,
        .log = log_hub,
        .watched = true,
        .figures = add_figures,
        .alerted = on_alert,
        .ctx = p,
    };
    int rc = hub_open(&hc, &p->hub, error);
    if (!rc) set_bounds(p);
    return rc;
}

static void notice_settings(const config *c, notice_config *out) {
    *out = (notice_config){.smtp_url = c->smtp_url,
                           .smtp_from = c->smtp_from,
                           .smtp_user = c->smtp_user,
                           .smtp_password_file = c->smtp_password_file,
                           .mail_to = c->alert_mail,
                           .webhook = c->alert_webhook,
                           .webhook_secret_file = c->alert_webhook_secret_file,
                           .ca = c->alert_ca,
                           .now_ms = wall_ms};
}

static int open_notice(parts *p, buf *error) {
    notice_config nc;
    notice_settings(p->config, &nc);
    nc.host = p->service.host;
    nc.store_path = p->store_path;
    return notice_open(&nc, &p->notice, error);
}

static int open_sockets(parts *p, buf *error) {
    p->service.hub = p->hub;
    p->service.notice = p->notice;
    p->service.loop = &p->loop;
    p->service.identity = &p->identity;
    p->service.data = p->config->data;
    p->service.files = &p->data;
    p->service.certificate_days = p->config->certificate_days;
    p->service.reload = files_changed;
    p->service.reload_ctx = p;
    p->service.now_ms = wall_ms;
    p->service.started_ms = wall_ms(NULL);
    int rc = p->console_dir ? console_files_open(p->console_dir, &p->console, error) : SATCHEL_OK;
    p->service.console = p->console;
    if (!rc) rc = http_new(&p->service, &p->http);
    if (rc) return rc;
    front_config fc = {
        .service = &p->service,
        .http = p->http,
        .data = &p->data,
        .https_cert = p->config->https_cert,
        .https_key = p->config->https_key,
        .listen = p->config->listen,
        .sync_port = (uint16_t)p->config->sync_port,
        .https_port = (uint16_t)p->config->https_port,
        .device_connects = p->config->device_connects,
        .device_kib = p->config->device_kib,
        .address_connects = p->config->address_connects,
    };
    rc = front_open(&fc, &p->front, error);
    if (!rc) rc = control_open(&p->service, &p->data, &p->control, error);
    p->loop.woken = front_woken;
    p->loop.ctx = p->front;
    return rc;
}

static int watch_signals(parts *p) {
    static const struct {
        int number;
        uv_signal_cb on;
    } signals[] = {{SIGTERM, on_end}, {SIGINT, on_end}, {SIGHUP, on_reload}};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        if (uv_signal_init(&p->loop.uv, &p->signals[i]) || uv_signal_start(&p->signals[i], signals[i].on, signals[i].number))
            return SATCHEL_E_IO;
        p->signals[i].data = p;
    }
    if (uv_timer_init(&p->loop.uv, &p->flush) || uv_timer_init(&p->loop.uv, &p->daily)) return SATCHEL_E_IO;
    p->flush.data = p->daily.data = p;
    return uv_timer_start(&p->daily, on_day, DAY_MS, DAY_MS) ? SATCHEL_E_IO : SATCHEL_OK;
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
    if (!rc) rc = open_notice(p, error);
    if (!rc) rc = open_hub(p, error);
    if (!rc) rc = watch_signals(p);
    if (!rc) rc = open_sockets(p, error);
    if (!rc) rc = hub_start(p->hub);
    p->hub_runs = !rc;
    if (!rc) rc = notice_start(p->notice, p->hub);
    if (!rc) rc = write_ports(p, error);
    return rc;
}

static void stop(parts *p) {
    notice_stop(p->notice);
    if (p->hub_runs && !p->service.draining) hub_stop(p->hub);
    if (p->has_loop) {
        close_all(p);
        loop_close(&p->loop);
    }
    front_free(p->front);
    control_free(p->control);
    http_free(p->http);
    console_files_free(p->console);
    if (p->hub) hub_close(p->hub);
    notice_close(p->notice);
    if (p->store) store_close(p->store);
    identity_close(&p->identity);
    if (p->data.fd >= 0) unlinkat(p->data.fd, PORTS_FILE, 0);
    datadir_close(&p->data);
}

int daemon_run(config *c, const char *schema_dir, const char *console_dir, buf *error) {
    parts *p = calloc(1, sizeof *p);
    if (!p) return SATCHEL_E_NOMEM;
    p->config = c;
    p->schema_dir = schema_dir;
    p->console_dir = console_dir;
    p->data.fd = p->data.lock = -1;
    int rc = start(p, error);
    if (!rc) {
        printf("satcheld: ready, sync %s:%u, https %s:%u, data %s\n", p->service.host, p->service.sync_port, p->service.host,
               p->service.https_port, c->data);
        fflush(stdout);
        notify_send("READY=1");
        log_line('i', NULL, "ready");
        loop_run(&p->loop);
        log_flush();
        log_line('i', NULL, "stopped");
    } else if (!error->n) {
        buf_printf(error, "%s", satchel_rc_text(rc));
    }
    stop(p);
    free(p);
    return rc;
}

static int check_data(const char *path, buf *error) {
    datadir d;
    char above[DATADIR_PATH_BYTES];
    if (!access(path, F_OK)) {
        int rc = datadir_open(path, &d, error);
        if (!rc) datadir_close(&d);
        if (rc == SATCHEL_E_BUSY) buf_clear(error);
        return rc == SATCHEL_E_BUSY ? SATCHEL_OK : rc;
    }
    snprintf(above, sizeof above, "%s", path);
    if (!access(dirname(above), W_OK | X_OK)) return SATCHEL_OK;
    buf_printf(error, "%s: is not there and cannot be made: %s", path, strerror(errno));
    return SATCHEL_E_IO;
}

int daemon_check(const config *c, buf *error) {
    identity id = {0};
    notice_config nc;
    notice *n = NULL;
    int rc = check_data(c->data, error);
    notice_settings(c, &nc);
    if (!rc) rc = notice_open(&nc, &n, error);
    notice_close(n);
    if (rc || !c->https_cert) return rc;
    return identity_use_operator(&id, c->https_cert, c->https_key, wall_ms(NULL), error);
}
