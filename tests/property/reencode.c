#include "tests/property/reencode.h"

#include <string.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"

int reencode_delta(const void *p, size_t n, buf *out) {
    static delta_reader r;
    static delta_row row;
    delta_writer w;
    wire at;
    int rc;
    delta_writer_init(&w);
    wire_open(&at, p, n);
    delta_open(&r, &at);
    while ((rc = delta_next(&r, &row)) == 1) delta_put_row(&w, &row);
    if (!rc) rc = wire_close(&r.w);
    if (!rc) rc = delta_finish(&w, out);
    delta_writer_fini(&w);
    return rc;
}

/* Replaces the raw delta of a decoded struct by one that was read and written again, held in `fresh`. */
static int renew(const uint8_t **delta, size_t *n, buf *fresh) {
    buf_clear(fresh);
    int rc = reencode_delta(*delta, *n, fresh);
    *delta = fresh->p;
    *n = fresh->n;
    return rc;
}

static int reencode_push(const void *p, size_t n, buf *fresh, buf *out) {
    push_reader r;
    push_txn t;
    push_writer w;
    int more = push_open(&r, p, n), rc = SATCHEL_OK;
    push_begin(&w, r.incarnation);
    if (!more) more = 1;
    while (more == 1 && !rc && (more = push_next(&r, &t)) == 1) {
        rc = renew(&t.delta, &t.ndelta, fresh);
        if (!rc) push_put_txn(&w, &t);
    }
    int written = push_finish(&w, out);
    return rc ? rc : more ? more : written;
}

static int reencode_results(const void *p, size_t n, buf *out) {
    static msg_result all[LIMIT_RESULTS];
    results_reader r;
    size_t count = 0;
    int rc = results_open(&r, p, n);
    if (rc) return rc;
    while (r.count && (rc = results_next(&r, &all[count])) == 1) count++;
    if (rc >= 0) rc = results_next(&r, &all[0]);
    return rc ? rc : results_encode(all, count, out);
}

static int reencode_losses(const void *p, size_t n, buf *out) {
    static msg_loss all[LIMIT_LOSSES];
    losses_reader r;
    size_t count = 0;
    int rc = losses_open(&r, p, n);
    if (rc) return rc;
    while (r.count && (rc = losses_next(&r, &all[count])) == 1) count++;
    if (rc >= 0) rc = losses_next(&r, &all[0]);
    return rc ? rc : losses_encode(all, count, out);
}

static int reencode_page(const void *p, size_t n, buf *fresh, buf *out) {
    page_reader r;
    msg_page head;
    page_commit c;
    int rc = page_open(&r, p, n, &head);
    if (rc) return rc;
    page_begin(&head, out);
    while ((rc = page_next(&r, &c)) == 1) {
        rc = renew(&c.delta, &c.ndelta, fresh);
        if (rc) return rc;
        page_put_commit(&c, out);
    }
    return rc ? rc : out->rc;
}

static int reencode_snapshot(const void *p, size_t n, buf *fresh, buf *out) {
    snapshot_reader r;
    msg_snapshot head;
    static snapshot_range range;
    int rc = snapshot_open(&r, p, n, &head);
    if (rc) return rc;
    snapshot_begin(&head, out);
    while ((rc = snapshot_next(&r, &range)) == 1) {
        rc = renew(&range.delta, &range.ndelta, fresh);
        if (rc) return rc;
        snapshot_put_range(&range, out);
    }
    return rc ? rc : out->rc;
}

static int reencode_sums(const void *p, size_t n, buf *out) {
    sums_reader r;
    msg_sums head;
    static sums_range range;
    int rc = sums_open(&r, p, n, &head);
    if (rc) return rc;
    sums_begin(&head, out);
    while ((rc = sums_next(&r, &range)) == 1) sums_put(&range, out);
    return rc ? rc : out->rc;
}

static int reencode_repair(const void *p, size_t n, buf *fresh, buf *out) {
    snapshot_reader r;
    msg_repair head;
    static snapshot_range range;
    int rc = repair_open(&r, p, n, &head);
    if (rc) return rc;
    repair_begin(&head, out);
    while ((rc = snapshot_next(&r, &range)) == 1) {
        rc = renew(&range.delta, &range.ndelta, fresh);
        if (rc) return rc;
        snapshot_put_range(&range, out);
    }
    return rc ? rc : out->rc;
}

static int reencode_forked(const void *p, size_t n, buf *out) {
    uint32_t incarnation;
    uint64_t number;
    int rc = forked_decode(p, n, &incarnation, &number);
    return rc ? rc : forked_encode(incarnation, number, out);
}

#define REENCODE_SIMPLE(name)                                                                                                    \
    static int reencode_##name(const void *p, size_t n, buf *out) {                                                              \
        msg_##name m;                                                                                                            \
        int rc = name##_decode(p, n, &m);                                                                                        \
        return rc ? rc : name##_encode(&m, out);                                                                                 \
    }
REENCODE_SIMPLE(hello)
REENCODE_SIMPLE(welcome)
REENCODE_SIMPLE(schema)
REENCODE_SIMPLE(pull)
REENCODE_SIMPLE(resolve)
REENCODE_SIMPLE(error)

static int reencode_by_type(const void *p, size_t n, buf *fresh, buf *out) {
    switch (message_peek(p, n)) {
    case MSG_HELLO:
        return reencode_hello(p, n, out);
    case MSG_WELCOME:
        return reencode_welcome(p, n, out);
    case MSG_SCHEMA:
        return reencode_schema(p, n, out);
    case MSG_PUSH:
        return reencode_push(p, n, fresh, out);
    case MSG_RESULTS:
        return reencode_results(p, n, out);
    case MSG_PULL:
        return reencode_pull(p, n, out);
    case MSG_PAGE:
        return reencode_page(p, n, fresh, out);
    case MSG_SNAPSHOT:
        return reencode_snapshot(p, n, fresh, out);
    case MSG_LOSSES:
        return reencode_losses(p, n, out);
    case MSG_FORKED:
        return reencode_forked(p, n, out);
    case MSG_RESOLVE:
        return reencode_resolve(p, n, out);
    case MSG_ERROR:
        return reencode_error(p, n, out);
    case MSG_SUMS:
        return reencode_sums(p, n, out);
    case MSG_REPAIR:
        return reencode_repair(p, n, fresh, out);
    default:
        return SATCHEL_E_MALFORMED;
    }
}

int reencode(const void *p, size_t n, buf *out) {
    buf fresh;
    buf_init(&fresh, 0);
    buf_clear(out);
    int rc = reencode_by_type(p, n, &fresh, out);
    buf_fini(&fresh);
    return rc;
}
