/* Commands about the tokens of programs. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/api.h"
#include "server/control_private.h"
#include "server/log.h"
#include "server/store_private.h"

typedef struct right {
    const char *word;
    unsigned bit;
} right;

static const right RIGHTS[] = {{"read", API_READ},
                               {"write", API_WRITE},
                               {"server", API_SERVER},
                               {"console:viewer", API_VIEWER},
                               {"console:manager", API_MANAGER},
                               {"console:admin", API_ADMIN}};
#define NRIGHTS (sizeof RIGHTS / sizeof *RIGHTS)

/* Words with commas between; 0 if one is unknown. */
static unsigned rights_of(const char *text) {
    unsigned rights = 0;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ","), i = 0;
        while (i < NRIGHTS && (strlen(RIGHTS[i].word) != n || strncmp(RIGHTS[i].word, p, n))) i++;
        if (i == NRIGHTS) return 0;
        rights |= RIGHTS[i].bit;
        p += n + (p[n] == ',');
    }
    return rights;
}

static json_t *token_json(const api_token *t) {
    json_t *o = json_object();
    buf rights;
    buf_init(&rights, 0);
    for (size_t i = 0; i < NRIGHTS; i++) {
        if (!(t->rights & RIGHTS[i].bit)) continue;
        buf_printf(&rights, "%s%s", rights.n ? "," : "", RIGHTS[i].word);
    }
    control_put_number(o, "id", (uint64_t)t->id);
    control_put_text(o, "name", t->name);
    control_put_text(o, "rights", rights.n ? (const char *)rights.p : "");
    buf_fini(&rights);
    control_put_text(o, "state", t->revoked_ms ? "revoked" : "active");
    control_put_number(o, "created_ms", t->created_ms);
    control_put_number(o, "used_ms", t->used_ms);
    control_put_number(o, "revoked_ms", t->revoked_ms);
    return o;
}

static int run_token_add(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *name = control_text(call, "name"), *words = control_text(call, "rights");
    unsigned rights = rights_of(words ? words : "read,write");
    if (!control_is_name(name)) return control_misuse(call, "a token's name has 1 to 128 bytes of printable UTF-8");
    if (!rights)
        return control_misuse(
            call, "rights are read, write, server and console:viewer, console:manager or console:admin, with commas between");
    buf text = {0};
    api_token *t = calloc(1, sizeof *t);
    call->state.result = t;
    int rc = t ? api_token_add(s, name, rights, now_ms, &text, t) : SATCHEL_E_NOMEM;
    if (rc == SATCHEL_E_KEY_TAKEN)
        buf_printf(&call->error, "a token has the name %s; revoke it first or choose another", name);
    else if (!rc)
        control_put_text(call->reply, "token", (const char *)text.p);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_fini(&text);
    return control_failed(call, rc, s, "cannot make a token");
}

static int run_token_revoke(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *name = control_text(call, "name");
    if (!name) return control_misuse(call, "which token?");
    api_token *t = calloc(1, sizeof *t);
    call->state.result = t;
    int rc = t ? api_token_revoke(s, name, now_ms, t) : SATCHEL_E_NOMEM;
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&call->error, "there is no token named %s that is not revoked", name);
    if (!rc) control_put_text(call->reply, "name", name);
    return control_failed(call, rc, s, "cannot revoke the token");
}

/* Those that serve requests know the tokens by heart. */
static void after_change(control_call *call) {
    const api_token *t = call->state.result;
    struct api *served = call->job.service->api;
    if (served) api_token_changed(served, t);
    log_line('w', NULL, "the token %s was %s by the admin", t->name, t->revoked_ms ? "revoked" : "made");
}

static int visit_token(void *ctx, const api_token *t) {
    return !control_list_add(ctx, token_json(t));
}

static int run_token_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    control_listing l = {.array = json_array(), .left = UINT64_MAX};
    int rc = api_tokens(&s->cache, visit_token, &l);
    control_list_put(call, "tokens", &l);
    return control_failed(call, rc, s, "cannot list the tokens");
}

const control_command control_token_commands[] = {
    {"token.add", false, run_token_add, after_change, PEOPLE_ADMIN, false},
    {"token.list", false, run_token_list, NULL, PEOPLE_ADMIN, true},
    {"token.revoke", false, run_token_revoke, after_change, PEOPLE_ADMIN, false},
    {0},
};
