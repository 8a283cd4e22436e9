#include "tests/support/outside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HOSTS "localhost,127.0.0.1,::1"

uint64_t outside_now_ms;

static uint64_t now_ms(void *ctx) {
    (void)ctx;
    return outside_now_ms;
}

static void wake(void *ctx) {
    loop_wake(&((outside *)ctx)->loop);
}

static void drop_log(void *ctx, const log_fields *fields, const char *text) {
    (void)ctx, (void)fields, (void)text;
}

static const char *write_schema(const outside *o, const char *migration, char room[96]) {
    if (!migration) return NULL;
    char file[128];
    snprintf(room, 96, "%s.schema", o->path);
    assert_int_equal(access(room, F_OK), -1);
    snprintf(file, sizeof file, "mkdir %s", room);
    assert_int_equal(system(file), 0);
    snprintf(file, sizeof file, "%s/001_all.sql", room);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs(migration, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return room;
}

static void open_hub(outside *o, const char *migration) {
    static char store_path[DATADIR_PATH_BYTES], snapshot_path[DATADIR_PATH_BYTES];
    char room[96];
    buf error = {0};
    assert_int_equal(datadir_path(&o->data, "store.db", store_path), 0);
    assert_int_equal(datadir_path(&o->data, "snapshot.db", snapshot_path), 0);
    store_config sc = {.path = store_path, .schema_dir = write_schema(o, migration, room), .now_ms = outside_now_ms};
    int rc = store_open(&sc, &o->store, &error);
    if (rc) fail_msg("%s", (const char *)error.p);
    hub_config hc = {.store = o->store,
                     .watched = true,
                     .store_path = store_path,
                     .snapshot_path = snapshot_path,
                     .readers = 1,
                     .history_ms = 86400000,
                     .horizon_ms = 86400000,
                     .now_ms = now_ms,
                     .wake = wake,
                     .log = drop_log,
                     .ctx = o};
    rc = hub_open(&hc, &o->hub, &error);
    if (rc) fail_msg("%s", (const char *)error.p);
    buf_fini(&error);
}

void outside_open(outside *o, const char *migration) {
    *o = (outside){0};
    outside_now_ms = OUTSIDE_NOW_MS;
    snprintf(o->path, sizeof o->path, "/tmp/satchel-outside.XXXXXX");
    assert_non_null(mkdtemp(o->path));
    buf error = {0};
    assert_int_equal(datadir_open(o->path, &o->data, &error), 0);
    assert_int_equal(identity_open(&o->data, HOSTS, outside_now_ms, &o->identity, &error), 0);
    assert_int_equal(loop_open(&o->loop, &error), 0);
    open_hub(o, migration);
    o->service = (service){.hub = o->hub,
                           .loop = &o->loop,
                           .identity = &o->identity,
                           .data = o->path,
                           .host = "crm.example.test",
                           .sync_port = 7443,
                           .https_port = 8443,
                           .started_ms = outside_now_ms,
                           .now_ms = now_ms};
}

void outside_settle(outside *o) {
    for (int quiet = 0; quiet < 2;) {
        bool worked = hub_write_step(o->hub);
        uv_run(&o->loop.uv, UV_RUN_NOWAIT);
        quiet = worked ? 0 : quiet + 1;
    }
}

void outside_close(outside *o) {
    char command[160];
    loop_close(&o->loop);
    hub_close(o->hub);
    store_close(o->store);
    identity_close(&o->identity);
    datadir_close(&o->data);
    snprintf(command, sizeof command, "rm -rf %s %s.schema", o->path, o->path);
    assert_int_equal(system(command), 0);
}
