#include "server/export.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/db.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema.h"
#include "server/field.h"
#include "server/record.h"

typedef struct exporter {
    sqlite3 *db; /* its open read transaction pins the seq */
    schema *schema;
    const export_sink *sink;
    const schema_table **order; /* parents first */
    unsigned ntables;
    json_t *where;
    sqlite3_stmt *q;
    buf line;
    uint64_t rows;
    buf *error;
} exporter;

static int tell(exporter *e) {
    if (e->line.rc) return e->line.rc;
    return e->sink->line(e->sink->ctx, &e->line) ? SATCHEL_OK : SATCHEL_E_CLOSED;
}

static void put_name(buf *line, const char *name) {
    record_put_text(line, name, strlen(name));
}

/* ---- which tables, in which order ---- */

/* Whether a table that `t` refers to is not among the first `n`. */
static int waits(exporter *e, const schema_table *t, unsigned n, bool *out) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(e->db, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?)", -1, &q, NULL);
    if (sq != SQLITE_OK) return db_rc(sq);
    sqlite3_bind_text(q, 1, t->name, -1, SQLITE_STATIC);
    *out = false;
    while (sqlite3_step(q) == SQLITE_ROW) {
        const schema_table *parent = schema_table_by_name(e->schema, (const char *)sqlite3_column_text(q, 0));
        bool placed = !parent || parent == t;
        for (unsigned i = 0; i < n && !placed; i++) placed = e->order[i] == parent;
        if (!placed) *out = true;
    }
    return db_rc(sqlite3_finalize(q));
}

/* The next table that waits for none; in a ring of references the first that is left. */
static int next_table(exporter *e, bool *placed) {
    unsigned first = UINT32_MAX;
    for (unsigned i = 0; i < e->schema->ntable; i++) {
        const schema_table *t = &e->schema->table[i];
        bool waiting = false;
        if (placed[i] || t->until != SCHEMA_NEVER) continue;
        int rc = waits(e, t, e->ntables, &waiting);
        if (rc) return rc;
        if (first == UINT32_MAX) first = i;
        if (waiting) continue;
        first = i;
        break;
    }
    if (first == UINT32_MAX) return 0;
    placed[first] = true;
    e->order[e->ntables++] = &e->schema->table[first];
    return 1;
}

static int order_tables(exporter *e) {
    bool *placed = calloc(e->schema->ntable + 1, sizeof *placed);
    int more = placed ? 1 : SATCHEL_E_NOMEM;
    while (more == 1) more = next_table(e, placed);
    free(placed);
    return more;
}

static int choose_tables(exporter *e, const json_t *request) {
    const char *name = json_string_value(json_object_get(request, "table"));
    e->order = calloc(e->schema->ntable + 1, sizeof(schema_table *));
    if (!e->order) return SATCHEL_E_NOMEM;
    if (!name && json_object_size(e->where)) {
        buf_printf(e->error, "a condition needs a table");
        return SATCHEL_E_MISUSE;
    }
    if (!name) return order_tables(e);
    e->order[0] = schema_table_by_name(e->schema, name);
    if (e->order[0]) {
        e->ntables = 1;
        return SATCHEL_OK;
    }
    buf_printf(e->error, "there is no synced table %s", name);
    return SATCHEL_E_UNKNOWN_TABLE;
}

/* ---- one table ---- */

static const schema_column *find_column(const schema_table *t, const char *name) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (!sqlite3_stricmp(t->col[i]->name, name)) return t->col[i];
    return NULL;
}

static int bind_condition(exporter *e, const schema_column *c, const json_t *v, int at) {
    buf hold = {0};
    value out = value_null();
    const char *words = "";
    int rc = SATCHEL_OK;
    if (json_is_string(v)) rc = field_of_text(c, json_string_value(v), json_string_length(v), &hold, &out, &words);
    if (rc == SATCHEL_E_TYPE) buf_printf(e->error, "%s: %s", c->name, words);
    if (!rc) rc = db_rc(value_bind_copy(e->q, at, &out));
    buf_fini(&hold);
    return rc;
}

static int bind_conditions(exporter *e, const schema_table *t) {
    const char *name;
    json_t *v;
    int at = 1;
    json_object_foreach(e->where, name, v) {
        int rc = bind_condition(e, find_column(t, name), v, at++);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

static int prepare_table(exporter *e, const schema_table *t) {
    sqlite3_str *sql = sqlite3_str_new(e->db);
    const char *name, *unknown = NULL;
    json_t *v;
    bool first = true;
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", t->name);
    json_object_foreach(e->where, name, v) {
        if (!find_column(t, name)) unknown = name;
        sqlite3_str_appendf(sql, "%s\"%w\" IS ?", first ? " WHERE " : " AND ", name);
        first = false;
    }
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : " ORDER BY ", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    int rc = unknown ? SATCHEL_E_UNKNOWN_COLUMN
             : text  ? db_rc(sqlite3_prepare_v2(e->db, text, -1, &e->q, NULL))
                     : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    if (unknown) buf_printf(e->error, "%s has no column %s", t->name, unknown);
    return rc ? rc : bind_conditions(e, t);
}

static int tell_table(exporter *e, const schema_table *t) {
    static const char *const TYPE[] = {"", "INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC"};
    buf_clear(&e->line);
    buf_printf(&e->line, "{\"table\":");
    put_name(&e->line, t->name);
    for (unsigned i = 0; i < t->ncol; i++) {
        buf_printf(&e->line, i ? ",{\"name\":" : ",\"columns\":[{\"name\":");
        put_name(&e->line, t->col[i]->name);
        buf_printf(&e->line, ",\"type\":\"%s\"}", TYPE[t->col[i]->affinity]);
    }
    buf_printf(&e->line, "]}");
    return tell(e);
}

/* The next line of rows; *more: there are others behind it. */
static int put_page(exporter *e, const schema_table *t, bool *more) {
    int step = SQLITE_ROW;
    uint64_t before = e->rows;
    buf_clear(&e->line);
    buf_printf(&e->line, "{\"rows\":[");
    while (e->line.n < LIMIT_PAGE_BYTES && (step = sqlite3_step(e->q)) == SQLITE_ROW) {
        buf_printf(&e->line, e->rows++ > before ? ",[" : "[");
        for (unsigned i = 0; i < t->ncol; i++) {
            value v = value_of_column(e->q, (int)i);
            if (i) buf_put_byte(&e->line, ',');
            record_put_value(&e->line, &v);
        }
        buf_put_byte(&e->line, ']');
    }
    buf_printf(&e->line, "]}");
    *more = step == SQLITE_ROW;
    if (step != SQLITE_ROW && step != SQLITE_DONE) return db_rc(step);
    return e->rows > before ? tell(e) : SATCHEL_OK;
}

static int export_table(exporter *e, const schema_table *t) {
    bool more = true;
    int rc = prepare_table(e, t);
    if (!rc) rc = tell_table(e, t);
    while (!rc && more) rc = put_page(e, t, &more);
    sqlite3_finalize(e->q);
    e->q = NULL;
    return rc;
}

/* ---- all of it ---- */

static int open_store(exporter *e, const char *path) {
    int sq = sqlite3_open_v2(path, &e->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    /* The first read begins the snapshot, of which schema_load is to be a part. */
    if (sq == SQLITE_OK)
        sq = sqlite3_exec(e->db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000; BEGIN; SELECT seq FROM satchel_server", NULL,
                          NULL, NULL);
    if (sq == SQLITE_OK) return schema_load(e->db, &e->schema, e->error);
    db_explain(e->db, path, e->error);
    return db_rc(sq);
}

static int tell_head(exporter *e) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(e->db, "SELECT seq FROM satchel_server", -1, &q, NULL);
    if (sq != SQLITE_OK || sqlite3_step(q) != SQLITE_ROW) {
        sqlite3_finalize(q);
        return sq == SQLITE_OK ? SATCHEL_E_CORRUPT : db_rc(sq);
    }
    buf_printf(&e->line, "{\"export\":{\"seq\":%lld,\"tables\":[", (long long)sqlite3_column_int64(q, 0));
    sqlite3_finalize(q);
    for (unsigned i = 0; i < e->ntables; i++) {
        if (i) buf_put_byte(&e->line, ',');
        put_name(&e->line, e->order[i]->name);
    }
    buf_printf(&e->line, "]}}");
    return tell(e);
}

int export_rows(const char *store_path, const json_t *request, const export_sink *sink, uint64_t *rows, buf *error) {
    exporter e = {.sink = sink, .error = error, .where = json_object_get(request, "where")};
    int rc = open_store(&e, store_path);
    if (!rc) rc = choose_tables(&e, request);
    if (!rc) rc = tell_head(&e);
    for (unsigned i = 0; i < e.ntables && !rc; i++) rc = export_table(&e, e.order[i]);
    *rows = e.rows;
    if (rc && rc != SATCHEL_E_CLOSED && !error->n) db_explain(e.db, "exporting", error);
    buf_fini(&e.line);
    free(e.order);
    schema_free(e.schema);
    sqlite3_close(e.db);
    return rc;
}
