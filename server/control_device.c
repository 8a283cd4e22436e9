/* Commands about devices, and about what was lost or refused of what they sent. */
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"

/* Entries of one listing; `more` tells that there are others. */
#define LIST_MAX 10000
#define LIST_DEFAULT 50

/* ---- devices ---- */

static json_t *device_json(const device_info *d) {
    json_t *o = json_object();
    control_put_number(o, "id", (uint64_t)d->id);
    control_put_text(o, "name", d->name);
    control_put_text(o, "state", d->state == DEVICE_REVOKED ? "revoked" : "active");
    control_put_hex(o, "fingerprint", d->fingerprint, sizeof d->fingerprint);
    control_put_number(o, "enrolled_ms", d->enrolled_ms);
    control_put_number(o, "last_seen_ms", d->last_seen_ms);
    control_put_number(o, "acked_seq", d->acked_seq);
    control_put_number(o, "pending", d->pending);
    control_put_number(o, "rejected_open", d->rejected_open);
    control_put_number(o, "conflicts", d->conflicts);
    json_object_set_new(o, "clock_offset_ms", json_integer(d->clock_offset_ms));
    control_put_number(o, "clamped", d->clamped);
    control_put_number(o, "incarnations", d->incarnations);
    control_put_number(o, "schema_epoch", d->schema_epoch);
    control_put_text(o, "software", d->software);
    return o;
}

static int run_device_add(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *name = control_text(call, "name");
    if (!control_is_name(name)) return control_misuse(call, "a device's name has 1 to 128 bytes of printable UTF-8");
    service *sv = call->job.service;
    enrol_code code = {.port = sv->https_port};
    buf text = {0};
    snprintf(code.host, sizeof code.host, "%s", sv->host);
    memcpy(code.pin, sv->identity->pin, sizeof code.pin);
    uint64_t expires_ms = now_ms + (uint64_t)LIMIT_ENROL_CODE_S * 1000;
    int rc = crypto_random(code.secret, sizeof code.secret);
    if (!rc) rc = store_enrol_offer(s, name, code.secret, expires_ms);
    if (rc == SATCHEL_E_KEY_TAKEN) {
        buf_printf(&call->error, "an active device has the name %s; revoke it first or choose another", name);
    } else if (!rc) {
        enrol_code_encode(&code, &text);
        control_put_text(call->reply, "enrolment_code", (const char *)text.p);
        control_put_number(call->reply, "expires_ms", expires_ms);
    }
    explicit_bzero(&code, sizeof code);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_fini(&text);
    return rc;
}

static int visit_device(void *ctx, const device_info *d) {
    return !control_list_add(ctx, device_json(d));
}

static int run_device_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    control_listing l = {.array = json_array(), .left = UINT64_MAX};
    int rc = store_devices(s, visit_device, &l);
    control_list_put(call, "devices", &l);
    return control_failed(call, rc, s, "cannot list the devices");
}

static int find_device(control_call *call, store *s, device_info *out) {
    const char *name = control_text(call, "name");
    if (!name) return control_misuse(call, "which device?");
    int rc = store_device_by_name(s, name, out);
    if (rc == SATCHEL_E_NOT_FOUND) {
        buf_printf(&call->error, "there is no device named %s", name);
        return rc;
    }
    return control_failed(call, rc, s, "cannot read the device");
}

static int run_device_show(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    device_info d;
    int rc = find_device(call, s, &d);
    if (!rc) json_object_set_new(call->reply, "device", device_json(&d));
    return rc;
}

static int run_device_revoke(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    device_info d;
    int rc = find_device(call, s, &d);
    if (rc) return rc;
    call->device = d.id;
    control_put_text(call->reply, "name", d.name);
    json_object_set_new(call->reply, "was_active", json_boolean(d.state == DEVICE_ACTIVE));
    return control_failed(call, store_device_revoke(s, d.id, now_ms), s, "cannot revoke the device");
}

static void after_device_revoke(control_call *call) {
    hub_drop_device(call->job.service->hub, call->device);
}

/* ---- conflicts and refusals ---- */

static int visit_conflict(void *ctx, const conflict_info *c) {
    json_t *o = json_object();
    control_put_number(o, "id", c->id);
    control_put_number(o, "seq", c->seq);
    control_put_number(o, "at_ms", c->at_ms);
    control_put_text(o, "table", c->table);
    control_put_text(o, "key", c->key);
    control_put_text(o, "column", c->column);
    control_put_text(o, "rule", c->rule);
    control_put_text(o, "kept", c->kept);
    control_put_text(o, "kept_device", c->kept_device);
    control_put_number(o, "kept_stamp", c->kept_stamp);
    control_put_text(o, "lost", c->lost);
    control_put_text(o, "lost_device", c->lost_device);
    control_put_number(o, "lost_stamp", c->lost_stamp);
    return !control_list_add(ctx, o);
}

static int run_conflicts(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    json_t *asked = json_object_get(call->request, "limit");
    json_int_t limit = json_is_integer(asked) ? json_integer_value(asked) : LIST_DEFAULT;
    if (limit < 1 || limit > LIST_MAX) return control_misuse(call, "the limit is from 1 to 10000");
    control_listing l = {.array = json_array(), .left = (uint64_t)limit};
    int rc = store_conflicts(s, (uint64_t)limit + 1, visit_conflict, &l);
    control_list_put(call, "conflicts", &l);
    return control_failed(call, rc, s, "cannot list the conflicts");
}

static int visit_refused(void *ctx, const refused_info *r) {
    json_t *o = json_object();
    json_t *changes = r->changes ? json_loads(r->changes, JSON_DECODE_ANY, NULL) : NULL;
    control_put_text(o, "device", r->device);
    control_put_number(o, "incarnation", r->incarnation);
    control_put_number(o, "number", r->number);
    control_put_number(o, "at_ms", r->at_ms);
    control_put_text(o, "code", satchel_rc_name(r->rc));
    control_put_text(o, "message", r->message);
    control_put_text(o, "table", r->table);
    control_put_text(o, "key", r->key);
    control_put_number(o, "depends", r->depends);
    control_put_text(o, "state", r->state);
    json_object_set_new(o, "changes", changes ? changes : json_null());
    return !control_list_add(ctx, o);
}

static int run_rejected(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    control_listing l = {.array = json_array(), .left = LIST_MAX};
    int rc = store_refused(s, json_is_true(json_object_get(call->request, "all")), visit_refused, &l);
    control_list_put(call, "rejected", &l);
    return control_failed(call, rc, s, "cannot list the refused transactions");
}

static int run_rejected_discard(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *device = control_text(call, "device");
    json_t *number = json_object_get(call->request, "number");
    if (!device || !json_is_integer(number) || json_integer_value(number) < 1)
        return control_misuse(call, "which device, and which number?");
    int rc = store_refused_discard(s, device, (uint64_t)json_integer_value(number), now_ms);
    if (rc == SATCHEL_E_NOT_FOUND)
        buf_printf(&call->error, "no transaction %" JSON_INTEGER_FORMAT " of a device %s was refused", json_integer_value(number),
                   device);
    else if (rc == SATCHEL_E_RESOLVED)
        buf_printf(&call->error, "somebody has settled this refusal before");
    else
        control_failed(call, rc, s, "cannot discard it");
    return rc;
}

const control_command control_device_commands[] = {
    {"device.add", false, run_device_add, NULL},
    {"device.list", false, run_device_list, NULL},
    {"device.show", false, run_device_show, NULL},
    {"device.revoke", false, run_device_revoke, after_device_revoke},
    {"conflicts", false, run_conflicts, NULL},
    {"rejected", false, run_rejected, NULL},
    {"rejected.discard", false, run_rejected_discard, NULL},
    {0},
};
