/* What devices are told before their conversation begins, by the key that they show: a lost one that is to be wiped may come back when its certificate has ended, and is
 * let in for that, its session says nothing else; one that is to compare all its rows is asked to with the upgrade. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/store_private.h"

static int read_keys(store *s, const char *sql, buf *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, sql);
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1)
        if (sqlite3_column_bytes(q, 0) == CRYPTO_FINGERPRINT_BYTES)
            buf_put(out, sqlite3_column_blob(q, 0), CRYPTO_FINGERPRINT_BYTES);
    return rc ? rc : out->rc;
}

#define KEYS_WHERE(condition)                                                                                                    \
    "SELECT fingerprint FROM satchel_device WHERE " condition                                                                    \
    " UNION ALL SELECT next_fingerprint FROM satchel_device WHERE " condition

static int read_orders(store *s, buf *wiped, buf *verified) {
    int rc = read_keys(s, KEYS_WHERE("state IN (5,6)"), wiped);
    return rc ? rc : read_keys(s, KEYS_WHERE("verify_ms>0"), verified);
}

static void swap(buf *a, buf *b) {
    buf kept = *a;
    *a = *b;
    *b = kept;
}

void hub_read_orders(hub *h) {
    buf wiped = {0}, verified = {0};
    pthread_mutex_lock(&h->mutex);
    bool changed = h->orders_changed;
    h->orders_changed = false;
    pthread_mutex_unlock(&h->mutex);
    if (!changed) return;
    int rc = read_orders(h->config.store, &wiped, &verified);
    pthread_mutex_lock(&h->mutex);
    if (rc) {
        h->orders_changed = true;
    } else {
        swap(&h->wiped, &wiped);
        swap(&h->verified, &verified);
    }
    pthread_mutex_unlock(&h->mutex);
    buf_fini(&wiped);
    buf_fini(&verified);
}

void hub_read_orders_soon(hub *h) {
    h->orders_changed = true;
    pthread_cond_signal(&h->writer_cond);
}

static bool is_among(hub *h, const buf *keys, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    bool found = false;
    pthread_mutex_lock(&h->mutex);
    for (size_t at = 0; !found && at < keys->n; at += CRYPTO_FINGERPRINT_BYTES)
        found = !memcmp(keys->p + at, fingerprint, CRYPTO_FINGERPRINT_BYTES);
    pthread_mutex_unlock(&h->mutex);
    return found;
}

bool hub_wipes(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    return is_among(h, &h->wiped, fingerprint);
}

bool hub_verifies(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    return is_among(h, &h->verified, fingerprint);
}

void hub_verify_device(hub *h, int64_t device, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    pthread_mutex_lock(&h->mutex);
    /* It may be back before the writer, which may be in the middle of a long job, has read it again. */
    buf_put(&h->verified, fingerprint, CRYPTO_FINGERPRINT_BYTES);
    hub_read_orders_soon(h);
    pthread_mutex_unlock(&h->mutex);
    hub_drop_device(h, device, SATCHEL_E_CLOSED);
}
