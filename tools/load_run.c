/* satchel-load run - devices work at random for a while; then all must hold what the server holds. */
#include <stdlib.h>

#include "tools/load_device.h"

#define DRIVERS 4u
#define OFFLINE_LEAST_US 500000u
#define OFFLINE_SPREAD_US 2500000u
#define LOOK_US 100000u

typedef struct driver {
    const load_options *o;
    load_device *device;
    unsigned first, n; /* every DRIVERS-th from `first` on is this one's */
    uint64_t until_us;
    pthread_t thread;
} driver;

static load_act choose(load_device *d, const unsigned mix[LOAD_ACTS]) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < LOAD_ACTS; i++) sum += mix[i];
    uint64_t at = load_random(&d->random) % sum;
    unsigned act = 0;
    while (at >= mix[act]) at -= mix[act++];
    return (load_act)act;
}

/* What a device does when it is its turn, and when it is next. */
static void act(load_device *d, const load_options *o, uint64_t now_us) {
    d->next_us = now_us + load_random(&d->random) % (2000ull * o->pace_ms);
    if (!d->running && now_us >= d->back_us) load_device_start(d);
    load_act what = choose(d, o->mix);
    if (what < ACT_OFFLINE) {
        load_device_write(d, what);
        return;
    }
    atomic_fetch_add(&d->stats->act[what], 1);
    if (d->running) load_device_stop(d);
    if (what == ACT_RECONNECT)
        load_device_start(d);
    else
        d->back_us = now_us + OFFLINE_LEAST_US + load_random(&d->random) % OFFLINE_SPREAD_US;
}

static void *drive(void *arg) {
    driver *w = arg;
    for (;;) {
        uint64_t now_us = load_now_us(), next_us = now_us + LOOK_US;
        if (now_us >= w->until_us) return NULL;
        for (unsigned i = w->first; i < w->n; i += DRIVERS) {
            load_device *d = &w->device[i];
            if (now_us >= d->next_us) act(d, w->o, load_now_us());
            if (d->next_us < next_us) next_us = d->next_us;
        }
        now_us = load_now_us();
        if (next_us > now_us) load_sleep_us(next_us - now_us);
    }
}

int load_devices_work(load_device *device, const load_options *o) {
    driver w[DRIVERS];
    ctl_bar bar;
    unsigned started = 0;
    uint64_t began_us = load_now_us(), until_us = began_us + o->seconds * 1000000ull;
    ctl_bar_begin(&bar, "working");
    for (unsigned i = 0; i < o->devices; i++)
        device[i].next_us = began_us + load_random(&device[i].random) % (1000ull * o->pace_ms);
    for (; started < DRIVERS; started++) {
        w[started] = (driver){.o = o, .device = device, .first = started, .n = o->devices, .until_us = until_us};
        if (pthread_create(&w[started].thread, NULL, drive, &w[started])) break;
    }
    for (uint64_t now_us; started == DRIVERS && (now_us = load_now_us()) < until_us; load_sleep_us(LOOK_US))
        ctl_bar_show(&bar, now_us - began_us, until_us - began_us, NULL);
    for (unsigned i = 0; i < started; i++) pthread_join(w[i].thread, NULL);
    ctl_bar_end(&bar);
    int rc = started < DRIVERS ? load_fail("no thread can be made") : LOAD_DONE;
    for (unsigned i = 0; i < o->devices && !rc; i++)
        if (!device[i].running) rc = load_device_start(&device[i]);
    return rc;
}

/* ---- the report ---- */

typedef struct outcome {
    load_usage before, after;
    load_bytes bytes_before, bytes_after;
    uint64_t settle_us;
    unsigned different;
} outcome;

static json_t *report_json(const load_options *o, const load_stats *st, const outcome *e) {
    json_t *acts = json_object();
    for (unsigned i = 0; i < LOAD_ACTS; i++) json_object_set_new(acts, load_act_names[i], json_integer((json_int_t)st->act[i]));
    return json_pack(
        "{si si sI so sI sI sI sI sI so so sI sI sf sI sI sI sf si ss?}", "devices", (int)o->devices, "seconds", (int)o->seconds,
        "seed", (json_int_t)o->seed, "acts", acts, "transactions", (json_int_t)st->transactions, "refused",
        (json_int_t)st->refused, "conflicts", (json_int_t)st->conflicts, "disconnects", (json_int_t)st->disconnects, "errors",
        (json_int_t)st->errors, "accepted", load_histogram_json(&st->answered), "visible", load_histogram_json(&st->visible),
        "bytes_up", (json_int_t)(e->bytes_after.in - e->bytes_before.in), "bytes_down",
        (json_int_t)(e->bytes_after.out - e->bytes_before.out), "server_cpu_s",
        (double)(e->after.cpu_ns - e->before.cpu_ns) / 1e9, "server_rss_before_kib", (json_int_t)e->before.rss_kib,
        "server_rss_kib", (json_int_t)e->after.rss_kib, "server_peak_kib", (json_int_t)e->after.peak_kib, "settle_s",
        (double)e->settle_us / 1e6, "different", (int)e->different, "first_error", st->first_error[0] ? st->first_error : NULL);
}

static void report(const load_options *o, const load_stats *st, const outcome *e) {
    printf("%u devices, %u s, seed %llu: %llu transactions (%.0f/s);", o->devices, o->seconds, (unsigned long long)o->seed,
           (unsigned long long)st->transactions, (double)st->transactions / o->seconds);
    for (unsigned i = 0; i < LOAD_ACTS; i++) printf(" %s %llu", load_act_names[i], (unsigned long long)st->act[i]);
    printf("\nrefused %llu, values that lost %llu, connections lost %llu, errors %llu%s%s\n", (unsigned long long)st->refused,
           (unsigned long long)st->conflicts, (unsigned long long)st->disconnects, (unsigned long long)st->errors,
           st->first_error[0] ? "; the first: " : "", st->first_error);
    load_histogram_print(&st->answered, "from commit to its result");
    load_histogram_print(&st->visible, "from commit to being seen by another device");
    printf("messages: %llu bytes up, %llu down\n", (unsigned long long)(e->bytes_after.in - e->bytes_before.in),
           (unsigned long long)(e->bytes_after.out - e->bytes_before.out));
    printf("server: %.2f s of processor time, memory %llu KiB before, %llu at most, %llu after\n",
           (double)(e->after.cpu_ns - e->before.cpu_ns) / 1e9, (unsigned long long)e->before.rss_kib,
           (unsigned long long)e->after.peak_kib, (unsigned long long)e->after.rss_kib);
    printf("all were in step %.2f s later; %u of %u differ from the server\n", (double)e->settle_us / 1e6, e->different,
           o->devices);
}

static int work_and_compare(load_server *sv, const load_options *o, load_device *device, outcome *e) {
    load_peak_reset(sv->pid);
    int rc = load_usage_read(sv->pid, &e->before);
    if (!rc) rc = load_server_bytes(sv, &e->bytes_before);
    if (!rc) rc = load_devices_work(device, o);
    uint64_t ended_us = load_now_us();
    if (!rc) rc = load_devices_settle(device, o->devices, 0, o->patience_s);
    e->settle_us = load_now_us() - ended_us;
    if (!rc) rc = load_usage_read(sv->pid, &e->after);
    if (!rc) rc = load_server_bytes(sv, &e->bytes_after);
    if (!rc) rc = load_devices_compare(device, o->devices, sv, o->patience_s, &e->different);
    return rc;
}

int load_run(load_server *sv, const load_options *o) {
    load_fleet f = {0};
    load_device *device = NULL;
    outcome e = {0};
    load_stats *st = load_stats_new();
    int rc = st ? load_device_rows(sv) : LOAD_FAILED;
    if (!rc) rc = load_fleet_open(&f, sv, o, o->devices);
    if (!rc) rc = (device = load_devices_open(&f, st, o->devices, o)) ? LOAD_DONE : LOAD_FAILED;
    if (!rc) rc = work_and_compare(sv, o, device, &e);
    if (device) load_devices_close(device, o->devices);
    if (!rc && o->json) {
        load_print_json(report_json(o, st, &e));
    } else if (!rc) {
        report(o, st, &e);
    } else if (st && st->first_error[0]) {
        load_fail("%s", st->first_error);
    }
    if (!rc && (e.different || st->errors)) rc = LOAD_FAILED;
    free(st);
    load_fleet_close(&f);
    return rc;
}
