/* ctl_ca.c - satchelctl ca status, rotate, retire. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/ctl.h"

static void print_authority(const char *heading, const json_t *authority) {
    static const ctl_column columns[] = {{"name", "name", CTL_TEXT}, {"end_ms", "ends", CTL_TIME}};
    if (!json_is_object(authority)) return;
    printf("%s\n", heading);
    ctl_record(authority, columns, sizeof columns / sizeof *columns);
}

static void print_lacking(const json_t *reply) {
    static const ctl_column columns[] = {{"name", "DEVICE", CTL_TEXT}, {"last_seen_ms", "LAST SEEN", CTL_TIME}};
    json_int_t n = json_integer_value(json_object_get(reply, "lacking"));
    if (!json_is_object(json_object_get(reply, "next"))) return;
    if (!n) {
        puts("\nEvery device trusts the new authority: satchelctl ca retire ends the old one.");
        return;
    }
    printf("\n%" JSON_INTEGER_FORMAT " %s the old authority; they get the new one when they next sync:\n", n,
           n == 1 ? "device still has only" : "devices still have only");
    ctl_table(json_object_get(reply, "devices"), columns, sizeof columns / sizeof *columns);
}

static void print_status(const json_t *reply) {
    print_authority("authority", json_object_get(reply, "authority"));
    print_authority("new authority", json_object_get(reply, "next"));
    print_lacking(reply);
}

int ctl_ca_status(ctl *c) {
    return ctl_show(c, json_pack("{ss}", "command", "ca.status"), NULL, print_status);
}

int ctl_ca_rotate(ctl *c) {
    return ctl_do(
        c, json_pack("{ss}", "command", "ca.rotate"), NULL,
        "There is a new authority beside the old one; devices get it when they next sync. See ca status, and make a backup.");
}

int ctl_ca_retire(ctl *c) {
    return ctl_do(c, json_pack("{ss sb}", "command", "ca.retire", "force", ctl_value(c, "force") != NULL), NULL,
                  "The old authority has ended. Make a backup.");
}
