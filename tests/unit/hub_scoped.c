#include "tests/unit/hub_scoped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/scope.h"

/* ---- what the admin does ---- */

typedef struct publish_job {
    hub_job job;
    const char *rules;
    int got;
} publish_job;

static int run_publish(hub_job *job, store *s, ingest *g, uint64_t at) {
    uint64_t moved;
    buf error;
    buf_init(&error, 0);
    int rc = scope_publish(s, "scope.sql", ((publish_job *)job)->rules, at, &moved, &error);
    if (rc) print_error("%.*s\n", (int)error.n, (const char *)error.p);
    buf_fini(&error);
    (void)g;
    return rc;
}

static void done_publish(hub_job *job, int rc) {
    ((publish_job *)job)->got = rc;
}

void commit_rules(world *w, const char *rules) {
    publish_job p = {.job = {.run = run_publish, .done = done_publish}, .rules = rules, .got = 1};
    assert_true(hub_submit(w->h, &p.job));
    settle(w);
    assert_int_equal(p.got, SATCHEL_OK);
}

void publish(world *w, const char *rules) {
    commit_rules(w, rules);
    hub_scope_changed(w->h);
    settle(w);
}

typedef struct grant_job {
    hub_job job;
    const char *device, *key;
    uint64_t until_ms;
    int got;
} grant_job;

static int run_grant(hub_job *job, store *s, ingest *g, uint64_t at) {
    const grant_job *j = (const grant_job *)job;
    int64_t id;
    buf error;
    buf_init(&error, 0);
    int rc = scope_grant(s, ingest_scope(g), j->device, "item", j->key, j->until_ms, "a visit", at, &id, &error);
    if (rc) print_error("%.*s\n", (int)error.n, (const char *)error.p);
    buf_fini(&error);
    return rc;
}

static void done_grant(hub_job *job, int rc) {
    ((grant_job *)job)->got = rc;
}

void grant_to(world *w, const char *name, const char *key, uint64_t until_ms) {
    grant_job j = {.job = {.run = run_grant, .done = done_grant}, .device = name, .key = key, .until_ms = until_ms, .got = 1};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
    hub_scope_changed(w->h);
    settle(w);
}

void grant(world *w, const char *key, uint64_t until_ms) {
    grant_to(w, "phone", key, until_ms);
}

void give_profile(world *w, const char *name, const char *profile, const char *user) {
    char text[256];
    snprintf(text, sizeof text, "UPDATE satchel_device SET profile=%s,user=CAST(x'03%02x'||'%s' AS BLOB) WHERE name='%s'",
             profile, (unsigned)strlen(user), user, name);
    sql_exec(&w->v, text);
    hub_scope_changed(w->h);
    settle(w);
}

/* ---- devices that keep what they are given ---- */

holding phone, tablet;

int setup_scope(void **state) {
    setup(state);
    world *w = *state;
    holding_open(&phone, store_schema(w->v.s));
    holding_open(&tablet, store_schema(w->v.s));
    give_profile(w, "phone", "'rep'", "ann");
    give_profile(w, "tablet", "'rep'", "bob");
    server(w, "DELETE FROM item; INSERT INTO item(id,a,n,b) VALUES(1,'ann',1,x'01'),(2,'bob',2,x'02'),(3,'ann',3,x'03'),"
              "(4,'cid',4,x'04');");
    return 0;
}

int teardown_scope(void **state) {
    holding_close(&phone);
    holding_close(&tablet);
    return teardown(state);
}

link *connect_device(world *w, device *d, const char *name, holding *h, const link *before) {
    link *l = dial(w, d, name);
    l->holds = h;
    l->settled = d->number;
    if (before) {
        l->cursor = before->cursor;
        l->snapshot = before->snapshot;
        l->snapshot_page = before->snapshot_page;
        l->loss_cursor = before->loss_cursor;
    }
    hello(w, l);
    settle(w);
    pull(w, l, 16);
    settle(w);
    return l;
}

link *connect_phone(world *w, const link *before) {
    return connect_device(w, &w->phone, "phone", &phone, before);
}

link *connect_tablet(world *w, const link *before) {
    return connect_device(w, &w->tablet, "tablet", &tablet, before);
}

void pull_again(world *w, link *l) {
    while (l->pages) {
        uint32_t n = l->pages;
        l->pages = 0;
        pull(w, l, n);
        settle(w);
    }
}
