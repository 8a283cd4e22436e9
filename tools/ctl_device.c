/* ctl_device.c - satchelctl device add, list, show, and what changes one. */
#include <stdio.h>
#include <string.h>

#include "tools/ctl.h"

static json_t *request_of(const char *command, const char *name) {
    return json_pack("{ss ss}", "command", command, "name", name);
}

/* With --profile, --user and --store as they were given. */
static json_t *scope_request(const ctl *c, const char *command) {
    return json_pack("{ss ss ss* ss* ss*}", "command", command, "name", c->word[2], "profile", ctl_value(c, "profile"), "user",
                     ctl_value(c, "user"), "store", ctl_value(c, "store"));
}

int ctl_device_add(ctl *c) {
    json_t *reply;
    int rc = ctl_call(c, scope_request(c, "device.add"), NULL, &reply);
    if (rc) return rc;
    rc = ctl_qr(json_string_value(json_object_get(reply, "enrolment_code")), ctl_value(c, "qr") != NULL, ctl_value(c, "qr-svg"));
    if (c->json) {
        ctl_print_json(reply);
    } else {
        /* The code alone on standard output, so that a script can take it. */
        printf("%s\n", json_string_value(json_object_get(reply, "enrolment_code")));
        fprintf(stderr, "This code enrols one device as \"%s\", once, within a day. It is a secret: hand it over as one.\n",
                c->word[2]);
    }
    json_decref(reply);
    return rc;
}

int ctl_device_list(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "NAME", CTL_TEXT},
        {"state", "STATE", CTL_TEXT},
        {"profile", "PROFILE", CTL_TEXT},
        {"last_seen_ms", "LAST SEEN", CTL_TIME},
        {"acked_seq", "ACKED", CTL_NUMBER},
        {"pending", "PENDING", CTL_NUMBER},
        {"rejected_open", "REJECTED", CTL_NUMBER},
        {"conflicts", "CONFLICTS", CTL_NUMBER},
        {"clock_offset_ms", "CLOCK", CTL_MILLISECONDS},
        {"software", "SOFTWARE", CTL_TEXT},
        {"platform", "PLATFORM", CTL_TEXT},
    };
    return ctl_list(c, json_pack("{ss}", "command", "device.list"), "device list", "devices", columns,
                    sizeof columns / sizeof *columns, NULL);
}

int ctl_device_show(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "name", CTL_TEXT},
        {"state", "state", CTL_TEXT},
        {"state_ms", "since", CTL_TIME},
        {"profile", "profile", CTL_TEXT},
        {"user", "user", CTL_TEXT},
        {"store", "store", CTL_TEXT},
        {"fingerprint", "key's fingerprint", CTL_TEXT},
        {"rotate_key_ms", "new key ordered", CTL_TIME},
        {"enrolled_ms", "enrolled", CTL_TIME},
        {"last_seen_ms", "last seen", CTL_TIME},
        {"software", "software", CTL_TEXT},
        {"platform", "platform", CTL_TEXT},
        {"schema_epoch", "schema epoch", CTL_NUMBER},
        {"acked_seq", "acknowledged up to", CTL_NUMBER},
        {"pending", "waiting on the device", CTL_NUMBER},
        {"pending_told_ms", "as told", CTL_TIME},
        {"rejected_open", "rejected, open", CTL_NUMBER},
        {"conflicts", "values that lost", CTL_NUMBER},
        {"clock_offset_ms", "clock, device - server", CTL_MILLISECONDS},
        {"clamped", "stamps from the future", CTL_NUMBER},
        {"held_bytes", "bytes of its files", CTL_NUMBER},
        {"room_bytes", "bytes they can come to", CTL_NUMBER},
        {"incarnations", "incarnations", CTL_NUMBER},
        {"verify_ms", "comparison ordered", CTL_TIME},
        {"compared_ms", "compared last", CTL_TIME},
        {"compared_rows", "rows compared", CTL_NUMBER},
        {"compared_ranges", "in ranges", CTL_NUMBER},
        {"compared_differed", "ranges that differed", CTL_NUMBER},
        {"compared_passed", "passed over", CTL_NUMBER},
    };
    static const ctl_column found[] = {{"table", "DIFFERED IN", CTL_TEXT},
                                       {"keys", "KEYS", CTL_WORDS},
                                       {"device_rows", "ROWS THERE", CTL_NUMBER},
                                       {"store_rows", "HERE", CTL_NUMBER}};
    static const ctl_column waiting[] = {{"table", "WAITING IN", CTL_TEXT}, {"changes", "CHANGES", CTL_NUMBER}};
    json_t *reply;
    int rc = ctl_call(c, request_of("device.show", c->word[2]), NULL, &reply);
    if (rc) return rc;
    const json_t *device = json_object_get(reply, "device"), *differed = json_object_get(device, "compared_found");
    const json_t *tables = json_object_get(device, "pending_tables");
    if (c->json)
        ctl_print_json(device);
    else
        ctl_record(device, columns, sizeof columns / sizeof *columns);
    if (!c->json && json_array_size(tables)) {
        putchar('\n');
        ctl_table(tables, waiting, sizeof waiting / sizeof *waiting);
    }
    if (!c->json && json_is_null(tables)) puts("\nThe device did not tell in which tables something waits.");
    if (!c->json && json_array_size(differed)) {
        putchar('\n');
        ctl_table(differed, found, sizeof found / sizeof *found);
    }
    json_decref(reply);
    return CTL_DONE;
}

int ctl_device_rename(ctl *c) {
    return ctl_do(c, json_pack("{ss ss ss}", "command", "device.rename", "name", c->word[2], "to", c->word[3]), NULL,
                  "%s is named %s", c->word[2], c->word[3]);
}

static const char *text_or(const json_t *o, const char *member, const char *otherwise) {
    const char *text = json_string_value(json_object_get(o, member));
    return text ? text : otherwise;
}

int ctl_device_set(ctl *c) {
    json_t *reply;
    int rc = ctl_call(c, scope_request(c, "device.set"), NULL, &reply);
    if (rc) return rc;
    const json_t *device = json_object_get(reply, "device");
    if (c->json)
        ctl_print_json(device);
    else
        printf("%s: profile %s, user %s, store %s\n", c->word[2], text_or(device, "profile", "full"),
               text_or(device, "user", "none"), text_or(device, "store", "none"));
    json_decref(reply);
    return CTL_DONE;
}

/* `now` says what it is, `before` that it was so already. */
static int change(ctl *c, const char *command, const char *now, const char *before) {
    json_t *reply;
    int rc = ctl_call(c, request_of(command, c->word[2]), NULL, &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        printf("%s %s\n", c->word[2], json_is_false(json_object_get(reply, "changed")) ? before : now);
    json_decref(reply);
    return CTL_DONE;
}

int ctl_device_pause(ctl *c) {
    return change(c, "device.pause", "is paused", "was paused before");
}

int ctl_device_resume(ctl *c) {
    return change(c, "device.resume", "is active", "was active before");
}

int ctl_device_revoke(ctl *c) {
    return change(c, "device.revoke", "is revoked", "was revoked before");
}

int ctl_device_wipe(ctl *c) {
    return change(c, "device.wipe", "is to be wiped: it erases its data when it next comes; see device show",
                  "was to be wiped before; it has not come yet");
}

int ctl_device_remove(ctl *c) {
    json_t *reply;
    int rc = ctl_call(c, request_of("device.remove", c->word[2]), NULL, &reply);
    if (rc) return rc;
    json_int_t grants = json_integer_value(json_object_get(reply, "grants"));
    if (c->json) {
        ctl_print_json(reply);
    } else {
        printf("%s is removed\n", c->word[2]);
        if (grants) printf("%" JSON_INTEGER_FORMAT " of its grants ended with it\n", grants);
        if (json_integer_value(json_object_get(reply, "codes"))) printf("the enrolment code of this name is good no more\n");
    }
    json_decref(reply);
    return CTL_DONE;
}

int ctl_device_sync(ctl *c) {
    return change(c, "device.sync", "comes again at once if it is connected; else it syncs when it next comes", "");
}

int ctl_device_resnapshot(ctl *c) {
    return change(c, "device.resnapshot", "gets a new snapshot when it next comes", "");
}

int ctl_device_rotate_key(ctl *c) {
    return change(c, "device.rotate_key", "makes a new key when it next comes, at once if it is connected; see device show", "");
}

int ctl_device_verify(ctl *c) {
    return change(c, "device.verify", "compares its rows when it next comes, at once if it is connected; see device show", "");
}
