/* The packed form. Varints are buf.h's; a difference is taken modulo 2^64 and zigzag-coded, so that small ones of either sign are short.
 *
 *   base       stamp, 8 bytes big-endian
 *              author, varint
 *              seq, varint
 *   override   unit, varint                        strictly ascending
 *              stamp - base stamp, zigzag varint
 *              author, varint
 *              seq - base seq, zigzag varint
 *
 * The base stamp stands in full because a varint of it would take nine bytes. */
#include "protocol/clock.h"

#include <stdbool.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"

/* Eight bytes of stamp and two varints. */
#define SHORTEST 10

static uint64_t zigzag(uint64_t difference) {
    return difference << 1 ^ (UINT64_C(0) - (difference >> 63));
}

static uint64_t unzigzag(uint64_t code) {
    return code >> 1 ^ (UINT64_C(0) - (code & 1));
}

static bool same(const field_clock *a, const field_clock *b) {
    return a->stamp == b->stamp && a->author == b->author && a->seq == b->seq;
}

/* The place of `unit` among the overrides: the first that is not below it. */
static unsigned place(const row_clock *c, uint32_t unit) {
    unsigned low = 0, high = c->n;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (c->over[middle].unit < unit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void clock_init(row_clock *c, field_clock base) {
    c->base = base;
    c->n = 0;
}

field_clock clock_get(const row_clock *c, uint32_t unit) {
    unsigned at = place(c, unit);
    return at < c->n && c->over[at].unit == unit ? c->over[at].c : c->base;
}

int clock_set(row_clock *c, uint32_t unit, field_clock f) {
    unsigned at = place(c, unit);
    if (at == c->n || c->over[at].unit != unit) {
        if (c->n == LIMIT_COLUMNS) return SATCHEL_E_LIMIT;
        for (unsigned i = c->n++; i > at; i--) c->over[i] = c->over[i - 1];
        c->over[at].unit = unit;
    }
    c->over[at].c = f;
    return SATCHEL_OK;
}

field_clock clock_latest(const row_clock *c) {
    const field_clock *latest = &c->base;
    for (unsigned i = 0; i < c->n; i++)
        if (clock_compare(&c->over[i].c, latest) > 0) latest = &c->over[i].c;
    return *latest;
}

int clock_compare(const field_clock *a, const field_clock *b) {
    if (a->stamp != b->stamp) return a->stamp < b->stamp ? -1 : 1;
    return a->author < b->author ? -1 : a->author > b->author;
}

void clock_encode(const row_clock *c, buf *out) {
    for (int shift = 56; shift >= 0; shift -= 8) buf_put_byte(out, (uint8_t)(c->base.stamp >> shift));
    buf_put_varint(out, c->base.author);
    buf_put_varint(out, c->base.seq);
    for (unsigned i = 0; i < c->n; i++) {
        const field_clock *f = &c->over[i].c;
        if (same(f, &c->base)) continue;
        buf_put_varint(out, c->over[i].unit);
        buf_put_varint(out, zigzag(f->stamp - c->base.stamp));
        buf_put_varint(out, f->author);
        buf_put_varint(out, zigzag(f->seq - c->base.seq));
    }
}

static bool get_u32(const uint8_t **p, const uint8_t *end, uint32_t *out) {
    uint64_t v;
    if (!buf_get_varint(p, end, &v) || v > UINT32_MAX) return false;
    *out = (uint32_t)v;
    return true;
}

/* SQLite keeps seqs as signed integers; stamps have the same bound. */
static bool in_range(const field_clock *f) {
    return f->stamp <= HLC_MAX_STAMP && f->seq <= INT64_MAX;
}

/* Needs SHORTEST bytes. */
static bool get_base(const uint8_t **p, const uint8_t *end, field_clock *out) {
    out->stamp = 0;
    for (int i = 0; i < 8; i++) out->stamp = out->stamp << 8 | *(*p)++;
    return get_u32(p, end, &out->author) && buf_get_varint(p, end, &out->seq) && in_range(out);
}

static bool get_override(const uint8_t **p, const uint8_t *end, const field_clock *base, uint32_t *unit, field_clock *out) {
    uint64_t stamp, seq;
    if (!get_u32(p, end, unit) || !buf_get_varint(p, end, &stamp)) return false;
    if (!get_u32(p, end, &out->author) || !buf_get_varint(p, end, &seq)) return false;
    out->stamp = base->stamp + unzigzag(stamp);
    out->seq = base->seq + unzigzag(seq);
    return in_range(out);
}

int clock_decode(row_clock *c, const void *p, size_t n) {
    if (n < SHORTEST) return SATCHEL_E_CORRUPT;
    const uint8_t *at = p, *end = at + n;
    c->n = 0;
    if (!get_base(&at, end, &c->base)) return SATCHEL_E_CORRUPT;
    for (; at < end; c->n++) {
        uint32_t unit;
        field_clock f;
        if (c->n == LIMIT_COLUMNS || !get_override(&at, end, &c->base, &unit, &f)) return SATCHEL_E_CORRUPT;
        if (c->n && unit <= c->over[c->n - 1].unit) return SATCHEL_E_CORRUPT;
        c->over[c->n].unit = unit;
        c->over[c->n].c = f;
    }
    return SATCHEL_OK;
}
