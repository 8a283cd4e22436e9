/* budget.h - how much one device, or one address, may ask of the server, so that others do not notice who asks too much.
 *
 * Each has a token bucket for each kind of cost, kept as the one moment at which it would be full again (the generic cell rate algorithm, ITU-T I.371):
 * a cost moves that moment on, and who is more than a burst ahead of now has to wait. It outlives connections, since a device that comes anew must not
 * begin anew; it is forgotten once it is full and nothing is open. Time is injected. It knows no sockets: what is refused, or read later, its user decides. */
#ifndef SERVER_BUDGET_H
#define SERVER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/limits.h"

#define BUDGET_NAME_BYTES 32u

/* Connections; bytes received, as they will be unpacked, and what a message costs besides, which is little for a pull; bytes sent. */
typedef enum budget_kind { BUDGET_CONNECTS, BUDGET_RECEIVED, BUDGET_SENT, BUDGET_KINDS } budget_kind;
#define BUDGET_FRAME_BYTES 4096u
#define BUDGET_PULL_BYTES 256u

typedef struct budget_rate {
    uint64_t per_minute; /* 0: without bound */
    uint64_t burst_s;    /* seconds' worth that may come at once */
} budget_rate;

typedef struct budget {
    struct budget *next;
    uint64_t full_ns[BUDGET_KINDS];
    unsigned open;    /* connections now */
    uint64_t limited; /* times that it was turned away or made to wait, until it is forgotten */
    uint64_t told_ms;
    char label[LIMIT_NAME_BYTES + 1]; /* for the log; its user's */
    uint8_t name[BUDGET_NAME_BYTES];
} budget;

/* Budgets of one kind of names. */
typedef struct budgets {
    budget_rate rate[BUDGET_KINDS];
    budget **table;
    size_t places, n, sweep_at; /* a power of two of places */
    budget *others;             /* whom there is no room for share this one */
    uint64_t limited;           /* times that any of them was */
} budgets;

/* Above this many, who comes new shares one budget with others who do. */
#define BUDGETS_MOST 65536u

void budgets_init(budgets *b, const budget_rate rate[BUDGET_KINDS]);
void budgets_fini(budgets *b);
/* The budget of a name of n bytes (longer ones are cut), with one more connection open; NULL without memory. The caller closes it. */
budget *budgets_open(budgets *b, const void *name, size_t n, uint64_t now_ms);
void budgets_close(budgets *b, budget *e);

/* Charges if it is within the budget: 0, else the milliseconds until it would be, and nothing is charged. */
uint64_t budget_ask(const budgets *b, budget *e, budget_kind kind, uint64_t amount, uint64_t now_ms);
/* Charges what has happened already. */
void budget_spend(const budgets *b, budget *e, budget_kind kind, uint64_t amount, uint64_t now_ms);
/* Milliseconds until what was charged is within the budget; 0: it is. */
uint64_t budget_wait(const budgets *b, const budget *e, budget_kind kind, uint64_t now_ms);
/* Takes a charge back. */
void budget_return(const budgets *b, budget *e, budget_kind kind, uint64_t amount);
/* Counts that it was limited; true if that is to be told now: the first time, then once in BUDGET_TELL_MS. */
bool budget_limited(budgets *b, budget *e, uint64_t now_ms);
/* Those that were limited most, the first first, at most n of them; how many there are. Valid until the next budgets_open. */
size_t budgets_most_limited(const budgets *b, const budget **out, size_t n);
#define BUDGET_TELL_MS 10000u

#endif
