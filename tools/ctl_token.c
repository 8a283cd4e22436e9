/* ctl_token.c - satchelctl token add, list, revoke. */
#include <stdio.h>

#include "tools/ctl.h"

int ctl_token_add(ctl *c) {
    json_t *reply,
        *request = json_pack("{ss ss ss*}", "command", "token.add", "name", c->word[2], "rights", ctl_value(c, "rights"));
    int rc = ctl_call(c, request, NULL, &reply);
    if (rc) return rc;
    if (c->json) {
        ctl_print_json(reply);
    } else {
        /* The token alone on standard output, so that a script can take it. */
        printf("%s\n", json_string_value(json_object_get(reply, "token")));
        fprintf(stderr, "This token is shown only now. Whoever has it reads and writes as \"%s\": keep it as a secret.\n",
                c->word[2]);
    }
    json_decref(reply);
    return CTL_DONE;
}

int ctl_token_list(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "NAME", CTL_TEXT},          {"rights", "RIGHTS", CTL_TEXT},     {"state", "STATE", CTL_TEXT},
        {"created_ms", "CREATED", CTL_TIME}, {"used_ms", "LAST USED", CTL_TIME},
    };
    return ctl_list(c, json_pack("{ss}", "command", "token.list"), "token list", "tokens", columns,
                    sizeof columns / sizeof *columns, NULL);
}

int ctl_token_revoke(ctl *c) {
    return ctl_do(c, json_pack("{ss ss}", "command", "token.revoke", "name", c->word[2]), NULL, "%s is revoked", c->word[2]);
}
