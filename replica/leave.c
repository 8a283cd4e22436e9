/* leave.c - the end of a device by its user's wish, and a new key for one that goes on. */
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "replica/handle.h"
#include "replica/renew.h"
#include "replica/wipe.h"

int satchel_rotate_key(satchel *s) {
    char host[256], device[65];
    uint16_t port;
    buf error = {0};
    pthread_mutex_lock(&s->lock);
    int rc = handle_check(s);
    if (!rc && (rc = file_get_server(s->file, host, &port, device))) handle_fail(s, rc, NULL);
    if (!rc && (rc = renew_make_key(s->file->identity, &error)))
        handle_fail(s, rc, "%s", error.n ? (const char *)error.p : satchel_rc_text(rc));
    pthread_mutex_unlock(&s->lock);
    if (!rc) poll_renew(s);
    buf_fini(&error);
    return rc;
}

/* ---- signing out ---- */

/* In the transaction that keeps others from adding to it: what the server has not taken in, or has given back. */
static int check_unsent(satchel *s, uint64_t give_up, uint64_t *unsent) {
    uint64_t pending = 0, refused = 0;
    int rc = outbox_count(s->file, TXN_PENDING, &pending);
    if (!rc) rc = outbox_count(s->file, TXN_REFUSED, &refused);
    if (rc) return handle_fail(s, rc, "%s", (const char *)s->file->error.p);
    *unsent = pending + refused;
    if (*unsent <= give_up) return SATCHEL_OK;
    return handle_fail(
        s, SATCHEL_E_UNSENT,
        "signing out would lose %llu transactions that were not sent, and %llu refused ones that nobody has settled",
        (unsigned long long)pending, (unsigned long long)refused);
}

typedef struct server_left {
    int rc; /* why it is not known */
    char host[256], device[65];
    uint16_t port;
} server_left;

static void read_server(satchel *s, server_left *l) {
    l->rc = file_get_server(s->file, l->host, &l->port, l->device);
}

/* As far as it can be reached: its data go in any case. */
static void tell_server(satchel *s, const server_left *l) {
    renew_server server = {.dir = s->file->identity, .host = l->host, .port = l->port};
    buf error = {0};
    int rc = l->rc ? l->rc : renew_leave(&server, &error);
    if (rc && s->log) s->log(s->log_ctx, rc, error.n ? (const char *)error.p : satchel_rc_text(rc));
    buf_fini(&error);
}

/* A wipe of which nobody has to be told; what is killed in the middle of it goes on at the next opening. It begins in the transaction that has counted:
 * between the two nobody commits what would be lost. The server is told only then: to it there is no way back, and a file that stayed could send nothing
 * any more. */
static int order(satchel *s) {
    int rc = wipe_order(s->file->path, "", 0);
    if (rc) return handle_fail(s, rc, "cannot write beside %s", s->file->path);
    s->wiped = true;
    wipe_empty(s->file->db);
    return SATCHEL_OK;
}

static int leave(satchel *s, const server_left *server) {
    wipe w = {.path = s->file->path, .identity = s->file->identity, .software = s->file->software};
    int marker = wipe_claim(w.path);
    tell_server(s, server);
    int rc = marker < 0 ? SATCHEL_E_BUSY : wipe_erase(&w);
    if (!rc) rc = wipe_report(&w, marker, NULL);
    if (marker >= 0) close(marker);
    return rc ? handle_fail(s, rc, "not everything of %s could be erased; opening it goes on with that", w.path) : SATCHEL_OK;
}

int satchel_sign_out(satchel *s, uint64_t give_up, uint64_t *unsent) {
    uint64_t ignored;
    server_left server = {0};
    if (!unsent) unsent = &ignored;
    *unsent = 0;
    int rc = poll_hold(s);
    if (rc) return rc;
    pthread_mutex_lock(&s->lock);
    rc = handle_check(s);
    if (!rc && (rc = file_begin(s->file))) handle_fail(s, rc, "%s", (const char *)s->file->error.p);
    if (!rc) {
        rc = check_unsent(s, give_up, unsent);
        if (!rc) read_server(s, &server);
        if (!rc) rc = order(s);
        file_rollback(s->file);
    }
    if (!rc) rc = leave(s, &server);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
