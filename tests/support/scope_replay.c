#include "tests/support/scope_replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/delta.h"
#include "protocol/satchel_rc.h"
#include "server/store_private.h"
#include "server/view.h"

typedef struct replay {
    serving *v;
    sqlite3 *held; /* row(tbl, key) and cell(tbl, key, col, value) */
    view *view;
    view_sets *sets;
    buf key, cell;
} replay;

static void run(replay *r, const char *sql, uint32_t table, uint32_t column, bool with_cell) {
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(r->held, sql, -1, &q, NULL), SQLITE_OK);
    sqlite3_bind_int64(q, 1, table);
    sqlite3_bind_blob(q, 2, r->key.p, (int)r->key.n, SQLITE_STATIC);
    if (with_cell) sqlite3_bind_int64(q, 3, column);
    if (with_cell) sqlite3_bind_blob(q, 4, r->cell.p, (int)r->cell.n, SQLITE_STATIC);
    while (sqlite3_step(q) == SQLITE_ROW) continue;
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
}

static bool is_held(replay *r, uint32_t table) {
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(r->held, "SELECT 1 FROM row WHERE tbl=? AND key=?", -1, &q, NULL), SQLITE_OK);
    sqlite3_bind_int64(q, 1, table);
    sqlite3_bind_blob(q, 2, r->key.p, (int)r->key.n, SQLITE_STATIC);
    bool held = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return held;
}

static const char *name_of(replay *r, uint32_t table) {
    return schema_table_by_id(store_schema(r->v->s), table)->name;
}

static void apply(replay *r, int64_t seq, const delta_row *row) {
    static const char *const OP[] = {"put", "update", "delete", "leave"};
    buf_clear(&r->key);
    for (unsigned i = 0; i < row->nkey; i++) value_put(&r->key, &row->key[i]);
    if (row->op != DELTA_PUT && !is_held(r, row->table))
        fail_msg("commit %lld: a %s of a row of %s that is not held", (long long)seq, OP[row->op], name_of(r, row->table));
    if (row->op == DELTA_DELETE || row->op == DELTA_LEAVE || row->op == DELTA_PUT) {
        run(r, "DELETE FROM row WHERE tbl=? AND key=?", row->table, 0, false);
        run(r, "DELETE FROM cell WHERE tbl=? AND key=?", row->table, 0, false);
    }
    if (row->op == DELTA_PUT) run(r, "INSERT INTO row VALUES(?,?)", row->table, 0, false);
    for (unsigned i = 0; i < row->ncol; i++) {
        assert_false(view_masks(r->view, row->table, row->col[i].id));
        buf_clear(&r->cell);
        value_put(&r->cell, &row->v[i]);
        run(r, "INSERT OR REPLACE INTO cell VALUES(?,?,?,?)", row->table, row->col[i].id, true);
    }
}

static void hear(replay *r, sqlite3_stmt *q) {
    static delta_reader reader;
    static delta_row row;
    buf seen;
    buf_init(&seen, 0);
    int hears = view_hears(r->view, r->sets, (uint32_t)sqlite3_column_int64(q, 1), (uint32_t)sqlite3_column_int64(q, 2));
    assert_true(hears >= 0);
    if (hears)
        assert_int_equal(view_filter(r->view, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3), &seen), SATCHEL_OK);
    if (seen.n) {
        wire w;
        int more;
        wire_open(&w, seen.p, seen.n);
        delta_open(&reader, &w);
        while ((more = delta_next(&reader, &row)) == 1) apply(r, sqlite3_column_int64(q, 0) >> 24, &row);
        assert_int_equal(more, 0);
    }
    buf_fini(&seen);
}

static bool cell_is(replay *r, uint32_t table, uint32_t column, const value *v) {
    sqlite3_stmt *q = NULL;
    buf_clear(&r->cell);
    value_put(&r->cell, v);
    assert_int_equal(sqlite3_prepare_v2(r->held, "SELECT 1 FROM cell WHERE tbl=? AND key=? AND col=? AND value=?", -1, &q, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(q, 1, table);
    sqlite3_bind_blob(q, 2, r->key.p, (int)r->key.n, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, column);
    sqlite3_bind_blob(q, 4, r->cell.p, (int)r->cell.n, SQLITE_STATIC);
    bool is = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return is;
}

static void compare_row(replay *r, const schema_table *t, sqlite3_stmt *q, unsigned *rows) {
    buf_clear(&r->key);
    for (unsigned i = 0; i < t->nkey; i++)
        for (unsigned k = 0; k < t->ncol; k++) {
            value v = value_of_column(q, (int)k + 1);
            if (t->col[k] == t->key[i]) value_put(&r->key, &v);
        }
    int holds = view_holds(r->view, r->sets, (uint32_t)sqlite3_column_int64(q, 0));
    assert_true(holds >= 0);
    if (holds != is_held(r, t->id)) {
        value id = value_of_column(q, 1);
        fail_msg("%s %.*s: the view %s it, and the device %s", t->name, id.type == VALUE_TEXT ? (int)id.n : 1,
                 id.type == VALUE_TEXT ? (const char *)id.u.p : "?", holds ? "holds" : "does not hold",
                 holds ? "does not" : "does");
    }
    *rows += (unsigned)holds;
    for (unsigned i = 0; holds && i < t->ncol; i++) {
        value v = value_of_column(q, (int)i + 1);
        if (t->col[i]->key || view_masks(r->view, t->id, t->col[i]->id)) continue;
        if (!cell_is(r, t->id, t->col[i]->id, &v)) fail_msg("%s.%s differs", t->name, t->col[i]->name);
    }
}

static unsigned compare(replay *r) {
    const schema *s = store_schema(r->v->s);
    unsigned rows = 0;
    for (unsigned i = 0; i < s->ntable; i++) {
        const schema_table *t = &s->table[i];
        sqlite3_str *sql = sqlite3_str_new(NULL);
        sqlite3_str_appendall(sql, "SELECT satchel_set");
        for (unsigned k = 0; k < t->ncol; k++) sqlite3_str_appendf(sql, ",\"%w\"", t->col[k]->name);
        sqlite3_str_appendf(sql, " FROM \"%w\"", t->name);
        char *text = sqlite3_str_finish(sql);
        sqlite3_stmt *q = NULL;
        assert_int_equal(sqlite3_prepare_v2(store_db(r->v->s), text, -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) compare_row(r, t, q, &rows);
        sqlite3_finalize(q);
        sqlite3_free(text);
    }
    return rows;
}

void scope_replay(serving *v, uint64_t view_id) {
    replay r = {.v = v};
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open(":memory:", &r.held), SQLITE_OK);
    assert_int_equal(sqlite3_exec(r.held,
                                  "CREATE TABLE row(tbl, key, PRIMARY KEY(tbl,key));"
                                  "CREATE TABLE cell(tbl, key, col, value, PRIMARY KEY(tbl,key,col));",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(view_load(&v->s->cache, view_id, &r.view), SATCHEL_OK);
    assert_int_equal(view_sets_new(store_db(v->s), &r.sets), SATCHEL_OK);
    assert_int_equal(
        sqlite3_prepare_v2(store_db(v->s), "SELECT id,bucket,besides,delta FROM satchel_log ORDER BY id", -1, &q, NULL),
        SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) hear(&r, q);
    sqlite3_finalize(q);
    unsigned rows = compare(&r);
    assert_int_equal(sqlite3_prepare_v2(r.held, "SELECT count(*) FROM row", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(q, 0), rows);
    sqlite3_finalize(q);
    view_sets_free(r.sets);
    view_release(r.view);
    sqlite3_close(r.held);
    buf_fini(&r.key);
    buf_fini(&r.cell);
}
