#include "server/dialog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/refusal.h"
#include "server/row_query.h"
#include "server/store_keys.h"
#include "server/store_private.h"
#include "server/version.h"

int dialog_begin(dialog *c, store *s, uint64_t connection, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES], uint64_t now_ms) {
    device_info d;
    memset(c, 0, sizeof *c);
    int rc = store_device_by_fingerprint(s, fingerprint, &d);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_E_CERTIFICATE : rc;
    memcpy(c->name, d.name, sizeof c->name);
    c->connection = connection;
    c->device = d.id;
    switch (d.state) {
    case DEVICE_REVOKED:
    case DEVICE_REMOVED:
        return SATCHEL_E_REVOKED;
    case DEVICE_PAUSED:
        return SATCHEL_E_PAUSED;
    case DEVICE_WIPED:
        return SATCHEL_E_WIPED;
    default:
        c->wipe = d.state == DEVICE_WIPE; /* what it says decides what it is told */
        return store_key_used(s, &d, fingerprint, now_ms);
    }
}

static int say(dialog_world *w, const buf *message) {
    if (message->rc) return message->rc;
    w->say(w->ctx, message);
    return SATCHEL_OK;
}

/* ---- hello ---- */

static int say_schema(dialog_world *w, uint32_t from) {
    int rc = SATCHEL_OK;
    buf name, sql, out;
    buf_init(&name, 0);
    buf_init(&sql, 0);
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    for (uint32_t epoch = from + 1; !rc && epoch <= store_where(w->s).schema_epoch; epoch++) {
        buf_clear(&name);
        buf_clear(&sql);
        buf_clear(&out);
        rc = schema_migration(store_db(w->s), epoch, &name, &sql);
        msg_schema m = {.epoch = epoch, .name = (const char *)name.p, .nname = name.n, .sql = (const char *)sql.p, .nsql = sql.n};
        if (!rc) rc = schema_encode(&m, &out);
        if (!rc) rc = say(w, &out);
    }
    buf_fini(&name);
    buf_fini(&sql);
    buf_fini(&out);
    return rc;
}

/* Results wait here until they fill a message. */
typedef struct result_batch {
    msg_result r[LIMIT_RESULTS];
    size_t at[LIMIT_RESULTS]; /* of key and text in hold */
    size_t n;
    buf hold;
} result_batch;

static result_batch *batch_new(void) {
    result_batch *b = malloc(sizeof *b);
    if (!b) return NULL;
    b->n = 0;
    buf_init(&b->hold, 0);
    return b;
}

static void batch_free(result_batch *b) {
    if (b) buf_fini(&b->hold);
    free(b);
}

static int say_results(dialog_world *w, result_batch *b) {
    if (!b->n) return SATCHEL_OK;
    for (size_t i = 0; i < b->n; i++) {
        b->r[i].key = b->hold.p + b->at[i];
        b->r[i].text = (const char *)b->hold.p + b->at[i] + b->r[i].nkey;
    }
    buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    int rc = results_encode(b->r, b->n, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    b->n = 0;
    buf_clear(&b->hold);
    return rc;
}

static void note_answer(dialog *c, const msg_result *r) {
    if (c->awaited) c->awaited--;
    if (!r->rc && r->seq > c->told_seq) c->told_seq = r->seq;
}

/* The answer to a push that held only parts of a transaction: whoever sends it waits at LIMIT_PUSH_WINDOW_BYTES. */
static int say_no_results(dialog_world *w) {
    buf out;
    buf_init(&out, 0);
    int rc = results_encode(NULL, 0, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    return rc;
}

static int add_result(dialog_world *w, result_batch *b, const msg_result *r) {
    b->at[b->n] = b->hold.n;
    buf_put(&b->hold, r->key, r->nkey);
    buf_put(&b->hold, r->text, r->ntext);
    b->r[b->n++] = *r;
    if (b->hold.rc) return b->hold.rc;
    return b->n == LIMIT_RESULTS || b->hold.n >= LIMIT_PAGE_BYTES ? say_results(w, b) : SATCHEL_OK;
}

/* A device from another past takes back more than it knew to be settled when it said so. */
static uint64_t settled_number(const dialog *c) {
    return c->rewinds ? 0 : c->settled;
}

static int say_known_results(dialog *c, dialog_world *w) {
    result_batch *b = batch_new();
    if (!b) return SATCHEL_E_NOMEM;
    buf hold;
    buf_init(&hold, 0);
    sqlite3_stmt *q =
        db_prepare(&w->s->cache, "SELECT number,rc,seq,effective,depends,tbl,key,message FROM satchel_result WHERE author=? AND"
                                 " number>? ORDER BY number");
    db_bind(q, "ii", (int64_t)c->author, (int64_t)settled_number(c));
    int rc;
    while ((rc = db_next(&w->s->cache, q)) == 1) {
        msg_result r;
        rc = ingest_read_result(q, &hold, &r);
        if (!rc) note_answer(c, &r);
        if (!rc) rc = add_result(w, b, &r);
        if (rc) break;
    }
    if (q) sqlite3_reset(q);
    buf_fini(&hold);
    if (!rc) rc = say_results(w, b);
    batch_free(b);
    return rc;
}

/* Of those above a number also what the device has said that it knew: when this store was put back it has taken that back. */
static int say_settled(dialog *c, dialog_world *w, uint64_t above) {
    static const char RETRIED[] = "an admin has retried it", DISCARDED[] = "an admin has discarded it";
    result_batch *b = batch_new();
    if (!b) return SATCHEL_E_NOMEM;
    sqlite3_stmt *q =
        db_prepare(&w->s->cache, "SELECT number,state='retried' FROM satchel_refused INDEXED BY satchel_refused_untold"
                                 " WHERE author=? AND untold AND (untold=? OR number>?) ORDER BY number");
    db_bind(q, "iii", (int64_t)c->author, (int64_t)REFUSED_UNTOLD, (int64_t)above);
    int rc;
    while ((rc = db_next(&w->s->cache, q)) == 1) {
        const char *text = sqlite3_column_int(q, 1) ? RETRIED : DISCARDED;
        msg_result r = {
            .number = (uint64_t)sqlite3_column_int64(q, 0), .rc = SATCHEL_E_RESOLVED, .text = text, .ntext = strlen(text)};
        if ((rc = add_result(w, b, &r))) break;
    }
    if (q) sqlite3_reset(q);
    if (!rc) rc = say_results(w, b);
    batch_free(b);
    return rc;
}

int dialog_settled(dialog *c, dialog_world *w) {
    return say_settled(c, w, INT64_MAX);
}

/* N7: how far the past of a device whose epoch is not known here is this store's: through the latest epoch that both know. */
static uint64_t shared_past(dialog_world *w, const msg_hello *m) {
    for (unsigned i = 0; i < m->npast; i++) {
        uint64_t end;
        if (store_epoch_known(w->s, m->past[i].epoch, &end)) return end < m->past[i].seq ? end : m->past[i].seq;
    }
    return 0;
}

int dialog_target(dialog *c, dialog_world *w, buf *words) {
    uint64_t target;
    int rc = ingest_scope_look(w->g);
    if (!rc) rc = scope_device_view(ingest_scope(w->g), c->device, w->now_ms, &target);
    if (!rc) c->target = target;
    if (rc == SATCHEL_E_RULE)
        buf_printf(words, "the scope rules do not work out what this device is to hold: %s", sqlite3_errmsg(store_db(w->s)));
    return rc;
}

/* What the device holds, and is to hold. */
static int place_view(dialog *c, dialog_world *w, const msg_hello *m, buf *words) {
    c->view = m->view;
    int rc = dialog_target(c, w, words);
    if (rc == SATCHEL_E_RULE) rc = SATCHEL_E_OVERLOAD; /* not the device's mistake: it comes back */
    if (!rc && c->target && !m->has_view) {
        buf_printf(words, "this device may hold a part of the data only, which its version of Satchel does not know; update "
                          "Satchel on the device");
        return SATCHEL_E_VERSION;
    }
    return rc;
}

/* Whether the device may stand at its cursor with the view that it tells: it was to hold that then, or until then. Who tells another would be given what was in the
 * log before it held the rows, and the keys of what it is said to lose. */
static int was_to_hold(dialog *c, dialog_world *w, const msg_hello *m, bool *was) {
    sqlite3_stmt *q =
        db_prepare(&w->s->cache, "SELECT 1 WHERE ?3 IN"
                                 " ((SELECT view FROM satchel_held WHERE device=?1 AND seq<=?2 ORDER BY seq DESC LIMIT 1),"
                                 " (SELECT view FROM satchel_held WHERE device=?1 AND seq<=?2+1 ORDER BY seq DESC LIMIT 1))");
    db_bind(q, "iii", c->device, (int64_t)m->cursor, (int64_t)m->view);
    int rc = db_next(&w->s->cache, q);
    if (rc == 1) sqlite3_reset(q);
    *was = rc == 1;
    return rc < 0 ? rc : SATCHEL_OK;
}

/* Views of another past may have had other numbers, and one that this store does not know was given after its backup was made. */
static int view_is_known(dialog *c, dialog_world *w, const msg_hello *m, bool *known) {
    view *v = NULL;
    *known = !m->view || !c->rewinds;
    int rc = *known ? view_load(&w->s->cache, m->view, &v) : SATCHEL_OK;
    view_release(v);
    if (rc == SATCHEL_E_NOT_FOUND) *known = false;
    if (rc || !*known || !c->target) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
    return was_to_hold(c, w, m, known);
}

/* Within a snapshot a device names no epoch, but first of its past the one that the snapshot is of. Who tells no past is taken to
 * be of before the store was put back, if it ever was. */
static bool may_be_of_another_past(const store_position *p, const msg_hello *m) {
    return m->npast ? memcmp(m->past[0].epoch, p->epoch, EPOCH_BYTES) != 0 : p->epoch_start > 0;
}

/* Whether pages can go on from the device's cursor, or it needs a snapshot. A cursor ahead of this store means that the store was put back. */
static int place_cursor(dialog *c, dialog_world *w, const msg_hello *m, buf *words) {
    store_position p = store_where(w->s);
    uint64_t end = 0;
    c->cursor = m->cursor;
    c->epoch_start = shared_past(w, m);
    c->rewinds = may_be_of_another_past(&p, m);
    int again;
    int rc = store_device_begin_resnapshot(w->s, c->device, &again);
    if (rc) return rc;
    c->wants_snapshot = !m->has_epoch || m->cursor < p.floor || again;
    if (m->has_epoch) {
        bool known = store_epoch_known(w->s, m->epoch, &end);
        c->rewinds = !known || end != UINT64_MAX;
        if (known) c->epoch_start = end == UINT64_MAX ? p.epoch_start : end;
        if (!known || m->cursor > end) c->wants_snapshot = true;
        if (known && end == UINT64_MAX && m->cursor > p.seq) {
            buf_printf(words,
                       "the device knows of commit %" PRIu64 ", this store only of %" PRIu64
                       ": it was put back from a backup; start satcheld with"
                       " --restored",
                       m->cursor, p.seq);
            return SATCHEL_E_ORDER;
        }
    }
    bool known;
    if ((rc = view_is_known(c, w, m, &known))) return rc;
    if (!known) c->wants_snapshot = true;
    snapshot_kind kind = {.schema_epoch = p.schema_epoch, .view = c->target};
    memcpy(kind.epoch, p.epoch, sizeof kind.epoch);
    snapshot_info info;
    if (c->wants_snapshot && again != 1 && m->snapshot && snapshots_find(w->snaps, m->snapshot, &kind, &info) &&
        info.seq >= p.floor && info.seq <= p.seq) {
        c->snapshot = m->snapshot;
        c->snapshot_page = m->snapshot_page;
    }
    return SATCHEL_OK;
}

/* Numbers of losses go on from those of the backup: what a device heard of since is of another past. */
static int place_losses(dialog *c, dialog_world *w, const msg_hello *m) {
    c->loss_cursor = m->loss_cursor;
    if (!m->loss_cursor || !c->rewinds) return SATCHEL_OK;
    sqlite3_stmt *q = db_prepare(&w->s->cache, "SELECT id FROM satchel_conflict WHERE seq<=? ORDER BY id DESC LIMIT 1");
    db_bind(q, "i", (int64_t)c->epoch_start);
    int rc = db_next(&w->s->cache, q);
    if (rc < 0) return rc;
    int64_t last = rc ? sqlite3_column_int64(q, 0) : 0;
    if (rc) sqlite3_reset(q);
    if (c->loss_cursor > (uint64_t)last) c->loss_cursor = (uint64_t)last;
    return SATCHEL_OK;
}

void dialog_say_old(unsigned version, unsigned min_version, char out[DIALOG_OLD_BYTES]) {
    char its[VERSION_TEXT_BYTES], least[VERSION_TEXT_BYTES];
    version_text(version, its);
    version_text(min_version, least);
    snprintf(out, DIALOG_OLD_BYTES, "the device has Satchel %s, the server wants %s or newer; update Satchel on the device", its,
             least);
}

static int check_version(dialog *c, dialog_world *w, const msg_hello *m, buf *words) {
    char old[DIALOG_OLD_BYTES];
    c->version = version_of_software(m->software, m->nsoftware);
    if (!c->version || c->version >= w->min_version) return SATCHEL_OK;
    dialog_say_old(c->version, w->min_version, old);
    buf_printf(words, "%s", old);
    return SATCHEL_E_VERSION;
}

static int check_schema(dialog_world *w, const msg_hello *m, buf *words) {
    uint32_t ours = store_where(w->s).schema_epoch;
    if (m->schema_epoch > ours) {
        buf_printf(words, "the device is at schema epoch %u, the server at %u: the server runs an older schema directory",
                   m->schema_epoch, ours);
        return SATCHEL_E_SCHEMA;
    }
    if (memcmp(w->schema_hash[m->schema_epoch], m->schema_hash, 8) != 0) {
        buf_printf(words, "the device's migrations up to %u are not the server's", m->schema_epoch);
        return SATCHEL_E_SCHEMA;
    }
    return SATCHEL_OK;
}

static int say_forked(dialog *c, dialog_world *w) {
    author_info fresh;
    int rc = store_author_fork(w->s, c->device, w->now_ms, &fresh);
    if (rc) return rc;
    buf out;
    buf_init(&out, 0);
    rc = forked_encode(fresh.incarnation, c->settled + 1, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    w->forks++;
    w->log(w->ctx, &(log_fields){.level = 'w', .event = "forked", .txn = c->settled + 1},
           "the device's file was restored or cloned; it goes on under a new incarnation");
    c->phase = DIALOG_FORKED;
    return rc;
}

static int note_seen(dialog *c, dialog_world *w, const msg_hello *m) {
    device_seen seen = {.now_ms = w->now_ms,
                        .acked_seq = c->wants_snapshot ? 0 : m->cursor,
                        .pending = m->pending,
                        .clock_offset_ms = (int64_t)m->now_ms - (int64_t)w->now_ms,
                        .schema_epoch = m->schema_epoch,
                        .software = m->software,
                        .nsoftware = m->nsoftware < LIMIT_NAME_BYTES ? m->nsoftware : LIMIT_NAME_BYTES,
                        .waiting = m->waiting,
                        .nwaiting = m->nwaiting,
                        .held_bytes = m->held_bytes,
                        .room_bytes = m->room_bytes};
    w->seen(w->ctx, &seen);
    return store_device_seen(w->s, c->device, &seen);
}

/* N3: by the id of the newest transaction that has a result a device sees whether what the server knows of its numbers are its own. Refusals stay when the
 * results of later numbers have been pruned. */
static int put_known_id(dialog_world *w, const author_info *author, msg_welcome *m) {
    sqlite3_stmt *q =
        db_prepare(&w->s->cache, "SELECT id,number FROM satchel_result WHERE author=? ORDER BY number DESC LIMIT 1");
    db_bind(q, "i", (int64_t)author->author);
    int rc = db_next(&w->s->cache, q);
    if (rc != 1) return rc;
    m->has_known_id = sqlite3_column_bytes(q, 0) == TXN_ID_BYTES;
    if (m->has_known_id) memcpy(m->known_id, sqlite3_column_blob(q, 0), TXN_ID_BYTES);
    m->known_number = (uint64_t)sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int say_welcome(dialog *c, dialog_world *w, const author_info *author) {
    store_position p = store_where(w->s);
    msg_welcome m = {.version = PROTOCOL_VERSION,
                     .epoch_start = c->epoch_start,
                     .head = p.seq,
                     .schema_epoch = p.schema_epoch,
                     .known_number = author->last_number,
                     .now_ms = w->now_ms,
                     .backup_seq = store_released(w->s),
                     .snapshot = c->wants_snapshot,
                     .has_view = c->target != c->view,
                     .view = c->target};
    memcpy(m.epoch, p.epoch, EPOCH_BYTES);
    c->announced = m.has_view;
    buf out;
    buf_init(&out, 0);
    int rc = put_known_id(w, author, &m);
    if (!rc) rc = welcome_encode(&m, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    return rc;
}

static int on_hello(dialog *c, dialog_world *w, const void *message, size_t n, buf *words) {
    msg_hello m;
    int rc = hello_decode(message, n, &m);
    if (rc == SATCHEL_E_VERSION)
        buf_printf(words, "the device speaks version %u of the protocol, the server version %u; update Satchel on the %s",
                   m.version, PROTOCOL_VERSION, m.version > PROTOCOL_VERSION ? "server" : "device");
    if (rc) return rc;
    author_info author;
    if ((rc = check_version(c, w, &m, words)) || (rc = check_schema(w, &m, words)) || (rc = place_view(c, w, &m, words)) ||
        (rc = place_cursor(c, w, &m, words)))
        return rc;
    c->settled = m.settled_number;
    c->awaited = m.pending;
    c->told_seq = 0;
    c->told = false;
    /* Once on a connection: it has been given one. */
    if (m.incarnation == 0 && c->phase == DIALOG_FORKED) return SATCHEL_E_ORDER;
    if (m.incarnation == 0) return (rc = store_device_connects(w->s, c->device, c->connection)) ? rc : say_forked(c, w);
    if ((rc = store_author(w->s, c->device, m.incarnation, &author))) return rc;
    if ((rc = store_author_connects(w->s, &author, c->connection))) return rc;
    c->incarnation = m.incarnation;
    c->author = author.author;
    c->last_number = m.last_number;
    c->caught_up = !m.pending || author.last_number >= m.last_number;
    if ((rc = place_losses(c, w, &m)) || (rc = note_seen(c, w, &m))) return rc;
    /* N3: a file that gave fewer numbers than the server has results for is an older copy. */
    if (m.last_number < author.last_number) return say_forked(c, w);
    /* A store that was put back may have given the incarnation to another copy meanwhile. */
    bool tells_shared = author.shared == UINT64_MAX || c->rewinds;
    if (tells_shared && (rc = store_author_shares(w->s, &author, m.last_number))) return rc;
    rc = say_welcome(c, w, &author);
    if (!rc) rc = say_schema(w, m.schema_epoch);
    if (!rc) rc = say_known_results(c, w);
    if (!rc) rc = say_settled(c, w, settled_number(c));
    if (!rc) rc = dialog_losses(c, w);
    c->phase = DIALOG_READY;
    return rc;
}

/* ---- push ---- */

static void log_refused(dialog_world *w, const msg_result *r) {
    char text[LIMIT_TEXT_BYTES + 1];
    snprintf(text, sizeof text, "%.*s", (int)r->ntext, r->text);
    w->log(w->ctx, &(log_fields){.level = 'w', .event = "refused", .txn = r->number, .rc = r->rc}, text);
}

static int push_one(dialog *c, dialog_world *w, author_info *author, const push_txn *t, ingest_result *r, buf *words) {
    if (t->schema_epoch > store_where(w->s).schema_epoch) {
        buf_printf(words, "transaction %" PRIu64 " was written under schema epoch %u, which the server does not have", t->number,
                   t->schema_epoch);
        return SATCHEL_E_SCHEMA;
    }
    int rc = ingest_push(w->g, author, t, w->now_ms, r);
    if (rc || r->staged) return rc;
    if (r->fork) return say_forked(c, w);
    if (r->known) {
        w->repeated++;
    } else if (r->result.rc) {
        w->refused++;
        log_refused(w, &r->result);
    } else {
        w->accepted++;
    }
    return r->clamped ? store_device_clamped(w->s, c->device) : SATCHEL_OK;
}

static int push_all(dialog *c, dialog_world *w, push_reader *reader, author_info *author, result_batch *b, buf *words) {
    ingest_result r = {0};
    push_txn t;
    uint64_t clamped = 0;
    int rc = SATCHEL_OK, more = 0;
    while (!rc && c->phase == DIALOG_READY && (more = push_next(reader, &t)) == 1) {
        rc = push_one(c, w, author, &t, &r, words);
        if (!rc && !r.fork && !r.staged) note_answer(c, &r.result);
        if (!rc && !r.fork && !r.staged) rc = add_result(w, b, &r.result);
        if (!clamped && r.clamped) clamped = t.number;
    }
    if (clamped)
        w->log(w->ctx, &(log_fields){.level = 'w', .event = "clamped", .txn = clamped},
               "the device's clock is ahead; its stamps are clamped");
    buf_fini(&r.hold);
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

static int on_push(dialog *c, dialog_world *w, const void *message, size_t n, buf *words) {
    push_reader reader;
    author_info author;
    int rc = push_open(&reader, message, n);
    if (rc) return rc;
    if (reader.incarnation != c->incarnation) {
        buf_printf(words, "a push of incarnation %u in a conversation of %u", reader.incarnation, c->incarnation);
        return SATCHEL_E_ORDER;
    }
    if ((rc = store_author(w->s, c->device, c->incarnation, &author))) return rc;
    result_batch *b = batch_new();
    if (!b) return SATCHEL_E_NOMEM;
    rc = push_all(c, w, &reader, &author, b, words);
    if (!rc) rc = ingest_author_save(w->g, &author);
    if (!rc && b->n) rc = store_device_answered(w->s, c->device, b->n);
    if (!rc) rc = b->n || c->phase != DIALOG_READY ? say_results(w, b) : say_no_results(w);
    if (author.last_number >= c->last_number) c->caught_up = true;
    batch_free(b);
    return rc;
}

/* ---- the rest ---- */

static int on_resolve(dialog *c, dialog_world *w, const void *message, size_t n) {
    msg_resolve m;
    int rc = resolve_decode(message, n, &m);
    if (rc) return rc;
    refusal found;
    rc = refusal_of(w->s, c->author, m.number, NULL, true, &found);
    return rc || !found.author ? rc : refusal_settle(w->s, c->author, &found, "discarded", w->now_ms);
}

/* ---- losses ---- */

/* Losses wait here until they fill a message. */
typedef struct loss_batch {
    msg_loss l[LIMIT_LOSSES];
    size_t at[LIMIT_LOSSES]; /* in hold: the key, the kept value, the lost value */
    size_t n;
    buf hold;
} loss_batch;

_Static_assert(2 * LIMIT_VALUE_BYTES + LIMIT_KEY_BYTES + 256 <= LIMIT_FRAME_BYTES, "one loss must fit a frame");

/* Messages of losses that one call says. */
#define LOSS_MESSAGES 8u

static void put_stored(buf *hold, sqlite3_stmt *q, int column) {
    static const uint8_t null = VALUE_NULL;
    size_t n = (size_t)sqlite3_column_bytes(q, column);
    const void *p = sqlite3_column_blob(q, column);
    buf_put(hold, n ? p : &null, n ? n : 1);
}

static void add_loss(loss_batch *b, sqlite3_stmt *q, bool hidden) {
    msg_loss *l = &b->l[b->n];
    b->at[b->n++] = b->hold.n;
    *l = (msg_loss){.id = (uint64_t)sqlite3_column_int64(q, 0),
                    .seq = (uint64_t)sqlite3_column_int64(q, 1),
                    .number = (uint64_t)sqlite3_column_int64(q, 2),
                    .table = (uint32_t)sqlite3_column_int64(q, 3),
                    .column = (uint32_t)sqlite3_column_int64(q, 4),
                    .rule = (uint8_t)sqlite3_column_int(q, 5),
                    .nkey = (size_t)sqlite3_column_bytes(q, 6),
                    .kept_stamp = (uint64_t)sqlite3_column_int64(q, 9),
                    .lost_stamp = (uint64_t)sqlite3_column_int64(q, 10),
                    .kept_author = (uint32_t)sqlite3_column_int64(q, 11)};
    if (hidden) l->kept_stamp = l->kept_author = 0;
    buf_put(&b->hold, sqlite3_column_blob(q, 6), l->nkey);
    if (hidden)
        buf_put_byte(&b->hold, VALUE_NULL);
    else
        put_stored(&b->hold, q, 7);
    put_stored(&b->hold, q, 8);
}

/* Whether what was kept is none of this device's business: a column that is masked from it, or a row that it does not hold, or no more. */
static int is_hidden(dialog_world *w, const view *v, sqlite3_stmt *q, bool *hidden) {
    const schema_table *t = schema_table_by_id(store_schema(w->s), (uint32_t)sqlite3_column_int64(q, 3));
    uint32_t set;
    *hidden = !view_is_everything(v);
    if (!*hidden || !t || t->until != SCHEMA_NEVER || view_masks(v, t->id, (uint32_t)sqlite3_column_int64(q, 4)))
        return SATCHEL_OK;
    int rc = row_query_set_of(store_db(w->s), t, sqlite3_column_blob(q, 6), (size_t)sqlite3_column_bytes(q, 6), &set);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
    int holds = view_holds(v, w->sets, set);
    *hidden = !holds;
    return holds < 0 ? holds : SATCHEL_OK;
}

static int say_loss_batch(dialog *c, dialog_world *w, loss_batch *b) {
    int rc = b->hold.rc;
    if (!b->n) return rc;
    for (size_t i = 0; i < b->n && !rc; i++) {
        const uint8_t *p = b->hold.p + b->at[i], *end = b->hold.p + b->hold.n;
        b->l[i].key = p;
        p += b->l[i].nkey;
        rc = value_get(&p, end, &b->l[i].kept);
        if (!rc) rc = value_get(&p, end, &b->l[i].lost);
    }
    buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    if (!rc) rc = losses_encode(b->l, b->n, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    if (!rc) c->loss_cursor = b->l[b->n - 1].id;
    b->n = 0;
    buf_clear(&b->hold);
    return rc;
}

/* Ends what a hello is answered: until then the device does not know whether it has been told all. */
static int say_told(dialog *c, dialog_world *w) {
    buf out;
    buf_init(&out, 0);
    int rc = losses_encode(NULL, 0, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    c->told = !rc;
    return rc;
}

static bool has_room(const loss_batch *b, sqlite3_stmt *q) {
    size_t n = (size_t)sqlite3_column_bytes(q, 7) + (size_t)sqlite3_column_bytes(q, 8);
    return !b->n || (b->n < LIMIT_LOSSES && b->hold.n + n <= LIMIT_PAGE_BYTES);
}

static int say_losses(dialog *c, dialog_world *w, const view *v, loss_batch *b) {
    sqlite3_stmt *q = db_prepare(
        &w->s->cache, "SELECT id,seq,lost_number,tbl,col,rule,key,kept,lost,kept_stamp,lost_stamp,kept_author FROM"
                      " satchel_conflict WHERE lost_author IN (SELECT author FROM satchel_author WHERE device=?) AND id>?"
                      " ORDER BY id LIMIT ?");
    db_bind(q, "iii", c->device, (int64_t)c->loss_cursor, (int64_t)LIMIT_LOSSES * LOSS_MESSAGES + 1);
    int rc;
    unsigned said = 0;
    c->losses_left = false;
    while ((rc = db_next(&w->s->cache, q)) == 1) {
        if (!has_room(b, q)) {
            if ((rc = say_loss_batch(c, w, b))) break;
            c->losses_left = ++said == LOSS_MESSAGES;
            if (c->losses_left) break;
        }
        bool hidden;
        if ((rc = is_hidden(w, v, q, &hidden))) break;
        add_loss(b, q, hidden);
    }
    if (q) sqlite3_reset(q);
    if (rc >= 0) rc = say_loss_batch(c, w, b);
    return rc || c->losses_left || c->told ? rc : say_told(c, w);
}

int dialog_losses(dialog *c, dialog_world *w) {
    loss_batch *b = malloc(sizeof *b);
    if (!b) return SATCHEL_E_NOMEM;
    view *v = NULL;
    b->n = 0;
    buf_init(&b->hold, 0);
    int rc = view_load(&w->s->cache, c->target, &v);
    if (!rc) rc = say_losses(c, w, v, b);
    view_release(v);
    buf_fini(&b->hold);
    free(b);
    return rc;
}

/* The device has erased its data. Said to it once that is noted: then it lets go of its key. */
static int on_wiped(dialog *c, dialog_world *w) {
    msg_error m = {.rc = SATCHEL_E_WIPED};
    buf out;
    buf_init(&out, 0);
    int rc = store_device_move(w->s, c->device, DEVICE_WIPED, w->now_ms);
    if (!rc) rc = error_encode(&m, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    if (!rc) w->log(w->ctx, &(log_fields){.level = 'w', .event = "wiped"}, "the device has erased its data");
    c->wipe = c->wiped = true;
    return rc;
}

int dialog_message(dialog *c, dialog_world *w, const void *message, size_t n, buf *words) {
    message_type type = message_peek(message, n);
    if (c->wipe && type != MSG_ERROR) return SATCHEL_E_WIPED;
    if (type == MSG_HELLO) {
        if (c->phase == DIALOG_READY) return SATCHEL_E_ORDER;
        return on_hello(c, w, message, n, words);
    }
    if (type == MSG_ERROR) {
        msg_error m;
        int rc = error_decode(message, n, &m);
        if (!rc && m.rc == SATCHEL_E_WIPED) return on_wiped(c, w);
        if (!rc) buf_printf(words, "the device closed: %.*s", (int)m.ntext, m.text);
        return rc ? rc : SATCHEL_E_CLOSED;
    }
    if (c->phase == DIALOG_FORKED && (type == MSG_PUSH || type == MSG_RESOLVE)) return SATCHEL_OK;
    if (c->phase != DIALOG_READY) return type ? SATCHEL_E_ORDER : SATCHEL_E_MALFORMED;
    if (type == MSG_PUSH) return on_push(c, w, message, n, words);
    if (type == MSG_RESOLVE) return on_resolve(c, w, message, n);
    return type ? SATCHEL_E_ORDER : SATCHEL_E_MALFORMED;
}
