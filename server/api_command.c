/* POST /v1/admin/commands/{command}: what the admin's socket does, for who is signed in or has a token with a console scope. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/control.h"

/* What is asked, and what does it. */
typedef struct api_command {
    json_t *request;       /* NULL once it was handed over */
    control_call *running; /* NULL: not yet, or it has answered */
    people_tries before;   /* of whoever tries a password of his own */
} api_command;

void api_command_free(api_command *k) {
    if (!k) return;
    json_decref(k->request);
    free(k);
}

void api_parse_command(api_call *c, api_reader *r) {
    json_error_t where;
    (void)r;
    api_command *k = c->command = calloc(1, sizeof *k);
    if (k)
        k->request = c->body.n ? json_loadb((const char *)c->body.p, c->body.n, JSON_REJECT_DUPLICATES, &where) : json_object();
    if (c->body.p) explicit_bzero(c->body.p, c->body.n);
    if (!k)
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
    else if (!json_is_object(k->request))
        api_refuse(c, 400, SATCHEL_E_MALFORMED, "the body is not a JSON object");
    else
        json_object_del(k->request, "progress");
}

/* As the API's, but for what a command says of its request. */
static unsigned status_of(int rc) {
    switch (rc) {
    case SATCHEL_E_ROLE:
    case SATCHEL_E_AUTH:
        return 403;
    case SATCHEL_E_NOT_FOUND:
        return 404;
    case SATCHEL_E_RESOLVED:
        return 409;
    default:
        return satchel_rc_class(rc) == SATCHEL_CLASS_MISUSE || satchel_rc_class(rc) == SATCHEL_CLASS_PERMANENT ? 422
                                                                                                               : api_status(rc);
    }
}

static void put_reply(api_call *c, const json_t *reply) {
    char *text = json_dumps(reply, JSON_COMPACT);
    if (text) {
        api_answer(c, 200);
        buf_printf(&c->out.body, "%s", text);
    } else {
        api_refuse(c, 500, SATCHEL_E_NOMEM, "it is done, but the answer does not fit into memory");
    }
    free(text);
}

/* ---- how much one may do ---- */

#define PACE_MS 60000

/* Where there are too many, whoever was quiet for longest is forgotten. */
api_pace *api_pace_of(api *a, const api_principal *who) {
    audit_who by;
    uint64_t now_ms = a->service->now_ms(NULL);
    api_pace *p = &a->pace[0];
    api_actor(who, "", &by);
    for (size_t i = 0; i < sizeof a->pace / sizeof *a->pace; i++) {
        if (a->pace[i].since_ms < p->since_ms) p = &a->pace[i];
        if (strcmp(a->pace[i].who.actor, by.actor) != 0) continue;
        p = &a->pace[i];
        break;
    }
    bool same = !strcmp(p->who.actor, by.actor) && now_ms >= p->since_ms && now_ms - p->since_ms < PACE_MS;
    if (!same) *p = (api_pace){.who = by, .since_ms = now_ms};
    return p;
}

/* What only reads is read on the writer here, for programs that know the socket's commands; GET /v1/admin/ has connections of its own. */
static bool is_in_time(api_call *c, bool reads) {
    api_pace *p = api_pace_of(c->api, &c->who);
    bool fast = p->refusals >= API_REFUSALS_OF_ONE || (reads && p->reads >= API_READS_OF_ONE);
    if (reads) p->reads++;
    if (!reads && c->command && control_refuses(c->table, c->who.role)) p->refusals++;
    if (!fast) return true;
    uint64_t now_ms = c->api->service->now_ms(NULL);
    api_refuse(c, 429, SATCHEL_E_OVERLOAD,
               "too many commands of yours were refused, or read what GET /v1/admin/ tells, in this minute");
    c->out.retry_after_s = (unsigned)((p->since_ms + PACE_MS - now_ms) / 1000) + 1;
    return false;
}

bool api_may_use_writer(api_call *c) {
    return is_in_time(c, true);
}

static bool tries_password(const api_call *c) {
    return !strcmp(c->table, "user.own_password") && c->who.login.id;
}

/* Somebody who is signed in elsewhere does not find out the password by trying to change it. */
static bool may_run(api_call *c) {
    return is_in_time(c, control_reads(c->table) && !control_refuses(c->table, c->who.role)) &&
           (!tries_password(c) || api_begin_try(c, &c->command->before));
}

static void answered(void *owner, int rc, const char *words, const json_t *reply) {
    api_call *c = owner;
    c->command->running = NULL;
    if (rc && tries_password(c)) api_end_try(c, rc, &c->command->before);
    if (rc)
        api_refuse(c, status_of(rc), rc, "%s", words ? words : satchel_rc_text(rc));
    else
        put_reply(c, reply);
    if (!api_release(c)) api_complete(c);
}

void api_run_command(api_call *c) {
    control *door = c->api->service->control;
    control_asker by = {.role = c->who.role, .answer = answered, .owner = c};
    api_command *k = c->command;
    if (!door) {
        api_refuse(c, 503, SATCHEL_E_CLOSED, "no commands are taken now");
        api_complete(c);
        return;
    }
    if (!may_run(c)) {
        api_complete(c);
        return;
    }
    json_t *request = k->request;
    k->request = NULL;
    api_actor(&c->who, c->peer, &by.who);
    c->held = true;
    control_call *running = control_ask(door, c->table, request, &by);
    /* Where it has answered the call may be gone. */
    if (running) k->running = running;
}

void api_command_abandon(api_call *c) {
    /* While a worker has the call, the command is the worker's. */
    if (c->reader || !c->command || !c->command->running) return;
    /* It is its own again, and nobody's. */
    control_call *running = c->command->running;
    c->command->running = NULL;
    control_abandon(running);
    c->held = false;
}

void api_command_refused(api *a, const api_principal *who, const http_request *request, const api_route *route) {
    audit_who by;
    if (route->next != api_run_command || !a->service->control || api_pace_of(a, who)->refusals >= API_REFUSALS_OF_ONE) return;
    api_pace_of(a, who)->refusals++;
    api_actor(who, request->peer, &by);
    control_note_refused(a->service->control, request->path + strlen(route->head), &by, SATCHEL_E_ROLE);
}
