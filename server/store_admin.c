/* What an admin reads of the store: conflicts, refusals, counts; and what upkeep removes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/delta.h"
#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "server/store_private.h"

/* ---- words ---- */

/* Every value in the bytes, as SQL literals separated by commas; zero-terminated in `out`. */
static const char *literals(buf *out, const void *bytes, size_t n) {
    buf_clear(out);
    value_put_literals(out, bytes, n);
    buf_put_byte(out, 0);
    return out->p ? (const char *)out->p : "";
}

static const char *table_name(const store *s, uint32_t id) {
    const schema_table *t = schema_table_by_id(s->schema, id);
    return t ? t->name : "";
}

static const char *column_name(const store *s, uint32_t table, uint32_t id) {
    const schema_table *t = schema_table_by_id(s->schema, table);
    const schema_column *c = t && id ? schema_column_by_id(t, id) : NULL;
    return c ? c->name : NULL;
}

static const char *text_or(sqlite3_stmt *q, int column, const char *otherwise) {
    const unsigned char *t = sqlite3_column_text(q, column);
    return t ? (const char *)t : otherwise;
}

/* ---- conflicts ---- */

#define CONFLICTS(which)                                                                                                         \
    "SELECT c.id,seq,at_ms,tbl,col,rule,key,kept,lost,kept_stamp,lost_stamp,k.name,l.name,c.state,resolved_ms FROM"              \
    " satchel_conflict c LEFT JOIN satchel_author ka ON ka.author=kept_author LEFT JOIN satchel_device k ON k.id=ka.device"      \
    " LEFT JOIN satchel_author la ON la.author=lost_author LEFT JOIN satchel_device l ON l.id=la.device"                         \
    " WHERE " which "c.id BETWEEN ? AND ? ORDER BY c.id DESC LIMIT ?"

int store_conflicts(store *s, const conflict_which *which, int (*visit)(void *ctx, const conflict_info *), void *ctx) {
    sqlite3_stmt *q = db_prepare(&s->cache, which->open ? CONFLICTS("c.state='open' AND ") : CONFLICTS(""));
    db_bind(q, "iii", (int64_t)which->id, which->id ? (int64_t)which->id : INT64_MAX,
            which->limit ? (int64_t)which->limit : INT64_MAX);
    buf key, kept, lost;
    buf_init(&key, 0);
    buf_init(&kept, 0);
    buf_init(&lost, 0);
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1) {
        uint32_t table = (uint32_t)sqlite3_column_int64(q, 3);
        conflict_info c = {.id = (uint64_t)sqlite3_column_int64(q, 0),
                           .seq = (uint64_t)sqlite3_column_int64(q, 1),
                           .at_ms = (uint64_t)sqlite3_column_int64(q, 2),
                           .table = table_name(s, table),
                           .column = column_name(s, table, (uint32_t)sqlite3_column_int64(q, 4)),
                           .rule = merge_rule_name((merge_rule)sqlite3_column_int(q, 5)),
                           .key = literals(&key, sqlite3_column_blob(q, 6), (size_t)sqlite3_column_bytes(q, 6)),
                           .kept = literals(&kept, sqlite3_column_blob(q, 7), (size_t)sqlite3_column_bytes(q, 7)),
                           .lost = literals(&lost, sqlite3_column_blob(q, 8), (size_t)sqlite3_column_bytes(q, 8)),
                           .kept_stamp = (uint64_t)sqlite3_column_int64(q, 9),
                           .lost_stamp = (uint64_t)sqlite3_column_int64(q, 10),
                           .kept_device = text_or(q, 11, "server"),
                           .lost_device = text_or(q, 12, "server"),
                           .state = text_or(q, 13, "open"),
                           .resolved_ms = (uint64_t)sqlite3_column_int64(q, 14)};
        if (visit(ctx, &c)) break;
    }
    if (q) sqlite3_reset(q);
    buf_fini(&key);
    buf_fini(&kept);
    buf_fini(&lost);
    return rc < 0 ? rc : SATCHEL_OK;
}

/* ---- refusals ---- */

static void put_json_text(buf *out, const char *p, size_t n) {
    buf_put_byte(out, '"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_put_byte(out, c);
    }
    buf_put_byte(out, '"');
}

static void put_json_literal(buf *out, const value *v) {
    buf text;
    buf_init(&text, 0);
    value_put_literal(&text, v);
    put_json_text(out, (const char *)text.p, text.n);
    buf_fini(&text);
}

static const char *const OP_NAME[] = {"insert", "update", "delete", "leave"};

static void put_json_row(const store *s, buf *out, const delta_row *row) {
    buf_printf(out, "{\"op\":\"%s\",\"table\":\"%s\",\"key\":[", OP_NAME[row->op], table_name(s, row->table));
    for (unsigned i = 0; i < row->nkey; i++) {
        if (i) buf_put_byte(out, ',');
        put_json_literal(out, &row->key[i]);
    }
    buf_printf(out, "],\"columns\":{");
    for (unsigned i = 0; i < row->ncol; i++) {
        const char *name = column_name(s, row->table, row->col[i].id);
        if (i) buf_put_byte(out, ',');
        buf_printf(out, "\"%s%s\":", name ? name : "?", row->col[i].kind == DELTA_ADD ? " +=" : "");
        put_json_literal(out, &row->v[i]);
    }
    buf_printf(out, "}}");
}

#define CHANGES_SHOWN 20u

/* The refused changes as JSON: an array of rows, the first of a long one. Values are SQL literals in strings. */
static const char *changes_json(const store *s, buf *out, const void *delta, size_t n) {
    static _Thread_local delta_row row;
    wire w;
    delta_reader r;
    buf_clear(out);
    wire_open(&w, delta, n);
    delta_open(&r, &w);
    buf_put_byte(out, '[');
    for (unsigned i = 0; n && i < CHANGES_SHOWN && delta_next(&r, &row) == 1; i++) {
        if (i) buf_put_byte(out, ',');
        put_json_row(s, out, &row);
    }
    buf_put_byte(out, ']');
    buf_put_byte(out, 0);
    return out->p ? (const char *)out->p : "[]";
}

int store_refused(store *s, bool all, int (*visit)(void *ctx, const refused_info *), void *ctx) {
    sqlite3_stmt *q = db_prepare(
        &s->cache,
        "SELECT d.name,incarnation,f.number,at_ms,depends,rc,message,tbl,key,f.state,"
        "coalesce(delta,(SELECT p.delta FROM satchel_stage p WHERE p.author=f.author AND p.number=f.number AND part=0))"
        " FROM satchel_refused f"
        " JOIN satchel_result r ON r.author=f.author AND r.number=f.number JOIN satchel_author a ON a.author=f.author"
        " JOIN satchel_device d ON d.id=a.device WHERE f.state='open' OR ? ORDER BY at_ms,f.author,f.number");
    db_bind(q, "i", (int64_t)all);
    buf key, changes;
    buf_init(&key, 0);
    buf_init(&changes, 0);
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1) {
        refused_info f = {.device = text_or(q, 0, ""),
                          .incarnation = (uint32_t)sqlite3_column_int64(q, 1),
                          .number = (uint64_t)sqlite3_column_int64(q, 2),
                          .at_ms = (uint64_t)sqlite3_column_int64(q, 3),
                          .depends = (uint64_t)sqlite3_column_int64(q, 4),
                          .rc = sqlite3_column_int(q, 5),
                          .message = text_or(q, 6, ""),
                          .table = table_name(s, (uint32_t)sqlite3_column_int64(q, 7)),
                          .key = literals(&key, sqlite3_column_blob(q, 8), (size_t)sqlite3_column_bytes(q, 8)),
                          .state = text_or(q, 9, ""),
                          .changes = changes_json(s, &changes, sqlite3_column_blob(q, 10), (size_t)sqlite3_column_bytes(q, 10))};
        if (visit(ctx, &f)) break;
    }
    if (q) sqlite3_reset(q);
    buf_fini(&key);
    buf_fini(&changes);
    return rc < 0 ? rc : SATCHEL_OK;
}

/* ---- counts ---- */

#define DAY_MS UINT64_C(86400000)

static int count(store *s, const char *sql, uint64_t *out) {
    int64_t n;
    int rc = db_integer(&s->cache, sql, 0, &n);
    *out = (uint64_t)n;
    return rc;
}

static int count_silent(store *s, uint64_t before_ms, uint64_t *out) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT count(*) FROM satchel_device WHERE state=1 AND max(last_seen_ms,enrolled_ms)<?");
    db_bind(q, "i", (int64_t)before_ms);
    int rc = db_next(&s->cache, q);
    if (rc == 1) *out = (uint64_t)sqlite3_column_int64(q, 0);
    if (rc == 1) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

int store_count(store *s, uint64_t now_ms, store_counts *out) {
    memset(out, 0, sizeof *out);
    int rc = count(s, "SELECT count(*) FROM satchel_device WHERE " DEVICE_LISTED, &out->devices);
    if (!rc) rc = count(s, "SELECT count(*) FROM satchel_device WHERE state=1", &out->active);
    if (!rc) rc = count(s, "SELECT count(*) FROM satchel_conflict", &out->conflicts);
    if (!rc) rc = count(s, "SELECT count(*) FROM satchel_refused WHERE state='open'", &out->rejected_open);
    if (!rc) rc = count(s, "SELECT count(*) FROM satchel_log", &out->log_rows);
    if (!rc) rc = count(s, "SELECT count(*) FROM satchel_tombstone", &out->tombstones);
    if (!rc) rc = count(s, "SELECT sum(pending) FROM satchel_device WHERE state=1", &out->pending);
    if (!rc) rc = count_silent(s, now_ms > DAY_MS ? now_ms - DAY_MS : 0, &out->silent_day);
    if (!rc) rc = count(s, "SELECT count(*) FROM satchel_alert WHERE state<>'closed'", &out->alerts_open);
    if (!rc)
        rc = count(s, "SELECT count(*) FROM satchel_alert WHERE state<>'closed' AND severity='critical'", &out->alerts_critical);
    if (!rc) rc = store_last_backup(s, &out->backup_ms);
    out->backup_seq = store_where(s).backup_seq;
    if (!rc) rc = count(s, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size", &out->bytes);
    for (unsigned i = 0; !rc && i < s->schema->ntable; i++) {
        if (s->schema->table[i].until != SCHEMA_NEVER) continue;
        char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", s->schema->table[i].name);
        sqlite3_stmt *q = NULL;
        if (!sql || sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK) rc = SATCHEL_E_INTERNAL;
        if (!rc && sqlite3_step(q) == SQLITE_ROW) out->rows += (uint64_t)sqlite3_column_int64(q, 0);
        sqlite3_finalize(q);
        sqlite3_free(sql);
    }
    return rc;
}

/* ---- upkeep ---- */

/* Log rows that one call removes, or a few more: a long absence of the slowest device must not end in one long transaction. */
#define PRUNED_AT_ONCE 20000

#define DAY_MS_TEXT "86400000"
/* Devices that may come back; and, of those, who was not seen for so long (parameters: now, the horizon in ms) that nobody waits for them. */
#define LIVE "state IN (1,4)"
#define IS_FENCED                                                                                                                \
    "last_seen_ms<?-coalesce((SELECT " DAY_MS_TEXT "*horizon_days FROM satchel_profile p WHERE p.name=satchel_device.profile),?)"

/* The highest seq that may go: behind every live device, older than the history that is kept. */
static int prune_limit(store *s, uint64_t now_ms, uint64_t history_ms, uint64_t horizon_ms, uint64_t *out) {
    int64_t acked = INT64_MAX, old;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT min(acked_seq) FROM satchel_device WHERE " LIVE " AND NOT " IS_FENCED);
    db_bind(q, "ii", (int64_t)now_ms, (int64_t)horizon_ms);
    int rc = db_next(&s->cache, q);
    if (rc < 0) return rc;
    if (rc == 1 && sqlite3_column_type(q, 0) != SQLITE_NULL) acked = sqlite3_column_int64(q, 0);
    if (rc == 1) sqlite3_reset(q);
    q = db_prepare(&s->cache, "SELECT id>>24 FROM satchel_log WHERE at_ms>=? ORDER BY id LIMIT 1");
    db_bind(q, "i", now_ms > history_ms ? (int64_t)(now_ms - history_ms) : 0);
    rc = db_next(&s->cache, q);
    if (rc < 0) return rc;
    old = rc == 1 ? sqlite3_column_int64(q, 0) - 1 : (int64_t)s->now.seq;
    if (rc == 1) sqlite3_reset(q);
    int64_t enough;
    q = db_prepare(&s->cache, "SELECT id>>24 FROM satchel_log ORDER BY id LIMIT 1 OFFSET ?");
    db_bind(q, "i", (int64_t)PRUNED_AT_ONCE);
    if ((rc = db_next(&s->cache, q)) < 0) return rc;
    enough = rc == 1 ? sqlite3_column_int64(q, 0) : INT64_MAX;
    if (rc == 1) sqlite3_reset(q);
    s->history_seq = (uint64_t)old;
    if (old > enough) old = enough;
    *out = (uint64_t)(acked < old ? acked : old);
    if (*out > s->now.seq) *out = s->now.seq;
    return SATCHEL_OK;
}

int store_backed_up(store *s, uint64_t seq, const char *name, uint64_t now_ms) {
    char text[LIMIT_TEXT_BYTES];
    snprintf(text, sizeof text, "as of commit %" PRIu64 ": %s", seq, name);
    if (s->now.backup_seq < seq) s->now.backup_seq = seq;
    return db_exec(&s->cache, "INSERT INTO satchel_event(at_ms,device,kind,text) VALUES(?,NULL,'backup',?)", "is",
                   (int64_t)now_ms, text);
}

int store_last_backup(store *s, uint64_t *at_ms) {
    return count(s, "SELECT at_ms FROM satchel_event WHERE kind='backup' ORDER BY id DESC LIMIT 1", at_ms);
}

/* Who stands where the log ends no more is told of to the admin, once. */
static int note_fenced(store *s, uint64_t now_ms, uint64_t limit) {
    return db_exec(
        &s->cache,
        "INSERT INTO satchel_event(at_ms,device,kind,text) SELECT ?,id,'fenced','not seen for too long: the log no longer goes back to"
        " where it stands; it will send what it has and get a snapshot' FROM satchel_device WHERE " LIVE
        " AND last_seen_ms>0 AND acked_seq>=? AND acked_seq<?",
        "iii", (int64_t)now_ms, (int64_t)s->now.floor, (int64_t)limit);
}

/* Refused ones stay until somebody has settled them, and others until their device is past them: without its result, a transaction that comes again
 * would be taken for a copy's (N3). */
static int prune_results(store *s, uint64_t before_ms, uint64_t limit) {
    return db_exec(
        &s->cache,
        "DELETE FROM satchel_result WHERE at_ms<? AND rc=0 AND seq<=? AND NOT EXISTS(SELECT 1 FROM satchel_author a JOIN"
        " satchel_device d ON d.id=a.device WHERE a.author=satchel_result.author AND d." LIVE
        " AND d.acked_seq<satchel_result.seq)",
        "ii", (int64_t)before_ms, (int64_t)limit);
}

/* Of what a device was to hold, and where a row lay, only what a base above the floor may ask for. */
static int prune_scope(store *s, uint64_t limit) {
    int rc = db_exec(&s->cache, "DELETE FROM satchel_left WHERE seq<=?", "i", (int64_t)limit);
    if (rc) return rc;
    return db_exec(
        &s->cache,
        "DELETE FROM satchel_held WHERE seq<(SELECT max(seq) FROM satchel_held b WHERE b.device=satchel_held.device AND b.seq<=?)",
        "i", (int64_t)limit);
}

int store_prune(store *s, uint64_t now_ms, uint64_t history_ms, uint64_t horizon_ms, uint64_t *removed) {
    uint64_t limit;
    *removed = 0;
    int rc = prune_limit(s, now_ms, history_ms, horizon_ms, &limit);
    if (rc || limit <= s->now.floor) return rc;
    if ((rc = note_fenced(s, now_ms, limit))) return rc;
    rc = db_exec(&s->cache, "DELETE FROM satchel_log WHERE id<?", "i", (int64_t)((limit + 1) << 24));
    *removed = (uint64_t)sqlite3_changes64(s->db);
    if (!rc) rc = db_exec(&s->cache, "DELETE FROM satchel_tombstone WHERE seq<=?", "i", (int64_t)limit);
    if (!rc) rc = prune_results(s, now_ms > history_ms ? now_ms - history_ms : 0, limit);
    if (!rc) rc = prune_scope(s, limit);
    if (!rc)
        rc = db_exec(&s->cache, "DELETE FROM satchel_automation_run WHERE at_ms<?", "i",
                     now_ms > history_ms ? (int64_t)(now_ms - history_ms) : INT64_C(0));
    s->now.floor = limit;
    return rc;
}

int store_rewrite_log(store *s) {
    int rc = store_begin(s);
    if (rc) return rc;
    rc = db_rewrite_log(s->db);
    store_rollback(s);
    return rc;
}

/* Free pages are used again, so only much of them is given back; and a step of it is one short transaction. */
#define FREE_LEAST 16
#define FREE_SHARE 16
#define GIVEN_AT_ONCE "1000"
/* The writer stands still for so long at most, to wait for the readers of the log. */
#define WAL_LARGE_BYTES (64u << 20)
#define WAL_WAIT_MS 200
#define BUSY_MS 10000

int store_tidy(store *s, uint64_t wal_bytes, bool *more) {
    int64_t mode, unused, pages;
    *more = false;
    if (wal_bytes > WAL_LARGE_BYTES) {
        sqlite3_busy_timeout(s->db, WAL_WAIT_MS);
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sqlite3_busy_timeout(s->db, BUSY_MS);
    }
    int rc = db_integer(&s->cache, "PRAGMA auto_vacuum", 0, &mode);
    if (!rc) rc = db_integer(&s->cache, "PRAGMA freelist_count", 0, &unused);
    if (!rc) rc = db_integer(&s->cache, "PRAGMA page_count", 0, &pages);
    if (rc || mode != 2 || unused <= FREE_LEAST || unused <= pages / FREE_SHARE) return rc;
    *more = true;
    return db_rc(sqlite3_exec(s->db, "PRAGMA incremental_vacuum(" GIVEN_AT_ONCE ")", NULL, NULL, NULL));
}
