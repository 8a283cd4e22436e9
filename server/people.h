/* people.h - who may sign in to the console: names, roles, passwords, and what they are signed in by.
 *
 * A password is kept as crypto_pwhash_str of libsodium writes it (argon2id): made and compared on a worker's thread (0.7 s of one core, 256 MiB), never on the
 * loop's or the writer's. A session is a row of satchel_login and lives in the memory of those that serve requests (api_people.c); the cookie has its
 * secret, the store only the SHA-256 of it. What changes the store runs on the writer's thread, inside a transaction. */
#ifndef SERVER_PEOPLE_H
#define SERVER_PEOPLE_H

#include "protocol/db.h"
#include "server/store.h"

/* Each may do what the one before may. NONE stands where nobody may do it over HTTPS. */
typedef enum people_role { PEOPLE_NONE, PEOPLE_VIEWER, PEOPLE_MANAGER, PEOPLE_ADMIN } people_role;

/* Of a password. Shorter ones are refused; longer ones are a burden on nobody but the server. */
#define PEOPLE_PASSWORD_LEAST 10
#define PEOPLE_PASSWORD_MOST 256
#define PEOPLE_HASH_BYTES 128 /* crypto_pwhash_STRBYTES */
/* A session ends so long after its beginning, or when so long nothing came. */
#define PEOPLE_SESSION_MS (UINT64_C(12) * 3600 * 1000)
#define PEOPLE_SILENT_MS (UINT64_C(60) * 60 * 1000)
/* Sessions of one person; one more ends the oldest. */
#define PEOPLE_SESSIONS 16
#define PEOPLE_CSRF_BYTES 43 /* base64url of 32 bytes, as is the secret */
#define PEOPLE_AGENT_BYTES 200
/* Whom a store has that had nobody; the file in the data directory has the password, unless a terminal was shown it. */
#define PEOPLE_FIRST_NAME "admin"
#define PEOPLE_FIRST_FILE "admin-password"

/* Wrong passwords under one name. From the fifth within a quarter of an hour on the name waits: a minute, and twice as long each time more, up to a day. */
typedef struct people_tries {
    unsigned failures;
    uint64_t failed_ms, locked_until_ms;
} people_tries;
#define PEOPLE_TRIES 5
#define PEOPLE_TRIES_MS (UINT64_C(15) * 60 * 1000)
#define PEOPLE_LOCK_MS (UINT64_C(60) * 1000)
#define PEOPLE_LOCK_MOST_MS (UINT64_C(24) * 3600 * 1000)
/* 0 if the name may try, else the milliseconds until it may. */
uint64_t people_tries_wait(const people_tries *t, uint64_t now_ms);
void people_tries_wrong(people_tries *t, uint64_t now_ms);

typedef struct people_user {
    int64_t id;
    char name[LIMIT_NAME_BYTES + 1];
    people_role role;
    bool locked; /* by an admin */
    bool removed;
    char hash[PEOPLE_HASH_BYTES];
    people_tries tries;
    uint64_t created_ms, last_login_ms;
} people_user;

typedef struct people_login {
    int64_t id, user;
    uint8_t hash[32]; /* of the secret */
    char csrf[PEOPLE_CSRF_BYTES + 1];
    uint64_t created_ms, seen_ms, expires_ms;
    uint64_t noted_ms; /* in memory: when the store last heard of seen_ms */
    char peer[46], agent[PEOPLE_AGENT_BYTES + 1];
} people_login;

/* "viewer" and so on; NONE for another word. */
people_role people_role_of(const char *word);
const char *people_role_word(people_role role);

/* ---- passwords; on any thread, and slow ---- */

/* For tests that are not about the cost. Before there are threads. */
void people_cost_little(void);

/* SATCHEL_E_NOMEM; _INTERNAL. `cheap`: for a password of 128 random bits and more, which needs no slow hash. */
int people_hash(const char *password, bool cheap, char out[PEOPLE_HASH_BYTES]);
/* SATCHEL_E_AUTH: it is another. Takes as long for every name: `hash` NULL stands for a name that nobody has. */
int people_verify(const char *hash, const char *password);
/* Appends so many random characters that it has 128 bits, in groups that can be typed. */
int people_random_password(buf *out);

/* ---- users ---- */

/* SATCHEL_E_KEY_TAKEN: a user has this name. */
int people_add(store *s, const char *name, people_role role, const char *hash, uint64_t now_ms, people_user *out);
/* SATCHEL_E_NOT_FOUND. */
int people_find(store *s, const char *name, people_user *out);
/* Writes its tries and last login. */
int people_tried(store *s, const people_user *u);
/* Writes that and role, lock, hash. Another hash, or a lock, ends the user's sessions. SATCHEL_E_MISUSE with words: it is the last admin who could sign in. */
int people_change(store *s, const people_user *u, buf *error);
int people_remove(store *s, people_user *u, buf *error);
/* Calls visit for every user, by name, until it returns non-zero; from any connection. */
int people_users(db_cache *db, int (*visit)(void *ctx, const people_user *), void *ctx);

/* Makes the first admin if there is no user, in a transaction of its own: `keep` is given the password first, and its code undoes it. */
int people_first(store *s, uint64_t now_ms, int (*keep)(void *ctx, const char *password), void *ctx);

/* ---- sessions ---- */

/* Fills in id, and forgets sessions that have ended. The oldest of a user who has too many ends: *ended is its id, else 0. */
int people_login_add(store *s, people_login *l, int64_t *ended);
int people_login_seen(store *s, int64_t id, uint64_t now_ms);
int people_login_end(store *s, int64_t id);
/* All end: of a store that was put back, some had ended since. */
int people_logins_end(store *s);
/* Also where the clock was put back by so much that nothing can be said of its age. */
bool people_login_ended(const people_login *l, uint64_t now_ms);
/* As people_users, of all sessions. */
int people_logins(db_cache *db, int (*visit)(void *ctx, const people_login *), void *ctx);

#endif
