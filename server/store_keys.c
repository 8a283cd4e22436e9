#include "server/store_keys.h"

#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"

int store_key_offer(store *s, int64_t id, const uint8_t key[CRYPTO_FINGERPRINT_BYTES]) {
    device_info owner;
    int rc = store_device_by_fingerprint(s, key, &owner);
    if (!rc && owner.id != id) return SATCHEL_E_KEY_TAKEN;
    /* The key it has, shown again: nothing is new. */
    if (!rc && !memcmp(owner.fingerprint, key, CRYPTO_FINGERPRINT_BYTES)) return SATCHEL_OK;
    if (rc && rc != SATCHEL_E_NOT_FOUND) return rc;
    return db_exec(&s->cache, "UPDATE satchel_device SET next_fingerprint=? WHERE id=?", "bi", key,
                   (size_t)CRYPTO_FINGERPRINT_BYTES, id);
}

int store_key_used(store *s, const device_info *d, const uint8_t key[CRYPTO_FINGERPRINT_BYTES], uint64_t now_ms) {
    if (!memcmp(d->fingerprint, key, CRYPTO_FINGERPRINT_BYTES)) return SATCHEL_OK;
    int rc =
        db_exec(&s->cache,
                "UPDATE satchel_device SET fingerprint=next_fingerprint,next_fingerprint=NULL,rotate_key_ms=0 WHERE id=?1 AND"
                " next_fingerprint=?2",
                "ib", d->id, key, (size_t)CRYPTO_FINGERPRINT_BYTES);
    if (!rc && sqlite3_changes(s->db))
        rc = db_exec(&s->cache, "INSERT INTO satchel_event(at_ms,device,kind,text) VALUES(?,?,'rekeyed','it has another key')",
                     "ii", (int64_t)now_ms, d->id);
    return rc;
}

int store_device_left(store *s, int64_t id, uint64_t now_ms) {
    int rc = db_exec(&s->cache,
                     "UPDATE satchel_device SET state=iif(state=5,6,2),state_ms=?," NO_ORDERS " WHERE id=? AND state IN (1,4,5)",
                     "ii", (int64_t)now_ms, id);
    if (!rc && sqlite3_changes(s->db))
        rc = db_exec(&s->cache,
                     "INSERT INTO satchel_event(at_ms,device,kind,text) VALUES(?,?,'signed-out','signed out by its user')", "ii",
                     (int64_t)now_ms, id);
    return rc;
}

int store_event(store *s, const char *kind, const char *text, uint64_t now_ms) {
    return db_exec(&s->cache, "INSERT INTO satchel_event(at_ms,kind,text) VALUES(?,?,?)", "iss", (int64_t)now_ms, kind, text);
}

int store_trust_seen(store *s, const uint8_t key[CRYPTO_FINGERPRINT_BYTES], const uint8_t trust[TRUST_BYTES]) {
    return db_exec(&s->cache,
                   "UPDATE satchel_device SET trust=?1 WHERE (fingerprint=?2 OR next_fingerprint=?2) AND trust IS NOT ?1", "bb",
                   trust, (size_t)TRUST_BYTES, key, (size_t)CRYPTO_FINGERPRINT_BYTES);
}

int store_trust_lacking(store *s, const uint8_t trust[TRUST_BYTES],
                        int (*visit)(void *ctx, const char *name, uint64_t last_seen_ms), void *ctx) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT name,last_seen_ms FROM satchel_device WHERE state IN (1,4,5) AND trust IS NOT ?"
                              " ORDER BY name");
    db_bind(q, "b", trust, (size_t)TRUST_BYTES);
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1) {
        if (!visit(ctx, (const char *)sqlite3_column_text(q, 0), (uint64_t)sqlite3_column_int64(q, 1))) continue;
        sqlite3_reset(q);
        return SATCHEL_OK;
    }
    return rc;
}
