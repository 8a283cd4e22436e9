/* Tables and rows, as of one seq a page. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/field.h"
#include "server/scope_private.h"

static void put_member(buf *out, const char *name, const char *text) {
    buf_printf(out, ",\"%s\":", name);
    record_put_text(out, text, strlen(text));
}

static void put_position(buf *out, const api_position *at) {
    buf_printf(out, "\"seq\":%" PRIu64 ",\"epoch\":\"", at->seq);
    api_put_epoch(out, at->epoch);
    buf_printf(out, "\"");
}

/* ---- GET /v1/tables ---- */

static const char *const TYPE[] = {"any", "integer", "real", "text", "blob", "numeric"};
static const char *const MODE[] = {"rows", "append", "server"};

static void put_column(buf *out, const schema_column *c) {
    buf_printf(out, "{\"name\":");
    record_put_text(out, c->name, strlen(c->name));
    put_member(out, "type", TYPE[c->affinity]);
    put_member(out, "rule", merge_rule_name(c->rule));
    if (c->arg) put_member(out, "rule_argument", c->arg);
    buf_printf(out, ",\"key\":%u,\"not_null\":%s,\"default\":", c->key, c->not_null || c->key ? "true" : "false");
    record_put_value(out, &c->default_value);
    buf_printf(out, "}");
}

static void put_table(buf *out, const schema_table *t) {
    buf_printf(out, "{\"name\":");
    record_put_text(out, t->name, strlen(t->name));
    put_member(out, "mode", MODE[t->mode]);
    put_member(out, "wins", t->wins == WINS_DELETE ? "delete" : "update");
    put_member(out, "key", t->natural ? "natural" : "unique");
    buf_printf(out, ",\"columns\":[");
    for (unsigned i = 0; i < t->ncol; i++) {
        if (i) buf_put_byte(out, ',');
        put_column(out, t->col[i]);
    }
    buf_printf(out, "]}");
}

void api_list_tables(api_call *c, api_reader *r) {
    api_position at = {0};
    int rc = api_read_begin(c, r, &at);
    buf *out = &c->out.body;
    api_read_end(r);
    if (rc) {
        api_fail(c, r, rc);
        return;
    }
    api_answer(c, 200);
    buf_printf(out, "{");
    put_position(out, &at);
    buf_printf(out, ",\"floor\":%" PRIu64 ",\"schema_epoch\":%u,\"tables\":[", at.floor, r->schema->epoch);
    const char *comma = "";
    for (unsigned i = 0; i < r->schema->ntable; i++) {
        if (r->schema->table[i].until != SCHEMA_NEVER) continue;
        buf_printf(out, "%s", comma);
        put_table(out, &r->schema->table[i]);
        comma = ",";
    }
    buf_printf(out, "]}");
}

/* ---- what is asked for ---- */

typedef struct filter {
    const schema_column *column;
    value v;
} filter;

typedef struct asked {
    const schema_table *t;
    unsigned nfilter, nafter; /* nafter: 0, or the table's key columns */
    filter where[API_FILTERS];
    value after[LIMIT_KEY_COLUMNS];
    uint64_t limit;
    buf hold, cursor; /* what the values point into */
} asked;

static void fini_asked(asked *a) {
    buf_fini(&a->hold);
    buf_fini(&a->cursor);
}

static const schema_table *find_table(api_call *c, api_reader *r) {
    const schema_table *t = schema_table_by_name(r->schema, c->table);
    if (!t)
        api_refuse(c, 404, SATCHEL_E_UNKNOWN_TABLE, "there is no table \"%.128s\"; GET /v1/tables lists those that there are",
                   c->table);
    return t;
}

static const schema_column *find_column(const schema_table *t, const char *name, size_t n) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (!strncmp(t->col[i]->name, name, n) && !t->col[i]->name[n]) return t->col[i];
    return NULL;
}

/* A value that stands in a path or query as text. The hold has room for it. */
static bool text_value(api_call *c, const schema_column *column, const char *text, size_t n, buf *hold, value *out) {
    const char *words = "";
    int rc = field_of_text(column, text, n, hold, out, &words);
    if (rc) api_refuse(c, 400, rc, "column %s: %s", column->name, words);
    return !rc;
}

static bool take_filter(api_call *c, asked *a, const char *arg) {
    const char *name = arg + strlen("where."), *equals = strchr(name, '=');
    const schema_column *column = find_column(a->t, name, (size_t)(equals - name));
    if (!column) {
        api_refuse(c, 400, SATCHEL_E_UNKNOWN_COLUMN, "table %s has no column \"%.*s\"", a->t->name,
                   (int)(equals - name < 128 ? equals - name : 128), name);
        return false;
    }
    if (a->nfilter == API_FILTERS) {
        api_refuse(c, 400, SATCHEL_E_LIMIT, "a request has %d conditions at most", API_FILTERS);
        return false;
    }
    filter *f = &a->where[a->nfilter++];
    f->column = column;
    return text_value(c, column, equals + 1, strlen(equals + 1), &a->hold, &f->v);
}

static bool take_filters(api_call *c, asked *a) {
    size_t room = 1;
    for (size_t i = 0; i < c->narg; i++) room += strlen(c->arg[i]) + 1;
    buf_reserve(&a->hold, room);
    for (size_t i = 0; i < c->narg; i++)
        if (!strncmp(c->arg[i], "where.", 6) && !take_filter(c, a, c->arg[i])) return false;
    return true;
}

/* A cursor is base64url of the table's id and the last key; it is bound as values, so that one that was made up reads nothing else. */
static bool take_cursor(api_call *c, asked *a) {
    const char *text = api_arg(c, "after");
    uint64_t table = 0;
    if (!text) return true;
    int rc = crypto_base64url_decode(text, &a->cursor);
    const uint8_t *p = a->cursor.p, *end = p + a->cursor.n;
    if (!rc && (!p || !buf_get_varint(&p, end, &table) || table != a->t->id)) rc = SATCHEL_E_MALFORMED;
    for (; !rc && a->nafter < a->t->nkey; a->nafter++) rc = value_get(&p, end, &a->after[a->nafter]);
    if (!rc && p == end) return true;
    api_refuse(c, 400, SATCHEL_E_MALFORMED, "\"after\" is not a \"next\" of this table; leave it out to begin at the first row");
    return false;
}

static bool take_asked(api_call *c, api_reader *r, asked *a) {
    a->limit = API_ROWS_DEFAULT;
    a->t = find_table(c, r);
    if (!a->t || !api_number(c, "limit", API_ROWS_MAX, &a->limit) || !take_filters(c, a) || !take_cursor(c, a)) return false;
    if (a->limit) return true;
    api_refuse(c, 400, SATCHEL_E_MISUSE, "limit is from 1 to %d", API_ROWS_MAX);
    return false;
}

/* ---- statements: names are the schema's, values are bound ---- */

static void put_key_list(buf *sql, const schema_table *t) {
    for (unsigned i = 0; i < t->nkey; i++) {
        if (i) buf_put_byte(sql, ',');
        scope_put_name(sql, t->key[i]->name);
    }
}

static void put_select(buf *sql, const schema_table *t) {
    buf_printf(sql, "SELECT ");
    for (unsigned i = 0; i < t->ncol; i++) {
        if (i) buf_put_byte(sql, ',');
        scope_put_name(sql, t->col[i]->name);
    }
    buf_printf(sql, " FROM ");
    scope_put_name(sql, t->name);
    buf_printf(sql, " WHERE 1");
}

static void put_condition(buf *sql, const schema_column *column) {
    buf_printf(sql, " AND ");
    scope_put_name(sql, column->name);
    buf_printf(sql, " IS ?");
}

static int prepare(api_reader *r, buf *sql, sqlite3_stmt **q) {
    if (sql->rc) return sql->rc;
    return db_rc(sqlite3_prepare_v2(r->file.db, (const char *)sql->p, (int)sql->n, q, NULL));
}

static int prepare_page(api_reader *r, const asked *a, sqlite3_stmt **q) {
    buf sql = {0};
    int at = 1;
    put_select(&sql, a->t);
    for (unsigned i = 0; i < a->nfilter; i++) put_condition(&sql, a->where[i].column);
    if (a->nafter) {
        buf_printf(&sql, " AND (");
        put_key_list(&sql, a->t);
        buf_printf(&sql, ")>(?");
        for (unsigned i = 1; i < a->nafter; i++) buf_printf(&sql, ",?");
        buf_printf(&sql, ")");
    }
    buf_printf(&sql, " ORDER BY ");
    put_key_list(&sql, a->t);
    buf_printf(&sql, " LIMIT %" PRIu64, a->limit + 1);
    int rc = prepare(r, &sql, q);
    for (unsigned i = 0; !rc && i < a->nfilter; i++) rc = db_rc(value_bind(*q, at++, &a->where[i].v));
    for (unsigned i = 0; !rc && i < a->nafter; i++) rc = db_rc(value_bind(*q, at++, &a->after[i]));
    buf_fini(&sql);
    return rc;
}

/* ---- rows ---- */

static void read_key(sqlite3_stmt *q, const schema_table *t, value *key) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (t->col[i]->key) key[t->col[i]->key - 1] = value_of_column(q, (int)i);
}

static void put_row(buf *out, sqlite3_stmt *q, const schema_table *t) {
    value key[LIMIT_KEY_COLUMNS];
    const char *comma = "";
    read_key(q, t, key);
    buf_printf(out, "{\"key\":");
    record_put_key(out, t, key);
    buf_printf(out, ",\"values\":{");
    for (unsigned i = 0; i < t->ncol; i++) {
        if (t->col[i]->key) continue;
        value v = value_of_column(q, (int)i);
        buf_printf(out, "%s", comma);
        record_put_text(out, t->col[i]->name, strlen(t->col[i]->name));
        buf_put_byte(out, ':');
        record_put_value(out, &v);
        comma = ",";
    }
    buf_printf(out, "}}");
}

static void note_cursor(buf *cursor, sqlite3_stmt *q, const schema_table *t) {
    value key[LIMIT_KEY_COLUMNS];
    read_key(q, t, key);
    buf_clear(cursor);
    buf_put_varint(cursor, t->id);
    for (unsigned i = 0; i < t->nkey; i++) value_put(cursor, &key[i]);
}

/* *more: there are rows after the page; the cursor is then that of its last row. */
static int put_rows(buf *out, sqlite3_stmt *q, const asked *a, buf *cursor, bool *more) {
    uint64_t n = 0;
    int step;
    *more = false;
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        if (n == a->limit || out->n > API_PAGE_BYTES) {
            *more = true;
            return SATCHEL_OK;
        }
        if (n++) buf_put_byte(out, ',');
        put_row(out, q, a->t);
        note_cursor(cursor, q, a->t);
    }
    return step == SQLITE_DONE ? SATCHEL_OK : db_rc(step);
}

static int put_page(api_call *c, api_reader *r, const asked *a) {
    api_position at;
    sqlite3_stmt *q = NULL;
    buf *out = &c->out.body, cursor = {0};
    bool more = false;
    int rc = api_read_begin(c, r, &at);
    if (!rc) rc = prepare_page(r, a, &q);
    if (!rc) {
        api_answer(c, 200);
        buf_printf(out, "{");
        put_position(out, &at);
        buf_printf(out, ",\"rows\":[");
        rc = put_rows(out, q, a, &cursor, &more);
        buf_printf(out, "]");
        if (more) {
            buf_printf(out, ",\"next\":\"");
            crypto_base64url(cursor.p, cursor.n, out);
            buf_printf(out, "\"");
        }
        buf_printf(out, "}");
    }
    if (rc) api_fail(c, r, rc);
    sqlite3_finalize(q);
    api_read_end(r);
    buf_fini(&cursor);
    return rc;
}

void api_list_rows(api_call *c, api_reader *r) {
    asked *a = calloc(1, sizeof *a);
    if (!a) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
        return;
    }
    if (take_asked(c, r, a)) put_page(c, r, a);
    fini_asked(a);
    free(a);
}

/* ---- GET /v1/tables/{table}/rows/{key} ---- */

/* "~1" is a slash and "~0" a tilde, as in RFC 6901. In place. */
static size_t unescape(char *text, size_t n) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        bool escape = text[i] == '~' && i + 1 < n && (text[i + 1] == '0' || text[i + 1] == '1');
        text[to++] = escape ? (text[i + 1] == '1' ? '/' : '~') : text[i];
        i += escape;
    }
    return to;
}

/* The key's values, separated by slashes. */
static bool take_path_key(api_call *c, const schema_table *t, buf *hold, value *key) {
    char *p = c->key;
    buf_reserve(hold, strlen(p) + LIMIT_KEY_COLUMNS + 1);
    for (unsigned i = 0; i < t->nkey; i++) {
        bool last = i + 1 == t->nkey;
        size_t n = last ? strlen(p) : strcspn(p, "/");
        if (!last && !p[n]) {
            api_refuse(c, 400, SATCHEL_E_KEY_MISSING,
                       "the key of %s has %u columns: put their values one after the other, separated by slashes", t->name,
                       t->nkey);
            return false;
        }
        if (!text_value(c, t->key[i], p, unescape(p, n), hold, &key[i])) return false;
        p += n + !last;
    }
    return true;
}

static int find_row(api_reader *r, const schema_table *t, const value *key, sqlite3_stmt **q) {
    buf sql = {0};
    put_select(&sql, t);
    for (unsigned i = 0; i < t->nkey; i++) put_condition(&sql, t->key[i]);
    int rc = prepare(r, &sql, q);
    for (unsigned i = 0; !rc && i < t->nkey; i++) rc = db_rc(value_bind(*q, (int)i + 1, &key[i]));
    buf_fini(&sql);
    if (rc) return rc;
    int step = sqlite3_step(*q);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : db_rc(step);
}

void api_one_row(api_call *c, api_reader *r) {
    const schema_table *t = find_table(c, r);
    api_position at;
    value key[LIMIT_KEY_COLUMNS];
    sqlite3_stmt *q = NULL;
    buf hold = {0}, *out = &c->out.body;
    if (!t || !take_path_key(c, t, &hold, key)) goto out;
    int rc = api_read_begin(c, r, &at);
    if (!rc) rc = find_row(r, t, key, &q);
    if (rc < 0) {
        api_fail(c, r, rc);
    } else if (!rc) {
        api_refuse(c, 404, SATCHEL_E_NOT_FOUND, "%s has no row with this key", t->name);
    } else {
        api_answer(c, 200);
        buf_printf(out, "{");
        put_position(out, &at);
        buf_printf(out, ",\"row\":");
        put_row(out, q, t);
        buf_printf(out, "}");
    }
    sqlite3_finalize(q);
    api_read_end(r);
out:
    buf_fini(&hold);
}
