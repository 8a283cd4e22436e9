#include "protocol/unseen.h"

#include "protocol/limits.h"
#include "protocol/message_internal.h"
#include "protocol/satchel_rc.h"

void unseen_put_row(buf *body, uint32_t table, const void *key, size_t nkey, unsigned columns) {
    wire_put_array(body, 3);
    wire_put_uint(body, table);
    wire_put_bytes(body, key, nkey);
    wire_put_array(body, (uint64_t)columns * 2);
}

void unseen_put_column(buf *body, uint32_t column, uint64_t base) {
    wire_put_uint(body, column);
    wire_put_uint(body, base);
}

void unseen_finish(uint64_t rows, const buf *body, buf *out) {
    wire_put_array(out, rows);
    buf_put(out, body->p, body->n);
    if (body->rc) out->rc = body->rc;
}

void unseen_open(unseen_reader *r, const void *p, size_t n) {
    wire_open(&r->w, p, n);
    r->rows = wire_get_array(&r->w, LIMIT_FRAME_BYTES);
    if (!r->rows) message_fail(&r->w, SATCHEL_E_MALFORMED);
}

/* Passes over the columns, looking at each. */
static void check_columns(wire *w, uint64_t items) {
    uint32_t before = 0;
    if (!items || items % 2) message_fail(w, SATCHEL_E_MALFORMED);
    for (uint64_t i = 0; i < items / 2; i++) {
        uint32_t column = message_get_u32(w);
        message_get_number(w);
        if (i && column <= before) message_fail(w, SATCHEL_E_MALFORMED);
        before = column;
    }
}

int unseen_next(unseen_reader *r, unseen_row *out) {
    if (!r->rows) return wire_close(&r->w);
    wire_expect_array(&r->w, 3);
    out->table = message_get_u32(&r->w);
    out->key = message_get_key(&r->w, false, &out->nkey);
    uint64_t items = wire_get_array(&r->w, (LIMIT_COLUMNS + 1) * 2);
    out->columns = r->w;
    out->ncolumn = items / 2;
    check_columns(&r->w, items);
    if (!out->table) message_fail(&r->w, SATCHEL_E_MALFORMED);
    r->rows--;
    return r->w.rc ? r->w.rc : 1;
}

bool unseen_column(unseen_row *row, uint32_t *column, uint64_t *base) {
    if (!row->ncolumn) return false;
    row->ncolumn--;
    *column = (uint32_t)wire_get_uint(&row->columns);
    *base = wire_get_uint(&row->columns);
    return true;
}
