#include <string.h>

#include "protocol/changeset.h"
#include "protocol/satchel_rc.h"
#include "protocol/translate.h"
#include "replica/outbox.h"

/* Keeps an uncompressed push below LIMIT_FRAME_BYTES: a transaction that would pass it opens the next message. */
#define PUSH_BYTES (LIMIT_FRAME_BYTES - LIMIT_PAGE_BYTES)

#define TXN_COLUMNS "n, stamp, base, seq, effective, resolves, incarnation, epoch, parts, id, state, code"

static void take_txn(sqlite3_stmt *q, outbox_txn *t) {
    *t = (outbox_txn){
        .number = (uint64_t)sqlite3_column_int64(q, 0),
        .stamp = (uint64_t)sqlite3_column_int64(q, 1),
        .base = (uint64_t)sqlite3_column_int64(q, 2),
        .seq = (uint64_t)sqlite3_column_int64(q, 3),
        .effective = (uint64_t)sqlite3_column_int64(q, 4),
        .resolves = (uint64_t)sqlite3_column_int64(q, 5),
        .incarnation = (uint32_t)sqlite3_column_int64(q, 6),
        .epoch = (uint32_t)sqlite3_column_int64(q, 7),
        .parts = (uint32_t)sqlite3_column_int64(q, 8),
        .state = (txn_state)sqlite3_column_int(q, 10),
        .code = sqlite3_column_int(q, 11),
    };
    if (sqlite3_column_bytes(q, 9) == TXN_ID_BYTES) memcpy(t->id, sqlite3_column_blob(q, 9), TXN_ID_BYTES);
}

static int first_txn(file *f, sqlite3_stmt *q, uint64_t number, outbox_txn *out) {
    db_bind(q, "i", (int64_t)number);
    int rc = db_next(&f->sql, q);
    if (rc < 0) return file_db_error(f, "cannot read the outbox");
    if (rc == 1) {
        take_txn(q, out);
        sqlite3_reset(q);
    }
    return rc;
}

int outbox_next(file *f, uint64_t after, outbox_txn *out) {
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT " TXN_COLUMNS " FROM satchel_outbox WHERE n>? AND state=0 ORDER BY n LIMIT 1");
    return first_txn(f, q, after, out);
}

int outbox_get(file *f, uint64_t number, outbox_txn *out) {
    int rc = first_txn(f, db_prepare(&f->sql, "SELECT " TXN_COLUMNS " FROM satchel_outbox WHERE n=?"), number, out);
    if (rc == 0) return file_fail(f, SATCHEL_E_NOT_FOUND, "there is no transaction %llu", (unsigned long long)number);
    return rc < 0 ? rc : SATCHEL_OK;
}

/* `unseen` may be NULL. */
static int read_part(file *f, const outbox_txn *t, unsigned part, buf *changes, buf *unseen) {
    sqlite3_stmt *q = t->parts ? db_prepare(&f->sql, "SELECT changes, unseen FROM satchel_outbox_part WHERE n=? AND part=?")
                               : db_prepare(&f->sql, "SELECT changes, unseen FROM satchel_outbox WHERE n=? AND ?=0");
    db_bind(q, "ii", (int64_t)t->number, (int64_t)part);
    int rc = db_next(&f->sql, q);
    if (rc < 0) return file_db_error(f, "cannot read the outbox");
    if (rc == 0) return file_fail(f, SATCHEL_E_CORRUPT, "transaction %llu lacks part %u", (unsigned long long)t->number, part);
    buf_put(changes, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    if (unseen) buf_put(unseen, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    sqlite3_reset(q);
    return changes->rc ? changes->rc : unseen ? unseen->rc : SATCHEL_OK;
}

int outbox_changes(file *f, const outbox_txn *t, unsigned part, buf *out) {
    return read_part(f, t, part, out, NULL);
}

int outbox_count(file *f, txn_state state, uint64_t *out) {
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT count(*) FROM satchel_outbox WHERE state=? AND n>?");
    db_bind(q, "ii", (int64_t)state, state == TXN_PENDING ? (int64_t)f->state.settled_number : (int64_t)0);
    int rc = db_next(&f->sql, q);
    if (rc < 0) return file_db_error(f, "cannot read the outbox");
    *out = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int outbox_last_number(file *f, uint64_t *out) {
    int64_t n;
    int rc = db_integer(
        &f->sql, "SELECT max((SELECT number_floor FROM satchel_state), coalesce((SELECT max(n) FROM satchel_outbox), 0))", 0, &n);
    *out = (uint64_t)n;
    return rc ? file_db_error(f, "cannot read the outbox") : SATCHEL_OK;
}

/* ---- pushes ---- */

/* A counter whose difference leaves the number range has no delta: the new value is sent as a plain one, and the server, which knows
 * the rule, refuses the transaction in words. */
static int translate_loosely(const schema *s, uint32_t epoch, const changeset_change *change, delta_row *row) {
    int rc = translate_change(s, epoch, change, row);
    if (rc != SATCHEL_E_RANGE && rc != SATCHEL_E_TYPE) return rc;
    changeset_change as_insert = *change;
    as_insert.op = SQLITE_INSERT;
    for (unsigned i = 0; i < change->ncol; i++)
        if (change->pk[i]) as_insert.new[i] = change->old[i];
    rc = translate_change(s, epoch, &as_insert, row);
    row->op = change->insert ? DELTA_PUT : DELTA_UPDATE;
    return rc;
}

static int put_changes(file *f, const outbox_txn *t, const buf *changes, delta_writer *w) {
    changeset_reader reader;
    changeset_change change;
    delta_row row;
    int rc;
    changeset_open(&reader, changes->p, changes->n);
    while ((rc = changeset_next(&reader, &change)) == 1) {
        rc = translate_loosely(f->schema, t->epoch, &change, &row);
        if (rc) return rc;
        delta_put_row(w, &row);
    }
    return rc;
}

/* What one part is made in. */
typedef struct push_work {
    buf changes, unseen, delta;
    delta_writer w;
} push_work;

static void work_init(push_work *k) {
    buf_init(&k->changes, 0);
    buf_init(&k->unseen, 0);
    buf_init(&k->delta, 0);
    delta_writer_init(&k->w);
}

static void work_fini(push_work *k) {
    delta_writer_fini(&k->w);
    buf_fini(&k->delta);
    buf_fini(&k->unseen);
    buf_fini(&k->changes);
}

/* Puts one part of `t` into the message as one delta; 1 if it has no room. */
static int push_part(file *f, const outbox_txn *t, unsigned part, push_writer *push, push_work *k) {
    buf_clear(&k->changes);
    buf_clear(&k->unseen);
    buf_clear(&k->delta);
    int rc = read_part(f, t, part, &k->changes, &k->unseen);
    if (!rc) rc = put_changes(f, t, &k->changes, &k->w);
    if (!rc) rc = delta_finish(&k->w, &k->delta);
    if (rc) return rc;
    if (push->count && push->body.n + k->delta.n + k->unseen.n > PUSH_BYTES) return 1;
    push_txn p = {.number = t->number,
                  .stamp = t->stamp,
                  .base = t->base,
                  .schema_epoch = t->epoch,
                  .resolves = t->resolves,
                  .effective = t->effective,
                  .part = part,
                  .last = part + 1 >= t->parts,
                  .delta = k->delta.p,
                  .ndelta = k->delta.n,
                  .unseen = k->unseen.p,
                  .nunseen = k->unseen.n};
    memcpy(p.id, t->id, TXN_ID_BYTES);
    push_put_txn(push, &p);
    return push->body.rc;
}

/* What translate_loosely says of a transaction that no later attempt could send either. */
static bool is_unsendable(int rc) {
    return rc == SATCHEL_E_UNKNOWN_TABLE || rc == SATCHEL_E_SCHEMA || rc == SATCHEL_E_KEY_MISSING;
}

/* Fills the message until it is full, the outbox is empty, or the incarnation changes (a message has one). */
static int fill(file *f, outbox_cursor *at, push_writer *push, uint64_t *last) {
    push_work k;
    outbox_txn t;
    int rc;
    work_init(&k);
    while ((rc = outbox_next(f, at->number, &t)) == 1) {
        if (push->count == 0) push_begin(push, t.incarnation);
        if (t.incarnation != push->incarnation || push->count >= LIMIT_PUSH_TXNS || push->body.n >= LIMIT_PAGE_BYTES) break;
        rc = push_part(f, &t, at->part, push, &k);
        if (is_unsendable(rc) && at->part == 0) {
            rc = outbox_refuse(f, &t, rc, satchel_rc_text(rc), f->env.now_ms(f->env.ctx));
            delta_writer_fini(&k.w);
            delta_writer_init(&k.w);
            at->part = t.parts;
        }
        if (rc) break;
        *last = t.number;
        if (++at->part < t.parts) continue;
        *at = (outbox_cursor){.number = t.number};
    }
    work_fini(&k);
    return rc < 0 ? rc : SATCHEL_OK;
}

int outbox_push(file *f, outbox_cursor *at, buf *message, uint64_t *last) {
    push_writer push = {0};
    int rc = fill(f, at, &push, last);
    if (rc) {
        buf_fini(&push.body);
        return rc;
    }
    if (push.count == 0) return 0;
    rc = push_finish(&push, message);
    return rc ? rc : 1;
}
