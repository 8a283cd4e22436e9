/* POST /v1/admin/commands/{command}: what the admin's socket does, for who is signed in or has a token with a console scope. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/control.h"

/* What is asked, and what does it. */
typedef struct api_command {
    json_t *request;       /* NULL once it was handed over */
    control_call *running; /* NULL: not yet, or it has answered */
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

static void answered(void *owner, int rc, const char *words, const json_t *reply) {
    api_call *c = owner;
    c->command->running = NULL;
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
    if (route->next != api_run_command || !a->service->control) return;
    api_actor(who, request->peer, &by);
    control_note_refused(a->service->control, request->path + strlen(route->head), &by, SATCHEL_E_ROLE);
}
