/* What an admin can ask for. Members of requests and replies are named as in satchelctl's --json. */
#include <string.h>

#include "server/control_private.h"

static const control_command *const tables[] = {
    control_ca_commands,       control_device_commands, control_token_commands,   control_rejected_commands,
    control_store_commands,    control_scope_commands,  control_rollout_commands, control_automation_commands,
    control_transfer_commands, control_people_commands, control_alert_commands,   control_conflict_commands};
static const control_work *const works[] = {control_backup_works, control_scope_works, control_transfer_works,
                                            control_people_works, control_alert_works};

const control_command *control_find(const char *name) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const control_command *c = tables[i]; c->name; c++)
            if (!strcmp(c->name, name)) return c;
    return NULL;
}

const control_work *control_find_work(const char *name) {
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        for (const control_work *w = works[i]; w->name; w++)
            if (!strcmp(w->name, name)) return w;
    return NULL;
}
