/* The writer: everything queued becomes one transaction; nothing is told before it is durable. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/hub_private.h"
#include "server/store_private.h"
#include "server/version.h"

#define GROUP_INPUTS 512u
#define GROUP_BYTES (8u << 20)
#define SEEN_EVERY_MS 2000u

/* One session's part in a group: a copy of its dialog, and what is to be said to it after the commit. */
typedef struct work {
    uint64_t id;
    dialog d;
    history_hello told; /* by a hello of this group */
    frame **said;
    size_t nsaid, room;
    int close_rc; /* close with this, after what is said */
    char words[LIMIT_TEXT_BYTES];
    int said_rc;     /* why an answer could not be kept: SATCHEL_E_NOMEM, or SATCHEL_E_LIMIT for one that no frame takes */
    bool hello;      /* said hello in this group, or is to */
    uint64_t pushed; /* transactions of its that got their result in this group */
} work;

/* A line for the log, kept until the group is durable: what is undone was not so. */
typedef struct line {
    struct line *next;
    log_fields fields;
    char name[LIMIT_NAME_BYTES + 1];
    char text[];
} line;

/* Inputs are run without undo points at first, which most need not. When one does, the whole group is rolled back and run again carefully, each message and
 * transaction with its own; one that costs much is run so from the beginning. */
typedef struct group {
    hub *h;
    bool careful, again;
    line *lines, **last_line;
    input *inputs;
    work *works;
    size_t nworks, room;
    work *current;
    bool scope_changed; /* all are to be looked at for what they are to hold */
    hub_look look;
    hub_trouble trouble;
    uint64_t now_ms;
    uint64_t conflicts, rows; /* logged, and changed, by this group */
    int64_t last_conflict;
    dialog_world world;
} group;

static bool said_room(work *w) {
    if (w->nsaid < w->room) return true;
    size_t room = w->room ? w->room * 2 : 8;
    frame **more = realloc(w->said, room * sizeof *more);
    if (!more) return false;
    w->said = more;
    w->room = room;
    return true;
}

static void on_say(void *ctx, const buf *message) {
    group *gr = ctx;
    work *w = gr->current;
    if (w->said_rc) return;
    buf packed;
    buf_init(&packed, 0);
    w->said_rc = frame_pack(message->p, message->n, &packed);
    frame *f = w->said_rc ? NULL : frame_of_bytes(packed.p, packed.n);
    buf_fini(&packed);
    if (!w->said_rc && (!f || !said_room(w))) w->said_rc = SATCHEL_E_NOMEM;
    if (w->said_rc)
        frame_release(f);
    else
        w->said[w->nsaid++] = f;
}

static void on_seen(void *ctx, const device_seen *seen) {
    group *gr = ctx;
    history_hello *told = &gr->current->told;
    const char *platform;
    size_t nplatform, n = version_products(seen->software, seen->nsoftware, &platform, &nplatform);
    *told = (history_hello){.taken = true, .schema_epoch = seen->schema_epoch, .clock_offset_ms = seen->clock_offset_ms};
    snprintf(told->software, sizeof told->software, "%.*s", (int)n, seen->software);
}

static void on_log(void *ctx, const log_fields *fields, const char *text) {
    group *gr = ctx;
    size_t n = strlen(text) + 1;
    line *l = malloc(sizeof *l + n);
    if (!l) return;
    l->next = NULL;
    l->fields = *fields;
    snprintf(l->name, sizeof l->name, "%s", gr->current ? gr->current->d.name : "");
    l->fields.device = l->name[0] ? l->name : NULL;
    memcpy(l->text, text, n);
    *gr->last_line = l;
    gr->last_line = &l->next;
}

static void finish_lines(group *gr, bool write) {
    while (gr->lines) {
        line *l = gr->lines;
        gr->lines = l->next;
        if (write) gr->h->config.log(gr->h->config.ctx, &l->fields, l->text);
        free(l);
    }
    gr->last_line = &gr->lines;
}

static void unsay(work *w, size_t down_to) {
    while (w->nsaid > down_to) frame_release(w->said[--w->nsaid]);
}

/* The group's copy of a session; NULL if the session is gone. SATCHEL_E_NOMEM: it may be there, and what it said must not be passed over. */
static int work_for(group *gr, uint64_t id, work **out) {
    *out = NULL;
    for (size_t i = 0; i < gr->nworks && !*out; i++)
        if (gr->works[i].id == id) *out = &gr->works[i];
    if (*out) return SATCHEL_OK;
    if (gr->nworks == gr->room) {
        size_t room = gr->room ? gr->room * 2 : 32;
        work *more = realloc(gr->works, room * sizeof *more);
        if (!more) return SATCHEL_E_NOMEM;
        gr->works = more;
        gr->room = room;
    }
    pthread_mutex_lock(&gr->h->mutex);
    session *c = hub_find(gr->h, id);
    bool there = c && !c->closing;
    work *w = &gr->works[gr->nworks];
    memset(w, 0, sizeof *w);
    if (there) w->d = c->d;
    pthread_mutex_unlock(&gr->h->mutex);
    if (!there) return SATCHEL_OK;
    w->id = id;
    gr->nworks++;
    *out = w;
    return SATCHEL_OK;
}

static void close_work(work *w, int rc, const char *words) {
    w->close_rc = rc;
    snprintf(w->words, sizeof w->words, "%s", words && *words ? words : satchel_rc_text(rc));
}

static int run_connect(group *gr, const input *i) {
    work *w;
    int rc = work_for(gr, i->session, &w);
    if (!w) return rc;
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    pthread_mutex_lock(&gr->h->mutex);
    session *c = hub_find(gr->h, i->session);
    if (c) memcpy(fingerprint, c->fingerprint, sizeof fingerprint);
    pthread_mutex_unlock(&gr->h->mutex);
    if (!c) return SATCHEL_OK;
    rc = dialog_begin(&w->d, gr->h->config.store, i->session, fingerprint, gr->now_ms);
    if (rc && !db_is_failure(rc)) {
        close_work(w, rc, NULL);
        rc = SATCHEL_OK;
    }
    return rc;
}

/* One message, undone alone if it fails. */
static int run_message(group *gr, work *w, const buf *message, buf *words) {
    store *s = gr->h->config.store;
    ingest_position before = ingest_where(gr->h->ingest);
    int rc = gr->careful ? store_savepoint(s) : SATCHEL_OK;
    if (rc) return rc;
    w->said_rc = SATCHEL_OK;
    rc = dialog_message(&w->d, &gr->world, message->p, message->n, words);
    if (!rc) rc = w->said_rc;
    if (!gr->careful) {
        gr->again = rc && !db_is_failure(rc);
        return rc;
    }
    if (!rc) return store_savepoint_release(s);
    store_savepoint_rollback(s);
    ingest_put_back(gr->h->ingest, &before);
    return rc;
}

/* Of those that are the readers', only the writer can read a compressed one. */
static void hand_over(group *gr, work *w, input *i, int kind, const buf *message) {
    if (i->handed_over) return;
    i->handed_over = true;
    pthread_mutex_lock(&gr->h->mutex);
    session *c = hub_find(gr->h, w->id);
    if (c && kind == MSG_PULL)
        hub_take_pull(gr->h, c, message->p, message->n);
    else if (c)
        hub_take_sums(gr->h, c, message->p, message->n);
    pthread_mutex_unlock(&gr->h->mutex);
}

/* The conversation has begun, or begun again. */
static void on_ready(group *gr, work *w) {
    w->hello = true;
    pthread_mutex_lock(&gr->h->mutex);
    hub_supersede(gr->h, w->id, &w->d);
    pthread_mutex_unlock(&gr->h->mutex);
    for (size_t i = 0; i < gr->nworks; i++) {
        work *other = &gr->works[i];
        if (other->id < w->id && other->d.phase == DIALOG_READY && other->d.author == w->d.author && !other->close_rc)
            close_work(other, SATCHEL_E_SUPERSEDED, "the device has connected anew");
    }
}

static int run_frame(group *gr, input *i) {
    work *w;
    int rc = work_for(gr, i->session, &w);
    if (!w || w->close_rc) return rc;
    gr->current = w;
    buf message, words;
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    buf_init(&words, LIMIT_TEXT_BYTES);
    size_t said = w->nsaid;
    dialog before = w->d;
    uint64_t settled = gr->world.accepted + gr->world.refused;
    rc = frame_unpack(i->p, i->n, &message);
    int kind = rc ? 0 : (int)message_peek(message.p, message.n);
    bool held = !rc && kind == MSG_PUSH && hub_holds_push(gr->h, w->id, gr->now_ms); /* it is sent again */
    if (!rc && (kind == MSG_PULL || kind == MSG_SUMS))
        hand_over(gr, w, i, kind, &message);
    else if (!rc && !held)
        rc = run_message(gr, w, &message, &words);
    if (rc && !db_is_failure(rc) && !gr->again) {
        unsay(w, said);
        w->d = before;
        buf_put_byte(&words, 0);
        close_work(w, rc, words.n > 1 ? (const char *)words.p : NULL);
        rc = SATCHEL_OK;
    }
    w->pushed += gr->world.accepted + gr->world.refused - settled;
    if (!rc && w->d.phase == DIALOG_READY && before.phase != DIALOG_READY) on_ready(gr, w);
    gr->current = NULL;
    buf_fini(&message);
    buf_fini(&words);
    return rc;
}

/* To a session whose device is to hear of something. */
static int say_news(group *gr, uint64_t id, int (*news)(dialog *, dialog_world *)) {
    work *w;
    int rc = work_for(gr, id, &w);
    if (!w || w->close_rc || w->d.phase != DIALOG_READY) return rc;
    gr->current = w;
    w->said_rc = SATCHEL_OK;
    rc = news(&w->d, &gr->world);
    gr->current = NULL;
    return rc ? rc : w->said_rc;
}

/* Losses of a session's device that it was not told of. */
static int say_losses(group *gr, uint64_t id) {
    return say_news(gr, id, dialog_losses);
}

/* The session of an incarnation, which has one at most that is not closing; 0 if it has none. */
static uint64_t session_of(hub *h, int64_t author) {
    uint64_t id = 0;
    pthread_mutex_lock(&h->mutex);
    for (size_t at = 0; !id && at < h->nslots; at++) {
        session *c = h->slots[at];
        if (c && !c->closing && c->d.phase == DIALOG_READY && c->d.author == author) id = c->id;
    }
    pthread_mutex_unlock(&h->mutex);
    return id;
}

/* The same as of this group, in which the device may have come, or come anew. */
static uint64_t session_now(group *gr, int64_t author) {
    for (size_t i = 0; i < gr->nworks; i++) {
        const work *w = &gr->works[i];
        if (!w->close_rc && w->d.phase == DIALOG_READY && w->d.author == author) return w->id;
    }
    return session_of(gr->h, author);
}

/* An admin has settled a refusal: its device hears of it at once if it is connected, else in its next hello. What cannot be said now does not undo it. */
static int say_settled(group *gr) {
    uint64_t id = session_now(gr, gr->h->config.store->settled_author);
    int rc = id ? say_news(gr, id, dialog_settled) : SATCHEL_OK;
    return db_is_failure(rc) ? rc : SATCHEL_OK;
}

/* A job that fails is undone alone; its code waits in `n` for done(). */
static int run_job(group *gr, input *i) {
    store *s = gr->h->config.store;
    ingest_position before = ingest_where(gr->h->ingest);
    int rc = store_savepoint(s);
    if (rc) return rc;
    s->settled_author = 0;
    rc = i->job->run(i->job, s, gr->h->ingest, gr->now_ms);
    if (rc) {
        store_savepoint_rollback(s);
        ingest_put_back(gr->h->ingest, &before);
    } else {
        rc = store_savepoint_release(s);
        if (!rc && s->settled_author) rc = say_settled(gr);
    }
    i->n = (size_t)-rc;
    return db_is_failure(rc) ? rc : SATCHEL_OK;
}

/* The cursor that a session's device has made durable, if it moved since it was saved. Under the mutex; device 0: it did not. */
typedef struct acked {
    int64_t device;
    uint64_t seq;
} acked;

static acked take_acked(session *c) {
    if (!c || !c->acked_dirty || !c->d.caught_up) return (acked){0};
    c->acked_dirty = false;
    return (acked){.device = c->d.device, .seq = c->acked};
}

static int save_acked(group *gr, acked a) {
    return a.device ? store_device_acked(gr->h->config.store, a.device, a.seq, gr->now_ms) : SATCHEL_OK;
}

/* Cursors that devices have made durable, so that the log can be pruned; late is harmless. */
static int run_seen(group *gr) {
    hub *h = gr->h;
    int rc = SATCHEL_OK;
    for (size_t at = 0; !rc; at++) {
        pthread_mutex_lock(&h->mutex);
        bool end = at >= h->nslots;
        acked a = take_acked(end ? NULL : h->slots[at]);
        pthread_mutex_unlock(&h->mutex);
        if (end) break;
        rc = save_acked(gr, a);
    }
    return rc;
}

/* A device that comes for a moment and goes: what it has is noted before its session is forgotten. */
static int run_disconnect(group *gr, uint64_t id) {
    pthread_mutex_lock(&gr->h->mutex);
    acked a = take_acked(hub_find(gr->h, id));
    pthread_mutex_unlock(&gr->h->mutex);
    return save_acked(gr, a);
}

static int run_input(group *gr, input *i) {
    switch (i->kind) {
    case INPUT_CONNECT:
        return run_connect(gr, i);
    case INPUT_FRAME:
        return run_frame(gr, i);
    case INPUT_LOSSES:
        return SATCHEL_OK; /* once it is known what the device is to hold: run_losses_left */
    case INPUT_DISCONNECT:
        return run_disconnect(gr, i->session);
    default:
        return i->job->own_transaction ? SATCHEL_OK : run_job(gr, i);
    }
}

static int run_inputs(group *gr) {
    int rc = SATCHEL_OK;
    for (input *i = gr->inputs; i && !rc; i = i->next) {
        rc = run_input(gr, i);
        if (!rc && !store_is_open(gr->h->config.store)) rc = SATCHEL_E_IO;
    }
    return rc;
}

#define LOSERS 512u

/* The devices that lost something since last_conflict, ascending; a few at a time, and *last says how far that went. */
static int find_losers(group *gr, int64_t *device, unsigned *n, int64_t *last) {
    store *s = gr->h->config.store;
    sqlite3_stmt *q = db_prepare(
        &s->cache, "SELECT device,max(id) FROM (SELECT id,lost_author FROM satchel_conflict WHERE id>? ORDER BY id LIMIT ?) c"
                   " LEFT JOIN satchel_author a ON a.author=c.lost_author GROUP BY device ORDER BY device");
    db_bind(q, "ii", *last, (int64_t)LOSERS);
    int rc;
    int64_t high = *last;
    for (*n = 0; (rc = db_next(&s->cache, q)) == 1;) {
        if (sqlite3_column_type(q, 0) != SQLITE_NULL) device[(*n)++] = sqlite3_column_int64(q, 0);
        if (sqlite3_column_int64(q, 1) > high) high = sqlite3_column_int64(q, 1);
    }
    *last = high;
    return rc;
}

static bool is_among(const int64_t *device, unsigned n, int64_t which) {
    unsigned low = 0;
    while (n) {
        unsigned half = n / 2;
        if (device[low + half] == which) return true;
        if (device[low + half] < which) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return false;
}

/* The next session, from slot *at on, of one of these devices; 0 if there is none left. One that waits for its turn to be looked at is told when that has come:
 * it may be to hold the row no more. */
static uint64_t next_loser(group *gr, const int64_t *device, unsigned n, size_t *at) {
    hub *h = gr->h;
    uint64_t id = 0;
    pthread_mutex_lock(&h->mutex);
    for (; !id && *at < h->nslots; ++*at) {
        session *c = h->slots[*at];
        if (!c || c->closing || hub_waits_for_look(c, &gr->look)) continue;
        if (c->d.phase == DIALOG_READY && is_among(device, n, c->d.device)) id = c->id;
    }
    pthread_mutex_unlock(&h->mutex);
    return id;
}

static bool may_be_told(group *gr, uint64_t id) {
    pthread_mutex_lock(&gr->h->mutex);
    const session *c = hub_find(gr->h, id);
    bool may = c && !hub_waits_for_look(c, &gr->look);
    pthread_mutex_unlock(&gr->h->mutex);
    return may;
}

/* Those that say hello in this group, which its sessions do not show yet: the answer may have been made before the loss. */
static int run_losses_of_hellos(group *gr, const int64_t *device, unsigned n) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < gr->nworks && n && !rc; i++) {
        const work *w = &gr->works[i];
        if (w->hello && is_among(device, n, w->d.device) && may_be_told(gr, w->id)) rc = say_losses(gr, w->id);
    }
    return rc;
}

/* Every connected device hears of its own losses as soon as they are in the log. */
static int run_losses(group *gr) {
    int64_t device[LOSERS], before;
    do {
        unsigned n;
        before = gr->last_conflict;
        int rc = find_losers(gr, device, &n, &gr->last_conflict);
        size_t at = 0;
        for (uint64_t id; !rc && n && (id = next_loser(gr, device, n, &at));) rc = say_losses(gr, id);
        if (!rc) rc = run_losses_of_hellos(gr, device, n);
        if (rc) return rc;
    } while (gr->last_conflict > before);
    return SATCHEL_OK;
}

/* Those for which there was no room before, and those of sessions that were passed over until their turn came. */
static int run_losses_left(group *gr) {
    int rc = SATCHEL_OK;
    for (input *i = gr->inputs; i && !rc; i = i->next)
        if (i->kind == INPUT_LOSSES && may_be_told(gr, i->session)) rc = say_losses(gr, i->session);
    for (size_t i = 0; i < gr->look.n && !gr->look.first && !rc; i++) rc = say_losses(gr, gr->look.id[i]);
    return rc;
}

/* A profile whose query fails leaves its devices with what they are to hold. */
static int find_target(group *gr, dialog *d) {
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    int rc = dialog_target(d, &gr->world, &words);
    if (rc == SATCHEL_E_RULE) {
        buf_put_byte(&words, 0);
        on_log(gr, &(log_fields){.level = 'e', .event = "store", .rc = rc}, words.p ? (const char *)words.p : "");
        rc = SATCHEL_OK;
    }
    buf_fini(&words);
    return rc;
}

/* One that is looked at: as its work in this group has it, if it has one. */
static int look_at(group *gr, uint64_t id, dialog *d) {
    work *w = NULL;
    for (size_t i = 0; i < gr->nworks && !w; i++)
        if (gr->works[i].id == id) w = &gr->works[i];
    if (w) d = &w->d;
    uint64_t before = d->target;
    if (d->phase != DIALOG_READY) return SATCHEL_OK; /* hello looks */
    int rc = find_target(gr, d);
    if (!rc && !w && d->target != before) rc = work_for(gr, id, &w);
    if (!rc && w) w->d.target = d->target;
    return rc;
}

/* What connected devices are to hold, if something was done that may have changed it: those that hold another view now are served anew after the commit. Each
 * is asked for by a query, so that a group looks at a few only, and the next goes on there. */
static int run_targets(group *gr) {
    hub *h = gr->h;
    int rc = SATCHEL_OK;
    bool touched = ingest_profiles_touched(h->ingest);
    /* Other rules: a bucket of this name may hold other rows from this commit on. */
    if (h->rules != h->config.store->scope_version) gr->scope_changed = true;
    h->rules = h->config.store->scope_version;
    hub_begin_look(h, &gr->look, hub_take_scope_changed(h) || gr->scope_changed, touched);
    dialog d;
    for (uint64_t id; !rc && (id = hub_next_stale(h, &gr->look, &d));) rc = look_at(gr, id, &d);
    return rc;
}

/* Up to the commit. */
static int try_group(group *gr) {
    hub *h = gr->h;
    int rc = store_begin(h->config.store);
    if (rc) return rc;
    uint64_t conflicts = ingest_conflicts(h->ingest), rows = ingest_rows(h->ingest);
    ingest_undo_points(h->ingest, gr->careful);
    rc = run_inputs(gr);
    if (!rc) rc = hub_run_due(h, &gr->world, &gr->trouble);
    if (h->scope_due) gr->scope_changed = true;
    if (!rc) rc = run_targets(gr);
    hub_say_alerts(&gr->world);
    ingest_undo_points(h->ingest, true);
    gr->conflicts = ingest_conflicts(h->ingest) - conflicts;
    gr->rows = ingest_rows(h->ingest) - rows;
    if (!rc) rc = run_losses_left(gr);
    if (!rc && gr->conflicts) rc = run_losses(gr);
    if (!rc && gr->now_ms - h->last_seen_ms >= SEEN_EVERY_MS) {
        h->last_seen_ms = gr->now_ms;
        rc = run_seen(gr);
    }
    if (!rc) rc = hub_put_ended(h, gr->now_ms);
    if (rc) store_rollback(h->config.store);
    return rc;
}

static void forget_works(group *gr) {
    for (size_t i = 0; i < gr->nworks; i++) {
        unsay(&gr->works[i], 0);
        free(gr->works[i].said);
    }
    gr->nworks = 0;
}

/* A job may do more than what a rollback takes back. */
static bool has_job(const input *i) {
    while (i && i->kind != INPUT_JOB) i = i->next;
    return i != NULL;
}

static int run_group(group *gr) {
    hub *h = gr->h;
    if (has_job(gr->inputs)) gr->careful = true;
    int rc = try_group(gr);
    if (gr->again) {
        forget_works(gr);
        finish_lines(gr, false);
        gr->world.accepted = gr->world.refused = gr->world.repeated = gr->world.forks = 0;
        gr->last_conflict = h->last_conflict;
        gr->again = false;
        gr->careful = true;
        rc = try_group(gr);
    }
    if (!rc) rc = store_commit(h->config.store);
    if (!rc) h->last_conflict = gr->last_conflict;
    finish_lines(gr, !rc);
    return rc;
}

/* ---- after the commit ---- */

static void deliver_work(hub *h, work *w) {
    session *c = hub_find(h, w->id);
    if (!c) return;
    bool was_ready = c->d.phase == DIALOG_READY;
    c->d = w->d;
    c->sync.device = c->d.device;
    if (w->told.taken) c->sync.hello = w->told;
    c->sync.pushed += w->pushed;
    if (w->hello || was_ready != (w->d.phase == DIALOG_READY)) {
        c->round++;
        c->credit = 0;
    }
    if (w->hello) {
        c->since_ms = h->config.now_ms(h->config.ctx);
        c->place = (page_place){.cursor = w->d.cursor, .scanned = w->d.cursor};
        c->view = w->d.view;
        c->announced = w->d.announced;
        c->due = w->d.cursor < h->head;
        hub_drop_change(h, c);
        c->wants_snapshot = c->began_snapshot = w->d.wants_snapshot;
        c->snapshot = w->d.snapshot;
        c->snapshot_page = w->d.snapshot_page;
        c->acked = 0;
    }
    c->losses_asked = false;
    for (size_t i = 0; i < w->nsaid; i++) hub_queue_frame(h, c, w->said[i]);
    w->nsaid = 0;
    if (w->close_rc) hub_tell_and_close(h, c, w->close_rc, w->words);
    /* Another page names a view only when it changes: a new welcome tells the device that it does not. */
    if (c->announced && c->view == c->d.target && !c->wants_snapshot)
        hub_tell_and_close(h, c, SATCHEL_E_CLOSED, "what it is to hold was changed back; it comes back and is told");
}

/* Tells everyone who had something in the group, reached or not, that nothing of it was taken. What the device should do is come back, whatever
 * is the matter here. */
static void fail_inputs(hub *h, const input *inputs, int rc) {
    if (satchel_rc_class(rc) != SATCHEL_CLASS_RETRY) rc = SATCHEL_E_OVERLOAD;
    for (const input *i = inputs; i; i = i->next) {
        session *c = i->kind == INPUT_JOB ? NULL : hub_find(h, i->session);
        if (c) hub_tell_and_close(h, c, rc, "the server could not write its store; nothing was taken, come back later");
    }
}

static void finish_group(group *gr, int rc) {
    hub *h = gr->h;
    hub_audience list[HUB_AUDIENCES];
    unsigned n = rc ? 0 : hub_list_audiences(h, list);
    pthread_mutex_lock(&h->mutex);
    hub_set_writable(h, rc, gr->world.accepted > 0, gr->now_ms);
    if (rc) fail_inputs(h, gr->inputs, rc);
    if (rc) hub_look_failed(h, &gr->look);
    for (size_t i = 0; i < gr->nworks && !rc; i++) deliver_work(h, &gr->works[i]);
    for (size_t i = 0; i < gr->nworks && !rc; i++)
        if (gr->works[i].d.wiped) hub_device_wiped(h, gr->works[i].d.device);
    forget_works(gr);
    for (input *i = gr->inputs; i; i = i->next) {
        h->stats.writer_queue--;
        session *c = i->kind == INPUT_FRAME || i->kind == INPUT_DISCONNECT ? hub_find(h, i->session) : NULL;
        if (c && i->kind == INPUT_DISCONNECT)
            hub_forget(h, c);
        else if (c) {
            c->waiting_bytes -= sizeof *i + i->n;
            c->waiting_cost -= i->cost;
        }
    }
    hub_ended_are_put(h, !rc);
    if (!rc) {
        h->stats.groups++;
        h->stats.txns_accepted += gr->world.accepted;
        h->stats.txns_refused += gr->world.refused;
        h->stats.txns_repeated += gr->world.repeated;
        h->stats.forks += gr->world.forks;
        h->stats.conflicts += gr->conflicts;
        h->stats.rows_in += gr->rows;
        if (h->scope_due) memcpy(h->stats.scope_trouble, gr->trouble.text, sizeof gr->trouble.text);
        h->scope_due = h->timers_due = false;
        hub_looked_at(h, &gr->look);
        hub_pass_by(h, list, n);
        hub_publish(h);
    }
    pthread_mutex_unlock(&h->mutex);
    h->config.wake(h->config.ctx);
}

static void finish_jobs(group *gr, int rc) {
    hub *h = gr->h;
    while (gr->inputs) {
        input *i = gr->inputs;
        gr->inputs = i->next;
        if (i->kind == INPUT_JOB) {
            int own = rc ? rc : -(int)i->n;
            if (i->job->own_transaction && h->stats.disk_low) {
                own = SATCHEL_E_FULL;
            } else if (i->job->own_transaction) {
                own = i->job->run(i->job, h->config.store, h->ingest, gr->now_ms);
                hub_say_alerts(&gr->world);
                finish_lines(gr, true);
                pthread_mutex_lock(&h->mutex);
                if (ingest_profiles_touched(h->ingest)) hub_make_stale(h, false);
                hub_publish(h);
                pthread_mutex_unlock(&h->mutex);
                h->config.wake(h->config.ctx);
            }
            i->job->done(i->job, own);
        }
        free(i);
    }
}

/* ---- whose turn it is ---- */

/* What a group takes of heavy sessions, or one message. */
#define HEAVY_COST (64u << 10)
/* How far light ones are looked for behind heavy ones. */
#define LOOK_INPUTS 4096u

/* What one group takes. */
typedef struct turn {
    bool alone;           /* nobody would feel it */
    uint64_t most, heavy; /* cost of heavy sessions: at most, so far */
    bool passed;          /* something is left where it was, so only light sessions that are well under way go on */
} turn;

/* Whether it belongs in the group. One session's inputs stay in their order, since all or none of them pass; so do a device's, whose new connection is not under way
 * before its hello was taken; and so do connections, goings and jobs. */
static bool is_due_now(hub *h, const input *i, turn *t) {
    if (t->alone) return true;
    session *c = i->kind == INPUT_JOB ? NULL : hub_find(h, i->session);
    bool heavy = c && c->waiting_cost > HUB_LIGHT_COST;
    bool may_pass = c && !heavy && (i->kind == INPUT_FRAME || i->kind == INPUT_LOSSES) && c->d.phase == DIALOG_READY;
    if (t->passed) return may_pass;
    if (heavy && t->heavy && t->heavy + i->cost > t->most) t->passed = true;
    if (heavy && !t->most) t->passed = true;
    if (heavy && !t->passed) t->heavy += i->cost;
    return !t->passed;
}

static input *take_turn(hub *h, turn *t) {
    input *first = NULL, **last = &first, *kept = NULL;
    size_t bytes = 0;
    unsigned n = 0, looked = 0;
    for (input **at = &h->inputs, *i; (i = *at) && n < GROUP_INPUTS && bytes < GROUP_BYTES && looked < LOOK_INPUTS; looked++) {
        if (!is_due_now(h, i, t)) {
            kept = i;
            at = &i->next;
            continue;
        }
        *at = i->next;
        if (!*at) h->inputs_tail = kept;
        i->next = NULL;
        *last = i;
        last = &i->next;
        bytes += i->n;
        n++;
        h->input_bytes -= sizeof *i + i->n;
    }
    return first;
}

/* Light ones go before heavy ones, but not twice in a row. Where nobody is heavy, or nobody light has come for a while, all go as they came. *careful: to be run so at once, since running it again would
 * cost more than the undo points. */
static input *take_inputs(hub *h, uint64_t now_ms, bool *careful) {
    bool alone = now_ms >= h->shared_ms;
    turn light = {.alone = alone}, heavy = {.alone = alone, .most = HEAVY_COST};
    input *first = h->owed ? NULL : take_turn(h, &light);
    h->owed = first && light.passed;
    if (!first) first = take_turn(h, &heavy);
    *careful = heavy.heavy > 0;
    return first;
}

bool hub_write_step(hub *h) {
    group gr = {.h = h, .now_ms = h->config.now_ms(h->config.ctx), .last_conflict = h->last_conflict};
    gr.last_line = &gr.lines;
    hub_look_at_disk(h, gr.now_ms);
    hub_read_orders(h);
    hub_end_held(h, gr.now_ms);
    pthread_mutex_lock(&h->mutex);
    gr.inputs = take_inputs(h, gr.now_ms, &gr.careful);
    unsigned min_version = h->min_version;
    bool idle = !gr.inputs && !h->scope_changed && !h->scope_due && !h->timers_due && !h->stale;
    pthread_mutex_unlock(&h->mutex);
    if (idle) {
        bool wrote = hub_write_history(h, gr.now_ms, false);
        return hub_upkeep(h, gr.now_ms) || wrote;
    }
    gr.world = (dialog_world){.s = h->config.store,
                              .g = h->ingest,
                              .snaps = h->snaps,
                              .sets = h->sets,
                              .schema_hash = (const uint8_t(*)[8])h->schema_hash,
                              .now_ms = gr.now_ms,
                              .min_version = min_version,
                              .say = on_say,
                              .seen = on_seen,
                              .log = on_log,
                              .ctx = &gr};
    bool had_inputs = gr.inputs != NULL;
    int rc = run_group(&gr);
    finish_group(&gr, rc);
    finish_jobs(&gr, rc);
    free(gr.works);
    hub_upkeep(h, gr.now_ms);
    return !rc || had_inputs;
}
