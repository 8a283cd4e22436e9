/* The SELECT is wrapped: names of the list's columns outside, its expressions inside. SQLite makes one SELECT of the two again, so an expression that is neither told, sorted nor
 * filtered by is not computed, and the order of a key with an index is read from that. */
#include "server/console_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"
#include "server/field.h"
#include "server/record.h"
#include "server/scope_private.h"

typedef struct listing {
    sqlite3 *db;
    const console_source *s;
    const console_ask *ask;
    buf *error;
    const console_column *sort; /* NULL: the key alone */
    bool down;
    const console_column *counted; /* its filters are left aside; NULL: none are */
    unsigned nkey;
    bool once; /* the SELECT that finds a page tells it as well */
    buf sql, pattern, blobs, cursor;
    value bind[CONSOLE_PARAMS + 3 * CONSOLE_FILTERS + 2 + LIMIT_KEY_COLUMNS]; /* from ?1 on */
    unsigned nbind;
    value after[1 + LIMIT_KEY_COLUMNS]; /* the sorted value, the key; or how many items came before */
    bool has_after;
} listing;

/* ---- what is asked for ---- */

static int misuse(listing *l, const char *words, const char *what) {
    buf_printf(l->error, words, what);
    return SATCHEL_E_MISUSE;
}

/* Of two of one name the one that is not nested; "values.NAME" is the other. */
static const console_column *find_column(const console_source *s, const char *name) {
    bool nested = !strncmp(name, "values.", 7);
    for (size_t i = 0; i < s->ncolumn; i++)
        if (!nested && !strcmp(s->column[i].name, name)) return &s->column[i];
    for (size_t i = 0; i < s->ncolumn; i++)
        if (nested && (s->column[i].flags & CONSOLE_NESTED) && !strcmp(s->column[i].name, name + 7)) return &s->column[i];
    return NULL;
}

static int take_sort(listing *l) {
    const char *name = l->ask->sort && *l->ask->sort ? l->ask->sort : l->s->sort;
    l->down = *name == '-';
    if (l->down) name++;
    if (!*name) return SATCHEL_OK;
    l->sort = find_column(l->s, name);
    if (l->sort && l->nkey == 1 && !strcmp(l->sort->sql, l->s->key[0])) {
        l->sort = NULL; /* it is the key itself */
        return SATCHEL_OK;
    }
    return l->sort ? SATCHEL_OK : misuse(l, "there is no column \"%.64s\" to sort by", name);
}

/* Made up or not: what stands in it is bound as values. */
static int take_after(listing *l) {
    unsigned n = 0, want = l->nkey ? l->nkey + (l->sort ? 1 : 0) : 1;
    if (!l->ask->after) return SATCHEL_OK;
    int rc = crypto_base64url_decode(l->ask->after, &l->cursor);
    const uint8_t *p = l->cursor.p, *end = p + l->cursor.n;
    const char *sort = l->sort ? l->sort->name : "";
    size_t nsort = strlen(sort);
    if (!rc && ((size_t)(end - p) < nsort + 2 || p[0] != (l->down ? '-' : '+') || memcmp(p + 1, sort, nsort) || p[nsort + 1]))
        rc = SATCHEL_E_MALFORMED;
    if (!rc) p += nsort + 2;
    for (; !rc && n < want; n++) rc = value_get(&p, end, &l->after[n]);
    if (!rc && (p != end || (!l->nkey && (l->after[0].type != VALUE_INTEGER || l->after[0].u.i < 0)))) rc = SATCHEL_E_MALFORMED;
    l->has_after = !rc;
    return rc == SATCHEL_E_NOMEM ? rc
           : rc                  ? misuse(l, "\"after\" is not a \"next\" of this list in this order%s", "")
                                 : SATCHEL_OK;
}

/* What take_after reads. */
static void put_place(const listing *l, const value *v, unsigned n, buf *out) {
    const char *sort = l->sort ? l->sort->name : "";
    buf place = {0};
    buf_put_byte(&place, l->down ? '-' : '+');
    buf_put(&place, sort, strlen(sort) + 1);
    for (unsigned i = 0; i < n; i++) value_put(&place, &v[i]);
    crypto_base64url(place.p, place.n, out);
    if (place.rc) out->rc = place.rc;
    buf_fini(&place);
}

/* ---- the SELECT ---- */

/* Appends the parameter of a value that is to be bound. */
static void put_value(listing *l, value v) {
    l->bind[l->nbind++] = v;
    buf_printf(&l->sql, "?%u", l->nbind);
}

/* By its place: a column of a table may have any name. */
static void put_column(listing *l, const console_column *c) {
    buf_printf(&l->sql, "satchel_c%zu", (size_t)(c - l->s->column));
}

static void put_sorted(listing *l, const console_column *c) {
    put_column(l, c);
    if (c->type == CONSOLE_TEXT) buf_printf(&l->sql, " COLLATE NOCASE");
}

static void put_keys(listing *l) {
    for (unsigned i = 0; i < l->nkey; i++) buf_printf(&l->sql, "%ssatchel_k%u", i ? "," : "", i);
}

static void put_from(listing *l) {
    buf_printf(&l->sql, " FROM (SELECT ");
    for (size_t i = 0; i < l->s->ncolumn; i++) {
        buf_printf(&l->sql, "%s%s AS ", i ? "," : "", l->s->column[i].sql);
        put_column(l, &l->s->column[i]);
    }
    for (unsigned i = 0; i < l->nkey; i++) buf_printf(&l->sql, ",%s AS satchel_k%u", l->s->key[i], i);
    buf_printf(&l->sql, " FROM %s) WHERE 1", l->s->from);
}

static bool take_number(const char *text, size_t n, value *out) {
    char copy[40], *end;
    if (!n || n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    long long i = strtoll(copy, &end, 10);
    if (!*end && copy[0] != ' ') {
        *out = value_integer(i);
        return true;
    }
    double r = strtod(copy, &end);
    *out = value_real(r);
    return !*end && (copy[0] == '-' || (copy[0] >= '0' && copy[0] <= '9'));
}

/* 5, or A..B with either left out. */
static int put_range(listing *l, const console_column *c, const char *text) {
    const char *dots = strstr(text, "..");
    value low, top;
    if (!dots) {
        if (!take_number(text, strlen(text), &low)) return misuse(l, "filter.%s takes a number, or A..B", c->name);
        buf_printf(&l->sql, "=");
        put_value(l, low);
        return SATCHEL_OK;
    }
    const char *high = dots + 2;
    if ((dots > text && !take_number(text, (size_t)(dots - text), &low)) || (*high && !take_number(high, strlen(high), &top)))
        return misuse(l, "filter.%s takes a number, or A..B", c->name);
    buf_printf(&l->sql, " IS NOT NULL");
    if (dots > text) {
        buf_printf(&l->sql, " AND ");
        put_column(l, c);
        buf_printf(&l->sql, ">=");
        put_value(l, low);
    }
    if (*high) {
        buf_printf(&l->sql, " AND ");
        put_column(l, c);
        buf_printf(&l->sql, "<=");
        put_value(l, top);
    }
    return SATCHEL_OK;
}

static int put_bool(listing *l, const console_column *c, const char *text) {
    bool yes = !strcmp(text, "true") || !strcmp(text, "1");
    if (!yes && strcmp(text, "false") && strcmp(text, "0")) return misuse(l, "filter.%s takes true or false", c->name);
    buf_printf(&l->sql, yes ? "<>0" : "=0");
    return SATCHEL_OK;
}

/* Of a row of data: the text, or the number or blob that it reads as. */
static void put_data(listing *l, const char *text) {
    value v;
    buf_printf(&l->sql, " IN (");
    put_value(l, value_text(text, strlen(text)));
    if (take_number(text, strlen(text), &v)) {
        buf_put_byte(&l->sql, ',');
        put_value(l, v);
    }
    if (!field_blob(text, strlen(text), &l->blobs, &v)) {
        buf_put_byte(&l->sql, ',');
        put_value(l, v);
    }
    buf_put_byte(&l->sql, ')');
}

static int put_filter(listing *l, const console_filter *f) {
    const console_column *c = find_column(l->s, f->column);
    if (!c) return misuse(l, "there is no column \"%.64s\" to filter by", f->column);
    if (c == l->counted) return SATCHEL_OK;
    buf_printf(&l->sql, " AND (");
    put_column(l, c);
    int rc = SATCHEL_OK;
    if (!*f->value) {
        buf_printf(&l->sql, " IS NULL");
    } else if (c->type == CONSOLE_TEXT || c->type == CONSOLE_JSON) {
        buf_printf(&l->sql, "=");
        put_value(l, value_text(f->value, strlen(f->value)));
    } else if (c->type == CONSOLE_BOOL) {
        rc = put_bool(l, c, f->value);
    } else if (c->type == CONSOLE_VALUE) {
        put_data(l, f->value);
    } else {
        rc = put_range(l, c, f->value);
    }
    buf_printf(&l->sql, ")");
    return rc;
}

/* `q` as a pattern of LIKE in which nothing but the ends is open. */
static void put_search(listing *l) {
    const char *q = l->ask->q;
    bool any = false;
    if (!q || !*q) return;
    buf_put_byte(&l->pattern, '%');
    for (; *q; q++) {
        if (strchr("%_\\", *q)) buf_put_byte(&l->pattern, '\\');
        buf_put_byte(&l->pattern, (uint8_t)*q);
    }
    buf_put_byte(&l->pattern, '%');
    l->bind[l->nbind++] = value_text((const char *)l->pattern.p, l->pattern.n);
    buf_printf(&l->sql, " AND (");
    for (size_t i = 0; i < l->s->ncolumn; i++) {
        if (!(l->s->column[i].flags & CONSOLE_SEARCHED)) continue;
        buf_printf(&l->sql, any ? " OR " : "");
        put_column(l, &l->s->column[i]);
        buf_printf(&l->sql, " LIKE ?%u ESCAPE '\\'", l->nbind);
        any = true;
    }
    buf_printf(&l->sql, any ? ")" : "0)");
}

static int put_conditions(listing *l) {
    int rc = SATCHEL_OK;
    size_t room = 1;
    put_from(l);
    for (unsigned i = 0; i < l->ask->nfilter; i++) room += strlen(l->ask->filter[i].value) + 1;
    buf_reserve(&l->blobs, room);
    for (unsigned i = 0; !rc && i < l->ask->nfilter; i++) rc = put_filter(l, &l->ask->filter[i]);
    if (!rc) put_search(l);
    return rc ? rc : l->sql.rc ? l->sql.rc : l->pattern.rc ? l->pattern.rc : l->blobs.rc;
}

static void put_behind_key(listing *l, const value *key) {
    buf_printf(&l->sql, "(");
    put_keys(l);
    buf_printf(&l->sql, l->down ? ")<(" : ")>(");
    for (unsigned i = 0; i < l->nkey; i++) {
        if (i) buf_put_byte(&l->sql, ',');
        put_value(l, key[i]);
    }
    buf_put_byte(&l->sql, ')');
}

/* What comes behind the last item that was told. */
static void put_behind(listing *l) {
    const value *key = l->after + (l->sort ? 1 : 0);
    if (!l->has_after || !l->nkey) return;
    buf_printf(&l->sql, " AND (");
    if (l->sort && l->after[0].type == VALUE_NULL) {
        put_column(l, l->sort);
        buf_printf(&l->sql, " IS NULL AND ");
    } else if (l->sort) {
        put_sorted(l, l->sort);
        buf_printf(&l->sql, l->down ? "<" : ">");
        put_value(l, l->after[0]);
        unsigned at = l->nbind;
        buf_printf(&l->sql, " OR ");
        put_column(l, l->sort);
        buf_printf(&l->sql, " IS NULL OR ");
        put_sorted(l, l->sort);
        buf_printf(&l->sql, "=?%u AND ", at);
    }
    put_behind_key(l, key);
    buf_put_byte(&l->sql, ')');
}

static void put_order(listing *l) {
    const char *down = l->down ? " DESC" : "", *comma = "";
    if (!l->sort && !l->nkey) return;
    buf_printf(&l->sql, " ORDER BY ");
    if (l->sort) {
        put_column(l, l->sort);
        buf_printf(&l->sql, " IS NULL,");
        put_sorted(l, l->sort);
        buf_printf(&l->sql, "%s", down);
        comma = ",";
    }
    for (unsigned i = 0; i < l->nkey; i++, comma = ",") buf_printf(&l->sql, "%ssatchel_k%u%s", comma, i, down);
}

static int prepare(listing *l, sqlite3_stmt **q) {
    *q = NULL;
    if (l->sql.rc) return l->sql.rc;
    int rc = db_rc(sqlite3_prepare_v2(l->db, (const char *)l->sql.p, (int)l->sql.n, q, NULL));
    /* A source need not ask for all parameters that it is given. */
    unsigned n = *q ? (unsigned)sqlite3_bind_parameter_count(*q) : 0;
    for (unsigned i = 0; !rc && i < l->nbind && i < n; i++) rc = db_rc(value_bind(*q, (int)i + 1, &l->bind[i]));
    return rc;
}

/* ---- items ---- */

static void put_cell(buf *out, sqlite3_stmt *q, int at, console_type type) {
    value v = value_of_column(q, at);
    if (type == CONSOLE_BOOL && v.type == VALUE_INTEGER)
        buf_printf(out, v.u.i ? "true" : "false");
    else if (type == CONSOLE_TEXT && v.type == VALUE_INTEGER)
        buf_printf(out, "\"%" PRId64 "\"", v.u.i);
    else if (type == CONSOLE_JSON && v.type == VALUE_TEXT)
        buf_put(out, v.u.p, v.n);
    else
        record_put_value(out, &v);
}

static void put_members(const console_source *s, sqlite3_stmt *q, bool nested, buf *out) {
    const char *comma = "";
    for (size_t i = 0; i < s->ncolumn; i++) {
        const console_column *c = &s->column[i];
        if (nested != ((c->flags & CONSOLE_NESTED) != 0)) continue;
        buf_printf(out, "%s", comma);
        record_put_text(out, c->name, strlen(c->name));
        buf_put_byte(out, ':');
        put_cell(out, q, (int)i, c->type);
        comma = ",";
    }
}

static void put_item(const console_source *s, sqlite3_stmt *q, buf *out) {
    bool nested = false;
    buf_put_byte(out, '{');
    put_members(s, q, false, out);
    for (size_t i = 0; i < s->ncolumn; i++) nested = nested || (s->column[i].flags & CONSOLE_NESTED);
    if (nested) {
        buf_printf(out, ",\"values\":{");
        put_members(s, q, true, out);
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, '}');
}

static void put_columns(listing *l) {
    for (size_t i = 0; i < l->s->ncolumn; i++) {
        if (i) buf_put_byte(&l->sql, ',');
        put_column(l, &l->s->column[i]);
    }
}

/* ---- a page ---- */

/* A page is found by keys, and then told: what only tells of an item is computed for those of the page alone, however they are sorted. Without a key both are one; and where the source
 * is JSON, which every SELECT reads whole. */
static void put_found(listing *l) {
    if (l->sort) put_column(l, l->sort);
    if (l->sort) buf_put_byte(&l->sql, ',');
    put_keys(l);
}

/* The item of a key, which is bound behind the source's parameters. */
static int prepare_item(listing *l, sqlite3_stmt **item) {
    buf_clear(&l->sql);
    l->nbind = l->ask->nparam;
    buf_printf(&l->sql, "SELECT ");
    put_columns(l);
    put_from(l);
    for (unsigned i = 0; i < l->nkey; i++) buf_printf(&l->sql, " AND satchel_k%u=?%u", i, l->nbind + 1 + i);
    return prepare(l, item);
}

/* The place behind the item that q has found. */
static void note_place(const listing *l, sqlite3_stmt *q, uint64_t items, buf *out) {
    value v[1 + LIMIT_KEY_COLUMNS];
    unsigned n = l->nkey ? l->nkey + (l->sort ? 1 : 0) : 1;
    if (!l->nkey) v[0] = value_integer((int64_t)items + (l->has_after ? l->after[0].u.i : 0));
    for (unsigned i = 0; l->nkey && i < n; i++) v[i] = value_of_column(q, (int)((l->once ? l->s->ncolumn : 0) + i));
    put_place(l, v, n, out);
}

static int put_found_item(const listing *l, sqlite3_stmt *q, sqlite3_stmt *item, buf *out) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < l->nkey; i++) {
        value v = value_of_column(q, (int)(i + (l->sort ? 1 : 0)));
        rc = db_rc(value_bind(item, (int)(l->ask->nparam + 1 + i), &v));
    }
    int step = rc ? SQLITE_DONE : sqlite3_step(item);
    if (step == SQLITE_ROW) put_item(l->s, item, out);
    if (!rc && step != SQLITE_ROW) rc = step == SQLITE_DONE ? SATCHEL_E_INTERNAL : db_rc(step);
    sqlite3_reset(item);
    return rc;
}

static int put_items(const listing *l, sqlite3_stmt *q, sqlite3_stmt *item, buf *out) {
    uint64_t n = 0;
    int step = SQLITE_DONE, rc = SATCHEL_OK;
    bool full = false;
    buf next = {0};
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW && !full) {
        if (n++) buf_put_byte(out, ',');
        if (item)
            rc = put_found_item(l, q, item, out);
        else
            put_item(l->s, q, out);
        full = n == l->ask->limit || out->n >= CONSOLE_PAGE_BYTES;
        if (full) note_place(l, q, n, &next);
    }
    if (!rc) rc = step == SQLITE_ROW || step == SQLITE_DONE ? next.rc : db_rc(step);
    buf_printf(out, "],\"next\":");
    if (step == SQLITE_ROW)
        record_put_text(out, (const char *)next.p, next.n);
    else
        buf_printf(out, "null");
    buf_fini(&next);
    return rc;
}

static int put_page(listing *l, buf *out) {
    sqlite3_stmt *q = NULL, *item = NULL;
    buf_printf(&l->sql, "SELECT ");
    if (l->once) put_columns(l);
    if (l->once && l->nkey) buf_put_byte(&l->sql, ',');
    if (l->nkey) put_found(l);
    int rc = put_conditions(l);
    if (rc) return rc;
    put_behind(l);
    put_order(l);
    buf_printf(&l->sql, " LIMIT %llu", l->ask->limit + 1);
    if (!l->nkey && l->has_after) buf_printf(&l->sql, " OFFSET %" PRId64, l->after[0].u.i);
    rc = prepare(l, &q);
    if (!rc && !l->once) rc = prepare_item(l, &item);
    buf_printf(out, "{\"items\":[");
    if (!rc) rc = put_items(l, q, item, out);
    sqlite3_finalize(q);
    sqlite3_finalize(item);
    return rc;
}

/* Another SELECT over the same items. */
static void begin_again(listing *l) {
    buf_clear(&l->sql);
    buf_clear(&l->pattern);
    buf_clear(&l->blobs);
    l->nbind = l->ask->nparam;
}

static int put_total(listing *l, buf *out) {
    sqlite3_stmt *q = NULL;
    begin_again(l);
    buf_printf(&l->sql, "SELECT count(*)");
    int rc = put_conditions(l);
    if (!rc) rc = prepare(l, &q);
    if (!rc && sqlite3_step(q) == SQLITE_ROW)
        buf_printf(out, ",\"total\":%lld", (long long)sqlite3_column_int64(q, 0));
    else if (!rc)
        rc = db_rc(sqlite3_errcode(l->db));
    sqlite3_finalize(q);
    return rc;
}

static int put_counts(listing *l, buf *out) {
    sqlite3_stmt *q = NULL;
    const char *comma = "";
    int step = SQLITE_DONE;
    l->counted = find_column(l->s, l->ask->counts);
    if (!l->counted) return misuse(l, "there is no column \"%.64s\" to count by", l->ask->counts);
    begin_again(l);
    buf_printf(&l->sql, "SELECT ");
    put_column(l, l->counted);
    buf_printf(&l->sql, ",count(*)");
    int rc = put_conditions(l);
    buf_printf(&l->sql, " GROUP BY 1 ORDER BY 2 DESC,1 LIMIT %u", CONSOLE_COUNTS);
    if (!rc) rc = prepare(l, &q);
    buf_printf(out, ",\"counts\":[");
    for (; !rc && (step = sqlite3_step(q)) == SQLITE_ROW; comma = ",") {
        buf_printf(out, "%s{\"value\":", comma);
        put_cell(out, q, 0, l->counted->type);
        buf_printf(out, ",\"count\":%" PRId64 "}", (int64_t)sqlite3_column_int64(q, 1));
    }
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    buf_put_byte(out, ']');
    sqlite3_finalize(q);
    return rc;
}

/* ---- CSV (RFC 4180) ---- */

void console_put_csv_text(buf *out, const char *p, size_t n) {
    bool formula = n && strchr("=+-@\t\r", p[0]);
    bool quoted = formula || memchr(p, ',', n) || memchr(p, '"', n) || memchr(p, '\n', n) || memchr(p, '\r', n);
    if (!quoted) {
        buf_put(out, p, n);
        return;
    }
    buf_put_byte(out, '"');
    if (formula) buf_put_byte(out, '\'');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"') buf_put_byte(out, '"');
        buf_put_byte(out, (uint8_t)p[i]);
    }
    buf_put_byte(out, '"');
}

static void put_csv_cell(buf *out, sqlite3_stmt *q, int at, console_type type) {
    value v = value_of_column(q, at);
    if (v.type == VALUE_NULL || v.type == VALUE_ABSENT) return;
    if (type == CONSOLE_BOOL)
        buf_printf(out, v.u.i ? "true" : "false");
    else if (v.type == VALUE_TEXT)
        console_put_csv_text(out, v.n ? (const char *)v.u.p : "", v.n);
    else
        value_put_literal(out, &v);
}

static int put_csv_rows(listing *l, sqlite3_stmt *q, buf *out) {
    int step;
    while ((step = sqlite3_step(q)) == SQLITE_ROW && out->n < CONSOLE_CSV_BYTES) {
        for (size_t i = 0; i < l->s->ncolumn; i++) {
            if (i) buf_put_byte(out, ',');
            put_csv_cell(out, q, (int)i, l->s->column[i].type);
        }
        buf_printf(out, "\r\n");
    }
    if (step != SQLITE_ROW) return step == SQLITE_DONE ? SATCHEL_OK : db_rc(step);
    buf_printf(l->error, "this list is over %zu MiB as text; filter it", CONSOLE_CSV_BYTES >> 20);
    return SATCHEL_E_LIMIT;
}

static int put_csv(listing *l, buf *out) {
    sqlite3_stmt *q;
    buf_printf(&l->sql, "SELECT ");
    put_columns(l);
    int rc = put_conditions(l);
    if (rc) return rc;
    put_order(l);
    rc = prepare(l, &q);
    for (size_t i = 0; i < l->s->ncolumn; i++) {
        if (i) buf_put_byte(out, ',');
        console_put_csv_text(out, l->s->column[i].name, strlen(l->s->column[i].name));
    }
    buf_printf(out, "\r\n");
    if (!rc) rc = put_csv_rows(l, q, out);
    sqlite3_finalize(q);
    return rc;
}

/* ---- the whole ---- */

static void init(listing *l, sqlite3 *db, const console_source *s, const console_ask *ask, buf *error) {
    *l = (listing){.db = db, .s = s, .ask = ask, .error = error, .nbind = ask->nparam};
    while (l->nkey < LIMIT_KEY_COLUMNS && s->key[l->nkey]) l->nkey++;
    l->once = !l->nkey || !strncmp(s->from, "json_each(", 10);
    for (unsigned i = 0; i < ask->nparam; i++) l->bind[i] = ask->param[i];
}

static void fini(listing *l) {
    buf_fini(&l->sql);
    buf_fini(&l->pattern);
    buf_fini(&l->blobs);
    buf_fini(&l->cursor);
}

int console_list(sqlite3 *db, const console_source *s, const console_ask *ask, buf *out, buf *error) {
    listing *l = malloc(sizeof *l);
    if (!l) return SATCHEL_E_NOMEM;
    init(l, db, s, ask, error);
    int rc = take_sort(l);
    if (!rc && !ask->csv) rc = take_after(l);
    if (!rc) rc = ask->csv ? put_csv(l, out) : put_page(l, out);
    if (!rc && !ask->csv) rc = put_total(l, out);
    if (!rc && !ask->csv && ask->counts) rc = put_counts(l, out);
    fini(l);
    free(l);
    return rc ? rc : out->rc;
}

int console_item(sqlite3 *db, const console_source *s, const value *param, unsigned nparam, buf *out) {
    console_ask ask = {.nparam = nparam};
    sqlite3_stmt *q = NULL;
    listing *l = malloc(sizeof *l);
    if (!l) return SATCHEL_E_NOMEM;
    for (unsigned i = 0; i < nparam; i++) ask.param[i] = param[i];
    init(l, db, s, &ask, NULL);
    buf_printf(&l->sql, "SELECT ");
    put_columns(l);
    put_from(l);
    int rc = prepare(l, &q);
    int step = rc ? SQLITE_DONE : sqlite3_step(q);
    if (step == SQLITE_ROW) put_item(s, q, out);
    if (!rc && step != SQLITE_ROW && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    fini(l);
    free(l);
    return rc ? rc : out->rc ? out->rc : step == SQLITE_ROW;
}
