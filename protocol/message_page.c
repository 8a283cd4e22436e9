/* Rows coming down: pages of commits, and pages of a snapshot. */
#include "protocol/message_internal.h"
#include "protocol/satchel_rc.h"

/* ---- pages ---- */

void page_begin(const msg_page *h, buf *out) {
    message_put_head(out, MSG_PAGE, h->view ? 7 : 6);
    wire_put_uint(out, h->from);
    wire_put_uint(out, h->to);
    wire_put_uint(out, h->high_stamp);
    wire_put_uint(out, h->part);
    wire_put_bool(out, h->more);
    if (h->view) wire_put_uint(out, h->view);
    wire_put_array(out, h->commits);
}

void page_put_commit(const page_commit *c, buf *out) {
    wire_put_array(out, 4);
    wire_put_uint(out, c->seq);
    wire_put_uint(out, c->author);
    wire_put_uint(out, c->stamp);
    message_put_raw(out, c->delta, c->ndelta);
}

int page_open(page_reader *r, const void *message, size_t n, msg_page *head) {
    wire *w = &r->w;
    *r = (page_reader){0};
    bool has_view = message_open_with_view(w, message, n, MSG_PAGE, 6);
    head->from = message_get_number(w);
    head->to = message_get_number(w);
    head->high_stamp = message_get_number(w);
    head->part = message_get_u32(w);
    head->more = wire_get_bool(w);
    head->view = has_view ? message_get_positive(w) : 0;
    head->commits = r->left = wire_get_array(w, UINT64_MAX);
    if (head->from > head->to) message_fail(w, SATCHEL_E_MALFORMED);
    return w->rc;
}

int page_next(page_reader *r, page_commit *out) {
    wire *w = &r->w;
    if (!r->left) return wire_close(w);
    wire_expect_array(w, 4);
    out->seq = message_get_number(w);
    out->author = message_get_u32(w);
    out->stamp = message_get_number(w);
    out->delta = message_get_raw(w, &out->ndelta);
    if (!out->seq || out->seq < r->seq) message_fail(w, SATCHEL_E_MALFORMED);
    r->seq = out->seq;
    r->left--;
    return w->rc ? w->rc : 1;
}

/* ---- snapshots ---- */

void snapshot_begin(const msg_snapshot *h, buf *out) {
    message_put_head(out, MSG_SNAPSHOT, h->view ? 8 : 7);
    wire_put_uint(out, h->id);
    wire_put_uint(out, h->seq);
    wire_put_uint(out, h->page);
    wire_put_bool(out, h->last);
    wire_put_uint(out, h->total_rows);
    wire_put_uint(out, h->high_stamp);
    if (h->view) wire_put_uint(out, h->view);
    wire_put_array(out, h->ranges);
}

void snapshot_put_range(const snapshot_range *r, buf *out) {
    wire_put_array(out, 4);
    wire_put_uint(out, r->table);
    message_put_bound(out, r->has_from, r->from, r->nkey);
    message_put_bound(out, r->has_to, r->to, r->nkey);
    message_put_raw(out, r->delta, r->ndelta);
}

int snapshot_open(snapshot_reader *r, const void *message, size_t n, msg_snapshot *head) {
    wire *w = &r->w;
    *r = (snapshot_reader){0};
    bool has_view = message_open_with_view(w, message, n, MSG_SNAPSHOT, 7);
    head->id = message_get_number(w);
    head->seq = message_get_number(w);
    head->page = message_get_u32(w);
    head->last = wire_get_bool(w);
    head->total_rows = message_get_number(w);
    head->high_stamp = message_get_number(w);
    head->view = has_view ? message_get_positive(w) : 0;
    head->ranges = r->left = wire_get_array(w, UINT64_MAX);
    if (!head->id) message_fail(w, SATCHEL_E_MALFORMED);
    return w->rc;
}

int snapshot_next(snapshot_reader *r, snapshot_range *out) {
    wire *w = &r->w;
    if (!r->left) return wire_close(w);
    wire_expect_array(w, 4);
    message_get_range(w, out);
    out->delta = message_get_raw(w, &out->ndelta);
    r->left--;
    return w->rc ? w->rc : 1;
}
