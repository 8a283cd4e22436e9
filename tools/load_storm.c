/* satchel-load storm - all devices come back at once: how long until all are in step, and what that takes of the server. */
#include <stdlib.h>

#include "tools/load_device.h"

#define LOOK_US 5000u

typedef struct storm {
    load_server *sv;
    const load_options *o;
    load_device *device;
    load_histogram *times; /* from the beginning to each one's being in step */
    load_usage before, after;
    uint64_t peak_kib; /* while they came */
    uint64_t armed_us; /* all were in step until then */
    unsigned different;
} storm;

/* Off line, each writes what it has to send later. */
static int cut(storm *s) {
    for (unsigned i = 0; i < s->o->devices; i++) load_device_stop(&s->device[i]);
    for (unsigned i = 0; i < s->o->devices; i++)
        for (unsigned k = 0; k < s->o->edits; k++) load_device_write(&s->device[i], k % 4 == 3 ? ACT_COUNTER : ACT_INSERT);
    return LOAD_DONE;
}

/* Waits until another server process has said that it is ready. */
static int await_restart(storm *s) {
    int pid = s->sv->pid;
    uint64_t until_us = load_now_us() + s->o->patience_s * 1000000ull;
    fputs("satchel-load: all are in step; restart the server now\n", stderr);
    while (!load_server_find(s->sv) || s->sv->pid == pid) {
        if (load_now_us() > until_us) return load_fail("nobody restarted the server for %u s", s->o->patience_s);
        load_sleep_us(LOOK_US);
    }
    ctl_disconnect(&s->sv->ctl);
    return LOAD_DONE;
}

/* In step again: since the storm began, or, when the server was restarted, since the device lost it, which may be a moment before we know of it. */
static bool is_back(const storm *s, const load_device *d, uint64_t began_us, uint64_t *us) {
    uint64_t at = atomic_load(&d->in_step_us), since = s->o->restart ? atomic_load(&d->left_us) : began_us;
    if (at < since || since < s->armed_us) return false;
    *us = at > began_us ? at - began_us : 0;
    return true;
}

static int await_all(storm *s, uint64_t began_us) {
    bool *back = calloc(s->o->devices, sizeof *back);
    unsigned n = 0;
    uint64_t moved_us = load_now_us(), us;
    ctl_bar bar;
    int rc = back ? LOAD_DONE : load_fail("out of memory");
    ctl_bar_begin(&bar, "coming back");
    for (; n < s->o->devices && !rc; load_sleep_us(LOOK_US)) {
        for (unsigned i = 0; i < s->o->devices; i++) {
            if (back[i] || !is_back(s, &s->device[i], began_us, &us)) continue;
            back[i] = true;
            n++;
            moved_us = load_now_us();
            load_histogram_add(s->times, us);
        }
        rc = load_usage_read(s->sv->pid, &s->after);
        if (s->after.rss_kib > s->peak_kib) s->peak_kib = s->after.rss_kib;
        if (load_now_us() - moved_us > s->o->patience_s * 1000000ull)
            rc = load_fail("%u of %u devices did not come back, and none did for %u s", s->o->devices - n, s->o->devices,
                           s->o->patience_s);
        ctl_bar_show(&bar, n, s->o->devices, NULL);
    }
    ctl_bar_end(&bar);
    /* The system's own record misses no moment between two looks. */
    if (!rc && s->after.peak_kib > s->peak_kib && !s->o->restart) s->peak_kib = s->after.peak_kib;
    free(back);
    return rc;
}

static int blow(storm *s) {
    int rc = load_usage_read(s->sv->pid, &s->before);
    s->armed_us = load_now_us();
    if (!rc) rc = s->o->restart ? await_restart(s) : cut(s);
    if (rc) return rc;
    load_peak_reset(s->sv->pid);
    uint64_t began_us = load_now_us();
    for (unsigned i = 0; i < s->o->devices && !rc && !s->o->restart; i++) rc = load_device_start(&s->device[i]);
    if (!rc) rc = await_all(s, began_us);
    return rc ? rc : load_devices_compare(s->device, s->o->devices, s->sv, s->o->patience_s, &s->different);
}

static void report(const storm *s, const load_stats *st) {
    const load_options *o = s->o;
    double each = ((double)s->peak_kib - (double)s->before.rss_kib) / o->devices;
    if (!o->json) {
        load_histogram_print(s->times, "from the beginning to being in step");
        printf("server: %llu KiB with %u devices in step before, %llu at most: %.1f KiB more for each\n",
               (unsigned long long)s->before.rss_kib, o->devices, (unsigned long long)s->peak_kib, each);
        printf("%llu transactions, %llu refused, %llu errors%s%s; %u devices differ from the server\n",
               (unsigned long long)st->transactions, (unsigned long long)st->refused, (unsigned long long)st->errors,
               st->first_error[0] ? ": " : "", st->first_error, s->different);
        return;
    }
    load_print_json(json_pack("{si si sf sf sf sI sI sf sI sI sI sI si ss?}", "devices", (int)o->devices, "edits", (int)o->edits,
                              "storm_p50_ms", load_histogram_ms(s->times, 0.5), "storm_p99_ms", load_histogram_ms(s->times, 0.99),
                              "storm_max_ms", load_histogram_ms(s->times, 1), "rss_before_kib", (json_int_t)s->before.rss_kib,
                              "peak_kib", (json_int_t)s->peak_kib, "peak_kib_each", each, "transactions",
                              (json_int_t)st->transactions, "refused", (json_int_t)st->refused, "disconnects",
                              (json_int_t)st->disconnects, "errors", (json_int_t)st->errors, "different", (int)s->different,
                              "first_error", st->first_error[0] ? st->first_error : NULL));
}

int load_storm(load_server *sv, const load_options *o) {
    load_fleet f = {0};
    load_stats *st = load_stats_new();
    storm s = {.sv = sv, .o = o, .times = calloc(1, sizeof *s.times)};
    int rc = st && s.times ? load_device_rows(sv) : load_fail("out of memory");
    if (!rc) rc = load_fleet_open(&f, sv, o, o->devices);
    if (!rc) rc = (s.device = load_devices_open(&f, st, o->devices, o)) ? LOAD_DONE : LOAD_FAILED;
    if (!rc) rc = blow(&s);
    if (s.device) load_devices_close(s.device, o->devices);
    if (!rc) report(&s, st);
    if (rc && st && st->first_error[0]) load_fail("%s", st->first_error);
    if (!rc && (s.different || st->errors)) rc = LOAD_FAILED;
    free(s.times);
    free(st);
    load_fleet_close(&f);
    return rc;
}
