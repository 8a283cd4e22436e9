/* What commands share: members of replies, words for codes, listings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"

void control_put_hex(json_t *o, const char *member, const uint8_t *p, size_t n) {
    char text[2 * CRYPTO_FINGERPRINT_BYTES + 1] = "";
    for (size_t i = 0; i < n && i < CRYPTO_FINGERPRINT_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", p[i]);
    json_object_set_new(o, member, json_string(text));
}

/* What is no UTF-8 (a value that a migration's SQL wrote, say) still lists: its bytes over 127 become '?'. */
void control_put_text(json_t *o, const char *member, const char *text) {
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

void control_put_report(json_t *o, const char *member, buf *report) {
    buf_put_byte(report, 0);
    control_put_text(o, member, report->rc ? "" : (const char *)report->p);
}

void control_put_number(json_t *o, const char *member, uint64_t v) {
    json_object_set_new(o, member, json_integer((json_int_t)v));
}

void control_put_known(json_t *o, const char *member, uint64_t v) {
    json_object_set_new(o, member, v ? json_integer((json_int_t)v) : json_null());
}

int control_misuse(control_call *call, const char *words) {
    buf_printf(&call->error, "%s", words);
    return SATCHEL_E_MISUSE;
}

int control_failed(control_call *call, int rc, store *s, const char *what) {
    const char *detail = store_error(s);
    if (rc && !call->error.n)
        buf_printf(&call->error, "%s: %s%s%s%s", what, satchel_rc_text(rc), *detail ? " (" : "", detail, *detail ? ")" : "");
    return rc;
}

const char *control_text(control_call *call, const char *member) {
    return json_string_value(json_object_get(call->request, member));
}

int control_take_rules(control_call *call, const char **name, const char **text) {
    *name = control_text(call, "name");
    *text = control_text(call, "text");
    if (!*text || !control_is_name(*name)) return control_misuse(call, "which rules?");
    return strlen(*text) > CONTROL_SQL_BYTES ? SATCHEL_E_LIMIT : SATCHEL_OK;
}

/* A name for people: printable, not empty, not longer than a name may be. */
bool control_is_name(const char *name) {
    size_t n = name ? strlen(name) : 0;
    if (!n || n > LIMIT_NAME_BYTES || !value_utf8_valid((const uint8_t *)name, n)) return false;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        if (*p < 0x20 || *p == 0x7f) return false;
    return true;
}

bool control_list_add(control_listing *l, json_t *entry) {
    if (!l->left) {
        l->more = true;
        json_decref(entry);
        return false;
    }
    l->left--;
    json_array_append_new(l->array, entry);
    return true;
}

void control_list_put(control_call *call, const char *member, const control_listing *l) {
    json_object_set_new(call->reply, member, l->array);
    json_object_set_new(call->reply, "more", json_boolean(l->more));
}
