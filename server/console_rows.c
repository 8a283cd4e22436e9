/* The data browser: tables, their rows, and who wrote what of one; and the schema's views as reports. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "server/console_private.h"

#define N(array) (sizeof(array) / sizeof *(array))

/* ---- a table as a list ---- */

#define NEWEST_AUTHOR                                                                                                            \
    "FROM satchel_author wa JOIN satchel_device wd ON wd.id=wa.device WHERE wa.author=console_clock(satchel_clock,1)"
/* What is told of every row beside its values. The label stands first, the key second. */
static const console_column OF_ROW[] = {
    {"label", NULL, CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"key", NULL, CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"seq", "console_clock(satchel_clock,0)", CONSOLE_INTEGER, 0},
    {"device", "coalesce((SELECT wd.name " NEWEST_AUTHOR "),'server')", CONSOLE_TEXT, 0},
    {"device_id", "(SELECT iif(wd." DEVICE_LISTED ",wd.id,NULL) " NEWEST_AUTHOR ")", CONSOLE_INTEGER, 0},
    {"made_ms", "console_made(console_clock(satchel_clock,2),console_clock(satchel_clock,1),NULL)", CONSOLE_INTEGER, 0},
};

/* Appends a text and its zero; where it begins. */
static size_t begin_text(const buf *text) {
    return text->n;
}

/* The texts first, by their places, since they move while there are more. */
static int put_texts(const schema_table *t, const char *where, console_data *d, size_t at[]) {
    buf *x = &d->text;
    at[0] = begin_text(x);
    console_put_label(x, t);
    buf_put_byte(x, 0);
    at[1] = begin_text(x);
    buf_printf(x, "console_key(");
    console_put_key_columns(x, t);
    buf_printf(x, ")");
    buf_put_byte(x, 0);
    at[2] = begin_text(x);
    scope_put_name(x, t->name);
    buf_printf(x, "%s%s", *where ? " WHERE " : "", where);
    buf_put_byte(x, 0);
    for (unsigned i = 0; i < t->ncol; i++) {
        at[3 + i] = begin_text(x);
        scope_put_name(x, t->col[i]->name);
        buf_put_byte(x, 0);
    }
    return x->rc;
}

int console_data_make(const schema_table *t, const view *v, const char *where, console_data *out) {
    size_t at[3 + LIMIT_COLUMNS], n = N(OF_ROW);
    *out = (console_data){0};
    int rc = put_texts(t, where, out, at);
    out->column = calloc(N(OF_ROW) + t->ncol, sizeof *out->column);
    if (!rc && !out->column) rc = SATCHEL_E_NOMEM;
    if (rc) {
        console_data_fini(out);
        return rc;
    }
    const char *text = (const char *)out->text.p;
    memcpy(out->column, OF_ROW, sizeof OF_ROW);
    out->column[0].sql = text + at[0];
    out->column[1].sql = text + at[1];
    out->source = (console_source){.from = text + at[2], .column = out->column, .sort = ""};
    for (unsigned i = 0; i < t->ncol; i++) {
        const schema_column *c = t->col[i];
        if (v && view_masks(v, t->id, c->id)) continue;
        out->column[n++] =
            (console_column){.name = c->name,
                             .sql = text + at[3 + i],
                             .type = CONSOLE_VALUE,
                             .flags = CONSOLE_NESTED | (c->affinity == AFFINITY_TEXT ? (unsigned)CONSOLE_SEARCHED : 0)};
    }
    for (unsigned i = 0; i < t->nkey; i++)
        for (unsigned j = 0; j < t->ncol; j++)
            if (t->col[j] == t->key[i]) out->source.key[i] = text + at[3 + j];
    out->source.ncolumn = n;
    return SATCHEL_OK;
}

void console_data_fini(console_data *d) {
    free(d->column);
    buf_fini(&d->text);
}

/* ---- one row ---- */

int console_name_row(const console *k, const char *table, const char *key, console_row_named *out, buf *words) {
    out->t = schema_table_by_name(k->schema, table);
    if (out->t) return scope_read_key(out->t, key, &out->row, words);
    buf_printf(words, "there is no table %.128s", table);
    return SATCHEL_E_NOT_FOUND;
}

void console_row_fini(console_row_named *n) {
    buf_fini(&n->row.bytes);
}

int console_put_row_label(console *k, const console_row_named *n, buf *out) {
    db_cache *cache = &k->file->cache;
    buf key = {0};
    value_put_literals(&key, n->row.bytes.p, n->row.bytes.n);
    buf_put_byte(&key, 0);
    console_put_text(out, "key", key.rc ? "" : (const char *)key.p);
    buf_fini(&key);
    sqlite3_stmt *q = db_prepare(cache, "SELECT console_label(?,?)");
    db_bind(q, "ib", (int64_t)n->t->id, n->row.bytes.p, n->row.bytes.n);
    int rc = db_next(cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    console_put_text(out, "label", (const char *)sqlite3_column_text(q, 0));
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int prepare_row(const console *k, const console_row_named *n, sqlite3_stmt **q) {
    buf sql = {0};
    buf_printf(&sql, "SELECT satchel_clock,satchel_set");
    for (unsigned i = 0; i < n->t->ncol; i++) {
        buf_put_byte(&sql, ',');
        scope_put_name(&sql, n->t->col[i]->name);
    }
    console_put_from_row(&sql, n->t);
    int rc = sql.rc ? sql.rc : db_rc(sqlite3_prepare_v2(k->file->db, (const char *)sql.p, (int)sql.n, q, NULL));
    for (unsigned i = 0; !rc && i < n->t->nkey; i++) rc = db_rc(value_bind(*q, (int)i + 1, &n->row.key[i]));
    buf_fini(&sql);
    return rc;
}

/* When a commit arrived, as far as the log goes back. */
static int put_arrived(const console *k, uint64_t seq, buf *out) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(cache, "SELECT at_ms FROM satchel_log WHERE id>=? AND id<? LIMIT 1");
    db_bind(q, "ii", (int64_t)(seq << 24), (int64_t)((seq + 1) << 24));
    int rc = db_next(cache, q);
    if (rc == 1) {
        console_put_integer(out, "at_ms", sqlite3_column_int64(q, 0));
        sqlite3_reset(q);
    } else {
        buf_printf(out, ",\"at_ms\":null");
    }
    return rc < 0 ? rc : SATCHEL_OK;
}

static int put_field(const console *k, const schema_column *c, const value *v, field_clock w, buf *out) {
    console_author by;
    int rc = console_find_author(k, w.author, &by);
    buf_printf(out, "{\"column\":");
    record_put_text(out, c->name, strlen(c->name));
    buf_printf(out, ",\"value\":");
    record_put_value(out, v);
    console_put_text(out, "rule", merge_rule_name(c->rule));
    console_put_integer(out, "seq", (int64_t)w.seq);
    console_put_author(&by, out);
    console_put_made(w.stamp, w.author, out);
    if (!rc) rc = put_arrived(k, w.seq, out);
    buf_put_byte(out, '}');
    return rc;
}

int console_put_fields(const console *k, const console_row_named *n, const schema_column *only, int64_t *set, buf *out) {
    row_clock *clock = malloc(sizeof *clock);
    sqlite3_stmt *q = NULL;
    int rc = clock ? prepare_row(k, n, &q) : SATCHEL_E_NOMEM, step = rc ? SQLITE_DONE : sqlite3_step(q);
    bool there = step == SQLITE_ROW;
    if (!rc && !there && step != SQLITE_DONE) rc = db_rc(step);
    if (there) rc = clock_decode(clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    *set = there ? sqlite3_column_int64(q, 1) : -1;
    buf_printf(out, ",\"exists\":%s,\"fields\":[", there ? "true" : "false");
    for (unsigned i = 0, told = 0; !rc && there && i < n->t->ncol; i++) {
        value v = value_of_column(q, (int)i + 2);
        if (only && n->t->col[i] != only) continue;
        if (told++) buf_put_byte(out, ',');
        rc = put_field(k, n->t->col[i], &v, clock_get(clock, n->t->col[i]->unit), out);
    }
    buf_put_byte(out, ']');
    sqlite3_finalize(q);
    free(clock);
    return rc;
}

/* *deleted: it is known to have been. */
static int put_deleted(const console *k, const console_row_named *n, bool *deleted, buf *out) {
    db_cache *cache = &k->file->cache;
    console_author by;
    sqlite3_stmt *q = db_prepare(cache, "SELECT seq,author,stamp FROM satchel_tombstone WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)n->t->id, n->row.bytes.p, n->row.bytes.n);
    int rc = db_next(cache, q);
    *deleted = rc == 1;
    if (rc != 1) {
        buf_printf(out, ",\"deleted\":null");
        return rc;
    }
    int64_t seq = sqlite3_column_int64(q, 0), author = sqlite3_column_int64(q, 1);
    uint64_t stamp = (uint64_t)sqlite3_column_int64(q, 2);
    sqlite3_reset(q);
    rc = console_find_author(k, author, &by);
    buf_printf(out, ",\"deleted\":{\"seq\":%" PRId64, seq);
    console_put_author(&by, out);
    console_put_made(stamp, author, out);
    buf_put_byte(out, '}');
    return rc;
}

static int count_conflicts(const console *k, const console_row_named *n, int64_t *out) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(cache, "SELECT count(*) FROM satchel_conflict WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)n->t->id, n->row.bytes.p, n->row.bytes.n);
    int rc = db_next(cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    *out = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

#define HOLDERS_TOLD 50

/* The devices that are to hold rows of a set (-1: of none), by name; the first of them, and how many there are. */
static int put_holders(const console *k, int64_t set, buf *out) {
    db_cache *cache = &k->file->cache;
    int64_t n = 0;
    int rc = SATCHEL_OK;
    sqlite3_stmt *q = db_prepare(
        cache,
        "SELECT d.id,d.name FROM satchel_device d WHERE d.state IN (1,4) AND ?1>=0 AND (d.profile IS NULL OR console_holds("
        "(SELECT h.view FROM satchel_held h WHERE h.device=d.id ORDER BY h.seq DESC LIMIT 1),?1)) ORDER BY d.name,d.id");
    db_bind(q, "i", set);
    buf_printf(out, ",\"holders\":[");
    for (; (rc = db_next(cache, q)) == 1; n++) {
        if (n >= HOLDERS_TOLD) continue;
        buf_printf(out, "%s{\"id\":%" PRId64, n ? "," : "", (int64_t)sqlite3_column_int64(q, 0));
        console_put_text(out, "name", (const char *)sqlite3_column_text(q, 1));
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, ']');
    console_put_integer(out, "devices", n);
    return rc;
}

static int put_row(console *k, const console_row_named *n, buf *out) {
    int64_t set = -1, conflicts = 0;
    bool deleted = false;
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    console_put_text(out, "table", n->t->name);
    int rc = console_put_row_label(k, n, out);
    if (!rc) rc = console_put_fields(k, n, NULL, &set, out);
    buf_printf(out, ",\"buckets\":");
    if (!rc) rc = console_put_buckets(k, "SELECT buckets FROM satchel_set WHERE id=?", set, out);
    if (!rc) rc = put_holders(k, set, out);
    if (!rc) rc = count_conflicts(k, n, &conflicts);
    console_put_integer(out, "conflicts", conflicts);
    if (!rc) rc = put_deleted(k, n, &deleted, out);
    buf_put_byte(out, '}');
    return !rc && set < 0 && !deleted ? SATCHEL_E_NOT_FOUND : rc;
}

void console_row(api_call *c, api_reader *r) {
    console_row_named n = {0};
    buf words = {0};
    console *k = console_begin(c, r);
    if (!k) return;
    int rc = console_name_row(k, c->table, c->key, &n, &words);
    if (!rc) {
        api_answer(c, 200);
        rc = put_row(k, &n, &c->out.body);
        if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&words, "%s has no row with this key", n.t->name);
    }
    console_end(c, r, k, rc, &words);
    console_row_fini(&n);
    buf_fini(&words);
}

/* ---- rows and tables ---- */

void console_rows(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    console_data d;
    buf words = {0};
    if (!k) return;
    const schema_table *t = schema_table_by_name(k->schema, c->table);
    if (!t) buf_printf(&words, "there is no table %.128s", c->table);
    int rc = t ? console_data_make(t, NULL, "", &d) : SATCHEL_E_NOT_FOUND;
    if (rc)
        console_end(c, r, k, rc, &words);
    else
        console_answer(c, r, k, &d.source, 0, NULL);
    if (!rc) console_data_fini(&d);
    buf_fini(&words);
}

/* By so many rows of a table. */
#define MEASURED 200
void console_put_row_bytes(buf *sql, const schema_table *t) {
    buf_printf(sql, "coalesce((SELECT avg(0");
    for (unsigned i = 0; i < t->ncol; i++) {
        buf_printf(sql, "+coalesce(length(CAST(");
        scope_put_name(sql, t->col[i]->name);
        buf_printf(sql, " AS BLOB)),0)");
    }
    buf_printf(sql, ") FROM (SELECT * FROM ");
    scope_put_name(sql, t->name);
    buf_printf(sql, " LIMIT %d)),0)", MEASURED);
}

int console_count_rows(const console *k, const schema_table *t, int64_t view_number, int64_t *rows, int64_t *bytes) {
    sqlite3_stmt *q = NULL;
    buf sql = {0};
    buf_printf(&sql, "SELECT count(*),CAST(count(*)*");
    console_put_row_bytes(&sql, t);
    buf_printf(&sql, " AS INTEGER) FROM ");
    scope_put_name(&sql, t->name);
    if (view_number) buf_printf(&sql, " WHERE console_holds(%" PRId64 ",satchel_set)", view_number);
    int rc = sql.rc ? sql.rc : db_rc(sqlite3_prepare_v2(k->file->db, (const char *)sql.p, (int)sql.n, &q, NULL));
    int step = rc ? SQLITE_ROW : sqlite3_step(q);
    if (!rc && step == SQLITE_ROW) {
        *rows = sqlite3_column_int64(q, 0);
        *bytes = sqlite3_column_int64(q, 1);
    } else if (!rc) {
        rc = db_rc(step);
    }
    sqlite3_finalize(q);
    buf_fini(&sql);
    return rc;
}

static const console_column TABLE[] = {{"name", "value->>'name'", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"mode", "value->>'mode'", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"wins", "value->>'wins'", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"columns", "value->>'columns'", CONSOLE_INTEGER, 0},
                                       {"rows", "value->>'rows'", CONSOLE_INTEGER, 0},
                                       {"bytes", "value->>'bytes'", CONSOLE_INTEGER, 0}};
static const console_source TABLES = {"json_each(?5)", TABLE, N(TABLE), {"key"}, "name"};

static int put_tables(const console *k, buf *out) {
    static const char *const MODE[] = {"rows", "append", "server"};
    const char *comma = "";
    int rc = SATCHEL_OK;
    buf_put_byte(out, '[');
    for (unsigned i = 0; !rc && i < k->schema->ntable; i++) {
        const schema_table *t = &k->schema->table[i];
        int64_t rows = 0, bytes = 0;
        if (t->until != SCHEMA_NEVER) continue;
        rc = console_count_rows(k, t, 0, &rows, &bytes);
        buf_printf(out, "%s{\"columns\":%u", comma, t->ncol);
        console_put_text(out, "name", t->name);
        console_put_text(out, "mode", MODE[t->mode]);
        console_put_text(out, "wins", t->wins == WINS_DELETE ? "delete" : "update");
        console_put_integer(out, "rows", rows);
        console_put_integer(out, "bytes", bytes);
        buf_put_byte(out, '}');
        comma = ",";
    }
    buf_put_byte(out, ']');
    buf_put_byte(out, 0);
    return rc ? rc : out->rc;
}

void console_tables(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    buf list = {0};
    if (!k) return;
    int rc = put_tables(k, &list);
    if (rc)
        console_end(c, r, k, rc, NULL);
    else
        console_answer(c, r, k, &TABLES, 0, (const char *)list.p);
    buf_fini(&list);
}

/* ---- reports ---- */

/* The comment that stands right before CREATE VIEW in the migration that made it last. */
static int put_about(const console *k, const char *view_name, buf *out) {
    db_cache *cache = &k->file->cache;
    char made[LIMIT_NAME_BYTES + 32];
    int rc, found = 0;
    sqlite3_snprintf(sizeof made, made, "CREATE VIEW %s ", view_name);
    sqlite3_stmt *q = db_prepare(cache, "SELECT sql FROM satchel_migration WHERE instr(sql,?) ORDER BY epoch DESC LIMIT 1");
    db_bind(q, "s", made);
    if ((rc = db_next(cache, q)) != 1) return rc;
    const char *sql = (const char *)sqlite3_column_text(q, 0), *at = strstr(sql, made), *from = at;
    while (from > sql) {
        const char *line = from - 1;
        while (line > sql && line[-1] != '\n') line--;
        if (strncmp(line, "-- ", 3)) break;
        from = line;
    }
    while (from < at) {
        size_t n = strcspn(from, "\n");
        buf_printf(out, "%s%.*s", found++ ? " " : "", n > 3 ? (int)n - 3 : 0, n > 3 ? from + 3 : "");
        from += n + 1;
    }
    sqlite3_reset(q);
    return out->rc;
}

/* Prepares the view; its columns are the statement's. */
static int prepare_view(const console *k, const char *name, sqlite3_stmt **q) {
    buf sql = {0};
    buf_printf(&sql, "SELECT * FROM ");
    scope_put_name(&sql, name);
    int rc = sql.rc ? sql.rc : db_rc(sqlite3_prepare_v2(k->file->db, (const char *)sql.p, (int)sql.n, q, NULL));
    buf_fini(&sql);
    return rc;
}

static const char VIEWS[] =
    "SELECT name FROM sqlite_schema WHERE type='view' AND name NOT LIKE 'satchel\\_%' ESCAPE '\\' ORDER BY name";

static int put_report(const console *k, const char *name, const char *comma, buf *out) {
    sqlite3_stmt *q = NULL;
    buf about = {0}, columns = {0};
    int rc = put_about(k, name, &about);
    if (!rc && !prepare_view(k, name, &q))
        for (int i = 0; i < sqlite3_column_count(q); i++) buf_printf(&columns, "%s%s", i ? "," : "", sqlite3_column_name(q, i));
    sqlite3_finalize(q);
    buf_put_byte(&about, 0);
    buf_put_byte(&columns, 0);
    buf_printf(out, "%s{\"name\":", comma);
    record_put_text(out, name, strlen(name));
    console_put_text(out, "about", (const char *)about.p);
    console_put_text(out, "columns", (const char *)columns.p);
    buf_put_byte(out, '}');
    buf_fini(&about);
    buf_fini(&columns);
    return rc;
}

static const console_column REPORT[] = {{"name", "value->>'name'", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                        {"about", "value->>'about'", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                        {"columns", "value->>'columns'", CONSOLE_TEXT, CONSOLE_SEARCHED}};
static const console_source REPORTS = {"json_each(?5)", REPORT, N(REPORT), {"key"}, "name"};

void console_reports(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    buf list = {0};
    sqlite3_stmt *q = NULL;
    if (!k) return;
    int rc = db_rc(sqlite3_prepare_v2(k->file->db, VIEWS, -1, &q, NULL));
    buf_put_byte(&list, '[');
    for (const char *comma = ""; !rc && sqlite3_step(q) == SQLITE_ROW; comma = ",")
        rc = put_report(k, (const char *)sqlite3_column_text(q, 0), comma, &list);
    sqlite3_finalize(q);
    buf_put_byte(&list, ']');
    buf_put_byte(&list, 0);
    if (rc)
        console_end(c, r, k, rc, NULL);
    else
        console_answer(c, r, k, &REPORTS, 0, (const char *)list.p);
    buf_fini(&list);
}

/* A view has no key: its pages are counted. */
static int make_report(const console *k, const char *name, console_data *d, buf *columns) {
    sqlite3_stmt *q = NULL;
    *d = (console_data){0};
    int rc = prepare_view(k, name, &q), n = rc ? 0 : sqlite3_column_count(q);
    size_t at[LIMIT_COLUMNS];
    if (!rc && n > (int)LIMIT_COLUMNS) rc = SATCHEL_E_LIMIT;
    for (int i = 0; !rc && i < n; i++) {
        at[i] = d->text.n;
        scope_put_name(&d->text, sqlite3_column_name(q, i));
        buf_put_byte(&d->text, 0);
        buf_printf(&d->text, "%s", sqlite3_column_name(q, i));
        buf_put_byte(&d->text, 0);
        buf_printf(columns, i ? "," : "");
        record_put_text(columns, sqlite3_column_name(q, i), strlen(sqlite3_column_name(q, i)));
    }
    size_t from = d->text.n;
    scope_put_name(&d->text, name);
    buf_put_byte(&d->text, 0);
    d->column = calloc((size_t)n + 1, sizeof *d->column);
    if (!rc) rc = d->text.rc ? d->text.rc : d->column ? SATCHEL_OK : SATCHEL_E_NOMEM;
    for (int i = 0; !rc && i < n; i++) {
        const char *sql = (const char *)d->text.p + at[i];
        d->column[i] =
            (console_column){.name = sql + strlen(sql) + 1, .sql = sql, .type = CONSOLE_VALUE, .flags = CONSOLE_SEARCHED};
    }
    if (!rc)
        d->source =
            (console_source){.from = (const char *)d->text.p + from, .column = d->column, .ncolumn = (size_t)n, .sort = ""};
    sqlite3_finalize(q);
    return rc;
}

static int is_view(const console *k, const char *name, bool *is) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q =
        db_prepare(cache, "SELECT 1 FROM sqlite_schema WHERE type='view' AND name=? AND name NOT LIKE 'satchel\\_%' ESCAPE '\\'");
    db_bind(q, "s", name);
    int rc = db_next(cache, q);
    *is = rc == 1;
    if (rc == 1) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

/* As of when, and what is not in it yet: said by devices that have changes of their own, and to be said by those that were not here. */
static int put_partial(const console *k, buf *out) {
    buf waiting = {0};
    int rc = console_put_object(
        k,
        "SELECT count(*) FILTER (WHERE d.pending>0) AS devices_waiting,coalesce(sum(d.pending),0) AS changes_waiting,"
        "count(*) FILTER (WHERE d.last_seen_ms>0 AND d.last_seen_ms<?1-" CONSOLE_MS(
            CONSOLE_SILENT_MS) " AND NOT console_online(d.id)) AS devices_silent FROM satchel_device d WHERE d.state IN (1,4)",
        0, NULL, &waiting);
    buf_put_byte(out, ',');
    if (!rc && waiting.n > 2) buf_put(out, waiting.p + 1, waiting.n - 2);
    buf_fini(&waiting);
    return rc;
}

static int put_report_rows(console *k, const char *name, const console_ask *ask, api_call *c, buf *words) {
    console_data d;
    buf columns = {0}, about = {0};
    buf *out = &c->out.body;
    int rc = make_report(k, name, &d, &columns);
    api_answer(c, 200);
    if (!rc) rc = console_list(k->file->db, &d.source, ask, out, words);
    if (!rc && ask->csv) c->out.type = "text/csv";
    if (!rc && !ask->csv) {
        rc = put_about(k, name, &about);
        buf_put_byte(&about, 0);
        console_put_text(out, "name", name);
        console_put_text(out, "about", (const char *)about.p);
        buf_printf(out, ",\"columns\":[");
        buf_put(out, columns.p, columns.n);
        buf_put_byte(out, ']');
        if (!rc) rc = put_partial(k, out);
        buf_put_byte(out, ',');
        console_put_as_of(k, out);
        buf_put_byte(out, '}');
    }
    console_data_fini(&d);
    buf_fini(&columns);
    buf_fini(&about);
    return rc;
}

void console_report(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    console_ask ask;
    buf words = {0};
    bool is = false;
    if (!k) return;
    int rc = is_view(k, c->table, &is);
    if (!rc && !is) {
        buf_printf(&words, "there is no view %.128s", c->table);
        rc = SATCHEL_E_NOT_FOUND;
    }
    if (!rc && console_take_ask(c, k, 0, NULL, &ask)) rc = put_report_rows(k, c->table, &ask, c, &words);
    console_end(c, r, k, rc, &words);
    buf_fini(&words);
}
