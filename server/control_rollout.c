/* Commands about a rollout: new rules of scope for some devices first. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"
#include "server/rollout.h"
#include "server/store_private.h"

/* Of the request; `least` to 100. */
static int take_percent(control_call *call, int least, unsigned *out) {
    const json_t *given = json_object_get(call->request, "percent");
    json_int_t percent = given ? json_integer_value(given) : 0;
    *out = (unsigned)percent;
    if ((given && !json_is_integer(given)) || percent < least || percent > 100)
        return control_misuse(call,
                              least ? "percent is a whole number from 1 to 100" : "percent is a whole number from 0 to 100");
    return SATCHEL_OK;
}

static int list_profile(void *ctx, const rollout_profile *p) {
    json_t *o = json_object();
    control_put_text(o, "name", p->name);
    control_put_text(o, "next", p->next);
    control_put_number(o, "devices", p->devices);
    control_put_number(o, "given", p->given);
    control_put_number(o, "told", p->told);
    return json_array_append_new(ctx, o) ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int put_state(control_call *call, store *s) {
    rollout r;
    json_t *profiles = json_array();
    int rc = rollout_under_way(&s->cache, &r);
    if (rc == 1) {
        control_put_text(call->reply, "name", (const char *)r.name.p);
        control_put_text(call->reply, "before", (const char *)r.before_name.p);
        rollout_fini(&r);
        rc = rollout_each(&s->cache, list_profile, profiles);
    }
    json_object_set_new(call->reply, "profiles", profiles);
    return rc;
}

/* What became of a change: how many devices got another profile, and how things stand now. */
static int answer(control_call *call, store *s, int rc, uint64_t given) {
    control_put_number(call->reply, "devices", given);
    if (!rc) rc = put_state(call, s);
    return control_failed(call, rc, s, "cannot do it");
}

static int run_start(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *name, *text;
    unsigned percent;
    uint64_t given;
    int rc = control_take_rules(call, &name, &text);
    if (!rc) rc = take_percent(call, 0, &percent);
    if (rc) return rc;
    rc = rollout_start(s, name, text, percent, now_ms, &given, &call->error);
    return answer(call, s, rc, given);
}

static int run_advance(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    unsigned percent;
    uint64_t given;
    int rc = take_percent(call, 1, &percent);
    if (rc) return rc;
    rc = rollout_advance(s, percent, now_ms, &given, &call->error);
    return answer(call, s, rc, given);
}

static int run_finish(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    uint64_t given;
    int rc = rollout_finish(s, now_ms, &given, &call->error);
    return answer(call, s, rc, given);
}

static int run_abort(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    uint64_t given;
    int rc = rollout_abort(s, now_ms, &given, &call->error);
    return answer(call, s, rc, given);
}

static int run_show(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return control_failed(call, put_state(call, s), s, "cannot read it");
}

const control_command control_rollout_commands[] = {
    {"rollout.start", false, run_start, control_scope_changed, PEOPLE_ADMIN, false},
    {"rollout.advance", false, run_advance, control_scope_changed, PEOPLE_ADMIN, false},
    {"rollout.finish", false, run_finish, control_scope_changed, PEOPLE_ADMIN, false},
    {"rollout.abort", false, run_abort, control_scope_changed, PEOPLE_ADMIN, false},
    {"rollout.show", false, run_show, NULL, PEOPLE_VIEWER, true},
    {0},
};
