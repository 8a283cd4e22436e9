#include "server/os.h"

#include <errno.h>
#include <string.h>

#include "protocol/satchel_rc.h"

static int rc_of_errno(int e) {
    switch (e) {
    case ENOENT:
        return SATCHEL_E_NOT_FOUND;
    case EROFS:
    case EACCES:
    case EPERM:
        return SATCHEL_E_READONLY;
    case ENOSPC:
    case EDQUOT:
        return SATCHEL_E_FULL;
    case ENOMEM:
        return SATCHEL_E_NOMEM;
    default:
        return SATCHEL_E_IO;
    }
}

int os_fail(buf *error, const char *path, const char *name, const char *what) {
    int e = errno;
    buf_printf(error, "%s%s%s: %s: %s", path, name ? "/" : "", name ? name : "", what, strerror(e));
    return rc_of_errno(e);
}
