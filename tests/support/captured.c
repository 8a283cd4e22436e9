#include "tests/support/captured.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/changeset.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"

/* ---- SQL ---- */

void exec(sqlite3 *db, const char *sql) {
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error)) fail_msg("%s: %s", sql, error);
}

void exec_fails(sqlite3 *db, const char *sql, int code) {
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if ((rc & 0xff) != code) fail_msg("%s: %d (%s), not %d", sql, rc, sqlite3_errmsg(db), code);
}

int64_t query(sqlite3 *db, const char *sql) {
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int64_t result = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : INT64_MIN;
    sqlite3_finalize(stmt);
    return result;
}

/* ---- the descriptor ---- */

static affinity affinity_of(const char *type) {
    static const struct {
        const char *like;
        affinity is;
    } rules[] = {{"%INT%", AFFINITY_INTEGER}, {"%CHAR%", AFFINITY_TEXT}, {"%CLOB%", AFFINITY_TEXT}, {"%TEXT%", AFFINITY_TEXT},
                 {"%BLOB%", AFFINITY_BLOB},   {"%REAL%", AFFINITY_REAL}, {"%FLOA%", AFFINITY_REAL}, {"%DOUB%", AFFINITY_REAL}};
    if (!*type) return AFFINITY_ANY;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (sqlite3_strlike(rules[i].like, type, 0) == 0) return rules[i].is;
    return AFFINITY_NUMERIC;
}

static void set_rule(schema_table *t, schema_column *c) {
    c->unit = c->id;
    if (c->name[0] != 'g' || c->name[1] < '1' || c->name[1] > '9' || c->name[2] != '_') return;
    c->rule = RULE_GROUP;
    for (unsigned i = 0; i < t->ncol; i++) {
        if (strncmp(t->all[i].name, c->name, 3) != 0) continue;
        c->unit = t->all[i].id;
        return;
    }
}

static void read_columns(sqlite3 *db, schema_table *t) {
    char *sql = sqlite3_mprintf(
        "SELECT name, type, pk, \"notnull\" FROM pragma_table_xinfo(%Q) WHERE hidden = 0 AND name NOT IN ('satchel_clock', 'satchel_set')",
        t->name);
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    sqlite3_free(sql);
    t->all = calloc(LIMIT_COLUMNS, sizeof *t->all);
    t->col = calloc(LIMIT_COLUMNS, sizeof *t->col);
    t->key = calloc(LIMIT_KEY_COLUMNS, sizeof *t->key);
    assert_true(t->all && t->col && t->key);
    for (; sqlite3_step(stmt) == SQLITE_ROW; t->ncol++) {
        schema_column *c = &t->all[t->ncol];
        *c = (schema_column){.id = t->ncol + 1, .since = 1, .until = SCHEMA_NEVER, .default_value = value_null()};
        c->name = strdup((const char *)sqlite3_column_text(stmt, 0));
        c->affinity = affinity_of((const char *)sqlite3_column_text(stmt, 1));
        c->key = (unsigned)sqlite3_column_int(stmt, 2);
        c->not_null = sqlite3_column_int(stmt, 3);
        set_rule(t, c);
        t->col[t->ncol] = c;
        if (c->key) t->key[c->key - 1] = c, t->nkey++;
    }
    t->nall = t->ncol;
    sqlite3_finalize(stmt);
}

static bool is_without_rowid(sqlite3 *db, const char *table) {
    char *sql = sqlite3_mprintf("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = %Q", table);
    bool yes = query(db, sql) == 1;
    sqlite3_free(sql);
    return yes;
}

schema *captured_schema(sqlite3 *db, const char *const *tables) {
    schema *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->epoch = 1;
    while (tables[s->ntable]) s->ntable++;
    s->table = calloc(s->ntable + 1, sizeof *s->table);
    assert_non_null(s->table);
    for (unsigned i = 0; i < s->ntable; i++) {
        schema_table *t = &s->table[i];
        *t = (schema_table){.id = i + 1, .name = strdup(tables[i]), .since = 1, .until = SCHEMA_NEVER};
        t->without_rowid = is_without_rowid(db, tables[i]);
        read_columns(db, t);
    }
    return s;
}

void captured_schema_free(schema *s) {
    for (unsigned i = 0; i < s->ntable; i++) {
        schema_table *t = &s->table[i];
        for (unsigned k = 0; k < t->nall; k++) free(t->all[k].name);
        free(t->all);
        free(t->col);
        free(t->key);
        free(t->name);
    }
    free(s->table);
    free(s);
}

/* ---- the sink ---- */

static int step(sqlite3_stmt *stmt) {
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) return SATCHEL_OK;
    return db_rc(sqlite3_reset(stmt));
}

static int sink_open(void *ctx) {
    captured *c = ctx;
    return c->on_open ? c->on_open(c) : SATCHEL_OK;
}

static int sink_begin(void *ctx, bool again) {
    captured *c = ctx;
    c->begun++;
    if (c->refuse_begin) return c->refuse_begin;
    if (again) {
        c->begun_again++;
        sqlite3_bind_int64(c->remove, 1, c->number);
        return step(c->remove);
    }
    int rc = step(c->next);
    c->number = sqlite3_column_int64(c->next, 0);
    sqlite3_reset(c->next);
    return rc;
}

static int sink_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    captured *c = ctx;
    c->parts++;
    if (c->refuse) return c->refuse;
    sqlite3_bind_int64(c->insert, 1, c->number);
    sqlite3_bind_int64(c->insert, 2, number);
    sqlite3_bind_int(c->insert, 3, last);
    sqlite3_bind_blob(c->insert, 4, changeset, (int)n, SQLITE_STATIC);
    return step(c->insert);
}

static void sink_end(void *ctx, bool committed) {
    captured *c = ctx;
    if (committed)
        c->committed++;
    else
        c->rolled_back++;
}

capture_sink captured_sink(captured *c) {
    return (capture_sink){.ctx = c, .open = sink_open, .begin = sink_begin, .part = sink_part, .end = sink_end};
}

static void prepare(captured *c, const char *sql, sqlite3_stmt **out) {
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(c->db));
}

void captured_refresh(captured *c, const char *const *tables) {
    if (c->schema) {
        capture_set_schema(c->capture, NULL);
        captured_schema_free(c->schema);
    }
    c->schema = captured_schema(c->db, tables);
    buf error = {0};
    if (capture_install(c->db, c->schema, &error)) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    buf_fini(&error);
    capture_set_schema(c->capture, c->schema);
}

void captured_open(captured *c, const char *path, const char *sql, const char *const *tables) {
    *c = (captured){0};
    assert_int_equal(sqlite3_open(path, &c->db), SQLITE_OK);
    if (sql) {
        assert_int_equal(capture_functions(c->db, true), SATCHEL_OK);
        exec(c->db, sql);
        exec(c->db, "CREATE TABLE outbox(id INTEGER PRIMARY KEY, n, part, last, changes)");
    }
    capture_sink sink = captured_sink(c);
    assert_int_equal(capture_open(c->db, &sink, &c->capture), SATCHEL_OK);
    prepare(c, "INSERT INTO outbox(n, part, last, changes) VALUES(?1, ?2, ?3, ?4)", &c->insert);
    prepare(c, "DELETE FROM outbox WHERE n = ?1", &c->remove);
    prepare(c, "SELECT coalesce((SELECT n FROM outbox ORDER BY id DESC LIMIT 1), 0) + 1", &c->next);
    captured_refresh(c, tables);
}

void captured_close(captured *c) {
    sqlite3_finalize(c->insert);
    sqlite3_finalize(c->remove);
    sqlite3_finalize(c->next);
    capture_close(c->capture);
    assert_int_equal(sqlite3_close(c->db), SQLITE_OK);
    captured_schema_free(c->schema);
    *c = (captured){0};
}

/* ---- the outbox in words ---- */

static buf words;

static void put_value_words(const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(&words, "%lld", (long long)v->u.i);
        break;
    case VALUE_REAL:
        buf_printf(&words, "%#g", v->u.r);
        break;
    case VALUE_TEXT:
        buf_printf(&words, "'%.*s'", (int)v->n, (const char *)v->u.p);
        break;
    case VALUE_BLOB:
        if (v->n > 64) {
            buf_printf(&words, "[%u bytes]", v->n);
            break;
        }
        buf_printf(&words, "x'");
        for (uint32_t i = 0; i < v->n; i++) buf_printf(&words, "%02x", v->u.p[i]);
        buf_printf(&words, "'");
        break;
    default:
        buf_printf(&words, v->type == VALUE_NULL ? "NULL" : "-");
    }
}

static void put_update_words(const changeset_change *x) {
    const char *between = "";
    for (unsigned i = 0; i < x->ncol; i++) {
        if (!x->pk[i]) continue;
        buf_printf(&words, "%s", between);
        put_value_words(&x->old[i]);
        between = ",";
    }
    buf_printf(&words, ")");
    for (unsigned i = 0; i < x->ncol; i++) {
        if (x->new[i].type == VALUE_ABSENT) continue;
        buf_printf(&words, " %u:", i);
        put_value_words(&x->old[i]);
        buf_printf(&words, ">");
        put_value_words(&x->new[i]);
    }
}

static void put_change_words(const changeset_change *x) {
    const char *op = x->op == SQLITE_INSERT ? "I" : x->op == SQLITE_DELETE ? "D" : x->insert ? "P" : "U";
    buf_printf(&words, "%s%s %s(", words.n ? " " : "", op, x->table);
    if (x->op == SQLITE_UPDATE) {
        put_update_words(x);
        return;
    }
    for (unsigned i = 0; i < x->ncol; i++) {
        if (i) buf_printf(&words, ",");
        put_value_words(x->op == SQLITE_INSERT ? &x->new[i] : &x->old[i]);
    }
    buf_printf(&words, ")");
}

const char *outbox_text(captured *c, int64_t n) {
    static changeset_change x;
    sqlite3_stmt *stmt;
    prepare(c, "SELECT changes FROM outbox WHERE n = ?1 ORDER BY part", &stmt);
    sqlite3_bind_int64(stmt, 1, n);
    buf_clear(&words);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        changeset_reader r;
        changeset_open(&r, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        int rc;
        while ((rc = changeset_next(&r, &x)) == 1) put_change_words(&x);
        assert_int_equal(rc, 0);
    }
    sqlite3_finalize(stmt);
    buf_put_byte(&words, 0);
    assert_int_equal(words.rc, SATCHEL_OK);
    return (const char *)words.p;
}

int64_t outbox_count(captured *c) {
    return query(c->db, "SELECT count(DISTINCT n) FROM outbox");
}

const char *outbox_last(captured *c) {
    return outbox_text(c, query(c->db, "SELECT coalesce(max(n), 0) FROM outbox"));
}
