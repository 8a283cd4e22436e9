/* The disk before it is full: from the reserve on no changes are taken, so that pages are still served, cursors noted, the write-ahead log brought in
 * and an admin let in. It ends by itself. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"

#define LOOK_EVERY_MS 1000u
/* On a small disk the reserve is this part of it at most. */
#define RESERVE_SHARE 10u
/* A device whose push was not taken is served pages for so long, if it needs so long, before it is told. */
#define HELD_MS 20000u

static bool look(const hub *h, uint64_t *free_bytes, uint64_t *all_bytes) {
    struct statvfs disk;
    if (h->config.disk) return h->config.disk(h->config.ctx, free_bytes, all_bytes);
    if (statvfs(h->config.store_path, &disk)) return false;
    *free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    *all_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
    return true;
}

static uint64_t wal_bytes(const hub *h) {
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s-wal", h->config.store_path);
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

static void log_change(hub *h, bool low, uint64_t free_bytes, uint64_t reserve) {
    char text[LIMIT_TEXT_BYTES];
    snprintf(text, sizeof text,
             low ? "the disk is almost full, %" PRIu64 " MiB are free and %" PRIu64
                   " MiB reserved: no changes are taken, pages are served"
                 : "there is room on the disk again, %" PRIu64 " MiB with %" PRIu64 " MiB reserved: changes are taken",
             free_bytes >> 20, reserve >> 20);
    log_fields fields = {.level = low ? 'e' : 'i', .event = "store", .rc = low ? SATCHEL_E_FULL : SATCHEL_OK};
    h->config.log(h->config.ctx, &fields, text);
}

void hub_look_at_disk(hub *h, uint64_t now_ms) {
    uint64_t free_bytes = 0, all_bytes = 0;
    if (now_ms - h->disk_looked_ms < LOOK_EVERY_MS) return;
    h->disk_looked_ms = now_ms;
    if (!look(h, &free_bytes, &all_bytes)) return;
    uint64_t reserve = h->config.disk_reserve, wal = wal_bytes(h);
    if (reserve > all_bytes / RESERVE_SHARE) reserve = all_bytes / RESERVE_SHARE;
    pthread_mutex_lock(&h->mutex);
    h->stats.disk_free = free_bytes;
    h->stats.disk_reserve = reserve;
    h->stats.wal_bytes = wal;
    /* It takes a quarter more to come back than to go, so that it does not flutter. */
    bool low = free_bytes < (h->stats.disk_low ? reserve + reserve / 4 : reserve);
    if (low != h->stats.disk_low) log_change(h, low, free_bytes, reserve);
    h->stats.disk_low = low;
    pthread_mutex_unlock(&h->mutex);
}

bool hub_holds_push(hub *h, uint64_t id, uint64_t now_ms) {
    pthread_mutex_lock(&h->mutex);
    session *c = hub_find(h, id);
    /* Once one was not taken, none behind it is: their numbers ascend. */
    bool holds = c && (h->stats.disk_low || c->held_ms);
    if (holds && !c->held_ms) {
        c->held_ms = now_ms;
        h->held++;
    }
    pthread_mutex_unlock(&h->mutex);
    return holds;
}

static bool is_served(const hub *h, const session *c) {
    return c->credit && hub_waits(h, c) && !c->out;
}

void hub_end_held(hub *h, uint64_t now_ms) {
    pthread_mutex_lock(&h->mutex);
    bool any = h->held > 0;
    h->held = 0;
    for (size_t i = 0; any && i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || !c->held_ms || c->closing) continue;
        if (!h->stats.disk_low || is_served(h, c) || now_ms - c->held_ms > HELD_MS)
            hub_tell_and_close(h, c, SATCHEL_E_FULL, "the server's disk is almost full; nothing was taken, come back later");
        else
            h->held++;
    }
    pthread_mutex_unlock(&h->mutex);
    if (any) h->config.wake(h->config.ctx);
}
