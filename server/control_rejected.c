/* Commands about what was refused of what devices sent: looking at it, and settling it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"
#include "server/record.h"
#include "server/refusal.h"
#include "server/store_private.h"

#define LIST_MAX 10000u

static int visit_refused(void *ctx, const refused_info *r) {
    json_t *o = json_object();
    json_t *changes = r->changes ? json_loads(r->changes, JSON_DECODE_ANY, NULL) : NULL;
    control_put_text(o, "device", r->device);
    control_put_number(o, "incarnation", r->incarnation);
    control_put_number(o, "number", r->number);
    control_put_number(o, "at_ms", r->at_ms);
    control_put_text(o, "code", satchel_rc_name(r->rc));
    control_put_text(o, "rule", satchel_rc_rule(r->rc));
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

/* ---- one of them ---- */

typedef struct refusal_named {
    const char *device;
    uint64_t number;
    int64_t author;
} refusal_named;

/* Words for what they have in common; `what` failed otherwise, unless there are words already. */
static int tell(control_call *call, int rc, store *s, const refusal_named *r, const char *what) {
    if (call->error.n) return rc;
    if (rc == SATCHEL_E_NOT_FOUND)
        buf_printf(&call->error, "no transaction %llu of a device %s was refused", (unsigned long long)r->number, r->device);
    else if (rc == SATCHEL_E_RESOLVED)
        buf_printf(&call->error, "somebody has settled this refusal before");
    else if (rc == SATCHEL_E_TOO_LARGE)
        buf_printf(&call->error, "it is too large to be retried here; the device can");
    return control_failed(call, rc, s, what);
}

/* A name may have been given again since somebody was shown a transaction, and copies of a file have the same numbers: the console gives its id as well, AUTHOR-NUMBER. */
static int find_refusal(control_call *call, store *s, refusal_named *out) {
    const char *id = control_text(call, "id");
    bool has_id = json_object_get(call->request, "id") != NULL;
    int64_t author, number;
    char end;
    if (has_id && (!id || strlen(id) > 40 || sscanf(id, "%" SCNd64 "-%" SCNd64 "%c", &author, &number, &end) != 2 ||
                   number != (int64_t)out->number))
        return control_misuse(call, "\"id\" is that of a refused transaction with this number");
    int rc = refusal_find(s, out->device, out->number, has_id ? &author : NULL, &out->author);
    return tell(call, rc, s, out, "cannot find it");
}

static int take_refusal(control_call *call, store *s, refusal_named *out) {
    json_t *number = json_object_get(call->request, "number");
    out->device = control_text(call, "device");
    out->number = (uint64_t)json_integer_value(number);
    if (out->device && json_is_integer(number) && json_integer_value(number) >= 1) return find_refusal(call, s, out);
    return control_misuse(call, "which device, and which number?");
}

static int run_show(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    refusal_named r;
    buf json = {0};
    int rc = take_refusal(call, s, &r);
    if (rc) return rc;
    rc = refusal_show(s, r.author, r.number, &json);
    json_t *o = rc ? NULL : json_loadb((const char *)json.p, json.n, RECORD_JSON_FLAGS, NULL);
    if (!rc && !o) rc = SATCHEL_E_NOMEM;
    if (o) json_object_update(call->reply, o);
    json_decref(o);
    buf_fini(&json);
    return tell(call, rc, s, &r, "cannot show it");
}

static int run_retry(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    refusal_named r;
    uint64_t seq = 0;
    json_t *edits = json_object_get(call->request, "edits");
    if (edits && !json_is_array(edits)) return control_misuse(call, "\"edits\" must be an array");
    int rc = take_refusal(call, s, &r);
    if (rc) return rc;
    rc = refusal_retry(s, g, r.author, r.number, edits, now_ms, &seq, &call->error);
    if (!rc) control_put_number(call->reply, "seq", seq);
    return tell(call, rc, s, &r, "cannot retry it");
}

static int run_discard(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    refusal_named r;
    int rc = take_refusal(call, s, &r);
    return rc ? rc : tell(call, refusal_discard(s, r.author, r.number, now_ms), s, &r, "cannot discard it");
}

const control_command control_rejected_commands[] = {
    {"rejected", false, run_rejected, NULL, PEOPLE_VIEWER, true},
    {"rejected.show", false, run_show, NULL, PEOPLE_VIEWER, true},
    {"rejected.retry", false, run_retry, NULL, PEOPLE_MANAGER, false},
    {"rejected.discard", false, run_discard, NULL, PEOPLE_MANAGER, false},
    {0},
};
