/* Sessions and queues: what the front calls, opening and closing, the threads. */
#include "server/hub.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/store_private.h"

/* When a device is to come back. Room on a disk is made by people. */
#define RETRY_MS 1000
#define FULL_RETRY_MS 10000
#define PAUSED_RETRY_MS 300000

/* ---- sessions ---- */

static session *find(hub *h, uint64_t id) {
    size_t at = (size_t)(id & UINT32_MAX);
    if (at >= h->nslots) return NULL;
    session *c = h->slots[at];
    return c && c->id == id && !c->gone ? c : NULL;
}

static session *session_add(hub *h) {
    size_t at = h->free_slot;
    while (at < h->nslots && h->slots[at]) at++;
    h->free_slot = at;
    if (at == h->nslots) {
        size_t n = h->nslots ? h->nslots * 2 : 64;
        session **slots = realloc(h->slots, n * sizeof *slots);
        if (!slots) return NULL;
        memset(slots + h->nslots, 0, (n - h->nslots) * sizeof *slots);
        h->slots = slots;
        h->nslots = n;
    }
    session *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->id = ++h->generation << 32 | at;
    h->slots[at] = c;
    h->stats.sessions++;
    h->stats.sessions_total++;
    hub_note_begun(h, c);
    return c;
}

void hub_remove(hub *h, session *c) {
    size_t at = (size_t)(c->id & UINT32_MAX);
    h->slots[at] = NULL;
    if (at < h->free_slot) h->free_slot = at;
    h->stats.sessions--;
    hub_note_ended(h, c);
    hub_drop_change(h, c);
    buf_fini(&c->sums);
    hub_walk_fini(&c->walk);
    while (c->out) {
        output *o = c->out;
        c->out = o->next;
        frame_release(o->f);
        free(o);
    }
    free(c);
}

static void mark_ready(hub *h, session *c) {
    if (c->in_ready || c->left) return;
    c->in_ready = true;
    c->next_ready = NULL;
    if (h->ready_tail)
        h->ready_tail->next_ready = c;
    else
        h->ready = c;
    h->ready_tail = c;
}

static void unmark_ready(hub *h, session *c) {
    session **at = &h->ready, *before = NULL;
    while (*at && *at != c) {
        before = *at;
        at = &(*at)->next_ready;
    }
    if (!*at) return;
    *at = c->next_ready;
    if (h->ready_tail == c) h->ready_tail = before;
    c->in_ready = false;
}

static void tell_and_close(hub *h, session *c, int rc, const char *words);

static void queue_frame(hub *h, session *c, frame *f) {
    /* Once one is left out, what follows it is out of order. */
    output *o = f && !c->closing ? calloc(1, sizeof *o) : NULL;
    if (!o) {
        /* Out of memory: the device comes back and finds everything where it was. */
        frame_release(f);
        c->closing = true;
    } else {
        o->f = f;
        if (c->out_tail)
            c->out_tail->next = o;
        else
            c->out = o;
        c->out_tail = o;
        c->queued += f->n;
    }
    mark_ready(h, c);
}

/* A device that pushes and does not read what it is told has this much kept for it, and no more. */
#define QUEUE_LIMIT_BYTES (2 * (size_t)LIMIT_CONN_QUEUE_BYTES)

static void drop_if_deaf(hub *h, session *c) {
    if (c->queued <= QUEUE_LIMIT_BYTES || c->closing) return;
    tell_and_close(h, c, SATCHEL_E_OVERLOAD, "the device does not read what it is sent");
}

static void tell_and_close(hub *h, session *c, int rc, const char *words) {
    if (c->closing) return;
    msg_error m = {.rc = rc,
                   .retry_after_ms = rc == SATCHEL_E_FULL                          ? FULL_RETRY_MS
                                     : rc == SATCHEL_E_PAUSED                      ? PAUSED_RETRY_MS
                                     : satchel_rc_class(rc) == SATCHEL_CLASS_RETRY ? RETRY_MS
                                                                                   : 0,
                   .text = words,
                   .ntext = strlen(words)};
    buf message;
    buf_init(&message, 0);
    if (error_encode(&m, &message) == SATCHEL_OK) queue_frame(h, c, frame_of_message(&message));
    buf_fini(&message);
    c->closing = true;
    c->credit = 0;
    c->sync.end_rc = rc;
    snprintf(c->sync.end_text, sizeof c->sync.end_text, "%s", words);
    mark_ready(h, c);
    char line[LIMIT_TEXT_BYTES + 64], key[17];
    snprintf(line, sizeof line, "closing: %s", words);
    /* Until the writer has looked its name up, a device is the beginning of its key's fingerprint. */
    for (int i = 0; i < 8; i++) snprintf(key + 2 * i, 3, "%02x", c->fingerprint[i]);
    log_fields fields = {.level = rc == SATCHEL_E_CLOSED ? 'i' : 'w', .event = "closed", .rc = rc};
    fields.device = c->d.name[0] ? c->d.name : key;
    h->config.log(h->config.ctx, &fields, line);
}

void hub_queue_reader(hub *h, session *c) {
    c->in_readers = true;
    c->next_reader = NULL;
    if (h->readers_tail)
        h->readers_tail->next_reader = c;
    else
        h->readers = c;
    h->readers_tail = c;
    h->stats.reader_queue++;
}

void hub_want_reader(hub *h, session *c) {
    if (c->in_readers || c->closing || c->stalled || c->left || c->stale) return;
    if (!c->sums.n && (!c->credit || hub_waits(h, c))) {
        if (c->credit && !c->sync.current_ms) hub_note_current(h, c);
        return;
    }
    if (c->busy) {
        c->again = true;
        return;
    }
    hub_queue_reader(h, c);
    pthread_cond_signal(&h->reader_cond);
}

void hub_forget_reader(hub *h, session *c) {
    session **at = &h->readers, *before = NULL;
    while (*at && *at != c) {
        before = *at;
        at = &(*at)->next_reader;
    }
    if (!*at) return;
    *at = c->next_reader;
    if (h->readers_tail == c) h->readers_tail = before;
    c->in_readers = false;
    h->stats.reader_queue--;
}

static void add_input(hub *h, input *i) {
    if (h->inputs_tail)
        h->inputs_tail->next = i;
    else
        h->inputs = i;
    h->inputs_tail = i;
    h->input_bytes += sizeof *i + i->n;
    h->stats.writer_queue++;
    pthread_cond_signal(&h->writer_cond);
}

static bool add_kind(hub *h, input_kind kind, uint64_t id) {
    input *i = calloc(1, sizeof *i);
    if (!i) return false;
    i->kind = kind;
    i->session = id;
    add_input(h, i);
    return true;
}

/* ---- the front's calls ---- */

uint64_t hub_connect(hub *h, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    pthread_mutex_lock(&h->mutex);
    session *c = session_add(h);
    uint64_t id = c ? c->id : 0;
    if (c) {
        memcpy(c->fingerprint, fingerprint, sizeof c->fingerprint);
        if (!add_kind(h, INPUT_CONNECT, id)) tell_and_close(h, c, SATCHEL_E_OVERLOAD, satchel_rc_text(SATCHEL_E_OVERLOAD));
    }
    pthread_mutex_unlock(&h->mutex);
    return id;
}

void hub_set_peer(hub *h, uint64_t id, const char *peer) {
    pthread_mutex_lock(&h->mutex);
    session *c = find(h, id);
    if (c) snprintf(c->sync.peer, sizeof c->sync.peer, "%s", peer);
    pthread_mutex_unlock(&h->mutex);
}

void hub_disconnect(hub *h, uint64_t id) {
    pthread_mutex_lock(&h->mutex);
    session *c = find(h, id);
    if (c) {
        c->sync.ended_ms = h->config.now_ms(h->config.ctx);
        if (c->in_ready) unmark_ready(h, c);
        if (c->in_readers) hub_forget_reader(h, c);
        c->credit = 0;
        /* What the device said before it went still counts, above all what nothing answers: that a refusal is settled, what it holds. */
        c->left = (c->waiting_bytes || c->acked_dirty) && add_kind(h, INPUT_DISCONNECT, id);
        if (!c->left) hub_forget(h, c);
    }
    pthread_mutex_unlock(&h->mutex);
}

/* A pull needs no writer: it only gives credit. */
static int take_pull(hub *h, session *c, const void *message, size_t n) {
    msg_pull m;
    int rc = pull_decode(message, n, &m);
    if (rc) return rc;
    if (c->d.phase == DIALOG_FORKED) return SATCHEL_OK;
    if (c->d.phase != DIALOG_READY) return SATCHEL_E_ORDER;
    if (c->credit + m.credit > LIMIT_PULL_CREDIT) return SATCHEL_E_LIMIT;
    /* Until it has a snapshot whole, the device names the cursor that it had before, which this server may never have reached. */
    if (m.cursor > h->head && !c->began_snapshot) return SATCHEL_E_ORDER;
    c->credit += m.credit;
    if (m.cursor > c->acked && m.cursor <= c->place.cursor && !c->wants_snapshot) {
        c->acked = m.cursor;
        c->acked_dirty = true;
    }
    hub_want_reader(h, c);
    return SATCHEL_OK;
}

/* What all devices together have sent and the writer has not taken; above it they are told to come back later. */
#define INPUT_LIMIT_BYTES ((size_t)256 << 20)

/* So long after something light came in between, those whose work is heavy are bounded. */
#define SHARED_MS 1000u

static void note_sender(hub *h, const session *c) {
    uint64_t now_ms = h->config.now_ms(h->config.ctx);
    bool between = h->sender != c->id && now_ms < h->sent_ms + SHARED_MS, light = c->waiting_cost <= HUB_LIGHT_COST;
    if (c->d.phase != DIALOG_READY) return;
    if (between && light) h->shared_ms = now_ms + SHARED_MS;
    h->sender = c->id;
    h->sent_ms = now_ms;
}

/* Takes a frame for the writer. */
static int take_frame(hub *h, session *c, const void *bytes, size_t n) {
    if (n > LIMIT_FRAME_BYTES || c->waiting_bytes + sizeof(input) + n > 2 * LIMIT_PUSH_WINDOW_BYTES) return SATCHEL_E_LIMIT;
    if (h->input_bytes > INPUT_LIMIT_BYTES) return SATCHEL_E_OVERLOAD;
    input *i = calloc(1, sizeof *i + n);
    if (!i) return SATCHEL_E_OVERLOAD;
    i->kind = INPUT_FRAME;
    i->session = c->id;
    i->n = n;
    if (n) memcpy(i->p, bytes, n);
    i->cost = HUB_FRAME_COST + frame_unpacked_bytes(bytes, n);
    c->waiting_bytes += sizeof *i + n;
    c->waiting_cost += i->cost;
    add_input(h, i);
    note_sender(h, c);
    return SATCHEL_OK;
}

void hub_receive(hub *h, uint64_t id, const void *bytes, size_t n) {
    pthread_mutex_lock(&h->mutex);
    session *c = find(h, id);
    h->stats.frames_in++;
    h->stats.bytes_in += n;
    if (c) {
        c->sync.received_frames++;
        c->sync.received_bytes += n;
    }
    if (!c || c->closing) {
        pthread_mutex_unlock(&h->mutex);
        return;
    }
    int rc = message_peek(bytes, n) == MSG_PULL ? take_pull(h, c, bytes, n) : take_frame(h, c, bytes, n);
    if (rc) tell_and_close(h, c, rc, satchel_rc_text(rc));
    pthread_mutex_unlock(&h->mutex);
    if (rc) h->config.wake(h->config.ctx);
}

bool hub_is_shared(hub *h) {
    pthread_mutex_lock(&h->mutex);
    bool shared = h->config.now_ms(h->config.ctx) < h->shared_ms;
    pthread_mutex_unlock(&h->mutex);
    return shared;
}

size_t hub_waiting(hub *h, uint64_t id, char name[LIMIT_NAME_BYTES + 1]) {
    pthread_mutex_lock(&h->mutex);
    session *c = find(h, id);
    size_t n = c ? c->waiting_bytes : 0;
    snprintf(name, LIMIT_NAME_BYTES + 1, "%s", c ? c->d.name : "");
    pthread_mutex_unlock(&h->mutex);
    return n;
}

uint64_t hub_ready(hub *h) {
    pthread_mutex_lock(&h->mutex);
    session *c = h->ready;
    uint64_t id = 0;
    if (c) {
        id = c->id;
        unmark_ready(h, c);
    }
    pthread_mutex_unlock(&h->mutex);
    return id;
}

bool hub_output(hub *h, uint64_t id, hub_frame *out, bool *close) {
    pthread_mutex_lock(&h->mutex);
    session *c = find(h, id);
    bool there = c && c->out;
    *close = !c || (!there && c->closing);
    if (there) *out = (hub_frame){.n = c->out->f->n, .p = c->out->f->p};
    pthread_mutex_unlock(&h->mutex);
    return there;
}

bool hub_output_done(hub *h, uint64_t id) {
    pthread_mutex_lock(&h->mutex);
    session *c = find(h, id);
    bool more = !c;
    if (c && c->out) {
        output *o = c->out;
        c->out = o->next;
        if (!c->out) c->out_tail = NULL;
        c->queued -= o->f->n;
        h->stats.frames_out++;
        h->stats.bytes_out += o->f->n;
        c->sync.sent_frames++;
        c->sync.sent_bytes += o->f->n;
        frame_release(o->f);
        free(o);
        if (c->stalled && c->queued < LIMIT_CONN_QUEUE_BYTES / 2) {
            c->stalled = false;
            hub_want_reader(h, c);
        }
        if (!c->out && c->d.losses_left && !c->losses_asked && !c->closing) c->losses_asked = add_kind(h, INPUT_LOSSES, id);
        more = c->out || c->closing;
    }
    pthread_mutex_unlock(&h->mutex);
    return more;
}

bool hub_add_job(hub *h, hub_job *job) {
    input *i = h->stopping ? NULL : calloc(1, sizeof *i);
    if (!i) return false;
    i->kind = INPUT_JOB;
    i->job = job;
    add_input(h, i);
    return true;
}

bool hub_submit(hub *h, hub_job *job) {
    pthread_mutex_lock(&h->mutex);
    bool added = hub_add_job(h, job);
    pthread_mutex_unlock(&h->mutex);
    return added;
}

void hub_device_wiped(hub *h, int64_t device) {
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || c->d.device != device) continue;
        if (c->d.phase == DIALOG_NEW)
            c->d.wipe = true;
        else
            tell_and_close(h, c, SATCHEL_E_WIPED, satchel_rc_text(SATCHEL_E_WIPED));
    }
    hub_read_orders_soon(h);
}

void hub_drop_device(hub *h, int64_t device, int rc) {
    pthread_mutex_lock(&h->mutex);
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (c && c->d.device == device) tell_and_close(h, c, rc, satchel_rc_text(rc));
    }
    if (rc == SATCHEL_E_WIPED || rc == SATCHEL_E_REVOKED) hub_read_orders_soon(h);
    pthread_mutex_unlock(&h->mutex);
    h->config.wake(h->config.ctx);
}

void hub_set_min_version(hub *h, unsigned version) {
    char words[DIALOG_OLD_BYTES];
    pthread_mutex_lock(&h->mutex);
    h->min_version = version;
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || !c->d.version || c->d.version >= version) continue;
        dialog_say_old(c->d.version, version, words);
        tell_and_close(h, c, SATCHEL_E_VERSION, words);
    }
    pthread_mutex_unlock(&h->mutex);
    h->config.wake(h->config.ctx);
}

const char *hub_store_path(const hub *h) {
    return h->config.store_path;
}

void hub_note_refused_login(hub *h) {
    pthread_mutex_lock(&h->mutex);
    h->stats.auth_failures++;
    pthread_mutex_unlock(&h->mutex);
}

void hub_get_stats(hub *h, hub_stats *out) {
    pthread_mutex_lock(&h->mutex);
    *out = h->stats;
    out->seq = h->head;
    out->writable = h->stats.writable && !h->stats.disk_low;
    pthread_mutex_unlock(&h->mutex);
}

/* ---- opening, threads ---- */

static int read_schema_hashes(hub *h, buf *error) {
    unsigned n = store_schema(h->config.store)->epoch;
    h->schema_hash = calloc(n + 1, sizeof *h->schema_hash);
    if (!h->schema_hash) return SATCHEL_E_NOMEM;
    buf name, sql, all;
    buf_init(&name, 0);
    buf_init(&sql, 0);
    buf_init(&all, 0);
    uint8_t digest[32];
    crypto_sha256("", 0, digest);
    memcpy(h->schema_hash[0], digest, 8);
    int rc = SATCHEL_OK;
    for (unsigned e = 1; !rc && e <= n; e++) {
        buf_clear(&name);
        buf_clear(&sql);
        rc = schema_migration(store_db(h->config.store), e, &name, &sql);
        buf_put(&all, sql.p, sql.n);
        buf_put_byte(&all, 0);
        crypto_sha256(all.p, all.n, digest);
        memcpy(h->schema_hash[e], digest, 8);
    }
    if (rc) buf_printf(error, "the store's migrations cannot be read");
    buf_fini(&name);
    buf_fini(&sql);
    buf_fini(&all);
    return rc;
}

static void publish_position(hub *h) {
    store_position p = store_where(h->config.store);
    h->head = p.seq;
    h->high_stamp = p.high_stamp;
    h->floor = p.floor;
    memcpy(h->epoch, p.epoch, EPOCH_BYTES);
}

/* No conversation outlives the process: what was waiting in parts will be sent again. Parts of a refused transaction are all there is of it. A disk
 * without room for this is no reason not to start. */
static void drop_stages(store *s) {
    db_exec(&s->cache, "DELETE FROM satchel_stage WHERE (author,number) NOT IN (SELECT author,number FROM satchel_refused)", "");
}

int hub_open(const hub_config *config, hub **out, buf *error) {
    *out = NULL;
    hub *h = calloc(1, sizeof *h);
    if (!h) return SATCHEL_E_NOMEM;
    h->config = *config;
    if (!h->config.readers) h->config.readers = 1;
    h->stats.writable = true;
    h->schema = store_schema(config->store);
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->writer_cond, NULL);
    pthread_cond_init(&h->reader_cond, NULL);
    int rc = store_rewrite_log(config->store);
    if (rc) buf_printf(error, "the store's log cannot be written: %s", satchel_rc_text(rc));
    if (!rc) rc = ingest_new(config->store, &h->ingest);
    if (!rc) rc = view_sets_new(store_db(config->store), &h->sets);
    if (!rc) rc = store_begin_connections(config->store);
    if (rc && !error->n) buf_printf(error, "the store's tables cannot be prepared: %s", sqlite3_errmsg(store_db(config->store)));
    if (!rc) rc = read_schema_hashes(h, error);
    if (!rc) rc = snapshots_open(config->snapshot_path, config->store_path, &h->snaps, error);
    h->page_readers = calloc(h->config.readers, sizeof *h->page_readers);
    h->memo = checksum_memo_new();
    h->watch = alert_watch_new();
    if (!rc && (!h->page_readers || !h->memo || !h->watch)) rc = SATCHEL_E_NOMEM;
    if (!rc) rc = hub_history_open(h);
    for (; !rc && h->nreaders < h->config.readers; h->nreaders++)
        if ((rc = pages_open(&h->page_readers[h->nreaders], config->store_path, error))) break;
    if (rc) {
        hub_close(h);
        return rc;
    }
    drop_stages(config->store);
    publish_position(h);
    h->orders_changed = true;
    hub_read_orders(h);
    rc = db_integer(&config->store->cache, "SELECT max(id) FROM satchel_conflict", 0, &h->last_conflict);
    if (rc) {
        hub_close(h);
        return rc;
    }
    *out = h;
    return SATCHEL_OK;
}

void hub_close(hub *h) {
    if (!h) return;
    hub_stop(h);
    for (size_t i = 0; i < h->nslots; i++)
        if (h->slots[i]) hub_remove(h, h->slots[i]);
    free(h->slots);
    while (h->inputs) {
        input *i = h->inputs;
        h->inputs = i->next;
        if (i->kind == INPUT_JOB) i->job->done(i->job, SATCHEL_E_CLOSED);
        free(i);
    }
    for (unsigned i = 0; i < PAGE_CACHE; i++) frame_release(h->cache[i].f);
    for (unsigned i = 0; i < h->nreaders; i++) pages_close(&h->page_readers[i]);
    free(h->page_readers);
    checksum_memo_free(h->memo);
    alert_watch_free(h->watch);
    snapshots_close(h->snaps);
    for (unsigned i = 0; i < HUB_VIEWS; i++) view_release(h->views[i]);
    view_sets_free(h->sets);
    hub_history_close(h);
    ingest_free(h->ingest);
    free(h->schema_hash);
    buf_fini(&h->orders);
    pthread_cond_destroy(&h->writer_cond);
    pthread_cond_destroy(&h->reader_cond);
    pthread_mutex_destroy(&h->mutex);
    free(h);
}

static void wait_for(hub *h, pthread_cond_t *cond, unsigned ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, &h->mutex, &until);
}

static void *writer_main(void *arg) {
    hub *h = arg;
    for (;;) {
        if (hub_write_step(h)) continue;
        pthread_mutex_lock(&h->mutex);
        bool end = h->stopping && !h->inputs;
        if (!end && !h->inputs) wait_for(h, &h->writer_cond, 1000);
        pthread_mutex_unlock(&h->mutex);
        if (!end) continue;
        hub_write_history(h, h->config.now_ms(h->config.ctx), true);
        return NULL;
    }
}

static void *reader_main(void *arg) {
    struct reader_thread *t = arg;
    hub *h = t->h;
    for (;;) {
        if (hub_read_step(h, t->number)) continue;
        pthread_mutex_lock(&h->mutex);
        bool end = h->stopping;
        if (!end && !h->readers && (!h->building || h->stepping)) wait_for(h, &h->reader_cond, 1000);
        pthread_mutex_unlock(&h->mutex);
        if (end) return NULL;
    }
}

int hub_start(hub *h) {
    h->reader_threads = calloc(h->nreaders, sizeof *h->reader_threads);
    if (!h->reader_threads) return SATCHEL_E_NOMEM;
    if (pthread_create(&h->writer_thread, NULL, writer_main, h)) return SATCHEL_E_NOMEM;
    h->threads = true;
    for (; h->started_readers < h->nreaders; h->started_readers++) {
        struct reader_thread *t = &h->reader_threads[h->started_readers];
        *t = (struct reader_thread){.h = h, .number = h->started_readers};
        if (pthread_create(&t->thread, NULL, reader_main, t)) return SATCHEL_E_NOMEM;
    }
    return SATCHEL_OK;
}

void hub_stop(hub *h) {
    pthread_mutex_lock(&h->mutex);
    h->stopping = true;
    pthread_cond_broadcast(&h->writer_cond);
    pthread_cond_broadcast(&h->reader_cond);
    pthread_mutex_unlock(&h->mutex);
    if (h->threads) pthread_join(h->writer_thread, NULL);
    h->threads = false;
    for (unsigned i = 0; i < h->started_readers; i++) pthread_join(h->reader_threads[i].thread, NULL);
    h->started_readers = 0;
    free(h->reader_threads);
    h->reader_threads = NULL;
}

/* ---- shared with the writer ---- */

session *hub_find(hub *h, uint64_t id) {
    return find(h, id);
}

void hub_forget(hub *h, session *c) {
    /* A reader may be at work for it with the lock released; the writer knows it by its id alone. */
    if (c->busy) {
        c->gone = true;
        c->closing = true;
    } else {
        hub_remove(h, c);
    }
}

void hub_take_pull(hub *h, session *c, const void *message, size_t n) {
    int rc = take_pull(h, c, message, n);
    if (rc) tell_and_close(h, c, rc, satchel_rc_text(rc));
}

void hub_supersede(hub *h, uint64_t newer, const dialog *d) {
    const session *n = find(h, newer);
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || c->gone || c->id >= newer || c->d.phase != DIALOG_READY || c->d.device != d->device) continue;
        if (n && memcmp(c->fingerprint, n->fingerprint, sizeof n->fingerprint) != 0)
            tell_and_close(h, c, SATCHEL_E_CERTIFICATE, "the device has another key now");
        else if (c->d.author == d->author)
            tell_and_close(h, c, SATCHEL_E_SUPERSEDED, "the device has connected anew");
    }
}

void hub_queue_frame(hub *h, session *c, frame *f) {
    queue_frame(h, c, f);
    drop_if_deaf(h, c);
}

void hub_tell_and_close(hub *h, session *c, int rc, const char *words) {
    tell_and_close(h, c, rc, words);
}

void hub_publish(hub *h) {
    publish_position(h);
    for (size_t i = 0; i < h->nslots; i++)
        if (h->slots[i]) hub_want_reader(h, h->slots[i]);
}
