#include "server/dialog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"

int dialog_begin(dialog *c, store *s, const uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES]) {
    device_info d;
    memset(c, 0, sizeof *c);
    int rc = store_device_by_fingerprint(s, fingerprint, &d);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_E_CERTIFICATE : rc;
    memcpy(c->name, d.name, sizeof c->name);
    c->device = d.id;
    return d.state == DEVICE_REVOKED ? SATCHEL_E_REVOKED : SATCHEL_OK;
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
    buf hold[LIMIT_RESULTS];
    size_t n;
} result_batch;

static int say_results(dialog_world *w, result_batch *b) {
    if (!b->n) return SATCHEL_OK;
    buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    int rc = results_encode(b->r, b->n, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    b->n = 0;
    return rc;
}

static int add_result(dialog_world *w, result_batch *b, const msg_result *r) {
    if (b->n == LIMIT_RESULTS) {
        int rc = say_results(w, b);
        if (rc) return rc;
    }
    buf *hold = &b->hold[b->n];
    buf_clear(hold);
    buf_put(hold, r->key, r->nkey);
    buf_put(hold, r->text, r->ntext);
    b->r[b->n] = *r;
    b->r[b->n].key = hold->p;
    b->r[b->n].text = (const char *)hold->p + r->nkey;
    b->n++;
    return hold->rc;
}

/* One batch a thread: a session that sends thousands of results must not allocate for each. */
static result_batch *batch(void) {
    static _Thread_local result_batch b;
    b.n = 0;
    return &b;
}

static int say_known_results(dialog *c, dialog_world *w) {
    result_batch *b = batch();
    buf hold;
    buf_init(&hold, 0);
    sqlite3_stmt *q = db_prepare(&w->s->cache, "SELECT number,rc,seq,effective,depends,tbl,key,message FROM satchel_result WHERE author=? AND"
                                               " number>? ORDER BY number");
    db_bind(q, "ii", (int64_t)c->author, (int64_t)c->settled);
    int rc;
    while ((rc = db_next(&w->s->cache, q)) == 1) {
        msg_result r;
        rc = ingest_read_result(q, &hold, &r);
        if (!rc) rc = add_result(w, b, &r);
        if (rc) break;
    }
    if (q) sqlite3_reset(q);
    buf_fini(&hold);
    return rc ? rc : say_results(w, b);
}

/* Whether pages can go on from the device's cursor, or it needs a snapshot. A cursor ahead of this store means that the store was put back. */
static int place_cursor(dialog *c, dialog_world *w, const msg_hello *m, buf *words) {
    store_position p = store_where(w->s);
    uint64_t end = 0;
    c->cursor = m->cursor;
    c->wants_snapshot = !m->has_epoch || m->cursor < p.floor;
    if (m->has_epoch) {
        bool known = store_epoch_known(w->s, m->epoch, &end);
        if (!known || m->cursor > end) c->wants_snapshot = true;
        if (known && end == UINT64_MAX && m->cursor > p.seq) {
            buf_printf(words, "the device knows of commit %" PRIu64 ", this store only of %" PRIu64 ": it was put back from a backup; start satcheld with"
                              " --restored", m->cursor, p.seq);
            return SATCHEL_E_ORDER;
        }
    }
    snapshot_info info;
    if (c->wants_snapshot && m->snapshot && snapshots_find(w->snaps, m->snapshot, &info) && info.seq >= p.floor && info.seq <= p.seq) {
        c->snapshot = m->snapshot;
        c->snapshot_page = m->snapshot_page;
    }
    return SATCHEL_OK;
}

static int check_schema(dialog_world *w, const msg_hello *m, buf *words) {
    uint32_t ours = store_where(w->s).schema_epoch;
    if (m->schema_epoch > ours) {
        buf_printf(words, "the device is at schema epoch %u, the server at %u: the server runs an older schema directory", m->schema_epoch, ours);
        return SATCHEL_E_SCHEMA;
    }
    if (memcmp(w->schema_hash[m->schema_epoch], m->schema_hash, 8) != 0) {
        buf_printf(words, "the device's migrations up to %u are not the server's", m->schema_epoch);
        return SATCHEL_E_SCHEMA;
    }
    return SATCHEL_OK;
}

static int say_forked(dialog *c, dialog_world *w, buf *words) {
    author_info fresh;
    int rc = store_author_fork(w->s, c->device, w->now_ms, &fresh);
    if (rc) return rc;
    buf out;
    buf_init(&out, 0);
    rc = forked_encode(fresh.incarnation, c->settled + 1, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    w->forks++;
    w->log(w->ctx, 'w', "the device's file was restored or cloned; it goes on under a new incarnation");
    (void)words;
    c->phase = DIALOG_NEW;
    return rc;
}

static int note_seen(dialog *c, dialog_world *w, const msg_hello *m) {
    device_seen seen = {.now_ms = w->now_ms,
                        .acked_seq = c->wants_snapshot ? 0 : m->cursor,
                        .pending = m->pending,
                        .clock_offset_ms = (int64_t)m->now_ms - (int64_t)w->now_ms,
                        .schema_epoch = m->schema_epoch,
                        .software = m->software,
                        .nsoftware = m->nsoftware < LIMIT_NAME_BYTES ? m->nsoftware : LIMIT_NAME_BYTES};
    return store_device_seen(w->s, c->device, &seen);
}

static int say_welcome(dialog *c, dialog_world *w, const author_info *author) {
    store_position p = store_where(w->s);
    msg_welcome m = {.version = PROTOCOL_VERSION,
                     .epoch_start = p.epoch_start,
                     .head = p.seq,
                     .schema_epoch = p.schema_epoch,
                     .known_number = author->last_number,
                     .now_ms = w->now_ms,
                     .backup_seq = p.backup_seq,
                     .snapshot = c->wants_snapshot};
    memcpy(m.epoch, p.epoch, EPOCH_BYTES);
    buf out;
    buf_init(&out, 0);
    int rc = welcome_encode(&m, &out);
    if (!rc) rc = say(w, &out);
    buf_fini(&out);
    return rc;
}

static int on_hello(dialog *c, dialog_world *w, const void *message, size_t n, buf *words) {
    msg_hello m;
    int rc = hello_decode(message, n, &m);
    if (rc) return rc;
    if (m.version != PROTOCOL_VERSION) {
        buf_printf(words, "the device speaks version %u of the protocol, the server version %u", m.version, PROTOCOL_VERSION);
        return SATCHEL_E_VERSION;
    }
    author_info author;
    if ((rc = check_schema(w, &m, words)) || (rc = place_cursor(c, w, &m, words))) return rc;
    if ((rc = store_author(w->s, c->device, m.incarnation, &author))) return rc;
    c->incarnation = m.incarnation;
    c->author = author.author;
    c->settled = m.settled_number;
    c->loss_cursor = m.loss_cursor;
    if ((rc = note_seen(c, w, &m))) return rc;
    /* N3: a file that gave fewer numbers than the server has results for is an older copy. */
    if (m.last_number < author.last_number) return say_forked(c, w, words);
    rc = say_welcome(c, w, &author);
    if (!rc) rc = say_schema(w, m.schema_epoch);
    if (!rc) rc = say_known_results(c, w);
    if (!rc) rc = dialog_losses(c, w);
    c->phase = DIALOG_READY;
    return rc;
}

/* ---- push ---- */

static int push_one(dialog *c, dialog_world *w, author_info *author, const push_txn *t, ingest_result *r, bool *forked, buf *words) {
    uint64_t known = author->last_number;
    if (t->schema_epoch > store_where(w->s).schema_epoch) return SATCHEL_E_SCHEMA;
    int rc = ingest_push(w->g, author, t, w->now_ms, r);
    if (rc || r->staged) return rc;
    *forked = r->fork;
    if (r->fork) return say_forked(c, w, words);
    if (author->last_number == known)
        w->repeated++;
    else if (r->result.rc)
        w->refused++;
    else
        w->accepted++;
    if (r->result.rc && author->last_number != known) {
        char text[LIMIT_TEXT_BYTES + 128];
        snprintf(text, sizeof text, "transaction %" PRIu64 " refused: %s: %.*s", t->number, satchel_rc_name(r->result.rc), (int)r->result.ntext,
                 r->result.text);
        w->log(w->ctx, 'w', text);
    }
    if (r->clamped) {
        w->log(w->ctx, 'w', "the device's clock is ahead; its stamps are clamped");
        rc = store_device_clamped(w->s, c->device);
    }
    return rc;
}

static int on_push(dialog *c, dialog_world *w, const void *message, size_t n, buf *words) {
    push_reader reader;
    int rc = push_open(&reader, message, n);
    if (rc) return rc;
    if (reader.incarnation != c->incarnation) return SATCHEL_E_ORDER;
    author_info author;
    if ((rc = store_author(w->s, c->device, c->incarnation, &author))) return rc;
    result_batch *b = batch();
    ingest_result r = {0};
    push_txn t;
    bool forked = false;
    int more = 0;
    while (!rc && !forked && (more = push_next(&reader, &t)) == 1) {
        rc = push_one(c, w, &author, &t, &r, &forked, words);
        if (!rc && !forked && !r.staged) rc = add_result(w, b, &r.result);
    }
    if (!rc && more < 0) rc = more;
    buf_fini(&r.hold);
    if (!rc) rc = ingest_author_save(w->g, &author);
    return rc ? rc : say_results(w, b);
}

/* ---- the rest ---- */

static int on_resolve(dialog *c, dialog_world *w, const void *message, size_t n) {
    msg_resolve m;
    int rc = resolve_decode(message, n, &m);
    if (rc) return rc;
    /* Whoever is first settles it (N6); a second time there is nothing left to do. */
    rc = db_exec(&w->s->cache, "UPDATE satchel_refused SET state='discarded',resolved_ms=? WHERE number=? AND state='open' AND author IN"
                               " (SELECT author FROM satchel_author WHERE device=?)", "iii", (int64_t)w->now_ms, (int64_t)m.number, c->device);
    if (!rc)
        rc = db_exec(&w->s->cache, "DELETE FROM satchel_refused_row WHERE author=? AND number=?", "ii", (int64_t)c->author, (int64_t)m.number);
    return rc;
}

static value stored_value(sqlite3_stmt *q, int column) {
    const uint8_t *p = sqlite3_column_blob(q, column), *end = p ? p + sqlite3_column_bytes(q, column) : NULL;
    value v;
    return p && value_get(&p, end, &v) == SATCHEL_OK ? v : value_null();
}

int dialog_losses(dialog *c, dialog_world *w) {
    msg_loss l[1];
    sqlite3_stmt *q = db_prepare(&w->s->cache, "SELECT id,seq,lost_number,tbl,col,rule,key,kept,lost,kept_stamp,lost_stamp,kept_author FROM"
                                               " satchel_conflict WHERE lost_author IN (SELECT author FROM satchel_author WHERE device=?) AND id>?"
                                               " ORDER BY id");
    buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    db_bind(q, "ii", c->device, (int64_t)c->loss_cursor);
    int rc;
    while ((rc = db_next(&w->s->cache, q)) == 1) {
        l[0] = (msg_loss){.id = (uint64_t)sqlite3_column_int64(q, 0),
                          .seq = (uint64_t)sqlite3_column_int64(q, 1),
                          .number = (uint64_t)sqlite3_column_int64(q, 2),
                          .table = (uint32_t)sqlite3_column_int64(q, 3),
                          .column = (uint32_t)sqlite3_column_int64(q, 4),
                          .rule = (uint8_t)sqlite3_column_int(q, 5),
                          .key = sqlite3_column_blob(q, 6),
                          .nkey = (size_t)sqlite3_column_bytes(q, 6),
                          .kept = stored_value(q, 7),
                          .lost = stored_value(q, 8),
                          .kept_stamp = (uint64_t)sqlite3_column_int64(q, 9),
                          .lost_stamp = (uint64_t)sqlite3_column_int64(q, 10),
                          .kept_author = (uint32_t)sqlite3_column_int64(q, 11)};
        buf_clear(&out);
        rc = losses_encode(l, 1, &out);
        if (!rc) rc = say(w, &out);
        if (rc) break;
        c->loss_cursor = l[0].id;
    }
    if (q) sqlite3_reset(q);
    buf_fini(&out);
    return rc;
}

int dialog_message(dialog *c, dialog_world *w, const void *message, size_t n, buf *words) {
    message_type type = message_peek(message, n);
    if (type == MSG_HELLO) {
        if (c->phase != DIALOG_NEW) return SATCHEL_E_ORDER;
        return on_hello(c, w, message, n, words);
    }
    if (type == MSG_ERROR) {
        msg_error m;
        int rc = error_decode(message, n, &m);
        if (!rc) buf_printf(words, "the device closed: %.*s", (int)m.ntext, m.text);
        return rc ? rc : SATCHEL_E_CLOSED;
    }
    if (c->phase != DIALOG_READY) return SATCHEL_E_ORDER;
    if (type == MSG_PUSH) return on_push(c, w, message, n, words);
    if (type == MSG_RESOLVE) return on_resolve(c, w, message, n);
    return type ? SATCHEL_E_ORDER : SATCHEL_E_MALFORMED;
}
