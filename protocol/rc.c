#include "protocol/satchel_rc.h"

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
