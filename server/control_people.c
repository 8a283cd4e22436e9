/* Commands about the people who may sign in to the console, and about what was done by whom. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/api.h"
#include "server/bundle.h"
#include "server/control_private.h"
#include "server/log.h"
#include "server/store_private.h"

#define LIST_DEFAULT 100
#define LIST_MAX 10000

static json_t *user_json(const people_user *u, uint64_t now_ms) {
    json_t *o = json_object();
    uint64_t wait_ms = people_tries_wait(&u->tries, now_ms);
    control_put_text(o, "name", u->name);
    control_put_text(o, "role", people_role_word(u->role));
    control_put_text(o, "state", u->locked ? "locked" : wait_ms ? "waits" : "active");
    control_put_number(o, "created_ms", u->created_ms);
    control_put_number(o, "last_login_ms", u->last_login_ms);
    control_put_number(o, "failures", u->tries.failures);
    control_put_number(o, "locked_until_ms", wait_ms ? u->tries.locked_until_ms : 0);
    return o;
}

/* ---- passwords: hashed by a work, written by its end ---- */

/* Takes a secret out of the request, and overwrites it there. */
static void take_out(control_call *call, const char *member) {
    const char *text = control_text(call, member);
    if (text) explicit_bzero((char *)(uintptr_t)text, strlen(text));
    json_object_del(call->request, member);
}

static int hash_given(control_call *call, people_user *u) {
    json_t *text = json_object_get(call->request, "password");
    const char *password = json_string_value(text);
    size_t n = password ? strlen(password) : 0;
    int rc = SATCHEL_OK;
    if (n < PEOPLE_PASSWORD_LEAST || n > PEOPLE_PASSWORD_MOST) {
        buf_printf(&call->error, "a password has %d to %d bytes", PEOPLE_PASSWORD_LEAST, PEOPLE_PASSWORD_MOST);
        rc = SATCHEL_E_MISUSE;
    }
    if (!rc && !strcmp(password, u->name)) rc = control_misuse(call, "the name is no password");
    if (!rc) rc = people_hash(password, false, u->hash);
    take_out(call, "password");
    return rc;
}

static int hash_random(control_call *call, people_user *u) {
    buf password = {0};
    int rc = people_random_password(&password);
    buf_put_byte(&password, 0);
    if (!rc) rc = password.rc;
    if (!rc) rc = people_hash((const char *)password.p, false, u->hash);
    if (!rc) control_put_text(call->reply, "password", (const char *)password.p);
    if (password.p) explicit_bzero(password.p, password.n);
    buf_fini(&password);
    return rc;
}

static int hash_password(control_call *call, people_user *u) {
    return json_is_true(json_object_get(call->request, "random")) ? hash_random(call, u) : hash_given(call, u);
}

/* The user of the request, in state.result: only the name is filled in. */
static people_user *begin_user(control_call *call) {
    const char *name = control_text(call, "name");
    if (!control_is_name(name)) {
        control_misuse(call, "a user's name has 1 to 128 bytes of printable UTF-8");
        return NULL;
    }
    people_user *u = calloc(1, sizeof *u);
    if (u) snprintf(u->name, sizeof u->name, "%s", name);
    call->state.result = u;
    return u;
}

static int failed_to_begin(const control_call *call) {
    return call->error.n ? SATCHEL_E_MISUSE : SATCHEL_E_NOMEM;
}

static int work_password(control_call *call, const progress *watch) {
    (void)watch;
    people_user *u = begin_user(call);
    return u ? hash_password(call, u) : failed_to_begin(call);
}

typedef struct own {
    people_user *user; /* with its name */
    bool found;
} own;

static int visit_own(void *ctx, const people_user *u) {
    own *o = ctx;
    o->found = !strcmp(u->name, o->user->name);
    if (o->found) *o->user = *u;
    return o->found;
}

/* The user as the store has it, through a connection of its own. */
static int read_own(const control_call *call, people_user *u) {
    char path[DATADIR_PATH_BYTES];
    sqlite3 *db = NULL;
    db_cache cache;
    own o = {.user = u};
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, call->job.service->data);
    int rc = db_rc(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));
    db_cache_init(&cache, db);
    if (!rc) rc = db_rc(sqlite3_busy_timeout(db, 10000));
    if (!rc) rc = people_users(&cache, visit_own, &o);
    db_cache_fini(&cache);
    sqlite3_close(db);
    return rc ? rc : o.found ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

/* Whoever is signed in, for himself: he has to know the old one. */
static int work_own_password(control_call *call, const progress *watch) {
    const char *old = control_text(call, "old"), *actor = call->by.who.actor;
    people_user *u = calloc(1, sizeof *u);
    (void)watch;
    call->state.result = u;
    if (!u) return SATCHEL_E_NOMEM;
    if (strncmp(actor, "user:", 5) != 0)
        return control_misuse(call, "nobody is signed in; satchelctl user passwd does this here");
    snprintf(u->name, sizeof u->name, "%s", actor + 5);
    int rc = old ? read_own(call, u) : control_misuse(call, "\"old\" is the password that is to end");
    if (!rc && (rc = people_verify(u->hash, old)) == SATCHEL_E_AUTH) buf_printf(&call->error, "the old password is another");
    take_out(call, "old");
    return rc ? rc : hash_given(call, u);
}

static int work_user_add(control_call *call, const progress *watch) {
    const char *role = control_text(call, "role");
    if (role && !people_role_of(role)) return control_misuse(call, "a role is viewer, manager or admin");
    return work_password(call, watch);
}

static int tell(control_call *call, int rc, store *s, const char *what) {
    if (rc == SATCHEL_E_NOT_FOUND && !call->error.n) buf_printf(&call->error, "there is no user %s", control_text(call, "name"));
    return control_failed(call, rc, s, what);
}

static int finish_user_add(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    people_user *u = call->state.result, made;
    const char *role = control_text(call, "role");
    (void)g;
    int rc = people_add(s, u->name, role ? people_role_of(role) : PEOPLE_VIEWER, u->hash, now_ms, &made);
    if (rc == SATCHEL_E_KEY_TAKEN) buf_printf(&call->error, "a user has the name %s", u->name);
    if (!rc) *u = made;
    if (!rc) control_put_text(call->reply, "name", u->name);
    if (!rc) control_put_text(call->reply, "role", people_role_word(u->role));
    return tell(call, rc, s, "cannot make the user");
}

/* Whoever has a new password tries anew. */
static int finish_password(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    people_user *u = call->state.result, now;
    (void)g, (void)now_ms;
    int rc = people_find(s, u->name, &now);
    if (!rc) {
        memcpy(now.hash, u->hash, sizeof now.hash);
        now.tries = (people_tries){0};
        rc = people_change(s, &now, &call->error);
        *u = now;
    }
    control_put_text(call->reply, "name", u->name);
    return tell(call, rc, s, "cannot change the password");
}

/* ---- the rest ---- */

/* Finds the user of the request, changes what `change` does, and writes it. */
static int change_user(control_call *call, store *s, int (*change)(control_call *call, people_user *u)) {
    people_user *u = begin_user(call);
    if (!u) return failed_to_begin(call);
    int rc = people_find(s, control_text(call, "name"), u);
    if (!rc) rc = change(call, u);
    if (!rc) rc = u->removed ? people_remove(s, u, &call->error) : people_change(s, u, &call->error);
    if (!rc) control_put_text(call->reply, "name", u->name);
    return tell(call, rc, s, "cannot change the user");
}

static int set_role(control_call *call, people_user *u) {
    u->role = people_role_of(control_text(call, "role"));
    return u->role ? SATCHEL_OK : control_misuse(call, "a role is viewer, manager or admin");
}

static int set_lock(control_call *call, people_user *u) {
    (void)call;
    u->locked = true;
    return SATCHEL_OK;
}

static int set_unlock(control_call *call, people_user *u) {
    (void)call;
    u->locked = false;
    u->tries = (people_tries){0};
    return SATCHEL_OK;
}

static int set_removed(control_call *call, people_user *u) {
    (void)call;
    u->removed = true;
    return SATCHEL_OK;
}

static int run_user_role(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return change_user(call, s, set_role);
}

static int run_user_lock(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return change_user(call, s, set_lock);
}

static int run_user_unlock(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return change_user(call, s, set_unlock);
}

static int run_user_remove(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return change_user(call, s, set_removed);
}

/* Those that serve requests know the users by heart. */
static void after_change(control_call *call) {
    const people_user *u = call->state.result;
    struct api *served = call->job.service->api;
    if (served) api_user_changed(served, u);
}

/* The first admin's password is in the file no longer. */
static void after_password(control_call *call) {
    const people_user *u = call->state.result;
    const datadir *files = call->job.service->files;
    after_change(call);
    if (files && !strcmp(u->name, PEOPLE_FIRST_NAME)) unlinkat(files->fd, PEOPLE_FIRST_FILE, 0);
}

typedef struct listing {
    control_listing list;
    uint64_t now_ms;
} listing;

static int visit_user(void *ctx, const people_user *u) {
    listing *l = ctx;
    return !control_list_add(&l->list, user_json(u, l->now_ms));
}

static int run_user_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    listing l = {.list = {.array = json_array(), .left = LIST_MAX}, .now_ms = now_ms};
    int rc = people_users(&s->cache, visit_user, &l);
    control_list_put(call, "users", &l.list);
    return control_failed(call, rc, s, "cannot list the users");
}

/* ---- the audit log ---- */

static int visit_entry(void *ctx, const audit_entry *e) {
    json_t *o = json_object(), *subject = json_loads(e->subject, 0, NULL);
    control_put_number(o, "id", e->id);
    control_put_number(o, "at_ms", e->at_ms);
    control_put_text(o, "actor", e->actor);
    control_put_text(o, "peer", e->peer);
    control_put_text(o, "action", e->action);
    json_object_set_new(o, "subject", subject ? subject : json_null());
    control_put_text(o, "code", satchel_rc_name(e->rc));
    control_put_hex(o, "hash", e->hash, sizeof e->hash);
    return !control_list_add(ctx, o);
}

static int run_audit_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    json_t *limit = json_object_get(call->request, "limit"), *before = json_object_get(call->request, "before");
    json_int_t most = limit ? json_integer_value(limit) : LIST_DEFAULT, from = json_integer_value(before);
    if (most < 1 || most > LIST_MAX || from < 0) return control_misuse(call, "\"limit\" is a number from 1 to 10000");
    control_listing l = {.array = json_array(), .left = (uint64_t)most};
    int rc = audit_list(&s->cache, (uint64_t)from, (uint64_t)most + 1, visit_entry, &l);
    control_list_put(call, "audit", &l);
    return control_failed(call, rc, s, "cannot list the audit log");
}

/* "ID:HASH", as a check has told it before. */
static bool take_head(const char *text, audit_found *out) {
    char *end;
    out->head = strtoull(text, &end, 10);
    if (end == text || *end != ':' || strlen(end + 1) != 2 * sizeof out->hash || !out->head) return false;
    for (size_t i = 0; i < sizeof out->hash; i++) {
        char pair[3] = {end[1 + 2 * i], end[2 + 2 * i], 0}, *rest;
        out->hash[i] = (uint8_t)strtoul(pair, &rest, 16);
        if (rest != pair + 2) return false;
    }
    return out->expected = true;
}

static int work_audit_verify(control_call *call, const progress *watch) {
    char path[DATADIR_PATH_BYTES];
    const char *head = control_text(call, "head");
    audit_found found = {0};
    if (head && !take_head(head, &found)) return control_misuse(call, "\"head\" is ID:HASH, as audit verify tells it");
    snprintf(path, sizeof path, "%s/" BUNDLE_STORE, call->job.service->data);
    int rc = audit_verify(path, watch, &found, &call->error);
    control_put_number(call->reply, "rows", found.rows);
    control_put_known(call->reply, "wrong", found.wrong);
    if (found.wrong) control_put_report(call->reply, "words", &found.words);
    control_put_number(call->reply, "head", found.head);
    control_put_hex(call->reply, "hash", found.hash, sizeof found.hash);
    if (found.wrong && !rc)
        log_event(&(log_fields){.level = 'e', .event = "admin"}, "the audit log is not whole: %s", (const char *)found.words.p);
    buf_fini(&found.words);
    return rc;
}

const control_command control_people_commands[] = {
    {"user.list", false, run_user_list, NULL, PEOPLE_ADMIN, true},
    {"user.role", false, run_user_role, after_change, PEOPLE_ADMIN, false},
    {"user.lock", false, run_user_lock, after_change, PEOPLE_ADMIN, false},
    {"user.unlock", false, run_user_unlock, after_change, PEOPLE_ADMIN, false},
    {"user.remove", false, run_user_remove, after_password, PEOPLE_ADMIN, false},
    {"audit.list", false, run_audit_list, NULL, PEOPLE_ADMIN, true},
    {0},
};

const control_work control_people_works[] = {
    {"user.add", work_user_add, finish_user_add, after_change, NULL, PEOPLE_ADMIN, false},
    {"user.own_password", work_own_password, finish_password, after_password, NULL, PEOPLE_VIEWER, false},
    {"user.passwd", work_password, finish_password, after_password, NULL, PEOPLE_ADMIN, false},
    {"audit.verify", work_audit_verify, NULL, NULL, NULL, PEOPLE_ADMIN, true},
    {0},
};
