#include "replica/http1.h"

#include <string.h>
#include <strings.h>

#include "protocol/satchel_rc.h"

typedef struct field {
    const char *name, *value;
    size_t nname, nvalue;
} field;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The end of the line that begins at p (its CR), NULL if there is none before `end`. */
static const char *line_end(const char *p, const char *end) {
    for (; p + 1 < end; p++)
        if (p[0] == '\r' && p[1] == '\n') return p;
    return NULL;
}

static bool is_name_char(char c) {
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Splits one line at its colon and trims the value; false if it is not a header line. */
static bool read_field(const char *p, const char *end, field *out) {
    const char *colon = p;
    while (colon < end && is_name_char(*colon)) colon++;
    if (colon == p || colon == end || *colon != ':') return false;
    *out = (field){.name = p, .nname = (size_t)(colon - p), .value = colon + 1};
    while (out->value < end && is_blank(*out->value)) out->value++;
    while (end > out->value && is_blank(end[-1])) end--;
    out->nvalue = (size_t)(end - out->value);
    for (size_t i = 0; i < out->nvalue; i++) {
        unsigned char c = (unsigned char)out->value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* Moves *at over one line of a head that was parsed. */
static bool next_field(const http1_head *h, size_t *at, field *out) {
    const char *p = h->lines + *at, *end = h->lines + h->nlines;
    const char *eol = p < end ? line_end(p, end) : NULL;
    if (!eol || !read_field(p, eol, out)) return false;
    *at += (size_t)(eol - p) + 2;
    return true;
}

static bool name_is(const field *f, const char *name) {
    return f->nname == strlen(name) && !strncasecmp(f->name, name, f->nname);
}

static bool read_number(const field *f, uint64_t *out) {
    uint64_t v = 0;
    if (!f->nvalue || f->nvalue > 15) return false;
    for (size_t i = 0; i < f->nvalue; i++) {
        if (!is_digit(f->value[i])) return false;
        v = v * 10 + (uint64_t)(f->value[i] - '0');
    }
    *out = v;
    return true;
}

/* Every header line is looked at once here, so that the lookups below may trust them. */
static bool check_fields(http1_head *h) {
    size_t at = 0;
    field f;
    h->content_length = HTTP1_NO_LENGTH;
    while (next_field(h, &at, &f)) {
        uint64_t length;
        if (!name_is(&f, "Content-Length")) continue;
        if (!read_number(&f, &length)) return false;
        if (h->content_length != HTTP1_NO_LENGTH && h->content_length != length) return false;
        h->content_length = length;
    }
    return at == h->nlines;
}

static bool read_status(const char *p, const char *eol, unsigned *status) {
    if (eol - p < 12 || memcmp(p, "HTTP/1.", 7) || !is_digit(p[7]) || p[8] != ' ') return false;
    if (!is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]) || (eol - p > 12 && p[12] != ' ')) return false;
    *status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    return *status >= 100 && *status < 600;
}

int http1_parse(const void *p, size_t n, http1_head *out) {
    const char *start = p, *end = start + (n < HTTP1_HEAD_BYTES ? n : HTTP1_HEAD_BYTES);
    const char *blank = n >= 4 ? memmem(start, (size_t)(end - start), "\r\n\r\n", 4) : NULL;
    if (!blank) return n >= HTTP1_HEAD_BYTES ? SATCHEL_E_MALFORMED : 0;
    const char *eol = line_end(start, blank + 2);
    *out = (http1_head){.bytes = (size_t)(blank - start) + 4, .lines = eol + 2, .nlines = (size_t)(blank - eol)};
    if (!read_status(start, eol, &out->status) || !check_fields(out)) return SATCHEL_E_MALFORMED;
    return 1;
}

static bool list_has(const field *f, const char *token) {
    size_t n = strlen(token), i = 0;
    while (i < f->nvalue) {
        while (i < f->nvalue && (is_blank(f->value[i]) || f->value[i] == ',')) i++;
        size_t start = i;
        while (i < f->nvalue && f->value[i] != ',') i++;
        size_t stop = i;
        while (stop > start && is_blank(f->value[stop - 1])) stop--;
        if (stop - start == n && !strncasecmp(f->value + start, token, n)) return true;
    }
    return false;
}

bool http1_has_token(const http1_head *h, const char *name, const char *token) {
    size_t at = 0;
    field f;
    while (next_field(h, &at, &f))
        if (name_is(&f, name) && list_has(&f, token)) return true;
    return false;
}

bool http1_is(const http1_head *h, const char *name, const char *value) {
    size_t at = 0;
    unsigned found = 0;
    bool same = true;
    field f;
    while (next_field(h, &at, &f)) {
        if (!name_is(&f, name)) continue;
        found++;
        same = same && f.nvalue == strlen(value) && !memcmp(f.value, value, f.nvalue);
    }
    return found == 1 && same;
}

uint64_t http1_seconds(const http1_head *h, const char *name) {
    size_t at = 0;
    uint64_t seconds;
    field f;
    while (next_field(h, &at, &f))
        if (name_is(&f, name)) return read_number(&f, &seconds) ? seconds : 0;
    return 0;
}

bool http1_copy(const http1_head *h, const char *name, char *out, size_t room) {
    size_t at = 0;
    field f;
    while (next_field(h, &at, &f)) {
        if (!name_is(&f, name)) continue;
        if (f.nvalue >= room) return false;
        memcpy(out, f.value, f.nvalue);
        out[f.nvalue] = '\0';
        return true;
    }
    return false;
}
