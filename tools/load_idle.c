/* satchel-load idle, fanout - what connected devices cost the server that have nothing to do, and what a commit costs that goes to all of them. */
#include <stdlib.h>

#include "tools/load_device.h"
#include "tools/load_light.h"

/* What the server does after the last device got in step is over by then. */
#define QUIET_MS 3000
#define WARM_UP 5u
/* A commit to one device costs little: more of them make a figure. */
#define ONE_TIMES 10u

static int quiet(load_lights *l, uint64_t ms) {
    int rc = LOAD_DONE;
    for (uint64_t until_us = load_now_us() + ms * 1000; !rc && load_now_us() < until_us;) rc = load_lights_turn(l, 100);
    return rc;
}

/* ---- idle ---- */

static void report_idle(const load_options *o, const load_usage *before, const load_usage *after, double connect_s) {
    double each = ((double)after->rss_kib - (double)before->rss_kib) / o->devices;
    if (o->json) {
        load_print_json(json_pack("{si sf sI sI sI sf}", "devices", (int)o->devices, "idle_kib", each, "rss_before_kib",
                                  (json_int_t)before->rss_kib, "rss_kib", (json_int_t)after->rss_kib, "peak_kib",
                                  (json_int_t)after->peak_kib, "connect_s", connect_s));
        return;
    }
    printf("server: %llu KiB before, %llu KiB with %u idle devices (%llu at most): %.1f KiB each; they connected in %.1f s\n",
           (unsigned long long)before->rss_kib, (unsigned long long)after->rss_kib, o->devices,
           (unsigned long long)after->peak_kib, each, connect_s);
}

int load_idle(load_server *sv, const load_options *o) {
    load_fleet f = {0};
    load_lights l = {0};
    load_usage before = {0}, after = {0};
    int rc = load_fleet_open(&f, sv, o, o->devices);
    if (!rc) rc = load_lights_open(&l, &f, o->devices);
    if (!rc) load_sleep_us(QUIET_MS * 1000);
    load_peak_reset(sv->pid);
    if (!rc) rc = load_usage_read(sv->pid, &before);
    uint64_t began_us = load_now_us();
    if (!rc) rc = load_lights_connect(&l, o->devices, o->patience_s);
    double connect_s = (double)(load_now_us() - began_us) / 1e6;
    if (!rc) rc = quiet(&l, QUIET_MS);
    if (!rc) rc = load_usage_read(sv->pid, &after);
    if (!rc) report_idle(o, &before, &after, connect_s);
    fflush(stdout); /* they are all there now: somebody may wait for that */
    if (!rc && o->stay_s) rc = quiet(&l, o->stay_s * 1000ull);
    load_lights_close(&l);
    load_fleet_close(&f);
    return rc;
}

/* ---- fanout ---- */

/* Commits on `author`, one at a time, each until all have it; *cpu_us is the server's for one. */
static int commit_many(load_server *sv, load_device *author, load_lights *l, unsigned commits, unsigned patience_s,
                       double *cpu_us) {
    load_usage before, after;
    ctl_bar bar;
    uint64_t base = l->light[0].changes;
    for (unsigned i = 0; i < l->open; i++) l->light[i].changes = base;
    int rc = load_usage_read(sv->pid, &before);
    ctl_bar_begin(&bar, l->open > 1 ? "commits to all" : "commits to one");
    for (unsigned i = 0; i < commits && !rc; i++) {
        load_device_write(author, ACT_UPDATE);
        rc = load_lights_wait(l, base + i + 1, patience_s);
        ctl_bar_show(&bar, i, commits, NULL);
    }
    ctl_bar_end(&bar);
    if (!rc) rc = load_usage_read(sv->pid, &after);
    if (!rc) *cpu_us = (double)(after.cpu_ns - before.cpu_ns) / 1e3 / commits;
    return rc;
}

static int measure(load_server *sv, const load_options *o, load_device *author, load_lights *l, double *one_us, double *all_us) {
    int rc = load_lights_connect(l, 1, o->patience_s);
    if (!rc) rc = commit_many(sv, author, l, WARM_UP, o->patience_s, one_us);
    if (!rc) rc = commit_many(sv, author, l, o->commits * ONE_TIMES, o->patience_s, one_us);
    if (!rc) rc = load_lights_connect(l, o->devices, o->patience_s);
    if (!rc) rc = quiet(l, QUIET_MS);
    if (!rc) rc = commit_many(sv, author, l, WARM_UP, o->patience_s, all_us);
    if (!rc) rc = commit_many(sv, author, l, o->commits, o->patience_s, all_us);
    return rc;
}

static void report_fanout(const load_options *o, double one_us, double all_us) {
    if (o->json) {
        load_print_json(json_pack("{si si sf sf sf}", "devices", (int)o->devices, "commits", (int)o->commits, "fanout_ratio",
                                  all_us / one_us, "one_us", one_us, "all_us", all_us));
        return;
    }
    printf("server's processor time for a commit: %.0f us to one device, %.0f us to %u: ratio %.1f\n", one_us, all_us, o->devices,
           all_us / one_us);
}

int load_fanout(load_server *sv, const load_options *o) {
    load_fleet f = {0};
    load_lights l = {0};
    load_device *author = calloc(1, sizeof *author);
    load_stats *st = load_stats_new();
    double one_us = 0, all_us = 0;
    int rc = author && st ? load_device_rows(sv) : load_fail("out of memory");
    if (!rc) rc = load_fleet_open(&f, sv, o, o->devices + 1);
    if (!rc) rc = load_lights_open(&l, &f, o->devices);
    if (!rc) rc = load_device_open(author, &f, o->devices, st, o->seed);
    if (!rc) rc = load_device_start(author);
    if (!rc) rc = load_devices_settle(author, 1, 0, o->patience_s);
    if (!rc) rc = measure(sv, o, author, &l, &one_us, &all_us);
    if (!rc && st->errors) rc = load_fail("%s", st->first_error);
    if (!rc) report_fanout(o, one_us, all_us);
    if (author) load_device_close(author);
    load_lights_close(&l);
    free(author);
    free(st);
    load_fleet_close(&f);
    return rc;
}
