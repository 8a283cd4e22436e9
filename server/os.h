/* os.h - what the operating system says about a file, as a code and words. */
#ifndef SERVER_OS_H
#define SERVER_OS_H

#include "protocol/buf.h"

/* The code for errno, with "path/name: what: the system's words" in `error`. `name` may be NULL. */
int os_fail(buf *error, const char *path, const char *name, const char *what);

#endif
