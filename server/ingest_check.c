/* What ingest knows of each table: statements, references, allowed values. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"

int ingest_refuse(ingest *g, int rc, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_clear(&g->bad_text);
    buf_put(&g->bad_text, text, strlen(text));
    return rc;
}

int ingest_sqlite(ingest *g, int rc) {
    if (satchel_rc_class(rc) != SATCHEL_CLASS_REFUSED) return rc;
    return ingest_refuse(g, rc, "%s", sqlite3_errmsg(g->s->db));
}

table_state *ingest_table(ingest *g, const schema_table *t) {
    return &g->tables[t - g->schema->table];
}

/* ---- statements ---- */

static void put_name(buf *sql, const char *name) {
    buf_put_byte(sql, '"');
    for (; *name; name++) {
        if (*name == '"') buf_put_byte(sql, '"');
        buf_put_byte(sql, (uint8_t)*name);
    }
    buf_put_byte(sql, '"');
}

static void put_names(buf *sql, unsigned n, schema_column *const *col, const char *before, const char *after) {
    for (unsigned i = 0; i < n; i++) {
        if (i) buf_printf(sql, "%s", before);
        put_name(sql, col[i]->name);
        buf_printf(sql, "%s", after);
    }
}

static int prepare(ingest *g, buf *sql, sqlite3_stmt **out) {
    buf_put_byte(sql, 0);
    if (sql->rc) return sql->rc;
    int sq = sqlite3_prepare_v3(g->s->db, (const char *)sql->p, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    buf_clear(sql);
    return db_rc(sq);
}

static int prepare_table(ingest *g, table_state *ts, buf *sql) {
    const schema_table *t = ts->t;
    buf_printf(sql, "SELECT satchel_clock,");
    put_names(sql, t->ncol, t->col, ",", "");
    buf_printf(sql, " FROM ");
    put_name(sql, t->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, t->nkey, t->key, " AND ", "=?");
    int rc = prepare(g, sql, &ts->select);
    if (rc) return rc;
    buf_printf(sql, "INSERT INTO ");
    put_name(sql, t->name);
    buf_printf(sql, "(satchel_clock,");
    put_names(sql, t->ncol, t->col, ",", "");
    buf_printf(sql, ") VALUES(?");
    for (unsigned i = 0; i < t->ncol; i++) buf_printf(sql, ",?");
    buf_printf(sql, ")");
    if ((rc = prepare(g, sql, &ts->insert))) return rc;
    buf_printf(sql, "DELETE FROM ");
    put_name(sql, t->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, t->nkey, t->key, " AND ", "=?");
    if ((rc = prepare(g, sql, &ts->delete_row))) return rc;
    ts->move = calloc(t->ncol, sizeof *ts->move);
    return ts->move ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static int place_of(const schema_table *t, const char *name) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (sqlite3_stricmp(t->col[i]->name, name) == 0) return (int)i;
    return -1;
}

static const schema_table *live_table(const schema *s, const char *name) {
    for (unsigned i = 0; i < s->ntable; i++)
        if (s->table[i].until == SCHEMA_NEVER && sqlite3_stricmp(s->table[i].name, name) == 0) return &s->table[i];
    return NULL;
}

static int prepare_reference(ingest *g, reference *r, buf *sql) {
    schema_column *col[LIMIT_KEY_COLUMNS];
    for (unsigned i = 0; i < r->n; i++) col[i] = r->parent->col[r->to[i]];
    buf_printf(sql, "SELECT 1 FROM ");
    put_name(sql, r->parent->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, r->n, col, " AND ", "=?");
    int rc = prepare(g, sql, &r->find_parent);
    if (rc) return rc;
    for (unsigned i = 0; i < r->n; i++) col[i] = r->child->col[r->from[i]];
    buf_printf(sql, "SELECT 1 FROM ");
    put_name(sql, r->child->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, r->n, col, " AND ", "=?");
    return prepare(g, sql, &r->find_child);
}

/* Reads one table's foreign keys; those to tables that do not sync are not ours to check. */
static int read_references(ingest *g, const schema_table *t, buf *sql) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(g->s->db, "SELECT id,seq,\"table\",\"from\",\"to\" FROM pragma_foreign_key_list(?) ORDER BY id,seq", -1, &q, NULL);
    if (sq != SQLITE_OK) return db_rc(sq);
    sqlite3_bind_text(q, 1, t->name, -1, SQLITE_STATIC);
    reference *r = NULL;
    bool usable = false;
    while (sqlite3_step(q) == SQLITE_ROW) {
        if (sqlite3_column_int(q, 1) == 0) {
            const schema_table *parent = live_table(g->schema, (const char *)sqlite3_column_text(q, 2));
            usable = parent != NULL;
            if (!usable) continue;
            reference *more = realloc(g->refs, (g->nrefs + 1) * sizeof *more);
            if (!more) break;
            g->refs = more;
            r = &g->refs[g->nrefs++];
            *r = (reference){.child = t, .parent = parent};
        }
        if (!usable || !r || r->n == LIMIT_KEY_COLUMNS) continue;
        const char *to = (const char *)sqlite3_column_text(q, 4);
        int from_place = place_of(t, (const char *)sqlite3_column_text(q, 3));
        int to_place = place_of(r->parent, to ? to : r->n < r->parent->nkey ? r->parent->key[r->n]->name : "");
        if (from_place < 0 || to_place < 0) {
            g->nrefs--;
            usable = false;
            continue;
        }
        r->from[r->n] = (uint16_t)from_place;
        r->to[r->n++] = (uint16_t)to_place;
    }
    int rc = db_rc(sqlite3_finalize(q));
    buf_clear(sql);
    return rc;
}

int ingest_prepare(ingest *g) {
    ingest_unprepare(g);
    g->schema = store_schema(g->s);
    g->tables = calloc(g->schema->ntable ? g->schema->ntable : 1, sizeof *g->tables);
    if (!g->tables) return SATCHEL_E_NOMEM;
    buf sql;
    buf_init(&sql, 0);
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < g->schema->ntable && !rc; i++) {
        g->tables[i].t = &g->schema->table[i];
        if (g->schema->table[i].until != SCHEMA_NEVER) continue;
        rc = prepare_table(g, &g->tables[i], &sql);
        if (!rc) rc = read_references(g, &g->schema->table[i], &sql);
    }
    for (unsigned i = 0; i < g->nrefs && !rc; i++) rc = prepare_reference(g, &g->refs[i], &sql);
    buf_fini(&sql);
    capture_set_schema(g->capture, g->schema);
    return rc;
}

void ingest_unprepare(ingest *g) {
    for (unsigned i = 0; g->tables && i < g->schema->ntable; i++) {
        table_state *ts = &g->tables[i];
        sqlite3_finalize(ts->select);
        sqlite3_finalize(ts->insert);
        sqlite3_finalize(ts->delete_row);
        for (unsigned k = 0; k < UPDATE_SHAPES; k++) sqlite3_finalize(ts->update[k].stmt);
        for (unsigned k = 0; ts->move && k < ts->t->ncol; k++) sqlite3_finalize(ts->move[k]);
        free(ts->move);
    }
    for (unsigned i = 0; i < g->nrefs; i++) {
        sqlite3_finalize(g->refs[i].find_parent);
        sqlite3_finalize(g->refs[i].find_child);
    }
    free(g->tables);
    free(g->refs);
    g->tables = NULL;
    g->refs = NULL;
    g->nrefs = 0;
}

/* ---- one row's form ---- */

static int check_mode(ingest *g, const schema_table *t, delta_op op) {
    if (g->from_server) return SATCHEL_OK;
    if (t->mode == MODE_SERVER) return ingest_refuse(g, SATCHEL_E_SERVER_OWNED, "only the server writes table %s", t->name);
    if (t->mode == MODE_APPEND && op != DELTA_PUT)
        return ingest_refuse(g, SATCHEL_E_APPEND_ONLY, "rows of %s are never changed or deleted", t->name);
    return SATCHEL_OK;
}

static const char *const TYPE_NAME[] = {"nothing", "INTEGER", "REAL", "TEXT", "BLOB", "NULL"};
static const char *const AFFINITY_NAME[] = {"any", "INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC"};

static int check_value(ingest *g, const schema_table *t, const schema_column *c, value *v) {
    if (!schema_takes(c, v))
        return ingest_refuse(g, SATCHEL_E_TYPE, "%s.%s takes %s, not %s", t->name, c->name, AFFINITY_NAME[c->affinity], TYPE_NAME[v->type]);
    if (c->affinity == AFFINITY_REAL && v->type == VALUE_INTEGER) *v = value_real((double)v->u.i);
    return SATCHEL_OK;
}

static int check_key(ingest *g, const schema_table *t, delta_row *row) {
    if (row->nkey != t->nkey) return ingest_refuse(g, SATCHEL_E_KEY_MISSING, "%s has %u key columns, not %u", t->name, t->nkey, row->nkey);
    for (unsigned i = 0; i < row->nkey; i++) {
        if (row->key[i].type == VALUE_NULL) return ingest_refuse(g, SATCHEL_E_KEY_MISSING, "%s.%s is NULL", t->name, t->key[i]->name);
        int rc = check_value(g, t, t->key[i], &row->key[i]);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

static int check_column(ingest *g, const schema_table *t, delta_row *row, unsigned i) {
    const schema_column *c = schema_column_by_id(t, row->col[i].id);
    if (!c || c->key) return ingest_refuse(g, SATCHEL_E_UNKNOWN_COLUMN, "%s has no column number %u", t->name, row->col[i].id);
    if (row->v[i].type == VALUE_BLOB || row->v[i].type == VALUE_TEXT)
        if (row->v[i].n > LIMIT_VALUE_BYTES) return ingest_refuse(g, SATCHEL_E_TOO_LARGE, "%s.%s is over the limit", t->name, c->name);
    if (row->col[i].kind == DELTA_ADD) {
        if (row->v[i].type == VALUE_INTEGER || row->v[i].type == VALUE_REAL) return SATCHEL_OK;
        return ingest_refuse(g, SATCHEL_E_TYPE, "%s.%s: a difference must be a number", t->name, c->name);
    }
    return check_value(g, t, c, &row->v[i]);
}

int ingest_check_row(ingest *g, delta_row *row, const schema_table **out) {
    const schema_table *t = schema_table_by_id(g->schema, row->table);
    if (!t) return ingest_refuse(g, SATCHEL_E_UNKNOWN_TABLE, "there is no table number %u", row->table);
    if (t->until != SCHEMA_NEVER) return ingest_refuse(g, SATCHEL_E_UNKNOWN_TABLE, "table %s was dropped", t->name);
    *out = t;
    int rc = check_key(g, t, row);
    buf_clear(&g->key);
    for (unsigned i = 0; i < row->nkey; i++) value_put(&g->key, &row->key[i]);
    if (!rc) rc = check_mode(g, t, row->op);
    if (!rc && row->op == DELTA_LEAVE) rc = SATCHEL_E_MALFORMED;
    for (unsigned i = 0; i < row->ncol && !rc; i++) rc = check_column(g, t, row, i);
    return rc ? rc : g->key.rc;
}

/* ---- guards and references ---- */

static int prepare_move(ingest *g, table_state *ts, unsigned column) {
    const char *moves = ts->t->col[column]->arg;
    buf sql;
    buf_init(&sql, 0);
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(g->s->db, "SELECT name FROM pragma_table_info(?) WHERE cid<2 ORDER BY cid", -1, &q, NULL));
    sqlite3_bind_text(q, 1, moves, -1, SQLITE_STATIC);
    buf_printf(&sql, "SELECT 1 FROM ");
    put_name(&sql, moves);
    for (int i = 0; !rc && i < 2 && sqlite3_step(q) == SQLITE_ROW; i++) {
        buf_printf(&sql, i ? " AND " : " WHERE ");
        put_name(&sql, (const char *)sqlite3_column_text(q, 0));
        buf_printf(&sql, " IS ?");
    }
    sqlite3_finalize(q);
    if (!rc) rc = prepare(g, &sql, &ts->move[column]);
    buf_fini(&sql);
    return rc;
}

int ingest_move_allowed(ingest *g, table_state *ts, unsigned column, const value *from, const value *to) {
    if (!ts->move[column]) {
        int rc = prepare_move(g, ts, column);
        if (rc) return rc;
    }
    sqlite3_stmt *q = ts->move[column];
    value_bind(q, 1, from);
    value_bind(q, 2, to);
    int step = sqlite3_step(q);
    sqlite3_reset(q);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : db_rc(step);
}

/* 1 if the reference's other end (deleting: a child) exists for these values. */
static int look_up(sqlite3_stmt *q, unsigned n, const value *v) {
    for (unsigned i = 0; i < n; i++) value_bind(q, (int)i + 1, &v[i]);
    int step = sqlite3_step(q);
    sqlite3_reset(q);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : db_rc(step);
}

static void note_dangling(ingest *g, unsigned ref, bool deleting, const value *v) {
    buf_put_varint(&g->dangling, ref << 1 | (deleting ? 1u : 0u));
    for (unsigned i = 0; i < g->refs[ref].n; i++) value_put(&g->dangling, &v[i]);
}

int ingest_note_references(ingest *g, const stored_row *row, bool deleting) {
    for (unsigned k = 0; k < g->nrefs; k++) {
        reference *r = &g->refs[k];
        if ((deleting ? r->parent : r->child) != row->ts->t) continue;
        value v[LIMIT_KEY_COLUMNS];
        bool any_null = false;
        for (unsigned i = 0; i < r->n; i++) {
            v[i] = row->v[deleting ? r->to[i] : r->from[i]];
            if (v[i].type == VALUE_NULL) any_null = true;
        }
        if (any_null) continue;
        int found = look_up(deleting ? r->find_child : r->find_parent, r->n, v);
        if (found < 0) return found;
        if (found == (deleting ? 1 : 0)) note_dangling(g, k, deleting, v);
    }
    return g->dangling.rc;
}

int ingest_check_references(ingest *g) {
    const uint8_t *p = g->dangling.p, *end = p + g->dangling.n;
    uint64_t head;
    while (p && p < end && buf_get_varint(&p, end, &head)) {
        reference *r = &g->refs[head >> 1];
        bool deleting = head & 1;
        value v[LIMIT_KEY_COLUMNS];
        for (unsigned i = 0; i < r->n; i++)
            if (value_get(&p, end, &v[i])) return SATCHEL_E_INTERNAL;
        int parent = look_up(r->find_parent, r->n, v);
        int child = deleting ? look_up(r->find_child, r->n, v) : 1;
        if (parent < 0 || child < 0) return parent < 0 ? parent : child;
        if (parent || !child) continue;
        g->bad_table = r->child->id;
        buf_clear(&g->bad_key);
        return ingest_refuse(g, SATCHEL_E_FOREIGN_KEY, deleting ? "a row of %s still refers to a row of %s that is deleted"
                                                                 : "a row of %s refers to a row of %s that does not exist",
                             r->child->name, r->parent->name);
    }
    return SATCHEL_OK;
}
