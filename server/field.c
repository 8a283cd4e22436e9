#include "server/field.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

/* No number that a double or an integer can tell from its neighbours is longer; longer texts are none. */
#define NUMBER_BYTES 400

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool parse_integer(const char *text, size_t n, value *out) {
    char copy[32], *end;
    size_t sign = n && (*text == '-' || *text == '+');
    if (n <= sign || n >= sizeof copy || !is_digit(text[sign])) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    errno = 0;
    long long v = strtoll(copy, &end, 10);
    if (errno || end != copy + n) return false;
    *out = value_integer(v);
    return true;
}

/* Decimal alone: strtod would take hexadecimal and names too. */
static bool parse_real(const char *text, size_t n, value *out) {
    char copy[NUMBER_BYTES], *end;
    if (!n || n >= sizeof copy) return false;
    bool digit = false;
    for (size_t i = 0; i < n; i++) {
        if (!strchr("0123456789+-.eE", text[i]) || !text[i]) return false;
        digit |= is_digit(text[i]);
    }
    memcpy(copy, text, n);
    copy[n] = 0;
    double v = strtod(copy, &end);
    if (!digit || end != copy + n) return false;
    *out = value_real(v);
    return true;
}

static bool parse_number(const char *text, size_t n, value *out) {
    return parse_integer(text, n, out) || parse_real(text, n, out);
}

static int nibble(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Hexadecimal digits; hyphens where a UUID has them are passed over. */
static bool parse_hex(const char *text, size_t n, bool uuid, uint8_t *to, size_t *length) {
    int high = -1;
    *length = 0;
    for (size_t i = 0; i < n; i++) {
        if (uuid && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-') return false;
            continue;
        }
        int digit = nibble(text[i]);
        if (digit < 0) return false;
        if (high >= 0) to[(*length)++] = (uint8_t)(high << 4 | digit);
        high = high < 0 ? digit : -1;
    }
    return high < 0;
}

static bool is_quoted(const char *text, size_t n, char letter) {
    return n >= 3 && (text[0] | 0x20) == letter && text[1] == '\'' && text[n - 1] == '\'';
}

int field_blob(const char *text, size_t n, buf *hold, value *out) {
    size_t before = hold->n, length;
    uint8_t *to = buf_reserve(hold, n + 1);
    if (!to) return hold->rc;
    bool quoted = is_quoted(text, n, 'x');
    if (quoted ? parse_hex(text + 2, n - 3, false, to, &length) : n == 36 && parse_hex(text, n, true, to, &length))
        hold->n += length;
    else if (quoted || crypto_base64_decode(text, n, hold))
        return hold->rc ? hold->rc : SATCHEL_E_TYPE;
    *out = value_blob(hold->p + before, hold->n - before);
    return SATCHEL_OK;
}

/* 'text' with quotation marks within it doubled. */
static bool parse_literal(const char *text, size_t n, buf *hold, value *out) {
    size_t length = 0;
    uint8_t *to = n >= 2 && text[0] == '\'' && text[n - 1] == '\'' ? buf_reserve(hold, n) : NULL;
    if (!to) return false;
    for (size_t i = 1; i < n - 1; i++) {
        if (text[i] == '\'' && (i + 1 == n - 1 || text[++i] != '\'')) return false;
        to[length++] = (uint8_t)text[i];
    }
    *out = value_text((const char *)to, length);
    hold->n += length;
    return true;
}

static int of_any(const char *text, size_t n, buf *hold, value *out) {
    if (parse_number(text, n, out) || parse_literal(text, n, hold, out)) return hold->rc;
    if (is_quoted(text, n, 'x') && field_blob(text, n, hold, out) == SATCHEL_OK) return SATCHEL_OK;
    *out = value_text(text, n);
    return hold->rc;
}

static int of_numeric(const schema_column *c, const char *text, size_t n, value *out) {
    if (parse_number(text, n, out)) return SATCHEL_OK;
    *out = value_text(text, n);
    return schema_takes(c, out) ? SATCHEL_OK : SATCHEL_E_TYPE;
}

int field_of_text(const schema_column *c, const char *text, size_t n, buf *hold, value *out, const char **words) {
    if (!n && c->affinity != AFFINITY_TEXT && c->affinity != AFFINITY_ANY) {
        *out = value_null();
        return SATCHEL_OK;
    }
    switch (c->affinity) {
    case AFFINITY_INTEGER:
        *words = "this is not a whole number of 64 bits";
        return parse_integer(text, n, out) ? SATCHEL_OK : SATCHEL_E_TYPE;
    case AFFINITY_REAL:
        *words = "this is not a number";
        return parse_number(text, n, out) ? SATCHEL_OK : SATCHEL_E_TYPE;
    case AFFINITY_NUMERIC:
        *words = "this is neither a number nor a date as 2026-12-31";
        return of_numeric(c, text, n, out);
    case AFFINITY_BLOB:
        *words = "this is neither base64, nor x'hexadecimal', nor a UUID";
        return field_blob(text, n, hold, out);
    case AFFINITY_ANY:
        return of_any(text, n, hold, out);
    default:
        *out = value_text(text, n);
        return SATCHEL_OK;
    }
}
