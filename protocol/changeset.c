#include "protocol/changeset.h"

#include <sqlite3.h>
#include <string.h>

#include "protocol/satchel_rc.h"

#define TABLE_MARK 'T'

/* A column count fits SQLite's varint in two bytes: LIMIT_COLUMNS is below 2^14. */
static void put_count(buf *b, unsigned n) {
    if (n >= 0x80) buf_put_byte(b, (uint8_t)(n >> 7 | 0x80));
    buf_put_byte(b, (uint8_t)(n & 0x7f));
}

void changeset_put_table(buf *b, const char *name, unsigned ncol, const uint8_t *pk) {
    buf_put_byte(b, TABLE_MARK);
    put_count(b, ncol);
    buf_put(b, pk, ncol);
    buf_put(b, name, strlen(name) + 1);
}

void changeset_put_op(buf *b, uint8_t op, uint8_t indirect) {
    uint8_t bytes[2] = {op, indirect};
    buf_put(b, bytes, sizeof bytes);
}

void changeset_open(changeset_reader *r, const void *blob, size_t n) {
    *r = (changeset_reader){.p = blob, .start = blob};
    r->end = r->start + n;
}

static bool get_count(changeset_reader *r, unsigned *out) {
    unsigned n = 0;
    for (int i = 0; i < 2 && r->p < r->end; i++) {
        uint8_t byte = *r->p++;
        n = n << 7 | (byte & 0x7f);
        if (byte & 0x80) continue;
        *out = n;
        return n > 0 && n <= LIMIT_COLUMNS;
    }
    return false;
}

/* True if some column of the section is in the key; the reader promises that every change has one. */
static bool has_key(const uint8_t *pk, unsigned ncol) {
    for (unsigned i = 0; i < ncol; i++)
        if (pk[i]) return true;
    return false;
}

static int read_table(changeset_reader *r) {
    r->header_offset = (size_t)(r->p - r->start);
    r->p++;
    if (!get_count(r, &r->ncol) || (size_t)(r->end - r->p) < r->ncol) return SATCHEL_E_CORRUPT;
    r->pk = r->p;
    r->p += r->ncol;
    if (!has_key(r->pk, r->ncol)) return SATCHEL_E_CORRUPT;
    const uint8_t *zero = memchr(r->p, 0, (size_t)(r->end - r->p));
    if (!zero || zero == r->p) return SATCHEL_E_CORRUPT;
    r->table = (const char *)r->p;
    r->p = zero + 1;
    return SATCHEL_OK;
}

static int read_record(changeset_reader *r, value *out, bool whole) {
    for (unsigned i = 0; i < r->ncol; i++) {
        int rc = value_get(&r->p, r->end, &out[i]);
        if (rc) return rc;
        if (whole && out[i].type == VALUE_ABSENT) return SATCHEL_E_CORRUPT;
    }
    return SATCHEL_OK;
}

/* The two records of an update name the same columns outside the key; the key stands in the old one alone. */
static int check_update(const changeset_change *c) {
    for (unsigned i = 0; i < c->ncol; i++) {
        bool old = c->old[i].type != VALUE_ABSENT, new = c->new[i].type != VALUE_ABSENT;
        if (c->pk[i] ? !old || new : old != new) return SATCHEL_E_CORRUPT;
    }
    return SATCHEL_OK;
}

static int read_change(changeset_reader *r, changeset_change *out) {
    if (!r->table || r->end - r->p < 2) return SATCHEL_E_CORRUPT;
    out->offset = (size_t)(r->p - r->start);
    out->header_offset = r->header_offset;
    out->table = r->table;
    out->ncol = r->ncol;
    out->pk = r->pk;
    out->op = r->p[0];
    out->insert = out->op == SQLITE_UPDATE && r->p[1] & CHANGESET_INSERT;
    r->p += 2;
    switch (out->op) {
    case SQLITE_INSERT:
        return read_record(r, out->new, true);
    case SQLITE_DELETE:
        return read_record(r, out->old, true);
    case SQLITE_UPDATE: {
        int rc = read_record(r, out->old, false);
        if (!rc) rc = read_record(r, out->new, false);
        return rc ? rc : check_update(out);
    }
    default:
        return SATCHEL_E_CORRUPT;
    }
}

int changeset_next(changeset_reader *r, changeset_change *out) {
    while (r->p < r->end && *r->p == TABLE_MARK) {
        int rc = read_table(r);
        if (rc) return rc;
    }
    if (r->p >= r->end) return 0;
    int rc = read_change(r, out);
    return rc ? rc : 1;
}

int changeset_at(const void *blob, size_t n, size_t header_offset, size_t offset, changeset_change *out) {
    changeset_reader r;
    changeset_open(&r, blob, n);
    if (header_offset >= n || offset >= n || r.start[header_offset] != TABLE_MARK) return SATCHEL_E_CORRUPT;
    r.p = r.start + header_offset;
    int rc = read_table(&r);
    if (rc) return rc;
    if (offset < (size_t)(r.p - r.start)) return SATCHEL_E_CORRUPT;
    r.p = r.start + offset;
    return read_change(&r, out);
}
