#include "tests/bench/write_cost_outbox.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/capture.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"

struct bench_outbox {
    sqlite3 *db;
    capture *capture;
    schema *schema;
    sqlite3_stmt *state, *insert, *remove;
    int64_t number, incarnation, cursor, stamp, epoch;
};

static int on_open(void *ctx) {
    bench_outbox *o = ctx;
    int step = sqlite3_step(o->state);
    o->number = sqlite3_column_int64(o->state, 0) + 1;
    o->incarnation = sqlite3_column_int64(o->state, 1);
    o->cursor = sqlite3_column_int64(o->state, 2);
    o->epoch = sqlite3_column_int64(o->state, 3);
    o->stamp = sqlite3_column_int64(o->state, 4) + 1;
    int failed = sqlite3_reset(o->state);
    return step == SQLITE_ROW ? SATCHEL_OK : failed ? db_rc(failed) : SATCHEL_E_CORRUPT;
}

static int on_begin(void *ctx, bool again) {
    bench_outbox *o = ctx;
    if (!again) return SATCHEL_OK;
    sqlite3_bind_int64(o->remove, 1, o->number);
    return db_run(o->remove);
}

static int on_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    bench_outbox *o = ctx;
    (void)number, (void)last;
    uint8_t id[8];
    sqlite3_randomness(sizeof id, id);
    sqlite3_bind_int64(o->insert, 1, o->number);
    sqlite3_bind_int64(o->insert, 2, o->incarnation);
    sqlite3_bind_blob(o->insert, 3, id, sizeof id, SQLITE_STATIC);
    sqlite3_bind_int64(o->insert, 4, o->stamp);
    sqlite3_bind_int64(o->insert, 5, o->cursor);
    sqlite3_bind_int64(o->insert, 6, o->epoch);
    sqlite3_bind_blob64(o->insert, 7, changeset, n, SQLITE_STATIC);
    return db_run(o->insert);
}

static const char OUTBOX[] =
    "CREATE TABLE satchel_outbox(n INTEGER PRIMARY KEY, incarnation, id BLOB, stamp, base, epoch, state, seq, effective, code, changes BLOB);"
    "CREATE TABLE satchel_state(number_floor, incarnation, cursor, epoch, hlc);"
    "INSERT INTO satchel_state VALUES(0, 1, 100, 1, 111111111111111)";

static int prepare(bench_outbox *o) {
    static const char state[] =
        "SELECT max(number_floor, coalesce((SELECT max(n) FROM satchel_outbox), 0)), incarnation, cursor, epoch, hlc"
        " FROM satchel_state";
    static const char insert[] = "INSERT INTO satchel_outbox(n, incarnation, id, stamp, base, epoch, state, changes)"
                                 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)";
    int failed = sqlite3_prepare_v3(o->db, state, -1, SQLITE_PREPARE_PERSISTENT, &o->state, NULL);
    if (!failed) failed = sqlite3_prepare_v3(o->db, insert, -1, SQLITE_PREPARE_PERSISTENT, &o->insert, NULL);
    if (!failed)
        failed =
            sqlite3_prepare_v3(o->db, "DELETE FROM satchel_outbox WHERE n = ?1", -1, SQLITE_PREPARE_PERSISTENT, &o->remove, NULL);
    return db_rc(failed);
}

static int open_all(bench_outbox *o, const char *migration, buf *error) {
    capture_sink sink = {.ctx = o, .open = on_open, .begin = on_begin, .part = on_part};
    int rc = capture_open(o->db, &sink, &o->capture);
    if (rc) return rc;
    capture_enable(o->capture, false);
    rc = db_rc(sqlite3_exec(o->db, OUTBOX, NULL, NULL, NULL));
    if (!rc) rc = schema_init(o->db, error);
    if (!rc) rc = schema_migrate(o->db, SCHEMA_REPLICA, 1, "write_cost", migration, error);
    if (!rc) rc = schema_load(o->db, &o->schema, error);
    if (!rc) rc = capture_install(o->db, o->schema, error);
    if (!rc) rc = prepare(o);
    if (rc) return rc;
    capture_set_schema(o->capture, o->schema);
    capture_enable(o->capture, true);
    return SATCHEL_OK;
}

int bench_outbox_open(sqlite3 *db, const char *migration, bench_outbox **out) {
    bench_outbox *o = calloc(1, sizeof *o);
    *out = o;
    if (!o) return SATCHEL_E_NOMEM;
    o->db = db;
    buf error = {0};
    int rc = open_all(o, migration, &error);
    if (rc) fprintf(stderr, "%s: %.*s\n", satchel_rc_name(rc), (int)error.n, error.n ? (const char *)error.p : "");
    buf_fini(&error);
    return rc;
}

void bench_outbox_close(bench_outbox *o) {
    if (!o) return;
    sqlite3_finalize(o->state);
    sqlite3_finalize(o->insert);
    sqlite3_finalize(o->remove);
    capture_close(o->capture);
    if (o->schema) schema_free(o->schema);
    free(o);
}
