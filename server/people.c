#include "server/people.h"

#include <errno.h>
#include <pthread.h>
#include <sodium/core.h>
#include <sodium/crypto_pwhash.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/audit.h"
#include "server/store_private.h"

_Static_assert(crypto_pwhash_STRBYTES <= PEOPLE_HASH_BYTES, "a hash must fit");

static const char *const ROLES[] = {"", "viewer", "manager", "admin"};

people_role people_role_of(const char *word) {
    for (int i = PEOPLE_VIEWER; i <= PEOPLE_ADMIN; i++)
        if (word && !strcmp(word, ROLES[i])) return (people_role)i;
    return PEOPLE_NONE;
}

const char *people_role_word(people_role role) {
    return ROLES[role];
}

/* ---- tries ---- */

uint64_t people_tries_wait(const people_tries *t, uint64_t now_ms) {
    /* Of a clock that was put back since: nobody waits for the time that it had. */
    if (now_ms + PEOPLE_TRIES_MS < t->failed_ms) return 0;
    return t->locked_until_ms > now_ms ? t->locked_until_ms - now_ms : 0;
}

void people_tries_wrong(people_tries *t, uint64_t now_ms) {
    uint64_t since_ms = t->failed_ms > t->locked_until_ms ? t->failed_ms : t->locked_until_ms;
    if (now_ms > since_ms + PEOPLE_TRIES_MS) t->failures = 0;
    t->failures++;
    t->failed_ms = now_ms;
    if (t->failures < PEOPLE_TRIES) return;
    uint64_t lock_ms = PEOPLE_LOCK_MS;
    for (unsigned i = PEOPLE_TRIES; i < t->failures && lock_ms < PEOPLE_LOCK_MOST_MS; i++) lock_ms *= 2;
    t->locked_until_ms = now_ms + (lock_ms < PEOPLE_LOCK_MOST_MS ? lock_ms : PEOPLE_LOCK_MOST_MS);
}

/* ---- passwords ---- */

static unsigned long long cost_ops = crypto_pwhash_OPSLIMIT_MODERATE;
static size_t cost_memory = crypto_pwhash_MEMLIMIT_MODERATE;
static int sodium_ready;

void people_cost_little(void) {
    cost_ops = crypto_pwhash_OPSLIMIT_MIN;
    cost_memory = crypto_pwhash_MEMLIMIT_MIN;
}

static void start_sodium(void) {
    sodium_ready = sodium_init() >= 0;
}

static bool is_ready(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_sodium);
    return sodium_ready;
}

int people_hash(const char *password, bool cheap, char out[PEOPLE_HASH_BYTES]) {
    if (!is_ready()) return SATCHEL_E_INTERNAL;
    /* The library fails for want of memory alone. */
    int failed = crypto_pwhash_str(out, password, strlen(password), cheap ? crypto_pwhash_OPSLIMIT_MIN : cost_ops,
                                   cheap ? crypto_pwhash_MEMLIMIT_MIN : cost_memory);
    return failed ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int compare(const char *hash, const char *password) {
    errno = 0;
    if (!crypto_pwhash_str_verify(hash, password, strlen(password))) return SATCHEL_OK;
    return errno == ENOMEM ? SATCHEL_E_NOMEM : SATCHEL_E_AUTH;
}

int people_verify(const char *hash, const char *password) {
    /* Of the cost of any other, and with a sum that no password has been found for. */
    char nobody[crypto_pwhash_STRBYTES] = "";
    if (!is_ready()) return SATCHEL_E_INTERNAL;
    snprintf(nobody, sizeof nobody, "$argon2id$v=19$m=%u,t=%u,p=1$c2F0Y2hlbCBub2JvZHkhIQ$%043d", (unsigned)(cost_memory / 1024),
             (unsigned)cost_ops, 0);
    int rc = hash ? compare(hash, password) : SATCHEL_E_AUTH;
    /* A cheap one took no time, and that is not to be seen. */
    bool was_slow = hash && !crypto_pwhash_str_needs_rehash(hash, cost_ops, cost_memory);
    return !was_slow && compare(nobody, password) == SATCHEL_E_NOMEM ? SATCHEL_E_NOMEM : rc;
}

/* Of 31 letters and digits that are not taken for each other: nearly 5 bits each. */
#define GROUPS 7
#define GROUP_CHARACTERS 4

int people_random_password(buf *out) {
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
    for (unsigned i = 0; i < GROUPS * GROUP_CHARACTERS; i++) {
        if (i && i % GROUP_CHARACTERS == 0) buf_put_byte(out, '-');
        if (!is_ready()) return SATCHEL_E_INTERNAL;
        buf_put_byte(out, (uint8_t)letters[randombytes_uniform(sizeof letters - 1)]);
    }
    return out->rc;
}

/* ---- users ---- */

#define USERS "SELECT id,name,role,state,hash,failures,failed_ms,locked_until_ms,created_ms,last_login_ms FROM satchel_user "

static void copy_text(char *out, size_t room, sqlite3_stmt *q, int column) {
    const unsigned char *t = sqlite3_column_text(q, column);
    snprintf(out, room, "%s", t ? (const char *)t : "");
}

static void read_user(sqlite3_stmt *q, people_user *u) {
    *u = (people_user){.id = sqlite3_column_int64(q, 0),
                       .role = people_role_of((const char *)sqlite3_column_text(q, 2)),
                       .tries = {.failures = (unsigned)sqlite3_column_int(q, 5),
                                 .failed_ms = (uint64_t)sqlite3_column_int64(q, 6),
                                 .locked_until_ms = (uint64_t)sqlite3_column_int64(q, 7)},
                       .created_ms = (uint64_t)sqlite3_column_int64(q, 8),
                       .last_login_ms = (uint64_t)sqlite3_column_int64(q, 9)};
    const char *state = (const char *)sqlite3_column_text(q, 3);
    u->locked = !state || strcmp(state, "active") != 0;
    copy_text(u->name, sizeof u->name, q, 1);
    copy_text(u->hash, sizeof u->hash, q, 4);
}

int people_find(store *s, const char *name, people_user *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, USERS "WHERE name=?");
    db_bind(q, "s", name);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    read_user(q, out);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int people_users(db_cache *db, int (*visit)(void *ctx, const people_user *), void *ctx) {
    sqlite3_stmt *q = db_prepare(db, USERS "ORDER BY name");
    people_user u;
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        read_user(q, &u);
        if (!visit(ctx, &u)) continue;
        sqlite3_reset(q);
        return SATCHEL_OK;
    }
    return rc;
}

int people_add(store *s, const char *name, people_role role, const char *hash, uint64_t now_ms, people_user *out) {
    int rc = people_find(s, name, out);
    if (!rc) return SATCHEL_E_KEY_TAKEN;
    if (rc == SATCHEL_E_NOT_FOUND)
        rc = db_exec(&s->cache, "INSERT INTO satchel_user(name,role,hash,created_ms) VALUES(?,?,?,?)", "sssi", name,
                     people_role_word(role), hash, (int64_t)now_ms);
    return rc ? rc : people_find(s, name, out);
}

int people_tried(store *s, const people_user *u) {
    return db_exec(&s->cache, "UPDATE satchel_user SET failures=?,failed_ms=?,locked_until_ms=?,last_login_ms=? WHERE id=?",
                   "iiiii", (int64_t)u->tries.failures, (int64_t)u->tries.failed_ms, (int64_t)u->tries.locked_until_ms,
                   (int64_t)u->last_login_ms, u->id);
}

/* The console must not lose the last one who can give rights in it. */
static int check_last_admin(store *s, const people_user *u, buf *error) {
    int64_t others = 0;
    if (u->role == PEOPLE_ADMIN && !u->locked && !u->removed) return SATCHEL_OK;
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT (SELECT count(*) FROM satchel_user WHERE role='admin' AND state='active' AND id<>?1)"
                              " + NOT EXISTS(SELECT 1 FROM satchel_user WHERE role='admin' AND state='active' AND id=?1)");
    db_bind(q, "i", u->id);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    others = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (others) return SATCHEL_OK;
    buf_printf(error, "%s is the last admin who can sign in; make another one first", u->name);
    return SATCHEL_E_MISUSE;
}

static int end_sessions(store *s, int64_t user) {
    return db_exec(&s->cache, "DELETE FROM satchel_login WHERE user=?", "i", user);
}

int people_change(store *s, const people_user *u, buf *error) {
    people_user before;
    int rc = people_find(s, u->name, &before);
    if (!rc) rc = check_last_admin(s, u, error);
    if (!rc && (u->locked || strcmp(u->hash, before.hash) != 0)) rc = end_sessions(s, u->id);
    if (!rc)
        rc = db_exec(&s->cache, "UPDATE satchel_user SET role=?,state=?,hash=? WHERE id=?", "sssi", people_role_word(u->role),
                     u->locked ? "locked" : "active", u->hash, u->id);
    return rc ? rc : people_tried(s, u);
}

int people_remove(store *s, people_user *u, buf *error) {
    u->removed = true;
    int rc = check_last_admin(s, u, error);
    if (!rc) rc = end_sessions(s, u->id);
    return rc ? rc : db_exec(&s->cache, "DELETE FROM satchel_user WHERE id=?", "i", u->id);
}

static int make_first(store *s, const char *password, uint64_t now_ms) {
    people_user u;
    char hash[PEOPLE_HASH_BYTES];
    int rc = people_hash(password, true, hash);
    if (!rc) rc = people_add(s, PEOPLE_FIRST_NAME, PEOPLE_ADMIN, hash, now_ms, &u);
    audit_entry e = {.at_ms = now_ms,
                     .actor = "server",
                     .peer = "",
                     .action = "user.add",
                     .subject = "{\"name\":\"" PEOPLE_FIRST_NAME "\",\"role\":\"admin\"}"};
    return rc ? rc : audit_append(s, &e);
}

int people_first(store *s, uint64_t now_ms, int (*keep)(void *ctx, const char *password), void *ctx) {
    int64_t users;
    buf password = {0};
    int rc = db_integer(&s->cache, "SELECT count(*) FROM satchel_user", 0, &users);
    if (rc || users) return rc;
    rc = people_random_password(&password);
    buf_put_byte(&password, 0);
    if (!rc) rc = password.rc;
    if (!rc) rc = store_begin(s);
    if (!rc) {
        rc = make_first(s, (const char *)password.p, now_ms);
        if (!rc) rc = keep(ctx, (const char *)password.p);
        if (!rc)
            rc = store_commit(s);
        else
            store_rollback(s);
    }
    if (password.p) explicit_bzero(password.p, password.n);
    buf_fini(&password);
    return rc;
}

/* ---- sessions ---- */

/* How late the store may hear of a session's last use. */
#define SEEN_LATE_MS (UINT64_C(2) * 60 * 1000)

bool people_login_ended(const people_login *l, uint64_t now_ms) {
    /* The last is of a clock that was put back. */
    return now_ms >= l->expires_ms || now_ms >= l->seen_ms + PEOPLE_SILENT_MS || now_ms + PEOPLE_SILENT_MS < l->seen_ms;
}

static int forget_ended(store *s, uint64_t now_ms) {
    return db_exec(&s->cache, "DELETE FROM satchel_login WHERE expires_ms<=?1 OR seen_ms<=?1-?2", "ii", (int64_t)now_ms,
                   (int64_t)(PEOPLE_SILENT_MS + SEEN_LATE_MS));
}

static int end_oldest(store *s, int64_t user, int64_t *ended) {
    *ended = 0;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT min(id),count(*) FROM satchel_login WHERE user=?");
    db_bind(q, "i", user);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    if (sqlite3_column_int64(q, 1) >= PEOPLE_SESSIONS) *ended = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return *ended ? people_login_end(s, *ended) : SATCHEL_OK;
}

int people_login_add(store *s, people_login *l, int64_t *ended) {
    int rc = forget_ended(s, l->created_ms);
    if (!rc) rc = end_oldest(s, l->user, ended);
    if (!rc)
        rc = db_exec(&s->cache,
                     "INSERT INTO satchel_login(hash,user,csrf,created_ms,seen_ms,expires_ms,peer,agent) VALUES(?,?,?,?,?,?,?,?)",
                     "bisiiiss", l->hash, sizeof l->hash, l->user, l->csrf, (int64_t)l->created_ms, (int64_t)l->seen_ms,
                     (int64_t)l->expires_ms, l->peer, l->agent);
    l->id = rc ? 0 : sqlite3_last_insert_rowid(s->db);
    return rc;
}

int people_login_seen(store *s, int64_t id, uint64_t now_ms) {
    return db_exec(&s->cache, "UPDATE satchel_login SET seen_ms=? WHERE id=?", "ii", (int64_t)now_ms, id);
}

int people_login_end(store *s, int64_t id) {
    return db_exec(&s->cache, "DELETE FROM satchel_login WHERE id=?", "i", id);
}

int people_logins_end(store *s) {
    int rc = store_begin(s);
    if (rc) return rc;
    rc = db_exec(&s->cache, "DELETE FROM satchel_login", "");
    if (!rc) return store_commit(s);
    store_rollback(s);
    return rc;
}

static void read_login(sqlite3_stmt *q, people_login *l) {
    *l = (people_login){.id = sqlite3_column_int64(q, 0),
                        .user = sqlite3_column_int64(q, 1),
                        .created_ms = (uint64_t)sqlite3_column_int64(q, 4),
                        .seen_ms = (uint64_t)sqlite3_column_int64(q, 5),
                        .expires_ms = (uint64_t)sqlite3_column_int64(q, 6)};
    if (sqlite3_column_bytes(q, 2) == sizeof l->hash) memcpy(l->hash, sqlite3_column_blob(q, 2), sizeof l->hash);
    copy_text(l->csrf, sizeof l->csrf, q, 3);
    copy_text(l->peer, sizeof l->peer, q, 7);
    copy_text(l->agent, sizeof l->agent, q, 8);
}

int people_logins(db_cache *db, int (*visit)(void *ctx, const people_login *), void *ctx) {
    sqlite3_stmt *q =
        db_prepare(db, "SELECT id,user,hash,csrf,created_ms,seen_ms,expires_ms,peer,agent FROM satchel_login ORDER BY id");
    people_login l;
    int rc;
    while ((rc = db_next(db, q)) == 1) {
        read_login(q, &l);
        if (!visit(ctx, &l)) continue;
        sqlite3_reset(q);
        return SATCHEL_OK;
    }
    return rc;
}
