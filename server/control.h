/* control.h - the admin's door: a Unix socket in the data directory, for its owner alone.
 *
 * One JSON object a line, one answer a request, in order:
 *
 *   {"command":"device.add","name":"till-07"}      {"ok":true,"code":"satchel1....","expires_ms":...}
 *   anything that fails                            {"ok":false,"code":"E_KEY_TAKEN","message":"..."}
 *
 * A request with "progress":true is told how far it is, where it takes long, by lines {"progress":{"what":...,"done":...,"total":...}} before the answer.
 * An export's rows come before its answer too (export.h).
 *
 * control_commands.c has the table of commands. The socket has mode 0600, lies in an owner-only directory, and a peer of another user than the
 * server's or root is turned away. Runs on the loop's thread; what touches the store runs as a job on the hub's writer. */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "server/datadir.h"
#include "server/service.h"

#define CONTROL_SOCKET "control.sock"
/* A request: room for CONTROL_SQL_BYTES in JSON's escapes. Longer: answered with SATCHEL_E_LIMIT, the connection is closed. */
#define CONTROL_LINE_BYTES (48u << 20)
/* SQL of one request; satchelctl cuts a longer text where no transaction is open. */
#define CONTROL_SQL_BYTES (16u << 20)

typedef struct control control;

/* SATCHEL_E_NETWORK if the socket cannot be made, with words. */
int control_open(service *sv, const datadir *data, control **out, buf *error);
/* Long works (backup, verify) end soon, undone; no new ones are taken. */
void control_stop_works(control *c);
/* Takes nothing more; its handles go as the loop runs. */
void control_close(control *c);
/* After loop_close. */
void control_free(control *c);

#endif
