#include "server/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"

/* ---- what was asked, without secrets ---- */

static bool is_left_out(const char *member) {
    static const char *const names[] = {"command", "progress", "password", "old", "secret", "code", "token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], member)) return true;
    return false;
}

/* How much of a text may stand, so that it ends between characters. */
static size_t beginning(const char *text, size_t n) {
    size_t most = n < AUDIT_TEXT_BYTES ? n : AUDIT_TEXT_BYTES;
    while (most && most < n && ((unsigned char)text[most] & 0xc0) == 0x80) most--;
    return most;
}

static json_t *shortened(const char *text, size_t n, bool with_beginning) {
    uint8_t sum[AUDIT_HASH_BYTES];
    char hex[2 * AUDIT_HASH_BYTES + 1];
    crypto_sha256(text, n, sum);
    for (size_t i = 0; i < sizeof sum; i++) sqlite3_snprintf(3, hex + 2 * i, "%02x", sum[i]);
    json_t *o = json_pack("{sI ss}", "bytes", (json_int_t)n, "sha256", hex);
    if (with_beginning) json_object_set_new(o, "begins", json_stringn(text, beginning(text, n)));
    return o;
}

/* NULL: it is short enough. */
static json_t *if_long(json_t *v) {
    if (json_is_string(v)) {
        size_t n = json_string_length(v);
        return n > AUDIT_TEXT_BYTES ? shortened(json_string_value(v), n, true) : NULL;
    }
    if (!json_is_array(v) && !json_is_object(v)) return NULL;
    char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
    size_t n = text ? strlen(text) : 0;
    json_t *out = n > AUDIT_TEXT_BYTES ? shortened(text, n, false) : NULL;
    free(text);
    return out;
}

int audit_subject(json_t *request, buf *out) {
    json_t *o = json_object(), *v;
    const char *member;
    json_object_foreach(request, member, v) {
        if (is_left_out(member)) continue;
        json_t *shorter = if_long(v);
        if (shorter)
            json_object_set_new(o, member, shorter);
        else
            json_object_set(o, member, v);
    }
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    size_t n = text ? strlen(text) : 0;
    json_decref(o);
    if (n > AUDIT_SUBJECT_BYTES) {
        o = shortened(text, n, false);
        free(text);
        text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(o);
    }
    if (text) buf_printf(out, "%s", text);
    int rc = text ? out->rc : SATCHEL_E_NOMEM;
    free(text);
    return rc;
}

/* ---- the chain ---- */

static void put_field(crypto_hash *h, const void *p, size_t n) {
    uint8_t length[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    crypto_hash_put(h, length, sizeof length);
    crypto_hash_put(h, p, n);
}

static void put_number(crypto_hash *h, uint64_t v, size_t n) {
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    put_field(h, bytes, n);
}

static int hash_entry(const uint8_t before[AUDIT_HASH_BYTES], const audit_entry *e, uint8_t out[AUDIT_HASH_BYTES]) {
    crypto_hash *h = crypto_hash_new();
    if (!h) return SATCHEL_E_NOMEM;
    crypto_hash_put(h, before, AUDIT_HASH_BYTES);
    put_number(h, e->id, 8);
    put_number(h, e->at_ms, 8);
    put_field(h, e->actor, strlen(e->actor));
    put_field(h, e->peer, strlen(e->peer));
    put_field(h, e->action, strlen(e->action));
    put_field(h, e->subject, strlen(e->subject));
    put_number(h, (uint64_t)(uint32_t)e->rc, 4);
    crypto_hash_end(h, out);
    return SATCHEL_OK;
}

/* The last id and its hash; 0 and zeros if there is none. */
static int find_last(store *s, uint64_t *id, uint8_t hash[AUDIT_HASH_BYTES]) {
    *id = 0;
    memset(hash, 0, AUDIT_HASH_BYTES);
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT id,hash FROM satchel_audit ORDER BY id DESC LIMIT 1");
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    *id = (uint64_t)sqlite3_column_int64(q, 0);
    if (sqlite3_column_bytes(q, 1) == AUDIT_HASH_BYTES) memcpy(hash, sqlite3_column_blob(q, 1), AUDIT_HASH_BYTES);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int audit_append(store *s, audit_entry *e) {
    uint8_t before[AUDIT_HASH_BYTES];
    uint64_t last;
    int64_t given;
    int rc = find_last(s, &last, before);
    if (!rc) rc = db_integer(&s->cache, "SELECT seq FROM sqlite_sequence WHERE name='satchel_audit'", 0, &given);
    if (rc) return rc;
    /* Where the last ones were taken away the gap stays, for the check to find. */
    e->id = ((uint64_t)given > last ? (uint64_t)given : last) + 1;
    rc = hash_entry(before, e, e->hash);
    return rc ? rc
              : db_exec(&s->cache,
                        "INSERT INTO satchel_audit(id,at_ms,actor,peer,action,subject,rc,hash) VALUES(?,?,?,?,?,?,?,?)",
                        "iissssib", (int64_t)e->id, (int64_t)e->at_ms, e->actor, e->peer, e->action, e->subject, (int64_t)e->rc,
                        e->hash, (size_t)AUDIT_HASH_BYTES);
}

/* ---- reading ---- */

#define COLUMNS "SELECT id,at_ms,actor,peer,action,subject,rc,hash FROM satchel_audit "

static const char *text_of(sqlite3_stmt *q, int column) {
    const unsigned char *t = sqlite3_column_text(q, column);
    return t ? (const char *)t : "";
}

/* The texts are the statement's, until its next step. */
static void read_entry(sqlite3_stmt *q, audit_entry *e) {
    *e = (audit_entry){.id = (uint64_t)sqlite3_column_int64(q, 0),
                       .at_ms = (uint64_t)sqlite3_column_int64(q, 1),
                       .actor = text_of(q, 2),
                       .peer = text_of(q, 3),
                       .action = text_of(q, 4),
                       .subject = text_of(q, 5),
                       .rc = sqlite3_column_int(q, 6)};
    if (sqlite3_column_bytes(q, 7) == AUDIT_HASH_BYTES) memcpy(e->hash, sqlite3_column_blob(q, 7), AUDIT_HASH_BYTES);
}

int audit_list(db_cache *db, uint64_t before, uint64_t limit, int (*visit)(void *ctx, const audit_entry *), void *ctx) {
    sqlite3_stmt *q = db_prepare(db, COLUMNS "WHERE id<? ORDER BY id DESC LIMIT ?");
    audit_entry e;
    int rc;
    db_bind(q, "ii", before && before < INT64_MAX ? (int64_t)before : INT64_MAX, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
    while ((rc = db_next(db, q)) == 1) {
        read_entry(q, &e);
        if (!visit(ctx, &e)) continue;
        sqlite3_reset(q);
        return SATCHEL_OK;
    }
    return rc;
}

/* ---- verify ---- */

#define TELL_EVERY 10000

typedef struct look {
    audit_found *out;
    uint64_t want;                   /* a row that was noted elsewhere, 0: none */
    uint8_t noted[AUDIT_HASH_BYTES]; /* what its hash was */
    bool met;
} look;

static int wrong_row(audit_found *out, uint64_t id, const char *what) {
    out->wrong = id;
    buf_printf(&out->words, "row %" PRIu64 " %s", id, what);
    return SATCHEL_OK;
}

static int look_at(look *l, const audit_entry *e) {
    audit_found *out = l->out;
    uint8_t hash[AUDIT_HASH_BYTES];
    if (e->id != out->head + 1) return wrong_row(out, out->head + 1, "is missing");
    int rc = hash_entry(out->hash, e, hash);
    if (rc) return rc;
    if (memcmp(hash, e->hash, sizeof hash) != 0) return wrong_row(out, e->id, "is not what was written");
    if (e->id == l->want) {
        l->met = memcmp(hash, l->noted, sizeof hash) == 0;
        if (!l->met) return wrong_row(out, e->id, "is not the one that was noted: the log was made anew");
    }
    out->head = e->id;
    memcpy(out->hash, hash, sizeof hash);
    return SATCHEL_OK;
}

/* What is behind a zero byte, or over 32 bits, would not be in the hash. */
static bool is_plain(sqlite3_stmt *q, const audit_entry *e) {
    const char *texts[] = {e->actor, e->peer, e->action, e->subject};
    for (int i = 0; i < 4; i++)
        if ((size_t)sqlite3_column_bytes(q, 2 + i) != strlen(texts[i])) return false;
    return sqlite3_column_int64(q, 6) == e->rc;
}

static int look_at_all(db_cache *db, const progress *watch, look *l, uint64_t last) {
    audit_found *out = l->out;
    sqlite3_stmt *q = db_prepare(db, COLUMNS "ORDER BY id");
    audit_entry e;
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        read_entry(q, &e);
        rc = is_plain(q, &e) ? look_at(l, &e) : wrong_row(out, e.id, "is not what was written");
        out->rows++;
        if (!rc && out->rows % TELL_EVERY == 0 && !progress_tell(watch, "audit", out->rows, last)) rc = SATCHEL_E_CLOSED;
        if (!rc && !out->wrong) continue;
        sqlite3_reset(q);
        return rc;
    }
    if (!rc && out->head < last) return wrong_row(out, out->head + 1, "is missing");
    if (!rc && l->want > out->head) return wrong_row(out, out->head + 1, "is missing: a later one was noted");
    return rc;
}

int audit_verify(const char *path, const progress *watch, audit_found *out, buf *error) {
    look l = {.out = out, .want = out->expected ? out->head : 0};
    db_cache cache = {0};
    sqlite3 *db = NULL;
    int64_t last = 0;
    memcpy(l.noted, out->hash, sizeof l.noted);
    *out = (audit_found){0};
    int rc = db_rc(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));
    db_cache_init(&cache, db);
    if (!rc) rc = db_rc(sqlite3_busy_timeout(db, 10000));
    if (!rc) rc = db_exec(&cache, "BEGIN", "");
    if (!rc) rc = db_integer(&cache, "SELECT seq FROM sqlite_sequence WHERE name='satchel_audit'", 0, &last);
    if (!rc) rc = look_at_all(&cache, watch, &l, (uint64_t)last);
    out->expected = l.met;
    if (rc && rc != SATCHEL_E_CLOSED) db_explain(db, "reading the audit log", error);
    db_cache_fini(&cache);
    sqlite3_close(db);
    return rc;
}
