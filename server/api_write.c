/* Transactions of programs: parsed on a worker, taken in by the writer, answered once per Idempotency-Key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/log.h"
#include "server/store_private.h"

/* Old answers are looked for so often. */
#define PRUNE_EVERY_MS 60000

/* One transaction, as parsed and then as answered. */
typedef struct txn {
    char key[API_KEY_BYTES + 1];
    uint8_t hash[API_HASH_BYTES];
    bool has_base, has_upsert, replayed;
    uint64_t base;
    char epoch[2 * EPOCH_BYTES + 1]; /* "" if it was not given */
    unsigned nrow;
    uint8_t *upsert; /* by row: an update here, an insert if there is no such row */
    buf delta, rows; /* rows: table and key of each, to find two of one row */
    unsigned status; /* 0: not answered yet */
    int rc;          /* of a refusal */
    buf answer;
} txn;

typedef struct api_write {
    service_job job;
    api_call *call;
    bool several;
    unsigned ntxn;
    txn *txn;
} api_write;

static api_write *write_of(service_job *job) {
    return (api_write *)job;
}

void api_write_free(api_write *w) {
    for (unsigned i = 0; w && i < w->ntxn; i++) {
        txn *t = &w->txn[i];
        free(t->upsert);
        buf_fini(&t->delta);
        buf_fini(&t->rows);
        buf_fini(&t->answer);
    }
    if (w) free(w->txn);
    free(w);
}

/* ---- problems ---- */

/* Where in the request: members of a problem after "detail". */
typedef struct place {
    unsigned change; /* from 0 on; UINT32_MAX: none */
    const schema_table *t;
    const char *column;
    const char *rule;
    const uint8_t *key; /* as value_put writes it */
    size_t nkey;
} place;

static const place NOWHERE = {.change = UINT32_MAX};

static void put_member(buf *out, const char *name, const char *text) {
    if (!text) return;
    buf_printf(out, ",\"%s\":", name);
    record_put_text(out, text, strlen(text));
}

static void put_key(buf *out, const schema_table *t, const uint8_t *p, size_t n) {
    value key[LIMIT_KEY_COLUMNS];
    const uint8_t *end = p + n;
    for (unsigned i = 0; i < t->nkey; i++)
        if (value_get(&p, end, &key[i])) return;
    buf_printf(out, ",\"key\":");
    record_put_key(out, t, key);
}

static void refuse(txn *t, unsigned status, int rc, const place *where, const char *words) {
    buf rest = {0};
    if (where->change != UINT32_MAX) buf_printf(&rest, ",\"change\":%u", where->change);
    put_member(&rest, "table", where->t ? where->t->name : NULL);
    put_member(&rest, "column", where->column);
    put_member(&rest, "rule", where->rule);
    if (where->t && where->nkey) put_key(&rest, where->t, where->key, where->nkey);
    buf_put_byte(&rest, 0);
    buf_clear(&t->answer);
    t->status = status;
    t->rc = rc;
    api_problem(&t->answer, status, satchel_rc_name(rc), api_title(rc), words, rest.rc ? NULL : (const char *)rest.p);
    buf_fini(&rest);
}

/* ---- parsing ---- */

typedef struct parser {
    const schema *schema;
    txn *t;
    record record;
    delta_writer out;
    place at;
} parser;

static bool wrong(parser *p, int rc, const char *words) {
    refuse(p->t, 422, rc, &p->at, words);
    return false;
}

static const char *text_member(const json_t *o, const char *name) {
    return json_string_value(json_object_get(o, name));
}

/* Unknown members are told, so that a misspelt one does not go unseen. */
static const char *unknown_member(const json_t *o, const char *known) {
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)o, name, v) {
        char between[80];
        snprintf(between, sizeof between, " %.64s ", name);
        if (!strstr(known, between)) return name;
    }
    return NULL;
}

typedef enum op { OP_INSERT, OP_UPDATE, OP_DELETE, OP_UPSERT, OP_NONE } op;

static op op_of(const char *word) {
    static const char *const WORD[] = {"insert", "update", "delete", "upsert"};
    unsigned i = 0;
    while (word && i < OP_NONE && strcmp(WORD[i], word)) i++;
    return word ? (op)i : OP_NONE;
}

/* Columns of one group are written together; who judges by an old state must say all, or would mix his value with another's. */
static bool check_groups(parser *p) {
    const record *r = &p->record;
    for (unsigned i = 0; p->t->has_base && r->row.op == DELTA_UPDATE && i < r->row.ncol; i++) {
        const schema_column *c = schema_column_by_id(r->t, r->row.col[i].id);
        for (unsigned k = 0; c->rule == RULE_GROUP && k < r->t->ncol; k++) {
            const schema_column *other = r->t->col[k];
            bool named = other->unit != c->unit || other->rule != RULE_GROUP;
            for (unsigned m = 0; m < r->row.ncol && !named; m++) named = r->row.col[m].id == other->id;
            if (named) continue;
            char words[3 * LIMIT_NAME_BYTES + 100];
            snprintf(words, sizeof words, "%s and %s are one group (%s): with \"base\" name all of its columns", c->name,
                     other->name, c->arg);
            p->at.column = other->name;
            return wrong(p, SATCHEL_E_MISUSE, words);
        }
    }
    return true;
}

static void note_row(txn *t, const delta_row *row) {
    buf key = {0};
    buf_put_varint(&key, row->table);
    for (unsigned i = 0; i < row->nkey; i++) value_put(&key, &row->key[i]);
    buf_put_varint(&t->rows, key.n);
    buf_put(&t->rows, key.p, key.n);
    if (key.rc) t->rows.rc = key.rc;
    buf_fini(&key);
}

static bool take_record(parser *p, const json_t *change, op what) {
    record *r = &p->record;
    const json_t *values = json_object_get(change, "values");
    record_begin(r, p->at.t, what == OP_INSERT ? DELTA_PUT : what == OP_DELETE ? DELTA_DELETE : DELTA_UPDATE);
    int rc = record_key(r, json_object_get(change, "key"));
    if (!rc && what != OP_DELETE && values) rc = record_values(r, values);
    if (rc) {
        p->at.column = r->wrong ? r->wrong->name : NULL;
        return wrong(p, rc, r->error.n ? (const char *)r->error.p : NULL);
    }
    if (what == OP_UPDATE && !r->row.ncol)
        return wrong(p, SATCHEL_E_MISUSE, "an update needs \"values\" with one column at least");
    if (what == OP_DELETE && values) return wrong(p, SATCHEL_E_MISUSE, "a delete takes no \"values\"");
    return check_groups(p);
}

static bool take_change(parser *p, const json_t *change) {
    txn *t = p->t;
    const char *name = text_member(change, "table"), *strange;
    op what = op_of(text_member(change, "op"));
    if (!json_is_object(change) || !name)
        return wrong(p, SATCHEL_E_UNKNOWN_TABLE, "a change is an object with \"table\", \"op\", \"key\" and \"values\"");
    p->at.t = schema_table_by_name(p->schema, name);
    if (!p->at.t) return wrong(p, SATCHEL_E_UNKNOWN_TABLE, "GET /v1/tables lists the tables that there are");
    if (what == OP_NONE) return wrong(p, SATCHEL_E_MISUSE, "\"op\" is insert, update, upsert or delete");
    if ((strange = unknown_member(change, " table op key values "))) {
        p->at.column = strange;
        return wrong(p, SATCHEL_E_MISUSE, "a change has no member but \"table\", \"op\", \"key\" and \"values\"");
    }
    if (!take_record(p, change, what)) return false;
    t->upsert[t->nrow++] = what == OP_UPSERT;
    if (what == OP_UPSERT) t->has_upsert = true;
    note_row(t, &p->record.row);
    delta_put_row(&p->out, &p->record.row);
    return true;
}

typedef struct row_name {
    const uint8_t *p;
    size_t n;
    unsigned change;
} row_name;

static int compare_names(const void *a, const void *b) {
    const row_name *x = a, *y = b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    if (!c && x->n != y->n) c = x->n < y->n ? -1 : 1;
    return c ? c : (x->change > y->change) - (x->change < y->change);
}

/* Two changes of one row would be judged as if the second did not know the first. */
static bool check_rows(parser *p) {
    txn *t = p->t;
    const uint8_t *at = t->rows.p, *end = at + t->rows.n;
    row_name *name = calloc(t->nrow + 1, sizeof *name);
    bool good = name && !t->rows.rc;
    for (unsigned i = 0; good && i < t->nrow; i++) {
        uint64_t n = 0;
        buf_get_varint(&at, end, &n);
        name[i] = (row_name){.p = at, .n = (size_t)n, .change = i};
        at += n;
    }
    if (!good) refuse(t, 503, SATCHEL_E_OVERLOAD, &NOWHERE, "the server is out of memory");
    if (good) qsort(name, t->nrow, sizeof *name, compare_names);
    for (unsigned i = 1; good && i < t->nrow; i++) {
        if (name[i].n != name[i - 1].n || memcmp(name[i].p, name[i - 1].p, name[i].n)) continue;
        p->at = (place){.change = name[i].change};
        good = wrong(p, SATCHEL_E_MISUSE,
                     "an earlier change of this transaction is of the same row; put all of a row into one change");
    }
    free(name);
    return good;
}

static bool take_changes(parser *p, const json_t *changes) {
    txn *t = p->t;
    size_t n = json_array_size(changes);
    if (!n) return wrong(p, SATCHEL_E_MISUSE, "\"changes\" is an array of one change at least");
    if (n > API_CHANGES)
        return wrong(p, SATCHEL_E_TOO_LARGE, "the transaction has more changes than one may have; cut it into several");
    t->upsert = calloc(n, 1);
    for (size_t i = 0; t->upsert && i < n; i++) {
        p->at = (place){.change = (unsigned)i};
        if (!take_change(p, json_array_get(changes, i))) return false;
    }
    int rc = t->upsert ? delta_finish(&p->out, &t->delta) : SATCHEL_E_NOMEM;
    if (!rc) return check_rows(p);
    refuse(t, 503, SATCHEL_E_OVERLOAD, &NOWHERE, "the server is out of memory");
    return false;
}

static bool take_base(parser *p, const json_t *o) {
    txn *t = p->t;
    const json_t *base = json_object_get(o, "base"), *epoch = json_object_get(o, "epoch");
    p->at = NOWHERE;
    if (base && (!json_is_integer(base) || json_integer_value(base) < 0))
        return wrong(p, SATCHEL_E_MISUSE, "\"base\" is a seq that was read at");
    if (epoch && json_string_length(epoch) != 2 * EPOCH_BYTES)
        return wrong(p, SATCHEL_E_MISUSE, "\"epoch\" is what came with the seq");
    t->has_base = base != NULL;
    t->base = (uint64_t)json_integer_value(base);
    if (epoch) snprintf(t->epoch, sizeof t->epoch, "%s", json_string_value(epoch));
    return true;
}

/* The same content gives the same hash, however it was written down, alone or among others. */
static bool hash_request(txn *t, json_t *o) {
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    if (text) crypto_sha256(text, strlen(text), t->hash);
    free(text);
    return text;
}

static bool is_key(const char *key) {
    for (const char *p = key; *p; p++)
        if (*p < 0x21 || *p > 0x7e) return false;
    return *key && strlen(key) <= API_KEY_BYTES;
}

static void parse_txn(parser *p, txn *t, json_t *o, const char *key) {
    const char *strange = json_is_object(o) ? unknown_member(o, " changes base epoch ") : "";
    p->t = t;
    p->at = NOWHERE;
    if (!key || !is_key(key)) {
        refuse(
            t, 400, SATCHEL_E_MISUSE, &NOWHERE,
            "give an Idempotency-Key of 1 to 128 visible ASCII characters, another for each transaction: a repeat then has no second effect");
        return;
    }
    snprintf(t->key, sizeof t->key, "%s", key);
    if (strange) {
        p->at.column = strange;
        wrong(p, SATCHEL_E_MISUSE, "a transaction is an object of \"changes\", \"base\" and \"epoch\"");
    } else if (!hash_request(t, o)) {
        refuse(t, 503, SATCHEL_E_OVERLOAD, &NOWHERE, "the server is out of memory");
    } else if (take_base(p, o)) {
        take_changes(p, json_object_get(o, "changes"));
    }
}

/* {"transactions": [{"key", "changes", ...}, ...]} */
static void parse_several(parser *p, api_write *w, json_t *list) {
    w->several = true;
    for (unsigned i = 0; i < w->ntxn; i++) {
        json_t *o = json_array_get(list, i), *key = json_incref(json_object_get(o, "key"));
        if (json_is_object(o)) json_object_del(o, "key");
        parse_txn(p, &w->txn[i], o, json_string_value(key));
        json_decref(key);
        buf nothing = {0};
        delta_finish(&p->out, &nothing);
        buf_fini(&nothing);
    }
}

static void parse_root(api_call *c, const schema *shape, json_t *root) {
    json_t *list = json_object_get(root, "transactions");
    size_t n = list ? json_array_size(list) : 1;
    if (!n || n > API_TXNS || (list && json_object_size(root) != 1)) {
        api_refuse(c, 422, n > API_TXNS ? SATCHEL_E_LIMIT : SATCHEL_E_MISUSE,
                   "\"transactions\" stands alone, and is an array of 1 to %d transactions", API_TXNS);
        return;
    }
    parser *p = calloc(1, sizeof *p);
    c->write = calloc(1, sizeof *c->write);
    if (c->write) c->write->txn = calloc(n, sizeof *c->write->txn);
    if (!p || !c->write || !c->write->txn) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
        free(p);
        return;
    }
    c->write->ntxn = (unsigned)n;
    p->schema = shape;
    record_init(&p->record);
    delta_writer_init(&p->out);
    if (list)
        parse_several(p, c->write, list);
    else
        parse_txn(p, &c->write->txn[0], root, c->idempotency_key);
    delta_writer_fini(&p->out);
    record_fini(&p->record);
    free(p);
}

static void give_answer(api_call *c);

void api_parse_write(api_call *c, api_reader *r) {
    if (!c->body.n) {
        api_refuse(c, 400, SATCHEL_E_MALFORMED, "the body is empty; send JSON, with its Content-Length");
        return;
    }
    json_error_t where;
    json_t *root = json_loadb((const char *)c->body.p, c->body.n, RECORD_JSON_FLAGS, &where);
    if (json_is_object(root))
        parse_root(c, r->schema, root);
    else if (root)
        api_refuse(c, 400, SATCHEL_E_MALFORMED, "the body is not a JSON object");
    else
        api_refuse(c, 400, SATCHEL_E_MALFORMED, "the body is not JSON: %s at line %d, column %d", where.text, where.line,
                   where.column);
    json_decref(root);
    buf_fini(&c->body);
    c->body = (buf){0};
    /* What is all refused already needs no writer. */
    bool open = false;
    for (unsigned i = 0; c->write && i < c->write->ntxn; i++) open = open || !c->write->txn[i].status;
    if (!c->out.status && !open) give_answer(c);
}

/* ---- on the writer ---- */

/* A row as an insert says it: a counter begins at its default, a guarded column at where it is to go. */
static int as_insert(const schema_table *t, delta_row *row) {
    row->op = DELTA_PUT;
    for (unsigned i = 0; i < row->ncol; i++) {
        const schema_column *c = schema_column_by_id(t, row->col[i].id);
        int rc = row->col[i].kind == DELTA_ADD ? merge_add(&c->default_value, &row->v[i], &row->v[i]) : SATCHEL_OK;
        if (rc) return rc;
        row->col[i].kind = DELTA_SET;
    }
    return SATCHEL_OK;
}

/* Says of each upsert whether it is an insert or an update. */
static int resolve_upserts(store *s, ingest *g, uint32_t author, txn *t) {
    delta_row *row = malloc(sizeof *row);
    delta_writer out;
    delta_reader r;
    wire w;
    uint64_t base = t->has_base ? t->base : UINT64_MAX;
    int rc = row ? SATCHEL_OK : SATCHEL_E_NOMEM, more;
    buf resolved = {0};
    delta_writer_init(&out);
    wire_open(&w, t->delta.p, t->delta.n);
    delta_open(&r, &w);
    for (unsigned i = 0; !rc && (more = delta_next(&r, row)) != 0; i++) {
        const schema_table *shape = more == 1 ? schema_table_by_id(store_schema(s), row->table) : NULL;
        int there = shape && t->upsert[i] ? ingest_has_row(g, shape, row->key, author, base) : 1;
        rc = !shape ? SATCHEL_E_INTERNAL : there < 0 ? there : there ? SATCHEL_OK : as_insert(shape, row);
        if (!rc) delta_put_row(&out, row);
    }
    if (!rc) rc = delta_finish(&out, &resolved);
    delta_writer_fini(&out);
    free(row);
    buf_fini(&t->delta);
    t->delta = resolved;
    return rc;
}

static const char *name_of(sqlite3_stmt *q, int column) {
    const unsigned char *name = sqlite3_column_text(q, column);
    return name ? (const char *)name : "server";
}

static void put_stored(buf *out, sqlite3_stmt *q, int column) {
    const uint8_t *p = sqlite3_column_blob(q, column);
    value v = value_null();
    if (p) value_get(&p, p + sqlite3_column_bytes(q, column), &v);
    record_put_value(out, &v);
}

static void put_conflict(store *s, buf *out, sqlite3_stmt *q) {
    const schema_table *t = schema_table_by_id(store_schema(s), (uint32_t)sqlite3_column_int64(q, 0));
    uint32_t column = (uint32_t)sqlite3_column_int64(q, 1);
    const schema_column *c = t && column ? schema_column_by_id(t, column) : NULL;
    buf_printf(out, "{\"rule\":\"%s\"", merge_rule_name((merge_rule)sqlite3_column_int(q, 2)));
    put_member(out, "table", t ? t->name : "");
    if (t) put_key(out, t, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    put_member(out, "column", c ? c->name : NULL);
    buf_printf(out, ",\"kept\":");
    put_stored(out, q, 4);
    buf_printf(out, ",\"lost\":");
    put_stored(out, q, 5);
    put_member(out, "kept_author", name_of(q, 6));
    put_member(out, "lost_author", name_of(q, 7));
    buf_printf(out, "}");
}

/* The last `n` conflicts, which are those of the transaction at hand. */
static int put_conflicts(store *s, buf *out, uint64_t n) {
    sqlite3_stmt *q = db_prepare(
        &s->cache,
        "SELECT tbl,col,rule,key,kept,lost,k.name,l.name FROM (SELECT * FROM satchel_conflict ORDER BY id DESC LIMIT ?) c"
        " LEFT JOIN satchel_author ka ON ka.author=kept_author LEFT JOIN satchel_device k ON k.id=ka.device"
        " LEFT JOIN satchel_author la ON la.author=lost_author LEFT JOIN satchel_device l ON l.id=la.device ORDER BY c.id");
    db_bind(q, "i", (int64_t)n);
    const char *comma = "";
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1) {
        buf_printf(out, "%s", comma);
        put_conflict(s, out, q);
        comma = ",";
    }
    return rc;
}

static void answer_refusal(store *s, txn *t, const ingest_result *result) {
    const msg_result *r = &result->result;
    char words[LIMIT_TEXT_BYTES + 1];
    place at = {.change = UINT32_MAX,
                .t = schema_table_by_id(store_schema(s), r->table),
                .rule = satchel_rc_rule(r->rc),
                .key = r->key,
                .nkey = r->nkey};
    snprintf(words, sizeof words, "%.*s", (int)r->ntext, r->ntext ? r->text : "");
    refuse(t, api_status(r->rc), r->rc, &at, words);
}

static int answer_accepted(store *s, txn *t, const ingest_result *result, uint64_t conflicts) {
    store_position where = store_where(s);
    t->status = 200;
    buf_printf(&t->answer, "{\"seq\":%" PRIu64 ",\"epoch\":\"", result->result.seq);
    api_put_epoch(&t->answer, where.epoch);
    buf_printf(&t->answer, "\",\"conflicts\":[");
    int rc = conflicts ? put_conflicts(s, &t->answer, conflicts) : SATCHEL_OK;
    buf_printf(&t->answer, "]}");
    return rc ? rc : t->answer.rc;
}

/* Whether the base is one of the store's present past; false after answering. */
static bool check_base(store *s, txn *t) {
    store_position where = store_where(s);
    char present[2 * EPOCH_BYTES + 1];
    for (unsigned i = 0; i < EPOCH_BYTES; i++) snprintf(present + 2 * i, 3, "%02x", where.epoch[i]);
    if (*t->epoch && strcmp(t->epoch, present))
        refuse(t, 409, SATCHEL_E_ORDER, &NOWHERE,
               "the server was restored from a backup since this was read; read again, and send it with the new base");
    else if (t->has_base && t->base > where.seq)
        refuse(t, 409, SATCHEL_E_ORDER, &NOWHERE, "\"base\" lies ahead of the server's newest commit; read again");
    return !t->status;
}

static int ingest_one(const api_call *c, store *s, ingest *g, txn *t, uint64_t now_ms) {
    if (!check_base(s, t)) return SATCHEL_OK;
    ingest_result result = {0};
    uint64_t conflicts = ingest_conflicts(g);
    int rc = t->has_upsert ? resolve_upserts(s, g, c->who.token.author, t) : SATCHEL_OK;
    ingest_program_txn in = {.author = c->who.token.author,
                             .writes_server = (c->who.token.rights & API_SERVER) != 0,
                             .base = t->has_base ? t->base : UINT64_MAX,
                             .delta = t->delta.p,
                             .ndelta = t->delta.n};
    if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) {
        refuse(t, 422, rc, &NOWHERE, "the sum of an upserted counter");
        return SATCHEL_OK;
    }
    if (!rc) rc = ingest_program(g, &in, now_ms, &result);
    if (!rc && result.result.rc)
        answer_refusal(s, t, &result);
    else if (!rc)
        rc = answer_accepted(s, t, &result, ingest_conflicts(g) - conflicts);
    buf_fini(&result.hold);
    return rc;
}

/* A refused transaction had no effect and may be mended: only what was accepted is kept under its key. */
static int run_one(const api_call *c, store *s, ingest *g, txn *t, uint64_t now_ms) {
    uint8_t hash[API_HASH_BYTES];
    int found = api_answer_find(s, c->who.token.id, t->key, hash, &t->answer);
    if (found < 0) return found;
    if (found && memcmp(hash, t->hash, sizeof hash)) {
        refuse(t, 422, SATCHEL_E_MISUSE, &NOWHERE, "this Idempotency-Key was used for another transaction; give each its own");
    } else if (found) {
        t->status = 200;
        t->replayed = true;
    } else {
        int rc = ingest_one(c, s, g, t, now_ms);
        return rc || t->status != 200 ? rc : api_answer_save(s, c->who.token.id, t->key, t->hash, &t->answer, now_ms);
    }
    return SATCHEL_OK;
}

static int prune_answers(api *a, store *s, uint64_t now_ms) {
    if (now_ms - a->pruned_ms < PRUNE_EVERY_MS) return SATCHEL_OK;
    a->pruned_ms = now_ms;
    uint64_t kept_ms = (uint64_t)API_ANSWER_DAYS * 86400 * 1000;
    return now_ms > kept_ms ? api_answers_prune(s, now_ms - kept_ms) : SATCHEL_OK;
}

static int write_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    api_write *w = write_of(job);
    int rc = prune_answers(w->call->api, s, now_ms);
    for (unsigned i = 0; !rc && i < w->ntxn; i++)
        if (!w->txn[i].status) rc = run_one(w->call, s, g, &w->txn[i], now_ms);
    return rc;
}

/* ---- the answer ---- */

static void give_one(api_call *c, txn *t) {
    api_answer(c, t->status);
    c->out.replayed = t->replayed;
    if (t->status == 503) c->out.retry_after_s = 1;
    buf_put(&c->out.body, t->answer.p, t->answer.n);
    if (t->answer.rc) c->out.body.rc = t->answer.rc;
}

static void give_several(api_call *c, const api_write *w) {
    buf *out = &c->out.body;
    api_answer(c, 200);
    buf_printf(out, "{\"results\":[");
    for (unsigned i = 0; i < w->ntxn; i++) {
        const txn *t = &w->txn[i];
        buf_printf(out, "%s{\"key\":", i ? "," : "");
        record_put_text(out, t->key, strlen(t->key));
        buf_printf(out, ",\"status\":%u,\"replayed\":%s,\"%s\":", t->status, t->replayed ? "true" : "false",
                   t->status == 200 ? "accepted" : "problem");
        buf_put(out, t->answer.p, t->answer.n);
        buf_printf(out, "}");
    }
    buf_printf(out, "]}");
}

static void give_answer(api_call *c) {
    if (c->write->several)
        give_several(c, c->write);
    else
        give_one(c, &c->write->txn[0]);
}

static void count_refusal(const api_call *c, const txn *t) {
    c->api->refused++;
    log_event(&(log_fields){.level = 'w', .event = "refused", .device = c->who.token.name, .rc = t->rc},
              "a program's transaction was refused: %.*s", (int)t->answer.n, (const char *)t->answer.p);
}

static void count_results(const api_call *c) {
    for (unsigned i = 0; i < c->write->ntxn; i++) {
        const txn *t = &c->write->txn[i];
        if (t->replayed)
            c->api->replayed++;
        else if (t->status == 200)
            c->api->transactions++;
        else
            count_refusal(c, t);
    }
}

static void write_done(service_job *job) {
    api_call *c = write_of(job)->call;
    if (!job->rc) count_results(c);
    if (api_release(c)) return;
    if (job->rc)
        api_refuse(
            c, 503, satchel_rc_class(job->rc) == SATCHEL_CLASS_RETRY ? job->rc : SATCHEL_E_IO,
            "the store could not be written and nothing was taken; send the same again later, with the same Idempotency-Key");
    else
        give_answer(c);
    api_complete(c);
}

void api_submit_write(api_call *c) {
    api_write *w = c->write;
    hub_stats stats;
    hub_get_stats(c->api->service->hub, &stats);
    if (stats.disk_low) {
        api_refuse(c, 503, SATCHEL_E_FULL, "the server's disk is almost full: nothing is taken until there is room");
        api_complete(c);
        return;
    }
    w->call = c;
    w->job.run = write_run;
    w->job.done = write_done;
    c->held = true;
    if (service_submit(c->api->service, &w->job, false)) return;
    c->held = false;
    api_refuse(c, 503, SATCHEL_E_CLOSED, "the server is shutting down");
    api_complete(c);
}
