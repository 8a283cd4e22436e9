/* exchange.h - one HTTPS request and its answer (RFC 9112), over a stream of its own: enrolment, and what a device asks on the sync port beside its
 * conversation. Steps that never block, for a loop that has more to do; or all of it in one call. */
#ifndef REPLICA_EXCHANGE_H
#define REPLICA_EXCHANGE_H

#include "replica/stream.h"

typedef struct exchange exchange;

/* A POST of JSON to `path`, to be over within `within_ms`. The stream's config as stream_new has it; `body` is copied, and wiped with the exchange. */
int exchange_new(const stream_config *c, const char *path, const char *body, uint64_t within_ms, exchange **out, buf *error);
void exchange_free(exchange *x);

/* Goes on as far as it can. 1: the answer is there, whatever it says; 0: not yet; the codes of stream_step and stream_read, SATCHEL_E_TIMEOUT,
 * _NETWORK: what answers does not speak HTTP; _MALFORMED: it says too much; with words. */
int exchange_step(exchange *x, buf *error);
/* Steps until it is over: SATCHEL_OK or the code. */
int exchange_run(exchange *x, buf *error);
/* Of the answer: its body as a zero-terminated text, valid until exchange_free. */
const char *exchange_answer(const exchange *x, unsigned *status);

/* Puts the words and returns rc. */
int exchange_fail(buf *error, int rc, const char *words);

#endif
