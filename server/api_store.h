/* api_store.h - programs in the store: their tokens, and the answers that they were given. On the writer's thread, inside a transaction.
 *
 * A token is "satchel_" and base64url of 256 random bits; the store has its SHA-256. A program is an author as a device is: for its name in the
 * conflict log it is a row of satchel_device, of a state of its own, which nothing that concerns devices looks at. */
#ifndef SERVER_API_STORE_H
#define SERVER_API_STORE_H

#include "protocol/db.h"
#include "server/store.h"

#define API_TOKEN_PREFIX "satchel_"
#define API_HASH_BYTES 32

/* What a token may do. SERVER: write tables and columns that only the server writes, as an ERP does. VIEWER and so on: what a person of that role may do
 * over the console (people.h). */
enum { API_READ = 1, API_WRITE = 2, API_SERVER = 4, API_VIEWER = 8, API_MANAGER = 16, API_ADMIN = 32 };

typedef struct api_token {
    int64_t id;
    char name[LIMIT_NAME_BYTES + 1];
    uint8_t hash[API_HASH_BYTES];
    unsigned rights;
    uint32_t author;
    uint64_t created_ms, used_ms; /* used_ms: lazily written, 0 for never */
    uint64_t revoked_ms;          /* 0: it is not */
} api_token;

void api_token_hash(const char *text, uint8_t out[API_HASH_BYTES]);
/* Makes a token; appends its text, which is nowhere else. SATCHEL_E_KEY_TAKEN: a token that is not revoked has this name. */
int api_token_add(store *s, const char *name, unsigned rights, uint64_t now_ms, buf *text, api_token *out);
/* SATCHEL_E_NOT_FOUND: no token that is not revoked has this name. */
int api_token_revoke(store *s, const char *name, uint64_t now_ms, api_token *out);
int api_token_used(store *s, int64_t id, uint64_t now_ms);
/* Calls visit for every token until it returns non-zero; from any connection. */
int api_tokens(db_cache *db, int (*visit)(void *ctx, const api_token *), void *ctx);

/* The answer that was given to a request: 1 and the hash of what it asked, 0 if there is none. */
int api_answer_find(store *s, int64_t token, const char *key, uint8_t hash[API_HASH_BYTES], buf *answer);
int api_answer_save(store *s, int64_t token, const char *key, const uint8_t hash[API_HASH_BYTES], const buf *answer,
                    uint64_t now_ms);
/* Forgets answers from before; not all at once if there are many. */
int api_answers_prune(store *s, uint64_t before_ms);

#endif
