/* daemon.h - the whole server in one process: data directory, identity, store, hub, front and the admin's socket, from start to drained end. */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/buf.h"

typedef struct daemon_config {
    const char *data;
    const char *schema_dir;
    const char *listen; /* address */
    const char *hosts;  /* comma-separated, besides localhost, 127.0.0.1 and ::1; the first is what devices are told; or NULL */
    uint16_t sync_port, https_port; /* 0: any */
    bool restored;
    unsigned history_days, readers;
} daemon_config;

/* Runs until SIGTERM or SIGINT, then finishes what is queued, sends it, and closes. When it listens it prints one line to standard output
 *   satcheld: ready, sync HOST:PORT, https HOST:PORT, data DIR
 * and writes DIR/ports.json {"pid","host","listen","sync_port","https_port"}, which it removes when it ends. A failure to start returns its code with words in `error`. */
int daemon_run(const daemon_config *config, buf *error);

#endif
