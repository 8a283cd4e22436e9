/* Transactions going up, and what became of them: push, results, losses. */
#include <string.h>

#include "protocol/message_internal.h"
#include "protocol/satchel_rc.h"

/* ---- push ---- */

void push_begin(push_writer *w, uint32_t incarnation) {
    *w = (push_writer){.incarnation = incarnation};
    buf_init(&w->body, LIMIT_MESSAGE_BYTES);
}

static bool push_accepts(const push_writer *w, const push_txn *t) {
    return w->count < LIMIT_PUSH_TXNS && t->number && t->number <= INT64_MAX && t->number >= w->number && t->stamp <= INT64_MAX &&
           t->base <= INT64_MAX;
}

void push_put_txn(push_writer *w, const push_txn *t) {
    buf *b = &w->body;
    if (!b->rc && !push_accepts(w, t)) b->rc = SATCHEL_E_MISUSE;
    wire_put_array(b, t->nunseen ? 11 : 10);
    wire_put_uint(b, t->number - w->number);
    wire_put_bytes(b, t->id, sizeof t->id);
    wire_put_int(b, (int64_t)(t->stamp - w->stamp));
    wire_put_int(b, (int64_t)(t->base - w->base));
    wire_put_uint(b, t->schema_epoch);
    message_put_optional(b, t->resolves);
    message_put_optional(b, t->effective);
    wire_put_uint(b, t->part);
    wire_put_bool(b, t->last);
    message_put_raw(b, t->delta, t->ndelta);
    if (t->nunseen) message_put_raw(b, t->unseen, t->nunseen);
    w->number = t->number;
    w->stamp = t->stamp;
    w->base = t->base;
    w->count++;
}

int push_finish(push_writer *w, buf *out) {
    int rc = w->body.rc;
    if (!rc) {
        message_put_head(out, MSG_PUSH, 2);
        wire_put_uint(out, w->incarnation);
        wire_put_array(out, w->count);
        buf_put(out, w->body.p, w->body.n);
        rc = out->rc;
    }
    buf_fini(&w->body);
    return rc;
}

int push_open(push_reader *r, const void *message, size_t n) {
    *r = (push_reader){0};
    message_open(&r->w, message, n, MSG_PUSH, 2);
    r->incarnation = message_get_u32(&r->w);
    r->count = wire_get_array(&r->w, LIMIT_PUSH_TXNS);
    return r->w.rc;
}

static bool follows(const push_txn *before, const push_txn *t) {
    if (!t->number) return false;
    if (!before->number) return true;
    if (t->number != before->number) return before->last && t->part == 0;
    return !before->last && t->part - before->part == 1 && t->stamp == before->stamp && t->base == before->base &&
           memcmp(t->id, before->id, sizeof t->id) == 0;
}

static void get_txn(wire *w, const push_txn *before, push_txn *t) {
    uint64_t fields = wire_get_array(w, UINT64_MAX);
    if (fields != 10 && fields != 11) message_fail(w, SATCHEL_E_MALFORMED);
    t->number = before->number + message_get_number(w);
    wire_get_exact(w, t->id, sizeof t->id);
    t->stamp = message_get_difference(w, before->stamp);
    t->base = message_get_difference(w, before->base);
    t->schema_epoch = message_get_u32(w);
    t->resolves = message_get_optional(w);
    t->effective = message_get_optional(w);
    t->part = message_get_u32(w);
    t->last = wire_get_bool(w);
    t->delta = message_get_raw(w, &t->ndelta);
    t->unseen = NULL;
    t->nunseen = 0;
    if (fields == 11) t->unseen = message_get_raw(w, &t->nunseen);
    if (t->number > INT64_MAX) message_fail(w, SATCHEL_E_LIMIT);
    if (!follows(before, t)) message_fail(w, SATCHEL_E_MALFORMED);
}

int push_next(push_reader *r, push_txn *out) {
    if (!r->count) return wire_close(&r->w);
    get_txn(&r->w, &r->before, out);
    if (r->w.rc) return r->w.rc;
    r->before = *out;
    r->count--;
    return 1;
}

/* ---- results ---- */

static void put_result(const msg_result *r, buf *out) {
    wire_put_array(out, 8);
    wire_put_uint(out, r->number);
    message_put_rc(out, r->rc);
    wire_put_uint(out, r->seq);
    wire_put_uint(out, r->effective);
    wire_put_uint(out, r->depends);
    wire_put_uint(out, r->table);
    wire_put_bytes(out, r->key, r->nkey);
    message_put_words(out, r->text, r->ntext);
}

int results_encode(const msg_result *r, size_t n, buf *out) {
    if (n > LIMIT_RESULTS) return SATCHEL_E_MISUSE;
    message_put_head(out, MSG_RESULTS, 1);
    wire_put_array(out, n);
    for (size_t i = 0; i < n; i++) put_result(&r[i], out);
    return out->rc;
}

int results_open(results_reader *r, const void *message, size_t n) {
    *r = (results_reader){0};
    message_open(&r->w, message, n, MSG_RESULTS, 1);
    r->count = wire_get_array(&r->w, LIMIT_RESULTS);
    return r->w.rc;
}

/* Accepted with a place, or refused with a reason; never half of each. */
static bool is_result(const msg_result *r) {
    if (!r->number) return false;
    if (r->rc == SATCHEL_OK) return r->seq && r->effective && !r->depends && !r->table && !r->nkey && !r->ntext;
    return satchel_rc_class(r->rc) == SATCHEL_CLASS_REFUSED && !r->seq && !r->effective && (r->table || !r->nkey);
}

int results_next(results_reader *r, msg_result *out) {
    wire *w = &r->w;
    if (!r->count) return wire_close(w);
    wire_expect_array(w, 8);
    out->number = message_get_number(w);
    out->rc = message_get_rc(w);
    out->seq = message_get_number(w);
    out->effective = message_get_number(w);
    out->depends = message_get_number(w);
    out->table = message_get_u32(w);
    out->key = message_get_key(w, true, &out->nkey);
    out->text = wire_get_text(w, LIMIT_TEXT_BYTES, &out->ntext);
    if (!is_result(out)) message_fail(w, SATCHEL_E_MALFORMED);
    r->count--;
    return w->rc ? w->rc : 1;
}

/* ---- losses ---- */

static void put_loss(const msg_loss *l, buf *out) {
    wire_put_array(out, 12);
    wire_put_uint(out, l->id);
    wire_put_uint(out, l->seq);
    wire_put_uint(out, l->number);
    wire_put_uint(out, l->table);
    wire_put_uint(out, l->column);
    wire_put_uint(out, l->rule);
    wire_put_bytes(out, l->key, l->nkey);
    wire_put_value(out, &l->kept);
    wire_put_value(out, &l->lost);
    wire_put_uint(out, l->kept_stamp);
    wire_put_uint(out, l->lost_stamp);
    wire_put_uint(out, l->kept_author);
}

int losses_encode(const msg_loss *l, size_t n, buf *out) {
    if (n > LIMIT_LOSSES) return SATCHEL_E_MISUSE;
    message_put_head(out, MSG_LOSSES, 1);
    wire_put_array(out, n);
    for (size_t i = 0; i < n; i++) put_loss(&l[i], out);
    return out->rc;
}

int losses_open(losses_reader *r, const void *message, size_t n) {
    *r = (losses_reader){0};
    message_open(&r->w, message, n, MSG_LOSSES, 1);
    r->count = wire_get_array(&r->w, LIMIT_LOSSES);
    return r->w.rc;
}

int losses_next(losses_reader *r, msg_loss *out) {
    wire *w = &r->w;
    if (!r->count) return wire_close(w);
    wire_expect_array(w, 12);
    out->id = message_get_number(w);
    out->seq = message_get_number(w);
    out->number = message_get_number(w);
    out->table = message_get_u32(w);
    out->column = message_get_u32(w);
    out->rule = (uint8_t)wire_get_uint_max(w, UINT8_MAX);
    out->key = message_get_key(w, false, &out->nkey);
    out->kept = wire_get_value(w);
    out->lost = wire_get_value(w);
    out->kept_stamp = message_get_number(w);
    out->lost_stamp = message_get_number(w);
    out->kept_author = message_get_u32(w);
    if (out->id <= r->id || !out->table) message_fail(w, SATCHEL_E_MALFORMED);
    r->id = out->id;
    r->count--;
    return w->rc ? w->rc : 1;
}
