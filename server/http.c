#include "server/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/api.h"
#include "server/console_files.h"
#include "server/enrol.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/notice.h"

/* Counting the store reads much of it: a scrape that comes sooner gets the numbers of the one before. */
#define COUNTS_FRESH_MS 2000
/* An answer that waits for the writer is given up after this. */
#define PATIENCE_S 10

typedef struct counts_job {
    service_job job;
    http *h;
    store_counts counts;
} counts_job;

typedef struct enrol_job {
    service_job job;
    http_exchange *x; /* NULL: nobody waits any more */
    enrol request;
    char peer[46];
    const struct asking *kind;
} enrol_job;

struct http {
    service *service;
    enrol_limiter limiter;
    api *api;
    store_counts counts;
    uint64_t counted_ms;    /* 0: never */
    counts_job *counting;   /* NULL: none is under way */
    http_exchange *scrapes; /* that wait for it */
};

struct http_exchange {
    http *h;
    const struct route *route; /* NULL: a call of the API, or nothing */
    api_call *call;
    char peer[46];
    uint8_t device[CRYPTO_FINGERPRINT_BYTES]; /* of a route of devices */
    buf body;
    http_answer answer;
    bool served, finished, answered; /* finished: http_finish has returned */
    void (*ready)(void *owner);
    void *owner;
    enrol_job *enrolling;
    http_exchange *next_scrape;
};

typedef struct route {
    const char *path;
    http_method method;
    const char *allow;
    void (*serve)(http_exchange *x);
    bool of_devices; /* the sync port's, and nowhere else */
} route;

/* ---- answers ---- */

static void answered(http_exchange *x) {
    if (x->answered) return;
    x->answered = true;
    if (x->finished && x->ready) x->ready(x->owner);
}

static void answer_text(http_exchange *x, unsigned status, const char *type, const char *text) {
    if (x->answered) return;
    x->answer.status = status;
    x->answer.type = type;
    buf_printf(&x->answer.body, "%s", text);
    answered(x);
}

static void answer_problem(http_exchange *x, unsigned status, const char *code, const char *title, const char *detail) {
    if (x->answered) return;
    x->answer.status = status;
    x->answer.type = "application/problem+json";
    api_problem(&x->answer.body, status, code, title, detail, NULL);
    answered(x);
}

static unsigned status_of(int rc) {
    switch (rc) {
    case SATCHEL_E_ENROL_CODE:
    case SATCHEL_E_ENROL_USED:
    case SATCHEL_E_EXPIRED:
    case SATCHEL_E_REVOKED:
    case SATCHEL_E_WIPED:
        return 403;
    case SATCHEL_E_MALFORMED:
    case SATCHEL_E_CERTIFICATE:
        return 400;
    case SATCHEL_E_LIMIT:
        return 413;
    case SATCHEL_E_OVERLOAD:
        return 429;
    default:
        return satchel_rc_class(rc) == SATCHEL_CLASS_RETRY ? 503 : 500;
    }
}

static void answer_rc(http_exchange *x, int rc, const char *detail) {
    answer_problem(x, status_of(rc), satchel_rc_name(rc), satchel_rc_text(rc), detail);
}

/* ---- GET /healthz, /readyz ---- */

static void serve_health(http_exchange *x) {
    answer_text(x, 200, "text/plain", "ok\n");
}

static void serve_ready(http_exchange *x) {
    service *sv = x->h->service;
    hub_stats stats;
    hub_get_stats(sv->hub, &stats);
    if (sv->draining)
        answer_rc(x, SATCHEL_E_CLOSED, "the server is shutting down");
    else if (stats.disk_low)
        answer_rc(x, SATCHEL_E_FULL,
                  "the disk is almost full: no changes are taken until there is room; devices are still served pages");
    else if (!stats.writable)
        answer_rc(x, SATCHEL_E_FULL, "the store does not take writes (is the disk full?); the server's log says why");
    else
        answer_text(x, 200, "text/plain", "ready\n");
}

/* ---- GET /metrics ---- */

static void answer_metrics(http_exchange *x) {
    http *h = x->h;
    hub_stats stats;
    if (x->answered) return;
    hub_get_stats(h->service->hub, &stats);
    x->answer.status = 200;
    x->answer.type = METRICS_TYPE;
    metrics_format(&stats, h->counted_ms ? &h->counts : NULL, h->service->started_ms, &x->answer.body);
    api_metrics(h->api, &x->answer.body);
    notice_metrics(h->service->notice, &x->answer.body);
    if (h->service->front_metrics) h->service->front_metrics(h->service->front, &x->answer.body);
    answered(x);
}

static void forget_scrape(http_exchange *x) {
    for (http_exchange **at = &x->h->scrapes; *at; at = &(*at)->next_scrape) {
        if (*at != x) continue;
        *at = x->next_scrape;
        return;
    }
}

static int count_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return store_count(s, now_ms, &((counts_job *)job)->counts);
}

static void count_done(service_job *job) {
    counts_job *j = (counts_job *)job;
    http *h = j->h;
    if (h) {
        h->counting = NULL;
        if (!job->rc) {
            h->counts = j->counts;
            h->counted_ms = h->service->now_ms(NULL);
        }
        while (h->scrapes) {
            http_exchange *x = h->scrapes;
            h->scrapes = x->next_scrape;
            answer_metrics(x);
        }
    }
    free(j);
}

/* Starts a count unless one is under way; false if it cannot. */
static bool start_count(http *h) {
    if (h->counting) return true;
    counts_job *j = calloc(1, sizeof *j);
    if (!j) return false;
    j->h = h;
    j->job.run = count_run;
    j->job.done = count_done;
    if (!service_submit(h->service, &j->job, false)) {
        free(j);
        return false;
    }
    h->counting = j;
    return true;
}

static void serve_metrics(http_exchange *x) {
    http *h = x->h;
    bool fresh = h->counted_ms && h->service->now_ms(NULL) < h->counted_ms + COUNTS_FRESH_MS;
    if (fresh || !start_count(h)) {
        answer_metrics(x);
        return;
    }
    x->next_scrape = h->scrapes;
    h->scrapes = x;
}

/* ---- POST /v1/enroll, /v1/renew, /v1/leave ---- */

/* What the three have of their own. */
typedef struct asking {
    int (*parse)(enrol *e, const http_exchange *x, buf *error);
    int (*run)(enrol *e, store *s, const service *sv, uint64_t now_ms);
    int (*answer)(const enrol *e, const service *sv, buf *out);
    const char *done, *refused, *words; /* events of the log; what was wanted */
} asking;

static int parse_enrolment(enrol *e, const http_exchange *x, buf *error) {
    return enrol_parse(e, x->body.p, x->body.n, error);
}

static int parse_renewal(enrol *e, const http_exchange *x, buf *error) {
    return enrol_parse_renewal(e, x->body.p, x->body.n, x->device, error);
}

static int parse_leaving(enrol *e, const http_exchange *x, buf *error) {
    (void)error;
    *e = (enrol){0};
    memcpy(e->shown, x->device, sizeof e->shown);
    return SATCHEL_OK;
}

static int run_leaving(enrol *e, store *s, const service *sv, uint64_t now_ms) {
    (void)sv;
    return enrol_leave(e, s, now_ms);
}

static int answer_renewal(const enrol *e, const service *sv, buf *out) {
    (void)sv;
    return enrol_answer_renewal(e, out);
}

static int answer_leaving(const enrol *e, const service *sv, buf *out) {
    (void)e, (void)sv;
    buf_printf(out, "{}\n");
    return out->rc;
}

static const asking enrolment = {parse_enrolment, enrol_run, enrol_answer, "enrolled", "enrol-refused", "enrolment"};
static const asking renewal = {parse_renewal, enrol_renew, answer_renewal, "renewed", "renew-refused", "a new certificate"};
static const asking leaving = {parse_leaving, run_leaving, answer_leaving, "signed-out", "leave-refused", "leaving"};

static int enrol_job_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    enrol_job *j = (enrol_job *)job;
    (void)g;
    return j->kind->run(&j->request, s, job->service, now_ms);
}

static void log_asked(const enrol_job *j, int rc) {
    const char *name = *j->request.device.name ? j->request.device.name : NULL;
    if (rc)
        log_event(&(log_fields){.level = 'w', .event = j->kind->refused, .device = name, .peer = j->peer, .rc = rc},
                  "%s was refused: %s", j->kind->words, satchel_rc_text(rc));
    else
        log_event(&(log_fields){.level = 'i', .event = j->kind->done, .device = name, .peer = j->peer}, "%s%s%s", j->kind->done,
                  *j->request.software ? ", " : "", j->request.software);
}

static void note_wrong_code(http *h, const char *peer) {
    enrol_limiter_wrong(&h->limiter, peer, h->service->now_ms(NULL));
    hub_note_refused_login(h->service->hub);
}

static void answer_asked(http_exchange *x, enrol_job *j, int rc) {
    if (x->answered) return;
    if (!rc) rc = j->kind->answer(&j->request, x->h->service, &x->answer.body);
    if (rc) {
        buf_clear(&x->answer.body);
        answer_rc(x, rc, NULL);
        return;
    }
    x->answer.status = 200;
    x->answer.type = "application/json";
    answered(x);
}

static void enrol_job_done(service_job *job) {
    enrol_job *j = (enrol_job *)job;
    int rc = job->rc;
    log_asked(j, rc);
    if (!rc && j->kind == &leaving) hub_drop_device(job->service->hub, j->request.device.id, SATCHEL_E_REVOKED);
    if (!rc && j->kind == &renewal) hub_offer_key(job->service->hub, j->request.shown, j->request.fingerprint);
    if (j->x) {
        http_exchange *x = j->x;
        x->enrolling = NULL;
        if (rc == SATCHEL_E_ENROL_CODE) note_wrong_code(x->h, x->peer);
        answer_asked(x, j, rc);
    }
    enrol_fini(&j->request);
    free(j);
}

static void serve_asking(http_exchange *x, const asking *kind) {
    http *h = x->h;
    buf error = {0};
    int rc = SATCHEL_E_NOMEM;
    enrol_job *j = calloc(1, sizeof *j);
    if (j) rc = kind->parse(&j->request, x, &error);
    if (!rc) {
        j->x = x;
        j->kind = kind;
        j->job.run = enrol_job_run;
        j->job.done = enrol_job_done;
        snprintf(j->peer, sizeof j->peer, "%s", x->peer);
        x->enrolling = j;
        if (service_submit(h->service, &j->job, false)) goto out;
        x->enrolling = NULL;
        rc = SATCHEL_E_CLOSED;
    }
    if (rc == SATCHEL_E_ENROL_CODE) note_wrong_code(h, x->peer);
    answer_rc(x, rc, error.n ? (const char *)error.p : NULL);
    if (j) enrol_fini(&j->request);
    free(j);
out:
    buf_fini(&error);
}

static void serve_enroll(http_exchange *x) {
    http *h = x->h;
    uint64_t wait_ms = enrol_limiter_wait(&h->limiter, x->peer, h->service->now_ms(NULL));
    if (!wait_ms) {
        serve_asking(x, &enrolment);
        return;
    }
    x->answer.retry_after_s = (unsigned)(wait_ms / 1000) + 1;
    answer_rc(x, SATCHEL_E_OVERLOAD, "too many wrong enrolment codes came from this address; wait a minute");
}

static void serve_renew(http_exchange *x) {
    serve_asking(x, &renewal);
}

static void serve_leave(http_exchange *x) {
    serve_asking(x, &leaving);
}

/* ---- exchanges ---- */

static const route routes[] = {
    {"/v1/enroll", HTTP_POST, "POST, OPTIONS", serve_enroll, false},
    {"/v1/renew", HTTP_POST, "POST, OPTIONS", serve_renew, true},
    {"/v1/leave", HTTP_POST, "POST, OPTIONS", serve_leave, true},
    {"/healthz", HTTP_GET, "GET, HEAD, OPTIONS", serve_health, false},
    {"/readyz", HTTP_GET, "GET, HEAD, OPTIONS", serve_ready, false},
    {"/metrics", HTTP_GET, "GET, HEAD, OPTIONS", serve_metrics, false},
};

static const route *find_route(const char *path, bool of_devices) {
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].of_devices == of_devices && !strcmp(routes[i].path, path)) return &routes[i];
    return NULL;
}

int http_new(service *sv, http **out) {
    *out = calloc(1, sizeof **out);
    if (!*out) return SATCHEL_E_NOMEM;
    (*out)->service = sv;
    int rc = api_open(sv, &(*out)->limiter, &(*out)->api);
    if (rc) {
        free(*out);
        *out = NULL;
    }
    return rc;
}

void http_free(http *h) {
    if (!h) return;
    if (h->counting) h->counting->h = NULL;
    api_close(h->api);
    free(h);
}

static void begin_route(http_exchange *x, http_method method) {
    http_method as = method == HTTP_HEAD ? HTTP_GET : method;
    if (as == x->route->method) return;
    x->answer.allow = x->route->allow;
    if (as == HTTP_OPTIONS)
        answer_text(x, 200, "text/plain", "");
    else
        answer_problem(x, 405, "E_MISUSE", "this path does not take this method", NULL);
}

/* The console's page: static, and for anyone; what it shows it has to ask for. */
static void begin_page(http_exchange *x, const http_request *request) {
    if (request->method == HTTP_OPTIONS || request->method == HTTP_POST || request->method == HTTP_OTHER) {
        x->answer.allow = "GET, HEAD, OPTIONS";
        if (request->method == HTTP_OPTIONS)
            answer_text(x, 200, "text/plain", "");
        else
            answer_problem(x, 405, "E_MISUSE", "this path does not take this method", NULL);
    } else if (console_files_serve(x->h->service->console, request, &x->answer)) {
        answered(x);
    } else {
        answer_problem(x, 404, "E_NOT_FOUND", "there is nothing at this path",
                       x->h->service->console ? NULL : "this server was started without a console");
    }
}

http_exchange *http_begin(http *h, const http_request *request, void (*ready)(void *owner), void *owner) {
    http_exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->h = h;
    x->route = find_route(request->path, request->device != NULL);
    if (request->device) memcpy(x->device, request->device, sizeof x->device);
    x->ready = ready;
    x->owner = owner;
    snprintf(x->peer, sizeof x->peer, "%s", request->peer);
    if (x->route) {
        begin_route(x, request->method);
    } else if (!request->device && !strncmp(request->path, "/v1/", 4)) {
        x->call = api_begin(h->api, request, &x->answer);
        x->answered = !x->call;
    } else if (!request->device && console_files_is_path(request->path)) {
        begin_page(x, request);
    } else {
        answer_problem(x, 404, "E_NOT_FOUND", "there is nothing at this path", NULL);
    }
    /* No buffer may be without a bound: whoever takes no body gets a few bytes in vain. */
    x->body.max = x->call ? api_body_limit(x->call) : LIMIT_HTTP_BODY_BYTES;
    if (!x->body.max) x->body.max = LIMIT_HTTP_BODY_BYTES;
    return x;
}

void http_expect(http_exchange *x, uint64_t n) {
    if (!x->answered && n > x->body.max) answer_rc(x, SATCHEL_E_LIMIT, "the body is too large");
}

void http_body(http_exchange *x, const void *p, size_t n) {
    if (x->answered) return;
    buf_put(&x->body, p, n);
    if (x->body.rc) answer_rc(x, x->body.rc, "the body is too large");
}

static void call_done(void *exchange) {
    answered(exchange);
}

void http_finish(http_exchange *x) {
    if (x->served) return;
    x->served = true;
    if (!x->answered && x->call)
        api_serve(x->call, &x->body, call_done, x);
    else if (!x->answered)
        x->route->serve(x);
    x->finished = true;
}

const http_answer *http_answered(const http_exchange *x) {
    return x->answered ? &x->answer : NULL;
}

unsigned http_patience_s(const http_exchange *x) {
    return x->call ? api_patience_s(x->call) : PATIENCE_S;
}

void http_timeout(http_exchange *x) {
    if (x->answered) return;
    if (x->call) {
        api_expire(x->call);
    } else if (x->route->serve == serve_metrics) {
        forget_scrape(x);
        answer_metrics(x);
    } else {
        answer_rc(x, SATCHEL_E_TIMEOUT, "the server is busy; the same request may be sent again");
    }
}

void http_end(http_exchange *x) {
    if (!x) return;
    if (x->enrolling) x->enrolling->x = NULL;
    forget_scrape(x);
    api_end(x->call);
    buf_fini(&x->body);
    buf_fini(&x->answer.body);
    free(x);
}
