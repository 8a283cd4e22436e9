#include "protocol/delta.h"

#include <string.h>

#include "protocol/satchel_rc.h"

/* ---- writing ---- */

void delta_writer_init(delta_writer *w) {
    memset(w, 0, sizeof *w);
    buf_init(&w->body, 0);
    buf_init(&w->items, 0);
    buf_init(&w->head, 0);
    buf_init(&w->scratch, 0);
}

void delta_writer_fini(delta_writer *w) {
    buf_fini(&w->body);
    buf_fini(&w->items);
    buf_fini(&w->head);
    buf_fini(&w->scratch);
}

static void put_head(buf *b, const delta_row *row) {
    wire_put_uint(b, row->table);
    wire_put_uint(b, row->op);
    wire_put_uint(b, row->nkey);
    wire_put_array(b, row->ncol);
    for (unsigned i = 0; i < row->ncol; i++) wire_put_uint(b, (uint64_t)row->col[i].id * 4 + row->col[i].kind);
}

static void close_group(delta_writer *w) {
    if (!w->nitems) return;
    wire_put_array(&w->body, 5);
    buf_put(&w->body, w->head.p, w->head.n);
    wire_put_array(&w->body, w->nitems);
    buf_put(&w->body, w->items.p, w->items.n);
    w->groups++;
    w->nitems = 0;
    buf_clear(&w->head);
    buf_clear(&w->items);
}

/* Leaves the group open that the row belongs to. */
static void select_group(delta_writer *w, const delta_row *row) {
    buf_clear(&w->scratch);
    put_head(&w->scratch, row);
    if (w->nitems && w->scratch.n == w->head.n && memcmp(w->scratch.p, w->head.p, w->head.n) == 0) return;
    close_group(w);
    buf fresh = w->scratch;
    w->scratch = w->head;
    w->head = fresh;
}

void delta_put_row(delta_writer *w, const delta_row *row) {
    if (w->body.rc) return;
    select_group(w, row);
    for (unsigned i = 0; i < row->nkey; i++) wire_put_value(&w->items, &row->key[i]);
    w->nitems += row->nkey;
    for (unsigned i = 0; i < row->ncol; i++) {
        bool move = row->col[i].kind == DELTA_MOVE;
        if (move) wire_put_value(&w->items, &row->seen[i]);
        wire_put_value(&w->items, &row->v[i]);
        w->nitems += move ? 2 : 1;
    }
    if (w->head.rc) w->body.rc = w->head.rc;
    if (w->items.rc) w->body.rc = w->items.rc;
}

size_t delta_size(const delta_writer *w) {
    return w->body.n + w->head.n + w->items.n;
}

int delta_finish(delta_writer *w, buf *out) {
    close_group(w);
    int rc = w->body.rc;
    if (!rc) {
        wire_put_array(out, w->groups);
        buf_put(out, w->body.p, w->body.n);
        rc = out->rc;
    }
    buf_clear(&w->body);
    buf_clear(&w->items);
    buf_clear(&w->head);
    w->groups = w->nitems = 0;
    return rc;
}

/* ---- reading ---- */

void delta_open(delta_reader *r, const wire *at) {
    r->w = *at;
    r->groups = wire_get_array(&r->w, UINT64_MAX);
    r->items = 0;
    r->head = NULL;
    r->nhead = 0;
}

static int malformed(delta_reader *r) {
    if (!r->w.rc) r->w.rc = SATCHEL_E_MALFORMED;
    return r->w.rc;
}

/* The kinds are for updates alone: an insert sets, a deletion has no columns. */
static bool kind_allowed(delta_op op, delta_kind kind) {
    return kind == DELTA_SET || (op == DELTA_UPDATE && kind <= DELTA_MOVE);
}

static void get_columns(delta_reader *r) {
    delta_row *shape = &r->shape;
    shape->ncol = (unsigned)wire_get_array(&r->w, LIMIT_COLUMNS);
    if (shape->ncol && (shape->op == DELTA_DELETE || shape->op == DELTA_LEAVE)) malformed(r);
    r->width = shape->nkey;
    uint32_t before = 0; /* ids begin at 1 */
    for (unsigned i = 0; i < shape->ncol && !r->w.rc; i++) {
        uint64_t spec = wire_get_uint_max(&r->w, UINT32_MAX);
        delta_column c = {.id = (uint32_t)(spec / 4), .kind = (delta_kind)(spec % 4)};
        if (c.id <= before || !kind_allowed(shape->op, c.kind)) malformed(r);
        before = c.id;
        shape->col[i] = c;
        r->width += c.kind == DELTA_MOVE ? 2 : 1;
    }
}

/* Two neighbours with one head would be one group, had delta_put_row written them. */
static void check_head(delta_reader *r, const uint8_t *head) {
    size_t n = (size_t)(r->w.p - head);
    if (r->head && n == r->nhead && memcmp(head, r->head, n) == 0) r->w.rc = SATCHEL_E_NOT_DETERMINISTIC;
    r->head = head;
    r->nhead = n;
}

static void open_group(delta_reader *r) {
    wire_expect_array(&r->w, 5);
    const uint8_t *head = r->w.p;
    r->shape.table = (uint32_t)wire_get_uint_max(&r->w, UINT32_MAX);
    uint64_t op = wire_get_uint(&r->w);
    r->shape.nkey = (unsigned)wire_get_uint_max(&r->w, LIMIT_KEY_COLUMNS);
    if (!r->shape.table || op > DELTA_LEAVE || !r->shape.nkey) malformed(r);
    r->shape.op = (delta_op)op;
    if (!r->w.rc) get_columns(r);
    if (!r->w.rc) check_head(r, head);
    r->items = wire_get_array(&r->w, UINT64_MAX);
    if (!r->w.rc && (!r->items || r->items % r->width)) malformed(r);
}

static void get_row(delta_reader *r, delta_row *row) {
    const delta_row *shape = &r->shape;
    row->table = shape->table;
    row->op = shape->op;
    row->nkey = shape->nkey;
    row->ncol = shape->ncol;
    memcpy(row->col, shape->col, shape->ncol * sizeof shape->col[0]);
    for (unsigned i = 0; i < row->nkey; i++) {
        row->key[i] = wire_get_value(&r->w);
        if (row->key[i].type == VALUE_NULL) malformed(r);
    }
    for (unsigned i = 0; i < row->ncol; i++) {
        row->seen[i] = row->col[i].kind == DELTA_MOVE ? wire_get_value(&r->w) : (value){.type = VALUE_ABSENT};
        row->v[i] = wire_get_value(&r->w);
    }
}

int delta_next(delta_reader *r, delta_row *row) {
    if (r->w.rc) return r->w.rc;
    if (!r->items) {
        if (!r->groups) return 0;
        r->groups--;
        open_group(r);
        if (r->w.rc) return r->w.rc;
    }
    get_row(r, row);
    r->items -= r->width;
    return r->w.rc ? r->w.rc : 1;
}
