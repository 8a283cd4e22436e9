/* Why a row is on a device, or why not. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"
#include "server/scope_private.h"

/* Rows that are looked at on the way up. */
#define ROWS 256u

typedef struct waiting {
    const schema_table *t;
    buf key; /* as value_put writes it */
} waiting;

typedef struct telling {
    scope *c;
    json_t *because;
    waiting row[ROWS];
    unsigned n, at;
} telling;

static int add(telling *w, const schema_table *t, const value *key) {
    buf bytes = {0};
    for (unsigned i = 0; i < t->nkey; i++) value_put(&bytes, &key[i]);
    for (unsigned i = 0; i < w->n && !bytes.rc; i++)
        if (w->row[i].t == t && w->row[i].key.n == bytes.n && !memcmp(w->row[i].key.p, bytes.p, bytes.n)) {
            buf_fini(&bytes);
            return SATCHEL_OK;
        }
    int rc = bytes.rc;
    if (!rc && w->n < ROWS)
        w->row[w->n++] = (waiting){.t = t, .key = bytes};
    else
        buf_fini(&bytes);
    return rc;
}

static json_t *key_json(const buf *key) {
    buf text = {0};
    value_put_literals(&text, key->p, key->n);
    json_t *o = json_stringn(text.p ? (const char *)text.p : "", text.n);
    buf_fini(&text);
    return o ? o : json_string("?");
}

static int say(telling *w, const waiting *row, unsigned line, const char *kind, json_t *what) {
    char place[LIMIT_TEXT_BYTES];
    if (line)
        sqlite3_snprintf(sizeof place, place, "%s:%u", w->c->name, line);
    else
        sqlite3_snprintf(sizeof place, place, "a grant");
    json_t *o = json_pack("{ss so ss so}", "table", row->t->name, "key", key_json(&row->key), "rule", place, kind, what);
    return o && !json_array_append_new(w->because, o) ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

static json_t *bucket_json(scope *c, uint32_t id) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT name FROM satchel_bucket WHERE id=?");
    db_bind(q, "i", (int64_t)id);
    json_t *o = NULL;
    if (db_next(c->cache, q) == 1) {
        o = json_string((const char *)sqlite3_column_text(q, 0));
        sqlite3_reset(q);
    }
    return o ? o : json_string("?");
}

static int say_own(telling *w, const waiting *row, const scope_table *st) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < st->nbucket && !rc; i++) {
        value v = value_of_column(st->facts, 1 + (int)i);
        uint32_t id;
        if (v.type == VALUE_NULL) continue;
        rc = scope_bucket_id(w->c, st->bucket[i]->name, st->bucket[i]->value ? &v : NULL, &id);
        if (!rc) rc = say(w, row, st->bucket[i]->line, "bucket", bucket_json(w->c, id));
    }
    return rc;
}

static int say_grants(telling *w, const waiting *row) {
    int rc;
    sqlite3_stmt *q = db_prepare(
        w->c->cache,
        "SELECT g.id,until_ms,reason,d.name FROM satchel_grant g JOIN satchel_device d ON d.id=device WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)row->t->id, row->key.p, row->key.n);
    while ((rc = db_next(w->c->cache, q)) == 1) {
        char until[32];
        log_time((uint64_t)sqlite3_column_int64(q, 1), until);
        json_t *o = json_pack("{sI ss ss? ss?}", "id", (json_int_t)sqlite3_column_int64(q, 0), "until", until, "reason",
                              sqlite3_column_text(q, 2), "device", sqlite3_column_text(q, 3));
        rc = o ? say(w, row, 0, "grant", o) : SATCHEL_E_NOMEM;
        if (rc) {
            sqlite3_reset(q);
            return rc;
        }
    }
    return rc;
}

/* Parents that the row follows, to be looked at next; and those that are not there. */
static int say_parents(telling *w, const waiting *row, const scope_table *st, const value *key) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < st->nparent && !rc; i++) {
        const scope_parent *p = st->parent[i];
        value parent[LIMIT_KEY_COLUMNS];
        bool there;
        rc = scope_parent_key(w->c, st, i, key, parent, &there);
        if (rc < 1) continue;
        buf bytes = {0};
        for (unsigned k = 0; k < p->parent->nkey; k++) value_put(&bytes, &parent[k]);
        json_t *o =
            json_pack("{ss so sb ss?}", "table", p->parent->name, "key", key_json(&bytes), "there", there, "only", p->only);
        buf_fini(&bytes);
        rc = o ? say(w, row, p->line, "follows", o) : SATCHEL_E_NOMEM;
        if (!rc && there) rc = add(w, p->parent, parent);
    }
    return rc < 0 ? rc : SATCHEL_OK;
}

static int say_row(telling *w, const waiting *row) {
    const scope_table *st = scope_table_of(w->c, row->t);
    value key[LIMIT_KEY_COLUMNS];
    const uint8_t *p = row->key.p, *end = p + row->key.n;
    for (unsigned i = 0; i < row->t->nkey; i++)
        if (value_get(&p, end, &key[i])) return SATCHEL_E_INTERNAL;
    scope_bind_key(st->facts, row->t, key);
    int step = sqlite3_step(st->facts), rc = step == SQLITE_ROW || step == SQLITE_DONE ? SATCHEL_OK : db_rc(step);
    if (step == SQLITE_ROW) rc = say_own(w, row, st);
    sqlite3_reset(st->facts);
    if (!rc) rc = say_grants(w, row);
    return rc ? rc : say_parents(w, row, st, key);
}

/* ---- the device ---- */

static int add_ids(scope *c, sqlite3_stmt *q, json_t *to) {
    const uint8_t *p = sqlite3_column_blob(q, 0);
    int rc = SATCHEL_OK;
    for (int i = 0; i + 4 <= sqlite3_column_bytes(q, 0) && !rc; i += 4)
        rc = json_array_append_new(
                 to, bucket_json(c, (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 | (uint32_t)p[i + 2] << 8 | p[i + 3]))
                 ? SATCHEL_E_NOMEM
                 : SATCHEL_OK;
    return rc;
}

/* Names of the buckets of a set or a view. */
static int list_buckets(scope *c, const char *sql, int64_t id, json_t *to) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(c->db, sql, -1, &q, NULL));
    if (!rc) sqlite3_bind_int64(q, 1, id);
    if (!rc && sqlite3_step(q) == SQLITE_ROW) rc = add_ids(c, q, to);
    sqlite3_finalize(q);
    return rc;
}

static bool has_text(const json_t *list, const char *text) {
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o) if (!strcmp(json_string_value(o), text)) return true;
    return false;
}

static json_t *in_both(const json_t *a, const json_t *b) {
    json_t *both = json_array(), *o;
    size_t i;
    json_array_foreach(a, i, o) if (has_text(b, json_string_value(o))) json_array_append(both, o);
    return both;
}

static json_t *masked_columns(const scope *c, const scope_profile *p, const schema_table *t) {
    json_t *list = json_array();
    const bool *mask = p ? p->masks[t - c->shape->table] : NULL;
    for (unsigned i = 0; mask && i < t->ncol; i++)
        if (mask[t->col[i]->id]) json_array_append_new(list, json_string(t->col[i]->name));
    return list;
}

static json_t *rights(const scope *c, const scope_profile *p, const schema_table *t) {
    static const char *const OP[] = {"insert", "update", "delete"};
    json_t *all = json_array();
    for (unsigned i = 0; p && i < c->nwrite; i++) {
        const scope_write *w = &c->write[i];
        if (&c->profile[w->profile] != p || w->t != t) continue;
        json_t *ops = json_array(), *columns = w->every ? json_null() : json_array();
        for (unsigned k = 0; k < 3; k++)
            if (w->may[k]) json_array_append_new(ops, json_string(OP[k]));
        for (unsigned k = 0; !w->every && k < t->ncol; k++)
            if (w->column[t->col[k]->id]) json_array_append_new(columns, json_string(t->col[k]->name));
        char place[LIMIT_TEXT_BYTES];
        sqlite3_snprintf(sizeof place, place, "%s:%u", c->name, w->line);
        json_array_append_new(all,
                              json_pack("{so so sb ss}", "ops", ops, "columns", columns, "anywhere", w->anywhere, "rule", place));
    }
    return all;
}

static int put_device(scope *c, const scope_named *row, const char *device, uint64_t now_ms, json_t *all) {
    uint64_t id = 0;
    json_t *holds = json_array(), *lies = json_array();
    const char *profile = NULL;
    int rc = scope_device_view(c, row->device, now_ms, &id);
    if (!rc) rc = list_buckets(c, "SELECT buckets FROM satchel_view WHERE id=?", (int64_t)id, holds);
    if (!rc) rc = list_buckets(c, "SELECT buckets FROM satchel_set WHERE id=?", row->set, lies);
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT profile FROM satchel_device WHERE id=?");
    db_bind(q, "i", row->device);
    if (!rc && db_next(c->cache, q) == 1) profile = (const char *)sqlite3_column_text(q, 0);
    const scope_profile *p = profile ? scope_profile_by_name(c, profile) : NULL;
    json_t *shared = in_both(lies, holds);
    bool there = !id || json_array_size(shared);
    json_object_set_new(all, "device", json_string(device));
    json_object_set_new(all, "profile", profile ? json_string(profile) : json_null());
    if (q) sqlite3_reset(q);
    json_object_set_new(all, "held", json_boolean(there));
    json_object_set_new(all, "buckets", lies);
    json_object_set_new(all, "device_buckets", holds);
    json_object_set_new(all, "shared", shared);
    json_object_set_new(all, "masked", masked_columns(c, p, row->t));
    json_object_set_new(all, "writes", rights(c, p, row->t));
    return rc;
}

/* ---- words ---- */

static const char *text_of(const json_t *o, const char *name) {
    const char *text = json_string_value(json_object_get(o, name));
    return text ? text : "";
}

static void put_list(buf *out, const char *before, const json_t *list, const char *otherwise) {
    size_t i;
    json_t *o;
    buf_printf(out, "%s", before);
    if (!json_array_size(list)) buf_printf(out, "%s", otherwise);
    json_array_foreach(list, i, o) buf_printf(out, "%s%s", i ? ", " : "", json_string_value(o));
}

static void put_reason(buf *out, const json_t *o) {
    const json_t *follows = json_object_get(o, "follows"), *grant = json_object_get(o, "grant");
    buf_printf(out, "  %s %s: ", text_of(o, "table"), text_of(o, "key"));
    if (follows)
        buf_printf(out, "follows %s %s%s%s%s", text_of(follows, "table"), text_of(follows, "key"),
                   json_is_true(json_object_get(follows, "there")) ? "" : ", which is not there",
                   json_is_string(json_object_get(follows, "only")) ? ", but only in " : "", text_of(follows, "only"));
    else if (grant)
        buf_printf(out, "granted to %s until %s: %s", text_of(grant, "device"), text_of(grant, "until"),
                   text_of(grant, "reason"));
    else
        buf_printf(out, "%s", text_of(o, "bucket"));
    if (!grant) buf_printf(out, " (%s)", text_of(o, "rule"));
    buf_printf(out, "\n");
}

static void put_right(buf *out, const json_t *w) {
    put_list(out, "  may ", json_object_get(w, "ops"), "do nothing");
    if (json_is_array(json_object_get(w, "columns"))) put_list(out, ": ", json_object_get(w, "columns"), "no column");
    buf_printf(out, "%s (%s)\n", json_is_true(json_object_get(w, "anywhere")) ? ", anywhere" : "", text_of(w, "rule"));
}

static void put_words(buf *out, json_t *all) {
    size_t i;
    json_t *o;
    buf_printf(out, "%s %s is %son device %s.\n", text_of(all, "table"), text_of(all, "key"),
               json_is_true(json_object_get(all, "held")) ? "" : "not ", text_of(all, "device"));
    put_list(out, "The row lies in: ", json_object_get(all, "buckets"), "no bucket");
    buf_printf(out, "\n");
    json_array_foreach(json_object_get(all, "because"), i, o) put_reason(out, o);
    if (!json_is_string(json_object_get(all, "profile"))) {
        buf_printf(out, "The device has no profile: it holds everything, and may write all that the schema lets it.\n");
        return;
    }
    buf_printf(out, "The device has the profile %s and holds: ", text_of(all, "profile"));
    put_list(out, "", json_object_get(all, "device_buckets"), "no bucket");
    put_list(out, "\nIn common: ", json_object_get(all, "shared"), "nothing");
    put_list(out, "\nMasked columns: ", json_object_get(all, "masked"), "none");
    buf_printf(out, "\nWrites to %s%s\n", text_of(all, "table"),
               json_array_size(json_object_get(all, "writes")) ? ":" : ": none");
    json_array_foreach(json_object_get(all, "writes"), i, o) put_right(out, o);
}

static int gather(telling *w, const scope_named *row, const char *device, uint64_t now_ms, json_t *all) {
    json_object_set_new(all, "table", json_string(row->t->name));
    json_object_set_new(all, "key", key_json(&row->bytes));
    json_object_set_new(all, "because", w->because);
    int rc = add(w, row->t, row->key);
    for (; w->at < w->n && !rc; w->at++) {
        waiting at = w->row[w->at];
        rc = say_row(w, &at);
    }
    return rc ? rc : put_device(w->c, row, device, now_ms, all);
}

int scope_explain(store *s, scope *c, const char *device, const char *table, const char *key_literals, uint64_t now_ms, bool json,
                  buf *report, buf *error) {
    scope *own;
    scope_named row = {0};
    telling *w = calloc(1, sizeof *w);
    json_t *all = json_object();
    int rc = w && all ? scope_use(s, &c, &own, error) : SATCHEL_E_NOMEM;
    if (!rc) rc = scope_name_row(c, device, table, key_literals, &row, error);
    if (!rc) {
        w->c = c;
        w->because = json_array();
        rc = w->because ? gather(w, &row, device, now_ms, all) : SATCHEL_E_NOMEM;
        if (!rc) rc = scope_put_report(all, json, put_words, report);
    }
    for (unsigned i = 0; w && i < w->n; i++) buf_fini(&w->row[i].key);
    buf_fini(&row.bytes);
    json_decref(all);
    free(w);
    scope_free(own);
    return rc;
}
