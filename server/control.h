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
 * The same commands run over HTTPS for people and programs, within their role (control_ask, api_command.c); what changes something is noted in the audit log
 * in its own transaction, whoever asked, and also if it was refused. A command that makes transactions of its own is noted before the first, and once more if
 * it fails.
 *
 * control_commands.c has the table of commands. The socket has mode 0600, lies in an owner-only directory, and a peer of another user than the
 * server's or root is turned away. Runs on the loop's thread; what touches the store runs as a job on the hub's writer. */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "server/audit.h"
#include "server/datadir.h"
#include "server/people.h"
#include "server/service.h"

#define CONTROL_SOCKET "control.sock"
/* A request: room for CONTROL_SQL_BYTES in JSON's escapes. Longer: answered with SATCHEL_E_LIMIT, the connection is closed. */
#define CONTROL_LINE_BYTES (48u << 20)
/* SQL of one request; satchelctl cuts a longer text where no transaction is open. */
#define CONTROL_SQL_BYTES (16u << 20)

typedef struct control control;
typedef struct control_call control_call;

/* Who asks, if it is not somebody at the socket. */
typedef struct control_asker {
    audit_who who;
    people_role role; /* what they may do */
    /* The answer, once, on the loop's thread, perhaps before control_ask returns. `reply` is borrowed. */
    void (*answer)(void *owner, int rc, const char *words, const json_t *reply);
    void *owner;
} control_asker;

/* SATCHEL_E_NETWORK if the socket cannot be made, with words. */
int control_open(service *sv, const datadir *data, control **out, buf *error);
/* Runs a command, and notes it; takes `request`. One that is above the asker's role is noted and refused: SATCHEL_E_ROLE. NULL: it has been answered. */
control_call *control_ask(control *c, const char *command, json_t *request, const control_asker *by);
/* Nobody waits for the answer, which does not come. A command goes on, a long work ends, undone. */
void control_abandon(control_call *call);
/* Whether it is a command that only reads, and does so on the writer. */
bool control_reads(const char *command);
/* Whether there is such a command, and it takes another role. */
bool control_refuses(const char *command, people_role role);
/* Notes that a command was refused before it was asked for; nothing if it is none. */
void control_note_refused(control *c, const char *command, const audit_who *who, int rc);
/* Long works (backup, verify) end soon, undone; no new ones are taken. */
void control_stop_works(control *c);
/* Takes nothing more; its handles go as the loop runs. */
void control_close(control *c);
/* After loop_close. */
void control_free(control *c);

#endif
