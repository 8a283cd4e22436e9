/* What rules would move, device by device, before they are published. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

/* Rows of one table that lie in one set and would lie in another. */
typedef struct tally_row {
    uint32_t table, was, is;
    uint64_t rows;
} tally_row;

typedef struct tally {
    const scope *c;
    tally_row *row;
    size_t n, room;
    uint32_t *slot; /* hash table of places plus 1 */
    size_t slots;
    uint64_t moved;
    scope *writes; /* puts the sets, for children to follow */
} tally;

static uint32_t *find(const tally *y, uint32_t table, uint32_t was, uint32_t is) {
    uint32_t key[3] = {table, was, is};
    for (size_t at = value_hash(key, sizeof key, 3);; at++) {
        uint32_t *slot = &y->slot[at % y->slots];
        const tally_row *r = *slot ? &y->row[*slot - 1] : NULL;
        if (!r || (r->table == table && r->was == was && r->is == is)) return slot;
    }
}

static bool grow(tally *y) {
    if (y->n < y->room) return true;
    size_t room = y->room ? y->room * 2 : 256;
    tally_row *more = realloc(y->row, room * sizeof *more);
    uint32_t *slot = calloc(room * 2, sizeof *slot);
    if (more) y->row = more;
    if (!more || !slot) {
        free(slot);
        return false;
    }
    free(y->slot);
    y->slot = slot;
    y->slots = room * 2;
    y->room = room;
    for (size_t i = 0; i < y->n; i++) *find(y, y->row[i].table, y->row[i].was, y->row[i].is) = (uint32_t)i + 1;
    return true;
}

static int count_row(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is) {
    tally *y = ctx;
    uint32_t table = (uint32_t)(t - y->c->shape->table);
    if (!grow(y)) return SATCHEL_E_NOMEM;
    uint32_t *slot = find(y, table, was, is);
    if (!*slot) {
        y->row[y->n] = (tally_row){.table = table, .was = was, .is = is};
        *slot = (uint32_t)++y->n;
    }
    y->row[*slot - 1].rows++;
    y->moved += was != is;
    return was == is ? SATCHEL_OK : scope_put_set(y->writes, t, key, is);
}

/* ---- devices ---- */

/* Under the rules in force, without noting that the device was to hold it. */
static int load_view(scope *c, int64_t device, uint64_t now_ms, view **out) {
    uint64_t id = 0;
    int rc = scope_device_view(c, device, now_ms, &id);
    return rc ? rc : view_load(c->cache, id, out);
}

static int count_for(const tally *y, const view *old, const view *new, view_sets *sets, json_t *gets, json_t *loses) {
    for (size_t i = 0; i < y->n; i++) {
        const tally_row *r = &y->row[i];
        int held = view_holds(old, sets, r->was), holds = view_holds(new, sets, r->is);
        if (held < 0 || holds < 0) return held < 0 ? held : holds;
        if (held == holds) continue;
        const char *name = y->c->shape->table[r->table].name;
        json_t *of = holds ? gets : loses;
        json_int_t before = json_integer_value(json_object_get(of, name));
        if (json_object_set_new(of, name, json_integer(before + (json_int_t)r->rows))) return SATCHEL_E_NOMEM;
    }
    return SATCHEL_OK;
}

static int look_at_device(const tally *y, scope *old, scope *new, sqlite3_stmt *q, uint64_t now_ms, json_t *devices) {
    view *before = NULL, *after = NULL;
    int64_t id = sqlite3_column_int64(q, 0);
    const char *profile = (const char *)sqlite3_column_text(q, 2);
    buf user = {0};
    json_t *gets = json_object(), *loses = json_object();
    value_put_literals(&user, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    buf_put_byte(&user, 0);
    int rc = user.rc ? user.rc : load_view(old, id, now_ms, &before);
    if (!rc) rc = load_view(new, id, now_ms, &after);
    if (!rc) rc = count_for(y, before, after, new->sets, gets, loses);
    bool other = !rc && !view_same_masks(before, after);
    json_t *o = rc ? NULL
                   : json_pack("{ss? ss? ss? sb sb sO sO}", "device", sqlite3_column_text(q, 1), "profile", profile, "user",
                               user.n > 1 ? (const char *)user.p : NULL, "known", !profile || scope_profile_by_name(new, profile),
                               "masks_change", other, "gets", gets, "loses", loses);
    if (!rc && (!o || json_array_append_new(devices, o))) rc = SATCHEL_E_NOMEM;
    view_release(before);
    view_release(after);
    json_decref(gets);
    json_decref(loses);
    buf_fini(&user);
    return rc;
}

static int look_at_devices(const tally *y, scope *old, scope *new, uint64_t now_ms, json_t *devices) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(
        new->db, "SELECT id,name,profile,user FROM satchel_device WHERE state IN (1,4) ORDER BY name", -1, &q, NULL));
    while (!rc && sqlite3_step(q) == SQLITE_ROW) rc = look_at_device(y, old, new, q, now_ms, devices);
    int end = db_rc(sqlite3_finalize(q));
    return rc ? rc : end;
}

/* ---- words ---- */

static void put_counts(buf *out, const char *what, json_t *counts) {
    const char *table;
    json_t *rows;
    json_int_t all = 0;
    json_object_foreach(counts, table, rows) all += json_integer_value(rows);
    buf_printf(out, "%s %" JSON_INTEGER_FORMAT, what, all);
    bool first = true;
    json_object_foreach(counts, table, rows) {
        buf_printf(out, "%s%s %" JSON_INTEGER_FORMAT, first ? " (" : ", ", table, json_integer_value(rows));
        first = false;
    }
    if (!first) buf_printf(out, ")");
}

static void put_words(buf *out, json_t *all) {
    size_t i;
    json_t *d;
    buf_printf(out, "rows that lie elsewhere: %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(all, "moved")));
    json_array_foreach(json_object_get(all, "devices"), i, d) {
        const char *profile = json_string_value(json_object_get(d, "profile")),
                   *user = json_string_value(json_object_get(d, "user"));
        buf_printf(out, "%s (%s%s%s): ", json_string_value(json_object_get(d, "device")), profile ? profile : "everything",
                   user ? ", user " : "", user ? user : "");
        put_counts(out, "gets", json_object_get(d, "gets"));
        put_counts(out, ", loses", json_object_get(d, "loses"));
        if (json_is_true(json_object_get(d, "masks_change"))) buf_printf(out, "; other columns are masked, so it begins anew");
        if (!json_is_true(json_object_get(d, "known"))) buf_printf(out, "; the rules do not have its profile");
        buf_printf(out, "\n");
    }
}

int scope_put_report(json_t *o, bool json, void (*words)(buf *out, json_t *o), buf *report) {
    char *text = json ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (json && !text) return SATCHEL_E_NOMEM;
    if (json)
        buf_put(report, text, strlen(text));
    else
        words(report, o);
    free(text);
    return report->rc;
}

/* ---- all of it ---- */

static int try_rules(store *s, scope *old, scope *new, uint64_t now_ms, json_t *devices, uint64_t *moved) {
    tally y = {.c = new, .writes = new};
    int rc = scope_refresh(new);
    if (!rc) rc = scope_refresh(old);
    s->scope_now_ms = scope_midnight(now_ms);
    if (!rc) rc = scope_place_all(new, true, count_row, &y);
    if (!rc) rc = look_at_devices(&y, old, new, now_ms, devices);
    *moved = y.moved;
    free(y.row);
    free(y.slot);
    return rc;
}

/* In a savepoint, all of which is undone. */
static int try_and_undo(store *s, const char *name, const char *sql, uint64_t now_ms, json_t *devices, uint64_t *moved,
                        buf *error) {
    scope *old = NULL, *new = NULL;
    int64_t now_was = s->scope_now_ms;
    store_position position = s->now;
    int rc = scope_open(s, &old, error);
    if (!rc) rc = scope_open_text(s, name, sql, &new, error);
    if (!rc) rc = store_savepoint(s);
    if (!rc) {
        rc = try_rules(s, old, new, now_ms, devices, moved);
        if (rc && !error->n)
            buf_printf(error, "%s: %s", name, rc == SATCHEL_E_RULE ? sqlite3_errmsg(s->db) : satchel_rc_text(rc));
        store_savepoint_rollback(s);
        s->now = position;
        s->scope_now_ms = now_was;
    }
    scope_free(old);
    scope_free(new);
    return rc;
}

int scope_dry_run(store *s, const char *name, const char *sql, uint64_t now_ms, bool json, buf *report, buf *error) {
    bool own = !s->open;
    uint64_t moved = 0;
    json_t *devices = json_array(), *all = NULL;
    int rc = devices ? SATCHEL_OK : SATCHEL_E_NOMEM;
    if (!rc && own) rc = store_begin(s);
    if (!rc) {
        rc = try_and_undo(s, name, sql, now_ms, devices, &moved, error);
        if (own) store_rollback(s);
    }
    if (!rc) all = json_pack("{sI sO}", "moved", (json_int_t)moved, "devices", devices);
    if (!rc) rc = all ? scope_put_report(all, json, put_words, report) : SATCHEL_E_NOMEM;
    json_decref(all);
    json_decref(devices);
    return rc;
}
