/* Commands about alerts: what is open, who is told, silence, and the rules. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/alert.h"
#include "server/control_private.h"
#include "server/notice.h"
#include "server/store_private.h"

#define ALERTS_MAX 10000
#define IDS_MAX 1000

static void put_subject(json_t *o, int64_t subject, const char *name) {
    control_put_text(o, "subject", subject > 0 ? "device" : subject ? "all" : "server");
    control_put_text(o, "device", name);
}

/* ---- what is open, and who is told ---- */

static int put_alert(void *ctx, const alert_info *a) {
    control_listing *l = ctx;
    json_t *o = json_object();
    control_put_number(o, "id", (uint64_t)a->id);
    control_put_text(o, "rule", a->rule);
    put_subject(o, a->subject, a->name);
    control_put_text(o, "severity", a->severity);
    control_put_text(o, "state", a->state);
    control_put_text(o, "words", a->words);
    json_object_set_new(o, "value", json_real(a->value));
    control_put_number(o, "opened_ms", a->opened_ms);
    control_put_known(o, "acked_ms", a->acked_ms);
    control_put_text(o, "acked_by", a->acked_by);
    control_put_known(o, "closed_ms", a->closed_ms);
    control_put_known(o, "silent_until_ms", a->silent_until_ms);
    return !control_list_add(l, o);
}

static int put_silence(void *ctx, const alert_silence *s) {
    json_t *o = json_object();
    control_put_text(o, "rule", s->rule);
    put_subject(o, s->subject, s->name);
    control_put_number(o, "until_ms", s->until_ms);
    control_put_text(o, "by", s->by);
    json_array_append_new(ctx, o);
    return 0;
}

static int count_alert(void *ctx, const alert_info *a) {
    (void)a;
    ++*(uint64_t *)ctx;
    return 0;
}

static int put_ways(control_call *call, store *s, uint64_t now_ms) {
    json_t *ways = json_array();
    int rc = SATCHEL_OK;
    for (alert_way way = 0; !rc && way < ALERT_WAYS; way++) {
        json_t *o = json_object();
        notice_state st;
        uint64_t waiting = 0;
        notice_get(call->job.service->notice, way, &st);
        if (st.set) rc = alert_untold(&s->cache, way, ALERTS_MAX, now_ms, count_alert, &waiting);
        control_put_text(o, "way", notice_way_name(way));
        control_put_text(o, "state", !st.set ? "off" : st.failing_ms ? "failing" : "ok");
        control_put_text(o, "words", st.failing_ms ? st.words : NULL);
        control_put_known(o, "failing_ms", st.failing_ms);
        control_put_number(o, "failures", st.failures);
        control_put_number(o, "waiting", waiting);
        control_put_number(o, "sent", st.sent);
        control_put_known(o, "last_ms", st.last_ms);
        json_array_append_new(ways, o);
    }
    json_object_set_new(call->reply, "notices", ways);
    return rc;
}

static int run_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    json_int_t limit = json_integer_value(json_object_get(call->request, "limit"));
    bool all = json_is_true(json_object_get(call->request, "all"));
    control_listing l = {.array = json_array(), .left = limit > 0 && limit < ALERTS_MAX ? (uint64_t)limit : ALERTS_MAX};
    json_t *silences = json_array();
    (void)g;
    int rc = alert_list(&s->cache, all, l.left + 1, now_ms, put_alert, &l);
    if (!rc) rc = alert_silences(&s->cache, now_ms, put_silence, silences);
    if (!rc) rc = put_ways(call, s, now_ms);
    control_list_put(call, "alerts", &l);
    json_object_set_new(call->reply, "silences", silences);
    return control_failed(call, rc, s, "cannot list the alerts");
}

static int run_ack(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const json_t *ids = json_object_get(call->request, "ids"), *id;
    size_t i;
    (void)g;
    if (!json_array_size(ids) || json_array_size(ids) > IDS_MAX)
        return control_misuse(call, "which alerts? their ids, up to 1000");
    json_array_foreach(ids, i, id) {
        int rc = alert_ack(s, json_integer_value(id), call->by.who.actor, now_ms);
        if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&call->error, "there is no open alert %lld", (long long)json_integer_value(id));
        if (rc) return control_failed(call, rc, s, "cannot acknowledge it");
    }
    control_put_number(call->reply, "acked", json_array_size(ids));
    return SATCHEL_OK;
}

/* Asked on the work's thread about once a second. */
static bool test_goes_on(void *ctx) {
    return progress_tell(ctx, "sending", 0, 0);
}

static int work_test(control_call *call, const progress *watch) {
    json_t *ways = json_array();
    unsigned failed = 0, set = 0;
    progress asked = *watch;
    for (alert_way way = 0; way < ALERT_WAYS; way++) {
        buf error;
        json_t *o = json_object();
        buf_init(&error, LIMIT_TEXT_BYTES);
        int rc = notice_test(call->job.service->notice, way, test_goes_on, &asked, &error);
        const char *words = error.n ? (const char *)error.p : satchel_rc_text(rc);
        control_put_text(o, "way", notice_way_name(way));
        control_put_text(o, "state", rc == SATCHEL_E_NOT_FOUND ? "off" : rc ? "failed" : "sent");
        control_put_text(o, "words", rc && rc != SATCHEL_E_NOT_FOUND ? words : NULL);
        set += rc != SATCHEL_E_NOT_FOUND;
        failed += rc && rc != SATCHEL_E_NOT_FOUND;
        json_array_append_new(ways, o);
        buf_fini(&error);
    }
    json_object_set_new(call->reply, "notices", ways);
    control_put_number(call->reply, "failed", failed);
    return set ? SATCHEL_OK
               : control_misuse(call, "nobody is told: neither smtp-url nor alert-webhook is set, see satcheld.conf(5)");
}

/* ---- silence ---- */

/* The device that is named, by its name or its key's fingerprint, or all of the rule (-1). */
static int take_subject(control_call *call, store *s, int64_t *subject) {
    const char *device = control_text(call, "device");
    device_info d;
    *subject = -1;
    if (!device) return SATCHEL_OK;
    int rc = control_find_device(call, s, device, &d);
    if (!rc) *subject = d.id;
    return rc;
}

static int tell(control_call *call, int rc, store *s, const char *rule, const char *what) {
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&call->error, "there is no rule %s", rule);
    return control_failed(call, rc, s, what);
}

static int run_silence(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *rule = control_text(call, "rule");
    json_int_t until_ms = json_integer_value(json_object_get(call->request, "until_ms"));
    int64_t subject;
    (void)g;
    if (!rule) return control_misuse(call, "which rule?");
    if (until_ms <= (json_int_t)now_ms) return control_misuse(call, "a silence ends in the future");
    int rc = take_subject(call, s, &subject);
    if (rc) return rc;
    rc = alert_silence_set(s, rule, subject, (uint64_t)until_ms, call->by.who.actor);
    return tell(call, rc, s, rule, "cannot silence it");
}

static int run_unsilence(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const char *rule = control_text(call, "rule");
    int64_t subject;
    (void)g, (void)now_ms;
    if (!rule) return control_misuse(call, "which rule?");
    int rc = take_subject(call, s, &subject);
    if (rc) return rc;
    rc = alert_silence_end(s, rule, subject);
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&call->error, "that is not silenced");
    return control_failed(call, rc, s, "cannot end the silence");
}

/* What is not silent any more is told now. */
static void after_unsilence(control_call *call) {
    if (call->job.service->notice) notice_wake(call->job.service->notice);
}

/* ---- rules ---- */

static json_t *rule_json(const alert_rule *r) {
    json_t *o = json_object();
    control_put_text(o, "name", r->name);
    control_put_text(o, "metric", r->metric);
    control_put_text(o, "aggregation", r->aggregation);
    control_put_number(o, "window_s", r->window_s);
    control_put_text(o, "op", r->op);
    json_object_set_new(o, "threshold", json_real(r->threshold));
    control_put_text(o, "severity", r->severity);
    control_put_text(o, "profile", r->profile);
    control_put_text(o, "hours", r->hours);
    json_object_set_new(o, "active", json_boolean(r->active));
    control_put_text(o, "about", r->about);
    return o;
}

static int put_rule(void *ctx, const alert_rule *r) {
    return !control_list_add(ctx, rule_json(r));
}

static int run_rules(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    control_listing l = {.array = json_array(), .left = ALERT_RULES_MAX};
    (void)g, (void)now_ms;
    int rc = alert_rules(&s->cache, put_rule, &l);
    control_list_put(call, "rules", &l);
    return control_failed(call, rc, s, "cannot list the rules");
}

typedef struct wanted {
    const char *name;
    json_t *rule;
} wanted;

static int find_rule(void *ctx, const alert_rule *r) {
    wanted *w = ctx;
    if (!strcmp(r->name, w->name)) w->rule = rule_json(r);
    return w->rule != NULL;
}

static const char *text_of(const json_t *o, const char *member) {
    const char *text = json_string_value(json_object_get(o, member));
    return text ? text : "";
}

/* NULL for what is empty. */
static const char *some(const char *text) {
    return *text ? text : NULL;
}

/* What is not given stays as it is, or is what goes without saying for a new rule. */
static int run_set(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    wanted w = {.name = control_text(call, "name")};
    (void)g, (void)now_ms;
    if (!w.name) return control_misuse(call, "which rule?");
    int rc = alert_rules(&s->cache, find_rule, &w);
    if (rc) return control_failed(call, rc, s, "cannot read the rules");
    json_t *o = w.rule ? w.rule
                       : json_pack("{ss si ss ss sb}", "aggregation", "last", "window_s", 0, "severity", "warning", "about",
                                   w.name, "active", 1);
    json_object_update(o, call->request);
    alert_rule r = {.name = w.name,
                    .metric = text_of(o, "metric"),
                    .aggregation = text_of(o, "aggregation"),
                    .op = text_of(o, "op"),
                    .severity = text_of(o, "severity"),
                    .profile = some(text_of(o, "profile")),
                    .hours = some(text_of(o, "hours")),
                    .about = text_of(o, "about"),
                    .window_s = (uint64_t)json_integer_value(json_object_get(o, "window_s")),
                    .threshold = json_number_value(json_object_get(o, "threshold")),
                    .active = json_is_true(json_object_get(o, "active"))};
    bool is_number = json_is_number(json_object_get(o, "threshold"));
    rc = is_number ? alert_rule_set(s, &r, &call->error) : control_misuse(call, "the threshold has to be a number");
    if (!rc) json_object_set_new(call->reply, "rule", rule_json(&r));
    if (!rc) hub_upkeep_soon(call->job.service->hub);
    json_decref(o);
    return control_failed(call, rc, s, "cannot set the rule");
}

static int switch_rule(control_call *call, store *s, bool on) {
    const char *name = control_text(call, "name");
    if (!name) return control_misuse(call, "which rule?");
    int rc = alert_rule_switch(s, name, on);
    if (!rc) hub_upkeep_soon(call->job.service->hub);
    return tell(call, rc, s, name, "cannot switch the rule");
}

static int run_on(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return switch_rule(call, s, true);
}

static int run_off(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    return switch_rule(call, s, false);
}

const control_command control_alert_commands[] = {
    {"alert.list", false, run_list, NULL, PEOPLE_VIEWER, true},
    {"alert.ack", false, run_ack, NULL, PEOPLE_MANAGER, false},
    {"alert.silence", false, run_silence, NULL, PEOPLE_MANAGER, false},
    {"alert.unsilence", false, run_unsilence, after_unsilence, PEOPLE_MANAGER, false},
    {"alert.rule.list", false, run_rules, NULL, PEOPLE_VIEWER, true},
    {"alert.rule.set", false, run_set, NULL, PEOPLE_ADMIN, false},
    {"alert.rule.on", false, run_on, NULL, PEOPLE_ADMIN, false},
    {"alert.rule.off", false, run_off, NULL, PEOPLE_ADMIN, false},
    {0},
};

const control_work control_alert_works[] = {
    {"alert.test", work_test, NULL, NULL, NULL, PEOPLE_ADMIN, false},
    {0},
};
