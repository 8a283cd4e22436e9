#include "protocol/wire.h"

#include <cbor/callbacks.h>
#include <cbor/encoding.h>
#include <cbor/streaming.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

/* No head of an item is longer: one byte of type and at most eight of argument. */
#define HEAD_BYTES 9

/* ---- writing ---- */

/* Heads are built aside, so that a buffer is filled to its maximum exactly. */
void wire_put_uint(buf *b, uint64_t v) {
    unsigned char head[HEAD_BYTES];
    buf_put(b, head, cbor_encode_uint(v, head, sizeof head));
}

void wire_put_int(buf *b, int64_t v) {
    unsigned char head[HEAD_BYTES];
    size_t n = v < 0 ? cbor_encode_negint(~(uint64_t)v, head, sizeof head) : cbor_encode_uint((uint64_t)v, head, sizeof head);
    buf_put(b, head, n);
}

/* The half-precision bits of v, if half precision keeps it (IEEE 754 binary16: 5 bits of exponent, 10 of fraction). */
static bool half_of(double v, uint16_t *half) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    if (v == 0 || isinf(v)) {
        *half = (uint16_t)(sign | (v == 0 ? 0 : 0x7c00));
        return true;
    }
    if (exponent < -24 || exponent > 15) return false;
    bool normal = exponent >= -14;
    uint64_t significand = normal ? fraction : fraction | UINT64_C(1) << 52;
    int drop = normal ? 42 : 42 - 14 - exponent;
    if (significand & ((UINT64_C(1) << drop) - 1)) return false;
    *half = (uint16_t)(sign | (normal ? (uint64_t)(exponent + 15) << 10 : 0) | significand >> drop);
    return true;
}

static bool fits_single(double v) {
    return isinf(v) || (fabs(v) <= (double)FLT_MAX && (double)(float)v == v);
}

/* cbor_encode_half cuts subnormal numbers off, so the half is made here. */
void wire_put_real(buf *b, double v) {
    unsigned char head[HEAD_BYTES];
    uint16_t half;
    if (isnan(v)) {
        wire_put_null(b);
    } else if (half_of(v, &half)) {
        unsigned char bytes[3] = {0xf9, (unsigned char)(half >> 8), (unsigned char)half};
        buf_put(b, bytes, sizeof bytes);
    } else if (fits_single(v)) {
        buf_put(b, head, cbor_encode_single((float)v, head, sizeof head));
    } else {
        buf_put(b, head, cbor_encode_double(v, head, sizeof head));
    }
}

void wire_put_bytes(buf *b, const void *p, size_t n) {
    unsigned char head[HEAD_BYTES];
    buf_put(b, head, cbor_encode_bytestring_start(n, head, sizeof head));
    buf_put(b, p, n);
}

void wire_put_text(buf *b, const char *p, size_t n) {
    unsigned char head[HEAD_BYTES];
    if (!b->rc && !value_utf8_valid((const uint8_t *)p, n)) b->rc = SATCHEL_E_UTF8;
    buf_put(b, head, cbor_encode_string_start(n, head, sizeof head));
    buf_put(b, p, n);
}

void wire_put_array(buf *b, uint64_t count) {
    unsigned char head[HEAD_BYTES];
    buf_put(b, head, cbor_encode_array_start((size_t)count, head, sizeof head));
}

void wire_put_bool(buf *b, bool v) {
    buf_put_byte(b, v ? 0xf5 : 0xf4);
}

void wire_put_null(buf *b) {
    buf_put_byte(b, 0xf6);
}

void wire_put_value(buf *b, const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        wire_put_int(b, v->u.i);
        return;
    case VALUE_REAL:
        wire_put_real(b, v->u.r);
        return;
    case VALUE_TEXT:
        wire_put_text(b, (const char *)v->u.p, v->n);
        return;
    case VALUE_BLOB:
        wire_put_bytes(b, v->u.p, v->n);
        return;
    case VALUE_NULL:
        wire_put_null(b);
        return;
    default:
        if (!b->rc) b->rc = SATCHEL_E_MISUSE;
    }
}

/* ---- reading ---- */

typedef enum item_kind {
    ITEM_OTHER, /* well formed, but nothing that Satchel uses: maps, tags, undefined, a lone break */
    ITEM_INDEFINITE,
    ITEM_UINT,
    ITEM_NEGINT, /* -1 - n */
    ITEM_BYTES,
    ITEM_TEXT,
    ITEM_ARRAY,
    ITEM_BOOL,
    ITEM_NULL,
    ITEM_HALF,
    ITEM_SINGLE,
    ITEM_DOUBLE
} item_kind;

/* What libcbor's callbacks leave of one item: its kind with its argument, bytes or number. */
typedef struct item {
    item_kind kind;
    uint64_t n; /* the integer; or the size of a string or array, which libcbor gives as a size_t */
    const uint8_t *p;
    double r;
} item;

static void on_uint8(void *ctx, uint8_t v) {
    item *it = ctx;
    it->kind = ITEM_UINT;
    it->n = v;
}

static void on_uint16(void *ctx, uint16_t v) {
    item *it = ctx;
    it->kind = ITEM_UINT;
    it->n = v;
}

static void on_uint32(void *ctx, uint32_t v) {
    item *it = ctx;
    it->kind = ITEM_UINT;
    it->n = v;
}

static void on_uint64(void *ctx, uint64_t v) {
    item *it = ctx;
    it->kind = ITEM_UINT;
    it->n = v;
}

static void on_negint8(void *ctx, uint8_t v) {
    item *it = ctx;
    it->kind = ITEM_NEGINT;
    it->n = v;
}

static void on_negint16(void *ctx, uint16_t v) {
    item *it = ctx;
    it->kind = ITEM_NEGINT;
    it->n = v;
}

static void on_negint32(void *ctx, uint32_t v) {
    item *it = ctx;
    it->kind = ITEM_NEGINT;
    it->n = v;
}

static void on_negint64(void *ctx, uint64_t v) {
    item *it = ctx;
    it->kind = ITEM_NEGINT;
    it->n = v;
}

static void on_bytes(void *ctx, cbor_data p, size_t n) {
    item *it = ctx;
    it->kind = ITEM_BYTES;
    it->p = p;
    it->n = n;
}

static void on_text(void *ctx, cbor_data p, size_t n) {
    item *it = ctx;
    it->kind = ITEM_TEXT;
    it->p = p;
    it->n = n;
}

static void on_array(void *ctx, size_t n) {
    item *it = ctx;
    it->kind = ITEM_ARRAY;
    it->n = n;
}

static void on_half(void *ctx, float v) {
    item *it = ctx;
    it->kind = ITEM_HALF;
    it->r = (double)v;
}

static void on_single(void *ctx, float v) {
    item *it = ctx;
    it->kind = ITEM_SINGLE;
    it->r = (double)v;
}

static void on_double(void *ctx, double v) {
    item *it = ctx;
    it->kind = ITEM_DOUBLE;
    it->r = v;
}

static void on_bool(void *ctx, bool v) {
    item *it = ctx;
    it->kind = ITEM_BOOL;
    it->n = v;
}

static void on_null(void *ctx) {
    item *it = ctx;
    it->kind = ITEM_NULL;
}

static void on_indefinite(void *ctx) {
    item *it = ctx;
    it->kind = ITEM_INDEFINITE;
}

static void on_other(void *ctx) {
    item *it = ctx;
    it->kind = ITEM_OTHER;
}

static void on_map(void *ctx, size_t n) {
    (void)n;
    on_other(ctx);
}

static void on_tag(void *ctx, uint64_t n) {
    (void)n;
    on_other(ctx);
}

static const struct cbor_callbacks callbacks = {
    .uint8 = on_uint8,
    .uint16 = on_uint16,
    .uint32 = on_uint32,
    .uint64 = on_uint64,
    .negint8 = on_negint8,
    .negint16 = on_negint16,
    .negint32 = on_negint32,
    .negint64 = on_negint64,
    .byte_string_start = on_indefinite,
    .byte_string = on_bytes,
    .string = on_text,
    .string_start = on_indefinite,
    .indef_array_start = on_indefinite,
    .array_start = on_array,
    .indef_map_start = on_indefinite,
    .map_start = on_map,
    .tag = on_tag,
    .float2 = on_half,
    .float4 = on_single,
    .float8 = on_double,
    .undefined = on_other,
    .null = on_null,
    .boolean = on_bool,
    .indef_break = on_other,
};

static void fail(wire *w, int rc) {
    if (!w->rc) w->rc = rc;
}

static size_t head_size(uint64_t argument) {
    if (argument < 24) return 1;
    if (argument <= UINT8_MAX) return 2;
    if (argument <= UINT16_MAX) return 3;
    return argument <= UINT32_MAX ? 5 : 9;
}

/* Whether an item that took `size` bytes is one that Satchel uses, in its only encoding. */
static int check_form(const item *it, size_t size) {
    uint16_t half;
    bool shortest = true;
    switch (it->kind) {
    case ITEM_UINT:
    case ITEM_NEGINT:
    case ITEM_ARRAY:
        shortest = size == head_size(it->n);
        break;
    case ITEM_BYTES:
    case ITEM_TEXT:
        shortest = size - it->n == head_size(it->n);
        break;
    case ITEM_HALF:
        if (isnan(it->r)) return SATCHEL_E_MALFORMED;
        break;
    case ITEM_SINGLE:
        if (isnan(it->r)) return SATCHEL_E_MALFORMED;
        shortest = !half_of(it->r, &half);
        break;
    case ITEM_DOUBLE:
        if (isnan(it->r)) return SATCHEL_E_MALFORMED;
        shortest = !fits_single(it->r);
        break;
    case ITEM_INDEFINITE:
        return SATCHEL_E_NOT_DETERMINISTIC;
    case ITEM_OTHER:
        return SATCHEL_E_MALFORMED;
    case ITEM_BOOL:
    case ITEM_NULL:
        break;
    }
    return shortest ? SATCHEL_OK : SATCHEL_E_NOT_DETERMINISTIC;
}

/* Whether a string, array or map is next whose length has more than 32 bits, which no input can hold: libcbor would cut it to a size_t. */
static bool is_length_absurd(const wire *w) {
    if (w->end - w->p < 9 || *w->p < 0x40 || *w->p >= 0xc0 || (*w->p & 0x1f) != 27) return false;
    return w->p[1] | w->p[2] | w->p[3] | w->p[4];
}

/* Reads one head (and a string's bytes). libcbor calls nothing back for bytes that are missing; its `required` overflows
 * and is not looked at. */
static bool next(wire *w, item *it) {
    if (!w->rc && is_length_absurd(w)) fail(w, SATCHEL_E_MALFORMED);
    if (w->rc) return false;
    it->kind = ITEM_OTHER;
    struct cbor_decoder_result got = cbor_stream_decode(w->p, (size_t)(w->end - w->p), &callbacks, it);
    w->rc = got.status == CBOR_DECODER_FINISHED ? check_form(it, got.read) : SATCHEL_E_MALFORMED;
    if (w->rc) return false;
    w->p += got.read;
    return true;
}

static bool next_of(wire *w, item_kind kind, item *it) {
    if (!next(w, it)) return false;
    if (it->kind != kind) fail(w, SATCHEL_E_MALFORMED);
    return !w->rc;
}

void wire_open(wire *w, const void *p, size_t n) {
    *w = (wire){.p = p, .end = (const uint8_t *)p + n};
}

uint64_t wire_get_uint(wire *w) {
    item it;
    return next_of(w, ITEM_UINT, &it) ? it.n : 0;
}

uint64_t wire_get_uint_max(wire *w, uint64_t max) {
    uint64_t v = wire_get_uint(w);
    if (v <= max) return v;
    fail(w, SATCHEL_E_LIMIT);
    return 0;
}

static int64_t integer_of(wire *w, const item *it) {
    if ((it->kind != ITEM_UINT && it->kind != ITEM_NEGINT) || it->n > INT64_MAX) {
        fail(w, SATCHEL_E_MALFORMED);
        return 0;
    }
    return it->kind == ITEM_UINT ? (int64_t)it->n : -1 - (int64_t)it->n;
}

int64_t wire_get_int(wire *w) {
    item it;
    return next(w, &it) ? integer_of(w, &it) : 0;
}

static bool string_within(wire *w, const item *it, size_t max) {
    if (it->n > max)
        fail(w, SATCHEL_E_LIMIT);
    else if (it->kind == ITEM_TEXT && !value_utf8_valid(it->p, (size_t)it->n))
        fail(w, SATCHEL_E_UTF8);
    return !w->rc;
}

static const uint8_t *get_string(wire *w, item_kind kind, size_t max, size_t *n) {
    item it;
    *n = 0;
    if (!next_of(w, kind, &it) || !string_within(w, &it, max)) return NULL;
    *n = (size_t)it.n;
    return it.p;
}

const uint8_t *wire_get_bytes(wire *w, size_t max, size_t *n) {
    return get_string(w, ITEM_BYTES, max, n);
}

void wire_get_exact(wire *w, void *out, size_t n) {
    size_t got;
    const uint8_t *p = get_string(w, ITEM_BYTES, SIZE_MAX, &got);
    if (!w->rc && got != n) fail(w, SATCHEL_E_MALFORMED);
    if (w->rc)
        memset(out, 0, n);
    else if (n)
        memcpy(out, p, n);
}

const char *wire_get_text(wire *w, size_t max, size_t *n) {
    return (const char *)get_string(w, ITEM_TEXT, max, n);
}

uint64_t wire_get_array(wire *w, uint64_t max) {
    item it;
    if (!w->rc && max <= UINT32_MAX && is_length_absurd(w) && *w->p >> 5 == 4) fail(w, SATCHEL_E_LIMIT);
    if (!next_of(w, ITEM_ARRAY, &it)) return 0;
    if (it.n > max)
        fail(w, SATCHEL_E_LIMIT);
    else if (it.n > (size_t)(w->end - w->p))
        fail(w, SATCHEL_E_MALFORMED);
    return w->rc ? 0 : it.n;
}

void wire_expect_array(wire *w, uint64_t n) {
    if (wire_get_array(w, UINT64_MAX) != n) fail(w, SATCHEL_E_MALFORMED);
}

bool wire_get_bool(wire *w) {
    item it;
    return next_of(w, ITEM_BOOL, &it) && it.n;
}

bool wire_skip_null(wire *w) {
    if (w->rc || w->p == w->end || *w->p != 0xf6) return false;
    w->p++;
    return true;
}

static value value_of(wire *w, const item *it) {
    switch (it->kind) {
    case ITEM_UINT:
    case ITEM_NEGINT:
        return value_integer(integer_of(w, it));
    case ITEM_HALF:
    case ITEM_SINGLE:
    case ITEM_DOUBLE:
        return value_real(it->r);
    case ITEM_TEXT:
        if (string_within(w, it, LIMIT_VALUE_BYTES)) return value_text((const char *)it->p, (size_t)it->n);
        break;
    case ITEM_BYTES:
        if (string_within(w, it, LIMIT_VALUE_BYTES)) return value_blob(it->p, (size_t)it->n);
        break;
    case ITEM_NULL:
        return value_null();
    default:
        fail(w, SATCHEL_E_MALFORMED);
    }
    return value_null();
}

value wire_get_value(wire *w) {
    item it;
    value v = next(w, &it) ? value_of(w, &it) : value_null();
    return w->rc ? (value){0} : v;
}

/* Each head adds the items of its array to those still to come; a count above the bytes that are left cannot be met. */
void wire_skip(wire *w) {
    item it;
    for (uint64_t left = 1; left && next(w, &it); left--) {
        if (it.kind != ITEM_ARRAY) continue;
        if (it.n > (size_t)(w->end - w->p)) {
            fail(w, SATCHEL_E_MALFORMED);
            return;
        }
        left += it.n;
    }
}

int wire_close(wire *w) {
    if (w->p != w->end) fail(w, SATCHEL_E_MALFORMED);
    return w->rc;
}
