/* Commands about the device authority: a new one beside it, and the end of the old one. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"
#include "server/store_keys.h"

/* Names of devices that a refusal tells. */
#define NAMES_MAX 5

static json_t *authority_json(const buf *cert) {
    json_t *o = json_object();
    buf name = {0};
    uint64_t end_ms = 0;
    if (!crypto_common_name((const char *)cert->p, &name)) control_put_text(o, "name", (const char *)name.p);
    if (!crypto_not_after((const char *)cert->p, &end_ms)) control_put_number(o, "end_ms", end_ms);
    buf_fini(&name);
    return o;
}

typedef struct lacking {
    control_listing list;
    uint64_t n;
    buf names; /* of the first ones, for people */
} lacking;

static int visit_lacking(void *ctx, const char *name, uint64_t last_seen_ms) {
    lacking *l = ctx;
    json_t *o = json_object();
    control_put_text(o, "name", name);
    control_put_number(o, "last_seen_ms", last_seen_ms);
    if (l->n++ < NAMES_MAX) buf_printf(&l->names, "%s%s", l->names.n ? ", " : "", name);
    control_list_add(&l->list, o);
    return 0;
}

/* Who has not shown that it trusts the authorities as they are now. */
static int find_lacking(control_call *call, store *s, lacking *l) {
    uint8_t digest[32];
    buf pem = {0};
    *l = (lacking){.list = {.array = json_array(), .left = 10000}};
    identity_trust(call->job.service->identity, &pem);
    int rc = pem.rc;
    if (!rc) {
        crypto_sha256(pem.p, pem.n, digest);
        rc = store_trust_lacking(s, digest, visit_lacking, l);
    }
    buf_fini(&pem);
    return control_failed(call, rc, s, "cannot read the devices");
}

static int run_ca_status(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    const identity *id = call->job.service->identity;
    (void)g, (void)now_ms;
    lacking l;
    bool rotating = id->next_cert.n > 0;
    json_object_set_new(call->reply, "authority", authority_json(&id->ca_cert));
    json_object_set_new(call->reply, "next", rotating ? authority_json(&id->next_cert) : json_null());
    int rc = rotating ? find_lacking(call, s, &l) : SATCHEL_OK;
    if (!rotating) return rc;
    control_put_number(call->reply, "lacking", l.n);
    control_list_put(call, "devices", &l.list);
    buf_fini(&l.names);
    return rc;
}

static int run_ca_rotate(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    int rc = identity_rotate(call->job.service->files, now_ms, &call->error);
    return rc ? rc : store_event(s, "ca", "an administrator made a new device authority", now_ms);
}

static int run_ca_retire(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    lacking l = {0};
    bool force = json_is_true(json_object_get(call->request, "force"));
    int rc = SATCHEL_OK;
    if (call->job.service->identity->next_cert.n) {
        rc = find_lacking(call, s, &l);
    } else {
        /* One that is only in the files no device has been given. */
        buf_printf(
            &call->error,
            "there is no authority to take over; make one first with satchelctl ca rotate, and if that was done, the log says why "
            "the server has not taken it up");
        rc = SATCHEL_E_NOT_FOUND;
    }
    if (!rc && l.n && !force) {
        buf_printf(
            &call->error,
            "%llu devices do not trust the new authority yet and would have to enrol again: %s%s; wait until they have synced, revoke those that "
            "are gone, or use --force",
            (unsigned long long)l.n, (const char *)l.names.p, l.n > NAMES_MAX ? ", ..." : "");
        rc = SATCHEL_E_MISUSE;
    }
    if (!rc) rc = identity_retire(call->job.service->files, &call->error);
    if (!rc) rc = store_event(s, "ca", "an administrator ended the old device authority", now_ms);
    control_put_number(call->reply, "lacking", l.n);
    json_decref(l.list.array);
    buf_fini(&l.names);
    return rc;
}

static void after_change(control_call *call) {
    service *sv = call->job.service;
    buf words = {0};
    int rc = sv->reload ? sv->reload(sv->reload_ctx, &words) : SATCHEL_OK;
    if (rc) {
        buf_printf(
            &call->error,
            "this is done in the files, but the server cannot show it and goes on with what it had: %s; put that right, then send it SIGHUP",
            words.n ? (const char *)words.p : satchel_rc_text(rc));
        call->job.rc = rc;
    }
    buf_fini(&words);
}

const control_command control_ca_commands[] = {
    {"ca.status", false, run_ca_status, NULL, PEOPLE_ADMIN, true},
    {"ca.rotate", false, run_ca_rotate, after_change, PEOPLE_ADMIN, false},
    {"ca.retire", false, run_ca_retire, after_change, PEOPLE_ADMIN, false},
    {0},
};
