/* People: who they are and what they are signed in by, in memory; signing in and out. */
#include <jansson.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/log.h"

#define COOKIE "__Host-satchel"
#define SECRET_BYTES 32
/* How old the store's note of a session's last use may be. */
#define NOTE_EVERY_MS 60000
/* Passwords that wait to be compared, one after the other: each takes 256 MiB. */
#define WAITING_MOST 16
/* Of them from one address. */
#define WAITING_OF_ONE 4
/* Names that nobody has, of which tries are counted as of those that are: the one that was quiet for longest makes room. */
#define STRANGERS 256

typedef struct stranger {
    char name[LIMIT_NAME_BYTES + 1];
    people_tries tries;
} stranger;

/* Somebody signs in. */
typedef struct signing {
    service_job job;
    uv_work_t work;
    api_call *call;
    char name[LIMIT_NAME_BYTES + 1], password[PEOPLE_PASSWORD_MOST + 1];
    char hash[PEOPLE_HASH_BYTES]; /* that it is compared with; "": nobody has the name */
    bool known;
    int rc;
    people_tries before, tries; /* of the name, without this try and with it */
    people_user user;
    people_login login;
    char secret[PEOPLE_CSRF_BYTES + 1];
    int64_t ended; /* a session that made room */
    struct signing *next;
} signing;

struct api_people {
    people_user *user;
    size_t nuser;
    people_login *login;
    size_t nlogin;
    stranger stranger[STRANGERS];
    signing *first, **last; /* the first one is being compared, or written */
    unsigned waiting;
};

/* ---- who there is ---- */

static people_user *find_user(api_people *p, const char *name) {
    for (size_t i = 0; i < p->nuser; i++)
        if (!strcmp(p->user[i].name, name)) return &p->user[i];
    return NULL;
}

static people_user *find_by_id(api_people *p, int64_t id) {
    for (size_t i = 0; i < p->nuser; i++)
        if (p->user[i].id == id) return &p->user[i];
    return NULL;
}

static bool add_user(api_people *p, const people_user *u) {
    people_user *more = realloc(p->user, (p->nuser + 1) * sizeof *more);
    if (!more) return false;
    p->user = more;
    p->user[p->nuser++] = *u;
    return true;
}

static bool add_login(api_people *p, const people_login *l) {
    people_login *more = realloc(p->login, (p->nlogin + 1) * sizeof *more);
    if (!more) return false;
    p->login = more;
    p->login[p->nlogin++] = *l;
    return true;
}

static void drop_login(api_people *p, size_t at) {
    p->login[at] = p->login[--p->nlogin];
}

static void drop_logins_of(api_people *p, int64_t user) {
    for (size_t i = p->nlogin; i-- > 0;)
        if (p->login[i].user == user) drop_login(p, i);
}

static void drop_ended(api_people *p, uint64_t now_ms) {
    for (size_t i = p->nlogin; i-- > 0;)
        if (people_login_ended(&p->login[i], now_ms)) drop_login(p, i);
}

static void drop_by_id(api_people *p, int64_t id) {
    for (size_t i = p->nlogin; i-- > 0;)
        if (p->login[i].id == id) drop_login(p, i);
}

void api_user_changed(api *a, const people_user *user) {
    api_people *p = a->people;
    people_user *at = find_by_id(p, user->id);
    if (!at || user->removed || user->locked || strcmp(at->hash, user->hash) != 0) drop_logins_of(p, user->id);
    if (at && user->removed)
        *at = p->user[--p->nuser];
    else if (at)
        *at = *user;
    else if (!user->removed && !add_user(p, user))
        log_line('e', NULL, "out of memory: the user %s can sign in after a restart", user->name);
}

static int visit_user(void *ctx, const people_user *u) {
    return !add_user(ctx, u);
}

static int visit_login(void *ctx, const people_login *l) {
    return !add_login(ctx, l);
}

int api_load_people(api *a) {
    api_people *p = a->people = calloc(1, sizeof *p);
    if (!p) return SATCHEL_E_NOMEM;
    p->last = &p->first;
    db_cache *db = &a->reader[0].file.cache;
    int rc = people_users(db, visit_user, p);
    if (!rc) rc = people_logins(db, visit_login, p);
    if (!rc) drop_ended(p, a->service->now_ms(NULL));
    return rc;
}

void api_free_people(api *a) {
    if (!a->people) return;
    free(a->people->user);
    free(a->people->login);
    free(a->people);
}

/* ---- the cookie ---- */

/* The first of that name: a browser has one, since no other site and no subdomain can set it. */
static bool take_secret(const char *cookie, char out[PEOPLE_CSRF_BYTES + 1]) {
    size_t n = strlen(COOKIE);
    for (const char *p = cookie; *p;) {
        while (*p == ' ' || *p == ';') p++;
        size_t length = strcspn(p, ";");
        if (length == n + 1 + PEOPLE_CSRF_BYTES && !strncmp(p, COOKIE "=", n + 1)) {
            memcpy(out, p + n + 1, PEOPLE_CSRF_BYTES);
            out[PEOPLE_CSRF_BYTES] = 0;
            return true;
        }
        p += length;
    }
    return false;
}

bool api_find_login(api *a, const char *cookie, api_principal *out) {
    api_people *p = a->people;
    char secret[PEOPLE_CSRF_BYTES + 1];
    uint8_t hash[32];
    uint64_t now_ms = a->service->now_ms(NULL);
    if (!take_secret(cookie, secret)) return false;
    drop_ended(p, now_ms);
    crypto_sha256(secret, PEOPLE_CSRF_BYTES, hash);
    for (size_t i = 0; i < p->nlogin; i++) {
        people_login *l = &p->login[i];
        const people_user *u = memcmp(l->hash, hash, sizeof hash) ? NULL : find_by_id(p, l->user);
        if (!u) continue;
        out->login = *l;
        out->role = u->role;
        snprintf(out->name, sizeof out->name, "%s", u->name);
        return true;
    }
    return false;
}

bool api_login_is_noted(api *a, int64_t login) {
    api_people *p = a->people;
    uint64_t now_ms = a->service->now_ms(NULL);
    for (size_t i = 0; i < p->nlogin; i++) {
        people_login *l = &p->login[i];
        if (l->id != login) continue;
        l->seen_ms = now_ms;
        if (now_ms < l->noted_ms + NOTE_EVERY_MS) return false;
        l->noted_ms = now_ms;
        return true;
    }
    return false;
}

/* ---- GET /v1/session ---- */

static void answer_session(api_call *c, const people_login *l, const char *name, people_role role) {
    api_answer(c, 200);
    buf_printf(&c->out.body, "{\"name\":");
    record_put_text(&c->out.body, name, strlen(name));
    buf_printf(&c->out.body, ",\"role\":\"%s\",\"csrf\":\"%s\",\"expires_ms\":%llu}", people_role_word(role), l->csrf,
               (unsigned long long)l->expires_ms);
}

static bool has_session(api_call *c) {
    if (c->who.login.id) return true;
    api_refuse(c, 403, SATCHEL_E_ROLE, "a token has no session");
    return false;
}

void api_session(api_call *c) {
    if (has_session(c)) answer_session(c, &c->who.login, c->who.name, c->who.role);
    api_complete(c);
}

/* ---- tries ---- */

static people_tries *stranger_tries(api_people *p, const char *name) {
    stranger *oldest = &p->stranger[0];
    for (size_t i = 0; i < STRANGERS; i++) {
        stranger *s = &p->stranger[i];
        if (!strcmp(s->name, name)) return &s->tries;
        if (s->tries.failed_ms < oldest->tries.failed_ms) oldest = s;
    }
    *oldest = (stranger){0};
    snprintf(oldest->name, sizeof oldest->name, "%s", name);
    return &oldest->tries;
}

static people_tries *tries_of(api_people *p, const char *name) {
    people_user *u = find_user(p, name);
    return u ? &u->tries : stranger_tries(p, name);
}

/* ---- POST /v1/login ---- */

static void start_comparing(api *a);

static void free_signing(signing *s) {
    explicit_bzero(s->password, sizeof s->password);
    explicit_bzero(s->secret, sizeof s->secret);
    free(s);
}

static void answer_signed(signing *s, const people_user *u) {
    api_call *c = s->call;
    answer_session(c, &s->login, u->name, u->role);
    snprintf(c->out.set_cookie, sizeof c->out.set_cookie, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Strict", s->secret);
}

static void answer_wrong(signing *s) {
    api_call *c = s->call;
    enrol_limiter_wrong(c->api->limiter, c->peer, c->api->service->now_ms(NULL));
    hub_note_refused_login(c->api->service->hub);
    log_event(&(log_fields){.level = 'w', .event = "login-refused", .peer = c->peer, .rc = SATCHEL_E_AUTH},
              "%s%s could not sign in", s->known ? "the user " : "somebody of an unknown name", s->known ? s->name : "");
    api_refuse(c, 401, SATCHEL_E_AUTH, "the name or the password is wrong, or an admin has locked this user");
}

/* It is written, or has failed. */
static void signing_done(service_job *job) {
    signing *s = (signing *)job;
    api_call *c = s->call;
    api *a = c->api;
    api_people *p = a->people;
    people_user *u = find_user(p, s->name);
    p->first = s->next;
    if (!p->first) p->last = &p->first;
    p->waiting--;
    if (u && !job->rc && !s->rc) {
        u->tries = (people_tries){0};
        u->last_login_ms = s->login.created_ms;
        drop_by_id(p, s->ended);
    }
    if (job->rc) {
        *tries_of(p, s->name) = s->before;
        api_refuse(c, 503, job->rc, "the server cannot take this now");
    } else if (s->rc) {
        answer_wrong(s);
    } else if (!u || u->locked || !add_login(p, &s->login)) {
        api_refuse(c, 503, SATCHEL_E_BUSY, "this user was changed just now; sign in again");
    } else {
        answer_signed(s, u);
        log_event(&(log_fields){.level = 'i', .event = "login", .peer = c->peer}, "%s has signed in", u->name);
    }
    free_signing(s);
    if (!api_release(c)) api_complete(c);
    start_comparing(a);
}

static int note_signing(const signing *s, store *st, uint64_t now_ms) {
    audit_who who;
    buf subject = {0};
    json_t *o = json_pack("{ss}", "agent", s->login.agent);
    snprintf(who.actor, sizeof who.actor, "user:%s", s->known ? s->name : "?");
    int rc = o ? audit_subject(o, &subject) : SATCHEL_E_NOMEM;
    json_decref(o);
    audit_entry e = {.at_ms = now_ms,
                     .actor = who.actor,
                     .peer = s->login.peer,
                     .action = "login",
                     .subject = (const char *)subject.p,
                     .rc = s->rc};
    if (!rc) rc = audit_append(st, &e);
    buf_fini(&subject);
    return rc;
}

static int run_signing(service_job *job, store *st, ingest *g, uint64_t now_ms) {
    signing *s = (signing *)job;
    people_user now;
    (void)g;
    int rc = s->known ? people_find(st, s->name, &now) : SATCHEL_OK;
    /* Removed, locked or given another password in between. */
    if (rc == SATCHEL_E_NOT_FOUND || (s->known && !rc && (now.locked || strcmp(now.hash, s->hash) != 0))) s->rc = SATCHEL_E_AUTH;
    if (rc && rc != SATCHEL_E_NOT_FOUND) return rc;
    if (s->known && !rc) {
        now.tries = s->rc ? s->tries : (people_tries){0};
        if (!s->rc) now.last_login_ms = s->login.created_ms;
        rc = people_tried(st, &now);
        s->login.user = now.id;
    }
    if (rc == SATCHEL_E_NOT_FOUND) rc = SATCHEL_OK;
    if (!rc && !s->rc) rc = people_login_add(st, &s->login, &s->ended);
    return rc ? rc : note_signing(s, st, now_ms);
}

static int make_login(signing *s) {
    uint8_t secret[SECRET_BYTES], csrf[SECRET_BYTES];
    people_login *l = &s->login;
    int rc = crypto_random(secret, sizeof secret);
    if (!rc) rc = crypto_random(csrf, sizeof csrf);
    if (rc) return rc;
    const int as = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
    sodium_bin2base64(s->secret, sizeof s->secret, secret, sizeof secret, as);
    sodium_bin2base64(l->csrf, sizeof l->csrf, csrf, sizeof csrf, as);
    explicit_bzero(secret, sizeof secret);
    crypto_sha256(s->secret, PEOPLE_CSRF_BYTES, l->hash);
    return SATCHEL_OK;
}

static void compare(uv_work_t *work) {
    signing *s = work->data;
    s->rc = people_verify(s->known ? s->hash : NULL, s->password);
    explicit_bzero(s->password, sizeof s->password);
}

static void compared(uv_work_t *work, int status) {
    signing *s = work->data;
    api_call *c = s->call;
    uint64_t now_ms = c->api->service->now_ms(NULL);
    (void)status;
    s->login.created_ms = s->login.seen_ms = s->login.noted_ms = now_ms;
    s->login.expires_ms = now_ms + PEOPLE_SESSION_MS;
    s->job.run = run_signing;
    s->job.done = signing_done;
    int rc = s->rc && s->rc != SATCHEL_E_AUTH ? s->rc : make_login(s);
    if (!rc && service_submit(c->api->service, &s->job, false)) return;
    s->job.rc = rc ? rc : SATCHEL_E_CLOSED;
    signing_done(&s->job);
}

/* The next of those that wait. */
static void start_comparing(api *a) {
    signing *s = a->people->first;
    if (!s) return;
    s->work.data = s;
    uv_queue_work(&a->service->loop->uv, &s->work, compare, compared);
}

/* Printable: it is shown to people. */
static void copy_agent(char out[PEOPLE_AGENT_BYTES + 1], const char *agent) {
    size_t n = 0;
    for (; agent[n] && n < PEOPLE_AGENT_BYTES; n++) out[n] = agent[n] < 0x20 || agent[n] > 0x7e ? '?' : agent[n];
    out[n] = 0;
}

/* A try counts from its beginning, so that many at once are no way round. */
static void begin_signing(signing *s, api_call *c) {
    api_people *p = c->api->people;
    const people_user *u = find_user(p, s->name);
    people_tries *tries = tries_of(p, s->name);
    s->call = c;
    s->known = u != NULL;
    if (u) snprintf(s->hash, sizeof s->hash, "%s", u->hash);
    s->before = *tries;
    people_tries_wrong(tries, c->api->service->now_ms(NULL));
    s->tries = *tries;
    copy_agent(s->login.agent, c->agent);
    snprintf(s->login.peer, sizeof s->login.peer, "%s", c->peer);
    c->held = true;
    *p->last = s;
    p->last = &s->next;
    if (!p->waiting++) start_comparing(c->api);
}

static bool has_room(const api_people *p, const char *peer) {
    unsigned same = 0;
    for (const signing *s = p->first; s; s = s->next) same += !strcmp(s->login.peer, peer);
    return p->waiting < WAITING_MOST && same < WAITING_OF_ONE;
}

/* False after answering: there is nobody to be compared with. */
static bool may_try(api_call *c, const char *name) {
    api *a = c->api;
    uint64_t now_ms = a->service->now_ms(NULL), wait_ms = enrol_limiter_wait(a->limiter, c->peer, now_ms);
    uint64_t locked_ms = people_tries_wait(tries_of(a->people, name), now_ms);
    if (!wait_ms && !locked_ms && has_room(a->people, c->peer)) return true;
    if (wait_ms)
        api_refuse(c, 429, SATCHEL_E_OVERLOAD, "too many wrong passwords, tokens or codes came from this address; wait a minute");
    else if (locked_ms)
        api_refuse(c, 429, SATCHEL_E_OVERLOAD,
                   "too many wrong passwords were given under this name; wait, or ask an admin to unlock it");
    else
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "too many want to sign in at this moment; come back in a few seconds");
    if (wait_ms < locked_ms) wait_ms = locked_ms;
    c->out.retry_after_s = (unsigned)(wait_ms / 1000) + 1;
    return false;
}

bool api_begin_try(api_call *c, people_tries *before) {
    if (!may_try(c, c->who.name)) return false;
    people_tries *tries = tries_of(c->api->people, c->who.name);
    *before = *tries;
    people_tries_wrong(tries, c->api->service->now_ms(NULL));
    return true;
}

void api_end_try(api_call *c, int rc, const people_tries *before) {
    if (rc != SATCHEL_E_AUTH) {
        *tries_of(c->api->people, c->who.name) = *before;
        return;
    }
    enrol_limiter_wrong(c->api->limiter, c->peer, c->api->service->now_ms(NULL));
    hub_note_refused_login(c->api->service->hub);
}

/* Overwrites what jansson has of it. */
static void wipe(json_t *text) {
    if (json_is_string(text)) explicit_bzero((char *)(uintptr_t)json_string_value(text), json_string_length(text));
}

static signing *take_body(api_call *c) {
    json_error_t where;
    json_t *o = json_loadb(c->body.n ? (const char *)c->body.p : "", c->body.n, JSON_REJECT_DUPLICATES, &where);
    json_t *password = json_object_get(o, "password");
    const char *name = json_string_value(json_object_get(o, "name")), *text = json_string_value(password);
    bool right = name && text && strlen(name) <= LIMIT_NAME_BYTES && strlen(text) <= PEOPLE_PASSWORD_MOST;
    signing *s = right ? calloc(1, sizeof *s) : NULL;
    if (s) {
        snprintf(s->name, sizeof s->name, "%s", name);
        snprintf(s->password, sizeof s->password, "%s", text);
    } else {
        api_refuse(c, 400, SATCHEL_E_MALFORMED, "send a JSON object with the texts \"name\" and \"password\"");
    }
    wipe(password);
    json_decref(o);
    if (c->body.p) explicit_bzero(c->body.p, c->body.n);
    return s;
}

void api_login(api_call *c) {
    signing *s = take_body(c);
    if (s && may_try(c, s->name)) {
        begin_signing(s, c);
        return;
    }
    if (s) free_signing(s);
    api_complete(c);
}

/* ---- POST /v1/logout ---- */

typedef struct leaving {
    service_job job;
    api_call *call;
    int64_t login;
    audit_who who;
} leaving;

static int run_leaving(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    leaving *l = (leaving *)job;
    audit_entry e = {.at_ms = now_ms, .actor = l->who.actor, .peer = l->who.peer, .action = "logout", .subject = "{}"};
    (void)g;
    int rc = people_login_end(s, l->login);
    return rc ? rc : audit_append(s, &e);
}

static void leaving_done(service_job *job) {
    leaving *l = (leaving *)job;
    api_call *c = l->call;
    if (job->rc) {
        api_refuse(c, 503, job->rc, "the server cannot take this now");
    } else {
        drop_by_id(c->api->people, l->login);
        api_answer(c, 200);
        buf_printf(&c->out.body, "{}");
        snprintf(c->out.set_cookie, sizeof c->out.set_cookie, COOKIE "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    }
    free(l);
    if (!api_release(c)) api_complete(c);
}

void api_logout(api_call *c) {
    leaving *l = has_session(c) ? calloc(1, sizeof *l) : NULL;
    if (l) {
        *l = (leaving){.job = {.run = run_leaving, .done = leaving_done}, .call = c, .login = c->who.login.id};
        api_actor(&c->who, c->peer, &l->who);
        c->held = true;
        if (service_submit(c->api->service, &l->job, false)) return;
        c->held = false;
        free(l);
        api_refuse(c, 503, SATCHEL_E_CLOSED, "the server is shutting down");
    } else if (c->who.login.id) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
    }
    api_complete(c);
}
