/* What was committed, newest first: all of it, or that of a table, a row, a device. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "protocol/wire.h"
#include "server/console_private.h"

/* Entries of the log that one page looks at; a CSV, which has no next page, looks at all of them. */
#define LOOKED 200000u

typedef struct feed {
    api_call *c;
    console *k;
    buf *words;            /* of what is wrong */
    const schema_table *t; /* NULL: any */
    console_row_named row;
    bool one_row;
    const char *device;
    uint64_t since, limit;
    int64_t from;  /* of the log: this entry, */
    uint64_t skip; /* behind this place in it; 0: from its first */
    bool csv;
    uint64_t n, looked, place;
    int64_t at; /* the entry at hand */
    char next[48];
    delta_row *in;
    console_author author; /* of the last entry, */
    int64_t of;            /* by this number; */
    int64_t txn, txn_at;   /* its transaction's number there (0: none is known), and which entry that was */
} feed;

static int wrong(const feed *f, const char *what) {
    buf_printf(f->words, "%s", what);
    return SATCHEL_E_MISUSE;
}

static int take_after(feed *f) {
    const char *text = api_arg(f->c, "after");
    uint64_t seq = 0, part = 0, place = 0;
    char end;
    f->from = INT64_MAX;
    if (!text) return SATCHEL_OK;
    if (strlen(text) > 47 || sscanf(text, "%" SCNu64 "-%" SCNu64 "-%" SCNu64 "%c", &seq, &part, &place, &end) != 3 ||
        seq >= UINT64_C(1) << 38 || part >= 1u << 24)
        return wrong(f, "\"after\" is not a \"next\" of the changes");
    f->from = (int64_t)(seq << 24 | part);
    f->skip = place;
    return SATCHEL_OK;
}

static int take_asked(feed *f) {
    const char *table = api_arg(f->c, "table"), *key = api_arg(f->c, "key"), *format = api_arg(f->c, "format");
    f->device = api_arg(f->c, "device");
    f->csv = format && !strcmp(format, "csv");
    if (format && !f->csv && strcmp(format, "json")) return wrong(f, "format is json or csv");
    if (!f->limit && !f->csv) return wrong(f, "limit is from 1 to 1000");
    if (key && !table) return wrong(f, "a key is that of a row of a table: give the table, too");
    int rc = table && key ? console_name_row(f->k, table, key, &f->row, f->words) : SATCHEL_OK;
    f->one_row = key != NULL;
    f->t = f->row.t;
    if (!rc && table && !key && !(f->t = schema_table_by_name(f->k->schema, table))) {
        buf_printf(f->words, "there is no table %.128s", table);
        rc = SATCHEL_E_NOT_FOUND;
    }
    return rc ? rc : take_after(f);
}

/* ---- one change ---- */

static const char *op_name(delta_op op) {
    static const char *const OP[] = {"insert", "update", "delete", "delete"};
    return OP[op];
}

static void put_columns(const feed *f, const schema_table *t, buf *out) {
    const char *comma = "";
    for (unsigned i = 0; i < f->in->ncol; i++) {
        const schema_column *c = schema_column_by_id(t, f->in->col[i].id);
        if (!c) continue;
        buf_printf(out, "%s%s", comma, c->name);
        comma = ",";
    }
}

static void put_values(const feed *f, const schema_table *t, buf *out) {
    const char *comma = "";
    buf_put_byte(out, '{');
    for (unsigned i = 0; i < f->in->ncol; i++) {
        const schema_column *c = schema_column_by_id(t, f->in->col[i].id);
        if (!c) continue;
        buf_printf(out, "%s", comma);
        record_put_text(out, c->name, strlen(c->name));
        buf_put_byte(out, ':');
        record_put_value(out, &f->in->v[i]);
        comma = ",";
    }
    buf_put_byte(out, '}');
}

static void put_key(const feed *f, buf *out) {
    for (unsigned i = 0; i < f->in->nkey; i++) {
        if (i) buf_put_byte(out, ',');
        value_put_literal(out, &f->in->key[i]);
    }
    buf_put_byte(out, 0);
}

static int64_t lag_ms(int64_t made_ms, int64_t at_ms) {
    return made_ms && made_ms < at_ms ? at_ms - made_ms : 0;
}

static void put_item(feed *f, sqlite3_stmt *q, const schema_table *t, const char *key, const char *columns) {
    buf *out = &f->c->out.body;
    int64_t at_ms = sqlite3_column_int64(q, 3), author = sqlite3_column_int64(q, 1);
    uint64_t stamp = (uint64_t)sqlite3_column_int64(q, 2);
    int64_t made_ms = console_made_ms(stamp, author);
    buf_printf(out, "%s{\"id\":\"%" PRId64 "-%" PRId64 "-%" PRIu64 "\"", f->n ? "," : "", f->at >> 24, f->at & 0xffffff,
               f->place);
    console_put_integer(out, "seq", f->at >> 24);
    console_put_integer(out, "at_ms", at_ms);
    console_put_made(stamp, author, out);
    console_put_integer(out, "lag_ms", lag_ms(made_ms, at_ms));
    console_put_author(&f->author, out);
    if (f->txn)
        console_put_integer(out, "txn", f->txn);
    else
        buf_printf(out, ",\"txn\":null");
    console_put_text(out, "table", t->name);
    console_put_text(out, "op", op_name(f->in->op));
    console_put_text(out, "key", key);
    console_put_text(out, "columns", columns);
    buf_printf(out, ",\"values\":");
    put_values(f, t, out);
    buf_put_byte(out, '}');
}

static void put_field(buf *out, const char *text) {
    buf_put_byte(out, ',');
    console_put_csv_text(out, text, strlen(text));
}

static void put_line(feed *f, sqlite3_stmt *q, const schema_table *t, const char *key, const char *columns) {
    buf *out = &f->c->out.body, values = {0};
    int64_t at_ms = sqlite3_column_int64(q, 3), author = sqlite3_column_int64(q, 1);
    int64_t made_ms = console_made_ms((uint64_t)sqlite3_column_int64(q, 2), author);
    buf_printf(out, "%" PRId64 ",%" PRId64 ",", f->at >> 24, at_ms);
    if (made_ms) buf_printf(out, "%" PRId64, made_ms);
    buf_printf(out, ",%" PRId64, lag_ms(made_ms, at_ms));
    put_field(out, f->author.name);
    put_field(out, f->author.user);
    buf_put_byte(out, ',');
    if (f->txn) buf_printf(out, "%" PRId64, f->txn);
    put_field(out, t->name);
    put_field(out, op_name(f->in->op));
    put_field(out, key);
    put_field(out, columns);
    put_values(f, t, &values);
    buf_put_byte(&values, 0);
    put_field(out, values.rc ? "" : (const char *)values.p);
    buf_printf(out, "\r\n");
    buf_fini(&values);
}

/* Whose transaction of which number the entry is: of the results that are still kept. */
static int find_author(feed *f, int64_t author) {
    db_cache *cache = &f->k->file->cache;
    int rc = author == f->of ? SATCHEL_OK : console_find_author(f->k, author, &f->author);
    f->of = author;
    if (rc || f->txn_at == f->at) return rc;
    sqlite3_stmt *q = db_prepare(cache, "SELECT number FROM satchel_result WHERE seq=? AND author=? AND rc=0");
    db_bind(q, "ii", f->at >> 24, author);
    rc = db_next(cache, q);
    f->txn = rc == 1 ? sqlite3_column_int64(q, 0) : 0;
    f->txn_at = f->at;
    if (rc == 1) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

static int put_change(feed *f, sqlite3_stmt *q) {
    const schema_table *t = schema_table_by_id(f->k->schema, f->in->table);
    buf key = {0}, columns = {0};
    if (!t || t->nkey != f->in->nkey || (f->t && f->t != t)) return SATCHEL_OK;
    for (unsigned i = 0; f->one_row && i < t->nkey; i++)
        if (!value_equal(&f->in->key[i], &f->row.row.key[i])) return SATCHEL_OK;
    int rc = find_author(f, sqlite3_column_int64(q, 1));
    put_key(f, &key);
    put_columns(f, t, &columns);
    buf_put_byte(&columns, 0);
    if (!rc) rc = key.rc ? key.rc : columns.rc;
    if (!rc) (f->csv ? put_line : put_item)(f, q, t, (const char *)key.p, (const char *)columns.p);
    f->n++;
    buf_fini(&key);
    buf_fini(&columns);
    return rc;
}

/* ---- the page ---- */

/* 1: the page ends here. A CSV is whole, or none. */
static int is_full(const feed *f) {
    size_t n = f->c->out.body.n;
    if (!f->csv) return f->n >= f->limit || n > API_PAGE_BYTES;
    if (n < CONSOLE_CSV_BYTES) return 0;
    buf_printf(f->words,
               "these changes are over %zu MiB as text; ask for those of a table, a row or a device, or since a later commit",
               CONSOLE_CSV_BYTES >> 20);
    return SATCHEL_E_LIMIT;
}

/* The changes of one entry, or what the page before left of them: 1 if the page ends within it. */
static int put_entry(feed *f, sqlite3_stmt *q) {
    wire w;
    delta_reader r;
    int more = 0, rc = SATCHEL_OK;
    f->place = 0;
    wire_open(&w, sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4));
    delta_open(&r, &w);
    while (!rc && (more = delta_next(&r, f->in)) == 1) {
        if (++f->place <= f->skip) continue;
        rc = is_full(f);
        if (rc == 1)
            snprintf(f->next, sizeof f->next, "%" PRId64 "-%" PRId64 "-%" PRIu64, f->at >> 24, f->at & 0xffffff, f->place - 1);
        if (!rc) rc = put_change(f, q);
    }
    f->skip = 0;
    return rc ? rc : more;
}

/* Whether the bytes may tell of the row: they hold its key's first value as it is written there. */
static bool may_tell(const feed *f, sqlite3_stmt *q, const buf *needle) {
    return !f->one_row || memmem(sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4), needle->p, needle->n);
}

static int put_log(feed *f) {
    db_cache *cache = &f->k->file->cache;
    buf needle = {0};
    int more, rc = SATCHEL_OK;
    if (f->one_row) wire_put_value(&needle, &f->row.row.key[0]);
    sqlite3_stmt *q = db_prepare(
        cache,
        "SELECT id,author,stamp,at_ms,delta FROM satchel_log WHERE id<=?1 AND id>=?2 AND besides=0 AND (?3 IS NULL OR author IN"
        " (SELECT a.author FROM satchel_author a JOIN satchel_device d ON d.id=a.device WHERE d.name=?3 UNION ALL SELECT 0 WHERE"
        " ?3='server')) ORDER BY id DESC");
    db_bind(q, "iis", f->from, (int64_t)((f->since + 1) << 24), f->device);
    while (!rc && (more = db_next(cache, q)) == 1) {
        f->at = sqlite3_column_int64(q, 0);
        rc = is_full(f);
        if (!rc && !f->csv && ++f->looked > LOOKED) rc = 1;
        if (rc == 1)
            snprintf(f->next, sizeof f->next, "%" PRId64 "-%" PRId64 "-0", f->at >> 24, f->at & 0xffffff);
        else if (!rc && may_tell(f, q, &needle))
            rc = put_entry(f, q);
    }
    if (rc && q) sqlite3_reset(q);
    buf_fini(&needle);
    return rc < 0 ? rc : rc ? SATCHEL_OK : more;
}

static int put_page(feed *f) {
    buf *out = &f->c->out.body;
    api_answer(f->c, 200);
    buf_printf(out, f->csv ? "seq,at_ms,made_ms,lag_ms,device,user,txn,table,op,key,columns,values\r\n" : "{\"items\":[");
    int rc = put_log(f);
    if (f->csv) {
        f->c->out.type = "text/csv";
        return rc;
    }
    buf_printf(out, "],\"total\":null");
    console_put_text(out, "next", f->next[0] ? f->next : NULL);
    buf_put_byte(out, ',');
    console_put_as_of(f->k, out);
    buf_put_byte(out, '}');
    return rc;
}

void console_changes(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    feed *f = calloc(1, sizeof *f);
    buf words = {0};
    int rc = f ? SATCHEL_OK : SATCHEL_E_NOMEM;
    if (!k) {
        free(f);
        return;
    }
    if (f) {
        *f = (feed){.c = c, .k = k, .words = &words, .limit = CONSOLE_LIMIT, .of = -1, .txn_at = -1, .in = malloc(sizeof *f->in)};
        if (!f->in) rc = SATCHEL_E_NOMEM;
    }
    bool good = !rc && api_number(c, "limit", CONSOLE_LIMIT_MAX, &f->limit) && api_number(c, "since", INT64_MAX >> 24, &f->since);
    if (good) rc = take_asked(f);
    if (good && !rc) rc = put_page(f);
    console_end(c, r, k, rc, &words);
    if (f) {
        console_row_fini(&f->row);
        free(f->in);
    }
    free(f);
    buf_fini(&words);
}
