#include "protocol/satchel_rc.h"

#include <stddef.h>

const char *satchel_rc_text(int rc) {
    switch (rc) {
    case SATCHEL_OK:
        return "done";
#define X(name, number, class_, text)                                                                                            \
    case SATCHEL_E_##name:                                                                                                       \
        return text;
        SATCHEL_RC_LIST(X)
#undef X
    default:
        return "unknown error";
    }
}

const char *satchel_rc_name(int rc) {
    switch (rc) {
    case SATCHEL_OK:
        return "OK";
#define X(name, number, class_, text)                                                                                            \
    case SATCHEL_E_##name:                                                                                                       \
        return "E_" #name;
        SATCHEL_RC_LIST(X)
#undef X
    default:
        return "E_UNKNOWN";
    }
}

const char *satchel_rc_rule(int rc) {
    switch (rc) {
    case SATCHEL_E_CHECK:
        return "check";
    case SATCHEL_E_UNIQUE:
        return "unique";
    case SATCHEL_E_NOT_NULL:
        return "not null";
    case SATCHEL_E_FOREIGN_KEY:
        return "foreign key";
    case SATCHEL_E_GUARD:
        return "guard";
    case SATCHEL_E_SERVER_OWNED:
        return "server";
    case SATCHEL_E_APPEND_ONLY:
        return "append";
    case SATCHEL_E_KEY_TAKEN:
        return "key";
    default:
        return NULL;
    }
}

satchel_class satchel_rc_class(int rc) {
    switch (rc) {
    case SATCHEL_OK:
        return SATCHEL_CLASS_OK;
#define X(name, number, class_, text)                                                                                            \
    case SATCHEL_E_##name:                                                                                                       \
        return SATCHEL_CLASS_##class_;
        SATCHEL_RC_LIST(X)
#undef X
    default:
        return SATCHEL_CLASS_FATAL;
    }
}
