/* Commands about values that lost: listed, shown, looked at and left so, or put back. */
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/delta.h"
#include "protocol/satchel_rc.h"
#include "server/control_private.h"
#include "server/store_private.h"

#define IDS_MAX 1000
/* Entries of one listing; `more` tells that there are others. */
#define LIST_DEFAULT 50
#define LIST_MAX 10000

static json_t *conflict_json(const conflict_info *c) {
    json_t *o = json_object();
    control_put_number(o, "id", c->id);
    control_put_number(o, "seq", c->seq);
    control_put_number(o, "at_ms", c->at_ms);
    control_put_text(o, "table", c->table);
    control_put_text(o, "key", c->key);
    control_put_text(o, "column", c->column);
    control_put_text(o, "rule", c->rule);
    control_put_text(o, "kept", c->kept);
    control_put_text(o, "kept_device", c->kept_device);
    control_put_number(o, "kept_stamp", c->kept_stamp);
    control_put_text(o, "lost", c->lost);
    control_put_text(o, "lost_device", c->lost_device);
    control_put_number(o, "lost_stamp", c->lost_stamp);
    control_put_text(o, "state", c->state);
    control_put_known(o, "resolved_ms", c->resolved_ms);
    return o;
}

static int add_conflict(void *ctx, const conflict_info *c) {
    return !control_list_add(ctx, conflict_json(c));
}

static int run_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    json_t *asked = json_object_get(call->request, "limit");
    json_int_t limit = json_is_integer(asked) ? json_integer_value(asked) : LIST_DEFAULT;
    if (limit < 1 || limit > LIST_MAX) return control_misuse(call, "the limit is from 1 to 10000");
    control_listing l = {.array = json_array(), .left = (uint64_t)limit};
    conflict_which which = {.limit = (uint64_t)limit + 1, .open = json_is_true(json_object_get(call->request, "open"))};
    int rc = store_conflicts(s, &which, add_conflict, &l);
    control_list_put(call, "conflicts", &l);
    return control_failed(call, rc, s, "cannot list the conflicts");
}

static int settle(store *s, json_int_t id, const char *state, uint64_t now_ms) {
    sqlite3_stmt *q = db_prepare(&s->cache, "UPDATE satchel_conflict SET state=?,resolved_ms=? WHERE id=? AND state='open'");
    db_bind(q, "sii", state, (int64_t)now_ms, (int64_t)id);
    int rc = db_next(&s->cache, q);
    return rc ? rc : sqlite3_changes(s->db) ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

static int tell(control_call *call, int rc, store *s, json_int_t id, const char *what) {
    if (rc == SATCHEL_E_NOT_FOUND && !call->error.n)
        buf_printf(&call->error, "there is no conflict %" JSON_INTEGER_FORMAT " that is open", id);
    return control_failed(call, rc, s, what);
}

static int run_accept(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const json_t *ids = json_object_get(call->request, "ids"), *id;
    size_t i;
    (void)g;
    if (!json_array_size(ids) || json_array_size(ids) > IDS_MAX)
        return control_misuse(call, "which conflicts? their ids, up to 1000");
    json_array_foreach(ids, i, id) {
        int rc = settle(s, json_integer_value(id), "accepted", now_ms);
        if (rc) return tell(call, rc, s, json_integer_value(id), "cannot accept it");
    }
    control_put_number(call->reply, "accepted", json_array_size(ids));
    return SATCHEL_OK;
}

/* ---- restoring ---- */

typedef struct restoring {
    const schema_table *table;
    const schema_column *column;
    buf key, lost; /* as value_put wrote them; of a group's columns one after another */
    delta_row row;
} restoring;

static void free_restoring(restoring *r) {
    if (!r) return;
    buf_fini(&r->key);
    buf_fini(&r->lost);
    free(r);
}

static int put_bytes(buf *out, sqlite3_stmt *q, int column) {
    buf_put(out, sqlite3_column_blob(q, column), (size_t)sqlite3_column_bytes(q, column));
    return out->rc;
}

/* The change: its table, column and key, and the lost value as the new one. `settled`: of one that is not open, too. */
static int find_lost(store *s, json_int_t id, bool settled, restoring *r) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT tbl,col,key,lost FROM satchel_conflict WHERE id=? AND (state='open' OR ?)");
    db_bind(q, "ii", (int64_t)id, (int64_t)settled);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    uint32_t column = (uint32_t)sqlite3_column_int64(q, 1);
    r->table = schema_table_by_id(s->schema, (uint32_t)sqlite3_column_int64(q, 0));
    r->column = r->table && column ? schema_column_by_id(r->table, column) : NULL;
    rc = put_bytes(&r->key, q, 2);
    if (!rc) rc = put_bytes(&r->lost, q, 3);
    sqlite3_reset(q);
    if (rc || !r->column) return rc;
    if (!r->lost.n) value_put(&r->lost, &(value){.type = VALUE_NULL});
    const uint8_t *p = r->key.p, *lost = r->lost.p;
    r->row.table = r->table->id;
    r->row.op = DELTA_UPDATE;
    r->row.nkey = r->table->nkey;
    for (unsigned i = 0; !rc && i < r->row.nkey; i++) rc = value_get(&p, r->key.p + r->key.n, &r->row.key[i]);
    r->row.ncol = 1;
    r->row.col[0] = (delta_column){r->column->id, r->column->rule == RULE_GUARD ? DELTA_MOVE : DELTA_SET};
    return rc ? rc : value_get(&lost, r->lost.p + r->lost.n, &r->row.v[0]);
}

static int prepare_current(store *s, const restoring *r, sqlite3_stmt **q) {
    sqlite3_str *sql = sqlite3_str_new(s->db);
    sqlite3_str_appendall(sql, "SELECT satchel_clock");
    for (unsigned i = 0; i < r->row.ncol; i++)
        sqlite3_str_appendf(sql, ",\"%w\"", schema_column_by_id(r->table, r->row.col[i].id)->name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", r->table->name);
    for (unsigned i = 0; i < r->table->nkey; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : " WHERE ", r->table->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(s->db, text, -1, q, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    for (unsigned i = 0; !rc && i < r->table->nkey; i++) rc = db_rc(value_bind(*q, (int)i + 1, &r->row.key[i]));
    return rc;
}

/* What stands now in the row's columns that are to be written, as value_put writes it, and under which clock; *there: there is such a row. */
static int read_current(store *s, const restoring *r, bool *there, field_clock *clock, buf *out) {
    row_clock of;
    sqlite3_stmt *q = NULL;
    int rc = prepare_current(s, r, &q), step = rc ? SQLITE_DONE : sqlite3_step(q);
    *there = step == SQLITE_ROW;
    if (*there) rc = clock_decode(&of, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    if (*there && !rc) *clock = clock_get(&of, r->column->unit);
    for (unsigned i = 0; *there && !rc && i < r->row.ncol; i++) {
        value v = value_of_column(q, (int)i + 1);
        value_put(out, &v);
        rc = out->rc;
    }
    if (!rc && step != SQLITE_ROW && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

/* ---- a group, which is lost and comes back whole (M2) ---- */

/* Entries of the same loss. */
#define TOGETHER                                                                                                                 \
    "(tbl,key,seq,lost_stamp,lost_author)=(SELECT tbl,key,seq,lost_stamp,lost_author FROM satchel_conflict WHERE id=?1)"

/* 1 and what was lost in a column, or 0. */
static int find_part(store *s, json_int_t id, uint32_t column, buf *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT lost FROM satchel_conflict WHERE " TOGETHER " AND col=?2 LIMIT 1");
    db_bind(q, "ii", (int64_t)id, (int64_t)column);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    if (sqlite3_column_bytes(q, 0))
        put_bytes(out, q, 0);
    else
        value_put(out, &(value){.type = VALUE_NULL});
    sqlite3_reset(q);
    return out->rc ? out->rc : 1;
}

/* 1 if nobody has written the group since it was lost. */
static int is_as_kept(store *s, json_int_t id, const field_clock *now) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT 1 FROM satchel_conflict WHERE id=? AND kept_stamp=? AND kept_author=?");
    db_bind(q, "iii", (int64_t)id, (int64_t)now->stamp, (int64_t)now->author);
    int rc = db_next(&s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    return rc;
}

/* A column that did not differ has no entry: it was what was kept. */
static int gather_parts(control_call *call, store *s, json_int_t id, restoring *r, const field_clock *clock, const buf *now) {
    const uint8_t *p = now->p, *end = p + now->n;
    buf_clear(&r->lost);
    for (unsigned i = 0; i < r->row.ncol; i++) {
        const uint8_t *from = p;
        int rc = value_get(&p, end, &r->row.v[i]), found = rc ? rc : find_part(s, id, r->row.col[i].id, &r->lost);
        if (found < 0) return found;
        if (found) continue;
        if ((found = is_as_kept(s, id, clock)) < 0) return found;
        if (!found)
            return control_misuse(
                call, "its group was written again since, and not all of what it lost is known: write the whole group anew");
        buf_put(&r->lost, from, (size_t)(p - from));
    }
    return r->lost.rc;
}

static int gather_group(control_call *call, store *s, json_int_t id, restoring *r) {
    bool there;
    field_clock clock = {0};
    buf now = {0};
    r->row.ncol = 0;
    for (unsigned i = 0; i < r->table->nall; i++) {
        const schema_column *c = &r->table->all[i];
        if (c->rule == RULE_GROUP && c->unit == r->column->unit && c->until == SCHEMA_NEVER)
            r->row.col[r->row.ncol++] = (delta_column){.id = c->id, .kind = DELTA_SET};
    }
    int rc = read_current(s, r, &there, &clock, &now);
    if (!rc && there) rc = gather_parts(call, s, id, r, &clock, &now);
    const uint8_t *p = r->lost.p, *end = p + r->lost.n;
    for (unsigned i = 0; !rc && there && i < r->row.ncol; i++) rc = value_get(&p, end, &r->row.v[i]);
    buf_fini(&now);
    return rc;
}

static int settle_parts(store *s, json_int_t id, const restoring *r, uint64_t now_ms) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < r->row.ncol; i++)
        rc = db_exec(&s->cache,
                     "UPDATE satchel_conflict SET state='restored',resolved_ms=?2 WHERE " TOGETHER " AND col=?3 AND state='open'",
                     "iii", (int64_t)id, (int64_t)now_ms, (int64_t)r->row.col[i].id);
    return rc;
}

/* ---- the value ---- */

/* As the server's own author, who knows the present state. */
static int write_lost(control_call *call, ingest *g, const restoring *r, uint64_t now_ms) {
    delta_writer w;
    buf delta = {0};
    ingest_result result = {0};
    delta_writer_init(&w);
    delta_put_row(&w, &r->row);
    int rc = delta_finish(&w, &delta);
    ingest_program_txn in = {.writes_server = true, .base = UINT64_MAX, .delta = delta.p, .ndelta = delta.n};
    if (!rc) rc = ingest_program(g, &in, now_ms, &result);
    const msg_result *told = &result.result;
    if (!rc && told->rc) buf_printf(&call->error, "it is refused: %.*s", (int)told->ntext, told->ntext ? told->text : "");
    if (!rc) rc = told->rc;
    if (!rc) control_put_number(call->reply, "seq", told->seq);
    buf_fini(&result.hold);
    buf_fini(&delta);
    delta_writer_fini(&w);
    return rc;
}

static int restore(control_call *call, store *s, ingest *g, restoring *r, uint64_t now_ms) {
    buf before = {0}, after = {0};
    bool there;
    field_clock clock = {0};
    const uint8_t *p;
    int rc = read_current(s, r, &there, &clock, &before);
    if (!rc && !there) rc = control_misuse(call, "the row is not there any more");
    if (!rc) {
        p = before.p;
        rc = value_get(&p, before.p + before.n, &r->row.seen[0]);
    }
    bool same = !rc && before.n == r->lost.n && !memcmp(before.p, r->lost.p, before.n);
    if (!rc && !same) rc = write_lost(call, g, r, now_ms);
    if (!rc) rc = read_current(s, r, &there, &clock, &after);
    if (!rc && (after.n != r->lost.n || memcmp(after.p, r->lost.p, after.n) != 0))
        rc = control_misuse(call, "the rule of the column keeps the other value");
    buf_fini(&before);
    buf_fini(&after);
    return rc;
}

static int run_restore(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    json_int_t id = json_integer_value(json_object_get(call->request, "id"));
    restoring *r = calloc(1, sizeof *r);
    int rc = r ? find_lost(s, id, false, r) : SATCHEL_E_NOMEM;
    if (!rc && (!r->column || r->column->until != SCHEMA_NEVER || r->column->rule == RULE_COUNTER))
        rc = control_misuse(
            call, "it is about the row as a whole, a counter, or a column that is no more: there is no value to put back");
    if (!rc && r->column->rule == RULE_GROUP) rc = gather_group(call, s, id, r);
    if (!rc) rc = restore(call, s, g, r, now_ms);
    if (!rc) rc = settle(s, id, "restored", now_ms);
    if (!rc && r->column->rule == RULE_GROUP) rc = settle_parts(s, id, r, now_ms);
    free_restoring(r);
    return tell(call, rc, s, id, "cannot restore it");
}

/* ---- showing ---- */

static int put_one(void *ctx, const conflict_info *c) {
    json_object_set_new(ctx, "conflict", conflict_json(c));
    return 1;
}

/* What stands there now; NULL: there is no such row, or it is about the row as a whole or a column that is no more. */
static int put_now(control_call *call, store *s, const restoring *r) {
    buf bytes = {0}, text = {0};
    field_clock clock = {0};
    bool there = false, has_value = r->column && r->column->until == SCHEMA_NEVER;
    int rc = has_value ? read_current(s, r, &there, &clock, &bytes) : SATCHEL_OK;
    if (there) value_put_literals(&text, bytes.p, bytes.n);
    buf_put_byte(&text, 0);
    if (!rc) rc = text.rc;
    if (!rc) control_put_text(call->reply, "now", there ? (const char *)text.p : NULL);
    buf_fini(&bytes);
    buf_fini(&text);
    return rc;
}

static int run_show(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    json_int_t id = json_integer_value(json_object_get(call->request, "id"));
    (void)g, (void)now_ms;
    restoring *r = calloc(1, sizeof *r);
    int rc = !r ? SATCHEL_E_NOMEM : id > 0 ? find_lost(s, id, true, r) : SATCHEL_E_NOT_FOUND;
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&call->error, "there is no conflict %" JSON_INTEGER_FORMAT, id);
    if (!rc) rc = store_conflicts(s, &(conflict_which){.id = (uint64_t)id, .limit = 1}, put_one, call->reply);
    if (!rc) rc = put_now(call, s, r);
    free_restoring(r);
    return tell(call, rc, s, id, "cannot show it");
}

const control_command control_conflict_commands[] = {
    {"conflicts", false, run_list, NULL, PEOPLE_VIEWER, true},
    {"conflict.show", false, run_show, NULL, PEOPLE_VIEWER, true},
    {"conflict.accept", false, run_accept, NULL, PEOPLE_MANAGER, false},
    {"conflict.restore", false, run_restore, NULL, PEOPLE_MANAGER, false},
    {0},
};
