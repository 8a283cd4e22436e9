/* Who may: programs by tokens, kept in memory by their hash, and people by sessions (api_people.c). */
#include <sodium/utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/log.h"

#define TOKEN_BYTES_MAX 256
/* How old the note of a token's last use may be. */
#define NOTE_EVERY_MS 60000
#define REALM "Bearer realm=\"satchel\""

static api_token *find_by_hash(api *a, const uint8_t hash[API_HASH_BYTES]) {
    for (size_t i = 0; i < a->ntoken; i++)
        if (!memcmp(a->token[i].hash, hash, API_HASH_BYTES)) return &a->token[i];
    return NULL;
}

static bool add_token(api *a, const api_token *t) {
    api_token *more = realloc(a->token, (a->ntoken + 1) * sizeof *more);
    if (!more) return false;
    a->token = more;
    a->token[a->ntoken++] = *t;
    return true;
}

static int visit_token(void *ctx, const api_token *t) {
    return !t->revoked_ms && !add_token(ctx, t);
}

int api_load_tokens(api *a) {
    return api_tokens(&a->reader[0].file.cache, visit_token, a);
}

void api_token_changed(api *a, const api_token *token) {
    api_token *at = find_by_hash(a, token->hash);
    if (at) *at = a->token[--a->ntoken];
    if (!token->revoked_ms && !add_token(a, token))
        log_line('e', NULL, "out of memory: the token %s works after a restart", token->name);
}

/* The text after "Bearer ", or NULL. Comparing hashes tells nothing of how much of a token was right. */
static api_token *find_token(api *a, const char *authorization) {
    uint8_t hash[API_HASH_BYTES];
    if (strncasecmp(authorization, "Bearer ", 7)) return NULL;
    const char *text = authorization + 7;
    while (*text == ' ') text++;
    if (strncmp(text, API_TOKEN_PREFIX, strlen(API_TOKEN_PREFIX)) || strlen(text) > TOKEN_BYTES_MAX) return NULL;
    api_token_hash(text, hash);
    return find_by_hash(a, hash);
}

static bool refuse(http_answer *answer, unsigned status, int rc, const char *title, const char *words) {
    answer->status = status;
    answer->type = API_PROBLEM;
    api_problem(&answer->body, status, satchel_rc_name(rc), title, words, NULL);
    return false;
}

static bool refuse_unknown(api *a, const http_request *request, const api_route *route, http_answer *answer) {
    uint64_t now_ms = a->service->now_ms(NULL), wait_ms = enrol_limiter_wait(a->limiter, request->peer, now_ms);
    if (wait_ms) {
        answer->retry_after_s = (unsigned)(wait_ms / 1000) + 1;
        return refuse(answer, 429, SATCHEL_E_OVERLOAD, "too many wrong tokens",
                      "too many wrong tokens or codes came from this address; wait a minute");
    }
    answer->authenticate = *request->authorization ? REALM ", error=\"invalid_token\"" : REALM;
    if (!*request->authorization && route->role)
        return refuse(answer, 401, SATCHEL_E_AUTH, "nobody is signed in",
                      "sign in (POST /v1/login), or send Authorization: Bearer and a token with a console scope");
    if (!*request->authorization)
        return refuse(answer, 401, SATCHEL_E_NOT_ENROLLED, "a token is needed",
                      "send Authorization: Bearer and a token; satchelctl token add makes one");
    enrol_limiter_wrong(a->limiter, request->peer, now_ms);
    hub_note_refused_login(a->service->hub);
    log_event(&(log_fields){.level = 'w', .event = "token-refused", .peer = request->peer},
              "a request with a token that is unknown or revoked");
    return refuse(answer, 401, SATCHEL_E_REVOKED, "the token is not valid",
                  "this token is unknown or was revoked; satchelctl token list shows those that are good");
}

/* ---- programs ---- */

static people_role role_of(unsigned rights) {
    return rights & API_ADMIN     ? PEOPLE_ADMIN
           : rights & API_MANAGER ? PEOPLE_MANAGER
           : rights & API_VIEWER  ? PEOPLE_VIEWER
                                  : PEOPLE_NONE;
}

static bool admit_token(const api_token *t, const api_route *route, api_principal *out, http_answer *answer) {
    out->token = *t;
    out->role = role_of(t->rights);
    snprintf(out->name, sizeof out->name, "%s", t->name);
    if (route->rights && !(route->rights & ~t->rights)) return true;
    if (route->role && out->role >= route->role) return true;
    if (route->role)
        return refuse(answer, 403, SATCHEL_E_ROLE, "the token has not the right for this",
                      "this takes a token made with a console scope, such as --rights console:viewer");
    return refuse(answer, 403, SATCHEL_E_MISUSE, "the token has not the right for this",
                  route->rights & API_WRITE ? "this token may not write; it was made without --rights write"
                                            : "this token may not read; it was made without --rights read");
}

/* ---- people ---- */

static bool is_json(const char *type) {
    return !strncasecmp(type, API_JSON, strlen(API_JSON)) && strchr(" ;", type[strlen(API_JSON)]);
}

/* Whether a browser says that the request comes from a page of this server's own; one that says nothing is no browser, or an old one. */
static bool is_own_page(const http_request *request) {
    const char *site = request->fetch_site, *origin = request->origin, *host = request->host ? request->host : "";
    if (site && *site && strcmp(site, "same-origin") != 0) return false;
    if (!origin || !*origin) return true;
    return !strncmp(origin, "https://", 8) && !strcasecmp(origin + 8, host);
}

/* What a page of somebody else's could have a browser send. */
static bool check_page(const http_request *request, http_answer *answer) {
    if (!is_own_page(request))
        return refuse(answer, 403, SATCHEL_E_ROLE, "the request comes from another site",
                      "this is taken from pages of this server alone (Sec-Fetch-Site, Origin)");
    if (!is_json(request->content_type ? request->content_type : ""))
        return refuse(answer, 415, SATCHEL_E_MALFORMED, "the body is not JSON", "send Content-Type: application/json");
    return true;
}

static bool check_csrf(const api_principal *who, const http_request *request, http_answer *answer) {
    const char *given = request->csrf ? request->csrf : "";
    if (strlen(given) == PEOPLE_CSRF_BYTES && !sodium_memcmp(given, who->login.csrf, PEOPLE_CSRF_BYTES)) return true;
    return refuse(answer, 403, SATCHEL_E_ROLE, "the request does not come from the console",
                  "send the session's csrf as X-CSRF-Token; GET /v1/session tells it");
}

static bool admit_person(const http_request *request, const api_route *route, const api_principal *who, http_answer *answer) {
    if (route->role > who->role || !route->role)
        return refuse(answer, 403, SATCHEL_E_ROLE, "this takes another role",
                      route->role ? "ask an admin for a role that may do this" : "programs alone do this, with a token");
    return route->method != HTTP_POST || (check_page(request, answer) && check_csrf(who, request, answer));
}

/* ---- all ---- */

bool api_admit(api *a, const http_request *request, const api_route *route, api_principal *out, http_answer *answer) {
    if (!route->rights && !route->role) return route->method != HTTP_POST || check_page(request, answer);
    bool person = !*request->authorization && api_find_login(a, request->cookie ? request->cookie : "", out);
    const api_token *t = person ? NULL : find_token(a, request->authorization);
    if (!person && !t) return refuse_unknown(a, request, route, answer);
    if (person ? admit_person(request, route, out, answer) : admit_token(t, route, out, answer)) return true;
    api_command_refused(a, out, request, route);
    return false;
}

void api_actor(const api_principal *who, const char *peer, audit_who *out) {
    snprintf(out->actor, sizeof out->actor, "%s:%s", who->login.id ? "user" : "token", who->name);
    snprintf(out->peer, sizeof out->peer, "%s", peer);
}

/* ---- last use ---- */

typedef struct use_job {
    service_job job;
    int64_t token, login; /* one of them */
} use_job;

static int use_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    use_job *j = (use_job *)job;
    (void)g;
    return j->login ? people_login_seen(s, j->login, now_ms) : api_token_used(s, j->token, now_ms);
}

static void use_done(service_job *job) {
    free(job);
}

static bool token_is_noted(api *a, const api_token *t) {
    api_token *kept = find_by_hash(a, t->hash);
    uint64_t now_ms = a->service->now_ms(NULL);
    if (!kept || now_ms < kept->used_ms + NOTE_EVERY_MS) return false;
    kept->used_ms = now_ms;
    return true;
}

void api_note_use(api *a, const api_principal *who) {
    bool due = who->login.id ? api_login_is_noted(a, who->login.id) : who->token.id && token_is_noted(a, &who->token);
    use_job *j = due ? calloc(1, sizeof *j) : NULL;
    if (!j) return;
    j->token = who->token.id;
    j->login = who->login.id;
    j->job.run = use_run;
    j->job.done = use_done;
    if (!service_submit(a->service, &j->job, false)) free(j);
}
