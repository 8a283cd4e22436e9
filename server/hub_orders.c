/* What devices are told before their conversation begins, by the key that they show: a lost one that is to be wiped may come back when its certificate has ended, and is
 * let in for that, its session says nothing else; one that is to compare all its rows, or to make a new key, is told so with the upgrade. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/store_private.h"

/* The list: a key, and a byte of orders. */
#define ENTRY_BYTES (CRYPTO_FINGERPRINT_BYTES + 1)

static void put_entry(buf *list, const void *key, unsigned orders) {
    uint8_t entry[ENTRY_BYTES];
    memcpy(entry, key, CRYPTO_FINGERPRINT_BYTES);
    entry[CRYPTO_FINGERPRINT_BYTES] = (uint8_t)orders;
    if (orders) buf_put(list, entry, sizeof entry);
}

/* What holds for the key that a device has been given but not shown yet: by showing it, it does what the last of them wants. */
static unsigned of_next_key(unsigned orders) {
    return orders & ~(unsigned)ORDER_ROTATE_KEY;
}

static int read_orders(store *s, buf *list) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT fingerprint,next_fingerprint,?*(state IN (5,6))+?*(verify_ms>0)+?*(rotate_key_ms>0)"
                              " FROM satchel_device WHERE state IN (5,6) OR verify_ms>0 OR rotate_key_ms>0");
    db_bind(q, "iii", (int64_t)ORDER_WIPE, (int64_t)ORDER_VERIFY, (int64_t)ORDER_ROTATE_KEY);
    int rc;
    while ((rc = db_next(&s->cache, q)) == 1) {
        unsigned orders = (unsigned)sqlite3_column_int(q, 2);
        if (sqlite3_column_bytes(q, 0) == CRYPTO_FINGERPRINT_BYTES) put_entry(list, sqlite3_column_blob(q, 0), orders);
        if (sqlite3_column_bytes(q, 1) == CRYPTO_FINGERPRINT_BYTES)
            put_entry(list, sqlite3_column_blob(q, 1), of_next_key(orders));
    }
    return rc ? rc : list->rc;
}

void hub_read_orders(hub *h) {
    buf list = {0};
    pthread_mutex_lock(&h->mutex);
    bool changed = h->orders_changed;
    h->orders_changed = false;
    pthread_mutex_unlock(&h->mutex);
    if (!changed) return;
    int rc = read_orders(h->config.store, &list);
    pthread_mutex_lock(&h->mutex);
    if (rc) {
        h->orders_changed = true;
    } else {
        buf kept = h->orders;
        h->orders = list;
        list = kept;
    }
    pthread_mutex_unlock(&h->mutex);
    buf_fini(&list);
}

void hub_read_orders_soon(hub *h) {
    h->orders_changed = true;
    pthread_cond_signal(&h->writer_cond);
}

static unsigned orders_of(const hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    unsigned orders = 0;
    for (size_t at = 0; at < h->orders.n; at += ENTRY_BYTES)
        if (!memcmp(h->orders.p + at, fingerprint, CRYPTO_FINGERPRINT_BYTES))
            orders |= h->orders.p[at + CRYPTO_FINGERPRINT_BYTES];
    return orders;
}

unsigned hub_orders(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    pthread_mutex_lock(&h->mutex);
    unsigned orders = orders_of(h, fingerprint);
    pthread_mutex_unlock(&h->mutex);
    return orders;
}

/* The device may be back before the writer, which may be in the middle of a long job, has read the orders again: so these two put down what it will find. */
void hub_order_device(hub *h, int64_t device, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], device_order order) {
    pthread_mutex_lock(&h->mutex);
    put_entry(&h->orders, fingerprint, order);
    hub_read_orders_soon(h);
    pthread_mutex_unlock(&h->mutex);
    hub_drop_device(h, device, SATCHEL_E_CLOSED);
}

void hub_offer_key(hub *h, const uint8_t shown[CRYPTO_FINGERPRINT_BYTES], const uint8_t offered[CRYPTO_FINGERPRINT_BYTES]) {
    pthread_mutex_lock(&h->mutex);
    if (memcmp(shown, offered, CRYPTO_FINGERPRINT_BYTES)) {
        put_entry(&h->orders, offered, of_next_key(orders_of(h, shown)));
        hub_read_orders_soon(h);
    }
    pthread_mutex_unlock(&h->mutex);
}
