/* Why a field has its value: who wrote a row and its fields, what came together, and what was refused. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "protocol/wire.h"
#include "server/console_private.h"
#include "server/refusal.h"

/* Of one row, the newest; older ones are not looked for. */
#define ENTRIES 5000u
#define ENTRIES_BYTES (16u << 20)

typedef struct field {
    uint32_t column;
    size_t at, n; /* its value as JSON, in story.values; behind that as people read it, and a zero */
} field;

/* What one commit did to the row; or, `none`, only lost in it. */
typedef struct entry {
    uint64_t seq, stamp;
    int64_t at_ms, author;
    delta_op op;
    bool none;
    size_t field, nfield; /* in story.field */
} entry;

typedef struct story {
    console *k;
    const console_row_named *row;
    entry *entry; /* newest first */
    size_t nentry, room;
    field *field;
    size_t nfield, field_room;
    buf values;
    delta_row in;
    bool cut; /* there are older ones */
} story;

static void *grown(void *p, size_t n, size_t *room, size_t size) {
    if (n < *room) return p;
    size_t more = *room ? 2 * *room : 64;
    void *q = realloc(p, more * size);
    if (q) *room = more;
    return q;
}

static int add_entry(story *s, entry e) {
    entry *more = grown(s->entry, s->nentry, &s->room, sizeof *more);
    if (!more) return SATCHEL_E_NOMEM;
    s->entry = more;
    s->entry[s->nentry++] = e;
    return SATCHEL_OK;
}

static int add_field(story *s, uint32_t column, const value *v) {
    field *more = grown(s->field, s->nfield, &s->field_room, sizeof *more);
    if (!more) return SATCHEL_E_NOMEM;
    s->field = more;
    size_t at = s->values.n;
    record_put_value(&s->values, v);
    size_t n = s->values.n - at;
    value_put_literal(&s->values, v);
    s->field[s->nfield++] = (field){.column = column, .at = at, .n = n};
    buf_put_byte(&s->values, 0);
    return s->values.rc;
}

static bool is_the_row(const story *s) {
    const schema_table *t = s->row->t;
    if (s->in.table != t->id || s->in.nkey != t->nkey) return false;
    for (unsigned i = 0; i < t->nkey; i++)
        if (!value_equal(&s->in.key[i], &s->row->row.key[i])) return false;
    return true;
}

static int take_delta(story *s, sqlite3_stmt *q) {
    wire w;
    delta_reader r;
    int more, rc = SATCHEL_OK;
    wire_open(&w, sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4));
    delta_open(&r, &w);
    while (!rc && (more = delta_next(&r, &s->in)) == 1) {
        if (!is_the_row(s)) continue;
        entry e = {.seq = (uint64_t)sqlite3_column_int64(q, 0) >> 24,
                   .author = sqlite3_column_int64(q, 1),
                   .stamp = (uint64_t)sqlite3_column_int64(q, 2),
                   .at_ms = sqlite3_column_int64(q, 3),
                   .op = s->in.op,
                   .field = s->nfield,
                   .nfield = s->in.ncol};
        for (unsigned i = 0; !rc && i < s->in.ncol; i++) rc = add_field(s, s->in.col[i].id, &s->in.v[i]);
        if (!rc) rc = add_entry(s, e);
    }
    return rc ? rc : more;
}

/* What the log has of the row. An entry that tells of it has the key's first value, as it is written there. */
static int read_log(story *s) {
    db_cache *cache = &s->k->file->cache;
    buf needle = {0};
    int more = 0, rc = SATCHEL_OK;
    wire_put_value(&needle, &s->row->row.key[0]);
    sqlite3_stmt *q = db_prepare(cache, "SELECT id,author,stamp,at_ms,delta FROM satchel_log WHERE besides=0 ORDER BY id DESC");
    while (!rc && !s->cut && (more = db_next(cache, q)) == 1) {
        if (memmem(sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4), needle.p, needle.n)) rc = take_delta(s, q);
        s->cut = s->nentry >= ENTRIES || s->values.n >= ENTRIES_BYTES;
    }
    if ((rc || s->cut) && q) sqlite3_reset(q);
    buf_fini(&needle);
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

static bool is_same(const story *s, const field *a, const field *b) {
    return a->n == b->n && !memcmp(s->values.p + a->at, s->values.p + b->at, a->n);
}

/* A row that changes hands is told whole: what was there before is no change. So the entries are gone through in the order in which they were. */
static void tell_apart(story *s) {
    field *is[LIMIT_COLUMNS + 1] = {0}; /* by place, as of the entry at hand */
    bool there = false;
    const schema_table *t = s->row->t;
    for (size_t i = s->nentry; i-- > 0;) {
        entry *e = &s->entry[i];
        bool whole = e->op == DELTA_PUT && there;
        size_t kept = 0;
        for (size_t j = 0; j < e->nfield; j++) {
            field *f = &s->field[e->field + j];
            unsigned place = 0;
            while (place < t->ncol && t->col[place]->id != f->column) place++;
            bool same = whole && is[place] && is_same(s, is[place], f);
            if (!same) s->field[e->field + kept++] = *f;
            if (!same) is[place] = &s->field[e->field + kept - 1];
        }
        e->nfield = kept;
        if (whole) e->op = DELTA_UPDATE;
        if (e->op == DELTA_DELETE) memset(is, 0, sizeof is);
        there = e->op == DELTA_PUT || (e->op == DELTA_UPDATE && there);
    }
}

/* What only lost leaves nothing in the log. */
static int add_losers(story *s) {
    db_cache *cache = &s->k->file->cache;
    int rc;
    sqlite3_stmt *q = db_prepare(
        cache,
        "SELECT DISTINCT seq,at_ms,lost_author,lost_stamp FROM satchel_conflict WHERE tbl=? AND key=? ORDER BY id DESC LIMIT ?");
    db_bind(q, "ibi", (int64_t)s->row->t->id, s->row->row.bytes.p, s->row->row.bytes.n, (int64_t)ENTRIES);
    size_t told = s->nentry;
    while ((rc = db_next(cache, q)) == 1) {
        entry e = {.seq = (uint64_t)sqlite3_column_int64(q, 0),
                   .at_ms = sqlite3_column_int64(q, 1),
                   .author = sqlite3_column_int64(q, 2),
                   .stamp = (uint64_t)sqlite3_column_int64(q, 3),
                   .none = true};
        bool known = false;
        for (size_t i = 0; !known && i < told; i++) known = s->entry[i].seq == e.seq;
        for (size_t i = told; !known && i < s->nentry; i++) known = s->entry[i].seq == e.seq;
        int added = known ? SATCHEL_OK : add_entry(s, e);
        if (added) {
            sqlite3_reset(q);
            return added;
        }
    }
    return rc;
}

static int newest_first(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return x->seq < y->seq ? 1 : x->seq > y->seq ? -1 : 0;
}

static int story_read(story *s, console *k, const console_row_named *row) {
    memset(s, 0, sizeof *s);
    s->k = k;
    s->row = row;
    int rc = read_log(s);
    if (rc) return rc;
    tell_apart(s);
    rc = add_losers(s);
    if (!rc && s->nentry) qsort(s->entry, s->nentry, sizeof *s->entry, newest_first);
    return rc;
}

static void story_fini(story *s) {
    free(s->entry);
    free(s->field);
    buf_fini(&s->values);
}

/* ---- GET /v1/admin/history ---- */

/* The conflicts of the row, newest commit first: they are read in step with its entries. */
typedef struct decisions {
    db_cache *cache;
    sqlite3_stmt *q;
    int more; /* of db_next: 1, it stands on one */
} decisions;

static void decisions_begin(const story *s, decisions *d) {
    d->cache = &s->k->file->cache;
    d->q = db_prepare(
        d->cache,
        "SELECT c.id,c.col,c.rule,coalesce(console_literals(c.kept),'NULL'),coalesce(k.name,'server'),coalesce(console_literals(c.lost),"
        "'NULL'),coalesce(o.name,'server'),console_made(c.lost_stamp,c.lost_author,c.at_ms),c.seq FROM satchel_conflict c"
        " LEFT JOIN satchel_author ka ON ka.author=c.kept_author LEFT JOIN satchel_device k ON k.id=ka.device"
        " LEFT JOIN satchel_author oa ON oa.author=c.lost_author LEFT JOIN satchel_device o ON o.id=oa.device"
        " WHERE c.tbl=? AND c.key=? ORDER BY c.seq DESC,c.id");
    db_bind(d->q, "ib", (int64_t)s->row->t->id, s->row->row.bytes.p, s->row->row.bytes.n);
    d->more = db_next(d->cache, d->q);
}

static void decisions_end(decisions *d) {
    if (d->more == 1) sqlite3_reset(d->q);
}

static void put_decision(sqlite3_stmt *q, const schema_column *col, bool first, buf *out) {
    buf_printf(out, "%s{\"id\":%" PRId64, first ? "" : ",", (int64_t)sqlite3_column_int64(q, 0));
    console_put_text(out, "column", col ? col->name : NULL);
    console_put_text(out, "rule", merge_rule_name((merge_rule)sqlite3_column_int(q, 2)));
    console_put_text(out, "kept", (const char *)sqlite3_column_text(q, 3));
    console_put_text(out, "kept_device", (const char *)sqlite3_column_text(q, 4));
    console_put_text(out, "lost", (const char *)sqlite3_column_text(q, 5));
    console_put_text(out, "lost_device", (const char *)sqlite3_column_text(q, 6));
    console_put_integer(out, "lost_made_ms", sqlite3_column_int64(q, 7));
    buf_put_byte(out, '}');
}

/* Those that a commit decided, of the column (NULL: of all): how many. Older commits are asked for later. */
static int put_decisions(const story *s, decisions *d, uint64_t seq, const schema_column *only, buf *out, unsigned *n) {
    *n = 0;
    buf_printf(out, ",\"conflicts\":[");
    for (; d->more == 1 && (uint64_t)sqlite3_column_int64(d->q, 8) >= seq; d->more = db_next(d->cache, d->q)) {
        const schema_column *col = schema_column_by_id(s->row->t, (uint32_t)sqlite3_column_int64(d->q, 1));
        if ((uint64_t)sqlite3_column_int64(d->q, 8) == seq && (!only || !col || col == only))
            put_decision(d->q, col, !(*n)++, out);
    }
    buf_put_byte(out, ']');
    return d->more < 0 ? d->more : SATCHEL_OK;
}

static bool touches(const story *s, const entry *e, const schema_column *only) {
    bool any = !only || e->op == DELTA_DELETE;
    for (size_t i = 0; !any && i < e->nfield; i++) any = s->field[e->field + i].column == only->id;
    return any && !e->none && (e->nfield || e->op != DELTA_UPDATE);
}

static void put_values(const story *s, const entry *e, const schema_column *only, buf *out) {
    const char *comma = "";
    buf_printf(out, ",\"values\":{");
    for (size_t i = 0; i < e->nfield; i++) {
        const field *f = &s->field[e->field + i];
        const schema_column *col = schema_column_by_id(s->row->t, f->column);
        if (!col || (only && only != col)) continue;
        buf_printf(out, "%s", comma);
        record_put_text(out, col->name, strlen(col->name));
        buf_put_byte(out, ':');
        buf_put(out, s->values.p + f->at, f->n);
        comma = ",";
    }
    buf_put_byte(out, '}');
}

/* *told: it is in the answer; one that the asked field has nothing to do with is not. */
static int put_entry(const story *s, const entry *e, const schema_column *only, decisions *d, bool first, buf *out, bool *told) {
    static const char *const OP[] = {"insert", "update", "delete", "delete"};
    size_t began = out->n;
    unsigned decided;
    console_author by;
    bool wrote = touches(s, e, only);
    int rc = console_find_author(s->k, e->author, &by);
    buf_printf(out, "%s{\"seq\":%" PRIu64, first ? "" : ",", e->seq);
    console_put_integer(out, "at_ms", e->at_ms);
    console_put_made(e->stamp, e->author, out);
    console_put_author(&by, out);
    console_put_text(out, "op", wrote ? OP[e->op] : "none");
    put_values(s, e, only, out);
    if (!rc) rc = put_decisions(s, d, e->seq, only, out, &decided);
    buf_put_byte(out, '}');
    *told = !rc && (wrote || decided);
    if (!*told) out->n = began;
    return rc;
}

static int put_entries(const story *s, const schema_column *only, buf *out) {
    bool first = true, told;
    decisions d;
    int rc = SATCHEL_OK;
    decisions_begin(s, &d);
    buf_put_byte(out, '[');
    for (size_t i = 0; !rc && i < s->nentry; i++) {
        rc = put_entry(s, &s->entry[i], only, &d, first, out, &told);
        first = first && !told;
    }
    decisions_end(&d);
    buf_put_byte(out, ']');
    buf_put_byte(out, 0);
    return rc ? rc : out->rc;
}

/* What is told beside the entries. */
static int put_row(story *s, const schema_column *only, buf *out) {
    int64_t set;
    const entry *oldest = s->nentry ? &s->entry[s->nentry - 1] : NULL;
    bool whole = !s->cut && (!s->k->at.floor || (oldest && oldest->op == DELTA_PUT && !oldest->none));
    console_put_text(out, "table", s->row->t->name);
    int rc = console_put_row_label(s->k, s->row, out);
    if (!rc) rc = console_put_fields(s->k, s->row, only, &set, out);
    buf_printf(out, ",\"complete\":%s", whole ? "true" : "false");
    return rc ? rc : out->rc;
}

#define MEMBER(name, type, flags)                                                                                                \
    { #name, "value->>'" #name "'", type, flags }
static const console_column ENTRY[] = {MEMBER(seq, CONSOLE_INTEGER, 0),
                                       MEMBER(at_ms, CONSOLE_INTEGER, 0),
                                       MEMBER(made_ms, CONSOLE_INTEGER, 0),
                                       MEMBER(device, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                       MEMBER(device_id, CONSOLE_INTEGER, 0),
                                       MEMBER(user, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                       MEMBER(op, CONSOLE_TEXT, 0),
                                       {"values", "value->'values'", CONSOLE_JSON, CONSOLE_SEARCHED},
                                       {"conflicts", "value->'conflicts'", CONSOLE_JSON, CONSOLE_SEARCHED}};
#undef MEMBER
/* ?5: the entries, newest first. */
static const console_source HISTORY = {"json_each(?5)", ENTRY, sizeof ENTRY / sizeof *ENTRY, {"value->>'seq'", "-key"}, "-"};

static int find_column(const console_row_named *row, const char *name, const schema_column **out, buf *words) {
    *out = NULL;
    for (unsigned i = 0; name && !*out && i < row->t->ncol; i++)
        if (!strcmp(row->t->col[i]->name, name)) *out = row->t->col[i];
    if (!name || *out) return SATCHEL_OK;
    buf_printf(words, "table %s has no column %.128s", row->t->name, name);
    return SATCHEL_E_NOT_FOUND;
}

static int make_history(console *k, const console_row_named *row, const schema_column *only, buf *entries, buf *more) {
    story *s = malloc(sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    int rc = story_read(s, k, row);
    if (!rc) rc = put_entries(s, only, entries);
    if (!rc) rc = put_row(s, only, more);
    story_fini(s);
    free(s);
    return rc;
}

void console_history(api_call *c, api_reader *r) {
    const char *table = api_arg(c, "table"), *key = api_arg(c, "key");
    const schema_column *only;
    console_row_named row = {0};
    buf words = {0}, entries = {0}, more = {0};
    console *k = console_begin(c, r);
    if (!k) return;
    int rc = table && key ? console_name_row(k, table, key, &row, &words) : SATCHEL_E_MISUSE;
    if (rc == SATCHEL_E_MISUSE && !words.n) buf_printf(&words, "which table, and which key?");
    if (!rc) rc = find_column(&row, api_arg(c, "column"), &only, &words);
    if (!rc) rc = make_history(k, &row, only, &entries, &more);
    if (rc)
        console_end(c, r, k, rc, &words);
    else
        console_answer_more(c, r, k, &HISTORY, 0, (const char *)entries.p, &more);
    console_row_fini(&row);
    buf_fini(&words);
    buf_fini(&entries);
    buf_fini(&more);
}

/* ---- GET /v1/admin/conflicts/{id} ---- */

typedef struct conflict {
    uint64_t stamp[2];
    int64_t author[2]; /* of what was kept, and what was lost */
    uint64_t seq;
    uint32_t column;
    char *table, *key;
} conflict;

static char *copy_text(sqlite3_stmt *q, int at) {
    const char *text = (const char *)sqlite3_column_text(q, at);
    return text ? strdup(text) : NULL;
}

static int find_conflict(const console *k, int64_t id, conflict *out) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q =
        db_prepare(cache, "SELECT kept_stamp,lost_stamp,kept_author,lost_author,col,console_table(tbl),console_literals(key),seq"
                          " FROM satchel_conflict WHERE id=?");
    db_bind(q, "i", id);
    int rc = db_next(cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    *out = (conflict){.stamp = {(uint64_t)sqlite3_column_int64(q, 0), (uint64_t)sqlite3_column_int64(q, 1)},
                      .author = {sqlite3_column_int64(q, 2), sqlite3_column_int64(q, 3)},
                      .column = (uint32_t)sqlite3_column_int64(q, 4),
                      .table = copy_text(q, 5),
                      .key = copy_text(q, 6),
                      .seq = (uint64_t)sqlite3_column_int64(q, 7)};
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* What the column held before the first of the two was written; NULL: the log does not tell. The one that lost when it came left nothing in the log: then what was kept is the first. */
static const field *find_base(const story *s, const conflict *f, bool *known) {
    bool seen = false;
    *known = false;
    size_t first = 0;
    for (size_t i = 0; i < s->nentry; i++) {
        const entry *e = &s->entry[i];
        for (int side = 0; side < 2; side++)
            if (!e->none && e->author == f->author[side] && e->stamp == f->stamp[side]) first = i, seen = true;
    }
    for (size_t i = first + 1; seen && i < s->nentry; i++) {
        const entry *e = &s->entry[i];
        for (size_t j = 0; !e->none && j < e->nfield; j++)
            if (s->field[e->field + j].column == f->column) {
                *known = true;
                return &s->field[e->field + j];
            }
        if (e->op == DELTA_PUT && !e->none) break;
    }
    /* The row begins with it. */
    *known = seen && !s->cut && !s->entry[first].none && s->entry[first].op == DELTA_PUT;
    return NULL;
}

/* "current": what stands there, and who wrote it; "values": the row. */
static int put_now(const console *k, const console_row_named *row, uint32_t column, buf *out) {
    row_clock *clock = malloc(sizeof *clock);
    buf sql = {0}, literal = {0};
    sqlite3_stmt *q = NULL;
    const schema_table *t = row->t;
    const schema_column *col = column ? schema_column_by_id(t, column) : NULL;
    int rc = clock ? SATCHEL_OK : SATCHEL_E_NOMEM, at = -1;
    buf_printf(&sql, "SELECT satchel_clock");
    for (unsigned i = 0; i < t->ncol; i++) {
        buf_put_byte(&sql, ',');
        scope_put_name(&sql, t->col[i]->name);
        if (t->col[i] == col) at = (int)i + 1;
    }
    console_put_from_row(&sql, t);
    if (!rc) rc = sql.rc ? sql.rc : db_rc(sqlite3_prepare_v2(k->file->db, (const char *)sql.p, (int)sql.n, &q, NULL));
    for (unsigned i = 0; !rc && i < t->nkey; i++) rc = db_rc(value_bind(q, (int)i + 1, &row->row.key[i]));
    int step = rc ? SQLITE_DONE : sqlite3_step(q);
    console_author by = {0};
    if (step == SQLITE_ROW && at > 0 && !clock_decode(clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0))) {
        field_clock w = clock_get(clock, col->unit);
        value v = value_of_column(q, at);
        value_put_literal(&literal, &v);
        buf_put_byte(&literal, 0);
        rc = console_find_author(k, w.author, &by);
        console_put_text(out, "current", (const char *)literal.p);
        console_put_text(out, "current_device", by.name);
        int64_t ms = console_made_ms(w.stamp, w.author);
        if (ms)
            console_put_integer(out, "current_made_ms", ms);
        else
            buf_printf(out, ",\"current_made_ms\":null");
    } else {
        buf_printf(out, ",\"current\":null,\"current_device\":null,\"current_made_ms\":null");
    }
    buf_printf(out, step == SQLITE_ROW ? ",\"values\":{" : ",\"values\":null");
    for (unsigned i = 0; step == SQLITE_ROW && i < t->ncol; i++) {
        value v = value_of_column(q, (int)i + 1);
        if (i) buf_put_byte(out, ',');
        record_put_text(out, t->col[i]->name, strlen(t->col[i]->name));
        buf_put_byte(out, ':');
        record_put_value(out, &v);
    }
    if (step == SQLITE_ROW) buf_put_byte(out, '}');
    sqlite3_finalize(q);
    free(clock);
    buf_fini(&sql);
    buf_fini(&literal);
    return rc;
}

static int put_base(const story *s, const conflict *f, buf *out) {
    bool known;
    const field *base = f->column ? find_base(s, f, &known) : NULL;
    if (!f->column) known = false;
    console_put_text(out, "base", base ? (const char *)s->values.p + base->at + base->n : NULL);
    buf_printf(out, ",\"base_known\":%s", known ? "true" : "false");
    return SATCHEL_OK;
}

static int put_conflict(console *k, int64_t id, buf *out, buf *words) {
    conflict f = {0};
    console_row_named row = {0};
    story *s = calloc(1, sizeof *s);
    int rc = s ? find_conflict(k, id, &f) : SATCHEL_E_NOMEM;
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(words, "there is no conflict %" PRId64, id);
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    buf_printf(out, ",\"conflict\":");
    if (!rc && (rc = console_put_one(k, &CONSOLE_CONFLICTS, id, NULL, out)) == 1) rc = SATCHEL_OK;
    bool live = !rc && f.table && f.key && schema_table_by_name(k->schema, f.table);
    if (live) rc = console_name_row(k, f.table, f.key, &row, words);
    if (live && !rc) rc = put_now(k, &row, f.column, out);
    if (live && !rc) rc = story_read(s, k, &row);
    if (live && !rc) rc = put_base(s, &f, out);
    if (!live && !rc)
        buf_printf(
            out,
            ",\"current\":null,\"current_device\":null,\"current_made_ms\":null,\"values\":null,\"base\":null,\"base_known\":false");
    buf_put_byte(out, '}');
    if (s) story_fini(s);
    free(s);
    console_row_fini(&row);
    free(f.table);
    free(f.key);
    return rc;
}

void console_conflict(api_call *c, api_reader *r) {
    console_tell_one(c, r, put_conflict);
}

/* ---- GET /v1/admin/refusals/{id} ---- */

static int find_refusal(const console *k, const char *id, int64_t *author, int64_t *number, char device[LIMIT_NAME_BYTES + 1],
                        int64_t *base) {
    db_cache *cache = &k->file->cache;
    char end;
    if (strlen(id) > 40 || sscanf(id, "%" SCNd64 "-%" SCNd64 "%c", author, number, &end) != 2) return SATCHEL_E_NOT_FOUND;
    sqlite3_stmt *q =
        db_prepare(cache, "SELECT d.name,coalesce(f.base,0) FROM satchel_refused f JOIN satchel_author a USING(author)"
                          " JOIN satchel_device d ON d.id=a.device WHERE f.author=? AND f.number=?");
    db_bind(q, "ii", *author, *number);
    int rc = db_next(cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    sqlite3_snprintf(LIMIT_NAME_BYTES + 1, device, "%s", sqlite3_column_text(q, 0));
    *base = sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int put_refusal(console *k, const char *id, buf *out, buf *words) {
    int64_t author, number, base;
    char device[LIMIT_NAME_BYTES + 1], text[24];
    buf shown = {0};
    int rc = find_refusal(k, id, &author, &number, device, &base);
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(words, "there is no refused transaction %.40s", id);
    if (rc) return rc;
    snprintf(text, sizeof text, "%" PRId64, number);
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    buf_printf(out, ",\"refusal\":");
    if ((rc = console_put_one(k, &CONSOLE_REFUSALS, author, text, out)) == 1) rc = SATCHEL_OK;
    console_put_integer(out, "base", base);
    if (!rc) rc = refusal_changes(&k->over, author, (uint64_t)number, &shown);
    buf_put(out, shown.p, shown.n);
    buf_fini(&shown);
    return rc;
}

void console_refusal(api_call *c, api_reader *r) {
    buf words = {0};
    console *k = console_begin(c, r);
    if (!k) return;
    api_answer(c, 200);
    int rc = put_refusal(k, c->table, &c->out.body, &words);
    console_end(c, r, k, rc, &words);
    buf_fini(&words);
}
