#include "server/notice.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"
#include "server/notice_private.h"
#include "server/pages.h"

/* A silence may be over. */
#define LOOK_MS 60000u
#define SECRET_BYTES 4096u

/* One way of telling. */
typedef struct way_state {
    notice_state shown;   /* under the mutex */
    uint64_t again_at_ms; /* after a failure, on the monotonic clock */
    uint64_t pause_ms;
    /* What was told and is not written down yet. */
    struct mark {
        int64_t id;
        unsigned bits;
    } mark[NOTICE_EVENTS];
    size_t marks;
} way_state;

struct notice {
    notice_config config;
    buf secret[ALERT_WAYS]; /* the password, zero-terminated; the key */
    hub *hub;
    pages file;
    bool file_open;
    way_state way[ALERT_WAYS]; /* the thread's */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stopping, woken;
    uint64_t stop_ms; /* when it was asked to, on the monotonic clock */
};

static uint64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *notice_way_name(alert_way way) {
    return way == ALERT_MAIL ? "mail" : "webhook";
}

unsigned notice_ways(const notice *n) {
    unsigned ways = 0;
    for (alert_way way = 0; n && way < ALERT_WAYS; way++)
        if (n->way[way].shown.set) ways |= 1u << way;
    return ways;
}

/* ---- settings ---- */

static int misuse(buf *error, const char *words) {
    buf_printf(error, "%s", words);
    return SATCHEL_E_MISUSE;
}

/* A small file without its last line's end; nobody else may read it. */
static int read_secret(const char *path, const char *setting, buf *out, buf *error) {
    struct stat st;
    FILE *f = fopen(path, "re");
    buf_init(out, SECRET_BYTES);
    uint8_t *room = f ? buf_reserve(out, SECRET_BYTES - 1) : NULL;
    if (!f || fstat(fileno(f), &st)) {
        buf_printf(error, "%s: %s: cannot be read: %s", setting, path, strerror(errno));
    } else if (S_ISREG(st.st_mode) && st.st_mode & 077) {
        buf_printf(error, "%s: %s: others may read it; chmod 600", setting, path);
    } else if (room) {
        out->n = fread(room, 1, SECRET_BYTES - 1, f);
        while (out->n && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r')) out->n--;
        out->p[out->n] = 0;
        if (!out->n) buf_printf(error, "%s: %s: is empty", setting, path);
    }
    if (f) fclose(f);
    return out->n ? SATCHEL_OK : room || !f ? SATCHEL_E_IO : SATCHEL_E_NOMEM;
}

/* It stands in a header and in the SMTP dialogue. */
static bool is_address_list(const char *text, bool one) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p <= 0x20 || *p == 0x7f ? *p != ' ' || one : strchr("<>\"\\;:()", *p) || (one && *p == ',')) return false;
    return strchr(text, '@') && strlen(text) < 2000;
}

static int check_mail(const notice_config *c, buf *error) {
    if (!c->smtp_url && !c->mail_to) return SATCHEL_OK;
    if (!c->smtp_url || !c->mail_to || !c->smtp_from) return misuse(error, "smtp-url, smtp-from and alert-mail go together");
    if (!c->smtp_user != !c->smtp_password_file) return misuse(error, "smtp-user and smtp-password-file go together");
    if (!is_address_list(c->smtp_from, true)) return misuse(error, "smtp-from: is one address, as satchel@example.com");
    if (!is_address_list(c->mail_to, false))
        return misuse(error, "alert-mail: is addresses with commas, as ann@example.com,bob@example.com");
    return notice_check_url(c->smtp_url, ALERT_MAIL, error);
}

static int check_webhook(const notice_config *c, buf *error) {
    if (!c->webhook && !c->webhook_secret_file) return SATCHEL_OK;
    if (!c->webhook || !c->webhook_secret_file) return misuse(error, "alert-webhook and alert-webhook-secret-file go together");
    return notice_check_url(c->webhook, ALERT_WEBHOOK, error);
}

int notice_open(const notice_config *c, notice **out, buf *error) {
    notice *n = calloc(1, sizeof *n);
    pthread_condattr_t clock;
    *out = NULL;
    if (!n || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(n);
        return SATCHEL_E_NOMEM;
    }
    n->config = *c;
    pthread_mutex_init(&n->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&n->changed, &clock);
    pthread_condattr_destroy(&clock);
    int rc = check_mail(c, error);
    if (!rc) rc = check_webhook(c, error);
    if (!rc && c->smtp_password_file)
        rc = read_secret(c->smtp_password_file, "smtp-password-file", &n->secret[ALERT_MAIL], error);
    if (!rc && c->webhook_secret_file)
        rc = read_secret(c->webhook_secret_file, "alert-webhook-secret-file", &n->secret[ALERT_WEBHOOK], error);
    n->way[ALERT_MAIL].shown.set = c->smtp_url != NULL;
    n->way[ALERT_WEBHOOK].shown.set = c->webhook != NULL;
    if (rc)
        notice_close(n);
    else
        *out = n;
    return rc;
}

void notice_close(notice *n) {
    if (!n) return;
    if (n->file_open) pages_close(&n->file);
    for (alert_way way = 0; way < ALERT_WAYS; way++) {
        if (n->secret[way].p) explicit_bzero(n->secret[way].p, n->secret[way].cap);
        buf_fini(&n->secret[way]);
    }
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->mutex);
    free(n);
    curl_global_cleanup();
}

/* ---- what is told at a time ---- */

typedef struct batch {
    notice *n;
    alert_way way;
    json_t *events;
    buf text; /* of a mail */
    crypto_hash *hash;
    unsigned opened, closed;
    char first[2 * LIMIT_NAME_BYTES]; /* of one alone: "warning: rule" */
    struct mark mark[NOTICE_EVENTS];
    size_t marks;
    bool test;
} batch;

static void put_words(buf *out, const alert_info *a, bool ended) {
    char opened[32], closed[32];
    log_time(a->opened_ms, opened);
    log_time(a->closed_ms, closed);
    buf_printf(out, "%s  %s: %s\n    rule %s, alert %" PRId64 ", since %s%s%s\n\n", ended ? "OVER" : "OPEN", a->severity,
               a->words, a->rule, a->id, opened, ended ? ", over since " : "", ended ? closed : "");
}

static int put_event(batch *b, const alert_info *a, bool ended) {
    json_t *o = json_pack("{sI ss ss ss ss ss* ss sf sI}", "id", (json_int_t)a->id, "event", ended ? "closed" : "opened", "rule",
                          a->rule, "severity", a->severity, "subject", a->subject ? "device" : "server", "device", a->name,
                          "words", a->words, "value", a->value, "opened_ms", (json_int_t)a->opened_ms);
    if (!o) return SATCHEL_E_NOMEM;
    if (!a->name) json_object_set_new(o, "device", json_null());
    json_object_set_new(o, "closed_ms", ended ? json_integer((json_int_t)a->closed_ms) : json_null());
    return json_array_append_new(b->events, o) ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int take_alert(void *ctx, const alert_info *a) {
    batch *b = ctx;
    bool ended = !strcmp(a->state, "closed");
    uint8_t known[9] = {ended};
    for (unsigned i = 0; i < 8; i++) known[1 + i] = (uint8_t)((uint64_t)a->id >> (8 * i));
    crypto_hash_put(b->hash, known, sizeof known);
    if (put_event(b, a, ended)) return 1;
    put_words(&b->text, a, ended);
    if (!b->marks) snprintf(b->first, sizeof b->first, "%s %s: %s", a->severity, ended ? "is over" : "alert", a->rule);
    b->mark[b->marks++] = (struct mark){a->id, ended ? ALERT_TOLD(b->way) : ALERT_TOLD_OPEN(b->way)};
    *(ended ? &b->closed : &b->opened) += 1;
    return b->marks == NOTICE_EVENTS;
}

static int begin_batch(batch *b, notice *n, alert_way way) {
    *b = (batch){.n = n, .way = way, .events = json_array(), .hash = crypto_hash_new()};
    buf_init(&b->text, 0);
    return b->events && b->hash ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static void end_batch(batch *b) {
    uint8_t unused[32];
    if (b->hash) crypto_hash_end(b->hash, unused);
    json_decref(b->events);
    buf_fini(&b->text);
}

static bool goes_on(void *ctx) {
    notice *n = ctx;
    pthread_mutex_lock(&n->mutex);
    bool on = !n->stopping || monotonic_ms() - n->stop_ms < NOTICE_LAST_MS;
    pthread_mutex_unlock(&n->mutex);
    return on;
}

static int send_mail(batch *b, const char *id, const notice_patience *patience, buf *error) {
    const notice *n = b->n;
    char subject[512];
    if (b->test)
        snprintf(subject, sizeof subject, "[Satchel %s] test", n->config.host);
    else if (b->marks == 1)
        snprintf(subject, sizeof subject, "[Satchel %s] %s", n->config.host, b->first);
    else
        snprintf(subject, sizeof subject, "[Satchel %s] %u alerts, %u over", n->config.host, b->opened, b->closed);
    buf_printf(&b->text,
               b->test ? "This is a test of what tells of alerts on %s.\n"
                       : "satchelctl alert list, on %s, shows what is open.\n",
               n->config.host);
    if (b->text.rc) return b->text.rc;
    return notice_send_mail(&n->config, (const char *)n->secret[ALERT_MAIL].p, id, subject, &b->text, patience, error);
}

static int send_webhook(batch *b, const char *id, const notice_patience *patience, buf *error) {
    const notice *n = b->n;
    json_t *o = json_pack("{ss ss sI sb sO}", "id", id, "server", n->config.host, "at_ms", (json_int_t)n->config.now_ms(NULL),
                          "test", (int)b->test, "events", b->events);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    buf body = {.p = (uint8_t *)text, .n = text ? strlen(text) : 0};
    int rc = text ? notice_send_webhook(&n->config, &n->secret[ALERT_WEBHOOK], &body, patience, error) : SATCHEL_E_NOMEM;
    free(text);
    json_decref(o);
    return rc;
}

static int send_batch(batch *b, const notice_patience *patience, buf *error) {
    char id[65] = "";
    uint8_t hash[32];
    crypto_hash_put(b->hash, b->n->config.host, strlen(b->n->config.host));
    crypto_hash_end(b->hash, hash);
    b->hash = NULL;
    for (unsigned i = 0; i < 16; i++) snprintf(id + 2 * i, 3, "%02x", hash[i]);
    return b->way == ALERT_MAIL ? send_mail(b, id, patience, error) : send_webhook(b, id, patience, error);
}

/* ---- writing down what was told ---- */

typedef struct mark_job {
    hub_job job;
    notice *n;
    const way_state *way;
    bool done;
    int rc;
} mark_job;

static int mark_run(hub_job *job, store *s, ingest *g, uint64_t now_ms) {
    const way_state *w = ((mark_job *)job)->way;
    int rc = SATCHEL_OK;
    (void)g, (void)now_ms;
    for (size_t i = 0; !rc && i < w->marks; i++) rc = alert_told(s, w->mark[i].id, w->mark[i].bits);
    return rc;
}

static void mark_done(hub_job *job, int rc) {
    mark_job *m = (mark_job *)job;
    pthread_mutex_lock(&m->n->mutex);
    m->done = true;
    m->rc = rc;
    pthread_cond_broadcast(&m->n->changed);
    pthread_mutex_unlock(&m->n->mutex);
}

static int write_marks(notice *n, way_state *w) {
    mark_job m = {.job = {.run = mark_run, .done = mark_done}, .n = n, .way = w};
    if (!w->marks) return SATCHEL_OK;
    if (!hub_submit(n->hub, &m.job)) return SATCHEL_E_CLOSED;
    pthread_mutex_lock(&n->mutex);
    while (!m.done) pthread_cond_wait(&n->changed, &n->mutex);
    pthread_mutex_unlock(&n->mutex);
    if (!m.rc) w->marks = 0;
    return m.rc;
}

/* ---- the thread ---- */

static void note_sent(notice *n, way_state *w, alert_way way) {
    pthread_mutex_lock(&n->mutex);
    bool failed = w->shown.failing_ms != 0;
    w->shown.sent++;
    w->shown.last_ms = n->config.now_ms(NULL);
    w->shown.failing_ms = 0;
    w->shown.failures = 0;
    w->shown.words[0] = 0;
    pthread_mutex_unlock(&n->mutex);
    w->again_at_ms = w->pause_ms = 0;
    if (failed) log_event(&(log_fields){.level = 'i', .event = "notice"}, "%s of alerts is taken again", notice_way_name(way));
}

static void note_failed(notice *n, way_state *w, alert_way way, int rc, const buf *error) {
    const char *words = error->n ? (const char *)error->p : satchel_rc_text(rc);
    w->pause_ms = w->pause_ms ? 2 * w->pause_ms : NOTICE_AGAIN_MS;
    if (w->pause_ms > NOTICE_SELDOM_MS) w->pause_ms = NOTICE_SELDOM_MS;
    w->again_at_ms = monotonic_ms() + w->pause_ms;
    pthread_mutex_lock(&n->mutex);
    bool first = !w->shown.failing_ms;
    w->shown.failed++;
    w->shown.failures++;
    if (first) w->shown.failing_ms = n->config.now_ms(NULL);
    snprintf(w->shown.words, sizeof w->shown.words, "%s", words);
    pthread_mutex_unlock(&n->mutex);
    log_event(&(log_fields){.level = first ? 'w' : 'd', .event = "notice", .rc = rc},
              "%s of alerts is not taken and will be tried again: %s", notice_way_name(way), words);
}

/* *more: there was as much as one notice takes. */
static int tell(notice *n, alert_way way, bool *more, buf *error) {
    const notice_patience patience = {goes_on, n};
    way_state *w = &n->way[way];
    batch *b = malloc(sizeof *b); /* large for a stack */
    int rc = b ? begin_batch(b, n, way) : SATCHEL_E_NOMEM;
    if (!rc) rc = alert_untold(&n->file.cache, way, NOTICE_EVENTS, n->config.now_ms(NULL), take_alert, b);
    if (!rc && b->marks) {
        rc = send_batch(b, &patience, error);
        if (!rc) note_sent(n, w, way);
        if (!rc) memcpy(w->mark, b->mark, sizeof b->mark);
        if (!rc) w->marks = b->marks;
    }
    *more = !rc && w->marks == NOTICE_EVENTS;
    if (b) end_batch(b);
    free(b);
    return rc;
}

/* What was told is written down before anything more is told that way, be it that the disk was full for long. */
static void serve(notice *n, alert_way way) {
    way_state *w = &n->way[way];
    buf error;
    buf_init(&error, LIMIT_TEXT_BYTES);
    for (bool more = w->shown.set && w->again_at_ms <= monotonic_ms(); more && goes_on(n);) {
        int rc = write_marks(n, w);
        more = false;
        if (rc) break;
        rc = tell(n, way, &more, &error);
        if (rc && rc != SATCHEL_E_CLOSED) note_failed(n, w, way, rc, &error);
        if (!rc) rc = write_marks(n, w);
        if (rc) break;
    }
    buf_fini(&error);
}

static int open_file(notice *n) {
    buf error = {0};
    if (n->file_open) return SATCHEL_OK;
    int rc = pages_open(&n->file, n->config.store_path, &error);
    n->file_open = !rc;
    if (rc) log_event(&(log_fields){.level = 'e', .event = "notice", .rc = rc}, "%s", error.n ? (const char *)error.p : "");
    buf_fini(&error);
    return rc;
}

/* Until it is woken, something is to be tried again, or a silence may be over. */
static void wait_for_more(notice *n) {
    uint64_t now_ms = monotonic_ms(), at_ms = now_ms + LOOK_MS;
    for (alert_way way = 0; way < ALERT_WAYS; way++) {
        uint64_t again = n->way[way].again_at_ms;
        if (again > now_ms && again < at_ms) at_ms = again;
    }
    struct timespec until = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000};
    while (!n->woken && !n->stopping && pthread_cond_timedwait(&n->changed, &n->mutex, &until) != ETIMEDOUT) {
    }
    n->woken = false;
}

static void *run(void *ctx) {
    notice *n = ctx;
    pthread_mutex_lock(&n->mutex);
    while (!n->stopping) {
        pthread_mutex_unlock(&n->mutex);
        if (!open_file(n))
            for (alert_way way = 0; way < ALERT_WAYS; way++) serve(n, way);
        pthread_mutex_lock(&n->mutex);
        if (!n->stopping) wait_for_more(n);
    }
    pthread_mutex_unlock(&n->mutex);
    return NULL;
}

int notice_start(notice *n, hub *h) {
    n->hub = h;
    if (!notice_ways(n)) return SATCHEL_OK;
    n->started = !pthread_create(&n->thread, NULL, run, n);
    return n->started ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

void notice_wake(notice *n) {
    pthread_mutex_lock(&n->mutex);
    n->woken = true;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->mutex);
}

void notice_stop(notice *n) {
    if (!n) return;
    pthread_mutex_lock(&n->mutex);
    bool started = n->started && !n->stopping;
    n->stopping = true;
    n->stop_ms = monotonic_ms();
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->mutex);
    if (started) pthread_join(n->thread, NULL);
}

/* ---- for the admin ---- */

void notice_get(notice *n, alert_way way, notice_state *out) {
    *out = (notice_state){0};
    if (!n) return;
    pthread_mutex_lock(&n->mutex);
    *out = n->way[way].shown;
    pthread_mutex_unlock(&n->mutex);
}

int notice_test(notice *n, alert_way way, bool (*still)(void *ctx), void *ctx, buf *error) {
    const notice_patience patience = {still, ctx};
    uint8_t salt[16];
    if (!n || !n->way[way].shown.set) return SATCHEL_E_NOT_FOUND;
    batch *b = malloc(sizeof *b);
    int rc = b ? begin_batch(b, n, way) : SATCHEL_E_NOMEM;
    if (!rc) rc = crypto_random(salt, sizeof salt);
    if (!rc) {
        b->test = true;
        crypto_hash_put(b->hash, salt, sizeof salt);
        rc = send_batch(b, &patience, error);
    }
    if (b) end_batch(b);
    free(b);
    return rc;
}

void notice_metrics(notice *n, buf *out) {
    static const struct {
        const char *name, *type, *help;
    } metrics[] = {
        {"satchel_notices_sent_total", "counter", "Mails and webhook requests about alerts that were taken."},
        {"satchel_notices_failed_total", "counter", "Tries that were not; what they told is tried again."},
        {"satchel_notices_failing", "gauge", "1 while the last try failed."},
    };
    if (!n) return;
    for (unsigned m = 0; m < sizeof metrics / sizeof *metrics; m++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help, metrics[m].name, metrics[m].type);
        for (alert_way way = 0; way < ALERT_WAYS; way++) {
            notice_state st;
            notice_get(n, way, &st);
            uint64_t v = m == 0 ? st.sent : m == 1 ? st.failed : st.failing_ms != 0;
            buf_printf(out, "%s{way=\"%s\"} %" PRIu64 "\n", metrics[m].name, notice_way_name(way), v);
        }
    }
}
