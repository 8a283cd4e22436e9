#include "replica/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/db.h"
#include "protocol/satchel_rc.h"

void rows_init(rows *r, sqlite3 *db) {
    memset(r, 0, sizeof *r);
    r->db = db;
    for (unsigned i = 0; i < LIMIT_COLUMNS; i++) r->every[i].at = (uint16_t)i;
}

static void slot_clear(rows_slot *s) {
    sqlite3_finalize(s->stmt);
    free(s->col);
    *s = (rows_slot){0};
}

void rows_forget(rows *r) {
    for (unsigned i = 0; i < ROWS_SLOTS; i++) slot_clear(&r->slot[i]);
}

void rows_fini(rows *r) {
    rows_forget(r);
}

/* ---- statement text ---- */

static void put_key_match(sqlite3_str *sql, const schema_table *t) {
    for (unsigned i = 0; i < t->nkey; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"=?%u", i ? " AND " : " WHERE ", t->key[i]->name, i + 1);
}

static void put_assignments(sqlite3_str *sql, const schema_table *t, unsigned n, const rows_column *col) {
    for (unsigned i = 0; i < n; i++) {
        const char *name = t->col[col[i].at]->name;
        if (i) sqlite3_str_appendchar(sql, 1, ',');
        if (col[i].add)
            sqlite3_str_appendf(sql, "\"%w\"=coalesce(\"%w\",0)+?%u", name, name, t->nkey + i + 1);
        else
            sqlite3_str_appendf(sql, "\"%w\"=?%u", name, t->nkey + i + 1);
    }
}

static void put_insert(sqlite3_str *sql, const schema_table *t, unsigned n, const rows_column *col, bool upsert) {
    sqlite3_str_appendf(sql, "INSERT INTO main.\"%w\"(", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", t->key[i]->name);
    for (unsigned i = 0; i < n; i++) sqlite3_str_appendf(sql, ",\"%w\"", t->col[col[i].at]->name);
    sqlite3_str_appendall(sql, ")VALUES(");
    for (unsigned i = 0; i < t->nkey + n; i++) sqlite3_str_appendf(sql, "%s?%u", i ? "," : "", i + 1);
    sqlite3_str_appendall(sql, ")");
    if (!upsert) return;
    sqlite3_str_appendall(sql, "ON CONFLICT(");
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", t->key[i]->name);
    sqlite3_str_appendall(sql, n ? ")DO UPDATE SET " : ")DO NOTHING");
    put_assignments(sql, t, n, col);
}

static char *statement_text(rows_op op, const schema_table *t, unsigned n, const rows_column *col) {
    sqlite3_str *sql = sqlite3_str_new(NULL);
    switch (op) {
    case ROWS_READ:
        for (unsigned i = 0; i < n; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->col[col[i].at]->name);
        sqlite3_str_appendf(sql, " FROM main.\"%w\"", t->name);
        put_key_match(sql, t);
        break;
    case ROWS_INSERT:
    case ROWS_UPSERT:
        put_insert(sql, t, n, col, op == ROWS_UPSERT);
        break;
    case ROWS_UPDATE:
        sqlite3_str_appendf(sql, "UPDATE main.\"%w\" SET ", t->name);
        put_assignments(sql, t, n, col);
        put_key_match(sql, t);
        break;
    case ROWS_TOUCH:
        sqlite3_str_appendf(sql, "UPDATE main.\"%w\" SET \"%w\"=\"%w\"", t->name, t->key[0]->name, t->key[0]->name);
        put_key_match(sql, t);
        break;
    case ROWS_DELETE:
        sqlite3_str_appendf(sql, "DELETE FROM main.\"%w\"", t->name);
        put_key_match(sql, t);
        break;
    }
    return sqlite3_str_finish(sql);
}

/* ---- statements ---- */

static unsigned slot_of(rows_op op, const schema_table *t, unsigned n, const rows_column *col) {
    uint32_t h = (t->id * 8 + (uint32_t)op) * 2654435761u;
    for (unsigned i = 0; i < n; i++) h = (h ^ (col[i].at * 2u + col[i].add)) * 16777619u;
    return (h >> 16) % ROWS_SLOTS;
}

static bool same_columns(const rows_slot *s, unsigned n, const rows_column *col) {
    if (s->ncol != n) return false;
    for (unsigned i = 0; i < n; i++)
        if (s->col[i].at != col[i].at || s->col[i].add != col[i].add) return false;
    return true;
}

static int fill_slot(rows *r, rows_slot *s, rows_op op, const schema_table *t, unsigned n, const rows_column *col) {
    char *sql = statement_text(op, t, n, col);
    slot_clear(s);
    s->col = malloc((n ? n : 1) * sizeof *col);
    if (!sql || !s->col) {
        sqlite3_free(sql);
        return SATCHEL_E_NOMEM;
    }
    if (n) memcpy(s->col, col, n * sizeof *col);
    int rc = sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    sqlite3_free(sql);
    if (rc) return db_rc(sqlite3_extended_errcode(r->db));
    s->table = t->id;
    s->op = op;
    s->ncol = n;
    return SATCHEL_OK;
}

/* Slots that collide replace each other: a page has few shapes, and they come in runs. */
static int find_statement(rows *r, rows_op op, const schema_table *t, unsigned n, const rows_column *col, sqlite3_stmt **out) {
    rows_slot *s = &r->slot[slot_of(op, t, n, col)];
    int rc = SATCHEL_OK;
    if (!s->stmt || s->table != t->id || s->op != op || !same_columns(s, n, col)) rc = fill_slot(r, s, op, t, n, col);
    *out = s->stmt;
    return rc;
}

static int bind_key(sqlite3_stmt *stmt, const schema_table *t, const value *key) {
    int rc = SQLITE_OK;
    for (unsigned i = 0; i < t->nkey && !rc; i++) rc = value_bind(stmt, (int)i + 1, &key[i]);
    return rc;
}

int rows_read(rows *r, const schema_table *t, const value *key, arena *a, value *out) {
    sqlite3_stmt *stmt;
    int rc = find_statement(r, ROWS_READ, t, t->ncol, r->every, &stmt);
    if (rc) return rc;
    int step = bind_key(stmt, t, key);
    if (!step) step = sqlite3_step(stmt);
    bool whole = true;
    for (unsigned i = 0; step == SQLITE_ROW && i < t->ncol; i++) {
        value v = value_of_column(stmt, (int)i);
        whole = whole && v.type != VALUE_ABSENT; /* a text of UTF-16 had no memory */
        out[i] = arena_value(a, &v);
    }
    rc = step == SQLITE_ROW && whole ? 1 : step == SQLITE_DONE ? 0 : db_rc(sqlite3_extended_errcode(r->db));
    sqlite3_reset(stmt);
    return a->rc ? a->rc : rc;
}

int rows_write(rows *r, rows_op op, const schema_table *t, const value *key, unsigned n, const rows_column *col, const value *v,
               bool *changed) {
    sqlite3_stmt *stmt;
    if (changed) *changed = false;
    if (op == ROWS_UPDATE && n == 0) return SATCHEL_OK;
    int rc = find_statement(r, op, t, n, col, &stmt);
    if (rc) return rc;
    int step = bind_key(stmt, t, key);
    for (unsigned i = 0; i < n && !step; i++) step = value_bind(stmt, (int)(t->nkey + i) + 1, &v[i]);
    if (!step) step = sqlite3_step(stmt);
    rc = step == SQLITE_DONE ? SATCHEL_OK : db_rc(sqlite3_extended_errcode(r->db));
    sqlite3_reset(stmt);
    if (changed && !rc) *changed = sqlite3_changes(r->db) > 0;
    return rc;
}

/* ---- values and keys ---- */

value rows_normal(const schema_column *c, const value *v) {
    bool whole = c->affinity == AFFINITY_INTEGER || c->affinity == AFFINITY_NUMERIC;
    if (v->type == VALUE_INTEGER && c->affinity == AFFINITY_REAL) return value_real((double)v->u.i);
    if (v->type == VALUE_REAL && whole && fabs(v->u.r) < 9e18 && v->u.r == trunc(v->u.r)) return value_integer((int64_t)v->u.r);
    return *v;
}

void rows_key_bytes(const schema_table *t, const value *key, buf *out) {
    for (unsigned i = 0; i < t->nkey; i++) {
        value v = rows_normal(t->key[i], &key[i]);
        value_put(out, &v);
    }
}

int rows_key_values(const schema_table *t, const void *p, size_t n, value *key) {
    const uint8_t *at = p, *end = at + n;
    for (unsigned i = 0; i < t->nkey; i++) {
        int rc = value_get(&at, end, &key[i]);
        if (rc) return rc;
    }
    return at == end ? SATCHEL_OK : SATCHEL_E_CORRUPT;
}

static void put_value_text(const value *v, buf *out) {
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(out, "%lld", (long long)v->u.i);
        break;
    case VALUE_REAL:
        buf_printf(out, "%.17g", v->u.r);
        break;
    case VALUE_TEXT:
        buf_put(out, v->u.p, v->n);
        break;
    case VALUE_BLOB:
        for (uint32_t i = 0; i < v->n; i++) buf_printf(out, "%02x", v->u.p[i]);
        break;
    default:
        buf_put(out, "NULL", 4);
    }
}

void rows_key_text(const void *p, size_t n, buf *out) {
    const uint8_t *at = p, *end = at + n;
    bool first = true;
    value v;
    while (at < end && value_get(&at, end, &v) == SATCHEL_OK) {
        if (!first) buf_put(out, ", ", 2);
        put_value_text(&v, out);
        first = false;
    }
}

int rows_column_index(const schema_table *t, uint32_t id) {
    unsigned low = 0, high = t->ncol;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (t->col[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->ncol && t->col[low]->id == id ? (int)low : -1;
}
