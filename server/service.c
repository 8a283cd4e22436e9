#include "server/service.h"

#include <stddef.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static int run_on_writer(hub_job *job, store *s, ingest *g, uint64_t now_ms) {
    service_job *j = CONTAINER(job, service_job, job);
    return j->run(j, s, g, now_ms);
}

static void done_on_loop(loop_task *task) {
    service_job *j = CONTAINER(task, service_job, task);
    j->done(j);
}

static void done_on_writer(hub_job *job, int rc) {
    service_job *j = CONTAINER(job, service_job, job);
    j->rc = rc;
    loop_post(j->service->loop, &j->task);
}

bool service_submit(service *sv, service_job *job, bool own_transaction) {
    job->service = sv;
    job->task.run = done_on_loop;
    job->job = (hub_job){.run = run_on_writer, .done = done_on_writer, .own_transaction = own_transaction};
    return !sv->draining && hub_submit(sv->hub, &job->job);
}
