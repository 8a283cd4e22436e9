#include "tests/unit/hub_holding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

static void run(const holding *h, char *sql) {
    assert_non_null(sql);
    if (sqlite3_exec(h->db, sql, NULL, NULL, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(h->db));
    sqlite3_free(sql);
}

static void make_table(const holding *h, const schema_table *t) {
    sqlite3_str *sql = sqlite3_str_new(h->db);
    sqlite3_str_appendf(sql, "CREATE TABLE \"%w\"(", t->name);
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, "\"%w\",", t->col[i]->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "PRIMARY KEY(", t->key[i]->name);
    sqlite3_str_appendf(sql, "))");
    run(h, sqlite3_str_finish(sql));
}

void holding_open(holding *h, const schema *shape) {
    memset(h, 0, sizeof *h);
    h->shape = shape;
    assert_int_equal(sqlite3_open(":memory:", &h->db), SQLITE_OK);
    for (unsigned i = 0; i < shape->ntable; i++)
        if (shape->table[i].until == SCHEMA_NEVER) make_table(h, &shape->table[i]);
}

static void forget_staged(holding *h) {
    for (unsigned i = 0; i < h->nstaged; i++) buf_fini(&h->staged[i]);
    free(h->staged);
    h->staged = NULL;
    h->nstaged = 0;
}

void holding_close(holding *h) {
    forget_staged(h);
    sqlite3_close(h->db);
}

/* ---- rows ---- */

/* Runs a statement with the row's columns and then its key bound. Returns how many rows it changed. */
static int run_row(holding *h, sqlite3_str *text, const delta_row *row, bool columns) {
    sqlite3_stmt *q;
    int at = 0;
    char *sql = sqlite3_str_finish(text);
    if (sqlite3_prepare_v2(h->db, sql, -1, &q, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(h->db));
    for (unsigned i = 0; columns && i < row->ncol; i++) value_bind(q, ++at, &row->v[i]);
    for (unsigned i = 0; i < row->nkey; i++) value_bind(q, ++at, &row->key[i]);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return sqlite3_changes(h->db);
}

static void put_key(sqlite3_str *sql, const schema_table *t) {
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : " WHERE ", t->key[i]->name);
}

static const char *column_name(const schema_table *t, uint32_t id) {
    const schema_column *c = schema_column_by_id(t, id);
    assert_non_null(c);
    return c->name;
}

static void put(holding *h, const schema_table *t, const delta_row *row) {
    sqlite3_str *sql = sqlite3_str_new(h->db);
    sqlite3_str_appendf(sql, "INSERT OR REPLACE INTO \"%w\"(", t->name);
    for (unsigned i = 0; i < row->ncol; i++) sqlite3_str_appendf(sql, "\"%w\",", column_name(t, row->col[i].id));
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", t->key[i]->name);
    sqlite3_str_appendf(sql, ") VALUES(?");
    for (unsigned i = 1; i < row->ncol + row->nkey; i++) sqlite3_str_appendf(sql, ",?");
    sqlite3_str_appendf(sql, ")");
    run_row(h, sql, row, true);
    h->puts++;
}

static void update(holding *h, const schema_table *t, const delta_row *row) {
    sqlite3_str *sql = sqlite3_str_new(h->db);
    sqlite3_str_appendf(sql, "UPDATE \"%w\" SET ", t->name);
    for (unsigned i = 0; i < row->ncol; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? "," : "", column_name(t, row->col[i].id));
    put_key(sql, t);
    assert_int_equal(run_row(h, sql, row, true), 1);
    h->updates++;
}

static void forget(holding *h, const schema_table *t, const delta_row *row) {
    sqlite3_str *sql = sqlite3_str_new(h->db);
    sqlite3_str_appendf(sql, "DELETE FROM \"%w\"", t->name);
    put_key(sql, t);
    run_row(h, sql, row, false);
    if (row->op == DELTA_LEAVE)
        h->leaves++;
    else
        h->deletes++;
}

static void apply(holding *h, const uint8_t *delta, size_t n) {
    static _Thread_local delta_row row;
    delta_reader r;
    wire w;
    int more;
    wire_open(&w, delta, n);
    delta_open(&r, &w);
    while ((more = delta_next(&r, &row)) == 1) {
        const schema_table *t = schema_table_by_id(h->shape, row.table);
        assert_non_null(t);
        if (row.op == DELTA_PUT)
            put(h, t, &row);
        else if (row.op == DELTA_UPDATE)
            update(h, t, &row);
        else
            forget(h, t, &row);
    }
    assert_int_equal(more, 0);
}

/* ---- messages ---- */

static void apply_page(holding *h, const void *message, size_t n) {
    page_reader r;
    msg_page head;
    page_commit c;
    int more;
    assert_int_equal(page_open(&r, message, n, &head), SATCHEL_OK);
    while ((more = page_next(&r, &c)) == 1) {
        assert_true((c.seq > head.from || head.view) && c.seq <= head.to); /* a view may change though nothing was committed */
        apply(h, c.delta, c.ndelta);
    }
    assert_int_equal(more, 0);
}

void holding_page(holding *h, const msg_page *head, const void *message, size_t n) {
    if (head->part == 0) forget_staged(h);
    assert_int_equal(head->part, h->nstaged);
    if (head->more) {
        h->staged = realloc(h->staged, (h->nstaged + 1) * sizeof *h->staged);
        assert_non_null(h->staged);
        buf_init(&h->staged[h->nstaged], 0);
        buf_put(&h->staged[h->nstaged++], message, n);
        return;
    }
    for (unsigned i = 0; i < h->nstaged; i++) apply_page(h, h->staged[i].p, h->staged[i].n);
    forget_staged(h);
    apply_page(h, message, n);
    if (head->view) h->view = head->view;
}

void holding_snapshot(holding *h, const msg_snapshot *head, const void *message, size_t n) {
    static _Thread_local snapshot_range range;
    snapshot_reader r;
    msg_snapshot again;
    int more;
    forget_staged(h);
    for (unsigned i = 0; head->page == 0 && i < h->shape->ntable; i++)
        if (h->shape->table[i].until == SCHEMA_NEVER) run(h, sqlite3_mprintf("DELETE FROM \"%w\"", h->shape->table[i].name));
    assert_int_equal(snapshot_open(&r, message, n, &again), SATCHEL_OK);
    while ((more = snapshot_next(&r, &range)) == 1) apply(h, range.delta, range.ndelta);
    assert_int_equal(more, 0);
    if (head->last) h->view = head->view;
}

const char *holding_counts(holding *h) {
    static char text[64];
    snprintf(text, sizeof text, "%u %u %u %u", h->puts, h->updates, h->deletes, h->leaves);
    h->puts = h->updates = h->deletes = h->leaves = 0;
    return text;
}

const char *holding_sql(const holding *h, const char *query) {
    static char text[2][8192];
    static unsigned turn;
    char *out = text[turn++ % 2];
    size_t at = 0;
    sqlite3_stmt *q;
    out[0] = 0;
    if (sqlite3_prepare_v2(h->db, query, -1, &q, NULL)) fail_msg("%s: %s", query, sqlite3_errmsg(h->db));
    while (sqlite3_step(q) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            const char *v = (const char *)sqlite3_column_text(q, i);
            at += (size_t)snprintf(out + at, sizeof text[0] - at, "%s%s", i ? "|" : at ? " " : "", v ? v : "-");
            assert_true(at < sizeof text[0]);
        }
    sqlite3_finalize(q);
    return out;
}
