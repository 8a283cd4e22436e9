/* One walk over any message, for tests, fuzzers and debug builds alike. */
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"

static int check_delta(const uint8_t *p, size_t n, const snapshot_range *range) {
    wire at;
    delta_reader r;
    delta_row row;
    int rc;
    wire_open(&at, p, n);
    delta_open(&r, &at);
    while ((rc = delta_next(&r, &row)) == 1) {
        if (!range) continue;
        bool fits = row.table == range->table && row.op == DELTA_PUT && (!range->nkey || row.nkey == range->nkey);
        if (!fits) return SATCHEL_E_MALFORMED;
    }
    return rc ? rc : wire_close(&r.w);
}

static int check_unseen(const push_txn *t) {
    unseen_reader r;
    unseen_row row;
    int rc;
    if (!t->nunseen) return SATCHEL_OK;
    unseen_open(&r, t->unseen, t->nunseen);
    while ((rc = unseen_next(&r, &row)) == 1)
        ;
    return rc;
}

static int check_push(const void *p, size_t n) {
    push_reader r;
    push_txn t;
    int rc = push_open(&r, p, n);
    if (rc) return rc;
    while ((rc = push_next(&r, &t)) == 1) {
        int bad = check_delta(t.delta, t.ndelta, NULL);
        if (!bad) bad = check_unseen(&t);
        if (bad) return bad;
    }
    return rc;
}

static int check_results(const void *p, size_t n) {
    results_reader r;
    msg_result one;
    int rc = results_open(&r, p, n);
    if (rc) return rc;
    while ((rc = results_next(&r, &one)) == 1)
        ;
    return rc;
}

static int check_losses(const void *p, size_t n) {
    losses_reader r;
    msg_loss one;
    int rc = losses_open(&r, p, n);
    if (rc) return rc;
    while ((rc = losses_next(&r, &one)) == 1)
        ;
    return rc;
}

static int check_page(const void *p, size_t n) {
    page_reader r;
    msg_page head;
    page_commit c;
    int rc = page_open(&r, p, n, &head);
    if (rc) return rc;
    while ((rc = page_next(&r, &c)) == 1) {
        int bad = check_delta(c.delta, c.ndelta, NULL);
        if (bad) return bad;
    }
    return rc;
}

static int check_ranges(snapshot_reader *r) {
    snapshot_range range;
    int rc;
    while ((rc = snapshot_next(r, &range)) == 1) {
        int bad = check_delta(range.delta, range.ndelta, &range);
        if (bad) return bad;
    }
    return rc;
}

static int check_snapshot(const void *p, size_t n) {
    snapshot_reader r;
    msg_snapshot head;
    int rc = snapshot_open(&r, p, n, &head);
    return rc ? rc : check_ranges(&r);
}

static int check_sums(const void *p, size_t n) {
    sums_reader r;
    msg_sums head;
    sums_range one;
    int rc = sums_open(&r, p, n, &head);
    if (rc) return rc;
    while ((rc = sums_next(&r, &one)) == 1)
        ;
    return rc;
}

static int check_repair(const void *p, size_t n) {
    snapshot_reader r;
    msg_repair head;
    int rc = repair_open(&r, p, n, &head);
    return rc ? rc : check_ranges(&r);
}

/* Not a message of any type: says why its head is none. */
static int check_head(const void *p, size_t n) {
    wire w;
    wire_open(&w, p, n);
    wire_get_array(&w, UINT64_MAX);
    wire_get_uint(&w);
    return w.rc ? w.rc : SATCHEL_E_MALFORMED;
}

static int check_simple(message_type type, const void *p, size_t n) {
    union {
        msg_hello hello;
        msg_welcome welcome;
        msg_schema schema;
        msg_pull pull;
        msg_resolve resolve;
        msg_error error;
    } m;
    uint32_t incarnation;
    uint64_t number;
    switch (type) {
    case MSG_HELLO:
        return hello_decode(p, n, &m.hello);
    case MSG_WELCOME:
        return welcome_decode(p, n, &m.welcome);
    case MSG_SCHEMA:
        return schema_decode(p, n, &m.schema);
    case MSG_PULL:
        return pull_decode(p, n, &m.pull);
    case MSG_FORKED:
        return forked_decode(p, n, &incarnation, &number);
    case MSG_RESOLVE:
        return resolve_decode(p, n, &m.resolve);
    case MSG_ERROR:
        return error_decode(p, n, &m.error);
    default:
        return check_head(p, n);
    }
}

int message_check(const void *p, size_t n) {
    message_type type = message_peek(p, n);
    switch (type) {
    case MSG_PUSH:
        return check_push(p, n);
    case MSG_RESULTS:
        return check_results(p, n);
    case MSG_LOSSES:
        return check_losses(p, n);
    case MSG_PAGE:
        return check_page(p, n);
    case MSG_SNAPSHOT:
        return check_snapshot(p, n);
    case MSG_SUMS:
        return check_sums(p, n);
    case MSG_REPAIR:
        return check_repair(p, n);
    default:
        return check_simple(type, p, n);
    }
}
