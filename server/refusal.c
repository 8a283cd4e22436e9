#include "server/refusal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/record.h"
#include "server/row_query.h"
#include "server/store_private.h"

#define CHANGES_TOLD 1000u
/* It is edited and merged as a whole, in memory and on the writer's thread. */
#define RETRY_BYTES (4u << 20)

/* ---- finding it ---- */

static int none(store *s) {
    return store_fail(s, SATCHEL_E_NOT_FOUND, "this device has no refused transaction of this number");
}

int refusal_find(store *s, const char *device, uint64_t number, const int64_t *wanted, int64_t *author) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT f.author FROM satchel_refused f JOIN satchel_author a USING(author)"
                                            " JOIN satchel_device d ON d.id=a.device WHERE d.name=?1 AND f.number=?2"
                                            " AND (NOT ?3 OR f.author=?4) ORDER BY d.id DESC, f.state='open' DESC LIMIT 1");
    db_bind(q, "siii", device, (int64_t)number, (int64_t)(wanted != NULL), wanted ? *wanted : 0);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : none(s);
    *author = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* Of a retry, *retries: what its author knew. */
static int check_open(store *s, int64_t author, uint64_t number, ingest_retry *retries) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT state='open',root IS NOT NULL,base FROM satchel_refused JOIN satchel_result"
                                            " USING(author,number) WHERE author=? AND number=?");
    db_bind(q, "ii", author, (int64_t)number);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : none(s);
    bool open = sqlite3_column_int(q, 0) != 0;
    *retries = (ingest_retry){
        .is = sqlite3_column_int(q, 1) != 0, .author = (uint32_t)author, .base = (uint64_t)sqlite3_column_int64(q, 2)};
    sqlite3_reset(q);
    return open ? SATCHEL_OK : store_fail(s, SATCHEL_E_RESOLVED, satchel_rc_text(SATCHEL_E_RESOLVED));
}

/* The numbers of a chain: what was refused first, and its retries. */
#define CHAIN(author, root)                                                                                                      \
    "IN (SELECT " root " UNION ALL SELECT x.number FROM satchel_result x WHERE x.author=" author " AND x.root=" root ")"
_Static_assert(TXN_LINE_BYTES == 4, "as `same` has it: ids of a chain begin alike");

/* What was taken over from another incarnation's results is that one's refusal. */
static const char REFUSAL_OF[] =
    "SELECT r.author,r.number,r.rc<>0 AND f.state='open' AS open,substr(r.id,1,4) IS substr(?3,1,4) AS same,r.author=?1 AS own"
    " FROM satchel_author a JOIN satchel_author b USING(device) JOIN satchel_result r ON r.author=b.author"
    " LEFT JOIN satchel_refused f ON f.author=r.author AND f.number=r.number"
    " WHERE a.author=?1 AND r.number " CHAIN(
        "b.author", "?2") " AND (r.rc=0 OR f.author IS NOT NULL)"
                          " AND (same OR (?4 AND r.rc<>0 AND (own OR " STORE_MAY_SHARE(
                              "?2") ")))"
                                    " ORDER BY r.rc=0 DESC,same DESC,same AND open DESC,own DESC,open DESC,r.number DESC LIMIT 1";

int refusal_of(store *s, int64_t author, uint64_t number, const uint8_t *id, bool by_number, refusal *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, REFUSAL_OF);
    db_bind(q, "iibi", author, (int64_t)number, id, id ? (size_t)TXN_ID_BYTES : (size_t)0, (int64_t)by_number);
    int rc = db_next(&s->cache, q);
    *out = (refusal){.root = number};
    if (rc != 1) return rc;
    out->author = sqlite3_column_int64(q, 0);
    out->number = (uint64_t)sqlite3_column_int64(q, 1);
    out->open = sqlite3_column_int(q, 2) != 0;
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int refusal_settle(store *s, int64_t by, const refusal *of, const char *state, uint64_t now_ms) {
    int rc = SATCHEL_OK;
    if (by == of->author) /* another copy of its file says nothing of what it knows */
        rc = db_exec(&s->cache, "UPDATE satchel_refused SET untold=?1 WHERE author=?2 AND untold AND number " CHAIN("?2", "?3"),
                     "iii", (int64_t)REFUSED_TOLD, of->author, (int64_t)of->root);
    if (!rc)
        rc = db_exec(&s->cache, "UPDATE satchel_refused SET state=?,resolved_ms=? WHERE author=? AND number=? AND state='open'",
                     "siii", state, (int64_t)now_ms, of->author, (int64_t)of->number);
    return rc ? rc
              : db_exec(&s->cache, "DELETE FROM satchel_refused_row WHERE author=? AND number=?", "ii", of->author,
                        (int64_t)of->number);
}

/* By an admin: the device does not know of it yet. */
static int settle_here(store *s, int64_t author, uint64_t number, const char *state, uint64_t now_ms) {
    const refusal it = {.author = author, .number = number, .root = number, .open = true};
    int rc = refusal_settle(s, author, &it, state, now_ms);
    if (!rc)
        rc = db_exec(&s->cache, "UPDATE satchel_refused SET untold=? WHERE author=? AND number=?", "iii", (int64_t)REFUSED_UNTOLD,
                     author, (int64_t)number);
    if (!rc) s->settled_author = author;
    return rc;
}

int refusal_discard(store *s, int64_t author, uint64_t number, uint64_t now_ms) {
    ingest_retry retries;
    int rc = check_open(s, author, number, &retries);
    return rc ? rc : settle_here(s, author, number, "discarded", now_ms);
}

/* The delta of one that came in one message, or of each of its parts. */
static sqlite3_stmt *select_parts(store *s, int64_t author, uint64_t number) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT delta,-1 AS part FROM satchel_refused WHERE author=?1 AND number=?2 AND delta IS NOT NULL"
                              " UNION ALL SELECT delta,part FROM satchel_stage WHERE author=?1 AND number=?2 ORDER BY part");
    db_bind(q, "ii", author, (int64_t)number);
    return q;
}

/* Calls `each` for every row of a delta; 1 ends it. */
static int each_row(const void *delta, size_t n, int (*each)(void *ctx, delta_row *row), void *ctx) {
    delta_row *row = malloc(sizeof *row);
    delta_reader r;
    wire w;
    int rc = row ? SATCHEL_OK : SATCHEL_E_NOMEM, more = 0;
    wire_open(&w, delta, n);
    delta_open(&r, &w);
    while (!rc && (more = delta_next(&r, row)) == 1) rc = each(ctx, row);
    free(row);
    return rc ? rc : more;
}

/* ---- showing it ---- */

typedef struct showing {
    store *s;
    view *all;
    buf *out;
    unsigned n;
} showing;

static void put_member(buf *out, const char *name, const char *text) {
    buf_printf(out, ",\"%s\":", name);
    if (text)
        record_put_text(out, text, strlen(text));
    else
        buf_printf(out, "null");
}

static void put_wanted(buf *out, const delta_row *row, unsigned i) {
    if (row->col[i].kind == DELTA_ADD) buf_printf(out, "{\"add\":");
    if (row->col[i].kind == DELTA_MOVE) {
        buf_printf(out, "{\"from\":");
        record_put_value(out, &row->seen[i]);
        buf_printf(out, ",\"to\":");
    }
    record_put_value(out, &row->v[i]);
    if (row->col[i].kind != DELTA_SET) buf_put_byte(out, '}');
}

/* No two alike: of one that was dropped, and maybe added again, or that is not known, the number tells it apart. */
static void put_column_name(buf *out, const schema_table *t, uint32_t id) {
    const schema_column *c = schema_column_by_id(t, id);
    buf name = {0};
    buf_printf(&name, "%s", c ? c->name : "");
    if (!c || c->until != SCHEMA_NEVER) buf_printf(&name, "#%" PRIu32, id);
    record_put_text(out, name.n ? (const char *)name.p : "", name.n);
    if (name.rc && !out->rc) out->rc = name.rc;
    buf_fini(&name);
}

static void put_columns(buf *out, const schema_table *t, const delta_row *row) {
    buf_put_byte(out, '{');
    for (unsigned i = 0; i < row->ncol; i++) {
        if (i) buf_put_byte(out, ',');
        put_column_name(out, t, row->col[i].id);
        buf_put_byte(out, ':');
        put_wanted(out, row, i);
    }
    buf_put_byte(out, '}');
}

static int prepare_row(const showing *w, const schema_table *t, const value *key, delta_row *row, sqlite3_stmt **q) {
    buf where = {0};
    for (unsigned i = 0; i < t->nkey; i++) {
        buf_printf(&where, i ? " AND \"" : "WHERE \"");
        for (const char *p = t->key[i]->name; *p; p++) {
            if (*p == '"') buf_put_byte(&where, '"');
            buf_put_byte(&where, (uint8_t)*p);
        }
        buf_printf(&where, "\"=?");
    }
    int rc = where.rc ? where.rc : row_query_prepare(w->s->db, t, w->all, (const char *)where.p, false, q, row);
    for (unsigned i = 0; !rc && i < t->nkey; i++) rc = db_rc(value_bind(*q, (int)i + 1, &key[i]));
    buf_fini(&where);
    return rc;
}

static int put_server_row(const showing *w, const schema_table *t, const value *key) {
    sqlite3_stmt *q = NULL;
    delta_row *row = malloc(sizeof *row);
    int rc = row ? SATCHEL_OK : SATCHEL_E_NOMEM;
    if (!rc && t->until == SCHEMA_NEVER) rc = prepare_row(w, t, key, row, &q);
    int step = !rc && q ? sqlite3_step(q) : SQLITE_DONE;
    if (step == SQLITE_ROW) {
        row_query_take(q, row);
        put_columns(w->out, t, row);
    } else {
        buf_printf(w->out, "null");
        if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    }
    sqlite3_finalize(q);
    free(row);
    return rc;
}

static int show_row(void *ctx, delta_row *row) {
    static const char *const OP[] = {"insert", "update", "delete", "leave"};
    showing *w = ctx;
    const schema_table *t = schema_table_by_id(store_schema(w->s), row->table);
    if (!t || row->nkey != t->nkey) return SATCHEL_OK; /* refused for what it names */
    if (w->n == CHANGES_TOLD) return 1;
    buf_printf(w->out, "%s{\"op\":\"%s\"", w->n++ ? "," : "", OP[row->op]);
    put_member(w->out, "table", t->name);
    buf_printf(w->out, ",\"key\":");
    record_put_key(w->out, t, row->key);
    buf_printf(w->out, ",\"wanted\":");
    put_columns(w->out, t, row);
    buf_printf(w->out, ",\"server\":");
    int rc = put_server_row(w, t, row->key);
    buf_put_byte(w->out, '}');
    return rc;
}

int refusal_changes(store *s, int64_t author, uint64_t number, buf *json) {
    showing w = {.s = s, .out = json};
    sqlite3_stmt *q = select_parts(s, author, number);
    int rc = view_load(&s->cache, 0, &w.all), more;
    buf_printf(json, ",\"changes\":[");
    while (!rc && (more = db_next(&s->cache, q)) != 0)
        rc = more < 0 ? more : each_row(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), show_row, &w);
    if (q) sqlite3_reset(q);
    if (w.all) view_release(w.all);
    buf_printf(json, "],\"more\":%s}", rc == 1 ? "true" : "false");
    return rc < 0 ? rc : json->rc;
}

int refusal_show(store *s, int64_t author, uint64_t number, buf *json) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT d.name,f.state,r.rc,r.message,r.tbl,r.depends,r.at_ms,f.base FROM satchel_refused f"
                              " JOIN satchel_result r USING(author,number) JOIN satchel_author a USING(author)"
                              " JOIN satchel_device d ON d.id=a.device WHERE f.author=? AND f.number=?");
    db_bind(q, "ii", author, (int64_t)number);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : none(s);
    int code = sqlite3_column_int(q, 2);
    const schema_table *t = schema_table_by_id(store_schema(s), (uint32_t)sqlite3_column_int64(q, 4));
    buf_printf(json, "{\"number\":%" PRIu64 ",\"depends\":%lld,\"at_ms\":%lld,\"base\":%lld", number,
               (long long)sqlite3_column_int64(q, 5), (long long)sqlite3_column_int64(q, 6),
               (long long)sqlite3_column_int64(q, 7));
    put_member(json, "device", (const char *)sqlite3_column_text(q, 0));
    put_member(json, "state", (const char *)sqlite3_column_text(q, 1));
    put_member(json, "code", satchel_rc_name(code));
    put_member(json, "rule", satchel_rc_rule(code));
    put_member(json, "message", (const char *)sqlite3_column_text(q, 3));
    put_member(json, "table", t ? t->name : NULL);
    sqlite3_reset(q);
    return refusal_changes(s, author, number, json);
}

/* ---- making it the admin's own ---- */

static int join_row(void *ctx, delta_row *row) {
    delta_put_row(ctx, row);
    return delta_size(ctx) > RETRY_BYTES ? SATCHEL_E_TOO_LARGE : SATCHEL_OK;
}

/* The changes as one delta. */
static int join(store *s, int64_t author, uint64_t number, buf *out) {
    delta_writer w;
    delta_writer_init(&w);
    sqlite3_stmt *q = select_parts(s, author, number);
    int rc = SATCHEL_OK, more;
    while (!rc && (more = db_next(&s->cache, q)) != 0)
        rc = more < 0 ? more : each_row(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), join_row, &w);
    if (q) sqlite3_reset(q);
    if (!rc) rc = delta_finish(&w, out);
    delta_writer_fini(&w);
    return rc;
}

typedef struct edit {
    record r;
    delta_writer out;
    unsigned found;
} edit;

/* Column ids ascend in a delta. SATCHEL_E_LIMIT: there are as many as may be, of which this store need not know one. */
static int set_column(delta_row *row, const delta_row *from, unsigned i) {
    unsigned at = 0;
    while (at < row->ncol && row->col[at].id < from->col[i].id) at++;
    if (at == row->ncol || row->col[at].id != from->col[i].id) {
        if (row->ncol == LIMIT_COLUMNS) return SATCHEL_E_LIMIT;
        for (unsigned k = row->ncol++; k > at; k--) {
            row->col[k] = row->col[k - 1];
            row->v[k] = row->v[k - 1];
            row->seen[k] = row->seen[k - 1];
        }
    }
    row->col[at] = from->col[i];
    row->v[at] = from->v[i];
    row->seen[at] = from->seen[i];
    return SATCHEL_OK;
}

static bool is_row(const delta_row *a, const delta_row *b) {
    bool same = a->table == b->table && a->nkey == b->nkey;
    for (unsigned i = 0; same && i < a->nkey; i++) same = value_equal(&a->key[i], &b->key[i]);
    return same;
}

static int edit_row(void *ctx, delta_row *row) {
    edit *e = ctx;
    if (is_row(row, &e->r.row) && row->op != DELTA_DELETE) {
        e->found++;
        for (unsigned i = 0; i < e->r.row.ncol; i++) {
            int rc = set_column(row, &e->r.row, i);
            if (rc) return rc;
        }
    }
    delta_put_row(&e->out, row);
    return SATCHEL_OK;
}

/* What an insert and an update take differs: a counter's sum, a guarded column's move are an update's. */
static int read_edit(store *s, edit *e, delta_op op, const json_t *in, buf *error) {
    const char *name = json_string_value(json_object_get(in, "table"));
    const schema_table *t = name ? schema_table_by_name(store_schema(s), name) : NULL;
    if (!t) {
        buf_printf(error, "an edit names no synced table; it is {\"table\":..., \"key\":{...}, \"values\":{...}}");
        return SATCHEL_E_MISUSE;
    }
    record_begin(&e->r, t, op);
    int rc = record_key(&e->r, json_object_get(in, "key"));
    if (!rc) rc = record_values(&e->r, json_object_get(in, "values"));
    if (rc) buf_printf(error, "an edit of table %s: %s", name, e->r.error.n ? (const char *)e->r.error.p : satchel_rc_text(rc));
    return rc;
}

/* Which kind of change it is of. */
typedef struct looked {
    const delta_row *row;
    delta_op op;
} looked;

static int look_row(void *ctx, delta_row *row) {
    looked *l = ctx;
    if (!is_row(row, l->row)) return SATCHEL_OK;
    l->op = row->op;
    return 1;
}

static int apply_edit(store *s, edit *e, const json_t *in, buf *delta, buf *error) {
    looked l = {.row = &e->r.row, .op = DELTA_UPDATE};
    int rc = read_edit(s, e, DELTA_UPDATE, in, error);
    if (rc) return rc;
    rc = each_row(delta->p, delta->n, look_row, &l);
    if (rc == 1) rc = l.op == DELTA_PUT ? read_edit(s, e, DELTA_PUT, in, error) : SATCHEL_OK;
    e->found = 0;
    if (!rc) rc = each_row(delta->p, delta->n, edit_row, e);
    if (rc == SATCHEL_E_LIMIT) buf_printf(error, "an edit of table %s: the change has too many columns", e->r.t->name);
    buf_clear(delta);
    if (!rc) rc = delta_finish(&e->out, delta);
    if (rc || e->found) return rc;
    buf_printf(error, "the transaction neither inserts nor updates the row of an edit of table %s", e->r.t->name);
    return SATCHEL_E_MISUSE;
}

static int apply_edits(store *s, const json_t *edits, buf *delta, buf *error) {
    edit *e = calloc(1, sizeof *e);
    int rc = e ? SATCHEL_OK : SATCHEL_E_NOMEM;
    if (!e) return rc;
    record_init(&e->r);
    delta_writer_init(&e->out);
    for (size_t i = 0; !rc && i < json_array_size(edits); i++) rc = apply_edit(s, e, json_array_get(edits, i), delta, error);
    delta_writer_fini(&e->out);
    record_fini(&e->r);
    free(e);
    return rc;
}

static int ingest_it(ingest *g, const buf *delta, ingest_retry retries, uint64_t now_ms, uint64_t *seq, buf *error) {
    ingest_result result = {0};
    ingest_program_txn in = {
        .writes_server = true, .retries = retries, .base = UINT64_MAX, .delta = delta->p, .ndelta = delta->n};
    int rc = ingest_program(g, &in, now_ms, &result);
    const msg_result *r = &result.result;
    if (!rc && r->rc) buf_printf(error, "it is refused again: %.*s", (int)r->ntext, r->ntext ? r->text : "");
    if (!rc) rc = r->rc;
    *seq = r->seq;
    buf_fini(&result.hold);
    return rc;
}

int refusal_retry(store *s, ingest *g, int64_t author, uint64_t number, const json_t *edits, uint64_t now_ms, uint64_t *seq,
                  buf *error) {
    buf delta = {0};
    ingest_retry retries;
    int rc = check_open(s, author, number, &retries);
    if (!rc) rc = join(s, author, number, &delta);
    if (!rc) rc = apply_edits(s, edits, &delta, error);
    if (!rc) rc = ingest_it(g, &delta, retries, now_ms, seq, error);
    if (!rc) rc = settle_here(s, author, number, "retried", now_ms);
    buf_fini(&delta);
    return rc;
}
