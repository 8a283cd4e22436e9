/* audit.h - who did what: one row of satchel_audit for each action, by whatever door it came, in the action's own transaction.
 *
 * Each row has the SHA-256 of the hash before it (of 32 zeros, for the first) and of its own fields, each behind its length in 4 bytes, big-endian:
 * id and time (8 bytes each, big-endian), actor, peer, action, subject, code (4 bytes). Ids have no gap, and sqlite_sequence keeps the last one: a row
 * that is changed, put between or taken away, be it the last, does not fit any more. Who can write the file can make all of it anew: against that the newest
 * row's id and hash, kept elsewhere, are compared (audit_found.head).
 *
 * Nothing is ever taken out. What only reads is not noted, and no secret is. */
#ifndef SERVER_AUDIT_H
#define SERVER_AUDIT_H

#include <jansson.h>

#include "protocol/db.h"
#include "server/progress.h"
#include "server/store.h"

#define AUDIT_HASH_BYTES 32
#define AUDIT_ACTOR_BYTES (LIMIT_NAME_BYTES + 8)
/* Of one member of a request; a longer one is noted as its length and its SHA-256, and a text with its beginning. Rows of an import are people's data, which nothing
 * could take out of here again. */
#define AUDIT_TEXT_BYTES 1000
/* Of all of them; what is longer still is noted as its length and its SHA-256 alone. */
#define AUDIT_SUBJECT_BYTES 16384u

/* Who acts: "user:ann", "token:erp", "shell:root"; and from where: an address, or "socket". */
typedef struct audit_who {
    char actor[AUDIT_ACTOR_BYTES + 1], peer[46];
} audit_who;

typedef struct audit_entry {
    uint64_t id, at_ms; /* id: given when it is appended */
    const char *actor, *peer;
    const char *action;  /* the command's name, or "login" and "logout" */
    const char *subject; /* a JSON object */
    int rc;
    uint8_t hash[AUDIT_HASH_BYTES];
} audit_entry;

/* The request as JSON, without its command and without what is secret: members named password, old, secret, code, token. */
int audit_subject(json_t *request, buf *out);

/* On the writer's thread, inside a transaction. Fills in id and hash. */
int audit_append(store *s, audit_entry *e);

/* Calls visit for the newest entries before `before` (0: from the end), newest first, until it returns non-zero; from any connection. */
int audit_list(db_cache *db, uint64_t before, uint64_t limit, int (*visit)(void *ctx, const audit_entry *), void *ctx);

typedef struct audit_found {
    uint64_t rows;
    uint64_t wrong;                 /* the id of the first row that does not fit, be it one that is missing; 0: all do */
    uint64_t head;                  /* the last row that fits */
    uint8_t hash[AUDIT_HASH_BYTES]; /* its hash */
    bool expected; /* in: head and hash are those of a row that was noted elsewhere. out: it is there, and is that one */
    buf words;     /* about what is wrong */
} audit_found;

/* Looks at all of it as of one commit, through a connection of its own. SATCHEL_E_CLOSED if `watch` wants no more. */
int audit_verify(const char *path, const progress *watch, audit_found *out, buf *error);

#endif
