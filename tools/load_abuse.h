/* load_abuse.h - a device that takes more than its share, in ways that a broken or hostile one would: what it does comes from none of the library's
 * sessions, which keep to what they are told. */
#ifndef TOOLS_LOAD_ABUSE_H
#define TOOLS_LOAD_ABUSE_H

#include "tools/load.h"

/* FLOOD pushes one small transaction after the other and waits for no result; HUGE pushes of many rows; RECONNECT connects by full handshakes and goes; CROWD
 * opens connection after connection and keeps them; SNAPSHOT gets everything, again and again. */
typedef enum load_abuse_kind {
    ABUSE_FLOOD,
    ABUSE_HUGE,
    ABUSE_RECONNECT,
    ABUSE_CROWD,
    ABUSE_SNAPSHOT,
    ABUSE_KINDS
} load_abuse_kind;
extern const char *const load_abuse_names[ABUSE_KINDS];

/* What it did: messages and bytes that the kernel took, connections that opened, and connections that were refused or ended by the server. */
typedef struct load_abuse_counts {
    atomic_uint_fast64_t frames, bytes, opened, refused, received;
} load_abuse_counts;

typedef struct load_abuser load_abuser;
/* Begins, as device `number` of the fleet, in a thread of its own; NULL after telling why not. */
load_abuser *load_abuse_start(const load_fleet *f, unsigned number, load_abuse_kind kind);
const load_abuse_counts *load_abuse_look(const load_abuser *a);
/* The processor time that it took itself: it is on this machine only because it is tried here. */
uint64_t load_abuse_cpu_ns(const load_abuser *a);
/* Lets other threads go before the calling one. */
void load_abuse_yield(void);
void load_abuse_stop(load_abuser *a);

#endif
