/* refusal.h - a device's refused transaction as an admin looks at it, and as he settles it by making it his own.
 *
 * The store keeps the changes of a refused transaction as they were sent. What an admin makes of them goes through the door that his SQL goes through
 * (ingest.h), so every rule but the device's own rights holds for it, and devices hear of it as of any change. Whoever is first settles it, an admin or the
 * device (N6): a retry after that is refused with SATCHEL_E_RESOLVED, and is nothing to be settled in its turn. What an admin did the device is told (dialog.h)
 * until it says that it knows. */
#ifndef SERVER_REFUSAL_H
#define SERVER_REFUSAL_H

#include <jansson.h>

#include "server/ingest.h"

/* satchel_refused.untold of what an admin settled: whether the device has said that it knows. 0: no admin did. */
enum { REFUSED_UNTOLD = 1, REFUSED_TOLD = 2 };

typedef struct refusal {
    int64_t author; /* the incarnation that it was told to */
    uint64_t number, root;
    bool open;
} refusal;

/* What an incarnation means by the number of a refused transaction: that, or the last of the retries that stand in its place. By the number alone (by_number) its own,
 * else one that was told to another incarnation of its device, if their files may have the number in common; and by `id` (NULL: not known), the transaction's
 * or a retry's, whosever it is: then one that was accepted, too, which leaves nothing open. author 0: it is not known here, since it was found on the device,
 * or made by a server that was put back since. */
int refusal_of(store *s, int64_t author, uint64_t number, const uint8_t *id, bool by_number, refusal *out);
/* Settles what refusal_of found as "retried" or "discarded", which the incarnation `by` knows; nothing if somebody was first. */
int refusal_settle(store *s, int64_t by, const refusal *of, const char *state, uint64_t now_ms);

/* The author of the refused transaction that a device's name and a number mean. Of a name that was given again, that of the device that has it now; of copies of a file,
 * whose transactions of one number are not the same one, that of which the refusal is open. `wanted` (NULL: any): that author's, or none. SATCHEL_E_NOT_FOUND. */
int refusal_find(store *s, const char *device, uint64_t number, const int64_t *wanted, int64_t *author);

/* Appends as one JSON object, values as in record.h:
 *   {"device","number","state","code","rule","message","table","depends","at_ms","base","changes":[
 *     {"table","op","key":{...},"wanted":{...},"server":{...}}, ...],"more"}
 * `server` is the row as it is now, null if there is none. Of a long one the first 1,000 changes are told, and "more" is true. SATCHEL_E_NOT_FOUND. */
int refusal_show(store *s, int64_t author, uint64_t number, buf *json);
/* Appends ,"changes":[...],"more":...} of one that there is, by its author. */
int refusal_changes(store *s, int64_t author, uint64_t number, buf *json);

/* Makes the changes as the server's own author, knowing all that is in the store, and settles the refusal; all of it inside the caller's transaction, or
 * nothing. `edits` (may be NULL) is an array of {"table","key":{...},"values":{...}}: values of changes of the transaction that are to be others, or to be
 * set as well. SATCHEL_E_NOT_FOUND, _RESOLVED; _MISUSE, and the codes of record.h: an edit is wrong; _TOO_LARGE: it can only be retried on the device;
 * what a transaction may be refused for; with words. */
int refusal_retry(store *s, ingest *g, int64_t author, uint64_t number, const json_t *edits, uint64_t now_ms, uint64_t *seq,
                  buf *error);

/* Settles it by discarding it. SATCHEL_E_RESOLVED if somebody was first (N6), SATCHEL_E_NOT_FOUND. */
int refusal_discard(store *s, int64_t author, uint64_t number, uint64_t now_ms);

#endif
