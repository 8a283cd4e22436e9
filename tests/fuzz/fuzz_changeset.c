/* Everything that reads packed bytes from a database file: changesets, values and keys, row clocks. The first byte of an input chooses. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/changeset.h"
#include "protocol/clock.h"
#include "protocol/satchel_rc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law) {
    if (!law) abort();
}

static uint64_t sum_of(const value *v) {
    return v->type == VALUE_TEXT || v->type == VALUE_BLOB ? value_hash(v->u.p, v->n, v->type) : v->type;
}

/* Reads every byte that the change's views point to. */
static uint64_t touch(const changeset_change *c) {
    uint64_t sum = value_hash(c->table, strlen(c->table), c->ncol) + value_hash(c->pk, c->ncol, c->op);
    for (unsigned i = 0; i < c->ncol; i++) {
        if (c->op != SQLITE_INSERT) sum += sum_of(&c->old[i]) * 3;
        if (c->op != SQLITE_DELETE) sum += sum_of(&c->new[i]);
    }
    return sum;
}

static void try_changeset(const uint8_t *p, size_t n) {
    static changeset_change c, again;
    changeset_reader r;
    int rc;
    changeset_open(&r, p, n);
    while ((rc = changeset_next(&r, &c)) == 1) {
        require(changeset_at(p, n, c.header_offset, c.offset, &again) == SATCHEL_OK);
        require(again.op == c.op && touch(&again) == touch(&c));
    }
    require(rc == 0 || rc == SATCHEL_E_CORRUPT);
    if (n >= 4) changeset_at(p, n, p[0] | (size_t)p[1] << 8, p[2] | (size_t)p[3] << 8, &c);
}

static void try_values(const uint8_t *p, size_t n) {
    static buf again;
    const uint8_t *end = p + n;
    value v, w;
    while (p < end && value_get(&p, end, &v) == SATCHEL_OK) {
        buf_clear(&again);
        value_put(&again, &v);
        require(again.rc == SATCHEL_OK);
        const uint8_t *q = again.p;
        require(value_get(&q, again.p + again.n, &w) == SATCHEL_OK && value_equal(&v, &w) && q == again.p + again.n);
        require(value_compare(&v, &w) == 0);
    }
}

static void try_clock(const uint8_t *p, size_t n) {
    static row_clock c, again;
    static buf packed;
    if (clock_decode(&c, p, n) != SATCHEL_OK) return;
    buf_clear(&packed);
    clock_encode(&c, &packed);
    require(packed.rc == SATCHEL_OK && clock_decode(&again, packed.p, packed.n) == SATCHEL_OK);
    /* An override that says what the base says is not written again. */
    for (unsigned i = 0; i < c.n; i++) {
        field_clock a = clock_get(&c, c.over[i].unit), b = clock_get(&again, c.over[i].unit);
        require(a.stamp == b.stamp && a.author == b.author && a.seq == b.seq);
    }
    clock_latest(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    switch (data[0] % 3) {
    case 0:
        try_changeset(data + 1, size - 1);
        break;
    case 1:
        try_values(data + 1, size - 1);
        break;
    default:
        try_clock(data + 1, size - 1);
    }
    return 0;
}
