/* What ingest knows of each table: statements, references, allowed values. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"

int ingest_refuse(ingest *g, int rc, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES + 1];
    va_list args;
    va_start(args, format);
    int whole = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = strlen(text);
    /* Cut before a character, not within it. */
    if (whole >= (int)sizeof text)
        while (n && !value_utf8_valid((const uint8_t *)text, n)) n--;
    buf_clear(&g->bad_text);
    buf_put(&g->bad_text, text, n);
    return rc;
}

int ingest_sqlite(ingest *g, int rc) {
    /* The statement is prepared: what is at fault is an expression of the schema's, on values that it cannot take. */
    if (rc == SATCHEL_E_INTERNAL && sqlite3_errcode(g->s->db) == SQLITE_ERROR) rc = SATCHEL_E_CHECK;
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

static int make_places(table_state *ts) {
    const schema_table *t = ts->t;
    ts->move = calloc(t->ncol, sizeof *ts->move);
    ts->place = malloc((t->nall + 1) * sizeof *ts->place);
    if (!ts->move || !ts->place) return SATCHEL_E_NOMEM;
    for (unsigned id = 0; id <= t->nall; id++) ts->place[id] = -1;
    for (unsigned i = 0; i < t->ncol; i++) {
        ts->place[t->col[i]->id] = (int16_t)i;
        if (t->col[i]->key) ts->key_place[t->col[i]->key - 1] = (uint16_t)i;
    }
    return SATCHEL_OK;
}

static int place_of(const schema_table *t, const char *name) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (sqlite3_stricmp(t->col[i]->name, name) == 0) return (int)i;
    return -1;
}

/* A column may have taken one of the rowid's names; a generated one, which the descriptor does not have, may too, so the least likely comes first. */
static const char *rowid_name(const schema_table *t) {
    static const char *const NAME[] = {"_rowid_", "oid", "rowid"};
    for (unsigned i = 0; !t->without_rowid && i < sizeof NAME / sizeof NAME[0]; i++)
        if (place_of(t, NAME[i]) < 0) return NAME[i];
    return NULL;
}

static int look_for_tombstones(ingest *g, table_state *ts) {
    sqlite3_stmt *q = db_prepare(&g->s->cache, "SELECT 1 FROM satchel_tombstone WHERE tbl=? LIMIT 1");
    db_bind(q, "i", (int64_t)ts->t->id);
    int rc = db_next(&g->s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    ts->has_tombstones = rc == 1;
    return rc < 0 ? rc : SATCHEL_OK;
}

static int prepare_table(ingest *g, table_state *ts, buf *sql) {
    const schema_table *t = ts->t;
    ts->rowid = rowid_name(t);
    buf_printf(sql, "SELECT satchel_clock,satchel_set,");
    put_names(sql, t->ncol, t->col, ",", "");
    if (ts->rowid) buf_printf(sql, ",%s", ts->rowid);
    buf_printf(sql, " FROM ");
    put_name(sql, t->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, t->nkey, t->key, " AND ", "=?");
    int rc = prepare(g, sql, &ts->select);
    if (rc) return rc;
    /* OR ABORT: what the schema says of conflicts (NOT NULL ON CONFLICT ROLLBACK) is not for rows that are judged here. */
    buf_printf(sql, "INSERT OR ABORT INTO ");
    put_name(sql, t->name);
    buf_printf(sql, "(satchel_clock,satchel_set,");
    put_names(sql, t->ncol, t->col, ",", "");
    buf_printf(sql, ") VALUES(?,?");
    for (unsigned i = 0; i < t->ncol; i++) buf_printf(sql, ",?");
    buf_printf(sql, ")");
    if ((rc = prepare(g, sql, &ts->insert))) return rc;
    buf_printf(sql, "DELETE FROM ");
    put_name(sql, t->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, t->nkey, t->key, " AND ", "=?");
    if ((rc = prepare(g, sql, &ts->delete_row))) return rc;
    if ((rc = look_for_tombstones(g, ts))) return rc;
    return make_places(ts);
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
    r->to_key = r->n == r->parent->nkey;
    for (unsigned i = 0; i < r->n && r->to_key; i++) r->to_key = col[i] == r->parent->key[i];
    for (unsigned i = 0; i < r->n; i++) col[i] = r->child->col[r->from[i]];
    buf_printf(sql, "SELECT 1 FROM ");
    put_name(sql, r->child->name);
    buf_printf(sql, " WHERE ");
    put_names(sql, r->n, col, " AND ", "=?");
    return prepare(g, sql, &r->find_child);
}

static reference *add_reference(ingest *g, const schema_table *child, const schema_table *parent) {
    reference *more = realloc(g->refs, (g->nrefs + 1) * sizeof *more);
    if (!more) return NULL;
    g->refs = more;
    g->refs[g->nrefs] = (reference){.child = child, .parent = parent};
    return &g->refs[g->nrefs++];
}

/* One column of a foreign key; false if it is not ours to check, as it names a column that does not sync. */
static bool add_column(reference *r, const char *from, const char *to) {
    if (r->n == LIMIT_KEY_COLUMNS) return false;
    if (!to) to = r->n < r->parent->nkey ? r->parent->key[r->n]->name : "";
    int from_place = place_of(r->child, from), to_place = place_of(r->parent, to);
    if (from_place < 0 || to_place < 0) return false;
    r->from[r->n] = (uint16_t)from_place;
    r->to[r->n++] = (uint16_t)to_place;
    return true;
}

/* Reads one table's foreign keys; those to tables that do not sync are not ours to check. */
static int read_references(ingest *g, const schema_table *t) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(
        g->s->db, "SELECT id,seq,\"table\",\"from\",\"to\" FROM pragma_foreign_key_list(?) ORDER BY id,seq", -1, &q, NULL);
    if (sq != SQLITE_OK) return db_rc(sq);
    sqlite3_bind_text(q, 1, t->name, -1, SQLITE_STATIC);
    reference *r = NULL;
    int rc = SATCHEL_OK;
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        if (sqlite3_column_int(q, 1) == 0) {
            const schema_table *parent = live_table(g->schema, (const char *)sqlite3_column_text(q, 2));
            r = parent ? add_reference(g, t, parent) : NULL;
            if (parent && !r) rc = SATCHEL_E_NOMEM;
        }
        if (r && !add_column(r, (const char *)sqlite3_column_text(q, 3), (const char *)sqlite3_column_text(q, 4))) {
            g->nrefs--;
            r = NULL;
        }
    }
    int end = db_rc(sqlite3_finalize(q));
    return rc ? rc : end;
}

/* Each table's own references, so that writing a row does not look through all. */
static int list_references(ingest *g, table_state *ts) {
    ts->as_child = malloc((g->nrefs ? g->nrefs : 1) * sizeof *ts->as_child);
    ts->as_parent = malloc((g->nrefs ? g->nrefs : 1) * sizeof *ts->as_parent);
    if (!ts->as_child || !ts->as_parent) return SATCHEL_E_NOMEM;
    for (unsigned i = 0; i < g->nrefs; i++) {
        if (g->refs[i].child == ts->t) ts->as_child[ts->nchild++] = (uint16_t)i;
        if (g->refs[i].parent == ts->t) ts->as_parent[ts->nparent++] = (uint16_t)i;
    }
    return SATCHEL_OK;
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
        if (!rc) rc = read_references(g, &g->schema->table[i]);
    }
    for (unsigned i = 0; i < g->nrefs && !rc; i++) rc = prepare_reference(g, &g->refs[i], &sql);
    for (unsigned i = 0; i < g->schema->ntable && !rc; i++) rc = list_references(g, &g->tables[i]);
    buf_fini(&sql);
    capture_set_schema(g->capture, g->schema);
    return rc ? rc : ingest_scope_open(g);
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
        free(ts->place);
        free(ts->as_child);
        free(ts->as_parent);
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
    if (t->mode == MODE_SERVER && !g->writes_server)
        return ingest_refuse(g, SATCHEL_E_SERVER_OWNED, "only the server writes table %s", t->name);
    if (t->mode == MODE_APPEND && op != DELTA_PUT)
        return ingest_refuse(g, SATCHEL_E_APPEND_ONLY, "rows of %s are never changed or deleted", t->name);
    return SATCHEL_OK;
}

static const char *const TYPE_NAME[] = {"nothing", "INTEGER", "REAL", "TEXT", "BLOB", "NULL"};
static const char *const AFFINITY_NAME[] = {"any", "INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC"};

void ingest_as_stored(const schema_column *c, value *v) {
    if (c->affinity == AFFINITY_REAL && v->type == VALUE_INTEGER) *v = value_real((double)v->u.i);
    if (c->affinity == AFFINITY_REAL && v->type == VALUE_REAL && v->u.r == 0) *v = value_real(0); /* a zero's sign is not kept */
    if (c->affinity != AFFINITY_NUMERIC || v->type != VALUE_REAL) return;
    /* NUMERIC keeps a whole number as an integer, but for the ends of the range, where it may not be exact. */
    if (v->u.r > -9223372036854775808.0 && v->u.r < 9223372036854774784.0 && (double)(int64_t)v->u.r == v->u.r)
        *v = value_integer((int64_t)v->u.r);
}

static int check_value(ingest *g, const schema_table *t, const schema_column *c, value *v) {
    if (!schema_takes(c, v))
        return ingest_refuse(g, SATCHEL_E_TYPE, "%s.%s takes %s, not %s", t->name, c->name, AFFINITY_NAME[c->affinity],
                             TYPE_NAME[v->type]);
    if ((v->type == VALUE_BLOB || v->type == VALUE_TEXT) && v->n > LIMIT_VALUE_BYTES)
        return ingest_refuse(g, SATCHEL_E_TOO_LARGE, "%s.%s: a value of %u bytes is over the limit", t->name, c->name, v->n);
    ingest_as_stored(c, v);
    return SATCHEL_OK;
}

static int check_key(ingest *g, const schema_table *t, delta_row *row) {
    if (row->nkey != t->nkey)
        return ingest_refuse(g, SATCHEL_E_KEY_MISSING, "%s has %u key columns, not %u", t->name, t->nkey, row->nkey);
    for (unsigned i = 0; i < row->nkey; i++) {
        if (row->key[i].type == VALUE_NULL)
            return ingest_refuse(g, SATCHEL_E_KEY_MISSING, "%s.%s is NULL", t->name, t->key[i]->name);
        int rc = check_value(g, t, t->key[i], &row->key[i]);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

static int check_column(ingest *g, const schema_table *t, delta_row *row, unsigned i) {
    const schema_column *c = schema_column_by_id(t, row->col[i].id);
    if (!c || c->key) return ingest_refuse(g, SATCHEL_E_UNKNOWN_COLUMN, "%s has no column number %u", t->name, row->col[i].id);
    if (row->col[i].kind == DELTA_MOVE) ingest_as_stored(c, &row->seen[i]);
    if (row->col[i].kind == DELTA_ADD) {
        if (row->v[i].type == VALUE_INTEGER || row->v[i].type == VALUE_REAL) return SATCHEL_OK;
        return ingest_refuse(g, SATCHEL_E_TYPE, "%s.%s: a difference must be a number", t->name, c->name);
    }
    return check_value(g, t, c, &row->v[i]);
}

int ingest_put_key(ingest *g, delta_row *row) {
    const schema_table *t = schema_table_by_id(g->schema, row->table);
    buf_clear(&g->key);
    for (unsigned i = 0; i < row->nkey; i++) {
        if (t && i < t->nkey) ingest_as_stored(t->key[i], &row->key[i]);
        value_put(&g->key, &row->key[i]);
    }
    if (g->key.rc || g->key.n <= LIMIT_KEY_BYTES) return g->key.rc;
    buf_clear(&g->key);
    return ingest_refuse(g, SATCHEL_E_TOO_LARGE, "a key is over the limit of %u bytes", LIMIT_KEY_BYTES);
}

int ingest_check_row(ingest *g, delta_row *row, const schema_table **out) {
    const schema_table *t = schema_table_by_id(g->schema, row->table);
    if (row->op == DELTA_LEAVE) return SATCHEL_E_MALFORMED;
    int rc = ingest_put_key(g, row);
    if (rc) return rc;
    if (!t) return ingest_refuse(g, SATCHEL_E_UNKNOWN_TABLE, "there is no table number %u", row->table);
    if (t->until != SCHEMA_NEVER) return ingest_refuse(g, SATCHEL_E_UNKNOWN_TABLE, "table %s was dropped", t->name);
    *out = t;
    if ((rc = check_key(g, t, row)) || (rc = check_mode(g, t, row->op))) return rc;
    for (unsigned i = 0; i < row->ncol && !rc; i++) rc = check_column(g, t, row, i);
    return rc;
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
    for (int i = 0; !rc && sqlite3_step(q) == SQLITE_ROW; i++) {
        buf_printf(&sql, i ? " AND " : " WHERE ");
        put_name(&sql, (const char *)sqlite3_column_text(q, 0));
        buf_printf(&sql, " IS ?");
    }
    /* With a column less it would allow what it should not. */
    int end = db_rc(sqlite3_finalize(q));
    if (!rc) rc = end;
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

static int noted(ingest *g) {
    if (g->dangling.rc == SATCHEL_E_LIMIT)
        return ingest_refuse(g, SATCHEL_E_TOO_LARGE, "too many rows of one transaction come before those that they refer to");
    return g->dangling.rc;
}

static bool is_changed(const row_changes *changes, uint16_t place) {
    for (unsigned i = 0; i < changes->n; i++)
        if (changes->place[i] == place) return true;
    return false;
}

static bool touches(const reference *r, const uint16_t *place, const row_changes *changes) {
    if (!changes) return true;
    for (unsigned i = 0; i < r->n; i++)
        if (is_changed(changes, place[i])) return true;
    return false;
}

/* Looks one reference up, noting it if it is broken as of now. */
static int note(ingest *g, unsigned ref, bool deleting, const value *v) {
    reference *r = &g->refs[ref];
    for (unsigned i = 0; i < r->n; i++)
        if (v[i].type == VALUE_NULL) return SATCHEL_OK;
    int found = look_up(deleting ? r->find_child : r->find_parent, r->n, v);
    if (found < 0) return found;
    if (found == (deleting ? 1 : 0)) note_dangling(g, ref, deleting, v);
    return noted(g);
}

int ingest_note_child(ingest *g, const stored_row *row, const row_changes *changes) {
    for (unsigned k = 0; k < row->ts->nchild; k++) {
        const reference *r = &g->refs[row->ts->as_child[k]];
        value v[LIMIT_KEY_COLUMNS];
        if (!touches(r, r->from, changes)) continue;
        for (unsigned i = 0; i < r->n; i++) v[i] = row->v[r->from[i]];
        int rc = note(g, row->ts->as_child[k], false, v);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

int ingest_note_parent(ingest *g, const stored_row *row, const row_changes *changes) {
    for (unsigned k = 0; k < row->ts->nparent; k++) {
        const reference *r = &g->refs[row->ts->as_parent[k]];
        value v[LIMIT_KEY_COLUMNS];
        if (!touches(r, r->to, changes)) continue;
        for (unsigned i = 0; i < r->n; i++)
            v[i] = changes && is_changed(changes, r->to[i]) ? changes->was[r->to[i]] : row->v[r->to[i]];
        int rc = note(g, row->ts->as_parent[k], true, v);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

int ingest_find_refused(ingest *g, uint32_t table, const buf *key, uint64_t *number) {
    sqlite3_stmt *q = db_prepare(
        &g->s->cache, "SELECT max(number) FROM satchel_refused_row WHERE author IN (SELECT b.author FROM satchel_author a"
                      " JOIN satchel_author b USING(device) WHERE a.author=?) AND tbl=? AND key=?");
    db_bind(q, "iib", (int64_t)g->author->author, (int64_t)table, key->p, key->n);
    int rc = db_next(&g->s->cache, q);
    if (rc < 0) return rc;
    *number = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* A reference to a row that is not there: perhaps because the transaction that would have made it was refused (N6). */
static int refuse_child(ingest *g, const reference *r, const value *v) {
    buf_clear(&g->scratch);
    for (unsigned i = 0; i < r->n; i++) value_put(&g->scratch, &v[i]);
    if (r->to_key) {
        int rc = ingest_find_refused(g, r->parent->id, &g->scratch, &g->depends);
        if (rc) return rc;
    }
    if (g->depends)
        return ingest_refuse(g, SATCHEL_E_DEPENDS, "depends on transaction %llu, which was refused",
                             (unsigned long long)g->depends);
    return ingest_refuse(g, SATCHEL_E_FOREIGN_KEY, "a row of %s refers to a row of %s that does not exist", r->child->name,
                         r->parent->name);
}

int ingest_check_references(ingest *g) {
    const uint8_t *p = g->dangling.p, *end = p + g->dangling.n;
    uint64_t head;
    while (buf_get_varint(&p, end, &head)) {
        reference *r = &g->refs[head >> 1];
        bool deleting = head & 1;
        value v[LIMIT_KEY_COLUMNS];
        for (unsigned i = 0; i < r->n; i++)
            if (value_get(&p, end, &v[i])) return SATCHEL_E_INTERNAL;
        int parent = look_up(r->find_parent, r->n, v);
        /* A child that was put and deleted again in one transaction refers to nothing any more. */
        int child = parent ? 0 : look_up(r->find_child, r->n, v);
        if (parent < 0 || child < 0) return parent < 0 ? parent : child;
        if (parent || !child) continue;
        g->bad_table = r->child->id;
        buf_clear(&g->bad_key);
        if (!deleting) return refuse_child(g, r, v);
        return ingest_refuse(g, SATCHEL_E_FOREIGN_KEY, "a row of %s still refers to a row of %s that is deleted", r->child->name,
                             r->parent->name);
    }
    return SATCHEL_OK;
}
