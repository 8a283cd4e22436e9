/* session_fixture.h - a device's conversation over replica_fixture.h, of which a test is the server: it writes messages into `message`, and reads frames. Times
 * are literals in milliseconds. */
#ifndef TESTS_UNIT_SESSION_FIXTURE_H
#define TESTS_UNIT_SESSION_FIXTURE_H

#include "replica/session.h"
#include "tests/support/replica_fixture.h"

#define NOW UINT64_C(1700000000000)

typedef struct talk {
    fixture *x;
    session *s;
    buf frame;   /* the last one that the device sent, unpacked */
    buf message; /* the server's, being written */
    char events[512];
    char changed[128];
} talk;

int session_setup(void **state);
int session_teardown(void **state);
/* The type of the next message that the device sends, 0 if it has none; the message is in t->frame. */
message_type sent(talk *t);
/* Lets the device receive t->message, and empties it. */
int say(talk *t, uint64_t now_ms);
msg_welcome welcome(talk *t);
int say_welcome(talk *t, const msg_welcome *m);
/* That the server has told all that it had to tell at the welcome. */
int say_told(talk *t);
void begin_with(talk *t, const msg_welcome *m);
void open_with(talk *t, const msg_welcome *m);
void open_talk(talk *t);
int say_page(talk *t, uint64_t from, uint64_t to, delta_row row);
int say_result(talk *t, const msg_result *r, size_t n);
/* Reads t->frame as a push: how many, the first and last number. */
unsigned read_push(talk *t, push_txn *first, push_txn *last);
msg_pull read_pull(talk *t);

#endif
