#include "server/api_store.h"

#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"

/* satchel_device.state of a program. */
#define STATE_PROGRAM 3
#define SECRET_BYTES 32
#define PRUNED_AT_ONCE 1000

void api_token_hash(const char *text, uint8_t out[API_HASH_BYTES]) {
    crypto_sha256(text, strlen(text), out);
}

static void read_token(sqlite3_stmt *q, api_token *t) {
    memset(t, 0, sizeof *t);
    t->id = sqlite3_column_int64(q, 0);
    const unsigned char *name = sqlite3_column_text(q, 1);
    snprintf(t->name, sizeof t->name, "%s", name ? (const char *)name : "");
    if (sqlite3_column_bytes(q, 2) == API_HASH_BYTES) memcpy(t->hash, sqlite3_column_blob(q, 2), API_HASH_BYTES);
    t->rights = (unsigned)sqlite3_column_int(q, 3);
    t->author = (uint32_t)sqlite3_column_int64(q, 4);
    t->created_ms = (uint64_t)sqlite3_column_int64(q, 5);
    t->used_ms = (uint64_t)sqlite3_column_int64(q, 6);
    t->revoked_ms = (uint64_t)sqlite3_column_int64(q, 7);
}

#define TOKENS                                                                                                                   \
    "SELECT t.id,name,fingerprint,rights,author,enrolled_ms,last_seen_ms,revoked_ms FROM satchel_token t JOIN satchel_device d USING(id) "

static int find_token(store *s, const char *name, api_token *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, TOKENS "WHERE name=? AND revoked_ms IS NULL");
    db_bind(q, "s", name);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    read_token(q, out);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int api_tokens(db_cache *db, int (*visit)(void *ctx, const api_token *), void *ctx) {
    sqlite3_stmt *q = db_prepare(db, TOKENS "ORDER BY revoked_ms IS NOT NULL,name,t.id");
    api_token t;
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        read_token(q, &t);
        if (!visit(ctx, &t)) continue;
        sqlite3_reset(q);
        return SATCHEL_OK;
    }
    return rc;
}

static int make_program(store *s, const char *name, const uint8_t hash[API_HASH_BYTES], uint64_t now_ms, author_info *author) {
    int rc = db_exec(&s->cache, "INSERT INTO satchel_device(name,fingerprint,state,enrolled_ms) VALUES(?,?,?,?)", "sbii", name,
                     hash, (size_t)API_HASH_BYTES, (int64_t)STATE_PROGRAM, (int64_t)now_ms);
    return rc ? rc : store_author(s, sqlite3_last_insert_rowid(s->db), 1, author);
}

int api_token_add(store *s, const char *name, unsigned rights, uint64_t now_ms, buf *text, api_token *out) {
    uint8_t secret[SECRET_BYTES], hash[API_HASH_BYTES];
    author_info author;
    size_t before = text->n;
    int rc = find_token(s, name, out);
    if (!rc) return store_fail(s, SATCHEL_E_KEY_TAKEN, "a token has this name; revoke it first or choose another");
    if (rc == SATCHEL_E_NOT_FOUND) rc = crypto_random(secret, sizeof secret);
    if (rc) return rc;
    buf_printf(text, API_TOKEN_PREFIX);
    crypto_base64url(secret, sizeof secret, text);
    explicit_bzero(secret, sizeof secret);
    buf_put_byte(text, 0);
    if (text->rc) return text->rc;
    api_token_hash((const char *)text->p + before, hash);
    rc = make_program(s, name, hash, now_ms, &author);
    if (!rc)
        rc = db_exec(&s->cache, "INSERT INTO satchel_token(id,rights,author) VALUES(?,?,?)", "iii", author.device,
                     (int64_t)rights, (int64_t)author.author);
    return rc ? rc : find_token(s, name, out);
}

int api_token_revoke(store *s, const char *name, uint64_t now_ms, api_token *out) {
    int rc = find_token(s, name, out);
    out->revoked_ms = now_ms;
    return rc ? rc : db_exec(&s->cache, "UPDATE satchel_token SET revoked_ms=? WHERE id=?", "ii", (int64_t)now_ms, out->id);
}

int api_token_used(store *s, int64_t id, uint64_t now_ms) {
    return db_exec(&s->cache, "UPDATE satchel_device SET last_seen_ms=? WHERE id=? AND state=3", "ii", (int64_t)now_ms, id);
}

int api_answer_find(store *s, int64_t token, const char *key, uint8_t hash[API_HASH_BYTES], buf *answer) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT hash,answer FROM satchel_request WHERE token=? AND key=?");
    db_bind(q, "is", token, key);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    memset(hash, 0, API_HASH_BYTES);
    if (sqlite3_column_bytes(q, 0) == API_HASH_BYTES) memcpy(hash, sqlite3_column_blob(q, 0), API_HASH_BYTES);
    buf_put(answer, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    sqlite3_reset(q);
    return answer->rc ? answer->rc : 1;
}

int api_answer_save(store *s, int64_t token, const char *key, const uint8_t hash[API_HASH_BYTES], const buf *answer,
                    uint64_t now_ms) {
    return db_exec(&s->cache, "INSERT INTO satchel_request(token,key,hash,answer,at_ms) VALUES(?,?,?,?,?)", "isbbi", token, key,
                   hash, (size_t)API_HASH_BYTES, answer->p, answer->n, (int64_t)now_ms);
}

int api_answers_prune(store *s, uint64_t before_ms) {
    return db_exec(
        &s->cache,
        "DELETE FROM satchel_request WHERE (token,key) IN (SELECT token,key FROM satchel_request WHERE at_ms<? LIMIT ?)", "ii",
        (int64_t)before_ms, (int64_t)PRUNED_AT_ONCE);
}
