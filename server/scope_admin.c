/* What an admin does about who holds what: publishes rules, gives a row for a while, and what time does by itself. */
#include <stdio.h>
#include <string.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "server/scope_private.h"

/* ---- a commit of the server's that only moves rows ---- */

static int commit_moves(store *s, scope *c, scope_moves *m, uint64_t now_ms, uint64_t *moved) {
    store_position before = s->now;
    scope_log log;
    uint64_t stamp = hlc_next(before.high_stamp, now_ms);
    scope_log_init(&log, &s->cache);
    scope_log_begin(&log, (field_clock){.stamp = stamp, .seq = store_next_seq(s)}, now_ms);
    int rc = scope_moves_finish(m, c, &log, moved);
    if (!rc) rc = scope_log_flush(&log);
    if (!rc && *moved)
        s->now.high_stamp = stamp;
    else
        s->now = before;
    scope_log_fini(&log);
    return rc;
}

static int explain(const scope *c, int rc, buf *error) {
    if (rc && !error->n)
        buf_printf(error, "%s: %s", c && c->name ? c->name : "the rules of scope",
                   rc == SATCHEL_E_RULE ? sqlite3_errmsg(c->db) : satchel_rc_text(rc));
    return rc;
}

/* ---- every row of a table ---- */

/* Calls visit for each row of the table that does not lie where the rules say, or (each) for every row: where it lies, and is to. */
static int scan_table(scope *c, scope_table *t, bool each,
                      int (*visit)(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is), void *ctx) {
    sqlite3_stmt *q = NULL;
    value key[LIMIT_KEY_COLUMNS];
    int nkey = (int)t->t->nkey, step = SQLITE_DONE, rc = scope_prepare_scan(c, t, &q);
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        bool orphan;
        uint32_t was = (uint32_t)sqlite3_column_int64(q, nkey), is;
        for (int i = 0; i < nkey; i++) key[i] = value_of_column(q, i);
        rc = scope_set_of_facts(c, t, q, nkey + 1, key, &is, &orphan);
        if (!rc && (each || was != is)) rc = visit(ctx, t->t, key, was, is);
    }
    if (!rc && step != SQLITE_DONE) rc = (step & 0xff) == SQLITE_ERROR ? SATCHEL_E_RULE : db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

typedef struct scanning {
    scope *c;
    scope_moves *m;
    uint64_t moved;
} scanning;

static int note(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is) {
    scanning *s = ctx;
    (void)was, (void)is;
    return scope_moves_note(s->m, s->c, t, key, NULL);
}

static int put(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is) {
    scanning *s = ctx;
    s->moved += was != is;
    return was == is ? SATCHEL_OK : scope_put_set(s->c, t, key, is);
}

/* ---- publishing ---- */

/* Children are found by their parent's key: where no index of the schema's does that, one of our own. */
static int is_searched(scope *c, const scope_parent *p, bool *searched) {
    sqlite3_stmt *q = NULL;
    char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(p->children));
    int rc = sql ? db_rc(sqlite3_prepare_v2(c->db, sql, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    *searched = true;
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(q, 3);
        if (detail && strncmp(detail, "SCAN", 4) == 0) *searched = false;
    }
    int end = db_rc(sqlite3_finalize(q));
    sqlite3_free(sql);
    return rc ? rc : end;
}

static int make_index(scope *c, const scope_parent *p) {
    bool searched;
    int rc = is_searched(c, p, &searched);
    if (rc || searched) return rc;
    buf sql;
    buf_init(&sql, 0);
    buf_printf(&sql, "CREATE INDEX IF NOT EXISTS \"satchel_scope_%u", p->t->id);
    for (unsigned i = 0; i < p->parent->nkey; i++) buf_printf(&sql, "_%u", p->t->col[p->place[i]]->id);
    buf_printf(&sql, "\" ON ");
    scope_put_name(&sql, p->t->name);
    for (unsigned i = 0; i < p->parent->nkey; i++) {
        buf_printf(&sql, i ? "," : "(");
        scope_put_name(&sql, p->t->col[p->place[i]]->name);
    }
    buf_printf(&sql, ")");
    rc = sql.rc ? sql.rc : db_rc(sqlite3_exec(c->db, (const char *)sql.p, NULL, NULL, NULL));
    buf_fini(&sql);
    return rc;
}

/* Those of rules that were: a column that one names cannot be dropped. */
static int drop_indexes(scope *c) {
    char name[64];
    for (;;) {
        sqlite3_stmt *q =
            db_prepare(c->cache, "SELECT name FROM sqlite_schema WHERE type='index' AND name GLOB 'satchel_scope_*' LIMIT 1");
        int rc = db_next(c->cache, q);
        if (rc != 1) return rc;
        snprintf(name, sizeof name, "%s", (const char *)sqlite3_column_text(q, 0));
        sqlite3_reset(q);
        char *sql = sqlite3_mprintf("DROP INDEX \"%w\"", name);
        rc = sql ? db_rc(sqlite3_exec(c->db, sql, NULL, NULL, NULL)) : SATCHEL_E_NOMEM;
        sqlite3_free(sql);
        if (rc) return rc;
    }
}

static int make_indexes(scope *c) {
    int rc = drop_indexes(c);
    for (unsigned i = 0; i < c->nparent && !rc; i++) rc = make_index(c, &c->parent[i]);
    return rc;
}

int scope_place_all(scope *c, bool each,
                    int (*visit)(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is), void *ctx) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < c->norder && !rc; i++) rc = scan_table(c, &c->table[c->order[i]], each, visit, ctx);
    return rc;
}

/* Every row's set. The first rules tell nobody: who has a profile gets his rows by his view. */
static int place_rows(store *s, scope *c, bool first, uint64_t now_ms, uint64_t *moved) {
    scope_moves m;
    int rc = scope_moves_init(&m, c);
    scanning sc = {.c = c, .m = &m};
    if (!rc) rc = scope_place_all(c, false, first ? put : note, &sc);
    *moved = sc.moved;
    if (!rc && !first) rc = commit_moves(s, c, &m, now_ms, moved);
    scope_moves_fini(&m);
    return rc;
}

static int keep_rules(store *s, const scope *c, const char *sql, uint64_t now_ms) {
    int rc =
        db_exec(&s->cache,
                "INSERT INTO satchel_scope(version,name,text,seq,at_ms,now_ms) SELECT max(coalesce(max(version),0),?)+1,?,?,?,?"
                ",? FROM satchel_scope",
                "issiii", s->scope_version, c->name, sql, (int64_t)s->now.seq, (int64_t)now_ms, s->scope_now_ms);
    if (!rc) s->scope_version = sqlite3_last_insert_rowid(s->db);
    if (!rc) rc = db_exec(&s->cache, "DELETE FROM satchel_profile", "");
    for (unsigned i = 0; i < c->nprofile && !rc; i++)
        rc = db_exec(&s->cache, "INSERT INTO satchel_profile(name,horizon_days) VALUES(?,?)", "si", c->profile[i].name,
                     c->profile[i].horizon_days);
    return rc;
}

int scope_publish(store *s, const char *name, const char *sql, uint64_t now_ms, uint64_t *moved, buf *error) {
    scope *c;
    int64_t before = 0;
    *moved = 0;
    int rc = db_integer(&s->cache, "SELECT max(version) FROM satchel_scope", 0, &before);
    if (!rc) rc = scope_open_text(s, name, sql, &c, error);
    if (rc) return rc;
    rc = scope_refresh(c);
    s->scope_now_ms = scope_midnight(now_ms);
    if (!rc) rc = make_indexes(c);
    if (!rc) rc = place_rows(s, c, before == 0, now_ms, moved);
    if (!rc) rc = keep_rules(s, c, sql, now_ms);
    s->scope_events++;
    explain(c, rc, error);
    scope_free(c);
    return rc;
}

int scope_published(store *s, buf *text) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT text FROM satchel_scope ORDER BY version DESC LIMIT 1");
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    buf_put(text, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    sqlite3_reset(q);
    return text->rc;
}

/* ---- rows by name ---- */

static int misuse(buf *error, int rc, const char *format, const char *what) __attribute__((format(printf, 3, 0)));

static int misuse(buf *error, int rc, const char *format, const char *what) {
    char words[LIMIT_TEXT_BYTES];
    snprintf(words, sizeof words, format, what);
    buf_clear(error);
    buf_printf(error, "%s", words);
    return rc;
}

/* Behind a literal at p; NULL if there is none. */
static const char *skip_literal(const char *p) {
    static const char digits[] = "0123456789";
    bool blob = (*p == 'x' || *p == 'X') && p[1] == '\'';
    if (blob || *p == '\'') {
        p += 1 + blob;
        for (; *p && (*p != '\'' || p[1] == '\''); p++) p += *p == '\'';
        return *p ? p + 1 : NULL;
    }
    if (*p == '-' || *p == '+') p++;
    const char *from = p;
    p += strspn(p, digits);
    if (*p == '.') p += 1 + strspn(p + 1, digits);
    if (p == from || (p == from + 1 && *from == '.')) return NULL;
    if (*p != 'e' && *p != 'E') return p;
    p += 1 + (p[1] == '-' || p[1] == '+');
    return *p >= '0' && *p <= '9' ? p + strspn(p, digits) : NULL;
}

/* Whether the text is literals with commas between and nothing else: what else SQL may say would be done. */
static bool are_literals(const char *p) {
    for (;; p++) {
        p += strspn(p, " ");
        if (!(p = skip_literal(p))) return false;
        p += strspn(p, " ");
        if (*p != ',') return !*p;
    }
}

/* The literals are read by SQLite in a database of their own. */
int scope_read_key(const schema_table *t, const char *literals, scope_named *out, buf *error) {
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    char *sql = sqlite3_mprintf("SELECT %s", are_literals(literals) ? literals : "");
    int sq = sql ? sqlite3_open(":memory:", &db) : SQLITE_NOMEM;
    if (sq == SQLITE_OK) sq = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    int rc = SATCHEL_OK;
    if (sq == SQLITE_OK && (sqlite3_column_count(q) != (int)t->nkey || sqlite3_step(q) != SQLITE_ROW)) sq = SQLITE_ERROR;
    for (unsigned i = 0; sq == SQLITE_OK && i < t->nkey; i++) {
        value v = value_of_column(q, (int)i);
        ingest_as_stored(t->key[i], &v);
        value_put(&out->bytes, &v);
    }
    if (sq != SQLITE_OK || out->bytes.rc)
        rc = misuse(error, SATCHEL_E_NOT_FOUND,
                    "%s is not a key of the table; write it as SQL, as in 12 or 'text', parts with commas between", literals);
    sqlite3_finalize(q);
    sqlite3_close(db);
    sqlite3_free(sql);
    const uint8_t *p = out->bytes.p, *end = p + out->bytes.n;
    for (unsigned i = 0; i < t->nkey && !rc; i++) rc = value_get(&p, end, &out->key[i]);
    return rc;
}

int scope_name_row(scope *c, const char *device, const char *table, const char *literals, scope_named *out, buf *error) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT id,profile IS NOT NULL FROM satchel_device WHERE name=? AND " DEVICE_LISTED
                                           " ORDER BY state IN (1,4) DESC,id DESC LIMIT 1");
    db_bind(q, "s", device);
    int rc = db_next(c->cache, q);
    *out = (scope_named){0};
    if (rc < 0) return explain(c, rc, error);
    if (!rc) return misuse(error, SATCHEL_E_NOT_FOUND, "there is no device %s", device);
    out->device = sqlite3_column_int64(q, 0);
    out->has_profile = sqlite3_column_int(q, 1) != 0;
    sqlite3_reset(q);
    out->t = schema_table_by_name(c->shape, table);
    if (!out->t) return misuse(error, SATCHEL_E_NOT_FOUND, "there is no synced table %s", table);
    rc = scope_read_key(out->t, literals, out, error);
    if (rc) return rc;
    q = scope_is_on(c) ? scope_table_of(c, out->t)->set : NULL;
    if (!q) return misuse(error, SATCHEL_E_MISUSE, "%s", "no rules of scope are published: every device holds everything");
    scope_bind_key(q, out->t, out->key);
    int step = sqlite3_step(q);
    if (step == SQLITE_ROW) out->set = (uint32_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (step == SQLITE_DONE) return misuse(error, SATCHEL_E_NOT_FOUND, "the table has no row with the key %s", literals);
    return step == SQLITE_ROW ? SATCHEL_OK : explain(c, db_rc(step), error);
}

/* ---- grants ---- */

int scope_use(store *s, scope **c, scope **own, buf *error) {
    bool current = false;
    *own = NULL;
    int rc = *c ? scope_is_current(*c, &current) : SATCHEL_OK;
    if (!rc && !current) rc = scope_open(s, own, error);
    if (*own) *c = *own;
    if (!rc) rc = scope_refresh(*c);
    return rc;
}

static int move_one(store *s, scope *c, const schema_table *t, const value *key, uint64_t now_ms) {
    scope_moves m;
    uint64_t moved;
    s->scope_events++;
    int rc = scope_refresh(c);
    if (!rc) rc = scope_moves_init(&m, c);
    if (rc) return rc;
    rc = scope_moves_note(&m, c, t, key, NULL);
    if (!rc) rc = commit_moves(s, c, &m, now_ms, &moved);
    scope_moves_fini(&m);
    return rc;
}

/* Under a number that none ever had: the log and views still name the buckets of grants that are over (S1). */
static int put_grant(store *s, const scope_named *row, uint64_t until_ms, const char *reason, uint64_t now_ms) {
    return db_exec(&s->cache,
                   "INSERT INTO satchel_grant(id,device,tbl,key,until_ms,reason,at_ms) SELECT 1+ifnull(max(n),0),?,?,?,?,?,? FROM"
                   " (SELECT max(id) AS n FROM satchel_grant UNION ALL"
                   " SELECT max(CAST(substr(name,7) AS INT)) FROM satchel_bucket WHERE name GLOB 'grant:*')",
                   "iibisi", row->device, (int64_t)row->t->id, row->bytes.p, row->bytes.n, (int64_t)until_ms, reason,
                   (int64_t)now_ms);
}

int scope_grant(store *s, scope *c, const char *device, const char *table, const char *key_literals, uint64_t until_ms,
                const char *reason, uint64_t now_ms, int64_t *id, buf *error) {
    scope *own;
    scope_named row = {0};
    int rc = scope_use(s, &c, &own, error);
    if (!rc) rc = scope_name_row(c, device, table, key_literals, &row, error);
    if (!rc && !row.has_profile) rc = misuse(error, SATCHEL_E_MISUSE, "device %s has no profile: it holds everything", device);
    if (!rc && until_ms <= now_ms)
        rc = misuse(error, SATCHEL_E_MISUSE, "%s", "the grant would be over already; give a later time");
    if (!rc) {
        rc = put_grant(s, &row, until_ms, reason ? reason : "", now_ms);
        *id = sqlite3_last_insert_rowid(s->db);
        if (!rc) rc = move_one(s, c, row.t, row.key, now_ms);
        explain(c, rc, error);
    }
    buf_fini(&row.bytes);
    scope_free(own);
    return rc;
}

/* Takes the grant out; the row that it was of. */
static int take_grant(scope *c, int64_t id, const schema_table **t, buf *bytes, value *key) {
    sqlite3_stmt *q = db_prepare(c->cache, "SELECT tbl,key FROM satchel_grant WHERE id=?");
    db_bind(q, "i", id);
    int rc = db_next(c->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    *t = schema_table_by_id(c->shape, (uint32_t)sqlite3_column_int64(q, 0));
    buf_put(bytes, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    sqlite3_reset(q);
    rc = bytes->rc ? bytes->rc : db_exec(c->cache, "DELETE FROM satchel_grant WHERE id=?", "i", id);
    const uint8_t *p = bytes->p, *end = p + bytes->n;
    if (*t && (*t)->until != SCHEMA_NEVER) *t = NULL;
    for (unsigned i = 0; *t && i < (*t)->nkey && !rc; i++) rc = value_get(&p, end, &key[i]);
    return rc;
}

int scope_revoke_grant(store *s, scope *c, int64_t id, uint64_t now_ms, buf *error) {
    scope *own;
    const schema_table *t = NULL;
    value key[LIMIT_KEY_COLUMNS];
    buf bytes = {0};
    int rc = scope_use(s, &c, &own, error);
    if (!rc) rc = take_grant(c, id, &t, &bytes, key);
    if (rc == SATCHEL_E_NOT_FOUND) misuse(error, rc, "%s", "there is no such grant; it may be over");
    if (!rc && t && scope_is_on(c)) rc = move_one(s, c, t, key, now_ms);
    explain(c, rc, error);
    buf_fini(&bytes);
    scope_free(own);
    return rc;
}

/* ---- what time does ---- */

static int end_grants(scope *c, scope_moves *m, uint64_t now_ms) {
    int rc = SATCHEL_OK;
    while (!rc) {
        sqlite3_stmt *q = db_prepare(c->cache, "SELECT id FROM satchel_grant WHERE until_ms<=? LIMIT 1");
        db_bind(q, "i", (int64_t)now_ms);
        rc = db_next(c->cache, q);
        if (rc != 1) return rc;
        int64_t id = sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
        const schema_table *t = NULL;
        value key[LIMIT_KEY_COLUMNS];
        buf bytes = {0};
        rc = take_grant(c, id, &t, &bytes, key);
        if (!rc && t) rc = scope_moves_note(m, c, t, key, NULL);
        buf_fini(&bytes);
    }
    return rc;
}

/* The rows lie as of a day that a clock has begun which was put back since. A little ahead it stays: no day begins twice. */
static bool is_ahead(int64_t day_ms, uint64_t now_ms) {
    return day_ms > (int64_t)now_ms + LIMIT_CLOCK_AHEAD_MS;
}

static int next_day(store *s, scope *c, scope_moves *m, uint64_t now_ms) {
    scanning sc = {.c = c, .m = m};
    if (scope_midnight(now_ms) <= s->scope_now_ms && !is_ahead(s->scope_now_ms, now_ms)) return SATCHEL_OK;
    s->scope_now_ms = scope_midnight(now_ms);
    int rc = db_exec(&s->cache, "UPDATE satchel_scope SET now_ms=? WHERE version=?", "ii", s->scope_now_ms, c->version);
    for (unsigned i = 0; i < c->norder && !rc; i++)
        if (c->table[c->order[i]].timed) rc = scan_table(c, &c->table[c->order[i]], false, note, &sc);
    return rc;
}

int scope_upkeep(store *s, scope *c, scope_part part, uint64_t now_ms, uint64_t *moved, buf *error) {
    scope *own;
    scope_moves m = {0};
    *moved = 0;
    int rc = scope_use(s, &c, &own, error);
    if (!rc && scope_is_on(c)) {
        rc = scope_moves_init(&m, c);
        if (!rc && part == SCOPE_GRANTS) rc = end_grants(c, &m, now_ms);
        s->scope_events++;
        if (!rc) rc = scope_refresh(c);
        if (!rc && part == SCOPE_DAY) rc = next_day(s, c, &m, now_ms);
        if (!rc) rc = commit_moves(s, c, &m, now_ms, moved);
        scope_moves_fini(&m);
    }
    explain(c, rc, error);
    scope_free(own);
    return rc;
}

int scope_upkeep_due(store *s, uint64_t now_ms, uint64_t *at_ms) {
    int64_t day, grant;
    *at_ms = UINT64_MAX;
    int rc = db_integer(&s->cache, "SELECT now_ms FROM satchel_scope ORDER BY version DESC LIMIT 1", -1, &day);
    if (!rc) rc = db_integer(&s->cache, "SELECT min(until_ms) FROM satchel_grant", INT64_MAX, &grant);
    if (rc || day < 0) return rc;
    day = is_ahead(day, now_ms) ? (int64_t)now_ms : day + 86400000;
    *at_ms = (uint64_t)(day < grant ? day : grant);
    return SATCHEL_OK;
}
