/* poll.c - the loop that carries the session over the transport: when to connect, when to wait, when to try again; the thread that runs it; and
 * the enrolment that gives it a server.
 *
 * The handle's lock is held for one turn at a time and never while waiting. The transport belongs to whoever polls, so `polling` admits
 * one thread at a time. Which of several processes syncs a file is decided by flock on "<identity>/lock": a POSIX record lock (fcntl)
 * would not tell two handles of one process apart, and be lost when either closes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "replica/credentials.h"
#include "replica/enroll.h"
#include "replica/handle.h"
#include "replica/renew.h"
#include "replica/stream.h"
#include "replica/transport.h"
#include "replica/wipe.h"

/* Pauses after passing failures: decorrelated jitter (each is random between BACKOFF_MS and three times the one before), so that
 * devices that lost one server do not come back to it all at once. */
#define BACKOFF_MS 500
#define BACKOFF_MAX_MS 60000
/* After a failure that a person must mend: it may have been mended meanwhile, or a hotel's captive portal stood in for the server. */
#define STOP_MS 300000
/* Other handles and processes that commit to the file cannot wake this one; it looks by itself. */
#define LOOK_MS 500
/* How often the lock of another process is tried. */
#define LOCK_MS 250
/* How often a thread looks whether another process has enrolled the file. */
#define ENROLLED_MS 5000
/* How often a server that could not be told of a wipe is tried. */
#define WIPE_AGAIN_MS 60000
/* A server that asks for a longer absence is not believed. */
#define ASKED_MAX_MS 3600000
/* How often it is looked whether the certificate is to be renewed; and after that failed. */
#define RENEW_LOOK_MS 3600000
#define RENEW_AGAIN_MS 600000
/* A renewal under way is looked after so often. */
#define RENEW_STEP_MS 20
/* Enough under way to keep a line busy; more stays in the session, where it costs no memory. */
#define SEND_AHEAD_BYTES (512u << 10)

struct poll_loop {
    transport *transport;                       /* NULL until the first connection, and after poll_reset */
    uint8_t identity[CRYPTO_FINGERPRINT_BYTES]; /* digest_identity of what it was made with */
    int lock_fd;                                /* -1: not ours */
    int marker_fd;                              /* of a wipe that this handle carries out, -1: none */
    int wake_read, wake_write;
    bool begun;               /* session_begin was called for this connection */
    uint64_t pause_ms;        /* the last pause; 0 after a connection that came in step */
    uint64_t next_connect_ms; /* stream_clock_ms */
    int stopped;              /* why no connection is tried before next_connect_ms, if a person must act; else 0 */
    char stopped_text[320];
    renewal *renewal;       /* under way; else NULL */
    uint64_t next_renew_ms; /* stream_clock_ms */
    bool polling;
    bool threaded;
    atomic_bool stop;  /* the thread shall end */
    atomic_bool reset; /* the identity is another one */
    pthread_t thread;
};

static uint64_t wall_ms(const satchel *s) {
    return s->file->env.now_ms(s->file->env.ctx);
}

/* --- the loop and its wakeup ------------------------------------------------------------------------------------------------------ */

/* In the app's thread, inside its commit. A full pipe wakes as well as one byte. */
static void wake(void *ctx) {
    poll_loop *l = ctx;
    ssize_t put = write(l->wake_write, "", 1);
    (void)put;
}

static void drain_wakeup(poll_loop *l) {
    char bytes[64];
    while (read(l->wake_read, bytes, sizeof bytes) > 0) continue;
}

static int make_loop(satchel *s) {
    int fd[2];
    if (s->poll) return SATCHEL_OK;
    poll_loop *l = calloc(1, sizeof *l);
    if (!l) return SATCHEL_E_NOMEM;
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK)) {
        free(l);
        return SATCHEL_E_INTERNAL;
    }
    l->wake_read = fd[0];
    l->wake_write = fd[1];
    l->lock_fd = l->marker_fd = -1;
    s->poll = l;
    s->wake_ctx = l;
    s->wake = wake;
    return SATCHEL_OK;
}

/* True if this handle may sync its file; tries to get the lock. *rc tells of a failure other than that another has it. */
static bool take_lock(satchel *s, poll_loop *l, int *rc) {
    char path[4096];
    if (l->lock_fd >= 0) return true;
    snprintf(path, sizeof path, "%s/lock", s->file->identity);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        *rc = handle_fail(s, errno == ENOENT ? SATCHEL_E_NOT_ENROLLED : SATCHEL_E_READONLY, "cannot open %s: %s", path,
                          strerror(errno));
        return false;
    }
    if (!flock(fd, LOCK_EX | LOCK_NB)) {
        l->lock_fd = fd;
        /* Another may have synced since this one did, and what it took in is on no disk, or what its last sync was to bring there (N2). */
        s->file->unsynced = s->file->unproven = true;
        return true;
    }
    close(fd);
    *rc = SATCHEL_E_BUSY;
    return false;
}

/* --- connecting and ending ---------------------------------------------------------------------------------------------------------- */

static uint64_t random_between(satchel *s, uint64_t low, uint64_t high) {
    uint64_t r = 0;
    s->file->env.random(s->file->env.ctx, &r, sizeof r);
    return low + r % (high - low + 1);
}

/* How long the server wants to be left alone: it has said so in the conversation, or in the place of one. */
static uint64_t asked_ms(const satchel *s, const poll_loop *l) {
    uint64_t asked = l->begun ? session_retry_after_ms(s->session) : l->transport ? transport_retry_after_ms(l->transport) : 0;
    return asked > ASKED_MAX_MS ? ASKED_MAX_MS : asked;
}

/* Sets when to connect next, by what ended the last connection. */
static void schedule(satchel *s, poll_loop *l, int rc) {
    uint64_t now = stream_clock_ms();
    if (satchel_rc_class(rc) != SATCHEL_CLASS_RETRY) {
        l->stopped = rc;
        l->next_connect_ms = now + random_between(s, STOP_MS - STOP_MS / 5, STOP_MS + STOP_MS / 5);
        return;
    }
    uint64_t high = l->pause_ms ? l->pause_ms * 3 : BACKOFF_MS;
    l->pause_ms = random_between(s, BACKOFF_MS, high < BACKOFF_MAX_MS ? high : BACKOFF_MAX_MS);
    l->next_connect_ms = now + l->pause_ms + asked_ms(s, l);
}

/* Erases the data, tells the server; what of it could not be done is tried again later. The lock is given up while the network is met. */
static void carry_out_wipe(satchel *s, poll_loop *l) {
    wipe w = {.path = s->file->path, .identity = s->file->identity, .software = s->file->software};
    if (l->marker_fd < 0) l->marker_fd = wipe_claim(w.path);
    if (l->marker_fd < 0) return;
    if (!wipe_is_unlinked(s->file->db)) wipe_empty(s->file->db);
    pthread_mutex_unlock(&s->lock);
    int rc = wipe_erase(&w);
    if (!rc) rc = wipe_report(&w, l->marker_fd, &l->stop);
    pthread_mutex_lock(&s->lock);
    if (s->log && rc) s->log(s->log_ctx, rc, "the data are erased; the server could not be told yet");
    l->next_connect_ms = stream_clock_ms() + random_between(s, WIPE_AGAIN_MS / 2, WIPE_AGAIN_MS);
    if (rc) return;
    close(l->marker_fd);
    l->marker_fd = -1;
}

/* The server has ordered it. A disk that is too full for the marker has room once the data are gone. */
static void begin_wipe(satchel *s, poll_loop *l) {
    char host[256] = "", device[65];
    uint16_t port = 0;
    file_get_server(s->file, host, &port, device);
    s->wiped = true;
    if (wipe_order(s->file->path, host, port)) {
        wipe_empty(s->file->db);
        wipe_erase(&(wipe){.path = s->file->path});
        wipe_order(s->file->path, host, port);
    }
    carry_out_wipe(s, l);
}

static void end_renewal(poll_loop *l) {
    renew_free(l->renewal);
    l->renewal = NULL;
}

/* The connection is gone, or could not be made; a renewal has its own, and goes on where this device may come again. `words` may be the transport's or the
 * session's own. Returns rc if the caller must be told. */
static int end_connection(satchel *s, poll_loop *l, int rc, const char *words) {
    char text[320];
    snprintf(text, sizeof text, "%s", words && *words ? words : satchel_rc_text(rc));
    if (l->transport) transport_close(l->transport, rc ? 1001 : 1000);
    if (satchel_rc_class(rc) != SATCHEL_CLASS_RETRY) end_renewal(l);
    session_end(s->session, rc, rc ? text : "", wall_ms(s));
    if (rc) schedule(s, l, rc);
    l->begun = false;
    if (!rc) return SATCHEL_OK;
    if (s->log) s->log(s->log_ctx, rc, text);
    if (!l->stopped) return SATCHEL_OK;
    memcpy(l->stopped_text, text, sizeof text);
    session_set_state(s->session, SATCHEL_STOPPED, rc, text);
    if (rc == SATCHEL_E_WIPED) begin_wipe(s, l);
    return handle_fail(s, rc, "%s", text);
}

/* The key's fingerprint as the file has it. */
static void put_device(const uint8_t key[CRYPTO_FINGERPRINT_BYTES], char out[2 * CRYPTO_FINGERPRINT_BYTES + 1]) {
    for (unsigned i = 0; i < CRYPTO_FINGERPRINT_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", key[i]);
}

/* What a transport is made with: whichever handle enrols the file, or has its certificate renewed, changes it. */
static int digest_identity(satchel *s, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    char host[256], device[2 * CRYPTO_FINGERPRINT_BYTES + 1];
    uint16_t port;
    buf all = {0}, words = {0};
    int rc = file_get_server(s->file, host, &port, device);
    if (!rc) rc = credentials_read_file(s->file->identity, CREDENTIALS_CERT, &all, &words);
    if (!rc) rc = credentials_read_file(s->file->identity, CREDENTIALS_CA, &all, &words);
    if (!rc) buf_printf(&all, "%s %u", host, port);
    if (!rc) rc = all.rc;
    if (!rc) crypto_sha256(all.p, all.n, out);
    buf_fini(&words);
    buf_fini(&all);
    return rc;
}

/* Where it cannot be told, the transport is as good as before. */
static bool is_outdated(satchel *s, const poll_loop *l) {
    uint8_t is[CRYPTO_FINGERPRINT_BYTES];
    return !digest_identity(s, is) && memcmp(is, l->identity, sizeof is) != 0;
}

/* The key may be a new one; who it was changed by may have been killed before the file said so. */
static int open_transport(satchel *s, poll_loop *l, buf *error) {
    char host[256], device[2 * CRYPTO_FINGERPRINT_BYTES + 1], is[2 * CRYPTO_FINGERPRINT_BYTES + 1];
    transport_config c = {.host = host, .identity_dir = s->file->identity, .software = s->file->software};
    int rc = file_get_server(s->file, host, &c.port, device);
    digest_identity(s, l->identity); /* before it is read: what is written between is seen at the next connection */
    if (!rc) rc = transport_new(&c, &l->transport, error);
    if (rc) return rc;
    put_device(transport_key(l->transport), is);
    if (strcmp(is, device)) file_set_server(s->file, host, c.port, is);
    return SATCHEL_OK;
}

static int begin_connection(satchel *s, poll_loop *l) {
    buf error = {0};
    if (l->transport && is_outdated(s, l)) {
        transport_free(l->transport);
        l->transport = NULL;
    }
    int rc = l->transport ? SATCHEL_OK : open_transport(s, l, &error);
    l->stopped = SATCHEL_OK;
    if (rc) {
        rc = end_connection(s, l, rc, (const char *)error.p);
        buf_fini(&error);
        return rc;
    }
    l->next_renew_ms = 0;
    session_set_state(s->session, SATCHEL_CONNECTING, 0, "");
    rc = transport_connect(l->transport);
    return rc ? end_connection(s, l, rc, transport_error(l->transport)) : SATCHEL_OK;
}

/* --- one turn ------------------------------------------------------------------------------------------------------------------------ */

static int send_output(satchel *s, poll_loop *l) {
    const uint8_t *frame;
    size_t n;
    int rc = SATCHEL_OK;
    while (!rc && transport_queued(l->transport) < SEND_AHEAD_BYTES && session_output(s->session, &frame, &n))
        rc = transport_send(l->transport, frame, n);
    return rc;
}

/* Gives the session what has arrived, and the transport what the session says to it. *moved: something arrived. */
static int talk(satchel *s, poll_loop *l, bool *moved) {
    buf frame = {0};
    int rc = SATCHEL_OK;
    bool open = transport_state(l->transport) == TRANSPORT_OPEN;
    if (open && !l->begun) {
        l->begun = true;
        rc = session_begin(s->session, wall_ms(s));
        if (transport_orders(l->transport) & TRANSPORT_VERIFY) session_check(s->session);
    }
    while (!rc && l->begun && transport_receive(l->transport, &frame)) {
        rc = frame.rc ? frame.rc : session_receive(s->session, frame.p, frame.n, wall_ms(s));
        *moved = true;
    }
    if (!rc && open) rc = session_wake(s->session, wall_ms(s));
    buf_fini(&frame);
    int unsent = open ? send_output(s, l) : SATCHEL_OK;
    if (!rc) rc = unsent;
    if (session_in_step(s->session)) l->pause_ms = 0;
    return rc;
}

/* How long this turn may wait for the network. */
static int wait_bound_ms(satchel *s, const poll_loop *l, uint64_t until_ms) {
    uint64_t now = stream_clock_ms(), wait = until_ms > now ? until_ms - now : 0;
    transport_state_kind state = l->transport ? transport_state(l->transport) : TRANSPORT_IDLE;
    if (state == TRANSPORT_OPEN) {
        uint64_t due = session_deadline(s->session), wall = wall_ms(s);
        uint64_t left = due > wall ? due - wall : 0;
        if (left < wait) wait = left;
        if (wait > LOOK_MS) wait = LOOK_MS;
    } else if (state != TRANSPORT_CONNECTING) {
        uint64_t left = l->next_connect_ms > now ? l->next_connect_ms - now : 0;
        if (left < wait) wait = left;
    }
    if (l->renewal && wait > RENEW_STEP_MS) wait = RENEW_STEP_MS;
    return wait > INT32_MAX ? INT32_MAX : (int)wait;
}

static void wait_for_wakeup(const poll_loop *l, int timeout_ms) {
    struct pollfd p = {.fd = l->wake_read, .events = POLLIN};
    poll(&p, 1, timeout_ms);
}

/* Ends the connection; the next one begins at once, with the credentials as they are then. */
static void drop_connection(satchel *s, poll_loop *l) {
    if (l->begun)
        end_connection(s, l, SATCHEL_OK, NULL);
    else
        session_set_state(s->session, SATCHEL_OFFLINE, SATCHEL_OK, "");
    transport_free(l->transport);
    end_renewal(l);
    l->transport = NULL;
    l->begun = false;
    l->next_connect_ms = l->pause_ms = 0;
}

/* Whether a certificate is to be asked for; a new key that the server wants is made for it. It is made once: as long as it is not certified, it is there. */
static int look_at_certificate(satchel *s, poll_loop *l, bool *due, buf *error) {
    uint64_t server_ms = (uint64_t)((int64_t)wall_ms(s) + s->file->state.clock_offset_ms);
    unsigned orders = transport_orders(l->transport);
    int rc = orders & TRANSPORT_ROTATE_KEY ? renew_make_key(s->file->identity, error) : SATCHEL_OK;
    *due = !rc && (orders & TRANSPORT_RENEW || renew_is_due(s->file->identity, server_ms));
    return rc;
}

static int begin_renewal(satchel *s, poll_loop *l, buf *error) {
    char host[256], device[65];
    renew_server server = {.dir = s->file->identity, .host = host};
    int rc = file_get_server(s->file, host, &server.port, device);
    return rc ? rc : renew_begin(&server, &l->renewal, error);
}

/* On any connection, in step or not: who is always behind must not lose its certificate for that. What fails is tried again later. */
static void tend_certificate(satchel *s, poll_loop *l) {
    buf error = {0};
    uint64_t now = stream_clock_ms();
    bool due = true;
    int rc = SATCHEL_OK;
    if (!l->renewal) {
        if (!l->begun || now < l->next_renew_ms) return;
        l->next_renew_ms = now + RENEW_LOOK_MS;
        rc = look_at_certificate(s, l, &due, &error);
        if (due) rc = begin_renewal(s, l, &error);
    }
    if (!rc && due) rc = renew_step(l->renewal, &error);
    if (rc == 1) {
        if (s->log) s->log(s->log_ctx, SATCHEL_OK, "the certificate was renewed");
        drop_connection(s, l);
    } else if (rc) {
        end_renewal(l);
        l->next_renew_ms = now + random_between(s, RENEW_AGAIN_MS / 2, RENEW_AGAIN_MS);
        if (s->log) s->log(s->log_ctx, rc, error.n ? (const char *)error.p : satchel_rc_text(rc));
    }
    buf_fini(&error);
}

/* One turn: connects if it is time, exchanges, waits at most until `until_ms` for something to arrive, exchanges again. The lock is held by the
 * caller and given up for the wait. */
static int turn(satchel *s, poll_loop *l, uint64_t until_ms, bool *moved) {
    bool idle = !l->transport ||
                (transport_state(l->transport) != TRANSPORT_OPEN && transport_state(l->transport) != TRANSPORT_CONNECTING);
    int rc = SATCHEL_OK;
    if (idle && stream_clock_ms() >= l->next_connect_ms) rc = begin_connection(s, l);
    if (rc) return rc;
    int timeout_ms = wait_bound_ms(s, l, until_ms);
    pthread_mutex_unlock(&s->lock);
    if (l->transport)
        rc = transport_step(l->transport, timeout_ms, l->wake_read);
    else
        wait_for_wakeup(l, timeout_ms);
    pthread_mutex_lock(&s->lock);
    drain_wakeup(l);
    if (!l->transport) return SATCHEL_OK;
    /* What arrived before the connection broke still counts, above all the server's own words about why. */
    int heard = talk(s, l, moved);
    if (heard) return end_connection(s, l, heard, session_error(s->session));
    if (rc) return end_connection(s, l, rc, transport_error(l->transport));
    tend_certificate(s, l);
    return SATCHEL_OK;
}

/* Waits without syncing, but not longer than slice_ms. */
static void wait_aside(satchel *s, poll_loop *l, uint64_t until_ms, int slice_ms) {
    uint64_t now = stream_clock_ms(), wait = until_ms > now ? until_ms - now : 0;
    pthread_mutex_unlock(&s->lock);
    wait_for_wakeup(l, wait > (uint64_t)slice_ms ? slice_ms : (int)wait);
    pthread_mutex_lock(&s->lock);
    drain_wakeup(l);
}

/* Ends the connection and lets another process sync. */
static void let_go(satchel *s, poll_loop *l) {
    drop_connection(s, l);
    if (l->lock_fd >= 0) close(l->lock_fd);
    if (l->marker_fd >= 0) close(l->marker_fd);
    l->lock_fd = l->marker_fd = -1;
    l->stopped = SATCHEL_OK;
}

/* There is nothing to sync any more: goes on with the wipe until it is done, and waits. */
static int stay_wiped(satchel *s, poll_loop *l, uint64_t until_ms) {
    if (l->transport) transport_close(l->transport, 1000);
    l->begun = false;
    session_set_state(s->session, SATCHEL_STOPPED, SATCHEL_E_WIPED, satchel_rc_text(SATCHEL_E_WIPED));
    for (bool first = true; !atomic_load(&l->stop) && (first || stream_clock_ms() < until_ms); first = false) {
        if (stream_clock_ms() >= l->next_connect_ms) carry_out_wipe(s, l);
        wait_aside(s, l, until_ms, LOCK_MS);
    }
    return handle_fail(s, SATCHEL_E_WIPED, NULL);
}

/* --- the public functions --------------------------------------------------------------------------------------------------------------- */

/* Everything is in step, and what was to be done then is. */
static bool is_settled(satchel *s, const poll_loop *l) {
    return session_in_step(s->session) && !l->renewal && !session_check_wanted(s->session);
}

/* Turns until something was achieved or the time is over; see satchel_poll. */
static int poll_until(satchel *s, poll_loop *l, uint64_t until_ms) {
    bool was_settled = is_settled(s, l), moved = false;
    for (bool first = true;; first = false) {
        int rc = SATCHEL_OK;
        bool over = !first && stream_clock_ms() >= until_ms;
        if (atomic_load(&l->stop)) return 0;
        if (atomic_exchange(&l->reset, false)) let_go(s, l);
        if (handle_is_wiped(s)) return stay_wiped(s, l, until_ms);
        if (!take_lock(s, l, &rc)) {
            if (rc != SATCHEL_E_BUSY) return rc;
            if (over) return handle_fail(s, rc, "another handle or process syncs this file");
            wait_aside(s, l, until_ms, LOCK_MS);
            continue;
        }
        if (over) return l->stopped ? handle_fail(s, l->stopped, "%s", l->stopped_text) : is_settled(s, l);
        if ((rc = turn(s, l, until_ms, &moved))) return rc;
        if (is_settled(s, l) && (moved || !was_settled)) return 1;
    }
}

/* Takes the handle for polling: SATCHEL_E_MISUSE if it is being polled, or not open. */
static int enter(satchel *s) {
    if (!s->app) return handle_fail(s, SATCHEL_E_MISUSE, "the database is not open");
    int rc = make_loop(s);
    if (rc) return handle_fail(s, rc, NULL);
    if (s->poll->polling || s->poll->threaded)
        return handle_fail(s, SATCHEL_E_MISUSE, "this handle is already being synced by %s",
                           s->poll->threaded ? "its thread" : "another call");
    return SATCHEL_OK;
}

/* The network is met without the lock: a thread may go on syncing under the old identity meanwhile. */
int satchel_enroll(satchel *s, const char *code, const char *name) {
    enroll_result result;
    char device[2 * CRYPTO_FINGERPRINT_BYTES + 1];
    buf error = {0};
    if (!s->app || !code || !name)
        return handle_fail(s, SATCHEL_E_MISUSE, "satchel_enroll needs an open database, a code and a name");
    pthread_mutex_lock(&s->lock);
    int rc = handle_check(s);
    pthread_mutex_unlock(&s->lock);
    if (rc) return rc;
    rc = enroll_run(code, s->file->identity, name, s->file->software, &result, &error);
    pthread_mutex_lock(&s->lock);
    if (rc) {
        handle_fail(s, rc, "%s", error.n ? (const char *)error.p : satchel_rc_text(rc));
    } else {
        put_device(result.fingerprint, device);
        rc = file_set_server(s->file, result.sync_host, result.sync_port, device);
        if (rc) handle_fail(s, rc, "%s", (const char *)s->file->error.p);
    }
    pthread_mutex_unlock(&s->lock);
    if (!rc) poll_reset(s);
    buf_fini(&error);
    return rc;
}

int satchel_poll(satchel *s, int timeout_ms) {
    char host[256], device[65];
    uint16_t port;
    pthread_mutex_lock(&s->lock);
    int rc = enter(s);
    if (!rc && !handle_is_wiped(s) && (rc = file_get_server(s->file, host, &port, device))) handle_fail(s, rc, NULL);
    if (!rc) {
        s->poll->polling = true;
        rc = poll_until(s, s->poll, timeout_ms < 0 ? UINT64_MAX : stream_clock_ms() + (uint64_t)timeout_ms);
        s->poll->polling = false;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void *run(void *ctx) {
    satchel *s = ctx;
    poll_loop *l = s->poll;
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&l->stop)) {
        int rc = poll_until(s, l, stream_clock_ms() + STOP_MS);
        if (rc == SATCHEL_E_NOT_ENROLLED) wait_aside(s, l, UINT64_MAX, ENROLLED_MS);
        if (satchel_rc_class(rc < 0 ? rc : 0) == SATCHEL_CLASS_FATAL) break;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int satchel_start(satchel *s) {
    pthread_mutex_lock(&s->lock);
    int rc = s->poll && s->poll->threaded ? SATCHEL_OK : enter(s);
    if (!rc && !s->poll->threaded) {
        atomic_store(&s->poll->stop, false);
        s->poll->threaded = !pthread_create(&s->poll->thread, NULL, run, s);
        if (!s->poll->threaded) rc = handle_fail(s, SATCHEL_E_INTERNAL, "cannot make a thread");
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Ends the thread, if there is one and it is not this one. The lock is not held. */
static void join(satchel *s, poll_loop *l) {
    pthread_mutex_lock(&s->lock);
    bool threaded = l->threaded && !pthread_equal(pthread_self(), l->thread);
    pthread_mutex_unlock(&s->lock);
    if (!threaded) return;
    atomic_store(&l->stop, true);
    wake(l);
    pthread_join(l->thread, NULL);
    pthread_mutex_lock(&s->lock);
    atomic_store(&l->stop, false);
    l->threaded = false;
    let_go(s, l);
    pthread_mutex_unlock(&s->lock);
}

void satchel_stop(satchel *s) {
    if (s && s->poll) join(s, s->poll);
}

void poll_renew(satchel *s) {
    pthread_mutex_lock(&s->lock);
    if (s->poll) {
        s->poll->next_renew_ms = 0;
        wake(s->poll);
    }
    pthread_mutex_unlock(&s->lock);
}

int poll_hold(satchel *s) {
    satchel_stop(s);
    pthread_mutex_lock(&s->lock);
    int rc = enter(s);
    if (!rc && !handle_is_wiped(s) && !take_lock(s, s->poll, &rc) && rc == SATCHEL_E_NOT_ENROLLED) rc = SATCHEL_OK;
    if (rc == SATCHEL_E_BUSY) handle_fail(s, rc, "another handle or process syncs this file");
    if (!rc) drop_connection(s, s->poll);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void poll_reset(satchel *s) {
    if (!s->poll) return;
    atomic_store(&s->poll->reset, true);
    wake(s->poll);
}

void poll_close(satchel *s) {
    poll_loop *l = s->poll;
    if (!l) return;
    join(s, l);
    let_go(s, l);
    s->wake = NULL;
    s->poll = NULL;
    close(l->wake_read);
    close(l->wake_write);
    free(l);
}
