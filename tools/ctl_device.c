/* ctl_device.c - satchelctl device add, list, show, revoke. */
#include <stdio.h>

#include "tools/ctl.h"

static json_t *request_of(const char *command, const char *name) {
    return json_pack("{ss ss*}", "command", command, "name", name);
}

int ctl_device_add(ctl *c) {
    json_t *reply;
    int rc = ctl_call(c, request_of("device.add", c->word[2]), NULL, &reply);
    if (rc) return rc;
    if (c->json) {
        ctl_print_json(reply);
    } else {
        /* The code alone on standard output, so that a script can take it. */
        printf("%s\n", json_string_value(json_object_get(reply, "enrolment_code")));
        fprintf(stderr, "This code enrols one device as \"%s\", once, within a day. It is a secret: hand it over as one.\n",
                c->word[2]);
    }
    json_decref(reply);
    return CTL_DONE;
}

int ctl_device_list(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "NAME", CTL_TEXT},
        {"state", "STATE", CTL_TEXT},
        {"last_seen_ms", "LAST SEEN", CTL_TIME},
        {"acked_seq", "ACKED", CTL_NUMBER},
        {"pending", "PENDING", CTL_NUMBER},
        {"rejected_open", "REJECTED", CTL_NUMBER},
        {"conflicts", "CONFLICTS", CTL_NUMBER},
        {"clock_offset_ms", "CLOCK", CTL_MILLISECONDS},
        {"software", "SOFTWARE", CTL_TEXT},
    };
    json_t *reply;
    int rc = ctl_call(c, request_of("device.list", NULL), "device list", &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(json_object_get(reply, "devices"));
    else
        ctl_table(json_object_get(reply, "devices"), columns, sizeof columns / sizeof *columns);
    json_decref(reply);
    return CTL_DONE;
}

int ctl_device_show(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "name", CTL_TEXT},
        {"state", "state", CTL_TEXT},
        {"fingerprint", "key's fingerprint", CTL_TEXT},
        {"enrolled_ms", "enrolled", CTL_TIME},
        {"last_seen_ms", "last seen", CTL_TIME},
        {"software", "software", CTL_TEXT},
        {"schema_epoch", "schema epoch", CTL_NUMBER},
        {"acked_seq", "acknowledged up to", CTL_NUMBER},
        {"pending", "waiting on the device", CTL_NUMBER},
        {"rejected_open", "rejected, open", CTL_NUMBER},
        {"conflicts", "values that lost", CTL_NUMBER},
        {"clock_offset_ms", "clock, device - server", CTL_MILLISECONDS},
        {"clamped", "stamps from the future", CTL_NUMBER},
        {"incarnations", "incarnations", CTL_NUMBER},
    };
    json_t *reply;
    int rc = ctl_call(c, request_of("device.show", c->word[2]), NULL, &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(json_object_get(reply, "device"));
    else
        ctl_record(json_object_get(reply, "device"), columns, sizeof columns / sizeof *columns);
    json_decref(reply);
    return CTL_DONE;
}

int ctl_device_revoke(ctl *c) {
    json_t *reply;
    int rc = ctl_call(c, request_of("device.revoke", c->word[2]), NULL, &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        printf("%s %s\n", c->word[2], json_is_true(json_object_get(reply, "was_active")) ? "is revoked" : "was revoked before");
    json_decref(reply);
    return CTL_DONE;
}
