/* Devices, their incarnations, enrolment. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/record.h"
#include "server/store_private.h"

static void copy_text(char *to, size_t room, const unsigned char *from) {
    snprintf(to, room, "%s", from ? (const char *)from : "");
}

#define DEVICE_COLUMNS                                                                                                                                                        \
    "id,name,fingerprint,state,enrolled_ms,last_seen_ms,acked_seq,pending,clock_offset_ms,clamped,"                                                                           \
    "(SELECT count(*) FROM satchel_refused r JOIN satchel_author a USING(author) WHERE a.device=d.id AND r.state='open'),"                                                    \
    "(SELECT count(*) FROM satchel_conflict c WHERE c.lost_author IN (SELECT author FROM satchel_author a WHERE a.device=d.id)),"                                             \
    "(SELECT count(*) FROM satchel_author a WHERE a.device=d.id),schema_epoch,software,state_ms,resnapshot=1 OR (resnapshot=2 AND acked_seq=0),profile,user,store,verify_ms," \
    "rotate_key_ms,coalesce(m.begun_ms,0),coalesce(m.ended_ms,0),coalesce(m.ranges,0),coalesce(m.rows,0),coalesce(m.differed,0),coalesce(m.passed,0),"                        \
    "coalesce(held_bytes,0),coalesce(room_bytes,0) "                                                                                                                          \
    "FROM satchel_device d LEFT JOIN satchel_comparison m ON m.device=d.id "

static void copy_literal(char to[DEVICE_LITERAL_BYTES], sqlite3_stmt *q, int column) {
    size_t n = (size_t)sqlite3_column_bytes(q, column);
    buf text;
    to[0] = 0;
    if (!n) return;
    buf_init(&text, 0);
    value_put_literals(&text, sqlite3_column_blob(q, column), n);
    snprintf(to, DEVICE_LITERAL_BYTES, "%.*s", (int)text.n, text.n ? (const char *)text.p : "");
    buf_fini(&text);
}

static void read_device(sqlite3_stmt *q, device_info *d) {
    memset(d, 0, sizeof *d);
    d->id = sqlite3_column_int64(q, 0);
    copy_text(d->name, sizeof d->name, sqlite3_column_text(q, 1));
    if (sqlite3_column_bytes(q, 2) == CRYPTO_FINGERPRINT_BYTES)
        memcpy(d->fingerprint, sqlite3_column_blob(q, 2), CRYPTO_FINGERPRINT_BYTES);
    d->state = (device_state)sqlite3_column_int(q, 3);
    d->enrolled_ms = (uint64_t)sqlite3_column_int64(q, 4);
    d->last_seen_ms = (uint64_t)sqlite3_column_int64(q, 5);
    d->acked_seq = (uint64_t)sqlite3_column_int64(q, 6);
    d->pending = (uint64_t)sqlite3_column_int64(q, 7);
    d->clock_offset_ms = sqlite3_column_int64(q, 8);
    d->clamped = (uint64_t)sqlite3_column_int64(q, 9);
    d->rejected_open = (uint64_t)sqlite3_column_int64(q, 10);
    d->conflicts = (uint64_t)sqlite3_column_int64(q, 11);
    d->incarnations = (uint32_t)sqlite3_column_int64(q, 12);
    d->schema_epoch = (uint32_t)sqlite3_column_int64(q, 13);
    copy_text(d->software, sizeof d->software, sqlite3_column_text(q, 14));
    d->state_ms = (uint64_t)sqlite3_column_int64(q, 15);
    d->resnapshot = sqlite3_column_int(q, 16) != 0;
    d->everything = sqlite3_column_type(q, 17) == SQLITE_NULL;
    copy_text(d->profile, sizeof d->profile, sqlite3_column_text(q, 17));
    copy_literal(d->user, q, 18);
    copy_literal(d->store, q, 19);
    d->verify_ms = (uint64_t)sqlite3_column_int64(q, 20);
    d->rotate_key_ms = (uint64_t)sqlite3_column_int64(q, 21);
    d->compared = (device_compared){.begun_ms = (uint64_t)sqlite3_column_int64(q, 22),
                                    .ended_ms = (uint64_t)sqlite3_column_int64(q, 23),
                                    .ranges = (uint64_t)sqlite3_column_int64(q, 24),
                                    .rows = (uint64_t)sqlite3_column_int64(q, 25),
                                    .differed = (uint64_t)sqlite3_column_int64(q, 26),
                                    .passed = (uint64_t)sqlite3_column_int64(q, 27)};
    d->held_bytes = (uint64_t)sqlite3_column_int64(q, 28);
    d->room_bytes = (uint64_t)sqlite3_column_int64(q, 29);
}

static int one_device(store *s, sqlite3_stmt *q, device_info *out) {
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    read_device(q, out);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int store_device_by_fingerprint(store *s, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], device_info *out) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT " DEVICE_COLUMNS "WHERE (fingerprint=?1 OR next_fingerprint=?1) AND state<>3");
    db_bind(q, "b", fingerprint, (size_t)CRYPTO_FINGERPRINT_BYTES);
    return one_device(s, q, out);
}

int store_device_by_name(store *s, const char *name, device_info *out) {
    /* A revoked device's name may have been given again: the one that works first. */
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT " DEVICE_COLUMNS "WHERE name=? AND " DEVICE_LISTED
                                            " ORDER BY state IN (1,4) DESC,id DESC LIMIT 1");
    db_bind(q, "s", name);
    return one_device(s, q, out);
}

int store_devices(store *s, int (*visit)(void *ctx, const device_info *), void *ctx) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT " DEVICE_COLUMNS "WHERE " DEVICE_LISTED " ORDER BY name,id");
    device_info d;
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1) {
        read_device(q, &d);
        if (visit(ctx, &d)) {
            sqlite3_reset(q);
            return SATCHEL_OK;
        }
    }
    return rc;
}

/* ---- what an admin does with them ---- */

static int note_event(store *s, int64_t id, const char *kind, const char *text, uint64_t now_ms) {
    return db_exec(&s->cache, "INSERT INTO satchel_event(at_ms,device,kind,text) VALUES(?,?,?,?)", "iiss", (int64_t)now_ms, id,
                   kind, text);
}

/* A move from any of the states `from` (bits). */
typedef struct move {
    device_state to;
    unsigned from;
    const char *kind, *text, *refusal;
} move;

#define FROM(state) (1u << (state))
#define WORKS (FROM(DEVICE_ACTIVE) | FROM(DEVICE_PAUSED))
static const move MOVES[] = {
    {DEVICE_ACTIVE, FROM(DEVICE_PAUSED), "resumed", "resumed by an administrator", "only a paused device can be resumed"},
    {DEVICE_PAUSED, FROM(DEVICE_ACTIVE), "paused", "paused by an administrator", "only an active device can be paused"},
    {DEVICE_REVOKED, WORKS, "revoked", "revoked by an administrator", "the device is to be wiped, and refused until then"},
    {DEVICE_WIPE, WORKS | FROM(DEVICE_REVOKED) | FROM(DEVICE_WIPED), "wipe", "an administrator ordered that its data be erased",
     ""},
    {DEVICE_WIPED, WORKS | FROM(DEVICE_REVOKED) | FROM(DEVICE_WIPE), "wiped", "it has erased its data", ""},
    {DEVICE_REMOVED, FROM(DEVICE_REVOKED) | FROM(DEVICE_WIPED), "removed", "removed by an administrator",
     "only a device that is revoked, or has said that it is wiped, can be removed; revoke or wipe it first"},
};

static int state_of(store *s, int64_t id, device_state *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT state FROM satchel_device WHERE id=? AND " DEVICE_LISTED);
    db_bind(q, "i", id);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    *out = (device_state)sqlite3_column_int(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* Nobody would see them any more: they are what its user wrote. */
static int check_settled(store *s, int64_t id) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT 1 FROM satchel_author a JOIN satchel_refused f USING(author) WHERE a.device=? AND"
                              " f.state='open' LIMIT 1");
    db_bind(q, "i", id);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    sqlite3_reset(q);
    return store_fail(s, SATCHEL_E_MISUSE, "refused transactions of its are open; retry or discard them first");
}

/* What is for it alone. A grant ends as any does whose time has come: the rows move with the next upkeep. */
static int let_go(store *s, int64_t id, uint64_t now_ms) {
    int rc =
        db_exec(&s->cache, "UPDATE satchel_grant SET until_ms=?1 WHERE device=?2 AND until_ms>?1", "ii", (int64_t)now_ms, id);
    if (!rc) rc = db_exec(&s->cache, "DELETE FROM satchel_silence WHERE subject=?", "i", id);
    return rc ? rc
              : db_exec(
                    &s->cache,
                    "DELETE FROM satchel_enrol WHERE name=(SELECT name FROM satchel_device WHERE id=?) AND fingerprint IS NULL",
                    "i", id);
}

int store_device_move(store *s, int64_t id, device_state to, uint64_t now_ms) {
    device_state now;
    int rc = state_of(s, id, &now);
    if (rc || now == to) return rc;
    const move *m = MOVES;
    while (m->to != to) m++;
    if (!(m->from & FROM(now))) return store_fail(s, SATCHEL_E_MISUSE, m->refusal);
    if (to == DEVICE_REMOVED && ((rc = check_settled(s, id)) || (rc = let_go(s, id, now_ms)))) return rc;
    rc = db_exec(&s->cache, "UPDATE satchel_device SET state=?,state_ms=? WHERE id=?", "iii", (int64_t)to, (int64_t)now_ms, id);
    if (!rc && !(WORKS & FROM(to))) rc = db_exec(&s->cache, "UPDATE satchel_device SET " NO_ORDERS " WHERE id=?", "i", id);
    return rc ? rc : note_event(s, id, m->kind, m->text, now_ms);
}

static int is_name_taken(store *s, const char *name, int64_t besides, uint64_t now_ms) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT 1 FROM satchel_device WHERE name=?1 AND state IN (1,4) AND id<>?2 UNION ALL"
                              " SELECT 1 FROM satchel_enrol WHERE name=?1 AND fingerprint IS NULL AND expires_ms>=?3");
    db_bind(q, "sii", name, besides, (int64_t)now_ms);
    int rc = db_next(&s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    return rc;
}

int store_device_rename(store *s, int64_t id, const char *name, uint64_t now_ms) {
    char text[2 * LIMIT_NAME_BYTES + 32];
    int rc = is_name_taken(s, name, id, now_ms);
    if (rc == 1) return store_fail(s, SATCHEL_E_KEY_TAKEN, "a device, or an open enrolment code, has this name");
    sqlite3_stmt *q = rc ? NULL : db_prepare(&s->cache, "SELECT name FROM satchel_device WHERE id=? AND " DEVICE_LISTED);
    db_bind(q, "i", id);
    if (!rc) rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    snprintf(text, sizeof text, "renamed from %s to %s", (const char *)sqlite3_column_text(q, 0), name);
    sqlite3_reset(q);
    rc = db_exec(&s->cache, "UPDATE satchel_device SET name=? WHERE id=?", "si", name, id);
    return rc ? rc : note_event(s, id, "renamed", text, now_ms);
}

#define SET_SCOPE " SET profile=iif(?1&1,?2,profile),user=iif(?1&2,?3,user),store=iif(?1&4,?4,store) WHERE "

int store_device_set_scope(store *s, int64_t id, const device_scope *c, uint64_t now_ms) {
    char text[LIMIT_NAME_BYTES + 64];
    int rc = db_exec(&s->cache, "UPDATE satchel_device" SET_SCOPE "id=?5 AND " DEVICE_LISTED, "isbbi", (int64_t)c->given,
                     c->profile, c->user, c->nuser, c->store, c->nstore, id);
    if (!rc && !sqlite3_changes(s->db)) rc = SATCHEL_E_NOT_FOUND;
    if (c->given & DEVICE_PROFILE)
        snprintf(text, sizeof text, "given the profile %s", c->profile ? c->profile : "full");
    else
        snprintf(text, sizeof text, "given another user or store");
    return rc ? rc : note_event(s, id, "scope", text, now_ms);
}

int store_enrol_set_scope(store *s, const char *name, const device_scope *c) {
    return db_exec(&s->cache, "UPDATE satchel_enrol" SET_SCOPE "name=?5 AND fingerprint IS NULL", "isbbs", (int64_t)c->given,
                   c->profile, c->user, c->nuser, c->store, c->nstore, name);
}

int store_device_resnapshot(store *s, int64_t id, uint64_t now_ms) {
    int rc = db_exec(&s->cache, "UPDATE satchel_device SET resnapshot=1 WHERE id=? AND " DEVICE_LISTED, "i", id);
    if (!rc && !sqlite3_changes(s->db)) rc = SATCHEL_E_NOT_FOUND;
    return rc ? rc : note_event(s, id, "resnapshot", "an administrator ordered a new snapshot for it", now_ms);
}

/* With 0 noted as what the device has acknowledged; it has the snapshot when that has moved. */
int store_device_begin_resnapshot(store *s, int64_t id, int *begin) {
    *begin = 0;
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT iif(resnapshot=2 AND acked_seq>0,0,resnapshot) FROM satchel_device WHERE id=? AND resnapshot");
    db_bind(q, "i", id);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    *begin = sqlite3_column_int(q, 0);
    sqlite3_reset(q);
    return db_exec(&s->cache, "UPDATE satchel_device SET resnapshot=?1,acked_seq=iif(?1,0,acked_seq) WHERE id=?2", "ii",
                   (int64_t)(*begin ? 2 : 0), id);
}

int store_device_order(store *s, int64_t id, device_order order, uint64_t now_ms) {
    device_state now;
    bool verify = order == ORDER_VERIFY;
    int rc = state_of(s, id, &now);
    if (rc) return rc;
    if (!(WORKS & FROM(now))) return store_fail(s, SATCHEL_E_MISUSE, "only an active or paused device can do that");
    rc = db_exec(&s->cache,
                 verify ? "UPDATE satchel_device SET verify_ms=? WHERE id=?"
                        : "UPDATE satchel_device SET rotate_key_ms=? WHERE id=?",
                 "ii", (int64_t)now_ms, id);
    if (rc) return rc;
    return verify ? note_event(s, id, "verify", "an administrator ordered that it compare all its rows", now_ms)
                  : note_event(s, id, "rotate-key", "an administrator ordered that it make a new key", now_ms);
}

/* ---- what devices tell ---- */

/* A comparison that began before the order was given may have passed what was meant. An order that lies far ahead was given by a
 * clock that was put back since. */
static int end_verify(store *s, int64_t id, const device_compared *c, bool *ended) {
    char text[160];
    int rc = db_exec(&s->cache, "UPDATE satchel_device SET verify_ms=0 WHERE id=? AND (verify_ms BETWEEN 1 AND ? OR verify_ms>?)",
                     "iii", id, (int64_t)c->begun_ms, (int64_t)c->ended_ms + LIMIT_CLOCK_AHEAD_MS);
    *ended = !rc && sqlite3_changes(s->db) > 0;
    if (!*ended) return rc;
    snprintf(text, sizeof text,
             "it has compared %" PRIu64 " rows in %" PRIu64 " ranges: %" PRIu64 " differed and were given again, %" PRIu64
             " passed over",
             c->rows, c->ranges, c->differed, c->passed);
    return note_event(s, id, "verified", text, c->ended_ms);
}

int store_device_compared(store *s, int64_t id, const device_compared *c, const buf *found, bool *ordered) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "INSERT OR REPLACE INTO satchel_comparison(device,begun_ms,ended_ms,ranges,rows,differed,"
                              "passed,found) VALUES(?,?,?,?,?,?,?,?)");
    db_bind(q, "iiiiiii", id, (int64_t)c->begun_ms, (int64_t)c->ended_ms, (int64_t)c->ranges, (int64_t)c->rows,
            (int64_t)c->differed, (int64_t)c->passed);
    if (!q) return db_rc(sqlite3_extended_errcode(s->db));
    sqlite3_bind_text(q, 8, (const char *)found->p, (int)found->n, SQLITE_STATIC);
    int rc = db_run(q);
    return rc ? rc : end_verify(s, id, c, ordered);
}

int store_device_found(db_cache *c, int64_t id, buf *found) {
    sqlite3_stmt *q = db_prepare(c, "SELECT found FROM satchel_comparison WHERE device=?");
    db_bind(q, "i", id);
    int rc = db_next(c, q);
    if (rc != 1) return rc;
    buf_put(found, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    sqlite3_reset(q);
    return found->rc;
}

static void put_waiting(const store *s, const device_seen *seen, buf *out) {
    const char *comma = "";
    buf_put_byte(out, '[');
    for (unsigned i = 0; i < seen->nwaiting; i++) {
        const schema_table *t = schema_table_by_id(s->schema, seen->waiting[i].table);
        if (!t) continue;
        buf_printf(out, "%s{\"table\":", comma);
        record_put_text(out, t->name, strlen(t->name));
        buf_printf(out, ",\"changes\":%" PRIu64 "}", seen->waiting[i].changes);
        comma = ",";
    }
    buf_put_byte(out, ']');
}

int store_device_seen(store *s, int64_t id, const device_seen *seen) {
    buf waiting = {0};
    if (seen->nwaiting) put_waiting(s, seen, &waiting);
    sqlite3_stmt *q = db_prepare(
        &s->cache,
        "UPDATE satchel_device SET last_seen_ms=?1,acked_seq=CASE WHEN ?3 THEN min(acked_seq,?2) ELSE ?2 END,pending=?3,clock_offset_ms=?4,"
        "schema_epoch=?5,software=coalesce(?7,software),told_ms=?1,waiting=?8,"
        "held_bytes=nullif(?9,0),room_bytes=nullif(?10,0) WHERE id=?6");
    db_bind(q, "iiiiii", (int64_t)seen->now_ms, (int64_t)seen->acked_seq, (int64_t)seen->pending, seen->clock_offset_ms,
            (int64_t)seen->schema_epoch, id);
    if (q && seen->software) sqlite3_bind_text(q, 7, seen->software, (int)seen->nsoftware, SQLITE_STATIC);
    if (q && waiting.n) sqlite3_bind_text(q, 8, (const char *)waiting.p, (int)waiting.n, SQLITE_STATIC);
    if (q) sqlite3_bind_int64(q, 9, (int64_t)seen->held_bytes);
    if (q) sqlite3_bind_int64(q, 10, (int64_t)seen->room_bytes);
    int rc = waiting.rc ? waiting.rc : q ? db_run(q) : db_rc(sqlite3_extended_errcode(s->db));
    buf_fini(&waiting);
    return rc;
}

int store_device_waiting(db_cache *c, int64_t id, buf *waiting, uint64_t *told_ms) {
    sqlite3_stmt *q = db_prepare(c, "SELECT iif(pending>0,coalesce(waiting,'null'),'[]'),told_ms FROM satchel_device WHERE id=?");
    db_bind(q, "i", id);
    int rc = db_next(c, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    buf_put(waiting, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    *told_ms = (uint64_t)sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return waiting->rc;
}

int store_device_acked(store *s, int64_t id, uint64_t acked_seq, uint64_t now_ms) {
    return db_exec(&s->cache, "UPDATE satchel_device SET acked_seq=max(acked_seq,?),last_seen_ms=? WHERE id=?", "iii",
                   (int64_t)acked_seq, (int64_t)now_ms, id);
}

int store_device_present(store *s, int64_t id, uint64_t now_ms, uint64_t ago_ms) {
    return db_exec(&s->cache, "UPDATE satchel_device SET last_seen_ms=? WHERE id=? AND last_seen_ms<?", "iii", (int64_t)now_ms,
                   id, (int64_t)now_ms - (int64_t)ago_ms);
}

int store_device_answered(store *s, int64_t id, uint64_t results) {
    return db_exec(&s->cache, "UPDATE satchel_device SET pending=max(0,pending-?) WHERE id=?", "ii", (int64_t)results, id);
}

int store_device_clamped(store *s, int64_t id) {
    return db_exec(&s->cache, "UPDATE satchel_device SET clamped=clamped+1 WHERE id=?", "i", id);
}

/* ---- incarnations ---- */

static int read_author(store *s, sqlite3_stmt *q, author_info *out) {
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    *out = (author_info){.author = (uint32_t)sqlite3_column_int64(q, 0),
                         .device = sqlite3_column_int64(q, 1),
                         .incarnation = (uint32_t)sqlite3_column_int64(q, 2),
                         .last_number = (uint64_t)sqlite3_column_int64(q, 3),
                         .last_effective = (uint64_t)sqlite3_column_int64(q, 4),
                         .shared = (uint64_t)sqlite3_column_int64(q, 5),
                         .alone = sqlite3_column_int(q, 6) != 0};
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int make_author(store *s, int64_t device, uint32_t incarnation) {
    if (incarnation > LIMIT_INCARNATIONS) return SATCHEL_E_LIMIT;
    return db_exec(&s->cache, "INSERT INTO satchel_author(device,incarnation) VALUES(?,?)", "ii", device, (int64_t)incarnation);
}

int store_author(store *s, int64_t device, uint32_t incarnation, author_info *out) {
    for (int tries = 0;; tries++) {
        sqlite3_stmt *q = db_prepare(
            &s->cache, "SELECT author,device,incarnation,last_number,last_effective,coalesce(shared,-1), NOT EXISTS(SELECT 1 FROM"
                       " satchel_author b WHERE b.device=a.device AND b.incarnation<>a.incarnation)"
                       " FROM satchel_author a WHERE device=? AND incarnation=?");
        db_bind(q, "ii", device, (int64_t)incarnation);
        int rc = read_author(s, q, out);
        if (rc != SATCHEL_E_NOT_FOUND || incarnation == 0 || tries) return rc;
        if ((rc = make_author(s, device, incarnation))) return rc;
    }
}

int store_author_shares(store *s, author_info *author, uint64_t last_number) {
    if (author->shared == UINT64_MAX || author->shared < last_number) author->shared = last_number;
    return db_exec(&s->cache, "UPDATE satchel_author SET shared=? WHERE author=?", "ii", (int64_t)author->shared,
                   (int64_t)author->author);
}

int store_begin_connections(store *s) {
    return db_rc(sqlite3_exec(s->db,
                              "CREATE TEMP TABLE IF NOT EXISTS satchel_connected(author INTEGER PRIMARY KEY, connection INT);"
                              "DELETE FROM satchel_connected",
                              NULL, NULL, NULL));
}

int store_author_connects(store *s, const author_info *author, uint64_t connection) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "INSERT INTO satchel_connected(author,connection) VALUES(?,?) ON CONFLICT(author) DO UPDATE"
                              " SET connection=excluded.connection WHERE connection<=excluded.connection RETURNING 1");
    db_bind(q, "ii", (int64_t)author->author, (int64_t)connection);
    int rc = db_next(&s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    return rc == 1 ? SATCHEL_OK : rc ? rc : SATCHEL_E_SUPERSEDED;
}

int store_device_connects(store *s, int64_t device, uint64_t connection) {
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT 1 FROM satchel_author JOIN satchel_connected USING(author) WHERE device=? AND connection>? LIMIT 1");
    db_bind(q, "ii", device, (int64_t)connection);
    int rc = db_next(&s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    return rc == 1 ? SATCHEL_E_SUPERSEDED : rc;
}

int store_author_fork(store *s, int64_t device, uint64_t now_ms, author_info *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT coalesce(max(incarnation),0)+1 FROM satchel_author WHERE device=?");
    db_bind(q, "i", device);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    uint32_t incarnation = (uint32_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    rc = make_author(s, device, incarnation);
    if (!rc)
        rc = db_exec(
            &s->cache,
            "INSERT INTO satchel_event(at_ms,device,kind,text) VALUES(?,?,'fork','its file was restored or cloned; it goes on"
            " under a new incarnation')",
            "ii", (int64_t)now_ms, device);
    return rc ? rc : store_author(s, device, incarnation, out);
}

/* ---- enrolment ---- */

int store_enrol_offer(store *s, const char *name, const uint8_t secret[16], uint64_t expires_ms) {
    uint8_t hash[32];
    crypto_sha256(secret, 16, hash);
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT 1 FROM satchel_device WHERE name=? AND state IN (1,4)");
    db_bind(q, "s", name);
    int rc = db_next(&s->cache, q);
    if (rc == 1) {
        sqlite3_reset(q);
        return store_fail(s, SATCHEL_E_KEY_TAKEN, "an active device has this name; revoke it first or choose another");
    }
    /* A newer code for a name replaces an unused older one. */
    if (!rc) rc = db_exec(&s->cache, "DELETE FROM satchel_enrol WHERE name=? AND fingerprint IS NULL", "s", name);
    if (!rc)
        rc = db_exec(&s->cache, "INSERT INTO satchel_enrol(secret_hash,name,expires_ms) VALUES(?,?,?)", "bsi", hash, sizeof hash,
                     name, (int64_t)expires_ms);
    return rc;
}

/* What the secret's row says: SATCHEL_OK and the name if it may be redeemed (again) for this key. */
static int check_secret(store *s, const uint8_t hash[32], const uint8_t *fingerprint, uint64_t now_ms, char *name, size_t room,
                        bool *again) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT name,expires_ms,fingerprint FROM satchel_enrol WHERE secret_hash=?");
    db_bind(q, "b", hash, (size_t)32);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_ENROL_CODE;
    copy_text(name, room, sqlite3_column_text(q, 0));
    bool used = sqlite3_column_type(q, 2) != SQLITE_NULL;
    *again = used && sqlite3_column_bytes(q, 2) == CRYPTO_FINGERPRINT_BYTES &&
             memcmp(sqlite3_column_blob(q, 2), fingerprint, CRYPTO_FINGERPRINT_BYTES) == 0;
    bool expired = (uint64_t)sqlite3_column_int64(q, 1) < now_ms;
    sqlite3_reset(q);
    if (*again) return SATCHEL_OK;
    return used ? SATCHEL_E_ENROL_USED : expired ? SATCHEL_E_EXPIRED : SATCHEL_OK;
}

int store_enrol_redeem(store *s, const uint8_t secret[16], const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], uint64_t now_ms,
                       device_info *out) {
    uint8_t hash[32];
    char name[LIMIT_NAME_BYTES + 1];
    bool again = false;
    crypto_sha256(secret, 16, hash);
    int rc = check_secret(s, hash, fingerprint, now_ms, name, sizeof name, &again);
    if (rc) return rc;
    rc = store_device_by_fingerprint(s, fingerprint, out);
    if (rc == SATCHEL_OK && out->state != DEVICE_ACTIVE && out->state != DEVICE_PAUSED) return SATCHEL_E_REVOKED;
    if (again || (rc && rc != SATCHEL_E_NOT_FOUND)) return rc;
    if (rc == SATCHEL_E_NOT_FOUND)
        rc = db_exec(
            &s->cache,
            "INSERT INTO satchel_device(name,fingerprint,state,enrolled_ms,profile,user,store) SELECT name,?,1,?,profile,user,"
            "store FROM satchel_enrol WHERE secret_hash=?",
            "bib", fingerprint, (size_t)CRYPTO_FINGERPRINT_BYTES, (int64_t)now_ms, hash, sizeof hash);
    else /* The code says what it is to hold, as it would of a new one. */
        rc = db_exec(
            &s->cache,
            "UPDATE satchel_device SET enrolled_ms=?,(profile,user,store)=(SELECT profile,user,store FROM satchel_enrol WHERE"
            " secret_hash=?) WHERE id=?",
            "ibi", (int64_t)now_ms, hash, sizeof hash, out->id);
    if (!rc)
        rc = db_exec(&s->cache, "UPDATE satchel_enrol SET fingerprint=? WHERE secret_hash=?", "bb", fingerprint,
                     (size_t)CRYPTO_FINGERPRINT_BYTES, hash, sizeof hash);
    if (rc) return rc;
    return store_device_by_fingerprint(s, fingerprint, out);
}
