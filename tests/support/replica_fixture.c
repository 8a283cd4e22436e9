#include "replica_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"

static const char SCHEMA[] =
    "CREATE TABLE item(id TEXT PRIMARY KEY, name TEXT, price INTEGER, stock INTEGER, note TEXT);"
    "CREATE TABLE tag(id TEXT PRIMARY KEY, label TEXT);"
    "CREATE TABLE pair(a INTEGER NOT NULL, b TEXT NOT NULL, v REAL, PRIMARY KEY(b, a)) WITHOUT ROWID;"
    "INSERT INTO satchel_table(name, wins) VALUES('item', 'update'), ('tag', 'delete'), ('pair', 'update');"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('item', 'stock', 'counter');";

static uint64_t fixture_now(void *ctx) {
    return ((fixture *)ctx)->now_ms;
}

static int fixture_random(void *ctx, void *out, size_t n) {
    fixture *x = ctx;
    uint8_t *p = out;
    for (size_t i = 0; i < n; i++) {
        x->random = x->random * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(x->random >> 56);
    }
    return SATCHEL_OK;
}

env fixture_env(fixture *x) {
    return (env){.ctx = x, .now_ms = fixture_now, .random = fixture_random};
}

static void on_committed(void *ctx) {
    ((fixture *)ctx)->committed++;
}

static void open_both(fixture *x) {
    file_options o = {.env = fixture_env(x)};
    buf words;
    buf_init(&words, 0);
    assert_int_equal(file_open(x->path, &o, &x->f), SATCHEL_OK);
    assert_int_equal(sqlite3_open(x->path, &x->app), SQLITE_OK);
    o.busy_timeout_ms = 100;
    assert_int_equal(file_configure(x->app, &o, &words), SATCHEL_OK);
    assert_int_equal(outbox_writer_open(x->app, x->f, on_committed, x, &x->w, &words), SATCHEL_OK);
    buf_fini(&words);
}

static void close_both(fixture *x) {
    outbox_writer_close(x->w);
    assert_int_equal(sqlite3_close(x->app), SQLITE_OK);
    file_close(x->f);
}

int fixture_migrate(fixture *x, const char *sql) {
    int rc = file_begin(x->f);
    if (rc) return rc;
    msg_schema m = {.epoch = x->f->state.schema_epoch + 1, .name = "test.sql", .nname = 8, .sql = sql, .nsql = strlen(sql)};
    return file_end(x->f, file_migrate(x->f, &m));
}

static fixture *make_place(void) {
    fixture *x = calloc(1, sizeof *x);
    assert_non_null(x);
    /* In memory where there is such a place: closing a file syncs it. */
    snprintf(x->dir, sizeof x->dir, "%s/satchel-unit-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(x->dir));
    snprintf(x->path, sizeof x->path, "%s/db", x->dir);
    x->now_ms = 1700000000000;
    return x;
}

static void make_file(fixture *x) {
    open_both(x);
    if (fixture_migrate(x, SCHEMA)) fail_msg("%s", (const char *)x->f->error.p);
}

int fixture_setup(void **state) {
    fixture *x = make_place();
    make_file(x);
    *state = x;
    return 0;
}

int fixture_setup_utf16(void **state) {
    fixture *x = make_place();
    sqlite3 *db;
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA encoding='UTF-16'; CREATE TABLE t(v); DROP TABLE t", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    make_file(x);
    assert_memory_equal(app_text(x, "PRAGMA encoding"), "UTF-16", 6);
    *state = x;
    return 0;
}

int fixture_teardown(void **state) {
    fixture *x = *state;
    char name[128];
    static const char *const ends[] = {"", "-wal", "-shm"};
    close_both(x);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", x->path, ends[i]);
        unlink(name);
    }
    rmdir(x->dir);
    free(x);
    return 0;
}

void fixture_reopen(fixture *x) {
    close_both(x);
    open_both(x);
}

/* ---- the app ---- */

void app_sql(fixture *x, const char *sql) {
    char *error = NULL;
    if (sqlite3_exec(x->app, sql, NULL, NULL, &error)) fail_msg("%s: %s (%s)", sql, error, outbox_writer_error(x->w));
}

const char *app_text(fixture *x, const char *sql) {
    static char text[512];
    sqlite3_stmt *q;
    if (sqlite3_prepare_v2(x->app, sql, -1, &q, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(x->app));
    strcpy(text, "-");
    if (sqlite3_step(q) == SQLITE_ROW) {
        const char *p = (const char *)sqlite3_column_text(q, 0);
        snprintf(text, sizeof text, "%s", p ? p : "NULL");
    }
    sqlite3_finalize(q);
    return text;
}

int64_t app_integer(fixture *x, const char *sql) {
    return strtoll(app_text(x, sql), NULL, 10);
}

const char *item(fixture *x, const char *key) {
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT printf('%%s|%%s|%%s|%%s', coalesce(name,'~'), coalesce(price,'~'), coalesce(stock,'~'), coalesce(note,'~'))"
             " FROM item WHERE id='%s'",
             key);
    return app_text(x, sql);
}

int64_t bases(fixture *x) {
    return app_integer(x, "SELECT count(*) FROM satchel_base");
}

/* ---- the server's hand ---- */

value text_of(const char *text) {
    return value_text(text, strlen(text));
}

delta_row row_of(uint32_t table, delta_op op, const char *key) {
    delta_row r = {.table = table, .op = op, .nkey = 1};
    r.key[0] = text_of(key);
    return r;
}

void row_set(delta_row *r, uint32_t column, value v) {
    r->col[r->ncol] = (delta_column){.id = column, .kind = DELTA_SET};
    r->v[r->ncol++] = v;
}

delta_row item_put(const char *key, const char *name, int64_t price, int64_t stock) {
    delta_row r = row_of(ITEM, DELTA_PUT, key);
    row_set(&r, ITEM_NAME, text_of(name));
    row_set(&r, ITEM_PRICE, value_integer(price));
    row_set(&r, ITEM_STOCK, value_integer(stock));
    row_set(&r, ITEM_NOTE, value_null());
    return r;
}

delta_row item_set(const char *key, uint32_t column, value v) {
    delta_row r = row_of(ITEM, DELTA_UPDATE, key);
    row_set(&r, column, v);
    return r;
}

void page_build(fixture *x, const msg_page *head, uint64_t seq, const delta_row *rows, unsigned n, buf *out) {
    msg_page h = *head;
    delta_writer w;
    buf delta;
    buf_init(&delta, 0);
    delta_writer_init(&w);
    for (unsigned i = 0; i < n; i++) delta_put_row(&w, &rows[i]);
    assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
    delta_writer_fini(&w);
    h.commits = 1;
    h.high_stamp = hlc_of_ms(x->now_ms);
    page_begin(&h, out);
    page_put_commit(&(page_commit){.seq = seq, .author = 2, .stamp = hlc_of_ms(x->now_ms), .delta = delta.p, .ndelta = delta.n},
                    out);
    assert_int_equal(out->rc, SATCHEL_OK);
    buf_fini(&delta);
}

int page_apply(fixture *x, uint64_t seq, const delta_row *rows, unsigned n) {
    buf page;
    buf_init(&page, 0);
    assert_int_equal(file_read_state(x->f), SATCHEL_OK);
    page_build(x, &(msg_page){.from = x->f->state.cursor, .to = seq}, seq, rows, n, &page);
    int rc = apply_page(x->f, page.p, page.n);
    buf_fini(&page);
    return rc;
}

static void store_result(fixture *x, const msg_result *r) {
    bool changed;
    int rc = file_begin(x->f);
    if (!rc) rc = outbox_result(x->f, r, x->now_ms, &changed);
    if (!rc) rc = outbox_settle(x->f);
    if (file_end(x->f, rc)) fail_msg("%s", (const char *)x->f->error.p);
}

void accept_at(fixture *x, uint64_t number, uint64_t seq) {
    store_result(x, &(msg_result){.number = number, .seq = seq, .effective = hlc_of_ms(x->now_ms)});
}

void refuse_with(fixture *x, uint64_t number, int rc, const char *text) {
    store_result(x, &(msg_result){.number = number, .rc = rc, .text = text, .ntext = strlen(text)});
}

int rewind_file(fixture *x, uint64_t epoch_start) {
    int rc = file_begin(x->f);
    return file_end(x->f, rc ? rc : outbox_rewind(x->f, epoch_start));
}

void assert_sound(fixture *x) {
    buf report;
    buf_init(&report, 0);
    int rc = file_verify(x->f, &report);
    if (rc) fail_msg("%s: %s: %.*s", satchel_rc_name(rc), (const char *)x->f->error.p, (int)report.n, (const char *)report.p);
    buf_fini(&report);
}
