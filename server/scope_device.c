/* What a device is to hold: its profile's query, answered. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

typedef struct asker {
    const char *name, *profile;
    value user, store;
} asker;

static value one_value(sqlite3_stmt *q, int column) {
    const uint8_t *p = sqlite3_column_blob(q, column), *end = p ? p + sqlite3_column_bytes(q, column) : NULL;
    value v = value_null();
    if (p && value_get(&p, end, &v)) v = value_null();
    return v;
}

static int bind_asker(sqlite3_stmt *q, const asker *a, uint64_t now_ms) {
    value name = value_text(a->name, strlen(a->name)), now = value_integer((int64_t)now_ms);
    const struct {
        const char *name;
        const value *v;
    } PARAMETER[] = {{":device", &name}, {":user", &a->user}, {":store", &a->store}, {":now", &now}};
    int sq = SQLITE_OK;
    sqlite3_clear_bindings(q);
    for (size_t i = 0; !sq && i < sizeof PARAMETER / sizeof *PARAMETER; i++) {
        int at = sqlite3_bind_parameter_index(q, PARAMETER[i].name);
        if (at) sq = value_bind_copy(q, at, PARAMETER[i].v);
    }
    return db_rc(sq);
}

static int add_row(scope *c, sqlite3_stmt *q) {
    value v = value_of_column(q, 1);
    const char *name = (const char *)sqlite3_column_text(q, 0);
    uint32_t id;
    if (!name && sqlite3_column_type(q, 0) != SQLITE_NULL) return SATCHEL_E_NOMEM;
    if (!name || !strcmp(name, "grant")) return SATCHEL_OK;
    int rc = scope_bucket_id(c, name, &v, &id);
    return rc ? rc : scope_ids_add(&c->ids, id);
}

static int add_grants(scope *c, int64_t device) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT id FROM satchel_grant WHERE device=?");
    db_bind(q, "i", device);
    return scope_add_grants(c, q);
}

/* Into c->ids. */
static int ask(scope *c, const scope_profile *p, const asker *a, int64_t device, uint64_t now_ms) {
    int rc = bind_asker(p->buckets, a, now_ms), step = SQLITE_DONE;
    c->ids.n = 0;
    while (!rc && (step = sqlite3_step(p->buckets)) == SQLITE_ROW) rc = add_row(c, p->buckets);
    if (!rc && step != SQLITE_DONE) rc = (step & 0xff) == SQLITE_ERROR ? SATCHEL_E_RULE : db_rc(step);
    sqlite3_reset(p->buckets);
    if (!rc) rc = add_grants(c, device);
    scope_ids_order(&c->ids);
    return rc;
}

/* A profile that the rules no longer have holds nothing. */
static int view_of(scope *c, const asker *a, int64_t device, uint64_t now_ms, uint64_t *view_id) {
    const scope_profile *p = scope_profile_by_name(c, a->profile);
    c->ids.n = 0;
    int rc = p ? ask(c, p, a, device, now_ms) : SATCHEL_OK;
    return rc ? rc : view_intern(c->cache, a->profile, p ? (const char *)p->masked.p : "", c->ids.id, c->ids.n, view_id);
}

/* From the next commit on: an edit whose base is the head may have been made before the device was told. Where another view begins there already, that commit is made, of
 * nothing: the device may have it by now, and edit under it. */
static int note_held(scope *c, int64_t device, uint64_t view_id) {
    uint64_t head = store_where(c->s).seq, last = 0, since = 0;
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT view,seq FROM satchel_held WHERE device=? ORDER BY seq DESC LIMIT 1");
    db_bind(q, "i", device);
    int rc = db_next(c->cache, q);
    bool any = rc == 1;
    if (any) {
        last = (uint64_t)sqlite3_column_int64(q, 0);
        since = (uint64_t)sqlite3_column_int64(q, 1);
        sqlite3_reset(q);
    }
    if (rc < 0 || last == view_id) return rc < 0 ? rc : SATCHEL_OK;
    /* Who was here before it had a view held everything. */
    rc =
        any ? SATCHEL_OK
            : db_exec(c->cache,
                      "INSERT INTO satchel_held(device,seq,view) SELECT id,0,0 FROM satchel_device WHERE id=? AND last_seen_ms>0",
                      "i", device);
    if (!rc && since > head) head = store_next_seq(c->s);
    if (rc) return rc;
    return db_exec(c->cache, "INSERT OR REPLACE INTO satchel_held(device,seq,view) VALUES(?,?,?)", "iii", device,
                   (int64_t)head + 1, (int64_t)view_id);
}

int scope_device_view(scope *c, int64_t device, uint64_t now_ms, uint64_t *view_id) {
    *view_id = 0;
    if (!scope_is_on(c)) return SATCHEL_OK;
    int rc = scope_refresh(c);
    if (rc) return rc;
    sqlite3_stmt *q = NULL;
    rc = db_rc(sqlite3_prepare_v2(c->db, "SELECT name,profile,user,store FROM satchel_device WHERE id=?", -1, &q, NULL));
    if (!rc) sqlite3_bind_int64(q, 1, device);
    int step = rc ? SQLITE_DONE : sqlite3_step(q);
    if (step == SQLITE_ROW) {
        asker a = {.name = (const char *)sqlite3_column_text(q, 0), .profile = (const char *)sqlite3_column_text(q, 1)};
        a.user = one_value(q, 2);
        a.store = one_value(q, 3);
        if (a.profile && a.name) rc = view_of(c, &a, device, now_ms, view_id);
    } else if (!rc) {
        rc = step == SQLITE_DONE ? SATCHEL_E_NOT_FOUND : db_rc(step);
    }
    sqlite3_finalize(q);
    return rc ? rc : note_held(c, device, *view_id);
}
