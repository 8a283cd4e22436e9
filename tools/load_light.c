#include "tools/load_light.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"

/* Handshakes under way at once: the server does them one after the other, and each has a deadline. */
#define CONNECTING_MAX 64u
/* How often those that wait are given the time, for their signs of life. */
#define LOOK_US 1000000u

static uint64_t wall_ms(const load_light *d) {
    return d->file->env.now_ms(d->file->env.ctx);
}

static int fail(const load_light *d, int rc, const char *words) {
    return load_fail("device %u: %s", d->number, words && *words ? words : satchel_rc_text(rc));
}

static void on_change(void *ctx, const char *table) {
    load_light *d = ctx;
    if (!strcmp(table, "contact")) d->changes++;
}

static int open_one(load_light *d, const load_fleet *f, unsigned number) {
    char path[LOAD_PATH_BYTES], host[256], device[65];
    buf error = {0};
    file_options o = {.flags = SATCHEL_OPEN_EXISTING, .software = "satchel-load/" SATCHEL_VERSION, .env = env_default()};
    session_callbacks callbacks = {.ctx = d, .changed = on_change};
    transport_config c = {.host = host};
    d->number = number;
    load_fleet_path(f, number, path);
    int rc = file_open(path, &o, &d->file);
    if (rc) return fail(d, rc, d->file ? (const char *)d->file->error.p : NULL);
    rc = session_new(d->file, &callbacks, &d->session);
    if (!rc) rc = file_get_server(d->file, host, &c.port, device);
    c.identity_dir = d->file->identity;
    c.software = d->file->software;
    if (!rc) rc = transport_new(&c, &d->transport, &error);
    if (rc) fail(d, rc, error.n ? (const char *)error.p : NULL);
    buf_fini(&error);
    return rc ? LOAD_FAILED : LOAD_DONE;
}

int load_lights_open(load_lights *l, const load_fleet *f, unsigned n) {
    ctl_bar bar;
    *l = (load_lights){.fleet = f, .n = n, .looked_us = load_now_us()};
    l->light = calloc(n, sizeof *l->light);
    l->poll = calloc(n, sizeof *l->poll);
    int rc = l->light && l->poll ? load_files_allow(n, LOAD_LIGHT_FILES) : load_fail("out of memory");
    ctl_bar_begin(&bar, "opening");
    for (unsigned i = 0; i < n && !rc; i++) {
        rc = open_one(&l->light[i], f, i);
        ctl_bar_show(&bar, i, n, NULL);
    }
    ctl_bar_end(&bar);
    return rc;
}

void load_lights_close(load_lights *l) {
    for (unsigned i = 0; i < l->n && l->light; i++) {
        load_light *d = &l->light[i];
        if (d->transport) transport_close(d->transport, 1000);
        transport_free(d->transport);
        session_free(d->session);
        file_close(d->file);
    }
    free(l->light);
    free(l->poll);
    *l = (load_lights){0};
}

/* ---- one device ---- */

static int exchange(load_light *d, bool *moved) {
    buf frame = {0};
    const uint8_t *out;
    size_t n;
    int rc = SATCHEL_OK;
    if (!d->begun) {
        d->begun = true;
        rc = session_begin(d->session, wall_ms(d));
    }
    while (!rc && transport_receive(d->transport, &frame)) {
        rc = frame.rc ? frame.rc : session_receive(d->session, frame.p, frame.n, wall_ms(d));
        *moved = true;
    }
    while (!rc && session_output(d->session, &out, &n)) {
        rc = transport_send(d->transport, out, n);
        *moved = true;
    }
    buf_fini(&frame);
    return rc;
}

/* Everything that can be done now. */
static int step(load_light *d) {
    for (bool moved = true; moved;) {
        int rc = transport_step(d->transport, 0, -1);
        moved = false;
        /* What arrived before the connection broke tells why. */
        int heard = transport_state(d->transport) == TRANSPORT_OPEN || d->begun ? exchange(d, &moved) : SATCHEL_OK;
        if (heard) return fail(d, heard, session_error(d->session));
        if (rc) return fail(d, rc, transport_error(d->transport));
    }
    return LOAD_DONE;
}

static int look(load_light *d) {
    int rc = step(d);
    if (rc || !d->begun) return rc;
    rc = session_wake(d->session, wall_ms(d));
    return rc ? fail(d, rc, session_error(d->session)) : LOAD_DONE;
}

/* ---- all of them ---- */

int load_lights_turn(load_lights *l, int timeout_ms) {
    bool all = load_now_us() - l->looked_us >= LOOK_US;
    int rc = LOAD_DONE;
    for (unsigned i = 0; i < l->open; i++) {
        const transport *t = l->light[i].transport;
        l->poll[i] = (struct pollfd){.fd = transport_fd(t), .events = transport_events(t)};
    }
    int ready = poll(l->poll, l->open, timeout_ms);
    if (all) l->looked_us = load_now_us();
    for (unsigned i = 0; i < l->open && !rc && (ready > 0 || all); i++) {
        if (all)
            rc = look(&l->light[i]);
        else if (l->poll[i].revents)
            rc = step(&l->light[i]);
    }
    return rc;
}

static unsigned in_step(const load_lights *l) {
    unsigned n = 0;
    for (unsigned i = 0; i < l->open; i++) n += session_in_step(l->light[i].session);
    return n;
}

int load_lights_connect(load_lights *l, unsigned n, unsigned patience_s) {
    unsigned done = in_step(l), before = done;
    uint64_t moved_us = load_now_us();
    int rc = LOAD_DONE;
    ctl_bar bar;
    ctl_bar_begin(&bar, "connecting");
    while (!rc && done < n) {
        while (!rc && l->open < n && l->open - done < CONNECTING_MAX) {
            load_light *d = &l->light[l->open++];
            rc = transport_connect(d->transport);
            if (rc) rc = fail(d, rc, transport_error(d->transport));
        }
        if (!rc) rc = load_lights_turn(l, 100);
        done = in_step(l);
        if (done != before) moved_us = load_now_us();
        before = done;
        if (!rc && load_now_us() - moved_us > (uint64_t)patience_s * 1000000)
            rc = load_fail("%u of %u devices are not in step, and none got there for %u s", n - done, n, patience_s);
        ctl_bar_show(&bar, done, n, NULL);
    }
    ctl_bar_end(&bar);
    return rc;
}

int load_lights_wait(load_lights *l, uint64_t changes, unsigned patience_s) {
    uint64_t until_us = load_now_us() + (uint64_t)patience_s * 1000000;
    for (unsigned i = 0; i < l->open;) {
        if (l->light[i].changes >= changes) {
            i++;
            continue;
        }
        int rc = load_lights_turn(l, 100);
        if (rc) return rc;
        if (load_now_us() > until_us) return load_fail("device %u did not see a commit for %u s", i, patience_s);
    }
    return LOAD_DONE;
}
