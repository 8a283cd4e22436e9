/* control_commands.c - what an admin can ask for. Members of requests and replies are named as in satchelctl's --json. */
#include "server/control_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"

/* Entries of one listing; `more` tells that there are others. */
#define LIST_MAX 10000
#define LIST_DEFAULT 50

/* ---- helpers ---- */

static void put_hex(json_t *o, const char *member, const uint8_t *p, size_t n) {
    char text[2 * CRYPTO_FINGERPRINT_BYTES + 1] = "";
    for (size_t i = 0; i < n && i < CRYPTO_FINGERPRINT_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", p[i]);
    json_object_set_new(o, member, json_string(text));
}

/* What is no UTF-8 (a value that a migration's SQL wrote, say) still lists: its bytes over 127 become '?'. */
static void put_text(json_t *o, const char *member, const char *text) {
    json_t *v = text ? json_string(text) : json_null();
    if (!v) {
        char *copy = strdup(text);
        for (char *p = copy; p && *p; p++)
            if ((unsigned char)*p >= 0x80) *p = '?';
        v = json_string(copy ? copy : "");
        free(copy);
    }
    json_object_set_new(o, member, v);
}

static void put_report(json_t *o, const char *member, buf *report) {
    buf_put_byte(report, 0);
    put_text(o, member, report->rc ? "" : (const char *)report->p);
}

static void put_number(json_t *o, const char *member, uint64_t v) {
    json_object_set_new(o, member, json_integer((json_int_t)v));
}

static int misuse(control_call *call, const char *words) {
    buf_printf(&call->error, "%s", words);
    return SATCHEL_E_MISUSE;
}

/* Words for a code, with what the store says about it. */
static int failed(control_call *call, int rc, store *s, const char *what) {
    const char *detail = store_error(s);
    if (rc) buf_printf(&call->error, "%s: %s%s%s%s", what, satchel_rc_text(rc), *detail ? " (" : "", detail, *detail ? ")" : "");
    return rc;
}

static const char *text_member(control_call *call, const char *member) {
    return json_string_value(json_object_get(call->request, member));
}

/* A name for people: printable, not empty, not longer than a name may be. */
static bool is_name(const char *name) {
    size_t n = name ? strlen(name) : 0;
    if (!n || n > LIMIT_NAME_BYTES || !value_utf8_valid((const uint8_t *)name, n)) return false;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        if (*p < 0x20 || *p == 0x7f) return false;
    return true;
}

/* A listing that is being made. */
typedef struct listing {
    json_t *array;
    uint64_t left;
    bool more;
} listing;

static bool list_add(listing *l, json_t *entry) {
    if (!l->left) {
        l->more = true;
        json_decref(entry);
        return false;
    }
    l->left--;
    json_array_append_new(l->array, entry);
    return true;
}

static void list_put(control_call *call, const char *member, const listing *l) {
    json_object_set_new(call->reply, member, l->array);
    json_object_set_new(call->reply, "more", json_boolean(l->more));
}

/* ---- devices ---- */

static json_t *device_json(const device_info *d) {
    json_t *o = json_object();
    put_number(o, "id", (uint64_t)d->id);
    put_text(o, "name", d->name);
    put_text(o, "state", d->state == DEVICE_REVOKED ? "revoked" : "active");
    put_hex(o, "fingerprint", d->fingerprint, sizeof d->fingerprint);
    put_number(o, "enrolled_ms", d->enrolled_ms);
    put_number(o, "last_seen_ms", d->last_seen_ms);
    put_number(o, "acked_seq", d->acked_seq);
    put_number(o, "pending", d->pending);
    put_number(o, "rejected_open", d->rejected_open);
    put_number(o, "conflicts", d->conflicts);
    json_object_set_new(o, "clock_offset_ms", json_integer(d->clock_offset_ms));
    put_number(o, "clamped", d->clamped);
    put_number(o, "incarnations", d->incarnations);
    put_number(o, "schema_epoch", d->schema_epoch);
    put_text(o, "software", d->software);
    return o;
}

static int run_device_add(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *name = text_member(call, "name");
    if (!is_name(name)) return misuse(call, "a device's name has 1 to 128 bytes of printable UTF-8");
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
        put_text(call->reply, "enrolment_code", (const char *)text.p);
        put_number(call->reply, "expires_ms", expires_ms);
    }
    explicit_bzero(&code, sizeof code);
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_fini(&text);
    return rc;
}

static int visit_device(void *ctx, const device_info *d) {
    return !list_add(ctx, device_json(d));
}

static int run_device_list(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    listing l = {.array = json_array(), .left = UINT64_MAX};
    int rc = store_devices(s, visit_device, &l);
    list_put(call, "devices", &l);
    return failed(call, rc, s, "cannot list the devices");
}

static int find_device(control_call *call, store *s, device_info *out) {
    const char *name = text_member(call, "name");
    if (!name) return misuse(call, "which device?");
    int rc = store_device_by_name(s, name, out);
    if (rc == SATCHEL_E_NOT_FOUND) {
        buf_printf(&call->error, "there is no device named %s", name);
        return rc;
    }
    return failed(call, rc, s, "cannot read the device");
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
    put_text(call->reply, "name", d.name);
    json_object_set_new(call->reply, "was_active", json_boolean(d.state == DEVICE_ACTIVE));
    return failed(call, store_device_revoke(s, d.id, now_ms), s, "cannot revoke the device");
}

static void after_device_revoke(control_call *call) {
    hub_drop_device(call->job.service->hub, call->device);
    log_line('w', json_string_value(json_object_get(call->reply, "name")), "revoked by the admin");
}

/* ---- conflicts and refusals ---- */

static int visit_conflict(void *ctx, const conflict_info *c) {
    json_t *o = json_object();
    put_number(o, "id", c->id);
    put_number(o, "seq", c->seq);
    put_number(o, "at_ms", c->at_ms);
    put_text(o, "table", c->table);
    put_text(o, "key", c->key);
    put_text(o, "column", c->column);
    put_text(o, "rule", c->rule);
    put_text(o, "kept", c->kept);
    put_text(o, "kept_device", c->kept_device);
    put_number(o, "kept_stamp", c->kept_stamp);
    put_text(o, "lost", c->lost);
    put_text(o, "lost_device", c->lost_device);
    put_number(o, "lost_stamp", c->lost_stamp);
    return !list_add(ctx, o);
}

static int run_conflicts(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    json_t *asked = json_object_get(call->request, "limit");
    json_int_t limit = json_is_integer(asked) ? json_integer_value(asked) : LIST_DEFAULT;
    if (limit < 1 || limit > LIST_MAX) return misuse(call, "the limit is from 1 to 10000");
    listing l = {.array = json_array(), .left = (uint64_t)limit};
    int rc = store_conflicts(s, (uint64_t)limit + 1, visit_conflict, &l);
    list_put(call, "conflicts", &l);
    return failed(call, rc, s, "cannot list the conflicts");
}

static int visit_refused(void *ctx, const refused_info *r) {
    json_t *o = json_object();
    json_t *changes = r->changes ? json_loads(r->changes, JSON_DECODE_ANY, NULL) : NULL;
    put_text(o, "device", r->device);
    put_number(o, "incarnation", r->incarnation);
    put_number(o, "number", r->number);
    put_number(o, "at_ms", r->at_ms);
    put_text(o, "code", satchel_rc_name(r->rc));
    put_text(o, "message", r->message);
    put_text(o, "table", r->table);
    put_text(o, "key", r->key);
    put_number(o, "depends", r->depends);
    put_text(o, "state", r->state);
    json_object_set_new(o, "changes", changes ? changes : json_null());
    return !list_add(ctx, o);
}

static int run_rejected(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    listing l = {.array = json_array(), .left = LIST_MAX};
    int rc = store_refused(s, json_is_true(json_object_get(call->request, "all")), visit_refused, &l);
    list_put(call, "rejected", &l);
    return failed(call, rc, s, "cannot list the refused transactions");
}

static int run_rejected_discard(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    const char *device = text_member(call, "device");
    json_t *number = json_object_get(call->request, "number");
    if (!device || !json_is_integer(number) || json_integer_value(number) < 1)
        return misuse(call, "which device, and which number?");
    int rc = store_refused_discard(s, device, (uint64_t)json_integer_value(number), now_ms);
    if (rc == SATCHEL_E_NOT_FOUND)
        buf_printf(&call->error, "no transaction %" JSON_INTEGER_FORMAT " of a device %s was refused", json_integer_value(number),
                   device);
    else if (rc == SATCHEL_E_RESOLVED)
        buf_printf(&call->error, "somebody has settled this refusal before");
    else
        failed(call, rc, s, "cannot discard it");
    return rc;
}

/* ---- the store as a whole ---- */

static int run_verify(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    buf report = {0};
    unsigned problems = 0;
    int rc = store_verify(s, &report, &problems);
    if (!rc) rc = report.rc;
    put_report(call->reply, "report", &report);
    put_number(call->reply, "problems", problems);
    buf_fini(&report);
    return failed(call, rc, s, "cannot verify the store");
}

static int run_digest(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g, (void)now_ms;
    buf report = {0};
    int rc = store_digest(s, &report);
    if (!rc) rc = report.rc;
    put_report(call->reply, "digest", &report);
    buf_fini(&report);
    return failed(call, rc, s, "cannot read the tables");
}

static json_t *position_json(const store_position *p) {
    json_t *o = json_object();
    put_hex(o, "epoch", p->epoch, sizeof p->epoch);
    put_number(o, "epoch_start", p->epoch_start);
    put_number(o, "seq", p->seq);
    put_number(o, "floor", p->floor);
    put_number(o, "backup_seq", p->backup_seq);
    put_number(o, "schema_epoch", p->schema_epoch);
    return o;
}

static json_t *counts_json(const store_counts *c) {
    json_t *o = json_object();
    put_number(o, "devices", c->devices);
    put_number(o, "active", c->active);
    put_number(o, "rows", c->rows);
    put_number(o, "conflicts", c->conflicts);
    put_number(o, "rejected_open", c->rejected_open);
    put_number(o, "log_rows", c->log_rows);
    put_number(o, "tombstones", c->tombstones);
    put_number(o, "bytes", c->bytes);
    return o;
}

static json_t *stats_json(const hub_stats *st) {
    json_t *o = json_object();
    put_number(o, "sessions", st->sessions);
    put_number(o, "txns_accepted", st->txns_accepted);
    put_number(o, "txns_refused", st->txns_refused);
    put_number(o, "txns_repeated", st->txns_repeated);
    put_number(o, "conflicts", st->conflicts);
    put_number(o, "forks", st->forks);
    put_number(o, "pages", st->pages);
    put_number(o, "snapshot_pages", st->snapshot_pages);
    put_number(o, "writer_queue", st->writer_queue);
    put_number(o, "reader_queue", st->reader_queue);
    json_object_set_new(o, "writable", json_boolean(st->writable));
    return o;
}

static int run_status(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    service *sv = call->job.service;
    store_position where = store_where(s);
    store_counts counts = {0};
    hub_stats stats;
    hub_get_stats(sv->hub, &stats);
    int rc = store_count(s, &counts);
    put_text(call->reply, "version", SATCHEL_VERSION);
    put_text(call->reply, "data", sv->data);
    put_text(call->reply, "host", sv->host);
    put_number(call->reply, "sync_port", sv->sync_port);
    put_number(call->reply, "https_port", sv->https_port);
    put_number(call->reply, "uptime_ms", now_ms > sv->started_ms ? now_ms - sv->started_ms : 0);
    put_hex(call->reply, "pin", sv->identity->pin, sizeof sv->identity->pin);
    json_object_set_new(call->reply, "position", position_json(&where));
    json_object_set_new(call->reply, "store", counts_json(&counts));
    json_object_set_new(call->reply, "since_start", stats_json(&stats));
    return failed(call, rc, s, "cannot count the store");
}

static int run_sql(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)s;
    const char *text = text_member(call, "text");
    if (!text) return misuse(call, "no SQL");
    if (strlen(text) > CONTROL_SQL_BYTES) return SATCHEL_E_LIMIT;
    uint64_t transactions = 0, rows = 0;
    int rc = ingest_sql(g, text, now_ms, &transactions, &rows, &call->error);
    put_number(call->reply, "transactions", transactions);
    put_number(call->reply, "rows", rows);
    return rc;
}

static const control_command commands[] = {
    {"device.add", false, run_device_add, NULL},
    {"device.list", false, run_device_list, NULL},
    {"device.show", false, run_device_show, NULL},
    {"device.revoke", false, run_device_revoke, after_device_revoke},
    {"conflicts", false, run_conflicts, NULL},
    {"rejected", false, run_rejected, NULL},
    {"rejected.discard", false, run_rejected_discard, NULL},
    {"verify", true, run_verify, NULL},
    {"digest", true, run_digest, NULL},
    {"status", false, run_status, NULL},
    {"sql", true, run_sql, NULL},
};

const control_command *control_find(const char *name) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, name)) return &commands[i];
    return NULL;
}
