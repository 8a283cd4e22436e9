/* Commands about devices. */
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"
#include "server/field.h"
#include "server/store_private.h"
#include "server/version.h"

/* ---- devices ---- */

static const char *state_name(device_state state) {
    switch (state) {
    case DEVICE_ACTIVE:
        return "active";
    case DEVICE_REVOKED:
        return "revoked";
    case DEVICE_PAUSED:
        return "paused";
    case DEVICE_WIPE:
        return "to be wiped";
    default:
        return "wiped";
    }
}

static void put_software(json_t *o, const char *software) {
    char products[LIMIT_NAME_BYTES + 1], runs_on[LIMIT_NAME_BYTES + 1];
    const char *platform = "";
    size_t nplatform, n = version_products(software, strlen(software), &platform, &nplatform);
    snprintf(products, sizeof products, "%.*s", (int)n, software);
    snprintf(runs_on, sizeof runs_on, "%.*s", (int)nplatform, platform);
    control_put_text(o, "software", products);
    control_put_text(o, "platform", *runs_on ? runs_on : NULL);
}

static json_t *device_json(const device_info *d) {
    json_t *o = json_object();
    control_put_number(o, "id", (uint64_t)d->id);
    control_put_text(o, "name", d->name);
    control_put_text(o, "state", state_name(d->state));
    control_put_number(o, "state_ms", d->state_ms ? d->state_ms : d->enrolled_ms);
    control_put_text(o, "profile", d->everything ? "full" : d->profile);
    control_put_text(o, "user", d->user[0] ? d->user : NULL);
    control_put_text(o, "store", d->store[0] ? d->store : NULL);
    json_object_set_new(o, "resnapshot", json_boolean(d->resnapshot));
    control_put_known(o, "verify_ms", d->verify_ms);
    control_put_known(o, "rotate_key_ms", d->rotate_key_ms);
    control_put_known(o, "compared_ms", d->compared.ended_ms);
    control_put_number(o, "compared_ranges", d->compared.ranges);
    control_put_number(o, "compared_rows", d->compared.rows);
    control_put_number(o, "compared_differed", d->compared.differed);
    control_put_number(o, "compared_passed", d->compared.passed);
    control_put_hex(o, "fingerprint", d->fingerprint, sizeof d->fingerprint);
    control_put_number(o, "enrolled_ms", d->enrolled_ms);
    control_put_number(o, "last_seen_ms", d->last_seen_ms);
    control_put_number(o, "acked_seq", d->acked_seq);
    control_put_number(o, "pending", d->pending);
    control_put_number(o, "rejected_open", d->rejected_open);
    control_put_number(o, "conflicts", d->conflicts);
    json_object_set_new(o, "clock_offset_ms", json_integer(d->clock_offset_ms));
    control_put_number(o, "clamped", d->clamped);
    control_put_known(o, "held_bytes", d->held_bytes);
    control_put_known(o, "room_bytes", d->room_bytes);
    control_put_number(o, "incarnations", d->incarnations);
    control_put_number(o, "schema_epoch", d->schema_epoch);
    put_software(o, d->software);
    return o;
}

/* ---- what a device's profile is asked with ---- */

#define FULL "full"

typedef struct scope_given {
    device_scope scope;
    buf user, store;
} scope_given;

static void scope_given_fini(scope_given *g) {
    buf_fini(&g->user);
    buf_fini(&g->store);
}

/* Words that name the profiles; empty if no rules are in force. */
static int put_profiles(store *s, buf *out) {
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT group_concat(name,', ') FROM (SELECT name FROM satchel_profile ORDER BY name)");
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc;
    const char *names = (const char *)sqlite3_column_text(q, 0);
    if (names) buf_printf(out, "%s", names);
    sqlite3_reset(q);
    return out->rc;
}

static int is_profile(store *s, const char *name) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT 1 FROM satchel_profile WHERE name=?");
    db_bind(q, "s", name);
    int rc = db_next(&s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    return rc;
}

/* A value as its literal: 7, 'abc', x'0a'. The empty text: none. */
static int take_value(control_call *call, const char *member, buf *bytes) {
    static const schema_column any = {.affinity = AFFINITY_ANY};
    const char *text = control_text(call, member), *words = NULL;
    value v;
    buf hold;
    size_t n = strlen(text);
    if (!n) return SATCHEL_OK;
    buf_init(&hold, 0);
    int rc = !buf_reserve(&hold, n + 1) ? hold.rc : field_of_text(&any, text, n, &hold, &v, &words);
    if (!rc && v.type == VALUE_TEXT && text[0] != '\'') rc = SATCHEL_E_TYPE;
    if (!rc) value_put(bytes, &v);
    if (!rc) rc = bytes->rc;
    buf_fini(&hold);
    if (rc == SATCHEL_E_TYPE || bytes->n > LIMIT_NAME_BYTES) {
        buf_printf(&call->error, "%s is a value in SQL, such as 7, 'abc' or x'0a1b', of up to 100 bytes", member);
        rc = SATCHEL_E_MISUSE;
    }
    return rc;
}

static int take_profile(control_call *call, store *s, bool must, scope_given *out) {
    const char *name = control_text(call, "profile");
    buf names;
    if (!name && !must) return SATCHEL_OK;
    if (name) out->scope.given |= DEVICE_PROFILE;
    if (name && !strcmp(name, FULL)) return SATCHEL_OK;
    int rc = name ? is_profile(s, name) : 0;
    out->scope.profile = name;
    if (rc) return rc < 0 ? rc : SATCHEL_OK;
    buf_init(&names, 0);
    rc = put_profiles(s, &names);
    if (!rc && (name || names.n)) {
        buf_printf(&call->error, name ? "there is no profile %s; there are %s%s%s" : "which profile%s? There are %s%s%s",
                   name ? name : "", (const char *)names.p, names.n ? " and " : "", FULL ", which holds everything");
        rc = SATCHEL_E_MISUSE;
    }
    buf_fini(&names);
    return rc;
}

/* What of profile, user and store the request gives; `must`: a profile, if there are any. The texts are the request's. */
static int take_scope(control_call *call, store *s, bool must, scope_given *out) {
    memset(out, 0, sizeof *out);
    buf_init(&out->user, 0);
    buf_init(&out->store, 0);
    int rc = take_profile(call, s, must, out);
    if (!rc && control_text(call, "user")) {
        rc = take_value(call, "user", &out->user);
        out->scope.given |= DEVICE_USER;
    }
    if (!rc && control_text(call, "store")) {
        rc = take_value(call, "store", &out->store);
        out->scope.given |= DEVICE_STORE;
    }
    out->scope.user = out->user.p;
    out->scope.nuser = out->user.n;
    out->scope.store = out->store.p;
    out->scope.nstore = out->store.n;
    return control_failed(call, rc, s, "cannot read the profiles");
}

/* Whether the user that is given may have one more. Neither the device `besides` nor a code for `name`, which the new one takes the place of, counts; whose the device is already, he keeps. */
static int check_user(control_call *call, store *s, const scope_given *given, int64_t besides, const char *name,
                      uint64_t now_ms) {
    unsigned most = atomic_load(&call->job.service->devices_per_user);
    if (!most || !given->user.n) return SATCHEL_OK;
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT (SELECT count(*) FROM satchel_device WHERE user=?1 AND state IN (1,4) AND id<>?2),"
                              "(SELECT count(*) FROM satchel_enrol WHERE user=?1 AND fingerprint IS NULL AND"
                              " expires_ms>=?3 AND name IS NOT ?4),"
                              "EXISTS(SELECT 1 FROM satchel_device WHERE user=?1 AND id=?2)");
    db_bind(q, "biis", given->user.p, given->user.n, besides, (int64_t)now_ms, name);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return control_failed(call, rc ? rc : SATCHEL_E_INTERNAL, s, "cannot count the user's devices");
    long long devices = sqlite3_column_int64(q, 0), codes = sqlite3_column_int64(q, 1);
    bool kept = sqlite3_column_int(q, 2) != 0;
    sqlite3_reset(q);
    if (kept || devices + codes < (long long)most) return SATCHEL_OK;
    buf_printf(&call->error,
               "the user %s has %lld device%s and %lld open enrolment code%s, and may have %u in all: revoke a device of his, "
               "let a code end, or raise devices-per-user in the server's settings",
               control_text(call, "user"), devices, devices == 1 ? "" : "s", codes, codes == 1 ? "" : "s", most);
    return SATCHEL_E_MISUSE;
}

/* ---- adding and listing ---- */

static int offer_code(control_call *call, store *s, const char *name, const device_scope *scope, uint64_t now_ms) {
    service *sv = call->job.service;
    enrol_code code = {.port = sv->https_port};
    buf text = {0};
    snprintf(code.host, sizeof code.host, "%s", sv->host);
    memcpy(code.pin, sv->identity->pin, sizeof code.pin);
    uint64_t expires_ms = now_ms + (uint64_t)LIMIT_ENROL_CODE_S * 1000;
    int rc = crypto_random(code.secret, sizeof code.secret);
    if (!rc) rc = store_enrol_offer(s, name, code.secret, expires_ms);
    if (rc == SATCHEL_E_KEY_TAKEN)
        buf_printf(&call->error, "an active device has the name %s; revoke it first or choose another", name);
    if (!rc && scope->given) rc = store_enrol_set_scope(s, name, scope);
    if (!rc) {
        enrol_code_encode(&code, &text);
        control_put_text(call->reply, "enrolment_code", (const char *)text.p);
        control_put_number(call->reply, "expires_ms", expires_ms);
    }
    explicit_bzero(&code, sizeof code);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_fini(&text);
    return rc;
}

static int run_device_add(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *name = control_text(call, "name");
    scope_given given;
    if (!control_is_name(name)) return control_misuse(call, "a device's name has 1 to 128 bytes of printable UTF-8");
    int rc = take_scope(call, s, true, &given);
    if (!rc) rc = check_user(call, s, &given, 0, name, now_ms);
    if (!rc) rc = offer_code(call, s, name, &given.scope, now_ms);
    scope_given_fini(&given);
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

/* A revoked device whose name was given again is known by its key's fingerprint alone. */
static bool is_fingerprint(const char *text, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * (size_t)CRYPTO_FINGERPRINT_BYTES || strspn(text, digits) != strlen(text)) return false;
    for (size_t i = 0; i < CRYPTO_FINGERPRINT_BYTES; i++)
        out[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
    return true;
}

int control_find_device(control_call *call, store *s, const char *name, device_info *out) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    int rc =
        is_fingerprint(name, fingerprint) ? store_device_by_fingerprint(s, fingerprint, out) : store_device_by_name(s, name, out);
    if (!rc && out->state == DEVICE_REMOVED) rc = SATCHEL_E_NOT_FOUND;
    if (rc == SATCHEL_E_NOT_FOUND) buf_printf(&call->error, "there is no device named %s", name);
    return control_failed(call, rc, s, "cannot read the device");
}

static int find_device(control_call *call, store *s, device_info *out) {
    const char *name = control_text(call, "name");
    return name ? control_find_device(call, s, name, out) : control_misuse(call, "which device?");
}

/* Where the last comparison found that its rows differed. */
static int put_found(store *s, int64_t id, json_t *device) {
    buf text = {0};
    int rc = store_device_found(&s->cache, id, &text);
    json_t *found = text.n ? json_loadb((const char *)text.p, text.n, 0, NULL) : NULL;
    json_object_set_new(device, "compared_found", found ? found : json_array());
    buf_fini(&text);
    return rc;
}

/* What waits on it by table, as it last told; null: it did not. */
static int put_waiting(store *s, int64_t id, json_t *device) {
    buf text = {0};
    uint64_t told_ms = 0;
    int rc = store_device_waiting(&s->cache, id, &text, &told_ms);
    json_t *tables = text.n ? json_loadb((const char *)text.p, text.n, JSON_DECODE_ANY, NULL) : NULL;
    json_object_set_new(device, "pending_tables", tables ? tables : json_null());
    control_put_known(device, "pending_told_ms", told_ms);
    buf_fini(&text);
    return rc;
}

static int run_device_show(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    device_info d;
    int rc = find_device(call, s, &d);
    json_t *device = rc ? NULL : device_json(&d);
    if (!rc) rc = control_failed(call, put_found(s, d.id, device), s, "cannot read its last comparison");
    if (!rc) rc = control_failed(call, put_waiting(s, d.id, device), s, "cannot read what waits on it");
    if (device) json_object_set_new(call->reply, "device", device);
    return rc;
}

/* ---- changing ---- */

static int run_device_rename(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *to = control_text(call, "to");
    device_info d;
    if (!control_is_name(to)) return control_misuse(call, "a device's name has 1 to 128 bytes of printable UTF-8");
    int rc = find_device(call, s, &d);
    if (rc) return rc;
    control_put_text(call->reply, "name", to);
    rc = store_device_rename(s, d.id, to, now_ms);
    if (rc == SATCHEL_E_KEY_TAKEN) buf_printf(&call->error, "%s", store_error(s));
    return control_failed(call, rc, s, "cannot rename the device");
}

static int run_device_set(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    device_info d;
    scope_given given;
    int rc = find_device(call, s, &d);
    if (rc) return rc;
    rc = take_scope(call, s, false, &given);
    if (!rc && !given.scope.given) rc = control_misuse(call, "which profile, user or store?");
    if (!rc) rc = check_user(call, s, &given, d.id, NULL, now_ms);
    if (!rc) rc = control_failed(call, store_device_set_scope(s, d.id, &given.scope, now_ms), s, "cannot change the device");
    if (!rc) rc = control_failed(call, store_device_by_fingerprint(s, d.fingerprint, &d), s, "cannot read the device");
    if (!rc) json_object_set_new(call->reply, "device", device_json(&d));
    scope_given_fini(&given);
    return rc;
}

/* `drop`: what its connections end with. */
static int find_to_drop(control_call *call, store *s, int drop, device_info *d) {
    int rc = find_device(call, s, d);
    if (rc) return rc;
    call->device = d->id;
    call->drop = drop;
    control_put_text(call->reply, "name", d->name);
    return SATCHEL_OK;
}

static int move_device(control_call *call, store *s, device_state to, int drop, uint64_t now_ms) {
    device_info d;
    int rc = find_to_drop(call, s, drop, &d);
    if (rc) return rc;
    control_put_text(call->reply, "was", state_name(d.state));
    json_object_set_new(call->reply, "changed", json_boolean(d.state != to));
    rc = store_device_move(s, d.id, to, now_ms);
    if (rc == SATCHEL_E_MISUSE) buf_printf(&call->error, "%s is %s: %s", d.name, state_name(d.state), store_error(s));
    return control_failed(call, rc, s, "cannot change the device");
}

static int run_device_pause(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return move_device(call, s, DEVICE_PAUSED, SATCHEL_E_PAUSED, now_ms);
}

static int run_device_resume(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return move_device(call, s, DEVICE_ACTIVE, SATCHEL_OK, now_ms);
}

static int run_device_revoke(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return move_device(call, s, DEVICE_REVOKED, SATCHEL_E_REVOKED, now_ms);
}

static int run_device_wipe(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return move_device(call, s, DEVICE_WIPE, SATCHEL_E_WIPED, now_ms);
}

static int count_of(store *s, const char *sql, const device_info *d, uint64_t now_ms, uint64_t *out) {
    sqlite3_stmt *q = db_prepare(&s->cache, sql);
    db_bind(q, "isi", d->id, d->name, (int64_t)now_ms);
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    *out = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

/* With what ends with it, which nobody asked for by name. */
static int run_device_remove(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    device_info d;
    uint64_t grants = 0, codes = 0;
    int rc = find_device(call, s, &d);
    if (rc) return rc;
    rc = count_of(s, "SELECT count(*) FROM satchel_grant WHERE device=?1 AND until_ms>?3", &d, now_ms, &grants);
    if (!rc)
        rc = count_of(s, "SELECT count(*) FROM satchel_enrol WHERE name=?2 AND fingerprint IS NULL AND expires_ms>=?3", &d,
                      now_ms, &codes);
    if (rc) return control_failed(call, rc, s, "cannot read what it has");
    control_put_number(call->reply, "grants", grants);
    control_put_number(call->reply, "codes", codes);
    /* Its key comes to be refused as any that was revoked, and with a certificate that has ended not at all (hub_orders). */
    return move_device(call, s, DEVICE_REMOVED, SATCHEL_E_REVOKED, now_ms);
}

/* A connection may have gone silent, and waits for its time: another says hello, sends what there is, and hears what it has missed. */
static int run_device_sync(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    device_info d;
    int rc = find_to_drop(call, s, SATCHEL_E_CLOSED, &d);
    if (rc || d.state == DEVICE_ACTIVE) return rc;
    buf_printf(&call->error, "%s is %s: only an active device syncs", d.name, state_name(d.state));
    return SATCHEL_E_MISUSE;
}

static int run_device_resnapshot(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    device_info d;
    int rc = find_to_drop(call, s, SATCHEL_E_CLOSED, &d);
    return rc ? rc : control_failed(call, store_device_resnapshot(s, d.id, now_ms), s, "cannot order a snapshot");
}

static int order_device(control_call *call, store *s, device_order order, uint64_t now_ms) {
    device_info d;
    int rc = find_device(call, s, &d);
    if (rc) return rc;
    call->device = d.id;
    call->order = order;
    memcpy(call->fingerprint, d.fingerprint, sizeof call->fingerprint);
    control_put_text(call->reply, "name", d.name);
    rc = store_device_order(s, d.id, order, now_ms);
    if (rc == SATCHEL_E_MISUSE) buf_printf(&call->error, "%s is %s: %s", d.name, state_name(d.state), store_error(s));
    return control_failed(call, rc, s, "cannot order it");
}

static int run_device_verify(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return order_device(call, s, ORDER_VERIFY, now_ms);
}

static int run_device_rotate_key(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    return order_device(call, s, ORDER_ROTATE_KEY, now_ms);
}

static void after_device_order(control_call *call) {
    hub_order_device(call->job.service->hub, call->device, call->fingerprint, call->order);
}

static void after_drop(control_call *call) {
    hub_drop_device(call->job.service->hub, call->device, call->drop);
}

const control_command control_device_commands[] = {
    {"device.add", false, run_device_add, NULL, PEOPLE_ADMIN, false},
    {"device.list", false, run_device_list, NULL, PEOPLE_VIEWER, true},
    {"device.show", false, run_device_show, NULL, PEOPLE_VIEWER, true},
    {"device.rename", false, run_device_rename, NULL, PEOPLE_ADMIN, false},
    {"device.set", false, run_device_set, control_scope_changed, PEOPLE_ADMIN, false},
    {"device.pause", false, run_device_pause, after_drop, PEOPLE_ADMIN, false},
    {"device.resume", false, run_device_resume, NULL, PEOPLE_ADMIN, false},
    {"device.revoke", false, run_device_revoke, after_drop, PEOPLE_ADMIN, false},
    {"device.wipe", false, run_device_wipe, after_drop, PEOPLE_ADMIN, false},
    {"device.remove", false, run_device_remove, after_drop, PEOPLE_ADMIN, false},
    {"device.sync", false, run_device_sync, after_drop, PEOPLE_ADMIN, false},
    {"device.resnapshot", false, run_device_resnapshot, after_drop, PEOPLE_ADMIN, false},
    {"device.verify", false, run_device_verify, after_device_order, PEOPLE_ADMIN, false},
    {"device.rotate_key", false, run_device_rotate_key, after_device_order, PEOPLE_ADMIN, false},
    {0},
};
