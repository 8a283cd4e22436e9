#include "tools/rows_out.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

bool rows_format_of(const char *name, const char *path, rows_format *out) {
    static const char *const LINES[] = {".jsonl", ".ndjson", ".json"};
    size_t n = path ? strlen(path) : 0;
    *out = name && !strcmp(name, "jsonl") ? ROWS_JSONL : ROWS_CSV;
    for (size_t i = 0; !name && i < sizeof LINES / sizeof *LINES; i++)
        if (n > strlen(LINES[i]) && !strcmp(path + n - strlen(LINES[i]), LINES[i])) *out = ROWS_JSONL;
    return !name || !strcmp(name, "csv") || !strcmp(name, "jsonl");
}

void rows_put_field(buf *line, const void *p, size_t n, char separator) {
    const char *text = p;
    bool plain = n > 0;
    for (size_t i = 0; plain && i < n; i++) plain = !strchr("\"\r\n", text[i]) && text[i] != separator;
    if (plain) {
        buf_put(line, p, n);
        return;
    }
    buf_put_byte(line, '"');
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') buf_put_byte(line, '"');
        buf_put_byte(line, (uint8_t)text[i]);
    }
    buf_put_byte(line, '"');
}

int rows_put_string(buf *line, const void *p, size_t n) {
    const uint8_t *from = p, *end = from + n;
    if (!value_utf8_valid(from, n)) return SATCHEL_E_UTF8;
    buf_put_byte(line, '"');
    while (from < end) {
        const uint8_t *plain = from;
        while (from < end && *from >= 0x20 && *from != '"' && *from != '\\') from++;
        buf_put(line, plain, (size_t)(from - plain));
        if (from == end) break;
        if (*from < 0x20)
            buf_printf(line, "\\u%04x", *from);
        else
            buf_printf(line, "\\%c", *from);
        from++;
    }
    buf_put_byte(line, '"');
    return line->rc;
}

/* Whether a text in an untyped column's field would be taken for a number, a blob, NULL or a literal. */
static bool needs_literal(const value *v) {
    if (!v->n) return false;
    char first = (char)v->u.p[0];
    return isdigit((unsigned char)first) || strchr("'+-.", first) ||
           ((first == 'x' || first == 'X') && v->n > 1 && v->u.p[1] == '\'');
}

static void put_text(rows_out *o, const rows_column *c, const value *v) {
    if (!c->untyped || !needs_literal(v)) {
        rows_put_field(&o->line, v->u.p, v->n, o->separator);
        return;
    }
    buf literal = {0};
    value_put_literal(&literal, v);
    rows_put_field(&o->line, literal.p, literal.n, o->separator);
    if (literal.rc) o->line.rc = literal.rc;
    buf_fini(&literal);
}

static void put_csv(rows_out *o, const rows_column *c, const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(&o->line, "%" PRId64, v->u.i);
        break;
    case VALUE_REAL:
        if (isfinite(v->u.r))
            value_put_real(&o->line, v->u.r);
        else
            buf_printf(&o->line, "%s1e999", v->u.r < 0 ? "-" : "");
        break;
    case VALUE_TEXT:
        put_text(o, c, v);
        break;
    case VALUE_BLOB:
        if (c->untyped || !v->n)
            value_put_literal(&o->line, v);
        else
            crypto_base64(v->u.p, v->n, &o->line);
        break;
    default:
        break;
    }
}

int rows_put_json(buf *line, const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(line, "%" PRId64, v->u.i);
        break;
    case VALUE_REAL:
        if (isfinite(v->u.r))
            value_put_real(line, v->u.r);
        else
            buf_printf(line, "{\"real\":\"%sInfinity\"}", v->u.r < 0 ? "-" : "");
        break;
    case VALUE_TEXT:
        return rows_put_string(line, v->u.p, v->n);
    case VALUE_BLOB:
        buf_printf(line, "{\"base64\":\"");
        crypto_base64(v->u.p, v->n, line);
        buf_printf(line, "\"}");
        break;
    default:
        buf_printf(line, "null");
        break;
    }
    return line->rc;
}

static int put_csv_row(rows_out *o, const value *v) {
    for (unsigned i = 0; i < o->n; i++) {
        if (i) buf_put_byte(&o->line, (uint8_t)o->separator);
        if (v[i].type == VALUE_TEXT && !value_utf8_valid(v[i].u.p, v[i].n)) return SATCHEL_E_UTF8;
        put_csv(o, &o->column[i], &v[i]);
    }
    buf_put(&o->line, "\r\n", 2);
    return o->line.rc;
}

static int put_json_row(rows_out *o, const value *v) {
    buf_put_byte(&o->line, '{');
    for (unsigned i = 0; i < o->n; i++) {
        if (i) buf_put_byte(&o->line, ',');
        int rc = rows_put_string(&o->line, o->column[i].name, strlen(o->column[i].name));
        buf_put_byte(&o->line, ':');
        if (!rc) rc = rows_put_json(&o->line, &v[i]);
        if (rc) return rc;
    }
    buf_put(&o->line, "}\n", 2);
    return o->line.rc;
}

int rows_out_row(rows_out *o, const value *v) {
    buf_clear(&o->line);
    int rc = o->format == ROWS_CSV ? put_csv_row(o, v) : put_json_row(o, v);
    if (!rc) fwrite(o->line.p, 1, o->line.n, o->to);
    return rc;
}

void rows_out_names(rows_out *o) {
    if (o->format != ROWS_CSV) return;
    buf_clear(&o->line);
    for (unsigned i = 0; i < o->n; i++) {
        if (i) buf_put_byte(&o->line, (uint8_t)o->separator);
        rows_put_field(&o->line, o->column[i].name, strlen(o->column[i].name), o->separator);
    }
    buf_put(&o->line, "\r\n", 2);
    fwrite(o->line.p, 1, o->line.n, o->to);
}
