/* satchel-load live - from a commit on one device to its being seen on another, one at a time, beside a bare echo. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/load_device.h"
#include "tools/load_echo.h"

#define WARM_UP 20u
/* Between two: what follows the first, on the disks, is over. */
#define GAP_US 5000u

typedef struct pair {
    load_device a, b;
    pthread_mutex_t mutex;
    pthread_cond_t seen;
    uint64_t count; /* commits of a that b has seen */
} pair;

static void on_saw(void *ctx, uint64_t committed_us) {
    pair *p = ctx;
    (void)committed_us;
    pthread_mutex_lock(&p->mutex);
    p->count++;
    pthread_cond_signal(&p->seen);
    pthread_mutex_unlock(&p->mutex);
}

static int wait_for(pair *p, uint64_t count, unsigned patience_s) {
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)patience_s;
    pthread_mutex_lock(&p->mutex);
    while (p->count < count && !late) late = pthread_cond_timedwait(&p->seen, &p->mutex, &until);
    pthread_mutex_unlock(&p->mutex);
    return late ? load_fail("a commit was not seen on the other device for %u s", patience_s) : LOAD_DONE;
}

static int measure(pair *p, stream *echo, const load_options *o, load_histogram *echoes) {
    ctl_bar bar;
    int rc = LOAD_DONE;
    ctl_bar_begin(&bar, "commits");
    for (unsigned i = 0; i < o->commits + WARM_UP && !rc; i++) {
        uint64_t us = 0;
        if (i == WARM_UP) memset(&p->b.stats->visible, 0, sizeof p->b.stats->visible);
        load_device_write(&p->a, ACT_UPDATE);
        rc = wait_for(p, i + 1, o->patience_s);
        load_sleep_us(GAP_US);
        if (!rc) rc = load_echo(echo, &us);
        if (i >= WARM_UP) load_histogram_add(echoes, us);
        load_sleep_us(GAP_US);
        ctl_bar_show(&bar, i, o->commits + WARM_UP, NULL);
    }
    ctl_bar_end(&bar);
    return rc;
}

static int connect_pair(pair *p, const load_fleet *f, load_stats *st, const load_options *o) {
    load_device *device[] = {&p->a, &p->b};
    int rc = LOAD_DONE;
    for (unsigned i = 0; i < 2 && !rc; i++) {
        rc = load_device_open(device[i], f, i, st, o->seed);
        p->b.saw_ctx = p;
        p->b.saw = on_saw;
        if (!rc) rc = load_device_start(device[i]);
        if (!rc) rc = load_devices_settle(device[i], 1, 0, o->patience_s);
    }
    return rc;
}

static void report(const load_options *o, const load_histogram *live, const load_histogram *echo) {
    double live50 = load_histogram_ms(live, 0.5), live99 = load_histogram_ms(live, 0.99);
    double echo50 = load_histogram_ms(echo, 0.5), echo99 = load_histogram_ms(echo, 0.99);
    if (o->json) {
        load_print_json(json_pack("{si sf sf sf sf sf sf}", "commits", (int)o->commits, "live_p50_ms", live50, "live_p99_ms",
                                  live99, "echo_p50_ms", echo50, "echo_p99_ms", echo99, "live_p50_ratio", live50 / echo50,
                                  "live_p99_ratio", live99 / echo99));
        return;
    }
    load_histogram_print(live, "from a commit on A to its being seen on B");
    load_histogram_print(echo, "an echo of the same server over the same TLS");
    printf("ratio: p50 %.1f, p99 %.1f\n", live50 / echo50, live99 / echo99);
}

int load_live(load_server *sv, const load_options *o) {
    load_fleet f = {0};
    pair *p = calloc(1, sizeof *p);
    load_stats *st = load_stats_new();
    load_histogram *echoes = calloc(1, sizeof *echoes);
    stream *echo = NULL;
    int rc = p && st && echoes ? load_device_rows(sv) : load_fail("out of memory");
    if (!rc) rc = load_fleet_open(&f, sv, o, 2);
    if (!rc) {
        pthread_mutex_init(&p->mutex, NULL);
        pthread_cond_init(&p->seen, NULL);
        rc = connect_pair(p, &f, st, o);
        if (!rc) rc = load_echo_open(&f, 0, &echo);
        if (!rc) rc = measure(p, echo, o, echoes);
        stream_free(echo);
        load_device_close(&p->a);
        load_device_close(&p->b);
    }
    if (!rc && st->errors) rc = load_fail("%s", st->first_error);
    if (!rc) report(o, &st->visible, echoes);
    free(echoes);
    free(st);
    free(p);
    load_fleet_close(&f);
    return rc;
}
