#include <stdio.h>
#include <string.h>

#include "protocol/hlc.h"
#include "protocol/merge.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "replica/apply.h"
#include "replica/rows.h"
#include "replica/session_internal.h"

static int malformed(session *s, int rc, const char *what) {
    return session_fail(s, rc, "the server sent %s that cannot be read: %s", what, satchel_rc_text(rc));
}

void session_announce(session *s) {
    overlay_announce(s->file->overlay, s->callbacks.changed, s->callbacks.ctx);
}

/* ---- welcome and schema ---- */

/* The numbers of what was lost after the server's backup are given to other losses now; what is pushed again loses again. */
static int rewind_losses(file *f, uint64_t epoch_start) {
    int64_t last = 0;
    int rc = db_exec(&f->sql, "DELETE FROM satchel_conflicts WHERE seq>?", "i", (int64_t)epoch_start);
    if (!rc) rc = db_integer(&f->sql, "SELECT max(id) FROM satchel_conflicts", 0, &last);
    if (rc) return file_db_error(f, "cannot write satchel_conflicts");
    if (f->state.loss_cursor > (uint64_t)last) f->state.loss_cursor = (uint64_t)last;
    return SATCHEL_OK;
}

/* The epoch that ends here is past, and so is, up to the same place, each before it. */
static void remember_epoch(file_state *st, uint64_t end) {
    unsigned keep = st->npast < LIMIT_PAST ? st->npast : LIMIT_PAST - 1;
    memmove(&st->past[1], st->past, keep * sizeof *st->past);
    memcpy(st->past[0].epoch, st->epoch, EPOCH_BYTES);
    st->past[0].seq = end;
    st->npast = keep + 1;
    for (unsigned i = 1; i < st->npast; i++)
        if (st->past[i].seq > end) st->past[i].seq = end;
}

/* N7: a server of another epoch was restored from a backup; what it accepted above its start is given to it again. */
static int enter_epoch(file *f, const msg_welcome *m) {
    file_state *st = &f->state;
    bool other = st->has_epoch && memcmp(st->epoch, m->epoch, EPOCH_BYTES) != 0;
    if (other) remember_epoch(st, m->epoch_start);
    st->has_epoch = true;
    memcpy(st->epoch, m->epoch, EPOCH_BYTES);
    if (!other) return SATCHEL_OK;
    st->head = m->head;
    int rc = rewind_losses(f, m->epoch_start);
    if (!rc) rc = apply_forget_parts(f);
    return rc ? rc : outbox_rewind(f, m->epoch_start);
}

static int take_welcome(session *s, const msg_welcome *m, uint64_t now_ms) {
    file *f = s->file;
    int rc = file_begin(f);
    if (rc) return session_file_error(s, rc);
    rc = enter_epoch(f, m);
    if (!rc) rc = outbox_place_settled(f, m->head);
    f->state.placed = !m->snapshot;
    if (!m->snapshot) f->state.snapshot = f->state.snapshot_page = 0;
    if (f->state.head < m->head) f->state.head = m->head;
    f->state.backup_seq = m->backup_seq;
    f->state.clock_offset_ms = (int64_t)(m->now_ms - now_ms);
    return session_file_error(s, file_end(f, rc));
}

static int prune(session *s) {
    bool more = true;
    while (more) {
        int rc = file_begin(s->file);
        if (!rc) rc = file_end(s->file, outbox_prune(s->file, &more));
        if (rc) return session_file_error(s, rc);
    }
    return SATCHEL_OK;
}

static void tell_clock(session *s) {
    char text[80];
    int64_t off = s->file->state.clock_offset_ms;
    if (off <= LIMIT_CLOCK_AHEAD_MS && off >= -LIMIT_CLOCK_AHEAD_MS) return;
    snprintf(text, sizeof text, "this device's clock is %lld s %s the server's", (long long)(off < 0 ? -off : off) / 1000,
             off < 0 ? "ahead of" : "behind");
    session_emit(s, &(satchel_event){.type = SATCHEL_EVENT_CLOCK, .text = text});
}

/* N3: what the server knows under this file's newest number there is not this file's transaction: its results would be taken for ours. Once the newest one
 * is ours, so are those before it: after two files have parted, every number of the one has another id in the other. */
static int check_known(session *s, const msg_welcome *m) {
    outbox_txn t;
    s->is_copy = false;
    if (!m->has_known_id) return SATCHEL_OK;
    int rc = outbox_get(s->file, m->known_number, &t);
    if (rc && rc != SATCHEL_E_NOT_FOUND) return session_file_error(s, rc);
    if (!rc && memcmp(t.id, m->known_id, TXN_ID_BYTES) == 0) return SATCHEL_OK;
    /* What is settled and let go is in the server's backup. What is settled and kept may be given again to a server that was put back, and there a copy
     * may have been first. */
    if (rc && m->known_number <= s->file->state.settled_number) return SATCHEL_OK;
    s->is_copy = true;
    return session_fail(s, SATCHEL_E_CLOSED, "the file was restored or copied; it comes back for an incarnation of its own");
}

int session_on_welcome(session *s, const void *p, size_t n, uint64_t now_ms) {
    msg_welcome m;
    int rc = welcome_decode(p, n, &m);
    if (rc == SATCHEL_E_VERSION)
        return session_fail(s, rc,
                            "the server speaks version %u of the protocol, this device version %u; update Satchel on the %s",
                            m.version, PROTOCOL_VERSION, m.version > PROTOCOL_VERSION ? "device" : "server");
    if (rc) return malformed(s, rc, "a welcome");
    if (m.schema_epoch < s->file->state.schema_epoch)
        return session_fail(s, SATCHEL_E_SCHEMA, "the server's schema is at %u, this device's at %u", m.schema_epoch,
                            s->file->state.schema_epoch);
    rc = check_known(s, &m);
    if (!rc) rc = take_welcome(s, &m, now_ms);
    if (!rc) rc = prune(s);
    if (rc) return rc;
    session_announce(s); /* what is pending again may show what had gone */
    s->schema_epoch = m.schema_epoch;
    s->awaits_news = true;
    s->target = m.head;
    s->awaits_view = m.has_view;
    session_set_state(s, SATCHEL_SYNCING, SATCHEL_OK, "");
    tell_clock(s);
    if (s->file->state.schema_epoch == m.schema_epoch) return session_open_phase(s);
    s->phase = PHASE_SCHEMA;
    return SATCHEL_OK;
}

int session_on_schema(session *s, const void *p, size_t n) {
    msg_schema m;
    char name[LIMIT_NAME_BYTES + 1];
    int rc = schema_decode(p, n, &m);
    if (rc) return malformed(s, rc, "a migration");
    rc = file_begin(s->file);
    if (!rc) rc = file_end(s->file, file_migrate(s->file, &m));
    if (rc) return session_file_error(s, rc);
    snprintf(name, sizeof name, "%.*s", (int)m.nname, m.name);
    session_emit(s, &(satchel_event){.type = SATCHEL_EVENT_SCHEMA, .number = m.epoch, .text = name});
    return m.epoch == s->schema_epoch ? session_open_phase(s) : SATCHEL_OK;
}

int session_on_forked(session *s, const void *p, size_t n, uint64_t now_ms) {
    uint32_t incarnation;
    uint64_t from;
    int rc = forked_decode(p, n, &incarnation, &from);
    if (rc) return malformed(s, rc, "a fork");
    rc = file_begin(s->file);
    if (!rc) rc = file_end(s->file, outbox_fork(s->file, incarnation));
    if (rc) return session_file_error(s, rc);
    s->is_copy = false;
    session_emit(
        s, &(satchel_event){.type = SATCHEL_EVENT_FORKED, .number = incarnation, .text = "the file had been restored or copied"});
    return session_hello_again(s, now_ms);
}

/* ---- results ---- */

/* Results answer pushes in order. A message without a result answers a push that held only parts of a transaction. */
static void land_flights(session *s, uint64_t number, bool empty) {
    unsigned gone = 0;
    while (gone < s->nflight && (empty ? gone == 0 : s->flight[gone].last <= number)) s->flight_bytes -= s->flight[gone++].bytes;
    s->nflight -= gone;
    memmove(s->flight, s->flight + gone, s->nflight * sizeof *s->flight);
}

/* What was sent after them was answered: they have arrived. Not so one of a lower number that was discarded since: then all are told again. */
static int forget_told(session *s) {
    uint64_t n;
    int rc = outbox_count_untold(s->file, s->told, &n);
    if (!rc && n == s->ntold) rc = outbox_told(s->file, s->told);
    s->told = s->ntold = 0;
    return rc;
}

/* *answered: the number, if the result is the answer to something that this device has sent. */
static int take_result(session *s, const msg_result *r, uint64_t now_ms, session_effect *effect, uint64_t *answered) {
    bool changed;
    uint64_t ended = 0;
    int rc = outbox_result(s->file, r, now_ms, &changed);
    if (changed) *answered = r->number;
    if (!rc && !changed && r->rc == SATCHEL_E_RESOLVED) rc = outbox_settled_there(s->file, r, &ended);
    *effect = (session_effect){.answered = changed, .settled = ended};
    return rc;
}

static int take_results(session *s, const void *p, size_t n, uint64_t now_ms, uint64_t *highest, unsigned *count) {
    results_reader reader;
    msg_result r;
    uint64_t answered = 0;
    int rc = results_open(&reader, p, n);
    while (!rc && (rc = results_next(&reader, &r)) == 1) {
        if (*count == LIMIT_RESULTS) return SATCHEL_E_LIMIT;
        rc = take_result(s, &r, now_ms, &s->effect[*count], &answered);
        if (r.number > *highest) *highest = r.number;
        if (!r.rc && r.seq > s->target) s->target = r.seq;
        ++*count;
    }
    if (!rc) rc = outbox_settle(s->file);
    if (!rc && s->ntold && answered > s->told_after) rc = forget_told(s);
    return rc;
}

static void tell_refusals(session *s, const void *p, size_t n) {
    results_reader reader;
    msg_result r;
    char text[LIMIT_TEXT_BYTES];
    if (results_open(&reader, p, n)) return;
    for (unsigned i = 0; results_next(&reader, &r) == 1; i++) {
        uint64_t settled = s->effect[i].settled;
        if (!r.rc || (!s->effect[i].answered && !settled)) continue;
        const schema_table *t = r.table ? schema_table_by_id(s->file->schema, r.table) : NULL;
        snprintf(text, sizeof text, "%.*s", (int)r.ntext, r.text);
        session_emit(s, &(satchel_event){.type = settled ? SATCHEL_EVENT_SETTLED : SATCHEL_EVENT_REFUSED,
                                         .rc = r.rc,
                                         .number = settled ? settled : r.number,
                                         .table = t ? t->name : "",
                                         .text = text});
    }
}

int session_on_results(session *s, const void *p, size_t n, uint64_t now_ms) {
    uint64_t highest = 0;
    unsigned count = 0;
    int rc = file_begin(s->file);
    if (rc) return session_file_error(s, rc);
    rc = file_end(s->file, take_results(s, p, n, now_ms, &highest, &count));
    if (rc) return s->file->error.n ? session_file_error(s, rc) : malformed(s, rc, "results");
    land_flights(s, highest, count == 0);
    session_announce(s);
    tell_refusals(s, p, n);
    return SATCHEL_OK;
}

/* ---- pages ---- */

static void page_came(session *s) {
    if (s->granted) s->granted--;
    s->credit_due++;
}

/* Be it the one that is held: what the welcome announced may have been taken back meanwhile. */
static bool tells_view(const void *p, size_t n) {
    page_reader reader;
    msg_page head;
    return !page_open(&reader, p, n, &head) && head.view && !head.more;
}

int session_on_page(session *s, const void *p, size_t n) {
    int rc = apply_page(s->file, p, n);
    if (rc) return session_file_error(s, rc);
    if (s->awaits_view && tells_view(p, n)) s->awaits_view = false;
    page_came(s);
    session_announce(s);
    return SATCHEL_OK;
}

int session_on_snapshot(session *s, const void *p, size_t n) {
    bool done;
    int rc = apply_snapshot(s->file, p, n, &done);
    if (rc) return session_file_error(s, rc);
    page_came(s);
    session_announce(s);
    if (done) s->awaits_view = false;
    const file_state *st = &s->file->state;
    if (!done)
        session_emit(s,
                     &(satchel_event){.type = SATCHEL_EVENT_PROGRESS, .number = st->snapshot_rows, .total = st->snapshot_total});
    return SATCHEL_OK;
}

/* ---- losses ---- */

/* Names are written out, so that the row can be read without the schema and outlives the column. */
static int write_loss(file *f, const msg_loss *l) {
    const schema_table *t = schema_table_by_id(f->schema, l->table);
    const schema_column *c = t && l->column ? schema_column_by_id(t, l->column) : NULL;
    buf key;
    buf_init(&key, 0);
    rows_key_text(l->key, l->nkey, &key);
    buf_put_byte(&key, 0);
    sqlite3_stmt *q = db_prepare(
        &f->sql,
        "INSERT OR IGNORE INTO satchel_conflicts(id, n, seq, tbl, col, key, rule, kept_ms, lost_ms, kept_author, kept, lost)"
        "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)");
    int rc = db_bind(q, "iiissssiii", (int64_t)l->id, (int64_t)l->number, (int64_t)l->seq, t ? t->name : "", c ? c->name : "",
                     (const char *)key.p, merge_rule_name((merge_rule)l->rule), (int64_t)hlc_ms(l->kept_stamp),
                     (int64_t)hlc_ms(l->lost_stamp), (int64_t)l->kept_author);
    if (!rc) rc = q ? key.rc : SATCHEL_E_NOMEM;
    if (!rc && (value_bind(q, 11, &l->kept) || value_bind(q, 12, &l->lost))) rc = SATCHEL_E_NOMEM;
    if (!rc) rc = db_run(q);
    buf_fini(&key);
    return rc ? file_db_error(f, "cannot write satchel_conflicts") : SATCHEL_OK;
}

/* N7: the server has told all that it knows, and what it has not said to be settled is open again. Their numbers, as varints, are for after the commit. */
static int hear_all(file *f, buf *reopened) {
    uint64_t number = 0;
    int rc;
    while ((rc = outbox_next_reopened(f, number, &number)) == 1) buf_put_varint(reopened, number);
    if (!rc) rc = reopened->rc;
    return rc ? rc : outbox_heard_all(f);
}

static int take_losses(session *s, const void *p, size_t n, buf *reopened) {
    losses_reader reader;
    msg_loss l;
    file_state *st = &s->file->state;
    int rc = losses_open(&reader, p, n);
    while (!rc && (rc = losses_next(&reader, &l)) == 1) {
        rc = write_loss(s->file, &l);
        if (l.id > st->loss_cursor) st->loss_cursor = l.id;
    }
    return rc || reader.count ? rc : hear_all(s->file, reopened);
}

static void tell_reopened(session *s, const buf *numbers) {
    const uint8_t *p = numbers->p, *end = p + numbers->n;
    outbox_txn t;
    uint64_t number;
    while (numbers->n && buf_get_varint(&p, end, &number))
        if (!outbox_get(s->file, number, &t))
            session_emit(s, &(satchel_event){.type = SATCHEL_EVENT_REFUSED,
                                             .rc = t.code,
                                             .number = number,
                                             .table = "",
                                             .text = "the server was put back to before this was settled"});
}

static void tell_losses(session *s, const void *p, size_t n) {
    losses_reader reader;
    msg_loss l;
    if (losses_open(&reader, p, n)) return;
    if (!reader.count) s->awaits_news = false;
    while (losses_next(&reader, &l) == 1) {
        const schema_table *t = schema_table_by_id(s->file->schema, l.table);
        session_emit(s, &(satchel_event){.type = SATCHEL_EVENT_CONFLICT, .number = l.number, .table = t ? t->name : ""});
    }
}

int session_on_losses(session *s, const void *p, size_t n) {
    buf reopened;
    int rc = file_begin(s->file);
    if (rc) return session_file_error(s, rc);
    buf_init(&reopened, 0);
    rc = file_end(s->file, take_losses(s, p, n, &reopened));
    if (rc) {
        rc = s->file->error.n ? session_file_error(s, rc) : malformed(s, rc, "losses");
    } else {
        tell_reopened(s, &reopened);
        tell_losses(s, p, n);
    }
    buf_fini(&reopened);
    return rc;
}

/* ---- error ---- */

int session_on_error(session *s, const void *p, size_t n) {
    msg_error m;
    int rc = error_decode(p, n, &m);
    if (rc) return malformed(s, rc, "an error");
    s->named = true;
    s->retry_after_ms = m.retry_after_ms;
    /* This file has not connected anew: a copy of it has (N3). */
    if (m.rc == SATCHEL_E_SUPERSEDED) s->is_copy = true;
    if (m.rc >= 0) return session_fail(s, SATCHEL_E_MALFORMED, "the server sent an error without a code");
    /* What is fatal there, or not known here, is not fatal here: this device comes back later. */
    rc = satchel_rc_class(m.rc) == SATCHEL_CLASS_FATAL ? SATCHEL_E_CLOSED : m.rc;
    if (!m.ntext) return session_fail(s, rc, "%s", satchel_rc_text(m.rc));
    return session_fail(s, rc, "the server says: %.*s", (int)m.ntext, m.text);
}
