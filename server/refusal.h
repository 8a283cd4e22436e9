/* refusal.h - a device's refused transaction as an admin looks at it, and as he settles it by making it his own.
 *
 * The store keeps the changes of a refused transaction as they were sent. What an admin makes of them goes through the door that his SQL goes through
 * (ingest.h), so every rule but the device's own rights holds for it, and devices hear of it as of any change. The device keeps its refusal until it is
 * discarded there: a retry from there is refused with SATCHEL_E_RESOLVED (N6). */
#ifndef SERVER_REFUSAL_H
#define SERVER_REFUSAL_H

#include <jansson.h>

#include "server/ingest.h"

/* Appends as one JSON object, values as in record.h:
 *   {"device","number","state","code","rule","message","table","depends","at_ms","base","changes":[
 *     {"table","op","key":{...},"wanted":{...},"server":{...}}, ...],"more"}
 * `server` is the row as it is now, null if there is none. Of a long one the first 1,000 changes are told, and "more" is true. SATCHEL_E_NOT_FOUND. */
int refusal_show(store *s, const char *device, uint64_t number, buf *json);

/* Makes the changes as the server's own author, knowing all that is in the store, and settles the refusal; all of it inside the caller's transaction, or
 * nothing. `edits` (may be NULL) is an array of {"table","key":{...},"values":{...}}: values of changes of the transaction that are to be others, or to be
 * set as well. SATCHEL_E_NOT_FOUND, _RESOLVED; _MISUSE, and the codes of record.h: an edit is wrong; _TOO_LARGE: it can only be retried on the device;
 * what a transaction may be refused for; with words. */
int refusal_retry(store *s, ingest *g, const char *device, uint64_t number, const json_t *edits, uint64_t now_ms, uint64_t *seq,
                  buf *error);

/* Settles it by discarding it. SATCHEL_E_RESOLVED if somebody was first (N6), SATCHEL_E_NOT_FOUND. */
int refusal_discard(store *s, const char *device, uint64_t number, uint64_t now_ms);

#endif
