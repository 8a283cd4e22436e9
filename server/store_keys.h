/* store_keys.h - by which keys a device is known, and which authorities it trusts.
 *
 * A device that changes its key is known by both until the new one was used: an answer that is lost locks nobody out. Invariant: no key is that of two
 * devices. All of it runs inside a transaction. */
#ifndef SERVER_STORE_KEYS_H
#define SERVER_STORE_KEYS_H

#include "server/store.h"

#define TRUST_BYTES 16

/* The device is to be known by this key as well; one that was offered before and never used is forgotten. SATCHEL_E_KEY_TAKEN: it is another's. */
int store_key_offer(store *s, int64_t id, const uint8_t key[CRYPTO_FINGERPRINT_BYTES]);
/* A connection showed this key of the device's: if it is the new one, the old one ends, and so does an order to make one (store_device_order), whichever came first. */
int store_key_used(store *s, const device_info *d, const uint8_t key[CRYPTO_FINGERPRINT_BYTES], uint64_t now_ms);
/* The device has erased itself because its user wanted so: it is as if revoked (after an order to wipe: wiped). */
int store_device_left(store *s, int64_t id, uint64_t now_ms);
/* Records an event that is no device's. */
int store_event(store *s, const char *kind, const char *text, uint64_t now_ms);

/* The device of this key has shown which authorities it trusts: the beginning of SHA-256 over its ca.pem. */
int store_trust_seen(store *s, const uint8_t key[CRYPTO_FINGERPRINT_BYTES], const uint8_t trust[TRUST_BYTES]);
/* Visits the devices that are to come yet (active, paused, to be wiped) and have not shown `trust`, by name, until `visit` returns non-zero. */
int store_trust_lacking(store *s, const uint8_t trust[TRUST_BYTES],
                        int (*visit)(void *ctx, const char *name, uint64_t last_seen_ms), void *ctx);

#endif
