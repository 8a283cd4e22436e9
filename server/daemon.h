/* daemon.h - the whole server in one process: data directory, identity, store, hub, front and the admin's socket, from start to drained end. */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include "server/config.h"

/* Runs until SIGTERM or SIGINT, then finishes what is queued, sends it, and closes. At SIGHUP it reads the certificates again, and of the settings those
 * that can change (`config` changes with them); what will not do is told in the log, and stays as it was. `schema_dir`: the directory of migrations; `console_dir`:
 * that of the console's page, NULL: none is served.
 * When it listens it tells systemd, and prints one line to standard output
 *   satcheld: ready, sync HOST:PORT, https HOST:PORT, data DIR
 * and writes DIR/ports.json {"pid","host","listen","sync_port","https_port"}, which it removes when it ends. A failure to start returns its code with words in `error`. */
int daemon_run(config *c, const char *schema_dir, const char *console_dir, buf *error);

/* Whether a server could start with these settings: the data directory is there and ours or can be made (that another server runs on it is no fault), the
 * operator's certificate will do. Changes nothing but the lock file. */
int daemon_check(const config *c, buf *error);

#endif
