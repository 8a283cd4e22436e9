/* Seeds in processes. */
#include "tests/sim/worker.h"

#include <sys/wait.h>
#include <unistd.h>

/* A sanitizer tells of a leak when the process ends: whose it is is known if it had one seed. */
#if defined __has_feature
#if __has_feature(address_sanitizer)
#define SEEDS_MOST 1u
#endif
#elif defined __SANITIZE_ADDRESS__
#define SEEDS_MOST 1u
#endif
#ifndef SEEDS_MOST
#define SEEDS_MOST 200u
#endif

/* What a process is told. */
typedef struct order {
    bool end;
    sim_options options;
} order;

/* ---- inside ---- */

static void send_result(const sim_result *r, void *ctx) {
    const int *out = ctx;
    if (write(*out, r, sizeof *r) != sizeof *r) _exit(2);
}

_Noreturn static void work(int from, int to) {
    order o;
    for (unsigned n = 0; n < SEEDS_MOST && read(from, &o, sizeof o) == sizeof o && !o.end; n++)
        sim_run(&o.options, send_result, &to);
    exit(0);
}

/* ---- outside ---- */

static void start(worker *w, bool quiet) {
    int down[2], up[2];
    if (pipe(down) || pipe(up)) exit(2);
    fflush(NULL);
    *w = (worker){.pid = fork(), .to = down[1], .from = up[0]};
    if (w->pid < 0) exit(2);
    if (!w->pid) {
        close(down[1]);
        close(up[0]);
        if (quiet && !freopen("/dev/null", "w", stderr)) _exit(2);
        work(down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
}

static int wait_for_end(worker *w) {
    int status = 0;
    close(w->to);
    close(w->from);
    if (waitpid(w->pid, &status, 0) < 0) exit(2);
    w->pid = 0;
    return status;
}

/* One that is gone is found out when its result is awaited. */
static void tell(const worker *w, const order *o) {
    if (write(w->to, o, sizeof *o) != sizeof *o) return;
}

void worker_give(worker *w, const sim_options *o, bool quiet) {
    order give = {.options = *o};
    if (!w->pid) start(w, quiet);
    w->options = *o;
    w->seeds++;
    tell(w, &give);
}

static void explain_end(int status, sim_result *r) {
    snprintf(r->check, sizeof r->check, "the process ended");
    if (WIFSIGNALED(status))
        snprintf(r->words, sizeof r->words, "the process was ended by signal %d", WTERMSIG(status));
    else
        snprintf(r->words, sizeof r->words, "the process ended with status %d", WEXITSTATUS(status));
}

bool worker_take(worker *w, sim_result *r) {
    bool told = read(w->from, r, sizeof *r) == sizeof *r;
    if (told && !r->check[0] && w->seeds < SEEDS_MOST) return true;
    if (!told) *r = (sim_result){0};
    int status = wait_for_end(w);
    if (told && !r->check[0] && !status) return true;
    if (!r->check[0]) explain_end(status, r);
    return false;
}

void worker_end(worker *w) {
    if (!w->pid) return;
    tell(w, &(order){.end = true});
    wait_for_end(w);
}

bool worker_run(const sim_options *o, bool quiet, sim_result *r) {
    worker w = {0};
    worker_give(&w, o, quiet);
    bool passed = worker_take(&w, r);
    worker_end(&w);
    return passed;
}
