#include "protocol/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"

value value_null(void) {
    return (value){.type = VALUE_NULL};
}

value value_integer(int64_t i) {
    return (value){.type = VALUE_INTEGER, .u.i = i};
}

value value_real(double r) {
    return (value){.type = VALUE_REAL, .u.r = r};
}

value value_text(const char *p, size_t n) {
    return (value){.type = VALUE_TEXT, .n = (uint32_t)n, .u.p = (const uint8_t *)p};
}

value value_blob(const void *p, size_t n) {
    return (value){.type = VALUE_BLOB, .n = (uint32_t)n, .u.p = p};
}

bool value_equal(const value *a, const value *b) {
    if (a->type != b->type) return false;
    switch (a->type) {
    case VALUE_INTEGER:
        return a->u.i == b->u.i;
    case VALUE_REAL: /* bit for bit, so that -0.0 and 0.0 differ as SQLite's records do */
        return memcmp(&a->u.r, &b->u.r, sizeof a->u.r) == 0;
    case VALUE_TEXT:
    case VALUE_BLOB:
        return a->n == b->n && (a->n == 0 || memcmp(a->u.p, b->u.p, a->n) == 0);
    default:
        return true;
    }
}

static int rank(const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        return 1;
    case VALUE_REAL:
        return isnan(v->u.r) ? 0 : 1;
    case VALUE_TEXT:
        return 2;
    case VALUE_BLOB:
        return 3;
    default:
        return 0;
    }
}

/* An integer against a real without losing bits of either: the whole parts as integers, then the sign of the fraction. */
static int compare_integer_real(int64_t i, double r) {
    if (r < -9223372036854775808.0) return 1;
    if (r >= 9223372036854775808.0) return -1;
    int64_t whole = (int64_t)r;
    if (i != whole) return i < whole ? -1 : 1;
    double rest = r - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

static int compare_numbers(const value *a, const value *b) {
    if (a->type == VALUE_INTEGER && b->type == VALUE_INTEGER) return a->u.i < b->u.i ? -1 : a->u.i > b->u.i;
    if (a->type == VALUE_REAL && b->type == VALUE_REAL) return a->u.r < b->u.r ? -1 : a->u.r > b->u.r;
    if (a->type == VALUE_INTEGER) return compare_integer_real(a->u.i, b->u.r);
    return -compare_integer_real(b->u.i, a->u.r);
}

int value_compare(const value *a, const value *b) {
    int ra = rank(a), rb = rank(b);
    if (ra != rb) return ra - rb;
    if (ra == 0) return 0;
    if (ra == 1) return compare_numbers(a, b);
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->u.p, b->u.p, n) : 0;
    if (c) return c;
    return a->n < b->n ? -1 : a->n > b->n;
}

value value_of_sqlite(sqlite3_value *v) {
    switch (sqlite3_value_type(v)) {
    case SQLITE_INTEGER:
        return value_integer(sqlite3_value_int64(v));
    case SQLITE_FLOAT:
        return value_real(sqlite3_value_double(v));
    case SQLITE_TEXT: {
        const char *p = (const char *)sqlite3_value_text(v);
        return p ? value_text(p, (size_t)sqlite3_value_bytes(v)) : (value){0};
    }
    case SQLITE_BLOB: {
        const void *p = sqlite3_value_blob(v);
        return value_blob(p, (size_t)sqlite3_value_bytes(v));
    }
    default:
        return value_null();
    }
}

value value_of_column(sqlite3_stmt *stmt, int column) {
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return value_integer(sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT:
        return value_real(sqlite3_column_double(stmt, column));
    case SQLITE_TEXT: {
        const char *p = (const char *)sqlite3_column_text(stmt, column);
        return p ? value_text(p, (size_t)sqlite3_column_bytes(stmt, column)) : (value){0};
    }
    case SQLITE_BLOB: {
        const void *p = sqlite3_column_blob(stmt, column);
        return value_blob(p, (size_t)sqlite3_column_bytes(stmt, column));
    }
    default:
        return value_null();
    }
}

static int bind_as(sqlite3_stmt *stmt, int index, const value *v, sqlite3_destructor_type keep) {
    /* SQLite takes a NULL pointer for SQL NULL, which an empty text or blob is not. */
    const void *p = v->n ? (const void *)v->u.p : "";
    switch (v->type) {
    case VALUE_INTEGER:
        return sqlite3_bind_int64(stmt, index, v->u.i);
    case VALUE_REAL:
        return sqlite3_bind_double(stmt, index, v->u.r);
    case VALUE_TEXT:
        return sqlite3_bind_text64(stmt, index, p, v->n, keep, SQLITE_UTF8);
    case VALUE_BLOB:
        return sqlite3_bind_blob64(stmt, index, p, v->n, keep);
    default:
        return sqlite3_bind_null(stmt, index);
    }
}

int value_bind(sqlite3_stmt *stmt, int index, const value *v) {
    return bind_as(stmt, index, v, SQLITE_STATIC);
}

int value_bind_copy(sqlite3_stmt *stmt, int index, const value *v) {
    return bind_as(stmt, index, v, SQLITE_TRANSIENT);
}

/* SQLite's own varint: big-endian groups of seven, at most five bytes for a 32-bit length. */
static size_t length_size(uint32_t n) {
    return n < 1u << 7 ? 1 : n < 1u << 14 ? 2 : n < 1u << 21 ? 3 : n < 1u << 28 ? 4 : 5;
}

static uint8_t *write_length(uint8_t *to, uint32_t n) {
    size_t size = length_size(n);
    for (size_t at = size; at-- > 0; n >>= 7) to[at] = (uint8_t)((n & 0x7f) | (at + 1 < size ? 0x80 : 0));
    return to + size;
}

static int get_length(const uint8_t **p, const uint8_t *end, uint32_t *out) {
    uint64_t n = 0;
    for (int i = 0; i < 5 && *p < end; i++) {
        uint8_t byte = *(*p)++;
        n = n << 7 | (byte & 0x7f);
        if (!(byte & 0x80)) {
            if (n > UINT32_MAX) return SATCHEL_E_CORRUPT;
            *out = (uint32_t)n;
            return SATCHEL_OK;
        }
    }
    return SATCHEL_E_CORRUPT;
}

static uint8_t *write_u64(uint8_t *to, uint64_t v) {
    for (int i = 7; i >= 0; i--, v >>= 8) to[i] = (uint8_t)v;
    return to + 8;
}

size_t value_size(const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
    case VALUE_REAL:
        return 9;
    case VALUE_TEXT:
    case VALUE_BLOB:
        return 1 + length_size(v->n) + v->n;
    default:
        return 1;
    }
}

uint8_t *value_write(uint8_t *to, const value *v) {
    *to++ = v->type;
    if (v->type == VALUE_INTEGER) return write_u64(to, (uint64_t)v->u.i);
    if (v->type == VALUE_REAL) {
        uint64_t bits;
        memcpy(&bits, &v->u.r, sizeof bits);
        return write_u64(to, bits);
    }
    if (v->type == VALUE_TEXT || v->type == VALUE_BLOB) {
        to = write_length(to, v->n);
        if (v->n) memcpy(to, v->u.p, v->n);
        return to + v->n;
    }
    return to;
}

void value_put(buf *b, const value *v) {
    uint8_t *to = buf_reserve(b, value_size(v));
    if (to) b->n += (size_t)(value_write(to, v) - to);
}

int value_get(const uint8_t **p, const uint8_t *end, value *out) {
    if (*p >= end) return SATCHEL_E_CORRUPT;
    *out = (value){.type = *(*p)++};
    if (out->type == VALUE_INTEGER || out->type == VALUE_REAL) {
        if (end - *p < 8) return SATCHEL_E_CORRUPT;
        uint64_t bits = 0;
        for (int i = 0; i < 8; i++) bits = bits << 8 | *(*p)++;
        if (out->type == VALUE_INTEGER)
            out->u.i = (int64_t)bits;
        else
            memcpy(&out->u.r, &bits, sizeof bits);
    } else if (out->type == VALUE_TEXT || out->type == VALUE_BLOB) {
        int rc = get_length(p, end, &out->n);
        if (rc) return rc;
        if ((size_t)(end - *p) < out->n) return SATCHEL_E_CORRUPT;
        out->u.p = *p;
        *p += out->n;
    } else if (out->type > VALUE_NULL) {
        return SATCHEL_E_CORRUPT;
    }
    return SATCHEL_OK;
}

static void put_text_literal(buf *b, const value *v) {
    buf_put_byte(b, '\'');
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->u.p[i] == '\'') buf_put_byte(b, '\'');
        buf_put_byte(b, v->u.p[i]);
    }
    buf_put_byte(b, '\'');
}

void value_put_real(buf *b, double v) {
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_printf(b, "%s%s", text, !isfinite(v) || strpbrk(text, ".e") ? "" : ".0");
}

void value_put_literal(buf *b, const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(b, "%" PRId64, v->u.i);
        break;
    case VALUE_REAL: {
        /* SQLite's own form, so that 1.0 does not read as an integer. */
        char text[48];
        sqlite3_snprintf(sizeof text, text, "%!.17g", v->u.r);
        buf_printf(b, "%s", text);
        break;
    }
    case VALUE_TEXT:
        put_text_literal(b, v);
        break;
    case VALUE_BLOB:
        buf_printf(b, "x'");
        for (uint32_t i = 0; i < v->n; i++) buf_printf(b, "%02x", v->u.p[i]);
        buf_put_byte(b, '\'');
        break;
    default:
        buf_printf(b, "NULL");
    }
}

void value_put_literals(buf *b, const void *bytes, size_t n) {
    const uint8_t *p = bytes, *end = p ? p + n : NULL;
    value v;
    for (bool first = true; p && p < end && value_get(&p, end, &v) == SATCHEL_OK; first = false) {
        if (!first) buf_put_byte(b, ',');
        value_put_literal(b, &v);
    }
}

/* Bytes that follow a lead byte, and the range its first follower must lie in (RFC 3629, section 4). */
static int utf8_follow(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = 0x80, *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0) *low = 0xa0;
        if (lead == 0xed) *high = 0x9f;
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0) *low = 0x90;
        if (lead == 0xf4) *high = 0x8f;
        return 3;
    }
    return -1;
}

bool value_utf8_valid(const uint8_t *p, size_t n) {
    if (!n) return true;
    const uint8_t *end = p + n;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0)) {
            p += 8;
            continue;
        }
        uint8_t lead = *p++, low, high;
        if (lead < 0x80) continue;
        int follow = utf8_follow(lead, &low, &high);
        if (follow < 0 || end - p < follow) return false;
        if (*p < low || *p > high) return false;
        for (int i = 1; i < follow; i++)
            if ((p[i] & 0xc0) != 0x80) return false;
        p += follow;
    }
    return true;
}

uint64_t value_hash(const void *p, size_t n, uint64_t seed) {
    const uint8_t *b = p;
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}
