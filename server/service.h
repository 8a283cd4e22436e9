/* service.h - what the front, the HTTPS answers and the admin's socket share: the hub behind them, and where the server is found.
 *
 * A service_job is work for the hub's writer whose end is told on the loop's thread. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/hub.h"
#include "server/identity.h"
#include "server/loop.h"

struct front;

typedef struct service {
    hub *hub;
    loop *loop;
    const identity *identity;
    const char *data;   /* the data directory, for the admin's eyes */
    char host[256];     /* the name that devices are told */
    uint16_t sync_port; /* as listened on */
    uint16_t https_port;
    unsigned certificate_days;           /* of a device; 0: IDENTITY_DEVICE_DAYS */
    struct api *api;                     /* of programs over HTTP; NULL: none is served */
    struct control *control;             /* the admin's commands; NULL: none are taken yet, or any more */
    const struct console_files *console; /* the page; NULL: none is served */
    struct notice *notice;               /* who tells of alerts; NULL: nobody */
    const datadir *files;                /* the data directory, for who changes keys and certificates in it */
    /* On the loop's thread: the files of keys and certificates have changed. What will not do is told, and everything stays as it was. */
    int (*reload)(void *ctx, buf *error);
    void *reload_ctx;
    /* On the loop's thread: appends what the front has for the metrics; NULL: nothing. */
    void (*front_metrics)(const struct front *front, buf *out);
    struct front *front;
    uint64_t started_ms;
    uint64_t (*now_ms)(void *ctx);
    atomic_uint min_version;      /* of version.h, which devices are to have at least; 0: any */
    atomic_uint devices_per_user; /* active or paused, and open enrolment codes; 0: without bound */
    bool draining;                /* no new work is taken */
} service;

typedef struct service_job service_job;
struct service_job {
    hub_job job;
    loop_task task;
    service *service;
    int rc; /* what `run` returned, or what the commit failed with */
    /* On the writer's thread, inside a transaction unless submitted without. */
    int (*run)(service_job *job, store *s, ingest *g, uint64_t now_ms);
    /* On the loop's thread, after the commit is durable or undone; frees the job. */
    void (*done)(service_job *job);
};

/* False when the server is closing: neither run nor done is called. `own_transaction`: see hub.h. */
bool service_submit(service *sv, service_job *job, bool own_transaction);

#endif
