/* progress.h - how far a long piece of work is, told to whoever waits for it; and his wish that it end. */
#ifndef SERVER_PROGRESS_H
#define SERVER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct progress {
    /* `what` is static; `total` 0: unknown. False: give the work up (SATCHEL_E_CLOSED). On the worker's thread. */
    bool (*tell)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
} progress;

/* NULL is nobody who waits. */
static inline bool progress_tell(const progress *p, const char *what, uint64_t done, uint64_t total) {
    return !p || !p->tell || p->tell(p->ctx, what, done, total);
}

#endif
