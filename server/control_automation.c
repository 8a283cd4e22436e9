/* Commands about what the server does by itself: the rules, trying one, and what they did. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/control_private.h"

#define RUNS_MAX 10000
#define IDS_MAX 1000

static int run_publish(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *name, *text;
    uint64_t rules = 0;
    (void)g;
    int rc = control_take_rules(call, &name, &text);
    if (rc) return rc;
    rc = automation_publish(s, name, text, now_ms, &rules, &call->error);
    control_put_number(call->reply, "rules", rules);
    return control_failed(call, rc, s, "cannot publish the rules");
}

static int put_rule(void *ctx, const automation_info *r) {
    control_listing *l = ctx;
    json_t *o = json_object();
    control_put_text(o, "name", r->name);
    control_put_text(o, "table", r->table);
    control_put_text(o, "event", r->event);
    control_put_text(o, "columns", r->columns);
    control_put_text(o, "condition", r->condition);
    control_put_text(o, "every", r->every);
    control_put_text(o, "actions", r->actions);
    control_put_text(o, "about", r->about);
    json_object_set_new(o, "overwrites", json_boolean(r->overwrites));
    json_object_set_new(o, "active", json_boolean(r->active));
    control_put_number(o, "last_ms", r->last_ms);
    control_put_number(o, "ran", r->ran);
    control_put_number(o, "failed", r->failed);
    return !control_list_add(l, o);
}

static int run_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    control_listing l = {.array = json_array(), .left = RUNS_MAX};
    (void)g, (void)now_ms;
    int rc = automation_list(s, put_rule, &l, &call->error);
    control_list_put(call, "automations", &l);
    return control_failed(call, rc, s, "cannot list the automations");
}

static int put_run(void *ctx, const automation_run_info *r) {
    control_listing *l = ctx;
    json_t *o = json_object();
    control_put_number(o, "id", r->id);
    control_put_text(o, "name", r->name);
    control_put_number(o, "seq", r->seq);
    control_put_text(o, "table", r->table);
    control_put_text(o, "key", r->key);
    control_put_number(o, "at_ms", r->at_ms);
    control_put_number(o, "ms", r->ms);
    control_put_number(o, "wrote", r->wrote);
    control_put_text(o, "rc", r->rc ? satchel_rc_name(r->rc) : NULL);
    control_put_text(o, "words", r->words);
    control_put_known(o, "replays", r->replays);
    control_put_known(o, "replayed_by", r->replayed_by);
    control_put_known(o, "replayed_ms", r->replayed_ms);
    control_put_known(o, "settled_ms", r->settled_ms);
    return !control_list_add(l, o);
}

static int run_history(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    json_int_t limit = json_integer_value(json_object_get(call->request, "limit"));
    control_listing l = {.array = json_array(), .left = RUNS_MAX};
    (void)g, (void)now_ms;
    int rc = automation_history(s, control_text(call, "name"), limit > 0 && limit < RUNS_MAX ? (uint64_t)limit : RUNS_MAX,
                                put_run, &l);
    control_list_put(call, "runs", &l);
    return control_failed(call, rc, s, "cannot read the history");
}

static int switch_rule(control_call *call, store *s, bool on, uint64_t now_ms) {
    const char *name = control_text(call, "name");
    if (!name) return control_misuse(call, "which automation?");
    return control_failed(call, automation_switch(s, name, on, now_ms, &call->error), s, "cannot switch it");
}

static int run_on(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return switch_rule(call, s, true, now_ms);
}

static int run_off(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return switch_rule(call, s, false, now_ms);
}

static int run_try(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *name = control_text(call, "name");
    buf report = {0};
    if (!name) return control_misuse(call, "which automation?");
    int rc = automation_try(g, name, control_text(call, "table"), control_text(call, "key"), now_ms, &report, &call->error);
    if (!rc) control_put_report(call->reply, "report", &report);
    if (!rc) rc = report.rc;
    buf_fini(&report);
    return control_failed(call, rc, s, "cannot try it");
}

static int run_run(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *name = control_text(call, "name");
    if (!name) return control_misuse(call, "which timer?");
    bool has_failed;
    int rc = automation_run(g, name, now_ms, &has_failed, &call->error);
    json_object_set_new(call->reply, "failed", json_boolean(has_failed));
    return control_failed(call, rc, s, "cannot run it");
}

static int run_replay(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    json_int_t id = json_integer_value(json_object_get(call->request, "id"));
    automation_replayed done;
    if (id < 1) return control_misuse(call, "which entry of the history?");
    int rc = automation_replay(g, (uint64_t)id, json_is_true(json_object_get(call->request, "unconditional")), now_ms, &done,
                               &call->error);
    control_put_number(call->reply, "id", done.id);
    control_put_number(call->reply, "wrote", done.wrote);
    json_object_set_new(call->reply, "failed", json_boolean(done.failed));
    return control_failed(call, rc, s, "cannot run it again");
}

static int run_dismiss(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const json_t *ids = json_object_get(call->request, "ids"), *id;
    size_t i;
    (void)g;
    if (!json_array_size(ids) || json_array_size(ids) > IDS_MAX)
        return control_misuse(call, "which entries of the history? their ids, up to 1000");
    json_array_foreach(ids, i, id) {
        int rc = automation_dismiss(s, (uint64_t)json_integer_value(id), now_ms, &call->error);
        if (rc) return control_failed(call, rc, s, "cannot dismiss it");
    }
    control_put_number(call->reply, "dismissed", json_array_size(ids));
    return SATCHEL_OK;
}

const control_command control_automation_commands[] = {
    {"automation.publish", false, run_publish, NULL, PEOPLE_ADMIN, false},
    {"automation.list", false, run_list, NULL, PEOPLE_VIEWER, true},
    {"automation.history", false, run_history, NULL, PEOPLE_VIEWER, true},
    {"automation.on", false, run_on, NULL, PEOPLE_ADMIN, false},
    {"automation.off", false, run_off, NULL, PEOPLE_ADMIN, false},
    {"automation.try", false, run_try, NULL, PEOPLE_MANAGER, true},
    {"automation.run", false, run_run, NULL, PEOPLE_ADMIN, false},
    {"automation.replay", false, run_replay, NULL, PEOPLE_ADMIN, false},
    {"automation.dismiss", false, run_dismiss, NULL, PEOPLE_ADMIN, false},
    {0},
};
