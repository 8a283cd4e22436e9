/* Who is to be wiped. A lost device may come back when its certificate has ended: it is let in for that, and its session says nothing else. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/store_private.h"

static int read_keys(store *s, buf *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT fingerprint FROM satchel_device WHERE state IN (?1,?2) UNION ALL"
                                            " SELECT next_fingerprint FROM satchel_device WHERE state IN (?1,?2)");
    db_bind(q, "ii", (int64_t)DEVICE_WIPE, (int64_t)DEVICE_WIPED);
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1)
        if (sqlite3_column_bytes(q, 0) == CRYPTO_FINGERPRINT_BYTES)
            buf_put(out, sqlite3_column_blob(q, 0), CRYPTO_FINGERPRINT_BYTES);
    return rc ? rc : out->rc;
}

void hub_read_wiped(hub *h) {
    buf keys, before;
    pthread_mutex_lock(&h->mutex);
    bool changed = h->wiped_changed;
    h->wiped_changed = false;
    pthread_mutex_unlock(&h->mutex);
    if (!changed) return;
    buf_init(&keys, 0);
    int rc = read_keys(h->config.store, &keys);
    pthread_mutex_lock(&h->mutex);
    before = h->wiped;
    if (rc)
        h->wiped_changed = true;
    else
        h->wiped = keys;
    pthread_mutex_unlock(&h->mutex);
    buf_fini(rc ? &keys : &before);
}

bool hub_wipes(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    bool found = false;
    pthread_mutex_lock(&h->mutex);
    for (size_t at = 0; !found && at < h->wiped.n; at += CRYPTO_FINGERPRINT_BYTES)
        found = !memcmp(h->wiped.p + at, fingerprint, CRYPTO_FINGERPRINT_BYTES);
    pthread_mutex_unlock(&h->mutex);
    return found;
}
