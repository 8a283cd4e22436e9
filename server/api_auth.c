/* Who may: tokens, kept in memory by their hash. */
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

static bool refuse_unknown(api *a, const http_request *request, http_answer *answer) {
    uint64_t now_ms = a->service->now_ms(NULL), wait_ms = enrol_limiter_wait(a->limiter, request->peer, now_ms);
    if (wait_ms) {
        answer->retry_after_s = (unsigned)(wait_ms / 1000) + 1;
        return refuse(answer, 429, SATCHEL_E_OVERLOAD, "too many wrong tokens",
                      "too many wrong tokens or codes came from this address; wait a minute");
    }
    answer->authenticate = *request->authorization ? REALM ", error=\"invalid_token\"" : REALM;
    if (!*request->authorization)
        return refuse(answer, 401, SATCHEL_E_NOT_ENROLLED, "a token is needed",
                      "send Authorization: Bearer and a token; satchelctl token add makes one");
    enrol_limiter_wrong(a->limiter, request->peer, now_ms);
    log_event(&(log_fields){.level = 'w', .event = "token-refused", .peer = request->peer},
              "a request with a token that is unknown or revoked");
    return refuse(answer, 401, SATCHEL_E_REVOKED, "the token is not valid",
                  "this token is unknown or was revoked; satchelctl token list shows those that are good");
}

bool api_admit(api *a, const http_request *request, const api_route *route, api_token *out, http_answer *answer) {
    const api_token *t = find_token(a, request->authorization);
    if (!t) return refuse_unknown(a, request, answer);
    if (route->rights & ~t->rights)
        return refuse(answer, 403, SATCHEL_E_MISUSE, "the token has not the right for this",
                      route->rights & API_WRITE ? "this token may not write; it was made without --rights write"
                                                : "this token may not read; it was made without --rights read");
    *out = *t;
    return true;
}

/* ---- last use ---- */

typedef struct use_job {
    service_job job;
    int64_t token;
} use_job;

static int use_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return api_token_used(s, ((use_job *)job)->token, now_ms);
}

static void use_done(service_job *job) {
    free(job);
}

void api_note_use(api *a, const api_token *t) {
    api_token *kept = find_by_hash(a, t->hash);
    uint64_t now_ms = a->service->now_ms(NULL);
    if (!kept || now_ms < kept->used_ms + NOTE_EVERY_MS) return;
    use_job *j = calloc(1, sizeof *j);
    if (!j) return;
    kept->used_ms = now_ms;
    j->token = t->id;
    j->job.run = use_run;
    j->job.done = use_done;
    if (!service_submit(a->service, &j->job, false)) free(j);
}
