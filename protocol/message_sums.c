/* Checksums: ranges of keys with their digests going up, and the ranges that differ coming down. */
#include "protocol/message_internal.h"
#include "protocol/satchel_rc.h"

/* ---- ranges ---- */

void message_put_bound(buf *out, bool has, const value *key, unsigned nkey) {
    if (!has) {
        wire_put_null(out);
        return;
    }
    wire_put_array(out, nkey);
    for (unsigned i = 0; i < nkey; i++) wire_put_value(out, &key[i]);
}

unsigned message_get_bound(wire *w, value *key) {
    if (wire_skip_null(w)) return 0;
    unsigned n = (unsigned)wire_get_array(w, LIMIT_KEY_COLUMNS);
    if (!n) message_fail(w, SATCHEL_E_MALFORMED);
    for (unsigned i = 0; i < n; i++) {
        key[i] = wire_get_value(w);
        if (key[i].type == VALUE_NULL) message_fail(w, SATCHEL_E_MALFORMED);
    }
    return n;
}

void message_get_range(wire *w, snapshot_range *out) {
    out->table = message_get_u32(w);
    unsigned from = message_get_bound(w, out->from), to = message_get_bound(w, out->to);
    out->has_from = from > 0;
    out->has_to = to > 0;
    out->nkey = from ? from : to;
    if (!out->table || (from && to && from != to)) message_fail(w, SATCHEL_E_MALFORMED);
}

/* ---- sums ---- */

void sums_begin(const msg_sums *h, buf *out) {
    message_put_head(out, MSG_SUMS, 3);
    wire_put_uint(out, h->cursor);
    wire_put_uint(out, h->view);
    wire_put_array(out, h->ranges);
}

void sums_put(const sums_range *r, buf *out) {
    wire_put_array(out, 5);
    wire_put_uint(out, r->range.table);
    message_put_bound(out, r->range.has_from, r->range.from, r->range.nkey);
    message_put_bound(out, r->range.has_to, r->range.to, r->range.nkey);
    wire_put_uint(out, r->rows);
    wire_put_bytes(out, r->digest, sizeof r->digest);
}

int sums_open(sums_reader *r, const void *message, size_t n, msg_sums *head) {
    wire *w = &r->w;
    *r = (sums_reader){0};
    message_open(w, message, n, MSG_SUMS, 3);
    head->cursor = message_get_number(w);
    head->view = message_get_number(w);
    head->ranges = r->left = wire_get_array(w, LIMIT_SUMS);
    return w->rc;
}

int sums_next(sums_reader *r, sums_range *out) {
    wire *w = &r->w;
    if (!r->left) return wire_close(w);
    wire_expect_array(w, 5);
    message_get_range(w, &out->range);
    out->range.delta = NULL;
    out->range.ndelta = 0;
    out->rows = message_get_number(w);
    wire_get_exact(w, out->digest, sizeof out->digest);
    r->left--;
    return w->rc ? w->rc : 1;
}

/* ---- repair ---- */

void repair_begin(const msg_repair *h, buf *out) {
    message_put_head(out, MSG_REPAIR, 4);
    wire_put_uint(out, h->seq);
    wire_put_uint(out, h->compared);
    wire_put_bool(out, h->cut);
    wire_put_array(out, h->ranges);
}

int repair_open(snapshot_reader *r, const void *message, size_t n, msg_repair *head) {
    wire *w = &r->w;
    *r = (snapshot_reader){0};
    message_open(w, message, n, MSG_REPAIR, 4);
    head->seq = message_get_number(w);
    head->compared = wire_get_uint_max(w, LIMIT_SUMS);
    head->cut = wire_get_bool(w);
    head->ranges = r->left = wire_get_array(w, LIMIT_SUMS);
    if (head->ranges > head->compared || (head->cut && !head->ranges)) message_fail(w, SATCHEL_E_MALFORMED);
    return w->rc;
}
