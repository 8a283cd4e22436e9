/* session.h - the device's side of the conversation satchel.v1 (protocol/README.md) as a state machine without I/O: frames and the time go in,
 * frames and a deadline come out. The transport owns sockets and TLS; the loop (poll.c) carries bytes between the two.
 *
 * One session lives as long as its file; session_begin ... session_end bracket one connection. Every call works in short transactions of the
 * file's connection and never blocks for the network. Callbacks are called after the transaction that they tell of. */
#ifndef REPLICA_SESSION_H
#define REPLICA_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replica/file.h"
#include "replica/satchel.h"

typedef struct session session;

typedef struct session_callbacks {
    void *ctx;
    void (*changed)(void *ctx, const char *table);        /* may be NULL */
    void (*event)(void *ctx, const satchel_event *event); /* may be NULL */
} session_callbacks;

/* Borrows the file. SATCHEL_E_NOMEM. */
int session_new(file *f, const session_callbacks *callbacks, session **out);
void session_free(session *s);

/* A connection stands: queues hello. Database codes. */
int session_begin(session *s, uint64_t now_ms);
/* One binary frame arrived. After an error (always negative) send what session_output still has, close the connection and call session_end;
 * session_error has the words. Errors that the server named come back as the code it named. */
int session_receive(session *s, const void *frame, size_t n, uint64_t now_ms);
/* The next frame to send, if there is one: valid until the next call on this session. Sending is never acknowledged to it. */
bool session_output(session *s, const uint8_t **frame, size_t *n);
/* The app may have committed, time has passed, or session_output has given what there was: sends what is new, or had no room in the queue. Cheap when nothing
 * is. Codes as session_receive. */
int session_wake(session *s, uint64_t now_ms);
/* Compares all rows with the server as soon as everything is in step, and repairs what differs: events tell. Else that is done about once a day. A comparison
 * that is under way begins anew: SATCHEL_EVENT_CHECKED is of all rows as they were at this call, or later. */
void session_check(session *s);
/* It was asked for, or is under way because its day has come: who ends when all is done waits for it. */
bool session_check_wanted(const session *s);
/* When session_wake must be called at the latest (then it notices a server that does not answer: SATCHEL_E_TIMEOUT); UINT64_MAX if never. */
uint64_t session_deadline(const session *s);
/* The connection is gone. `rc` (0 for a wanted end) and words become the state that satchel_status shows and an event. */
void session_end(session *s, int rc, const char *text, uint64_t now_ms);
/* For the loop: tells that it began to connect, or gave up until a person acts. */
void session_set_state(session *s, satchel_sync_state state, int rc, const char *text);

satchel_sync_state session_state(const session *s);
/* Everything is sent and has its result, and the cursor stands at the server's head. */
bool session_in_step(const session *s);
/* Why session_receive or session_wake failed; "" if nothing did. */
const char *session_error(const session *s);
/* With SATCHEL_E_OVERLOAD and others of class RETRY: how long the server asks to stay away; 0 if it did not say. */
uint64_t session_retry_after_ms(const session *s);

#endif
